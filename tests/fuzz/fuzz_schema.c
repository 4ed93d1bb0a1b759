/*
 * A schema and a value, each on a line of its own: compiling either says what is
 * wrong or gives a schema that any value can be pruned, defaulted and validated with,
 * in any order of luck, with the same result the second time.
 */
#include "schema/schema.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void count(void *arg, struct str path)
{
	size_t *n = arg;
	*n += 1 + path.len;
}

static void use(struct arena *a, const struct schema *s, struct json *value)
{
	size_t n = 0;
	struct field_errors errors = { .arena = a };
	schema_validate(s, value, STR_NONE, &errors);
	schema_prune(s, value, STR_NONE, count, &n);
	schema_default(a, s, value);
	struct str once = json_text(a, value);
	n = 0;
	schema_prune(s, value, STR_NONE, count, &n);
	schema_default(a, s, value);
	if (n && str_eq(once, json_text(a, value)))
		abort(); /* told of something and took nothing out */
	schema_warnings(s, value, STR_NONE, count, &n);
	schema_validate(s, value, STR("root"), &errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena a = { 0 };
	struct str schema, value = str_n((const char *)data, len);
	struct json doc, v;
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = 1 << 16;
	(void)str_split(&value, '\n', &schema);
	if (json_parse(&a, schema, &limits, &doc, NULL) == 0 &&
	    json_parse(&a, value, &limits, &v, NULL) == 0) {
		for (int external = 0; external < 2; external++) {
			struct schema_set *set = schema_set_new();
			const struct schema *s = NULL;
			struct json own = json_clone(&a, &v);
			struct error err;
			int rc = 0;
			if (!external && json_getc(&doc, "definitions"))
				rc = schema_set_define(set, json_getc(&doc, "definitions"), &err);
			if (rc == 0)
				rc = schema_compile(set, &doc, external, &s, &err);
			if (rc == 0)
				rc = schema_set_finish(set, &err);
			if (rc == 0)
				use(&a, s, &own);
			schema_set_free(set);
		}
	}
	arena_fini(&a);
	return 0;
}
