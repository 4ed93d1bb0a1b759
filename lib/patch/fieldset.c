#include "patch/fieldset.h"

#include "patch/patch_priv.h"

#include <assert.h>
#include <string.h>

enum { INSERTION_SORT_MAX = 12 };

/* ---- elements ---- */

static int cmp_keys(const struct pe *a, const struct pe *b)
{
	for (uint32_t i = 0; i < a->len && i < b->len; i++) {
		int c = str_cmp(a->keys[i].name, b->keys[i].name);
		if (c == 0)
			c = value_cmp(&a->keys[i].value, &b->keys[i].value);
		if (c)
			return c;
	}
	return a->len < b->len ? -1 : a->len > b->len;
}

int pe_cmp(const struct pe *a, const struct pe *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	switch ((enum pe_kind)a->kind) {
	case PE_FIELD:
		return a->name == b->name && a->len == b->len
			       ? 0
			       : str_cmp(str_n(a->name, a->len), str_n(b->name, b->len));
	case PE_KEY:
		return cmp_keys(a, b);
	case PE_VALUE:
		return value_cmp(a->value, b->value);
	case PE_INDEX:
		break;
	}
	return a->index < b->index ? -1 : a->index > b->index;
}

/* ---- building ---- */

static struct fset_node *append(struct arena *a, struct fset *s)
{
	if (s->len == s->cap) {
		assert(s->cap < UINT32_MAX / 2);
		uint32_t cap = s->cap ? s->cap * 2 : 4;
		struct fset_node *nodes = arena_new(a, struct fset_node, cap);
		if (s->len)
			memcpy(nodes, s->nodes, s->len * sizeof(nodes[0]));
		s->nodes = nodes;
		s->cap = cap;
	}
	return &s->nodes[s->len++];
}

void fset_push(struct arena *a, struct fset *s, struct pe pe, bool member, struct fset below)
{
	if (member || below.len)
		*append(a, s) = (struct fset_node){ .pe = pe, .member = member, .below = below };
}

static int by_element(const void *a, const void *b)
{
	return pe_cmp(&((const struct fset_node *)a)->pe, &((const struct fset_node *)b)->pe);
}

static void sort_few(struct fset *s)
{
	for (uint32_t i = 1; i < s->len; i++) {
		struct fset_node n = s->nodes[i];
		uint32_t j = i;
		for (; j > 0 && pe_cmp(&s->nodes[j - 1].pe, &n.pe) > 0; j--)
			s->nodes[j] = s->nodes[j - 1];
		s->nodes[j] = n;
	}
}

void fset_sort(struct arena *a, struct fset *s)
{
	if (s->len < 2)
		return;
	bool sorted = true;
	for (uint32_t i = 1; i < s->len && sorted; i++)
		sorted = pe_cmp(&s->nodes[i - 1].pe, &s->nodes[i].pe) < 0;
	if (sorted)
		return;
	if (s->len <= INSERTION_SORT_MAX)
		sort_few(s);
	else
		qsort(s->nodes, s->len, sizeof(s->nodes[0]), by_element);
	uint32_t kept = 0;
	for (uint32_t i = 1; i < s->len; i++) {
		struct fset_node *last = &s->nodes[kept];
		const struct fset_node *n = &s->nodes[i];
		if (pe_cmp(&last->pe, &n->pe) != 0) {
			s->nodes[++kept] = *n;
			continue;
		}
		last->member = last->member || n->member;
		last->below = fset_union(a, &last->below, &n->below);
	}
	s->len = kept + 1;
}

void fset_insert(struct arena *a, struct fset *s, const struct pe *path, size_t len)
{
	if (len == 0)
		return;
	struct fset one = { 0 };
	for (size_t i = len; i > 0; i--) {
		struct fset up = { 0 };
		fset_push(a, &up, path[i - 1], i == len, one);
		one = up;
	}
	*s = fset_union(a, s, &one);
}

/* ---- asking ---- */

const struct fset_node *fset_find(const struct fset *s, const struct pe *pe)
{
	uint32_t lo = 0;
	for (uint32_t hi = s->len; lo < hi;) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = pe_cmp(&s->nodes[mid].pe, pe);
		if (c == 0)
			return &s->nodes[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool fset_has(const struct fset *s, const struct pe *path, size_t len)
{
	const struct fset_node *n = NULL;
	for (size_t i = 0; i < len; i++) {
		n = fset_find(s, &path[i]);
		if (!n)
			return false;
		s = &n->below;
	}
	return n && n->member;
}

bool fset_equal(const struct fset *a, const struct fset *b)
{
	if (a->len != b->len)
		return false;
	if (a->nodes == b->nodes)
		return true;
	for (uint32_t i = 0; i < a->len; i++) {
		const struct fset_node *x = &a->nodes[i];
		const struct fset_node *y = &b->nodes[i];
		if (x->member != y->member || pe_cmp(&x->pe, &y->pe) != 0 ||
		    !fset_equal(&x->below, &y->below))
			return false;
	}
	return true;
}

/* ---- algebra: both sides are sorted, so each is one walk over two lists ---- */

/* Which of the two is next: < 0 only x, > 0 only y, 0 both. */
static int side(const struct fset *x, uint32_t i, const struct fset *y, uint32_t j)
{
	if (i == x->len)
		return 1;
	if (j == y->len)
		return -1;
	return pe_cmp(&x->nodes[i].pe, &y->nodes[j].pe);
}

/* The same nodes; appending to the copy does not touch them. */
static struct fset share(const struct fset *s)
{
	return (struct fset){ .nodes = s->nodes, .len = s->len, .cap = s->len };
}

struct fset fset_union(struct arena *a, const struct fset *x, const struct fset *y)
{
	if (x->len == 0)
		return share(y);
	if (y->len == 0 || x->nodes == y->nodes)
		return share(x);
	struct fset out = { 0 };
	for (uint32_t i = 0, j = 0; i < x->len || j < y->len;) {
		int c = side(x, i, y, j);
		if (c < 0) {
			*append(a, &out) = x->nodes[i++];
		} else if (c > 0) {
			*append(a, &out) = y->nodes[j++];
		} else {
			const struct fset_node *p = &x->nodes[i++];
			const struct fset_node *q = &y->nodes[j++];
			fset_push(a, &out, p->pe, p->member || q->member,
				  fset_union(a, &p->below, &q->below));
		}
	}
	return out;
}

struct fset fset_intersection(struct arena *a, const struct fset *x, const struct fset *y)
{
	struct fset out = { 0 };
	for (uint32_t i = 0, j = 0; i < x->len && j < y->len;) {
		int c = side(x, i, y, j);
		if (c == 0) {
			const struct fset_node *p = &x->nodes[i];
			const struct fset_node *q = &y->nodes[j];
			fset_push(a, &out, p->pe, p->member && q->member,
				  fset_intersection(a, &p->below, &q->below));
		}
		i += c <= 0;
		j += c >= 0;
	}
	return out;
}

struct fset fset_difference(struct arena *a, const struct fset *x, const struct fset *y)
{
	if (x->len == 0 || y->len == 0)
		return share(x);
	struct fset out = { 0 };
	for (uint32_t i = 0, j = 0; i < x->len;) {
		int c = side(x, i, y, j);
		const struct fset_node *p = &x->nodes[i];
		if (c < 0) {
			*append(a, &out) = *p;
		} else if (c == 0) {
			const struct fset_node *q = &y->nodes[j];
			fset_push(a, &out, p->pe, p->member && !q->member,
				  fset_difference(a, &p->below, &q->below));
		}
		i += c <= 0;
		j += c >= 0;
	}
	return out;
}
