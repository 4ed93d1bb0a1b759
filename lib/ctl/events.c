/*
 * core/v1 Events: an event that repeats is counted on the object that is there; a burst beyond the budget of
 * an object is dropped (25, one back each 5 minutes, as in client-go's spam filter).
 */
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "ctl/ctl_priv.h"
#include "json/json.h"
#include "sys/clock.h"
#include "text/rfc3339.h"

#include <inttypes.h>
#include <stdarg.h>

enum { BURST = 25, REFILL_MS = 300000, KNOWN_MAX = 4096, IN_FLIGHT_MAX = 64 };

struct known {
	int64_t count;
	char name[300]; /* of the Event object */
	char ns[72];
};

struct budget {
	uint32_t used;
	uint64_t since_ms;
};

struct recorder {
	struct ctl *ctl;
	struct map known;   /* uid, reason, message → known */
	struct map budgets; /* uid → budget */
	unsigned in_flight;
};

struct recorder *recorder_new(struct ctl *c)
{
	struct recorder *r = mem_new(struct recorder, 1);
	r->ctl = c;
	map_init(&r->known, clock_random_u64());
	map_init(&r->budgets, clock_random_u64());
	return r;
}

static void empty(struct map *m)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(m, &pos, NULL, &v))
		mem_free(v);
	map_fini(m);
}

struct recorder *recorder_free(struct recorder *r)
{
	if (!r)
		return NULL;
	empty(&r->known);
	empty(&r->budgets);
	mem_free(r);
	return NULL;
}

static bool allowed(struct recorder *r, struct str uid)
{
	uint64_t now = loop_now_ms(r->ctl->cfg.loop);
	struct budget *b = map_get(&r->budgets, uid);
	if (!b) {
		if (r->budgets.len >= KNOWN_MAX)
			empty(&r->budgets);
		b = mem_new(struct budget, 1);
		b->since_ms = now;
		(void)map_set(&r->budgets, uid, b);
	}
	uint64_t back = (now - b->since_ms) / REFILL_MS;
	if (back) {
		b->used = back >= b->used ? 0 : b->used - (uint32_t)back;
		b->since_ms += back * REFILL_MS;
	}
	if (b->used >= BURST)
		return false;
	b->used++;
	return true;
}

static void on_done(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	(void)body;
	(void)err; /* events are best effort */
	struct recorder *r = arg;
	r->in_flight--;
}

static void send(struct recorder *r, const char *method, const char *path, const char *type,
		 struct buf *body)
{
	r->in_flight++;
	(void)client_send(r->ctl->cfg.client, &(struct client_request){ .method = method,
									.path = path,
									.content_type = type,
									.body = buf_str(body),
									.done = on_done,
									.arg = r });
}

static void repeat(struct recorder *r, struct known *k, const char *time)
{
	struct buf path = { 0 };
	struct buf body = { 0 };
	k->count++;
	buf_addf(&path, "/api/v1/namespaces/%s/events/%s", k->ns, k->name);
	buf_addf(&body, "{\"count\":%" PRId64 ",\"lastTimestamp\":\"%s\"}", k->count, time);
	send(r, "PATCH", buf_cstr(&path), "application/merge-patch+json", &body);
	buf_fini(&path);
	buf_fini(&body);
}

static void field(struct buf *b, const char *name, struct str value)
{
	if (!value.len)
		return;
	buf_addf(b, "%s\"%s\":", b->p[b->len - 1] == '{' ? "" : ",", name);
	json_write_str(b, value);
}

static void create(struct recorder *r, const struct known *k, const struct ctl_object_ref *about,
		   bool warning, const char *reason, struct str message, const char *time)
{
	struct buf path = { 0 };
	struct buf b = { 0 };
	buf_addf(&path, "/api/v1/namespaces/%s/events", k->ns);
	buf_addf(&b,
		 "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"%s\","
		 "\"namespace\":\"%s\"},",
		 k->name, k->ns);
	buf_adds(&b, "\"involvedObject\":{");
	field(&b, "apiVersion", about->api_version);
	field(&b, "kind", about->kind);
	field(&b, "namespace", about->ns);
	field(&b, "name", about->name);
	field(&b, "uid", about->uid);
	buf_adds(&b, "},\"message\":");
	json_write_str(&b, message);
	buf_addf(&b,
		 ",\"reason\":\"%s\",\"type\":\"%s\",\"source\":{\"component\":\"%s\"},"
		 "\"reportingComponent\":\"%s\",\"reportingInstance\":",
		 reason, warning ? "Warning" : "Normal", r->ctl->cfg.name, r->ctl->cfg.name);
	json_write_str(&b, str_of(r->ctl->identity));
	buf_addf(&b, ",\"count\":1,\"firstTimestamp\":\"%s\",\"lastTimestamp\":\"%s\"}", time,
		 time);
	send(r, "POST", buf_cstr(&path), NULL, &b);
	buf_fini(&path);
	buf_fini(&b);
}

void ctl_event(struct ctl *c, const struct ctl_object_ref *about, bool warning, const char *reason,
	       const char *fmt, ...)
{
	struct recorder *r = c->recorder;
	struct buf message = { 0 };
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&message, fmt, ap);
	va_end(ap);

	struct buf key = { 0 };
	struct buf time = { 0 };
	buf_addf(&key, "%.*s/%.*s/%s/%s", STR_ARG(about->uid), STR_ARG(about->name), reason,
		 buf_cstr(&message));
	rfc3339_write(&time, clock_unix_ms() / 1000);
	if (r->in_flight < IN_FLIGHT_MAX && allowed(r, about->uid.len ? about->uid : about->name)) {
		struct known *k = map_get(&r->known, buf_str(&key));
		if (k) {
			repeat(r, k, buf_cstr(&time));
		} else {
			if (r->known.len >= KNOWN_MAX)
				empty(&r->known);
			k = mem_new(struct known, 1);
			k->count = 1;
			(void)snprintf(k->ns, sizeof(k->ns), "%.*s",
				       STR_ARG(about->ns.len ? about->ns : STR("default")));
			(void)snprintf(k->name, sizeof(k->name), "%.*s.%016" PRIx64,
				       STR_ARG(str_sub(about->name, 0, 236)), clock_random_u64());
			(void)map_set(&r->known, buf_str(&key), k);
			create(r, k, about, warning, reason, buf_str(&message), buf_cstr(&time));
		}
	}
	buf_fini(&key);
	buf_fini(&time);
	buf_fini(&message);
}
