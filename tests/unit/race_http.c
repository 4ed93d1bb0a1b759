/*
 * A server with two loops under clients on several threads, a thread that posts to both loops, and a
 * drain at the end: what is shared between loops, run under the thread sanitizer.
 */
#include "base/mem.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 4, CONNECTIONS = 15, REQUESTS = 20, POSTS = 300 };

struct stream {
	struct list link;
	struct http_request *r;
};

struct shared {
	struct http_server *server;
	struct bytes *event;
	struct list streams[2]; /* each touched by its loop only */
	_Atomic int answers;
	_Atomic int drained;
};

static void on_loop(struct http_loop *l)
{
	struct shared *sh = http_server_user(l->server);
	l->user = &sh->streams[l->index];
	list_init(l->user);
}

static void on_request(struct http_request *r)
{
	struct shared *sh = http_server_user(r->loop->server);
	if (!str_is(r->path, "/stream")) {
		http_reply_bytes(r, 200, NULL, 0, sh->event);
		return;
	}
	struct stream *s = arena_new(&r->arena, struct stream, 1);
	s->r = r;
	r->user = s;
	list_append(r->loop->user, &s->link);
	http_begin(r, 200, NULL, 0);
	(void)http_write(r, sh->event);
}

static void on_close(struct http_request *r)
{
	struct stream *s = r->user;
	if (s)
		list_del(&s->link);
}

struct post {
	struct shared *sh;
	struct http_loop *loop;
};

static void on_post(void *arg)
{
	struct post *p = arg;
	list_for_each(it, (struct list *)p->loop->user)(void)
		http_write(list_entry(it, struct stream, link)->r, p->sh->event);
	mem_free(p);
}

static void *post_events(void *arg)
{
	struct shared *sh = arg;
	for (int i = 0; i < POSTS; i++) {
		for (size_t k = 0; k < http_server_loops(sh->server); k++) {
			struct post *p = mem_new(struct post, 1);
			p->sh = sh;
			p->loop = http_server_loop(sh->server, k);
			loop_post(p->loop->loop, on_post, p);
		}
		(void)http_server_connections(sh->server);
		(void)http_server_requests(sh->server);
		(void)usleep(200);
	}
	return NULL;
}

static int dial(struct shared *sh)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(http_server_port(sh->server, 0)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static bool ask(int fd, const char *text)
{
	char got[4096];
	size_t n = 0;
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return false;
	while (n < sizeof(got) - 1) {
		ssize_t k = recv(fd, got + n, sizeof(got) - 1 - n, 0);
		if (k <= 0)
			return false;
		n += (size_t)k;
		got[n] = '\0';
		if (strstr(got, "event\n"))
			return true;
	}
	return false;
}

static void *run_client(void *arg)
{
	struct shared *sh = arg;
	for (int i = 0; i < CONNECTIONS; i++) {
		int fd = dial(sh);
		for (int k = 0; k < REQUESTS && fd >= 0; k++) {
			if (ask(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
				atomic_fetch_add(&sh->answers, 1);
		}
		if (fd >= 0 && i % 3 == 0)
			(void)ask(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
		if (fd >= 0)
			(void)close(fd);
	}
	/* one stream stays open until the server drains */
	int fd = dial(sh);
	char got[4096];
	if (fd >= 0 && ask(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")) {
		atomic_fetch_add(&sh->answers, 1);
		while (recv(fd, got, sizeof(got), 0) > 0)
			;
	}
	if (fd >= 0)
		(void)close(fd);
	return NULL;
}

static void on_done(void *arg)
{
	struct shared *sh = arg;
	atomic_store(&sh->drained, 1);
}

int main(void)
{
	static struct shared sh;
	struct error err = { 0 };
	struct str listen = STR("127.0.0.1:0");
	struct metrics *m = metrics_new();
	pthread_t threads[CLIENTS + 1];
	struct http_server_config cfg = {
		.listen = &listen,
		.listen_len = 1,
		.threads = 2,
		.metrics = m,
		.on = { .on_request = on_request, .on_close = on_close, .on_loop = on_loop },
		.user = &sh
	};
	sh.event = bytes_of_str(STR("event\n"));
	if (http_server_start(&cfg, &sh.server, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	for (int i = 0; i <= CLIENTS; i++) {
		if (pthread_create(&threads[i], NULL, i ? run_client : post_events, &sh) != 0)
			return 1;
	}
	(void)pthread_join(threads[0], NULL);
	while (atomic_load(&sh.answers) < CLIENTS * (CONNECTIONS * REQUESTS + 1))
		(void)usleep(1000);
	http_server_drain(sh.server, 10000, on_done, &sh);
	for (int i = 1; i <= CLIENTS; i++)
		(void)pthread_join(threads[i], NULL);
	while (!atomic_load(&sh.drained))
		(void)usleep(1000);
	http_server_free(sh.server);
	bytes_unref(sh.event);
	metrics_free(m);
	(void)puts("ok");
	return 0;
}
