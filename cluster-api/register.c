/* Register: creates or updates the Node object, then says where the server stands. */
#include "agents_priv.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "grpc/message.h"
#include "json/json.h"

enum { NODE_BYTES_MAX = 256 << 10 };

/* The steps: create; when it exists, merge its labels; then replace its status; then answer. */
struct registration {
	struct agents *agents;
	struct rpc_stream *stream; /* NULL: gone meanwhile */
	struct arena arena;
	struct str node;
	struct auth_user user;
	struct str metadata, status; /* JSON texts */
	unsigned pending;
};

static void reg_free(struct registration *r)
{
	if (r->stream || r->pending)
		return;
	arena_fini(&r->arena);
	mem_free(r);
}

static void fail(struct registration *r, enum rpc_status status, struct str reply)
{
	if (r->stream)
		rpc_stream_end(r->stream, status, arena_str(&r->arena, str_sub(reply, 0, 400)).p);
}

static void call(struct registration *r, const char *method, struct str path, const char *type,
		 struct str body, apiserver_done_fn done)
{
	const struct apiserver_call c = {
		.method = str_of(method),
		.path = path,
		.content_type = str_of(type),
		.body = body,
		.user = &r->user,
	};
	r->pending++;
	apiserver_call(r->agents->cfg.api, r->agents->cfg.loop, &c, done, r);
}

static void add_endpoint(struct arena *a, Rctl__Agent__V1__RegisterResponse *m, const char *address,
			 const char *region, const char *network_az)
{
	Rctl__Agent__V1__Endpoint *e = arena_new(a, Rctl__Agent__V1__Endpoint, 1);
	if (!address[0])
		return;
	rctl__agent__v1__endpoint__init(e);
	e->address = arena_strdup(a, address);
	e->region = arena_strdup(a, region);
	e->network_az = arena_strdup(a, network_az);
	m->endpoints[m->n_endpoints++] = e;
}

/* This server and the others that are there. */
static void add_endpoints(const struct agents_config *cfg, struct arena *a,
			  Rctl__Agent__V1__RegisterResponse *m)
{
	struct peer *peers = NULL;
	size_t n = peers_list(cfg->peers, a, &peers);
	m->endpoints = arena_new(a, Rctl__Agent__V1__Endpoint *, n + 1);
	add_endpoint(a, m, cfg->advertise, cfg->region, cfg->network_az);
	for (size_t i = 0; i < n; i++)
		add_endpoint(a, m, peers[i].advertise, peers[i].region, peers[i].network_az);
}

static void answer(struct registration *r)
{
	if (!r->stream)
		return;
	const struct agents_config *cfg = &r->agents->cfg;
	struct arena *a = &r->arena;
	Rctl__Agent__V1__RegisterResponse m = RCTL__AGENT__V1__REGISTER_RESPONSE__INIT;
	m.cluster = arena_strdup(a, cfg->cluster);
	m.server = arena_strdup(a, cfg->server);
	m.heartbeat_interval_ms = (uint32_t)cfg->heartbeat_ms;
	if (cfg->advertise[0])
		add_endpoints(cfg, a, &m);
	struct buf b = { 0 };
	rpc_pack(&b, &m.base);
	rpc_stream_reply(r->stream, buf_str(&b));
	buf_fini(&b);
	log_info("node-registered", "node", LOG_STR(r->node), NULL);
}

static void on_status(void *arg, int status, struct str reply)
{
	struct registration *r = arg;
	r->pending--;
	if (status >= 400)
		fail(r, status >= 500 ? RPC_UNAVAILABLE : RPC_PERMISSION_DENIED, reply);
	else
		answer(r);
	reg_free(r);
}

static void put_status(struct registration *r)
{
	struct str body =
		arena_strf(&r->arena, "[{\"op\":\"add\",\"path\":\"/status\",\"value\":%.*s}]",
			   STR_ARG(r->status));
	call(r, "PATCH",
	     arena_strf(&r->arena, "/api/v1/nodes/%.*s/status?fieldManager=resource-cluster-agent",
			STR_ARG(r->node)),
	     "application/json-patch+json", body, on_status);
}

static void on_merged(void *arg, int status, struct str reply)
{
	struct registration *r = arg;
	r->pending--;
	if (status >= 400)
		fail(r, status >= 500 ? RPC_UNAVAILABLE : RPC_PERMISSION_DENIED, reply);
	else
		put_status(r);
	reg_free(r);
}

static void on_created(void *arg, int status, struct str reply)
{
	struct registration *r = arg;
	r->pending--;
	if (status == 409)
		call(r, "PATCH",
		     arena_strf(&r->arena, "/api/v1/nodes/%.*s?fieldManager=resource-cluster-agent",
				STR_ARG(r->node)),
		     "application/merge-patch+json",
		     arena_strf(&r->arena, "{\"metadata\":%.*s}", STR_ARG(r->metadata)), on_merged);
	else if (status >= 400)
		fail(r, status >= 500 ? RPC_UNAVAILABLE : RPC_PERMISSION_DENIED, reply);
	else
		put_status(r);
	reg_free(r);
}

/* Name, labels and annotations of the agent's Node, nothing else. */
static int read_node(struct registration *r, struct str text, struct error *err)
{
	struct arena *a = &r->arena;
	struct json node;
	if (text.len > NODE_BYTES_MAX)
		return error_set(err, ERR_TOO_LARGE, "node_object is over %d bytes",
				 NODE_BYTES_MAX);
	int rc = json_parse(a, text, NULL, &node, err);
	if (rc)
		return rc;
	const struct json *meta = json_getc(&node, "metadata");
	struct json out = json_object();
	(void)json_setc(a, &out, "name", json_of_str(r->node));
	static const char *const kept[] = { "labels", "annotations" };
	for (size_t i = 0; i < 2; i++)
		if (json_getc(meta, kept[i]))
			(void)json_setc(a, &out, kept[i], *json_getc(meta, kept[i]));
	r->metadata = json_text(a, &out);
	const struct json *status = json_getc(&node, "status");
	r->status = status ? json_text(a, status) : STR("{}");
	return 0;
}

static void on_open(void *arg, struct rpc_stream *stream)
{
	struct agents *agents = arg;
	struct str node = agents_peer_node(stream);
	if (!node.len) {
		rpc_stream_end(stream, RPC_PERMISSION_DENIED, "the certificate is not a node's");
		return;
	}
	struct registration *r = mem_new(struct registration, 1);
	r->agents = agents;
	r->stream = stream;
	r->node = arena_str(&r->arena, node);
	r->user.name = arena_strf(&r->arena, "system:node:%.*s", STR_ARG(node));
	r->user.groups[0] = STR("system:nodes");
	r->user.groups[1] = STR("system:authenticated");
	r->user.groups_len = 2;
	rpc_stream_set(stream, r);
}

static void on_message(void *arg, struct rpc_stream *stream, struct str msg)
{
	(void)arg;
	struct registration *r = rpc_stream_get(stream);
	if (!r || r->metadata.p)
		return;
	Rctl__Agent__V1__RegisterRequest *m =
		rpc_unpack(&rctl__agent__v1__register_request__descriptor, msg);
	struct error err = { 0 };
	if (!m) {
		rpc_stream_end(stream, RPC_INVALID_ARGUMENT, "not a RegisterRequest");
		return;
	}
	if (!str_eq(str_of(m->node), r->node))
		rpc_stream_end(stream, RPC_PERMISSION_DENIED,
			       "node is another one than the certificate's");
	else if (read_node(r, rpc_bytes(m->node_object), &err) != 0)
		rpc_stream_end(stream, RPC_INVALID_ARGUMENT, err.msg);
	else
		call(r, "POST", STR("/api/v1/nodes?fieldManager=resource-cluster-agent"),
		     "application/json",
		     arena_strf(&r->arena,
				"{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":%.*s}",
				STR_ARG(r->metadata)),
		     on_created);
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

/* A unary call ends with the reply, not with the client's half-close. */
static void on_half_closed(void *arg, struct rpc_stream *stream)
{
	(void)arg;
	(void)stream;
}

static void on_closed(void *arg, struct rpc_stream *stream, bool cancelled)
{
	(void)arg;
	(void)cancelled;
	struct registration *r = rpc_stream_get(stream);
	if (!r)
		return;
	r->stream = NULL;
	reg_free(r);
}

const struct rpc_method register_method = {
	.path = "/rctl.agent.v1.Agent/RegisterNode",
	.open = on_open,
	.message = on_message,
	.half_closed = on_half_closed,
	.closed = on_closed,
};
