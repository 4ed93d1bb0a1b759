/* The set of pods and what is kept of it on disk. */
#include "base/mem.h"
#include "podmgr_priv.h"
#include "sys/file.h"
#include "volume.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static char *join(const char *a, const char *b)
{
	struct buf p = { 0 };
	buf_addf(&p, "%s/%s", a, b);
	(void)buf_cstr(&p);
	return p.p;
}

/* --------------------------------------------------------------------------------------- disk */

static int load_pod(struct podmgr *m, const char *uid, struct error *err)
{
	struct buf path = { 0 }, text = { 0 };
	struct pod_spec *spec = NULL;
	buf_addf(&path, "%s/%s/pod.json", m->pods_dir, uid);
	int rc = file_read(buf_cstr(&path), POD_BYTES_MAX, &text, err);
	if (!rc)
		rc = pod_spec_parse(buf_str(&text), &spec, err);
	if (!rc && !str_is(spec->uid, uid)) {
		spec = pod_spec_free(spec);
		rc = error_set(err, ERR_INVALID, "%s: another pod's object", path.p);
	}
	buf_fini(&path);
	buf_fini(&text);
	if (!rc) {
		struct mpod *p = mpod_new(m, spec);
		map_set(&m->pods, str_of(p->uid), p);
		mpod_kick(p);
	}
	return rc;
}

/* A folder without a readable object cannot be run or reported: it is what a crash at creation left. */
static void load_pods(struct podmgr *m)
{
	DIR *d = opendir(m->pods_dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		struct error err = { 0 };
		if (e->d_name[0] == '.' || load_pod(m, e->d_name, &err) == 0)
			continue;
		if (err.code == ERR_NOT_FOUND || err.code == ERR_INVALID ||
		    err.code == ERR_BAD_REQUEST) {
			char *dir = join(m->pods_dir, e->d_name);
			(void)!file_remove_tree(dir, NULL);
			mem_free(dir);
		}
	}
	if (d)
		closedir(d);
}

static char *config_path(const struct podmgr *m, struct str kind, struct str ns, struct str name)
{
	struct buf p = { 0 };
	buf_addf(&p, "%s/%.*s_%.*s_%.*s", m->configs_dir, STR_ARG(kind), STR_ARG(ns),
		 STR_ARG(name));
	(void)buf_cstr(&p);
	return p.p;
}

static void load_configs(struct podmgr *m)
{
	DIR *d = opendir(m->configs_dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		struct str rest = str_of(e->d_name), kind, ns;
		struct buf text = { 0 };
		char *path = join(m->configs_dir, e->d_name);
		bool changed = false;
		if (e->d_name[0] != '.' && str_split(&rest, '_', &kind) &&
		    str_split(&rest, '_', &ns) &&
		    file_read(path, CONFIG_BYTES_MAX, &text, NULL) == 0)
			(void)!configs_put(&m->configs, kind, ns, rest, buf_str(&text), &changed,
					   NULL);
		buf_fini(&text);
		mem_free(path);
	}
	if (d)
		closedir(d);
}

static int save_pod(const struct podmgr *m, struct str uid, struct str text, struct error *err)
{
	struct buf path = { 0 };
	buf_addf(&path, "%s/%.*s", m->pods_dir, STR_ARG(uid));
	int rc = file_mkdirs(buf_cstr(&path), 0711, err);
	buf_adds(&path, "/pod.json");
	if (!rc)
		rc = file_write_atomic(buf_cstr(&path), text, 0600, err);
	buf_fini(&path);
	return rc;
}

/* -------------------------------------------------------------------------------------- begin */

int podmgr_new(const struct podmgr_options *opt, struct podmgr **ret, struct error *err)
{
	struct podmgr *m = mem_new(struct podmgr, 1);
	m->opt = *opt;
	m->pods_dir = join(opt->state_dir, "pods");
	m->configs_dir = join(opt->state_dir, "configs");
	m->logs_dir = join(opt->state_dir, "logs");
	int rc = file_mkdirs(m->pods_dir, 0711, err);
	if (!rc)
		rc = file_mkdirs(m->configs_dir, 0700, err);
	if (!rc)
		rc = file_mkdirs(m->logs_dir, 0750, err);
	if (rc) {
		podmgr_free(m);
		return rc;
	}
	load_configs(m);
	load_pods(m);
	*ret = m;
	return 0;
}

struct podmgr *podmgr_free(struct podmgr *m)
{
	if (!m)
		return NULL;
	size_t pos = 0;
	struct str uid;
	void *p;
	while (map_next(&m->pods, &pos, &uid, &p))
		mpod_free(p);
	map_fini(&m->pods);
	configs_fini(&m->configs);
	mem_free(m->pods_dir);
	mem_free(m->configs_dir);
	mem_free(m->logs_dir);
	mem_free(m);
	return NULL;
}

/* --------------------------------------------------------------------------------- assignment */

int podmgr_assign(struct podmgr *m, struct str pod_json, struct error *err)
{
	struct pod_spec *spec = NULL;
	int rc = pod_spec_parse(pod_json, &spec, err);
	if (rc)
		return rc;
	struct mpod *p = map_get(&m->pods, spec->uid);
	if (p && str_eq(p->spec->resource_version, spec->resource_version) &&
	    spec->resource_version.len && !p->forget) {
		pod_spec_free(spec); /* what we have */
		return 0;
	}
	if (!p && spec->over && !spec->deleting) {
		pod_spec_free(spec); /* it ran here before this node lost its state: never again */
		return 0;
	}
	rc = save_pod(m, spec->uid, pod_json, err);
	if (rc) {
		pod_spec_free(spec);
		return rc;
	}
	if (p) {
		mpod_update(p, spec);
	} else {
		p = mpod_new(m, spec);
		map_set(&m->pods, str_of(p->uid), p);
	}
	if (p->spec->deleting)
		mpod_end(p, WHY_DELETED, (uint64_t)p->spec->deletion_grace_ms);
	mpod_kick(p);
	return 0;
}

static void remove_pod(struct mpod *p, int64_t grace_ms)
{
	p->forget = true;
	mpod_end(p, WHY_DELETED, (uint64_t)(grace_ms < 0 ? p->spec->grace_ms : grace_ms));
	mpod_kick(p);
}

void podmgr_remove(struct podmgr *m, struct str uid, int64_t grace_ms)
{
	struct mpod *p = map_get(&m->pods, uid);
	if (p)
		remove_pod(p, grace_ms);
}

void podmgr_retain(struct podmgr *m, bool (*wanted)(void *arg, struct str uid), void *arg)
{
	size_t pos = 0;
	struct str uid;
	void *p;
	while (map_next(&m->pods, &pos, &uid, &p)) {
		if (!wanted(arg, uid))
			remove_pod(p, -1);
	}
}

void podmgr_forget(struct mpod *p)
{
	struct podmgr *m = p->mgr;
	(void)map_del(&m->pods, str_of(p->uid));
	if (m->opt.gone)
		m->opt.gone(m->opt.arg, p->log_dir);
	else
		(void)!file_remove_tree(p->log_dir, NULL);
	(void)!file_remove_tree(p->dir, NULL);
	mpod_free(p);
}

static void config_changed(struct podmgr *m, struct str kind, struct str ns, struct str name)
{
	size_t pos = 0;
	struct str uid;
	void *at;
	while (map_next(&m->pods, &pos, &uid, &at)) {
		struct mpod *p = at;
		if (!str_eq(p->spec->ns, ns))
			continue;
		if (p->plan.admitted && volume_uses(p->spec, kind, name))
			mpod_refresh(p);
		for (size_t i = 0; i < p->spec->ctrs_len; i++)
			p->ctrs[i].prepare_at_ms = 0;
		mpod_kick(p);
	}
}

int podmgr_config_put(struct podmgr *m, struct str kind, struct str ns, struct str name,
		      struct str json, struct error *err)
{
	bool changed = false;
	/* The parts become a file's name. */
	if (memchr(name.p ? name.p : "", '/', name.len) || memchr(ns.p ? ns.p : "", '/', ns.len))
		return error_set(err, ERR_INVALID, "config name with a slash");
	int rc = configs_put(&m->configs, kind, ns, name, json, &changed, err);
	if (rc || !changed)
		return rc;
	char *path = config_path(m, kind, ns, name);
	rc = file_write_atomic(path, json, 0600, err);
	mem_free(path);
	config_changed(m, kind, ns, name);
	return rc;
}

void podmgr_config_remove(struct podmgr *m, struct str kind, struct str ns, struct str name)
{
	if (!configs_get(&m->configs, kind, ns, name))
		return;
	configs_remove(&m->configs, kind, ns, name);
	char *path = config_path(m, kind, ns, name);
	(void)unlink(path);
	mem_free(path);
}

/* -------------------------------------------------------------------------------------- views */

void podmgr_report_all(struct podmgr *m)
{
	size_t pos = 0;
	struct str uid;
	void *p;
	while (map_next(&m->pods, &pos, &uid, &p))
		mpod_report(p, true);
}

bool podmgr_has(const struct podmgr *m, struct str uid)
{
	return map_get(&m->pods, uid) != NULL;
}

size_t podmgr_count(const struct podmgr *m)
{
	return m->pods.len;
}

size_t podmgr_running(const struct podmgr *m)
{
	size_t pos = 0, n = 0;
	struct str uid;
	void *p;
	while (map_next(&m->pods, &pos, &uid, &p))
		n += ((struct mpod *)p)->next.phase == PHASE_RUNNING;
	return n;
}

void podmgr_each_ctr(struct podmgr *m, bool with_stats,
		     void (*fn)(void *arg, const struct podmgr_ctr_view *v), void *arg)
{
	size_t pos = 0;
	struct str uid;
	void *at;
	while (map_next(&m->pods, &pos, &uid, &at)) {
		struct mpod *p = at;
		for (size_t i = 0; i < p->spec->ctrs_len; i++) {
			const struct plan_ctr *c = &p->plan.ctrs[i];
			struct podmgr_ctr_view v = { .pod = p->spec,
						     .ctr = &p->spec->ctrs[i],
						     .restarts = c->attempt,
						     .running = c->state == PLAN_RUNNING,
						     .backs_off = plan_restart_at(&p->plan, i) >
								  c->ended_ms,
						     .started_ns = p->ctrs[i].status.started_ns };
			if (with_stats && v.running && p->rt)
				v.has_stats = m->opt.ops->stats(p->rt, p->ctrs[i].name, &v.stats);
			fn(arg, &v);
		}
	}
}

static struct mpod *find_pod(struct podmgr *m, struct str uid, struct str ns, struct str name)
{
	size_t pos = 0;
	struct str key;
	void *at;
	if (uid.len)
		return map_get(&m->pods, uid);
	while (map_next(&m->pods, &pos, &key, &at)) {
		struct mpod *p = at;
		if (str_eq(p->spec->ns, ns) && str_eq(p->spec->name, name))
			return p;
	}
	return NULL;
}

int podmgr_log_find(struct podmgr *m, struct str uid, struct str ns, struct str pod, struct str ctr,
		    struct podmgr_log *ret, struct error *err)
{
	struct mpod *p = find_pod(m, uid, ns, pod);
	if (!p || !str_eq(p->spec->ns, ns) || !str_eq(p->spec->name, pod))
		return error_set(err, ERR_NOT_FOUND, "pod \"%.*s\" is not on this node",
				 STR_ARG(pod));
	if (!ctr.len)
		ctr = p->spec->ctrs[p->spec->first_main].name;
	ptrdiff_t i = pod_spec_find(p->spec, ctr);
	if (i < 0)
		return error_set(err, ERR_NOT_FOUND, "container %.*s is not valid for pod %.*s",
				 STR_ARG(ctr), STR_ARG(pod));
	const struct plan_ctr *c = &p->plan.ctrs[i];
	snprintf(ret->dir, sizeof(ret->dir), "%s/%s", p->log_dir, p->ctrs[i].name);
	snprintf(ret->ctr, sizeof(ret->ctr), "%s", p->ctrs[i].name);
	ret->attempt = c->attempt;
	ret->started = c->state != PLAN_NEW;
	ret->running = c->state == PLAN_RUNNING || c->state == PLAN_STARTING ||
		       (c->state == PLAN_ENDED && plan_restart_at(&p->plan, (size_t)i) != 0);
	return 0;
}
