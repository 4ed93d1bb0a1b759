/* describe: pods and what makes them, nodes, namespaces, ConfigMaps and Secrets. */
#include "describe.h"
#include "sys/clock.h"
#include "text/duration.h"
#include "text/quantity.h"
#include "text/rfc3339.h"
#include "text/url.h"

#include <stdio.h>
#include <string.h>

static struct str get(const struct json *obj, const char *a, const char *b)
{
	return json_str(b ? json_dig(obj, a, b, NULL) : json_getc(obj, a));
}

/* A member as text, whatever its type; `none` when it is not there. */
static const char *plain(struct rctl *r, const struct json *v, const char *none)
{
	if (!v || v->type == JSON_NULL)
		return none;
	struct str s = v->type == JSON_STRING ? json_str(v) : json_text(&r->arena, v);
	return s.len ? arena_str(&r->arena, s).p : none;
}

static int64_t number(const struct json *obj, const char *name)
{
	return json_i64(json_getc(obj, name), 0);
}

static void line_if(struct rctl *r, int indent, const char *name, const struct json *v)
{
	if (v && v->type != JSON_NULL)
		describe_line(indent, name, "%s", plain(r, v, ""));
}

/* ---- containers ---- */

static void put_state(struct rctl *r, const char *name, const struct json *state)
{
	const struct json *running = json_getc(state, "running");
	const struct json *waiting = json_getc(state, "waiting");
	const struct json *ended = json_getc(state, "terminated");
	if (running) {
		describe_line(4, name, "Running");
		line_if(r, 6, "Started", json_getc(running, "startedAt"));
	} else if (ended) {
		describe_line(4, name, "Terminated");
		line_if(r, 6, "Reason", json_getc(ended, "reason"));
		line_if(r, 6, "Message", json_getc(ended, "message"));
		describe_line(6, "Exit Code", "%lld", (long long)number(ended, "exitCode"));
		if (number(ended, "signal"))
			describe_line(6, "Signal", "%lld", (long long)number(ended, "signal"));
		line_if(r, 6, "Started", json_getc(ended, "startedAt"));
		line_if(r, 6, "Finished", json_getc(ended, "finishedAt"));
	} else if (waiting || strcmp(name, "State") == 0) {
		describe_line(4, name, "Waiting");
		line_if(r, 6, "Reason", json_getc(waiting, "reason"));
		line_if(r, 6, "Message", json_getc(waiting, "message"));
	}
}

static void put_words(struct rctl *r, const char *name, const struct json *list)
{
	if (!json_len(list))
		return;
	describe_line(4, name, "%s", "");
	for (size_t i = 0; i < json_len(list); i++)
		(void)printf("      %s\n", plain(r, json_at(list, i), ""));
}

static void put_probe(struct rctl *r, const char *name, const struct json *p)
{
	struct buf how = { 0 };
	if (!p)
		return;
	const struct json *http = json_getc(p, "httpGet"), *tcp = json_getc(p, "tcpSocket");
	const struct json *command = json_dig(p, "exec", "command", NULL);
	if (http)
		buf_addf(&how, "http-get %s://%s:%s%s", plain(r, json_getc(http, "scheme"), "HTTP"),
			 plain(r, json_getc(http, "host"), ""),
			 plain(r, json_getc(http, "port"), ""),
			 plain(r, json_getc(http, "path"), "/"));
	else if (tcp)
		buf_addf(&how, "tcp-socket %s:%s", plain(r, json_getc(tcp, "host"), ""),
			 plain(r, json_getc(tcp, "port"), ""));
	else if (json_getc(p, "grpc"))
		buf_addf(&how, "grpc :%s", plain(r, json_dig(p, "grpc", "port", NULL), ""));
	buf_adds(&how, command ? "exec [" : "");
	for (size_t i = 0; i < json_len(command); i++)
		buf_addf(&how, "%s%s", i ? " " : "", plain(r, json_at(command, i), ""));
	buf_adds(&how, command ? "]" : "");
	describe_line(4, name,
		      "%s delay=%llds timeout=%llds period=%llds #success=%lld #failure=%lld",
		      buf_cstr(&how), (long long)number(p, "initialDelaySeconds"),
		      (long long)json_i64(json_getc(p, "timeoutSeconds"), 1),
		      (long long)json_i64(json_getc(p, "periodSeconds"), 10),
		      (long long)json_i64(json_getc(p, "successThreshold"), 1),
		      (long long)json_i64(json_getc(p, "failureThreshold"), 3));
	buf_fini(&how);
}

static void put_variable(struct rctl *r, const struct json *e)
{
	const struct json *from = json_getc(e, "valueFrom");
	const struct json *map = json_getc(from, "configMapKeyRef");
	const struct json *secret = json_getc(from, "secretKeyRef");
	const struct json *ref = map ? map : secret;
	const char *name = plain(r, json_getc(e, "name"), "");
	if (ref)
		describe_line(6, name, "<set to the key '%s' in %s '%s'>  Optional: %s",
			      plain(r, json_getc(ref, "key"), ""), map ? "config map" : "secret",
			      plain(r, json_getc(ref, "name"), ""),
			      json_bool(json_getc(ref, "optional"), false) ? "true" : "false");
	else if (json_getc(from, "fieldRef"))
		describe_line(6, name, "(%s)",
			      plain(r, json_dig(from, "fieldRef", "fieldPath", NULL), ""));
	else if (json_getc(from, "resourceFieldRef"))
		describe_line(6, name, "(%s)",
			      plain(r, json_dig(from, "resourceFieldRef", "resource", NULL), ""));
	else
		describe_line(6, name, "%s", plain(r, json_getc(e, "value"), ""));
}

static void put_resources(struct rctl *r, const char *name, const struct json *obj)
{
	if (!json_len(obj))
		return;
	describe_line(4, name, "%s", "");
	for (size_t i = 0; i < json_len(obj); i++)
		describe_line(6, plain(r, &obj->members[i].key, ""), "%s",
			      plain(r, &obj->members[i].value, ""));
}

static void put_ports(struct rctl *r, const struct json *c)
{
	const struct json *ports = json_getc(c, "ports");
	struct buf b = { 0 };
	for (size_t i = 0; i < json_len(ports); i++) {
		const struct json *p = json_at(ports, i);
		buf_addf(&b, "%s%lld/%s", i ? ", " : "", (long long)number(p, "containerPort"),
			 plain(r, json_getc(p, "protocol"), "TCP"));
	}
	describe_line(4, json_len(ports) > 1 ? "Ports" : "Port", "%s",
		      b.len ? buf_cstr(&b) : "<none>");
	buf_fini(&b);
}

static void put_mounts(struct rctl *r, const struct json *c)
{
	const struct json *mounts = json_getc(c, "volumeMounts");
	describe_line(4, "Mounts", "%s", json_len(mounts) ? "" : "<none>");
	for (size_t i = 0; i < json_len(mounts); i++) {
		const struct json *m = json_at(mounts, i);
		(void)printf("      %s from %s (%s)\n", plain(r, json_getc(m, "mountPath"), ""),
			     plain(r, json_getc(m, "name"), ""),
			     json_bool(json_getc(m, "readOnly"), false) ? "ro" : "rw");
	}
}

/* status NULL: of a template */
static void put_container(struct rctl *r, const struct json *c, const struct json *status)
{
	const struct json *env = json_getc(c, "env"), *all = json_getc(c, "envFrom");
	(void)printf("  %s:\n", plain(r, json_getc(c, "name"), ""));
	line_if(r, 4, "Container ID", json_getc(status, "containerID"));
	describe_line(4, "Image", "%s", plain(r, json_getc(c, "image"), "<none>"));
	put_ports(r, c);
	put_words(r, "Command", json_getc(c, "command"));
	put_words(r, "Args", json_getc(c, "args"));
	if (status) {
		put_state(r, "State", json_getc(status, "state"));
		put_state(r, "Last State", json_getc(status, "lastState"));
		describe_line(4, "Ready", "%s",
			      json_bool(json_getc(status, "ready"), false) ? "True" : "False");
		describe_line(4, "Restart Count", "%lld",
			      (long long)number(status, "restartCount"));
	}
	put_resources(r, "Limits", json_dig(c, "resources", "limits", NULL));
	put_resources(r, "Requests", json_dig(c, "resources", "requests", NULL));
	put_probe(r, "Liveness", json_getc(c, "livenessProbe"));
	put_probe(r, "Readiness", json_getc(c, "readinessProbe"));
	put_probe(r, "Startup", json_getc(c, "startupProbe"));
	for (size_t i = 0; i < json_len(all); i++) {
		const struct json *map = json_getc(json_at(all, i), "configMapRef");
		const struct json *ref = map ? map : json_getc(json_at(all, i), "secretRef");
		describe_line(4, "Environment of", "%s %s", map ? "ConfigMap" : "Secret",
			      plain(r, json_getc(ref, "name"), ""));
	}
	describe_line(4, "Environment", "%s", json_len(env) ? "" : "<none>");
	for (size_t i = 0; i < json_len(env); i++)
		put_variable(r, json_at(env, i));
	put_mounts(r, c);
}

static const struct json *status_of(const struct json *list, struct str name)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(get(json_at(list, i), "name", NULL), name))
			return json_at(list, i);
	return NULL;
}

static void put_containers(struct rctl *r, const struct json *spec, const struct json *status)
{
	static const struct {
		const char *title, *list, *statuses;
	} lists[] = { { "Init Containers", "initContainers", "initContainerStatuses" },
		      { "Containers", "containers", "containerStatuses" } };
	for (size_t l = 0; l < 2; l++) {
		const struct json *list = json_getc(spec, lists[l].list);
		if (json_len(list))
			describe_line(0, lists[l].title, "%s", "");
		for (size_t i = 0; i < json_len(list); i++) {
			const struct json *c = json_at(list, i);
			struct json none = json_object();
			const struct json *st = status_of(json_getc(status, lists[l].statuses),
							  get(c, "name", NULL));
			put_container(r, c, status && !st ? &none : st);
		}
	}
}

static void put_volumes(struct rctl *r, const struct json *list)
{
	describe_line(0, "Volumes", "%s", json_len(list) ? "" : "<none>");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *v = json_at(list, i);
		(void)printf("  %s:\n", plain(r, json_getc(v, "name"), ""));
		for (size_t k = 0; k < json_len(v); k++) {
			struct str type = json_str(&v->members[k].key);
			const struct json *src = &v->members[k].value;
			if (str_is(type, "name"))
				continue;
			describe_line(4, "Type", "%.*s", STR_ARG(type));
			for (size_t m = 0; json_is(src, JSON_OBJECT) && m < json_len(src); m++)
				describe_line(4, plain(r, &src->members[m].key, ""), "%s",
					      plain(r, &src->members[m].value, ""));
		}
	}
}

static void put_tolerations(const struct json *list)
{
	if (!json_len(list))
		describe_line(0, "Tolerations", "<none>");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *t = json_at(list, i);
		struct buf b = { 0 };
		struct str value = get(t, "value", NULL), effect = get(t, "effect", NULL);
		buf_add_str(&b, get(t, "key", NULL));
		if (value.len)
			buf_addf(&b, "=%.*s", STR_ARG(value));
		if (effect.len)
			buf_addf(&b, ":%.*s", STR_ARG(effect));
		if (str_is(get(t, "operator", NULL), "Exists"))
			buf_adds(&b, " op=Exists");
		if (json_getc(t, "tolerationSeconds"))
			buf_addf(&b, " for %llds", (long long)number(t, "tolerationSeconds"));
		if (i == 0)
			describe_line(0, "Tolerations", "%s", buf_cstr(&b));
		else
			(void)printf("%*s %s\n", DESCRIBE_WIDTH, "", buf_cstr(&b));
		buf_fini(&b);
	}
}

/* ---- pods and what makes them ---- */

static void put_pod(struct rctl *r, struct json *obj)
{
	const struct json *spec = json_getc(obj, "spec"), *status = json_getc(obj, "status");
	struct str host = get(status, "hostIP", NULL);
	const char *node = plain(r, json_getc(spec, "nodeName"), "<none>");
	if (json_getc(spec, "priority"))
		describe_line(0, "Priority", "%lld", (long long)number(spec, "priority"));
	line_if(r, 0, "Priority Class Name", json_getc(spec, "priorityClassName"));
	describe_line(0, "Service Account", "%s",
		      plain(r, json_getc(spec, "serviceAccountName"), "default"));
	describe_line(0, "Node", "%s%s%.*s", node, host.len ? "/" : "", STR_ARG(host));
	line_if(r, 0, "Start Time", json_getc(status, "startTime"));
	describe_line(0, "Status", "%s",
		      json_dig(obj, "metadata", "deletionTimestamp", NULL)
			      ? "Terminating"
			      : plain(r, json_getc(status, "phase"), "Unknown"));
	line_if(r, 0, "Reason", json_getc(status, "reason"));
	line_if(r, 0, "Message", json_getc(status, "message"));
	describe_line(0, "IP", "%s", plain(r, json_getc(status, "podIP"), ""));
	put_containers(r, spec, status);
	describe_conditions(json_getc(status, "conditions"));
	put_volumes(r, json_getc(spec, "volumes"));
	describe_line(0, "QoS Class", "%s", plain(r, json_getc(status, "qosClass"), "BestEffort"));
	describe_pairs(r, 0, "Node-Selectors", json_getc(spec, "nodeSelector"), "=");
	put_tolerations(json_getc(spec, "tolerations"));
}

static void put_template(struct rctl *r, const struct json *spec)
{
	const struct json *t = json_getc(spec, "template");
	describe_line(0, "Pod Template", "%s", "");
	describe_pairs(r, 2, "Labels", json_dig(t, "metadata", "labels", NULL), "=");
	line_if(r, 2, "Service Account", json_dig(t, "spec", "serviceAccountName", NULL));
	put_containers(r, json_getc(t, "spec"), NULL);
	put_volumes(r, json_dig(t, "spec", "volumes", NULL));
}

static void put_deployment(struct rctl *r, struct json *obj)
{
	const struct json *spec = json_getc(obj, "spec"), *st = json_getc(obj, "status");
	const struct json *rolling = json_dig(spec, "strategy", "rollingUpdate", NULL);
	describe_pairs(r, 0, "Selector", json_dig(spec, "selector", "matchLabels", NULL), "=");
	describe_line(
		0, "Replicas",
		"%lld desired | %lld updated | %lld total | %lld available | %lld unavailable",
		(long long)json_i64(json_getc(spec, "replicas"), 1),
		(long long)number(st, "updatedReplicas"), (long long)number(st, "replicas"),
		(long long)number(st, "availableReplicas"),
		(long long)number(st, "unavailableReplicas"));
	describe_line(0, "StrategyType", "%s",
		      plain(r, json_dig(spec, "strategy", "type", NULL), "RollingUpdate"));
	describe_line(0, "MinReadySeconds", "%lld", (long long)number(spec, "minReadySeconds"));
	if (rolling)
		describe_line(0, "RollingUpdate", "%s max unavailable, %s max surge",
			      plain(r, json_getc(rolling, "maxUnavailable"), "25%"),
			      plain(r, json_getc(rolling, "maxSurge"), "25%"));
	put_template(r, spec);
	describe_conditions(json_getc(st, "conditions"));
}

static void put_replica_set(struct rctl *r, struct json *obj)
{
	const struct json *spec = json_getc(obj, "spec"), *st = json_getc(obj, "status");
	describe_pairs(r, 0, "Selector", json_dig(spec, "selector", "matchLabels", NULL), "=");
	describe_line(0, "Replicas", "%lld current / %lld desired",
		      (long long)number(st, "replicas"),
		      (long long)json_i64(json_getc(spec, "replicas"), 1));
	describe_line(0, "Pods Status", "%lld ready / %lld available",
		      (long long)number(st, "readyReplicas"),
		      (long long)number(st, "availableReplicas"));
	put_template(r, spec);
	describe_conditions(json_getc(st, "conditions"));
}

/* ---- nodes ---- */

enum { SUMS = 4 };

struct share {
	const char *member, *resource;
	struct quantity sum;
};

static struct quantity takes(const struct json *pod, const struct share *s)
{
	struct quantity sum = quantity_of_value(0, QUANTITY_DECIMAL_SI), q;
	const struct json *list = json_dig(pod, "spec", "containers", NULL);
	for (size_t i = 0; i < json_len(list); i++) {
		struct str v = json_str(
			json_dig(json_at(list, i), "resources", s->member, s->resource, NULL));
		if (v.len && quantity_parse(v, &q, NULL) == 0)
			sum = quantity_add(sum, q);
	}
	return sum;
}

static const char *quantity_text(struct rctl *r, struct quantity q)
{
	struct buf b = { 0 };
	quantity_write(&b, q);
	const char *s = arena_strdup(&r->arena, buf_cstr(&b));
	buf_fini(&b);
	return s;
}

static void put_node_pods(struct rctl *r, struct str node)
{
	struct quantity zero = quantity_of_value(0, QUANTITY_DECIMAL_SI);
	struct share all[SUMS] = { { "requests", "cpu", zero },
				   { "limits", "cpu", zero },
				   { "requests", "memory", zero },
				   { "limits", "memory", zero } };
	struct json list;
	struct error err = { 0 };
	char *path = arena_printf(
		&r->arena,
		"/api/v1/pods?fieldSelector=spec.nodeName%%3D%.*s%%2Cstatus.phase%%21%%"
		"3DSucceeded%%2Cstatus.phase%%21%%3DFailed",
		STR_ARG(node));
	if (rctl_get_json(r, path, &list, &err) != 0)
		return;
	const struct json *items = json_getc(&list, "items");
	(void)printf("Non-terminated Pods:  (%zu in total)\n", json_len(items));
	if (json_len(items))
		(void)printf("  %-16s %-36s %-12s %-10s %-15s %s\n", "Namespace", "Name",
			     "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *pod = json_at(items, i);
		const char *cell[SUMS];
		for (size_t k = 0; k < SUMS; k++) {
			struct quantity q = takes(pod, &all[k]);
			all[k].sum = quantity_add(all[k].sum, q);
			cell[k] = quantity_text(r, q);
		}
		(void)printf("  %-16.*s %-36.*s %-12s %-10s %-15s %s\n",
			     STR_ARG(get(pod, "metadata", "namespace")),
			     STR_ARG(get(pod, "metadata", "name")), cell[0], cell[1], cell[2],
			     cell[3]);
	}
	(void)printf("Allocated resources:\n  %-10s %-12s %s\n", "Resource", "Requests", "Limits");
	for (size_t k = 0; k < SUMS; k += 2)
		(void)printf("  %-10s %-12s %s\n", all[k].resource, quantity_text(r, all[k].sum),
			     quantity_text(r, all[k + 1].sum));
}

static void put_all(struct rctl *r, const char *title, const struct json *obj)
{
	if (!json_len(obj))
		return;
	describe_line(0, title, "%s", "");
	for (size_t i = 0; i < json_len(obj); i++)
		describe_line(2, plain(r, &obj->members[i].key, ""), "%s",
			      plain(r, &obj->members[i].value, ""));
}

static void put_node(struct rctl *r, struct json *obj)
{
	const struct json *spec = json_getc(obj, "spec"), *st = json_getc(obj, "status");
	const struct json *taints = json_getc(spec, "taints");
	const struct json *addresses = json_getc(st, "addresses");
	for (size_t i = 0; i < json_len(taints); i++) {
		const struct json *t = json_at(taints, i);
		struct str value = get(t, "value", NULL);
		char *text = arena_printf(&r->arena, "%.*s%s%.*s:%.*s",
					  STR_ARG(get(t, "key", NULL)), value.len ? "=" : "",
					  STR_ARG(value), STR_ARG(get(t, "effect", NULL)));
		if (i == 0)
			describe_line(0, "Taints", "%s", text);
		else
			(void)printf("%*s %s\n", DESCRIBE_WIDTH, "", text);
	}
	if (!json_len(taints))
		describe_line(0, "Taints", "<none>");
	describe_line(0, "Unschedulable", "%s",
		      json_bool(json_getc(spec, "unschedulable"), false) ? "true" : "false");
	describe_conditions(json_getc(st, "conditions"));
	describe_line(0, "Addresses", "%s", json_len(addresses) ? "" : "<none>");
	for (size_t i = 0; i < json_len(addresses); i++)
		describe_line(2, plain(r, json_getc(json_at(addresses, i), "type"), ""), "%s",
			      plain(r, json_getc(json_at(addresses, i), "address"), ""));
	put_all(r, "Capacity", json_getc(st, "capacity"));
	put_all(r, "Allocatable", json_getc(st, "allocatable"));
	put_all(r, "System Info", json_getc(st, "nodeInfo"));
	put_node_pods(r, get(obj, "metadata", "name"));
}

/* ---- namespaces, ConfigMaps, Secrets ---- */

static void put_namespace(struct rctl *r, struct json *obj)
{
	struct json list;
	struct error err = { 0 };
	struct str ns = get(obj, "metadata", "name");
	describe_line(0, "Status", "%s",
		      plain(r, json_dig(obj, "status", "phase", NULL), "Active"));
	describe_conditions(json_dig(obj, "status", "conditions", NULL));
	char *path = arena_printf(&r->arena, "/api/v1/namespaces/%.*s/resourcequotas", STR_ARG(ns));
	const struct json *items =
		rctl_get_json(r, path, &list, &err) ? NULL : json_getc(&list, "items");
	if (!json_len(items))
		(void)puts("\nNo resource quota.");
	else
		(void)printf("\nResource Quotas\n  %-32s %-14s %s\n", "Resource", "Used", "Hard");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *q = json_at(items, i);
		const struct json *hard = json_dig(q, "spec", "hard", NULL);
		(void)printf("  Name: %.*s\n", STR_ARG(get(q, "metadata", "name")));
		for (size_t k = 0; k < json_len(hard); k++)
			(void)printf("  %-32s %-14s %s\n", plain(r, &hard->members[k].key, ""),
				     plain(r,
					   json_get(json_dig(q, "status", "used", NULL),
						    json_str(&hard->members[k].key)),
					   "0"),
				     plain(r, &hard->members[k].value, ""));
	}
	path = arena_printf(&r->arena, "/api/v1/namespaces/%.*s/limitranges", STR_ARG(ns));
	items = rctl_get_json(r, path, &list, &err) ? NULL : json_getc(&list, "items");
	if (!json_len(items))
		(void)puts("\nNo LimitRange resource.");
	for (size_t i = 0; i < json_len(items); i++)
		(void)printf("%sLimitRange: %.*s ('rctl describe limitrange' shows it)\n",
			     i ? "" : "\n", STR_ARG(get(json_at(items, i), "metadata", "name")));
	(void)puts("");
}

static void put_config_map(struct rctl *r, struct json *obj)
{
	const struct json *data = json_getc(obj, "data"), *binary = json_getc(obj, "binaryData");
	(void)puts("\nData\n====");
	for (size_t i = 0; i < json_len(data); i++)
		(void)printf("%s:\n----\n%s\n\n", plain(r, &data->members[i].key, ""),
			     plain(r, &data->members[i].value, ""));
	(void)puts("\nBinaryData\n====");
	for (size_t i = 0; i < json_len(binary); i++)
		(void)printf("%s: %zu bytes\n", plain(r, &binary->members[i].key, ""),
			     json_str(&binary->members[i].value).len / 4 * 3);
	(void)puts("");
}

static size_t decoded_len(struct str base64)
{
	size_t pad = 0;
	while (pad < 2 && base64.len > pad && base64.p[base64.len - 1 - pad] == '=')
		pad++;
	return base64.len / 4 * 3 - pad;
}

static void put_secret(struct rctl *r, struct json *obj)
{
	const struct json *data = json_getc(obj, "data");
	(void)puts("");
	describe_line(0, "Type", "%s", plain(r, json_getc(obj, "type"), "Opaque"));
	(void)puts("\nData\n====");
	for (size_t i = 0; i < json_len(data); i++)
		describe_line(0, plain(r, &data->members[i].key, ""), "%zu bytes",
			      decoded_len(json_str(&data->members[i].value)));
	(void)puts("");
}

bool describe_kind(struct rctl *r, struct json *obj)
{
	static const struct {
		const char *version, *kind;
		void (*put)(struct rctl *r, struct json *obj);
	} kinds[] = {
		{ "v1", "Pod", put_pod },
		{ "v1", "Node", put_node },
		{ "v1", "Namespace", put_namespace },
		{ "v1", "ConfigMap", put_config_map },
		{ "v1", "Secret", put_secret },
		{ "apps/v1", "Deployment", put_deployment },
		{ "apps/v1", "ReplicaSet", put_replica_set },
	};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (str_is(get(obj, "kind", NULL), kinds[i].kind) &&
		    str_is(get(obj, "apiVersion", NULL), kinds[i].version)) {
			kinds[i].put(r, obj);
			return true;
		}
	return false;
}
