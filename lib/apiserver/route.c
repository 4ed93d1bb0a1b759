#include "apiserver/route.h"

#include "text/url.h"

enum { SEGMENTS_MAX = 64 };

struct segments {
	struct str v[SEGMENTS_MAX];
	size_t len, pos;
};

static bool peek_is(const struct segments *s, const char *text)
{
	return s->pos < s->len && str_is(s->v[s->pos], text);
}

static struct str take(struct segments *s)
{
	return s->pos < s->len ? s->v[s->pos++] : STR_NONE;
}

static int split_path(struct arena *a, struct str path, struct segments *ret, struct error *err)
{
	struct str rest = str_sub(path, 1, path.len), piece, plain;
	ret->len = ret->pos = 0;
	while (rest.len && str_split(&rest, '/', &piece)) {
		if (!url_decode(a, piece, false, &plain))
			return error_set(err, ERR_BAD_REQUEST, "the path has a wrong %% escape");
		if (str_find(plain, '/', 0) >= 0 || str_find(plain, '\0', 0) >= 0)
			return error_set(err, ERR_BAD_REQUEST,
					 "a path segment must not hold an escaped / or NUL");
		if (ret->len == SEGMENTS_MAX)
			return error_set(err, ERR_BAD_REQUEST, "the path has too many segments");
		if (plain.len)
			ret->v[ret->len++] = plain;
	}
	return 0;
}

static struct str lower(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 1);
	for (size_t i = 0; i < s.len; i++)
		p[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
	return str_n(p, s.len);
}

/* The verb of a method, before it is known whether one object or many are meant. */
static struct str verb_of(struct str method, bool named)
{
	if (str_is(method, "GET") || str_is(method, "HEAD"))
		return named ? STR("get") : STR("list");
	if (str_is(method, "POST"))
		return STR("create");
	if (str_is(method, "PUT"))
		return STR("update");
	if (str_is(method, "PATCH"))
		return STR("patch");
	if (str_is(method, "DELETE"))
		return named ? STR("delete") : STR("deletecollection");
	return STR_NONE;
}

/* [watch/] [namespaces/NS/] RESOURCE [NAME [SUBRESOURCE [REST…]]] */
static void parse_resource(struct segments *s, struct route *r, bool *watch)
{
	if (peek_is(s, "watch") && s->pos + 1 < s->len) {
		s->pos++;
		*watch = true;
	}
	if (peek_is(s, "namespaces") && s->pos + 1 < s->len) {
		struct str name = s->v[s->pos + 1];
		r->ns = name;
		bool on_namespace =
			s->pos + 2 == s->len ||
			(s->pos + 3 == s->len && (str_is(s->v[s->pos + 2], "status") ||
						  str_is(s->v[s->pos + 2], "finalize")));
		if (!on_namespace)
			s->pos += 2;
	}
	r->resource = take(s);
	r->name = take(s);
	r->subresource = take(s);
	if (s->pos < s->len) {
		const char *end = r->path.p + r->path.len;
		size_t n = 0;
		for (size_t i = s->pos; i < s->len; i++)
			n += s->v[i].len + 1;
		n = n - 1 < r->path.len ? n - 1 : 0;
		r->rest = str_n(end - n, n);
	}
}

int route_parse(struct arena *a, struct str method, struct str target, struct route *ret,
		struct error *err)
{
	*ret = (struct route){ .path = target };
	ptrdiff_t q = str_find(target, '?', 0);
	if (q >= 0) {
		ret->path = str_sub(target, 0, (size_t)q);
		ret->query = str_sub(target, (size_t)q + 1, target.len);
	}
	if (ret->path.len == 0 || ret->path.p[0] != '/' || ret->path.len > ROUTE_PATH_MAX ||
	    ret->query.len > ROUTE_QUERY_MAX)
		return error_set(err, ERR_BAD_REQUEST,
				 "the request's path or query is too long or none");

	struct segments s;
	int rc = split_path(a, ret->path, &s, err);
	if (rc)
		return rc;
	bool core = peek_is(&s, "api");
	size_t prefix = core ? 2 : 3;
	ret->is_resource = (core || peek_is(&s, "apis")) && s.len > prefix;
	if (!ret->is_resource) {
		ret->verb = str_is(method, "HEAD") ? STR("get") : lower(a, method);
		return 0;
	}
	s.pos = 1;
	ret->group = core ? STR_NONE : take(&s);
	ret->version = take(&s);
	bool watch = false;
	parse_resource(&s, ret, &watch);
	ret->verb = verb_of(method, ret->name.len > 0);
	if (ret->verb.len == 0)
		return error_set(err, ERR_METHOD,
				 "the server does not allow this method on the requested resource");
	if (watch && str_is(method, "GET"))
		ret->verb = STR("watch");
	return 0;
}

/* ---- options ---- */

static int parse_bool(struct str key, struct str v, bool *ret, struct error *err)
{
	/* The forms of Go's ParseBool; Kubernetes takes "" as false and a bare key as true. */
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "", "0", "f", "F", "false", "FALSE", "False" };
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		if (str_is(v, yes[i])) {
			*ret = true;
			return 0;
		}
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (str_is(v, no[i])) {
			*ret = false;
			return 0;
		}
	return error_set(err, ERR_BAD_REQUEST, "invalid value for %.*s: \"%.*s\" is no boolean",
			 STR_ARG(key), STR_ARG(v));
}

static int parse_number(struct str key, struct str v, int64_t *ret, struct error *err)
{
	if (v.len == 0)
		return 0;
	if (!str_to_i64(v, ret) || *ret < 0)
		return error_set(err, ERR_BAD_REQUEST,
				 "invalid value for %.*s: \"%.*s\" is no number from 0 up",
				 STR_ARG(key), STR_ARG(v));
	return 0;
}

static int parse_revision(struct str v, struct options *o, struct error *err)
{
	if (v.len == 0)
		return 0;
	if (!str_to_i64(v, &o->resource_version) || o->resource_version < 0)
		return error_set(
			err, ERR_BAD_REQUEST,
			"Invalid value: \"%.*s\": resourceVersion must be a decimal number",
			STR_ARG(v));
	return 0;
}

static int parse_match(struct str v, struct options *o, struct error *err)
{
	if (v.len == 0)
		return 0;
	if (str_is(v, "Exact"))
		o->match = MATCH_EXACT;
	else if (str_is(v, "NotOlderThan"))
		o->match = MATCH_NOT_OLDER;
	else
		return error_set(
			err, ERR_INVALID,
			"resourceVersionMatch: Unsupported value: \"%.*s\": supported values: "
			"\"Exact\", \"NotOlderThan\"",
			STR_ARG(v));
	return 0;
}

static int parse_dry_run(struct str v, struct options *o, struct error *err)
{
	if (v.len == 0)
		return 0;
	if (!str_is(v, "All"))
		return error_set(err, ERR_INVALID,
				 "dryRun: Unsupported value: \"%.*s\": supported values: \"All\"",
				 STR_ARG(v));
	o->dry_run = true;
	return 0;
}

static int set_flag(struct str key, struct str v, struct options *o, struct error *err)
{
	const struct {
		const char *name;
		bool *target;
	} flags[] = {
		{ "watch", &o->watch },
		{ "allowWatchBookmarks", &o->bookmarks },
		{ "sendInitialEvents", &o->send_initial },
		{ "force", &o->force },
		{ "pretty", &o->pretty },
	};
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (!str_is(key, flags[i].name))
			continue;
		o->send_initial_given |= flags[i].target == &o->send_initial;
		/* A key without "=" is true: ?watch */
		return parse_bool(key, v.p ? v : STR("true"), flags[i].target, err);
	}
	return 0;
}

static int set_option(struct str key, struct str v, struct options *o, struct error *err)
{
	const struct {
		const char *name;
		struct str *target;
	} texts[] = {
		{ "labelSelector", &o->label_selector },
		{ "fieldSelector", &o->field_selector },
		{ "continue", &o->continue_token },
		{ "fieldManager", &o->field_manager },
		{ "includeObject", &o->include_object },
		{ "fieldValidation", &o->field_validation },
		{ "propagationPolicy", &o->propagation_policy },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (str_is(key, texts[i].name)) {
			*texts[i].target = v;
			return 0;
		}
	if (str_is(key, "limit"))
		return parse_number(key, v, &o->limit, err);
	if (str_is(key, "timeoutSeconds"))
		return parse_number(key, v, &o->timeout_s, err);
	if (str_is(key, "gracePeriodSeconds"))
		return parse_number(key, v, &o->grace_s, err);
	if (str_is(key, "resourceVersion"))
		return parse_revision(v, o, err);
	if (str_is(key, "resourceVersionMatch"))
		return parse_match(v, o, err);
	if (str_is(key, "dryRun"))
		return parse_dry_run(v, o, err);
	return set_flag(key, v, o, err);
}

int options_parse(struct arena *a, struct str query, struct options *ret, struct error *err)
{
	*ret = (struct options){ .resource_version = -1, .grace_s = -1 };
	struct str key, value;
	while (url_query_next(&query, &key, &value)) {
		if (!url_decode(a, key, true, &key) || !url_decode(a, value, true, &value))
			return error_set(err, ERR_BAD_REQUEST, "the query has a wrong %% escape");
		int rc = set_option(key, value, ret, err);
		if (rc)
			return rc;
	}
	static const char *const validations[] = { "", "Strict", "Warn", "Ignore" };
	for (size_t i = 0; i < sizeof(validations) / sizeof(*validations); i++)
		if (str_is(ret->field_validation, validations[i]))
			return 0;
	return error_set(err, ERR_INVALID,
			 "fieldValidation: Unsupported value: \"%.*s\": supported values: \"\", "
			 "\"Ignore\", \"Strict\", \"Warn\"",
			 STR_ARG(ret->field_validation));
}

static int check_watch(const struct options *o, struct error *err)
{
	if (o->send_initial_given && o->match != MATCH_NOT_OLDER)
		return error_set(err, ERR_INVALID,
				 "resourceVersionMatch: Forbidden: sendInitialEvents requires "
				 "setting resourceVersionMatch to NotOlderThan");
	if (o->match != MATCH_UNSET && !o->send_initial_given)
		return error_set(err, ERR_INVALID,
				 "resourceVersionMatch: Forbidden: resourceVersionMatch is "
				 "forbidden for watch unless sendInitialEvents is provided");
	return 0;
}

int options_check_list(const struct options *o, struct error *err)
{
	if (o->match != MATCH_UNSET && o->continue_token.len)
		return error_set(err, ERR_INVALID,
				 "resourceVersionMatch: Forbidden: resourceVersionMatch is "
				 "forbidden when continue is provided");
	if (o->watch)
		return check_watch(o, err);
	if (o->send_initial_given)
		return error_set(err, ERR_INVALID,
				 "sendInitialEvents: Forbidden: sendInitialEvents is forbidden "
				 "for list");
	if (o->match != MATCH_UNSET && o->resource_version < 0)
		return error_set(err, ERR_INVALID,
				 "resourceVersionMatch: Forbidden: resourceVersionMatch is "
				 "forbidden unless resourceVersion is provided");
	if (o->match == MATCH_EXACT && o->resource_version == 0)
		return error_set(err, ERR_INVALID,
				 "resourceVersionMatch: Forbidden: resourceVersionMatch "
				 "\"exact\" is forbidden for resourceVersion \"0\"");
	return 0;
}

const char *options_kind(struct str verb)
{
	static const struct {
		const char *verb, *kind;
	} kinds[] = {
		{ "create", "CreateOptions" }, { "update", "UpdateOptions" },
		{ "patch", "PatchOptions" },   { "delete", "DeleteOptions" },
		{ "get", "GetOptions" },       { "deletecollection", "DeleteOptions" },
	};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (str_is(verb, kinds[i].verb))
			return kinds[i].kind;
	return "ListOptions";
}

int route_propagation_of(struct str policy, enum route_propagation *ret, struct error *err)
{
	if (policy.len == 0)
		*ret = PROPAGATE_DEFAULT;
	else if (str_is(policy, "Background"))
		*ret = PROPAGATE_BACKGROUND;
	else if (str_is(policy, "Foreground"))
		*ret = PROPAGATE_FOREGROUND;
	else if (str_is(policy, "Orphan"))
		*ret = PROPAGATE_ORPHAN;
	else
		return error_set(
			err, ERR_INVALID,
			"propagationPolicy: Unsupported value: \"%.*s\": supported values: "
			"\"Background\", \"Foreground\", \"Orphan\"",
			STR_ARG(policy));
	return 0;
}
