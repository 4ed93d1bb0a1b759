#include "base/log.h"
#include "base/mem.h"
#include "engine_priv.h"
#include "sys/clock.h"

enum { RETRY_MS = 1000, PRUNE_MS = 3600000, TURN_MAX_MS = 60000, CORDON_LINGER_MS = 15000 };

static void claim(struct engine *e);

int64_t engine_now(void)
{
	return clock_unix_ms();
}

void engine_pump(struct engine *e)
{
	loop_defer(e->cfg.loop, &e->pump);
}

static void lost(struct engine *e, const struct error *err)
{
	e->core = core_free(e->core);
	e->state = ENGINE_CLAIMS; /* for good: the program ends */
	e->cfg.on_lost(e->cfg.arg, err);
}

/* ---- what the core tells ---- */

/* NAMESPACE/NAME of a rule's id */
static struct str set_key(struct str rule)
{
	ptrdiff_t slash = str_find(rule, '/', 0);
	ptrdiff_t end = slash < 0 ? -1 : str_find(rule, '/', (size_t)slash + 1);
	return end < 0 ? rule : str_sub(rule, 0, (size_t)end);
}

static void on_change(void *arg, const struct core_alert_view *x, enum alert_state from)
{
	struct engine *e = arg;
	enum alert_state to = x->record->state;
	struct str key = set_key(x->rule);
	status_rule(e, key);
	if (to != ALERT_FIRING && from != ALERT_FIRING)
		return;
	struct buf labels = { 0 };
	labels_write_text(x->labels, &labels);
	log_info(to == ALERT_FIRING ? "alert-firing" : "alert-resolved", "rule", LOG_STR(x->rule),
		 "alert", LOG_STR(buf_str(&labels)), "fingerprint", LOG_STR(x->fp), NULL);
	const struct rule_entry *r = map_get(&e->rules, key);
	if (r && r->set->uid.len) {
		bool alien = engine_is_prometheus_rule(key);
		const struct ctl_object_ref about = { alien ? STR("monitoring.coreos.com/v1")
							    : STR("monitoring.rctl.io/v1alpha1"),
						      alien ? STR("PrometheusRule")
							    : STR("AlertRule"),
						      r->set->ns, r->set->name, r->set->uid };
		ctl_event(e->cfg.ctl, &about, to == ALERT_FIRING,
			  to == ALERT_FIRING ? "AlertFiring" : "AlertResolved", "%.*s",
			  STR_ARG(str_sub(buf_str(&labels), 0, 900)));
	}
	buf_fini(&labels);
}

/* ---- turns ---- */

static void on_committed(void *arg, const struct dbanswer *answer)
{
	struct engine *e = arg;
	e->busy = false;
	if (answer->rc == 0) {
		core_flushed(e->core);
		engine_pump(e);
		return;
	}
	if (answer->rc == ERR_FORBIDDEN) {
		lost(e, &answer->err);
		return;
	}
	log_warn("alerts-not-stored", "error", LOG_S(answer->err.msg), NULL);
	/* what the database says is true, whether the batch is in it or not */
	e->core = core_free(e->core);
	e->state = ENGINE_WAITS;
	loop_timer_set(e->cfg.loop, &e->retry, RETRY_MS);
}

static void on_pruned(void *arg, const struct dbanswer *answer)
{
	struct engine *e = arg;
	e->busy = false;
	if (answer->rc)
		log_warn("alerts-not-pruned", "error", LOG_S(answer->err.msg), NULL);
	engine_pump(e);
}

static void builtins(struct engine *e)
{
	unsigned due = e->builtin_due;
	e->builtin_due = 0;
	for (int b = BUILTIN_NONE + 1; b < BUILTINS; b++)
		if (due & 1U << b)
			evaluate_builtin(e, (enum builtin)b);
}

static void turn(struct engine *e)
{
	if (e->state != ENGINE_RUNS)
		return;
	builtins(e);
	int64_t now = engine_now();
	if (!e->busy) {
		struct arena a = { 0 };
		struct alert_batch b;
		core_run(e->core, now);
		if (core_flush(e->core, now, &a, &b)) {
			e->busy = true;
			dbworker_commit(e->db, e->epoch, &b, &a, on_committed, e);
		} else if (now - e->pruned_ms >= PRUNE_MS || e->pruned_ms > now) {
			e->pruned_ms = now;
			e->busy = true;
			dbworker_prune(e->db, e->epoch, now - e->cfg.retention_ms, on_pruned, e);
		}
		arena_fini(&a);
	}
	sender_run(e);
	int64_t wait = core_due(e->core) - now;
	if (!e->busy)
		loop_timer_set(e->cfg.loop, &e->turn,
			       wait < 0             ? 0
			       : wait > TURN_MAX_MS ? TURN_MAX_MS
						    : (uint64_t)wait);
}

static void on_pump(struct loop_task *t)
{
	turn(container_of(t, struct engine, pump));
}

static void on_turn(struct loop_timer *t)
{
	turn(container_of(t, struct engine, turn));
}

/* ---- taking the database over ---- */

static void feed(struct engine *e)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&e->receivers, &pos, NULL, &v))
		core_set_receiver(e->core, ((struct receiver_entry *)v)->receiver);
	pos = 0;
	while (map_next(&e->silences, &pos, NULL, &v))
		core_set_silence(e->core, ((struct silence_entry *)v)->silence);
	pos = 0;
	while (map_next(&e->cordoned, &pos, NULL, &v))
		core_set_silence(e->core, v);
	core_receivers_known(e->core);
}

static void recall(void *arg, const struct core_alert_view *x)
{
	struct engine *e = arg;
	if (x->record->state == ALERT_FIRING)
		topology_recall(&e->objects.topology, labels_get(x->labels, STR("axis")),
				labels_get(x->labels, STR("region")),
				labels_get(x->labels, STR("zone")),
				labels_get(x->labels, STR("network_az")));
}

/* Zones that were silent are so until few of their nodes are: what fires says which. */
static void recall_zones(struct engine *e)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&e->rules, &pos, NULL, &v)) {
		const struct rule_entry *r = v;
		for (size_t g = 0; g < r->groups_len; g++)
			for (size_t i = 0; i < r->groups[g].runs_len; i++)
				if (r->groups[g].runs[i].rule->builtin == BUILTIN_ZONE_SILENT)
					core_each_alert(e->core, str_of(r->groups[g].runs[i].id),
							recall, e);
	}
}

static void on_claimed(void *arg, const struct dbanswer *answer)
{
	struct engine *e = arg;
	e->busy = false;
	if (answer->rc == ERR_FORBIDDEN || answer->rc == ERR_INVALID) {
		lost(e, &answer->err);
		return;
	}
	if (answer->rc) {
		log_warn("alerts-database-away", "error", LOG_S(answer->err.msg), NULL);
		e->state = ENGINE_WAITS;
		loop_timer_set(e->cfg.loop, &e->retry, RETRY_MS);
		return;
	}
	e->epoch = answer->image.epoch;
	e->core = core_new(&(struct core_config){
		.origin = str_of(e->cfg.cluster),
		.external_url = str_of(e->cfg.external_url),
		.deadline_ms = e->cfg.deadline_ms,
		.retention_ms = e->cfg.retention_ms,
		.on_change = on_change,
		.arg = e,
	});
	core_load(e->core, &answer->image, engine_now());
	e->state = ENGINE_RUNS;
	feed(e);
	recall_zones(e);
	evaluate_end_unknown(e);
	e->builtin_due = ~0U;
	log_info("alerts-loaded", "epoch", LOG_I(e->epoch), "alerts",
		 LOG_I(answer->image.rows.alerts_len), "deliveries",
		 LOG_I(answer->image.rows.deliveries_len), NULL);
	engine_pump(e);
}

static void on_lease(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct engine *e = arg;
	e->lease_call = NULL;
	struct arena a = { 0 };
	struct json j;
	bool ok = !err && json_parse(&a, body, NULL, &j, NULL) == 0;
	const struct json *spec = ok ? json_getc(&j, "spec") : NULL;
	struct error why = { 0 };
	if (!ok) {
		e->state = ENGINE_WAITS;
		loop_timer_set(e->cfg.loop, &e->retry, RETRY_MS);
	} else if (!str_is(json_str(json_getc(spec, "holderIdentity")), e->cfg.identity)) {
		(void)error_set(&why, ERR_CONFLICT, "the lease belongs to another process");
		lost(e, &why);
	} else {
		e->busy = true;
		dbworker_claim(e->db, json_str(json_dig(&j, "metadata", "uid", NULL)),
			       json_i64(json_getc(spec, "leaseTransitions"), 0), on_claimed, e);
	}
	arena_fini(&a);
}

/* The lease names us and carries the fencing token: the database compares it with that of its owner. */
static void claim(struct engine *e)
{
	if (e->state != ENGINE_WAITS)
		return;
	e->state = ENGINE_CLAIMS;
	char path[600];
	(void)snprintf(path, sizeof(path), "/apis/coordination.k8s.io/v1/namespaces/%s/leases/%s",
		       e->cfg.lease_ns, e->cfg.program);
	e->lease_call = client_send(e->cfg.client, &(struct client_request){ .method = "GET",
									     .path = path,
									     .timeout_ms = 5000,
									     .done = on_lease,
									     .arg = e });
}

static void on_retry(struct loop_timer *t)
{
	claim(container_of(t, struct engine, retry));
}

/* The builtin rule as an object, so that it can be seen and changed. That it is there already is fine. */
static void on_written(void *arg, int status, struct str body, const struct error *err)
{
	(void)arg;
	(void)body;
	if (err && status != 409)
		log_warn("builtin-rule-not-written", "error", LOG_S(err->msg), NULL);
}

/* Runs when this process leads and all informers are synced. */
static void start_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct engine *e = arg;
	ctl_done(q, key, true);
	const struct rule_entry *r =
		map_get(&e->rules, str_of(builtin_keys[e->cfg.global ? 1 : 0]));
	if (r->own)
		(void)client_send(
			e->cfg.client,
			&(struct client_request){ .method = "POST",
						  .path = "/apis/monitoring.rctl.io/v1alpha1/"
							  "namespaces/kube-system/alertrules",
						  .body = str_of(builtin_rules[e->cfg.global]),
						  .done = on_written,
						  .arg = e });
	mirror_start(e);
	claim(e);
}

/* ---- AlertRules ---- */

static char *status_text(const struct json *obj)
{
	const struct json *status = json_getc(obj, "status");
	struct buf b = { 0 };
	if (status)
		json_write(&b, status);
	char *s = mem_strndup(b.p ? b.p : "", b.len);
	buf_fini(&b);
	return s;
}

static void rule_entry_free(struct rule_entry *r)
{
	if (!r)
		return;
	evaluate_stop(r);
	(void)rule_set_free(r->set);
	mem_free(r->status);
	mem_free(r);
}

static void put_rule(struct engine *e, struct rule_entry *r)
{
	rule_entry_free(map_set(&e->rules, r->set->key, r));
	evaluate_start(e, r);
	evaluate_end_unknown(e);
	status_rule(e, r->set->key);
	engine_pump(e);
}

static void put_builtin(struct engine *e)
{
	struct arena a = { 0 };
	struct json j;
	struct error err = { 0 };
	int which = e->cfg.global ? 1 : 0;
	if (json_parse(&a, str_of(builtin_rules[which]), NULL, &j, &err) == 0) {
		struct rule_entry *r = mem_new(struct rule_entry, 1);
		r->set = rule_set_new(str_of(builtin_keys[which]), &j);
		r->status = mem_strdup("");
		r->own = true;
		put_rule(e, r);
	}
	arena_fini(&a);
}

static void on_rule(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct engine *e = arg;
	struct rule_entry *old = map_get(&e->rules, key);
	struct rule_set *set = rule_set_new(key, obj);
	char *status = status_text(obj);
	if (old && !old->own && old->set->generation == set->generation &&
	    str_eq(old->set->uid, set->uid)) {
		(void)rule_set_free(set);
		mem_free(old->status);
		old->status = status;
		status_rule(e, key);
		return;
	}
	struct rule_entry *r = mem_new(struct rule_entry, 1);
	r->set = set;
	r->status = status;
	put_rule(e, r);
}

static void on_rule_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct engine *e = arg;
	if (str_is(key, builtin_keys[e->cfg.global ? 1 : 0])) {
		put_builtin(e);
		return;
	}
	rule_entry_free(map_del(&e->rules, key));
	evaluate_end_unknown(e);
	engine_pump(e);
}

/* ---- PrometheusRules: among the AlertRules, under keys of their own ---- */

bool engine_is_prometheus_rule(struct str key)
{
	return key.len > 0 && key.p[0] == '+';
}

static void on_prometheus_rule(void *arg, struct str key, const struct json *obj, struct str text)
{
	struct arena a = { 0 };
	on_rule(arg, arena_strf(&a, "+%.*s", STR_ARG(key)), obj, text);
	arena_fini(&a);
}

static void on_prometheus_rule_delete(void *arg, struct str key, struct str last)
{
	struct arena a = { 0 };
	on_rule_delete(arg, arena_strf(&a, "+%.*s", STR_ARG(key)), last);
	arena_fini(&a);
}

/* ---- AlertReceivers ---- */

static void receiver_entry_free(struct receiver_entry *r)
{
	if (!r)
		return;
	(void)receiver_free(r->receiver);
	mem_free(r->status);
	mem_free(r);
}

static void on_receiver(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct engine *e = arg;
	struct receiver_entry *r = map_get(&e->receivers, key);
	struct receiver *now = receiver_new(key, obj);
	char *status = status_text(obj);
	if (!r) {
		r = mem_new(struct receiver_entry, 1);
		(void)map_set(&e->receivers, key, r);
	}
	mem_free(r->status);
	r->status = status;
	struct receiver *before = r->receiver;
	if (before && before->generation == now->generation && str_eq(before->uid, now->uid)) {
		(void)receiver_free(now);
	} else {
		r->receiver = now;
		if (e->core)
			core_set_receiver(e->core, now);
		(void)receiver_free(before);
		engine_pump(e);
	}
	status_receiver(e, key);
}

static void on_receiver_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct engine *e = arg;
	if (e->core)
		core_del_receiver(e->core, key);
	receiver_entry_free(map_del(&e->receivers, key));
	engine_pump(e);
}

/* ---- Silences ---- */

static void silence_entry_free(struct silence_entry *s)
{
	if (!s)
		return;
	(void)silence_free(s->silence);
	mem_free(s->status);
	mem_free(s);
}

static void on_silence(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct engine *e = arg;
	struct silence_entry *s = mem_new(struct silence_entry, 1);
	s->silence = silence_new(key, obj);
	s->status = status_text(obj);
	struct silence_entry *old = map_set(&e->silences, key, s);
	bool same = old && old->silence->generation == s->silence->generation &&
		    str_eq(old->silence->uid, s->silence->uid);
	if (same) { /* the core keeps what it has */
		struct silence *now = s->silence;
		s->silence = old->silence;
		old->silence = now;
	} else if (e->core) {
		core_set_silence(e->core, s->silence);
		engine_pump(e);
	}
	silence_entry_free(old);
	status_silence(e, key);
}

static void on_silence_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct engine *e = arg;
	if (e->core)
		core_del_silence(e->core, key);
	silence_entry_free(map_del(&e->silences, key));
	engine_pump(e);
}

/* ---- objects ---- */

static void on_builtin(void *arg, enum builtin what)
{
	struct engine *e = arg;
	e->builtin_due |= 1U << what;
	engine_pump(e);
}

static void cordoned_sweep(struct engine *e, int64_t now_ms)
{
	struct arena a = { 0 };
	struct str *gone = arena_new(&a, struct str, e->cordoned.len);
	size_t n = 0;
	size_t pos = 0;
	struct str key;
	void *v = NULL;
	while (map_next(&e->cordoned, &pos, &key, &v))
		if (((const struct silence *)v)->ends_ms <= now_ms)
			gone[n++] = arena_str(&a, key);
	for (size_t i = 0; i < n; i++) {
		if (e->core)
			core_del_silence(e->core, gone[i]);
		(void)silence_free(map_del(&e->cordoned, gone[i]));
	}
	arena_fini(&a);
}

/*
 * Nobody is to be called for a node that somebody works at; pods on it are another matter.  What is said of the
 * node goes on for a moment when that is over (keep_firing_for), also when the node was deleted.
 */
static void on_cordon(void *arg, struct str node, bool cordoned)
{
	struct engine *e = arg;
	struct arena a = { 0 };
	struct str key = arena_strf(&a, "cordoned/%.*s", STR_ARG(node));
	int64_t now = engine_now();
	struct silence *s = silence_of_node(key, node);
	cordoned_sweep(e, now);
	if (!cordoned)
		s->ends_ms = now + CORDON_LINGER_MS;
	if (e->core)
		core_set_silence(e->core, s);
	(void)silence_free(map_set(&e->cordoned, key, s));
	arena_fini(&a);
	engine_pump(e);
}

/* Rules of scope Global have a run for each cluster. */
static void on_cluster(void *arg)
{
	struct engine *e = arg;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&e->rules, &pos, NULL, &v)) {
		evaluate_stop(v);
		evaluate_start(e, v);
	}
	evaluate_end_unknown(e);
	engine_pump(e);
}

/* ---- life ---- */

static struct client_informer *watch(struct engine *e, const char *path,
				     void (*set)(void *, struct str, const struct json *,
						 struct str),
				     void (*del)(void *, struct str, struct str))
{
	const struct client_informer_config cfg = {
		.path = path, .on_set = set, .on_delete = del, .arg = e
	};
	return ctl_watch(e->cfg.ctl, e->cfg.client, &cfg, true);
}

static void metrics(struct engine *e)
{
	struct metrics *m = e->cfg.metrics;
	static const char total[] = "rctl_alert_deliveries_total";
	static const char help[] = "Attempts to deliver a notification, by what became of it.";
	e->m_evaluations = metric_counter(m, "rctl_alert_evaluations_total", "",
					  "Evaluations of alert rules.");
	e->m_failures = metric_counter(m, "rctl_alert_evaluation_failures_total", "",
				       "Evaluations of alert rules that failed.");
	e->m_done = metric_counter(m, total, "result=\"done\"", help);
	e->m_retry = metric_counter(m, total, "result=\"retry\"", help);
	e->m_dead = metric_counter(m, total, "result=\"dead\"", help);
}

static int64_t gauge_firing(void *arg)
{
	const struct engine *e = arg;
	return e->core ? (int64_t)core_count(e->core, ALERT_FIRING) : 0;
}

static int64_t gauge_pending(void *arg)
{
	const struct engine *e = arg;
	return e->core ? (int64_t)core_count(e->core, ALERT_PENDING) : 0;
}

static int64_t gauge_inhibited(void *arg)
{
	const struct engine *e = arg;
	return e->core ? (int64_t)core_inhibited(e->core, engine_now()) : 0;
}

static void external_labels(struct engine *e)
{
	if (e->cfg.cluster && *e->cfg.cluster)
		e->external_v[e->external.len++] =
			(struct label){ STR("cluster"), str_of(e->cfg.cluster) };
	if (e->cfg.region && *e->cfg.region)
		e->external_v[e->external.len++] =
			(struct label){ STR("region"), str_of(e->cfg.region) };
	e->external.v = e->external_v;
}

struct engine *engine_new(const struct engine_config *cfg)
{
	struct engine *e = mem_new(struct engine, 1);
	e->cfg = *cfg;
	struct map *maps[] = { &e->rules, &e->receivers, &e->silences, &e->mirrors, &e->cordoned };
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		map_init(maps[i], clock_random_u64());
	e->pump.fn = on_pump;
	e->turn.fn = on_turn;
	e->retry.fn = on_retry;
	external_labels(e);
	metrics(e);
	metric_gauge_fn(cfg->metrics, "rctl_alerts", "state=\"firing\"", "Alerts by state.",
			gauge_firing, e);
	metric_gauge_fn(cfg->metrics, "rctl_alerts", "state=\"pending\"", "Alerts by state.",
			gauge_pending, e);
	metric_gauge_fn(cfg->metrics, "rctl_alerts_inhibited", "",
			"Alerts that fire and that another one stands for.", gauge_inhibited, e);
	e->db = dbworker_new(cfg->loop, cfg->store);
	sender_init(e);
	status_init(e);
	const struct ctl_queue_config start = {
		.name = "alerts-start", .reconcile = start_reconcile, .arg = e, .parallel = 1
	};
	e->start = ctl_queue_new(cfg->ctl, &start);
	put_builtin(e);
	e->i_rules =
		watch(e, "/apis/monitoring.rctl.io/v1alpha1/alertrules", on_rule, on_rule_delete);
	e->i_prometheus = watch(e, "/apis/monitoring.coreos.com/v1/prometheusrules",
				on_prometheus_rule, on_prometheus_rule_delete);
	e->i_receivers = watch(e, "/apis/monitoring.rctl.io/v1alpha1/alertreceivers", on_receiver,
			       on_receiver_delete);
	e->i_silences = watch(e, "/apis/monitoring.rctl.io/v1alpha1/silences", on_silence,
			      on_silence_delete);
	e->objects.on_change = on_builtin;
	e->objects.on_cluster = on_cluster;
	e->objects.on_cordon = on_cordon;
	e->objects.arg = e;
	objects_init(&e->objects, cfg->ctl, cfg->client, cfg->global);
	ctl_add(e->start, STR("start"));
	return e;
}

struct engine *engine_free(struct engine *e)
{
	if (!e)
		return NULL;
	loop_task_cancel(&e->pump);
	loop_timer_stop(&e->turn);
	loop_timer_stop(&e->retry);
	loop_timer_stop(&e->silence_timer);
	client_cancel(e->lease_call);
	e->db = dbworker_free(e->db);
	sender_fini(e);
	mirror_fini(e);
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&e->rules, &pos, NULL, &v))
		rule_entry_free(v);
	e->core = core_free(e->core);
	pos = 0;
	while (map_next(&e->receivers, &pos, NULL, &v))
		receiver_entry_free(v);
	pos = 0;
	while (map_next(&e->silences, &pos, NULL, &v))
		silence_entry_free(v);
	pos = 0;
	while (map_next(&e->cordoned, &pos, NULL, &v))
		(void)silence_free(v);
	map_fini(&e->cordoned);
	map_fini(&e->rules);
	map_fini(&e->receivers);
	map_fini(&e->silences);
	objects_fini(&e->objects);
	mem_free(e);
	return NULL;
}
