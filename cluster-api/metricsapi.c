#include "metricsapi.h"

#include "apiserver/relay.h"
#include "base/mem.h"
#include "http/server.h"
#include "json/json.h"
#include "peerway.h"
#include "selector/label.h"
#include "sys/clock.h"
#include "telemetry/mstore.h"
#include "text/rfc3339.h"
#include "text/url.h"
#include "watch/watch.h"

#include <inttypes.h>
#include <stdlib.h>

#define PREFIX "/apis/metrics.k8s.io/v1beta1/"

enum { WINDOW_S = 30, ANSWER_BYTES_MAX = 64 << 20, ANSWER_VALUES_MAX = 10000000 };

struct metricsapi {
	struct apiserver *api;
	struct loop *loop;
	struct mstore *store;
	struct peerway *peerway;
};

/* What one node, or one container, uses. */
struct usage {
	struct str ns, name, container;
	double cpu, memory;
	bool has_cpu, has_memory;
};

struct asked {
	struct metricsapi *api;
	struct arena arena;
	struct relay *relay;
	bool nodes;
	bool gone, answered;
	struct str ns, name; /* "" = all */
	struct label_selector selector;
	struct error err;
	struct map by_key; /* ns/name/container → struct usage */
	struct usage **list;
	size_t len, cap;
};

static void asked_free(struct asked *a)
{
	relay_done(a->relay);
	map_fini(&a->by_key);
	mem_free(a->list);
	arena_fini(&a->arena);
	mem_free(a);
}

/* ---- the answer ---- */

static void write_usage(struct buf *b, const struct usage *u)
{
	buf_addf(b, "{\"cpu\":\"%" PRId64 "n\",\"memory\":\"%" PRId64 "Ki\"}",
		 (int64_t)(u->cpu * 1e9), (int64_t)(u->memory / 1024));
}

static struct watch_obj *object_of(const struct asked *a, struct watch_snap *snap,
				   const struct usage *u)
{
	struct buf key = { 0 };
	if (a->nodes)
		buf_addf(&key, "/nodes//%.*s", STR_ARG(u->name));
	else
		buf_addf(&key, "/pods/%.*s/%.*s", STR_ARG(u->ns), STR_ARG(u->name));
	struct watch_obj *o = watch_snap_find(snap, buf_str(&key));
	buf_fini(&key);
	return o;
}

static struct str label_get(void *arg, struct str key)
{
	struct str v = STR_NONE;
	if (!watch_obj_label(arg, key, &v))
		return STR_NONE;
	return v.p ? v : STR("");
}

static void write_head(struct buf *b, const struct asked *a, const struct usage *u,
		       const struct watch_obj *o)
{
	buf_addf(b, "{\"kind\":\"%s\",\"apiVersion\":\"metrics.k8s.io/v1beta1\",\"metadata\":{",
		 a->nodes ? "NodeMetrics" : "PodMetrics");
	buf_adds(b, "\"name\":");
	json_write_str(b, u->name);
	if (!a->nodes) {
		buf_adds(b, ",\"namespace\":");
		json_write_str(b, u->ns);
	}
	buf_adds(b, ",\"creationTimestamp\":\"");
	rfc3339_write(b, clock_unix_ms() / 1000);
	buf_addc(b, '"');
	for (size_t i = 0; i < watch_obj_labels(o); i++) {
		buf_adds(b, i ? "," : ",\"labels\":{");
		json_write_str(b, watch_obj_label_key(o, i));
		buf_addc(b, ':');
		json_write_str(b, watch_obj_label_value(o, i));
	}
	buf_adds(b, watch_obj_labels(o) ? "}},\"timestamp\":\"" : "},\"timestamp\":\"");
	rfc3339_write(b, clock_unix_ms() / 1000);
	buf_addf(b, "\",\"window\":\"%ds\",", WINDOW_S);
}

/* The item that begins at list[i]; returns how many entries it took. */
static size_t write_item(struct buf *b, struct asked *a, size_t i, const struct watch_obj *o)
{
	const struct usage *first = a->list[i];
	size_t n = 0;
	write_head(b, a, first, o);
	if (a->nodes) {
		buf_adds(b, "\"usage\":");
		write_usage(b, first);
		buf_addc(b, '}');
		return 1;
	}
	buf_adds(b, "\"containers\":[");
	for (; i + n < a->len && str_eq(a->list[i + n]->ns, first->ns) &&
	       str_eq(a->list[i + n]->name, first->name);
	     n++) {
		buf_adds(b, n ? ",{\"name\":" : "{\"name\":");
		json_write_str(b, a->list[i + n]->container);
		buf_adds(b, ",\"usage\":");
		write_usage(b, a->list[i + n]);
		buf_addc(b, '}');
	}
	buf_adds(b, "]}");
	return n;
}

static int by_name(const void *x, const void *y)
{
	const struct usage *a = *(struct usage *const *)x, *b = *(struct usage *const *)y;
	int c = str_cmp(a->ns, b->ns);
	if (!c)
		c = str_cmp(a->name, b->name);
	return c ? c : str_cmp(a->container, b->container);
}

static size_t write_items(struct asked *a, struct buf *b)
{
	struct watch_snap *snap = watch_snap_get(apiserver_cache(a->api->api));
	size_t written = 0;
	if (a->len)
		qsort(a->list, a->len, sizeof(*a->list), by_name);
	for (size_t i = 0; i < a->len;) {
		struct watch_obj *o = object_of(a, snap, a->list[i]);
		if (!o || !label_selector_match(&a->selector, label_get, o)) {
			i++;
			continue;
		}
		if (written++)
			buf_addc(b, ',');
		i += write_item(b, a, i, o);
	}
	watch_snap_unref(snap);
	return written;
}

static void reply(struct asked *a, struct str body)
{
	relay_begin(a->relay, 200, STR("application/json"));
	relay_write(a->relay, body);
	relay_end(a->relay);
}

static void fail(struct asked *a, const struct error *err)
{
	a->answered = true;
	relay_fail(a->relay, err);
}

static void answer(struct asked *a)
{
	struct buf b = { 0 };
	struct error err = { 0 };
	if (!a->name.len)
		buf_addf(&b,
			 "{\"kind\":\"%s\",\"apiVersion\":\"metrics.k8s.io/v1beta1\","
			 "\"metadata\":{},\"items\":[",
			 a->nodes ? "NodeMetricsList" : "PodMetricsList");
	size_t n = write_items(a, &b);
	if (!a->name.len)
		buf_adds(&b, "]}");
	a->answered = true;
	if (a->name.len && !n) {
		(void)error_set(&err, ERR_NOT_FOUND, "%smetrics.metrics.k8s.io \"%.*s\" not found",
				a->nodes ? "node" : "pod", STR_ARG(a->name));
		fail(a, &err);
	} else {
		buf_addc(&b, '\n');
		reply(a, buf_str(&b));
	}
	buf_fini(&b);
}

/* ---- two questions to the store ---- */

static struct usage *usage_of(struct asked *a, const struct json *metric)
{
	struct str ns = a->nodes ? STR("") : json_str(json_getc(metric, "namespace"));
	struct str name = json_str(json_getc(metric, a->nodes ? "node" : "pod"));
	struct str container = a->nodes ? STR("") : json_str(json_getc(metric, "container"));
	struct str key = arena_strf(&a->arena, "%.*s/%.*s/%.*s", STR_ARG(ns), STR_ARG(name),
				    STR_ARG(container));
	struct usage *u = map_get(&a->by_key, key);
	if (u)
		return u;
	u = arena_new(&a->arena, struct usage, 1);
	u->ns = ns;
	u->name = name;
	u->container = container;
	(void)map_set(&a->by_key, key, u);
	return u;
}

static int take(struct asked *a, struct str data, bool cpu, struct error *err)
{
	struct json_limits limits = JSON_LIMITS;
	struct json doc;
	limits.bytes_max = ANSWER_BYTES_MAX;
	limits.values_max = ANSWER_VALUES_MAX;
	int rc = json_parse(&a->arena, arena_str(&a->arena, data), &limits, &doc, err);
	const struct json *result = rc ? NULL : json_getc(&doc, "result");
	for (size_t i = 0; i < json_len(result); i++) {
		const struct json *point = json_at(result, i);
		struct usage *u = usage_of(a, json_getc(point, "metric"));
		double v = strtod(json_str(json_at(json_getc(point, "value"), 1)).p, NULL);
		v = v >= 0 ? v : 0;
		if (cpu)
			u->cpu = v;
		else
			u->memory = v;
		u->has_cpu |= cpu;
		u->has_memory |= !cpu;
	}
	return rc;
}

static void keep_complete(struct asked *a)
{
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&a->by_key, &pos, &key, &value)) {
		struct usage *u = value;
		if (!u->has_cpu || !u->has_memory)
			continue;
		mem_grow(a->list, a->len, a->cap);
		a->list[a->len++] = u;
	}
}

static void on_memory(void *arg, const struct error *err, struct str data)
{
	struct asked *a = arg;
	struct error own = { 0 };
	if (a->gone) {
		asked_free(a);
		return;
	}
	if (err || take(a, data, false, &own) != 0) {
		fail(a, err ? err : &own);
		return;
	}
	keep_complete(a);
	answer(a);
}

/* {namespace="ns",pod="p"} and the like; `more` comes first inside. */
static void add_matchers(const struct asked *a, struct buf *b, const char *more)
{
	const struct {
		const char *label;
		struct str value;
	} all[] = { { "namespace", a->ns }, { a->nodes ? "node" : "pod", a->name } };
	buf_addf(b, "{%s", more);
	for (size_t i = 0; i < 2; i++) {
		if (!all[i].value.len)
			continue;
		buf_addf(b, "%s%s=", b->p[b->len - 1] == '{' ? "" : ",", all[i].label);
		json_write_str(b, all[i].value);
	}
	buf_addc(b, '}');
}

static void ask(struct asked *a, struct buf *text, mstore_answer_fn fn)
{
	const struct mstore_ask q = { .kind = MSTORE_QUERY, .text = buf_str(text) };
	mstore_ask(a->api->store, a->api->loop, &q, fn, a);
	buf_fini(text);
}

static void on_cpu(void *arg, const struct error *err, struct str data)
{
	struct asked *a = arg;
	struct error own = { 0 };
	struct buf b = { 0 };
	if (a->gone) {
		asked_free(a);
		return;
	}
	if (err || take(a, data, true, &own) != 0) {
		fail(a, err ? err : &own);
		return;
	}
	if (a->nodes) {
		buf_adds(&b, "max by (node) (node_memory_MemTotal_bytes");
		add_matchers(a, &b, "");
		buf_adds(&b, ") - max by (node) (node_memory_MemAvailable_bytes");
		add_matchers(a, &b, "");
	} else {
		buf_adds(&b, "max by (namespace, pod, container) "
			     "(container_memory_working_set_bytes");
		add_matchers(a, &b, "");
	}
	buf_addc(&b, ')');
	ask(a, &b, on_memory);
}

static void on_start(struct relay *r, void *data)
{
	struct asked *a = data;
	struct buf b = { 0 };
	a->relay = r;
	if (a->err.code) {
		fail(a, &a->err);
		return;
	}
	if (a->nodes) {
		buf_adds(&b, "sum by (node) (irate(node_cpu_seconds_total");
		add_matchers(a, &b, "mode!~\"idle|iowait|steal\"");
	} else {
		buf_adds(&b, "sum by (namespace, pod, container) "
			     "(irate(container_cpu_usage_seconds_total");
		add_matchers(a, &b, "");
	}
	buf_adds(&b, "[2m]))");
	ask(a, &b, on_cpu);
}

static void on_gone(struct relay *r, void *data)
{
	struct asked *a = data;
	(void)r;
	a->gone = true;
	if (a->answered)
		asked_free(a);
}

static const struct relay_handlers RELAY = { .start = on_start, .gone = on_gone };

/* ---- the route ---- */

static int read_request(struct asked *a, const struct http_request *req,
			const struct apiserver_info *info, struct error *err)
{
	const struct auth_action *act = &info->action;
	a->nodes = str_is(act->resource, "nodes");
	if (!a->nodes && !str_is(act->resource, "pods"))
		return error_set(err, ERR_NOT_FOUND,
				 "the server could not find the requested resource");
	if (!str_is(req->method, "GET") || str_is(act->verb, "watch"))
		return error_set(err, ERR_METHOD, "metrics can be read and listed only");
	a->ns = arena_str(&a->arena, act->ns);
	a->name = arena_str(&a->arena, act->name);
	struct str selector = url_query_get(&a->arena, info->query, "labelSelector");
	return label_selector_parse(&a->arena, arena_str(&a->arena, selector), &a->selector, err);
}

static void serve(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	struct metricsapi *m = arg;
	if (intake_down(mstore_intake(m->store)) &&
	    peerway_take_store(m->peerway, req, info, PEERS_METRICS))
		return;
	struct asked *a = mem_new(struct asked, 1);
	a->api = m;
	(void)!read_request(a, req, info, &a->err);
	relay_new(req, a->api->loop, &RELAY, a);
}

struct metricsapi *metricsapi_new(struct apiserver *api, struct loop *loop, struct mstore *store,
				  struct peerway *peerway)
{
	struct metricsapi *m = mem_new(struct metricsapi, 1);
	*m = (struct metricsapi){ api, loop, store, peerway };
	const struct apiserver_route r = { .prefix = PREFIX,
					   .fn = serve,
					   .closed = relay_closed,
					   .drained = relay_drained,
					   .arg = m };
	apiserver_add_route(api, &r);
	apiserver_add_group(api, "metrics.k8s.io", "v1beta1",
			    "[{\"name\":\"nodes\",\"singularName\":\"\",\"namespaced\":false,"
			    "\"kind\":\"NodeMetrics\",\"verbs\":[\"get\",\"list\"]},"
			    "{\"name\":\"pods\",\"singularName\":\"\",\"namespaced\":true,"
			    "\"kind\":\"PodMetrics\",\"verbs\":[\"get\",\"list\"]}]");
	return m;
}

struct metricsapi *metricsapi_free(struct metricsapi *m)
{
	mem_free(m);
	return NULL;
}
