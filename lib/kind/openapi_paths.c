/* The paths of an OpenAPI v3 document: what clients look up before they write. */
#include "kind/openapi_priv.h"

#include <ctype.h>

/* ---- parameters ---- */

enum param {
	P_ALLOW_BOOKMARKS,
	P_CONTINUE,
	P_DRY_RUN,
	P_FIELD_MANAGER,
	P_FIELD_SELECTOR,
	P_FIELD_VALIDATION,
	P_FORCE,
	P_GRACE,
	P_LABEL_SELECTOR,
	P_LIMIT,
	P_PRETTY,
	P_PROPAGATION,
	P_RESOURCE_VERSION,
	P_VERSION_MATCH,
	P_SEND_INITIAL,
	P_TIMEOUT,
	P_WATCH,
};

static const struct {
	const char *name, *type, *description;
} params[] = {
	[P_ALLOW_BOOKMARKS] = { "allowWatchBookmarks", "boolean",
				"Whether a watch may send events of type BOOKMARK." },
	[P_CONTINUE] = { "continue", "string", "The continue token of the page before." },
	[P_DRY_RUN] = { "dryRun", "string", "All: do everything but store the result." },
	[P_FIELD_MANAGER] = { "fieldManager", "string", "Who makes the change." },
	[P_FIELD_SELECTOR] = { "fieldSelector", "string", "Only objects with these fields." },
	[P_FIELD_VALIDATION] = { "fieldValidation", "string",
				 "What happens to unknown and duplicate fields. Ignore, Warn or "
				 "Strict." },
	[P_FORCE] = { "force", "boolean", "Whether an apply takes fields from other managers." },
	[P_GRACE] = { "gracePeriodSeconds", "integer", "How long the object may take to end." },
	[P_LABEL_SELECTOR] = { "labelSelector", "string", "Only objects with these labels." },
	[P_LIMIT] = { "limit", "integer", "The most objects of one page." },
	[P_PRETTY] = { "pretty", "string", "Whether the answer is indented." },
	[P_PROPAGATION] = { "propagationPolicy", "string",
			    "What happens to dependents. Orphan, Background or Foreground." },
	[P_RESOURCE_VERSION] = { "resourceVersion", "string", "The revision to read at." },
	[P_VERSION_MATCH] = { "resourceVersionMatch", "string",
			      "How resourceVersion is meant. Exact or NotOlderThan." },
	[P_SEND_INITIAL] = { "sendInitialEvents", "boolean",
			     "Whether a watch begins with what is there." },
	[P_TIMEOUT] = { "timeoutSeconds", "integer", "After how long a list or watch ends." },
	[P_WATCH] = { "watch", "boolean", "Whether changes follow as a stream." },
};

#define BIT(p) (1U << (p))

enum {
	PARAMS_WRITE = BIT(P_DRY_RUN) | BIT(P_FIELD_MANAGER) | BIT(P_FIELD_VALIDATION),
	PARAMS_LIST = BIT(P_ALLOW_BOOKMARKS) | BIT(P_CONTINUE) | BIT(P_FIELD_SELECTOR) |
		      BIT(P_LABEL_SELECTOR) | BIT(P_LIMIT) | BIT(P_RESOURCE_VERSION) |
		      BIT(P_VERSION_MATCH) | BIT(P_SEND_INITIAL) | BIT(P_TIMEOUT) | BIT(P_WATCH),
	PARAMS_DELETE = BIT(P_DRY_RUN) | BIT(P_GRACE) | BIT(P_PROPAGATION),
};

static void write_query_params(struct buf *b, unsigned set)
{
	const char *sep = "";
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		if (!(set & BIT(i)))
			continue;
		buf_addf(b,
			 "%s{\"name\":\"%s\",\"in\":\"query\",\"description\":\"%s\","
			 "\"schema\":{\"type\":\"%s\",\"uniqueItems\":true}}",
			 sep, params[i].name, params[i].description, params[i].type);
		sep = ",";
	}
}

static void write_path_params(struct buf *b, bool named, bool namespaced)
{
	static const char tail[] = "\"required\":true,\"schema\":{\"type\":\"string\","
				   "\"uniqueItems\":true}}";
	buf_adds(b, "\"parameters\":[");
	if (named)
		buf_addf(b,
			 "{\"name\":\"name\",\"in\":\"path\",\"description\":\"Name of the "
			 "object.\",%s%s",
			 tail, namespaced ? "," : "");
	if (namespaced)
		buf_addf(b,
			 "{\"name\":\"namespace\",\"in\":\"path\",\"description\":\"Namespace "
			 "of the object.\",%s",
			 tail);
	buf_addc(b, ']');
}

/* ---- operations ---- */

enum body { BODY_NONE, BODY_OBJECT, BODY_PATCH, BODY_DELETE };

struct operation {
	const char *method, *action, *verb; /* "post", "post", "create" */
	unsigned params;
	enum body body;
	bool list, status; /* answers with a list; with a Status */
};

static const struct operation op_list = {
	"get", "list", "list", PARAMS_LIST, BODY_NONE, true, false
};
static const struct operation op_create = { "post",      "post", "create", PARAMS_WRITE,
					    BODY_OBJECT, false,  false };
static const struct operation op_delete_all = { "delete",
						"deletecollection",
						"deleteCollection",
						PARAMS_DELETE | BIT(P_FIELD_SELECTOR) |
							BIT(P_LABEL_SELECTOR),
						BODY_DELETE,
						false,
						true };
static const struct operation op_get = { "get",     "get", "read", BIT(P_PRETTY),
					 BODY_NONE, false, false };
static const struct operation op_put = { "put",       "put", "replace", PARAMS_WRITE,
					 BODY_OBJECT, false, false };
static const struct operation op_patch = {
	"patch", "patch", "patch", PARAMS_WRITE | BIT(P_FORCE), BODY_PATCH, false, false
};
static const struct operation op_delete = { "delete",    "delete", "delete", PARAMS_DELETE,
					    BODY_DELETE, false,    true };

struct target {
	const struct kind_info *kind;
	struct kind_subresource sub; /* name NULL: the object itself */
	struct str definition;       /* of what is read and written; "" when it has none */
	bool namespaced;             /* the path has a namespace */
};

static void write_camel(struct buf *b, struct str s)
{
	bool up = true;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (isalnum(c))
			buf_addc(b, (char)(up ? toupper(c) : c));
		up = !isalnum(c);
	}
}

static void write_schema_of(struct openapi *o, struct str definition)
{
	buf_adds(o->out, "{\"schema\":");
	if (definition.len)
		openapi_write_ref(o, definition);
	else
		buf_adds(o->out, "{}");
	buf_addc(o->out, '}');
}

static struct str meta_name(struct openapi *o, const char *type)
{
	return arena_strf(&o->arena, "io.k8s.apimachinery.pkg.apis.meta.v1.%s", type);
}

static void write_body(struct openapi *o, const struct operation *op, const struct target *t)
{
	static const char *const patches[] = { "apply-patch+yaml", "json-patch+json",
					       "merge-patch+json", "strategic-merge-patch+json" };
	buf_adds(o->out, ",\"requestBody\":{\"content\":{");
	size_t n = op->body != BODY_PATCH ? 1 : t->kind->pub.builtin ? 4 : 3;
	for (size_t i = 0; i < n; i++) {
		if (op->body == BODY_PATCH)
			buf_addf(o->out, "%s\"application/%s\":", i ? "," : "", patches[i]);
		else
			buf_adds(o->out, "\"*/*\":");
		write_schema_of(o, op->body == BODY_PATCH    ? meta_name(o, "Patch")
				   : op->body == BODY_DELETE ? meta_name(o, "DeleteOptions")
							     : t->definition);
	}
	buf_addf(o->out, "}%s}", op->body == BODY_DELETE ? "" : ",\"required\":true");
}

static void write_operation(struct openapi *o, const struct operation *op, const struct target *t,
			    const char *suffix)
{
	const struct kind *k = &t->kind->pub;
	struct str kind = t->sub.kind ? str_of(t->sub.kind) : k->kind;
	struct str answer = op->list     ? openapi_list_name(o, t->kind)
			    : op->status ? meta_name(o, "Status")
					 : t->definition;
	buf_addf(o->out, "\"%s\":{\"operationId\":\"%s", op->method, op->verb);
	write_camel(o->out, k->group.len ? k->group : STR("core"));
	write_camel(o->out, k->version);
	buf_adds(o->out, t->namespaced ? "Namespaced" : "");
	write_camel(o->out, k->kind);
	write_camel(o->out, str_of(t->sub.name));
	buf_addf(o->out, "%s\",\"parameters\":[", suffix);
	write_query_params(o->out, op->params);
	buf_addc(o->out, ']');
	if (op->body != BODY_NONE)
		write_body(o, op, t);
	buf_adds(o->out, ",\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{"
			 "\"application/json\":");
	write_schema_of(o, answer);
	buf_addf(o->out, "}}},\"x-kubernetes-action\":\"%s\",", op->action);
	if (t->sub.kind) {
		struct kind sub = { .group = str_of(t->sub.group),
				    .version = str_of(t->sub.version) };
		openapi_write_gvk(o, &sub, kind);
	} else {
		openapi_write_gvk(o, k, kind);
	}
	buf_adds(o->out, "},");
}

/* ---- paths ---- */

static void open_path(struct openapi *o, const struct target *t, const char *tail)
{
	const struct kind *k = &t->kind->pub;
	if (o->out->p[o->out->len - 1] != '{')
		buf_addc(o->out, ',');
	buf_addf(o->out, "\"/%s/%.*s%s/%.*s%s\":{", k->group.len ? "apis" : "api",
		 STR_ARG(k->api_version), t->namespaced ? "/namespaces/{namespace}" : "",
		 STR_ARG(k->plural), tail);
}

static void close_path(struct openapi *o, bool named, bool namespaced)
{
	write_path_params(o->out, named, namespaced);
	buf_addc(o->out, '}');
}

static void write_collection(struct openapi *o, const struct target *t)
{
	unsigned verbs = t->kind->pub.verbs;
	open_path(o, t, "");
	if (verbs & KIND_LIST)
		write_operation(o, &op_list, t, "");
	if (verbs & KIND_CREATE)
		write_operation(o, &op_create, t, "");
	if (verbs & KIND_DELETECOLLECTION)
		write_operation(o, &op_delete_all, t, "");
	close_path(o, false, t->namespaced);
}

/* GET of all namespaces. */
static void write_everywhere(struct openapi *o, struct target t)
{
	t.namespaced = false;
	open_path(o, &t, "");
	write_operation(o, &op_list, &t, "ForAllNamespaces");
	close_path(o, false, false);
}

static void write_named(struct openapi *o, const struct target *t, unsigned verbs)
{
	const char *tail = "/{name}";
	if (t->sub.name)
		tail = arena_printf(&o->arena, "/{name}/%s", t->sub.name);
	open_path(o, t, tail);
	if (verbs & KIND_GET)
		write_operation(o, &op_get, t, "");
	if (verbs & KIND_CREATE && t->sub.name)
		write_operation(o, &op_create, t, "");
	if (verbs & KIND_UPDATE)
		write_operation(o, &op_put, t, "");
	if (verbs & KIND_PATCH)
		write_operation(o, &op_patch, t, "");
	if (verbs & KIND_DELETE)
		write_operation(o, &op_delete, t, "");
	close_path(o, true, t->namespaced);
}

static void write_kind_paths(struct openapi *o, const struct kind_info *k)
{
	unsigned named = KIND_GET | KIND_UPDATE | KIND_PATCH | KIND_DELETE;
	struct target t = { .kind = k,
			    .definition = k->definition,
			    .namespaced = k->pub.namespaced };
	write_collection(o, &t);
	if (k->pub.namespaced && k->pub.verbs & KIND_LIST)
		write_everywhere(o, t);
	if (k->pub.verbs & named)
		write_named(o, &t, k->pub.verbs);
	for (size_t i = 0; kind_subresource_at(&k->pub, i, &t.sub); i++) {
		t.definition = k->definition;
		if (t.sub.kind)
			t.definition =
				kind_definition_name(&o->arena, str_of(t.sub.group),
						     str_of(t.sub.version), str_of(t.sub.kind));
		if (t.sub.kind && !schema_find(o->set->units[0]->schemas, t.definition))
			t.definition = STR_NONE;
		write_named(o, &t, t.sub.verbs);
	}
}

void openapi_write_paths(struct openapi *o, struct str group, struct str version)
{
	for (size_t i = 0; i < o->set->len; i++) {
		const struct kind_info *k = o->set->all[i];
		if (str_eq(k->pub.group, group) && str_eq(k->pub.version, version))
			write_kind_paths(o, k);
	}
}
