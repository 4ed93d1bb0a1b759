#include "text/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Every pair survives being encoded and read again. */
static void check_query(struct arena *a, struct str query)
{
	struct str key;
	struct str value;
	while (url_query_next(&query, &key, &value)) {
		struct str k;
		struct str v;
		if (!url_decode(a, key, true, &k) || !url_decode(a, value, true, &v))
			continue;
		struct buf out = { 0 };
		url_query_add(&out, 0, k, v);
		struct str rest = buf_str(&out);
		struct str k2;
		struct str v2;
		if (!url_query_next(&rest, &key, &value) || !url_decode(a, key, true, &k2) ||
		    !url_decode(a, value, true, &v2) || !str_eq(k, k2) || !str_eq(v, v2))
			abort();
		buf_fini(&out);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena a = { 0 };
	struct str text = str_n((const char *)data, len);
	struct url u;
	check_query(&a, text);
	if (url_split(text, &u, NULL) == 0) {
		struct str path;
		if (!url_decode(&a, u.path, false, &path)) /* bad escapes were refused before */
			abort();
		check_query(&a, u.query);
	}
	arena_fini(&a);
	return 0;
}
