/* Time of the patch engines on a 2 KiB Deployment; prints microseconds of CPU time per call. */
#include "patch/patch.h"
#include "tests/unit/patch_deployment.h"

#include <stdio.h>
#include <time.h>

enum { ROUNDS = 20000 };

#define NOW STR("2026-01-02T03:04:05Z")

static double cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

struct bench {
	const struct schema *schema;
	struct json config, live, other; /* other: one field changed */
	struct json ops;
};

typedef void (*bench_fn)(struct arena *a, const struct bench *b);

static void must(int rc)
{
	if (rc < 0)
		abort();
}

static struct json parse(struct arena *a, const char *text)
{
	struct json j = { 0 };
	must(json_parse(a, str_of(text), NULL, &j, NULL));
	return j;
}

static struct json apply(struct arena *a, const struct schema *s, const struct json *live,
			 const struct json *config)
{
	struct patch_apply ap = {
		.schema = s, .manager = STR("bench"), .api_version = STR("apps/v1"), .now = NOW
	};
	struct json ret = { 0 };
	must(patch_apply(a, &ap, live, config, &ret, NULL));
	return ret;
}

static void apply_new(struct arena *a, const struct bench *b)
{
	(void)apply(a, b->schema, NULL, &b->config);
}

static void apply_same(struct arena *a, const struct bench *b)
{
	(void)apply(a, b->schema, &b->live, &b->config);
}

static void apply_changed(struct arena *a, const struct bench *b)
{
	(void)apply(a, b->schema, &b->live, &b->other);
}

static void update(struct arena *a, const struct bench *b)
{
	struct json obj = patch_merge(a, &b->live, &b->other);
	patch_managed_update(a, b->schema, STR("u"), STR("apps/v1"), STR_NONE, NOW, &b->live, &obj);
}

static void update_same(struct arena *a, const struct bench *b)
{
	struct json obj = b->live;
	patch_managed_update(a, b->schema, STR("u"), STR("apps/v1"), STR_NONE, NOW, &b->live, &obj);
}

static void merge(struct arena *a, const struct bench *b)
{
	(void)patch_merge(a, &b->live, &b->other);
}

static void strategic(struct arena *a, const struct bench *b)
{
	struct json ret = { 0 };
	must(patch_strategic(a, b->schema, &b->live, &b->other, &ret, NULL));
}

static void json_patch(struct arena *a, const struct bench *b)
{
	struct json ret = { 0 };
	must(patch_json(a, &b->live, &b->ops, &ret, NULL));
}

static void run(const char *name, bench_fn fn, const struct bench *b)
{
	struct arena a = { 0 };
	double start = cpu_us();
	for (int i = 0; i < ROUNDS; i++) {
		fn(&a, b);
		arena_reset(&a);
	}
	(void)printf("%-34s %8.2f us\n", name, (cpu_us() - start) / ROUNDS);
	arena_fini(&a);
}

int main(void)
{
	struct arena a = { 0 };
	struct schema_set *set = NULL;
	struct bench b = { .schema = patch_schema(&a, &set) };
	b.config = parse(&a, patch_deployment_text);
	b.live = apply(&a, b.schema, NULL, &b.config);
	b.live = parse(&a, json_text(&a, &b.live).p); /* as it comes from the store */
	b.other = json_clone(&a, &b.config);
	json_setc(&a, json_getc(&b.other, "spec"), "replicas", json_of_i64(5));
	b.ops = parse(&a, "[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":5}]");
	(void)printf("Deployment of %zu bytes\n", sizeof(patch_deployment_text) - 1);
	run("apply, new object", apply_new, &b);
	run("apply, nothing changed", apply_same, &b);
	run("apply, one field changed", apply_changed, &b);
	run("merge patch and owners", update, &b);
	run("owners, nothing changed", update_same, &b);
	run("merge patch", merge, &b);
	run("strategic merge patch", strategic, &b);
	run("JSON patch", json_patch, &b);
	(void)schema_set_free(set);
	arena_fini(&a);
	return 0;
}
