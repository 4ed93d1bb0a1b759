/*
 * verbs - the table of rctl's verbs, and what is made from it: --help, the manual page, completion.
 */
#ifndef VERBS_H
#define VERBS_H

#include "rctl.h"

#include <stddef.h>
#include <stdio.h>

struct verb {
	const char *name;
	verb_fn fn;
	unsigned groups; /* OPT_… of options.h */
	const char *args, *help;
};

size_t verbs_count(void);
const struct verb *verbs_at(size_t i);
const struct verb *verbs_find(const char *name); /* NULL = none */

void verbs_help(FILE *out);
void verbs_help_of(const struct verb *v);

/* The manual page rctl(1) in troff's man macros. */
void verbs_man(FILE *out);

/* The script for bash, zsh or fish; the exit status. */
int verbs_completion(const char *shell);
/* One line for each word that may stand where the last argument is. */
int verbs_complete(struct rctl *r, int argc, char **argv);

#endif
