/*
 * settings - one table of a program's settings: flags, environment, file,
 * --help, manual page and /configz all come from it.
 *
 * Precedence, highest first: flag (--listen-address=…, --listen-address …),
 * environment (RCTL_LISTEN_ADDRESS), configuration file (--config FILE; YAML mapping of the
 * names in camelCase: listenAddress), default.
 */
#ifndef SETTINGS_SETTINGS_H
#define SETTINGS_SETTINGS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_type {
	SETTING_STRING, /* char *: given away to the target, freed by settings_free */
	SETTING_STRINGS, /* struct setting_list: repeatable flag, comma separated in the environment */
	SETTING_BOOL,    /* bool: --x, --x=false, --no-x */
	SETTING_INT,     /* int64_t within [min, max] */
	SETTING_BYTES,    /* int64_t: 64Ki, 3Mi, 1G (Kubernetes quantity) */
	SETTING_DURATION, /* int64_t milliseconds: 500ms, 15s, 2m, 1h30m */
	SETTING_ENUM,     /* const char * out of `choices` */
};

struct setting_list {
	char **items;
	size_t len;
};

struct setting {
	const char *name; /* "listen-address": flag name; the others derive from it */
	char short_flag;  /* or 0 */
	enum setting_type type;
	void *target;               /* where the value goes, of the type above */
	const char *fallback;       /* default as text, NULL = none (zero value) */
	int64_t min, max;           /* INT, BYTES, DURATION; both 0 = unbounded */
	const char *const *choices; /* ENUM, ended by NULL */
	const char *metavar;        /* FILE, ADDRESS, DURATION … for --help */
	const char *help;           /* one sentence, no full stop */
	bool required;
	bool secret; /* value never shown in /configz; only as FILE or environment, never argv */
	bool reloadable; /* SIGHUP takes a new value */
};

struct settings;

/* Takes the program's name, one line on what it is, and its table (borrowed for ever). */
struct settings *settings_new(const char *program, const char *summary, const struct setting *table,
			      size_t n);
struct settings *settings_free(struct settings *s);

/*
 * Reads everything.  *rest is the index of the first argument that is no flag.
 * ERR_INVALID with a text that names the setting, where it came from and what
 * it may be.  --help, --version, --man are answered by settings_main() below.
 */
ATTR_MUSTCHECK int settings_parse(struct settings *s, int argc, char *const *argv, int *rest,
				  struct error *err);

/*
 * Reads everything again with the arguments of the last parse and gives the
 * rows marked reloadable their new values; the others keep what they have.
 * Returns how many changed, or ERR_INVALID (then nothing changed).
 */
ATTR_MUSTCHECK int settings_reload(struct settings *s, int argc, char *const *argv,
				   struct error *err);

/*
 * settings_parse() with --help (0), --version (0), --man (0: the manual page in
 * roff) printed, errors on stderr (2).  Returns -1 when the program is to go on.
 */
int settings_main(struct settings *s, int argc, char *const *argv, int *rest);

void settings_help(const struct settings *s, struct buf *out);
void settings_man(const struct settings *s, struct buf *out);
void settings_json(const struct settings *s, struct buf *out); /* for /configz */

#endif
