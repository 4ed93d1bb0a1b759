#include "text/names.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

#define LABEL_FMT     "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN_FMT LABEL_FMT "(\\." LABEL_FMT ")*"
#define KEY_FMT       "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
#define KEY_RULE \
	"must consist of alphanumeric characters, '-', '_' or '.', and must start and end with " \
	"an " \
	"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for " \
	"validation is '" KEY_FMT "')"

__attribute__((format(printf, 2, 3))) static bool say(struct name_msgs *m, const char *fmt, ...)
{
	if (m && m->len < NAME_MSGS_MAX) {
		va_list ap;
		va_start(ap, fmt);
		(void)vsnprintf(m->msg[m->len++], NAME_MSG_MAX, fmt, ap);
		va_end(ap);
	}
	return false;
}

static struct name_msgs *begin(struct name_msgs *m)
{
	if (m)
		m->len = 0;
	return m;
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower_digit(char c)
{
	return is_lower(c) || is_digit(c);
}

static bool is_alnum(char c)
{
	return is_lower((char)(c | 0x20)) || is_digit(c);
}

static bool label_like(struct str s)
{
	if (!s.len || !is_lower_digit(s.p[0]) || !is_lower_digit(s.p[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_lower_digit(s.p[i]) && s.p[i] != '-')
			return false;
	}
	return true;
}

static bool subdomain_like(struct str s)
{
	if (!s.len)
		return false;
	struct str piece;
	while (str_split(&s, '.', &piece)) {
		if (!label_like(piece))
			return false;
	}
	return true;
}

static bool max_len(struct str s, size_t max, const char *prefix, struct name_msgs *m)
{
	return s.len <= max || say(m, "%smust be no more than %zu bytes", prefix, max);
}

bool name_check_dns1123_label(struct str s, struct name_msgs *msgs)
{
	bool ok = max_len(s, NAME_LABEL_MAX, "", begin(msgs));
	if (label_like(s))
		return ok;
	if (subdomain_like(s))
		return say(msgs, "must not contain dots");
	return say(
		msgs,
		"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
		"'-', and must start and end with an alphanumeric character (e.g. 'my-name',  or "
		"'123-abc', regex used for validation is '" LABEL_FMT "')");
}

static bool subdomain(struct str s, const char *prefix, struct name_msgs *msgs)
{
	bool ok = max_len(s, NAME_SUBDOMAIN_MAX, prefix, msgs);
	if (subdomain_like(s))
		return ok;
	return say(msgs,
		   "%sa lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
		   "characters, "
		   "'-' or '.', and must start and end with an alphanumeric character (e.g. "
		   "'example.com', regex used for validation is '" SUBDOMAIN_FMT "')",
		   prefix);
}

bool name_check_dns1123_subdomain(struct str s, struct name_msgs *msgs)
{
	return subdomain(s, "", begin(msgs));
}

bool name_check_dns1035_label(struct str s, struct name_msgs *msgs)
{
	bool ok = max_len(s, NAME_LABEL_MAX, "", begin(msgs));
	if (label_like(s) && is_lower(s.p[0]))
		return ok;
	return say(
		msgs,
		"a DNS-1035 label must consist of lower case alphanumeric characters or '-', start "
		"with an alphabetic character, and end with an alphanumeric character (e.g. "
		"'my-name',  or 'abc-123', regex used for validation is "
		"'[a-z]([-a-z0-9]*[a-z0-9])?')");
}

static bool key_like(struct str s)
{
	if (!s.len || !is_alnum(s.p[0]) || !is_alnum(s.p[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_alnum(s.p[i]) && !memchr("-_.", s.p[i], 3))
			return false;
	}
	return true;
}

bool name_check_qualified(struct str s, struct name_msgs *msgs)
{
	bool ok = true;
	(void)begin(msgs);
	struct str name = s;
	ptrdiff_t slash = str_find(s, '/', 0);
	if (slash >= 0) {
		struct str prefix = str_sub(s, 0, (size_t)slash);
		name = str_sub(s, (size_t)slash + 1, s.len);
		if (str_find(name, '/', 0) >= 0)
			return say(msgs, "a valid label key " KEY_RULE
					 " with an optional DNS subdomain prefix "
					 "and '/' (e.g. 'example.com/MyName')");
		ok = prefix.len ? subdomain(prefix, "prefix part ", msgs)
				: say(msgs, "prefix part must be non-empty");
	}
	if (!name.len)
		ok = say(msgs, "name part must be non-empty");
	else
		ok = max_len(name, NAME_LABEL_MAX, "name part ", msgs) && ok;
	return key_like(name) ? ok : say(msgs, "name part " KEY_RULE);
}

bool name_check_label_value(struct str s, struct name_msgs *msgs)
{
	bool ok = max_len(s, NAME_LABEL_MAX, "", begin(msgs));
	if (!s.len || key_like(s))
		return ok;
	return say(
		msgs,
		"a valid label must be an empty string or consist of alphanumeric characters, '-', "
		"'_' or '.', and must start and end with an alphanumeric character (e.g. "
		"'MyValue',  "
		"or 'my_value',  or '12345', regex used for validation is '(" KEY_FMT ")?')");
}

/* What would lead a file of that name elsewhere. */
static bool no_dot_path(struct str s, struct name_msgs *msgs)
{
	if (str_is(s, "."))
		return say(msgs, "must not be '.'");
	if (str_is(s, ".."))
		return say(msgs, "must not be '..'");
	return !str_starts(s, STR("..")) || say(msgs, "must not start with '..'");
}

bool name_check_config_map_key(struct str s, struct name_msgs *msgs)
{
	bool ok = max_len(s, NAME_SUBDOMAIN_MAX, "", begin(msgs));
	bool chars = s.len > 0;
	for (size_t i = 0; i < s.len && chars; i++)
		chars = is_alnum(s.p[i]) || memchr("-._", s.p[i], 3);
	if (!chars)
		ok = say(msgs, "a valid config key must consist of alphanumeric characters, '-', "
			       "'_' or '.' "
			       "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for "
			       "validation is "
			       "'[-._a-zA-Z0-9]+')");
	return no_dot_path(s, msgs) && ok;
}

bool name_check_env_var(struct str s, struct name_msgs *msgs)
{
	(void)begin(msgs);
	bool ok = s.len > 0 && !is_digit(s.p[0]);
	for (size_t i = 0; i < s.len && ok; i++)
		ok = is_alnum(s.p[i]) || memchr("-._", s.p[i], 3);
	if (!ok)
		(void)say(
			msgs,
			"a valid environment variable name must consist of alphabetic characters, "
			"digits, '_', '-', or '.', and must not start with a digit (e.g. "
			"'my.env-name',  "
			"or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is "
			"'[-._a-zA-Z][-._a-zA-Z0-9]*')");
	return no_dot_path(s, msgs) && ok;
}

bool name_check_port_name(struct str s, struct name_msgs *msgs)
{
	bool ok = max_len(s, 15, "", begin(msgs));
	bool chars = s.len > 0;
	bool letter = false;
	for (size_t i = 0; i < s.len; i++) {
		chars = chars && (is_lower_digit(s.p[i]) || s.p[i] == '-');
		letter = letter || is_lower(s.p[i]);
	}
	if (!chars)
		ok = say(msgs,
			 "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
	if (!letter)
		ok = say(msgs, "must contain at least one letter (a-z)");
	if (str_find_str(s, STR("--"), 0) >= 0)
		ok = say(msgs, "must not contain consecutive hyphens");
	if (s.len && (s.p[0] == '-' || s.p[s.len - 1] == '-'))
		ok = say(msgs, "must not begin or end with a hyphen");
	return ok;
}

bool name_check_path_segment(struct str s, struct name_msgs *msgs)
{
	(void)begin(msgs);
	if (str_is(s, ".") || str_is(s, ".."))
		return say(msgs, "may not be '%.*s'", STR_ARG(s));
	bool ok = true;
	if (str_find(s, '/', 0) >= 0)
		ok = say(msgs, "may not contain '/'");
	if (str_find(s, '%', 0) >= 0)
		ok = say(msgs, "may not contain '%%'");
	return ok;
}

bool name_check_wildcard_subdomain(struct str s, struct name_msgs *msgs)
{
	bool ok = max_len(s, NAME_SUBDOMAIN_MAX, "", begin(msgs));
	if (str_starts(s, STR("*.")) && subdomain_like(str_sub(s, 2, s.len)))
		return ok;
	return say(msgs,
		   "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS "
		   "subdomain, which must consist of lower case alphanumeric characters, '-' or "
		   "'.' and "
		   "end with an alphanumeric character (e.g. '*.example.com', regex used for "
		   "validation "
		   "is '\\*\\." SUBDOMAIN_FMT "')");
}

/* Bits of an address of that family: 32, 128, or 0 when s is none. */
static unsigned ip_bits(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	if (s.len >= sizeof(text) || memchr(s.p ? s.p : "", '\0', s.len))
		return 0;
	memcpy(text, s.p ? s.p : "", s.len);
	text[s.len] = '\0';
	if (inet_pton(AF_INET, text, bytes) == 1)
		return 32;
	return inet_pton(AF_INET6, text, bytes) == 1 ? 128 : 0;
}

bool name_check_ip(struct str s, struct name_msgs *msgs)
{
	(void)begin(msgs);
	return ip_bits(s) ||
	       say(msgs, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

bool name_check_cidr(struct str s, struct name_msgs *msgs)
{
	(void)begin(msgs);
	ptrdiff_t slash = str_find(s, '/', 0);
	uint64_t bits = 0;
	if (slash > 0) {
		struct str len = str_sub(s, (size_t)slash + 1, s.len);
		bool plain = len.len && len.len <= 3 && (len.p[0] != '0' || len.len == 1);
		if (plain && str_to_u64(len, &bits) && ip_bits(str_sub(s, 0, (size_t)slash)) &&
		    bits <= ip_bits(str_sub(s, 0, (size_t)slash)))
			return true;
	}
	return say(msgs, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
}
