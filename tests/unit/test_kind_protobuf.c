/* Bodies in the protobuf of Kubernetes against the JSON they stand for. */
#include "kind/protobuf.h"

#include <criterion/criterion.h>

/* ---- writing messages ---- */

static void varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_addc(b, (char)(v | 0x80));
	buf_addc(b, (char)v);
}

static void number(struct buf *b, unsigned field, uint64_t v)
{
	varint(b, field << 3);
	varint(b, v);
}

static void text(struct buf *b, unsigned field, struct str s)
{
	varint(b, field << 3 | 2);
	varint(b, s.len);
	buf_add_str(b, s);
}

static void textc(struct buf *b, unsigned field, const char *s)
{
	text(b, field, str_of(s));
}

static void message(struct buf *b, unsigned field, struct buf *inner /* taken */)
{
	text(b, field, buf_str(inner));
	buf_fini(inner);
}

static void envelope(struct buf *b, const char *version, const char *kind, struct buf *raw)
{
	struct buf meta = { 0 }, unknown = { 0 };
	textc(&meta, 1, version);
	textc(&meta, 2, kind);
	message(&unknown, 1, &meta);
	message(&unknown, 2, raw);
	textc(&unknown, 3, "");
	buf_add(b, "k8s\0", 4);
	buf_add_str(b, buf_str(&unknown));
	buf_fini(&unknown);
}

/* ---- reading them ---- */

struct fixture {
	struct kind_set *set;
	struct arena arena;
	struct protobuf_unknown unknown;
	struct json tree;
	struct error err;
	struct buf body;
};

static struct fixture f;

static void setup(void)
{
	f = (struct fixture){ .set = kind_set_builtin(KIND_CLUSTER) };
}

static void teardown(void)
{
	buf_fini(&f.body);
	arena_fini(&f.arena);
	kind_set_unref(f.set);
}

TestSuite(kind_protobuf, .init = setup, .fini = teardown);

static int decode(void)
{
	return protobuf_decode(f.set, &f.arena, buf_str(&f.body), &f.tree, &f.unknown, &f.err);
}

static void expect_json(const char *want)
{
	struct json tree = { 0 };
	cr_assert_eq(decode(), 0, "%s", f.err.msg);
	cr_assert_eq(json_parse(&f.arena, str_of(want), NULL, &tree, NULL), 0);
	cr_expect(json_equal(&f.tree, &tree), "got %.*s", STR_ARG(json_text(&f.arena, &f.tree)));
}

static void add_container(struct buf *pod)
{
	struct buf c = { 0 }, port = { 0 }, limit = { 0 }, quantity = { 0 }, resources = { 0 };
	textc(&c, 1, "main");
	textc(&c, 3, "sleep");
	textc(&c, 3, "1");
	number(&port, 2, 0);
	number(&port, 3, 8080);
	textc(&port, 4, "");
	message(&c, 6, &port);
	textc(&quantity, 1, "100m");
	textc(&limit, 1, "cpu");
	message(&limit, 2, &quantity);
	message(&resources, 1, &limit);
	message(&c, 8, &resources);
	message(pod, 2, &c);
}

/* Volume{name, volumeSource{emptyDir{}}}, which JSON writes flat. */
static void add_volume(struct buf *pod)
{
	struct buf v = { 0 }, source = { 0 };
	textc(&v, 1, "scratch");
	textc(&source, 2, "");
	message(&v, 2, &source);
	message(pod, 1, &v);
}

Test(kind_protobuf, an_object_is_read_as_go_writes_it)
{
	struct buf pod = { 0 }, meta = { 0 }, spec = { 0 }, label = { 0 }, when = { 0 };
	textc(&meta, 1, "web");
	textc(&meta, 2, "");
	number(&meta, 7, 0);
	number(&when, 1, 1700000000);
	message(&meta, 8, &when);
	textc(&label, 1, "app");
	textc(&label, 2, "web");
	message(&meta, 11, &label);
	message(&pod, 1, &meta);
	add_volume(&spec);
	add_container(&spec);
	textc(&spec, 3, "");
	number(&spec, 4, 0);  /* terminationGracePeriodSeconds: a pointer, so 0 is said */
	number(&spec, 11, 0); /* hostNetwork: no pointer, so it was not */
	message(&pod, 2, &spec);
	envelope(&f.body, "v1", "Pod", &pod);
	expect_json("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\","
		    "\"creationTimestamp\":\"2023-11-14T22:13:20Z\",\"labels\":{\"app\":\"web\"}},"
		    "\"spec\":{\"volumes\":[{\"name\":\"scratch\",\"emptyDir\":{}}],"
		    "\"containers\":[{\"name\":\"main\",\"command\":[\"sleep\",\"1\"],"
		    "\"ports\":[{\"containerPort\":8080}],"
		    "\"resources\":{\"limits\":{\"cpu\":\"100m\"}}}],"
		    "\"terminationGracePeriodSeconds\":0}}");
	cr_expect_eq(f.unknown.len, 0);
}

Test(kind_protobuf, bytes_become_base64)
{
	struct buf secret = { 0 }, entry = { 0 }, empty = { 0 };
	textc(&entry, 1, "key");
	text(&entry, 2, (struct str){ "\0\xFF", 2 });
	message(&secret, 2, &entry);
	textc(&empty, 1, "none");
	message(&secret, 2, &empty);
	textc(&secret, 3, "Opaque");
	envelope(&f.body, "v1", "Secret", &secret);
	expect_json("{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"type\":\"Opaque\","
		    "\"data\":{\"key\":\"AP8=\",\"none\":\"\"}}");
}

Test(kind_protobuf, options_of_a_deletion_are_read_for_every_group)
{
	struct buf options = { 0 };
	number(&options, 1, 0);
	textc(&options, 4, "Orphan");
	envelope(&f.body, "policy/v1", "DeleteOptions", &options);
	expect_json("{\"apiVersion\":\"policy/v1\",\"kind\":\"DeleteOptions\","
		    "\"gracePeriodSeconds\":0,\"propagationPolicy\":\"Orphan\"}");
}

Test(kind_protobuf, fields_without_a_name_are_told_unless_they_are_zero)
{
	struct buf map = { 0 }, inner = { 0 };
	number(&inner, 3, 0);
	number(&map, 99, 7);
	number(&map, 100, 0);
	message(&map, 101, &inner);
	textc(&map, 102, "");
	envelope(&f.body, "v1", "ConfigMap", &map);
	expect_json("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"}");
	cr_assert_eq(f.unknown.len, 1);
	cr_expect(str_is(f.unknown.paths[0], "field 99"));
}

Test(kind_protobuf, what_has_no_messages_is_another_media_type)
{
	struct buf raw = { 0 };
	textc(&raw, 1, "");
	envelope(&f.body, "example.com/v1", "Widget", &raw);
	cr_expect_eq(decode(), ERR_MEDIA_TYPE);
}

Test(kind_protobuf, every_cut_body_is_refused_or_read)
{
	struct buf secret = { 0 }, entry = { 0 };
	textc(&entry, 1, "key");
	textc(&entry, 2, "value");
	message(&secret, 2, &entry);
	envelope(&f.body, "v1", "Secret", &secret);
	size_t whole = f.body.len;
	for (size_t n = 0; n < whole; n++) {
		f.body.len = n;
		int rc = decode();
		cr_expect(rc == 0 || rc == ERR_BAD_REQUEST || rc == ERR_MEDIA_TYPE, "%zu: %d", n,
			  rc);
	}
	f.body.len = whole;
	cr_expect_eq(decode(), 0);
}
