/* Subresources of pods: binding to a node. */
#include "apiserver/apiserver_priv.h"

static void set_scheduled(struct arena *a, struct json *pod)
{
	struct json *status = json_child(a, pod, "status");
	struct json *list = json_getc(status, "conditions");
	if (!json_is(list, JSON_ARRAY))
		list = json_setc(a, status, "conditions", json_array());
	for (size_t i = json_len(list); i > 0; i--)
		if (str_is(json_str(json_getc(json_at(list, i - 1), "type")), "PodScheduled"))
			json_remove_at(list, i - 1);
	struct json c = json_object();
	json_setc(a, &c, "type", json_of_cstr("PodScheduled"));
	json_setc(a, &c, "status", json_of_cstr("True"));
	json_setc(a, &c, "lastProbeTime", (struct json){ 0 });
	json_setc(a, &c, "lastTransitionTime", json_of_str(object_now(a)));
	json_push(a, list, c);
}

void pod_reply_success(struct req *r)
{
	struct buf out = { 0 };
	buf_adds(
		&out,
		"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\","
		"\"code\":201}\n");
	req_reply_text(r, 201, "application/json", &out);
}

static void bind(struct req *r);

static void bound(struct req *r)
{
	if (r->result.code == 0)
		pod_reply_success(r);
	else if (r->result.code != ERR_CONFLICT || r->result.fenced)
		write_failed(r);
	else if (!write_lost_race(r, bind))
		req_fail_modified(r, r->route.name);
}

bool pod_read_body(struct req *r)
{
	if (!write_read_tree(r, &r->input) || !write_find_tree(r, r->route.name))
		return false;
	if (!r->target.old)
		req_fail_not_found(r, r->route.name);
	return r->target.old != NULL;
}

/* Labels and annotations of a Binding go onto the pod: so the node's topology gets there (KEP-4742). */
static void take_metadata(struct arena *a, struct json *pod, const struct json *binding,
			  const char *member)
{
	const struct json *from = json_dig(binding, "metadata", member, NULL);
	if (!json_is(from, JSON_OBJECT) || !json_len(from))
		return;
	struct json *to = json_child(a, json_child(a, pod, "metadata"), member);
	for (size_t i = 0; i < json_len(from); i++)
		json_set(a, to, json_str(&from->members[i].key), from->members[i].value);
}

static void bind(struct req *r)
{
	struct arena *a = &r->arena;
	if (!pod_read_body(r))
		return;
	struct str node = json_str(json_dig(&r->input, "target", "name", NULL));
	struct json *pod = &r->target.tree;
	struct json *spec = json_child(a, pod, "spec");
	struct str have = json_str(json_getc(spec, "nodeName"));
	struct str uid = object_text(&r->input, "uid");
	if (node.len == 0) {
		req_failf(r, ERR_INVALID,
			  "Binding \"%.*s\" is invalid: target.name: Required value",
			  STR_ARG(r->route.name));
		return;
	}
	const char *why = NULL;
	if (have.len)
		why = arena_printf(a, "pod %.*s is already assigned to node \"%.*s\"",
				   STR_ARG(r->route.name), STR_ARG(have));
	else if (object_deleting(pod))
		why = arena_printf(a, "pod %.*s is being deleted, cannot be assigned to a host",
				   STR_ARG(r->route.name));
	else if (uid.len && !str_eq(uid, object_text(pod, "uid")))
		why = "the uid of the binding is not that of the pod";
	if (why) {
		req_fail_precondition(r, r->route.name, why);
		return;
	}
	json_setc(a, spec, "nodeName", json_of_str(node));
	take_metadata(a, pod, &r->input, "labels");
	take_metadata(a, pod, &r->input, "annotations");
	set_scheduled(a, pod);
	if (r->opt.dry_run) {
		pod_reply_success(r);
		return;
	}
	write_submit(r, STORE_UPDATE, r->target.key, watch_obj_rev(r->target.old),
		     kind_encode(r->kind, pod), bound);
}

void pod_binding(struct req *r)
{
	req_when_fresh(r, bind);
}
