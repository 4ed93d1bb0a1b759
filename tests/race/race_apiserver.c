/*
 * Callers and watchers on several loops of one server in memory, for ThreadSanitizer: writes that lose races,
 * definitions that come and go, namespaces that are emptied, and a stop in the middle of it all.
 */
#include "apiserver/apiserver.h"
#include "base/mem.h"
#include "sys/loop.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { CALLERS = 3, CALLS = 400, ROWS = 40 };

struct caller {
	struct apiserver *s;
	struct loop *loop;
	pthread_t thread;
	struct apiserver_sub *sub;
	struct auth_user user;
	int number, sent;
	int64_t rev; /* of the last batch: they must come in order */
	uint64_t events;
	unsigned status[6]; /* answers by class */
};

static void send_next(struct caller *c);

static void answered(void *arg, int status, struct str reply)
{
	(void)reply;
	struct caller *c = arg;
	c->status[status / 100 % 6]++;
	if (c->sent < CALLS)
		send_next(c);
	else
		loop_stop(c->loop);
}

static const char crd[] = "{\"apiVersion\":\"apiextensions.k8s.io/"
			  "v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":{\"name\":"
			  "\"things.example.com\"},\"spec\":{\"group\":\"example.com\",\"scope\":"
			  "\"Namespaced\",\"names\":{\"plural\":\"things\","
			  "\"singular\":\"thing\",\"kind\":\"Thing\"},\"versions\":[{\"name\":"
			  "\"v1\",\"served\":true,\"storage\":true,\"schema\":"
			  "{\"openAPIV3Schema\":{\"type\":\"object\",\"x-kubernetes-preserve-"
			  "unknown-fields\":true}}}]}}";

#define CMS  "/api/v1/namespaces/default/configmaps"
#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

static void send_next(struct caller *c)
{
	static const struct {
		const char *method, *path, *type, *body;
	} calls[] = {
		{ "POST", CMS, "application/json", "{\"metadata\":{\"name\":\"shared\"}}" },
		{ "PATCH", CMS "/shared", "application/merge-patch+json",
		  "{\"data\":{\"k\":\"a\"}}" },
		{ "PATCH", CMS "/shared", "application/merge-patch+json",
		  "{\"data\":{\"k\":\"b\"}}" },
		{ "POST", CRDS, "application/json", crd },
		{ "POST", "/apis/example.com/v1/namespaces/default/things", "application/json",
		  "{\"metadata\":{\"generateName\":\"t-\"}}" },
		{ "GET", "/api/v1/configmaps?limit=5", "", "" },
		{ "POST", "/api/v1/namespaces", "application/json",
		  "{\"metadata\":{\"name\":\"short\"}}" },
		{ "POST", "/api/v1/namespaces/short/configmaps", "application/json",
		  "{\"metadata\":{\"generateName\":\"x-\"}}" },
		{ "DELETE", "/api/v1/namespaces/short", "", "" },
		{ "PATCH", CMS "/applied?fieldManager=m&force=true", "application/apply-patch+yaml",
		  "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"data\":{\"x\":\"y\"}}" },
		{ "DELETE", CMS "/shared", "", "" },
		{ "GET", "/apis", "", "" },
		{ "GET", "/openapi/v3/apis/example.com/v1", "", "" },
		{ "DELETE", CRDS "/things.example.com", "", "" },
		{ "POST", CMS, "application/json",
		  "{\"metadata\":{\"generateName\":\"g-\",\"labels\":{\"a\":\"b\"}}}" },
		{ "DELETE", CMS "?labelSelector=a", "", "" },
	};
	size_t n = sizeof(calls) / sizeof(*calls);
	size_t i = (size_t)(c->sent++ * (c->number + 1) + c->number) % n;
	struct apiserver_call call = { .method = str_of(calls[i].method),
				       .path = str_of(calls[i].path),
				       .content_type = str_of(calls[i].type),
				       .body = str_of(calls[i].body),
				       .user = &c->user };
	apiserver_call(c->s, c->loop, &call, answered, c);
}

static void on_batch(void *arg, struct watch_event *const *ev, size_t n, int64_t rev)
{
	struct caller *c = arg;
	assert(rev > c->rev);
	for (size_t i = 0; i < n; i++) {
		assert(ev[i]->rev > c->rev && ev[i]->rev <= rev);
		struct bytes *line = watch_event_line(ev[i], ev[i]->type);
		assert(line->len > 0);
		bytes_unref(line);
	}
	c->rev = rev;
	c->events += n;
}

static void *run(void *arg)
{
	struct caller *c = arg;
	struct watch_snap *snap = NULL;
	c->sub = apiserver_subscribe(c->s, c->loop, on_batch, c, &snap);
	c->rev = watch_snap_rev(snap);
	watch_snap_unref(snap);
	send_next(c);
	loop_run(c->loop);
	apiserver_unsubscribe(c->sub);
	return NULL;
}

int main(void)
{
	static struct apiserver_config cfg;
	struct setting rows[ROWS];
	size_t n = apiserver_settings(&cfg, rows, ROWS);
	struct settings *settings = settings_new("race", "race", rows, n);
	char *argv[] = { (char *)(uintptr_t) "race", (char *)(uintptr_t) "--store=memory:",
			 (char *)(uintptr_t) "--listen-address=127.0.0.1:0",
			 (char *)(uintptr_t) "--no-request-log",
			 (char *)(uintptr_t) "--http-loops=3" };
	struct error err = { 0 };
	int rest = 0;
	if (settings_parse(settings, 5, argv, &rest, &err))
		return 1;
	cfg.program = "race";
	cfg.plane = KIND_GLOBAL;
	struct apiserver *s = NULL;
	if (apiserver_new(&cfg, &s, &err) || apiserver_start(s, &err)) {
		printf("%s\n", err.msg);
		return 1;
	}
	static struct caller callers[CALLERS];
	for (int i = 0; i < CALLERS; i++) {
		struct caller *c = &callers[i];
		*c = (struct caller){ .s = s, .number = i };
		c->user = (struct auth_user){ .name = STR("admin"),
					      .groups = { STR("system:masters") },
					      .groups_len = 1 };
		if (loop_new(&c->loop, &err) || pthread_create(&c->thread, NULL, run, c))
			return 1;
	}
	unsigned answers = 0;
	for (int i = 0; i < CALLERS; i++) {
		pthread_join(callers[i].thread, NULL);
		for (int k = 0; k < 6; k++)
			answers += callers[i].status[k];
		assert(callers[i].events > 0 && callers[i].status[2] > 0);
		assert(callers[i].status[5] == 0);
	}
	apiserver_free(s);
	for (int i = 0; i < CALLERS; i++)
		loop_free(callers[i].loop);
	settings_free(settings);
	printf("%u answers\n", answers);
	return answers == CALLERS * CALLS ? 0 : 1;
}
