/*
 * base/log - one JSON line an event on stderr.
 *
 *   log_info("pod-started", "pod", LOG_S(name), "pid", LOG_I(pid), NULL);
 *
 * gives {"ts":"2026-01-02T03:04:05.678Z","level":"info","component":"agent","event":"pod-started","pod":"web-1","pid":12}
 *
 * The event is a fixed name, the fields carry the data: no sentence is parsed
 * by anybody.  One write(2) a line, so lines of several threads never mix.
 * Component and level are set once by main() before threads start; that and
 * the clock hook are this module's only process-wide state, because a message
 * about running out of everything must need nothing.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/buf.h"
#include "base/str.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

enum log_kind { LOG_KIND_STR, LOG_KIND_INT, LOG_KIND_DOUBLE };

struct log_value {
	enum log_kind kind;
	struct str s;
	int64_t i;
	double d;
};

static inline struct log_value log_value_str(struct str s)
{
	return (struct log_value){ .kind = LOG_KIND_STR, .s = s };
}

static inline struct log_value log_value_int(int64_t i)
{
	return (struct log_value){ .kind = LOG_KIND_INT, .i = i };
}

/* Field values: C string (NULL is ""), struct str, integer. */
#define LOG_S(cstr)   (&(struct log_value){ .kind = LOG_KIND_STR, .s = str_of(cstr) })
#define LOG_STR(str_) (&(struct log_value){ .kind = LOG_KIND_STR, .s = (str_) })
#define LOG_I(int_)   (&(struct log_value){ .kind = LOG_KIND_INT, .i = (int64_t)(int_) })
#define LOG_D(dbl_)   (&(struct log_value){ .kind = LOG_KIND_DOUBLE, .d = (dbl_) })

/*
 * `component` must outlive the process (a literal).  `now` returns Unix time in
 * milliseconds (sys/clock gives it); NULL leaves "ts" out.
 */
void log_setup(const char *component, enum log_level level, int64_t (*now)(void));
void log_set_level(enum log_level level);
int log_level_of(struct str name, enum log_level *ret); /* 0, or -1 for an unknown name */

/* Pairs of const char *name, struct log_value * (LOG_S ...), ended by NULL. */
void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));

/*
 * For lines that come by the thousand: log_add() keeps the line in `lines`, log_write() writes what
 * is kept there (after log_add() it must come soon: what the process has not written, it takes with it
 * when it is killed).  Several lines a write(2), but no more than a pipe takes as a whole.
 */
void log_add(struct buf *lines, enum log_level level, const char *event, ...)
	__attribute__((sentinel));
void log_write(struct buf *lines);

#define log_debug(...) log_event(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_event(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_ERROR, __VA_ARGS__)

#endif
