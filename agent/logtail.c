#include "logtail.h"

#include "agent/v1/agent.pb-c.h"
#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "crilog.h"
#include "grpc/message.h"
#include "push.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "worker.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SCAN_MS = 1000,
	READ_MAX = 256 << 10, /* of one file in one scan step */
	LINES_MAX = 4096,
	SCAN_BYTES_MAX = 2 << 20, /* of all files in one scan: the rest comes with the next */
	POSITIONS_BYTES_MAX = 4 << 20,
};

/* How far a file has been read. */
struct position {
	uint64_t offset;
	bool seen; /* in this scan */
};

/* Positions on their way to the disk. */
struct save {
	struct worker_job job;
	struct logtail *tail;
	const char *path;
	enum { SAVE_NONE, SAVE_NOTED, SAVE_WRITING } state;
	struct buf text;
	uint64_t added; /* settled records that make it true */
	bool failed;
};

struct logtail {
	struct loop *loop;
	struct worker *worker;
	struct save save;
	char *logs_dir, *positions_path;
	struct push *push;
	struct loop_timer scan;
	struct map positions; /* inode as text → struct position */
	struct map gone;      /* folder → itself */
	bool dirty;
	size_t budget;
	struct buf in;
};

/* ------------------------------------------------------------------------------------ positions */

static struct position *position_of(struct logtail *t, uint64_t inode)
{
	char key[24];
	snprintf(key, sizeof(key), "%llu", (unsigned long long)inode);
	struct position *p = map_get(&t->positions, str_of(key));
	if (!p) {
		p = mem_new(struct position, 1);
		map_set(&t->positions, str_of(key), p);
	}
	p->seen = true;
	return p;
}

static void load_positions(struct logtail *t)
{
	struct buf b = { 0 };
	struct str line, inode;
	uint64_t offset = 0, n = 0;
	(void)!file_read(t->positions_path, POSITIONS_BYTES_MAX, &b, NULL);
	struct str rest = buf_str(&b);
	while (rest.len && str_split(&rest, '\n', &line)) {
		if (str_split(&line, ' ', &inode) && str_to_u64(inode, &n) &&
		    str_to_u64(line, &offset))
			position_of(t, n)->offset = offset;
	}
	buf_fini(&b);
}

static void write_positions(const struct logtail *t, struct buf *b)
{
	size_t pos = 0;
	struct str key;
	void *value;
	buf_clear(b);
	while (map_next(&t->positions, &pos, &key, &value))
		buf_addf(b, "%.*s %llu\n", STR_ARG(key),
			 (unsigned long long)((struct position *)value)->offset);
}

/* On the worker. */
static void save_run(struct worker_job *job)
{
	struct save *s = container_of(job, struct save, job);
	s->failed = file_write_atomic(s->path, buf_str(&s->text), 0600, NULL) != 0;
}

static void save_done(struct worker_job *job)
{
	struct save *s = container_of(job, struct save, job);
	s->state = SAVE_NONE;
	s->tail->dirty |= s->failed;
}

/*
 * A position must never be ahead of the spool: it is noted with the number of records that were added by then, and
 * written when these are settled.
 */
static void save_positions(struct logtail *t)
{
	struct save *s = &t->save;
	if (s->state == SAVE_NONE && t->dirty) {
		write_positions(t, &s->text);
		s->added = t->push ? push_added(t->push) : 0;
		s->state = SAVE_NOTED;
		t->dirty = false;
	}
	if (s->state == SAVE_NOTED && (!t->push || push_settled(t->push) >= s->added)) {
		s->state = SAVE_WRITING;
		worker_post(t->worker, &s->job);
	}
}

/* Files that are no longer there need no position. */
static void sweep_positions(struct logtail *t)
{
	struct map keep = { .seed = t->positions.seed };
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&t->positions, &pos, &key, &value)) {
		struct position *p = value;
		if (p->seen) {
			p->seen = false;
			map_set(&keep, key, p);
		} else {
			mem_free(p);
			t->dirty = true;
		}
	}
	map_fini(&t->positions);
	t->positions = keep;
}

/* -------------------------------------------------------------------------------------- reading */

/* "<ns>_<pod>_<uid>" and the container, as labels of the stream. */
static uint32_t ref_of(struct logtail *t, struct str folder, const char *ctr)
{
	struct str rest = folder, ns, pod;
	struct buf key = { 0 };
	if (!str_split(&rest, '_', &ns) || !str_split(&rest, '_', &pod) || !rest.len)
		return 0;
	const struct str parts[] = { STR(""), STR("container"), str_of(ctr), STR("namespace"),
				     ns,      STR("pod"),       pod,         STR("uid"),
				     rest };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		buf_add_str(&key, parts[i]);
		buf_addc(&key, '\0');
	}
	uint32_t ref = series_ref(push_series(t->push), buf_str(&key), 0);
	buf_fini(&key);
	return ref;
}

struct columns {
	int64_t *delta;
	uint32_t *flags, *length;
	size_t n;
	struct buf text;
	int64_t first_ns, last_ns;
};

static void add_line(struct columns *c, struct str line)
{
	struct cri_line l;
	if (!cri_parse(line, &l))
		return;
	if (c->n == 0)
		c->first_ns = c->last_ns = l.unix_ns;
	c->delta[c->n] = l.unix_ns - c->last_ns;
	c->flags[c->n] = (l.is_stderr ? 1U : 0U) | (l.partial ? 2U : 0U);
	c->length[c->n] = (uint32_t)l.text.len;
	c->n++;
	c->last_ns = l.unix_ns;
	buf_add_str(&c->text, l.text);
}

static void ship(struct logtail *t, uint32_t ref, const struct cri_file *f, uint64_t from,
		 uint64_t to, struct columns *c)
{
	struct buf name = { 0 }, out = { 0 };
	Rctl__Agent__V1__LogBlock b, *blocks[] = { &b };
	Rctl__Agent__V1__LogBatch batch = RCTL__AGENT__V1__LOG_BATCH__INIT;
	rctl__agent__v1__log_block__init(&b);
	/* The inode stays when the file is rotated; its name does not. */
	buf_addf(&name, "%u.log@%llu", f->attempt, (unsigned long long)f->inode);
	(void)buf_cstr(&name);
	b.ref = ref;
	b.file = name.p;
	b.offset = from;
	b.end_offset = to;
	b.first_unix_ns = c->first_ns;
	b.time_delta_ns = c->delta;
	b.flags = c->flags;
	b.length = c->length;
	b.n_time_delta_ns = b.n_flags = b.n_length = c->n;
	b.text = rpc_binary(buf_str(&c->text));
	batch.blocks = blocks;
	batch.n_blocks = 1;
	rpc_pack(&out, &batch.base);
	push_add(t->push, RCTL__AGENT__V1__RECORD_TYPE__RECORD_TYPE_LOGS, buf_str(&out));
	buf_fini(&name);
	buf_fini(&out);
}

/* Reads the next piece of a file; true when there is more. */
static bool read_piece(struct logtail *t, int fd, uint32_t ref, const struct cri_file *f,
		       struct position *p)
{
	struct arena a = { 0 };
	struct columns c = { .n = 0 };
	buf_clear(&t->in);
	buf_reserve(&t->in, READ_MAX);
	ssize_t n = pread(fd, t->in.p, READ_MAX, (off_t)p->offset);
	if (n <= 0)
		return false;
	t->in.len = (size_t)n;
	c.delta = arena_new(&a, int64_t, LINES_MAX);
	c.flags = arena_new(&a, uint32_t, LINES_MAX);
	c.length = arena_new(&a, uint32_t, LINES_MAX);
	size_t at = 0;
	ptrdiff_t nl;
	while (c.n < LINES_MAX && (nl = str_find(buf_str(&t->in), '\n', at)) >= 0) {
		add_line(&c, str_n(t->in.p + at, (size_t)nl - at));
		at = (size_t)nl + 1;
	}
	if (at == 0 && n == READ_MAX)
		at = READ_MAX; /* no line of ours is so long */
	if (c.n)
		ship(t, ref, f, p->offset, p->offset + at, &c);
	p->offset += at;
	t->dirty |= at > 0;
	t->budget = t->budget > at ? t->budget - at : 0;
	buf_fini(&c.text);
	arena_fini(&a);
	return at > 0 && t->budget > 0;
}

/* True when everything in the container's folder has been read. */
static bool read_container(struct logtail *t, struct str folder, const char *dir, const char *ctr)
{
	struct cri_file list[CRI_FILES_MAX];
	size_t n = cri_list(dir, -1, list);
	uint32_t ref = 0;
	bool all = true;
	for (size_t i = 0; i < n; i++) {
		struct position *p = position_of(t, list[i].inode);
		if (p->offset > list[i].size)
			p->offset = 0; /* another file has got the inode */
		if (p->offset == list[i].size)
			continue;
		if (t->budget == 0)
			return false;
		char path[PATH_MAX];
		ref = ref ? ref : ref_of(t, folder, ctr);
		int fd = ref && snprintf(path, sizeof(path), "%s/%s", dir, list[i].name) <
						 (int)sizeof(path)
				 ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
				 : -1;
		while (fd >= 0 && read_piece(t, fd, ref, &list[i], p))
			;
		if (fd >= 0)
			close(fd);
		all &= p->offset >= list[i].size;
	}
	return all;
}

static void read_pod(struct logtail *t, const char *folder)
{
	char dir[PATH_MAX], sub[PATH_MAX];
	bool all = true;
	if (snprintf(dir, sizeof(dir), "%s/%s", t->logs_dir, folder) >= (int)sizeof(dir))
		return;
	DIR *d = opendir(dir);
	for (struct dirent *e; d && t->push && (e = readdir(d));) {
		if (e->d_name[0] != '.' &&
		    snprintf(sub, sizeof(sub), "%s/%s", dir, e->d_name) < (int)sizeof(sub))
			all &= read_container(t, str_of(folder), sub, e->d_name);
	}
	if (d)
		closedir(d);
	char *mark = map_get(&t->gone, str_of(dir));
	if (all && mark) {
		(void)map_del(&t->gone, str_of(dir));
		mem_free(mark);
		(void)!file_remove_tree(dir, NULL);
	}
}

static void on_scan(struct loop_timer *timer)
{
	struct logtail *t = container_of(timer, struct logtail, scan);
	t->budget = SCAN_BYTES_MAX;
	save_positions(t);
	DIR *d = opendir(t->logs_dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] != '.')
			read_pod(t, e->d_name);
	}
	if (d)
		closedir(d);
	if (t->budget > 0)
		sweep_positions(t);
	if (t->in.cap > 0 && t->budget == SCAN_BYTES_MAX)
		buf_fini(&t->in);
	loop_timer_set(t->loop, timer, t->budget ? SCAN_MS : 50);
}

void logtail_gone(struct logtail *t, const char *log_dir)
{
	char *old = map_set(&t->gone, str_of(log_dir), mem_strdup(log_dir));
	mem_free(old);
}

struct logtail *logtail_new(struct loop *l, struct worker *w, const char *state_dir,
			    struct push *push)
{
	struct logtail *t = mem_new(struct logtail, 1);
	struct buf b = { 0 };
	t->loop = l;
	t->push = push;
	buf_addf(&b, "%s/logs", state_dir);
	t->logs_dir = mem_strdup(buf_cstr(&b));
	buf_adds(&b, ".positions");
	t->positions_path = mem_strdup(buf_cstr(&b));
	buf_fini(&b);
	t->worker = w;
	t->save.tail = t;
	t->save.path = t->positions_path;
	t->save.job.run = save_run;
	t->save.job.done = save_done;
	load_positions(t);
	t->scan.fn = on_scan;
	loop_timer_set(l, &t->scan, SCAN_MS);
	return t;
}

struct logtail *logtail_free(struct logtail *t)
{
	if (!t)
		return NULL;
	size_t pos = 0;
	struct str key;
	void *value;
	worker_flush(t->worker); /* an older write would come behind this one */
	if (!t->push || push_settled(t->push) >= push_added(t->push)) {
		write_positions(t, &t->save.text);
		save_run(&t->save.job);
	}
	buf_fini(&t->save.text);
	while (map_next(&t->positions, &pos, &key, &value))
		mem_free(value);
	pos = 0;
	while (map_next(&t->gone, &pos, &key, &value))
		mem_free(value);
	map_fini(&t->positions);
	map_fini(&t->gone);
	loop_timer_stop(&t->scan);
	buf_fini(&t->in);
	mem_free(t->logs_dir);
	mem_free(t->positions_path);
	mem_free(t);
	return NULL;
}
