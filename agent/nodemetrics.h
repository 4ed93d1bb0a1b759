/*
 * agent/nodemetrics - the node's numbers under node_exporter's names, the containers' under cAdvisor's.
 *
 * Parsers are pure functions over the text of the files; nodemetrics_collect() reads them.  A file that is not
 * there or cannot be read costs its metrics, nothing else.
 */
#ifndef AGENT_NODEMETRICS_H
#define AGENT_NODEMETRICS_H

#include "podmgr.h"
#include "samples.h"

void nodemetrics_collect(struct samples *s);
void nodemetrics_container(struct samples *s, const struct podmgr_ctr_view *v);

/* ---- texts of /proc, for tests ---- */
void nodemetrics_stat(struct samples *s, struct str text);      /* /proc/stat */
void nodemetrics_meminfo(struct samples *s, struct str text);   /* /proc/meminfo */
void nodemetrics_loadavg(struct samples *s, struct str text);   /* /proc/loadavg */
void nodemetrics_diskstats(struct samples *s, struct str text); /* /proc/diskstats */
void nodemetrics_netdev(struct samples *s, struct str text);    /* /proc/net/dev */
void nodemetrics_vmstat(struct samples *s, struct str text);    /* /proc/vmstat */
void nodemetrics_pressure(struct samples *s, const char *what,
			  struct str text); /* /proc/pressure/… */

#endif
