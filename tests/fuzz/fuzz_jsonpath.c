#include "jsonpath/jsonpath.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char document[] = "{\"kind\":\"List\",\"items\":[{\"metadata\":{\"name\":\"a\","
			       "\"labels\":{\"x.y/z\":\"1\"}},\"n\":[0,1,2.5,null]},"
			       "{\"metadata\":{\"name\":\"b\"},\"n\":[],\"t\":true}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena a = { 0 };
	struct json root;
	struct jsonpath *p = NULL;
	if (json_parse(&a, str_of(document), NULL, &root, NULL))
		abort();
	for (unsigned flags = 0; flags < 4; flags++) {
		if (jsonpath_compile(&a, str_n((const char *)data, len > 512 ? 512 : len), flags,
				     &p, NULL))
			continue;
		struct buf one = { 0 };
		struct buf two = { 0 };
		int rc = jsonpath_print(p, &a, &root, &one, NULL);
		/* A program can be run again and gives the same. */
		if (jsonpath_print(p, &a, &root, &two, NULL) != rc ||
		    !str_eq(buf_str(&one), buf_str(&two)) || (rc && one.len))
			abort();
		struct jsonpath_results found;
		(void)!jsonpath_find(p, &a, &root, &found, NULL);
		buf_fini(&one);
		buf_fini(&two);
	}
	arena_fini(&a);
	return 0;
}
