/* A store of telemetry on either database, for tests. */
#ifndef TESTS_UNIT_TELEMETRY_BED_H
#define TESTS_UNIT_TELEMETRY_BED_H

#include "base/mem.h"
#include "json/json.h"
#include "sql/sql.h"
#include "sys/loop.h"
#include "telemetry/lstore.h"
#include "telemetry/mstore.h"
#include "telemetry/record.h"
#include "tests/fixtures/pg_private.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <math.h>

static struct pg_private pg;

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
	(void)set;
	pg_private_start(&pg);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	(void)stats;
	pg_private_stop(&pg);
}

/* ---- one store a test, of each database ---- */

enum database { SQLITE, POSTGRES, DATABASES };

static const int64_t T0 = 1700000100000; /* a multiple of 15 s */
static const int64_t HOUR = 3600 * 1000;
static int64_t now; /* what the stores take for the time */

static inline int64_t get_now(void)
{
	return now;
}

struct bed {
	enum database kind;
	char url[512], dir[64], schema[64];
	struct loop *loop;
	struct metrics *metrics;
	struct mstore_config mcfg;
	struct lstore_config lcfg;
	struct mstore *m;
	struct lstore *l;
	struct buf answer;
	bool answered;
	struct error err;
};

static inline bool bed_init(struct bed *b, enum database kind)
{
	struct error err = { 0 };
	*b = (struct bed){ .kind = kind };
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/rctl-telemetry-XXXXXX");
	(void)snprintf(b->schema, sizeof(b->schema), "te_%d", (int)getpid());
	if (kind == POSTGRES && !pg_private_url(b->url, sizeof(b->url), b->schema))
		return false;
	if (kind == SQLITE) {
		cr_assert_not_null(mkdtemp(b->dir));
		(void)snprintf(b->url, sizeof(b->url), "sqlite:%s/t.db", b->dir);
	}
	now = T0 + HOUR;
	cr_assert_eq(loop_new(&b->loop, &err), 0);
	b->metrics = metrics_new();
	b->mcfg = (struct mstore_config){ .url = b->url,
					  .retention_ms = 15 * 24 * HOUR,
					  .checkpoint_ms = HOUR,
					  .series_max = 1000,
					  .label_bytes_max = 200,
					  .query_samples_max = 100000,
					  .query_ms = 60000,
					  .metrics = b->metrics,
					  .now_ms = get_now };
	b->lcfg = (struct lstore_config){ .url = b->url,
					  .retention_ms = 15 * 24 * HOUR,
					  .checkpoint_ms = HOUR,
					  .streams_max = 1000,
					  .label_bytes_max = 1000,
					  .memory_bytes_max = 64 << 20,
					  .metrics = b->metrics,
					  .now_ms = get_now };
	return true;
}

static inline void wait_up(struct bed *b, struct intake *in)
{
	for (int i = 0; i < 6000 && intake_down(in); i++)
		loop_turn(b->loop, 10);
	cr_assert_null(intake_down(in));
}

static inline void open_metrics(struct bed *b)
{
	b->m = mstore_new(&b->mcfg);
	wait_up(b, mstore_intake(b->m));
}

static inline void open_logs(struct bed *b)
{
	b->l = lstore_new(&b->lcfg);
	wait_up(b, lstore_intake(b->l));
}

/* Without a checkpoint: what was acknowledged must be in the journal. */
static inline void reopen(struct bed *b)
{
	loop_turn(b->loop, 0);
	if (b->m) {
		mstore_free(b->m);
		open_metrics(b);
	}
	if (b->l) {
		lstore_free(b->l);
		open_logs(b);
	}
}

static inline void bed_fini(struct bed *b)
{
	char cmd[128];
	mstore_free(b->m);
	lstore_free(b->l);
	loop_free(b->loop);
	metrics_free(b->metrics);
	buf_fini(&b->answer);
	if (b->kind == SQLITE) {
		(void)snprintf(cmd, sizeof(cmd), "rm -r %s", b->dir);
		cr_assert_eq(system(cmd), 0);
		return;
	}
	struct sql *db = NULL;
	struct error err = { 0 };
	cr_assert_eq(sql_open(b->url, &db, &err), 0, "%s", err.msg);
	(void)snprintf(cmd, sizeof(cmd), "DROP SCHEMA %s CASCADE", b->schema);
	cr_assert_eq(sql_script(db, cmd, &err), 0, "%s", err.msg);
	sql_close(db);
}

static inline void on_each(void (*check)(struct bed *))
{
	for (int kind = 0; kind < DATABASES; kind++) {
		struct bed b;
		if (!bed_init(&b, (enum database)kind))
			continue;
		check(&b);
		bed_fini(&b);
	}
}

#endif
