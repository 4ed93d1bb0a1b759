/*
 * template - the text of labels and annotations of a rule: what Prometheus' templates are used for.
 *
 *   {{ $labels.node }} has {{ $value | humanize1024 }}B left, {{ printf "%.1f" $value }}
 *
 * Values:    $labels.NAME .Labels.NAME $externalLabels.NAME .ExternalLabels.NAME $value .Value "text" `text` 12.5
 * Functions: humanize humanize1024 humanizeDuration humanizePercentage title toUpper toLower printf print,
 *            as commands or behind "|"; {{- and -}} trim, comments are left out.
 * What is not there (if, range, query …) is answered with "<error expanding template: …>", as Prometheus does.
 *
 * Pure.  Source: prometheus/template, Go's text/template and fmt.
 */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include "base/buf.h"
#include "base/str.h"
#include "telemetry/labels.h"

enum { TEMPLATE_OUT_MAX = 16384 }; /* bytes of one expansion */

struct template_vars {
	struct labels labels, external;
	double value;
};

void template_expand(struct str text, const struct template_vars *vars, struct buf *out);

#endif
