/*
 * Objects that kubectl applied on the client's side before: the annotation
 * says what it meant to own, so that changing to server-side apply needs no
 * --force and changing back works.
 */
#include "patch/managed.h"
#include "patch/typed.h"

#define ANNOTATION "kubectl.kubernetes.io/last-applied-configuration"

enum { ANNOTATIONS_BYTES_MAX = 256 * 1024 }; /* Kubernetes' limit on all of an object */

static struct str annotation(const struct json *obj)
{
	return json_str(json_dig(obj, "metadata", "annotations", ANNOTATION, NULL));
}

bool last_applied_allows(struct ssa *x, struct str api_version, const struct json *live)
{
	struct str text = annotation(live);
	struct json config = { 0 };
	if (text.len == 0 || json_parse(x->a, text, NULL, &config, NULL) < 0 ||
	    config.type != JSON_OBJECT ||
	    !str_eq(json_str(json_getc(&config, "apiVersion")), api_version))
		return false;
	struct fset allowed = typed_set(x->a, x->schema, &config);
	struct typed_diff diff;
	typed_compare(x->a, x->schema, &config, live, &diff);
	allowed = fset_difference(x->a, &allowed, &diff.modified);
	allowed = fset_difference(x->a, &allowed, &diff.added);
	allowed = fset_difference(x->a, &allowed, &diff.removed);
	for (size_t i = 0; i < x->managers->len; i++) {
		struct fset left = fset_difference(x->a, &x->conflicts[i], &allowed);
		if (!fset_empty(&left))
			return false;
	}
	return true;
}

/* The object with its annotations, both shallow copies, in *ret_annotations. */
static struct json own_annotations(struct arena *a, const struct json *obj,
				   struct json **ret_annotations)
{
	struct json *at = NULL;
	struct json copy = *obj;
	struct json *parent = &copy;
	static const char *const path[] = { NULL, "metadata", "annotations" };
	for (size_t i = 0; i < 3; i++) {
		at = path[i] ? json_getc(parent, path[i]) : parent;
		struct json_member *m = arena_new(a, struct json_member, at->len);
		if (at->len)
			memcpy(m, at->members, at->len * sizeof(m[0]));
		*at = json_of_members(m, at->len);
		parent = at;
	}
	*ret_annotations = at;
	return copy;
}

static size_t annotations_bytes(const struct json *annotations)
{
	size_t sum = 0;
	for (uint32_t i = 0; i < annotations->len; i++)
		sum += annotations->members[i].key.len +
		       json_str(&annotations->members[i].value).len;
	return sum;
}

struct json last_applied_sync(struct arena *a, const struct json *obj, const struct json *config)
{
	struct str old = annotation(obj);
	if (old.len == 0)
		return *obj;
	struct json bare = *config;
	if (json_dig(config, "metadata", "annotations", ANNOTATION, NULL)) {
		struct json *annotations = NULL;
		bare = own_annotations(a, config, &annotations);
		(void)json_removec(annotations, ANNOTATION);
	}
	/* kubectl sorts names, others do not: the text stays as long as it says the same. */
	struct json said = { 0 };
	if (json_parse(a, old, NULL, &said, NULL) == 0 && json_equal(&said, &bare))
		return *obj;
	struct str text = json_text(a, &bare);
	struct str line = arena_strf(a, "%.*s\n", STR_ARG(text));
	struct json *annotations = NULL;
	struct json ret = own_annotations(a, obj, &annotations);
	json_setc(a, annotations, ANNOTATION, json_of_str(line));
	if (annotations_bytes(annotations) > ANNOTATIONS_BYTES_MAX)
		(void)json_removec(annotations, ANNOTATION);
	return ret;
}
