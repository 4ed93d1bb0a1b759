#include "topology.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdlib.h>

/* A place with its counts, while they are made. */
struct place {
	struct topology_place p;
	struct str name;
	bool many_zones, many_networks, many_regions;
	size_t len; /* all nodes, the excused too */
	bool gone;  /* merged into another */
};

const char *topology_axis_name(enum topology_axis x)
{
	static const char *const names[] = { [AXIS_ZONE] = "zone",
					     [AXIS_NETWORK] = "network",
					     [AXIS_BOTH] = "both",
					     [AXIS_REGION] = "region" };
	return names[x];
}

void topology_init(struct topology *t, uint64_t seed)
{
	map_init(&t->down, seed);
}

static void forget(struct map *members)
{
	if (!members)
		return;
	map_fini(members);
	mem_free(members);
}

void topology_fini(struct topology *t)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&t->down, &pos, NULL, &v))
		forget(v);
	map_fini(&t->down);
}

static struct str key_of(struct arena *a, const char *axis, struct str name)
{
	return arena_strf(a, "%s/%.*s", axis, STR_ARG(name));
}

/* The members that were silent; made when there are none. */
static struct map *members_get(struct topology *t, struct str key)
{
	struct map *m = map_get(&t->down, key);
	if (!m) {
		m = mem_new(struct map, 1);
		map_init(m, t->down.seed);
		(void)map_set(&t->down, key, m);
	}
	return m;
}

void topology_recall(struct topology *t, struct str axis, struct str region, struct str zone,
		     struct str network)
{
	struct arena a = { 0 };
	if (str_is(axis, "region"))
		(void)members_get(t, key_of(&a, "region", region));
	else if (str_is(axis, "network"))
		(void)members_get(t, key_of(&a, "network", network));
	else
		(void)members_get(t, key_of(&a, "zone", zone));
	arena_fini(&a);
}

/* ---- counting ---- */

struct counts {
	struct arena *a;
	struct map by_name; /* AXIS/NAME → struct place */
	struct place **v;
	size_t len, cap;
};

static struct place *place_get(struct counts *c, enum topology_axis axis, struct str name,
			       const struct topology_node *first)
{
	struct arena scratch = { 0 };
	struct str key = key_of(&scratch, topology_axis_name(axis), name);
	struct place *p = map_get(&c->by_name, key);
	if (!p) {
		p = arena_new(c->a, struct place, 1);
		*p = (struct place){ .name = name };
		p->p = (struct topology_place){ .axis = axis,
						.region = first->region,
						.zone = first->zone,
						.network = first->network };
		(void)map_set(&c->by_name, key, p);
		mem_grow(c->v, c->len, c->cap);
		c->v[c->len++] = p;
	}
	arena_fini(&scratch);
	return p;
}

static void count(struct counts *c, enum topology_axis axis, struct str name,
		  const struct topology_node *x)
{
	if (!name.len)
		return;
	struct place *p = place_get(c, axis, name, x);
	p->len++;
	p->many_zones = p->many_zones || !str_eq(p->p.zone, x->zone);
	p->many_networks = p->many_networks || !str_eq(p->p.network, x->network);
	p->many_regions = p->many_regions || !str_eq(p->p.region, x->region);
	p->p.nodes += !x->excused;
	p->p.silent += x->silent && !x->excused;
}

static struct place *find(const struct counts *c, const char *axis, struct str name)
{
	struct arena a = { 0 };
	struct place *p = map_get(&c->by_name, key_of(&a, axis, name));
	arena_fini(&a);
	return p;
}

/* Names that its nodes do not share go; a zone and a network of the same nodes become one. */
static void settle(const struct counts *c)
{
	for (size_t i = 0; i < c->len; i++) {
		struct place *p = c->v[i];
		if (p->many_zones)
			p->p.zone = STR("");
		if (p->many_networks)
			p->p.network = STR("");
		if (p->many_regions)
			p->p.region = STR("");
	}
	for (size_t i = 0; i < c->len; i++) {
		struct place *p = c->v[i];
		struct place *n = p->p.axis == AXIS_ZONE ? find(c, "network", p->p.network) : NULL;
		if (!n || n->len != p->len || !str_eq(n->p.zone, p->name))
			continue;
		p->p.axis = AXIS_BOTH;
		n->gone = true;
	}
}

/* A region is silent when all its zones are, which are judged before it. */
static bool all_zones_down(const struct counts *c, const struct place *region)
{
	size_t zones = 0;
	for (size_t i = 0; i < c->len; i++) {
		const struct place *p = c->v[i];
		if ((p->p.axis != AXIS_ZONE && p->p.axis != AXIS_BOTH) || !p->p.nodes ||
		    !str_eq(p->p.region, region->name))
			continue;
		if (p->gone)
			return false;
		zones++;
	}
	return zones > 1;
}

static bool is_down(const struct counts *c, const struct place *p, bool was)
{
	if (p->p.axis == AXIS_REGION)
		return all_zones_down(c, p);
	if (was)
		return p->p.silent * 3 > p->p.nodes;
	return p->p.silent >= PLACE_SILENT_MIN &&
	       p->p.silent * 100 >= p->p.nodes * PLACE_SILENT_PERCENT;
}

/* ---- members ---- */

static int by_text(const void *a, const void *b)
{
	const struct str *x = a;
	const struct str *y = b;
	return str_cmp(*x, *y);
}

static struct str members_text(struct arena *a, const struct map *m)
{
	struct str *names = mem_new(struct str, m->len ? m->len : 1);
	struct buf b = { 0 };
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(m, &pos, &names[n], &v))
		n++;
	qsort(names, n, sizeof(*names), by_text);
	size_t i = 0;
	for (; i < n && b.len < PLACE_MEMBERS_BYTES_MAX; i++)
		buf_addf(&b, "%s%.*s", i ? ", " : "", STR_ARG(names[i]));
	if (i < n)
		buf_addf(&b, " and %zu more", n - i);
	struct str text = arena_str(a, buf_str(&b));
	buf_fini(&b);
	mem_free(names);
	return text;
}

static bool inside(const struct topology_node *x, const struct place *p)
{
	return str_eq(p->name, p->p.axis == AXIS_REGION    ? x->region
			       : p->p.axis == AXIS_NETWORK ? x->network
							   : x->zone);
}

static int by_axis_and_name(const void *a, const void *b)
{
	const struct place *x = *(struct place *const *)a;
	const struct place *y = *(struct place *const *)b;
	if (x->p.axis != y->p.axis)
		return x->p.axis < y->p.axis ? -1 : 1;
	return str_cmp(x->name, y->name);
}

static void judge(struct topology *t, const struct counts *c, struct place *p,
		  const struct topology_node *nodes, size_t n)
{
	const char *axis = p->p.axis == AXIS_BOTH ? "zone" : topology_axis_name(p->p.axis);
	struct arena scratch = { 0 };
	struct str key = key_of(&scratch, axis, p->name);
	if (p->gone || !is_down(c, p, map_get(&t->down, key) != NULL)) {
		forget(map_del(&t->down, key));
		p->gone = true;
	} else {
		struct map *m = members_get(t, key);
		for (size_t i = 0; i < n; i++)
			if (nodes[i].silent && !nodes[i].excused && inside(&nodes[i], p))
				(void)map_set(m, nodes[i].name, t);
		p->p.members = members_text(c->a, m);
	}
	arena_fini(&scratch);
}

/* Places that have no node any more are not silent. */
static void forget_empty(struct topology *t, const struct counts *c)
{
	struct str gone = STR_NONE;
	do {
		size_t pos = 0;
		struct str key;
		void *v = NULL;
		gone = STR_NONE;
		while (!gone.p && map_next(&t->down, &pos, &key, &v))
			if (!map_get(&c->by_name, key))
				gone = key;
		if (gone.p) {
			struct arena a = { 0 };
			forget(map_del(&t->down, arena_str(&a, gone)));
			arena_fini(&a);
		}
	} while (gone.p);
}

void topology_run(struct topology *t, struct arena *a, struct topology_node *nodes, size_t n,
		  struct topology_place **ret, size_t *ret_len)
{
	struct counts c = { .a = a };
	map_init(&c.by_name, t->down.seed);
	for (size_t i = 0; i < n; i++) {
		count(&c, AXIS_ZONE, nodes[i].zone, &nodes[i]);
		count(&c, AXIS_NETWORK, nodes[i].network, &nodes[i]);
		count(&c, AXIS_REGION, nodes[i].region, &nodes[i]);
	}
	settle(&c);
	if (c.len)
		qsort(c.v, c.len, sizeof(struct place *), by_axis_and_name);
	for (size_t i = 0; i < n; i++) {
		const struct place *z = find(&c, "zone", nodes[i].zone);
		const struct place *w = find(&c, "network", nodes[i].network);
		size_t zone = z ? z->len : 0;
		nodes[i].peers = w && w->len > zone ? w->len : zone;
	}
	struct topology_place *out = arena_new(a, struct topology_place, c.len);
	size_t len = 0;
	for (size_t i = 0; i < c.len; i++) {
		judge(t, &c, c.v[i], nodes, n);
		if (!c.v[i]->gone)
			out[len++] = c.v[i]->p;
	}
	forget_empty(t, &c);
	map_fini(&c.by_name);
	mem_free(c.v);
	*ret = out;
	*ret_len = len;
}

/* ---- series ---- */

int64_t topology_hold_ms(const struct topology_node *x)
{
	return x->peers >= PLACE_SILENT_MIN ? PLACE_HOLD_MS : 0;
}

void topology_series(struct arena *a, const struct topology_place *places, size_t n,
		     struct series **ret, size_t *ret_len)
{
	struct series *s = arena_new(a, struct series, n);
	size_t len = 0;
	for (size_t i = 0; i < n; i++) {
		const struct topology_place *p = &places[i];
		const struct label all[] = {
			{ STR("axis"), str_of(topology_axis_name(p->axis)) },
			{ STR("zone"), p->zone },
			{ STR("network_az"), p->network },
			{ STR("region"), p->region },
			{ STR("__nodes__"), arena_strf(a, "%zu", p->nodes) },
			{ STR("__members__"), p->members },
		};
		size_t k = sizeof(all) / sizeof(all[0]);
		struct label *v = arena_new(a, struct label, k);
		memcpy(v, all, sizeof(all));
		if (labels_check(v, &k, 2 * PLACE_MEMBERS_BYTES_MAX, NULL))
			continue;
		s[len++] = (struct series){ .labels = { v, k }, .value = (double)p->silent };
	}
	*ret = s;
	*ret_len = len;
}
