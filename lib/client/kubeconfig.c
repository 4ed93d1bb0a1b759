/* kubeconfig files (v1 Config of client-go), merged over a colon-separated list: the first file that says a thing wins. */
#include "base/buf.h"
#include "base/mem.h"
#include "client/client.h"
#include "client/client_priv.h"
#include "sys/file.h"
#include "text/base64.h"
#include "yaml/yaml.h"

#include <string.h>

enum { FILES_MAX = 16, CONFIG_BYTES_MAX = 3 << 20, PEM_BYTES_MAX = 1 << 20 };

struct file {
	struct str path, dir; /* relative file names count from dir */
	struct json root;
};

struct config {
	struct arena arena;
	struct file files[FILES_MAX];
	size_t len;
};

/* The entry `name` of the list `section` in the first file that has it. */
static const struct json *find(const struct config *c, const char *section, const char *body,
			       struct str name, const struct file **ret_file)
{
	for (size_t f = 0; f < c->len; f++) {
		const struct json *list = json_getc(&c->files[f].root, section);
		for (size_t i = 0; i < json_len(list); i++) {
			const struct json *e = json_at(list, i);
			if (str_eq(json_str(json_getc(e, "name")), name)) {
				*ret_file = &c->files[f];
				const struct json *b = json_getc(e, body);
				return b ? b : e;
			}
		}
	}
	return NULL;
}

static int add_file(struct config *c, struct str path, bool must_exist, struct error *err)
{
	if (c->len == FILES_MAX)
		return error_set(err, ERR_INVALID, "kubeconfig: more than %d files", FILES_MAX);
	struct file *f = &c->files[c->len];
	f->path = arena_str(&c->arena, path);
	const char *slash = strrchr(f->path.p, '/');
	f->dir = slash ? str_n(f->path.p, (size_t)(slash - f->path.p)) : STR(".");

	struct buf text = { 0 };
	struct error failed = { 0 };
	int rc = file_read(f->path.p, CONFIG_BYTES_MAX, &text, &failed);
	if (rc == ERR_NOT_FOUND && !must_exist) {
		buf_fini(&text);
		return 0;
	}
	if (rc == 0)
		rc = yaml_parse(&c->arena, buf_str(&text), &f->root, &failed);
	buf_fini(&text);
	if (rc) {
		rc = error_set(err, failed.code, "kubeconfig %s: %s", f->path.p, failed.msg);
		return rc;
	}
	c->len++;
	return 0;
}

static int add_files(struct config *c, const char *path, const char *env, const char *home,
		     struct error *err)
{
	if (path)
		return add_file(c, str_of(path), true, err);
	if (env && *env) {
		struct str rest = str_of(env);
		struct str piece;
		while (str_split(&rest, ':', &piece)) {
			int rc = piece.len ? add_file(c, piece, false, err) : 0;
			if (rc)
				return rc;
		}
	} else if (home) {
		int rc = add_file(c, arena_strf(&c->arena, "%s/.kube/config", home), false, err);
		if (rc)
			return rc;
	}
	if (c->len == 0)
		return error_set(err, ERR_NOT_FOUND,
				 "no kubeconfig: name one with --kubeconfig or $KUBECONFIG, or "
				 "make a local fleet with 'rctl dev up'");
	return 0;
}

/* A field as inline base64 (NAME-data) or as a file name (NAME), relative to the kubeconfig's folder. */
static int take_pem(struct config *c, const struct file *f, const struct json *obj,
		    const char *name, char **ret, struct error *err)
{
	struct str data = json_str(json_getc(obj, arena_printf(&c->arena, "%s-data", name)));
	struct str path = json_str(json_getc(obj, name));
	struct buf b = { 0 };
	int rc = 0;
	if (data.len) {
		if (!base64_read(&b, data))
			rc = error_set(err, ERR_INVALID, "kubeconfig %s: %s-data is no base64",
				       f->path.p, name);
	} else if (path.len) {
		struct str full = path.p[0] == '/' ? path
						   : arena_strf(&c->arena, "%.*s/%.*s",
								STR_ARG(f->dir), STR_ARG(path));
		rc = file_read(arena_str(&c->arena, full).p, PEM_BYTES_MAX, &b, err);
		if (rc)
			rc = error_wrap(err, "kubeconfig %s: %s", f->path.p, name);
	} else {
		return 0;
	}
	if (rc == 0)
		*ret = mem_strndup(b.p, b.len);
	if (b.p)
		explicit_bzero(b.p, b.len);
	buf_fini(&b);
	return rc;
}

static int take_cluster(struct config *c, struct str name, struct client_config *out,
			struct error *err)
{
	const struct file *f = NULL;
	const struct json *cluster = find(c, "clusters", "cluster", name, &f);
	if (!cluster)
		return error_set(
			err, ERR_INVALID,
			"kubeconfig: context %s names cluster \"%.*s\", which is not there",
			out->context, STR_ARG(name));
	struct str server = json_str(json_getc(cluster, "server"));
	if (!server.len)
		return error_set(err, ERR_INVALID, "kubeconfig %s: cluster \"%.*s\" has no server",
				 f->path.p, STR_ARG(name));
	out->server = mem_strndup(server.p, server.len);
	struct str sni = json_str(json_getc(cluster, "tls-server-name"));
	out->tls_server_name = sni.len ? mem_strndup(sni.p, sni.len) : NULL;
	out->insecure_skip_verify =
		json_bool(json_getc(cluster, "insecure-skip-tls-verify"), false);
	return take_pem(c, f, cluster, "certificate-authority", &out->ca_pem, err);
}

static int take_token(struct config *c, const struct file *f, const struct json *user,
		      struct client_config *out, struct error *err)
{
	struct str token = json_str(json_getc(user, "token"));
	if (token.len) {
		out->token = mem_strndup(token.p, token.len);
		return 0;
	}
	struct str path = json_str(json_getc(user, "tokenFile"));
	if (!path.len)
		return 0;
	struct buf b = { 0 };
	int rc = file_read(arena_str(&c->arena, path).p, PEM_BYTES_MAX, &b, err);
	if (rc) {
		rc = error_wrap(err, "kubeconfig %s: tokenFile", f->path.p);
	} else {
		struct str t = str_trim(buf_str(&b));
		out->token = mem_strndup(t.p, t.len);
	}
	buf_fini(&b);
	return rc;
}

static int take_user(struct config *c, struct str name, struct client_config *out,
		     struct error *err)
{
	if (!name.len)
		return 0;
	const struct file *f = NULL;
	const struct json *user = find(c, "users", "user", name, &f);
	if (!user)
		return error_set(err, ERR_INVALID,
				 "kubeconfig: context %s names user \"%.*s\", which is not there",
				 out->context, STR_ARG(name));
	if (json_getc(user, "exec") || json_getc(user, "auth-provider"))
		return error_set(err, ERR_INVALID,
				 "kubeconfig %s: user \"%.*s\" signs in through a plug-in, which "
				 "is not supported; use a client certificate or a token",
				 f->path.p, STR_ARG(name));
	int rc = take_pem(c, f, user, "client-certificate", &out->cert_pem, err);
	if (rc == 0)
		rc = take_pem(c, f, user, "client-key", &out->key_pem, err);
	return rc ? rc : take_token(c, f, user, out, err);
}

static int take_context(struct config *c, const char *want, struct client_config *out,
			struct error *err)
{
	struct str name = str_of(want);
	for (size_t f = 0; !name.len && f < c->len; f++)
		name = json_str(json_getc(&c->files[f].root, "current-context"));
	if (!name.len)
		return error_set(err, ERR_INVALID,
				 "kubeconfig %s: no current-context; choose one with --context",
				 c->files[0].path.p);
	const struct file *f = NULL;
	const struct json *ctx = find(c, "contexts", "context", name, &f);
	if (!ctx)
		return error_set(err, ERR_NOT_FOUND, "kubeconfig %s: no context \"%.*s\"",
				 c->files[0].path.p, STR_ARG(name));
	out->context = mem_strndup(name.p, name.len);
	struct str ns = json_str(json_getc(ctx, "namespace"));
	out->ns = ns.len ? mem_strndup(ns.p, ns.len) : mem_strdup("default");
	int rc = take_cluster(c, json_str(json_getc(ctx, "cluster")), out, err);
	return rc ? rc : take_user(c, json_str(json_getc(ctx, "user")), out, err);
}

int client_config_load(const char *path, const char *env, const char *home, const char *context,
		       struct client_config *ret, struct error *err)
{
	struct config c = { 0 };
	struct client_config out = { 0 };
	int rc = add_files(&c, path, env, home, err);
	if (rc == 0)
		rc = take_context(&c, context, &out, err);
	arena_fini(&c.arena);
	if (rc) {
		client_config_fini(&out);
		return rc;
	}
	*ret = out;
	return 0;
}
