/*
 * text/names - which names Kubernetes allows, and what it says about others.
 *
 * Each check tells whether the name is valid and puts what is wrong to
 * `msgs`, in the order Kubernetes says it.
 *
 * Source: RFC 1123, RFC 1035, k8s.io/apimachinery/pkg/util/validation.  Pure.
 */
#ifndef TEXT_NAMES_H
#define TEXT_NAMES_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	NAME_LABEL_MAX = 63,      /* DNS label, label value, name part of a qualified name */
	NAME_SUBDOMAIN_MAX = 253, /* DNS subdomain, prefix of a qualified name */
	NAME_MSGS_MAX = 5,        /* most messages of one check */
	NAME_MSG_MAX = 400,       /* longest message with its NUL */
};

struct name_msgs {
	size_t len;
	char msg[NAME_MSGS_MAX][NAME_MSG_MAX];
};

/* `msgs` may be NULL when only the verdict counts.  All return true for a valid name. */
typedef bool (*name_check_fn)(struct str s, struct name_msgs *msgs);

bool name_check_dns1123_label(struct str s, struct name_msgs *msgs);     /* namespace */
bool name_check_dns1123_subdomain(struct str s, struct name_msgs *msgs); /* most objects */
bool name_check_dns1035_label(struct str s, struct name_msgs *msgs);     /* service */
bool name_check_qualified(struct str s, struct name_msgs *msgs); /* label and annotation keys */
bool name_check_label_value(struct str s, struct name_msgs *msgs);
bool name_check_config_map_key(struct str s, struct name_msgs *msgs);
bool name_check_env_var(struct str s, struct name_msgs *msgs);
bool name_check_port_name(struct str s, struct name_msgs *msgs);
bool name_check_path_segment(struct str s,
			     struct name_msgs *msgs); /* RBAC names: no "/", "%", ".", ".." */
bool name_check_wildcard_subdomain(struct str s, struct name_msgs *msgs); /* "*.example.com" */
bool name_check_ip(struct str s, struct name_msgs *msgs);   /* IPv4 without leading zeros, IPv6 */
bool name_check_cidr(struct str s, struct name_msgs *msgs); /* "10.0.0.0/8" */

#endif
