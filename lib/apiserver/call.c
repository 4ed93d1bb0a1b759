/* Requests from inside the process: the same path without a connection. */
#include "apiserver/apiserver_priv.h"
#include "base/mem.h"

static struct auth_user copy_user(struct arena *a, const struct auth_user *u)
{
	struct auth_user c = { .name = arena_str(a, u->name), .uid = arena_str(a, u->uid) };
	c.groups_len = u->groups_len;
	for (size_t i = 0; i < u->groups_len; i++)
		c.groups[i] = arena_str(a, u->groups[i]);
	return c;
}

static void start(void *arg)
{
	struct req *r = arg;
	r->pending++;
	if (atomic_load(&r->s->closing)) {
		req_failf(r, ERR_UNAVAILABLE, "the server is stopping");
	} else {
		req_headers(r);
		req_dispatch(r);
	}
	r->pending--;
	if (r->answered && r->pending == 0)
		req_free(r);
}

void apiserver_call(struct apiserver *s, struct loop *loop, const struct apiserver_call *call,
		    apiserver_done_fn done, void *arg)
{
	uint32_t turn = atomic_fetch_add(&s->next_shard, 1);
	struct req *r = req_new(&s->shards[turn % s->shards_len]);
	struct arena *a = &r->arena;
	r->inside = true;
	r->call_loop = loop;
	r->call_done = done;
	r->call_arg = arg;
	r->method = arena_str(a, call->method);
	ptrdiff_t q = str_find(call->path, '?', 0);
	r->path = arena_str(a, str_sub(call->path, 0, q < 0 ? call->path.len : (size_t)q));
	if (q >= 0)
		r->query = arena_str(a, str_sub(call->path, (size_t)q + 1, call->path.len));
	r->content_type = arena_str(a, call->content_type);
	r->body = arena_str(a, call->body);
	r->fence = arena_str(a, call->fence);
	r->user = copy_user(a, call->user);
	r->agent = r->user.name;
	loop_post(r->shard->loop, start, r);
}
