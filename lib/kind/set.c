#include "base/map.h"
#include "base/mem.h"
#include "kind/kind_priv.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

/* ---- order ---- */

/* "v2beta3": stability 0 v2, 1 beta, 2 alpha, 3 none of these; numbers. */
struct version_key {
	int stability;
	int64_t major, minor;
};

static size_t digits(struct str s, size_t from)
{
	size_t n = from;
	while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9' && n - from < 18)
		n++;
	return n;
}

static struct version_key version_key(struct str s)
{
	static const struct {
		const char *word;
		int stability;
	} words[] = { { "beta", 1 }, { "alpha", 2 } };
	struct version_key none = { 3, 0, 0 }, k = { 0, 0, 0 };
	size_t n = digits(s, 1);
	if (s.len < 2 || s.p[0] != 'v' || n == 1 || !str_to_i64(str_sub(s, 1, n), &k.major))
		return none;
	struct str rest = str_sub(s, n, s.len);
	if (!rest.len)
		return k;
	for (size_t i = 0; i < 2; i++) {
		struct str word = str_of(words[i].word);
		if (!str_starts(rest, word))
			continue;
		k.stability = words[i].stability;
		if (str_to_i64(str_sub(rest, word.len, rest.len), &k.minor))
			return k;
	}
	return none;
}

int kind_version_cmp(struct str a, struct str b)
{
	struct version_key x = version_key(a), y = version_key(b);
	if (x.stability != y.stability)
		return x.stability < y.stability ? -1 : 1;
	if (x.major != y.major)
		return x.major > y.major ? -1 : 1;
	if (x.minor != y.minor)
		return x.minor > y.minor ? -1 : 1;
	return str_cmp(a, b);
}

static int group_rank(const struct kind *k)
{
	if (!k->builtin)
		return 3;
	if (!k->group.len)
		return 0;
	return str_is(k->group, "apps") || str_is(k->group, "batch") ? 1 : 2;
}

static int by_order(const void *a, const void *b)
{
	const struct kind *x = &(*(const struct kind_info *const *)a)->pub;
	const struct kind *y = &(*(const struct kind_info *const *)b)->pub;
	int d = group_rank(x) - group_rank(y);
	if (d == 0)
		d = str_cmp(x->group, y->group);
	if (d == 0)
		d = kind_version_cmp(x->version, y->version);
	return d ? d : str_cmp(x->plural, y->plural);
}

static int cmp3(const struct kind *x, struct str group, struct str version, struct str plural)
{
	int d = str_cmp(x->group, group);
	if (d == 0)
		d = str_cmp(x->version, version);
	return d ? d : str_cmp(x->plural, plural);
}

static int by_url(const void *a, const void *b)
{
	const struct kind *x = &(*(const struct kind_info *const *)a)->pub;
	const struct kind *y = &(*(const struct kind_info *const *)b)->pub;
	return cmp3(x, y->group, y->version, y->plural);
}

static int by_gvk(const void *a, const void *b)
{
	const struct kind *x = &(*(const struct kind_info *const *)a)->pub;
	const struct kind *y = &(*(const struct kind_info *const *)b)->pub;
	int d = str_cmp(x->api_version, y->api_version);
	return d ? d : str_cmp(x->kind, y->kind);
}

/* The storage version first, so that it is the one found. */
static int by_key(const void *a, const void *b)
{
	const struct kind_info *x = *(const struct kind_info *const *)a;
	const struct kind_info *y = *(const struct kind_info *const *)b;
	int d = str_cmp(x->pub.resource_key, y->pub.resource_key);
	if (d == 0)
		d = (int)y->storage - (int)x->storage;
	return d ? d : kind_version_cmp(x->pub.version, y->pub.version);
}

/* ---- making ---- */

static struct kind_set *set_new(size_t units_max)
{
	struct kind_set *s = mem_new(struct kind_set, 1);
	atomic_init(&s->refs, 1);
	(void)pthread_mutex_init(&s->lock, NULL);
	s->units = mem_new(struct kind_unit *, units_max);
	s->scratch = mem_new(struct arena, 1);
	s->hashes = mem_new(struct map, 1);
	return s;
}

static const struct kind_info **sorted(const struct kind_set *s,
				       int (*cmp)(const void *, const void *))
{
	const struct kind_info **out = mem_new(const struct kind_info *, s->len);
	size_t n = 0;
	for (size_t u = 0; u < s->units_len; u++)
		for (size_t i = 0; i < s->units[u]->len; i++)
			out[n++] = s->units[u]->kinds[i];
	if (n)
		qsort(out, n, sizeof(const struct kind_info *), cmp);
	return out;
}

static void set_index(struct kind_set *s)
{
	s->len = 0;
	for (size_t u = 0; u < s->units_len; u++)
		s->len += s->units[u]->len;
	s->all = sorted(s, by_order);
	s->by_url = sorted(s, by_url);
	s->by_gvk = sorted(s, by_gvk);
	s->by_key = sorted(s, by_key);
	for (size_t i = 0; i < s->len; i++)
		if (i == 0 || !str_eq(s->by_key[i]->pub.resource_key,
				      s->by_key[s->keys_len - 1]->pub.resource_key))
			s->by_key[s->keys_len++] = s->by_key[i];
}

struct kind_set *kind_set_builtin(enum kind_plane plane)
{
	struct kind_set *s = set_new(1);
	s->units[s->units_len++] = kind_unit_builtin(plane);
	set_index(s);
	return s;
}

struct kind_set *kind_set_ref(struct kind_set *s)
{
	(void)atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void kind_set_unref(struct kind_set *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct str key;
	void *hash;
	for (size_t pos = 0; map_next(s->hashes, &pos, &key, &hash);)
		mem_free(hash);
	map_fini(s->hashes);
	mem_free(s->hashes);
	for (size_t i = 0; i < s->units_len; i++)
		kind_unit_unref(s->units[i]);
	mem_free(s->units);
	mem_free(s->all);
	mem_free(s->by_url);
	mem_free(s->by_gvk);
	mem_free(s->by_key);
	arena_fini(s->scratch);
	mem_free(s->scratch);
	bytes_unref(s->discovery[0]);
	bytes_unref(s->discovery[1]);
	(void)pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

/* Two kinds that could not be told apart: the same URL or the same kind in a group. */
static bool clash(const struct kind *x, const struct kind *y)
{
	if (!str_eq(x->group, y->group))
		return false;
	return str_eq(x->plural, y->plural) || str_eq(x->kind, y->kind) ||
	       str_eq(x->list_kind, y->list_kind);
}

static const struct kind *find_clash(const struct kind_set *s, const struct kind_unit *u)
{
	for (size_t n = 0; n < s->units_len; n++)
		for (size_t i = 0; i < s->units[n]->len; i++)
			for (size_t k = 0; k < u->len; k++)
				if (clash(&s->units[n]->kinds[i]->pub, &u->kinds[k]->pub))
					return &s->units[n]->kinds[i]->pub;
	return NULL;
}

/* False when the status says that the definition is not to be served. */
static bool is_established(const struct json *crd)
{
	const struct json *list = json_dig(crd, "status", "conditions", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_getc(json_at(list, i), "type")), "Established"))
			return str_is(json_str(json_getc(json_at(list, i), "status")), "True");
	return true;
}

/* A copy of the top of the document in which the names are those that were accepted. */
static struct json with_accepted_names(struct arena *a, const struct json *crd)
{
	struct json out = *crd;
	const struct json *names = json_dig(crd, "status", "acceptedNames", NULL);
	const struct json *spec = json_getc(crd, "spec");
	if (!json_is(spec, JSON_OBJECT) || !json_str(json_getc(names, "plural")).len ||
	    !json_str(json_getc(names, "kind")).len)
		return out;
	struct json own = json_object(), top = json_object();
	for (size_t i = 0; i < json_len(spec); i++)
		(void)json_set(a, &own, json_str(&spec->members[i].key), spec->members[i].value);
	(void)json_setc(a, &own, "names", *names);
	for (size_t i = 0; i < json_len(crd); i++)
		(void)json_set(a, &top, json_str(&crd->members[i].key), crd->members[i].value);
	(void)json_setc(a, &top, "spec", own);
	return top;
}

static bool same_fields(const struct kind *x, const struct kind *y)
{
	bool same = x->selectable_len == y->selectable_len;
	for (size_t i = 0; same && i < x->selectable_len; i++)
		same = str_eq(x->selectable[i], y->selectable[i]);
	return same;
}

/* The index holds the fields of the storage version as it was when an object was written. */
static void mark_moved_fields(struct kind_unit *u, const struct kind_unit *before)
{
	const struct kind *stored = NULL;
	bool moved = false;
	for (size_t i = 0; i < u->len; i++)
		if (u->kinds[i]->storage)
			stored = &u->kinds[i]->pub;
	for (size_t i = 0; before && i < before->len; i++)
		moved |= before->kinds[i]->pub.fields_moved ||
			 (before->kinds[i]->storage &&
			  (!stored || !same_fields(stored, &before->kinds[i]->pub)));
	for (size_t i = 0; i < u->len; i++)
		u->kinds[i]->pub.fields_moved =
			moved || !stored || !same_fields(stored, &u->kinds[i]->pub);
}

/* The compiled unit of this CRD: that of `base` when nothing changed, else a new one; NULL with *err. */
static struct kind_unit *crd_unit(const struct kind_set *base, const struct json *crd,
				  struct error *err)
{
	struct str name = json_str(json_dig(crd, "metadata", "name", NULL));
	const struct json *given = json_getc(crd, "spec");
	const struct kind_unit *before = NULL;
	struct buf spec = { 0 };
	if (given)
		json_write(&spec, given);
	for (size_t i = 1; i < base->units_len; i++) {
		struct kind_unit *u = base->units[i];
		if (str_eq(u->name, name) && str_eq(u->spec, buf_str(&spec))) {
			buf_fini(&spec);
			(void)atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
			return u;
		}
		if (str_eq(u->name, name))
			before = u;
	}
	struct kind_unit *u = kind_unit_new();
	u->name = arena_str(&u->arena, name);
	u->spec = arena_str(&u->arena, buf_str(&spec));
	kind_sha256_hex(buf_str(&spec), u->hash);
	buf_fini(&spec);
	if (kind_unit_add(u, base->units[0], crd, false, err)) {
		kind_unit_unref(u);
		return NULL;
	}
	mark_moved_fields(u, before);
	return u;
}

struct kind_set *kind_set_with_crds(struct kind_set *base, const struct json *const *crds, size_t n,
				    void (*on_error)(void *arg, struct str crd_name,
						     const char *msg),
				    void *arg)
{
	struct kind_set *s = set_new(n + 1);
	s->units[s->units_len++] = base->units[0];
	(void)atomic_fetch_add_explicit(&base->units[0]->refs, 1, memory_order_relaxed);
	struct arena scratch = { 0 };
	for (size_t i = 0; i < n; i++) {
		struct error err = { .code = ERR_OK };
		if (!is_established(crds[i]))
			continue;
		struct json crd = with_accepted_names(&scratch, crds[i]);
		struct kind_unit *u = crd_unit(base, &crd, &err);
		const struct kind *other = u ? find_clash(s, u) : NULL;
		if (other)
			(void)error_set(&err, ERR_CONFLICT, "%.*s.%.*s has the same names",
					STR_ARG(other->plural), STR_ARG(other->group));
		if (u && !other) {
			s->units[s->units_len++] = u;
			continue;
		}
		kind_unit_unref(u);
		if (on_error)
			on_error(arg, json_str(json_dig(crds[i], "metadata", "name", NULL)),
				 err.msg);
	}
	arena_fini(&scratch);
	set_index(s);
	return s;
}

/* ---- finding ---- */

const struct kind *kind_find(const struct kind_set *s, struct str group, struct str version,
			     struct str plural)
{
	size_t lo = 0, hi = s->len;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int d = cmp3(&s->by_url[mid]->pub, group, version, plural);
		if (d == 0)
			return &s->by_url[mid]->pub;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct kind *kind_find_gvk(const struct kind_set *s, struct str api_version, struct str kind)
{
	size_t lo = 0, hi = s->len;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct kind *k = &s->by_gvk[mid]->pub;
		int d = str_cmp(k->api_version, api_version);
		if (d == 0)
			d = str_cmp(k->kind, kind);
		if (d == 0)
			return k;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct kind *kind_find_key(const struct kind_set *s, struct str resource_key)
{
	size_t lo = 0, hi = s->keys_len;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct kind *k = &s->by_key[mid]->pub;
		int d = str_cmp(k->resource_key, resource_key);
		if (d == 0)
			return k;
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static bool is_called(const struct kind *k, struct str name)
{
	if (str_eq_nocase(name, k->plural) || str_eq_nocase(name, k->singular) ||
	    str_eq_nocase(name, k->kind))
		return true;
	for (size_t i = 0; i < k->short_names_len; i++)
		if (str_eq_nocase(name, k->short_names[i]))
			return true;
	return false;
}

const struct kind *kind_find_name(const struct kind_set *s, struct str name)
{
	ptrdiff_t dot = str_find(name, '.', 0);
	struct str word = dot < 0 ? name : str_sub(name, 0, (size_t)dot);
	struct str group = dot < 0 ? STR_NONE : str_sub(name, (size_t)dot + 1, name.len);
	for (size_t i = 0; i < s->len; i++) {
		const struct kind *k = &s->all[i]->pub;
		if ((dot < 0 || str_eq_nocase(group, k->group)) && is_called(k, word))
			return k;
	}
	return NULL;
}

bool kind_group_exists(const struct kind_set *s, struct str group, struct str version)
{
	for (size_t i = 0; i < s->len; i++) {
		const struct kind *k = &s->all[i]->pub;
		if (str_eq(k->group, group) && (!version.len || str_eq(k->version, version)))
			return true;
	}
	return false;
}

size_t kind_count(const struct kind_set *s)
{
	return s->len;
}

const struct kind *kind_at(const struct kind_set *s, size_t i)
{
	return i < s->len ? &s->all[i]->pub : NULL;
}
