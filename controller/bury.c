#include "bury.h"

#include "member.h"
#include "names.h"
#include "object.h"

struct tombstones bury_list(struct arena *a, const struct fleet *f, const struct member *m)
{
	const struct json *c = fleet_read(a, f->i_clusters, str_of(m->name));
	return tombstones_read(
		a, json_str(json_dig(c, "metadata", "annotations", FLEET_NOTE_TOMBSTONES, NULL)));
}

bool bury(struct fleet *f, struct job *j, const struct member *m, const struct tombstone *x,
	  struct error *err)
{
	struct arena *a = job_arena(j);
	const struct json *c = fleet_read(a, f->i_clusters, str_of(m->name));
	struct tombstones t = bury_list(a, f, m);
	if (!c || tombstones_has(&t, x->uid))
		return true;
	struct tombstone *all = arena_new(a, struct tombstone, t.len + 1);
	for (size_t i = 0; i < t.len; i++)
		all[i] = t.a[i];
	all[t.len++] = *x;
	t.a = all;
	struct str text = tombstones_write(a, &t);
	if (text.len > TOMBSTONES_BYTES_MAX) {
		(void)error_set(
			err, ERR_LIMIT,
			"cluster %s has no room for more tombstones; it is deleted when the "
			"cluster can be reached",
			m->name);
		return false;
	}
	struct json body;
	struct json *meta = object_patch(a, c, &body);
	(void)json_setc(a, json_child(a, meta, "annotations"), FLEET_NOTE_TOMBSTONES,
			json_of_str(text));
	struct job_effect e = {
		.client = f->cfg.client,
		.seen_by = f->i_clusters,
		.path = arena_printf(a, "/apis/topology.rctl.io/v1alpha1/clusters/%s", m->name)
	};
	job_send(j, &e, "PATCH", "application/merge-patch+json", json_text(a, &body));
	return false;
}
