#include "apiserver/passage.h"

#include "apiserver/relay.h"
#include "base/buf.h"
#include "base/mem.h"
#include "http/server.h"

enum { HEADERS_MAX = AUTH_GROUPS_MAX + 8 };

/* One request, on the far loop; what it needs of the http_request is copied. */
struct passage {
	struct loop *far;
	struct fetch *fetch;
	struct arena arena;
	struct relay *relay;
	struct fetch_call *call;
	struct passage_target to;
	struct str method, body;
	size_t next;
	struct fetch_header headers[HEADERS_MAX];
	size_t headers_len;
	bool begun, gone, answered;
};

void passage_free(struct passage *p)
{
	if (p->relay) {
		fetch_cancel(p->call);
		relay_done(p->relay);
	}
	arena_fini(&p->arena);
	mem_free(p);
}

static void attempt(struct passage *p);

static void on_data(void *arg, int status, struct str data)
{
	struct passage *p = arg;
	if (!p->begun) {
		struct str type = fetch_reply_header(p->call, "content-type");
		relay_begin(p->relay, status, type.len ? type : STR("application/json"));
		p->begun = true;
	}
	relay_write(p->relay, data);
	if (relay_full(p->relay))
		fetch_pause(p->call);
}

static void on_done(void *arg, int status, struct str reply, const struct error *err)
{
	(void)reply;
	struct passage *p = arg;
	struct fetch_call *call = p->call;
	if (err && !p->begun && p->next < p->to.endpoints_len && err->code == ERR_UNAVAILABLE) {
		p->call = NULL;
		attempt(p);
		return;
	}
	p->answered = true;
	if (err) {
		struct error e = *err;
		(void)error_wrap(&e, "%s", p->to.what);
		e.code = ERR_UNAVAILABLE;
		relay_fail(p->relay, &e);
	} else {
		if (!p->begun) {
			struct str type = fetch_reply_header(call, "content-type");
			relay_begin(p->relay, status, type.len ? type : STR("application/json"));
		}
		relay_end(p->relay);
	}
	p->call = NULL;
	if (p->gone)
		passage_free(p);
}

static void attempt(struct passage *p)
{
	struct buf url = { 0 };
	buf_adds(&url, p->to.endpoints[p->next++]);
	while (url.len && url.p[url.len - 1] == '/')
		url.len--;
	buf_add_str(&url, p->to.path);
	p->call = fetch_send(p->fetch, &(struct fetch_request){
					       .method = arena_str(&p->arena, p->method).p,
					       .url = buf_cstr(&url),
					       .identity = &p->to.identity,
					       .headers = p->headers,
					       .headers_len = p->headers_len,
					       .body = p->body,
					       .connect_ms = PASSAGE_CONNECT_MS,
					       .on_data = on_data,
					       .on_done = on_done,
					       .arg = p,
				       });
	buf_fini(&url);
}

/* ---- the far side of the relay ---- */

static void on_start(struct relay *r, void *data)
{
	struct passage *p = data;
	p->relay = r;
	attempt(p);
}

static void on_room(struct relay *r, void *data)
{
	(void)r;
	struct passage *p = data;
	if (p->call)
		fetch_resume(p->call);
}

static void on_gone(struct relay *r, void *data)
{
	(void)r;
	passage_free(data);
}

static const struct relay_handlers relay_on = { .start = on_start,
						.room = on_room,
						.gone = on_gone };

/* ---- the near side ---- */

struct passage *passage_new(struct loop *far, struct fetch *fetch)
{
	struct passage *p = mem_new(struct passage, 1);
	p->far = far;
	p->fetch = fetch;
	return p;
}

struct arena *passage_arena(struct passage *p)
{
	return &p->arena;
}

static void header(struct passage *p, const char *name, struct str value)
{
	if (value.len && p->headers_len < HEADERS_MAX)
		p->headers[p->headers_len++] =
			(struct fetch_header){ name, arena_str(&p->arena, value).p };
}

static void copy_headers(struct passage *p, const struct http_request *req,
			 const struct apiserver_info *info)
{
	static const char *const passed[] = { "accept", "content-type", "user-agent",
					      RCTL_FENCE_HEADER };
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		header(p, passed[i], http_request_header(req, passed[i]));
	header(p, PASSAGE_PEER_HEADER, str_of(p->to.peer ? p->to.peer : ""));
	header(p, "Impersonate-User", info->user->name);
	for (size_t i = 0; i < info->user->groups_len; i++)
		if (!str_is(info->user->groups[i],
			    "system:authenticated")) /* the other side adds it */
			header(p, "Impersonate-Group", info->user->groups[i]);
}

void passage_go(struct passage *p, struct http_request *req, const struct apiserver_info *info,
		const struct passage_target *to)
{
	p->to = *to;
	p->method = arena_str(&p->arena, req->method);
	p->body = req->body.len ? arena_str(&p->arena, req->body) : STR_NONE;
	copy_headers(p, req, info);
	relay_new(req, p->far, &relay_on, p);
}
