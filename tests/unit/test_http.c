#include "base/mem.h"
#include "http_site.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <criterion/criterion.h>

#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define H "Host: x\r\n"

/* ---- chains ---- */

Test(body, pieces_come_out_in_order_whatever_they_were_made_of)
{
	struct http_body b = { 0 };
	struct http_body more = { 0 };
	struct buf want = { 0 };
	struct bytes *word = bytes_of_str(STR("word"));
	for (int i = 0; i < 1000; i++) {
		http_body_add(&b, word);
		http_body_lit(&b, STR(","));
		http_body_lit(&b, STR(""));
		http_body_copy(&more, STR("xy"));
		http_body_part(&more, word, str_n(word->data + 1, 2));
		buf_adds(&want, "word,");
	}
	for (int i = 0; i < 1000; i++)
		buf_adds(&want, "xyor");
	cr_assert_eq(b.bytes, 5000);
	http_body_move(&b, &more);
	cr_assert_eq(more.bytes, 0);
	struct buf got = { 0 };
	char part[7];
	for (size_t k; (k = http_body_take(&b, part, 1 + got.len % sizeof(part)));) {
		buf_add(&got, part, k);
		if (got.len % 1000 < 3) { /* growing while it shrinks */
			http_body_lit(&b, STR("!"));
			buf_adds(&want, "!");
		}
	}
	cr_assert(str_eq(buf_str(&got), buf_str(&want)));
	cr_assert_eq(b.bytes, 0);
	http_body_add(&b, word);
	http_body_fini(&b);
	cr_assert_eq(atomic_load(&word->refs), 1);
	bytes_unref(word);
	buf_fini(&got);
	buf_fini(&want);
}

/* ---- HTTP/1.1 ---- */

struct exchange {
	const char *request;
	int status;
	const char *body; /* NULL = none */
	bool closes;
};

static const struct exchange exchanges[] = {
	{ "GET /hello HTTP/1.1\r\n" H "\r\n", 200, "hello\n", false },
	{ "\r\n\r\nGET /hello HTTP/1.1\r\n" H "\r\n", 200, "hello\n", false },
	{ "GET /hello HTTP/1.1\r\n" H "Connection: close\r\n\r\n", 200, "hello\n", true },
	{ "GET /hello HTTP/1.0\r\n\r\n", 200, "hello\n", true },
	{ "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "hello\n", false },
	{ "GET /nothing HTTP/1.1\r\n" H "\r\n", 404, "not found\n", false },
	{ "GET /none HTTP/1.1\r\n" H "\r\n", 204, "", false },
	{ "POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbody", 200, "body", false },
	{ "POST /echo HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 200, "", false },
	{ "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n"
	  "3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nx-trailer: ignored\r\n\r\n",
	  200, "abc0123456789", false },
	{ "GET /show?a=b&c=%2F HTTP/1.1\r\nHOST: Example.org:80\r\nX-Mixed:   Value \t "
	  "\r\nX-Empty:\r\n\r\n",
	  200, "GET|/show|a=b&c=%2F|Example.org:80\nhost=Example.org:80\nx-mixed=Value\nx-empty=\n",
	  false },
	{ "GET http://example.org/show?q HTTP/1.1\r\nHost: y\r\n\r\n", 200,
	  "GET|/show|q|y\nhost=y\n", false },
	{ "GET https://example.org HTTP/1.1\r\nHost: y\r\n\r\n", 404, "not found\n", false },
	{ "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", 200, "OPTIONS|*||\nhost=\n", false },
	{ "GET /hello HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200, "hello\n",
	  false },
	{ "GET /later HTTP/1.1\r\n" H "\r\n", 200, "later\n", false },
	{ "GET /list?1000 HTTP/1.1\r\n" H "\r\n", 200, NULL, false },
	{ "GET /early HTTP/1.1\r\n" H "\r\n", 401, "who are you\n", false },
	{ "POST /early HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", 401, "who are you\n", true },
	{ "GET /trailers HTTP/1.1\r\n" H "\r\n", 200, "body", false },
	{ "GET /trailers HTTP/1.1\r\n" H "TE: trailers\r\n\r\n", 200, "bodyx-sum: 4", false },
	{ "GET /trailers HTTP/1.0\r\n\r\n", 200, "body", true },
};

static void check_exchange(struct site *s, const struct exchange *e, bool slowly)
{
	struct client c;
	struct buf head = { 0 };
	struct buf body = { 0 };
	client_open(&c, s, NULL, "");
	size_t n = strlen(e->request);
	for (size_t i = 0; slowly && i < n; i++)
		client_send(&c, e->request + i, 1);
	if (!slowly)
		client_send(&c, e->request, n);
	int status = client_answer(&c, &head, &body, false);
	cr_assert_eq(status, e->status, "%s: %d", e->request, status);
	if (e->body)
		cr_assert_str_eq(buf_cstr(&body), e->body, "%s: %s", e->request, body.p);
	cr_assert_eq(strstr(buf_cstr(&head), "connection: close") != NULL, e->closes, "%s: %s",
		     e->request, head.p);
	cr_assert(strstr(head.p, "\r\ndate: "));
	/* the connection is in step with us still, or closed */
	status = client_ask(&c, "GET /hello HTTP/1.1\r\n" H "\r\n", &body);
	cr_assert_eq(status, e->closes ? 0 : 200, "%s: then %d", e->request, status);
	client_close(&c);
	buf_fini(&head);
	buf_fini(&body);
}

Test(h1, requests_are_answered)
{
	struct site *s = site_new((struct site_options){ 0 });
	int n = (int)(sizeof(exchanges) / sizeof(*exchanges));
	for (int i = 0; i < n; i++) {
		check_exchange(s, &exchanges[i], false);
		check_exchange(s, &exchanges[i], true);
	}
	site_free(s);
}

Test(h1, what_is_pipelined_is_answered_in_order)
{
	struct site *s = site_new((struct site_options){ 0 });
	struct client c;
	struct buf text = { 0 };
	struct buf head = { 0 };
	struct buf body = { 0 };
	enum { ROUNDS = 3000 };
	client_open(&c, s, NULL, "");
	for (int i = 0; i < ROUNDS; i++)
		buf_addf(&text, "POST %s HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n%05d",
			 i % 100 == 7 ? "/later" : "/echo", i);
	/* more than the server reads ahead: it must stop reading and go on */
	cr_assert(text.len > 2 * 65536);
	client_send(&c, text.p, text.len);
	for (int i = 0; i < ROUNDS; i++) {
		char want[16];
		(void)snprintf(want, sizeof(want), "%05d", i);
		cr_assert_eq(client_answer(&c, &head, &body, false), 200, "%d", i);
		cr_assert_str_eq(buf_cstr(&body), i % 100 == 7 ? "later\n" : want);
	}
	client_close(&c);
	site_wait(&s->closed, ROUNDS);
	site_free(s);
	buf_fini(&text);
	buf_fini(&head);
	buf_fini(&body);
}

Test(h1, a_head_request_gets_the_headers_alone)
{
	struct site *s = site_new((struct site_options){ 0 });
	struct client c;
	struct buf head = { 0 };
	struct buf body = { 0 };
	client_open(&c, s, NULL, "");
	for (int i = 0; i < 2; i++) {
		const char *ask = i ? "HEAD /stream HTTP/1.1\r\n" H "\r\n"
				    : "HEAD /list?7 HTTP/1.1\r\n" H "\r\n";
		client_say(&c, ask);
		if (i)
			site_wait(&s->begun, 2);
		if (i)
			site_end_streams(s);
		cr_assert_eq(client_answer(&c, &head, &body, true), 200);
		cr_assert_eq(strstr(buf_cstr(&head), "content-length: 70\r\n") != NULL, i == 0);
	}
	cr_assert_eq(client_ask(&c, "GET /hello HTTP/1.1\r\n" H "\r\n", &body), 200);
	client_close(&c);
	site_free(s);
	buf_fini(&head);
	buf_fini(&body);
}

Test(h1, expect_100_continue_is_answered_before_the_body)
{
	struct site *s = site_new((struct site_options){ .limits.body_bytes_max = 100 });
	struct client c;
	struct buf body = { 0 };
	client_open(&c, s, NULL, "");
	cr_assert_eq(client_ask(&c,
				"POST /echo HTTP/1.1\r\n" H
				"Expect: 100-Continue\r\nContent-Length: 4\r\n\r\n",
				&body),
		     100);
	cr_assert_eq(client_ask(&c, "four", &body), 200);
	cr_assert_str_eq(buf_cstr(&body), "four");
	/* a body that would be refused is not asked for */
	cr_assert_eq(client_ask(&c,
				"POST /echo HTTP/1.1\r\n" H
				"Expect: 100-continue\r\nContent-Length: 101\r\n\r\n",
				&body),
		     413);
	client_close(&c);
	client_open(&c, s, NULL, "");
	cr_assert_eq(client_ask(&c,
				"POST /echo HTTP/1.1\r\n" H
				"Expect: 200-ok\r\nContent-Length: 4\r\n\r\n",
				&body),
		     417);
	client_close(&c);
	site_free(s);
	buf_fini(&body);
}

Test(h1, a_value_cannot_begin_a_header_of_its_own)
{
	struct site *s = site_new((struct site_options){ 0 });
	struct client c;
	struct buf head = { 0 };
	struct buf body = { 0 };
	client_open(&c, s, NULL, "");
	client_say(&c, "GET /inject HTTP/1.1\r\n" H "\r\n");
	cr_assert_eq(client_answer(&c, &head, &body, false), 200);
	cr_assert(strstr(buf_cstr(&head), "x-test: a  x-evil: b\r\n"), "%s", head.p);
	client_close(&c);
	site_free(s);
	buf_fini(&head);
	buf_fini(&body);
}

/* ---- what two parsers might read differently ---- */

struct refused {
	const char *text;
	size_t len;
	int status;
};

#define REFUSED(text, status) \
	{ \
		text, sizeof(text) - 1, status \
	}

static const struct refused refusals[] = {
	REFUSED("GET /hello HTTP/1.1\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\n" H H "\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\nHost : x\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\n" H "X-A : b\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\n" H " X-A: b\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\n" H "X-A: b\r\n\tc\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\n" H "X-A:\r\n b\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\n" H "X-A: b\r\n \r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\n" H "X-A\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\nHost: x/y\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\n" H "\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\n" H "X-A: b\0c\r\n\r\n", 400),
	REFUSED("GET /hello HTTP/1.1\r\n" H "X-A: b\rc\r\n\r\n", 400),
	REFUSED("GET /hel\x01lo HTTP/1.1\r\n" H "\r\n", 400),
	REFUSED("GET /hel\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 400),
	REFUSED("GET /hello#x HTTP/1.1\r\n" H "\r\n", 400),
	REFUSED("GET hello HTTP/1.1\r\n" H "\r\n", 400),
	REFUSED("GET * HTTP/1.1\r\n" H "\r\n", 400),
	REFUSED("GET /hello\r\n\r\n", 505),
	REFUSED("GET /hello HTTP/2.0\r\n" H "\r\n", 505),
	REFUSED("GET /hello HTTP/0.9\r\n" H "\r\n", 505),
	REFUSED("GET /hello HTTP/1.7\r\n" H "\r\n", 400),
	REFUSED("NOSUCH /hello HTTP/1.1\r\n" H "\r\n", 400),
	REFUSED("CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 501),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
		400),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Content-Length: 4, 4\r\n\r\nbody", 400),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Content-Length: +4\r\n\r\nbody", 400),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Content-Length: -4\r\n\r\nbody", 400),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Content-Length: 0x4\r\n\r\nbody", 400),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\nbody",
		400),
	REFUSED("POST /echo HTTP/1.1\r\n" H
		"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		400),
	REFUSED("POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
		400),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
	REFUSED("POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		400),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		501),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		400),
	REFUSED("POST /echo HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
	REFUSED("POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
		400),
	REFUSED("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
		400),
	REFUSED("POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
		400),
	REFUSED("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400), /* TLS on a plain port */
};

static void check_refusal(struct site *s, const struct refused *t, bool slowly)
{
	struct client c;
	struct buf head = { 0 };
	struct buf body = { 0 };
	/* something valid behind it must not be taken for a request */
	static const char behind[] = "GET /hello HTTP/1.1\r\n" H "\r\n";
	client_open(&c, s, NULL, "");
	for (size_t i = 0; slowly && i < t->len; i++)
		client_send(&c, t->text + i, 1);
	if (!slowly)
		client_send(&c, t->text, t->len);
	client_send(&c, behind, sizeof(behind) - 1);
	int status = client_answer(&c, &head, &body, false);
	cr_assert_eq(status, t->status, "%s: %d", t->text, status);
	cr_assert(strstr(buf_cstr(&head), "connection: close\r\n"), "%s", t->text);
	cr_assert(body.len > 0);
	cr_assert_eq(client_answer(&c, &head, &body, false), 0, "%s", t->text);
	client_close(&c);
	buf_fini(&head);
	buf_fini(&body);
}

Test(h1, doubtful_messages_are_refused_and_the_connection_closed)
{
	struct site *s = site_new((struct site_options){ 0 });
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		check_refusal(s, &refusals[i], false);
		check_refusal(s, &refusals[i], true);
	}
	cr_assert_eq(atomic_load(&s->begun), 0, "none of them reached the program");
	site_free(s);
}

/* Cases of llhttp's own test files: a fenced http block, then a log that says what comes of it. */
static void unescape(struct str block, struct buf *out)
{
	struct str line;
	buf_clear(out);
	while (str_split(&block, '\n', &line)) {
		bool joined = false;
		for (size_t i = 0; i < line.len; i++) {
			if (line.p[i] != '\\') {
				buf_addc(out, line.p[i]);
				continue;
			}
			if (i + 1 == line.len) {
				joined = true;
				break;
			}
			char e = line.p[++i];
			if (e == 'x' && i + 2 < line.len) {
				char hex[3] = { line.p[i + 1], line.p[i + 2], 0 };
				buf_addc(out, (char)strtoul(hex, NULL, 16));
				i += 2;
			} else {
				buf_addc(out, e == 'r'   ? '\r'
					      : e == 'n' ? '\n'
					      : e == 't' ? '\t'
					      : e == 'f' ? '\f'
							 : e);
			}
		}
		if (!joined && block.p)
			buf_adds(out, "\r\n");
	}
}

static int check_case(struct site *s, struct str text, struct str log)
{
	struct client c;
	struct buf head = { 0 };
	struct buf body = { 0 };
	bool error =
		str_find_str(log, STR("error code="), 0) >= 0 &&
		str_find_str(log, STR("error code=21"), 0) < 0 && /* a pause that the test made */
		str_find_str(log, STR("error code=22"), 0) < 0 &&
		str_find_str(log, STR("error code=23"), 0) < 0; /* an h2 preface */
	if (!error)
		return 0;
	int last = 0;
	client_open(&c, s, NULL, "");
	client_send(&c, text.p, text.len);
	(void)shutdown(c.fd, SHUT_WR);
	for (int status; (status = client_answer(&c, &head, &body, false)) != 0;)
		last = status;
	cr_assert(last == 0 || last >= 400, "%d for\n%.*s", last, STR_ARG(text));
	client_close(&c);
	buf_fini(&head);
	buf_fini(&body);
	return 1;
}

static int check_file(struct site *s, const char *path)
{
	struct buf file = { 0 };
	struct buf text = { 0 };
	struct error err;
	int n = 0;
	cr_assert_eq(file_read(path, 1 << 20, &file, &err), 0);
	struct str all = buf_str(&file);
	ptrdiff_t at = 0;
	while ((at = str_find_str(all, STR("```http\n"), (size_t)at)) >= 0) {
		ptrdiff_t end = str_find_str(all, STR("\n```"), (size_t)at + 8);
		ptrdiff_t log = end < 0 ? -1 : str_find_str(all, STR("```log\n"), (size_t)end);
		ptrdiff_t log_end = log < 0 ? -1 : str_find_str(all, STR("\n```"), (size_t)log + 7);
		if (log_end < 0)
			break;
		unescape(str_sub(all, (size_t)at + 8, (size_t)end), &text);
		n += check_case(s, buf_str(&text), str_sub(all, (size_t)log, (size_t)log_end));
		at = log_end;
	}
	buf_fini(&file);
	buf_fini(&text);
	return n;
}

Test(h1, public_cases_of_broken_messages_are_never_accepted, .timeout = 60)
{
	const char *data = getenv("RCTL_TEST_DATA");
	const char *src = getenv("RCTL_SRC");
	char dir[512];
	(void)snprintf(dir, sizeof(dir), "%s%s/llhttp/test/request",
		       data  ? data
		       : src ? src
			     : ".",
		       data ? "" : "/../shared/data");
	DIR *d = opendir(dir);
	if (!d) {
		(void)printf("skipped: %s is not there\n", dir);
		return;
	}
	struct site *s = site_new((struct site_options){ 0 });
	int n = 0;
	for (struct dirent *e; (e = readdir(d));) {
		char path[1024];
		if (!str_ends(str_of(e->d_name), STR(".md")) || strstr(e->d_name, "lenient"))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		n += check_file(s, path);
	}
	(void)closedir(d);
	cr_assert(n > 30, "%d", n);
	site_free(s);
}

/* ---- limits ---- */

Test(limits, a_body_over_the_limit_is_413_and_the_answer_arrives)
{
	struct site *s = site_new((struct site_options){ .limits.body_bytes_max = 100000 });
	struct buf text = { 0 };
	struct buf body = { 0 };
	struct client c;
	char chunk[4096];
	memset(chunk, 'c', sizeof(chunk));
	for (int chunked = 0; chunked < 2; chunked++) {
		buf_clear(&text);
		buf_adds(&text, "POST /echo HTTP/1.1\r\n" H);
		buf_adds(&text, chunked ? "Transfer-Encoding: chunked\r\n\r\n"
					: "Content-Length: 4096000\r\n\r\n");
		for (int i = 0; i < 1000; i++) {
			if (chunked)
				buf_adds(&text, "1000\r\n");
			buf_add(&text, chunk, sizeof(chunk));
			if (chunked)
				buf_adds(&text, "\r\n");
		}
		client_open(&c, s, NULL, "");
		/* all of it is sent before the answer is read */
		client_send(&c, text.p, text.len);
		struct buf head = { 0 };
		cr_assert_eq(client_answer(&c, &head, &body, false), 413);
		cr_assert_str_eq(buf_cstr(&body), "the body is too large\n");
		cr_assert_eq(client_read(&c), 0);
		buf_fini(&head);
		client_close(&c);
	}
	cr_assert_eq(atomic_load(&s->begun), 0);
	site_free(s);
	buf_fini(&text);
	buf_fini(&body);
}

Test(limits, bodies_held_at_once_are_bounded)
{
	struct site *s = site_new((struct site_options){ .limits.bodies_bytes_max = 150000 });
	struct buf body = { 0 };
	struct client c[2];
	static char half[100000];
	memset(half, 'h', sizeof(half));
	for (int i = 0; i < 2; i++) {
		client_open(&c[i], s, NULL, "");
		const char *head = "POST /echo HTTP/1.1\r\n" H "Content-Length: 100001\r\n\r\n";
		client_say(&c[i], head);
		client_send(&c[i], half, sizeof(half));
		if (i == 0) /* its bytes are there before the other's come */
			(void)poll(NULL, 0, 300);
	}
	struct buf head = { 0 };
	cr_assert_eq(client_answer(&c[1], &head, &body, false), 503);
	cr_assert(strstr(buf_cstr(&head), "retry-after: 1\r\n"));
	cr_assert_eq(client_ask(&c[0], "h", &body), 200);
	cr_assert_eq(body.len, 100001);
	for (int i = 0; i < 2; i++)
		client_close(&c[i]);
	site_free(s);
	buf_fini(&body);
	buf_fini(&head);
}

Test(limits, headers_over_the_limit_are_431)
{
	struct site *s = site_new(
		(struct site_options){ .limits = { .header_bytes_max = 5000, .headers_max = 20 } });
	struct buf text = { 0 };
	struct buf body = { 0 };
	for (int kind = 0; kind < 4; kind++) {
		struct client c;
		buf_clear(&text);
		buf_adds(&text, "GET /hello");
		for (int i = 0; i < 1000 && kind == 0; i++)
			buf_adds(&text, "/long");
		buf_adds(&text, " HTTP/1.1\r\n" H);
		for (int i = 0; i < 25 && kind == 1; i++)
			buf_adds(&text, "a: b\r\n");
		for (int i = 0; i < 1000 && kind == 2; i++)
			buf_adds(&text, i ? "xxxxx" : "name: ");
		for (int i = 0; i < 1000 && kind == 3; i++)
			buf_adds(&text, "xxxxx");
		client_open(&c, s, NULL, "");
		cr_assert_eq(client_ask(&c, buf_cstr(&text), &body), 431, "%d", kind);
		cr_assert_eq(client_read(&c), 0);
		client_close(&c);
	}
	site_free(s);
	buf_fini(&text);
	buf_fini(&body);
}

Test(limits, slow_clients_are_told_or_closed)
{
	struct site *s = site_new((struct site_options){ .limits = { .header_timeout_ms = 100,
								     .body_timeout_ms = 100,
								     .idle_timeout_ms = 100 } });
	struct buf body = { 0 };
	struct client c;
	client_open(&c, s, NULL, "");
	cr_assert_eq(client_ask(&c, "GET /hello HTTP/1.1\r\nHo", &body), 408);
	cr_assert_eq(client_read(&c), 0);
	client_close(&c);
	client_open(&c, s, NULL, "");
	cr_assert_eq(
		client_ask(&c, "POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbo", &body),
		408);
	cr_assert_eq(client_read(&c), 0);
	client_close(&c);
	client_open(&c, s, NULL, "");
	cr_assert_eq(client_read(&c), 0);
	client_close(&c);
	client_open(&c, s, NULL, "");
	cr_assert_eq(client_ask(&c, "GET /hello HTTP/1.1\r\n" H "\r\n", &body), 200);
	cr_assert_eq(client_read(&c), 0);
	client_close(&c);
	/* half of what might become an h2 preface */
	client_open(&c, s, NULL, "");
	client_say(&c, "PR");
	cr_assert_eq(client_read(&c), 0);
	client_close(&c);
	site_free(s);
	buf_fini(&body);
}

Test(limits, a_reader_that_does_not_read_is_cut)
{
	struct site *s = site_new((struct site_options){ .limits = { .queue_bytes_max = 300000 } });
	struct client c;
	client_open(&c, s, NULL, "");
	client_say(&c, "GET /flood HTTP/1.1\r\n" H "\r\n");
	site_wait(&s->closed, 1);
	client_close(&c);
	site_free(s);
}

Test(limits, a_reader_that_stalls_in_a_long_answer_is_cut)
{
	struct site *s = site_new((struct site_options){ .limits = { .write_timeout_ms = 200 } });
	struct client c;
	const char *ask = "GET /list?3000000 HTTP/1.1\r\n" H "\r\n";
	client_open(&c, s, NULL, "");
	client_say(&c, ask);
	site_wait(&s->closed, 1);
	client_close(&c);
	site_free(s);
}

Test(limits, connections_over_the_limit_are_closed_at_once)
{
	struct site *s = site_new((struct site_options){ .limits.connections_max = 2 });
	struct client c[3];
	struct buf body = { 0 };
	for (int i = 0; i < 3; i++) {
		client_open(&c[i], s, NULL, "");
		int status = client_ask(&c[i], "GET /hello HTTP/1.1\r\n" H "\r\n", &body);
		cr_assert_eq(status, i < 2 ? 200 : 0);
	}
	cr_assert_eq(http_server_connections(s->server), 2);
	client_close(&c[0]);
	for (int i = 0; i < 20000 && http_server_connections(s->server) > 1; i++)
		(void)poll(NULL, 0, 1);
	client_open(&c[0], s, NULL, "");
	cr_assert_eq(client_ask(&c[0], "GET /hello HTTP/1.1\r\n" H "\r\n", &body), 200);
	for (int i = 0; i < 3; i++)
		client_close(&c[i]);
	site_free(s);
	buf_fini(&body);
}

/* ---- streams ---- */

Test(streams, every_watcher_sees_every_event_until_the_end)
{
	struct site *s = site_new((struct site_options){ .threads = 2 });
	enum { WATCHERS = 40 };
	struct client c[WATCHERS];
	struct buf head = { 0 };
	struct buf body = { 0 };
	for (int i = 0; i < WATCHERS; i++) {
		client_open(&c[i], s, NULL, "");
		client_say(&c[i], "GET /stream HTTP/1.1\r\n" H "\r\n");
	}
	site_wait(&s->begun, WATCHERS);
	cr_assert_eq(http_server_requests(s->server), WATCHERS);
	for (int i = 0; i < 100; i++)
		site_emit(s, "event\n");
	site_end_streams(s);
	for (int i = 0; i < WATCHERS; i++) {
		cr_assert_eq(client_answer(&c[i], &head, &body, false), 200);
		cr_assert(strstr(buf_cstr(&head), "content-type: application/json\r\n"));
		cr_assert_eq(body.len, 4 + 100 * 6);
		cr_assert(str_starts(buf_str(&body), STR("one\nevent\nevent\n")));
		cr_assert_eq(client_ask(&c[i], "GET /hello HTTP/1.1\r\n" H "\r\n", &body), 200);
		client_close(&c[i]);
	}
	site_free(s);
	buf_fini(&head);
	buf_fini(&body);
}

Test(streams, on_drained_paces_a_large_stream)
{
	struct site *s = site_new((struct site_options){ .limits.queue_bytes_max = 65536 });
	struct buf body = { 0 };
	struct client c;
	client_open(&c, s, NULL, "");
	cr_assert_eq(client_ask(&c, "GET /pump?8388608 HTTP/1.1\r\n" H "\r\n", &body), 200);
	cr_assert_eq(body.len, 8388608);
	cr_assert_geq(atomic_load(&s->drained), 128);
	client_close(&c);
	site_free(s);
	buf_fini(&body);
}

Test(streams, a_client_that_leaves_is_noticed)
{
	struct site *s = site_new((struct site_options){ 0 });
	struct buf body = { 0 };
	struct client c;
	static const char *const asks[] = { "GET /stream HTTP/1.1\r\n" H "\r\n",
					    "GET /later HTTP/1.1\r\n" H "\r\n" };
	for (int i = 0; i < 2; i++) {
		client_open(&c, s, NULL, "");
		client_say(&c, asks[i]);
		if (i == 0)
			cr_assert(client_read(&c) > 0);
		client_close(&c);
		site_wait(&s->closed, i + 1);
	}
	/* one that only stops sending still gets its answer */
	client_open(&c, s, NULL, "");
	client_send(&c, asks[1], strlen(asks[1]));
	(void)shutdown(c.fd, SHUT_WR);
	struct buf head = { 0 };
	cr_assert_eq(client_answer(&c, &head, &body, false), 200);
	cr_assert_eq(client_read(&c), 0);
	client_close(&c);
	/* all its answers, and nothing for what is incomplete */
	client_open(&c, s, NULL, "");
	for (int i = 0; i < 2000; i++)
		client_say(&c, i % 500 ? "GET /hello HTTP/1.1\r\nHost: "
					 "a.rather.long.name.example.org\r\n\r\n"
				       : asks[1]);
	client_say(&c, "GET /hello HTTP/1.1\r\nHo");
	(void)shutdown(c.fd, SHUT_WR);
	for (int i = 0; i < 2000; i++)
		cr_assert_eq(client_answer(&c, &head, &body, false), 200, "%d", i);
	cr_assert_eq(client_read(&c), 0);
	client_close(&c);
	site_free(s);
	buf_fini(&head);
	buf_fini(&body);
}

/* ---- TLS ---- */

Test(tls, the_program_knows_who_asks)
{
	struct site *s = site_new((struct site_options){ .tls = true });
	struct buf body = { 0 };
	struct error err = { 0 };
	struct client c;
	static const char *const who[][2] = { { "alice", "alice system:masters ops" },
					      { "", "nobody" } };
	for (int i = 0; i < 2; i++) {
		client_open(&c, s, who[i][0], "http/1.1");
		cr_assert_eq(client_handshake(&c, &err), 0, "%s", err.msg);
		for (int k = 0; k < 3; k++) {
			cr_assert_eq(client_ask(&c, "GET /who HTTP/1.1\r\n" H "\r\n", &body), 200);
			cr_assert_str_eq(buf_cstr(&body), who[i][1]);
		}
		cr_assert_eq(client_ask(&c, "GET /list?300000 HTTP/1.1\r\n" H "\r\n", &body), 200);
		cr_assert_eq(body.len, 3000000);
		client_close(&c);
	}
	site_free(s);
	buf_fini(&body);
}

static void expect_tls_error(struct site *s, const char *text)
{
	bool same = false;
	for (int i = 0; i < 20000 && !same; i++) {
		(void)pthread_mutex_lock(&s->lock);
		same = strcmp(s->tls_error, text) == 0;
		(void)pthread_mutex_unlock(&s->lock);
		if (!same)
			(void)poll(NULL, 0, 1);
	}
	cr_assert_str_eq(s->tls_error, text);
}

Test(tls, bad_certificates_are_refused_with_an_alert_that_arrives)
{
	struct site *s = site_new((struct site_options){ .tls = true });
	static const char *const cases[][3] = {
		{ "late", "certificate has expired",
		  "the peer refused our certificate: it has expired" },
		{ "stranger", "certificate is signed by unknown authority",
		  "the peer refused our certificate: unknown authority" },
	};
	for (int i = 0; i < 2; i++) {
		struct client c;
		struct error err = { 0 };
		client_open(&c, s, cases[i][0], "");
		int rc = client_handshake(&c, &err);
		if (rc == 0) { /* TLS 1.3: the server's view comes later */
			char b;
			client_say(&c, "GET /who HTTP/1.1\r\n" H "\r\n");
			ssize_t k = TLS_WANT_READ;
			while (k == TLS_WANT_READ) {
				struct pollfd p = { .fd = c.fd, .events = POLLIN };
				cr_assert_eq(poll(&p, 1, 20000), 1);
				k = tls_read(c.tls, &b, 1, &err);
			}
			cr_assert_eq(k, ERR_UNAUTHORIZED);
		}
		cr_assert_str_eq(err.msg, cases[i][2]);
		expect_tls_error(s, cases[i][1]);
		client_close(&c);
	}
	cr_assert_eq(atomic_load(&s->begun), 0);
	site_free(s);
}

Test(tls, a_handshake_that_never_comes_is_closed)
{
	struct site *s =
		site_new((struct site_options){ .tls = true, .limits.handshake_timeout_ms = 100 });
	struct client c;
	client_open(&c, s, NULL, "");
	cr_assert_eq(client_read(&c), 0);
	client_close(&c);
	client_open(&c, s, NULL, ""); /* plain text on the TLS port */
	client_say(&c, "GET / HTTP/1.1\r\n\r\n");
	client_read_all(&c);
	expect_tls_error(s, "plain HTTP was sent to a TLS port");
	client_close(&c);
	site_free(s);
}

/* ---- draining ---- */

Test(drain, streams_end_cleanly_idle_ones_close_and_running_ones_finish)
{
	struct site *s = site_new((struct site_options){ .threads = 2 });
	struct client c[4];
	struct buf head = { 0 };
	struct buf body = { 0 };
	for (int i = 0; i < 4; i++)
		client_open(&c[i], s, NULL, "");
	client_say(&c[0], "GET /stream HTTP/1.1\r\n" H "\r\n");
	cr_assert_eq(client_ask(&c[1], "GET /hello HTTP/1.1\r\n" H "\r\n", &body),
		     200); /* idle from here on */
	const char *part = "POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbo";
	client_say(&c[2], part);
	site_wait(&s->begun, 2);
	(void)poll(NULL, 0, 50); /* the third one's headers are in */
	site_drain(s, 20000);
	cr_assert_eq(client_answer(&c[0], &head, &body, false), 200);
	cr_assert_str_eq(buf_cstr(&body), "one\n");
	cr_assert_eq(atomic_load(&s->stopped), 1);
	cr_assert_eq(client_read(&c[0]), 0);
	cr_assert_eq(client_read(&c[1]), 0);
	client_say(&c[2], "dy");
	cr_assert_eq(client_answer(&c[2], &head, &body, false), 200);
	cr_assert(strstr(buf_cstr(&head), "connection: close\r\n"));
	cr_assert_str_eq(buf_cstr(&body), "body");
	for (int i = 0; i < 4; i++)
		client_close(&c[i]);
	for (int i = 0; i < 20000 && !atomic_load(&s->drain_done); i++)
		(void)poll(NULL, 0, 1);
	cr_assert(atomic_load(&s->drain_done));
	cr_assert_eq(http_server_connections(s->server), 0);
	site_free(s);
	buf_fini(&head);
	buf_fini(&body);
}

Test(drain, what_does_not_end_is_cut_after_the_grace)
{
	struct site *s = site_new((struct site_options){ 0 });
	struct client c;
	client_open(&c, s, NULL, "");
	const char *part = "POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbo";
	client_say(&c, part);
	(void)poll(NULL, 0, 50);
	site_drain(s, 100);
	cr_assert(client_read(&c) <= 0);
	for (int i = 0; i < 20000 && !atomic_load(&s->drain_done); i++)
		(void)poll(NULL, 0, 1);
	cr_assert(atomic_load(&s->drain_done));
	client_close(&c);
	site_free(s);
}

/* ---- loops of the program's own ---- */

static void say_hello(struct http_request *r)
{
	http_reply_text(r, 200, "text/plain", STR("hello\n"));
}

static void count_loop(struct http_loop *l)
{
	size_t *n = http_server_user(l->server);
	l->user = n;
	(*n)++;
}

Test(server, runs_on_given_loops_and_leaves_them_usable)
{
	struct loop *loops[2];
	struct error err = { 0 };
	struct http_server *srv = NULL;
	size_t told = 0;
	for (int i = 0; i < 2; i++)
		cr_assert_eq(loop_new(&loops[i], &err), 0);
	struct str listen[] = { STR("127.0.0.1:0"), STR("localhost:0"), STR(":0") };
	struct http_server_config cfg = { .listen = listen,
					  .listen_len = 3,
					  .loops = loops,
					  .loops_len = 2,
					  .on = { .on_request = say_hello, .on_loop = count_loop },
					  .user = &told };
	cr_assert_eq(http_server_start(&cfg, &srv, &err), 0, "%s", err.msg);
	cr_assert_eq(told, 2);
	cr_assert(http_server_loop(srv, 1)->user == &told && http_server_loop(srv, 1)->index == 1);
	struct site s = { .server = srv };
	struct client c[3];
	for (size_t i = 0; i < 3; i++) {
		s.port = http_server_port(srv, i);
		client_open(&c[i], &s, NULL, "");
		client_say(&c[i], "GET / HTTP/1.1\r\n" H "\r\n");
	}
	/* the last connection is accepted and on its way to the second loop when the server goes */
	for (int i = 0; i < 20; i++)
		loop_turn(loops[0], 5);
	cr_assert_eq(http_server_connections(srv), 3);
	http_server_free(srv);
	for (int i = 0; i < 2; i++) {
		loop_turn(loops[i], 0);
		loop_free(loops[i]);
	}
	for (int i = 0; i < 3; i++)
		client_close(&c[i]);
}

Test(server, bad_addresses_are_errors)
{
	static const char *const bad[] = {
		"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "::1:80", "nowhere.invalid:0"
	};
	struct error err = { 0 };
	struct http_server *srv = NULL;
	struct http_server_config cfg = { .listen_len = 1,
					  .threads = 1,
					  .on = { .on_request = say_hello } };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct str listen = str_of(bad[i]);
		cfg.listen = &listen;
		cr_assert_eq(http_server_start(&cfg, &srv, &err), ERR_INVALID, "%s", bad[i]);
	}
	struct site *s = site_new((struct site_options){ 0 });
	char taken[32];
	(void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", s->port);
	struct str listen = str_of(taken);
	cfg.listen = &listen;
	cr_assert_eq(http_server_start(&cfg, &srv, &err), ERR_UNAVAILABLE);
	cr_assert(strstr(err.msg, taken) && strstr(err.msg, "in use"), "%s", err.msg);
	site_free(s);
}
