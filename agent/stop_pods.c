/* --stop-pods: everything of a node ends, without an agent. */
#include "agent.h"
#include "base/mem.h"
#include "cgroup.h"
#include "runtime.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STOP_MS = 30000, TURN_MS = 20 };

struct stopping {
	unsigned left;
};

struct victim {
	struct stopping *all;
	struct rt_pod *pod;
};

static void on_destroyed(void *arg, const char *error)
{
	struct victim *v = arg;
	(void)error;
	v->all->left--;
	mem_free(v);
}

static void on_up(void *arg, const struct error *err)
{
	struct victim *v = arg;
	(void)err;
	if (v->pod)
		runtime_process_ops.destroy(v->pod, on_destroyed, v);
}

static void on_changed(void *arg, const char *ctr, uint32_t attempt)
{
	(void)arg;
	(void)ctr;
	(void)attempt;
}

static void on_lost(void *arg)
{
	on_up(arg, NULL);
}

/* A pod without a socket has no shim, and so no process. */
static void stop_one(struct stopping *all, struct runtime_process *rt, const char *dir,
		     const char *uid)
{
	char sock[PATH_MAX];
	if (snprintf(sock, sizeof(sock), "%s/shim.sock", dir) >= (int)sizeof(sock) ||
	    !file_exists(sock))
		return;
	struct victim *v = mem_new(struct victim, 1);
	const struct rt_pod_events ev = { on_up, on_changed, on_lost, v };
	v->all = all;
	if (runtime_process_ops.open(rt, uid, dir, &ev, &v->pod, NULL) != 0)
		mem_free(v);
	else
		all->left++;
}

static int stop_all(struct loop *l, struct runtime_process *rt, const char *state_dir,
		    struct error *err)
{
	struct stopping all = { 0 };
	char pods[PATH_MAX], dir[PATH_MAX];
	if (snprintf(pods, sizeof(pods), "%s/pods", state_dir) >= (int)sizeof(pods))
		return error_set(err, ERR_INVALID, "%s: too long", state_dir);
	DIR *d = opendir(pods);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] != '.' &&
		    snprintf(dir, sizeof(dir), "%s/%s", pods, e->d_name) < (int)sizeof(dir))
			stop_one(&all, rt, dir, e->d_name);
	}
	if (d)
		closedir(d);
	uint64_t end = clock_mono_ms() + STOP_MS;
	while (all.left && clock_mono_ms() < end)
		loop_turn(l, TURN_MS);
	return all.left ? error_set(err, ERR_UNAVAILABLE, "%u pods did not end", all.left) : 0;
}

int agent_stop_pods(const struct agent_config *cfg, struct error *err)
{
	struct loop *l = NULL;
	struct runtime_process *rt = NULL;
	struct cgroups cgroups;
	struct buf missing = { 0 };
	if (!file_exists(cfg->state_dir))
		return 0;
	int rc = loop_new(&l, err);
	if (rc)
		return rc;
	cgroups_open(&cgroups, cfg->node_name, &missing);
	rc = runtime_process_new(l, cfg->shim, &cgroups, &rt, err);
	if (!rc)
		rc = stop_all(l, rt, cfg->state_dir, err);
	runtime_process_free(rt);
	cgroups_close(&cgroups);
	loop_free(l);
	buf_fini(&missing);
	return rc;
}
