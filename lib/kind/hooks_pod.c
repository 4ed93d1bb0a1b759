#include "kind/hooks.h"
#include "kind/meta.h"
#include "text/quantity.h"

/* ---- quality of service, as Kubernetes computes it ---- */

struct qos {
	bool any;        /* something is requested or limited */
	bool guaranteed; /* each container has cpu and memory limits equal to its requests */
};

static bool positive(const struct json *q)
{
	struct quantity v;
	return q && quantity_parse(json_str(q), &v, NULL) == 0 && quantity_sign(v) > 0;
}

static void qos_container(struct qos *q, const struct json *c)
{
	static const char *const names[] = { "cpu", "memory" };
	const struct json *requests = json_dig(c, "resources", "requests", NULL);
	const struct json *limits = json_dig(c, "resources", "limits", NULL);
	for (size_t i = 0; i < 2; i++) {
		const struct json *want = json_getc(requests, names[i]);
		const struct json *most = json_getc(limits, names[i]);
		q->any |= positive(want) || positive(most);
		if (!positive(most) || (positive(want) && !json_equal(want, most)))
			q->guaranteed = false;
	}
}

static const char *qos_class(const struct json *spec)
{
	static const char *const lists[] = { "initContainers", "containers" };
	struct qos q = { .guaranteed = true };
	for (size_t l = 0; l < 2; l++) {
		const struct json *list = json_getc(spec, lists[l]);
		for (size_t i = 0; i < json_len(list); i++)
			qos_container(&q, json_at(list, i));
	}
	if (!q.any)
		return "BestEffort";
	return q.guaranteed ? "Guaranteed" : "Burstable";
}

static void pod_prepare(struct kind_hook *h)
{
	struct arena *a = h->check->arena;
	struct json *spec = json_getc(h->obj, "spec");
	if (!json_is(spec, JSON_OBJECT))
		return;
	hook_pod_spec_prepare(h, spec);
	if (h->old)
		return;
	struct json *status = json_child(a, h->obj, "status");
	if (!json_getc(status, "phase"))
		(void)json_setc(a, status, "phase", json_of_cstr("Pending"));
	if (!json_getc(status, "qosClass"))
		(void)json_setc(a, status, "qosClass", json_of_cstr(qos_class(spec)));
}

/* ---- what an update may change ---- */

/* `copy` gets the member of the stored object, or loses it. */
static void restore(struct arena *a, struct json *copy, const struct json *old, const char *name)
{
	const struct json *before = json_getc(old, name);
	if (before)
		(void)json_setc(a, copy, name, *before);
	else
		(void)json_removec(copy, name);
}

static void restore_images(struct arena *a, struct json *copy, const struct json *old,
			   const char *name)
{
	struct json *list = json_getc(copy, name);
	const struct json *before = json_getc(old, name);
	for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++) {
		const struct json *was = json_at(before, i);
		if (was && json_is(json_at(list, i), JSON_OBJECT)) {
			restore(a, json_at(list, i), was, "image");
			restore(a, json_at(list, i), was, "imagePullPolicy");
		}
	}
}

enum { TOLERATIONS_MAX = 256 };

/* Each toleration of the stored pod is still there. */
static bool only_added(const struct json *now, const struct json *before)
{
	if (json_len(now) > TOLERATIONS_MAX)
		return false;
	for (size_t i = 0; i < json_len(before); i++) {
		bool found = false;
		for (size_t n = 0; n < json_len(now) && !found; n++)
			found = json_equal(json_at(now, n), json_at(before, i));
		if (!found)
			return false;
	}
	return true;
}

static void check_update(struct kind_hook *h)
{
	struct arena *a = h->check->arena;
	const struct json *old = json_getc(h->old, "spec");
	const struct json *now = json_getc(h->obj, "spec");
	struct json copy = json_clone(a, now);
	restore_images(a, &copy, old, "containers");
	restore_images(a, &copy, old, "initContainers");
	restore(a, &copy, old, "activeDeadlineSeconds");
	if (only_added(json_getc(now, "tolerations"), json_getc(old, "tolerations")))
		restore(a, &copy, old, "tolerations");
	if (json_i64(json_getc(old, "terminationGracePeriodSeconds"), 0) < 0 &&
	    json_i64(json_getc(now, "terminationGracePeriodSeconds"), 0) == 1)
		restore(a, &copy, old, "terminationGracePeriodSeconds");
	if (str_is(h->subresource, "binding") && !json_str(json_getc(old, "nodeName")).len)
		restore(a, &copy, old, "nodeName");
	if (str_is(h->subresource, "ephemeralcontainers"))
		restore(a, &copy, old, "ephemeralContainers");
	if (!json_equal(&copy, old))
		hook_error(
			h, FIELD_FORBIDDEN, STR("spec"), NULL,
			"pod updates may not change fields other than "
			"`spec.containers[*].image`,`spec.initContainers[*].image`,"
			"`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
			"existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to "
			"be set to 1 if it was previously negative)");
}

static void pod_validate(struct kind_hook *h)
{
	/* Nothing of the spec is judged again when only the state is written. */
	if (h->old)
		check_update(h);
	else
		hook_pod_spec_validate(h, json_getc(h->obj, "spec"), STR("spec"));
}

const struct kind_hooks kind_hooks_pod = {
	.resource = "/pods",
	.prepare = pod_prepare,
	.validate = pod_validate,
};
