#include "probe.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 4096, TEXT_MAX = 512, EXEC_ARGS_MAX = 64 };

/* The runtime answers once whatever happens meanwhile: this outlives the probe. */
struct probe_exec {
	struct probe *probe; /* NULL = nobody waits */
};

enum probe_verdict probe_counted(const struct probe_spec *spec, struct probe_count *c, bool success)
{
	if (success) {
		c->failures = 0;
		if (c->successes < UINT32_MAX)
			c->successes++;
		return c->successes >= spec->success_threshold ? PROBE_PASSED : PROBE_UNDECIDED;
	}
	c->successes = 0;
	if (c->failures < UINT32_MAX)
		c->failures++;
	return c->failures >= spec->failure_threshold ? PROBE_FAILED : PROBE_UNDECIDED;
}

int probe_http_status(struct str a)
{
	ptrdiff_t eol = str_find(a, '\n', 0);
	if (eol < 0)
		return a.len >= ANSWER_MAX ? -1 : 0;
	if (!str_starts(a, STR("HTTP/1.")) || a.len < 12 || a.p[8] != ' ')
		return -1;
	uint64_t status = 0;
	if (!str_to_u64(str_sub(a, 9, 12), &status) || status < 100)
		return -1;
	return (int)status;
}

static void cleanup(struct probe *p)
{
	loop_timer_stop(&p->timeout);
	if (p->io.fd >= 0) {
		loop_io_del(&p->io);
		close(p->io.fd);
		p->io.fd = -1;
	}
	buf_fini(&p->in);
	if (p->exec)
		p->exec->probe = NULL;
	p->exec = NULL;
}

static void outcome(struct probe *p, bool success, const char *text)
{
	cleanup(p);
	enum probe_verdict v = probe_counted(p->spec, &p->count, success);
	loop_timer_set(p->loop, &p->next, p->spec->period_ms);
	p->fn(p->arg, p->use, v, success, text); /* may stop it */
}

/* ---------------------------------------------------------------------------------------- exec */

static void on_exec(void *arg, int code, struct str output, const char *error)
{
	struct probe_exec *e = arg;
	struct probe *p = e->probe;
	mem_free(e);
	if (!p)
		return;
	p->exec = NULL;
	char text[TEXT_MAX];
	if (error)
		snprintf(text, sizeof(text), "%s", error);
	else if (code == -1)
		snprintf(text, sizeof(text), "command timed out");
	else
		snprintf(text, sizeof(text), "exit code %d: %.*s", code,
			 (int)(output.len > 256 ? 256 : output.len), output.p ? output.p : "");
	outcome(p, !error && code == 0, text);
}

static void run_exec(struct probe *p)
{
	char *argv[EXEC_ARGS_MAX + 1] = { NULL };
	struct arena a = { 0 };
	for (size_t i = 0; i < json_len(p->spec->command) && i < EXEC_ARGS_MAX; i++) {
		struct str s = json_str(json_at(p->spec->command, i));
		argv[i] = arena_printf(&a, "%.*s", STR_ARG(s));
	}
	struct probe_exec *e = mem_new(struct probe_exec, 1);
	e->probe = p;
	p->exec = e;
	p->ops->exec(p->pod, p->ctr, argv, p->spec->timeout_ms, on_exec, e);
	arena_fini(&a);
}

/* ------------------------------------------------------------------------------------- network */

static void on_timeout(struct loop_timer *t)
{
	struct probe *p = container_of(t, struct probe, timeout);
	outcome(p, false, "no answer in time");
}

static bool send_request(struct probe *p)
{
	struct buf b = { 0 };
	struct str host = p->spec->host.len ? p->spec->host : str_of(p->host);
	bool slash = p->spec->path.len && p->spec->path.p[0] == '/';
	buf_addf(&b, "GET %s%.*s HTTP/1.1\r\n", slash ? "" : "/", STR_ARG(p->spec->path));
	bool own_host = false;
	for (size_t i = 0; i < json_len(p->spec->headers); i++) {
		const struct json *h = json_at(p->spec->headers, i);
		struct str name = json_str(json_getc(h, "name")),
			   value = json_str(json_getc(h, "value"));
		if (!name.len || str_find(value, '\n', 0) >= 0 || str_find(name, '\n', 0) >= 0)
			continue;
		own_host |= str_eq_nocase(name, STR("Host"));
		buf_addf(&b, "%.*s: %.*s\r\n", STR_ARG(name), STR_ARG(value));
	}
	if (!own_host)
		buf_addf(&b, "Host: %.*s:%u\r\n", STR_ARG(host), p->spec->port);
	buf_adds(&b, "User-Agent: kube-probe/1.33\r\nAccept: */*\r\nConnection: close\r\n\r\n");
	ssize_t n = send(p->io.fd, b.p, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	bool whole = n == (ssize_t)b.len;
	buf_fini(&b);
	return whole;
}

static void take_answer(struct probe *p)
{
	char text[TEXT_MAX];
	buf_reserve(&p->in, ANSWER_MAX);
	ssize_t n = recv(p->io.fd, p->in.p + p->in.len, ANSWER_MAX - p->in.len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		p->in.len += (size_t)n;
	int status = probe_http_status(buf_str(&p->in));
	if (status == 0 && n > 0)
		return;
	if (status > 0)
		snprintf(text, sizeof(text), "HTTP probe failed with statuscode: %d", status);
	else
		snprintf(text, sizeof(text), "no HTTP answer");
	outcome(p, status >= 200 && status < 400, text);
}

static void on_io(struct loop_io *io, uint32_t events)
{
	struct probe *p = container_of(io, struct probe, io);
	(void)events;
	if (p->sent) {
		take_answer(p);
		return;
	}
	int e = 0;
	socklen_t len = sizeof(e);
	(void)getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &e, &len);
	if (e) {
		outcome(p, false, strerror(e));
	} else if (p->spec->kind == PROBE_TCP) {
		outcome(p, true, "");
	} else if (!send_request(p)) {
		outcome(p, false, "the request could not be sent");
	} else {
		p->sent = true;
		loop_io_set(p->loop, io, EPOLLIN);
	}
}

static void run_connect(struct probe *p)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a;
	char host[64];
	socklen_t len = 0;
	memset(&a, 0, sizeof(a));
	snprintf(host, sizeof(host), "%.*s", STR_ARG(p->spec->host));
	const char *to = host[0] ? host : p->host;
	if (strcmp(to, "localhost") == 0)
		to = "127.0.0.1";
	if (inet_pton(AF_INET, to, &a.v4.sin_addr) == 1) {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons(p->spec->port);
		len = sizeof(a.v4);
	} else if (inet_pton(AF_INET6, to, &a.v6.sin6_addr) == 1) {
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = htons(p->spec->port);
		len = sizeof(a.v6);
	}
	if (!len) {
		outcome(p, false, "the probe's host is not an address");
		return;
	}
	p->sent = false;
	p->io.fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->io.fd < 0 || (connect(p->io.fd, &a.any, len) != 0 && errno != EINPROGRESS)) {
		outcome(p, false, strerror(errno));
		return;
	}
	loop_io_set(p->loop, &p->io, EPOLLOUT);
	loop_timer_set(p->loop, &p->timeout, p->spec->timeout_ms);
}

static void on_next(struct loop_timer *t)
{
	struct probe *p = container_of(t, struct probe, next);
	if (p->spec->kind == PROBE_EXEC)
		run_exec(p);
	else
		run_connect(p);
}

void probe_start(struct probe *p, const struct probe_spec *spec, uint64_t delay_ms)
{
	p->spec = spec;
	p->count = (struct probe_count){ 0, 0 };
	p->io.fd = -1;
	p->io.fn = on_io;
	p->next.fn = on_next;
	p->timeout.fn = on_timeout;
	loop_timer_set(p->loop, &p->next, delay_ms);
}

void probe_stop(struct probe *p)
{
	if (!p->spec)
		return;
	cleanup(p);
	loop_timer_stop(&p->next);
	p->spec = NULL;
}
