/* The clusters of the fleet, each asked through the global API. */
#include "base/mem.h"
#include "rctl.h"

static struct rctl *enter(struct rctl *r, struct str name)
{
	struct rctl *at = mem_new(struct rctl, 1);
	*at = *r;
	at->arena = (struct arena){ 0 };
	at->discovery = NULL;
	struct client_config cfg = r->cfg;
	cfg.server = arena_printf(&at->arena, "%s/clusters/%.*s", r->cfg.server, STR_ARG(name));
	at->client = client_new(r->fetch, r->loop, &cfg,
				&(struct client_options){ .user_agent = "rctl/" RCTL_VERSION,
							  .field_manager = "rctl" });
	return at;
}

int fleet_members(struct rctl *r, struct member **ret, size_t *n, struct error *err)
{
	struct json list;
	*n = 0;
	int rc = rctl_get_json(r, "/apis/topology.rctl.io/v1alpha1/clusters", &list, err);
	if (rc == ERR_NOT_FOUND)
		return error_set(err, rc,
				 "context \"%s\" is one cluster's and knows no others: use the "
				 "context of the global API with --clusters",
				 r->cfg.context);
	if (rc)
		return error_wrap(err, "list of clusters");
	const struct json *items = json_getc(&list, "items");
	size_t len = json_len(items) < MEMBERS_MAX ? json_len(items) : MEMBERS_MAX;
	struct member *all = arena_new(&r->arena, struct member, len + 1);
	for (size_t i = 0; i < len; i++) {
		all[i].name = json_str(json_dig(json_at(items, i), "metadata", "name", NULL));
		all[i].region = json_str(json_dig(json_at(items, i), "spec", "region", NULL));
		all[i].at = enter(r, all[i].name);
	}
	*ret = all;
	*n = len;
	return 0;
}

void fleet_leave(struct member *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		(void)client_discovery_free(list[i].at->discovery);
		(void)client_free(list[i].at->client);
		arena_fini(&list[i].at->arena);
		mem_free(list[i].at);
		list[i].at = NULL;
	}
}
