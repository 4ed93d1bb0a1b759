#include "conditions.h"

#include "base/buf.h"
#include "text/rfc3339.h"

const struct json *conditions_find(const struct json *list, const char *type)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_getc(json_at(list, i), "type")), type))
			return json_at(list, i);
	return NULL;
}

static struct json time_of(struct conditions *c)
{
	struct buf b = { 0 };
	rfc3339_write(&b, c->now_s);
	struct json t = json_of_str(arena_str(c->arena, buf_str(&b)));
	buf_fini(&b);
	return t;
}

static struct json kept_time(struct conditions *c, bool keep, const struct json *old,
			     const char *name)
{
	const struct json *t = keep ? json_getc(old, name) : NULL;
	return t ? *t : time_of(c);
}

void conditions_add(struct conditions *c, struct condition x)
{
	const struct json *old = conditions_find(c->old, x.type);
	bool same_status = str_is(json_str(json_getc(old, "status")), x.status);
	bool same = same_status && str_is(json_str(json_getc(old, "reason")), x.reason) &&
		    str_eq(json_str(json_getc(old, "message")), x.message) && !x.touch;
	if (c->list.type != JSON_ARRAY)
		c->list = json_array();
	struct json *j = json_push(c->arena, &c->list, json_object());
	(void)json_setc(c->arena, j, "type", json_of_cstr(x.type));
	(void)json_setc(c->arena, j, "status", json_of_cstr(x.status));
	(void)json_setc(c->arena, j, "reason", json_of_cstr(x.reason));
	(void)json_setc(c->arena, j, "message", json_of_str(x.message));
	if (x.generation)
		(void)json_setc(c->arena, j, "observedGeneration", json_of_i64(x.generation));
	if (c->with_update_time)
		(void)json_setc(c->arena, j, "lastUpdateTime",
				kept_time(c, same, old, "lastUpdateTime"));
	(void)json_setc(c->arena, j, "lastTransitionTime",
			kept_time(c, same_status, old, "lastTransitionTime"));
}

struct json conditions_done(struct conditions *c)
{
	if (c->list.type != JSON_ARRAY)
		c->list = json_array();
	size_t own = json_len(&c->list);
	for (size_t i = 0; i < json_len(c->old); i++) {
		const struct json *x = json_at(c->old, i);
		bool replaced = false;
		for (size_t k = 0; k < own; k++)
			replaced |= str_eq(json_str(json_getc(json_at(&c->list, k), "type")),
					   json_str(json_getc(x, "type")));
		if (!replaced)
			(void)json_push(c->arena, &c->list, *x);
	}
	return c->list;
}
