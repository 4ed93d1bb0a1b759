/*
 * public_data - test cases that nobody here wrote, read from $RCTL_TEST_DATA or
 * from ../shared/data beside the source tree.  Test files only; needs lib/json.
 */
#ifndef TESTS_UNIT_PUBLIC_DATA_H
#define TESTS_UNIT_PUBLIC_DATA_H

#include "base/buf.h"
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>

/* The place of `file` in the public data; release with buf_fini. */
static inline struct buf public_path(const char *file)
{
	struct buf b = { 0 };
	const char *data = getenv("RCTL_TEST_DATA");
	const char *src = getenv("RCTL_SRC");
	if (data)
		buf_addf(&b, "%s/%s", data, file);
	else
		buf_addf(&b, "%s/../shared/data/%s", src ? src : ".", file);
	(void)buf_cstr(&b);
	return b;
}

/* The content of `file` in the arena; {NULL, 0} when it is absent. */
static inline struct str public_text(struct arena *a, const char *file)
{
	struct buf path = public_path(file);
	FILE *f = fopen(path.p, "rbe");
	buf_fini(&path);
	if (!f)
		return STR_NONE;
	struct buf text = { 0 };
	size_t n = 0;
	do {
		buf_reserve(&text, 65536);
		n = fread(text.p + text.len, 1, 65536, f);
		text.len += n;
	} while (n);
	(void)fclose(f);
	struct str s = arena_str(a, buf_str(&text));
	buf_fini(&text);
	return s;
}

/* `file` as JSON; NULL when it is absent or no JSON. */
static inline struct json *public_json(struct arena *a, const char *file)
{
	struct str text = public_text(a, file);
	struct json *j = arena_new(a, struct json, 1);
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = 64U << 20;
	return text.p && json_parse(a, text, &limits, j, NULL) == 0 ? j : NULL;
}

#endif
