/*
 * An object of any shape, written as a kind: the first byte chooses the kind, the rest is
 * JSON.  Checking it never breaks, what was let in comes out as it went in, and its text
 * is indexed and printed.  A definition that is let in becomes a kind.
 */
#include "kind/kind.h"
#include "watch/watch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct kind_set *sets[2];
static struct watch_index ix;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	sets[0] = kind_set_builtin(KIND_GLOBAL);
	sets[1] = kind_set_builtin(KIND_CLUSTER);
	return 0;
}

static void read_text(struct kind_set *s, const struct kind *k, struct arena *a, struct str text)
{
	struct buf row = { 0 };
	struct json j;
	kind_table_row(k, a, text, KIND_INCLUDE_METADATA, 1700000000, &row);
	if (json_parse(a, buf_str(&row), NULL, &j, NULL))
		abort();
	buf_fini(&row);
	struct str key = arena_strf(a, "%.*s/ns/name", STR_ARG(k->resource_key));
	kind_index(s, key, text, &ix);
}

static void make_kind(struct kind_set *s, const struct json *crd)
{
	struct kind_set *more = kind_set_with_crds(s, &crd, 1, NULL, NULL);
	for (size_t i = 0; i < kind_count(more); i++)
		if (!kind_at(more, i)->builtin)
			bytes_unref(kind_openapi(more, kind_at(more, i)->group,
						 kind_at(more, i)->version, NULL));
	bytes_unref(kind_discovery_v2(more, false, NULL));
	kind_set_unref(more);
}

/* Returns the object's text when it was let in, else NULL. */
static struct bytes *check(const struct kind *k, struct arena *a, struct json *obj,
			   const struct json *old)
{
	struct kind_check c = { .arena = a };
	kind_check_object(k, obj, old, NULL, &c);
	return c.errors.len ? NULL : kind_encode(k, obj);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena a = { 0 };
	struct json obj, again;
	if (!sets[0])
		(void)LLVMFuzzerInitialize(NULL, NULL);
	if (len < 2)
		return 0;
	struct kind_set *s = sets[data[0] >> 7];
	const struct kind *k = kind_at(s, (data[0] & 0x7F) % kind_count(s));
	struct str text = str_n((const char *)data + 1, len - 1);
	const struct json *meta = NULL;
	if (json_parse(&a, text, NULL, &obj, NULL) == 0 && obj.type == JSON_OBJECT)
		meta = json_getc(&obj, "metadata");
	if (json_is(meta, JSON_OBJECT)) {
		read_text(s, k, &a, text);
		struct bytes *first = check(k, &a, &obj, NULL);
		if (first) {
			read_text(s, k, &a, bytes_str(first));
			if (json_parse(&a, bytes_str(first), NULL, &again, NULL))
				abort();
			struct bytes *second = check(k, &a, &again, &obj);
			if (!second || !str_eq(bytes_str(first), bytes_str(second)))
				abort();
			if (str_is(k->kind, "CustomResourceDefinition"))
				make_kind(s, &obj);
			bytes_unref(second);
		}
		bytes_unref(first);
	}
	arena_fini(&a);
	return 0;
}
