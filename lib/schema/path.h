/*
 * schema/path - a place in a document as a chain on the C stack: made into text
 * ("spec.containers[0].image") only when there is something to say about it.
 *
 *   struct field_path root = FIELD_ROOT(STR("spec"));
 *   struct field_path list = FIELD_MEMBER(&root, STR("containers"));
 *   field_error_at(errors, FIELD_INVALID, &FIELD_INDEX(&list, 0), value, "must be …");
 */
#ifndef SCHEMA_PATH_H
#define SCHEMA_PATH_H

#include "base/buf.h"
#include "schema/schema.h"

struct field_path {
	const struct field_path *up; /* NULL: the root; then name is the prefix */
	struct str name;             /* member, or map key when `key`; empty: element `index` */
	size_t index;
	bool key;
};

#define FIELD_ROOT(prefix)     ((struct field_path){ NULL, (prefix), 0, false })
#define FIELD_MEMBER(up, name) ((struct field_path){ (up), (name), 0, false })
#define FIELD_KEY(up, name)    ((struct field_path){ (up), (name), 0, true })
#define FIELD_INDEX(up, i)     ((struct field_path){ (up), STR_NONE, (i), false })

/* Appends the text. */
void field_path_write(const struct field_path *p, struct buf *out);

/* As field_error_add. */
void field_error_at(struct field_errors *e, enum field_reason reason, const struct field_path *at,
		    const struct json *value, const char *detail, ...) ATTR_PRINTF(5, 6);

#endif
