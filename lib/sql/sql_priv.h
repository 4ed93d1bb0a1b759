/* sql_priv - what the two drivers share with sql.c. */
#ifndef SQL_SQL_PRIV_H
#define SQL_SQL_PRIV_H

#include "base/map.h"
#include "sql/sql.h"

/* Statements kept prepared a connection; one more drops them all (a caller builds its texts). */
enum { SQL_STATEMENTS_MAX = 500 };

struct sql_rows;

struct sql_ops {
	void (*close)(struct sql *s);
	int (*exec)(struct sql *s, const char *stmt, const struct sql_value *params, size_t n,
		    const struct sql_rows *rows, struct error *err);
	int (*script)(struct sql *s, const char *script, struct error *err);
	int (*begin)(struct sql *s, struct error *err);
	int (*commit)(struct sql *s, struct error *err);
	void (*rollback)(struct sql *s);
};

/* Where the rows of a result go. */
struct sql_rows {
	sql_row_fn fn; /* may be NULL */
	void *arg;
	int64_t *changed; /* never NULL */
};

struct sql {
	const struct sql_ops *ops;
	enum sql_dialect dialect;
};

int sql_sqlite_open(struct str path, bool exclusive, struct sql **ret, struct error *err);
int sql_postgres_open(struct str url, struct str schema, struct sql **ret, struct error *err);

#endif
