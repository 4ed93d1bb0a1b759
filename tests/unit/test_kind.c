#include "kind/hooks.h"
#include "kind/kind.h"
#include "kind/kind_priv.h"
#include "watch/watch.h"
#include "yaml/yaml.h"

#include <criterion/criterion.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct arena arena;

static struct str read_text(const char *path)
{
	struct buf b = { 0 };
	char chunk[8192];
	FILE *f = fopen(path, "rb");
	cr_assert(f, "%s", path);
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
		buf_add(&b, chunk, n);
	(void)fclose(f);
	struct str s = arena_str(&arena, buf_str(&b));
	buf_fini(&b);
	return s;
}

static struct json *parse(const char *yaml)
{
	struct json *j = arena_new(&arena, struct json, 1);
	struct error err;
	cr_assert(yaml_parse(&arena, str_of(yaml), j, &err) == 0, "%s: %s", yaml, err.msg);
	return j;
}

static const char *source_dir(void)
{
	const char *src = getenv("RCTL_SRC");
	return src ? src : ".";
}

static const struct kind *kind_of(const struct kind_set *s, const struct json *obj)
{
	return kind_find_gvk(s, json_str(json_getc(obj, "apiVersion")),
			     json_str(json_getc(obj, "kind")));
}

static const char *lines(const struct kind_check *c)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < c->errors.len; i++)
		buf_addf(&b, "%.*s: %.*s\n", STR_ARG(c->errors.list[i].path),
			 STR_ARG(c->errors.list[i].message));
	for (size_t i = 0; i < c->unknown_len; i++)
		buf_addf(&b, "unknown %.*s\n", STR_ARG(c->unknown[i]));
	const char *s = arena_str(&arena, buf_str(&b)).p;
	buf_fini(&b);
	return s;
}

/* ---- built-in kinds ---- */

Test(kind, every_embedded_kind_loads_and_is_complete)
{
	static const enum kind_plane planes[] = { KIND_GLOBAL, KIND_CLUSTER };
	for (size_t p = 0; p < 2; p++) {
		struct kind_set *s = kind_set_builtin(planes[p]);
		cr_expect(kind_count(s) >= 12);
		for (size_t i = 0; i < kind_count(s); i++) {
			const struct kind *k = kind_at(s, i);
			cr_expect(k->builtin && k->hooks && k->schema);
			cr_expect(k->list_kind.len && k->singular.len && k->columns_len >= 2);
			/* kubectl get events begins with the time. */
			cr_expect(str_is(k->columns[0].name,
					 str_is(k->kind, "Event") ? "Last Seen" : "Name"));
			cr_expect(kind_find(s, k->group, k->version, k->plural) == k);
			cr_expect(kind_find_gvk(s, k->api_version, k->kind) == k);
			cr_expect(kind_find_key(s, k->resource_key) == k);
			cr_expect(kind_group_exists(s, k->group, k->version));
			cr_expect(schema_at(k->schema, STR("metadata.labels")), "%.*s",
				  STR_ARG(k->kind));
			for (size_t f = 0; f < k->selectable_len; f++)
				cr_expect(schema_at(k->schema, k->selectable[f]), "%.*s %.*s",
					  STR_ARG(k->kind), STR_ARG(k->selectable[f]));
		}
		cr_expect(!kind_at(s, kind_count(s)));
		kind_set_unref(s);
	}
}

/* Each list with keys has what strategic merge and apply need, whatever kind it is in. */
static size_t check_lists(const struct schema *s, const char *where, int depth)
{
	size_t n = 0;
	if (!s || depth > 12)
		return 0;
	if (s->type == SCHEMA_ARRAY && s->list == SCHEMA_LIST_MAP) {
		cr_expect(s->list_keys_len > 0, "%s", where);
		for (size_t i = 0; i < s->list_keys_len; i++)
			cr_expect(s->items && schema_property(s->items, s->list_keys[i]),
				  "%s: no member %.*s", where, STR_ARG(s->list_keys[i]));
		n++;
	}
	for (size_t i = 0; s->type == SCHEMA_STRING && i < json_len(s->enums); i++)
		cr_expect(json_is(json_at(s->enums, i), JSON_STRING), "%s: enum", where);
	if (s->patch_merge_key.len)
		cr_expect(s->items && schema_property(s->items, s->patch_merge_key), "%s", where);
	for (size_t i = 0; i < s->props_len; i++) {
		char path[512];
		(void)snprintf(path, sizeof(path), "%s.%.*s", where, STR_ARG(s->props[i].name));
		n += check_lists(s->props[i].schema, path, depth + 1);
	}
	return n + check_lists(s->items, where, depth + 1) +
	       check_lists(s->additional, where, depth + 1);
}

Test(kind, the_keys_of_lists_are_members_of_their_elements)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	size_t n = 0;
	for (size_t i = 0; i < kind_count(s); i++)
		if (!str_is(kind_at(s, i)->kind, "CustomResourceDefinition")) /* recursive */
			n += check_lists(kind_at(s, i)->schema, kind_at(s, i)->kind.p, 0);
	cr_expect(n > 20);
	kind_set_unref(s);
}

Test(kind, kinds_are_found_by_what_users_call_them)
{
	static const struct {
		const char *name, *key;
	} rows[] = {
		{ "pods", "/pods" },
		{ "po", "/pods" },
		{ "pod", "/pods" },
		{ "Pod", "/pods" },
		{ "deploy", "apps/deployments" },
		{ "deployments.apps", "apps/deployments" },
		{ "cm", "/configmaps" },
		{ "CRD", "apiextensions.k8s.io/customresourcedefinitions" },
		{ "deploy.batch", NULL },
		{ "nothing", NULL },
		{ "no", "/nodes" },
		{ "", NULL },
	};
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct kind *k = kind_find_name(s, str_of(rows[i].name));
		cr_expect((k != NULL) == (rows[i].key != NULL), "\"%s\" is %s", rows[i].name,
			  k ? k->resource_key.p : "nothing");
		if (k && rows[i].key)
			cr_expect(str_is(k->resource_key, rows[i].key), "%s", rows[i].name);
	}
	cr_expect(!kind_find(s, STR(""), STR("v2"), STR("pods")));
	cr_expect(!kind_find_gvk(s, STR("v1"), STR("Deployment")));
	cr_expect(!kind_group_exists(s, STR("nothing.example.com"), STR("v1")));
	kind_set_unref(s);
}

/* ---- samples ---- */

static void check_sample(const struct kind_set *const *sets, struct json *obj, const char *file)
{
	const struct kind *k = kind_of(sets[0], obj);
	struct kind_check c = { .arena = &arena };
	if (!k)
		k = kind_of(sets[1], obj);
	if (!k)
		return; /* of an outside group, as manifests have them */
	if (k->namespaced && !json_dig(obj, "metadata", "namespace", NULL))
		(void)json_setc(&arena, json_child(&arena, obj, "metadata"), "namespace",
				json_of_cstr("default"));
	kind_check_object(k, obj, NULL, NULL, &c);
	cr_expect_str_eq(lines(&c), "", "%s", file);
	struct bytes *first = kind_encode(k, obj);

	/* What was let in is let in again and is the same. */
	struct json again;
	struct error err;
	cr_assert(json_parse(&arena, bytes_str(first), NULL, &again, &err) == 0, "%s", err.msg);
	struct kind_check c2 = { .arena = &arena };
	kind_check_object(k, &again, obj, NULL, &c2);
	cr_expect_str_eq(lines(&c2), "", "%s", file);
	struct bytes *second = kind_encode(k, &again);
	cr_expect_str_eq(second->data, first->data, "%s", file);

	struct buf row = { 0 };
	kind_table_row(k, &arena, bytes_str(first), KIND_INCLUDE_METADATA, 1800000000, &row);
	struct json table;
	cr_assert(json_parse(&arena, buf_str(&row), NULL, &table, &err) == 0, "%s: %s\n%s", file,
		  err.msg, buf_cstr(&row));
	cr_expect(json_len(json_getc(&table, "cells")) == k->columns_len, "%s", file);
	cr_expect_str_eq(json_str(json_dig(&table, "object", "kind", NULL)).p ? "x" : "", "x");
	buf_fini(&row);
	bytes_unref(first);
	bytes_unref(second);
}

static size_t check_folder(const char *name)
{
	const struct kind_set *sets[2] = { kind_set_builtin(KIND_GLOBAL),
					   kind_set_builtin(KIND_CLUSTER) };
	const char *dir = arena_printf(&arena, "%s/%s", source_dir(), name);
	size_t n = 0;
	DIR *d = opendir(dir);
	cr_assert(d, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		if (!str_ends(str_of(e->d_name), STR(".yaml")))
			continue;
		const char *path = arena_printf(&arena, "%s/%s", dir, e->d_name);
		struct yaml_doc *docs;
		size_t len;
		struct error err;
		cr_assert(yaml_parse_documents(&arena, read_text(path), NULL, &docs, &len, &err) ==
				  0,
			  "%s: %s", path, err.msg);
		for (size_t i = 0; i < len; i++)
			check_sample(sets, &docs[i].root, path);
		n += len;
	}
	(void)closedir(d);
	for (size_t i = 0; i < 2; i++) {
		struct kind_set *s;
		memcpy(&s, &sets[i], sizeof(s));
		kind_set_unref(s);
	}
	arena_fini(&arena);
	return n;
}

Test(kind, samples_of_all_kinds_are_let_in_and_stay_as_they_are)
{
	cr_expect(check_folder("tests/fixtures/kinds") >= 20);
}

Test(kind, manifests_as_people_have_them_are_let_in)
{
	cr_expect(check_folder("tests/fixtures/manifests") >= 2);
	cr_expect(check_folder("manifests/examples") >= 1);
}

/* ---- objects ---- */

#define POD        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ns}\nspec:\n  containers:\n"
#define META(rest) "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: ns, " rest "}\n"

static const struct {
	const char *yaml, *errors; /* "" = fine; a part of the text */
} objects[] = {
	{ META("labels: {a/b: c}"), "" },
	{ META("labels: {'a b': c}"), "metadata.labels: Invalid value: \"a b\": name part must" },
	{ META("labels: {a: 'x y'}"), "metadata.labels: Invalid value: \"x y\": a valid label" },
	{ META("labels: [a]"), "metadata.labels: Invalid value: \"array\": metadata.labels in body "
			       "must be of type object: \"array\"" },
	{ META("annotations: {'a b': c}"), "metadata.annotations: Invalid value: \"a b\"" },
	{ META("annotations: {A.b/C: c}"), "" },
	{ META("finalizers: [nodot]"),
	  "metadata.finalizers: Invalid value: \"nodot\": name is "
	  "neither a standard finalizer name nor is it fully qualified" },
	{ META("finalizers: [a.b/c, orphan]"), "" },
	{ META("finalizers: [foregroundDeletion, orphan]"), "cannot be both set" },
	{ META("ownerReferences: [{apiVersion: v1, kind: Pod, name: '', uid: u}]"),
	  "metadata.ownerReferences[0].name: Invalid value: \"\": must not be empty" },
	{ META("ownerReferences: [{apiVersion: v1, kind: Pod, name: a}]"),
	  "metadata.ownerReferences[0].uid: Required value" },
	{ META("ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: u, controller: true}, "
	       "{apiVersion: v1, kind: Pod, name: b, uid: v, controller: true}]"),
	  "Only one reference can have Controller set to true" },
	{ META("ownerReferences: [{apiVersion: v1, kind: Event, name: a, uid: u}]"),
	  "disallowed from being an owner" },
	{ META("nonsense: 1"), "unknown metadata.nonsense" },
	{ META("creationTimestamp: null"), "" },
	{ "apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: ns}\n",
	  "metadata.name: Required value: name or generateName is required" },
	{ "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
	  "metadata.namespace: Required value" },
	{ "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A, namespace: ns}\n",
	  "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of" },
	{ "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a.b, generateName: 'B-', namespace: "
	  "n}\n",
	  "metadata.generateName: Invalid value: \"B-\"" },
	{ "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a.b, generateName: b-, namespace: "
	  "ns}\n",
	  "" },
	{ "apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}\n",
	  "metadata.name: Invalid value: \"a.b\": must not contain dots" },
	{ "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: b}\n",
	  "metadata.namespace: Forbidden: not allowed on this type" },
	{ META("") "data: {a: b, 'c d': e}\nbinaryData: {a: aGk=}\n",
	  "data[c d]: Invalid value: \"c d\": a valid config key" },
	{ META("") "data: {a: b}\nbinaryData: {a: aGk=}\n",
	  "data[a]: Invalid value: \"a\": duplicate of key present in binaryData" },
	{ META("") "binaryData: {a: b}\n", "binaryData[a]: Invalid value: \"b\"" },
	{ "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: ns}\ntype: "
	  "kubernetes.io/tls\n",
	  "data[tls.crt]: Required value" },
	{ "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: ns}\nstringData: {a: 1}\n",
	  "stringData[a]: Invalid value: \"integer\"" },
	{ "apiVersion: v1\nkind: Event\nmetadata: {name: a, namespace: ns}\ninvolvedObject: "
	  "{namespace: m}\n",
	  "involvedObject.namespace: Invalid value: \"m\": does not match event.namespace" },
	{ POD "  - {name: c, image: i}\n", "" },
	{ POD "  - {name: c}\n", "spec.containers[0].image: Required value" },
	{ POD "  - {name: C, image: i}\n", "spec.containers[0].name: Invalid value: \"C\"" },
	{ POD "  - {name: c, image: i}\n  - {name: c, image: i}\n",
	  "spec.containers[1].name: Duplicate value: \"c\"" },
	{ POD "  - {name: c, image: i}\n  initContainers: [{name: c, image: i}]\n",
	  "spec.containers[0].name: Duplicate value: \"c\"" },
	{ POD "  - {name: c, image: i, volumeMounts: [{name: v, mountPath: /v}]}\n",
	  "spec.containers[0].volumeMounts[0].name: Not found: \"v\"" },
	{ POD "  - {name: c, image: i, volumeMounts: [{name: v, mountPath: /v}]}\n"
	      "  volumes: [{name: v, emptyDir: {}}]\n",
	  "" },
	{ POD
	  "  - {name: c, image: i}\n  volumes: [{name: v, emptyDir: {}, hostPath: {path: /}}]\n",
	  "spec.volumes[0]: Forbidden: may not specify more than 1 volume type" },
	{ POD "  - {name: c, image: i, resources: {requests: {cpu: 2}, limits: {cpu: 1}}}\n",
	  "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal "
	  "to cpu limit of 1" },
	{ POD "  - {name: c, image: i, resources: {requests: {cpu: 2x}}}\n",
	  "spec.containers[0].resources.requests[cpu]: Invalid value: \"2x\"" },
	{ POD "  - {name: c, image: i, env: [{name: 'a=b', value: x}]}\n",
	  "spec.containers[0].env[0].name: Invalid value" },
	{ POD "  - {name: c, image: i, ports: [{containerPort: 70000}]}\n",
	  "spec.containers[0].ports[0].containerPort: Invalid value" },
	{ POD "  - {name: c, image: i, readinessProbe: {periodSeconds: 1}}\n",
	  "spec.containers[0].readinessProbe: Required value: must specify a handler type" },
	{ POD "  - {name: c, image: i}\n  replicas: 2\n", "unknown spec.replicas" },
	{ POD "  - {name: c, image: i, comand: [x]}\n", "unknown spec.containers[0].comand" },
	{ POD "  - {name: c, image: 1}\n", "spec.containers[0].image: Invalid value: \"integer\"" },
	{ "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ns}\nspec: {containers: []}\n",
	  "spec.containers: Invalid value" },
	{ "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ns}\n",
	  "spec: Required value" },
};

Test(kind, objects_are_judged_field_by_field)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		struct json *obj = parse(objects[i].yaml);
		struct kind_check c = { .arena = &arena };
		kind_check_object(kind_of(s, obj), obj, NULL, NULL, &c);
		const char *got = lines(&c);
		bool ok = objects[i].errors[0] ? strstr(got, objects[i].errors) != NULL
					       : got[0] == '\0';
		cr_expect(ok, "%s\n  got  %s\n  want %s", objects[i].yaml, got, objects[i].errors);
	}
	kind_set_unref(s);
	arena_fini(&arena);
}

#define DEPLOY(spec) \
	"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: ns}\nspec:\n" spec
#define TEMPLATE \
	"  template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: i}]}}\n"
#define RS(spec) \
	"apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: a, namespace: ns}\nspec:\n" spec

static const struct {
	const char *yaml, *errors;
} workloads[] = {
	{ DEPLOY("  selector: {matchLabels: {app: a}}\n" TEMPLATE), "" },
	{ DEPLOY(TEMPLATE), "spec.selector: Required value" },
	{ DEPLOY("  selector: {}\n" TEMPLATE),
	  "spec.selector: Invalid value: {}: empty selector is invalid for deployment" },
	{ DEPLOY("  selector: {matchLabels: {app: b}}\n" TEMPLATE),
	  "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not "
	  "match "
	  "template `labels`" },
	{ RS("  selector: {matchLabels: {app: b}}\n" TEMPLATE), "`selector` does not match" },
	{ DEPLOY("  replicas: -1\n  selector: {matchLabels: {app: a}}\n" TEMPLATE),
	  "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal "
	  "to 0" },
	{ DEPLOY("  replicas: two\n  selector: {matchLabels: {app: a}}\n" TEMPLATE),
	  "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type "
	  "integer: "
	  "\"string\"" },
	{ DEPLOY("  selector: {matchLabels: {app: a}}\n  strategy: {type: Recreate, rollingUpdate: "
		 "{maxSurge: 1}}\n" TEMPLATE),
	  "spec.strategy.rollingUpdate: Forbidden" },
	{ DEPLOY("  selector: {matchLabels: {app: a}}\n  strategy: {rollingUpdate: {maxSurge: 0, "
		 "maxUnavailable: 0%}}\n" TEMPLATE),
	  "may not be 0 when `maxSurge` is 0" },
	{ DEPLOY("  selector: {matchLabels: {app: a}}\n  strategy: {type: Now}\n" TEMPLATE),
	  "spec.strategy.type: Unsupported value: \"Now\": supported values: \"Recreate\", "
	  "\"RollingUpdate\"" },
	{ DEPLOY("  selector: {matchLabels: {app: a}}\n  template: {metadata: {labels: {app: a}}, "
		 "spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}\n"),
	  "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: "
	  "\"Always\"" },
	{ DEPLOY("  selector: {matchLabels: {app: a}}\n  template: {metadata: {labels: {app: a}}, "
		 "spec: {containers: [{name: c}]}}\n"),
	  "spec.template.spec.containers[0].image: Required value" },
};

Test(kind, workloads_have_selectors_that_match_their_templates)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
		struct json *obj = parse(workloads[i].yaml);
		struct kind_check c = { .arena = &arena };
		kind_check_object(kind_of(s, obj), obj, NULL, NULL, &c);
		const char *got = lines(&c);
		bool ok = workloads[i].errors[0] ? strstr(got, workloads[i].errors) != NULL
						 : got[0] == '\0';
		cr_expect(ok, "%s\n  got  %s\n  want %s", workloads[i].yaml, got,
			  workloads[i].errors);
	}
	kind_set_unref(s);
	arena_fini(&arena);
}

#define RULE(r) \
	"apiVersion: monitoring.rctl.io/v1alpha1\nkind: AlertRule\n" \
	"metadata: {name: a, namespace: ns}\nspec: {groups: [{name: g, rules: [" r "]}]}\n"
#define PROMETHEUS(r) \
	"apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n" \
	"metadata: {name: a, namespace: ns}\nspec: {groups: [{name: g, rules: [" r "]}]}\n"
#define PLACE(spec) \
	"apiVersion: fleet.rctl.io/v1alpha1\nkind: Placement\nmetadata: {name: a, namespace: " \
	"ns}\n" \
	"spec:\n  targets: [{apiVersion: apps/v1, kind: Deployment, name: web}]\n" spec

static const struct {
	const char *yaml, *errors;
} ours[] = {
	{ RULE("{alert: A, expr: 'up == 0', for: 5m, labels: {severity: page}}"), "" },
	{ RULE("{alert: A}"), "spec.groups[0].rules[0].expr: Required value" },
	{ RULE("{alert: A, expr: ' '}"), "spec.groups[0].rules[0].expr: Required value" },
	{ RULE("{expr: up}"), "exactly one of alert and record must be given" },
	{ RULE("{alert: A, record: b, expr: up}"), "exactly one of alert and record" },
	{ RULE("{alert: A, expr: up, for: soon}"), "spec.groups[0].rules[0].for: Invalid value" },
	{ RULE("{alert: A, expr: up, labels: {a-b: c}}"), "must be a label name" },
	{ RULE("{alert: A, expr: up, labels: {alertname: c}}"), "must be a label name" },
	{ RULE("{record: 'a:b', expr: up, labels: {team: x}}"), "" },
	{ RULE("{record: a-b, expr: up}"),
	  "record: Invalid value: \"a-b\": must be the name of a" },
	{ RULE("{record: a, expr: up, for: 5m}"),
	  "spec.groups[0].rules[0].for: Forbidden: only alerts" },
	{ PROMETHEUS("{alert: A, expr: 'up == 0', for: 5m, annotations: {runbook_url: x}}"), "" },
	{ PROMETHEUS("{alert: A, expr: up, for: soon}"),
	  "spec.groups[0].rules[0].for: Invalid value" },
	{ PROMETHEUS("{expr: up}"), "exactly one of alert and record must be given" },
	{ PROMETHEUS("{alert: A, expr: up, labels: {a-b: c}}"), "must be a label name" },
	{ PLACE("  replicas: {mode: Divide, weights: [{region: eu, weight: 2}]}\n"), "" },
	{ PLACE("  replicas: {weights: [{region: eu, weight: 2}]}\n"),
	  "spec.replicas.weights: Forbidden: only with mode Divide and prefer Weighted" },
	{ PLACE("  replicas: {mode: Divide, weights: [{weight: 2}]}\n"),
	  "spec.replicas.weights[0]: Required value: exactly one of cluster and region" },
	{ PLACE("  replicas: {mode: Split}\n"),
	  "spec.replicas.mode: Unsupported value: \"Split\"" },
	{ PLACE("  spread: [{by: region, min: 3, max: 2}]\n"),
	  "spec.spread[0].max: Invalid value: 2: must be at least min, 3" },
	{ PLACE("  spread: [{by: region, maxSkew: 1}]\n"), "only with replicas.mode Divide" },
	{ PLACE("  spread: [{by: region}, {by: region}]\n"),
	  "spec.spread[1].by: Duplicate value: \"region\"" },
	{ PLACE("  clusters: {selector: {matchLabels: {'a b': c}}}\n"), "spec.clusters.selector" },
	{ PLACE("  failover: {moveAfter: later}\n"), "spec.failover.moveAfter: Invalid value" },
	{ "apiVersion: fleet.rctl.io/v1alpha1\nkind: Placement\nmetadata: {name: a, namespace: "
	  "ns}\n"
	  "spec: {targets: [{apiVersion: apps/v1, kind: Deployment}]}\n",
	  "spec.targets[0]: Required value: exactly one of name and selector" },
};

Test(kind, our_own_kinds_are_consistent)
{
	struct kind_set *s = kind_set_builtin(KIND_GLOBAL);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		struct json *obj = parse(ours[i].yaml);
		struct kind_check c = { .arena = &arena };
		kind_check_object(kind_of(s, obj), obj, NULL, NULL, &c);
		const char *got = lines(&c);
		bool ok = ours[i].errors[0] ? strstr(got, ours[i].errors) != NULL : got[0] == '\0';
		cr_expect(ok, "%s\n  got  %s\n  want %s", ours[i].yaml, got, ours[i].errors);
	}
	kind_set_unref(s);
	arena_fini(&arena);
}

/* ---- updates ---- */

static const struct {
	const char *old, *now, *subresource, *errors;
} updates[] = {
	{ POD "  - {name: c, image: i}\n", POD "  - {name: c, image: j}\n", NULL, "" },
	{ POD "  - {name: c, image: i}\n", POD "  - {name: c, image: i, command: [x]}\n", NULL,
	  "spec: Forbidden: pod updates may not change fields other than" },
	{ POD "  - {name: c, image: i}\n", POD "  - {name: c, image: i}\n  nodeName: x\n", NULL,
	  "spec: Forbidden" },
	{ POD "  - {name: c, image: i}\n", POD "  - {name: c, image: i}\n  nodeName: x\n",
	  "binding", "" },
	{ POD "  - {name: c, image: i}\n  tolerations: [{key: a, operator: Exists}]\n",
	  POD "  - {name: c, image: i}\n  tolerations: [{key: a, operator: Exists}, {key: b, "
	      "operator: Exists}]\n",
	  NULL, "" },
	{ POD "  - {name: c, image: i}\n  tolerations: [{key: a, operator: Exists}]\n",
	  POD "  - {name: c, image: i}\n", NULL, "spec: Forbidden" },
	{ DEPLOY("  selector: {matchLabels: {app: a}}\n" TEMPLATE),
	  DEPLOY("  selector: {matchExpressions: [{key: app, operator: Exists}]}\n" TEMPLATE), NULL,
	  "field is immutable" },
	{ DEPLOY("  selector: {matchLabels: {app: a}}\n" TEMPLATE),
	  DEPLOY("  replicas: 4\n  selector: {matchLabels: {app: a}}\n" TEMPLATE), NULL, "" },
	{ META("") "data: {a: b}\nimmutable: true\n", META("") "data: {a: c}\nimmutable: true\n",
	  NULL, "data: Forbidden: field is immutable when `immutable` is set" },
	{ META("") "data: {a: b}\nimmutable: true\n", META("") "data: {a: b}\n", NULL,
	  "immutable: Forbidden" },
	{ META("uid: u"), META("uid: v"), NULL,
	  "metadata.uid: Invalid value: \"v\": field is immutable" },
	{ META("deletionTimestamp: '2024-01-01T00:00:00Z', finalizers: [a/b]"),
	  META("deletionTimestamp: '2024-01-01T00:00:00Z', finalizers: [a/b, a/c]"), NULL,
	  "metadata.finalizers: Forbidden: no new finalizers can be added" },
	{ "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: ns}\ntype: a\n",
	  "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: ns}\ntype: b\n", NULL,
	  "type: Invalid value: \"b\": field is immutable" },
};

Test(kind, what_must_not_change_does_not)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	for (size_t i = 0; i < sizeof(updates) / sizeof(updates[0]); i++) {
		struct json *old = parse(updates[i].old), *now = parse(updates[i].now);
		struct kind_check first = { .arena = &arena }, c = { .arena = &arena };
		struct str sub = str_of(updates[i].subresource);
		kind_check_object(kind_of(s, old), old, NULL, NULL, &first);
		cr_expect_str_eq(lines(&first), "");
		kind_check_object(kind_of(s, now), now, old, sub.len ? &sub : NULL, &c);
		const char *got = lines(&c);
		bool ok = updates[i].errors[0] ? strstr(got, updates[i].errors) != NULL
					       : got[0] == '\0';
		cr_expect(ok, "%s\n%s\n  got  %s\n  want %s", updates[i].old, updates[i].now, got,
			  updates[i].errors);
	}
	kind_set_unref(s);
	arena_fini(&arena);
}

/* ---- what is computed ---- */

static const struct json *checked(const struct kind_set *s, const char *yaml)
{
	struct json *obj = parse(yaml);
	struct kind_check c = { .arena = &arena };
	kind_check_object(kind_of(s, obj), obj, NULL, NULL, &c);
	cr_expect_str_eq(lines(&c), "", "%s", yaml);
	return obj;
}

static const char *text(const struct json *j)
{
	return j ? json_text(&arena, j).p : "(absent)";
}

Test(kind, defaults_are_those_of_kubernetes)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	const struct json *o =
		checked(s, "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: ns}\n"
			   "data: {b: eA==}\nstringData: {a: hello, b: over}\n");
	cr_expect_str_eq(text(json_getc(o, "data")), "{\"b\":\"b3Zlcg==\",\"a\":\"aGVsbG8=\"}");
	cr_expect_str_eq(text(json_getc(o, "type")), "\"Opaque\"");
	cr_expect(!json_getc(o, "stringData"));

	o = checked(s, "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n");
	cr_expect_str_eq(text(json_getc(o, "spec")), "{\"finalizers\":[\"kubernetes\"]}");
	cr_expect_str_eq(text(json_getc(o, "status")), "{\"phase\":\"Active\"}");
	cr_expect_str_eq(text(json_dig(o, "metadata", "labels", NULL)),
			 "{\"kubernetes.io/metadata.name\":\"a\"}");

	o = checked(s,
		    POD "  - {name: c, image: 'r:5000/i', resources: {limits: {cpu: 0.5, memory: "
			"1024Mi}}}\n  - {name: d, image: 'r:5000/i:1'}\n  volumes: [{name: v}]\n");
	const struct json *c = json_at(json_dig(o, "spec", "containers", NULL), 0);
	const struct json *d = json_at(json_dig(o, "spec", "containers", NULL), 1);
	cr_expect_str_eq(text(json_getc(c, "imagePullPolicy")), "\"Always\"");
	cr_expect_str_eq(text(json_getc(d, "imagePullPolicy")), "\"IfNotPresent\"");
	cr_expect_str_eq(text(json_dig(c, "resources", "requests", NULL)),
			 "{\"cpu\":\"500m\",\"memory\":\"1Gi\"}");
	cr_expect_str_eq(text(json_dig(o, "spec", "restartPolicy", NULL)), "\"Always\"");
	cr_expect_str_eq(text(json_dig(o, "spec", "terminationGracePeriodSeconds", NULL)), "30");
	cr_expect_str_eq(text(json_dig(o, "status", "phase", NULL)), "\"Pending\"");
	cr_expect_str_eq(text(json_dig(o, "status", "qosClass", NULL)), "\"Burstable\"");
	cr_expect_str_eq(text(json_dig(o, "spec", "volumes", NULL)),
			 "[{\"name\":\"v\",\"emptyDir\":{}}]");

	o = checked(s, POD "  - {name: c, image: i, resources: {limits: {cpu: 1, memory: 1Gi}}}\n");
	cr_expect_str_eq(text(json_dig(o, "status", "qosClass", NULL)), "\"Guaranteed\"");
	o = checked(s, POD "  - {name: c, image: i}\n");
	cr_expect_str_eq(text(json_dig(o, "status", "qosClass", NULL)), "\"BestEffort\"");

	o = checked(s, DEPLOY("  selector: {matchLabels: {app: a}}\n  strategy: {rollingUpdate: "
			      "{maxSurge: 2}}\n" TEMPLATE));
	cr_expect_str_eq(text(json_dig(o, "spec", "replicas", NULL)), "1");
	cr_expect_str_eq(
		text(json_dig(o, "spec", "strategy", "rollingUpdate", "maxUnavailable", NULL)),
		"\"25%\"");
	kind_set_unref(s);
	arena_fini(&arena);
}

Test(kind, unsupported_fields_are_warned_of_only_when_they_are_new)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	struct json *obj = parse(POD "  - {name: c, image: i}\n  hostAliases: [{ip: 1.1.1.1}]\n");
	struct json old;
	struct kind_check c = { .arena = &arena };
	kind_check_object(kind_of(s, obj), obj, NULL, NULL, &c);
	cr_expect(c.warnings_len == 1);
	cr_expect(str_starts(c.warnings[0], STR("spec.hostAliases: stored")));
	old = json_clone(&arena, obj);
	struct kind_check again = { .arena = &arena };
	kind_check_object(kind_of(s, obj), obj, &old, NULL, &again);
	cr_expect(again.warnings_len == 0);
	kind_set_unref(s);
	arena_fini(&arena);
}

Test(kind, more_than_the_index_holds_is_refused)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	struct buf b = { 0 };
	buf_adds(&b, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: ns\n  "
		     "labels:\n");
	for (int i = 0; i <= WATCH_LABELS_MAX; i++)
		buf_addf(&b, "    l%d: x\n", i);
	buf_adds(&b, "  ownerReferences:\n");
	for (int i = 0; i <= WATCH_OWNERS_MAX; i++)
		buf_addf(&b, "  - {apiVersion: v1, kind: Pod, name: a, uid: u%d}\n", i);
	buf_adds(&b, "  annotations: {big: ");
	for (int i = 0; i < 300000; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, "}\n");
	struct json *obj = parse(buf_cstr(&b));
	struct kind_check c = { .arena = &arena };
	kind_check_object(kind_of(s, obj), obj, NULL, NULL, &c);
	cr_expect_str_eq(lines(&c),
			 "metadata.labels: Too many: 257: must have at most 256 items\n"
			 "metadata.annotations: Too long: may not be more than 262144 bytes\n"
			 "metadata.ownerReferences: Too many: 65: must have at most 64 items\n");
	buf_fini(&b);
	kind_set_unref(s);
	arena_fini(&arena);
}

/* ---- encoding and index ---- */

Test(kind, encoding_is_canonical)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	struct json *obj =
		parse("data: {a: b}\nmetadata: {selfLink: /x, name: a, resourceVersion: '5',"
		      " namespace: ns}\nkind: ConfigMap\napiVersion: v1\n");
	struct bytes *b = kind_encode(kind_of(s, obj), obj);
	cr_expect_str_eq(b->data, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":"
				  "{\"name\":\"a\",\"namespace\":\"ns\"},\"data\":{\"a\":\"b\"}}");
	bytes_unref(b);
	kind_set_unref(s);
	arena_fini(&arena);
}

Test(kind, the_index_has_labels_fields_and_owners)
{
	static const char text_of_pod[] =
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"labels\":{"
		"\"app\":\"web\",\"a\\u002fb\":\"c\\n\"},\"ownerReferences\":[{\"kind\":"
		"\"ReplicaSet\","
		"\"uid\":\"u1\"},{\"uid\":\"u2\"}],\"annotations\":{\"x\":\"{\\\"uid\\\":1}\"}},"
		"\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"}\"}]},"
		"\"status\":{\"phase\":\"Running\",\"podIP\":null}}";
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	struct watch_index *ix = calloc(1, sizeof(*ix));
	const struct kind *k = kind_find_key(s, STR("/pods"));
	kind_index(s, STR("/pods/ns/a"), str_of(text_of_pod), ix);
	cr_expect(ix->labels == 2 && ix->owners == 2);
	cr_expect(str_is(ix->label_key[0], "app") && str_is(ix->label_value[0], "web"));
	cr_expect(str_is(ix->label_key[1], "a/b") && str_is(ix->label_value[1], "c\n"));
	cr_expect(str_is(ix->owner_uid[0], "u1") && str_is(ix->owner_uid[1], "u2"));
	cr_assert(ix->fields == k->selectable_len);
	for (size_t i = 0; i < ix->fields; i++) {
		struct str f = k->selectable[i];
		const char *want = str_is(f, "spec.nodeName")  ? "n1"
				   : str_is(f, "status.phase") ? "Running"
							       : "";
		cr_expect(str_is(ix->field[i], want), "%.*s", STR_ARG(f));
	}
	/* Cut anywhere, nothing is read behind the end. */
	for (size_t n = 0; n < sizeof(text_of_pod); n++) {
		char *copy = malloc(n ? n : 1);
		memcpy(copy, text_of_pod, n);
		kind_index(s, STR("/pods/ns/a"), str_n(copy, n), ix);
		free(copy);
	}
	kind_index(s, STR("unknown/things/ns/a"), str_of(text_of_pod), ix);
	cr_expect(ix->labels == 2 && ix->fields == 0);
	kind_index(s, STR("nonsense"), STR("nonsense"), ix);
	cr_expect(ix->labels == 0);
	free(ix);
	struct buf b = { 0 };
	kind_partial_metadata("v1", str_of(text_of_pod), &b);
	cr_expect(str_starts(buf_str(&b), STR("{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":"
					      "\"meta.k8s.io/v1\",\"metadata\":{\"name\":\"a\",")));
	buf_fini(&b);
	kind_set_unref(s);
	arena_fini(&arena);
}

Test(kind, hashes_are_sha256)
{
	char hex[65];
	kind_sha256_hex(STR("abc"), hex);
	cr_expect_str_eq(hex, "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD");
	kind_sha256_hex(STR(""), hex);
	cr_expect_str_eq(hex, "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855");
	kind_sha256_hex(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), hex);
	cr_expect_str_eq(hex, "248D6A61D20638B8E5C026930C3E6039A33CE45964FF2167F6ECEDD419DB06C1");
}
