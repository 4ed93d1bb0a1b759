#include "base/arena.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "tls/digest.h"
#include "tls/pki.h"
#include "tls/tls.h"

#include <criterion/criterion.h>

#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DAY = 86400 };

/* ---- a folder with an authority and what it signed ---- */

struct fixture {
	char dir[64];
	struct pki_pair ca;
	int64_t now;
};

static char *path_in(struct fixture *f, const char *name)
{
	static char paths[8][128];
	static int next;
	char *p = paths[next++ % 8];
	(void)snprintf(p, sizeof(paths[0]), "%s/%s", f->dir, name);
	return p;
}

static void write_text(struct fixture *f, const char *name, struct buf *text)
{
	struct error err;
	cr_assert_eq(file_write_atomic(path_in(f, name), buf_str(text), 0600, &err), 0);
}

static struct fixture *fixture_new(void)
{
	struct fixture *f = mem_new(struct fixture, 1);
	struct error err = { 0 };
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_tls.XXXXXX");
	cr_assert(mkdtemp(f->dir));
	f->now = clock_unix_ms() / 1000;
	cr_assert_eq(pki_make_ca(STR("test-ca"), f->now - DAY, f->now + DAY, &f->ca, &err), 0, "%s",
		     err.msg);
	write_text(f, "ca.crt", &f->ca.cert);
	return f;
}

static void fixture_free(struct fixture *f)
{
	struct error err;
	cr_assert_eq(file_remove_tree(f->dir, &err), 0);
	pki_pair_fini(&f->ca);
	mem_free(f);
}

/* NAME.crt and NAME.key, signed by `ca`, valid from now plus from to now plus to */
static void issue(struct fixture *f, const char *name, struct pki_pair *ca, int use, int64_t from,
		  int64_t to)
{
	struct str orgs[] = { STR("system:masters"), STR("rctl:admins") };
	struct str names[] = { STR("localhost"), STR("127.0.0.1"), STR("::1"),
			       STR("*.example.org") };
	struct pki_request req = { .common_name = str_of(name),
				   .organizations = orgs,
				   .organizations_len = use == PKI_CLIENT ? 2 : 0,
				   .names = names,
				   .names_len = use == PKI_CLIENT ? 0 : 4,
				   .use = use,
				   .not_before = f->now + from,
				   .not_after = f->now + to };
	struct pki_pair pair = { 0 };
	struct error err = { 0 };
	char file[64];
	cr_assert_eq(pki_issue(buf_str(&ca->cert), buf_str(&ca->key), &req, &pair, &err), 0, "%s",
		     err.msg);
	(void)snprintf(file, sizeof(file), "%s.crt", name);
	write_text(f, file, &pair.cert);
	(void)snprintf(file, sizeof(file), "%s.key", name);
	write_text(f, file, &pair.key);
	pki_pair_fini(&pair);
}

static struct tls_context *context(struct fixture *f, bool server, const char *name,
				   const char *ca_file, const char *alpn)
{
	char cert[64];
	char key[64];
	(void)snprintf(cert, sizeof(cert), "%s.crt", name ? name : "");
	(void)snprintf(key, sizeof(key), "%s.key", name ? name : "");
	struct tls_files files = { .cert_file = name ? path_in(f, cert) : NULL,
				   .key_file = name ? path_in(f, key) : NULL,
				   .ca_file = ca_file ? path_in(f, ca_file) : NULL };
	struct tls_context *t = NULL;
	struct error err = { 0 };
	int rc = server ? tls_server_new(&files, alpn, &t, &err)
			: tls_client_new(&files, alpn, &t, &err);
	cr_assert_eq(rc, 0, "%s", err.msg);
	return t;
}

/* ---- two ends of a socket pair ---- */

struct ends {
	int fd[2];
	struct tls_conn *conn[2]; /* server, client */
	int rc[2];
	struct error err[2];
};

static void connect_ends(struct ends *e, struct tls_context *server, struct tls_context *client,
			 const char *name)
{
	*e = (struct ends){ 0 };
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, e->fd), 0);
	e->conn[0] = tls_accept(server, e->fd[0]);
	e->conn[1] = tls_connect(client, e->fd[1], name);
	e->rc[0] = e->rc[1] = TLS_WANT_READ;
	for (int i = 0; i < 20; i++) {
		for (int k = 0; k < 2; k++) {
			if (e->rc[k] == TLS_WANT_READ || e->rc[k] == TLS_WANT_WRITE)
				e->rc[k] = tls_handshake(e->conn[k], &e->err[k]);
		}
	}
}

static void close_ends(struct ends *e)
{
	for (int k = 0; k < 2; k++) {
		tls_conn_free(e->conn[k]);
		(void)close(e->fd[k]);
	}
}

/* ---- digests ---- */

Test(digest, known_answers)
{
	char hex[DIGEST_SHA256_HEX];
	digest_sha256_hex(STR("abc"), hex); /* FIPS 180-4 */
	cr_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_sha256_hex(STR_NONE, hex);
	cr_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	uint8_t mac[DIGEST_SHA256_BYTES]; /* RFC 4231, test case 2 */
	static const uint8_t want[4] = { 0x5b, 0xdc, 0xc1, 0x46 };
	digest_hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), mac);
	cr_assert_eq(memcmp(mac, want, 4), 0);
	cr_assert(digest_equal(STR("abc"), STR("abc")) && digest_equal(STR_NONE, STR("")));
	cr_assert(!digest_equal(STR("abc"), STR("abd")) && !digest_equal(STR("abc"), STR("ab")));
}

/* ---- certificates ---- */

Test(pki, what_was_issued_is_what_is_read)
{
	struct fixture *f = fixture_new();
	struct arena a = { 0 };
	struct pki_info info;
	struct error err = { 0 };
	struct buf text = { 0 };
	cr_assert_eq(pki_inspect(buf_str(&f->ca.cert), &a, &info, &err), 0);
	cr_assert(info.is_ca && str_is(info.common_name, "test-ca"));
	issue(f, "alice", &f->ca, PKI_CLIENT, -10, DAY);
	cr_assert_eq(file_read(path_in(f, "alice.crt"), 65536, &text, &err), 0);
	cr_assert_eq(pki_inspect(buf_str(&text), &a, &info, &err), 0, "%s", err.msg);
	cr_assert(!info.is_ca);
	cr_assert(str_is(info.common_name, "alice"));
	cr_assert_eq(info.organizations_len, 2);
	cr_assert(str_is(info.organizations[0], "system:masters"));
	cr_assert(str_is(info.organizations[1], "rctl:admins"));
	cr_assert(str_is(info.subject, "O=system:masters, O=rctl:admins, CN=alice"), "%.*s",
		  STR_ARG(info.subject));
	cr_assert_eq(info.not_before, f->now - 10);
	cr_assert_eq(info.not_after, f->now + DAY);
	cr_assert_eq(info.names_len, 0);
	cr_assert_eq(info.serial.len, 32);
	issue(f, "srv", &f->ca, PKI_SERVER, -10, DAY);
	buf_clear(&text);
	cr_assert_eq(file_read(path_in(f, "srv.crt"), 65536, &text, &err), 0);
	cr_assert_eq(pki_inspect(buf_str(&text), &a, &info, &err), 0);
	cr_assert_eq(info.names_len, 4);
	cr_assert(str_is(info.names[0], "localhost") && str_is(info.names[1], "127.0.0.1"));
	cr_assert(str_is(info.names[2], "::1") && str_is(info.names[3], "*.example.org"));
	cr_assert_eq(info.organizations_len, 0);
	buf_fini(&text);
	arena_fini(&a);
	fixture_free(f);
}

Test(pki, bad_texts_and_requests_are_errors)
{
	struct fixture *f = fixture_new();
	struct arena a = { 0 };
	struct pki_info info;
	struct pki_pair pair = { 0 };
	struct pki_pair other = { 0 };
	struct error err = { 0 };
	cr_assert_eq(pki_inspect(STR(""), &a, &info, &err), ERR_INVALID);
	cr_assert_eq(
		pki_inspect(STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
			    &a, &info, &err),
		ERR_INVALID);
	struct pki_request req = { .common_name = STR("x"),
				   .use = PKI_SERVER,
				   .not_after = f->now };
	cr_assert_eq(pki_make_ca(STR("other"), f->now, f->now + DAY, &other, &err), 0);
	struct str cert = buf_str(&f->ca.cert);
	struct str key = buf_str(&f->ca.key);
	cr_assert_eq(pki_issue(cert, buf_str(&other.key), &req, &pair, &err), ERR_INVALID);
	cr_assert_eq(pki_issue(STR("x"), key, &req, &pair, &err), ERR_INVALID);
	req.use = 0;
	cr_assert_eq(pki_issue(cert, key, &req, &pair, &err), ERR_INVALID);
	req.use = PKI_SERVER;
	struct str name = STR("a\0b");
	req.names = &name;
	req.names_len = 1;
	cr_assert_eq(pki_issue(cert, key, &req, &pair, &err), ERR_INVALID);
	req.names_len = 0;
	char wide[80];
	memset(wide, 'w', sizeof(wide));
	req.common_name = str_n(wide, sizeof(wide));
	cr_assert_eq(pki_issue(cert, key, &req, &pair, &err), ERR_INVALID);
	cr_assert_eq(pair.cert.len, 0);
	/* a leaf signs nothing */
	req.common_name = STR("leaf");
	cr_assert_eq(pki_issue(cert, key, &req, &pair, &err), 0, "%s", err.msg);
	struct pki_pair child = { 0 };
	cr_assert_eq(pki_issue(buf_str(&pair.cert), buf_str(&pair.key), &req, &child, &err),
		     ERR_INVALID);
	/* a control character in a name that somebody else's authority let through */
	req.common_name = STR("ad\x01min");
	pki_pair_fini(&pair);
	cr_assert_eq(pki_issue(cert, key, &req, &pair, &err), 0);
	cr_assert_eq(pki_inspect(buf_str(&pair.cert), &a, &info, &err), ERR_INVALID);
	cr_assert_str_eq(err.msg, "certificate holds a malformed name");
	pki_pair_fini(&pair);
	pki_pair_fini(&other);
	arena_fini(&a);
	fixture_free(f);
}

/* ---- connections ---- */

Test(tls, both_sides_talk_and_the_server_knows_the_client)
{
	struct fixture *f = fixture_new();
	struct ends e;
	issue(f, "srv", &f->ca, PKI_SERVER, -10, DAY);
	issue(f, "alice", &f->ca, PKI_CLIENT, -10, DAY);
	struct tls_context *server = context(f, true, "srv", "ca.crt", "h2,http/1.1");
	struct tls_context *client = context(f, false, "alice", "ca.crt", "http/1.1");
	struct tls_context *nobody = context(f, false, NULL, "ca.crt", "");
	cr_assert_eq(tls_not_after(server), f->now + DAY);
	cr_assert_eq(tls_not_after(nobody), 0);
	connect_ends(&e, server, client, "localhost");
	cr_assert_eq(e.rc[0], 0, "%s", e.err[0].msg);
	cr_assert_eq(e.rc[1], 0, "%s", e.err[1].msg);
	cr_assert(str_is(tls_alpn(e.conn[0]), "http/1.1") &&
		  str_is(tls_alpn(e.conn[1]), "http/1.1"));
	const struct pki_info *peer = tls_peer(e.conn[0]);
	cr_assert(peer && str_is(peer->common_name, "alice") && peer->organizations_len == 2);
	cr_assert(str_is(tls_peer(e.conn[1])->common_name, "srv"));

	char big[30000];
	char got[sizeof(big)];
	struct error err = { 0 };
	memset(big, 'b', sizeof(big));
	size_t sent = 0;
	size_t received = 0;
	while (received < sizeof(big)) {
		ssize_t k = 0;
		if (sent < sizeof(big)) {
			k = tls_write(e.conn[1], big + sent, sizeof(big) - sent, &err);
			cr_assert(k > 0 || k == TLS_WANT_WRITE);
			sent += k > 0 ? (size_t)k : 0;
		}
		k = tls_read(e.conn[0], got + received, sizeof(got) - received, &err);
		cr_assert(k > 0 || k == TLS_WANT_READ);
		received += k > 0 ? (size_t)k : 0;
	}
	cr_assert_eq(memcmp(big, got, sizeof(big)), 0);
	tls_shutdown(e.conn[0]);
	cr_assert_eq(tls_read(e.conn[1], got, 1, &err), 0);
	close_ends(&e);

	connect_ends(&e, server, nobody, "127.0.0.1");
	cr_assert_eq(e.rc[0], 0, "%s", e.err[0].msg);
	cr_assert_eq(e.rc[1], 0, "%s", e.err[1].msg);
	cr_assert_null(tls_peer(e.conn[0]));
	cr_assert_eq(tls_alpn(e.conn[0]).len, 0);
	/* the peer vanishes: an error or an end, never a signal */
	tls_conn_free(e.conn[1]);
	(void)close(e.fd[1]);
	e.conn[1] = NULL;
	e.fd[1] = -1;
	cr_assert(tls_write(e.conn[0], big, 10, &err) < 0);
	close_ends(&e);
	tls_free(server);
	tls_free(client);
	tls_free(nobody);
	fixture_free(f);
}

struct refusal {
	const char *client, *name;
	const char *server_says, *client_says; /* NULL = content */
};

Test(tls, certificates_that_are_not_good_are_refused_with_the_reason)
{
	struct fixture *f = fixture_new();
	struct pki_pair foreign = { 0 };
	struct pki_pair same_name = { 0 };
	struct error err = { 0 };
	cr_assert_eq(pki_make_ca(STR("foreign"), f->now - DAY, f->now + DAY, &foreign, &err), 0);
	cr_assert_eq(pki_make_ca(STR("test-ca"), f->now - DAY, f->now + DAY, &same_name, &err), 0);
	issue(f, "srv", &f->ca, PKI_SERVER, -10, DAY);
	issue(f, "late", &f->ca, PKI_CLIENT, -DAY, -10);
	issue(f, "early", &f->ca, PKI_CLIENT, DAY / 2, DAY);
	issue(f, "stranger", &foreign, PKI_CLIENT, -10, DAY);
	issue(f, "liar", &same_name, PKI_CLIENT, -10, DAY);
	issue(f, "misused", &f->ca, PKI_SERVER, -10, DAY);
	issue(f, "good", &f->ca, PKI_CLIENT | PKI_SERVER, -10, DAY);
	static const struct refusal table[] = {
		{ "late", "localhost", "certificate has expired",
		  "the peer refused our certificate: it has expired" },
		{ "early", "localhost", "certificate is not valid yet",
		  "the peer refused our certificate" },
		{ "stranger", "localhost", "certificate is signed by unknown authority",
		  "the peer refused our certificate: unknown authority" },
		{ "liar", "localhost", "certificate is signed by unknown authority", NULL },
		{ "misused", "localhost", "certificate is not for this use",
		  "the peer refused our certificate: not for this use" },
		{ "good", "a.example.org", NULL, NULL },
		{ "good", "::1", NULL, NULL },
		{ "good", "b.a.example.org", NULL, "certificate is not for b.a.example.org" },
		{ "good", "127.0.0.2", NULL, "certificate is not for 127.0.0.2" },
	};
	struct tls_context *server = context(f, true, "srv", "ca.crt", "");
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const struct refusal *t = &table[i];
		struct tls_context *client = context(f, false, t->client, "ca.crt", "");
		struct ends e;
		connect_ends(&e, server, client, t->name);
		if (t->server_says) {
			cr_assert_eq(e.rc[0], ERR_UNAUTHORIZED, "%zu: %d %s", i, e.rc[0],
				     e.err[0].msg);
			cr_assert_str_eq(e.err[0].msg, t->server_says);
			char c;
			ssize_t k = tls_read(e.conn[1], &c, 1, &e.err[1]);
			cr_assert(k < 0 && k != TLS_WANT_READ, "%zu: %zd", i, k);
		}
		if (t->client_says)
			cr_assert_str_eq(e.err[1].msg, t->client_says, "%zu: %s", i, e.err[1].msg);
		else if (!t->server_says)
			cr_assert_eq(e.rc[1], 0, "%zu: %s", i, e.err[1].msg);
		close_ends(&e);
		tls_free(client);
	}
	tls_free(server);
	pki_pair_fini(&foreign);
	pki_pair_fini(&same_name);
	fixture_free(f);
}

Test(tls, a_reload_takes_the_new_certificate_or_keeps_the_old)
{
	struct fixture *f = fixture_new();
	struct error err = { 0 };
	struct ends e;
	struct ends before;
	issue(f, "srv", &f->ca, PKI_SERVER, -10, DAY / 4);
	struct tls_context *server = context(f, true, "srv", NULL, "");
	struct tls_context *client = context(f, false, NULL, "ca.crt", "");
	connect_ends(&before, server, client, "localhost");
	issue(f, "srv", &f->ca, PKI_SERVER, -10, DAY / 2);
	cr_assert_eq(tls_reload(server, &err), 0, "%s", err.msg);
	cr_assert_eq(tls_not_after(server), f->now + DAY / 2);
	connect_ends(&e, server, client, "localhost");
	cr_assert_eq(tls_peer(e.conn[1])->not_after, f->now + DAY / 2);
	close_ends(&e);
	struct buf junk = { 0 };
	buf_adds(&junk, "junk");
	write_text(f, "srv.crt", &junk);
	cr_assert_eq(tls_reload(server, &err), ERR_INVALID);
	cr_assert(strstr(err.msg, "srv.crt"));
	connect_ends(&e, server, client, "localhost");
	cr_assert_eq(e.rc[1], 0);
	close_ends(&e);
	buf_fini(&junk);
	tls_free(server); /* the open connection keeps what it needs */
	cr_assert_eq(tls_write(before.conn[0], "x", 1, &err), 1);
	close_ends(&before);
	tls_free(client);
	fixture_free(f);
}

Test(tls, files_that_do_not_fit_say_so)
{
	struct fixture *f = fixture_new();
	struct tls_context *t = NULL;
	struct error err = { 0 };
	issue(f, "a", &f->ca, PKI_SERVER, -10, DAY);
	issue(f, "b", &f->ca, PKI_SERVER, -10, DAY);
	struct tls_files files = { .cert_file = path_in(f, "a.crt"),
				   .key_file = path_in(f, "b.key") };
	cr_assert_eq(tls_server_new(&files, "", &t, &err), ERR_INVALID);
	cr_assert(strstr(err.msg, "key does not fit the certificate"), "%s", err.msg);
	files.key_file = path_in(f, "none.key");
	cr_assert_eq(tls_server_new(&files, "", &t, &err), ERR_NOT_FOUND);
	files.key_file = NULL;
	cr_assert_eq(tls_server_new(&files, "", &t, &err), ERR_INVALID);
	cr_assert_eq(tls_client_new(&files, "", &t, &err), ERR_INVALID);
	files = (struct tls_files){ .ca_file = path_in(f, "a.key") };
	cr_assert_eq(tls_client_new(&files, "", &t, &err), ERR_INVALID);
	cr_assert(strstr(err.msg, "no certificate"), "%s", err.msg);
	fixture_free(f);
}

Test(tls, what_is_not_tls_is_named)
{
	struct fixture *f = fixture_new();
	struct error err = { 0 };
	int fd[2];
	issue(f, "srv", &f->ca, PKI_SERVER, -10, DAY);
	struct tls_context *server = context(f, true, "srv", NULL, "h2");
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
	cr_assert_eq(write(fd[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	struct tls_conn *c = tls_accept(server, fd[0]);
	cr_assert_eq(tls_handshake(c, &err), ERR_UNAVAILABLE);
	cr_assert_str_eq(err.msg, "plain HTTP was sent to a TLS port");
	tls_conn_free(c);
	(void)close(fd[0]);
	(void)close(fd[1]);
	/* no protocol in common */
	struct tls_context *client = context(f, false, NULL, "ca.crt", "http/1.1");
	struct ends e;
	connect_ends(&e, server, client, "localhost");
	cr_assert(e.rc[0] < 0 && e.rc[1] < 0);
	close_ends(&e);
	tls_free(client);
	tls_free(server);
	fixture_free(f);
}
