/* Our samples beside those of a real prometheus-node-exporter: name by name and label by label, values too where they stand still. */
#include "base/mem.h"
#include "nodemetrics.h"
#include "sys/file.h"

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define EXPORTER "/usr/bin/prometheus-node-exporter"

/* What is not ours, and why; agent/nodemetrics.h says it too. */
static const struct {
	const char *prefix, *why;
} left_out[] = {
	{ "node_exporter_", "tells of node_exporter" },
	{ "node_scrape_", "tells of node_exporter" },
	{ "node_textfile_", "tells of node_exporter" },
	{ "node_bcache_", "rare" },
	{ "node_btrfs_", "not done" },
	{ "node_fibrechannel_", "rare" },
	{ "node_infiniband_", "rare" },
	{ "node_ipvs_", "not done" },
	{ "node_nfs", "not done" },
	{ "node_power_supply_", "no server has it" },
	{ "node_rapl_", "root alone may read it, and it is a side channel" },
	{ "node_tape_", "rare" },
	{ "node_xfs_", "not done" },
	{ "node_disk_ata_", "of udev's database, not of the kernel" },
	{ "node_disk_device_mapper_info", "of udev's database" },
	{ "node_disk_filesystem_info", "of udev's database" },
	{ "node_systemd_", "not in the default set upstream" },
};

/* Ours that they do not have. */
static const char *const own[] = { "machine_cpu_cores" };

struct entry {
	char *key; /* name{label="value",…} without empty labels, sorted by label */
	double value;
};

struct list {
	struct entry *v;
	size_t len, cap;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static void add(struct list *l, const char *key, double value)
{
	mem_grow(l->v, l->len, l->cap);
	l->v[l->len++] = (struct entry){ mem_strdup(key), value };
}

static void list_free(struct list *l)
{
	for (size_t i = 0; i < l->len; i++)
		mem_free(l->v[i].key);
	mem_free(l->v);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One line of the text format; labels without escapes but \" and \\. */
static void take_line(struct list *l, char *line)
{
	char *labels[32], key[2048], *p = strchr(line, '{'), *space = strrchr(line, ' ');
	size_t n = 0, k;
	if (line[0] == '#' || strncmp(line, "node_", 5) != 0 || !space)
		return;
	for (size_t i = 0; i < COUNT(left_out); i++) {
		if (strncmp(line, left_out[i].prefix, strlen(left_out[i].prefix)) == 0)
			return;
	}
	double value = strtod(space + 1, NULL);
	*space = '\0';
	if (!p) {
		add(l, line, value);
		return;
	}
	*p++ = '\0';
	while (*p && *p != '}' && n < COUNT(labels)) {
		char *from = p, *eq = strchr(p, '=');
		for (p = eq + 2; *p != '"'; p += *p == '\\' ? 2 : 1)
			;
		if (p > eq + 2)
			labels[n++] = from;
		p++;
		if (*p == ',')
			*p++ = '\0';
		else
			*p = '\0';
	}
	qsort(labels, n, sizeof(labels[0]), by_text);
	k = (size_t)snprintf(key, sizeof(key), "%s", line);
	for (size_t i = 0; i < n; i++)
		k += (size_t)snprintf(key + k, sizeof(key) - k, "%c%s", i ? ',' : '{', labels[i]);
	if (n)
		snprintf(key + k, sizeof(key) - k, "}");
	add(l, key, value);
}

/* ---- theirs ---- */

struct exporter {
	pid_t pid;
	char address[64];
};

static void exporter_start(struct exporter *e, char *const *argv)
{
	int fd[2];
	static char text[65536];
	size_t len = 0;
	char *at = NULL;
	cr_assert_eq(pipe(fd), 0);
	e->pid = fork();
	if (e->pid == 0) {
		dup2(fd[1], 2);
		close(fd[0]);
		close(fd[1]);
		execv(argv[0], argv);
		_exit(127);
	}
	close(fd[1]);
	while (!at) {
		ssize_t n = read(fd[0], text + len, sizeof(text) - 1 - len);
		cr_assert_gt(n, 0, "it ended: %s", text);
		len += (size_t)n;
		text[len] = '\0';
		at = strstr(text, "address=127.0.0.1:");
		at = at && strchr(at, '\n') ? at : NULL;
	}
	cr_assert_eq(sscanf(at, "address=%63[0-9.:]", e->address), 1);
	/* What else it says must not fill the pipe: it gets none to fill. */
	pid_t drain = fork();
	if (drain == 0) {
		while (read(fd[0], text, sizeof(text)) > 0)
			;
		_exit(0);
	}
	close(fd[0]);
}

static void exporter_read(struct exporter *e, struct buf *out)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	static const char q[] = "GET /metrics HTTP/1.0\r\n\r\n";
	cr_assert_eq(inet_pton(AF_INET, "127.0.0.1", &a.sin_addr), 1);
	a.sin_port = htons((uint16_t)atoi(strchr(e->address, ':') + 1));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(write(fd, q, sizeof(q) - 1), sizeof(q) - 1);
	cr_assert_eq(file_read_fd(fd, 4 << 20, out, &(struct error){ 0 }), 0);
	close(fd);
}

static void exporter_end(struct exporter *e, struct list *l)
{
	struct buf b = { 0 };
	exporter_read(e, &b);
	kill(e->pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	(void)buf_cstr(&b);
	char *save = NULL, *text = b.p;
	for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
		take_line(l, line);
	buf_fini(&b);
	if (l->len)
		qsort(l->v, l->len, sizeof(*l->v), by_key);
}

/* ---- ours ---- */

static void ours(const struct node_roots *roots, struct list *l)
{
	struct series series = { .fd = -1 };
	struct samples s;
	struct nodemetrics m;
	series.fd = dup(2);
	samples_init(&s, &series);
	nodemetrics_init(&m, roots, &series);
	nodemetrics_collect(&m, &s, 1);
	for (size_t i = 0; i < s.len; i++) {
		struct str rest = series.defs[s.list[i].ref - 1].key, name, value;
		char key[2048];
		size_t k = 0;
		cr_assert(series_part(&rest, &name));
		k += (size_t)snprintf(key, sizeof(key), "%.*s", STR_ARG(name));
		for (int n = 0; series_part(&rest, &name) && series_part(&rest, &value); n++)
			k += (size_t)snprintf(key + k, sizeof(key) - k, "%c%.*s=\"%.*s\"",
					      n ? ',' : '{', STR_ARG(name), STR_ARG(value));
		if (strchr(key, '{'))
			snprintf(key + k, sizeof(key) - k, "}");
		add(l, key, s.list[i].value);
	}
	qsort(l->v, l->len, sizeof(*l->v), by_key);
	nodemetrics_fini(&m);
	samples_fini(&s);
	series_close(&series);
}

static bool is_own(const char *key)
{
	for (size_t i = 0; i < COUNT(own); i++) {
		if (strncmp(key, own[i], strlen(own[i])) == 0)
			return true;
	}
	return false;
}

static bool skipped(const char *key, const char *const *skip)
{
	for (size_t i = 0; skip && skip[i]; i++) {
		if (strncmp(key, skip[i], strlen(skip[i])) == 0)
			return true;
	}
	return false;
}

/* Returns how many are the same. */
static size_t compare(const struct list *we, const struct list *they, bool values,
		      const char *const *skip)
{
	size_t i = 0, k = 0, same = 0;
	while (i < we->len || k < they->len) {
		int c = i == we->len     ? 1
			: k == they->len ? -1
					 : strcmp(we->v[i].key, they->v[k].key);
		if (c < 0) {
			cr_expect(is_own(we->v[i].key) || skipped(we->v[i].key, skip),
				  "only ours: %s", we->v[i].key);
			cr_expect(i == 0 || strcmp(we->v[i].key, we->v[i - 1].key) != 0,
				  "twice: %s", we->v[i].key);
			i++;
		} else if (c > 0) {
			cr_expect(skipped(they->v[k].key, skip), "only theirs: %s", they->v[k].key);
			k++;
		} else {
			double a = we->v[i].value, b = they->v[k].value;
			cr_expect(!values || fabs(a - b) <= 1e-9 * fabs(b),
				  "%s: %.17g, theirs %.17g", we->v[i].key, a, b);
			same++;
			i++;
			k++;
		}
	}
	return same;
}

static bool absent(void)
{
	if (access(EXPORTER, X_OK) == 0)
		return false;
	printf("no %s: not compared (apt-get install prometheus-node-exporter)\n", EXPORTER);
	return true;
}

Test(agent_exporter, this_host_has_the_series_of_node_exporter, .timeout = 120)
{
	char *argv[] = { (char *)(uintptr_t)EXPORTER,
			 (char *)(uintptr_t) "--web.listen-address=127.0.0.1:0", NULL };
	/* Sockets and devices come and go between the two readings. */
	static const char *const skip[] = { "node_filesystem_", "node_arp_entries", NULL };
	struct exporter e;
	struct list we = { 0 }, they = { 0 };
	if (absent())
		return;
	exporter_start(&e, argv);
	ours(&node_roots_own, &we);
	exporter_end(&e, &they);
	size_t same = compare(&we, &they, false, skip);
	printf("%zu series are the same; left out:", same);
	for (size_t i = 0; i < COUNT(left_out); i++)
		printf(" %s* (%s)", left_out[i].prefix, left_out[i].why);
	printf("\n");
	cr_expect_gt(same, 100);
	list_free(&we);
	list_free(&they);
}

/* ---- the machine that stands still ---- */

static void unpack(const char *dir)
{
	const char *src = getenv("RCTL_SRC");
	struct buf b = { 0 };
	char path[1024];
	cr_assert(src, "RCTL_SRC is not set");
	snprintf(path, sizeof(path), "%s/tests/fixtures/node_files.txt", src);
	cr_assert_eq(file_read(path, 1 << 20, &b, &(struct error){ 0 }), 0);
	struct str rest = buf_str(&b), line;
	while (rest.len) {
		struct buf text = { 0 };
		cr_assert(str_split(&rest, '\n', &line) && str_starts(line, STR("== ")));
		snprintf(path, sizeof(path), "%s/%.*s", dir, STR_ARG(str_sub(line, 3, line.len)));
		*strrchr(path, '/') = '\0';
		cr_assert_eq(file_mkdirs(path, 0755, &(struct error){ 0 }), 0);
		path[strlen(path)] = '/';
		while (rest.len && !str_starts(rest, STR("== ")) && str_split(&rest, '\n', &line)) {
			buf_add_str(&text, line);
			buf_addc(&text, '\n');
		}
		cr_assert_eq(file_write_atomic(path, buf_str(&text), 0644, &(struct error){ 0 }),
			     0);
		buf_fini(&text);
	}
	buf_fini(&b);
}

Test(agent_exporter, a_machine_that_stands_still_has_the_same_values, .timeout = 120)
{
	static const char *const collectors[] = {
		"arp",        "bonding",   "conntrack", "cpu",     "cpufreq", "diskstats",
		"dmi",        "edac",      "entropy",   "filefd",  "hwmon",   "loadavg",
		"mdadm",      "meminfo",   "netclass",  "netdev",  "netstat", "nvme",
		"pressure",   "schedstat", "sockstat",  "softnet", "stat",    "thermal_zone",
		"udp_queues", "vmstat"
	};
	/* Of the machine itself whatever the roots are. */
	static const char *const skip[] = { "node_time",       "node_uname",   "node_os_",
					    "node_filesystem", "node_selinux", NULL };
	char dir[] = "/tmp/test-node-XXXXXX", proc[128], sys[128], udev[64], arg[64][160];
	char *argv[64] = { (char *)(uintptr_t)EXPORTER };
	struct list we = { 0 }, they = { 0 };
	struct exporter e;
	size_t n = 1;
	cr_assert(mkdtemp(dir));
	unpack(dir);
	snprintf(proc, sizeof(proc), "%s/proc", dir);
	snprintf(sys, sizeof(sys), "%s/sys", dir);
	snprintf(udev, sizeof(udev), "%s/udev", dir);
	const struct node_roots roots = { proc, sys, dir, udev };
	ours(&roots, &we);
	cr_expect_gt(we.len, 300);
	if (!absent()) {
		snprintf(arg[n++], sizeof(arg[0]), "--path.procfs=%s", proc);
		snprintf(arg[n++], sizeof(arg[0]), "--path.sysfs=%s", sys);
		snprintf(arg[n++], sizeof(arg[0]), "--path.udev.data=%s", udev);
		snprintf(arg[n++], sizeof(arg[0]), "--web.listen-address=127.0.0.1:0");
		snprintf(arg[n++], sizeof(arg[0]), "--collector.disable-defaults");
		snprintf(arg[n++], sizeof(arg[0]), "--no-collector.netdev.netlink");
		for (size_t i = 0; i < COUNT(collectors); i++)
			snprintf(arg[n++], sizeof(arg[0]), "--collector.%s", collectors[i]);
		for (size_t i = 1; i < n; i++)
			argv[i] = arg[i];
		exporter_start(&e, argv);
		exporter_end(&e, &they);
		size_t same = compare(&we, &they, true, skip);
		printf("%zu series with the same values\n", same);
		cr_expect_gt(same, 300);
	}
	list_free(&we);
	list_free(&they);
	cr_assert_eq(file_remove_tree(dir, &(struct error){ 0 }), 0);
}
