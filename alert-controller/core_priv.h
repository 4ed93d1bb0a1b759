/* core_priv - shared by the files of the core. */
#ifndef CORE_PRIV_H
#define CORE_PRIV_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "core.h"
#include "inhibit.h"
#include "payload.h"

/* All alerts of one rule. */
struct core_rule {
	struct str id; /* heap, behind the struct */
	struct list alerts;
	size_t len;
	uint64_t round;
};

struct core_alert {
	struct core_rule *rule;
	struct list by_rule;
	struct list members; /* struct member.by_alert */
	char fp[FINGERPRINT_LEN + 1];
	struct labels_own *labels, *annotations;
	char *expr;
	double value;
	struct alert_record record;
	uint64_t round; /* in which it was last seen */
	struct list dirty;
	bool stored; /* the database has, or may have, a row of it */
};

struct core_receiver {
	const struct receiver *cfg; /* NULL: not known (yet) */
	struct map groups;          /* groupKey → struct group */
	struct list ready;          /* struct delivery.link: due, waits for a free place */
	struct list parked;         /* …: may be posted, waits for one of those that are */
	size_t under_way;           /* leased */
	size_t sending;             /* being posted */
	size_t open;                /* deliveries that are neither done nor dead */
	char key[];
};

struct delivery {
	struct group *group;
	struct heap_node due;
	struct list link; /* in receiver.ready or parked, core.leasing, in_commit or sendable */
	struct list dirty;
	struct str payload; /* heap */
	char idem[40];
	int64_t seq, created_ms, deadline_ms, next_ms, lease_ms, ended_ms;
	uint32_t attempt;
	enum delivery_state state;
	bool fresh;
	bool counted; /* in receiver.under_way */
	bool posted;  /* in receiver.sending */
	int status;
	char problem[256];
};

struct group {
	struct core_receiver *receiver;
	char *key;
	struct labels_own *labels;
	struct list members; /* struct member.by_group */
	size_t len;
	int64_t seq, flushed_ms;
	bool unsure;
	struct delivery *open; /* under way */
	struct heap_node due;  /* of the plan */
	struct list dirty;
	bool stored;
};

/* An alert in a group. */
struct member {
	struct core_alert *alert;
	struct group *group;
	struct list by_alert, by_group;
	int64_t told_ms; /* starts_ms that the receiver was told; 0 = not, or told the end */
	int64_t next_ms; /* what told_ms is going to be when the notification under way has arrived */
};

struct silence_ref {
	const struct silence *s;
};

struct core {
	struct core_config cfg;
	struct map rules;      /* id → struct core_rule */
	struct map alerts;     /* rule NUL fp → struct core_alert */
	struct map receivers;  /* key → struct core_receiver */
	struct map silences;   /* key → struct silence_ref */
	struct map deliveries; /* idem → struct delivery */
	struct heap due_groups, due_deliveries;
	struct list dirty_alerts, dirty_groups, dirty_deliveries;
	struct list leasing, in_commit, sendable;
	bool receivers_known;
	int64_t silence_due; /* the next start or end of one; INT64_MAX = none */
	struct inhibit_rule inhibit_rules[INHIBIT_BUILTIN_LEN];
	struct inhibit inhibit;
	int64_t inhibit_due; /* a source changed (0), or its lingering ends then; INT64_MAX = none */
	int64_t sweep_ms;    /* when idle groups are looked for again */
	/* rows to delete with the next batch; their keys live in gone_arena */
	struct arena gone_arena;
	struct alert_row *gone_alerts;
	struct group_row *gone_groups;
	size_t gone_alerts_len, gone_alerts_cap, gone_groups_len, gone_groups_cap;
};

/* ---- core.c ---- */
void core_alert_dirty(struct core *c, struct core_alert *x);
/* Frees an alert that nobody needs any more: calm, and no receiver is to be told. */
void core_alert_release(struct core *c, struct core_alert *x);
struct core_alert *core_alert_find(const struct core *c, struct str rule, struct str fp);
/* By a silence or by an alert that stands for it. */
bool core_alert_muted(const struct core *c, const struct core_alert *x, int64_t now_ms);
struct labels_own *core_labels_parse(struct str json);

/* ---- core_route.c: receivers, groups, members ---- */
struct core_receiver *core_receiver_get(struct core *c, struct str key); /* made when absent */
struct group *core_group_get(struct core *c, struct core_receiver *r, struct labels labels,
			     struct str key);
struct member *core_member_add(struct group *g, struct core_alert *x);
void core_member_free(struct member *m);
void core_route(struct core *c, struct core_alert *x);
void core_groups_touch(struct core *c, struct core_alert *x); /* its groups are planned anew */
void core_groups_touch_all(struct core *c);
void core_group_touch(struct core *c, struct group *g, int64_t due_ms);
void core_group_dirty(struct core *c, struct group *g);
void core_group_free(struct core *c, struct group *g, bool delete_row);
void core_receiver_free(struct core *c, struct core_receiver *r);

/* ---- core_send.c: notifications ---- */
void core_group_run(struct core *c, struct group *g, int64_t now_ms);
void core_delivery_load(struct core *c, const struct delivery_row *row);
void core_delivery_free(struct core *c, struct delivery *d);
void core_delivery_dirty(struct core *c, struct delivery *d);
void core_deliveries_run(struct core *c, int64_t now_ms);

#endif
