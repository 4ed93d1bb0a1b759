#include "agent.h"

#include "agent/v1/agent.pb-c.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "cgroup.h"
#include "checks.h"
#include "events.h"
#include "grpc/message.h"
#include "logserve.h"
#include "logtail.h"
#include "nodeinfo.h"
#include "nodemetrics.h"
#include "podmgr.h"
#include "push.h"
#include "runtime.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "sys/proc.h"
#include "uplink.h"
#include "worker.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

enum {
	NODE_REFRESH_MS = 10000,
	NODE_STATUS_MS = 60000,
	REVISION_MAX = 256,
	LOSS_SHOWN_MS = 300000
};

enum stream { METRICS, LOGS, EVENTS, ALERTS, STREAMS };

struct agent {
	struct loop *loop;
	const struct agent_config *cfg;
	int lock_fd;
	uint64_t incarnation;
	char revision[REVISION_MAX];
	bool assigned; /* at least once in this life */
	struct cgroups cgroups;
	struct runtime_process *runtime;
	struct podmgr *pods;
	struct worker *worker;
	struct push *push[STREAMS];
	struct checks checks;
	struct {
		uint64_t lost;   /* as of the last round */
		int64_t lost_ms; /* when it last grew; 0 = never */
	} losing[STREAMS];
	struct events *events;
	struct logtail *tail;
	struct logserve *serve;
	struct uplink *link;
	struct rpc_client_tls tls;
	struct node_facts node;
	struct loop_timer node_timer, metrics_timer;
	uint64_t node_sent_ms;
	struct samples samples;
	struct nodemetrics collector;
	struct ref_set last_refs;
	/* a full assignment that is arriving in several messages */
	struct buf *parts; /* its messages, packed */
	size_t parts_len, parts_cap, parts_bytes;
	struct map wanted;
};

static const struct {
	int stream;
	const char *name;
} streams[STREAMS] = { { RCTL__AGENT__V1__STREAM__STREAM_METRICS, "metrics" },
		       { RCTL__AGENT__V1__STREAM__STREAM_LOGS, "logs" },
		       { RCTL__AGENT__V1__STREAM__STREAM_EVENTS, "events" },
		       { RCTL__AGENT__V1__STREAM__STREAM_ALERTS, "alerts" } };

static char *in_state(const struct agent *a, const char *name)
{
	struct buf b = { 0 };
	buf_addf(&b, "%s/%s", a->cfg->state_dir, name);
	(void)buf_cstr(&b);
	return b.p;
}

/* --------------------------------------------------------------------------------- pods → link */

static void on_status(void *arg, const struct pod_spec *pod, struct str status, bool released)
{
	struct agent *a = arg;
	struct arena m = { 0 };
	Rctl__Agent__V1__PodStatus s;
	if (!a->link || !uplink_is_up(a->link))
		return;
	rctl__agent__v1__pod_status__init(&s);
	s.uid = arena_printf(&m, "%.*s", STR_ARG(pod->uid));
	s.namespace_ = arena_printf(&m, "%.*s", STR_ARG(pod->ns));
	s.name = arena_printf(&m, "%.*s", STR_ARG(pod->name));
	s.resource_version = arena_printf(&m, "%.*s", STR_ARG(pod->resource_version));
	s.status = rpc_binary(status);
	s.released = released;
	uplink_pod_status(a->link, &s);
	arena_fini(&m);
}

static void on_event(void *arg, const struct pod_spec *pod, const char *ctr, const char *type,
		     const char *reason, const char *message)
{
	struct agent *a = arg;
	char path[96] = "";
	if (ctr)
		snprintf(path, sizeof(path), "spec.containers{%s}", ctr);
	const struct event e = { .ns = pod->ns,
				 .kind = STR("Pod"),
				 .name = pod->name,
				 .uid = pod->uid,
				 .resource_version = pod->resource_version,
				 .field_path = str_of(path),
				 .type = type,
				 .reason = reason,
				 .message = message };
	events_add(a->events, &e, clock_unix_ms());
	log_info("pod-event", "namespace", LOG_STR(pod->ns), "pod", LOG_STR(pod->name), "reason",
		 LOG_S(reason), "message", LOG_S(message), NULL);
}

static void on_gone(void *arg, const char *log_dir)
{
	struct agent *a = arg;
	logtail_gone(a->tail, log_dir);
}

/* --------------------------------------------------------------------------------- link → pods */

/* An object that cannot be run is answered for, or its sender would wait for ever. */
static void refuse_pod(struct agent *a, const Rctl__Agent__V1__PodAssignment *p,
		       const struct error *err)
{
	struct arena m = { 0 };
	struct json pod = { .type = JSON_NULL };
	struct buf status = { 0 };
	Rctl__Agent__V1__PodStatus s;
	log_warn("pod-refused", "uid", LOG_S(p->uid), "error", LOG_S(err->msg), NULL);
	(void)!json_parse(&m, rpc_bytes(p->pod), NULL, &pod, NULL);
	struct str ns = json_str(json_dig(&pod, "metadata", "namespace", NULL));
	struct str name = json_str(json_dig(&pod, "metadata", "name", NULL));
	rctl__agent__v1__pod_status__init(&s);
	s.uid = p->uid;
	s.resource_version = p->resource_version;
	s.namespace_ = arena_printf(&m, "%.*s", STR_ARG(ns));
	s.name = arena_printf(&m, "%.*s", STR_ARG(name));
	buf_adds(&status, "{\"phase\":\"Failed\",\"reason\":\"InvalidPod\",\"message\":");
	json_write_str(&status, str_of(err->msg));
	buf_addc(&status, '}');
	s.status = rpc_binary(buf_str(&status));
	s.released = true;
	uplink_pod_status(a->link, &s);
	buf_fini(&status);
	arena_fini(&m);
}

static void apply_one(struct agent *a, const Rctl__Agent__V1__Assignment *m)
{
	struct error err = { 0 };
	for (size_t i = 0; i < m->n_configs; i++) {
		const Rctl__Agent__V1__ConfigObject *c = m->configs[i];
		if (podmgr_config_put(a->pods, str_of(c->kind), str_of(c->namespace_),
				      str_of(c->name), rpc_bytes(c->object), &err) != 0)
			log_warn("config-refused", "kind", LOG_S(c->kind), "name", LOG_S(c->name),
				 "error", LOG_S(err.msg), NULL);
	}
	for (size_t i = 0; i < m->n_config_removals; i++) {
		const Rctl__Agent__V1__ConfigRef *c = m->config_removals[i];
		podmgr_config_remove(a->pods, str_of(c->kind), str_of(c->namespace_),
				     str_of(c->name));
	}
	for (size_t i = 0; i < m->n_pods; i++) {
		err.msg[0] = '\0';
		if (podmgr_assign(a->pods, rpc_bytes(m->pods[i]->pod), &err) != 0)
			refuse_pod(a, m->pods[i], &err);
		(void)map_set(&a->wanted, str_of(m->pods[i]->uid), a);
	}
	for (size_t i = 0; i < m->n_removals; i++)
		podmgr_remove(a->pods, str_of(m->removals[i]->uid),
			      m->removals[i]->grace_seconds * 1000);
}

static bool is_wanted(void *arg, struct str uid)
{
	struct agent *a = arg;
	return map_get(&a->wanted, uid) != NULL;
}

static void forget_parts(struct agent *a)
{
	for (size_t i = 0; i < a->parts_len; i++)
		buf_fini(&a->parts[i]);
	a->parts_len = a->parts_bytes = 0;
}

static void save_revision(struct agent *a, const char *revision)
{
	char *path = in_state(a, "revision");
	struct error err = { 0 };
	snprintf(a->revision, sizeof(a->revision), "%s", revision);
	if (file_write_atomic(path, str_of(a->revision), 0600, &err) != 0)
		log_warn("state-not-written", "error", LOG_S(err.msg), NULL);
	mem_free(path);
}

/* The set is whole: messages kept so far, then this one. */
static void apply(struct agent *a, const Rctl__Agent__V1__Assignment *last)
{
	map_fini(&a->wanted);
	for (size_t i = 0; i < a->parts_len; i++) {
		Rctl__Agent__V1__Assignment *m =
			rpc_unpack(&rctl__agent__v1__assignment__descriptor, buf_str(&a->parts[i]));
		if (m)
			apply_one(a, m);
		if (m)
			protobuf_c_message_free_unpacked(&m->base, NULL);
	}
	forget_parts(a);
	apply_one(a, last);
	if (last->full)
		podmgr_retain(a->pods, is_wanted, a);
	map_fini(&a->wanted);
	save_revision(a, last->revision);
	uplink_applied(a->link, a->revision);
	log_debug("assignment", "pods", LOG_I(last->n_pods), "full", LOG_I(last->full), "revision",
		  LOG_S(a->revision), NULL);
	a->assigned = true;
}

static void on_assignment(void *arg, const Rctl__Agent__V1__Assignment *m)
{
	enum { PARTS_MAX = 4096, PARTS_BYTES_MAX = 256 << 20 };
	struct agent *a = arg;
	if (!m->more) {
		apply(a, m);
		return;
	}
	if (a->parts_len == PARTS_MAX || a->parts_bytes > PARTS_BYTES_MAX) {
		log_error("assignment-too-large", NULL);
		forget_parts(a);
		return;
	}
	mem_grow(a->parts, a->parts_len, a->parts_cap);
	struct buf *b = &a->parts[a->parts_len++];
	*b = (struct buf){ 0 };
	rpc_pack(b, &m->base);
	a->parts_bytes += b->len;
}

static enum rpc_status status_of(enum err_code code)
{
	switch (error_http_status(code)) {
	case 404:
		return RPC_NOT_FOUND;
	case 429:
		return RPC_RESOURCE_EXHAUSTED;
	case 503:
		return RPC_UNAVAILABLE;
	case 400:
		return RPC_INVALID_ARGUMENT;
	default:
		return RPC_INTERNAL;
	}
}

static void on_request(void *arg, const Rctl__Agent__V1__Request *r)
{
	struct agent *a = arg;
	struct error err = { 0 };
	if (r->kind_case != RCTL__AGENT__V1__REQUEST__KIND_OPEN_LOGS)
		uplink_request_failed(a->link, r->id, RPC_UNIMPLEMENTED,
				      "this agent does not know the request");
	else if (logserve_open(a->serve, r->id, r->open_logs, &err) != 0)
		uplink_request_failed(a->link, r->id, status_of(err.code), err.msg);
}

static void on_cancel(void *arg, uint64_t id)
{
	logserve_cancel(((struct agent *)arg)->serve, id);
}

/* ---------------------------------------------------------------------------------------- link */

static void on_connected(void *arg, struct rpc_channel *ch)
{
	struct agent *a = arg;
	forget_parts(a);
	logserve_attach(a->serve, ch);
	for (size_t i = 0; i < STREAMS; i++)
		push_attach(a->push[i], ch);
	if (ch)
		podmgr_report_all(a->pods);
}

static void on_note(void *arg, const char *event, const char *endpoint, const char *text)
{
	(void)arg;
	log_info(event, "endpoint", LOG_S(endpoint), "text", LOG_S(text), NULL);
}

static void node_object(void *arg, struct buf *out)
{
	struct agent *a = arg;
	nodeinfo_object(&a->node, clock_unix_ms() / 1000, out);
	a->node_sent_ms = loop_now_ms(a->loop);
}

static size_t positions(void *arg, Rctl__Agent__V1__StreamPosition *list, size_t cap)
{
	struct agent *a = arg;
	size_t n = 0;
	for (; n < STREAMS && n < cap; n++) {
		const struct push_state *s = push_state(a->push[n]);
		list[n].stream = (Rctl__Agent__V1__Stream)streams[n].stream;
		list[n].incarnation = s->incarnation;
		list[n].acked_sequence = s->acked;
		list[n].last_sequence = s->last;
	}
	return n;
}

static const char *revision(void *arg)
{
	return ((struct agent *)arg)->revision;
}

static void heartbeat(void *arg, Rctl__Agent__V1__Heartbeat *h)
{
	struct agent *a = arg;
	h->pods = (uint32_t)podmgr_running(a->pods);
	for (size_t i = 0; i < STREAMS; i++)
		h->spool_bytes += push_state(a->push[i])->bytes;
}

/* -------------------------------------------------------------------------------------- timers */

static void see_losses(struct agent *a, int64_t now_ms)
{
	for (size_t i = 0; i < STREAMS; i++) {
		const struct push_state *s = push_state(a->push[i]);
		const char *const labels[] = { "stream", streams[i].name, NULL };
		uint64_t lost = s->dropped + s->lost;
		char text[160];
		if (lost > a->losing[i].lost)
			a->losing[i].lost_ms = now_ms;
		a->losing[i].lost = lost;
		if (!a->losing[i].lost_ms || now_ms - a->losing[i].lost_ms > LOSS_SHOWN_MS)
			continue;
		snprintf(text, sizeof(text), "the spool of %s has lost %llu records",
			 streams[i].name, (unsigned long long)lost);
		const struct check_seen seen = { "SpoolLosing", labels, text, 1 };
		checks_see(&a->checks, &seen);
	}
}

static void see_container(void *arg, const struct podmgr_ctr_view *v)
{
	struct agent *a = arg;
	struct arena m = { 0 };
	if (v->backs_off) {
		const char *const labels[] = {
			"container", arena_printf(&m, "%.*s", STR_ARG(v->ctr->name)),
			"namespace", arena_printf(&m, "%.*s", STR_ARG(v->pod->ns)),
			"pod",       arena_printf(&m, "%.*s", STR_ARG(v->pod->name)),
			NULL
		};
		const char *text = arena_printf(
			&m,
			"container %.*s of pod %.*s/%.*s was restarted %u times and keeps failing",
			STR_ARG(v->ctr->name), STR_ARG(v->pod->ns), STR_ARG(v->pod->name),
			v->restarts);
		/* Twice: one crash is none that loops. */
		const struct check_seen seen = { "ContainerCrashLooping", labels, text, 2 };
		checks_see(&a->checks, &seen);
	}
	arena_fini(&m);
}

static void check_node(struct agent *a, int64_t now_ms)
{
	static const struct check_seen disk = { "NodeDiskPressure", NULL,
						"less than 10 % of the agent's disk is free", 2 },
				       memory = { "NodeMemoryPressure", NULL,
						  "less than 100 MiB of memory are available", 2 };
	struct buf batch = { 0 };
	if (a->node.disk_pressure)
		checks_see(&a->checks, &disk);
	if (a->node.memory_pressure)
		checks_see(&a->checks, &memory);
	see_losses(a, now_ms);
	podmgr_each_ctr(a->pods, false, see_container, a);
	checks_round(&a->checks, now_ms, &batch);
	if (batch.len)
		push_add(a->push[ALERTS], RCTL__AGENT__V1__RECORD_TYPE__RECORD_TYPE_ALERTS,
			 buf_str(&batch));
	buf_fini(&batch);
}

static void on_node_timer(struct loop_timer *t)
{
	struct agent *a = container_of(t, struct agent, node_timer);
	int64_t now_s = clock_unix_ms() / 1000;
	bool changed = nodeinfo_refresh(&a->node, now_s);
	if (uplink_is_up(a->link) &&
	    (changed || loop_now_ms(a->loop) - a->node_sent_ms >= NODE_STATUS_MS)) {
		struct buf b = { 0 };
		nodeinfo_status(&a->node, now_s, &b);
		uplink_node_status(a->link, buf_str(&b));
		a->node_sent_ms = loop_now_ms(a->loop);
		buf_fini(&b);
	}
	check_node(a, now_s * 1000);
	loop_timer_set(a->loop, t, NODE_REFRESH_MS);
}

static void own_metrics(struct agent *a)
{
	struct samples *s = &a->samples;
	for (size_t i = 0; i < STREAMS; i++) {
		const struct push_state *sp = push_state(a->push[i]);
		const char *const labels[] = { "stream", streams[i].name, NULL };
		samples_add(s, SAMPLE_GAUGE, "rctl_agent_spool_bytes", (double)sp->bytes, labels);
		samples_add(s, SAMPLE_GAUGE, "rctl_agent_spool_records",
			    (double)(sp->last - sp->acked), labels);
		samples_add(s, SAMPLE_COUNTER, "rctl_agent_lost_records_total",
			    (double)(sp->dropped + sp->lost), labels);
	}
	samples_add(s, SAMPLE_GAUGE, "rctl_agent_pods", (double)podmgr_count(a->pods), NULL);
	samples_add(s, SAMPLE_GAUGE, "rctl_agent_connected", uplink_is_up(a->link) ? 1 : 0, NULL);
	samples_add(s, SAMPLE_GAUGE, "rctl_agent_resident_memory_bytes", (double)proc_rss(getpid()),
		    NULL);
}

static void container_metrics(void *arg, const struct podmgr_ctr_view *v)
{
	nodemetrics_container(arg, v);
}

/* On the grid of the interval in Unix time, so that samples of all nodes share their timestamps. */
static void arm_metrics(struct agent *a)
{
	int64_t step = a->cfg->metrics_interval_ms, now = clock_unix_ms();
	loop_timer_set(a->loop, &a->metrics_timer, (uint64_t)(step - now % step));
}

static void on_metrics_timer(struct loop_timer *t)
{
	struct agent *a = container_of(t, struct agent, metrics_timer);
	int64_t step = a->cfg->metrics_interval_ms, now = clock_unix_ms() + step / 10;
	struct buf b = { 0 };
	samples_clear(&a->samples);
	nodemetrics_collect(&a->collector, &a->samples, loop_now_ms(a->loop));
	podmgr_each_ctr(a->pods, true, container_metrics, &a->samples);
	own_metrics(a);
	samples_write(&a->samples, now - now % step, (uint32_t)step, &a->last_refs, &b);
	push_add(a->push[METRICS], RCTL__AGENT__V1__RECORD_TYPE__RECORD_TYPE_METRICS, buf_str(&b));
	buf_fini(&b);
	arm_metrics(a);
}

/* --------------------------------------------------------------------------------------- start */

/* Two agents on one state directory would fight over the pods. */
static int lock_state(struct agent *a, struct error *err)
{
	int rc = file_mkdirs(a->cfg->state_dir, 0711, err);
	char *path = in_state(a, "lock");
	a->lock_fd = rc ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (!rc && (a->lock_fd < 0 || fcntl(a->lock_fd, F_OFD_SETLK, &whole) != 0))
		rc = error_set(err, ERR_UNAVAILABLE,
			       "%s: another agent runs on this state directory", a->cfg->state_dir);
	mem_free(path);
	return rc;
}

static int count_start(struct agent *a, struct error *err)
{
	struct buf b = { 0 };
	char text[32], *path = in_state(a, "incarnation"), *revision_path = in_state(a, "revision");
	if (file_read(path, 64, &b, NULL) == 0)
		(void)str_to_u64(str_trim(buf_str(&b)), &a->incarnation);
	a->incarnation++;
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)a->incarnation);
	int rc = file_write_atomic(path, str_of(text), 0600, err);
	buf_clear(&b);
	if (file_read(revision_path, REVISION_MAX - 1, &b, NULL) == 0)
		snprintf(a->revision, sizeof(a->revision), "%s", buf_cstr(&b));
	buf_fini(&b);
	mem_free(path);
	mem_free(revision_path);
	return rc;
}

static int start_streams(struct agent *a, struct error *err)
{
	int rc = worker_new(a->loop, &a->worker, err);
	for (size_t i = 0; i < STREAMS && !rc; i++) {
		char name[64];
		snprintf(name, sizeof(name), "spool/%s", streams[i].name);
		char *dir = in_state(a, name);
		const struct push_options o = { .loop = a->loop,
						.worker = a->worker,
						.dir = dir,
						.node = a->cfg->node_name,
						.stream = streams[i].stream,
						.quota_bytes = (uint64_t)a->cfg->spool_bytes_max };
		rc = push_new(&o, &a->push[i], err);
		mem_free(dir);
	}
	return rc;
}

/* Log folders of pods that were forgotten while the agent ended. */
static void sweep_logs(struct agent *a)
{
	char *dir = in_state(a, "logs");
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		struct str rest = str_of(e->d_name), ns, pod;
		char path[PATH_MAX];
		if (e->d_name[0] == '.' || !str_split(&rest, '_', &ns) ||
		    !str_split(&rest, '_', &pod) || podmgr_has(a->pods, rest))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) < (int)sizeof(path))
			logtail_gone(a->tail, path);
	}
	if (d)
		closedir(d);
	mem_free(dir);
}

static int start_pods(struct agent *a, struct error *err)
{
	struct buf missing = { 0 };
	cgroups_open(&a->cgroups, a->cfg->node_name, &missing);
	if (missing.len)
		log_warn("cgroups-missing", "controllers", LOG_S(buf_cstr(&missing)), NULL);
	buf_fini(&missing);
	int rc = runtime_process_new(a->loop, a->cfg->shim, &a->cgroups, &a->runtime, err);
	if (rc)
		return rc;
	a->events = events_new(a->cfg->node_name, a->push[EVENTS]);
	a->tail = logtail_new(a->loop, a->worker, a->cfg->state_dir, a->push[LOGS]);
	const struct podmgr_options o = { .loop = a->loop,
					  .state_dir = a->cfg->state_dir,
					  .node_name = a->cfg->node_name,
					  .host_ip = a->cfg->node_address,
					  .node_cpu_m = a->node.cpu_m,
					  .node_memory = a->node.memory,
					  .ops = &runtime_process_ops,
					  .driver = a->runtime,
					  .log_bytes_max = a->cfg->log_bytes_max,
					  .log_files_max = a->cfg->log_files_max,
					  .status = on_status,
					  .event = on_event,
					  .gone = on_gone,
					  .arg = a };
	rc = podmgr_new(&o, &a->pods, err);
	if (rc)
		return rc;
	sweep_logs(a);
	a->serve = logserve_new(a->loop, a->pods);
	return 0;
}

/* A list of settings is split at every comma: what is said of an endpoint comes as items behind it. */
static bool is_of_endpoint(const char *item)
{
	return str_starts(str_of(item), STR("region=")) ||
	       str_starts(str_of(item), STR("network-az="));
}

static int read_endpoint(const struct setting_list *items, size_t *i, struct link_endpoint *ret,
			 struct error *err)
{
	struct buf text = { 0 };
	buf_adds(&text, items->items[(*i)++]);
	while (*i < items->len && is_of_endpoint(items->items[*i]))
		buf_addf(&text, ",%s", items->items[(*i)++]);
	int rc = 0;
	if (link_endpoint_parse(buf_cstr(&text), ret) != 0)
		rc = error_set(err, ERR_INVALID,
			       "server: \"%s\" is not host:port[,region=R][,network-az=A]",
			       buf_cstr(&text));
	buf_fini(&text);
	return rc;
}

static int start_link(struct agent *a, struct error *err)
{
	struct link_endpoint list[LINK_ENDPOINTS_MAX];
	size_t n = 0;
	for (size_t i = 0; i < a->cfg->server.len;) {
		if (n == LINK_ENDPOINTS_MAX)
			return error_set(err, ERR_INVALID, "server: more than %d endpoints",
					 LINK_ENDPOINTS_MAX);
		int rc = read_endpoint(&a->cfg->server, &i, &list[n++], err);
		if (rc)
			return rc;
	}
	if (n == 0)
		return error_set(err, ERR_INVALID, "server: at least one endpoint is needed");
	a->tls = (struct rpc_client_tls){ a->cfg->ca_file, a->cfg->cert_file, a->cfg->key_file };
	const struct uplink_options o = { .loop = a->loop,
					  .node = a->cfg->node_name,
					  .region = a->cfg->region ? a->cfg->region : "",
					  .zone = a->cfg->zone ? a->cfg->zone : "",
					  .network_az =
						  a->cfg->network_az ? a->cfg->network_az : "",
					  .endpoints = list,
					  .endpoints_len = n,
					  .tls = a->cfg->insecure ? NULL : &a->tls,
					  .incarnation = a->incarnation,
					  .heartbeat_ms = (uint32_t)a->cfg->heartbeat_ms,
					  .node_object = node_object,
					  .positions = positions,
					  .revision = revision,
					  .heartbeat = heartbeat,
					  .connected = on_connected,
					  .assignment = on_assignment,
					  .request = on_request,
					  .cancel = on_cancel,
					  .note = on_note,
					  .arg = a };
	a->link = uplink_new(&o);
	return 0;
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

int agent_new(struct loop *l, const struct agent_config *cfg, struct metrics *metrics,
	      struct agent **ret, struct error *err)
{
	(void)metrics;
	struct agent *a = mem_new(struct agent, 1);
	a->loop = l;
	a->cfg = cfg;
	a->lock_fd = -1;
	a->node_timer.fn = on_node_timer;
	a->metrics_timer.fn = on_metrics_timer;
	a->node = (struct node_facts){ .name = cfg->node_name,
				       .region = or_empty(cfg->region),
				       .zone = or_empty(cfg->zone),
				       .network_az = or_empty(cfg->network_az),
				       .address = cfg->node_address,
				       .state_dir = cfg->state_dir,
				       .labels = cfg->labels.items,
				       .labels_len = cfg->labels.len,
				       .cpu_m = cfg->cpu_m,
				       .memory = cfg->memory_bytes,
				       .reserved_cpu_m = cfg->reserved_cpu_m,
				       .reserved_memory = cfg->reserved_memory_bytes };
	int rc = lock_state(a, err);
	if (!rc)
		rc = count_start(a, err);
	if (!rc)
		nodeinfo_probe(&a->node, clock_unix_ms() / 1000);
	if (!rc)
		rc = start_streams(a, err);
	if (!rc)
		rc = start_pods(a, err);
	if (!rc)
		rc = start_link(a, err);
	if (rc) {
		agent_free(a);
		return rc;
	}
	samples_init(&a->samples, push_series(a->push[METRICS]));
	nodemetrics_init(&a->collector, &node_roots_own, push_series(a->push[METRICS]));
	checks_init(&a->checks, push_series(a->push[ALERTS]));
	loop_timer_set(l, &a->node_timer, NODE_REFRESH_MS);
	arm_metrics(a);
	*ret = a;
	return 0;
}

struct agent *agent_free(struct agent *a)
{
	if (!a)
		return NULL;
	loop_timer_stop(&a->node_timer);
	loop_timer_stop(&a->metrics_timer);
	a->link = uplink_free(a->link);
	logserve_free(a->serve);
	podmgr_free(a->pods);
	if (a->push[LOGS])
		push_flush(a->push[LOGS]); /* so that the tailer's marks are right */
	logtail_free(a->tail);
	events_free(a->events);
	for (size_t i = 0; i < STREAMS; i++)
		push_free(a->push[i]);
	worker_free(a->worker);
	checks_fini(&a->checks);
	runtime_process_free(a->runtime);
	cgroups_close(&a->cgroups);
	samples_fini(&a->samples);
	nodemetrics_fini(&a->collector);
	mem_free(a->last_refs.refs);
	forget_parts(a);
	mem_free(a->parts);
	map_fini(&a->wanted);
	if (a->lock_fd >= 0)
		close(a->lock_fd);
	mem_free(a);
	return NULL;
}

const char *agent_ready(const struct agent *a)
{
	if (!a->assigned && !a->revision[0])
		return "no assignment yet";
	return NULL;
}
