/* logs: of a pod, of a workload's pods, of a selector's pods; here or in every cluster. */
#include "columns.h"
#include "rctl.h"
#include "sys/loop.h"
#include "text/duration.h"
#include "text/rfc3339.h"
#include "text/url.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PODS_MAX = 256, TAIL_OF_MANY = 10 };

/* One log stream; of several, and with --prefix, whole lines are written: they do not mix within a line. */
struct stream {
	struct rctl *r;
	const char *prefix; /* "" = none */
	bool whole_lines;
	struct buf line;
	unsigned *open;
	int *status;
};

static void put_lines(struct stream *s, bool rest)
{
	struct str text = buf_str(&s->line);
	size_t done = 0;
	for (ptrdiff_t nl; (nl = str_find(text, '\n', done)) >= 0; done = (size_t)nl + 1)
		(void)printf("%s%.*s\n", s->prefix, (int)((size_t)nl - done), text.p + done);
	buf_consume(&s->line, done);
	if (rest && s->line.len)
		(void)printf("%s%.*s\n", s->prefix, (int)s->line.len, s->line.p);
}

static void on_data(void *arg, int status, struct str data)
{
	(void)status;
	struct stream *s = arg;
	if (!*s->prefix && !s->whole_lines) {
		(void)fwrite(data.p, 1, data.len, stdout);
	} else {
		buf_add_str(&s->line, data);
		put_lines(s, false);
	}
	(void)fflush(stdout);
}

static void on_done(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	(void)body;
	struct stream *s = arg;
	put_lines(s, true);
	if (err)
		*s->status = rctl_fail(err);
	buf_fini(&s->line);
	--*s->open;
}

struct source {
	const char *base; /* "" or "/clusters/NAME" */
	struct str cluster, ns, pod, container;
};

/* `merged`: with times, to put several logs in order. */
static char *log_path(struct rctl *r, const struct source *src, bool merged)
{
	const struct options *o = &r->opt;
	struct buf p = { 0 };
	buf_addf(&p, "%s/api/v1/namespaces/%.*s/pods/%.*s/log", src->base, STR_ARG(src->ns),
		 STR_ARG(src->pod));
	size_t start = p.len;
	buf_addc(&p, '?');
	if (src->container.len)
		url_query_add(&p, start + 1, STR("container"), src->container);
	if (o->follow)
		url_query_add(&p, start + 1, STR("follow"), STR("true"));
	if (o->previous)
		url_query_add(&p, start + 1, STR("previous"), STR("true"));
	if (o->timestamps || merged)
		url_query_add(&p, start + 1, STR("timestamps"), STR("true"));
	if (o->tail >= 0)
		url_query_add(&p, start + 1, STR("tailLines"),
			      arena_strf(&r->arena, "%" PRId64, o->tail));
	if (o->limit_bytes > 0)
		url_query_add(&p, start + 1, STR("limitBytes"),
			      arena_strf(&r->arena, "%" PRId64, o->limit_bytes));
	int64_t ns_since = 0;
	if (o->since && duration_parse_go(str_of(o->since), &ns_since, NULL) == 0)
		url_query_add(&p, start + 1, STR("sinceSeconds"),
			      arena_strf(&r->arena, "%" PRId64, ns_since / 1000000000));
	if (o->since_time)
		url_query_add(&p, start + 1, STR("sinceTime"), str_of(o->since_time));
	if (p.len == start + 1)
		p.len--;
	char *path = arena_strdup(&r->arena, buf_cstr(&p));
	buf_fini(&p);
	return path;
}

/* ---- which pods ---- */

static size_t add_pod(struct rctl *r, const char *base, struct str cluster, const struct json *pod,
		      struct source *out, size_t n)
{
	struct str ns = json_str(json_dig(pod, "metadata", "namespace", NULL));
	struct str name = json_str(json_dig(pod, "metadata", "name", NULL));
	const struct json *ctrs = json_dig(pod, "spec", "containers", NULL);
	if (!r->opt.all_containers && n < PODS_MAX) {
		struct str c = r->opt.container ? str_of(r->opt.container)
						: json_str(json_getc(json_at(ctrs, 0), "name"));
		out[n++] = (struct source){ base, cluster, ns, name, c };
		return n;
	}
	for (size_t i = 0; i < json_len(ctrs) && n < PODS_MAX; i++)
		out[n++] = (struct source){ base, cluster, ns, name,
					    json_str(json_getc(json_at(ctrs, i), "name")) };
	return n;
}

/* The global API has no pods: says so instead of "could not find the requested resource". */
static int no_pods_here(struct rctl *r, struct error *err)
{
	struct error none = { 0 };
	const struct client_resource *res = NULL;
	if (rctl_resource(r, STR("pods"), &res, &none) == 0 || none.code != ERR_NOT_FOUND)
		return err->code;
	return error_set(err, ERR_NOT_FOUND,
			 "context \"%s\" has no pods of its own: add --clusters, or choose a "
			 "cluster with --context",
			 r->cfg.context);
}

static int pods_of_selector(struct rctl *r, const char *base, struct str cluster,
			    const char *selector, struct source *out, size_t *n, struct error *err)
{
	struct buf p = { 0 };
	buf_addf(&p, "%s/api/v1/namespaces/%.*s/pods?labelSelector=", base, STR_ARG(rctl_ns(r)));
	url_encode(&p, str_of(selector));
	struct json list;
	int rc = rctl_get_json(r, arena_strdup(&r->arena, buf_cstr(&p)), &list, err);
	buf_fini(&p);
	if (rc == ERR_NOT_FOUND && !*base)
		(void)no_pods_here(r, err);
	const struct json *items = json_getc(rc ? NULL : &list, "items");
	for (size_t i = 0; i < json_len(items); i++)
		*n = add_pod(r, base, cluster, json_at(items, i), out, *n);
	return rc;
}

/* The selector of a workload, as text. */
static const char *workload_selector(struct rctl *r, const struct json *obj)
{
	const struct json *labels = json_dig(obj, "spec", "selector", "matchLabels", NULL);
	struct buf b = { 0 };
	for (size_t i = 0; i < json_len(labels); i++)
		buf_addf(&b, "%s%.*s=%.*s", i ? "," : "",
			 STR_ARG(json_str(&labels->members[i].key)),
			 STR_ARG(json_str(&labels->members[i].value)));
	const char *s = b.len ? arena_strdup(&r->arena, buf_cstr(&b)) : NULL;
	buf_fini(&b);
	return s;
}

static int named(struct rctl *r, const char *base, struct str cluster, struct source *out,
		 size_t *n, struct error *err)
{
	struct str what = str_of(r->opt.args[0]);
	ptrdiff_t slash = str_find(what, '/', 0);
	struct str type = slash < 0 ? STR("pods") : str_sub(what, 0, (size_t)slash);
	struct str name = slash < 0 ? what : str_sub(what, (size_t)slash + 1, what.len);
	bool pod = str_is(type, "pods") || str_is(type, "pod") || str_is(type, "po");
	struct json obj;
	if (pod) {
		char *path = arena_printf(&r->arena, "%s/api/v1/namespaces/%.*s/pods/%.*s", base,
					  STR_ARG(rctl_ns(r)), STR_ARG(name));
		int rc = rctl_get_json(r, path, &obj, err);
		if (rc == ERR_NOT_FOUND && !*base)
			(void)no_pods_here(r, err);
		if (rc == 0)
			*n = add_pod(r, base, cluster, &obj, out, *n);
		return rc;
	}
	const struct client_resource *res = NULL;
	int rc = rctl_resource(r, type, &res, err);
	if (rc)
		return rc;
	rc = rctl_get_json(r,
			   arena_printf(&r->arena, "%s%s", base,
					client_path(&r->arena, res, rctl_ns(r), name)),
			   &obj, err);
	if (rc)
		return rc;
	const char *selector = workload_selector(r, &obj);
	if (!selector)
		return error_set(err, ERR_BAD_REQUEST, "%.*s has no pods of its own",
				 STR_ARG(what));
	return pods_of_selector(r, base, cluster, selector, out, n, err);
}

static int find(struct rctl *r, const char *base, struct str cluster, struct source *out, size_t *n,
		struct error *err)
{
	if (r->opt.selector)
		return pods_of_selector(r, base, cluster, r->opt.selector, out, n, err);
	return named(r, base, cluster, out, n, err);
}

static int find_fleet(struct rctl *r, struct source *out, size_t *n, struct error *err)
{
	struct json clusters;
	int rc = rctl_get_json(r, "/apis/topology.rctl.io/v1alpha1/clusters", &clusters, err);
	if (rc)
		return rc;
	const struct json *items = json_getc(&clusters, "items");
	for (size_t i = 0; i < json_len(items); i++) {
		struct str name = json_str(json_dig(json_at(items, i), "metadata", "name", NULL));
		struct error one = { 0 };
		rc = find(r, arena_printf(&r->arena, "/clusters/%.*s", STR_ARG(name)), name, out, n,
			  &one);
		if (rc && rc != ERR_NOT_FOUND)
			(void)fprintf(stderr, "warning: cluster %.*s: %s\n", STR_ARG(name),
				      one.msg);
	}
	return *n ? 0 : error_set(err, ERR_NOT_FOUND, "no such pods in any cluster");
}

static const char *prefix_of(struct rctl *r, const struct source *s, size_t n)
{
	if (!r->opt.prefix && !(r->opt.clusters && n > 1))
		return "";
	return arena_printf(&r->arena, "[%.*s%s%.*s/%.*s] ", STR_ARG(s->cluster),
			    s->cluster.len ? "/" : "", STR_ARG(s->pod), STR_ARG(s->container));
}

/* As the lines come; those of several pods whole, one after the other. */
static int stream_logs(struct rctl *r, const struct source *list, size_t n)
{
	int status = 0;
	unsigned open = 0;
	struct stream *streams = arena_new(&r->arena, struct stream, n);
	for (size_t i = 0; i < n; i++) {
		streams[i] = (struct stream){ .r = r,
					      .prefix = prefix_of(r, &list[i], n),
					      .whole_lines = n > 1,
					      .open = &open,
					      .status = &status };
		open++;
		(void)client_send(r->client,
				  &(struct client_request){ .method = "GET",
							    .path = log_path(r, &list[i], false),
							    .accept = "*/*",
							    .on_data = on_data,
							    .done = on_done,
							    .arg = &streams[i] });
	}
	while (open)
		loop_turn(r->loop, -1);
	return status;
}

struct gathered {
	struct buf text;
	struct error err;
	unsigned *open;
};

static void on_gathered(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct gathered *g = arg;
	if (err)
		g->err = *err;
	else
		buf_add_str(&g->text, body);
	--*g->open;
}

/* All of several logs, merged by time. */
static int merge_logs(struct rctl *r, const struct source *list, size_t n)
{
	unsigned open = (unsigned)n;
	int status = 0;
	struct gathered *all = arena_new(&r->arena, struct gathered, n);
	struct log_text *texts = arena_new(&r->arena, struct log_text, n);
	for (size_t i = 0; i < n; i++) {
		all[i].open = &open;
		(void)client_send(r->client,
				  &(struct client_request){ .method = "GET",
							    .path = log_path(r, &list[i], true),
							    .accept = "*/*",
							    .done = on_gathered,
							    .arg = &all[i] });
	}
	while (open)
		loop_turn(r->loop, -1);
	struct buf out = { 0 };
	for (size_t i = 0; i < n; i++) {
		texts[i] = (struct log_text){ buf_str(&all[i].text), prefix_of(r, &list[i], n) };
		if (all[i].err.code) {
			(void)error_wrap(&all[i].err, "pod %.*s", STR_ARG(list[i].pod));
			status = rctl_fail(&all[i].err);
		}
	}
	columns_merge_logs(texts, n, r->opt.timestamps, &out);
	(void)fwrite(out.p ? out.p : "", 1, out.len, stdout);
	for (size_t i = 0; i < n; i++)
		buf_fini(&all[i].text);
	buf_fini(&out);
	return status;
}

int verb_logs(struct rctl *r)
{
	struct error err = { 0 };
	if (!r->opt.args_len && !r->opt.selector)
		return rctl_usage("logs POD, logs TYPE/NAME or logs -l SELECTOR");
	if (r->opt.since) {
		int64_t unused = 0;
		if (duration_parse_go(str_of(r->opt.since), &unused, &err) != 0)
			return rctl_usage("--since: %s", err.msg);
	}
	if (r->opt.since_time) {
		int64_t unused = 0;
		if (r->opt.since)
			return rctl_usage("only one of --since and --since-time");
		if (!rfc3339_parse(str_of(r->opt.since_time), &unused, NULL))
			return rctl_usage("--since-time is a time such as 2026-01-31T12:00:00Z, "
					  "not \"%s\"",
					  r->opt.since_time);
	}
	if (r->opt.args_len > 1)
		r->opt.container = r->opt.args[1];
	if (r->opt.selector && r->opt.tail < 0 && !r->opt.tail_given)
		r->opt.tail = TAIL_OF_MANY; /* as kubectl */
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	struct source *list = arena_new(&r->arena, struct source, PODS_MAX);
	size_t n = 0;
	int rc = r->opt.clusters ? find_fleet(r, list, &n, &err)
				 : find(r, "", STR(""), list, &n, &err);
	if (rc)
		return rctl_fail(&err);
	if (!n) {
		(void)error_set(&err, ERR_NOT_FOUND, "no pods found");
		return rctl_fail(&err);
	}
	if (n == PODS_MAX)
		(void)fprintf(stderr, "warning: only the first %d containers\n", PODS_MAX);
	return n > 1 && !r->opt.follow ? merge_logs(r, list, n) : stream_logs(r, list, n);
}
