/* The built-in kinds: compact JSON made of lib/kinds at build time, embedded by builtin.S. */
#include "kind/kind_priv.h"

#include <stdio.h>
#include <stdlib.h>

extern const char kind_builtin_text[], kind_builtin_end[];

_Noreturn static void give_up(struct str name, const struct error *err)
{
	(void)fprintf(stderr, "embedded kind %.*s is wrong: %s\n", STR_ARG(name), err->msg);
	abort();
}

static bool on_plane(const struct json *crd, enum kind_plane plane)
{
	const struct json *planes = json_dig(crd, "x-rctl", "planes", NULL);
	const char *want = plane == KIND_GLOBAL ? "global" : "cluster";
	for (size_t i = 0; i < json_len(planes); i++)
		if (str_is(json_str(json_at(planes, i)), want))
			return true;
	return false;
}

struct kind_unit *kind_unit_builtin(enum kind_plane plane)
{
	struct str text = str_n(kind_builtin_text, (size_t)(kind_builtin_end - kind_builtin_text));
	struct json_limits limits = JSON_LIMITS;
	struct kind_unit *u = kind_unit_new();
	struct arena *a = schema_set_arena(u->schemas);
	struct json *root = arena_new(a, struct json, 1);
	struct error err = { .code = ERR_OK };
	limits.bytes_max = text.len;
	if (json_parse(a, text, &limits, root, &err) ||
	    schema_set_define(u->schemas, json_getc(root, "types"), &err) ||
	    schema_set_finish(u->schemas, &err))
		give_up(STR("types"), &err);
	const struct json *kinds = json_getc(root, "kinds");
	for (size_t i = 0; i < json_len(kinds); i++) {
		const struct json *crd = json_at(kinds, i);
		if (on_plane(crd, plane) && kind_unit_add(u, u, crd, true, &err))
			give_up(json_str(json_dig(crd, "metadata", "name", NULL)), &err);
	}
	kind_sha256_hex(text, u->hash);
	return u;
}
