/* The scale subresource: autoscaling/v1 Scale as a view of an object. */
#include "apiserver/apiserver_priv.h"

#include <stdarg.h>

/* ".spec.replicas": walks members; NULL when one is missing. */
static struct json *at_path(const struct json *obj, struct str path)
{
	struct str piece;
	struct json *at = NULL;
	path = str_sub(path, path.len && path.p[0] == '.' ? 1 : 0, path.len);
	while (str_split(&path, '.', &piece)) {
		at = json_get(at ? at : obj, piece);
		if (!at)
			return NULL;
	}
	return at;
}

static void set_path(struct arena *a, struct json *obj, struct str path, struct json value)
{
	struct str piece;
	path = str_sub(path, path.len && path.p[0] == '.' ? 1 : 0, path.len);
	while (str_split(&path, '.', &piece)) {
		if (path.len == 0) {
			json_set(a, obj, piece, value);
			return;
		}
		struct json *next = json_get(obj, piece);
		obj = json_is(next, JSON_OBJECT) ? next : json_set(a, obj, piece, json_object());
	}
}

static struct json copy_text(const struct json *meta, const char *name)
{
	return json_of_str(json_str(json_getc(meta, name)));
}

/* The selector as text: a string as it is, a LabelSelector written out. */
static struct str selector_text(struct arena *a, const struct kind *k, const struct json *obj)
{
	const struct json *at = NULL;
	if (k->scale.selector_path.len)
		at = at_path(obj, k->scale.selector_path);
	if (json_is(at, JSON_STRING))
		return json_str(at);
	if (!at)
		at = json_dig(obj, "spec", "selector", NULL);
	struct label_selector s;
	if (!at || label_selector_of_json(a, at, &s, NULL))
		return STR_NONE;
	struct buf out = { 0 };
	label_selector_write(&out, &s);
	struct str text = arena_str(a, buf_str(&out));
	buf_fini(&out);
	return text;
}

static struct json make_scale(struct arena *a, const struct kind *k, const struct json *obj)
{
	static const char *const texts[] = { "name", "namespace", "uid", "resourceVersion",
					     "creationTimestamp" };
	struct json scale = json_object(), meta = json_object(), spec = json_object(),
		    status = json_object();
	const struct json *from = json_getc(obj, "metadata");
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (json_str(json_getc(from, texts[i])).len)
			json_setc(a, &meta, texts[i], copy_text(from, texts[i]));
	json_setc(a, &spec, "replicas", json_of_i64(json_i64(at_path(obj, k->scale.spec_path), 0)));
	json_setc(a, &status, "replicas",
		  json_of_i64(json_i64(at_path(obj, k->scale.status_path), 0)));
	struct str selector = selector_text(a, k, obj);
	if (selector.len)
		json_setc(a, &status, "selector", json_of_str(selector));
	json_setc(a, &scale, "kind", json_of_cstr("Scale"));
	json_setc(a, &scale, "apiVersion", json_of_cstr("autoscaling/v1"));
	json_setc(a, &scale, "metadata", meta);
	json_setc(a, &scale, "spec", spec);
	json_setc(a, &scale, "status", status);
	return scale;
}

static void reply_scale(struct req *r, const struct json *obj)
{
	struct json scale = make_scale(&r->arena, r->kind, obj);
	struct buf out = { 0 };
	json_write(&out, &scale);
	buf_addc(&out, '\n');
	req_reply_text(r, 200, "application/json", &out);
}

void special_reply_scale(struct req *r, const struct bytes *value, int64_t rev)
{
	struct json obj = { 0 };
	struct error err = { 0 };
	struct bytes *whole = object_with_rev(r->kind, value, rev);
	if (json_parse(&r->arena, bytes_str(whole), NULL, &obj, &err))
		req_fail(r, &err);
	else
		reply_scale(r, &obj);
	bytes_unref(whole);
}

static void answer(struct req *r)
{
	if (!write_find_tree(r, r->route.name))
		return;
	if (r->target.old)
		reply_scale(r, &r->target.tree);
	else
		req_fail_not_found(r, r->route.name);
}

void scale_get(struct req *r)
{
	req_when_fresh(r, answer);
}

/* Takes the number out of a Scale and writes it to the object. */
static void take_scale(struct req *r, const struct json *scale, req_fn retry)
{
	struct arena *a = &r->arena;
	const struct json *replicas = json_dig(scale, "spec", "replicas", NULL);
	int64_t n = replicas ? json_i64(replicas, -1) : 0;
	if (n < 0 || n > INT32_MAX) {
		struct field_errors e = { .arena = a };
		field_error_add(&e, FIELD_INVALID, STR("spec.replicas"), replicas,
				"must be greater than or equal to 0");
		req_fail_invalid(r, r->route.name, &e);
		return;
	}
	struct str rev = object_text(scale, "resourceVersion");
	struct json *obj = arena_new(a, struct json, 1);
	*obj = json_clone(a, &r->target.tree);
	set_path(a, obj, r->kind->scale.spec_path, json_of_i64(n));
	if (rev.len)
		json_setc(a, json_child(a, obj, "metadata"), "resourceVersion", json_of_str(rev));
	r->scale_view = true;
	write_finish(r, obj, false, retry);
}

static void attempt_update(struct req *r)
{
	if (!write_read_tree(r, &r->input) || !write_find_tree(r, r->route.name))
		return;
	if (!r->target.old)
		req_fail_not_found(r, r->route.name);
	else
		take_scale(r, &r->input, attempt_update);
}

void scale_update(struct req *r)
{
	if (write_manager_ok(r))
		req_when_fresh(r, attempt_update);
}

static void attempt_patch(struct req *r)
{
	struct error err = { 0 };
	struct json patched = { 0 };
	if (!patch_read(r) || !write_find_tree(r, r->route.name))
		return;
	if (!r->target.old) {
		req_fail_not_found(r, r->route.name);
		return;
	}
	struct json scale = make_scale(&r->arena, r->kind, &r->target.tree);
	if (patch_document(r, &scale, &patched, &err))
		req_fail(r, &err);
	else
		take_scale(r, &patched, attempt_patch);
}

void scale_patch(struct req *r)
{
	if (write_manager_ok(r))
		req_when_fresh(r, attempt_patch);
}
