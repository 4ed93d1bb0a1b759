/* What is applied to clusters and compared with them: manifests, references, records, specs, conditions. */
#include "base/buf.h"
#include "conditions.h"
#include "manifest.h"
#include "names.h"
#include "object.h"
#include "records.h"
#include "refs.h"
#include "spec.h"

#include <criterion/criterion.h>

static struct json *parsed(struct arena *a, const char *text)
{
	struct json *j = arena_new(a, struct json, 1);
	struct error err = { 0 };
	/* one quote for two, so that cases can be read */
	char *t = arena_strdup(a, text);
	for (char *p = t; *p; p++)
		if (*p == '\'')
			*p = '"';
	cr_assert_eq(json_parse(a, str_of(t), NULL, j, &err), 0, "%s: %s", text, err.msg);
	return j;
}

Test(manifest, covers_what_stands_there_and_leaves_the_rest_to_others)
{
	static const struct {
		const char *name, *want, *have;
		bool covered;
	} cases[] = {
		{ "equal", "{'a':1}", "{'a':1}", true },
		{ "more is there", "{'a':1}", "{'a':1,'b':2}", true },
		{ "less is there", "{'a':1,'b':2}", "{'a':1}", false },
		{ "another value", "{'a':1}", "{'a':2}", false },
		{ "another type", "{'a':'1'}", "{'a':1}", false },
		{ "deep", "{'a':{'b':{'c':true}}}", "{'a':{'b':{'c':true,'d':1}}}", true },
		{ "an empty object need not be there", "{'a':{}}", "{}", true },
		{ "an empty list neither", "{'a':[]}", "{}", true },
		{ "false is not empty", "{'a':false}", "{}", false },
		{ "lists by name, in any order", "{'l':[{'name':'x','v':1}]}",
		  "{'l':[{'name':'y'},{'name':'x','v':1,'w':2}]}", true },
		{ "an element by name is missing", "{'l':[{'name':'x'}]}", "{'l':[{'name':'y'}]}",
		  false },
		{ "an element by name differs", "{'l':[{'name':'x','v':1}]}",
		  "{'l':[{'name':'x','v':2}]}", false },
		{ "ports by number and protocol", "{'l':[{'containerPort':53,'protocol':'UDP'}]}",
		  "{'l':[{'containerPort':53,'protocol':'TCP'},{'containerPort':53,'protocol':'UDP'"
		  "}]}",
		  true },
		{ "the protocol is TCP when it is not given", "{'l':[{'containerPort':53}]}",
		  "{'l':[{'containerPort':53,'protocol':'TCP'}]}", true },
		{ "mounts by path", "{'l':[{'mountPath':'/a','readOnly':true}]}",
		  "{'l':[{'mountPath':'/b'},{'mountPath':'/a','readOnly':true}]}", true },
		{ "plain lists by position", "{'l':['a','b']}", "{'l':['b','a']}", false },
		{ "plain lists in full", "{'l':['a']}", "{'l':['a','b']}", false },
		{ "quantities by value",
		  "{'resources':{'limits':{'cpu':'1000m','memory':'1024Mi'}}}",
		  "{'resources':{'limits':{'cpu':'1','memory':'1Gi'}}}", true },
		{ "quantities as numbers", "{'limits':{'cpu':1}}", "{'limits':{'cpu':'1'}}", true },
		{ "quantities that differ", "{'limits':{'cpu':'1'}}", "{'limits':{'cpu':'2'}}",
		  false },
		{ "what only looks like one is text", "{'value':'1000m'}", "{'value':'1'}", false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct arena a = { 0 };
		cr_expect_eq(manifest_covers(parsed(&a, cases[i].want), parsed(&a, cases[i].have)),
			     cases[i].covered, "%s", cases[i].name);
		arena_fini(&a);
	}
}

static const char deployment[] =
	"{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web','namespace':'shop',"
	"'uid':'u-1','resourceVersion':'7','generation':3,'creationTimestamp':'2020-01-01T00:00:"
	"00Z',"
	"'finalizers':['fleet.rctl.io/placement'],'managedFields':[],'labels':{'app':'web'},"
	"'annotations':{'team':'a','fleet.rctl.io/placed':'x=1','fleet.rctl.io/placement':'web@2',"
	"'kubectl.kubernetes.io/last-applied-configuration':'{}'}},"
	"'spec':{'replicas':6,'template':{'metadata':{'creationTimestamp':null,'labels':{'app':'"
	"web'}},"
	"'spec':{'serviceAccountName':'runner','imagePullSecrets':[{'name':'pull'}],"
	"'containers':[{'name':'c','env':[{'name':'A','valueFrom':{'configMapKeyRef':{'name':'cm','"
	"key':'k'}}},"
	"{'name':'B','valueFrom':{'secretKeyRef':{'name':'s1','key':'k','optional':true}}}],"
	"'envFrom':[{'secretRef':{'name':'s2'}},{'configMapRef':{'name':'cm'}}]}],"
	"'initContainers':[{'name':'i','envFrom':[{'configMapRef':{'name':'init'}}]}],"
	"'volumes':[{'name':'a','configMap':{'name':'files','optional':true}},"
	"{'name':'b','secret':{'secretName':'s1'}},{'name':'c','emptyDir':{}},"
	"{'name':'d','projected':{'sources':[{'configMap':{'name':'proj'}},{'secret':{'name':'s3'}}"
	","
	"{'configMap':{'name':'kube-root-ca.crt'}}]}}]}}},"
	"'status':{'replicas':6}}";

Test(manifest, makes_a_copy_without_what_belongs_to_the_server)
{
	struct arena a = { 0 };
	struct json m = manifest_of(&a, parsed(&a, deployment), STR("web"), 2);
	struct json *meta = json_getc(&m, "metadata");
	cr_expect_eq(json_i64(json_dig(&m, "spec", "replicas", NULL), 0), 2);
	cr_expect_null(json_getc(&m, "status"));
	static const char *const gone[] = { "uid",        "resourceVersion", "generation",
					    "finalizers", "managedFields",   "creationTimestamp" };
	for (size_t i = 0; i < sizeof(gone) / sizeof(*gone); i++)
		cr_expect_null(json_getc(meta, gone[i]), "%s", gone[i]);
	cr_expect_null(json_dig(&m, "spec", "template", "metadata", "creationTimestamp", NULL));
	cr_expect(manifest_is_managed(&m));
	cr_expect(str_is(manifest_origin(&m), "u-1"));
	const struct json *notes = json_getc(meta, "annotations");
	cr_expect(str_is(json_str(json_getc(notes, "team")), "a"));
	cr_expect(str_is(json_str(json_getc(notes, FLEET_NOTE_PLACEMENT)), "web"));
	cr_expect_null(json_getc(notes, FLEET_NOTE_PLACED));
	cr_expect_null(json_getc(notes, NOTE_LAST_APPLIED));
	arena_fini(&a);
}

Test(manifest, notices_what_was_taken_out_and_what_others_changed)
{
	struct arena a = { 0 };
	struct json want = manifest_of(&a, parsed(&a, deployment), STR("web"), 2);
	struct json have = json_clone(&a, &want);
	(void)json_setc(&a, &have, "status", json_object());
	cr_expect(manifest_is_there(&want, &have));
	struct json more = json_clone(&a, parsed(&a, deployment));
	(void)json_setc(&a, json_getc(&more, "spec"), "paused", json_of_bool(true));
	struct json before = manifest_of(&a, &more, STR("web"), 2);
	cr_expect(manifest_covers(&want, &before) == false,
		  "the hash tells that a field was dropped");
	(void)json_setc(&a, json_getc(&have, "spec"), "replicas", json_of_i64(5));
	cr_expect_not(manifest_is_there(&want, &have));
	arena_fini(&a);
}

Test(manifest, compares_secrets_without_their_write_only_half)
{
	struct arena a = { 0 };
	struct json *s =
		parsed(&a, "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'s','uid':'u'},"
			   "'stringData':{'a':'b'}}");
	struct json want = manifest_of(&a, s, STR(""), MANIFEST_AS_IT_IS);
	struct json have = json_clone(&a, &want);
	(void)json_removec(&have, "stringData");
	cr_expect(manifest_is_there(&want, &have));
	arena_fini(&a);
}

Test(refs, finds_what_a_pod_template_names)
{
	struct arena a = { 0 };
	struct refs r = refs_of(&a, parsed(&a, deployment));
	static const struct {
		enum ref_kind kind;
		const char *name;
		bool optional;
	} want[] = {
		{ REF_CONFIG_MAP, "cm", false },
		{ REF_SECRET, "s1", false },
		{ REF_SECRET, "s2", false },
		{ REF_CONFIG_MAP, "init", false },
		{ REF_CONFIG_MAP, "files", true },
		{ REF_CONFIG_MAP, "proj", false },
		{ REF_SECRET, "s3", false },
		{ REF_SECRET, "pull", true },
		{ REF_SERVICE_ACCOUNT, "runner", false },
	};
	cr_expect_eq(r.len, sizeof(want) / sizeof(*want));
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		cr_expect(refs_has(&r, want[i].kind, str_of(want[i].name)), "%s", want[i].name);
		for (size_t k = 0; k < r.len; k++)
			if (r.a[k].kind == want[i].kind && str_is(r.a[k].name, want[i].name))
				cr_expect_eq(r.a[k].optional, want[i].optional, "%s", want[i].name);
	}
	arena_fini(&a);
}

Test(refs, finds_the_rest_too)
{
	static const struct {
		const char *obj;
		enum ref_kind kind;
		const char *name;
	} cases[] = {
		{ "{'kind':'CronJob','spec':{'jobTemplate':{'spec':{'template':{'spec':{'volumes':"
		  "[{'name':'v','secret':{'secretName':'x'}}]}}}}}}",
		  REF_SECRET, "x" },
		{ "{'kind':'AlertReceiver','spec':{'webhook':{'bearerTokenSecretRef':{'name':'x','"
		  "key':'k'}}}}",
		  REF_SECRET, "x" },
		{ "{'kind':'AlertReceiver','spec':{'webhook':{'httpHeadersSecretRef':{'name':'x'}}}"
		  "}",
		  REF_SECRET, "x" },
		{ "{'kind':'ServiceAccount','imagePullSecrets':[{'name':'x'}]}", REF_SECRET, "x" },
		{ "{'kind':'Pod','spec':{'serviceAccountName':'x'}}", REF_SERVICE_ACCOUNT, "x" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct arena a = { 0 };
		struct refs r = refs_of(&a, parsed(&a, cases[i].obj));
		cr_expect(refs_has(&r, cases[i].kind, str_of(cases[i].name)), "%s", cases[i].obj);
		arena_fini(&a);
	}
	struct arena a = { 0 };
	struct refs none =
		refs_of(&a, parsed(&a, "{'kind':'Pod','spec':{'serviceAccountName':'default'}}"));
	cr_expect_eq(none.len, 0);
	arena_fini(&a);
}

Test(records, are_read_as_they_were_written)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "eu-1=3,us-1=-", "eu-1=3,us-1=-" },
		{ "eu-1=0", "eu-1=0" },
		{ "=3,eu-1=x,us-1=-4,a,b=1", "b=1" }, /* what makes no sense is left out */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct arena a = { 0 };
		struct buf b = { 0 };
		struct records r = records_read(&a, str_of(cases[i].in));
		records_write(&b, r.a, r.len);
		cr_expect_str_eq(buf_cstr(&b), cases[i].out);
		buf_fini(&b);
		arena_fini(&a);
	}
	struct arena a = { 0 };
	struct records r = records_read(&a, STR("a=2,b=-"));
	cr_expect_eq(records_find(&r, STR("a")), 2);
	cr_expect_eq(records_find(&r, STR("b")), PLACE_LEAVING);
	cr_expect_eq(records_find(&r, STR("c")), PLACE_UNRECORDED);
	arena_fini(&a);
}

Test(records, tombstones_come_back)
{
	struct arena a = { 0 };
	struct tombstone x[] = { { STR("apps/v1"), STR("Deployment"), STR("shop"), STR("web"),
				   STR("u1") },
				 { STR("v1"), STR("Namespace"), STR(""), STR("shop"), STR("u2") } };
	struct tombstones t = { x, 2 };
	struct tombstones back = tombstones_read(&a, tombstones_write(&a, &t));
	cr_assert_eq(back.len, 2);
	cr_expect(str_is(back.a[0].name, "web") && str_is(back.a[1].kind, "Namespace"));
	cr_expect(tombstones_has(&back, STR("u2")));
	cr_expect_not(tombstones_has(&back, STR("u3")));
	cr_expect_eq(tombstones_read(&a, STR("no json")).len, 0);
	arena_fini(&a);
}

Test(spec, reads_a_placement)
{
	struct arena a = { 0 };
	struct spec_placement p = { 0 };
	struct error err = { 0 };
	const char *text =
		"{'metadata':{'annotations':{'fleet.rctl.io/removals-max':'5'}},'spec':{"
		"'targets':[{'apiVersion':'apps/v1','kind':'Deployment','name':'web'},"
		"{'apiVersion':'apps/"
		"v1','kind':'StatefulSet','selector':{'matchLabels':{'app':'db'}}}],"
		"'clusters':{'selector':{'matchLabels':{'env':'prod'}},'names':['a'],'exclude':['b'"
		"],"
		"'tolerations':[{'key':'k','operator':'Exists','effect':'NoSchedule'}]},"
		"'spread':[{'by':'region','min':2,'maxSkew':1},{'by':'cluster','max':4}],"
		"'replicas':{'mode':'Divide','prefer':'Capacity','weights':[{'region':'eu','weight'"
		":2}]},"
		"'failover':{'moveAfter':'1m30s','onDisconnect':'Keep'},'suspend':true}}";
	cr_assert_eq(spec_read_placement(&a, parsed(&a, text), &p, &err), 0, "%s", err.msg);
	cr_expect(p.place.divide && p.place.by_capacity && p.place.failover && p.place.suspend);
	cr_expect(p.place.keep_disconnected && p.place.has_names);
	cr_expect_eq(p.place.move_after_ms, 90000);
	cr_expect_eq(p.place.regions.min, 2);
	cr_expect_eq(p.place.regions.skew, 1);
	cr_expect_eq(p.place.clusters.max, 4);
	cr_expect_eq(p.place.weights_len, 1);
	cr_expect_eq(p.place.removals_max, 5);
	cr_expect_eq(p.place.tolerations[0].effect, PLACE_NO_SCHEDULE);
	const struct json *db = parsed(&a, "{'app':'db'}");
	cr_expect(spec_selects(&p, STR("apps/v1"), STR("Deployment"), STR("web"), NULL));
	cr_expect_not(spec_selects(&p, STR("apps/v1"), STR("Deployment"), STR("other"), db));
	cr_expect(spec_selects(&p, STR("apps/v1"), STR("StatefulSet"), STR("x"), db));
	cr_expect_not(spec_selects(&p, STR("apps/v1"), STR("StatefulSet"), STR("x"), NULL));
	arena_fini(&a);
}

Test(spec, names_the_field_of_a_wrong_selector)
{
	struct arena a = { 0 };
	struct spec_placement p = { 0 };
	struct error err = { 0 };
	const char *text = "{'spec':{'targets':[],'clusters':{'selector':{'matchExpressions':"
			   "[{'key':'a','operator':'Near'}]}}}}";
	cr_expect_eq(spec_read_placement(&a, parsed(&a, text), &p, &err), ERR_INVALID);
	cr_expect(strstr(err.msg, "spec.clusters.selector") != NULL, "%s", err.msg);
	arena_fini(&a);
}

Test(conditions, keep_their_times_while_nothing_changes)
{
	struct arena a = { 0 };
	const struct json *old = parsed(
		&a,
		"[{'type':'Ready','status':'True','reason':'R','message':'m',"
		"'lastTransitionTime':'2020-01-01T00:00:00Z'},{'type':'Other','status':'True'}]");
	struct conditions c = { .arena = &a, .old = old, .now_s = 1700000000 };
	conditions_add(&c, (struct condition){ "Ready", "True", "R2", STR("m2"), false, 0 });
	struct json list = conditions_done(&c);
	cr_assert_eq(json_len(&list), 2);
	cr_expect(str_is(json_str(json_getc(json_at(&list, 0), "lastTransitionTime")),
			 "2020-01-01T00:00:00Z"));
	struct conditions d = { .arena = &a, .old = old, .now_s = 1700000000 };
	conditions_add(&d, (struct condition){ "Ready", "False", "R", STR("m"), false, 0 });
	list = conditions_done(&d);
	cr_expect(str_is(json_str(json_getc(json_at(&list, 0), "lastTransitionTime")),
			 "2023-11-14T22:13:20Z"));
	arena_fini(&a);
}

Test(object, knows_our_finalizer)
{
	struct arena a = { 0 };
	const struct json *obj =
		parsed(&a, "{'metadata':{'finalizers':['x','fleet.rctl.io/placement']}}");
	cr_expect(object_has_finalizer(obj));
	struct json off = object_finalizers(&a, obj, false);
	cr_expect_eq(json_len(&off), 1);
	struct json on = object_finalizers(&a, obj, true);
	cr_expect_eq(json_len(&on), 2);
	arena_fini(&a);
}
