#include "yaml/yaml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What was read can be written and read again, and every path has a line. */
static void check_doc(struct arena *a, const struct yaml_doc *doc)
{
	struct buf out = { 0 };
	struct yaml_doc *again = NULL;
	size_t len = 0;
	struct yaml_limits limits = YAML_LIMITS;
	limits.bytes_max = 64U << 20;
	yaml_write(&out, &doc->root, YAML_SORT_KEYS);
	if (yaml_parse_documents(a, buf_str(&out), &limits, &again, &len, NULL) || len != 1 ||
	    !json_equal(&doc->root, &again[0].root))
		abort();
	if (yaml_line_of(doc, STR("")) == 0 || yaml_line_of(doc, STR("a.b[0].c")) == 0)
		abort();
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena a = { 0 };
	struct yaml_doc *docs = NULL;
	size_t docs_len = 0;
	struct yaml_limits limits = { 1U << 16, 50, 10000, 100 };
	if (yaml_parse_documents(&a, str_n((const char *)data, len), &limits, &docs, &docs_len,
				 NULL) == 0) {
		for (size_t i = 0; i < docs_len; i++)
			check_doc(&a, &docs[i]);
	}
	arena_fini(&a);
	return 0;
}
