#include "json/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void count(void *arg, const char *path)
{
	size_t *n = arg;
	*n += 1 + strlen(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena a = { 0 };
	size_t duplicates = 0;
	struct json_limits limits = JSON_LIMITS;
	limits.on_duplicate = count;
	limits.arg = &duplicates;
	struct json first;
	if (json_parse(&a, str_n((const char *)data, len), &limits, &first, NULL) == 0) {
		/* What we write is JSON of the same value, and writing that again changes nothing. */
		struct json second;
		struct str text = json_text(&a, &first);
		struct error err = { 0 };
		limits.bytes_max = SIZE_MAX;
		duplicates = 0;
		if (json_parse(&a, text, &limits, &second, &err) || duplicates)
			abort();
		struct str again = json_text(&a, &second);
		if (!json_equal(&first, &second) || !str_eq(text, again))
			abort();
		struct json copy = json_clone(&a, &first);
		if (!json_equal(&first, &copy))
			abort();
		struct buf pretty = { 0 };
		json_write_pretty(&pretty, &first, 2);
		if (json_parse(&a, buf_str(&pretty), &limits, &second, NULL) ||
		    !json_equal(&first, &second))
			abort();
		buf_fini(&pretty);
	}
	arena_fini(&a);
	return 0;
}
