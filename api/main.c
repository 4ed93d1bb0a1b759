/* resource-api: the global API of a region. */
#include "apiserver/apiserver.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "fleetquery.h"
#include "forward.h"
#include "promapi/rules.h"

struct program {
	struct apiserver_config cfg;
	struct apiserver *api;
	struct daemon *daemon;
	char *cluster_cert, *cluster_key;
	struct forward *forward;
	struct fleetquery *fleetquery;
	struct fleetquery_config query_cfg;
};

static size_t settings(void *state, struct setting *rows, size_t cap)
{
	struct program *p = state;
	size_t n = apiserver_settings(&p->cfg, rows, cap);
	const struct setting own[] = {
		{ .name = "cluster-client-cert",
		  .type = SETTING_STRING,
		  .target = &p->cluster_cert,
		  .metavar = "FILE",
		  .help = "PEM certificate of group system:apiservers for /clusters/NAME/…; empty "
			  "= no forwarding" },
		{ .name = "cluster-client-key",
		  .type = SETTING_STRING,
		  .target = &p->cluster_key,
		  .metavar = "FILE",
		  .help = "PEM key of cluster-client-cert" },
		{ .name = "fleet-query-timeout",
		  .type = SETTING_DURATION,
		  .target = &p->query_cfg.timeout_ms,
		  .fallback = "5s",
		  .min = 100,
		  .max = 600000,
		  .metavar = "DURATION",
		  .help = "how long /api/v1/query waits for a cluster before it answers without "
			  "it" },
		{ .name = "query-samples-max",
		  .type = SETTING_INT,
		  .target = &p->query_cfg.samples_max,
		  .fallback = "50000000",
		  .min = 1000,
		  .max = 1000000000,
		  .metavar = "N",
		  .help = "most samples that one query over all clusters may read from their "
			  "answers" },
		{ .name = "query-memory-max",
		  .type = SETTING_BYTES,
		  .target = &p->query_cfg.bytes_max,
		  .fallback = "256Mi",
		  .min = 1 << 20,
		  .max = 64LL << 30,
		  .metavar = "BYTES",
		  .help = "most memory of one query, about" },
	};
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]) && n < cap; i++)
		rows[n++] = own[i];
	return n;
}

static void fail_on_loop(void *arg)
{
	struct program *p = arg;
	struct error err = { 0 };
	error_set(&err, ERR_UNAVAILABLE, "the store cannot go on");
	daemon_fail(p->daemon, &err);
}

static void on_lost(void *arg, const char *why)
{
	(void)why;
	struct program *p = arg;
	loop_post(daemon_loop(p->daemon), fail_on_loop, p);
}

static int start(void *state, struct daemon *d, struct error *err)
{
	struct program *p = state;
	p->daemon = d;
	p->cfg.program = "resource-api";
	p->cfg.plane = KIND_GLOBAL;
	p->cfg.metrics = daemon_metrics(d);
	p->cfg.settings = daemon_settings(d);
	p->cfg.on_lost = on_lost;
	p->cfg.on_lost_arg = p;
	int rc = apiserver_new(&p->cfg, &p->api, err);
	const struct forward_config fwd = { .api = p->api,
					    .loop = daemon_loop(d),
					    .cert_file = p->cluster_cert,
					    .key_file = p->cluster_key };
	if (rc == 0)
		rc = forward_new(&fwd, &p->forward, err);
	if (rc == 0) {
		p->query_cfg.api = p->api;
		p->query_cfg.loop = daemon_loop(d);
		p->query_cfg.forward = p->forward;
		p->fleetquery = fleetquery_new(&p->query_cfg);
		promapi_rules_add(p->api);
	}
	if (rc == 0)
		rc = apiserver_start(p->api, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < p->cfg.listen.len; i++)
		log_info("listening", "address", LOG_S(p->cfg.listen.items[i]), "port",
			 LOG_I(apiserver_port(p->api, i)), NULL);
	daemon_ready(d);
	return 0;
}

static void stopped_on_loop(void *arg)
{
	struct program *p = arg;
	daemon_stopped(p->daemon);
}

/* On the engine's first loop. */
static void drained(void *arg)
{
	struct program *p = arg;
	loop_post(daemon_loop(p->daemon), stopped_on_loop, p);
}

static void stop(void *state, struct daemon *d)
{
	(void)d;
	struct program *p = state;
	apiserver_drain(p->api, drained, p);
}

static void reload(void *state, struct daemon *d)
{
	(void)d;
	struct program *p = state;
	struct error err = { 0 };
	if (apiserver_reload(p->api, &err) || forward_reload(p->forward, &err))
		log_error("certificate-not-reloaded", "error", LOG_S(err.msg), NULL);
}

static void fini(void *state)
{
	struct program *p = state;
	p->api = apiserver_free(p->api);
	p->fleetquery = fleetquery_free(p->fleetquery);
	p->forward = forward_free(p->forward);
}

int main(int argc, char **argv)
{
	static struct program program;
	struct daemon_spec spec = { .program = "resource-api",
				    .summary = "the global Kubernetes-style API of a region",
				    .settings = settings,
				    .start = start,
				    .stop = stop,
				    .reload = reload,
				    .fini = fini,
				    .state = &program };
	return daemon_main(&spec, argc, argv);
}
