#include "logserve.h"

#include "base/list.h"
#include "base/mem.h"
#include "crilog.h"
#include "grpc/client.h"
#include "grpc/message.h"
#include "sys/loop.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

enum { CHUNK = 32768, POLL_MS = 200, QUEUE_MAX = 256 << 10, IN_MAX = 256 << 10 };

struct job {
	struct list link;
	struct logserve *owner;
	uint64_t id;
	struct rpc_call *call;
	struct podmgr_log where;
	char *uid, *ns, *pod;
	bool follow, timestamps, limited, begun, middle, finished;
	int64_t since_ns, left_bytes, tail; /* tail -1 = all */
	uint32_t attempt;
	int fd;
	uint64_t inode, off;
	struct buf in, out;
	struct loop_timer again;
};

struct logserve {
	struct loop *loop;
	struct podmgr *mgr;
	struct rpc_channel *ch;
	struct list jobs;
	size_t len;
};

static void job_free(struct job *j)
{
	list_del(&j->link);
	j->owner->len--;
	loop_timer_stop(&j->again);
	if (j->call)
		rpc_call_free(j->call);
	if (j->fd >= 0)
		close(j->fd);
	buf_fini(&j->in);
	buf_fini(&j->out);
	mem_free(j->uid);
	mem_free(j->ns);
	mem_free(j->pod);
	mem_free(j);
}

uint64_t logserve_tail(const char *path, uint64_t size, int64_t *n)
{
	char b[CHUNK];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint64_t at = size;
	bool last = true; /* the newline at the very end closes a line, it begins none */
	while (fd >= 0 && at > 0) {
		size_t take = at < CHUNK ? (size_t)at : CHUNK;
		if (pread(fd, b, take, (off_t)(at - take)) != (ssize_t)take)
			break;
		for (size_t i = take; i-- > 0;) {
			if (b[i] != '\n')
				continue;
			if (!last && --*n <= 0) {
				close(fd);
				return at - take + i + 1;
			}
			last = false;
		}
		at -= take;
	}
	if (fd >= 0)
		close(fd);
	if (size > 0)
		--*n; /* the first line of the file */
	return 0;
}

/* -------------------------------------------------------------------------------------- sending */

static void send_out(struct job *j)
{
	Rctl__Agent__V1__LogChunk m;
	struct buf b = { 0 };
	rctl__agent__v1__log_chunk__init(&m);
	m.request_id = j->begun ? 0 : j->id;
	m.data = rpc_binary(buf_str(&j->out));
	rpc_pack(&b, &m.base);
	(void)rpc_call_send(j->call, buf_str(&b));
	buf_fini(&b);
	buf_clear(&j->out);
	j->begun = true;
}

static void finish(struct job *j)
{
	if (j->finished)
		return;
	if (j->out.len || !j->begun)
		send_out(j);
	j->finished = true;
	rpc_call_half_close(j->call);
}

/* One line of the file into what the client sees.  False when the limit is reached. */
static bool take_line(struct job *j, struct str line)
{
	struct cri_line l;
	if (!cri_parse(line, &l) || l.unix_ns < j->since_ns)
		return true;
	size_t before = j->out.len;
	if (j->timestamps && !j->middle) {
		buf_add_str(&j->out, l.time);
		buf_addc(&j->out, ' ');
	}
	buf_add_str(&j->out, l.text);
	if (!l.partial)
		buf_addc(&j->out, '\n');
	j->middle = l.partial;
	if (!j->limited)
		return true;
	int64_t grown = (int64_t)(j->out.len - before);
	if (grown >= j->left_bytes) {
		j->out.len = before + (size_t)j->left_bytes;
		return false;
	}
	j->left_bytes -= grown;
	return true;
}

/* Whole lines of what was read; false when the job is done. */
static bool take_lines(struct job *j)
{
	size_t at = 0;
	ptrdiff_t nl;
	while ((nl = str_find(buf_str(&j->in), '\n', at)) >= 0) {
		bool more = take_line(j, str_n(j->in.p + at, (size_t)nl - at));
		at = (size_t)nl + 1;
		if (j->out.len >= CHUNK)
			send_out(j);
		if (!more)
			return false;
	}
	buf_consume(&j->in, at);
	if (j->in.len > IN_MAX) /* no line of ours is so long: not a log of ours */
		buf_clear(&j->in);
	return true;
}

/* -------------------------------------------------------------------------------------- reading */

static void path_of(const struct job *j, const struct cri_file *f, char out[PATH_MAX])
{
	if (snprintf(out, PATH_MAX, "%s/%s", j->where.dir, f->name) >= PATH_MAX)
		out[0] = '\0';
}

static bool open_file(struct job *j, const struct cri_file *f, uint64_t off)
{
	char path[PATH_MAX];
	path_of(j, f, path);
	if (j->fd >= 0)
		close(j->fd);
	j->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	j->inode = f->inode;
	j->off = off;
	return j->fd >= 0;
}

/* Where to begin: with a tail as many files back as it takes. */
static bool open_first(struct job *j)
{
	struct cri_file list[CRI_FILES_MAX];
	size_t n = cri_list(j->where.dir, (int64_t)j->attempt, list);
	if (n == 0)
		return false;
	if (j->tail < 0)
		return open_file(j, &list[0], 0);
	if (j->tail == 0)
		return open_file(j, &list[n - 1], list[n - 1].size);
	int64_t want = j->tail;
	for (size_t i = n; i-- > 0;) {
		char path[PATH_MAX];
		path_of(j, &list[i], path);
		uint64_t off = logserve_tail(path, list[i].size, &want);
		if (want <= 0 || i == 0)
			return open_file(j, &list[i], off);
	}
	return false;
}

/* At the end of a file: the one that follows it.  The file just read may have been renamed meanwhile. */
static bool open_next(struct job *j)
{
	struct cri_file list[CRI_FILES_MAX];
	size_t n = cri_list(j->where.dir, (int64_t)j->attempt, list);
	for (size_t i = 0; i + 1 < n; i++) {
		if (list[i].inode == j->inode)
			return open_file(j, &list[i + 1], 0);
	}
	bool gone = n > 0 && list[n - 1].inode != j->inode;
	return gone &&
	       open_file(j, &list[0], 0); /* overtaken by rotation: go on with the oldest left */
}

/* Whether the attempt still writes. */
static bool writes(struct job *j)
{
	struct podmgr_log now;
	if (podmgr_log_find(j->owner->mgr, str_of(j->uid), str_of(j->ns), str_of(j->pod),
			    str_of(j->where.ctr), &now, NULL) != 0)
		return false;
	if (now.attempt != j->attempt && now.started) {
		/* Another run began: kubectl logs -f ends with the run it began with. */
		return false;
	}
	return now.running;
}

static void job_run(struct job *j)
{
	while (!j->finished && rpc_call_queued(j->call) < QUEUE_MAX) {
		bool alive =
			writes(j); /* asked before reading, so that the last bytes are not missed */
		if (j->fd < 0 && !open_first(j)) {
			if (j->follow && alive)
				break;
			finish(j);
			return;
		}
		buf_reserve(&j->in, CHUNK);
		ssize_t n = pread(j->fd, j->in.p + j->in.len, CHUNK, (off_t)j->off);
		if (n > 0) {
			j->in.len += (size_t)n;
			j->off += (uint64_t)n;
			if (!take_lines(j))
				finish(j);
			continue;
		}
		if (open_next(j))
			continue;
		if (!j->follow || !alive) {
			finish(j);
			return;
		}
		break;
	}
	if (j->finished)
		return;
	if (j->out.len)
		send_out(j);
	if (j->follow)
		loop_timer_set(j->owner->loop, &j->again, POLL_MS);
}

static void on_again(struct loop_timer *t)
{
	job_run(container_of(t, struct job, again));
}

static void on_drained(void *arg, struct rpc_call *c)
{
	(void)c;
	job_run(arg);
}

static void on_message(void *arg, struct rpc_call *c, struct str msg)
{
	struct job *j = arg;
	(void)c;
	Rctl__Agent__V1__LogControl *m = rpc_unpack(&rctl__agent__v1__log_control__descriptor, msg);
	bool stop = !m || m->stop;
	if (m)
		protobuf_c_message_free_unpacked(&m->base, NULL);
	if (stop)
		finish(j);
}

static void on_closed(void *arg, struct rpc_call *c, enum rpc_status status, const char *text)
{
	struct job *j = arg;
	(void)c;
	(void)status;
	(void)text;
	j->call = NULL;
	job_free(j);
}

/* ------------------------------------------------------------------------------------- requests */

int logserve_open(struct logserve *s, uint64_t id, const Rctl__Agent__V1__OpenLogs *q,
		  struct error *err)
{
	struct podmgr_log where;
	int rc = podmgr_log_find(s->mgr, str_of(q->uid), str_of(q->namespace_), str_of(q->pod),
				 str_of(q->container), &where, err);
	if (rc)
		return rc;
	if (s->len == LOGSERVE_MAX)
		return error_set(err, ERR_LIMIT, "too many log requests at once on this node");
	if (q->previous && where.attempt == 0)
		return error_set(err, ERR_NOT_FOUND,
				 "previous terminated container \"%s\" in pod \"%s\" not found",
				 where.ctr, q->pod);
	if (!where.started)
		return error_set(
			err, ERR_BAD_REQUEST,
			"container \"%s\" in pod \"%s\" is waiting to start: ContainerCreating",
			where.ctr, q->pod);
	struct job *j = mem_new(struct job, 1);
	const struct rpc_call_options o = { .path = "/rctl.agent.v1.Agent/Logs",
					    .message = on_message,
					    .drained = on_drained,
					    .closed = on_closed,
					    .arg = j };
	j->owner = s;
	j->id = id;
	j->where = where;
	j->attempt = q->previous ? where.attempt - 1 : where.attempt;
	j->uid = mem_strdup(q->uid);
	j->ns = mem_strdup(q->namespace_);
	j->pod = mem_strdup(q->pod);
	j->follow = q->follow && !q->previous;
	j->timestamps = q->timestamps;
	j->since_ns = q->since_unix_ns;
	j->limited = q->limit_bytes > 0;
	j->left_bytes = q->limit_bytes;
	j->tail = q->tail_lines_plus_one > 0 ? q->tail_lines_plus_one - 1 : -1;
	j->fd = -1;
	j->again.fn = on_again;
	list_append(&s->jobs, &j->link);
	s->len++;
	j->call = s->ch ? rpc_call_start(s->ch, &o) : NULL;
	if (!j->call) {
		job_free(j);
		return error_set(err, ERR_UNAVAILABLE, "the connection is gone");
	}
	send_out(j); /* names the request at once, also when there is nothing to say yet */
	loop_timer_set(s->loop, &j->again, 0);
	return 0;
}

void logserve_cancel(struct logserve *s, uint64_t id)
{
	list_for_each(it, &s->jobs)
	{
		struct job *j = list_entry(it, struct job, link);
		if (j->id == id) {
			job_free(j);
			return;
		}
	}
}

void logserve_attach(struct logserve *s, struct rpc_channel *ch)
{
	list_for_each(it, &s->jobs) job_free(list_entry(it, struct job, link));
	s->ch = ch;
}

struct logserve *logserve_new(struct loop *l, struct podmgr *m)
{
	struct logserve *s = mem_new(struct logserve, 1);
	s->loop = l;
	s->mgr = m;
	list_init(&s->jobs);
	return s;
}

struct logserve *logserve_free(struct logserve *s)
{
	if (!s)
		return NULL;
	logserve_attach(s, NULL);
	mem_free(s);
	return NULL;
}
