#include "base/bytes.h"

#include "base/mem.h"

#include <assert.h>

struct bytes *bytes_new(const void *p, size_t n)
{
	assert(n < UINT32_MAX - 64);
	struct bytes *b = mem_resize(NULL, sizeof(*b) + n + 1, 1);
	atomic_init(&b->refs, 1);
	b->len = (uint32_t)n;
	if (p && n)
		memcpy(b->data, p, n);
	b->data[n] = '\0';
	return b;
}

struct bytes *bytes_of_str(struct str s)
{
	return bytes_new(s.p ? s.p : "", s.len);
}

struct bytes *bytes_ref(struct bytes *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void bytes_unref(struct bytes *b)
{
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		mem_free(b);
}
