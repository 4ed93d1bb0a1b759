/*
 * payload - a notification as Alertmanager's webhooks send it (version 4), and the names alerts and groups have.
 *
 * Beside Alertmanager's members there is "groupSequence": the number of the notification in its group.
 * Pure.  Source: alertmanager/notify/webhook, template.Data; prometheus/common/model (fingerprints).
 */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include "base/buf.h"
#include "telemetry/labels.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	FINGERPRINT_LEN = 16,
	PAYLOAD_BYTES_MAX = 4 << 20, /* alerts beyond are left out and counted in truncatedAlerts */
};

struct payload_alert {
	bool firing;
	struct labels labels, annotations;
	int64_t starts_ms, ends_ms;
	struct str generator_url;
};

struct payload {
	struct str receiver, group_key, external_url;
	struct labels group_labels;
	const struct payload_alert *alerts; /* firing ones first */
	size_t len;
	size_t max_alerts; /* 0 = no limit */
	int64_t sequence;
};

void payload_write(const struct payload *p, struct buf *out);

/* FNV-1a over the sorted labels, as 16 hexadecimal digits and a NUL. */
void fingerprint(struct labels l, char out[FINGERPRINT_LEN + 1]);

/* {}:{alertname="NodeSilent", cluster="r1c1"} */
void group_key_write(struct labels group_labels, struct buf *out);

#endif
