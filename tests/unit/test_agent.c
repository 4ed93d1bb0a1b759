/* The agent's pure parts and its spool. */
#include "agent/v1/agent.pb-c.h"
#include "base/mem.h"
#include "cgroup.h"
#include "configs.h"
#include "crilog.h"
#include "grpc/message.h"
#include "linkplan.h"
#include "nodemetrics.h"
#include "podenv.h"
#include "podplan.h"
#include "podspec.h"
#include "podstatus.h"
#include "probe.h"
#include "samples.h"
#include "series.h"
#include "spool.h"
#include "sys/file.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct pod_spec *pod(const char *spec)
{
	struct pod_spec *p = NULL;
	struct error err = { 0 };
	struct buf b = { 0 };
	buf_addf(&b,
		 "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"uid\":\"u\",\"labels\":{\"a/"
		 "b\":\"c\"}},"
		 "\"spec\":{%s}}",
		 spec);
	cr_assert_eq(pod_spec_parse(buf_str(&b), &p, &err), 0, "%s: %s", spec, err.msg);
	buf_fini(&b);
	return p;
}

/* ------------------------------------------------------------------------------------ podspec */

Test(agent, pods_that_cannot_be_are_refused_with_the_field)
{
	static const struct {
		const char *json, *says;
	} t[] = {
		{ "", "" },
		{ "{}", "metadata.uid" },
		{ "{\"metadata\":{\"uid\":\"../x\"}}", "metadata.uid" },
		{ "{\"metadata\":{\"uid\":\"u\",\"name\":\"A_\"}}", "metadata.name" },
		{ "{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"a/b\"}}",
		  "metadata.namespace" },
		{ "{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{}}",
		  "spec.containers" },
		{ "{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{"
		  "\"containers\":[{\"name\":"
		  "\"..\"}]}}",
		  "DNS label" },
		{ "{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{"
		  "\"containers\":[{\"name\":"
		  "\"c\"},{\"name\":\"c\"}]}}",
		  "same" },
		{ "{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{"
		  "\"containers\":[{\"name\":"
		  "\"c\",\"livenessProbe\":{\"httpGet\":{\"port\":\"no\"}}}]}}",
		  "names no port" },
		{ "{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{"
		  "\"containers\":[{\"name\":"
		  "\"c\",\"command\":[\"a\\u0000b\"]}]}}",
		  "plain strings" },
	};
	for (size_t i = 0; i < COUNT(t); i++) {
		struct error err = { 0 };
		struct pod_spec *p = NULL;
		cr_expect_lt(pod_spec_parse(str_of(t[i].json), &p, &err), 0, "%s", t[i].json);
		cr_expect(strstr(err.msg, t[i].says), "%s: %s", t[i].json, err.msg);
	}
}

Test(agent, qos_and_resources_are_as_kubernetes_has_them)
{
	static const struct {
		const char *resources, *qos;
		int64_t cpu_limit_m, cpu_request_m, memory_limit;
	} t[] = {
		{ "{}", "BestEffort", 0, 0, 0 },
		{ "{\"requests\":{\"cpu\":\"100m\"}}", "Burstable", 0, 100, 0 },
		{ "{\"limits\":{\"cpu\":\"1.5\",\"memory\":\"64Mi\"}}", "Guaranteed", 1500, 1500,
		  64 << 20 },
		{ "{\"limits\":{\"cpu\":2,\"memory\":\"1Gi\"},\"requests\":{\"cpu\":1}}",
		  "Burstable", 2000, 1000, 1 << 30 },
	};
	for (size_t i = 0; i < COUNT(t); i++) {
		char spec[300];
		snprintf(spec, sizeof(spec), "\"containers\":[{\"name\":\"c\",\"resources\":%s}]",
			 t[i].resources);
		struct pod_spec *p = pod(spec);
		cr_expect_str_eq(pod_spec_qos(p), t[i].qos);
		cr_expect_eq(p->ctrs[0].cpu_limit_m, t[i].cpu_limit_m);
		cr_expect_eq(p->ctrs[0].cpu_request_m, t[i].cpu_request_m);
		cr_expect_eq(p->ctrs[0].memory_limit, t[i].memory_limit);
		pod_spec_free(p);
	}
}

/* ------------------------------------------------------------------------------------ podplan */

/* "S1 T0" = start container 1, stop (term) container 0; K = kill. */
static void describe(const struct plan *r, char *out, size_t cap)
{
	size_t n = 0;
	out[0] = '\0';
	for (size_t i = 0; i < r->actions_len; i++)
		n += (size_t)snprintf(out + n, cap - n, "%s%c%zu", n ? " " : "",
				      "STK"[r->actions[i].verb], r -> actions[i].ctr);
}

/*
 * A little language for a pod's life: "N" new, "R" running, "U" running unhealthy, "0"…"9" ended with that code,
 * "X" stopping; roles: i init, s sidecar, m main.
 */
Test(agent, the_plan_says_what_is_next)
{
	static const struct {
		const char *roles, *states;
		enum pod_restart restart;
		enum plan_why ending;
		const char *actions;
		enum plan_phase phase;
		bool released;
	} t[] = {
		{ "m", "N", RESTART_ALWAYS, WHY_NONE, "S0", PHASE_PENDING, false },
		{ "mm", "NN", RESTART_ALWAYS, WHY_NONE, "S0 S1", PHASE_PENDING, false },
		{ "m", "R", RESTART_ALWAYS, WHY_NONE, "", PHASE_RUNNING, false },
		{ "m", "0", RESTART_ALWAYS, WHY_NONE, "S0", PHASE_RUNNING, false },
		{ "m", "1", RESTART_ON_FAILURE, WHY_NONE, "S0", PHASE_RUNNING, false },
		{ "m", "0", RESTART_ON_FAILURE, WHY_NONE, "", PHASE_SUCCEEDED, true },
		{ "m", "1", RESTART_NEVER, WHY_NONE, "", PHASE_FAILED, true },
		{ "mm", "0R", RESTART_NEVER, WHY_NONE, "", PHASE_RUNNING, false },
		{ "mm", "10", RESTART_NEVER, WHY_NONE, "", PHASE_FAILED, true },
		{ "iim", "NNN", RESTART_ALWAYS, WHY_NONE, "S0", PHASE_PENDING, false },
		{ "iim", "RNN", RESTART_ALWAYS, WHY_NONE, "", PHASE_PENDING, false },
		{ "iim", "0NN", RESTART_ALWAYS, WHY_NONE, "S1", PHASE_PENDING, false },
		{ "iim", "00N", RESTART_ALWAYS, WHY_NONE, "S2", PHASE_PENDING, false },
		{ "im", "1N", RESTART_ALWAYS, WHY_NONE, "S0", PHASE_PENDING, false },
		{ "im", "1N", RESTART_NEVER, WHY_NONE, "", PHASE_FAILED, true },
		{ "sim", "NNN", RESTART_ALWAYS, WHY_NONE, "S0", PHASE_PENDING, false },
		{ "sim", "RNN", RESTART_ALWAYS, WHY_NONE, "S1", PHASE_PENDING, false },
		{ "sim", "R0R", RESTART_ALWAYS, WHY_NONE, "", PHASE_RUNNING, false },
		{ "sim", "10R", RESTART_NEVER, WHY_NONE, "S0", PHASE_RUNNING, false },
		{ "sm", "R0", RESTART_NEVER, WHY_NONE, "T0", PHASE_SUCCEEDED, false },
		{ "sm", "10", RESTART_NEVER, WHY_NONE, "", PHASE_SUCCEEDED, true },
		{ "m", "U", RESTART_ALWAYS, WHY_NONE, "T0", PHASE_RUNNING, false },
		{ "m", "X", RESTART_ALWAYS, WHY_NONE, "K0", PHASE_RUNNING, false },
		{ "mm", "RR", RESTART_ALWAYS, WHY_DELETED, "T0 T1", PHASE_RUNNING, false },
		{ "mm", "0R", RESTART_ALWAYS, WHY_DELETED, "T1", PHASE_RUNNING, false },
		{ "ssm", "RRR", RESTART_ALWAYS, WHY_DELETED, "T2", PHASE_RUNNING, false },
		{ "ssm", "RR0", RESTART_ALWAYS, WHY_DELETED, "T1", PHASE_RUNNING, false },
		{ "m", "N", RESTART_ALWAYS, WHY_DELETED, "", PHASE_FAILED, true },
		{ "m", "0", RESTART_ALWAYS, WHY_DELETED, "", PHASE_SUCCEEDED, true },
		{ "m", "3", RESTART_ALWAYS, WHY_DELETED, "", PHASE_FAILED, true },
		{ "m", "R", RESTART_ALWAYS, WHY_DEADLINE, "T0", PHASE_FAILED, false },
	};
	for (size_t i = 0; i < COUNT(t); i++) {
		struct plan_pod p = { .restart = t[i].restart, .admitted = true, .grace_ms = 1000 };
		struct plan r;
		char got[100];
		p.ctrs_len = strlen(t[i].roles);
		for (size_t k = 0; k < p.ctrs_len; k++) {
			struct plan_ctr *c = &p.ctrs[k];
			char s = t[i].states[k];
			c->role = t[i].roles[k] == 'i'   ? CTR_INIT
				  : t[i].roles[k] == 's' ? CTR_SIDECAR
							 : CTR_MAIN;
			p.first_main += c->role != CTR_MAIN;
			c->state = s == 'N'               ? PLAN_NEW
				   : s >= '0' && s <= '9' ? PLAN_ENDED
							  : PLAN_RUNNING;
			c->exit_code = c->state == PLAN_ENDED ? s - '0' : 0;
			c->started_ok = c->ready = c->state == PLAN_RUNNING;
			c->unhealthy = s == 'U';
			c->stopping = s == 'X';
			c->kill_at_ms = 5000;
		}
		if (t[i].ending != WHY_NONE)
			plan_end_pod(&p, t[i].ending, 1000, 9500);
		plan_next(&p, 10000, &r);
		describe(&r, got, sizeof(got));
		cr_expect_str_eq(got, t[i].actions, "%s %s: got '%s', not '%s'", t[i].roles,
				 t[i].states, got, t[i].actions);
		cr_expect_eq(r.phase, t[i].phase, "%s %s: phase %d", t[i].roles, t[i].states,
			     (int)r.phase);
		cr_expect_eq(r.released, t[i].released, "%s %s: released", t[i].roles, t[i].states);
	}
}

Test(agent, restarts_back_off_as_a_kubelet_does)
{
	static const uint64_t waits_s[] = { 0, 10, 20, 40, 80, 160, 300, 300, 300 };
	struct pod_spec *spec = pod("\"containers\":[{\"name\":\"c\"}]");
	struct plan_pod p;
	uint64_t now = 1000;
	plan_init(&p, spec);
	p.admitted = true;
	plan_starting(&p, 0, now);
	plan_started(&p, 0, now);
	for (size_t i = 0; i < COUNT(waits_s); i++) {
		plan_ended(&p, 0, 1, now);
		cr_expect_eq(plan_restart_at(&p, 0), now + waits_s[i] * 1000,
			     "restart %zu at +%llu", i,
			     (unsigned long long)(plan_restart_at(&p, 0) - now));
		now = plan_restart_at(&p, 0);
		plan_starting(&p, 0, now);
		plan_started(&p, 0, now);
	}
	now += PLAN_BACKOFF_RESET_MS + 1; /* it ran long enough: it starts anew */
	plan_ended(&p, 0, 1, now);
	cr_expect_eq(plan_restart_at(&p, 0), now);
	plan_starting(&p, 0, now);
	plan_started(&p, 0, now);
	plan_ended(&p, 0, 1, now);
	cr_expect_eq(plan_restart_at(&p, 0), now + 10000);
	cr_expect_eq(p.ctrs[0].attempt, COUNT(waits_s) + 1);
	pod_spec_free(spec);
}

Test(agent, a_second_deletion_can_only_hurry_the_first)
{
	struct pod_spec *spec = pod("\"containers\":[{\"name\":\"c\"}]");
	struct plan_pod p;
	struct plan r;
	plan_init(&p, spec);
	p.admitted = true;
	plan_starting(&p, 0, 0);
	plan_started(&p, 0, 0);
	plan_end_pod(&p, WHY_DELETED, 30000, 1000);
	plan_stopping(&p, 0, 1000);
	plan_end_pod(&p, WHY_DELETED, 60000, 2000);
	plan_next(&p, 30999, &r);
	cr_expect_eq(r.actions_len, 0);
	cr_expect_eq(r.wake_ms, 31000);
	plan_end_pod(&p, WHY_DELETED, 0, 3000);
	plan_next(&p, 3000, &r);
	cr_expect_eq(r.actions_len, 1);
	cr_expect_eq(r.actions[0].verb, PLAN_KILL);
	pod_spec_free(spec);
}

/* ------------------------------------------------------------------------------ env and config */

Test(agent, variables_expand_as_in_a_kubelet)
{
	static const struct {
		const char *in, *out;
	} t[] = { { "$(A)", "a" },     { "x$(A)y$(B)", "xayb" },
		  { "$$(A)", "$(A)" }, { "$(NO)", "$(NO)" },
		  { "$A", "$A" },      { "$", "$" },
		  { "$$", "$" },       { "$(A", "$(A" },
		  { "$$$(A)", "$a" },  { "$()", "$()" },
		  { "", "" } };
	struct env_var vars[] = { { STR("A"), STR("a") }, { STR("B"), STR("b") } };
	struct podenv env = { vars, 2, 2 };
	struct arena a = { 0 };
	for (size_t i = 0; i < COUNT(t); i++)
		cr_expect(str_is(podenv_expand(&a, &env, str_of(t[i].in)), t[i].out), "%s",
			  t[i].in);
	arena_fini(&a);
}

Test(agent, the_environment_takes_configs_fields_and_resources)
{
	struct arena a = { 0 };
	struct configs c = { 0 };
	struct error err = { 0 };
	bool changed;
	const struct podenv_facts facts = { "n1", "10.0.0.1", "10.0.0.1", 4000, 1 << 30, "/v" };
	struct podenv env;
	struct pod_spec *p = pod(
		"\"volumes\":[{\"name\":\"my-data\"}],\"containers\":[{\"name\":\"c\","
		"\"envFrom\":[{\"prefix\":\"P_\",\"configMapRef\":{\"name\":\"m\"}},"
		"{\"secretRef\":{\"name\":\"gone\",\"optional\":true}}],"
		"\"env\":[{\"name\":\"K\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"m\","
		"\"key\":\"k\"}}},"
		"{\"name\":\"L\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels['a/"
		"b']\"}}},"
		"{\"name\":\"IP\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"status.podIP\"}}},"
		"{\"name\":\"M\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits."
		"memory\",\"divisor\":\"1Mi\"}}},"
		"{\"name\":\"O\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"m\",\"key\":\"no\","
		"\"optional\":true}}}]}]");
	cr_assert_eq(podenv_build(&a, p, &p->ctrs[0], &c, &facts, &env, &err), ERR_NOT_FOUND);
	cr_assert_str_eq(err.msg, "configmap \"m\" not found");
	cr_assert_eq(configs_put(&c, STR("ConfigMap"), STR("d"), STR("m"),
				 STR("{\"data\":{\"k\":\"v\"},\"binaryData\":{\"b\":\"eA==\"}}"),
				 &changed, &err),
		     0);
	cr_assert(changed);
	cr_assert_eq(podenv_build(&a, p, &p->ctrs[0], &c, &facts, &env, &err), 0, "%s", err.msg);
	static const char *const want[] = { "K=v",         "L=c",
					    "IP=10.0.0.1", "M=1024",
					    "P_k=v",       "P_b=x",
					    "HOSTNAME=p",  "RCTL_VOLUME_MY_DATA=/v/my-data" };
	char **all = podenv_strings(&a, &env);
	for (size_t i = 0; i < COUNT(want); i++) {
		bool found = false;
		for (size_t k = 0; all[k]; k++)
			found |= strcmp(all[k], want[i]) == 0;
		cr_expect(found, "%s is missing", want[i]);
	}
	configs_fini(&c);
	pod_spec_free(p);
	arena_fini(&a);
}

/* --------------------------------------------------------------------------- probes, endpoints */

Test(agent, probe_answers_are_read_and_counted)
{
	static const struct {
		const char *in;
		int status;
	} t[] = { { "", 0 },
		  { "HTTP/1.1 200 OK", 0 },
		  { "HTTP/1.1 200 OK\r\n", 200 },
		  { "HTTP/1.0 302 Found\n", 302 },
		  { "HTTP/1.1 99 x\r\n", -1 },
		  { "HTTP/2 200\r\n", -1 },
		  { "SSH-2.0\r\n", -1 },
		  { "HTTP/1.1 2xx\r\n", -1 } };
	for (size_t i = 0; i < COUNT(t); i++)
		cr_expect_eq(probe_http_status(str_of(t[i].in)), t[i].status, "%s", t[i].in);
	const struct probe_spec s = { .success_threshold = 2, .failure_threshold = 3 };
	struct probe_count c = { 0, 0 };
	static const struct {
		bool success;
		enum probe_verdict verdict;
	} run[] = { { true, PROBE_UNDECIDED },  { true, PROBE_PASSED },
		    { false, PROBE_UNDECIDED }, { false, PROBE_UNDECIDED },
		    { true, PROBE_UNDECIDED },  { false, PROBE_UNDECIDED },
		    { false, PROBE_UNDECIDED }, { false, PROBE_FAILED },
		    { false, PROBE_FAILED } };
	for (size_t i = 0; i < COUNT(run); i++)
		cr_expect_eq(probe_counted(&s, &c, run[i].success), run[i].verdict, "step %zu", i);
}

Test(agent, the_nearest_endpoint_is_tried_first_and_waits_grow_with_jitter)
{
	struct link_plan p = { .region = "r1", .network_az = "a" };
	struct link_endpoint list[5];
	cr_assert_eq(link_endpoint_parse("far:1", &list[0]), 0);
	cr_assert_eq(link_endpoint_parse("az:1,region=r1,network-az=a", &list[1]), 0);
	cr_assert_eq(link_endpoint_parse("region:1,region=r1,network-az=b", &list[2]), 0);
	cr_assert_eq(link_endpoint_parse("liar:1,region=r2,network-az=a", &list[3]), 0);
	cr_assert_neq(link_endpoint_parse("x:1,rack=7", &list[4]), 0);
	cr_assert_neq(link_endpoint_parse("", &list[4]), 0);
	for (uint64_t seed = 1; seed < 50; seed++) {
		uint64_t wait;
		p.rounds = 0;
		link_plan_set(&p, list, 4, seed);
		cr_expect_str_eq(p.endpoints[link_plan_next(&p, 0, &wait)].address, "az:1");
		cr_expect_str_eq(p.endpoints[link_plan_next(&p, 0, &wait)].address, "region:1");
		size_t a = link_plan_next(&p, 0, &wait), b = link_plan_next(&p, 0, &wait);
		cr_expect_neq(a, b);
		cr_expect_eq(wait, 0);
		uint64_t bound = LINK_WAIT_MIN_MS;
		for (int round = 0; round < 12; round++) {
			cr_expect_str_eq(p.endpoints[link_plan_next(&p, bound, &wait)].address,
					 "az:1");
			cr_expect_eq(wait, bound, "round %d: %llu", round,
				     (unsigned long long)wait);
			for (int i = 0; i < 3; i++)
				(void)link_plan_next(&p, 0, &wait);
			bound = bound * 2 > LINK_WAIT_MAX_MS ? LINK_WAIT_MAX_MS : bound * 2;
		}
	}
}

/* -------------------------------------------------------------------------------------- spool */

struct faults {
	int writes_left, syncs_left; /* until the next failure; -1 = never */
};

static ssize_t faulty_write(void *arg, int fd, const void *p, size_t n)
{
	struct faults *f = arg;
	if (f->writes_left == 0) {
		f->writes_left = -1;
		if (n > 10)
			(void)!write(fd, p, n / 2); /* torn */
		errno = ENOSPC;
		return -1;
	}
	f->writes_left -= f->writes_left > 0;
	return write(fd, p, n);
}

static int faulty_sync(void *arg, int fd)
{
	struct faults *f = arg;
	(void)fd;
	if (f->syncs_left == 0) {
		f->syncs_left = -1;
		errno = EIO;
		return -1;
	}
	f->syncs_left -= f->syncs_left > 0;
	return 0;
}

struct sworld {
	char dir[64];
	struct spool_options opt;
	struct spool *s;
	struct buf buf;
};

static void spool_again(struct sworld *w)
{
	struct error err = { 0 };
	w->s = spool_close(w->s);
	cr_assert_eq(spool_open(&w->opt, &w->s, &err), 0, "%s", err.msg);
}

static void spool_new(struct sworld *w, uint64_t quota, uint64_t segment, const struct spool_io *io)
{
	memset(w, 0, sizeof(*w));
	strcpy(w->dir, "/tmp/test-spool-XXXXXX");
	cr_assert(mkdtemp(w->dir));
	w->opt = (struct spool_options){ .dir = w->dir,
					 .stream = 2,
					 .new_incarnation = 77,
					 .quota_bytes = quota,
					 .segment_bytes = segment,
					 .io = io };
	spool_again(w);
}

static void spool_end(struct sworld *w)
{
	spool_close(w->s);
	buf_fini(&w->buf);
	cr_assert_eq(file_remove_tree(w->dir, &(struct error){ 0 }), 0);
}

static int add(struct sworld *w, unsigned n)
{
	char text[100];
	memset(text, 'a' + (int)(n % 26), sizeof(text));
	return spool_append(w->s, 3, 0, str_n(text, sizeof(text)), NULL);
}

/* Reads all from `at`: counts records, and lost numbers of gaps; checks order and content. */
static unsigned read_all(struct sworld *w, uint64_t at, uint64_t *lost)
{
	struct spool_record r;
	unsigned n = 0;
	*lost = 0;
	while (spool_read(w->s, at, &w->buf, &r)) {
		cr_assert_geq(r.sequence, at);
		if (r.type) {
			cr_assert_eq(r.sequence, at);
			cr_assert_eq(r.payload.len, 100);
			cr_assert_eq(r.payload.p[99], 'a' + (int)(r.sequence % 26));
			n++;
		} else {
			cr_assert_eq(r.gap_from, at);
			*lost += r.sequence - at + 1;
		}
		at = r.sequence + 1;
	}
	cr_assert_eq(at, spool_last(w->s) + 1);
	return n;
}

Test(agent, the_spool_keeps_order_over_restarts_and_forgets_what_is_acknowledged)
{
	struct sworld w;
	uint64_t lost;
	spool_new(&w, 1 << 20, 4096, NULL);
	for (unsigned i = 1; i <= 200; i++) {
		cr_assert_eq(add(&w, i), 0);
		if (i % 37 == 0)
			spool_again(&w);
	}
	cr_assert_eq(spool_incarnation(w.s), 77);
	cr_assert_eq(read_all(&w, 1, &lost), 200);
	cr_assert_eq(lost, 0);
	cr_assert_eq(read_all(&w, 150, &lost), 51);
	spool_ack(w.s, 120);
	cr_assert_gt(spool_first(w.s), 1);
	cr_assert_leq(spool_first(w.s), 121);
	spool_ack(w.s, 60); /* never back */
	cr_assert_eq(spool_acked(w.s), 120);
	cr_assert_eq(read_all(&w, 121, &lost), 80);
	spool_ack(w.s, 200);
	w.opt.new_incarnation = 99; /* not taken: there is one */
	spool_again(&w);
	cr_assert_eq(spool_last(w.s), 200);
	cr_assert_eq(spool_incarnation(w.s), 77);
	cr_assert_eq(add(&w, 201), 0);
	cr_assert_eq(read_all(&w, 201, &lost), 1);
	spool_ack(w.s, 250); /* the other side knows more than we do */
	cr_assert_eq(spool_last(w.s), 250);
	cr_assert_eq(add(&w, 251), 0);
	cr_assert_eq(read_all(&w, 251, &lost), 1);
	spool_end(&w);
}

Test(agent, over_its_quota_the_spool_drops_the_oldest_and_says_how_many)
{
	struct sworld w;
	uint64_t lost;
	spool_new(&w, 3 * 4096, 4096, NULL);
	for (unsigned i = 1; i <= 500; i++)
		cr_assert_eq(add(&w, i), 0);
	cr_assert_leq(spool_bytes(w.s), 3 * 4096 + 200);
	unsigned n = read_all(&w, 1, &lost);
	cr_assert_eq(n + lost, 500);
	cr_assert_gt(lost, 300);
	cr_assert_eq(spool_dropped(w.s), lost);
	spool_again(&w);
	cr_assert_eq(read_all(&w, 1, &lost), n);
	cr_assert_eq(n + lost, 500);
	spool_end(&w);
}

Test(agent, a_torn_or_damaged_spool_loses_only_what_is_broken)
{
	struct sworld w;
	uint64_t lost;
	/* Cut at every length of the last record: it alone is lost. */
	for (int cut = 1; cut <= 124; cut += 7) {
		spool_new(&w, 1 << 20, 1 << 16, NULL);
		for (unsigned i = 1; i <= 10; i++)
			cr_assert_eq(add(&w, i), 0);
		w.s = spool_close(w.s);
		char path[120];
		snprintf(path, sizeof(path), "%s/%016x.seg", w.dir, 1);
		cr_assert_eq(truncate(path, SPOOL_HEADER_BYTES + 10 * 124 - cut), 0);
		cr_assert_eq(spool_open(&w.opt, &w.s, &(struct error){ 0 }), 0);
		cr_assert_eq(read_all(&w, 1, &lost), 9, "cut %d", cut);
		cr_assert_eq(lost, 1); /* its number is known from the ack file */
		cr_assert_eq(add(&w, 11), 0);
		cr_assert_eq(read_all(&w, 1, &lost), 10);
		spool_end(&w);
	}
	/* A bit flips in the middle while it is open: the rest of the segment is a gap, the next is not. */
	spool_new(&w, 1 << 20, 1240, NULL);
	for (unsigned i = 1; i <= 20; i++)
		cr_assert_eq(add(&w, i), 0);
	char path[120];
	snprintf(path, sizeof(path), "%s/%016x.seg", w.dir, 1);
	int fd = open(path, O_WRONLY);
	cr_assert_eq(pwrite(fd, "!", 1, SPOOL_HEADER_BYTES + 4 * 124 + 60), 1);
	close(fd);
	unsigned n = read_all(&w, 1, &lost);
	cr_assert_eq(n + lost, 20);
	cr_assert_geq(n, 14);
	cr_assert_gt(lost, 0);
	spool_end(&w);
}

Test(agent, every_write_and_sync_of_the_spool_may_fail)
{
	for (int at = 0; at < 40; at++) {
		for (int kind = 0; kind < 2; kind++) {
			struct faults f = { kind == 0 ? at : -1, kind == 1 ? at : -1 };
			struct spool_io io = { faulty_write, faulty_sync, &f };
			struct sworld w;
			uint64_t lost;
			unsigned failed = 0;
			spool_new(&w, 1 << 20, 1000, &io);
			for (unsigned i = 1; i <= 30; i++) {
				failed += add(&w, i) != 0;
				if (i % 3 == 0)
					(void)!spool_sync(w.s, NULL);
			}
			cr_assert_eq(spool_last(w.s), 30);
			unsigned n = read_all(&w, 1, &lost);
			cr_assert_eq(n + lost, 30, "fault %d.%d: %u + %llu", kind, at, n,
				     (unsigned long long)lost);
			cr_assert_leq(lost, failed);
			spool_again(&w);
			cr_assert_eq(read_all(&w, 1, &lost), n);
			cr_assert_eq(n + lost, 30);
			spool_end(&w);
		}
	}
}

Test(agent, crc32c_is_castagnoli)
{
	cr_assert_eq(spool_crc32c(0, "123456789", 9), 0xe3069283);
	cr_assert_eq(spool_crc32c(spool_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

/* --------------------------------------------------------------------------- metrics and logs */

Test(agent, numbers_are_packed_exactly)
{
	static const struct {
		double v;
		bool exact;
		int64_t mantissa;
		uint32_t scale;
	} t[] = { { 0, true, 0, 0 },          { 1, true, 1, 0 },
		  { -17, true, -17, 0 },      { 0.5, true, 5, 1 },
		  { 123.45, true, 12345, 2 }, { 1e15, true, 1000000000000000, 0 },
		  { 1e300, false, 0, 0 },     { 1.0 / 3, false, 0, 0 },
		  { -0.0, false, 0, 0 },      { NAN, false, 0, 0 },
		  { INFINITY, false, 0, 0 } };
	for (size_t i = 0; i < COUNT(t); i++) {
		int64_t m = 0;
		uint32_t k = 0;
		cr_expect_eq(samples_decimal(t[i].v, &m, &k), t[i].exact, "%g", t[i].v);
		cr_expect_eq(m, t[i].mantissa, "%g", t[i].v);
		cr_expect_eq(k, t[i].scale, "%g", t[i].v);
	}
}

struct mworld {
	char dir[64], path[100];
	struct series series;
	struct samples samples;
};

static void metrics_new_world(struct mworld *w)
{
	bool kept;
	strcpy(w->dir, "/tmp/test-series-XXXXXX");
	cr_assert(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/series", w->dir);
	cr_assert_eq(series_open(&w->series, w->path, 5, &kept, &(struct error){ 0 }), 0);
	cr_assert(!kept);
	samples_init(&w->samples, &w->series);
}

static void metrics_end_world(struct mworld *w)
{
	samples_fini(&w->samples);
	series_close(&w->series);
	cr_assert_eq(file_remove_tree(w->dir, &(struct error){ 0 }), 0);
}

/* The value of "name{a=b,…}", NAN when it is not there. */
static double value(const struct mworld *w, const char *want)
{
	for (size_t i = 0; i < w->samples.len; i++) {
		struct str rest = w->series.defs[w->samples.list[i].ref - 1].key, part;
		char text[512] = "";
		size_t n = 0;
		for (int k = 0; series_part(&rest, &part); k++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s",
					      k == 0   ? ""
					      : k == 1 ? "{"
					      : k % 2  ? ","
						       : "=",
					      STR_ARG(part));
		if (strchr(text, '{'))
			snprintf(text + n, sizeof(text) - n, "}");
		if (strcmp(text, want) == 0)
			return w->samples.list[i].value;
	}
	return NAN;
}

Test(agent, files_of_proc_become_metrics_of_node_exporter)
{
	struct mworld w;
	struct samples *s = &w.samples;
	metrics_new_world(&w);
	nodemetrics_stat(s, STR("cpu  10 20 30 40\ncpu0 1 2 300 4 5 6 7 8 0 0\nintr 77 0 0\nctxt "
				"5\nbtime 99\nprocesses 3\n"
				"procs_running 2\nprocs_blocked 0\ngarbage\n"));
	nodemetrics_meminfo(s, STR("MemTotal:       100 kB\nActive(anon):   2 kB\nHugePages_Total: "
				   "      3\nbroken\n"));
	nodemetrics_loadavg(s, STR("0.25 1.50 3.00 1/234 5\n"));
	nodemetrics_diskstats(s, STR(" 254 0 vda 10 1 16 250 20 2 32 500 1 700 0 0 0 0 0 0 0\n   7 "
				     "0 loop0 1 1 1 1 1 1 1 1 1 1 1\n"));
	nodemetrics_netdev(s, STR("Inter-|   Receive\n face |bytes\n  eth0: 100 2 3 4 0 0 0 0 500 "
				  "6 7 8 0 0 0 0\n"));
	nodemetrics_vmstat(s, STR("pgfault 12\nother 1\noom_kill 3\n"));
	nodemetrics_pressure(s, "io",
			     STR("some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n"
				 "full avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n"));
	static const struct {
		const char *series;
		double v;
	} t[] = { { "node_cpu_seconds_total{cpu=0,mode=system}", 3 },
		  { "node_cpu_seconds_total{cpu=0,mode=steal}", 0.08 },
		  { "node_boot_time_seconds", 99 },
		  { "node_intr_total", 77 },
		  { "node_procs_running", 2 },
		  { "node_memory_MemTotal_bytes", 102400 },
		  { "node_memory_Active_anon_bytes", 2048 },
		  { "node_memory_HugePages_Total", 3 },
		  { "node_load5", 1.5 },
		  { "node_disk_read_bytes_total{device=vda}", 8192 },
		  { "node_disk_read_time_seconds_total{device=vda}", 0.25 },
		  { "node_disk_io_time_seconds_total{device=vda}", 0.7 },
		  { "node_network_transmit_bytes_total{device=eth0}", 500 },
		  { "node_network_receive_drop_total{device=eth0}", 4 },
		  { "node_vmstat_oom_kill", 3 },
		  { "node_pressure_io_waiting_seconds_total", 2.5 },
		  { "node_pressure_io_stalled_seconds_total", 1 } };
	for (size_t i = 0; i < COUNT(t); i++)
		cr_expect_eq(value(&w, t[i].series), t[i].v, "%s is %g", t[i].series,
			     value(&w, t[i].series));
	cr_expect(isnan(value(&w, "node_disk_read_bytes_total{device=loop0}")));
	metrics_end_world(&w);
}

Test(agent, batches_name_series_by_reference_and_mark_what_ended)
{
	struct mworld w;
	struct ref_set before = { 0 };
	struct buf b = { 0 };
	metrics_new_world(&w);
	samples_add(&w.samples, SAMPLE_GAUGE, "b", 1.5, NULL);
	samples_put(&w.samples, SAMPLE_GAUGE, "a", 7, "x", "1", NULL);
	samples_add(&w.samples, SAMPLE_GAUGE, "c", NAN, NULL);
	samples_write(&w.samples, 10000, 1000, &before, &b);
	Rctl__Agent__V1__MetricBatch *m =
		rpc_unpack(&rctl__agent__v1__metric_batch__descriptor, buf_str(&b));
	cr_assert(m);
	cr_expect_eq(m->time_unix_ms, 10000);
	cr_expect_eq(m->n_groups, 3);
	cr_expect_eq(m->n_stale, 0);
	protobuf_c_message_free_unpacked(&m->base, NULL);
	samples_clear(&w.samples);
	buf_clear(&b);
	samples_add(&w.samples, SAMPLE_GAUGE, "c", 1, NULL);
	samples_write(&w.samples, 11000, 1000, &before, &b);
	m = rpc_unpack(&rctl__agent__v1__metric_batch__descriptor, buf_str(&b));
	cr_assert(m && m->n_groups == 1 && m->n_stale == 2);
	cr_expect_eq(m->groups[0]->ref_delta[0], 3);
	protobuf_c_message_free_unpacked(&m->base, NULL);
	/* References mean the same after a restart; another incarnation begins anew. */
	cr_assert_eq(series_write(w.series.fd, buf_str(&w.series.unwritten)), 0);
	series_close(&w.series);
	bool kept;
	cr_assert_eq(series_open(&w.series, w.path, 5, &kept, &(struct error){ 0 }), 0);
	cr_expect(kept && w.series.len == 3);
	cr_expect_eq(series_ref(&w.series, str_n("c\0", 2), SAMPLE_GAUGE), 3);
	series_close(&w.series);
	cr_assert_eq(series_open(&w.series, w.path, 6, &kept, &(struct error){ 0 }), 0);
	cr_expect(!kept && w.series.len == 0);
	mem_free(before.refs);
	buf_fini(&b);
	metrics_end_world(&w);
}

Test(agent, cri_lines_are_read_strictly)
{
	static const struct {
		const char *line;
		bool good, is_stderr, partial;
		const char *text;
	} t[] = {
		{ "2026-01-02T03:04:05.678901234Z stdout F hello world", true, false, false,
		  "hello world" },
		{ "2026-01-02T03:04:05Z stderr P x", true, true, true, "x" },
		{ "2026-01-02T03:04:05Z stdout F ", true, false, false, "" },
		{ "2026-01-02T03:04:05Z stdout F", false, false, false, "" },
		{ "2026-01-02T03:04:05Z stdin F x", false, false, false, "" },
		{ "2026-13-02T03:04:05Z stdout F x", false, false, false, "" },
		{ "2026-01-02T03:04:05Z stdout Q x", false, false, false, "" },
		{ "", false, false, false, "" },
	};
	for (size_t i = 0; i < COUNT(t); i++) {
		struct cri_line l;
		cr_expect_eq(cri_parse(str_of(t[i].line), &l), t[i].good, "%s", t[i].line);
		if (!t[i].good)
			continue;
		cr_expect(str_is(l.text, t[i].text));
		cr_expect_eq(l.is_stderr, t[i].is_stderr);
		cr_expect_eq(l.partial, t[i].partial);
	}
	struct cri_line l;
	cr_assert(cri_parse(STR("1970-01-01T00:00:01.000000002Z stdout F x"), &l));
	cr_assert_eq(l.unix_ns, 1000000002);
}

Test(agent, cgroups_are_found_in_every_kind_of_mount_table)
{
	static const struct {
		const char *info;
		bool v2;
		const char *memory, *cpuacct;
	} t[] = {
		{ "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", true, "/sys/fs/cgroup",
		  NULL },
		{ "33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
		  "35 31 0:31 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n"
		  "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		  false, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu,cpuacct" },
		{ "35 31 0:31 / /a\\040b rw - cgroup cgroup rw,memory\n", false, "/a b", NULL },
		{ "22 27 0:21 / /proc rw - proc proc rw\nbroken\n", false, NULL, NULL },
	};
	for (size_t i = 0; i < COUNT(t); i++) {
		char *mount[CG_CONTROLLERS] = { NULL };
		cr_expect_eq(cgroups_find(str_of(t[i].info), mount), t[i].v2);
		cr_expect(str_eq(str_of(mount[CG_MEMORY]), str_of(t[i].memory)), "%zu", i);
		cr_expect(str_eq(str_of(mount[CG_CPUACCT]), str_of(t[i].cpuacct)), "%zu", i);
		for (size_t k = 0; k < CG_CONTROLLERS; k++)
			mem_free(mount[k]);
	}
}
