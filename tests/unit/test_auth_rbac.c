#include "auth/auth.h"
#include "auth/rbac.h"

#include <criterion/criterion.h>

static struct arena arena;

static const char *const objects[] = {
	"{\"kind\":\"ClusterRole\",\"metadata\":{\"name\":\"view\"},\"rules\":["
	"{\"apiGroups\":[\"\",\"apps\"],\"resources\":[\"pods\",\"pods/log\",\"deployments\"],"
	"\"verbs\":[\"get\",\"list\"]},{\"nonResourceURLs\":[\"/metrics\",\"/logs/"
	"*\"],\"verbs\":[\"get\"]}]}",
	"{\"kind\":\"ClusterRole\",\"metadata\":{\"name\":\"all\"},\"rules\":["
	"{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]}]}",
	"{\"kind\":\"ClusterRole\",\"metadata\":{\"name\":\"scaler\"},\"rules\":["
	"{\"apiGroups\":[\"*\"],\"resources\":[\"*/scale\"],\"verbs\":[\"update\"]}]}",
	"{\"kind\":\"Role\",\"metadata\":{\"name\":\"one\",\"namespace\":\"a\"},\"rules\":["
	"{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"resourceNames\":[\"s1\"],\"verbs\":["
	"\"get\"]}]}",
	"{\"kind\":\"ClusterRoleBinding\",\"metadata\":{\"name\":\"v\"},\"roleRef\":{\"apiGroup\":"
	"\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"view\"},\"subjects\":["
	"{\"kind\":\"Group\",\"name\":\"watchers\"}]}",
	"{\"kind\":\"RoleBinding\",\"metadata\":{\"name\":\"o\",\"namespace\":\"a\"},\"roleRef\":{"
	"\"apiGroup\":"
	"\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"one\"},\"subjects\":["
	"{\"kind\":\"User\",\"name\":\"jane\"},{\"kind\":\"ServiceAccount\",\"name\":\"bot\"}]}",
	"{\"kind\":\"RoleBinding\",\"metadata\":{\"name\":\"x\",\"namespace\":\"a\"},\"roleRef\":{"
	"\"apiGroup\":"
	"\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"all\"},\"subjects\":["
	"{\"kind\":\"User\",\"name\":\"boss\"}]}",
	"{\"kind\":\"ClusterRoleBinding\",\"metadata\":{\"name\":\"s\"},\"roleRef\":{\"apiGroup\":"
	"\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"scaler\"},\"subjects\":["
	"{\"kind\":\"Group\",\"name\":\"system:authenticated\"}]}",
	/* Grants nothing: no such role; a ClusterRoleBinding to a Role; another group of kinds. */
	"{\"kind\":\"ClusterRoleBinding\",\"metadata\":{\"name\":\"n\"},\"roleRef\":{\"apiGroup\":"
	"\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"none\"},\"subjects\":["
	"{\"kind\":\"User\",\"name\":\"eve\"}]}",
	"{\"kind\":\"ClusterRoleBinding\",\"metadata\":{\"name\":\"m\",\"namespace\":\"a\"},"
	"\"roleRef\":{\"apiGroup\":"
	"\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"one\"},\"subjects\":["
	"{\"kind\":\"User\",\"name\":\"eve\"}]}",
	"{\"kind\":\"RoleBinding\",\"metadata\":{\"name\":\"w\",\"namespace\":\"a\"},\"roleRef\":{"
	"\"apiGroup\":"
	"\"other\",\"kind\":\"ClusterRole\",\"name\":\"all\"},\"subjects\":[{\"kind\":\"User\","
	"\"name\":\"eve\"}]}",
};

enum { OBJECTS = sizeof(objects) / sizeof(objects[0]) };

static struct json parsed[OBJECTS];

static struct rbac *make(void)
{
	const struct json *list[OBJECTS];
	for (size_t i = 0; i < OBJECTS; i++) {
		cr_assert(json_parse(&arena, str_of(objects[i]), NULL, &parsed[i], NULL) == 0,
			  "%zu", i);
		list[i] = &parsed[i];
	}
	return rbac_new(list, OBJECTS);
}

static struct auth_user user_of(const char *name, const char *group)
{
	struct auth_user u = { .name = str_of(name) };
	if (group)
		u.groups[u.groups_len++] = str_of(group);
	return u;
}

Test(auth_rbac, what_no_rule_allows_is_forbidden)
{
	static const struct {
		const char *user, *in, *verb, *group, *resource, *sub, *ns, *name, *path;
		bool allowed;
	} cases[] = {
		{ "u", "watchers", "get", "", "pods", "", "a", "p", NULL, true },
		{ "u", "watchers", "get", "apps", "deployments", "", "", "", NULL, true },
		{ "u", "watchers", "get", "", "pods", "log", "a", "p", NULL, true },
		{ "u", "watchers", "get", "", "pods", "exec", "a", "p", NULL, false },
		{ "u", "watchers", "watch", "", "pods", "", "a", "", NULL, false },
		{ "u", "watchers", "get", "", "secrets", "", "a", "s1", NULL, false },
		{ "u", "watchers", "get", "batch", "pods", "", "a", "", NULL, false },
		{ "u", "watchers", "get", NULL, NULL, NULL, NULL, NULL, "/metrics", true },
		{ "u", "watchers", "get", NULL, NULL, NULL, NULL, NULL, "/logs/x/y", true },
		{ "u", "watchers", "get", NULL, NULL, NULL, NULL, NULL, "/log", false },
		{ "u", "watchers", "post", NULL, NULL, NULL, NULL, NULL, "/metrics", false },
		{ "u", NULL, "get", "", "pods", "", "a", "p", NULL, false },
		{ "watchers", NULL, "get", "", "pods", "", "a", "p", NULL, false },
		{ "jane", NULL, "get", "", "secrets", "", "a", "s1", NULL, true },
		{ "jane", NULL, "get", "", "secrets", "", "a", "s2", NULL, false },
		{ "jane", NULL, "get", "", "secrets", "", "a", "", NULL, false },
		{ "jane", NULL, "list", "", "secrets", "", "a", "s1", NULL, false },
		{ "jane", NULL, "get", "", "secrets", "", "b", "s1", NULL, false },
		{ "jane", NULL, "get", "", "secrets", "", "", "s1", NULL, false },
		{ "u", "jane", "get", "", "secrets", "", "a", "s1", NULL, false },
		{ "system:serviceaccount:a:bot", NULL, "get", "", "secrets", "", "a", "s1", NULL,
		  true },
		{ "system:serviceaccount:b:bot", NULL, "get", "", "secrets", "", "a", "s1", NULL,
		  false },
		{ "boss", NULL, "delete", "x.io", "things", "", "a", "t", NULL, true },
		{ "boss", NULL, "delete", "x.io", "things", "", "b", "t", NULL, false },
		{ "boss", NULL, "delete", "x.io", "things", "", "", "t", NULL, false },
		{ "boss", NULL, "get", NULL, NULL, NULL, NULL, NULL, "/metrics", false },
		{ "u", NULL, "update", "apps", "deployments", "scale", "z", "d", NULL, true },
		{ "u", NULL, "update", "apps", "deployments", "", "z", "d", NULL, false },
		{ "", "system:authenticated", "update", "apps", "deployments", "scale", "z", "d",
		  NULL, false },
		{ "eve", NULL, "get", "", "secrets", "", "a", "s1", NULL, false },
		{ "jane\na", NULL, "get", "", "secrets", "", "", "s1", NULL, false },
	};
	struct rbac *r = make();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_user u = user_of(cases[i].user, cases[i].in);
		struct auth_action a = { .verb = str_of(cases[i].verb),
					 .group = str_of(cases[i].group),
					 .resource = str_of(cases[i].resource),
					 .subresource = str_of(cases[i].sub),
					 .ns = str_of(cases[i].ns),
					 .name = str_of(cases[i].name),
					 .path = str_of(cases[i].path) };
		cr_expect(rbac_allows(r, &u, &a) == cases[i].allowed, "%zu: %s %s", i,
			  cases[i].user, cases[i].verb);
	}
	rbac_unref(r);
	arena_fini(&arena);
}

struct holder {
	struct auth_user user;
	struct rbac *rbac;
};

static bool holds(void *arg, const struct auth_action *a)
{
	struct holder *h = arg;
	return auth_holds(&h->user, a, h->rbac);
}

Test(auth_rbac, nobody_passes_on_what_they_do_not_hold)
{
	static const struct {
		const char *user, *in, *ns, *rules;
		bool held;
	} cases[] = {
		{ "u", "watchers", "a",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]}]", true },
		{ "u", "watchers", "",
		  "[{\"apiGroups\":[\"apps\",\"\"],\"resources\":[\"pods/"
		  "log\",\"pods\"],\"verbs\":[\"get\",\"list\"]}]",
		  true },
		{ "u", "watchers", "a",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\",\"watch\"]}]",
		  false },
		{ "u", "watchers", "a",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"*\"],\"verbs\":[\"get\"]}]", false },
		{ "u", "watchers", "a",
		  "[{\"apiGroups\":[\"*\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]}]", false },
		{ "u", "watchers", "a",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"*\"]}]", false },
		{ "u", "watchers", "a",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"pods/*\"],\"verbs\":[\"get\"]}]",
		  false },
		{ "u", "watchers", "", "[{\"nonResourceURLs\":[\"/logs/a\"],\"verbs\":[\"get\"]}]",
		  true },
		{ "u", "watchers", "", "[{\"nonResourceURLs\":[\"*\"],\"verbs\":[\"get\"]}]",
		  false },
		{ "jane", NULL, "a",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"resourceNames\":[\"s1\"],"
		  "\"verbs\":[\"get\"]}]",
		  true },
		{ "jane", NULL, "a",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"verbs\":[\"get\"]}]",
		  false },
		{ "boss", NULL, "a",
		  "[{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]}]", true },
		{ "boss", NULL, "b",
		  "[{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]}]", false },
		{ "boss", NULL, "",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]}]", false },
		{ "m", "system:masters", "",
		  "[{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]}]", true },
		{ "m", "rctl:admins", "",
		  "[{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"get\"]}]", true },
		{ "m", "rctl:admins", "",
		  "[{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]}]", false },
		{ "m", "rctl:admins", "",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"users\"],\"verbs\":[\"impersonate\"]}]",
		  false },
		{ "m", "rctl:viewers", "",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"*\"],\"verbs\":[\"get\"]}]", false },
		{ "m", "system:controllers", "",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]}]", false },
		{ "", NULL, "",
		  "[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]}]", false },
		{ "u", NULL, "", "[]", true },
	};
	struct holder h = { .rbac = make() };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json rules;
		cr_assert(json_parse(&arena, str_of(cases[i].rules), NULL, &rules, NULL) == 0);
		h.user = user_of(cases[i].user, cases[i].in);
		cr_expect(rbac_covers(&rules, str_of(cases[i].ns), holds, &h, NULL) ==
				  cases[i].held,
			  "%zu: %s %s", i, cases[i].user, cases[i].rules);
	}
	rbac_unref(h.rbac);
	arena_fini(&arena);
}

Test(auth_rbac, the_authorizer_asks_roles_but_never_for_service_accounts_of_elsewhere)
{
	struct rbac *r = make();
	struct auth_node_view view = { .rbac = r };
	struct auth_user jane = user_of("jane", NULL);
	struct auth_user bot = user_of("system:serviceaccount:a:bot", NULL);
	struct auth_action get = {
		.verb = STR("get"), .resource = STR("secrets"), .ns = STR("a"), .name = STR("s1")
	};
	struct auth_action far = { .verb = STR("get"), .path = STR("/clusters/c1/api/v1/pods") };
	struct error err = { 0 };
	cr_expect(auth_authorize(&jane, &get, &view, &err) == 0);
	cr_expect(auth_authorize(&jane, &get, NULL, &err) == ERR_FORBIDDEN);
	cr_expect(auth_authorize(&bot, &get, &view, &err) == 0);
	cr_expect(auth_authorize(&jane, &far, &view, &err) == 0);
	cr_expect(auth_authorize(&bot, &far, &view, &err) == ERR_FORBIDDEN);
	struct auth_user admin = user_of("root", "rctl:admins");
	static const char *const kept[] = { "impersonate", "escalate", "bind", "*" };
	for (size_t i = 0; i < 4; i++) {
		get.verb = str_of(kept[i]);
		cr_expect(auth_authorize(&admin, &get, &view, &err) == ERR_FORBIDDEN, "%s",
			  kept[i]);
	}
	rbac_unref(r);
	arena_fini(&arena);
}
