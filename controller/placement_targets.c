/* How many replicas each chosen cluster is to run. */
#include "placement_priv.h"

#include <inttypes.h>

/* Weights are shared out in units of 1 / WEIGHT_UNIT: a region's weight has to be split among its clusters. */
enum { WEIGHT_UNIT = 1 << 20 };

static int64_t weight_of(const struct place_scene *s, const struct place_work *w)
{
	const struct place_spec *spec = s->in->spec;
	const struct place_weight *region = NULL;
	for (size_t i = 0; i < spec->weights_len; i++) {
		const struct place_weight *x = &spec->weights[i];
		if (x->cluster.len && str_eq(x->cluster, w->c->name))
			return x->weight * WEIGHT_UNIT;
		if (x->region.len && str_eq(x->region, w->c->region))
			region = x;
	}
	if (!region)
		return WEIGHT_UNIT;
	return region->weight * WEIGHT_UNIT / (int64_t)s->regions[w->region].chosen;
}

/* A group of clusters that replicas are divided among. */
struct group {
	size_t *at; /* indices into s->w */
	int64_t *weights, *held, *shares;
	size_t len;
};

static struct group group_new(struct place_scene *s)
{
	return (struct group){
		.at = arena_new(s->arena, size_t, s->len),
		.weights = arena_new(s->arena, int64_t, s->len),
		.held = arena_new(s->arena, int64_t, s->len),
		.shares = arena_new(s->arena, int64_t, s->len),
	};
}

static void group_add(struct group *g, const struct place_scene *s, size_t i,
		      const int64_t *weights)
{
	g->at[g->len] = i;
	g->weights[g->len] = weights[i];
	g->held[g->len] = place_held(&s->w[i]);
	g->len++;
}

static void divide_group(struct place_scene *s, struct group *g, int64_t total, int64_t *ret)
{
	placement_divide(s->arena, total, g->weights, g->held, g->len, g->shares);
	if (s->in->spec->clusters.skew > 0)
		placement_level(g->shares, g->len, s->in->spec->clusters.skew);
	for (size_t i = 0; i < g->len; i++)
		ret[g->at[i]] = g->shares[i];
}

/* Regions first, when they must not differ too much; then the clusters of each. */
static void divide_by_region(struct place_scene *s, int64_t total, const int64_t *weights,
			     const bool *in, int64_t *ret)
{
	struct group regions = group_new(s);
	for (size_t r = 0; r < s->regions_len; r++) {
		int64_t weight = 0;
		int64_t held = 0;
		for (size_t i = 0; i < s->len; i++) {
			if (in[i] && s->w[i].region == r) {
				weight += weights[i];
				held += place_held(&s->w[i]);
			}
		}
		if (!weight)
			continue;
		regions.at[regions.len] = r;
		regions.weights[regions.len] = weight;
		regions.held[regions.len++] = held;
	}
	placement_divide(s->arena, total, regions.weights, regions.held, regions.len,
			 regions.shares);
	placement_level(regions.shares, regions.len, s->in->spec->regions.skew);
	for (size_t k = 0; k < regions.len; k++) {
		struct group g = group_new(s);
		for (size_t i = 0; i < s->len; i++)
			if (in[i] && s->w[i].region == regions.at[k])
				group_add(&g, s, i, weights);
		divide_group(s, &g, regions.shares[k], ret);
	}
}

static void divide(struct place_scene *s, int64_t total, const int64_t *weights, const bool *in,
		   int64_t *ret)
{
	if (s->in->spec->regions.skew > 0) {
		divide_by_region(s, total, weights, in, ret);
		return;
	}
	struct group g = group_new(s);
	for (size_t i = 0; i < s->len; i++)
		if (in[i])
			group_add(&g, s, i, weights);
	divide_group(s, &g, total, ret);
}

/*
 * By capacity: what stands stays, only the difference is shared out: what is missing by
 * free room, what is too much by what each has.  Room changes with every pod anywhere; shares must not follow it.
 */
static void divide_by_capacity(struct place_scene *s, int64_t total, const bool *in, int64_t *ret)
{
	int64_t *weights = arena_new(s->arena, int64_t, s->len);
	int64_t *more = arena_new(s->arena, int64_t, s->len);
	int64_t held = 0;
	int64_t room = 0;
	for (size_t i = 0; i < s->len; i++) {
		if (!in[i])
			continue;
		ret[i] = place_held(&s->w[i]);
		held += ret[i];
		weights[i] = s->w[i].c->fits > 0 ? s->w[i].c->fits : 0;
		room += weights[i];
	}
	if (held == total)
		return;
	for (size_t i = 0; i < s->len; i++)
		if (held > total)
			weights[i] = in[i] ? ret[i] : 0;
		else if (room == 0)
			weights[i] = in[i];
	divide(s, held > total ? total : total - held, weights, in, more);
	for (size_t i = 0; i < s->len; i++)
		ret[i] = held > total ? more[i] : ret[i] + more[i];
}

static void divide_total(struct place_scene *s, int64_t total, const bool *in, int64_t *ret)
{
	if (s->in->spec->by_capacity) {
		divide_by_capacity(s, total, in, ret);
		return;
	}
	int64_t *weights = arena_new(s->arena, int64_t, s->len);
	for (size_t i = 0; i < s->len; i++)
		weights[i] = in[i] ? weight_of(s, &s->w[i]) : 0;
	divide(s, total, weights, in, ret);
}

/*
 * A share in a cluster that cannot be reached stands as recorded.  The others get what they would
 * get anyway, and what is missing there when the workload was scaled up meanwhile.
 */
static void divide_all(struct place_scene *s)
{
	int64_t total = s->in->replicas;
	int64_t *ideal = arena_new(s->arena, int64_t, s->len);
	bool *in = arena_new(s->arena, bool, s->len);
	int64_t fixed = 0;
	int64_t mine = 0;
	size_t frozen = 0;
	for (size_t i = 0; i < s->len; i++)
		in[i] = s->w[i].chosen;
	divide_total(s, total, in, ideal);
	for (size_t i = 0; i < s->len; i++) {
		if (s->w[i].chosen && s->w[i].frozen) {
			fixed += s->w[i].record;
			in[i] = false;
			frozen++;
		} else {
			mine += ideal[i];
		}
	}
	if (frozen) {
		int64_t rest = total - fixed > mine ? total - fixed : mine;
		divide_total(s, rest, in, ideal);
	}
	for (size_t i = 0; i < s->len; i++) {
		struct place_work *w = &s->w[i];
		if (w->chosen)
			w->target = w->frozen ? w->record : ideal[i];
	}
}

static struct str usual_reason(struct place_scene *s, const struct place_work *w, int64_t weights)
{
	const struct place_spec *spec = s->in->spec;
	if (w->why.len)
		return w->why;
	if (!w->chosen)
		return STR("other clusters were chosen");
	if (!place_divides(s))
		return STR("every chosen cluster runs all replicas");
	if (spec->by_capacity)
		return STR("divided by capacity");
	__extension__ __int128 of = weights;
	int64_t mine = weight_of(s, w);
	int64_t whole = mine / WEIGHT_UNIT;
	if (mine % WEIGHT_UNIT || of % WEIGHT_UNIT)
		return arena_strf(s->arena, "weight %.3g of %.3g", (double)mine / WEIGHT_UNIT,
				  (double)weights / WEIGHT_UNIT);
	return arena_strf(s->arena, "weight %" PRId64 " of %" PRId64, whole, weights / WEIGHT_UNIT);
}

void place_targets(struct place_scene *s)
{
	if (place_divides(s)) {
		divide_all(s);
	} else {
		for (size_t i = 0; i < s->len; i++) {
			struct place_work *w = &s->w[i];
			if (w->chosen)
				w->target = w->frozen ? w->record : s->in->replicas;
		}
	}
	int64_t weights = 0;
	for (size_t i = 0; i < s->len; i++)
		if (s->w[i].chosen)
			weights += weight_of(s, &s->w[i]);
	for (size_t i = 0; i < s->len; i++)
		s->w[i].why = usual_reason(s, &s->w[i], weights);
}
