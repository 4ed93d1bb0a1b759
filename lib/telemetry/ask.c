#include "telemetry/ask.h"

#include "json/json.h"
#include "text/duration.h"
#include "text/rfc3339.h"
#include "text/url.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PARAMETERS_MAX = 256 };

struct reading {
	struct arena *arena;
	struct mstore_ask *ask;
	bool start_given, end_given, step_given;
};

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

static int set_parameter(struct reading *a, struct str key, struct str value, struct error *err)
{
	struct mstore_ask *ask = a->ask;
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

static int parse_pairs(struct reading *a, struct str pairs, struct error *err)
{
	struct str key, value;
	size_t n = 0;
	int rc = 0;
	while (!rc && url_query_next(&pairs, &key, &value)) {
		if (++n > PARAMETERS_MAX)
			return error_set(err, ERR_BAD_REQUEST, "more than %d parameters",
					 PARAMETERS_MAX);
		if (!url_decode(a->arena, key, true, &key) ||
		    !url_decode(a->arena, value, true, &value))
			return error_set(err, ERR_BAD_REQUEST, "the query has a wrong %% escape");
		rc = set_parameter(a, key, value, err);
	}
	return rc;
}

/* What is known once all parameters are. */
static int check_range(struct reading *a, struct error *err)
{
	struct mstore_ask *ask = a->ask;
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
static int parse_label_path(struct reading *a, struct str rest, struct error *err)
{
	ptrdiff_t slash = str_find(rest, '/', 0);
	struct str name;
	if (slash < 0 || !str_is(str_sub(rest, (size_t)slash, rest.len), "/values") ||
	    !url_decode(a->arena, str_sub(rest, 0, (size_t)slash), false, &name))
		return error_set(err, ERR_BAD_REQUEST, "the path is /api/v1/label/NAME/values");
	if (!labels_name_valid(name))
		return error_set(err, ERR_BAD_REQUEST, "invalid label name: \"%.*s\"",
				 STR_ARG(str_sub(name, 0, 100)));
	a->ask->text = arena_str(a->arena, name);
	return 0;
}

int ask_form(struct str method, struct str content_type, struct str body, struct str *ret,
	     struct error *err)
{
	bool post = str_is(method, "POST");
	if (!post && !str_is(method, "GET") && !str_is(method, "HEAD"))
		return error_set(err, ERR_BAD_REQUEST, "only GET and POST are served here");
	if (body.len > ASK_FORM_BYTES_MAX)
		return error_set(err, ERR_BAD_REQUEST, "a form of more than %d bytes",
				 ASK_FORM_BYTES_MAX);
	if (body.len && !str_starts(content_type, STR("application/x-www-form-urlencoded")))
		return error_set(err, ERR_BAD_REQUEST,
				 "the body must be application/x-www-form-urlencoded");
	*ret = post ? body : STR("");
	return 0;
}

int ask_read(struct arena *a, const struct ask_request *req, struct mstore_ask *ret,
	     struct error *err)
{
	struct reading r = { .arena = a, .ask = ret };
	*ret = (struct mstore_ask){ .kind = req->kind };
	int rc = 0;
	if (req->kind == MSTORE_VALUES)
		rc = parse_label_path(&r, req->path_rest, err);
	if (!rc)
		rc = parse_pairs(&r, arena_str(a, req->query), err);
	if (!rc)
		rc = parse_pairs(&r, arena_str(a, req->form), err);
	if (!rc)
		rc = check_range(&r, err);
	if (!rc && req->kind == MSTORE_SERIES && !ret->matches_len)
		rc = error_set(err, ERR_BAD_REQUEST, "no match[] parameter provided");
	return rc;
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

int ask_write(const struct error *err, struct str data, struct buf *out)
{
	const char *type = "";
	int status = err ? status_of(err->code, &type) : 200;
	if (err) {
		buf_addf(out, "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", type);
		json_write_str(out, str_of(err->msg));
	} else {
		buf_adds(out, "{\"status\":\"success\",\"data\":");
		buf_add_str(out, data);
	}
	buf_adds(out, "}\n");
	return status;
}
