/* Roles and bindings of the moment, made into an index when somebody asks after a change. */
#include "apiserver/apiserver_priv.h"
#include "auth/rbac.h"
#include "base/mem.h"

#define RBAC_PREFIX "rbac.authorization.k8s.io/"

static const char *const prefixes[] = { RBAC_PREFIX "roles/", RBAC_PREFIX "clusterroles/",
					RBAC_PREFIX "rolebindings/",
					RBAC_PREFIX "clusterrolebindings/" };

void roles_batch(struct apiserver *s, struct watch_event *const *ev, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_starts(watch_obj_key(ev[i]->obj), STR(RBAC_PREFIX)))
			atomic_store(&s->roles_rev, ev[i]->rev);
}

struct collect {
	struct arena arena;
	const struct json **list;
	size_t len, cap;
};

static bool collect(void *arg, struct watch_obj *o)
{
	struct collect *c = arg;
	struct json *obj = arena_new(&c->arena, struct json, 1);
	/* What cannot be read grants nothing. */
	if (json_parse(&c->arena, watch_obj_json(o), NULL, obj, NULL) == 0) {
		mem_grow(c->list, c->len, c->cap);
		c->list[c->len++] = obj;
	}
	return true;
}

static void renew(struct apiserver *s)
{
	struct collect c = { 0 };
	struct watch_snap *snap = watch_snap_get(s->cache);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		watch_snap_walk(snap, str_of(prefixes[i]), str_of(prefixes[i]), collect, &c);
	rbac_unref(s->rbac);
	s->rbac = rbac_new(c.list, c.len);
	s->rbac_rev = watch_snap_rev(snap);
	watch_snap_unref(snap);
	arena_fini(&c.arena);
	mem_free(c.list);
}

struct rbac *roles_get(struct apiserver *s)
{
	pthread_mutex_lock(&s->rbac_lock);
	if (s->rbac_rev < 0 || s->rbac_rev < atomic_load(&s->roles_rev))
		renew(s);
	struct rbac *r = rbac_ref(s->rbac);
	pthread_mutex_unlock(&s->rbac_lock);
	return r;
}
