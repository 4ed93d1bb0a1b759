/* Events go after their time: a queue in the order of their last write. */
#include "apiserver/janitor.h"
#include "base/mem.h"
#include "sys/clock.h"

enum { EXPIRE_PER_TURN = 2000 };

static void grow(struct janitor *j)
{
	size_t cap = j->events_cap ? j->events_cap * 2 : 64;
	struct expiry *fresh = mem_new(struct expiry, cap);
	for (size_t i = 0; i < j->events_len; i++)
		fresh[i] = j->events[(j->events_at + i) % j->events_cap];
	mem_free(j->events);
	j->events = fresh;
	j->events_at = 0;
	j->events_cap = cap;
}

void expire_add(struct janitor *j, struct watch_obj *o, int64_t due_ms)
{
	struct str key = watch_obj_key(o);
	if (j->events_len == j->events_cap)
		grow(j);
	j->events[(j->events_at + j->events_len++) % j->events_cap] = (struct expiry){
		.key = mem_strndup(key.p, key.len), .rev = watch_obj_rev(o), .due_ms = due_ms
	};
}

/* Those loaded at start are not in the order of their time: the queue is looked through as a whole. */
void expire_turn(struct janitor *j)
{
	int64_t now = clock_unix_ms();
	size_t len = j->events_len;
	int taken = 0;
	for (size_t i = 0; i < len; i++) {
		struct expiry e = j->events[j->events_at];
		j->events_at = (j->events_at + 1) % j->events_cap;
		j->events_len--;
		if (e.due_ms > now || taken >= EXPIRE_PER_TURN) {
			j->events[(j->events_at + j->events_len++) % j->events_cap] = e;
			continue;
		}
		taken++;
		janitor_add(j, str_of(e.key));
		struct work *w = map_get(&j->works, str_of(e.key));
		if (w) {
			w->expire = true;
			w->expire_rev = e.rev;
		}
		mem_free(e.key);
	}
}

void expire_fini(struct janitor *j)
{
	for (size_t i = 0; i < j->events_len; i++)
		mem_free(j->events[(j->events_at + i) % j->events_cap].key);
	mem_free(j->events);
}
