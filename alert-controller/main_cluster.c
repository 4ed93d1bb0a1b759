/* resource-cluster-alert-controller: the alerts of one cluster. */
#include "program.h"

int main(int argc, char **argv)
{
	const struct alert_program_spec spec = {
		.name = "resource-cluster-alert-controller",
		.summary = "evaluates the alert rules of one cluster and notifies receivers",
	};
	return alert_program_main(&spec, argc, argv);
}
