/* explain: what the fields of a type mean, from the server's OpenAPI v3 documents. */
#include "rctl.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, DEPTH_MAX = 32 };

struct schemas {
	struct rctl *r;
	const struct json *all; /* components.schemas */
};

/* Through $ref and a single allOf. */
static const struct json *resolve(const struct schemas *s, const struct json *j)
{
	for (int i = 0; j && i < DEPTH_MAX; i++) {
		struct str ref = json_str(json_getc(j, "$ref"));
		const struct json *all = json_getc(j, "allOf");
		if (str_starts(ref, STR("#/components/schemas/")))
			j = json_get(s->all, str_sub(ref, 21, ref.len));
		else if (json_len(all) == 1 && !json_getc(j, "properties"))
			j = json_at(all, 0);
		else
			return j;
	}
	return j;
}

/* Below lists and maps: where the next field is looked for. */
static const struct json *inner(const struct schemas *s, const struct json *j)
{
	for (int i = 0; i < DEPTH_MAX; i++) {
		j = resolve(s, j);
		const struct json *items = json_getc(j, "items");
		const struct json *values = json_getc(j, "additionalProperties");
		if (items)
			j = items;
		else if (json_is(values, JSON_OBJECT) && !json_getc(j, "properties"))
			j = values;
		else
			return j;
	}
	return j;
}

static struct str ref_name(const struct json *j)
{
	struct str ref = json_str(json_getc(j, "$ref"));
	if (!ref.len)
		ref = json_str(json_getc(json_at(json_getc(j, "allOf"), 0), "$ref"));
	for (ptrdiff_t dot; (dot = str_find(ref, '.', 0)) >= 0;)
		ref = str_sub(ref, (size_t)dot + 1, ref.len);
	return ref;
}

static struct str type_of(const struct schemas *s, const struct json *j, int depth)
{
	struct arena *a = &s->r->arena;
	struct str name = ref_name(j);
	const struct json *real = resolve(s, j);
	struct str type = json_str(json_getc(real, "type"));
	if (depth > DEPTH_MAX)
		return STR("Object");
	if (str_is(type, "array"))
		return arena_strf(a, "[]%.*s",
				  STR_ARG(type_of(s, json_getc(real, "items"), depth + 1)));
	if (json_is(json_getc(real, "additionalProperties"), JSON_OBJECT) &&
	    !json_getc(real, "properties"))
		return arena_strf(
			a, "map[string]%.*s",
			STR_ARG(type_of(s, json_getc(real, "additionalProperties"), depth + 1)));
	if (name.len && (str_is(type, "object") || !type.len))
		return name;
	if (json_bool(json_getc(real, "x-kubernetes-int-or-string"), false) ||
	    json_getc(real, "oneOf"))
		return name.len ? name : STR("IntOrString");
	if (str_is(type, "object") || !type.len)
		return STR("Object");
	return name.len ? name : type;
}

/* Words in lines of at most WIDTH columns. */
static void wrap(struct str text, int indent)
{
	size_t column = 0;
	struct str rest = text;
	struct str word;
	while (str_split(&rest, ' ', &word)) {
		if (!word.len)
			continue;
		if (!column || column + 1 + word.len > (size_t)(WIDTH - 4)) {
			(void)printf("%s%*s", column ? "\n" : "", indent, "");
			column = 0;
		}
		(void)printf("%s%.*s", column ? " " : "", STR_ARG(word));
		column += word.len + (column ? 1 : 0);
	}
	(void)puts("");
}

static void describe(struct str text, int indent)
{
	struct str rest = text.len ? text : STR("<empty>");
	struct str line;
	while (str_split(&rest, '\n', &line)) {
		if (str_trim(line).len)
			wrap(line, indent);
		else
			(void)puts("");
	}
}

static bool required(const struct json *parent, struct str name)
{
	const struct json *list = json_getc(parent, "required");
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(json_str(json_at(list, i)), name))
			return true;
	return false;
}

static void put_enum(const struct schemas *s, const struct json *j, int indent)
{
	const struct json *list = json_getc(resolve(s, j), "enum");
	if (!json_len(list))
		return;
	(void)printf("%*senum: ", indent, "");
	for (size_t i = 0; i < json_len(list); i++)
		(void)printf("%s%.*s", i ? ", " : "", STR_ARG(json_str(json_at(list, i))));
	(void)puts("");
}

static void put_fields(const struct schemas *s, const struct json *j, int indent, bool recursive,
		       int depth)
{
	const struct json *props = json_getc(inner(s, j), "properties");
	for (size_t i = 0; i < json_len(props); i++) {
		struct str name = json_str(&props->members[i].key);
		const struct json *p = &props->members[i].value;
		(void)printf("%*s%.*s\t<%.*s>%s\n", indent, "", STR_ARG(name),
			     STR_ARG(type_of(s, p, 0)),
			     required(inner(s, j), name) ? " -required-" : "");
		put_enum(s, p, indent);
		if (recursive) {
			if (depth < DEPTH_MAX)
				put_fields(s, p, indent + 2, true, depth + 1);
			continue;
		}
		struct str text = json_str(json_getc(p, "description"));
		describe(text.len ? text : json_str(json_getc(resolve(s, p), "description")),
			 indent + 2);
		(void)puts("");
	}
}

static const struct json *root_of(const struct schemas *s, const struct client_resource *res)
{
	for (size_t i = 0; i < json_len(s->all); i++) {
		const struct json *one = &s->all->members[i].value;
		const struct json *gvk = json_getc(one, "x-kubernetes-group-version-kind");
		for (size_t k = 0; k < json_len(gvk); k++) {
			const struct json *g = json_at(gvk, k);
			if (str_eq(json_str(json_getc(g, "group")), res->group) &&
			    str_eq(json_str(json_getc(g, "version")), res->version) &&
			    str_eq(json_str(json_getc(g, "kind")), res->kind))
				return one;
		}
	}
	return NULL;
}

static int walk(const struct schemas *s, const struct client_resource *res, struct str fields)
{
	const struct json *at = root_of(s, res);
	struct error err = { 0 };
	struct str name = STR("");
	struct str rest = fields;
	if (!at) {
		(void)error_set(&err, ERR_NOT_FOUND, "the server describes no %.*s",
				STR_ARG(res->kind));
		return rctl_fail(&err);
	}
	struct str description = json_str(json_getc(at, "description"));
	while (rest.len && str_split(&rest, '.', &name)) {
		const struct json *next = json_get(json_getc(inner(s, at), "properties"), name);
		if (!next) {
			(void)error_set(&err, ERR_NOT_FOUND, "field \"%.*s\" does not exist",
					STR_ARG(name));
			return rctl_fail(&err);
		}
		at = next;
		description = json_str(json_getc(at, "description"));
	}
	if (res->group.len)
		(void)printf("GROUP:      %.*s\n", STR_ARG(res->group));
	(void)printf("KIND:       %.*s\nVERSION:    %.*s\n\n", STR_ARG(res->kind),
		     STR_ARG(res->version));
	if (name.len) {
		(void)printf("FIELD: %.*s <%.*s>\n", STR_ARG(name), STR_ARG(type_of(s, at, 0)));
		put_enum(s, at, 4);
		(void)puts("");
	}
	(void)puts("DESCRIPTION:");
	if (!description.len)
		description = json_str(json_getc(resolve(s, at), "description"));
	describe(description, 4);
	(void)puts("");
	if (json_len(json_getc(inner(s, at), "properties"))) {
		(void)puts("FIELDS:");
		put_fields(s, at, 2, s->r->opt.recursive, 0);
	}
	return 0;
}

int verb_explain(struct rctl *r)
{
	if (r->opt.args_len != 1)
		return rctl_usage("explain TYPE[.FIELD…]");
	struct error err = { 0 };
	const struct client_resource *res = NULL;
	struct json doc;
	struct str whole = str_of(r->opt.args[0]);
	struct str fields = STR("");
	/* "deployments.apps" is a type; else the type ends at the first dot */
	if (rctl_discover(r, &err) != 0)
		return rctl_fail(&err);
	res = client_discovery_find(r->discovery, whole);
	if (!res) {
		ptrdiff_t dot = str_find(whole, '.', 0);
		struct str type = dot < 0 ? whole : str_sub(whole, 0, (size_t)dot);
		if (dot >= 0)
			fields = str_sub(whole, (size_t)dot + 1, whole.len);
		if (rctl_resource(r, type, &res, &err) != 0)
			return rctl_fail(&err);
	}
	char *path = res->group.len ? arena_printf(&r->arena, "/openapi/v3/apis/%.*s/%.*s",
						   STR_ARG(res->group), STR_ARG(res->version))
				    : arena_printf(&r->arena, "/openapi/v3/api/%.*s",
						   STR_ARG(res->version));
	if (rctl_get_json(r, path, &doc, &err) != 0)
		return rctl_fail(&err);
	struct schemas s = { r, json_dig(&doc, "components", "schemas", NULL) };
	return walk(&s, res, fields);
}
