/* Shared by the files of lib/regex alone. */
#ifndef REGEX_REGEX_PRIV_H
#define REGEX_REGEX_PRIV_H

#include "regex/regex.h"

/* Appends what PCRE2 must be given to mean what `pattern` means to RE2; ERR_BAD_REQUEST. */
int regex_translate(struct str pattern, struct buf *out, struct error *err);

#endif
