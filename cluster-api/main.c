/* resource-cluster-api: the Kubernetes API of one cluster, and the other end of its agents. */
#include "agents.h"
#include "apiserver/apiserver.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "leases.h"
#include "logs.h"
#include "peers.h"
#include "peerway.h"
#include "telemetry.h"

#include <string.h>
#include <unistd.h>

struct program {
	struct apiserver_config api_cfg;
	struct agents_config agents_cfg;
	struct telemetry_config telemetry_cfg;
	char *agent_address, *cluster, *instance, *region, *network_az, *advertise;
	char *peer_url, *peer_ca, *peer_cert, *peer_key;
	char *agent_ca, *agent_cert, *agent_key;
	char host[64];
	struct daemon *daemon;
	struct apiserver *api;
	struct agents *agents;
	struct peers *peers;
	struct peerway *peerway;
	struct logs *logs;
	struct telemetry *telemetry;
	struct rpc_method methods[4];
	unsigned stopping;
};

static size_t settings(void *state, struct setting *rows, size_t cap)
{
	struct program *p = state;
	size_t n = apiserver_settings(&p->api_cfg, rows, cap);
	const struct setting own[] = {
		{ .name = "cluster-name",
		  .type = SETTING_STRING,
		  .target = &p->cluster,
		  .required = true,
		  .metavar = "NAME",
		  .help = "name of the cluster: label cluster of its metrics, logs and alerts" },
		{ .name = "agent-address",
		  .type = SETTING_STRING,
		  .target = &p->agent_address,
		  .fallback = "127.0.0.1:7443",
		  .metavar = "ADDRESS",
		  .help = "host:port where agents connect (gRPC with client certificates only)" },
		{ .name = "agent-client-ca-file",
		  .type = SETTING_STRING,
		  .target = &p->agent_ca,
		  .metavar = "FILE",
		  .help = "PEM certificates that sign the agents'; default client-ca-file" },
		{ .name = "agent-tls-cert-file",
		  .type = SETTING_STRING,
		  .target = &p->agent_cert,
		  .metavar = "FILE",
		  .help = "PEM certificate of the agents' port; default tls-cert-file" },
		{ .name = "agent-tls-private-key-file",
		  .type = SETTING_STRING,
		  .target = &p->agent_key,
		  .metavar = "FILE",
		  .help = "PEM key of the agents' port; default tls-private-key-file" },
		{ .name = "agent-advertise",
		  .type = SETTING_STRING,
		  .target = &p->advertise,
		  .fallback = "",
		  .metavar = "ADDRESS",
		  .help = "host:port that agents are told to connect to next time; empty = they "
			  "keep their settings" },
		{ .name = "agent-heartbeat",
		  .type = SETTING_DURATION,
		  .target = &p->agents_cfg.heartbeat_ms,
		  .fallback = "3s",
		  .min = 500,
		  .max = 60000,
		  .metavar = "DURATION",
		  .help = "how often agents say that they are there" },
		{ .name = "instance",
		  .type = SETTING_STRING,
		  .target = &p->instance,
		  .metavar = "NAME",
		  .help = "name of this instance in logs; default the host name" },
		{ .name = "peer-url",
		  .type = SETTING_STRING,
		  .target = &p->peer_url,
		  .fallback = "",
		  .metavar = "URL",
		  .help = "https://host:port where the cluster's other API servers reach this one; "
			  "empty = there is one server" },
		{ .name = "peer-ca-file",
		  .type = SETTING_STRING,
		  .target = &p->peer_ca,
		  .metavar = "FILE",
		  .help = "PEM certificates that sign the other servers'; default client-ca-file" },
		{ .name = "peer-client-cert",
		  .type = SETTING_STRING,
		  .target = &p->peer_cert,
		  .metavar = "FILE",
		  .help = "PEM certificate of group system:apiservers for the other servers" },
		{ .name = "peer-client-key",
		  .type = SETTING_STRING,
		  .target = &p->peer_key,
		  .metavar = "FILE",
		  .help = "PEM key of peer-client-cert" },
		{ .name = "region",
		  .type = SETTING_STRING,
		  .target = &p->region,
		  .fallback = "",
		  .metavar = "NAME",
		  .help = "region that this instance is in" },
		{ .name = "network-az",
		  .type = SETTING_STRING,
		  .target = &p->network_az,
		  .fallback = "",
		  .metavar = "NAME",
		  .help = "network availability zone that this instance is in; agents prefer their "
			  "own" },
	};
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]) && n < cap; i++)
		rows[n++] = own[i];
	return n + telemetry_settings(&p->telemetry_cfg, rows + n, cap - n);
}

static void agents_config(struct program *p, struct daemon *d)
{
	struct agents_config *c = &p->agents_cfg;
	c->api = p->api;
	c->loop = daemon_loop(d);
	c->metrics = daemon_metrics(d);
	c->address = p->agent_address;
	c->cluster = p->cluster;
	c->server = p->instance ? p->instance : p->host;
	c->region = p->region;
	c->network_az = p->network_az;
	c->advertise = p->advertise;
	c->peers = p->peers;
	c->tls = (struct rpc_server_tls){
		.ca_file = p->agent_ca ? p->agent_ca : p->api_cfg.client_ca,
		.cert_file = p->agent_cert ? p->agent_cert : p->api_cfg.tls_cert,
		.key_file = p->agent_key ? p->agent_key : p->api_cfg.tls_key,
	};
}

/* What the other API servers of the cluster are for this one. */
static int peer_parts(struct program *p, struct daemon *d, struct error *err)
{
	(void)gethostname(p->host, sizeof(p->host) - 1);
	p->peers = peers_new(&(struct peers_config){
		.store_url = p->api_cfg.store_url,
		.server = p->instance ? p->instance : p->host,
		.url = p->peer_url,
		.advertise = p->advertise,
		.region = p->region,
		.network_az = p->network_az,
	});
	return peerway_new(
		&(struct peerway_config){
			.loop = daemon_loop(d),
			.peers = p->peers,
			.server = p->instance ? p->instance : p->host,
			.ca_file = p->peer_ca ? p->peer_ca : p->api_cfg.client_ca,
			.cert_file = p->peer_cert,
			.key_file = p->peer_key,
		},
		&p->peerway, err);
}

static void fail_on_loop(void *arg)
{
	struct program *p = arg;
	struct error err = { 0 };
	(void)error_set(&err, ERR_UNAVAILABLE, "the store cannot go on");
	daemon_fail(p->daemon, &err);
}

/* On the store's thread. */
static void on_lost(void *arg, const char *why)
{
	(void)why;
	struct program *p = arg;
	loop_post(daemon_loop(p->daemon), fail_on_loop, p);
}

static int start(void *state, struct daemon *d, struct error *err)
{
	struct program *p = state;
	p->daemon = d;
	p->api_cfg.program = "resource-cluster-api";
	p->api_cfg.plane = KIND_CLUSTER;
	p->api_cfg.metrics = daemon_metrics(d);
	p->api_cfg.settings = daemon_settings(d);
	p->api_cfg.on_lost = on_lost;
	p->api_cfg.on_lost_arg = p;
	int rc = apiserver_new(&p->api_cfg, &p->api, err);
	if (rc)
		return rc;
	rc = peer_parts(p, d, err);
	if (rc)
		return rc;
	agents_config(p, d);
	p->logs = logs_new(p->api, daemon_loop(d));
	p->telemetry = telemetry_new(&p->telemetry_cfg, &(struct telemetry_context){
								.api = p->api,
								.loop = daemon_loop(d),
								.metrics = daemon_metrics(d),
								.cluster = p->cluster,
								.peers = p->peers,
								.peerway = p->peerway,
							});
	p->methods[p->agents_cfg.more_len++] = logs_method(p->logs);
	p->methods[p->agents_cfg.more_len++] = telemetry_method(p->telemetry);
	p->agents_cfg.more = p->methods;
	if (!p->agents_cfg.tls.ca_file || !p->agents_cfg.tls.cert_file ||
	    !p->agents_cfg.tls.key_file)
		return error_set(err, ERR_INVALID,
				 "the agents' port needs certificates: --tls-cert, --tls-key and "
				 "--client-ca");
	rc = agents_new(&p->agents_cfg, &p->agents, err);
	if (rc)
		return rc;
	leases_add_route(p->api, p->agents, p->peers);
	logs_add_route(p->logs, p->agents, p->peerway, telemetry_logs(p->telemetry));
	rc = apiserver_start(p->api, err);
	if (rc == 0)
		telemetry_start(p->telemetry);
	if (rc == 0)
		rc = agents_start(p->agents, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < p->api_cfg.listen.len; i++)
		log_info("listening", "address", LOG_S(p->api_cfg.listen.items[i]), "port",
			 LOG_I(apiserver_port(p->api, i)), NULL);
	daemon_ready(d);
	return 0;
}

static void part_stopped(void *arg)
{
	struct program *p = arg;
	if (--p->stopping == 0)
		daemon_stopped(p->daemon);
}

/* On the engine's first loop. */
static void api_drained(void *arg)
{
	struct program *p = arg;
	loop_post(daemon_loop(p->daemon), part_stopped, p);
}

static void reload(void *state, struct daemon *d)
{
	(void)d;
	struct program *p = state;
	struct error err = { 0 };
	if (apiserver_reload(p->api, &err) || peerway_reload(p->peerway, &err))
		log_error("certificate-not-reloaded", "error", LOG_S(err.msg), NULL);
}

static void stop(void *state, struct daemon *d)
{
	(void)d;
	struct program *p = state;
	p->stopping = 2;
	agents_drain(p->agents, part_stopped, p);
	apiserver_drain(p->api, api_drained, p);
}

static void fini(void *state)
{
	struct program *p = state;
	p->agents = agents_free(p->agents);
	p->telemetry = telemetry_free(p->telemetry);
	/* Answers of the stores that are on their way: their requests are there until the next line. */
	if (p->daemon)
		loop_turn(daemon_loop(p->daemon), 0);
	p->api = apiserver_free(p->api);
	p->logs = logs_free(p->logs);
	p->peerway = peerway_free(p->peerway);
	p->peers = peers_free(p->peers);
}

int main(int argc, char **argv)
{
	struct program p = { 0 };
	const struct daemon_spec spec = {
		.program = "resource-cluster-api",
		.summary = "the API of one cluster: its objects, and its agents",
		.settings = settings,
		.start = start,
		.stop = stop,
		.reload = reload,
		.fini = fini,
		.state = &p,
	};
	return daemon_main(&spec, argc, argv);
}
