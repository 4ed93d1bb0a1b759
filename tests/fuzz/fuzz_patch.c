/*
 * Two JSON values, one a line, as document and patch for every engine: nothing
 * may crash, results must be documents that can be written and read again, and
 * what holds for all inputs is asserted.
 */
#include "patch/patch.h"
#include "patch/patch_priv.h"
#include "tests/unit/patch_deployment.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void readable(struct arena *a, const struct json *j)
{
	struct json again = { 0 };
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = 64U << 20;
	limits.depth_max = 210; /* a patch below a document may be as deep as both */
	must(json_parse(a, json_text(a, j), &limits, &again, NULL) == 0);
	must(json_equal(j, &again));
}

static void apply(struct arena *a, const struct schema *s, const struct json *doc,
		  const struct json *patch)
{
	struct patch_apply ap = { .schema = s,
				  .manager = STR("m"),
				  .api_version = STR("apps/v1"),
				  .now = STR("2026-01-02T03:04:05Z") };
	struct json one = { 0 };
	struct json two = { 0 };
	struct error err = { 0 };
	if (!json_is(doc, JSON_OBJECT))
		return;
	int rc = patch_apply(a, &ap, doc, patch, &one, &err);
	must((rc == 0) == (err.code == ERR_OK));
	must((rc == ERR_CONFLICT) == (ap.conflicts_len > 0));
	ap.force = true;
	if (rc == ERR_CONFLICT)
		rc = patch_apply(a, &ap, doc, patch, &one, NULL);
	if (rc < 0)
		return;
	readable(a, &one);
	ap.force = false;
	/* An empty list with keys may come back with the second: nothing of it is owned. */
	must(patch_apply(a, &ap, &one, patch, &two, NULL) == 0);
	must(patch_apply(a, &ap, &two, patch, &one, NULL) == 0);
	must(json_equal(&one, &two));
	patch_managed_update(a, s, STR("u"), STR("apps/v1"), STR_NONE, ap.now, &one, &two);
	must(json_equal(&one, &two));
	struct json changed = patch_merge(a, &one, doc);
	patch_managed_update(a, s, STR("u"), STR("apps/v1"), STR_NONE, ap.now, &one, &changed);
	readable(a, &changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct arena forever;
	static struct schema_set *set; /* made once: compiling would be most of the work */
	static const struct schema *s;
	if (!s)
		s = patch_schema(&forever, &set);
	struct arena a = { 0 };
	struct str rest = str_n((const char *)data, len);
	struct str first = STR_NONE;
	struct json doc = { 0 };
	struct json patch = { 0 };
	struct json out = { 0 };
	if (len && str_split(&rest, '\n', &first) && rest.p &&
	    json_parse(&a, first, NULL, &doc, NULL) == 0 &&
	    json_parse(&a, rest, NULL, &patch, NULL) == 0) {
		if (patch_json(&a, &doc, &patch, &out, NULL) == 0)
			must(json_depth(&out) <= 100);
		out = patch_merge(&a, &doc, &patch);
		readable(&a, &out);
		struct json twice = patch_merge(&a, &out, &patch);
		must(json_equal(&out, &twice));
		if (patch_strategic(&a, s, &doc, &patch, &out, NULL) == 0)
			readable(&a, &out);
		apply(&a, s, &doc, &patch);
	}
	arena_fini(&a);
	return 0;
}
