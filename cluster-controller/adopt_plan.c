#include "adopt_plan.h"

enum adopt_what adopt_plan(const struct adopt_owner *o, const struct adopt_child *c)
{
	if (o->deleting || c->deleting || c->finished || !str_eq(o->ns, c->ns))
		return ADOPT_NOTHING;
	/* an empty selector would take in all that is there */
	bool match = o->selector.len && sched_term_matches(&o->selector, &c->labels);
	if (str_eq(c->controller_uid, o->uid))
		return match ? ADOPT_NOTHING : ADOPT_RELEASE;
	return match && !c->controller_uid.len ? ADOPT_TAKE : ADOPT_NOTHING;
}
