/* describe: an object as indented text, its conditions as a table, its events. */
#include "describe.h"

#include "sys/clock.h"
#include "text/duration.h"
#include "text/rfc3339.h"
#include "text/url.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = DESCRIBE_WIDTH, TEXT_MAX = 200 };

/* "readyReplicas" → "Ready Replicas" */
static void title(struct str name, struct buf *out)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];
		if (i == 0)
			c = (char)toupper((unsigned char)c);
		else if (isupper((unsigned char)c) && islower((unsigned char)name.p[i - 1]))
			buf_addc(out, ' ');
		buf_addc(out, c);
	}
}

static void field_as(int indent, struct str name, bool raw, const char *value)
{
	struct buf b = { 0 };
	if (raw)
		buf_add_str(&b, name);
	else
		title(name, &b);
	buf_addc(&b, ':');
	if (*value)
		(void)printf("%*s%-*s %s\n", indent, "", WIDTH - indent > 0 ? WIDTH - indent : 0,
			     buf_cstr(&b), value);
	else
		(void)printf("%*s%s\n", indent, "", buf_cstr(&b));
	buf_fini(&b);
}

static void field(int indent, struct str name, const char *value)
{
	field_as(indent, name, false, value);
}

/* Members whose keys are the user's own words. */
static bool is_map(struct str name)
{
	static const char *const maps[] = { "labels", "annotations", "matchLabels", "nodeSelector",
					    "data",   "stringData",  "limits",      "requests",
					    "hard",   "capacity",    "allocatable", "overhead",
					    "used" };
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		if (str_is(name, maps[i]))
			return true;
	return false;
}

static void put(struct rctl *r, int indent, struct str name, const struct json *v);

static void put_members(struct rctl *r, int indent, const struct json *obj)
{
	for (size_t i = 0; i < json_len(obj); i++)
		put(r, indent, json_str(&obj->members[i].key), &obj->members[i].value);
}

static void put_map(struct rctl *r, int indent, const struct json *obj)
{
	for (size_t i = 0; i < json_len(obj); i++) {
		const struct json *v = &obj->members[i].value;
		struct str s = v->type == JSON_STRING ? json_str(v) : json_text(&r->arena, v);
		ptrdiff_t nl = str_find(s, '\n', 0);
		if (nl < 0) {
			field_as(indent, json_str(&obj->members[i].key), true,
				 arena_str(&r->arena, s).p);
			continue;
		}
		field_as(indent, json_str(&obj->members[i].key), true, "");
		struct str line;
		while (s.len && str_split(&s, '\n', &line))
			(void)printf("%*s%.*s\n", indent + 2, "", STR_ARG(line));
	}
}

static void put_list(struct rctl *r, int indent, struct str name, const struct json *list)
{
	field(indent, name, json_len(list) ? "" : "<none>");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *e = json_at(list, i);
		if (json_is(e, JSON_OBJECT)) {
			struct str n = json_str(json_getc(e, "name"));
			if (n.len)
				(void)printf("%*s%.*s:\n", indent + 2, "", STR_ARG(n));
			else
				(void)printf("%*s-\n", indent + 2, "");
			put_members(r, indent + 4, e);
		} else {
			struct str s =
				e->type == JSON_STRING ? json_str(e) : json_text(&r->arena, e);
			(void)printf("%*s%.*s\n", indent + 2, "", STR_ARG(s));
		}
	}
}

static void put(struct rctl *r, int indent, struct str name, const struct json *v)
{
	if (json_is(v, JSON_OBJECT)) {
		field(indent, name, json_len(v) ? "" : "<none>");
		if (is_map(name))
			put_map(r, indent + 2, v);
		else
			put_members(r, indent + 2, v);
	} else if (json_is(v, JSON_ARRAY)) {
		put_list(r, indent, name, v);
	} else {
		struct str s = v->type == JSON_STRING ? json_str(v) : json_text(&r->arena, v);
		if (s.len > TEXT_MAX && str_find(s, ' ', 0) < 0) /* certificates and the like */
			s = arena_strf(&r->arena, "%.*s... (%zu bytes)", TEXT_MAX / 4, s.p, s.len);
		field(indent, name, arena_str(&r->arena, s).p);
	}
}

void describe_line(int indent, const char *name, const char *fmt, ...)
{
	struct buf value = { 0 };
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&value, fmt, ap);
	va_end(ap);
	field_as(indent, str_of(name), true, buf_cstr(&value));
	buf_fini(&value);
}

void describe_pairs(struct rctl *r, int indent, const char *name, const struct json *obj,
		    const char *between)
{
	if (!json_len(obj))
		describe_line(indent, name, "<none>");
	for (size_t i = 0; i < json_len(obj); i++) {
		char *pair = arena_printf(
			&r->arena, "%.*s%s%.*s", STR_ARG(json_str(&obj->members[i].key)), between,
			STR_ARG(str_sub(json_str(&obj->members[i].value), 0, 200)));
		if (i == 0)
			describe_line(indent, name, "%s", pair);
		else
			(void)printf("%*s %s\n", WIDTH, "", pair);
	}
}

void describe_conditions(const struct json *list)
{
	if (!json_len(list))
		return;
	(void)printf("Conditions:\n  %-20s %-8s %-28s %s\n", "Type", "Status", "Reason", "Message");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *c = json_at(list, i);
		(void)printf("  %-20.*s %-8.*s %-28.*s %.*s\n",
			     STR_ARG(json_str(json_getc(c, "type"))),
			     STR_ARG(json_str(json_getc(c, "status"))),
			     STR_ARG(json_str(json_getc(c, "reason"))),
			     STR_ARG(json_str(json_getc(c, "message"))));
	}
}

static void put_age(const struct json *time, char out[32])
{
	int64_t s = 0;
	struct buf b = { 0 };
	if (rfc3339_parse(json_str(time), &s, NULL))
		duration_write_human(&b, clock_unix_ms() / 1000 - s);
	(void)snprintf(out, 32, "%s", b.len ? buf_cstr(&b) : "<unknown>");
	buf_fini(&b);
}

static void put_events(struct rctl *r, const struct json *obj)
{
	struct str ns = json_str(json_dig(obj, "metadata", "namespace", NULL));
	struct str uid = json_str(json_dig(obj, "metadata", "uid", NULL));
	struct buf p = { 0 };
	buf_addf(&p, "/api/v1/namespaces/%.*s/events?fieldSelector=",
		 STR_ARG(ns.len ? ns : STR("default")));
	url_encode(&p, arena_strf(&r->arena, "involvedObject.uid=%.*s", STR_ARG(uid)));
	struct json list;
	struct error err = { 0 };
	int rc = rctl_get_json(r, arena_strdup(&r->arena, buf_cstr(&p)), &list, &err);
	buf_fini(&p);
	const struct json *items = json_getc(rc ? NULL : &list, "items");
	if (!json_len(items)) {
		(void)printf("Events:%*s <none>\n", WIDTH - 7, "");
		return;
	}
	(void)printf("Events:\n  %-8s %-22s %-10s %-28s %s\n", "Type", "Reason", "Age", "From",
		     "Message");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *e = json_at(items, i);
		char age[32];
		const struct json *last = json_getc(e, "lastTimestamp");
		put_age(last && last->type == JSON_STRING ? last : json_getc(e, "eventTime"), age);
		int64_t count = json_i64(json_getc(e, "count"), 1);
		char times[64];
		(void)snprintf(times, sizeof(times), count > 1 ? "%s (x%lld)" : "%s", age,
			       (long long)count);
		(void)printf("  %-8.*s %-22.*s %-10s %-28.*s %.*s\n",
			     STR_ARG(json_str(json_getc(e, "type"))),
			     STR_ARG(json_str(json_getc(e, "reason"))), times,
			     STR_ARG(json_str(json_dig(e, "source", "component", NULL))),
			     STR_ARG(json_str(json_getc(e, "message"))));
	}
}

/* Every member of what has no form of its own. */
static void describe_any(struct rctl *r, struct json *obj)
{
	for (size_t i = 0; i < json_len(obj); i++) {
		struct str key = json_str(&obj->members[i].key);
		struct json *v = &obj->members[i].value;
		if (str_is(key, "apiVersion") || str_is(key, "kind") || str_is(key, "metadata"))
			continue;
		if (str_is(key, "status")) {
			struct json *conditions = json_getc(v, "conditions");
			struct json list = conditions ? *conditions : json_array();
			(void)json_removec(v, "conditions");
			put(r, 0, key, v);
			describe_conditions(&list);
			continue;
		}
		put(r, 0, key, v);
	}
}

static void describe(struct rctl *r, struct json *obj)
{
	struct json *meta = json_getc(obj, "metadata");
	static const char *const first[] = { "name", "namespace" };
	for (size_t i = 0; i < 2; i++)
		if (json_getc(meta, first[i]))
			put(r, 0, str_of(first[i]), json_getc(meta, first[i]));
	describe_pairs(r, 0, "Labels", json_getc(meta, "labels"), "=");
	describe_pairs(r, 0, "Annotations", json_getc(meta, "annotations"), ": ");
	put(r, 0, STR("kind"), json_getc(obj, "kind"));
	put(r, 0, STR("creationTimestamp"), json_getc(meta, "creationTimestamp"));
	if (json_getc(meta, "deletionTimestamp"))
		put(r, 0, STR("deleting since"), json_getc(meta, "deletionTimestamp"));
	const struct json *refs = json_getc(meta, "ownerReferences");
	for (size_t i = 0; i < json_len(refs); i++)
		field(0, STR("controlled by"),
		      arena_printf(&r->arena, "%.*s/%.*s",
				   STR_ARG(json_str(json_getc(json_at(refs, i), "kind"))),
				   STR_ARG(json_str(json_getc(json_at(refs, i), "name")))));
	if (!describe_kind(r, obj))
		describe_any(r, obj);
	put_events(r, obj);
}

int verb_describe(struct rctl *r)
{
	struct error err = { 0 };
	struct target list[TARGETS_MAX];
	size_t n = 0;
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	int rc = rctl_targets(r, 0, list, &n, &err);
	if (rc)
		return rc == ERR_BAD_REQUEST ? rctl_usage("%s", err.msg) : rctl_fail(&err);
	size_t shown = 0;
	int status = 0;
	for (size_t i = 0; i < n; i++) {
		struct json obj;
		if (rctl_get_json(r, rctl_target_path(r, &list[i]), &obj, &err) != 0) {
			status = rctl_fail(&err);
			continue;
		}
		struct json *items = list[i].name.len ? NULL : json_getc(&obj, "items");
		for (size_t k = 0; k < (items ? json_len(items) : 1); k++) {
			if (shown++)
				(void)puts("\n");
			describe(r, items ? json_at(items, k) : &obj);
		}
	}
	if (!shown && !status)
		(void)fprintf(stderr, "No resources found\n");
	return status;
}
