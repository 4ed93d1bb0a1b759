/* What the objects' statuses say: written when it differs from what was last seen, at most once a second each. */
#include "base/mem.h"
#include "engine_priv.h"
#include "text/rfc3339.h"

enum {
	DELAY_MS = 1000,
	RECEIVER_DELAY_MS = 3000,
	SILENCES_MS = 1000,
	ALERTS_MAX = 100,      /* in the status of one AlertRule */
	RETRY_TIME_MS = 60000, /* times alone are not worth a write more often */
};

/* ---- writing ---- */

struct write {
	struct ctl_queue *queue;
	struct client_informer *seen_by;
	struct arena arena;
	struct str key;
};

static int64_t revision(struct str body)
{
	struct arena a = { 0 };
	struct json obj;
	int64_t rev = 0;
	if (json_parse(&a, body, NULL, &obj, NULL) == 0)
		(void)str_to_i64(json_str(json_dig(&obj, "metadata", "resourceVersion", NULL)),
				 &rev);
	arena_fini(&a);
	return rev;
}

static void on_written(void *arg, int status, struct str body, const struct error *err)
{
	struct write *w = arg;
	int64_t rev = err ? 0 : revision(body);
	if (rev > 0)
		ctl_expect(w->queue, w->key, w->seen_by, rev);
	ctl_done(w->queue, w->key, !err || status == 404);
	arena_fini(&w->arena);
	mem_free(w);
}

/* Ends the reconcile; `was` is the status as JSON text. */
static void write_status(struct engine *e, struct ctl_queue *q, struct str key, const char *plural,
			 const char *was, struct client_informer *seen_by,
			 const struct json *status)
{
	struct write *w = mem_new(struct write, 1);
	struct arena *a = &w->arena;
	struct json old;
	w->queue = q;
	w->seen_by = seen_by;
	w->key = arena_str(a, key);
	if (*was && json_parse(a, str_of(was), NULL, &old, NULL) == 0 && json_equal(&old, status)) {
		ctl_done(q, key, true);
		arena_fini(a);
		mem_free(w);
		return;
	}
	struct json patch = json_object();
	(void)json_setc(a, &patch, "status", *status);
	bool alien = engine_is_prometheus_rule(key);
	size_t slash = (size_t)str_find(key, '/', 0);
	const char *path =
		arena_printf(a, "/apis/%s/namespaces/%.*s/%s/%.*s/status",
			     alien ? "monitoring.coreos.com/v1" : "monitoring.rctl.io/v1alpha1",
			     STR_ARG(str_sub(key, alien, slash)), plural,
			     STR_ARG(str_sub(key, slash + 1, key.len)));
	(void)client_send(e->cfg.client,
			  &(struct client_request){ .method = "PATCH",
						    .path = path,
						    .content_type = "application/merge-patch+json",
						    .body = json_text(a, &patch),
						    .done = on_written,
						    .arg = w });
}

static struct json time_of(struct arena *a, int64_t ms)
{
	struct buf b = { 0 };
	rfc3339_write(&b, ms / 1000);
	struct json j = json_of_str(arena_str(a, buf_str(&b)));
	buf_fini(&b);
	return j;
}

struct condition {
	const char *type;
	bool ok;
	const char *reason;
	struct str message;
};

/* The time of the last change stays that of the condition that was there, when it says the same. */
static void add_condition(struct arena *a, struct json *list, const struct json *old,
			  int64_t generation, const struct condition *c)
{
	struct json since = time_of(a, engine_now());
	for (size_t i = 0; i < json_len(old); i++) {
		const struct json *o = json_at(old, i);
		if (str_is(json_str(json_getc(o, "type")), c->type) &&
		    str_is(json_str(json_getc(o, "status")), c->ok ? "True" : "False"))
			since = json_clone(a, json_getc(o, "lastTransitionTime"));
	}
	struct json *j = json_push(a, list, json_object());
	(void)json_setc(a, j, "type", json_of_cstr(c->type));
	(void)json_setc(a, j, "status", json_of_cstr(c->ok ? "True" : "False"));
	(void)json_setc(a, j, "observedGeneration", json_of_i64(generation));
	(void)json_setc(a, j, "lastTransitionTime", since);
	(void)json_setc(a, j, "reason", json_of_cstr(c->reason));
	(void)json_setc(a, j, "message", json_of_str(c->message));
}

static struct json parsed(struct arena *a, const char *text)
{
	struct json j = { 0 };
	if (*text && json_parse(a, str_of(text), NULL, &j, NULL))
		j = (struct json){ 0 };
	return j;
}

/* ---- AlertRules ---- */

struct rule_sum {
	struct arena *a;
	int64_t firing, pending;
	const struct core_alert_view *v[ALERTS_MAX];
	struct json alerts;
	size_t omitted;
};

static void add_alert(void *arg, const struct core_alert_view *x)
{
	struct rule_sum *s = arg;
	enum alert_state state = x->record->state;
	s->firing += state == ALERT_FIRING;
	s->pending += state == ALERT_PENDING;
	if (state != ALERT_FIRING && state != ALERT_PENDING)
		return;
	if (s->alerts.len >= ALERTS_MAX) {
		s->omitted++;
		return;
	}
	struct arena *a = s->a;
	struct json *j = json_push(a, &s->alerts, json_object());
	(void)json_setc(a, j, "state", json_of_cstr(alert_state_name(state)));
	(void)json_setc(a, j, "activeAt", time_of(a, x->record->active_ms));
	(void)json_setc(a, j, "fingerprint", json_of_str(arena_str(a, x->fp)));
	struct json *labels = json_setc(a, j, "labels", json_object());
	for (size_t i = 0; i < x->labels.len; i++)
		(void)json_set(a, labels, arena_str(a, x->labels.v[i].name),
			       json_of_str(arena_str(a, x->labels.v[i].value)));
}

static int by_state_and_print(const void *x, const void *y)
{
	int c = str_cmp(json_str(json_getc(x, "state")), json_str(json_getc(y, "state")));
	return c ? c
		 : str_cmp(json_str(json_getc(x, "fingerprint")),
			   json_str(json_getc(y, "fingerprint")));
}

static void sum_mirrors(struct engine *e, struct str key, struct rule_sum *s)
{
	struct mirror_sum m;
	mirror_sum(e, key, s->a, &m);
	s->firing += m.firing;
	s->pending += m.pending;
	s->omitted += m.omitted;
	for (size_t i = 0; i < json_len(&m.alerts); i++) {
		if (s->alerts.len < ALERTS_MAX)
			(void)json_push(s->a, &s->alerts, *json_at(&m.alerts, i));
		else
			s->omitted++;
	}
}

static struct str failed_rule(struct arena *a, const struct rule_entry *r)
{
	for (size_t g = 0; g < r->groups_len; g++)
		for (size_t i = 0; i < r->groups[g].runs_len; i++)
			if (r->groups[g].runs[i].failed)
				return arena_strf(a, "group \"%.*s\", alert \"%.*s\": %s",
						  STR_ARG(r->set->groups[g].name),
						  STR_ARG(r->groups[g].runs[i].rule->alert),
						  r->groups[g].runs[i].problem);
	return STR("");
}

static struct json rule_status(struct arena *a, struct engine *e, const struct rule_entry *r)
{
	struct rule_sum s = { .a = a, .alerts = json_array() };
	for (size_t g = 0; g < r->groups_len; g++)
		for (size_t i = 0; i < r->groups[g].runs_len; i++)
			core_each_alert(e->core, str_of(r->groups[g].runs[i].id), add_alert, &s);
	if (e->cfg.global && !r->set->global)
		sum_mirrors(e, r->set->key, &s);
	if (e->cfg.global && str_is(r->set->key, builtin_keys[1]))
		sum_mirrors(e, STR(""), &s);
	if (s.alerts.len)
		qsort(s.alerts.items, s.alerts.len, sizeof(struct json), by_state_and_print);
	struct json was = parsed(a, r->status);
	const struct json *old = json_getc(&was, "conditions");
	struct str failed = failed_rule(a, r);
	struct json status = json_object();
	struct json conditions = json_array();
	add_condition(a, &conditions, old, r->set->generation,
		      &(struct condition){ "Accepted", !r->set->problem.len,
					   r->set->problem.len ? "InvalidExpression" : "Accepted",
					   r->set->problem });
	if (r->groups_len)
		add_condition(a, &conditions, old, r->set->generation,
			      &(struct condition){ "Evaluated", !failed.len,
						   failed.len ? "EvaluationFailed" : "Evaluated",
						   failed });
	(void)json_setc(a, &status, "conditions", conditions);
	(void)json_setc(a, &status, "observedGeneration", json_of_i64(r->set->generation));
	(void)json_setc(a, &status, "rules", json_of_i64((int64_t)r->set->rules));
	(void)json_setc(a, &status, "firing", json_of_i64(s.firing));
	(void)json_setc(a, &status, "pending", json_of_i64(s.pending));
	(void)json_setc(a, &status, "alerts", s.alerts);
	(void)json_setc(a, &status, "alertsOmitted", json_of_i64((int64_t)s.omitted));
	return status;
}

static void reconcile_rule(void *arg, struct ctl_queue *q, struct str key)
{
	struct engine *e = arg;
	const struct rule_entry *r = map_get(&e->rules, key);
	if (!r || r->own || !e->core) {
		ctl_done(q, key, true);
		return;
	}
	struct arena a = { 0 };
	struct json status = rule_status(&a, e, r);
	if (engine_is_prometheus_rule(key))
		write_status(e, q, key, "prometheusrules", r->status, e->i_prometheus, &status);
	else
		write_status(e, q, key, "alertrules", r->status, e->i_rules, &status);
	arena_fini(&a);
}

/* ---- AlertReceivers ---- */

static void set_time(struct arena *a, struct json *status, const char *name, int64_t ms,
		     const struct json *was)
{
	if (ms)
		(void)json_setc(a, status, name, time_of(a, ms));
	else if (json_getc(was, name))
		(void)json_setc(a, status, name, json_clone(a, json_getc(was, name)));
}

static void delivering(struct arena *a, struct json *conditions, const struct json *old,
		       const struct receiver_entry *r)
{
	if (r->told) {
		add_condition(a, conditions, old, r->receiver->generation,
			      &(struct condition){ "Delivering", !r->failing,
						   r->failing ? "DeliveryFailed" : "Delivered",
						   str_of(r->problem) });
		return;
	}
	for (size_t i = 0; i < json_len(old); i++)
		if (str_is(json_str(json_getc(json_at(old, i), "type")), "Delivering"))
			(void)json_push(a, conditions, json_clone(a, json_at(old, i)));
}

static void reconcile_receiver(void *arg, struct ctl_queue *q, struct str key)
{
	struct engine *e = arg;
	const struct receiver_entry *r = map_get(&e->receivers, key);
	if (!r || !e->core) {
		ctl_done(q, key, true);
		return;
	}
	struct arena a = { 0 };
	const struct receiver *x = r->receiver;
	struct json was = parsed(&a, r->status);
	const struct json *old = json_getc(&was, "conditions");
	struct json status = json_object();
	struct json conditions = json_array();
	add_condition(&a, &conditions, old, x->generation,
		      &(struct condition){ "Accepted", !x->problem.len,
					   x->problem.len ? "Invalid" : "Accepted", x->problem });
	delivering(&a, &conditions, old, r);
	(void)json_setc(&a, &status, "conditions", conditions);
	(void)json_setc(&a, &status, "observedGeneration", json_of_i64(x->generation));
	set_time(&a, &status, "lastSuccessTime", r->success_ms, &was);
	set_time(&a, &status, "lastFailureTime", r->failure_ms, &was);
	(void)json_setc(&a, &status, "queued", json_of_i64((int64_t)core_queued(e->core, key)));
	write_status(e, q, key, "alertreceivers", r->status, e->i_receivers, &status);
	arena_fini(&a);
}

/* ---- Silences ---- */

static void reconcile_silence(void *arg, struct ctl_queue *q, struct str key)
{
	struct engine *e = arg;
	const struct silence_entry *s = map_get(&e->silences, key);
	if (!s || !e->core) {
		ctl_done(q, key, true);
		return;
	}
	struct arena a = { 0 };
	int64_t now = engine_now();
	struct json status = json_object();
	(void)json_setc(&a, &status, "observedGeneration", json_of_i64(s->silence->generation));
	(void)json_setc(&a, &status, "state",
			json_of_cstr(silence_state_name(silence_state(s->silence, now))));
	(void)json_setc(&a, &status, "silenced",
			json_of_i64((int64_t)core_silenced(e->core, s->silence, now)));
	write_status(e, q, key, "silences", s->status, e->i_silences, &status);
	arena_fini(&a);
}

/* A silence begins and ends by itself, and what it silences comes and goes. */
static void on_silences(struct loop_timer *t)
{
	struct engine *e = container_of(t, struct engine, silence_timer);
	loop_timer_set(e->cfg.loop, t, SILENCES_MS);
	size_t pos = 0;
	struct str key;
	void *v = NULL;
	while (map_next(&e->silences, &pos, &key, &v)) {
		const struct silence_entry *s = v;
		struct arena a = { 0 };
		struct json was = parsed(&a, s->status);
		if (!str_is(json_str(json_getc(&was, "state")), "expired"))
			ctl_add_after(e->silence_status, key, DELAY_MS);
		arena_fini(&a);
	}
}

/* ---- life ---- */

void status_rule(struct engine *e, struct str key)
{
	ctl_add_after(e->rule_status, key, DELAY_MS);
}

void status_receiver(struct engine *e, struct str key)
{
	ctl_add_after(e->receiver_status, key, RECEIVER_DELAY_MS);
}

void status_silence(struct engine *e, struct str key)
{
	ctl_add_after(e->silence_status, key, DELAY_MS);
}

static struct ctl_queue *queue(struct engine *e, const char *name,
			       void (*fn)(void *, struct ctl_queue *, struct str))
{
	const struct ctl_queue_config cfg = { .name = name, .reconcile = fn, .arg = e };
	return ctl_queue_new(e->cfg.ctl, &cfg);
}

void status_init(struct engine *e)
{
	e->rule_status = queue(e, "alertrules", reconcile_rule);
	e->receiver_status = queue(e, "alertreceivers", reconcile_receiver);
	e->silence_status = queue(e, "silences", reconcile_silence);
	e->silence_timer.fn = on_silences;
	loop_timer_set(e->cfg.loop, &e->silence_timer, SILENCES_MS);
}
