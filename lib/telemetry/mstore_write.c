/* Samples that others push with their labels: one request is one transaction, one record of the journal. */
#include "base/mem.h"
#include "sys/loop.h"
#include "telemetry/mstore_priv.h"
#include "telemetry/remote.h"
#include "telemetry/snappy.h"

#include <inttypes.h>

struct writing {
	struct intake_work work;
	struct mstore *s;
	struct loop *loop;
	struct bytes *body;
	mstore_write_fn fn;
	void *arg;
	struct buf msg, record;
	size_t refused;
	int64_t now_ms;
	struct error why; /* the first refusal */
	struct error err;
	bool failed;
};

static void refuse(struct writing *w, const struct error *why)
{
	if (!w->refused++)
		w->why = *why;
}

/* Refuses a series with a sample that no store keeps. */
static bool good_times(struct writing *w, const struct remote_series *r)
{
	struct remote_samples it = remote_samples(r);
	struct sample s;
	struct error why = { 0 };
	while (remote_sample_next(&it, &s)) {
		if (s.t_ms >= w->now_ms - w->s->cfg.retention_ms &&
		    s.t_ms <= w->now_ms + MSTORE_FUTURE_MS)
			continue;
		(void)error_set(&why, ERR_BAD_REQUEST,
				"a sample at %" PRId64
				" ms: older than samples are kept, or in the future",
				s.t_ms);
		refuse(w, &why);
		return false;
	}
	return true;
}

static int take_series(void *arg, struct remote_series *r, struct error *err)
{
	struct writing *w = arg;
	struct error why = { 0 };
	uint32_t id = 0;
	if (!r->samples || !good_times(w, r))
		return 0;
	int rc = intake_define(w->s->intake, r->labels, r->len, 0, &id, &why);
	if (rc == ERR_BAD_REQUEST || rc == ERR_LIMIT) {
		refuse(w, &why);
		return 0;
	}
	if (rc) {
		*err = why;
		return rc;
	}
	remote_record_add(&w->record, id, r);
	return 0;
}

static int store(void *arg, struct error *err)
{
	struct writing *w = arg;
	int rc = remote_walk(buf_str(&w->msg), take_series, w, err);
	if (!rc && w->record.len)
		rc = intake_append(w->s->intake, RECORD_SAMPLES, buf_str(&w->record), err);
	return rc;
}

static void deliver(void *arg)
{
	struct writing *w = arg;
	w->fn(w->arg, w->failed ? &w->err : NULL);
	buf_fini(&w->msg);
	buf_fini(&w->record);
	bytes_unref(w->body);
	mem_free(w);
}

static int run_write(struct writing *w, struct intake *in, const struct error *down)
{
	if (down)
		return error_set(&w->err, ERR_UNAVAILABLE, "%s", down->msg);
	/* All of it is read once before the first series is made: a transaction fails for the database alone. */
	int rc = snappy_unpack(bytes_str(w->body), REMOTE_BYTES_MAX, &w->msg, &w->err);
	if (!rc)
		rc = remote_walk(buf_str(&w->msg), NULL, NULL, &w->err);
	if (rc)
		return rc;
	w->now_ms = intake_now_ms(in);
	if (intake_transact(in, store, w, &w->err) != 0)
		return w->err.code = ERR_UNAVAILABLE;
	if (w->refused)
		return error_set(&w->err, ERR_BAD_REQUEST, "%zu series refused: %.200s", w->refused,
				 w->why.msg);
	return 0;
}

static void run(struct intake_work *work, struct intake *in, const struct error *down)
{
	struct writing *w = container_of(work, struct writing, work);
	w->failed = run_write(w, in, down) != 0;
	loop_post(w->loop, deliver, w);
}

void mstore_write(struct mstore *s, struct loop *loop, struct bytes *body, mstore_write_fn fn,
		  void *arg)
{
	struct writing *w = mem_new(struct writing, 1);
	w->work.run = run;
	w->s = s;
	w->loop = loop;
	w->body = bytes_ref(body);
	w->fn = fn;
	w->arg = arg;
	intake_post(s->intake, &w->work);
}
