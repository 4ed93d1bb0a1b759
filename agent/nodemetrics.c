#include "nodemetrics.h"

#include "sys/clock.h"
#include "sys/file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20, FIELDS_MAX = 32, MOUNTS_MAX = 128 };

static const double user_hz = 100; /* USER_HZ: fixed by the kernel's ABI on all our machines */

/* Splits at blanks; returns how many fields there are, at most `cap`. */
static size_t fields(struct str line, struct str *f, size_t cap)
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

static double number(struct str s)
{
	double v = 0, place = 1;
	bool fraction = false;
	for (size_t i = 0; i < s.len; i++) {
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
	return v;
}

static void name_of(char *to, size_t cap, struct str s)
{
	snprintf(to, cap, "%.*s", STR_ARG(s));
}

/* ---------------------------------------------------------------------------------------- /proc */

static void stat_cpu(struct samples *s, const struct str *f, size_t n)
{
	static const char *const modes[] = { "user",   "nice", "system",  "idle",
					     "iowait", "irq",  "softirq", "steal" };
	char cpu[16];
	name_of(cpu, sizeof(cpu), str_sub(f[0], 3, f[0].len));
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]) && i + 1 < n; i++)
		samples_put(s, SAMPLE_COUNTER, "node_cpu_seconds_total", number(f[i + 1]) / user_hz,
			    "cpu", cpu, "mode", modes[i], NULL);
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
	struct str line, f[FIELDS_MAX];
	while (text.len && str_split(&text, '\n', &line)) {
		size_t n = fields(line, f, 12);
		if (n < 2)
			continue;
		if (str_starts(f[0], STR("cpu")) && f[0].len > 3)
			stat_cpu(s, f, n);
		for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
			if (str_is(f[0], plain[i].key))
				samples_add(s, plain[i].type, plain[i].metric, number(f[1]), NULL);
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
		size_t n = fields(line, f, 3);
		/* "Active(anon)" is called Active_anon */
		for (size_t i = 0; i < key.len; i++) {
			if (key.p[i] != ')')
				name[at++] = key.p[i] == '(' ? '_' : key.p[i];
		}
		bool kib = n > 1 && str_is(f[1], "kB");
		snprintf(name + at, sizeof(name) - at, "%s", kib ? "_bytes" : "");
		if (n)
			samples_add(s, SAMPLE_GAUGE, name, number(f[0]) * (kib ? 1024 : 1), NULL);
	}
}

void nodemetrics_loadavg(struct samples *s, struct str text)
{
	static const char *const names[] = { "node_load1", "node_load5", "node_load15" };
	struct str f[3];
	if (fields(text, f, 3) < 3)
		return;
	for (size_t i = 0; i < 3; i++)
		samples_add(s, SAMPLE_GAUGE, names[i], number(f[i]), NULL);
}

void nodemetrics_diskstats(struct samples *s, struct str text)
{
	static const struct {
		size_t field;
		const char *metric;
		double unit;
		int type;
	} t[] = { { 3, "node_disk_reads_completed_total", 1, SAMPLE_COUNTER },
		  { 5, "node_disk_read_bytes_total", 512, SAMPLE_COUNTER },
		  { 6, "node_disk_read_time_seconds_total", .001, SAMPLE_COUNTER },
		  { 7, "node_disk_writes_completed_total", 1, SAMPLE_COUNTER },
		  { 9, "node_disk_written_bytes_total", 512, SAMPLE_COUNTER },
		  { 10, "node_disk_write_time_seconds_total", .001, SAMPLE_COUNTER },
		  { 11, "node_disk_io_now", 1, SAMPLE_GAUGE },
		  { 12, "node_disk_io_time_seconds_total", .001, SAMPLE_COUNTER } };
	struct str line, f[FIELDS_MAX];
	while (text.len && str_split(&text, '\n', &line)) {
		char device[64];
		if (fields(line, f, FIELDS_MAX) < 14 || str_starts(f[2], STR("ram")) ||
		    str_starts(f[2], STR("loop")))
			continue;
		name_of(device, sizeof(device), f[2]);
		for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
			double v = number(f[t[i].field]);
			samples_put(s, t[i].type, t[i].metric,
				    t[i].unit == .001 ? v / 1000 : v * t[i].unit, "device", device,
				    NULL);
		}
	}
}

void nodemetrics_netdev(struct samples *s, struct str text)
{
	static const struct {
		size_t field;
		const char *metric;
	} t[] = { { 0, "node_network_receive_bytes_total" },
		  { 1, "node_network_receive_packets_total" },
		  { 2, "node_network_receive_errs_total" },
		  { 3, "node_network_receive_drop_total" },
		  { 8, "node_network_transmit_bytes_total" },
		  { 9, "node_network_transmit_packets_total" },
		  { 10, "node_network_transmit_errs_total" },
		  { 11, "node_network_transmit_drop_total" } };
	struct str line, dev, f[FIELDS_MAX];
	while (text.len && str_split(&text, '\n', &line)) {
		char device[64];
		if (str_find(line, ':', 0) < 0 || !str_split(&line, ':', &dev) ||
		    fields(line, f, FIELDS_MAX) < 16)
			continue;
		name_of(device, sizeof(device), str_trim(dev));
		for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
			samples_put(s, SAMPLE_COUNTER, t[i].metric, number(f[t[i].field]), "device",
				    device, NULL);
	}
}

void nodemetrics_vmstat(struct samples *s, struct str text)
{
	static const char *const keys[] = { "oom_kill", "pgfault", "pgmajfault", "pgpgin",
					    "pgpgout",  "pswpin",  "pswpout" };
	struct str line, f[2];
	while (text.len && str_split(&text, '\n', &line)) {
		if (fields(line, f, 2) < 2)
			continue;
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
			char name[64];
			if (!str_is(f[0], keys[i]))
				continue;
			snprintf(name, sizeof(name), "node_vmstat_%s", keys[i]);
			samples_add(s, SAMPLE_COUNTER, name, number(f[1]), NULL);
		}
	}
}

void nodemetrics_pressure(struct samples *s, const char *what, struct str text)
{
	struct str line, f[8];
	while (text.len && str_split(&text, '\n', &line)) {
		char name[96];
		if (fields(line, f, 8) < 5 || !str_starts(f[4], STR("total=")))
			continue;
		bool some = str_is(f[0], "some");
		if (!some && strcmp(what, "cpu") == 0)
			continue;
		snprintf(name, sizeof(name), "node_pressure_%s_%s_seconds_total", what,
			 some ? "waiting" : "stalled");
		samples_add(s, SAMPLE_COUNTER, name, number(str_sub(f[4], 6, f[4].len)) / 1e6,
			    NULL);
	}
}

/* ------------------------------------------------------------------------------------- collecting */

static void from_file(struct samples *s, const char *path, void (*fn)(struct samples *, struct str))
{
	struct buf b = { 0 };
	if (file_read(path, FILE_BYTES_MAX, &b, NULL) == 0)
		fn(s, buf_str(&b));
	buf_fini(&b);
}

/* File systems on disks; one that may hang (network, FUSE) is never asked. */
static bool is_local_disk(struct str type)
{
	static const char *const types[] = { "ext2", "ext3", "ext4",    "xfs",   "btrfs",   "zfs",
					     "f2fs", "vfat", "overlay", "tmpfs", "bcachefs" };
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (str_is(type, types[i]))
			return true;
	}
	return false;
}

static void filesystem(struct samples *s, const struct str *f)
{
	char device[256], fstype[32], mount[512];
	struct statvfs v;
	name_of(device, sizeof(device), f[0]);
	name_of(mount, sizeof(mount), f[1]);
	name_of(fstype, sizeof(fstype), f[2]);
	if (statvfs(mount, &v) != 0 || v.f_blocks == 0)
		return;
	const char *const labels[] = {
		"device", device, "fstype", fstype, "mountpoint", mount, NULL
	};
	double unit = (double)v.f_frsize;
	samples_add(s, SAMPLE_GAUGE, "node_filesystem_size_bytes", (double)v.f_blocks * unit,
		    labels);
	samples_add(s, SAMPLE_GAUGE, "node_filesystem_free_bytes", (double)v.f_bfree * unit,
		    labels);
	samples_add(s, SAMPLE_GAUGE, "node_filesystem_avail_bytes", (double)v.f_bavail * unit,
		    labels);
	samples_add(s, SAMPLE_GAUGE, "node_filesystem_files", (double)v.f_files, labels);
	samples_add(s, SAMPLE_GAUGE, "node_filesystem_files_free", (double)v.f_ffree, labels);
	samples_add(s, SAMPLE_GAUGE, "node_filesystem_readonly", v.f_flag & ST_RDONLY ? 1 : 0,
		    labels);
}

static void filesystems(struct samples *s, struct str text)
{
	struct str line, f[6];
	size_t n = 0;
	while (text.len && str_split(&text, '\n', &line) && n < MOUNTS_MAX) {
		if (fields(line, f, 6) < 4 || !is_local_disk(f[2]))
			continue;
		n++;
		filesystem(s, f);
	}
}

static void filefd(struct samples *s, struct str text)
{
	struct str f[3];
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '\n')
			text.len = i;
	}
	if (fields(text, f, 3) == 3) {
		samples_add(s, SAMPLE_GAUGE, "node_filefd_allocated", number(f[0]), NULL);
		samples_add(s, SAMPLE_GAUGE, "node_filefd_maximum", number(f[2]), NULL);
	}
}

void nodemetrics_collect(struct samples *s)
{
	static const char *const pressures[] = { "cpu", "io", "memory" };
	struct utsname u;
	from_file(s, "/proc/stat", nodemetrics_stat);
	from_file(s, "/proc/meminfo", nodemetrics_meminfo);
	from_file(s, "/proc/loadavg", nodemetrics_loadavg);
	from_file(s, "/proc/diskstats", nodemetrics_diskstats);
	from_file(s, "/proc/net/dev", nodemetrics_netdev);
	from_file(s, "/proc/vmstat", nodemetrics_vmstat);
	from_file(s, "/proc/sys/fs/file-nr", filefd);
	from_file(s, "/proc/self/mounts", filesystems);
	for (size_t i = 0; i < 3; i++) {
		char path[64];
		struct buf b = { 0 };
		snprintf(path, sizeof(path), "/proc/pressure/%s", pressures[i]);
		if (file_read(path, 4096, &b, NULL) == 0)
			nodemetrics_pressure(s, pressures[i], buf_str(&b));
		buf_fini(&b);
	}
	if (uname(&u) == 0)
		samples_put(s, SAMPLE_GAUGE, "node_uname_info", 1, "domainname", u.domainname,
			    "machine", u.machine, "nodename", u.nodename, "release", u.release,
			    "sysname", u.sysname, "version", u.version, NULL);
	samples_add(s, SAMPLE_GAUGE, "node_time_seconds", (double)clock_unix_ms() / 1000, NULL);
	samples_add(s, SAMPLE_GAUGE, "machine_cpu_cores", (double)sysconf(_SC_NPROCESSORS_ONLN),
		    NULL);
}

void nodemetrics_container(struct samples *s, const struct podmgr_ctr_view *v)
{
	char container[64], ns[64], pod[256], uid[64];
	name_of(container, sizeof(container), v->ctr->name);
	name_of(ns, sizeof(ns), v->pod->ns);
	name_of(pod, sizeof(pod), v->pod->name);
	name_of(uid, sizeof(uid), v->pod->uid);
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
