/*
 * agent/nodemetrics - the node's numbers under node_exporter's names and labels, the containers' under cAdvisor's.
 *
 * Parsers are pure functions over the text of the files; nodemetrics_collect() reads them.  A file that is not
 * there or cannot be read costs its metrics, nothing else.
 *
 * What changes seldom (netclass, os, dmi, cpufreq, hwmon, …) is read every NODEMETRICS_SLOW_MS and told each time.
 *
 * Of node_exporter's default set left out: bcache, btrfs, fibrechannel, infiniband, ipvs, nfs, nfsd, powersupplyclass, rapl,
 * tapestats, xfs (hardware and services that are rare on the nodes we know); node_exporter_*, node_scrape_* and
 * node_textfile_* (they tell of node_exporter itself); file systems of a network or FUSE (asking may hang).
 */
#ifndef AGENT_NODEMETRICS_H
#define AGENT_NODEMETRICS_H

#include "podmgr.h"
#include "samples.h"

enum { NODEMETRICS_SLOW_MS = 60000 };

/* Where the files are; for tests others than the machine's. */
struct node_roots {
	const char *proc, *sys, *root, *udev;
};
extern const struct node_roots node_roots_own;

enum { NODEMETRICS_KEPT_MAX = 40 };

struct nodemetrics {
	const struct node_roots *roots; /* borrowed for ever */
	struct samples slow;            /* as read last */
	uint64_t slow_ms;               /* when; 0 = never */
	struct buf text;
	/* Files of /proc that are read each time stay open: opening costs more than reading. */
	struct {
		const char *name; /* a literal */
		int fd;
	} kept[NODEMETRICS_KEPT_MAX];
	size_t kept_len;
};

/* `series` is borrowed for ever and is that of the samples given later. */
void nodemetrics_init(struct nodemetrics *m, const struct node_roots *roots, struct series *series);
void nodemetrics_fini(struct nodemetrics *m);

void nodemetrics_collect(struct nodemetrics *m, struct samples *s, uint64_t now_ms);
void nodemetrics_container(struct samples *s, const struct podmgr_ctr_view *v);

/* The file, or nothing. */
void nodemetrics_read(const char *path, struct buf *out);
/* Devices that are no disks of their own: partitions, ram, loop. */
bool nodemetrics_no_disk(struct str device);

/* ---- texts of /proc, for tests ---- */
void nodemetrics_stat(struct samples *s, struct str text);      /* /proc/stat */
void nodemetrics_meminfo(struct samples *s, struct str text);   /* /proc/meminfo */
void nodemetrics_loadavg(struct samples *s, struct str text);   /* /proc/loadavg */
void nodemetrics_diskstats(struct samples *s, struct str text); /* /proc/diskstats */
void nodemetrics_netdev(struct samples *s, struct str text);    /* /proc/net/dev */
void nodemetrics_vmstat(struct samples *s, struct str text);    /* /proc/vmstat */
void nodemetrics_pressure(struct samples *s, const char *what,
			  struct str text);                     /* /proc/pressure/… */
void nodemetrics_netstat(struct samples *s, struct str text);   /* …/net/netstat, …/net/snmp */
void nodemetrics_snmp6(struct samples *s, struct str text);     /* …/net/snmp6 */
void nodemetrics_sockstat(struct samples *s, struct str text);  /* …/net/sockstat, sockstat6 */
void nodemetrics_softnet(struct samples *s, struct str text);   /* …/net/softnet_stat */
void nodemetrics_arp(struct samples *s, struct str text);       /* …/net/arp */
void nodemetrics_conntrack(struct samples *s, struct str text); /* …/net/stat/nf_conntrack */
void nodemetrics_schedstat(struct samples *s, struct str text); /* /proc/schedstat */

#endif
