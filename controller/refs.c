#include "refs.h"

bool refs_has(const struct refs *r, enum ref_kind kind, struct str name)
{
	for (size_t i = 0; i < r->len; i++)
		if (r->a[i].kind == kind && str_eq(r->a[i].name, name))
			return true;
	return false;
}

static void add(struct refs *r, enum ref_kind kind, const struct json *name, bool optional)
{
	struct str n = json_str(name);
	if (!n.len || r->len == REFS_MAX)
		return;
	if ((kind == REF_SERVICE_ACCOUNT && str_is(n, "default")) ||
	    (kind == REF_CONFIG_MAP && str_is(n, "kube-root-ca.crt")))
		return;
	for (size_t i = 0; i < r->len; i++) {
		if (r->a[i].kind == kind && str_eq(r->a[i].name, n)) {
			r->a[i].optional &= optional;
			return;
		}
	}
	r->a[r->len++] = (struct ref){ kind, n, optional };
}

/* {name, optional} as in envFrom, valueFrom and projected sources */
static void add_named(struct refs *r, enum ref_kind kind, const struct json *ref)
{
	if (ref)
		add(r, kind, json_getc(ref, "name"), json_bool(json_getc(ref, "optional"), false));
}

static void container_refs(struct refs *r, const struct json *c)
{
	const struct json *env = json_getc(c, "env");
	for (size_t i = 0; i < json_len(env); i++) {
		const struct json *from = json_getc(json_at(env, i), "valueFrom");
		add_named(r, REF_CONFIG_MAP, json_getc(from, "configMapKeyRef"));
		add_named(r, REF_SECRET, json_getc(from, "secretKeyRef"));
	}
	const struct json *all = json_getc(c, "envFrom");
	for (size_t i = 0; i < json_len(all); i++) {
		add_named(r, REF_CONFIG_MAP, json_getc(json_at(all, i), "configMapRef"));
		add_named(r, REF_SECRET, json_getc(json_at(all, i), "secretRef"));
	}
}

static void volume_refs(struct refs *r, const struct json *v)
{
	const struct json *secret = json_getc(v, "secret");
	add_named(r, REF_CONFIG_MAP, json_getc(v, "configMap"));
	if (secret)
		add(r, REF_SECRET, json_getc(secret, "secretName"),
		    json_bool(json_getc(secret, "optional"), false));
	const struct json *sources = json_dig(v, "projected", "sources", NULL);
	for (size_t i = 0; i < json_len(sources); i++) {
		add_named(r, REF_CONFIG_MAP, json_getc(json_at(sources, i), "configMap"));
		add_named(r, REF_SECRET, json_getc(json_at(sources, i), "secret"));
	}
	/* drivers that take a Secret of the pod's namespace */
	static const char *const drivers[] = { "csi",        "cephfs",  "rbd",      "iscsi",
					       "flexVolume", "scaleIO", "storageos" };
	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++) {
		const struct json *d = json_getc(v, drivers[i]);
		add_named(r, REF_SECRET, json_getc(d, "secretRef"));
		add_named(r, REF_SECRET, json_getc(d, "nodePublishSecretRef"));
	}
	add(r, REF_SECRET, json_dig(v, "azureFile", "secretName", NULL), false);
}

static void pull_secrets(struct refs *r, const struct json *list)
{
	for (size_t i = 0; i < json_len(list); i++)
		add(r, REF_SECRET, json_getc(json_at(list, i), "name"), true);
}

static void pod_refs(struct refs *r, const struct json *spec)
{
	static const char *const lists[] = { "containers", "initContainers",
					     "ephemeralContainers" };
	for (size_t k = 0; k < sizeof(lists) / sizeof(*lists); k++) {
		const struct json *list = json_getc(spec, lists[k]);
		for (size_t i = 0; i < json_len(list); i++)
			container_refs(r, json_at(list, i));
	}
	const struct json *volumes = json_getc(spec, "volumes");
	for (size_t i = 0; i < json_len(volumes); i++)
		volume_refs(r, json_at(volumes, i));
	pull_secrets(r, json_getc(spec, "imagePullSecrets"));
	const struct json *account = json_getc(spec, "serviceAccountName");
	add(r, REF_SERVICE_ACCOUNT, account ? account : json_getc(spec, "serviceAccount"), false);
}

const struct json *refs_template(const struct json *obj)
{
	const struct json *spec = json_getc(obj, "spec");
	if (str_is(json_str(json_getc(obj, "kind")), "Pod"))
		return obj;
	const struct json *job = json_dig(spec, "jobTemplate", "spec", "template", NULL);
	return job ? job : json_getc(spec, "template");
}

struct refs refs_of(struct arena *a, const struct json *obj)
{
	struct refs r = { .a = arena_new(a, struct ref, REFS_MAX) };
	struct str kind = json_str(json_getc(obj, "kind"));
	if (str_is(kind, "AlertReceiver")) {
		const struct json *hook = json_dig(obj, "spec", "webhook", NULL);
		add(&r, REF_SECRET, json_dig(hook, "bearerTokenSecretRef", "name", NULL), false);
		add(&r, REF_SECRET, json_dig(hook, "httpHeadersSecretRef", "name", NULL), false);
		return r;
	}
	if (str_is(kind, "ServiceAccount")) {
		pull_secrets(&r, json_getc(obj, "imagePullSecrets"));
		return r;
	}
	const struct json *spec = json_getc(refs_template(obj), "spec");
	if (spec)
		pod_refs(&r, spec);
	return r;
}
