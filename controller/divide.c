/* Sharing replicas out: largest remainder, levelling. */
#include "placement_plan.h"

#include <assert.h>
#include <stdlib.h>

struct quota {
	size_t index;
	int64_t rest; /* remainder of the division, in units of 1 / sum of weights */
	int64_t held;
};

static int by_rest(const void *pa, const void *pb)
{
	const struct quota *a = pa;
	const struct quota *b = pb;
	if (a->rest != b->rest)
		return a->rest < b->rest ? 1 : -1;
	if (a->held != b->held)
		return a->held < b->held ? 1 : -1;
	return a->index < b->index ? -1 : 1;
}

void placement_divide(struct arena *a, int64_t total, const int64_t *weights, const int64_t *held,
		      size_t n, int64_t *ret)
{
	struct quota *q = arena_new(a, struct quota, n);
	int64_t sum = 0;
	for (size_t i = 0; i < n; i++) {
		assert(weights[i] >= 0);
		sum += weights[i];
		ret[i] = 0;
	}
	if (sum == 0 || total <= 0)
		return;
	int64_t left = total;
	size_t used = 0;
	for (size_t i = 0; i < n; i++) {
		__extension__ __int128 exact = (__int128)total * weights[i];
		ret[i] = (int64_t)(exact / sum);
		left -= ret[i];
		if (weights[i] > 0)
			q[used++] = (struct quota){ i, (int64_t)(exact % sum), held[i] };
	}
	qsort(q, used, sizeof(*q), by_rest);
	for (size_t i = 0; i < used && left > 0; i++, left--)
		ret[q[i].index]++;
	assert(left == 0);
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high : v;
}

static int64_t sum_clamped(const int64_t *s, size_t n, int64_t low, int64_t skew)
{
	int64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += clamp(s[i], low, low + skew);
	return sum;
}

void placement_level(int64_t *shares, size_t n, int64_t skew)
{
	int64_t sum = 0;
	int64_t low = 0;
	int64_t high = 0;
	for (size_t i = 0; i < n; i++) {
		sum += shares[i];
		high = shares[i] > high ? shares[i] : high;
	}
	/* The highest floor at which the clamped shares still fit into the sum. */
	while (low < high) {
		int64_t mid = low + (high - low + 1) / 2;
		if (sum_clamped(shares, n, mid, skew) <= sum)
			low = mid;
		else
			high = mid - 1;
	}
	/*
	 * One floor higher would be too much: what is left lifts the lowest first, and only when all of
	 * those are lifted the highest, so that the band is never wider than skew.
	 */
	int64_t left = sum - sum_clamped(shares, n, low, skew);
	int64_t lowest = 0;
	for (size_t i = 0; i < n; i++)
		lowest += shares[i] <= low;
	int64_t lift_low = left < lowest ? left : lowest;
	int64_t lift_high = left - lift_low;
	for (size_t i = 0; i < n; i++) {
		if (shares[i] <= low)
			shares[i] = low + (lift_low-- > 0);
		else if (shares[i] > low + skew)
			shares[i] = low + skew + (lift_high-- > 0);
	}
}
