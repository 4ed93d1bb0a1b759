/* Garbage collection by ownerReferences: background, foreground, orphan. */
#include "apiserver/janitor.h"
#include "base/mem.h"

#define FINALIZER_ORPHAN     "orphan"
#define FINALIZER_FOREGROUND "foregroundDeletion"

/* ---- the index: owner uid -> dependents ---- */

static struct owner *owner_get(struct janitor *j, struct str uid)
{
	struct owner *o = map_get(&j->owners, uid);
	if (o)
		return o;
	o = mem_new_flex(struct owner, uid_text, uid.len + 1);
	memcpy(o->uid_text, uid.p, uid.len);
	o->uid = str_n(o->uid_text, uid.len);
	list_init(&o->deps);
	map_set(&j->owners, uid, o);
	return o;
}

static void owner_settle(struct janitor *j, struct owner *o)
{
	if (!list_empty(&o->deps))
		return;
	if (o->waiting)
		janitor_add(j, str_of(o->waiting));
	(void)map_del(&j->owners, o->uid);
	mem_free(o->waiting);
	mem_free(o);
}

static void forget(struct janitor *j, struct str key)
{
	struct dep *d = map_del(&j->objects, key);
	if (!d)
		return;
	char *text = NULL;
	while (d) {
		struct dep *next = d->next;
		text = (char *)(uintptr_t)d->key;
		list_del(&d->by_owner);
		if (d->owner->waiting)
			janitor_add(j, str_of(d->owner->waiting));
		owner_settle(j, d->owner);
		mem_free(d);
		d = next;
	}
	mem_free(text);
}

static void learn(struct janitor *j, const struct watch_obj *o)
{
	struct str key = watch_obj_key(o);
	size_t n = watch_obj_owners(o);
	struct dep *first = NULL;
	char *text = n ? mem_strndup(key.p, key.len) : NULL;
	for (size_t i = 0; i < n; i++) {
		struct dep *d = mem_new(struct dep, 1);
		d->owner = owner_get(j, watch_obj_owner_uid(o, i));
		d->key = text;
		d->next = first;
		list_append(&d->owner->deps, &d->by_owner);
		first = d;
	}
	if (first)
		map_set(&j->objects, key, first);
}

static bool same_owners(const struct watch_obj *a, const struct watch_obj *b)
{
	if (!a || watch_obj_owners(a) != watch_obj_owners(b))
		return false;
	for (size_t i = 0; i < watch_obj_owners(a); i++)
		if (!str_eq(watch_obj_owner_uid(a, i), watch_obj_owner_uid(b, i)))
			return false;
	return true;
}

/* The dependents of an object that has gone are looked at. */
static void owner_gone(struct janitor *j, const struct watch_obj *o)
{
	struct arena scratch = { 0 };
	struct json tree = { 0 };
	if (j->owners.len && json_parse(&scratch, watch_obj_json(o), NULL, &tree, NULL) == 0) {
		struct owner *w = map_get(&j->owners, object_text(&tree, "uid"));
		for (struct list *it = w ? w->deps.next : NULL; w && it != &w->deps; it = it->next)
			janitor_add(j, str_of(list_entry(it, struct dep, by_owner)->key));
	}
	arena_fini(&scratch);
}

void owners_event(struct janitor *j, const struct watch_event *e)
{
	if (e->type == WATCH_DELETED) {
		forget(j, watch_obj_key(e->obj));
		owner_gone(j, e->obj);
		return;
	}
	if (same_owners(e->prev, e->obj))
		return;
	forget(j, watch_obj_key(e->obj));
	learn(j, e->obj);
}

void owners_load(struct janitor *j, struct watch_obj *o)
{
	learn(j, o);
}

void owners_fini(struct janitor *j)
{
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&j->objects, &pos, &key, &value)) {
		struct dep *d = value;
		mem_free((char *)(uintptr_t)d->key);
		while (d) {
			struct dep *next = d->next;
			mem_free(d);
			d = next;
		}
	}
	map_fini(&j->objects);
	pos = 0;
	while (map_next(&j->owners, &pos, &key, &value)) {
		mem_free(((struct owner *)value)->waiting);
		mem_free(value);
	}
	map_fini(&j->owners);
}

/* ---- finalizers ---- */

static bool has_finalizer(const struct json *obj, const char *name)
{
	const struct json *list = json_dig(obj, "metadata", "finalizers", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_at(list, i)), name))
			return true;
	return false;
}

static void put(struct pass *p, const struct kind *k, const struct json *obj)
{
	janitor_call(
		p, "PUT",
		janitor_path(&p->arena, k, object_text(obj, "namespace"), object_text(obj, "name")),
		obj);
}

static void drop_finalizer(struct pass *p, const char *name)
{
	struct json *list = json_dig(&p->tree, "metadata", "finalizers", NULL);
	for (size_t i = json_len(list); i > 0; i--)
		if (str_is(json_str(json_at(list, i - 1)), name))
			json_remove_at(list, i - 1);
	put(p, p->kind, &p->tree);
}

/* ---- an owner that is being deleted ---- */

struct dependent {
	const struct kind *kind;
	struct watch_obj *obj;
	struct json tree;
	struct json *refs;
};

static bool read_dependent(struct pass *p, const char *key, struct dependent *ret)
{
	ret->obj = watch_snap_find(p->snap, str_of(key));
	ret->kind = kind_find_key(p->kinds, janitor_resource(str_of(key)));
	if (!ret->obj || !ret->kind ||
	    object_parse(&p->arena, ret->kind, ret->obj, &ret->tree, NULL))
		return false;
	ret->refs = json_dig(&ret->tree, "metadata", "ownerReferences", NULL);
	return true;
}

static void orphan_dependents(struct pass *p, struct owner *o)
{
	bool any = false;
	for (struct list *it = o ? o->deps.next : NULL; o && it != &o->deps; it = it->next) {
		struct dependent d;
		if (!janitor_call_ok(p) ||
		    !read_dependent(p, list_entry(it, struct dep, by_owner)->key, &d))
			continue;
		bool changed = false;
		for (size_t i = json_len(d.refs); i > 0; i--)
			if (str_eq(json_str(json_getc(json_at(d.refs, i - 1), "uid")), o->uid)) {
				json_remove_at(d.refs, i - 1);
				changed = true;
			}
		if (changed)
			put(p, d.kind, &d.tree);
		any |= changed;
	}
	if (any)
		p->w->again = true;
	else
		drop_finalizer(p, FINALIZER_ORPHAN);
}

static bool blocks(const struct dependent *d, struct str uid)
{
	for (size_t i = 0; i < json_len(d->refs); i++)
		if (str_eq(json_str(json_getc(json_at(d->refs, i), "uid")), uid))
			return json_bool(json_getc(json_at(d->refs, i), "blockOwnerDeletion"),
					 false);
	return false;
}

static void delete_object(struct pass *p, const struct kind *k, const struct json *obj,
			  const char *policy)
{
	struct arena *a = &p->arena;
	struct json options = json_object(), pre = json_object();
	json_setc(a, &pre, "uid", json_of_str(object_text(obj, "uid")));
	json_setc(a, &options, "preconditions", pre);
	json_setc(a, &options, "propagationPolicy", json_of_cstr(policy));
	janitor_call(p, "DELETE",
		     janitor_path(a, k, object_text(obj, "namespace"), object_text(obj, "name")),
		     &options);
}

static void wait_for_dependents(struct pass *p, struct owner *o)
{
	bool blocked = false;
	for (struct list *it = o ? o->deps.next : NULL; o && it != &o->deps; it = it->next) {
		struct dependent d;
		if (!read_dependent(p, list_entry(it, struct dep, by_owner)->key, &d))
			continue;
		blocked |= blocks(&d, o->uid);
		if (!object_deleting(&d.tree) && janitor_call_ok(p))
			janitor_add(p->j, watch_obj_key(d.obj));
	}
	if (!blocked) {
		drop_finalizer(p, FINALIZER_FOREGROUND);
		return;
	}
	if (!o->waiting)
		o->waiting = mem_strdup(p->w->key);
}

/* ---- a dependent ---- */

enum owner_state { OWNER_THERE, OWNER_GONE, OWNER_WAITING };

static enum owner_state owner_state(struct pass *p, const struct json *ref)
{
	struct arena *a = &p->arena;
	const struct kind *k = kind_find_gvk(p->kinds, json_str(json_getc(ref, "apiVersion")),
					     json_str(json_getc(ref, "kind")));
	struct str ns = watch_obj_namespace(p->obj);
	/* What this server does not know it must not take for gone. */
	if (!k || (k->namespaced && ns.len == 0))
		return OWNER_THERE;
	struct watch_obj *o =
		watch_snap_find(p->snap, object_key(a, k, ns, json_str(json_getc(ref, "name"))));
	struct json tree = { 0 };
	if (!o || object_parse(a, k, o, &tree, NULL))
		return o ? OWNER_THERE : OWNER_GONE;
	if (!str_eq(object_text(&tree, "uid"), json_str(json_getc(ref, "uid"))))
		return OWNER_GONE;
	return object_deleting(&tree) && has_finalizer(&tree, FINALIZER_FOREGROUND) ? OWNER_WAITING
										    : OWNER_THERE;
}

static void check_owners(struct pass *p)
{
	struct json *refs = json_dig(&p->tree, "metadata", "ownerReferences", NULL);
	size_t there = 0, waiting = 0, n = json_len(refs);
	if (n == 0)
		return;
	bool *gone = arena_new(&p->arena, bool, n);
	size_t gone_len = 0;
	for (size_t i = 0; i < n; i++) {
		enum owner_state st = owner_state(p, json_at(refs, i));
		there += st == OWNER_THERE;
		waiting += st == OWNER_WAITING;
		gone[i] = st != OWNER_THERE;
		gone_len += gone[i];
	}
	if (gone_len == 0)
		return;
	if (there == 0) {
		bool has_own = map_get(&p->j->owners, object_text(&p->tree, "uid")) != NULL;
		if (!object_deleting(&p->tree))
			delete_object(p, p->kind, &p->tree,
				      waiting && has_own ? "Foreground" : "Background");
		return;
	}
	for (size_t i = n; i > 0; i--)
		if (gone[i - 1])
			json_remove_at(refs, i - 1);
	put(p, p->kind, &p->tree);
}

void owners_pass(struct pass *p)
{
	struct owner *o = map_get(&p->j->owners, object_text(&p->tree, "uid"));
	if (object_deleting(&p->tree) && has_finalizer(&p->tree, FINALIZER_ORPHAN))
		orphan_dependents(p, o);
	else if (object_deleting(&p->tree) && has_finalizer(&p->tree, FINALIZER_FOREGROUND))
		wait_for_dependents(p, o);
	else
		check_owners(p);
}
