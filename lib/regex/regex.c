#include "base/mem.h"
#include "base/utf8.h"
#include "regex/regex_priv.h"

#include <assert.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { HEAP_KIB_MAX = 16384 }; /* of one match without JIT */

struct regex {
	pcre2_code *code;
	pcre2_match_context *context; /* limits; only read after creation */
	enum regex_mode mode;
	uint32_t groups;
};

static int compile(struct regex *re, struct str pattern, struct error *err)
{
	struct buf text = { 0 };
	int rc = regex_translate(pattern, &text, err);
	if (rc) {
		buf_fini(&text);
		return rc;
	}
	uint32_t options = PCRE2_UTF | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY |
			   PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UCP;
	if (re->mode == REGEX_FULL)
		options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
	int code = 0;
	PCRE2_SIZE at = 0;
	re->code = pcre2_compile((PCRE2_SPTR)buf_cstr(&text), text.len, options, &code, &at, NULL);
	buf_fini(&text);
	if (!re->code) {
		char what[128] = "";
		(void)pcre2_get_error_message(code, (PCRE2_UCHAR *)what, sizeof(what));
		return error_set(err, ERR_BAD_REQUEST, "error parsing regexp: %s: `%.*s`", what,
				 STR_ARG(pattern));
	}
	return 0;
}

struct regex *regex_compile(struct str pattern, enum regex_mode mode, struct error *err)
{
	if (pattern.len > REGEX_PATTERN_MAX) {
		(void)error_set(err, ERR_BAD_REQUEST,
				"regular expression of %zu bytes, the limit is %d", pattern.len,
				REGEX_PATTERN_MAX);
		return NULL;
	}
	if (!utf8_valid(pattern)) {
		(void)error_set(err, ERR_BAD_REQUEST, "error parsing regexp: invalid UTF-8");
		return NULL;
	}
	struct regex *re = mem_new(struct regex, 1);
	re->mode = mode;
	if (compile(re, pattern, err))
		return regex_free(re);
	/* Without JIT (forbidden by the system) matching is slower, not wrong. */
	(void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
	re->context = pcre2_match_context_create(NULL);
	if (!re->context)
		mem_abort();
	(void)pcre2_set_match_limit(re->context, REGEX_MATCH_LIMIT);
	(void)pcre2_set_heap_limit(re->context, HEAP_KIB_MAX);
	(void)pcre2_pattern_info(re->code, PCRE2_INFO_CAPTURECOUNT, &re->groups);
	return re;
}

struct regex *regex_free(struct regex *re)
{
	if (re) {
		pcre2_match_context_free(re->context);
		pcre2_code_free(re->code);
		mem_free(re);
	}
	return NULL;
}

static int run(const struct regex *re, struct str text, size_t from, pcre2_match_data *md)
{
	PCRE2_SPTR p = (PCRE2_SPTR)(text.p ? text.p : "");
	int rc = pcre2_match(re->code, p, text.len, from, 0, md, re->context);
	if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
		rc = pcre2_match(re->code, p, text.len, from, PCRE2_NO_JIT, md, re->context);
	if (rc >= 0)
		return 1;
	if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT ||
	    rc == PCRE2_ERROR_DEPTHLIMIT || rc == PCRE2_ERROR_NOMEMORY)
		return ERR_LIMIT;
	return 0;
}

int regex_match(const struct regex *re, struct str text)
{
	return regex_exec(re, text, 0, NULL, 0);
}

int regex_exec(const struct regex *re, struct str text, size_t from, struct str *groups, size_t max)
{
	assert(from <= text.len);
	pcre2_match_data *md = pcre2_match_data_create(re->groups + 1, NULL);
	if (!md)
		mem_abort();
	int rc = run(re, text, from, md);
	if (rc == 1) {
		const PCRE2_SIZE *at = pcre2_get_ovector_pointer(md);
		for (size_t i = 0; i < max; i++) {
			bool part = i <= re->groups && at[2 * i] != PCRE2_UNSET;
			groups[i] = part ? str_n((text.p ? text.p : "") + at[2 * i],
						 at[2 * i + 1] - at[2 * i])
					 : STR_NONE;
		}
	}
	pcre2_match_data_free(md);
	return rc;
}

size_t regex_groups(const struct regex *re)
{
	return re->groups;
}

int regex_group_index(const struct regex *re, struct str name)
{
	char text[64];
	if (name.len >= sizeof(text) || !name.len)
		return -1;
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	int i = pcre2_substring_number_from_name(re->code, (PCRE2_SPTR)text);
	return i > 0 ? i : -1;
}

/* ---- templates ---- */

static bool is_word(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static struct str group_of(const struct regex *re, struct str name, const struct str *groups,
			   size_t len)
{
	uint64_t i = 0;
	if (!str_to_u64(name, &i)) {
		int index = regex_group_index(re, name);
		i = index < 0 ? UINT64_MAX : (uint64_t)index;
	}
	return i < len ? groups[i] : STR_NONE;
}

/* The reference behind a "$" at the start of `s`; its length in bytes, 0 when it is none. */
static size_t reference(struct str s, struct str *ret_name)
{
	bool brace = s.len && s.p[0] == '{';
	size_t begin = brace;
	size_t end = begin;
	while (end < s.len && is_word(s.p[end]))
		end++;
	if (end == begin || (brace && (end == s.len || s.p[end] != '}')))
		return 0;
	*ret_name = str_sub(s, begin, end);
	return end + brace;
}

void regex_expand(const struct regex *re, struct str tmpl, const struct str *groups, size_t len,
		  struct buf *out)
{
	while (tmpl.len) {
		ptrdiff_t at = str_find(tmpl, '$', 0);
		size_t plain = at < 0 ? tmpl.len : (size_t)at;
		buf_add(out, tmpl.p, plain);
		tmpl = str_n(tmpl.p + plain, tmpl.len - plain);
		if (!tmpl.len)
			break;
		struct str behind = str_n(tmpl.p + 1, tmpl.len - 1);
		struct str name = STR_NONE;
		size_t n = reference(behind, &name);
		if (n)
			buf_add_str(out, group_of(re, name, groups, len));
		else
			buf_addc(out, '$'); /* "$$", or a dollar that refers to nothing */
		if (!n && behind.len && behind.p[0] == '$')
			n = 1;
		tmpl = str_n(behind.p + n, behind.len - n);
	}
}

int regex_replace_all(const struct regex *re, struct str text, struct str tmpl, struct buf *out)
{
	struct str groups[REGEX_GROUPS_MAX];
	size_t done = 0; /* copied so far */
	size_t last_end = SIZE_MAX;
	int any = 0;
	if (!text.p)
		text.p = "";
	for (size_t from = 0; from <= text.len;) {
		int rc = regex_exec(re, text, from, groups, REGEX_GROUPS_MAX);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
		size_t begin = (size_t)(groups[0].p - text.p);
		size_t end = begin + groups[0].len;
		/* Right behind a match no empty one counts. */
		if (end > begin || begin != last_end) {
			buf_add_str(out, str_sub(text, done, begin));
			regex_expand(re, tmpl, groups, REGEX_GROUPS_MAX, out);
			done = last_end = end;
			any = 1;
		}
		size_t step = end > begin ? 0 : utf8_len(text.p + end, text.p + text.len);
		from = end + (end > begin ? 0 : step ? step : 1);
	}
	buf_add_str(out, str_sub(text, done, text.len));
	return any;
}

void regex_quote(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (memchr("\\.+*?()|[]{}^$", s.p[i], 14))
			buf_addc(out, '\\');
		buf_addc(out, s.p[i]);
	}
}
