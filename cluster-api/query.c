#include "query.h"

#include "apiserver/relay.h"
#include "base/mem.h"
#include "http/server.h"
#include "peerway.h"
#include "sys/loop.h"
#include "telemetry/ask.h"

struct query {
	struct apiserver *api;
	struct loop *loop;
	struct mstore *store;
	struct peerway *peerway;
};

/* One request. */
struct asked {
	struct query *query;
	struct arena arena;
	struct mstore_ask ask;
	struct error err; /* of its parameters */
	struct relay *relay;
	bool gone, answered;
};

static void asked_free(struct asked *a)
{
	relay_done(a->relay);
	arena_fini(&a->arena);
	mem_free(a);
}

/* ---- answers ---- */

static void answer(struct asked *a, const struct error *err, struct str data)
{
	struct buf b = { 0 };
	relay_begin(a->relay, ask_write(err, data, &b), STR("application/json"));
	relay_write(a->relay, buf_str(&b));
	relay_end(a->relay);
	buf_fini(&b);
}

static void on_answer(void *arg, const struct error *err, struct str data)
{
	struct asked *a = arg;
	a->answered = true;
	if (!a->gone)
		answer(a, err, data);
	if (a->gone)
		asked_free(a);
}

static void on_start(struct relay *r, void *data)
{
	struct asked *a = data;
	a->relay = r;
	if (a->err.code) {
		a->answered = true;
		answer(a, &a->err, STR(""));
		return;
	}
	mstore_ask(a->query->store, a->query->loop, &a->ask, on_answer, a);
}

static void on_gone(struct relay *r, void *data)
{
	struct asked *a = data;
	(void)r;
	a->gone = true;
	if (a->answered)
		asked_free(a);
}

static const struct relay_handlers RELAY = { .start = on_start, .gone = on_gone };

/* ---- requests ---- */

static int read_request(struct asked *a, enum mstore_kind kind, struct http_request *req,
			const struct apiserver_info *info, struct error *err)
{
	struct str form, type = http_request_header(req, "content-type");
	int rc = ask_form(req->method, type, req->body, &form, err);
	if (rc)
		return rc;
	const struct ask_request r = { kind, info->path_rest, info->query, form };
	rc = ask_read(&a->arena, &r, &a->ask, err);
	a->ask.with_notes = true;
	return rc;
}

/* Whether another server that has the database answers. */
static bool hand_on(struct query *q, struct http_request *req, const struct apiserver_info *info)
{
	return intake_down(mstore_intake(q->store)) &&
	       peerway_take_store(q->peerway, req, info, PEERS_METRICS);
}

static void serve(struct query *q, enum mstore_kind kind, struct http_request *req,
		  const struct apiserver_info *info)
{
	if (hand_on(q, req, info))
		return;
	struct asked *a = mem_new(struct asked, 1);
	a->query = q;
	(void)!read_request(a, kind, req, info, &a->err);
	relay_new(req, q->loop, &RELAY, a);
}

static void serve_query(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_QUERY, req, info);
}

static void serve_range(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_RANGE, req, info);
}

static void serve_metadata(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_METADATA, req, info);
}

static void serve_tsdb(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_TSDB, req, info);
}

/* The version is that of Prometheus whose API and language this is: Grafana goes by it. */
static void serve_buildinfo(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	(void)arg;
	(void)info;
	http_reply_text(
		req, 200, "application/json",
		STR("{\"status\":\"success\",\"data\":{\"version\":\"3.0.0\",\"revision\":\"rctl "
		    "" RCTL_VERSION "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\","
		    "\"goVersion\":\"\"}}\n"));
}

/* ---- remote write ---- */

struct written {
	struct query *query;
	struct bytes *body;
	struct error err;
	struct relay *relay;
	bool gone, answered;
};

static void written_free(struct written *w)
{
	relay_done(w->relay);
	bytes_unref(w->body);
	mem_free(w);
}

static void on_written(void *arg, const struct error *err)
{
	struct written *w = arg;
	int status = !err                           ? 204
		     : err->code == ERR_UNAVAILABLE ? 503
		     : err->code == ERR_TOO_LARGE   ? 413
						    : 400;
	w->answered = true;
	if (w->gone) {
		written_free(w);
		return;
	}
	relay_begin(w->relay, status, STR("text/plain; charset=utf-8"));
	if (err) {
		relay_write(w->relay, str_of(err->msg));
		relay_write(w->relay, STR("\n"));
	}
	relay_end(w->relay);
}

static void write_start(struct relay *r, void *data)
{
	struct written *w = data;
	w->relay = r;
	if (w->err.code)
		on_written(w, &w->err);
	else
		mstore_write(w->query->store, w->query->loop, w->body, on_written, w);
}

static void write_gone(struct relay *r, void *data)
{
	struct written *w = data;
	(void)r;
	w->gone = true;
	if (w->answered)
		written_free(w);
}

/* Version 1.0 alone: a sender of 2.0 falls back to it when it is told so (415 in its specification, 400 is understood). */
static int check_write(const struct http_request *req, struct error *err)
{
	struct str type = http_request_header(req, "content-type");
	struct str coding = http_request_header(req, "content-encoding");
	if (!str_is(req->method, "POST"))
		return error_set(err, ERR_BAD_REQUEST, "remote write is a POST");
	if (type.len && !str_starts(type, STR("application/x-protobuf")))
		return error_set(err, ERR_BAD_REQUEST, "the body must be application/x-protobuf");
	if (str_find_str(type, STR("io.prometheus.write.v2"), 0) >= 0)
		return error_set(err, ERR_BAD_REQUEST, "only remote write 1.0 is served here");
	if (coding.len && !str_eq_nocase(coding, STR("snappy")))
		return error_set(err, ERR_BAD_REQUEST, "the body must be packed with snappy");
	return 0;
}

static void serve_write(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	static const struct relay_handlers on = { .start = write_start, .gone = write_gone };
	struct query *q = arg;
	if (hand_on(q, req, info))
		return;
	struct written *w = mem_new(struct written, 1);
	w->query = q;
	w->body = bytes_of_str(req->body);
	(void)!check_write(req, &w->err);
	relay_new(req, q->loop, &on, w);
}

static void serve_labels(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_LABELS, req, info);
}

static void serve_values(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_VALUES, req, info);
}

static void serve_series(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	serve(arg, MSTORE_SERIES, req, info);
}

struct query *query_new(struct apiserver *api, struct loop *loop, struct mstore *store,
			struct peerway *peerway)
{
	struct query *q = mem_new(struct query, 1);
	*q = (struct query){ api, loop, store, peerway };
	const struct {
		const char *prefix;
		bool exact;
		void (*fn)(void *arg, struct http_request *req, const struct apiserver_info *info);
	} routes[] = {
		{ "/api/v1/query", true, serve_query },
		{ "/api/v1/query_range", true, serve_range },
		{ "/api/v1/metadata", true, serve_metadata },
		{ "/api/v1/write", true, serve_write },
		{ "/api/v1/status/buildinfo", true, serve_buildinfo },
		{ "/api/v1/status/tsdb", true, serve_tsdb },
		{ "/api/v1/labels", true, serve_labels },
		{ "/api/v1/label/", false, serve_values },
		{ "/api/v1/series", true, serve_series },
	};
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct apiserver_route r = { .prefix = routes[i].prefix,
						   .exact = routes[i].exact,
						   .body = true,
						   .fn = routes[i].fn,
						   .closed = relay_closed,
						   .drained = relay_drained,
						   .arg = q };
		apiserver_add_route(api, &r);
	}
	return q;
}

struct query *query_free(struct query *q)
{
	mem_free(q);
	return NULL;
}
