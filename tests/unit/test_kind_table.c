#include "kind/kind.h"
#include "yaml/yaml.h"

#include <criterion/criterion.h>

static struct arena arena;

enum { NOW = 1704067200 }; /* 2024-01-01T00:00:00Z */

/* The cells of an object given as YAML. */
static const char *cells(const struct kind_set *s, const char *kind, const char *yaml)
{
	struct json obj;
	struct error err;
	struct buf row = { 0 };
	cr_assert(yaml_parse(&arena, str_of(yaml), &obj, &err) == 0, "%s: %s", yaml, err.msg);
	const struct kind *k = kind_find_name(s, str_of(kind));
	cr_assert(k, "%s", kind);
	kind_table_row(k, &arena, json_text(&arena, &obj), KIND_INCLUDE_NONE, NOW, &row);
	const char *text = arena_str(&arena, buf_str(&row)).p;
	buf_fini(&row);
	return text;
}

#define RUNNING "ready: true, state: {running: {}}"
#define META    "metadata: {name: a, creationTimestamp: '2023-12-31T23:55:00Z'}\n"
#define DELETED \
	"metadata: {name: a, creationTimestamp: '2023-12-31T23:55:00Z', deletionTimestamp: " \
	"'2023-12-31T23:59:00Z'}\n"
#define TWO  "spec: {containers: [{name: c}, {name: d}]}\n"
#define INIT "spec: {initContainers: [{name: i}, {name: j}], containers: [{name: c}]}\n"
#define SIDECAR \
	"spec: {initContainers: [{name: i, restartPolicy: Always}], containers: [{name: c}]}\n"

/* Ready, Status, Restarts as kubectl prints them for a real cluster. */
static const struct {
	const char *yaml, *ready, *status, *restarts;
} pods[] = {
	{ META TWO "status: {phase: Pending}\n", "0/2", "Pending", "0" },
	{ META TWO "status: {phase: Running, containerStatuses: [{name: c, " RUNNING "}, {name: d, "
		   "ready: false, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, "
		   "lastState: {terminated: {finishedAt: '2023-12-31T23:59:20Z'}}}]}\n",
	  "1/2", "CrashLoopBackOff", "3 (40s ago)" },
	{ META TWO "status: {phase: Running, containerStatuses: [{name: c, " RUNNING "}, {name: d, "
		   "" RUNNING "}]}\n",
	  "2/2", "Running", "0" },
	{ META TWO
	  "status: {phase: Running, conditions: [{type: Ready, status: 'False'}], "
	  "containerStatuses: [{name: c, state: {terminated: {reason: Completed, exitCode: "
	  "0}}}, {name: d, " RUNNING "}]}\n",
	  "1/2", "NotReady", "0" },
	{ META TWO
	  "status: {phase: Running, conditions: [{type: Ready, status: 'True'}], "
	  "containerStatuses: [{name: c, state: {terminated: {reason: Completed, exitCode: "
	  "0}}}, {name: d, " RUNNING "}]}\n",
	  "1/2", "Running", "0" },
	{ META TWO "status: {phase: Failed, containerStatuses: [{name: c, restartCount: 1, state: "
		   "{terminated: {reason: Error, exitCode: 1}}}]}\n",
	  "0/2", "Error", "1" },
	{ META TWO "status: {phase: Failed, containerStatuses: [{name: c, state: {terminated: "
		   "{exitCode: 137, signal: 9}}}]}\n",
	  "0/2", "Signal:9", "0" },
	{ META TWO "status: {phase: Failed, containerStatuses: [{name: c, state: {terminated: "
		   "{exitCode: 3}}}]}\n",
	  "0/2", "ExitCode:3", "0" },
	{ META TWO "status: {phase: Succeeded, containerStatuses: [{name: c, state: {terminated: "
		   "{reason: Completed}}}]}\n",
	  "0/2", "Completed", "0" },
	{ META TWO "status: {phase: Failed, reason: Evicted}\n", "0/2", "Evicted", "0" },
	{ META TWO "status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', "
		   "reason: SchedulingGated}]}\n",
	  "0/2", "SchedulingGated", "0" },
	{ DELETED TWO "status: {phase: Running, containerStatuses: [{name: c, " RUNNING "}]}\n",
	  "1/2", "Terminating", "0" },
	{ DELETED TWO "status: {phase: Running, reason: NodeLost}\n", "0/2", "Unknown", "0" },
	{ DELETED TWO "status: {phase: Succeeded}\n", "0/2", "Succeeded", "0" },
	{ META INIT
	  "status: {phase: Pending, initContainerStatuses: [{name: i, restartCount: 2, state: "
	  "{running: {}}}]}\n",
	  "0/1", "Init:0/2", "2" },
	{ META INIT
	  "status: {phase: Pending, initContainerStatuses: [{name: i, state: {terminated: "
	  "{exitCode: 0}}}, {name: j, state: {waiting: {reason: PodInitializing}}}]}\n",
	  "0/1", "Init:1/2", "0" },
	{ META INIT
	  "status: {phase: Pending, initContainerStatuses: [{name: i, restartCount: 4, state: "
	  "{waiting: {reason: CrashLoopBackOff}}}]}\n",
	  "0/1", "Init:CrashLoopBackOff", "4" },
	{ META INIT "status: {phase: Failed, initContainerStatuses: [{name: i, state: {terminated: "
		    "{exitCode: 2, reason: Error}}}]}\n",
	  "0/1", "Init:Error", "0" },
	{ META INIT "status: {phase: Failed, initContainerStatuses: [{name: i, state: {terminated: "
		    "{exitCode: 2}}}]}\n",
	  "0/1", "Init:ExitCode:2", "0" },
	{ META INIT
	  "status: {phase: Running, initContainerStatuses: [{name: i, restartCount: 5, state: "
	  "{terminated: {exitCode: 0}}}, {name: j, state: {terminated: {exitCode: 0}}}], "
	  "containerStatuses: [{name: c, restartCount: 1, " RUNNING "}]}\n",
	  "1/1", "Running", "1" },
	{ META SIDECAR
	  "status: {phase: Running, initContainerStatuses: [{name: i, restartCount: 2, "
	  "started: true, " RUNNING "}], containerStatuses: [{name: c, restartCount: 1, "
	  "" RUNNING "}]}\n",
	  "2/2", "Running", "3" },
	{ META "spec: 1\nstatus: []\n", "0/0", "", "0" },
	{ META "spec: {containers: {}}\nstatus: {containerStatuses: [1, null], conditions: x}\n",
	  "0/0", "", "0" },
};

Test(kind_table, pods_are_printed_as_kubernetes_prints_them)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	for (size_t i = 0; i < sizeof(pods) / sizeof(pods[0]); i++) {
		const char *want = arena_printf(
			&arena,
			"{\"cells\":[\"a\",\"%s\",\"%s\",\"%s\",\"5m\",\"<none>\",\"<none>\","
			"\"<none>\",\"<none>\"]}",
			pods[i].ready, pods[i].status, pods[i].restarts);
		cr_expect_str_eq(cells(s, "pods", pods[i].yaml), want, "%s", pods[i].yaml);
	}
	kind_set_unref(s);
	arena_fini(&arena);
}

static const struct {
	const char *kind, *yaml, *cells;
} rows[] = {
	{ "pods",
	  META
	  "spec: {nodeName: n1, containers: [{name: c}], readinessGates: [{conditionType: x/y}, "
	  "{conditionType: x/z}]}\nstatus: {phase: Running, podIP: 10.0.0.1, nominatedNodeName: "
	  "n2, conditions: [{type: x/y, status: 'True'}]}\n",
	  "\"a\",\"0/1\",\"Running\",\"0\",\"5m\",\"10.0.0.1\",\"n1\",\"n2\",\"1/2\"" },
	{ "deployments",
	  META "spec: {replicas: 3, selector: {matchLabels: {b: c, a: b}}, template: {spec: "
	       "{containers: [{name: x, image: i}, {name: z, image: j}]}}}\n"
	       "status: {readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1}\n",
	  "\"a\",\"2/3\",3,1,\"5m\",\"x,z\",\"i,j\",\"a=b,b=c\"" },
	{ "replicasets",
	  META
	  "spec: {replicas: 3, selector: {matchExpressions: [{key: a, operator: In, values: [x, "
	  "z]}]}, template: {spec: {containers: [{name: x, image: i}]}}}\nstatus: {replicas: 2}\n",
	  "\"a\",3,2,0,\"5m\",\"x\",\"i\",\"a in (x,z)\"" },
	{ "configmaps", META "data: {a: b, c: d}\nbinaryData: {e: Zg==}\n", "\"a\",3,\"5m\"" },
	{ "configmaps", META, "\"a\",0,\"5m\"" },
	{ "secrets", META "type: Opaque\ndata: {a: Yg==}\n", "\"a\",\"Opaque\",1,\"5m\"" },
	{ "namespaces", META "status: {phase: Active}\n", "\"a\",\"Active\",\"5m\"" },
	{ "events",
	  META
	  "type: Normal\nreason: Started\nmessage: it\nlastTimestamp: '2023-12-31T23:59:50Z'\n"
	  "firstTimestamp: '2023-12-31T23:00:00Z'\ncount: 4\nsource: {component: x, host: n1}\n"
	  "involvedObject: {kind: Pod, name: p}\n",
	  "\"10s\",\"Normal\",\"Started\",\"pod/p\",null,\"x, n1\",\"it\",\"60m\",\"4\",\"a\"" },
	{ "events",
	  META "eventTime: '2023-12-31T23:58:00.000000Z'\nseries: {count: 9, lastObservedTime: "
	       "'2023-12-31T23:59:00.000000Z'}\nreportingComponent: r\nreportingInstance: r1\n"
	       "involvedObject: {kind: Node, name: m}\n",
	  "\"60s\",null,null,\"node/m\",null,\"r, r1\",null,\"2m\",\"9\",\"a\"" },
	{ "events", META "involvedObject: {kind: Node, name: m}\n",
	  "\"<unknown>\",null,null,\"node/m\",null,\"\",null,\"<unknown>\",\"1\",\"a\"" },
};

Test(kind_table, other_kinds_have_the_columns_of_kubernetes)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *want = arena_printf(&arena, "{\"cells\":[%s]}", rows[i].cells);
		const char *got = cells(s, rows[i].kind, rows[i].yaml);
		cr_expect_str_eq(got, want, "%s\n  got  %s\n  want %s", rows[i].yaml, got, want);
	}
	kind_set_unref(s);
	arena_fini(&arena);
}

static const struct {
	const char *yaml, *status, *roles;
} nodes[] = {
	{ META "status: {conditions: [{type: Ready, status: 'True'}]}\n", "Ready", "<none>" },
	{ META "status: {conditions: [{type: Ready, status: Unknown}]}\n", "NotReady", "<none>" },
	{ META
	  "spec: {unschedulable: true}\nstatus: {conditions: [{type: Ready, status: 'True'}]}\n",
	  "Ready,SchedulingDisabled", "<none>" },
	{ "metadata: {name: a, creationTimestamp: '2023-12-31T23:55:00Z', labels: "
	  "{node-role.kubernetes.io/worker: '', node-role.kubernetes.io/edge: '', "
	  "kubernetes.io/role: old}}\n",
	  "Unknown", "worker,edge,old" },
};

Test(kind_table, nodes_have_status_and_roles)
{
	struct kind_set *s = kind_set_builtin(KIND_CLUSTER);
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		struct str want = arena_strf(&arena, "{\"cells\":[\"a\",\"%s\",\"%s\",\"5m\",",
					     nodes[i].status, nodes[i].roles);
		const char *got = cells(s, "nodes", nodes[i].yaml);
		cr_expect(str_starts(str_of(got), want), "%s: %s", nodes[i].yaml, got);
	}
	kind_set_unref(s);
	arena_fini(&arena);
}

Test(kind_table, text_that_is_no_object_makes_a_row_of_gaps)
{
	static const char *const texts[] = { "", "{", "[]", "null", "{\"metadata\":5}" };
	struct kind_set *s = kind_set_builtin(KIND_GLOBAL);
	for (size_t i = 0; i < kind_count(s); i++) {
		const struct kind *k = kind_at(s, i);
		for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
			struct buf row = { 0 };
			struct json j;
			kind_table_row(k, &arena, str_of(texts[t]), KIND_INCLUDE_NONE, NOW, &row);
			cr_assert(json_parse(&arena, buf_str(&row), NULL, &j, NULL) == 0, "%s",
				  buf_cstr(&row));
			cr_expect(json_len(json_getc(&j, "cells")) == k->columns_len);
			buf_fini(&row);
		}
	}
	kind_set_unref(s);
	arena_fini(&arena);
}
