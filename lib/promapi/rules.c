#include "promapi/rules.h"

#include "apiserver/apiserver.h"
#include "base/arena.h"
#include "http/server.h"
#include "json/json.h"
#include "text/duration.h"
#include "text/url.h"
#include "watch/watch.h"

/* ---- the answer ---- */

static const struct json *empty_or(const struct json *j, const struct json *empty)
{
	return json_is(j, JSON_OBJECT) ? j : empty;
}

static void add_object(struct buf *out, const char *key, const struct json *j)
{
	const struct json none = json_object();
	buf_addf(out, ",\"%s\":", key);
	json_write(out, empty_or(j, &none));
}

static void add_string(struct buf *out, const char *key, struct str s)
{
	buf_addf(out, ",\"%s\":", key);
	json_write_str(out, s);
}

/* A duration in seconds: "5m" is 300. */
static void add_seconds(struct buf *out, const char *key, struct str text)
{
	int64_t ms = 0;
	if (text.len && duration_parse_prom(text, &ms, NULL) != 0)
		ms = 0;
	buf_addf(out, ",\"%s\":", key);
	json_write_double(out, (double)ms / 1000);
}

/* Whether an alert of the status is one of this rule: its name and the labels that the rule sets. */
static bool is_of(const struct json *alert, const struct json *rule)
{
	const struct json *labels = json_getc(alert, "labels");
	const struct json *own = json_getc(rule, "labels");
	if (!str_eq(json_str(json_getc(labels, "alertname")), json_str(json_getc(rule, "alert"))))
		return false;
	for (size_t i = 0; json_is(own, JSON_OBJECT) && i < json_len(own); i++) {
		const struct json_member *m = &own->members[i];
		/* what is written with a template is another text in the alert */
		if (str_find_str(json_str(&m->value), STR("{{"), 0) < 0 &&
		    !str_eq(json_str(json_get(labels, json_str(&m->key))), json_str(&m->value)))
			return false;
	}
	return true;
}

static void add_alert(struct buf *out, const struct json *alert, const struct json *rule)
{
	buf_adds(out, "{\"state\":");
	json_write_str(out, json_str(json_getc(alert, "state")));
	add_object(out, "labels", json_getc(alert, "labels"));
	add_object(out, "annotations", json_getc(rule, "annotations"));
	add_string(out, "activeAt", json_str(json_getc(alert, "activeAt")));
	buf_adds(out, ",\"value\":\"\"}");
}

/* The alerts of a rule, "firing", "pending" or "inactive" in *state. */
static size_t add_alerts(struct buf *out, const struct json *status, const struct json *rule,
			 size_t n, const char **state)
{
	const struct json *list = json_getc(status, "alerts");
	*state = "inactive";
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *a = json_at(list, i);
		if (!is_of(a, rule))
			continue;
		bool fires = str_is(json_str(json_getc(a, "state")), "firing");
		if (fires || *state[0] == 'i')
			*state = fires ? "firing" : "pending";
		buf_adds(out, n++ ? "," : "");
		add_alert(out, a, rule);
	}
	return n;
}

static void add_health(struct buf *out, const struct json *status)
{
	const struct json *list = json_getc(status, "conditions");
	const struct json *bad = NULL;
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_getc(json_at(list, i), "status")), "False"))
			bad = json_at(list, i);
	add_string(out, "health", bad ? STR("err") : json_len(list) ? STR("ok") : STR("unknown"));
	if (bad)
		add_string(out, "lastError", json_str(json_getc(bad, "message")));
}

static void add_rule(struct buf *out, const struct json *status, const struct json *rule)
{
	struct str alert = json_str(json_getc(rule, "alert"));
	const char *state = "";
	buf_adds(out, "{\"name\":");
	json_write_str(out, alert.len ? alert : json_str(json_getc(rule, "record")));
	add_string(out, "query", json_str(json_getc(rule, "expr")));
	add_object(out, "labels", json_getc(rule, "labels"));
	add_health(out, status);
	if (alert.len) {
		add_seconds(out, "duration", json_str(json_getc(rule, "for")));
		add_seconds(out, "keepFiringFor", json_str(json_getc(rule, "keep_firing_for")));
		add_object(out, "annotations", json_getc(rule, "annotations"));
		buf_adds(out, ",\"alerts\":[");
		(void)add_alerts(out, status, rule, 0, &state);
		buf_addf(out, "],\"state\":\"%s\"", state);
	}
	buf_addf(out, ",\"type\":\"%s\"}", alert.len ? "alerting" : "recording");
}

static bool is_wanted(const struct promapi_rules *r, const struct json *rule)
{
	bool alert = json_str(json_getc(rule, "alert")).len > 0;
	return !r->type.len || str_is(r->type, alert ? "alert" : "record");
}

static void add_group(struct promapi_rules *r, const struct json *object, const struct json *group)
{
	struct buf *out = &r->out;
	const struct json *rules = json_getc(group, "rules");
	const struct json *meta = json_getc(object, "metadata");
	struct str interval = json_str(json_getc(group, "interval"));
	size_t n = 0;
	buf_adds(out, r->n++ ? ",{\"name\":" : "{\"name\":");
	json_write_str(out, json_str(json_getc(group, "name")));
	buf_addf(out, ",\"file\":\"%.*s/%.*s/%.*s\"", STR_ARG(json_str(json_getc(object, "kind"))),
		 STR_ARG(json_str(json_getc(meta, "namespace"))),
		 STR_ARG(json_str(json_getc(meta, "name"))));
	add_seconds(out, "interval", interval);
	buf_adds(out, ",\"limit\":0,\"rules\":[");
	for (size_t i = 0; i < json_len(rules); i++) {
		if (!is_wanted(r, json_at(rules, i)))
			continue;
		buf_adds(out, n++ ? "," : "");
		add_rule(out, json_getc(object, "status"), json_at(rules, i));
	}
	buf_adds(out, "]}");
}

void promapi_rules_object(struct promapi_rules *r, const struct json *object)
{
	const struct json *groups = json_dig(object, "spec", "groups", NULL);
	const char *state = "";
	for (size_t i = 0; i < json_len(groups); i++) {
		const struct json *rules = json_getc(json_at(groups, i), "rules");
		if (!r->alerts)
			add_group(r, object, json_at(groups, i));
		for (size_t k = 0; r->alerts && k < json_len(rules); k++)
			if (json_str(json_getc(json_at(rules, k), "alert")).len)
				r->n = add_alerts(&r->out, json_getc(object, "status"),
						  json_at(rules, k), r->n, &state);
	}
}

/* ---- the routes ---- */

static bool on_object(void *arg, struct watch_obj *o)
{
	struct arena a = { 0 };
	struct json doc;
	if (json_parse(&a, watch_obj_json(o), NULL, &doc, NULL) == 0)
		promapi_rules_object(arg, &doc);
	arena_fini(&a);
	return true;
}

static void serve(struct apiserver *api, bool alerts, struct http_request *req,
		  const struct apiserver_info *info)
{
	struct arena a = { 0 };
	struct buf b = { 0 };
	struct promapi_rules r = { .alerts = alerts };
	struct watch_snap *snap = watch_snap_get(apiserver_cache(api));
	r.type = alerts ? STR("") : url_query_get(&a, info->query, "type");
	watch_snap_walk(snap, STR("monitoring.rctl.io/alertrules/"), STR(""), on_object, &r);
	watch_snap_walk(snap, STR("monitoring.coreos.com/prometheusrules/"), STR(""), on_object,
			&r);
	watch_snap_unref(snap);
	buf_addf(&b, "{\"status\":\"success\",\"data\":{\"%s\":[", alerts ? "alerts" : "groups");
	buf_add_str(&b, buf_str(&r.out));
	buf_adds(&b, "]}}\n");
	http_reply_text(req, 200, "application/json", buf_str(&b));
	buf_fini(&r.out);
	buf_fini(&b);
	arena_fini(&a);
}

static void serve_rules(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, false, req, info);
}

static void serve_alerts(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, true, req, info);
}

void promapi_rules_add(struct apiserver *api)
{
	const struct apiserver_route rules = {
		.prefix = "/api/v1/rules", .exact = true, .fn = serve_rules, .arg = api
	};
	const struct apiserver_route alerts = {
		.prefix = "/api/v1/alerts", .exact = true, .fn = serve_alerts, .arg = api
	};
	apiserver_add_route(api, &rules);
	apiserver_add_route(api, &alerts);
}
