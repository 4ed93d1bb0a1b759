/* The table of verbs, help, the manual page and completion. */
#include "verbs.h"

#include <string.h>

static const struct verb verbs[] = {
	{ "apply", verb_apply, OPT_FILES | OPT_WRITE | OPT_APPLY, "-f FILE",
	  "make the objects of the files so (server-side apply)" },
	{ "create", verb_create, OPT_FILES | OPT_WRITE | OPT_CREATE,
	  "-f FILE | namespace|configmap|secret|serviceaccount NAME",
	  "create objects; they must not exist" },
	{ "replace", verb_replace, OPT_FILES | OPT_WRITE, "-f FILE",
	  "put the objects of the files in place of those there are" },
	{ "diff", verb_diff, OPT_FILES, "-f FILE",
	  "what apply would change; exit status 1 when there is something" },
	{ "plan", verb_plan, OPT_FILES | OPT_APPLY, "-f FILE",
	  "what apply would do, with a hash for apply --plan" },
	{ "get", verb_get, OPT_OUTPUT | OPT_SELECT | OPT_GET, "TYPE [NAME …] | TYPE/NAME …",
	  "show objects; --clusters over the whole fleet" },
	{ "describe", verb_describe, OPT_SELECT, "TYPE [NAME …] | TYPE/NAME …",
	  "show objects in full, with their events" },
	{ "explain", verb_explain, OPT_EXPLAIN, "TYPE[.FIELD…]", "what the fields of a type mean" },
	{ "edit", verb_edit, OPT_WRITE, "TYPE/NAME", "change an object in $EDITOR" },
	{ "patch", verb_patch, OPT_WRITE | OPT_PATCH, "TYPE/NAME -p PATCH",
	  "change fields of an object" },
	{ "label", verb_label, OPT_LABEL, "TYPE/NAME KEY=VALUE …", "set or remove (KEY-) labels" },
	{ "annotate", verb_annotate, OPT_LABEL, "TYPE/NAME KEY=VALUE …",
	  "set or remove (KEY-) annotations" },
	{ "scale", verb_scale, OPT_SCALE, "TYPE/NAME --replicas=N",
	  "change how many replicas there are to be" },
	{ "delete", verb_delete, OPT_FILES | OPT_SELECT | OPT_DELETE,
	  "TYPE NAME … | TYPE/NAME … | -f FILE", "delete objects and wait until they are gone" },
	{ "history", verb_history, OPT_OUTPUT | OPT_HISTORY, "TYPE/NAME",
	  "the states of an object that the server remembers" },
	{ "undo", verb_undo, OPT_UNDO, "REVISION | TYPE/NAME",
	  "take back the change that made a revision" },
	{ "why", verb_why, OPT_HISTORY, "TYPE/NAME",
	  "the reason for the state of an object, with what it hangs on" },
	{ "rollout", verb_rollout, OPT_ROLLOUT,
	  "status|history|undo|restart|pause|resume TYPE/NAME", "follow and steer rollouts" },
	{ "wait", verb_wait, OPT_SELECT | OPT_WAIT, "TYPE/NAME … --for=WHAT",
	  "wait until objects are as asked" },
	{ "logs", verb_logs, OPT_LOGS, "POD [CONTAINER] | TYPE/NAME | -l SELECTOR",
	  "what containers print; of several pods in the order of time" },
	{ "events", verb_events, OPT_OUTPUT | OPT_SELECT | OPT_GET | OPT_EVENTS, "",
	  "what happened, the newest last" },
	{ "top", verb_top, OPT_SELECT | OPT_GET, "nodes|pods|clusters [NAME]",
	  "what nodes, pods and clusters use" },
	{ "cordon", verb_cordon, OPT_DRAIN, "NODE …", "give a node no new pods" },
	{ "uncordon", verb_uncordon, OPT_DRAIN, "NODE …", "give a node pods again" },
	{ "drain", verb_drain, OPT_DRAIN, "NODE …", "cordon a node and evict its pods" },
	{ "taint", verb_taint, OPT_LABEL, "nodes NAME KEY=VALUE:EFFECT …",
	  "set or remove (KEY-) taints of nodes" },
	{ "auth", verb_auth, OPT_OUTPUT | OPT_AUTH, "can-i VERB TYPE[/NAME] | whoami",
	  "what the user may do" },
	{ "api-resources", verb_api_resources, OPT_OUTPUT, "", "the types that the server has" },
	{ "api-versions", verb_api_versions, 0, "", "the group versions that the server has" },
	{ "config", verb_config, OPT_OUTPUT,
	  "view | get-contexts | current-context | use-context NAME", "the kubeconfig in use" },
	{ "version", verb_version, OPT_OUTPUT, "", "versions of rctl and of the server" },
	{ "dev", verb_dev, OPT_DEV, "up|status|down", "a local fleet of real daemons" },
};
enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

size_t verbs_count(void)
{
	return VERBS;
}

const struct verb *verbs_at(size_t i)
{
	return i < VERBS ? &verbs[i] : NULL;
}

const struct verb *verbs_find(const char *name)
{
	for (size_t i = 0; i < VERBS; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

void verbs_help(FILE *out)
{
	(void)fputs("rctl controls fleets of clusters: declare once, run in many "
		    "regions.\n\nUsage: rctl VERB [arguments] [flags]\n\n",
		    out);
	for (size_t i = 0; i < VERBS; i++)
		(void)fprintf(out, "  %-15s %s\n", verbs[i].name, verbs[i].help);
	(void)fputs("  completion      print the completion script of bash, zsh or fish\n\n'rctl "
		    "VERB --help' shows the flags of a verb.\n",
		    out);
}

void verbs_help_of(const struct verb *v)
{
	struct buf b = { 0 };
	options_help(v->groups, &b);
	(void)printf("rctl %s - %s\n\nUsage: rctl %s %s [flags]\n\n%s", v->name, v->help, v->name,
		     v->args, buf_cstr(&b));
	buf_fini(&b);
}

/* ---- the manual page ---- */

/* Text for troff: what it would take as its own is escaped. */
static void troff(FILE *out, const char *s)
{
	for (size_t i = 0; s[i]; i++) {
		if (s[i] == '-')
			(void)fputs("\\-", out);
		else if (s[i] == '\\')
			(void)fputs("\\e", out);
		else if ((s[i] == '.' || s[i] == '\'') && (i == 0 || s[i - 1] == '\n'))
			(void)fprintf(out, "\\&%c", s[i]);
		else if (strncmp(s + i, "…", 3) == 0) {
			(void)fputs("...", out);
			i += 2;
		} else
			(void)fputc(s[i], out);
	}
}

static void troff_line(FILE *out, const char *macro, const char *text)
{
	if (*macro)
		(void)fprintf(out, "%s ", macro);
	troff(out, text);
	(void)fputc('\n', out);
}

static void man_flags(FILE *out, unsigned groups)
{
	struct buf b = { 0 };
	options_rows(groups, &b);
	struct str rest = buf_str(&b);
	struct str row;
	while (rest.len && str_split(&rest, '\n', &row)) {
		struct str flag;
		char text[512];
		(void)str_split(&row, '\t', &flag);
		(void)fputs(".TP\n.B ", out);
		(void)snprintf(text, sizeof(text), "%.*s", STR_ARG(flag));
		troff_line(out, "", text);
		(void)snprintf(text, sizeof(text), "%.*s", STR_ARG(row));
		troff_line(out, "", text);
	}
	buf_fini(&b);
}

void verbs_man(FILE *out)
{
	(void)fputs(
		".TH RCTL 1 \"\" \"rctl " RCTL_VERSION "\" \"rctl\"\n"
		".SH NAME\nrctl \\- control fleets of clusters\n"
		".SH SYNOPSIS\n.B rctl\n.I verb\n[arguments] [flags]\n"
		".SH DESCRIPTION\n"
		"Declares what is to run, and shows what runs, in the global API of a fleet and in "
		"each of its clusters.\nVerbs and flags have the names and the meaning that\n.BR "
		"kubectl (1)\ngives them wherever it has them.\n"
		".SH VERBS\n",
		out);
	for (size_t i = 0; i < VERBS; i++) {
		const struct verb *v = &verbs[i];
		(void)fputs(".SS ", out);
		troff(out, "rctl ");
		troff(out, v->name);
		(void)fputc(' ', out);
		troff_line(out, "", v->args);
		troff_line(out, "", v->help);
		man_flags(out, v->groups & ~(unsigned)OPT_ALL);
	}
	(void)fputs(".SS rctl completion bash|zsh|fish\nPrints the completion script of a shell.\n"
		    ".SH FLAGS OF EVERY VERB\n",
		    out);
	man_flags(out, OPT_ALL);
	(void)fputs(
		".SH EXIT STATUS\n.TP\n.B 0\nDone.\n.TP\n.B 1\nFailed; or\n.B rctl "
		"diff\nfound differences;\n.B rctl auth can\\-i\nanswers no;\n.B rctl dev "
		"status\nfound a dead daemon.\n.TP\n.B 2\nWrong usage.\n"
		".SH ENVIRONMENT\n.TP\n.B KUBECONFIG\nFiles to read, separated by colons; default "
		"~/.kube/config.\n.TP\n.B RCTL_EDITOR, KUBE_EDITOR, VISUAL, EDITOR\nThe editor of\n"
		".BR \"rctl edit\" ;\nthe first that is set.\n.TP\n.B NO_COLOR\nNo colours, also "
		"on a "
		"terminal.\n"
		".SH SEE ALSO\n.BR resource\\-api (8),\n.BR resource\\-cluster\\-api (8),\n.BR "
		"resource\\-cluster\\-agent (8)\n",
		out);
}

/* ---- completion ---- */

static const char bash_script[] =
	"_rctl() {\n"
	"    local IFS=$'\\n'\n"
	"    COMPREPLY=($(compgen -W \"$(rctl __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" "
	"2>/dev/null)\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
	"}\n"
	"complete -o default -F _rctl rctl\n";
static const char zsh_script[] =
	"#compdef rctl\n"
	"_rctl() {\n"
	"    local -a words_found\n"
	"    words_found=(${(f)\"$(rctl __complete ${words[2,CURRENT]} 2>/dev/null)\"})\n"
	"    compadd -a words_found || _files\n"
	"}\n"
	"compdef _rctl rctl\n";
static const char fish_script[] = "complete -c rctl -f -a '(rctl __complete (commandline "
				  "-opc)[2..-1] (commandline -ct) 2>/dev/null)'\n";

int verbs_completion(const char *shell)
{
	if (shell && strcmp(shell, "bash") == 0)
		(void)fputs(bash_script, stdout);
	else if (shell && strcmp(shell, "zsh") == 0)
		(void)fputs(zsh_script, stdout);
	else if (shell && strcmp(shell, "fish") == 0)
		(void)fputs(fish_script, stdout);
	else
		return rctl_usage("completion bash|zsh|fish");
	return 0;
}

static void complete_names(struct rctl *r, const char *type)
{
	struct error err = { 0 };
	const struct client_resource *res = NULL;
	struct json list;
	if (rctl_connect(r, &err) != 0 || rctl_resource(r, str_of(type), &res, &err) != 0 ||
	    rctl_get_json(r, client_path(&r->arena, res, rctl_ns(r), STR("")), &list, &err) != 0)
		return;
	const struct json *items = json_getc(&list, "items");
	for (size_t i = 0; i < json_len(items); i++)
		(void)printf("%.*s\n", STR_ARG(json_str(json_dig(json_at(items, i), "metadata",
								 "name", NULL))));
}

static void complete_types(struct rctl *r)
{
	struct error err = { 0 };
	if (rctl_discover(r, &err) != 0)
		return;
	for (size_t i = 0; i < client_discovery_count(r->discovery); i++)
		(void)printf("%.*s\n", STR_ARG(client_discovery_at(r->discovery, i)->plural));
}

/* Words that may stand where the last argument is. */
int verbs_complete(struct rctl *r, int argc, char **argv)
{
	if (argc <= 1) {
		for (size_t i = 0; i < VERBS; i++)
			(void)puts(verbs[i].name);
		(void)puts("completion");
		return 0;
	}
	const struct verb *v = verbs_find(argv[0]);
	struct error err = { 0 };
	if (!v)
		return 0;
	const char *before = argv[argc - 2];
	if (strcmp(before, "-n") == 0 || strcmp(before, "--namespace") == 0) {
		if (options_parse(&r->opt, v->groups, argc - 3, argv + 1, &err) == 0)
			complete_names(r, "namespaces");
		return 0;
	}
	if (argv[argc - 1][0] == '-') {
		struct buf b = { 0 };
		options_names(v->groups, &b);
		(void)fputs(buf_cstr(&b), stdout);
		buf_fini(&b);
		return 0;
	}
	if (options_parse(&r->opt, v->groups, argc - 2, argv + 1, &err) != 0)
		return 0;
	size_t skip = v->fn == verb_rollout ? 1 : 0;
	if (v->fn == verb_logs)
		complete_names(r, "pods");
	else if (v->fn == verb_rollout && r->opt.args_len == 0)
		(void)puts("status\nhistory\nundo\nrestart\npause\nresume");
	else if (v->fn == verb_dev)
		(void)puts("up\nstatus\ndown");
	else if (v->fn == verb_config && r->opt.args_len == 0)
		(void)puts("view\nget-contexts\ncurrent-context\nuse-context");
	else if (v->fn == verb_auth && r->opt.args_len == 0)
		(void)puts("can-i\nwhoami");
	else if (v->fn == verb_top && r->opt.args_len == 0)
		(void)puts("nodes\npods\nclusters");
	else if (v->fn == verb_cordon || v->fn == verb_uncordon || v->fn == verb_drain)
		complete_names(r, "nodes");
	else if (r->opt.args_len == skip)
		complete_types(r);
	else if (r->opt.args_len > skip)
		complete_names(r, r->opt.args[skip]);
	return 0;
}
