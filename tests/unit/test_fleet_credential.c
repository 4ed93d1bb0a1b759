#include "base/buf.h"
#include "member.h"
#include "text/base64.h"

#include <criterion/criterion.h>

/* A Secret with up to four members, given as name, value, name, value, …, NULL. */
static struct json secret_of(struct arena *a, const char *const *pairs)
{
	struct json s = json_object();
	struct json *data = json_setc(a, &s, "data", json_object());
	for (size_t i = 0; i < 8 && pairs[i]; i += 2) {
		struct buf b = { 0 };
		base64_write(&b, pairs[i + 1], strlen(pairs[i + 1]));
		(void)json_setc(a, data, pairs[i], json_of_str(arena_str(a, buf_str(&b))));
		buf_fini(&b);
	}
	return s;
}

#define KUBECONFIG \
	"apiVersion: v1\nkind: Config\ncurrent-context: c\n" \
	"clusters:\n- {name: k, cluster: {server: 'https://x', certificate-authority-data: Q0E=, " \
	"tls-server-name: api}}\n" \
	"users:\n- {name: other, user: {token: no}}\n- {name: u, user: {token: secret}}\n" \
	"contexts:\n- {name: c, context: {cluster: k, user: u}}\n"

Test(credential, is_read_from_any_of_the_members)
{
	static const struct {
		const char *name;
		const char *pairs[9];
		int rc;
		const char *token, *cert, *key, *ca, *server_name;
	} cases[] = {
		{ "token", { "token", "abc\n" }, 0, "abc", NULL, NULL, NULL, NULL },
		{ "certificate",
		  { "tls.crt", "C", "tls.key", "K", "ca.crt", "A" },
		  0,
		  NULL,
		  "C",
		  "K",
		  "A",
		  NULL },
		{ "kubeconfig",
		  { "kubeconfig", KUBECONFIG },
		  0,
		  "secret",
		  NULL,
		  NULL,
		  "CA",
		  "api" },
		{ "the kubeconfig counts first",
		  { "token", "x", "kubeconfig", KUBECONFIG },
		  0,
		  "secret",
		  NULL,
		  NULL,
		  "CA",
		  "api" },
		{ "a certificate without its key",
		  { "tls.crt", "C" },
		  ERR_INVALID,
		  NULL,
		  NULL,
		  NULL,
		  NULL,
		  NULL },
		{ "nothing", { "user", "x" }, ERR_INVALID, NULL, NULL, NULL, NULL, NULL },
		{ "a kubeconfig that is none",
		  { "kubeconfig", "{[" },
		  ERR_BAD_REQUEST,
		  NULL,
		  NULL,
		  NULL,
		  NULL,
		  NULL },
		{ "a kubeconfig without a user",
		  { "kubeconfig", "kind: Config\n" },
		  ERR_INVALID,
		  NULL,
		  NULL,
		  NULL,
		  NULL,
		  NULL },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct arena a = { 0 };
		struct error err = { 0 };
		struct member_credential c = { 0 };
		struct json s = secret_of(&a, cases[i].pairs);
		int rc = member_read_credential(&s, &c, &err);
		cr_expect_eq(rc, cases[i].rc, "%s: %d %s", cases[i].name, rc, err.msg);
		const char *const got[] = { c.token, c.cert_pem, c.key_pem, c.ca_pem,
					    c.server_name };
		const char *const want[] = { cases[i].token, cases[i].cert, cases[i].key,
					     cases[i].ca, cases[i].server_name };
		for (size_t k = 0; k < 5; k++)
			cr_expect(want[k] ? got[k] && strcmp(got[k], want[k]) == 0 : !got[k],
				  "%s: %zu is %s", cases[i].name, k, got[k] ? got[k] : "NULL");
		member_credential_fini(&c);
		arena_fini(&a);
	}
}
