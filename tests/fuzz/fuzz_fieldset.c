/* fieldsV1: what can be read is written, read again and equal; the algebra keeps its laws. */
#include "patch/fieldset.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static bool parse(struct arena *a, struct str text, struct fset *ret)
{
	struct json j = { 0 };
	return json_parse(a, text, NULL, &j, NULL) == 0 && fset_parse(a, &j, ret, NULL) == 0;
}

static void laws(struct arena *a, const struct fset *x, const struct fset *y)
{
	struct fset both = fset_union(a, x, y);
	struct fset common = fset_intersection(a, x, y);
	struct fset only_x = fset_difference(a, x, y);
	struct fset only_y = fset_difference(a, y, x);
	struct fset again = fset_union(a, &only_x, &common);
	must(fset_equal(&again, x));
	again = fset_union(a, &again, &only_y);
	must(fset_equal(&again, &both));
	again = fset_intersection(a, &only_x, y);
	must(fset_empty(&again));
	again = fset_difference(a, &both, x);
	must(fset_equal(&again, &only_y));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena a = { 0 };
	struct str rest = str_n((const char *)data, len);
	struct str first = STR_NONE;
	struct fset x = { 0 };
	struct fset y = { 0 };
	if (len && str_split(&rest, '\n', &first) && parse(&a, first, &x)) {
		struct json j = fset_json(&a, &x);
		struct fset again = { 0 };
		must(parse(&a, json_text(&a, &j), &again) && fset_equal(&x, &again));
		if (!rest.p || !parse(&a, rest, &y))
			y = x;
		laws(&a, &x, &y);
	}
	arena_fini(&a);
	return 0;
}
