/*
 * Parses and writes a 2 KiB Deployment and a list of 2,500 of them with lib/json,
 * json-c and jansson; prints MB/s of CPU time and the ratio to lib/json.
 * (simdjson is C++ and so outside of this build.)
 */
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* both libraries define json_object_get and others: only what is used, declared by hand */
struct json_object;
struct json_object *json_tokener_parse(const char *text);
const char *json_object_to_json_string_ext(struct json_object *o, int flags);
int json_object_put(struct json_object *o);

typedef struct json_t json_t;
json_t *json_loadb(const char *text, size_t len, size_t flags, void *err);
char *json_dumps(const json_t *j, size_t flags);
void json_delete(json_t *j);

static const char deployment[] =
	"{\"apiVersion\":\"apps/"
	"v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web-%d\",\"namespace\":"
	"\"default\",\"uid\":\"6a6d0d6e-9b7c-4f0e-8f2a-1f2e3d4c5b6a\",\"resourceVersion\":\"%d\","
	"\"generation\":3,\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"labels\":{\"app\":"
	"\"web\","
	"\"app.kubernetes.io/"
	"name\":\"web\",\"tier\":\"front\"},\"annotations\":{\"deployment.kubernetes.io/"
	"revision\":\"3\",\"note\":\"a \\\"quoted\\\" text with \\n escapes and "
	"\xC3\xA9\"}},\"spec\":{\"replicas\":%d,"
	"\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{"
	"\"creationTimestamp\":null,"
	"\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"web\",\"image\":"
	"\"registry.example.com/team/"
	"web:1.27.3\",\"ports\":[{\"name\":\"http\",\"containerPort\":8080,"
	"\"protocol\":\"TCP\"}],\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"LOG_LEVEL\","
	"\"value\":"
	"\"info\"}],\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":\"256Mi\"},\"requests\":"
	"{\"cpu\":\"100m\","
	"\"memory\":\"128Mi\"}},\"livenessProbe\":{\"httpGet\":{\"path\":\"/"
	"healthz\",\"port\":8080,\"scheme\":"
	"\"HTTP\"},\"initialDelaySeconds\":5,\"timeoutSeconds\":1,\"periodSeconds\":10,"
	"\"successThreshold\":1,"
	"\"failureThreshold\":3},\"terminationMessagePath\":\"/dev/"
	"termination-log\",\"terminationMessagePolicy\":"
	"\"File\",\"imagePullPolicy\":\"IfNotPresent\"}],\"restartPolicy\":\"Always\","
	"\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\",\"securityContext\":{}"
	","
	"\"schedulerName\":\"default-scheduler\"}},\"strategy\":{\"type\":\"RollingUpdate\","
	"\"rollingUpdate\":{"
	"\"maxUnavailable\":\"25%%\",\"maxSurge\":\"25%%\"}},\"revisionHistoryLimit\":10,"
	"\"progressDeadlineSeconds\":600},\"status\":{\"observedGeneration\":3,\"replicas\":%d,"
	"\"updatedReplicas\":2,"
	"\"readyReplicas\":2,\"availableReplicas\":2,\"conditions\":[{\"type\":\"Available\","
	"\"status\":\"True\","
	"\"lastUpdateTime\":\"2026-01-02T03:04:05Z\",\"lastTransitionTime\":\"2026-01-02T03:04:"
	"05Z\",\"reason\":"
	"\"MinimumReplicasAvailable\",\"message\":\"Deployment has minimum availability.\"}]}}";

static double cpu_seconds(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

enum { OURS, JSON_C, JANSSON, LIBRARIES };
static const char *const names[] = { "lib/json", "json-c", "jansson" };

static void parse(int library, struct str text, struct arena *a)
{
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = SIZE_MAX;
	struct json j;
	if (library == OURS) {
		arena_reset(a);
		if (json_parse(a, text, &limits, &j, NULL))
			abort();
	} else if (library == JSON_C) {
		json_object_put(json_tokener_parse(text.p));
	} else {
		json_delete(json_loadb(text.p, text.len, 0, NULL));
	}
}

struct parsed {
	struct json ours;
	struct json_object *c;
	json_t *jansson;
	struct buf out;
};

static void write_out(int library, struct parsed *p)
{
	if (library == OURS) {
		buf_clear(&p->out);
		json_write(&p->out, &p->ours);
	} else if (library == JSON_C) {
		(void)json_object_to_json_string_ext(p->c, 0);
	} else {
		free(json_dumps(p->jansson, 1 << 5)); /* JSON_COMPACT */
	}
}

static void measure(const char *what, struct str text)
{
	double base_parse = 0;
	double base_write = 0;
	struct arena tree = { 0 };
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = SIZE_MAX;
	struct parsed p = { .c = json_tokener_parse(text.p),
			    .jansson = json_loadb(text.p, text.len, 0, NULL) };
	if (json_parse(&tree, text, &limits, &p.ours, NULL))
		abort();
	for (int library = 0; library < LIBRARIES; library++) {
		struct arena a = { 0 };
		double mb[2] = { 0 };
		for (int writing = 0; writing < 2; writing++) {
			double start = cpu_seconds();
			size_t bytes = 0;
			while (cpu_seconds() - start < 0.5) {
				for (size_t n = 0; n < 2000000; n += text.len, bytes += text.len) {
					if (writing)
						write_out(library, &p);
					else
						parse(library, text, &a);
				}
			}
			mb[writing] = (double)bytes / 1e6 / (cpu_seconds() - start);
		}
		arena_fini(&a);
		base_parse = library == OURS ? mb[0] : base_parse;
		base_write = library == OURS ? mb[1] : base_write;
		printf("%-22s %-10s parse %7.0f MB/s (%5.2fx)   write %7.0f MB/s (%5.2fx)\n", what,
		       names[library], mb[0], mb[0] / base_parse, mb[1], mb[1] / base_write);
	}
	buf_fini(&p.out);
	json_object_put(p.c);
	json_delete(p.jansson);
	arena_fini(&tree);
}

int main(void)
{
	struct buf one = { 0 };
	struct buf list = { 0 };
	buf_addf(&one, deployment, 1, 12345, 2, 2);
	measure("one Deployment", str_of(buf_cstr(&one)));
	buf_adds(&list, "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[");
	for (int i = 0; i < 2500; i++) {
		if (i)
			buf_addc(&list, ',');
		buf_addf(&list, deployment, i, 10000 + i, i % 7, i % 7);
	}
	buf_adds(&list, "]}");
	measure("list of 2,500", str_of(buf_cstr(&list)));
	buf_fini(&one);
	buf_fini(&list);
	return 0;
}
