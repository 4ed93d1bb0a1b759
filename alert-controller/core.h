/*
 * core - everything an alert controller remembers and decides: alerts, groups of each receiver, notifications
 * under way.  No clock, no chance, no I/O: the shell brings what was seen, takes rows to the database, and posts.
 *
 *   core_load(image of the database)
 *   core_set_receiver, core_set_silence …        what the API says
 *   core_observe                                 what an evaluation of a rule gave
 *   core_run(now)                                makes and leases notifications
 *   core_flush → alert_db_commit → core_flushed  one batch at a time
 *   core_next_send → POST → core_sent            only what the database knows is sent
 *
 * After a commit that did not succeed nothing in memory is to be believed: free the core, claim the database again, load.
 *
 * Limits: CORE_ALERTS_MAX alerts; CORE_SENDS_MAX posts at once, CORE_RECEIVER_SENDS_MAX to one receiver.
 */
#ifndef CORE_H
#define CORE_H

#include "alert_db.h"
#include "base/buf.h"
#include "spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CORE_ALERTS_MAX = 50000,
	CORE_SENDS_MAX = 64,
	CORE_RECEIVER_SENDS_MAX = 8,
	CORE_RECEIVER_LEASES_MAX = 256, /* with one commit; they are posted one after the other */
	CORE_LEASE_SLACK_MS = 2000,     /* a lease of an attempt outlives its timeout by so much */
	CORE_LEASE_AHEAD_MS = 5000,     /* … and by so much it may wait for a place */
};

struct core;

struct core_alert_view {
	struct str rule, fp; /* rule: its id */
	struct labels labels, annotations;
	const struct alert_record *record;
	double value;
};

struct core_config {
	struct str
		origin; /* name of the cluster, "" = the global plane: part of every idempotency key */
	struct str external_url;
	int64_t deadline_ms; /* a notification is given up after so long */
	int64_t retention_ms; /* idle groups and resolutions that nobody could be told are forgotten */
	/* An alert changed its state; may be NULL. */
	void (*on_change)(void *arg, const struct core_alert_view *a, enum alert_state from);
	void *arg;
};

struct core *core_new(const struct core_config *cfg);
struct core *core_free(struct core *c);
void core_load(struct core *c, const struct alert_image *image, int64_t now_ms);

/* Borrowed until it is replaced, deleted, or the core is freed. */
void core_set_receiver(struct core *c, const struct receiver *r);
void core_del_receiver(struct core *c, struct str key);
void core_set_silence(struct core *c, const struct silence *s);
void core_del_silence(struct core *c, struct str key);

/* All receivers are set: what belongs to others goes.  Nothing is run before. */
void core_receivers_known(struct core *c);

/* ---- evaluation ---- */

struct core_seen {
	struct labels labels;      /* sorted, with alertname */
	struct labels annotations; /* expanded */
	double value;
	struct alert_timing timing;
};

/* What an evaluation of a rule gave. */
struct core_round {
	struct str rule, expr;
	const struct core_seen *seen;
	size_t len;
	struct alert_timing timing; /* for alerts that were not seen */
};

/*
 * Takes a result: what is not in it is absent.  ERR_EXISTS: two of it have the same labels; ERR_LIMIT: too many alerts;
 * then nothing has changed, as when the evaluation itself fails.  A rule that is no more has an empty result.
 */
ATTR_MUSTCHECK int core_observe(struct core *c, const struct core_round *r, int64_t now_ms,
				struct error *err);

/* Ids of all rules that have alerts.  fn must not change the core. */
void core_each_rule(const struct core *c, void (*fn)(void *arg, struct str rule), void *arg);
/* The alerts of a rule in no particular order. */
void core_each_alert(const struct core *c, struct str rule,
		     void (*fn)(void *arg, const struct core_alert_view *a), void *arg);
size_t core_count(const struct core *c, enum alert_state s);
size_t core_silenced(const struct core *c, const struct silence *s, int64_t now_ms);
/* Alerts that fire and that another one stands for: a silent node, zone or cluster, see inhibit_builtin. */
size_t core_inhibited(const struct core *c, int64_t now_ms);

/* ---- turns ---- */

/* Does what is due. */
void core_run(struct core *c, int64_t now_ms);
/* When core_run has something to do by itself; INT64_MAX = nothing. */
int64_t core_due(const struct core *c);

/* The rows that changed since the last flush, into the arena; false: none. */
bool core_flush(struct core *c, int64_t now_ms, struct arena *a, struct alert_batch *ret);
/* The batch of the last core_flush is committed. */
void core_flushed(struct core *c);

struct core_send {
	const struct receiver *receiver;
	struct str idem, payload, group_key;
	int64_t seq;
	uint32_t attempt;
};

/* The next post to make now: once each; lent until core_sent.  One whose lease would end before its answer is leased anew. */
bool core_next_send(struct core *c, int64_t now_ms, struct core_send *ret);

struct core_sent {
	int status;
	bool hopeless;
	int64_t retry_after_ms;
	struct str problem; /* "" = none */
};

/* The end of an attempt.  Returns what becomes of the notification; DELIVERY_DONE too when it is not known any more. */
enum delivery_fate core_sent(struct core *c, struct str idem, const struct core_sent *s,
			     int64_t now_ms, uint64_t chance);

/* Notifications of a receiver that wait to be sent. */
size_t core_queued(const struct core *c, struct str receiver);

#endif
