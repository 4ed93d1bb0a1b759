/*
 * fetch - HTTP requests to others (webhooks, Kubernetes APIs, our own APIs from
 * controllers and rctl) on a struct loop, over libcurl's multi interface: h1, h2
 * with many requests on one connection, TLS, client certificates.
 *
 * The only module that includes libcurl.  One struct fetch a loop; all calls on
 * its thread.  No redirects are followed, no proxy is taken from the
 * environment unless asked for, no cookies; TLS >= 1.2 and verified, always.
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch;
struct fetch_call;

struct fetch *fetch_new(struct loop *l);
struct fetch *fetch_free(struct fetch *c); /* cancels what is under way, without callbacks */

/* Where to and as whom; shared by many requests; strings copied by fetch_send. */
struct fetch_identity {
	const char *ca_pem;             /* trusted certificates, PEM text; NULL = the system's */
	const char *cert_pem, *key_pem; /* client certificate, or NULL */
	const char *bearer_token;       /* or NULL; never logged */
	bool insecure_skip_verify;      /* kubeconfig's insecure-skip-tls-verify */
	const char *server_name;        /* tls-server-name, or NULL */
};

struct fetch_header {
	const char *name, *value;
};

struct fetch_request {
	const char *method;                    /* GET … */
	const char *url;                       /* https://host:port/path?query */
	const struct fetch_identity *identity; /* must outlive the call */
	const struct fetch_header *headers;
	size_t headers_len;
	struct str body;        /* copied; p NULL = none */
	uint64_t timeout_ms;    /* whole request; 0 = none (streams) */
	uint64_t idle_ms;       /* nothing received for so long = ERR_TIMEOUT; 0 = none */
	uint64_t connect_ms;    /* 0 = 10 s */
	size_t reply_bytes_max; /* buffered replies; 0 = 64 MiB; over it ERR_TOO_LARGE */
	/*
	 * Outbound guard for targets that users name: refuses addresses that are
	 * loopback, private, link-local or metadata services unless allow_private.
	 * The checked address is the one connected to.
	 */
	bool guard, allow_private;
	/* A stream: called with each piece as it arrives (status is known then); the reply is not buffered. */
	void (*on_data)(void *arg, int status, struct str data);
	/*
	 * The end, once, never from within fetch_send: status 0 and err filled when
	 * no answer came (ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_UNAUTHORIZED for a bad
	 * certificate of the server, ERR_FORBIDDEN by the guard); err is NULL otherwise.  `reply` is lent.
	 */
	void (*on_done)(void *arg, int status, struct str reply, const struct error *err);
	void *arg;
};

/* Also from within the callbacks of other calls. */
struct fetch_call *fetch_send(struct fetch *c, const struct fetch_request *r);
void fetch_cancel(struct fetch_call *call); /* no callback after it; not after on_done */

/* A stream's pieces stop coming until it is resumed; what is under way may still come. */
void fetch_pause(struct fetch_call *call);
void fetch_resume(struct fetch_call *call);

/* Value of a response header of a call inside its callbacks; "" when absent. */
struct str fetch_reply_header(const struct fetch_call *call, const char *name);
/* The i-th of several headers with that name; "" behind the last. */
struct str fetch_reply_header_at(const struct fetch_call *call, const char *name, size_t i);

#endif
