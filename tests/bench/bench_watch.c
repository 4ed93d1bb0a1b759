/*
 * bench_watch - the cache with 50,000 objects of 1 KiB: memory an object, events/s, finds/s,
 * walks of 5,000.
 */
#include "base/mem.h"
#include "store/store.h"
#include "sys/clock.h"
#include "watch/watch.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

enum { OBJECTS = 50000, VALUE = 1024, EVENTS = 200000, FINDS = 1000000, WALKS = 200, BATCH = 64 };

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static struct str key_of(char out[64], uint64_t i)
{
	int n = snprintf(out, 64, "apps/deployments/namespace-%02u/application-%05u",
			 (unsigned)(i / 5000), (unsigned)i);
	return str_n(out, (size_t)n);
}

/* As many labels and fields as a Pod has: five labels, four fields, an owner, all in the text. */
static void index_value(void *arg, struct str key, struct str json, struct watch_index *ix)
{
	(void)arg;
	(void)key;
	ix->labels = 5;
	for (size_t i = 0; i < 5; i++) {
		ix->label_key[i] = str_sub(json, 60 + i * 30, 74 + i * 30);
		ix->label_value[i] = str_sub(json, 75 + i * 30, 89 + i * 30);
	}
	ix->fields = 4;
	for (size_t i = 0; i < 4; i++)
		ix->field[i] = str_sub(json, 300 + i * 10, 310 + i * 10);
	ix->owners = 1;
	ix->owner_uid[0] = str_sub(json, 400, 436);
}

static size_t heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

static double seconds_since(uint64_t us)
{
	return (double)(clock_mono_us() - us) / 1e6;
}

static bool sum(void *arg, struct watch_obj *o)
{
	*(size_t *)arg += watch_obj_json(o).len;
	return true;
}

static void bench_events(struct watch_cache *c, struct bytes *value, int64_t *rev, uint64_t *seed)
{
	static struct store_event ev[BATCH];
	static char keys[BATCH][64];
	uint64_t from = clock_mono_us();
	for (size_t i = 0; i < EVENTS / BATCH; i++) {
		for (size_t k = 0; k < BATCH; k++) {
			ev[k] = (struct store_event){ .rev = ++*rev,
						      .op = STORE_UPDATE,
						      .value = value };
			ev[k].key = key_of(keys[k], next(seed) % OBJECTS);
		}
		watch_cache_events(c, ev, BATCH, *rev);
	}
	double s = seconds_since(from);
	(void)printf("events of 64 a batch        %10.0f /s  %6.2f us each\n", EVENTS / s,
		     s * 1e6 / EVENTS);
}

static void bench_reads(struct watch_cache *c, uint64_t *seed)
{
	struct watch_snap *snap = watch_snap_get(c);
	char key[64];
	size_t found = 0;
	uint64_t from = clock_mono_us();
	for (size_t i = 0; i < FINDS; i++)
		found += watch_snap_find(snap, key_of(key, next(seed) % OBJECTS)) != NULL;
	double s = seconds_since(from);
	(void)printf("find                        %10.0f /s  %6.2f us each, %zu found\n", FINDS / s,
		     s * 1e6 / FINDS, found);
	size_t bytes = 0;
	from = clock_mono_us();
	for (size_t i = 0; i < WALKS; i++) {
		(void)snprintf(key, sizeof(key), "apps/deployments/namespace-%02zu/", i % 10);
		watch_snap_walk(snap, str_of(key), STR(""), sum, &bytes);
	}
	s = seconds_since(from);
	(void)printf("walk of 5,000               %10.0f /s  %6.0f us each, %zu MB\n", WALKS / s,
		     s * 1e6 / WALKS, bytes >> 20);
	size_t n = 0;
	from = clock_mono_us();
	for (size_t i = 0; i < FINDS; i++) {
		(void)snprintf(key, sizeof(key), "apps/deployments/namespace-%02zu/", i % 10);
		n += watch_snap_count(snap, str_of(key));
	}
	s = seconds_since(from);
	(void)printf("count of a namespace        %10.0f /s  %6.2f us each, %zu\n", FINDS / s,
		     s * 1e6 / FINDS, n / FINDS);
	watch_snap_unref(snap);
}

int main(void)
{
	uint64_t seed = 88172645463325252U;
	char text[VALUE + 1];
	memset(text, 'x', VALUE);
	static const char HEAD[] =
		"{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"";
	memcpy(text, HEAD, sizeof(HEAD) - 1);
	struct bytes *value = bytes_new(text, VALUE);
	struct watch_config cfg = { .index = index_value, .window_events = 1000 };
	struct watch_cache *c = watch_cache_new(&cfg);
	size_t before = heap_bytes();
	uint64_t from = clock_mono_us();
	char key[64];
	for (uint64_t i = 0; i < OBJECTS; i++)
		watch_cache_load(c, key_of(key, i), (int64_t)i + 1, (int64_t)i + 1, value);
	int64_t rev = OBJECTS;
	watch_cache_events(c, NULL, 0, rev);
	double s = seconds_since(from);
	struct watch_snap *snap = watch_snap_get(c);
	size_t encoded = watch_obj_json(watch_snap_find(snap, key_of(key, 49999))).len;
	watch_snap_unref(snap);
	size_t used = (heap_bytes() - before) / OBJECTS;
	(void)printf("load                        %10.0f /s  %6.2f us each\n", OBJECTS / s,
		     s * 1e6 / OBJECTS);
	(void)printf("memory an object            %10zu bytes for %zu encoded; target %zu\n", used,
		     encoded, encoded * 3 / 2 + 96);
	bench_events(c, value, &rev, &seed);
	used = (heap_bytes() - before) / OBJECTS;
	(void)printf("memory after the events     %10zu bytes an object, window of %zu events\n",
		     used, cfg.window_events);
	bench_reads(c, &seed);
	c = watch_cache_free(c);
	bytes_unref(value);
	return used <= encoded * 3 / 2 + 96 ? 0 : 1;
}
