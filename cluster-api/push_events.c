#include "push_events.h"

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "json/json.h"
#include "telemetry/record.h"

enum { EVENT_BYTES_MAX = 16384, EVENTS_UNDER_WAY_MAX = 1000 };

struct push_events {
	struct apiserver *api;
	struct loop *loop;
	char *name;
	struct auth_user user;
	struct push_events_handlers on;
	void *arg;
	struct list records; /* not stored yet, oldest first */
	uint64_t acked, refused;
	size_t under_way;
	bool failed, closing;
};

struct record {
	struct list link;
	struct push_events *events;
	uint64_t sequence;
	size_t left; /* events of it under way, and one while it is being read */
};

/* One event under way. */
struct event {
	struct record *record;
	struct arena arena;
	struct str path, body, name;
};

static void maybe_closed(struct push_events *e)
{
	if (!e->closing || e->under_way)
		return;
	while (!list_empty(&e->records)) {
		struct record *r = list_entry(e->records.next, struct record, link);
		list_del(&r->link);
		mem_free(r);
	}
	void (*closed)(void *arg) = e->on.closed;
	void *arg = e->arg;
	mem_free(e->name);
	mem_free(e);
	closed(arg);
}

/* Acknowledges what is stored without a gap. */
static void advance(struct push_events *e)
{
	uint64_t before = e->acked;
	while (!e->failed && !list_empty(&e->records)) {
		struct record *r = list_entry(e->records.next, struct record, link);
		if (r->left)
			break;
		e->acked = r->sequence;
		list_del(&r->link);
		mem_free(r);
	}
	if (e->acked != before && !e->closing) {
		e->on.stored(e->arg, e->acked, e->refused);
		e->refused = 0;
	}
}

static void event_done(struct event *ev, int status)
{
	struct record *r = ev->record;
	struct push_events *e = r->events;
	bool again = status >= 500 || status == 429;
	e->under_way--;
	if (again && !e->failed) {
		e->failed = true;
		if (!e->closing)
			e->on.failed(e->arg);
	}
	/* An object that is gone, or that the node may not speak of, needs no event. */
	e->refused += !again && status >= 400;
	r->left -= again ? 0 : 1;
	arena_fini(&ev->arena);
	mem_free(ev);
	advance(e);
	maybe_closed(e);
}

static void send(struct event *ev, const char *method, struct str path, const char *type,
		 struct str body, apiserver_done_fn done)
{
	struct push_events *e = ev->record->events;
	const struct apiserver_call call = { .method = str_of(method),
					     .path = path,
					     .content_type = str_of(type),
					     .body = body,
					     .user = &e->user };
	apiserver_call(e->api, e->loop, &call, done, ev);
}

static void on_merged(void *arg, int status, struct str reply)
{
	(void)reply;
	event_done(arg, status);
}

static void on_created(void *arg, int status, struct str reply)
{
	struct event *ev = arg;
	(void)reply;
	if (status != 409) {
		event_done(ev, status);
		return;
	}
	static const char *const merged[] = { "count", "lastTimestamp", "message" };
	struct json doc, patch = json_object();
	if (json_parse(&ev->arena, ev->body, NULL, &doc, NULL) != 0) {
		event_done(ev, 400);
		return;
	}
	for (size_t i = 0; i < sizeof(merged) / sizeof(merged[0]); i++)
		if (json_getc(&doc, merged[i]))
			(void)json_setc(&ev->arena, &patch, merged[i], *json_getc(&doc, merged[i]));
	send(ev, "PATCH", arena_strf(&ev->arena, "%.*s/%.*s", STR_ARG(ev->path), STR_ARG(ev->name)),
	     "application/merge-patch+json", json_text(&ev->arena, &patch), on_merged);
}

static bool simple_name(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
			return false;
	}
	return s.len > 0 && s.len <= 253;
}

static void on_event(void *arg, struct str text)
{
	struct record *r = arg;
	struct push_events *e = r->events;
	struct event *ev = mem_new(struct event, 1);
	struct json doc;
	ev->record = r;
	e->under_way++;
	r->left++;
	ev->body = arena_str(&ev->arena, str_sub(text, 0, EVENT_BYTES_MAX + 1));
	if (text.len > EVENT_BYTES_MAX || e->under_way > EVENTS_UNDER_WAY_MAX ||
	    json_parse(&ev->arena, ev->body, NULL, &doc, NULL) != 0) {
		event_done(ev, 400);
		return;
	}
	struct str ns = json_str(json_dig(&doc, "metadata", "namespace", NULL));
	ev->name = json_str(json_dig(&doc, "metadata", "name", NULL));
	if (!simple_name(ns) || !simple_name(ev->name)) {
		event_done(ev, 400);
		return;
	}
	ev->path = arena_strf(&ev->arena, "/api/v1/namespaces/%.*s/events", STR_ARG(ns));
	send(ev, "POST", ev->path, "application/json", ev->body, on_created);
}

void push_events_record(struct push_events *e, uint64_t sequence, uint32_t type,
			uint32_t compression, struct str payload)
{
	struct buf unpacked = { 0 };
	struct str bytes;
	if (e->failed)
		return;
	struct record *r = mem_new(struct record, 1);
	r->events = e;
	r->sequence = sequence;
	r->left = 1;
	list_append(&e->records, &r->link);
	e->under_way++; /* keeps e while the events are read */
	bool again = sequence <= e->acked;
	if (type == RECORD_EVENTS && !again &&
	    (record_unpack(compression, payload, &unpacked, &bytes, NULL) != 0 ||
	     record_events(bytes, on_event, r, NULL) != 0))
		e->refused++;
	r->left--;
	e->under_way--;
	buf_fini(&unpacked);
	advance(e);
}

struct push_events *push_events_new(struct apiserver *api, struct loop *loop, struct str node,
				    uint64_t next_sequence, const struct push_events_handlers *on,
				    void *arg)
{
	struct push_events *e = mem_new(struct push_events, 1);
	struct buf name = { 0 };
	buf_addf(&name, "system:node:%.*s", STR_ARG(node));
	e->api = api;
	e->loop = loop;
	e->name = mem_strdup(buf_cstr(&name));
	buf_fini(&name);
	e->user.name = str_of(e->name);
	e->user.groups[0] = STR("system:nodes");
	e->user.groups[1] = STR("system:authenticated");
	e->user.groups_len = 2;
	e->acked = next_sequence ? next_sequence - 1 : 0;
	e->on = *on;
	e->arg = arg;
	list_init(&e->records);
	return e;
}

void push_events_close(struct push_events *e)
{
	e->closing = true;
	maybe_closed(e);
}
