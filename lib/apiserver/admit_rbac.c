/* Admission of roles and bindings: nobody grants what they do not hold. */
#include "apiserver/admit.h"
#include "apiserver/atomic.h"
#include "auth/rbac.h"

struct holder {
	const struct auth_user *user;
	const struct rbac *rbac;
};

static bool holds(void *arg, const struct auth_action *a)
{
	const struct holder *h = arg;
	return auth_holds(h->user, a, h->rbac);
}

static bool same(const struct json *obj, const struct json *old, const char *member)
{
	const struct json *x = json_getc(obj, member), *y = json_getc(old, member);
	return old && (x && y ? json_equal(x, y) : x == y);
}

static bool may(struct req *r, const char *verb, const char *resource, struct str ns,
		struct str name)
{
	struct auth_action a = { .verb = str_of(verb),
				 .group = STR("rbac.authorization.k8s.io"),
				 .resource = str_of(resource),
				 .ns = ns,
				 .name = name };
	struct rbac *rbac = roles_get(r->s);
	bool ok = auth_holds(&r->user, &a, rbac);
	rbac_unref(rbac);
	return ok;
}

static void refuse(struct req *r, const struct json *obj, const struct json *missing)
{
	struct arena *a = &r->arena;
	struct str name = object_text(obj, "name");
	struct str rule = missing ? json_text(a, missing) : STR_NONE;
	struct status st = {
		.code = ERR_FORBIDDEN,
		.message = arena_strf(
			a,
			"%.*s \"%.*s\" is forbidden: user \"%.*s\" is attempting to grant RBAC "
			"permissions not currently held: %.*s",
			STR_ARG(status_resource(a, r->kind)), STR_ARG(name), STR_ARG(r->user.name),
			STR_ARG(str_sub(rule, 0, 1000))),
		.name = name,
		.group = r->kind->group,
		.kind = r->kind->plural
	};
	req_fail_status(r, &st);
}

/* Answers and returns false unless the user holds all of the rules in ns. */
static bool held(struct req *r, const struct json *obj, const struct json *rules, struct str ns)
{
	struct rbac *rbac = roles_get(r->s);
	struct holder h = { &r->user, rbac };
	const struct json *missing = NULL;
	bool ok = rbac_covers(rules, ns, holds, &h, &missing);
	rbac_unref(rbac);
	if (!ok)
		refuse(r, obj, missing);
	return ok;
}

static struct str scope(const struct req *r)
{
	return r->kind->namespaced ? r->route.ns : STR("");
}

bool admit_role(struct req *r, const struct json *obj, const struct json *old)
{
	static const char everything[] =
		"[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":"
		"[\"*\"]},{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]";
	bool aggregated = json_is(json_getc(obj, "aggregationRule"), JSON_OBJECT);
	const struct json *rules = json_getc(obj, "rules");
	struct json all = { 0 };
	if (same(obj, old, "rules") && same(obj, old, "aggregationRule"))
		return true;
	if (may(r, "escalate", r->kind->namespaced ? "roles" : "clusterroles", scope(r),
		object_text(obj, "name")))
		return true;
	/* Nobody knows what such a role will hold one day. */
	if (aggregated) {
		if (json_parse(&r->arena, str_of(everything), NULL, &all, NULL))
			return false;
		rules = &all;
	}
	return held(r, obj, rules, scope(r));
}

/* As it is, or as the same set is about to write it. */
static struct str role_rules(struct req *r, bool cluster, struct str name)
{
	const struct kind *k =
		kind_find_key(r->kinds, cluster ? STR("rbac.authorization.k8s.io/clusterroles")
						: STR("rbac.authorization.k8s.io/roles"));
	struct str ns = cluster ? STR("") : scope(r);
	const struct json *role = k ? atomic_pending(r, object_key(&r->arena, k, ns, name)) : NULL;
	if (role) {
		const struct json *rules = json_getc(role, "rules");
		return rules ? json_text(&r->arena, rules) : STR("[]");
	}
	struct rbac *rbac = roles_get(r->s);
	struct str text = rbac_role_rules(rbac, ns, name);
	text = text.p ? arena_str(&r->arena, text) : STR_NONE;
	rbac_unref(rbac);
	return text;
}

bool admit_binding(struct req *r, const struct json *obj, const struct json *old)
{
	const struct json *ref = json_getc(obj, "roleRef");
	struct str name = json_str(json_getc(ref, "name"));
	bool cluster = str_is(json_str(json_getc(ref, "kind")), "ClusterRole");
	struct json rules = { 0 };
	struct error err = { 0 };
	if (same(obj, old, "roleRef") && same(obj, old, "subjects"))
		return true;
	if (may(r, "bind", cluster ? "clusterroles" : "roles", scope(r), name))
		return true;
	struct str text = role_rules(r, cluster, name);
	if (!text.p) {
		struct status st = { .code = ERR_NOT_FOUND,
				     .message = arena_strf(
					     &r->arena,
					     "%s.rbac.authorization.k8s.io \"%.*s\" not found",
					     cluster ? "clusterroles" : "roles", STR_ARG(name)),
				     .name = name,
				     .group = r->kind->group,
				     .kind = r->kind->plural };
		req_fail_status(r, &st);
		return false;
	}
	if (json_parse(&r->arena, text, NULL, &rules, &err)) {
		req_fail(r, &err);
		return false;
	}
	return held(r, obj, &rules, scope(r));
}
