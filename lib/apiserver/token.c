/* Continue tokens: the same bytes as kube-apiserver's, so that they look familiar; clients take them as opaque. */
#include "apiserver/route.h"
#include "json/json.h"
#include "text/base64.h"

enum { TOKEN_MAX = 4096 };

struct str continue_write(struct arena *a, const struct continue_token *t)
{
	struct buf plain = { 0 }, coded = { 0 };
	buf_adds(&plain, "{\"v\":\"meta.k8s.io/v1\",\"rv\":");
	buf_add_i64(&plain, t->rev);
	buf_adds(&plain, ",\"start\":");
	json_write_str(&plain, t->start);
	buf_addc(&plain, '}');
	base64url_write(&coded, plain.p, plain.len);
	struct str text = arena_str(a, buf_str(&coded));
	buf_fini(&plain);
	buf_fini(&coded);
	return text;
}

static bool read_token(struct arena *a, struct str text, struct continue_token *ret)
{
	struct buf plain = { 0 };
	struct json root = { 0 };
	while (text.len && text.p[text.len - 1] == '=')
		text.len--;
	bool ok = text.len <= TOKEN_MAX && base64url_read(&plain, text);
	struct str copy = arena_str(a, buf_str(&plain));
	buf_fini(&plain);
	if (!ok || json_parse(a, copy, NULL, &root, NULL))
		return false;
	*ret = (struct continue_token){ .rev = json_i64(json_getc(&root, "rv"), 0),
					.start = json_str(json_getc(&root, "start")) };
	return str_is(json_str(json_getc(&root, "v")), "meta.k8s.io/v1") && ret->rev >= -1 &&
	       ret->rev != 0 && ret->start.len > 0;
}

int continue_read(struct arena *a, struct str text, struct continue_token *ret, struct error *err)
{
	if (!read_token(a, text, ret))
		return error_set(
			err, ERR_BAD_REQUEST,
			"continue key is not valid: it must be the value of metadata.continue of a "
			"list");
	return 0;
}
