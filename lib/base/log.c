#include "base/log.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { LINE_USUAL_BYTES = 700, LINE_MAX_BYTES = 16384 };

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

/* Control characters, ", \\ and DEL: one bit a byte. */
static const uint32_t special_bits[8] = { 0xffffffff, 0x00000004, 0x10000000, 0x80000000 };

/* How many bytes at the start of s go into a JSON string as they are. */
static size_t plain_run(struct str s)
{
	size_t n = 0;
	for (; n < s.len; n++) {
		unsigned char c = (unsigned char)s.p[n];
		if (special_bits[c / 32] >> c % 32 & 1)
			break;
	}
	return n;
}

static void add_escaped(struct buf *b, unsigned char c)
{
	if (c == '"' || c == '\\') {
		buf_addc(b, '\\');
		buf_addc(b, (char)c);
	} else if (c == '\n') {
		buf_add(b, "\\n", 2);
	} else {
		buf_addf(b, "\\u%04x", c);
	}
}

/* `from` is where the line begins. */
static void add_quoted(struct buf *b, size_t from, struct str s)
{
	buf_addc(b, '"');
	while (s.len && b->len - from < LINE_MAX_BYTES) {
		size_t room = LINE_MAX_BYTES - (b->len - from);
		size_t run = plain_run(str_sub(s, 0, room));
		buf_add(b, s.p, run);
		if (run < s.len && run < room)
			add_escaped(b, (unsigned char)s.p[run++]);
		s = str_sub(s, run, s.len);
	}
	buf_addc(b, '"');
}

/* `digits` decimal digits of v and the sign behind them. */
static char *add_digits(char *p, int v, int digits, char behind)
{
	for (int i = digits; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	p[digits] = behind;
	return p + digits + 1;
}

/* Written by hand: a log line a request, and printf takes longer than all the rest of it. */
static void add_time(struct buf *b)
{
	int64_t ms = log_now();
	time_t sec = (time_t)(ms / 1000);
	struct tm tm;
	char text[32];
	(void)gmtime_r(&sec, &tm);
	char *p = add_digits(text, tm.tm_year + 1900, 4, '-');
	p = add_digits(p, tm.tm_mon + 1, 2, '-');
	p = add_digits(p, tm.tm_mday, 2, 'T');
	p = add_digits(p, tm.tm_hour, 2, ':');
	p = add_digits(p, tm.tm_min, 2, ':');
	p = add_digits(p, tm.tm_sec, 2, '.');
	p = add_digits(p, (int)(ms % 1000), 3, 'Z');
	buf_adds(b, "\"ts\":\"");
	buf_add(b, text, (size_t)(p - text));
	buf_add(b, "\",", 2);
}

static void add_value(struct buf *b, size_t from, const struct log_value *v)
{
	switch (v->kind) {
	case LOG_KIND_STR:
		add_quoted(b, from, v->s);
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

static void add_line(struct buf *b, enum log_level level, const char *event, va_list ap)
{
	size_t from = b->len;
	buf_reserve(b, LINE_USUAL_BYTES);
	buf_addc(b, '{');
	if (log_now)
		add_time(b);
	buf_adds(b, "\"level\":\"");
	buf_adds(b, level_names[level]);
	buf_adds(b, "\",\"component\":");
	add_quoted(b, from, str_of(log_component));
	buf_adds(b, ",\"event\":");
	add_quoted(b, from, str_of(event));
	for (const char *name; (name = va_arg(ap, const char *));) {
		const struct log_value *v = va_arg(ap, const struct log_value *);
		buf_add(b, ",\"", 2);
		buf_adds(b, name); /* a literal of ours */
		buf_add(b, "\":", 2);
		add_value(b, from, v);
	}
	buf_adds(b, "}\n");
}

static void write_out(const char *p, size_t n)
{
	ssize_t written = write(STDERR_FILENO, p, n);
	(void)written; /* there is nobody left to tell */
}

static bool is_hidden(enum log_level level)
{
	return (int)level < atomic_load_explicit(&log_min, memory_order_relaxed);
}

void log_event(enum log_level level, const char *event, ...)
{
	if (is_hidden(level))
		return;
	struct buf b = { 0 };
	va_list ap;
	va_start(ap, event);
	add_line(&b, level, event, ap);
	va_end(ap);
	write_out(b.p, b.len);
	buf_fini(&b);
}

void log_add(struct buf *lines, enum log_level level, const char *event, ...)
{
	if (is_hidden(level))
		return;
	size_t before = lines->len;
	va_list ap;
	va_start(ap, event);
	add_line(lines, level, event, ap);
	va_end(ap);
	if (lines->len <= PIPE_BUF)
		return;
	if (before) {
		write_out(lines->p, before);
		buf_consume(lines, before);
	}
	if (lines->len > PIPE_BUF)
		log_write(lines);
}

void log_write(struct buf *lines)
{
	if (lines->len)
		write_out(lines->p, lines->len);
	buf_clear(lines);
}
