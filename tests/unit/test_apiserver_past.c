/* The past of objects and collections through the API: rctlHistory and rctlAt. */
#include "apiserver_harness.h"

#include <criterion/criterion.h>

#include <stdio.h>

#define MAPS "/api/v1/namespaces/default/configmaps"

static long long put(struct harness *h, const char *name, int n, bool make)
{
	char body[256];
	char path[128];
	(void)snprintf(
		body, sizeof(body),
		"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"},"
		"\"data\":{\"n\":\"%d\"}}",
		name, n);
	(void)snprintf(path, sizeof(path), MAPS "/%s", name);
	int status = make ? harness_post(h, MAPS, body) : harness_put(h, path, body);
	cr_assert_eq(status, make ? 201 : 200, "%s", path);
	return strtoll(harness_str(h, "metadata.resourceVersion"), NULL, 10);
}

static int at(struct harness *h, const char *path, long long rev)
{
	char text[256];
	(void)snprintf(text, sizeof(text), "%s?rctlAt=%lld", path, rev);
	return harness_get(h, text);
}

Test(past, states_of_an_object_and_of_a_list_are_answered_as_they_were)
{
	struct harness h;
	harness_start(&h, KIND_GLOBAL, NULL, 0);
	harness_ready(&h);
	long long made = put(&h, "a", 1, true);
	(void)put(&h, "a-longer-name", 7, true);
	long long changed = put(&h, "a", 2, false);
	cr_assert_eq(harness_delete(&h, MAPS "/a-longer-name", ""), 200);
	long long last = put(&h, "a", 3, false);

	cr_assert_eq(harness_get(&h, MAPS "/a?rctlHistory=true"), 200);
	cr_assert_str_eq(harness_str(&h, "kind"), "ObjectHistory");
	cr_assert_eq(json_len(harness_at(&h, "items")), 3);
	cr_assert_str_eq(harness_str(&h, "items.0.type"), "ADDED");
	cr_assert_str_eq(harness_str(&h, "items.1.object.data.n"), "2");
	cr_assert_str_eq(harness_str(&h, "items.2.type"), "MODIFIED");
	cr_assert_eq(harness_get(&h, MAPS "/a-longer-name?rctlHistory=true"), 200);
	cr_assert_str_eq(harness_str(&h, "items.1.type"), "DELETED");
	cr_assert_eq(harness_get(&h, MAPS "/never?rctlHistory=true"), 404);

	cr_assert_eq(at(&h, MAPS "/a", made), 200);
	cr_assert_str_eq(harness_str(&h, "data.n"), "1");
	cr_assert_eq(at(&h, MAPS "/a", made - 1), 404);
	cr_assert_eq(at(&h, MAPS "/a", last), 200);
	cr_assert_str_eq(harness_str(&h, "data.n"), "3");
	cr_assert_eq(at(&h, MAPS "/a", last + 1000), 400);
	cr_assert_eq(harness_get(&h, MAPS "/a?rctlAt=x"), 400);
	cr_assert_eq(harness_get(&h, MAPS "?rctlAt=-2"), 400);

	cr_assert_eq(at(&h, MAPS, changed), 200);
	cr_assert_eq(json_len(harness_at(&h, "items")), 2);
	cr_assert_str_eq(harness_str(&h, "items.0.data.n"), "2");
	cr_assert_str_eq(harness_str(&h, "items.1.metadata.name"), "a-longer-name");
	cr_assert_eq(at(&h, MAPS, last), 200);
	cr_assert_eq(json_len(harness_at(&h, "items")), 1);
	cr_assert_eq(at(&h, MAPS, made - 1), 200);
	cr_assert_eq(json_len(harness_at(&h, "items")), 0);
	harness_stop(&h);
}
