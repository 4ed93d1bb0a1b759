/* Roles and priority classes that every server starts with: those of Kubernetes by name, with what is served here. */
#include "apiserver/janitor.h"

#define READ  "\"get\",\"list\",\"watch\""
#define WRITE "\"create\",\"delete\",\"deletecollection\",\"patch\",\"update\""

#define RULE(groups, resources, verbs) \
	"{\"apiGroups\":[" groups "],\"resources\":[" resources "],\"verbs\":[" verbs "]}"

#define CORE \
	"\"configmaps\",\"endpoints\",\"persistentvolumeclaims\",\"pods\"," \
	"\"replicationcontrollers\"," \
	"\"serviceaccounts\",\"services\""
#define APPS \
	"\"daemonsets\",\"deployments\",\"deployments/scale\",\"replicasets\"," \
	"\"replicasets/scale\",\"statefulsets\",\"statefulsets/scale\",\"cronjobs\"," \
	"\"jobs\",\"poddisruptionbudgets\",\"endpointslices\""
#define APPS_GROUPS "\"apps\",\"batch\",\"policy\",\"discovery.k8s.io\""
#define OURS        "\"placements\",\"placements/status\",\"alertrules\",\"silences\",\"prometheusrules\""
#define OURS_GROUPS "\"fleet.rctl.io\",\"monitoring.rctl.io\",\"monitoring.coreos.com\""

static const struct {
	const char *name, *label, *aggregates, *rules;
} roles[] = {
	{ "cluster-admin", NULL, NULL,
	  RULE("\"*\"", "\"*\"", "\"*\"") ",{\"nonResourceURLs\":[\"*\"],\"verbs\":[\"*\"]}" },
	{ "admin", NULL, "aggregate-to-admin", NULL },
	{ "edit", "aggregate-to-admin", "aggregate-to-edit", NULL },
	{ "view", "aggregate-to-edit", "aggregate-to-view", NULL },
	{ "system:aggregate-to-admin", "aggregate-to-admin", NULL,
	  RULE("\"rbac.authorization.k8s.io\"", "\"roles\",\"rolebindings\"",
	       READ "," WRITE) "," RULE("\"authorization.k8s.io\"", "\"localsubjectaccessreviews\"",
					"\"create\"") },
	{ "system:aggregate-to-edit", "aggregate-to-edit", NULL,
	  RULE("\"\"", CORE, WRITE) "," RULE("\"\"", "\"secrets\"", READ "," WRITE) "," RULE(
		  "\"\"", "\"pods/attach\",\"pods/exec\",\"pods/portforward\"",
		  READ ",\"create\"") "," RULE("\"\"",
					       "\"pods/eviction\",\"serviceaccounts/token\","
					       "\"events\"",
					       "\"create\"") "," RULE(APPS_GROUPS, APPS,
								      WRITE) "," RULE(OURS_GROUPS,
										      OURS,
										      WRITE) },
	{ "system:aggregate-to-view", "aggregate-to-view", NULL,
	  RULE("\"\"",
	       CORE ",\"events\",\"limitranges\",\"namespaces\",\"pods/log\",\"pods/status\","
		    "\"resourcequotas\",\"resourcequotas/status\"",
	       READ) "," RULE(APPS_GROUPS,
			      APPS ",\"daemonsets/status\",\"deployments/status\","
				   "\"replicasets/status\",\"statefulsets/status\","
				   "\"jobs/status\",\"cronjobs/status\","
				   "\"poddisruptionbudgets/status\"",
			      READ) "," RULE(OURS_GROUPS, OURS, READ) },
};

#define API        "rbac.authorization.k8s.io"
#define AUTOUPDATE "rbac.authorization.kubernetes.io/autoupdate"

static struct str role_body(struct arena *a, size_t i)
{
	struct buf b = { 0 };
	buf_addf(&b,
		 "{\"apiVersion\":\"" API "/v1\",\"kind\":\"ClusterRole\",\"metadata\":{\"name\":"
		 "\"%s\",\"labels\":{\"kubernetes.io/bootstrapping\":\"rbac-defaults\"",
		 roles[i].name);
	if (roles[i].label)
		buf_addf(&b, ",\"" API "/%s\":\"true\"", roles[i].label);
	buf_adds(&b, "},\"annotations\":{\"" AUTOUPDATE "\":\"true\"}},");
	if (roles[i].aggregates)
		buf_addf(&b,
			 "\"aggregationRule\":{\"clusterRoleSelectors\":[{\"matchLabels\":{"
			 "\"" API "/%s\":\"true\"}}]},",
			 roles[i].aggregates);
	buf_addf(&b, "\"rules\":[%s]}", roles[i].rules ? roles[i].rules : "");
	struct str body = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return body;
}

static const struct {
	const char *name, *description;
	int value;
} classes[] = {
	{ "system-cluster-critical",
	  "Used for system critical pods that must run in the cluster, but can be moved to another "
	  "node if necessary.",
	  2000000000 },
	{ "system-node-critical",
	  "Used for system critical pods that must not be moved from their current node.",
	  2000001000 },
};

static struct str class_body(struct arena *a, size_t i)
{
	return arena_strf(a,
			  "{\"apiVersion\":\"scheduling.k8s.io/v1\",\"kind\":\"PriorityClass\","
			  "\"metadata\":{\"name\":\"%s\"},\"value\":%d,\"description\":\"%s\"}",
			  classes[i].name, classes[i].value, classes[i].description);
}

bool defaults_at(size_t i, struct str *ret_path, struct str *ret_body, struct arena *a)
{
	static const char binding[] =
		"{\"apiVersion\":\"" API "/v1\",\"kind\":\"ClusterRoleBinding\",\"metadata\":{"
		"\"name\":\"cluster-admin\",\"labels\":{\"kubernetes.io/bootstrapping\":"
		"\"rbac-defaults\"}},\"roleRef\":{\"apiGroup\":\"" API "\",\"kind\":"
		"\"ClusterRole\",\"name\":\"cluster-admin\"},\"subjects\":[{\"apiGroup\":\"" API
		"\",\"kind\":\"Group\",\"name\":\"system:masters\"}]}";
	size_t n = sizeof(roles) / sizeof(*roles), m = sizeof(classes) / sizeof(*classes);
	if (i < n) {
		*ret_path = STR("/apis/" API "/v1/clusterroles");
		*ret_body = role_body(a, i);
	} else if (i == n) {
		*ret_path = STR("/apis/" API "/v1/clusterrolebindings");
		*ret_body = str_of(binding);
	} else if (i - n - 1 < m) {
		*ret_path = STR("/apis/scheduling.k8s.io/v1/priorityclasses");
		*ret_body = class_body(a, i - n - 1);
	} else {
		return false;
	}
	return true;
}

/* ---- a role of an older server ---- */

static bool add_members(struct arena *a, struct json *obj, const struct json *wanted,
			const char *member)
{
	const struct json *from = json_dig(wanted, "metadata", member, NULL);
	bool changed = false;
	for (size_t i = 0; json_is(from, JSON_OBJECT) && i < json_len(from); i++) {
		struct str name = json_str(&from->members[i].key);
		struct json *to = json_child(a, json_child(a, obj, "metadata"), member);
		if (json_get(to, name))
			continue;
		json_set(a, to, name, from->members[i].value);
		changed = true;
	}
	return changed;
}

static bool add_rules(struct arena *a, struct json *role, const struct json *wanted)
{
	const struct json *rules = json_getc(wanted, "rules");
	struct json *have = json_getc(role, "rules");
	bool changed = false;
	for (size_t i = 0; json_is(rules, JSON_ARRAY) && i < json_len(rules); i++) {
		bool there = false;
		if (!json_is(have, JSON_ARRAY))
			have = json_setc(a, role, "rules", json_array());
		for (size_t k = 0; k < json_len(have) && !there; k++)
			there = json_equal(json_at(have, k), json_at(rules, i));
		if (there)
			continue;
		json_push(a, have, *json_at(rules, i));
		changed = true;
	}
	return changed;
}

bool defaults_update(struct arena *a, struct json *role, const struct json *wanted)
{
	const struct json *notes = json_dig(role, "metadata", "annotations", NULL);
	if (str_is(json_str(json_getc(notes, AUTOUPDATE)), "false"))
		return false;
	bool changed = add_members(a, role, wanted, "labels");
	changed |= add_members(a, role, wanted, "annotations");
	return add_rules(a, role, wanted) || changed;
}
