#include "podspec.h"

#include "base/mem.h"
#include "text/names.h"
#include "text/quantity.h"

static int bad(struct error *err, const char *field, const char *what)
{
	return error_set(err, ERR_INVALID, "%s: %s", field, what);
}

static int64_t quantity_of(const struct json *resources, const char *list, const char *name,
			   bool milli)
{
	const struct json *v = json_dig(resources, list, name, NULL);
	struct quantity q;
	if (json_is(v, JSON_INT))
		q = quantity_of_value(json_i64(v, 0), QUANTITY_DECIMAL_SI);
	else if (!json_is(v, JSON_STRING) || quantity_parse(json_str(v), &q, NULL) != 0)
		return 0;
	int64_t n = milli ? quantity_milli(q) : quantity_value(q);
	return n > 0 ? n : 0;
}

static uint32_t seconds(const struct json *probe, const char *key, int64_t or_else)
{
	int64_t s = json_i64(json_getc(probe, key), or_else);
	if (s < 0)
		s = or_else;
	return (uint32_t)(s > 1000000 ? 1000000 : s) * 1000U;
}

static uint32_t threshold(const struct json *probe, const char *key, int64_t or_else)
{
	int64_t n = json_i64(json_getc(probe, key), or_else);
	return (uint32_t)(n < 1 ? or_else : n > 1000000 ? 1000000 : n);
}

/* A port is a number or the name of one of the container's ports; 0 = no such port. */
static uint16_t port_of(const struct json *ctr, const struct json *port)
{
	int64_t n = json_i64(port, 0);
	uint64_t digits = 0;
	if (json_is(port, JSON_STRING) && str_to_u64(json_str(port), &digits))
		n = digits <= UINT16_MAX ? (int64_t)digits : 0;
	const struct json *ports = json_getc(ctr, "ports");
	for (size_t i = 0; n == 0 && i < json_len(ports); i++) {
		const struct json *p = json_at(ports, i);
		if (json_str(port).len && str_eq(json_str(json_getc(p, "name")), json_str(port)))
			n = json_i64(json_getc(p, "containerPort"), 0);
	}
	return n > 0 && n <= UINT16_MAX ? (uint16_t)n : 0;
}

static int probe_parse(const struct json *ctr, const char *key, struct probe_spec *p,
		       struct error *err)
{
	const struct json *j = json_getc(ctr, key), *at = NULL;
	p->kind = PROBE_NONE;
	if (!json_is(j, JSON_OBJECT))
		return 0;
	if ((at = json_dig(j, "exec", "command", NULL)) && json_len(at)) {
		p->kind = PROBE_EXEC;
		p->command = at;
	} else if ((at = json_getc(j, "httpGet"))) {
		p->kind = PROBE_HTTP;
		p->path = json_str(json_getc(at, "path"));
		p->headers = json_getc(at, "httpHeaders");
		if (str_is(json_str(json_getc(at, "scheme")), "HTTPS"))
			return bad(err, key, "scheme HTTPS is not supported on this node");
	} else if ((at = json_getc(j, "tcpSocket"))) {
		p->kind = PROBE_TCP;
	} else {
		return bad(err, key, "needs exec, httpGet or tcpSocket");
	}
	p->host = json_str(json_getc(at, "host"));
	p->port = p->kind == PROBE_EXEC ? 0 : port_of(ctr, json_getc(at, "port"));
	if (p->kind != PROBE_EXEC && p->port == 0)
		return bad(err, key, "names no port of the container");
	p->initial_delay_ms = seconds(j, "initialDelaySeconds", 0);
	p->period_ms = seconds(j, "periodSeconds", 10);
	p->timeout_ms = seconds(j, "timeoutSeconds", 1);
	p->period_ms = p->period_ms ? p->period_ms : 10000;
	p->timeout_ms = p->timeout_ms ? p->timeout_ms : 1000;
	p->success_threshold = threshold(j, "successThreshold", 1);
	p->failure_threshold = threshold(j, "failureThreshold", 3);
	int64_t grace = json_i64(json_getc(j, "terminationGracePeriodSeconds"), -1);
	p->grace_ms = grace >= 0 && grace < 1000000 ? grace * 1000 : -1;
	return 0;
}

static int args_check(const struct json *list, const char *field, struct error *err)
{
	if (json_len(list) > POD_ARGS_MAX)
		return bad(err, field, "too many elements");
	for (size_t i = 0; i < json_len(list); i++) {
		struct str s = json_str(json_at(list, i));
		if (!json_is(json_at(list, i), JSON_STRING) || (s.len && memchr(s.p, 0, s.len)))
			return bad(err, field, "is not a list of plain strings");
	}
	return 0;
}

static int ctr_parse(struct pod_spec *p, const struct json *j, enum ctr_role role,
		     struct error *err)
{
	if (p->ctrs_len == POD_CONTAINERS_MAX)
		return bad(err, "spec.containers", "more than 32 containers");
	struct ctr_spec *c = &p->ctrs[p->ctrs_len];
	c->name = json_str(json_getc(j, "name"));
	c->image = json_str(json_getc(j, "image"));
	c->role = role;
	c->json = j;
	if (!name_check_dns1123_label(c->name, NULL))
		return bad(err, "containers.name", "is not a DNS label");
	if (pod_spec_find(p, c->name) >= 0)
		return bad(err, "containers.name", "two containers have the same");
	static const char *const keys[] = { "startupProbe", "livenessProbe", "readinessProbe" };
	int rc = 0;
	for (size_t i = 0; !rc && i < PROBE_USES; i++)
		rc = probe_parse(j, keys[i], &c->probes[i], err);
	for (size_t i = 0; !rc && i < PROBE_USES; i++)
		rc = args_check(c->probes[i].command, keys[i], err);
	if (!rc)
		rc = args_check(json_getc(j, "command"), "command", err);
	if (!rc)
		rc = args_check(json_getc(j, "args"), "args", err);
	if (rc)
		return error_wrap(err, "container %.*s", STR_ARG(c->name));
	c->pre_stop = json_dig(j, "lifecycle", "preStop", "exec", "command", NULL);
	int64_t sleep_s =
		json_i64(json_dig(j, "lifecycle", "preStop", "sleep", "seconds", NULL), 0);
	c->pre_stop_sleep_ms = sleep_s > 0 && sleep_s < 1000000 ? sleep_s * 1000 : 0;
	const struct json *r = json_getc(j, "resources");
	c->cpu_limit_m = quantity_of(r, "limits", "cpu", true);
	c->cpu_request_m = quantity_of(r, "requests", "cpu", true);
	c->memory_limit = quantity_of(r, "limits", "memory", false);
	c->memory_request = quantity_of(r, "requests", "memory", false);
	c->cpu_request_m = c->cpu_request_m ? c->cpu_request_m : c->cpu_limit_m;
	c->memory_request = c->memory_request ? c->memory_request : c->memory_limit;
	p->ctrs_len++;
	return 0;
}

static int containers_parse(struct pod_spec *p, struct error *err)
{
	const struct json *init = json_getc(p->spec, "initContainers");
	const struct json *main = json_getc(p->spec, "containers");
	int rc = 0;
	size_t n = json_len(init) + json_len(main);
	p->ctrs = arena_new(&p->arena, struct ctr_spec,
			    n < POD_CONTAINERS_MAX ? n + 1 : POD_CONTAINERS_MAX);
	for (size_t i = 0; !rc && i < json_len(init); i++) {
		const struct json *j = json_at(init, i);
		bool sidecar = str_is(json_str(json_getc(j, "restartPolicy")), "Always");
		rc = ctr_parse(p, j, sidecar ? CTR_SIDECAR : CTR_INIT, err);
	}
	p->first_main = p->ctrs_len;
	for (size_t i = 0; !rc && i < json_len(main); i++)
		rc = ctr_parse(p, json_at(main, i), CTR_MAIN, err);
	if (!rc && p->first_main == p->ctrs_len)
		rc = bad(err, "spec.containers", "is empty");
	return rc;
}

static int64_t grace_of(const struct json *j, const char *key, int64_t or_else_s)
{
	int64_t s = json_i64(json_getc(j, key), or_else_s);
	return (s < 0 ? or_else_s : s > 1000000 ? 1000000 : s) * 1000;
}

static int parse(struct pod_spec *p, struct str text, struct error *err)
{
	struct json_limits lim = JSON_LIMITS;
	lim.bytes_max = POD_BYTES_MAX;
	int rc = json_parse(&p->arena, arena_str(&p->arena, text), &lim, &p->root, err);
	if (rc)
		return rc;
	p->metadata = json_getc(&p->root, "metadata");
	p->spec = json_getc(&p->root, "spec");
	p->uid = json_str(json_getc(p->metadata, "uid"));
	p->ns = json_str(json_getc(p->metadata, "namespace"));
	p->name = json_str(json_getc(p->metadata, "name"));
	p->resource_version = json_str(json_getc(p->metadata, "resourceVersion"));
	p->node = json_str(json_getc(p->spec, "nodeName"));
	p->runtime_class = json_str(json_getc(p->spec, "runtimeClassName"));
	/* These become names of files: nothing else may. */
	if (!name_check_dns1123_subdomain(p->uid, NULL) || p->uid.len > NAME_LABEL_MAX)
		return bad(err, "metadata.uid", "is not usable as a name");
	if (!name_check_dns1123_subdomain(p->name, NULL))
		return bad(err, "metadata.name", "is not a DNS subdomain");
	if (!name_check_dns1123_label(p->ns, NULL))
		return bad(err, "metadata.namespace", "is not a DNS label");
	struct str restart = json_str(json_getc(p->spec, "restartPolicy"));
	p->restart = str_is(restart, "Never")       ? RESTART_NEVER
		     : str_is(restart, "OnFailure") ? RESTART_ON_FAILURE
						    : RESTART_ALWAYS;
	p->grace_ms = grace_of(p->spec, "terminationGracePeriodSeconds", 30);
	p->active_deadline_ms = grace_of(p->spec, "activeDeadlineSeconds", 0);
	p->deleting = json_str(json_getc(p->metadata, "deletionTimestamp")).len > 0;
	struct str phase = json_str(json_dig(&p->root, "status", "phase", NULL));
	p->over = str_is(phase, "Succeeded") || str_is(phase, "Failed");
	p->deletion_grace_ms =
		grace_of(p->metadata, "deletionGracePeriodSeconds", p->grace_ms / 1000);
	return containers_parse(p, err);
}

int pod_spec_parse(struct str text, struct pod_spec **ret, struct error *err)
{
	if (text.len > POD_BYTES_MAX)
		return error_set(err, ERR_TOO_LARGE, "pod: more than %d bytes", POD_BYTES_MAX);
	struct pod_spec *p = mem_new(struct pod_spec, 1);
	int rc = parse(p, text, err);
	if (rc) {
		pod_spec_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

struct pod_spec *pod_spec_free(struct pod_spec *p)
{
	if (p)
		arena_fini(&p->arena);
	mem_free(p);
	return NULL;
}

bool pod_spec_same_containers(const struct pod_spec *a, const struct pod_spec *b)
{
	return json_equal(json_getc(a->spec, "containers"), json_getc(b->spec, "containers")) &&
	       json_equal(json_getc(a->spec, "initContainers"),
			  json_getc(b->spec, "initContainers"));
}

ptrdiff_t pod_spec_find(const struct pod_spec *p, struct str name)
{
	for (size_t i = 0; i < p->ctrs_len; i++) {
		if (str_eq(p->ctrs[i].name, name))
			return (ptrdiff_t)i;
	}
	return -1;
}

const char *pod_spec_qos(const struct pod_spec *p)
{
	bool any = false, guaranteed = true;
	for (size_t i = 0; i < p->ctrs_len; i++) {
		const struct ctr_spec *c = &p->ctrs[i];
		any |= c->cpu_request_m || c->cpu_limit_m || c->memory_request || c->memory_limit;
		guaranteed &= c->cpu_limit_m && c->memory_limit &&
			      c->cpu_limit_m == c->cpu_request_m &&
			      c->memory_limit == c->memory_request;
	}
	return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}
