/*
 * dev up|status|down: a local fleet as separate processes under one folder.
 *
 *   DIR/fleet.json   the shape and the ports      DIR/kubeconfig   contexts global and one a cluster
 *   DIR/pki          CA, certificates, keys       DIR/run/X.pid    "pid start-time" of each daemon
 *   DIR/data         databases                    DIR/log/X.log    what each daemon prints
 *   DIR/nodes/X      the agents' state
 *
 * up is idempotent: what runs is left alone, what is dead is started again on the data that is there.
 */
#include "base/mem.h"
#include "dev_fleet.h"
#include "rctl.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "sys/proc.h"
#include "yaml/yaml.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READY_MS = 120000,
	STOP_MS = 20000,
	POLL_MS = 100,
	FILE_BYTES_MAX = 1 << 20,
	SHIM_STOP_MS = 10000
};

/* ---- processes ---- */

static pid_t running(struct fleet *f, const struct fleet_daemon *d)
{
	struct buf b = { 0 };
	long long pid = 0;
	unsigned long long start = 0;
	bool ok = file_read(fleet_path(f, "run/%s.pid", d->name), 256, &b, NULL) == 0 &&
		  sscanf(buf_cstr(&b), "%lld %llu", &pid, &start) == 2 && pid > 1 &&
		  proc_start_time((pid_t)pid) == start && start != 0;
	buf_fini(&b);
	return ok ? (pid_t)pid : 0;
}

static int start_daemon(struct fleet *f, const struct fleet_daemon *d, struct error *err)
{
	int log = open(fleet_path(f, "log/%s.log", d->name),
		       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0)
		return error_errno(err, ERR_INTERNAL, errno, "log of %s", d->name);
	const struct proc_spec spec = {
		.path = d->argv[0], .argv = d->argv, .fds = { -1, log, log }, .new_session = true
	};
	pid_t pid = 0;
	int rc = proc_spawn(&spec, &pid, err);
	(void)close(log);
	if (rc)
		return error_wrap(err, "%s", d->name);
	char text[64];
	int n = snprintf(text, sizeof(text), "%d %" PRIu64 "\n", (int)pid, proc_start_time(pid));
	return file_write_atomic(fleet_path(f, "run/%s.pid", d->name), str_n(text, (size_t)n), 0600,
				 err);
}

static bool installed(const struct fleet_daemon *d)
{
	return access(d->argv[0], X_OK) == 0;
}

/* ---- the shape ---- */

static int free_port(int64_t *ret, struct error *err)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)(void *)&a, len) != 0 ||
	    getsockname(fd, (struct sockaddr *)(void *)&a, &len) != 0) {
		if (fd >= 0)
			(void)close(fd);
		return error_errno(err, ERR_UNAVAILABLE, errno, "no free port on 127.0.0.1");
	}
	*ret = ntohs(a.sin_port);
	(void)close(fd);
	return 0;
}

static int new_ports(struct fleet *f, struct error *err)
{
	int rc = free_port(&f->api_port, err);
	for (size_t i = 0; i < f->clusters_len && !rc; i++) {
		rc = free_port(&f->clusters[i].api_port, err);
		if (!rc)
			rc = free_port(&f->clusters[i].agent_port, err);
	}
	return rc;
}

static int open_dir(struct rctl *r, struct fleet *f, struct error *err)
{
	const char *dir = r->opt.dir ? r->opt.dir : "fleet";
	char cwd[PATH_MAX];
	char self[PATH_MAX];
	int rc = proc_self_dir(self, err);
	if (rc)
		return rc;
	f->bin_dir = arena_strdup(&f->arena, self);
	if (dir[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return error_errno(err, ERR_INTERNAL, errno, "the current folder");
	f->dir = dir[0] == '/' ? arena_strdup(&f->arena, dir)
			       : arena_printf(&f->arena, "%s/%s", cwd, dir);
	return 0;
}

/* ERR_NOT_FOUND when there is no fleet in the folder. */
static int load(struct fleet *f, struct error *err)
{
	struct buf b = { 0 };
	struct json j;
	int rc = file_read(fleet_path(f, "fleet.json"), FILE_BYTES_MAX, &b, err);
	if (rc == 0)
		rc = json_parse(&f->arena, arena_str(&f->arena, buf_str(&b)), NULL, &j, err);
	buf_fini(&b);
	return rc ? rc : fleet_load(f, &j, err);
}

static int create(struct rctl *r, struct fleet *f, struct error *err)
{
	f->store = arena_strdup(&f->arena, r->opt.store ? r->opt.store : "sqlite");
	if (strcmp(f->store, "sqlite") != 0 && !str_starts(str_of(f->store), STR("postgres")))
		return error_set(err, ERR_INVALID, "--store is sqlite or postgres://…, not \"%s\"",
				 f->store);
	f->regions = r->opt.regions;
	f->clusters_per_region = r->opt.clusters_n;
	f->nodes_per_cluster = r->opt.nodes;
	int rc = fleet_lay_out(f, err);
	if (!rc)
		rc = new_ports(f, err);
	if (!rc)
		rc = file_mkdirs(f->dir, 0755, err);
	if (rc)
		return rc;
	struct json j = fleet_save(f);
	struct buf b = { 0 };
	json_write_pretty(&b, &j, 2);
	buf_addc(&b, '\n');
	rc = file_write_atomic(fleet_path(f, "fleet.json"), buf_str(&b), 0600, err);
	buf_fini(&b);
	return rc;
}

/* ---- up ---- */

static void say(const struct rctl *r, const char *text)
{
	if (!*r->opt.output)
		(void)fprintf(stderr, "%s\n", text);
}

static int start_tier(struct rctl *r, struct fleet *f, int tier, size_t *started, struct error *err)
{
	for (size_t i = 0; i < f->daemons_len; i++) {
		const struct fleet_daemon *d = &f->daemons[i];
		if (d->tier != tier || running(f, d))
			continue;
		if (!installed(d)) {
			say(r, arena_printf(&f->arena, "  %s is not built: left out", d->program));
			continue;
		}
		int rc = start_daemon(f, d, err);
		if (rc)
			return rc;
		(*started)++;
	}
	return 0;
}

/* A client of one context of the fleet. */
static int use_context(struct rctl *r, struct fleet *f, const char *context, struct error *err)
{
	(void)client_discovery_free(r->discovery);
	r->discovery = NULL;
	(void)client_free(r->client);
	r->client = NULL;
	client_config_fini(&r->cfg);
	(void)fetch_free(r->fetch);
	r->fetch = NULL;
	(void)loop_free(r->loop);
	r->loop = NULL;
	r->opt.kubeconfig = fleet_path(f, "kubeconfig");
	r->opt.context = context;
	return rctl_connect(r, err);
}

static void last_words(struct fleet *f, const struct fleet_daemon *d, struct error *err)
{
	struct buf b = { 0 };
	if (file_read(fleet_path(f, "log/%s.log", d->name), 64 << 20, &b, NULL) == 0) {
		struct str t = str_trim(buf_str(&b));
		const char *nl = t.len ? memrchr(t.p, '\n', t.len) : NULL;
		struct str last = nl ? str_n(nl + 1, t.len - (size_t)(nl + 1 - t.p)) : t;
		(void)error_set(err, ERR_UNAVAILABLE, "%s ended: %.*s", d->name,
				STR_ARG(str_sub(last, 0, 300)));
	}
	buf_fini(&b);
}

/* Ready, or why not; ends early when a daemon of the tier died. */
static int wait_until(struct rctl *r, struct fleet *f, int tier,
		      bool (*ready)(struct rctl *r, struct fleet *f, void *arg), void *arg,
		      const char *what, struct error *err)
{
	uint64_t deadline =
		clock_mono_ms() + (r->opt.timeout_ms > 0 ? (uint64_t)r->opt.timeout_ms : READY_MS);
	while (!ready(r, f, arg)) {
		for (size_t i = 0; i < f->daemons_len; i++) {
			const struct fleet_daemon *d = &f->daemons[i];
			if (d->tier == tier && installed(d) && !running(f, d)) {
				last_words(f, d, err);
				return err->code ? err->code
						 : error_set(err, ERR_UNAVAILABLE,
							     "%s ended; see %s", d->name,
							     fleet_path(f, "log/%s.log", d->name));
			}
		}
		if (clock_mono_ms() > deadline)
			return error_set(err, ERR_TIMEOUT, "%s: not ready in time; see %s", what,
					 fleet_path(f, "log"));
		(void)poll(NULL, 0, POLL_MS);
	}
	return 0;
}

static bool api_ready(struct rctl *r, struct fleet *f, void *arg)
{
	struct error err = { 0 };
	struct reply reply = { 0 };
	int rc = use_context(r, f, arg, &err);
	if (rc == 0)
		rc = rctl_call(r,
			       &(struct client_request){
				       .method = "GET", .path = "/readyz", .timeout_ms = 2000 },
			       &reply);
	bool ok = rc == 0 && reply.status == 200;
	reply_fini(&reply);
	return ok;
}

static size_t ready_nodes(struct rctl *r)
{
	struct json list;
	struct error err = { 0 };
	size_t n = 0;
	if (rctl_get_json(r, "/api/v1/nodes", &list, &err) != 0)
		return 0;
	const struct json *items = json_getc(&list, "items");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *conditions =
			json_dig(json_at(items, i), "status", "conditions", NULL);
		const struct json *taints = json_dig(json_at(items, i), "spec", "taints", NULL);
		for (size_t k = 0; k < json_len(conditions); k++)
			n += str_is(json_str(json_getc(json_at(conditions, k), "type")), "Ready") &&
			     str_is(json_str(json_getc(json_at(conditions, k), "status")),
				    "True") &&
			     !json_len(taints);
	}
	return n;
}

static bool nodes_ready(struct rctl *r, struct fleet *f, void *arg)
{
	struct error err = { 0 };
	const char *cluster = arg;
	size_t want = 0;
	for (size_t i = 0; i < f->nodes_len; i++)
		want += strcmp(f->clusters[f->nodes[i].cluster].name, cluster) == 0;
	return use_context(r, f, cluster, &err) == 0 && ready_nodes(r) >= want;
}

static int apply_objects(struct rctl *r, struct fleet *f, struct error *err)
{
	struct str text = fleet_objects(f, err);
	struct yaml_doc *docs = NULL;
	size_t n = 0;
	if (!text.p)
		return err->code;
	int rc = yaml_parse_documents(&r->arena, text, NULL, &docs, &n, err);
	if (!rc)
		rc = use_context(r, f, "global", err);
	for (size_t i = 0; i < n && !rc; i++) {
		struct document d = { .obj = docs[i].root,
				      .where = STR("fleet"),
				      .file = STR("fleet"),
				      .yaml = &docs[i] };
		const struct client_resource *res = NULL;
		char *path = NULL;
		struct reply reply = { 0 };
		rc = manifest_target(r, &d, &res, &path, err);
		if (rc)
			break;
		rc = rctl_call(
			r,
			&(struct client_request){
				.method = "PATCH",
				.path = arena_printf(&r->arena,
						     "%s?force=true&fieldManager=rctl-dev", path),
				.content_type = "application/apply-patch+yaml",
				.body = json_text(&r->arena, &d.obj) },
			&reply);
		if (rc) {
			*err = reply.err;
			(void)error_wrap(err, "%.*s",
					 STR_ARG(rctl_name_of(r, res,
							      json_str(json_dig(&d.obj, "metadata",
										"name", NULL)))));
		}
		reply_fini(&reply);
	}
	return rc;
}

static int bring_up(struct rctl *r, struct fleet *f, size_t *started, struct error *err)
{
	say(r, "starting the API servers …");
	int rc = start_tier(r, f, 0, started, err);
	char global[] = "global";
	if (!rc)
		rc = wait_until(r, f, 0, api_ready, global, "the global API", err);
	for (size_t i = 0; i < f->clusters_len && !rc; i++)
		rc = wait_until(r, f, 0, api_ready, f->clusters[i].name, f->clusters[i].name, err);
	if (!rc)
		rc = apply_objects(r, f, err);
	if (rc)
		return rc;
	say(r, "starting controllers and agents …");
	rc = start_tier(r, f, 1, started, err);
	if (!rc)
		rc = start_tier(r, f, 2, started, err);
	for (size_t i = 0; i < f->clusters_len && !rc; i++)
		rc = wait_until(r, f, 2, nodes_ready, f->clusters[i].name,
				arena_printf(&f->arena, "the nodes of %s", f->clusters[i].name),
				err);
	return rc;
}

/* ---- status ---- */

static struct str megabytes(struct arena *a, uint64_t bytes)
{
	return bytes ? arena_strf(a, "%.1f MB", (double)bytes / 1e6) : STR("-");
}

/* RSS counts what daemons share in each of them; the shares (PSS) add up to what they really take. */
static void print_daemons(struct arena *a, const struct json *list, uint64_t rss, uint64_t pss)
{
	const struct str names[] = { STR("NAME"), STR("PROGRAM"), STR("PID"), STR("RSS"),
				     STR("PSS") };
	struct table *t = table_new();
	table_plain_columns(t, names, 5);
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *x = json_at(list, i);
		int64_t pid = json_i64(json_getc(x, "pid"), 0);
		const struct str cells[] = {
			json_str(json_getc(x, "name")),
			json_str(json_getc(x, "program")),
			pid ? arena_strf(a, "%" PRId64, pid) : STR("dead"),
			megabytes(a, (uint64_t)json_i64(json_getc(x, "rssBytes"), 0)),
			megabytes(a, (uint64_t)json_i64(json_getc(x, "pssBytes"), 0)),
		};
		table_cells(t, cells, 5);
	}
	const struct str total[] = { STR("total"), STR(""), STR(""), megabytes(a, rss),
				     megabytes(a, pss) };
	table_cells(t, total, 5);
	table_print(t, true);
	(void)table_free(t);
}

static int print_status(struct rctl *r, struct fleet *f)
{
	struct json out = json_object();
	struct arena *a = &f->arena;
	(void)json_setc(a, &out, "dir", json_of_cstr(f->dir));
	(void)json_setc(a, &out, "kubeconfig", json_of_cstr(fleet_path(f, "kubeconfig")));
	(void)json_setc(a, &out, "server",
			json_of_cstr(arena_printf(a, "https://127.0.0.1:%" PRId64, f->api_port)));
	struct json *list = json_setc(a, &out, "daemons", json_array());
	size_t dead = 0;
	uint64_t rss = 0;
	uint64_t pss = 0;
	for (size_t i = 0; i < f->daemons_len; i++) {
		const struct fleet_daemon *d = &f->daemons[i];
		if (!installed(d))
			continue;
		pid_t pid = running(f, d);
		dead += !pid;
		struct json *x = json_push(a, list, json_object());
		(void)json_setc(a, x, "name", json_of_cstr(d->name));
		(void)json_setc(a, x, "program", json_of_cstr(d->program));
		(void)json_setc(a, x, "running", json_of_bool(pid != 0));
		if (pid) {
			(void)json_setc(a, x, "pid", json_of_i64(pid));
			uint64_t mine = proc_rss(pid);
			uint64_t share = proc_pss(pid);
			(void)json_setc(a, x, "rssBytes", json_of_u64(mine));
			(void)json_setc(a, x, "pssBytes", json_of_u64(share));
			rss += mine;
			pss += share;
		}
		(void)json_setc(a, x, "log", json_of_cstr(fleet_path(f, "log/%s.log", d->name)));
	}
	(void)json_setc(a, &out, "running", json_of_bool(dead == 0));
	(void)json_setc(a, &out, "rssBytes", json_of_u64(rss));
	(void)json_setc(a, &out, "pssBytes", json_of_u64(pss));
	if (*r->opt.output) {
		struct error err = { 0 };
		return print_object(r, &out, &err) ? rctl_fail(&err) : dead ? 1 : 0;
	}
	print_daemons(a, list, rss, pss);
	return dead ? 1 : 0;
}

static int up(struct rctl *r, struct fleet *f)
{
	struct error err = { 0 };
	size_t started = 0;
	int rc = load(f, &err);
	if (rc == ERR_NOT_FOUND)
		rc = create(r, f, &err);
	if (rc)
		return rctl_fail(&err);
	fleet_daemons(f);
	rc = fleet_write_files(f, &err);
	if (!rc)
		rc = bring_up(r, f, &started, &err);
	if (rc)
		return rctl_fail(&err);
	if (*r->opt.output)
		return print_status(r, f);
	(void)printf("The fleet is up: %zu regions, %zu clusters, %zu nodes; %zu daemons were "
		     "started.\n",
		     (size_t)f->regions, f->clusters_len, f->nodes_len, started);
	(void)printf("  export KUBECONFIG=%s\n", fleet_path(f, "kubeconfig"));
	return 0;
}

/* ---- down ---- */

static void signal_tier(struct fleet *f, int tier, int signo)
{
	for (size_t i = 0; i < f->daemons_len; i++) {
		pid_t pid = f->daemons[i].tier == tier ? running(f, &f->daemons[i]) : 0;
		if (pid)
			(void)kill(pid, signo);
	}
}

static bool tier_gone(struct fleet *f, int tier)
{
	for (size_t i = 0; i < f->daemons_len; i++)
		if (f->daemons[i].tier == tier && running(f, &f->daemons[i]))
			return false;
	return true;
}

static void stop_tier(struct fleet *f, int tier)
{
	signal_tier(f, tier, SIGTERM);
	uint64_t deadline = clock_mono_ms() + STOP_MS;
	while (!tier_gone(f, tier) && clock_mono_ms() < deadline)
		(void)poll(NULL, 0, POLL_MS / 2);
	signal_tier(f, tier, SIGKILL);
	while (!tier_gone(f, tier))
		(void)poll(NULL, 0, POLL_MS / 2);
}

/* Pods outlive their agent by design; with the fleet they go too: the shims of its nodes are told to stop them. */
static int stop_pods(struct fleet *f, struct error *err)
{
	for (size_t i = 0; i < f->nodes_len; i++) {
		char *argv[] = { arena_printf(&f->arena, "%s/resource-cluster-agent", f->bin_dir),
				 arena_printf(&f->arena, "--node-name=%s", f->nodes[i].name),
				 arena_printf(&f->arena, "--state-dir=%s/nodes/%s", f->dir,
					      f->nodes[i].name),
				 arena_strdup(&f->arena, "--stop-pods"), NULL };
		if (access(argv[0], X_OK) != 0 ||
		    !file_exists(fleet_path(f, "nodes/%s", f->nodes[i].name)))
			continue;
		int log = open(fleet_path(f, "log/%s.log", f->nodes[i].name),
			       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		const struct proc_spec spec = { .path = argv[0],
						.argv = argv,
						.fds = { -1, log, log } };
		pid_t pid = 0;
		int rc = proc_spawn(&spec, &pid, err);
		if (log >= 0)
			(void)close(log);
		if (rc)
			return rc;
		uint64_t deadline = clock_mono_ms() + SHIM_STOP_MS * 4;
		while (proc_start_time(pid) && clock_mono_ms() < deadline)
			(void)poll(NULL, 0, POLL_MS / 2);
	}
	return 0;
}

static int down(struct rctl *r, struct fleet *f)
{
	struct error err = { 0 };
	int rc = load(f, &err);
	if (rc == ERR_NOT_FOUND) {
		say(r, "no fleet there");
		return 0;
	}
	if (rc)
		return rctl_fail(&err);
	fleet_daemons(f);
	for (int tier = 2; tier >= 0; tier--) {
		stop_tier(f, tier);
		if (tier == 2 && stop_pods(f, &err) != 0)
			return rctl_fail(&err);
	}
	static const char *const always[] = { "run", "log", "nodes" };
	static const char *const with_data[] = { "data", "pki", "kubeconfig", "fleet.json" };
	for (size_t i = 0; i < 3 && !rc; i++)
		rc = file_remove_tree(fleet_path(f, "%s", always[i]), &err);
	for (size_t i = 0; i < 4 && !rc && !r->opt.keep_data; i++)
		rc = file_remove_tree(fleet_path(f, "%s", with_data[i]), &err);
	if (rc)
		return rctl_fail(&err);
	if (!r->opt.keep_data)
		(void)rmdir(f->dir); /* only when nothing of others is in it */
	if (*r->opt.output)
		(void)printf("{\"down\": true}\n");
	else
		(void)printf("The fleet is down%s.\n",
			     r->opt.keep_data ? "; its databases are kept" : "");
	return 0;
}

int verb_dev(struct rctl *r)
{
	struct str what = str_of(r->opt.args_len ? r->opt.args[0] : "");
	struct error err = { 0 };
	struct fleet *f = mem_new(struct fleet, 1);
	int status = 0;
	if (*r->opt.output && strcmp(r->opt.output, "json") != 0 &&
	    strcmp(r->opt.output, "yaml") != 0) {
		status = rctl_usage("dev: -o is json or yaml");
	} else if (open_dir(r, f, &err) != 0) {
		status = rctl_fail(&err);
	} else if (str_is(what, "up")) {
		status = up(r, f);
	} else if (str_is(what, "down")) {
		status = down(r, f);
	} else if (str_is(what, "status")) {
		if (load(f, &err) != 0) {
			(void)error_wrap(&err, "no fleet in %s", f->dir);
			status = rctl_fail(&err);
		} else {
			fleet_daemons(f);
			status = print_status(r, f);
		}
	} else {
		status = rctl_usage("dev up|status|down");
	}
	arena_fini(&f->arena);
	mem_free(f);
	return status;
}
