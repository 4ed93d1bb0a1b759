#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "sys/clock.h"
#include "sys/proc.h"

#include <assert.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_SIGNAL = 128, STARTED_MS = 3000 };

static const char *const log_levels[] = { "debug", "info", "warn", "error", "off", NULL };

struct loop *daemon_loop(struct daemon *d)
{
	return d->loop;
}

struct metrics *daemon_metrics(struct daemon *d)
{
	return d->metrics;
}

struct settings *daemon_settings(struct daemon *d)
{
	return d->settings;
}

static void collect_rows(struct daemon *d)
{
	const struct setting common[] = {
		{ .name = "log-level",
		  .type = SETTING_ENUM,
		  .target = &d->log_level,
		  .fallback = "info",
		  .choices = log_levels,
		  .help = "Least severity of the JSON lines written to standard error",
		  .reloadable = true },
		{ .name = "health-address",
		  .type = SETTING_STRING,
		  .target = &d->health_address,
		  .fallback = "",
		  .metavar = "HOST:PORT",
		  .help = "Where a program without an API of its own serves /healthz, /readyz and "
			  "/metrics; empty = nowhere" },
	};
	size_t n = sizeof(common) / sizeof(*common);
	d->rows_len = d->spec->settings
			      ? d->spec->settings(d->spec->state, d->rows, DAEMON_SETTINGS_MAX - n)
			      : 0;
	assert(d->rows_len + n <= DAEMON_SETTINGS_MAX);
	memcpy(d->rows + d->rows_len, common, sizeof(common));
	d->rows_len += n;
}

static void apply_log_level(const struct daemon *d)
{
	enum log_level level = LOG_INFO;
	(void)log_level_of(str_of(d->log_level), &level);
	log_set_level(level);
}

/* As many descriptors as we may have; no core dump or debugger sees the keys; files are ours alone. */
static void prepare_process(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)umask(077);
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGXFSZ, &ignore,
			NULL); /* a limit on files is an error of write(2), as a full disk */
}

static void begin_stop(struct daemon *d)
{
	d->stopping = true;
	proc_notify("STOPPING=1");
	if (d->spec->stop)
		d->spec->stop(d->spec->state, d);
	else
		daemon_stopped(d);
}

static void on_stop_signal(void *arg, int signo)
{
	struct daemon *d = arg;
	if (d->stopping)
		_exit(EXIT_SIGNAL + signo);
	log_info("stopping", "signal", LOG_I(signo), NULL);
	begin_stop(d);
}

static void on_reload_signal(void *arg, int signo)
{
	(void)signo;
	struct daemon *d = arg;
	struct error err = { 0 };
	int changed = settings_reload(d->settings, d->argc, d->argv, &err);
	if (changed < 0) {
		log_error("reload-failed", "error", LOG_S(err.msg), NULL);
		return;
	}
	apply_log_level(d);
	if (d->spec->reload)
		d->spec->reload(d->spec->state, d);
	log_info("reloaded", "changed", LOG_I(changed), NULL);
}

static void on_started(struct loop_timer *t)
{
	(void)t;
	proc_drop_start_pages();
}

void daemon_ready(struct daemon *d)
{
	d->started.fn = on_started;
	loop_timer_set(d->loop, &d->started, STARTED_MS);
	proc_notify("READY=1");
	log_info("ready", "version", LOG_S(RCTL_VERSION), "pid", LOG_I(getpid()), NULL);
}

void daemon_stopped(struct daemon *d)
{
	if (d->stopped)
		return;
	d->stopped = true;
	loop_stop(d->loop);
}

void daemon_fail(struct daemon *d, const struct error *err)
{
	log_error("failed", "error", LOG_S(err->msg), NULL);
	d->status = EXIT_FAILED;
	if (!d->stopping)
		begin_stop(d);
}

static int start(struct daemon *d, struct error *err)
{
	int rc = loop_new(&d->loop, err);
	if (rc == 0)
		rc = loop_signal(d->loop, SIGTERM, on_stop_signal, d, err);
	if (rc == 0)
		rc = loop_signal(d->loop, SIGINT, on_stop_signal, d, err);
	if (rc == 0)
		rc = loop_signal(d->loop, SIGHUP, on_reload_signal, d, err);
	if (rc == 0)
		rc = d->spec->start(d->spec->state, d, err);
	return rc;
}

int daemon_main(const struct daemon_spec *spec, int argc, char **argv)
{
	struct daemon *d = mem_new(struct daemon, 1);
	*d = (struct daemon){ .spec = spec, .argc = argc, .argv = argv };
	collect_rows(d);
	d->settings = settings_new(spec->program, spec->summary, d->rows, d->rows_len);
	int rest = argc;
	int status = settings_main(d->settings, argc, argv, &rest);
	bool runs = status < 0;
	if (runs && rest < argc) {
		(void)fprintf(stderr, "%s: unexpected argument \"%s\" (see --help)\n",
			      spec->program, argv[rest]);
		status = 2;
		runs = false;
	}
	if (runs) {
		prepare_process();
		log_setup(spec->program, LOG_INFO, clock_unix_ms);
		apply_log_level(d);
		d->metrics = metrics_new();
		struct error err = { 0 };
		if (start(d, &err)) {
			log_error("start-failed", "error", LOG_S(err.msg), NULL);
			d->status = EXIT_FAILED;
		} else {
			loop_run(d->loop);
		}
		status = d->status;
	}
	if (spec->fini)
		spec->fini(spec->state);
	d->health = daemon_health_free(d->health);
	loop_timer_stop(&d->started);
	d->loop = loop_free(d->loop);
	d->metrics = metrics_free(d->metrics);
	d->settings = settings_free(d->settings);
	mem_free(d);
	if (runs) /* last of all, so that it says that everything was given back */
		log_info("stopped", "status", LOG_I(status), NULL);
	return status;
}
