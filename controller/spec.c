#include "spec.h"

#include "names.h"
#include "text/duration.h"

enum { MOVE_AFTER_MS = 300000 };

uint64_t spec_duration_ms(const struct json *j, uint64_t or_else)
{
	int64_t ns = 0;
	if (!json_is(j, JSON_STRING) || duration_parse_go(json_str(j), &ns, NULL) != 0 || ns < 0)
		return or_else;
	return (uint64_t)ns / 1000000;
}

static struct str keep(struct arena *a, const struct json *j)
{
	struct str s = json_str(j);
	return s.p ? arena_str(a, s) : STR("");
}

static const struct str *strings(struct arena *a, const struct json *list, size_t *ret_len)
{
	struct str *out = arena_new(a, struct str, json_len(list));
	for (size_t i = 0; i < json_len(list); i++)
		out[i] = keep(a, json_at(list, i));
	*ret_len = json_len(list);
	return out;
}

static enum place_effect effect_of(const struct json *j)
{
	struct str s = json_str(j);
	return str_is(s, "NoSchedule")         ? PLACE_NO_SCHEDULE
	       : str_is(s, "NoExecute")        ? PLACE_NO_EXECUTE
	       : str_is(s, "PreferNoSchedule") ? PLACE_PREFER_NO_SCHEDULE
					       : PLACE_EFFECT_ANY;
}

static int read_choice(struct arena *a, const struct json *choice, struct place_spec *p,
		       struct error *err)
{
	const struct json *selector = json_getc(choice, "selector");
	if (selector) {
		int rc = label_selector_of_json(a, selector, &p->selector, err);
		if (rc)
			return error_wrap(err, "spec.clusters.selector");
	}
	const struct json *names = json_getc(choice, "names");
	p->has_names = names != NULL;
	p->names = strings(a, names, &p->names_len);
	p->excludes = strings(a, json_getc(choice, "exclude"), &p->excludes_len);
	const struct json *list = json_getc(choice, "tolerations");
	struct place_toleration *t = arena_new(a, struct place_toleration, json_len(list));
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *x = json_at(list, i);
		t[i].key = keep(a, json_getc(x, "key"));
		t[i].value = keep(a, json_getc(x, "value"));
		t[i].exists = str_is(json_str(json_getc(x, "operator")), "Exists");
		t[i].effect = effect_of(json_getc(x, "effect"));
	}
	p->tolerations = t;
	p->tolerations_len = json_len(list);
	return 0;
}

static void read_spread(const struct json *list, struct place_spec *p)
{
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *x = json_at(list, i);
		struct place_spread *s =
			str_is(json_str(json_getc(x, "by")), "region") ? &p->regions : &p->clusters;
		s->min = json_i64(json_getc(x, "min"), 1);
		s->max = json_i64(json_getc(x, "max"), 0);
		s->skew = json_i64(json_getc(x, "maxSkew"), 0);
	}
}

static void read_division(struct arena *a, const struct json *d, struct place_spec *p)
{
	p->divide = str_is(json_str(json_getc(d, "mode")), "Divide");
	p->by_capacity = str_is(json_str(json_getc(d, "prefer")), "Capacity");
	const struct json *list = json_getc(d, "weights");
	struct place_weight *w = arena_new(a, struct place_weight, json_len(list));
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *x = json_at(list, i);
		w[i].cluster = keep(a, json_getc(x, "cluster"));
		w[i].region = keep(a, json_getc(x, "region"));
		int64_t n = json_i64(json_getc(x, "weight"), 1);
		w[i].weight = n < 0 ? 0 : n > 1000000 ? 1000000 : n;
	}
	p->weights = w;
	p->weights_len = json_len(list);
}

static int read_targets(struct arena *a, const struct json *list, struct spec_placement *ret,
			struct error *err)
{
	ret->targets = arena_new(a, struct spec_target, json_len(list));
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *x = json_at(list, i);
		struct spec_target *t = &ret->targets[i];
		t->api_version = keep(a, json_getc(x, "apiVersion"));
		t->kind = keep(a, json_getc(x, "kind"));
		t->name = keep(a, json_getc(x, "name"));
		const struct json *selector = json_getc(x, "selector");
		t->selector.nothing = !t->name.len && !selector;
		if (selector) {
			int rc = label_selector_of_json(a, selector, &t->selector, err);
			if (rc)
				return error_wrap(err, "spec.targets[%zu].selector", i);
		}
	}
	ret->targets_len = json_len(list);
	return 0;
}

int spec_read_placement(struct arena *a, const struct json *obj, struct spec_placement *ret,
			struct error *err)
{
	/* selectors keep pointing into the tree they were read from */
	struct json *own = arena_new(a, struct json, 1);
	*own = json_clone(a, obj);
	const struct json *spec = json_getc(own, "spec");
	struct spec_placement p = { 0 };
	int rc = read_choice(a, json_getc(spec, "clusters"), &p.place, err);
	if (!rc)
		rc = read_targets(a, json_getc(spec, "targets"), &p, err);
	if (rc)
		return rc;
	read_spread(json_getc(spec, "spread"), &p.place);
	read_division(a, json_getc(spec, "replicas"), &p.place);
	const struct json *failover = json_getc(spec, "failover");
	p.place.failover = failover != NULL;
	p.place.move_after_ms = spec_duration_ms(json_getc(failover, "moveAfter"), MOVE_AFTER_MS);
	p.place.keep_disconnected = str_is(json_str(json_getc(failover, "onDisconnect")), "Keep");
	p.place.suspend = json_bool(json_getc(spec, "suspend"), false);
	int64_t removals = 0;
	if (str_to_i64(
		    json_str(json_dig(own, "metadata", "annotations", FLEET_NOTE_REMOVALS, NULL)),
		    &removals) &&
	    removals > 0)
		p.place.removals_max = removals;
	*ret = p;
	return 0;
}

bool spec_selects(const struct spec_placement *p, struct str api_version, struct str kind,
		  struct str name, const struct json *labels)
{
	for (size_t i = 0; i < p->targets_len; i++) {
		const struct spec_target *t = &p->targets[i];
		if (!str_eq(t->api_version, api_version) || !str_eq(t->kind, kind))
			continue;
		if (t->name.len ? str_eq(t->name, name)
				: label_selector_match_json(&t->selector, labels))
			return true;
	}
	return false;
}

void spec_read_cluster(struct arena *a, const struct json *obj, struct place_cluster *ret)
{
	const struct json *meta = json_getc(obj, "metadata");
	const struct json *spec = json_getc(obj, "spec");
	const struct json *labels = json_getc(meta, "labels");
	size_t n = json_is(labels, JSON_OBJECT) ? labels->len : 0;
	struct label_pair *pairs = arena_new(a, struct label_pair, n);
	for (size_t i = 0; i < n; i++)
		pairs[i] = (struct label_pair){ keep(a, &labels->members[i].key),
						keep(a, &labels->members[i].value) };
	const struct json *list = json_getc(spec, "taints");
	struct place_taint *taints = arena_new(a, struct place_taint, json_len(list));
	for (size_t i = 0; i < json_len(list); i++)
		taints[i] = (struct place_taint){
			.key = keep(a, json_getc(json_at(list, i), "key")),
			.value = keep(a, json_getc(json_at(list, i), "value")),
			.effect = effect_of(json_getc(json_at(list, i), "effect")),
		};
	*ret = (struct place_cluster){
		.name = keep(a, json_getc(meta, "name")),
		.region = keep(a, json_getc(spec, "region")),
		.labels = pairs,
		.labels_len = n,
		.taints = taints,
		.taints_len = json_len(list),
		.listed = true,
		.unschedulable = json_bool(json_getc(spec, "unschedulable"), false),
		.record = PLACE_UNRECORDED,
		.standing = -1,
	};
}
