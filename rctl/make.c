/* create namespace|configmap|secret|serviceaccount: objects from flags instead of from a file. */
#include "rctl.h"
#include "sys/file.h"
#include "text/base64.h"

#include <stdio.h>
#include <string.h>

enum { ENTRY_BYTES_MAX = 1 << 20 };

static int put_entry(struct rctl *r, struct json *data, struct str key, struct str value,
		     bool secret, struct error *err)
{
	struct buf b = { 0 };
	if (!key.len)
		return error_set(err, ERR_BAD_REQUEST, "an entry has no key");
	if (json_get(data, key))
		return error_set(err, ERR_BAD_REQUEST, "the key \"%.*s\" is given twice",
				 STR_ARG(key));
	if (secret)
		base64_write(&b, value.p, value.len);
	else
		buf_add_str(&b, value);
	(void)json_set(&r->arena, data, arena_str(&r->arena, key),
		       json_of_str(arena_str(&r->arena, buf_str(&b))));
	buf_fini(&b);
	return 0;
}

static int add_literal(struct rctl *r, struct json *data, struct str pair, bool secret,
		       struct error *err)
{
	ptrdiff_t eq = str_find(pair, '=', 0);
	if (eq <= 0)
		return error_set(err, ERR_BAD_REQUEST, "\"%.*s\" is no KEY=VALUE", STR_ARG(pair));
	return put_entry(r, data, str_sub(pair, 0, (size_t)eq),
			 str_sub(pair, (size_t)eq + 1, pair.len), secret, err);
}

static int add_file(struct rctl *r, struct json *data, struct str arg, bool secret, bool lines,
		    struct error *err)
{
	struct buf b = { 0 };
	ptrdiff_t eq = lines ? -1 : str_find(arg, '=', 0);
	struct str path = eq < 0 ? arg : str_sub(arg, (size_t)eq + 1, arg.len);
	struct str key = eq < 0 ? path : str_sub(arg, 0, (size_t)eq);
	for (ptrdiff_t slash; eq < 0 && (slash = str_find(key, '/', 0)) >= 0;)
		key = str_sub(key, (size_t)slash + 1, key.len);
	int rc = file_read(arena_str(&r->arena, path).p, ENTRY_BYTES_MAX, &b, err);
	if (!rc && !lines)
		rc = put_entry(r, data, key, buf_str(&b), secret, err);
	struct str rest = buf_str(&b);
	struct str line;
	while (!rc && lines && rest.len && str_split(&rest, '\n', &line)) {
		line = str_trim(line);
		if (line.len && line.p[0] != '#')
			rc = add_literal(r, data, line, secret, err);
	}
	buf_fini(&b);
	return rc;
}

static int fill(struct rctl *r, struct json *obj, bool secret, struct error *err)
{
	struct json *data = json_setc(&r->arena, obj, "data", json_object());
	const struct options *o = &r->opt;
	int rc = 0;
	for (size_t i = 0; i < o->literals.len && !rc; i++)
		rc = add_literal(r, data, str_of(o->literals.v[i]), secret, err);
	for (size_t i = 0; i < o->from_files.len && !rc; i++)
		rc = add_file(r, data, str_of(o->from_files.v[i]), secret, false, err);
	for (size_t i = 0; i < o->env_files.len && !rc; i++)
		rc = add_file(r, data, str_of(o->env_files.v[i]), secret, true, err);
	if (!rc && secret)
		(void)json_setc(&r->arena, obj, "type",
				json_of_cstr(o->secret_type ? o->secret_type : "Opaque"));
	return rc;
}

int make_object(struct rctl *r, struct json *ret, struct error *err)
{
	static const char *const kinds[][2] = {
		{ "namespace", "Namespace" }, { "ns", "Namespace" },
		{ "configmap", "ConfigMap" }, { "cm", "ConfigMap" },
		{ "secret", "Secret" },       { "serviceaccount", "ServiceAccount" },
		{ "sa", "ServiceAccount" }
	};
	const struct options *o = &r->opt;
	const char *kind = NULL;
	for (size_t i = 0; o->args_len && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(o->args[0], kinds[i][0]) == 0)
			kind = kinds[i][1];
	/* kubectl's "secret generic NAME" is taken too */
	size_t at = kind && strcmp(kind, "Secret") == 0 && o->args_len == 3 &&
				    strcmp(o->args[1], "generic") == 0
			    ? 2
			    : 1;
	if (!kind || o->args_len != at + 1)
		return error_set(err, ERR_BAD_REQUEST,
				 "create -f FILE, or create namespace|configmap|secret|"
				 "serviceaccount NAME");
	bool secret = strcmp(kind, "Secret") == 0;
	*ret = json_object();
	(void)json_setc(&r->arena, ret, "apiVersion", json_of_cstr("v1"));
	(void)json_setc(&r->arena, ret, "kind", json_of_cstr(kind));
	(void)json_setc(&r->arena, json_child(&r->arena, ret, "metadata"), "name",
			json_of_cstr(o->args[at]));
	if (secret || strcmp(kind, "ConfigMap") == 0)
		return fill(r, ret, secret, err);
	return 0;
}
