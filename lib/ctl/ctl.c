#include "ctl/ctl.h"

#include "base/mem.h"
#include "ctl/ctl_priv.h"

#include <assert.h>

struct watch {
	struct ctl *ctl;
	struct list link;
	struct client_informer_config user; /* the caller's callbacks, called first */
	struct client_informer *informer;
	bool required, synced;
};

struct ctl *ctl_new(const struct ctl_config *cfg)
{
	struct ctl *c = mem_new(struct ctl, 1);
	c->cfg = *cfg;
	c->identity = mem_strdup(cfg->identity);
	c->cfg.identity = c->identity;
	list_init(&c->watches);
	list_init(&c->queues);
	c->lease = lease_new(c);
	c->recorder = recorder_new(c);
	return c;
}

static void watch_free(struct watch *w)
{
	list_del(&w->link);
	(void)client_informer_free(w->informer);
	mem_free(w);
}

struct ctl *ctl_free(struct ctl *c)
{
	if (!c)
		return NULL;
	list_for_each(it, &c->queues) queue_free(queue_of(it));
	list_for_each(it, &c->watches) watch_free(list_entry(it, struct watch, link));
	(void)lease_free(c->lease);
	(void)recorder_free(c->recorder);
	mem_free(c->identity);
	mem_free(c);
	return NULL;
}

void ctl_start(struct ctl *c)
{
	lease_start(c->lease);
}

void ctl_release(struct ctl *c, void (*done)(void *arg), void *arg)
{
	c->running = false;
	lease_release(c->lease, done, arg);
}

bool ctl_leading(const struct ctl *c)
{
	return lease_held(c->lease);
}

static bool all_synced(const struct ctl *c)
{
	list_for_each(it,
		      &c->watches) if (list_entry(it, struct watch, link)->required &&
				       !list_entry(it, struct watch, link)->synced) return false;
	return true;
}

const char *ctl_ready(void *arg)
{
	const struct ctl *c = arg;
	return all_synced(c) ? NULL : "waiting for informers";
}

void ctl_update(struct ctl *c)
{
	c->running = lease_held(c->lease) && all_synced(c);
	if (!c->running)
		return;
	list_for_each(it, &c->queues) queue_kick(queue_of(it));
}

/* ---- informers ---- */

static void on_set(void *arg, struct str key, const struct json *obj, struct str text)
{
	struct watch *w = arg;
	w->user.on_set(w->user.arg, key, obj, text);
}

static void on_delete(void *arg, struct str key, struct str last)
{
	struct watch *w = arg;
	if (w->user.on_delete)
		w->user.on_delete(w->user.arg, key, last);
}

static void on_synced(void *arg)
{
	struct watch *w = arg;
	w->synced = true;
	if (w->user.on_synced)
		w->user.on_synced(w->user.arg);
	ctl_update(w->ctl);
}

static void on_contact(void *arg, bool ok, const struct error *err)
{
	struct watch *w = arg;
	if (w->user.on_contact)
		w->user.on_contact(w->user.arg, ok, err);
}

static void on_progress(void *arg, int64_t rev)
{
	struct watch *w = arg;
	if (w->user.on_progress)
		w->user.on_progress(w->user.arg, rev);
	list_for_each(it, &w->ctl->queues) queue_progress(queue_of(it));
}

struct client_informer *ctl_watch(struct ctl *c, struct client *from,
				  const struct client_informer_config *cfg, bool required)
{
	struct watch *w = mem_new(struct watch, 1);
	w->ctl = c;
	w->user = *cfg;
	w->required = required;
	struct client_informer_config own = *cfg;
	own.on_set = on_set;
	own.on_delete = on_delete;
	own.on_synced = on_synced;
	own.on_contact = on_contact;
	own.on_progress = on_progress;
	own.arg = w;
	list_append(&c->watches, &w->link);
	w->informer = client_informer_new(from, &own);
	c->running = c->running && !required;
	return w->informer;
}

void ctl_unwatch(struct ctl *c, struct client_informer *i)
{
	list_for_each(it, &c->queues) queue_forget_informer(queue_of(it), i);
	list_for_each(it, &c->watches)
	{
		struct watch *w = list_entry(it, struct watch, link);
		if (w->informer == i) {
			watch_free(w);
			break;
		}
	}
	ctl_update(c);
}
