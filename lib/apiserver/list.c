/* Lists: one snapshot, pages at one revision, the objects' own bytes as the answer. */
#include "apiserver/apiserver_priv.h"

struct page {
	struct req *r;
	struct select select;
	struct str prefix, start;
	struct watch_snap *snap;
	bool inconsistent; /* go on at the newest revision, told so by the token */
	int64_t limit;     /* 0 = all */
	int64_t at;        /* as it was at this revision; -1 = now */
	/* while walking */
	struct http_body items;
	struct buf rows; /* Table, PartialObjectMetadata */
	struct arena scratch;
	int64_t count;
	struct str next; /* key of the first object that did not fit; NULL = none */
};

static void add_item(struct page *p, struct watch_obj *o)
{
	struct req *r = p->r;
	const char *comma = p->count ? "," : "";
	switch (r->accept.as) {
	case AS_OBJECT:
		if (p->count)
			http_body_lit(&p->items, STR(","));
		http_body_give(&p->items, object_bytes(r->kind, o));
		break;
	case AS_TABLE:
		buf_adds(&p->rows, comma);
		object_row(r, &p->scratch, watch_obj_json(o), &p->rows);
		arena_reset(&p->scratch);
		break;
	case AS_PARTIAL:
		buf_adds(&p->rows, comma);
		kind_partial_metadata(accept_version(&r->accept), watch_obj_json(o), &p->rows);
		break;
	}
	p->count++;
}

static bool take(void *arg, struct watch_obj *o)
{
	struct page *p = arg;
	if (!select_match(&p->select, o))
		return true;
	if (p->limit && p->count == p->limit) {
		p->next = watch_obj_key(o);
		return false;
	}
	add_item(p, o);
	return true;
}

static void walk(struct page *p)
{
	const struct select *s = &p->select;
	struct req *r = p->r;
	bool one = s->one_name && (!r->kind->namespaced || r->route.ns.len);
	if (one && p->start.len == 0) {
		struct str key = object_key(&r->arena, r->kind, r->route.ns, s->name);
		struct watch_obj *o = watch_snap_find(p->snap, key);
		if (o)
			(void)take(p, o);
		return;
	}
	struct str from = p->prefix;
	if (p->start.len)
		from = arena_strf(&r->arena, "%.*s%.*s", STR_ARG(p->prefix), STR_ARG(p->start));
	watch_snap_walk(p->snap, p->prefix, from, take, p);
}

static void add_list_meta(struct page *p, struct buf *out)
{
	struct req *r = p->r;
	buf_addf(out, "\"resourceVersion\":\"%lld\"",
		 (long long)(p->at >= 0 ? p->at : watch_snap_rev(p->snap)));
	if (!p->next.p)
		return;
	struct continue_token t = { .rev = p->inconsistent ? -1 : watch_snap_rev(p->snap),
				    .start = str_sub(p->next, p->prefix.len, p->next.len) };
	buf_adds(out, ",\"continue\":");
	json_write_str(out, continue_write(&r->arena, &t));
	if (p->select.everything && p->start.len == 0) {
		int64_t all = (int64_t)watch_snap_count(p->snap, p->prefix);
		buf_addf(out, ",\"remainingItemCount\":%lld", (long long)(all - p->count));
	}
}

static void add_head(struct page *p, struct buf *out)
{
	struct req *r = p->r;
	switch (r->accept.as) {
	case AS_OBJECT:
		buf_adds(out, "{\"kind\":");
		json_write_str(out, r->kind->list_kind);
		buf_adds(out, ",\"apiVersion\":");
		json_write_str(out, r->kind->api_version);
		buf_adds(out, ",\"metadata\":{");
		add_list_meta(p, out);
		buf_adds(out, "},\"items\":[");
		break;
	case AS_PARTIAL:
		buf_addf(out,
			 "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/"
			 "%s\",\"metadata\":{",
			 accept_version(&r->accept));
		add_list_meta(p, out);
		buf_adds(out, "},\"items\":[");
		break;
	case AS_TABLE:
		object_table_head(&r->accept, out);
		add_list_meta(p, out);
		buf_adds(out, "},");
		buf_add_str(out, kind_table_columns(r->kind));
		buf_adds(out, ",\"rows\":[");
		break;
	}
}

static void send_page(struct page *p)
{
	struct req *r = p->r;
	struct buf head = { 0 };
	add_head(p, &head);
	struct http_body body = { 0 };
	http_body_give(&body, bytes_of_str(buf_str(&head)));
	buf_fini(&head);
	if (p->rows.len)
		http_body_give(&body, bytes_of_str(buf_str(&p->rows)));
	http_body_move(&body, &p->items);
	http_body_lit(&body, STR("]}\n"));
	if (p->next.p && !p->inconsistent)
		watch_snap_keep(r->s->cache, p->snap, loop_now_ms(r->shard->loop));
	req_reply_body(r, 200, "application/json", NULL, &body);
}

static void expired(struct req *r, const struct continue_token *t)
{
	struct continue_token fresh = { .rev = -1, .start = t->start };
	struct status st = {
		.code = ERR_EXPIRED,
		.message = STR(
			"The provided continue parameter is too old to display a consistent list "
			"result. You can start a new list without the continue parameter, or use "
			"the continue token in this response to retrieve the remainder of the "
			"results. Continuing with the provided token results in an inconsistent "
			"list - objects that were created, modified, or deleted between the time "
			"the first chunk was returned and now may show up in the list."),
		.continue_token = continue_write(&r->arena, &fresh)
	};
	req_fail_status(r, &st);
}

/* The snapshot that the request asks for; NULL: answered. */
static struct watch_snap *pick_snapshot(struct req *r, struct page *p)
{
	struct watch_cache *cache = r->s->cache;
	uint64_t now = loop_now_ms(r->shard->loop);
	if (r->opt.continue_token.len) {
		struct continue_token t;
		struct error err = { 0 };
		if (continue_read(&r->arena, r->opt.continue_token, &t, &err)) {
			req_fail(r, &err);
			return NULL;
		}
		p->start = t.start;
		p->inconsistent = t.rev < 0;
		if (p->inconsistent)
			return watch_snap_get(cache);
		struct watch_snap *snap = watch_snap_at(cache, t.rev, now);
		if (!snap)
			expired(r, &t);
		return snap;
	}
	if (r->opt.match != MATCH_EXACT)
		return watch_snap_get(cache);
	struct watch_snap *snap = watch_snap_get(cache);
	if (watch_snap_rev(snap) == r->opt.resource_version)
		return snap;
	watch_snap_unref(snap);
	snap = watch_snap_at(cache, r->opt.resource_version, now);
	if (!snap)
		req_failf(r, ERR_EXPIRED, "The resourceVersion for the provided list is too old.");
	return snap;
}

static void answer(struct req *r)
{
	struct page p = { .r = r, .limit = r->opt.limit };
	struct error err = { 0 };
	if (past_rev(r, &p.at, &err)) {
		req_fail(r, &err);
		return;
	}
	if (r->s->cfg.list_limit_max && (p.limit == 0 || p.limit > r->s->cfg.list_limit_max))
		p.limit = r->s->cfg.list_limit_max;
	if (select_parse(&r->arena, r->kind, &r->opt, &p.select, &err)) {
		req_fail(r, &err);
		return;
	}
	p.prefix = object_prefix(&r->arena, r->kind, r->route.ns);
	p.snap = pick_snapshot(r, &p);
	if (!p.snap)
		return;
	if (p.at >= 0)
		p.limit = 0; /* no pages: a token names a snapshot that is kept */
	int rc = 0;
	if (p.at >= 0)
		rc = past_walk(r, p.at, p.prefix, take, &p, &err);
	else
		walk(&p);
	if (rc)
		req_fail(r, &err);
	else
		send_page(&p);
	watch_snap_unref(p.snap);
	http_body_fini(&p.items);
	buf_fini(&p.rows);
	arena_fini(&p.scratch);
}

void verb_list(struct req *r)
{
	const struct options *o = &r->opt;
	if (o->continue_token.len && o->resource_version > 0) {
		req_failf(r, ERR_BAD_REQUEST,
			  "specifying resource version is not allowed when using continue");
		return;
	}
	if (o->continue_token.len || o->resource_version == 0)
		answer(r);
	else if (o->resource_version > 0)
		req_when_rev(r, o->resource_version, answer);
	else
		req_when_fresh(r, answer);
}
