/* File systems and what is known of disks: filesystem, disk_info, mdadm, nvme, zfs. */
#include "nodemetrics_priv.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { MOUNTS_MAX = 256 };

/* ------------------------------------------------------------------------------------ filesystem */

/* node_exporter leaves out the kernel's own; we also those whose server may not answer: a call to them may hang. */
static bool is_asked(struct str type)
{
	static const char *const no[] = {
		"autofs",     "binfmt_misc", "bpf",       "cgroup",   "cgroup2",   "configfs",
		"debugfs",    "devpts",      "devtmpfs",  "fusectl",  "hugetlbfs", "iso9660",
		"mqueue",     "nsfs",        "overlay",   "proc",     "procfs",    "pstore",
		"rpc_pipefs", "securityfs",  "selinuxfs", "squashfs", "sysfs",     "tracefs",
		"nfs",        "nfs4",        "cifs",      "smb3",     "9p",        "ceph",
		"glusterfs",  "afs",         "ncpfs",     "lustre"
	};
	for (size_t i = 0; i < COUNT(no); i++) {
		if (str_is(type, no[i]))
			return false;
	}
	return !str_starts(type, STR("fuse"));
}

static bool is_below(const char *mount, const char *dir)
{
	size_t n = strlen(dir);
	return strncmp(mount, dir, n) == 0 && (mount[n] == '\0' || mount[n] == '/');
}

static bool is_excluded(const char *mount)
{
	static const char *const no[] = { "/dev", "/proc", "/run", "/sys", "/mnt", "/media" };
	for (size_t i = 0; i < COUNT(no); i++) {
		if (is_below(mount, no[i]))
			return true;
	}
	return strncmp(mount, "/var/lib/docker/", 16) == 0 ||
	       strncmp(mount, "/var/lib/containers/storage/", 28) == 0;
}

/* /proc/mounts writes blanks as \040 (proc(5)). */
static void unescape(char *to, size_t cap, struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len && n + 1 < cap; i++) {
		if (s.p[i] == '\\' && i + 3 < s.len) {
			to[n++] = (char)((s.p[i + 1] - '0') * 64 + (s.p[i + 2] - '0') * 8 +
					 (s.p[i + 3] - '0'));
			i += 3;
		} else {
			to[n++] = s.p[i];
		}
	}
	to[n] = '\0';
}

static void filesystem(struct nm *n, const char *device, const char *mount, const char *type)
{
	const char *const l[] = { "device", device, "fstype", type, "mountpoint", mount, NULL };
	char path[NM_PATH_MAX];
	struct statvfs v;
	bool good =
		snprintf(path, sizeof(path), "%s%s", n->roots->root, mount) < (int)sizeof(path) &&
		statvfs(path, &v) == 0;
	samples_add(n->s, SAMPLE_GAUGE, "node_filesystem_device_error", !good, l);
	if (!good)
		return;
	double unit = (double)v.f_frsize;
	samples_add(n->s, SAMPLE_GAUGE, "node_filesystem_size_bytes", (double)v.f_blocks * unit, l);
	samples_add(n->s, SAMPLE_GAUGE, "node_filesystem_free_bytes", (double)v.f_bfree * unit, l);
	samples_add(n->s, SAMPLE_GAUGE, "node_filesystem_avail_bytes", (double)v.f_bavail * unit,
		    l);
	samples_add(n->s, SAMPLE_GAUGE, "node_filesystem_files", (double)v.f_files, l);
	samples_add(n->s, SAMPLE_GAUGE, "node_filesystem_files_free", (double)v.f_ffree, l);
	samples_add(n->s, SAMPLE_GAUGE, "node_filesystem_readonly", (v.f_flag & ST_RDONLY) != 0, l);
}

void nm_filesystems(struct nm *n)
{
	struct str rest, line, f[6];
	uint64_t seen[MOUNTS_MAX];
	size_t len = 0;
	if (!nm_kept(n, "1/mounts") && !nm_kept(n, "mounts"))
		return;
	rest = buf_str(&n->b);
	while (rest.len && str_split(&rest, '\n', &line) && len < MOUNTS_MAX) {
		char device[NM_NAME_MAX], type[32], mount[512];
		if (nm_fields(line, f, 6) < 4 || !is_asked(f[2]))
			continue;
		unescape(device, sizeof(device), f[0]);
		unescape(mount, sizeof(mount), f[1]);
		nm_name(type, sizeof(type), f[2]);
		if (is_excluded(mount))
			continue;
		/* The same thing mounted twice at one place is told once. */
		uint64_t h = str_hash(f[0], str_hash(f[1], str_hash(f[2], 1)));
		size_t i = 0;
		while (i < len && seen[i] != h)
			i++;
		if (i < len)
			continue;
		seen[len++] = h;
		filesystem(n, device, mount, type);
	}
}

/* ----------------------------------------------------------------------------------------- disks */

/* A property in udev's database; "" without one. */
static void udev(struct str text, const char *key, char *to, size_t cap)
{
	struct str line;
	size_t k = strlen(key);
	to[0] = '\0';
	while (text.len && str_split(&text, '\n', &line)) {
		if (line.len > k + 2 && line.p[0] == 'E' && memcmp(line.p + 2, key, k) == 0 &&
		    line.p[2 + k] == '=')
			nm_name(to, cap, str_sub(line, k + 3, line.len));
	}
}

static void disk_info(struct nm *n, struct str line)
{
	struct str f[3];
	struct buf db = { 0 };
	char device[64], major[16], minor[16], path[NM_PATH_MAX];
	char v[5][NM_NAME_MAX];
	static const char *const keys[] = { "ID_MODEL", "ID_PATH", "ID_REVISION", "ID_SERIAL_SHORT",
					    "ID_WWN" };
	if (nm_fields(line, f, 3) < 3 || nodemetrics_no_disk(f[2]))
		return;
	nm_name(major, sizeof(major), f[0]);
	nm_name(minor, sizeof(minor), f[1]);
	nm_name(device, sizeof(device), f[2]);
	snprintf(path, sizeof(path), "%s/b%s:%s", n->roots->udev, major, minor);
	nodemetrics_read(path, &db);
	for (size_t i = 0; i < 5; i++)
		udev(buf_str(&db), keys[i], v[i], sizeof(v[i]));
	nm_put(n, SAMPLE_GAUGE, "node_disk_info", 1, "device", device, "major", major, "minor",
	       minor, "model", v[0], "path", v[1], "revision", v[2], "serial", v[3], "wwn", v[4],
	       NULL);
	buf_fini(&db);
}

static void md_disks(struct nm *n, const char *device, struct str line, struct str next)
{
	struct str f[NM_FIELDS_MAX], rest = next;
	size_t count = nm_fields(line, f, NM_FIELDS_MAX);
	double failed = 0, spare = 0, total = 0, active = 0, need = 0;
	bool is_active = count > 2 && str_is(f[2], "active");
	for (size_t i = 3; i < count; i++) {
		if (str_find(f[i], '[', 0) < 0)
			continue;
		bool f_mark = str_find_str(f[i], STR("(F)"), 0) >= 0;
		bool s_mark = str_find_str(f[i], STR("(S)"), 0) >= 0;
		total++;
		failed += f_mark;
		spare += s_mark;
	}
	size_t k = nm_fields(rest, f, NM_FIELDS_MAX);
	double blocks = k ? nm_number(f[0]) : 0;
	active = is_active ? total - failed - spare : 0;
	need = active;
	for (size_t i = 0; i < k; i++) { /* "[2/1]": needed and active */
		ptrdiff_t slash = f[i].p[0] == '[' ? str_find(f[i], '/', 0) : -1;
		if (slash > 0) {
			need = nm_number(str_sub(f[i], 1, (size_t)slash));
			active = nm_number(str_sub(f[i], (size_t)slash + 1, f[i].len));
		}
	}
	static const char *const states[] = { "active", "inactive", "recovering", "resync",
					      "check" };
	for (size_t i = 0; i < COUNT(states); i++)
		nm_put(n, SAMPLE_GAUGE, "node_md_state",
		       (i == 0 && is_active) || (i == 1 && !is_active), "device", device, "state",
		       states[i], NULL);
	nm_put(n, SAMPLE_GAUGE, "node_md_disks", active, "device", device, "state", "active", NULL);
	nm_put(n, SAMPLE_GAUGE, "node_md_disks", failed, "device", device, "state", "failed", NULL);
	nm_put(n, SAMPLE_GAUGE, "node_md_disks", spare, "device", device, "state", "spare", NULL);
	nm_put(n, SAMPLE_GAUGE, "node_md_disks_required", need, "device", device, NULL);
	nm_put(n, SAMPLE_GAUGE, "node_md_blocks", blocks, "device", device, NULL);
	nm_put(n, SAMPLE_GAUGE, "node_md_blocks_synced", blocks, "device", device, NULL);
}

static void mdstat(struct nm *n)
{
	struct str rest, line, next, name;
	if (!nm_proc(n, "mdstat"))
		return;
	rest = buf_str(&n->b);
	while (rest.len && str_split(&rest, '\n', &line)) {
		char device[64];
		struct str whole = line;
		if (!str_starts(line, STR("md")) || !str_split(&line, ' ', &name))
			continue;
		nm_name(device, sizeof(device), name);
		if (!str_split(&rest, '\n', &next))
			next = STR_NONE;
		md_disks(n, device, whole, next);
	}
}

static void nvme(struct nm *n, const char *device, void *arg)
{
	char firmware[64], model[128], serial[128], state[32];
	(void)arg;
	nm_sys_text(n, firmware, sizeof(firmware), "class/nvme/%s/firmware_rev", device);
	nm_sys_text(n, model, sizeof(model), "class/nvme/%s/model", device);
	nm_sys_text(n, serial, sizeof(serial), "class/nvme/%s/serial", device);
	nm_sys_text(n, state, sizeof(state), "class/nvme/%s/state", device);
	nm_put(n, SAMPLE_GAUGE, "node_nvme_info", 1, "device", device, "firmware_revision",
	       firmware, "model", model, "serial", serial, "state", state, NULL);
}

static void zfs(struct nm *n)
{
	static const struct {
		const char *file, *prefix;
	} t[] = { { "abdstats", "abd" },
		  { "arcstats", "arc" },
		  { "dbufstats", "dbuf" },
		  { "dmu_tx", "dmu_tx" },
		  { "dnodestats", "dnode" },
		  { "fm", "fm" },
		  { "vdev_mirror_stats", "vdev_mirror" },
		  { "xuio_stats", "xuio" },
		  { "zfetchstats", "zfetch" },
		  { "zil", "zil" } };
	for (size_t i = 0; i < COUNT(t); i++) {
		char path[64], name[160];
		struct str rest, line, f[3];
		snprintf(path, sizeof(path), "spl/kstat/zfs/%s", t[i].file);
		if (!nm_proc(n, path))
			continue;
		rest = buf_str(&n->b);
		while (rest.len && str_split(&rest, '\n', &line)) {
			/* "name type data"; 3 and 4 are the integers */
			if (nm_fields(line, f, 3) < 3 || f[1].len != 1 ||
			    (f[1].p[0] != '3' && f[1].p[0] != '4'))
				continue;
			snprintf(name, sizeof(name), "node_zfs_%s_%.*s", t[i].prefix,
				 STR_ARG(f[0]));
			samples_add(n->s, 0, name, nm_number(f[2]), NULL);
		}
	}
}

void nm_disks_slow(struct nm *n)
{
	struct buf stats = { 0 };
	struct str rest, line;
	if (nm_proc(n, "diskstats"))
		buf_add_str(&stats, buf_str(&n->b));
	rest = buf_str(&stats);
	while (rest.len && str_split(&rest, '\n', &line))
		disk_info(n, line);
	buf_fini(&stats);
	mdstat(n);
	nm_sys_dir(n, "class/nvme", "nvme", nvme, NULL);
	zfs(n);
}
