#include "base/arena.h"
#include "base/buf.h"
#include "placement_plan.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

/*
 * Clusters in words, one a line: NAME REGION and any of
 *   down unknown gone(no Cluster object) cordoned sick(no ready node) fail=SECONDS fits=N
 *   rec=N leaving stood=READY  there=CURRENT/READY deleting  label=KEY:VALUE taint=KEY:EFFECT(n, x, p)
 */
enum { CLUSTERS = 16 };

struct world {
	struct arena a;
	struct place_cluster c[CLUSTERS];
	size_t len;
};

static void word(struct world *w, struct place_cluster *c, char *t)
{
	char *v = strchr(t, '=');
	char *colon = v ? strchr(v, ':') : NULL;
	if (v)
		*v++ = '\0';
	if (colon)
		*colon++ = '\0';
	if (!strcmp(t, "down"))
		c->contact = PLACE_DOWN;
	else if (!strcmp(t, "unknown"))
		c->contact = PLACE_UNKNOWN;
	else if (!strcmp(t, "gone"))
		c->listed = false, c->contact = PLACE_DOWN;
	else if (!strcmp(t, "cordoned"))
		c->unschedulable = true;
	else if (!strcmp(t, "sick"))
		c->well = false;
	else if (!strcmp(t, "fail"))
		c->failing_ms = strtoull(v, NULL, 10) * 1000;
	else if (!strcmp(t, "fits"))
		c->fits = atoll(v);
	else if (!strcmp(t, "rec"))
		c->record = atoll(v);
	else if (!strcmp(t, "leaving"))
		c->record = PLACE_LEAVING;
	else if (!strcmp(t, "there"))
		c->exists = true, c->current = atoll(v), c->ready = atoll(strchr(v, '/') + 1);
	else if (!strcmp(t, "stood"))
		c->standing = atoll(v);
	else if (!strcmp(t, "deleting"))
		c->deleting = true;
	else if (!strcmp(t, "label")) {
		struct label_pair *p = arena_new(&w->a, struct label_pair, 1);
		*p = (struct label_pair){ str_of(v), str_of(colon) };
		c->labels = p;
		c->labels_len = 1;
	} else if (!strcmp(t, "taint")) {
		struct place_taint *p = arena_new(&w->a, struct place_taint, 1);
		*p = (struct place_taint){ .key = str_of(v),
					   .effect = *colon == 'n'   ? PLACE_NO_SCHEDULE
						     : *colon == 'x' ? PLACE_NO_EXECUTE
								     : PLACE_PREFER_NO_SCHEDULE };
		c->taints = p;
		c->taints_len = 1;
	} else {
		cr_assert_fail("unknown word %s", t);
	}
}

static void world_from(struct world *w, const char *text)
{
	char *copy = arena_strdup(&w->a, text);
	char *line_save = NULL;
	for (char *l = strtok_r(copy, ";", &line_save); l; l = strtok_r(NULL, ";", &line_save)) {
		struct place_cluster *c = &w->c[w->len++];
		*c = (struct place_cluster){ .listed = true,
					     .contact = PLACE_UP,
					     .well = true,
					     .record = PLACE_UNRECORDED,
					     .standing = -1 };
		char *save = NULL;
		c->name = str_of(strtok_r(l, " ", &save));
		c->region = str_of(strtok_r(NULL, " ", &save));
		for (char *t = strtok_r(NULL, " ", &save); t; t = strtok_r(NULL, " ", &save))
			word(w, c, t);
	}
}

/* "a=+3(3) b=-(L) c=.(2)": apply 3 with record 3, remove with record leaving, stay with record 2; "!" in front = settled. */
static const char *told(struct arena *a, const struct world *w, const struct place_plan *p)
{
	struct buf b = { 0 };
	static const char *const verdicts[] = { "",          "",       "waits: ", "few: ",
						"nowhere: ", "fuse: ", "held: ",  "" };
	buf_adds(&b, verdicts[p->verdict]);
	if (p->settled)
		buf_addc(&b, '!');
	for (size_t i = 0; i < w->len; i++) {
		const struct place_share *s = &p->shares[i];
		buf_addf(&b, "%s%.*s=", i ? " " : "", STR_ARG(w->c[i].name));
		if (s->act == PLACE_APPLY)
			buf_addf(&b, "+%lld", (long long)s->replicas);
		else
			buf_addc(&b, s->act == PLACE_REMOVE ? '-' : '.');
		if (s->record == PLACE_LEAVING)
			buf_adds(&b, "(L)");
		else if (s->record != PLACE_UNRECORDED)
			buf_addf(&b, "(%lld)", (long long)s->record);
	}
	const char *out = arena_strdup(a, buf_cstr(&b));
	buf_fini(&b);
	return out;
}

static const struct place_weight heavy_eu[] = { { .region = STR("eu"), .weight = 2 },
						{ .cluster = STR("us-2"), .weight = 0 } };
static const struct str only_eu[] = { STR("eu-1"), STR("eu-2") };
static const struct str not_eu1[] = { STR("eu-1") };
static const struct place_toleration any_old[] = { { .key = STR("old"), .exists = true } };
static const struct str prod = { "prod", 4 };
static const struct label_req prod_req[] = {
	{ .key = { "env", 3 }, .op = LABEL_EQUALS, .values = &prod, .values_len = 1 }
};

#define DIVIDES_NOT .divide = false
#define DIVIDE      .divide = true
#define MOVE_30S    .failover = true, .move_after_ms = 30000

struct plan_case {
	const char *name;
	struct place_spec spec;
	int64_t replicas;
	const char *clusters;
	const char *expect;
};

static const struct plan_case cases[] = {
	{ "nothing there: both regions get half",
	  { DIVIDE },
	  6,
	  "eu-1 eu;us-1 us",
	  "eu-1=+3(0) us-1=+3(0)" },
	{ "duplicate: everywhere all",
	  { DIVIDES_NOT },
	  6,
	  "eu-1 eu;us-1 us",
	  "eu-1=+6(0) us-1=+6(0)" },
	{ "all is as it is to be",
	  { DIVIDE },
	  6,
	  "eu-1 eu rec=3 there=3/3;us-1 us rec=3 there=3/3",
	  "!eu-1=+3(3) us-1=+3(3)" },
	{ "not ready is not settled",
	  { DIVIDE },
	  6,
	  "eu-1 eu rec=3 there=3/3;us-1 us rec=3 there=3/2",
	  "eu-1=+3(3) us-1=+3(3)" },
	{ "the odd one goes to the first name",
	  { DIVIDE },
	  7,
	  "eu-1 eu;us-1 us",
	  "eu-1=+4(0) us-1=+3(0)" },
	{ "unless it is elsewhere already",
	  { DIVIDE },
	  7,
	  "eu-1 eu rec=3 there=3/3;us-1 us rec=4 there=4/4",
	  "!eu-1=+3(3) us-1=+4(4)" },
	{ "weights of regions are shared, clusters win",
	  { DIVIDE, .weights = heavy_eu, .weights_len = 2 },
	  6,
	  "eu-1 eu;eu-2 eu;us-1 us;us-2 us",
	  "eu-1=+2(0) eu-2=+2(0) us-1=+2(0) us-2=." },
	{ "skew over regions beats the number of clusters",
	  { DIVIDE, .regions = { .skew = 1 } },
	  6,
	  "eu-1 eu;eu-2 eu;us-1 us",
	  "eu-1=+2(0) eu-2=+1(0) us-1=+3(0)" },
	{ "skew over clusters",
	  { DIVIDE, .weights = heavy_eu, .weights_len = 1, .clusters = { .skew = 1 } },
	  7,
	  "eu-1 eu;us-1 us",
	  "eu-1=+4(0) us-1=+3(0)" },
	{ "more clusters than replicas", { DIVIDE }, 1, "eu-1 eu;us-1 us", "eu-1=+1(0) us-1=." },
	{ "zero replicas are there with zero",
	  { DIVIDE },
	  0,
	  "eu-1 eu rec=3 there=3/3;us-1 us",
	  "eu-1=+0(0) us-1=+0(0)" },
	{ "names narrow",
	  { .has_names = true, .names = only_eu, .names_len = 2 },
	  2,
	  "eu-1 eu;us-1 us",
	  "eu-1=+2(0) us-1=." },
	{ "exclude takes away",
	  { .excludes = not_eu1, .excludes_len = 1 },
	  2,
	  "eu-1 eu;us-1 us",
	  "eu-1=. us-1=+2(0)" },
	{ "labels select",
	  { .selector = { .reqs = prod_req, .reqs_len = 1 } },
	  2,
	  "eu-1 eu label=env:prod;us-1 us label=env:test",
	  "eu-1=+2(0) us-1=." },
	{ "cordoned takes nothing new",
	  { DIVIDE },
	  4,
	  "eu-1 eu cordoned;us-1 us",
	  "eu-1=. us-1=+4(0)" },
	{ "and keeps what it has",
	  { DIVIDE },
	  4,
	  "eu-1 eu cordoned rec=2 there=2/2;us-1 us rec=2 there=2/2",
	  "!eu-1=+2(2) us-1=+2(2)" },
	{ "NoSchedule keeps new shares away",
	  { DIVIDE },
	  4,
	  "eu-1 eu taint=old:n;us-1 us",
	  "eu-1=. us-1=+4(0)" },
	{ "a toleration lets them in",
	  { DIVIDE, .tolerations = any_old, .tolerations_len = 1 },
	  4,
	  "eu-1 eu taint=old:n;us-1 us",
	  "eu-1=+2(0) us-1=+2(0)" },
	{ "NoExecute moves, started elsewhere first",
	  { DIVIDE },
	  4,
	  "eu-1 eu taint=old:x rec=2 there=2/2;us-1 us rec=2 there=2/2",
	  "eu-1=+2(2) us-1=+4(2)" },
	{ "taken away when ready elsewhere",
	  { DIVIDE },
	  4,
	  "eu-1 eu taint=old:x rec=2 there=2/2;us-1 us rec=4 there=4/4",
	  "eu-1=-(L) us-1=+4(4)" },
	{ "bit by bit",
	  { DIVIDE },
	  4,
	  "eu-1 eu taint=old:x rec=2 there=2/2;us-1 us rec=4 there=4/3",
	  "eu-1=+1(1) us-1=+4(4)" },
	{ "a shrink on record counts as done",
	  { DIVIDE },
	  6,
	  "eu-1 eu taint=old:x rec=1 there=3/3;eu-2 eu taint=old:x rec=2 there=2/2;us-1 us rec=6 "
	  "there=6/3",
	  "eu-1=+1(1) eu-2=+2(2) us-1=+6(6)" },
	{ "what is not ready may go",
	  { DIVIDE },
	  4,
	  "eu-1 eu taint=old:x rec=2 there=2/0;us-1 us rec=4 there=4/0",
	  "eu-1=-(L) us-1=+4(4)" },
	{ "PreferNoSchedule if it can be helped",
	  { .clusters = { .max = 1 } },
	  1,
	  "eu-1 eu taint=old:p;us-1 us",
	  "eu-1=. us-1=+1(0)" },
	{ "max clusters: one of each region in turn",
	  { DIVIDE, .clusters = { .max = 2 } },
	  4,
	  "eu-1 eu;eu-2 eu;us-1 us",
	  "eu-1=+2(0) eu-2=. us-1=+2(0)" },
	{ "max clusters: where it is it stays",
	  { DIVIDE, .clusters = { .max = 2 } },
	  4,
	  "eu-1 eu rec=2 there=2/2;eu-2 eu rec=2 there=2/2;us-1 us",
	  "!eu-1=+2(2) eu-2=+2(2) us-1=." },
	{ "unless there must be two regions",
	  { DIVIDE, .clusters = { .max = 2 }, .regions = { .min = 2 } },
	  4,
	  "eu-1 eu rec=2 there=2/2;eu-2 eu rec=2 there=2/2;us-1 us",
	  "eu-1=+2(2) eu-2=+2(2) us-1=+2(0)" },
	{ "max regions",
	  { DIVIDE, .regions = { .max = 1 } },
	  4,
	  "eu-1 eu;us-1 us;us-2 us rec=4 there=4/4",
	  "eu-1=. us-1=+2(0) us-2=+4(4)" },
	{ "too few regions: nothing changes",
	  { DIVIDE, .regions = { .min = 3 } },
	  6,
	  "eu-1 eu rec=1 there=1/1;us-1 us",
	  "few: eu-1=.(1) us-1=." },
	{ "too few clusters", { .clusters = { .min = 2 } }, 6, "eu-1 eu", "few: eu-1=." },
	{ "no cluster",
	  { .excludes = not_eu1, .excludes_len = 1 },
	  6,
	  "eu-1 eu rec=6 there=6/6",
	  "nowhere: eu-1=.(6)" },
	{ "suspended",
	  { DIVIDE, .suspend = true },
	  6,
	  "eu-1 eu rec=1 there=1/1;us-1 us",
	  "held: eu-1=.(1) us-1=." },
	{ "a cluster is not known yet",
	  { DIVIDE },
	  6,
	  "eu-1 eu rec=3 there=3/3;us-1 us unknown rec=3",
	  "waits: eu-1=.(3) us-1=.(3)" },
	/* clusters that fail */
	{ "unreachable: the share stands",
	  { DIVIDE },
	  6,
	  "eu-1 eu down fail=9999 rec=3;us-1 us rec=3 there=3/3",
	  "!eu-1=.(3) us-1=+3(3)" },
	{ "unreachable, not for long",
	  { DIVIDE, MOVE_30S },
	  6,
	  "eu-1 eu down fail=10 rec=3;us-1 us rec=3 there=3/3",
	  "!eu-1=.(3) us-1=+3(3)" },
	{ "unreachable for too long: started elsewhere",
	  { DIVIDE, MOVE_30S },
	  6,
	  "eu-1 eu down fail=30 rec=3;us-1 us rec=3 there=3/3",
	  "eu-1=.(3) us-1=+6(3)" },
	{ "not given up before it is ready there",
	  { DIVIDE, MOVE_30S },
	  6,
	  "eu-1 eu down fail=60 rec=3;us-1 us rec=6 there=6/5",
	  "eu-1=.(3) us-1=+6(6)" },
	{ "given up then",
	  { DIVIDE, MOVE_30S },
	  6,
	  "eu-1 eu down fail=60 rec=3;us-1 us rec=6 there=6/6",
	  "!eu-1=.(L) us-1=+6(6)" },
	{ "Keep leaves the unreachable alone",
	  { DIVIDE, MOVE_30S, .keep_disconnected = true },
	  6,
	  "eu-1 eu down fail=60 rec=3;us-1 us rec=3 there=3/3",
	  "!eu-1=.(3) us-1=+3(3)" },
	{ "Keep moves from sick ones",
	  { DIVIDE, MOVE_30S, .keep_disconnected = true },
	  6,
	  "eu-1 eu sick fail=60 rec=3 there=3/0;us-1 us rec=3 there=3/3",
	  "eu-1=+3(3) us-1=+6(3)" },
	{ "and then takes the share away",
	  { DIVIDE, MOVE_30S },
	  6,
	  "eu-1 eu sick fail=60 rec=3 there=3/0;us-1 us rec=6 there=6/6",
	  "eu-1=-(L) us-1=+6(6)" },
	{ "back before it was given up: the replacement shrinks",
	  { DIVIDE, MOVE_30S },
	  6,
	  "eu-1 eu rec=3 there=3/3;us-1 us rec=6 there=6/4",
	  "eu-1=+3(3) us-1=+3(3)" },
	{ "… to its share",
	  { DIVIDE, MOVE_30S },
	  6,
	  "eu-1 eu rec=3 there=3/3;us-1 us rec=6 there=6/6",
	  "eu-1=+3(3) us-1=+3(3)" },
	{ "back after it was given up: it has a share again first",
	  { DIVIDE, MOVE_30S },
	  6,
	  "eu-1 eu leaving there=3/3;us-1 us rec=6 there=6/6",
	  "eu-1=+3(3) us-1=+6(6)" },
	{ "… and what nobody wants is removed",
	  { DIVIDE, .clusters = { .max = 1 } },
	  6,
	  "eu-1 eu leaving there=3/3;us-1 us rec=6 there=6/6",
	  "eu-1=-(L) us-1=+6(6)" },
	{ "removed: forgotten",
	  { DIVIDE, .clusters = { .max = 1 } },
	  6,
	  "eu-1 eu leaving;us-1 us rec=6 there=6/6",
	  "eu-1=. us-1=+6(6)" },
	{ "scaled up meanwhile",
	  { DIVIDE },
	  10,
	  "eu-1 eu down fail=5 rec=3;us-1 us rec=3 there=3/3",
	  "eu-1=.(3) us-1=+7(3)" },
	{ "scaled down meanwhile: the others keep their share",
	  { DIVIDE },
	  2,
	  "eu-1 eu down fail=5 rec=3;us-1 us rec=3 there=3/3",
	  "eu-1=.(3) us-1=+1(1)" },
	{ "what was not ready when it was last seen is not counted on",
	  { DIVIDE },
	  6,
	  "eu-1 eu down fail=5 rec=3 stood=1;us-1 us rec=5 there=5/5",
	  "eu-1=.(3) us-1=+5(5)" },
	{ "never placed in a cluster that cannot be reached",
	  { DIVIDE },
	  6,
	  "eu-1 eu down fail=5;us-1 us",
	  "eu-1=. us-1=+6(0)" },
	{ "moved to nowhere is not given up",
	  { DIVIDE, MOVE_30S },
	  6,
	  "eu-1 eu down fail=60 rec=3;us-1 us down fail=5 rec=3",
	  "eu-1=.(3) us-1=.(3)" },
	{ "not drained for one that cannot be reached",
	  { DIVIDES_NOT, .excludes = not_eu1, .excludes_len = 1 },
	  3,
	  "eu-1 eu rec=3 there=3/3;us-1 us down fail=5 rec=3",
	  "eu-1=+3(3) us-1=.(3)" },
	{ "a Cluster object that is gone is replaced",
	  { DIVIDE },
	  6,
	  "eu-1 eu gone rec=3;us-1 us rec=3 there=3/3",
	  "eu-1=.(3) us-1=+6(3)" },
	{ "… and then forgotten",
	  { DIVIDE },
	  6,
	  "eu-1 eu gone rec=3;us-1 us rec=6 there=6/6",
	  "!eu-1=. us-1=+6(6)" },
	/* capacity */
	{ "by free room",
	  { DIVIDE, .by_capacity = true },
	  6,
	  "eu-1 eu fits=10;us-1 us fits=20",
	  "eu-1=+2(0) us-1=+4(0)" },
	{ "what stands stays",
	  { DIVIDE, .by_capacity = true },
	  6,
	  "eu-1 eu fits=1 rec=2 there=2/2;us-1 us fits=90 rec=4 there=4/4",
	  "!eu-1=+2(2) us-1=+4(4)" },
	{ "only the difference is divided",
	  { DIVIDE, .by_capacity = true },
	  9,
	  "eu-1 eu fits=0 rec=2 there=2/2;us-1 us fits=90 rec=4 there=4/4",
	  "eu-1=+2(2) us-1=+7(4)" },
	{ "less: by what each has",
	  { DIVIDE, .by_capacity = true },
	  3,
	  "eu-1 eu fits=0 rec=2 there=2/2;us-1 us fits=90 rec=4 there=4/4",
	  "eu-1=+1(1) us-1=+2(2)" },
	{ "a lost record is what is there",
	  { DIVIDE },
	  6,
	  "eu-1 eu there=3/3;us-1 us rec=3 there=3/3",
	  "!eu-1=+3(3) us-1=+3(3)" },
	{ "one that is being deleted comes back later",
	  { DIVIDE },
	  6,
	  "eu-1 eu rec=3 there=3/3 deleting;us-1 us rec=3 there=3/3",
	  "eu-1=.(0) us-1=+3(3)" },
};

static struct place_plan run(struct world *w, const struct place_input *in)
{
	struct place_plan p;
	placement_plan(&w->a, in, &p);
	return p;
}

Test(placement_plan, follows_the_table)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct plan_case *k = &cases[i];
		struct world w = { 0 };
		world_from(&w, k->clusters);
		struct place_plan p = run(&w, &(struct place_input){ .spec = &k->spec,
								     .scalable = true,
								     .replicas = k->replicas,
								     .clusters = w.c,
								     .clusters_len = w.len });
		cr_expect_str_eq(told(&w.a, &w, &p), k->expect, "%s: %s", k->name,
				 told(&w.a, &w, &p));
		arena_fini(&w.a);
	}
}

static const struct {
	const char *name;
	bool released, deleting;
	const char *clusters, *expect;
} leaving[] = {
	{ "no Placement: nothing is touched", false, false,
	  "eu-1 eu rec=3 there=3/3;us-1 us down rec=3", "eu-1=.(3) us-1=.(3)" },
	{ "no Placement: what was given up goes", false, false,
	  "eu-1 eu leaving there=3/3;us-1 us leaving down", "eu-1=-(L) us-1=.(L)" },
	{ "released: out of all that can be reached", true, false,
	  "eu-1 eu rec=3 there=3/3;us-1 us down rec=3", "eu-1=-(L) us-1=.(L)" },
	{ "deleted, and gone everywhere", false, true, "eu-1 eu leaving;us-1 us",
	  "!eu-1=. us-1=." },
	{ "deleted: waits for what is not known yet", false, true,
	  "eu-1 eu unknown rec=3;us-1 us rec=3 there=3/3", "eu-1=.(3) us-1=-(L)" },
	{ "deleted: a Cluster that is gone is forgotten", false, true, "eu-1 eu gone rec=3",
	  "!eu-1=." },
	{ "deleted: asked once", false, true, "eu-1 eu rec=3 there=3/3 deleting", "eu-1=.(L)" },
};

Test(placement_plan, takes_out_only_what_was_let_go)
{
	for (size_t i = 0; i < sizeof(leaving) / sizeof(leaving[0]); i++) {
		struct world w = { 0 };
		world_from(&w, leaving[i].clusters);
		struct place_plan p =
			run(&w, &(struct place_input){ .released = leaving[i].released,
						       .deleting = leaving[i].deleting,
						       .scalable = true,
						       .replicas = 6,
						       .clusters = w.c,
						       .clusters_len = w.len });
		cr_expect_str_eq(told(&w.a, &w, &p), leaving[i].expect, "%s: %s", leaving[i].name,
				 told(&w.a, &w, &p));
		arena_fini(&w.a);
	}
}

Test(placement_plan, stops_when_too_many_clusters_would_lose_a_workload)
{
	const char *three = "a r taint=old:x rec=1 there=1/1;b r taint=old:x rec=1 there=1/1;"
			    "c r gone rec=1;d s rec=1 there=1/1";
	const char *two = "a r taint=old:x rec=1 there=1/1;b r taint=old:x rec=1 there=1/1;"
			  "c r rec=1 there=1/1;d s rec=1 there=1/1";
	struct world w = { 0 };
	struct place_spec spec = { DIVIDE };
	struct place_input in = { .spec = &spec, .scalable = true, .replicas = 4, .clusters = w.c };
	world_from(&w, three);
	in.clusters_len = w.len;
	in.same_request = true;
	struct place_plan p = run(&w, &in);
	cr_expect_eq(p.verdict, PLACE_FUSE);
	cr_expect_str_eq(told(&w.a, &w, &p), "fuse: a=.(1) b=.(1) c=.(1) d=.(1)");
	in.same_request = false; /* the user changed the Placement: it is what was asked for */
	cr_expect_eq(run(&w, &in).verdict, PLACE_OK);
	in.same_request = true;
	spec.removals_max = 3;
	cr_expect_eq(run(&w, &in).verdict, PLACE_OK);
	spec.removals_max = 0;
	w.len = 0;
	world_from(&w, two);
	cr_expect_eq(run(&w, &in).verdict, PLACE_OK);
	arena_fini(&w.a);
}

Test(placement_plan, comes_back_when_a_share_is_due_to_move)
{
	struct world w = { 0 };
	world_from(&w, "eu-1 eu down fail=10 rec=3;us-1 us rec=3 there=3/3");
	const struct place_spec spec = { DIVIDE, MOVE_30S };
	struct place_plan p = run(&w, &(struct place_input){ .spec = &spec,
							     .scalable = true,
							     .replicas = 6,
							     .clusters = w.c,
							     .clusters_len = w.len });
	cr_expect_eq(p.again_ms, 20000);
	cr_expect_eq(p.shares[0].phase, PLACE_UNREACHABLE);
	arena_fini(&w.a);
}

Test(placement_plan, places_what_has_no_replicas_everywhere_or_nowhere)
{
	struct world w = { 0 };
	world_from(&w, "eu-1 eu;us-1 us rec=1 there=1/1");
	const struct place_spec spec = { DIVIDE };
	struct place_plan p = run(
		&w, &(struct place_input){
			    .spec = &spec, .replicas = 1, .clusters = w.c, .clusters_len = w.len });
	cr_expect_str_eq(told(&w.a, &w, &p), "eu-1=+1(0) us-1=+1(1)");
	arena_fini(&w.a);
}

Test(placement_plan, gives_every_cluster_a_name_for_its_phase)
{
	for (int i = PLACE_PENDING; i <= PLACE_SUSPENDED; i++)
		cr_expect(strlen(placement_phase_name((enum place_phase)i)) > 0);
	cr_expect_str_eq(placement_phase_name(PLACE_MOVING), "Moving");
}

/* Every division gives out exactly the total, within one of the exact quota; levelling keeps the sum and the band. */
Test(placement_plan, divides_exactly)
{
	uint64_t rng = 42;
	for (int round = 0; round < 20000; round++) {
		struct arena a = { 0 };
		int64_t weights[8];
		int64_t held[8];
		int64_t got[8];
		int64_t sum = 0;
		size_t n = 0;
		rng = rng * 6364136223846793005U + 1442695040888963407U;
		n = 1 + (rng >> 33) % 8;
		int64_t total = (int64_t)((rng >> 40) % 1000);
		for (size_t i = 0; i < n; i++) {
			rng = rng * 6364136223846793005U + 1442695040888963407U;
			weights[i] = (int64_t)((rng >> 33) % 5);
			held[i] = (int64_t)((rng >> 43) % 50);
			sum += weights[i];
		}
		placement_divide(&a, total, weights, held, n, got);
		int64_t given = 0;
		for (size_t i = 0; i < n; i++) {
			given += got[i];
			if (sum)
				cr_assert(llabs(got[i] * sum - total * weights[i]) < sum,
					  "round %d", round);
		}
		cr_assert_eq(given, sum ? total : 0, "round %d", round);
		int64_t skew = 1 + (int64_t)((rng >> 50) % 3);
		placement_level(got, n, skew);
		int64_t low = got[0];
		int64_t high = got[0];
		int64_t after = 0;
		for (size_t i = 0; i < n; i++) {
			low = got[i] < low ? got[i] : low;
			high = got[i] > high ? got[i] : high;
			after += got[i];
		}
		cr_assert_eq(after, given, "round %d", round);
		cr_assert_leq(high - low, skew, "round %d", round);
		arena_fini(&a);
	}
}
