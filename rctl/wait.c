/* wait and rollout: until an object is as asked. */
#include "jsonpath/jsonpath.h"
#include "rctl.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "text/rfc3339.h"
#include "yaml/yaml.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { POLL_MS = 300, PROGRESS_MS = 1000, WAIT_MS = 30000, ROLLOUT_MS = 600000 };

/* ---- conditions ---- */

void rctl_pause(struct rctl *r, int ms)
{
	uint64_t until = clock_mono_ms() + (uint64_t)ms;
	for (uint64_t now; (now = clock_mono_ms()) < until;)
		loop_turn(r->loop, (int)(until - now));
}

static bool condition_holds(const struct json *obj, struct str what)
{
	ptrdiff_t eq = str_find(what, '=', 0);
	struct str type = eq < 0 ? what : str_sub(what, 0, (size_t)eq);
	struct str want = eq < 0 ? STR("True") : str_sub(what, (size_t)eq + 1, what.len);
	/* a status of an older spec says nothing about this one */
	int64_t generation = json_i64(json_dig(obj, "metadata", "generation", NULL), 0);
	const struct json *observed = json_dig(obj, "status", "observedGeneration", NULL);
	if (observed && json_i64(observed, 0) < generation)
		return false;
	const struct json *list = json_dig(obj, "status", "conditions", NULL);
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *c = json_at(list, i);
		if (str_eq_nocase(json_str(json_getc(c, "type")), type))
			return str_eq_nocase(json_str(json_getc(c, "status")), want);
	}
	return false;
}

static int jsonpath_holds(struct rctl *r, const struct json *obj, struct str what, bool *ret,
			  struct error *err)
{
	/* {.status.phase}=Running: the '=' behind the closing brace, or the first one */
	ptrdiff_t close = str_find(what, '}', 0);
	ptrdiff_t eq = str_find(what, '=', close < 0 ? 0 : (size_t)close);
	struct str path = eq < 0 ? what : str_sub(what, 0, (size_t)eq);
	struct jsonpath *p = NULL;
	struct jsonpath_results res;
	int rc = jsonpath_compile(&r->arena, path, JSONPATH_RELAXED | JSONPATH_ALLOW_MISSING, &p,
				  err);
	if (rc == 0)
		rc = jsonpath_find(p, &r->arena, obj, &res, err);
	if (rc)
		return rc;
	*ret = false;
	if (res.len && eq < 0)
		*ret = true;
	if (res.len && eq >= 0) {
		struct str want = str_sub(what, (size_t)eq + 1, what.len);
		const struct json *v = res.v[0];
		*ret = str_eq(v->type == JSON_STRING ? json_str(v) : json_text(&r->arena, v), want);
	}
	return 0;
}

/* Of kinds that say so by a condition; what has no status is ready as soon as it is there. */
static bool is_ready(const struct json *obj)
{
	static const char *const says[] = { "Available", "Ready", "Established" };
	struct str phase = json_str(json_dig(obj, "status", "phase", NULL));
	const struct json *list = json_dig(obj, "status", "conditions", NULL);
	int64_t want = json_i64(json_dig(obj, "spec", "replicas", NULL), 0);
	struct str kind = json_str(json_getc(obj, "kind"));
	if (str_is(kind, "Deployment"))
		return condition_holds(obj, STR("Available")) &&
		       json_i64(json_dig(obj, "status", "updatedReplicas", NULL), 0) >= want &&
		       json_i64(json_dig(obj, "status", "availableReplicas", NULL), 0) >= want;
	if (str_is(kind, "Pod") && str_is(phase, "Succeeded"))
		return true;
	for (size_t i = 0; i < json_len(list); i++)
		for (size_t k = 0; k < sizeof(says) / sizeof(says[0]); k++)
			if (str_is(json_str(json_getc(json_at(list, i), "type")), says[k]))
				return condition_holds(obj, str_of(says[k]));
	/* kinds whose controller has not spoken yet */
	return !str_is(kind, "Pod") && !str_is(kind, "Placement") &&
	       !str_is(kind, "CustomResourceDefinition");
}

static int holds(struct rctl *r, const char *path, const char *condition, bool *ret,
		 struct error *err)
{
	struct str c = str_of(condition);
	struct json obj;
	int rc = rctl_get_json(r, path, &obj, err);
	*ret = false;
	if (str_is(c, "delete") || str_is(c, "create")) {
		if (rc && rc != ERR_NOT_FOUND)
			return rc;
		*ret = str_is(c, "delete") ? rc == ERR_NOT_FOUND : rc == 0;
		return 0;
	}
	if (rc)
		return rc;
	if (str_is(c, "ready")) {
		*ret = is_ready(&obj);
		return 0;
	}
	if (str_starts(c, STR("condition="))) {
		*ret = condition_holds(&obj, str_sub(c, 10, c.len));
		return 0;
	}
	if (str_starts(c, STR("jsonpath=")))
		return jsonpath_holds(r, &obj, str_sub(c, 9, c.len), ret, err);
	return error_set(
		err, ERR_BAD_REQUEST,
		"--for=%s: use condition=NAME[=VALUE], delete, create or jsonpath=TEMPLATE[=VALUE]",
		condition);
}

/* A line that stays while something is waited for, on a terminal; ms 0 takes it away. */
static void progress(uint64_t ms, const char *condition, struct str what)
{
	if (!isatty(STDERR_FILENO))
		return;
	if (ms >= PROGRESS_MS)
		(void)fprintf(stderr, "\r\033[Kwaiting for %s on %.*s … %" PRIu64 " s", condition,
			      STR_ARG(what), ms / 1000);
	else if (!ms)
		(void)fputs("\r\033[K", stderr);
}

/* Polls: simple, works against every server, and a person does not see the difference. */
int wait_for(struct rctl *r, const char *path, struct str what, const char *condition,
	     uint64_t deadline_ms, struct error *err)
{
	uint64_t start = clock_mono_ms();
	for (;;) {
		bool yes = false;
		struct arena keep = r->arena;
		r->arena = (struct arena){ 0 };
		int rc = holds(r, path, condition, &yes, err);
		arena_fini(&r->arena);
		r->arena = keep;
		uint64_t now = clock_mono_ms();
		bool over = rc || yes || now >= deadline_ms;
		progress(over ? 0 : now - start, condition, what);
		if (rc || yes)
			return rc;
		if (over)
			return error_set(err, ERR_TIMEOUT, "timed out waiting for %s on %.*s",
					 condition, STR_ARG(what));
		rctl_pause(r, POLL_MS);
	}
}

static int wait_one(struct rctl *r, const struct client_resource *res, const char *path,
		    struct str name, uint64_t deadline)
{
	struct error err = { 0 };
	struct str shown = rctl_name_of(r, res, name);
	if (wait_for(r, path, shown, r->opt.for_condition, deadline, &err) != 0)
		return rctl_fail(&err);
	const char *text = strcmp(r->opt.for_condition, "delete") == 0   ? "deleted"
			   : strcmp(r->opt.for_condition, "create") == 0 ? "created"
									 : "condition met";
	(void)printf("%.*s %s\n", STR_ARG(shown), text);
	(void)fflush(stdout);
	return 0;
}

static int wait_all(struct rctl *r, const struct target *t, uint64_t deadline)
{
	struct error err = { 0 };
	struct json list;
	if (!r->opt.all && !r->opt.selector && !r->opt.field_selector)
		return rctl_usage("say which: names, -l SELECTOR or --all");
	if (rctl_get_json(r, rctl_target_path(r, t), &list, &err) != 0)
		return rctl_fail(&err);
	const struct json *items = json_getc(&list, "items");
	if (!json_len(items) && strcmp(r->opt.for_condition, "delete") != 0) {
		(void)error_set(&err, ERR_NOT_FOUND, "no matching resources found");
		return rctl_fail(&err);
	}
	int status = 0;
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *meta = json_getc(json_at(items, i), "metadata");
		struct str name = json_str(json_getc(meta, "name"));
		char *path = client_path(&r->arena, t->resource,
					 json_str(json_getc(meta, "namespace")), name);
		status |= wait_one(r, t->resource, path, name, deadline);
	}
	return status;
}

int verb_wait(struct rctl *r)
{
	struct error err = { 0 };
	if (!r->opt.for_condition)
		return rctl_usage("wait needs --for=condition=NAME, --for=delete, --for=create or "
				  "--for=jsonpath=…");
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int rc = rctl_targets(r, 0, list, &n, &err);
	if (rc)
		return rc == ERR_BAD_REQUEST ? rctl_usage("%s", err.msg) : rctl_fail(&err);
	uint64_t deadline =
		clock_mono_ms() + (r->opt.timeout_ms >= 0 ? (uint64_t)r->opt.timeout_ms : WAIT_MS);
	int status = 0;
	for (size_t i = 0; i < n; i++)
		status |= list[i].name.len
				  ? wait_one(r, list[i].resource, rctl_target_path(r, &list[i]),
					     list[i].name, deadline)
				  : wait_all(r, &list[i], deadline);
	return status;
}

/* ---- rollout ---- */

static int64_t number(const struct json *obj, const char *a, const char *b, int64_t otherwise)
{
	return json_i64(json_dig(obj, a, b, NULL), otherwise);
}

/* The words kubectl says; true when it is over. */
static bool rollout_text(const struct json *d, struct str name, struct buf *out, bool *failed)
{
	int64_t want = number(d, "spec", "replicas", 1);
	int64_t updated = number(d, "status", "updatedReplicas", 0);
	int64_t replicas = number(d, "status", "replicas", 0);
	int64_t available = number(d, "status", "availableReplicas", 0);
	const struct json *list = json_dig(d, "status", "conditions", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		*failed |= str_is(json_str(json_getc(json_at(list, i), "reason")),
				  "ProgressDeadlineExceeded");
	if (number(d, "status", "observedGeneration", 0) < number(d, "metadata", "generation", 0)) {
		*failed = false;
		buf_adds(out, "Waiting for deployment spec update to be observed...");
	} else if (*failed) {
		buf_addf(out, "deployment \"%.*s\" exceeded its progress deadline", STR_ARG(name));
		return true;
	} else if (updated < want) {
		buf_addf(out,
			 "Waiting for deployment \"%.*s\" rollout to finish: %" PRId64
			 " out of %" PRId64 " new replicas have been updated...",
			 STR_ARG(name), updated, want);
	} else if (replicas > updated) {
		buf_addf(out,
			 "Waiting for deployment \"%.*s\" rollout to finish: %" PRId64
			 " old replicas are pending termination...",
			 STR_ARG(name), replicas - updated);
	} else if (available < updated) {
		buf_addf(out,
			 "Waiting for deployment \"%.*s\" rollout to finish: %" PRId64
			 " of %" PRId64 " updated replicas are available...",
			 STR_ARG(name), available, updated);
	} else {
		buf_addf(out, "deployment \"%.*s\" successfully rolled out", STR_ARG(name));
		return true;
	}
	return false;
}

static int rollout_status(struct rctl *r, const struct target *t)
{
	uint64_t deadline = clock_mono_ms() +
			    (r->opt.timeout_ms > 0 ? (uint64_t)r->opt.timeout_ms : ROLLOUT_MS);
	struct buf last = { 0 };
	const char *path = rctl_target_path(r, t);
	int status = 0;
	for (;;) {
		struct error err = { 0 };
		struct json d;
		bool failed = false;
		struct buf text = { 0 };
		if (rctl_get_json(r, path, &d, &err) != 0) {
			status = rctl_fail(&err);
			break;
		}
		bool over = rollout_text(&d, t->name, &text, &failed);
		if (failed)
			(void)fprintf(stderr, "error: %s\n", buf_cstr(&text));
		else if (!str_eq(buf_str(&text), buf_str(&last)))
			(void)printf("%s\n", buf_cstr(&text));
		(void)fflush(stdout);
		buf_fini(&last);
		last = text;
		if (over) {
			status = failed;
			break;
		}
		if (clock_mono_ms() >= deadline) {
			(void)error_set(&err, ERR_TIMEOUT,
					"timed out waiting for the rollout of %.*s",
					STR_ARG(t->name));
			status = rctl_fail(&err);
			break;
		}
		rctl_pause(r, POLL_MS);
	}
	buf_fini(&last);
	return status;
}

static int merge(struct rctl *r, const struct target *t, const char *body, const char *done)
{
	return rctl_patch(r, t, rctl_target_path(r, t), "application/merge-patch+json",
			  str_of(body), done);
}

static int restart(struct rctl *r, const struct target *t)
{
	struct buf now = { 0 };
	rfc3339_write(&now, clock_unix_ms() / 1000);
	char *body = arena_printf(&r->arena,
				  "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{"
				  "\"kubectl.kubernetes.io/restartedAt\":\"%s\"}}}}}",
				  buf_cstr(&now));
	buf_fini(&now);
	return merge(r, t, body, "restarted");
}

/* ---- history and undo: the revisions are the ReplicaSets ---- */

static int64_t revision_of(const struct json *rs)
{
	int64_t v = 0;
	(void)str_to_i64(json_str(json_dig(rs, "metadata", "annotations",
					   "deployment.kubernetes.io/revision", NULL)),
			 &v);
	return v;
}

/*
 * The ReplicaSets of the object.  A Deployment of the global API has none of its own: then those of the first
 * cluster that it was placed in; all clusters get the same template.
 */
static int owned_sets(struct rctl *r, const struct target *t, struct json *ret, struct error *err)
{
	struct json d;
	struct json all;
	int rc = rctl_get_json(r, rctl_target_path(r, t), &d, err);
	if (rc)
		return rc;
	struct str placed =
		json_str(json_dig(&d, "metadata", "annotations", "fleet.rctl.io/placed", NULL));
	ptrdiff_t eq = str_find(placed, '=', 0);
	const char *base =
		eq > 0 ? arena_printf(&r->arena, "/clusters/%.*s", (int)eq, placed.p) : "";
	rc = rctl_get_json(r,
			   arena_printf(&r->arena, "%s/apis/apps/v1/namespaces/%.*s/replicasets",
					base, STR_ARG(rctl_ns(r))),
			   &all, err);
	if (rc)
		return rc;
	*ret = json_array();
	const struct json *items = json_getc(&all, "items");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *owner = json_at(
			json_dig(json_at(items, i), "metadata", "ownerReferences", NULL), 0);
		if (str_eq(json_str(json_getc(owner, "name")), t->name) &&
		    str_eq(json_str(json_getc(owner, "kind")), t->resource->kind))
			(void)json_push(&r->arena, ret, *json_at(items, i));
	}
	return 0;
}

static int show_revision(struct rctl *r, const struct target *t, struct json *sets)
{
	struct error err = { 0 };
	for (size_t i = 0; i < json_len(sets); i++) {
		if (revision_of(json_at(sets, i)) != r->opt.revision)
			continue;
		struct buf b = { 0 };
		yaml_write(&b, json_dig(json_at(sets, i), "spec", "template", NULL),
			   YAML_SORT_KEYS);
		(void)printf("%.*s with revision #%" PRId64 "\n%s",
			     STR_ARG(rctl_name_of(r, t->resource, t->name)), r->opt.revision,
			     buf_cstr(&b));
		buf_fini(&b);
		return 0;
	}
	(void)error_set(&err, ERR_NOT_FOUND, "unable to find the specified revision");
	return rctl_fail(&err);
}

static int history(struct rctl *r, const struct target *t)
{
	struct error err = { 0 };
	struct json sets;
	if (owned_sets(r, t, &sets, &err) != 0)
		return rctl_fail(&err);
	if (r->opt.revision)
		return show_revision(r, t, &sets);
	(void)printf("%.*s\nREVISION  CHANGE-CAUSE\n",
		     STR_ARG(rctl_name_of(r, t->resource, t->name)));
	for (int64_t last = 0;;) { /* few: the next greater one each time */
		const struct json *next = NULL;
		for (size_t i = 0; i < json_len(&sets); i++) {
			int64_t v = revision_of(json_at(&sets, i));
			if (v > last && (!next || v < revision_of(next)))
				next = json_at(&sets, i);
		}
		if (!next)
			return 0;
		last = revision_of(next);
		struct str cause = json_str(json_dig(next, "metadata", "annotations",
						     "kubernetes.io/change-cause", NULL));
		(void)printf("%-9" PRId64 " %.*s\n", last,
			     STR_ARG(cause.len ? cause : STR("<none>")));
	}
}

static int undo(struct rctl *r, const struct target *t)
{
	struct error err = { 0 };
	struct json sets;
	if (owned_sets(r, t, &sets, &err) != 0)
		return rctl_fail(&err);
	int64_t newest = 0;
	for (size_t i = 0; i < json_len(&sets); i++)
		if (revision_of(json_at(&sets, i)) > newest)
			newest = revision_of(json_at(&sets, i));
	const struct json *to = NULL;
	for (size_t i = 0; i < json_len(&sets); i++) {
		int64_t v = revision_of(json_at(&sets, i));
		bool wanted = r->opt.to_revision ? v == r->opt.to_revision
						 : v < newest && (!to || v > revision_of(to));
		if (wanted)
			to = json_at(&sets, i);
	}
	if (!to) {
		(void)error_set(&err, ERR_NOT_FOUND,
				"%.*s has no such earlier revision; see 'rctl rollout history'",
				STR_ARG(t->name));
		return rctl_fail(&err);
	}
	struct json tmpl = json_clone(&r->arena, json_dig(to, "spec", "template", NULL));
	(void)json_removec(json_dig(&tmpl, "metadata", "labels", NULL), "pod-template-hash");
	struct json ops = json_array();
	struct json *op = json_push(&r->arena, &ops, json_object());
	(void)json_setc(&r->arena, op, "op", json_of_cstr("replace"));
	(void)json_setc(&r->arena, op, "path", json_of_cstr("/spec/template"));
	(void)json_setc(&r->arena, op, "value", tmpl);
	return rctl_patch(r, t, rctl_target_path(r, t), "application/json-patch+json",
			  json_text(&r->arena, &ops), "rolled back");
}

int verb_rollout(struct rctl *r)
{
	static const char usage[] = "rollout status|history|undo|restart|pause|resume TYPE/NAME";
	if (r->opt.args_len < 2)
		return rctl_usage("%s", usage);
	struct error err = { 0 };
	struct target list[TARGETS_MAX];
	size_t n = 0;
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	int rc = rctl_targets(r, 1, list, &n, &err);
	if (rc)
		return rc == ERR_BAD_REQUEST ? rctl_usage("%s", err.msg) : rctl_fail(&err);
	struct str what = str_of(r->opt.args[0]);
	int status = 0;
	for (size_t i = 0; i < n; i++) {
		const struct target *t = &list[i];
		if (!t->name.len)
			return rctl_usage("%s", usage);
		if (str_is(what, "status"))
			status |= rollout_status(r, t);
		else if (str_is(what, "history"))
			status |= history(r, t);
		else if (str_is(what, "undo"))
			status |= undo(r, t);
		else if (str_is(what, "restart"))
			status |= restart(r, t);
		else if (str_is(what, "pause"))
			status |= merge(r, t, "{\"spec\":{\"paused\":true}}", "paused");
		else if (str_is(what, "resume"))
			status |= merge(r, t, "{\"spec\":{\"paused\":null}}", "resumed");
		else
			return rctl_usage("%s", usage);
	}
	return status;
}
