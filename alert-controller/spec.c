#include "spec.h"

#include "base/mem.h"
#include "telemetry/promql.h"
#include "text/base64.h"
#include "text/duration.h"
#include "text/rfc3339.h"

#include <stdio.h>

static struct str keep(struct arena *a, const struct json *j)
{
	return arena_str(a, json_str(j));
}

static int64_t prom_ms(const struct json *j)
{
	int64_t ms = 0;
	struct str s = json_str(j);
	return s.len && duration_parse_prom(s, &ms, NULL) == 0 ? ms : 0;
}

static int64_t go_ms(const struct json *j, int64_t or_else)
{
	int64_t ns = 0;
	struct str s = json_str(j);
	return s.len && duration_parse_go(s, &ns, NULL) == 0 && ns >= 0 ? ns / 1000000 : or_else;
}

/* Sorted by name; members that are no text are left out. */
static struct labels labels_of(struct arena *a, const struct json *obj)
{
	size_t n = json_is(obj, JSON_OBJECT) ? json_len(obj) : 0;
	struct label *v = arena_new(a, struct label, n);
	size_t len = 0;
	for (size_t i = 0; i < n; i++) {
		struct label x = { keep(a, &obj->members[i].key), keep(a, &obj->members[i].value) };
		size_t k = len++;
		for (; k > 0 && str_cmp(v[k - 1].name, x.name) > 0; k--)
			v[k] = v[k - 1];
		v[k] = x;
	}
	return (struct labels){ v, len };
}

struct meta {
	struct str ns, name, uid;
	int64_t generation;
};

static struct meta meta_of(struct arena *a, const struct json *obj)
{
	const struct json *m = json_getc(obj, "metadata");
	return (struct meta){ keep(a, json_getc(m, "namespace")), keep(a, json_getc(m, "name")),
			      keep(a, json_getc(m, "uid")),
			      json_i64(json_getc(m, "generation"), 0) };
}

/* ---- matchers ---- */

static enum matcher_op op_of(struct str s)
{
	if (str_is(s, "!="))
		return MATCHER_NOT_EQUAL;
	if (str_is(s, "=~"))
		return MATCHER_REGEX;
	return str_is(s, "!~") ? MATCHER_NOT_REGEX : MATCHER_EQUAL;
}

static struct matcher *matchers_of(struct arena *a, const struct json *list, size_t *ret_len,
				   struct str *problem)
{
	size_t n = json_len(list);
	struct matcher *m = arena_new(a, struct matcher, n);
	*ret_len = 0;
	for (size_t i = 0; i < n; i++) {
		const struct json *j = json_at(list, i);
		struct error err = { 0 };
		if (matcher_init(&m[i], op_of(json_str(json_getc(j, "op"))),
				 keep(a, json_getc(j, "name")), keep(a, json_getc(j, "value")),
				 &err)) {
			*problem = arena_strf(a, "matcher %zu: %s", i + 1, err.msg);
			return m;
		}
		(*ret_len)++;
	}
	return m;
}

/* ---- AlertRule ---- */

static enum builtin builtin_of(struct str expr)
{
	static const char *const names[BUILTINS] = {
		[BUILTIN_NODE_SILENT] = "rctl_node_silent",
		[BUILTIN_POD_CRASHLOOPING] = "rctl_pod_crashlooping",
		[BUILTIN_ZONE_SILENT] = "rctl_zone_silent",
		[BUILTIN_CLUSTER_SILENT] = "rctl_cluster_silent",
		[BUILTIN_WATCHDOG] = "rctl_watchdog",
	};
	for (int i = BUILTIN_NONE + 1; i < BUILTINS; i++)
		if (str_is(expr, names[i]))
			return (enum builtin)i;
	return BUILTIN_NONE;
}

static void check_expr(struct arena *a, struct rule *r)
{
	struct promql *q = NULL;
	struct error err = { 0 };
	if (r->builtin != BUILTIN_NONE)
		return;
	if (promql_parse(r->expr, &q, &err))
		r->problem = arena_str(a, str_of(err.msg));
	else if (promql_type(q) != PROMQL_VECTOR && promql_type(q) != PROMQL_SCALAR)
		r->problem = STR("the expression gives neither a vector nor a number");
	(void)promql_free(q);
}

static struct str rule_id(struct arena *a, const struct rule_set *s, const struct rule_group *g,
			  size_t rules, struct str alert)
{
	size_t before = 0;
	for (size_t i = 0; i < rules; i++)
		before += str_eq(g->rules[i].alert, alert);
	if (!before)
		return arena_strf(a, "%.*s/%.*s/%.*s", STR_ARG(s->key), STR_ARG(g->name),
				  STR_ARG(alert));
	return arena_strf(a, "%.*s/%.*s/%.*s#%zu", STR_ARG(s->key), STR_ARG(g->name),
			  STR_ARG(alert), before + 1);
}

static void parse_rule(struct rule_set *s, struct rule_group *g, const struct json *j)
{
	struct arena *a = &s->arena;
	struct str alert = json_str(json_getc(j, "alert"));
	if (!alert.len) /* a recording rule: nothing acts on it */
		return;
	const struct json *expr = json_getc(j, "expr");
	struct rule *r = &g->rules[g->len];
	*r = (struct rule){
		.set = s,
		.group = (size_t)(g - s->groups),
		.id = rule_id(a, s, g, g->len, alert),
		.alert = arena_str(a, alert),
		.expr = json_is(expr, JSON_STRING) ? arena_str(a, str_trim(json_str(expr)))
						   : json_text(a, expr),
		.timing = { prom_ms(json_getc(j, "for")),
			    prom_ms(json_getc(j, "keep_firing_for")) },
		.labels = labels_of(a, json_getc(j, "labels")),
		.annotations = labels_of(a, json_getc(j, "annotations")),
	};
	r->builtin = builtin_of(r->expr);
	check_expr(a, r);
	if (r->problem.len && !s->problem.len)
		s->problem = arena_strf(a, "group \"%.*s\", alert \"%.*s\": %.*s", STR_ARG(g->name),
					STR_ARG(alert), STR_ARG(r->problem));
	g->len++;
}

static void parse_group(struct rule_set *s, struct rule_group *g, const struct json *j)
{
	const struct json *rules = json_getc(j, "rules");
	size_t n = json_len(rules);
	g->name = keep(&s->arena, json_getc(j, "name"));
	g->interval_ms = prom_ms(json_getc(j, "interval"));
	g->offset_ms = prom_ms(json_getc(j, "query_offset"));
	g->limit = json_i64(json_getc(j, "limit"), 0);
	g->labels = labels_of(&s->arena, json_getc(j, "labels"));
	g->rules = arena_new(&s->arena, struct rule, n);
	for (size_t i = 0; i < n; i++)
		parse_rule(s, g, json_at(rules, i));
	s->rules += n;
}

struct rule_set *rule_set_new(struct str key, const struct json *obj)
{
	struct rule_set *s = mem_new(struct rule_set, 1);
	struct meta m = meta_of(&s->arena, obj);
	s->key = arena_str(&s->arena, key);
	s->ns = m.ns;
	s->name = m.name;
	s->uid = m.uid;
	s->generation = m.generation;
	const struct json *spec = json_getc(obj, "spec");
	s->global = str_is(json_str(json_getc(spec, "scope")), "Global");
	const struct json *groups = json_getc(spec, "groups");
	s->len = json_len(groups);
	s->groups = arena_new(&s->arena, struct rule_group, s->len);
	for (size_t i = 0; i < s->len; i++)
		parse_group(s, &s->groups[i], json_at(groups, i));
	return s;
}

struct rule_set *rule_set_free(struct rule_set *s)
{
	if (!s)
		return NULL;
	arena_fini(&s->arena);
	mem_free(s);
	return NULL;
}

/* ---- AlertReceiver ---- */

static void parse_group_by(struct receiver *r, const struct json *list)
{
	size_t n = json_len(list);
	struct str *by = arena_new(&r->arena, struct str, n);
	for (size_t i = 0; i < n; i++) {
		by[i] = keep(&r->arena, json_at(list, i));
		r->group_by_all = r->group_by_all || str_is(by[i], "...");
	}
	r->group_by = by;
	r->group_by_len = n;
}

static void parse_webhook(struct receiver *r, const struct json *w)
{
	struct arena *a = &r->arena;
	r->url = arena_printf(a, "%.*s", STR_ARG(json_str(json_getc(w, "url"))));
	r->timeout_ms = go_ms(json_getc(w, "timeout"), 10000);
	if (r->timeout_ms < 1)
		r->timeout_ms = 10000;
	int64_t most = json_i64(json_getc(w, "maxAlerts"), 0);
	r->max_alerts = most > 0 ? (size_t)most : 0;
	r->timing.send_resolved = json_bool(json_getc(w, "sendResolved"), true);
	r->token_secret = keep(a, json_dig(w, "bearerTokenSecretRef", "name", NULL));
	r->token_member = keep(a, json_dig(w, "bearerTokenSecretRef", "key", NULL));
	r->headers_secret = keep(a, json_dig(w, "httpHeadersSecretRef", "name", NULL));
	r->format = format_of(json_str(json_getc(w, "format")));
	r->key_secret = keep(a, json_dig(w, "keySecretRef", "name", NULL));
	r->key_member = keep(a, json_dig(w, "keySecretRef", "key", NULL));
	r->sign_secret = keep(a, json_dig(w, "signingSecretRef", "name", NULL));
	r->sign_member = keep(a, json_dig(w, "signingSecretRef", "key", NULL));
	struct str ca = json_str(json_getc(w, "caBundle"));
	if (!ca.len)
		return;
	struct buf pem = { 0 };
	if (base64_read(&pem, ca))
		r->ca_pem = arena_printf(a, "%.*s", STR_ARG(buf_str(&pem)));
	else
		r->problem = STR("caBundle is not base64");
	buf_fini(&pem);
}

struct receiver *receiver_new(struct str key, const struct json *obj)
{
	struct receiver *r = mem_new(struct receiver, 1);
	struct arena *a = &r->arena;
	struct meta m = meta_of(a, obj);
	r->key = arena_str(a, key);
	r->ns = m.ns;
	r->name = m.name;
	r->uid = m.uid;
	r->generation = m.generation;
	const struct json *spec = json_getc(obj, "spec");
	r->timing = (struct group_timing){
		.wait_ms = go_ms(json_getc(spec, "groupWait"), 30000),
		.interval_ms = go_ms(json_getc(spec, "groupInterval"), 300000),
		.repeat_ms = go_ms(json_getc(spec, "repeatInterval"), 4 * 3600000),
		.suspended = json_bool(json_getc(spec, "suspend"), false),
	};
	parse_webhook(r, json_getc(spec, "webhook"));
	parse_group_by(r, json_getc(spec, "groupBy"));
	r->matchers = matchers_of(a, json_getc(spec, "match"), &r->match_len, &r->problem);
	r->match = r->matchers;
	return r;
}

struct receiver *receiver_free(struct receiver *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->match_len; i++)
		matcher_fini(&r->matchers[i]);
	arena_fini(&r->arena);
	mem_free(r);
	return NULL;
}

bool receiver_routes_alike(const struct receiver *a, const struct receiver *b)
{
	if (a->match_len != b->match_len || a->group_by_len != b->group_by_len ||
	    (a->problem.len != 0) != (b->problem.len != 0))
		return false;
	for (size_t i = 0; i < a->match_len; i++)
		if (a->match[i].op != b->match[i].op ||
		    !str_eq(a->match[i].name, b->match[i].name) ||
		    !str_eq(a->match[i].value, b->match[i].value))
			return false;
	for (size_t i = 0; i < a->group_by_len; i++)
		if (!str_eq(a->group_by[i], b->group_by[i]))
			return false;
	return true;
}

/* ---- Silence ---- */

struct silence *silence_new(struct str key, const struct json *obj)
{
	struct silence *s = mem_new(struct silence, 1);
	struct arena *a = &s->arena;
	struct meta m = meta_of(a, obj);
	s->key = arena_str(a, key);
	s->ns = m.ns;
	s->name = m.name;
	s->uid = m.uid;
	s->generation = m.generation;
	const struct json *spec = json_getc(obj, "spec");
	(void)rfc3339_parse_ms(json_str(json_getc(spec, "startsAt")), &s->starts_ms);
	(void)rfc3339_parse_ms(json_str(json_getc(spec, "endsAt")), &s->ends_ms);
	s->match = matchers_of(a, json_getc(spec, "matchers"), &s->match_len, &s->problem);
	bool any = false;
	for (size_t i = 0; i < s->match_len; i++)
		any = any || !matcher_value(&s->match[i], STR(""));
	if (!any && !s->problem.len)
		s->problem = STR("at least one matcher has to refuse the empty value");
	return s;
}

struct silence *silence_of_node(struct str key, struct str node)
{
	struct silence *s = mem_new(struct silence, 1);
	s->key = arena_str(&s->arena, key);
	s->name = arena_str(&s->arena, node);
	s->ends_ms = INT64_MAX;
	s->match = arena_new(&s->arena, struct matcher, 2);
	const struct str names[] = { STR("node"), STR("pod") };
	const struct str values[] = { s->name, STR("") };
	for (; s->match_len < 2; s->match_len++)
		if (matcher_init(&s->match[s->match_len], MATCHER_EQUAL, names[s->match_len],
				 values[s->match_len], NULL))
			break;
	return s;
}

struct silence *silence_free(struct silence *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->match_len; i++)
		matcher_fini(&s->match[i]);
	arena_fini(&s->arena);
	mem_free(s);
	return NULL;
}

enum silence_state silence_state(const struct silence *s, int64_t now_ms)
{
	if (now_ms >= s->ends_ms)
		return SILENCE_EXPIRED;
	return now_ms >= s->starts_ms ? SILENCE_ACTIVE : SILENCE_PENDING;
}

const char *silence_state_name(enum silence_state s)
{
	static const char *const names[] = { [SILENCE_PENDING] = "pending",
					     [SILENCE_ACTIVE] = "active",
					     [SILENCE_EXPIRED] = "expired" };
	return names[s];
}
