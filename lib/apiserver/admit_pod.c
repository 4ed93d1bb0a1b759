/* Priorities of pods: what a PriorityClass says is written into the pod when it is made. */
#include "apiserver/admit.h"

#define CLASSES "scheduling.k8s.io/priorityclasses"

static const struct kind *classes(const struct req *r)
{
	return kind_find_key(r->kinds, STR(CLASSES));
}

struct default_search {
	struct req *r;
	const struct kind *kind;
	struct str except; /* a name that does not count */
	struct json found;
	bool any;
};

/* Of several, as an older server may have let in, the lowest: nobody gets more than was meant. */
static bool look_default(void *arg, struct watch_obj *o)
{
	struct default_search *d = arg;
	struct json class = { 0 };
	if (str_eq(watch_obj_name(o), d->except) ||
	    object_parse(&d->r->arena, d->kind, o, &class, NULL) ||
	    !json_bool(json_getc(&class, "globalDefault"), false))
		return true;
	int64_t value = json_i64(json_getc(&class, "value"), 0);
	if (!d->any || value < json_i64(json_getc(&d->found, "value"), 0))
		d->found = class;
	d->any = true;
	return true;
}

static bool find_default(struct req *r, struct str except, struct json *ret)
{
	struct default_search d = { .r = r, .kind = classes(r), .except = except };
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	watch_snap_walk(snap, STR(CLASSES "/"), STR(CLASSES "/"), look_default, &d);
	watch_snap_unref(snap);
	*ret = d.found;
	return d.any;
}

static bool find_class(struct req *r, struct str name, struct json *ret)
{
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	struct watch_obj *o =
		watch_snap_find(snap, object_key(&r->arena, classes(r), STR_NONE, name));
	bool ok = o && object_parse(&r->arena, classes(r), o, ret, NULL) == 0;
	watch_snap_unref(snap);
	return ok;
}

static bool fail_unknown(struct req *r, const struct json *pod, struct str name)
{
	if (!r->synced && store_is_shared(r->s->store)) {
		/* Another server may have made it a moment ago. */
		r->synced = true;
		req_when_fresh(r, r->again);
		return false;
	}
	return admit_forbid(r, pod, "no PriorityClass with name %.*s was found", STR_ARG(name));
}

bool admit_pod_priority(struct req *r, struct json *pod)
{
	struct arena *a = &r->arena;
	struct json *spec = json_getc(pod, "spec");
	struct json class = { 0 };
	if (!json_is(spec, JSON_OBJECT) || !classes(r))
		return true;
	struct str name = json_str(json_getc(spec, "priorityClassName"));
	bool any = name.len ? find_class(r, name, &class) : find_default(r, STR_NONE, &class);
	if (name.len && !any)
		return fail_unknown(r, pod, name);
	int64_t value = any ? json_i64(json_getc(&class, "value"), 0) : 0;
	const struct json *given = json_getc(spec, "priority");
	if (given && given->type != JSON_NULL && json_i64(given, value + 1) != value)
		return admit_forbid(r, pod,
				    "the integer value of priority (%.*s) must not be provided in "
				    "pod spec; priority admission controller computed %lld from "
				    "the given PriorityClass name",
				    STR_ARG(json_text(a, given)), (long long)value);
	struct str policy = json_str(json_getc(&class, "preemptionPolicy"));
	policy = policy.len ? policy : STR("PreemptLowerPriority");
	const struct json *asked = json_getc(spec, "preemptionPolicy");
	if (json_str(asked).len && !str_eq(json_str(asked), policy))
		return admit_forbid(r, pod,
				    "the string value of PreemptionPolicy (%.*s) must not be "
				    "provided in pod spec; priority admission controller computed "
				    "%.*s from the given PriorityClass name",
				    STR_ARG(json_str(asked)), STR_ARG(policy));
	if (any)
		json_setc(a, spec, "priorityClassName", json_of_str(object_text(&class, "name")));
	json_setc(a, spec, "priority", json_of_i64(value));
	json_setc(a, spec, "preemptionPolicy", json_of_str(policy));
	return true;
}

bool admit_priority_class(struct req *r, const struct json *obj)
{
	struct json other = { 0 };
	if (!json_bool(json_getc(obj, "globalDefault"), false) ||
	    !find_default(r, object_text(obj, "name"), &other))
		return true;
	return admit_forbid(r, obj,
			    "PriorityClass %.*s is already marked as default. Only one default can "
			    "exist",
			    STR_ARG(object_text(&other, "name")));
}
