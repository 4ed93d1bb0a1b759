/* ResourceQuota: what a namespace uses, and the write that takes more of it. */
#include "apiserver/admit.h"
#include "apiserver/atomic.h"
#include "apiserver/janitor.h"
#include "text/quantity.h"

#define QUOTAS "/resourcequotas"

static struct quantity zero(void)
{
	return quantity_of_value(0, QUANTITY_DECIMAL_SI);
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
	(void)admit_pod_takes(obj, member, resource, ret);
	return true;
}

/* A pod that has ended takes nothing but its place among all objects. */
static bool over(const struct json *pod, struct str name)
{
	struct str phase = json_str(json_dig(pod, "status", "phase", NULL));
	return !str_starts(name, STR("count/")) &&
	       (str_is(phase, "Succeeded") || str_is(phase, "Failed"));
}

/* ---- what all of them take ---- */

struct sum {
	const struct kind *pods;
	const struct json *spec; /* of the quota */
	const struct json *hard;
	struct quantity *used; /* one a line of hard */
};

static bool add_pod(void *arg, struct watch_obj *o)
{
	struct sum *s = arg;
	struct arena scratch = { 0 };
	struct json pod = { 0 };
	struct quantity q;
	bool counted = object_parse(&scratch, s->pods, o, &pod, NULL) == 0 &&
		       quota_in_scope(s->pods, &pod, s->spec);
	for (size_t i = 0; counted && i < json_len(s->hard); i++) {
		struct str name = json_str(&s->hard->members[i].key);
		if (!over(&pod, name) && demand(s->pods, &pod, name, &q))
			s->used[i] = quantity_add(s->used[i], q);
	}
	arena_fini(&scratch);
	return true;
}

static bool of_pods(const struct kind *pods, struct str name)
{
	const char *member;
	struct str resource;
	return pods && (counts(pods, name) || compute_name(name, &member, &resource));
}

static struct quantity number_of(struct arena *a, const struct kind_set *kinds,
				 const struct watch_snap *snap, struct str ns, struct str name)
{
	for (size_t i = 0; i < kind_count(kinds); i++) {
		const struct kind *k = kind_at(kinds, i);
		if (k->namespaced && counts(k, name))
			return quantity_of_value(
				(int64_t)watch_snap_count(snap, object_prefix(a, k, ns)),
				QUANTITY_DECIMAL_SI);
	}
	return zero();
}

/*
 * One quantity a line of hard.  Pods are read one by one, once for all lines, when a line is of them;
 * all others are counted by the tree.
 */
static struct quantity *used(struct arena *a, const struct kind_set *kinds,
			     const struct watch_snap *snap, struct str ns, const struct json *spec)
{
	const struct json *hard = json_getc(spec, "hard");
	size_t n = json_is(hard, JSON_OBJECT) ? json_len(hard) : 0;
	struct sum s = { kind_find_key(kinds, STR("/pods")), spec, hard,
			 arena_new(a, struct quantity, n + 1) };
	bool scoped = json_len(json_getc(spec, "scopes")) || json_getc(spec, "scopeSelector");
	bool pods = false;
	for (size_t i = 0; i < n; i++) {
		struct str name = json_str(&hard->members[i].key);
		bool pod_line = of_pods(s.pods, name);
		pods |= pod_line;
		s.used[i] = pod_line || scoped ? zero() : number_of(a, kinds, snap, ns, name);
	}
	if (pods) {
		struct str prefix = object_prefix(a, s.pods, ns);
		watch_snap_walk(snap, prefix, prefix, add_pod, &s);
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

/* ---- a write ---- */

struct reservation {
	struct req *r;
	const struct kind *quotas;
	const struct json *obj, *old;
	struct watch_snap *snap;
	bool refused;
};

/* One quota under judgement. */
struct ledger {
	struct reservation *v;
	const struct json *quota, *spec, *hard;
	bool in_old, in_new;  /* whether it counts the object before and after */
	bool known;           /* its status tells what is used, or was counted */
	bool counted;         /* … by us */
	struct quantity *now; /* used, a line */
};

/* What the earlier requests of the same set take. */
static void add_set(struct ledger *l)
{
	const struct atomic_note *n;
	for (size_t k = 0; (n = atomic_note_at(l->v->r, k)) != NULL; k++) {
		if (!n->created || !str_eq(n->ns, l->v->r->route.ns) ||
		    !quota_in_scope(n->kind, n->obj, l->spec))
			continue;
		for (size_t i = 0; i < json_len(l->hard); i++) {
			struct str name = json_str(&l->hard->members[i].key);
			struct quantity q;
			if (!over(n->obj, name) && demand(n->kind, n->obj, name, &q))
				l->now[i] = quantity_add(l->now[i], q);
		}
	}
}

static void count_all(struct ledger *l)
{
	struct req *r = l->v->r;
	l->now = used(&r->arena, r->kinds, l->v->snap, r->route.ns, l->spec);
	l->known = l->counted = true;
	add_set(l);
}

/*
 * Status speaks of the quota as it is now.  It is never too low: each write that takes more changes it in its
 * own transaction, and nothing else may without having seen them all.  It may be too high for a
 * moment, after deletions: who would be refused by it is judged by counting.
 */
static void read_status(struct ledger *l)
{
	const struct json *status = json_getc(l->quota, "status");
	const struct json *have = json_getc(status, "hard"), *was = json_getc(status, "used");
	size_t n = json_len(l->hard);
	if (!have || !json_equal(have, l->hard))
		return;
	l->now = arena_new(&l->v->r->arena, struct quantity, n + 1);
	for (size_t i = 0; i < n; i++)
		if (!admit_quantity(json_get(was, json_str(&l->hard->members[i].key)), &l->now[i]))
			return;
	l->known = true;
	add_set(l);
}

/* What the write adds to line i; false when nothing. */
static bool more(const struct ledger *l, size_t i, struct quantity *ret)
{
	const struct kind *k = l->v->r->kind;
	struct str name = json_str(&l->hard->members[i].key);
	struct quantity before = zero();
	bool takes = l->in_new && !over(l->v->obj, name) && demand(k, l->v->obj, name, ret);
	if (!takes)
		return false;
	if (!l->in_old || over(l->v->old, name) || !demand(k, l->v->old, name, &before))
		return true;
	*ret = quantity_sub(*ret, before);
	return quantity_sign(*ret) > 0;
}

/* The containers that do not say what the quota wants to know: "a,b", or "". */
static struct str silent(struct arena *a, const struct json *pod, struct str name)
{
	static const char *const lists[] = { "containers", "initContainers" };
	const char *member;
	struct str resource;
	struct quantity q;
	struct buf b = { 0 };
	/* Of other resources most containers need none. */
	if (!compute_name(name, &member, &resource) ||
	    (!str_is(resource, "cpu") && !str_is(resource, "memory")))
		return STR_NONE;
	for (size_t l = 0; l < 2; l++) {
		const struct json *list = json_dig(pod, "spec", lists[l], NULL);
		for (size_t i = 0; i < json_len(list); i++) {
			const struct json *c = json_at(list, i);
			if (!admit_container_takes(c, member, resource, &q))
				buf_addf(&b, "%s%.*s", b.len ? "," : "",
					 STR_ARG(json_str(json_getc(c, "name"))));
		}
	}
	struct str text = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return text;
}

/* Each container of a new pod has to say what a line of compute resources counts. */
static bool all_said(struct ledger *l)
{
	struct reservation *v = l->v;
	struct arena *a = &v->r->arena;
	struct buf b = { 0 };
	for (size_t i = 0; !v->old && is_pods(v->r->kind) && i < json_len(l->hard); i++) {
		struct str name = json_str(&l->hard->members[i].key);
		struct str who = counts(v->r->kind, name) ? STR_NONE : silent(a, v->obj, name);
		if (who.len)
			buf_addf(&b, "%s%.*s for: %.*s", b.len ? "; " : "", STR_ARG(name),
				 STR_ARG(who));
	}
	if (b.len)
		v->refused =
			!admit_forbid(v->r, v->obj, "failed quota: %.*s: must specify %.*s",
				      STR_ARG(object_text(l->quota, "name")), STR_ARG(buf_str(&b)));
	buf_fini(&b);
	return !v->refused;
}

static void add_pair(struct arena *a, struct buf *b, struct str name, struct quantity q)
{
	struct json shown = quantity_json(a, q);
	buf_addf(b, "%s%.*s=%.*s", b->len ? "," : "", STR_ARG(name), STR_ARG(json_str(&shown)));
}

/* Lines that would be exceeded; with `asked` told which. */
static size_t exceeded(struct ledger *l, struct buf *asked, struct buf *have, struct buf *limited)
{
	struct arena *a = &l->v->r->arena;
	size_t n = 0;
	for (size_t i = 0; i < json_len(l->hard); i++) {
		struct str name = json_str(&l->hard->members[i].key);
		struct quantity limit, want;
		if (!admit_quantity(&l->hard->members[i].value, &limit) || !more(l, i, &want) ||
		    quantity_cmp(quantity_add(l->now[i], want), limit) <= 0)
			continue;
		n++;
		if (!asked)
			continue;
		add_pair(a, asked, name, want);
		add_pair(a, have, name, l->now[i]);
		add_pair(a, limited, name, limit);
	}
	return n;
}

static bool fits(struct ledger *l)
{
	struct buf b[3] = { { 0 } };
	if (!l->known)
		count_all(l);
	if (exceeded(l, NULL, NULL, NULL) == 0)
		return true;
	if (!l->counted)
		count_all(l);
	if (exceeded(l, &b[0], &b[1], &b[2]))
		l->v->refused = !admit_forbid(
			l->v->r, l->v->obj,
			"exceeded quota: %.*s, requested: %.*s, used: %.*s, limited: %.*s",
			STR_ARG(object_text(l->quota, "name")), STR_ARG(buf_str(&b[0])),
			STR_ARG(buf_str(&b[1])), STR_ARG(buf_str(&b[2])));
	for (size_t i = 0; i < 3; i++)
		buf_fini(&b[i]);
	return !l->v->refused;
}

static bool concerns(const struct ledger *l)
{
	struct quantity q;
	for (size_t i = 0; i < json_len(l->hard); i++)
		if (more(l, i, &q))
			return true;
	return false;
}

static bool write_along(struct ledger *l, struct watch_obj *o, struct json *quota)
{
	struct req *r = l->v->r;
	struct arena *a = &r->arena;
	struct json now = json_object(), status = json_object();
	struct quantity want;
	if (r->also_len == REQ_ALSO_MAX) {
		l->v->refused = !admit_forbid(r, l->v->obj,
					      "the namespace has more than %d quotas for this",
					      REQ_ALSO_MAX);
		return false;
	}
	for (size_t i = 0; i < json_len(l->hard); i++)
		json_set(a, &now, json_str(&l->hard->members[i].key),
			 quantity_json(a, more(l, i, &want) ? quantity_add(l->now[i], want)
							    : l->now[i]));
	json_setc(a, &status, "hard", *l->hard);
	json_setc(a, &status, "used", now);
	json_setc(a, quota, "status", status);
	r->also[r->also_len++] = (struct store_write){ .op = STORE_UPDATE,
						       .key = arena_str(a, watch_obj_key(o)),
						       .want_rev = watch_obj_rev(o),
						       .value = kind_encode(l->v->quotas, quota) };
	return true;
}

static bool reserve(void *arg, struct watch_obj *o)
{
	struct reservation *v = arg;
	const struct kind *k = v->r->kind;
	struct json quota = { 0 };
	const struct json *pending = atomic_pending(v->r, watch_obj_key(o));
	if (pending)
		quota = json_clone(&v->r->arena, pending);
	else if (object_parse(&v->r->arena, v->quotas, o, &quota, NULL))
		return true;
	struct ledger l = { .v = v, .quota = &quota, .spec = json_getc(&quota, "spec") };
	l.hard = json_getc(l.spec, "hard");
	if (!json_is(l.hard, JSON_OBJECT))
		return true;
	l.in_new = quota_in_scope(k, v->obj, l.spec);
	l.in_old = v->old && quota_in_scope(k, v->old, l.spec);
	if (!l.in_new || !all_said(&l) || !concerns(&l))
		return !v->refused;
	read_status(&l);
	return fits(&l) && write_along(&l, o, &quota);
}

bool admit_quota(struct req *r, const struct json *obj, const struct json *old)
{
	struct reservation v = {
		.r = r, .quotas = kind_find_key(r->kinds, STR(QUOTAS)), .obj = obj, .old = old
	};
	req_drop_also(r);
	/* Of what is there already only a pod can come to take more: by another scope. */
	if (!r->kind->namespaced || !v.quotas ||
	    (old && (!is_pods(r->kind) || r->route.subresource.len)))
		return true;
	v.snap = watch_snap_get(r->s->cache);
	struct str prefix = object_prefix(&r->arena, v.quotas, r->route.ns);
	watch_snap_walk(v.snap, prefix, prefix, reserve, &v);
	watch_snap_unref(v.snap);
	return !v.refused;
}

/* ---- what the status says behind the writes ---- */

enum {
	AFTER_DELETION_MS = 100, /* many go together */
	/* A write that was judged before the quota was there has ended by then. */
	AFTER_CHANGE_MS = 3000,
};

void quota_pass(struct pass *p)
{
	struct arena *a = &p->arena;
	const struct json *spec = json_getc(&p->tree, "spec");
	const struct json *hard = json_getc(spec, "hard");
	struct json now = json_object(), status = json_object();
	struct quantity *sums = used(a, p->kinds, p->snap, watch_obj_namespace(p->obj), spec);
	for (size_t i = 0; json_is(hard, JSON_OBJECT) && i < json_len(hard); i++)
		json_set(a, &now, json_str(&hard->members[i].key), quantity_json(a, sums[i]));
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
	janitor_add_after(arg, watch_obj_key(o), AFTER_DELETION_MS);
	return true;
}

enum state {
	STATE_KEPT,   /* a write took of it, or nothing of this concerns us */
	STATE_BEHIND, /* the status speaks of other limits, or of none */
	STATE_CAUGHT, /* … and does no longer */
};

static enum state state_of(const struct watch_event *e)
{
	struct arena a = { 0 };
	struct json now = { 0 }, was = { 0 };
	enum state st = STATE_BEHIND;
	if (json_parse(&a, watch_obj_json(e->obj), NULL, &now, NULL) == 0 &&
	    (!e->prev || json_parse(&a, watch_obj_json(e->prev), NULL, &was, NULL) == 0)) {
		const struct json *hard = json_dig(&now, "spec", "hard", NULL);
		const struct json *told = json_dig(&now, "status", "hard", NULL);
		const struct json *before = json_dig(&was, "status", "hard", NULL);
		if (hard && told && json_equal(hard, told))
			st = before && json_equal(before, told) ? STATE_KEPT : STATE_CAUGHT;
	}
	arena_fini(&a);
	return st;
}

/* Only the end of a pod gives something back. */
static bool ended(const struct janitor *j, const struct watch_event *e)
{
	const struct kind *k = kind_find_key(j->s->builtin, STR("/pods"));
	if (e->type != WATCH_MODIFIED || !k ||
	    !str_is(janitor_resource(watch_obj_key(e->obj)), "/pods"))
		return false;
	for (size_t i = 0; i < k->selectable_len; i++) {
		if (!str_is(k->selectable[i], "status.phase") || i >= watch_obj_fields(e->obj))
			continue;
		struct str phase = watch_obj_field(e->obj, i);
		bool over_now = str_is(phase, "Succeeded") || str_is(phase, "Failed");
		return over_now && (!e->prev || i >= watch_obj_fields(e->prev) ||
				    !str_eq(watch_obj_field(e->prev, i), phase));
	}
	return true;
}

void quota_event(struct janitor *j, const struct watch_event *e)
{
	char prefix[300];
	struct str ns = watch_obj_namespace(e->obj);
	if (str_is(janitor_resource(watch_obj_key(e->obj)), QUOTAS)) {
		enum state st = e->type == WATCH_DELETED ? STATE_KEPT : state_of(e);
		if (st != STATE_KEPT)
			janitor_add_after(j, watch_obj_key(e->obj),
					  st == STATE_BEHIND ? 0 : AFTER_CHANGE_MS);
		return;
	}
	if (!ns.len || (e->type != WATCH_DELETED && !ended(j, e)))
		return;
	int n = snprintf(prefix, sizeof(prefix), QUOTAS "/%.*s/", STR_ARG(ns));
	if (n < 0 || (size_t)n >= sizeof(prefix))
		return;
	struct watch_snap *snap = watch_snap_get(j->s->cache);
	struct str of = str_n(prefix, (size_t)n);
	watch_snap_walk(snap, of, of, add_quota, j);
	watch_snap_unref(snap);
}
