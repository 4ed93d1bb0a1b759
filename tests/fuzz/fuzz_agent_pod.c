/* Pod objects, log lines and answers of probed servers: whatever they are, reading them ends and stays inside. */
#include "crilog.h"
#include "podenv.h"
#include "podplan.h"
#include "podspec.h"
#include "podstatus.h"
#include "probe.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void plan_it(const struct pod_spec *p)
{
	struct plan_pod plan;
	struct plan next;
	struct status_ctr ctrs[POD_CONTAINERS_MAX] = { 0 };
	struct buf out = { 0 };
	plan_init(&plan, p);
	plan.admitted = true;
	plan_next(&plan, 1000, &next);
	const struct status_pod s = { .spec = p,
				      .plan = &plan,
				      .next = &next,
				      .ctrs = ctrs,
				      .host_ip = "127.0.0.1",
				      .pod_ip = "" };
	podstatus_write(&s, &out);
	struct arena a = { 0 };
	struct json j;
	if (json_parse(&a, buf_str(&out), NULL, &j, NULL) != 0)
		abort(); /* what we report must always be JSON */
	const struct configs none = { 0 };
	const struct podenv_facts facts = { "n", "127.0.0.1", "127.0.0.1", 1000, 1 << 20, "/v" };
	for (size_t i = 0; i < p->ctrs_len; i++) {
		struct podenv env;
		if (podenv_build(&a, p, &p->ctrs[i], &none, &facts, &env, NULL) == 0)
			(void)podenv_argv(&a, &env, &p->ctrs[i]);
	}
	arena_fini(&a);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str b = str_n((const char *)data, size);
	struct pod_spec *p = NULL;
	struct cri_line line;
	(void)cri_parse(b, &line);
	(void)probe_http_status(b);
	if (pod_spec_parse(b, &p, NULL) == 0)
		plan_it(p);
	pod_spec_free(p);
	return 0;
}
