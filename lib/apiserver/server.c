/* The server as a whole: building, starting, stopping. */
#include "apiserver/front.h"
#include "auth/rbac.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <unistd.h>

enum { LOOPS_DEFAULT_MAX = 4, TICK_MS = 1000, FLUSH_ROUNDS = 4 };

static const char *const verb_names[VERBS] = { "get",    "list",   "watch",
					       "create", "update", "patch",
					       "apply",  "delete", "deletecollection",
					       "other" };

static int64_t gauge_inflight(void *arg)
{
	struct apiserver *s = arg;
	return atomic_load(&s->inflight);
}

static int64_t gauge_watches(void *arg)
{
	struct apiserver *s = arg;
	return atomic_load(&s->watches);
}

static void add_metrics(struct apiserver *s)
{
	struct metrics *m = s->metrics;
	char labels[64];
	for (size_t i = 0; i < VERBS; i++) {
		(void)snprintf(labels, sizeof(labels), "verb=\"%s\"", verb_names[i]);
		s->by_verb[i] = metric_seconds(m, "rctl_api_request_duration_seconds", labels,
					       "Time to answer a request");
	}
	for (size_t i = 0; i < 6; i++) {
		(void)snprintf(labels, sizeof(labels), "class=\"%zuxx\"", i);
		s->by_class[i] = metric_counter(m, "rctl_api_requests_total", labels,
						"Answered requests by class of status");
	}
	s->rejected = metric_counter(m, "rctl_api_requests_rejected_total", "",
				     "Requests answered with 429");
	s->cut = metric_counter(m, "rctl_api_watches_cut_total", "",
				"Watches ended because their client read too slowly");
	metric_gauge_fn(m, "rctl_api_requests_inflight", "", "Requests being answered",
			gauge_inflight, s);
	metric_gauge_fn(m, "rctl_api_watches", "", "Open watches and other streams", gauge_watches,
			s);
}

static void on_tick(struct loop_timer *t)
{
	struct shard *sh = container_of(t, struct shard, tick);
	req_shard_tick(sh);
	watch_shard_tick(sh);
	loop_timer_set(sh->loop, t, TICK_MS);
}

static void on_log(struct loop_task *t)
{
	log_write(&container_of(t, struct shard, log_task)->log_lines);
}

static int new_shards(struct apiserver *s, struct error *err)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = (size_t)s->cfg.loops;
	if (n == 0)
		n = cores < 1 ? 1 : cores > LOOPS_DEFAULT_MAX ? LOOPS_DEFAULT_MAX : (size_t)cores;
	for (size_t i = 0; i < n && i < SHARDS_MAX; i++) {
		struct shard *sh = &s->shards[i];
		int rc = loop_new(&sh->loop, err);
		if (rc)
			return rc;
		sh->s = s;
		sh->index = i;
		sh->tick.fn = on_tick;
		sh->log_task.fn = on_log;
		fanout_shard_init(sh);
		list_init(&sh->streams);
		list_init(&sh->pending);
		list_init(&sh->waiting);
		loop_timer_set(sh->loop, &sh->tick, TICK_MS);
		s->shards_len++;
	}
	return 0;
}

int apiserver_new(const struct apiserver_config *cfg, struct apiserver **ret, struct error *err)
{
	struct apiserver *s = mem_new(struct apiserver, 1);
	s->cfg = *cfg;
	s->metrics = cfg->metrics ? cfg->metrics : metrics_new();
	pthread_mutex_init(&s->kinds_lock, NULL);
	pthread_mutex_init(&s->subs_lock, NULL);
	pthread_mutex_init(&s->rbac_lock, NULL);
	s->rbac_rev = -1;
	list_init(&s->subs);
	s->builtin = kind_set_builtin(cfg->plane);
	s->kinds = kind_set_ref(s->builtin);
	add_metrics(s);
	int rc = new_shards(s, err);
	if (rc == 0 && cfg->token_file && cfg->token_file[0])
		rc = auth_tokens_load(cfg->token_file, &s->tokens, err);
	if (rc) {
		apiserver_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

/* ---- the store's callbacks ---- */

static void on_load(void *arg, struct str key, int64_t rev, int64_t create_rev, struct bytes *value)
{
	struct apiserver *s = arg;
	watch_cache_load(s->cache, key, rev, create_rev, value);
}

static void on_history(void *arg, const struct store_event *ev)
{
	struct apiserver *s = arg;
	watch_cache_history(s->cache, ev);
}

static void on_events(void *arg, const struct store_event *ev, size_t n, int64_t rev)
{
	struct apiserver *s = arg;
	watch_cache_events(s->cache, ev, n, rev);
	if (!s->kinds_loaded)
		kinds_load(s);
	s->kinds_loaded = true;
}

static void on_compacted(void *arg, int64_t rev)
{
	struct apiserver *s = arg;
	watch_cache_compacted(s->cache, rev);
}

static void on_epoch(void *arg, int64_t last, int64_t first)
{
	struct apiserver *s = arg;
	watch_cache_epoch(s->cache, last, first);
}

static void on_lost(void *arg, const char *why)
{
	struct apiserver *s = arg;
	atomic_store(&s->lost, true);
	log_error("store-lost", "why", LOG_S(why), NULL);
	if (s->cfg.on_lost)
		s->cfg.on_lost(s->cfg.on_lost_arg, why);
}

static int open_store(struct apiserver *s, struct error *err)
{
	struct watch_config wc = { .index = kinds_index,
				   .index_arg = s,
				   .on_batch = fanout_batch,
				   .on_batch_arg = s,
				   .metrics = s->metrics };
	s->cache = watch_cache_new(&wc);
	char path[256];
	(void)snprintf(path, sizeof(path), "sqlite:/var/lib/rctl/%s.db", s->cfg.program);
	struct store_config sc = { .url = s->cfg.store_url && s->cfg.store_url[0] ? s->cfg.store_url
										  : path,
				   .handlers = { .on_load = on_load,
						 .on_history = on_history,
						 .on_events = on_events,
						 .on_compacted = on_compacted,
						 .on_epoch = on_epoch,
						 .on_lost = on_lost,
						 .arg = s },
				   .metrics = s->metrics,
				   STORE_CONFIG_DEFAULTS };
	if (store_open(&sc, &s->store, err))
		return error_wrap(err, "store");
	return 0;
}

static void *run_shard(void *arg)
{
	struct shard *sh = arg;
	loop_run(sh->loop);
	return NULL;
}

static int start_threads(struct apiserver *s, struct error *err)
{
	for (size_t i = 0; i < s->shards_len; i++) {
		struct shard *sh = &s->shards[i];
		int rc = pthread_create(&sh->thread, NULL, run_shard, sh);
		if (rc)
			return error_errno(err, ERR_INTERNAL, rc, "cannot start a thread");
		sh->started = true;
	}
	return 0;
}

int apiserver_start(struct apiserver *s, struct error *err)
{
	int rc = open_store(s, err);
	if (rc == 0)
		rc = front_start(s, err);
	if (rc == 0) {
		s->janitor = janitor_new(s);
		rc = start_threads(s, err);
	}
	return rc;
}

int apiserver_reload(struct apiserver *s, struct error *err)
{
	return s->tls ? tls_reload(s->tls, err) : 0;
}

void apiserver_drain(struct apiserver *s, void (*done)(void *arg), void *arg)
{
	atomic_store(&s->draining, true);
	http_server_drain(s->http, (uint32_t)s->cfg.drain_ms, done, arg);
}

static void stop_threads(struct apiserver *s)
{
	for (size_t i = 0; i < s->shards_len; i++)
		if (s->shards[i].started)
			loop_stop(s->shards[i].loop);
	for (size_t i = 0; i < s->shards_len; i++)
		if (s->shards[i].started)
			(void)pthread_join(s->shards[i].thread, NULL);
}

/* What is in the mailboxes runs here: requests end, callers inside get their answers. */
static void flush_shards(struct apiserver *s)
{
	for (int round = 0; round < FLUSH_ROUNDS; round++)
		for (size_t i = 0; i < s->shards_len; i++)
			loop_turn(s->shards[i].loop, 0);
}

static void free_shards(struct apiserver *s)
{
	for (size_t i = 0; i < s->shards_len; i++) {
		loop_timer_stop(&s->shards[i].tick);
		fanout_shard_fini(&s->shards[i]);
		loop_task_cancel(&s->shards[i].log_task);
		log_write(&s->shards[i].log_lines);
		buf_fini(&s->shards[i].log_lines);
		s->shards[i].loop = loop_free(s->shards[i].loop);
	}
	for (size_t i = 0; i < s->shards_len; i++)
		watch_shard_fini(&s->shards[i]);
}

struct apiserver *apiserver_free(struct apiserver *s)
{
	if (!s)
		return NULL;
	atomic_store(&s->closing, true);
	stop_threads(s);
	janitor_stop(s->janitor);
	s->store = store_close(s->store);
	s->http = http_server_free(s->http);
	flush_shards(s);
	free_shards(s);
	s->janitor = janitor_free(s->janitor);
	s->tls = tls_free(s->tls);
	s->cache = watch_cache_free(s->cache);
	s->tokens = auth_tokens_free(s->tokens);
	kind_set_unref(s->kinds);
	rbac_unref(s->rbac);
	(void)pthread_mutex_destroy(&s->rbac_lock);
	kind_set_unref(s->builtin);
	for (size_t i = 0; i < s->checks_len; i++)
		mem_free(s->checks[i].name);
	for (size_t i = 0; i < s->groups_len; i++) {
		mem_free(s->groups[i].group);
		mem_free(s->groups[i].version);
		mem_free(s->groups[i].resources);
	}
	if (!s->cfg.metrics)
		metrics_free(s->metrics);
	pthread_mutex_destroy(&s->kinds_lock);
	pthread_mutex_destroy(&s->subs_lock);
	mem_free(s);
	return NULL;
}

uint16_t apiserver_port(const struct apiserver *s, size_t listen_index)
{
	return http_server_port(s->http, listen_index);
}

struct watch_cache *apiserver_cache(struct apiserver *s)
{
	return s->cache;
}

struct loop *apiserver_loop(struct apiserver *s, size_t i)
{
	assert(i < s->shards_len);
	return s->shards[i].loop;
}

void apiserver_add_route(struct apiserver *s, const struct apiserver_route *route)
{
	assert(s->routes_len < ROUTES_MAX && !s->http);
	assert(route->prefix || (route->resource && route->subresource));
	s->routes[s->routes_len++] = *route;
}

void apiserver_add_check(struct apiserver *s, const char *name, const char *(*fn)(void *arg),
			 void *arg)
{
	assert(s->checks_len < CHECKS_MAX && !s->http);
	s->checks[s->checks_len++] =
		(struct check){ .name = mem_strdup(name), .fn = fn, .arg = arg };
}
