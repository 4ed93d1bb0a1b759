#include "apiserver/gzip.h"

#include "base/mem.h"

#include <assert.h>
#include <zlib.h>

enum {
	GZIP_SLICE = 128 << 10,     /* a few milliseconds of one core */
	GZIP_QUEUE_MAX = 512 << 10, /* ahead of the reader */
	GZIP_PIECE = 64 << 10,
	GZIP_LEVEL = 1,
	GZIP_WINDOW = 15 + 16, /* gzip framing */
};

struct gzip_stream {
	struct http_request *http;
	struct loop *loop;
	struct loop_task task;
	struct http_body in;
	z_stream z;
	bool waiting; /* for the reader */
	char slice[GZIP_SLICE];
};

static bool write_compressed(struct gzip_stream *g, int flush)
{
	int rc;
	do {
		struct bytes *b = bytes_new(NULL, GZIP_PIECE);
		g->z.next_out = (Bytef *)b->data;
		g->z.avail_out = GZIP_PIECE;
		rc = deflate(&g->z, flush);
		assert(rc != Z_STREAM_ERROR);
		size_t n = GZIP_PIECE - g->z.avail_out;
		struct http_body out = { 0 };
		if (n)
			http_body_copy(&out, str_n(b->data, n));
		bytes_unref(b);
		if (n && !http_write_body(g->http, &out))
			return false;
	} while (g->z.avail_out == 0 || (flush == Z_FINISH && rc != Z_STREAM_END));
	return true;
}

static void on_turn(struct loop_task *t)
{
	struct gzip_stream *g = container_of(t, struct gzip_stream, task);
	size_t n = http_body_take(&g->in, g->slice, sizeof(g->slice));
	g->z.next_in = (Bytef *)g->slice;
	g->z.avail_in = (uInt)n;
	bool last = g->in.bytes == 0;
	if (!write_compressed(g, last ? Z_FINISH : Z_NO_FLUSH))
		return;
	if (last)
		http_end(g->http);
	else if (http_queued(g->http) > GZIP_QUEUE_MAX)
		g->waiting = true;
	else
		loop_defer(g->loop, &g->task);
}

struct gzip_stream *gzip_start(struct http_request *http, struct loop *loop, struct http_body *body)
{
	struct gzip_stream *g = mem_new(struct gzip_stream, 1);
	g->http = http;
	g->loop = loop;
	g->task.fn = on_turn;
	g->in = *body;
	*body = (struct http_body){ 0 };
	if (deflateInit2(&g->z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		mem_abort();
	loop_defer(loop, &g->task);
	return g;
}

void gzip_drained(struct gzip_stream *g)
{
	if (!g->waiting)
		return;
	g->waiting = false;
	loop_defer(g->loop, &g->task);
}

struct gzip_stream *gzip_free(struct gzip_stream *g)
{
	if (!g)
		return NULL;
	loop_task_cancel(&g->task);
	(void)deflateEnd(&g->z);
	http_body_fini(&g->in);
	mem_free(g);
	return NULL;
}
