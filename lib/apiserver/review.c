/* Reviews: questions about users, answered and never stored. */
#include "apiserver/apiserver_priv.h"
#include "auth/rbac.h"

static struct str text_at(const struct json *j, const char *name)
{
	return json_str(json_getc(j, name));
}

static void read_action(const struct json *spec, struct auth_action *act)
{
	const struct json *res = json_getc(spec, "resourceAttributes");
	const struct json *path = json_getc(spec, "nonResourceAttributes");
	*act = (struct auth_action){ .verb = text_at(res ? res : path, "verb") };
	if (res) {
		act->group = text_at(res, "group");
		act->resource = text_at(res, "resource");
		act->subresource = text_at(res, "subresource");
		act->ns = text_at(res, "namespace");
		act->name = text_at(res, "name");
	} else {
		act->path = text_at(path, "path");
	}
}

static void answer_access(struct req *r, struct json *obj, const struct auth_user *u)
{
	struct arena *a = &r->arena;
	struct auth_action act;
	struct error err = { 0 };
	read_action(json_getc(obj, "spec"), &act);
	bool allowed = user_authorize_as(r, u, &act, &err) == 0;
	struct json status = json_object();
	json_setc(a, &status, "allowed", json_of_bool(allowed));
	if (!allowed)
		json_setc(a, &status, "reason", json_of_str(arena_str(a, str_of(err.msg))));
	json_setc(a, obj, "status", status);
}

/* SubjectAccessReview, LocalSubjectAccessReview: about somebody else. */
static bool subject_review(struct req *r, struct json *obj)
{
	const struct json *spec = json_getc(obj, "spec");
	const struct json *groups = json_getc(spec, "groups");
	struct auth_user u = { .name = text_at(spec, "user"), .uid = text_at(spec, "uid") };
	for (size_t i = 0; json_is(groups, JSON_ARRAY) && i < json_len(groups); i++) {
		if (u.groups_len == AUTH_GROUPS_MAX) {
			req_failf(r, ERR_INVALID,
				  "spec.groups: Too many: must have at most %d items",
				  AUTH_GROUPS_MAX);
			return false;
		}
		u.groups[u.groups_len++] = json_str(json_at(groups, i));
	}
	struct str ns = json_str(json_dig(spec, "resourceAttributes", "namespace", NULL));
	if (!u.name.len && !u.groups_len) {
		req_failf(r, ERR_INVALID,
			  "spec.user: Invalid value: \"\": at least one of user or "
			  "group must be specified");
		return false;
	}
	if (r->kind->namespaced &&
	    (!json_getc(spec, "resourceAttributes") || !str_eq(ns, r->route.ns))) {
		req_failf(r, ERR_INVALID,
			  "spec.resourceAttributes.namespace: Invalid value: \"%.*s\": must match "
			  "metadata.namespace",
			  STR_ARG(ns));
		return false;
	}
	/* Somebody of whom only groups are asked has no name, but is not nobody. */
	if (!u.name.len)
		u.name = STR("system:unnamed");
	answer_access(r, obj, &u);
	return true;
}

/* ---- what may I do ---- */

struct rules {
	struct req *r;
	struct json resources, paths;
};

static struct json words(struct arena *a, const char *text)
{
	struct json list = json_array();
	struct str rest = str_of(text), word;
	while (rest.len && str_split(&rest, ' ', &word))
		json_push(a, &list, json_of_str(word));
	return list;
}

static void add_paths(struct rules *x, const char *verbs, const char *paths)
{
	struct arena *a = &x->r->arena;
	struct json rule = json_object();
	json_setc(a, &rule, "verbs", words(a, verbs));
	json_setc(a, &rule, "nonResourceURLs", words(a, paths));
	json_push(a, &x->paths, rule);
}

static void add_resources(struct rules *x, const char *verbs, const char *groups,
			  const char *resources)
{
	struct arena *a = &x->r->arena;
	struct json rule = json_object();
	json_setc(a, &rule, "verbs", words(a, verbs));
	json_setc(a, &rule, "apiGroups", words(a, groups));
	json_setc(a, &rule, "resources", words(a, resources));
	json_push(a, &x->resources, rule);
}

static void add_role(void *arg, struct str text, bool everywhere)
{
	struct rules *x = arg;
	struct json list = { 0 };
	if (json_parse(&x->r->arena, arena_str(&x->r->arena, text), NULL, &list, NULL))
		return;
	for (size_t i = 0; i < json_len(&list); i++) {
		struct json *rule = json_at(&list, i);
		if (!json_getc(rule, "nonResourceURLs"))
			json_push(&x->r->arena, &x->resources, *rule);
		else if (everywhere)
			json_push(&x->r->arena, &x->paths, *rule);
	}
}

static const char all_verbs[] = "get list watch create update patch delete deletecollection";

/* The fixed roles, as far as rules can say them; true when they say more or less than there is. */
static bool add_fixed(struct rules *x)
{
	const struct auth_user *u = &x->r->user;
	add_resources(x, "create", "authorization.k8s.io",
		      "selfsubjectaccessreviews selfsubjectrulesreviews");
	add_resources(x, "create", "authentication.k8s.io", "selfsubjectreviews");
	add_paths(x, "get",
		  "/api /api/* /apis /apis/* /openapi /openapi/* /version /version/ "
		  "/healthz /livez /readyz");
	bool incomplete = false;
	if (auth_in_group(u, "system:masters")) {
		add_resources(x, "*", "*", "*");
		add_paths(x, "*", "*");
	} else if (auth_in_group(u, "rctl:admins")) {
		add_resources(x, all_verbs, "*", "*");
		add_paths(x, "get post put patch delete", "*");
	} else {
		static const char *const fixed[] = { "rctl:viewers", "system:controllers",
						     "system:nodes", "system:apiservers" };
		for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
			incomplete |= auth_in_group(u, fixed[i]);
	}
	return incomplete;
}

static void rules_review(struct req *r, struct json *obj)
{
	struct arena *a = &r->arena;
	struct rules x = { r, json_array(), json_array() };
	struct str ns = json_str(json_dig(obj, "spec", "namespace", NULL));
	bool incomplete = add_fixed(&x);
	struct rbac *rbac = roles_get(r->s);
	rbac_roles_of(rbac, &r->user, ns, add_role, &x);
	rbac_unref(rbac);
	struct json status = json_object();
	json_setc(a, &status, "resourceRules", x.resources);
	json_setc(a, &status, "nonResourceRules", x.paths);
	json_setc(a, &status, "incomplete", json_of_bool(incomplete));
	if (incomplete)
		json_setc(a, &status, "evaluationError",
			  json_of_cstr("the fixed roles of groups allow more than is listed"));
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
		answer_access(r, obj, &r->user);
	} else if (str_is(r->kind->plural, "selfsubjectrulesreviews")) {
		rules_review(r, obj);
	} else if (str_is(r->kind->plural, "subjectaccessreviews") ||
		   str_is(r->kind->plural, "localsubjectaccessreviews")) {
		if (!subject_review(r, obj))
			return;
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
