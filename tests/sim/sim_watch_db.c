#include "tests/sim/sim_watch_db.h"

#include "store/store_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void db_init(struct db *d, enum bug bug, bool synchronous)
{
	*d = (struct db){ .bug = bug, .synchronous = synchronous, .rev = 1, .compact_rev = 1 };
}

void db_key(int key, char out[32])
{
	(void)snprintf(out, 32, "/configmaps/default/k%d", key);
}

struct bytes *db_value(const struct row *r)
{
	char text[ROW_BYTES];
	int n = snprintf(
		text, sizeof(text),
		"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"k%d\","
		"\"namespace\":\"default\"},\"data\":{\"id\":\"%u\"}}",
		r->key, r->op == STORE_DELETE ? r->last_id : r->id);
	return bytes_new(text, (size_t)n);
}

size_t db_behind(const struct db *d, int64_t rev)
{
	size_t i = d->len;
	while (i > 0 && d->log[i - 1].rev > rev)
		i--;
	return i;
}

static void apply(struct db *d, const struct row *r)
{
	d->obj[r->key] = *r;
	if (r->op == STORE_DELETE)
		d->obj[r->key] = (struct row){ 0 };
}

static void append(struct db *d, const struct row *r)
{
	if (d->len == LOG_MAX)
		return;
	size_t at = db_behind(d, r->rev);
	memmove(&d->log[at + 1], &d->log[at], (d->len - at) * sizeof(*r));
	d->log[at] = *r;
	d->len++;
	apply(d, r);
}

void db_commit(struct db *d, struct db_write *w, size_t n)
{
	int64_t base = d->rev;
	d->rev += (int64_t)n;
	for (size_t i = 0; i < n; i++) {
		const struct row was = d->obj[w[i].key];
		w[i].ok =
			d->len < LOG_MAX &&
			(w[i].op == STORE_CREATE ? was.rev == 0 : was.rev && was.rev == w[i].want);
		if (!w[i].rev)
			w[i].rev = base + (int64_t)i + 1;
		if (!w[i].ok)
			continue;
		struct row r = { .rev = w[i].rev,
				 .prev_rev = was.rev,
				 .create_rev = w[i].op == STORE_CREATE ? w[i].rev : was.create_rev,
				 .op = w[i].op,
				 .key = w[i].key,
				 .id = w[i].id,
				 .last_id = was.id };
		if (d->bug == BUG_DELETED && r.op == STORE_DELETE && r.last_id > 1)
			r.last_id--;
		append(d, &r);
	}
	if (d->bug != BUG_NORMAL)
		d->durable = d->len;
	if (d->synchronous)
		d->replicated = d->len;
}

/* Only the first n rows are there still. */
static void go_back(struct db *d, size_t n)
{
	d->len = n;
	d->durable = d->durable < n ? d->durable : n;
	d->replicated = d->replicated < n ? d->replicated : n;
	memset(d->obj, 0, sizeof(d->obj));
	for (size_t i = 0; i < n; i++)
		apply(d, &d->log[i]);
}

void db_power_cut(struct db *d)
{
	if (d->durable == d->len)
		return;
	go_back(d, d->durable);
	d->rev = d->len ? d->log[d->len - 1].rev : 1;
	d->rev = d->rev > d->compact_rev ? d->rev : d->compact_rev;
}

void db_failover(struct db *d, uint64_t now_ms)
{
	size_t n = d->replicated;
	int64_t last = n ? d->log[n - 1].rev : 1;
	last = last > d->compact_rev ? last : d->compact_rev;
	go_back(d, n);
	int64_t first = store_epoch_rev(last, 1600000000000 + (int64_t)now_ms * 1000);
	if (d->bug == BUG_STEP)
		first = last + STORE_EPOCH_STEP;
	d->closed[d->closed_len].last = last;
	d->closed[d->closed_len++].first = first;
	d->epoch++;
	d->rev = d->bug == BUG_REUSED ? last : first;
}

void db_compact(struct db *d, size_t keep)
{
	/* what the standby does not have may be undone: its revision is no floor */
	size_t sure = d->replicated < d->durable ? d->replicated : d->durable;
	if (sure > keep && d->log[sure - keep - 1].rev > d->compact_rev)
		d->compact_rev = d->log[sure - keep - 1].rev;
}
