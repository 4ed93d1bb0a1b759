/* Admission of definitions and of their objects. */
#include "apiserver/admit.h"
#include "base/mem.h"

#define CRD_PREFIX "apiextensions.k8s.io/customresourcedefinitions/"

bool admit_crd_open(struct req *r)
{
	struct str key = arena_strf(&r->arena, CRD_PREFIX "/%.*s.%.*s", STR_ARG(r->kind->plural),
				    STR_ARG(r->kind->group));
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	struct watch_obj *o = watch_snap_find(snap, key);
	struct json crd = { 0 };
	bool open =
		o && object_parse(&r->arena, r->kind, o, &crd, NULL) == 0 && !object_deleting(&crd);
	watch_snap_unref(snap);
	if (!open)
		req_failf(r, ERR_METHOD,
			  "create not allowed while custom resource definition is terminating");
	return open;
}

struct definitions {
	struct req *r;
	const struct json **list;
	size_t len, cap;
};

static bool collect(void *arg, struct watch_obj *o)
{
	struct definitions *d = arg;
	struct json *crd = arena_new(&d->r->arena, struct json, 1);
	if (object_parse(&d->r->arena, d->r->kind, o, crd, NULL) == 0) {
		mem_grow(d->list, d->len, d->cap);
		d->list[d->len++] = crd;
	}
	return true;
}

void admit_crd_names(struct req *r, struct json *crd)
{
	struct definitions d = { .r = r };
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	watch_snap_walk(snap, STR(CRD_PREFIX), STR(CRD_PREFIX), collect, &d);
	kind_crd_accept_names(&r->arena, crd, r->s->builtin, d.list, d.len, object_now(&r->arena));
	watch_snap_unref(snap);
	mem_free(d.list);
}
