/*
 * agent/nodemetrics_priv - what the collectors share: files below the roots, fields, numbers.
 */
#ifndef AGENT_NODEMETRICS_PRIV_H
#define AGENT_NODEMETRICS_PRIV_H

#include "base/str.h"
#include "nodemetrics.h"

#include <stdio.h>

enum { NM_FIELDS_MAX = 64, NM_NAME_MAX = 256, NM_PATH_MAX = 1024, NM_DIR_MAX = 512 };

/* One collection. */
struct nm {
	struct samples *s;
	const struct node_roots *roots;
	struct nodemetrics *m;
	struct buf b; /* the text read last */
};

/* Splits at blanks; returns how many fields there are, at most `cap`. */
size_t nm_fields(struct str line, struct str *f, size_t cap);
/* Decimal with sign and fraction; stops at the first other byte. */
double nm_number(struct str s);
double nm_hex(struct str s);
void nm_name(char *to, size_t cap, struct str s);

/* "<proc>/name" that is read each time; the name is a literal. */
bool nm_kept(struct nm *n, const char *name);
/* "<proc>/name" and "<sys>/name" into n->b; false = not there or not readable. */
bool nm_proc(struct nm *n, const char *name);
bool nm_sys(struct nm *n, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* The text read last, without blanks at its ends. */
struct str nm_text(const struct nm *n);
/* First line of a file of /sys as text; "" when it is not there. */
void nm_sys_text(struct nm *n, char *to, size_t cap, const char *fmt, ...) ATTR_PRINTF(4, 5);

/* Entries of "<sys>/name" that begin with `prefix`, but for . and .. (at most NM_DIR_MAX), in any order. */
void nm_sys_dir(struct nm *n, const char *name, const char *prefix,
		void (*fn)(struct nm *n, const char *entry, void *arg), void *arg);

#define nm_put(n, type, name, value, ...) samples_put((n)->s, type, name, value, __VA_ARGS__)

/* ---- collectors: nodemetrics_net.c ---- */
void nm_network(struct nm *n);      /* each time */
void nm_network_slow(struct nm *n); /* netclass, bonding */

/* ---- nodemetrics_sys.c ---- */
void nm_system(struct nm *n);
void nm_system_slow(struct nm *n);

/* ---- nodemetrics_fs.c ---- */
void nm_filesystems(struct nm *n);
void nm_disks_slow(struct nm *n);

#endif
