#include "ctl/program.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/env.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

size_t ctl_program_settings(struct ctl_program *p, struct setting *rows, size_t cap)
{
	const struct setting own[] = {
		{ .name = "kubeconfig",
		  .type = SETTING_STRING,
		  .target = &p->kubeconfig,
		  .metavar = "FILE",
		  .help = "kubeconfig of the API to work for; default $KUBECONFIG, then "
			  "~/.kube/config" },
		{ .name = "context",
		  .type = SETTING_STRING,
		  .target = &p->context,
		  .metavar = "NAME",
		  .help = "context of the kubeconfig; default its current-context" },
		{ .name = "lease-namespace",
		  .type = SETTING_STRING,
		  .target = &p->lease_ns,
		  .fallback = "kube-system",
		  .metavar = "NAMESPACE",
		  .help = "namespace of the Lease that elects the leader" },
		{ .name = "identity",
		  .type = SETTING_STRING,
		  .target = &p->identity,
		  .metavar = "NAME",
		  .help = "holder name in the Lease; must be unique among the instances, may stay "
			  "over restarts; "
			  "default the host name and a random number" },
		{ .name = "lease-duration",
		  .type = SETTING_DURATION,
		  .target = &p->lease_ms,
		  .fallback = "15s",
		  .min = 1000,
		  .max = 600000,
		  .metavar = "DURATION",
		  .help = "how long a leader that stopped renewing keeps its Lease" },
		{ .name = "renew-deadline",
		  .type = SETTING_DURATION,
		  .target = &p->renew_ms,
		  .fallback = "10s",
		  .min = 500,
		  .max = 600000,
		  .metavar = "DURATION",
		  .help = "a leader that could not renew for so long steps down; less than "
			  "lease-duration" },
		{ .name = "retry-period",
		  .type = SETTING_DURATION,
		  .target = &p->retry_ms,
		  .fallback = "2s",
		  .min = 100,
		  .max = 60000,
		  .metavar = "DURATION",
		  .help = "pause between attempts to get or renew the Lease" },
	};
	size_t n = sizeof(own) / sizeof(own[0]);
	for (size_t i = 0; i < n && i < cap; i++)
		rows[i] = own[i];
	return n < cap ? n : cap;
}

static void on_lost(void *arg, const struct error *err)
{
	struct ctl_program *p = arg;
	daemon_fail(p->daemon, err);
}

static void default_identity(struct ctl_program *p)
{
	char host[64] = "";
	(void)gethostname(host, sizeof(host) - 1);
	(void)snprintf(p->host_identity, sizeof(p->host_identity), "%s_%016" PRIx64, host,
		       clock_random_u64());
}

int ctl_program_start(struct ctl_program *p, struct daemon *d, const char *name, struct error *err)
{
	p->daemon = d;
	if (p->renew_ms >= p->lease_ms)
		return error_set(err, ERR_INVALID,
				 "renew-deadline must be less than lease-duration");
	struct client_config cfg = { 0 };
	int rc = client_config_load(p->kubeconfig, env_get("KUBECONFIG"), env_get("HOME"),
				    p->context, &cfg, err);
	if (rc)
		return rc;
	default_identity(p);
	char agent[96];
	(void)snprintf(agent, sizeof(agent), "%s/%s", name, RCTL_VERSION);
	p->fetch = fetch_new(daemon_loop(d));
	p->client =
		client_new(p->fetch, daemon_loop(d), &cfg,
			   &(struct client_options){ .user_agent = agent, .field_manager = name });
	client_config_fini(&cfg);
	p->ctl = ctl_new(&(struct ctl_config){
		.name = name,
		.loop = daemon_loop(d),
		.client = p->client,
		.metrics = daemon_metrics(d),
		.lease_ns = p->lease_ns,
		.identity = p->identity ? p->identity : p->host_identity,
		.lease_ms = (uint64_t)p->lease_ms,
		.renew_ms = (uint64_t)p->renew_ms,
		.retry_ms = (uint64_t)p->retry_ms,
		.on_lost = on_lost,
		.arg = p,
	});
	daemon_health(d, ctl_ready, p->ctl);
	return 0;
}

static void released(void *arg)
{
	struct ctl_program *p = arg;
	daemon_stopped(p->daemon);
}

void ctl_program_stop(struct ctl_program *p)
{
	ctl_release(p->ctl, released, p);
}

void ctl_program_fini(struct ctl_program *p)
{
	p->ctl = ctl_free(p->ctl);
	p->client = client_free(p->client);
	p->fetch = fetch_free(p->fetch);
}
