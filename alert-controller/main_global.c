/* resource-alert-controller: the alerts of the fleet. */
#include "program.h"

int main(int argc, char **argv)
{
	const struct alert_program_spec spec = {
		.name = "resource-alert-controller",
		.summary =
			"evaluates the alert rules of the fleet, watches its clusters, shows and "
			"notifies their alerts",
		.global = true,
	};
	return alert_program_main(&spec, argc, argv);
}
