/* Pods as real processes: podmgr, the process driver and resource-pod-shim together. */
#include "base/mem.h"
#include "json/json.h"
#include "podmgr.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "sys/proc.h"

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

struct world {
	struct loop *loop;
	struct cgroups cgroups;
	struct runtime_process *rt;
	struct podmgr *mgr;
	char dir[64];
	struct arena arena;
	struct json status; /* of the pod that reported last */
	bool released;
	int reports, gone;
	struct buf events; /* "reason message\n" */
};

static void on_status(void *arg, const struct pod_spec *pod, struct str status, bool released)
{
	struct world *w = arg;
	struct error err = { 0 };
	(void)pod;
	w->reports++;
	w->released = released;
	cr_assert_eq(json_parse(&w->arena, arena_str(&w->arena, status), NULL, &w->status, &err), 0,
		     "%s: %.*s", err.msg, STR_ARG(status));
}

static void on_event(void *arg, const struct pod_spec *pod, const char *ctr, const char *type,
		     const char *reason, const char *message)
{
	struct world *w = arg;
	(void)pod;
	(void)ctr;
	buf_addf(&w->events, "%s %s %s\n", type, reason, message);
}

static void on_gone(void *arg, const char *log_dir)
{
	struct world *w = arg;
	struct error err;
	w->gone++;
	cr_assert_eq(file_remove_tree(log_dir, &err), 0);
}

static void manager(struct world *w)
{
	struct error err = { 0 };
	struct buf shim = { 0 };
	struct buf missing = { 0 };
	const char *bin = getenv("RCTL_BIN");
	cr_assert(bin, "RCTL_BIN is not set");
	buf_addf(&shim, "%s/resource-pod-shim", bin);
	cgroups_open(&w->cgroups, w->dir + 5, &missing); /* tests run side by side */
	cr_assert_eq(runtime_process_new(w->loop, buf_cstr(&shim), &w->cgroups, &w->rt, &err), 0,
		     "%s", err.msg);
	struct podmgr_options o = { .loop = w->loop,
				    .state_dir = w->dir,
				    .node_name = "n1",
				    .host_ip = "127.0.0.1",
				    .node_cpu_m = 2000,
				    .node_memory = 1LL << 33,
				    .ops = &runtime_process_ops,
				    .driver = w->rt,
				    .log_bytes_max = 10000,
				    .log_files_max = 3,
				    .status = on_status,
				    .event = on_event,
				    .gone = on_gone,
				    .arg = w };
	cr_assert_eq(podmgr_new(&o, &w->mgr, &err), 0, "%s", err.msg);
	buf_fini(&shim);
	buf_fini(&missing);
}

static void agent_stops(struct world *w)
{
	w->mgr = podmgr_free(w->mgr);
	w->rt = runtime_process_free(w->rt);
	cgroups_close(&w->cgroups);
}

static void world_new(struct world *w)
{
	struct error err;
	memset(w, 0, sizeof(*w));
	strcpy(w->dir, "/tmp/test-agent-XXXXXX");
	cr_assert(mkdtemp(w->dir));
	chmod(w->dir, 0755);
	cr_assert_eq(loop_new(&w->loop, &err), 0);
	manager(w);
}

#define until(w, cond) \
	do { \
		uint64_t end_ = clock_mono_ms() + PATIENCE_MS; \
		while (!(cond) && clock_mono_ms() < end_) \
			loop_turn((w)->loop, 10); \
		cr_assert(cond, "gave up waiting for " #cond "\n%s", buf_cstr(&(w)->events)); \
	} while (0)

static void world_free(struct world *w)
{
	struct error err;
	agent_stops(w);
	w->loop = loop_free(w->loop);
	arena_fini(&w->arena);
	buf_fini(&w->events);
	cr_assert_eq(file_remove_tree(w->dir, &err), 0);
}

/* `spec` is the inside of the pod's spec; `meta` of its metadata, or "". */
static void assign(struct world *w, const char *version, const char *meta, const char *spec)
{
	struct error err = { 0 };
	struct buf b = { 0 };
	buf_addf(&b,
		 "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\","
		 "\"namespace\":\"d\","
		 "\"uid\":\"u-1\",\"resourceVersion\":\"%s\"%s},"
		 "\"spec\":{\"runtimeClassName\":\"host\",\"nodeName\":\"n1\",%s}}",
		 version, meta, spec);
	cr_assert_eq(podmgr_assign(w->mgr, buf_str(&b), &err), 0, "%s", err.msg);
	buf_fini(&b);
}

static const struct json *ctr(const struct world *w, size_t i)
{
	return json_at(json_getc(&w->status, "containerStatuses"), i);
}

static bool phase_is(const struct world *w, const char *phase)
{
	return str_is(json_str(json_getc(&w->status, "phase")), phase);
}

static bool ready(const struct world *w)
{
	return json_bool(json_getc(ctr(w, 0), "ready"), false);
}

static int64_t restarts(const struct world *w)
{
	return json_i64(json_getc(ctr(w, 0), "restartCount"), -1);
}

static bool file_has(const char *path, const char *what)
{
	struct buf b = { 0 };
	bool has = file_read(path, 1 << 20, &b, NULL) == 0 &&
		   str_find_str(buf_str(&b), str_of(what), 0) >= 0;
	buf_fini(&b);
	return has;
}

static char *at(struct world *w, const char *name)
{
	return arena_printf(&w->arena, "%s/%s", w->dir, name);
}

/* Pid of the container's newest run, from the shim's state file. */
static pid_t pid_of(struct world *w, const char *state_file)
{
	struct buf b = { 0 };
	int pid = 0;
	if (file_read(at(w, state_file), 8192, &b, NULL) == 0)
		(void)sscanf(buf_cstr(&b), "pid=%d", &pid);
	buf_fini(&b);
	return pid;
}

static void remove_and_forget(struct world *w)
{
	podmgr_remove(w->mgr, STR("u-1"), 1000);
	until(w, w->gone == 1);
	cr_assert(!file_exists(at(w, "pods/u-1")));
	cr_assert_eq(podmgr_count(w->mgr), 0);
}

#define SLEEPER \
	"\"containers\":[{\"name\":\"c\",\"image\":\"host\",\"command\":[\"sleep\",\"1000\"]}]"

Test(agent_pods, a_killed_process_is_started_again_and_the_pod_can_be_removed, .timeout = 120)
{
	struct world w;
	world_new(&w);
	assign(&w, "1", "", SLEEPER);
	until(&w, phase_is(&w, "Running") && ready(&w));
	pid_t pid = pid_of(&w, "pods/u-1/c/0.state");
	cr_assert_gt(pid, 1);
	cr_assert_neq(proc_start_time(pid), 0);
	cr_assert_eq(getsid(pid), pid);
	kill(pid, SIGKILL);
	until(&w, restarts(&w) == 1 && ready(&w));
	const struct json *last = json_dig(ctr(&w, 0), "lastState", "terminated", NULL);
	cr_assert_eq(json_i64(json_getc(last, "exitCode"), 0), 137);
	cr_assert_eq(json_i64(json_getc(last, "signal"), 0), 9);
	cr_assert(str_is(json_str(json_getc(last, "reason")), "Error"));
	pid_t second = pid_of(&w, "pods/u-1/c/1.state");
	cr_assert_neq(second, pid);
	kill(second, SIGKILL);
	until(&w, str_is(json_str(json_dig(ctr(&w, 0), "state", "waiting", "reason", NULL)),
			 "CrashLoopBackOff"));
	remove_and_forget(&w);
	cr_assert_eq(proc_start_time(second), 0);
	world_free(&w);
}

Test(agent_pods, pods_outlive_the_agent_and_are_taken_over, .timeout = 120)
{
	struct world w;
	world_new(&w);
	assign(&w, "1", "", SLEEPER);
	until(&w, phase_is(&w, "Running") && ready(&w));
	pid_t pid = pid_of(&w, "pods/u-1/c/0.state");
	struct str start = json_str(json_getc(&w.status, "startTime"));
	agent_stops(&w);
	cr_assert_neq(proc_start_time(pid), 0);
	w.status = (struct json){ .type = JSON_NULL };
	manager(&w);
	until(&w, phase_is(&w, "Running") && ready(&w));
	cr_assert_eq(restarts(&w), 0);
	cr_assert_neq(proc_start_time(pid), 0);
	cr_assert(str_eq(json_str(json_getc(&w.status, "startTime")), start));
	/* It ends while nobody looks: the next agent learns how. */
	agent_stops(&w);
	kill(pid, SIGTERM);
	while (proc_start_time(pid))
		usleep(2000);
	while (!file_has(at(&w, "pods/u-1/c/0.state"), "finished_ns"))
		usleep(2000);
	manager(&w);
	until(&w, restarts(&w) == 1 && ready(&w));
	const struct json *last = json_dig(ctr(&w, 0), "lastState", "terminated", NULL);
	cr_assert_eq(json_i64(json_getc(last, "exitCode"), 0), 143);
	/* The shim is killed: its containers die with it and are started anew. */
	pid_t second = pid_of(&w, "pods/u-1/c/1.state");
	int shim = 0;
	struct buf b = { 0 };
	cr_assert_eq(file_read(at(&w, "pods/u-1/shim.pid"), 100, &b, NULL), 0);
	cr_assert_eq(sscanf(buf_cstr(&b), "%d", &shim), 1);
	buf_fini(&b);
	kill(shim, SIGKILL);
	until(&w, restarts(&w) == 2 ||
			  json_dig(ctr(&w, 0), "state", "waiting", "reason", NULL) != NULL);
	while (proc_start_time(second))
		usleep(2000);
	remove_and_forget(&w);
	world_free(&w);
}

Test(agent_pods, a_deleted_pod_ends_gracefully_then_by_force, .timeout = 120)
{
	static const struct {
		const char *script;
		const char *grace;
		int code;
	} t[] = {
		{ "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done", "30", 7 },
		{ "trap '' TERM; echo up; while :; do sleep 0.05; done", "1", 137 },
	};
	for (size_t i = 0; i < 2; i++) {
		struct world w;
		world_new(&w);
		char *spec = arena_printf(
			&w.arena,
			"\"containers\":[{\"name\":\"c\",\"image\":\"host\",\"command\":"
			"[\"sh\",\"-c\",\"%s\"]}]",
			t[i].script);
		assign(&w, "1", "", spec);
		until(&w, file_has(at(&w, "logs/d_p_u-1/c/0.log"), " stdout F up\n"));
		assign(&w, "2",
		       arena_printf(&w.arena,
				    ",\"deletionTimestamp\":\"2030-01-01T00:00:00Z\","
				    "\"deletionGracePeriodSeconds\":%s",
				    t[i].grace),
		       spec);
		until(&w, w.released);
		const struct json *end = json_dig(ctr(&w, 0), "state", "terminated", NULL);
		cr_expect_eq(json_i64(json_getc(end, "exitCode"), -1), t[i].code);
		cr_expect_eq(file_has(at(&w, "logs/d_p_u-1/c/0.log"), "bye"), i == 0);
		cr_expect(!file_exists(at(&w, "pods/u-1/shim.sock")));
		remove_and_forget(&w);
		world_free(&w);
	}
}

Test(agent_pods, restart_policies_decide_how_a_pod_ends, .timeout = 120)
{
	static const struct {
		const char *policy, *script, *phase, *reason;
	} t[] = {
		{ "Never", "exit 0", "Succeeded", "Completed" },
		{ "Never", "exit 3", "Failed", "Error" },
		{ "OnFailure", "exit 0", "Succeeded", "Completed" },
		{ "Never", "kill -9 $$", "Failed", "Error" },
	};
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct world w;
		world_new(&w);
		assign(&w, "1", "",
		       arena_printf(&w.arena,
				    "\"restartPolicy\":\"%s\",\"containers\":[{\"name\":\"c\","
				    "\"image\":\"host\","
				    "\"command\":[\"sh\",\"-c\",\"%s\"]}]",
				    t[i].policy, t[i].script));
		until(&w, w.released);
		cr_expect(phase_is(&w, t[i].phase), "%s %s", t[i].policy, t[i].script);
		cr_expect(str_is(
			json_str(json_dig(ctr(&w, 0), "state", "terminated", "reason", NULL)),
			t[i].reason));
		/* The result stays known over a restart of the agent. */
		agent_stops(&w);
		w.released = false;
		w.status = (struct json){ .type = JSON_NULL };
		manager(&w);
		until(&w, w.released);
		cr_expect(phase_is(&w, t[i].phase));
		remove_and_forget(&w);
		world_free(&w);
	}
}

Test(agent_pods, a_pod_that_is_over_is_not_run_by_a_node_that_lost_its_state, .timeout = 120)
{
	struct world w;
	world_new(&w);
	struct error err = { 0 };
	for (int deleting = 0; deleting < 2; deleting++) {
		const char *pod = arena_printf(
			&w.arena,
			"{\"metadata\":{\"uid\":\"u1\",\"namespace\":\"n\",\"name\":\"p\","
			"\"resourceVersion\":\"%d\"%s},"
			"\"spec\":{\"runtimeClassName\":\"host\",\"restartPolicy\":\"Never\","
			"\"containers\":[{\"name\":\"c\",\"image\":\"host\","
			"\"command\":[\"sh\",\"-c\",\"touch "
			"%s/ran\"]}]},\"status\":{\"phase\":\"Succeeded\"}}",
			deleting + 1,
			deleting ? ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"" : "", w.dir);
		cr_assert_eq(podmgr_assign(w.mgr, str_of(pod), &err), 0, "%s", err.msg);
		if (deleting)
			until(&w, w.released);
		for (int i = 0; i < 30; i++)
			loop_turn(w.loop, 10);
		cr_assert(!file_exists(arena_printf(&w.arena, "%s/ran", w.dir)));
		cr_assert_eq(w.released, (bool)deleting);
	}
	world_free(&w);
}

Test(agent_pods, init_containers_run_first_and_commands_that_do_not_exist_are_explained,
     .timeout = 120)
{
	struct world w;
	world_new(&w);
	char *mark = at(&w, "mark");
	assign(&w, "1", "",
	       arena_printf(&w.arena,
			    "\"initContainers\":["
			    "{\"name\":\"i1\",\"image\":\"host\",\"command\":[\"sh\",\"-c\",\"echo "
			    "1 >> %s\"]},"
			    "{\"name\":\"i2\",\"image\":\"host\",\"command\":[\"sh\",\"-c\",\"echo "
			    "2 >> %s\"]}],"
			    "\"containers\":[{\"name\":\"c\",\"image\":\"host\",\"command\":["
			    "\"sh\",\"-c\","
			    "\"echo 3 >> %s; sleep 1000\"]}]",
			    mark, mark, mark));
	until(&w, file_has(mark, "1\n2\n3\n"));
	until(&w, ready(&w));
	cr_assert(
		str_is(json_str(json_dig(json_at(json_getc(&w.status, "initContainerStatuses"), 0),
					 "state", "terminated", "reason", NULL)),
		       "Completed"));
	remove_and_forget(&w);
	w.gone = 0;
	w.released = false;
	assign(&w, "1", "",
	       "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"host\","
	       "\"command\":"
	       "[\"/nonexistent/program\"]}]");
	until(&w, w.released);
	const struct json *end = json_dig(ctr(&w, 0), "state", "terminated", NULL);
	cr_assert(str_is(json_str(json_getc(end, "reason")), "StartError"));
	cr_assert(str_find_str(json_str(json_getc(end, "message")), STR("No such file"), 0) >= 0);
	remove_and_forget(&w);
	world_free(&w);
}

Test(agent_pods, images_without_a_driver_are_a_clear_condition, .timeout = 120)
{
	struct world w;
	world_new(&w);
	struct error err = { 0 };
	cr_assert_eq(podmgr_assign(w.mgr,
				   STR("{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"uid\":"
				       "\"u-1\"},\"spec\":{"
				       "\"containers\":[{\"name\":\"c\",\"image\":\"nginx\"}]}}"),
				   &err),
		     0);
	until(&w, w.reports > 0);
	cr_assert(phase_is(&w, "Pending"));
	cr_assert(str_is(json_str(json_dig(ctr(&w, 0), "state", "waiting", "reason", NULL)),
			 "RuntimeUnavailable"));
	cr_assert(str_is(json_str(json_getc(&w.status, "reason")), "RuntimeUnavailable"));
	const struct json *list = json_getc(&w.status, "conditions");
	size_t unready = 0;
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *c = json_at(list, i);
		if (str_is(json_str(json_getc(c, "type")), "PodScheduled"))
			continue;
		unready++;
		cr_expect(str_is(json_str(json_getc(c, "status")), "False"));
		cr_expect(str_is(json_str(json_getc(c, "reason")), "RuntimeUnavailable"));
		cr_expect(str_find_str(json_str(json_getc(c, "message")), STR("runs no images"),
				       0) >= 0);
	}
	cr_expect_eq(unready, 3);
	remove_and_forget(&w);
	world_free(&w);
}

/* Root may, and others where the kernel lets everybody make user namespaces. */
static bool may_mount(void)
{
	int status = 1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) == 0 ? 0
											       : 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status == 0;
}

Test(agent_pods, volumes_and_environment_come_from_configs_and_fields, .timeout = 120)
{
	struct world w;
	world_new(&w);
	struct error err = { 0 };
	bool root = may_mount();
	char *out = at(&w, "out");
	char *spec = arena_printf(
		&w.arena,
		"\"volumes\":[{\"name\":\"cfg\",\"configMap\":{\"name\":\"m\"}},{\"name\":\"tmp-"
		"1\",\"emptyDir\":{}},"
		"{\"name\":\"info\",\"downwardAPI\":{\"items\":[{\"path\":\"labels\",\"fieldRef\":{"
		"\"fieldPath\":"
		"\"metadata.labels\"}}]}}],"
		"\"containers\":[{\"name\":\"c\",\"image\":\"host\",\"command\":[\"sh\",\"-c\","
		"\"echo $A-$B-$ZONE-$SECRET-$CPU > %s; cat $RCTL_VOLUME_CFG/key "
		"$RCTL_VOLUME_INFO/labels >> %s; "
		"touch $RCTL_VOLUME_TMP_1/x; cat /rctl-test-missing/deep/cfg/key >> %s; ls -a / >> "
		"%s; "
		"sleep 1000\"],%s"
		"\"env\":[{\"name\":\"A\",\"value\":\"a\"},{\"name\":\"B\",\"value\":\"$(A)b$$(A)"
		"\"},"
		"{\"name\":\"ZONE\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":"
		"\"metadata.labels['topology.kubernetes.io/zone']\"}}},"
		"{\"name\":\"SECRET\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":"
		"\"pw\"}}},"
		"{\"name\":\"CPU\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits."
		"cpu\"}}}],"
		"\"volumeMounts\":[%s]}]",
		out, out, out, out,
		root ? "\"readinessProbe\":{\"exec\":{\"command\":[\"test\",\"-e\","
		       "\"/rctl-test-missing/deep/cfg/"
		       "key\"]},\"periodSeconds\":1,\"timeoutSeconds\":20},"
		     : "",
		root ? "{\"name\":\"cfg\",\"mountPath\":\"/rctl-test-missing/deep/cfg\"}" : "");
	assign(&w, "1", ",\"labels\":{\"topology.kubernetes.io/zone\":\"z1\"}", spec);
	until(&w, str_find_str(buf_str(&w.events), STR("FailedMount"), 0) >= 0);
	cr_assert_eq(
		podmgr_config_put(
			w.mgr, STR("ConfigMap"), STR("d"), STR("m"),
			STR("{\"metadata\":{\"name\":\"m\"},\"data\":{\"key\":\"value-1\\n\"}}"),
			&err),
		0);
	until(&w, str_is(json_str(json_dig(ctr(&w, 0), "state", "waiting", "reason", NULL)),
			 "CreateContainerConfigError"));
	cr_assert_eq(podmgr_config_put(
			     w.mgr, STR("Secret"), STR("d"), STR("s"),
			     STR("{\"metadata\":{\"name\":\"s\"},\"data\":{\"pw\":\"aHVzaA==\"}}"),
			     &err),
		     0);
	until(&w, ready(&w) && file_has(out, "proc\n"));
	cr_expect(file_has(out, "a-ab$(A)-z1-hush-2\n"));
	cr_expect(file_has(out, "topology.kubernetes.io/zone=\"z1\""));
	cr_expect(file_exists(at(&w, "pods/u-1/volumes/tmp-1/x")));
	if (root)
		cr_expect(file_has(out, "value-1\nrctl-test-missing") ||
			  file_has(out, "rctl-test-missing\n"));
	cr_expect(!file_exists("/rctl-test-missing"), "the host must not be littered");
	/* An update reaches the running pod through ..data. */
	cr_assert_eq(
		podmgr_config_put(
			w.mgr, STR("ConfigMap"), STR("d"), STR("m"),
			STR("{\"metadata\":{\"name\":\"m\"},\"data\":{\"key\":\"value-2\\n\"}}"),
			&err),
		0);
	cr_expect(file_has(at(&w, "pods/u-1/volumes/cfg/key"), "value-2\n"));
	remove_and_forget(&w);
	world_free(&w);
}

static int probe_listener(uint16_t *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	cr_assert(bind(fd, (struct sockaddr *)&sa, len) == 0 && listen(fd, 16) == 0 &&
		  getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

/* Answers one HTTP request once it is there; *conn is -1 at first. */
static void serve_http(int fd, int *conn, const char *answer)
{
	char in[1024];
	if (*conn < 0)
		*conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (*conn < 0 || recv(*conn, in, sizeof(in), MSG_DONTWAIT) <= 0)
		return;
	(void)!send(*conn, answer, strlen(answer), MSG_NOSIGNAL);
	close(*conn);
	*conn = -1;
}

Test(agent_pods, probes_gate_readiness_and_restart_what_hangs, .timeout = 120)
{
	struct world w;
	world_new(&w);
	uint16_t port = 0;
	int fd = probe_listener(&port);
	char *flag = at(&w, "flag");
	assign(&w, "1", "",
	       arena_printf(&w.arena,
			    "\"terminationGracePeriodSeconds\":1,"
			    "\"containers\":[{\"name\":\"c\",\"image\":\"host\",\"command\":["
			    "\"sleep\",\"1000\"],"
			    "\"startupProbe\":{\"tcpSocket\":{\"port\":%u},\"periodSeconds\":1},"
			    "\"readinessProbe\":{\"exec\":{\"command\":[\"test\",\"-e\",\"%s\"]},"
			    "\"periodSeconds\":1,"
			    "\"failureThreshold\":1,\"timeoutSeconds\":20},"
			    "\"livenessProbe\":{\"exec\":{\"command\":[\"test\",\"!\",\"-e\",\"%s."
			    "sick\"]},"
			    "\"periodSeconds\":1,\"failureThreshold\":1,\"timeoutSeconds\":20}}]",
			    port, flag, flag));
	until(&w, json_bool(json_getc(ctr(&w, 0), "started"), false));
	until(&w, str_find_str(buf_str(&w.events), STR("Readiness probe failed"), 0) >= 0);
	cr_assert(!ready(&w));
	struct error err = { 0 };
	cr_assert_eq(file_write_atomic(flag, STR("x"), 0644, &err), 0);
	until(&w, ready(&w));
	cr_assert_eq(restarts(&w), 0);
	char *sick = arena_printf(&w.arena, "%s.sick", flag);
	cr_assert_eq(file_write_atomic(sick, STR("x"), 0644, &err), 0);
	until(&w, restarts(&w) == 1);
	unlink(sick);
	until(&w, ready(&w));
	remove_and_forget(&w);
	close(fd);
	world_free(&w);
}

Test(agent_pods, http_probes_judge_by_the_status, .timeout = 120)
{
	struct world w;
	world_new(&w);
	uint16_t port = 0;
	int fd = probe_listener(&port), conn = -1;
	assign(&w, "1", "",
	       arena_printf(&w.arena,
			    "\"containers\":[{\"name\":\"c\",\"image\":\"host\",\"command\":["
			    "\"sleep\",\"1000\"],"
			    "\"ports\":[{\"name\":\"web\",\"containerPort\":%u}],"
			    "\"readinessProbe\":{\"httpGet\":{\"path\":\"/"
			    "x\",\"port\":\"web\"},\"periodSeconds\":1,"
			    "\"failureThreshold\":1,\"timeoutSeconds\":20}}]",
			    port));
	until(&w, (serve_http(fd, &conn, "HTTP/1.1 500 No\r\n\r\n"),
		   str_find_str(buf_str(&w.events), STR("statuscode: 500"), 0) >= 0));
	cr_assert(!ready(&w));
	until(&w, (serve_http(fd, &conn, "HTTP/1.0 204 Fine\r\n\r\n"), ready(&w)));
	remove_and_forget(&w);
	close(fd);
	world_free(&w);
}

Test(agent_pods, logs_are_in_cri_format_and_rotate, .timeout = 120)
{
	struct world w;
	world_new(&w);
	assign(&w, "1", "",
	       "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"host\","
	       "\"command\":"
	       "[\"sh\",\"-c\",\"i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; "
	       "echo oops >&2; printf end\"]}]");
	until(&w, w.released);
	cr_assert(file_has(at(&w, "logs/d_p_u-1/c/0.log"), " stderr F oops\n"));
	cr_assert(file_has(at(&w, "logs/d_p_u-1/c/0.log"), " stdout F end\n"));
	struct stat st;
	int kept = 0;
	for (int i = 1; i < 100; i++)
		kept += stat(at(&w, arena_printf(&w.arena, "logs/d_p_u-1/c/0.log.%d", i)), &st) ==
			0;
	cr_assert_eq(kept, 2);
	remove_and_forget(&w);
	world_free(&w);
}
