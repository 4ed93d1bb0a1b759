/*
 * agent/configs - the ConfigMaps and Secrets that assigned pods name, as the API last sent them.
 */
#ifndef AGENT_CONFIGS_H
#define AGENT_CONFIGS_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "json/json.h"

enum { CONFIG_BYTES_MAX = 2 << 20 };

struct config {
	struct arena arena;
	struct json root;
	struct str kind, ns, name, resource_version;
	struct str text; /* as sent */
};

struct configs {
	struct map by_key; /* "kind/ns/name" → struct config */
};

void configs_fini(struct configs *c);

/* Takes a new version (copied).  *changed tells whether it differs from what was there. */
ATTR_MUSTCHECK int configs_put(struct configs *c, struct str kind, struct str ns, struct str name,
			       struct str text, bool *changed, struct error *err);
void configs_remove(struct configs *c, struct str kind, struct str ns, struct str name);
const struct config *configs_get(const struct configs *c, struct str kind, struct str ns,
				 struct str name);

/*
 * The value of `key` in .data, .binaryData or (Secret) .data decoded; appended to `out`.  False = no such key.
 */
bool config_value(const struct config *c, struct str key, struct buf *out);

/* Walks all keys: start with *pos = 0. */
bool config_next_key(const struct config *c, size_t *pos, struct str *key);

#endif
