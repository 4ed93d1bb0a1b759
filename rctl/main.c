/* rctl: the table of verbs, help and completion. */
#include "rctl.h"
#include "sys/loop.h"

#include <stdio.h>
#include <string.h>

struct verb {
	const char *name;
	verb_fn fn;
	unsigned groups;
	const char *args, *help;
};

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

static const struct verb *find(const char *name)
{
	for (size_t i = 0; i < VERBS; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static void help(FILE *out)
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

static void help_verb(const struct verb *v)
{
	struct buf b = { 0 };
	options_help(v->groups, &b);
	(void)printf("rctl %s - %s\n\nUsage: rctl %s %s [flags]\n\n%s", v->name, v->help, v->name,
		     v->args, buf_cstr(&b));
	buf_fini(&b);
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

static int completion(const char *shell)
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
static int complete(struct rctl *r, int argc, char **argv)
{
	if (argc <= 1) {
		for (size_t i = 0; i < VERBS; i++)
			(void)puts(verbs[i].name);
		(void)puts("completion");
		return 0;
	}
	const struct verb *v = find(argv[0]);
	struct error err = { 0 };
	if (!v)
		return 0;
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
	else if (r->opt.args_len == skip)
		complete_types(r);
	else if (r->opt.args_len > skip)
		complete_names(r, r->opt.args[skip]);
	return 0;
}

/* "rctl --context r1c1 get pods": flags before the verb are moved behind it. */
static void verb_first(int argc, char **argv)
{
	static const char *const with_value[] = { "-n", "--namespace", "--context",
						  "--kubeconfig" };
	int at = 1;
	while (at < argc && argv[at][0] == '-') {
		int more = 1;
		for (size_t i = 0; i < sizeof(with_value) / sizeof(with_value[0]); i++)
			more += strcmp(argv[at], with_value[i]) == 0;
		at += more;
	}
	if (at == 1 || at >= argc)
		return;
	char *verb = argv[at];
	memmove(&argv[2], &argv[1], sizeof(argv[0]) * (size_t)(at - 1));
	argv[1] = verb;
}

int main(int argc, char **argv)
{

	struct rctl r = { 0 };
	if (argc < 2) {
		help(stderr);
		return 2;
	}
	verb_first(argc, argv);
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		const struct verb *about = argc > 2 ? find(argv[2]) : NULL;
		if (about)
			help_verb(about);
		else
			help(stdout);
		return 0;
	}
	if (strcmp(name, "--version") == 0) {
		(void)printf("rctl %s\n", RCTL_VERSION);
		return 0;
	}
	if (strcmp(name, "completion") == 0)
		return completion(argc > 2 ? argv[2] : NULL);
	int status = 0;
	if (strcmp(name, "__complete") == 0) {
		status = complete(&r, argc - 2, argv + 2);
	} else {
		const struct verb *v = find(name);
		struct error err = { 0 };
		if (!v)
			return rctl_usage("no verb \"%s\"; 'rctl help' lists them", name);
		if (options_parse(&r.opt, v->groups, argc - 2, argv + 2, &err) != 0)
			return rctl_usage("%s; see 'rctl %s --help'", err.msg, v->name);
		if (r.opt.help)
			help_verb(v);
		else
			status = v->fn(&r);
	}
	(void)client_discovery_free(r.discovery);
	(void)client_free(r.client);
	(void)fetch_free(r.fetch);
	(void)loop_free(r.loop);
	client_config_fini(&r.cfg);
	arena_fini(&r.arena);
	return status;
}
