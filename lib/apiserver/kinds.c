/* The kinds of the moment: built-in ones and those of the CustomResourceDefinitions in the cache. */
#include "apiserver/apiserver_priv.h"
#include "base/log.h"
#include "base/mem.h"

#define CRD_PREFIX "apiextensions.k8s.io/customresourcedefinitions/"

bool kinds_is_crd_key(struct str key)
{
	return str_starts(key, STR(CRD_PREFIX));
}

struct kind_set *kinds_get(struct apiserver *s)
{
	pthread_mutex_lock(&s->kinds_lock);
	struct kind_set *k = kind_set_ref(s->kinds);
	pthread_mutex_unlock(&s->kinds_lock);
	return k;
}

struct kind_set *apiserver_kinds(struct apiserver *s)
{
	return kinds_get(s);
}

/* Only the store's thread replaces the set, and this runs on it: no lock for its own reading. */
void kinds_index(void *arg, struct str key, struct str json, struct watch_index *ix)
{
	struct apiserver *s = arg;
	kind_index(s->kinds, key, json, ix);
}

struct collect {
	struct arena arena;
	const struct kind *kind;
	const struct json **list;
	size_t len, cap;
};

static bool collect_crd(void *arg, struct watch_obj *o)
{
	struct collect *c = arg;
	struct json *crd = arena_new(&c->arena, struct json, 1);
	if (object_parse(&c->arena, c->kind, o, crd, NULL))
		return true;
	mem_grow(c->list, c->len, c->cap);
	c->list[c->len++] = crd;
	return true;
}

static void on_wrong_crd(void *arg, struct str name, const char *msg)
{
	(void)arg;
	log_warn("crd-not-served", "crd", LOG_STR(name), "error", LOG_S(msg), NULL);
}

void kinds_load(struct apiserver *s)
{
	struct collect c = { .kind = kind_find_key(s->builtin, STR("apiextensions.k8s.io/"
								   "customresourcedefinitions")) };
	if (!c.kind)
		return;
	struct watch_snap *snap = watch_snap_get(s->cache);
	watch_snap_walk(snap, STR(CRD_PREFIX), STR(CRD_PREFIX), collect_crd, &c);
	struct kind_set *fresh = kind_set_with_crds(s->kinds, c.list, c.len, on_wrong_crd, s);
	pthread_mutex_lock(&s->kinds_lock);
	struct kind_set *old = s->kinds;
	s->kinds = fresh;
	pthread_mutex_unlock(&s->kinds_lock);
	kind_set_unref(old);
	watch_snap_unref(snap);
	arena_fini(&c.arena);
	mem_free(c.list);
}

void kinds_batch(struct apiserver *s, struct watch_event *const *ev, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (kinds_is_crd_key(watch_obj_key(ev[i]->obj))) {
			kinds_load(s);
			return;
		}
}
