#include "base/mem.h"
#include "watch/watch_priv.h"

#include <assert.h>

enum { WIDTH = 32, SMALL = 8 /* a node below it joins a neighbour that has room */ };

struct watch_node {
	_Atomic uint32_t refs;
	uint16_t n;
	uint16_t height; /* 0 = leaf */
	/*
	 * Keys of the objects, or of the least object of each child.  Held apart from the
	 * objects: a search touches one place of each object it compares with.
	 */
	const struct watch_tail *key[WIDTH];
	union {
		struct watch_obj *obj[WIDTH]; /* each with a reference */
		struct watch_node *child[WIDTH];
	};
};

struct inner {
	struct watch_node node;
	uint32_t count[WIDTH]; /* objects in each child */
};

static struct inner *inner_of(struct watch_node *n)
{
	assert(n->height > 0);
	return container_of(n, struct inner, node);
}

static const struct inner *inner_of_const(const struct watch_node *n)
{
	assert(n->height > 0);
	return (const struct inner *)(const void *)n;
}

/* ---- nodes ---- */

static struct watch_node *new_node(uint16_t height)
{
	size_t bytes = height ? sizeof(struct inner) : sizeof(struct watch_node);
	struct watch_node *n = mem_calloc(1, bytes);
	atomic_init(&n->refs, 1);
	n->height = height;
	return n;
}

struct watch_node *watch_tree_ref(struct watch_node *root)
{
	if (root)
		atomic_fetch_add_explicit(&root->refs, 1, memory_order_relaxed);
	return root;
}

void watch_tree_unref(struct watch_node *n)
{
	if (!n || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < n->n; i++) {
		if (n->height)
			watch_tree_unref(n->child[i]);
		else
			watch_obj_unref(n->obj[i]);
	}
	mem_free(n);
}

/* The node for changing: itself when nobody else can reach it, else a copy.  Takes n. */
static struct watch_node *own(struct watch_node *n)
{
	if (atomic_load_explicit(&n->refs, memory_order_acquire) == 1)
		return n;
	struct watch_node *copy = new_node(n->height);
	copy->n = n->n;
	memcpy(copy->key, n->key, n->n * sizeof(n->key[0]));
	memcpy(copy->obj, n->obj, n->n * sizeof(n->obj[0]));
	if (n->height)
		memcpy(inner_of(copy)->count, inner_of_const(n)->count, n->n * sizeof(uint32_t));
	for (size_t i = 0; i < n->n; i++) {
		if (n->height)
			(void)watch_tree_ref(n->child[i]);
		else
			(void)watch_obj_ref(n->obj[i]);
	}
	watch_tree_unref(n);
	return copy;
}

static uint32_t count_of(const struct watch_node *n)
{
	uint32_t sum = n->n;
	if (n->height) {
		sum = 0;
		for (size_t i = 0; i < n->n; i++)
			sum += inner_of_const(n)->count[i];
	}
	return sum;
}

/* Entries i.. of n move up by one, for another one to come in; n is not full. */
static void open_slot(struct watch_node *n, size_t i)
{
	assert(n->n < WIDTH);
	size_t tail = n->n - i;
	memmove(&n->key[i + 1], &n->key[i], tail * sizeof(n->key[0]));
	memmove(&n->obj[i + 1], &n->obj[i], tail * sizeof(n->obj[0]));
	if (n->height) {
		uint32_t *count = inner_of(n)->count;
		memmove(&count[i + 1], &count[i], tail * sizeof(count[0]));
	}
	n->n++;
}

static void close_slot(struct watch_node *n, size_t i)
{
	n->n--;
	size_t tail = n->n - i;
	memmove(&n->key[i], &n->key[i + 1], tail * sizeof(n->key[0]));
	memmove(&n->obj[i], &n->obj[i + 1], tail * sizeof(n->obj[0]));
	if (n->height) {
		uint32_t *count = inner_of(n)->count;
		memmove(&count[i], &count[i + 1], tail * sizeof(count[0]));
	}
}

/* Moves the entries from.. of n to the end of `to`. */
static void move_tail(struct watch_node *n, size_t from, struct watch_node *to)
{
	size_t k = n->n - from;
	assert(to->n + k <= WIDTH && to->height == n->height);
	memcpy(&to->key[to->n], &n->key[from], k * sizeof(n->key[0]));
	memcpy(&to->obj[to->n], &n->obj[from], k * sizeof(n->obj[0]));
	if (n->height)
		memcpy(&inner_of(to)->count[to->n], &inner_of(n)->count[from],
		       k * sizeof(uint32_t));
	to->n = (uint16_t)(to->n + k);
	n->n = (uint16_t)from;
}

static void set_obj(struct watch_node *n, size_t i, struct watch_obj *o)
{
	n->obj[i] = o;
	n->key[i] = watch_obj_tail(o);
}

static void set_child(struct watch_node *n, size_t i, struct watch_node *child)
{
	n->child[i] = child;
	n->key[i] = child->key[0];
	inner_of(n)->count[i] = count_of(child);
}

/* ---- searching ---- */

/* Whether an object with this key lies before the place that is looked for. */
typedef bool (*before_fn)(struct str key, struct str place);

static bool is_less(struct str key, struct str place)
{
	return str_cmp(key, place) < 0;
}

static bool is_less_or_equal(struct str key, struct str place)
{
	return str_cmp(key, place) <= 0;
}

/* Up to the end of a prefix's range. */
static bool is_up_to_prefix(struct str key, struct str place)
{
	return str_starts(key, place) || str_cmp(key, place) < 0;
}

/* Number of entries before the place. */
static size_t lower_bound(const struct watch_node *n, struct str place, before_fn before)
{
	size_t from = 0;
	size_t to = n->n;
	while (from < to) {
		size_t mid = (from + to) / 2;
		if (before(watch_tail_key(n->key[mid]), place))
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

/* Whether entry i of a leaf has this key. */
static bool is_at(const struct watch_node *n, size_t i, struct str key)
{
	return i < n->n && str_eq(watch_tail_key(n->key[i]), key);
}

/* The child where `key` belongs. */
static size_t child_for(const struct watch_node *n, struct str key)
{
	size_t i = lower_bound(n, key, is_less_or_equal);
	return i ? i - 1 : 0;
}

struct watch_obj *watch_tree_find(const struct watch_node *n, struct str key)
{
	if (!n)
		return NULL;
	while (n->height)
		n = n->child[child_for(n, key)];
	size_t i = lower_bound(n, key, is_less);
	return is_at(n, i, key) ? n->obj[i] : NULL;
}

/* Number of objects before the place. */
static size_t rank(const struct watch_node *n, struct str place, before_fn before)
{
	size_t sum = 0;
	while (n && n->height) {
		const struct inner *in = inner_of_const(n);
		size_t i = lower_bound(n, place, before);
		if (i == 0)
			return sum;
		for (size_t k = 0; k + 1 < i; k++)
			sum += in->count[k];
		n = n->child[i - 1];
	}
	return n ? sum + lower_bound(n, place, before) : 0;
}

size_t watch_tree_count(const struct watch_node *root, struct str prefix)
{
	return rank(root, prefix, is_up_to_prefix) - rank(root, prefix, is_less);
}

struct walk {
	struct str prefix, from;
	bool (*fn)(void *arg, struct watch_obj *o);
	void *arg;
};

/* Only the path to the first object compares with `from`. */
static bool walk(const struct watch_node *n, const struct walk *w, bool all)
{
	if (n->height) {
		size_t first = all ? 0 : child_for(n, w->from);
		for (size_t i = first; i < n->n; i++) {
			if (!walk(n->child[i], w, all || i > first))
				return false;
		}
		return true;
	}
	size_t first = all ? 0 : lower_bound(n, w->from, is_less);
	for (size_t i = first; i < n->n; i++) {
		if (!str_starts(watch_tail_key(n->key[i]), w->prefix) || !w->fn(w->arg, n->obj[i]))
			return false;
	}
	return true;
}

void watch_tree_walk(const struct watch_node *root, struct str prefix, struct str from,
		     bool (*fn)(void *arg, struct watch_obj *o), void *arg)
{
	struct walk w = { prefix, str_cmp(from, prefix) < 0 ? prefix : from, fn, arg };
	if (root)
		(void)walk(root, &w, false);
}

/* ---- changing ---- */

/*
 * Makes room at i in the full node n and gives the new right neighbour.  At the end
 * of the tree the old node stays full: keys that come in order fill the nodes.
 */
static struct watch_node *split(struct watch_node *n, size_t i, bool at_end)
{
	struct watch_node *right = new_node(n->height);
	move_tail(n, at_end && i == n->n ? n->n : WIDTH / 2, right);
	return right;
}

/* An entry that goes to i of n, which may be full; the new right neighbour or NULL. */
static struct watch_node *insert_at(struct watch_node *n, size_t i, bool at_end,
				    struct watch_obj *o, struct watch_node *child)
{
	struct watch_node *right = n->n == WIDTH ? split(n, i, at_end) : NULL;
	if (right && i >= n->n && (i > n->n || right->n == 0)) {
		i -= n->n;
		n = right;
	}
	open_slot(n, i);
	if (child)
		set_child(n, i, child);
	else
		set_obj(n, i, o);
	return right;
}

/* n is owned.  The new right neighbour of n, or NULL. */
static struct watch_node *put(struct watch_node *n, struct watch_obj *o, bool at_end,
			      struct watch_obj **ret_old)
{
	struct str key = watch_obj_key(o);
	if (n->height == 0) {
		size_t i = lower_bound(n, key, is_less);
		if (is_at(n, i, key)) {
			*ret_old = n->obj[i];
			set_obj(n, i, o);
			return NULL;
		}
		return insert_at(n, i, at_end, o, NULL);
	}
	size_t i = child_for(n, key);
	struct watch_node *child = own(n->child[i]);
	struct watch_node *right = put(child, o, at_end && i + 1 == n->n, ret_old);
	set_child(n, i, child);
	return right ? insert_at(n, i + 1, at_end, NULL, right) : NULL;
}

struct watch_node *watch_tree_put(struct watch_node *root, struct watch_obj *o,
				  struct watch_obj **ret_old)
{
	*ret_old = NULL;
	root = root ? own(root) : new_node(0);
	struct watch_node *right = put(root, o, true, ret_old);
	if (!right)
		return root;
	struct watch_node *top = new_node((uint16_t)(root->height + 1));
	top->n = 2;
	set_child(top, 0, root);
	set_child(top, 1, right);
	return top;
}

/* Child i of n became small: joins the neighbour that has room. */
static void join(struct watch_node *n, size_t i)
{
	size_t left = i > 0 ? i - 1 : i;
	if (left + 1 >= n->n || n->child[left]->n + n->child[left + 1]->n > WIDTH * 3 / 4)
		return;
	struct watch_node *a = own(n->child[left]);
	struct watch_node *b = own(n->child[left + 1]);
	move_tail(b, 0, a);
	watch_tree_unref(b);
	close_slot(n, left + 1);
	set_child(n, left, a);
}

/* n is owned; the key is in it. */
static struct watch_obj *del(struct watch_node *n, struct str key)
{
	if (n->height == 0) {
		size_t i = lower_bound(n, key, is_less);
		struct watch_obj *old = n->obj[i];
		close_slot(n, i);
		return old;
	}
	size_t i = child_for(n, key);
	struct watch_node *child = n->child[i] = own(n->child[i]);
	struct watch_obj *old = del(child, key);
	if (child->n == 0) {
		watch_tree_unref(child);
		close_slot(n, i);
		return old;
	}
	set_child(n, i, child);
	if (child->n < SMALL)
		join(n, i);
	return old;
}

struct watch_node *watch_tree_del(struct watch_node *root, struct str key,
				  struct watch_obj **ret_old)
{
	*ret_old = NULL;
	if (!watch_tree_find(root, key))
		return root;
	root = own(root);
	*ret_old = del(root, key);
	while (root->height && root->n == 1) {
		struct watch_node *child = watch_tree_ref(root->child[0]);
		watch_tree_unref(root);
		root = child;
	}
	if (root->n == 0) {
		watch_tree_unref(root);
		return NULL;
	}
	return root;
}

/* ---- for tests ---- */

size_t watch_tree_check(const struct watch_node *n)
{
	if (!n)
		return 0;
	assert(n->n >= 1 && n->n <= WIDTH && atomic_load(&n->refs) >= 1);
	for (size_t i = 1; i < n->n; i++)
		assert(str_cmp(watch_tail_key(n->key[i - 1]), watch_tail_key(n->key[i])) < 0);
	for (size_t i = 0; i < n->n && n->height == 0; i++)
		assert(n->key[i] == watch_obj_tail(n->obj[i]));
	if (n->height == 0)
		return n->n;
	size_t sum = 0;
	for (size_t i = 0; i < n->n; i++) {
		const struct watch_node *child = n->child[i];
		size_t count = watch_tree_check(child);
		assert(child->height + 1 == n->height);
		assert(inner_of_const(n)->count[i] == count);
		assert(n->key[i] == child->key[0]);
		sum += count;
	}
	return sum;
}
