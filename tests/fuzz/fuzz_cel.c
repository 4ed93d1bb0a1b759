#include "cel/cel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The text is an expression over a document of every shape; it must end, in bounds, whatever it says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const vars[] = { "self", "oldSelf" };
	static const char doc[] =
		"{\"a\":1,\"replicas\":3,\"max\":4.5,\"names\":[\"aa\",\"b\",\"\\u00e4\"],"
		"\"m\":{\"x-y\":null,\"namespace\":true,\"t\":\"2024-01-01T00:00:00Z\"},\"q\":"
		"\"1Gi\"}";
	struct arena a = { 0 };
	struct json j = { 0 };
	struct cel *c = NULL;
	struct cel_value out;
	if (json_parse(&a, str_of(doc), NULL, &j, NULL))
		__builtin_trap();
	if (cel_compile(&a, str_n((const char *)data, len), vars, 2, &c, NULL) == 0) {
		struct cel_value values[2] = { cel_of_json(&j), cel_optional(&a, &j) };
		uint64_t budget = 20000;
		(void)!cel_eval(c, &a, values, &budget, &out, NULL);
		if (budget > 20000)
			__builtin_trap();
		cel_fini(c);
	}
	arena_fini(&a);
	return 0;
}
