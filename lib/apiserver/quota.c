/* ResourceQuota: what a namespace uses, and the write that takes more of it. */
#include "apiserver/admit.h"
#include "apiserver/janitor.h"
#include "text/quantity.h"

#define QUOTAS "/resourcequotas"

static struct quantity zero(void)
{
	return quantity_of_value(0, QUANTITY_DECIMAL_SI);
}

static bool read_quantity(const struct json *j, struct quantity *ret)
{
	return json_is(j, JSON_STRING) && quantity_parse(json_str(j), ret, NULL) == 0;
}

/* ---- what one object takes ---- */

/* "count/deployments.apps", "count/pods", and in the core group also just "pods". */
static bool counts(const struct kind *k, struct str name)
{
	struct str prefix = STR("count/");
	bool plain = !str_starts(name, prefix);
	struct str rest = plain ? name : str_sub(name, prefix.len, name.len);
	if (k->group.len == 0)
		return str_eq(rest, k->plural);
	return !plain && rest.len == k->plural.len + 1 + k->group.len &&
	       str_starts(rest, k->plural) && rest.p[k->plural.len] == '.' &&
	       str_ends(rest, k->group);
}

/* "requests.cpu", "cpu", "limits.memory": member of resources and name of the resource. */
static bool compute_name(struct str name, const char **member, struct str *resource)
{
	*member = str_starts(name, STR("limits.")) ? "limits" : "requests";
	if (str_starts(name, STR("limits.")))
		*resource = str_sub(name, 7, name.len);
	else if (str_starts(name, STR("requests.")))
		*resource = str_sub(name, 9, name.len);
	else if (str_is(name, "cpu") || str_is(name, "memory") || str_is(name, "ephemeral-storage"))
		*resource = name;
	else
		return false;
	return true;
}

static struct quantity of_container(const struct json *c, const char *member, struct str resource)
{
	struct quantity q = zero();
	const struct json *all = json_getc(c, "resources");
	(void)(read_quantity(json_get(json_getc(all, member), resource), &q) ||
	       (str_is(str_of(member), "requests") &&
		read_quantity(json_get(json_getc(all, "limits"), resource), &q)));
	return q;
}

/* The containers together, or the largest of those that run before them. */
static struct quantity of_pod(const struct json *pod, const char *member, struct str resource)
{
	struct quantity sum = zero(), most = zero();
	const struct json *spec = json_getc(pod, "spec");
	const struct json *list = json_getc(spec, "containers");
	const struct json *init = json_getc(spec, "initContainers");
	for (size_t i = 0; i < json_len(list); i++)
		sum = quantity_add(sum, of_container(json_at(list, i), member, resource));
	for (size_t i = 0; i < json_len(init); i++) {
		struct quantity q = of_container(json_at(init, i), member, resource);
		if (quantity_cmp(q, most) > 0)
			most = q;
	}
	return quantity_cmp(most, sum) > 0 ? most : sum;
}

static bool is_pods(const struct kind *k)
{
	return k->builtin && str_is(k->resource_key, "/pods");
}

/* False: the object takes nothing of it. */
static bool demand(const struct kind *k, const struct json *obj, struct str name,
		   struct quantity *ret)
{
	const char *member;
	struct str resource;
	*ret = quantity_of_value(1, QUANTITY_DECIMAL_SI);
	if (counts(k, name))
		return true;
	if (!is_pods(k) || !compute_name(name, &member, &resource))
		return false;
	*ret = of_pod(obj, member, resource);
	return true;
}

/* ---- what all of them take ---- */

struct sum {
	struct arena *a;
	const struct kind *pods;
	struct str name;
	struct quantity used;
};

static bool add_pod(void *arg, struct watch_obj *o)
{
	struct sum *s = arg;
	struct arena scratch = { 0 };
	struct json pod = { 0 };
	struct quantity q;
	if (object_parse(&scratch, s->pods, o, &pod, NULL) == 0) {
		struct str phase = json_str(json_dig(&pod, "status", "phase", NULL));
		bool over = str_is(phase, "Succeeded") || str_is(phase, "Failed");
		bool counted = !str_starts(s->name, STR("count/")) && over;
		if (!counted && demand(s->pods, &pod, s->name, &q))
			s->used = quantity_add(s->used, q);
	}
	arena_fini(&scratch);
	return true;
}

static struct quantity used(struct arena *a, const struct kind_set *kinds,
			    const struct watch_snap *snap, struct str ns, struct str name)
{
	struct sum s = { a, kind_find_key(kinds, STR("/pods")), name, zero() };
	const char *member;
	struct str resource;
	if (s.pods && (counts(s.pods, name) || compute_name(name, &member, &resource))) {
		struct str prefix = object_prefix(a, s.pods, ns);
		watch_snap_walk(snap, prefix, prefix, add_pod, &s);
		return s.used;
	}
	for (size_t i = 0; i < kind_count(kinds); i++) {
		const struct kind *k = kind_at(kinds, i);
		if (k->namespaced && counts(k, name))
			return quantity_of_value(
				(int64_t)watch_snap_count(snap, object_prefix(a, k, ns)),
				QUANTITY_DECIMAL_SI);
	}
	return s.used;
}

static struct json quantity_json(struct arena *a, struct quantity q)
{
	struct buf b = { 0 };
	quantity_write(&b, q);
	struct json j = json_of_str(arena_str(a, buf_str(&b)));
	buf_fini(&b);
	return j;
}

/* ---- a create ---- */

struct reservation {
	struct req *r;
	const struct kind *quotas;
	const struct json *obj;
	struct watch_snap *snap;
	bool refused;
};

static void refuse(struct reservation *v, const char *fmt, ...) ATTR_PRINTF(2, 3);

static void refuse(struct reservation *v, const char *fmt, ...)
{
	struct req *r = v->r;
	va_list ap;
	va_start(ap, fmt);
	char *why = arena_vprintf(&r->arena, fmt, ap);
	va_end(ap);
	struct str name = object_text(v->obj, "name");
	struct status st = { .code = ERR_FORBIDDEN,
			     .message = arena_strf(&r->arena, "%.*s \"%.*s\" is forbidden: %s",
						   STR_ARG(status_resource(&r->arena, r->kind)),
						   STR_ARG(name), why),
			     .name = name,
			     .group = r->kind->group,
			     .kind = r->kind->plural };
	v->refused = true;
	req_fail_status(r, &st);
}

/* One line of a quota: false when it is exceeded. */
static bool take(struct reservation *v, const struct json *quota, const struct json_member *hard,
		 struct json *status_used)
{
	struct arena *a = &v->r->arena;
	struct str name = json_str(&hard->key);
	struct quantity limit, want, have = used(a, v->r->kinds, v->snap, v->r->route.ns, name);
	if (!read_quantity(&hard->value, &limit))
		return true;
	bool takes = demand(v->r->kind, v->obj, name, &want);
	const char *member;
	struct str resource;
	if (takes && !counts(v->r->kind, name) && compute_name(name, &member, &resource) &&
	    quantity_sign(want) == 0) {
		refuse(v, "failed quota: %.*s: must specify %.*s",
		       STR_ARG(object_text(quota, "name")), STR_ARG(name));
		return false;
	}
	struct quantity then = takes ? quantity_add(have, want) : have;
	if (takes && quantity_cmp(then, limit) > 0) {
		struct str q[3];
		struct json shown[3] = { quantity_json(a, want), quantity_json(a, have),
					 quantity_json(a, limit) };
		for (size_t i = 0; i < 3; i++)
			q[i] = json_str(&shown[i]);
		refuse(v,
		       "exceeded quota: %.*s, requested: %.*s=%.*s, used: %.*s=%.*s, limited: "
		       "%.*s=%.*s",
		       STR_ARG(object_text(quota, "name")), STR_ARG(name), STR_ARG(q[0]),
		       STR_ARG(name), STR_ARG(q[1]), STR_ARG(name), STR_ARG(q[2]));
		return false;
	}
	json_set(a, status_used, name, quantity_json(a, then));
	return true;
}

static bool concerns(const struct reservation *v, const struct json *hard)
{
	struct quantity q;
	for (size_t i = 0; i < json_len(hard); i++)
		if (demand(v->r->kind, v->obj, json_str(&hard->members[i].key), &q))
			return true;
	return false;
}

static bool reserve(void *arg, struct watch_obj *o)
{
	struct reservation *v = arg;
	struct req *r = v->r;
	struct arena *a = &r->arena;
	struct json quota = { 0 };
	if (object_parse(a, v->quotas, o, &quota, NULL))
		return true;
	const struct json *hard = json_dig(&quota, "spec", "hard", NULL);
	if (!json_is(hard, JSON_OBJECT) || !concerns(v, hard))
		return true;
	struct json now = json_object(), status = json_object();
	for (size_t i = 0; i < json_len(hard); i++)
		if (!take(v, &quota, &hard->members[i], &now))
			return false;
	if (r->also_len == REQ_ALSO_MAX) {
		refuse(v, "the namespace has more than %d quotas for this", REQ_ALSO_MAX);
		return false;
	}
	json_setc(a, &status, "hard", *hard);
	json_setc(a, &status, "used", now);
	json_setc(a, &quota, "status", status);
	r->also[r->also_len++] = (struct store_write){ .op = STORE_UPDATE,
						       .key = arena_str(a, watch_obj_key(o)),
						       .want_rev = watch_obj_rev(o),
						       .value = kind_encode(v->quotas, &quota) };
	return true;
}

bool admit_quota(struct req *r, const struct json *obj)
{
	struct reservation v = { .r = r,
				 .quotas = kind_find_key(r->kinds, STR(QUOTAS)),
				 .obj = obj };
	req_drop_also(r);
	if (!r->kind->namespaced || !v.quotas)
		return true;
	v.snap = watch_snap_get(r->s->cache);
	struct str prefix = object_prefix(&r->arena, v.quotas, r->route.ns);
	watch_snap_walk(v.snap, prefix, prefix, reserve, &v);
	watch_snap_unref(v.snap);
	return !v.refused;
}

/* ---- what the status says after a deletion ---- */

void quota_pass(struct pass *p)
{
	struct arena *a = &p->arena;
	const struct json *hard = json_dig(&p->tree, "spec", "hard", NULL);
	struct json now = json_object(), status = json_object();
	for (size_t i = 0; json_is(hard, JSON_OBJECT) && i < json_len(hard); i++) {
		struct str name = json_str(&hard->members[i].key);
		json_set(a, &now, name,
			 quantity_json(
				 a, used(a, p->kinds, p->snap, watch_obj_namespace(p->obj), name)));
	}
	json_setc(a, &status, "hard", hard ? *hard : json_object());
	json_setc(a, &status, "used", now);
	const struct json *have = json_getc(&p->tree, "status");
	if (have && json_equal(have, &status))
		return;
	json_setc(a, &p->tree, "status", status);
	struct str path =
		janitor_path(a, p->kind, watch_obj_namespace(p->obj), watch_obj_name(p->obj));
	janitor_call(p, "PUT", arena_strf(a, "%.*s/status", STR_ARG(path)), &p->tree);
}

static bool add_quota(void *arg, struct watch_obj *o)
{
	janitor_add(arg, watch_obj_key(o));
	return true;
}

void quota_event(struct janitor *j, const struct watch_event *e)
{
	char prefix[300];
	struct str ns = watch_obj_namespace(e->obj);
	if (str_is(janitor_resource(watch_obj_key(e->obj)), QUOTAS)) {
		if (e->type != WATCH_DELETED)
			janitor_add(j, watch_obj_key(e->obj));
		return;
	}
	bool over = e->type == WATCH_DELETED ||
		    str_is(janitor_resource(watch_obj_key(e->obj)), "/pods");
	if (!ns.len || !over || e->type == WATCH_ADDED)
		return;
	int n = snprintf(prefix, sizeof(prefix), QUOTAS "/%.*s/", STR_ARG(ns));
	if (n < 0 || (size_t)n >= sizeof(prefix))
		return;
	struct watch_snap *snap = watch_snap_get(j->s->cache);
	struct str of = str_n(prefix, (size_t)n);
	watch_snap_walk(snap, of, of, add_quota, j);
	watch_snap_unref(snap);
}
