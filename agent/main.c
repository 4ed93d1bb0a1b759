/* resource-cluster-agent: one per node; runs pods, reports, survives without everything above it. */
#include "agent.h"
#include "base/buf.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "sys/proc.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

struct program {
	struct agent_config cfg;
	struct agent *agent;
	bool stop_pods;
};

static size_t identity_settings(struct program *p, struct setting *rows)
{
	const struct setting own[] = {
		{ .name = "node-name",
		  .type = SETTING_STRING,
		  .target = &p->cfg.node_name,
		  .metavar = "NAME",
		  .help = "name of the Node; must be the one in the certificate (CN "
			  "system:node:NAME); default the host name" },
		{ .name = "node-address",
		  .type = SETTING_STRING,
		  .target = &p->cfg.node_address,
		  .fallback = "127.0.0.1",
		  .metavar = "IP",
		  .help = "address of the node, reported as hostIP and used by probes" },
		{ .name = "region",
		  .type = SETTING_STRING,
		  .target = &p->cfg.region,
		  .metavar = "NAME",
		  .help = "region of the node (label topology.kubernetes.io/region)" },
		{ .name = "zone",
		  .type = SETTING_STRING,
		  .target = &p->cfg.zone,
		  .metavar = "NAME",
		  .help = "node availability zone: what fails together, a rack or a power feed "
			  "(label topology.kubernetes.io/zone)" },
		{ .name = "network-az",
		  .type = SETTING_STRING,
		  .target = &p->cfg.network_az,
		  .metavar = "NAME",
		  .help = "network availability zone (label topology.rctl.io/network-az); API "
			  "endpoints of the same one are preferred" },
		{ .name = "node-label",
		  .type = SETTING_STRINGS,
		  .target = &p->cfg.labels,
		  .metavar = "KEY=VALUE",
		  .help = "further label of the Node; repeatable" },
		{ .name = "server",
		  .type = SETTING_STRINGS,
		  .target = &p->cfg.server,
		  .metavar = "HOST:PORT[,region=R][,network-az=A]",
		  .help = "agent endpoint of a resource-cluster-api; repeatable" },
		{ .name = "ca-file",
		  .type = SETTING_STRING,
		  .target = &p->cfg.ca_file,
		  .metavar = "FILE",
		  .help = "PEM certificates that sign the servers'" },
		{ .name = "tls-cert-file",
		  .type = SETTING_STRING,
		  .target = &p->cfg.cert_file,
		  .metavar = "FILE",
		  .help = "PEM certificate of the node; read again at each connection" },
		{ .name = "tls-private-key-file",
		  .type = SETTING_STRING,
		  .target = &p->cfg.key_file,
		  .metavar = "FILE",
		  .help = "PEM key of the node" },
	};
	size_t n = sizeof(own) / sizeof(own[0]);
	for (size_t i = 0; i < n; i++)
		rows[i] = own[i];
	return n;
}

static size_t resource_settings(struct program *p, struct setting *rows)
{
	const struct setting own[] = {
		{ .name = "state-dir",
		  .type = SETTING_STRING,
		  .target = &p->cfg.state_dir,
		  .fallback = "/var/lib/rctl/agent",
		  .metavar = "DIR",
		  .help = "everything the agent keeps: pods, volumes, logs, spool" },
		{ .name = "shim",
		  .type = SETTING_STRING,
		  .target = &p->cfg.shim,
		  .metavar = "FILE",
		  .help = "resource-pod-shim; default the one beside this program" },
		{ .name = "heartbeat",
		  .type = SETTING_DURATION,
		  .target = &p->cfg.heartbeat_ms,
		  .fallback = "3s",
		  .min = 500,
		  .max = 60000,
		  .metavar = "DURATION",
		  .help = "how often the agent says that it is there, unless the server names "
			  "another time" },
		{ .name = "metrics-interval",
		  .type = SETTING_DURATION,
		  .target = &p->cfg.metrics_interval_ms,
		  .fallback = "10s",
		  .min = 1000,
		  .max = 600000,
		  .metavar = "DURATION",
		  .help = "how often metrics are collected and pushed" },
		{ .name = "spool-size",
		  .type = SETTING_BYTES,
		  .target = &p->cfg.spool_bytes_max,
		  .fallback = "256Mi",
		  .min = 16 << 20,
		  .max = 1LL << 40,
		  .metavar = "BYTES",
		  .help = "disk for each of metrics, logs and events while no API can be reached; "
			  "the oldest go first" },
		{ .name = "log-file-size",
		  .type = SETTING_BYTES,
		  .target = &p->cfg.log_bytes_max,
		  .fallback = "10Mi",
		  .min = 4096,
		  .max = 1LL << 34,
		  .metavar = "BYTES",
		  .help = "a container's log file is rotated at this size" },
		{ .name = "log-files",
		  .type = SETTING_INT,
		  .target = &p->cfg.log_files_max,
		  .fallback = "5",
		  .min = 2,
		  .max = 20,
		  .metavar = "N",
		  .help = "log files kept of a container's run" },
		{ .name = "cpu-milli",
		  .type = SETTING_INT,
		  .target = &p->cfg.cpu_m,
		  .fallback = "0",
		  .min = 0,
		  .max = 10000000,
		  .metavar = "N",
		  .help = "CPU capacity in thousandths of a core; 0 = what the machine has" },
		{ .name = "memory",
		  .type = SETTING_BYTES,
		  .target = &p->cfg.memory_bytes,
		  .fallback = "0",
		  .min = 0,
		  .max = 1LL << 50,
		  .metavar = "BYTES",
		  .help = "memory capacity; 0 = what the machine has" },
		{ .name = "reserved-cpu-milli",
		  .type = SETTING_INT,
		  .target = &p->cfg.reserved_cpu_m,
		  .fallback = "0",
		  .min = 0,
		  .max = 10000000,
		  .metavar = "N",
		  .help = "CPU kept from pods" },
		{ .name = "reserved-memory",
		  .type = SETTING_BYTES,
		  .target = &p->cfg.reserved_memory_bytes,
		  .fallback = "0",
		  .min = 0,
		  .max = 1LL << 50,
		  .metavar = "BYTES",
		  .help = "memory kept from pods" },
		{ .name = "stop-pods",
		  .type = SETTING_BOOL,
		  .target = &p->stop_pods,
		  .help = "end all pods of the state directory at once and exit: for taking a node "
			  "away" },
	};
	size_t n = sizeof(own) / sizeof(own[0]);
	for (size_t i = 0; i < n; i++)
		rows[i] = own[i];
	return n;
}

static size_t settings(void *state, struct setting *rows, size_t cap)
{
	struct program *p = state;
	(void)cap; /* far below DAEMON_SETTINGS_MAX */
	size_t n = identity_settings(p, rows);
	return n + resource_settings(p, rows + n);
}

static const char *ready(void *arg)
{
	return agent_ready(((struct program *)arg)->agent);
}

/* What has no default of its own. The settings own the texts, these too. */
static int defaults(struct program *p, struct error *err)
{
	if (!p->cfg.node_name) {
		char host[HOST_NAME_MAX + 1] = { 0 };
		(void)gethostname(host, sizeof(host) - 1);
		p->cfg.node_name = mem_strdup(host);
	}
	if (p->cfg.shim)
		return 0;
	char shim[PATH_MAX];
	int rc = proc_self_dir(shim, err);
	if (rc)
		return rc;
	struct buf path = { 0 };
	buf_addf(&path, "%s/resource-pod-shim", shim);
	p->cfg.shim = mem_strdup(buf_cstr(&path));
	buf_fini(&path);
	return 0;
}

static int start(void *state, struct daemon *d, struct error *err)
{
	struct program *p = state;
	int rc = defaults(p, err);
	if (rc)
		return rc;
	if (p->stop_pods) {
		rc = agent_stop_pods(&p->cfg, err);
		if (!rc)
			daemon_stopped(d);
		return rc;
	}
	if (!p->cfg.ca_file || !p->cfg.cert_file || !p->cfg.key_file)
		return error_set(err, ERR_INVALID,
				 "ca-file, tls-cert-file and tls-private-key-file are needed");
	rc = agent_new(daemon_loop(d), &p->cfg, daemon_metrics(d), &p->agent, err);
	if (rc)
		return rc;
	daemon_health(d, ready, p);
	daemon_ready(d);
	return 0;
}

static void fini(void *state)
{
	struct program *p = state;
	p->agent = agent_free(p->agent);
}

int main(int argc, char **argv)
{
	static struct program p;
	const struct daemon_spec spec = { .program = "resource-cluster-agent",
					  .summary =
						  "runs the pods of one node and reports on them",
					  .settings = settings,
					  .start = start,
					  .fini = fini,
					  .state = &p };
	return daemon_main(&spec, argc, argv);
}
