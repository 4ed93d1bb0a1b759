/* Credentials for clusters, out of Secrets.  Pure. */
#include "base/buf.h"
#include "base/mem.h"
#include "member.h"
#include "text/base64.h"
#include "yaml/yaml.h"

#include <string.h>

enum { PEM_BYTES_MAX = 1 << 20 };

static void wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	mem_free(s);
}

void member_credential_fini(struct member_credential *c)
{
	mem_free(c->ca_pem);
	mem_free(c->cert_pem);
	mem_free(c->server_name);
	wipe(c->key_pem);
	wipe(c->token);
	*c = (struct member_credential){ 0 };
}

/* The decoded text, or NULL when it is absent or no base64. */
static char *decoded(const struct json *j)
{
	struct str s = json_str(j);
	struct buf b = { 0 };
	char *out = NULL;
	if (s.len && s.len <= PEM_BYTES_MAX && base64_read(&b, s) && b.len)
		out = mem_strdup(buf_cstr(&b));
	if (b.p)
		explicit_bzero(b.p, b.len);
	buf_fini(&b);
	return out;
}

static char *copied(const struct json *j)
{
	struct str s = json_str(j);
	return s.len ? mem_strndup(s.p, s.len) : NULL;
}

/* The body of the entry of that name: {name: x, cluster: {…}}. */
static const struct json *entry(const struct json *list, struct str name, const char *body)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(json_str(json_getc(json_at(list, i), "name")), name))
			return json_getc(json_at(list, i), body);
	return NULL;
}

/* Inline data only: files of another machine mean nothing here, programs are not run. */
static int read_kubeconfig(const char *text, struct member_credential *ret, struct error *err)
{
	struct arena a = { 0 };
	struct json root;
	int rc = yaml_parse(&a, str_of(text), &root, err);
	if (rc) {
		arena_fini(&a);
		return error_wrap(err, "kubeconfig");
	}
	const struct json *context =
		entry(json_getc(&root, "contexts"), json_str(json_getc(&root, "current-context")),
		      "context");
	const struct json *cluster = entry(json_getc(&root, "clusters"),
					   json_str(json_getc(context, "cluster")), "cluster");
	const struct json *user =
		entry(json_getc(&root, "users"), json_str(json_getc(context, "user")), "user");
	ret->ca_pem = decoded(json_getc(cluster, "certificate-authority-data"));
	ret->server_name = copied(json_getc(cluster, "tls-server-name"));
	ret->cert_pem = decoded(json_getc(user, "client-certificate-data"));
	ret->key_pem = decoded(json_getc(user, "client-key-data"));
	ret->token = copied(json_getc(user, "token"));
	arena_fini(&a);
	return 0;
}

int member_read_credential(const struct json *secret, struct member_credential *ret,
			   struct error *err)
{
	struct member_credential c = { 0 };
	const struct json *data = json_getc(secret, "data");
	char *kubeconfig = decoded(json_getc(data, "kubeconfig"));
	int rc = kubeconfig ? read_kubeconfig(kubeconfig, &c, err) : 0;
	wipe(kubeconfig);
	if (!rc && !c.token && !c.cert_pem) {
		char *token = decoded(json_getc(data, "token"));
		if (token) {
			struct str t = str_trim(str_of(token));
			c.token = mem_strndup(t.p, t.len);
		}
		wipe(token);
		c.cert_pem = decoded(json_getc(data, "tls.crt"));
		c.key_pem = decoded(json_getc(data, "tls.key"));
		if (!c.ca_pem)
			c.ca_pem = decoded(json_getc(data, "ca.crt"));
	}
	if (!rc && !c.token && (!c.cert_pem || !c.key_pem))
		rc = error_set(err, ERR_INVALID,
			       "the Secret has neither token nor tls.crt and tls.key nor a "
			       "kubeconfig with one of them inline");
	if (rc)
		member_credential_fini(&c);
	else
		*ret = c;
	return rc;
}
