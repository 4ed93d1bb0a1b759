/*
 * List and watch.  States: waiting (timer armed) → listing → watching → …; a
 * lost watch goes on from the last revision seen, 410 or an unreadable stream starts over with a list.
 */
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "client/client.h"
#include "client/client_priv.h"
#include "sys/clock.h"
#include "text/url.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum {
	PAGE = 500,
	BACKOFF_MIN_MS = 800,
	BACKOFF_MAX_MS = 30000,
	WATCH_MIN_S = 300,
	WATCH_SPREAD_S = 300,
	LINE_BYTES_MAX = 16 << 20,
	LIST_BYTES_MAX = 64 << 20,
	LIST_VALUES_MAX = 16 << 20,
};

struct entry {
	int64_t rev;
	uint64_t generation; /* the list that saw it last */
	struct str text;     /* own copy when keep_text */
};

struct client_informer {
	struct client *client;
	struct client_informer_config cfg;
	char *path, *label_selector, *field_selector;
	struct map objects; /* key → entry */
	struct client_call *call;
	struct loop_timer retry;
	struct buf line; /* unfinished line of the watch */
	char *continue_token;
	uint64_t generation;
	uint64_t backoff_ms;
	int64_t rev;      /* list and watch revision; 0 = must list */
	int64_t list_rev; /* of the first page of the list under way */
	bool synced, contact, contact_known, broken;
};

static void start(struct client_informer *in);

static void entry_free(struct entry *e)
{
	if (e->text.p) {
		union {
			const char *in;
			char *out;
		} u = { .in = e->text.p };
		mem_free(u.out);
	}
	mem_free(e);
}

static int64_t rev_of(const struct json *obj)
{
	int64_t rev = 0;
	(void)str_to_i64(json_str(json_dig(obj, "metadata", "resourceVersion", NULL)), &rev);
	return rev;
}

static char *escaped(const char *s)
{
	if (!s)
		return NULL;
	struct buf b = { 0 };
	url_encode(&b, str_of(s));
	char *out = mem_strdup(buf_cstr(&b));
	buf_fini(&b);
	return out;
}

/* ---- contact and back-off ---- */

static void set_contact(struct client_informer *in, bool ok, const struct error *err)
{
	if (in->contact_known && in->contact == ok)
		return;
	in->contact_known = true;
	in->contact = ok;
	if (in->cfg.on_contact)
		in->cfg.on_contact(in->cfg.arg, ok, err);
}

static void retry_later(struct client_informer *in)
{
	uint64_t min = in->cfg.backoff_min_ms ? in->cfg.backoff_min_ms : BACKOFF_MIN_MS;
	uint64_t max = in->cfg.backoff_max_ms ? in->cfg.backoff_max_ms : BACKOFF_MAX_MS;
	in->backoff_ms = in->backoff_ms ? in->backoff_ms * 2 : min;
	if (in->backoff_ms > max)
		in->backoff_ms = max;
	/* full jitter: clients that lost one server together do not come back together */
	loop_timer_set(in->client->loop, &in->retry, 1 + clock_random_u64() % in->backoff_ms);
}

static void on_retry(struct loop_timer *t)
{
	start(container_of(t, struct client_informer, retry));
}

/* ---- objects ---- */

static void put(struct client_informer *in, const struct json *obj, bool listed)
{
	struct arena a = { 0 };
	struct str key = client_object_key(&a, obj);
	int64_t rev = rev_of(obj);
	struct entry *e = map_get(&in->objects, key);
	bool known = e && e->rev == rev;
	if (!e) {
		e = mem_new(struct entry, 1);
		(void)map_set(&in->objects, key, e);
	}
	e->rev = rev;
	if (listed)
		e->generation = in->generation;
	if (known) { /* a relist tells nothing new */
		arena_fini(&a);
		return;
	}
	struct buf text = { 0 };
	if (in->cfg.keep_text) {
		json_write(&text, obj);
		(void)buf_cstr(&text);
		struct entry old = *e;
		e->text = buf_str(&text);
		union {
			const char *in;
			char *out;
		} u = { .in = old.text.p };
		mem_free(u.out);
	}
	in->cfg.on_set(in->cfg.arg, key, obj, e->text);
	arena_fini(&a);
}

static void drop(struct client_informer *in, struct str key)
{
	struct entry *e = map_del(&in->objects, key);
	if (!e)
		return;
	if (in->cfg.on_delete)
		in->cfg.on_delete(in->cfg.arg, key, e->text);
	entry_free(e);
}

/* What the new list did not show is gone. */
static void drop_unseen(struct client_informer *in)
{
	struct arena a = { 0 };
	size_t n = 0;
	size_t pos = 0;
	struct str key;
	void *value = NULL;
	struct str *gone = arena_new(&a, struct str, in->objects.len);
	while (map_next(&in->objects, &pos, &key, &value))
		if (((struct entry *)value)->generation != in->generation)
			gone[n++] = arena_str(&a, key);
	for (size_t i = 0; i < n; i++)
		drop(in, gone[i]);
	arena_fini(&a);
}

/* ---- watch ---- */

static void relist(struct client_informer *in)
{
	in->rev = 0;
}

static void on_event(struct client_informer *in, struct str line)
{
	struct arena a = { 0 };
	struct json ev;
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = LINE_BYTES_MAX;
	if (json_parse(&a, line, &limits, &ev, NULL) != 0) {
		relist(in);
		in->broken = true;
		arena_fini(&a);
		return;
	}
	struct str type = json_str(json_getc(&ev, "type"));
	const struct json *obj = json_getc(&ev, "object");
	int64_t rev = rev_of(obj);
	if (str_is(type, "ERROR")) {
		relist(in);
		in->broken = true;
	} else if (str_is(type, "DELETED")) {
		struct str key = client_object_key(&a, obj);
		in->rev = rev ? rev : in->rev;
		drop(in, key);
	} else if (str_is(type, "BOOKMARK")) {
		in->rev = rev ? rev : in->rev;
	} else {
		in->rev = rev ? rev : in->rev;
		put(in, obj, false);
	}
	in->backoff_ms = 0;
	arena_fini(&a);
	if (!in->broken && in->cfg.on_progress)
		in->cfg.on_progress(in->cfg.arg, in->rev);
}

/* Cuts the stream into lines; what is unfinished waits in in->line. */
static void take_lines(struct client_informer *in, struct str data)
{
	while (data.len && !in->broken) {
		ptrdiff_t nl = str_find(data, '\n', 0);
		struct str piece = nl < 0 ? data : str_sub(data, 0, (size_t)nl);
		if (in->line.len + piece.len > LINE_BYTES_MAX) {
			relist(in);
			in->broken = true;
			return;
		}
		if (nl < 0 || in->line.len)
			buf_add_str(&in->line, piece);
		if (nl < 0)
			return;
		data = str_sub(data, (size_t)nl + 1, data.len);
		struct buf whole = in->line;
		in->line = (struct buf){ 0 };
		struct str line = whole.len ? buf_str(&whole) : piece;
		if (line.len)
			on_event(in, line);
		buf_fini(&whole);
	}
}

static void on_watch_data(void *arg, int status, struct str data)
{
	(void)status;
	struct client_informer *in = arg;
	set_contact(in, true, NULL);
	take_lines(in, data);
	if (in->broken) {
		client_cancel(in->call);
		in->call = NULL;
		in->broken = false;
		buf_clear(&in->line);
		retry_later(in);
	}
}

static void on_watch_done(void *arg, int status, struct str body, const struct error *err)
{
	(void)body;
	struct client_informer *in = arg;
	in->call = NULL;
	buf_clear(&in->line);
	if (err) {
		if (err->code == ERR_EXPIRED)
			relist(in);
		else
			set_contact(in, false, err);
		retry_later(in);
		return;
	}
	(void)status;
	/* the server's time for one watch is over */
	loop_timer_set(in->client->loop, &in->retry, clock_random_u64() % 50);
}

static void add_selectors(const struct client_informer *in, struct buf *p)
{
	if (in->label_selector)
		buf_addf(p, "&labelSelector=%s", in->label_selector);
	if (in->field_selector)
		buf_addf(p, "&fieldSelector=%s", in->field_selector);
}

static void start_watch(struct client_informer *in)
{
	struct buf p = { 0 };
	buf_addf(&p,
		 "%s?watch=true&allowWatchBookmarks=true&resourceVersion=%" PRId64
		 "&timeoutSeconds=%u",
		 in->path, in->rev, WATCH_MIN_S + (unsigned)(clock_random_u64() % WATCH_SPREAD_S));
	add_selectors(in, &p);
	in->call = client_send(in->client, &(struct client_request){ .method = "GET",
								     .path = buf_cstr(&p),
								     .on_data = on_watch_data,
								     .done = on_watch_done,
								     .arg = in });
	buf_fini(&p);
}

/* ---- list ---- */

static void list_over(struct client_informer *in)
{
	in->rev = in->list_rev;
	drop_unseen(in);
	in->backoff_ms = 0;
	bool first = !in->synced;
	in->synced = true;
	if (first && in->cfg.on_synced)
		in->cfg.on_synced(in->cfg.arg);
	if (in->cfg.on_progress)
		in->cfg.on_progress(in->cfg.arg, in->rev);
}

/* One page; false when it cannot be read. */
static bool take_page(struct client_informer *in, struct str body)
{
	struct arena a = { 0 };
	struct json list;
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = LIST_BYTES_MAX;
	limits.values_max = LIST_VALUES_MAX;
	bool ok = json_parse(&a, body, &limits, &list, NULL) == 0 && rev_of(&list) > 0;
	if (ok) {
		if (!in->list_rev)
			in->list_rev = rev_of(&list);
		const struct json *items = json_getc(&list, "items");
		for (size_t i = 0; i < json_len(items); i++)
			put(in, json_at(items, i), true);
		struct str token = json_str(json_dig(&list, "metadata", "continue", NULL));
		mem_free(in->continue_token);
		in->continue_token = token.len ? escaped(arena_str(&a, token).p) : NULL;
	}
	arena_fini(&a);
	return ok;
}

static void restart_list(struct client_informer *in)
{
	mem_free(in->continue_token);
	in->continue_token = NULL;
	in->list_rev = 0;
}

static void on_list_done(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct client_informer *in = arg;
	in->call = NULL;
	struct error bad = { 0 };
	if (!err && !take_page(in, body)) {
		(void)error_set(&bad, ERR_INTERNAL, "%s: the list cannot be read", in->path);
		err = &bad;
	}
	if (err) {
		restart_list(in);
		if (err->code != ERR_EXPIRED)
			set_contact(in, false, err);
		retry_later(in);
		return;
	}
	set_contact(in, true, NULL);
	if (!in->continue_token)
		list_over(in);
	start(in);
}

static void start_list(struct client_informer *in)
{
	if (!in->continue_token) {
		in->generation++;
		in->list_rev = 0;
	}
	struct buf p = { 0 };
	buf_addf(&p, "%s?limit=%d", in->path, PAGE);
	add_selectors(in, &p);
	if (in->continue_token)
		buf_addf(&p, "&continue=%s", in->continue_token);
	in->call = client_send(in->client, &(struct client_request){ .method = "GET",
								     .path = buf_cstr(&p),
								     .done = on_list_done,
								     .arg = in });
	buf_fini(&p);
}

static void start(struct client_informer *in)
{
	if (in->rev > 0)
		start_watch(in);
	else
		start_list(in);
}

/* ---- interface ---- */

struct client_informer *client_informer_new(struct client *c,
					    const struct client_informer_config *cfg)
{
	assert(cfg->on_set);
	struct client_informer *in = mem_new(struct client_informer, 1);
	in->client = c;
	in->cfg = *cfg;
	in->path = mem_strdup(cfg->path);
	in->label_selector = escaped(cfg->label_selector);
	in->field_selector = escaped(cfg->field_selector);
	map_init(&in->objects, clock_random_u64());
	in->retry.fn = on_retry;
	loop_timer_set(c->loop, &in->retry, 0);
	return in;
}

struct client_informer *client_informer_free(struct client_informer *in)
{
	if (!in)
		return NULL;
	client_cancel(in->call);
	loop_timer_stop(&in->retry);
	size_t pos = 0;
	void *value = NULL;
	while (map_next(&in->objects, &pos, NULL, &value))
		entry_free(value);
	map_fini(&in->objects);
	buf_fini(&in->line);
	mem_free(in->continue_token);
	mem_free(in->path);
	mem_free(in->label_selector);
	mem_free(in->field_selector);
	mem_free(in);
	return NULL;
}

bool client_informer_synced(const struct client_informer *in)
{
	return in->synced;
}

int64_t client_informer_rev(const struct client_informer *in)
{
	return in->rev;
}

size_t client_informer_count(const struct client_informer *in)
{
	return in->objects.len;
}

struct str client_informer_get(const struct client_informer *in, struct str key)
{
	const struct entry *e = map_get(&in->objects, key);
	return e ? e->text : STR_NONE;
}

void client_informer_each(const struct client_informer *in,
			  void (*fn)(void *arg, struct str key, struct str text), void *arg)
{
	size_t pos = 0;
	struct str key;
	void *value = NULL;
	while (map_next(&in->objects, &pos, &key, &value))
		fn(arg, key, ((struct entry *)value)->text);
}
