/* rctl: takes the command line apart and runs its verb. */
#include "rctl.h"
#include "sys/loop.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

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
		verbs_help(stderr);
		return 2;
	}
	verb_first(argc, argv);
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		const struct verb *about = argc > 2 ? verbs_find(argv[2]) : NULL;
		if (about)
			verbs_help_of(about);
		else
			verbs_help(stdout);
		return 0;
	}
	if (strcmp(name, "--version") == 0) {
		(void)printf("rctl %s\n", RCTL_VERSION);
		return 0;
	}
	if (strcmp(name, "--man") == 0) {
		verbs_man(stdout);
		return 0;
	}
	if (strcmp(name, "completion") == 0)
		return verbs_completion(argc > 2 ? argv[2] : NULL);
	int status = 0;
	if (strcmp(name, "__complete") == 0) {
		status = verbs_complete(&r, argc - 2, argv + 2);
	} else {
		const struct verb *v = verbs_find(name);
		struct error err = { 0 };
		if (!v)
			return rctl_usage("no verb \"%s\"; 'rctl help' lists them", name);
		if (options_parse(&r.opt, v->groups, argc - 2, argv + 2, &err) != 0)
			return rctl_usage("%s; see 'rctl %s --help'", err.msg, v->name);
		if (r.opt.help)
			verbs_help_of(v);
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
