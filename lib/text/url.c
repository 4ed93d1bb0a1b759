#include "text/url.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	char lower = (char)(c | 0x20);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_alpha(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_unreserved(char c)
{
	return is_alpha(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	       c == '~';
}

/* ---- splitting ---- */

static int bad(struct error *err, const char *what)
{
	return error_set(err, ERR_BAD_REQUEST, "invalid URL: %s", what);
}

static int check_bytes(struct str s, struct error *err)
{
	if (s.len == 0)
		return bad(err, "empty");
	if (s.len > URL_MAX)
		return bad(err, "too long");
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c <= 0x20 || c >= 0x7F)
			return bad(err, "invalid character");
		if (c == '%' &&
		    (s.len - i < 3 || hex_digit(s.p[i + 1]) < 0 || hex_digit(s.p[i + 2]) < 0))
			return bad(err, "invalid percent escape");
	}
	return 0;
}

/* The piece behind the first `c` of *s, which is cut off there; {NULL, 0} when there is none. */
static struct str cut(struct str *s, char c)
{
	ptrdiff_t at = str_find(*s, c, 0);
	if (at < 0)
		return STR_NONE;
	struct str behind = str_sub(*s, (size_t)at + 1, s->len);
	s->len = (size_t)at;
	return behind;
}

static int port_of(struct str s, uint16_t *ret, struct error *err)
{
	uint64_t port = 0;
	if (!str_to_u64(s, &port) || port == 0 || port > UINT16_MAX)
		return bad(err, "invalid port");
	*ret = (uint16_t)port;
	return 0;
}

/* "user@host:port", "[::1]:port" */
static int authority(struct str s, struct url *u, struct error *err)
{
	for (size_t i = s.len; i-- > 0;) {
		if (s.p[i] == '@') {
			u->userinfo = str_sub(s, 0, i);
			s = str_sub(s, i + 1, s.len);
			break;
		}
	}
	if (s.len && s.p[0] == '[') {
		ptrdiff_t close = str_find(s, ']', 0);
		if (close < 0)
			return bad(err, "missing ']' in host");
		u->host = str_sub(s, 1, (size_t)close);
		s = str_sub(s, (size_t)close + 1, s.len);
		if (!u->host.len || str_find(u->host, ':', 0) < 0)
			return bad(err, "invalid IPv6 address");
		if (!s.len)
			return 0;
		return s.p[0] == ':' ? port_of(str_sub(s, 1, s.len), &u->port, err)
				     : bad(err, "invalid host");
	}
	struct str host = s;
	struct str port = cut(&host, ':');
	u->host = host;
	for (size_t i = 0; i < host.len; i++) {
		if (!is_unreserved(host.p[i]) && host.p[i] != '%')
			return bad(err, "invalid host");
	}
	if (!host.len)
		return bad(err, "no host");
	return port.p ? port_of(port, &u->port, err) : 0;
}

static bool scheme_ok(struct str s)
{
	if (!s.len || !is_alpha(s.p[0]))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (!is_alpha(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.')
			return false;
	}
	return true;
}

int url_split(struct str s, struct url *ret, struct error *err)
{
	struct url u = { 0 };
	int rc = check_bytes(s, err);
	if (rc)
		return rc;
	u.fragment = cut(&s, '#');
	u.query = cut(&s, '?');
	if (s.len == 0 || s.p[0] != '/') {
		ptrdiff_t at = str_find_str(s, STR("://"), 0);
		if (at < 0 || !scheme_ok(str_sub(s, 0, (size_t)at)))
			return bad(err, "neither absolute nor a path");
		u.scheme = str_sub(s, 0, (size_t)at);
		s = str_sub(s, (size_t)at + 3, s.len);
		ptrdiff_t slash = str_find(s, '/', 0);
		size_t end = slash < 0 ? s.len : (size_t)slash;
		rc = authority(str_sub(s, 0, end), &u, err);
		if (rc)
			return rc;
		s = str_sub(s, end, s.len);
	}
	u.path = s;
	*ret = u;
	return 0;
}

/* ---- percent-coding ---- */

bool url_decode(struct arena *a, struct str s, bool plus, struct str *ret)
{
	if (str_find(s, '%', 0) < 0 && (!plus || str_find(s, '+', 0) < 0)) {
		*ret = s;
		return true;
	}
	char *out = arena_alloc(a, s.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (c == '%') {
			int high = s.len - i > 2 ? hex_digit(s.p[i + 1]) : -1;
			int low = s.len - i > 2 ? hex_digit(s.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(uint8_t)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		out[n++] = c;
	}
	*ret = str_n(out, n);
	return true;
}

static void encode(struct buf *out, struct str s, char keep)
{
	static const char hex[] = "0123456789ABCDEF";
	buf_reserve(out, s.len);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (is_unreserved((char)c) || (keep && c == (unsigned char)keep)) {
			buf_addc(out, (char)c);
			continue;
		}
		char text[3] = { '%', hex[c >> 4], hex[c & 15] };
		buf_add(out, text, sizeof(text));
	}
}

void url_encode(struct buf *out, struct str s)
{
	encode(out, s, '\0');
}

void url_encode_path(struct buf *out, struct str s)
{
	encode(out, s, '/');
}

/* ---- query strings ---- */

bool url_query_next(struct str *rest, struct str *key, struct str *value)
{
	struct str pair;
	do {
		if (!rest->p || !str_split(rest, '&', &pair))
			return false;
	} while (pair.len == 0);
	*value = cut(&pair, '=');
	*key = pair;
	return true;
}

struct str url_query_get(struct arena *a, struct str query, const char *key)
{
	struct str k;
	struct str v;
	while (url_query_next(&query, &k, &v)) {
		struct str name;
		struct str value;
		if (url_decode(a, k, true, &name) && str_is(name, key) &&
		    url_decode(a, v, true, &value))
			return value.p ? value : STR("");
	}
	return STR_NONE;
}

void url_query_add(struct buf *out, size_t start, struct str key, struct str value)
{
	if (out->len > start)
		buf_addc(out, '&');
	url_encode(out, key);
	buf_addc(out, '=');
	url_encode(out, value);
}
