#include "alert_db.h"

#include "base/mem.h"
#include "sql/sql.h"

#include <math.h>

struct alert_db {
	struct sql *sql;
};

static const char *const schema[] = {
	"CREATE TABLE alert_fence ("
	"  id BIGINT PRIMARY KEY, epoch BIGINT NOT NULL, lease TEXT NOT NULL,"
	"  token BIGINT NOT NULL, last_ms BIGINT NOT NULL);"
	"INSERT INTO alert_fence (id, epoch, lease, token, last_ms) VALUES (1, 0, '', 0, 0);"
	"CREATE TABLE alert ("
	"  rule_id TEXT NOT NULL, fp TEXT NOT NULL, state BIGINT NOT NULL, labels TEXT NOT NULL,"
	"  annotations TEXT NOT NULL, expr TEXT NOT NULL, value DOUBLE PRECISION,"
	"  active_ms BIGINT NOT NULL, starts_ms BIGINT NOT NULL, ends_ms BIGINT NOT NULL,"
	"  keep_ms BIGINT NOT NULL, PRIMARY KEY (rule_id, fp));"
	"CREATE TABLE alert_group ("
	"  receiver TEXT NOT NULL, group_key TEXT NOT NULL, labels TEXT NOT NULL, seq BIGINT NOT "
	"NULL,"
	"  flushed_ms BIGINT NOT NULL, unsure BIGINT NOT NULL, told TEXT NOT NULL,"
	"  PRIMARY KEY (receiver, group_key));"
	"CREATE TABLE alert_delivery ("
	"  receiver TEXT NOT NULL, group_key TEXT NOT NULL, group_seq BIGINT NOT NULL,"
	"  idem TEXT NOT NULL UNIQUE, state BIGINT NOT NULL, attempt BIGINT NOT NULL,"
	"  next_ms BIGINT NOT NULL, lease_ms BIGINT NOT NULL, deadline_ms BIGINT NOT NULL,"
	"  created_ms BIGINT NOT NULL, ended_ms BIGINT NOT NULL, status BIGINT NOT NULL,"
	"  problem TEXT NOT NULL, payload TEXT NOT NULL,"
	"  PRIMARY KEY (receiver, group_key, group_seq));"
	"CREATE INDEX alert_delivery_open ON alert_delivery (state) WHERE state < 2;"
	"CREATE INDEX alert_delivery_ended ON alert_delivery (ended_ms) WHERE state >= 2",
};

int alert_db_open(const char *url, struct alert_db **ret, struct error *err)
{
	struct sql *s = NULL;
	int rc = sql_open(url, &s, err);
	if (rc == 0)
		rc = sql_migrate(s, "alerts", schema, sizeof(schema) / sizeof(schema[0]), err);
	if (rc) {
		(void)sql_close(s);
		return error_wrap(err, "alerts database");
	}
	struct alert_db *db = mem_new(struct alert_db, 1);
	db->sql = s;
	*ret = db;
	return 0;
}

struct alert_db *alert_db_close(struct alert_db *db)
{
	if (db)
		(void)sql_close(db->sql);
	mem_free(db);
	return NULL;
}

/* ---- reading ---- */

struct reader {
	struct arena *a;
	struct alert_image *image;
	struct alert_row *alerts;
	struct group_row *groups;
	struct delivery_row *deliveries;
	size_t alerts_cap, groups_cap, deliveries_cap;
};

static struct str keep(struct reader *r, const struct sql_value *v)
{
	return arena_str(r->a, v->s);
}

static int on_fence(void *arg, const struct sql_value *v, size_t n, struct error *err)
{
	(void)n;
	(void)err;
	struct alert_image *image = arg;
	image->epoch = v[0].i;
	image->last_ms = v[1].i;
	return 0;
}

static double number_of(const struct sql_value *v)
{
	if (v->type == SQL_NULL)
		return NAN;
	return v->type == SQL_DOUBLE ? v->d : (double)v->i;
}

static int on_alert(void *arg, const struct sql_value *v, size_t n, struct error *err)
{
	(void)n;
	(void)err;
	struct reader *r = arg;
	size_t *len = &r->image->rows.alerts_len;
	mem_grow(r->alerts, *len, r->alerts_cap);
	int64_t state = v[2].i;
	r->alerts[(*len)++] = (struct alert_row){
		.rule = keep(r, &v[0]),
		.fp = keep(r, &v[1]),
		.record = { .state = state >= ALERT_INACTIVE && state <= ALERT_RESOLVED
					     ? (enum alert_state)state
					     : ALERT_INACTIVE,
			    .active_ms = v[7].i,
			    .starts_ms = v[8].i,
			    .ends_ms = v[9].i,
			    .keep_ms = v[10].i },
		.labels = keep(r, &v[3]),
		.annotations = keep(r, &v[4]),
		.expr = keep(r, &v[5]),
		.value = number_of(&v[6]),
	};
	return 0;
}

static int on_group(void *arg, const struct sql_value *v, size_t n, struct error *err)
{
	(void)n;
	(void)err;
	struct reader *r = arg;
	size_t *len = &r->image->rows.groups_len;
	mem_grow(r->groups, *len, r->groups_cap);
	r->groups[(*len)++] = (struct group_row){ .receiver = keep(r, &v[0]),
						  .key = keep(r, &v[1]),
						  .labels = keep(r, &v[2]),
						  .seq = v[3].i,
						  .flushed_ms = v[4].i,
						  .unsure = v[5].i != 0,
						  .told = keep(r, &v[6]) };
	return 0;
}

static int on_delivery(void *arg, const struct sql_value *v, size_t n, struct error *err)
{
	(void)n;
	(void)err;
	struct reader *r = arg;
	size_t *len = &r->image->rows.deliveries_len;
	mem_grow(r->deliveries, *len, r->deliveries_cap);
	r->deliveries[(*len)++] = (struct delivery_row){
		.receiver = keep(r, &v[0]),
		.group_key = keep(r, &v[1]),
		.seq = v[2].i,
		.idem = keep(r, &v[3]),
		.state = v[4].i == DELIVERY_LEASED ? DELIVERY_LEASED : DELIVERY_QUEUED,
		.attempt = (uint32_t)v[5].i,
		.next_ms = v[6].i,
		.lease_ms = v[7].i,
		.deadline_ms = v[8].i,
		.created_ms = v[9].i,
		.payload = keep(r, &v[10]),
	};
	return 0;
}

static int read_rows(struct sql *s, struct reader *r, struct error *err)
{
	int rc = sql_exec(s,
			  "SELECT rule_id, fp, state, labels, annotations, expr, value, active_ms, "
			  "starts_ms, ends_ms, keep_ms FROM alert",
			  NULL, 0, on_alert, r, NULL, err);
	if (rc == 0)
		rc = sql_exec(s,
			      "SELECT receiver, group_key, labels, seq, flushed_ms, unsure, told "
			      "FROM alert_group",
			      NULL, 0, on_group, r, NULL, err);
	if (rc == 0)
		rc = sql_exec(s,
			      "SELECT receiver, group_key, group_seq, idem, state, attempt, "
			      "next_ms, lease_ms, deadline_ms, created_ms, payload "
			      "FROM alert_delivery WHERE state < 2 ORDER BY created_ms",
			      NULL, 0, on_delivery, r, NULL, err);
	return rc;
}

/* The rows moved to the arena: what was read is one thing with one owner. */
#define TO_ARENA(a, field, type, len) \
	(len) ? memcpy(arena_new((a), type, (len)), (field), (len) * sizeof(type)) : NULL

static void hand_over(struct reader *r)
{
	struct alert_batch *b = &r->image->rows;
	b->alerts = TO_ARENA(r->a, r->alerts, struct alert_row, b->alerts_len);
	b->groups = TO_ARENA(r->a, r->groups, struct group_row, b->groups_len);
	b->deliveries = TO_ARENA(r->a, r->deliveries, struct delivery_row, b->deliveries_len);
}

int alert_db_claim(struct alert_db *db, struct str lease, int64_t token, struct arena *a,
		   struct alert_image *ret, struct error *err)
{
	struct sql *s = db->sql;
	struct alert_image image = { 0 };
	struct reader r = { .a = a, .image = &image };
	const struct sql_value p[] = { sql_text(lease), sql_int(token) };
	int64_t changed = 0;
	int rc = sql_begin(s, err);
	if (rc)
		return rc;
	rc = sql_exec(s,
		      "UPDATE alert_fence SET epoch = epoch + 1, lease = $1, token = $2 "
		      "WHERE id = 1 AND (lease <> $1 OR token <= $2) RETURNING epoch, last_ms",
		      p, 2, on_fence, &image, &changed, err);
	if (rc == 0 && image.epoch == 0)
		rc = error_set(err, ERR_FORBIDDEN,
			       "the alerts database belongs to a newer leader than token %lld",
			       (long long)token);
	if (rc == 0)
		rc = read_rows(s, &r, err);
	if (rc == 0)
		rc = sql_commit(s, err);
	else
		sql_rollback(s);
	if (rc == 0) {
		hand_over(&r);
		*ret = image;
	}
	mem_free(r.alerts);
	mem_free(r.groups);
	mem_free(r.deliveries);
	return rc;
}

/* ---- writing ---- */

static int run(struct sql *s, const char *stmt, const struct sql_value *p, size_t n,
	       struct error *err)
{
	return sql_exec(s, stmt, p, n, NULL, NULL, NULL, err);
}

static int own(struct sql *s, int64_t epoch, int64_t now_ms, struct error *err)
{
	const struct sql_value p[] = { sql_int(epoch), sql_int(now_ms) };
	int64_t changed = 0;
	int rc = sql_exec(s, "UPDATE alert_fence SET last_ms = $2 WHERE id = 1 AND epoch = $1", p,
			  2, NULL, NULL, &changed, err);
	if (rc == 0 && changed != 1)
		rc = error_set(err, ERR_FORBIDDEN,
			       "the alerts database was claimed by another leader");
	return rc;
}

static int put_alert(struct sql *s, const struct alert_row *x, struct error *err)
{
	const struct sql_value p[] = {
		sql_text(x->rule),
		sql_text(x->fp),
		sql_int(x->record.state),
		sql_text(x->labels),
		sql_text(x->annotations),
		sql_text(x->expr),
		isnan(x->value) ? sql_null() : sql_double(x->value), /* SQLite has no NaN */
		sql_int(x->record.active_ms),
		sql_int(x->record.starts_ms),
		sql_int(x->record.ends_ms),
		sql_int(x->record.keep_ms),
	};
	if (x->gone)
		return run(s, "DELETE FROM alert WHERE rule_id = $1 AND fp = $2", p, 2, err);
	return run(s,
		   "INSERT INTO alert (rule_id, fp, state, labels, annotations, expr, value, "
		   "active_ms, starts_ms, ends_ms, keep_ms) "
		   "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
		   "ON CONFLICT (rule_id, fp) DO UPDATE SET state = excluded.state, "
		   "annotations = excluded.annotations, expr = excluded.expr, "
		   "value = excluded.value, active_ms = excluded.active_ms, "
		   "starts_ms = excluded.starts_ms, ends_ms = excluded.ends_ms, "
		   "keep_ms = excluded.keep_ms",
		   p, sizeof(p) / sizeof(p[0]), err);
}

static int put_group(struct sql *s, const struct group_row *g, struct error *err)
{
	const struct sql_value p[] = { sql_text(g->receiver),  sql_text(g->key),
				       sql_text(g->labels),    sql_int(g->seq),
				       sql_int(g->flushed_ms), sql_int(g->unsure),
				       sql_text(g->told) };
	if (g->gone) {
		int rc = run(s, "DELETE FROM alert_delivery WHERE receiver = $1 AND group_key = $2",
			     p, 2, err);
		return rc ? rc
			  : run(s, "DELETE FROM alert_group WHERE receiver = $1 AND group_key = $2",
				p, 2, err);
	}
	return run(s,
		   "INSERT INTO alert_group (receiver, group_key, labels, seq, flushed_ms, unsure, "
		   "told) VALUES ($1, $2, $3, $4, $5, $6, $7) "
		   "ON CONFLICT (receiver, group_key) DO UPDATE SET seq = excluded.seq, "
		   "flushed_ms = excluded.flushed_ms, unsure = excluded.unsure, "
		   "told = excluded.told",
		   p, sizeof(p) / sizeof(p[0]), err);
}

static int put_delivery(struct sql *s, const struct delivery_row *d, struct error *err)
{
	const struct sql_value p[] = {
		sql_text(d->receiver),  sql_text(d->group_key), sql_int(d->seq),
		sql_int(d->state),      sql_int(d->attempt),    sql_int(d->next_ms),
		sql_int(d->lease_ms),   sql_int(d->ended_ms),   sql_int(d->status),
		sql_text(d->problem),   sql_text(d->idem),      sql_int(d->deadline_ms),
		sql_int(d->created_ms), sql_text(d->payload),
	};
	if (d->fresh)
		return run(s,
			   "INSERT INTO alert_delivery (receiver, group_key, group_seq, state, "
			   "attempt, next_ms, lease_ms, ended_ms, status, problem, idem, "
			   "deadline_ms, created_ms, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, "
			   "$8, $9, $10, $11, $12, $13, $14)",
			   p, sizeof(p) / sizeof(p[0]), err);
	int64_t changed = 0;
	int rc = sql_exec(s,
			  "UPDATE alert_delivery SET state = $4, attempt = $5, next_ms = $6, "
			  "lease_ms = $7, ended_ms = $8, status = $9, problem = $10 "
			  "WHERE receiver = $1 AND group_key = $2 AND group_seq = $3 AND state < 2",
			  p, 10, NULL, NULL, &changed, err);
	if (rc == 0 && changed != 1)
		rc = error_set(err, ERR_INTERNAL, "the delivery %.*s is not open in the database",
			       STR_ARG(d->idem));
	return rc;
}

int alert_db_commit(struct alert_db *db, int64_t epoch, const struct alert_batch *b,
		    struct error *err)
{
	struct sql *s = db->sql;
	int rc = sql_begin(s, err);
	if (rc)
		return rc;
	rc = own(s, epoch, b->now_ms, err);
	/* a group that goes takes its deliveries along, but not those of one that came under the same name */
	for (size_t i = 0; rc == 0 && i < b->groups_len; i++)
		rc = b->groups[i].gone ? put_group(s, &b->groups[i], err) : 0;
	for (size_t i = 0; rc == 0 && i < b->alerts_len; i++)
		rc = put_alert(s, &b->alerts[i], err);
	for (size_t i = 0; rc == 0 && i < b->deliveries_len; i++)
		rc = put_delivery(s, &b->deliveries[i], err);
	for (size_t i = 0; rc == 0 && i < b->groups_len; i++)
		rc = b->groups[i].gone ? 0 : put_group(s, &b->groups[i], err);
	if (rc == 0)
		return sql_commit(s, err);
	sql_rollback(s);
	return rc;
}

int alert_db_prune(struct alert_db *db, int64_t epoch, int64_t before_ms, struct error *err)
{
	struct sql *s = db->sql;
	const struct sql_value p[] = { sql_int(before_ms), sql_int(epoch) };
	return run(s,
		   "DELETE FROM alert_delivery WHERE state >= 2 AND ended_ms < $1 "
		   "AND EXISTS (SELECT 1 FROM alert_fence WHERE id = 1 AND epoch = $2)",
		   p, 2, err);
}
