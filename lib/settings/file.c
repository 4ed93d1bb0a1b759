/* The configuration file: one YAML mapping of camelCase names. */
#include "sys/file.h"

#include "settings/settings_priv.h"
#include "yaml/yaml.h"

static const struct setting *find_camel(const struct settings *s, struct str name)
{
	const struct setting *found = NULL;
	struct buf camel = { 0 };
	for (size_t i = 0; i < s->len && !found; i++) {
		buf_clear(&camel);
		setting_camel_name(&s->table[i], &camel);
		if (str_eq(buf_str(&camel), name))
			found = &s->table[i];
	}
	buf_fini(&camel);
	return found;
}

/* Scalars as text; a list of scalars joined by commas. */
static int value_text(const struct setting *row, const struct json *v, struct buf *out,
		      struct error *err)
{
	if (json_is(v, JSON_STRING)) {
		buf_add_str(out, json_str(v));
		return 0;
	}
	if (json_is(v, JSON_ARRAY) && row->type == SETTING_STRINGS) {
		for (size_t i = 0; i < json_len(v); i++) {
			if (!json_is(json_at(v, i), JSON_STRING))
				return error_set(err, ERR_INVALID, "must be a list of strings");
			if (i)
				buf_addc(out, ',');
			buf_add_str(out, json_str(json_at(v, i)));
		}
		return 0;
	}
	if (!v || v->type == JSON_OBJECT || v->type == JSON_ARRAY)
		return error_set(err, ERR_INVALID, "must be one value, not an %s",
				 json_type_name(v));
	if (v->type != JSON_NULL)
		json_write(out, v);
	return 0;
}

static int apply_tree(struct settings *s, const struct json *root, struct error *err)
{
	if (json_is(root, JSON_NULL))
		return 0;
	if (!json_is(root, JSON_OBJECT))
		return error_set(err, ERR_INVALID, "must be a mapping of names to values");
	int rc = 0;
	struct buf text = { 0 };
	for (size_t i = 0; i < json_len(root) && rc == 0; i++) {
		struct str name = json_str(&root->members[i].key);
		const struct setting *row = find_camel(s, name);
		buf_clear(&text);
		if (!row)
			rc = error_set(err, ERR_INVALID, "unknown setting \"%.*s\"", STR_ARG(name));
		else if (value_text(row, &root->members[i].value, &text, err) ||
			 settings_apply(s, row, buf_str(&text), SETTING_FROM_FILE, err))
			rc = error_wrap(err, "%.*s", STR_ARG(name));
	}
	buf_fini(&text);
	return rc;
}

int settings_read_file(struct settings *s, const char *path, struct error *err)
{
	struct buf text = { 0 };
	struct arena arena = { 0 };
	struct json root = { 0 };
	int rc = file_read(path, SETTINGS_FILE_MAX, &text, err);
	if (rc == 0) {
		rc = yaml_parse(&arena, buf_str(&text), &root, err);
		if (rc == 0)
			rc = apply_tree(s, &root, err);
		if (rc)
			rc = error_wrap(err, "%s", path);
	}
	arena_fini(&arena);
	buf_fini(&text);
	return rc == 0 ? 0 : ERR_INVALID;
}
