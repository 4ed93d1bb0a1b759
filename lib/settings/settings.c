#include "base/mem.h"
#include "settings/settings_priv.h"
#include "sys/env.h"

#include <assert.h>
#include <stdio.h>

struct settings *settings_new(const char *program, const char *summary, const struct setting *table,
			      size_t n)
{
	struct settings *s = mem_new(struct settings, 1);
	*s = (struct settings){ .program = program, .summary = summary, .table = table, .len = n };
	s->sources = mem_new(enum setting_source, n);
	for (size_t i = 0; i < n; i++) {
		assert(strlen(table[i].name) < SETTING_NAME_MAX);
		setting_clear(&table[i]);
	}
	return s;
}

struct settings *settings_free(struct settings *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->len; i++)
		setting_clear(&s->table[i]);
	mem_free(s->sources);
	mem_free(s->config_path);
	mem_free(s);
	return NULL;
}

int settings_apply(struct settings *s, const struct setting *row, struct str text,
		   enum setting_source source, struct error *err)
{
	size_t i = (size_t)(row - s->table);
	bool append = s->sources[i] == source && source == SETTING_FROM_FLAG;
	int rc = setting_store(row, text, append, err);
	if (rc == 0)
		s->sources[i] = source;
	return rc;
}

static int apply_defaults(struct settings *s, struct error *err)
{
	for (size_t i = 0; i < s->len; i++) {
		const struct setting *row = &s->table[i];
		setting_clear(row);
		s->sources[i] = SETTING_FROM_DEFAULT;
		if (row->fallback &&
		    settings_apply(s, row, str_of(row->fallback), SETTING_FROM_DEFAULT, err))
			return error_wrap(err, "default of --%s", row->name);
	}
	return 0;
}

static int apply_env(struct settings *s, struct error *err)
{
	int rc = 0;
	struct buf name = { 0 };
	for (size_t i = 0; i < s->len && rc == 0; i++) {
		buf_clear(&name);
		setting_env_name(&s->table[i], &name);
		const char *v = env_get(buf_cstr(&name));
		if (v && settings_apply(s, &s->table[i], str_of(v), SETTING_FROM_ENV, err))
			rc = error_wrap(err, "environment variable %s", buf_cstr(&name));
	}
	buf_fini(&name);
	return rc;
}

/* ---- flags ---- */

struct flag {
	const struct setting *row; /* NULL: --config */
	struct str value;
	bool has_value;
	bool negated; /* --no-x */
};

static const struct setting *find_row(const struct settings *s, struct str name)
{
	for (size_t i = 0; i < s->len; i++)
		if (str_is(name, s->table[i].name))
			return &s->table[i];
	return NULL;
}

static int find_long(const struct settings *s, struct str arg, struct flag *f, struct error *err)
{
	ptrdiff_t eq = str_find(arg, '=', 0);
	struct str name = eq < 0 ? arg : str_sub(arg, 0, (size_t)eq);
	*f = (struct flag){ .has_value = eq >= 0 };
	if (eq >= 0)
		f->value = str_sub(arg, (size_t)eq + 1, arg.len);
	if (str_is(name, "config"))
		return 0;
	f->row = find_row(s, name);
	if (!f->row && str_starts(name, STR("no-")) && !f->has_value) {
		f->row = find_row(s, str_sub(name, 3, name.len));
		f->negated = f->row && f->row->type == SETTING_BOOL;
		if (!f->negated)
			f->row = NULL;
	}
	if (!f->row)
		return error_set(err, ERR_INVALID, "unknown flag --%.*s (see --help)",
				 STR_ARG(name));
	return 0;
}

static int find_short(const struct settings *s, struct str arg, struct flag *f, struct error *err)
{
	*f = (struct flag){ .has_value = arg.len > 1 };
	f->value = str_sub(arg, 1, arg.len);
	for (size_t i = 0; i < s->len; i++)
		if (s->table[i].short_flag && s->table[i].short_flag == arg.p[0])
			f->row = &s->table[i];
	if (!f->row)
		return error_set(err, ERR_INVALID, "unknown flag -%c (see --help)", arg.p[0]);
	return 0;
}

static int apply_flag(struct settings *s, const struct flag *f, bool config_pass, struct error *err)
{
	if (!f->row) {
		if (config_pass) {
			mem_free(s->config_path);
			s->config_path = mem_strndup(f->value.p, f->value.len);
		}
		return 0;
	}
	if (config_pass)
		return 0;
	if (f->row->secret)
		return error_set(err, ERR_INVALID,
				 "--%s: a secret is taken from the environment or the "
				 "configuration file, never from the command line",
				 f->row->name);
	if (settings_apply(s, f->row, f->value, SETTING_FROM_FLAG, err))
		return error_wrap(err, "flag --%s", f->row->name);
	return 0;
}

/* Two passes: the first finds --config alone, since the file comes before the flags. */
static int parse_flags(struct settings *s, int argc, char *const *argv, bool config_pass, int *rest,
		       struct error *err)
{
	int i = 1;
	for (; i < argc; i++) {
		struct str arg = str_of(argv[i]);
		if (arg.len < 2 || arg.p[0] != '-')
			break;
		if (str_is(arg, "--")) {
			i++;
			break;
		}
		struct flag f;
		int rc = arg.p[1] == '-' ? find_long(s, str_sub(arg, 2, arg.len), &f, err)
					 : find_short(s, str_sub(arg, 1, arg.len), &f, err);
		if (rc)
			return rc;
		bool is_bool = f.row && f.row->type == SETTING_BOOL;
		if (!f.has_value && is_bool) {
			f.value = f.negated ? STR("false") : STR("true");
		} else if (!f.has_value) {
			if (i + 1 >= argc)
				return error_set(err, ERR_INVALID, "flag %s needs a value",
						 argv[i]);
			f.value = str_of(argv[++i]);
		}
		rc = apply_flag(s, &f, config_pass, err);
		if (rc)
			return rc;
	}
	*rest = i;
	return 0;
}

static int check_required(const struct settings *s, struct error *err)
{
	for (size_t i = 0; i < s->len; i++) {
		const struct setting *row = &s->table[i];
		if (!row->required)
			continue;
		struct buf v = { 0 };
		setting_print(row, &v);
		bool missing = v.len == 0;
		buf_clear(&v);
		setting_env_name(row, &v);
		int rc = 0;
		if (missing)
			rc = error_set(err, ERR_INVALID, "--%s (or %s) must be set", row->name,
				       buf_cstr(&v));
		buf_fini(&v);
		if (rc)
			return rc;
	}
	return 0;
}

int settings_parse(struct settings *s, int argc, char *const *argv, int *rest, struct error *err)
{
	int end = argc;
	mem_free(s->config_path);
	s->config_path = NULL;
	const char *env_config = env_get("RCTL_CONFIG");
	if (env_config)
		s->config_path = mem_strdup(env_config);

	int rc = apply_defaults(s, err);
	if (rc == 0)
		rc = parse_flags(s, argc, argv, true, &end, err);
	if (rc == 0 && s->config_path && s->config_path[0])
		rc = settings_read_file(s, s->config_path, err);
	if (rc == 0)
		rc = apply_env(s, err);
	if (rc == 0)
		rc = parse_flags(s, argc, argv, false, &end, err);
	if (rc == 0)
		rc = check_required(s, err);
	if (rc == 0)
		*rest = end;
	return rc;
}

union target {
	char *text;
	struct setting_list list;
	bool on;
	int64_t number;
	const char *choice;
};

/* Takes over from `fresh` (same rows, other targets) what is reloadable and differs. */
static int take_changes(struct settings *s, const struct settings *fresh)
{
	int changed = 0;
	struct buf was = { 0 }, now = { 0 };
	for (size_t i = 0; i < s->len; i++) {
		buf_clear(&was);
		buf_clear(&now);
		setting_print(&s->table[i], &was);
		setting_print(&fresh->table[i], &now);
		struct error ignored = { 0 };
		if (!s->table[i].reloadable || str_eq(buf_str(&was), buf_str(&now)) ||
		    setting_store(&s->table[i], buf_str(&now), false, &ignored))
			continue;
		s->sources[i] = fresh->sources[i];
		changed++;
	}
	buf_fini(&was);
	buf_fini(&now);
	return changed;
}

int settings_reload(struct settings *s, int argc, char *const *argv, struct error *err)
{
	union target *targets = mem_new(union target, s->len);
	struct setting *rows = mem_new(struct setting, s->len);
	for (size_t i = 0; i < s->len; i++) {
		rows[i] = s->table[i];
		rows[i].target = &targets[i];
	}
	struct settings *fresh = settings_new(s->program, s->summary, rows, s->len);
	int rest = 0;
	int rc = settings_parse(fresh, argc, argv, &rest, err);
	if (rc == 0)
		rc = take_changes(s, fresh);
	settings_free(fresh);
	mem_free(rows);
	mem_free(targets);
	return rc;
}

/* The first of --help, --version, --man before "--" or the first non-flag. */
static const char *asked(int argc, char *const *argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return "help";
		if (!strcmp(argv[i], "--version"))
			return "version";
		if (!strcmp(argv[i], "--man"))
			return "man";
	}
	return NULL;
}

int settings_main(struct settings *s, int argc, char *const *argv, int *rest)
{
	const char *what = asked(argc, argv);
	struct buf out = { 0 };
	if (what) {
		struct error ignored = { 0 };
		if (apply_defaults(s, &ignored)) {
			(void)fprintf(stderr, "%s: %s\n", s->program, ignored.msg);
			return 2;
		}
		if (what[0] == 'h')
			settings_help(s, &out);
		else if (what[0] == 'm')
			settings_man(s, &out);
		else
			buf_addf(&out, "%s %s\n", s->program, RCTL_VERSION);
		bool ok = fwrite(buf_cstr(&out), 1, out.len, stdout) == out.len && !fflush(stdout);
		buf_fini(&out);
		return ok ? 0 : 1;
	}
	struct error err = { 0 };
	if (settings_parse(s, argc, argv, rest, &err)) {
		(void)fprintf(stderr, "%s: %s\n", s->program, err.msg);
		return 2;
	}
	return -1;
}
