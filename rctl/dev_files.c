/* Certificates, kubeconfigs and the topology objects of a local fleet. */
#include "base/buf.h"
#include "dev_fleet.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "text/base64.h"
#include "tls/pki.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PEM_BYTES_MAX = 1 << 20, CA_DAYS = 3650, CERT_DAYS = 365, RENEW_DAYS = 30, DAY_S = 86400 };

static int read_pem(struct fleet *f, const char *path, struct str *ret, struct error *err)
{
	struct buf b = { 0 };
	int rc = file_read(path, PEM_BYTES_MAX, &b, err);
	if (rc == 0)
		*ret = arena_str(&f->arena, buf_str(&b));
	if (b.p)
		explicit_bzero(b.p, b.len);
	buf_fini(&b);
	return rc;
}

/* There, and good for another month. */
static bool still_good(struct fleet *f, const char *path)
{
	struct str pem;
	struct pki_info info;
	return read_pem(f, path, &pem, NULL) == 0 &&
	       pki_inspect(pem, &f->arena, &info, NULL) == 0 &&
	       info.not_after > clock_unix_ms() / 1000 + RENEW_DAYS * DAY_S;
}

static int write_pair(struct fleet *f, const char *name, const struct pki_pair *p,
		      struct error *err)
{
	int rc = file_write_atomic(fleet_path(f, "pki/%s.key", name), buf_str(&p->key), 0600, err);
	return rc ? rc
		  : file_write_atomic(fleet_path(f, "pki/%s.crt", name), buf_str(&p->cert), 0644,
				      err);
}

static int make_ca(struct fleet *f, struct error *err)
{
	if (still_good(f, fleet_path(f, "pki/ca.crt")))
		return 0;
	struct pki_pair ca = { 0 };
	int64_t now = clock_unix_ms() / 1000;
	int rc = pki_make_ca(STR("rctl local fleet"), now - 60, now + (int64_t)CA_DAYS * DAY_S, &ca,
			     err);
	if (rc == 0)
		rc = write_pair(f, "ca", &ca, err);
	pki_pair_fini(&ca);
	return rc;
}

static int issue(struct fleet *f, const char *file, const char *cn, const char *org, int use,
		 struct error *err)
{
	if (still_good(f, fleet_path(f, "pki/%s.crt", file)))
		return 0;
	struct str ca;
	struct str key;
	int rc = read_pem(f, fleet_path(f, "pki/ca.crt"), &ca, err);
	if (rc == 0)
		rc = read_pem(f, fleet_path(f, "pki/ca.key"), &key, err);
	if (rc)
		return rc;
	const struct str orgs[] = { str_of(org) };
	const struct str names[] = { STR("localhost"), STR("127.0.0.1"), STR("::1") };
	int64_t now = clock_unix_ms() / 1000;
	const struct pki_request req = {
		.common_name = str_of(cn),
		.organizations = orgs,
		.organizations_len = org ? 1 : 0,
		.names = names,
		.names_len = use & PKI_SERVER ? 3 : 0,
		.use = use,
		.not_before = now - 60,
		.not_after = now + (int64_t)CERT_DAYS * DAY_S,
	};
	struct pki_pair pair = { 0 };
	rc = pki_issue(ca, key, &req, &pair, err);
	if (rc == 0)
		rc = write_pair(f, file, &pair, err);
	pki_pair_fini(&pair);
	return rc ? error_wrap(err, "certificate %s", file) : 0;
}

/* ---- kubeconfigs ---- */

static int add_data(struct fleet *f, struct buf *b, const char *field, const char *file,
		    struct error *err)
{
	struct str pem;
	int rc = read_pem(f, fleet_path(f, "pki/%s", file), &pem, err);
	if (rc)
		return rc;
	buf_addf(b, "    %s: ", field);
	base64_write(b, pem.p, pem.len);
	buf_addc(b, '\n');
	return 0;
}

static int add_cluster(struct fleet *f, struct buf *b, const char *name, int64_t port,
		       struct error *err)
{
	buf_addf(b, "- name: %s\n  cluster:\n    server: https://127.0.0.1:%" PRId64 "\n", name,
		 port);
	return add_data(f, b, "certificate-authority-data", "ca.crt", err);
}

/* One user, one context for the global API and one a cluster. */
static int write_kubeconfig(struct fleet *f, const char *path, const char *user,
			    const char *current, struct error *err)
{
	struct buf b = { 0 };
	buf_addf(&b, "apiVersion: v1\nkind: Config\ncurrent-context: %s\nclusters:\n", current);
	int rc = add_cluster(f, &b, "global", f->api_port, err);
	for (size_t i = 0; i < f->clusters_len && !rc; i++)
		rc = add_cluster(f, &b, f->clusters[i].name, f->clusters[i].api_port, err);
	buf_addf(&b, "users:\n- name: %s\n  user:\n", user);
	if (!rc)
		rc = add_data(f, &b, "client-certificate-data",
			      arena_printf(&f->arena, "%s.crt", user), err);
	if (!rc)
		rc = add_data(f, &b, "client-key-data", arena_printf(&f->arena, "%s.key", user),
			      err);
	buf_adds(&b, "contexts:\n");
	buf_addf(&b, "- name: global\n  context: {cluster: global, user: %s}\n", user);
	for (size_t i = 0; i < f->clusters_len; i++)
		buf_addf(&b, "- name: %s\n  context: {cluster: %s, user: %s}\n",
			 f->clusters[i].name, f->clusters[i].name, user);
	if (!rc)
		rc = file_write_atomic(path, buf_str(&b), 0600, err);
	if (b.p)
		explicit_bzero(b.p, b.len);
	buf_fini(&b);
	return rc;
}

static int issue_for(struct fleet *f, const struct fleet_daemon *d, struct error *err)
{
	char cn[80];
	int rc = 0;
	if (d->tier == 0) {
		rc = issue(f, d->name, d->name, NULL, PKI_SERVER, err);
	} else if (d->tier == 1) {
		(void)snprintf(cn, sizeof(cn), "system:%s", d->name);
		rc = issue(f, d->name, cn, "system:controllers", PKI_CLIENT, err);
		if (rc == 0)
			rc = write_kubeconfig(f, fleet_path(f, "pki/%s.kubeconfig", d->name),
					      d->name, "global", err);
	} else {
		(void)snprintf(cn, sizeof(cn), "system:node:%s", d->name);
		rc = issue(f, d->name, cn, "system:nodes", PKI_CLIENT, err);
	}
	return rc;
}

int fleet_write_files(struct fleet *f, struct error *err)
{
	static const char *const dirs[] = { "pki", "log", "run", "data", "nodes" };
	int rc = file_mkdirs(f->dir, 0755, err);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !rc; i++)
		rc = file_mkdirs(fleet_path(f, "%s", dirs[i]), 0700, err);
	if (!rc)
		rc = make_ca(f, err);
	if (!rc)
		rc = issue(f, "admin", "admin", "system:masters", PKI_CLIENT, err);
	if (!rc)
		rc = issue(f, "forwarder", "system:resource-api", "system:apiservers", PKI_CLIENT,
			   err);
	for (size_t i = 0; i < f->daemons_len && !rc; i++)
		rc = issue_for(f, &f->daemons[i], err);
	if (!rc)
		rc = write_kubeconfig(f, fleet_path(f, "kubeconfig"), "admin", "global", err);
	return rc;
}

/* ---- objects ---- */

static void add_zone(struct buf *b, const char *name, const char *axis, const char *region)
{
	buf_addf(b,
		 "---\napiVersion: topology.rctl.io/v1alpha1\nkind: Zone\nmetadata: {name: "
		 "%s}\nspec: {axis: %s, region: %s}\n",
		 name, axis, region);
}

static bool seen_before(const struct fleet *f, size_t node, bool network)
{
	for (size_t i = 0; i < node; i++) {
		const char *a = network ? f->nodes[i].network_az : f->nodes[i].zone;
		const char *b = network ? f->nodes[node].network_az : f->nodes[node].zone;
		if (strcmp(a, b) == 0)
			return true;
	}
	return false;
}

struct str fleet_objects(struct fleet *f, struct error *err)
{
	struct buf b = { 0 };
	struct str ca = STR("");
	struct str crt = STR("");
	struct str key = STR("");
	int rc = read_pem(f, fleet_path(f, "pki/ca.crt"), &ca, err);
	if (!rc)
		rc = read_pem(f, fleet_path(f, "pki/global-controller.crt"), &crt, err);
	if (!rc)
		rc = read_pem(f, fleet_path(f, "pki/global-controller.key"), &key, err);
	if (rc)
		return STR_NONE;
	for (int64_t r = 1; r <= f->regions; r++)
		buf_addf(&b,
			 "---\napiVersion: topology.rctl.io/v1alpha1\nkind: Region\nmetadata: "
			 "{name: r%" PRId64 "}\n",
			 r);
	for (size_t i = 0; i < f->nodes_len; i++) {
		if (!seen_before(f, i, false))
			add_zone(&b, f->nodes[i].zone, "node", f->nodes[i].region);
		if (!seen_before(f, i, true))
			add_zone(&b, f->nodes[i].network_az, "network", f->nodes[i].region);
	}
	for (size_t i = 0; i < f->clusters_len; i++) {
		const struct fleet_cluster *c = &f->clusters[i];
		buf_addf(&b,
			 "---\napiVersion: v1\nkind: Secret\nmetadata: {name: cluster-%s, "
			 "namespace: kube-system}\ndata:\n  ca.crt: ",
			 c->name);
		base64_write(&b, ca.p, ca.len);
		buf_adds(&b, "\n  tls.crt: ");
		base64_write(&b, crt.p, crt.len);
		buf_adds(&b, "\n  tls.key: ");
		base64_write(&b, key.p, key.len);
		buf_addf(&b,
			 "\n---\napiVersion: topology.rctl.io/v1alpha1\nkind: Cluster\nmetadata:\n "
			 " name: %s\n"
			 "  labels: {topology.kubernetes.io/region: %s}\nspec:\n  provider: "
			 "native\n  region: %s\n"
			 "  endpoints:\n  - url: https://127.0.0.1:%" PRId64 "\n  caBundle: ",
			 c->name, c->region, c->region, c->api_port);
		base64_write(&b, ca.p, ca.len);
		buf_addf(&b,
			 "\n  credential:\n    secretRef: {name: cluster-%s, namespace: "
			 "kube-system}\n",
			 c->name);
	}
	struct str out = arena_str(&f->arena, buf_str(&b));
	buf_fini(&b);
	return out;
}
