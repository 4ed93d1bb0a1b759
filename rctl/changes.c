#include "changes.h"

#include "text/rfc3339.h"

enum { DEPTH_MAX = 64, VALUE_MAX = 60 };

struct finding {
	struct arena *a;
	struct change *out;
	size_t n;
};

static void compare(struct finding *f, struct str path, const struct json *old,
		    const struct json *new, int depth);

static void put(struct finding *f, struct str path, const struct json *old, const struct json *new)
{
	if (f->n < CHANGES_MAX)
		f->out[f->n++] = (struct change){ path, old, new };
}

static struct str member_path(struct finding *f, struct str path, struct str key)
{
	bool plain = str_find(key, '.', 0) < 0 && str_find(key, '/', 0) < 0;
	return arena_strf(f->a, plain ? "%.*s%s%.*s" : "%.*s%s[%.*s]", STR_ARG(path),
			  plain && path.len ? "." : "", STR_ARG(key));
}

static void compare_objects(struct finding *f, struct str path, const struct json *old,
			    const struct json *new, int depth)
{
	for (size_t i = 0; i < json_len(old); i++) {
		struct str key = json_str(&old->members[i].key);
		compare(f, member_path(f, path, key), &old->members[i].value, json_get(new, key),
			depth + 1);
	}
	for (size_t i = 0; i < json_len(new); i++) {
		struct str key = json_str(&new->members[i].key);
		if (!json_get(old, key))
			compare(f, member_path(f, path, key), NULL, &new->members[i].value,
				depth + 1);
	}
}

/* The member that tells the elements of a list apart, or NULL. */
static const char *list_key(const struct json *list)
{
	static const char *const keys[] = { "name", "type", "key", "cluster", "mountPath", "uid" };
	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		bool all = json_len(list) > 0;
		for (size_t i = 0; i < json_len(list) && all; i++)
			all = json_is(json_getc(json_at(list, i), keys[k]), JSON_STRING);
		if (all)
			return keys[k];
	}
	return NULL;
}

static const struct json *find_by(const struct json *list, const char *key, struct str value)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(json_str(json_getc(json_at(list, i), key)), value))
			return json_at(list, i);
	return NULL;
}

static void compare_keyed(struct finding *f, struct str path, const struct json *old,
			  const struct json *new, const char *key, int depth)
{
	for (size_t i = 0; i < json_len(old); i++) {
		struct str id = json_str(json_getc(json_at(old, i), key));
		compare(f, arena_strf(f->a, "%.*s[%s=%.*s]", STR_ARG(path), key, STR_ARG(id)),
			json_at(old, i), find_by(new, key, id), depth + 1);
	}
	for (size_t i = 0; i < json_len(new); i++) {
		struct str id = json_str(json_getc(json_at(new, i), key));
		if (!find_by(old, key, id))
			compare(f,
				arena_strf(f->a, "%.*s[%s=%.*s]", STR_ARG(path), key, STR_ARG(id)),
				NULL, json_at(new, i), depth + 1);
	}
}

static void compare(struct finding *f, struct str path, const struct json *old,
		    const struct json *new, int depth)
{
	if (old && new &&json_equal(old, new))
		return;
	if (depth > DEPTH_MAX) {
		put(f, path, old, new);
		return;
	}
	/* a whole object that comes or goes is told leaf by leaf only at the top */
	if (json_is(old, JSON_OBJECT) && json_is(new, JSON_OBJECT)) {
		compare_objects(f, path, old, new, depth);
		return;
	}
	if (json_is(old, JSON_ARRAY) && json_is(new, JSON_ARRAY)) {
		const char *key = list_key(old);
		const char *other = list_key(new);
		if (key && other && str_eq(str_of(key), str_of(other))) {
			compare_keyed(f, path, old, new, key, depth);
			return;
		}
	}
	put(f, path, old, new);
}

size_t changes_find(struct arena *a, const struct json *old, const struct json *new,
		    struct change *out)
{
	struct finding f = { a, out, 0 };
	if (json_is(old, JSON_OBJECT) || json_is(new, JSON_OBJECT))
		compare_objects(&f, STR(""), old, new, 0);
	return f.n;
}

static void put_value(struct arena *a, const struct json *v, struct buf *out)
{
	if (!v) {
		buf_adds(out, "(none)");
		return;
	}
	struct str s = v->type == JSON_STRING ? json_str(v) : json_text(a, v);
	bool lines = str_find(s, '\n', 0) >= 0;
	if (s.len <= VALUE_MAX && !lines) {
		buf_add_str(out, s);
		return;
	}
	size_t cut = VALUE_MAX;
	while (cut > 0 && cut < s.len && ((unsigned char)s.p[cut] & 0xc0) == 0x80)
		cut--; /* not within a character */
	struct str head = str_sub(s, 0, cut);
	for (size_t i = 0; i < head.len; i++)
		buf_addc(out, head.p[i] == '\n' ? ' ' : head.p[i]);
	buf_addf(out, "... (%zu bytes)", s.len);
}

void changes_write(struct arena *a, const struct change *c, struct buf *out)
{
	buf_addf(out, "%.*s: ", STR_ARG(c->path));
	put_value(a, c->old, out);
	buf_adds(out, " -> ");
	put_value(a, c->new, out);
}

struct json changes_wanted(struct arena *a, const struct json *obj)
{
	static const char *const soft[] = { "managedFields", "resourceVersion",   "generation",
					    "uid",           "creationTimestamp", "selfLink" };
	struct json copy = json_clone(a, obj);
	struct json *meta = json_getc(&copy, "metadata");
	for (size_t i = 0; meta && i < sizeof(soft) / sizeof(soft[0]); i++)
		(void)json_removec(meta, soft[i]);
	(void)json_removec(&copy, "status");
	return copy;
}

bool changes_when(const struct json *obj, int64_t *ret_ms, struct str *who)
{
	const struct json *meta = json_getc(obj, "metadata");
	const struct json *list = json_getc(meta, "managedFields");
	bool found = false;
	*who = STR("");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *m = json_at(list, i);
		int64_t ms = 0;
		if (!rfc3339_parse_ms(json_str(json_getc(m, "time")), &ms) ||
		    (found && ms < *ret_ms))
			continue;
		*ret_ms = ms;
		*who = json_str(json_getc(m, "manager"));
		found = true;
	}
	return found || rfc3339_parse_ms(json_str(json_getc(meta, "creationTimestamp")), ret_ms);
}

/* ---- what controllers note ---- */

static const char *const note_members[] = { "finalizers", "ownerReferences" };

static bool is_note(struct str annotation)
{
	static const char *const names[] = { "fleet.rctl.io/placed", "fleet.rctl.io/placement",
					     "fleet.rctl.io/tombstones",
					     "deployment.kubernetes.io/revision" };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (str_is(annotation, names[i]))
			return true;
	return false;
}

static void drop_notes(struct json *meta)
{
	for (size_t i = 0; i < sizeof(note_members) / sizeof(*note_members); i++)
		(void)json_removec(meta, note_members[i]);
	struct json *all = json_getc(meta, "annotations");
	for (size_t i = json_len(all); i > 0; i--) {
		struct str name = json_str(&all->members[i - 1].key);
		if (is_note(name))
			(void)json_remove(all, name);
	}
	if (all && !json_len(all))
		(void)json_removec(meta, "annotations");
}

struct json changes_intended(struct arena *a, const struct json *obj)
{
	struct json copy = changes_wanted(a, obj);
	drop_notes(json_getc(&copy, "metadata"));
	return copy;
}

void changes_keep_notes(struct arena *a, struct json *want, const struct json *now)
{
	struct json *meta = json_child(a, want, "metadata");
	drop_notes(meta);
	for (size_t i = 0; i < sizeof(note_members) / sizeof(*note_members); i++) {
		const struct json *v = json_dig(now, "metadata", note_members[i], NULL);
		if (v)
			(void)json_setc(a, meta, note_members[i], json_clone(a, v));
	}
	const struct json *all = json_dig(now, "metadata", "annotations", NULL);
	for (size_t i = 0; i < json_len(all); i++) {
		struct str name = json_str(&all->members[i].key);
		if (is_note(name))
			(void)json_set(a, json_child(a, meta, "annotations"), name,
				       json_clone(a, &all->members[i].value));
	}
}
