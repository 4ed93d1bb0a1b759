#include "patch/managed.h"
#include "patch/typed.h"

/* ---- reporting conflicts ---- */

static struct str conflict_detail(struct arena *a, const struct manager *m)
{
	struct buf b = { 0 };
	if (m->subresource.len)
		buf_addf(&b, " with subresource \"%.*s\"", STR_ARG(m->subresource));
	if (!m->apply)
		buf_addf(&b, " using %.*s", STR_ARG(m->api_version));
	struct str ret = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return ret;
}

struct report {
	struct arena *a;
	struct patch_apply *ap;
	struct str manager, detail;
};

static bool report_path(void *arg, const struct pe *path, size_t len)
{
	struct report *r = arg;
	if (r->ap->conflicts_len == PATCH_CONFLICTS_MAX) {
		r->ap->conflicts_dropped++;
		return true;
	}
	struct buf b = { 0 };
	for (size_t i = 0; i < len; i++)
		pe_print(&b, &path[i]);
	r->ap->conflicts[r->ap->conflicts_len++] =
		(struct patch_conflict){ .manager = r->manager,
					 .operation_detail = r->detail,
					 .field = arena_str(r->a, buf_str(&b)) };
	buf_fini(&b);
	return true;
}

static int by_name(const void *a, const void *b, void *list)
{
	const struct manager *m = list;
	const struct manager *x = &m[*(const size_t *)a];
	const struct manager *y = &m[*(const size_t *)b];
	int c = str_cmp(x->name, y->name);
	if (c == 0)
		c = (int)y->apply - (int)x->apply;
	if (c == 0)
		c = str_cmp(x->api_version, y->api_version);
	return c ? c : str_cmp(x->subresource, y->subresource);
}

static int report(const struct ssa *x, struct patch_apply *ap, struct error *err)
{
	size_t *order = arena_new(x->a, size_t, x->managers->len);
	for (size_t i = 0; i < x->managers->len; i++)
		order[i] = i;
	qsort_r(order, x->managers->len, sizeof(order[0]), by_name, x->managers->list);
	for (size_t i = 0; i < x->managers->len; i++) {
		const struct manager *m = &x->managers->list[order[i]];
		struct report r = { x->a, ap, m->name, conflict_detail(x->a, m) };
		(void)fset_each(&x->conflicts[order[i]], report_path, &r);
	}
	struct str text = patch_conflict_text(x->a, ap);
	return error_set(err, ERR_CONFLICT, "%.*s", STR_ARG(text));
}

static bool same_manager(const struct patch_conflict *a, const struct patch_conflict *b)
{
	return str_eq(a->manager, b->manager) && str_eq(a->operation_detail, b->operation_detail);
}

struct str patch_conflict_text(struct arena *a, const struct patch_apply *ap)
{
	struct buf b = { 0 };
	size_t all = ap->conflicts_len + ap->conflicts_dropped;
	buf_addf(&b, "Apply failed with %zu conflict%s: ", all, all == 1 ? "" : "s");
	for (size_t i = 0; i < ap->conflicts_len; i++) {
		const struct patch_conflict *c = &ap->conflicts[i];
		if (all == 1) {
			buf_addf(&b, "conflict with \"%.*s\"%.*s: %.*s", STR_ARG(c->manager),
				 STR_ARG(c->operation_detail), STR_ARG(c->field));
			break;
		}
		if (i == 0 || !same_manager(c, c - 1))
			buf_addf(&b, "%sconflicts with \"%.*s\"%.*s:", i ? "\n" : "",
				 STR_ARG(c->manager), STR_ARG(c->operation_detail));
		buf_addf(&b, "\n- %.*s", STR_ARG(c->field));
	}
	struct str ret = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return ret;
}

/* ---- apply ---- */

static struct str text_at(const struct json *obj, const char *a, const char *b)
{
	const struct json *j = json_getc(obj, a);
	return json_str(b ? json_getc(j, b) : j);
}

static int check_config(struct arena *a, const struct patch_apply *ap, const struct json *config,
			struct error *err)
{
	if (!json_is(config, JSON_OBJECT))
		return error_set(err, ERR_BAD_REQUEST,
				 "an applied configuration must be an object");
	if (json_len(managed_fields(config)))
		return error_set(err, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
	int rc = typed_check(a, ap->schema, config, false, err);
	if (rc == 0)
		return 0;
	struct str kind = text_at(config, "kind", NULL);
	struct str ns = text_at(config, "metadata", "namespace");
	struct str name = text_at(config, "metadata", "name");
	(void)error_wrap(err, "failed to create typed patch object (%.*s/%.*s; %.*s, Kind=%.*s)",
			 STR_ARG(ns), STR_ARG(name), STR_ARG(ap->api_version), STR_ARG(kind));
	return rc;
}

/* What an object had before anybody kept track belongs to "before-first-apply". */
static void track_first(struct ssa *x, const struct patch_apply *ap, const struct json *live)
{
	struct manager id = { .name = STR("before-first-apply"),
			      .api_version = ap->api_version,
			      .subresource = ap->subresource,
			      .time = ap->now,
			      .read = true };
	(void)ssa_update(x, managers_entry(x->a, x->managers, &id), NULL, live);
}

/* kubectl may overwrite what it applied on the client's side before. */
static int apply(struct ssa *x, struct manager *self, const struct patch_apply *ap,
		 const struct json *live, const struct json *config, struct ssa_applied *ret,
		 struct error *err)
{
	int rc = ssa_apply(x, self, ap->api_version, ap->force, live, config, ret, err);
	if (rc == ERR_CONFLICT && live && str_is(ap->manager, "kubectl") &&
	    last_applied_allows(x, ap->api_version, live))
		rc = ssa_apply(x, self, ap->api_version, true, live, config, ret, err);
	return rc;
}

int patch_apply(struct arena *a, struct patch_apply *ap, const struct json *live,
		const struct json *applied, struct json *ret, struct error *err)
{
	ap->conflicts_len = ap->conflicts_dropped = 0;
	int rc = check_config(a, ap, applied, err);
	if (rc < 0)
		return rc;
	/* A list that cannot be read is as none: its object is tracked anew. */
	struct managers managers = { 0 };
	if (managers_read(a, managed_fields(live), false, &managers, NULL) < 0)
		managers = (struct managers){ 0 };
	struct json sent = managed_without(a, applied);
	struct json config = json_clone(a, &sent);
	typed_settle(a, ap->schema, &config);
	struct json bare = { 0 };
	if (live)
		bare = managed_without(a, live);
	struct ssa x = { .a = a, .schema = ap->schema, .managers = &managers };
	bool first = live && managers.len == 0;
	if (first)
		track_first(&x, ap, &bare);
	struct manager id = { .name = ap->manager,
			      .api_version = ap->api_version,
			      .subresource = ap->subresource,
			      .apply = true,
			      .read = true };
	if (managers.len >= MANAGERS_MAX && !managers_find(&managers, &id))
		return error_set(err, ERR_INVALID, "an object can have at most %d field managers",
				 MANAGERS_MAX);
	struct manager *self = managers_entry(a, &managers, &id);
	struct ssa_applied got;
	rc = apply(&x, self, ap, live ? &bare : NULL, &config, &got, err);
	if (rc == ERR_CONFLICT)
		return report(&x, ap, err);
	if (rc < 0)
		return rc;
	if (got.object_changed || got.set_changed)
		self->time = ap->now;
	struct json object = got.object;
	if (str_is(ap->manager, "kubectl"))
		object = last_applied_sync(a, &object, &sent);
	if (live && !first && !got.object_changed && !got.set_changed) {
		*ret = managed_with(a, &object, managed_fields(live));
		return 0;
	}
	struct json entries = managers_json(a, &managers);
	*ret = managed_with(a, &object, &entries);
	return 0;
}

/* ---- all other writes ---- */

/* [] or [{}] from a client: forget all managers. */
static bool is_reset(const struct json *entries)
{
	if (!json_is(entries, JSON_ARRAY))
		return false;
	return entries->len == 0 || (entries->len == 1 && entries->items[0].type == JSON_OBJECT &&
				     entries->items[0].len == 0);
}

/*
 * The managers to go on from: what the client sent, when it sent something that
 * can be read, else the stored ones.  *ret_same: they are those of the stored object.
 */
static struct managers choose(struct arena *a, struct str subresource, const struct json *live,
			      const struct json *sent, bool *ret_same)
{
	struct managers x = { 0 };
	const struct json *stored = managed_fields(live);
	*ret_same = false;
	if (subresource.len == 0) {
		if (is_reset(sent))
			return x;
		*ret_same = sent && stored && json_equal(sent, stored);
		if (!*ret_same && managers_read(a, sent, true, &x, NULL) == 0 && x.len)
			return x;
	}
	*ret_same = true;
	if (managers_read(a, stored, false, &x, NULL) < 0)
		x = (struct managers){ 0 };
	return x;
}

void patch_managed_update(struct arena *a, const struct schema *schema, struct str manager,
			  struct str api_version, struct str subresource, struct str now,
			  const struct json *live, struct json *obj)
{
	if (!json_is(obj, JSON_OBJECT) || !json_is(json_getc(obj, "metadata"), JSON_OBJECT))
		return;
	bool same = false;
	struct managers managers = choose(a, subresource, live, managed_fields(obj), &same);
	struct json bare = managed_without(a, obj);
	if (managers.len == 0 && live) {
		*obj = bare;
		return;
	}
	struct json old = { 0 };
	if (live)
		old = managed_without(a, live);
	struct manager id = { .name = manager,
			      .api_version = api_version,
			      .subresource = subresource,
			      .read = true };
	bool known = managers_find(&managers, &id) != NULL;
	struct ssa x = { .a = a, .schema = schema, .managers = &managers };
	struct manager *self = managers_entry(a, &managers, &id);
	(void)manager_set(a, self);
	bool wrote = ssa_update(&x, self, live ? &old : NULL, &bare);
	if (wrote)
		self->time = now;
	else if (!known)
		managers.len--;
	bool touched = wrote;
	for (size_t i = 0; i < managers.len && !touched; i++)
		touched = managers.list[i].changed;
	if (!touched && same && live) {
		*obj = managed_with(a, &bare, managed_fields(live));
		return;
	}
	managers_cap(a, &managers);
	struct json entries = managers_json(a, &managers);
	*obj = managed_with(a, &bare, &entries);
}
