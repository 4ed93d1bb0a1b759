#include "apiserver/gzip.h"

#include "base/mem.h"

#include <assert.h>
#include <isa-l/igzip_lib.h>

enum {
	GZIP_SLICE = 128 << 10,     /* half a millisecond of one core */
	GZIP_QUEUE_MAX = 512 << 10, /* ahead of the reader */
	GZIP_PIECE = 64 << 10,
	GZIP_LEVEL = 1, /* more takes twice as long for a hundredth less */
};

struct gzip_stream {
	struct http_request *http;
	struct loop *loop;
	struct loop_task task;
	struct http_body in;
	struct isal_zstream z;
	bool waiting; /* for the reader */
	uint8_t tables[ISAL_DEF_LVL1_DEFAULT];
	char slice[GZIP_SLICE];
};

/* Writes what the slice becomes; false when nobody reads any more. */
static bool write_compressed(struct gzip_stream *g)
{
	do {
		struct bytes *b = bytes_new(NULL, GZIP_PIECE);
		g->z.next_out = (uint8_t *)b->data;
		g->z.avail_out = GZIP_PIECE;
		int rc = isal_deflate(&g->z);
		assert(rc == COMP_OK);
		size_t n = GZIP_PIECE - g->z.avail_out;
		struct http_body out = { 0 };
		if (n)
			http_body_copy(&out, str_n(b->data, n));
		bytes_unref(b);
		if (n && !http_write_body(g->http, &out))
			return false;
	} while (g->z.avail_out == 0);
	return true;
}

static void on_turn(struct loop_task *t)
{
	struct gzip_stream *g = container_of(t, struct gzip_stream, task);
	size_t n = http_body_take(&g->in, g->slice, sizeof(g->slice));
	g->z.next_in = (uint8_t *)g->slice;
	g->z.avail_in = (uint32_t)n;
	bool last = g->in.bytes == 0;
	g->z.end_of_stream = last;
	if (!write_compressed(g))
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
	isal_deflate_init(&g->z);
	g->z.gzip_flag = IGZIP_GZIP;
	g->z.level = GZIP_LEVEL;
	g->z.level_buf = g->tables;
	g->z.level_buf_size = sizeof(g->tables);
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
	http_body_fini(&g->in);
	mem_free(g);
	return NULL;
}
