#include "taints.h"

#include <string.h>

int taint_parse(struct str text, struct taint *ret, struct error *err)
{
	static const char *const effects[] = { "NoSchedule", "PreferNoSchedule", "NoExecute" };
	struct taint t = { 0 };
	struct str s = text;
	if (str_ends(s, STR("-"))) {
		t.remove = true;
		s = str_sub(s, 0, s.len - 1);
	}
	ptrdiff_t colon = str_find(s, ':', 0);
	if (colon >= 0) {
		t.effect = str_sub(s, (size_t)colon + 1, s.len);
		s = str_sub(s, 0, (size_t)colon);
	}
	ptrdiff_t eq = str_find(s, '=', 0);
	if (eq >= 0)
		t.value = str_sub(s, (size_t)eq + 1, s.len);
	t.key = eq >= 0 ? str_sub(s, 0, (size_t)eq) : s;
	bool known = t.remove && !t.effect.len && colon < 0;
	for (size_t i = 0; i < 3; i++)
		known |= str_is(t.effect, effects[i]);
	if (!t.key.len || !known)
		return error_set(err, ERR_BAD_REQUEST,
				 "\"%.*s\" is no taint: KEY=VALUE:EFFECT or KEY[:EFFECT]-, effect "
				 "NoSchedule, PreferNoSchedule or NoExecute",
				 STR_ARG(text));
	*ret = t;
	return 0;
}

static bool meant(const struct json *old, const struct taint *t)
{
	return str_eq(json_str(json_getc(old, "key")), t->key) &&
	       (!t->effect.len || str_eq(json_str(json_getc(old, "effect")), t->effect));
}

static int apply_one(struct arena *a, struct json *list, const struct taint *t, bool overwrite,
		     struct error *err)
{
	bool found = false;
	for (size_t i = json_len(list); i-- > 0;) {
		const struct json *old = json_at(list, i);
		if (!meant(old, t))
			continue;
		found = true;
		if (!t->remove && !overwrite &&
		    !str_eq(json_str(json_getc(old, "value")), t->value))
			return error_set(err, ERR_CONFLICT,
					 "taint %.*s:%.*s is there with another value; --overwrite "
					 "changes it",
					 STR_ARG(t->key), STR_ARG(t->effect));
		json_remove_at(list, i);
	}
	if (t->remove)
		return found ? 0
			     : error_set(err, ERR_NOT_FOUND, "taint \"%.*s\" not found",
					 STR_ARG(t->key));
	struct json x = json_object();
	(void)json_setc(a, &x, "key", json_of_str(t->key));
	if (t->value.len)
		(void)json_setc(a, &x, "value", json_of_str(t->value));
	(void)json_setc(a, &x, "effect", json_of_str(t->effect));
	(void)json_push(a, list, x);
	return 0;
}

int taints_apply(struct arena *a, const struct json *old, const struct taint *changes, size_t n,
		 bool overwrite, struct json *ret, struct error *err)
{
	*ret = json_is(old, JSON_ARRAY) ? json_clone(a, old) : json_array();
	for (size_t i = 0; i < n; i++) {
		int rc = apply_one(a, ret, &changes[i], overwrite, err);
		if (rc)
			return rc;
	}
	return 0;
}

enum drain_verdict drain_judge(const struct json *pod, const struct drain_rules *rules,
			       const char **why)
{
	const struct json *meta = json_getc(pod, "metadata");
	struct str phase = json_str(json_dig(pod, "status", "phase", NULL));
	bool over = str_is(phase, "Succeeded") || str_is(phase, "Failed");
	const struct json *owner = NULL;
	const struct json *refs = json_getc(meta, "ownerReferences");
	for (size_t i = 0; i < json_len(refs); i++)
		if (json_bool(json_getc(json_at(refs, i), "controller"), false))
			owner = json_at(refs, i);
	*why = "";
	if (json_dig(meta, "annotations", "kubernetes.io/config.mirror", NULL)) {
		*why = "is a static pod of the node";
		return DRAIN_SKIP;
	}
	if (str_is(json_str(json_getc(owner, "kind")), "DaemonSet") && !over) {
		*why = "belongs to a DaemonSet; --ignore-daemonsets leaves it";
		return rules->ignore_daemonsets ? DRAIN_SKIP : DRAIN_REFUSE;
	}
	if (!owner && !over && !rules->force) {
		*why = "has no controller that would start it elsewhere; --force deletes it for "
		       "good";
		return DRAIN_REFUSE;
	}
	const struct json *volumes = json_dig(pod, "spec", "volumes", NULL);
	for (size_t i = 0; i < json_len(volumes) && !over && !rules->delete_emptydir; i++) {
		if (!json_getc(json_at(volumes, i), "emptyDir"))
			continue;
		*why = "keeps data in an emptyDir; --delete-emptydir-data gives it up";
		return DRAIN_REFUSE;
	}
	return DRAIN_EVICT;
}
