#include "sched_plan.h"

#include <inttypes.h>

enum { SCORE_MAX = 100, WEIGHT_SPREAD = 2, WEIGHT_TAINT = 3, REASONS_MAX = 64 };

/* ---- small things ---- */

struct str sched_label_get(const struct sched_labels *labels, struct str key)
{
	for (size_t i = 0; i < labels->len; i++)
		if (str_eq(labels->list[i].key, key))
			return labels->list[i].value.p ? labels->list[i].value : STR("");
	return STR_NONE;
}

int64_t sched_resources_get(const struct sched_resources *r, struct str name)
{
	for (size_t i = 0; i < r->len; i++)
		if (str_eq(r->list[i].name, name))
			return r->list[i].amount;
	return 0;
}

void sched_resources_add(struct sched_resources *r, struct str name, int64_t amount)
{
	for (size_t i = 0; i < r->len; i++) {
		if (str_eq(r->list[i].name, name)) {
			r->list[i].amount += amount;
			return;
		}
	}
	if (r->len < SCHED_RESOURCES_MAX)
		r->list[r->len++] = (struct sched_resource){ name, amount };
}

static bool value_in(struct str v, const struct sched_requirement *r)
{
	for (size_t i = 0; i < r->values_len; i++)
		if (str_eq(v, r->values[i]))
			return true;
	return false;
}

static bool requirement_holds(const struct sched_requirement *r, const struct sched_labels *labels)
{
	struct str v = sched_label_get(labels, r->key);
	int64_t have = 0;
	int64_t want = 0;
	switch (r->op) {
	case SCHED_IN:
		return v.p && value_in(v, r);
	case SCHED_NOT_IN:
		return !v.p || !value_in(v, r);
	case SCHED_EXISTS:
		return v.p;
	case SCHED_NOT_EXISTS:
		return !v.p;
	case SCHED_GT:
	case SCHED_LT:
		if (!v.p || r->values_len != 1 || !str_to_i64(v, &have) ||
		    !str_to_i64(r->values[0], &want))
			return false;
		return r->op == SCHED_GT ? have > want : have < want;
	}
	return false;
}

bool sched_term_matches(const struct sched_term *t, const struct sched_labels *labels)
{
	for (size_t i = 0; i < t->len; i++)
		if (!requirement_holds(&t->list[i], labels))
			return false;
	return true;
}

bool sched_tolerates(const struct sched_toleration *list, size_t n, const struct sched_taint *taint)
{
	for (size_t i = 0; i < n; i++) {
		const struct sched_toleration *t = &list[i];
		if (!t->any_effect && t->effect != taint->effect)
			continue;
		if (t->key.len ? !str_eq(t->key, taint->key) : !t->exists)
			continue;
		if (t->exists || str_eq(t->value, taint->value))
			return true;
	}
	return false;
}

/* ---- filters ---- */

struct state {
	struct arena *a;
	const struct sched_pod *pod;
	const struct sched_node *nodes;
	size_t n;
	struct str *why; /* per node; p NULL = passes */
};

static bool selected(const struct sched_pod *pod, const struct sched_node *node)
{
	for (size_t i = 0; i < pod->node_selector_len; i++) {
		struct str v = sched_label_get(&node->labels, pod->node_selector[i].key);
		if (!v.p || !str_eq(v, pod->node_selector[i].value))
			return false;
	}
	if (!pod->affinity_len)
		return true;
	for (size_t i = 0; i < pod->affinity_len; i++)
		if (pod->affinity[i].len && sched_term_matches(&pod->affinity[i], &node->labels))
			return true;
	return false;
}

static const struct sched_taint *untolerated(const struct sched_pod *pod,
					     const struct sched_node *node)
{
	for (size_t i = 0; i < node->taints_len; i++)
		if (node->taints[i].effect != SCHED_PREFER_NO_SCHEDULE &&
		    !sched_tolerates(pod->tolerations, pod->tolerations_len, &node->taints[i]))
			return &node->taints[i];
	return NULL;
}

static struct str filter_resources(const struct state *s, const struct sched_node *node)
{
	if (sched_resources_get(&node->used, STR("pods")) + 1 >
	    sched_resources_get(&node->allocatable, STR("pods")))
		return STR("Too many pods");
	for (size_t i = 0; i < s->pod->requests.len; i++) {
		const struct sched_resource *want = &s->pod->requests.list[i];
		if (want->amount > 0 &&
		    sched_resources_get(&node->used, want->name) + want->amount >
			    sched_resources_get(&node->allocatable, want->name))
			return arena_strf(s->a, "Insufficient %.*s", STR_ARG(want->name));
	}
	return STR_NONE;
}

static struct str filter_node(const struct state *s, const struct sched_node *node)
{
	const struct sched_taint cordon = { STR("node.kubernetes.io/unschedulable"), STR(""),
					    SCHED_NO_SCHEDULE };
	if (node->unschedulable &&
	    !sched_tolerates(s->pod->tolerations, s->pod->tolerations_len, &cordon))
		return STR("node(s) were unschedulable");
	if (node->not_ready)
		return STR("node(s) were not ready");
	const struct sched_taint *t = untolerated(s->pod, node);
	if (t)
		return arena_strf(s->a, "node(s) had untolerated taint {%.*s: %.*s}",
				  STR_ARG(t->key), STR_ARG(t->value));
	if (!selected(s->pod, node))
		return STR("node(s) didn't match Pod's node affinity/selector");
	return filter_resources(s, node);
}

/* ---- topology spread ---- */

struct domain {
	struct str value;
	int64_t pods;
};

struct domains {
	struct domain *list;
	size_t len;
	int64_t least;
};

static struct domain *domain_of(struct domains *d, struct str value)
{
	for (size_t i = 0; i < d->len; i++)
		if (str_eq(d->list[i].value, value))
			return &d->list[i];
	return NULL;
}

static int64_t matching_pods(const struct sched_spread *sp, const struct sched_pod *pod,
			     const struct sched_node *node)
{
	int64_t n = 0;
	for (size_t i = 0; i < node->pods_len; i++)
		n += !node->pods[i].deleting && str_eq(node->pods[i].ns, pod->ns) &&
		     sched_term_matches(&sp->selector, &node->pods[i].labels);
	return n;
}

/* Domains are made of the nodes that the pod could ever use, as nodeAffinityPolicy and nodeTaintsPolicy say. */
static struct domains count_domains(const struct state *s, const struct sched_spread *sp)
{
	struct domains d = { .list = arena_new(s->a, struct domain, s->n) };
	for (size_t i = 0; i < s->n; i++) {
		const struct sched_node *node = &s->nodes[i];
		struct str v = sched_label_get(&node->labels, sp->topology_key);
		if (!v.p || (!sp->ignore_affinity && !selected(s->pod, node)) ||
		    (sp->honor_taints && untolerated(s->pod, node)))
			continue;
		struct domain *x = domain_of(&d, v);
		if (!x) {
			x = &d.list[d.len++];
			x->value = v;
		}
		x->pods += matching_pods(sp, s->pod, node);
	}
	d.least = d.len ? INT64_MAX : 0;
	for (size_t i = 0; i < d.len; i++)
		if (d.list[i].pods < d.least)
			d.least = d.list[i].pods;
	if (sp->min_domains > (int64_t)d.len)
		d.least = 0;
	return d;
}

static void filter_spread(const struct state *s, const struct sched_spread *sp, struct domains *d)
{
	bool self = sched_term_matches(&sp->selector, &s->pod->labels);
	for (size_t i = 0; i < s->n; i++) {
		if (s->why[i].p)
			continue;
		struct str v = sched_label_get(&s->nodes[i].labels, sp->topology_key);
		struct domain *x = v.p ? domain_of(d, v) : NULL;
		if (!x)
			s->why[i] = STR("node(s) didn't match pod topology spread constraints "
					"(missing required label)");
		else if (x->pods + self - d->least > sp->max_skew)
			s->why[i] = STR("node(s) didn't match pod topology spread constraints");
	}
}

/* ---- scores ---- */

static int64_t score_free(const struct sched_pod *pod, const struct sched_node *node)
{
	static const struct str names[] = { { "cpu", 3 }, { "memory", 6 } };
	int64_t sum = 0;
	for (size_t i = 0; i < 2; i++) {
		int64_t have = sched_resources_get(&node->allocatable, names[i]);
		int64_t used = sched_resources_get(&node->used, names[i]) +
			       sched_resources_get(&pod->requests, names[i]);
		if (have > 0 && used < have)
			sum += (int64_t)((double)(have - used) / (double)have * SCORE_MAX);
	}
	/* pods that ask for nothing are still better spread */
	int64_t slots = sched_resources_get(&node->allocatable, STR("pods"));
	int64_t taken = sched_resources_get(&node->used, STR("pods"));
	sum += slots > 0 ? (slots - taken) * SCORE_MAX / slots : 0;
	return sum / 3;
}

static int64_t score_spread(const struct state *s, const struct sched_node *node,
			    struct domains *const *d)
{
	int64_t score = 0;
	for (size_t k = 0; k < s->pod->spreads_len; k++) {
		struct str v = sched_label_get(&node->labels, s->pod->spreads[k].topology_key);
		const struct domain *x = v.p ? domain_of(d[k], v) : NULL;
		int64_t more = x ? x->pods - d[k]->least : SCORE_MAX / 10;
		score += more >= SCORE_MAX / 10 ? 0 : SCORE_MAX - more * 10;
	}
	return s->pod->spreads_len ? score / (int64_t)s->pod->spreads_len : 0;
}

static int64_t score_taints(const struct sched_pod *pod, const struct sched_node *node)
{
	int64_t bad = 0;
	for (size_t i = 0; i < node->taints_len; i++)
		bad += node->taints[i].effect == SCHED_PREFER_NO_SCHEDULE &&
		       !sched_tolerates(pod->tolerations, pod->tolerations_len, &node->taints[i]);
	return bad ? 0 : SCORE_MAX;
}

static int choose(const struct state *s, struct domains *const *d)
{
	int best = SCHED_NONE;
	int64_t best_score = 0;
	uint64_t best_tie = 0;
	uint64_t seed = str_hash(s->pod->uid, 0);
	for (size_t i = 0; i < s->n; i++) {
		if (s->why[i].p)
			continue;
		int64_t score = score_free(s->pod, &s->nodes[i]) +
				WEIGHT_SPREAD * score_spread(s, &s->nodes[i], d) +
				WEIGHT_TAINT * score_taints(s->pod, &s->nodes[i]);
		uint64_t tie = str_hash(s->nodes[i].name, seed);
		if (best == SCHED_NONE || score > best_score ||
		    (score == best_score && tie > best_tie)) {
			best = (int)i;
			best_score = score;
			best_tie = tie;
		}
	}
	return best;
}

/* ---- the reason ---- */

static void explain(const struct state *s, struct buf *why)
{
	struct {
		struct str text;
		size_t n;
	} reasons[REASONS_MAX];
	size_t len = 0;
	for (size_t i = 0; i < s->n; i++) {
		size_t k = 0;
		while (k < len && !str_eq(reasons[k].text, s->why[i]))
			k++;
		if (k == len && len < REASONS_MAX) {
			reasons[len].text = s->why[i];
			reasons[len++].n = 0;
		}
		if (k < len)
			reasons[k].n++;
	}
	buf_addf(why, "0/%zu nodes are available", s->n);
	/* the same cluster gives the same text: sorted */
	for (size_t done = 0; done < len; done++) {
		size_t least = len;
		for (size_t k = 0; k < len; k++)
			if (reasons[k].n &&
			    (least == len || str_cmp(reasons[k].text, reasons[least].text) < 0))
				least = k;
		if (least == len)
			break;
		buf_addf(why, "%s %zu %.*s", done ? "," : ":", reasons[least].n,
			 STR_ARG(reasons[least].text));
		reasons[least].n = 0;
	}
	buf_addc(why, '.');
}

int sched_plan(struct arena *a, const struct sched_pod *pod, const struct sched_node *nodes,
	       size_t n, struct buf *why)
{
	struct state s = {
		.a = a, .pod = pod, .nodes = nodes, .n = n, .why = arena_new(a, struct str, n)
	};
	for (size_t i = 0; i < n; i++)
		s.why[i] = filter_node(&s, &nodes[i]);
	struct domains **d = arena_new(a, struct domains *, pod->spreads_len);
	for (size_t k = 0; k < pod->spreads_len; k++) {
		d[k] = arena_new(a, struct domains, 1);
		*d[k] = count_domains(&s, &pod->spreads[k]);
		if (pod->spreads[k].hard)
			filter_spread(&s, &pod->spreads[k], d[k]);
	}
	int best = choose(&s, d);
	if (best == SCHED_NONE)
		explain(&s, why);
	return best;
}
