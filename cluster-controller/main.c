/* resource-cluster-controller: Deployments, ReplicaSets, scheduler and node health of one cluster. */
#include "controllers.h"
#include "ctl/program.h"

struct program {
	struct ctl_program base;
	struct controllers_config cfg;
	struct controllers *controllers;
};

static size_t settings(void *state, struct setting *rows, size_t cap)
{
	struct program *p = state;
	size_t n = ctl_program_settings(&p->base, rows, cap);
	const struct setting own[] = {
		{ .name = "node-grace",
		  .type = SETTING_DURATION,
		  .target = &p->cfg.node_grace_ms,
		  .fallback = "12s",
		  .min = 2000,
		  .max = 3600000,
		  .metavar = "DURATION",
		  .help = "a node whose heartbeats stopped for so long is not ready" },
		{ .name = "node-poll",
		  .type = SETTING_DURATION,
		  .target = &p->cfg.lease_poll_ms,
		  .fallback = "2s",
		  .min = 100,
		  .max = 60000,
		  .metavar = "DURATION",
		  .help = "how often the heartbeats of the nodes are looked at" },
		{ .name = "zone-breaker-percent",
		  .type = SETTING_INT,
		  .target = &p->cfg.zone_breaker_percent,
		  .fallback = "55",
		  .min = 1,
		  .max = 100,
		  .metavar = "PERCENT",
		  .help = "when so many nodes of a zone (and more than 2, but not all) are silent, "
			  "its pods are not evicted" },
		{ .name = "evictions-per-turn",
		  .type = SETTING_INT,
		  .target = &p->cfg.evictions_per_turn,
		  .fallback = "100",
		  .min = 0,
		  .max = 100000,
		  .metavar = "PODS",
		  .help = "pods evicted from silent nodes at once, each second; 0 = all" },
	};
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]) && n < cap; i++)
		rows[n++] = own[i];
	return n;
}

static int start(void *state, struct daemon *d, struct error *err)
{
	struct program *p = state;
	int rc = ctl_program_start(&p->base, d, "resource-cluster-controller", err);
	if (rc)
		return rc;
	p->cfg.ctl = p->base.ctl;
	p->cfg.client = p->base.client;
	p->cfg.loop = daemon_loop(d);
	p->controllers = controllers_new(&p->cfg);
	ctl_start(p->base.ctl);
	daemon_ready(d);
	return 0;
}

static void stop(void *state, struct daemon *d)
{
	(void)d;
	struct program *p = state;
	ctl_program_stop(&p->base);
}

static void fini(void *state)
{
	struct program *p = state;
	/* queues and informers go before what they point at */
	p->base.ctl = ctl_free(p->base.ctl);
	p->controllers = controllers_free(p->controllers);
	ctl_program_fini(&p->base);
}

int main(int argc, char **argv)
{
	struct program p = { 0 };
	const struct daemon_spec spec = {
		.program = "resource-cluster-controller",
		.summary = "runs the workloads of one cluster: rollouts, replicas, scheduling, "
			   "node health",
		.settings = settings,
		.start = start,
		.stop = stop,
		.fini = fini,
		.state = &p,
	};
	return daemon_main(&spec, argc, argv);
}
