/* What all writes share: reading bodies, validation, ownership, the store's answer. */
#include "apiserver/apiserver_priv.h"
#include "apiserver/atomic.h"
#include "kind/protobuf.h"
#include "patch/patch.h"
#include "yaml/yaml.h"

enum { MANAGER_MAX = 128 };

/* ---- bodies ---- */

static void on_duplicate(void *arg, const char *path)
{
	struct req *r = arg;
	if (r->duplicates_len < REQ_WARNINGS_MAX)
		r->duplicates[r->duplicates_len++] = arena_str(&r->arena, str_of(path));
}

static bool validation_is(const struct req *r, const char *what)
{
	return str_is(r->opt.field_validation, what);
}

int write_parse(struct req *r, struct str text, bool yaml, struct json *ret, struct error *err)
{
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = (size_t)r->s->cfg.request_bytes_max;
	limits.on_duplicate = validation_is(r, "Ignore") ? NULL : on_duplicate;
	limits.arg = r;
	r->duplicates_len = 0;
	if (yaml)
		return yaml_parse(&r->arena, text, ret, err);
	return json_parse(&r->arena, text, &limits, ret, err);
}

static void add_strict(struct buf *text, const char *what, const struct str *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(text, "%s field \"%.*s\", ", what, STR_ARG(paths[i]));
}

/* `Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: …` */
static void fail_strict(struct req *r, const struct str *unknown, size_t n)
{
	struct buf text = { 0 };
	const struct kind *k = r->kind;
	buf_addf(&text,
		 "%.*s in version \"%.*s\" cannot be handled as a %.*s: strict decoding error: ",
		 STR_ARG(k->kind), STR_ARG(k->version), STR_ARG(k->kind));
	add_strict(&text, "duplicate", r->duplicates, r->duplicates_len);
	add_strict(&text, "unknown", unknown, n);
	text.len -= 2; /* the last comma */
	struct status st = { .code = ERR_BAD_REQUEST,
			     .message = arena_str(&r->arena, buf_str(&text)) };
	buf_fini(&text);
	req_fail_status(r, &st);
}

struct unknown_fields {
	struct arena *a;
	struct str paths[REQ_WARNINGS_MAX];
	size_t len;
};

static void on_unknown(void *arg, struct str path)
{
	struct unknown_fields *u = arg;
	if (u->len < REQ_WARNINGS_MAX)
		u->paths[u->len++] = arena_str(u->a, path);
}

bool write_duplicates_ok(struct req *r)
{
	if (r->duplicates_len && validation_is(r, "Strict")) {
		struct unknown_fields u = { .a = &r->arena };
		/* A patch is no object: its fields are looked at when it was applied. */
		if (r->verb == VERB_CREATE || r->verb == VERB_UPDATE) {
			struct json copy = json_clone(&r->arena, &r->input);
			schema_prune(r->kind->schema, &copy, STR_NONE, on_unknown, &u);
		}
		fail_strict(r, u.paths, u.len);
		return false;
	}
	for (size_t i = 0; i < r->duplicates_len; i++)
		req_warn(r, "duplicate field \"%.*s\"", STR_ARG(r->duplicates[i]));
	return true;
}

static bool type_matches(struct req *r, struct json *obj)
{
	const struct kind *k = r->kind;
	struct str version = json_str(json_getc(obj, "apiVersion"));
	struct str kind = json_str(json_getc(obj, "kind"));
	if (version.len && !str_eq(version, k->api_version)) {
		req_failf(r, ERR_BAD_REQUEST,
			  "the API version in the data (%.*s) does not match the expected API "
			  "version "
			  "(%.*s)",
			  STR_ARG(version), STR_ARG(k->api_version));
		return false;
	}
	if (kind.len && !str_eq(kind, k->kind)) {
		req_failf(r, ERR_BAD_REQUEST,
			  "%.*s in version \"%.*s\" cannot be handled as a %.*s: the kinds do not "
			  "match",
			  STR_ARG(kind), STR_ARG(k->version), STR_ARG(k->kind));
		return false;
	}
	json_setc(&r->arena, obj, "apiVersion", json_of_str(k->api_version));
	json_setc(&r->arena, obj, "kind", json_of_str(k->kind));
	return true;
}

bool write_shape_ok(struct req *r, struct json *obj)
{
	const struct json *meta = json_getc(obj, "metadata");
	if (!json_is(obj, JSON_OBJECT) ||
	    (meta && meta->type != JSON_OBJECT && meta->type != JSON_NULL)) {
		req_failf(
			r, ERR_BAD_REQUEST,
			"the object provided is unrecognized (must be of type %.*s): %s must be an "
			"object",
			STR_ARG(r->kind->kind), json_is(obj, JSON_OBJECT) ? "metadata" : "it");
		return false;
	}
	return type_matches(r, obj);
}

/* Fields with a number that no schema tells of are as unknown as those with such a name. */
static bool read_protobuf(struct req *r, struct json *ret)
{
	struct protobuf_unknown unknown;
	struct error err = { 0 };
	r->duplicates_len = 0;
	if (protobuf_decode(r->kinds, &r->arena, r->body, ret, &unknown, &err)) {
		req_fail(r, &err);
		return false;
	}
	if (unknown.len && r->kind && validation_is(r, "Strict")) {
		fail_strict(r, unknown.paths, unknown.len);
		return false;
	}
	for (size_t i = 0; i < unknown.len && !validation_is(r, "Ignore"); i++)
		req_warn(r, "unknown field \"%.*s\"", STR_ARG(unknown.paths[i]));
	return true;
}

bool write_read_tree(struct req *r, struct json *ret)
{
	struct str t = r->content_type;
	bool yaml = str_is(t, "application/yaml");
	if (str_is(t, "application/vnd.kubernetes.protobuf"))
		return read_protobuf(r, ret);
	if (t.len && !yaml && !str_is(t, "application/json")) {
		req_failf(r, ERR_MEDIA_TYPE,
			  "the body of the request was in an unknown format - accepted media types "
			  "include: application/json, application/yaml, "
			  "application/vnd.kubernetes.protobuf");
		return false;
	}
	struct error err = { 0 };
	if (write_parse(r, r->body, yaml, ret, &err)) {
		(void)error_wrap(&err, "the object provided cannot be read");
		req_fail(r, &err);
		return false;
	}
	return true;
}

bool write_read_body(struct req *r)
{
	return write_read_tree(r, &r->input) && write_duplicates_ok(r) &&
	       write_shape_ok(r, &r->input);
}

/* ---- who writes ---- */

struct str write_manager(struct req *r)
{
	if (r->opt.field_manager.len)
		return r->opt.field_manager;
	ptrdiff_t slash = str_find(r->agent, '/', 0);
	struct str name = slash < 0 ? r->agent : str_sub(r->agent, 0, (size_t)slash);
	name = str_sub(name, 0, MANAGER_MAX);
	return name.len ? name : STR("unknown");
}

bool write_manager_ok(struct req *r)
{
	struct str m = r->opt.field_manager;
	bool printable = true;
	for (size_t i = 0; i < m.len; i++)
		printable &= (unsigned char)m.p[i] >= 0x20 && m.p[i] != 0x7F;
	if (m.len <= MANAGER_MAX && printable)
		return true;
	req_failf(r, ERR_INVALID,
		  m.len > MANAGER_MAX
			  ? "fieldManager: Invalid value: may not be more than 128 bytes"
			  : "fieldManager: Invalid value: must be printable characters only");
	return false;
}

/* ---- validation ---- */

bool write_check(struct req *r, struct json *obj, const struct json *old, struct str name)
{
	struct kind_check c = { .arena = &r->arena };
	struct str sub = r->route.subresource;
	kind_check_object(r->kind, obj, old, sub.len ? &sub : NULL, &c);
	if (c.unknown_len && validation_is(r, "Strict")) {
		fail_strict(r, c.unknown, c.unknown_len);
		return false;
	}
	for (size_t i = 0; i < c.unknown_len && !validation_is(r, "Ignore"); i++)
		req_warn(r, "unknown field \"%.*s\"", STR_ARG(c.unknown[i]));
	for (size_t i = 0; i < c.warnings_len; i++)
		req_warn(r, "%.*s", STR_ARG(c.warnings[i]));
	if (c.errors.len) {
		req_fail_invalid(r, name, &c.errors);
		return false;
	}
	return true;
}

/* ---- the target ---- */

void write_find(struct req *r, struct str name)
{
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	r->target.key = object_key(&r->arena, r->kind, r->route.ns, name);
	struct watch_obj *o = watch_snap_find(snap, r->target.key);
	watch_obj_unref(r->target.old);
	r->target.old = o ? watch_obj_ref(o) : NULL;
	watch_snap_unref(snap);
}

bool write_find_tree(struct req *r, struct str name)
{
	struct error err = { 0 };
	write_find(r, name);
	if (!r->target.old)
		return true;
	if (object_parse(&r->arena, r->kind, r->target.old, &r->target.tree, &err) == 0)
		return true;
	req_fail(r, &err);
	return false;
}

/* ---- the store ---- */

static void store_done(void *arg, const struct store_result *results, size_t n)
{
	(void)n;
	struct req *r = arg;
	r->result = results[0];
	loop_post(r->shard->loop, req_resume, r);
}

#define LEASE_PREFIX "coordination.k8s.io/leases/"

/* "NAMESPACE/LEASE/TOKEN" of the fence header. */
static bool read_fence(struct req *r, struct store_write *w)
{
	struct str ns, lease, token, rest = r->fence;
	if (r->fence.len == 0)
		return true;
	if (!str_split(&rest, '/', &ns) || !str_split(&rest, '/', &lease) ||
	    !str_split(&rest, '/', &token) || rest.len || !str_to_i64(token, &w->fence_token))
		return false;
	w->fence_key = arena_strf(&r->arena, LEASE_PREFIX "%.*s/%.*s", STR_ARG(ns), STR_ARG(lease));
	return true;
}

static void set_fence(struct req *r, struct str key, const struct bytes *value,
		      struct store_write *w)
{
	struct json lease = { 0 };
	if (!str_starts(key, STR(LEASE_PREFIX)) ||
	    json_parse(&r->arena, bytes_str(value), NULL, &lease, NULL))
		return;
	w->set_fence_key = key;
	w->set_fence_token = json_i64(json_dig(&lease, "spec", "leaseTransitions", NULL), 0);
}

void write_submit(struct req *r, enum store_op op, struct str key, int64_t want_rev,
		  struct bytes *value, req_fn next)
{
	struct store_write w = { .op = op, .key = key, .want_rev = want_rev, .value = value };
	bytes_unref(r->value);
	r->value = value;
	if (!read_fence(r, &w)) {
		req_failf(r, ERR_BAD_REQUEST,
			  "header " RCTL_FENCE_HEADER " must be NAMESPACE/LEASE/TOKEN");
		return;
	}
	if (op != STORE_DELETE)
		set_fence(r, key, value, &w);
	struct store_write all[1 + REQ_ALSO_MAX] = { w };
	for (size_t i = 0; i < r->also_len; i++)
		all[1 + i] = r->also[i];
	if (r->atomic) {
		atomic_hold(r, all, 1 + r->also_len, next);
		return;
	}
	r->next = next;
	r->sync_code = 0;
	req_hold(r);
	store_submit(r->s->store, all, 1 + r->also_len, r->also_len > 0, store_done, r);
}

void write_failed(struct req *r)
{
	const struct store_result *res = &r->result;
	switch ((int)res->code) {
	case ERR_CONFLICT:
		req_failf(r, ERR_CONFLICT,
			  "the lease %.*s was taken over: this writer leads no longer",
			  STR_ARG(r->fence));
		break;
	case ERR_LIMIT:
		req_failf(r, ERR_LIMIT, "the store cannot take more writes now: %s", res->msg);
		break;
	case ERR_UNKNOWN:
		req_failf(r, ERR_UNKNOWN,
			  "the connection to the database broke during the commit: whether the "
			  "write was "
			  "done is not known: %s",
			  res->msg);
		break;
	case ERR_UNAVAILABLE:
	case ERR_TOO_LARGE:
	case ERR_INVALID:
		req_failf(r, res->code, "%s", res->msg);
		break;
	default:
		req_failf(r, ERR_INTERNAL, "%s", res->msg);
		break;
	}
}

bool write_lost_race(struct req *r, req_fn retry)
{
	bool race = (r->result.code == ERR_CONFLICT && !r->result.fenced) ||
		    r->result.code == ERR_EXISTS;
	if (!race || r->named_rev || r->tries >= CONFLICT_RETRIES_MAX)
		return false;
	r->tries++;
	req_when_fresh(r, retry);
	return true;
}
