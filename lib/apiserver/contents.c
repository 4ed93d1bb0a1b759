/* Emptying what is being deleted: namespaces and CustomResourceDefinitions. */
#include "apiserver/janitor.h"
#include "sys/clock.h"
#include "text/rfc3339.h"

enum { SETTLE_MS = 1500 };

static bool is_first_version(const struct pass *p, size_t i)
{
	const struct kind *k = kind_at(p->kinds, i);
	for (size_t n = 0; n < i; n++)
		if (str_eq(kind_at(p->kinds, n)->resource_key, k->resource_key))
			return false;
	return true;
}

void contents_namespace(struct pass *p)
{
	struct str ns = watch_obj_name(p->obj);
	size_t left = 0;
	for (size_t i = 0; i < kind_count(p->kinds); i++) {
		const struct kind *k = kind_at(p->kinds, i);
		if (!k->namespaced || !is_first_version(p, i))
			continue;
		struct str prefix = object_prefix(&p->arena, k, ns);
		size_t n = watch_snap_count(p->snap, prefix);
		left += n;
		if (n && janitor_call_ok(p))
			janitor_call(p, "DELETE", janitor_path(&p->arena, k, ns, STR_NONE), NULL);
	}
	if (left) {
		/* Pods take their time, finalizers are others' matter: look again until it is empty. */
		p->w->failed = 1;
		return;
	}
	struct json *spec = json_child(&p->arena, &p->tree, "spec");
	json_setc(&p->arena, spec, "finalizers", json_array());
	struct str path = janitor_path(&p->arena, p->kind, STR_NONE, ns);
	janitor_call(p, "PUT", arena_strf(&p->arena, "%.*s/finalize", STR_ARG(path)), &p->tree);
}

void contents_crd(struct pass *p)
{
	static const char finalizer[] = "customresourcecleanup.apiextensions.k8s.io";
	struct arena *a = &p->arena;
	struct str key = arena_strf(
		a, "%.*s/%.*s", STR_ARG(json_str(json_dig(&p->tree, "spec", "group", NULL))),
		STR_ARG(json_str(json_dig(&p->tree, "spec", "names", "plural", NULL))));
	struct str prefix = arena_strf(a, "%.*s/", STR_ARG(key));
	const struct kind *k = kind_find_key(p->kinds, key);
	if (watch_snap_count(p->snap, prefix) > 0) {
		/* Without a version that is served nobody can delete them: the definition waits for one. */
		if (k)
			janitor_call(p, "DELETE", janitor_path(a, k, STR_NONE, STR_NONE), NULL);
		p->w->failed = 1;
		return;
	}
	/* A create that was let in just before the mark may still be on its way. */
	int64_t marked = 0;
	(void)rfc3339_parse_ms(object_text(&p->tree, "deletionTimestamp"), &marked);
	if (clock_unix_ms() - marked < SETTLE_MS) {
		p->w->failed = 1;
		return;
	}
	struct json *list = json_dig(&p->tree, "metadata", "finalizers", NULL);
	bool there = false;
	for (size_t i = json_len(list); i > 0; i--)
		if (str_is(json_str(json_at(list, i - 1)), finalizer)) {
			json_remove_at(list, i - 1);
			there = true;
		}
	if (there)
		janitor_call(p, "PUT", janitor_path(a, p->kind, STR_NONE, watch_obj_name(p->obj)),
			     &p->tree);
}

/* Written back as it is: admission looks again at which names it may have. */
void contents_crd_names(struct pass *p)
{
	janitor_call(p, "PUT", janitor_path(&p->arena, p->kind, STR_NONE, watch_obj_name(p->obj)),
		     &p->tree);
}

static bool add_conflicting(void *arg, struct watch_obj *o)
{
	struct janitor *j = arg;
	if (str_find_str(watch_obj_json(o), STR("is already in use\""), 0) >= 0)
		janitor_add(j, watch_obj_key(o));
	return true;
}

void contents_crd_event(struct janitor *j)
{
	static const char prefix[] = "apiextensions.k8s.io/customresourcedefinitions/";
	struct watch_snap *snap = watch_snap_get(j->s->cache);
	watch_snap_walk(snap, str_of(prefix), str_of(prefix), add_conflicting, j);
	watch_snap_unref(snap);
}
