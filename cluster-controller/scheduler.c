/* The scheduler: binds each pod without a node to one. */
#include "base/buf.h"
#include "base/mem.h"
#include "controllers.h"
#include "job.h"
#include "sys/clock.h"
#include "text/rfc3339.h"

enum { RETRY_MS = 30000 };

/* The nodes as the plan wants them; one array a decision: a few hundred µs at 1,000 nodes. */
static size_t gather(struct arena *a, const struct state *s, struct sched_node **ret)
{
	struct sched_node *out = arena_new(a, struct sched_node, s->nodes.len);
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&s->nodes, &pos, NULL, &v)) {
		const struct node *node = v;
		struct sched_node *x = &out[n++];
		*x = node->sched;
		struct list *pods = state_pods_on(s, node->name);
		size_t count = 0;
		if (pods)
			list_for_each(it, pods) count++;
		struct sched_placed *placed = arena_new(a, struct sched_placed, count);
		for (struct list *it = pods ? pods->next : NULL; it && it != pods; it = it->next) {
			const struct pod *p = list_entry(it, struct pod, by_node);
			if (p->finished)
				continue;
			placed[x->pods_len++] =
				(struct sched_placed){ p->ns, p->sched.labels, p->deleting };
			for (size_t k = 0; k < p->sched.requests.len; k++)
				sched_resources_add(&x->used, p->sched.requests.list[k].name,
						    p->sched.requests.list[k].amount);
			sched_resources_add(&x->used, STR("pods"), 1);
		}
		x->pods = placed;
	}
	*ret = out;
	return n;
}

static void add_label(struct buf *b, const struct sched_labels *labels, const char *key)
{
	struct str v = sched_label_get(labels, str_of(key));
	if (!v.len)
		return;
	buf_addf(b, "%s\"%s\":", b->p[b->len - 1] == '{' ? "" : ",", key);
	json_write_str(b, v);
}

/* The Binding carries the node's topology; the API puts these labels on the pod (KEP-4742). */
static void bind(struct controllers *c, struct job *j, struct pod *p, const struct sched_node *node)
{
	struct arena *a = job_arena(j);
	struct buf b = { 0 };
	buf_adds(&b, "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":");
	json_write_str(&b, p->name);
	buf_adds(&b, ",\"namespace\":");
	json_write_str(&b, p->ns);
	buf_addf(&b, ",\"uid\":\"%.*s\",\"labels\":{", STR_ARG(p->uid));
	add_label(&b, &node->labels, "topology.kubernetes.io/region");
	add_label(&b, &node->labels, "topology.kubernetes.io/zone");
	add_label(&b, &node->labels, "topology.rctl.io/network-az");
	buf_adds(&b, "}},\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":");
	json_write_str(&b, node->name);
	buf_adds(&b, "}}");
	job_send(j, "POST",
		 arena_printf(a, "/api/v1/namespaces/%.*s/pods/%.*s/binding", STR_ARG(p->ns),
			      STR_ARG(p->name)),
		 NULL, buf_str(&b), c->state.i_pods);
	buf_fini(&b);
	const struct ctl_object_ref about = { STR("v1"), STR("Pod"), p->ns, p->name, p->uid };
	ctl_event(c->cfg.ctl, &about, false, "Scheduled", "Successfully assigned %.*s to %.*s",
		  STR_ARG(p->key), STR_ARG(node->name));
	state_assume(&c->state, p, node->name, clock_mono_ms());
}

static void report(struct controllers *c, struct job *j, struct pod *p, struct str why)
{
	if (str_eq(p->unschedulable, why))
		return;
	struct arena *a = job_arena(j);
	struct buf b = { 0 };
	buf_adds(&b, "{\"status\":{\"phase\":\"Pending\",\"conditions\":[{\"type\":"
		     "\"PodScheduled\",\"status\":\"False\","
		     "\"reason\":\"Unschedulable\",\"lastTransitionTime\":\"");
	rfc3339_write(&b, clock_unix_ms() / 1000);
	buf_adds(&b, "\",\"message\":");
	json_write_str(&b, why);
	buf_adds(&b, "}]}}");
	job_send(j, "PATCH",
		 arena_printf(a, "/api/v1/namespaces/%.*s/pods/%.*s/status", STR_ARG(p->ns),
			      STR_ARG(p->name)),
		 "application/merge-patch+json", buf_str(&b), c->state.i_pods);
	buf_fini(&b);
	const struct ctl_object_ref about = { STR("v1"), STR("Pod"), p->ns, p->name, p->uid };
	ctl_event(c->cfg.ctl, &about, true, "FailedScheduling", "%.*s", STR_ARG(why));
}

static bool wants_us(const struct pod *p)
{
	return !p->node.len && !p->deleting && !p->finished && !p->gated &&
	       (!p->scheduler.len || str_is(p->scheduler, "default-scheduler"));
}

void scheduler_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct controllers *c = arg;
	struct job *j = job_new(q, key, c->cfg.client);
	struct pod *p = state_pod(&c->state, key);
	if (p && wants_us(p)) {
		struct sched_node *nodes = NULL;
		struct buf why = { 0 };
		size_t n = gather(job_arena(j), &c->state, &nodes);
		int at = sched_plan(job_arena(j), &p->sched, nodes, n, &why);
		if (at == SCHED_NONE) {
			report(c, j, p, buf_str(&why));
			ctl_add_after(q, key, RETRY_MS);
		} else {
			bind(c, j, p, &nodes[at]);
		}
		buf_fini(&why);
	}
	job_end(j);
}

/* The higher priority first, then the older. */
static int by_priority(const void *x, const void *y)
{
	const struct pod *a = *(struct pod *const *)x, *b = *(struct pod *const *)y;
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	if (a->created_s != b->created_s)
		return a->created_s < b->created_s ? -1 : 1;
	return str_cmp(a->key, b->key);
}

void scheduler_retry_all(struct controllers *c)
{
	size_t pos = 0, n = 0;
	void *v = NULL;
	struct pod **waiting = mem_new(struct pod *, c->state.pods.len);
	while (map_next(&c->state.pods, &pos, NULL, &v)) {
		struct pod *p = v;
		if (wants_us(p) && p->unschedulable.len)
			waiting[n++] = p;
	}
	qsort(waiting, n, sizeof(*waiting), by_priority);
	for (size_t i = 0; i < n; i++)
		ctl_add(c->scheduler, waiting[i]->key);
	mem_free(waiting);
}
