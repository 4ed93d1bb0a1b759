/*
 * Simulation of alert controllers: the core and the real database (SQLite in memory) in a world with virtual time.
 *
 *   sim_alerts FIRST_SEED COUNT [BUG]
 *
 * Each seed is one run: conditions that come and go, two receivers that answer 500, late, or not at all (having
 * processed the notification or not), controllers that crash between any two effects, commits whose outcome is not
 * known, a second controller that takes over while the first goes on until the database refuses it.  The receivers
 * honour the idempotency key.  Checked at every post: one content per key; per receiver and group each sequence once and in
 * order; nothing told twice; nothing that a silence covers told as new; nothing told to have ended that was seen within
 * keep_firing_for.  Then the faults end: what fires is known to fire; then all ends: what was told is told to have
 * ended, and nothing is left under way.
 *
 * BUG plants one, which must be found (without BUG each is tried behind the seeds):
 *   fence     a leader that was replaced goes on posting what the database refuses
 *   early     posts go out before the database knows of them
 *   key       each attempt has a key of its own
 *   done      an answer that is no success counts as one
 *   forget    a restart does not know what was told
 *   doubt     after a commit that failed the controller goes on with its memory
 *   record    a restart does not know the notifications that may have been sent, and makes them anew
 *   ends      a restart does not know what fired: the ends are lost
 *   silence   a restart does not know the silences
 *   flap      keep_firing_for does not count
 */
#include "base/map.h"
#include "base/mem.h"
#include "core.h"
#include "json/json.h"
#include "payload.h"
#include "text/rfc3339.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RULES = 2,
	SERIES = 3, /* of each rule */
	RECEIVERS = 2,
	CONTROLLERS = 2,
	POSTS_MAX = 256,
	FAULT_STEPS = 150,
	SETTLE_STEPS = 70,
	STEPS = FAULT_STEPS + 2 * SETTLE_STEPS,
	KEEP_MS = 2000, /* keep_firing_for of rule B */
	DEADLINE_LONG_MS = 100000000,
	DEADLINE_SHORT_MS = 15000,
};

enum bug {
	BUG_NONE,
	BUG_FENCE,
	BUG_EARLY,
	BUG_KEY,
	BUG_DONE,
	BUG_FORGET,
	BUG_DOUBT,
	BUG_RECORD,
	BUG_ENDS,
	BUG_SILENCE,
	BUG_FLAP,
	BUGS
};
static const char *const bug_names[BUGS] = { "none", "fence",   "early", "key",
					     "done", "forget",  "doubt", "record",
					     "ends", "silence", "flap" };

/* A post on its way, and its answer on the way back. */
struct post {
	bool used, arrived, answered;
	int receiver, controller;
	uint64_t
		generation; /* of the controller: a restarted one gets no answers of its former life */
	char idem[64];
	char *payload;
	int64_t arrive_ms, answer_ms;
	bool lost;   /* never arrives */
	int status;  /* 0 = no answer */
	bool refuse; /* 500 without processing it */
};

struct told {
	bool firing;
};

struct inbox {
	struct map keys;   /* idem → payload (heap) */
	struct map groups; /* groupKey → struct last */
	struct map state;  /* fp → struct told */
};

struct last {
	int64_t sequence;
	char *alerts;
};

struct controller {
	struct core *core;
	int64_t epoch;
	uint64_t generation;
	int64_t seen_ms[SERIES]; /* rule B's series, not in the database yet; 0 = none */
};

/* When a series of rule B was last in a result, as the database knows; in order. */
struct history {
	int64_t at_ms[STEPS];
	size_t len;
};

struct run {
	uint64_t rng;
	enum bug bug;
	int64_t now;
	bool faults, strict;
	bool on[RULES][SERIES];
	struct alert_db *db;
	int64_t token;
	struct receiver *receivers[RECEIVERS];
	struct inbox inbox[RECEIVERS];
	struct controller ctl[CONTROLLERS];
	struct silence *silence; /* of node n1, while the faults last */
	struct history history[SERIES];
	struct post posts[POSTS_MAX];
	const char *broken;
	int64_t visible;
};

static uint64_t rnd(struct run *r, uint64_t n)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return n ? r->rng % n : 0;
}

static bool fault(struct run *r, uint64_t percent)
{
	return r->faults && rnd(r, 100) < percent;
}

static void broken(struct run *r, const char *why)
{
	if (!r->broken)
		r->broken = why;
}

/* ---- receivers ---- */

/* When the series of rule B was last seen, not after at_ms. */
static int64_t last_seen(const struct history *h, int64_t at_ms)
{
	size_t i = h->len;
	while (i > 0 && h->at_ms[i - 1] > at_ms)
		i--;
	return i ? h->at_ms[i - 1] : 0;
}

static int series_of(struct str node)
{
	return node.len == 2 && node.p[1] >= '1' && node.p[1] < '1' + SERIES ? node.p[1] - '1' : 0;
}

/* What one alert of a notification says against silences and keep_firing_for. */
static void check_alert(struct run *r, const struct json *x)
{
	const struct json *labels = json_getc(x, "labels");
	struct str node = json_str(json_getc(labels, "node"));
	int64_t starts = 0;
	int64_t ends = 0;
	(void)rfc3339_parse_ms(json_str(json_getc(x, "startsAt")), &starts);
	(void)rfc3339_parse_ms(json_str(json_getc(x, "endsAt")), &ends);
	if (str_is(json_str(json_getc(x, "status")), "firing")) {
		const struct silence *s = r->silence;
		if (str_is(node, "n1") && starts >= s->starts_ms && r->now < s->ends_ms)
			broken(r, "a silenced alert was told");
	} else if (str_is(json_str(json_getc(labels, "alertname")), "B") &&
		   ends - last_seen(&r->history[series_of(node)], ends) < KEEP_MS) {
		broken(r, "an alert was told to have ended that was there");
	}
}

static void see_alerts(struct run *r, struct inbox *in, const struct json *alerts)
{
	for (size_t i = 0; i < json_len(alerts); i++) {
		const struct json *x = json_at(alerts, i);
		check_alert(r, x);
		struct str fp = json_str(json_getc(x, "fingerprint"));
		struct told *t = map_get(&in->state, fp);
		if (!t) {
			t = mem_new(struct told, 1);
			(void)map_set(&in->state, fp, t);
		}
		t->firing = str_is(json_str(json_getc(x, "status")), "firing");
	}
}

/* A notification that the receiver had not seen before. */
static void process(struct run *r, int receiver, const char *payload)
{
	struct inbox *in = &r->inbox[receiver];
	struct arena a = { 0 };
	struct json j;
	if (json_parse(&a, str_of(payload), NULL, &j, NULL)) {
		broken(r, "a payload that is no JSON");
		arena_fini(&a);
		return;
	}
	struct str group = json_str(json_getc(&j, "groupKey"));
	int64_t sequence = json_i64(json_getc(&j, "groupSequence"), 0);
	struct last *last = map_get(&in->groups, group);
	if (!last) {
		last = mem_new(struct last, 1);
		(void)map_set(&in->groups, group, last);
	}
	char *alerts = mem_strdup(json_text(&a, json_getc(&j, "alerts")).p);
	if (!r->strict && sequence <= last->sequence) {
		mem_free(alerts); /* given up, and here after all: known to be old by its number */
		arena_fini(&a);
		return;
	}
	if (sequence != last->sequence + 1 && r->strict)
		broken(r, sequence <= last->sequence ? "a sequence twice or out of order"
						     : "a sequence is missing");
	if (r->strict && last->alerts && strcmp(last->alerts, alerts) == 0)
		broken(r, "the same thing told twice");
	last->sequence = sequence;
	mem_free(last->alerts);
	last->alerts = alerts;
	see_alerts(r, in, json_getc(&j, "alerts"));
	r->visible++;
	arena_fini(&a);
}

static void receive(struct run *r, const struct post *p)
{
	struct inbox *in = &r->inbox[p->receiver];
	const char *before = map_get(&in->keys, str_of(p->idem));
	if (before) {
		if (strcmp(before, p->payload) != 0)
			broken(r, "one key with two contents");
		return;
	}
	(void)map_set(&in->keys, str_of(p->idem), mem_strdup(p->payload));
	process(r, p->receiver, p->payload);
}

/* ---- controllers ---- */

static void stop(struct controller *c)
{
	c->core = core_free(c->core);
	memset(c->seen_ms, 0, sizeof(c->seen_ms));
	c->generation++;
}

static void claim(struct run *r, struct controller *c, bool takeover)
{
	struct arena a = { 0 };
	struct alert_image image;
	struct error err = { 0 };
	stop(c);
	r->token += takeover;
	if (alert_db_claim(r->db, STR("lease"), r->token, &a, &image, &err)) {
		broken(r, "the database cannot be claimed");
		arena_fini(&a);
		return;
	}
	if (r->bug == BUG_FORGET)
		image.rows.groups_len = 0;
	if (r->bug == BUG_RECORD)
		image.rows.deliveries_len = 0;
	if (r->bug == BUG_ENDS)
		image.rows.alerts_len = 0;
	c->epoch = image.epoch;
	c->core = core_new(&(struct core_config){ .origin = STR("sim"),
						  .deadline_ms = r->strict ? DEADLINE_LONG_MS
									   : DEADLINE_SHORT_MS,
						  .retention_ms = DEADLINE_LONG_MS });
	core_load(c->core, &image, r->now);
	for (int i = 0; i < RECEIVERS; i++)
		core_set_receiver(c->core, r->receivers[i]);
	if (r->bug != BUG_SILENCE)
		core_set_silence(c->core, r->silence);
	core_receivers_known(c->core);
	arena_fini(&a);
}

static void evaluate(struct run *r, struct controller *c, int rule)
{
	static const struct label name[RULES] = { { { "alertname", 9 }, { "A", 1 } },
						  { { "alertname", 9 }, { "B", 1 } } };
	static const char *const node[SERIES] = { "n1", "n2", "n3" };
	struct label labels[SERIES][2];
	struct core_seen seen[SERIES];
	size_t n = 0;
	for (int i = 0; i < SERIES; i++) {
		if (!r->on[rule][i])
			continue;
		labels[n][0] = name[rule];
		labels[n][1] = (struct label){ STR("node"), str_of(node[i]) };
		if (rule)
			c->seen_ms[i] = r->now;
		seen[n] = (struct core_seen){ .labels = { labels[n], 2 },
					      .timing = { rule ? 3000 : 0, 0 } };
		n++;
	}
	int64_t keep = r->bug == BUG_FLAP ? 0 : KEEP_MS;
	const struct core_round round = { .rule = rule ? STR("ns/r/g/B") : STR("ns/r/g/A"),
					  .expr = STR("x > 1"),
					  .seen = seen,
					  .len = n,
					  .timing = { 0, rule ? keep : 0 } };
	struct error err;
	if (core_observe(c->core, &round, r->now, &err))
		broken(r, "a result was refused");
}

static struct post *free_post(struct run *r)
{
	for (int i = 0; i < POSTS_MAX; i++)
		if (!r->posts[i].used)
			return &r->posts[i];
	return NULL;
}

static void post(struct run *r, int controller)
{
	struct controller *c = &r->ctl[controller];
	struct core_send s;
	while (c->core && core_next_send(c->core, r->now, &s)) {
		struct post *p = free_post(r);
		if (!p) {
			broken(r, "posts without end");
			return;
		}
		*p = (struct post){ .used = true,
				    .receiver = s.receiver == r->receivers[0] ? 0 : 1,
				    .controller = controller,
				    .generation = c->generation,
				    .arrive_ms = r->now,
				    .answer_ms = r->now,
				    .status = 200 };
		(void)snprintf(p->idem, sizeof(p->idem), "%.*s", STR_ARG(s.idem));
		if (r->bug == BUG_KEY)
			(void)snprintf(p->idem, sizeof(p->idem), "%.*s-%u", STR_ARG(s.idem),
				       s.attempt);
		p->payload = mem_strndup(s.payload.p, s.payload.len);
		if (fault(r, 15))
			p->arrive_ms += (int64_t)rnd(r, 20000);
		p->answer_ms = p->arrive_ms;
		p->lost = fault(r, 10);
		p->refuse = fault(r, 15);
		if (p->refuse)
			p->status = 500;
		/* the controller gives up waiting; the notification may be, or get, there all the same */
		if (p->lost || fault(r, 10) || p->answer_ms > r->now + s.receiver->timeout_ms) {
			p->status = 0;
			p->answer_ms = r->now + s.receiver->timeout_ms;
		}
	}
}

/* The database has what the controller saw. */
static void stored(struct run *r, struct controller *c)
{
	for (int i = 0; i < SERIES; i++) {
		struct history *h = &r->history[i];
		if (c->seen_ms[i] && h->len < STEPS)
			h->at_ms[h->len++] = c->seen_ms[i];
		c->seen_ms[i] = 0;
	}
}

/* One batch to the database, with all that can happen on the way. */
static void commit(struct run *r, int index)
{
	struct controller *c = &r->ctl[index];
	struct arena a = { 0 };
	struct alert_batch b;
	struct error err = { 0 };
	bool any = core_flush(c->core, r->now, &a, &b);
	if (any && fault(r, 3)) { /* a crash, or an error, before it */
		if (r->bug == BUG_EARLY || r->bug == BUG_DOUBT)
			core_flushed(c->core);
		if (r->bug == BUG_EARLY)
			post(r, index);
		if (r->bug != BUG_DOUBT)
			claim(r, c, true);
		arena_fini(&a);
		return;
	}
	int rc = any ? alert_db_commit(r->db, c->epoch, &b, &err) : 0;
	arena_fini(&a);
	if (rc && r->bug == BUG_FENCE)
		rc = 0;
	if (rc == ERR_FORBIDDEN) {
		stop(c);
		return;
	}
	if (rc && r->bug == BUG_NONE)
		broken(r, "the database refused a batch");
	if (any && (rc || fault(r, 4))) /* a crash behind it, or the outcome is not known */
		claim(r, c, rnd(r, 2));
	else {
		core_flushed(c->core);
		stored(r, c);
	}
}

static void deliver(struct run *r)
{
	for (int i = 0; i < POSTS_MAX; i++) {
		struct post *p = &r->posts[i];
		if (!p->used)
			continue;
		if (!p->arrived && (p->lost || r->now >= p->arrive_ms)) {
			p->arrived = true;
			if (!p->lost && !p->refuse)
				receive(r, p);
		}
		struct controller *c = &r->ctl[p->controller];
		if (!p->answered && r->now >= p->answer_ms) {
			p->answered = true;
			struct core_sent sent = { .status = p->status };
			if (r->bug == BUG_DONE)
				sent.status = 200;
			if (c->core && c->generation == p->generation) {
				char plain[64];
				(void)snprintf(plain, sizeof(plain), "%.32s", p->idem);
				(void)core_sent(c->core, str_of(plain), &sent, r->now,
						rnd(r, UINT64_MAX));
			}
		}
		if (p->arrived && p->answered) {
			mem_free(p->payload);
			*p = (struct post){ 0 };
		}
	}
}

/* ---- a run ---- */

static void change_conditions(struct run *r)
{
	if (rnd(r, 4))
		return;
	bool *b = &r->on[rnd(r, RULES)][rnd(r, SERIES)];
	*b = !*b;
}

static int leader(const struct run *r)
{
	int best = -1;
	for (int i = 0; i < CONTROLLERS; i++)
		if (r->ctl[i].core && (best < 0 || r->ctl[i].epoch > r->ctl[best].epoch))
			best = i;
	return best;
}

static void step(struct run *r)
{
	r->now += 200 + (int64_t)rnd(r, 1500);
	if (r->faults)
		change_conditions(r);
	deliver(r);
	if (leader(r) < 0)
		claim(r, &r->ctl[rnd(r, CONTROLLERS)], true);
	else if (fault(r, 3)) /* another takes over; the one before does not know yet */
		claim(r, &r->ctl[1 - leader(r)], true);
	for (int i = 0; i < CONTROLLERS; i++) {
		struct controller *c = &r->ctl[i];
		if (!c->core || fault(r, 20)) /* paused */
			continue;
		for (int k = 0; k < RULES; k++)
			if (!fault(r, 30))
				evaluate(r, c, k);
		core_run(c->core, r->now);
		if (fault(r, 2)) { /* crash with everything unsaved */
			stop(c);
			continue;
		}
		commit(r, i);
		if (!c->core)
			continue;
		if (fault(r, 2)) { /* crash before the posts */
			stop(c);
			continue;
		}
		post(r, i);
	}
}

static void fingerprint_of(int rule, int series, char out[FINGERPRINT_LEN + 1])
{
	const char *const node[SERIES] = { "n1", "n2", "n3" };
	const struct label l[2] = { { STR("alertname"), rule ? STR("B") : STR("A") },
				    { STR("node"), str_of(node[series]) } };
	fingerprint((struct labels){ l, 2 }, out);
}

static void check_known(struct run *r)
{
	for (int k = 0; k < RULES; k++)
		for (int i = 0; i < SERIES; i++) {
			char fp[FINGERPRINT_LEN + 1];
			fingerprint_of(k, i, fp);
			for (int x = 0; x < RECEIVERS; x++) {
				const struct told *t = map_get(&r->inbox[x].state, str_of(fp));
				bool firing = t && t->firing;
				if (r->on[k][i] && !firing)
					broken(r, "an alert fires and was never told");
				if (!r->on[k][i] && firing)
					broken(r, "an alert ended and its end was never told");
			}
		}
	const struct controller *c = &r->ctl[leader(r)];
	for (int x = 0; x < RECEIVERS; x++)
		if (core_queued(c->core, r->receivers[x]->key))
			broken(r, "a notification is under way for ever");
}

static struct receiver *make_receiver(const char *name, const char *group_by, const char *timing)
{
	struct arena a = { 0 };
	struct json j;
	struct str text = arena_strf(&a,
				     "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\"},"
				     "\"spec\":{\"groupBy\":[%s],%s,\"repeatInterval\":\"1000h\","
				     "\"webhook\":{\"url\":\"http://x/\",\"timeout\":\"5s\"}}}",
				     name, group_by, timing);
	struct receiver *r = NULL;
	if (json_parse(&a, text, NULL, &j, NULL) == 0)
		r = receiver_new(arena_strf(&a, "ns/%s", name), &j);
	arena_fini(&a);
	return r;
}

static struct silence *make_silence(struct run *r)
{
	struct arena a = { 0 };
	struct json j;
	struct buf b = { 0 };
	int64_t from = r->now / 1000 + 10 + (int64_t)rnd(r, 30);
	buf_adds(&b,
		 "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"quiet\"},\"spec\":{\"matchers\":["
		 "{\"name\":\"node\",\"op\":\"=~\",\"value\":\"n1|x.*\"}],\"startsAt\":\"");
	rfc3339_write(&b, from);
	buf_adds(&b, "\",\"endsAt\":\"");
	rfc3339_write(&b, from + 50);
	buf_adds(&b, "\"}}");
	struct silence *s = NULL;
	if (json_parse(&a, buf_str(&b), NULL, &j, NULL) == 0)
		s = silence_new(STR("ns/quiet"), &j);
	buf_fini(&b);
	arena_fini(&a);
	return s;
}

static void free_values(struct map *m)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(m, &pos, NULL, &v))
		mem_free(v);
	map_fini(m);
}

static void finish(struct run *r)
{
	for (int i = 0; i < CONTROLLERS; i++)
		stop(&r->ctl[i]);
	for (int i = 0; i < RECEIVERS; i++) {
		(void)receiver_free(r->receivers[i]);
		free_values(&r->inbox[i].keys);
		free_values(&r->inbox[i].state);
		size_t pos = 0;
		void *v = NULL;
		while (map_next(&r->inbox[i].groups, &pos, NULL, &v))
			mem_free(((struct last *)v)->alerts);
		free_values(&r->inbox[i].groups);
	}
	(void)silence_free(r->silence);
	for (int i = 0; i < POSTS_MAX; i++)
		mem_free(r->posts[i].payload);
	(void)alert_db_close(r->db);
}

/* NULL when all held, else what did not. */
static const char *run(uint64_t seed, enum bug bug, int64_t *visible)
{
	struct run *r = mem_new(struct run, 1);
	struct error err = { 0 };
	r->rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	r->bug = bug;
	r->now = 1700000000000;
	r->faults = true;
	r->strict = rnd(r, 4) != 0;
	r->silence = make_silence(r);
	r->receivers[0] = make_receiver("one", "\"alertname\"",
					"\"groupWait\":\"1s\",\"groupInterval\":\"4s\"");
	r->receivers[1] =
		make_receiver("two", "\"...\"", "\"groupWait\":\"0s\",\"groupInterval\":\"2s\"");
	if (alert_db_open("sqlite::memory:", &r->db, &err))
		broken(r, "no database");
	for (int i = 0; i < FAULT_STEPS && !r->broken; i++)
		step(r);
	r->faults = false;
	for (int i = 0; i < SETTLE_STEPS && !r->broken; i++)
		step(r);
	if (!r->broken)
		check_known(r);
	memset(r->on, 0, sizeof(r->on));
	for (int i = 0; i < SETTLE_STEPS && !r->broken; i++)
		step(r);
	if (!r->broken)
		check_known(r);
	const char *why = r->broken;
	*visible += r->visible;
	finish(r);
	mem_free(r);
	return why;
}

static bool bug_is_found(enum bug bug, uint64_t first, uint64_t most)
{
	int64_t visible = 0;
	for (uint64_t s = first; s < first + most; s++) {
		const char *why = run(s, bug, &visible);
		if (!why)
			continue;
		(void)printf("planted %s: found with seed %" PRIu64 ": %s\n", bug_names[bug], s,
			     why);
		return true;
	}
	(void)printf("planted %s: NOT FOUND in %" PRIu64 " seeds\n", bug_names[bug], most);
	return false;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
	if (argc > 3) {
		for (int b = 1; b < BUGS; b++)
			if (strcmp(argv[3], bug_names[b]) == 0)
				return bug_is_found((enum bug)b, first, count) ? 1 : 0;
		(void)fprintf(stderr, "unknown bug %s\n", argv[3]);
		return 2;
	}
	int64_t visible = 0;
	for (uint64_t s = first; s < first + count; s++) {
		const char *why = run(s, BUG_NONE, &visible);
		if (why) {
			(void)printf("seed %" PRIu64 ": %s\n", s, why);
			return 1;
		}
	}
	(void)printf("%" PRIu64 " seeds, %" PRId64 " notifications\n", count, visible);
	bool all = true;
	for (int b = 1; b < BUGS; b++)
		all = bug_is_found((enum bug)b, first, 200) && all;
	return all ? 0 : 1;
}
