/*
 * --applyset: the set's record is the ConfigMap rctl-set-NAME.  Before anything is applied it names the old members
 * and the new ones, so that an apply that dies half-way forgets nothing; behind it, just what is there.
 */
#include "rctl.h"
#include "sets.h"

#include <stdio.h>
#include <string.h>

static char *record_path(struct rctl *r)
{
	return arena_printf(&r->arena, "/api/v1/namespaces/%.*s/configmaps/rctl-set-%s",
			    STR_ARG(rctl_ns(r)), r->opt.set);
}

int applyset_read(struct rctl *r, struct set *ret)
{
	struct json cm;
	struct error err = { 0 };
	*ret = (struct set){ 0 };
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	int rc = rctl_get_json(r, record_path(r), &cm, &err);
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (!rc)
		rc = set_parse(&r->arena, json_str(json_dig(&cm, "data", "members", NULL)), ret,
			       &err);
	if (rc) {
		(void)error_wrap(&err, "applyset %s", r->opt.set);
		return rctl_fail(&err);
	}
	return 0;
}

int applyset_write(struct rctl *r, const struct set *s)
{
	struct arena *a = &r->arena;
	struct json cm = json_object();
	(void)json_setc(a, &cm, "apiVersion", json_of_cstr("v1"));
	(void)json_setc(a, &cm, "kind", json_of_cstr("ConfigMap"));
	struct json *meta = json_child(a, &cm, "metadata");
	(void)json_setc(a, meta, "name", json_of_cstr(arena_printf(a, "rctl-set-%s", r->opt.set)));
	(void)json_setc(a, meta, "namespace", json_of_str(rctl_ns(r)));
	(void)json_setc(a, json_child(a, meta, "labels"), "rctl.io/applyset",
			json_of_cstr(r->opt.set));
	(void)json_setc(a, json_child(a, &cm, "data"), "members", json_of_str(set_text(a, s)));
	struct reply reply;
	int rc = rctl_call(
		r,
		&(struct client_request){
			.method = "PATCH",
			.path = arena_printf(a, "%s?force=true&fieldManager=rctl-applyset",
					     record_path(r)),
			.content_type = "application/apply-patch+yaml",
			.body = json_text(a, &cm) },
		&reply);
	int status = 0;
	if (rc) {
		(void)error_wrap(&reply.err, "applyset %s", r->opt.set);
		status = rctl_fail(&reply.err);
	}
	reply_fini(&reply);
	return status;
}

struct set_member applyset_member(const struct document *d)
{
	const struct json *meta = json_getc(&d->obj, "metadata");
	return (struct set_member){ .api_version = json_str(json_getc(&d->obj, "apiVersion")),
				    .kind = json_str(json_getc(&d->obj, "kind")),
				    .ns = json_str(json_getc(meta, "namespace")),
				    .name = json_str(json_getc(meta, "name")),
				    .uid = d->uid };
}

/* Gone, and another object of the name, are both fine. */
static int prune_one(struct rctl *r, const struct set_member *m)
{
	struct error err = { 0 };
	if (rctl_discover(r, &err) != 0)
		return rctl_fail(&err);
	const struct client_resource *res =
		client_discovery_find_gvk(r->discovery, m->api_version, m->kind);
	if (!res) /* its definition is gone, and it with it */
		return 0;
	struct reply reply;
	struct str body =
		arena_strf(&r->arena,
			   "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"preconditions\":{"
			   "\"uid\":\"%.*s\"}%s}",
			   STR_ARG(m->uid), rctl_dry(r, "server") ? ",\"dryRun\":[\"All\"]" : "");
	int rc = rctl_call(
		r,
		&(struct client_request){ .method = "DELETE",
					  .path = client_path(&r->arena, res, m->ns, m->name),
					  .body = body },
		&reply);
	int status = 0;
	if (rc && rc != ERR_NOT_FOUND && rc != ERR_CONFLICT)
		status = rctl_fail(&reply.err);
	else if (!rc)
		(void)printf("%.*s pruned%s\n", STR_ARG(rctl_name_of(r, res, m->name)),
			     rctl_dry(r, "server") ? " (server dry run)" : "");
	reply_fini(&reply);
	return status;
}

int applyset_prune(struct rctl *r, const struct set *stale)
{
	int status = 0;
	for (size_t i = 0; i < stale->len; i++)
		status |= prune_one(r, &stale->v[i]);
	return status;
}
