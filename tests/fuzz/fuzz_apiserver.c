/* What stands in a request before anybody is known: path, query, Accept, continue token. */
#include "apiserver/route.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "BREW" };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct arena a = { 0 };
	struct error err = { 0 };
	struct str text = { (const char *)data + 1, size - 1 };
	struct route r;
	struct options o;
	struct accept accept;
	struct continue_token t;
	if (route_parse(&a, str_of(methods[data[0] % 7]), text, &r, &err) == 0) {
		assert(!r.is_resource || r.verb.len > 0);
		/* Names become parts of keys: no separator may have got in. */
		assert(str_find(r.name, '/', 0) < 0 && str_find(r.ns, '/', 0) < 0);
		assert(str_find(r.resource, '/', 0) < 0 && str_find(r.name, '\0', 0) < 0);
		if (options_parse(&a, r.query, &o, &err) == 0)
			assert(o.limit >= 0 && o.resource_version >= -1);
	}
	if (accept_parse(text, text, &accept, &err) == 0)
		assert(accept.as <= AS_PARTIAL);
	(void)accept_wants_aggregated(text);
	(void)content_type_of(&a, text);
	if (continue_read(&a, text, &t, &err) == 0) {
		struct continue_token back;
		int rc = continue_read(&a, continue_write(&a, &t), &back, &err);
		assert(rc == 0 && back.rev == t.rev && str_eq(back.start, t.start));
	}
	arena_fini(&a);
	return 0;
}
