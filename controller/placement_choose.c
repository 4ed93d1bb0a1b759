/* Which clusters come into question, and which of them are chosen. */
#include "placement_priv.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- matching ---- */

static bool listed_in(const struct str *names, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(names[i], name))
			return true;
	return false;
}

static bool tolerates(const struct place_spec *spec, const struct place_taint *t)
{
	for (size_t i = 0; i < spec->tolerations_len; i++) {
		const struct place_toleration *x = &spec->tolerations[i];
		if (x->effect != PLACE_EFFECT_ANY && x->effect != t->effect)
			continue;
		if (x->key.len ? !str_eq(x->key, t->key) : !x->exists)
			continue;
		if (x->exists || str_eq(x->value, t->value))
			return true;
	}
	return false;
}

/* "" = in question, else why not. */
static const char *refusal(const struct place_spec *spec, struct place_work *w)
{
	const struct place_cluster *c = w->c;
	bool stays = place_holds(w);
	if (!c->listed)
		return "the Cluster is gone";
	if (listed_in(spec->excludes, spec->excludes_len, c->name))
		return "excluded by the Placement";
	if (spec->has_names && !listed_in(spec->names, spec->names_len, c->name))
		return "not among the Placement's clusters";
	if (!label_selector_match_pairs(&spec->selector, c->labels, c->labels_len))
		return "not selected by the Placement";
	for (size_t i = 0; i < c->taints_len; i++) {
		const struct place_taint *t = &c->taints[i];
		if (tolerates(spec, t))
			continue;
		if (t->effect == PLACE_NO_EXECUTE)
			return "a taint of the cluster is not tolerated";
		if (t->effect == PLACE_NO_SCHEDULE && !stays)
			return "a taint of the cluster keeps new shares away";
		w->avoid |= t->effect == PLACE_PREFER_NO_SCHEDULE;
	}
	if (c->unschedulable && !stays)
		return "the cluster takes nothing new";
	if (c->contact == PLACE_DOWN && !stays)
		return "the cluster cannot be reached";
	return "";
}

static bool is_failing(const struct place_work *w)
{
	return w->c->contact == PLACE_DOWN || (w->up && !w->c->well);
}

static void judge_failure(struct place_scene *s, struct place_work *w)
{
	const struct place_spec *spec = s->in->spec;
	if (!is_failing(w) || !spec->failover || (!w->up && spec->keep_disconnected))
		return;
	if (w->c->failing_ms >= spec->move_after_ms) {
		w->moved = true;
		return;
	}
	uint64_t left = spec->move_after_ms - w->c->failing_ms;
	if (!s->again_ms || left < s->again_ms)
		s->again_ms = left;
}

void place_match(struct place_scene *s)
{
	for (size_t i = 0; i < s->len; i++) {
		struct place_work *w = &s->w[i];
		const char *no = refusal(s->in->spec, w);
		w->match = !*no;
		w->lost = !w->match && place_holds(w);
		if (w->match)
			judge_failure(s, w);
		else
			w->why = str_of(no);
		w->frozen = w->match && !w->moved && !w->up && place_holds(w);
	}
}

/* ---- regions ---- */

static size_t region_of(struct place_scene *s, struct str name)
{
	for (size_t i = 0; i < s->regions_len; i++)
		if (str_eq(s->regions[i].name, name))
			return i;
	s->regions[s->regions_len] = (struct place_region){ .name = name };
	return s->regions_len++;
}

static int64_t weight_given(const struct place_spec *spec, const struct place_cluster *c)
{
	int64_t found = 1;
	for (size_t i = 0; i < spec->weights_len; i++) {
		if (spec->weights[i].cluster.len && str_eq(spec->weights[i].cluster, c->name))
			return spec->weights[i].weight;
		if (spec->weights[i].region.len && str_eq(spec->weights[i].region, c->region))
			found = spec->weights[i].weight;
	}
	return found;
}

static bool in_question(const struct place_scene *s, const struct place_work *w)
{
	const struct place_spec *spec = s->in->spec;
	return w->match && !w->moved &&
	       (!place_divides(s) || spec->by_capacity || weight_given(spec, w->c) > 0);
}

static void gather_regions(struct place_scene *s)
{
	s->regions = arena_new(s->arena, struct place_region, s->len);
	for (size_t i = 0; i < s->len; i++) {
		struct place_work *w = &s->w[i];
		if (!in_question(s, w))
			continue;
		w->region = region_of(s, w->c->region);
		s->regions[w->region].clusters++;
		s->regions[w->region].held |= place_holds(w);
		s->regions[w->region].good |= !w->avoid;
	}
}

/* Regions that hold a share first, then those that nothing speaks against, then by name. */
static int by_worth(const void *pa, const void *pb)
{
	const struct place_region *a = pa;
	const struct place_region *b = pb;
	if (a->held != b->held)
		return a->held ? -1 : 1;
	if (a->good != b->good)
		return a->good ? -1 : 1;
	return str_cmp(a->name, b->name);
}

static bool region_allowed(const struct place_scene *s, struct str name, size_t max, size_t *ret)
{
	for (size_t i = 0; i < max; i++) {
		if (str_eq(s->regions[i].name, name)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* ---- choosing ---- */

enum choice { CHOOSE_HELD, CHOOSE_GOOD, CHOOSE_ANY };

struct pick {
	struct place_scene *s;
	size_t regions_max, left;
};

/* Shares stay where they are; then clusters that nothing speaks against; then by name. */
static bool is_better(const struct place_work *a, const struct place_work *b)
{
	if (place_holds(a) != place_holds(b))
		return place_holds(a);
	if (a->avoid != b->avoid)
		return !a->avoid;
	return false; /* the earlier name */
}

static struct place_work *best_of(const struct pick *p, size_t region, enum choice which)
{
	struct place_work *best = NULL;
	for (size_t i = 0; i < p->s->len; i++) {
		struct place_work *w = &p->s->w[i];
		if (!in_question(p->s, w) || w->chosen || w->region != region)
			continue;
		if ((which == CHOOSE_HELD && !place_holds(w)) || (which == CHOOSE_GOOD && w->avoid))
			continue;
		if (!best || is_better(w, best))
			best = w;
	}
	return best;
}

static bool take(struct pick *p, size_t region, enum choice which)
{
	struct place_work *w = p->left ? best_of(p, region, which) : NULL;
	if (!w)
		return false;
	w->chosen = true;
	p->s->regions[region].chosen++;
	p->left--;
	return true;
}

/* One from each region in turn, beginning with the region that has the fewest, until none is left. */
static void fill(struct pick *p, enum choice which)
{
	for (;;) {
		bool took = false;
		size_t least = SIZE_MAX;
		for (size_t r = 0; r < p->regions_max; r++)
			if (best_of(p, r, which) && p->s->regions[r].chosen < least)
				least = p->s->regions[r].chosen;
		for (size_t r = 0; r < p->regions_max && least != SIZE_MAX; r++)
			if (p->s->regions[r].chosen == least)
				took |= take(p, r, which);
		if (!took)
			return;
	}
}

static size_t cut(size_t have, int64_t max)
{
	return max > 0 && (uint64_t)max < have ? (size_t)max : have;
}

static size_t mark_regions(struct place_scene *s, size_t regions_max)
{
	size_t n = 0;
	for (size_t i = 0; i < s->len; i++) {
		struct place_work *w = &s->w[i];
		if (!in_question(s, w))
			continue;
		if (region_allowed(s, w->c->region, regions_max, &w->region))
			n++;
		else
			w->region = SIZE_MAX;
	}
	return n;
}

static enum place_verdict too_few(struct place_scene *s, const char *what, size_t have,
				  int64_t want, struct str *why)
{
	*why = arena_strf(s->arena,
			  "the Placement wants at least %" PRId64 " %s and %zu %s in question; "
			  "nothing is changed",
			  want, what, have, have == 1 ? "comes" : "come");
	return PLACE_TOO_FEW;
}

enum place_verdict place_choose(struct place_scene *s, struct str *why)
{
	const struct place_spec *spec = s->in->spec;
	gather_regions(s);
	if (!s->regions_len) {
		*why = STR("no cluster comes into question");
		return PLACE_NOWHERE;
	}
	qsort(s->regions, s->regions_len, sizeof(*s->regions), by_worth);
	size_t regions_max = cut(s->regions_len, spec->regions.max);
	if ((int64_t)s->regions_len < spec->regions.min)
		return too_few(s, "regions", s->regions_len, spec->regions.min, why);
	size_t in_reach = mark_regions(s, regions_max);
	if ((int64_t)in_reach < spec->clusters.min)
		return too_few(s, "clusters", in_reach, spec->clusters.min, why);
	struct pick p = { s, regions_max, cut(in_reach, spec->clusters.max) };
	/* First the regions that there must be, then what stands, then what nothing speaks against. */
	for (size_t r = 0; r < regions_max && (int64_t)r < spec->regions.min; r++)
		(void)take(&p, r, CHOOSE_ANY);
	fill(&p, CHOOSE_HELD);
	fill(&p, CHOOSE_GOOD);
	fill(&p, CHOOSE_ANY);
	return PLACE_OK;
}
