/* LimitRanges: what containers of a namespace get when they say nothing, and how far they may go. */
#include "apiserver/admit.h"

#define ANNOTATION "kubernetes.io/limit-ranger"

static const char *const lists[] = { "containers", "initContainers" };

bool admit_quantity(const struct json *j, struct quantity *ret)
{
	return json_is(j, JSON_STRING) && quantity_parse(json_str(j), ret, NULL) == 0;
}

bool admit_container_takes(const struct json *container, const char *member, struct str resource,
			   struct quantity *ret)
{
	const struct json *all = json_getc(container, "resources");
	*ret = quantity_of_value(0, QUANTITY_DECIMAL_SI);
	if (admit_quantity(json_get(json_getc(all, member), resource), ret))
		return true;
	return str_is(str_of(member), "requests") &&
	       admit_quantity(json_get(json_getc(all, "limits"), resource), ret);
}

bool admit_pod_takes(const struct json *pod, const char *member, struct str resource,
		     struct quantity *ret)
{
	const struct json *spec = json_getc(pod, "spec");
	const struct json *list = json_getc(spec, "containers");
	const struct json *init = json_getc(spec, "initContainers");
	struct quantity zero = quantity_of_value(0, QUANTITY_DECIMAL_SI);
	struct quantity sum = zero, beside = zero, most = zero, q;
	bool any = false;
	for (size_t i = 0; i < json_len(list); i++) {
		any |= admit_container_takes(json_at(list, i), member, resource, &q);
		sum = quantity_add(sum, q);
	}
	/* A sidecar runs on beside all that comes behind it. */
	for (size_t i = 0; i < json_len(init); i++) {
		const struct json *c = json_at(init, i);
		any |= admit_container_takes(c, member, resource, &q);
		q = quantity_add(beside, q);
		if (str_is(json_str(json_getc(c, "restartPolicy")), "Always"))
			beside = q;
		if (quantity_cmp(q, most) > 0)
			most = q;
	}
	sum = quantity_add(sum, beside);
	*ret = quantity_cmp(most, sum) > 0 ? most : sum;
	if (any && admit_quantity(json_get(json_getc(spec, "overhead"), resource), &q))
		*ret = quantity_add(*ret, q);
	return any;
}

/* ---- walking over the ranges of the namespace ---- */

struct ranges {
	struct req *r;
	const struct kind *kind;
	struct json *pod;
	void (*fn)(struct ranges *x, const struct json *range);
	struct buf why; /* what is wrong, joined by commas */
	size_t wrong;
};

static bool on_range(void *arg, struct watch_obj *o)
{
	struct ranges *x = arg;
	struct json range = { 0 };
	if (object_parse(&x->r->arena, x->kind, o, &range, NULL) == 0)
		x->fn(x, &range);
	return true;
}

static void each_range(struct ranges *x)
{
	struct req *r = x->r;
	x->kind = kind_find_key(r->kinds, STR("/limitranges"));
	if (!x->kind || !json_is(json_getc(x->pod, "spec"), JSON_OBJECT))
		return;
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	struct str prefix = object_prefix(&r->arena, x->kind, r->route.ns);
	watch_snap_walk(snap, prefix, prefix, on_range, x);
	watch_snap_unref(snap);
}

/* ---- defaults ---- */

static int by_text(const void *x, const void *y)
{
	return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

/* Adds what the container does not name; tells the names: "cpu, memory request for container web". */
static void merge(struct arena *a, struct json *c, const char *member, const struct json *from,
		  const char *what, struct buf *told)
{
	struct json *resources = json_child(a, c, "resources");
	size_t n = 0, most = json_is(from, JSON_OBJECT) ? json_len(from) : 0;
	struct str *names = arena_new(a, struct str, most + 1);
	if (!json_is(resources, JSON_OBJECT) ||
	    (json_getc(resources, member) && !json_is(json_getc(resources, member), JSON_OBJECT)))
		return;
	for (size_t i = 0; i < most; i++) {
		struct str name = json_str(&from->members[i].key);
		if (json_get(json_getc(resources, member), name))
			continue;
		(void)json_set(a, json_child(a, resources, member), name, from->members[i].value);
		names[n++] = name;
	}
	if (n == 0)
		return;
	qsort(names, n, sizeof(*names), by_text);
	buf_adds(told, told->len ? "; " : "LimitRanger plugin set: ");
	for (size_t i = 0; i < n; i++)
		buf_addf(told, "%s%.*s", i ? ", " : "", STR_ARG(names[i]));
	buf_addf(told, " %s %.*s", what, STR_ARG(json_str(json_getc(c, "name"))));
}

/* What is limited and not requested is requested as limited, before anything else has a say. */
static void request_limits(struct arena *a, struct json *c)
{
	struct buf untold = { 0 };
	const struct json *limits = json_dig(c, "resources", "limits", NULL);
	if (json_len(limits)) {
		struct json copy = *limits;
		merge(a, c, "requests", &copy, "", &untold);
	}
	buf_fini(&untold);
}

static void fill_container(struct ranges *x, const struct json *range, struct json *c, bool init,
			   struct buf *told)
{
	struct arena *a = &x->r->arena;
	const struct json *items = json_dig(range, "spec", "limits", NULL);
	if (!json_is(c, JSON_OBJECT))
		return;
	request_limits(a, c);
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *item = json_at(items, i);
		if (!str_is(json_str(json_getc(item, "type")), "Container"))
			continue;
		merge(a, c, "requests", json_getc(item, "defaultRequest"),
		      init ? "request for init container" : "request for container", told);
		merge(a, c, "limits", json_getc(item, "default"),
		      init ? "limit for init container" : "limit for container", told);
	}
}

static void fill_pod(struct ranges *x, const struct json *range)
{
	struct arena *a = &x->r->arena;
	struct json *spec = json_getc(x->pod, "spec");
	struct buf told = { 0 };
	for (size_t l = 0; l < 2; l++) {
		struct json *list = json_getc(spec, lists[l]);
		for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++)
			fill_container(x, range, json_at(list, i), l == 1, &told);
	}
	struct json *notes = json_child(a, json_child(a, x->pod, "metadata"), "annotations");
	if (told.len && json_is(notes, JSON_OBJECT))
		json_setc(a, notes, ANNOTATION, json_of_str(arena_str(a, buf_str(&told))));
	else if (json_is(notes, JSON_OBJECT) && !json_len(notes))
		json_removec(json_getc(x->pod, "metadata"), "annotations");
	buf_fini(&told);
}

void admit_limit_defaults(struct req *r, struct json *pod)
{
	struct ranges x = { .r = r, .pod = pod, .fn = fill_pod };
	each_range(&x);
}

/* ---- limits ---- */

/* What a container or the pod as a whole asks for and may have. */
struct takes {
	bool asked, limited;
	struct quantity request, limit;
};

static void wrong(struct ranges *x, const char *fmt, ...) ATTR_PRINTF(2, 3);

static void wrong(struct ranges *x, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_adds(&x->why, x->wrong++ ? ", " : "");
	buf_vaddf(&x->why, fmt, ap);
	va_end(ap);
}

static struct str shown(struct ranges *x, struct quantity q)
{
	struct buf b = { 0 };
	quantity_write(&b, q);
	struct str s = arena_str(&x->r->arena, buf_str(&b));
	buf_fini(&b);
	return s;
}

struct rule {
	struct str name; /* of the resource */
	const char *type;
	struct quantity bound;
};

static void check_min(struct ranges *x, const struct rule *u, const struct takes *t)
{
	struct str bound = shown(x, u->bound);
	if (!t->asked)
		wrong(x, "minimum %.*s usage per %s is %.*s.  No request is specified",
		      STR_ARG(u->name), u->type, STR_ARG(bound));
	else if (quantity_cmp(t->request, u->bound) < 0)
		wrong(x, "minimum %.*s usage per %s is %.*s, but request is %.*s", STR_ARG(u->name),
		      u->type, STR_ARG(bound), STR_ARG(shown(x, t->request)));
	else if (t->limited && quantity_cmp(t->limit, u->bound) < 0)
		wrong(x, "minimum %.*s usage per %s is %.*s, but limit is %.*s", STR_ARG(u->name),
		      u->type, STR_ARG(bound), STR_ARG(shown(x, t->limit)));
}

static void check_max(struct ranges *x, const struct rule *u, const struct takes *t)
{
	struct str bound = shown(x, u->bound);
	if (!t->limited)
		wrong(x, "maximum %.*s usage per %s is %.*s.  No limit is specified",
		      STR_ARG(u->name), u->type, STR_ARG(bound));
	else if (quantity_cmp(t->limit, u->bound) > 0)
		wrong(x, "maximum %.*s usage per %s is %.*s, but limit is %.*s", STR_ARG(u->name),
		      u->type, STR_ARG(bound), STR_ARG(shown(x, t->limit)));
	else if (t->asked && quantity_cmp(t->request, u->bound) > 0)
		wrong(x, "maximum %.*s usage per %s is %.*s, but request is %.*s", STR_ARG(u->name),
		      u->type, STR_ARG(bound), STR_ARG(shown(x, t->request)));
}

static void check_ratio(struct ranges *x, const struct rule *u, const struct takes *t)
{
	struct str bound = shown(x, u->bound);
	if (!t->asked || quantity_sign(t->request) == 0) {
		wrong(x,
		      "%.*s max limit to request ratio per %s is %.*s, but no request is specified "
		      "or request is 0",
		      STR_ARG(u->name), u->type, STR_ARG(bound));
		return;
	}
	if (!t->limited || quantity_sign(t->limit) == 0) {
		wrong(x,
		      "%.*s max limit to request ratio per %s is %.*s, but no limit is specified "
		      "or limit is 0",
		      STR_ARG(u->name), u->type, STR_ARG(bound));
		return;
	}
	double ratio = quantity_double(t->limit) / quantity_double(t->request);
	/* 0.3 / 0.1 is a little more than 3. */
	if (ratio > quantity_double(u->bound) * (1 + 1e-9))
		wrong(x, "%.*s max limit to request ratio per %s is %.*s, but provided ratio is %f",
		      STR_ARG(u->name), u->type, STR_ARG(bound), ratio);
}

/* `of`: a container, or the pod. */
static void check_item(struct ranges *x, const struct json *item, const struct json *of, bool whole)
{
	static const struct {
		const char *member;
		void (*check)(struct ranges *x, const struct rule *u, const struct takes *t);
	} rules[] = { { "min", check_min },
		      { "max", check_max },
		      { "maxLimitRequestRatio", check_ratio } };
	for (size_t k = 0; k < 3; k++) {
		const struct json *all = json_getc(item, rules[k].member);
		for (size_t i = 0; json_is(all, JSON_OBJECT) && i < json_len(all); i++) {
			struct rule u = { .name = json_str(&all->members[i].key),
					  .type = whole ? "Pod" : "Container" };
			struct takes t;
			if (!admit_quantity(&all->members[i].value, &u.bound))
				continue;
			t.asked = whole ? admit_pod_takes(of, "requests", u.name, &t.request)
					: admit_container_takes(of, "requests", u.name, &t.request);
			t.limited = whole ? admit_pod_takes(of, "limits", u.name, &t.limit)
					  : admit_container_takes(of, "limits", u.name, &t.limit);
			rules[k].check(x, &u, &t);
		}
	}
}

static void check_pod(struct ranges *x, const struct json *range)
{
	const struct json *items = json_dig(range, "spec", "limits", NULL);
	const struct json *spec = json_getc(x->pod, "spec");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *item = json_at(items, i);
		struct str type = json_str(json_getc(item, "type"));
		if (str_is(type, "Pod"))
			check_item(x, item, x->pod, true);
		for (size_t l = 0; l < 2 && str_is(type, "Container"); l++)
			for (size_t c = 0; c < json_len(json_getc(spec, lists[l])); c++)
				check_item(x, item, json_at(json_getc(spec, lists[l]), c), false);
	}
}

bool admit_limits(struct req *r, const struct json *pod)
{
	struct json copy = *pod;
	struct ranges x = { .r = r, .pod = &copy, .fn = check_pod };
	each_range(&x);
	if (x.wrong) {
		const char *open = x.wrong > 1 ? "[" : "", *close = x.wrong > 1 ? "]" : "";
		admit_forbid(r, pod, "%s%.*s%s", open, STR_ARG(buf_str(&x.why)), close);
	}
	buf_fini(&x.why);
	return x.wrong == 0;
}
