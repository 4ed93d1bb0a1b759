/* kind/meta - the rules of metadata that hold for every kind. */
#ifndef KIND_META_H
#define KIND_META_H

#include "kind/kind.h"
#include "schema/path.h"
#include "text/names.h"

enum {
	KIND_ANNOTATIONS_BYTES_MAX = 256 << 10,
	KIND_FINALIZERS_MAX = 256,
	/* Labels and owners: WATCH_LABELS_MAX, WATCH_OWNERS_MAX, since the index has room for no more. */
};

void kind_check_meta(const struct kind *k, const struct json *obj, const struct json *old,
		     struct kind_check *c);

/* Adds one FIELD_INVALID for each thing that `check` finds wrong with s. */
void kind_check_name(struct kind_check *c, struct str path, struct str s, name_check_fn check);
void kind_check_name_at(struct kind_check *c, const struct field_path *at, struct str s,
			name_check_fn check);

/* False, with FIELD_TOO_MANY, when the list or object has more than `max` children. */
bool kind_check_count(struct kind_check *c, const struct field_path *at, const struct json *j,
		      size_t max);

/* The labels at `path`. */
void kind_check_labels(struct kind_check *c, struct str path, const struct json *labels);

#endif
