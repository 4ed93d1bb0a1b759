/*
 * The node lifecycle: leases tell who is alive, conditions and taints say so, pods of dead nodes are evicted.
 *
 * Leases of nodes are soft state of the API servers; they are polled, and their age is counted by our own clock from
 * the moment a change was seen.  While the API does not answer, nobody's silence proves anything.
 */
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "controllers.h"
#include "job.h"
#include "node_plan.h"
#include "sys/clock.h"
#include "text/rfc3339.h"

#define TAINT_NOT_READY   "node.kubernetes.io/not-ready"
#define TAINT_UNREACHABLE "node.kubernetes.io/unreachable"
#define ALL               STR("nodes")

enum { LEASES_BYTES_MAX = 64 << 20 };

/* ---- leases ---- */

static void see_lease(struct controllers *c, const struct json *lease, uint64_t now)
{
	struct node *n = state_node(&c->state, json_str(json_dig(lease, "metadata", "name", NULL)));
	struct str t = json_str(json_dig(lease, "spec", "renewTime", NULL));
	if (n)
		lease_see(&c->leases, &n->lease, str_hash(t, 0), now);
}

static void on_leases(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct controllers *c = arg;
	c->lease_call = NULL;
	uint64_t now = loop_now_ms(c->cfg.loop);
	struct arena a = { 0 };
	struct json list;
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = LEASES_BYTES_MAX;
	limits.values_max = 16U << 20;
	bool ok = !err && json_parse(&a, body, &limits, &list, NULL) == 0;
	lease_polled(&c->leases, ok, now);
	if (ok) {
		const struct json *items = json_getc(&list, "items");
		for (size_t i = 0; i < json_len(items); i++)
			see_lease(c, json_at(items, i), now);
	}
	arena_fini(&a);
	ctl_add(c->nodes, ALL);
	loop_timer_set(c->cfg.loop, &c->lease_poll, (uint64_t)c->cfg.lease_poll_ms);
}

static void poll_leases(struct loop_timer *t)
{
	struct controllers *c = container_of(t, struct controllers, lease_poll);
	c->lease_call = client_send(
		c->cfg.client,
		&(struct client_request){
			.method = "GET",
			.path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
			.timeout_ms = 5000,
			.done = on_leases,
			.arg = c });
}

void nodes_start(struct controllers *c)
{
	c->lease_poll.fn = poll_leases;
	loop_timer_set(c->cfg.loop, &c->lease_poll, 0);
}

/* ---- input ---- */

static bool has_taint(const struct node *n, const char *key)
{
	for (size_t i = 0; i < n->sched.taints_len; i++)
		if (str_is(n->sched.taints[i].key, key) &&
		    n->sched.taints[i].effect == SCHED_NO_EXECUTE)
			return true;
	return false;
}

static enum node_health recorded(const struct node *n)
{
	if (str_is(n->ready, "True"))
		return NODE_READY;
	/* an agent that registered but never said more is not unreachable yet */
	return str_is(n->ready, "Unknown") ? NODE_UNREACHABLE : NODE_NOT_READY;
}

static struct node_state node_input(struct arena *a, const struct controllers *c, struct node *n,
				    uint64_t now)
{
	struct node_state s = {
		.name = n->name,
		.zone = n->zone,
		.recorded = recorded(n),
		.reported_ready = str_is(n->ready, "True") || str_is(n->ready, "Unknown"),
		.silent_ms = lease_silent_ms(&c->leases, &n->lease, n->born_ms, now),
		.lease_known = lease_alive(&c->leases, &n->lease),
		.tainted_not_ready = has_taint(n, TAINT_NOT_READY),
		.tainted_unreachable = has_taint(n, TAINT_UNREACHABLE),
	};
	bool tainted = s.tainted_not_ready || s.tainted_unreachable;
	if (!tainted)
		n->tainted_since_ms = 0;
	else if (!n->tainted_since_ms)
		n->tainted_since_ms = now;
	s.tainted_ms = tainted ? now - n->tainted_since_ms : 0;
	struct list *pods = state_pods_on(&c->state, n->name);
	if (s.recorded == NODE_READY && !tainted)
		return s; /* nobody will be evicted: spare the list */
	size_t count = 0;
	if (pods)
		list_for_each(it, pods) count++;
	struct node_pod *out = arena_new(a, struct node_pod, count);
	for (struct list *it = pods ? pods->next : NULL; it && it != pods; it = it->next) {
		const struct pod *p = list_entry(it, struct pod, by_node);
		if (p->finished)
			continue;
		out[s.pods_len++] = (struct node_pod){ p->key, p->tolerates_not_ready_s,
						       p->tolerates_unreachable_s, p->deleting };
	}
	s.pods = out;
	return s;
}

/* ---- effects ---- */

/*
 * Ready True and False are the agent's own words; this controller says only Unknown, and takes that back
 * when the heartbeats are back before the agent's next report.
 */
static void send_condition(struct controllers *c, struct job *j, const struct node *n,
			   enum node_health h)
{
	static const struct {
		const char *status, *reason, *message;
	} text[] = {
		[NODE_READY] = { "True", "AgentReady", "the agent sends heartbeats again" },
		[NODE_UNREACHABLE] = { "Unknown", "NodeStatusUnknown",
				       "the agent stopped sending heartbeats" },
	};
	bool unknown = str_is(n->ready, "Unknown");
	if (h == NODE_NOT_READY || unknown == (h == NODE_UNREACHABLE))
		return;
	struct arena *a = job_arena(j);
	struct buf now = { 0 };
	rfc3339_write(&now, clock_unix_ms() / 1000);
	struct str body = arena_strf(
		a,
		"{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\",\"reason\":\"%"
		"s\",\"message\":\"%s\","
		"\"lastTransitionTime\":\"%s\",\"lastHeartbeatTime\":\"%s\"}]}}",
		text[h].status, text[h].reason, text[h].message, buf_cstr(&now), buf_cstr(&now));
	buf_fini(&now);
	job_send(j, "PATCH", arena_printf(a, "/api/v1/nodes/%.*s/status", STR_ARG(n->name)),
		 "application/strategic-merge-patch+json", body, c->state.i_nodes);
	const struct ctl_object_ref about = { STR("v1"), STR("Node"), STR(""), n->name, STR("") };
	ctl_event(c->cfg.ctl, &about, h != NODE_READY,
		  h == NODE_READY ? "NodeReady" : "NodeNotReady", "Node %.*s: %s", STR_ARG(n->name),
		  text[h].message);
	log_info("node-health", "node", LOG_STR(n->name), "ready", LOG_S(text[h].status), NULL);
}

static void push_taint(struct arena *a, struct json *list, const char *key, const char *effect)
{
	struct json *t = json_push(a, list, json_object());
	(void)json_setc(a, t, "key", json_of_cstr(key));
	(void)json_setc(a, t, "effect", json_of_cstr(effect));
}

/* All other taints stay as they are; the list is atomic, so it is sent whole and guarded by the revision. */
static void send_taints(struct controllers *c, struct job *j, const struct node *n,
			enum node_health h)
{
	struct arena *a = job_arena(j);
	struct json list = json_array();
	for (size_t i = 0; i < json_len(&n->taints); i++) {
		struct str key = json_str(json_getc(json_at(&n->taints, i), "key"));
		if (!str_is(key, TAINT_NOT_READY) && !str_is(key, TAINT_UNREACHABLE))
			(void)json_push(a, &list, *json_at(&n->taints, i));
	}
	const char *key = h == NODE_UNREACHABLE ? TAINT_UNREACHABLE : TAINT_NOT_READY;
	if (h != NODE_READY) {
		push_taint(a, &list, key, "NoSchedule");
		push_taint(a, &list, key, "NoExecute");
	}
	struct json patch = json_object();
	struct json *meta = json_setc(a, &patch, "metadata", json_object());
	(void)json_setc(a, meta, "resourceVersion", json_of_str(n->rv));
	struct json *spec = json_setc(a, &patch, "spec", json_object());
	(void)json_setc(a, spec, "taints", list.len ? list : (struct json){ 0 });
	job_send(j, "PATCH", arena_printf(a, "/api/v1/nodes/%.*s", STR_ARG(n->name)),
		 "application/merge-patch+json", json_text(a, &patch), c->state.i_nodes);
}

static void evict(struct controllers *c, struct job *j, const struct node *n, struct str key)
{
	const struct pod *p = state_pod(&c->state, key);
	if (!p)
		return;
	struct arena *a = job_arena(j);
	struct str opt = arena_strf(a, "{\"preconditions\":{\"uid\":\"%.*s\"}}", STR_ARG(p->uid));
	job_send(j, "DELETE",
		 arena_printf(a, "/api/v1/namespaces/%.*s/pods/%.*s", STR_ARG(p->ns),
			      STR_ARG(p->name)),
		 NULL, opt, c->state.i_pods);
	const struct ctl_object_ref about = { STR("v1"), STR("Pod"), p->ns, p->name, p->uid };
	ctl_event(c->cfg.ctl, &about, false, "TaintManagerEviction",
		  "Marking for deletion: node %.*s is gone", STR_ARG(n->name));
}

void nodes_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct controllers *c = arg;
	struct job *j = job_new(q, key, c->cfg.client);
	size_t n = c->state.nodes.len;
	if (c->leases.ok && n) {
		struct arena *a = job_arena(j);
		uint64_t now = loop_now_ms(c->cfg.loop);
		struct node_state *in = arena_new(a, struct node_state, n);
		struct node **nodes = arena_new(a, struct node *, n);
		size_t pos = 0;
		void *v = NULL;
		for (size_t i = 0; map_next(&c->state.nodes, &pos, NULL, &v); i++) {
			nodes[i] = v;
			in[i] = node_input(a, c, v, now);
		}
		const struct node_plan_config cfg = {
			.grace_ms = (uint64_t)c->cfg.node_grace_ms,
			.breaker_percent = (uint32_t)c->cfg.zone_breaker_percent,
			.evict_per_turn = (uint32_t)c->cfg.evictions_per_turn,
		};
		uint64_t again = 0;
		struct node_action *act = node_plan(a, &cfg, in, n, &again);
		for (size_t i = 0; i < n; i++) {
			if (act[i].set_health) {
				send_condition(c, j, nodes[i], act[i].health);
				send_taints(c, j, nodes[i], act[i].health);
			}
			for (size_t k = 0; k < act[i].evict_len; k++)
				evict(c, j, nodes[i], in[i].pods[act[i].evict[k]].key);
		}
		if (again)
			ctl_add_after(q, key, again);
	}
	job_end(j);
}
