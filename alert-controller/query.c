#include "query.h"

#include "json/json.h"
#include "text/url.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LABEL_BYTES_MAX = 65536 };

char *query_path(struct arena *a, struct str base, struct str expr, int64_t time_ms)
{
	struct buf b = { 0 };
	buf_add_str(&b, base);
	buf_adds(&b, "/api/v1/query?query=");
	url_encode(&b, expr);
	if (time_ms)
		buf_addf(&b, "&time=%" PRId64 ".%03" PRId64, time_ms / 1000, time_ms % 1000);
	char *path = arena_strdup(a, buf_cstr(&b));
	buf_fini(&b);
	return path;
}

struct labels query_labels_copy(struct arena *a, struct labels l)
{
	struct label *v = arena_new(a, struct label, l.len);
	for (size_t i = 0; i < l.len; i++)
		v[i] = (struct label){ arena_str(a, l.v[i].name), arena_str(a, l.v[i].value) };
	return (struct labels){ v, l.len };
}

/* ---- the answer ---- */

static bool sample(const struct json *j, double *ret)
{
	struct str s = json_str(json_at(j, 1));
	char text[64];
	char *end = NULL;
	if (!s.len || s.len >= sizeof(text))
		return false;
	(void)snprintf(text, sizeof(text), "%.*s", STR_ARG(s));
	*ret = strtod(text, &end);
	return *end == '\0';
}

static int metric(struct arena *a, const struct json *j, struct labels *ret, struct error *err)
{
	size_t n = json_is(j, JSON_OBJECT) ? json_len(j) : 0;
	struct label *v = arena_new(a, struct label, n);
	for (size_t i = 0; i < n; i++)
		v[i] = (struct label){ arena_str(a, json_str(&j->members[i].key)),
				       arena_str(a, json_str(&j->members[i].value)) };
	int rc = labels_check(v, &n, LABEL_BYTES_MAX, err);
	*ret = (struct labels){ v, n };
	return rc;
}

static int vector(struct arena *a, const struct json *result, struct series **ret, size_t *ret_len,
		  struct error *err)
{
	size_t n = json_len(result);
	if (n > QUERY_SERIES_MAX)
		return error_set(err, ERR_LIMIT, "the result has more than %d series",
				 QUERY_SERIES_MAX);
	struct series *s = arena_new(a, struct series, n);
	for (size_t i = 0; i < n; i++) {
		const struct json *j = json_at(result, i);
		int rc = metric(a, json_getc(j, "metric"), &s[i].labels, err);
		if (rc)
			return rc;
		if (!sample(json_getc(j, "value"), &s[i].value))
			return error_set(err, ERR_BAD_REQUEST,
					 "the answer has a series without a "
					 "number");
	}
	*ret = s;
	*ret_len = n;
	return 0;
}

int query_parse(struct arena *a, struct str body, struct series **ret, size_t *ret_len,
		struct error *err)
{
	struct json j;
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = QUERY_BYTES_MAX;
	limits.values_max = 8U << 20;
	int rc = json_parse(a, body, &limits, &j, err);
	if (rc)
		return error_wrap(err, "answer to a query");
	struct str status = json_str(json_getc(&j, "status"));
	if (str_is(status, "error"))
		return error_set(err, ERR_INVALID, "%.*s: %.*s",
				 STR_ARG(json_str(json_getc(&j, "errorType"))),
				 STR_ARG(str_sub(json_str(json_getc(&j, "error")), 0, 300)));
	const struct json *data = json_getc(&j, "data");
	const struct json *result = json_getc(data, "result");
	struct str type = json_str(json_getc(data, "resultType"));
	if (!str_is(status, "success") || !json_is(result, JSON_ARRAY))
		return error_set(err, ERR_BAD_REQUEST, "the answer is not one to a query");
	if (str_is(type, "vector"))
		return vector(a, result, ret, ret_len, err);
	struct series *s = arena_new(a, struct series, 1);
	if (!str_is(type, "scalar") || !sample(result, &s->value))
		return error_set(err, ERR_BAD_REQUEST,
				 "the expression gives neither a vector nor a number");
	*ret = s;
	*ret_len = 1;
	return 0;
}

/* ---- alerts ---- */

struct set {
	struct label v[2 * LABELS_MAX];
	size_t len;
};

static int put(struct set *s, struct str name, struct str value, bool replace, struct error *err)
{
	for (size_t i = 0; i < s->len; i++) {
		if (!str_eq(s->v[i].name, name))
			continue;
		if (replace)
			s->v[i].value = value;
		return 0;
	}
	if (s->len == 2 * LABELS_MAX)
		return error_set(err, ERR_LIMIT, "an alert has more than %d labels", LABELS_MAX);
	s->v[s->len++] = (struct label){ name, value };
	return 0;
}

static struct str expand(struct arena *a, struct str text, const struct template_vars *vars)
{
	struct buf b = { 0 };
	template_expand(text, vars, &b);
	struct str s = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return s;
}

static int put_templates(struct arena *a, struct set *s, struct labels templates,
			 const struct template_vars *vars, struct error *err)
{
	for (size_t i = 0; i < templates.len; i++) {
		int rc = put(s, templates.v[i].name, expand(a, templates.v[i].value, vars), true,
			     err);
		if (rc)
			return rc;
	}
	return 0;
}

static int done(struct arena *a, struct set *s, struct labels *ret, struct error *err)
{
	int rc = labels_check(s->v, &s->len, LABEL_BYTES_MAX, err);
	if (rc)
		return rc;
	struct label *v = arena_new(a, struct label, s->len);
	if (s->len)
		memcpy(v, s->v, s->len * sizeof(*v));
	*ret = (struct labels){ v, s->len };
	return 0;
}

int query_alert(struct arena *a, const struct rule *r, const struct series *s,
		const struct template_vars *env, struct core_seen *ret, struct error *err)
{
	struct template_vars vars = *env;
	vars.labels = s->labels;
	vars.value = s->value;
	struct labels external = env->external;
	struct set set = { 0 };
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < s->labels.len; i++)
		if (!str_starts(s->labels.v[i].name, STR("__")))
			rc = put(&set, s->labels.v[i].name, s->labels.v[i].value, true, err);
	if (rc == 0)
		rc = put_templates(a, &set, r->set->groups[r->group].labels, &vars, err);
	if (rc == 0)
		rc = put_templates(a, &set, r->labels, &vars, err);
	if (rc == 0)
		rc = put(&set, STR("alertname"), r->alert, true, err);
	for (size_t i = 0; rc == 0 && i < external.len; i++)
		rc = put(&set, external.v[i].name, external.v[i].value, false, err);
	if (rc == 0)
		rc = done(a, &set, &ret->labels, err);
	set.len = 0;
	if (rc == 0)
		rc = put_templates(a, &set, r->annotations, &vars, err);
	if (rc == 0)
		rc = done(a, &set, &ret->annotations, err);
	ret->value = s->value;
	ret->timing = r->timing;
	if (s->timing.for_ms > ret->timing.for_ms)
		ret->timing.for_ms = s->timing.for_ms;
	return rc;
}
