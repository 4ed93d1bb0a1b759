/* What people and tools read about the settings: --help, the manual page, /configz. */
#include "base/utf8.h"
#include "json/json.h"
#include "settings/settings_priv.h"

#include <inttypes.h>

static void add_flag(const struct setting *row, struct buf *out)
{
	if (row->short_flag)
		buf_addf(out, "-%c, ", row->short_flag);
	buf_addf(out, "--%s", row->name);
	if (row->type == SETTING_BOOL)
		return;
	buf_addc(out, '=');
	if (row->type == SETTING_ENUM) {
		for (const char *const *c = row->choices; *c; c++)
			buf_addf(out, "%s%s", c == row->choices ? "" : "|", *c);
		return;
	}
	static const char *const names[] = {
		[SETTING_STRING] = "TEXT", [SETTING_STRINGS] = "TEXT,…",
		[SETTING_BOOL] = "",       [SETTING_INT] = "N",
		[SETTING_BYTES] = "BYTES", [SETTING_DURATION] = "DURATION",
		[SETTING_ENUM] = "CHOICE",
	};
	buf_adds(out, row->metavar ? row->metavar : names[row->type]);
}

static void add_default(const struct setting *row, struct buf *out)
{
	if (row->required)
		buf_adds(out, "required");
	else if (row->fallback && row->fallback[0])
		buf_addf(out, "default %s", row->fallback);
	else
		buf_adds(out, "default none");
	if (row->reloadable)
		buf_adds(out, ", reloadable");
}

void settings_help(const struct settings *s, struct buf *out)
{
	buf_addf(out, "%s - %s\n\nUsage: %s [flags]\n\nFlags:\n", s->program, s->summary,
		 s->program);
	for (size_t i = 0; i < s->len; i++) {
		const struct setting *row = &s->table[i];
		if (row->secret)
			continue;
		buf_adds(out, "  ");
		add_flag(row, out);
		buf_addf(out, "\n        %s (", row->help);
		add_default(row, out);
		buf_adds(out, ")\n");
	}
	buf_adds(out, "  --config=FILE\n        YAML file with settings: listenAddress: … (default "
		      "none)\n"
		      "  -h, --help, --version, --man\n        print this, the version, the manual "
		      "page\n\n"
		      "Each flag can be given in the environment too: --listen-address as "
		      "RCTL_LISTEN_ADDRESS.\n"
		      "Precedence: flag, environment, file, default.\n");
	bool any = false;
	for (size_t i = 0; i < s->len; i++) {
		if (!s->table[i].secret)
			continue;
		if (!any)
			buf_adds(out, "\nSecrets, from the environment or the file only:\n");
		any = true;
		buf_adds(out, "  ");
		setting_env_name(&s->table[i], out);
		buf_addf(out, "\n        %s\n", s->table[i].help);
	}
}

/* roff takes "-" as a hyphen and a leading "." or "'" as a request. */
static void add_roff(const char *text, struct buf *out)
{
	const char *end = text + strlen(text);
	for (const char *p = text; *p; p++) {
		size_t n = utf8_len(p, end);
		if (n > 1) { /* by number: groff reads no UTF-8 */
			buf_addf(out, "\\[u%04X]", (unsigned)utf8_decode(p, n));
			p += n - 1;
		} else if (*p == '-')
			buf_adds(out, "\\-");
		else if (*p == '\\')
			buf_adds(out, "\\e");
		else if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
			buf_addf(out, "\\&%c", *p);
		else
			buf_addc(out, *p);
	}
}

void settings_man(const struct settings *s, struct buf *out)
{
	buf_adds(out, ".TH ");
	for (const char *p = s->program; *p; p++)
		buf_addc(out, (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p));
	buf_addf(out, " 8 \"\" \"rctl %s\" \"rctl\"\n.SH NAME\n", RCTL_VERSION);
	add_roff(s->program, out);
	buf_adds(out, " \\- ");
	add_roff(s->summary, out);
	buf_adds(out, "\n.SH SYNOPSIS\n.B ");
	add_roff(s->program, out);
	buf_adds(out,
		 "\n[flags]\n.SH OPTIONS\nEach option can be given as a flag, as a variable of the "
		 "environment or in the YAML\nfile named by\n.BR \\-\\-config ;\nthe first of "
		 "these wins.\n");
	struct buf text = { 0 };
	for (size_t i = 0; i < s->len; i++) {
		const struct setting *row = &s->table[i];
		buf_adds(out, ".TP\n.B ");
		buf_clear(&text);
		if (row->secret)
			setting_env_name(row, &text);
		else
			add_flag(row, &text);
		add_roff(buf_cstr(&text), out);
		buf_addc(out, '\n');
		buf_clear(&text);
		buf_addf(&text, "%s (", row->help);
		add_default(row, &text);
		if (row->min || row->max)
			buf_addf(&text, ", %" PRId64 " to %" PRId64, row->min, row->max);
		buf_adds(&text, "). File: ");
		setting_camel_name(row, &text);
		buf_adds(&text, ".");
		add_roff(buf_cstr(&text), out);
		buf_addc(out, '\n');
	}
	buf_fini(&text);
	buf_adds(out, ".SH SIGNALS\nSIGTERM and SIGINT stop gracefully, a second one at once; "
		      "SIGHUP reloads "
		      "what is reloadable.\n.SH EXIT STATUS\n0 after a stop, 1 when the program "
		      "failed, 2 for "
		      "wrong settings.\n");
}

void settings_json(const struct settings *s, struct buf *out)
{
	static const char *const from[] = { "default", "file", "environment", "flag" };
	struct buf text = { 0 };
	buf_addc(out, '{');
	for (size_t i = 0; i < s->len; i++) {
		const struct setting *row = &s->table[i];
		buf_clear(&text);
		setting_camel_name(row, &text);
		buf_adds(out, i ? "," : "");
		json_write_str(out, buf_str(&text));
		buf_adds(out, ":{\"value\":");
		buf_clear(&text);
		setting_print(row, &text);
		if (row->secret && text.len)
			json_write_str(out, STR("(secret)"));
		else
			json_write_str(out, buf_str(&text));
		buf_addf(out, ",\"from\":\"%s\"}", from[s->sources[i]]);
	}
	buf_addc(out, '}');
	buf_fini(&text);
}
