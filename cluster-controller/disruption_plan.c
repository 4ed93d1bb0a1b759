#include "disruption_plan.h"

static int64_t share(const struct disruption_bound *b, int64_t of)
{
	return b->percent ? (of * b->value + 99) / 100 : b->value;
}

/* What the owners of the pods want; an owner counts once. */
static int64_t scale_of(const struct disruption_input *in)
{
	int64_t sum = 0;
	for (size_t o = 0; o < in->scales_len; o++)
		for (size_t i = 0; i < in->pods_len; i++)
			if (in->pods[i].owner == o) {
				sum += in->scales[o];
				break;
			}
	return sum;
}

struct disruption_plan disruption_plan(struct arena *a, const struct disruption_input *in)
{
	struct disruption_plan p = { .expected = (int64_t)in->pods_len };
	size_t *granted = arena_new(a, size_t, in->pods_len + 1);
	if (in->max_unavailable.set) {
		p.expected = scale_of(in);
		p.desired = p.expected - share(&in->max_unavailable, p.expected);
	} else if (in->min_available.set) {
		if (in->min_available.percent)
			p.expected = scale_of(in);
		p.desired = share(&in->min_available, p.expected);
	}
	if (p.desired < 0)
		p.desired = 0;
	for (size_t i = 0; i < in->pods_len; i++) {
		const struct disruption_pod *pod = &in->pods[i];
		int64_t left = pod->granted_s + DISRUPTION_GRANT_S - in->now_s;
		if (pod->deleting)
			continue;
		if (pod->granted_s && left > 0) {
			granted[p.granted_len++] = i;
			if (!p.again_s || left < p.again_s)
				p.again_s = left;
		} else if (pod->ready) {
			p.healthy++;
		}
	}
	p.granted_idx = granted;
	if (p.expected > 0 && p.healthy > p.desired)
		p.allowed = p.healthy - p.desired;
	return p;
}
