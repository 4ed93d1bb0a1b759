#include "telemetry/matcher.h"

#include "regex/regex.h"

int matcher_init(struct matcher *m, enum matcher_op op, struct str name, struct str value,
		 struct error *err)
{
	*m = (struct matcher){ .op = op, .name = name, .value = value };
	if (op != MATCHER_REGEX && op != MATCHER_NOT_REGEX)
		return 0;
	m->re = regex_compile(value, REGEX_FULL, err);
	return m->re ? 0 : ERR_BAD_REQUEST;
}

void matcher_fini(struct matcher *m)
{
	m->re = regex_free(m->re);
}

bool matcher_value(const struct matcher *m, struct str value)
{
	switch (m->op) {
	case MATCHER_EQUAL:
		return str_eq(m->value, value);
	case MATCHER_NOT_EQUAL:
		return !str_eq(m->value, value);
	case MATCHER_REGEX:
		return regex_match(m->re, value) == 1;
	case MATCHER_NOT_REGEX:
	default:
		return regex_match(m->re, value) == 0;
	}
}

bool matcher_all(const struct matcher *m, size_t n, struct labels l)
{
	for (size_t i = 0; i < n; i++)
		if (!matcher_value(&m[i], labels_get(l, m[i].name)))
			return false;
	return true;
}

const char *matcher_op_text(enum matcher_op op)
{
	static const char *const TEXT[] = { "=", "!=", "=~", "!~" };
	return TEXT[op];
}
