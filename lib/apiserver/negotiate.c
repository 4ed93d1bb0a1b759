/* What the client wants to read: media ranges (RFC 9110 section 12.5.1) and Kubernetes' "as" parameter. */
#include "apiserver/route.h"

struct range {
	struct str type; /* "application/json" */
	struct str as, group, version;
	int q; /* thousandths */
};

static int parse_q(struct str v)
{
	/* "1", "0.5", "0.875": what is unreadable counts as 1. */
	if (v.len == 0 || v.p[0] == '1')
		return 1000;
	int q = 0, unit = 100;
	for (size_t i = 2; i < v.len && unit > 0; i++, unit /= 10)
		if (v.p[i] >= '0' && v.p[i] <= '9')
			q += (v.p[i] - '0') * unit;
	return q;
}

static struct range parse_range(struct str text)
{
	struct range r = { .q = 1000 };
	struct str piece;
	bool first = true;
	while (str_split(&text, ';', &piece)) {
		piece = str_trim(piece);
		if (first) {
			r.type = piece;
			first = false;
			continue;
		}
		ptrdiff_t eq = str_find(piece, '=', 0);
		if (eq < 0)
			continue;
		struct str key = str_trim(str_sub(piece, 0, (size_t)eq));
		struct str value = str_trim(str_sub(piece, (size_t)eq + 1, piece.len));
		if (str_is(key, "as"))
			r.as = value;
		else if (str_is(key, "g"))
			r.group = value;
		else if (str_is(key, "v"))
			r.version = value;
		else if (str_is(key, "q"))
			r.q = parse_q(value);
	}
	return r;
}

static bool is_json(struct str type)
{
	return str_eq_nocase(type, STR("application/json")) || str_is(type, "*/*") ||
	       str_eq_nocase(type, STR("application/*"));
}

static bool take_range(const struct range *r, struct accept *ret)
{
	if (!is_json(r->type) || r->q == 0)
		return false;
	if (r->as.len == 0) {
		ret->as = AS_OBJECT;
		return true;
	}
	if (!str_is(r->group, "meta.k8s.io") ||
	    !(str_is(r->version, "v1") || str_is(r->version, "v1beta1")))
		return false;
	ret->v1beta1 = str_is(r->version, "v1beta1");
	if (str_is(r->as, "Table"))
		ret->as = AS_TABLE;
	else if (str_is(r->as, "PartialObjectMetadata") ||
		 str_is(r->as, "PartialObjectMetadataList"))
		ret->as = AS_PARTIAL;
	else
		return false;
	return true;
}

int accept_parse(struct str accept, struct str encoding, struct accept *ret, struct error *err)
{
	*ret = (struct accept){ .as = AS_OBJECT };
	struct str piece;
	while (encoding.len && str_split(&encoding, ',', &piece)) {
		struct range r = parse_range(str_trim(piece));
		if (str_eq_nocase(r.type, STR("gzip")) && r.q > 0)
			ret->gzip = true;
	}
	if (str_trim(accept).len == 0)
		return 0;
	int best = 0;
	struct accept found = *ret;
	while (str_split(&accept, ',', &piece)) {
		struct range r = parse_range(str_trim(piece));
		struct accept one = *ret;
		if (r.q > best && take_range(&r, &one)) {
			found = one;
			best = r.q;
		}
	}
	if (best == 0)
		return error_set(err, ERR_NOT_ACCEPTABLE,
				 "only the following media types are accepted: application/json, "
				 "application/json;as=Table;v=v1;g=meta.k8s.io, "
				 "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
	*ret = found;
	return 0;
}

bool accept_wants_aggregated(struct str accept)
{
	struct str piece;
	while (accept.len && str_split(&accept, ',', &piece)) {
		struct range r = parse_range(str_trim(piece));
		if (is_json(r.type) && str_is(r.group, "apidiscovery.k8s.io") &&
		    str_is(r.version, "v2") && str_is(r.as, "APIGroupDiscoveryList"))
			return true;
		if (is_json(r.type) && r.as.len == 0)
			return false;
	}
	return false;
}

struct str content_type_of(struct arena *a, struct str header)
{
	struct str type = STR_NONE;
	if (!str_split(&header, ';', &type))
		return STR_NONE;
	type = str_trim(type);
	char *p = arena_alloc(a, type.len + 1);
	for (size_t i = 0; i < type.len; i++)
		p[i] = (char)(type.p[i] >= 'A' && type.p[i] <= 'Z' ? type.p[i] + 32 : type.p[i]);
	return str_n(p, type.len);
}
