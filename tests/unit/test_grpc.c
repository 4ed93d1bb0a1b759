/* Our client half against the gRPC C core, both on one loop. */
#include "base/buf.h"
#include "base/mem.h"
#include "grpc/client.h"
#include "grpc/server.h"
#include "sys/file.h"
#include "sys/loop.h"

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_TURNS = 60000 };

/* ----------------------------------------------------------------------------- certificates */

struct pki {
	char dir[64];
	EVP_PKEY *ca_key;
	X509 *ca;
};

static char *path_in(const struct pki *p, const char *name)
{
	struct buf b = { 0 };
	buf_addf(&b, "%s/%s", p->dir, name);
	(void)buf_cstr(&b);
	return b.p;
}

static void write_pem(const struct pki *p, const char *name, X509 *x, EVP_PKEY *key)
{
	struct buf b = { 0 };
	buf_addf(&b, "%s/%s.crt", p->dir, name);
	FILE *f = fopen(buf_cstr(&b), "w");
	PEM_write_X509(f, x);
	fclose(f);
	buf_clear(&b);
	buf_addf(&b, "%s/%s.key", p->dir, name);
	f = fopen(buf_cstr(&b), "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	buf_fini(&b);
}

static X509 *certificate(EVP_PKEY *key, const char *cn, const char *org, X509 *issuer,
			 EVP_PKEY *signer, const char *san)
{
	static long serial;
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	X509_NAME *n = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_NAME_add_entry_by_txt(n, "O", MBSTRING_ASC, (const unsigned char *)org, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x));
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer ? issuer : x, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints,
						issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	if (san) {
		e = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, san);
		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
	}
	X509_sign(x, signer, EVP_sha256());
	return x;
}

static void pki_new(struct pki *p)
{
	strcpy(p->dir, "/tmp/test-grpc-XXXXXX");
	cr_assert(mkdtemp(p->dir));
	p->ca_key = EVP_EC_gen("P-256");
	p->ca = certificate(p->ca_key, "test ca", "test", NULL, p->ca_key, NULL);
	write_pem(p, "ca", p->ca, p->ca_key);
}

static void pki_issue(struct pki *p, const char *name, const char *cn, const char *org,
		      const char *san)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = certificate(key, cn, org, p->ca, p->ca_key, san);
	write_pem(p, name, x, key);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void pki_free(struct pki *p)
{
	struct error err;
	cr_assert_eq(file_remove_tree(p->dir, &err), 0);
	X509_free(p->ca);
	EVP_PKEY_free(p->ca_key);
}

/* ------------------------------------------------------------------------------- the server */

/* What the streams of a test did. */
struct world {
	struct loop *loop;
	struct rpc_server *server;
	int opened, messages, half_closed, closed, cancelled, drained;
	size_t bytes;
	struct buf peer;
	struct rpc_stream *last;
	bool stopped;
	/* client side */
	int c_connected, c_lost, c_messages, c_closed, c_drained;
	size_t c_bytes;
	enum rpc_status status;
	struct buf text, got;
	enum err_code lost_code;
};

static void s_open(void *arg, struct rpc_stream *s)
{
	struct world *w = arg;
	w->opened++;
	w->last = s;
	rpc_stream_set(s, w);
	buf_clear(&w->peer);
	buf_addf(&w->peer, "%.*s|%.*s", STR_ARG(rpc_stream_peer(s)->common_name),
		 STR_ARG(rpc_stream_peer(s)->organization));
}

static void s_echo(void *arg, struct rpc_stream *s, struct str msg)
{
	struct world *w = arg;
	w->messages++;
	w->bytes += msg.len;
	(void)rpc_stream_send(s, msg);
}

static void s_swallow(void *arg, struct rpc_stream *s, struct str msg)
{
	struct world *w = arg;
	(void)s;
	w->messages++;
	w->bytes += msg.len;
}

static void s_unary(void *arg, struct rpc_stream *s, struct str msg)
{
	struct world *w = arg;
	w->messages++;
	if (str_is(msg, "fail"))
		rpc_stream_end(s, RPC_FAILED_PRECONDITION, "n\xc3\xa4h: 100% no");
	else
		rpc_stream_reply(s, msg);
}

static void s_flood(void *arg, struct rpc_stream *s, struct str msg)
{
	struct world *w = arg;
	struct buf big = { 0 };
	(void)msg;
	buf_reserve(&big, 1 << 20);
	big.len = 1 << 20;
	memset(big.p, 'x', big.len);
	while (rpc_stream_send(s, buf_str(&big)))
		w->messages++;
	buf_fini(&big);
}

static void s_half(void *arg, struct rpc_stream *s)
{
	((struct world *)arg)->half_closed++;
	rpc_stream_end(s, RPC_OK, "");
}

static void s_drained(void *arg, struct rpc_stream *s)
{
	(void)s;
	((struct world *)arg)->drained++;
}

static void s_closed(void *arg, struct rpc_stream *s, bool cancelled)
{
	struct world *w = arg;
	w->closed++;
	w->cancelled += cancelled ? 1 : 0;
	if (w->last == s)
		w->last = NULL;
}

static void serve(struct world *w, const char *address, const struct rpc_server_tls *tls)
{
	struct error err = { 0 };
	const struct rpc_method m[] = {
		{ "/t.T/Echo", s_open, s_echo, s_half, s_drained, s_closed, w },
		{ "/t.T/Swallow", s_open, s_swallow, s_half, NULL, s_closed, w },
		{ "/t.T/Unary", s_open, s_unary, NULL, NULL, s_closed, w },
		{ "/t.T/Flood", s_open, s_flood, NULL, NULL, s_closed, w },
	};
	cr_assert_eq(rpc_server_new(w->loop, address, tls, m, 4, NULL, &w->server, &err), 0, "%s",
		     err.msg);
}

/* ------------------------------------------------------------------------------- the client */

static void c_connected(void *arg)
{
	((struct world *)arg)->c_connected++;
}

static void c_lost(void *arg, const struct error *err)
{
	struct world *w = arg;
	w->c_lost++;
	w->lost_code = err->code;
}

static void c_message(void *arg, struct rpc_call *c, struct str msg)
{
	struct world *w = arg;
	(void)c;
	w->c_messages++;
	w->c_bytes += msg.len;
	buf_clear(&w->got);
	buf_add(&w->got, msg.p, msg.len > 100 ? 100 : msg.len);
}

static void c_drained(void *arg, struct rpc_call *c)
{
	(void)c;
	((struct world *)arg)->c_drained++;
}

static void c_closed(void *arg, struct rpc_call *c, enum rpc_status status, const char *text)
{
	struct world *w = arg;
	(void)c;
	w->c_closed++;
	w->status = status;
	buf_clear(&w->text);
	buf_adds(&w->text, text);
}

static struct rpc_channel *dial(struct world *w, const char *host, const struct rpc_client_tls *tls,
				const char *name)
{
	struct error err = { 0 };
	struct rpc_channel *ch = NULL;
	struct buf a = { 0 };
	buf_addf(&a, "%s:%u", host, (unsigned)rpc_server_port(w->server));
	struct rpc_channel_options o = { .address = buf_cstr(&a),
					 .server_name = name,
					 .tls = tls,
					 .connected = c_connected,
					 .lost = c_lost,
					 .arg = w };
	cr_assert_eq(rpc_channel_open(w->loop, &o, &ch, &err), 0, "%s", err.msg);
	buf_fini(&a);
	return ch;
}

static struct rpc_call *call(struct world *w, struct rpc_channel *ch, const char *path)
{
	return rpc_call_start(
		ch, &(struct rpc_call_options){ path, c_message, c_drained, c_closed, w });
}

#define until(w, cond) \
	do { \
		for (int turn_ = 0; !(cond) && turn_ < PATIENCE_TURNS; turn_++) \
			loop_turn((w)->loop, 10); \
		cr_assert(cond, "gave up waiting for " #cond); \
	} while (0)

static void world_new(struct world *w)
{
	struct error err;
	memset(w, 0, sizeof(*w));
	cr_assert_eq(loop_new(&w->loop, &err), 0);
}

static void world_free(struct world *w)
{
	w->server = rpc_server_free(w->server);
	w->loop = loop_free(w->loop);
	buf_fini(&w->peer);
	buf_fini(&w->text);
	buf_fini(&w->got);
}

/* ------------------------------------------------------------------------------------ tests */

Test(grpc, streams_echo_messages_of_all_sizes, .timeout = 120)
{
	struct world w;
	world_new(&w);
	serve(&w, "127.0.0.1:0", NULL);
	struct rpc_channel *ch = dial(&w, "localhost", NULL, NULL);
	struct rpc_call *c = call(&w, ch, "/t.T/Echo");
	static const size_t sizes[] = { 0, 1, 5, 16379, 16384, 65535, 65536, 1000000, 3 << 20 };
	size_t total = 0;
	struct buf b = { 0 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		buf_clear(&b);
		buf_reserve(&b, sizes[i] + 1);
		memset(b.p, 'a' + (int)i, sizes[i]);
		b.len = sizes[i];
		total += sizes[i];
		cr_assert(rpc_call_send(c, buf_str(&b)));
	}
	until(&w, w.c_messages == 9);
	cr_assert_eq(w.c_bytes, total);
	cr_assert_eq(w.bytes, total);
	cr_assert_geq(w.c_drained, 1);
	cr_assert_geq(w.drained, 1);
	for (int i = 0; i < 5000; i++)
		cr_assert(rpc_call_send(c, STR("small")));
	until(&w, w.c_messages == 5009);
	rpc_call_half_close(c);
	until(&w, w.c_closed == 1);
	cr_assert_eq(w.status, RPC_OK);
	cr_assert_eq(w.half_closed, 1);
	until(&w, w.closed == 1);
	cr_assert_eq(w.cancelled, 0);
	rpc_channel_close(ch);
	buf_fini(&b);
	world_free(&w);
}

Test(grpc, unary_calls_end_with_their_status_and_text, .timeout = 120)
{
	static const struct {
		const char *path, *request, *answer, *text;
		enum rpc_status status;
	} t[] = {
		{ "/t.T/Unary", "hello", "hello", "", RPC_OK },
		{ "/t.T/Unary", "fail", NULL, "n\xc3\xa4h: 100% no", RPC_FAILED_PRECONDITION },
		{ "/t.T/Nothing", "x", NULL, "no such method", RPC_UNIMPLEMENTED },
	};
	struct world w;
	world_new(&w);
	serve(&w, "127.0.0.1:0", NULL);
	struct rpc_channel *ch = dial(&w, "127.0.0.1", NULL, NULL);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int before = w.c_closed, messages = w.c_messages;
		struct rpc_call *c = call(&w, ch, t[i].path);
		rpc_call_send(c, str_of(t[i].request));
		rpc_call_half_close(c);
		until(&w, w.c_closed == before + 1);
		cr_expect_eq(w.status, t[i].status, "%s: status %d", t[i].path, (int)w.status);
		cr_expect_str_eq(buf_cstr(&w.text), t[i].text);
		cr_expect_eq(w.c_messages - messages, t[i].answer ? 1 : 0);
		if (t[i].answer)
			cr_expect(str_is(buf_str(&w.got), t[i].answer));
	}
	rpc_channel_close(ch);
	world_free(&w);
}

Test(grpc, the_certificate_is_the_identity_and_strangers_get_no_stream, .timeout = 120)
{
	struct pki good, bad;
	struct world w;
	world_new(&w);
	pki_new(&good);
	pki_new(&bad);
	pki_issue(&good, "server", "server", "test", "DNS:api.test,IP:127.0.0.1");
	pki_issue(&good, "node", "system:node:n1", "system:nodes", NULL);
	pki_issue(&good, "odd", "a,O=system:masters", "Acme, Inc", NULL);
	pki_issue(&bad, "node", "system:node:n1", "system:nodes", NULL);
	struct rpc_server_tls st = { path_in(&good, "ca.crt"), path_in(&good, "server.crt"),
				     path_in(&good, "server.key") };
	serve(&w, "127.0.0.1:0", &st);

	const struct {
		const struct pki *ca, *own;
		const char *cert, *name, *peer;
		bool works;
	} t[] = {
		{ &good, &good, "node", NULL, "system:node:n1|system:nodes", true },
		{ &good, &good, "odd", "api.test", "a,O=system:masters|Acme, Inc", true },
		{ &good, &bad, "node", NULL, NULL, false },          /* a foreign client */
		{ &bad, &good, "node", NULL, NULL, false },          /* a foreign server */
		{ &good, &good, "node", "other.test", NULL, false }, /* the wrong server */
	};
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int connected = w.c_connected, lost = w.c_lost, opened = w.opened,
		    msgs = w.c_messages;
		struct buf crt = { 0 }, key = { 0 };
		buf_addf(&crt, "%s.crt", t[i].cert);
		buf_addf(&key, "%s.key", t[i].cert);
		struct rpc_client_tls ct = { path_in(t[i].ca, "ca.crt"),
					     path_in(t[i].own, buf_cstr(&crt)),
					     path_in(t[i].own, buf_cstr(&key)) };
		struct rpc_channel *ch = dial(&w, "127.0.0.1", &ct, t[i].name);
		struct rpc_call *c = call(&w, ch, "/t.T/Echo");
		rpc_call_send(c, STR("hi"));
		if (t[i].works) {
			until(&w, w.c_messages == msgs + 1);
			cr_expect_str_eq(buf_cstr(&w.peer), t[i].peer);
			cr_expect_eq(w.c_connected, connected + 1);
		} else {
			until(&w, w.c_lost == lost + 1);
			cr_expect_eq(w.opened, opened);
			cr_expect_eq(w.status, RPC_UNAVAILABLE);
		}
		rpc_channel_close(ch);
		buf_fini(&crt);
		buf_fini(&key);
		free((char *)ct.ca_file);
		free((char *)ct.cert_file);
		free((char *)ct.key_file);
	}
	cr_assert_eq(rpc_server_reload(w.server, &(struct error){ 0 }), 0);
	world_free(&w);
	free((char *)st.ca_file);
	free((char *)st.cert_file);
	free((char *)st.key_file);
	pki_free(&good);
	pki_free(&bad);
}

Test(grpc, a_paused_server_holds_the_sender_back, .timeout = 120)
{
	struct world w;
	world_new(&w);
	serve(&w, "127.0.0.1:0", NULL);
	struct rpc_channel *ch = dial(&w, "127.0.0.1", NULL, NULL);
	struct rpc_call *c = call(&w, ch, "/t.T/Swallow");
	rpc_call_send(c, STR("first"));
	until(&w, w.messages == 1);
	rpc_stream_pause(w.last);
	struct buf b = { 0 };
	buf_reserve(&b, 100000);
	memset(b.p, 'y', 100000);
	b.len = 100000;
	for (int i = 0; i < 50; i++)
		rpc_call_send(c, buf_str(&b));
	for (int i = 0; i < 50; i++)
		loop_turn(w.loop, 2);
	cr_assert_eq(w.messages, 1);
	cr_assert_gt(rpc_call_queued(c), 3000000);
	rpc_stream_resume(w.last);
	until(&w, w.messages == 51);
	cr_assert_eq(rpc_call_queued(c), 0);
	rpc_channel_close(ch);
	until(&w, w.closed == 1);
	cr_assert_eq(w.cancelled, 1);
	buf_fini(&b);
	world_free(&w);
}

Test(grpc, a_reader_that_does_not_keep_up_is_cut_off, .timeout = 120)
{
	struct world w;
	world_new(&w);
	serve(&w, "127.0.0.1:0", NULL);
	struct rpc_channel *ch = dial(&w, "127.0.0.1", NULL, NULL);
	struct rpc_call *c = call(&w, ch, "/t.T/Flood");
	rpc_call_pause(c);
	rpc_call_send(c, STR("go"));
	until(&w, w.closed == 1);
	cr_assert_eq(w.messages, 8);
	rpc_call_resume(c);
	until(&w, w.c_closed == 1);
	cr_assert_neq(w.status, RPC_OK);
	rpc_channel_close(ch);
	world_free(&w);
}

Test(grpc, a_paused_client_gets_everything_later, .timeout = 120)
{
	struct world w;
	world_new(&w);
	serve(&w, "127.0.0.1:0", NULL);
	struct rpc_channel *ch = dial(&w, "127.0.0.1", NULL, NULL);
	struct rpc_call *c = call(&w, ch, "/t.T/Echo");
	rpc_call_pause(c);
	for (int i = 0; i < 100; i++)
		rpc_call_send(c, STR("0123456789"));
	rpc_call_half_close(c);
	until(&w, w.closed == 1);
	for (int i = 0; i < 20; i++)
		loop_turn(w.loop, 2);
	cr_assert_eq(w.c_messages, 0);
	cr_assert_eq(w.c_closed, 0);
	rpc_call_resume(c);
	until(&w, w.c_closed == 1);
	cr_assert_eq(w.c_messages, 100);
	cr_assert_eq(w.status, RPC_OK);
	rpc_channel_close(ch);
	world_free(&w);
}

Test(grpc, calls_can_be_cancelled_from_both_sides, .timeout = 120)
{
	struct world w;
	world_new(&w);
	serve(&w, "127.0.0.1:0", NULL);
	struct rpc_channel *ch = dial(&w, "127.0.0.1", NULL, NULL);
	struct rpc_call *c = call(&w, ch, "/t.T/Echo");
	rpc_call_send(c, STR("x"));
	until(&w, w.c_messages == 1);
	rpc_call_free(c);
	until(&w, w.closed == 1);
	cr_assert_eq(w.cancelled, 1);
	cr_assert_eq(w.c_closed, 0);

	c = call(&w, ch, "/t.T/Echo");
	rpc_call_send(c, STR("x"));
	until(&w, w.c_messages == 2);
	rpc_stream_end(w.last, RPC_ABORTED, "a newer one came");
	until(&w, w.c_closed == 1 && w.closed == 2);
	cr_assert_eq(w.status, RPC_ABORTED);
	cr_assert_str_eq(buf_cstr(&w.text), "a newer one came");
	cr_assert(rpc_channel_connected(ch));
	rpc_channel_close(ch);
	world_free(&w);
}

static void on_stopped(void *arg)
{
	((struct world *)arg)->stopped = true;
}

Test(grpc, a_stopped_server_is_noticed_and_a_new_one_is_found, .timeout = 120)
{
	struct world w;
	world_new(&w);
	serve(&w, "127.0.0.1:0", NULL);
	struct buf a = { 0 };
	buf_addf(&a, "127.0.0.1:%u", (unsigned)rpc_server_port(w.server));
	struct rpc_channel *ch = dial(&w, "127.0.0.1", NULL, NULL);
	struct rpc_call *c = call(&w, ch, "/t.T/Echo");
	rpc_call_send(c, STR("x"));
	until(&w, w.c_messages == 1);
	rpc_server_stop(w.server, 20, on_stopped, &w);
	until(&w, w.stopped && w.c_closed == 1 && w.closed == 1);
	cr_assert_neq(w.status, RPC_OK);
	w.server = rpc_server_free(w.server);
	until(&w, w.c_lost == 1);
	cr_assert_null(call(&w, ch, "/t.T/Echo"));
	rpc_channel_close(ch);

	serve(&w, buf_cstr(&a), NULL);
	ch = dial(&w, "127.0.0.1", NULL, NULL);
	c = call(&w, ch, "/t.T/Echo");
	rpc_call_send(c, STR("x"));
	until(&w, w.c_messages == 2);
	rpc_channel_close(ch);
	buf_fini(&a);
	world_free(&w);
}

Test(grpc, connections_that_cannot_be_are_reported, .timeout = 120)
{
	struct world w;
	struct error err = { 0 };
	world_new(&w);
	struct rpc_channel *ch = NULL;
	static const char *const wrong[] = { "",           "host",   "host:",   ":80", "host:0",
					     "host:65536", "::1:80", "[::1:80", "h:1x" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct rpc_channel_options o = { .address = wrong[i], .lost = c_lost, .arg = &w };
		cr_expect_eq(rpc_channel_open(w.loop, &o, &ch, &err), ERR_INVALID, "%s", wrong[i]);
	}
	/* A listener that never speaks: the time for connecting runs out. */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	cr_assert(bind(fd, (struct sockaddr *)&sa, len) == 0 && listen(fd, 1) == 0 &&
		  getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	struct buf a = { 0 };
	buf_addf(&a, "127.0.0.1:%u", ntohs(sa.sin_port));
	struct rpc_channel_options o = {
		.address = buf_cstr(&a), .connect_timeout_ms = 50, .lost = c_lost, .arg = &w
	};
	cr_assert_eq(rpc_channel_open(w.loop, &o, &ch, &err), 0);
	until(&w, w.c_lost == 1);
	cr_assert_eq(w.lost_code, ERR_TIMEOUT);
	rpc_channel_close(ch);
	close(fd);
	/* The port is free now: refused. */
	cr_assert_eq(rpc_channel_open(w.loop, &o, &ch, &err), 0);
	until(&w, w.c_lost == 2);
	cr_assert_eq(w.lost_code, ERR_UNAVAILABLE);
	rpc_channel_close(ch);
	/* An address that is nobody's cannot be listened on, and missing files are named. */
	const struct rpc_method m = { "/t.T/Echo", s_open, s_echo, s_half, NULL, s_closed, &w };
	cr_assert_eq(rpc_server_new(w.loop, "203.0.113.1:1", NULL, &m, 1, NULL, &w.server, &err),
		     ERR_UNAVAILABLE);
	struct rpc_server_tls none = { "/nonexistent/ca", "/nonexistent/crt", "/nonexistent/key" };
	cr_assert_eq(rpc_server_new(w.loop, "127.0.0.1:0", &none, &m, 1, NULL, &w.server, &err),
		     ERR_NOT_FOUND);
	buf_fini(&a);
	w.server = NULL;
	world_free(&w);
}
