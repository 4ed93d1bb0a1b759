#include "kind/kind.h"
#include "kind/kind_priv.h"
#include "yaml/yaml.h"

#include <criterion/criterion.h>

#include <stdio.h>

static struct arena arena;

static struct json *parse(const char *yaml)
{
	struct json *j = arena_new(&arena, struct json, 1);
	struct error err;
	cr_assert(yaml_parse(&arena, str_of(yaml), j, &err) == 0, "%s: %s", yaml, err.msg);
	return j;
}

static struct json *parse_json(const struct bytes *b)
{
	struct json *j = arena_new(&arena, struct json, 1);
	struct error err;
	cr_assert(b);
	cr_assert(json_parse(&arena, arena_str(&arena, bytes_str(b)), NULL, j, &err) == 0, "%s\n%s",
		  err.msg, b->data);
	return j;
}

static const char *lines(const struct kind_check *c)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < c->errors.len; i++)
		buf_addf(&b, "%.*s: %.*s\n", STR_ARG(c->errors.list[i].path),
			 STR_ARG(c->errors.list[i].message));
	const char *s = arena_str(&arena, buf_str(&b)).p;
	buf_fini(&b);
	return s;
}

#define CRD(name, versions) \
	"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n" \
	"metadata: {name: " name "s.example.com, creationTimestamp: '2024-01-01T00:00:00Z'}\n" \
	"spec:\n  group: example.com\n  scope: Namespaced\n" \
	"  names: {plural: " name "s, kind: " name "}\n  versions:\n" versions
#define VERSION(name, storage, schema) \
	"  - name: " name "\n    served: true\n    storage: " storage \
	"\n    schema: {openAPIV3Schema: " schema "}\n"
#define OPEN "{type: object, x-kubernetes-preserve-unknown-fields: true}"

static const char widgets[] =
	"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
	"metadata: {name: widgets.example.com, creationTimestamp: '2024-01-01T00:00:00Z'}\n"
	"spec:\n  group: example.com\n  scope: Namespaced\n"
	"  names: {plural: widgets, kind: Widget, shortNames: [wd], categories: [all]}\n"
	"  versions:\n"
	"  - name: v1beta1\n    served: true\n    storage: false\n"
	"    schema: {openAPIV3Schema: " OPEN "}\n"
	"  - name: v1\n    served: true\n    storage: true\n"
	"    subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: "
	".status.size}}\n"
	"    selectableFields: [{jsonPath: .spec.color}]\n"
	"    additionalPrinterColumns:\n"
	"    - {name: Color, type: string, jsonPath: .spec.color}\n"
	"    - {name: Size, type: integer, jsonPath: .spec.size}\n"
	"    - {name: When, type: date, jsonPath: .spec.when, priority: 1}\n"
	"    schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n"
	"          metadata: {type: object, properties: {name: {type: string, maxLength: 8}}}\n"
	"          spec:\n            type: object\n            required: [color]\n"
	"            properties:\n"
	"              color: {type: string, enum: [red, blue]}\n"
	"              size: {type: integer, default: 3}\n"
	"              when: {type: string, format: date-time}\n"
	"          status: {type: object, properties: {size: {type: integer}}}\n";

/* A CRD as the server stores it. */
static struct json *stored_crd(const struct kind_set *s, const char *yaml)
{
	struct json *crd = parse(yaml);
	struct kind_check c = { .arena = &arena };
	const struct kind *k =
		kind_find_key(s, STR("apiextensions.k8s.io/customresourcedefinitions"));
	cr_assert(k);
	kind_check_object(k, crd, NULL, NULL, &c);
	cr_expect_str_eq(lines(&c), "", "%s", yaml);
	return crd;
}

Test(kind_crd, a_definition_becomes_a_kind_like_any_other)
{
	struct kind_set *base = kind_set_builtin(KIND_CLUSTER);
	const struct json *crd = stored_crd(base, widgets);
	struct kind_set *s = kind_set_with_crds(base, &crd, 1, NULL, NULL);
	cr_expect(kind_count(s) == kind_count(base) + 2);
	const struct kind *k = kind_find(s, STR("example.com"), STR("v1"), STR("widgets"));
	cr_assert(k);
	cr_expect(!k->builtin && k->namespaced && k->has_status && k->scale.on);
	cr_expect(str_is(k->singular, "widget") && str_is(k->list_kind, "WidgetList"));
	cr_expect(kind_find_key(s, STR("example.com/widgets")) == k, "the storage version");
	cr_expect(kind_find_name(s, STR("wd")) == k, "the stable version comes first");
	const struct kind *beta = kind_find_gvk(s, STR("example.com/v1beta1"), STR("Widget"));
	cr_assert(beta && beta != k);
	cr_expect(str_is(beta->storage_version, "example.com/v1"));
	cr_expect(!kind_find_name(base, STR("wd")));

	struct json *obj =
		parse("apiVersion: example.com/v1\nkind: Widget\n"
		      "metadata: {name: a, namespace: ns}\nspec: {color: red, nope: 1}\n");
	struct kind_check c = { .arena = &arena };
	kind_check_object(k, obj, NULL, NULL, &c);
	cr_expect(c.errors.len == 0 && c.unknown_len == 1);
	cr_expect(str_is(c.unknown[0], "spec.nope"));
	cr_expect_str_eq(json_text(&arena, json_getc(obj, "spec")).p,
			 "{\"color\":\"red\",\"size\":3}");

	obj = parse("apiVersion: example.com/v1\nkind: Widget\n"
		    "metadata: {name: much-too-long, namespace: ns}\nspec: {color: green}\n");
	struct kind_check c2 = { .arena = &arena };
	kind_check_object(k, obj, NULL, NULL, &c2);
	cr_expect_str_eq(lines(&c2), "metadata.name: Too long: may not be more than 8 bytes\n"
				     "spec.color: Unsupported value: \"green\": supported values: "
				     "\"red\", \"blue\"\n");
	kind_set_unref(base);
	kind_set_unref(s);
	arena_fini(&arena);
}

Test(kind_crd, the_columns_of_a_definition_make_a_table)
{
	struct kind_set *base = kind_set_builtin(KIND_CLUSTER);
	const struct json *crd = stored_crd(base, widgets);
	struct kind_set *s = kind_set_with_crds(base, &crd, 1, NULL, NULL);
	const struct kind *k = kind_find_name(s, STR("widgets"));
	struct buf row = { 0 };
	kind_table_row(k, &arena,
		       STR("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"color\":\"red\",\"size\":7,"
			   "\"when\":\"2024-01-01T00:00:00Z\"}}"),
		       KIND_INCLUDE_NONE, 1704067200 + 125, &row);
	cr_expect_str_eq(buf_cstr(&row), "{\"cells\":[\"a\",\"red\",7,\"2m5s\"]}");
	buf_clear(&row);
	kind_table_row(k, &arena, STR("{\"metadata\":{\"name\":\"a\"},\"spec\":{}}"),
		       KIND_INCLUDE_OBJECT, 0, &row);
	cr_expect_str_eq(buf_cstr(&row),
			 "{\"cells\":[\"a\",null,null,null],\"object\":{\"metadata\":"
			 "{\"name\":\"a\"},\"spec\":{}}}");
	buf_fini(&row);
	cr_expect(str_starts(kind_table_columns(k),
			     STR("\"columnDefinitions\":[{\"name\":\"Name\",\"type\":\"string\","
				 "\"format\":\"name\"")));
	kind_set_unref(base);
	kind_set_unref(s);
	arena_fini(&arena);
}

Test(kind_crd, storing_a_definition_fills_names_and_status)
{
	struct kind_set *s = kind_set_builtin(KIND_GLOBAL);
	struct json *crd = stored_crd(s, widgets);
	kind_crd_accept_names(&arena, crd, s, NULL, 0, STR("2024-01-01T00:00:00Z"));
	const struct json *status = json_getc(crd, "status");
	cr_expect_str_eq(
		json_text(&arena, json_dig(crd, "spec", "names", NULL)).p,
		"{\"plural\":\"widgets\",\"kind\":\"Widget\",\"shortNames\":[\"wd\"],"
		"\"categories\":[\"all\"],\"singular\":\"widget\",\"listKind\":\"WidgetList\"}");
	cr_expect(json_equal(json_dig(crd, "spec", "names", NULL),
			     json_getc(status, "acceptedNames")));
	cr_expect_str_eq(json_text(&arena, json_getc(status, "storedVersions")).p, "[\"v1\"]");
	const struct json *c = json_at(json_getc(status, "conditions"), 1);
	cr_expect_str_eq(json_str(json_getc(c, "type")).p ? "x" : "", "x");
	cr_expect(str_is(json_str(json_getc(c, "type")), "Established"));
	cr_expect(str_is(json_str(json_getc(c, "status")), "True"));
	cr_expect(str_is(json_str(json_getc(c, "lastTransitionTime")), "2024-01-01T00:00:00Z"));
	kind_set_unref(s);
	arena_fini(&arena);
}

static struct json *named(const char *group, const char *plural, const char *names)
{
	return parse(arena_printf(&arena,
				  "metadata: {name: %s.%s}\n"
				  "spec: {group: %s, names: {plural: %s, %s}}\n",
				  plural, group, group, plural, names));
}

static const char *accepted(struct json *crd, const struct kind_set *s,
			    const struct json *const *others, size_t n)
{
	struct buf b = { 0 };
	kind_crd_accept_names(&arena, crd, s, others, n, STR("2024-01-01T00:00:00Z"));
	const struct json *list = json_dig(crd, "status", "conditions", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		buf_addf(&b, "%.*s=%.*s %.*s %.*s\n",
			 STR_ARG(json_str(json_getc(json_at(list, i), "type"))),
			 STR_ARG(json_str(json_getc(json_at(list, i), "status"))),
			 STR_ARG(json_str(json_getc(json_at(list, i), "reason"))),
			 STR_ARG(json_str(json_getc(json_at(list, i), "message"))));
	const char *text = arena_str(&arena, buf_str(&b)).p;
	buf_fini(&b);
	return text;
}

#define FREE \
	"NamesAccepted=True NoConflicts no conflicts found\n" \
	"Established=True InitialNamesAccepted the initial names " \
	"have been accepted\n"
#define REFUSED(reason, word) \
	"NamesAccepted=False " reason " \"" word "\" is already in use\n" \
	"Established=False NotAccepted not all names are accepted\n"

Test(kind_crd, a_name_belongs_to_whom_it_was_given_first)
{
	static const struct {
		const char *group, *plural, *names, *want;
	} cases[] = {
		{ "a.io", "gears", "singular: gear, kind: Gear, listKind: GearList", FREE },
		{ "b.io", "bolts",
		  "singular: bolt, kind: Bolt, listKind: BoltList, shortNames: [bo]", FREE },
		{ "a.io", "nuts", "singular: nut, kind: Bolt, listKind: NutList",
		  REFUSED("KindConflict", "Bolt") },
		{ "a.io", "nuts", "singular: bolt, kind: Nut, listKind: NutList",
		  REFUSED("SingularConflict", "bolt") },
		{ "a.io", "bo", "singular: nut, kind: Nut, listKind: NutList",
		  REFUSED("PluralConflict", "bo") },
		{ "a.io", "nuts",
		  "singular: nut, kind: Nut, listKind: NutList, shortNames: [n, bo]",
		  REFUSED("ShortNamesConflict", "bo") },
		{ "a.io", "nuts", "singular: nut, kind: Nut, listKind: BoltList",
		  REFUSED("ListKindConflict", "BoltList") },
		{ "fleet.rctl.io", "places", "singular: place, kind: Placement",
		  REFUSED("KindConflict", "Placement") },
	};
	struct kind_set *s = kind_set_builtin(KIND_GLOBAL);
	struct json *first =
		named("a.io", "bolts",
		      "singular: bolt, kind: Bolt, listKind: BoltList, shortNames: [bo]");
	cr_expect_str_eq(accepted(first, s, NULL, 0), FREE);
	const struct json *others[] = { first };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json *crd = named(cases[i].group, cases[i].plural, cases[i].names);
		cr_expect_str_eq(accepted(crd, s, others, 1), cases[i].want, "%zu", i);
		struct kind_set *with =
			kind_set_with_crds(s, (const struct json *const[]){ crd }, 1, NULL, NULL);
		cr_expect(kind_count(with) == kind_count(s), "nothing to serve in these");
		kind_set_unref(with);
	}
	/* What was accepted once is kept, and served on, when a later name is refused. */
	struct json *later = named("a.io", "nuts", "singular: nut, kind: Nut");
	cr_expect_str_eq(accepted(later, s, others, 1), FREE);
	json_setc(&arena, json_dig(later, "spec", "names", NULL), "singular", json_of_cstr("bolt"));
	cr_expect_str_eq(accepted(later, s, others, 1),
			 "NamesAccepted=False SingularConflict \"bolt\" is already in use\n"
			 "Established=True InitialNamesAccepted the initial names have been "
			 "accepted\n");
	cr_expect(str_is(json_str(json_dig(later, "status", "acceptedNames", "singular", NULL)),
			 "nut"));
	/* Free again once the other is gone. */
	struct json *heir = named("a.io", "nuts", "singular: nut, kind: Bolt");
	(void)accepted(heir, s, others, 1);
	cr_expect_str_eq(accepted(heir, s, NULL, 0), FREE);
	kind_set_unref(s);
	arena_fini(&arena);
}

static const struct {
	const char *yaml, *errors;
} wrong[] = {
	{ CRD("thing", VERSION("v1", "true", OPEN)), "" },
	{ CRD("thing", VERSION("V1", "true", OPEN)),
	  "spec.versions[0].name: Invalid value: \"V1\"" },
	{ CRD("thing", VERSION("v1", "false", OPEN)),
	  "must have exactly one version marked as storage version" },
	{ CRD("thing", VERSION("v1", "true", OPEN) VERSION("v2", "true", OPEN)),
	  "must have exactly one version" },
	{ CRD("thing", VERSION("v1", "true", OPEN) VERSION("v1", "false", OPEN)),
	  "spec.versions[1].name: " },
	{ CRD("thing", VERSION("V_1", "true", OPEN)), "spec.versions[0].name: Invalid value" },
	{ CRD("thing", VERSION("v1", "true", "{type: object, properties: {a: {}}}")),
	  "spec.versions[0].schema.openAPIV3Schema.properties[a].type: Required value: must not be "
	  "empty for specified object fields" },
	{ CRD("thing", VERSION("v1", "true",
			       "{type: object, properties: {a: {type: integer, default: x}}}")),
	  "properties[a].default: Invalid value" },
	{ CRD("thing", "  - {name: v1, served: true, storage: true}\n"),
	  "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required" },
	{ CRD("thing", "  - name: v1\n    served: true\n    storage: true\n"
		       "    additionalPrinterColumns: [{name: A, type: text, jsonPath: .a}]\n"
		       "    schema: {openAPIV3Schema: " OPEN "}\n"),
	  "spec.versions[0].additionalPrinterColumns[0].type: " },
	{ CRD("thing", "  - name: v1\n    served: true\n    storage: true\n"
		       "    additionalPrinterColumns: [{name: A, type: string, jsonPath: '.a['}]\n"
		       "    schema: {openAPIV3Schema: " OPEN "}\n"),
	  "spec.versions[0].additionalPrinterColumns[0].jsonPath: Invalid value" },
	{ CRD("thing",
	      "  - name: v1\n    served: true\n    storage: true\n"
	      "    subresources: {scale: {specReplicasPath: .x, statusReplicasPath: .status.y}}\n"
	      "    schema: {openAPIV3Schema: " OPEN "}\n"),
	  "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".x\": should be "
	  "a "
	  "json path under .spec" },
	{ "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
	  "metadata: {name: other.example.com}\nspec: {group: example.com, scope: Namespaced, "
	  "names: "
	  "{plural: things, kind: Thing}, versions: [{name: v1, served: true, storage: true, "
	  "schema: "
	  "{openAPIV3Schema: " OPEN "}}]}\n",
	  "metadata.name: Invalid value: \"other.example.com\": must be spec.names.plural" },
};

Test(kind_crd, a_wrong_definition_is_refused_field_by_field)
{
	struct kind_set *s = kind_set_builtin(KIND_GLOBAL);
	const struct kind *k =
		kind_find_key(s, STR("apiextensions.k8s.io/customresourcedefinitions"));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct json *crd = parse(wrong[i].yaml);
		struct kind_check c = { .arena = &arena };
		kind_check_object(k, crd, NULL, NULL, &c);
		const char *got = lines(&c);
		bool ok =
			wrong[i].errors[0] ? strstr(got, wrong[i].errors) != NULL : got[0] == '\0';
		cr_expect(ok, "%s\n  got  %s\n  want %s", wrong[i].yaml, got, wrong[i].errors);
	}
	kind_set_unref(s);
	arena_fini(&arena);
}

static void on_error(void *arg, struct str name, const char *msg)
{
	buf_addf(arg, "%.*s: %s\n", STR_ARG(name), msg);
}

Test(kind_crd, a_definition_that_clashes_or_is_broken_is_left_out)
{
	struct kind_set *base = kind_set_builtin(KIND_CLUSTER);
	const struct json *crds[] = {
		stored_crd(base, CRD("thing", VERSION("v1", "true", OPEN))),
		parse(CRD("broken", VERSION("v1", "true", "{type: nonsense}"))),
		parse("metadata: {name: empty}\n"),
		parse("metadata: {name: others.example.com}\nspec: {group: example.com, scope: "
		      "Cluster, "
		      "names: {plural: others, kind: thing}, versions: [{name: v1, served: true, "
		      "storage: true, schema: {openAPIV3Schema: " OPEN "}}]}\n"),
		parse("metadata: {name: pods}\nspec: {group: '', scope: Cluster, "
		      "names: {plural: pods, kind: Pod}, versions: [{name: v1, served: true, "
		      "storage: true, schema: {openAPIV3Schema: " OPEN "}}]}\n"),
	};
	struct buf told = { 0 };
	struct kind_set *s = kind_set_with_crds(base, crds, 5, on_error, &told);
	cr_expect(kind_count(s) == kind_count(base) + 1);
	cr_expect(strstr(buf_cstr(&told), "brokens.example.com: "), "%s", buf_cstr(&told));
	cr_expect(strstr(buf_cstr(&told), "empty: "));
	cr_expect(strstr(buf_cstr(&told),
			 "others.example.com: things.example.com has the same names"));
	cr_expect(strstr(buf_cstr(&told), "pods: pods. has the same names"));
	buf_fini(&told);
	kind_set_unref(base);
	kind_set_unref(s);
	arena_fini(&arena);
}

Test(kind_crd, what_did_not_change_is_not_compiled_again)
{
	struct kind_set *base = kind_set_builtin(KIND_CLUSTER);
	const struct json *crds[] = { stored_crd(base, widgets),
				      stored_crd(base, CRD("thing", VERSION("v1", "true", OPEN))) };
	struct kind_set *one = kind_set_with_crds(base, crds, 2, NULL, NULL);
	crds[1] = stored_crd(base, CRD("thing", VERSION("v2", "true", OPEN)));
	struct kind_set *two = kind_set_with_crds(one, crds, 2, NULL, NULL);
	cr_expect(kind_find_name(one, STR("widgets")) == kind_find_name(two, STR("widgets")));
	cr_expect(kind_find_name(one, STR("things")) != kind_find_name(two, STR("things")));
	cr_expect(kind_find_name(one, STR("pods")) == kind_find_name(two, STR("pods")));
	kind_set_unref(base);
	kind_set_unref(one);
	const struct kind *k = kind_find_name(two, STR("widgets"));
	cr_expect(k && str_is(k->kind, "Widget"), "shared parts outlive the older sets");
	struct kind_set *none = kind_set_with_crds(two, NULL, 0, NULL, NULL);
	cr_expect(!kind_find_name(none, STR("widgets")));
	kind_set_unref(two);
	kind_set_unref(none);
	arena_fini(&arena);
}

/* ---- documents ---- */

static const struct json *by_name(const struct json *list, const char *member, const char *name)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_getc(json_at(list, i), member)), name))
			return json_at(list, i);
	return NULL;
}

Test(kind_crd, discovery_lists_every_resource_once)
{
	struct kind_set *base = kind_set_builtin(KIND_CLUSTER);
	const struct json *crd = stored_crd(base, widgets);
	struct kind_set *s = kind_set_with_crds(base, &crd, 1, NULL, NULL);
	const char *etag, *again;
	struct bytes *b = kind_discovery_v2(s, true, &etag);
	struct bytes *same = kind_discovery_v2(s, true, &again);
	cr_expect(b == same && strcmp(etag, again) == 0);
	cr_expect(strlen(etag) == 64);
	const struct json *doc = parse_json(b);
	const struct json *v1 =
		json_at(json_getc(json_at(json_getc(doc, "items"), 0), "versions"), 0);
	const struct json *pods = by_name(json_getc(v1, "resources"), "resource", "pods");
	cr_assert(pods);
	cr_expect(str_is(json_str(json_getc(pods, "scope")), "Namespaced"));
	cr_expect_str_eq(json_text(&arena, json_getc(pods, "shortNames")).p, "[\"po\"]");
	cr_expect(by_name(json_getc(pods, "subresources"), "subresource", "log"));
	const struct json *bind =
		by_name(json_getc(pods, "subresources"), "subresource", "binding");
	cr_expect_str_eq(json_text(&arena, json_getc(bind, "verbs")).p, "[\"create\"]");
	bytes_unref(b);
	bytes_unref(same);

	b = kind_discovery_v2(s, false, &etag);
	const struct json *groups = json_getc(parse_json(b), "items");
	bytes_unref(b);
	cr_expect(str_is(json_str(json_dig(json_at(groups, 0), "metadata", "name", NULL)), "apps"));
	const struct json *last = json_at(groups, json_len(groups) - 1);
	cr_expect(str_is(json_str(json_dig(last, "metadata", "name", NULL)), "example.com"));
	cr_expect(str_is(json_str(json_getc(json_at(json_getc(last, "versions"), 0), "version")),
			 "v1"));
	cr_expect(json_len(json_getc(last, "versions")) == 2);

	b = kind_api_versions(s);
	cr_expect_str_eq(json_text(&arena, json_getc(parse_json(b), "versions")).p, "[\"v1\"]");
	bytes_unref(b);
	b = kind_api_group_list(s);
	const struct json *g = by_name(json_getc(parse_json(b), "groups"), "name", "example.com");
	cr_expect_str_eq(json_text(&arena, json_getc(g, "preferredVersion")).p,
			 "{\"groupVersion\":\"example.com/v1\",\"version\":\"v1\"}");
	bytes_unref(b);
	b = kind_api_group(s, STR("example.com"));
	cr_expect(json_len(json_getc(parse_json(b), "versions")) == 2);
	bytes_unref(b);
	b = kind_api_resource_list(s, STR("example.com"), STR("v1"));
	const struct json *r = json_getc(parse_json(b), "resources");
	cr_expect(json_len(r) == 3);
	cr_expect(
		str_is(json_str(json_getc(by_name(r, "name", "widgets/scale"), "kind")), "Scale"));
	bytes_unref(b);
	cr_expect(!kind_api_group(s, STR("none.example.com")));
	cr_expect(!kind_api_group(s, STR("")));
	cr_expect(!kind_api_resource_list(s, STR("example.com"), STR("v9")));
	kind_set_unref(base);
	kind_set_unref(s);
	arena_fini(&arena);
}

/* Every reference of a document leads to a schema in it. */
static void check_refs(const struct json *j, const struct json *schemas, size_t *n)
{
	static const char prefix[] = "#/components/schemas/";
	for (size_t i = 0; i < json_len(j); i++) {
		const struct json *child =
			j->type == JSON_ARRAY ? &j->items[i] : &j->members[i].value;
		if (j->type == JSON_OBJECT && str_is(json_str(&j->members[i].key), "$ref") &&
		    child->type == JSON_STRING) {
			struct str ref = json_str(child);
			cr_assert(str_starts(ref, str_of(prefix)), "%.*s", STR_ARG(ref));
			cr_expect(json_get(schemas, str_sub(ref, sizeof(prefix) - 1, ref.len)),
				  "%.*s", STR_ARG(ref));
			*n += 1;
		}
		if (j->type == JSON_OBJECT)
			cr_expect(!str_starts(json_str(&j->members[i].key), STR("x-rctl-")));
		check_refs(child, schemas, n);
	}
}

/* Each property below a schema says what it is: that is what kubectl explain prints. */
static size_t check_described(const struct json *schema, const char *path)
{
	size_t n = 0;
	const struct json *props = json_getc(schema, "properties");
	for (size_t i = 0; i < json_len(props); i++) {
		const struct json_member *m = &props->members[i];
		struct str name = json_str(&m->key);
		const char *at = arena_printf(&arena, "%s.%.*s", path, STR_ARG(name));
		cr_expect(json_str(json_getc(&m->value, "description")).len, "%s", at);
		n += 1 + check_described(&m->value, at);
	}
	static const char *const below[] = { "items", "additionalProperties" };
	for (size_t i = 0; i < 2; i++)
		if (json_is(json_getc(schema, below[i]), JSON_OBJECT))
			n += check_described(json_getc(schema, below[i]), path);
	return n;
}

Test(kind_crd, every_field_of_every_kind_is_described)
{
	static const enum kind_plane planes[] = { KIND_GLOBAL, KIND_CLUSTER };
	size_t fields = 0;
	for (size_t p = 0; p < 2; p++) {
		struct kind_set *s = kind_set_builtin(planes[p]);
		for (size_t i = 0; i < kind_count(s); i++) {
			const struct kind *k = kind_at(s, i);
			struct bytes *b = kind_openapi(s, k->group, k->version, NULL);
			const struct json *all =
				json_dig(parse_json(b), "components", "schemas", NULL);
			bytes_unref(b);
			for (size_t j = 0; j < json_len(all); j++) {
				const struct json_member *m = &all->members[j];
				const char *name = arena_str(&arena, json_str(&m->key)).p;
				cr_expect(json_str(json_getc(&m->value, "description")).len, "%s",
					  name);
				fields += check_described(&m->value, name);
			}
			arena_reset(&arena);
		}
		kind_set_unref(s);
	}
	cr_expect(fields > 2000);
	arena_fini(&arena);
}

Test(kind_crd, openapi_documents_are_closed_and_named_in_the_index)
{
	struct kind_set *base = kind_set_builtin(KIND_GLOBAL);
	const struct json *crd = stored_crd(base, widgets);
	struct kind_set *s = kind_set_with_crds(base, &crd, 1, NULL, NULL);
	struct bytes *b = kind_openapi_index(s);
	const struct json *paths = json_getc(parse_json(b), "paths");
	bytes_unref(b);
	size_t refs = 0;
	for (size_t i = 0; i < kind_count(s); i++) {
		const struct kind *k = kind_at(s, i);
		const char *hash = NULL;
		b = kind_openapi(s, k->group, k->version, &hash);
		const struct json *doc = parse_json(b);
		check_refs(doc, json_dig(doc, "components", "schemas", NULL), &refs);
		bytes_unref(b);
		char *name = arena_printf(&arena, "%s/%.*s", k->group.len ? "apis" : "api",
					  STR_ARG(k->api_version));
		char *url = arena_printf(&arena, "/openapi/v3/%s?hash=%s", name, hash);
		struct str got = json_str(json_dig(paths, name, "serverRelativeURL", NULL));
		cr_expect(str_is(got, url), "%.*s", STR_ARG(got));
	}
	cr_expect(refs > 1000);
	cr_expect(!kind_openapi(s, STR("none"), STR("v1"), NULL));
	kind_set_unref(base);
	kind_set_unref(s);
	arena_fini(&arena);
}

Test(kind_crd, openapi_has_what_kubectl_looks_for)
{
	struct kind_set *base = kind_set_builtin(KIND_CLUSTER);
	const struct json *crd = stored_crd(base, widgets);
	struct kind_set *s = kind_set_with_crds(base, &crd, 1, NULL, NULL);
	struct bytes *b = kind_openapi(s, STR("apps"), STR("v1"), NULL);
	const struct json *doc = parse_json(b);
	bytes_unref(b);
	const struct json *op =
		json_dig(doc, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
			 "patch", NULL);
	cr_assert(op);
	cr_expect(by_name(json_getc(op, "parameters"), "name", "fieldValidation"));
	cr_expect(by_name(json_getc(op, "parameters"), "name", "dryRun"));
	cr_expect_str_eq(json_text(&arena, json_getc(op, "x-kubernetes-group-version-kind")).p,
			 "{\"group\":\"apps\",\"version\":\"v1\",\"kind\":\"Deployment\"}");
	cr_expect(str_is(json_str(json_getc(op, "x-kubernetes-action")), "patch"));
	cr_expect(json_dig(op, "requestBody", "content", "application/strategic-merge-patch+json",
			   NULL));
	cr_expect(json_dig(doc, "paths",
			   "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale", "put",
			   NULL));
	const struct json *schemas = json_dig(doc, "components", "schemas", NULL);
	const struct json *d = json_getc(schemas, "io.k8s.api.apps.v1.Deployment");
	cr_expect_str_eq(json_text(&arena, json_getc(d, "x-kubernetes-group-version-kind")).p,
			 "[{\"group\":\"apps\",\"version\":\"v1\",\"kind\":\"Deployment\"}]");
	const struct json *containers =
		json_dig(schemas, "io.k8s.api.core.v1.PodSpec", "properties", "containers", NULL);
	cr_expect(str_is(json_str(json_getc(containers, "x-kubernetes-patch-merge-key")), "name"));

	b = kind_openapi(s, STR("example.com"), STR("v1"), NULL);
	doc = parse_json(b);
	bytes_unref(b);
	op = json_dig(doc, "paths", "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}",
		      "patch", NULL);
	cr_assert(op);
	cr_expect(!json_dig(op, "requestBody", "content", "application/strategic-merge-patch+json",
			    NULL));
	d = json_dig(doc, "components", "schemas", "com.example.v1.Widget", NULL);
	cr_assert(d);
	cr_expect(json_dig(d, "properties", "metadata", "allOf", NULL));
	cr_expect(str_is(
		json_str(json_dig(d, "properties", "spec", "properties", "color", "type", NULL)),
		"string"));
	cr_expect(json_dig(doc, "components", "schemas", "com.example.v1.WidgetList", NULL));
	b = kind_openapi_v2(s);
	cr_expect(b->len > 10 && memcmp(b->data,
					"\x0a\x03"
					"2.0",
					5) == 0);
	cr_expect(memmem(b->data, b->len, "dryRun", 6));
	cr_expect(memmem(b->data, b->len, "#/definitions/io.k8s.api.core.v1.PodSpec", 40));
	cr_expect(memmem(b->data, b->len, "com.example.v1.Widget", 21));
	bytes_unref(b);
	cr_expect(strcmp(kind_openapi_v2_etag(s), kind_openapi_v2_etag(base)) != 0);
	kind_set_unref(base);
	kind_set_unref(s);
	arena_fini(&arena);
}

Test(kind_crd, the_hash_of_a_document_follows_its_definitions)
{
	struct kind_set *base = kind_set_builtin(KIND_CLUSTER);
	const struct json *crds[] = { stored_crd(base, CRD("thing", VERSION("v1", "true", OPEN))) };
	struct kind_set *one = kind_set_with_crds(base, crds, 1, NULL, NULL);
	crds[0] = stored_crd(base, CRD("thing", VERSION("v1", "true", "{type: object}")));
	struct kind_set *two = kind_set_with_crds(one, crds, 1, NULL, NULL);
	const char *x, *y, *p, *q;
	bytes_unref(kind_openapi(one, STR("example.com"), STR("v1"), &x));
	bytes_unref(kind_openapi(two, STR("example.com"), STR("v1"), &y));
	bytes_unref(kind_openapi(one, STR(""), STR("v1"), &p));
	bytes_unref(kind_openapi(two, STR(""), STR("v1"), &q));
	cr_expect_str_neq(x, y);
	cr_expect_str_eq(p, q);
	kind_set_unref(base);
	kind_set_unref(one);
	kind_set_unref(two);
	arena_fini(&arena);
}

Test(kind_crd, versions_are_in_the_order_of_kubernetes)
{
	static const char *const order[] = { "v10",      "v2",      "v1",        "v11beta2",
					     "v10beta3", "v3beta1", "v12alpha1", "v11alpha2",
					     "foo1",     "foo10" };
	for (size_t i = 0; i + 1 < sizeof(order) / sizeof(order[0]); i++) {
		cr_expect(kind_version_cmp(str_of(order[i]), str_of(order[i + 1])) < 0, "%s %s",
			  order[i], order[i + 1]);
		cr_expect(kind_version_cmp(str_of(order[i + 1]), str_of(order[i])) > 0);
	}
}
