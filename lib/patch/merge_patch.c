#include "patch/patch.h"
#include "patch/patch_priv.h"

/* The value of a new member: objects lose their nulls, all else is taken as it is. */
static struct json fresh(struct arena *a, const struct json *patch)
{
	if (!json_is(patch, JSON_OBJECT))
		return *patch;
	struct json_member *out = arena_new(a, struct json_member, patch->len + 1);
	size_t len = 0;
	for (uint32_t i = 0; i < patch->len; i++) {
		const struct json_member *m = &patch->members[i];
		if (m->value.type != JSON_NULL)
			out[len++] = (struct json_member){ m->key, fresh(a, &m->value) };
	}
	return json_of_members(out, len);
}

struct json patch_merge(struct arena *a, const struct json *doc, const struct json *patch)
{
	if (!json_is(patch, JSON_OBJECT) || !json_is(doc, JSON_OBJECT))
		return patch ? fresh(a, patch) : (struct json){ 0 };
	struct oindex old;
	oindex_init(&old, a, doc);
	struct json_member *out =
		arena_new(a, struct json_member, (size_t)doc->len + patch->len + 1);
	if (doc->len)
		memcpy(out, doc->members, doc->len * sizeof(out[0]));
	bool *gone = arena_new(a, bool, (size_t)doc->len + 1);
	size_t len = doc->len;
	for (uint32_t i = 0; i < patch->len; i++) {
		const struct json_member *m = &patch->members[i];
		ptrdiff_t at = oindex_find(&old, member_name(m), i);
		if (m->value.type == JSON_NULL) {
			if (at >= 0)
				gone[at] = true;
		} else if (at >= 0) {
			out[at].value = patch_merge(a, &doc->members[at].value, &m->value);
		} else {
			out[len++] = (struct json_member){ m->key, fresh(a, &m->value) };
		}
	}
	size_t kept = 0;
	for (size_t i = 0; i < len; i++) {
		if (i >= doc->len || !gone[i])
			out[kept++] = out[i];
	}
	return json_of_members(out, kept);
}
