#include "controllers.h"

#include "adopt.h"
#include "base/mem.h"

/* What a change of the state makes due. */

static void on_pod(void *arg, struct pod *p, bool gone)
{
	struct controllers *c = arg;
	const struct rs *r = state_set_by_uid(&c->state, p->owner_uid);
	if (r)
		ctl_add(c->sets, r->key);
	const struct batch *b = state_job_by_uid(&c->state, p->owner_uid);
	if (b)
		ctl_add(c->jobs, b->key);
	if (!gone && !p->owner_uid.len)
		adopt_find_sets(c, p);
	if (!gone && !p->node.len && !p->deleting)
		ctl_add(c->scheduler, p->key);
	disruption_look(c, p->ns);
	if (gone || p->finished || p->deleting)
		scheduler_retry_all(c);
}

static void on_set(void *arg, struct rs *r, bool gone)
{
	struct controllers *c = arg;
	if (!gone)
		ctl_add(c->sets, r->key);
	disruption_look(c, r->ns);
	const struct deployment *d = state_deployment_by_uid(&c->state, r->owner_uid);
	if (d)
		ctl_add(c->deployments, d->key);
	if (!gone && !r->owner_uid.len)
		adopt_find_deployments(c, r);
}

static void on_deployment(void *arg, struct deployment *d, bool gone)
{
	struct controllers *c = arg;
	if (!gone)
		ctl_add(c->deployments, d->key);
	disruption_look(c, d->ns);
}

static void on_job(void *arg, struct batch *b, bool gone)
{
	struct controllers *c = arg;
	if (!gone)
		ctl_add(c->jobs, b->key);
}

static void on_budget(void *arg, struct budget *b, bool gone)
{
	struct controllers *c = arg;
	if (!gone)
		ctl_add(c->disruptions, b->key);
}

static void on_node(void *arg, struct node *n, bool gone)
{
	(void)n;
	(void)gone;
	struct controllers *c = arg;
	ctl_add(c->nodes, STR("nodes"));
	scheduler_retry_all(c);
}

static struct ctl_queue *queue(struct controllers *c, const char *name,
			       void (*fn)(void *, struct ctl_queue *, struct str),
			       uint32_t parallel)
{
	const struct ctl_queue_config cfg = {
		.name = name, .reconcile = fn, .arg = c, .parallel = parallel
	};
	return ctl_queue_new(c->cfg.ctl, &cfg);
}

struct controllers *controllers_new(const struct controllers_config *cfg)
{
	struct controllers *c = mem_new(struct controllers, 1);
	c->cfg = *cfg;
	state_init(&c->state, cfg->ctl, cfg->client);
	c->deployments = queue(c, "deployments", deployment_reconcile, 8);
	c->sets = queue(c, "replicasets", replicaset_reconcile, 8);
	c->jobs = queue(c, "jobs", batch_reconcile, 8);
	c->scheduler = queue(c, "scheduler", scheduler_reconcile, 16);
	c->disruptions = queue(c, "disruptions", disruption_reconcile, 8);
	c->nodes = queue(c, "nodes", nodes_reconcile, 1);
	c->state.on_pod = on_pod;
	c->state.on_set = on_set;
	c->state.on_deployment = on_deployment;
	c->state.on_job = on_job;
	c->state.on_node = on_node;
	c->state.on_budget = on_budget;
	c->state.arg = c;
	state_watch(&c->state);
	nodes_start(c);
	return c;
}

struct controllers *controllers_free(struct controllers *c)
{
	if (!c)
		return NULL;
	loop_timer_stop(&c->lease_poll);
	client_cancel(c->lease_call);
	state_fini(&c->state);
	mem_free(c);
	return NULL;
}
