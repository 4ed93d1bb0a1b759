#include "sql/sql.h"

#include "base/mem.h"
#include "sql/sql_priv.h"

#include <assert.h>
#include <string.h>

/* Cuts `?name=value` or `&name=value` out of a URL, into *ret; false when it is not there. */
static bool take_param(struct buf *url, const char *name, struct buf *ret)
{
	struct str s = buf_str(url);
	ptrdiff_t q = str_find(s, '?', 0);
	size_t name_len = strlen(name);
	for (ptrdiff_t at = q; at >= 0; at = str_find(s, '&', (size_t)at + 1)) {
		size_t from = (size_t)at + 1;
		struct str rest = str_sub(s, from, s.len);
		if (!str_starts(rest, str_of(name)) || rest.len <= name_len ||
		    rest.p[name_len] != '=')
			continue;
		ptrdiff_t amp = str_find(s, '&', from);
		size_t end = amp < 0 ? s.len : (size_t)amp;
		buf_add_str(ret, str_sub(s, from + name_len + 1, end));
		/* What is cut begins with its separator, except that a following one moves up. */
		size_t cut_from = amp < 0 ? (size_t)at : from;
		size_t cut_to = amp < 0 ? end : end + 1;
		memmove(url->p + cut_from, url->p + cut_to, s.len - cut_to);
		url->len -= cut_to - cut_from;
		return true;
	}
	return false;
}

static bool is_identifier(struct str s)
{
	if (s.len == 0 || s.len > 63)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || c == '_';
		if (!letter && !(i > 0 && c >= '0' && c <= '9'))
			return false;
	}
	return true;
}

int sql_open(const char *url, struct sql **ret, struct error *err)
{
	struct buf b = { 0 };
	struct buf param = { 0 };
	int rc = 0;
	buf_adds(&b, url);
	if (str_starts(str_of(url), STR("sqlite:"))) {
		bool exclusive =
			take_param(&b, "lock", &param) && str_is(buf_str(&param), "exclusive");
		struct str path = str_sub(buf_str(&b), strlen("sqlite:"), b.len);
		rc = path.len ? sql_sqlite_open(path, exclusive, ret, err)
			      : error_set(err, ERR_INVALID, "%s: no path in the URL", url);
	} else if (str_starts(str_of(url), STR("postgres://")) ||
		   str_starts(str_of(url), STR("postgresql://"))) {
		if (take_param(&b, "schema", &param) && !is_identifier(buf_str(&param)))
			rc = error_set(err, ERR_INVALID,
				       "schema '%s' is not a lower-case identifier",
				       buf_cstr(&param));
		else
			rc = sql_postgres_open(buf_str(&b), buf_str(&param), ret, err);
	} else {
		rc = error_set(err, ERR_INVALID,
			       "a database URL starts with sqlite: or postgres://");
	}
	buf_fini(&b);
	buf_fini(&param);
	return rc;
}

struct sql *sql_close(struct sql *s)
{
	if (s)
		s->ops->close(s);
	return NULL;
}

enum sql_dialect sql_dialect(const struct sql *s)
{
	return s->dialect;
}

int sql_exec(struct sql *s, const char *stmt, const struct sql_value *params, size_t n,
	     sql_row_fn row, void *arg, int64_t *changed, struct error *err)
{
	assert(n <= SQL_PARAMS_MAX);
	int64_t ignored = 0;
	struct sql_rows rows = { row, arg, changed ? changed : &ignored };
	return s->ops->exec(s, stmt, params, n, &rows, err);
}

int sql_script(struct sql *s, const char *script, struct error *err)
{
	return s->ops->script(s, script, err);
}

int sql_begin(struct sql *s, struct error *err)
{
	return s->ops->begin(s, err);
}

int sql_commit(struct sql *s, struct error *err)
{
	return s->ops->commit(s, err);
}

void sql_rollback(struct sql *s)
{
	s->ops->rollback(s);
}

static int version_row(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	*(int64_t *)arg = row[0].i;
	return 0;
}

static int run_steps(struct sql *s, const char *component, const char *const *steps, size_t n,
		     struct error *err)
{
	struct sql_value name = sql_text(str_of(component));
	int64_t version = 0;
	int rc = sql_exec(s, "SELECT version FROM rctl_schema WHERE component = $1", &name, 1,
			  version_row, &version, NULL, err);
	if (rc < 0)
		return rc;
	if (version > (int64_t)n)
		return error_set(err, ERR_INVALID,
				 "tables of %s have version %lld, this program knows up to %zu",
				 component, (long long)version, n);
	if (version == (int64_t)n)
		return 0;
	for (size_t i = (size_t)version; i < n; i++) {
		rc = sql_script(s, steps[i], err);
		if (rc < 0)
			return error_wrap(err, "tables of %s, step %zu", component, i + 1);
	}
	struct sql_value set[] = { name, sql_int((int64_t)n) };
	return sql_exec(s,
			"INSERT INTO rctl_schema (component, version) VALUES ($1, $2) "
			"ON CONFLICT (component) DO UPDATE SET version = excluded.version",
			set, 2, NULL, NULL, NULL, err);
}

int sql_migrate(struct sql *s, const char *component, const char *const *steps, size_t n,
		struct error *err)
{
	int rc = sql_begin(s, err);
	if (rc < 0)
		return rc;
	/* Two programs that start together: CREATE TABLE IF NOT EXISTS alone may still collide. */
	if (s->dialect == SQL_POSTGRES)
		rc = sql_script(s, "SELECT pg_advisory_xact_lock(7226351001)", err);
	if (rc == 0)
		rc = sql_script(s,
				"CREATE TABLE IF NOT EXISTS rctl_schema ("
				"component TEXT PRIMARY KEY, version BIGINT NOT NULL)",
				err);
	if (rc == 0)
		rc = run_steps(s, component, steps, n, err);
	if (rc < 0) {
		sql_rollback(s);
		return rc;
	}
	return sql_commit(s, err);
}
