/* Network: arp, bonding, conntrack, netclass, netstat, sockstat, softnet, udp_queues; node_network_* by device. */
#include "nodemetrics_priv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---------------------------------------------------------------------------------------- netdev */

void nodemetrics_netdev(struct samples *s, struct str text)
{
	static const char *const t[16] = {
		"node_network_receive_bytes_total",      "node_network_receive_packets_total",
		"node_network_receive_errs_total",       "node_network_receive_drop_total",
		"node_network_receive_fifo_total",       "node_network_receive_frame_total",
		"node_network_receive_compressed_total", "node_network_receive_multicast_total",
		"node_network_transmit_bytes_total",     "node_network_transmit_packets_total",
		"node_network_transmit_errs_total",      "node_network_transmit_drop_total",
		"node_network_transmit_fifo_total",      "node_network_transmit_colls_total",
		"node_network_transmit_carrier_total",   "node_network_transmit_compressed_total"
	};
	struct str line, dev, f[NM_FIELDS_MAX];
	while (text.len && str_split(&text, '\n', &line)) {
		char device[64];
		if (str_find(line, ':', 0) < 0 || !str_split(&line, ':', &dev) ||
		    nm_fields(line, f, NM_FIELDS_MAX) < 16 || str_is(str_trim(dev), "lo"))
			continue;
		nm_name(device, sizeof(device), str_trim(dev));
		for (size_t i = 0; i < 16; i++)
			samples_put(s, SAMPLE_COUNTER, t[i], nm_number(f[i]), "device", device,
				    NULL);
	}
}

static void nohandler(struct nm *n, const char *device, void *arg)
{
	(void)arg;
	if (strcmp(device, "lo") != 0 && nm_sys(n, "class/net/%s/statistics/rx_nohandler", device))
		nm_put(n, SAMPLE_COUNTER, "node_network_receive_nohandler_total",
		       nm_number(nm_text(n)), "device", device, NULL);
}

/* -------------------------------------------------------------------------------------- netclass */

static void netclass(struct nm *n, const char *device, void *arg)
{
	static const struct {
		const char *file, *metric;
		double unit;
		int type;
	} t[] = { { "addr_assign_type", "address_assign_type", 1, SAMPLE_GAUGE },
		  { "carrier", "carrier", 1, SAMPLE_GAUGE },
		  { "carrier_changes", "carrier_changes_total", 1, SAMPLE_COUNTER },
		  { "carrier_up_count", "carrier_up_changes_total", 1, SAMPLE_COUNTER },
		  { "carrier_down_count", "carrier_down_changes_total", 1, SAMPLE_COUNTER },
		  { "dev_id", "device_id", 1, SAMPLE_GAUGE },
		  { "dormant", "dormant", 1, SAMPLE_GAUGE },
		  { "flags", "flags", 1, SAMPLE_GAUGE },
		  { "ifindex", "iface_id", 1, SAMPLE_GAUGE },
		  { "iflink", "iface_link", 1, SAMPLE_GAUGE },
		  { "link_mode", "iface_link_mode", 1, SAMPLE_GAUGE },
		  { "mtu", "mtu_bytes", 1, SAMPLE_GAUGE },
		  { "name_assign_type", "name_assign_type", 1, SAMPLE_GAUGE },
		  { "netdev_group", "net_dev_group", 1, SAMPLE_GAUGE },
		  { "speed", "speed_bytes", 125000, SAMPLE_GAUGE },
		  { "tx_queue_len", "transmit_queue_length", 1, SAMPLE_GAUGE },
		  { "type", "protocol_type", 1, SAMPLE_GAUGE } };
	char state[32], address[64], broadcast[64], duplex[32], alias[128], name[96];
	(void)arg;
	nm_sys_text(n, state, sizeof(state), "class/net/%s/operstate", device);
	if (!state[0])
		return; /* bonding_masters and the like */
	for (size_t i = 0; i < COUNT(t); i++) {
		if (!nm_sys(n, "class/net/%s/%s", device, t[i].file))
			continue;
		struct str v = nm_text(n);
		double x = str_starts(v, STR("0x")) ? nm_hex(str_sub(v, 2, v.len)) : nm_number(v);
		snprintf(name, sizeof(name), "node_network_%s", t[i].metric);
		nm_put(n, t[i].type, name, x * t[i].unit, "device", device, NULL);
	}
	nm_sys_text(n, address, sizeof(address), "class/net/%s/address", device);
	nm_sys_text(n, broadcast, sizeof(broadcast), "class/net/%s/broadcast", device);
	nm_sys_text(n, duplex, sizeof(duplex), "class/net/%s/duplex", device);
	nm_sys_text(n, alias, sizeof(alias), "class/net/%s/ifalias", device);
	nm_put(n, SAMPLE_GAUGE, "node_network_info", 1, "address", address, "broadcast", broadcast,
	       "device", device, "duplex", duplex, "ifalias", alias, "operstate", state, NULL);
	nm_put(n, SAMPLE_GAUGE, "node_network_up", strcmp(state, "up") == 0, "device", device,
	       NULL);
}

/* --------------------------------------------------------------------------------------- bonding */

static void bond(struct nm *n, const char *master)
{
	struct buf slaves = { 0 };
	struct str rest, slave;
	size_t all = 0, active = 0;
	if (!nm_sys(n, "class/net/%s/bonding/slaves", master))
		return;
	buf_add_str(&slaves, nm_text(n));
	rest = buf_str(&slaves);
	while (rest.len && str_split(&rest, ' ', &slave)) {
		char state[32];
		nm_sys_text(n, state, sizeof(state),
			    "class/net/%s/lower_%.*s/bonding_slave/mii_status", master,
			    STR_ARG(slave));
		if (!state[0])
			nm_sys_text(n, state, sizeof(state),
				    "class/net/%s/slave_%.*s/bonding_slave/mii_status", master,
				    STR_ARG(slave));
		all++;
		active += strcmp(state, "up") == 0;
	}
	nm_put(n, SAMPLE_GAUGE, "node_bonding_slaves", (double)all, "master", master, NULL);
	nm_put(n, SAMPLE_GAUGE, "node_bonding_active", (double)active, "master", master, NULL);
	buf_fini(&slaves);
}

static void bonding(struct nm *n)
{
	struct buf masters = { 0 };
	struct str rest, one;
	if (nm_sys(n, "class/net/bonding_masters"))
		buf_add_str(&masters, nm_text(n));
	rest = buf_str(&masters);
	while (rest.len && str_split(&rest, ' ', &one)) {
		char name[64];
		nm_name(name, sizeof(name), one);
		bond(n, name);
	}
	buf_fini(&masters);
}

/* --------------------------------------------------------------------------------------- netstat */

static bool is_listed(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(name, list[i]) == 0)
			return true;
	}
	return false;
}

/* node_exporter's default --collector.netstat.fields. */
static bool wanted(struct str proto, struct str field)
{
	static const char *const plain[] = {
		"Ip_Forwarding",        "Ip6_InOctets",       "Ip6_OutOctets",
		"IpExt_InOctets",       "IpExt_OutOctets",    "Icmp_InMsgs",
		"Icmp_OutMsgs",         "Icmp6_InMsgs",       "Icmp6_OutMsgs",
		"TcpExt_TCPSynRetrans", "TcpExt_TCPTimeouts", "Tcp_ActiveOpens",
		"Tcp_InSegs",           "Tcp_OutSegs",        "Tcp_OutRsts",
		"Tcp_PassiveOpens",     "Tcp_RetransSegs",    "Tcp_CurrEstab",
		"Udp_InDatagrams",      "Udp_OutDatagrams",   "Udp_NoPorts",
		"Udp_RcvbufErrors",     "Udp_SndbufErrors",   "Udp6_InDatagrams",
		"Udp6_OutDatagrams",    "Udp6_NoPorts",       "Udp6_RcvbufErrors",
		"Udp6_SndbufErrors"
	};
	char name[128];
	if (str_is(field, "InErrors") || str_is(field, "InErrs"))
		return true;
	if (str_is(proto, "TcpExt") &&
	    (str_starts(field, STR("Listen")) || str_starts(field, STR("Syncookies"))))
		return true;
	snprintf(name, sizeof(name), "%.*s_%.*s", STR_ARG(proto), STR_ARG(field));
	return is_listed(name, plain, COUNT(plain));
}

static void netstat_put(struct samples *s, struct str proto, struct str field, struct str value)
{
	char name[128];
	if (!wanted(proto, field))
		return;
	snprintf(name, sizeof(name), "node_netstat_%.*s_%.*s", STR_ARG(proto), STR_ARG(field));
	samples_add(s, 0, name, nm_number(value), NULL);
}

void nodemetrics_netstat(struct samples *s, struct str text)
{
	struct str names, values, proto, again, name, value;
	while (text.len && str_split(&text, '\n', &names) && str_split(&text, '\n', &values)) {
		if (!str_split(&names, ':', &proto) || !str_split(&values, ':', &again) ||
		    !str_eq(proto, again))
			continue;
		names = str_trim(names);
		values = str_trim(values);
		while (names.len && values.len && str_split(&names, ' ', &name) &&
		       str_split(&values, ' ', &value))
			netstat_put(s, proto, name, value);
	}
}

void nodemetrics_snmp6(struct samples *s, struct str text)
{
	struct str line, f[2];
	while (text.len && str_split(&text, '\n', &line)) {
		ptrdiff_t six = nm_fields(line, f, 2) == 2 ? str_find(f[0], '6', 0) : -1;
		if (six >= 0)
			netstat_put(s, str_sub(f[0], 0, (size_t)six + 1),
				    str_sub(f[0], (size_t)six + 1, f[0].len), f[1]);
	}
}

void nodemetrics_sockstat(struct samples *s, struct str text)
{
	struct str line, proto, f[NM_FIELDS_MAX];
	while (text.len && str_split(&text, '\n', &line)) {
		if (!str_split(&line, ':', &proto))
			continue;
		size_t n = nm_fields(line, f, NM_FIELDS_MAX);
		for (size_t i = 0; i + 1 < n; i += 2) {
			char name[96];
			double v = nm_number(f[i + 1]);
			snprintf(name, sizeof(name), "node_sockstat_%.*s_%.*s", STR_ARG(proto),
				 STR_ARG(f[i]));
			samples_add(s, SAMPLE_GAUGE, name, v, NULL);
			if (!str_is(f[i], "mem"))
				continue;
			snprintf(name, sizeof(name), "node_sockstat_%.*s_mem_bytes",
				 STR_ARG(proto));
			samples_add(s, SAMPLE_GAUGE, name, v * (double)sysconf(_SC_PAGESIZE), NULL);
		}
	}
}

void nodemetrics_softnet(struct samples *s, struct str text)
{
	static const char *const t[] = { "node_softnet_processed_total",
					 "node_softnet_dropped_total",
					 "node_softnet_times_squeezed_total" };
	struct str line, f[NM_FIELDS_MAX];
	for (unsigned at = 0; text.len && str_split(&text, '\n', &line); at++) {
		size_t n = nm_fields(line, f, NM_FIELDS_MAX);
		char cpu[16];
		if (n < 3)
			continue;
		/* Kernels since 5.10 name the CPU: those that are offline have no line. */
		snprintf(cpu, sizeof(cpu), "%u", n >= 13 ? (unsigned)nm_hex(f[12]) : at);
		for (size_t i = 0; i < 3; i++)
			samples_put(s, SAMPLE_COUNTER, t[i], nm_hex(f[i]), "cpu", cpu, NULL);
	}
}

void nodemetrics_arp(struct samples *s, struct str text)
{
	struct {
		char device[64];
		unsigned entries;
	} t[64];
	size_t len = 0;
	struct str line, f[6];
	(void)str_split(&text, '\n', &line); /* the head */
	while (text.len && str_split(&text, '\n', &line)) {
		size_t i = 0;
		char device[64];
		if (nm_fields(line, f, 6) < 6)
			continue;
		nm_name(device, sizeof(device), f[5]);
		while (i < len && strcmp(t[i].device, device) != 0)
			i++;
		if (i == COUNT(t))
			continue;
		if (i == len) {
			memcpy(t[i].device, device, sizeof(device));
			t[len++].entries = 0;
		}
		t[i].entries++;
	}
	for (size_t i = 0; i < len; i++)
		samples_put(s, SAMPLE_GAUGE, "node_arp_entries", t[i].entries, "device",
			    t[i].device, NULL);
}

void nodemetrics_conntrack(struct samples *s, struct str text)
{
	static const char *const t[] = {
		"found",         "invalid", "ignore",     "insert",
		"insert_failed", "drop",    "early_drop", "search_restart"
	};
	struct str head, line, names[NM_FIELDS_MAX], f[NM_FIELDS_MAX];
	double sum[COUNT(t)] = { 0 };
	bool has[COUNT(t)] = { false };
	if (!str_split(&text, '\n', &head))
		return;
	size_t n = nm_fields(head, names, NM_FIELDS_MAX);
	while (text.len && str_split(&text, '\n', &line)) {
		size_t m = nm_fields(line, f, NM_FIELDS_MAX);
		for (size_t i = 0; i < n && i < m; i++) {
			for (size_t k = 0; k < COUNT(t); k++) {
				if (!str_is(names[i], t[k]))
					continue;
				has[k] = true;
				sum[k] += nm_hex(f[i]);
			}
		}
	}
	for (size_t k = 0; k < COUNT(t); k++) {
		char name[64];
		snprintf(name, sizeof(name), "node_nf_conntrack_stat_%s", t[k]);
		if (has[k])
			samples_add(s, SAMPLE_GAUGE, name, sum[k], NULL);
	}
}

static void udp_queues(struct nm *n, const char *file, const char *ip)
{
	double tx = 0, rx = 0;
	struct str text, line, f[6], half;
	if (!nm_proc(n, file))
		return;
	text = buf_str(&n->b);
	(void)str_split(&text, '\n', &line);
	while (text.len && str_split(&text, '\n', &line)) {
		if (nm_fields(line, f, 6) < 6 || !str_split(&f[4], ':', &half))
			continue;
		tx += nm_hex(half);
		rx += nm_hex(f[4]);
	}
	nm_put(n, SAMPLE_GAUGE, "node_udp_queues", tx, "ip", ip, "queue", "tx", NULL);
	nm_put(n, SAMPLE_GAUGE, "node_udp_queues", rx, "ip", ip, "queue", "rx", NULL);
}

void nm_network(struct nm *n)
{
	static const struct {
		const char *file;
		void (*fn)(struct samples *s, struct str text);
	} t[] = { { "net/dev", nodemetrics_netdev },
		  { "net/netstat", nodemetrics_netstat },
		  { "net/snmp", nodemetrics_netstat },
		  { "net/snmp6", nodemetrics_snmp6 },
		  { "net/sockstat", nodemetrics_sockstat },
		  { "net/sockstat6", nodemetrics_sockstat },
		  { "net/softnet_stat", nodemetrics_softnet },
		  { "net/arp", nodemetrics_arp },
		  { "net/stat/nf_conntrack", nodemetrics_conntrack } };
	for (size_t i = 0; i < COUNT(t); i++) {
		if (nm_kept(n, t[i].file))
			t[i].fn(n->s, buf_str(&n->b));
	}
	if (nm_kept(n, "sys/net/netfilter/nf_conntrack_count"))
		samples_add(n->s, SAMPLE_GAUGE, "node_nf_conntrack_entries", nm_number(nm_text(n)),
			    NULL);
	if (nm_kept(n, "sys/net/netfilter/nf_conntrack_max"))
		samples_add(n->s, SAMPLE_GAUGE, "node_nf_conntrack_entries_limit",
			    nm_number(nm_text(n)), NULL);
}

void nm_network_slow(struct nm *n)
{
	nm_sys_dir(n, "class/net", "", netclass, NULL);
	nm_sys_dir(n, "class/net", "", nohandler, NULL);
	bonding(n);
	/* The kernel walks its whole table of ports for this: the dearest file of all. */
	udp_queues(n, "net/udp", "v4");
	udp_queues(n, "net/udp6", "v6");
}
