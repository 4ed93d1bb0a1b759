/* What is done to containers: start, stop, kill, probe; and what is seen of them. */
#include "base/mem.h"
#include "podmgr_priv.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "volume.h"

#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIDS_MAX = 32768 };

static struct plan_ctr *plan_of(struct mctr *c)
{
	return &c->pod->plan.ctrs[c->index];
}

static const struct ctr_spec *spec_of(const struct mctr *c)
{
	return &c->pod->spec->ctrs[c->index];
}

static uint64_t now_of(const struct mctr *c)
{
	return loop_now_ms(c->pod->mgr->opt.loop);
}

/* -------------------------------------------------------------------------------------- probes */

static void on_probe(void *arg, enum probe_use use, enum probe_verdict verdict, bool success,
		     const char *text)
{
	static const char *const names[] = { "Startup", "Liveness", "Readiness" };
	struct mctr *c = arg;
	struct plan_ctr *p = plan_of(c);
	const struct probe_spec *spec = &spec_of(c)->probes[use];
	if (!success)
		mpod_event(c->pod, c, "Warning", "Unhealthy", "%s probe failed: %s", names[use],
			   text);
	if (verdict == PROBE_UNDECIDED)
		return;
	switch (use) {
	case PROBE_STARTUP:
		if (verdict == PROBE_PASSED && !p->started_ok) {
			p->started_ok = true;
			p->ready = !p->has_readiness;
			mctr_probes_start(c);
			mpod_kick(c->pod);
			return;
		}
		break;
	case PROBE_READINESS:
		if (p->ready != (verdict == PROBE_PASSED)) {
			p->ready = verdict == PROBE_PASSED;
			mpod_kick(c->pod);
		}
		return;
	case PROBE_LIVENESS:
	case PROBE_USES:
	default:
		break;
	}
	if (verdict == PROBE_FAILED && !p->unhealthy) {
		p->unhealthy = true;
		if (spec->grace_ms >= 0)
			p->grace_ms = (uint64_t)spec->grace_ms;
		mctr_probes_stop(c);
		mpod_event(c->pod, c, "Normal", "Killing",
			   "Container %s failed %s probe, will be restarted", c->name,
			   use == PROBE_STARTUP ? "startup" : "liveness");
		mpod_kick(c->pod);
	}
}

static void probe_begin(struct mctr *c, enum probe_use use)
{
	struct probe *p = &c->probes[use];
	const struct probe_spec *spec = &spec_of(c)->probes[use];
	if (spec->kind == PROBE_NONE)
		return;
	uint64_t since = now_of(c) - plan_of(c)->started_ms;
	p->use = use;
	p->loop = c->pod->mgr->opt.loop;
	p->ops = c->pod->mgr->opt.ops;
	p->pod = c->pod->rt;
	p->ctr = c->name;
	p->fn = on_probe;
	p->arg = c;
	snprintf(p->host, sizeof(p->host), "%s", c->pod->mgr->opt.host_ip);
	probe_start(p, spec, spec->initial_delay_ms > since ? spec->initial_delay_ms - since : 0);
}

void mctr_probes_start(struct mctr *c)
{
	mctr_probes_stop(c);
	if (!c->pod->rt || plan_of(c)->state != PLAN_RUNNING)
		return;
	if (!plan_of(c)->started_ok) {
		probe_begin(c, PROBE_STARTUP);
		return;
	}
	probe_begin(c, PROBE_LIVENESS);
	probe_begin(c, PROBE_READINESS);
}

void mctr_probes_stop(struct mctr *c)
{
	for (size_t i = 0; i < PROBE_USES; i++)
		probe_stop(&c->probes[i]);
}

/* --------------------------------------------------------------------------------- observations */

static struct ended_run ended_of(const struct rt_state *s)
{
	struct ended_run e = { .known = true,
			       .code = s->code,
			       .signal = s->signal,
			       .oom = s->oom_killed,
			       .lost = s->lost,
			       .not_started = s->error[0] != '\0',
			       .started_ns = s->started_ns,
			       .ended_ns = s->ended_ns ? s->ended_ns : clock_unix_ns() };
	if (s->error[0])
		snprintf(e.message, sizeof(e.message), "%s", s->error);
	else if (s->lost)
		snprintf(e.message, sizeof(e.message),
			 "The container could not be located when the pod was terminated");
	return e;
}

static void running(struct mctr *c, const struct rt_state *s)
{
	c->status.started_ns = s->started_ns;
	c->status.attempt = s->attempt;
	mctr_probes_start(c);
}

void mctr_ended(struct mctr *c, const struct rt_state *s)
{
	struct plan_ctr *p = plan_of(c);
	if (p->state != PLAN_RUNNING && p->state != PLAN_STARTING)
		return;
	mctr_probes_stop(c);
	c->pre_stop = false;
	c->status.attempt = p->attempt;
	c->status.now = ended_of(s);
	if (!c->status.now.started_ns)
		c->status.now.started_ns = c->status.started_ns;
	plan_ended(&c->pod->plan, c->index, s->code, now_of(c));
	uint64_t again = plan_restart_at(&c->pod->plan, c->index);
	if (again > p->ended_ms)
		mpod_event(c->pod, c, "Warning", "BackOff",
			   "Back-off restarting failed container %s in pod %.*s_%.*s(%s)", c->name,
			   STR_ARG(c->pod->spec->name), STR_ARG(c->pod->spec->ns), c->pod->uid);
	mpod_kick(c->pod);
}

static int64_t note(struct str notes, const char *key)
{
	struct str line;
	int64_t v = 0;
	size_t n = strlen(key);
	while (str_split(&notes, '\n', &line)) {
		if (line.len > n && memcmp(line.p, key, n) == 0 && line.p[n] == '=')
			return str_to_i64(str_sub(line, n + 1, line.len), &v) && v > 0 ? v : 0;
	}
	return 0;
}

void mctr_restore(struct mctr *c)
{
	const struct runtime_ops *ops = c->pod->mgr->opt.ops;
	struct plan_ctr *p = plan_of(c);
	struct rt_state s, before;
	struct buf notes = { 0 };
	if (!ops->state(c->pod->rt, c->name, UINT32_MAX, &s))
		return;
	uint64_t now = now_of(c);
	p->attempt = s.attempt;
	c->status.attempt = s.attempt;
	if (ops->notes(c->pod->rt, c->name, s.attempt, &notes)) {
		p->backoff_ms = (uint64_t)note(buf_str(&notes), "x-backoff-ms");
		p->backoff_set_ms = s.started_ms ? s.started_ms : now;
	}
	buf_fini(&notes);
	if (s.attempt > 0 && ops->state(c->pod->rt, c->name, s.attempt - 1, &before) &&
	    before.ended)
		c->status.last = ended_of(&before);
	p->state = PLAN_STARTING;
	p->started_ms = s.started_ms ? s.started_ms : now;
	if (!s.started) {
		/* The spec was written, but whether it was asked to start is not known: it was not answered. */
		s.lost = true;
		s.code = 137;
		s.ended = true;
	}
	if (s.ended) {
		c->status.now = ended_of(&s);
		plan_ended(&c->pod->plan, c->index, s.code, s.ended_ms ? s.ended_ms : now);
		return;
	}
	plan_started(&c->pod->plan, c->index, p->started_ms);
	running(c, &s);
}

/* --------------------------------------------------------------------------------------- start */

static void on_started(void *arg, const char *error)
{
	struct mctr *c = arg;
	const struct runtime_ops *ops = c->pod->mgr->opt.ops;
	struct plan_ctr *p = plan_of(c);
	struct rt_state s = { .attempt = p->attempt };
	if (p->state != PLAN_STARTING)
		return;
	bool known = c->pod->rt && ops->state(c->pod->rt, c->name, p->attempt, &s) &&
		     s.attempt == p->attempt && s.started;
	if (error) {
		mpod_event(c->pod, c, "Warning", "Failed", "Error: %s", error);
		s.ended = true;
		s.code = known && s.code ? s.code : 128;
		snprintf(s.error, sizeof(s.error), "%s", error);
		mctr_ended(c, &s);
		return;
	}
	plan_started(&c->pod->plan, c->index, now_of(c));
	running(c, &s);
	mpod_event(c->pod, c, "Normal", "Started", "Started container %s", c->name);
	if (known && s.ended)
		mctr_ended(c, &s);
	mpod_kick(c->pod);
}

/* Cannot be started as it stands: waits, says why, and is tried again. */
static void not_yet(struct mctr *c, const char *reason, const struct error *err)
{
	bool news = !c->waiting_message || strcmp(c->waiting_message, err->msg) != 0;
	mem_free(c->waiting_message);
	c->waiting_message = mem_strdup(err->msg);
	c->status.waiting = reason;
	c->status.waiting_message = c->waiting_message;
	c->prepare_at_ms = now_of(c) + PREPARE_AGAIN_MS;
	if (news)
		mpod_event(c->pod, c, "Warning", "Failed", "Error: %s", err->msg);
}

static int64_t security(const struct mctr *c, const char *key)
{
	const struct json *own = json_dig(spec_of(c)->json, "securityContext", key, NULL);
	const struct json *pod = json_dig(c->pod->spec->spec, "securityContext", key, NULL);
	int64_t v = json_i64(own ? own : pod, -1);
	/* Above 2^31 an id would wrap on its way into the kernel. */
	return v > INT32_MAX ? -2 : v;
}

static int fill_user(struct mctr *c, struct arena *a, struct rt_ctr *r, struct error *err)
{
	const struct json *sc = json_getc(spec_of(c)->json, "securityContext");
	const struct json *psc = json_getc(c->pod->spec->spec, "securityContext");
	r->uid = security(c, "runAsUser");
	r->gid = security(c, "runAsGroup");
	if (r->uid == -2 || r->gid == -2)
		return error_set(err, ERR_INVALID, "runAsUser or runAsGroup is out of range");
	const struct json *own = json_getc(sc, "runAsNonRoot");
	bool non_root = json_bool(own ? own : json_getc(psc, "runAsNonRoot"), false);
	int64_t will_be = r->uid >= 0 ? r->uid : (int64_t)geteuid();
	if (non_root && will_be == 0)
		return error_set(err, ERR_INVALID,
				 "container has runAsNonRoot and image will run as root");
	const struct json *more = json_getc(psc, "supplementalGroups");
	int64_t fs = json_i64(json_getc(psc, "fsGroup"), -1);
	int64_t *g = arena_new(a, int64_t, json_len(more) + 1);
	for (size_t i = 0; i < json_len(more) && i < 32; i++)
		g[r->groups_len++] = json_i64(json_at(more, i), 65534);
	if (fs >= 0 && fs <= INT32_MAX)
		g[r->groups_len++] = fs;
	r->groups = g;
	r->no_new_privs = !json_bool(json_getc(sc, "allowPrivilegeEscalation"), false);
	return 0;
}

/* As a kubelet scores: guaranteed pods last, best-effort pods first, the others by their share. */
static int oom_score(const struct mctr *c)
{
	const char *qos = pod_spec_qos(c->pod->spec);
	int64_t total = c->pod->mgr->opt.node_memory;
	if (qos[0] == 'G')
		return -997;
	if (strcmp(qos, "BestEffort") == 0 || total <= 0)
		return 1000;
	int64_t score = 1000 - 1000 * spec_of(c)->memory_request / total;
	return (int)(score < 3 ? 3 : score > 999 ? 999 : score);
}

/* Runs older than the one before are history; a tailer that still reads their logs holds them open. */
static void remove_old_runs(const struct mctr *c)
{
	char path[PATH_MAX];
	uint32_t n = c->pod->plan.ctrs[c->index].attempt;
	if (n < 2)
		return;
	static const char *const ends[] = { "spec", "state" };
	for (size_t i = 0; i < 2; i++) {
		if (snprintf(path, sizeof(path), "%s/%s/%u.%s", c->pod->dir, c->name, n - 2,
			     ends[i]) < (int)sizeof(path))
			(void)unlink(path);
	}
	if (snprintf(path, sizeof(path), "%s/%s/%u.log", c->pod->log_dir, c->name, n - 2) <
	    (int)sizeof(path))
		(void)unlink(path);
}

static int prepare(struct mctr *c, struct arena *a, uint32_t attempt, struct rt_ctr *r,
		   struct error *err)
{
	struct mpod *p = c->pod;
	struct podenv_facts facts = mpod_facts(p);
	struct podenv env;
	struct rt_mount *mounts = NULL;
	int rc = podenv_build(a, p->spec, spec_of(c), &p->mgr->configs, &facts, &env, err);
	if (!rc)
		rc = volume_mounts(a, p->spec, spec_of(c), &env, &facts, &mounts, &r->mounts_len,
				   err);
	if (!rc)
		rc = fill_user(c, a, r, err);
	if (rc)
		return rc;
	r->name = c->name;
	r->attempt = attempt;
	r->mounts = mounts;
	r->argv = podenv_argv(a, &env, spec_of(c));
	r->env = podenv_strings(a, &env);
	if (!r->argv[0])
		return error_set(err, ERR_INVALID, "no command specified");
	struct str cwd = json_str(json_getc(spec_of(c)->json, "workingDir"));
	r->cwd = arena_printf(a, "%.*s", STR_ARG(cwd));
	r->oom_score_adj = oom_score(c);
	r->limits = (struct cgroup_limits){ spec_of(c)->cpu_request_m, spec_of(c)->cpu_limit_m,
					    spec_of(c)->memory_limit, PIDS_MAX };
	char *dir = arena_printf(a, "%s/%s", p->log_dir, c->name);
	r->log_path = arena_printf(a, "%s/%u.log", dir, attempt);
	r->log_bytes_max = p->mgr->opt.log_bytes_max;
	r->log_files_max = p->mgr->opt.log_files_max;
	return file_mkdirs(dir, 0750, err);
}

void mctr_start(struct mctr *c, bool backoff)
{
	(void)backoff;
	struct arena a = { 0 };
	struct rt_ctr r;
	struct error err = { 0 };
	struct buf refused = { 0 };
	struct plan_ctr *p = plan_of(c);
	memset(&r, 0, sizeof(r));
	if (c->prepare_at_ms > now_of(c))
		return;
	uint32_t attempt = p->state == PLAN_NEW ? 0 : p->attempt + 1;
	if (prepare(c, &a, attempt, &r, &err) != 0) {
		bool config = err.code == ERR_NOT_FOUND;
		not_yet(c, config ? "CreateContainerConfigError" : "CreateContainerError", &err);
		arena_fini(&a);
		return;
	}
	c->prepare_at_ms = 0;
	c->status.waiting = c->status.waiting_message = NULL;
	c->status.last = c->status.now.known ? c->status.now : c->status.last;
	c->status.now.known = false;
	plan_starting(&c->pod->plan, c->index, now_of(c));
	r.notes = arena_printf(&a, "x-backoff-ms=%llu", (unsigned long long)p->backoff_ms);
	remove_old_runs(c);
	c->pod->mgr->opt.ops->start(c->pod->rt, &r, &refused, on_started, c);
	if (refused.len)
		mpod_event(c->pod, c, "Warning", "LimitsNotApplied", "not applied on this node: %s",
			   buf_cstr(&refused));
	mpod_event(c->pod, c, "Normal", "Created", "Created container: %s", c->name);
	buf_fini(&refused);
	arena_fini(&a);
}

/* ---------------------------------------------------------------------------------------- stop */

static int stop_signal(const struct mctr *c)
{
	static const struct {
		const char *name;
		int no;
	} known[] = { { "SIGTERM", SIGTERM }, { "SIGINT", SIGINT },   { "SIGQUIT", SIGQUIT },
		      { "SIGHUP", SIGHUP },   { "SIGUSR1", SIGUSR1 }, { "SIGUSR2", SIGUSR2 },
		      { "SIGKILL", SIGKILL } };
	struct str s = json_str(json_dig(spec_of(c)->json, "lifecycle", "stopSignal", NULL));
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (str_is(s, known[i].name))
			return known[i].no;
	}
	return SIGTERM;
}

static void terminate(struct mctr *c)
{
	c->pre_stop = false;
	if (c->pod->rt)
		c->pod->mgr->opt.ops->signal(c->pod->rt, c->name, stop_signal(c));
}

static void on_pre_stop(void *arg, int code, struct str output, const char *error)
{
	struct mctr *c = arg;
	(void)output;
	if (!c->pre_stop)
		return;
	if (error || code != 0)
		mpod_event(c->pod, c, "Warning", "FailedPreStopHook", "PreStopHook failed: %s %d",
			   error ? error : "exit code", code);
	terminate(c);
}

void mctr_stop(struct mctr *c)
{
	const struct ctr_spec *s = spec_of(c);
	struct arena a = { 0 };
	bool liveness = plan_of(c)->unhealthy;
	mctr_probes_stop(c);
	plan_stopping(&c->pod->plan, c->index, now_of(c));
	if (!liveness)
		mpod_event(c->pod, c, "Normal", "Killing", "Stopping container %s", c->name);
	uint64_t left_ms =
		plan_of(c)->kill_at_ms > now_of(c) ? plan_of(c)->kill_at_ms - now_of(c) : 0;
	char **argv = NULL;
	if (s->pre_stop && left_ms) {
		argv = arena_new(&a, char *, json_len(s->pre_stop) + 1);
		for (size_t i = 0; i < json_len(s->pre_stop); i++) {
			struct str arg = json_str(json_at(s->pre_stop, i));
			argv[i] = arena_printf(&a, "%.*s", STR_ARG(arg));
		}
	} else if (s->pre_stop_sleep_ms && left_ms) {
		argv = arena_new(&a, char *, 3);
		argv[0] = arena_strdup(&a, "sleep");
		argv[1] = arena_printf(&a, "%lld", (long long)(s->pre_stop_sleep_ms / 1000));
	}
	if (argv && argv[0]) {
		c->pre_stop = true;
		c->pod->mgr->opt.ops->exec(c->pod->rt, c->name, argv,
					   left_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)left_ms,
					   on_pre_stop, c);
	} else {
		terminate(c);
	}
	arena_fini(&a);
}

void mctr_kill(struct mctr *c)
{
	c->pre_stop = false;
	c->pod->mgr->opt.ops->kill(c->pod->rt, c->name);
	plan_killed(&c->pod->plan, c->index);
}
