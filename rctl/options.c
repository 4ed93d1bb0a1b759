#include "options.h"

#include "text/duration.h"

#include <stddef.h>
#include <string.h>

enum type { T_BOOL, T_STR, T_STRS, T_INT, T_DURATION };

struct flag {
	const char *name;
	char letter;
	enum type type;
	size_t at; /* offset in struct options */
	unsigned groups;
	const char *metavar, *help;
};

#define AT(field) offsetof(struct options, field)

static const struct flag flags[] = {
	{ "output", 'o', T_STR, AT(output), OPT_OUTPUT | OPT_WRITE | OPT_DEV, "FORMAT",
	  "wide, json, yaml, name, jsonpath=TEMPLATE, jsonpath-file=FILE, "
	  "custom-columns=NAME:PATH,…, custom-columns-file=FILE" },
	{ "selector", 'l', T_STR, AT(selector), OPT_SELECT | OPT_LOGS | OPT_DRAIN | OPT_LABEL,
	  "SELECTOR", "labels: app=web,tier!=db,zone in (a,b)" },
	{ "field-selector", 0, T_STR, AT(field_selector), OPT_SELECT, "SELECTOR",
	  "fields: spec.nodeName=n1,status.phase!=Running" },
	{ "all-namespaces", 'A', T_BOOL, AT(all_namespaces), OPT_SELECT | OPT_AUTH, NULL,
	  "in all namespaces" },
	{ "clusters", 0, T_BOOL, AT(clusters), OPT_GET | OPT_LOGS | OPT_HISTORY, NULL,
	  "ask every cluster of the fleet; shows cluster, region, node and availability zones" },
	{ "watch", 'w', T_BOOL, AT(watch), OPT_GET, NULL, "go on and print each change" },
	{ "watch-only", 0, T_BOOL, AT(watch_only), OPT_GET, NULL,
	  "print only changes, not what is there" },
	{ "no-headers", 0, T_BOOL, AT(no_headers), OPT_GET, NULL,
	  "leave out the line of column names" },
	{ "show-labels", 0, T_BOOL, AT(show_labels), OPT_GET, NULL,
	  "a last column with all labels" },
	{ "show-kind", 0, T_BOOL, AT(show_kind), OPT_GET, NULL, "names as TYPE/NAME" },
	{ "show-managed-fields", 0, T_BOOL, AT(show_managed), OPT_OUTPUT, NULL,
	  "with metadata.managedFields in -o yaml and json" },
	{ "raw", 0, T_STR, AT(raw), OPT_GET, "PATH", "print what the server answers for a path" },
	{ "at", 0, T_STR, AT(at), OPT_GET, "REV|TIME",
	  "as it was at a revision; one object also at a time (2026-01-31T12:00:00Z) or so long "
	  "ago (10m)" },
	{ "plan", 0, T_STR, AT(plan), OPT_APPLY, "HASH",
	  "apply only if it is still what 'rctl plan' showed with this hash" },
	{ "atomic", 0, T_BOOL, AT(atomic), OPT_APPLY, NULL,
	  "all documents or none, in one transaction of the server" },
	{ "applyset", 0, T_STR, AT(set), OPT_APPLY, "NAME",
	  "remember what was applied as the set of this name, in the namespace" },
	{ "prune", 0, T_BOOL, AT(prune), OPT_APPLY, NULL,
	  "with --applyset: delete what the set had and the files have no more" },
	{ "to-revision", 0, T_INT, AT(to_revision), OPT_UNDO, "N",
	  "undo the change that made this revision; default the last one" },
	{ "force", 0, T_BOOL, AT(force), OPT_UNDO, NULL, "lose what was changed later" },
	{ "sort-by", 0, T_STR, AT(sort_by), OPT_GET, "JSONPATH",
	  "order by this field, e.g. .metadata.creationTimestamp" },
	{ "ignore-not-found", 0, T_BOOL, AT(ignore_not_found), OPT_GET | OPT_DELETE, NULL,
	  "what is not there is no error" },
	{ "filename", 'f', T_STRS, AT(files), OPT_FILES, "FILE",
	  "file, folder, URL or - for standard input; may be repeated" },
	{ "recursive", 'R', T_BOOL, AT(recursive), OPT_FILES, NULL, "folders with all below them" },
	{ "from-literal", 0, T_STRS, AT(literals), OPT_CREATE, "KEY=VALUE",
	  "create configmap, secret: an entry; may be repeated" },
	{ "from-file", 0, T_STRS, AT(from_files), OPT_CREATE, "[KEY=]FILE",
	  "create configmap, secret: an entry from a file; may be repeated" },
	{ "from-env-file", 0, T_STRS, AT(env_files), OPT_CREATE, "FILE",
	  "create configmap, secret: an entry from each KEY=VALUE line" },
	{ "secret-type", 0, T_STR, AT(secret_type), OPT_CREATE, "TYPE",
	  "create secret: its type (Opaque)" },
	{ "type", 0, T_STR, AT(patch_type), OPT_PATCH, "TYPE",
	  "strategic (default), merge or json" },
	{ "patch", 'p', T_STR, AT(patch), OPT_PATCH, "PATCH", "the patch, JSON or YAML" },
	{ "subresource", 0, T_STR, AT(subresource), OPT_PATCH | OPT_AUTH | OPT_GET, "NAME",
	  "status or scale" },
	{ "quiet", 'q', T_BOOL, AT(quiet), OPT_AUTH, NULL,
	  "print nothing: the exit status says it" },
	{ "ignore-daemonsets", 0, T_BOOL, AT(ignore_daemonsets), OPT_DRAIN, NULL,
	  "leave pods of DaemonSets" },
	{ "delete-emptydir-data", 0, T_BOOL, AT(delete_emptydir), OPT_DRAIN, NULL,
	  "evict pods with emptyDir volumes too; their data is lost" },
	{ "pod-selector", 0, T_STR, AT(pod_selector), OPT_DRAIN, "SELECTOR",
	  "evict only pods with these labels" },
	{ "types", 0, T_STR, AT(types), OPT_EVENTS, "LIST",
	  "events of these types: Warning,Normal" },
	{ "for", 0, T_STR, AT(for_condition), OPT_EVENTS, "TYPE/NAME", "events about this object" },
	{ "recursive", 0, T_BOOL, AT(recursive), OPT_EXPLAIN, NULL,
	  "the names of all fields below" },
	{ "dry-run", 0, T_STR, AT(dry_run),
	  OPT_WRITE | OPT_DELETE | OPT_UNDO | OPT_DRAIN | OPT_LABEL | OPT_SCALE, "MODE",
	  "none, client or server: check, change nothing" },
	{ "field-manager", 0, T_STR, AT(field_manager), OPT_WRITE, "NAME",
	  "owner of the fields written (rctl)" },
	{ "server-side", 0, T_BOOL, AT(server_side), OPT_APPLY, NULL,
	  "accepted for kubectl's sake: rctl always applies on the server" },
	{ "force-conflicts", 0, T_BOOL, AT(force_conflicts), OPT_APPLY, NULL,
	  "take over fields that others own" },
	{ "overwrite", 0, T_BOOL, AT(overwrite), OPT_LABEL, NULL,
	  "change values that are there already" },
	{ "all", 0, T_BOOL, AT(all), OPT_DELETE | OPT_LABEL | OPT_WAIT | OPT_DRAIN, NULL,
	  "every object of the kind in the namespace" },
	{ "cascade", 0, T_STR, AT(propagation), OPT_DELETE, "MODE",
	  "background (default), foreground or orphan: what happens to dependents" },
	{ "grace-period", 0, T_INT, AT(grace_s), OPT_DELETE | OPT_DRAIN, "SECONDS",
	  "time to end in peace; -1 = the object's own" },
	{ "force", 0, T_BOOL, AT(force), OPT_DELETE, NULL,
	  "remove at once, without waiting for the node's word" },
	{ "force", 0, T_BOOL, AT(force), OPT_DRAIN, NULL,
	  "evict pods that nothing will start again too" },
	{ "now", 0, T_BOOL, AT(now), OPT_DELETE, NULL, "grace period of 1 second" },
	{ "wait", 0, T_BOOL, AT(wait), OPT_DELETE | OPT_APPLY, NULL,
	  "delete: wait until it is gone (default; --wait=false); apply: until all is ready" },
	{ "timeout", 0, T_DURATION, AT(timeout_ms),
	  OPT_DELETE | OPT_WAIT | OPT_ROLLOUT | OPT_DEV | OPT_APPLY | OPT_DRAIN, "DURATION",
	  "longest wait" },
	{ "container", 'c', T_STR, AT(container), OPT_LOGS, "NAME", "which container of the pod" },
	{ "follow", 'f', T_BOOL, AT(follow), OPT_LOGS, NULL, "go on as lines come" },
	{ "previous", 'p', T_BOOL, AT(previous), OPT_LOGS, NULL, "of the container's last run" },
	{ "timestamps", 0, T_BOOL, AT(timestamps), OPT_LOGS, NULL, "time before each line" },
	{ "tail", 0, T_INT, AT(tail), OPT_LOGS, "LINES", "only the last lines; -1 = all" },
	{ "since", 0, T_STR, AT(since), OPT_LOGS, "DURATION", "only lines of the last 5s, 2m, 3h" },
	{ "since-time", 0, T_STR, AT(since_time), OPT_LOGS, "TIME",
	  "only lines after this time (2026-01-31T12:00:00Z)" },
	{ "limit-bytes", 0, T_INT, AT(limit_bytes), OPT_LOGS, "BYTES", "at most so much" },
	{ "prefix", 0, T_BOOL, AT(prefix), OPT_LOGS, NULL, "pod and container before each line" },
	{ "all-containers", 0, T_BOOL, AT(all_containers), OPT_LOGS, NULL,
	  "of every container of the pod" },
	{ "for", 0, T_STR, AT(for_condition), OPT_WAIT, "WHAT",
	  "condition=NAME[=VALUE], delete, create, jsonpath=TEMPLATE[=VALUE]" },
	{ "replicas", 0, T_INT, AT(replicas), OPT_SCALE, "N", "how many there are to be" },
	{ "current-replicas", 0, T_INT, AT(current_replicas), OPT_SCALE, "N",
	  "only when there are so many now" },
	{ "revision", 0, T_INT, AT(revision), OPT_ROLLOUT, "N", "show this revision" },
	{ "to-revision", 0, T_INT, AT(to_revision), OPT_ROLLOUT, "N",
	  "undo: back to this revision; 0 = the last one" },
	{ "dir", 0, T_STR, AT(dir), OPT_DEV, "DIR", "where the fleet lives (./fleet)" },
	{ "regions", 0, T_INT, AT(regions), OPT_DEV, "N", "regions (2)" },
	{ "clusters", 0, T_INT, AT(clusters_n), OPT_DEV, "N", "clusters in each region (1)" },
	{ "nodes", 0, T_INT, AT(nodes), OPT_DEV, "N", "nodes in each cluster (2)" },
	{ "store", 0, T_STR, AT(store), OPT_DEV, "URL",
	  "sqlite, or postgres://… with one schema a database" },
	{ "keep-data", 0, T_BOOL, AT(keep_data), OPT_DEV, NULL,
	  "down: leave the databases for the next up" },
	{ "namespace", 'n', T_STR, AT(ns), OPT_ALL, "NAME", "namespace; default the context's" },
	{ "context", 0, T_STR, AT(context), OPT_ALL, "NAME", "context of the kubeconfig" },
	{ "kubeconfig", 0, T_STR, AT(kubeconfig), OPT_ALL, "FILE",
	  "default $KUBECONFIG, then ~/.kube/config" },
	{ "help", 'h', T_BOOL, AT(help), OPT_ALL, NULL, "this text" },
};
enum { FLAGS = sizeof(flags) / sizeof(flags[0]) };

static bool applies(const struct flag *f, unsigned groups)
{
	return (f->groups & (groups | OPT_ALL)) != 0;
}

static const struct flag *find(unsigned groups, struct str name, char letter)
{
	for (size_t i = 0; i < FLAGS; i++)
		if (applies(&flags[i], groups) &&
		    (letter ? flags[i].letter == letter : str_is(name, flags[i].name)))
			return &flags[i];
	return NULL;
}

static int set(struct options *o, const struct flag *f, const char *value, struct error *err)
{
	char *p = (char *)o + f->at;
	struct strings *list = (struct strings *)(void *)p;
	int64_t ns = 0;
	switch (f->type) {
	case T_BOOL:
		if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
			return error_set(err, ERR_BAD_REQUEST, "--%s is true or false, not \"%s\"",
					 f->name, value);
		*(bool *)(void *)p = !value || strcmp(value, "true") == 0;
		if (f->at == AT(wait))
			o->wait_given = true;
		return 0;
	case T_STR:
		*(const char **)(void *)p = value;
		return 0;
	case T_STRS:
		if (list->len == STRINGS_MAX)
			return error_set(err, ERR_BAD_REQUEST, "--%s: more than %d", f->name,
					 STRINGS_MAX);
		list->v[list->len++] = value;
		return 0;
	case T_INT:
		if (!str_to_i64(str_of(value), (int64_t *)(void *)p))
			return error_set(err, ERR_BAD_REQUEST, "--%s is a whole number, not \"%s\"",
					 f->name, value);
		if (f->at == AT(tail))
			o->tail_given = true;
		return 0;
	case T_DURATION:
		if (duration_parse_go(str_of(value), &ns, NULL) != 0)
			return error_set(err, ERR_BAD_REQUEST,
					 "--%s is a duration such as 30s or 2m, not \"%s\"",
					 f->name, value);
		*(int64_t *)(void *)p = ns / 1000000;
		return 0;
	}
	return 0;
}

static int unknown(const char *arg, struct error *err)
{
	return error_set(err, ERR_BAD_REQUEST, "unknown flag %s", arg);
}

/* --name, --name=value, --name value; *i moves over the value. */
static int parse_long(struct options *o, unsigned groups, int argc, char **argv, int *i,
		      struct error *err)
{
	struct str arg = str_of(argv[*i] + 2);
	ptrdiff_t eq = str_find(arg, '=', 0);
	struct str name = eq < 0 ? arg : str_sub(arg, 0, (size_t)eq);
	const struct flag *f = find(groups, name, 0);
	if (!f)
		return unknown(argv[*i], err);
	const char *value = eq < 0 ? NULL : arg.p + eq + 1;
	if (!value && f->type != T_BOOL) {
		if (*i + 1 >= argc)
			return error_set(err, ERR_BAD_REQUEST, "--%s needs a value", f->name);
		value = argv[++*i];
	}
	return set(o, f, value, err);
}

/* -w, -n ns, -nns, -n=ns, -wA */
static int parse_short(struct options *o, unsigned groups, int argc, char **argv, int *i,
		       struct error *err)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		const struct flag *f = find(groups, STR_NONE, *p);
		if (!f)
			return unknown(argv[*i], err);
		if (f->type == T_BOOL) {
			int rc = set(o, f, NULL, err);
			if (rc)
				return rc;
			continue;
		}
		const char *value = p[1] == '=' ? p + 2 : p + 1;
		if (!*value) {
			if (*i + 1 >= argc)
				return error_set(err, ERR_BAD_REQUEST, "-%c needs a value", *p);
			value = argv[++*i];
		}
		return set(o, f, value, err);
	}
	return 0;
}

int options_parse(struct options *o, unsigned groups, int argc, char **argv, struct error *err)
{
	*o = (struct options){ .output = "",
			       .grace_s = -1,
			       .timeout_ms = -1,
			       .tail = -1,
			       .replicas = -1,
			       .current_replicas = -1,
			       .regions = 2,
			       .clusters_n = 1,
			       .nodes = 2,
			       .wait = true };
	for (int i = 0; i < argc; i++) {
		int rc = 0;
		if (strcmp(argv[i], "--") == 0) {
			while (++i < argc && o->args_len < ARGS_MAX)
				o->args[o->args_len++] = argv[i];
			break;
		}
		if (argv[i][0] == '-' && argv[i][1] == '-')
			rc = parse_long(o, groups, argc, argv, &i, err);
		else if (argv[i][0] == '-' && argv[i][1])
			rc = parse_short(o, groups, argc, argv, &i, err);
		else if (o->args_len < ARGS_MAX)
			o->args[o->args_len++] = argv[i];
		else
			rc = error_set(err, ERR_BAD_REQUEST, "more than %d arguments", ARGS_MAX);
		if (rc)
			return rc;
	}
	return 0;
}

static void left_side(const struct flag *f, bool align, struct buf *out)
{
	if (f->letter)
		buf_addf(out, "%s-%c, --%s", align ? "  " : "", f->letter, f->name);
	else
		buf_addf(out, "%s--%s", align ? "      " : "", f->name);
	if (f->metavar)
		buf_addf(out, "=%s", f->metavar);
}

void options_help(unsigned groups, struct buf *out)
{
	for (size_t i = 0; i < FLAGS; i++) {
		const struct flag *f = &flags[i];
		if (!applies(f, groups))
			continue;
		struct buf left = { 0 };
		left_side(f, true, &left);
		buf_addf(out, "%-34s %s\n", buf_cstr(&left), f->help);
		buf_fini(&left);
	}
}

void options_rows(unsigned groups, struct buf *out)
{
	for (size_t i = 0; i < FLAGS; i++) {
		const struct flag *f = &flags[i];
		if (!(f->groups & groups))
			continue;
		left_side(f, false, out);
		buf_addf(out, "\t%s\n", f->help);
	}
}

void options_names(unsigned groups, struct buf *out)
{
	for (size_t i = 0; i < FLAGS; i++)
		if (applies(&flags[i], groups))
			buf_addf(out, "--%s%s\n", flags[i].name,
				 flags[i].type == T_BOOL ? "" : "=");
}
