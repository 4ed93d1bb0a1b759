#include "leases.h"

#include "base/buf.h"
#include "http/server.h"
#include "json/json.h"
#include "text/rfc3339.h"
#include "watch/watch.h"

#include <inttypes.h>

#define PREFIX "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"

enum { LEASE_SECONDS = 40 };

struct printer {
	struct peers *peers;
	struct buf out;
	size_t n;
};

static void print(struct printer *p, struct str node, bool whole)
{
	int64_t us = peers_heartbeat_us(p->peers, node);
	if (!us)
		return; /* nobody has heard of it: a made-up time would look like a sign of life */
	if (p->n++)
		buf_addc(&p->out, ',');
	buf_addc(&p->out, '{');
	if (whole)
		buf_adds(&p->out, "\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",");
	buf_adds(&p->out, "\"metadata\":{\"name\":");
	json_write_str(&p->out, node);
	buf_adds(&p->out, ",\"namespace\":\"kube-node-lease\"},\"spec\":{\"holderIdentity\":");
	json_write_str(&p->out, node);
	buf_addf(&p->out, ",\"leaseDurationSeconds\":%d,\"renewTime\":\"", LEASE_SECONDS);
	rfc3339_write_us(&p->out, us);
	buf_adds(&p->out, "\"}}");
}

static bool each_node(void *arg, struct watch_obj *o)
{
	print(arg, watch_obj_name(o), false);
	return true;
}

static void refuse(struct http_request *req, enum err_code code, const char *text)
{
	struct error err = { 0 };
	(void)error_set(&err, code, "%s", text);
	apiserver_fail(req, &err);
}

struct route {
	struct apiserver *api;
	struct peers *peers;
};

static void serve(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	const struct route *r = arg;
	bool list = !info->path_rest.len || str_is(info->path_rest, "/");
	if (!str_is(req->method, "GET") || str_is(info->action.verb, "watch")) {
		refuse(req, ERR_METHOD,
		       "leases of nodes are heartbeats: they can be read and listed only");
		return;
	}
	struct printer p = { .peers = r->peers };
	struct watch_snap *snap = watch_snap_get(apiserver_cache(r->api));
	if (list) {
		buf_addf(&p.out,
			 "{\"apiVersion\":\"coordination.k8s.io/"
			 "v1\",\"kind\":\"LeaseList\",\"metadata\":{\"resourceVersion\":\"%" PRId64
			 "\"},\"items\":[",
			 watch_snap_rev(snap));
		watch_snap_walk(snap, STR("/nodes/"), STR(""), each_node, &p);
		buf_adds(&p.out, "]}");
	} else {
		struct str name = str_sub(info->path_rest, 1, info->path_rest.len);
		struct buf key = { 0 };
		buf_addf(&key, "/nodes//%.*s", STR_ARG(name));
		if (watch_snap_find(snap, buf_str(&key)))
			print(&p, name, true);
		buf_fini(&key);
	}
	watch_snap_unref(snap);
	if (p.out.len)
		http_reply_text(req, 200, "application/json", buf_str(&p.out));
	else
		refuse(req, ERR_NOT_FOUND, "no heartbeat of such a node is known");
	buf_fini(&p.out);
}

void leases_add_route(struct apiserver *api, struct agents *agents, struct peers *peers)
{
	/* lives as long as the server, which borrows it */
	struct route *r = arena_alloc(agents_arena(agents), sizeof(*r));
	*r = (struct route){ api, peers };
	const struct apiserver_route route = { .prefix = PREFIX, .fn = serve, .arg = r };
	apiserver_add_route(api, &route);
}
