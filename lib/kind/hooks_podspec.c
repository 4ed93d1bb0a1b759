/* What pods and templates of pods share: computed defaults and rules between fields. */
#include "kind/hooks.h"
#include "kind/meta.h"
#include "text/quantity.h"

enum {
	CONTAINERS_MAX = 128, /* of one list */
	VOLUMES_MAX = 256,
	PORTS_MAX = 256, /* of one container */
	RESOURCES_MAX = 64,
};

static const char *const container_lists[] = { "initContainers", "containers",
					       "ephemeralContainers" };

/* ---- defaults ---- */

/* Behind the last slash and colon; none or "latest" mean that the image may change under its name. */
static bool image_moves(struct str image)
{
	if (str_find(image, '@', 0) >= 0)
		return false;
	for (size_t i = image.len; i-- > 0 && image.p[i] != '/';)
		if (image.p[i] == ':')
			return str_is(str_sub(image, i + 1, image.len), "latest");
	return true;
}

/* What is limited and not requested is requested as limited. */
static void default_requests(struct arena *a, struct json *container)
{
	struct json *resources = json_getc(container, "resources");
	const struct json *limits = json_getc(resources, "limits");
	const struct json *given = json_getc(resources, "requests");
	if (!json_is(limits, JSON_OBJECT) || !json_len(limits) ||
	    json_len(limits) > RESOURCES_MAX || (given && given->type != JSON_OBJECT))
		return;
	struct json *requests = json_child(a, resources, "requests");
	for (size_t i = 0; i < json_len(json_getc(resources, "limits")); i++) {
		const struct json_member *m = &json_getc(resources, "limits")->members[i];
		struct str name = json_str(&m->key);
		if (!json_get(requests, name))
			(void)json_set(a, requests, name, m->value);
	}
}

static void prepare_container(struct arena *a, struct json *c)
{
	struct str image = json_str(json_getc(c, "image"));
	if (!json_is(c, JSON_OBJECT))
		return;
	if (image.len && !json_getc(c, "imagePullPolicy"))
		(void)json_setc(a, c, "imagePullPolicy",
				json_of_cstr(image_moves(image) ? "Always" : "IfNotPresent"));
	default_requests(a, c);
}

/* A volume without a source is an empty directory. */
static void prepare_volumes(struct arena *a, struct json *list)
{
	for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++) {
		struct json *v = json_at(list, i);
		if (json_is(v, JSON_OBJECT) && json_len(v) == 1 && json_getc(v, "name"))
			(void)json_setc(a, v, "emptyDir", json_object());
	}
}

void hook_pod_spec_prepare(struct kind_hook *h, struct json *spec)
{
	prepare_volumes(h->check->arena, json_getc(spec, "volumes"));
	for (size_t l = 0; l < 3; l++) {
		struct json *list = json_getc(spec, container_lists[l]);
		for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++)
			prepare_container(h->check->arena, json_at(list, i));
	}
}

/* ---- rules ---- */

static const struct json *named(const struct json *list, struct str name)
{
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *item = json_at(list, i);
		if (str_eq(json_str(json_getc(item, "name")), name))
			return item;
	}
	return NULL;
}

#define MEMBER(up, name) FIELD_MEMBER(up, STR(name))

static void check_requests(struct kind_hook *h, const struct json *c, const struct field_path *at)
{
	const struct json *requests = json_dig(c, "resources", "requests", NULL);
	const struct json *limits = json_dig(c, "resources", "limits", NULL);
	struct field_path resources = MEMBER(at, "resources");
	struct field_path here = MEMBER(&resources, "requests");
	if (!kind_check_count(h->check, &here, requests, RESOURCES_MAX) ||
	    !kind_check_count(h->check, &MEMBER(&resources, "limits"), limits, RESOURCES_MAX))
		return;
	for (size_t i = 0; json_is(requests, JSON_OBJECT) && i < json_len(requests); i++) {
		const struct json_member *m = &requests->members[i];
		struct str name = json_str(&m->key);
		const struct json *limit = json_get(limits, name);
		struct quantity want, most;
		if (quantity_parse(json_str(&m->value), &want, NULL))
			continue;
		if (quantity_sign(want) < 0)
			field_error_at(&h->check->errors, FIELD_INVALID, &FIELD_KEY(&here, name),
				       &m->value, "must be greater than or equal to 0");
		if (limit && quantity_parse(json_str(limit), &most, NULL) == 0 &&
		    quantity_cmp(want, most) > 0)
			field_error_at(&h->check->errors, FIELD_INVALID, &here, &m->value,
				       "must be less than or equal to %.*s limit of %.*s",
				       STR_ARG(name), STR_ARG(json_str(limit)));
	}
}

static void check_mounts(struct kind_hook *h, const struct json *c, const struct json *volumes,
			 const struct field_path *at)
{
	const struct json *mounts = json_getc(c, "volumeMounts");
	struct field_path list = MEMBER(at, "volumeMounts");
	for (size_t i = 0; i < json_len(mounts); i++) {
		const struct json *name = json_getc(json_at(mounts, i), "name");
		struct field_path here = FIELD_INDEX(&list, i);
		if (!named(volumes, json_str(name)))
			field_error_at(&h->check->errors, FIELD_NOT_FOUND, &MEMBER(&here, "name"),
				       name, "%s", "");
	}
}

static void check_env(struct kind_hook *h, const struct json *c, const struct field_path *at)
{
	const struct json *env = json_getc(c, "env");
	struct field_path list = MEMBER(at, "env");
	for (size_t i = 0; i < json_len(env); i++) {
		const struct json *e = json_at(env, i);
		const struct json *from = json_getc(e, "valueFrom");
		struct field_path here = FIELD_INDEX(&list, i);
		struct field_path from_at = MEMBER(&here, "valueFrom");
		kind_check_name_at(h->check, &MEMBER(&here, "name"), json_str(json_getc(e, "name")),
				   name_check_env_var);
		if (from && json_str(json_getc(e, "value")).len)
			field_error_at(&h->check->errors, FIELD_INVALID, &from_at, from,
				       "may not be specified when `value` is not empty");
		if (from && json_len(from) != 1)
			field_error_at(&h->check->errors, FIELD_INVALID, &from_at, from,
				       "must specify exactly one source");
	}
}

static void check_ports(struct kind_hook *h, const struct json *c, const struct field_path *at)
{
	const struct json *ports = json_getc(c, "ports");
	struct field_path list = MEMBER(at, "ports");
	if (!kind_check_count(h->check, &list, ports, PORTS_MAX))
		return;
	for (size_t i = 0; i < json_len(ports); i++) {
		const struct json *name = json_getc(json_at(ports, i), "name");
		struct field_path port = FIELD_INDEX(&list, i);
		struct field_path here = MEMBER(&port, "name");
		if (!json_str(name).len)
			continue;
		kind_check_name_at(h->check, &here, json_str(name), name_check_port_name);
		if (named(ports, json_str(name)) != json_at(ports, i))
			field_error_at(&h->check->errors, FIELD_DUPLICATE, &here, name, "%s", "");
	}
}

static void check_probe(struct kind_hook *h, const struct json *c, const char *name,
			const struct field_path *at)
{
	static const char *const actions[] = { "exec", "httpGet", "tcpSocket", "grpc" };
	const struct json *probe = json_getc(c, name);
	struct field_path here = FIELD_MEMBER(at, str_of(name));
	size_t n = 0;
	if (!probe)
		return;
	for (size_t i = 0; i < 4; i++)
		n += json_getc(probe, actions[i]) != NULL;
	if (n == 0)
		field_error_at(&h->check->errors, FIELD_REQUIRED, &here, NULL,
			       "must specify a handler type");
	else if (n > 1)
		field_error_at(&h->check->errors, FIELD_FORBIDDEN, &here, NULL,
			       "may not specify more than 1 handler type");
}

static void check_container(struct kind_hook *h, const struct json *c, const struct json *volumes,
			    const struct field_path *at)
{
	static const char *const probes[] = { "livenessProbe", "readinessProbe", "startupProbe" };
	struct str image = json_str(json_getc(c, "image"));
	struct field_path image_at = MEMBER(at, "image");
	kind_check_name_at(h->check, &MEMBER(at, "name"), json_str(json_getc(c, "name")),
			   name_check_dns1123_label);
	if (!image.len)
		field_error_at(&h->check->errors, FIELD_REQUIRED, &image_at, NULL, "%s", "");
	else if (str_trim(image).len != image.len)
		field_error_at(&h->check->errors, FIELD_INVALID, &image_at, json_getc(c, "image"),
			       "must not have leading or trailing whitespace");
	check_requests(h, c, at);
	check_mounts(h, c, volumes, at);
	check_env(h, c, at);
	check_ports(h, c, at);
	for (size_t i = 0; i < 3; i++)
		check_probe(h, c, probes[i], at);
}

/* A name stands once in all lists of containers together; within one list the schema sees to it. */
static void check_container_name(struct kind_hook *h, const struct json *spec, size_t list,
				 const struct json *c, const struct field_path *at)
{
	const struct json *name = json_getc(c, "name");
	for (size_t l = 0; l < list; l++)
		if (named(json_getc(spec, container_lists[l]), json_str(name)))
			field_error_at(&h->check->errors, FIELD_DUPLICATE, &MEMBER(at, "name"),
				       name, "%s", "");
}

static void check_volumes(struct kind_hook *h, const struct json *volumes,
			  const struct field_path *at)
{
	struct field_path list = MEMBER(at, "volumes");
	for (size_t i = 0; i < json_len(volumes); i++) {
		const struct json *v = json_at(volumes, i);
		struct field_path here = FIELD_INDEX(&list, i);
		kind_check_name_at(h->check, &MEMBER(&here, "name"), json_str(json_getc(v, "name")),
				   name_check_dns1123_label);
		if (json_len(v) < 2)
			field_error_at(&h->check->errors, FIELD_REQUIRED, &here, NULL,
				       "must specify a volume type");
		else if (json_len(v) > 2)
			field_error_at(&h->check->errors, FIELD_FORBIDDEN, &here, NULL,
				       "may not specify more than 1 volume type");
	}
}

void hook_pod_spec_validate(struct kind_hook *h, const struct json *spec, struct str path)
{
	const struct json *volumes = json_getc(spec, "volumes");
	struct field_path at = FIELD_ROOT(path);
	bool few = kind_check_count(h->check, &MEMBER(&at, "volumes"), volumes, VOLUMES_MAX);
	for (size_t l = 0; l < 3; l++)
		few = kind_check_count(h->check, &FIELD_MEMBER(&at, str_of(container_lists[l])),
				       json_getc(spec, container_lists[l]), CONTAINERS_MAX) &&
		      few;
	if (!few)
		return;
	check_volumes(h, volumes, &at);
	for (size_t l = 0; l < 3; l++) {
		const struct json *list = json_getc(spec, container_lists[l]);
		struct field_path list_at = FIELD_MEMBER(&at, str_of(container_lists[l]));
		for (size_t i = 0; i < json_len(list); i++) {
			struct field_path here = FIELD_INDEX(&list_at, i);
			check_container(h, json_at(list, i), volumes, &here);
			check_container_name(h, spec, l, json_at(list, i), &here);
		}
	}
}
