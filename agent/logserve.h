/*
 * agent/logserve - answers the server's log requests: reads a container's files and sends them on a Logs call.
 *
 * Everything of one attempt is one text, over its rotations.  follow ends when the container
 * does and all is sent, or when the client went away.
 */
#ifndef AGENT_LOGSERVE_H
#define AGENT_LOGSERVE_H

#include "agent/v1/agent.pb-c.h"
#include "podmgr.h"

struct loop;
struct logserve;
struct rpc_channel;

enum { LOGSERVE_MAX = 64 };

struct logserve *logserve_new(struct loop *l, struct podmgr *m);
struct logserve *logserve_free(struct logserve *s);

/* The connection calls are opened on; another one or NULL ends all that are under way. */
void logserve_attach(struct logserve *s, struct rpc_channel *ch);

/* ERR_NOT_FOUND, ERR_LIMIT, ERR_UNAVAILABLE: to be answered with RequestFailed. */
ATTR_MUSTCHECK int logserve_open(struct logserve *s, uint64_t id,
				 const Rctl__Agent__V1__OpenLogs *q, struct error *err);
void logserve_cancel(struct logserve *s, uint64_t id);

/*
 * Offset in the file at `path` from which its last n lines begin, *n counting down those found.
 */
uint64_t logserve_tail(const char *path, uint64_t size, int64_t *n);

#endif
