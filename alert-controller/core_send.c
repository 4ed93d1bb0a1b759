/* Notifications: made by the plan of a group, leased, sent by the shell, ended; and the rows of a batch. */
#include "base/mem.h"
#include "core_priv.h"
#include "json/json.h"
#include "text/url.h"
#include "tls/digest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* ---- deliveries ---- */

static struct delivery *delivery_new(struct core *c, struct group *g, struct str idem,
				     struct str payload)
{
	struct delivery *d = mem_new(struct delivery, 1);
	assert(!g->open);
	g->open = d;
	d->group = g;
	g->receiver->open++;
	list_init(&d->link);
	list_init(&d->dirty);
	(void)snprintf(d->idem, sizeof(d->idem), "%.*s", STR_ARG(idem));
	d->payload = str_n(mem_strndup(payload.p, payload.len), payload.len);
	(void)map_set(&c->deliveries, str_of(d->idem), d);
	return d;
}

/* A place among those that are posted is free. */
static void unpark(struct core *c, struct core_receiver *r)
{
	if (list_empty(&r->parked))
		return;
	struct list *next = r->parked.next;
	list_del(next);
	list_append(&c->sendable, next);
}

/* Not waiting for anything any more. */
static void unlink_delivery(struct core *c, struct delivery *d)
{
	struct core_receiver *r = d->group->receiver;
	list_del(&d->link);
	heap_del(&c->due_deliveries, &d->due);
	r->under_way -= d->counted;
	d->counted = false;
	if (!d->posted)
		return;
	d->posted = false;
	r->sending--;
	unpark(c, r);
}

void core_delivery_free(struct core *c, struct delivery *d)
{
	if (!d)
		return;
	unlink_delivery(c, d);
	if (d->group->open == d) {
		d->group->open = NULL;
		d->group->receiver->open--;
	}
	list_del(&d->dirty);
	(void)map_del(&c->deliveries, str_of(d->idem));
	union {
		const char *in;
		char *out;
	} payload = { .in = d->payload.p };
	mem_free(payload.out);
	mem_free(d);
}

void core_delivery_dirty(struct core *c, struct delivery *d)
{
	if (!list_linked(&d->dirty))
		list_append(&c->dirty_deliveries, &d->dirty);
}

void core_delivery_load(struct core *c, const struct delivery_row *row)
{
	struct core_receiver *r = map_get(&c->receivers, row->receiver);
	struct group *g = r ? map_get(&r->groups, row->group_key) : NULL;
	if (!g || g->open)
		return;
	struct delivery *d = delivery_new(c, g, row->idem, row->payload);
	d->seq = row->seq;
	d->created_ms = row->created_ms;
	d->deadline_ms = row->deadline_ms;
	d->attempt = row->attempt;
	d->state = row->state;
	d->next_ms = row->next_ms;
	d->lease_ms = row->lease_ms;
	/* the attempt that was under way may still be: its end is waited for */
	heap_add(&c->due_deliveries, &d->due,
		 (uint64_t)(d->state == DELIVERY_LEASED ? d->lease_ms : d->next_ms));
}

static void lease(struct core *c, struct delivery *d, int64_t now_ms)
{
	struct core_receiver *r = d->group->receiver;
	d->state = DELIVERY_LEASED;
	d->attempt++;
	d->lease_ms = now_ms + r->cfg->timeout_ms + CORE_LEASE_SLACK_MS + CORE_LEASE_AHEAD_MS;
	d->counted = true;
	r->under_way++;
	list_append(&c->leasing, &d->link);
	core_delivery_dirty(c, d);
}

void core_deliveries_run(struct core *c, int64_t now_ms)
{
	struct heap_node *top;
	while ((top = heap_top(&c->due_deliveries)) && top->due <= (uint64_t)now_ms) {
		struct delivery *d = container_of(top, struct delivery, due);
		heap_del(&c->due_deliveries, top);
		list_append(&d->group->receiver->ready, &d->link);
	}
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->receivers, &pos, NULL, &v)) {
		struct core_receiver *r = v;
		while (!list_empty(&r->ready) && r->under_way < CORE_RECEIVER_LEASES_MAX) {
			struct delivery *d = list_entry(r->ready.next, struct delivery, link);
			list_del(&d->link);
			lease(c, d, now_ms);
		}
	}
}

/* ---- making one ---- */

struct told {
	const struct core_alert *alert;
	bool firing;
};

static int by_fire_and_print(const void *a, const void *b)
{
	const struct told *x = a;
	const struct told *y = b;
	if (x->firing != y->firing)
		return x->firing ? -1 : 1;
	return strcmp(x->alert->fp, y->alert->fp);
}

/* Rules of two teams may make the same alert: it is told once, and fires while it does for one of them. */
static bool is_there(const struct told *t, size_t n, const struct core_alert *x)
{
	for (size_t i = n; i > 0; i--)
		if (strcmp(t[i - 1].alert->fp, x->fp) == 0)
			return true;
	return false;
}

static size_t unique(struct told *t, size_t n)
{
	size_t len = 0;
	size_t firing = 0;
	for (size_t i = 0; i < n; i++) {
		if (len && strcmp(t[len - 1].alert->fp, t[i].alert->fp) == 0)
			continue;
		if (!t[i].firing && is_there(t, firing, t[i].alert))
			continue;
		t[len++] = t[i];
		firing += t[i].firing;
	}
	return len;
}

static struct str generator_url(struct arena *a, const struct core *c, const char *expr)
{
	if (!c->cfg.external_url.len)
		return STR("");
	struct buf b = { 0 };
	buf_add_str(&b, c->cfg.external_url);
	buf_adds(&b, "/api/v1/query?query=");
	url_encode(&b, str_of(expr));
	struct str s = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return s;
}

static void write_payload(struct arena *a, const struct core *c, const struct group *g,
			  struct told *t, size_t n, struct buf *out)
{
	qsort(t, n, sizeof(*t), by_fire_and_print);
	n = unique(t, n);
	struct payload_alert *alerts = arena_new(a, struct payload_alert, n);
	for (size_t i = 0; i < n; i++) {
		const struct core_alert *x = t[i].alert;
		alerts[i] = (struct payload_alert){
			.firing = t[i].firing,
			.labels = x->labels->l,
			.annotations = x->annotations->l,
			.starts_ms = x->record.starts_ms,
			.ends_ms = x->record.ends_ms,
			.generator_url = generator_url(a, c, x->expr),
		};
	}
	const struct payload p = {
		.receiver = str_of(g->receiver->key),
		.group_key = str_of(g->key),
		.external_url = c->cfg.external_url,
		.group_labels = g->labels->l,
		.alerts = alerts,
		.len = n,
		.max_alerts = g->receiver->cfg->max_alerts,
		.sequence = g->seq,
	};
	payload_write(&p, out);
}

/* Who asks again for the same notification, after a crash too, asks with the same key. */
static void idempotency_key(const struct core *c, const struct group *g, int64_t now_ms,
			    char out[33])
{
	struct buf b = { 0 };
	buf_addf(&b, "%.*s%c%s%c%s%c%" PRId64 "%c%" PRId64, STR_ARG(c->cfg.origin), 0,
		 g->receiver->key, 0, g->key, 0, g->seq, 0, now_ms);
	char hex[DIGEST_SHA256_HEX];
	digest_sha256_hex(buf_str(&b), hex);
	buf_fini(&b);
	memcpy(out, hex, 32);
	out[32] = '\0';
}

static bool fires(const struct member *m)
{
	return m->alert->record.state == ALERT_FIRING;
}

static void notify(struct arena *a, struct core *c, struct group *g, struct member **members,
		   const struct group_alert *in, const struct group_decision *d, int64_t now_ms)
{
	g->seq++;
	g->flushed_ms = now_ms;
	struct told *t = arena_new(a, struct told, d->include_len);
	for (size_t i = 0; i < d->include_len; i++)
		t[i] = (struct told){ members[d->include[i]]->alert, i < d->firing };
	for (size_t i = 0; i < g->len; i++)
		members[i]->next_ms = !in[i].firing    ? 0
				      : in[i].silenced ? in[i].told_ms
						       : in[i].starts_ms;
	struct buf payload = { 0 };
	write_payload(a, c, g, t, d->include_len, &payload);
	char idem[33];
	idempotency_key(c, g, now_ms, idem);
	struct delivery *n = delivery_new(c, g, str_of(idem), buf_str(&payload));
	buf_fini(&payload);
	n->seq = g->seq;
	n->fresh = true;
	n->created_ms = now_ms;
	n->deadline_ms = now_ms + c->cfg.deadline_ms;
	n->next_ms = now_ms;
	core_delivery_dirty(c, n);
	core_group_dirty(c, g);
	list_append(&g->receiver->ready, &n->link);
}

static void adopt(struct core *c, struct group *g, const struct group_alert *in,
		  struct member **members, int64_t now_ms)
{
	for (size_t i = 0; i < g->len; i++)
		if (!in[i].firing)
			members[i]->told_ms = 0;
		else if (!in[i].silenced)
			members[i]->told_ms = in[i].starts_ms;
	if (g->receiver->cfg->timing.suspended)
		g->flushed_ms = now_ms;
	g->unsure = false;
	core_group_dirty(c, g);
	core_group_touch(c, g, now_ms);
}

/* Members that neither fire nor are to be told an end. */
static void prune_members(struct core *c, struct group *g)
{
	list_for_each(it, &g->members)
	{
		struct member *m = list_entry(it, struct member, by_group);
		if (fires(m) || m->told_ms || m->next_ms)
			continue;
		struct core_alert *x = m->alert;
		core_member_free(m);
		core_alert_release(c, x);
	}
}

void core_group_run(struct core *c, struct group *g, int64_t now_ms)
{
	struct arena a = { 0 };
	struct group_alert *in = arena_new(&a, struct group_alert, g->len);
	struct member **members = arena_new(&a, struct member *, g->len);
	size_t n = 0;
	list_for_each(it, &g->members)
	{
		struct member *m = list_entry(it, struct member, by_group);
		members[n] = m;
		in[n++] = (struct group_alert){
			.firing = fires(m),
			.silenced = fires(m) && core_alert_muted(c, m->alert, now_ms),
			.starts_ms = m->alert->record.starts_ms,
			.ends_ms = m->alert->record.ends_ms,
			.told_ms = m->told_ms,
		};
	}
	const struct group_past past = { g->flushed_ms, g->open != NULL, g->unsure };
	struct group_decision d = group_plan(&a, &g->receiver->cfg->timing, &past, in, n, now_ms);
	if (d.act == GROUP_NOTIFY)
		notify(&a, c, g, members, in, &d, now_ms);
	else if (d.act == GROUP_ADOPT)
		adopt(c, g, in, members, now_ms);
	else if (d.act == GROUP_REST && d.due_ms)
		core_group_touch(c, g, d.due_ms);
	prune_members(c, g);
	arena_fini(&a);
}

/* ---- sending ---- */

/* Back into the queue, without an attempt: it waited for longer than its lease allows. */
static void lease_again(struct core *c, struct delivery *d, int64_t now_ms)
{
	unlink_delivery(c, d);
	d->state = DELIVERY_QUEUED;
	d->attempt--;
	d->next_ms = now_ms;
	heap_add(&c->due_deliveries, &d->due, (uint64_t)now_ms);
	core_delivery_dirty(c, d);
}

bool core_next_send(struct core *c, int64_t now_ms, struct core_send *ret)
{
	while (!list_empty(&c->sendable)) {
		struct delivery *d = list_entry(c->sendable.next, struct delivery, link);
		struct core_receiver *r = d->group->receiver;
		list_del(&d->link);
		if (now_ms + r->cfg->timeout_ms > d->lease_ms) {
			lease_again(c, d, now_ms);
			unpark(c, r); /* the one that took its place does not need it */
			continue;
		}
		if (r->sending >= CORE_RECEIVER_SENDS_MAX) {
			list_append(&r->parked, &d->link);
			continue;
		}
		d->posted = true;
		r->sending++;
		*ret = (struct core_send){ .receiver = r->cfg,
					   .idem = str_of(d->idem),
					   .payload = d->payload,
					   .group_key = str_of(d->group->key),
					   .seq = d->seq,
					   .attempt = d->attempt };
		return true;
	}
	return false;
}

static void end(struct core *c, struct delivery *d, bool arrived, int64_t now_ms)
{
	struct group *g = d->group;
	list_for_each(it, &g->members)
	{
		struct member *m = list_entry(it, struct member, by_group);
		if (arrived || m->next_ms)
			m->told_ms = m->next_ms;
		m->next_ms = 0;
	}
	d->state = arrived ? DELIVERY_IS_DONE : DELIVERY_IS_DEAD;
	d->ended_ms = now_ms;
	g->unsure = !arrived;
	if (!arrived)
		g->flushed_ms = now_ms;
	g->open = NULL;
	g->receiver->open--;
	core_group_dirty(c, g);
	core_group_touch(c, g, 0);
}

enum delivery_fate core_sent(struct core *c, struct str idem, const struct core_sent *s,
			     int64_t now_ms, uint64_t chance)
{
	struct delivery *d = map_get(&c->deliveries, idem);
	if (!d || d->group->open != d)
		return DELIVERY_DONE;
	unlink_delivery(c, d);
	d->status = s->status;
	(void)snprintf(d->problem, sizeof(d->problem), "%.*s", STR_ARG(s->problem));
	const struct delivery_attempt attempt = { .status = s->status,
						  .hopeless = s->hopeless,
						  .retry_after_ms = s->retry_after_ms,
						  .attempt = d->attempt,
						  .deadline_ms = d->deadline_ms };
	enum delivery_fate fate = delivery_plan(&attempt, now_ms, chance, &d->next_ms);
	if (fate == DELIVERY_RETRY) {
		d->state = DELIVERY_QUEUED;
		heap_add(&c->due_deliveries, &d->due, (uint64_t)d->next_ms);
	} else {
		end(c, d, fate == DELIVERY_DONE, now_ms);
	}
	core_delivery_dirty(c, d);
	return fate;
}

/* ---- batches ---- */

static struct str labels_json(struct arena *a, struct labels l)
{
	struct buf b = { 0 };
	labels_write_json(l, &b);
	struct str s = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return s;
}

static struct alert_row alert_row(struct arena *a, struct core_alert *x)
{
	x->stored = true;
	return (struct alert_row){ .rule = arena_str(a, x->rule->id),
				   .fp = arena_str(a, str_of(x->fp)),
				   .record = x->record,
				   .labels = labels_json(a, x->labels->l),
				   .annotations = labels_json(a, x->annotations->l),
				   .expr = arena_str(a, str_of(x->expr)),
				   .value = x->value };
}

static struct str told_json(struct arena *a, const struct group *g)
{
	struct buf b = { 0 };
	buf_addc(&b, '[');
	list_for_each(it, &g->members)
	{
		const struct member *m = list_entry(it, struct member, by_group);
		if (!m->told_ms && !m->next_ms)
			continue;
		buf_adds(&b, b.len > 1 ? ",[" : "[");
		json_write_str(&b, m->alert->rule->id);
		buf_addf(&b, ",\"%s\",%" PRId64 ",%" PRId64 "]", m->alert->fp, m->told_ms,
			 m->next_ms);
	}
	buf_addc(&b, ']');
	struct str s = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return s;
}

static struct group_row group_row(struct arena *a, struct group *g)
{
	g->stored = true;
	return (struct group_row){ .receiver = arena_str(a, str_of(g->receiver->key)),
				   .key = arena_str(a, str_of(g->key)),
				   .labels = labels_json(a, g->labels->l),
				   .seq = g->seq,
				   .flushed_ms = g->flushed_ms,
				   .unsure = g->unsure,
				   .told = told_json(a, g) };
}

static struct delivery_row delivery_row(struct arena *a, struct delivery *d)
{
	struct delivery_row row = { .receiver = arena_str(a, str_of(d->group->receiver->key)),
				    .group_key = arena_str(a, str_of(d->group->key)),
				    .seq = d->seq,
				    .fresh = d->fresh,
				    .idem = arena_str(a, str_of(d->idem)),
				    .payload = d->fresh ? arena_str(a, d->payload) : STR_NONE,
				    .created_ms = d->created_ms,
				    .deadline_ms = d->deadline_ms,
				    .state = d->state,
				    .attempt = d->attempt,
				    .next_ms = d->next_ms,
				    .lease_ms = d->lease_ms,
				    .ended_ms = d->ended_ms,
				    .status = d->status,
				    .problem = arena_str(a, str_of(d->problem)) };
	d->fresh = false;
	return row;
}

static size_t count(const struct list *l)
{
	size_t n = 0;
	for (const struct list *it = l->next; it != l; it = it->next)
		n++;
	return n;
}

static void flush_alerts(struct core *c, struct arena *a, struct alert_batch *b)
{
	struct alert_row *rows =
		arena_new(a, struct alert_row, c->gone_alerts_len + count(&c->dirty_alerts));
	for (size_t i = 0; i < c->gone_alerts_len; i++) {
		const struct alert_row *x = &c->gone_alerts[i];
		rows[b->alerts_len++] = (struct alert_row){ .rule = arena_str(a, x->rule),
							    .fp = arena_str(a, x->fp),
							    .gone = true };
	}
	list_for_each(it, &c->dirty_alerts)
	{
		rows[b->alerts_len++] = alert_row(a, list_entry(it, struct core_alert, dirty));
		list_del(it);
	}
	b->alerts = rows;
	c->gone_alerts_len = 0;
}

static void flush_groups(struct core *c, struct arena *a, struct alert_batch *b)
{
	struct group_row *rows =
		arena_new(a, struct group_row, c->gone_groups_len + count(&c->dirty_groups));
	for (size_t i = 0; i < c->gone_groups_len; i++) {
		const struct group_row *g = &c->gone_groups[i];
		rows[b->groups_len++] = (struct group_row){ .receiver = arena_str(a, g->receiver),
							    .key = arena_str(a, g->key),
							    .gone = true };
	}
	list_for_each(it, &c->dirty_groups)
	{
		rows[b->groups_len++] = group_row(a, list_entry(it, struct group, dirty));
		list_del(it);
	}
	b->groups = rows;
	c->gone_groups_len = 0;
}

static void flush_deliveries(struct core *c, struct arena *a, struct alert_batch *b)
{
	struct delivery_row *rows = arena_new(a, struct delivery_row, count(&c->dirty_deliveries));
	list_for_each(it, &c->dirty_deliveries)
	{
		struct delivery *d = list_entry(it, struct delivery, dirty);
		rows[b->deliveries_len++] = delivery_row(a, d);
		list_del(it);
		if (d->state >= DELIVERY_IS_DONE)
			core_delivery_free(c, d);
	}
	b->deliveries = rows;
}

static void splice(struct list *from, struct list *to)
{
	list_for_each(it, from)
	{
		list_del(it);
		list_append(to, it);
	}
}

bool core_flush(struct core *c, int64_t now_ms, struct arena *a, struct alert_batch *ret)
{
	*ret = (struct alert_batch){ .now_ms = now_ms };
	flush_alerts(c, a, ret);
	flush_groups(c, a, ret);
	flush_deliveries(c, a, ret);
	arena_reset(&c->gone_arena);
	splice(&c->leasing, &c->in_commit);
	return ret->alerts_len + ret->groups_len + ret->deliveries_len > 0;
}

void core_flushed(struct core *c)
{
	splice(&c->in_commit, &c->sendable);
}
