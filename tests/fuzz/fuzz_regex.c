#include "regex/regex.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* First line: the expression; the rest: the text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct str text = str_n((const char *)data, len > 4096 ? 4096 : len);
	struct str pattern = STR_NONE;
	if (!text.p || !str_split(&text, '\n', &pattern))
		return 0;
	struct regex *full = regex_compile(pattern, REGEX_FULL, NULL);
	struct regex *search = regex_compile(pattern, REGEX_SEARCH, NULL);
	if (!full != !search)
		abort();
	if (full) {
		/* What matches as a whole is found by searching. */
		if (regex_match(full, text) == 1 && regex_match(search, text) == 0)
			abort();
		struct buf out = { 0 };
		(void)!regex_replace_all(search, text, STR("<$0>${1}$$"), &out);
		buf_fini(&out);
	}
	struct buf quoted = { 0 };
	regex_quote(&quoted, pattern);
	struct regex *literal = regex_compile(buf_str(&quoted), REGEX_FULL, NULL);
	if (literal && regex_match(literal, pattern) != 1)
		abort();
	regex_free(literal);
	buf_fini(&quoted);
	regex_free(full);
	regex_free(search);
	return 0;
}
