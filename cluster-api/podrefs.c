#include "podrefs.h"

struct refs {
	struct arena *a;
	struct str ns;
	struct str *list;
	size_t len;
};

static void add(struct refs *r, const char *kind, const struct json *name)
{
	struct str n = json_str(name);
	if (!n.len || r->len == PODREFS_MAX)
		return;
	struct str ref = arena_strf(r->a, "%s/%.*s/%.*s", kind, STR_ARG(r->ns), STR_ARG(n));
	for (size_t i = 0; i < r->len; i++)
		if (str_eq(r->list[i], ref))
			return;
	r->list[r->len++] = ref;
}

static void add_volume(struct refs *r, const struct json *v)
{
	add(r, "ConfigMap", json_dig(v, "configMap", "name", NULL));
	add(r, "Secret", json_dig(v, "secret", "secretName", NULL));
	const struct json *sources = json_dig(v, "projected", "sources", NULL);
	for (size_t i = 0; i < json_len(sources); i++) {
		add(r, "ConfigMap", json_dig(json_at(sources, i), "configMap", "name", NULL));
		add(r, "Secret", json_dig(json_at(sources, i), "secret", "name", NULL));
	}
}

static void add_container(struct refs *r, const struct json *c)
{
	const struct json *from = json_getc(c, "envFrom");
	for (size_t i = 0; i < json_len(from); i++) {
		add(r, "ConfigMap", json_dig(json_at(from, i), "configMapRef", "name", NULL));
		add(r, "Secret", json_dig(json_at(from, i), "secretRef", "name", NULL));
	}
	const struct json *env = json_getc(c, "env");
	for (size_t i = 0; i < json_len(env); i++) {
		const struct json *v = json_getc(json_at(env, i), "valueFrom");
		add(r, "ConfigMap", json_dig(v, "configMapKeyRef", "name", NULL));
		add(r, "Secret", json_dig(v, "secretKeyRef", "name", NULL));
	}
}

size_t podrefs(struct arena *a, const struct json *pod, struct str **ret)
{
	struct refs r = { .a = a, .ns = json_str(json_dig(pod, "metadata", "namespace", NULL)) };
	r.list = arena_new(a, struct str, PODREFS_MAX);
	const struct json *spec = json_getc(pod, "spec");
	const struct json *volumes = json_getc(spec, "volumes");
	for (size_t i = 0; i < json_len(volumes); i++)
		add_volume(&r, json_at(volumes, i));
	static const char *const lists[] = { "initContainers", "containers",
					     "ephemeralContainers" };
	for (size_t k = 0; k < 3; k++) {
		const struct json *list = json_getc(spec, lists[k]);
		for (size_t i = 0; i < json_len(list); i++)
			add_container(&r, json_at(list, i));
	}
	const struct json *pull = json_getc(spec, "imagePullSecrets");
	for (size_t i = 0; i < json_len(pull); i++)
		add(&r, "Secret", json_getc(json_at(pull, i), "name"));
	*ret = r.list;
	return r.len;
}
