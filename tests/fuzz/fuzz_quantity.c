#include "text/quantity.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct quantity q;
	if (quantity_parse(str_n((const char *)data, len), &q, NULL))
		return 0;
	/* The canonical text means the same, and is canonical. */
	struct buf once = { 0 };
	struct buf twice = { 0 };
	quantity_write(&once, q);
	struct quantity again;
	if (quantity_parse(buf_str(&once), &again, NULL) || quantity_cmp(q, again))
		abort();
	quantity_write(&twice, again);
	if (!str_eq(buf_str(&once), buf_str(&twice)))
		abort();
	int64_t units = quantity_value(q);
	if (quantity_sign(quantity_sub(q, again)))
		abort();
	if (units > -1000000000000 && units < 1000000000000 &&
	    (quantity_milli(q) / 1000 > units + 1 || quantity_milli(q) / 1000 < units - 1))
		abort();
	buf_fini(&once);
	buf_fini(&twice);
	return 0;
}
