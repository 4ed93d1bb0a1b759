/* From a CustomResourceDefinition document to kinds: built-in ones and users' alike. */
#include "base/mem.h"
#include "jsonpath/jsonpath.h"
#include "kind/hooks.h"
#include "kind/kind_priv.h"
#include "watch/watch.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

enum {
	COLUMNS_MAX = 64,
	NAMES_MAX = 64, /* short names, categories */
	KIND_VERBS_ALL = 0xFF,
};

static const char object_meta[] = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

struct kind_unit *kind_unit_new(void)
{
	struct kind_unit *u = mem_new(struct kind_unit, 1);
	atomic_init(&u->refs, 1);
	u->schemas = schema_set_new();
	return u;
}

void kind_unit_unref(struct kind_unit *u)
{
	if (!u || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) != 1)
		return;
	schema_set_free(u->schemas);
	arena_fini(&u->arena);
	mem_free(u->kinds);
	mem_free(u);
}

/* ---- names of definitions ---- */

/* The dotted name backwards: "fleet.rctl.io" -> "io.rctl.fleet". */
static void write_reversed(struct buf *b, struct str name)
{
	while (name.len) {
		size_t at = name.len;
		while (at && name.p[at - 1] != '.')
			at--;
		buf_add_str(b, str_sub(name, at, name.len));
		name.len = at ? at - 1 : 0;
		if (name.len)
			buf_addc(b, '.');
	}
}

struct str kind_definition_name(struct arena *a, struct str group, struct str version,
				struct str kind)
{
	struct buf b = { 0 };
	if (str_is(group, "apiextensions.k8s.io")) {
		buf_adds(&b, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions");
	} else if (!group.len || str_find(group, '.', 0) < 0 || str_ends(group, STR(".k8s.io"))) {
		ptrdiff_t dot = str_find(group, '.', 0);
		struct str word = dot < 0 ? group : str_sub(group, 0, (size_t)dot);
		buf_adds(&b, "io.k8s.api.");
		buf_add_str(&b, word.len ? word : STR("core"));
	} else {
		write_reversed(&b, group);
	}
	buf_addf(&b, ".%.*s.%.*s", STR_ARG(version), STR_ARG(kind));
	struct str out = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return out;
}

/* ---- subresources ---- */

enum { READ_WRITE = KIND_GET | KIND_PATCH | KIND_UPDATE };

static const struct kind_subresource *subresource_find(struct str name)
{
	static const struct kind_subresource known[] = {
		{ "attach", "", "v1", "PodAttachOptions", KIND_CREATE | KIND_GET },
		{ "binding", "", "v1", "Binding", KIND_CREATE },
		{ "ephemeralcontainers", NULL, NULL, NULL, READ_WRITE },
		{ "eviction", "policy", "v1", "Eviction", KIND_CREATE },
		{ "exec", "", "v1", "PodExecOptions", KIND_CREATE | KIND_GET },
		{ "finalize", NULL, NULL, NULL, KIND_UPDATE },
		{ "log", NULL, NULL, NULL, KIND_GET },
		{ "portforward", "", "v1", "PodPortForwardOptions", KIND_CREATE | KIND_GET },
		{ "proxy", "", "v1", "PodProxyOptions",
		  KIND_CREATE | KIND_DELETE | KIND_GET | KIND_PATCH | KIND_UPDATE },
		{ "scale", "autoscaling", "v1", "Scale", READ_WRITE },
		{ "status", NULL, NULL, NULL, READ_WRITE },
		{ "token", "authentication.k8s.io", "v1", "TokenRequest", KIND_CREATE },
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (str_is(name, known[i].name))
			return &known[i];
	return NULL;
}

bool kind_subresource_at(const struct kind *k, size_t i, struct kind_subresource *ret)
{
	struct str rest = k->subresources, name = STR_NONE;
	if (k->scale.on && i-- == 0)
		name = STR("scale");
	else if (k->has_status && i-- == 0)
		name = STR("status");
	else
		for (size_t n = 0; n <= i; n++)
			if (!rest.len || !str_split(&rest, ' ', &name))
				return false;
	const struct kind_subresource *found = subresource_find(name);
	if (found)
		*ret = *found;
	return found != NULL;
}

/* ---- pieces of a kind ---- */

static struct str text_of(const struct json *j, const char *name)
{
	return json_str(json_getc(j, name));
}

static struct str lower(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 1);
	for (size_t i = 0; i < s.len; i++)
		p[i] = (char)tolower((unsigned char)s.p[i]);
	return str_n(p, s.len);
}

static int take_strings(struct kind_unit *u, const struct json *list, const struct str **ret,
			size_t *ret_len, struct error *err)
{
	size_t n = json_len(list);
	if (n > NAMES_MAX)
		return error_set(err, ERR_INVALID, "more than %d names", NAMES_MAX);
	struct str *out = arena_new(&u->arena, struct str, n);
	for (size_t i = 0; i < n; i++) {
		out[i] = arena_str(&u->arena, json_str(json_at(list, i)));
		if (!out[i].len) /* in YAML a bare "no" is a boolean */
			return error_set(err, ERR_INVALID, "a name must be a string");
	}
	*ret = out;
	*ret_len = n;
	return 0;
}

static const struct {
	const char *name;
	unsigned verb;
} verb_names[] = {
	{ "create", KIND_CREATE },
	{ "delete", KIND_DELETE },
	{ "deletecollection", KIND_DELETECOLLECTION },
	{ "get", KIND_GET },
	{ "list", KIND_LIST },
	{ "patch", KIND_PATCH },
	{ "update", KIND_UPDATE },
	{ "watch", KIND_WATCH },
};

void kind_write_verbs(struct buf *out, unsigned verbs)
{
	const char *sep = "";
	buf_addc(out, '[');
	for (size_t i = 0; i < sizeof(verb_names) / sizeof(verb_names[0]); i++) {
		if (!(verbs & verb_names[i].verb))
			continue;
		buf_addf(out, "%s\"%s\"", sep, verb_names[i].name);
		sep = ",";
	}
	buf_addc(out, ']');
}

static int take_verbs(struct kind *k, const struct json *list, struct error *err)
{
	k->verbs = list ? 0 : KIND_VERBS_ALL;
	for (size_t i = 0; i < json_len(list); i++) {
		unsigned verb = 0;
		for (size_t v = 0; v < sizeof(verb_names) / sizeof(verb_names[0]); v++)
			if (str_is(json_str(json_at(list, i)), verb_names[v].name))
				verb = verb_names[v].verb;
		if (!verb)
			return error_set(err, ERR_INVALID, "unknown verb in x-rctl.verbs");
		k->verbs |= verb;
	}
	return 0;
}

static int take_extras(struct kind_unit *u, struct kind_info *k, const struct json *x,
		       struct error *err)
{
	static const struct {
		const char *name;
		enum kind_name_rule rule;
	} rules[] = { { "subdomain", KIND_NAME_SUBDOMAIN },
		      { "label", KIND_NAME_LABEL },
		      { "label35", KIND_NAME_LABEL35 },
		      { "path", KIND_NAME_PATH } };
	struct buf b = { 0 };
	const struct json *subs = json_getc(x, "subresources");
	for (size_t i = 0; i < json_len(subs); i++) {
		struct str name = json_str(json_at(subs, i));
		if (!subresource_find(name)) {
			buf_fini(&b);
			return error_set(err, ERR_INVALID, "unknown subresource %.*s",
					 STR_ARG(name));
		}
		buf_addf(&b, "%s%.*s", i ? " " : "", STR_ARG(name));
	}
	k->pub.subresources = arena_str(&u->arena, buf_str(&b));
	buf_fini(&b);
	struct str rule = text_of(x, "nameRule");
	bool known = rule.len == 0;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (!str_is(rule, rules[i].name))
			continue;
		k->name_rule = rules[i].rule;
		known = true;
	}
	if (!known)
		return error_set(err, ERR_INVALID, "unknown x-rctl.nameRule");
	return take_verbs(&k->pub, json_getc(x, "verbs"), err);
}

static struct str without_dot(struct str path)
{
	return path.len && path.p[0] == '.' ? str_sub(path, 1, path.len) : path;
}

static void trie_add(struct arena *a, struct kind_trie *root, struct str path, int field)
{
	struct str piece;
	struct kind_trie *at = root;
	while (path.len && str_split(&path, '.', &piece)) {
		struct kind_trie *t = at->child;
		while (t && !str_eq(t->name, piece))
			t = t->next;
		if (!t) {
			t = arena_new(a, struct kind_trie, 1);
			*t = (struct kind_trie){ .name = piece, .field = -1, .next = at->child };
			at->child = t;
		}
		at = t;
	}
	at->field = field;
}

static int take_selectable(struct kind_unit *u, struct kind_info *k, const struct json *list,
			   struct error *err)
{
	size_t n = json_len(list);
	struct kind_trie *root = arena_new(&u->arena, struct kind_trie, 1);
	struct str *out = arena_new(&u->arena, struct str, n);
	root->field = -1;
	if (n > WATCH_FIELDS_MAX)
		return error_set(err, ERR_INVALID, "more than %d selectable fields",
				 WATCH_FIELDS_MAX);
	for (size_t i = 0; i < n; i++) {
		out[i] = without_dot(arena_str(&u->arena, text_of(json_at(list, i), "jsonPath")));
		if (!out[i].len)
			return error_set(err, ERR_INVALID, "a selectable field has no jsonPath");
		trie_add(&u->arena, root, out[i], (int)i);
	}
	k->trie = root;
	k->pub.selectable = out;
	k->pub.selectable_len = n;
	return 0;
}

static void take_subresources(struct kind_unit *u, struct kind *k, const struct json *subs)
{
	const struct json *scale = json_getc(subs, "scale");
	k->has_status = json_is(json_getc(subs, "status"), JSON_OBJECT);
	if (!json_is(scale, JSON_OBJECT))
		return;
	k->scale.on = true;
	k->scale.spec_path = arena_str(&u->arena, text_of(scale, "specReplicasPath"));
	k->scale.status_path = arena_str(&u->arena, text_of(scale, "statusReplicasPath"));
	k->scale.selector_path = arena_str(&u->arena, text_of(scale, "labelSelectorPath"));
}

/* ---- columns ---- */

static int take_column(struct kind_unit *u, struct kind_column *c, const struct json *j,
		       bool builtin, struct error *err)
{
	struct arena *a = &u->arena;
	c->name = arena_str(a, text_of(j, "name"));
	c->type = arena_str(a, text_of(j, "type"));
	c->format = arena_str(a, text_of(j, "format"));
	c->description = arena_str(a, text_of(j, "description"));
	c->priority = (int)json_i64(json_getc(j, "priority"), 0);
	c->func = builtin ? arena_str(a, text_of(j, "x-rctl-func")) : STR_NONE;
	if (c->func.len) {
		c->cell = kind_cell_find(c->func);
		if (!c->cell)
			return error_set(err, ERR_INVALID, "column %.*s: no function \"%.*s\"",
					 STR_ARG(c->name), STR_ARG(c->func));
		return 0;
	}
	struct jsonpath *path = NULL;
	struct str text = arena_str(a, text_of(j, "jsonPath"));
	if (jsonpath_compile(a, text, JSONPATH_ALLOW_MISSING | JSONPATH_RELAXED, &path, err))
		return error_wrap(err, "column %.*s", STR_ARG(c->name));
	c->path = path;
	return 0;
}

static void write_column(struct buf *b, const struct kind_column *c)
{
	buf_adds(b, "{\"name\":");
	json_write_str(b, c->name);
	buf_adds(b, ",\"type\":");
	json_write_str(b, c->type);
	buf_adds(b, ",\"format\":");
	json_write_str(b, c->format);
	buf_adds(b, ",\"description\":");
	json_write_str(b, c->description);
	buf_addf(b, ",\"priority\":%d}", c->priority);
}

/* The name comes first, but for kinds of ours that give it another place. */
static bool places_name(const struct kind *k, const struct json *list)
{
	for (size_t i = 0; k->builtin && i < json_len(list); i++)
		if (str_is(text_of(json_at(list, i), "name"), "Name"))
			return true;
	return false;
}

static int take_columns(struct kind_unit *u, struct kind_info *k, const struct json *list,
			struct error *err)
{
	size_t n = json_len(list), len = 0;
	if (n > COLUMNS_MAX)
		return error_set(err, ERR_INVALID, "more than %d columns", COLUMNS_MAX);
	struct kind_column *c = arena_new(&u->arena, struct kind_column, n + 2);
	if (!places_name(&k->pub, list))
		c[len++] = (struct kind_column){
			.name = STR("Name"),
			.type = STR("string"),
			.format = STR("name"),
			.description = STR("The name, unique among the objects of this resource in "
					   "a namespace."),
			.func = STR("name"),
			.cell = kind_cell_find(STR("name")),
		};
	for (size_t i = 0; i < n; i++) {
		int rc = take_column(u, &c[len++], json_at(list, i), k->pub.builtin, err);
		if (rc)
			return rc;
	}
	if (n == 0)
		c[len++] = (struct kind_column){
			.name = STR("Age"),
			.type = STR("date"),
			.description = STR("Time since the object was created."),
			.func = STR("age .metadata.creationTimestamp"),
			.cell = kind_cell_find(STR("age .metadata.creationTimestamp")),
		};
	struct buf b = { 0 };
	buf_adds(&b, "\"columnDefinitions\":[");
	for (size_t i = 0; i < len; i++) {
		if (i)
			buf_addc(&b, ',');
		write_column(&b, &c[i]);
	}
	buf_addc(&b, ']');
	k->columns_text = arena_str(&u->arena, buf_str(&b));
	buf_fini(&b);
	k->pub.columns = c;
	k->pub.columns_len = len;
	return 0;
}

/* ---- schema ---- */

static int by_name(const void *a, const void *b)
{
	const struct schema_property *x = a, *y = b;
	return str_cmp(x->name, y->name);
}

/* What a CRD asks of metadata (patterns of names) holds on top of what every object's metadata is. */
static const struct schema *metadata_schema(struct arena *a, const struct schema *meta,
					    const struct schema *own)
{
	if (!own || !own->props_len || str_is(own->ref, object_meta))
		return meta;
	struct schema *both = arena_new(a, struct schema, 1);
	struct schema_logic *logic = arena_new(a, struct schema_logic, 1);
	const struct schema **list = arena_new(a, const struct schema *, 1);
	list[0] = own;
	*logic = (struct schema_logic){ .all_of = list, .all_of_len = 1 };
	*both = *meta;
	both->logic = logic;
	return both;
}

/* The compiled root with apiVersion, kind and metadata in it. */
static const struct schema *with_type_and_metadata(struct kind_unit *u, const struct schema *root,
						   const struct schema *meta)
{
	static const char *const names[] = { "apiVersion", "kind", "metadata" };
	struct schema *out = arena_new(&u->arena, struct schema, 1);
	struct schema *text = arena_new(&u->arena, struct schema, 1);
	struct schema_property *props =
		arena_new(&u->arena, struct schema_property, root->props_len + 3);
	size_t n = 0;
	*text = (struct schema){ .type = SCHEMA_STRING, .len_min = -1, .len_max = -1 };
	*out = *root;
	for (size_t i = 0; i < root->props_len; i++) {
		bool ours = false;
		for (size_t w = 0; w < 3; w++)
			ours |= str_is(root->props[i].name, names[w]);
		if (!ours)
			props[n++] = root->props[i];
	}
	for (size_t w = 0; w < 3; w++) {
		const struct schema *own = NULL;
		for (size_t i = 0; i < root->props_len; i++)
			if (str_is(root->props[i].name, names[w]))
				own = root->props[i].schema;
		const struct schema *s = w < 2 ? text : metadata_schema(&u->arena, meta, own);
		props[n++] = schema_property_of(str_of(names[w]), s);
	}
	qsort(props, n, sizeof(*props), by_name);
	out->props = props;
	out->props_len = n;
	out->additional = NULL;
	return out;
}

static int take_schema(struct kind_unit *u, struct kind_info *k, const struct kind_unit *meta,
		       const struct json *doc, struct error *err)
{
	const struct schema *root = NULL;
	const struct schema *object = schema_find(meta->schemas, str_of(object_meta));
	if (!doc)
		return error_set(err, ERR_INVALID, "schema.openAPIV3Schema is missing");
	if (!object)
		return error_set(err, ERR_INVALID, "no definition %s", object_meta);
	int rc = schema_compile(u->schemas, doc, !k->pub.builtin, &root, err);
	if (rc)
		return rc;
	k->pub.schema = with_type_and_metadata(u, root, object);
	k->definition = root->ref.len ? root->ref
				      : kind_definition_name(&u->arena, k->pub.group,
							     k->pub.version, k->pub.kind);
	return 0;
}

/* ---- the kind ---- */

static int take_names(struct kind_unit *u, struct kind *k, const struct json *spec,
		      struct error *err)
{
	struct arena *a = &u->arena;
	const struct json *names = json_getc(spec, "names");
	k->group = arena_str(a, text_of(spec, "group"));
	k->plural = arena_str(a, text_of(names, "plural"));
	k->kind = arena_str(a, text_of(names, "kind"));
	k->singular = arena_str(a, text_of(names, "singular"));
	k->list_kind = arena_str(a, text_of(names, "listKind"));
	if (!k->plural.len || !k->kind.len)
		return error_set(err, ERR_INVALID, "names.plural and names.kind must be set");
	if (!k->singular.len)
		k->singular = lower(a, k->kind);
	if (!k->list_kind.len)
		k->list_kind = arena_strf(a, "%.*sList", STR_ARG(k->kind));
	k->namespaced = str_is(text_of(spec, "scope"), "Namespaced");
	if (!k->namespaced && !str_is(text_of(spec, "scope"), "Cluster"))
		return error_set(err, ERR_INVALID, "scope must be Namespaced or Cluster");
	k->resource_key = arena_strf(a, "%.*s/%.*s", STR_ARG(k->group), STR_ARG(k->plural));
	int rc = take_strings(u, json_getc(names, "shortNames"), &k->short_names,
			      &k->short_names_len, err);
	if (rc == 0)
		rc = take_strings(u, json_getc(names, "categories"), &k->categories,
				  &k->categories_len, err);
	return rc;
}

static struct str api_version(struct arena *a, struct str group, struct str version)
{
	if (!group.len)
		return arena_str(a, version);
	return arena_strf(a, "%.*s/%.*s", STR_ARG(group), STR_ARG(version));
}

static int add_version(struct kind_unit *u, struct kind_info *k, const struct kind_unit *meta,
		       const struct json *crd, const struct json *version, struct error *err)
{
	const struct json *schema = json_dig(version, "schema", "openAPIV3Schema", NULL);
	k->unit = u;
	k->pub.version = arena_str(&u->arena, text_of(version, "name"));
	k->pub.api_version = api_version(&u->arena, k->pub.group, k->pub.version);
	k->pub.hooks = kind_hooks_of(&k->pub);
	k->storage = json_bool(json_getc(version, "storage"), false);
	take_subresources(u, &k->pub, json_getc(version, "subresources"));
	const struct json *x = k->pub.builtin ? json_getc(crd, "x-rctl") : NULL;
	int rc = take_extras(u, k, x, err);
	if (rc == 0)
		rc = take_selectable(u, k, json_getc(version, "selectableFields"), err);
	if (rc == 0)
		rc = take_columns(u, k, json_getc(version, "additionalPrinterColumns"), err);
	if (rc == 0)
		rc = take_schema(u, k, meta, schema, err);
	return rc;
}

int kind_unit_add(struct kind_unit *u, const struct kind_unit *meta, const struct json *crd,
		  bool builtin, struct error *err)
{
	const struct json *spec = json_getc(crd, "spec");
	const struct json *versions = json_getc(spec, "versions");
	struct str stored = STR_NONE;
	if (!json_is(versions, JSON_ARRAY) || json_len(versions) > KIND_VERSIONS_MAX)
		return error_set(err, ERR_INVALID, "spec.versions must be a list of at most %d",
				 KIND_VERSIONS_MAX);
	for (size_t i = 0; i < json_len(versions); i++)
		if (json_bool(json_getc(json_at(versions, i), "storage"), false))
			stored = text_of(json_at(versions, i), "name");
	if (!stored.len)
		return error_set(err, ERR_INVALID, "no version is the storage version");
	for (size_t i = 0; i < json_len(versions); i++) {
		const struct json *v = json_at(versions, i);
		if (!json_bool(json_getc(v, "served"), false))
			continue;
		struct kind_info *k = arena_new(&u->arena, struct kind_info, 1);
		k->pub.builtin = builtin;
		int rc = take_names(u, &k->pub, spec, err);
		if (rc == 0) {
			k->pub.storage_version = api_version(&u->arena, k->pub.group, stored);
			rc = add_version(u, k, meta, crd, v, err);
		}
		if (rc)
			return rc;
		mem_grow(u->kinds, u->len, u->cap);
		u->kinds[u->len++] = k;
	}
	return 0;
}

/* ---- small helpers ---- */

void kind_write_strs(struct buf *out, const struct str *list, size_t len)
{
	buf_addc(out, '[');
	for (size_t i = 0; i < len; i++) {
		if (i)
			buf_addc(out, ',');
		json_write_str(out, list[i]);
	}
	buf_addc(out, ']');
}

struct bytes *kind_take(struct buf *b)
{
	struct bytes *out = bytes_new(b->p ? b->p : "", b->len);
	buf_fini(b);
	return out;
}
