/*
 * agent/probe - one probe of one running container: its clock, its connection, its count.
 *
 * The verdict changes after success_threshold successes or failure_threshold failures in a row; the
 * count is a pure function.  exec goes through the runtime; httpGet passes for 200 to 399 (redirects are
 * not followed), tcpSocket when a connection is made.
 */
#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H

#include "base/buf.h"
#include "podspec.h"
#include "runtime.h"
#include "sys/loop.h"

struct probe_count {
	uint32_t successes, failures; /* in a row */
};

enum probe_verdict { PROBE_UNDECIDED, PROBE_PASSED, PROBE_FAILED };

enum probe_verdict probe_counted(const struct probe_spec *spec, struct probe_count *count,
				 bool success);

/* What the answer of an HTTP server says: 0 = incomplete, -1 = no HTTP, else the status. */
int probe_http_status(struct str answer);

struct probe {
	const struct probe_spec *spec; /* NULL = not running */
	enum probe_use use;
	struct loop *loop;
	const struct runtime_ops *ops;
	struct rt_pod *pod;
	const char *ctr;
	char host[64];
	/* Each attempt's outcome; text says why it failed.  May stop the probe. */
	void (*fn)(void *arg, enum probe_use use, enum probe_verdict verdict, bool success,
		   const char *text);
	void *arg;

	struct probe_count count;
	struct loop_timer next, timeout;
	struct loop_io io;
	struct buf in;
	struct probe_exec *exec; /* under way */
	bool sent;
};

/* Starts with the initial delay.  All pointers are borrowed until probe_stop(). */
void probe_start(struct probe *p, const struct probe_spec *spec, uint64_t delay_ms);
void probe_stop(struct probe *p); /* safe when not running */

#endif
