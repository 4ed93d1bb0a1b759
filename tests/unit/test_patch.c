#include "base/mem.h"
#include "patch/patch.h"
#include "patch/patch_priv.h"
#include "tests/unit/patch_deployment.h"

#include <criterion/criterion.h>

#include <string.h>

#define T1 STR("2026-01-01T00:00:00Z")
#define T2 STR("2026-01-02T00:00:00Z")
#define V1 STR("apps/v1")

/* JSON with ' for ". */
static struct json q(struct arena *a, const char *text)
{
	char *p = arena_strdup(a, text);
	for (char *c = p; *c; c++) {
		if (*c == '\'')
			*c = '"';
	}
	struct json j = { 0 };
	struct error err = { 0 };
	cr_assert_eq(json_parse(a, str_of(p), NULL, &j, &err), 0, "%s: %s", text, err.msg);
	return j;
}

static void expect_json(struct arena *a, const struct json *got, const char *want, const char *what)
{
	struct json w = q(a, want);
	cr_expect(json_equal(got, &w), "%s:\n  got  %s\n  want %s", what, json_text(a, got).p,
		  json_text(a, &w).p);
}

/* ---- JSON patch ---- */

Test(patch, json_patch_follows_rfc_6902)
{
	static const struct {
		const char *doc, *ops, *want; /* NULL: fails */
		int code;
	} rows[] = {
		{ "{'a':1}", "[{'op':'add','path':'/b','value':{'c':[]}}]", "{'a':1,'b':{'c':[]}}",
		  0 },
		{ "[1,2]", "[{'op':'add','path':'/1','value':9}]", "[1,9,2]", 0 },
		{ "[1,2]", "[{'op':'add','path':'/-','value':9}]", "[1,2,9]", 0 },
		{ "[1,2]", "[{'op':'add','path':'/3','value':9}]", NULL, ERR_INVALID },
		{ "[1,2]", "[{'op':'add','path':'/01','value':9}]", NULL, ERR_INVALID },
		{ "[1,2]", "[{'op':'add','path':'/1e0','value':9}]", NULL, ERR_INVALID },
		{ "[1,2]", "[{'op':'remove','path':'/-'}]", NULL, ERR_INVALID },
		{ "[1,2]", "[{'op':'remove','path':'/0'}]", "[2]", 0 },
		{ "{'a~b':{'c/d':1}}", "[{'op':'replace','path':'/a~0b/c~1d','value':2}]",
		  "{'a~b':{'c/d':2}}", 0 },
		{ "{'a':1}", "[{'op':'replace','path':'/a~2','value':2}]", NULL, ERR_BAD_REQUEST },
		{ "{'a':1}", "[{'op':'replace','path':'/b','value':2}]", NULL, ERR_INVALID },
		{ "{'a':1}", "[{'op':'replace','path':'','value':[1]}]", "[1]", 0 },
		{ "{'a':{'b':1}}", "[{'op':'move','from':'/a','path':'/a/b'}]", NULL, ERR_INVALID },
		{ "{'a':{'b':1}}", "[{'op':'move','from':'/a/b','path':'/c'}]", "{'a':{},'c':1}",
		  0 },
		{ "{'a':[1,2,3]}", "[{'op':'move','from':'/a/0','path':'/a/-'}]", "{'a':[2,3,1]}",
		  0 },
		{ "{'a':[1]}",
		  "[{'op':'copy','from':'/a','path':'/b'},{'op':'add','path':'/b/-','value':2}]",
		  "{'a':[1],'b':[1,2]}", 0 },
		{ "{'a':{}}",
		  "[{'op':'add','path':'/b','value':{}},{'op':'add','path':'/b/c','value':1}]",
		  "{'a':{},'b':{'c':1}}", 0 },
		{ "{'a':1}", "[{'op':'test','path':'/a','value':1.0}]", "{'a':1}", 0 },
		{ "{'a':1}", "[{'op':'test','path':'/a','value':'1'}]", NULL, ERR_INVALID },
		{ "{'':1}", "[{'op':'test','path':'/','value':1}]", "{'':1}", 0 },
		{ "{}", "[{'op':'add','path':'/a'}]", NULL, ERR_BAD_REQUEST },
		{ "{}", "[{'op':'add','path':'a','value':1}]", NULL, ERR_BAD_REQUEST },
		{ "{}", "[{'op':'spam','path':'/a','value':1}]", NULL, ERR_BAD_REQUEST },
		{ "{}", "[{'path':'/a','value':1}]", NULL, ERR_BAD_REQUEST },
		{ "{}", "[{'op':'copy','path':'/a'}]", NULL, ERR_BAD_REQUEST },
		{ "{}", "[1]", NULL, ERR_BAD_REQUEST },
		{ "{}", "{'op':'add'}", NULL, ERR_BAD_REQUEST },
		{ "{}", "[{'op':'remove','path':'/a/b'}]", NULL, ERR_INVALID },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json doc = q(&a, rows[i].doc);
		struct json ops = q(&a, rows[i].ops);
		struct json got = { 0 };
		struct error err = { 0 };
		cr_expect_eq(patch_json(&a, &doc, &ops, &got, &err), rows[i].code, "%s: %s",
			     rows[i].ops, err.msg);
		if (rows[i].want)
			expect_json(&a, &got, rows[i].want, rows[i].ops);
		expect_json(&a, &doc, rows[i].doc, "the document stays");
	}
	arena_fini(&a);
}

Test(patch, json_patch_is_limited_in_operations_copies_and_depth)
{
	struct arena a = { 0 };
	struct json doc = q(&a, "{'a':['0123456789012345678901234567890123456789']}");
	struct json got = { 0 };
	struct json ops = json_array();
	struct json op = q(&a, "{'op':'test','path':'/a/0','value':'"
			       "0123456789012345678901234567890123456789'}");
	for (int i = 0; i < PATCH_OPS_MAX; i++)
		json_push(&a, &ops, op);
	cr_expect_eq(patch_json(&a, &doc, &ops, &got, NULL), 0);
	json_push(&a, &ops, op);
	cr_expect_eq(patch_json(&a, &doc, &ops, &got, NULL), ERR_TOO_LARGE);

	/* doubles each time */
	ops = json_array();
	op = q(&a, "{'op':'copy','from':'/a','path':'/a/-'}");
	for (int i = 0; i < 30; i++)
		json_push(&a, &ops, op);
	cr_expect_eq(patch_json(&a, &doc, &ops, &got, NULL), ERR_TOO_LARGE);

	/* many operations, each past many members */
	struct json_member *m = arena_new(&a, struct json_member, 60000);
	for (int i = 0; i < 60000; i++)
		m[i].key = json_of_str(arena_strf(&a, "k%d", i));
	struct json wide = json_of_members(m, 60000);
	ops = json_array();
	op = q(&a, "{'op':'test','path':'/k59999','value':null}");
	for (int i = 0; i < 4000; i++)
		json_push(&a, &ops, op);
	cr_expect_eq(patch_json(&a, &wide, &ops, &got, NULL), ERR_TOO_LARGE);
	ops.len = 100;
	cr_expect_eq(patch_json(&a, &wide, &ops, &got, NULL), 0);

	struct buf path = { 0 };
	ops = json_array();
	for (int i = 0; i < 120; i++) {
		buf_adds(&path, "/x");
		struct json add = json_object();
		json_setc(&a, &add, "op", json_of_cstr("add"));
		json_setc(&a, &add, "path", json_of_str(arena_str(&a, buf_str(&path))));
		json_setc(&a, &add, "value", json_object());
		json_push(&a, &ops, add);
	}
	cr_expect_lt(patch_json(&a, &doc, &ops, &got, NULL), 0);
	ops.len = 99;
	cr_expect_eq(patch_json(&a, &doc, &ops, &got, NULL), 0);
	cr_expect_eq(json_depth(&got), 100);
	buf_fini(&path);
	arena_fini(&a);
}

/* ---- merge patch ---- */

Test(patch, merge_patch_follows_rfc_7396)
{
	static const struct {
		const char *doc, *patch, *want;
	} rows[] = {
		{ "{'a':1,'b':2}", "{'a':null,'c':3}", "{'b':2,'c':3}" },
		{ "{'a':{'b':1,'c':2}}", "{'a':{'b':null}}", "{'a':{'c':2}}" },
		{ "{'a':[1,2]}", "{'a':[null]}", "{'a':[null]}" },
		{ "{'a':1}", "{'a':{'b':null,'c':{'d':null}}}", "{'a':{'c':{}}}" },
		{ "{'a':1}", "[1]", "[1]" },
		{ "{'a':1}", "null", "null" },
		{ "[1]", "{'a':1,'b':null}", "{'a':1}" },
		{ "{'a':null}", "{}", "{'a':null}" },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json doc = q(&a, rows[i].doc);
		struct json patch = q(&a, rows[i].patch);
		struct json got = patch_merge(&a, &doc, &patch);
		expect_json(&a, &got, rows[i].want, rows[i].patch);
		struct json again = patch_merge(&a, &got, &patch);
		cr_expect(json_equal(&again, &got), "%s is idempotent", rows[i].patch);
	}
	arena_fini(&a);
}

/* ---- strategic merge patch ---- */

#define TEMPLATE(x) "{'spec':{'template':{'spec':{" x "}}}}"

Test(patch, strategic_merge_patch_obeys_schema_and_directives)
{
	static const struct {
		const char *doc, *patch, *want; /* NULL: ERR_BAD_REQUEST with… */
		const char *error;
	} rows[] = {
		/* lists by key */
		{ TEMPLATE("'containers':[{'name':'a','image':'1'},{'name':'b'}]"),
		  TEMPLATE("'containers':[{'name':'a','image':'2'}]"),
		  TEMPLATE("'containers':[{'name':'a','image':'2'},{'name':'b'}]"), NULL },
		{ TEMPLATE("'containers':[{'name':'a'}]"),
		  TEMPLATE("'$setElementOrder/containers':[{'name':'c'},{'name':'a'}],"
			   "'containers':[{'name':'c','image':null}]"),
		  TEMPLATE("'containers':[{'name':'c'},{'name':'a'}]"), NULL },
		{ TEMPLATE("'containers':[{'name':'a'},{'name':'b'}]"),
		  TEMPLATE("'containers':[{'$patch':'delete','name':'a'}]"),
		  TEMPLATE("'containers':[{'name':'b'}]"), NULL },
		{ TEMPLATE("'containers':[{'name':'a'},{'name':'b'}]"),
		  TEMPLATE("'containers':[{'$patch':'replace'},{'name':'c'}]"),
		  TEMPLATE("'containers':[{'name':'c'}]"), NULL },
		{ TEMPLATE("'containers':[{'name':'a'}]"), TEMPLATE("'containers':[{'image':'x'}]"),
		  NULL, "does not contain declared merge key: name" },
		{ TEMPLATE("'containers':[{'name':'a'}]"),
		  TEMPLATE("'containers':[{'$patch':'merge','name':'a'}]"), NULL,
		  "merging lists cannot yet" },
		{ TEMPLATE("'containers':[{'name':'a'}]"),
		  TEMPLATE("'containers':[{'$patch':'spam','name':'a'}]"), NULL,
		  "unknown patch type" },
		{ TEMPLATE("'containers':[{'name':'a'}]"), TEMPLATE("'containers':['a']"), NULL,
		  "mixed types" },
		{ TEMPLATE("'containers':[{'name':'a'}]"),
		  TEMPLATE("'$setElementOrder/containers':[{'name':'a'},{'name':'b'}],"
			   "'containers':[{'name':'b'},{'name':'a'}]"),
		  NULL, "doesn't match" },
		{ TEMPLATE("'containers':[{'name':'a'}]"),
		  TEMPLATE("'$setElementOrder/containers':3"), NULL, "expected a list" },
		/* a list that was not there takes the patch without directives */
		{ "{}", TEMPLATE("'containers':[{'name':'a'},{'$patch':'delete','name':'b'}]"),
		  TEMPLATE("'containers':[{'name':'a'}]"), NULL },
		/* nested lists, each by its own key */
		{ TEMPLATE("'containers':[{'name':'a','env':[{'name':'X','value':'1'}]}]"),
		  TEMPLATE("'containers':[{'name':'a','env':[{'name':'Y','value':'2'}]}]"),
		  TEMPLATE("'containers':[{'name':'a','env':[{'name':'Y','value':'2'},"
			   "{'name':'X','value':'1'}]}]"),
		  NULL },
		/* lists of values */
		{ "{'metadata':{'finalizers':['a','b']}}", "{'metadata':{'finalizers':['c','a']}}",
		  "{'metadata':{'finalizers':['c','a','b']}}", NULL },
		{ "{'metadata':{'finalizers':['a','b','a']}}",
		  "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a']}}",
		  "{'metadata':{'finalizers':['b']}}", NULL },
		{ "{'metadata':{'finalizers':['a','b','c']}}",
		  "{'metadata':{'$setElementOrder/finalizers':['c','a']}}",
		  "{'metadata':{'finalizers':['b','c','a']}}", NULL },
		/* atomic lists */
		{ TEMPLATE("'containers':[{'name':'a','args':['x','y']}]"),
		  TEMPLATE("'containers':[{'name':'a','args':['z']}]"),
		  TEMPLATE("'containers':[{'name':'a','args':['z']}]"), NULL },
		/* maps */
		{ "{'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}}",
		  "{'spec':{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}}",
		  "{'spec':{'strategy':{'type':'Recreate'}}}", NULL },
		{ "{'spec':{'strategy':{'type':'a'}}}",
		  "{'spec':{'strategy':{'$retainKeys':['x'],'type':'Recreate'}}}", NULL,
		  "$retainKeys" },
		{ "{'spec':{'strategy':{'type':'a'}}}", "{'spec':{'strategy':{'$retainKeys':1}}}",
		  NULL, "$retainKeys" },
		{ "{'metadata':{'labels':{'a':'1','b':'2'}}}",
		  "{'metadata':{'labels':{'$patch':'replace','c':'3'}}}",
		  "{'metadata':{'labels':{'c':'3'}}}", NULL },
		{ "{'metadata':{'labels':{'a':'1'}}}",
		  "{'metadata':{'labels':{'$patch':'delete'}}}", "{'metadata':{'labels':{}}}",
		  NULL },
		{ "{'metadata':{'labels':{'a':'1'}}}", "{'metadata':{'labels':{'$patch':'x'}}}",
		  NULL, "unknown patch type" },
		/* what the schema does not know is a merge patch */
		{ "{'status':{'x':{'l':[1,2],'m':{'a':1}}}}",
		  "{'status':{'x':{'l':[3],'m':{'b':2,'a':null}}}}",
		  "{'status':{'x':{'l':[3],'m':{'b':2}}}}", NULL },
		{ "{'spec':1}", "{'spec':{'replicas':null}}", "{'spec':{}}", NULL },
		{ "{'a':1}", "[]", NULL, "must be an object" },
	};
	struct arena a = { 0 };
	struct schema_set *set = NULL;
	const struct schema *s = patch_schema(&a, &set);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json doc = q(&a, rows[i].doc);
		struct json patch = q(&a, rows[i].patch);
		struct json got = { 0 };
		struct error err = { 0 };
		int rc = patch_strategic(&a, s, &doc, &patch, &got, &err);
		cr_expect_eq(rc, rows[i].want ? 0 : ERR_BAD_REQUEST, "%s: %s", rows[i].patch,
			     err.msg);
		if (rows[i].want)
			expect_json(&a, &got, rows[i].want, rows[i].patch);
		else
			cr_expect(strstr(err.msg, rows[i].error), "%s: %s", rows[i].patch, err.msg);
		expect_json(&a, &doc, rows[i].doc, "the document stays");
	}
	(void)schema_set_free(set);
	arena_fini(&a);
}

/* ---- server-side apply ---- */

struct world {
	struct arena a;
	struct schema_set *set;
	const struct schema *schema;
	struct patch_apply ap;
	struct json obj; /* null: not there yet */
	struct error err;
};

static struct world *world_new(void)
{
	struct world *w = mem_new(struct world, 1);
	w->schema = patch_schema(&w->a, &w->set);
	return w;
}

static void world_free(struct world *w)
{
	(void)schema_set_free(w->set);
	arena_fini(&w->a);
	mem_free(w);
}

static int apply_as(struct world *w, const char *manager, bool force, struct str now,
		    const char *config)
{
	struct json c = q(&w->a, config);
	struct json got = { 0 };
	w->err = (struct error){ 0 };
	w->ap = (struct patch_apply){ .schema = w->schema,
				      .manager = str_of(manager),
				      .api_version = V1,
				      .force = force,
				      .now = now };
	const struct json *live = w->obj.type == JSON_OBJECT ? &w->obj : NULL;
	int rc = patch_apply(&w->a, &w->ap, live, &c, &got, &w->err);
	if (rc == 0)
		w->obj = got;
	return rc;
}

static void update_as(struct world *w, const char *manager, const char *subresource, struct str now,
		      const char *merge)
{
	struct json p = q(&w->a, merge);
	bool there = w->obj.type == JSON_OBJECT;
	struct json got = there ? patch_merge(&w->a, &w->obj, &p) : p;
	patch_managed_update(&w->a, w->schema, str_of(manager), V1, str_of(subresource), now,
			     there ? &w->obj : NULL, &got);
	w->obj = got;
}

#define HEAD \
	"'apiVersion':'apps/" \
	"v1','kind':'Deployment','metadata':{'name':'web','namespace':'default'}"
#define ENTRY(manager, op, time, fields) \
	"{'manager':'" manager "','operation':'" op "','apiVersion':'apps/v1','time':'" time \
	"','fieldsType':'FieldsV1','fieldsV1':" fields "}"
#define D1 "2026-01-01T00:00:00Z"
#define D2 "2026-01-02T00:00:00Z"

static void expect_managers(struct world *w, const char *want)
{
	const struct json *got = json_dig(&w->obj, "metadata", "managedFields", NULL);
	static const struct json none = { .type = JSON_ARRAY };
	expect_json(&w->a, got ? got : &none, want, "managedFields");
	/* kubectl prints them in this order */
	struct json text = q(&w->a, want);
	if (got)
		cr_expect_str_eq(json_text(&w->a, got).p, json_text(&w->a, &text).p);
}

static void expect_spec(struct world *w, const char *want)
{
	expect_json(&w->a, json_getc(&w->obj, "spec"), want, "spec");
}

Test(patch, an_applied_object_is_owned_by_its_manager)
{
	struct world *w = world_new();
	cr_expect_eq(apply_as(w, "kubectl", false, T1,
			      "{" HEAD ",'spec':{'replicas':2,'selector':{'matchLabels':{'a':'b'}},"
			      "'template':{'spec':{'containers':[{'name':'c','args':['x'],'ports':"
			      "[{'containerPort':80}]}],'nodeSelector':{}}}}}"),
		     0);
	expect_managers(
		w,
		"[" ENTRY(
			"kubectl", "Apply", D1,
			"{'f:spec':{'f:replicas':{},'f:selector':{},'f:template':{'f:spec':{"
			"'f:containers':{'k:{\\'name\\':\\'c\\'}':{'.':{},'f:args':{},'f:name':{},"
			"'f:ports':{'k:{\\'containerPort\\':80,\\'protocol\\':\\'TCP\\'}':"
			"{'.':{},'f:containerPort':{}}}}},'f:nodeSelector':{}}}}}") "]");
	world_free(w);
}

Test(patch, applying_again_changes_nothing_not_even_the_time)
{
	struct world *w = world_new();
	struct json text = json_of_cstr(patch_deployment_text);
	cr_assert_eq(apply_as(w, "kubectl", false, T1, text.s), 0);
	struct json before = w->obj;
	cr_assert_eq(apply_as(w, "kubectl", false, T2, text.s), 0);
	cr_expect_str_eq(json_text(&w->a, &w->obj).p, json_text(&w->a, &before).p);
	world_free(w);
}

Test(patch, what_another_manager_owns_and_has_another_value_is_a_conflict)
{
	struct world *w = world_new();
	cr_assert_eq(apply_as(w, "a", false, T1, "{" HEAD ",'spec':{'replicas':1,'paused':true}}"),
		     0);
	cr_expect_eq(apply_as(w, "b", false, T2, "{" HEAD ",'spec':{'replicas':1}}"), 0, "shared");
	cr_expect_eq(apply_as(w, "b", false, T2, "{" HEAD ",'spec':{'replicas':2}}"), ERR_CONFLICT);
	cr_expect_str_eq(w->err.msg,
			 "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas");
	cr_assert_eq(w->ap.conflicts_len, 1);
	cr_expect(str_is(w->ap.conflicts[0].manager, "a"));
	cr_expect(str_is(w->ap.conflicts[0].operation_detail, ""));
	cr_expect(str_is(w->ap.conflicts[0].field, ".spec.replicas"));
	expect_spec(w, "{'replicas':1,'paused':true}");
	cr_expect_eq(apply_as(w, "b", true, T2, "{" HEAD ",'spec':{'replicas':2}}"), 0);
	expect_spec(w, "{'replicas':2,'paused':true}");
	expect_managers(w, "[" ENTRY("a", "Apply", D1, "{'f:spec':{'f:paused':{}}}") "," ENTRY(
				   "b", "Apply", D2, "{'f:spec':{'f:replicas':{}}}") "]");
	world_free(w);
}

Test(patch, conflicts_are_worded_as_kubernetes_words_them)
{
	struct world *w = world_new();
	update_as(w, "kubectl-create", "", T1,
		  "{" HEAD ",'spec':{'replicas':1,'template':{'spec':{'containers':[{'name':'c d',"
		  "'image':'1'}]}}}}");
	update_as(w, "hpa", "scale", T1, "{'spec':{'replicas':7}}");
	cr_expect_eq(apply_as(w, "kubectl", false, T2,
			      "{" HEAD ",'spec':{'replicas':2,'template':{'spec':{'containers':"
			      "[{'name':'c d','image':'2'}]}}}}"),
		     ERR_CONFLICT);
	cr_expect_str_eq(patch_conflict_text(&w->a, &w->ap).p,
			 "Apply failed with 2 conflicts: conflicts with \"hpa\" with subresource "
			 "\"scale\" using apps/v1:\n- .spec.replicas\nconflicts with "
			 "\"kubectl-create\" using apps/v1:\n"
			 "- .spec.template.spec.containers[name=\"c d\"].image");
	cr_expect_str_eq(patch_conflict_text(&w->a, &w->ap).p, w->err.msg);
	world_free(w);
}

Test(patch, conflicts_beyond_the_limit_are_counted)
{
	struct world *w = world_new();
	struct buf one = { 0 };
	struct buf two = { 0 };
	for (int i = 0; i < 100; i++) {
		buf_addf(&one, "%s'k%03d':'1'", i ? "," : "", i);
		buf_addf(&two, "%s'k%03d':'2'", i ? "," : "", i);
	}
#define LABELS "{'metadata':{'name':'x','labels':{%s}}}"
	char *text = arena_printf(&w->a, LABELS, buf_cstr(&one));
	cr_assert_eq(apply_as(w, "a", false, T1, text), 0);
	text = arena_printf(&w->a, LABELS, buf_cstr(&two));
	cr_expect_eq(apply_as(w, "b", false, T1, text), ERR_CONFLICT);
	cr_expect_eq(w->ap.conflicts_len, PATCH_CONFLICTS_MAX);
	cr_expect_eq(w->ap.conflicts_dropped, 100 - PATCH_CONFLICTS_MAX);
	cr_expect(str_starts(str_of(w->err.msg), STR("Apply failed with 100 conflicts: ")));
	buf_fini(&one);
	buf_fini(&two);
	world_free(w);
}

Test(patch, what_a_manager_no_longer_applies_goes_unless_another_owns_it)
{
	struct world *w = world_new();
	cr_assert_eq(
		apply_as(w, "a", false, T1,
			 "{" HEAD ",'spec':{'replicas':1,'paused':true,'template':{'spec':"
			 "{'containers':[{'name':'x','image':'1'},{'name':'y','image':'1'}]}}}}"),
		0);
	cr_assert_eq(apply_as(w, "b", false, T1,
			      "{" HEAD ",'spec':{'replicas':1,'template':{'spec':{'containers':"
			      "[{'name':'y','env':[{'name':'E','value':'1'}]}]}}}}"),
		     0);
	cr_assert_eq(apply_as(w, "a", false, T2, "{" HEAD ",'spec':{'revisionHistoryLimit':3}}"),
		     0);
	expect_spec(w, "{'replicas':1,'revisionHistoryLimit':3,'template':{'spec':{'containers':"
		       "[{'name':'y','env':[{'name':'E','value':'1'}]}]}}}");
	expect_managers(
		w, "[" ENTRY("b", "Apply", D1,
			     "{'f:spec':{'f:replicas':{},'f:template':{'f:spec':{'f:containers':{"
			     "'k:{\\'name\\':\\'y\\'}':{'.':{},'f:env':{'k:{\\'name\\':\\'E\\'}':{'"
			     ".':{},"
			     "'f:name':{},'f:value':{}}},'f:name':{}}}}}}}") "," ENTRY("a", "Apply",
										       D2,
										       "{'f:spec':{"
										       "'f:"
										       "revisionHis"
										       "toryLimit':"
										       "{}}}") "]");
	/* an empty configuration gives all back */
	cr_assert_eq(apply_as(w, "b", false, T2, "{" HEAD "}"), 0);
	expect_spec(w, "{'revisionHistoryLimit':3}");
	world_free(w);
}

Test(patch, a_value_that_the_server_set_is_nobodys_and_no_conflict)
{
	struct world *w = world_new();
	cr_assert_eq(apply_as(w, "a", false, T1, "{" HEAD ",'spec':{'replicas':1}}"), 0);
	struct json *spec = json_getc(&w->obj, "spec");
	json_setc(&w->a, spec, "progressDeadlineSeconds", json_of_i64(600));
	cr_expect_eq(apply_as(w, "b", false, T2, "{" HEAD ",'spec':{'progressDeadlineSeconds':5}}"),
		     0);
	expect_spec(w, "{'replicas':1,'progressDeadlineSeconds':5}");
	world_free(w);
}

Test(patch, a_configuration_that_does_not_fit_is_refused)
{
	static const struct {
		const char *config, *error;
	} rows[] = {
		{ "{" HEAD ",'spec':{'replica':1}}",
		  "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
		  ".spec.replica: field not declared in schema" },
		{ "{" HEAD ",'spec':{'replicas':'1'}}",
		  ".spec.replicas: expected numeric (int or float), got string" },
		{ "{" HEAD ",'spec':[]}", ".spec: expected map, got array" },
		{ "{" HEAD ",'spec':{'paused':1}}", ".spec.paused: expected boolean, got integer" },
		{ "{" HEAD ",'spec':{'template':{'spec':{'containers':{}}}}}",
		  ".spec.template.spec.containers: expected list, got object" },
		{ "{" HEAD ",'spec':{'template':{'spec':{'containers':[{'image':'x'}]}}}}",
		  ".spec.template.spec.containers: element 0: associative list with keys has an "
		  "element that omits all key fields" },
		{ "{" HEAD
		  ",'spec':{'template':{'spec':{'containers':[{'name':'x'},{'name':'x'}]}}}}",
		  ".spec.template.spec.containers: duplicate entries for key [name=\"x\"]" },
		{ "{" HEAD ",'spec':{'template':{'spec':{'containers':[null]}}}}",
		  "null elements" },
		{ "{" HEAD ",'spec':{'template':{'spec':{'containers':[{'name':'x','ports':"
		  "[{'containerPort':80},{'containerPort':80,'protocol':'TCP'}]}]}}}}",
		  "duplicate entries for key [containerPort=80,protocol=\"TCP\"]" },
		{ "{'metadata':{'name':'x','finalizers':['a','a']}}",
		  "duplicate entries for key [=\"a\"]" },
		{ "{'metadata':{'name':'x','managedFields':[{}]}}",
		  "metadata.managedFields must be nil" },
		{ "[]", "must be an object" },
	};
	struct world *w = world_new();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(apply_as(w, "a", false, T1, rows[i].config), ERR_BAD_REQUEST, "%s",
			     rows[i].config);
		cr_expect(strstr(w->err.msg, rows[i].error), "%s: %s", rows[i].config, w->err.msg);
	}
	cr_expect_eq(
		apply_as(w, "a", false, T1,
			 "{'metadata':{'name':'x','managedFields':null},'spec':{'replicas':null,"
			 "'template':{'spec':{'containers':[{'name':'x','resources':{'limits':"
			 "{'cpu':1}}}]}},'strategy':{'rollingUpdate':{'maxSurge':1,"
			 "'maxUnavailable':'25%'}}},'status':{'any':[{}]}}"),
		0, "%s", w->err.msg);
	world_free(w);
}

Test(patch, an_object_without_managers_belongs_to_before_first_apply)
{
	struct world *w = world_new();
	w->obj = q(&w->a, "{" HEAD ",'spec':{'replicas':1,'paused':false}}");
	cr_expect_eq(apply_as(w, "kubectl", false, T2, "{" HEAD ",'spec':{'replicas':2}}"),
		     ERR_CONFLICT);
	cr_expect_str_eq(w->err.msg, "Apply failed with 1 conflict: conflict with "
				     "\"before-first-apply\" using apps/v1: .spec.replicas");
	cr_expect_eq(apply_as(w, "kubectl", false, T2, "{" HEAD ",'spec':{'replicas':1}}"), 0);
	expect_managers(w,
			"[" ENTRY("kubectl", "Apply", D2, "{'f:spec':{'f:replicas':{}}}") "," ENTRY(
				"before-first-apply", "Update", D2,
				"{'f:spec':{'.':{},'f:paused':{},'f:replicas':{}}}") "]");
	world_free(w);
}

#define LAST "kubectl.kubernetes.io/last-applied-configuration"

Test(patch, kubectl_moves_from_client_side_apply_without_force)
{
	struct world *w = world_new();
	update_as(w, "kubectl-client-side-apply", "", T1,
		  "{'apiVersion':'apps/"
		  "v1','kind':'Deployment','metadata':{'name':'web','annotations':"
		  "{'" LAST
		  "':'{\\'apiVersion\\':\\'apps/v1\\',\\'spec\\':{\\'replicas\\':1}}\\n'}},"
		  "'spec':{'replicas':1,'paused':false}}");
	static const char config[] = "{'apiVersion':'apps/v1','kind':'Deployment','metadata':"
				     "{'name':'web'},'spec':{'replicas':3}}";
	cr_expect_eq(apply_as(w, "other", false, T2, config), ERR_CONFLICT);
	cr_expect_eq(apply_as(w, "kubectl", false, T2, config), 0, "%s", w->err.msg);
	expect_spec(w, "{'replicas':3,'paused':false}");
	struct str last = json_str(json_dig(&w->obj, "metadata", "annotations", LAST, NULL));
	cr_expect(str_is(last, "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":"
			       "{\"name\":\"web\"},\"spec\":{\"replicas\":3}}\n"),
		  "%.*s", STR_ARG(last));
	/* the same in another order leaves the text alone */
	cr_expect_eq(apply_as(w, "kubectl", false, T2,
			      "{'kind':'Deployment','apiVersion':'apps/v1','spec':{'replicas':3},"
			      "'metadata':{'name':'web'}}"),
		     0);
	cr_expect(str_eq(last, json_str(json_dig(&w->obj, "metadata", "annotations", LAST, NULL))));
	/* what was not applied on the client's side is a conflict as ever */
	cr_expect_eq(apply_as(w, "kubectl", false, T2,
			      "{'apiVersion':'apps/v1','metadata':{'name':'web'},"
			      "'spec':{'replicas':3,'paused':true}}"),
		     ERR_CONFLICT);
	world_free(w);
}

Test(patch, kubectl_takes_the_fields_of_client_side_apply_over)
{
	/* kubectl: apply as kubectl-last-applied, JSON patch of managedFields, apply again */
	struct world *w = world_new();
	update_as(w, "kubectl-client-side-apply", "", T1,
		  "{" HEAD ",'spec':{'replicas':1,'paused':true}}");
	struct json ops =
		q(&w->a, "[{'op':'replace','path':'/metadata/managedFields','value':[" ENTRY(
				 "kubectl", "Apply", D1,
				 "{'f:spec':{'f:replicas':{},'f:paused':{}}}") "]}]");
	struct json got = { 0 };
	cr_assert_eq(patch_json(&w->a, &w->obj, &ops, &got, NULL), 0);
	patch_managed_update(&w->a, w->schema, STR("kubectl"), V1, STR_NONE, T2, &w->obj, &got);
	w->obj = got;
	expect_managers(w, "[" ENTRY("kubectl", "Apply", D1,
				     "{'f:spec':{'f:paused':{},'f:replicas':{}}}") "]");
	cr_expect_eq(apply_as(w, "kubectl", false, T2, "{" HEAD ",'spec':{'replicas':4}}"), 0);
	expect_spec(w, "{'replicas':4}");
	world_free(w);
}

Test(patch, operations_subresources_and_versions_tell_managers_apart)
{
	struct world *w = world_new();
	cr_assert_eq(apply_as(w, "m", false, T1, "{" HEAD ",'spec':{'replicas':1}}"), 0);
	update_as(w, "m", "", T1, "{'spec':{'paused':true}}");
	update_as(w, "m", "status", T1, "{'status':{'x':1}}");
	struct json p = q(&w->a, "{'spec':{'revisionHistoryLimit':1}}");
	struct json got = patch_merge(&w->a, &w->obj, &p);
	patch_managed_update(&w->a, w->schema, STR("m"), STR("apps/v2"), STR_NONE, T1, &w->obj,
			     &got);
	w->obj = got;
	const struct json *entries = json_dig(&w->obj, "metadata", "managedFields", NULL);
	cr_expect_eq(json_len(entries), 4);
	/* an applier at another version is the same manager */
	struct json c = q(&w->a, "{" HEAD ",'spec':{'replicas':1}}");
	w->ap.api_version = STR("apps/v2");
	cr_assert_eq(patch_apply(&w->a, &w->ap, &w->obj, &c, &got, NULL), 0);
	entries = json_dig(&got, "metadata", "managedFields", NULL);
	cr_expect_eq(json_len(entries), 4);
	cr_expect(str_is(json_str(json_getc(json_at(entries, 0), "apiVersion")), "apps/v2"));
	world_free(w);
}

Test(patch, lists_take_the_order_in_which_they_are_applied)
{
	struct world *w = world_new();
	cr_assert_eq(
		apply_as(w, "a", false, T1, "{'metadata':{'name':'x','finalizers':['1','2','3']}}"),
		0);
	cr_assert_eq(
		apply_as(w, "b", false, T1, "{'metadata':{'name':'x','finalizers':['3','4','1']}}"),
		0);
	expect_json(&w->a, json_dig(&w->obj, "metadata", "finalizers", NULL), "['2','3','4','1']",
		    "");
	world_free(w);
}

/* ---- other writes ---- */

Test(patch, an_update_takes_what_it_changes)
{
	struct world *w = world_new();
	cr_assert_eq(apply_as(w, "a", false, T1, "{" HEAD ",'spec':{'replicas':1,'paused':true}}"),
		     0);
	update_as(w, "scaler", "", T2, "{'spec':{'replicas':5}}");
	expect_managers(w, "[" ENTRY("a", "Apply", D1, "{'f:spec':{'f:paused':{}}}") "," ENTRY(
				   "scaler", "Update", D2, "{'f:spec':{'f:replicas':{}}}") "]");
	/* removing takes from all and gives to none */
	update_as(w, "scaler", "", T2, "{'spec':{'paused':null}}");
	expect_managers(w, "[" ENTRY("scaler", "Update", D2, "{'f:spec':{'f:replicas':{}}}") "]");
	/* changing nothing changes no time */
	update_as(w, "scaler", "", STR("2026-01-03T00:00:00Z"), "{'spec':{'replicas':5}}");
	expect_managers(w, "[" ENTRY("scaler", "Update", D2, "{'f:spec':{'f:replicas':{}}}") "]");
	world_free(w);
}

Test(patch, metadata_that_the_server_sets_is_never_owned)
{
	struct world *w = world_new();
	update_as(w, "m", "", T1,
		  "{" HEAD
		  ",'metadata':{'name':'x','namespace':'n','uid':'1','resourceVersion':'2',"
		  "'generation':3,'creationTimestamp':'" D1 "','labels':{'a':'b'}}}");
	expect_managers(w, "[" ENTRY("m", "Update", D1,
				     "{'f:metadata':{'f:labels':{'.':{},'f:a':{}}}}") "]");
	update_as(w, "m", "", T2, "{'metadata':{'resourceVersion':'3','generation':4}}");
	expect_managers(w, "[" ENTRY("m", "Update", D1,
				     "{'f:metadata':{'f:labels':{'.':{},'f:a':{}}}}") "]");
	world_free(w);
}

Test(patch, a_client_may_reset_or_replace_managers_but_not_lose_them)
{
	static const struct {
		const char *sent, *subresource, *want;
	} rows[] = {
		{ "[]", "", "[]" },
		{ "[{}]", "", "[]" },
		{ "null", "", "[" ENTRY("m", "Update", D1, "{'f:spec':{'f:replicas':{}}}") "]" },
		{ "'spam'", "", "[" ENTRY("m", "Update", D1, "{'f:spec':{'f:replicas':{}}}") "]" },
		{ "[{'manager':'x','operation':'Spam'}]", "",
		  "[" ENTRY("m", "Update", D1, "{'f:spec':{'f:replicas':{}}}") "]" },
		{ "[" ENTRY("x", "Update", D1, "{'spam':{}}") "]", "",
		  "[" ENTRY("m", "Update", D1, "{'f:spec':{'f:replicas':{}}}") "]" },
		{ "[" ENTRY("x", "Apply", D1, "{'f:spec':{'f:replicas':{}}}") "]", "",
		  "[" ENTRY("x", "Apply", D1, "{'f:spec':{'f:replicas':{}}}") "]" },
		{ "[]", "status",
		  "[" ENTRY("m", "Update", D1, "{'f:spec':{'f:replicas':{}}}") "]" },
	};
	struct world *w = world_new();
	w->obj = q(&w->a, "{'metadata':{'name':'x','managedFields':[" ENTRY(
				  "m", "Update", D1,
				  "{'f:spec':{'f:replicas':{}}}") "]},"
								  "'spec':{'replicas':1}}");
	struct json live = w->obj;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json got = json_clone(&w->a, &live);
		json_setc(&w->a, json_getc(&got, "metadata"), "managedFields",
			  q(&w->a, rows[i].sent));
		patch_managed_update(&w->a, w->schema, STR("n"), V1, str_of(rows[i].subresource),
				     T2, &live, &got);
		w->obj = got;
		expect_managers(w, rows[i].want);
	}
	world_free(w);
}

Test(patch, at_most_ten_updaters_are_kept_apart)
{
	struct world *w = world_new();
	update_as(w, "u00", "", T1, "{'metadata':{'name':'x','labels':{'k':'0'}}}");
	for (int i = 1; i < 15; i++) {
		char *name = arena_printf(&w->a, "u%02d", i);
		char *patch = arena_printf(&w->a, "{'metadata':{'labels':{'k%02d':'1'}}}", i);
		struct str now = arena_strf(&w->a, "2026-01-01T00:00:%02dZ", i);
		update_as(w, name, "", now, patch);
		size_t len = json_len(json_dig(&w->obj, "metadata", "managedFields", NULL));
		cr_expect_eq(len, i < 10 ? (size_t)i + 1 : 10);
	}
	const struct json *first = json_at(json_dig(&w->obj, "metadata", "managedFields", NULL), 0);
	expect_json(
		&w->a, first,
		ENTRY("ancient-changes", "Update", "2026-01-01T00:00:05Z",
		      "{'f:metadata':{'f:labels':{'.':{},'f:k':{},'f:k01':{},'f:k02':{},'f:k03':{},"
		      "'f:k04':{},'f:k05':{}}}}"),
		"the oldest");
	world_free(w);
}

Test(patch, fields_below_what_became_atomic_are_owned_as_one)
{
	struct world *w = world_new();
	w->obj =
		q(&w->a,
		  "{'metadata':{'name':'x','managedFields':[" ENTRY(
			  "a", "Apply", D1,
			  "{'f:spec':{'f:selector':{'f:matchLabels':{'f:x':{}}}}}") "]},"
										    "'spec':{'"
										    "selector':{'"
										    "matchLabels':{"
										    "'x':'1'}}}}");
	cr_expect_eq(apply_as(w, "b", false, T2,
			      "{" HEAD ",'spec':{'selector':{'matchLabels':{'y':'1'}}}}"),
		     ERR_CONFLICT);
	cr_expect(str_is(w->ap.conflicts[0].field, ".spec.selector"));
	world_free(w);
}

Test(patch, the_deepest_object_stays_a_document_with_its_managers)
{
	struct world *w = world_new();
	struct buf b = { 0 };
	buf_adds(&b, "{'metadata':{'name':'x'},'status':");
	for (int i = 0; i < 98; i++)
		buf_adds(&b, "{'a':");
	buf_adds(&b, "1");
	for (int i = 0; i < 98; i++)
		buf_addc(&b, '}');
	buf_addc(&b, '}');
	cr_assert_eq(apply_as(w, "a", false, T1, buf_cstr(&b)), 0);
	update_as(w, "b", "", T1, "{'metadata':{'labels':{'x':'y'}}}");
	struct json again = { 0 };
	cr_expect_eq(json_parse(&w->a, json_text(&w->a, &w->obj), NULL, &again, NULL), 0);
	cr_assert_eq(apply_as(w, "a", false, T2, "{'metadata':{'name':'x'}}"), 0);
	cr_expect_null(json_getc(&w->obj, "status"));
	buf_fini(&b);
	world_free(w);
}

/* ---- properties over random configurations ---- */

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33);
}

/*
 * Few names and values, so that managers meet often.  Never an empty list: of one
 * with keys nothing can be owned, so the apply that drops what surrounded it drops
 * it too and the next brings it back (as Kubernetes does).
 */
static const char *random_config(struct arena *a, uint64_t *seed)
{
	struct buf b = { 0 };
	buf_adds(&b, "{'metadata':{'name':'x'");
	if (next_random(seed) % 2)
		buf_addf(&b, ",'labels':{'l%u':'%u'}", next_random(seed) % 3,
			 next_random(seed) % 2);
	if (next_random(seed) % 3 == 0)
		buf_addf(&b, ",'finalizers':['f%u','g%u']", next_random(seed) % 3,
			 next_random(seed) % 3);
	buf_adds(&b, "},'spec':{'paused':true");
	if (next_random(seed) % 2)
		buf_addf(&b, ",'replicas':%u", next_random(seed) % 3);
	if (next_random(seed) % 2)
		buf_addf(&b, ",'selector':{'matchLabels':{'s':'%u'}}", next_random(seed) % 2);
	buf_adds(&b, ",'template':{'spec':{'containers':[");
	uint32_t mask = 1 + next_random(seed) % 7;
	for (uint32_t i = 0, n = 0; i < 3; i++) {
		if (mask & (1U << i))
			buf_addf(&b, "%s{'name':'c%u','image':'%u','ports':[{'containerPort':%u}]}",
				 n++ ? "," : "", i, next_random(seed) % 2,
				 80 + next_random(seed) % 2);
	}
	buf_adds(&b, "]}}}}");
	const char *ret = arena_strdup(a, buf_cstr(&b));
	buf_fini(&b);
	return ret;
}

/* Takes all managers' configurations away one after the other. */
static void withdraw_all(struct world *w, const char *const *names, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		cr_expect_eq(apply_as(w, names[i], false, T2, "{'metadata':{'name':'x'}}"), 0, "%s",
			     w->err.msg);
	}
	struct json want = q(&w->a, "{'metadata':{'name':'x'}}");
	cr_expect(json_equal(&w->obj, &want), "%s", json_text(&w->a, &w->obj).p);
}

Test(patch, applying_is_idempotent_and_withdrawing_leaves_nothing)
{
	static const char *const names[] = { "a", "b", "c" };
	for (uint64_t first = 1; first <= 150; first++) {
		uint64_t seed = first;
		struct world *w = world_new();
		for (int step = 0; step < 12; step++) {
			const char *name = names[next_random(&seed) % 3];
			const char *config = random_config(&w->a, &seed);
			int rc = apply_as(w, name, false, T1, config);
			if (rc == ERR_CONFLICT)
				rc = apply_as(w, name, true, T1, config);
			cr_assert_eq(rc, 0, "seed %zu: %s", (size_t)first, w->err.msg);
			struct json once = w->obj;
			cr_assert_eq(apply_as(w, name, false, T2, config), 0);
			cr_expect(json_equal(&w->obj, &once), "seed %zu step %d: %s", (size_t)first,
				  step, config);
			/* what was applied is there */
			struct json c = q(&w->a, config);
			struct json merged = patch_merge(&w->a, json_getc(&w->obj, "spec"),
							 json_getc(&c, "spec"));
			cr_expect(json_equal(json_getc(&merged, "replicas"),
					     json_dig(&w->obj, "spec", "replicas", NULL)));
		}
		withdraw_all(w, names, 3);
		world_free(w);
	}
}
