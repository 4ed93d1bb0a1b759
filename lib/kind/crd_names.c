/* Which names a CustomResourceDefinition gets: what Kubernetes' naming controller decides. */
#include "kind/kind.h"

struct names {
	struct arena *a;
	const struct json *accepted; /* so far, or NULL */
	const struct kind_set *builtin;
	struct str group;
	struct str self;
	const struct json *const *others;
	size_t others_len;
	const char *reason; /* of the last conflict; NULL = none */
	struct str message;
};

static struct str text_of(const struct json *j, const char *name)
{
	return json_str(json_getc(j, name));
}

static bool lists(const struct json *list, struct str word)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(json_str(json_at(list, i)), word))
			return true;
	return false;
}

static bool builtin_has(const struct names *n, struct str word, bool kinds)
{
	for (size_t i = 0; n->builtin && i < kind_count(n->builtin); i++) {
		const struct kind *k = kind_at(n->builtin, i);
		if (!k->builtin || !str_eq(k->group, n->group))
			continue;
		if (kinds ? str_eq(word, k->kind) || str_eq(word, k->list_kind)
			  : str_eq(word, k->plural) || str_eq(word, k->singular))
			return true;
	}
	return false;
}

static bool taken(const struct names *n, struct str word, bool kinds)
{
	for (size_t i = 0; i < n->others_len; i++) {
		const struct json *crd = n->others[i];
		const struct json *names = json_dig(crd, "status", "acceptedNames", NULL);
		if (!str_eq(json_str(json_dig(crd, "spec", "group", NULL)), n->group) ||
		    str_eq(json_str(json_dig(crd, "metadata", "name", NULL)), n->self))
			continue;
		if (kinds ? str_eq(word, text_of(names, "kind")) ||
				    str_eq(word, text_of(names, "listKind"))
			  : str_eq(word, text_of(names, "plural")) ||
				    str_eq(word, text_of(names, "singular")) ||
				    lists(json_getc(names, "shortNames"), word))
			return true;
	}
	return builtin_has(n, word, kinds);
}

static void refuse(struct names *n, const char *reason, struct str word)
{
	n->reason = reason;
	n->message = arena_strf(n->a, "\"%.*s\" is already in use", STR_ARG(word));
}

/* One name: the wanted one when it is free, else the one that was accepted before, if any. */
static void take_name(struct names *n, struct json *out, const struct json *want,
		      const char *member, const char *reason)
{
	struct str word = text_of(want, member), have = text_of(n->accepted, member);
	bool kinds = str_is(str_of(member), "kind") || str_is(str_of(member), "listKind");
	if (!word.len)
		return;
	if (!str_eq(word, have) && taken(n, word, kinds)) {
		refuse(n, reason, word);
		word = have;
	}
	if (word.len)
		(void)json_setc(n->a, out, member, json_of_str(word));
}

static void take_short_names(struct names *n, struct json *out, const struct json *want)
{
	const struct json *list = json_getc(want, "shortNames");
	const struct json *have = json_getc(n->accepted, "shortNames");
	bool fine = true;
	for (size_t i = 0; i < json_len(list); i++) {
		struct str word = json_str(json_at(list, i));
		if (lists(have, word) || !taken(n, word, false))
			continue;
		refuse(n, "ShortNamesConflict", word);
		fine = false;
	}
	const struct json *given = fine ? list : have;
	if (json_len(given))
		(void)json_setc(n->a, out, "shortNames", json_clone(n->a, given));
}

static const struct json *condition(const struct json *list, const char *type)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(text_of(json_at(list, i), "type"), type))
			return json_at(list, i);
	return NULL;
}

/* Puts the condition in; its time moves only when its status does. */
static void set_condition(struct arena *a, struct json *list, const char *type, bool on,
			  const char *reason, struct str message, struct str now)
{
	const struct json *old = condition(list, type);
	const char *status = on ? "True" : "False";
	bool same = old && str_is(text_of(old, "status"), status);
	struct str since = same ? text_of(old, "lastTransitionTime") : now;
	struct json c = json_object();
	if (since.len)
		(void)json_setc(a, &c, "lastTransitionTime", json_of_str(since));
	(void)json_setc(a, &c, "message", json_of_str(message));
	(void)json_setc(a, &c, "reason", json_of_cstr(reason));
	(void)json_setc(a, &c, "status", json_of_cstr(status));
	(void)json_setc(a, &c, "type", json_of_cstr(type));
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(text_of(json_at(list, i), "type"), type)) {
			list->items[i] = c;
			return;
		}
	(void)json_push(a, list, c);
}

void kind_crd_accept_names(struct arena *a, struct json *crd, const struct kind_set *builtin,
			   const struct json *const *others, size_t n, struct str now)
{
	const struct json *want = json_dig(crd, "spec", "names", NULL);
	/* It may be shared with the object before, which must not change. */
	struct json *status = json_child(a, crd, "status");
	*status = json_clone(a, status);
	struct json *list = json_getc(status, "conditions");
	if (!json_is(list, JSON_ARRAY))
		list = json_setc(a, status, "conditions", json_array());
	const struct json *before = condition(list, "NamesAccepted");
	bool established = str_is(text_of(condition(list, "Established"), "status"), "True");
	struct names names = { .a = a,
			       .accepted = before ? json_getc(status, "acceptedNames") : NULL,
			       .builtin = builtin,
			       .group = json_str(json_dig(crd, "spec", "group", NULL)),
			       .self = json_str(json_dig(crd, "metadata", "name", NULL)),
			       .others = others,
			       .others_len = n };
	struct json out = json_object();
	take_name(&names, &out, want, "plural", "PluralConflict");
	take_name(&names, &out, want, "singular", "SingularConflict");
	take_short_names(&names, &out, want);
	take_name(&names, &out, want, "kind", "KindConflict");
	take_name(&names, &out, want, "listKind", "ListKindConflict");
	if (json_len(json_getc(want, "categories")))
		(void)json_setc(a, &out, "categories",
				json_clone(a, json_getc(want, "categories")));
	/* Both are members of the schema that must be there, even when nothing was accepted. */
	if (!json_getc(&out, "plural"))
		(void)json_setc(a, &out, "plural", json_of_cstr(""));
	if (!json_getc(&out, "kind"))
		(void)json_setc(a, &out, "kind", json_of_cstr(""));
	set_condition(a, list, "NamesAccepted", names.reason == NULL,
		      names.reason ? names.reason : "NoConflicts",
		      names.reason ? names.message : STR("no conflicts found"), now);
	if (established || !names.reason)
		set_condition(a, list, "Established", true, "InitialNamesAccepted",
			      STR("the initial names have been accepted"), now);
	else
		set_condition(a, list, "Established", false, "NotAccepted",
			      STR("not all names are accepted"), now);
	(void)json_setc(a, status, "acceptedNames", out);
}
