#include "object.h"

#include "names.h"

bool object_has_finalizer(const struct json *obj)
{
	const struct json *list = json_dig(obj, "metadata", "finalizers", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_at(list, i)), FLEET_FINALIZER))
			return true;
	return false;
}

struct json object_finalizers(struct arena *a, const struct json *obj, bool ours)
{
	struct json list = json_array();
	const struct json *old = json_dig(obj, "metadata", "finalizers", NULL);
	for (size_t i = 0; i < json_len(old); i++)
		if (!str_is(json_str(json_at(old, i)), FLEET_FINALIZER))
			(void)json_push(a, &list, *json_at(old, i));
	if (ours)
		(void)json_push(a, &list, json_of_cstr(FLEET_FINALIZER));
	return list;
}

struct json *object_patch(struct arena *a, const struct json *obj, struct json *ret_patch)
{
	*ret_patch = json_object();
	struct json *meta = json_setc(a, ret_patch, "metadata", json_object());
	const struct json *rv = json_dig(obj, "metadata", "resourceVersion", NULL);
	if (rv)
		(void)json_setc(a, meta, "resourceVersion", *rv);
	return meta;
}

bool object_is_deleting(const struct json *obj)
{
	return json_dig(obj, "metadata", "deletionTimestamp", NULL) != NULL;
}

struct str object_uid(const struct json *obj)
{
	return json_str(json_dig(obj, "metadata", "uid", NULL));
}

struct str object_delete_options(struct arena *a, const struct json *have)
{
	return arena_strf(a,
			  "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\","
			  "\"propagationPolicy\":\"Background\","
			  "\"preconditions\":{\"uid\":\"%.*s\"}}",
			  STR_ARG(object_uid(have)));
}

bool object_differs(const struct json *a, const struct json *b)
{
	for (size_t i = 0; i < a->len; i++) {
		const struct json *x = json_get(b, json_str(&a->members[i].key));
		if (!x || !json_equal(&a->members[i].value, x))
			return true;
	}
	return false;
}
