#include "base/mem.h"
#include "sql/sql_priv.h"
#include "sql/sql_wire.h"

#include <libpq-fe.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

enum { OPTIONS_MAX = 64 };

struct sql_postgres {
	struct sql base;
	PQconninfoOption *options; /* the URL, parsed */
	char *schema;              /* NULL = the server's search_path */
	const char *session;       /* sql_session() */
	PGconn *c;                 /* NULL before the first connection */
	struct map statements;     /* types + text -> number of the prepared statement */
	uintptr_t last_statement;
	uint64_t generation;
	struct buf scratch;
	bool in_tx;
	bool warned; /* a WARNING came that makes the outcome of a commit unknown */
};

static struct sql_postgres *postgres_of(struct sql *s)
{
	return container_of(s, struct sql_postgres, base);
}

static bool is_lost(const struct sql_postgres *q)
{
	return !q->c || PQstatus(q->c) != CONNECTION_OK;
}

/* Appendix A of PostgreSQL's manual; the first two characters are the class. */
static enum err_code code_of(const char *state)
{
	static const struct {
		const char *prefix;
		enum err_code code;
	} CODES[] = {
		{ "23505", ERR_EXISTS },      { "23", ERR_INVALID },
		{ "22", ERR_INVALID },        { "42501", ERR_FORBIDDEN },
		{ "42", ERR_INVALID },        { "54", ERR_INVALID },
		{ "53300", ERR_UNAVAILABLE }, { "53", ERR_LIMIT },
		{ "08", ERR_UNAVAILABLE },    { "57", ERR_UNAVAILABLE },
		{ "25006", ERR_UNAVAILABLE }, { "40", ERR_CONFLICT },
		{ "55P03", ERR_CONFLICT },
	};
	for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
		if (strncmp(state, CODES[i].prefix, strlen(CODES[i].prefix)) == 0)
			return CODES[i].code;
	}
	return ERR_INTERNAL;
}

static struct str first_line(const char *text)
{
	struct str s = str_of(text);
	ptrdiff_t nl = str_find(s, '\n', 0);
	return str_trim(nl < 0 ? s : str_sub(s, 0, (size_t)nl));
}

/* A result without SQLSTATE is libpq's own: the connection. */
static int fail(struct sql_postgres *q, const PGresult *r, struct error *err)
{
	const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
	if (!state) {
		struct str line = first_line(PQerrorMessage(q->c));
		return error_set(err, ERR_UNAVAILABLE, "PostgreSQL: %.*s", STR_ARG(line));
	}
	const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	struct str line = first_line(primary ? primary : "");
	return error_set(err, code_of(state), "PostgreSQL: %.*s (%s)", STR_ARG(line), state);
}

/*
 * A cancelled wait for a synchronous standby is answered with success and a WARNING: the
 * commit stands here, but a failover may lose it (syncrep.c, SyncRepWaitForLSN).
 */
static void on_notice(void *arg, const PGresult *r)
{
	struct sql_postgres *q = arg;
	const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	if (severity && state && strcmp(severity, "WARNING") == 0 &&
	    (strcmp(state, "01000") == 0 || strcmp(state, "57P01") == 0))
		q->warned = true;
}

/* ---- connecting ---- */

static void set_default(const char **values, const char *const *names, size_t n, const char *name,
			const char *value)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0 && !values[i])
			values[i] = value;
	}
}

static PGconn *dial(const struct sql_postgres *q)
{
	static const char *const DEFAULTS[][2] = {
		{ "connect_timeout", "10" },    { "target_session_attrs", "read-write" },
		{ "application_name", "rctl" }, { "client_encoding", "UTF8" },
		{ "keepalives_idle", "10" },    { "keepalives_interval", "5" },
		{ "keepalives_count", "3" },    { "tcp_user_timeout", "25000" },
	};
	const char *names[OPTIONS_MAX + 1] = { NULL };
	const char *values[OPTIONS_MAX + 1] = { NULL };
	size_t n = 0;
	for (const PQconninfoOption *o = q->options; o->keyword && n < OPTIONS_MAX; o++, n++) {
		names[n] = o->keyword;
		values[n] = o->val;
	}
	for (size_t i = 0; i < sizeof(DEFAULTS) / sizeof(DEFAULTS[0]); i++)
		set_default(values, names, n, DEFAULTS[i][0], DEFAULTS[i][1]);
	return PQconnectdbParams(names, values, 0);
}

/* What a simple query sends; no results are kept. */
static int query(struct sql_postgres *q, const char *text, struct error *err)
{
	if (!PQsendQuery(q->c, text))
		return fail(q, NULL, err);
	int rc = 0;
	PGresult *r = NULL;
	while ((r = PQgetResult(q->c))) {
		ExecStatusType status = PQresultStatus(r);
		if (rc == 0 && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
			rc = fail(q, r, err);
		PQclear(r);
	}
	if (rc == 0 && is_lost(q))
		rc = fail(q, NULL, err);
	return rc;
}

static int use_schema(struct sql_postgres *q, struct error *err)
{
	/* CREATE SCHEMA asks for a privilege even when there is nothing to create. */
	struct buf b = { 0 };
	buf_addf(&b,
		 "DO $$ BEGIN IF to_regnamespace('%s') IS NULL THEN"
		 " CREATE SCHEMA IF NOT EXISTS %s; END IF;"
		 " EXCEPTION WHEN duplicate_schema OR unique_violation THEN NULL; END $$;"
		 "SET search_path = %s",
		 q->schema, q->schema, q->schema);
	int rc = query(q, buf_cstr(&b), err);
	buf_fini(&b);
	return rc;
}

static int start_session(struct sql_postgres *q, struct error *err)
{
	const char *encoding = PQparameterStatus(q->c, "server_encoding");
	if (!encoding || (strcmp(encoding, "UTF8") != 0 && strcmp(encoding, "SQL_ASCII") != 0))
		return error_set(err, ERR_INVALID, "the database's encoding is %s, not UTF8",
				 encoding ? encoding : "unknown");
	int rc = query(q, "SET client_min_messages = warning", err);
	if (rc == 0 && q->schema)
		rc = use_schema(q, err);
	if (rc == 0 && q->session)
		rc = query(q, q->session, err);
	return rc;
}

static int connect_now(struct sql_postgres *q, struct error *err)
{
	if (q->c)
		PQfinish(q->c);
	uint64_t seed = q->statements.seed;
	map_fini(&q->statements);
	map_init(&q->statements, seed);
	q->c = dial(q);
	if (!q->c)
		mem_abort();
	if (PQstatus(q->c) != CONNECTION_OK)
		return fail(q, NULL, err);
	(void)PQsetNoticeReceiver(q->c, on_notice, q);
	int rc = start_session(q, err);
	if (rc < 0) {
		PQfinish(q->c);
		q->c = NULL;
		return rc;
	}
	q->generation++;
	return 0;
}

static int ready(struct sql_postgres *q, struct error *err)
{
	if (!is_lost(q))
		return 0;
	if (q->in_tx)
		return error_set(err, ERR_UNAVAILABLE, "the transaction went with its connection");
	return connect_now(q, err);
}

/* ---- statements ---- */

struct params {
	Oid types[SQL_PARAMS_MAX];
	const char *values[SQL_PARAMS_MAX];
	int lengths[SQL_PARAMS_MAX];
	int formats[SQL_PARAMS_MAX];
	char numbers[SQL_PARAMS_MAX][8];
};

static void encode(struct params *p, const struct sql_value *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		p->types[i] = sql_wire_oid(&v[i]);
		p->formats[i] = 1;
		p->values[i] = v[i].s.p ? v[i].s.p : "";
		p->lengths[i] = (int)v[i].s.len;
		if (v[i].type == SQL_NULL)
			p->values[i] = NULL;
		if (v[i].type == SQL_INT || v[i].type == SQL_DOUBLE) {
			sql_wire_number(&v[i], p->numbers[i]);
			p->values[i] = p->numbers[i];
			p->lengths[i] = 8;
		}
	}
}

static int prepare(struct sql_postgres *q, const char *stmt, const struct params *p, size_t n,
		   char name[32], struct error *err)
{
	buf_clear(&q->scratch);
	buf_add(&q->scratch, p->types, n * sizeof(p->types[0]));
	buf_adds(&q->scratch, stmt);
	uintptr_t number = (uintptr_t)map_get(&q->statements, buf_str(&q->scratch));
	bool known = number != 0;
	if (!known)
		number = ++q->last_statement;
	(void)snprintf(name, 32, "s%ju", (uintmax_t)number);
	if (known)
		return 0;
	int rc = 0;
	if (q->statements.len >= SQL_STATEMENTS_MAX) {
		rc = query(q, "DEALLOCATE ALL", err);
		if (rc < 0)
			return rc;
		uint64_t seed = q->statements.seed;
		map_fini(&q->statements);
		map_init(&q->statements, seed);
	}
	PGresult *r = PQprepare(q->c, name, stmt, (int)n, p->types);
	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		rc = fail(q, r, err);
	PQclear(r);
	if (rc == 0)
		(void)map_set(&q->statements, buf_str(&q->scratch), (void *)number);
	return rc;
}

/* One statement's way from sending to the end of its transaction. */
struct reply {
	int rc;
	bool complete; /* the server said so; the commit comes after it */
	bool answered; /* an error came from the server: the transaction is undone */
};

static int hand_over(const PGresult *r, const struct sql_rows *rows, struct error *err)
{
	struct sql_value v[SQL_COLUMNS_MAX];
	int columns = PQnfields(r);
	assert(columns <= SQL_COLUMNS_MAX);
	for (int i = 0; i < PQntuples(r); i++) {
		for (int k = 0; k < columns; k++) {
			struct str bytes = str_n(PQgetvalue(r, i, k), (size_t)PQgetlength(r, i, k));
			bool null = PQgetisnull(r, i, k) != 0;
			if (null)
				v[k] = sql_null();
			else if (!sql_wire_decode(PQftype(r, k), bytes, &v[k]))
				return error_set(err, ERR_INVALID, "column %d: type %u is not read",
						 k + 1, PQftype(r, k));
		}
		int rc = rows->fn(rows->arg, v, (size_t)columns, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void take_result(struct sql_postgres *q, struct reply *reply, PGresult *r,
			const struct sql_rows *rows, struct error *err)
{
	ExecStatusType status = PQresultStatus(r);
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
		reply->complete = true;
		if (strncmp(PQcmdStatus(r), "SELECT", 6) != 0)
			*rows->changed = strtoll(PQcmdTuples(r), NULL, 10);
	} else if (status != PGRES_SINGLE_TUPLE) {
		reply->answered |= PQresultErrorField(r, PG_DIAG_SQLSTATE) != NULL;
		if (reply->rc == 0)
			reply->rc = fail(q, r, err);
		return;
	}
	if (rows->fn && reply->rc == 0)
		reply->rc = hand_over(r, rows, err);
}

/* Whether the text can only read: nothing is unknown when its answer is lost. */
static bool only_reads(const char *stmt)
{
	return strncmp(stmt, "SELECT", 6) == 0;
}

/*
 * Reads everything up to the server's being ready again: only then is the
 * implicit transaction committed, which comes after the statement's own answer.
 */
static int finish(struct sql_postgres *q, const char *stmt, const struct sql_rows *rows,
		  struct error *err)
{
	struct reply reply = { 0 };
	PGresult *r = NULL;
	while ((r = PQgetResult(q->c))) {
		take_result(q, &reply, r, rows, err);
		PQclear(r);
	}
	bool commits = !q->in_tx && !only_reads(stmt);
	if (is_lost(q)) {
		bool undone = reply.answered && !reply.complete;
		enum err_code code = commits && !undone ? ERR_UNKNOWN : ERR_UNAVAILABLE;
		struct str line = first_line(PQerrorMessage(q->c));
		return error_set(err, code, "PostgreSQL: %.*s", STR_ARG(line));
	}
	if (reply.rc == 0 && commits && q->warned)
		return error_set(err, ERR_UNKNOWN,
				 "PostgreSQL: the wait for a synchronous standby was cancelled");
	return reply.rc;
}

static int op_exec(struct sql *s, const char *stmt, const struct sql_value *params, size_t n,
		   const struct sql_rows *rows, struct error *err)
{
	struct sql_postgres *q = postgres_of(s);
	int rc = ready(q, err);
	if (rc < 0)
		return rc;
	struct params p;
	char name[32];
	encode(&p, params, n);
	rc = prepare(q, stmt, &p, n, name, err);
	if (rc < 0)
		return rc;
	q->warned = false;
	if (!PQsendQueryPrepared(q->c, name, (int)n, p.values, p.lengths, p.formats, 1))
		return fail(q, NULL, err);
	if (rows->fn)
		(void)PQsetSingleRowMode(q->c);
	return finish(q, stmt, rows, err);
}

static int op_script(struct sql *s, const char *script, struct error *err)
{
	struct sql_postgres *q = postgres_of(s);
	int rc = ready(q, err);
	if (rc < 0)
		return rc;
	q->warned = false;
	if (!PQsendQuery(q->c, script))
		return fail(q, NULL, err);
	int64_t changed = 0;
	return finish(q, script, &(struct sql_rows){ NULL, NULL, &changed }, err);
}

static int op_begin(struct sql *s, struct error *err)
{
	struct sql_postgres *q = postgres_of(s);
	assert(!q->in_tx);
	int rc = ready(q, err);
	if (rc == 0)
		rc = query(q, "BEGIN", err);
	q->in_tx = rc == 0;
	return rc;
}

static void op_rollback(struct sql *s)
{
	struct sql_postgres *q = postgres_of(s);
	if (q->in_tx && !is_lost(q))
		(void)query(q, "ROLLBACK", NULL);
	q->in_tx = false;
}

static int op_commit(struct sql *s, struct error *err)
{
	struct sql_postgres *q = postgres_of(s);
	assert(q->in_tx);
	if (is_lost(q)) {
		q->in_tx = false;
		return error_set(err, ERR_UNAVAILABLE, "the transaction went with its connection");
	}
	/* COMMIT of a failed transaction would roll back and answer success. */
	if (PQtransactionStatus(q->c) != PQTRANS_INTRANS) {
		op_rollback(s);
		return error_set(err, ERR_INVALID, "commit of a failed transaction");
	}
	q->in_tx = false; /* from here on its loss is an unknown outcome */
	return op_script(s, "COMMIT", err);
}

static void op_close(struct sql *s)
{
	struct sql_postgres *q = postgres_of(s);
	if (q->c)
		PQfinish(q->c);
	PQconninfoFree(q->options);
	map_fini(&q->statements);
	buf_fini(&q->scratch);
	mem_free(q->schema);
	mem_free(q);
}

static const struct sql_ops POSTGRES_OPS = {
	.close = op_close,
	.exec = op_exec,
	.script = op_script,
	.begin = op_begin,
	.commit = op_commit,
	.rollback = op_rollback,
};

int sql_postgres_open(struct str url, struct str schema, struct sql **ret, struct error *err)
{
	struct sql_postgres *q = mem_new(struct sql_postgres, 1);
	q->base = (struct sql){ &POSTGRES_OPS, SQL_POSTGRES };
	if (schema.len)
		q->schema = mem_strndup(schema.p, schema.len);
	char *text = mem_strndup(url.p, url.len);
	char *why = NULL;
	int rc = 0;
	q->options = PQconninfoParse(text, &why);
	if (!q->options) {
		struct str line = first_line(why);
		rc = error_set(err, ERR_INVALID, "database URL: %.*s", STR_ARG(line));
	} else {
		rc = connect_now(q, err);
	}
	PQfreemem(why);
	mem_free(text);
	if (rc < 0)
		op_close(&q->base);
	else
		*ret = &q->base;
	return rc;
}

/* ---- sessions and notifications ---- */

int sql_session(struct sql *s, const char *script, struct error *err)
{
	assert(s->dialect == SQL_POSTGRES);
	struct sql_postgres *q = postgres_of(s);
	q->session = script;
	uint64_t before = q->generation;
	int rc = ready(q, err);
	if (rc < 0 || q->generation != before) /* a new connection ran it */
		return rc;
	return query(q, script, err);
}

uint64_t sql_generation(struct sql *s)
{
	assert(s->dialect == SQL_POSTGRES);
	return postgres_of(s)->generation;
}

static size_t drain(struct sql_postgres *q, sql_notify_fn fn, void *arg)
{
	size_t n = 0;
	PGnotify *x = NULL;
	while ((x = PQnotifies(q->c))) {
		fn(arg, str_of(x->relname), str_of(x->extra));
		PQfreemem(x);
		n++;
	}
	return n;
}

int sql_wait(struct sql *s, int fd, int timeout_ms, sql_notify_fn fn, void *arg, struct error *err)
{
	assert(s->dialect == SQL_POSTGRES);
	struct sql_postgres *q = postgres_of(s);
	if (is_lost(q))
		return error_set(err, ERR_UNAVAILABLE, "not connected");
	if (drain(q, fn, arg))
		return 0;
	struct pollfd fds[] = { { PQsocket(q->c), POLLIN, 0 }, { fd, POLLIN, 0 } };
	if (poll(fds, fd < 0 ? 1 : 2, timeout_ms) < 0 && errno != EINTR)
		return error_errno(err, ERR_INTERNAL, errno, "poll");
	if (fds[0].revents && !PQconsumeInput(q->c))
		return fail(q, NULL, err);
	(void)drain(q, fn, arg);
	return 0;
}
