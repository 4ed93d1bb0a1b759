/*
 * alert_db - cluster-alerts-db: alerts, what receivers were told, and the outbox of notifications.
 *
 * One batch is one transaction: a change of an alert's state, what its group is going to have told and the
 * notification stand in the database together or not at all.  Who writes is decided by the database itself: a leader
 * claims it with the token of its Lease and gets an epoch; a batch of an older epoch is refused.
 *
 *   alert            the alerts that are not inactive
 *   alert_group      of each receiver: how far its notifications are numbered, which alerts it was told
 *   alert_delivery   the outbox; unique (receiver, group_key, group_seq)
 *   alert_fence      the owner
 *
 * Blocks: for a worker thread.
 */
#ifndef ALERT_DB_H
#define ALERT_DB_H

#include "alert_plan.h"
#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alert_db;

enum delivery_state { DELIVERY_QUEUED, DELIVERY_LEASED, DELIVERY_IS_DONE, DELIVERY_IS_DEAD };

struct alert_row {
	struct str rule, fp; /* the key: id of the rule, fingerprint of the labels */
	bool gone;           /* delete it; the rest does not count */
	struct alert_record record;
	struct str labels, annotations; /* JSON objects */
	struct str expr;
	double value;
};

struct group_row {
	struct str receiver, key; /* NAMESPACE/NAME of the AlertReceiver; groupKey */
	bool gone;                /* delete it with all its deliveries */
	struct str labels;        /* JSON object */
	int64_t seq;              /* of the last notification made; 0 = none */
	int64_t flushed_ms;
	bool unsure;
	struct str told; /* JSON: [[rule, fingerprint, told_ms, told by the one under way], …] */
};

struct delivery_row {
	struct str receiver, group_key;
	int64_t seq;
	bool fresh; /* insert; else only what changes is written: state … problem */
	struct str idem, payload;
	int64_t created_ms, deadline_ms;
	enum delivery_state state;
	uint32_t attempt;
	int64_t next_ms;  /* QUEUED: when it is tried */
	int64_t lease_ms; /* LEASED: an attempt may be under way until then */
	int64_t ended_ms;
	int status; /* of the last attempt */
	struct str problem;
};

struct alert_batch {
	int64_t now_ms;
	const struct alert_row *alerts;
	const struct group_row *groups;
	const struct delivery_row *deliveries;
	size_t alerts_len, groups_len, deliveries_len;
};

/* What a claim finds: all alerts and groups, the deliveries that are queued or leased. */
struct alert_image {
	int64_t epoch;
	int64_t last_ms; /* when the owner before wrote last; 0 = there was none */
	struct alert_batch rows;
};

ATTR_MUSTCHECK int alert_db_open(const char *url, struct alert_db **ret, struct error *err);
struct alert_db *alert_db_close(struct alert_db *db);

/*
 * Takes the database over for the holder of the lease `lease` (its uid) with `token`, and reads everything into the
 * arena.  ERR_FORBIDDEN: a newer holder of the same lease has it.
 */
ATTR_MUSTCHECK int alert_db_claim(struct alert_db *db, struct str lease, int64_t token,
				  struct arena *a, struct alert_image *ret, struct error *err);

/* ERR_FORBIDDEN: claimed by another since.  After any other error the outcome is in doubt: claim again. */
ATTR_MUSTCHECK int alert_db_commit(struct alert_db *db, int64_t epoch, const struct alert_batch *b,
				   struct error *err);

/* Deletes deliveries that ended before before_ms. */
ATTR_MUSTCHECK int alert_db_prune(struct alert_db *db, int64_t epoch, int64_t before_ms,
				  struct error *err);

#endif
