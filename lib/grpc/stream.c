/* Calls on the server: accepting, reading, writing, ending. */
#include "base/mem.h"
#include "grpc/server_priv.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include <assert.h>

static void stream_pump(struct rpc_stream *s);
static void stream_read(struct rpc_stream *s);

static void out_drop(struct rpc_stream *s)
{
	while (s->out) {
		struct rpc_out *o = s->out;
		s->out = o->next;
		grpc_byte_buffer_destroy(o->bytes);
		mem_free(o);
	}
	s->out_tail = &s->out;
	s->queued = s->sending_len;
}

static void stream_unref(struct rpc_stream *s)
{
	assert(s->refs > 0);
	if (--s->refs)
		return;
	struct rpc_server *server = s->server;
	loop_task_cancel(&s->deliver);
	out_drop(s);
	if (s->in)
		grpc_byte_buffer_destroy(s->in);
	if (s->sending)
		grpc_byte_buffer_destroy(s->sending);
	if (s->call)
		grpc_call_unref(s->call);
	grpc_metadata_array_destroy(&s->metadata);
	grpc_call_details_destroy(&s->details);
	mem_free(s->cn);
	mem_free(s->org);
	mem_free(s->spiffe);
	mem_free(s->path);
	if (s->address)
		gpr_free(s->address);
	mem_free(s->status_text);
	mem_free(s);
	server->slots--;
	rpc_server_settle(server);
}

/* The tag of every batch holds one reference; a batch that cannot start is our own mistake. */
static void stream_batch(struct rpc_stream *s, const grpc_op *ops, size_t n, struct rpc_tag *t)
{
	s->refs++;
	grpc_call_error e = grpc_call_start_batch(s->call, ops, n, t, NULL);
	assert(e == GRPC_CALL_OK);
	(void)e;
}

/* ------------------------------------------------------------------------------- identity */

static char *auth_property(grpc_auth_context *ctx, const char *name, const char *prefix)
{
	grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(ctx, name);
	for (;;) {
		const grpc_auth_property *p = grpc_auth_property_iterator_next(&it);
		if (!p)
			return mem_strdup("");
		if (str_starts(str_n(p->value, p->value_length), str_of(prefix)))
			return mem_strndup(p->value, p->value_length);
	}
}

/*
 * The first O of a subject as RFC 2253 writes it ("CN=a,O=b\,c"): attributes are
 * separated by unescaped commas or plus signs, a backslash takes the next character or two hex digits.
 */
static char *subject_organization(struct str dn)
{
	size_t i = 0;
	while (i < dn.len) {
		bool is_o = dn.len - i >= 2 && dn.p[i] == 'O' && dn.p[i + 1] == '=';
		struct buf v = { 0 };
		for (; i < dn.len && dn.p[i] != ',' && dn.p[i] != '+'; i++) {
			if (dn.p[i] == '\\' && i + 1 < dn.len)
				i++;
			buf_addc(&v, dn.p[i]);
		}
		i++;
		if (is_o) {
			char *o = mem_strndup(v.p + 2, v.len - 2);
			buf_fini(&v);
			return o;
		}
		buf_fini(&v);
	}
	return mem_strdup("");
}

static void stream_identify(struct rpc_stream *s)
{
	grpc_auth_context *ctx = grpc_call_auth_context(s->call);
	if (ctx && grpc_auth_context_peer_is_authenticated(ctx)) {
		s->cn = auth_property(ctx, GRPC_X509_CN_PROPERTY_NAME, "");
		char *dn = auth_property(ctx, GRPC_X509_SUBJECT_PROPERTY_NAME, "");
		s->org = subject_organization(str_of(dn));
		mem_free(dn);
		s->spiffe = auth_property(ctx, GRPC_PEER_SPIFFE_ID_PROPERTY_NAME, "spiffe://");
	}
	if (ctx)
		grpc_auth_context_release(ctx);
	s->address = grpc_call_get_peer(s->call);
	s->peer = (struct rpc_peer){ str_of(s->cn), str_of(s->org), str_of(s->spiffe),
				     str_of(s->address) };
}

/* -------------------------------------------------------------------------------- reading */

static void on_deliver(struct loop_task *t)
{
	struct rpc_stream *s = container_of(t, struct rpc_stream, deliver);
	if (s->paused || s->gone || !s->in_ready)
		return;
	s->in_ready = false;
	grpc_byte_buffer *in = s->in;
	s->in = NULL;
	s->refs++;
	if (!in) {
		s->peer_done = true;
		if (s->method->half_closed)
			s->method->half_closed(s->method->arg, s);
		else
			rpc_stream_end(s, RPC_OK, "");
	} else {
		grpc_byte_buffer_reader r;
		if (!s->ending && grpc_byte_buffer_reader_init(&r, in)) {
			grpc_slice all = grpc_byte_buffer_reader_readall(&r);
			s->method->message(s->method->arg, s,
					   str_n((const char *)GRPC_SLICE_START_PTR(all),
						 GRPC_SLICE_LENGTH(all)));
			grpc_slice_unref(all);
			grpc_byte_buffer_reader_destroy(&r);
		}
		grpc_byte_buffer_destroy(in);
		stream_read(s);
	}
	stream_unref(s);
}

static void on_read(struct rpc_tag *t, bool ok)
{
	struct rpc_stream *s = container_of(t, struct rpc_stream, read_tag);
	s->reading = false;
	if (ok && !s->gone) {
		s->in_ready = true;
		on_deliver(&s->deliver);
	}
	stream_unref(s);
}

static void stream_read(struct rpc_stream *s)
{
	if (s->reading || s->in_ready || s->peer_done || s->gone || s->ending)
		return;
	s->reading = true;
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &s->in };
	stream_batch(s, &op, 1, &s->read_tag);
}

/* -------------------------------------------------------------------------------- writing */

static void on_write(struct rpc_tag *t, bool ok)
{
	struct rpc_stream *s = container_of(t, struct rpc_stream, write_tag);
	bool had = s->sending != NULL;
	if (s->sending)
		grpc_byte_buffer_destroy(s->sending);
	s->sending = NULL;
	s->queued -= s->sending_len;
	s->sending_len = 0;
	s->writing = false;
	if (!ok)
		out_drop(s);
	else
		stream_pump(s);
	if (ok && had && !s->writing && !s->gone && !s->ending && s->method->drained)
		s->method->drained(s->method->arg, s);
	stream_unref(s);
}

/* Starts the next write: initial metadata once, then messages one at a time, the status last. */
static void stream_pump(struct rpc_stream *s)
{
	if (s->writing || s->status_sent || s->gone)
		return;
	grpc_op ops[3];
	memset(ops, 0, sizeof(ops));
	size_t n = 0;
	if (!s->head_sent)
		ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
	s->head_sent = true;
	if (s->out) {
		struct rpc_out *o = s->out;
		s->out = o->next;
		if (!s->out)
			s->out_tail = &s->out;
		s->sending = o->bytes;
		s->sending_len = o->len;
		mem_free(o);
		ops[n].op = GRPC_OP_SEND_MESSAGE;
		ops[n++].data.send_message.send_message = s->sending;
	}
	grpc_slice text = grpc_empty_slice();
	if (s->ending && !s->out) {
		text = grpc_slice_from_copied_string(s->status_text);
		ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
		ops[n].data.send_status_from_server.status = (grpc_status_code)s->status;
		ops[n++].data.send_status_from_server.status_details = &text;
		s->status_sent = true;
	}
	if (n) {
		s->writing = true;
		stream_batch(s, ops, n, &s->write_tag);
	}
	grpc_slice_unref(text);
}

bool rpc_stream_send(struct rpc_stream *s, struct str msg)
{
	if (s->ending || s->gone)
		return false;
	if (s->queued + msg.len > s->server->limits.queue_bytes_max) {
		s->ending = true;
		s->status_sent = true; /* by the cancellation */
		grpc_call_cancel_with_status(s->call, GRPC_STATUS_RESOURCE_EXHAUSTED,
					     "the reader does not keep up", NULL);
		return false;
	}
	grpc_slice slice = grpc_slice_from_copied_buffer(msg.p ? msg.p : "", msg.len);
	struct rpc_out *o = mem_new(struct rpc_out, 1);
	o->bytes = grpc_raw_byte_buffer_create(&slice, 1);
	o->len = msg.len;
	grpc_slice_unref(slice);
	*s->out_tail = o;
	s->out_tail = &o->next;
	s->queued += msg.len;
	stream_pump(s);
	return true;
}

size_t rpc_stream_queued(const struct rpc_stream *s)
{
	return s->queued;
}

void rpc_stream_pause(struct rpc_stream *s)
{
	s->paused = true;
}

void rpc_stream_resume(struct rpc_stream *s)
{
	s->paused = false;
	if (s->in_ready && !s->gone)
		loop_defer(s->server->loop, &s->deliver);
}

void rpc_stream_end(struct rpc_stream *s, enum rpc_status status, const char *text)
{
	if (s->ending || s->gone)
		return;
	s->ending = true;
	s->status = status;
	s->status_text = mem_strdup(text ? text : "");
	stream_pump(s);
}

void rpc_stream_reply(struct rpc_stream *s, struct str msg)
{
	if (rpc_stream_send(s, msg))
		rpc_stream_end(s, RPC_OK, "");
}

/* ------------------------------------------------------------------------ begin and end */

/* RECV_CLOSE_ON_SERVER: the one report that always comes, whatever ended the call. */
static void on_close(struct rpc_tag *t, bool ok)
{
	(void)ok;
	struct rpc_stream *s = container_of(t, struct rpc_stream, close_tag);
	list_del(&s->link);
	if (s->method)
		s->method->closed(s->method->arg, s, s->cancelled != 0);
	s->gone = true;
	stream_unref(s); /* the batch */
	stream_unref(s); /* being open */
}

static const struct rpc_method *method_of(const struct rpc_server *s, const char *path)
{
	for (size_t i = 0; i < s->methods_len; i++) {
		if (strcmp(s->methods[i].path, path) == 0)
			return &s->methods[i];
	}
	return NULL;
}

static void on_accept(struct rpc_tag *t, bool ok)
{
	struct rpc_stream *s = container_of(t, struct rpc_stream, accept_tag);
	if (!ok) { /* shutting down: there is no call */
		stream_unref(s);
		return;
	}
	rpc_stream_accept(s->server);
	s->refs++;
	list_append(&s->server->streams, &s->link);
	s->path = mem_strndup((const char *)GRPC_SLICE_START_PTR(s->details.method),
			      GRPC_SLICE_LENGTH(s->details.method));
	s->method = method_of(s->server, s->path);
	grpc_op op = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
		       .data.recv_close_on_server.cancelled = &s->cancelled };
	stream_batch(s, &op, 1, &s->close_tag);
	if (s->method) {
		stream_identify(s);
		s->method->open(s->method->arg, s);
		stream_pump(s); /* the peer sees at once that the stream is up */
		stream_read(s);
	} else {
		rpc_stream_end(s, RPC_UNIMPLEMENTED, "no such method");
	}
	stream_unref(s);
}

void rpc_stream_accept(struct rpc_server *server)
{
	struct rpc_stream *s = mem_new(struct rpc_stream, 1);
	s->server = server;
	s->refs = 1;
	s->out_tail = &s->out;
	s->accept_tag.fn = on_accept;
	s->read_tag.fn = on_read;
	s->write_tag.fn = on_write;
	s->close_tag.fn = on_close;
	s->deliver.fn = on_deliver;
	grpc_metadata_array_init(&s->metadata);
	grpc_call_details_init(&s->details);
	server->slots++;
	grpc_call_error e =
		grpc_server_request_call(server->core, &s->call, &s->details, &s->metadata,
					 server->cq, server->cq, &s->accept_tag);
	assert(e == GRPC_CALL_OK);
	(void)e;
}

const struct rpc_peer *rpc_stream_peer(const struct rpc_stream *s)
{
	return &s->peer;
}

const char *rpc_stream_path(const struct rpc_stream *s)
{
	return s->path;
}

void rpc_stream_set(struct rpc_stream *s, void *data)
{
	s->data = data;
}

void *rpc_stream_get(const struct rpc_stream *s)
{
	return s->data;
}
