#include "podenv.h"

#include "base/mem.h"
#include "text/quantity.h"

#include <ctype.h>

static const struct env_var *find(const struct podenv *e, struct str name)
{
	for (size_t i = 0; i < e->len; i++) {
		if (str_eq(e->vars[i].name, name))
			return &e->vars[i];
	}
	return NULL;
}

static int set(struct arena *a, struct podenv *e, struct str name, struct str value,
	       struct error *err)
{
	if (value.len && memchr(value.p, 0, value.len))
		return error_set(err, ERR_INVALID, "env %.*s: has a NUL byte", STR_ARG(name));
	for (size_t i = 0; i < e->len; i++) {
		if (str_eq(e->vars[i].name, name)) {
			e->vars[i].value = value;
			return 0;
		}
	}
	if (e->len == ENV_VARS_MAX)
		return error_set(err, ERR_TOO_LARGE, "more than %d variables", ENV_VARS_MAX);
	if (e->len == e->cap) {
		size_t cap = e->cap ? e->cap * 2 : 32;
		struct env_var *v = arena_new(a, struct env_var, cap);
		if (e->len)
			memcpy(v, e->vars, e->len * sizeof(*v));
		e->vars = v;
		e->cap = cap;
	}
	e->vars[e->len++] = (struct env_var){ name, value };
	return 0;
}

struct str podenv_expand(struct arena *a, const struct podenv *env, struct str s)
{
	struct buf out = { 0 };
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] != '$' || i + 1 == s.len) {
			buf_addc(&out, s.p[i]);
			continue;
		}
		if (s.p[i + 1] == '$') { /* $$ is a plain $ */
			buf_addc(&out, '$');
			i++;
			continue;
		}
		ptrdiff_t close = s.p[i + 1] == '(' ? str_find(s, ')', i) : -1;
		if (close < 0) {
			buf_addc(&out, '$');
			continue;
		}
		const struct env_var *v = find(env, str_sub(s, i + 2, (size_t)close));
		buf_add_str(&out, v ? v->value : str_sub(s, i, (size_t)close + 1));
		i = (size_t)close;
	}
	struct str ret = arena_str(a, buf_str(&out));
	buf_fini(&out);
	return ret;
}

/* ------------------------------------------------------------------------------------- fields */

/* "annotations['a.b/c']" → "a.b/c" */
static bool subscript(struct str path, const char *what, struct str *key)
{
	struct str prefix = str_of(what);
	if (!str_starts(path, prefix) || path.len < prefix.len + 4 || path.p[prefix.len] != '[' ||
	    path.p[prefix.len + 1] != '\'' || !str_ends(path, STR("']")))
		return false;
	*key = str_sub(path, prefix.len + 2, path.len - 2);
	return true;
}

/* All pairs as `key="value"` lines, the way the downward API writes them. */
static struct str pairs(struct arena *a, const struct json *object)
{
	struct buf b = { 0 };
	for (size_t i = 0; json_is(object, JSON_OBJECT) && i < json_len(object); i++) {
		if (i)
			buf_addc(&b, '\n');
		buf_add_str(&b, json_str(&object->members[i].key));
		buf_addc(&b, '=');
		json_write_str(&b, json_str(&object->members[i].value));
	}
	struct str s = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return s;
}

int podenv_field(struct arena *a, const struct pod_spec *pod, const struct podenv_facts *f,
		 struct str path, struct str *ret, struct error *err)
{
	const struct json *md = pod->metadata;
	struct str key;
	if (subscript(path, "metadata.labels", &key))
		*ret = json_str(json_get(json_getc(md, "labels"), key));
	else if (subscript(path, "metadata.annotations", &key))
		*ret = json_str(json_get(json_getc(md, "annotations"), key));
	else if (str_is(path, "metadata.labels"))
		*ret = pairs(a, json_getc(md, "labels"));
	else if (str_is(path, "metadata.annotations"))
		*ret = pairs(a, json_getc(md, "annotations"));
	else if (str_is(path, "metadata.name"))
		*ret = pod->name;
	else if (str_is(path, "metadata.namespace"))
		*ret = pod->ns;
	else if (str_is(path, "metadata.uid"))
		*ret = pod->uid;
	else if (str_is(path, "spec.nodeName"))
		*ret = str_of(f->node_name);
	else if (str_is(path, "spec.serviceAccountName"))
		*ret = json_str(json_getc(pod->spec, "serviceAccountName"));
	else if (str_is(path, "status.hostIP") || str_is(path, "status.hostIPs"))
		*ret = str_of(f->host_ip);
	else if (str_is(path, "status.podIP") || str_is(path, "status.podIPs"))
		*ret = str_of(f->pod_ip);
	else
		return error_set(err, ERR_INVALID, "fieldRef %.*s is not supported", STR_ARG(path));
	return 0;
}

int podenv_resource(struct arena *a, const struct ctr_spec *c, const struct podenv_facts *f,
		    const struct json *ref, struct str *ret, struct error *err)
{
	struct str what = json_str(json_getc(ref, "resource"));
	bool cpu = str_ends(what, STR(".cpu"));
	int64_t v = 0;
	if (str_is(what, "limits.cpu"))
		v = c->cpu_limit_m ? c->cpu_limit_m : f->node_cpu_m;
	else if (str_is(what, "requests.cpu"))
		v = c->cpu_request_m;
	else if (str_is(what, "limits.memory"))
		v = c->memory_limit ? c->memory_limit : f->node_memory;
	else if (str_is(what, "requests.memory"))
		v = c->memory_request;
	else if (!str_starts(what, STR("limits.ephemeral-storage")) &&
		 !str_starts(what, STR("requests.ephemeral-storage")))
		return error_set(err, ERR_INVALID, "resource %.*s is not supported", STR_ARG(what));
	struct quantity q;
	const struct json *divisor = json_getc(ref, "divisor");
	int64_t d = cpu ? 1000 : 1;
	if (json_is(divisor, JSON_STRING) && quantity_parse(json_str(divisor), &q, NULL) == 0 &&
	    quantity_sign(q) > 0)
		d = cpu ? quantity_milli(q) : quantity_value(q);
	*ret = arena_strf(a, "%lld", (long long)((v + d - 1) / d));
	return 0;
}

/* ------------------------------------------------------------------------------------- sources */

/* Missing is an error unless optional; then *found is NULL. */
static int source(const struct pod_spec *pod, const struct configs *configs, const char *kind,
		  const struct json *ref, const struct config **found, struct error *err)
{
	struct str name = json_str(json_getc(ref, "name"));
	*found = configs_get(configs, str_of(kind), pod->ns, name);
	if (!*found && !json_bool(json_getc(ref, "optional"), false))
		return error_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found",
				 kind[0] == 'C' ? "configmap" : "secret", STR_ARG(name));
	return 0;
}

static bool is_env_name(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char ch = s.p[i];
		bool plain = isalpha((unsigned char)ch) || ch == '_' || ch == '-' || ch == '.' ||
			     (i > 0 && isdigit((unsigned char)ch));
		if (!plain)
			return false;
	}
	return s.len > 0;
}

static int add_from(struct arena *a, const struct pod_spec *pod, const struct configs *configs,
		    const struct json *from, struct podenv *e, struct error *err)
{
	const struct json *map = json_getc(from, "configMapRef"),
			  *secret = json_getc(from, "secretRef");
	struct str prefix = json_str(json_getc(from, "prefix")), key;
	const struct config *c = NULL;
	int rc = map      ? source(pod, configs, "ConfigMap", map, &c, err)
		 : secret ? source(pod, configs, "Secret", secret, &c, err)
			  : 0;
	for (size_t pos = 0; !rc && c && config_next_key(c, &pos, &key);) {
		struct buf v = { 0 };
		struct str name = arena_strf(a, "%.*s%.*s", STR_ARG(prefix), STR_ARG(key));
		if (is_env_name(name) && config_value(c, key, &v))
			rc = set(a, e, name, arena_str(a, buf_str(&v)), err);
		buf_fini(&v);
	}
	return rc;
}

static int key_value(struct arena *a, const struct pod_spec *pod, const struct configs *configs,
		     const char *kind, const struct json *ref, struct str *ret, bool *skip,
		     struct error *err)
{
	const struct config *c = NULL;
	struct str key = json_str(json_getc(ref, "key"));
	struct buf v = { 0 };
	int rc = source(pod, configs, kind, ref, &c, err);
	if (rc)
		return rc;
	if (c && config_value(c, key, &v))
		*ret = arena_str(a, buf_str(&v));
	else if (json_bool(json_getc(ref, "optional"), false))
		*skip = true;
	else
		rc = error_set(err, ERR_NOT_FOUND, "couldn't find key %.*s in %s %.*s/%.*s",
			       STR_ARG(key), kind, STR_ARG(pod->ns),
			       STR_ARG(json_str(json_getc(ref, "name"))));
	buf_fini(&v);
	return rc;
}

struct build {
	struct arena *a;
	const struct pod_spec *pod;
	const struct ctr_spec *ctr;
	const struct configs *configs;
	const struct podenv_facts *facts;
};

static int add_one(const struct build *b, const struct json *j, struct podenv *e, struct error *err)
{
	struct str name = json_str(json_getc(j, "name")), value = STR_NONE;
	const struct json *from = json_getc(j, "valueFrom"), *ref;
	bool skip = false;
	int rc = 0;
	if (!is_env_name(name))
		return error_set(err, ERR_INVALID, "env: \"%.*s\" is not a name", STR_ARG(name));
	if (!from)
		value = podenv_expand(b->a, e, json_str(json_getc(j, "value")));
	else if ((ref = json_getc(from, "fieldRef")))
		rc = podenv_field(b->a, b->pod, b->facts, json_str(json_getc(ref, "fieldPath")),
				  &value, err);
	else if ((ref = json_getc(from, "resourceFieldRef")))
		rc = podenv_resource(b->a, b->ctr, b->facts, ref, &value, err);
	else if ((ref = json_getc(from, "configMapKeyRef")))
		rc = key_value(b->a, b->pod, b->configs, "ConfigMap", ref, &value, &skip, err);
	else if ((ref = json_getc(from, "secretKeyRef")))
		rc = key_value(b->a, b->pod, b->configs, "Secret", ref, &value, &skip, err);
	else
		rc = error_set(err, ERR_INVALID, "env %.*s: valueFrom is not supported",
			       STR_ARG(name));
	if (!rc && !skip)
		rc = set(b->a, e, name, value, err);
	return rc;
}

/* What every container of ours gets, before its own wishes. */
static int add_given(const struct build *b, struct podenv *e, struct error *err)
{
	struct str host = json_str(json_getc(b->pod->spec, "hostname"));
	int rc = set(b->a, e, STR("PATH"),
		     STR("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), err);
	if (!rc)
		rc = set(b->a, e, STR("HOSTNAME"), host.len ? host : b->pod->name, err);
	if (!rc)
		rc = set(b->a, e, STR("RCTL_NODE_NAME"), str_of(b->facts->node_name), err);
	const struct json *vols = json_getc(b->pod->spec, "volumes");
	for (size_t i = 0; !rc && i < json_len(vols); i++) {
		struct str name = json_str(json_getc(json_at(vols, i), "name"));
		char *env = arena_printf(b->a, "RCTL_VOLUME_%.*s", STR_ARG(name));
		for (char *p = env; *p; p++)
			*p = *p == '-' || *p == '.' ? '_' : (char)toupper((unsigned char)*p);
		struct str path = json_str(json_dig(json_at(vols, i), "hostPath", "path", NULL));
		if (!path.len)
			path = arena_strf(b->a, "%s/%.*s", b->facts->volumes_dir, STR_ARG(name));
		rc = set(b->a, e, str_of(env), path, err);
	}
	return rc;
}

int podenv_build(struct arena *a, const struct pod_spec *pod, const struct ctr_spec *ctr,
		 const struct configs *configs, const struct podenv_facts *facts,
		 struct podenv *ret, struct error *err)
{
	const struct build b = { a, pod, ctr, configs, facts };
	struct podenv e = { NULL, 0, 0 };
	int rc = add_given(&b, &e, err);
	const struct json *from = json_getc(ctr->json, "envFrom"),
			  *env = json_getc(ctr->json, "env");
	for (size_t i = 0; !rc && i < json_len(from); i++)
		rc = add_from(a, pod, configs, json_at(from, i), &e, err);
	for (size_t i = 0; !rc && i < json_len(env); i++)
		rc = add_one(&b, json_at(env, i), &e, err);
	size_t bytes = 0;
	for (size_t i = 0; i < e.len; i++)
		bytes += e.vars[i].name.len + e.vars[i].value.len + 2;
	if (!rc && bytes > ENV_BYTES_MAX)
		rc = error_set(err, ERR_TOO_LARGE, "the environment is larger than %d bytes",
			       ENV_BYTES_MAX);
	if (!rc)
		*ret = e;
	return rc;
}

char **podenv_argv(struct arena *a, const struct podenv *env, const struct ctr_spec *ctr)
{
	const struct json *command = json_getc(ctr->json, "command"),
			  *args = json_getc(ctr->json, "args");
	size_t n = 0, total = json_len(command) + json_len(args);
	char **v = arena_new(a, char *, total + 1);
	for (size_t i = 0; i < total; i++) {
		const struct json *j = i < json_len(command) ? json_at(command, i)
							     : json_at(args, i - json_len(command));
		struct str s = podenv_expand(a, env, json_str(j));
		v[n++] = arena_printf(a, "%.*s", STR_ARG(s));
	}
	return v;
}

char **podenv_strings(struct arena *a, const struct podenv *env)
{
	char **v = arena_new(a, char *, env->len + 1);
	for (size_t i = 0; i < env->len; i++)
		v[i] = arena_printf(a, "%.*s=%.*s", STR_ARG(env->vars[i].name),
				    STR_ARG(env->vars[i].value));
	return v;
}
