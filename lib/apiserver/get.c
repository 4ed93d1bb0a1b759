#include "apiserver/apiserver_priv.h"

static void answer(struct req *r)
{
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	struct str key = object_key(&r->arena, r->kind, r->route.ns, r->route.name);
	struct watch_obj *o = watch_snap_find(snap, key);
	if (o)
		req_reply_object(r, 200, object_bytes(r->kind, o));
	else
		req_fail_not_found(r, r->route.name);
	watch_snap_unref(snap);
}

void verb_get(struct req *r)
{
	int64_t rev = r->opt.resource_version;
	if (past_get(r))
		return;
	if (rev == 0)
		answer(r);
	else if (rev > 0)
		req_when_rev(r, rev, answer);
	else
		req_when_fresh(r, answer);
}
