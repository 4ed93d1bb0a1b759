#include "telemetry/labels.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "json/json.h"

#include <assert.h>

struct str labels_get(struct labels l, struct str name)
{
	for (size_t i = 0; i < l.len; i++)
		if (str_eq(l.v[i].name, name))
			return l.v[i].value;
	return STR("");
}

bool labels_equal(struct labels a, struct labels b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (!str_eq(a.v[i].name, b.v[i].name) || !str_eq(a.v[i].value, b.v[i].value))
			return false;
	return true;
}

void labels_key(struct labels l, struct buf *out)
{
	for (size_t i = 0; i < l.len; i++) {
		buf_add_str(out, l.v[i].name);
		buf_addc(out, '\0');
		buf_add_str(out, l.v[i].value);
		buf_addc(out, '\0');
	}
}

static bool valid(struct str s, bool colon)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
			      (colon && c == ':');
		if (!letter && !(i > 0 && c >= '0' && c <= '9'))
			return false;
	}
	return s.len > 0;
}

bool labels_name_valid(struct str s)
{
	return valid(s, false);
}

bool labels_metric_valid(struct str s)
{
	return valid(s, true);
}

static void sort(struct label *v, size_t n)
{
	/* Nearly always sorted already. */
	for (size_t i = 1; i < n; i++) {
		struct label x = v[i];
		size_t k = i;
		for (; k > 0 && str_cmp(v[k - 1].name, x.name) > 0; k--)
			v[k] = v[k - 1];
		v[k] = x;
	}
}

static int check_one(const struct label *l, struct error *err)
{
	if (!labels_name_valid(l->name))
		return error_set(err, ERR_BAD_REQUEST, "invalid label name \"%.*s\"",
				 STR_ARG(str_sub(l->name, 0, 100)));
	if (!utf8_valid(l->value) || str_find(l->value, '\0', 0) >= 0)
		return error_set(err, ERR_BAD_REQUEST, "the value of label \"%.*s\" is not text",
				 STR_ARG(l->name));
	if (str_eq(l->name, LABELS_NAME) && !labels_metric_valid(l->value))
		return error_set(err, ERR_BAD_REQUEST, "invalid metric name \"%.*s\"",
				 STR_ARG(str_sub(l->value, 0, 100)));
	return 0;
}

int labels_check(struct label *v, size_t *len, size_t bytes_max, struct error *err)
{
	size_t n = 0, bytes = 0;
	if (*len > LABELS_MAX)
		return error_set(err, ERR_LIMIT, "%zu labels, at most %d", *len, LABELS_MAX);
	for (size_t i = 0; i < *len; i++) {
		if (!v[i].value.len)
			continue;
		int rc = check_one(&v[i], err);
		if (rc)
			return rc;
		bytes += v[i].name.len + v[i].value.len;
		v[n++] = v[i];
	}
	if (bytes > bytes_max)
		return error_set(err, ERR_LIMIT, "labels of %zu bytes, at most %zu", bytes,
				 bytes_max);
	sort(v, n);
	for (size_t i = 1; i < n; i++)
		if (str_eq(v[i - 1].name, v[i].name))
			return error_set(err, ERR_BAD_REQUEST, "label \"%.*s\" stands twice",
					 STR_ARG(v[i].name));
	*len = n;
	return 0;
}

struct labels_own *labels_own(struct labels l)
{
	size_t bytes = 0;
	for (size_t i = 0; i < l.len; i++)
		bytes += l.v[i].name.len + l.v[i].value.len;
	struct labels_own *o = mem_calloc(1, sizeof(*o) + l.len * sizeof(struct label) + bytes);
	char *p = (char *)(o->v + l.len);
	o->l = (struct labels){ o->v, l.len };
	for (size_t i = 0; i < l.len; i++) {
		const struct label *x = &l.v[i];
		memcpy(p, x->name.p, x->name.len);
		o->v[i].name = str_n(p, x->name.len);
		p += x->name.len;
		memcpy(p, x->value.p, x->value.len);
		o->v[i].value = str_n(p, x->value.len);
		p += x->value.len;
	}
	return o;
}

void labels_write_json(struct labels l, struct buf *out)
{
	buf_addc(out, '{');
	for (size_t i = 0; i < l.len; i++) {
		if (i)
			buf_addc(out, ',');
		json_write_str(out, l.v[i].name);
		buf_addc(out, ':');
		json_write_str(out, l.v[i].value);
	}
	buf_addc(out, '}');
}

int labels_read_json(struct arena *a, struct str json, struct labels *ret, struct error *err)
{
	struct json doc;
	int rc = json_parse(a, json, NULL, &doc, err);
	if (rc)
		return rc;
	size_t n = json_len(&doc);
	if (!json_is(&doc, JSON_OBJECT) || n > LABELS_MAX)
		return error_set(err, ERR_BAD_REQUEST, "not a set of labels");
	struct label *v = arena_new(a, struct label, n + 1);
	for (size_t i = 0; i < n; i++)
		v[i] = (struct label){ json_str(&doc.members[i].key),
				       json_str(&doc.members[i].value) };
	rc = labels_check(v, &n, SIZE_MAX, err);
	if (rc)
		return rc;
	*ret = (struct labels){ v, n };
	return 0;
}

void labels_write_text(struct labels l, struct buf *out)
{
	bool first = true;
	buf_add_str(out, labels_get(l, LABELS_NAME));
	buf_addc(out, '{');
	for (size_t i = 0; i < l.len; i++) {
		if (str_eq(l.v[i].name, LABELS_NAME))
			continue;
		if (!first)
			buf_adds(out, ", ");
		first = false;
		buf_add_str(out, l.v[i].name);
		buf_addc(out, '=');
		json_write_str(out, l.v[i].value);
	}
	buf_addc(out, '}');
}

void labels_write_pairs(struct labels l, struct buf *out)
{
	for (size_t i = 0; i < l.len; i++) {
		buf_adds(out, i ? ", " : "");
		buf_add_str(out, l.v[i].name);
		buf_addc(out, '=');
		json_write_str(out, l.v[i].value);
	}
}
