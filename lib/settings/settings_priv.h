/* Shared by the files of lib/settings alone. */
#ifndef SETTINGS_SETTINGS_PRIV_H
#define SETTINGS_SETTINGS_PRIV_H

#include "settings/settings.h"

/* Where a value came from; a later one wins. */
enum setting_source {
	SETTING_FROM_DEFAULT,
	SETTING_FROM_FILE,
	SETTING_FROM_ENV,
	SETTING_FROM_FLAG
};

struct settings {
	const char *program, *summary;
	const struct setting *table;
	size_t len;
	enum setting_source *sources; /* of each row */
	char *config_path;            /* --config or RCTL_CONFIG; NULL = none */
};

enum { SETTINGS_FILE_MAX = 1 << 20, SETTING_NAME_MAX = 64 };

/* Parses `text` into the row's target.  The message says what the value may be. */
ATTR_MUSTCHECK int setting_store(const struct setting *row, struct str text, bool append,
				 struct error *err);
void setting_clear(const struct setting *row); /* frees what the target owns; zero value */

/* The current value as text that setting_store() would take. */
void setting_print(const struct setting *row, struct buf *out);

/* "listen-address" as RCTL_LISTEN_ADDRESS and listenAddress. */
void setting_env_name(const struct setting *row, struct buf *out);
void setting_camel_name(const struct setting *row, struct buf *out);

/* Applies the mapping of a configuration file. */
ATTR_MUSTCHECK int settings_read_file(struct settings *s, const char *path, struct error *err);
ATTR_MUSTCHECK int settings_apply(struct settings *s, const struct setting *row, struct str text,
				  enum setting_source source, struct error *err);

#endif
