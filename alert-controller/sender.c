/*
 * Posts to receivers.  Addresses are named by users: the guard of fetch refuses private ones unless they are
 * allowed, no redirect is followed, and of the answer nothing but its status is looked at.
 */
#include "base/log.h"
#include "base/mem.h"
#include "engine_priv.h"
#include "sign.h"
#include "sys/clock.h"
#include "text/base64.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

/* In this order: what is signed is the body that is sent. */
enum { SECRET_TOKEN, SECRET_HEADERS, SECRET_KEY, SECRET_SIGNING, SECRETS };
enum { HEADERS_MAX = 24, SECRET_TIMEOUT_MS = 5000, HEADER_BYTES_MAX = 8192 };

/* One attempt. */
struct post {
	struct engine *engine;
	struct list link;
	struct arena arena;
	struct str receiver, idem, payload;
	char *url;
	int64_t timeout_ms;
	struct str secret_path[SECRETS]; /* "" = none, or read */
	struct str token_member, sign_member, key_member, key;
	enum format format;
	struct fetch_identity identity;
	struct fetch_header headers[HEADERS_MAX];
	size_t headers_len;
	struct client_call *secret_call;
	struct fetch_call *call;
};

static void post_free(struct post *p)
{
	list_del(&p->link);
	p->engine->posts_len--;
	arena_fini(&p->arena);
	mem_free(p);
}

/* ---- the end ---- */

static void note(struct engine *e, const struct post *p, const struct core_sent *s,
		 enum delivery_fate fate)
{
	metric_add(fate == DELIVERY_DONE    ? e->m_done
		   : fate == DELIVERY_RETRY ? e->m_retry
					    : e->m_dead,
		   1);
	if (fate == DELIVERY_DONE)
		log_info("notified", "receiver", LOG_STR(p->receiver), "key", LOG_STR(p->idem),
			 NULL);
	else
		log_event(fate == DELIVERY_DEAD ? LOG_ERROR : LOG_WARN,
			  fate == DELIVERY_DEAD ? "notification-given-up" : "notification-failed",
			  "receiver", LOG_STR(p->receiver), "key", LOG_STR(p->idem), "status",
			  LOG_I(s->status), "error", LOG_STR(s->problem), NULL);
	struct receiver_entry *r = map_get(&e->receivers, p->receiver);
	if (!r)
		return;
	r->told = true;
	r->failing = fate != DELIVERY_DONE;
	*(r->failing ? &r->failure_ms : &r->success_ms) = engine_now();
	(void)snprintf(r->problem, sizeof(r->problem), "%.*s", STR_ARG(s->problem));
	status_receiver(e, p->receiver);
}

static void finish(struct post *p, const struct core_sent *s)
{
	struct engine *e = p->engine;
	enum delivery_fate fate = DELIVERY_DONE;
	if (e->core)
		fate = core_sent(e->core, p->idem, s, engine_now(), clock_random_u64());
	note(e, p, s, e->core ? fate : s->status / 100 == 2 ? DELIVERY_DONE : DELIVERY_RETRY);
	post_free(p);
	engine_pump(e);
}

/* The message without the address, which may hold a secret. */
static struct str without_url(const struct post *p, const struct error *err)
{
	struct str s = str_of(err->msg);
	if (!str_starts(s, str_of(p->url)))
		return s;
	s = str_sub(s, strlen(p->url), s.len);
	return str_starts(s, STR(": ")) ? str_sub(s, 2, s.len) : s;
}

static void on_data(void *arg, int status, struct str data)
{
	(void)arg;
	(void)status;
	(void)data; /* receivers may say what they like */
}

static void on_done(void *arg, int status, struct str reply, const struct error *err)
{
	(void)reply;
	struct post *p = arg;
	struct core_sent s = { .status = status };
	int64_t seconds = 0;
	if (!err && str_to_i64(fetch_reply_header(p->call, "retry-after"), &seconds) &&
	    seconds > 0 && seconds < 86400)
		s.retry_after_ms = seconds * 1000;
	if (err) {
		s.problem = without_url(p, err);
		s.hopeless = err->code == ERR_FORBIDDEN || err->code == ERR_BAD_REQUEST;
	} else if (status / 100 != 2) {
		s.problem = arena_strf(&p->arena, "the receiver answered %d", status);
	}
	finish(p, &s);
}

/* ---- posting ---- */

static void header(struct post *p, const char *name, const char *value)
{
	if (p->headers_len < HEADERS_MAX)
		p->headers[p->headers_len++] = (struct fetch_header){ name, value };
}

static void send(struct post *p)
{
	const struct fetch_request r = {
		.method = "POST",
		.url = p->url,
		.identity = &p->identity,
		.headers = p->headers,
		.headers_len = p->headers_len,
		.body = p->payload,
		.timeout_ms = (uint64_t)p->timeout_ms,
		.guard = true,
		.allow_private = p->engine->cfg.allow_private,
		.on_data = on_data,
		.on_done = on_done,
		.arg = p,
	};
	p->call = fetch_send(p->engine->cfg.fetch, &r);
}

static bool is_header_name(struct str s)
{
	static const char *const ours[] = { "content-type",      "content-length",
					    "idempotency-key",   "host",
					    "webhook-id",        "webhook-timestamp",
					    "webhook-signature", "transfer-encoding" };
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (str_eq_nocase(s, str_of(ours[i])))
			return false;
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return s.len > 0;
}

/* A member of a Secret as a header's value: one line of visible text; NULL when it is not. */
static char *secret_value(struct post *p, const struct json *data, struct str member)
{
	struct buf b = { 0 };
	char *value = NULL;
	struct str text = json_str(json_get(data, member));
	if (text.p && base64_read(&b, text)) {
		struct str s = str_trim(buf_str(&b));
		bool fine = s.len > 0 && s.len <= HEADER_BYTES_MAX;
		for (size_t i = 0; i < s.len; i++)
			fine = fine && (unsigned char)s.p[i] >= ' ' && s.p[i] != 127;
		if (fine)
			value = arena_printf(&p->arena, "%.*s", STR_ARG(s));
	}
	buf_fini(&b);
	return value;
}

static void next_secret(struct post *p);

static const char *use_headers(struct post *p, const struct json *data)
{
	for (size_t i = 0; json_is(data, JSON_OBJECT) && i < json_len(data); i++) {
		struct str name = json_str(&data->members[i].key);
		char *value = secret_value(p, data, name);
		if (!is_header_name(name) || !value)
			return "a member of the Secret cannot be a header";
		header(p, arena_printf(&p->arena, "%.*s", STR_ARG(name)), value);
	}
	return NULL;
}

/* Each attempt has a time of its own, by which a receiver refuses old ones. */
static const char *use_signing(struct post *p, const struct json *data)
{
	struct error err;
	struct buf value = { 0 };
	const char *secret = secret_value(p, data, p->sign_member);
	const struct sign_message m = { p->idem, p->payload, engine_now() / 1000 };
	if (!secret)
		return "the Secret has no such signing key";
	if (sign_message(str_of(secret), &m, &value, &err))
		return arena_printf(&p->arena, "the signing key: %s", err.msg);
	header(p, "webhook-id", p->idem.p);
	header(p, "webhook-timestamp", arena_printf(&p->arena, "%" PRId64, m.seconds));
	header(p, "webhook-signature", arena_strdup(&p->arena, buf_cstr(&value)));
	buf_fini(&value);
	return NULL;
}

static const char *use_key(struct post *p, const struct json *data)
{
	const char *key = secret_value(p, data, p->key_member);
	if (!key)
		return "the Secret has no such key";
	p->key = str_of(key);
	return NULL;
}

/* The notification as the receiver wants it. */
static const char *shape(struct post *p)
{
	const struct format_env env = { str_of(p->engine->cfg.cluster), p->key };
	struct buf body = { 0 };
	struct error err;
	if (p->format == FORMAT_WEBHOOK)
		return NULL;
	int rc = format_write(p->format, &env, p->payload, &body, &err);
	if (rc == 0)
		p->payload = arena_str(&p->arena, buf_str(&body));
	buf_fini(&body);
	p->format = FORMAT_WEBHOOK; /* done */
	return rc ? arena_strdup(&p->arena, err.msg) : NULL;
}

static size_t secret_due(const struct post *p)
{
	size_t i = 0;
	while (i < SECRETS && !p->secret_path[i].len)
		i++;
	return i;
}

static const char *use_secret(struct post *p, const struct json *data)
{
	size_t which = secret_due(p);
	if (which == SECRETS)
		return NULL;
	p->secret_path[which].len = 0;
	if (which == SECRET_HEADERS)
		return use_headers(p, data);
	if (which == SECRET_KEY)
		return use_key(p, data);
	if (which == SECRET_SIGNING) {
		const char *problem = shape(p);
		return problem ? problem : use_signing(p, data);
	}
	p->identity.bearer_token = secret_value(p, data, p->token_member);
	return p->identity.bearer_token ? NULL : "the Secret has no such token";
}

static void on_secret(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct post *p = arg;
	p->secret_call = NULL;
	struct arena a = { 0 };
	struct json j;
	const char *problem = err ? err->msg : NULL;
	if (!problem && json_parse(&a, body, NULL, &j, NULL))
		problem = "the Secret cannot be read";
	if (!problem)
		problem = use_secret(p, json_getc(&j, "data"));
	arena_fini(&a);
	if (problem) {
		const struct core_sent s = { .problem = str_of(problem) };
		finish(p, &s);
		return;
	}
	next_secret(p);
}

static void next_secret(struct post *p)
{
	size_t which = secret_due(p);
	if (which == SECRETS) {
		const char *problem = shape(p);
		const struct core_sent s = { .problem = str_of(problem), .hopeless = true };
		if (problem)
			finish(p, &s);
		else
			send(p);
		return;
	}
	p->secret_call = client_send(p->engine->cfg.client,
				     &(struct client_request){ .method = "GET",
							       .path = p->secret_path[which].p,
							       .timeout_ms = SECRET_TIMEOUT_MS,
							       .done = on_secret,
							       .arg = p });
}

static struct str secret_path(struct post *p, const struct receiver *r, struct str name)
{
	return name.len ? arena_strf(&p->arena, "/api/v1/namespaces/%.*s/secrets/%.*s",
				     STR_ARG(r->ns), STR_ARG(name))
			: STR("");
}

static void begin(struct engine *e, const struct core_send *s)
{
	struct post *p = mem_new(struct post, 1);
	struct arena *a = &p->arena;
	const struct receiver *r = s->receiver;
	p->engine = e;
	list_append(&e->posts, &p->link);
	e->posts_len++;
	p->receiver = arena_str(a, r->key);
	p->idem = arena_str(a, s->idem);
	p->payload = arena_str(a, s->payload);
	p->url = arena_strdup(a, r->url);
	p->timeout_ms = r->timeout_ms;
	p->identity.ca_pem = r->ca_pem ? arena_strdup(a, r->ca_pem) : NULL;
	p->token_member = arena_str(a, r->token_member);
	p->sign_member = arena_str(a, r->sign_member);
	p->key_member = arena_str(a, r->key_member);
	p->format = r->format;
	p->secret_path[SECRET_KEY] = secret_path(p, r, r->key_secret);
	p->secret_path[SECRET_TOKEN] = secret_path(p, r, r->token_secret);
	p->secret_path[SECRET_HEADERS] = secret_path(p, r, r->headers_secret);
	p->secret_path[SECRET_SIGNING] = secret_path(p, r, r->sign_secret);
	header(p, "Content-Type", "application/json");
	header(p, "User-Agent", "rctl-alerts/" RCTL_VERSION);
	header(p, "Idempotency-Key", p->idem.p);
	next_secret(p);
}

void sender_run(struct engine *e)
{
	struct core_send s;
	while (e->core && e->posts_len < CORE_SENDS_MAX &&
	       core_next_send(e->core, engine_now(), &s))
		begin(e, &s);
}

void sender_init(struct engine *e)
{
	list_init(&e->posts);
}

void sender_fini(struct engine *e)
{
	list_for_each(it, &e->posts)
	{
		struct post *p = list_entry(it, struct post, link);
		client_cancel(p->secret_call);
		if (p->call)
			fetch_cancel(p->call);
		post_free(p);
	}
}
