#include "query.h"

#include "apiserver/relay.h"
#include "base/mem.h"
#include "http/server.h"
#include "json/json.h"
#include "sys/loop.h"
#include "telemetry/mstore.h"
#include "text/duration.h"
#include "text/rfc3339.h"
#include "text/url.h"

#include <math.h>
#include <stdlib.h>

enum { FORM_BYTES_MAX = 64 << 10, PARAMETERS_MAX = 256 };

struct query {
	struct apiserver *api;
	struct loop *loop;
	struct mstore *store;
};

/* One request. */
struct asked {
	struct query *query;
	struct arena arena;
	struct mstore_ask ask;
	struct error err; /* of its parameters */
	struct relay *relay;
	bool gone, answered;
	bool start_given, end_given, step_given;
};

static void asked_free(struct asked *a)
{
	relay_done(a->relay);
	arena_fini(&a->arena);
	mem_free(a);
}

/* ---- answers ---- */

static int status_of(enum err_code code, const char **type)
{
	static const struct {
		enum err_code code;
		int status;
		const char *type;
	} table[] = {
		{ ERR_BAD_REQUEST, 400, "bad_data" },    { ERR_INVALID, 422, "execution" },
		{ ERR_LIMIT, 422, "execution" },         { ERR_TIMEOUT, 503, "timeout" },
		{ ERR_UNAVAILABLE, 503, "unavailable" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].code == code) {
			*type = table[i].type;
			return table[i].status;
		}
	*type = "internal";
	return 500;
}

static void answer(struct asked *a, const struct error *err, struct str data)
{
	struct buf b = { 0 };
	const char *type = "";
	int status = err ? status_of(err->code, &type) : 200;
	if (err) {
		buf_addf(&b, "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", type);
		json_write_str(&b, str_of(err->msg));
	} else {
		buf_adds(&b, "{\"status\":\"success\",\"data\":");
		buf_add_str(&b, data);
	}
	buf_adds(&b, "}\n");
	relay_begin(a->relay, status, STR("application/json"));
	relay_write(a->relay, buf_str(&b));
	relay_end(a->relay);
	buf_fini(&b);
}

static void on_answer(void *arg, const struct error *err, struct str data)
{
	struct asked *a = arg;
	a->answered = true;
	if (!a->gone)
		answer(a, err, data);
	if (a->gone)
		asked_free(a);
}

static void on_start(struct relay *r, void *data)
{
	struct asked *a = data;
	a->relay = r;
	if (a->err.code) {
		a->answered = true;
		answer(a, &a->err, STR(""));
		return;
	}
	mstore_ask(a->query->store, a->query->loop, &a->ask, on_answer, a);
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

/* ---- parameters ---- */

static int parse_time(const char *name, struct str s, int64_t *ret, struct error *err)
{
	char text[64], *end = NULL;
	if (s.len && s.len < sizeof(text)) {
		memcpy(text, s.p, s.len);
		text[s.len] = '\0';
		double v = strtod(text, &end);
		if (!*end && fabs(v) < 9e12) {
			*ret = (int64_t)llround(v * 1000);
			return 0;
		}
	}
	if (rfc3339_parse_ms(s, ret))
		return 0;
	return error_set(err, ERR_BAD_REQUEST,
			 "invalid parameter \"%s\": cannot parse \"%.*s\" to a valid timestamp",
			 name, STR_ARG(str_sub(s, 0, 100)));
}

static int parse_duration(const char *name, struct str s, int64_t *ret, struct error *err)
{
	char text[32], *end = NULL;
	if (s.len && s.len < sizeof(text)) {
		memcpy(text, s.p, s.len);
		text[s.len] = '\0';
		double v = strtod(text, &end);
		if (!*end && fabs(v) < 9e12) {
			*ret = (int64_t)(v * 1000);
			return 0;
		}
	}
	if (duration_parse_prom(s, ret, NULL) == 0)
		return 0;
	return error_set(err, ERR_BAD_REQUEST,
			 "invalid parameter \"%s\": cannot parse \"%.*s\" to a valid duration",
			 name, STR_ARG(str_sub(s, 0, 100)));
}

static int set_parameter(struct asked *a, struct str key, struct str value, struct error *err)
{
	struct mstore_ask *ask = &a->ask;
	bool range = ask->kind == MSTORE_RANGE;
	if (str_is(key, "query") && (range || ask->kind == MSTORE_QUERY)) {
		ask->text = value;
	} else if (str_is(key, "metric") && ask->kind == MSTORE_METADATA) {
		ask->text = value;
	} else if (str_is(key, "time") && value.len && ask->kind == MSTORE_QUERY) {
		ask->time_given = true;
		return parse_time("time", value, &ask->time_ms, err);
	} else if (str_is(key, "start") && (range || value.len)) {
		a->start_given = true;
		return parse_time("start", value, &ask->start_ms, err);
	} else if (str_is(key, "end") && (range || value.len)) {
		a->end_given = true;
		return parse_time("end", value, &ask->end_ms, err);
	} else if (str_is(key, "step") && range) {
		a->step_given = true;
		return parse_duration("step", value, &ask->step_ms, err);
	} else if (str_is(key, "timeout") && value.len) {
		return parse_duration("timeout", value, &ask->timeout_ms, err);
	} else if (str_is(key, "limit") && value.len) {
		if (!str_to_i64(value, &ask->limit) || ask->limit < 0)
			return error_set(err, ERR_BAD_REQUEST,
					 "invalid parameter \"limit\": limit must be non-negative");
	} else if (str_is(key, "match[]") && !range && ask->kind != MSTORE_QUERY) {
		if (ask->matches_len == MSTORE_MATCHES_MAX)
			return error_set(err, ERR_BAD_REQUEST, "more than %d match[] parameters",
					 MSTORE_MATCHES_MAX);
		ask->matches[ask->matches_len++] = value;
	}
	return 0;
}

static int parse_pairs(struct asked *a, struct str pairs, struct error *err)
{
	struct str key, value;
	size_t n = 0;
	int rc = 0;
	while (!rc && url_query_next(&pairs, &key, &value)) {
		if (++n > PARAMETERS_MAX)
			return error_set(err, ERR_BAD_REQUEST, "more than %d parameters",
					 PARAMETERS_MAX);
		if (!url_decode(&a->arena, key, true, &key) ||
		    !url_decode(&a->arena, value, true, &value))
			return error_set(err, ERR_BAD_REQUEST, "the query has a wrong %% escape");
		rc = set_parameter(a, key, value, err);
	}
	return rc;
}

/* What is known once all parameters are. */
static int check_range(struct asked *a, struct error *err)
{
	struct mstore_ask *ask = &a->ask;
	const struct {
		bool given;
		const char *name, *kind;
	} needed[] = { { a->start_given, "start", "timestamp" },
		       { a->end_given, "end", "timestamp" },
		       { a->step_given, "step", "duration" } };
	if (ask->kind != MSTORE_RANGE) {
		ask->since_ms = ask->start_ms;
		return 0;
	}
	for (size_t i = 0; i < 3; i++)
		if (!needed[i].given)
			return error_set(
				err, ERR_BAD_REQUEST,
				"invalid parameter \"%s\": cannot parse \"\" to a valid %s",
				needed[i].name, needed[i].kind);
	if (ask->end_ms < ask->start_ms)
		return error_set(
			err, ERR_BAD_REQUEST,
			"invalid parameter \"end\": end timestamp must not be before start "
			"time");
	if (ask->step_ms <= 0)
		return error_set(err, ERR_BAD_REQUEST,
				 "invalid parameter \"step\": zero or negative query resolution "
				 "step widths are not accepted. Try a positive integer");
	return 0;
}

/* "/api/v1/label/NAME/values" */
static int parse_label_path(struct asked *a, struct str rest, struct error *err)
{
	ptrdiff_t slash = str_find(rest, '/', 0);
	struct str name;
	if (slash < 0 || !str_is(str_sub(rest, (size_t)slash, rest.len), "/values") ||
	    !url_decode(&a->arena, str_sub(rest, 0, (size_t)slash), false, &name))
		return error_set(err, ERR_BAD_REQUEST, "the path is /api/v1/label/NAME/values");
	if (!labels_name_valid(name))
		return error_set(err, ERR_BAD_REQUEST, "invalid label name: \"%.*s\"",
				 STR_ARG(str_sub(name, 0, 100)));
	a->ask.text = arena_str(&a->arena, name);
	return 0;
}

static int read_request(struct asked *a, struct http_request *req,
			const struct apiserver_info *info, struct error *err)
{
	bool post = str_is(req->method, "POST");
	if (!post && !str_is(req->method, "GET") && !str_is(req->method, "HEAD"))
		return error_set(err, ERR_BAD_REQUEST, "only GET and POST are served here");
	if (req->body.len > FORM_BYTES_MAX)
		return error_set(err, ERR_BAD_REQUEST, "a form of more than %d bytes",
				 FORM_BYTES_MAX);
	struct str type = http_request_header(req, "content-type");
	if (req->body.len && !str_starts(type, STR("application/x-www-form-urlencoded")))
		return error_set(err, ERR_BAD_REQUEST,
				 "the body must be application/x-www-form-urlencoded");
	int rc = 0;
	if (a->ask.kind == MSTORE_VALUES)
		rc = parse_label_path(a, info->path_rest, err);
	if (!rc)
		rc = parse_pairs(a, arena_str(&a->arena, info->query), err);
	if (!rc && post)
		rc = parse_pairs(a, arena_str(&a->arena, req->body), err);
	if (!rc)
		rc = check_range(a, err);
	if (!rc && a->ask.kind == MSTORE_SERIES && !a->ask.matches_len)
		rc = error_set(err, ERR_BAD_REQUEST, "no match[] parameter provided");
	return rc;
}

static void serve(struct query *q, enum mstore_kind kind, struct http_request *req,
		  const struct apiserver_info *info)
{
	struct asked *a = mem_new(struct asked, 1);
	a->query = q;
	a->ask.kind = kind;
	a->ask.with_notes = true;
	(void)!read_request(a, req, info, &a->err);
	relay_new(req, q->loop, &RELAY, a);
}

static void serve_query(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_QUERY, req, info);
}

static void serve_range(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_RANGE, req, info);
}

static void serve_metadata(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_METADATA, req, info);
}

/* The version is that of Prometheus whose API and language this is: Grafana goes by it. */
static void serve_buildinfo(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	(void)arg;
	(void)info;
	http_reply_text(
		req, 200, "application/json",
		STR("{\"status\":\"success\",\"data\":{\"version\":\"3.0.0\",\"revision\":\"rctl "
		    "" RCTL_VERSION "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\","
		    "\"goVersion\":\"\"}}\n"));
}

/* ---- remote write ---- */

struct written {
	struct query *query;
	struct bytes *body;
	struct error err;
	struct relay *relay;
	bool gone, answered;
};

static void written_free(struct written *w)
{
	relay_done(w->relay);
	bytes_unref(w->body);
	mem_free(w);
}

static void on_written(void *arg, const struct error *err)
{
	struct written *w = arg;
	int status = !err                           ? 204
		     : err->code == ERR_UNAVAILABLE ? 503
		     : err->code == ERR_TOO_LARGE   ? 413
						    : 400;
	w->answered = true;
	if (w->gone) {
		written_free(w);
		return;
	}
	relay_begin(w->relay, status, STR("text/plain; charset=utf-8"));
	if (err) {
		relay_write(w->relay, str_of(err->msg));
		relay_write(w->relay, STR("\n"));
	}
	relay_end(w->relay);
}

static void write_start(struct relay *r, void *data)
{
	struct written *w = data;
	w->relay = r;
	if (w->err.code)
		on_written(w, &w->err);
	else
		mstore_write(w->query->store, w->query->loop, w->body, on_written, w);
}

static void write_gone(struct relay *r, void *data)
{
	struct written *w = data;
	(void)r;
	w->gone = true;
	if (w->answered)
		written_free(w);
}

/* Version 1.0 alone: a sender of 2.0 falls back to it when it is told so (415 in its specification, 400 is understood). */
static int check_write(const struct http_request *req, struct error *err)
{
	struct str type = http_request_header(req, "content-type");
	struct str coding = http_request_header(req, "content-encoding");
	if (!str_is(req->method, "POST"))
		return error_set(err, ERR_BAD_REQUEST, "remote write is a POST");
	if (type.len && !str_starts(type, STR("application/x-protobuf")))
		return error_set(err, ERR_BAD_REQUEST, "the body must be application/x-protobuf");
	if (str_find_str(type, STR("io.prometheus.write.v2"), 0) >= 0)
		return error_set(err, ERR_BAD_REQUEST, "only remote write 1.0 is served here");
	if (coding.len && !str_eq_nocase(coding, STR("snappy")))
		return error_set(err, ERR_BAD_REQUEST, "the body must be packed with snappy");
	return 0;
}

static void serve_write(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	static const struct relay_handlers on = { .start = write_start, .gone = write_gone };
	struct query *q = arg;
	struct written *w = mem_new(struct written, 1);
	(void)info;
	w->query = q;
	w->body = bytes_of_str(req->body);
	(void)!check_write(req, &w->err);
	relay_new(req, q->loop, &on, w);
}

static void serve_labels(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_LABELS, req, info);
}

static void serve_values(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_VALUES, req, info);
}

static void serve_series(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_SERIES, req, info);
}

struct query *query_new(struct apiserver *api, struct loop *loop, struct mstore *store)
{
	struct query *q = mem_new(struct query, 1);
	*q = (struct query){ api, loop, store };
	const struct {
		const char *prefix;
		bool exact;
		void (*fn)(void *arg, struct http_request *req, const struct apiserver_info *info);
	} routes[] = {
		{ "/api/v1/query", true, serve_query },
		{ "/api/v1/query_range", true, serve_range },
		{ "/api/v1/metadata", true, serve_metadata },
		{ "/api/v1/write", true, serve_write },
		{ "/api/v1/status/buildinfo", true, serve_buildinfo },
		{ "/api/v1/labels", true, serve_labels },
		{ "/api/v1/label/", false, serve_values },
		{ "/api/v1/series", true, serve_series },
	};
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct apiserver_route r = { .prefix = routes[i].prefix,
						   .exact = routes[i].exact,
						   .body = true,
						   .fn = routes[i].fn,
						   .closed = relay_closed,
						   .drained = relay_drained,
						   .arg = q };
		apiserver_add_route(api, &r);
	}
	return q;
}

struct query *query_free(struct query *q)
{
	mem_free(q);
	return NULL;
}
