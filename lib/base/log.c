#include "base/log.h"

#include "base/buf.h"

#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16384 };

/* Process-wide on purpose, see the header. */
static const char *log_component = "";
static int64_t (*log_now)(void);
static _Atomic int log_min = LOG_INFO;

static const char *const level_names[] = { "debug", "info", "warn", "error", "off" };

void log_setup(const char *component, enum log_level level, int64_t (*now)(void))
{
	log_component = component;
	log_now = now;
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	atomic_store(&log_min, (int)level);
}

int log_level_of(struct str name, enum log_level *ret)
{
	for (int i = LOG_DEBUG; i <= LOG_OFF; i++) {
		if (str_is(name, level_names[i])) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

static void add_quoted(struct buf *b, struct str s)
{
	buf_addc(b, '"');
	for (size_t i = 0; i < s.len && b->len < LINE_MAX_BYTES; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\') {
			buf_addc(b, '\\');
			buf_addc(b, (char)c);
		} else if (c == '\n') {
			buf_adds(b, "\\n");
		} else if (c < 0x20 || c == 0x7f) {
			buf_addf(b, "\\u%04x", c);
		} else {
			buf_addc(b, (char)c);
		}
	}
	buf_addc(b, '"');
}

static void add_time(struct buf *b)
{
	int64_t ms = log_now();
	time_t sec = (time_t)(ms / 1000);
	struct tm tm;
	(void)gmtime_r(&sec, &tm);
	buf_addf(b, "\"ts\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\",", tm.tm_year + 1900,
		 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
}

static void add_value(struct buf *b, const struct log_value *v)
{
	switch (v->kind) {
	case LOG_KIND_STR:
		add_quoted(b, v->s);
		break;
	case LOG_KIND_INT:
		buf_add_i64(b, v->i);
		break;
	case LOG_KIND_DOUBLE:
		if (isfinite(v->d))
			buf_addf(b, "%.6g", v->d);
		else
			buf_adds(b, "null");
		break;
	}
}

void log_event(enum log_level level, const char *event, ...)
{
	if ((int)level < atomic_load_explicit(&log_min, memory_order_relaxed))
		return;
	struct buf b = { 0 };
	buf_addc(&b, '{');
	if (log_now)
		add_time(&b);
	buf_addf(&b, "\"level\":\"%s\",\"component\":", level_names[level]);
	add_quoted(&b, str_of(log_component));
	buf_adds(&b, ",\"event\":");
	add_quoted(&b, str_of(event));

	va_list ap;
	va_start(ap, event);
	for (const char *name; (name = va_arg(ap, const char *));) {
		const struct log_value *v = va_arg(ap, const struct log_value *);
		buf_addc(&b, ',');
		add_quoted(&b, str_of(name));
		buf_addc(&b, ':');
		add_value(&b, v);
	}
	va_end(ap);
	buf_adds(&b, "}\n");
	ssize_t n = write(STDERR_FILENO, b.p, b.len);
	(void)n; /* there is nobody left to tell */
	buf_fini(&b);
}
