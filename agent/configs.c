#include "configs.h"

#include "base/mem.h"
#include "text/base64.h"

static void key_of(struct buf *b, struct str kind, struct str ns, struct str name)
{
	buf_addf(b, "%.*s/%.*s/%.*s", STR_ARG(kind), STR_ARG(ns), STR_ARG(name));
}

static void config_free(struct config *c)
{
	if (!c)
		return;
	if (str_is(c->kind, "Secret") && c->text.len) {
		union {
			const char *in;
			char *out;
		} u = { .in = c->text.p };
		explicit_bzero(u.out, c->text.len);
	}
	arena_fini(&c->arena);
	mem_free(c);
}

void configs_fini(struct configs *c)
{
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&c->by_key, &pos, &key, &value))
		config_free(value);
	map_fini(&c->by_key);
}

int configs_put(struct configs *c, struct str kind, struct str ns, struct str name, struct str text,
		bool *changed, struct error *err)
{
	struct buf key = { 0 };
	if (!str_is(kind, "ConfigMap") && !str_is(kind, "Secret"))
		return error_set(err, ERR_INVALID, "config of unknown kind %.*s", STR_ARG(kind));
	if (text.len > CONFIG_BYTES_MAX)
		return error_set(err, ERR_TOO_LARGE, "%.*s %.*s is too large", STR_ARG(kind),
				 STR_ARG(name));
	key_of(&key, kind, ns, name);
	const struct config *old = map_get(&c->by_key, buf_str(&key));
	*changed = !old || !str_eq(old->text, text);
	if (*changed) {
		struct config *n = mem_new(struct config, 1);
		n->kind = arena_str(&n->arena, kind);
		n->ns = arena_str(&n->arena, ns);
		n->name = arena_str(&n->arena, name);
		n->text = arena_str(&n->arena, text);
		int rc = json_parse(&n->arena, n->text, NULL, &n->root, err);
		if (rc) {
			config_free(n);
			buf_fini(&key);
			return rc;
		}
		n->resource_version =
			json_str(json_dig(&n->root, "metadata", "resourceVersion", NULL));
		config_free(map_set(&c->by_key, buf_str(&key), n));
	}
	buf_fini(&key);
	return 0;
}

void configs_remove(struct configs *c, struct str kind, struct str ns, struct str name)
{
	struct buf key = { 0 };
	key_of(&key, kind, ns, name);
	config_free(map_del(&c->by_key, buf_str(&key)));
	buf_fini(&key);
}

const struct config *configs_get(const struct configs *c, struct str kind, struct str ns,
				 struct str name)
{
	struct buf key = { 0 };
	key_of(&key, kind, ns, name);
	const struct config *found = map_get(&c->by_key, buf_str(&key));
	buf_fini(&key);
	return found;
}

bool config_value(const struct config *c, struct str key, struct buf *out)
{
	const struct json *v = json_get(json_getc(&c->root, "data"), key);
	if (json_is(v, JSON_STRING)) {
		if (str_is(c->kind, "Secret"))
			return base64_read(out, json_str(v));
		buf_add_str(out, json_str(v));
		return true;
	}
	v = json_get(json_getc(&c->root, "binaryData"), key);
	return json_is(v, JSON_STRING) && base64_read(out, json_str(v));
}

bool config_next_key(const struct config *c, size_t *pos, struct str *key)
{
	const struct json *data = json_getc(&c->root, "data");
	const struct json *binary = json_getc(&c->root, "binaryData");
	size_t at = (*pos)++;
	if (at < json_len(data) && json_is(data, JSON_OBJECT)) {
		*key = json_str(&data->members[at].key);
		return true;
	}
	at -= json_is(data, JSON_OBJECT) ? json_len(data) : 0;
	if (at < json_len(binary) && json_is(binary, JSON_OBJECT)) {
		*key = json_str(&binary->members[at].key);
		return true;
	}
	return false;
}
