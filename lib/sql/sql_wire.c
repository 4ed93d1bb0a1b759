#include "sql/sql_wire.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <string.h>

/* src/include/catalog/pg_type.dat */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_CHAR = 18,
	OID_NAME = 19,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_OID = 26,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_BYTEA_ARRAY = 1001,
	OID_TEXT_ARRAY = 1009,
	OID_INT8_ARRAY = 1016,
	OID_BPCHAR = 1042,
	OID_VARCHAR = 1043,
	OID_NUMERIC = 1700,
	OID_VOID = 2278,
};

uint32_t sql_wire_oid(const struct sql_value *v)
{
	switch (v->type) {
	case SQL_INT:
		return OID_INT8;
	case SQL_DOUBLE:
		return OID_FLOAT8;
	case SQL_TEXT:
		return OID_TEXT;
	case SQL_BLOB:
		return OID_BYTEA;
	case SQL_ARRAY:
		return v->i == SQL_INT    ? OID_INT8_ARRAY
		       : v->i == SQL_TEXT ? OID_TEXT_ARRAY
					  : OID_BYTEA_ARRAY;
	case SQL_NULL:
		break;
	}
	return 0;
}

void sql_wire_number(const struct sql_value *v, char out[8])
{
	uint64_t bits = (uint64_t)v->i;
	if (v->type == SQL_DOUBLE)
		memcpy(&bits, &v->d, sizeof(bits));
	bits = htobe64(bits);
	memcpy(out, &bits, sizeof(bits));
}

static uint64_t big_endian(struct str s)
{
	uint64_t v = 0;
	for (size_t i = 0; i < s.len; i++)
		v = v << 8 | (uint8_t)s.p[i];
	return v;
}

static bool decode_int(struct str s, size_t bytes, struct sql_value *ret)
{
	if (s.len != bytes)
		return false;
	uint64_t v = big_endian(s);
	*ret = sql_int(bytes == 2 ? (int16_t)v : bytes == 4 ? (int32_t)v : (int64_t)v);
	return true;
}

static bool decode_float(struct str s, size_t bytes, struct sql_value *ret)
{
	if (s.len != bytes)
		return false;
	uint64_t bits = big_endian(s);
	if (bytes == 8) {
		double d = 0;
		memcpy(&d, &bits, sizeof(d));
		*ret = sql_double(d);
		return true;
	}
	uint32_t bits32 = (uint32_t)bits;
	float f = 0;
	memcpy(&f, &bits32, sizeof(f));
	*ret = sql_double((double)f);
	return true;
}

/* numeric.c, numeric_send: digits of base 10,000, the first worth 10,000^weight. */
static bool decode_numeric(struct str s, struct sql_value *ret)
{
	if (s.len < 8 || s.len % 2)
		return false;
	size_t digits = (size_t)big_endian(str_sub(s, 0, 2));
	int weight = (int16_t)big_endian(str_sub(s, 2, 4));
	uint64_t sign = big_endian(str_sub(s, 4, 6));
	if (s.len != 8 + 2 * digits)
		return false;
	if (sign != 0 && sign != 0x4000) { /* NaN, infinities */
		*ret = sql_double(sign == 0xD000   ? (double)INFINITY
				  : sign == 0xF000 ? -(double)INFINITY
						   : (double)NAN);
		return true;
	}
	double d = 0;
	int64_t whole = 0;
	bool exact = weight < 5; /* below 10^20; the additions say the rest */
	for (size_t i = 0; i < digits; i++) {
		int64_t digit = (int64_t)big_endian(str_sub(s, 8 + 2 * i, 10 + 2 * i));
		int power = weight - (int)i;
		d += (double)digit * pow(10000, power);
		exact = exact && (power >= 0 || digit == 0);
		if (exact && power >= 0)
			exact = !__builtin_mul_overflow(whole, 10000, &whole) &&
				!__builtin_add_overflow(whole, digit, &whole);
	}
	for (int power = weight - (int)digits; exact && digits && power >= 0; power--)
		exact = !__builtin_mul_overflow(whole, 10000, &whole);
	bool negative = sign == 0x4000;
	*ret = exact ? sql_int(negative ? -whole : whole) : sql_double(negative ? -d : d);
	return true;
}

bool sql_wire_decode(uint32_t oid, struct str s, struct sql_value *ret)
{
	switch (oid) {
	case OID_BOOL:
		return s.len == 1 && (*ret = sql_int(s.p[0] != 0), true);
	case OID_INT2:
		return decode_int(s, 2, ret);
	case OID_INT4:
		return decode_int(s, 4, ret);
	case OID_INT8:
		return decode_int(s, 8, ret);
	case OID_OID:
		return s.len == 4 && (*ret = sql_int((int64_t)big_endian(s)), true);
	case OID_FLOAT4:
		return decode_float(s, 4, ret);
	case OID_FLOAT8:
		return decode_float(s, 8, ret);
	case OID_NUMERIC:
		return decode_numeric(s, ret);
	case OID_BYTEA:
		*ret = sql_blob(s);
		return true;
	case OID_VOID:
		*ret = sql_null();
		return true;
	case OID_TEXT:
	case OID_VARCHAR:
	case OID_BPCHAR:
	case OID_NAME:
	case OID_CHAR:
		*ret = sql_text(s);
		return true;
	default:
		return false;
	}
}
