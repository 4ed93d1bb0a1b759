/* ctl_priv - shared by the files of lib/ctl. */
#ifndef CTL_PRIV_H
#define CTL_PRIV_H

#include "base/list.h"
#include "ctl/ctl.h"

struct lease;
struct recorder;

struct ctl {
	struct ctl_config cfg;
	char *identity;
	struct lease *lease;
	struct recorder *recorder;
	struct list watches, queues;
	bool running; /* leading and all required informers synced */
};

/* ---- lease.c ---- */
struct lease *lease_new(struct ctl *c);
struct lease *lease_free(struct lease *l);
void lease_start(struct lease *l);
bool lease_held(const struct lease *l);
void lease_release(struct lease *l, void (*done)(void *arg), void *arg);

/* ---- queue.c ---- */
void queue_free(struct ctl_queue *q);
void queue_kick(struct ctl_queue *q);     /* run what may run */
void queue_progress(struct ctl_queue *q); /* an informer advanced */
void queue_forget_informer(struct ctl_queue *q, const struct client_informer *i);
struct list *queue_link(struct ctl_queue *q);
struct ctl_queue *queue_of(struct list *link);

/* ---- events.c ---- */
struct recorder *recorder_new(struct ctl *c);
struct recorder *recorder_free(struct recorder *r);

/* ---- ctl.c ---- */
void ctl_update(struct ctl *c); /* leadership or sync changed */

#endif
