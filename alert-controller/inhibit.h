/*
 * inhibit - alerts that keep others from being notified: an index of the sources that fire.
 *
 * An alert that matches `target` is inhibited while one that matches `source` fires and has the same values of
 * all `equal` labels, and for linger_ms behind its end.  As in Alertmanager, an alert that matches both sides is not
 * inhibited by one that does so too; a label that is missing is "".
 *
 * inhibit_builtin: what follows from the topology without configuration.  A silent cluster stands for all alerts of it;
 * a silent region, network or zone for what is inside; a silent node for whatever has its name.
 *
 * Pure.  Source: alertmanager/inhibit.
 */
#ifndef INHIBIT_H
#define INHIBIT_H

#include "base/map.h"
#include "telemetry/labels.h"
#include "telemetry/matcher.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	INHIBIT_MATCHERS_MAX = 16,
	INHIBIT_EQUAL_MAX = 16,
	INHIBIT_LINGER_MS =
		120000, /* of the builtin ones: what was lost together comes back one by one */
};

struct inhibit_rule {
	struct matcher source[INHIBIT_MATCHERS_MAX], target[INHIBIT_MATCHERS_MAX];
	size_t source_len, target_len;
	struct str equal[INHIBIT_EQUAL_MAX]; /* borrowed */
	size_t equal_len;
	int64_t linger_ms;
};

struct inhibitor {
	const struct inhibit_rule *rule;
	struct map sources; /* values of the equal labels → struct inhibit_source */
};

struct inhibit {
	struct inhibitor *v;
	size_t len;
};

/* The rules are borrowed. */
void inhibit_init(struct inhibit *x, const struct inhibit_rule *rules, size_t n, uint64_t seed);
void inhibit_fini(struct inhibit *x);

/*
 * An alert began (true) or ended at now_ms.  Returns whether some others may be inhibited, or no longer, by that; *due_ms
 * is lowered to when its lingering is over.
 */
bool inhibit_change(struct inhibit *x, struct labels l, bool firing, int64_t now_ms,
		    int64_t *due_ms);

/* Whether the alert is inhibited; *ret_by (may be NULL): by which rule. */
bool inhibit_is(const struct inhibit *x, struct labels l, int64_t now_ms, size_t *ret_by);

/* Ends that are behind now_ms are forgotten; *due_ms is lowered to the next one. */
void inhibit_sweep(struct inhibit *x, int64_t now_ms, int64_t *due_ms);

enum { INHIBIT_BUILTIN_LEN = 5 };
/* In v; freed by inhibit_rules_fini. */
void inhibit_builtin(struct inhibit_rule v[INHIBIT_BUILTIN_LEN]);
void inhibit_rules_fini(struct inhibit_rule *v, size_t n);

#endif
