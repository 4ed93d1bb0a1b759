/* Bodies in the protobuf of Kubernetes: whatever comes, a tree that can be written and read again, or an error. */
#include "kind/protobuf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct kind_set *set;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	set = kind_set_builtin(KIND_CLUSTER);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena a = { 0 };
	struct protobuf_unknown unknown;
	struct json tree = { 0 }, again = { 0 };
	struct error err;
	struct str body = { (const char *)data, len };
	if (!set) /* replay.c does not call it */
		(void)LLVMFuzzerInitialize(NULL, NULL);
	if (protobuf_decode(set, &a, body, &tree, &unknown, &err) == 0) {
		struct json_limits limits = JSON_LIMITS;
		limits.bytes_max = SIZE_MAX;
		limits.depth_max = 1000;
		if (json_parse(&a, json_text(&a, &tree), &limits, &again, &err) ||
		    !json_equal(&tree, &again))
			abort();
	}
	arena_fini(&a);
	return 0;
}
