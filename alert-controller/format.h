/*
 * format - a notification as others want it, made of the one that stands in the ledger (Alertmanager's webhook, version 4).
 *
 *   PagerDuty     Events API v2: a group is an incident, opened, changed and closed by its key
 *   Slack         an incoming webhook's message
 *   Teams         a message with an adaptive card, for a workflow's webhook
 *   Alertmanager  POST /api/v2/alerts of another Alertmanager: each alert by itself
 *
 * Pure.  Sources: developer.pagerduty.com (Events API v2), api.slack.com/messaging/webhooks, adaptivecards.io,
 * alertmanager/api/v2/openapi.yaml.
 */
#ifndef FORMAT_H
#define FORMAT_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

enum format {
	FORMAT_WEBHOOK, /* as it stands */
	FORMAT_PAGERDUTY,
	FORMAT_SLACK,
	FORMAT_TEAMS,
	FORMAT_ALERTMANAGER
};

enum {
	FORMAT_TITLE_MAX = 1024, /* bytes */
	FORMAT_ALERTS_MAX = 20,  /* named one by one; the others are counted */
};

/* The value of the webhook's member `format`; "" and what is not known: FORMAT_WEBHOOK. */
enum format format_of(struct str name);

struct format_env {
	struct str
		origin; /* cluster, "" = the global plane: equal groups of two are two incidents */
	struct str key; /* PagerDuty: the routing key */
};

/* Appends the body.  ERR_BAD_REQUEST: the notification is none. */
ATTR_MUSTCHECK int format_write(enum format f, const struct format_env *env,
				struct str notification, struct buf *out, struct error *err);

#endif
