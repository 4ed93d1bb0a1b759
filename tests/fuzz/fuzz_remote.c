/* Bodies of remote write: unpacked, walked, made a record, and the record read back. */
#include "telemetry/remote.h"
#include "telemetry/snappy.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_sample(void *arg, uint32_t series, struct sample s)
{
	(void)s;
	assert(series == 7);
	++*(size_t *)arg;
}

static int on_series(void *arg, struct remote_series *s, struct error *err)
{
	struct buf record = { 0 };
	size_t n = 0;
	(void)arg;
	(void)err;
	remote_record_add(&record, 7, s);
	assert(remote_record_walk(buf_str(&record), on_sample, &n, NULL) == 0 && n == s->samples);
	buf_fini(&record);
	return 0;
}

static void ignore(void *arg, uint32_t series, struct sample s)
{
	(void)arg;
	(void)series;
	(void)s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n((const char *)data, size);
	struct buf out = { 0 };
	struct error err = { 0 };
	if (snappy_unpack(in, 1 << 20, &out, &err) == 0)
		(void)!remote_walk(buf_str(&out), on_series, NULL, &err);
	(void)!remote_walk(in, on_series, NULL, &err);
	(void)!remote_record_walk(in, ignore, NULL, &err);
	buf_fini(&out);
	return 0;
}
