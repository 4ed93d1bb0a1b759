/* The bytes of a spool segment: whatever they are, the reader ends, in order and within them. */
#include "spool.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str b = str_n((const char *)data, size);
	struct spool_header h;
	struct spool_record r;
	size_t off = spool_parse_header(b, &h) ? SPOOL_HEADER_BYTES : 0;
	while (off <= size) {
		size_t before = off;
		if (spool_parse_record(b, &off, &r) <= 0)
			break;
		if (off <= before || r.payload.p < b.p || r.payload.p + r.payload.len > b.p + b.len)
			abort();
	}
	return 0;
}
