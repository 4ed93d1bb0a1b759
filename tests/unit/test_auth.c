#include "auth/auth.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <unistd.h>

static struct auth_user user(const char *name, const char *group)
{
	struct auth_user u = { .name = str_of(name) };
	if (group)
		u.groups[u.groups_len++] = str_of(group);
	return u;
}

static bool pod_on_node(void *arg, struct str ns, struct str pod, struct str node)
{
	(void)arg;
	return str_is(ns, "shop") && str_is(pod, "web-1") && str_is(node, "n1");
}

static bool refers(void *arg, struct str node, struct str ns, struct str resource, struct str name)
{
	(void)arg;
	return str_is(node, "n1") && str_is(ns, "shop") &&
	       (str_is(resource, "secrets") || str_is(resource, "configmaps")) &&
	       str_is(name, "web-conf");
}

static const struct auth_node_view view = { .pod_on_node = pod_on_node, .refers = refers };

/* Columns of the matrix below. */
enum { MASTER, ADMIN, VIEWER, CONTROLLER, APISERVER, NODE, PLAIN, NOBODY, ROLES };

static struct auth_user role(int r)
{
	static const char *const groups[ROLES] = {
		"system:masters",    "rctl:admins",  "rctl:viewers", "system:controllers",
		"system:apiservers", "system:nodes", NULL,           NULL
	};
	return user(r == NODE ? "system:node:n1" : r == NOBODY ? "" : "u", groups[r]);
}

static const struct {
	const char *verb, *group, *resource, *sub, *ns, *name;
	const char *allowed; /* one character a role, in the order of the enum: x = allowed */
} matrix[] = {
	/*                                                                             MAVCGNP0 */
	{ "get", "", "pods", "", "shop", "web-1", /*                               */ "xxxx.x.." },
	{ "get", "", "pods", "", "shop", "web-2", /*                               */ "xxxx...." },
	{ "list", "", "pods", "", "", "", /*                                       */ "xxxx...." },
	{ "watch", "apps", "deployments", "", "shop", "", /*                       */ "xxxx...." },
	{ "create", "", "pods", "", "shop", "", /*                                 */ "xx.x...." },
	{ "delete", "", "pods", "", "shop", "web-1", /*                            */ "xx.x.x.." },
	{ "patch", "", "pods", "status", "shop", "web-1", /*                       */ "xx.x.x.." },
	{ "patch", "", "pods", "status", "shop", "web-2", /*                       */ "xx.x...." },
	{ "patch", "", "pods", "", "shop", "web-1", /*                             */ "xx.x...." },
	{ "get", "", "pods", "log", "shop", "web-1", /*                            */ "xxxx...." },
	{ "get", "", "pods", "exec", "shop", "web-1", /*                           */ "xx......" },
	{ "create", "", "pods", "exec", "shop", "web-1", /*                        */ "xx......" },
	{ "get", "", "secrets", "", "shop", "web-conf", /*                         */ "xx.x.x.." },
	{ "get", "", "secrets", "", "shop", "other", /*                            */ "xx.x...." },
	{ "list", "", "secrets", "", "shop", "", /*                                */ "xx.x...." },
	{ "list", "", "secrets", "", "", "", /*                                    */ "xx......" },
	{ "create", "", "secrets", "", "shop", "", /*                              */ "xx.x...." },
	{ "get", "", "configmaps", "", "shop", "web-conf", /*                      */ "xxxx.x.." },
	{ "get", "", "configmaps", "", "shop", "other", /*                         */ "xxxx...." },
	{ "update", "", "configmaps", "", "shop", "web-conf", /*                   */ "xx.x...." },
	{ "get", "", "nodes", "", "", "n1", /*                                     */ "xxxx.x.." },
	{ "get", "", "nodes", "", "", "n2", /*                                     */ "xxxx...." },
	{ "create", "", "nodes", "", "", "", /*                                    */ "xx.x.x.." },
	{ "create", "", "nodes", "", "", "n2", /*                                  */ "xx.x...." },
	{ "patch", "", "nodes", "status", "", "n1", /*                             */ "xx.x.x.." },
	{ "patch", "", "nodes", "status", "", "n2", /*                             */ "xx.x...." },
	{ "delete", "", "nodes", "", "", "n1", /*                                  */ "xx.x...." },
	{ "create", "", "events", "", "shop", "", /*                               */ "xx.x.x.." },
	{ "list", "", "events", "", "shop", "", /*                                 */ "xxxx...." },
	{ "update", "coordination.k8s.io", "leases", "", "kube-node-lease", "n1", /**/ "xx.x.x.." },
	{ "update", "coordination.k8s.io", "leases", "", "kube-node-lease", "n2", /**/ "xx.x...." },
	{ "update", "coordination.k8s.io", "leases", "", "kube-system", "n1", /*   */ "xx.x...." },
	{ "create", "apiextensions.k8s.io", "customresourcedefinitions", "", "", "", "xx......" },
	{ "get", "apiextensions.k8s.io", "customresourcedefinitions", "", "", "x", "xxxx...." },
	{ "update", "iam.rctl.io", "roles", "", "", "x", /*                        */ "xx......" },
	{ "patch", "apps", "deployments", "status", "shop", "web", /*              */ "xx.x...." },
	{ "patch", "example.com", "widgets", "status", "shop", "w", /*             */ "xx.x...." },
	{ "patch", "example.com", "widgets", "", "shop", "w", /*                   */ "xx......" },
	{ "impersonate", "", "users", "", "", "jane", /*                           */ "x...x..." },
	{ "create", "authorization.k8s.io", "selfsubjectaccessreviews", "", "", "", "xxxxxxx." },
};

Test(auth, roles_allow_exactly_what_the_matrix_says)
{
	for (size_t i = 0; i < sizeof(matrix) / sizeof(*matrix); i++) {
		for (int r = 0; r < ROLES; r++) {
			struct auth_user u = role(r);
			struct auth_action a = { .verb = str_of(matrix[i].verb),
						 .group = str_of(matrix[i].group),
						 .resource = str_of(matrix[i].resource),
						 .subresource = str_of(matrix[i].sub),
						 .ns = str_of(matrix[i].ns),
						 .name = str_of(matrix[i].name) };
			struct error err = { 0 };
			int rc = auth_authorize(&u, &a, &view, &err);
			cr_expect_eq(rc, matrix[i].allowed[r] == 'x' ? 0 : ERR_FORBIDDEN,
				     "%s %s/%s/%s ns=%s name=%s as role %d", matrix[i].verb,
				     matrix[i].group, matrix[i].resource, matrix[i].sub,
				     matrix[i].ns, matrix[i].name, r);
		}
	}
}

static const struct {
	const char *verb, *path, *allowed;
} paths[] = {
	/*                                  MAVCGNP0 */
	{ "get", "/healthz", /*          */ "xxxxxxxx" },
	{ "get", "/readyz/store", /*     */ "xxxxxxxx" },
	{ "post", "/healthz", /*         */ "xx......" },
	{ "get", "/healthzz", /*         */ "xxxx...." },
	{ "get", "/version", /*          */ "xxxxxxx." },
	{ "get", "/api", /*              */ "xxxxxxx." },
	{ "get", "/apis/apps/v1", /*     */ "xxxxxxx." },
	{ "get", "/openapi/v3", /*       */ "xxxxxxx." },
	{ "get", "/metrics", /*          */ "xxxxx..." },
	{ "get", "/configz", /*          */ "xx......" },
	{ "post", "/agent/v1/push", /*   */ "xx...x.." },
	{ "get", "/agent/v1/push", /*    */ "xxxx...." },
	{ "post", "/clusters/a/api", /*  */ "xxxxxxx." }, /* decided by the cluster, as the same user */
};

Test(auth, paths_follow_their_own_matrix)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		for (int r = 0; r < ROLES; r++) {
			struct auth_user u = role(r);
			struct auth_action a = { .verb = str_of(paths[i].verb),
						 .path = str_of(paths[i].path) };
			int rc = auth_authorize(&u, &a, &view, NULL);
			cr_expect_eq(rc, paths[i].allowed[r] == 'x' ? 0 : ERR_FORBIDDEN,
				     "%s %s as role %d", paths[i].verb, paths[i].path, r);
		}
}

Test(auth, a_node_lists_pods_only_with_its_own_field_selector)
{
	static const struct {
		const char *fields;
		bool ok;
	} cases[] = {
		{ "spec.nodeName=n1", true },
		{ "spec.nodeName==n1", true },
		{ "status.phase!=Failed,spec.nodeName=n1", true },
		{ "spec.nodeName=n2", false },
		{ "spec.nodeName!=n1", false },
		{ "", false },
		{ "spec.nodeName=n1x", false },
		{ "xspec.nodeName=n1", false },
	};
	struct auth_user u = role(NODE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct auth_action a = { .verb = STR("watch"),
					 .resource = STR("pods"),
					 .fields = str_of(cases[i].fields) };
		cr_expect_eq(auth_authorize(&u, &a, &view, NULL) == 0, cases[i].ok, "%s",
			     cases[i].fields);
	}
}

Test(auth, a_refusal_reads_as_in_kubernetes)
{
	struct auth_user u = user("jane", NULL);
	struct error err = { 0 };
	struct auth_action a = { .verb = STR("list"), .resource = STR("pods"), .ns = STR("y") };
	cr_assert_eq(auth_authorize(&u, &a, &view, &err), ERR_FORBIDDEN);
	cr_expect_str_eq(err.msg, "pods is forbidden: User \"jane\" cannot list resource \"pods\" "
				  "in API group \"\" in the namespace \"y\"");
	a = (struct auth_action){ .verb = STR("patch"),
				  .group = STR("apps"),
				  .resource = STR("deployments"),
				  .subresource = STR("scale"),
				  .name = STR("web"),
				  .ns = STR("y") };
	cr_assert_eq(auth_authorize(&u, &a, &view, &err), ERR_FORBIDDEN);
	cr_expect_str_eq(
		err.msg,
		"deployments.apps \"web\" is forbidden: User \"jane\" cannot patch resource "
		"\"deployments/scale\" in API group \"apps\" in the namespace \"y\"");
	a = (struct auth_action){ .verb = STR("get"), .resource = STR("nodes"), .name = STR("n1") };
	u = user("", NULL);
	cr_assert_eq(auth_authorize(&u, &a, &view, &err), ERR_FORBIDDEN);
	cr_expect_str_eq(err.msg, "nodes \"n1\" is forbidden: User \"system:anonymous\" cannot get "
				  "resource \"nodes\" in API "
				  "group \"\" at the cluster scope");
	a = (struct auth_action){ .verb = STR("get"), .path = STR("/metrics") };
	cr_assert_eq(auth_authorize(&u, &a, &view, &err), ERR_FORBIDDEN);
	cr_expect_str_eq(err.msg,
			 "forbidden: User \"system:anonymous\" cannot get path \"/metrics\"");
}

Test(auth, the_node_of_a_user_is_empty_for_wider_roles)
{
	struct auth_user u = role(NODE);
	cr_expect(str_is(auth_node_of(&u), "n1"));
	u.groups[u.groups_len++] = STR("system:controllers");
	cr_expect_eq(auth_node_of(&u).len, 0);
	u = user("system:node:n1", NULL);
	cr_expect_eq(auth_node_of(&u).len, 0, "the group is what counts");
}

static const char *write_file(char *path, const char *text)
{
	int fd = mkstemp(path);
	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

Test(auth, the_token_file_is_the_one_of_kube_apiserver)
{
	char path[] = "/tmp/test_auth_XXXXXX";
	write_file(path, "# comment\ns3cret,jane,1,\"rctl:viewers, dev\"\n\nabc,bob,2\nq\"q,x,1\n");
	struct auth_tokens *t = NULL;
	struct error err = { 0 };
	cr_assert_eq(auth_tokens_load(path, &t, &err), ERR_INVALID);
	cr_assert_not_null(strstr(err.msg, ":5: broken quoting"), "%s", err.msg);
	unlink(path);

	char good[] = "/tmp/test_auth_XXXXXX";
	write_file(good,
		   "s3cret,jane,1,\"rctl:viewers, dev\"\nabc,bob,2\n\"a\"\"b\",\"eve\",3,one\n");
	cr_assert_eq(auth_tokens_load(good, &t, &err), 0, "%s", err.msg);
	unlink(good);
	const struct auth_user *u = auth_tokens_find(t, STR("s3cret"));
	cr_assert_not_null(u);
	cr_expect(str_is(u->name, "jane") && str_is(u->uid, "1") && u->groups_len == 2);
	cr_expect(auth_in_group(u, "dev") && auth_in_group(u, "rctl:viewers"));
	u = auth_tokens_find(t, STR("a\"b"));
	cr_assert_not_null(u);
	cr_expect(str_is(u->name, "eve") && auth_in_group(u, "one"));
	cr_expect_null(auth_tokens_find(t, STR("s3cre")));
	cr_expect_null(auth_tokens_find(t, STR("")));
	auth_tokens_free(t);
	cr_assert_neq(auth_tokens_load("/nonexistent/tokens", &t, &err), 0);
}
