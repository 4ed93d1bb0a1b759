#include "json/json.h"
#include "promapi/rules.h"

#include <criterion/criterion.h>

static const char OBJECT[] =
	"{\"kind\":\"AlertRule\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"},"
	"\"spec\":{\"groups\":[{\"name\":\"g\",\"interval\":\"1m\",\"rules\":["
	"{\"alert\":\"Down\",\"expr\":\"up == 0\",\"for\":\"5m\",\"labels\":{\"severity\":\"page\","
	"\"what\":\"{{ $value }}\"},\"annotations\":{\"s\":\"t\"}},"
	"{\"alert\":\"Down\",\"expr\":\"up == 2\",\"labels\":{\"severity\":\"mail\"}},"
	"{\"record\":\"r\",\"expr\":\"sum(up)\"}]}]},"
	"\"status\":{\"conditions\":[{\"type\":\"Accepted\",\"status\":\"True\"}],\"alerts\":["
	"{\"state\":\"pending\",\"activeAt\":\"2024-01-01T00:00:00Z\",\"labels\":{\"alertname\":"
	"\"Down\",\"severity\":\"page\",\"what\":\"1\"}},"
	"{\"state\":\"firing\",\"labels\":{\"alertname\":\"Down\",\"severity\":\"page\",\"what\":"
	"\"2\"}},"
	"{\"state\":\"firing\",\"labels\":{\"alertname\":\"Other\"}}]}}";

/* The pieces that the answer must have, or must not ('!'). */
static void check(bool alerts, const char *type, const char *const *want)
{
	struct arena a = { 0 };
	struct json doc;
	struct error err = { 0 };
	struct promapi_rules r = { .alerts = alerts, .type = str_of(type) };
	cr_assert_eq(json_parse(&a, str_of(OBJECT), NULL, &doc, &err), 0, "%s", err.msg);
	promapi_rules_object(&r, &doc);
	struct buf all = { 0 };
	buf_addf(&all, "[%s]", buf_cstr(&r.out));
	cr_assert_eq(json_parse(&a, buf_str(&all), NULL, &doc, &err), 0, "%s: %s", buf_cstr(&all),
		     err.msg);
	for (; *want; want++) {
		bool no = **want == '!';
		cr_assert_eq(strstr(buf_cstr(&all), *want + no) != NULL, !no, "%s in %s", *want,
			     buf_cstr(&all));
	}
	buf_fini(&all);
	buf_fini(&r.out);
	arena_fini(&a);
}

Test(promapi, rules_say_what_prometheus_says_of_them)
{
	static const char *const all[] = { "\"file\":\"AlertRule/n/a\"",
					   "\"interval\":60",
					   "\"duration\":300",
					   "\"state\":\"firing\",\"type\":\"alerting\"",
					   "\"state\":\"inactive\",\"type\":\"alerting\"",
					   "\"type\":\"recording\"",
					   "\"health\":\"ok\"",
					   "\"query\":\"sum(up)\"",
					   NULL };
	static const char *const records[] = { "\"recording\"", "!\"alerting\"", NULL };
	static const char *const alerts[] = { "\"what\":\"1\"", "\"what\":\"2\"", "\"s\":\"t\"",
					      "!Other",         "!\"recording\"", NULL };
	check(false, "", all);
	check(false, "record", records);
	check(true, "", alerts);
}
