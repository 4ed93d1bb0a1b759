#include "alert/template.h"
#include "alert_plan.h"
#include "base/mem.h"
#include "format.h"
#include "group_plan.h"
#include "json/json.h"
#include "payload.h"
#include "prefetch.h"
#include "query.h"
#include "sign.h"
#include "spec.h"
#include "yaml/yaml.h"

#include <criterion/criterion.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- alert_plan ---- */

/* What is seen each second: '+' seen, '-' absent, '0' unknown; what the state is then: i p f r. */
static void check_states(int64_t for_ms, int64_t keep_ms, const char *seen, const char *want)
{
	const struct alert_timing t = { for_ms, keep_ms };
	struct alert_record r = { .state = ALERT_INACTIVE };
	char got[64] = "";
	for (size_t i = 0; seen[i]; i++) {
		enum alert_seen s = seen[i] == '+'   ? ALERT_SEEN
				    : seen[i] == '-' ? ALERT_ABSENT
						     : ALERT_UNKNOWN;
		r = alert_plan(&t, &r, s, 1000000 + (int64_t)i * 1000);
		got[i] = alert_state_name(r.state)[0];
	}
	cr_expect_str_eq(got, want, "for %lld keep %lld: %s gives %s, not %s", (long long)for_ms,
			 (long long)keep_ms, seen, got, want);
}

Test(alert_plan, follows_the_rules_of_prometheus)
{
	check_states(0, 0, "-+-+", "ifrf");
	check_states(2000, 0, "+++++-", "ppfffr");
	check_states(2000, 0, "++-+++", "ppippf");
	check_states(0, 2000, "+--+---", "ffffffr"); /* seen again in time */
	check_states(0, 2000, "+---", "fffr");
	check_states(2000, 0, "++00+", "ppppf");
	check_states(0, 0, "+00-", "fffr");
	check_states(1000, 0, "++-+-++", "pfrprpf");
}

Test(alert_plan, keeps_the_end_that_receivers_may_not_know)
{
	const struct alert_timing t = { 5000, 0 };
	struct alert_record r = { .state = ALERT_FIRING, .active_ms = 1000, .starts_ms = 2000 };
	r = alert_plan(&t, &r, ALERT_ABSENT, 9000);
	cr_expect(r.state == ALERT_RESOLVED && r.ends_ms == 9000 && r.starts_ms == 2000);
	r = alert_plan(&t, &r, ALERT_SEEN, 10000);
	cr_expect(r.state == ALERT_PENDING && r.ends_ms == 9000 && r.starts_ms == 2000);
	cr_expect_eq(alert_plan_due(&t, &r), 15000);
	r = alert_plan(&t, &r, ALERT_SEEN, 15000);
	cr_expect(r.state == ALERT_FIRING && r.ends_ms == 0 && r.starts_ms == 15000);
}

Test(alert_plan, believes_pending_alerts_over_a_short_outage_only)
{
	const struct alert_record r = { .state = ALERT_PENDING, .active_ms = 1000 };
	cr_expect_eq(alert_plan_resume(&r, 2000, 60000).state, ALERT_PENDING);
	cr_expect_eq(alert_plan_resume(&r, 2000, 2001 + ALERT_OUTAGE_MS).state, ALERT_INACTIVE);
	const struct alert_record f = { .state = ALERT_FIRING, .starts_ms = 1000 };
	cr_expect_eq(alert_plan_resume(&f, 2000, 2001 + ALERT_OUTAGE_MS).state, ALERT_FIRING);
}

Test(alert_plan, is_not_held_up_by_a_clock_that_was_set_back)
{
	const struct alert_timing t = { 2000, 0 };
	struct alert_record r = { .state = ALERT_PENDING, .active_ms = 99000 };
	r = alert_plan(&t, &r, ALERT_SEEN, 1000);
	r = alert_plan(&t, &r, ALERT_SEEN, 3000);
	cr_expect_eq(r.state, ALERT_FIRING);
}

/* ---- group_plan ---- */

/* Members as text: F firing, f firing and told, S silenced, R ended and told, r ended and not told. */
struct group_case {
	const char *name, *members;
	int64_t flushed_s, now_s;
	bool under_way, unsure, no_resolved, suspended;
	enum group_act act;
	int64_t due_s;
	const char *told; /* members in the notification, by their letters */
};

static const struct group_case group_cases[] = {
	/* starts and ends are second 100; wait 10, interval 60, repeat 1000 */
	{ "nothing", "", 0, 100, .act = GROUP_DROP },
	{ "ended before it was told", "r", 0, 100, .act = GROUP_DROP },
	{ "the first waits for others", "F", 0, 105, .act = GROUP_REST, .due_s = 110 },
	{ "the first is told", "FF", 0, 110, .act = GROUP_NOTIFY, .told = "FF" },
	{ "told too late rather than never", "F", 0, 5000, .act = GROUP_NOTIFY, .told = "F" },
	{ "one is under way", "F", 0, 500, .under_way = true, .act = GROUP_REST },
	{ "nothing new", "f", 90, 200, .act = GROUP_REST, .due_s = 1090 },
	{ "told again", "f", 90, 1090, .act = GROUP_NOTIFY, .told = "f" },
	{ "a change waits for the interval", "fF", 90, 149, .act = GROUP_REST, .due_s = 150 },
	{ "a change is told with the rest", "fF", 90, 150, .act = GROUP_NOTIFY, .told = "fF" },
	{ "a change long after waits for others", "fF", 10, 105, .act = GROUP_REST, .due_s = 110 },
	{ "an end is told", "R", 10, 110, .act = GROUP_NOTIFY, .told = "R" },
	{ "an end with others that fire", "fR", 10, 110, .act = GROUP_NOTIFY, .told = "fR" },
	{ "what is not told has no end", "fr", 10, 110, .act = GROUP_REST, .due_s = 1010 },
	{ "ends are not wanted", "R", 10, 110, .no_resolved = true, .act = GROUP_ADOPT },
	{ "ends are not wanted, news are", "RF", 10, 110, .no_resolved = true, .act = GROUP_NOTIFY,
	  .told = "F" },
	{ "a silence", "S", 0, 500, .act = GROUP_DROP },
	{ "a silence does not hide others", "SF", 0, 500, .act = GROUP_NOTIFY, .told = "F" },
	{ "given up, so told again", "f", 90, 150, .unsure = true, .act = GROUP_NOTIFY,
	  .told = "f" },
	{ "given up a moment ago", "f", 140, 150, .unsure = true, .act = GROUP_REST, .due_s = 200 },
	{ "suspended", "F", 0, 500, .suspended = true, .act = GROUP_ADOPT },
	{ "suspended, an end", "R", 0, 500, .suspended = true, .act = GROUP_ADOPT },
	{ "suspended, nothing new", "f", 10, 500, .suspended = true, .act = GROUP_REST },
	{ "the clock was set back", "F", 9000, 100, .act = GROUP_REST, .due_s = 110 },
	{ "the clock was set back behind the start", "F", 9000, 50, .act = GROUP_NOTIFY,
	  .told = "F" },
};

Test(group_plan, follows_the_rules_of_alertmanager)
{
	for (size_t i = 0; i < sizeof(group_cases) / sizeof(group_cases[0]); i++) {
		const struct group_case *c = &group_cases[i];
		struct group_alert in[8] = { 0 };
		size_t n = strlen(c->members);
		for (size_t k = 0; k < n; k++) {
			char m = c->members[k];
			in[k].firing = strchr("FfS", m) != NULL;
			in[k].silenced = m == 'S';
			in[k].starts_ms = strchr("Rr", m) ? 1000 : 100000;
			in[k].ends_ms = strchr("Rr", m) ? 100000 : 0;
			in[k].told_ms = m == 'f' ? 100000 : m == 'R' ? 1000 : 0;
		}
		const struct group_timing t = { .wait_ms = 10000,
						.interval_ms = 60000,
						.repeat_ms = 1000000,
						.send_resolved = !c->no_resolved,
						.suspended = c->suspended };
		const struct group_past past = { c->flushed_s * 1000, c->under_way, c->unsure };
		struct arena a = { 0 };
		struct group_decision d = group_plan(&a, &t, &past, in, n, c->now_s * 1000);
		cr_expect_eq(d.act, c->act, "%s: act %d", c->name, (int)d.act);
		cr_expect_eq(d.due_ms, c->due_s * 1000, "%s: due %lld", c->name,
			     (long long)d.due_ms);
		char told[9] = "";
		for (size_t k = 0; k < d.include_len; k++)
			told[k] = c->members[d.include[k]];
		cr_expect_str_eq(told, c->told ? c->told : "", "%s: told %s", c->name, told);
		arena_fini(&a);
	}
}

Test(group_plan, tells_an_alert_that_fires_anew_since_it_was_told)
{
	const struct group_timing t = { 0, 1000, 1000000, true, false };
	const struct group_past past = { 1000, false, false };
	const struct group_alert in = { .firing = true, .starts_ms = 5000, .told_ms = 900 };
	struct arena a = { 0 };
	cr_expect_eq(group_plan(&a, &t, &past, &in, 1, 6000).act, GROUP_NOTIFY);
	arena_fini(&a);
}

Test(delivery_plan, tries_again_what_may_succeed)
{
	static const struct {
		int status;
		bool hopeless;
		enum delivery_fate fate;
	} cases[] = {
		{ 200, false, DELIVERY_DONE },  { 204, false, DELIVERY_DONE },
		{ 0, false, DELIVERY_RETRY },   { 0, true, DELIVERY_DEAD },
		{ 500, false, DELIVERY_RETRY }, { 503, false, DELIVERY_RETRY },
		{ 429, false, DELIVERY_RETRY }, { 408, false, DELIVERY_RETRY },
		{ 302, false, DELIVERY_DEAD },  { 400, false, DELIVERY_DEAD },
		{ 404, false, DELIVERY_DEAD },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct delivery_attempt d = { .status = cases[i].status,
						    .hopeless = cases[i].hopeless,
						    .attempt = 1,
						    .deadline_ms = 100000 };
		int64_t next = 0;
		cr_expect_eq(delivery_plan(&d, 1000, 7, &next), cases[i].fate, "status %d",
			     cases[i].status);
	}
}

Test(delivery_plan, waits_with_full_jitter_up_to_the_deadline)
{
	struct delivery_attempt d = { .status = 500, .deadline_ms = 10000000 };
	int64_t next = 0;
	for (uint32_t k = 1; k < 100; k++) {
		d.attempt = k;
		uint64_t chance = k * 0x9e3779b97f4a7c15ULL;
		cr_assert_eq(delivery_plan(&d, 1000, chance, &next), DELIVERY_RETRY);
		int64_t most =
			k < 7 ? (int64_t)DELIVERY_BACKOFF_MIN_MS << k : DELIVERY_BACKOFF_MAX_MS;
		cr_expect(next > 1000 && next <= 1000 + most, "attempt %u waits %lld", k,
			  (long long)(next - 1000));
	}
	d.retry_after_ms = 120000;
	(void)delivery_plan(&d, 1000, 0, &next);
	cr_expect_eq(next, 121000);
	(void)delivery_plan(&d, 9999000, 0, &next);
	cr_expect_eq(next, 10000000, "the last attempt is made at the deadline");
	cr_expect_eq(delivery_plan(&d, 10000000, 0, &next), DELIVERY_DEAD);
}

/* ---- template ---- */

Test(template, expands_as_prometheus_does)
{
	const struct label labels[] = { { STR("instance"), STR("n1") },
					{ STR("size"), STR("2048") } };
	const struct label external[] = { { STR("cluster"), STR("c1") } };
	const struct template_vars vars = { .labels = { labels, 2 },
					    .external = { external, 1 },
					    .value = 134217728 };
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "", "" },
		{ "{{ $labels.instance }} has {{ $value }}", "n1 has 1.34217728e+08" },
		{ "{{.Labels.instance}}/{{.Value}}", "n1/1.34217728e+08" },
		{ "{{ $externalLabels.cluster }}{{ .ExternalLabels.cluster }}", "c1c1" },
		{ "[{{ $labels.absent }}]", "[]" },
		{ "{{ $value | humanize }}", "134.2M" },
		{ "{{ $value | humanize1024 }}B", "128MiB" },
		{ "{{ humanize $value }}", "134.2M" },
		{ "{{ 0.0123 | humanize }}", "12.3m" },
		{ "{{ 0 | humanize }}", "0" },
		{ "{{ 93784 | humanizeDuration }}", "1d 2h 3m 4s" },
		{ "{{ 0.5 | humanizeDuration }}", "500ms" },
		{ "{{ 59.5 | humanizeDuration }}", "59.5s" },
		{ "{{ -3661 | humanizeDuration }}", "-1h 1m 1s" },
		{ "{{ 0.254 | humanizePercentage }}", "25.4%" },
		{ "{{ $labels.size | humanize1024 }}", "2ki" },
		{ "{{ printf \"%.2f\" $value }}", "134217728.00" },
		{ "{{ $value | printf \"%.3g%%\" }}", "1.34e+08%" },
		{ "{{ printf \"%5s|%-4s|\" $labels.instance \"x\" }}", "   n1|x   |" },
		{ "{{ \"a}}b\" }}", "a}}b" },
		{ "{{ `raw \\n` }}", "raw \\n" },
		{ "a {{- $labels.instance -}} b", "an1b" },
		{ "{{/* said to nobody */}}x", "x" },
		{ "{{ $labels.instance | toUpper }}", "N1" },
		{ "{{ \"two words\" | title }}", "Two Words" },
		{ "{{ if true }}", "<error expanding template: unexpected EOF>" },
		{ "{{ query \"up\" }}", "<error expanding template: query is not available here>" },
		{ "{{ $value", "<error expanding template: unclosed action>" },
		{ "{{ }}", "<error expanding template: missing value for command>" },
		{ "{{ printf \"%d\" $value }}", "%!d(float64=1.34217728e+08)" },
		{ "{{ printf \"%z\" 1 }}",
		  "<error expanding template: printf does not know the verb %z>" },
		{ "{{ printf \"%03d|%x|%q|%t|%v\" 7 255 \"a\" true 1.5 }}",
		  "007|ff|\"a\"|true|1.5" },
		{ "{{ printf \"%d\" }}", "%!d(MISSING)" },
		{ "{{ \"x\" | humanize }}", "<error expanding template: not a number: \"x\">" },
		{ "{{ with $labels.instance -}} [{{ . }}] {{- end }}", "[n1]" },
		{ "{{ with $labels.absent }}a{{ else }}b{{ end }}", "b" },
		{ "{{ if eq $labels.instance \"n2\" }}a{{ else if gt $value 1.0 }}b{{ end }}",
		  "b" },
		{ "{{ if and (ne $labels.instance \"\") (lt $value 1e12) }}yes{{ end }}", "yes" },
		{ "{{ if not (or false $labels.absent) }}none{{ end }}", "none" },
		{ "{{ if gt $value 1 }}{{ end }}",
		  "<error expanding template: incompatible types for comparison>" },
		{ "{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}",
		  "instance=n1;size=2048;" },
		{ "{{ range $i, $w := stringSlice \"a\" \"b\" \"c\" }}{{ if eq $w \"b\" }}"
		  "{{ continue }}{{ end }}{{ $i }}{{ $w }}{{ end }}",
		  "0a2c" },
		{ "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ end }}{{ $x }}", "2" },
		{ "{{ define \"n\" }}<{{ .arg0 }}{{ .arg1 }}>{{ end }}{{ template \"n\" args 1 "
		  "\"b\" }}",
		  "<1b>" },
		{ "{{ tmpl \"absent\" . }}",
		  "<error expanding template: template \"absent\" not defined>" },
		{ "{{ reReplaceAll \"n([0-9])\" \"node-$1\" $labels.instance }}", "node-1" },
		{ "{{ if match \"^n[0-9]$\" $labels.instance }}m{{ end }}", "m" },
		{ "{{ \"host.example.com:9100\" | stripPort }} {{ \"host.example.com:9100\" | "
		  "stripDomain }}",
		  "host.example.com host:9100" },
		{ "{{ 1435065584.128 | humanizeTimestamp }}", "2015-06-23 13:19:44.128 +0000 UTC" },
		{ "{{ parseDuration \"1h2m\" }}", "3720" },
		{ "{{ graphLink \"up == 0\" }}", "/graph?g0.expr=up+%3D%3D+0&g0.tab=0" },
		{ "{{ index $labels \"size\" }} {{ len $labels.size }}", "2048 4" },
		{ "{{ print 1 2 \"a\" 3 }}", "1 2a3" },
		{ "{{ (index (stringSlice \"a\" \"b\") 1) | toUpper }}", "B" },
		{ "{{ toJson $labels }}", "{\"instance\":\"n1\",\"size\":\"2048\"}" },
		{ "{{ define \"r\" }}{{ template \"r\" . }}{{ end }}{{ template \"r\" . }}",
		  "<error expanding template: the template is nested too deeply>" },
		{ "{{ nothing 1 }}",
		  "<error expanding template: function \"nothing\" not defined>" },
		{ "{{ \"\\u00e9\\x41\\n\" }}", "\u00e9A\n" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = { 0 };
		template_expand(str_of(cases[i].in), &vars, &b);
		cr_expect_str_eq(buf_cstr(&b), cases[i].out, "%s gives %s", cases[i].in,
				 buf_cstr(&b));
		buf_fini(&b);
	}
}

static int up(void *arg, struct arena *a, struct str expr, const struct template_sample **ret,
	      size_t *ret_len, struct error *err)
{
	(void)arg;
	static const struct label n2[] = { { { "node", 4 }, { "n2", 2 } } };
	static const struct label n1[] = { { { "__value__", 9 }, { "text", 4 } },
					   { { "node", 4 }, { "n1", 2 } } };
	struct template_sample *s = arena_new(a, struct template_sample, 2);
	s[0] = (struct template_sample){ { n2, 1 }, 2 };
	s[1] = (struct template_sample){ { n1, 2 }, 1 };
	*ret = s;
	*ret_len = str_is(expr, "up") ? 2 : 0;
	return str_is(expr, "bad") ? error_set(err, ERR_BAD_REQUEST, "it is bad") : 0;
}

Test(template, asks_for_what_others_measured)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "{{ with query \"up\" }}{{ . | first | value }}{{ end }}", "2" },
		{ "{{ range query \"up\" | sortByLabel \"node\" }}{{ .Labels.node }}={{ .Value }} "
		  "{{ end }}",
		  "n1=1 n2=2 " },
		{ "{{ query \"up\" | first | label \"node\" }}", "n2" },
		{ "{{ with query \"none\" }}x{{ else }}nobody{{ end }}", "nobody" },
		{ "{{ query \"none\" | first }}",
		  "<error expanding template: first() called on vector with no elements>" },
		{ "{{ query \"bad\" }}", "<error expanding template: it is bad>" },
		{ "{{ range query (printf \"%s\" \"up\") }}{{ strvalue . }}{{ end }}", "text" },
	};
	const struct template_vars vars = { .query = up };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = { 0 };
		template_expand(str_of(cases[i].in), &vars, &b);
		cr_expect_str_eq(buf_cstr(&b), cases[i].out, "%s gives %s", cases[i].in,
				 buf_cstr(&b));
		buf_fini(&b);
	}
}

Test(template, knows_the_special_numbers)
{
	static const struct {
		double v;
		const char *out;
	} cases[] = { { NAN, "NaN NaN" }, { INFINITY, "+Inf +Inf" }, { -INFINITY, "-Inf -Inf" } };
	for (size_t i = 0; i < 3; i++) {
		const struct template_vars vars = { .value = cases[i].v };
		struct buf b = { 0 };
		template_expand(STR("{{ $value }} {{ $value | humanize }}"), &vars, &b);
		cr_expect_str_eq(buf_cstr(&b), cases[i].out);
		buf_fini(&b);
	}
}

/* ---- payload ---- */

Test(payload, is_what_alertmanager_sends)
{
	const struct label l1[] = { { STR("alertname"), STR("A") }, { STR("node"), STR("n1") } };
	const struct label l2[] = { { STR("alertname"), STR("A") }, { STR("node"), STR("n2") } };
	const struct label note[] = { { STR("summary"), STR("it \"is\" so") } };
	const struct payload_alert alerts[] = {
		{ true, { l1, 2 }, { note, 1 }, 1700000000123, 0, STR("http://x/") },
		{ false, { l2, 2 }, { note, 1 }, 1700000000000, 1700000060000, STR("") },
	};
	struct payload p = { .receiver = STR("ns/r"),
			     .group_key = STR("{}:{alertname=\"A\"}"),
			     .external_url = STR("http://ext"),
			     .group_labels = { l1, 1 },
			     .alerts = alerts,
			     .len = 2,
			     .sequence = 7 };
	struct buf b = { 0 };
	payload_write(&p, &b);
	cr_expect_str_eq(
		buf_cstr(&b),
		"{\"receiver\":\"ns/r\",\"status\":\"firing\",\"alerts\":["
		"{\"status\":\"firing\",\"labels\":{\"alertname\":\"A\",\"node\":\"n1\"},"
		"\"annotations\":{\"summary\":\"it \\\"is\\\" so\"},"
		"\"startsAt\":\"2023-11-14T22:13:20.123Z\",\"endsAt\":\"0001-01-01T00:00:00Z\","
		"\"generatorURL\":\"http://x/\",\"fingerprint\":\"e8dbc7c38dc6e332\"},"
		"{\"status\":\"resolved\",\"labels\":{\"alertname\":\"A\",\"node\":\"n2\"},"
		"\"annotations\":{\"summary\":\"it \\\"is\\\" so\"},"
		"\"startsAt\":\"2023-11-14T22:13:20Z\",\"endsAt\":\"2023-11-14T22:14:20Z\","
		"\"generatorURL\":\"\",\"fingerprint\":\"e8d1c7c38dbe8ead\"}],"
		"\"groupLabels\":{\"alertname\":\"A\"},\"commonLabels\":{\"alertname\":\"A\"},"
		"\"commonAnnotations\":{\"summary\":\"it \\\"is\\\" so\"},"
		"\"externalURL\":\"http://ext\",\"version\":\"4\","
		"\"groupKey\":\"{}:{alertname=\\\"A\\\"}\",\"truncatedAlerts\":0,"
		"\"groupSequence\":7}");
	p.max_alerts = 1;
	buf_clear(&b);
	payload_write(&p, &b);
	cr_expect(strstr(buf_cstr(&b), "\"truncatedAlerts\":1"));
	cr_expect_null(strstr(buf_cstr(&b), "\"n2\""));
	buf_fini(&b);
}

Test(payload, names_alerts_and_groups_as_alertmanager_does)
{
	char fp[FINGERPRINT_LEN + 1];
	fingerprint((struct labels){ NULL, 0 }, fp);
	cr_expect_str_eq(fp, "cbf29ce484222325");
	/* from the tests of prometheus/common: 5799056148416392346, 5911716720268894962 */
	const struct label two[] = { { STR("fear"), STR("love is not enough") },
				     { STR("name"), STR("garland, briggs") } };
	const struct label three[] = { { STR("first_name"), STR("electro") },
				       { STR("manufacturer"), STR("westinghouse") },
				       { STR("occupation"), STR("robot") } };
	fingerprint((struct labels){ two, 2 }, fp);
	cr_expect_str_eq(fp, "507a62d79ee76c9a");
	fingerprint((struct labels){ three, 3 }, fp);
	cr_expect_str_eq(fp, "520aa309145d62f2");
	struct buf b = { 0 };
	group_key_write((struct labels){ NULL, 0 }, &b);
	cr_expect_str_eq(buf_cstr(&b), "{}:{}");
	buf_fini(&b);
}

/* ---- spec ---- */

static struct json parsed(struct arena *a, const char *text)
{
	struct json j;
	struct error err = { 0 };
	cr_assert_eq(json_parse(a, str_of(text), NULL, &j, &err), 0, "%s", err.msg);
	return j;
}

Test(spec, gives_each_rule_an_id_that_survives_a_new_order)
{
	struct arena a = { 0 };
	struct json j = parsed(
		&a,
		"{\"metadata\":{\"namespace\":\"ns\",\"name\":\"r\",\"generation\":3},\"spec\":"
		"{\"groups\":[{\"name\":\"g\",\"interval\":\"30s\",\"rules\":["
		"{\"alert\":\"A\",\"expr\":\"x > 1\",\"for\":\"1m\"},"
		"{\"record\":\"y\",\"expr\":\"x\"},{\"alert\":\"A\",\"expr\":\"x > 2\","
		"\"keep_firing_for\":\"2m\"},{\"alert\":\"B\",\"expr\":\"sum(\"},"
		"{\"alert\":\"C\",\"expr\":\" rctl_node_silent \"},{\"alert\":\"D\",\"expr\":1}]"
		"}]}}");
	struct rule_set *s = rule_set_new(STR("ns/r"), &j);
	const struct rule_group *g = &s->groups[0];
	cr_assert_eq(g->len, 5);
	cr_expect(s->rules == 6 && !s->global && s->generation == 3 && g->interval_ms == 30000);
	cr_expect(str_is(g->rules[0].id, "ns/r/g/A") && g->rules[0].timing.for_ms == 60000);
	cr_expect(str_is(g->rules[1].id, "ns/r/g/A#2") &&
		  g->rules[1].timing.keep_firing_ms == 120000);
	cr_expect(g->rules[2].problem.len > 0 && str_starts(s->problem, STR("group \"g\", alert "
									    "\"B\": 1:")));
	cr_expect_eq(g->rules[3].builtin, BUILTIN_NODE_SILENT);
	cr_expect(str_is(g->rules[4].expr, "1") && !g->rules[4].problem.len);
	(void)rule_set_free(s);
	arena_fini(&a);
}

Test(spec, reads_receivers)
{
	struct arena a = { 0 };
	struct json j = parsed(
		&a, "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"r\"},\"spec\":{"
		    "\"groupBy\":[\"a\",\"...\"],\"groupWait\":\"1s\",\"groupInterval\":\"2m\","
		    "\"repeatInterval\":\"3h\",\"match\":[{\"name\":\"team\",\"op\":\"=~\","
		    "\"value\":\"x|y\"}],\"webhook\":{\"url\":\"https://h/p\",\"timeout\":\"3s\","
		    "\"sendResolved\":false,\"maxAlerts\":5,\"caBundle\":\"UEVN\","
		    "\"bearerTokenSecretRef\":{\"name\":\"s\",\"key\":\"k\"}}}}");
	struct receiver *r = receiver_new(STR("ns/r"), &j);
	cr_expect(r->timing.wait_ms == 1000 && r->timing.interval_ms == 120000 &&
		  r->timing.repeat_ms == 3 * 3600000 && !r->timing.send_resolved);
	cr_expect(r->group_by_all && r->max_alerts == 5 && r->timeout_ms == 3000);
	cr_expect_str_eq(r->ca_pem, "PEM");
	cr_expect(str_is(r->token_secret, "s") && str_is(r->token_member, "k"));
	const struct label y = { STR("team"), STR("y") };
	const struct label yy = { STR("team"), STR("yy") };
	cr_expect(matcher_all(r->match, r->match_len, (struct labels){ &y, 1 }));
	cr_expect(!matcher_all(r->match, r->match_len, (struct labels){ &yy, 1 }));
	cr_expect(receiver_routes_alike(r, r));
	(void)receiver_free(r);
	j = parsed(&a, "{\"spec\":{\"match\":[{\"name\":\"a\",\"op\":\"=~\",\"value\":\"(\"}],"
		       "\"webhook\":{\"url\":\"http://x\"}}}");
	r = receiver_new(STR("ns/bad"), &j);
	cr_expect(str_starts(r->problem, STR("matcher 1: ")));
	(void)receiver_free(r);
	arena_fini(&a);
}

Test(spec, knows_when_a_silence_holds)
{
	struct arena a = { 0 };
	struct json j = parsed(&a, "{\"spec\":{\"startsAt\":\"1970-01-01T00:01:40Z\",\"endsAt\":"
				   "\"1970-01-01T00:03:20Z\",\"matchers\":[{\"name\":\"a\","
				   "\"value\":\"b\"}]}}");
	struct silence *s = silence_new(STR("ns/s"), &j);
	cr_expect_eq(silence_state(s, 99999), SILENCE_PENDING);
	cr_expect_eq(silence_state(s, 100000), SILENCE_ACTIVE);
	cr_expect_eq(silence_state(s, 200000), SILENCE_EXPIRED);
	cr_expect_eq(s->problem.len, 0);
	(void)silence_free(s);
	j = parsed(&a, "{\"spec\":{\"endsAt\":\"2999-01-01T00:00:00Z\",\"matchers\":[{\"name\":"
		       "\"a\",\"op\":\"!=\",\"value\":\"b\"}]}}");
	s = silence_new(STR("ns/s"), &j);
	cr_expect_gt(s->problem.len, 0, "a silence of everything is refused");
	(void)silence_free(s);
	arena_fini(&a);
}

/* ---- query ---- */

Test(query, reads_what_prometheus_answers)
{
	struct arena a = { 0 };
	struct series *s = NULL;
	size_t n = 0;
	struct error err = { 0 };
	cr_assert_eq(
		query_parse(&a,
			    STR("{\"status\":\"success\",\"data\":{\"resultType\":\"vector\","
				"\"result\":[{\"metric\":{\"node\":\"n\",\"__name__\":\"up\"},"
				"\"value\":[1.5,\"+Inf\"]},{\"metric\":{},\"value\":[1,\"2.5\"]"
				"}]}}"),
			    &s, &n, &err),
		0, "%s", err.msg);
	cr_expect(n == 2 && isinf(s[0].value) && s[1].value == 2.5);
	cr_expect(str_is(labels_get(s[0].labels, LABELS_NAME), "up"));
	cr_assert_eq(query_parse(&a,
				 STR("{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\","
				     "\"result\":[1,\"3\"]}}"),
				 &s, &n, &err),
		     0);
	cr_expect(n == 1 && s[0].value == 3);
	static const struct {
		const char *body;
		int rc;
	} bad[] = {
		{ "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"e\"}",
		  ERR_INVALID },
		{ "", ERR_BAD_REQUEST },
		{ "[]", ERR_BAD_REQUEST },
		{ "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}",
		  ERR_BAD_REQUEST },
		{ "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{}]}}",
		  ERR_BAD_REQUEST },
		{ "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{"
		  "\"metric\":{\"a b\":\"c\"},\"value\":[1,\"1\"]}]}}",
		  ERR_BAD_REQUEST },
		{ "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{"
		  "\"metric\":{},\"value\":[1,\"1x\"]}]}}",
		  ERR_BAD_REQUEST },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(query_parse(&a, str_of(bad[i].body), &s, &n, &err), bad[i].rc, "%s",
			     bad[i].body);
	arena_fini(&a);
}

Test(query, makes_alerts_of_series)
{
	struct arena a = { 0 };
	struct json j = parsed(
		&a,
		"{\"metadata\":{\"namespace\":\"ns\",\"name\":\"r\"},\"spec\":{\"groups\":[{"
		"\"name\":\"g\",\"labels\":{\"team\":\"x\",\"region\":\"mine\"},\"rules\":[{"
		"\"alert\":\"A\",\"expr\":\"m\",\"labels\":{\"team\":\"y\",\"gone\":\"\",\"at\":"
		"\"{{ $labels.node }}\"},\"annotations\":{\"v\":\"{{ $value }}\"}}]}]}}");
	struct rule_set *set = rule_set_new(STR("ns/r"), &j);
	const struct label in[] = { { LABELS_NAME, STR("m") },
				    { STR("gone"), STR("1") },
				    { STR("node"), STR("n1") } };
	const struct label external[] = { { STR("cluster"), STR("c") },
					  { STR("region"), STR("r") } };
	const struct series s = { { in, 3 }, 2, { 7000, 0 } };
	struct core_seen seen;
	struct error err = { 0 };
	const struct template_vars env = { .external = { external, 2 } };
	cr_assert_eq(query_alert(&a, &set->groups[0].rules[0], &s, &env, &seen, &err), 0, "%s",
		     err.msg);
	struct buf b = { 0 };
	labels_write_text(seen.labels, &b);
	cr_expect_str_eq(buf_cstr(&b), "{alertname=\"A\", at=\"n1\", cluster=\"c\", node=\"n1\", "
				       "region=\"mine\", team=\"y\"}");
	cr_expect(str_is(labels_get(seen.annotations, STR("v")), "2"));
	cr_expect_eq(seen.timing.for_ms, 7000);
	buf_fini(&b);
	(void)rule_set_free(set);
	arena_fini(&a);
}

Test(query, fetches_what_templates_ask_for)
{
	struct arena a = { 0 };
	struct json j = parsed(
		&a, "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"r\"},\"spec\":{\"groups\":[{"
		    "\"name\":\"g\",\"rules\":[{\"alert\":\"A\",\"expr\":\"m\",\"annotations\":{"
		    "\"v\":\"{{ query \\\"up\\\" | first | value }}\","
		    "\"w\":\"{{ with query \\\"up\\\" }}{{ . | first | label \\\"job\\\" }}"
		    "{{ end }}\","
		    "\"bad\":\"{{ query \\\"((\\\" }}\","
		    "\"u\":\"{{ externalURL }} {{ now }}\"}}]}]}}");
	struct rule_set *set = rule_set_new(STR("ns/r"), &j);
	const struct rule *rule = &set->groups[0].rules[0];
	struct prefetch p;
	prefetch_init(&p);
	const struct template_vars env = { .external_url = STR("http://e"),
					   .now_ms = 1700000000000,
					   .query = prefetch_query,
					   .arg = &p };
	const struct series s = { .value = 2 };
	struct core_seen seen;
	struct error err = { 0 };
	cr_assert_eq(query_alert(&a, rule, &s, &env, &seen, &err), 0, "%s", err.msg);
	struct str expr;
	const struct label job[] = { { STR("job"), STR("api") } };
	const struct series up = { .labels = { job, 1 }, .value = 7 };
	size_t asked = 0;
	for (; prefetch_next(&p, &expr); asked++)
		prefetch_put(&p, &up, 1, str_is(expr, "up") ? NULL : "1:3: parse error");
	cr_expect_eq(asked, 2, "each expression is asked for once, not %zu", asked);
	cr_assert_eq(query_alert(&a, rule, &s, &env, &seen, &err), 0, "%s", err.msg);
	cr_expect(!prefetch_next(&p, &expr));
	cr_expect(str_is(labels_get(seen.annotations, STR("v")), "7"));
	cr_expect(str_is(labels_get(seen.annotations, STR("w")), "api"));
	cr_expect(str_find_str(labels_get(seen.annotations, STR("bad")), STR("1:3: parse"), 0) > 0);
	cr_expect(str_starts(labels_get(seen.annotations, STR("u")), STR("http://e 1.7")));
	prefetch_fini(&p);
	(void)rule_set_free(set);
	arena_fini(&a);
}

Test(query, bounds_the_queries_of_templates)
{
	struct prefetch p;
	struct arena a = { 0 };
	prefetch_init(&p);
	const struct template_sample *v = NULL;
	size_t n = 0;
	struct error err = { 0 };
	for (int i = 0; i < PREFETCH_MAX; i++)
		cr_expect_eq(prefetch_query(&p, &a, arena_strf(&a, "m%d", i), &v, &n, &err),
			     ERR_UNAVAILABLE);
	cr_expect_eq(prefetch_query(&p, &a, STR("more"), &v, &n, &err), ERR_LIMIT);
	cr_expect_eq(prefetch_query(&p, &a, STR("m3"), &v, &n, &err), ERR_UNAVAILABLE);
	prefetch_fini(&p);
	arena_fini(&a);
}

/* ---- format ---- */

#define NOTIFICATION(status, alerts) \
	"{\"receiver\":\"ns/r\",\"status\":\"" status "\",\"alerts\":[" alerts \
	"],\"groupLabels\":{\"alertname\":\"A\",\"cluster\":\"c\"},\"commonLabels\":{\"cluster\":" \
	"\"c\"," \
	"\"severity\":\"critical\"},\"commonAnnotations\":{\"summary\":\"it <is> bad\"}," \
	"\"externalURL\":\"http://e\",\"version\":\"4\",\"groupKey\":\"{}:{}\"," \
	"\"truncatedAlerts\":2}"
#define FIRES \
	"{\"status\":\"firing\",\"labels\":{\"a\":\"1\"},\"annotations\":{\"summary\":\"one & " \
	"all\"}," \
	"\"startsAt\":\"2030-01-01T00:00:00Z\",\"endsAt\":\"0001-01-01T00:00:00Z\"}"
#define ENDED \
	"{\"status\":\"resolved\",\"labels\":{\"a\":\"2\"},\"annotations\":{}," \
	"\"startsAt\":\"2030-01-01T00:00:00Z\",\"endsAt\":\"2030-01-01T00:01:00Z\"}"

static void check_format(const char *format, const char *notification, const char *want)
{
	struct buf b = { 0 };
	struct error err = { 0 };
	const struct format_env env = { STR("c"), STR("key") };
	cr_assert_eq(format_write(format_of(str_of(format)), &env, str_of(notification), &b, &err),
		     0, "%s", err.msg);
	cr_expect_str_eq(buf_cstr(&b), want);
	buf_fini(&b);
}

Test(format, tells_pagerduty_of_a_group_as_an_incident)
{
	check_format("PagerDuty", NOTIFICATION("firing", FIRES "," ENDED),
		     "{\"routing_key\":\"key\",\"event_action\":\"trigger\",\"dedup_key\":"
		     "\"1a27c2ecad7d5211b4aadbd5c40a9d34b6fd2bb5375fefafbf341d9fc28a479c\","
		     "\"client\":\"rctl\",\"client_url\":\"http://e\",\"payload\":{\"summary\":"
		     "\"[FIRING:1] A c: it <is> bad\",\"source\":\"c\",\"severity\":\"critical\","
		     "\"custom_details\":{\"alerts\":\"one & all\\nresolved: a=2\\nand 2 more\","
		     "\"labels\":{\"cluster\":\"c\",\"severity\":\"critical\"},\"firing\":1}}}");
}

Test(format, tells_others_in_their_own_words)
{
	check_format("Slack", NOTIFICATION("firing", FIRES),
		     "{\"text\":\"[FIRING:1] A c: it &lt;is&gt; bad\",\"attachments\":[{\"color\":"
		     "\"danger\",\"fallback\":\"[FIRING:1] A c: it &lt;is&gt; bad\",\"text\":"
		     "\"one &amp; all\\nand 2 more\"}]}");
	check_format(
		"Teams", NOTIFICATION("resolved", ENDED),
		"{\"type\":\"message\",\"attachments\":[{\"contentType\":"
		"\"application/vnd.microsoft.card.adaptive\",\"content\":{\"type\":"
		"\"AdaptiveCard\",\"version\":\"1.4\",\"body\":[{\"type\":\"TextBlock\","
		"\"text\":\"[RESOLVED] A c: it <is> bad\",\"weight\":\"Bolder\",\"wrap\":true},"
		"{\"type\":\"TextBlock\",\"text\":\"resolved: a=2\\nand 2 more\",\"weight\":"
		"\"Default\",\"wrap\":true}]}}]}");
	check_format("Alertmanager", NOTIFICATION("firing", FIRES "," ENDED),
		     "[{\"labels\":{\"a\":\"1\"},\"annotations\":{\"summary\":\"one & all\"},"
		     "\"startsAt\":\"2030-01-01T00:00:00Z\"},{\"labels\":{\"a\":\"2\"},"
		     "\"annotations\":{},\"startsAt\":\"2030-01-01T00:00:00Z\",\"endsAt\":"
		     "\"2030-01-01T00:01:00Z\"}]");
	check_format("Webhook", "{\"alerts\":[]}", "{\"alerts\":[]}");
	struct buf b = { 0 };
	struct error err;
	cr_expect_eq(format_write(FORMAT_SLACK, &(struct format_env){ 0 }, STR("{}"), &b, &err),
		     ERR_BAD_REQUEST);
}

/* ---- sign ---- */

Test(sign, agrees_with_standard_webhooks)
{
	struct buf b = { 0 };
	struct error err = { 0 };
	const struct sign_message m = { STR("msg_p5jXN8AQM9LWM0D4loKWxJek"),
					STR("{\"test\": 2432232314}"), 1614265330 };
	cr_assert_eq(sign_message(STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &m, &b, &err), 0,
		     "%s", err.msg);
	cr_expect_str_eq(buf_cstr(&b), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	cr_expect_eq(sign_message(STR("whsec_!"), &m, &b, &err), ERR_INVALID);
	cr_expect_eq(sign_message(STR("short"), &m, &b, &err), ERR_INVALID);
	cr_expect_eq(sign_message(STR("a key of any text"), &m, &b, &err), 0);
	buf_fini(&b);
}

/* ---- rules that others wrote ---- */

static size_t load_file(const char *path, const char *name)
{
	struct arena a = { 0 };
	struct error err = { 0 };
	struct buf text = { 0 };
	struct json obj;
	FILE *f = fopen(path, "r");
	char block[4096];
	cr_assert(f, "%s", path);
	for (size_t n; (n = fread(block, 1, sizeof(block), f)) > 0;)
		buf_add(&text, block, n);
	(void)fclose(f);
	cr_assert_eq(yaml_parse(&a, buf_str(&text), &obj, &err), 0, "%s: %s", name, err.msg);
	struct rule_set *s = rule_set_new(STR("monitoring/x"), &obj);
	cr_expect(s->len > 0 && !s->problem.len, "%s: %.*s", name, STR_ARG(s->problem));
	size_t n = s->rules;
	(void)rule_set_free(s);
	buf_fini(&text);
	arena_fini(&a);
	return n;
}

Test(rules, in_use_load_unchanged)
{
	const char *data = getenv("RCTL_TEST_DATA");
	const char *src = getenv("RCTL_SRC");
	char dir[4096];
	(void)snprintf(dir, sizeof(dir), "%s%s/rules",
		       data  ? data
		       : src ? src
			     : ".",
		       data ? "" : "/../shared/data");
	DIR *d = opendir(dir);
	if (!d)
		cr_skip_test("no %s\n", dir);
	size_t rules = 0;
	for (struct dirent *e; (e = readdir(d));) {
		char path[8192];
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (strstr(e->d_name, ".yaml"))
			rules += load_file(path, e->d_name);
	}
	(void)closedir(d);
	cr_expect(rules > 100, "%zu rules", rules);
}
