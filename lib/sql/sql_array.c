#include "sql/sql_priv.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

/*
 * The binary form of a one-dimensional array (PostgreSQL src/backend/utils/adt/arrayfuncs.c,
 * array_recv): dimensions, null flag, element type, length, lower bound; then length and bytes of
 * each element.  All numbers are big-endian.
 */
enum { HEADER_BYTES = 20, OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25 };

static uint32_t oid_of(enum sql_type elem)
{
	assert(elem == SQL_INT || elem == SQL_TEXT || elem == SQL_BLOB);
	return elem == SQL_INT ? OID_INT8 : elem == SQL_TEXT ? OID_TEXT : OID_BYTEA;
}

void sql_array_clear(struct sql_array *a, enum sql_type elem)
{
	a->elem = elem;
	a->n = 0;
	buf_reserve(&a->b, HEADER_BYTES);
	a->b.len = HEADER_BYTES;
}

void sql_array_fini(struct sql_array *a)
{
	buf_fini(&a->b);
}

static void add_u32(struct buf *b, uint32_t v)
{
	v = htobe32(v);
	buf_add(b, &v, sizeof(v));
}

void sql_array_add_int(struct sql_array *a, int64_t v)
{
	assert(a->elem == SQL_INT);
	uint64_t wire = htobe64((uint64_t)v);
	add_u32(&a->b, sizeof(wire));
	buf_add(&a->b, &wire, sizeof(wire));
	a->n++;
}

void sql_array_add(struct sql_array *a, struct str v)
{
	assert(a->elem != SQL_INT && v.len <= INT32_MAX);
	add_u32(&a->b, (uint32_t)v.len);
	buf_add_str(&a->b, v);
	a->n++;
}

struct sql_value sql_array(struct sql_array *a)
{
	uint32_t header[] = { htobe32(1), 0, htobe32(oid_of(a->elem)), htobe32(a->n), htobe32(1) };
	_Static_assert(sizeof(header) == HEADER_BYTES, "the header's five numbers");
	memcpy(a->b.p, header, sizeof(header));
	return (struct sql_value){ .type = SQL_ARRAY, .i = (int64_t)a->elem, .s = buf_str(&a->b) };
}
