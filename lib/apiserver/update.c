/* Changes of stored objects: what update, the patches and the subresources have in common. */
#include "apiserver/admit.h"
#include "apiserver/atomic.h"
#include "patch/patch.h"

bool object_counts_generation(const struct kind *k)
{
	bool kubernetes_has_none =
		k->builtin && (k->group.len == 0 || str_is(k->group, "coordination.k8s.io"));
	return !kubernetes_has_none && (!k->builtin || schema_property(k->schema, STR("spec")));
}

/* ---- from the old state to the new one ---- */

static void keep(struct arena *a, struct json *to, const struct json *from, const char *name)
{
	const struct json *v = json_getc(from, name);
	if (v)
		json_setc(a, to, name, *v);
	else
		json_removec(to, name);
}

/* What only the server writes stays as it was. */
static void keep_metadata(struct arena *a, struct json *obj, const struct json *old)
{
	static const char *const ours[] = {
		"uid",        "creationTimestamp", "deletionTimestamp",
		"generation", "selfLink",          "deletionGracePeriodSeconds"
	};
	struct json *meta = json_child(a, obj, "metadata");
	const struct json *old_meta = json_getc(old, "metadata");
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		keep(a, meta, old_meta, ours[i]);
	json_removec(meta, "resourceVersion");
	if (!json_getc(meta, "managedFields"))
		keep(a, meta, old_meta, "managedFields");
	object_drop_empty(meta);
	if (!json_str(json_getc(meta, "name")).len)
		keep(a, meta, old_meta, "name");
	if (!json_str(json_getc(meta, "namespace")).len)
		keep(a, meta, old_meta, "namespace");
}

/* A write of a subresource touches its part alone. */
static void restrict_change(struct req *r, struct json *obj, const struct json *old)
{
	struct arena *a = &r->arena;
	struct str sub = r->route.subresource;
	if (sub.len == 0) {
		if (r->kind->has_status)
			keep(a, obj, old, "status");
		return;
	}
	if (!str_is(sub, "status") && !str_is(sub, "finalize"))
		return;
	struct json wanted = *obj;
	const struct json *fields = json_dig(&wanted, "metadata", "managedFields", NULL);
	*obj = json_clone(a, old);
	struct json *meta = json_child(a, obj, "metadata");
	if (fields)
		json_setc(a, meta, "managedFields", *fields);
	if (str_is(sub, "status"))
		keep(a, obj, &wanted, "status");
	else
		keep(a, json_child(a, obj, "spec"), json_getc(&wanted, "spec"), "finalizers");
}

static bool intent_differs(const struct json *a, const struct json *b)
{
	for (size_t i = 0; i < json_len(a); i++) {
		struct str name = json_str(&a->members[i].key);
		if (str_is(name, "metadata") || str_is(name, "status"))
			continue;
		const struct json *other = json_get(b, name);
		if (!other || !json_equal(&a->members[i].value, other))
			return true;
	}
	return false;
}

/* Equal but for resourceVersion, which the new state does not have. */
static bool same_metadata(const struct json *now, const struct json *old)
{
	size_t n = 0;
	for (size_t i = 0; i < json_len(old); i++) {
		struct str name = json_str(&old->members[i].key);
		if (str_is(name, "resourceVersion"))
			continue;
		const struct json *v = json_get(now, name);
		if (!v || !json_equal(v, &old->members[i].value))
			return false;
		n++;
	}
	return n == json_len(now);
}

static bool same_object(const struct json *now, const struct json *old)
{
	if (json_len(now) != json_len(old))
		return false;
	for (size_t i = 0; i < json_len(now); i++) {
		struct str name = json_str(&now->members[i].key);
		const struct json *v = json_get(old, name);
		bool same =
			v && (str_is(name, "metadata") ? same_metadata(&now->members[i].value, v)
						       : json_equal(&now->members[i].value, v));
		if (!same)
			return false;
	}
	return true;
}

static void bump_generation(struct req *r, struct json *obj, const struct json *old)
{
	if (!object_counts_generation(r->kind) ||
	    (!intent_differs(obj, old) && !intent_differs(old, obj)))
		return;
	struct json *meta = json_getc(obj, "metadata");
	int64_t g = json_i64(json_getc(meta, "generation"), 0);
	json_setc(&r->arena, meta, "generation", json_of_i64(g + 1));
}

/* Answers and returns false when the client asked for another state than the stored one. */
static bool preconditions(struct req *r, const struct json *obj)
{
	struct str rev = object_text(obj, "resourceVersion"), uid = object_text(obj, "uid");
	struct str have = object_text(&r->target.tree, "uid");
	int64_t want = 0;
	if (uid.len && !str_eq(uid, have)) {
		req_fail_precondition(
			r, r->route.name,
			arena_printf(&r->arena,
				     "Precondition failed: UID in precondition: %.*s, UID in "
				     "object meta: %.*s",
				     STR_ARG(uid), STR_ARG(have)));
		return false;
	}
	if (rev.len == 0 || str_is(rev, "0"))
		return true;
	if (!str_to_i64(rev, &want)) {
		req_failf(r, ERR_INVALID,
			  "metadata.resourceVersion: Invalid value: \"%.*s\": must be a "
			  "number",
			  STR_ARG(rev));
		return false;
	}
	if (want == watch_obj_rev(r->target.old))
		return true;
	req_fail_modified(r, r->route.name);
	return false;
}

/* ---- the store's answer ---- */

struct finish {
	req_fn retry;
};

static void stored(struct req *r)
{
	struct finish *f = r->extra;
	if (r->result.code == 0) {
		if (r->scale_view)
			special_reply_scale(r, r->value, r->result.rev);
		else
			req_reply_object(r, 200, object_with_rev(r->kind, r->value, r->result.rev));
		return;
	}
	if (r->result.code != ERR_CONFLICT || r->result.fenced)
		write_failed(r);
	else if (r->also_len && r->tries++ < QUOTA_RETRIES_MAX)
		req_when_fresh(r, f->retry); /* the object or a quota: seen when it is read again */
	else if (!write_lost_race(r, f->retry))
		req_fail_modified(r, r->route.name);
}

static void answer_unwritten(struct req *r, struct bytes *value, int64_t rev)
{
	if (r->scale_view)
		special_reply_scale(r, value, rev);
	else
		req_reply_object(r, 200, object_with_rev(r->kind, value, rev));
	bytes_unref(value);
}

void write_finish(struct req *r, struct json *obj, bool by_apply, req_fn retry)
{
	struct arena *a = &r->arena;
	const struct json *old = &r->target.tree;
	struct finish *f = arena_new(a, struct finish, 1);
	f->retry = retry;
	r->extra = f;
	r->again = retry;
	struct error err = { 0 };
	if (!preconditions(r, obj))
		return;
	restrict_change(r, obj, old);
	keep_metadata(a, obj, old);
	if (special_body_allowed(r, obj, &err)) {
		req_fail(r, &err);
		return;
	}
	if (!admit_change(r, obj, old) || !write_check(r, obj, old, r->route.name) ||
	    !admit_check(r, obj, old))
		return;
	bump_generation(r, obj, old);
	struct str sub = str_is(r->route.subresource, "finalize") ? STR_NONE : r->route.subresource;
	if (!by_apply)
		patch_managed_update(a, r->kind->schema, write_manager(r), r->kind->api_version,
				     sub, object_now(a), old, obj);
	struct bytes *value = kind_encode(r->kind, obj);
	int64_t rev = watch_obj_rev(r->target.old);
	atomic_note(r, r->target.key, obj, true);
	if (r->opt.dry_run || same_object(obj, old)) {
		answer_unwritten(r, value, rev);
		return;
	}
	enum store_op op = delete_due(r->kind, obj) ? STORE_DELETE : STORE_UPDATE;
	write_submit(r, op, r->target.key, rev, value, stored);
}

/* ---- PUT ---- */

static void attempt(struct req *r)
{
	if (!write_manager_ok(r) || !write_read_body(r) || !write_find_tree(r, r->route.name))
		return;
	if (!r->target.old) {
		req_fail_not_found(r, r->route.name);
		return;
	}
	struct str name = object_text(&r->input, "name"), ns = object_text(&r->input, "namespace");
	if (name.len && !str_eq(name, r->route.name)) {
		req_failf(r, ERR_BAD_REQUEST,
			  "the name of the object (%.*s) does not match the name on the URL (%.*s)",
			  STR_ARG(name), STR_ARG(r->route.name));
		return;
	}
	if (r->kind->namespaced && ns.len && !str_eq(ns, r->route.ns)) {
		req_failf(r, ERR_BAD_REQUEST,
			  "the namespace of the object (%.*s) does not match the namespace on the "
			  "request "
			  "(%.*s)",
			  STR_ARG(ns), STR_ARG(r->route.ns));
		return;
	}
	struct str rev = object_text(&r->input, "resourceVersion");
	r->named_rev = rev.len > 0 && !str_is(rev, "0");
	if (!r->named_rev && !r->kind->builtin) {
		struct field_errors e = { .arena = &r->arena };
		struct json zero = json_of_i64(0);
		field_error_add(&e, FIELD_INVALID, STR("metadata.resourceVersion"), &zero,
				"must be specified for an update");
		req_fail_invalid(r, r->route.name, &e);
		return;
	}
	write_finish(r, &r->input, false, attempt);
}

void verb_update(struct req *r)
{
	req_when_fresh(r, attempt);
}
