/* PATCH: RFC 6902, RFC 7396, strategic merge and server-side apply. */
#include "patch/patch.h"

#include "apiserver/apiserver_priv.h"

enum patch_type { PATCH_UNKNOWN, PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };

static enum patch_type patch_type_of(struct str type)
{
	static const char *const names[] = { [PATCH_JSON] = "application/json-patch+json",
					     [PATCH_MERGE] = "application/merge-patch+json",
					     [PATCH_STRATEGIC] =
						     "application/strategic-merge-patch+json",
					     [PATCH_APPLY] = "application/apply-patch+yaml" };
	for (int i = PATCH_JSON; i <= PATCH_APPLY; i++)
		if (str_is(type, names[i]))
			return (enum patch_type)i;
	return PATCH_UNKNOWN;
}

static void fail_type(struct req *r)
{
	req_failf(
		r, ERR_MEDIA_TYPE,
		"the body of the request was in an unknown format - accepted media types include: "
		"application/json-patch+json, application/merge-patch+json%s, "
		"application/apply-patch+yaml",
		r->kind->builtin ? ", application/strategic-merge-patch+json" : "");
}

static bool not_found_or_fine(struct req *r)
{
	if (r->target.old)
		return true;
	req_fail_not_found(r, r->route.name);
	return false;
}

/* ---- server-side apply ---- */

static void fail_conflicts(struct req *r, const struct patch_apply *ap)
{
	struct arena *a = &r->arena;
	struct status_cause *causes = arena_new(a, struct status_cause, ap->conflicts_len + 1);
	for (size_t i = 0; i < ap->conflicts_len; i++) {
		const struct patch_conflict *c = &ap->conflicts[i];
		causes[i] = (struct status_cause){
			.reason = STR("FieldManagerConflict"),
			.message = arena_strf(a, "conflict with \"%.*s\"%.*s", STR_ARG(c->manager),
					      STR_ARG(c->operation_detail)),
			.field = c->field,
		};
	}
	struct status st = { .code = ERR_CONFLICT,
			     .message = patch_conflict_text(a, ap),
			     .causes = causes,
			     .causes_len = ap->conflicts_len };
	req_fail_status(r, &st);
}

/* The configuration that is applied: named as the path says, without what the path does not write. */
static bool read_applied(struct req *r)
{
	struct arena *a = &r->arena;
	struct error err = { 0 };
	struct str text = str_trim(r->body);
	bool yaml = text.len == 0 || text.p[0] != '{';
	if (write_parse(r, text, yaml, &r->input, &err)) {
		(void)error_wrap(&err, "error decoding YAML");
		req_fail(r, &err);
		return false;
	}
	if (!json_is(&r->input, JSON_OBJECT) || !json_str(json_getc(&r->input, "apiVersion")).len ||
	    !json_str(json_getc(&r->input, "kind")).len) {
		req_failf(r, ERR_BAD_REQUEST,
			  "invalid object type: apiVersion and kind must be set in an apply patch");
		return false;
	}
	if (!write_duplicates_ok(r) || !write_shape_ok(r, &r->input))
		return false;
	struct json *meta = json_child(a, &r->input, "metadata");
	struct str name = json_str(json_getc(meta, "name")),
		   ns = json_str(json_getc(meta, "namespace"));
	if ((name.len && !str_eq(name, r->route.name)) ||
	    (ns.len && r->kind->namespaced && !str_eq(ns, r->route.ns))) {
		req_failf(r, ERR_BAD_REQUEST,
			  "the name or namespace of the object does not match the one on the URL");
		return false;
	}
	json_setc(a, meta, "name", json_of_str(r->route.name));
	if (r->kind->namespaced)
		json_setc(a, meta, "namespace", json_of_str(r->route.ns));
	json_removec(meta, "creationTimestamp");
	if (r->route.subresource.len == 0 && r->kind->has_status)
		json_removec(&r->input, "status");
	return true;
}

static void attempt_apply(struct req *r)
{
	struct arena *a = &r->arena;
	struct error err = { 0 };
	if (!read_applied(r) || !write_find_tree(r, r->route.name))
		return;
	bool create = !r->target.old;
	if (create && r->route.subresource.len && !not_found_or_fine(r))
		return;
	struct patch_apply *ap = arena_new(a, struct patch_apply, 1);
	*ap = (struct patch_apply){ .schema = r->kind->schema,
				    .manager = r->opt.field_manager,
				    .api_version = r->kind->api_version,
				    .subresource = r->route.subresource,
				    .force = r->opt.force,
				    .now = object_now(a) };
	struct json merged = { 0 };
	int rc = patch_apply(a, ap, create ? NULL : &r->target.tree, &r->input, &merged, &err);
	if (rc == ERR_CONFLICT) {
		fail_conflicts(r, ap);
		return;
	}
	if (rc) {
		req_fail(r, &err);
		return;
	}
	struct json *obj = arena_new(a, struct json, 1);
	*obj = json_clone(a, &merged);
	if (create)
		write_create(r, obj, true, attempt_apply);
	else
		write_finish(r, obj, true, attempt_apply);
}

/* ---- the others ---- */

int patch_document(struct req *r, const struct json *doc, struct json *ret, struct error *err)
{
	struct json patched = { 0 };
	int rc = 0;
	switch (patch_type_of(r->content_type)) {
	case PATCH_JSON:
		rc = patch_json(&r->arena, doc, &r->input, &patched, err);
		break;
	case PATCH_MERGE:
		patched = patch_merge(&r->arena, doc, &r->input);
		break;
	case PATCH_STRATEGIC:
		rc = patch_strategic(&r->arena, r->kind->schema, doc, &r->input, &patched, err);
		break;
	case PATCH_UNKNOWN:
	case PATCH_APPLY:
		return error_set(err, ERR_MEDIA_TYPE, "this type of patch does not apply here");
	}
	/* A patch shares parts with the document; what follows changes it in place. */
	if (rc == 0)
		*ret = json_clone(&r->arena, &patched);
	return rc;
}

bool patch_read(struct req *r)
{
	struct error err = { 0 };
	if (write_parse(r, r->body, false, &r->input, &err)) {
		(void)error_wrap(&err, "error decoding patch");
		req_fail(r, &err);
		return false;
	}
	enum patch_type type = patch_type_of(r->content_type);
	if (type != PATCH_JSON && !json_is(&r->input, JSON_OBJECT)) {
		req_failf(r, ERR_BAD_REQUEST, "error decoding patch: must be an object");
		return false;
	}
	return write_duplicates_ok(r);
}

static void attempt_patch(struct req *r)
{
	struct error err = { 0 };
	struct json *obj = arena_new(&r->arena, struct json, 1);
	if (!patch_read(r) || !write_find_tree(r, r->route.name) || !not_found_or_fine(r))
		return;
	if (patch_document(r, &r->target.tree, obj, &err)) {
		req_fail(r, &err);
		return;
	}
	if (write_shape_ok(r, obj))
		write_finish(r, obj, false, attempt_patch);
}

static bool force_ok(struct req *r, bool apply)
{
	if (!r->opt.force || apply)
		return true;
	req_failf(r, ERR_INVALID,
		  "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be "
		  "specified for "
		  "non-apply patch");
	return false;
}

static bool apply_manager_ok(struct req *r)
{
	if (r->opt.field_manager.len)
		return true;
	req_failf(r, ERR_INVALID,
		  "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is "
		  "required "
		  "for apply patch");
	return false;
}

void verb_patch(struct req *r)
{
	enum patch_type type = patch_type_of(r->content_type);
	bool apply = type == PATCH_APPLY;
	if (type == PATCH_UNKNOWN || (type == PATCH_STRATEGIC && !r->kind->builtin)) {
		fail_type(r);
		return;
	}
	if (!write_manager_ok(r) || !force_ok(r, apply) || (apply && !apply_manager_ok(r)))
		return;
	if (apply)
		r->verb = VERB_APPLY;
	req_when_fresh(r, apply ? attempt_apply : attempt_patch);
}
