/*
 * options - the flags of rctl: one table says for each flag its name, its type, which verbs take it and what --help
 * says.  Names and meanings are kubectl's wherever kubectl has the flag.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ARGS_MAX = 512, STRINGS_MAX = 256 };

/* Values of a flag that may be repeated. */
struct strings {
	const char *v[STRINGS_MAX];
	size_t len;
};

struct options {
	/* of every verb */
	const char *kubeconfig, *context, *ns;
	bool help;
	/* output */
	const char *output; /* "", wide, json, yaml, name, jsonpath=…, custom-columns=… */
	const char *selector, *field_selector, *sort_by, *raw, *at;
	bool all_namespaces, watch, watch_only, no_headers, show_labels, clusters, ignore_not_found;
	bool show_kind, show_managed;
	/* files */
	struct strings files;
	bool recursive;
	/* writes */
	const char *dry_run; /* none, server, client */
	const char *field_manager, *plan, *set;
	bool prune, atomic;
	const char *propagation;
	bool force, force_conflicts, all, now, wait_given, wait, server_side, overwrite;
	int64_t grace_s;    /* -1 = the object's own */
	int64_t timeout_ms; /* -1 = not given */
	/* create, patch, auth, events */
	struct strings literals, from_files, env_files;
	const char *patch_type, *patch, *subresource, *secret_type, *types;
	bool quiet;
	/* drain */
	bool ignore_daemonsets, delete_emptydir;
	const char *pod_selector;
	/* logs */
	const char *container, *since, *since_time;
	bool follow, previous, timestamps, prefix, all_containers;
	int64_t tail; /* -1 = all */
	bool tail_given;
	int64_t limit_bytes;
	/* wait, scale, rollout */
	const char *for_condition;
	int64_t replicas, current_replicas, revision, to_revision;
	/* dev */
	const char *dir, *store;
	int64_t regions, clusters_n, nodes;
	bool keep_data;
	/* what is no flag */
	const char *args[ARGS_MAX];
	size_t args_len;
};

/* Bits of the verbs that share flags. */
enum {
	OPT_OUTPUT = 1 << 0,
	OPT_SELECT = 1 << 1,
	OPT_FILES = 1 << 2,
	OPT_WRITE = 1 << 3,
	OPT_DELETE = 1 << 4,
	OPT_LOGS = 1 << 5,
	OPT_WAIT = 1 << 6,
	OPT_SCALE = 1 << 7,
	OPT_DEV = 1 << 8,
	OPT_GET = 1 << 9,
	OPT_APPLY = 1 << 10,
	OPT_ROLLOUT = 1 << 11,
	OPT_LABEL = 1 << 12,
	OPT_CREATE = 1 << 13,
	OPT_PATCH = 1 << 14,
	OPT_DRAIN = 1 << 15,
	OPT_EXPLAIN = 1 << 16,
	OPT_EVENTS = 1 << 17,
	OPT_AUTH = 1 << 18,
	OPT_UNDO = 1 << 19,
	OPT_HISTORY = 1 << 20,
	OPT_ALL = 1 << 30, /* global flags: every verb */
};

/*
 * Parses argv[0..argc) (behind the verb): flags anywhere, "--" ends them.
 * ERR_BAD_REQUEST names the flag and what it may be.
 */
ATTR_MUSTCHECK int options_parse(struct options *o, unsigned groups, int argc, char **argv,
				 struct error *err);

/* The flags of these groups, for --help. */
void options_help(unsigned groups, struct buf *out);

/* "FLAGS\tHELP\n" of each flag, for the manual page; OPT_ALL = those of every verb, else only the groups' own. */
void options_rows(unsigned groups, struct buf *out);

/* Names of the flags, one a line, for shell completion. */
void options_names(unsigned groups, struct buf *out);

#endif
