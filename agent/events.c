#include "events.h"

#include "agent/v1/agent.pb-c.h"
#include "base/buf.h"
#include "base/mem.h"
#include "grpc/message.h"
#include "json/json.h"
#include "push.h"
#include "text/rfc3339.h"

enum { RECENT = 128, SAME_MS = 10 * 60 * 1000, REPEAT_MS = 60 * 1000 };

struct recent {
	uint64_t key; /* 0 = free */
	int64_t first_ms, last_ms, written_ms;
	uint32_t count, written_count;
};

struct events {
	char *node;
	struct push *push;
	struct recent recent[RECENT];
};

struct events *events_new(const char *node, struct push *push)
{
	struct events *e = mem_new(struct events, 1);
	e->node = mem_strdup(node);
	e->push = push;
	return e;
}

struct events *events_free(struct events *e)
{
	if (e)
		mem_free(e->node);
	mem_free(e);
	return NULL;
}

static void field(struct buf *b, const char *key, struct str value)
{
	buf_addf(b, "%s\"%s\":", b->p[b->len - 1] == '{' ? "" : ",", key);
	json_write_str(b, value);
}

static void when(struct buf *b, const char *key, int64_t ms)
{
	buf_addf(b, ",\"%s\":\"", key);
	rfc3339_write(b, ms / 1000);
	buf_addc(b, '"');
}

static void write_event(const struct events *e, const struct event *ev, const struct recent *r,
			struct buf *b)
{
	buf_adds(b, "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{");
	buf_addf(b, "\"name\":\"%.*s.%016llx\"", STR_ARG(ev->name),
		 (unsigned long long)(r->key ^ (uint64_t)r->first_ms));
	field(b, "namespace", ev->ns.len ? ev->ns : STR("default"));
	buf_adds(b, "},\"involvedObject\":{");
	field(b, "apiVersion", STR("v1"));
	field(b, "kind", ev->kind);
	if (ev->ns.len)
		field(b, "namespace", ev->ns);
	field(b, "name", ev->name);
	field(b, "uid", ev->uid);
	if (ev->resource_version.len)
		field(b, "resourceVersion", ev->resource_version);
	if (ev->field_path.len)
		field(b, "fieldPath", ev->field_path);
	buf_addc(b, '}');
	field(b, "reason", str_of(ev->reason));
	field(b, "message", str_of(ev->message));
	buf_adds(b, ",\"source\":{\"component\":\"kubelet\"");
	field(b, "host", str_of(e->node));
	buf_addc(b, '}');
	when(b, "firstTimestamp", r->first_ms);
	when(b, "lastTimestamp", r->last_ms);
	buf_addf(b, ",\"count\":%u", r->count);
	field(b, "type", str_of(ev->type));
	buf_adds(b, ",\"eventTime\":null,\"reportingComponent\":\"resource-cluster-agent\"");
	field(b, "reportingInstance", str_of(e->node));
	buf_addc(b, '}');
}

/* The entry of this event, or the least recent one made free for it. */
static struct recent *find(struct events *e, uint64_t key, int64_t now_ms)
{
	struct recent *oldest = &e->recent[0];
	for (size_t i = 0; i < RECENT; i++) {
		struct recent *r = &e->recent[i];
		if (r->key == key && now_ms - r->last_ms < SAME_MS)
			return r;
		if (r->last_ms < oldest->last_ms)
			oldest = r;
	}
	*oldest = (struct recent){ .key = key, .first_ms = now_ms };
	return oldest;
}

void events_add(struct events *e, const struct event *ev, int64_t now_ms)
{
	uint64_t key = str_hash(ev->uid, 1);
	key = str_hash(ev->name, key);
	key = str_hash(ev->field_path, key);
	key = str_hash(str_of(ev->reason), key);
	key = str_hash(str_of(ev->message), key) | 1;
	struct recent *r = find(e, key, now_ms);
	r->count++;
	r->last_ms = now_ms;
	if (r->written_count && r->count < r->written_count * 2 &&
	    now_ms - r->written_ms < REPEAT_MS)
		return;
	r->written_count = r->count;
	r->written_ms = now_ms;
	struct buf json = { 0 }, out = { 0 };
	write_event(e, ev, r, &json);
	Rctl__Agent__V1__EventBatch batch = RCTL__AGENT__V1__EVENT_BATCH__INIT;
	ProtobufCBinaryData one = rpc_binary(buf_str(&json));
	batch.events = &one;
	batch.n_events = 1;
	rpc_pack(&out, &batch.base);
	push_add(e->push, RCTL__AGENT__V1__RECORD_TYPE__RECORD_TYPE_EVENTS, buf_str(&out));
	buf_fini(&json);
	buf_fini(&out);
}
