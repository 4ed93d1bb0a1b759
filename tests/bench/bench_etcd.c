/*
 * bench_etcd ADDRESS [CLIENTS [SECONDS]] - durable puts of 1 KiB into etcd, the rival of the
 * store, over its own protocol (etcdserverpb.KV/Put of api/etcdserverpb/rpc.proto).
 *
 * A connection a client, one put in flight on each.  Prints one line as kload does.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "grpc/client.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { VALUE = 1024, CLIENTS_MAX = 1024, SAMPLES = 1 << 21 };

struct client {
	struct bench *b;
	struct rpc_channel *channel;
	uint64_t since_us;
};

struct bench {
	struct loop *loop;
	const char *address;
	struct client client[CLIENTS_MAX];
	unsigned clients, connected, busy;
	bool ended, failed;
	uint64_t key;
	struct buf message;
	uint32_t *sample;
	size_t samples;
	struct loop_timer end;
	uint64_t from_us, to_us;
};

static void add_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_addc(b, (char)(v | 0x80));
	buf_addc(b, (char)v);
}

/* PutRequest: key = 1, value = 2, both bytes. */
static void make_put(struct bench *b)
{
	char key[64];
	int n = snprintf(key, sizeof(key), "/registry/configmaps/default/bench-%010llu",
			 (unsigned long long)b->key++);
	buf_clear(&b->message);
	buf_addc(&b->message, 0x0a);
	add_varint(&b->message, (uint64_t)n);
	buf_add(&b->message, key, (size_t)n);
	buf_addc(&b->message, 0x12);
	add_varint(&b->message, VALUE);
	buf_reserve(&b->message, VALUE);
	for (int i = 0; i < VALUE; i++)
		buf_addc(&b->message, (char)('A' + (b->key * 7919 + (uint64_t)i * 31) % 57));
}

static void put(struct client *c);

static void fail(struct bench *b, const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_etcd: %s: %s\n", what, why);
	b->failed = true;
	loop_stop(b->loop);
}

static void on_closed(void *arg, struct rpc_call *call, enum rpc_status status, const char *text)
{
	(void)call;
	struct client *c = arg;
	struct bench *b = c->b;
	uint64_t now = clock_mono_us();
	b->busy--;
	if (status != RPC_OK) {
		fail(b, "put", text);
		return;
	}
	if (!b->ended && b->samples < SAMPLES)
		b->sample[b->samples++] = (uint32_t)(now - c->since_us);
	b->to_us = now;
	if (!b->ended)
		put(c);
	else if (b->busy == 0)
		loop_stop(b->loop);
}

static void on_message(void *arg, struct rpc_call *call, struct str msg)
{
	(void)arg;
	(void)call;
	(void)msg;
}

static void put(struct client *c)
{
	struct rpc_call_options opt = {
		.path = "/etcdserverpb.KV/Put", .message = on_message, .closed = on_closed, .arg = c
	};
	struct rpc_call *call = rpc_call_start(c->channel, &opt);
	if (!call) {
		fail(c->b, "put", "the channel is lost");
		return;
	}
	make_put(c->b);
	c->since_us = clock_mono_us();
	c->b->busy++;
	(void)rpc_call_send(call, buf_str(&c->b->message));
	rpc_call_half_close(call);
}

static void on_connected(void *arg)
{
	struct client *c = arg;
	struct bench *b = c->b;
	if (++b->connected < b->clients)
		return;
	b->from_us = clock_mono_us();
	for (unsigned i = 0; i < b->clients; i++)
		put(&b->client[i]);
}

static void on_lost(void *arg, const struct error *err)
{
	struct client *c = arg;
	fail(c->b, c->b->address, err->msg);
}

static void on_end(struct loop_timer *t)
{
	container_of(t, struct bench, end)->ended = true;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void report(struct bench *b)
{
	struct rusage use;
	(void)getrusage(RUSAGE_SELF, &use);
	double seconds = (double)(b->to_us - b->from_us) / 1e6;
	qsort(b->sample, b->samples, sizeof(*b->sample), compare);
	double p99 = b->samples ? b->sample[(b->samples - 1) * 99 / 100] / 1000.0 : 0;
	(void)printf("{\"op\":\"put\",\"c\":%u,\"ok\":%zu,\"seconds\":%.3f,\"per_s\":%.1f,"
		     "\"p99_ms\":%.3f,\"client_cpu_s\":%.2f}\n",
		     b->clients, b->samples, seconds, (double)b->samples / seconds, p99,
		     (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
			     (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct error err = { 0 };
	uint64_t clients = 64;
	uint64_t seconds = 5;
	if (argc < 2 || (argc > 2 && !str_to_u64(str_of(argv[2]), &clients)) ||
	    (argc > 3 && !str_to_u64(str_of(argv[3]), &seconds)) || clients == 0 ||
	    clients > CLIENTS_MAX) {
		(void)fputs("usage: bench_etcd ADDRESS [CLIENTS [SECONDS]]\n", stderr);
		return 2;
	}
	b.address = argv[1];
	b.clients = (unsigned)clients;
	b.sample = mem_new(uint32_t, SAMPLES);
	b.end.fn = on_end;
	if (loop_new(&b.loop, &err) < 0) {
		(void)fprintf(stderr, "bench_etcd: %s\n", err.msg);
		return 1;
	}
	for (unsigned i = 0; i < b.clients && !b.failed; i++) {
		struct client *c = &b.client[i];
		struct rpc_channel_options opt = {
			.address = b.address, .connected = on_connected, .lost = on_lost, .arg = c
		};
		c->b = &b;
		if (rpc_channel_open(b.loop, &opt, &c->channel, &err) < 0)
			fail(&b, b.address, err.msg);
	}
	loop_timer_set(b.loop, &b.end, seconds * 1000);
	loop_run(b.loop);
	if (!b.failed)
		report(&b);
	for (unsigned i = 0; i < b.clients; i++)
		(void)rpc_channel_close(b.client[i].channel);
	(void)loop_free(b.loop);
	buf_fini(&b.message);
	mem_free(b.sample);
	return b.failed;
}
