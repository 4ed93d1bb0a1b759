#include "format.h"

#include "base/arena.h"
#include "json/json.h"
#include "payload.h"
#include "tls/digest.h"

/* A notification and what is said of it in one line. */
struct note {
	struct arena *a;
	const struct json *j;
	const struct json *alerts;
	struct str group_key, receiver;
	bool firing;
	size_t firing_len;
	struct str title;
};

enum format format_of(struct str name)
{
	static const char *const names[] = { [FORMAT_WEBHOOK] = "Webhook",
					     [FORMAT_PAGERDUTY] = "PagerDuty",
					     [FORMAT_SLACK] = "Slack",
					     [FORMAT_TEAMS] = "Teams",
					     [FORMAT_ALERTMANAGER] = "Alertmanager" };
	for (int i = FORMAT_WEBHOOK; i <= FORMAT_ALERTMANAGER; i++)
		if (str_is(name, names[i]))
			return (enum format)i;
	return FORMAT_WEBHOOK;
}

static bool is_firing(const struct json *alert)
{
	return str_is(json_str(json_getc(alert, "status")), "firing");
}

static struct str taken(struct arena *a, struct buf *b, size_t most)
{
	struct str s = buf_str(b);
	size_t n = s.len < most ? s.len : most;
	while (n < s.len && n > 0 && ((unsigned char)s.p[n] & 0xC0) == 0x80)
		n--; /* no half of a character */
	s = arena_str(a, str_sub(s, 0, n));
	buf_fini(b);
	return s;
}

/* [FIRING:3] NodeSilent r1c1: the summary they share */
static struct str title(const struct note *n)
{
	struct buf b = { 0 };
	const struct json *group = json_getc(n->j, "groupLabels");
	struct str summary = json_str(json_dig(n->j, "commonAnnotations", "summary", NULL));
	if (n->firing)
		buf_addf(&b, "[FIRING:%zu]", n->firing_len);
	else
		buf_adds(&b, "[RESOLVED]");
	for (size_t i = 0; json_is(group, JSON_OBJECT) && i < json_len(group); i++)
		buf_addf(&b, " %.*s", STR_ARG(json_str(&group->members[i].value)));
	if (summary.len)
		buf_addf(&b, ": %.*s", STR_ARG(summary));
	return taken(n->a, &b, FORMAT_TITLE_MAX);
}

/* One alert in a line: its summary, or its labels. */
static void line(struct buf *b, const struct json *alert)
{
	struct str summary = json_str(json_dig(alert, "annotations", "summary", NULL));
	const struct json *labels = json_getc(alert, "labels");
	if (!is_firing(alert))
		buf_adds(b, "resolved: ");
	if (summary.len) {
		buf_add_str(b, summary);
		return;
	}
	for (size_t i = 0; json_is(labels, JSON_OBJECT) && i < json_len(labels); i++)
		buf_addf(b, "%s%.*s=%.*s", i ? " " : "", STR_ARG(json_str(&labels->members[i].key)),
			 STR_ARG(json_str(&labels->members[i].value)));
}

static struct str lines(const struct note *n)
{
	struct buf b = { 0 };
	size_t len = json_len(n->alerts);
	size_t most = len < FORMAT_ALERTS_MAX ? len : FORMAT_ALERTS_MAX;
	int64_t omitted = json_i64(json_getc(n->j, "truncatedAlerts"), 0) + (int64_t)(len - most);
	for (size_t i = 0; i < most; i++) {
		buf_adds(&b, i ? "\n" : "");
		line(&b, json_at(n->alerts, i));
	}
	if (omitted > 0)
		buf_addf(&b, "\nand %lld more", (long long)omitted);
	return taken(n->a, &b, SIZE_MAX);
}

static struct json text(const char *s)
{
	return json_of_cstr(s);
}

/* ---- PagerDuty ---- */

/* Of the group, not of the notification: what is told later is of the same incident. */
static struct str dedup_key(const struct note *n, struct str origin)
{
	struct buf b = { 0 };
	char hex[DIGEST_SHA256_HEX];
	buf_addf(&b, "%.*s\n%.*s\n%.*s", STR_ARG(origin), STR_ARG(n->receiver),
		 STR_ARG(n->group_key));
	digest_sha256_hex(buf_str(&b), hex);
	buf_fini(&b);
	return arena_str(n->a, str_of(hex));
}

static struct str severity(const struct note *n)
{
	static const char *const known[] = { "critical", "error", "warning", "info" };
	struct str s = json_str(json_dig(n->j, "commonLabels", "severity", NULL));
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (str_is(s, known[i]))
			return s;
	return STR("error");
}

static struct json pagerduty(const struct note *n, const struct format_env *env)
{
	struct arena *a = n->a;
	struct str url = json_str(json_getc(n->j, "externalURL"));
	struct json out = json_object();
	(void)json_setc(a, &out, "routing_key", json_of_str(env->key));
	(void)json_setc(a, &out, "event_action", text(n->firing ? "trigger" : "resolve"));
	(void)json_setc(a, &out, "dedup_key", json_of_str(dedup_key(n, env->origin)));
	(void)json_setc(a, &out, "client", text("rctl"));
	if (url.len)
		(void)json_setc(a, &out, "client_url", json_of_str(url));
	struct json *p = json_setc(a, &out, "payload", json_object());
	struct str cluster = json_str(json_dig(n->j, "commonLabels", "cluster", NULL));
	(void)json_setc(a, p, "summary", json_of_str(n->title));
	(void)json_setc(a, p, "source", json_of_str(cluster.len ? cluster : n->receiver));
	(void)json_setc(a, p, "severity", json_of_str(severity(n)));
	struct json *d = json_setc(a, p, "custom_details", json_object());
	(void)json_setc(a, d, "alerts", json_of_str(lines(n)));
	(void)json_setc(a, d, "labels", json_clone(a, json_getc(n->j, "commonLabels")));
	(void)json_setc(a, d, "firing", json_of_i64((int64_t)n->firing_len));
	return out;
}

/* ---- Slack, Teams ---- */

static struct str slack_escaped(struct arena *a, struct str s)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '&')
			buf_adds(&b, "&amp;");
		else if (s.p[i] == '<')
			buf_adds(&b, "&lt;");
		else if (s.p[i] == '>')
			buf_adds(&b, "&gt;");
		else
			buf_addc(&b, s.p[i]);
	}
	return taken(a, &b, SIZE_MAX);
}

static struct json slack(const struct note *n)
{
	struct arena *a = n->a;
	struct json out = json_object();
	(void)json_setc(a, &out, "text", json_of_str(slack_escaped(a, n->title)));
	struct json *list = json_setc(a, &out, "attachments", json_array());
	struct json *x = json_push(a, list, json_object());
	(void)json_setc(a, x, "color", text(n->firing ? "danger" : "good"));
	(void)json_setc(a, x, "fallback", json_of_str(slack_escaped(a, n->title)));
	(void)json_setc(a, x, "text", json_of_str(slack_escaped(a, lines(n))));
	return out;
}

static void text_block(struct arena *a, struct json *body, struct str s, const char *weight)
{
	struct json *x = json_push(a, body, json_object());
	(void)json_setc(a, x, "type", text("TextBlock"));
	(void)json_setc(a, x, "text", json_of_str(s));
	(void)json_setc(a, x, "weight", text(weight));
	(void)json_setc(a, x, "wrap", json_of_bool(true));
}

static struct json teams(const struct note *n)
{
	struct arena *a = n->a;
	struct json out = json_object();
	(void)json_setc(a, &out, "type", text("message"));
	struct json *list = json_setc(a, &out, "attachments", json_array());
	struct json *x = json_push(a, list, json_object());
	(void)json_setc(a, x, "contentType", text("application/vnd.microsoft.card.adaptive"));
	struct json *card = json_setc(a, x, "content", json_object());
	(void)json_setc(a, card, "type", text("AdaptiveCard"));
	(void)json_setc(a, card, "version", text("1.4"));
	struct json *body = json_setc(a, card, "body", json_array());
	text_block(a, body, n->title, "Bolder");
	text_block(a, body, lines(n), "Default");
	return out;
}

/* ---- another Alertmanager ---- */

static struct json alertmanager(const struct note *n)
{
	static const char *const members[] = { "labels", "annotations", "startsAt",
					       "generatorURL" };
	struct arena *a = n->a;
	struct json out = json_array();
	for (size_t i = 0; i < json_len(n->alerts); i++) {
		const struct json *alert = json_at(n->alerts, i);
		struct json *x = json_push(a, &out, json_object());
		for (size_t m = 0; m < sizeof(members) / sizeof(members[0]); m++)
			if (json_getc(alert, members[m]))
				(void)json_setc(a, x, members[m],
						json_clone(a, json_getc(alert, members[m])));
		if (!is_firing(alert))
			(void)json_setc(a, x, "endsAt", json_clone(a, json_getc(alert, "endsAt")));
	}
	return out;
}

int format_write(enum format f, const struct format_env *env, struct str notification,
		 struct buf *out, struct error *err)
{
	struct arena a = { 0 };
	struct json j;
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = 2 * PAYLOAD_BYTES_MAX;
	limits.values_max = 4U << 20;
	int rc = json_parse(&a, notification, &limits, &j, err);
	struct note n = { .a = &a, .j = &j, .alerts = rc ? NULL : json_getc(&j, "alerts") };
	if (rc == 0 && !json_is(n.alerts, JSON_ARRAY))
		rc = error_set(err, ERR_BAD_REQUEST, "the notification has no alerts");
	if (rc) {
		arena_fini(&a);
		return rc;
	}
	n.group_key = json_str(json_getc(&j, "groupKey"));
	n.receiver = json_str(json_getc(&j, "receiver"));
	n.firing = str_is(json_str(json_getc(&j, "status")), "firing");
	for (size_t i = 0; i < json_len(n.alerts); i++)
		n.firing_len += is_firing(json_at(n.alerts, i));
	n.title = title(&n);
	struct json body = f == FORMAT_PAGERDUTY      ? pagerduty(&n, env)
			   : f == FORMAT_SLACK        ? slack(&n)
			   : f == FORMAT_TEAMS        ? teams(&n)
			   : f == FORMAT_ALERTMANAGER ? alertmanager(&n)
						      : j;
	json_write(out, &body);
	arena_fini(&a);
	return 0;
}
