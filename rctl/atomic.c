/* apply --atomic: the documents as one set of the server's atomic writes. */
#include "apply.h"
#include "text/url.h"

#include <stdio.h>
#include <string.h>

#define ATOMIC_PATH "/rctl.io/atomic"

struct sent {
	const struct client_resource *resource;
	struct before before;
};

/* The kind is unknown because its definition comes in the same set. */
static bool defined_here(const struct documents *ds, const struct document *d)
{
	struct str kind = json_str(json_getc(&d->obj, "kind"));
	for (size_t i = 0; i < ds->len; i++) {
		const struct json *o = &ds->list[i].obj;
		if (str_is(json_str(json_getc(o, "kind")), "CustomResourceDefinition") &&
		    str_eq(json_str(json_dig(o, "spec", "names", "kind", NULL)), kind))
			return true;
	}
	return false;
}

static int fail_target(const struct documents *ds, const struct document *d, struct error *err)
{
	if (err->code == ERR_NOT_FOUND && defined_here(ds, d))
		(void)error_set(err, ERR_BAD_REQUEST,
				"%.*s: its CustomResourceDefinition comes in the same set: apply "
				"that one first, then --atomic works for its objects",
				STR_ARG(d->where));
	return rctl_fail(err);
}

static int add_request(struct rctl *r, struct documents *ds, size_t i, struct sent *s,
		       struct buf *body)
{
	struct document *d = &ds->list[i];
	struct error err = { 0 };
	char *path = NULL;
	if (manifest_target(r, d, &s->resource, &path, &err) != 0)
		return fail_target(ds, d, &err);
	if (!json_str(json_dig(&d->obj, "metadata", "name", NULL)).len) {
		(void)error_set(&err, ERR_BAD_REQUEST, "%.*s: metadata.name must be set to apply",
				STR_ARG(d->where));
		return rctl_fail(&err);
	}
	(void)json_removec(json_getc(&d->obj, "metadata"), "managedFields");
	if (rctl_dry(r, "server"))
		apply_before(r, path, &s->before);
	struct buf url = { 0 };
	buf_addf(&url, "%s?fieldValidation=Strict&force=%s&fieldManager=", path,
		 r->opt.force_conflicts ? "true" : "false");
	url_encode(&url, str_of(r->opt.field_manager ? r->opt.field_manager : "rctl"));
	buf_addf(body,
		 "%s{\"method\":\"PATCH\",\"contentType\":\"application/apply-patch+yaml\","
		 "\"path\":",
		 i ? "," : "");
	json_write_str(body, buf_str(&url));
	buf_fini(&url);
	buf_adds(body, ",\"body\":");
	json_write(body, &d->obj);
	buf_addc(body, '}');
	return 0;
}

static int say_failed(struct rctl *r, struct documents *ds, const struct reply *reply,
		      const struct json *answer)
{
	const struct json *items = json_getc(answer, "items");
	size_t failed = 0;
	struct error err = reply->err;
	for (size_t i = 0; i < ds->len && i < json_len(items); i++) {
		const struct json *st = json_getc(json_at(items, i), "status");
		if (!st)
			continue;
		struct reply one = { .status = (int)json_i64(json_getc(json_at(items, i), "code"),
							     500) };
		json_write(&one.body, st);
		client_read_status(one.status, buf_str(&one.body), &one.err);
		manifest_blame(r, &ds->list[i], &one);
		reply_fini(&one);
		failed++;
	}
	if (failed)
		(void)error_set(&err, err.code,
				"nothing was applied: %zu of %zu documents cannot be", failed,
				ds->len);
	else if (reply->status == 404 || reply->status == 405)
		(void)error_set(&err, err.code, "this server has no atomic writes");
	return rctl_fail(&err);
}

static int say_done(struct rctl *r, struct documents *ds, struct sent *sent,
		    const struct json *answer)
{
	const struct json *items = json_getc(answer, "items");
	struct str first = json_str(json_getc(answer, "firstRevision"));
	struct str last = json_str(json_getc(answer, "lastRevision"));
	int64_t from = INT64_MAX, to = 0, written = 0;
	int status = 0;
	(void)(str_to_i64(first, &from) && str_to_i64(last, &to));
	for (size_t i = 0; i < ds->len && i < json_len(items); i++) {
		const struct json *item = json_at(items, i);
		struct json obj = json_clone(&r->arena, json_getc(item, "object"));
		int code = (int)json_i64(json_getc(item, "code"), 0);
		int64_t rev = 0;
		bool at = str_to_i64(json_str(json_dig(&obj, "metadata", "resourceVersion", NULL)),
				     &rev) &&
			  rev >= from && rev <= to;
		written += at;
		const char *outcome = rctl_dry(r, "server")
					      ? apply_outcome(r, &sent[i].before, code, &obj)
				      : code == 201 ? "created"
				      : at          ? "configured"
						    : "unchanged";
		status |= apply_say(r, &ds->list[i], sent[i].resource, &obj, outcome);
	}
	if (*r->opt.output || rctl_dry(r, "server") || status)
		return status;
	if (!written)
		(void)printf("nothing to change\n");
	else if (str_eq(first, last))
		(void)printf("applied as one: revision %.*s\n", STR_ARG(first));
	else
		(void)printf("applied as one: revisions %.*s to %.*s\n", STR_ARG(first),
			     STR_ARG(last));
	return 0;
}

int apply_atomic(struct rctl *r, struct documents *ds)
{
	struct sent *sent = arena_new(&r->arena, struct sent, ds->len);
	struct buf body = { 0 };
	struct json answer = { 0 };
	struct reply reply;
	int status = 0;
	buf_adds(&body, "{\"requests\":[");
	for (size_t i = 0; i < ds->len; i++)
		status |= add_request(r, ds, i, &sent[i], &body);
	buf_adds(&body, "]}");
	if (status) {
		buf_fini(&body);
		return status;
	}
	int rc = rctl_call(r,
			   &(struct client_request){ .method = "POST",
						     .path = rctl_dry(r, "server") ? ATOMIC_PATH
								     "?dryRun=All"
										   : ATOMIC_PATH,
						     .body = buf_str(&body) },
			   &reply);
	buf_fini(&body);
	struct json_limits limits = JSON_LIMITS;
	struct error err = { 0 };
	limits.bytes_max = 256U << 20;
	limits.values_max = 32U << 20;
	int bad = json_parse(&r->arena, arena_str(&r->arena, buf_str(&reply.body)), &limits,
			     &answer, &err);
	if (rc)
		status = say_failed(r, ds, &reply, &answer);
	else
		status = bad ? rctl_fail(&err) : say_done(r, ds, sent, &answer);
	reply_fini(&reply);
	return status;
}
