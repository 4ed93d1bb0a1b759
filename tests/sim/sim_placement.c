/*
 * Deterministic simulation of the placement of one workload over clusters that fail.
 *
 *   sim_placement [first-seed [runs [bug]]]
 *
 * Real code under test: placement_plan().  Simulated: the global API (it keeps template, Placement and the records), the
 * API of each cluster, late watches, writes that are refused, answered, or take effect some seconds after their
 * reply was lost, partitions, clusters that lose their power, users who change everything, crashes of the
 * controller, and time.  One thread, one random generator: a seed replays its run.
 *
 * Safety:   a write that takes ready replicas away leaves as many ready in the clusters that can be reached as
 *           these are to run; a share is given up only when it is replaced; what cannot be reached is not written to.
 * Liveness: once the faults stop, everything is as asked for within minutes, and then nothing is written any more.
 * Teeth:    with each of the planted bugs below the same checks must fail within some hundred seeds.
 */
#include "placement_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CLUSTERS = 4,
	EVENTS_MAX = 8192,
	CHAOS_MS = 300000,
	CALM_MS = 400000,
	QUIET_MS = 60000,
	NOTICE_MS = 10000, /* contact is believed lost after so long */
	LATE_MS = 5000,    /* a write without a reply may take effect for so long */
	HOLD_MS = 10000,   /* … and the key is held for so long */
	TAKEOVER_MS = 15000,
	USER_MS = 40000, /* a plan may rest on what the user wanted so long ago */
	MOVE_AFTER_MS = 20000,
	REPLICAS_MAX = 32,
	SETTLED_MS =
		16000, /* what is ready for so long was seen by everybody who may still write */
	BUG_SEEDS = 400,
};

enum bug {
	BUG_NONE,
	BUG_NO_RECORD,       /* shares are changed long before the record is durable */
	BUG_NO_DOUBT,        /* goes on as if a write without a reply had not happened */
	BUG_TRUSTS_CACHE,    /* believes what was cached before its own writes */
	BUG_ALL_READY,       /* every replica is believed ready */
	BUG_DOWN_IS_EMPTY,   /* what cannot be reached runs nothing */
	BUG_FORGETS_LEAVING, /* what was given up is not removed later */
	BUG_BREAK_FIRST,     /* takes shares away before they are replaced */
	BUG_END,
};

static const char *const bug_names[BUG_END] = {
	"none",      "no-record",     "no-doubt",        "trusts-cache",
	"all-ready", "down-is-empty", "forgets-leaving", "break-first",
};

struct cluster { /* one cluster's API and what runs there */
	uint64_t rv;
	bool exists, cordoned, tainted;
	int64_t want, ready;
	/* not in any cache */
	bool cut, dark;  /* cannot be reached; has no power */
	bool robbed;     /* somebody else deleted it there */
	uint64_t cut_ms; /* since when */
	uint64_t ready_ms
		[REPLICAS_MAX]; /* since when each is ready, oldest first: the newest go first */
};

struct global { /* the global API */
	uint64_t rv;
	int64_t replicas;
	unsigned placement, placement_seen; /* generation; that of the records */
	unsigned spec;
	bool deleting, gone;
	int64_t record[CLUSTERS];
};

enum { AT_GLOBAL = CLUSTERS };

struct event { /* a watch event, or a write under way (late) */
	uint64_t due_ms;
	unsigned at; /* cluster, or AT_GLOBAL */
	bool late_write;
	int64_t n; /* late write: replicas, -1 = delete */
	struct cluster c;
	struct global g;
};

struct sim {
	uint64_t seed, rng, now_ms;
	enum bug bug;
	const char *failed;
	struct cluster world[CLUSTERS], cache[CLUSTERS];
	struct global global, global_cache;
	uint64_t need_rv[CLUSTERS + 1], hold_until_ms, idle_until_ms, dead_until_ms;
	uint64_t down_since_ms[CLUSTERS];
	uint64_t back_ms[CLUSTERS];  /* when contact was found again */
	bool was_seen[CLUSTERS];     /* by this life of the controller */
	uint64_t doubt_ms[CLUSTERS]; /* a write's outcome is unknown since then; 0 = none */
	enum place_contact contact[CLUSTERS];
	struct event events[EVENTS_MAX];
	size_t events_len;
	struct {
		uint64_t ms;
		int64_t replicas;
	} asked[512]; /* what the user wanted lately */
	size_t asked_len;
	uint64_t last_write_ms;
	uint64_t lost_ms; /* when replicas were lost that nobody could know of */
	uint64_t writes;
};

static const char *const names[CLUSTERS] = { "a", "b", "c", "d" };
static const char *const regions[CLUSTERS] = { "east", "east", "west", "west" };

static const struct place_weight heavy[] = { { .cluster = { "a", 1 }, .weight = 3 } };
static const struct str but_a[] = { { "a", 1 } };
static const struct str but_b[] = { { "b", 1 } };
#define MOVES .failover = true, .move_after_ms = MOVE_AFTER_MS
static const struct place_spec specs[] = {
	{ .divide = true, MOVES },
	{ .divide = true, .regions = { .skew = 1 }, MOVES },
	{ .divide = true, .clusters = { .max = 2 }, MOVES },
	{ .divide = true, .weights = heavy, .weights_len = 1, MOVES },
	{ .divide = true, .excludes = but_a, .excludes_len = 1, MOVES },
	{ .divide = true, .excludes = but_b, .excludes_len = 1 },
	{ .divide = true, .clusters = { .max = 1 }, MOVES },
};
enum { SPECS = sizeof(specs) / sizeof(specs[0]) };

static uint32_t rnd(struct sim *s, uint32_t below)
{
	uint64_t z = (s->rng += 0x9e3779b97f4a7c15ULL);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (uint32_t)((z ^ (z >> 31)) % below);
}

static void check(struct sim *s, bool ok, const char *what)
{
	if (!ok && !s->failed)
		s->failed = what;
}

/* ---- watches ---- */

static void push(struct sim *s, struct event e)
{
	if (s->events_len == EVENTS_MAX)
		abort();
	s->events[s->events_len++] = e;
}

static void changed(struct sim *s, unsigned c)
{
	s->world[c].rv++;
	push(s, (struct event){ .due_ms = s->now_ms + rnd(s, 500), .at = c, .c = s->world[c] });
}

static void global_changed(struct sim *s)
{
	s->global.rv++;
	push(s,
	     (struct event){ .due_ms = s->now_ms + rnd(s, 500), .at = AT_GLOBAL, .g = s->global });
}

/* ---- safety ---- */

static int64_t least_asked(const struct sim *s)
{
	int64_t least = s->global.replicas;
	for (size_t i = 0; i < s->asked_len; i++)
		if (s->asked[i].ms + USER_MS > s->now_ms && s->asked[i].replicas < least)
			least = s->asked[i].replicas;
	return least;
}

/* Nobody can know yet that a cluster lost its power: until then its replicas are believed ready. */
static bool is_in_the_dark(const struct sim *s)
{
	for (unsigned c = 0; c < CLUSTERS; c++)
		if (s->world[c].dark && s->contact[c] != PLACE_DOWN)
			return true;
	return false;
}

/* What a cluster that cannot be reached runs for sure, unless somebody else took it away before. */
static int64_t standing(const struct sim *s, unsigned c)
{
	int64_t record = s->global.record[c] > 0 ? s->global.record[c] : 0;
	return record < s->world[c].want || s->world[c].robbed ? record : s->world[c].want;
}

static int64_t long_ready(const struct sim *s, const struct cluster *w)
{
	int64_t n = 0;
	while (n < w->ready && w->ready_ms[n] + SETTLED_MS <= s->now_ms)
		n++;
	return n;
}

/*
 * `c` goes from what it has to n replicas (-1: a share that cannot be reached is given up).
 * What is ready in the clusters that can be reached must then still be what they are to run.
 */
static void check_taken(struct sim *s, unsigned c, int64_t n)
{
	if (s->global.deleting || is_in_the_dark(s) || s->now_ms < s->lost_ms + SETTLED_MS)
		return;
	int64_t need = least_asked(s);
	int64_t after = 0;
	for (unsigned i = 0; i < CLUSTERS; i++) {
		int64_t ready = s->world[i].ready;
		/* a write that is late was decided when this one could not be reached */
		if (s->back_ms[i] + LATE_MS > s->now_ms && ready < standing(s, i))
			ready = standing(s, i);
		if (s->contact[i] == PLACE_DOWN && !(i == c && n >= 0))
			need -= i != c ? standing(s, i) : 0;
		else
			after += i == c && n >= 0 && n < ready ? n : ready;
	}
	bool takes = n < 0 || n < long_ready(s, &s->world[c]);
	check(s, !takes || after >= need, "took ready replicas away too early");
}

/* ---- the cluster's API ---- */

static void cluster_write(struct sim *s, unsigned c, int64_t n)
{
	struct cluster *w = &s->world[c];
	if (w->exists)
		check_taken(s, c, n < 0 ? 0 : n);
	w->exists = n >= 0;
	w->robbed = false;
	w->want = n < 0 ? 0 : n;
	if (w->ready > w->want)
		w->ready = w->want;
	changed(s, c);
}

enum outcome { DONE, REFUSED, UNKNOWN };

static enum outcome api_write(struct sim *s, unsigned c, int64_t n, bool chaos)
{
	check(s, s->contact[c] == PLACE_UP, "wrote to a cluster that is believed lost");
	s->last_write_ms = s->now_ms;
	s->writes++;
	if (s->world[c].cut)
		return UNKNOWN;
	if (chaos && rnd(s, 12) == 0)
		return REFUSED;
	if (chaos && rnd(s, 12) == 0) {
		push(s, (struct event){ .due_ms = s->now_ms + rnd(s, LATE_MS),
					.at = c,
					.late_write = true,
					.n = n });
		return UNKNOWN;
	}
	cluster_write(s, c, n);
	return chaos && rnd(s, 12) == 0 ? UNKNOWN : DONE;
}

/* ---- the controller ---- */

static void forget_everything(struct sim *s)
{
	for (unsigned c = 0; c < CLUSTERS; c++) {
		s->contact[c] = PLACE_UNKNOWN;
		s->down_since_ms[c] = s->now_ms;
		s->need_rv[c] = 0;
		s->doubt_ms[c] = 0;
		s->was_seen[c] = false;
	}
	s->need_rv[AT_GLOBAL] = 0;
	s->global_cache = s->global;
	s->hold_until_ms = 0;
}

/* Contact comes with a fresh list, and is believed lost only after a while. */
static void contact_step(struct sim *s)
{
	for (unsigned c = 0; c < CLUSTERS; c++) {
		const struct cluster *w = &s->world[c];
		if (w->cut && s->contact[c] != PLACE_DOWN && s->now_ms >= w->cut_ms + NOTICE_MS) {
			s->contact[c] = PLACE_DOWN;
			s->down_since_ms[c] = w->cut_ms;
		} else if (!w->cut && s->contact[c] != PLACE_UP && rnd(s, 20) == 0) {
			s->contact[c] = PLACE_UP;
			s->cache[c] = *w;
			s->was_seen[c] = true;
			s->back_ms[c] = s->now_ms;
			s->doubt_ms[c] = 0;
		} else if (!w->cut && s->doubt_ms[c] && s->now_ms >= s->doubt_ms[c] + HOLD_MS) {
			s->cache[c] = *w; /* asked, and waited until the watch was there */
			s->doubt_ms[c] = 0;
		}
	}
}

static void watch_step(struct sim *s)
{
	size_t kept = 0;
	for (size_t i = 0; i < s->events_len; i++) {
		struct event e = s->events[i];
		if (e.due_ms > s->now_ms) {
			s->events[kept++] = e;
		} else if (e.late_write) {
			s->events[i].due_ms = UINT64_MAX; /* applying it may add events */
			s->events[kept++] = e;
		} else if (e.at == AT_GLOBAL) {
			if (e.g.rv > s->global_cache.rv)
				s->global_cache = e.g;
		} else if (!s->world[e.at].cut && s->contact[e.at] == PLACE_UP) {
			if (e.c.rv > s->cache[e.at].rv)
				s->cache[e.at] = e.c;
		}
	}
	s->events_len = kept;
	for (size_t i = 0; i < s->events_len; i++) {
		struct event e = s->events[i];
		if (!e.late_write || e.due_ms > s->now_ms)
			continue;
		s->events[i] = s->events[--s->events_len];
		i--;
		if (!s->world[e.at].cut)
			cluster_write(s, e.at, e.n);
	}
}

static struct place_cluster seen(const struct sim *s, unsigned c)
{
	const struct cluster *k = &s->cache[c];
	bool up = s->contact[c] == PLACE_UP;
	static const struct place_taint taint = { .key = { "old", 3 }, .effect = PLACE_NO_EXECUTE };
	struct place_cluster x = {
		.name = str_of(names[c]),
		.region = str_of(regions[c]),
		.listed = true,
		.taints = &taint,
		.taints_len = s->world[c].tainted,
		.unschedulable = s->world[c].cordoned,
		.contact = s->contact[c],
		.well = true,
		.failing_ms = up ? 0 : s->now_ms - s->down_since_ms[c],
		.record = s->global_cache.record[c],
		.standing = s->was_seen[c] ? k->ready : -1,
		.exists = up && k->exists,
		.current = k->want,
		.ready = k->ready,
	};
	if (s->doubt_ms[c] && up) {
		x.contact = PLACE_DOWN;
		x.exists = false;
	}
	if (s->bug == BUG_TRUSTS_CACHE && x.exists && x.record >= 0)
		x.record = x.current;
	if (s->bug == BUG_ALL_READY)
		x.ready = k->want;
	if (s->bug == BUG_DOWN_IS_EMPTY && x.contact == PLACE_DOWN) {
		x.contact = PLACE_UP;
		x.exists = false;
		x.unschedulable = true;
		x.record = PLACE_UNRECORDED;
	}
	if (s->bug == BUG_FORGETS_LEAVING && x.record == PLACE_LEAVING && !up)
		x.record = PLACE_UNRECORDED;
	return x;
}

static bool is_behind(const struct sim *s)
{
	if (s->bug == BUG_TRUSTS_CACHE)
		return false;
	for (unsigned c = 0; c < CLUSTERS; c++)
		if (s->contact[c] == PLACE_UP && s->cache[c].rv < s->need_rv[c])
			return true;
	return s->global_cache.rv < s->need_rv[AT_GLOBAL] || s->now_ms < s->hold_until_ms;
}

static void check_given_up(struct sim *s, const int64_t *record)
{
	for (unsigned c = 0; c < CLUSTERS; c++)
		if (record[c] < 0 && s->global.record[c] > 0 && s->contact[c] == PLACE_DOWN)
			check_taken(s, c, -1);
}

/* Records carry the revision they were planned on: an older cache is refused. */
static bool write_records(struct sim *s, const struct place_plan *p, bool chaos)
{
	int64_t record[CLUSTERS];
	for (unsigned c = 0; c < CLUSTERS; c++)
		record[c] = p->shares[c].record;
	s->last_write_ms = s->now_ms;
	s->writes++;
	if (s->global.rv != s->global_cache.rv || (chaos && rnd(s, 12) == 0))
		return false;
	check_given_up(s, record);
	memcpy(s->global.record, record, sizeof(record));
	if (!p->lost)
		s->global.placement_seen = s->global_cache.placement;
	global_changed(s);
	s->need_rv[AT_GLOBAL] = s->global.rv;
	if (chaos && rnd(s, 12) == 0)
		s->hold_until_ms = s->now_ms + HOLD_MS;
	return true;
}

static void send_effects(struct sim *s, const struct place_plan *p, bool chaos)
{
	for (unsigned c = 0; c < CLUSTERS && !s->failed; c++) {
		const struct place_share *x = &p->shares[c];
		const struct cluster *k = &s->cache[c];
		bool there = s->contact[c] == PLACE_UP && k->exists && !s->doubt_ms[c];
		if (x->act == PLACE_STAY ||
		    (x->act == PLACE_APPLY && there && k->want == x->replicas) ||
		    (x->act == PLACE_REMOVE && !there))
			continue;
		if (s->bug == BUG_DOWN_IS_EMPTY && s->contact[c] != PLACE_UP)
			continue;
		int64_t n = s->bug == BUG_BREAK_FIRST ? x->target : x->replicas;
		enum outcome o = api_write(s, c, x->act == PLACE_REMOVE ? -1 : n, chaos);
		if (o == DONE)
			s->need_rv[c] = s->world[c].rv;
		else if (o == UNKNOWN && s->bug != BUG_NO_DOUBT)
			s->doubt_ms[c] = s->now_ms;
		if (chaos && rnd(s, 60) == 0) { /* crash between two writes */
			s->dead_until_ms = s->now_ms + TAKEOVER_MS;
			return;
		}
	}
}

static void controller_step(struct sim *s, bool chaos)
{
	if (s->now_ms < s->dead_until_ms)
		return;
	if (s->dead_until_ms) {
		s->dead_until_ms = 0;
		forget_everything(s);
	}
	contact_step(s);
	if (s->now_ms < s->idle_until_ms || is_behind(s) || s->global_cache.gone)
		return;
	struct arena a = { 0 };
	struct place_cluster clusters[CLUSTERS];
	for (unsigned c = 0; c < CLUSTERS; c++)
		clusters[c] = seen(s, c);
	const struct global *g = &s->global_cache;
	struct place_input in = { .spec = &specs[g->spec],
				  .deleting = g->deleting,
				  .scalable = true,
				  .replicas = g->replicas,
				  .same_request = g->placement == g->placement_seen,
				  .clusters = clusters,
				  .clusters_len = CLUSTERS };
	struct place_plan p;
	placement_plan(&a, &in, &p);
	bool wrote = p.records_changed;
	if (wrote && (s->bug != BUG_NO_RECORD || rnd(s, 50) == 0))
		(void)write_records(s, &p, chaos);
	if (!wrote || s->bug == BUG_NO_RECORD)
		send_effects(s, &p, chaos);
	if (g->deleting && p.settled && !wrote && s->global.rv == g->rv) {
		s->global.gone = true;
		global_changed(s);
	}
	s->idle_until_ms = s->now_ms + rnd(s, 300);
	arena_fini(&a);
}

/* ---- everybody else ---- */

static void pods_step(struct sim *s)
{
	unsigned c = rnd(s, CLUSTERS);
	struct cluster *w = &s->world[c];
	if (w->exists && !w->dark && w->ready < w->want && rnd(s, 4) == 0) {
		w->ready_ms[w->ready++] = s->now_ms;
		changed(s, c);
	}
}

static void cut_step(struct sim *s)
{
	unsigned c = rnd(s, CLUSTERS);
	struct cluster *w = &s->world[c];
	if (w->cut && rnd(s, 3) == 0) {
		w->cut = w->dark = false;
		changed(s, c);
	} else if (!w->cut) {
		w->cut = true;
		w->cut_ms = s->now_ms;
		if (rnd(s, 3) == 0) {
			w->dark = true;
			w->ready = 0;
			s->lost_ms = s->now_ms;
		}
	}
}

static void ask(struct sim *s, int64_t replicas)
{
	if (s->asked_len == sizeof(s->asked) / sizeof(s->asked[0]))
		abort();
	s->asked[s->asked_len].ms = s->now_ms;
	s->asked[s->asked_len++].replicas = s->global.replicas;
	s->global.replicas = replicas;
	global_changed(s);
}

static void user_step(struct sim *s)
{
	switch (rnd(s, 6)) {
	case 0:
		ask(s, rnd(s, 13));
		break;
	case 1:
		s->global.spec = rnd(s, SPECS);
		s->global.placement++;
		global_changed(s);
		break;
	case 2:
		s->world[rnd(s, CLUSTERS)].cordoned ^= true;
		break;
	case 3:
		s->world[rnd(s, CLUSTERS)].tainted ^= true;
		break;
	case 4:
		if (rnd(s, 30) == 0) {
			s->global.deleting = true;
			global_changed(s);
		}
		break;
	case 5: { /* somebody deletes it in a cluster */
		unsigned c = rnd(s, CLUSTERS);
		if (!s->world[c].cut && rnd(s, 10) == 0) {
			s->world[c].exists = false;
			s->world[c].robbed = true;
			s->world[c].want = s->world[c].ready = 0;
			s->lost_ms = s->now_ms;
			changed(s, c);
		}
		break;
	}
	default:
		break;
	}
}

static void world_step(struct sim *s, bool chaos)
{
	pods_step(s);
	if (!chaos)
		return;
	if (rnd(s, 400) == 0)
		cut_step(s);
	if (rnd(s, 200) == 0)
		user_step(s);
	if (rnd(s, 2000) == 0)
		s->dead_until_ms = s->now_ms + TAKEOVER_MS;
}

static void heal(struct sim *s)
{
	for (unsigned c = 0; c < CLUSTERS; c++) {
		s->world[c].cut = s->world[c].dark = s->world[c].tainted = false;
		s->world[c].cordoned = false;
		changed(s, c);
	}
}

static void check_end(struct sim *s)
{
	int64_t sum = 0;
	for (unsigned c = 0; c < CLUSTERS; c++) {
		const struct cluster *w = &s->world[c];
		int64_t record = s->global.record[c];
		sum += w->want;
		check(s, w->ready == w->want, "replicas are not ready");
		check(s, record != PLACE_LEAVING, "something is still to be removed");
		check(s, w->exists == (record >= 0), "records and clusters differ");
		check(s, !w->exists || record == w->want, "a share is not as recorded");
	}
	check(s, sum == (s->global.deleting ? 0 : s->global.replicas), "not as many as asked for");
	check(s, s->last_write_ms + QUIET_MS < s->now_ms, "never comes to rest");
}

static const char *run(uint64_t seed, enum bug bug)
{
	static struct sim sim; /* large; one at a time */
	struct sim *s = &sim;
	memset(s, 0, sizeof(*s));
	s->seed = s->rng = seed;
	s->bug = bug;
	s->lost_ms = 0;
	s->global.replicas = 1 + rnd(s, 12);
	s->global.spec = rnd(s, SPECS);
	for (unsigned c = 0; c < CLUSTERS; c++)
		s->global.record[c] = PLACE_UNRECORDED;
	forget_everything(s);
	bool healed = false;
	for (; s->now_ms < CHAOS_MS + CALM_MS && !s->failed; s->now_ms += 1 + rnd(s, 100)) {
		bool chaos = s->now_ms < CHAOS_MS;
		if (!chaos && !healed)
			heal(s);
		healed = !chaos;
		world_step(s, chaos);
		watch_step(s);
		controller_step(s, chaos);
	}
	if (!s->failed)
		check_end(s);
	if (s->failed && bug == BUG_NONE)
		fprintf(stderr, "seed %llu, t=%llu ms: %s\n", (unsigned long long)seed,
			(unsigned long long)s->now_ms, s->failed);
	return s->failed;
}

/* Returns whether the bug is found. */
static bool hunt(enum bug bug)
{
	for (uint64_t seed = 1; seed <= BUG_SEEDS; seed++) {
		const char *how = run(seed, bug);
		if (how) {
			printf("planted bug %s: found by seed %llu (%s)\n", bug_names[bug],
			       (unsigned long long)seed, how);
			return true;
		}
	}
	fprintf(stderr, "planted bug %s: NOT found\n", bug_names[bug]);
	return false;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	for (uint64_t seed = first; seed < first + runs; seed++)
		if (run(seed, BUG_NONE))
			return 1;
	bool all = true;
	for (int b = BUG_NONE + 1; b < BUG_END && runs > 1; b++)
		all &= hunt((enum bug)b);
	printf("%llu runs, %llu simulated hours, no violation\n", (unsigned long long)runs,
	       (unsigned long long)(runs * (CHAOS_MS + CALM_MS) / 3600000));
	return all ? 0 : 1;
}
