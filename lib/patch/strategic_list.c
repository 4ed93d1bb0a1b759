#include "patch/strategic.h"

#define DIRECTIVE STR("$patch")

/*
 * What tells the elements of a list apart: of objects the value of the merge
 * key, of all else the element itself.
 */
static const struct json *identity(const struct smp_list *l, const struct json *element)
{
	if (!json_is(element, JSON_OBJECT) || l->key.len == 0)
		return element;
	return json_get(element, l->key);
}

static struct vindex identities(struct smp *m, const struct smp_list *l, const struct json *list)
{
	size_t len = json_len(list);
	const struct json **v = arena_new(m->a, const struct json *, len + 1);
	for (size_t i = 0; i < len; i++)
		v[i] = identity(l, &list->items[i]);
	struct vindex x;
	vindex_init(&x, m->a, v, len);
	return x;
}

static int no_merge_key(struct smp *m, const struct smp_list *l)
{
	return error_set(m->err, ERR_BAD_REQUEST, "map: does not contain declared merge key: %.*s",
			 STR_ARG(l->key));
}

static bool is_deletion(const struct json *element)
{
	return json_is(element, JSON_OBJECT) &&
	       str_is(json_str(json_get(element, DIRECTIVE)), "delete");
}

struct json smp_list_without(struct smp *m, const struct json *doc, const struct json *gone)
{
	struct vindex x =
		identities(m, &(struct smp_list){ 0 }, json_is(gone, JSON_ARRAY) ? gone : NULL);
	struct json *out = arena_new(m->a, struct json, (size_t)doc->len + 1);
	size_t len = 0;
	for (uint32_t i = 0; i < doc->len; i++) {
		if (vindex_find(&x, &doc->items[i]) < 0)
			out[len++] = doc->items[i];
	}
	return json_of_items(out, len);
}

/* ---- order ---- */

int smp_check_order(struct smp *m, const struct smp_list *l, const struct json *patch,
		    const struct json *order)
{
	uint32_t at = 0;
	for (uint32_t i = 0; i < patch->len; i++) {
		if (is_deletion(&patch->items[i]))
			continue;
		const struct json *id = identity(l, &patch->items[i]);
		while (at < order->len && value_cmp(identity(l, &order->items[at]), id) != 0)
			at++;
		if (at == order->len)
			return error_set(
				m->err, ERR_BAD_REQUEST,
				"The order in patch list doesn't match $setElementOrder list");
		at++;
	}
	return 0;
}

struct slot {
	struct json value;
	ptrdiff_t rank;   /* in the list that gives the order; -1 = behind all, as it came */
	ptrdiff_t server; /* position in the stored list, or -1 */
	size_t came;
};

static int by_rank(const void *a, const void *b)
{
	const struct slot *x = a;
	const struct slot *y = b;
	size_t rx = x->rank < 0 ? SIZE_MAX : (size_t)x->rank;
	size_t ry = y->rank < 0 ? SIZE_MAX : (size_t)y->rank;
	if (rx != ry)
		return rx < ry ? -1 : 1;
	return x->came < y->came ? -1 : x->came > y->came;
}

/*
 * Two sorted runs into one: an element of the server goes before the first of
 * the patch that the server had behind it.
 */
static struct json interleave(struct smp *m, const struct slot *server, size_t server_len,
			      const struct slot *patch, size_t patch_len)
{
	struct json *out = arena_new(m->a, struct json, server_len + patch_len + 1);
	size_t i = 0;
	size_t j = 0;
	while (i < server_len || j < patch_len) {
		bool left = j == patch_len;
		if (i < server_len && j < patch_len)
			left = server[i].server >= 0 && patch[j].server >= 0 &&
			       server[i].server < patch[j].server;
		out[i + j] = left ? server[i].value : patch[j].value;
		if (left)
			i++;
		else
			j++;
	}
	return json_of_items(out, server_len + patch_len);
}

int smp_list_order(struct smp *m, const struct smp_list *l, const struct json *merged,
		   const struct json *order, const struct json *server, struct json *ret)
{
	size_t len = json_len(merged);
	struct vindex in_order = identities(m, l, order);
	struct vindex in_server = identities(m, l, server);
	struct slot *ours = arena_new(m->a, struct slot, len + 1);
	struct slot *theirs = arena_new(m->a, struct slot, len + 1);
	size_t ours_len = 0;
	size_t theirs_len = 0;
	for (size_t i = 0; i < len; i++) {
		const struct json *id = identity(l, &merged->items[i]);
		if (!id)
			return no_merge_key(m, l);
		struct slot s = { merged->items[i], vindex_find(&in_order, id),
				  vindex_find(&in_server, id), i };
		if (s.rank >= 0) {
			ours[ours_len++] = s;
		} else {
			s.rank = s.server;
			theirs[theirs_len++] = s;
		}
	}
	if (ours_len > 1)
		qsort(ours, ours_len, sizeof(ours[0]), by_rank);
	if (theirs_len > 1)
		qsort(theirs, theirs_len, sizeof(theirs[0]), by_rank);
	*ret = interleave(m, theirs, theirs_len, ours, ours_len);
	return 0;
}

struct json smp_list_seats(struct smp *m, const struct smp_list *l, const struct json *doc,
			   const struct json *patch, const struct json *merged)
{
	struct vindex left = identities(m, l, merged);
	struct vindex old = identities(m, l, doc);
	struct json *out = arena_new(m->a, struct json, (size_t)doc->len + 1);
	size_t len = 0;
	for (uint32_t i = 0; i < doc->len; i++) {
		const struct json *id = identity(l, &doc->items[i]);
		if (id && vindex_find(&left, id) >= 0)
			out[len++] = doc->items[i];
	}
	for (uint32_t i = 0; i < patch->len && len < doc->len; i++) {
		const struct json *id = identity(l, &patch->items[i]);
		if (id && vindex_find(&old, id) < 0)
			out[len++] = patch->items[i];
	}
	return json_of_items(out, len);
}

/* ---- merging ---- */

static int merge_values(struct smp *m, const struct json *doc, const struct json *patch,
			struct json *ret)
{
	struct smp_list plain = { 0 };
	struct vindex old = identities(m, &plain, doc);
	struct vindex new = identities(m, &plain, patch);
	struct json *out = arena_new(m->a, struct json, (size_t)doc->len + patch->len + 1);
	size_t len = 0;
	for (uint32_t i = 0; i < doc->len; i++) {
		if (vindex_find(&old, &doc->items[i]) == (ptrdiff_t)i)
			out[len++] = doc->items[i];
	}
	for (uint32_t i = 0; i < patch->len; i++) {
		const struct json *v = &patch->items[i];
		if (vindex_find(&old, v) < 0 && vindex_find(&new, v) == (ptrdiff_t)i)
			out[len++] = *v;
	}
	struct json merged = json_of_items(out, len);
	return smp_list_order(m, &plain, &merged, patch, doc, ret);
}

/* Elements with "$patch" do their work on *doc and go; the others stay in *patch. */
static int special_elements(struct smp *m, const struct smp_list *l, struct json *doc,
			    struct json *patch)
{
	struct json *stay = arena_new(m->a, struct json, (size_t)patch->len + 1);
	struct json gone = json_array();
	size_t len = 0;
	bool replace = false;
	for (uint32_t i = 0; i < patch->len; i++) {
		const struct json *v = &patch->items[i];
		const struct json *directive = json_get(v, DIRECTIVE);
		struct str d = json_str(directive);
		if (!directive) {
			stay[len++] = *v;
		} else if (str_is(d, "delete")) {
			const struct json *id = json_get(v, l->key);
			if (!id)
				return no_merge_key(m, l);
			json_push(m->a, &gone, *id);
		} else if (str_is(d, "replace")) {
			replace = true;
		} else if (str_is(d, "merge")) {
			return error_set(m->err, ERR_BAD_REQUEST,
					 "merging lists cannot yet be specified in the patch");
		} else {
			return error_set(m->err, ERR_BAD_REQUEST, "unknown patch type \"%.*s\"",
					 STR_ARG(d));
		}
	}
	*patch = json_of_items(stay, len);
	if (replace) {
		*doc = json_array();
	} else if (gone.len) {
		struct vindex x = identities(m, &(struct smp_list){ 0 }, &gone);
		struct json *kept = arena_new(m->a, struct json, (size_t)doc->len + 1);
		size_t kept_len = 0;
		for (uint32_t i = 0; i < doc->len; i++) {
			const struct json *id = identity(l, &doc->items[i]);
			if (!id)
				return no_merge_key(m, l);
			if (vindex_find(&x, id) < 0)
				kept[kept_len++] = doc->items[i];
		}
		*doc = json_of_items(kept, kept_len);
	}
	return 0;
}

static int merge_objects(struct smp *m, const struct smp_list *l, const struct json *doc,
			 const struct json *patch, struct json *ret)
{
	struct vindex old = identities(m, l, doc);
	struct vindex new = identities(m, l, patch);
	struct json *out = arena_new(m->a, struct json, (size_t)doc->len + patch->len + 1);
	size_t *place = arena_new(m->a, size_t, (size_t)patch->len + 1);
	size_t len = doc->len;
	if (len)
		memcpy(out, doc->items, len * sizeof(out[0]));
	for (uint32_t i = 0; i < patch->len; i++) {
		const struct json *v = &patch->items[i];
		const struct json *id = json_get(v, l->key);
		if (!id)
			return no_merge_key(m, l);
		ptrdiff_t at = vindex_find(&old, id);
		ptrdiff_t first = vindex_find(&new, id);
		if (at < 0 && first == (ptrdiff_t)i) {
			place[i] = len;
			len += smp_plain(m, v, &out[len]);
			continue;
		}
		struct json *to = &out[at >= 0 ? (size_t)at : place[first]];
		int rc = smp_object(m, l->items, to, v, to);
		if (rc < 0)
			return rc;
	}
	*ret = json_of_items(out, len);
	return 0;
}

static bool all_objects(const struct json *list)
{
	for (uint32_t i = 0; i < list->len; i++) {
		if (list->items[i].type != JSON_OBJECT)
			return false;
	}
	return true;
}

static bool no_objects(const struct json *list)
{
	for (uint32_t i = 0; i < list->len; i++) {
		if (list->items[i].type == JSON_OBJECT)
			return false;
	}
	return true;
}

int smp_list_merge(struct smp *m, const struct smp_list *l, const struct json *doc,
		   const struct json *patch, struct json *ret)
{
	if (json_len(doc) == 0 && json_len(patch) == 0) {
		*ret = json_array();
		return 0;
	}
	struct json old = *doc;
	struct json new = *patch;
	if (no_objects(&old) && no_objects(&new))
		return merge_values(m, &old, &new, ret);
	if (!all_objects(&old) || !all_objects(&new))
		return error_set(m->err, ERR_BAD_REQUEST, "cannot merge lists of mixed types");
	if (l->key.len == 0)
		return error_set(m->err, ERR_BAD_REQUEST, "cannot merge lists without merge key");
	int rc = special_elements(m, l, &old, &new);
	struct json merged = json_array();
	if (rc == 0)
		rc = merge_objects(m, l, &old, &new, &merged);
	return rc < 0 ? rc : smp_list_order(m, l, &merged, &new, doc, ret);
}
