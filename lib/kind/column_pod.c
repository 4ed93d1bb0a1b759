/* Pods as Kubernetes prints them: the word that says most about what a pod is doing. */
#include "kind/hooks.h"
#include "text/duration.h"
#include "text/rfc3339.h"

static const struct json *statuses(const struct kind_cell *c, const char *name)
{
	const struct json *list = json_dig(c->obj, "status", name, NULL);
	return json_is(list, JSON_ARRAY) ? list : NULL;
}

static const struct json *spec_list(const struct kind_cell *c, const char *name)
{
	const struct json *list = json_dig(c->obj, "spec", name, NULL);
	return json_is(list, JSON_ARRAY) ? list : NULL;
}

/* An init container that goes on running beside the others. */
static bool is_sidecar(const struct kind_cell *c, struct str name)
{
	const struct json *list = spec_list(c, "initContainers");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *x = json_at(list, i);
		if (str_eq(json_str(json_getc(x, "name")), name))
			return str_is(json_str(json_getc(x, "restartPolicy")), "Always");
	}
	return false;
}

static const struct json *state(const struct json *status, const char *name)
{
	const struct json *s = json_dig(status, "state", name, NULL);
	return json_is(s, JSON_OBJECT) ? s : NULL;
}

static bool has_true_condition(const struct kind_cell *c, struct str type)
{
	const struct json *list = statuses(c, "conditions");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *x = json_at(list, i);
		if (str_eq(json_str(json_getc(x, "type")), type))
			return str_is(json_str(json_getc(x, "status")), "True");
	}
	return false;
}

static struct str termination_text(struct kind_cell *c, const struct json *t, const char *prefix)
{
	struct str reason = json_str(json_getc(t, "reason"));
	long long signal = json_i64(json_getc(t, "signal"), 0);
	long long code = json_i64(json_getc(t, "exitCode"), 0);
	if (reason.len)
		return arena_strf(c->arena, "%s%.*s", prefix, STR_ARG(reason));
	if (signal)
		return arena_strf(c->arena, "%sSignal:%lld", prefix, signal);
	return arena_strf(c->arena, "%sExitCode:%lld", prefix, code);
}

/* The word while init containers are not through; {NULL, 0} when they are. */
static struct str init_word(struct kind_cell *c)
{
	const struct json *list = statuses(c, "initContainerStatuses");
	size_t total = json_len(spec_list(c, "initContainers"));
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *s = json_at(list, i);
		const struct json *ended = state(s, "terminated"), *waiting = state(s, "waiting");
		struct str why = json_str(json_getc(waiting, "reason"));
		bool started = json_bool(json_getc(s, "started"), false);
		if (ended && json_i64(json_getc(ended, "exitCode"), 0) == 0)
			continue;
		if (started && is_sidecar(c, json_str(json_getc(s, "name"))))
			continue;
		if (ended)
			return termination_text(c, ended, "Init:");
		if (why.len && !str_is(why, "PodInitializing"))
			return arena_strf(c->arena, "Init:%.*s", STR_ARG(why));
		return arena_strf(c->arena, "Init:%zu/%zu", i, total);
	}
	return STR_NONE;
}

/* The word of the containers; the first of them has the last say. */
static struct str container_word(struct kind_cell *c, struct str word)
{
	const struct json *list = statuses(c, "containerStatuses");
	bool running = false;
	for (size_t i = json_len(list); i-- > 0;) {
		const struct json *s = json_at(list, i);
		const struct json *ended = state(s, "terminated");
		struct str why = json_str(json_getc(state(s, "waiting"), "reason"));
		if (why.len)
			word = why;
		else if (ended)
			word = termination_text(c, ended, "");
		else if (json_bool(json_getc(s, "ready"), false) && state(s, "running"))
			running = true;
	}
	if (str_is(word, "Completed") && running)
		return has_true_condition(c, STR("Ready")) ? STR("Running") : STR("NotReady");
	return word;
}

void cell_pod_status(struct kind_cell *c)
{
	const struct json *status = json_getc(c->obj, "status");
	struct str word = json_str(json_getc(status, "phase"));
	struct str reason = json_str(json_getc(status, "reason"));
	const struct json *conditions = statuses(c, "conditions");
	if (reason.len)
		word = reason;
	for (size_t i = 0; i < json_len(conditions); i++) {
		const struct json *x = json_at(conditions, i);
		if (str_is(json_str(json_getc(x, "type")), "PodScheduled") &&
		    str_is(json_str(json_getc(x, "reason")), "SchedulingGated"))
			word = STR("SchedulingGated");
	}
	struct str init = init_word(c);
	if (init.p && !has_true_condition(c, STR("Initialized")))
		word = init;
	else
		word = container_word(c, word);
	if (json_is(json_dig(c->obj, "metadata", "deletionTimestamp", NULL), JSON_STRING)) {
		struct str phase = json_str(json_getc(status, "phase"));
		if (str_is(reason, "NodeLost"))
			word = STR("Unknown");
		else if (!str_is(phase, "Succeeded") && !str_is(phase, "Failed"))
			word = STR("Terminating");
	}
	cell_str(c, word);
}

static size_t sidecars(const struct kind_cell *c)
{
	const struct json *list = spec_list(c, "initContainers");
	size_t n = 0;
	for (size_t i = 0; i < json_len(list); i++)
		n += str_is(json_str(json_getc(json_at(list, i), "restartPolicy")), "Always");
	return n;
}

void cell_pod_ready(struct kind_cell *c)
{
	const struct json *list = statuses(c, "containerStatuses");
	const struct json *init = statuses(c, "initContainerStatuses");
	size_t total = json_len(spec_list(c, "containers")) + sidecars(c), ready = 0;
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *s = json_at(list, i);
		ready += json_bool(json_getc(s, "ready"), false) && state(s, "running");
	}
	for (size_t i = 0; i < json_len(init); i++) {
		const struct json *s = json_at(init, i);
		ready += json_bool(json_getc(s, "ready"), false) &&
			 is_sidecar(c, json_str(json_getc(s, "name")));
	}
	cell_str(c, arena_strf(c->arena, "%zu/%zu", ready, total));
}

struct restarts {
	int64_t count;
	int64_t last; /* Unix time of the last end; 0 = unknown */
};

static void add_restarts(struct restarts *r, const struct json *status)
{
	const struct json *ended = json_dig(status, "lastState", "terminated", "finishedAt", NULL);
	int64_t sec;
	r->count += (int32_t)json_i64(json_getc(status, "restartCount"), 0);
	if (ended && rfc3339_parse(json_str(ended), &sec, NULL) && sec > r->last)
		r->last = sec;
}

/* While init containers run it is they who count, afterwards the others and the sidecars. */
void cell_pod_restarts(struct kind_cell *c)
{
	const struct json *list = statuses(c, "containerStatuses");
	const struct json *init = statuses(c, "initContainerStatuses");
	bool initializing = init_word(c).p && !has_true_condition(c, STR("Initialized"));
	struct restarts r = { 0, 0 };
	for (size_t i = 0; i < json_len(init); i++)
		if (initializing || is_sidecar(c, json_str(json_getc(json_at(init, i), "name"))))
			add_restarts(&r, json_at(init, i));
	for (size_t i = 0; !initializing && i < json_len(list); i++)
		add_restarts(&r, json_at(list, i));
	struct buf b = { 0 };
	buf_add_i64(&b, r.count);
	if (r.count && r.last) {
		buf_adds(&b, " (");
		duration_write_human(&b, c->now_s - r.last);
		buf_adds(&b, " ago)");
	}
	cell_str(c, buf_str(&b));
	buf_fini(&b);
}

static void word_or_none(struct kind_cell *c, struct str s)
{
	cell_str(c, s.len ? s : STR("<none>"));
}

void cell_pod_ip(struct kind_cell *c)
{
	const struct json *status = json_getc(c->obj, "status");
	struct str first = json_str(json_getc(json_at(json_getc(status, "podIPs"), 0), "ip"));
	word_or_none(c, first.len ? first : json_str(json_getc(status, "podIP")));
}

void cell_pod_nominated(struct kind_cell *c)
{
	word_or_none(c, json_str(json_dig(c->obj, "status", "nominatedNodeName", NULL)));
}

void cell_pod_gates(struct kind_cell *c)
{
	const struct json *gates = spec_list(c, "readinessGates");
	size_t n = 0;
	if (!json_len(gates)) {
		word_or_none(c, STR_NONE);
		return;
	}
	for (size_t i = 0; i < json_len(gates); i++)
		n += has_true_condition(c, json_str(json_getc(json_at(gates, i), "conditionType")));
	cell_str(c, arena_strf(c->arena, "%zu/%zu", n, json_len(gates)));
}
