#include "prefetch.h"

#include <assert.h>

struct prefetch_answer {
	struct str expr, problem;
	const struct template_sample *samples;
	size_t len;
	bool there;
};

void prefetch_init(struct prefetch *p)
{
	*p = (struct prefetch){ 0 };
}

void prefetch_fini(struct prefetch *p)
{
	map_fini(&p->known);
	arena_fini(&p->arena);
	prefetch_init(p);
}

int prefetch_query(void *arg, struct arena *a, struct str expr, const struct template_sample **ret,
		   size_t *ret_len, struct error *err)
{
	(void)a;
	struct prefetch *p = arg;
	struct prefetch_answer *x = map_get(&p->known, expr);
	if (!x && p->len == PREFETCH_MAX)
		return error_set(err, ERR_LIMIT,
				 "the templates of a rule make more than %d queries", PREFETCH_MAX);
	if (!x) {
		x = arena_new(&p->arena, struct prefetch_answer, 1);
		*x = (struct prefetch_answer){ .expr = arena_str(&p->arena, expr) };
		p->v[p->len++] = x;
		(void)map_set(&p->known, x->expr, x);
	}
	if (!x->there)
		return error_set(err, ERR_UNAVAILABLE, "the result is not known yet");
	if (x->problem.len)
		return error_set(err, ERR_INVALID, "%.*s", STR_ARG(x->problem));
	*ret = x->samples;
	*ret_len = x->len;
	return 0;
}

bool prefetch_next(const struct prefetch *p, struct str *ret)
{
	if (p->answered == p->len)
		return false;
	*ret = p->v[p->answered]->expr;
	return true;
}

void prefetch_put(struct prefetch *p, const struct series *s, size_t n, const char *problem)
{
	assert(p->answered < p->len);
	struct prefetch_answer *x = p->v[p->answered++];
	x->there = true;
	if (problem) {
		x->problem = arena_str(&p->arena, str_of(*problem ? problem : "no answer"));
		return;
	}
	struct template_sample *v = arena_new(&p->arena, struct template_sample, n);
	for (size_t i = 0; i < n; i++)
		v[i] = (struct template_sample){ query_labels_copy(&p->arena, s[i].labels),
						 s[i].value };
	x->samples = v;
	x->len = n;
}
