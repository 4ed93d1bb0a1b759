#include "auth/rbac.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"

#include <stdatomic.h>

enum { SUBJECT_MAX = 600 }; /* bytes of a subject's key; longer names match nothing */

struct words {
	struct str *list;
	size_t len;
};

struct policy {
	struct words verbs, groups, resources, names, urls;
};

struct role {
	struct policy *rules;
	size_t rules_len;
	struct str text; /* JSON of the rules */
};

struct grant {
	const struct role *role;
	struct grant *next;
};

struct rbac {
	_Atomic uint32_t refs;
	struct arena arena;
	struct map roles;  /* "NS/NAME" -> struct role; "/NAME" of a ClusterRole */
	struct map grants; /* "U:NAME\nNS", "G:NAME\nNS" -> struct grant; NS "" = everywhere */
};

/* ---- making ---- */

static struct words take_words(struct arena *a, const struct json *list)
{
	struct words w = { arena_new(a, struct str, json_len(list)), 0 };
	for (size_t i = 0; json_is(list, JSON_ARRAY) && i < list->len; i++)
		if (list->items[i].type == JSON_STRING)
			w.list[w.len++] = arena_str(a, json_str(&list->items[i]));
	return w;
}

static struct str text_of(const struct json *j, const char *name)
{
	return json_str(json_getc(j, name));
}

static struct str role_key(struct arena *a, struct str ns, struct str name)
{
	return arena_strf(a, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name));
}

static void add_role(struct rbac *r, const struct json *obj, bool cluster)
{
	struct arena *a = &r->arena;
	const struct json *rules = json_getc(obj, "rules");
	const struct json *meta = json_getc(obj, "metadata");
	struct role *role = arena_new(a, struct role, 1);
	size_t n = json_is(rules, JSON_ARRAY) ? rules->len : 0;
	role->rules = arena_new(a, struct policy, n);
	role->rules_len = n;
	role->text = n ? json_text(a, rules) : STR("[]");
	for (size_t i = 0; i < n; i++) {
		const struct json *rule = &rules->items[i];
		role->rules[i] = (struct policy){
			.verbs = take_words(a, json_getc(rule, "verbs")),
			.groups = take_words(a, json_getc(rule, "apiGroups")),
			.resources = take_words(a, json_getc(rule, "resources")),
			.names = take_words(a, json_getc(rule, "resourceNames")),
			.urls = take_words(a, json_getc(rule, "nonResourceURLs")),
		};
	}
	struct str ns = cluster ? STR("") : text_of(meta, "namespace");
	if (cluster || ns.len)
		(void)map_set(&r->roles, role_key(a, ns, text_of(meta, "name")), role);
}

/* False when it is too long to be anybody's. */
static bool subject_key(char out[SUBJECT_MAX], char kind, struct str name, struct str ns,
			struct str *ret)
{
	if (name.len + ns.len + 3 > SUBJECT_MAX || name.len == 0 || str_find(name, '\n', 0) >= 0)
		return false;
	out[0] = kind;
	out[1] = ':';
	memcpy(out + 2, name.p, name.len);
	out[2 + name.len] = '\n';
	if (ns.len)
		memcpy(out + 3 + name.len, ns.p, ns.len);
	*ret = str_n(out, 3 + name.len + ns.len);
	return true;
}

static void grant(struct rbac *r, char kind, struct str name, struct str ns,
		  const struct role *role)
{
	char text[SUBJECT_MAX];
	struct str key;
	if (!subject_key(text, kind, name, ns, &key))
		return;
	struct grant *g = arena_new(&r->arena, struct grant, 1);
	*g = (struct grant){ .role = role, .next = map_get(&r->grants, key) };
	(void)map_set(&r->grants, key, g);
}

static void add_binding(struct rbac *r, const struct json *obj, bool cluster)
{
	const struct json *ref = json_getc(obj, "roleRef");
	const struct json *subjects = json_getc(obj, "subjects");
	struct str ns = cluster ? STR("") : json_str(json_dig(obj, "metadata", "namespace", NULL));
	bool of_cluster = str_is(text_of(ref, "kind"), "ClusterRole");
	if ((!cluster && !ns.len) || (cluster && !of_cluster) ||
	    !str_is(text_of(ref, "apiGroup"), "rbac.authorization.k8s.io"))
		return;
	const struct role *role = map_get(
		&r->roles, role_key(&r->arena, of_cluster ? STR("") : ns, text_of(ref, "name")));
	for (size_t i = 0; role && json_is(subjects, JSON_ARRAY) && i < subjects->len; i++) {
		const struct json *s = &subjects->items[i];
		struct str kind = text_of(s, "kind"), name = text_of(s, "name");
		struct str of = text_of(s, "namespace");
		if (str_is(kind, "User"))
			grant(r, 'U', name, ns, role);
		else if (str_is(kind, "Group"))
			grant(r, 'G', name, ns, role);
		else if (str_is(kind, "ServiceAccount") && name.len && (of.len || ns.len))
			grant(r, 'U',
			      arena_strf(&r->arena, "system:serviceaccount:%.*s:%.*s",
					 STR_ARG(of.len ? of : ns), STR_ARG(name)),
			      ns, role);
	}
}

struct rbac *rbac_new(const struct json *const *objects, size_t n)
{
	struct rbac *r = mem_new(struct rbac, 1);
	atomic_init(&r->refs, 1);
	for (size_t i = 0; i < n; i++) {
		struct str kind = text_of(objects[i], "kind");
		if (str_is(kind, "Role") || str_is(kind, "ClusterRole"))
			add_role(r, objects[i], str_is(kind, "ClusterRole"));
	}
	for (size_t i = 0; i < n; i++) {
		struct str kind = text_of(objects[i], "kind");
		if (str_is(kind, "RoleBinding") || str_is(kind, "ClusterRoleBinding"))
			add_binding(r, objects[i], str_is(kind, "ClusterRoleBinding"));
	}
	return r;
}

struct rbac *rbac_ref(struct rbac *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void rbac_unref(struct rbac *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	map_fini(&r->roles);
	map_fini(&r->grants);
	arena_fini(&r->arena);
	mem_free(r);
}

/* ---- one rule ---- */

static bool has(const struct words *w, struct str word)
{
	for (size_t i = 0; i < w->len; i++)
		if (str_eq(w->list[i], word))
			return true;
	return false;
}

static bool has_or_all(const struct words *w, struct str word)
{
	return has(w, word) || has(w, STR("*"));
}

/* "pods", "pods/log", "* /log" without the blank, "*". */
static bool resource_matches(const struct words *w, const struct auth_action *a)
{
	for (size_t i = 0; i < w->len; i++) {
		struct str s = w->list[i];
		if (str_is(s, "*"))
			return true;
		ptrdiff_t slash = str_find(s, '/', 0);
		struct str res = slash < 0 ? s : str_sub(s, 0, (size_t)slash);
		struct str sub = slash < 0 ? STR("") : str_sub(s, (size_t)slash + 1, s.len);
		bool same =
			str_eq(res, a->resource) || (str_is(res, "*") && a->subresource.len > 0);
		if (same && str_eq(sub, a->subresource))
			return true;
	}
	return false;
}

static bool url_matches(const struct words *w, struct str path)
{
	for (size_t i = 0; i < w->len; i++) {
		struct str s = w->list[i];
		if (str_eq(s, path) || str_is(s, "*"))
			return true;
		if (s.len && s.p[s.len - 1] == '*' && str_starts(path, str_sub(s, 0, s.len - 1)))
			return true;
	}
	return false;
}

static bool policy_allows(const struct policy *p, const struct auth_action *a)
{
	if (!has_or_all(&p->verbs, a->verb))
		return false;
	if (!a->resource.len)
		return url_matches(&p->urls, a->path);
	if (!has_or_all(&p->groups, a->group) || !resource_matches(&p->resources, a))
		return false;
	return p->names.len == 0 || (a->name.len && has(&p->names, a->name));
}

static bool role_allows(const struct role *role, const struct auth_action *a)
{
	for (size_t i = 0; i < role->rules_len; i++)
		if (policy_allows(&role->rules[i], a))
			return true;
	return false;
}

/* ---- whose roles ---- */

typedef bool (*grant_fn)(void *arg, const struct role *role, bool everywhere);

static bool walk_subject(const struct rbac *r, char kind, struct str name, struct str ns,
			 grant_fn fn, void *arg)
{
	char text[SUBJECT_MAX];
	struct str key;
	for (int local = 0; local < 1 + (ns.len > 0); local++) {
		if (!subject_key(text, kind, name, local ? ns : STR(""), &key))
			continue;
		for (const struct grant *g = map_get(&r->grants, key); g; g = g->next)
			if (fn(arg, g->role, !local))
				return true;
	}
	return false;
}

/* Until fn says true. */
static bool walk_user(const struct rbac *r, const struct auth_user *u, struct str ns, grant_fn fn,
		      void *arg)
{
	if (!u->name.len)
		return false;
	if (walk_subject(r, 'U', u->name, ns, fn, arg))
		return true;
	bool said = false;
	for (size_t i = 0; i < u->groups_len; i++) {
		said |= str_is(u->groups[i], "system:authenticated");
		if (walk_subject(r, 'G', u->groups[i], ns, fn, arg))
			return true;
	}
	return !said && walk_subject(r, 'G', STR("system:authenticated"), ns, fn, arg);
}

static bool grant_allows(void *arg, const struct role *role, bool everywhere)
{
	const struct auth_action *a = arg;
	/* Paths belong to no namespace. */
	return (everywhere || a->resource.len) && role_allows(role, a);
}

bool rbac_allows(const struct rbac *r, const struct auth_user *u, const struct auth_action *a)
{
	struct auth_action copy = *a;
	return walk_user(r, u, a->resource.len ? a->ns : STR(""), grant_allows, &copy);
}

/* ---- what is granted by rules ---- */

struct cover {
	bool (*may)(void *arg, const struct auth_action *a);
	void *arg;
	size_t steps;
};

static bool ask(struct cover *c, const struct auth_action *a)
{
	return ++c->steps <= RBAC_COVER_STEPS_MAX && c->may(c->arg, a);
}

static bool covers_names(struct cover *c, const struct json *names, struct auth_action *a)
{
	if (json_len(names) == 0)
		return ask(c, a);
	for (size_t i = 0; i < json_len(names); i++) {
		a->name = json_str(json_at(names, i));
		bool held = ask(c, a);
		a->name = STR_NONE;
		if (!held)
			return false;
	}
	return true;
}

static bool covers_resources(struct cover *c, const struct json *rule, struct auth_action *a)
{
	const struct json *groups = json_getc(rule, "apiGroups");
	const struct json *resources = json_getc(rule, "resources");
	for (size_t g = 0; g < json_len(groups); g++)
		for (size_t i = 0; i < json_len(resources); i++) {
			struct str res = json_str(json_at(resources, i));
			ptrdiff_t slash = str_find(res, '/', 0);
			a->group = json_str(json_at(groups, g));
			a->resource = slash < 0 ? res : str_sub(res, 0, (size_t)slash);
			a->subresource =
				slash < 0 ? STR_NONE : str_sub(res, (size_t)slash + 1, res.len);
			if (a->resource.len &&
			    !covers_names(c, json_getc(rule, "resourceNames"), a))
				return false;
		}
	return true;
}

static bool covers_rule(struct cover *c, const struct json *rule, struct str ns)
{
	const struct json *verbs = json_getc(rule, "verbs");
	const struct json *urls = json_getc(rule, "nonResourceURLs");
	for (size_t v = 0; v < json_len(verbs); v++) {
		struct auth_action a = { .verb = json_str(json_at(verbs, v)), .ns = ns };
		if (!covers_resources(c, rule, &a))
			return false;
		for (size_t i = 0; i < json_len(urls); i++) {
			struct auth_action p = { .verb = a.verb,
						 .path = json_str(json_at(urls, i)) };
			if (!ask(c, &p))
				return false;
		}
	}
	return true;
}

bool rbac_covers(const struct json *rules, struct str ns,
		 bool (*may)(void *arg, const struct auth_action *a), void *arg,
		 const struct json **ret_missing)
{
	struct cover c = { .may = may, .arg = arg };
	for (size_t i = 0; i < json_len(rules); i++)
		if (!covers_rule(&c, json_at(rules, i), ns)) {
			if (ret_missing)
				*ret_missing = json_at(rules, i);
			return false;
		}
	return true;
}

struct str rbac_role_rules(const struct rbac *r, struct str ns, struct str name)
{
	struct arena scratch = { 0 };
	const struct role *role = map_get(&r->roles, role_key(&scratch, ns, name));
	arena_fini(&scratch);
	return role ? role->text : STR_NONE;
}

struct visit {
	void (*fn)(void *arg, struct str rules, bool everywhere);
	void *arg;
};

static bool visit_role(void *arg, const struct role *role, bool everywhere)
{
	const struct visit *v = arg;
	v->fn(v->arg, role->text, everywhere);
	return false;
}

void rbac_roles_of(const struct rbac *r, const struct auth_user *u, struct str ns,
		   void (*fn)(void *arg, struct str rules, bool everywhere), void *arg)
{
	struct visit v = { fn, arg };
	(void)walk_user(r, u, ns, visit_role, &v);
}
