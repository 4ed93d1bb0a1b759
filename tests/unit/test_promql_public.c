/* Test cases and rules that others wrote, where they are. */
#include "promql_bed.h"
#include "text/duration.h"

#include <dirent.h>

struct tally {
	size_t passed, histograms, wrong;
};

static bool number_of(struct str s, double *ret)
{
	char text[64], *end = NULL;
	if (!s.len || s.len >= sizeof(text))
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	*ret = strtod(text, &end);
	return !*end;
}

/* One word of a load line: "0+10x5", "1", "_x3", "stale"; appends samples. */
static bool load_word(struct serie *s, struct str word, int64_t *t, int64_t step)
{
	struct str rest = word, head;
	double times = 0, first = 0, delta = 0;
	ptrdiff_t x = str_find(word, 'x', 0);
	if (x > 0) {
		if (!number_of(str_sub(word, (size_t)x + 1, word.len), &times))
			return false;
		rest = str_sub(word, 0, (size_t)x);
	}
	if (str_is(rest, "_")) {
		*t += step * (int64_t)(x > 0 ? times : 1);
		return true;
	}
	if (str_is(rest, "stale")) {
		serie_add(s, *t, sample_stale());
		*t += step;
		return true;
	}
	head = rest;
	for (size_t i = 1; x > 0 && i < rest.len; i++)
		if ((rest.p[i] == '+' || rest.p[i] == '-') && (rest.p[i - 1] | 32) != 'e') {
			head = str_sub(rest, 0, i);
			if (!number_of(str_sub(rest, i + (rest.p[i] == '+'), rest.len), &delta))
				return false;
			break;
		}
	if (!number_of(head, &first))
		return false;
	for (int i = 0; i <= (int)times; i++, *t += step)
		serie_add(s, *t, first + i * delta);
	return true;
}

/* Splits "metric{…} words" behind the metric. */
static struct str metric_of(struct str line, struct str *rest)
{
	size_t i = 0;
	char quote = 0;
	int depth = 0;
	for (; i < line.len; i++) {
		char c = line.p[i];
		if (quote) {
			i += c == '\\';
			quote = c == quote ? 0 : quote;
		} else if (c == '"' || c == '\'' || c == '`') {
			quote = c;
		} else {
			depth += (c == '{') - (c == '}');
			if ((c == ' ' || c == '\t') && depth == 0)
				break;
		}
	}
	*rest = str_trim(str_sub(line, i, line.len));
	return str_sub(line, 0, i);
}

static void load_line(struct bed *b, struct str line, int64_t step)
{
	struct str rest, word;
	struct labels l;
	struct str metric = metric_of(line, &rest);
	cr_assert(read_metric(&b->arena, metric, &l), "%.*s", STR_ARG(line));
	struct serie *s = bed_serie(b, l);
	int64_t t = 0;
	s->histogram |= str_find_str(rest, STR("{{"), 0) >= 0;
	while (!s->histogram && str_split(&rest, ' ', &word))
		if (word.len)
			cr_assert(load_word(s, word, &t, step), "%.*s", STR_ARG(line));
}

static bool same_number(double a, double b)
{
	if (isnan(a) || isnan(b))
		return isnan(a) && isnan(b);
	if (a == b)
		return true;
	return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

/* What the lines below an evaluation say. */
struct block {
	struct str lines[64];
	size_t len;
	struct str message; /* of "expect fail" */
	bool fail, ordered, info, warn, no_info, no_warn;
	bool histograms; /* native ones in the result */
	bool string;
};

static bool same_point(struct bed *b, const struct promql_point *p, struct str line)
{
	struct labels l;
	struct str rest, metric = metric_of(line, &rest);
	double v;
	return read_metric(&b->arena, metric, &l) && number_of(rest, &v) &&
	       labels_equal(p->labels, l) && same_number(p->v, v);
}

static bool same_vector(struct bed *b, const struct promql_result *r, const struct block *x)
{
	if (r->type == PROMQL_SCALAR) {
		double v;
		return x->len == 1 && number_of(x->lines[0], &v) && same_number(v, r->scalar);
	}
	if (r->type != PROMQL_VECTOR || r->len != x->len)
		return false;
	for (size_t i = 0; i < x->len; i++) {
		bool found = false;
		for (size_t k = 0; k < r->len && !found; k++)
			if (!x->ordered || k == i)
				found = same_point(b, &r->points[k], x->lines[i]);
		if (!found)
			return false;
	}
	return true;
}

static bool same_matrix(struct bed *b, const struct promql_result *r, const struct block *x,
			const struct promql_range *range)
{
	size_t want = 0;
	for (size_t i = 0; i < x->len; i++) {
		struct labels l;
		struct serie s = { 0 };
		struct str word, rest, metric = metric_of(x->lines[i], &rest);
		int64_t t = range->start_ms;
		bool found = false, good = read_metric(&b->arena, metric, &l);
		while (good && str_split(&rest, ' ', &word))
			good = !word.len || load_word(&s, word, &t, range->step_ms);
		for (size_t k = 0; good && k < r->len && !found; k++) {
			const struct promql_point *p = &r->points[k];
			found = labels_equal(p->labels, l) && p->samples_len == s.len;
			for (size_t n = 0; found && n < s.len; n++)
				found = p->samples[n].t_ms == s.v[n].t_ms &&
					same_number(p->samples[n].v, s.v[n].v);
		}
		want += s.len > 0;
		bool empty = good && !s.len;
		mem_free(s.v);
		if (!found && !empty)
			return false;
	}
	return r->type == PROMQL_MATRIX && r->len == want;
}

static bool same_notes(const struct promql_result *r, const struct block *x)
{
	bool info = false, warn = false;
	for (size_t i = 0; i < r->notes_len; i++) {
		info |= !r->notes[i].warning;
		warn |= r->notes[i].warning;
	}
	return (!x->info || info) && (!x->warn || warn) && !(x->no_info && info) &&
	       !(x->no_warn && warn);
}

static bool moment(struct str s, int64_t *ret)
{
	double v = 0;
	if (duration_parse_prom(s, ret, NULL) == 0)
		return true;
	*ret = number_of(s, &v) ? (int64_t)(v * 1000) : -1;
	return *ret >= 0;
}

/* A range around the moment has the same there as the moment alone. */
static bool same_in_range(struct bed *b, struct promql *q, int64_t at_ms,
			  const struct promql_result *r)
{
	const struct promql_source src = { bed_select, bed_read, bed_last, b };
	const struct promql_limits limits = { .samples_max = 1000000 };
	const struct promql_range range = { at_ms - 60000, at_ms + 60000, 60000 };
	struct promql_result m;
	struct arena a = { 0 };
	struct error err = { 0 };
	bool same = true;
	size_t there = 0;
	if (promql_eval_range(q, &range, &src, &limits, &a, &m, &err) != 0) {
		arena_fini(&a);
		return true; /* what the neighbours do not allow */
	}
	for (size_t i = 0; i < m.len; i++)
		for (size_t k = 0; k < m.points[i].samples_len; k++) {
			const struct sample *s = &m.points[i].samples[k];
			bool found = r->type == PROMQL_SCALAR && same_number(r->scalar, s->v);
			for (size_t n = 0; n < r->len; n++)
				found |= labels_equal(r->points[n].labels, m.points[i].labels) &&
					 same_number(r->points[n].v, s->v);
			there += s->t_ms == at_ms;
			same &= found || s->t_ms != at_ms;
		}
	same &= there == (r->type == PROMQL_SCALAR ? 1 : r->len);
	arena_fini(&a);
	return same;
}

static bool of_its_range(struct str query)
{
	static const char *const words[] = { "start()", "end()", "range()", "step()" };
	bool found = false;
	for (size_t i = 0; i < 4; i++)
		found |= str_find_str(query, str_of(words[i]), 0) >= 0;
	return found;
}

struct answer {
	struct promql_result r;
	struct arena arena;
	struct error err;
	int rc;
};

static bool is_right(struct bed *b, struct promql *q, struct str query,
		     const struct promql_range *range, const struct block *x,
		     const struct answer *a)
{
	if (a->rc)
		return x->fail &&
		       (!x->message.len || str_find_str(str_of(a->err.msg), x->message, 0) >= 0);
	if (x->fail || !same_notes(&a->r, x))
		return false;
	if (x->string)
		return a->r.type == PROMQL_STRING && x->len == 1 &&
		       str_eq(a->r.string, str_sub(x->lines[0], 1, x->lines[0].len - 1));
	if (range->step_ms)
		return same_matrix(b, &a->r, x, range);
	return same_vector(b, &a->r, x) &&
	       (of_its_range(query) || same_in_range(b, q, range->start_ms, &a->r));
}

/* range: without a step it is a moment. */
static void run_eval(struct bed *b, struct str query, const struct promql_range *range,
		     const struct block *x, struct tally *t)
{
	const struct promql_source src = { bed_select, bed_read, bed_last, b };
	const struct promql_limits limits = { .samples_max = 1000000 };
	struct promql *q = NULL;
	struct answer a = { 0 };
	b->touched = false;
	a.rc = promql_parse(query, &q, &a.err);
	bool unknown = a.rc && strstr(a.err.msg, "unknown function with name \"histogram_");
	if (!a.rc && range->step_ms)
		a.rc = promql_eval_range(q, range, &src, &limits, &a.arena, &a.r, &a.err);
	else if (!a.rc)
		a.rc = promql_eval(q, range->start_ms, &src, &limits, &a.arena, &a.r, &a.err);
	if (b->touched || x->histograms || unknown) {
		t->histograms++;
	} else if (is_right(b, q, query, range, x, &a)) {
		t->passed++;
	} else {
		struct buf out = { 0 };
		t->wrong++;
		if (!a.rc)
			promql_write_json(&a.r, &out);
		for (size_t i = 0; !a.rc && i < a.r.notes_len; i++)
			buf_addf(&out, " %s", a.r.notes[i].text.p);
		fprintf(stderr, "# %lld %.*s: %s%.600s\n", (long long)range->start_ms,
			STR_ARG(query), a.err.msg, buf_cstr(&out));
		buf_fini(&out);
	}
	arena_fini(&a.arena);
	promql_free(q);
}

/* "instant at 5m QUERY", "range from 0 to 10m step 1m QUERY" */
static void run_line(struct bed *b, struct str text, const struct block *x, struct tally *t)
{
	struct promql_range range = { 0, 0, 0 };
	struct str word, rest = text;
	ptrdiff_t at = str_find_str(text, STR("instant at "), 0);
	bool good = true;
	if (at >= 0 && !str_starts(text, STR("range"))) {
		rest = str_sub(text, (size_t)at + 11, text.len);
		good = str_split(&rest, ' ', &word) && moment(word, &range.start_ms);
	} else {
		int64_t *const to[] = { NULL,          NULL, &range.start_ms, NULL,
					&range.end_ms, NULL, &range.step_ms };
		for (size_t i = 0; good && i < 7;) {
			good = str_split(&rest, ' ', &word);
			if (!word.len)
				continue;
			good = good && (!to[i] || moment(word, to[i]));
			i++;
		}
	}
	cr_assert(good, "%.*s", STR_ARG(text));
	run_eval(b, str_trim(rest), &range, x, t);
}

static void expectation(struct block *x, struct str line)
{
	static const struct str fail = { "expect fail", 11 };
	if (str_starts(line, fail)) {
		ptrdiff_t msg = str_find_str(line, STR("msg:"), 0);
		x->fail = true;
		if (msg >= 0)
			x->message = str_trim(str_sub(line, (size_t)msg + 4, line.len));
	}
	x->ordered |= str_is(line, "expect ordered");
	x->info |= str_starts(line, STR("expect info"));
	x->warn |= str_starts(line, STR("expect warn"));
	x->no_info |= str_starts(line, STR("expect no_info"));
	x->no_warn |= str_starts(line, STR("expect no_warn"));
	if (str_starts(line, STR("expect string"))) {
		x->string = true;
		x->lines[x->len++] = str_trim(str_sub(line, 13, line.len));
	}
}

static bool indented(struct str line)
{
	return line.len && (line.p[0] == ' ' || line.p[0] == '\t');
}

static struct str clean(struct str line)
{
	for (size_t i = 0; i < line.len; i++)
		if (line.p[i] == '#' && (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
			return str_sub(line, 0, i);
	return line;
}

static void run_file(struct str text, struct tally *t)
{
	struct bed *b = mem_new(struct bed, 1);
	struct str line, next = text;
	bool more = str_split(&next, '\n', &line);
	while (more) {
		struct str head = str_trim(clean(line));
		struct block x = { .len = 0 };
		int64_t step = 0;
		/* load_with_nhcb makes native histograms too; those are left out. */
		if (str_starts(head, STR("load ")) || str_starts(head, STR("load_with_nhcb ")))
			cr_assert_eq(
				duration_parse_prom(
					str_trim(str_sub(head,
							 str_is(str_sub(head, 4, 5), "_") ? 15 : 5,
							 head.len)),
					&step, NULL),
				0);
		while ((more = str_split(&next, '\n', &line)) &&
		       (indented(line) || !str_trim(clean(line)).len) && head.len) {
			struct str inner = str_trim(clean(line));
			if (!str_trim(line).len)
				break;
			if (step && inner.len)
				load_line(b, inner, step);
			x.histograms |= str_find_str(inner, STR("{{"), 0) >= 0;
			if (str_starts(inner, STR("expect")))
				expectation(&x, inner);
			else if (inner.len && x.len < 64)
				x.lines[x.len++] = inner;
		}
		x.fail |= str_starts(head, STR("eval_fail"));
		x.ordered |= str_starts(head, STR("eval_ordered"));
		x.info |= str_starts(head, STR("eval_info"));
		x.warn |= str_starts(head, STR("eval_warn"));
		ptrdiff_t at = str_find(head, ' ', 0);
		if (str_starts(head, STR("eval")) && at >= 0)
			run_line(b, str_trim(str_sub(head, (size_t)at, head.len)), &x, t);
		if (str_is(head, "clear"))
			bed_clear(b);
	}
	bed_clear(b);
	mem_free(b);
}

static bool read_file(const char *path, struct buf *out)
{
	char piece[16384];
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	for (size_t n; (n = fread(piece, 1, sizeof(piece), f)) > 0;)
		buf_add(out, piece, n);
	(void)fclose(f);
	for (size_t i = 0; i < out->len; i++)
		if (out->p[i] == '\t')
			out->p[i] = ' ';
	return true;
}

/* Each "expr:" of a rule file: on its line, or the indented block behind "|". */
static size_t each_expr(struct str text, void (*fn)(struct bed *b, struct str expr), struct bed *b)
{
	struct str line;
	size_t n = 0;
	bool more = str_split(&text, '\n', &line);
	while (more) {
		ptrdiff_t at = str_find_str(line, STR("expr:"), 0);
		struct buf expr = { 0 };
		struct str rest =
			at < 0 ? STR("") : str_trim(str_sub(line, (size_t)at + 5, line.len));
		size_t column = at < 0 ? 0 : (size_t)at;
		more = str_split(&text, '\n', &line);
		if (at < 0)
			continue;
		if (!str_starts(rest, STR("|")) && !str_starts(rest, STR(">"))) {
			buf_add_str(&expr, rest);
		} else {
			for (; more; more = str_split(&text, '\n', &line)) {
				size_t blank = 0;
				while (blank < line.len && line.p[blank] == ' ')
					blank++;
				if (blank < line.len && blank <= column)
					break;
				buf_add_str(&expr, line);
				buf_addc(&expr, '\n');
			}
		}
		fn(b, buf_str(&expr));
		buf_fini(&expr);
		n++;
	}
	return n;
}

static void evaluate_rule(struct bed *b, struct str expr)
{
	struct promql *q = NULL;
	struct arena a = { 0 };
	struct promql_result r;
	struct error err = { 0 };
	cr_assert_eq(promql_parse(expr, &q, &err), 0, "%.*s: %s", STR_ARG(expr), err.msg);
	cr_assert_eq(eval(b, q, 1600000, &a, &r, &err), 0, "%.*s: %s", STR_ARG(expr), err.msg);
	arena_fini(&a);
	promql_free(q);
}

static void public_path(char *out, size_t size, const char *folder, const char *file)
{
	const char *data = getenv("RCTL_TEST_DATA"), *src = getenv("RCTL_SRC");
	if (data)
		(void)snprintf(out, size, "%s/%s/%s", data, folder, file);
	else
		(void)snprintf(out, size, "%s/../shared/data/%s/%s", src ? src : ".", folder, file);
}

Test(promql_public, every_expression_of_rules_in_real_use_is_evaluated)
{
	char path[512];
	struct bed *b = mem_new(struct bed, 1);
	size_t n = 0;
	load_own(b);
	public_path(path, sizeof(path), "rules", "");
	DIR *d = opendir(path);
	for (struct dirent *f; d && (f = readdir(d));) {
		struct buf text = { 0 };
		public_path(path, sizeof(path), "rules", f->d_name);
		if (str_ends(str_of(f->d_name), STR(".yaml")) && read_file(path, &text))
			n += each_expr(buf_str(&text), evaluate_rule, b);
		buf_fini(&text);
	}
	if (d)
		(void)closedir(d);
	fprintf(stderr, n ? "# %zu expressions\n" : "# skipped: no public data\n", n);
	bed_clear(b);
	mem_free(b);
}

Test(promql_public, answers_as_the_tests_of_prometheus_want)
{
	static const char *const files[] = { "aggregators", "collision", "functions", "literals",
					     "operators",   "selectors", "staleness" };
	struct tally t = { 0 };
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[512], name[64];
		struct buf text = { 0 };
		struct tally before = t;
		(void)snprintf(name, sizeof(name), "%s.test", files[i]);
		public_path(path, sizeof(path), "promql", name);
		if (!read_file(path, &text))
			continue;
		run_file(buf_str(&text), &t);
		fprintf(stderr, "# %s: %zu right, %zu with native histograms left out, %zu wrong\n",
			files[i], t.passed - before.passed, t.histograms - before.histograms,
			t.wrong - before.wrong);
		buf_fini(&text);
	}
	fprintf(stderr, "# all: %zu of %zu evaluations without native histograms right\n", t.passed,
		t.passed + t.wrong);
	if (!t.passed)
		fprintf(stderr, "# skipped: no public data\n");
	cr_assert_eq(t.wrong, 0u, "%zu evaluations differ", t.wrong);
}
