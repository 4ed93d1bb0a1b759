#include "nodemetrics_priv.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20, READ_BYTES = 4096 };

const struct node_roots node_roots_own = { "/proc", "/sys", "", "/run/udev/data" };

static const double user_hz = 100; /* USER_HZ: fixed by the kernel's ABI on all our machines */

/* Splits at blanks; returns how many fields there are, at most `cap`. */
size_t nm_fields(struct str line, struct str *f, size_t cap)
{
	size_t n = 0, i = 0;
	while (i < line.len && n < cap) {
		while (i < line.len && (line.p[i] == ' ' || line.p[i] == '\t'))
			i++;
		size_t from = i;
		while (i < line.len && line.p[i] != ' ' && line.p[i] != '\t')
			i++;
		if (i > from)
			f[n++] = str_sub(line, from, i);
	}
	return n;
}

double nm_number(struct str s)
{
	double v = 0, place = 1;
	bool fraction = false, minus = s.len && s.p[0] == '-';
	for (size_t i = minus; i < s.len; i++) {
		if (s.p[i] == '.' && !fraction) {
			fraction = true;
			continue;
		}
		if (!isdigit((unsigned char)s.p[i]))
			break;
		if (fraction) {
			place *= 10;
			v += (s.p[i] - '0') / place;
		} else {
			v = v * 10 + (s.p[i] - '0');
		}
	}
	return minus ? -v : v;
}

double nm_hex(struct str s)
{
	double v = 0;
	for (size_t i = 0; i < s.len && isxdigit((unsigned char)s.p[i]); i++) {
		int c = tolower((unsigned char)s.p[i]);
		v = v * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return v;
}

void nm_name(char *to, size_t cap, struct str s)
{
	snprintf(to, cap, "%.*s", STR_ARG(s));
}

/* ----------------------------------------------------------------------------------------- files */

/* Files of the kernel have no size: they are read until there is no more. */
void nodemetrics_read(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : 1;
	while (n > 0 && out->len < FILE_BYTES_MAX) {
		buf_reserve(out, READ_BYTES);
		n = read(fd, out->p + out->len, out->cap - out->len - 1);
		if (n > 0)
			out->len += (size_t)n;
	}
	if (n < 0)
		buf_clear(out);
	if (fd >= 0)
		close(fd);
}

static int kept_fd(struct nm *n, const char *name)
{
	struct nodemetrics *m = n->m;
	char path[NM_PATH_MAX];
	for (size_t i = 0; i < m->kept_len; i++) {
		if (m->kept[i].name == name)
			return m->kept[i].fd;
	}
	snprintf(path, sizeof(path), "%s/%s", n->roots->proc, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	assert(m->kept_len < NODEMETRICS_KEPT_MAX);
	m->kept[m->kept_len].name = name;
	m->kept[m->kept_len++].fd = fd; /* -1: not there, and not looked for again */
	return fd;
}

bool nm_kept(struct nm *n, const char *name)
{
	int fd = kept_fd(n, name);
	ssize_t k = fd < 0 ? 0 : 1;
	buf_clear(&n->b);
	while (k > 0 && n->b.len < FILE_BYTES_MAX) {
		buf_reserve(&n->b, READ_BYTES);
		size_t room = n->b.cap - n->b.len - 1;
		k = pread(fd, n->b.p + n->b.len, room, (off_t)n->b.len);
		if (k > 0)
			n->b.len += (size_t)k;
	}
	return n->b.len > 0;
}

bool nm_proc(struct nm *n, const char *name)
{
	char path[NM_PATH_MAX];
	buf_clear(&n->b);
	snprintf(path, sizeof(path), "%s/%s", n->roots->proc, name);
	nodemetrics_read(path, &n->b);
	return n->b.len > 0;
}

ATTR_PRINTF(2, 0) static void sys_read(struct nm *n, const char *fmt, va_list ap)
{
	char name[NM_PATH_MAX / 2], path[NM_PATH_MAX];
	buf_clear(&n->b);
	vsnprintf(name, sizeof(name), fmt, ap);
	snprintf(path, sizeof(path), "%s/%s", n->roots->sys, name);
	nodemetrics_read(path, &n->b);
}

bool nm_sys(struct nm *n, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	sys_read(n, fmt, ap);
	va_end(ap);
	return n->b.len > 0;
}

struct str nm_text(const struct nm *n)
{
	return str_trim(buf_str(&n->b));
}

void nm_sys_text(struct nm *n, char *to, size_t cap, const char *fmt, ...)
{
	struct str rest, line;
	va_list ap;
	va_start(ap, fmt);
	sys_read(n, fmt, ap);
	va_end(ap);
	rest = nm_text(n);
	to[0] = '\0';
	if (rest.len && str_split(&rest, '\n', &line))
		nm_name(to, cap, str_trim(line));
}

void nm_sys_dir(struct nm *n, const char *name, const char *prefix,
		void (*fn)(struct nm *n, const char *entry, void *arg), void *arg)
{
	char path[NM_PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", n->roots->sys, name);
	DIR *d = opendir(path);
	struct dirent *e;
	for (size_t i = 0; d && i < NM_DIR_MAX && (e = readdir(d));) {
		if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		i++;
		fn(n, e->d_name, arg);
	}
	if (d)
		closedir(d);
}

/* ---------------------------------------------------------------------------------------- /proc */

static void stat_cpu(struct samples *s, const struct str *f, size_t n)
{
	static const char *const modes[] = { "user",   "nice", "system",  "idle",
					     "iowait", "irq",  "softirq", "steal" };
	char cpu[16];
	nm_name(cpu, sizeof(cpu), str_sub(f[0], 3, f[0].len));
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]) && i + 1 < n; i++)
		samples_put(s, SAMPLE_COUNTER, "node_cpu_seconds_total",
			    nm_number(f[i + 1]) / user_hz, "cpu", cpu, "mode", modes[i], NULL);
	for (size_t i = 0; i < 2 && i + 9 < n; i++)
		samples_put(s, SAMPLE_COUNTER, "node_cpu_guest_seconds_total",
			    nm_number(f[i + 9]) / user_hz, "cpu", cpu, "mode", i ? "nice" : "user",
			    NULL);
}

void nodemetrics_stat(struct samples *s, struct str text)
{
	static const struct {
		const char *key, *metric;
		int type;
	} plain[] = { { "btime", "node_boot_time_seconds", SAMPLE_GAUGE },
		      { "ctxt", "node_context_switches_total", SAMPLE_COUNTER },
		      { "processes", "node_forks_total", SAMPLE_COUNTER },
		      { "intr", "node_intr_total", SAMPLE_COUNTER },
		      { "procs_running", "node_procs_running", SAMPLE_GAUGE },
		      { "procs_blocked", "node_procs_blocked", SAMPLE_GAUGE } };
	struct str line, f[NM_FIELDS_MAX];
	while (text.len && str_split(&text, '\n', &line)) {
		size_t n = nm_fields(line, f, 12);
		if (n < 2)
			continue;
		if (str_starts(f[0], STR("cpu")) && f[0].len > 3)
			stat_cpu(s, f, n);
		for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
			if (str_is(f[0], plain[i].key))
				samples_add(s, plain[i].type, plain[i].metric, nm_number(f[1]),
					    NULL);
		}
	}
}

void nodemetrics_meminfo(struct samples *s, struct str text)
{
	struct str line, key, f[3];
	while (text.len && str_split(&text, '\n', &line)) {
		char name[96] = "node_memory_";
		size_t at = strlen(name);
		if (!str_split(&line, ':', &key) || key.len > 48)
			continue;
		size_t n = nm_fields(line, f, 3);
		/* "Active(anon)" is called Active_anon */
		for (size_t i = 0; i < key.len; i++) {
			if (key.p[i] != ')')
				name[at++] = key.p[i] == '(' ? '_' : key.p[i];
		}
		bool kib = n > 1 && str_is(f[1], "kB");
		snprintf(name + at, sizeof(name) - at, "%s", kib ? "_bytes" : "");
		if (n)
			samples_add(s, SAMPLE_GAUGE, name, nm_number(f[0]) * (kib ? 1024 : 1),
				    NULL);
	}
}

void nodemetrics_loadavg(struct samples *s, struct str text)
{
	static const char *const names[] = { "node_load1", "node_load5", "node_load15" };
	struct str f[3];
	if (nm_fields(text, f, 3) < 3)
		return;
	for (size_t i = 0; i < 3; i++)
		samples_add(s, SAMPLE_GAUGE, names[i], nm_number(f[i]), NULL);
}

/* node_exporter's default --collector.diskstats.device-exclude. */
bool nodemetrics_no_disk(struct str d)
{
	size_t digits = 0;
	while (digits < d.len && isdigit((unsigned char)d.p[d.len - 1 - digits]))
		digits++;
	if (!digits)
		return false;
	struct str stem = str_sub(d, 0, d.len - digits);
	if (str_is(stem, "ram") || str_is(stem, "loop") || str_is(stem, "fd"))
		return true;
	size_t n = stem.len;
	if (str_starts(d, STR("nvme")) && n > 5 && stem.p[n - 1] == 'p' &&
	    str_find(stem, 'n', 4) > 4)
		return true;
	bool letter =
		n >= 3 && stem.p[n - 1] >= 'a' && stem.p[n - 1] <= 'z' && stem.p[n - 2] == 'd';
	struct str kind = letter ? str_sub(stem, 0, n - 2) : STR_NONE;
	return str_is(kind, "h") || str_is(kind, "s") || str_is(kind, "v") || str_is(kind, "xv");
}

void nodemetrics_diskstats(struct samples *s, struct str text)
{
	static const struct {
		const char *metric;
		double unit;
		int type;
	} t[] = { { "reads_completed_total", 1, SAMPLE_COUNTER },
		  { "reads_merged_total", 1, SAMPLE_COUNTER },
		  { "read_bytes_total", 512, SAMPLE_COUNTER },
		  { "read_time_seconds_total", .001, SAMPLE_COUNTER },
		  { "writes_completed_total", 1, SAMPLE_COUNTER },
		  { "writes_merged_total", 1, SAMPLE_COUNTER },
		  { "written_bytes_total", 512, SAMPLE_COUNTER },
		  { "write_time_seconds_total", .001, SAMPLE_COUNTER },
		  { "io_now", 1, SAMPLE_GAUGE },
		  { "io_time_seconds_total", .001, SAMPLE_COUNTER },
		  { "io_time_weighted_seconds_total", .001, SAMPLE_COUNTER },
		  { "discards_completed_total", 1, SAMPLE_COUNTER },
		  { "discards_merged_total", 1, SAMPLE_COUNTER },
		  { "discarded_sectors_total", 1, SAMPLE_COUNTER },
		  { "discard_time_seconds_total", .001, SAMPLE_COUNTER },
		  { "flush_requests_total", 1, SAMPLE_COUNTER },
		  { "flush_requests_time_seconds_total", .001, SAMPLE_COUNTER } };
	struct str line, f[NM_FIELDS_MAX];
	while (text.len && str_split(&text, '\n', &line)) {
		char device[64], name[96];
		size_t n = nm_fields(line, f, NM_FIELDS_MAX);
		if (n < 14 || nodemetrics_no_disk(f[2]))
			continue;
		nm_name(device, sizeof(device), f[2]);
		for (size_t i = 0; i < sizeof(t) / sizeof(t[0]) && i + 3 < n; i++) {
			double v = nm_number(f[i + 3]);
			snprintf(name, sizeof(name), "node_disk_%s", t[i].metric);
			samples_put(s, t[i].type, name,
				    t[i].unit == .001 ? v / 1000 : v * t[i].unit, "device", device,
				    NULL);
		}
	}
}

void nodemetrics_vmstat(struct samples *s, struct str text)
{
	struct str line, f[2];
	while (text.len && str_split(&text, '\n', &line)) {
		char name[96];
		if (nm_fields(line, f, 2) < 2)
			continue;
		/* node_exporter's default --collector.vmstat.fields */
		bool fault =
			str_starts(f[0], STR("pg")) && str_find_str(f[0], STR("fault"), 2) >= 0;
		if (!fault && !str_starts(f[0], STR("oom_kill")) &&
		    !str_starts(f[0], STR("pgpg")) && !str_starts(f[0], STR("pswp")))
			continue;
		snprintf(name, sizeof(name), "node_vmstat_%.*s", STR_ARG(f[0]));
		samples_add(s, SAMPLE_COUNTER, name, nm_number(f[1]), NULL);
	}
}

void nodemetrics_pressure(struct samples *s, const char *what, struct str text)
{
	struct str line, f[8];
	while (text.len && str_split(&text, '\n', &line)) {
		char name[96];
		if (nm_fields(line, f, 8) < 5 || !str_starts(f[4], STR("total=")))
			continue;
		bool some = str_is(f[0], "some");
		if (!some && strcmp(what, "cpu") == 0)
			continue;
		snprintf(name, sizeof(name), "node_pressure_%s_%s_seconds_total", what,
			 some ? "waiting" : "stalled");
		samples_add(s, SAMPLE_COUNTER, name, nm_number(str_sub(f[4], 6, f[4].len)) / 1e6,
			    NULL);
	}
}

/* ------------------------------------------------------------------------------------- collecting */

static void filefd(struct samples *s, struct str text)
{
	struct str f[3];
	if (nm_fields(str_trim(text), f, 3) == 3) {
		samples_add(s, SAMPLE_GAUGE, "node_filefd_allocated", nm_number(f[0]), NULL);
		samples_add(s, SAMPLE_GAUGE, "node_filefd_maximum", nm_number(f[2]), NULL);
	}
}

static void plain_files(struct nm *n)
{
	static const struct {
		const char *file;
		void (*fn)(struct samples *s, struct str text);
	} t[] = { { "stat", nodemetrics_stat },       { "meminfo", nodemetrics_meminfo },
		  { "loadavg", nodemetrics_loadavg }, { "diskstats", nodemetrics_diskstats },
		  { "vmstat", nodemetrics_vmstat },   { "sys/fs/file-nr", filefd } };
	static const char *const pressures[][2] = { { "cpu", "pressure/cpu" },
						    { "io", "pressure/io" },
						    { "memory", "pressure/memory" } };
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (nm_kept(n, t[i].file))
			t[i].fn(n->s, buf_str(&n->b));
	}
	for (size_t i = 0; i < 3; i++) {
		if (nm_kept(n, pressures[i][1]))
			nodemetrics_pressure(n->s, pressures[i][0], buf_str(&n->b));
	}
}

void nodemetrics_init(struct nodemetrics *m, const struct node_roots *roots, struct series *series)
{
	memset(m, 0, sizeof(*m));
	m->roots = roots;
	samples_init(&m->slow, series);
}

void nodemetrics_fini(struct nodemetrics *m)
{
	for (size_t i = 0; i < m->kept_len; i++) {
		if (m->kept[i].fd >= 0)
			close(m->kept[i].fd);
	}
	samples_fini(&m->slow);
	buf_fini(&m->text);
}

void nodemetrics_collect(struct nodemetrics *m, struct samples *s, uint64_t now_ms)
{
	struct nm n = { .s = s, .roots = m->roots, .m = m, .b = m->text };
	if (!m->slow_ms || now_ms - m->slow_ms >= NODEMETRICS_SLOW_MS) {
		m->slow_ms = now_ms ? now_ms : 1;
		samples_clear(&m->slow);
		n.s = &m->slow;
		nm_network_slow(&n);
		nm_system_slow(&n);
		nm_disks_slow(&n);
		n.s = s;
	}
	plain_files(&n);
	nm_network(&n);
	nm_system(&n);
	nm_filesystems(&n);
	samples_copy(s, &m->slow);
	m->text = n.b;
}

void nodemetrics_container(struct samples *s, const struct podmgr_ctr_view *v)
{
	char container[64], ns[64], pod[256], uid[64];
	nm_name(container, sizeof(container), v->ctr->name);
	nm_name(ns, sizeof(ns), v->pod->ns);
	nm_name(pod, sizeof(pod), v->pod->name);
	nm_name(uid, sizeof(uid), v->pod->uid);
	const char *const labels[] = { "container", container, "namespace", ns, "pod", pod, NULL };
	const char *const with_uid[] = { "container", container, "namespace", ns,  "pod",
					 pod,         "uid",     uid,         NULL };
	samples_add(s, SAMPLE_COUNTER, "kube_pod_container_status_restarts_total", v->restarts,
		    with_uid);
	samples_add(s, SAMPLE_GAUGE, "kube_pod_container_status_running", v->running ? 1 : 0,
		    with_uid);
	if (!v->running)
		return;
	samples_add(s, SAMPLE_GAUGE, "container_start_time_seconds",
		    (double)(v->started_ns / 1000000) / 1000, labels);
	if (v->has_stats && v->stats.has_cpu)
		samples_add(s, SAMPLE_COUNTER, "container_cpu_usage_seconds_total",
			    (double)(v->stats.cpu_ns / 1000) / 1e6, labels);
	if (v->has_stats && v->stats.has_memory) {
		samples_add(s, SAMPLE_GAUGE, "container_memory_usage_bytes",
			    (double)v->stats.memory_bytes, labels);
		samples_add(s, SAMPLE_GAUGE, "container_memory_working_set_bytes",
			    (double)v->stats.working_set_bytes, labels);
		samples_add(s, SAMPLE_GAUGE, "container_memory_cache", (double)v->stats.cache_bytes,
			    labels);
		samples_add(s, SAMPLE_COUNTER, "container_oom_events_total",
			    (double)v->stats.oom_kills, labels);
	}
	if (v->ctr->memory_limit)
		samples_add(s, SAMPLE_GAUGE, "container_spec_memory_limit_bytes",
			    (double)v->ctr->memory_limit, labels);
}
