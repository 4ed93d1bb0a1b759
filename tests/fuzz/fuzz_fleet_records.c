/* Annotations that the fleet keeps and users can change: placed, tombstones.  What was read is written and read again the same. */
#include "records.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 65536)
		return 0;
	struct arena a = { 0 };
	struct buf b = { 0 };
	struct str text = arena_str(&a, str_n((const char *)data, size));
	struct records r = records_read(&a, text);
	records_write(&b, r.a, r.len);
	struct records again = records_read(&a, buf_str(&b));
	assert(again.len == r.len);
	for (size_t i = 0; i < r.len; i++)
		assert(str_eq(r.a[i].cluster, again.a[i].cluster) && r.a[i].n == again.a[i].n);
	struct tombstones t = tombstones_read(&a, text);
	struct tombstones back = tombstones_read(&a, tombstones_write(&a, &t));
	assert(back.len == t.len);
	buf_fini(&b);
	arena_fini(&a);
	return 0;
}
