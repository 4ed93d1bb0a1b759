#include "base/mem.h"
#include "settings/settings.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <unistd.h>

struct values {
	char *name;
	struct setting_list list;
	bool on;
	int64_t count, bytes, span;
	const char *mode;
	char *password;
};

static const char *const modes[] = { "fast", "safe", NULL };

static void rows_of(struct values *v, struct setting rows[8])
{
	const struct setting r[8] = {
		{ .name = "listen-address",
		  .short_flag = 'l',
		  .type = SETTING_STRING,
		  .target = &v->name,
		  .fallback = "127.0.0.1:1",
		  .help = "Where to listen" },
		{ .name = "peer", .type = SETTING_STRINGS, .target = &v->list, .help = "Peers" },
		{ .name = "turbo",
		  .type = SETTING_BOOL,
		  .target = &v->on,
		  .fallback = "true",
		  .help = "Be quick" },
		{ .name = "count",
		  .type = SETTING_INT,
		  .target = &v->count,
		  .fallback = "3",
		  .min = 1,
		  .max = 10,
		  .help = "How many" },
		{ .name = "body-max",
		  .type = SETTING_BYTES,
		  .target = &v->bytes,
		  .fallback = "3Mi",
		  .help = "Largest body" },
		{ .name = "grace",
		  .type = SETTING_DURATION,
		  .target = &v->span,
		  .fallback = "1m30s",
		  .min = 0,
		  .max = 3600000,
		  .help = "Time to stop",
		  .reloadable = true },
		{ .name = "mode",
		  .type = SETTING_ENUM,
		  .target = &v->mode,
		  .fallback = "safe",
		  .choices = modes,
		  .help = "How to work" },
		{ .name = "password",
		  .type = SETTING_STRING,
		  .target = &v->password,
		  .secret = true,
		  .help = "Secret word" },
	};
	memcpy(rows, r, sizeof(r));
}

static int parse(struct settings *s, const char *const *args, int *rest, struct error *err)
{
	char *argv[16] = { (char *)(uintptr_t) "prog" };
	int n = 1;
	for (; args[n - 1]; n++)
		argv[n] = (char *)(uintptr_t)args[n - 1];
	return settings_parse(s, n, argv, rest, err);
}

Test(settings, defaults_stand_when_nothing_is_given)
{
	struct values v = { 0 };
	struct setting rows[8];
	rows_of(&v, rows);
	struct settings *s = settings_new("prog", "does things", rows, 8);
	struct error err = { 0 };
	int rest = 0;
	cr_assert_eq(parse(s, (const char *const[]){ NULL }, &rest, &err), 0, "%s", err.msg);
	cr_assert_str_eq(v.name, "127.0.0.1:1");
	cr_assert_eq(v.list.len, 0);
	cr_assert(v.on);
	cr_assert_eq(v.count, 3);
	cr_assert_eq(v.bytes, 3 << 20);
	cr_assert_eq(v.span, 90000);
	cr_assert_str_eq(v.mode, "safe");
	cr_assert_null(v.password);
	cr_assert_eq(rest, 1);
	settings_free(s);
}

Test(settings, flag_beats_environment_beats_file_beats_default)
{
	char path[] = "/tmp/test_settings_XXXXXX";
	int fd = mkstemp(path);
	cr_assert(fd >= 0);
	const char *text = "listenAddress: file:1\ncount: 5\nturbo: off\npeer: [a, b]\ngrace: 2m\n"
			   "password: hunter2\n";
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);

	struct values v = { 0 };
	struct setting rows[8];
	rows_of(&v, rows);
	struct settings *s = settings_new("prog", "does things", rows, 8);
	struct error err = { 0 };
	int rest = 0;
	setenv("RCTL_COUNT", "6", 1);
	setenv("RCTL_LISTEN_ADDRESS", "env:1", 1);
	const char *const args[] = { "-l",   "flag:1",    "--peer=x,y", "--peer",
				     "z",    "--config",  path,         "--body-max=64Ki",
				     "rest", "--count=9", NULL };
	cr_assert_eq(parse(s, args, &rest, &err), 0, "%s", err.msg);
	cr_assert_str_eq(v.name, "flag:1");
	cr_assert_eq(v.count, 6);
	cr_assert_not(v.on);
	cr_assert_eq(v.span, 120000);
	cr_assert_eq(v.bytes, 65536);
	cr_assert_eq(v.list.len, 3);
	cr_assert_str_eq(v.list.items[2], "z");
	cr_assert_str_eq(v.password, "hunter2");
	cr_assert_eq(rest, 9);

	struct buf out = { 0 };
	settings_json(s, &out);
	cr_assert_null(strstr(buf_cstr(&out), "hunter2"), "a secret was shown");
	cr_assert_not_null(
		strstr(buf_cstr(&out), "\"count\":{\"value\":\"6\",\"from\":\"environment\"}"));
	cr_assert_not_null(
		strstr(buf_cstr(&out), "\"grace\":{\"value\":\"2m\",\"from\":\"file\"}"));
	buf_fini(&out);
	settings_free(s);
	unlink(path);
}

Test(settings, wrong_values_are_refused_with_name_and_reason)
{
	static const struct {
		const char *args[4];
		const char *want;
	} cases[] = {
		{ { "--count=11" }, "flag --count: \"11\" is outside 1 to 10" },
		{ { "--count=x" }, "flag --count: \"x\" is no integer" },
		{ { "--body-max=3Q" }, "flag --body-max: \"3Q\" is no size (64Ki, 3Mi, 1G)" },
		{ { "--body-max=9999999Ti" },
		  "flag --body-max: \"9999999Ti\" is no size (64Ki, 3Mi, 1G)" },
		{ { "--grace=2h" }, "flag --grace: \"2h\" is outside 0s to 1h" },
		{ { "--grace=5" }, "flag --grace: \"5\" is no duration (500ms, 15s, 2m, 1h30m)" },
		{ { "--grace=" }, "flag --grace: \"\" is no duration (500ms, 15s, 2m, 1h30m)" },
		{ { "--mode=quick" }, "flag --mode: \"quick\" is none of fast, safe" },
		{ { "--turbo=maybe" }, "flag --turbo: \"maybe\" is neither true nor false" },
		{ { "--nope" }, "unknown flag --nope (see --help)" },
		{ { "--no-count" }, "unknown flag --no-count (see --help)" },
		{ { "-q" }, "unknown flag -q (see --help)" },
		{ { "--count" }, "flag --count needs a value" },
		{ { "--password=x" },
		  "--password: a secret is taken from the environment or the "
		  "configuration file, never from the command line" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct values v = { 0 };
		struct setting rows[8];
		rows_of(&v, rows);
		struct settings *s = settings_new("prog", "does things", rows, 8);
		struct error err = { 0 };
		int rest = 0;
		cr_expect_eq(parse(s, cases[i].args, &rest, &err), ERR_INVALID, "%s",
			     cases[i].want);
		cr_expect_str_eq(err.msg, cases[i].want);
		settings_free(s);
	}
}

Test(settings, booleans_have_three_forms)
{
	static const struct {
		const char *args[3];
		bool want;
	} cases[] = {
		{ { "--turbo" }, true },
		{ { "--no-turbo" }, false },
		{ { "--turbo=false" }, false },
		{ { "--no-turbo", "--turbo" }, true },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct values v = { 0 };
		struct setting rows[8];
		rows_of(&v, rows);
		struct settings *s = settings_new("prog", "does things", rows, 8);
		struct error err = { 0 };
		int rest = 0;
		cr_expect_eq(parse(s, cases[i].args, &rest, &err), 0, "%s", err.msg);
		cr_expect_eq(v.on, cases[i].want, "case %zu", i);
		settings_free(s);
	}
}

Test(settings, help_and_manual_name_every_row_with_its_default)
{
	struct values v = { 0 };
	struct setting rows[8];
	rows_of(&v, rows);
	struct settings *s = settings_new("prog", "does things", rows, 8);
	struct buf help = { 0 }, man = { 0 };
	settings_help(s, &help);
	settings_man(s, &man);
	static const char *const want[] = { "-l, --listen-address=TEXT", "default 127.0.0.1:1",
					    "--mode=fast|safe", "RCTL_PASSWORD",
					    "default 1m30s, reloadable" };
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
		cr_expect_not_null(strstr(buf_cstr(&help), want[i]), "%s", want[i]);
	cr_expect_null(strstr(buf_cstr(&help), "--password"));
	cr_expect_not_null(strstr(buf_cstr(&man), ".TH PROG 8"));
	cr_expect_not_null(strstr(buf_cstr(&man), "\\-\\-listen\\-address=TEXT"));
	buf_fini(&help);
	buf_fini(&man);
	settings_free(s);
}

Test(settings, a_broken_file_is_named)
{
	char path[] = "/tmp/test_settings_XXXXXX";
	int fd = mkstemp(path);
	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, "nope: 1\n", 8), 8);
	close(fd);
	struct values v = { 0 };
	struct setting rows[8];
	rows_of(&v, rows);
	struct settings *s = settings_new("prog", "does things", rows, 8);
	struct error err = { 0 };
	int rest = 0;
	cr_assert_eq(parse(s, (const char *const[]){ "--config", path, NULL }, &rest, &err),
		     ERR_INVALID);
	char want[128];
	snprintf(want, sizeof(want), "%s: unknown setting \"nope\"", path);
	cr_assert_str_eq(err.msg, want);
	cr_assert_eq(
		parse(s, (const char *const[]){ "--config=/nonexistent/x", NULL }, &rest, &err),
		ERR_INVALID);
	settings_free(s);
	unlink(path);
}
