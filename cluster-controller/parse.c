#include "parse.h"

#include "text/quantity.h"
#include "text/rfc3339.h"

static struct str keep(struct arena *a, const struct json *j)
{
	struct str s = json_str(j);
	return s.p ? arena_str(a, s) : STR_NONE;
}

int64_t parse_time(const struct json *j)
{
	int64_t s = 0;
	return rfc3339_parse(json_str(j), &s, NULL) ? s : 0;
}

const struct json *parse_condition(const struct json *conditions, const char *type)
{
	for (size_t i = 0; i < json_len(conditions); i++)
		if (str_is(json_str(json_getc(json_at(conditions, i), "type")), type))
			return json_at(conditions, i);
	return NULL;
}

static struct sched_labels labels_of(struct arena *a, const struct json *obj)
{
	size_t n = json_is(obj, JSON_OBJECT) ? json_len(obj) : 0;
	struct sched_label *l = arena_new(a, struct sched_label, n);
	for (size_t i = 0; i < n; i++) {
		l[i].key = keep(a, &obj->members[i].key);
		l[i].value = keep(a, &obj->members[i].value);
	}
	return (struct sched_labels){ l, n };
}

static struct str controller_uid(struct arena *a, const struct json *meta)
{
	const struct json *refs = json_getc(meta, "ownerReferences");
	for (size_t i = 0; i < json_len(refs); i++)
		if (json_bool(json_getc(json_at(refs, i), "controller"), false))
			return keep(a, json_getc(json_at(refs, i), "uid"));
	return STR("");
}

struct meta {
	struct str key, ns, name, uid, rv;
	int64_t created_s, generation;
	bool deleting;
};

static struct meta meta_of(struct arena *a, const struct json *obj)
{
	const struct json *m = json_getc(obj, "metadata");
	struct meta r = {
		.ns = keep(a, json_getc(m, "namespace")),
		.name = keep(a, json_getc(m, "name")),
		.uid = keep(a, json_getc(m, "uid")),
		.rv = keep(a, json_getc(m, "resourceVersion")),
		.created_s = parse_time(json_getc(m, "creationTimestamp")),
		.generation = json_i64(json_getc(m, "generation"), 0),
		.deleting = json_getc(m, "deletionTimestamp") != NULL,
	};
	r.key = r.ns.len ? arena_strf(a, "%.*s/%.*s", STR_ARG(r.ns), STR_ARG(r.name)) : r.name;
	return r;
}

/* ---- resources ---- */

static int64_t amount(struct str name, const struct json *j)
{
	struct quantity q;
	if (j && j->type == JSON_INT)
		return str_is(name, "cpu") ? j->i * 1000 : j->i;
	if (quantity_parse(json_str(j), &q, NULL) != 0)
		return 0;
	return str_is(name, "cpu") ? quantity_milli(q) : quantity_value(q);
}

static void add_resources(struct arena *a, const struct json *list, struct sched_resources *sum)
{
	for (size_t i = 0; i < json_len(list) && json_is(list, JSON_OBJECT); i++) {
		struct str name = keep(a, &list->members[i].key);
		sched_resources_add(sum, name, amount(name, &list->members[i].value));
	}
}

/* Init containers run one after the other before the others start: the greater of both demands counts. */
static void requests_of(struct arena *a, const struct json *spec, struct sched_resources *sum)
{
	const struct json *list = json_getc(spec, "containers");
	for (size_t i = 0; i < json_len(list); i++)
		add_resources(a, json_dig(json_at(list, i), "resources", "requests", NULL), sum);
	const struct json *init = json_getc(spec, "initContainers");
	for (size_t i = 0; i < json_len(init); i++) {
		struct sched_resources one = { 0 };
		add_resources(a, json_dig(json_at(init, i), "resources", "requests", NULL), &one);
		bool sidecar =
			str_is(json_str(json_getc(json_at(init, i), "restartPolicy")), "Always");
		for (size_t k = 0; k < one.len; k++) {
			int64_t have = sched_resources_get(sum, one.list[k].name);
			int64_t more = sidecar ? one.list[k].amount : one.list[k].amount - have;
			if (more > 0)
				sched_resources_add(sum, one.list[k].name, more);
		}
	}
	add_resources(a, json_getc(spec, "overhead"), sum);
}

/* ---- requirements ---- */

static bool op_of(struct str s, enum sched_op *ret)
{
	static const char *const names[] = { "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (str_is(s, names[i])) {
			*ret = (enum sched_op)i;
			return true;
		}
	}
	return false;
}

static void add_expressions(struct arena *a, const struct json *list, struct sched_requirement *out,
			    size_t *n)
{
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *e = json_at(list, i);
		struct sched_requirement *r = &out[*n];
		if (!op_of(json_str(json_getc(e, "operator")), &r->op))
			continue;
		r->key = keep(a, json_getc(e, "key"));
		const struct json *values = json_getc(e, "values");
		struct str *v = arena_new(a, struct str, json_len(values));
		for (size_t k = 0; k < json_len(values); k++)
			v[k] = keep(a, json_at(values, k));
		r->values = v;
		r->values_len = json_len(values);
		(*n)++;
	}
}

static void add_equal(struct arena *a, struct str key, struct str value,
		      struct sched_requirement *out, size_t *n)
{
	struct str *v = arena_new(a, struct str, 1);
	*v = value;
	out[(*n)++] = (struct sched_requirement){
		.key = key, .op = SCHED_IN, .values = v, .values_len = 1
	};
}

/* A LabelSelector, with the pod's own values of matchLabelKeys. */
static struct sched_term selector_of(struct arena *a, const struct json *sel,
				     const struct json *label_keys, const struct sched_labels *own)
{
	const struct json *labels = json_getc(sel, "matchLabels");
	const struct json *expr = json_getc(sel, "matchExpressions");
	size_t room = json_len(labels) + json_len(expr) + json_len(label_keys);
	struct sched_requirement *r = arena_new(a, struct sched_requirement, room);
	size_t n = 0;
	for (size_t i = 0; i < json_len(labels) && json_is(labels, JSON_OBJECT); i++)
		add_equal(a, keep(a, &labels->members[i].key), keep(a, &labels->members[i].value),
			  r, &n);
	add_expressions(a, expr, r, &n);
	for (size_t i = 0; i < json_len(label_keys); i++) {
		struct str key = keep(a, json_at(label_keys, i));
		struct str v = sched_label_get(own, key);
		if (v.p)
			add_equal(a, key, v, r, &n);
	}
	if (!sel) /* no selector selects nothing */
		r = NULL;
	return (struct sched_term){ r, n };
}

static void affinity_of(struct arena *a, const struct json *spec, struct sched_pod *p)
{
	const struct json *terms = json_dig(spec, "affinity", "nodeAffinity",
					    "requiredDuringSchedulingIgnoredDuringExecution",
					    "nodeSelectorTerms", NULL);
	struct sched_term *out = arena_new(a, struct sched_term, json_len(terms));
	for (size_t i = 0; i < json_len(terms); i++) {
		const struct json *expr = json_getc(json_at(terms, i), "matchExpressions");
		struct sched_requirement *r =
			arena_new(a, struct sched_requirement, json_len(expr));
		size_t n = 0;
		add_expressions(a, expr, r, &n);
		out[i] = (struct sched_term){ r, n };
	}
	p->affinity = out;
	p->affinity_len = json_len(terms);
}

static void spreads_of(struct arena *a, const struct json *spec, struct sched_pod *p)
{
	const struct json *list = json_getc(spec, "topologySpreadConstraints");
	struct sched_spread *out = arena_new(a, struct sched_spread, json_len(list));
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *c = json_at(list, i);
		out[i] = (struct sched_spread){
			.topology_key = keep(a, json_getc(c, "topologyKey")),
			.max_skew = json_i64(json_getc(c, "maxSkew"), 1),
			.min_domains = json_i64(json_getc(c, "minDomains"), 0),
			.hard = !str_is(json_str(json_getc(c, "whenUnsatisfiable")),
					"ScheduleAnyway"),
			.honor_taints = str_is(json_str(json_getc(c, "nodeTaintsPolicy")), "Honor"),
			.ignore_affinity =
				str_is(json_str(json_getc(c, "nodeAffinityPolicy")), "Ignore"),
			.selector = selector_of(a, json_getc(c, "labelSelector"),
						json_getc(c, "matchLabelKeys"), &p->labels),
		};
	}
	p->spreads = out;
	p->spreads_len = json_len(list);
}

/* ---- tolerations, taints ---- */

static bool effect_of(struct str s, enum sched_effect *ret)
{
	if (str_is(s, "NoSchedule"))
		*ret = SCHED_NO_SCHEDULE;
	else if (str_is(s, "PreferNoSchedule"))
		*ret = SCHED_PREFER_NO_SCHEDULE;
	else if (str_is(s, "NoExecute"))
		*ret = SCHED_NO_EXECUTE;
	else
		return false;
	return true;
}

static struct sched_toleration toleration_of(struct arena *a, const struct json *j)
{
	struct sched_toleration t = {
		.key = keep(a, json_getc(j, "key")),
		.value = keep(a, json_getc(j, "value")),
		.exists = str_is(json_str(json_getc(j, "operator")), "Exists"),
	};
	t.any_effect = !effect_of(json_str(json_getc(j, "effect")), &t.effect);
	return t;
}

/* How long the NoExecute taint `key` is tolerated; without a word about it, `otherwise`. */
static int64_t tolerated_s(const struct json *list, const struct sched_toleration *t,
			   const char *key, int64_t otherwise)
{
	const struct sched_taint taint = { str_of(key), STR(""), SCHED_NO_EXECUTE };
	bool any = false;
	int64_t least = -1;
	for (size_t i = 0; i < json_len(list); i++) {
		if (!sched_tolerates(&t[i], 1, &taint))
			continue;
		const struct json *s = json_getc(json_at(list, i), "tolerationSeconds");
		int64_t v = s ? json_i64(s, 0) : -1;
		v = s && v < 0 ? 0 : v;
		if (!any || (v >= 0 && (least < 0 || v < least)))
			least = v;
		any = true;
	}
	return any ? least : otherwise;
}

enum {
	DEFAULT_TOLERATION_S = 300
}; /* what Kubernetes' DefaultTolerationSeconds admission gives every pod */

static void tolerations_of(struct arena *a, const struct json *spec, struct pod *p)
{
	const struct json *list = json_getc(spec, "tolerations");
	struct sched_toleration *t = arena_new(a, struct sched_toleration, json_len(list));
	for (size_t i = 0; i < json_len(list); i++)
		t[i] = toleration_of(a, json_at(list, i));
	p->sched.tolerations = t;
	p->sched.tolerations_len = json_len(list);
	p->tolerates_not_ready_s =
		tolerated_s(list, t, "node.kubernetes.io/not-ready", DEFAULT_TOLERATION_S);
	p->tolerates_unreachable_s =
		tolerated_s(list, t, "node.kubernetes.io/unreachable", DEFAULT_TOLERATION_S);
}

/* ---- pods ---- */

static void pod_status(struct pod *p, const struct json *status)
{
	p->phase = keep(&p->arena, json_getc(status, "phase"));
	p->finished = str_is(p->phase, "Succeeded") || str_is(p->phase, "Failed");
	const struct json *conditions = json_getc(status, "conditions");
	const struct json *ready = parse_condition(conditions, "Ready");
	if (str_is(json_str(json_getc(ready, "status")), "True")) {
		p->ready_s = parse_time(json_getc(ready, "lastTransitionTime"));
		p->ready_s = p->ready_s ? p->ready_s : 1;
	}
	const struct json *sched = parse_condition(conditions, "PodScheduled");
	if (str_is(json_str(json_getc(sched, "status")), "False"))
		p->unschedulable = keep(&p->arena, json_getc(sched, "message"));
	const struct json *ctrs = json_getc(status, "containerStatuses");
	for (size_t i = 0; i < json_len(ctrs); i++)
		p->restarts += (uint32_t)json_i64(json_getc(json_at(ctrs, i), "restartCount"), 0);
	for (size_t i = 0; i < json_len(ctrs); i++) {
		int64_t end = parse_time(
			json_dig(json_at(ctrs, i), "state", "terminated", "finishedAt", NULL));
		p->ended_s = end > p->ended_s ? end : p->ended_s;
	}
}

void parse_pod(struct pod *p, const struct json *obj)
{
	struct arena *a = &p->arena;
	struct meta m = meta_of(a, obj);
	const struct json *meta = json_getc(obj, "metadata");
	const struct json *spec = json_getc(obj, "spec");
	p->key = m.key;
	p->ns = m.ns;
	p->name = m.name;
	p->uid = m.uid;
	p->rv = m.rv;
	p->created_s = m.created_s;
	p->deleting = m.deleting;
	p->owner_uid = controller_uid(a, meta);
	const struct json *finalizers = json_getc(meta, "finalizers");
	for (size_t i = 0; i < json_len(finalizers); i++)
		p->tracked |= str_is(json_str(json_at(finalizers, i)),
				     "batch.kubernetes.io/job-tracking");
	p->node = keep(a, json_getc(spec, "nodeName"));
	p->scheduler = keep(a, json_getc(spec, "schedulerName"));
	p->priority = json_i64(json_getc(spec, "priority"), 0);
	p->gated = json_len(json_getc(spec, "schedulingGates")) > 0;
	(void)str_to_i64(json_str(json_dig(meta, "annotations",
					   "controller.kubernetes.io/pod-deletion-cost", NULL)),
			 &p->deletion_cost);
	p->sched.uid = m.uid;
	p->sched.ns = m.ns;
	p->sched.labels = labels_of(a, json_getc(meta, "labels"));
	requests_of(a, spec, &p->sched.requests);
	tolerations_of(a, spec, p);
	if (!p->node.len) { /* only the scheduler needs the rest */
		struct sched_labels sel = labels_of(a, json_getc(spec, "nodeSelector"));
		p->sched.node_selector = sel.list;
		p->sched.node_selector_len = sel.len;
		affinity_of(a, spec, &p->sched);
		spreads_of(a, spec, &p->sched);
	}
	pod_status(p, json_getc(obj, "status"));
}

/* ---- nodes ---- */

void parse_node(struct node *n, const struct json *obj)
{
	struct arena *a = &n->arena;
	struct meta m = meta_of(a, obj);
	const struct json *spec = json_getc(obj, "spec");
	const struct json *status = json_getc(obj, "status");
	n->name = m.name;
	n->rv = m.rv;
	n->sched.name = m.name;
	n->sched.labels = labels_of(a, json_dig(obj, "metadata", "labels", NULL));
	n->zone = sched_label_get(&n->sched.labels, STR("topology.kubernetes.io/zone"));
	n->sched.unschedulable = json_bool(json_getc(spec, "unschedulable"), false);
	n->taints = json_clone(a, json_getc(spec, "taints"));
	struct sched_taint *t = arena_new(a, struct sched_taint, json_len(&n->taints));
	for (size_t i = 0; i < json_len(&n->taints); i++) {
		const struct json *j = json_at(&n->taints, i);
		t[i].key = json_str(json_getc(j, "key"));
		t[i].value = json_str(json_getc(j, "value"));
		(void)effect_of(json_str(json_getc(j, "effect")), &t[i].effect);
	}
	n->sched.taints = t;
	n->sched.taints_len = json_len(&n->taints);
	const struct json *alloc = json_getc(status, "allocatable");
	add_resources(a, alloc ? alloc : json_getc(status, "capacity"), &n->sched.allocatable);
	const struct json *ready = parse_condition(json_getc(status, "conditions"), "Ready");
	n->ready = keep(a, json_getc(ready, "status"));
	n->sched.not_ready = !str_is(n->ready, "True");
	n->ready_reason = keep(a, json_getc(ready, "reason"));
}

/* ---- workloads ---- */

void parse_rs(struct rs *r, const struct json *obj)
{
	struct arena *a = &r->arena;
	struct meta m = meta_of(a, obj);
	r->obj = json_clone(a, obj);
	const struct json *spec = json_getc(&r->obj, "spec");
	const struct json *status = json_getc(&r->obj, "status");
	r->key = m.key;
	r->ns = m.ns;
	r->name = m.name;
	r->uid = m.uid;
	r->rv = m.rv;
	r->created_s = m.created_s;
	r->generation = m.generation;
	r->deleting = m.deleting;
	r->owner_uid = controller_uid(a, json_getc(obj, "metadata"));
	r->labels = labels_of(a, json_dig(obj, "metadata", "labels", NULL));
	r->selector = selector_of(a, json_getc(spec, "selector"), NULL, NULL);
	r->want = json_i64(json_getc(spec, "replicas"), 1);
	r->min_ready_s = json_i64(json_getc(spec, "minReadySeconds"), 0);
	r->observed = json_i64(json_getc(status, "observedGeneration"), 0);
	r->replicas = json_i64(json_getc(status, "replicas"), 0);
	r->ready = json_i64(json_getc(status, "readyReplicas"), 0);
	r->available = json_i64(json_getc(status, "availableReplicas"), 0);
	(void)str_to_i64(json_str(json_dig(&r->obj, "metadata", "annotations",
					   "deployment.kubernetes.io/revision", NULL)),
			 &r->revision);
}

void parse_deployment(struct deployment *d, const struct json *obj)
{
	struct meta m = meta_of(&d->arena, obj);
	d->obj = json_clone(&d->arena, obj);
	d->key = m.key;
	d->ns = m.ns;
	d->name = m.name;
	d->uid = m.uid;
	d->rv = m.rv;
	d->selector =
		selector_of(&d->arena, json_dig(&d->obj, "spec", "selector", NULL), NULL, NULL);
	d->generation = m.generation;
	d->deleting = m.deleting;
}

void parse_job(struct batch *b, const struct json *obj)
{
	struct meta m = meta_of(&b->arena, obj);
	b->obj = json_clone(&b->arena, obj);
	b->key = m.key;
	b->ns = m.ns;
	b->name = m.name;
	b->uid = m.uid;
	b->rv = m.rv;
	b->deleting = m.deleting;
}

static struct disruption_bound bound_of(const struct json *j)
{
	struct str text = json_str(j);
	struct disruption_bound b = { .set = j && j->type != JSON_NULL, .value = json_i64(j, 0) };
	if (json_is(j, JSON_STRING))
		b.percent = str_to_i64(str_sub(text, 0, text.len ? text.len - 1 : 0), &b.value);
	return b;
}

void parse_budget(struct budget *b, const struct json *obj)
{
	struct meta m = meta_of(&b->arena, obj);
	b->obj = json_clone(&b->arena, obj);
	const struct json *spec = json_getc(&b->obj, "spec");
	b->key = m.key;
	b->ns = m.ns;
	b->name = m.name;
	b->generation = m.generation;
	b->deleting = m.deleting;
	b->selects = json_is(json_getc(spec, "selector"), JSON_OBJECT);
	b->selector = selector_of(&b->arena, json_getc(spec, "selector"), NULL, NULL);
	b->min_available = bound_of(json_getc(spec, "minAvailable"));
	b->max_unavailable = bound_of(json_getc(spec, "maxUnavailable"));
}
