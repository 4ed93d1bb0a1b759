/* What the agent says of its node: checks, cgroups, what travels of a batch. */
#include "agent/v1/agent.pb-c.h"
#include "base/mem.h"
#include "cgroup.h"
#include "checks.h"
#include "grpc/message.h"
#include "samples.h"
#include "sys/file.h"
#include "telemetry/delta.h"
#include "telemetry/pack.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ------------------------------------------------------------------------------------- checks */

static struct series fresh_series(void)
{
	return (struct series){ .fd = open("/dev/null", O_WRONLY | O_CLOEXEC) };
}

/* "NAME=1" or "NAME=0" of each alert told in a round, sorted by nothing: one each here. */
static void round_tells(struct checks *c, int64_t now_ms, const char *want)
{
	struct buf b = { 0 }, text = { 0 };
	checks_round(c, now_ms, &b);
	Rctl__Agent__V1__AlertBatch *m =
		rpc_unpack(&rctl__agent__v1__alert_batch__descriptor, buf_str(&b));
	cr_assert(m);
	for (size_t i = 0; i < m->n_alerts; i++) {
		buf_addf(&text, "%s=%d;", m->alerts[i]->name, m->alerts[i]->firing);
		cr_assert_gt(m->alerts[i]->ref, 0);
		cr_assert_eq(m->alerts[i]->told_unix_ms, now_ms);
	}
	cr_expect_str_eq(buf_cstr(&text), want, "at %lld", (long long)now_ms);
	protobuf_c_message_free_unpacked(&m->base, NULL);
	buf_fini(&b);
	buf_fini(&text);
}

Test(agent_node, a_check_fires_after_its_occurrences_is_told_again_and_once_when_over)
{
	struct series series = fresh_series();
	struct checks c;
	const char *const labels[] = { "stream", "logs", NULL };
	const struct check_seen disk = { "Disk", NULL, "full", 2 },
				spool = { "Spool", labels, "loses", 0 };
	checks_init(&c, &series);
	checks_see(&c, &disk);
	round_tells(&c, 1000, "");
	round_tells(&c, 2000, ""); /* once is not twice */
	checks_see(&c, &disk);
	checks_see(&c, &disk); /* twice in a round counts once */
	round_tells(&c, 3000, "");
	checks_see(&c, &disk);
	round_tells(&c, 4000, "Disk=1;");
	cr_expect_eq(checks_firing(&c), 1);
	checks_see(&c, &disk);
	round_tells(&c, 5000, "");
	checks_see(&c, &disk);
	round_tells(&c, 4000 + CHECKS_REISSUE_MS, "Disk=1;");
	round_tells(&c, 70000, "Disk=0;");
	round_tells(&c, 80000, "");
	checks_see(&c, &spool);
	round_tells(&c, 90000, "Spool=1;");
	struct str key = series.defs[1].key, part;
	const char *const want[] = { "rctl_node_alert", "check", "Spool", "stream", "logs" };
	for (size_t i = 0; i < COUNT(want); i++)
		cr_expect(series_part(&key, &part) && str_is(part, want[i]));
	/* Not more than so many at a time. */
	for (int i = 0; i < CHECKS_MAX + 10; i++) {
		char name[32];
		snprintf(name, sizeof(name), "N%d", i);
		checks_see(&c, &(struct check_seen){ name, NULL, "x", 5 });
	}
	cr_expect_eq(c.not_begun, 11);
	checks_fini(&c);
	series_close(&series);
}

/* ------------------------------------------------------------------------------------ cgroups */

static void put(const char *dir, const char *file, const char *text)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	cr_assert_eq(file_write_atomic(path, str_of(text), 0644, &(struct error){ 0 }), 0);
}

static void expect(const char *dir, const char *file, const char *want)
{
	char path[512];
	struct buf b = { 0 };
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	cr_assert_eq(file_read(path, 4096, &b, &(struct error){ 0 }), 0, "%s", path);
	struct str line, rest = buf_str(&b);
	(void)str_split(&rest, '\n', &line);
	cr_expect(str_is(line, want), "%s: %.*s, not %s", file, STR_ARG(line), want);
	buf_fini(&b);
}

struct limit_case {
	const char *file, *before, *after;
};

static void limits_are_set_and_read(bool v2, const struct limit_case *t, size_t n)
{
	char root[] = "/tmp/test-cgroup-XXXXXX", dir[256];
	struct buf spec = { 0 }, refused = { 0 };
	struct cgroup_stats st;
	cr_assert(mkdtemp(root));
	snprintf(dir, sizeof(dir), "%s/u-1/c", root);
	cr_assert_eq(file_mkdirs(dir, 0755, &(struct error){ 0 }), 0);
	for (size_t i = 0; i < n; i++)
		put(dir, t[i].file, t[i].before);
	struct cgroups g = { .v2 = v2 };
	for (size_t i = 0; i < CG_CONTROLLERS; i++)
		g.root[i] = v2 && i != CG_MEMORY ? NULL : root;
	const struct cgroup_limits l = { 500, 1500, 64 << 20, 100 };
	cgroup_make(&g, "u-1", "c", &l, &spec, &refused);
	cr_expect_eq(refused.len, 0, "%s", buf_cstr(&refused));
	for (size_t i = 0; i < n; i++)
		expect(dir, t[i].file, t[i].after);
	cr_assert(cgroup_read(&g, "u-1", "c", &st));
	cr_expect(st.has_cpu && st.has_memory);
	cr_expect_eq(st.cpu_ns, 2500000000);
	cr_expect_eq(st.memory_bytes, 5000);
	cr_expect_eq(st.working_set_bytes, 4000);
	cr_expect_eq(st.cache_bytes, 3000);
	cr_expect_eq(st.oom_kills, 2);
	/* A kernel without the file: said, not fatal. */
	snprintf(dir, sizeof(dir), "%s/u-2/c", root);
	cr_assert_eq(file_mkdirs(dir, 0755, &(struct error){ 0 }), 0);
	cgroup_make(&g, "u-2", "c", &l, &spec, &refused);
	cr_expect(str_find_str(buf_str(&refused), STR("memory limit"), 0) >= 0);
	cr_expect(str_find_str(buf_str(&refused), STR("cpu limit"), 0) >= 0);
	cr_expect(str_find_str(buf_str(&refused), STR("pids limit"), 0) >= 0);
	buf_fini(&spec);
	buf_fini(&refused);
	cr_assert_eq(file_remove_tree(root, &(struct error){ 0 }), 0);
}

Test(agent_node, limits_and_use_are_those_of_cgroup_v1)
{
	static const struct limit_case t[] = {
		{ "memory.limit_in_bytes", "0", "67108864" },
		{ "cpu.shares", "0", "512" },
		{ "cpu.cfs_quota_us", "-1", "150000" },
		{ "pids.max", "max", "100" },
		{ "cpuacct.usage", "2500000000", "2500000000" },
		{ "memory.usage_in_bytes", "5000", "5000" },
		{ "memory.stat", "cache 1\ntotal_cache 3000\ntotal_inactive_file 1000\n",
		  "cache 1" },
		{ "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
		  "oom_kill_disable 0" },
		{ "freezer.state", "THAWED", "THAWED" },
	};
	limits_are_set_and_read(false, t, COUNT(t));
}

Test(agent_node, limits_and_use_are_those_of_cgroup_v2)
{
	static const struct limit_case t[] = {
		{ "memory.max", "max", "67108864" },
		{ "memory.oom.group", "0", "1" },
		{ "cpu.max", "max 100000", "150000 100000" },
		{ "cpu.weight", "0", "20" },
		{ "pids.max", "max", "100" },
		{ "cpu.stat", "usage_usec 2500000\nuser_usec 1\n", "usage_usec 2500000" },
		{ "memory.current", "5000", "5000" },
		{ "memory.stat", "anon 1\nfile 3000\ninactive_file 1000\n", "anon 1" },
		{ "memory.events", "low 0\noom 5\noom_kill 2\n", "low 0" },
	};
	limits_are_set_and_read(true, t, COUNT(t));
}

/* ------------------------------------------------------------------------------------- deltas */

static void batch_of(struct series *series, struct ref_set *before, unsigned round, struct buf *out)
{
	struct samples s;
	samples_init(&s, series);
	for (unsigned i = 0; i < 300; i++) {
		char name[16];
		double v = i % 3 == 0   ? (double)(1000 * i + round * i) / 100
			   : i % 3 == 1 ? (double)(i * 7)
					: (double)(i + round) / 3;
		if (i % 50 == 7 && round % 2)
			continue; /* comes and goes */
		if (i == 9 && round == 4)
			v = NAN;
		if (i == 12)
			v = round == 2 ? 0.125 : round == 3 ? 3 : 1e300;
		snprintf(name, sizeof(name), "m%u", i);
		samples_add(&s, SAMPLE_GAUGE, name, v, NULL);
	}
	samples_write(&s, 1000 * (int64_t)round, 1000, before, out);
	samples_fini(&s);
}

struct flat {
	double v[400];
	bool has[400];
	size_t stale;
	int64_t time_ms;
};

static void flatten(struct str batch, struct flat *f)
{
	memset(f, 0, sizeof(*f));
	Rctl__Agent__V1__MetricBatch *m =
		rpc_unpack(&rctl__agent__v1__metric_batch__descriptor, batch);
	cr_assert(m);
	for (size_t i = 0; i < m->n_groups; i++) {
		const Rctl__Agent__V1__SampleGroup *g = m->groups[i];
		uint32_t ref = 0;
		for (size_t k = 0; k < g->n_ref_delta; k++) {
			ref += g->ref_delta[k];
			f->has[ref] = true;
			f->v[ref] = g->n_mantissa ? (double)g->mantissa[k] / pow(10, g->scale)
						  : g->value[k];
		}
	}
	f->stale = m->n_stale;
	f->time_ms = m->time_unix_ms;
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

Test(agent_node, a_delta_stands_for_the_whole_batch)
{
	struct series series = fresh_series();
	struct ref_set before = { 0 };
	struct delta from = { 0 }, to = { 0 };
	static struct flat want, got;
	for (unsigned round = 1; round <= 6; round++) {
		struct buf whole = { 0 }, less = { 0 }, again = { 0 };
		batch_of(&series, &before, round, &whole);
		if (round == 1) {
			cr_assert_eq(delta_base(&from, round, buf_str(&whole), NULL), 0);
			cr_assert_eq(delta_base(&to, round, buf_str(&whole), NULL), 0);
		} else {
			cr_assert_eq(delta_write(&from, round, buf_str(&whole), &less, NULL), 0);
			cr_assert_eq(delta_read(&to, round, buf_str(&less), &again, NULL), 0);
			flatten(buf_str(&whole), &want);
			flatten(buf_str(&again), &got);
			cr_expect_eq(want.time_ms, got.time_ms);
			cr_expect_eq(want.stale, got.stale, "%zu %zu", want.stale, got.stale);
			for (size_t i = 0; i < COUNT(want.v); i++) {
				cr_expect_eq(want.has[i], got.has[i], "round %u, %zu", round, i);
				cr_expect(!want.has[i] || want.v[i] == got.v[i] ||
						  (isnan(want.v[i]) && isnan(got.v[i])),
					  "round %u, %zu: %.17g %.17g", round, i, want.v[i],
					  got.v[i]);
			}
			/* To another base it is refused, and changes nothing. */
			cr_expect_neq(delta_read(&to, round, buf_str(&less), &again, NULL), 0);
		}
		buf_fini(&whole);
		buf_fini(&less);
		buf_fini(&again);
	}
	delta_fini(&from);
	delta_fini(&to);
	mem_free(before.refs);
	series_close(&series);
}
