/* Several threads post to two loops, which post to each other; every message arrives once and in order. */
#include "base/mem.h"
#include "sys/loop.h"

#include <pthread.h>
#include <stdio.h>

enum { THREADS = 4, POSTS = 5000 };

struct side {
	struct loop *loop;
	struct side *other;
	int next[THREADS]; /* expected number of each sender */
	int echoes;
	int left;
	bool wrong;
};

struct message {
	struct side *to;
	int sender, number;
};

static void finish(struct side *s)
{
	if (--s->left == 0)
		loop_stop(s->loop);
}

static void on_echo(void *arg)
{
	struct side *s = arg;
	s->echoes++;
	finish(s);
}

static void on_message(void *arg)
{
	struct message *m = arg;
	struct side *s = m->to;
	if (s->next[m->sender]++ != m->number)
		s->wrong = true;
	loop_post(s->other->loop, on_echo, s->other);
	finish(s);
	mem_free(m);
}

struct sender {
	struct side *sides;
	int index;
};

static void *send_all(void *arg)
{
	struct sender *s = arg;
	for (int i = 0; i < POSTS; i++) {
		for (int k = 0; k < 2; k++) {
			struct message *m = mem_new(struct message, 1);
			*m = (struct message){ &s->sides[k], s->index, i };
			loop_post(s->sides[k].loop, on_message, m);
		}
	}
	return NULL;
}

static void *run(void *arg)
{
	loop_run(((struct side *)arg)->loop);
	return NULL;
}

int main(void)
{
	struct side sides[2] = { 0 };
	struct sender senders[THREADS];
	pthread_t threads[THREADS + 2];
	struct error err;
	for (int k = 0; k < 2; k++) {
		if (loop_new(&sides[k].loop, &err) != 0)
			return 1;
		sides[k].other = &sides[1 - k];
		sides[k].left = 2 * THREADS * POSTS;
	}
	for (int i = 0; i < THREADS + 2; i++) {
		void *arg = i < 2 ? (void *)&sides[i] : (void *)&senders[i - 2];
		if (i >= 2)
			senders[i - 2] = (struct sender){ sides, i - 2 };
		if (pthread_create(&threads[i], NULL, i < 2 ? run : send_all, arg) != 0)
			return 1;
	}
	for (int i = 0; i < THREADS + 2; i++)
		(void)pthread_join(threads[i], NULL);
	int bad = 0;
	for (int k = 0; k < 2; k++) {
		bad |= sides[k].wrong || sides[k].echoes != THREADS * POSTS;
		loop_free(sides[k].loop);
	}
	(void)puts(bad ? "messages lost or out of order" : "ok");
	return bad;
}
