#include "kind/meta.h"

#include "kind/kind_priv.h"
#include "watch/watch.h"

void kind_check_name_at(struct kind_check *c, const struct field_path *at, struct str s,
			name_check_fn check)
{
	struct name_msgs msgs;
	if (check(s, NULL))
		return;
	struct json value = json_of_str(s);
	msgs.len = 0;
	(void)check(s, &msgs);
	for (size_t i = 0; i < msgs.len; i++)
		field_error_at(&c->errors, FIELD_INVALID, at, &value, "%s", msgs.msg[i]);
}

void kind_check_name(struct kind_check *c, struct str path, struct str s, name_check_fn check)
{
	kind_check_name_at(c, &FIELD_ROOT(path), s, check);
}

bool kind_check_count(struct kind_check *c, const struct field_path *at, const struct json *j,
		      size_t max)
{
	if (json_len(j) <= max)
		return true;
	struct json n = json_of_u64(json_len(j));
	field_error_at(&c->errors, FIELD_TOO_MANY, at, &n, "must have at most %zu items", max);
	return false;
}

void kind_check_labels(struct kind_check *c, struct str path, const struct json *labels)
{
	if (!json_is(labels, JSON_OBJECT))
		return;
	for (size_t i = 0; i < json_len(labels); i++) {
		const struct json_member *m = &labels->members[i];
		kind_check_name(c, path, json_str(&m->key), name_check_qualified);
		if (m->value.type == JSON_STRING)
			kind_check_name(c, path, json_str(&m->value), name_check_label_value);
	}
}

/* Keys may have capitals, but in comparing they do not count. */
static void check_annotations(struct kind_check *c, const struct json *annotations)
{
	struct str path = STR("metadata.annotations");
	size_t bytes = 0;
	if (!json_is(annotations, JSON_OBJECT))
		return;
	for (size_t i = 0; i < json_len(annotations); i++) {
		const struct json_member *m = &annotations->members[i];
		struct str key = json_str(&m->key);
		char lower[NAME_SUBDOMAIN_MAX + 1 + NAME_LABEL_MAX];
		bytes += key.len + json_str(&m->value).len;
		if (key.len <= sizeof(lower)) {
			for (size_t n = 0; n < key.len; n++)
				lower[n] = key.p[n] >= 'A' && key.p[n] <= 'Z'
						   ? (char)(key.p[n] + ('a' - 'A'))
						   : key.p[n];
			key.p = lower;
		}
		kind_check_name(c, path, key, name_check_qualified);
	}
	if (bytes > KIND_ANNOTATIONS_BYTES_MAX)
		field_error_add(&c->errors, FIELD_TOO_LONG, path, NULL,
				"may not be more than %d bytes", KIND_ANNOTATIONS_BYTES_MAX);
}

static name_check_fn name_check_of(const struct kind *k)
{
	switch (kind_info(k)->name_rule) {
	case KIND_NAME_LABEL:
		return name_check_dns1123_label;
	case KIND_NAME_LABEL35:
		return name_check_dns1035_label;
	case KIND_NAME_PATH:
		return name_check_path_segment;
	case KIND_NAME_SUBDOMAIN:
		break;
	}
	return name_check_dns1123_subdomain;
}

/* A prefix is judged as a name that goes on: "web-" as "weba". */
static void check_generate_name(const struct kind *k, struct str prefix, struct kind_check *c)
{
	struct str whole = arena_strf(c->arena, "%.*sa", STR_ARG(prefix));
	struct json value = json_of_str(prefix);
	struct name_msgs msgs = { .len = 0 };
	if (name_check_of(k)(whole, &msgs))
		return;
	for (size_t i = 0; i < msgs.len; i++)
		field_error_add(&c->errors, FIELD_INVALID, STR("metadata.generateName"), &value,
				"%s", msgs.msg[i]);
}

static void check_names(const struct kind *k, const struct json *meta, struct kind_check *c)
{
	struct str name = json_str(json_getc(meta, "name"));
	struct str prefix = json_str(json_getc(meta, "generateName"));
	struct str ns = json_str(json_getc(meta, "namespace"));
	if (prefix.len)
		check_generate_name(k, prefix, c);
	if (name.len)
		kind_check_name(c, STR("metadata.name"), name, name_check_of(k));
	else if (k->verbs & KIND_GET) /* reviews and the like have no name */
		field_error_add(&c->errors, FIELD_REQUIRED, STR("metadata.name"), NULL,
				"name or generateName is required");
	if (k->namespaced && !ns.len)
		field_error_add(&c->errors, FIELD_REQUIRED, STR("metadata.namespace"), NULL, "%s",
				"");
	else if (k->namespaced)
		kind_check_name(c, STR("metadata.namespace"), ns, name_check_dns1123_label);
	else if (ns.len)
		field_error_add(&c->errors, FIELD_FORBIDDEN, STR("metadata.namespace"), NULL,
				"not allowed on this type");
	if (json_i64(json_getc(meta, "generation"), 0) < 0)
		field_error_add(&c->errors, FIELD_INVALID, STR("metadata.generation"),
				json_getc(meta, "generation"),
				"must be greater than or equal to 0");
}

static bool has_str(const struct json *list, struct str s)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(json_str(json_at(list, i)), s))
			return true;
	return false;
}

static void check_finalizers(const struct json *meta, const struct json *old_meta,
			     struct kind_check *c)
{
	static const char *const standard[] = { "kubernetes", "orphan", "foregroundDeletion",
						"customresourcecleanup.apiextensions.k8s.io" };
	const struct json *list = json_getc(meta, "finalizers");
	const struct json *before = json_getc(old_meta, "finalizers");
	bool deleting = json_is(json_getc(old_meta, "deletionTimestamp"), JSON_STRING);
	struct str path = STR("metadata.finalizers");
	if (!kind_check_count(c, &FIELD_ROOT(path), list, KIND_FINALIZERS_MAX))
		return;
	for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++) {
		const struct json *f = json_at(list, i);
		struct str name = json_str(f);
		bool known = false;
		for (size_t n = 0; n < sizeof(standard) / sizeof(*standard); n++)
			known |= str_is(name, standard[n]);
		kind_check_name(c, path, name, name_check_qualified);
		if (!known && str_find(name, '/', 0) < 0)
			field_error_add(&c->errors, FIELD_INVALID, path, f,
					"name is neither a standard finalizer name nor is it "
					"fully qualified");
		if (deleting && !has_str(before, name))
			field_error_add(&c->errors, FIELD_FORBIDDEN, path, NULL,
					"no new finalizers can be added if the object is being "
					"deleted, found new finalizers []string{\"%.*s\"}",
					STR_ARG(name));
	}
	if (has_str(list, STR("orphan")) && has_str(list, STR("foregroundDeletion")))
		field_error_add(&c->errors, FIELD_INVALID, path, list,
				"finalizer orphan and finalizer foregroundDeletion cannot be both "
				"set");
}

static void check_owners(const struct json *list, struct kind_check *c)
{
	static const char *const required[] = { "apiVersion", "kind", "name", "uid" };
	struct str controller = STR_NONE;
	if (!kind_check_count(c, &FIELD_ROOT(STR("metadata.ownerReferences")), list,
			      WATCH_OWNERS_MAX))
		return;
	for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++) {
		const struct json *o = json_at(list, i);
		for (size_t n = 0; n < 4; n++) {
			const struct json *v = json_getc(o, required[n]);
			if (json_is(v, JSON_STRING) && v->len == 0)
				field_error_add(&c->errors, FIELD_INVALID,
						arena_strf(c->arena,
							   "metadata.ownerReferences[%zu].%s", i,
							   required[n]),
						v, "must not be empty");
		}
		struct str kind = json_str(json_getc(o, "kind"));
		if (str_is(kind, "Event") && str_is(json_str(json_getc(o, "apiVersion")), "v1"))
			field_error_add(&c->errors, FIELD_INVALID, STR("metadata.ownerReferences"),
					o, "/v1, Kind=Event is disallowed from being an owner");
		if (!json_bool(json_getc(o, "controller"), false))
			continue;
		struct str name = json_str(json_getc(o, "name"));
		if (controller.p)
			field_error_add(&c->errors, FIELD_INVALID, STR("metadata.ownerReferences"),
					list,
					"Only one reference can have Controller set to true. "
					"Found \"true\" in references for %.*s and %.*s",
					STR_ARG(controller), STR_ARG(name));
		else
			controller = name.p ? name : STR("");
	}
}

/* What a write never changes; absent means: as it was. */
static void check_fixed(const struct json *meta, const struct json *old, struct kind_check *c)
{
	static const char *const fixed[] = { "name", "namespace", "uid", "creationTimestamp" };
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		const struct json *now = json_getc(meta, fixed[i]);
		const struct json *before = json_getc(old, fixed[i]);
		if (now && before && !json_equal(now, before))
			field_error_add(&c->errors, FIELD_IMMUTABLE,
					arena_strf(c->arena, "metadata.%s", fixed[i]), now,
					"field is immutable");
	}
}

void kind_check_meta(const struct kind *k, const struct json *obj, const struct json *old,
		     struct kind_check *c)
{
	const struct json *meta = json_getc(obj, "metadata");
	if (meta && meta->type != JSON_OBJECT)
		return; /* the schema says so */
	check_names(k, meta, c);
	(void)kind_check_count(c, &FIELD_ROOT(STR("metadata.labels")), json_getc(meta, "labels"),
			       WATCH_LABELS_MAX);
	kind_check_labels(c, STR("metadata.labels"), json_getc(meta, "labels"));
	check_annotations(c, json_getc(meta, "annotations"));
	check_finalizers(meta, json_getc(old, "metadata"), c);
	check_owners(json_getc(meta, "ownerReferences"), c);
	if (old)
		check_fixed(meta, json_getc(old, "metadata"), c);
}
