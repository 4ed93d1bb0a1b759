/* Status objects, word for word as kube-apiserver says them. */
#include "apiserver/apiserver_priv.h"

#include <stdarg.h>

static void add_field(struct buf *out, size_t start, const char *name, struct str value)
{
	if (value.len == 0)
		return;
	buf_addf(out, "%s\"%s\":", out->len > start ? "," : "", name);
	json_write_str(out, value);
}

static void add_causes(struct buf *out, size_t start, const struct status *st)
{
	if (st->causes_len == 0)
		return;
	buf_adds(out, out->len > start ? ",\"causes\":[" : "\"causes\":[");
	for (size_t i = 0; i < st->causes_len; i++) {
		const struct status_cause *c = &st->causes[i];
		buf_adds(out, i ? ",{" : "{");
		size_t at = out->len;
		add_field(out, at, "reason", c->reason);
		add_field(out, at, "message", c->message);
		add_field(out, at, "field", c->field);
		buf_addc(out, '}');
	}
	buf_addc(out, ']');
}

static void add_details(struct buf *out, const struct status *st)
{
	size_t before = out->len;
	buf_adds(out, ",\"details\":{");
	size_t start = out->len;
	add_field(out, start, "name", st->name);
	add_field(out, start, "group", st->group);
	add_field(out, start, "kind", st->kind);
	add_field(out, start, "uid", st->uid);
	add_causes(out, start, st);
	if (st->retry_after_s)
		buf_addf(out, "%s\"retryAfterSeconds\":%lld", out->len > start ? "," : "",
			 (long long)st->retry_after_s);
	if (out->len == start)
		out->len = before;
	else
		buf_addc(out, '}');
}

void status_write(struct buf *out, const struct status *st)
{
	buf_adds(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{");
	add_field(out, out->len, "continue", st->continue_token);
	buf_adds(out, "},\"status\":\"Failure\",\"message\":");
	json_write_str(out, st->message);
	buf_addf(out, ",\"reason\":\"%s\"", error_reason(st->code));
	add_details(out, st);
	buf_addf(out, ",\"code\":%d}\n", error_http_status(st->code));
}

void status_success(struct buf *out, const struct kind *k, struct str name, struct str uid)
{
	buf_adds(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
		      "\"Success\"");
	struct status st = { .name = name, .group = k->group, .kind = k->plural, .uid = uid };
	add_details(out, &st);
	buf_adds(out, "}\n");
}

struct str status_resource(struct arena *a, const struct kind *k)
{
	return k->group.len ? arena_strf(a, "%.*s.%.*s", STR_ARG(k->plural), STR_ARG(k->group))
			    : k->plural;
}

void req_fail_status(struct req *r, const struct status *st)
{
	struct buf out = { 0 };
	status_write(&out, st);
	if (st->retry_after_s)
		r->retry_after_s = st->retry_after_s;
	req_reply_text(r, error_http_status(st->code), "application/json", &out);
}

void req_fail(struct req *r, const struct error *err)
{
	struct status st = { .code = err->code < 0 ? err->code : ERR_INTERNAL,
			     .message = str_of(err->msg) };
	if (r->kind) {
		st.kind = r->kind->plural;
		st.group = r->kind->group;
		st.name = r->route.name;
	}
	if (st.code == ERR_LIMIT || st.code == ERR_UNAVAILABLE)
		st.retry_after_s = 1;
	req_fail_status(r, &st);
}

void req_failf(struct req *r, enum err_code code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct error err = { .code = code };
	(void)vsnprintf(err.msg, sizeof(err.msg), fmt, ap);
	va_end(ap);
	req_fail(r, &err);
}

static void fail_about(struct req *r, enum err_code code, struct str name, const char *fmt)
{
	struct str res = status_resource(&r->arena, r->kind);
	struct buf text = { 0 };
	if (code == ERR_CONFLICT)
		buf_addf(&text, "Operation cannot be fulfilled on %.*s \"%.*s\": %s", STR_ARG(res),
			 STR_ARG(name), fmt);
	else
		buf_addf(&text, "%.*s \"%.*s\" %s", STR_ARG(res), STR_ARG(name), fmt);
	struct status st = { .code = code,
			     .message = arena_str(&r->arena, buf_str(&text)),
			     .name = name,
			     .group = r->kind->group,
			     .kind = r->kind->plural };
	buf_fini(&text);
	req_fail_status(r, &st);
}

void req_fail_not_found(struct req *r, struct str name)
{
	fail_about(r, ERR_NOT_FOUND, name, "not found");
}

void req_fail_exists(struct req *r, struct str name)
{
	fail_about(r, ERR_EXISTS, name, "already exists");
}

void req_fail_modified(struct req *r, struct str name)
{
	fail_about(
		r, ERR_CONFLICT, name,
		"the object has been modified; please apply your changes to the latest version and "
		"try again");
}

void req_fail_precondition(struct req *r, struct str name, const char *what)
{
	fail_about(r, ERR_CONFLICT, name, what);
}

/* `Deployment.apps "web" is invalid: spec.replicas: Invalid value: …`; several in brackets. */
void req_fail_invalid(struct req *r, struct str name, const struct field_errors *e)
{
	struct arena *a = &r->arena;
	struct buf text = { 0 };
	struct status_cause *causes = arena_new(a, struct status_cause, e->len + 1);
	buf_add_str(&text, r->kind->kind);
	if (r->kind->group.len)
		buf_addf(&text, ".%.*s", STR_ARG(r->kind->group));
	buf_addf(&text, " \"%.*s\" is invalid: %s", STR_ARG(name), e->len > 1 ? "[" : "");
	for (size_t i = 0; i < e->len; i++) {
		const struct field_error *f = &e->list[i];
		buf_addf(&text, "%s%.*s%s%.*s", i ? ", " : "", STR_ARG(f->path),
			 f->path.len ? ": " : "", STR_ARG(f->message));
		causes[i] = (struct status_cause){ .reason = str_of(field_reason_text(f->reason)),
						   .message = f->message,
						   .field = f->path };
	}
	if (e->dropped)
		buf_addf(&text, ", and %zu more", e->dropped);
	if (e->len > 1)
		buf_addc(&text, ']');
	struct status st = { .code = ERR_INVALID,
			     .message = arena_str(a, buf_str(&text)),
			     .name = name,
			     .group = r->kind->group,
			     .kind = r->kind->kind,
			     .causes = causes,
			     .causes_len = e->len };
	buf_fini(&text);
	req_fail_status(r, &st);
}
