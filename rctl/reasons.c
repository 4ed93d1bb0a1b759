#include "reasons.h"

#include "text/rfc3339.h"

#include <inttypes.h>

static struct str text(const struct json *j, const char *name)
{
	return json_str(json_getc(j, name));
}

static const struct json *condition(const struct json *obj, const char *type)
{
	const struct json *list = json_dig(obj, "status", "conditions", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(text(json_at(list, i), "type"), type))
			return json_at(list, i);
	return NULL;
}

static bool is(const struct json *cond, const char *status)
{
	return cond && str_is(text(cond, "status"), status);
}

/* ": message" or ": reason" */
static void add_why(struct buf *out, const struct json *c)
{
	struct str why = str_trim(text(c, "message"));
	if (!why.len)
		why = text(c, "reason");
	if (str_ends(why, STR("."))) /* the sentence goes on, or ends with its own */
		why = str_sub(why, 0, why.len - 1);
	if (why.len)
		buf_addf(out, ": %.*s", STR_ARG(why));
}

static int64_t event_ms(const struct json *e)
{
	int64_t ms = 0;
	if (!rfc3339_parse_ms(text(e, "lastTimestamp"), &ms) &&
	    !rfc3339_parse_ms(text(e, "eventTime"), &ms))
		(void)rfc3339_parse_ms(json_str(json_dig(e, "metadata", "creationTimestamp", NULL)),
				       &ms);
	return ms;
}

const struct json *reasons_last_event(const struct json *events, bool any)
{
	const struct json *last = NULL;
	for (size_t i = 0; i < json_len(events); i++) {
		const struct json *e = json_at(events, i);
		if (!any && !str_is(text(e, "type"), "Warning"))
			continue;
		if (!last || event_ms(e) >= event_ms(last))
			last = e;
	}
	return last;
}

/* ---- pods ---- */

static void say_ended(struct buf *out, const struct json *t)
{
	int64_t code = json_i64(json_getc(t, "exitCode"), 0);
	int64_t signal = json_i64(json_getc(t, "signal"), code > 128 ? code - 128 : 0);
	struct str reason = text(t, "reason");
	if (str_is(reason, "OOMKilled"))
		buf_adds(out, "was killed because it used more memory than its limit");
	else if (signal)
		buf_addf(out, "was ended by signal %" PRId64, signal);
	else
		buf_addf(out, "ended with exit code %" PRId64, code);
	if (reason.len && !str_is(reason, "Error") && !str_is(reason, "Completed") &&
	    !str_is(reason, "OOMKilled"))
		buf_addf(out, " (%.*s)", STR_ARG(reason));
	struct str message = str_trim(text(t, "message"));
	if (message.len)
		buf_addf(out, ": %.*s", STR_ARG(message));
}

/* A container that does not run as it should; false = it is fine. */
static bool say_container(struct buf *out, const struct json *c, bool init)
{
	const struct json *waiting = json_dig(c, "state", "waiting", NULL);
	const struct json *ended = json_dig(c, "state", "terminated", NULL);
	const struct json *before = json_dig(c, "lastState", "terminated", NULL);
	const char *what = init ? "init container" : "container";
	struct str name = text(c, "name");
	int64_t restarts = json_i64(json_getc(c, "restartCount"), 0);
	if (waiting && str_is(text(waiting, "reason"), "CrashLoopBackOff")) {
		buf_addf(out, "is not running because %s %.*s ", what, STR_ARG(name));
		if (before)
			say_ended(out, before);
		else
			buf_adds(out, "ends again and again");
		buf_addf(out,
			 ", %" PRId64
			 " restarts so far; it is started again after a pause (see its "
			 "last words with 'rctl logs --previous')",
			 restarts);
		return true;
	}
	if (waiting && !str_is(text(waiting, "reason"), "PodInitializing")) {
		buf_addf(out, "waits because %s %.*s is not started", what, STR_ARG(name));
		add_why(out, waiting);
		return true;
	}
	if (ended && json_i64(json_getc(ended, "exitCode"), 0) != 0) {
		buf_addf(out, "has failed because %s %.*s ", what, STR_ARG(name));
		say_ended(out, ended);
		return true;
	}
	return false;
}

static bool say_containers(struct buf *out, const struct json *pod)
{
	static const char *const lists[] = { "initContainerStatuses", "containerStatuses" };
	for (int k = 0; k < 2; k++) {
		const struct json *list = json_dig(pod, "status", lists[k], NULL);
		for (size_t i = 0; i < json_len(list); i++)
			if (say_container(out, json_at(list, i), k == 0))
				return true;
	}
	return false;
}

static bool say_node(struct buf *out, const struct json *node)
{
	const struct json *ready = condition(node, "Ready");
	if (!node || is(ready, "True"))
		return false;
	buf_addf(out, "is on node %.*s, which is not ready",
		 STR_ARG(json_str(json_dig(node, "metadata", "name", NULL))));
	if (ready)
		add_why(out, ready);
	return true;
}

static void say_unready(struct buf *out, const struct json *pod, const struct reasons *known)
{
	const struct json *list = json_dig(pod, "status", "containerStatuses", NULL);
	struct str name = STR("");
	for (size_t i = 0; i < json_len(list) && !name.len; i++)
		if (!json_bool(json_getc(json_at(list, i), "ready"), false))
			name = text(json_at(list, i), "name");
	buf_addf(out, "runs on node %.*s but is not ready",
		 STR_ARG(json_str(json_dig(pod, "spec", "nodeName", NULL))));
	const struct json *e = reasons_last_event(known->events, false);
	if (name.len)
		buf_addf(out, ": container %.*s", STR_ARG(name));
	if (e)
		buf_addf(out, ": %.*s", STR_ARG(str_trim(text(e, "message"))));
	else if (name.len)
		buf_adds(out, " has not passed its probes yet");
}

static bool say_pod(const struct json *pod, const struct reasons *known, struct buf *out)
{
	struct str phase = json_str(json_dig(pod, "status", "phase", NULL));
	struct str node = json_str(json_dig(pod, "spec", "nodeName", NULL));
	const struct json *scheduled = condition(pod, "PodScheduled");
	if (json_dig(pod, "metadata", "deletionTimestamp", NULL)) {
		buf_addf(out, "is being deleted since %.*s",
			 STR_ARG(json_str(json_dig(pod, "metadata", "deletionTimestamp", NULL))));
		const struct json *fin = json_dig(pod, "metadata", "finalizers", NULL);
		if (json_len(fin))
			buf_addf(out, " and held by finalizer %.*s",
				 STR_ARG(json_str(json_at(fin, 0))));
		else if (node.len)
			buf_addf(out, ", until node %.*s says that it has ended", STR_ARG(node));
		return false;
	}
	if (str_is(phase, "Succeeded")) {
		buf_adds(out, "has done its work and ended well");
		return true;
	}
	if (!node.len) {
		buf_adds(out, "has no node");
		if (is(scheduled, "False"))
			add_why(out, scheduled);
		else
			buf_adds(out, " yet: the scheduler has not decided");
		return false;
	}
	if (str_is(phase, "Failed") && json_str(json_dig(pod, "status", "reason", NULL)).len) {
		buf_adds(out, "has failed");
		add_why(out, json_getc(pod, "status"));
		return false;
	}
	if (say_node(out, known->node) || say_containers(out, pod))
		return false;
	if (str_is(phase, "Running")) {
		if (!is(condition(pod, "Ready"), "True")) {
			say_unready(out, pod, known);
			return false;
		}
		buf_addf(out, "runs on node %.*s and is ready", STR_ARG(node));
		return true;
	}
	buf_addf(out, "is placed on node %.*s, which has not started it yet", STR_ARG(node));
	const struct json *e = reasons_last_event(known->events, false);
	if (e)
		buf_addf(out, ": %.*s", STR_ARG(str_trim(text(e, "message"))));
	return false;
}

/* ---- workloads, nodes, anything with conditions ---- */

static bool say_replicas(const struct json *obj, struct buf *out)
{
	int64_t want = json_i64(json_dig(obj, "spec", "replicas", NULL), 1);
	int64_t have = json_i64(json_dig(obj, "status", "replicas", NULL), 0);
	int64_t ready = json_i64(json_dig(obj, "status", "readyReplicas", NULL), 0);
	static const char *const bad[] = { "Placed", "ReplicaFailure", "Progressing", "Available" };
	buf_addf(out, "wants %" PRId64 " replicas, has %" PRId64 ", %" PRId64 " of them ready",
		 want, have, ready);
	if (ready >= want)
		return true;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct json *c = condition(obj, bad[i]);
		const char *wrong = str_is(str_of(bad[i]), "ReplicaFailure") ? "True" : "False";
		if (!is(c, wrong))
			continue;
		add_why(out, c);
		return false;
	}
	return false;
}

/* Of conditions that are bad when True. */
static bool is_complaint(struct str type)
{
	return str_ends(type, STR("Pressure")) || str_ends(type, STR("Failure")) ||
	       str_ends(type, STR("Unavailable")) || str_is(type, "Stalled") ||
	       str_is(type, "Degraded") || str_is(type, "Failed");
}

static bool say_conditions(const struct json *obj, struct buf *out)
{
	const struct json *list = json_dig(obj, "status", "conditions", NULL);
	const struct json *ready = NULL;
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *c = json_at(list, i);
		struct str type = text(c, "type");
		if (str_is(type, "Ready") || str_is(type, "Available") ||
		    str_is(type, "Established"))
			ready = c;
		if (is(c, is_complaint(type) ? "True" : "False") ||
		    (is(c, "Unknown") && !is_complaint(type))) {
			buf_addf(out, "has condition %.*s=%.*s", STR_ARG(type),
				 STR_ARG(text(c, "status")));
			add_why(out, c);
			return false;
		}
	}
	if (json_bool(json_dig(obj, "spec", "unschedulable", NULL), false)) {
		buf_adds(out, "is well but takes no new pods: it is cordoned");
		return true;
	}
	if (ready) {
		buf_addf(out, "is well (%.*s", STR_ARG(text(ready, "type")));
		add_why(out, ready);
		buf_addc(out, ')');
	} else {
		buf_adds(out, json_len(list)
				      ? "has no condition that complains"
				      : "is there; it has no conditions that would say more");
	}
	return true;
}

bool reasons_say(const struct json *obj, const struct reasons *known, struct buf *out)
{
	struct str kind = text(obj, "kind");
	if (str_is(kind, "Pod"))
		return say_pod(obj, known, out);
	if (json_dig(obj, "metadata", "deletionTimestamp", NULL)) {
		const struct json *fin = json_dig(obj, "metadata", "finalizers", NULL);
		buf_adds(out, "is being deleted");
		for (size_t i = 0; i < json_len(fin); i++)
			buf_addf(out, "%s%.*s", i ? ", " : ", held by finalizer ",
				 STR_ARG(json_str(json_at(fin, i))));
		return false;
	}
	if (json_is(json_dig(obj, "spec", "replicas", NULL), JSON_INT))
		return say_replicas(obj, out);
	return say_conditions(obj, out);
}
