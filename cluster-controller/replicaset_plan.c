#include "replicaset_plan.h"

#include <stdlib.h>

struct ranked {
	const struct rs_pod *pod;
	size_t index;
	size_t crowd; /* live pods of this set on the same node */
};

static bool counts(const struct rs_pod *p)
{
	return !p->deleting && !p->finished;
}

static int by_flag(bool first_a, bool first_b)
{
	return (int)first_b - (int)first_a;
}

static int by_i64(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* Negative: a goes before b. */
static int order(const void *va, const void *vb)
{
	const struct ranked *a = va;
	const struct ranked *b = vb;
	const struct rs_pod *p = a->pod;
	const struct rs_pod *q = b->pod;
	int c = by_flag(!p->node.len, !q->node.len);
	if (!c)
		c = by_flag(!p->running && !p->unknown, !q->running && !q->unknown);
	if (!c)
		c = by_flag(p->unknown, q->unknown);
	if (!c)
		c = by_flag(!p->ready_s, !q->ready_s);
	if (!c)
		c = by_i64(p->deletion_cost, q->deletion_cost);
	if (!c)
		c = by_i64((int64_t)b->crowd, (int64_t)a->crowd);
	if (!c && p->ready_s && q->ready_s)
		c = by_i64(q->ready_s, p->ready_s); /* ready for a shorter time first */
	if (!c)
		c = by_i64(q->restarts, p->restarts);
	if (!c)
		c = by_i64(q->created_s, p->created_s);
	return c ? c : str_cmp(p->name, q->name);
}

static void pick_victims(struct arena *a, const struct rs_input *in, size_t surplus,
			 struct rs_plan *plan)
{
	struct ranked *r = arena_new(a, struct ranked, in->pods_len);
	size_t n = 0;
	for (size_t i = 0; i < in->pods_len; i++) {
		if (!counts(&in->pods[i]))
			continue;
		r[n] = (struct ranked){ &in->pods[i], i, 0 };
		for (size_t k = 0; k < in->pods_len; k++)
			r[n].crowd +=
				counts(&in->pods[k]) && str_eq(in->pods[k].node, in->pods[i].node);
		n++;
	}
	qsort(r, n, sizeof(*r), order);
	if (surplus > RS_BURST)
		surplus = RS_BURST;
	size_t *out = arena_new(a, size_t, surplus);
	for (size_t i = 0; i < surplus; i++)
		out[i] = r[i].index;
	plan->delete_idx = out;
	plan->delete_len = surplus;
}

static void count_status(const struct rs_input *in, struct rs_plan *plan)
{
	for (size_t i = 0; i < in->pods_len; i++) {
		const struct rs_pod *p = &in->pods[i];
		if (!counts(p))
			continue;
		plan->replicas++;
		plan->fully_labeled += p->all_labels;
		if (!p->ready_s)
			continue;
		plan->ready++;
		int64_t left = in->min_ready_s ? p->ready_s + in->min_ready_s - in->now_s : 0;
		if (left <= 0)
			plan->available++;
		else if (!plan->again_s || left < plan->again_s)
			plan->again_s = left;
	}
}

struct rs_plan replicaset_plan(struct arena *a, const struct rs_input *in)
{
	struct rs_plan plan = { 0 };
	count_status(in, &plan);
	if (in->deleting)
		return plan;
	int64_t diff = plan.replicas - in->replicas;
	if (diff < 0)
		plan.create = -diff > RS_BURST ? RS_BURST : (size_t)-diff;
	else if (diff > 0)
		pick_victims(a, in, (size_t)diff, &plan);
	return plan;
}
