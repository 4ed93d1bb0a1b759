#include "nodeinfo.h"

#include "json/json.h"
#include "sys/file.h"
#include "text/rfc3339.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { FREE_MEMORY_MIN = 100 << 20, FREE_DISK_PERCENT_MIN = 10 };

static void read_line(const char *path, char *to, size_t cap)
{
	struct buf b = { 0 };
	to[0] = '\0';
	if (file_read(path, 65536, &b, NULL) == 0) {
		struct str rest = buf_str(&b), line;
		if (str_split(&rest, '\n', &line)) {
			line = str_trim(line);
			snprintf(to, cap, "%.*s", STR_ARG(line));
		}
	}
	buf_fini(&b);
}

/* The number behind "NAME:" in /proc/meminfo, bytes. */
static int64_t meminfo(const char *name)
{
	struct buf b = { 0 };
	struct str line;
	int64_t kib = 0;
	(void)!file_read("/proc/meminfo", 65536, &b, NULL);
	struct str rest = buf_str(&b);
	while (rest.len && str_split(&rest, '\n', &line)) {
		if (!str_starts(line, str_of(name)) || line.len <= strlen(name) ||
		    line.p[strlen(name)] != ':')
			continue;
		struct str v = str_trim(str_sub(line, strlen(name) + 1, line.len)), number;
		if (str_split(&v, ' ', &number))
			(void)str_to_i64(number, &kib);
		break;
	}
	buf_fini(&b);
	return kib * 1024;
}

static void os_image(char *to, size_t cap)
{
	struct buf b = { 0 };
	struct str line;
	snprintf(to, cap, "Linux");
	(void)!file_read("/etc/os-release", 65536, &b, NULL);
	struct str rest = buf_str(&b);
	while (rest.len && str_split(&rest, '\n', &line)) {
		if (!str_starts(line, STR("PRETTY_NAME=")))
			continue;
		struct str v = str_sub(line, 12, line.len);
		if (v.len >= 2 && v.p[0] == '"')
			v = str_sub(v, 1, v.len - 1);
		snprintf(to, cap, "%.*s", STR_ARG(v));
	}
	buf_fini(&b);
}

void nodeinfo_probe(struct node_facts *f, int64_t now_s)
{
	struct utsname u;
	struct statvfs v;
	if (uname(&u) == 0) {
		snprintf(f->kernel, sizeof(f->kernel), "%s", u.release);
		bool x86 = strcmp(u.machine, "x86_64") == 0,
		     arm = strcmp(u.machine, "aarch64") == 0;
		snprintf(f->arch, sizeof(f->arch), "%s", x86 ? "amd64" : arm ? "arm64" : u.machine);
	}
	os_image(f->os_image, sizeof(f->os_image));
	read_line("/etc/machine-id", f->machine_id, sizeof(f->machine_id));
	read_line("/proc/sys/kernel/random/boot_id", f->boot_id, sizeof(f->boot_id));
	read_line("/sys/class/dmi/id/product_uuid", f->system_uuid, sizeof(f->system_uuid));
	if (!f->cpu_m)
		f->cpu_m = sysconf(_SC_NPROCESSORS_ONLN) * 1000;
	if (!f->memory)
		f->memory = meminfo("MemTotal");
	if (statvfs(f->state_dir, &v) == 0)
		f->disk = (int64_t)(v.f_blocks * v.f_frsize);
	f->ready_since_s = f->memory_pressure_since_s = f->disk_pressure_since_s = now_s;
	(void)nodeinfo_refresh(f, now_s);
}

bool nodeinfo_refresh(struct node_facts *f, int64_t now_s)
{
	struct statvfs v;
	bool memory = meminfo("MemAvailable") < FREE_MEMORY_MIN, disk = f->disk_pressure;
	if (statvfs(f->state_dir, &v) == 0 && v.f_blocks)
		disk = v.f_bavail * 100 / v.f_blocks < FREE_DISK_PERCENT_MIN;
	bool changed = memory != f->memory_pressure || disk != f->disk_pressure;
	if (memory != f->memory_pressure)
		f->memory_pressure_since_s = now_s;
	if (disk != f->disk_pressure)
		f->disk_pressure_since_s = now_s;
	f->memory_pressure = memory;
	f->disk_pressure = disk;
	return changed;
}

/* ------------------------------------------------------------------------------------- writing */

static void field(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, "%s\"%s\":", b->len && b->p[b->len - 1] != '{' ? "," : "", key);
	json_write_str(b, str_of(value));
}

static void condition(struct buf *b, const char *type, bool yes, const char *reason,
		      const char *message, const int64_t since_now[2])
{
	if (b->p[b->len - 1] != '[')
		buf_addc(b, ',');
	buf_addc(b, '{');
	field(b, "type", type);
	field(b, "status", yes ? "True" : "False");
	buf_adds(b, ",\"lastHeartbeatTime\":\"");
	rfc3339_write(b, since_now[1]);
	buf_adds(b, "\",\"lastTransitionTime\":\"");
	rfc3339_write(b, since_now[0]);
	buf_addc(b, '"');
	field(b, "reason", reason);
	field(b, "message", message);
	buf_addc(b, '}');
}

static void resources(struct buf *b, const char *name, int64_t cpu_m, int64_t memory, int64_t disk)
{
	buf_addf(b, "\"%s\":{\"cpu\":", name);
	if (cpu_m % 1000)
		buf_addf(b, "\"%lldm\"", (long long)cpu_m);
	else
		buf_addf(b, "\"%lld\"", (long long)(cpu_m / 1000));
	buf_addf(b, ",\"ephemeral-storage\":\"%lldKi\",\"memory\":\"%lldKi\",\"pods\":\"%d\"}",
		 (long long)(disk / 1024), (long long)(memory / 1024), NODE_PODS_MAX);
}

static int64_t above_zero(int64_t v)
{
	return v > 0 ? v : 0;
}

void nodeinfo_status(const struct node_facts *f, int64_t now_s, struct buf *b)
{
	const int64_t memory[] = { f->memory_pressure_since_s, now_s };
	const int64_t disk[] = { f->disk_pressure_since_s, now_s };
	const int64_t ready[] = { f->ready_since_s, now_s };
	buf_addc(b, '{');
	resources(b, "capacity", f->cpu_m, f->memory, f->disk);
	buf_addc(b, ',');
	resources(b, "allocatable", above_zero(f->cpu_m - f->reserved_cpu_m),
		  above_zero(f->memory - f->reserved_memory), f->disk / 10 * 9);
	buf_adds(b, ",\"conditions\":[");
	condition(b, "MemoryPressure", f->memory_pressure,
		  f->memory_pressure ? "KubeletHasInsufficientMemory"
				     : "KubeletHasSufficientMemory",
		  f->memory_pressure ? "little memory is available" : "enough memory is available",
		  memory);
	condition(b, "DiskPressure", f->disk_pressure,
		  f->disk_pressure ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
		  f->disk_pressure ? "the state folder's disk is nearly full"
				   : "enough disk is free",
		  disk);
	condition(b, "PIDPressure", false, "KubeletHasSufficientPID",
		  "enough process numbers are free", ready);
	condition(b, "Ready", true, "AgentReady", "resource-cluster-agent runs", ready);
	buf_adds(b, "],\"addresses\":[{\"type\":\"InternalIP\",\"address\":");
	json_write_str(b, str_of(f->address));
	buf_adds(b, "},{\"type\":\"Hostname\",\"address\":");
	json_write_str(b, str_of(f->name));
	buf_adds(b, "}],\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":0}},\"nodeInfo\":{");
	field(b, "machineID", f->machine_id);
	field(b, "systemUUID", f->system_uuid);
	field(b, "bootID", f->boot_id);
	field(b, "kernelVersion", f->kernel);
	field(b, "osImage", f->os_image);
	field(b, "containerRuntimeVersion", "process://" RCTL_VERSION);
	field(b, "kubeletVersion", "v1.33.0-rctl." RCTL_VERSION);
	field(b, "kubeProxyVersion", "");
	field(b, "operatingSystem", "linux");
	field(b, "architecture", f->arch);
	buf_adds(b, "}}");
}

void nodeinfo_object(const struct node_facts *f, int64_t now_s, struct buf *b)
{
	buf_adds(b, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":");
	json_write_str(b, str_of(f->name));
	buf_adds(b, ",\"labels\":{");
	field(b, "kubernetes.io/arch", f->arch);
	field(b, "kubernetes.io/hostname", f->name);
	field(b, "kubernetes.io/os", "linux");
	if (f->region[0])
		field(b, "topology.kubernetes.io/region", f->region);
	if (f->zone[0])
		field(b, "topology.kubernetes.io/zone", f->zone);
	if (f->network_az[0])
		field(b, "topology.rctl.io/network-az", f->network_az);
	for (size_t i = 0; i < f->labels_len; i++) {
		struct str value = str_of(f->labels[i]), key;
		if (!str_split(&value, '=', &key))
			continue;
		buf_addc(b, ',');
		json_write_str(b, key);
		buf_addc(b, ':');
		json_write_str(b, value);
	}
	buf_adds(b, "}},\"spec\":{},\"status\":");
	nodeinfo_status(f, now_s, b);
	buf_addc(b, '}');
}
