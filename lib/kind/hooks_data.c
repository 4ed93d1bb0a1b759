/* ConfigMap and Secret: names of members, size, immutability. */
#include "kind/hooks.h"
#include "kind/meta.h"
#include "text/base64.h"

enum { DATA_BYTES_MAX = 1 << 20, DATA_MEMBERS_MAX = 4096 };

static void check_members(struct kind_hook *h, const char *name, size_t *bytes)
{
	const struct json *data = json_getc(h->obj, name);
	if (!kind_check_count(h->check, &FIELD_ROOT(str_of(name)), data, DATA_MEMBERS_MAX))
		return;
	for (size_t i = 0; json_is(data, JSON_OBJECT) && i < json_len(data); i++) {
		struct str key = json_str(&data->members[i].key);
		*bytes += json_str(&data->members[i].value).len;
		kind_check_name(h->check, hook_path(h, "%s[%.*s]", name, STR_ARG(key)), key,
				name_check_config_map_key);
	}
}

static void check_immutable(struct kind_hook *h, const char *const *names, size_t len)
{
	if (!json_bool(json_getc(h->old, "immutable"), false))
		return;
	if (!json_bool(json_getc(h->obj, "immutable"), false))
		hook_error(h, FIELD_FORBIDDEN, STR("immutable"), NULL,
			   "field is immutable when `immutable` is set");
	struct json none = json_object();
	for (size_t i = 0; i < len; i++) {
		const struct json *now = json_getc(h->obj, names[i]);
		const struct json *before = json_getc(h->old, names[i]);
		if (!json_equal(now ? now : &none, before ? before : &none))
			hook_error(h, FIELD_FORBIDDEN, str_of(names[i]), NULL,
				   "field is immutable when `immutable` is set");
	}
}

static void check_size(struct kind_hook *h, size_t bytes)
{
	if (bytes > DATA_BYTES_MAX)
		hook_error(h, FIELD_TOO_LONG, STR("data"), NULL, "may not be more than %d bytes",
			   DATA_BYTES_MAX);
}

static void config_map_validate(struct kind_hook *h)
{
	static const char *const names[] = { "data", "binaryData" };
	const struct json *data = json_getc(h->obj, "data");
	const struct json *binary = json_getc(h->obj, "binaryData");
	size_t bytes = 0;
	check_members(h, "data", &bytes);
	check_members(h, "binaryData", &bytes);
	bool few = json_len(binary) <= DATA_MEMBERS_MAX && json_len(data) <= DATA_MEMBERS_MAX;
	for (size_t i = 0; few && i < json_len(binary); i++) {
		struct str key = json_str(&binary->members[i].key);
		if (json_get(data, key))
			hook_error(h, FIELD_INVALID, hook_path(h, "data[%.*s]", STR_ARG(key)),
				   &binary->members[i].key,
				   "duplicate of key present in binaryData");
	}
	check_size(h, bytes);
	check_immutable(h, names, 2);
}

const struct kind_hooks kind_hooks_config_map = {
	.resource = "/configmaps",
	.validate = config_map_validate,
};

static void secret_prepare(struct kind_hook *h)
{
	struct arena *a = h->check->arena;
	struct json text = { 0 };
	const struct json *given = json_getc(h->obj, "stringData");
	if (!json_str(json_getc(h->obj, "type")).len)
		(void)json_setc(a, h->obj, "type", json_of_cstr("Opaque"));
	if (!json_is(given, JSON_OBJECT))
		return;
	if (json_len(given) > DATA_MEMBERS_MAX ||
	    json_len(json_getc(h->obj, "data")) > DATA_MEMBERS_MAX)
		return; /* stays for validation to refuse */
	text = *given;
	for (size_t i = 0; i < json_len(&text); i++)
		if (text.members[i].value.type != JSON_STRING)
			return; /* stays for the schema to refuse */
	(void)json_removec(h->obj, "stringData");
	struct json *data = json_child(a, h->obj, "data");
	for (size_t i = 0; i < json_len(&text); i++) {
		struct str value = json_str(&text.members[i].value);
		struct buf b = { 0 };
		base64_write(&b, value.p, value.len);
		(void)json_set(a, data, json_str(&text.members[i].key),
			       json_of_str(arena_str(a, buf_str(&b))));
		buf_fini(&b);
	}
}

/* Members that a type of Secret must have. */
static const struct {
	const char *type;
	const char *required[2];
} secret_types[] = {
	{ "kubernetes.io/tls", { "tls.crt", "tls.key" } },
	{ "kubernetes.io/dockercfg", { ".dockercfg", NULL } },
	{ "kubernetes.io/dockerconfigjson", { ".dockerconfigjson", NULL } },
	{ "kubernetes.io/ssh-auth", { "ssh-privatekey", NULL } },
};

static void secret_validate(struct kind_hook *h)
{
	static const char *const names[] = { "data" };
	const struct json *type = json_getc(h->obj, "type");
	const struct json *data = json_getc(h->obj, "data");
	size_t bytes = 0;
	(void)kind_check_count(h->check, &FIELD_ROOT(STR("stringData")),
			       json_getc(h->obj, "stringData"), DATA_MEMBERS_MAX);
	check_members(h, "data", &bytes);
	check_size(h, bytes / 4 * 3);
	for (size_t i = 0; i < sizeof(secret_types) / sizeof(secret_types[0]); i++) {
		if (!str_is(json_str(type), secret_types[i].type))
			continue;
		for (size_t n = 0; n < 2 && secret_types[i].required[n]; n++)
			if (!json_getc(data, secret_types[i].required[n]))
				hook_error(h, FIELD_REQUIRED,
					   hook_path(h, "data[%s]", secret_types[i].required[n]),
					   NULL, "%s", "");
	}
	if (h->old)
		hook_immutable(h, STR("type"), type, json_getc(h->old, "type"));
	check_immutable(h, names, 1);
}

const struct kind_hooks kind_hooks_secret = {
	.resource = "/secrets",
	.prepare = secret_prepare,
	.validate = secret_validate,
};
