/* engine_priv - shared by the files of the engine. */
#ifndef ENGINE_PRIV_H
#define ENGINE_PRIV_H

#include "base/list.h"
#include "base/map.h"
#include "builtin.h"
#include "core.h"
#include "dbworker.h"
#include "engine.h"
#include "objects.h"
#include "prefetch.h"

struct rule_run;

/* An AlertRule object as it is, and what its status said when it was last seen. */
struct rule_entry {
	struct rule_set *set;
	char *status; /* JSON text */
	struct group_run *groups;
	size_t groups_len; /* 0 = not evaluated here */
	bool own;          /* the builtin one; there may be no object of it */
};

struct group_run {
	struct engine *engine;
	struct rule_entry *entry;
	size_t index;
	struct loop_timer timer;
	struct rule_run *runs; /* rules × targets */
	size_t runs_len;
};

/* A rule over the metrics of one target. */
struct rule_run {
	struct group_run *group;
	const struct rule *rule;
	char *target; /* cluster, "" = the API itself */
	char *id;     /* of the core's rule: the rule's, "@CLUSTER" behind it */
	struct client_call *call;
	int64_t at_ms;         /* of the evaluation under way */
	struct arena arena;    /* of the series it found */
	struct series *series; /* … while their templates' queries are under way */
	size_t series_len;
	struct prefetch prefetch;
	bool failed;       /* the last evaluation */
	char problem[256]; /* … and why */
};

struct receiver_entry {
	struct receiver *receiver;
	char *status;
	int64_t success_ms, failure_ms; /* 0 = the status knows */
	bool failing, told;             /* the last attempt failed; there was one */
	char problem[256];
};

struct silence_entry {
	struct silence *silence;
	char *status;
};

enum engine_state { ENGINE_WAITS, ENGINE_CLAIMS, ENGINE_RUNS };

struct engine {
	struct engine_config cfg;
	enum engine_state state;
	struct core *core; /* NULL unless it runs */
	struct dbworker *db;
	int64_t epoch;
	bool busy; /* the database works */
	int64_t pruned_ms;
	struct client_call *lease_call;
	struct loop_timer retry, turn;
	struct loop_task pump;
	struct map rules, receivers, silences; /* key → entry */
	struct map cordoned;                   /* "cordoned/NODE" → struct silence */
	unsigned builtin_due; /* bits 1 << enum builtin: evaluated in the next turn */
	struct objects objects;
	struct label external_v[2];
	struct labels external;
	struct list posts;
	size_t posts_len;
	struct loop_timer mirror_timer, silence_timer;
	struct map mirrors; /* cluster → struct mirror */
	struct ctl_queue *start, *rule_status, *receiver_status, *silence_status;
	struct client_informer *i_rules, *i_prometheus, *i_receivers, *i_silences;
	struct metric *m_evaluations, *m_failures, *m_done, *m_retry, *m_dead;
};

int64_t engine_now(void);
/* Keys of PrometheusRules among those of AlertRules: "+NAMESPACE/NAME". */
bool engine_is_prometheus_rule(struct str key);
/* Something changed: a turn soon. */
void engine_pump(struct engine *e);

/* ---- evaluate.c ---- */
void evaluate_start(struct engine *e, struct rule_entry *r); /* makes the runs and their timers */
void evaluate_stop(struct rule_entry *r);
void evaluate_builtin(struct engine *e, enum builtin what); /* now */
void evaluate_end_unknown(struct engine *e); /* alerts of rules that are no more end */

/* ---- sender.c ---- */
void sender_init(struct engine *e);
void sender_run(struct engine *e); /* posts what the core has to send */
void sender_fini(struct engine *e);

/* ---- status.c ---- */
void status_init(struct engine *e);
void status_rule(struct engine *e, struct str key); /* look at it soon */
void status_receiver(struct engine *e, struct str key);
void status_silence(struct engine *e, struct str key);

/* ---- mirror.c ---- */
struct mirror_sum {
	int64_t firing, pending;
	struct json alerts; /* array, in the arena given */
	size_t omitted;
};
void mirror_start(struct engine *e);
void mirror_fini(struct engine *e);
/* What the AlertRule `key` gives in all clusters; key "" = all that have no AlertRule here. */
void mirror_sum(struct engine *e, struct str key, struct arena *a, struct mirror_sum *ret);

#endif
