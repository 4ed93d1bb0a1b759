#include "apiserver/relay.h"

#include "apiserver/apiserver.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "http/server.h"
#include "sys/loop.h"

#include <stdatomic.h>

enum { FULL_BYTES = 1 << 20 };

struct relay {
	struct loop *near, *far;
	struct relay_handlers on;
	void *data;
	/* near side only */
	struct http_request *req; /* NULL: closed */
	bool begun;
	/* far side only */
	bool gone, done, said_begin;
	/* both */
	_Atomic size_t pending; /* bytes on the way or in the client's queue */
	_Atomic unsigned refs;  /* one a side, one a message */
};

enum verb { BEGIN, WRITE, END, FAIL, START, ROOM, GONE };

struct message {
	struct relay *relay;
	enum verb verb;
	int status;
	struct bytes *bytes; /* BEGIN: content type; WRITE: data */
	struct error err;
};

static void unref(struct relay *r)
{
	if (atomic_fetch_sub(&r->refs, 1) == 1)
		mem_free(r);
}

/* ---- near: what the far side said ---- */

static void begin(struct relay *r, int status, const struct bytes *type)
{
	const struct http_header h = { STR("content-type"), bytes_str(type) };
	if (!r->begun)
		http_begin(r->req, status, &h, 1);
	r->begun = true;
}

static void near_message(void *arg)
{
	struct message *m = arg;
	struct relay *r = m->relay;
	switch (r->req ? m->verb : START) {
	case BEGIN:
		begin(r, m->status, m->bytes);
		break;
	case WRITE:
		(void)http_write(r->req, m->bytes);
		break;
	case END:
		http_end(r->req);
		break;
	case FAIL:
		if (r->begun)
			http_abort(r->req);
		else
			apiserver_fail(r->req, &m->err);
		break;
	case START:
	case ROOM:
	case GONE:
	default: /* the client is gone */
		break;
	}
	bytes_unref(m->bytes);
	mem_free(m);
	unref(r);
}

/* ---- far: what the near side said ---- */

static void far_message(void *arg)
{
	struct message *m = arg;
	struct relay *r = m->relay;
	if (m->verb == START) {
		r->on.start(r, r->data);
	} else if (!r->done && m->verb == ROOM) {
		if (r->on.room)
			r->on.room(r, r->data);
	} else if (!r->done && m->verb == GONE) {
		r->gone = true;
		r->on.gone(r, r->data);
	}
	mem_free(m);
	unref(r);
}

static void post(struct relay *r, bool to_far, struct message m)
{
	struct message *p = mem_new(struct message, 1);
	*p = m;
	p->relay = r;
	atomic_fetch_add(&r->refs, 1);
	loop_post(to_far ? r->far : r->near, to_far ? far_message : near_message, p);
}

void relay_new(struct http_request *req, struct loop *far, const struct relay_handlers *on,
	       void *data)
{
	struct relay *r = mem_new(struct relay, 1);
	r->near = req->loop->loop;
	r->far = far;
	r->on = *on;
	r->data = data;
	r->req = req;
	atomic_init(&r->refs, 2);
	*apiserver_route_state(req) = r;
	post(r, true, (struct message){ .verb = START });
}

void relay_closed(void *arg, struct http_request *req)
{
	(void)arg;
	struct relay *r = *apiserver_route_state(req);
	if (!r)
		return;
	r->req = NULL;
	post(r, true, (struct message){ .verb = GONE });
	unref(r);
}

void relay_drained(void *arg, struct http_request *req)
{
	(void)arg;
	struct relay *r = *apiserver_route_state(req);
	if (!r)
		return;
	if (atomic_exchange(&r->pending, 0) >= FULL_BYTES)
		post(r, true, (struct message){ .verb = ROOM });
}

/* ---- far side's calls ---- */

void relay_begin(struct relay *r, int status, struct str content_type)
{
	if (r->said_begin)
		return;
	r->said_begin = true;
	post(r, false,
	     (struct message){
		     .verb = BEGIN, .status = status, .bytes = bytes_of_str(content_type) });
}

void relay_write(struct relay *r, struct str data)
{
	if (!data.len)
		return;
	atomic_fetch_add(&r->pending, data.len);
	post(r, false, (struct message){ .verb = WRITE, .bytes = bytes_of_str(data) });
}

bool relay_full(const struct relay *r)
{
	return atomic_load(&r->pending) >= FULL_BYTES;
}

void relay_end(struct relay *r)
{
	post(r, false, (struct message){ .verb = END });
}

void relay_fail(struct relay *r, const struct error *err)
{
	post(r, false, (struct message){ .verb = FAIL, .err = *err });
}

bool relay_gone(const struct relay *r)
{
	return r->gone;
}

void relay_done(struct relay *r)
{
	r->done = true;
	unref(r);
}
