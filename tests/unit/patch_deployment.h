/*
 * patch_deployment - a schema with every kind of list and map that patches tell
 * apart, shaped as a Deployment, for the tests, fuzz target and bench of lib/patch.
 */
#ifndef TESTS_UNIT_PATCH_DEPLOYMENT_H
#define TESTS_UNIT_PATCH_DEPLOYMENT_H

#include "schema/schema.h"

#include <stdlib.h>

#define S_STRING "{\"type\":\"string\"}"
#define S_INT    "{\"type\":\"integer\",\"format\":\"int32\"}"
#define S_MAP    "{\"type\":\"object\",\"additionalProperties\":" S_STRING "}"

#define S_META \
	"{\"type\":\"object\",\"properties\":{\"name\":" S_STRING ",\"namespace\":" S_STRING \
	",\"uid\":" S_STRING ",\"resourceVersion\":" S_STRING ",\"generation\":" S_INT \
	",\"creationTimestamp\":" S_STRING ",\"labels\":" S_MAP ",\"annotations\":" S_MAP \
	",\"finalizers\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"set\"," \
	"\"x-kubernetes-patch-strategy\":\"merge\",\"items\":" S_STRING "}," \
	"\"managedFields\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"atomic\",\"items\":" \
	"{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}}"

#define S_PORTS \
	"{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":" \
	"[\"containerPort\",\"protocol\"],\"x-kubernetes-patch-merge-key\":\"containerPort\"," \
	"\"x-kubernetes-patch-strategy\":\"merge\",\"items\":{\"type\":\"object\",\"required\":" \
	"[\"containerPort\"],\"properties\":{\"name\":" S_STRING ",\"containerPort\":" S_INT \
	",\"protocol\":{\"type\":\"string\",\"default\":\"TCP\"}}}}"

#define S_ENV \
	"{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":" \
	"[\"name\"],\"x-kubernetes-patch-merge-key\":\"name\",\"x-kubernetes-patch-strategy\":" \
	"\"merge\",\"items\":{\"type\":\"object\",\"required\":[\"name\"],\"properties\":" \
	"{\"name\":" S_STRING ",\"value\":" S_STRING "}}}"

#define S_QUANTITIES \
	"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"," \
	"\"x-rctl-format\":\"quantity\"}}"

#define S_CONTAINERS \
	"{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":" \
	"[\"name\"],\"x-kubernetes-patch-merge-key\":\"name\",\"x-kubernetes-patch-strategy\":" \
	"\"merge\",\"items\":{\"type\":\"object\",\"required\":[\"name\"],\"properties\":" \
	"{\"name\":" S_STRING ",\"image\":" S_STRING ",\"imagePullPolicy\":" S_STRING \
	",\"terminationMessagePath\":" S_STRING ",\"terminationMessagePolicy\":" S_STRING \
	",\"args\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"atomic\",\"items\":" S_STRING \
	"},\"ports\":" S_PORTS ",\"env\":" S_ENV ",\"livenessProbe\":{\"type\":\"object\"," \
	"\"x-kubernetes-preserve-unknown-fields\":true},\"resources\":{\"type\":\"object\"," \
	"\"properties\":{\"limits\":" S_QUANTITIES ",\"requests\":" S_QUANTITIES "}}}}}"

#define S_POD \
	"{\"type\":\"object\",\"properties\":{\"containers\":" S_CONTAINERS \
	",\"restartPolicy\":" S_STRING ",\"terminationGracePeriodSeconds\":" S_INT \
	",\"dnsPolicy\":" S_STRING ",\"schedulerName\":" S_STRING ",\"securityContext\":" \
	"{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}," \
	"\"nodeSelector\":{\"type\":\"object\",\"x-kubernetes-map-type\":\"atomic\"," \
	"\"additionalProperties\":" S_STRING "}}}"

static const char patch_schema_text[] =
	"{\"type\":\"object\",\"properties\":{\"apiVersion\":" S_STRING ",\"kind\":" S_STRING
	",\"metadata\":" S_META ",\"spec\":{\"type\":\"object\",\"properties\":{\"replicas\":" S_INT
	",\"revisionHistoryLimit\":" S_INT ",\"progressDeadlineSeconds\":" S_INT
	",\"paused\":{\"type\":\"boolean\"},\"selector\":{\"type\":\"object\","
	"\"x-kubernetes-map-type\":\"atomic\",\"properties\":{\"matchLabels\":" S_MAP "}},"
	"\"strategy\":{\"type\":\"object\",\"x-kubernetes-patch-strategy\":\"retainKeys\","
	"\"properties\":{\"type\":" S_STRING ",\"rollingUpdate\":{\"type\":\"object\","
	"\"properties\":{\"maxSurge\":{\"x-kubernetes-int-or-string\":true},\"maxUnavailable\":"
	"{\"x-kubernetes-int-or-string\":true}}}}},\"template\":{\"type\":\"object\","
	"\"properties\":"
	"{\"metadata\":" S_META ",\"spec\":" S_POD "}}}},\"status\":{\"type\":\"object\","
	"\"x-kubernetes-preserve-unknown-fields\":true}}}";

/* About 2 KiB; without status, as a user applies it. */
static const char patch_deployment_text[] =
	"{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\","
	"\"namespace\":\"default\",\"labels\":{\"app\":\"web\",\"app.kubernetes.io/name\":\"web\","
	"\"tier\":\"front\"},\"annotations\":{\"example.com/owner\":\"team-a\",\"example.com/"
	"note\":"
	"\"a text of some length that says what this workload is good for\"}},\"spec\":{"
	"\"replicas\":3,\"revisionHistoryLimit\":10,\"progressDeadlineSeconds\":600,\"selector\":"
	"{\"matchLabels\":{\"app\":\"web\"}},\"strategy\":{\"type\":\"RollingUpdate\","
	"\"rollingUpdate\":{\"maxUnavailable\":\"25%\",\"maxSurge\":\"25%\"}},\"template\":"
	"{\"metadata\":{\"labels\":{\"app\":\"web\",\"tier\":\"front\"}},\"spec\":{\"containers\":"
	"[{\"name\":\"web\",\"image\":\"registry.example.com/team/"
	"web:1.27.3\",\"args\":[\"--port\","
	"\"8080\",\"--verbose\"],\"ports\":[{\"name\":\"http\",\"containerPort\":8080,\"protocol\":"
	"\"TCP\"},{\"name\":\"metrics\",\"containerPort\":9090,\"protocol\":\"TCP\"}],\"env\":"
	"[{\"name\":\"LOG_LEVEL\",\"value\":\"info\"},{\"name\":\"REGION\",\"value\":\"north\"},"
	"{\"name\":\"DATABASE_HOST\",\"value\":\"db.default.svc\"}],\"resources\":{\"limits\":"
	"{\"cpu\":\"500m\",\"memory\":\"256Mi\"},\"requests\":{\"cpu\":\"100m\",\"memory\":"
	"\"128Mi\"}},\"livenessProbe\":{\"httpGet\":{\"path\":\"/healthz\",\"port\":8080,"
	"\"scheme\":\"HTTP\"},\"initialDelaySeconds\":5,\"timeoutSeconds\":1,\"periodSeconds\":10,"
	"\"successThreshold\":1,\"failureThreshold\":3},\"terminationMessagePath\":"
	"\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\",\"imagePullPolicy\":"
	"\"IfNotPresent\"},{\"name\":\"sidecar\",\"image\":\"registry.example.com/team/proxy:2.1\","
	"\"ports\":[{\"name\":\"proxy\",\"containerPort\":15001,\"protocol\":\"TCP\"}],\"env\":"
	"[{\"name\":\"MODE\",\"value\":\"strict\"}],\"resources\":{\"limits\":{\"cpu\":\"100m\","
	"\"memory\":\"64Mi\"}},\"imagePullPolicy\":\"IfNotPresent\"}],\"restartPolicy\":\"Always\","
	"\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\",\"schedulerName\":"
	"\"default-scheduler\",\"nodeSelector\":{\"kubernetes.io/os\":\"linux\"}}}}}";

/*
 * The schema, compiled into *set (release with schema_set_free); its document lives
 * in `a`, which must outlive the set.  Aborts when it cannot be compiled.
 */
static inline const struct schema *patch_schema(struct arena *a, struct schema_set **set)
{
	struct json *doc = arena_new(a, struct json, 1);
	const struct schema *s = NULL;
	*set = schema_set_new();
	if (json_parse(a, str_of(patch_schema_text), NULL, doc, NULL) < 0 ||
	    schema_compile(*set, doc, false, &s, NULL) < 0)
		abort();
	return s;
}

#endif
