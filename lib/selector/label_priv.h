/* Shared by the files of lib/selector alone: how a selector is put together and checked. */
#ifndef SELECTOR_LABEL_PRIV_H
#define SELECTOR_LABEL_PRIV_H

#include "selector/label.h"

struct label_build {
	struct arena *arena;
	const char *wrap; /* what error messages begin with */
	enum err_code code;
	struct label_req *reqs; /* on the heap until finished */
	size_t len, cap;
	struct str *values; /* of the requirement under construction, on the heap */
	size_t values_len, values_cap;
	size_t values_total;
};

void label_build_init(struct label_build *b, struct arena *a);
void label_build_fini(struct label_build *b);

/* A requirement on `key`, then its values, then its operator; text is borrowed. */
ATTR_MUSTCHECK int label_build_begin(struct label_build *b, struct str key, struct error *err);
ATTR_MUSTCHECK int label_build_value(struct label_build *b, struct str value, struct error *err);
ATTR_MUSTCHECK int label_build_end(struct label_build *b, enum label_op op, struct error *err);

/* Sorts and moves everything to the arena. */
void label_build_finish(struct label_build *b, struct label_selector *ret);

#endif
