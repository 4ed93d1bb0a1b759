/*
 * sim_store_power FIRST_SEED COUNT - power cuts under the SQLite store.
 *
 * The store runs on a disk in memory that knows, for each file, what was synced and what was
 * written since.  At a chosen operation the power fails: every later operation fails, and of the
 * writes since the last sync a chosen part survives, in sectors of 512 bytes, reordered and
 * torn.  Then the store is opened again: every acknowledged write must be there, at its revision
 * and with its value, the log in order, the objects what the log says, the file sound.
 *
 * Before that, the same with a disk that lies about syncs: if no loss is found then, the
 * check itself is broken.
 */
#include "sql/sql.h"
#include "tests/fixtures/store_record.h"

#include <sqlite3.h>

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum { SECTOR = 512, FILES = 16, LIVES = 3, KEYS = 12, WRITES_MAX = 8 };

/* ---- the disk ---- */

struct pending {
	int64_t at;
	size_t n;
	bool truncates; /* to `at` */
	char *data;
};

struct disk_file {
	char name[256];
	bool exists, exists_synced;
	struct buf now, synced;
	struct pending *pending;
	size_t pending_n, pending_cap;
};

struct disk {
	struct disk_file file[FILES];
	size_t files;
	uint64_t seed;
	long ops, cut_at; /* the power fails at operation cut_at; 0 = never */
	_Atomic bool dead;
	bool lies; /* syncs do nothing */
	sqlite3_vfs vfs;
};

struct handle {
	sqlite3_file base;
	struct disk *disk;
	struct disk_file *f;
	bool delete_on_close;
};

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static size_t below(struct disk *d, size_t n)
{
	return (size_t)(next(&d->seed) >> 11) % n;
}

static struct disk_file *find_file(struct disk *d, const char *name, bool create)
{
	struct disk_file *f = NULL;
	for (size_t i = 0; i < d->files && !f; i++)
		f = strcmp(d->file[i].name, name) == 0 ? &d->file[i] : NULL;
	if (f && !f->exists && !create)
		return NULL;
	if (!f) {
		if (!create)
			return NULL;
		assert(d->files < FILES);
		f = &d->file[d->files++];
		(void)snprintf(f->name, sizeof(f->name), "%s", name);
	}
	if (!f->exists)
		buf_clear(&f->now);
	f->exists = true;
	return f;
}

/* Counts an operation; true when the power is gone. */
static bool is_cut(struct disk *d)
{
	if (!atomic_load(&d->dead) && ++d->ops == d->cut_at)
		atomic_store(&d->dead, true);
	return atomic_load(&d->dead);
}

static void put(struct buf *b, size_t at, const char *p, size_t n)
{
	if (at + n > b->len) {
		size_t had = b->len;
		buf_reserve(b, at + n - had);
		memset(b->p + had, 0, at + n - had);
		b->len = at + n;
	}
	memcpy(b->p + at, p, n);
}

static void add_pending(struct disk_file *f, int64_t at, const void *p, size_t n, bool truncates)
{
	if (f->pending_n == f->pending_cap) {
		f->pending_cap = f->pending_cap ? f->pending_cap * 2 : 64;
		f->pending = mem_resize(f->pending, f->pending_cap, sizeof(f->pending[0]));
	}
	f->pending[f->pending_n++] =
		(struct pending){ at, n, truncates, n ? mem_strndup(p, n) : NULL };
}

static void drop_pending(struct disk_file *f)
{
	for (size_t i = 0; i < f->pending_n; i++)
		mem_free(f->pending[i].data);
	f->pending_n = 0;
}

static void sync_file(struct disk_file *f)
{
	buf_clear(&f->synced);
	buf_add_str(&f->synced, buf_str(&f->now));
	f->exists_synced = f->exists;
	drop_pending(f);
}

enum survival { NOTHING, HALF, PREFIX, SURVIVALS };

static bool survives(struct disk *d, enum survival how, size_t i, size_t prefix)
{
	return how == HALF ? below(d, 2) == 0 : how == PREFIX && i < prefix;
}

static void apply_pending(struct disk *d, const struct pending *w, struct buf *to,
			  enum survival how, size_t i, size_t prefix)
{
	if (w->truncates) {
		if (survives(d, how, i, prefix) && (size_t)w->at < to->len)
			to->len = (size_t)w->at;
		return;
	}
	for (size_t at = 0; at < w->n;) {
		size_t n = SECTOR - ((size_t)w->at + at) % SECTOR;
		if (n > w->n - at)
			n = w->n - at;
		if (survives(d, how, i, prefix))
			put(to, (size_t)w->at + at, w->data + at, n);
		at += n;
	}
}

/* What the disk holds when the power is back. */
static void power_cycle(struct disk *d)
{
	for (size_t k = 0; k < d->files; k++) {
		struct disk_file *f = &d->file[k];
		if (!f->exists_synced && below(d, 2) == 0) {
			f->exists = false;
			drop_pending(f);
			continue;
		}
		enum survival how = (enum survival)below(d, SURVIVALS);
		size_t prefix = below(d, f->pending_n + 1);
		struct buf image = { 0 };
		buf_add_str(&image, buf_str(&f->synced));
		for (size_t i = 0; i < f->pending_n; i++)
			apply_pending(d, &f->pending[i], &image, how, i, prefix);
		buf_fini(&f->now);
		f->now = image;
		f->exists = true;
		sync_file(f);
	}
	d->ops = d->cut_at = 0;
	atomic_store(&d->dead, false);
}

static void disk_fini(struct disk *d)
{
	for (size_t i = 0; i < d->files; i++) {
		drop_pending(&d->file[i]);
		mem_free(d->file[i].pending);
		buf_fini(&d->file[i].now);
		buf_fini(&d->file[i].synced);
	}
}

/* ---- as an SQLite VFS (sqlite.org/c3ref/vfs.html) ---- */

static struct handle *handle_of(sqlite3_file *p)
{
	return container_of(p, struct handle, base);
}

static int on_close(sqlite3_file *p)
{
	struct handle *h = handle_of(p);
	if (h->delete_on_close)
		h->f->exists = false;
	return SQLITE_OK;
}

static int on_read(sqlite3_file *p, void *to, int n, sqlite3_int64 at)
{
	struct handle *h = handle_of(p);
	if (atomic_load(&h->disk->dead))
		return SQLITE_IOERR_READ;
	struct str have = str_sub(buf_str(&h->f->now), (size_t)at, (size_t)at + (size_t)n);
	memset(to, 0, (size_t)n);
	if (have.len)
		memcpy(to, have.p, have.len);
	return have.len == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int on_write(sqlite3_file *p, const void *from, int n, sqlite3_int64 at)
{
	struct handle *h = handle_of(p);
	struct disk *d = h->disk;
	bool last = !atomic_load(&d->dead) && d->ops + 1 == d->cut_at;
	if (last) /* the write under way may be torn */
		add_pending(h->f, at, from, (size_t)n, false);
	if (is_cut(d))
		return SQLITE_IOERR_WRITE;
	put(&h->f->now, (size_t)at, from, (size_t)n);
	add_pending(h->f, at, from, (size_t)n, false);
	return SQLITE_OK;
}

static int on_truncate(sqlite3_file *p, sqlite3_int64 n)
{
	struct handle *h = handle_of(p);
	if (is_cut(h->disk))
		return SQLITE_IOERR_TRUNCATE;
	if ((size_t)n < h->f->now.len)
		h->f->now.len = (size_t)n;
	add_pending(h->f, n, NULL, 0, true);
	return SQLITE_OK;
}

static int on_sync(sqlite3_file *p, int flags)
{
	struct handle *h = handle_of(p);
	(void)flags;
	if (is_cut(h->disk))
		return SQLITE_IOERR_FSYNC;
	if (!h->disk->lies)
		sync_file(h->f);
	return SQLITE_OK;
}

static int on_size(sqlite3_file *p, sqlite3_int64 *n)
{
	*n = (sqlite3_int64)handle_of(p)->f->now.len;
	return SQLITE_OK;
}

static int on_lock(sqlite3_file *p, int level)
{
	(void)p;
	(void)level;
	return SQLITE_OK;
}

static int on_check_lock(sqlite3_file *p, int *ret)
{
	(void)p;
	*ret = 0;
	return SQLITE_OK;
}

static int on_control(sqlite3_file *p, int op, void *arg)
{
	(void)p;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int on_sector(sqlite3_file *p)
{
	(void)p;
	return SECTOR;
}

static int on_device(sqlite3_file *p)
{
	(void)p;
	return 0;
}

static const sqlite3_io_methods METHODS = {
	.iVersion = 1,
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_lock,
	.xCheckReservedLock = on_check_lock,
	.xFileControl = on_control,
	.xSectorSize = on_sector,
	.xDeviceCharacteristics = on_device,
};

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *p, int flags, int *out)
{
	struct handle *h = handle_of(p);
	struct disk *d = v->pAppData;
	p->pMethods = NULL;
	if (atomic_load(&d->dead))
		return SQLITE_IOERR;
	h->disk = d;
	h->f = find_file(d, name ? name : "temporary", (flags & SQLITE_OPEN_CREATE) || !name);
	if (!h->f)
		return SQLITE_CANTOPEN;
	h->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
	p->pMethods = &METHODS;
	if (out)
		*out = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *v, const char *name, int sync)
{
	struct disk *d = v->pAppData;
	(void)sync;
	if (is_cut(d))
		return SQLITE_IOERR_DELETE;
	struct disk_file *f = find_file(d, name, false);
	if (!f)
		return SQLITE_IOERR_DELETE_NOENT;
	f->exists = false;
	buf_clear(&f->now);
	sync_file(f);
	return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
	(void)flags;
	const struct disk_file *f = find_file(v->pAppData, name, false);
	*ret = f && f->now.len > 0;
	return SQLITE_OK;
}

static int vfs_path(sqlite3_vfs *v, const char *name, int n, char *out)
{
	(void)v;
	(void)sqlite3_snprintf(n, out, "%s", name);
	return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *v, int n, char *out)
{
	struct disk *d = v->pAppData;
	for (int i = 0; i < n; i++)
		out[i] = (char)next(&d->seed);
	return n;
}

static int vfs_sleep(sqlite3_vfs *v, int us)
{
	(void)v;
	return us;
}

static int vfs_time(sqlite3_vfs *v, double *ret)
{
	(void)v;
	*ret = 2460000.5;
	return SQLITE_OK;
}

static void mount(struct disk *d, uint64_t seed, bool lies)
{
	*d = (struct disk){ .seed = seed * 0x9E3779B97F4A7C15U | 1, .lies = lies };
	for (int i = 0; i < 20; i++)
		(void)next(&d->seed);
	d->vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = sizeof(struct handle),
		.mxPathname = 255,
		.zName = "power",
		.pAppData = d,
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_path,
		.xRandomness = vfs_random,
		.xSleep = vfs_sleep,
		.xCurrentTime = vfs_time,
	};
	(void)sqlite3_vfs_register(&d->vfs, 1);
}

static void unmount(struct disk *d)
{
	(void)sqlite3_vfs_unregister(&d->vfs);
	disk_fini(d);
}

/* ---- the world ---- */

struct world {
	struct disk disk;
	const char *url;
	/* what was acknowledged, by revision, over all lives */
	struct {
		int64_t rev;
		char value[64];
	} acked[4096];
	size_t n;
	size_t at; /* of the check */
	char wrong[800];
	int count; /* of values */
};

static void complain(struct world *w, const char *what, const char *detail)
{
	if (!w->wrong[0])
		(void)snprintf(w->wrong, sizeof(w->wrong), "%s: %s", what, detail);
}

struct life {
	struct record rec; /* first: handed out as the record */
	struct world *w;
};

static void on_history(void *arg, const struct store_event *ev)
{
	struct life *l = arg;
	struct world *w = l->w;
	char value[64];
	record_on_history(&l->rec, ev);
	record_text(value, bytes_str(ev->value));
	while (w->at < w->n && w->acked[w->at].rev < ev->rev)
		complain(w, "an acknowledged write is lost", w->acked[w->at++].value);
	if (w->at < w->n && w->acked[w->at].rev == ev->rev &&
	    strcmp(w->acked[w->at++].value, value) != 0)
		complain(w, "an acknowledged write has another value", value);
}

static bool open_life(struct life *l, struct store **ret)
{
	struct world *w = l->w;
	struct error err = { 0 };
	struct store_config cfg = record_config(w->url, &l->rec);
	cfg.handlers.on_history = on_history;
	w->at = 0;
	if (store_open(&cfg, ret, &err) < 0) {
		if (!atomic_load(&w->disk.dead))
			complain(w, "the store does not open", err.msg);
		return false;
	}
	if (w->at < w->n)
		complain(w, "an acknowledged write is lost", w->acked[w->at].value);
	if (l->rec.wrong[0])
		complain(w, "promise", l->rec.wrong);
	return !w->wrong[0];
}

static int sound_row(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	*(bool *)arg = str_is(row[0].s, "ok");
	return 0;
}

static void check_file(struct world *w)
{
	struct sql *db = NULL;
	struct error err = { 0 };
	bool sound = false;
	char url[128]; /* exclusive: the disk has no shared memory */
	(void)snprintf(url, sizeof(url), "%s?lock=exclusive", w->url);
	if (sql_open(url, &db, &err) < 0 ||
	    sql_exec(db, "PRAGMA integrity_check", NULL, 0, sound_row, &sound, NULL, &err) < 0 ||
	    !sound)
		complain(w, "the file is not sound", err.msg);
	(void)sql_close(db);
}

struct flight {
	_Atomic bool done;
	size_t n;
	struct store_result result[WRITES_MAX];
};

static void on_done(void *arg, const struct store_result *results, size_t n)
{
	struct flight *f = arg;
	memcpy(f->result, results, n * sizeof(*results));
	f->n = n;
	atomic_store(&f->done, true);
}

/* Until the answer is there or the power is gone. */
static void wait_for(const struct world *w, const struct flight *f)
{
	while (!atomic_load(&f->done) && !atomic_load(&w->disk.dead))
		(void)usleep(20);
}

static size_t make_writes(struct world *w, struct record *rec, struct store_write *sw,
			  char keys[][16])
{
	struct disk *d = &w->disk;
	size_t n = 1 + below(d, WRITES_MAX);
	size_t first = below(d, KEYS);
	for (size_t i = 0; i < n; i++) {
		char value[64];
		(void)snprintf(keys[i], 16, "k%zu", (first + i) % KEYS);
		(void)snprintf(value, sizeof(value), "v%d", w->count++);
		pthread_mutex_lock(&rec->lock);
		int64_t rev = record_key(rec, str_of(keys[i]))->rev;
		pthread_mutex_unlock(&rec->lock);
		enum store_op op = rev == 0           ? STORE_CREATE
				   : below(d, 5) == 0 ? STORE_DELETE
						      : STORE_UPDATE;
		sw[i] = record_make(op, keys[i], rev, value);
	}
	return n;
}

/* One submission; false when the life is over. */
static bool write_some(struct world *w, struct record *rec, struct store *s, struct flight *f)
{
	struct store_write sw[WRITES_MAX];
	char keys[WRITES_MAX][16];
	size_t n = make_writes(w, rec, sw, keys);
	*f = (struct flight){ 0 };
	store_submit(s, sw, n, below(&w->disk, 4) == 0, on_done, f);
	wait_for(w, f);
	bool answered = atomic_load(&f->done);
	for (size_t i = 0; i < n; i++) {
		if (answered && f->result[i].code == ERR_OK && w->n < 4096) {
			w->acked[w->n].rev = f->result[i].rev;
			(void)snprintf(w->acked[w->n++].value, 64, "%s", sw[i].value->data);
		}
		bytes_unref(sw[i].value);
	}
	return answered && !atomic_load(&w->disk.dead) && w->n + WRITES_MAX < 4096;
}

static bool live(struct world *w, bool cut)
{
	static struct life l;
	l = (struct life){ .w = w };
	record_init(&l.rec);
	struct store *s = NULL;
	struct flight f = { 0 };
	w->disk.ops = 0;
	w->disk.cut_at = cut ? 5 + (long)below(&w->disk, 500) : 0;
	bool ok = open_life(&l, &s);
	for (int i = 0; ok && i < (cut ? 1000 : 5); i++) {
		if (!write_some(w, &l.rec, s, &f))
			break;
	}
	(void)store_close(s); /* answers what is under way */
	if (l.rec.wrong[0])
		complain(w, "promise", l.rec.wrong);
	record_fini(&l.rec);
	return !w->wrong[0];
}

static bool run_seed(uint64_t seed, const char *url, bool lies, struct world *w)
{
	*w = (struct world){ .url = url };
	mount(&w->disk, seed, lies);
	/* The tables stand before the first cut: making them is another matter. */
	bool ok = live(w, false);
	for (size_t i = 0; i < w->disk.files; i++)
		sync_file(&w->disk.file[i]);
	for (int i = 0; ok && i < LIVES; i++) {
		ok = live(w, true);
		power_cycle(&w->disk);
		if (ok)
			check_file(w);
		ok = ok && !w->wrong[0];
	}
	ok = ok && live(w, false);
	unmount(&w->disk);
	return ok;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
	static struct world w;
	/* The name is a real file too: the store looks at whose file it is. */
	char path[] = "/tmp/rctl-power-XXXXXX";
	char url[64];
	int fd = mkstemp(path);
	if (fd < 0)
		return 1;
	(void)close(fd);
	(void)snprintf(url, sizeof(url), "sqlite:%s", path);
	size_t caught = 0;
	for (uint64_t seed = 1; seed <= 10; seed++)
		caught += !run_seed(seed, url, true, &w);
	size_t failed = caught ? 0 : 1;
	size_t acked = 0;
	for (uint64_t seed = first; seed < first + count; seed++) {
		if (!run_seed(seed, url, false, &w)) {
			(void)fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, w.wrong);
			failed++;
		}
		acked += w.n;
	}
	(void)unlink(path);
	(void)printf("%zu of 10 lying disks caught; %llu seeds, %llu power cuts, %zu writes"
		     " acknowledged, %zu failed\n",
		     caught, (unsigned long long)count, (unsigned long long)count * LIVES, acked,
		     failed);
	return failed ? 1 : 0;
}
