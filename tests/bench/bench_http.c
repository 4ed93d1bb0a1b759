/*
 * The HTTP server alone, for measuring by hand with h2load, wrk or curl:
 *
 *   bench_http plain|tls [PORT [THREADS]]
 *   h2load --h1 -n 200000 -c 64 https://127.0.0.1:PORT/kib
 *   h2load -n 200000 -c 64 -m 10 https://127.0.0.1:PORT/kib
 *
 * /kib answers 1 KiB, /list 5,000 pieces of 1 KiB, /echo the length of the body.  Ends by SIGINT and prints
 * what a request cost.
 */
#include "base/mem.h"
#include "http/server.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LIST_PIECES = 5000, DAY = 86400 };

struct bench {
	struct bytes *kib;
	_Atomic uint64_t answered;
};

static void answer(struct http_request *r)
{
	struct bench *b = http_server_user(r->loop->server);
	struct http_header type = { STR("content-type"), STR("application/json") };
	atomic_fetch_add_explicit(&b->answered, 1, memory_order_relaxed);
	if (str_is(r->path, "/list")) {
		struct http_body body = { 0 };
		for (int i = 0; i < LIST_PIECES; i++) {
			http_body_add(&body, b->kib);
			http_body_lit(&body, STR(","));
		}
		http_reply_body(r, 200, &type, 1, &body);
	} else if (str_is(r->path, "/echo")) {
		char text[32];
		(void)snprintf(text, sizeof(text), "%zu\n", r->body.len);
		http_reply_text(r, 200, "text/plain", str_of(text));
	} else {
		http_reply_bytes(r, 200, &type, 1, b->kib);
	}
}

static int make_certificates(const char *dir, char cert[128], char key[128], struct error *err)
{
	struct pki_pair ca = { 0 };
	struct pki_pair own = { 0 };
	struct str names[] = { STR("localhost"), STR("127.0.0.1") };
	int64_t now = clock_unix_ms() / 1000;
	struct pki_request req = { .common_name = STR("bench"),
				   .names = names,
				   .names_len = 2,
				   .use = PKI_SERVER,
				   .not_before = now - DAY,
				   .not_after = now + DAY };
	(void)snprintf(cert, 128, "%s/cert.pem", dir);
	(void)snprintf(key, 128, "%s/key.pem", dir);
	int rc = pki_make_ca(STR("bench-ca"), now - DAY, now + DAY, &ca, err);
	if (rc == 0)
		rc = pki_issue(buf_str(&ca.cert), buf_str(&ca.key), &req, &own, err);
	if (rc == 0)
		rc = file_write_atomic(cert, buf_str(&own.cert), 0600, err);
	if (rc == 0)
		rc = file_write_atomic(key, buf_str(&own.key), 0600, err);
	pki_pair_fini(&ca);
	pki_pair_fini(&own);
	return rc;
}

static int start(int argc, char **argv, struct bench *b, struct http_server **ret,
		 struct error *err)
{
	char dir[] = "/tmp/bench_http.XXXXXX";
	char cert[128];
	char key[128];
	char address[64];
	uint64_t threads = 1;
	struct tls_context *tls = NULL;
	int rc = 0;
	(void)snprintf(address, sizeof(address), "127.0.0.1:%s", argc > 2 ? argv[2] : "0");
	if (argc > 3 && (!str_to_u64(str_of(argv[3]), &threads) || threads == 0))
		return error_set(err, ERR_INVALID, "THREADS is a number from 1");
	if (str_is(str_of(argv[1]), "tls")) {
		if (!mkdtemp(dir))
			return error_set(err, ERR_INTERNAL, "mkdtemp");
		rc = make_certificates(dir, cert, key, err);
		struct tls_files files = { .cert_file = cert, .key_file = key };
		if (rc == 0)
			rc = tls_server_new(&files, "h2,http/1.1", &tls, err);
		int removed = file_remove_tree(dir, err);
		rc = rc == 0 ? removed : rc;
	}
	if (rc < 0)
		return rc;
	struct str listen = str_of(address);
	struct http_server_config cfg = { .listen = &listen,
					  .listen_len = 1,
					  .threads = threads,
					  .tls = tls,
					  .on = { .on_request = answer },
					  .user = b };
	return http_server_start(&cfg, ret, err);
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct http_server *s = NULL;
	struct error err = { 0 };
	sigset_t stop;
	int signo = 0;
	if (argc < 2) {
		(void)fputs("usage: bench_http plain|tls [PORT [THREADS]]\n", stderr);
		return 2;
	}
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGINT);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &stop, NULL);
	b.kib = bytes_new(NULL, 1024);
	memset(b.kib->data, 'k', 1024);
	if (start(argc, argv, &b, &s, &err) < 0) {
		(void)fprintf(stderr, "bench_http: %s\n", err.msg);
		return 1;
	}
	(void)printf("port %u\n", http_server_port(s, 0));
	(void)fflush(stdout);
	(void)sigwait(&stop, &signo);
	struct rusage use;
	(void)getrusage(RUSAGE_SELF, &use);
	double us = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
		    (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
	uint64_t n = atomic_load(&b.answered);
	(void)printf("%llu requests, %.2f us of CPU each, %ld KiB resident at most\n",
		     (unsigned long long)n, n ? us / (double)n : 0, use.ru_maxrss);
	http_server_free(s);
	bytes_unref(b.kib);
	return 0;
}
