/* Shared by the files of lib/yaml alone. */
#ifndef YAML_YAML_PRIV_H
#define YAML_YAML_PRIV_H

#include "yaml/yaml.h"

/*
 * One value of a document.  Entries hang together as the tree does: `child` is
 * the first element or member, `next` the one behind; both are indexes + 1 and
 * 0 when there is none.  An alias shares the children of its anchor.
 */
struct yaml_line {
	uint32_t line;
	uint32_t child, next;
};

/* The table under construction, on the heap. */
struct yaml_lines {
	struct yaml_line *v;
	uint32_t len, cap;
};

/* Adds an entry and returns its index + 1. */
uint32_t yaml_lines_add(struct yaml_lines *l, uint32_t line);

/* The lines of JSON text that parsed without error, first line `line`. */
void yaml_lines_of_json(struct yaml_lines *l, struct str text);

/* What a plain scalar is, by the rules of YAML 1.1 as kubectl applies them. */
enum yaml_plain { YAML_PLAIN_STRING, YAML_PLAIN_VALUE, YAML_PLAIN_NOT_FINITE };

/* For YAML_PLAIN_VALUE *ret is null, a boolean or a number; else it is untouched. */
enum yaml_plain yaml_resolve(struct str s, struct json *ret);

/* Would be read as a time or a base 60 number by some reader of YAML 1.1: written in quotes. */
bool yaml_like_time(struct str s);

#endif
