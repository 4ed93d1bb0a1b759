#include "dev_fleet.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char *fleet_path(struct fleet *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *rest = arena_vprintf(&f->arena, fmt, ap);
	va_end(ap);
	return arena_printf(&f->arena, "%s/%s", f->dir, rest);
}

int fleet_lay_out(struct fleet *f, struct error *err)
{
	int64_t clusters = f->regions * f->clusters_per_region;
	if (f->regions < 1 || f->regions > FLEET_REGIONS_MAX)
		return error_set(err, ERR_INVALID, "--regions is 1 to %d", FLEET_REGIONS_MAX);
	if (f->clusters_per_region < 1 || clusters > FLEET_CLUSTERS_MAX)
		return error_set(err, ERR_INVALID,
				 "--clusters: at least 1, and at most %d in all regions",
				 FLEET_CLUSTERS_MAX);
	if (f->nodes_per_cluster < 0 || clusters * f->nodes_per_cluster > FLEET_NODES_MAX)
		return error_set(err, ERR_INVALID, "--nodes: at most %d in all clusters",
				 FLEET_NODES_MAX);
	struct arena *a = &f->arena;
	for (int64_t r = 1; r <= f->regions; r++) {
		for (int64_t c = 1; c <= f->clusters_per_region; c++) {
			struct fleet_cluster *cl = &f->clusters[f->clusters_len];
			cl->region = arena_printf(a, "r%" PRId64, r);
			cl->name = arena_printf(a, "r%" PRId64 "c%" PRId64, r, c);
			for (int64_t n = 1; n <= f->nodes_per_cluster; n++) {
				struct fleet_node *node = &f->nodes[f->nodes_len++];
				node->cluster = f->clusters_len;
				node->region = cl->region;
				node->name = arena_printf(a, "%sn%" PRId64, cl->name, n);
				node->zone = arena_printf(a, "%s-az%" PRId64, cl->region,
							  1 + (n - 1) % 3);
				node->network_az = arena_printf(a, "%s-net%" PRId64, cl->region,
								1 + (n - 1) % 2);
			}
			f->clusters_len++;
		}
	}
	return 0;
}

/* ---- daemons ---- */

static struct fleet_daemon *add(struct fleet *f, int tier, const char *program, char *name)
{
	assert(f->daemons_len < FLEET_DAEMONS_MAX);
	struct fleet_daemon *d = &f->daemons[f->daemons_len++];
	d->name = name;
	d->program = arena_strdup(&f->arena, program);
	d->argv[d->argc++] = arena_printf(&f->arena, "%s/%s", f->bin_dir, program);
	d->tier = tier;
	return d;
}

static void arg(struct fleet *f, struct fleet_daemon *d, const char *fmt, ...) ATTR_PRINTF(3, 4);

static void arg(struct fleet *f, struct fleet_daemon *d, const char *fmt, ...)
{
	assert(d->argc < DAEMON_ARGS_MAX - 1);
	va_list ap;
	va_start(ap, fmt);
	d->argv[d->argc++] = arena_vprintf(&f->arena, fmt, ap);
	va_end(ap);
}

/* "sqlite:DIR/data/NAME.db", or the PostgreSQL URL with a schema of that name. */
static char *database(struct fleet *f, const char *name)
{
	if (strcmp(f->store, "sqlite") == 0)
		return arena_printf(&f->arena, "sqlite:%s/data/%s.db", f->dir, name);
	return arena_printf(&f->arena, "%s%cschema=%s", f->store, strchr(f->store, '?') ? '&' : '?',
			    name);
}

static void tls_args(struct fleet *f, struct fleet_daemon *d)
{
	arg(f, d, "--tls-cert-file=%s/pki/%s.crt", f->dir, d->name);
	arg(f, d, "--tls-private-key-file=%s/pki/%s.key", f->dir, d->name);
	arg(f, d, "--client-ca-file=%s/pki/ca.crt", f->dir);
}

static void global_api(struct fleet *f)
{
	struct fleet_daemon *d = add(f, 0, "resource-api", arena_strdup(&f->arena, "global-api"));
	arg(f, d, "--listen-address=127.0.0.1:%" PRId64, f->api_port);
	arg(f, d, "--store=%s", database(f, "global"));
	tls_args(f, d);
	arg(f, d, "--cluster-client-cert=%s/pki/forwarder.crt", f->dir);
	arg(f, d, "--cluster-client-key=%s/pki/forwarder.key", f->dir);
}

static void controller(struct fleet *f, const char *program, const char *name, const char *context)
{
	struct fleet_daemon *d = add(f, 1, program, arena_strdup(&f->arena, name));
	arg(f, d, "--kubeconfig=%s/pki/%s.kubeconfig", f->dir, name);
	arg(f, d, "--context=%s", context);
	/* a restarted daemon takes its own lease back at once; the fencing token tells the old one apart */
	arg(f, d, "--identity=%s", name);
}

static void cluster_api(struct fleet *f, const struct fleet_cluster *c)
{
	struct fleet_daemon *d =
		add(f, 0, "resource-cluster-api", arena_printf(&f->arena, "%s-api", c->name));
	arg(f, d, "--cluster-name=%s", c->name);
	arg(f, d, "--region=%s", c->region);
	arg(f, d, "--instance=%s", d->name);
	arg(f, d, "--listen-address=127.0.0.1:%" PRId64, c->api_port);
	arg(f, d, "--agent-address=127.0.0.1:%" PRId64, c->agent_port);
	arg(f, d, "--store=%s", database(f, c->name));
	arg(f, d, "--metrics-store=%s",
	    database(f, arena_printf(&f->arena, "%s_metrics", c->name)));
	arg(f, d, "--logs-store=%s", database(f, arena_printf(&f->arena, "%s_logs", c->name)));
	tls_args(f, d);
}

static void cluster_alerts(struct fleet *f, const struct fleet_cluster *c)
{
	char *name = arena_printf(&f->arena, "%s-alert-controller", c->name);
	controller(f, "resource-cluster-alert-controller", name, c->name);
	struct fleet_daemon *d = &f->daemons[f->daemons_len - 1];
	arg(f, d, "--cluster-name=%s", c->name);
	arg(f, d, "--region=%s", c->region);
	arg(f, d, "--alerts-store=%s", database(f, arena_printf(&f->arena, "%s_alerts", c->name)));
	arg(f, d, "--external-url=https://127.0.0.1:%" PRId64 "/clusters/%s", f->api_port, c->name);
	arg(f, d, "--allow-private-receivers");
}

static void agent(struct fleet *f, const struct fleet_node *n)
{
	const struct fleet_cluster *c = &f->clusters[n->cluster];
	struct fleet_daemon *d =
		add(f, 2, "resource-cluster-agent", arena_strdup(&f->arena, n->name));
	arg(f, d, "--node-name=%s", n->name);
	arg(f, d, "--region=%s", n->region);
	arg(f, d, "--zone=%s", n->zone);
	arg(f, d, "--network-az=%s", n->network_az);
	arg(f, d, "--server=127.0.0.1:%" PRId64, c->agent_port);
	arg(f, d, "--state-dir=%s/nodes/%s", f->dir, n->name);
	arg(f, d, "--tls-cert-file=%s/pki/%s.crt", f->dir, n->name);
	arg(f, d, "--tls-private-key-file=%s/pki/%s.key", f->dir, n->name);
	arg(f, d, "--ca-file=%s/pki/ca.crt", f->dir);
}

void fleet_daemons(struct fleet *f)
{
	f->daemons_len = 0;
	global_api(f);
	for (size_t i = 0; i < f->clusters_len; i++)
		cluster_api(f, &f->clusters[i]);
	controller(f, "resource-controller", "global-controller", "global");
	controller(f, "resource-alert-controller", "global-alert-controller", "global");
	struct fleet_daemon *alerts = &f->daemons[f->daemons_len - 1];
	arg(f, alerts, "--alerts-store=%s", database(f, "global_alerts"));
	arg(f, alerts, "--external-url=https://127.0.0.1:%" PRId64, f->api_port);
	arg(f, alerts, "--allow-private-receivers");
	for (size_t i = 0; i < f->clusters_len; i++) {
		const struct fleet_cluster *c = &f->clusters[i];
		controller(f, "resource-cluster-controller",
			   arena_printf(&f->arena, "%s-controller", c->name), c->name);
		cluster_alerts(f, c);
	}
	for (size_t i = 0; i < f->nodes_len; i++)
		agent(f, &f->nodes[i]);
}

/* ---- fleet.json ---- */

struct json fleet_save(struct fleet *f)
{
	struct arena *a = &f->arena;
	struct json j = json_object();
	(void)json_setc(a, &j, "store", json_of_cstr(f->store));
	(void)json_setc(a, &j, "regions", json_of_i64(f->regions));
	(void)json_setc(a, &j, "clusters", json_of_i64(f->clusters_per_region));
	(void)json_setc(a, &j, "nodes", json_of_i64(f->nodes_per_cluster));
	(void)json_setc(a, &j, "apiPort", json_of_i64(f->api_port));
	struct json *ports = json_setc(a, &j, "ports", json_array());
	for (size_t i = 0; i < f->clusters_len; i++) {
		(void)json_push(a, ports, json_of_i64(f->clusters[i].api_port));
		(void)json_push(a, ports, json_of_i64(f->clusters[i].agent_port));
	}
	return j;
}

int fleet_load(struct fleet *f, const struct json *j, struct error *err)
{
	f->store = arena_strdup(&f->arena, arena_str(&f->arena, json_str(json_getc(j, "store"))).p);
	f->regions = json_i64(json_getc(j, "regions"), 0);
	f->clusters_per_region = json_i64(json_getc(j, "clusters"), 0);
	f->nodes_per_cluster = json_i64(json_getc(j, "nodes"), -1);
	f->api_port = json_i64(json_getc(j, "apiPort"), 0);
	int rc = fleet_lay_out(f, err);
	if (rc)
		return rc;
	const struct json *ports = json_getc(j, "ports");
	if (json_len(ports) != 2 * f->clusters_len)
		return error_set(err, ERR_INVALID, "fleet.json does not fit itself");
	for (size_t i = 0; i < f->clusters_len; i++) {
		f->clusters[i].api_port = json_i64(json_at(ports, 2 * i), 0);
		f->clusters[i].agent_port = json_i64(json_at(ports, 2 * i + 1), 0);
	}
	return 0;
}
