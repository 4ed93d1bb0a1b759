#include "program.h"

#include "engine.h"

struct program {
	const struct alert_program_spec *spec;
	struct ctl_program base;
	char *cluster, *region, *store, *external_url;
	int64_t interval_ms, deadline_ms, retention_ms, mirror_ms;
	bool allow_private;
	struct engine *engine;
};

static size_t common(struct program *p, struct setting *rows, size_t cap)
{
	const struct setting own[] = {
		{ .name = "alerts-store",
		  .type = SETTING_STRING,
		  .target = &p->store,
		  .required = true,
		  .metavar = "URL",
		  .help = "alerts database: sqlite:FILE or postgres://…?schema=NAME" },
		{ .name = "evaluation-interval",
		  .type = SETTING_DURATION,
		  .target = &p->interval_ms,
		  .fallback = "15s",
		  .min = 1000,
		  .max = 3600000,
		  .metavar = "DURATION",
		  .help = "how often groups of rules without an interval are evaluated" },
		{ .name = "delivery-deadline",
		  .type = SETTING_DURATION,
		  .target = &p->deadline_ms,
		  .fallback = "15m",
		  .min = 1000,
		  .max = 7 * 86400000LL,
		  .metavar = "DURATION",
		  .help = "a notification that did not arrive within it is given up; the next one "
			  "of its group tells what is true then" },
		{ .name = "alerts-retention",
		  .type = SETTING_DURATION,
		  .target = &p->retention_ms,
		  .fallback = "72h",
		  .min = 3600000,
		  .max = 366 * 86400000LL,
		  .metavar = "DURATION",
		  .help = "how long deliveries, groups that rest and ends that could not be told "
			  "are kept" },
		{ .name = "external-url",
		  .type = SETTING_STRING,
		  .target = &p->external_url,
		  .metavar = "URL",
		  .help = "address of the API for people: externalURL and generatorURL of "
			  "notifications" },
		{ .name = "allow-private-receivers",
		  .type = SETTING_BOOL,
		  .target = &p->allow_private,
		  .fallback = "false",
		  .help = "receivers may have private, loopback and link-local addresses" },
	};
	size_t n = 0;
	for (; n < sizeof(own) / sizeof(own[0]) && n < cap; n++)
		rows[n] = own[n];
	return n;
}

static size_t settings(void *state, struct setting *rows, size_t cap)
{
	struct program *p = state;
	size_t n = ctl_program_settings(&p->base, rows, cap);
	n += common(p, rows + n, cap - n);
	const struct setting own[] = {
		{ .name = "cluster-name",
		  .type = SETTING_STRING,
		  .target = &p->cluster,
		  .required = true,
		  .metavar = "NAME",
		  .help = "name of the cluster: label cluster of its alerts" },
		{ .name = "region",
		  .type = SETTING_STRING,
		  .target = &p->region,
		  .metavar = "NAME",
		  .help = "region of the cluster: label region of its alerts" },
		{ .name = "mirror-interval",
		  .type = SETTING_DURATION,
		  .target = &p->mirror_ms,
		  .fallback = "10s",
		  .min = 1000,
		  .max = 3600000,
		  .metavar = "DURATION",
		  .help = "how often the alerts of the clusters are looked at" },
	};
	size_t from = p->spec->global ? 2 : 0;
	size_t to = p->spec->global ? 3 : 2;
	for (size_t i = from; i < to && n < cap; i++)
		rows[n++] = own[i];
	return n;
}

static void on_lost(void *arg, const struct error *err)
{
	struct program *p = arg;
	daemon_fail(p->base.daemon, err);
}

static int start(void *state, struct daemon *d, struct error *err)
{
	struct program *p = state;
	int rc = ctl_program_start(&p->base, d, p->spec->name, err);
	if (rc)
		return rc;
	const struct engine_config cfg = {
		.ctl = p->base.ctl,
		.client = p->base.client,
		.fetch = p->base.fetch,
		.loop = daemon_loop(d),
		.metrics = daemon_metrics(d),
		.lease_ns = p->base.lease_ns,
		.program = p->spec->name,
		.identity = p->base.identity ? p->base.identity : p->base.host_identity,
		.global = p->spec->global,
		.cluster = p->cluster,
		.region = p->region,
		.store = p->store,
		.external_url = p->external_url,
		.interval_ms = p->interval_ms,
		.deadline_ms = p->deadline_ms,
		.retention_ms = p->retention_ms,
		.mirror_ms = p->mirror_ms,
		.allow_private = p->allow_private,
		.on_lost = on_lost,
		.arg = p,
	};
	p->engine = engine_new(&cfg);
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
	p->engine = engine_free(p->engine);
	ctl_program_fini(&p->base);
}

int alert_program_main(const struct alert_program_spec *spec, int argc, char **argv)
{
	struct program p = { .spec = spec };
	const struct daemon_spec daemon = {
		.program = spec->name,
		.summary = spec->summary,
		.settings = settings,
		.start = start,
		.stop = stop,
		.fini = fini,
		.state = &p,
	};
	return daemon_main(&daemon, argc, argv);
}
