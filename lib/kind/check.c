#include "kind/hooks.h"
#include "kind/kind_priv.h"
#include "kind/meta.h"

#include <stdarg.h>

static void on_unknown(void *arg, struct str path)
{
	struct kind_check *c = arg;
	if (c->unknown_len < FIELD_ERRORS_MAX)
		c->unknown[c->unknown_len++] = arena_str(c->arena, path);
}

static void add_warning(struct kind_check *c, struct str text)
{
	if (c->warnings_len < FIELD_ERRORS_MAX)
		c->warnings[c->warnings_len++] = text;
}

static void on_unsupported(void *arg, struct str path)
{
	struct kind_check *c = arg;
	add_warning(c, arena_strf(c->arena, "%.*s: stored, but nothing acts on this field yet",
				  STR_ARG(path)));
}

/* Whether a member but metadata and status differs from the stored object. */
static bool intent_changed(const struct json *obj, const struct json *old)
{
	if (!old || json_len(obj) != json_len(old))
		return true;
	for (size_t i = 0; i < json_len(obj); i++) {
		struct str name = json_str(&obj->members[i].key);
		const struct json *before = json_get(old, name);
		if (str_is(name, "metadata") || str_is(name, "status"))
			continue;
		if (!before || !json_equal(&obj->members[i].value, before))
			return true;
	}
	return false;
}

static void check_type(const struct kind *k, const struct json *obj, struct kind_check *c)
{
	const struct json *version = json_getc(obj, "apiVersion");
	const struct json *kind = json_getc(obj, "kind");
	if (version && json_is(version, JSON_STRING) && !str_eq(json_str(version), k->api_version))
		field_error_add(&c->errors, FIELD_INVALID, STR("apiVersion"), version,
				"must be %.*s", STR_ARG(k->api_version));
	if (kind && json_is(kind, JSON_STRING) && !str_eq(json_str(kind), k->kind))
		field_error_add(&c->errors, FIELD_INVALID, STR("kind"), kind, "must be %.*s",
				STR_ARG(k->kind));
}

void kind_check_object(const struct kind *k, struct json *obj, const struct json *old,
		       const struct str *subresource, struct kind_check *c)
{
	struct kind_hook h = {
		.kind = k,
		.obj = obj,
		.old = old,
		.subresource = subresource ? *subresource : STR_NONE,
		.check = c,
	};
	c->errors.arena = c->arena;
	schema_prune(k->schema, obj, STR_NONE, on_unknown, c);
	schema_default(c->arena, k->schema, obj);
	check_type(k, obj, c);
	if (k->hooks->prepare)
		k->hooks->prepare(&h);
	schema_validate(k->schema, obj, STR_NONE, &c->errors);
	kind_check_meta(k, obj, old, c);
	if (c->errors.len == 0)
		schema_check_rules(k->schema, obj, old, STR_NONE, &c->errors);
	/*
	 * Rules between fields mean little while single fields are wrong; and what was
	 * let in once must not keep a controller from writing the state.
	 */
	bool status = str_is(h.subresource, "status");
	if (k->hooks->validate && c->errors.len == 0 && !status)
		k->hooks->validate(&h);
	if (!status && intent_changed(obj, old))
		schema_warnings(k->schema, obj, STR_NONE, on_unsupported, c);
}

/* ---- helpers of hooks ---- */

struct str hook_path(struct kind_hook *h, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *s = arena_vprintf(h->check->arena, fmt, ap);
	va_end(ap);
	return str_of(s);
}

void hook_error(struct kind_hook *h, enum field_reason reason, struct str path,
		const struct json *value, const char *detail, ...)
{
	va_list ap;
	va_start(ap, detail);
	char *text = arena_vprintf(h->check->arena, detail, ap);
	va_end(ap);
	field_error_add(&h->check->errors, reason, path, value, "%s", text);
}

void hook_warn(struct kind_hook *h, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *text = arena_vprintf(h->check->arena, fmt, ap);
	va_end(ap);
	add_warning(h->check, str_of(text));
}

void hook_immutable(struct kind_hook *h, struct str path, const struct json *now,
		    const struct json *before)
{
	struct json none = { 0 };
	if (!now)
		now = &none;
	if (!before)
		before = &none;
	if (!json_equal(now, before))
		hook_error(h, FIELD_IMMUTABLE, path, now, "field is immutable");
}
