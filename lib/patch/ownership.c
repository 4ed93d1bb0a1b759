/* Who owns what after a write: the update and apply of structured merge (KEP-555). */
#include "patch/managed.h"
#include "patch/typed.h"

#include <assert.h>

/* ---- what nobody owns ---- */

struct fset ssa_strip(struct arena *a, const struct fset *set)
{
	static const char *const root[] = { "apiVersion", "kind", "metadata" };
	static const char *const meta[] = {
		"clusterName", "creationTimestamp", "generation",      "managedFields",
		"name",        "namespace",         "resourceVersion", "selfLink",
		"uid"
	};
	struct fset inner = { 0 };
	for (size_t i = 0; i < sizeof(meta) / sizeof(meta[0]); i++)
		fset_push(a, &inner, pe_field(str_of(meta[i])), true, (struct fset){ 0 });
	struct fset strip = { 0 };
	for (size_t i = 0; i < sizeof(root) / sizeof(root[0]); i++)
		fset_push(a, &strip, pe_field(str_of(root[i])), true,
			  str_is(str_of(root[i]), "metadata") ? inner : (struct fset){ 0 });
	return fset_difference(a, set, &strip);
}

/* ---- after any write ---- */

static const struct json *or_empty(const struct json *obj)
{
	static const struct json empty = { .type = JSON_OBJECT };
	return obj ? obj : &empty;
}

static void reconcile(struct ssa *x)
{
	for (size_t i = 0; i < x->managers->len; i++) {
		struct manager *m = &x->managers->list[i];
		struct fset now = typed_reconcile(x->a, x->schema, manager_set(x->a, m));
		if (!fset_equal(&now, &m->set))
			manager_own(m, now);
	}
}

/* Others lose what was changed or removed. */
static void take_away(struct ssa *x, struct manager *m, const struct typed_diff *diff)
{
	struct fset left = fset_difference(x->a, manager_set(x->a, m), &diff->modified);
	left = fset_difference(x->a, &left, &diff->added);
	left = fset_difference(x->a, &left, &diff->removed);
	if (!fset_equal(&left, &m->set))
		manager_own(m, left);
}

bool ssa_update(struct ssa *x, struct manager *self, const struct json *live,
		const struct json *obj)
{
	struct typed_diff diff;
	typed_compare(x->a, x->schema, or_empty(live), obj, &diff);
	if (typed_same(&diff))
		return false;
	reconcile(x);
	for (size_t i = 0; i < x->managers->len; i++)
		take_away(x, &x->managers->list[i], &diff);
	struct fset got = fset_union(x->a, &diff.modified, &diff.added);
	got = ssa_strip(x->a, &got);
	if (fset_empty(&got))
		return false;
	manager_own(self, fset_union(x->a, &self->set, &got));
	return true;
}

/* ---- apply ---- */

/* Everything the value holds, struct fields included. */
static struct fset named_set(struct ssa *x, const struct json *v)
{
	struct fset set = typed_set(x->a, x->schema, v);
	return typed_named(x->a, x->schema, &set);
}

/*
 * Takes out of `merged` what the last set of this manager has, the new one has
 * not, and nobody else owns.  Taking a struct out takes unowned fields below it
 * along; those come back unless what is left above them is gone as well.
 */
static struct json prune(struct ssa *x, const struct json *merged, const struct fset *last,
			 const struct manager *self, const struct fset *config)
{
	struct fset last_named = typed_named(x->a, x->schema, last);
	struct json pruned = typed_remove(x->a, x->schema, merged, &last_named);
	struct fset owned = *config;
	for (size_t i = 0; i < x->managers->len; i++) {
		struct manager *m = &x->managers->list[i];
		if (m != self)
			owned = fset_union(x->a, &owned, manager_set(x->a, m));
	}
	owned = typed_named(x->a, x->schema, &owned);
	struct fset merged_set = named_set(x, merged);
	struct fset pruned_set = named_set(x, &pruned);
	struct fset keep = fset_union(x->a, &pruned_set, &owned);
	struct fset gone = fset_difference(x->a, &merged_set, &keep);
	pruned = typed_remove(x->a, x->schema, merged, &gone);

	pruned_set = named_set(x, &pruned);
	gone = fset_difference(x->a, &merged_set, &pruned_set);
	gone = fset_intersection(x->a, &gone, &last_named);
	struct json ret = typed_remove(x->a, x->schema, merged, &gone);
	return ret.type == JSON_OBJECT ? ret : json_object();
}

static bool find_conflicts(struct ssa *x, const struct manager *self, const struct typed_diff *diff)
{
	struct fset changed = fset_union(x->a, &diff->modified, &diff->added);
	bool any = false;
	x->conflicts = arena_new(x->a, struct fset, x->managers->len);
	for (size_t i = 0; i < x->managers->len; i++) {
		struct manager *m = &x->managers->list[i];
		if (m == self)
			continue;
		x->conflicts[i] = fset_intersection(x->a, manager_set(x->a, m), &changed);
		any = any || !fset_empty(&x->conflicts[i]);
	}
	return any;
}

int ssa_apply(struct ssa *x, struct manager *self, struct str api_version, bool force,
	      const struct json *live, const struct json *config, struct ssa_applied *ret,
	      struct error *err)
{
	*ret = (struct ssa_applied){ 0 };
	struct fset set = typed_set(x->a, x->schema, config);
	struct fset own = ssa_strip(x->a, &set);
	struct json merged = { 0 };
	bool differs = typed_merge(x->a, x->schema, or_empty(live), config, &merged);
	bool same_set =
		fset_equal(&own, manager_set(x->a, self)) && str_eq(self->api_version, api_version);
	ret->object = *or_empty(live);
	if (!differs && same_set)
		return 0;

	reconcile(x);
	struct fset dropped = fset_difference(x->a, &self->set, &own);
	if (!fset_empty(&dropped))
		merged = prune(x, &merged, &self->set, self, &set);
	struct typed_diff diff;
	typed_compare(x->a, x->schema, or_empty(live), &merged, &diff);
	if (find_conflicts(x, self, &diff) && !force)
		return error_set(err, ERR_CONFLICT, "Apply failed with conflicts");
	for (size_t i = 0; i < x->managers->len; i++) {
		if (&x->managers->list[i] != self)
			take_away(x, &x->managers->list[i], &diff);
	}
	ret->set_changed = !same_set;
	self->api_version = api_version;
	if (!fset_equal(&own, &self->set))
		manager_own(self, own);
	/* The order of a list is nobody's, but it is part of the object. */
	ret->object_changed = !json_equal(or_empty(live), &merged);
	if (ret->object_changed)
		ret->object = merged;
	return 0;
}
