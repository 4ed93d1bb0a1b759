/*
 * base/error - the one error value of the project.
 *
 * Every function that can fail for a reason the caller may want to know takes
 * a `struct error *err` as LAST parameter and returns 0 or a negative
 * `enum err_code`.  On success `err` is left untouched; on failure it is
 * filled once, where the failure is noticed, and callers only add context with
 * error_wrap().  Library code never logs an error it also returns.
 *
 * The value has a fixed size and lives on the caller's stack: reporting an
 * error allocates nothing, so it works when memory is short.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/attr.h"

enum err_code {
	ERR_OK = 0,
	ERR_BAD_REQUEST = -1,    /* the input cannot be understood: syntax, wrong type (400) */
	ERR_UNAUTHORIZED = -2,   /* who is asking is not known (401) */
	ERR_FORBIDDEN = -3,      /* who is asking may not (403) */
	ERR_NOT_FOUND = -4,      /* no such object (404) */
	ERR_METHOD = -5,         /* the resource has no such verb (405) */
	ERR_NOT_ACCEPTABLE = -6, /* no common representation (406) */
	ERR_EXISTS = -7,         /* the name is taken (409 AlreadyExists) */
	ERR_CONFLICT = -8,       /* the object changed since it was read (409 Conflict) */
	ERR_EXPIRED = -9,        /* the revision lies outside the kept history (410) */
	ERR_TOO_LARGE = -10,     /* the body is over its limit (413) */
	ERR_MEDIA_TYPE = -11,    /* the body's type does not apply here (415) */
	ERR_INVALID = -12,       /* understood, but breaks a documented rule (422) */
	ERR_LIMIT = -13,         /* a configured bound would be crossed; try later (429) */
	ERR_INTERNAL = -14,      /* our own fault; nothing the caller can do (500) */
	ERR_UNAVAILABLE = -15,   /* a dependency does not answer; try later (503) */
	ERR_TIMEOUT = -16,       /* not done in the time given (504) */
	ERR_UNKNOWN = -17,       /* a write that may or may not have happened (500) */
	ERR_NOT_SERVED = -18,    /* the protocol has it, this server does not (501) */
	ERR_CODE_MIN = ERR_NOT_SERVED,
};

struct error {
	enum err_code code; /* ERR_OK until set */
	char msg[508];      /* one line, no trailing full stop, outermost context first */
};

/*
 * Fills *err and returns `code`, so that `return error_set(err, ...)` reads as
 * one statement.  `err` may be NULL when nobody wants the text.
 */
int error_set(struct error *err, enum err_code code, const char *fmt, ...) ATTR_PRINTF(3, 4);

/* As error_set with ": " and the text of errno value `errnum` behind the message. */
int error_errno(struct error *err, enum err_code code, int errnum, const char *fmt, ...)
	ATTR_PRINTF(4, 5);

/* Puts "context: " before the message.  Returns err->code (ERR_INTERNAL if err is NULL). */
int error_wrap(struct error *err, const char *fmt, ...) ATTR_PRINTF(2, 3);

/* HTTP status and Kubernetes Status.reason of a code; static strings. */
int error_http_status(enum err_code code);
const char *error_reason(enum err_code code);

/* The code of an answer {HTTP status, Status.reason or ""}: the inverse of the two above. */
enum err_code error_from_http(int status, const char *reason);

#endif
