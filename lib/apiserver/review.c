/* Reviews: questions about the asking user, answered and never stored. */
#include "apiserver/apiserver_priv.h"

static struct str text_at(const struct json *j, const char *name)
{
	return json_str(json_getc(j, name));
}

static void access_review(struct req *r, struct json *obj)
{
	struct arena *a = &r->arena;
	const struct json *spec = json_getc(obj, "spec");
	const struct json *res = json_getc(spec, "resourceAttributes");
	const struct json *path = json_getc(spec, "nonResourceAttributes");
	struct auth_action act = { .verb = text_at(res ? res : path, "verb") };
	if (res) {
		act.group = text_at(res, "group");
		act.resource = text_at(res, "resource");
		act.subresource = text_at(res, "subresource");
		act.ns = text_at(res, "namespace");
		act.name = text_at(res, "name");
	} else {
		act.path = text_at(path, "path");
	}
	struct error err = { 0 };
	bool allowed = user_authorize(r, &act, &err) == 0;
	struct json status = json_object();
	json_setc(a, &status, "allowed", json_of_bool(allowed));
	if (!allowed)
		json_setc(a, &status, "reason", json_of_str(arena_str(a, str_of(err.msg))));
	json_setc(a, obj, "status", status);
}

static void self_review(struct req *r, struct json *obj)
{
	struct arena *a = &r->arena;
	struct json status = json_object(), info = json_object(), groups = json_array();
	for (size_t i = 0; i < r->user.groups_len; i++)
		json_push(a, &groups, json_of_str(r->user.groups[i]));
	if (!auth_in_group(&r->user, "system:authenticated"))
		json_push(a, &groups, json_of_cstr("system:authenticated"));
	json_setc(a, &info, "username", json_of_str(r->user.name));
	if (r->user.uid.len)
		json_setc(a, &info, "uid", json_of_str(r->user.uid));
	json_setc(a, &info, "groups", groups);
	json_setc(a, &status, "userInfo", info);
	json_setc(a, obj, "status", status);
}

void review_create(struct req *r)
{
	if (!write_read_body(r))
		return;
	struct json *obj = &r->input;
	if (str_is(r->kind->plural, "selfsubjectaccessreviews")) {
		access_review(r, obj);
	} else if (str_is(r->kind->plural, "selfsubjectreviews")) {
		self_review(r, obj);
	} else {
		req_failf(r, ERR_METHOD,
			  "the server does not allow this method on the requested resource");
		return;
	}
	struct buf out = { 0 };
	json_write(&out, obj);
	buf_addc(&out, '\n');
	req_reply_text(r, 201, "application/json", &out);
}
