#include "base/mem.h"
#include "cel/cel.h"
#include "regex/regex.h"
#include "schema/schema_priv.h"

#include <assert.h>

struct schema_set *schema_set_new(void)
{
	struct schema_set *s = mem_new(struct schema_set, 1);
	s->any = (struct schema){ .type = SCHEMA_ANY,
				  .preserve_unknown = true,
				  .nullable = true,
				  .len_min = -1,
				  .len_max = -1 };
	return s;
}

struct schema_set *schema_set_free(struct schema_set *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->patterns_len; i++)
		(void)regex_free(s->patterns[i]);
	mem_free(s->patterns);
	for (size_t i = 0; i < s->cels_len; i++)
		cel_fini(s->cels[i]);
	mem_free(s->cels);
	map_fini(&s->definitions);
	arena_fini(&s->arena);
	mem_free(s);
	return NULL;
}

struct arena *schema_set_arena(struct schema_set *s)
{
	return &s->arena;
}

int schema_compile_error(struct schema_compiler *c, const struct field_path *at, const char *msg)
{
	struct buf path = { 0 };
	field_path_write(at, &path);
	int rc = error_set(c->err, ERR_INVALID, "%s: %s", path.len ? buf_cstr(&path) : "schema",
			   msg);
	buf_fini(&path);
	return rc;
}

struct schema_def *schema_def_get(struct schema_set *s, struct str name)
{
	struct schema_def *def = map_get(&s->definitions, name);
	if (!def) {
		def = arena_new(&s->arena, struct schema_def, 1);
		(void)map_set(&s->definitions, name, def);
		s->undefined++;
	}
	return def;
}

int schema_set_define(struct schema_set *s, const struct json *definitions, struct error *err)
{
	if (!json_is(definitions, JSON_OBJECT))
		return error_set(err, ERR_INVALID, "definitions must be an object");
	for (size_t i = 0; i < json_len(definitions); i++) {
		const struct json_member *m = &definitions->members[i];
		struct str name = json_str(&m->key);
		struct schema_def *def = schema_def_get(s, name);
		if (def->defined)
			return error_set(err, ERR_EXISTS, "definition %.*s stands twice",
					 STR_ARG(name));
		def->defined = true;
		s->undefined--;
		struct schema_compiler c = { .set = s, .err = err };
		int rc = schema_node_compile(&c, &def->node, &m->value, &FIELD_ROOT(name));
		if (rc)
			return rc;
		if (s->links && s->links->node == &def->node)
			def->link = s->links;
		def->node.ref = name;
	}
	return 0;
}

/* Brings a link's node up to date; the links it depends on first. */
static int link_resolve(struct schema_set *s, struct schema_link *l, struct error *err)
{
	if (l->done)
		return 0;
	struct str name = json_str(json_getc(l->doc, "$ref"));
	struct schema_def *def = schema_def_get(s, name);
	if (l->busy)
		return error_set(err, ERR_INVALID, "definition %.*s is made of itself",
				 STR_ARG(name));
	l->busy = true;
	if (def->link) {
		int rc = link_resolve(s, def->link, err);
		if (rc)
			return rc;
	}
	struct str own = l->node->ref;
	*l->node = def->node;
	l->node->ref = own.len ? own : name;
	struct schema_compiler c = { .set = s, .err = err };
	int rc = schema_node_override(&c, l->node, l->doc, &FIELD_ROOT(name));
	l->done = rc == 0;
	l->busy = false;
	return rc;
}

int schema_set_finish(struct schema_set *s, struct error *err)
{
	struct str name;
	void *v;
	for (size_t pos = 0; s->undefined && map_next(&s->definitions, &pos, &name, &v);) {
		const struct schema_def *def = v;
		if (!def->defined)
			return error_set(err, ERR_INVALID, "no definition %.*s", STR_ARG(name));
	}
	for (struct schema_link *l = s->links; l; l = l->next) {
		int rc = link_resolve(s, l, err);
		if (rc)
			return rc;
	}
	s->links = NULL;
	s->finished = true;
	return 0;
}

/* A default must be a value that the schema lets in. */
static int check_defaults(struct schema_compiler *c, const struct schema *n,
			  const struct field_path *at)
{
	if (n->default_value) {
		struct arena scratch = { 0 };
		struct field_errors errors = { .arena = &scratch };
		schema_validate(n, n->default_value, STR_NONE, &errors);
		int rc = 0;
		if (errors.len)
			rc = schema_compile_error(c, &FIELD_MEMBER(at, STR("default")),
						  errors.list[0].message.p);
		arena_fini(&scratch);
		if (rc)
			return rc;
	}
	struct field_path props = FIELD_MEMBER(at, STR("properties"));
	for (size_t i = 0; i < n->props_len; i++) {
		int rc =
			check_defaults(c, n->props[i].schema, &FIELD_KEY(&props, n->props[i].name));
		if (rc)
			return rc;
	}
	int rc = 0;
	if (n->items)
		rc = check_defaults(c, n->items, &FIELD_MEMBER(at, STR("items")));
	if (rc == 0 && n->additional)
		rc = check_defaults(c, n->additional,
				    &FIELD_MEMBER(at, STR("additionalProperties")));
	return rc;
}

int schema_compile(struct schema_set *s, const struct json *doc, bool external,
		   const struct schema **ret, struct error *err)
{
	struct json *own = NULL;
	if (external) {
		struct arena scratch = { 0 };
		struct field_errors errors = { .arena = &scratch };
		schema_check_structural(doc, STR_NONE, &errors);
		int rc = 0;
		if (errors.len)
			rc = error_set(err, ERR_INVALID, "%.*s: %.*s", STR_ARG(errors.list[0].path),
				       STR_ARG(errors.list[0].message));
		arena_fini(&scratch);
		if (rc)
			return rc;
		own = arena_new(&s->arena, struct json, 1);
		*own = json_clone(&s->arena, doc);
		doc = own;
	}
	struct schema_compiler c = { .set = s, .err = err, .external = external };
	struct schema *node = arena_new(&s->arena, struct schema, 1);
	int rc = schema_node_compile(&c, node, doc, &FIELD_ROOT(STR_NONE));
	if (rc == 0 && s->finished)
		rc = schema_set_finish(s, err);
	if (rc == 0 && external)
		rc = check_defaults(&c, node, &FIELD_ROOT(STR_NONE));
	if (rc == 0)
		*ret = node;
	return rc;
}

const struct schema *schema_find(const struct schema_set *s, struct str name)
{
	const struct schema_def *def = map_get(&s->definitions, name);
	return def && def->defined ? &def->node : NULL;
}

/* The first eight bytes as a number that orders as the bytes do. */
static uint64_t head_of(struct str s)
{
	uint64_t h = 0;
	if (s.len >= sizeof(h)) {
		memcpy(&h, s.p, sizeof(h));
		return __builtin_bswap64(h);
	}
	for (size_t i = 0; i < s.len; i++)
		h |= (uint64_t)(unsigned char)s.p[i] << (56 - 8 * i);
	return h;
}

struct schema_property schema_property_of(struct str name, const struct schema *s)
{
	return (struct schema_property){ name, head_of(name), s };
}

const struct schema *schema_property(const struct schema *s, struct str name)
{
	uint64_t head = head_of(name);
	size_t lo = 0, hi = s->props_len;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct schema_property *p = &s->props[mid];
		int d = p->head < head ? -1 : p->head > head;
		if (d == 0)
			d = str_cmp(p->name, name);
		if (d == 0)
			return p->schema;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return s->additional;
}

const struct schema *schema_at(const struct schema *s, struct str path)
{
	struct str piece;
	while (s && path.len && str_split(&path, '.', &piece)) {
		while (s && s->type == SCHEMA_ARRAY)
			s = s->items;
		if (s && piece.len)
			s = schema_property(s, piece);
	}
	return s;
}
