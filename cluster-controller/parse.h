/* parse - objects of the API as the controller's plain structs.  Pure. */
#ifndef PARSE_H
#define PARSE_H

#include "state.h"

/* Fill a zeroed record from its object; all strings are in the record's arena. */
void parse_pod(struct pod *p, const struct json *obj);
void parse_node(struct node *n, const struct json *obj);
void parse_rs(struct rs *r, const struct json *obj);
void parse_job(struct batch *b, const struct json *obj);
void parse_budget(struct budget *b, const struct json *obj);
void parse_deployment(struct deployment *d, const struct json *obj);

/* Time as Unix seconds; 0 when absent or wrong. */
int64_t parse_time(const struct json *j);

/* The condition of that type, or NULL. */
const struct json *parse_condition(const struct json *conditions, const char *type);

#endif
