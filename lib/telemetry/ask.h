/*
 * telemetry/ask - the parameters and answers of Prometheus' HTTP API, between HTTP and the metrics store.  Pure.
 */
#ifndef TELEMETRY_ASK_H
#define TELEMETRY_ASK_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "telemetry/mstore.h"

enum { ASK_FORM_BYTES_MAX = 64 << 10 }; /* of a body */

/* The form that a request brings along, "" when it is no POST.  ERR_BAD_REQUEST: another method, or no form. */
ATTR_MUSTCHECK int ask_form(struct str method, struct str content_type, struct str body,
			    struct str *ret, struct error *err);

/* Which question, by its path; and its parameters, encoded. */
struct ask_request {
	enum mstore_kind kind;
	struct str path_rest; /* VALUES: "NAME/values" */
	struct str query, form;
};

/* Into the arena.  ERR_BAD_REQUEST with Prometheus' words. */
ATTR_MUSTCHECK int ask_read(struct arena *a, const struct ask_request *req, struct mstore_ask *ret,
			    struct error *err);

/* Appends the body of the answer and returns the HTTP status; data as mstore_answer_fn gets it. */
int ask_write(const struct error *err, struct str data, struct buf *out);

#endif
