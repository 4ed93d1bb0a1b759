#include "store/store_priv.h"

/*
 * The log's length is known at marks, so many to each limit that a mark is
 * coarser than no more than a 64th of it.
 */
enum { MARKS_A_LIMIT = 64 };

int64_t store_epoch_rev(int64_t rev, int64_t unix_ms)
{
	const int64_t begin_s = 1577836800; /* 2020-01-01 */
	const int64_t seconds_max = INT64_C(1) << 32;
	int64_t s = unix_ms / 1000 - begin_s;
	s = s < 0 ? 0 : s > seconds_max ? seconds_max : s;
	int64_t by_clock = s << 30;
	return rev + STORE_EPOCH_STEP > by_clock ? rev + STORE_EPOCH_STEP : by_clock;
}

static void thin_out(struct store_history *h)
{
	size_t kept = 0;
	for (size_t i = 0; i < h->n; i += 2)
		h->mark[kept++] = h->mark[i];
	h->n = kept;
}

void store_history_note(struct store_history *h, const struct store_history_limits *l,
			uint64_t now_ms, int64_t rev, uint64_t bytes)
{
	h->bytes += bytes;
	if (h->n > 0) {
		const struct store_history_mark *m = &h->mark[h->n - 1];
		bool soon = now_ms - m->ms < l->ms / MARKS_A_LIMIT + 1 &&
			    (uint64_t)(rev - m->rev) < l->revs / MARKS_A_LIMIT + 1 &&
			    h->bytes - m->bytes < l->bytes / MARKS_A_LIMIT + 1;
		if (soon)
			return;
	}
	if (h->n == STORE_HISTORY_MARKS)
		thin_out(h);
	h->mark[h->n++] = (struct store_history_mark){ now_ms, rev, h->bytes };
}

int64_t store_history_target(const struct store_history *h, const struct store_history_limits *l,
			     uint64_t now_ms, int64_t rev)
{
	int64_t old = 0; /* below it: older than the time to keep */
	int64_t big = 0; /* below it: over the bytes to keep */
	bool fits = h->n == 0 || h->bytes <= l->bytes;
	for (size_t i = 0; i < h->n; i++) {
		const struct store_history_mark *m = &h->mark[i];
		if (now_ms - m->ms >= l->ms)
			old = m->rev + 1;
		if (!fits) {
			big = m->rev + 1;
			fits = h->bytes - m->bytes <= l->bytes;
		}
	}
	int64_t many = rev >= 0 && (uint64_t)rev >= l->revs ? rev - (int64_t)l->revs + 1 : 0;
	int64_t allowed = old < many ? old : many;
	return big > allowed ? big : allowed;
}

void store_history_drop(struct store_history *h, int64_t rev)
{
	size_t gone = 0;
	while (gone < h->n && h->mark[gone].rev < rev)
		gone++;
	if (gone == 0)
		return;
	uint64_t bytes = h->mark[gone - 1].bytes;
	size_t kept = 0;
	for (size_t i = gone; i < h->n; i++) {
		h->mark[kept] = h->mark[i];
		h->mark[kept++].bytes -= bytes;
	}
	h->n = kept;
	h->bytes -= bytes;
}
