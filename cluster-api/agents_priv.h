/* agents_priv - shared by agents.c, session.c and register.c. */
#ifndef AGENTS_PRIV_H
#define AGENTS_PRIV_H

#include "agent/v1/agent.pb-c.h"
#include "agents.h"
#include "sys/loop.h"
#include "watch/watch.h"

struct agents {
	struct agents_config cfg;
	struct rpc_server *rpc;
	struct apiserver_sub *sub;
	struct watch_snap *snap;  /* the state up to the last batch seen */
	struct map sessions;      /* node → struct session; only the newest of a node */
	struct list open;         /* all sessions, also those being ended */
	struct loop_timer behind; /* looks after sessions that wait for the cache */
	uint64_t next_request;
	size_t node_field; /* index of spec.nodeName among a Pod's selectable fields */
	agents_failed_fn failed;
	void *failed_arg;
	struct arena arena;
	struct metric *m_connected, *m_statuses;
};

/* A pod that was sent to the agent. */
struct sent_pod {
	int64_t rev;
	struct str *refs; /* "ConfigMap/ns/name"; heap strings */
	size_t refs_len;
	char *key; /* "ns/name" */
};

/* A ConfigMap or Secret that sent pods refer to. */
struct sent_ref {
	size_t count; /* references */
	int64_t rev;  /* last sent; 0 = not there */
};

struct session {
	struct agents *agents;
	struct list link;
	struct rpc_stream *stream;
	char *node;
	struct auth_user user; /* system:node:NAME */
	bool hello, newest;
	/* What the agent runs from is ahead of our cache: nothing is assigned until that is there. */
	int64_t await_rev;
	uint64_t await_until_ms;
	uint64_t incarnation;
	struct map pods; /* uid → struct sent_pod */
	struct map refs; /* "Kind/ns/name" → struct sent_ref */
	/* acknowledgement: writes under way, oldest first */
	struct list writes;
	uint64_t received, acked_sent;
	unsigned refcount; /* writes under way + 1 while the stream is open */
};

/* ---- session.c ---- */
extern const struct rpc_method session_method; /* Connect; arg is filled by agents.c */
void session_events(struct session *s, struct watch_event *const *ev, size_t n, int64_t rev);
void session_overdue(struct session *s, uint64_t now_ms);
void session_end(struct session *s, enum rpc_status status, const char *text);
void session_send(struct session *s, Rctl__Agent__V1__ServerMessage *m);

/* ---- assign.c ---- */
void assign_full(struct session *s);
void assign_events(struct session *s, struct watch_event *const *ev, size_t n, int64_t rev);
void assign_forget(struct session *s);

/* ---- register.c ---- */
extern const struct rpc_method register_method;

#endif
