#include "volume.h"

#include "base/mem.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

struct vfile {
	struct str path; /* relative, checked */
	struct str content;
	mode_t mode;
};

struct vfiles {
	struct arena *a;
	struct vfile *v;
	size_t len;
	size_t bytes;
};

/* Relative, no empty, "." or ".." component. */
static bool path_stays_inside(struct str path)
{
	struct str piece, rest = path;
	if (!path.len || path.p[0] == '/' || path.len >= PATH_MAX / 2 ||
	    memchr(path.p, 0, path.len))
		return false;
	while (str_split(&rest, '/', &piece)) {
		if (!piece.len || str_is(piece, ".") || str_is(piece, ".."))
			return false;
	}
	return true;
}

static int add_file(struct vfiles *f, struct str path, struct str content, int64_t mode,
		    struct error *err)
{
	if (!path_stays_inside(path) || str_starts(path, STR("..")))
		return error_set(err, ERR_INVALID, "path \"%.*s\" leaves the volume",
				 STR_ARG(path));
	if (f->len == VOLUME_FILES_MAX || f->bytes + content.len > VOLUME_BYTES_MAX)
		return error_set(err, ERR_TOO_LARGE, "more than %d files or %d bytes",
				 VOLUME_FILES_MAX, VOLUME_BYTES_MAX);
	if (!f->v)
		f->v = arena_new(f->a, struct vfile, VOLUME_FILES_MAX);
	f->bytes += content.len;
	f->v[f->len++] = (struct vfile){ path, content, (mode_t)(mode & 0777) };
	return 0;
}

static int add_key(struct vfiles *f, const struct config *c, struct str key, struct str path,
		   int64_t mode, struct error *err)
{
	struct buf v = { 0 };
	if (!config_value(c, key, &v)) {
		buf_fini(&v);
		return error_set(err, ERR_NOT_FOUND, "references non-existent config key: %.*s",
				 STR_ARG(key));
	}
	int rc = add_file(f, path, arena_str(f->a, buf_str(&v)), mode, err);
	buf_fini(&v);
	return rc;
}

/* Files of one ConfigMap or Secret source; `name` is where Kubernetes keeps it for the kind. */
static int add_config(struct vfiles *f, const struct pod_spec *pod, const struct configs *configs,
		      const char *kind, const struct json *src, int64_t mode, struct error *err)
{
	struct str name = json_str(json_getc(src, "name"));
	if (!name.len)
		name = json_str(json_getc(src, "secretName"));
	bool optional = json_bool(json_getc(src, "optional"), false);
	const struct config *c = configs_get(configs, str_of(kind), pod->ns, name);
	if (!c)
		return optional ? 0
				: error_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found",
					    kind[0] == 'C' ? "configmap" : "secret", STR_ARG(name));
	const struct json *items = json_getc(src, "items");
	struct str key;
	int rc = 0;
	for (size_t i = 0; !rc && i < json_len(items); i++) {
		const struct json *it = json_at(items, i);
		rc = add_key(f, c, json_str(json_getc(it, "key")), json_str(json_getc(it, "path")),
			     json_i64(json_getc(it, "mode"), mode), err);
		if (rc == ERR_NOT_FOUND && optional)
			rc = 0;
	}
	for (size_t pos = 0; !rc && !items && config_next_key(c, &pos, &key);)
		rc = add_key(f, c, key, key, mode, err);
	return rc;
}

static int add_downward(struct vfiles *f, const struct pod_spec *pod,
			const struct podenv_facts *facts, const struct json *src, int64_t mode,
			struct error *err)
{
	const struct json *items = json_getc(src, "items");
	int rc = 0;
	for (size_t i = 0; !rc && i < json_len(items); i++) {
		const struct json *it = json_at(items, i), *ref = json_getc(it, "fieldRef");
		struct str value = STR_NONE;
		if (ref) {
			rc = podenv_field(f->a, pod, facts, json_str(json_getc(ref, "fieldPath")),
					  &value, err);
		} else {
			ref = json_getc(it, "resourceFieldRef");
			ptrdiff_t c = pod_spec_find(pod, json_str(json_getc(ref, "containerName")));
			rc = c < 0 ? error_set(err, ERR_INVALID,
					       "resourceFieldRef names no container")
				   : podenv_resource(f->a, &pod->ctrs[c], facts, ref, &value, err);
		}
		if (!rc)
			rc = add_file(f, json_str(json_getc(it, "path")), value,
				      json_i64(json_getc(it, "mode"), mode), err);
	}
	return rc;
}

static int add_projected(struct vfiles *f, const struct pod_spec *pod,
			 const struct configs *configs, const struct podenv_facts *facts,
			 const struct json *src, struct error *err)
{
	const struct json *sources = json_getc(src, "sources"), *one;
	int64_t mode = json_i64(json_getc(src, "defaultMode"), 0644);
	int rc = 0;
	for (size_t i = 0; !rc && i < json_len(sources); i++) {
		const struct json *s = json_at(sources, i);
		if ((one = json_getc(s, "configMap")))
			rc = add_config(f, pod, configs, "ConfigMap", one, mode, err);
		else if ((one = json_getc(s, "secret")))
			rc = add_config(f, pod, configs, "Secret", one, mode, err);
		else if ((one = json_getc(s, "downwardAPI")))
			rc = add_downward(f, pod, facts, one, mode, err);
		else
			rc = error_set(err, ERR_INVALID, "projected source %zu is not supported",
				       i);
	}
	return rc;
}

/* ------------------------------------------------------------------------------------- writing */

static uint64_t digest(const struct vfiles *f)
{
	uint64_t h = 0x9e3779b97f4a7c15ULL;
	for (size_t i = 0; i < f->len; i++) {
		h = str_hash(f->v[i].path, h);
		h = str_hash(f->v[i].content, h ^ f->v[i].mode);
	}
	return h;
}

static int write_file(int dir, const struct vfile *f, struct error *err)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%.*s", STR_ARG(f->path));
	for (char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdirat(dir, path, 0755) != 0 && errno != EEXIST)
			return error_errno(err, ERR_INTERNAL, errno, "%s", path);
		*p = '/';
	}
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, f->mode);
	if (fd < 0)
		return error_errno(err, ERR_INTERNAL, errno, "%s", path);
	int rc = file_write_all(fd, f->content.p, f->content.len);
	if (fchmod(fd, f->mode) != 0 || rc != 0)
		rc = error_errno(err, ERR_INTERNAL, errno, "%s", path);
	close(fd);
	return rc;
}

/* "NAME" → "..data/NAME" for each first component. */
static int link_names(int vol, const struct vfiles *f, struct error *err)
{
	for (size_t i = 0; i < f->len; i++) {
		char name[PATH_MAX], target[PATH_MAX + 8];
		struct str rest = f->v[i].path, first;
		(void)str_split(&rest, '/', &first);
		snprintf(name, sizeof(name), "%.*s", STR_ARG(first));
		snprintf(target, sizeof(target), "..data/%s", name);
		if (symlinkat(target, vol, name) != 0 && errno != EEXIST)
			return error_errno(err, ERR_INTERNAL, errno, "%s", name);
	}
	return 0;
}

static int write_set(int vol, const char *folder, const struct vfiles *f, struct error *err)
{
	if (mkdirat(vol, folder, 0755) != 0 && errno != EEXIST)
		return error_errno(err, ERR_INTERNAL, errno, "%s", folder);
	int set = openat(vol, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (set < 0)
		return error_errno(err, ERR_INTERNAL, errno, "%s", folder);
	int rc = 0;
	for (size_t i = 0; !rc && i < f->len; i++)
		rc = write_file(set, &f->v[i], err);
	close(set);
	return rc;
}

/* Publishes the set of files when it differs from the one that is there. */
static int publish(const char *dir, const struct vfiles *f, struct error *err)
{
	char folder[32], now[64] = "", old[PATH_MAX];
	snprintf(folder, sizeof(folder), "..%016llx", (unsigned long long)digest(f));
	int vol = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (vol < 0)
		return error_errno(err, ERR_INTERNAL, errno, "%s", dir);
	ssize_t n = readlinkat(vol, "..data", now, sizeof(now) - 1);
	now[n > 0 ? n : 0] = '\0';
	int rc = 0;
	if (strcmp(now, folder) != 0) {
		rc = write_set(vol, folder, f, err);
		(void)unlinkat(vol, "..data_tmp", 0);
		if (!rc && (symlinkat(folder, vol, "..data_tmp") != 0 ||
			    renameat(vol, "..data_tmp", vol, "..data") != 0))
			rc = error_errno(err, ERR_INTERNAL, errno, "%s/..data", dir);
		if (!rc)
			rc = link_names(vol, f, err);
		if (!rc && now[0] &&
		    snprintf(old, sizeof(old), "%s/%s", dir, now) < (int)sizeof(old))
			(void)!file_remove_tree(old, NULL);
	}
	close(vol);
	return rc;
}

/* The pod's user and group own what is theirs; without the right to give away it stays ours. */
static void give(const struct pod_spec *pod, const char *dir, bool is_secret)
{
	const struct json *sc = json_getc(pod->spec, "securityContext");
	int64_t uid = json_i64(json_getc(sc, "runAsUser"), -1);
	int64_t group = json_i64(json_getc(sc, "fsGroup"), -1);
	if (uid < 0)
		uid = json_i64(json_dig(pod->ctrs[pod->first_main].json, "securityContext",
					"runAsUser", NULL),
			       -1);
	if (uid >= 0 || group >= 0)
		(void)!chown(dir, uid >= 0 && is_secret ? (uid_t)uid : (uid_t)-1,
			     group >= 0 ? (gid_t)group : (gid_t)-1);
	if (!is_secret)
		(void)chmod(dir, group >= 0 ? 02775 : 0777);
}

static int check_host_path(const struct json *src, struct error *err)
{
	struct str path = json_str(json_getc(src, "path")), type = json_str(json_getc(src, "type"));
	char p[PATH_MAX];
	struct stat st;
	if (path.len >= sizeof(p) || !path.len || path.p[0] != '/')
		return error_set(err, ERR_INVALID, "hostPath must be absolute");
	snprintf(p, sizeof(p), "%.*s", STR_ARG(path));
	if (str_is(type, "DirectoryOrCreate")) {
		int rc = file_mkdirs(p, 0755, err);
		if (rc)
			return rc;
	} else if (str_is(type, "FileOrCreate")) {
		int fd = open(p, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd >= 0)
			close(fd);
	}
	if (stat(p, &st) != 0)
		return error_set(err, ERR_NOT_FOUND,
				 "hostPath type check failed: %s does not exist", p);
	bool right = str_starts(type, STR("Directory")) ? S_ISDIR(st.st_mode)
		     : str_starts(type, STR("File"))    ? S_ISREG(st.st_mode)
		     : str_is(type, "Socket")           ? S_ISSOCK(st.st_mode)
							: true;
	return right ? 0
		     : error_set(err, ERR_INVALID, "hostPath type check failed: %s is not a %.*s",
				 p, STR_ARG(type));
}

static int sync_one(const struct pod_spec *pod, const struct configs *configs,
		    const struct podenv_facts *facts, const struct json *vol, struct error *err)
{
	struct arena a = { 0 };
	struct vfiles f = { .a = &a };
	struct str name = json_str(json_getc(vol, "name"));
	const struct json *src = NULL;
	char dir[PATH_MAX];
	if ((src = json_getc(vol, "hostPath")))
		return check_host_path(src, err);
	if (!path_stays_inside(name) || str_find(name, '/', 0) >= 0 ||
	    snprintf(dir, sizeof(dir), "%s/%.*s", facts->volumes_dir, STR_ARG(name)) >=
		    (int)sizeof(dir))
		return error_set(err, ERR_INVALID, "not a volume name");
	bool is_secret = json_getc(vol, "secret") || json_getc(vol, "projected");
	int rc = file_mkdirs(dir, is_secret ? 0750 : 0755, err);
	if (!rc && json_getc(vol, "emptyDir")) {
		give(pod, dir, false);
		return 0;
	}
	if (!rc && (src = json_getc(vol, "configMap")))
		rc = add_config(&f, pod, configs, "ConfigMap", src,
				json_i64(json_getc(src, "defaultMode"), 0644), err);
	else if (!rc && (src = json_getc(vol, "secret")))
		rc = add_config(&f, pod, configs, "Secret", src,
				json_i64(json_getc(src, "defaultMode"), 0644), err);
	else if (!rc && (src = json_getc(vol, "downwardAPI")))
		rc = add_downward(&f, pod, facts, src,
				  json_i64(json_getc(src, "defaultMode"), 0644), err);
	else if (!rc && (src = json_getc(vol, "projected")))
		rc = add_projected(&f, pod, configs, facts, src, err);
	else if (!rc)
		rc = error_set(err, ERR_INVALID,
			       "this kind of volume is not supported on this node");
	if (!rc)
		rc = publish(dir, &f, err);
	if (!rc && is_secret)
		give(pod, dir, true);
	arena_fini(&a);
	return rc;
}

int volume_sync(const struct pod_spec *pod, const struct configs *configs,
		const struct podenv_facts *facts, struct error *err)
{
	const struct json *vols = json_getc(pod->spec, "volumes");
	for (size_t i = 0; i < json_len(vols); i++) {
		int rc = sync_one(pod, configs, facts, json_at(vols, i), err);
		if (rc) {
			struct str name = json_str(json_getc(json_at(vols, i), "name"));
			error_wrap(err, "MountVolume.SetUp failed for volume \"%.*s\"",
				   STR_ARG(name));
			return rc;
		}
	}
	return 0;
}

/* -------------------------------------------------------------------------------------- mounts */

static const struct json *volume_of(const struct pod_spec *pod, struct str name)
{
	const struct json *vols = json_getc(pod->spec, "volumes");
	for (size_t i = 0; i < json_len(vols); i++) {
		if (str_eq(json_str(json_getc(json_at(vols, i), "name")), name))
			return json_at(vols, i);
	}
	return NULL;
}

/*
 * A subPath that is a link may point anywhere.  With runtimeClassName host the container sees the
 * host's files anyway, so this is no border; a driver with images must resolve it beneath the volume.
 */
static int mount_one(struct arena *a, const struct pod_spec *pod, const struct json *m,
		     const struct podenv *env, const struct podenv_facts *facts,
		     struct rt_mount *ret, struct error *err)
{
	struct str name = json_str(json_getc(m, "name")), to = json_str(json_getc(m, "mountPath"));
	const struct json *vol = volume_of(pod, name);
	if (!vol)
		return error_set(err, ERR_INVALID, "volumeMounts names no volume: %.*s",
				 STR_ARG(name));
	if (!to.len || to.p[0] != '/')
		return error_set(err, ERR_INVALID, "mountPath %.*s is not absolute", STR_ARG(to));
	struct str host = json_str(json_dig(vol, "hostPath", "path", NULL));
	struct str base =
		host.len ? host : arena_strf(a, "%s/%.*s", facts->volumes_dir, STR_ARG(name));
	struct str sub = json_str(json_getc(m, "subPath"));
	const struct json *expr = json_getc(m, "subPathExpr");
	if (expr)
		sub = podenv_expand(a, env, json_str(expr));
	if (sub.len && !path_stays_inside(sub))
		return error_set(err, ERR_INVALID, "subPath %.*s leaves the volume", STR_ARG(sub));
	ret->source = sub.len ? arena_printf(a, "%.*s/%.*s", STR_ARG(base), STR_ARG(sub))
			      : arena_printf(a, "%.*s", STR_ARG(base));
	ret->target = arena_printf(a, "%.*s", STR_ARG(to));
	bool api = json_getc(vol, "configMap") || json_getc(vol, "secret") ||
		   json_getc(vol, "downwardAPI") || json_getc(vol, "projected");
	ret->read_only = api || json_bool(json_getc(m, "readOnly"), false);
	if (sub.len && !api && !file_exists(ret->source))
		return file_mkdirs(ret->source, 0777, err);
	return 0;
}

int volume_mounts(struct arena *a, const struct pod_spec *pod, const struct ctr_spec *ctr,
		  const struct podenv *env, const struct podenv_facts *facts, struct rt_mount **ret,
		  size_t *ret_len, struct error *err)
{
	const struct json *list = json_getc(ctr->json, "volumeMounts");
	size_t n = json_len(list);
	struct rt_mount *m = arena_new(a, struct rt_mount, n + 1);
	for (size_t i = 0; i < n; i++) {
		int rc = mount_one(a, pod, json_at(list, i), env, facts, &m[i], err);
		if (rc)
			return rc;
	}
	*ret = m;
	*ret_len = n;
	return 0;
}

bool volume_uses(const struct pod_spec *pod, struct str kind, struct str name)
{
	bool map = str_is(kind, "ConfigMap");
	const struct json *vols = json_getc(pod->spec, "volumes");
	for (size_t i = 0; i < json_len(vols); i++) {
		const struct json *v = json_at(vols, i),
				  *p = json_dig(v, "projected", "sources", NULL);
		struct str direct = map ? json_str(json_dig(v, "configMap", "name", NULL))
					: json_str(json_dig(v, "secret", "secretName", NULL));
		if (name.len && str_eq(direct, name))
			return true;
		for (size_t k = 0; k < json_len(p); k++) {
			const char *source = map ? "configMap" : "secret";
			if (name.len &&
			    str_eq(json_str(json_dig(json_at(p, k), source, "name", NULL)), name))
				return true;
		}
	}
	return false;
}
