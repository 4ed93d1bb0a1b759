/*
 * text/quantity - Kubernetes resource quantities: "500m", "1.5Gi", "2e3".
 *
 * The value is exact: a count of nano-units in 128 bits, up to 10^28 units.  As
 * in Kubernetes, what is finer than a nano-unit is rounded away from zero and
 * binary quantities end at 2^63-1 units; decimal ones saturate at 10^28.
 *
 * Source: documentation of k8s.io/apimachinery/pkg/api/resource.
 * Pure; no state.
 */
#ifndef TEXT_QUANTITY_H
#define TEXT_QUANTITY_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

/* How a quantity is written: it keeps the family of the suffix it was given with. */
enum quantity_format {
	QUANTITY_DECIMAL_SI,       /* n u m "" k M G T P E */
	QUANTITY_BINARY_SI,        /* Ki Mi Gi Ti Pi Ei */
	QUANTITY_DECIMAL_EXPONENT, /* e3, E-6 */
};

struct quantity {
	__extension__ __int128 nano; /* 10^-9 units */
	enum quantity_format format;
};

enum { QUANTITY_TEXT_MAX = 512 }; /* longest text accepted, bytes */

/* ERR_BAD_REQUEST with the words of Kubernetes for anything that is no quantity. */
ATTR_MUSTCHECK int quantity_parse(struct str s, struct quantity *ret, struct error *err);

struct quantity quantity_of_value(int64_t units, enum quantity_format format);
struct quantity quantity_of_milli(int64_t milli, enum quantity_format format);

/*
 * Canonical text: no fraction, no precision lost, the largest suffix possible.
 * Binary quantities that are below 1024 or no integer are written in decimal.
 */
void quantity_write(struct buf *out, struct quantity q);

/* -1, 0 or 1 */
int quantity_cmp(struct quantity a, struct quantity b);
int quantity_sign(struct quantity q);

/* The format is that of `a`, or of `b` when `a` is zero.  Saturates. */
struct quantity quantity_add(struct quantity a, struct quantity b);
struct quantity quantity_sub(struct quantity a, struct quantity b);

/* Whole units (bytes), thousandths (milli-CPU): rounded away from zero, saturating. */
int64_t quantity_value(struct quantity q);
int64_t quantity_milli(struct quantity q);
double quantity_double(struct quantity q);

#endif
