#include "telemetry/pack.h"

#include <assert.h>
#include <zstd.h>

void pack_close(struct str in, int level, struct buf *out)
{
	buf_reserve(out, ZSTD_compressBound(in.len));
	size_t n = ZSTD_compress(out->p + out->len, ZSTD_compressBound(in.len), in.p ? in.p : "",
				 in.len, level);
	assert(!ZSTD_isError(n)); /* memory and level are right */
	out->len += n;
}

int pack_open(struct str frame, size_t max, struct buf *out, struct error *err)
{
	unsigned long long size = ZSTD_getFrameContentSize(frame.p ? frame.p : "", frame.len);
	if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN)
		return error_set(err, ERR_BAD_REQUEST, "not a zstd frame with its size");
	if (size > max)
		return error_set(err, ERR_TOO_LARGE, "a frame of %llu bytes, at most %zu", size,
				 max);
	buf_reserve(out, (size_t)size + 1);
	size_t n = ZSTD_decompress(out->p + out->len, (size_t)size, frame.p, frame.len);
	if (ZSTD_isError(n) || n != size)
		return error_set(err, ERR_BAD_REQUEST, "a damaged zstd frame");
	out->len += n;
	return 0;
}
