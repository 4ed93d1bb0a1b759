/*
 * Leader election by a Lease (KEP-589; the rules of client-go's leaderelection): a lease is expired when its record did not
 * change for its duration by OUR monotonic clock, so clocks need not agree.  leaseTransitions is the fencing token;
 * every takeover raises it, also one of our own former lease.
 */
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "ctl/ctl_priv.h"
#include "json/json.h"
#include "sys/clock.h"
#include "text/rfc3339.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LEASE_MS = 15000, RENEW_MS = 10000, RETRY_MS = 2000 };

struct lease {
	struct ctl *ctl;
	struct client_call *call;
	struct loop_timer timer;
	char *collection, *path;
	bool held, releasing;
	int64_t token;
	uint64_t renewed_ms; /* start of the last request that renewed it */
	uint64_t sent_ms;
	/* the record as last seen */
	char version[32]; /* resourceVersion; "" = none */
	uint64_t seen_ms; /* when this version was first seen */
	uint64_t duration_ms;
	int64_t transitions;
	bool ours, free;
	void (*released)(void *arg);
	void *released_arg;
};

static void attempt(struct lease *l);

static uint64_t or_default(uint64_t v, uint64_t d)
{
	return v ? v : d;
}

static void on_timer(struct loop_timer *t)
{
	attempt(container_of(t, struct lease, timer));
}

struct lease *lease_new(struct ctl *c)
{
	struct lease *l = mem_new(struct lease, 1);
	l->ctl = c;
	struct buf b = { 0 };
	buf_addf(&b, "/apis/coordination.k8s.io/v1/namespaces/%s/leases", c->cfg.lease_ns);
	l->collection = mem_strdup(buf_cstr(&b));
	buf_addf(&b, "/%s", c->cfg.name);
	l->path = mem_strdup(buf_cstr(&b));
	buf_fini(&b);
	l->timer.fn = on_timer;
	return l;
}

struct lease *lease_free(struct lease *l)
{
	if (!l)
		return NULL;
	client_cancel(l->call);
	loop_timer_stop(&l->timer);
	mem_free(l->collection);
	mem_free(l->path);
	mem_free(l);
	return NULL;
}

bool lease_held(const struct lease *l)
{
	return l->held && !l->releasing;
}

void lease_start(struct lease *l)
{
	loop_timer_set(l->ctl->cfg.loop, &l->timer, 0);
}

static uint64_t now(const struct lease *l)
{
	return loop_now_ms(l->ctl->cfg.loop);
}

static void again(struct lease *l)
{
	uint64_t retry = or_default(l->ctl->cfg.retry_ms, RETRY_MS);
	/* up to a fifth of jitter keeps candidates apart */
	loop_timer_set(l->ctl->cfg.loop, &l->timer, retry + clock_random_u64() % (retry / 5 + 1));
}

/* ---- the record ---- */

static void remember(struct lease *l, struct str body)
{
	struct arena a = { 0 };
	struct json j;
	if (json_parse(&a, body, NULL, &j, NULL) == 0) {
		const struct json *spec = json_getc(&j, "spec");
		struct str version = json_str(json_dig(&j, "metadata", "resourceVersion", NULL));
		struct str holder = json_str(json_getc(spec, "holderIdentity"));
		if (!str_is(version, l->version)) {
			(void)snprintf(l->version, sizeof(l->version), "%.*s", STR_ARG(version));
			l->seen_ms = now(l);
		}
		l->transitions = json_i64(json_getc(spec, "leaseTransitions"), 0);
		l->duration_ms =
			(uint64_t)json_i64(json_getc(spec, "leaseDurationSeconds"), 15) * 1000;
		l->ours = str_is(holder, l->ctl->identity);
		l->free = holder.len == 0;
	}
	arena_fini(&a);
}

static void write_record(const struct lease *l, struct buf *out, int64_t transitions,
			 const char *holder)
{
	const struct ctl_config *cfg = &l->ctl->cfg;
	struct buf t = { 0 };
	rfc3339_write_us(&t, clock_unix_ns() / 1000);
	buf_addf(out,
		 "{\"apiVersion\":\"coordination.k8s.io/"
		 "v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"",
		 cfg->name, cfg->lease_ns);
	if (l->version[0])
		buf_addf(out, ",\"resourceVersion\":\"%s\"", l->version);
	buf_adds(out, "},\"spec\":{\"holderIdentity\":");
	json_write_str(out, str_of(holder));
	buf_addf(out,
		 ",\"leaseDurationSeconds\":%" PRIu64
		 ",\"acquireTime\":\"%s\",\"renewTime\":\"%s\",\"leaseTransitions\":%" PRId64 "}}",
		 or_default(cfg->lease_ms, LEASE_MS) / 1000, buf_cstr(&t), buf_cstr(&t),
		 transitions);
	buf_fini(&t);
}

/* ---- becoming and ceasing to be the leader ---- */

static void won(struct lease *l)
{
	l->renewed_ms = l->sent_ms;
	if (l->held)
		return;
	l->held = true;
	l->token = l->transitions;
	struct buf fence = { 0 };
	buf_addf(&fence, "%s/%s/%" PRId64, l->ctl->cfg.lease_ns, l->ctl->cfg.name, l->token);
	client_set_fence(l->ctl->cfg.client, buf_cstr(&fence));
	buf_fini(&fence);
	log_info("leading", "lease", LOG_S(l->ctl->cfg.name), "token", LOG_I(l->token), NULL);
	if (l->ctl->cfg.on_leading)
		l->ctl->cfg.on_leading(l->ctl->cfg.arg, l->token);
	ctl_update(l->ctl);
}

static void lost(struct lease *l, const struct error *err)
{
	l->held = false;
	l->ctl->running = false;
	loop_timer_stop(&l->timer);
	if (l->ctl->cfg.on_lost)
		l->ctl->cfg.on_lost(l->ctl->cfg.arg, err);
}

/* The lease could not be renewed now: tolerated until the renew deadline. */
static bool past_deadline(const struct lease *l)
{
	return l->held && now(l) - l->renewed_ms > or_default(l->ctl->cfg.renew_ms, RENEW_MS);
}

static void on_written(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct lease *l = arg;
	l->call = NULL;
	if (!err) {
		remember(l, body);
		won(l);
	} else if (l->held && (err->code == ERR_CONFLICT || past_deadline(l))) {
		struct error e = *err;
		(void)error_wrap(&e, "lease %s was not renewed", l->ctl->cfg.name);
		if (err->code != ERR_CONFLICT) {
			lost(l, &e);
			return;
		}
	}
	again(l);
}

static void put(struct lease *l, int64_t transitions, const char *holder, client_done_fn done)
{
	struct buf body = { 0 };
	write_record(l, &body, transitions, holder);
	bool create = !l->version[0];
	l->sent_ms = now(l);
	l->call = client_send(l->ctl->cfg.client, &(struct client_request){
							  .method = create ? "POST" : "PUT",
							  .path = create ? l->collection : l->path,
							  .body = buf_str(&body),
							  .timeout_ms = 5000,
							  .done = done,
							  .arg = l,
						  });
	buf_fini(&body);
}

static void on_read(void *arg, int status, struct str body, const struct error *err)
{
	struct lease *l = arg;
	l->call = NULL;
	if (err && status != 404) {
		if (past_deadline(l)) {
			lost(l, err);
			return;
		}
		again(l);
		return;
	}
	if (status == 404) {
		l->version[0] = '\0';
		put(l, l->held ? l->transitions : l->transitions + 1, l->ctl->identity, on_written);
		return;
	}
	remember(l, body);
	if (l->held && (!l->ours || l->transitions != l->token)) {
		struct error e = { 0 };
		(void)error_set(&e, ERR_CONFLICT, "lease %s was taken over by another process",
				l->ctl->cfg.name);
		lost(l, &e);
	} else if (l->held) {
		put(l, l->transitions, l->ctl->identity, on_written);
	} else if (l->ours || l->free || now(l) - l->seen_ms > l->duration_ms) {
		put(l, l->transitions + 1, l->ctl->identity, on_written);
	} else {
		again(l);
	}
}

static void attempt(struct lease *l)
{
	if (l->releasing)
		return;
	l->call = client_send(l->ctl->cfg.client, &(struct client_request){ .method = "GET",
									    .path = l->path,
									    .timeout_ms = 5000,
									    .done = on_read,
									    .arg = l });
}

static void on_released(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	(void)body;
	(void)err; /* it expires by itself */
	struct lease *l = arg;
	l->call = NULL;
	l->held = false;
	l->released(l->released_arg);
}

static void release_nothing(void *arg)
{
	struct lease *l = arg;
	l->released(l->released_arg);
}

void lease_release(struct lease *l, void (*done)(void *arg), void *arg)
{
	loop_timer_stop(&l->timer);
	client_cancel(l->call);
	l->call = NULL;
	l->releasing = true;
	l->released = done;
	l->released_arg = arg;
	if (l->held)
		put(l, l->transitions, "", on_released);
	else
		loop_post(l->ctl->cfg.loop, release_nothing, l);
}
