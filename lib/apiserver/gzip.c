#include "apiserver/gzip.h"

#include "base/mem.h"

#include <assert.h>
#include <zlib.h>

enum { GZIP_PIECE = 64 << 10, GZIP_LEVEL = 1, GZIP_WINDOW = 15 + 16 /* gzip framing */ };

static void drain(z_stream *z, struct http_body *out, int flush)
{
	int rc;
	do {
		struct bytes *b = bytes_new(NULL, GZIP_PIECE);
		z->next_out = (Bytef *)b->data;
		z->avail_out = GZIP_PIECE;
		rc = deflate(z, flush);
		assert(rc != Z_STREAM_ERROR);
		size_t n = GZIP_PIECE - z->avail_out;
		if (n)
			http_body_part(out, b, str_n(b->data, n));
		bytes_unref(b);
	} while (z->avail_out == 0 || (flush == Z_FINISH && rc != Z_STREAM_END));
}

void gzip_body(struct http_body *body)
{
	z_stream z = { 0 };
	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		mem_abort();
	struct http_body out = { 0 };
	char *in = mem_new(char, GZIP_PIECE);
	for (;;) {
		size_t n = http_body_take(body, in, GZIP_PIECE);
		if (n == 0)
			break;
		z.next_in = (Bytef *)in;
		z.avail_in = (uInt)n;
		drain(&z, &out, Z_NO_FLUSH);
	}
	drain(&z, &out, Z_FINISH);
	(void)deflateEnd(&z);
	mem_free(in);
	http_body_fini(body);
	*body = out;
}
