#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Adding a code: one line in enum err_code, one line here. */
static const struct {
	int http;
	const char *reason;
} table[] = {
	[-ERR_OK] = { 200, "" },
	[-ERR_BAD_REQUEST] = { 400, "BadRequest" },
	[-ERR_UNAUTHORIZED] = { 401, "Unauthorized" },
	[-ERR_FORBIDDEN] = { 403, "Forbidden" },
	[-ERR_NOT_FOUND] = { 404, "NotFound" },
	[-ERR_METHOD] = { 405, "MethodNotAllowed" },
	[-ERR_NOT_ACCEPTABLE] = { 406, "NotAcceptable" },
	[-ERR_EXISTS] = { 409, "AlreadyExists" },
	[-ERR_CONFLICT] = { 409, "Conflict" },
	[-ERR_EXPIRED] = { 410, "Expired" },
	[-ERR_TOO_LARGE] = { 413, "RequestEntityTooLarge" },
	[-ERR_MEDIA_TYPE] = { 415, "UnsupportedMediaType" },
	[-ERR_INVALID] = { 422, "Invalid" },
	[-ERR_LIMIT] = { 429, "TooManyRequests" },
	[-ERR_INTERNAL] = { 500, "InternalError" },
	[-ERR_UNAVAILABLE] = { 503, "ServiceUnavailable" },
	[-ERR_TIMEOUT] = { 504, "Timeout" },
	[-ERR_UNKNOWN] = { 500, "InternalError" },
	[-ERR_NOT_SERVED] = { 501, "NotImplemented" },
};
_Static_assert(sizeof(table) / sizeof(table[0]) == -ERR_CODE_MIN + 1, "every error code has a row");

int error_set(struct error *err, enum err_code code, const char *fmt, ...)
{
	assert(code < ERR_OK && code >= ERR_CODE_MIN);
	if (!err)
		return code;

	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	err->code = code;
	return code;
}

int error_errno(struct error *err, enum err_code code, int errnum, const char *fmt, ...)
{
	assert(code < ERR_OK && code >= ERR_CODE_MIN);
	if (!err)
		return code;

	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	size_t n = strlen(err->msg);
	char text[128];
	(void)snprintf(err->msg + n, sizeof(err->msg) - n, ": %s",
		       strerror_r(errnum, text, sizeof(text)));
	err->code = code;
	return code;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
	if (!err)
		return ERR_INTERNAL;
	assert(err->code < ERR_OK);

	struct error inner = *err;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	size_t n = strlen(err->msg);
	(void)snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", inner.msg);
	return err->code;
}

int error_http_status(enum err_code code)
{
	assert(code <= ERR_OK && code >= ERR_CODE_MIN);
	return table[-code].http;
}

const char *error_reason(enum err_code code)
{
	assert(code <= ERR_OK && code >= ERR_CODE_MIN);
	return table[-code].reason;
}

enum err_code error_from_http(int status, const char *reason)
{
	if (status < 400)
		return ERR_OK;
	enum err_code by_status = status >= 500 ? ERR_INTERNAL : ERR_BAD_REQUEST;
	bool found = false;
	for (int i = 1; i <= -ERR_CODE_MIN; i++) {
		if (table[i].http != status)
			continue;
		if (strcmp(table[i].reason, reason) == 0)
			return (enum err_code) - i;
		if (!found)
			by_status = (enum err_code) - i;
		found = true;
	}
	return by_status == ERR_EXISTS ? ERR_CONFLICT : by_status;
}
