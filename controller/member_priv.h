/* member_priv - shared by member.c and member_watch.c. */
#ifndef MEMBER_PRIV_H
#define MEMBER_PRIV_H

#include "member.h"

/* Starts and drops all informers of the cluster; not from within their callbacks. */
void member_watch(struct member *m);
void member_unwatch(struct member *m);

/* Our copies of Secrets in a namespace; started when first asked for.  NULL while there is no connection. */
struct client_informer *member_secrets(struct member *m, struct str ns);

/* Tells the fleet when contact or health changed. */
void member_judge(struct member *m);
void member_note(struct member *m, const struct error *err);

#endif
