#include "json/json.h"
#include "telemetry/promql_priv.h"
#include "text/duration.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

void promql_write_number(struct buf *out, double v)
{
	if (isnan(v))
		buf_adds(out, "NaN");
	else if (isinf(v))
		buf_adds(out, v < 0 ? "-Inf" : "+Inf");
	else if (v == 0)
		buf_adds(out, signbit(v) ? "-0" : "0");
	else
		json_write_double(out, v);
}

static void write_names(struct buf *out, const char *word, const struct names *names)
{
	buf_addf(out, " %s (", word);
	for (size_t i = 0; i < names->len; i++)
		buf_addf(out, "%s%.*s", i ? ", " : "", STR_ARG(names->v[i]));
	buf_addc(out, ')');
}

static void write_modifiers(const struct node *n, struct buf *out)
{
	if (n->at == AT_TIME)
		buf_addf(out, " @ %s%" PRId64 ".%03" PRId64, n->at_ms < 0 ? "-" : "",
			 (int64_t)llabs(n->at_ms) / 1000, (int64_t)llabs(n->at_ms) % 1000);
	else if (n->at)
		buf_adds(out, n->at == AT_START ? " @ start()" : " @ end()");
	if (n->offset_given) {
		buf_adds(out, n->offset_ms < 0 ? " offset -" : " offset ");
		duration_write_prom(out, n->offset_ms < 0 ? -n->offset_ms : n->offset_ms);
	}
}

static void write_selector(const struct node *n, struct buf *out)
{
	buf_addc(out, '{');
	for (size_t i = 0; i < n->matchers_len; i++) {
		const struct matcher *m = &n->matchers[i];
		buf_addf(out, "%s%.*s%s", i ? "," : "", STR_ARG(m->name), matcher_op_text(m->op));
		json_write_str(out, m->value);
	}
	buf_addc(out, '}');
	if (n->range_ms) {
		buf_addc(out, '[');
		duration_write_prom(out, n->range_ms);
		buf_addc(out, ']');
	}
	write_modifiers(n, out);
}

static void write_node(const struct node *n, struct buf *out);

static void write_args(const struct node *n, struct buf *out)
{
	buf_addc(out, '(');
	for (size_t i = 0; i < n->args_len; i++) {
		if (i)
			buf_adds(out, ", ");
		write_node(n->args[i], out);
	}
	buf_addc(out, ')');
}

static void write_subquery(const struct node *n, struct buf *out)
{
	/* What stands in parentheses can have no modifier; these need none. */
	bool plain = n->args[0]->kind == NODE_SELECTOR || n->args[0]->kind == NODE_CALL;
	buf_adds(out, plain ? "" : "(");
	write_node(n->args[0], out);
	buf_adds(out, plain ? "[" : ")[");
	duration_write_prom(out, n->range_ms);
	buf_addc(out, ':');
	if (n->step_ms)
		duration_write_prom(out, n->step_ms);
	buf_addc(out, ']');
	write_modifiers(n, out);
}

static void write_binary(const struct node *n, struct buf *out)
{
	buf_addc(out, '(');
	write_node(n->args[0], out);
	buf_addf(out, " %s%s", binary_text(n->op), n->is_bool ? " bool" : "");
	if (n->matching_given)
		write_names(out, n->on ? "on" : "ignoring", &n->labels);
	if (n->side != GROUP_NONE)
		write_names(out, n->side == GROUP_LEFT ? "group_left" : "group_right", &n->include);
	buf_addc(out, ' ');
	write_node(n->args[1], out);
	buf_addc(out, ')');
}

static void write_node(const struct node *n, struct buf *out)
{
	switch (n->kind) {
	case NODE_NUMBER:
		promql_write_number(out, n->number);
		break;
	case NODE_STRING:
		json_write_str(out, n->string);
		break;
	case NODE_SELECTOR:
		write_selector(n, out);
		break;
	case NODE_SUBQUERY:
		write_subquery(n, out);
		break;
	case NODE_NEGATE:
		buf_adds(out, "-");
		write_args(n, out);
		break;
	case NODE_BINARY:
		write_binary(n, out);
		break;
	case NODE_AGGREGATE:
		buf_adds(out, aggregate_text(n->agg));
		write_names(out, n->on ? "by" : "without", &n->labels);
		buf_addc(out, ' ');
		write_args(n, out);
		break;
	case NODE_CALL:
	default:
		buf_adds(out, n->func->name);
		write_args(n, out);
		break;
	}
}

void promql_print(const struct promql *q, struct buf *out)
{
	write_node(q->root, out);
}

/* ---- results ---- */

static void write_pair(struct buf *out, int64_t t_ms, double v)
{
	/* Seconds with as many digits as needed: 1.5, 1700000000, 1700000000.123 */
	uint64_t u = t_ms < 0 ? 0 - (uint64_t)t_ms : (uint64_t)t_ms;
	buf_addf(out, "[%s%llu", t_ms < 0 ? "-" : "", (unsigned long long)(u / 1000));
	if (u % 1000)
		buf_addf(out, ".%03u", (unsigned)(u % 1000));
	buf_adds(out, ",\"");
	promql_write_number(out, v);
	buf_adds(out, "\"]");
}

static void write_point(struct buf *out, const struct promql_result *r,
			const struct promql_point *p)
{
	buf_adds(out, "{\"metric\":");
	labels_write_json(p->labels, out);
	if (r->type == PROMQL_VECTOR) {
		buf_adds(out, ",\"value\":");
		write_pair(out, r->time_ms, p->v);
	} else {
		buf_adds(out, ",\"values\":[");
		for (size_t i = 0; i < p->samples_len; i++) {
			if (i)
				buf_addc(out, ',');
			write_pair(out, p->samples[i].t_ms, p->samples[i].v);
		}
		buf_addc(out, ']');
	}
	buf_addc(out, '}');
}

void promql_write_json(const struct promql_result *r, struct buf *out)
{
	static const char *const TYPE[] = { "scalar", "vector", "matrix", "string" };
	buf_addf(out, "{\"resultType\":\"%s\",\"result\":", TYPE[r->type]);
	if (r->type == PROMQL_SCALAR) {
		write_pair(out, r->time_ms, r->scalar);
	} else if (r->type == PROMQL_STRING) {
		buf_addf(out, "[%lld", (long long)(r->time_ms / 1000));
		if (r->time_ms % 1000)
			buf_addf(out, ".%03lld", (long long)(r->time_ms % 1000));
		buf_addc(out, ',');
		json_write_str(out, r->string);
		buf_addc(out, ']');
	} else {
		buf_addc(out, '[');
		for (size_t i = 0; i < r->len; i++) {
			if (i)
				buf_addc(out, ',');
			write_point(out, r, &r->points[i]);
		}
		buf_addc(out, ']');
	}
	buf_addc(out, '}');
}
