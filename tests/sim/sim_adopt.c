/*
 * Simulation of adoption: owners whose selectors overlap, and children whose labels and owners change.
 *
 *   sim_adopt FIRST_SEED COUNT [BUG]
 *
 * Each seed is one run: controllers see the world through caches that lag, owners are deleted with their
 * children orphaned and made anew, labels are edited, children end.
 * Checked: no owner takes a child of another, one that is not like its selector, or any once it is going; after the last
 * change each child that an owner's selector matches belongs to such an owner, and no other child to any.
 *
 * BUG plants one: the run must then fail (the tests' teeth); the table `bugs` names them.
 */
#include "adopt_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OWNERS = 3, CHILDREN = 8, APPS = 4, LAG_MAX = 8, STEPS = 200, SETTLE = 30 };

enum bug {
	BUG_NONE,
	BUG_UNGUARDED, /* the write does not name the revision that was read */
	BUG_STALE,     /* the owner is not asked for once more */
	BUG_DELETING,  /* an owner that is going still adopts */
	BUG_GREEDY,    /* children of others are taken */
	BUG_KEEPS,     /* nothing is ever released */
	BUGS
};

static const char *const bugs[BUGS] = {
	"none", "unguarded", "stale", "deleting", "greedy", "keeps"
};

struct owner {
	int uid; /* changes when it is made anew */
	int app;
	bool deleting;
};

struct child {
	int app, owner_uid; /* 0 = nobody's */
	int64_t rev;
	bool deleting;
};

struct world {
	struct owner owners[OWNERS];
	struct child children[CHILDREN];
	int64_t rev;
	int next_uid;
};

struct run {
	struct world w, history[LAG_MAX];
	uint64_t rng;
	enum bug bug;
	bool faults;
	const char *broken;
};

static uint64_t rnd(struct run *r, uint64_t n)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return r->rng % n;
}

static enum adopt_what decide(const struct run *r, const struct owner *o, const struct child *c)
{
	static const struct str names[APPS] = { { "a", 1 }, { "b", 1 }, { "c", 1 }, { "d", 1 } };
	char mine[16];
	char its[16];
	(void)snprintf(mine, sizeof(mine), "%d", o->uid);
	(void)snprintf(its, sizeof(its), "%d", c->owner_uid);
	const struct sched_requirement is = { STR("app"), SCHED_IN, &names[o->app], 1 };
	const struct sched_label app = { STR("app"), names[c->app] };
	bool nobodys = !c->owner_uid || (r->bug == BUG_GREEDY && c->owner_uid != o->uid);
	const struct adopt_owner owner = { .uid = str_of(mine),
					   .ns = STR("d"),
					   .selector = { &is, 1 },
					   .deleting = o->deleting && r->bug != BUG_DELETING };
	const struct adopt_child child = { .ns = STR("d"),
					   .controller_uid = nobodys ? STR("") : str_of(its),
					   .labels = { &app, 1 },
					   .deleting = c->deleting };
	return adopt_plan(&owner, &child);
}

/* The write reaches the API: guarded by the child's revision, for an adoption behind a look at the owner. */
static void carry_out(struct run *r, const struct owner *seen, const struct child *as, size_t at,
		      enum adopt_what what)
{
	struct world *w = &r->w;
	struct child *c = &w->children[at];
	const struct owner *live = NULL;
	for (size_t i = 0; i < OWNERS; i++)
		if (w->owners[i].uid == seen->uid)
			live = &w->owners[i];
	if (c->rev != as->rev && r->bug != BUG_UNGUARDED)
		return;
	if (what == ADOPT_RELEASE) {
		c->owner_uid = c->owner_uid == seen->uid ? 0 : c->owner_uid;
		c->rev = ++w->rev;
		return;
	}
	bool wanted = live && !live->deleting;
	if (!wanted && r->bug != BUG_STALE && r->bug != BUG_DELETING)
		return;
	if (!wanted)
		r->broken = "adopted by one that is going or gone";
	else if (c->owner_uid && c->owner_uid != seen->uid)
		r->broken = "taken from another owner";
	else if (c->app != live->app)
		r->broken = "adopted although it does not match";
	c->owner_uid = seen->uid;
	c->rev = ++w->rev;
}

static void reconcile(struct run *r, size_t owner)
{
	size_t lag = r->faults ? rnd(r, LAG_MAX) : 0;
	const struct world seen = lag ? r->history[lag - 1] : r->w;
	const struct owner *o = &seen.owners[owner];
	for (size_t i = 0; i < CHILDREN && !r->broken; i++) {
		enum adopt_what what = decide(r, o, &seen.children[i]);
		if (what == ADOPT_RELEASE && r->bug == BUG_KEEPS)
			continue;
		if (what != ADOPT_NOTHING)
			carry_out(r, o, &seen.children[i], i, what);
		if (r->faults && rnd(r, 10) == 0)
			break; /* crash between two writes */
	}
}

static void change_something(struct run *r)
{
	struct world *w = &r->w;
	struct owner *o = &w->owners[rnd(r, OWNERS)];
	struct child *c = &w->children[rnd(r, CHILDREN)];
	switch (rnd(r, 8)) {
	case 0:
		c->app = (int)rnd(r, APPS);
		c->rev = ++w->rev;
		break;
	case 1: /* goes, and another comes in its place */
		*c = (struct child){ .app = (int)rnd(r, APPS), .rev = ++w->rev };
		break;
	case 2:
		c->deleting = true;
		c->rev = ++w->rev;
		break;
	case 3:
		o->deleting = true;
		break;
	case 4: /* orphans its children, is gone, is made anew */
		if (!o->deleting)
			break;
		for (size_t i = 0; i < CHILDREN; i++) {
			if (w->children[i].owner_uid != o->uid)
				continue;
			w->children[i].owner_uid = 0;
			w->children[i].rev = ++w->rev;
		}
		if (rnd(r, 2))
			*o = (struct owner){ .uid = ++w->next_uid, .app = (int)rnd(r, APPS) };
		break;
	default:
		break;
	}
}

static void check_rest(struct run *r)
{
	const struct world *w = &r->w;
	for (size_t i = 0; i < CHILDREN; i++) {
		const struct child *c = &w->children[i];
		bool matched = false;
		bool right = false;
		for (size_t k = 0; k < OWNERS; k++) {
			bool match = !w->owners[k].deleting && w->owners[k].app == c->app;
			matched |= match;
			right |= match && w->owners[k].uid == c->owner_uid;
			if (!match && !w->owners[k].deleting && !c->deleting &&
			    w->owners[k].uid == c->owner_uid)
				r->broken = "one that does not match was kept";
		}
		if (matched && !right && !c->deleting && !c->owner_uid)
			r->broken = "one that matches was not adopted";
	}
}

static const char *simulate(uint64_t seed, enum bug bug)
{
	struct run run = { .rng = seed * 0x9e3779b97f4a7c15ULL + 1, .bug = bug };
	struct run *r = &run;
	for (size_t i = 0; i < OWNERS; i++)
		r->w.owners[i] = (struct owner){ .uid = ++r->w.next_uid, .app = (int)rnd(r, APPS) };
	for (size_t i = 0; i < CHILDREN; i++)
		r->w.children[i] = (struct child){ .app = (int)rnd(r, APPS), .rev = ++r->w.rev };
	for (size_t i = 0; i < LAG_MAX; i++)
		r->history[i] = r->w;
	for (int step = 0; step < STEPS + SETTLE && !r->broken; step++) {
		r->faults = step < STEPS;
		memmove(&r->history[1], &r->history[0], sizeof(r->w) * (LAG_MAX - 1));
		r->history[0] = r->w;
		if (r->faults)
			change_something(r);
		for (size_t i = 0; i < OWNERS; i++)
			if (!r->faults || rnd(r, 3) == 0)
				reconcile(r, i);
	}
	if (!r->broken)
		check_rest(r);
	return r->broken;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
	enum bug bug = BUG_NONE;
	for (int i = 0; argc > 3 && i < BUGS; i++)
		if (strcmp(argv[3], bugs[i]) == 0)
			bug = (enum bug)i;
	for (uint64_t s = first; s < first + count; s++) {
		const char *why = simulate(s, bug);
		if (why) {
			printf("seed %" PRIu64 ": %s\n", s, why);
			return 1;
		}
	}
	/* teeth: each planted bug must be found within the same seeds */
	for (int b = 1; argc <= 3 && b < BUGS; b++) {
		uint64_t s = first;
		const char *why = NULL;
		while (s < first + count && !(why = simulate(s, (enum bug)b)))
			s++;
		if (!why) {
			printf("planted bug \"%s\" was not found in %" PRIu64 " seeds\n", bugs[b],
			       count);
			return 1;
		}
		printf("planted bug \"%s\": found by seed %" PRIu64 ": %s\n", bugs[b], s, why);
	}
	printf("%" PRIu64 " seeds\n", count);
	return 0;
}
