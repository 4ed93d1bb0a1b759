/*
 * prefetch - results of the queries that templates of a rule ask for, kept over the expansions of one evaluation.
 *
 *   expand everything with prefetch_query          what is not known yet is wanted
 *   while prefetch_next: query it, prefetch_put
 *   expand everything again
 *
 * Queries of one evaluation are bounded by PREFETCH_MAX; one beyond is an error in its template.
 */
#ifndef PREFETCH_H
#define PREFETCH_H

#include "alert/template.h"
#include "base/map.h"
#include "query.h"

enum { PREFETCH_MAX = 64 };

struct prefetch_answer;

struct prefetch {
	struct arena arena;
	struct map known;                        /* expression → struct prefetch_answer */
	struct prefetch_answer *v[PREFETCH_MAX]; /* in the order in which they were wanted */
	size_t len, answered;
};

void prefetch_init(struct prefetch *p);
void prefetch_fini(struct prefetch *p);

/* A template_query_fn; arg is the prefetch. */
int prefetch_query(void *arg, struct arena *a, struct str expr, const struct template_sample **ret,
		   size_t *ret_len, struct error *err);

/* The next expression to query; false: none.  It is answered by prefetch_put. */
bool prefetch_next(const struct prefetch *p, struct str *ret);
/* problem NULL: the series, copied; else why there are none. */
void prefetch_put(struct prefetch *p, const struct series *s, size_t n, const char *problem);

#endif
