#include "telemetry.h"

#include "base/log.h"
#include "base/mem.h"
#include "metricsapi.h"
#include "push.h"
#include "query.h"
#include "statemetrics.h"
#include "telemetry/lstore.h"
#include "telemetry/mstore.h"

#include <stdatomic.h>

struct telemetry {
	struct mstore *metrics;
	struct lstore *logs;
	struct push *push;
	struct query *query;
	struct metricsapi *metricsapi;
	struct statemetrics state;
	atomic_bool started;
};

size_t telemetry_settings(struct telemetry_config *c, struct setting *rows, size_t cap)
{
	const struct setting own[] = {
		{ .name = "metrics-store",
		  .type = SETTING_STRING,
		  .target = &c->metrics_store,
		  .fallback = "",
		  .metavar = "URL",
		  .help = "database of metrics: sqlite:/path/file.db or postgres://…?schema=NAME; "
			  "empty = none are kept" },
		{ .name = "logs-store",
		  .type = SETTING_STRING,
		  .target = &c->logs_store,
		  .fallback = "",
		  .metavar = "URL",
		  .help = "database of container logs, as metrics-store; not the same one" },
		{ .name = "metrics-retention",
		  .type = SETTING_DURATION,
		  .target = &c->metrics_retention_ms,
		  .fallback = "360h",
		  .min = 3600000,
		  .max = 315360000000,
		  .metavar = "DURATION",
		  .help = "how long samples are kept" },
		{ .name = "logs-retention",
		  .type = SETTING_DURATION,
		  .target = &c->logs_retention_ms,
		  .fallback = "168h",
		  .min = 3600000,
		  .max = 315360000000,
		  .metavar = "DURATION",
		  .help = "how long log lines are kept" },
		{ .name = "telemetry-checkpoint",
		  .type = SETTING_DURATION,
		  .target = &c->checkpoint_ms,
		  .fallback = "15m",
		  .min = 1000,
		  .max = 7200000,
		  .metavar = "DURATION",
		  .help = "how often what is in memory is written to tables; bounds what a restart "
			  "has to read again" },
		{ .name = "metrics-series-max",
		  .type = SETTING_INT,
		  .target = &c->series_max,
		  .fallback = "1000000",
		  .min = 1,
		  .max = 100000000,
		  .metavar = "N",
		  .help = "most series in the metrics store; further ones are refused" },
		{ .name = "metrics-label-bytes-max",
		  .type = SETTING_BYTES,
		  .target = &c->label_bytes_max,
		  .fallback = "4Ki",
		  .min = 256,
		  .max = 65536,
		  .metavar = "BYTES",
		  .help = "most bytes of names and values of the labels of one series or log "
			  "stream" },
		{ .name = "logs-streams-max",
		  .type = SETTING_INT,
		  .target = &c->streams_max,
		  .fallback = "1000000",
		  .min = 1,
		  .max = 100000000,
		  .metavar = "N",
		  .help = "most containers in the log store; lines of further ones are refused" },
		{ .name = "logs-memory-max",
		  .type = SETTING_BYTES,
		  .target = &c->logs_memory_bytes,
		  .fallback = "64Mi",
		  .min = 1 << 20,
		  .max = 8LL << 30,
		  .metavar = "BYTES",
		  .help = "most bytes of log lines in memory before they are written to tables" },
		{ .name = "query-samples-max",
		  .type = SETTING_INT,
		  .target = &c->query_samples_max,
		  .fallback = "50000000",
		  .min = 1000,
		  .max = 1000000000,
		  .metavar = "N",
		  .help = "most samples that one query may read" },
		{ .name = "query-memory-max",
		  .type = SETTING_BYTES,
		  .target = &c->query_bytes_max,
		  .fallback = "256Mi",
		  .min = 1 << 20,
		  .max = 64LL << 30,
		  .metavar = "BYTES",
		  .help = "most memory of one query, about" },
		{ .name = "query-timeout",
		  .type = SETTING_DURATION,
		  .target = &c->query_ms,
		  .fallback = "10s",
		  .min = 100,
		  .max = 600000,
		  .metavar = "DURATION",
		  .help = "longest time of one query" },
	};
	size_t n = 0;
	for (; n < sizeof(own) / sizeof(own[0]) && n < cap; n++)
		rows[n] = own[n];
	return n;
}

/* On the store's thread. */
static void collect(void *arg, struct mstore_collect *c)
{
	struct telemetry *t = arg;
	if (atomic_load(&t->started))
		statemetrics_collect(&t->state, c);
}

/* On the stores' threads. */
static void on_metrics_state(void *arg, const struct error *down)
{
	(void)arg;
	if (down)
		log_warn("metrics-store-down", "error", LOG_S(down->msg), NULL);
	else
		log_info("metrics-store-up", NULL);
}

static void on_logs_state(void *arg, const struct error *down)
{
	(void)arg;
	if (down)
		log_warn("logs-store-down", "error", LOG_S(down->msg), NULL);
	else
		log_info("logs-store-up", NULL);
}

static void open_metrics(struct telemetry *t, const struct telemetry_config *cfg,
			 struct metrics *metrics)
{
	const struct mstore_config m = {
		.url = cfg->metrics_store,
		.retention_ms = cfg->metrics_retention_ms,
		.checkpoint_ms = cfg->checkpoint_ms,
		.series_max = cfg->series_max,
		.label_bytes_max = cfg->label_bytes_max,
		.query_samples_max = cfg->query_samples_max,
		.query_bytes_max = cfg->query_bytes_max,
		.query_ms = cfg->query_ms,
		.metrics = metrics,
		.on_state = on_metrics_state,
		.collect = collect,
		.collect_arg = t,
		.collect_ms = STATEMETRICS_INTERVAL_MS,
	};
	t->metrics = mstore_new(&m);
}

static void open_logs(struct telemetry *t, const struct telemetry_config *cfg,
		      struct metrics *metrics)
{
	const struct lstore_config l = {
		.url = cfg->logs_store,
		.retention_ms = cfg->logs_retention_ms,
		.checkpoint_ms = cfg->checkpoint_ms,
		.streams_max = cfg->streams_max,
		.label_bytes_max = cfg->label_bytes_max,
		.memory_bytes_max = cfg->logs_memory_bytes,
		.metrics = metrics,
		.on_state = on_logs_state,
	};
	t->logs = lstore_new(&l);
}

struct telemetry *telemetry_new(const struct telemetry_config *cfg, struct apiserver *api,
				struct loop *loop, struct metrics *metrics, const char *cluster)
{
	struct telemetry *t = mem_new(struct telemetry, 1);
	struct push_config push = { .api = api, .loop = loop, .cluster = cluster };
	t->state = (struct statemetrics){ api, cluster };
	if (cfg->metrics_store[0]) {
		open_metrics(t, cfg, metrics);
		t->query = query_new(api, loop, t->metrics);
		t->metricsapi = metricsapi_new(api, loop, t->metrics);
		push.metrics = mstore_intake(t->metrics);
	}
	if (cfg->logs_store[0]) {
		open_logs(t, cfg, metrics);
		push.logs = lstore_intake(t->logs);
	}
	t->push = push_new(&push);
	return t;
}

void telemetry_start(struct telemetry *t)
{
	atomic_store(&t->started, true);
}

struct rpc_method telemetry_method(struct telemetry *t)
{
	return push_method(t->push);
}

struct lstore *telemetry_logs(struct telemetry *t)
{
	return t->logs;
}

struct telemetry *telemetry_free(struct telemetry *t)
{
	if (!t)
		return NULL;
	t->metrics = mstore_free(t->metrics);
	t->logs = lstore_free(t->logs);
	query_free(t->query);
	metricsapi_free(t->metricsapi);
	push_free(t->push);
	mem_free(t);
	return NULL;
}
