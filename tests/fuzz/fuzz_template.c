/* Templates from anybody: as the text of a rule, as a set of named ones, as one executed over a notification. */
#include "alert/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int answer(void *arg, struct arena *a, struct str expr, const struct template_sample **ret,
		  size_t *ret_len, struct error *err)
{
	(void)arg;
	if (expr.len % 3 == 0)
		return error_set(err, ERR_UNAVAILABLE, "not yet");
	static const struct label job = { { "job", 3 }, { "api", 3 } };
	struct template_sample *s = arena_new(a, struct template_sample, 2);
	s[0] = (struct template_sample){ { &job, 1 }, 1e308 };
	s[1] = (struct template_sample){ { &job, 1 }, -0.0 };
	*ret = s;
	*ret_len = expr.len % 3;
	return 0;
}

static void notification(struct arena *a, struct str text)
{
	static const char *const keys[] = { "Alerts", "CommonLabels", "Status" };
	static const struct label l[] = { { { "alertname", 9 }, { "A", 1 } },
					  { { "node", 4 }, { "n1", 2 } } };
	struct template_value alerts[2] = {
		template_labels(a, (struct labels){ l, 2 }, TEMPLATE_KV),
		template_labels(a, (struct labels){ l, 1 }, TEMPLATE_KV)
	};
	const struct template_value values[] = {
		{ .kind = TEMPLATE_LIST, .v = alerts, .len = 2 },
		template_labels(a, (struct labels){ l, 2 }, TEMPLATE_KV),
		template_string(STR("firing")),
	};
	struct template_value dot = template_struct(a, 3, keys, values);
	struct template_set *set = template_set_new();
	struct buf out = { 0 };
	struct error err = { 0 };
	if (template_set_add(set, text, &err) == 0)
		(void)!template_execute(set, STR("{{ template \"a\" . }}"), &dot, &out, &err);
	(void)!template_execute(set, text, &dot, &out, &err);
	buf_fini(&out);
	(void)template_set_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct label l[] = { { { "node", 4 }, { "n1", 2 } } };
	struct arena a = { 0 };
	struct buf out = { 0 };
	struct str text = str_n((const char *)data, size);
	const struct template_vars vars = { .labels = { l, 1 },
					    .value = 1.5,
					    .external_url = STR("http://e/x"),
					    .now_ms = 1700000000000,
					    .query = answer };
	template_expand(text, &vars, &out);
	notification(&a, text);
	buf_fini(&out);
	arena_fini(&a);
	return 0;
}
