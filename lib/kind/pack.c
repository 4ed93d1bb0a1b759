/*
 * kind-pack - makes one compact JSON text of the YAML files of lib/kinds, at build time.
 *
 *   kind-pack OUTPUT FILE...
 *
 * Files in a folder "types" are mappings of definitions, the others are kinds.
 * {"types": {NAME: schema, …}, "kinds": [CustomResourceDefinition, …]}
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "json/json.h"
#include "yaml/yaml.h"

#include <stdio.h>
#include <stdlib.h>

static int read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return -1;
	char chunk[16384];
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
		buf_add(out, chunk, n);
	int rc = ferror(f) ? -1 : 0;
	(void)fclose(f);
	return rc;
}

static int write_file(const char *path, struct str text)
{
	FILE *f = fopen(path, "wb");
	if (!f)
		return -1;
	size_t n = fwrite(text.p, 1, text.len, f);
	return fclose(f) == 0 && n == text.len ? 0 : -1;
}

static int add_types(struct arena *a, struct json *types, const struct json *doc, struct error *err)
{
	if (!json_is(doc, JSON_OBJECT))
		return error_set(err, ERR_INVALID, "must be a mapping of definitions");
	for (size_t i = 0; i < json_len(doc); i++) {
		struct str name = json_str(&doc->members[i].key);
		if (json_get(types, name))
			return error_set(err, ERR_EXISTS, "definition %.*s stands in another file",
					 STR_ARG(name));
		(void)json_set(a, types, name, doc->members[i].value);
	}
	return 0;
}

static int add_file(struct arena *a, const char *path, struct json *types, struct json *kinds,
		    struct error *err)
{
	struct buf text = { 0 };
	struct json doc = { 0 };
	int rc = read_file(path, &text);
	if (rc)
		rc = error_set(err, ERR_NOT_FOUND, "cannot be read");
	else
		rc = yaml_parse(a, buf_str(&text), &doc, err);
	if (rc == 0 && strstr(path, "/types/"))
		rc = add_types(a, types, &doc, err);
	else if (rc == 0)
		(void)json_push(a, kinds, doc);
	buf_fini(&text);
	return rc;
}

int main(int argc, char **argv)
{
	struct arena a = { 0 };
	struct buf out = { 0 };
	struct json root = json_object(), types = json_object(), kinds = json_array();
	int rc = argc < 3;
	for (int i = 2; i < argc && rc == 0; i++) {
		struct error err = { .msg = "" };
		rc = add_file(&a, argv[i], &types, &kinds, &err);
		if (rc)
			(void)fprintf(stderr, "%s: %s\n", argv[i], err.msg);
	}
	if (rc == 0) {
		(void)json_setc(&a, &root, "types", types);
		(void)json_setc(&a, &root, "kinds", kinds);
		json_write(&out, &root);
		rc = write_file(argv[1], buf_str(&out));
	}
	buf_fini(&out);
	arena_fini(&a);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
