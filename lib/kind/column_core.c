/* Nodes, events, services and jobs as Kubernetes prints them. */
#include "kind/hooks.h"
#include "text/duration.h"
#include "text/rfc3339.h"

static const struct json *list_at(const struct json *obj, const char *where, const char *name)
{
	const struct json *list = json_dig(obj, where, name, NULL);
	return json_is(list, JSON_ARRAY) ? list : NULL;
}

static void finish(struct kind_cell *c, struct buf *b)
{
	cell_str(c, b->len ? buf_str(b) : STR("<none>"));
	buf_fini(b);
}

/* ---- nodes ---- */

void cell_node_status(struct kind_cell *c)
{
	const struct json *list = list_at(c->obj, "status", "conditions");
	const char *word = "Unknown";
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *x = json_at(list, i);
		if (str_is(json_str(json_getc(x, "type")), "Ready"))
			word = str_is(json_str(json_getc(x, "status")), "True") ? "Ready"
										: "NotReady";
	}
	bool off = json_bool(json_dig(c->obj, "spec", "unschedulable", NULL), false);
	cell_str(c, arena_strf(c->arena, "%s%s", word, off ? ",SchedulingDisabled" : ""));
}

void cell_node_roles(struct kind_cell *c)
{
	static const char prefix[] = "node-role.kubernetes.io/";
	const struct json *labels = json_dig(c->obj, "metadata", "labels", NULL);
	struct buf b = { 0 };
	for (size_t i = 0; json_is(labels, JSON_OBJECT) && i < json_len(labels); i++) {
		struct str key = json_str(&labels->members[i].key);
		struct str role = STR_NONE;
		if (str_starts(key, str_of(prefix)))
			role = str_sub(key, sizeof(prefix) - 1, key.len);
		else if (str_is(key, "kubernetes.io/role"))
			role = json_str(&labels->members[i].value);
		if (!role.len)
			continue;
		if (b.len)
			buf_addc(&b, ',');
		buf_add_str(&b, role);
	}
	finish(c, &b);
}

static void node_address(struct kind_cell *c, const char *type)
{
	const struct json *list = list_at(c->obj, "status", "addresses");
	struct str found = STR("<none>");
	for (size_t i = json_len(list); i-- > 0;)
		if (str_is(json_str(json_getc(json_at(list, i), "type")), type))
			found = json_str(json_getc(json_at(list, i), "address"));
	cell_str(c, found);
}

void cell_node_internal_ip(struct kind_cell *c)
{
	node_address(c, "InternalIP");
}

void cell_node_external_ip(struct kind_cell *c)
{
	node_address(c, "ExternalIP");
}

void cell_node_taints(struct kind_cell *c)
{
	const struct json *list = list_at(c->obj, "spec", "taints");
	struct buf b = { 0 };
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *t = json_at(list, i);
		struct str value = json_str(json_getc(t, "value"));
		buf_addf(&b, "%s%.*s%s%.*s:%.*s", i ? "," : "",
			 STR_ARG(json_str(json_getc(t, "key"))), value.len ? "=" : "",
			 STR_ARG(value), STR_ARG(json_str(json_getc(t, "effect"))));
	}
	finish(c, &b);
}

/* ---- events ---- */

static const struct json *first_of(const struct json *a, const struct json *b, const struct json *c)
{
	if (json_str(a).len)
		return a;
	return json_str(b).len ? b : c;
}

void cell_event_first_seen(struct kind_cell *c)
{
	cell_age(
		c,
		first_of(json_getc(c->obj, "firstTimestamp"), json_getc(c->obj, "eventTime"), NULL),
		"<unknown>");
}

void cell_event_last_seen(struct kind_cell *c)
{
	const struct json *series = json_dig(c->obj, "series", "lastObservedTime", NULL);
	const struct json *last = json_getc(c->obj, "lastTimestamp");
	const struct json *at = first_of(series, last, NULL);
	if (json_str(at).len)
		cell_age(c, at, "<unknown>");
	else
		cell_event_first_seen(c);
}

void cell_event_object(struct kind_cell *c)
{
	const struct json *o = json_getc(c->obj, "involvedObject");
	struct str kind = json_str(json_getc(o, "kind"));
	struct buf b = { 0 };
	for (size_t i = 0; i < kind.len; i++)
		buf_addc(&b,
			 (char)(kind.p[i] >= 'A' && kind.p[i] <= 'Z' ? kind.p[i] + 32 : kind.p[i]));
	buf_addf(&b, "/%.*s", STR_ARG(json_str(json_getc(o, "name"))));
	cell_str(c, buf_str(&b));
	buf_fini(&b);
}

void cell_event_source(struct kind_cell *c)
{
	const struct json *source = json_getc(c->obj, "source");
	struct str component = json_str(json_getc(source, "component"));
	struct str host = json_str(json_getc(source, "host"));
	if (!component.len)
		component = json_str(json_getc(c->obj, "reportingComponent"));
	if (!host.len)
		host = json_str(json_getc(c->obj, "reportingInstance"));
	cell_str(c, arena_strf(c->arena, "%.*s%s%.*s", STR_ARG(component), host.len ? ", " : "",
			       STR_ARG(host)));
}

void cell_event_count(struct kind_cell *c)
{
	int64_t n = json_i64(json_dig(c->obj, "series", "count", NULL), 0);
	if (n == 0)
		n = json_i64(json_getc(c->obj, "count"), 0);
	cell_str(c, arena_strf(c->arena, "%lld", (long long)(n ? n : 1)));
}

/* ---- services ---- */

void cell_service_ports(struct kind_cell *c)
{
	const struct json *list = list_at(c->obj, "spec", "ports");
	struct buf b = { 0 };
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *p = json_at(list, i);
		struct str protocol = json_str(json_getc(p, "protocol"));
		long long node = json_i64(json_getc(p, "nodePort"), 0);
		buf_addf(&b, "%s%lld", i ? "," : "", (long long)json_i64(json_getc(p, "port"), 0));
		if (node)
			buf_addf(&b, ":%lld", node);
		buf_addf(&b, "/%.*s", STR_ARG(protocol.len ? protocol : STR("TCP")));
	}
	finish(c, &b);
}

static void add_address(struct buf *b, struct str s)
{
	if (!s.len)
		return;
	if (b->len)
		buf_addc(b, ',');
	buf_add_str(b, s);
}

void cell_service_external_ip(struct kind_cell *c)
{
	const struct json *spec = json_getc(c->obj, "spec");
	struct str type = json_str(json_getc(spec, "type"));
	struct buf b = { 0 };
	const struct json *in = json_dig(c->obj, "status", "loadBalancer", "ingress", NULL);
	bool balanced = str_is(type, "LoadBalancer");
	if (str_is(type, "ExternalName"))
		add_address(&b, json_str(json_getc(spec, "externalName")));
	for (size_t i = 0; balanced && i < json_len(in); i++) {
		struct str ip = json_str(json_getc(json_at(in, i), "ip"));
		add_address(&b, ip.len ? ip : json_str(json_getc(json_at(in, i), "hostname")));
	}
	const struct json *ips = json_getc(spec, "externalIPs");
	for (size_t i = 0; i < json_len(ips); i++)
		add_address(&b, json_str(json_at(ips, i)));
	if (balanced && !b.len)
		buf_adds(&b, "<pending>");
	finish(c, &b);
}

/* ---- jobs ---- */

static bool job_condition(const struct kind_cell *c, const char *type)
{
	const struct json *list = list_at(c->obj, "status", "conditions");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *x = json_at(list, i);
		if (str_is(json_str(json_getc(x, "type")), type) &&
		    str_is(json_str(json_getc(x, "status")), "True"))
			return true;
	}
	return false;
}

void cell_job_status(struct kind_cell *c)
{
	const char *word = "Running";
	if (job_condition(c, "Complete"))
		word = "Complete";
	else if (job_condition(c, "Failed"))
		word = "Failed";
	else if (json_is(json_dig(c->obj, "metadata", "deletionTimestamp", NULL), JSON_STRING))
		word = "Terminating";
	else if (job_condition(c, "Suspended"))
		word = "Suspended";
	else if (job_condition(c, "FailureTarget"))
		word = "FailureTarget";
	else if (job_condition(c, "SuccessCriteriaMet"))
		word = "SuccessCriteriaMet";
	cell_str(c, str_of(word));
}

void cell_job_completions(struct kind_cell *c)
{
	const struct json *spec = json_getc(c->obj, "spec");
	const struct json *want = json_getc(spec, "completions");
	long long done = json_i64(json_dig(c->obj, "status", "succeeded", NULL), 0);
	long long parallel = json_i64(json_getc(spec, "parallelism"), 0);
	if (json_is(want, JSON_INT))
		cell_str(c, arena_strf(c->arena, "%lld/%lld", done, (long long)want->i));
	else if (parallel > 1)
		cell_str(c, arena_strf(c->arena, "%lld/1 of %lld", done, parallel));
	else
		cell_str(c, arena_strf(c->arena, "%lld/1", done));
}

void cell_job_duration(struct kind_cell *c)
{
	const struct json *status = json_getc(c->obj, "status");
	struct buf b = { 0 };
	int64_t start, end = c->now_s;
	if (rfc3339_parse(json_str(json_getc(status, "startTime")), &start, NULL)) {
		(void)rfc3339_parse(json_str(json_getc(status, "completionTime")), &end, NULL);
		duration_write_human(&b, end - start);
	}
	cell_str(c, buf_str(&b));
	buf_fini(&b);
}
