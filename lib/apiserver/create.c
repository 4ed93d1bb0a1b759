#include "apiserver/admit.h"
#include "apiserver/atomic.h"
#include "patch/patch.h"
#include "sys/clock.h"

enum { GENERATED_BASE_MAX = 58, GENERATED_LEN = 5 };

struct create {
	struct json *obj;
	bool by_apply;
	bool generated;
	req_fn retry;
};

static struct str random_suffix(struct arena *a)
{
	/* No vowels, so that no words come out; no 0, 1, 3, which look like letters. */
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	uint8_t random[GENERATED_LEN];
	char *text = arena_alloc(a, GENERATED_LEN + 1);
	clock_random(random, sizeof(random));
	for (size_t i = 0; i < GENERATED_LEN; i++)
		text[i] = alphabet[random[i] % (sizeof(alphabet) - 1)];
	return str_n(text, GENERATED_LEN);
}

static void generate_name(struct req *r, struct json *meta)
{
	struct str base = str_sub(json_str(json_getc(meta, "generateName")), 0, GENERATED_BASE_MAX);
	struct str name =
		arena_strf(&r->arena, "%.*s%.*s", STR_ARG(base), STR_ARG(random_suffix(&r->arena)));
	json_setc(&r->arena, meta, "name", json_of_str(name));
}

/* Answers and returns false when the object's place does not fit the path. */
static bool place(struct req *r, struct json *meta)
{
	struct str ns = json_str(json_getc(meta, "namespace"));
	if (!r->kind->namespaced) {
		json_removec(meta, "namespace");
		return true;
	}
	if (ns.len && !str_eq(ns, r->route.ns)) {
		req_failf(r, ERR_BAD_REQUEST,
			  "the namespace of the provided object does not match the namespace sent "
			  "on the "
			  "request");
		return false;
	}
	json_setc(&r->arena, meta, "namespace", json_of_str(r->route.ns));
	return true;
}

static void fresh_metadata(struct req *r, struct json *meta)
{
	static const char *const ours[] = {
		"resourceVersion", "uid",      "creationTimestamp",         "deletionTimestamp",
		"generation",      "selfLink", "deletionGracePeriodSeconds"
	};
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		json_removec(meta, ours[i]);
	object_drop_empty(meta);
	json_setc(&r->arena, meta, "uid", json_of_str(object_uuid(&r->arena)));
	json_setc(&r->arena, meta, "creationTimestamp", json_of_str(object_now(&r->arena)));
	if (object_counts_generation(r->kind))
		json_setc(&r->arena, meta, "generation", json_of_i64(1));
}

static void submit(struct req *r);

static void stored(struct req *r)
{
	struct create *c = r->extra;
	struct str name = object_text(c->obj, "name");
	if (r->result.code == 0) {
		req_reply_object(r, 201, object_with_rev(r->kind, r->value, r->result.rev));
		return;
	}
	if (r->result.code == ERR_CONFLICT && !r->result.fenced && r->also_len) {
		/* Somebody else took of the same quota at the same time. */
		if (r->tries++ < QUOTA_RETRIES_MAX)
			req_when_fresh(r, c->retry);
		else
			req_failf(r, ERR_LIMIT, "too many creates under one quota at once");
		return;
	}
	if (r->result.code != ERR_EXISTS) {
		write_failed(r);
		return;
	}
	if (c->generated && r->tries < GENERATE_RETRIES_MAX) {
		r->tries++;
		generate_name(r, json_getc(c->obj, "metadata"));
		submit(r);
	} else if (!c->by_apply || !write_lost_race(r, c->retry)) {
		req_fail_exists(r, name);
	}
}

static void submit(struct req *r)
{
	struct create *c = r->extra;
	struct str name = object_text(c->obj, "name");
	struct bytes *value = kind_encode(r->kind, c->obj);
	struct str key = object_key(&r->arena, r->kind, r->route.ns, name);
	atomic_note(r, key, c->obj, false);
	if (!r->opt.dry_run) {
		write_submit(r, STORE_CREATE, key, 0, value, stored);
		return;
	}
	write_find(r, name);
	if (r->target.old)
		req_fail_exists(r, name);
	else
		req_reply_object(r, 201, object_with_rev(r->kind, value, 0));
	bytes_unref(value);
}

void write_create(struct req *r, struct json *obj, bool by_apply, req_fn retry)
{
	struct arena *a = &r->arena;
	struct json *meta = json_child(a, obj, "metadata");
	struct create *c = arena_new(a, struct create, 1);
	*c = (struct create){ .obj = obj, .by_apply = by_apply, .retry = retry };
	r->extra = c;
	r->again = retry;
	struct error err = { 0 };
	if (!place(r, meta))
		return;
	if (!json_str(json_getc(meta, "name")).len &&
	    json_str(json_getc(meta, "generateName")).len) {
		generate_name(r, meta);
		c->generated = true;
	}
	struct str name = json_str(json_getc(meta, "name"));
	if (special_body_allowed(r, obj, &err)) {
		req_fail(r, &err);
		return;
	}
	if (r->kind->namespaced && !special_namespace_open(r, name, retry))
		return;
	fresh_metadata(r, meta);
	if (r->kind->has_status && special_resets_status(r->kind))
		json_removec(obj, "status");
	special_prepare_new(r, obj);
	if (!admit_change(r, obj, NULL) || !write_check(r, obj, NULL, name) ||
	    !admit_check(r, obj, NULL))
		return;
	if (!by_apply)
		patch_managed_update(a, r->kind->schema, write_manager(r), r->kind->api_version,
				     STR_NONE, object_now(a), NULL, obj);
	submit(r);
}

static void attempt(struct req *r)
{
	if (!write_manager_ok(r) || !write_read_body(r))
		return;
	if (object_text(&r->input, "resourceVersion").len) {
		req_failf(r, ERR_BAD_REQUEST,
			  "resourceVersion should not be set on objects to be created");
		return;
	}
	write_create(r, &r->input, false, attempt);
}

void verb_create(struct req *r)
{
	attempt(r);
}
