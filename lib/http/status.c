#include "http/http_priv.h"
#include "sys/clock.h"

#include <stdio.h>

const char *http_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} table[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (table[i].status == status)
			return table[i].text;
	}
	return "Status";
}

/* Days to civil date by eras of 400 years, March first, so that the leap day is the last one. */
void http_date(int64_t unix_s, char out[32])
{
	static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	unsigned day = (unsigned)(unix_s / 86400);
	unsigned second = (unsigned)(unix_s % 86400);
	unsigned z = day + 719468;
	unsigned era = z / 146097;
	unsigned day_of_era = z - era * 146097;
	unsigned year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	unsigned day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned mp = (5 * day_of_year + 2) / 153;
	unsigned month = mp < 10 ? mp + 2 : mp - 10; /* from 0 */
	unsigned year = year_of_era + era * 400 + (month < 2);
	(void)snprintf(out, 32, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[day % 7],
		       day_of_year - (153 * mp + 2) / 5 + 1, months[month], year % 10000,
		       second / 3600, second / 60 % 60, second % 60);
}

const char *server_date(struct server_loop *l)
{
	uint64_t now = loop_now_ms(l->pub.loop);
	if (l->date_ms == 0 || now - l->date_ms >= 500) {
		l->date_ms = now;
		http_date(clock_unix_ms() / 1000, l->date);
	}
	return l->date;
}
