#include "peers.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "sql/sql.h"
#include "sys/clock.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { NODES_BYTES_MAX = 4 << 20, OPEN_AGAIN_MS = 2000 };

/* A node, as far as this server knows. */
struct seen {
	int64_t us;         /* stamp of the last heartbeat */
	bool here;          /* on the line with this server */
	struct server *far; /* the other server that has it on the line, NULL = none */
	uint64_t round;     /* of the reading that said so */
};

/* Another server; never freed before the end, so that nodes may point at it. */
struct server {
	char *name, *url, *advertise, *region, *network_az;
	int64_t at_us;       /* its row's time */
	uint64_t changed_ms; /* when we saw that change */
	unsigned stores;     /* enum peers_store */
	uint64_t stores_ms;  /* when we saw those change */
};

struct peers {
	struct peers_config cfg; /* strings owned */
	pthread_mutex_t lock;    /* over all below */
	struct map nodes, servers;
	int64_t offset_us; /* database's Unix time - our monotonic time */
	uint64_t round;
	unsigned stores; /* that this server has open */
	bool threaded, stop;
	int wake; /* eventfd: there is something to tell, or the thread is to end */
	pthread_t thread;
};

static int64_t mono_us(void)
{
	return (int64_t)clock_mono_us();
}

static bool fresh(const struct server *s, uint64_t now_ms)
{
	return s && now_ms - s->changed_ms < PEERS_FRESH_MS;
}

static struct seen *seen_of(struct peers *p, struct str node)
{
	struct seen *s = map_get(&p->nodes, node);
	if (!s) {
		s = mem_new(struct seen, 1);
		(void)map_set(&p->nodes, node, s);
	}
	return s;
}

/* ---- what this server hears ---- */

void peers_heard(struct peers *p, struct str node)
{
	(void)pthread_mutex_lock(&p->lock);
	struct seen *s = seen_of(p, node);
	s->us = mono_us() + p->offset_us;
	s->here = true;
	(void)pthread_mutex_unlock(&p->lock);
}

void peers_left(struct peers *p, struct str node)
{
	(void)pthread_mutex_lock(&p->lock);
	struct seen *s = map_get(&p->nodes, node);
	if (s)
		s->here = false;
	(void)pthread_mutex_unlock(&p->lock);
}

void peers_owns(struct peers *p, enum peers_store store, bool owns)
{
	(void)pthread_mutex_lock(&p->lock);
	unsigned now = owns ? p->stores | store : p->stores & ~(unsigned)store;
	bool news = now != p->stores;
	p->stores = now;
	(void)pthread_mutex_unlock(&p->lock);
	if (news && p->wake >= 0)
		(void)eventfd_write(p->wake, 1);
}

/* ---- questions ---- */

struct str peers_owner(struct peers *p, struct arena *a, enum peers_store store)
{
	const struct server *owner = NULL;
	struct str url = STR("");
	uint64_t now = clock_mono_ms();
	size_t pos = 0;
	void *v = NULL;
	(void)pthread_mutex_lock(&p->lock);
	while (map_next(&p->servers, &pos, NULL, &v)) {
		const struct server *s = v;
		/* of two, the older word is that of a server that just died */
		if ((s->stores & store) && fresh(s, now) &&
		    (!owner || s->stores_ms > owner->stores_ms))
			owner = s;
	}
	if (owner)
		url = arena_str(a, str_of(owner->url));
	(void)pthread_mutex_unlock(&p->lock);
	return url;
}

int64_t peers_heartbeat_us(struct peers *p, struct str node)
{
	(void)pthread_mutex_lock(&p->lock);
	const struct seen *s = map_get(&p->nodes, node);
	int64_t us = s ? s->us : 0;
	(void)pthread_mutex_unlock(&p->lock);
	return us;
}

struct str peers_url_of(struct peers *p, struct arena *a, struct str node)
{
	struct str url = STR("");
	(void)pthread_mutex_lock(&p->lock);
	const struct seen *s = map_get(&p->nodes, node);
	if (s && !s->here && fresh(s->far, clock_mono_ms()))
		url = arena_str(a, str_of(s->far->url));
	(void)pthread_mutex_unlock(&p->lock);
	return url;
}

size_t peers_list(struct peers *p, struct arena *a, struct peer **ret)
{
	struct peer *out = arena_new(a, struct peer, PEERS_MAX);
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	uint64_t now = clock_mono_ms();
	(void)pthread_mutex_lock(&p->lock);
	while (map_next(&p->servers, &pos, NULL, &v) && n < PEERS_MAX) {
		const struct server *s = v;
		if (!fresh(s, now))
			continue;
		out[n++] =
			(struct peer){ arena_strdup(a, s->url), arena_strdup(a, s->advertise),
				       arena_strdup(a, s->region), arena_strdup(a, s->network_az) };
	}
	(void)pthread_mutex_unlock(&p->lock);
	*ret = out;
	return n;
}

/* ---- the rows ---- */

static void take(char **to, struct str s)
{
	if (*to && str_is(s, *to))
		return;
	mem_free(*to);
	*to = mem_strndup(s.p, s.len);
}

static struct server *server_of(struct peers *p, struct str name)
{
	struct server *s = map_get(&p->servers, name);
	if (!s && p->servers.len < PEERS_MAX) {
		s = mem_new(struct server, 1);
		take(&s->name, name);
		(void)map_set(&p->servers, name, s);
	}
	return s;
}

/* "NODE STAMP\n" of each node on the line there. */
static void take_nodes(struct peers *p, struct server *s, struct str text)
{
	struct str line;
	struct str word;
	while (str_split(&text, '\n', &line)) {
		int64_t us = 0;
		if (!str_split(&line, ' ', &word) || !word.len || !str_to_i64(line, &us))
			continue;
		struct seen *n = seen_of(p, word);
		/* a stream that hangs here while the node speaks to the other one is a dead one */
		if (n->here && n->us >= us)
			continue;
		/* of two that say so the later heard it last; a row of this reading beats older ones */
		if (n->round == p->round && n->us >= us)
			continue;
		n->us = us;
		n->here = false;
		n->far = s;
		n->round = p->round;
	}
}

static int on_row(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct peers *p = arg;
	(void)pthread_mutex_lock(&p->lock);
	struct server *s = server_of(p, row[0].s);
	if (s) {
		uint64_t now = clock_mono_ms();
		/* the first sight of a row does not prove that its server lives */
		if (!s->at_us)
			s->changed_ms = now - PEERS_FRESH_MS;
		else if (s->at_us != row[5].i)
			s->changed_ms = now;
		bool first = !s->at_us;
		s->at_us = row[5].i;
		take(&s->url, row[1].s);
		take(&s->advertise, row[2].s);
		take(&s->region, row[3].s);
		take(&s->network_az, row[4].s);
		if (first || s->stores != (unsigned)row[7].i)
			s->stores_ms = now;
		s->stores = (unsigned)row[7].i;
		if (first || fresh(s, now))
			take_nodes(p, s, row[6].s);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return 0;
}

static int on_time(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct peers *p = arg;
	(void)pthread_mutex_lock(&p->lock);
	p->offset_us = row[0].i - mono_us();
	(void)pthread_mutex_unlock(&p->lock);
	return 0;
}

static void print_nodes(struct peers *p, struct buf *out, int64_t *stores)
{
	size_t pos = 0;
	struct str name;
	void *v = NULL;
	(void)pthread_mutex_lock(&p->lock);
	while (map_next(&p->nodes, &pos, &name, &v) && out->len < NODES_BYTES_MAX) {
		const struct seen *s = v;
		if (s->here)
			buf_addf(out, "%.*s %" PRId64 "\n", STR_ARG(name), s->us);
	}
	p->round++;
	*stores = p->stores;
	(void)pthread_mutex_unlock(&p->lock);
}

/* Writes the own row, then reads the others'. */
static int turn(struct peers *p, struct sql *db, struct error *err)
{
	struct buf nodes = { 0 };
	int64_t stores = 0;
	print_nodes(p, &nodes, &stores);
	const struct sql_value row[] = {
		sql_text(str_of(p->cfg.server)),
		sql_text(str_of(p->cfg.url)),
		sql_text(str_of(p->cfg.advertise)),
		sql_text(str_of(p->cfg.region)),
		sql_text(str_of(p->cfg.network_az)),
		sql_text(buf_str(&nodes)),
		sql_int(stores),
	};
	int rc = sql_exec(
		db,
		"INSERT INTO rctl_apiserver(name, url, advertise, region, network_az, nodes, "
		"stores, at_us) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, "
		"(extract(epoch FROM clock_timestamp()) * 1000000)::bigint) "
		"ON CONFLICT (name) DO UPDATE SET url = excluded.url, "
		"advertise = excluded.advertise, region = excluded.region, "
		"network_az = excluded.network_az, nodes = excluded.nodes, "
		"stores = excluded.stores, at_us = excluded.at_us "
		"RETURNING at_us",
		row, 7, on_time, p, NULL, err);
	if (rc == 0)
		rc = sql_exec(
			db,
			"SELECT name, url, advertise, region, network_az, at_us, nodes, stores "
			"FROM rctl_apiserver WHERE name <> $1 ORDER BY at_us DESC LIMIT 64",
			row, 1, on_row, p, NULL, err);
	buf_fini(&nodes);
	return rc;
}

static int open_table(struct peers *p, struct sql **db, struct error *err)
{
	int rc = sql_open(p->cfg.store_url, db, err);
	if (rc)
		return rc;
	rc = sql_script(
		*db,
		"CREATE UNLOGGED TABLE IF NOT EXISTS rctl_apiserver (name TEXT PRIMARY KEY, "
		"url TEXT NOT NULL, advertise TEXT NOT NULL, region TEXT NOT NULL, "
		"network_az TEXT NOT NULL, at_us BIGINT NOT NULL, nodes TEXT NOT NULL);"
		"ALTER TABLE rctl_apiserver ADD COLUMN IF NOT EXISTS stores BIGINT NOT NULL "
		"DEFAULT 0",
		err);
	const struct sql_value old = sql_int((int64_t)PEERS_FORGET_MS * 1000);
	if (rc == 0)
		rc = sql_exec(*db,
			      "DELETE FROM rctl_apiserver WHERE at_us < "
			      "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $1",
			      &old, 1, NULL, NULL, NULL, err);
	if (rc)
		*db = sql_close(*db);
	return rc;
}

/* Until the time is over or there is something to tell; false: the end. */
static bool sleep_ms(struct peers *p, int ms)
{
	struct pollfd wake = { .fd = p->wake, .events = POLLIN };
	eventfd_t count;
	if (poll(&wake, 1, ms) == 1)
		(void)eventfd_read(p->wake, &count);
	(void)pthread_mutex_lock(&p->lock);
	bool stop = p->stop;
	(void)pthread_mutex_unlock(&p->lock);
	return !stop;
}

static void *run(void *arg)
{
	struct peers *p = arg;
	struct sql *db = NULL;
	bool well = true;
	do {
		struct error err = { 0 };
		int rc = db ? 0 : open_table(p, &db, &err);
		if (rc == 0)
			rc = turn(p, db, &err);
		if (rc && well)
			log_warn("heartbeats-not-shared", "error", LOG_S(err.msg), NULL);
		well = rc == 0;
		if (rc)
			db = sql_close(db);
	} while (sleep_ms(p, well ? PEERS_TURN_MS : OPEN_AGAIN_MS));
	(void)sql_close(db);
	return NULL;
}

/* ---- life ---- */

struct peers *peers_new(const struct peers_config *cfg)
{
	struct peers *p = mem_new(struct peers, 1);
	p->cfg.store_url = mem_strdup(cfg->store_url);
	p->cfg.server = mem_strdup(cfg->server);
	p->cfg.url = mem_strdup(cfg->url);
	p->cfg.advertise = mem_strdup(cfg->advertise);
	p->cfg.region = mem_strdup(cfg->region);
	p->cfg.network_az = mem_strdup(cfg->network_az);
	map_init(&p->nodes, clock_random_u64());
	map_init(&p->servers, clock_random_u64());
	p->offset_us = clock_unix_ns() / 1000 - mono_us();
	(void)pthread_mutex_init(&p->lock, NULL);
	p->wake = eventfd(0, EFD_CLOEXEC);
	if (str_starts(str_of(cfg->store_url), STR("postgres")))
		p->threaded = p->wake >= 0 && pthread_create(&p->thread, NULL, run, p) == 0;
	return p;
}

static void free_all(struct map *m, void (*fn)(void *v))
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(m, &pos, NULL, &v))
		fn(v);
	map_fini(m);
}

static void seen_free(void *v)
{
	mem_free(v);
}

static void server_free(void *v)
{
	struct server *s = v;
	mem_free(s->name);
	mem_free(s->url);
	mem_free(s->advertise);
	mem_free(s->region);
	mem_free(s->network_az);
	mem_free(s);
}

static void drop(const char *owned)
{
	union {
		const char *in;
		char *out;
	} u = { .in = owned };
	mem_free(u.out);
}

struct peers *peers_free(struct peers *p)
{
	if (!p)
		return NULL;
	if (p->threaded) {
		(void)pthread_mutex_lock(&p->lock);
		p->stop = true;
		(void)pthread_mutex_unlock(&p->lock);
		(void)eventfd_write(p->wake, 1);
		(void)pthread_join(p->thread, NULL);
	}
	if (p->wake >= 0)
		(void)close(p->wake);
	free_all(&p->nodes, seen_free);
	free_all(&p->servers, server_free);
	(void)pthread_mutex_destroy(&p->lock);
	drop(p->cfg.store_url);
	drop(p->cfg.server);
	drop(p->cfg.url);
	drop(p->cfg.advertise);
	drop(p->cfg.region);
	drop(p->cfg.network_az);
	mem_free(p);
	return NULL;
}
