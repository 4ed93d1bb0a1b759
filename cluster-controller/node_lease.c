#include "node_lease.h"

void lease_polled(struct lease_watch *w, bool ok, uint64_t now_ms)
{
	if (ok && !w->ok) {
		w->since_ms = now_ms;
		w->epoch++;
	}
	w->ok = ok;
}

void lease_see(const struct lease_watch *w, struct lease_seen *s, uint64_t value, uint64_t now_ms)
{
	bool known = s->epoch == w->epoch;
	if (known && s->value == value)
		return;
	*s = (struct lease_seen){
		.value = value, .changed_ms = now_ms, .epoch = w->epoch, .alive = known
	};
}

bool lease_alive(const struct lease_watch *w, const struct lease_seen *s)
{
	return s->epoch == w->epoch && s->alive;
}

uint64_t lease_silent_ms(const struct lease_watch *w, const struct lease_seen *s, uint64_t born_ms,
			 uint64_t now_ms)
{
	uint64_t since = w->since_ms > born_ms ? w->since_ms : born_ms;
	if (s->epoch == w->epoch && s->changed_ms > since)
		since = s->changed_ms;
	return now_ms > since ? now_ms - since : 0;
}
