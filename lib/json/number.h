/* Decimal text to numbers and back; inside lib/json alone. */
#ifndef JSON_NUMBER_H
#define JSON_NUMBER_H

#include "json/json.h"

enum json_number_result {
	JSON_NUMBER_OK,
	JSON_NUMBER_BAD,   /* no JSON number; *s is where it goes wrong */
	JSON_NUMBER_RANGE, /* larger than any double */
};

/* The longest JSON number at *s (before end); *s moves behind it. */
enum json_number_result json_number_scan(const char **s, const char *end, struct json *ret);

#endif
