#include "cgroup.h"

#include "base/mem.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 65536, CPU_PERIOD_US = 100000, SHARES_MIN = 2, SHARES_MAX = 262144 };

static const char *const names[CG_CONTROLLERS] = { "memory", "cpu", "cpuacct", "pids", "freezer" };

/* ------------------------------------------------------------------------------------- files */

static int put(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path))
		return ENAMETOOLONG;
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	int rc = write(fd, text, strlen(text)) < 0 ? errno : 0;
	close(fd);
	return rc;
}

static int put_i64(const char *dir, const char *file, int64_t v)
{
	char text[32];
	snprintf(text, sizeof(text), "%lld", (long long)v);
	return put(dir, file, text);
}

static bool get(const char *dir, const char *file, struct buf *out)
{
	char path[PATH_MAX];
	buf_clear(out);
	return snprintf(path, sizeof(path), "%s/%s", dir, file) < (int)sizeof(path) &&
	       file_read(path, FILE_BYTES_MAX, out, NULL) == 0;
}

static uint64_t get_u64(const char *dir, const char *file, bool *found)
{
	struct buf b = { 0 };
	uint64_t v = 0;
	if (get(dir, file, &b) && str_to_u64(str_trim(buf_str(&b)), &v))
		*found = true;
	buf_fini(&b);
	return v;
}

/* The number behind `key` in lines "key value". */
static uint64_t field(struct str text, const char *key)
{
	struct str line;
	uint64_t v = 0;
	while (str_split(&text, '\n', &line)) {
		size_t n = strlen(key);
		if (line.len > n && line.p[n] == ' ' && memcmp(line.p, key, n) == 0 &&
		    str_to_u64(str_trim(str_sub(line, n + 1, line.len)), &v))
			return v;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------ finding */

/* mountinfo writes blanks in paths as \040 (proc(5)). */
static char *unescape(struct str s)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '\\' && i + 3 < s.len) {
			buf_addc(&b, (char)((s.p[i + 1] - '0') * 64 + (s.p[i + 2] - '0') * 8 +
					    (s.p[i + 3] - '0')));
			i += 3;
		} else {
			buf_addc(&b, s.p[i]);
		}
	}
	char *p = mem_strndup(b.p, b.len);
	buf_fini(&b);
	return p;
}

static bool has_word(struct str list, char sep, const char *word)
{
	struct str piece;
	while (str_split(&list, sep, &piece)) {
		if (str_is(str_trim(piece), word))
			return true;
	}
	return false;
}

/* One line of mountinfo: "36 35 98:0 /root /mnt opts… - type source super-options". */
static void take_line(struct str line, char *mount[CG_CONTROLLERS], char **unified)
{
	struct str f[5], rest = line, type, source, super;
	for (size_t i = 0; i < 5; i++) {
		if (!str_split(&rest, ' ', &f[i]))
			return;
	}
	ptrdiff_t dash = str_find_str(rest, STR("- "), 0);
	if (dash < 0)
		return;
	rest = str_sub(rest, (size_t)dash + 2, rest.len);
	if (!str_split(&rest, ' ', &type) || !str_split(&rest, ' ', &source) ||
	    !str_split(&rest, ' ', &super))
		return;
	if (str_is(type, "cgroup2")) {
		mem_free(*unified);
		*unified = unescape(f[4]);
	}
	for (size_t i = 0; str_is(type, "cgroup") && i < CG_CONTROLLERS; i++) {
		if (!mount[i] && has_word(super, ',', names[i]))
			mount[i] = unescape(f[4]);
	}
}

bool cgroups_find(struct str mountinfo, char *mount[CG_CONTROLLERS])
{
	char *unified = NULL;
	struct str line;
	bool any = false;
	while (str_split(&mountinfo, '\n', &line))
		take_line(line, mount, &unified);
	for (size_t i = 0; i < CG_CONTROLLERS; i++)
		any |= mount[i] != NULL;
	if (any || !unified) {
		mem_free(unified); /* hybrid: the controllers are bound to v1 */
		return false;
	}
	mount[CG_MEMORY] = unified;
	return true;
}

/* Makes "<mount>/rctl-<node>"; NULL when it cannot be made or written to. */
static char *make_root(const char *mount, const char *node)
{
	struct buf b = { 0 };
	buf_addf(&b, "%s/rctl-%s", mount, node);
	(void)buf_cstr(&b);
	if ((mkdir(b.p, 0755) == 0 || errno == EEXIST) && access(b.p, W_OK) == 0)
		return b.p;
	buf_fini(&b);
	return NULL;
}

void cgroups_open(struct cgroups *g, const char *node, struct buf *missing)
{
	struct buf info = { 0 };
	char *mount[CG_CONTROLLERS] = { NULL };
	memset(g, 0, sizeof(*g));
	if (file_read("/proc/self/mountinfo", 1U << 20, &info, NULL) == 0)
		g->v2 = cgroups_find(buf_str(&info), mount);
	for (size_t i = 0; i < CG_CONTROLLERS; i++) {
		if (mount[i])
			g->root[i] = make_root(mount[i], node);
		if (!g->root[i] && (!g->v2 || i == CG_MEMORY))
			buf_addf(missing, "%s%s", missing->len ? "," : "", names[i]);
	}
	if (g->v2 && g->root[CG_MEMORY]) {
		static const char *const want[] = { "memory", "cpu", "pids" };
		for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
			char text[16];
			snprintf(text, sizeof(text), "+%s", want[i]);
			(void)put(mount[CG_MEMORY], "cgroup.subtree_control", text);
			if (put(g->root[CG_MEMORY], "cgroup.subtree_control", text) != 0)
				buf_addf(missing, "%s%s", missing->len ? "," : "", want[i]);
		}
	}
	for (size_t i = 0; i < CG_CONTROLLERS; i++)
		mem_free(mount[i]);
	buf_fini(&info);
}

void cgroups_close(struct cgroups *g)
{
	for (size_t i = 0; i < CG_CONTROLLERS; i++) {
		if (g->root[i])
			(void)rmdir(g->root[i]); /* only when no pod is left */
		mem_free(g->root[i]);
		g->root[i] = NULL;
	}
}

/* ------------------------------------------------------------------------------------- making */

static void refuse(struct buf *refused, const char *what, int errnum)
{
	if (errnum)
		buf_addf(refused, "%s%s (%s)", refused->len ? ", " : "", what, strerror(errnum));
}

static int64_t shares_of(int64_t cpu_m)
{
	int64_t shares = cpu_m * 1024 / 1000;
	return shares < SHARES_MIN ? SHARES_MIN : shares > SHARES_MAX ? SHARES_MAX : shares;
}

static int64_t quota_of(int64_t cpu_m)
{
	int64_t us = cpu_m * CPU_PERIOD_US / 1000;
	return us < 1000 ? 1000 : us;
}

static void limit_v1(enum cgroup_controller c, const char *dir, const struct cgroup_limits *l,
		     struct buf *refused)
{
	switch (c) {
	case CG_MEMORY:
		if (l->memory_limit)
			refuse(refused, "memory limit",
			       put_i64(dir, "memory.limit_in_bytes", l->memory_limit));
		return;
	case CG_CPU:
		(void)put_i64(dir, "cpu.shares", shares_of(l->cpu_request_m));
		if (l->cpu_limit_m)
			refuse(refused, "cpu limit",
			       put_i64(dir, "cpu.cfs_quota_us", quota_of(l->cpu_limit_m)));
		return;
	case CG_PIDS:
		if (l->pids_max)
			refuse(refused, "pids limit", put_i64(dir, "pids.max", l->pids_max));
		return;
	case CG_CPUACCT:
	case CG_FREEZER:
	case CG_CONTROLLERS:
	default:
		return;
	}
}

static void limit_v2(const char *dir, const struct cgroup_limits *l, struct buf *refused)
{
	char text[64];
	int64_t weight = 1 + ((shares_of(l->cpu_request_m) - 2) * 9999) / 262142;
	(void)put_i64(dir, "cpu.weight", weight);
	if (l->cpu_limit_m) {
		snprintf(text, sizeof(text), "%lld %d", (long long)quota_of(l->cpu_limit_m),
			 CPU_PERIOD_US);
		refuse(refused, "cpu limit", put(dir, "cpu.max", text));
	}
	if (l->memory_limit) {
		refuse(refused, "memory limit", put_i64(dir, "memory.max", l->memory_limit));
		(void)put(dir, "memory.oom.group", "1");
	}
	if (l->pids_max)
		refuse(refused, "pids limit", put_i64(dir, "pids.max", l->pids_max));
}

static void line(struct buf *spec, const char *key, const char *dir, const char *file)
{
	buf_addf(spec, "%s=%s/%s", key, dir, file);
	buf_addc(spec, '\0');
}

static bool make_one(const struct cgroups *g, enum cgroup_controller c, const char *uid,
		     const char *ctr, char dir[PATH_MAX])
{
	if (snprintf(dir, PATH_MAX, "%s/%s", g->root[c], uid) >= PATH_MAX)
		return false;
	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		return false;
	if (g->v2)
		(void)put(dir, "cgroup.subtree_control", "+memory +cpu +pids");
	if (snprintf(dir, PATH_MAX, "%s/%s/%s", g->root[c], uid, ctr) >= PATH_MAX)
		return false;
	return mkdir(dir, 0755) == 0 || errno == EEXIST;
}

void cgroup_make(const struct cgroups *g, const char *uid, const char *ctr,
		 const struct cgroup_limits *lim, struct buf *spec, struct buf *refused)
{
	bool has_memory = false, has_cpu = false;
	for (size_t i = 0; i < CG_CONTROLLERS; i++) {
		char dir[PATH_MAX];
		if (!g->root[i] || !make_one(g, (enum cgroup_controller)i, uid, ctr, dir))
			continue;
		has_memory |= i == CG_MEMORY;
		has_cpu |= i == CG_CPU || g->v2;
		line(spec, "cgroup", dir, "cgroup.procs");
		if (g->v2) {
			limit_v2(dir, lim, refused);
			line(spec, "kill", dir, "cgroup.kill");
			line(spec, "oom", dir, "memory.events");
			break;
		}
		limit_v1((enum cgroup_controller)i, dir, lim, refused);
		if (i == CG_MEMORY)
			line(spec, "oom", dir, "memory.oom_control");
		if (i == CG_FREEZER) {
			line(spec, "freeze", dir, "freezer.state");
			line(spec, "members", dir, "cgroup.procs");
		}
	}
	if (lim->memory_limit && !has_memory)
		refuse(refused, "memory limit", ENOENT);
	if (lim->cpu_limit_m && !has_cpu)
		refuse(refused, "cpu limit", ENOENT);
}

static void kill_members(const char *dir)
{
	struct buf b = { 0 };
	struct str pid, rest;
	int64_t n;
	(void)put(dir, "freezer.state", "FROZEN"); /* so that nothing can fork away */
	if (get(dir, "cgroup.procs", &b)) {
		rest = buf_str(&b);
		while (str_split(&rest, '\n', &pid)) {
			if (str_to_i64(pid, &n) && n > 1)
				(void)kill((pid_t)n, SIGKILL);
		}
	}
	(void)put(dir, "freezer.state", "THAWED");
	buf_fini(&b);
}

void cgroup_kill(const struct cgroups *g, const char *uid)
{
	char dir[PATH_MAX];
	enum cgroup_controller c = g->v2 || !g->root[CG_FREEZER] ? CG_MEMORY : CG_FREEZER;
	if (!g->root[c] || snprintf(dir, sizeof(dir), "%s/%s", g->root[c], uid) >= (int)sizeof(dir))
		return;
	if (g->v2) {
		(void)put(dir, "cgroup.kill", "1");
		return;
	}
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		char sub[PATH_MAX];
		if (e->d_type == DT_DIR && e->d_name[0] != '.' &&
		    snprintf(sub, sizeof(sub), "%s/%s", dir, e->d_name) < (int)sizeof(sub))
			kill_members(sub);
	}
	if (d)
		closedir(d);
}

/* Processes of a pod cannot be left: they were killed; what remains needs a moment to vanish. */
static bool remove_tree(const char *dir)
{
	DIR *d = opendir(dir);
	if (!d)
		return true;
	bool all = true;
	for (struct dirent *e; (e = readdir(d));) {
		char sub[PATH_MAX];
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		if (snprintf(sub, sizeof(sub), "%s/%s", dir, e->d_name) < (int)sizeof(sub))
			all &= rmdir(sub) == 0 || errno == ENOENT;
	}
	closedir(d);
	return all && (rmdir(dir) == 0 || errno == ENOENT);
}

bool cgroup_remove(const struct cgroups *g, const char *uid)
{
	bool all = true;
	for (size_t i = 0; i < CG_CONTROLLERS; i++) {
		char dir[PATH_MAX];
		if (g->root[i] &&
		    snprintf(dir, sizeof(dir), "%s/%s", g->root[i], uid) < (int)sizeof(dir))
			all &= remove_tree(dir);
	}
	return all;
}

/* ------------------------------------------------------------------------------------- reading */

static void read_memory(const struct cgroups *g, const char *dir, struct cgroup_stats *s)
{
	struct buf b = { 0 };
	s->memory_bytes =
		get_u64(dir, g->v2 ? "memory.current" : "memory.usage_in_bytes", &s->has_memory);
	uint64_t inactive = 0;
	if (get(dir, "memory.stat", &b)) {
		inactive = field(buf_str(&b), g->v2 ? "inactive_file" : "total_inactive_file");
		s->cache_bytes = field(buf_str(&b), g->v2 ? "file" : "total_cache");
	}
	s->working_set_bytes = s->memory_bytes > inactive ? s->memory_bytes - inactive : 0;
	if (get(dir, g->v2 ? "memory.events" : "memory.oom_control", &b))
		s->oom_kills = field(buf_str(&b), "oom_kill");
	if (g->v2 && get(dir, "cpu.stat", &b)) {
		s->has_cpu = true;
		s->cpu_ns = field(buf_str(&b), "usage_usec") * 1000;
	}
	buf_fini(&b);
}

bool cgroup_read(const struct cgroups *g, const char *uid, const char *ctr, struct cgroup_stats *s)
{
	char dir[PATH_MAX];
	memset(s, 0, sizeof(*s));
	if (g->root[CG_MEMORY] &&
	    snprintf(dir, sizeof(dir), "%s/%s/%s", g->root[CG_MEMORY], uid, ctr) < (int)sizeof(dir))
		read_memory(g, dir, s);
	if (!g->v2 && g->root[CG_CPUACCT] &&
	    snprintf(dir, sizeof(dir), "%s/%s/%s", g->root[CG_CPUACCT], uid, ctr) <
		    (int)sizeof(dir))
		s->cpu_ns = get_u64(dir, "cpuacct.usage", &s->has_cpu);
	return s->has_cpu || s->has_memory;
}
