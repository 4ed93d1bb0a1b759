#include "grpc/server.h"

#include "base/mem.h"
#include "grpc/server_priv.h"
#include "sys/file.h"

#include <grpc/support/log.h>
#include <grpc/support/time.h>

#include <assert.h>

enum { SLOTS = 64, PEM_BYTES_MAX = 1 << 20 };

/* ------------------------------------------------------------------ reports: thread → loop */

static void inbox_unref(struct rpc_inbox *in)
{
	pthread_mutex_lock(&in->lock);
	unsigned left = --in->refs;
	pthread_mutex_unlock(&in->lock);
	if (left)
		return;
	pthread_cond_destroy(&in->arrived);
	pthread_mutex_destroy(&in->lock);
	mem_free(in);
}

/* Runs all reports that are there; returns whether more can come. */
static bool inbox_run(struct rpc_inbox *in)
{
	pthread_mutex_lock(&in->lock);
	struct rpc_tag *t = in->head;
	in->head = NULL;
	in->tail = &in->head;
	bool more = !in->ended;
	pthread_mutex_unlock(&in->lock);
	while (t) {
		struct rpc_tag *next = t->next;
		t->fn(t, t->ok);
		t = next;
	}
	return more;
}

static void inbox_wake(void *arg)
{
	struct rpc_inbox *in = arg;
	pthread_mutex_lock(&in->lock);
	in->woken = false;
	pthread_mutex_unlock(&in->lock);
	if (in->server)
		(void)inbox_run(in);
	inbox_unref(in);
}

static void *queue_thread(void *arg)
{
	struct rpc_server *s = arg;
	struct rpc_inbox *in = s->inbox;
	for (;;) {
		grpc_event e = grpc_completion_queue_next(
			s->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		bool wake = false;
		pthread_mutex_lock(&in->lock);
		if (e.type == GRPC_QUEUE_SHUTDOWN) {
			in->ended = true;
		} else if (e.type == GRPC_OP_COMPLETE) {
			struct rpc_tag *t = e.tag;
			t->ok = e.success != 0;
			t->next = NULL;
			*in->tail = t;
			in->tail = &t->next;
			wake = !in->woken;
			in->woken = true;
			in->refs += wake ? 1 : 0;
		}
		pthread_cond_signal(&in->arrived);
		pthread_mutex_unlock(&in->lock);
		if (wake)
			loop_post(s->loop, inbox_wake, in);
		if (e.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
	}
}

/* --------------------------------------------------------------------------- certificates */

static int pem_read(const char *path, struct buf *out, struct error *err)
{
	int rc = file_read(path, PEM_BYTES_MAX, out, err);
	if (rc)
		return rc;
	(void)buf_cstr(out);
	if (str_find_str(buf_str(out), STR("-----BEGIN "), 0) < 0)
		return error_set(err, ERR_INVALID, "%s: no PEM block", path);
	return 0;
}

static int certs_read(struct rpc_certs *c, struct error *err)
{
	struct buf ca = { 0 }, cert = { 0 }, key = { 0 };
	int rc = pem_read(c->ca_file, &ca, err);
	if (!rc)
		rc = pem_read(c->cert_file, &cert, err);
	if (!rc)
		rc = pem_read(c->key_file, &key, err);
	if (!rc) {
		pthread_mutex_lock(&c->lock);
		struct buf old_ca = c->ca, old_cert = c->cert, old_key = c->key;
		c->ca = ca;
		c->cert = cert;
		c->key = key;
		c->fresh = true;
		pthread_mutex_unlock(&c->lock);
		ca = old_ca;
		cert = old_cert;
		key = old_key;
	}
	if (key.p)
		explicit_bzero(key.p, key.cap);
	buf_fini(&ca);
	buf_fini(&cert);
	buf_fini(&key);
	return rc;
}

/* Asked by the core at every handshake, on its own threads. */
static grpc_ssl_certificate_config_reload_status certs_fetch(
	void *arg, grpc_ssl_server_certificate_config **config)
{
	struct rpc_certs *c = arg;
	grpc_ssl_certificate_config_reload_status status =
		GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
	pthread_mutex_lock(&c->lock);
	if (c->fresh) {
		grpc_ssl_pem_key_cert_pair pair = { .private_key = c->key.p,
						    .cert_chain = c->cert.p };
		*config = grpc_ssl_server_certificate_config_create(c->ca.p, &pair, 1);
		status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
		c->fresh = false;
	}
	pthread_mutex_unlock(&c->lock);
	return status;
}

static void certs_fini(struct rpc_certs *c)
{
	if (c->key.p)
		explicit_bzero(c->key.p, c->key.cap);
	buf_fini(&c->ca);
	buf_fini(&c->cert);
	buf_fini(&c->key);
	mem_free(c->ca_file);
	mem_free(c->cert_file);
	mem_free(c->key_file);
	pthread_mutex_destroy(&c->lock);
}

static int credentials(struct rpc_server *s, const struct rpc_server_tls *tls,
		       grpc_server_credentials **ret, struct error *err)
{
	if (!tls) {
		*ret = grpc_insecure_server_credentials_create();
		return 0;
	}
	s->certs.ca_file = mem_strdup(tls->ca_file);
	s->certs.cert_file = mem_strdup(tls->cert_file);
	s->certs.key_file = mem_strdup(tls->key_file);
	int rc = certs_read(&s->certs, err);
	if (rc)
		return rc;
	grpc_ssl_server_credentials_options *o =
		grpc_ssl_server_credentials_create_options_using_config_fetcher(
			GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, certs_fetch,
			&s->certs);
	*ret = o ? grpc_ssl_server_credentials_create_with_options(o) : NULL;
	if (!*ret)
		return error_set(err, ERR_INVALID, "%s: certificate or key is not usable",
				 tls->cert_file);
	return 0;
}

/* --------------------------------------------------------------------------------- server */

/* The core writes free text to stderr, where our lines are JSON; errors reach us as statuses. */
static void core_log(gpr_log_func_args *args)
{
	(void)args;
}

static grpc_arg int_arg(const char *key, uint32_t v)
{
	union {
		const char *in;
		char *out;
	} u = { .in = key };
	return (grpc_arg){ .type = GRPC_ARG_INTEGER,
			   .key = u.out,
			   .value.integer = v > INT32_MAX ? INT32_MAX : (int)v };
}

static grpc_server *core_new(const struct rpc_server_limits *lim)
{
	grpc_arg a[] = {
		int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, lim->keepalive_ms),
		int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, lim->keepalive_timeout_ms),
		int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
		int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
		int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
			lim->ping_interval_min_ms),
		int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, lim->message_bytes_max),
		int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, lim->streams_per_peer_max),
		int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
		int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
		int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0),
	};
	grpc_channel_args args = { sizeof(a) / sizeof(a[0]), a };
	return grpc_server_create(&args, NULL);
}

static struct rpc_inbox *inbox_new(struct rpc_server *s)
{
	struct rpc_inbox *in = mem_new(struct rpc_inbox, 1);
	pthread_mutex_init(&in->lock, NULL);
	pthread_cond_init(&in->arrived, NULL);
	in->tail = &in->head;
	in->server = s;
	in->refs = 1;
	return in;
}

static void on_stopped(struct rpc_tag *t, bool ok)
{
	(void)ok;
	struct rpc_server *s = container_of(t, struct rpc_server, stop_tag);
	s->stopped = true;
	rpc_server_settle(s);
}

static void on_grace(struct loop_timer *t)
{
	struct rpc_server *s = container_of(t, struct rpc_server, grace);
	grpc_server_cancel_all_calls(s->core);
}

/* Listens and starts; the thread runs afterwards. */
static int server_listen(struct rpc_server *s, const char *address, grpc_server_credentials *cred,
			 struct error *err)
{
	grpc_server_register_completion_queue(s->core, s->cq, NULL);
	int port = grpc_server_add_http2_port(s->core, address, cred);
	if (port <= 0 || port > UINT16_MAX)
		return error_set(err, ERR_UNAVAILABLE, "cannot listen on %s", address);
	s->port = (uint16_t)port;
	grpc_server_start(s->core);
	for (unsigned i = 0; i < SLOTS; i++)
		rpc_stream_accept(s);
	return 0;
}

int rpc_server_new(struct loop *l, const char *address, const struct rpc_server_tls *tls,
		   const struct rpc_method *methods, size_t n,
		   const struct rpc_server_limits *limits, struct rpc_server **ret,
		   struct error *err)
{
	assert(n > 0 && n <= RPC_METHODS_MAX);
	struct rpc_server *s = mem_new(struct rpc_server, 1);
	s->loop = l;
	s->limits = limits ? *limits : RPC_SERVER_LIMITS;
	memcpy(s->methods, methods, n * sizeof(*methods));
	s->methods_len = n;
	list_init(&s->streams);
	s->stop_tag.fn = on_stopped;
	s->grace.fn = on_grace;
	pthread_mutex_init(&s->certs.lock, NULL);

	gpr_set_log_function(core_log);
	grpc_init();
	s->inbox = inbox_new(s);
	s->cq = grpc_completion_queue_create_for_next(NULL);
	s->core = core_new(&s->limits);
	if (pthread_create(&s->thread, NULL, queue_thread, s) != 0)
		mem_abort();
	grpc_server_credentials *cred = NULL;
	int rc = credentials(s, tls, &cred, err);
	if (!rc)
		rc = server_listen(s, address, cred, err);
	if (cred)
		grpc_server_credentials_release(cred);
	if (rc) {
		rpc_server_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

uint16_t rpc_server_port(const struct rpc_server *s)
{
	return s->port;
}

int rpc_server_reload(struct rpc_server *s, struct error *err)
{
	return s->certs.ca_file ? certs_read(&s->certs, err) : 0;
}

void rpc_server_settle(struct rpc_server *s)
{
	if (!s->stopped || s->slots || !s->done)
		return;
	void (*done)(void *) = s->done;
	s->done = NULL;
	done(s->done_arg);
}

void rpc_server_stop(struct rpc_server *s, uint32_t grace_ms, void (*done)(void *arg), void *arg)
{
	s->done = done;
	s->done_arg = arg;
	if (s->stopping) {
		rpc_server_settle(s);
		return;
	}
	s->stopping = true;
	grpc_server_shutdown_and_notify(s->core, s->cq, &s->stop_tag);
	loop_timer_set(s->loop, &s->grace, grace_ms);
}

/* Waits for reports and runs them until the queue has ended. */
static void server_drain(struct rpc_server *s)
{
	struct rpc_inbox *in = s->inbox;
	bool shut = false;
	for (;;) {
		bool more = inbox_run(in);
		if (s->stopped && s->slots == 0 && !shut) {
			grpc_server_destroy(s->core);
			grpc_completion_queue_shutdown(s->cq);
			shut = true;
		}
		if (!more)
			return;
		pthread_mutex_lock(&in->lock);
		while (!in->head && !in->ended)
			pthread_cond_wait(&in->arrived, &in->lock);
		pthread_mutex_unlock(&in->lock);
	}
}

struct rpc_server *rpc_server_free(struct rpc_server *s)
{
	if (!s)
		return NULL;
	s->done = NULL;
	if (!s->stopping) {
		s->stopping = true;
		grpc_server_shutdown_and_notify(s->core, s->cq, &s->stop_tag);
	}
	grpc_server_cancel_all_calls(s->core);
	server_drain(s);
	pthread_join(s->thread, NULL);
	loop_timer_stop(&s->grace);
	grpc_completion_queue_destroy(s->cq);
	s->inbox->server = NULL;
	inbox_unref(s->inbox);
	grpc_shutdown_blocking();
	certs_fini(&s->certs);
	mem_free(s);
	return NULL;
}
