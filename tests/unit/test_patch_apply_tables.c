/* Server-side apply against the tables of structured-merge-diff, which nobody here wrote. */
#include "patch/managed.h"
#include "patch/typed.h"
#include "tests/unit/patch_tables.h"

#include <criterion/criterion.h>

#define DIR "structured-merge-diff/tables/"

/*
 * Not run, with the reason:
 *   fieldpath_fromvalue_test            sets of values without any schema: a server deduces
 *                                       (TestMultipleAppliersDeducedType covers it)
 *   fieldpath_set_test TestSetLeaves, TestFilterByPattern, RecursiveDifference
 *                                       for resetting fields by set: callers reset the value itself
 *   fieldpath_set_test and typed_validate_test Benchmark…   cases of benchmarks
 *   typed_remove_test extractWithKeysCases, reversibleExtractCases and the fourth column of
 *   removeCases                         extracting what a manager owns is the client's side
 *   merge_multiple_appliers_test …RealConversion, …FieldRenameConversions, …FieldUnsetting,
 *   …ReliantFieldsConversions           versions whose fields have other names: the versions of a
 *                                       kind share one schema here
 *   merge_conflict_test                 is empty
 */

/* The schemas that the merge tables name by Go variables. */
#define UNTYPED_DEDUCED \
	"- name: deduced\n  scalar: untyped\n  list:\n    elementType:\n      namedType: " \
	"deduced\n    elementRelationship: atomic\n  map:\n    elementType:\n      namedType: " \
	"deduced\n    elementRelationship: separable\n"

static const char leaf_schema[] = "types:\n- name: root\n  map:\n    fields:\n"
				  "    - {name: numeric, type: {scalar: numeric}}\n    - {name: "
				  "string, type: {scalar: string}}\n"
				  "    - {name: bool, type: {scalar: boolean}}\n";
static const char set_schema[] =
	"types:\n- name: root\n  map:\n    fields:\n    - name: list\n      type:\n        list:\n"
	"          elementType: {scalar: string}\n          elementRelationship: associative\n";
static const char key_schema[] =
	"types:\n- name: root\n  map:\n    fields:\n    - name: list\n      type:\n        list:\n"
	"          elementType:\n            map:\n              fields:\n"
	"              - {name: name, type: {scalar: string}}\n"
	"              - {name: value, type: {scalar: numeric}}\n"
	"          elementRelationship: associative\n          keys: [name]\n";
static const char unknown_schema[] =
	"types:\n- name: root\n  map:\n    fields:\n    - {name: num, type: {scalar: numeric}}\n"
	"    elementType: {namedType: deduced}\n" UNTYPED_DEDUCED;
static const char deduced_schema[] =
	"types:\n- name: root\n  map:\n    elementType: {namedType: deduced}\n" UNTYPED_DEDUCED;
static const char ports_schema[] =
	"types:\n- name: root\n  map:\n    fields:\n    - name: containerPorts\n      type:\n"
	"        list:\n          elementType:\n            map:\n              fields:\n"
	"              - {name: port, type: {scalar: numeric}}\n"
	"              - {name: protocol, default: TCP, type: {scalar: string}}\n"
	"              - {name: name, type: {scalar: string}}\n"
	"          elementRelationship: associative\n          keys: [port, protocol]\n";
static const char book_schema[] =
	"types:\n- name: root\n  map:\n    fields:\n    - name: book\n      type:\n"
	"        list:\n          elementType:\n            map:\n              fields:\n"
	"              - {name: chapter, default: 1, type: {scalar: numeric}}\n"
	"              - {name: section, default: A, type: {scalar: string}}\n"
	"              - name: sentences\n                type:\n                  list:\n"
	"                    elementType:\n                      map:\n                        "
	"fields:\n"
	"                        - {name: page, default: 2.0, type: {scalar: numeric}}\n"
	"                        - {name: line, default: 3, type: {scalar: numeric}}\n"
	"                        - {name: text, type: {scalar: string}}\n"
	"                    elementRelationship: associative\n"
	"                    keys: [page, line]\n"
	"          elementRelationship: associative\n          keys: [chapter, section]\n";
static const char duplicates_schema[] =
	"types:\n- name: root\n  map:\n    fields:\n    - {name: unrelated, type: {scalar: "
	"numeric}}\n"
	"    - name: set\n      type:\n        list:\n          elementType: {scalar: numeric}\n"
	"          elementRelationship: associative\n"
	"    - name: list\n      type:\n        list:\n          elementType:\n            map:\n"
	"              fields:\n              - {name: name, type: {scalar: string}}\n"
	"              - {name: value1, type: {scalar: numeric}}\n"
	"              - {name: value2, type: {scalar: numeric}}\n"
	"          elementRelationship: associative\n          keys: [name]\n";
static const char atomic_schema[] =
	"types:\n- name: root\n  map:\n    fields:\n    - name: atomicMap\n      type:\n        "
	"map:\n"
	"          elementType: {scalar: string}\n          elementRelationship: atomic\n";
static const char extract_schema[] =
	"types:\n- name: root\n  map:\n    fields:\n    - name: list\n      type:\n        list:\n"
	"          elementType: {scalar: string}\n          elementRelationship: associative\n"
	"    - name: atomicList\n      type:\n        list:\n          elementType: {scalar: "
	"string}\n"
	"          elementRelationship: atomic\n"
	"    - {name: map, type: {map: {elementType: {scalar: string}}}}\n"
	"    - name: atomicMap\n      type:\n        map:\n          elementType: {scalar: "
	"string}\n"
	"          elementRelationship: atomic\n";
static const char named_schema[] =
	"types:\n- name: root\n  map:\n    elementType: {namedType: root}\n    fields:\n"
	"    - {name: named, type: {namedType: root}}\n    - {name: a, type: {namedType: root}}\n  "
	"  - {name: value, type: {scalar: numeric}}\n"
	"    - name: list\n      type:\n        list:\n          elementType: {namedType: root}\n"
	"          elementRelationship: associative\n          keys: [keyAStr, keyBInt]\n"
	"    - name: values\n      type:\n        list:\n          elementType: {namedType: root}\n"
	"          elementRelationship: associative\n          keys: [keyAStr]\n";

static const struct schema *schema_text(struct arena *a, const char *yaml, const char *root)
{
	struct json text = json_of_cstr(yaml);
	const struct schema *s = smd_schema(a, &text, root);
	cr_assert(s, "%s", yaml);
	return s;
}

/* Skips the test when the table is absent. */
#define TABLE(a, file, table) \
	const struct json *(table) = public_json((a), DIR file); \
	if (!(table)) { \
		cr_skip_test("%s is absent", DIR file); \
		return; \
	}

/* ---- paths and sets ---- */

static void expect_path(struct arena *a, const struct json *path, struct str want)
{
	struct pe pes[16];
	struct buf got = { 0 };
	size_t len = path_of(a, path, pes, 16);
	for (size_t i = 0; i < len; i++)
		pe_print(&got, &pes[i]);
	cr_expect(str_eq(buf_str(&got), want), "%.*s, not %.*s", STR_ARG(buf_str(&got)),
		  STR_ARG(want));
	buf_fini(&got);
}

Test(patch_apply_tables, prints_paths)
{
	struct arena a = { 0 };
	TABLE(&a, "fieldpath_path_test.json", t);
	const struct json *rows = json_getc(t, "TestPathString.table");
	cr_expect_gt(json_len(rows), 5);
	for (size_t i = 0; i < json_len(rows); i++) {
		const struct json *r = json_at(rows, i);
		bool list = r->type == JSON_ARRAY;
		expect_path(&a, list ? json_at(r, 1) : json_getc(r, "fp"),
			    json_str(list ? json_at(r, 2) : json_getc(r, "expect")));
	}
	arena_fini(&a);
}

static void round_trip(struct arena *a, const struct json *row)
{
	struct str text = json_str(json_at(row, 0));
	struct pe want = element_of(a, json_at(row, 1));
	struct pe got = { 0 };
	struct error err = { 0 };
	cr_expect_eq(pe_parse(a, text, &got, &err), 0, "%.*s: %s", STR_ARG(text), err.msg);
	cr_expect_eq(pe_cmp(&got, &want), 0, "%.*s", STR_ARG(text));
}

Test(patch_apply_tables, reads_and_writes_path_elements)
{
	struct arena a = { 0 };
	TABLE(&a, "fieldpath_serialize-pe_test.json", t);
	const struct json *rows = json_getc(t, "TestPathElementRoundTrip.tests");
	cr_expect_gt(json_len(rows), 20);
	for (size_t i = 0; i < json_len(rows); i++) {
		struct pe want = element_of(&a, json_at(json_at(rows, i), 1));
		struct str text = json_str(json_at(json_at(rows, i), 0));
		round_trip(&a, json_at(rows, i));
		cr_expect(str_eq(pe_text(&a, &want), text), "%.*s, not %.*s",
			  STR_ARG(pe_text(&a, &want)), STR_ARG(text));
	}
	rows = json_getc(t, "TestDeserializePathElementSuccess.tests");
	cr_expect_gt(json_len(rows), 10);
	for (size_t i = 0; i < json_len(rows); i++)
		round_trip(&a, json_at(rows, i));
	rows = json_getc(t, "TestDeserializePathElementError.tests");
	cr_expect_gt(json_len(rows), 20);
	for (size_t i = 0; i < json_len(rows); i++) {
		struct pe got = { 0 };
		struct str text = json_str(json_at(rows, i));
		cr_expect_eq(pe_parse(&a, text, &got, NULL), ERR_BAD_REQUEST, "%.*s",
			     STR_ARG(text));
	}
	arena_fini(&a);
}

/* The text of the set read from `text`, or NULL. */
static const char *normal(struct arena *a, struct str text)
{
	struct json j = { 0 };
	struct fset set = { 0 };
	if (json_parse(a, text, NULL, &j, NULL) < 0 || fset_parse(a, &j, &set, NULL) < 0)
		return NULL;
	return set_text(a, &set);
}

Test(patch_apply_tables, reads_and_writes_sets)
{
	struct arena a = { 0 };
	TABLE(&a, "fieldpath_serialize_test.json", t);
	const struct json *rows = json_getc(t, "TestSerializeV1GoldenData.examples");
	cr_expect_eq(json_len(rows), 3);
	for (size_t i = 0; i < json_len(rows); i++)
		cr_expect_str_eq(normal(&a, json_str(json_at(rows, i))), json_at(rows, i)->s);
	rows = json_getc(t, "TestDeserializeForValidNonNormalized.testCases");
	for (size_t i = 0; i < json_len(rows); i++) {
		const struct json *r = json_at(rows, i);
		struct str want = json_str(json_getc(r, "normalizedString"));
		const char *got = normal(&a, json_str(json_getc(r, "nonNormalizedString")));
		cr_expect(got && str_is(want, got), "%s, not %.*s", got, STR_ARG(want));
	}
	rows = json_getc(t, "TestSetFromJSON.cases");
	for (size_t i = 0; i < json_len(rows); i++)
		cr_expect(normal(&a, json_str(json_at(json_at(rows, i), 1))), "%.*s",
			  STR_ARG(json_str(json_at(json_at(rows, i), 0))));
	rows = json_getc(t, "TestSetFromJSONTokenTypeErrors.cases");
	cr_expect_gt(json_len(rows), 40);
	for (size_t i = 0; i < json_len(rows); i++)
		cr_expect_null(normal(&a, json_str(json_at(json_at(rows, i), 1))), "%.*s",
			       STR_ARG(json_str(json_at(json_at(rows, i), 0))));
	static const char *const real[] = { "endpointsset", "nodeset", "podset",
					    "prometheus-crdset" };
	for (size_t i = 0; i < 4; i++) {
		const struct json *j = public_json(
			&a, arena_printf(&a, "structured-merge-diff/internal/testdata/%s.json",
					 real[i]));
		struct fset set = { 0 };
		cr_assert_eq(fset_parse(&a, j, &set, NULL), 0, "%s", real[i]);
		struct json back = fset_json(&a, &set);
		cr_expect(json_equal(&back, j), "%s", real[i]);
	}
	arena_fini(&a);
}

static void differences(struct arena *a, const struct json *t)
{
	const struct json *rows = json_getc(t, "TestSetDifference.table");
	cr_expect_eq(json_len(rows), 7);
	for (size_t i = 0; i < json_len(rows); i++) {
		const struct json *r = json_at(rows, i);
		struct fset x = set_from(a, json_getc(r, "a"));
		struct fset y = set_from(a, json_getc(r, "b"));
		struct fset want = set_from(a, json_getc(r, "expectDifference"));
		struct fset got = fset_difference(a, &x, &y);
		cr_expect(fset_equal(&got, &want), "%.*s", STR_ARG(json_str(json_getc(r, "name"))));
	}
}

Test(patch_apply_tables, computes_with_sets)
{
	struct arena a = { 0 };
	TABLE(&a, "fieldpath_set_test.json", t);
	differences(&a, t);
	const struct json *rows = json_getc(t, "TestSetEquals.table");
	cr_expect_eq(json_len(rows), 8);
	for (size_t i = 0; i < json_len(rows); i++) {
		struct fset x = set_from(&a, json_getc(json_at(rows, i), "a"));
		struct fset y = set_from(&a, json_getc(json_at(rows, i), "b"));
		cr_expect_eq(fset_equal(&x, &y),
			     json_bool(json_getc(json_at(rows, i), "equal"), false), "row %zu", i);
	}
	/* s1 of the table, which is a variable there */
	struct json s1 = { 0 };
	cr_assert_eq(
		json_parse(
			&a,
			STR("{\"f:foo\":{\"i:0\":{\".\":{},\"f:bar\":{\".\":{},\"f:baz\":{}}},"
			    "\"i:1\":{\"f:bar\":{\".\":{},\"f:baz\":{}}}},"
			    "\"f:qux\":{\"k:{\\\"name\\\":\\\"first\\\"}\":{\".\":{},\"f:bar\":{}},"
			    "\"k:{\\\"name\\\":\\\"second\\\"}\":{\"f:bar\":{}}},\"f:"
			    "canonicalOrder\":"
			    "{\"k:{\\\"a\\\":\\\"a\\\",\\\"b\\\":\\\"a\\\",\\\"c\\\":\\\"a\\\","
			    "\\\"d\\\":\\\"a\\\",\\\"e\\\":\\\"a\\\",\\\"f\\\":\\\"a\\\"}\":{}}}"),
			NULL, &s1, NULL),
		0);
	struct fset set = { 0 };
	cr_assert_eq(fset_parse(&a, &s1, &set, NULL), 0);
	rows = json_getc(t, "TestSetInsertHas.table");
	cr_expect_eq(json_len(rows), 11);
	for (size_t i = 0; i < json_len(rows); i++) {
		struct pe path[16];
		size_t len = path_of(&a, json_at(json_at(rows, i), 1), path, 16);
		cr_expect_eq(fset_has(&set, path, len),
			     json_bool(json_at(json_at(rows, i), 2), false), "row %zu", i);
	}
	rows = json_getc(t, "TestEnsureNamedFieldsAreMembers.table");
	cr_expect_eq(json_len(rows), 5);
	const struct schema *s = schema_text(&a, named_schema, "root");
	for (size_t i = 0; i < json_len(rows); i++) {
		struct fset before = set_from(&a, json_getc(json_at(rows, i), "expectedBefore"));
		struct fset want = set_from(&a, json_getc(json_at(rows, i), "expectedAfter"));
		struct fset got = typed_named(&a, s, &before);
		cr_expect(fset_equal(&got, &want), "row %zu: %s, not %s", i, set_text(&a, &got),
			  set_text(&a, &want));
	}
	arena_fini(&a);
}

/* ---- typed values ---- */

static const struct schema *case_schema(struct arena *a, const struct json *c)
{
	struct str root = json_str(json_getc(c, "rootTypeName"));
	const struct schema *s = smd_schema(a, json_getc(c, "schema"), arena_str(a, root).p);
	cr_assert(s, "%.*s", STR_ARG(root));
	return s;
}

static struct json value_at(struct arena *a, const struct json *row, size_t i)
{
	struct json v = { 0 };
	cr_assert(yaml_value(a, json_at(row, i), &v), "%.*s", STR_ARG(json_str(json_at(row, i))));
	return v;
}

static size_t verdicts(struct arena *a, const struct json *c, const char *list, bool ok,
		       bool duplicates)
{
	const struct schema *s = case_schema(a, c);
	const struct json *rows = json_getc(c, list);
	for (size_t i = 0; i < json_len(rows); i++) {
		struct json v = value_at(a, rows, i);
		struct error err = { 0 };
		cr_expect_eq(typed_check(a, s, &v, duplicates, &err) == 0, ok, "%s %.*s: %s", list,
			     STR_ARG(json_str(json_at(rows, i))), err.msg);
	}
	return json_len(rows);
}

Test(patch_apply_tables, checks_values_against_their_schema)
{
	struct arena a = { 0 };
	TABLE(&a, "typed_validate_test.json", t);
	const struct json *cases = json_getc(t, "validationCases");
	size_t count = 0;
	for (size_t i = 0; i < json_len(cases); i++) {
		const struct json *c = json_at(cases, i);
		count += verdicts(&a, c, "validObjects", true, false);
		count += verdicts(&a, c, "invalidObjects", false, false);
		count += verdicts(&a, c, "invalidObjects", false, true);
		count += verdicts(&a, c, "duplicatesObjects", false, false);
		count += verdicts(&a, c, "duplicatesObjects", true, true);
	}
	cr_expect_gt(count, 80);
	arena_fini(&a);
}

Test(patch_apply_tables, finds_the_set_of_a_value)
{
	struct arena a = { 0 };
	TABLE(&a, "typed_toset_test.json", t);
	const struct json *cases = json_getc(t, "fieldsetCases");
	size_t count = 0;
	for (size_t i = 0; i < json_len(cases); i++) {
		const struct schema *s = case_schema(&a, json_at(cases, i));
		const struct json *rows = json_getc(json_at(cases, i), "pairs");
		for (size_t k = 0; k < json_len(rows); k++, count++) {
			struct json v = value_at(&a, json_at(rows, k), 0);
			struct fset want = set_from(&a, json_at(json_at(rows, k), 1));
			struct fset got = typed_set(&a, s, &v);
			cr_expect(fset_equal(&got, &want), "%s: %s, not %s", json_text(&a, &v).p,
				  set_text(&a, &got), set_text(&a, &want));
		}
	}
	cr_expect_gt(count, 25);
	arena_fini(&a);
}

Test(patch_apply_tables, merges_values)
{
	struct arena a = { 0 };
	TABLE(&a, "typed_merge_test.json", t);
	const struct json *cases = json_getc(t, "mergeCases");
	size_t count = 0;
	for (size_t i = 0; i < json_len(cases); i++) {
		const struct schema *s = case_schema(&a, json_at(cases, i));
		const struct json *rows = json_getc(json_at(cases, i), "triplets");
		for (size_t k = 0; k < json_len(rows); k++, count++) {
			struct json l = value_at(&a, json_at(rows, k), 0);
			struct json r = value_at(&a, json_at(rows, k), 1);
			struct json want = value_at(&a, json_at(rows, k), 2);
			struct json got = { 0 };
			bool changed = typed_merge(&a, s, &l, &r, &got);
			cr_expect(json_equal(&got, &want), "%s + %s = %s, not %s",
				  json_text(&a, &l).p, json_text(&a, &r).p, json_text(&a, &got).p,
				  json_text(&a, &want).p);
			cr_expect_eq(changed, !json_equal(&l, &want), "%s + %s",
				     json_text(&a, &l).p, json_text(&a, &r).p);
		}
	}
	cr_expect_gt(count, 50);
	arena_fini(&a);
}

Test(patch_apply_tables, removes_sets_from_values)
{
	struct arena a = { 0 };
	TABLE(&a, "typed_remove_test.json", t);
	const struct json *cases = json_getc(t, "removeCases");
	size_t count = 0;
	for (size_t i = 0; i < json_len(cases); i++) {
		const struct schema *s = case_schema(&a, json_at(cases, i));
		const struct json *rows = json_getc(json_at(cases, i), "quadruplets");
		for (size_t k = 0; k < json_len(rows); k++) {
			const struct json *r = json_at(rows, k);
			/* "unparseable": the rest has list elements without keys */
			if (str_is(json_str(json_at(r, 2)), "unparseable"))
				continue;
			count++;
			struct json v = value_at(&a, r, 0);
			struct json want = value_at(&a, r, 2);
			/* written as "{"a"}", which YAML reads as {a: null} */
			struct fset gone = set_from(&a, json_at(r, 1));
			struct json got = typed_remove(&a, s, &v, &gone);
			if (got.type == JSON_NULL)
				got = json_object();
			cr_expect(json_equal(&got, &want), "%s - %s = %s, not %s",
				  json_text(&a, &v).p, set_text(&a, &gone), json_text(&a, &got).p,
				  json_text(&a, &want).p);
		}
	}
	cr_expect_gt(count, 40);
	arena_fini(&a);
}

/* ---- managers over several writes ---- */

struct state {
	struct arena *a;
	const struct schema *schema;
	struct managers managers;
	struct json live;
	const char *name; /* of the case */
};

/* In the tables a manager is its name; operation and version are not part of it. */
static struct manager *manager_named(struct state *s, struct str name)
{
	for (size_t i = 0; i < s->managers.len; i++) {
		if (str_eq(s->managers.list[i].name, name))
			return &s->managers.list[i];
	}
	return managers_entry(s->a, &s->managers, &(struct manager){ .name = name, .read = true });
}

static bool collect(void *arg, const struct pe *path, size_t len)
{
	struct buf *b = arg;
	for (size_t i = 0; i < len; i++)
		pe_print(b, &path[i]);
	buf_addc(b, '\n');
	return true;
}

static void expect_conflicts(struct state *s, const struct ssa *x, const struct json *want)
{
	struct buf got = { 0 };
	const struct json *items = json_getc(want, "$items");
	for (size_t i = 0; i < s->managers.len; i++) {
		struct fset set = { 0 };
		for (size_t k = 0; k < json_len(items); k++) {
			struct pe path[16];
			const struct json *c = json_at(items, k);
			if (!str_eq(json_str(json_getc(c, "Manager")), s->managers.list[i].name))
				continue;
			size_t len = path_of(s->a, json_getc(c, "Path"), path, 16);
			fset_insert(s->a, &set, path, len);
		}
		(void)fset_each(&x->conflicts[i], collect, &got);
		cr_expect(fset_equal(&set, &x->conflicts[i]), "%s: conflicts %s", s->name,
			  buf_cstr(&got));
	}
	buf_fini(&got);
}

/* What the manager owns of the live object, under the new configuration. */
static struct json extracted(struct state *s, struct manager *self, const struct json *config)
{
	struct fset all = typed_set(s->a, s->schema, &s->live);
	struct fset others = fset_difference(s->a, &all, manager_set(s->a, self));
	struct json own = typed_remove(s->a, s->schema, &s->live, &others);
	struct json merged = { 0 };
	if (own.type != JSON_OBJECT)
		own = json_object();
	(void)typed_merge(s->a, s->schema, &own, config, &merged);
	return merged;
}

/* 0, or what the write failed with. */
static int write_one(struct state *s, const struct json *op)
{
	struct str type = json_str(json_getc(op, "$type"));
	struct str version = json_str(json_getc(op, "APIVersion"));
	struct json obj = { 0 };
	cr_assert(yaml_value(s->a, json_getc(op, "Object"), &obj), "%s", s->name);
	struct manager *self = manager_named(s, json_str(json_getc(op, "Manager")));
	struct ssa x = { .a = s->a, .schema = s->schema, .managers = &s->managers };
	if (str_is(type, "Update")) {
		(void)ssa_update(&x, self, &s->live, &obj);
		self->api_version = version;
		s->live = obj;
		return 0;
	}
	if (str_is(type, "ExtractApply"))
		obj = extracted(s, self, &obj);
	struct ssa_applied got;
	struct error err = { 0 };
	int rc = typed_check(s->a, s->schema, &obj, false, &err);
	if (rc == 0)
		rc = ssa_apply(&x, self, version, str_is(type, "ForceApply"), &s->live, &obj, &got,
			       &err);
	if (rc == ERR_CONFLICT && json_getc(op, "Conflicts")) {
		expect_conflicts(s, &x, json_getc(op, "Conflicts"));
		return 0;
	}
	cr_expect_null(json_getc(op, "Conflicts"), "%s: no conflict", s->name);
	if (rc == 0)
		s->live = got.object;
	return rc;
}

static void expect_managers(struct state *s, const struct json *want)
{
	size_t owners = 0;
	for (size_t i = 0; i < s->managers.len; i++) {
		struct manager *m = &s->managers.list[i];
		if (fset_empty(manager_set(s->a, m)))
			continue;
		owners++;
		const struct json *args =
			call_args(json_get(want, m->name), "fieldpath.NewVersionedSet");
		struct fset set = set_from(s->a, json_at(args, 0));
		cr_expect(fset_equal(&set, &m->set), "%s: %.*s owns %s, not %s", s->name,
			  STR_ARG(m->name), set_text(s->a, &m->set), set_text(s->a, &set));
		cr_expect(str_eq(json_str(json_at(args, 1)), m->api_version), "%s: %.*s is at %.*s",
			  s->name, STR_ARG(m->name), STR_ARG(m->api_version));
	}
	size_t expected = 0;
	for (uint32_t i = 0; i < json_len(want); i++)
		expected += want->members[i].key.s[0] != '$';
	cr_expect_eq(owners, expected, "%s: %zu managers, not %zu", s->name, owners, expected);
}

static void run_case(const struct schema *schema, struct str name, const struct json *c, bool fails)
{
	struct arena a = { 0 };
	struct state s = { .a = &a, .schema = schema, .live = json_object() };
	s.name = arena_str(&a, name).p;
	const struct json *ops = json_getc(c, "Ops");
	int rc = 0;
	for (size_t i = 0; i < json_len(ops) && rc == 0; i++)
		rc = write_one(&s, json_at(ops, i));
	cr_expect_eq(rc < 0, fails, "%s: %d", s.name, rc);
	if (!fails) {
		struct json want = { 0 };
		const struct json *object = json_getc(c, "Object");
		if (object) {
			cr_assert(yaml_value(&a, object, &want), "%s", s.name);
			cr_expect(json_equal(&s.live, &want), "%s: %s, not %s", s.name,
				  json_text(&a, &s.live).p, json_text(&a, &want).p);
		}
		expect_managers(&s, json_getc(c, "Managed"));
	}
	arena_fini(&a);
}

Test(patch_apply_tables, keeps_track_of_owners_over_many_writes)
{
	static const struct {
		const char *file, *table, *schema, *root;
		bool fails;
	} tables[] = {
		{ "merge_leaf_test", "TestUpdateLeaf.tests", leaf_schema, "root", false },
		{ "merge_set_test", "TestUpdateSet.tests", set_schema, "root", false },
		{ "merge_key_test", "TestUpdateAssociativeLists.tests", key_schema, "root", false },
		{ "merge_preserve_unknown_test", "TestPreserveUnknownFields.tests", unknown_schema,
		  "root", false },
		{ "merge_default_keys_test", "TestDefaultKeysFlat.tests", ports_schema, "root",
		  false },
		{ "merge_default_keys_test", "TestDefaultKeysFlatErrors.tests", ports_schema,
		  "root", true },
		{ "merge_default_keys_test", "TestDefaultKeysNested.tests", book_schema, "root",
		  false },
		{ "merge_duplicates_test", "TestDuplicates.tests", duplicates_schema, "root",
		  false },
		{ "merge_extract_apply_test", "TestExtractApply.tests", extract_schema, "root",
		  false },
		{ "merge_multiple_appliers_test", "TestMultipleAppliersSet.tests", key_schema,
		  "root", false },
		{ "merge_multiple_appliers_test", "TestMultipleApplierAtomicMaps.tests",
		  atomic_schema, "root", false },
		{ "merge_multiple_appliers_test", "TestMultipleAppliersDeducedType.tests",
		  deduced_schema, "root", false },
		{ "merge_multiple_appliers_test", "TestMultipleAppliersNestedType.tests", NULL,
		  "type", false },
	};
	struct arena a = { 0 };
	TABLE(&a, "typed_remove_test.json", nested);
	size_t count = 0;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		const struct json *t =
			public_json(&a, arena_printf(&a, DIR "%s.json", tables[i].file));
		const struct json *cases = json_getc(t, tables[i].table);
		const struct schema *s =
			tables[i].schema
				? schema_text(&a, tables[i].schema, tables[i].root)
				: smd_schema(&a, json_getc(nested, "const.nestedTypesSchema"),
					     "type");
		cr_expect_gt(json_len(cases), 1, "%s", tables[i].table);
		for (uint32_t k = 0; k < json_len(cases); k++) {
			struct str name = member_name(&cases->members[k]);
			if (name.p[0] == '$')
				continue;
			count++;
			run_case(s, name, &cases->members[k].value, tables[i].fails);
		}
	}
	const struct json *leaf = public_json(&a, DIR "merge_leaf_test.json");
	run_case(schema_text(&a, leaf_schema, "root"), STR("BenchmarkLeafConflictAcrossVersion"),
		 json_getc(leaf, "BenchmarkLeafConflictAcrossVersion.test"), false);
	cr_expect_gt(count, 70, "%zu", count);
	arena_fini(&a);
}
