/* A whole API server in this process, on memory, and what tests need to talk to it. */
#ifndef TESTS_APISERVER_HARNESS_H
#define TESTS_APISERVER_HARNESS_H

#include "apiserver/apiserver.h"
#include "base/mem.h"
#include "json/json.h"
#include "sys/loop.h"

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { HARNESS_ROWS = 40 };

struct harness {
	struct apiserver_config cfg;
	struct setting rows[HARNESS_ROWS];
	struct settings *settings;
	struct apiserver *s;
	struct loop *loop;
	struct arena arena;
	struct auth_user user;
	struct str fence;
	char tokens[64];
	/* last answer */
	int status;
	bool answered;
	struct json body;
	struct str text;
};

static inline void harness_start_with(struct harness *h, enum kind_plane plane, char *const *args,
				      int argc, void (*before)(struct harness *h))
{
	*h = (struct harness){ 0 };
	size_t n = apiserver_settings(&h->cfg, h->rows, HARNESS_ROWS);
	h->settings = settings_new("test", "test", h->rows, n);
	strcpy(h->tokens, "/tmp/test_apiserver_XXXXXX");
	int fd = mkstemp(h->tokens);
	cr_assert(fd >= 0);
	static const char lines[] = "admin,admin,1,system:masters\nview,viewer,2,rctl:viewers\n"
				    "node,system:node:n1,3,system:nodes\nplain,joe,4\n";
	cr_assert_eq(write(fd, lines, sizeof(lines) - 1), (ssize_t)sizeof(lines) - 1);
	close(fd);
	char token_arg[96];
	snprintf(token_arg, sizeof(token_arg), "--token-auth-file=%s", h->tokens);
	char *argv[16] = { (char *)(uintptr_t) "test",
			   (char *)(uintptr_t) "--store=memory:",
			   (char *)(uintptr_t) "--listen-address=127.0.0.1:0",
			   (char *)(uintptr_t) "--no-request-log",
			   (char *)(uintptr_t) "--http-loops=2",
			   token_arg };
	int len = 6;
	for (int i = 0; i < argc; i++)
		argv[len++] = args[i];
	struct error err = { 0 };
	int rest = 0;
	cr_assert_eq(settings_parse(h->settings, len, argv, &rest, &err), 0, "%s", err.msg);
	h->cfg.program = "test";
	h->cfg.plane = plane;
	cr_assert_eq(loop_new(&h->loop, &err), 0, "%s", err.msg);
	cr_assert_eq(apiserver_new(&h->cfg, &h->s, &err), 0, "%s", err.msg);
	if (before)
		before(h);
	cr_assert_eq(apiserver_start(h->s, &err), 0, "%s", err.msg);
	h->user = (struct auth_user){ .name = STR("admin"),
				      .groups = { STR("system:masters") },
				      .groups_len = 1 };
}

static inline void harness_start(struct harness *h, enum kind_plane plane, char *const *args,
				 int argc)
{
	harness_start_with(h, plane, args, argc, NULL);
}

static inline void harness_done(void *arg, int status, struct str reply)
{
	struct harness *h = arg;
	h->status = status;
	h->text = arena_str(&h->arena, reply);
	h->body = (struct json){ 0 };
	struct error err = { 0 };
	if (h->text.len && h->text.p[0] == '{')
		cr_assert_eq(json_parse(&h->arena, h->text, NULL, &h->body, &err), 0, "%s in %s",
			     err.msg, h->text.p);
	h->answered = true;
}

/* Sends and waits; returns the status. */
static inline int harness_send(struct harness *h, const char *method, const char *path,
			       const char *type, const char *body)
{
	struct apiserver_call c = { .method = str_of(method),
				    .path = str_of(path),
				    .content_type = str_of(type),
				    .body = str_of(body),
				    .user = &h->user,
				    .fence = h->fence };
	h->answered = false;
	apiserver_call(h->s, h->loop, &c, harness_done, h);
	while (!h->answered)
		loop_turn(h->loop, 1000);
	return h->status;
}

static inline int harness_get(struct harness *h, const char *path)
{
	return harness_send(h, "GET", path, "", "");
}

static inline int harness_post(struct harness *h, const char *path, const char *body)
{
	return harness_send(h, "POST", path, "application/json", body);
}

static inline int harness_put(struct harness *h, const char *path, const char *body)
{
	return harness_send(h, "PUT", path, "application/json", body);
}

static inline int harness_delete(struct harness *h, const char *path, const char *body)
{
	return harness_send(h, "DELETE", path, "application/json", body);
}

/* Asks again until `path` answers `status`: for what happens behind the writes. */
static inline void harness_until(struct harness *h, const char *path, int status)
{
	for (int i = 0; i < 1200; i++) {
		if (harness_get(h, path) == status)
			return;
		usleep(25000);
	}
	cr_assert(false, "%s did not come to %d, last: %d %s", path, status, h->status, h->text.p);
}

/* "metadata.name", "items.0.spec.replicas" of the last answer. */
static inline const struct json *harness_at(const struct harness *h, const char *path)
{
	const struct json *at = &h->body;
	struct str rest = str_of(path), piece;
	while (at && str_split(&rest, '.', &piece)) {
		uint64_t i = 0;
		at = at->type == JSON_ARRAY && str_to_u64(piece, &i) ? json_at(at, i)
								     : json_get(at, piece);
	}
	return at;
}

static inline const char *harness_str(struct harness *h, const char *path)
{
	const struct json *v = harness_at(h, path);
	if (!v)
		return "(none)";
	return v->type == JSON_STRING ? arena_str(&h->arena, json_str(v)).p
				      : json_text(&h->arena, v).p;
}

static inline void harness_ready(struct harness *h)
{
	harness_until(h, "/readyz", 200);
}

static inline void harness_stop(struct harness *h)
{
	apiserver_free(h->s);
	loop_free(h->loop);
	settings_free(h->settings);
	arena_fini(&h->arena);
	unlink(h->tokens);
}

/* ---- over a connection: HTTP/1.1, for what has no end ---- */

struct wire {
	int fd;
	char buf[1 << 20];
	size_t len, at;
	int status;
};

static inline void wire_open(struct wire *w, struct harness *h, const char *token, const char *path,
			     const char *headers)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(apiserver_port(h->s, 0)),
				 .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval tv = { .tv_sec = 30 };
	setsockopt(w->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	cr_assert_eq(connect(w->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	char req[2048];
	int n = snprintf(req, sizeof(req),
			 "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n",
			 path, token, headers);
	cr_assert_eq(write(w->fd, req, (size_t)n), n);
	w->len = w->at = 0;
	w->status = 0;
}

static inline bool wire_fill(struct wire *w)
{
	if (w->at > 0) {
		memmove(w->buf, w->buf + w->at, w->len - w->at);
		w->len -= w->at;
		w->at = 0;
	}
	ssize_t n = read(w->fd, w->buf + w->len, sizeof(w->buf) - w->len - 1);
	if (n <= 0)
		return false;
	w->len += (size_t)n;
	w->buf[w->len] = 0;
	return true;
}

/* Next line that begins with '{' (chunk sizes and headers are passed over); NULL at the end. */
static inline char *wire_line(struct wire *w)
{
	for (;;) {
		char *nl = memchr(w->buf + w->at, '\n', w->len - w->at);
		if (!nl) {
			if (!wire_fill(w))
				return NULL;
			continue;
		}
		char *line = w->buf + w->at;
		*nl = 0;
		w->at = (size_t)(nl + 1 - w->buf);
		if (!strncmp(line, "HTTP/1.1 ", 9))
			w->status = atoi(line + 9);
		if (line[0] == '0' && (line[1] == '\r' || line[1] == 0))
			return NULL;
		if (line[0] == '{')
			return line;
	}
}

#endif
