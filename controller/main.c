/* resource-controller: places workloads in clusters, keeps them there as asked for, and tells how they are. */
#include "ctl/program.h"
#include "fleet.h"
#include "names.h"
#include "sys/env.h"

struct program {
	struct ctl_program base;
	struct client_config own;
	struct fleet_config cfg;
	struct fleet *fleet;
};

static size_t settings(void *state, struct setting *rows, size_t cap)
{
	struct program *p = state;
	size_t n = ctl_program_settings(&p->base, rows, cap);
	const struct setting own[] = {
		{ .name = "cluster-probe",
		  .type = SETTING_DURATION,
		  .target = &p->cfg.probe_ms,
		  .fallback = "3s",
		  .min = 200,
		  .max = 60000,
		  .metavar = "DURATION",
		  .help = "how often each cluster is asked whether it is there" },
		{ .name = "cluster-silent",
		  .type = SETTING_DURATION,
		  .target = &p->cfg.silent_ms,
		  .fallback = "10s",
		  .min = 1000,
		  .max = 600000,
		  .metavar = "DURATION",
		  .help = "a cluster that did not answer for so long cannot be reached; more than "
			  "cluster-probe" },
		{ .name = "removals-max",
		  .type = SETTING_INT,
		  .target = &p->cfg.removals_max,
		  .fallback = "200",
		  .min = 0,
		  .max = 1000000,
		  .metavar = "COPIES",
		  .help = "copies of workloads that nobody deleted are removed from clusters at "
			  "most so many times in ten minutes" },
	};
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]) && n < cap; i++)
		rows[n++] = own[i];
	return n;
}

static int start(void *state, struct daemon *d, struct error *err)
{
	struct program *p = state;
	if (p->cfg.silent_ms <= p->cfg.probe_ms)
		return error_set(err, ERR_INVALID,
				 "cluster-silent must be more than cluster-probe");
	int rc = client_config_load(p->base.kubeconfig, env_get("KUBECONFIG"), env_get("HOME"),
				    p->base.context, &p->own, err);
	if (!rc)
		rc = ctl_program_start(&p->base, d, FLEET_MANAGER, err);
	if (rc)
		return rc;
	p->cfg.ctl = p->base.ctl;
	p->cfg.client = p->base.client;
	p->cfg.fetch = p->base.fetch;
	p->cfg.loop = daemon_loop(d);
	p->cfg.own = &p->own;
	p->fleet = fleet_new(&p->cfg);
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
	p->fleet = fleet_free(p->fleet);
	ctl_program_fini(&p->base);
	client_config_fini(&p->own);
}

int main(int argc, char **argv)
{
	struct program p = { 0 };
	const struct daemon_spec spec = {
		.program = "resource-controller",
		.summary = "places workloads in clusters, repairs drift and gathers their status",
		.settings = settings,
		.start = start,
		.stop = stop,
		.fini = fini,
		.state = &p,
	};
	return daemon_main(&spec, argc, argv);
}
