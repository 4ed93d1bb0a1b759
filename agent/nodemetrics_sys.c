/* The machine: cpufreq, dmi, edac, entropy, hwmon, os, schedstat, selinux, thermal_zone, time, timex, uname. */
#include "nodemetrics_priv.h"
#include "sys/clock.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ------------------------------------------------------------------------------------------ time */

static void timex(struct nm *n)
{
	struct timex t = { .modes = 0 };
	int rc = adjtimex(&t);
	if (rc < 0)
		return;
	double unit = t.status & STA_NANO ? 1e9 : 1e6;
	double ppm = 65536e6, ppm16 = 65536; /* scaled by 2^16 */
	const struct {
		const char *name;
		int type;
		double v;
	} list[] = {
		{ "node_timex_sync_status", SAMPLE_GAUGE, rc == TIME_ERROR ? 0 : 1 },
		{ "node_timex_offset_seconds", SAMPLE_GAUGE, (double)t.offset / unit },
		{ "node_timex_frequency_adjustment_ratio", SAMPLE_GAUGE, 1 + (double)t.freq / ppm },
		{ "node_timex_maxerror_seconds", SAMPLE_GAUGE, (double)t.maxerror / 1e6 },
		{ "node_timex_estimated_error_seconds", SAMPLE_GAUGE, (double)t.esterror / 1e6 },
		{ "node_timex_status", SAMPLE_GAUGE, t.status },
		{ "node_timex_loop_time_constant", SAMPLE_GAUGE, (double)t.constant },
		{ "node_timex_tick_seconds", SAMPLE_GAUGE, (double)t.tick / 1e6 },
		{ "node_timex_pps_frequency_hertz", SAMPLE_GAUGE, (double)t.ppsfreq / ppm16 },
		{ "node_timex_pps_jitter_seconds", SAMPLE_GAUGE, (double)t.jitter / unit },
		{ "node_timex_pps_shift_seconds", SAMPLE_GAUGE, t.shift },
		{ "node_timex_pps_stability_hertz", SAMPLE_GAUGE, (double)t.stabil / ppm16 },
		{ "node_timex_pps_jitter_total", SAMPLE_COUNTER, (double)t.jitcnt },
		{ "node_timex_pps_calibration_total", SAMPLE_COUNTER, (double)t.calcnt },
		{ "node_timex_pps_error_total", SAMPLE_COUNTER, (double)t.errcnt },
		{ "node_timex_pps_stability_exceeded_total", SAMPLE_COUNTER, (double)t.stbcnt },
		{ "node_timex_tai_offset_seconds", SAMPLE_GAUGE, t.tai },
	};
	for (size_t i = 0; i < COUNT(list); i++)
		samples_add(n->s, list[i].type, list[i].name, list[i].v, NULL);
}

static void time_zone(struct nm *n, int64_t now_ms)
{
	time_t now = (time_t)(now_ms / 1000);
	struct tm tm;
	if (!localtime_r(&now, &tm))
		return;
	nm_put(n, SAMPLE_GAUGE, "node_time_zone_offset_seconds", (double)tm.tm_gmtoff, "time_zone",
	       tm.tm_zone, NULL);
}

static void clocksource(struct nm *n, const char *entry, void *arg)
{
	const char *number = entry + strlen("clocksource");
	struct str rest, one;
	char name[64];
	(void)arg;
	if (nm_sys(n, "devices/system/clocksource/%s/available_clocksource", entry)) {
		rest = nm_text(n);
		while (rest.len && str_split(&rest, ' ', &one)) {
			nm_name(name, sizeof(name), one);
			nm_put(n, SAMPLE_GAUGE, "node_time_clocksource_available_info", 1,
			       "clocksource", name, "device", number, NULL);
		}
	}
	nm_sys_text(n, name, sizeof(name), "devices/system/clocksource/%s/current_clocksource",
		    entry);
	if (name[0])
		nm_put(n, SAMPLE_GAUGE, "node_time_clocksource_current_info", 1, "clocksource",
		       name, "device", number, NULL);
}

/* ------------------------------------------------------------------------------------------- cpu */

/* arg: bits of the packages that were told, by number */
static void cpu(struct nm *n, const char *entry, void *arg)
{
	static const struct {
		const char *file, *metric;
	} t[] = { { "cpuinfo_cur_freq", "node_cpu_frequency_hertz" },
		  { "cpuinfo_min_freq", "node_cpu_frequency_min_hertz" },
		  { "cpuinfo_max_freq", "node_cpu_frequency_max_hertz" },
		  { "scaling_cur_freq", "node_cpu_scaling_frequency_hertz" },
		  { "scaling_min_freq", "node_cpu_scaling_frequency_min_hertz" },
		  { "scaling_max_freq", "node_cpu_scaling_frequency_max_hertz" } };
	const char *number = entry + 3;
	char core[16], package[16];
	uint64_t *told = arg;
	if (!isdigit((unsigned char)number[0]))
		return;
	for (size_t i = 0; i < COUNT(t); i++) {
		if (nm_sys(n, "devices/system/cpu/%s/cpufreq/%s", entry, t[i].file))
			nm_put(n, SAMPLE_GAUGE, t[i].metric, nm_number(nm_text(n)) * 1000, "cpu",
			       number, NULL);
	}
	nm_sys_text(n, core, sizeof(core), "devices/system/cpu/%s/topology/core_id", entry);
	nm_sys_text(n, package, sizeof(package),
		    "devices/system/cpu/%s/topology/physical_package_id", entry);
	if (core[0] &&
	    nm_sys(n, "devices/system/cpu/%s/thermal_throttle/core_throttle_count", entry))
		nm_put(n, SAMPLE_COUNTER, "node_cpu_core_throttles_total", nm_number(nm_text(n)),
		       "core", core, "package", package, NULL);
	uint64_t bit = 1ULL << ((unsigned)nm_number(str_of(package)) & 63);
	if (package[0] && !(*told & bit) &&
	    nm_sys(n, "devices/system/cpu/%s/thermal_throttle/package_throttle_count", entry)) {
		*told |= bit;
		nm_put(n, SAMPLE_COUNTER, "node_cpu_package_throttles_total", nm_number(nm_text(n)),
		       "package", package, NULL);
	}
}

void nodemetrics_schedstat(struct samples *s, struct str text)
{
	struct str line, f[NM_FIELDS_MAX];
	while (text.len && str_split(&text, '\n', &line)) {
		char number[16];
		if (!str_starts(line, STR("cpu")) || nm_fields(line, f, NM_FIELDS_MAX) < 10)
			continue;
		nm_name(number, sizeof(number), str_sub(f[0], 3, f[0].len));
		samples_put(s, SAMPLE_COUNTER, "node_schedstat_running_seconds_total",
			    nm_number(f[7]) / 1e9, "cpu", number, NULL);
		samples_put(s, SAMPLE_COUNTER, "node_schedstat_waiting_seconds_total",
			    nm_number(f[8]) / 1e9, "cpu", number, NULL);
		samples_put(s, SAMPLE_COUNTER, "node_schedstat_timeslices_total", nm_number(f[9]),
			    "cpu", number, NULL);
	}
}

/* --------------------------------------------------------------------------------------- sensors */

static void thermal(struct nm *n, const char *entry, void *arg)
{
	char type[64];
	(void)arg;
	nm_sys_text(n, type, sizeof(type), "class/thermal/%s/type", entry);
	if (strncmp(entry, "thermal_zone", 12) == 0 && nm_sys(n, "class/thermal/%s/temp", entry))
		nm_put(n, SAMPLE_GAUGE, "node_thermal_zone_temp", nm_number(nm_text(n)) / 1000,
		       "type", type, "zone", entry + 12, NULL);
	if (strncmp(entry, "cooling_device", 14) != 0)
		return;
	if (nm_sys(n, "class/thermal/%s/cur_state", entry))
		nm_put(n, SAMPLE_GAUGE, "node_cooling_device_cur_state", nm_number(nm_text(n)),
		       "name", entry + 14, "type", type, NULL);
	if (nm_sys(n, "class/thermal/%s/max_state", entry))
		nm_put(n, SAMPLE_GAUGE, "node_cooling_device_max_state", nm_number(nm_text(n)),
		       "name", entry + 14, "type", type, NULL);
}

/* As node_exporter makes names of devices: lower case, everything strange becomes '_'. */
static void clean(char *to, size_t cap, const char *from)
{
	size_t n = 0;
	for (; *from && n + 1 < cap; from++) {
		char c = (char)tolower((unsigned char)*from);
		bool plain =
			(c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ':' || c == '_';
		if (plain || n)
			to[n++] = plain ? c : '_';
	}
	while (n && to[n - 1] == '_')
		n--;
	to[n] = '\0';
}

static void chip_name(struct nm *n, const char *entry, char *to, size_t cap)
{
	char link[NM_PATH_MAX], real[PATH_MAX], name[128] = "", type[128] = "";
	snprintf(link, sizeof(link), "%s/class/hwmon/%s/device", n->roots->sys, entry);
	if (realpath(link, real)) {
		char *slash = strrchr(real, '/');
		clean(name, sizeof(name), slash ? slash + 1 : "");
		if (slash)
			*slash = '\0';
		slash = strrchr(real, '/');
		clean(type, sizeof(type), slash ? slash + 1 : "");
	}
	if (name[0] && type[0]) {
		snprintf(to, cap, "%s_%s", type, name);
	} else if (name[0]) {
		snprintf(to, cap, "%s", name);
	} else {
		nm_sys_text(n, name, sizeof(name), "class/hwmon/%s/name", entry);
		clean(to, cap, name[0] ? name : entry);
	}
}

struct chip {
	const char *entry;
	char name[260];
};

static void sensor(struct nm *n, const char *file, void *arg)
{
	static const struct {
		const char *type, *unit;
		double scale;
	} t[] = { { "in", "_volts", .001 },          { "fan", "_rpm", 1 },
		  { "temp", "_celsius", .001 },      { "curr", "_amps", .001 },
		  { "power", "_watt", 1e-6 },        { "humidity", "", 1e-6 },
		  { "energy", "_joule_total", 1e-6 } };
	const struct chip *c = arg;
	char type[32], name[64], metric[160], label[128];
	size_t letters = strcspn(file, "0123456789"), digits = strspn(file + letters, "0123456789");
	const char *property = file + letters + digits;
	if (!digits || letters >= sizeof(type) || property[0] != '_')
		return;
	snprintf(type, sizeof(type), "%.*s", (int)letters, file);
	snprintf(name, sizeof(name), "%.*s", (int)(letters + digits), file);
	for (size_t i = 0; i < COUNT(t); i++) {
		if (strcmp(type, t[i].type) != 0)
			continue;
		if (strcmp(property, "_label") == 0) {
			nm_sys_text(n, label, sizeof(label), "class/hwmon/%s/%s", c->entry, file);
			nm_put(n, SAMPLE_GAUGE, "node_hwmon_sensor_label", 1, "chip", c->name,
			       "label", label, "sensor", name, NULL);
			return;
		}
		if (!nm_sys(n, "class/hwmon/%s/%s", c->entry, file))
			return;
		bool flag = strcmp(property, "_alarm") == 0 || strcmp(property, "_fault") == 0 ||
			    strcmp(property, "_type") == 0;
		bool input = strcmp(property, "_input") == 0;
		snprintf(metric, sizeof(metric), "node_hwmon_%s%s%s", type, input ? "" : property,
			 flag ? "" : t[i].unit);
		nm_put(n, SAMPLE_GAUGE, metric, nm_number(nm_text(n)) * (flag ? 1 : t[i].scale),
		       "chip", c->name, "sensor", name, NULL);
	}
}

static void hwmon(struct nm *n, const char *entry, void *arg)
{
	struct chip c = { .entry = entry };
	char dir[128], name[128];
	(void)arg;
	chip_name(n, entry, c.name, sizeof(c.name));
	nm_sys_text(n, name, sizeof(name), "class/hwmon/%s/name", entry);
	if (name[0])
		nm_put(n, SAMPLE_GAUGE, "node_hwmon_chip_names", 1, "chip", c.name, "chip_name",
		       name, NULL);
	snprintf(dir, sizeof(dir), "class/hwmon/%s", entry);
	nm_sys_dir(n, dir, "", sensor, &c);
}

static void edac_csrow(struct nm *n, const char *entry, void *arg)
{
	static const struct {
		const char *file, *metric;
	} t[] = { { "ce_count", "node_edac_csrow_correctable_errors_total" },
		  { "ue_count", "node_edac_csrow_uncorrectable_errors_total" } };
	const char *controller = arg;
	for (size_t i = 0; i < COUNT(t); i++) {
		if (nm_sys(n, "devices/system/edac/mc/mc%s/%s/%s", controller, entry, t[i].file))
			nm_put(n, SAMPLE_COUNTER, t[i].metric, nm_number(nm_text(n)), "controller",
			       controller, "csrow", entry + 5, NULL);
	}
}

static void edac(struct nm *n, const char *entry, void *arg)
{
	static const struct {
		const char *file, *metric, *csrow;
	} t[] = { { "ce_count", "node_edac_correctable_errors_total", NULL },
		  { "ue_count", "node_edac_uncorrectable_errors_total", NULL },
		  { "ce_noinfo_count", "node_edac_csrow_correctable_errors_total", "unknown" },
		  { "ue_noinfo_count", "node_edac_csrow_uncorrectable_errors_total", "unknown" } };
	char number[16], dir[64];
	(void)arg;
	if (!isdigit((unsigned char)entry[2]))
		return;
	snprintf(number, sizeof(number), "%s", entry + 2);
	for (size_t i = 0; i < COUNT(t); i++) {
		if (nm_sys(n, "devices/system/edac/mc/%s/%s", entry, t[i].file))
			nm_put(n, SAMPLE_COUNTER, t[i].metric, nm_number(nm_text(n)), "controller",
			       number, "csrow", t[i].csrow, NULL);
	}
	snprintf(dir, sizeof(dir), "devices/system/edac/mc/%s", entry);
	nm_sys_dir(n, dir, "csrow", edac_csrow, number);
}

/* -------------------------------------------------------------------------------------- identity */

static void os_value(struct str text, const char *key, char *to, size_t cap)
{
	struct str line, name;
	to[0] = '\0';
	while (text.len && str_split(&text, '\n', &line)) {
		if (!str_split(&line, '=', &name) || !str_is(name, key))
			continue;
		line = str_trim(line);
		if (line.len >= 2 && (line.p[0] == '"' || line.p[0] == '\''))
			line = str_sub(line, 1, line.len - 1);
		nm_name(to, cap, line);
	}
}

static void os_release(struct nm *n)
{
	static const char *const keys[] = {
		"BUILD_ID",    "ID",      "ID_LIKE",    "IMAGE_ID", "IMAGE_VERSION",    "NAME",
		"PRETTY_NAME", "VARIANT", "VARIANT_ID", "VERSION",  "VERSION_CODENAME", "VERSION_ID"
	};
	char v[COUNT(keys)][NM_NAME_MAX], path[NM_PATH_MAX];
	buf_clear(&n->b);
	snprintf(path, sizeof(path), "%s/etc/os-release", n->roots->root);
	nodemetrics_read(path, &n->b);
	if (!n->b.len)
		return;
	for (size_t i = 0; i < COUNT(keys); i++)
		os_value(buf_str(&n->b), keys[i], v[i], sizeof(v[i]));
	nm_put(n, SAMPLE_GAUGE, "node_os_info", 1, "build_id", v[0], "id", v[1], "id_like", v[2],
	       "image_id", v[3], "image_version", v[4], "name", v[5], "pretty_name", v[6],
	       "variant", v[7], "variant_id", v[8], "version", v[9], "version_codename", v[10],
	       "version_id", v[11], NULL);
	/* "22.04.1" counts as 22.04 */
	struct str version = str_of(v[11]);
	ptrdiff_t dot = str_find(version, '.', 0);
	ptrdiff_t second = dot >= 0 ? str_find(version, '.', (size_t)dot + 1) : -1;
	if (second >= 0)
		version = str_sub(version, 0, (size_t)second);
	if (version.len)
		nm_put(n, SAMPLE_GAUGE, "node_os_version", nm_number(version), "id", v[1],
		       "id_like", v[2], "name", v[5], NULL);
}

static void dmi(struct nm *n)
{
	static const char *const keys[] = {
		"bios_date",       "bios_release",      "bios_vendor",     "bios_version",
		"board_asset_tag", "board_name",        "board_serial",    "board_vendor",
		"board_version",   "chassis_asset_tag", "chassis_serial",  "chassis_vendor",
		"chassis_version", "product_family",    "product_name",    "product_serial",
		"product_sku",     "product_uuid",      "product_version", "sys_vendor"
	};
	char v[COUNT(keys)][128];
	const char *labels[COUNT(keys) * 2 + 1];
	size_t k = 0;
	for (size_t i = 0; i < COUNT(keys); i++) {
		nm_sys_text(n, v[i], sizeof(v[i]), "class/dmi/id/%s", keys[i]);
		if (!v[i][0])
			continue;
		labels[k++] = i == COUNT(keys) - 1 ? "system_vendor" : keys[i];
		labels[k++] = v[i];
	}
	labels[k] = NULL;
	if (k)
		samples_add(n->s, SAMPLE_GAUGE, "node_dmi_info", 1, labels);
}

static void host(struct nm *n)
{
	struct utsname u;
	if (uname(&u) == 0)
		nm_put(n, SAMPLE_GAUGE, "node_uname_info", 1, "domainname", u.domainname, "machine",
		       u.machine, "nodename", u.nodename, "release", u.release, "sysname",
		       u.sysname, "version", u.version, NULL);
	samples_add(n->s, SAMPLE_GAUGE, "machine_cpu_cores", (double)sysconf(_SC_NPROCESSORS_ONLN),
		    NULL);
}

static void selinux(struct nm *n)
{
	bool on = nm_sys(n, "fs/selinux/enforce");
	samples_add(n->s, SAMPLE_GAUGE, "node_selinux_enabled", on, NULL);
	if (on)
		samples_add(n->s, SAMPLE_GAUGE, "node_selinux_current_mode", nm_number(nm_text(n)),
			    NULL);
}

void nm_system(struct nm *n)
{
	int64_t now_ms = clock_unix_ms();
	if (nm_kept(n, "sys/kernel/random/entropy_avail"))
		samples_add(n->s, SAMPLE_GAUGE, "node_entropy_available_bits",
			    nm_number(nm_text(n)), NULL);
	if (nm_kept(n, "schedstat"))
		nodemetrics_schedstat(n->s, buf_str(&n->b));
	samples_add(n->s, SAMPLE_GAUGE, "node_time_seconds", (double)now_ms / 1000, NULL);
	timex(n);
}

void nm_system_slow(struct nm *n)
{
	if (nm_proc(n, "sys/kernel/random/poolsize"))
		samples_add(n->s, SAMPLE_GAUGE, "node_entropy_pool_size_bits",
			    nm_number(nm_text(n)), NULL);
	time_zone(n, clock_unix_ms());
	nm_sys_dir(n, "devices/system/clocksource", "clocksource", clocksource, NULL);
	uint64_t packages = 0;
	nm_sys_dir(n, "devices/system/cpu", "cpu", cpu, &packages);
	nm_sys_dir(n, "class/thermal", "", thermal, NULL);
	nm_sys_dir(n, "class/hwmon", "hwmon", hwmon, NULL);
	nm_sys_dir(n, "devices/system/edac/mc", "mc", edac, NULL);
	os_release(n);
	dmi(n);
	selinux(n);
	host(n);
}
