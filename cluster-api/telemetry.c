#include "telemetry.h"

#include "base/log.h"
#include "base/mem.h"
#include "metricsapi.h"
#include "promapi/rules.h"
#include "push.h"
#include "pushway.h"
#include "query.h"
#include "statemetrics.h"
#include "telemetry/lstore.h"
#include "telemetry/mstore.h"

#include <stdatomic.h>
#include <string.h>

struct telemetry {
	struct mstore *metrics;
	struct lstore *logs;
	struct peers *peers;
	struct pushway_owner posts;
	struct push *push;
	struct query *query;
	struct metricsapi *metricsapi;
	struct statemetrics state;
	atomic_bool started;
	/* why each database is not there, as logged last; of its store's thread */
	struct error metrics_down, logs_down;
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

/* On the store's thread, for each attempt: what is news is logged. */
static void on_state(struct telemetry *t, enum peers_store store, const struct error *down)
{
	struct error *last = store == PEERS_LOGS ? &t->logs_down : &t->metrics_down;
	const char *name = store == PEERS_LOGS ? "logs" : "metrics";
	peers_owns(t->peers, store, !down);
	if (!down)
		log_info("telemetry-store-up", "store", LOG_S(name), NULL);
	else if (down->code == ERR_CONFLICT && last->code != ERR_CONFLICT)
		log_info("telemetry-store-elsewhere", "store", LOG_S(name), NULL);
	else if (down->code != ERR_CONFLICT && strcmp(down->msg, last->msg) != 0)
		log_warn("telemetry-store-down", "store", LOG_S(name), "error", LOG_S(down->msg),
			 NULL);
	*last = down ? *down : (struct error){ 0 };
}

static void on_metrics_state(void *arg, const struct error *down)
{
	on_state(arg, PEERS_METRICS, down);
}

static void on_logs_state(void *arg, const struct error *down)
{
	on_state(arg, PEERS_LOGS, down);
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
		.on_state_arg = t,
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
		.on_state_arg = t,
	};
	t->logs = lstore_new(&l);
}

struct telemetry *telemetry_new(const struct telemetry_config *cfg,
				const struct telemetry_context *ctx)
{
	struct telemetry *t = mem_new(struct telemetry, 1);
	struct push_config push = {
		.api = ctx->api, .loop = ctx->loop, .cluster = ctx->cluster, .peerway = ctx->peerway
	};
	t->peers = ctx->peers;
	t->state = (struct statemetrics){ ctx->api, ctx->cluster };
	if (cfg->metrics_store[0]) {
		open_metrics(t, cfg, ctx->metrics);
		t->query = query_new(ctx->api, ctx->loop, t->metrics, ctx->peerway);
		t->metricsapi = metricsapi_new(ctx->api, ctx->loop, t->metrics, ctx->peerway);
		push.metrics = mstore_intake(t->metrics);
	}
	if (cfg->logs_store[0]) {
		open_logs(t, cfg, ctx->metrics);
		push.logs = lstore_intake(t->logs);
	}
	promapi_rules_add(ctx->api);
	t->push = push_new(&push);
	t->posts = (struct pushway_owner){ ctx->api, ctx->loop, ctx->cluster, push.metrics,
					   push.logs };
	pushway_add_route(&t->posts);
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
