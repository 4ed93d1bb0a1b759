/*
 * sql_wire - PostgreSQL's binary format of the types we speak (send and receive
 * functions in src/backend/utils/adt).  Pure.
 */
#ifndef SQL_SQL_WIRE_H
#define SQL_SQL_WIRE_H

#include "sql/sql.h"

/* The type a parameter is sent as; 0 (the server infers it) for NULL. */
uint32_t sql_wire_oid(const struct sql_value *v);

/* An INT or DOUBLE as int8 or float8. */
void sql_wire_number(const struct sql_value *v, char out[8]);

/*
 * A value of type `oid`, which must be one of bool, int2, int4, int8, oid, float4, float8, numeric,
 * text, varchar, bpchar, name, "char", bytea, void.  Strings are borrowed.  False for another type or
 * a wrong length.  A numeric that is a whole number in the range becomes INT, else DOUBLE.
 */
bool sql_wire_decode(uint32_t oid, struct str bytes, struct sql_value *ret);

#endif
