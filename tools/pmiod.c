/*
 * pmiod.c -- the agent's main()
 *
 * The agent itself is in lib/agent, the target in lib/target; this file has the options.
 * Options not given come from the settings (pmio(7)).
 */
#include "config.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "core/error.h"
#include "core/log.h"
#include "core/settings.h"
#include "core/text.h"
#include "remote/remote.h"
#include "target/target.h"

#define EXIT_USAGE 2
/* no short options */
enum { KEY_READY_FD = 1000, KEY_TARGET, KEY_LISTEN, KEY_ENDPOINT };

const char *argp_program_version = "pmiod " PACKAGE_VERSION;

static const struct argp_option options[] = {
	{ "pool", 'p', "DIR", 0, "The pool's directory", 0 },
	{ "foreground", 'f', NULL, 0, "Do not detach", 0 },
	{ "idle-timeout", 'i', "SECONDS", 0,
	  "Exit after this many seconds with neither clients nor waiting data; 0: never", 0 },
	{ "drain-threads", 't', "N", 0, "Threads that drain and fill", 0 },
	{ "drain-rate", 'r', "SIZE", 0, "Bytes per second that all drains may write; 0: no limit", 0 },
	{ "log-file", 'l', "FILE", 0,
	  "Write the log there (default: agent.log in the pool, or standard error in the foreground)", 0 },
	{ "log", 'L', "LEVEL", 0, "none, error, warn, info or debug", 0 },
	{ "target", KEY_TARGET, NULL, 0,
	  "Serve the pool to other nodes instead of being its agent (which is started when needed)", 1 },
	{ "listen", KEY_LISTEN, "[ADDRESS][:PORT]", 0,
	  "With --target: listen on this address and run as a memory node (default: the setting `address`, until no node uses the target)", 1 },
	{ "card", KEY_ENDPOINT, "FILE", 0,
	  "With --target: write its endpoint descriptor (address and key) to FILE; an existing key in FILE is kept", 1 },
	{ "ready-fd", KEY_READY_FD, "FD", OPTION_HIDDEN, NULL, 0 },
	{ 0 },
};

struct daemon {
	struct pmio_settings settings;
	struct pmio_agent_config config;
	struct remote_target_config target;
	bool is_target;
};

static void set(struct daemon *d, struct argp_state *state, enum pmio_setting which,
		const char *value)
{
	if (pmio_settings_set(&d->settings, which, value, PMIO_FROM_COMMAND_LINE) < 0) {
		argp_state_help(state, stderr, ARGP_HELP_SEE);
		exit(EXIT_USAGE); /* it was logged, with the valid range */
	}
}

static int parse_fd(const char *text, struct argp_state *state)
{
	char *end, plain[PMIO_PLAIN_SIZE(16)];
	long fd;

	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || *text == '\0' || *end != '\0' || fd < 0 || fd > INT_MAX)
		argp_error(state, "--ready-fd: \"%s\" is not a descriptor",
			   pmio_plain(plain, sizeof(plain), text));
	return (int)fd;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct daemon *d = state->input;

	switch (key) {
	case 'p':
		if (*arg == '\0')
			argp_error(state, "--pool: no directory given");
		set(d, state, PMIO_SET_POOL, arg);
		return 0;
	case 'f':
		d->config.foreground = true;
		return 0;
	case 'i':
		set(d, state, PMIO_SET_IDLE_TIMEOUT, arg);
		return 0;
	case 't':
		set(d, state, PMIO_SET_DRAIN_THREADS, arg);
		return 0;
	case 'r':
		set(d, state, PMIO_SET_DRAIN_RATE, arg);
		return 0;
	case 'l':
		d->config.log_file = arg;
		return 0;
	case 'L':
		set(d, state, PMIO_SET_LOG, arg);
		return 0;
	case KEY_TARGET:
		d->is_target = true;
		return 0;
	case KEY_LISTEN:
		d->target.listen = arg;
		return 0;
	case KEY_ENDPOINT:
		d->target.endpoint_file = arg;
		return 0;
	case ARGP_KEY_END:
		if ((d->target.listen || d->target.endpoint_file) && !d->is_target)
			argp_error(state, "--listen and --card need --target");
		return 0;
	case KEY_READY_FD:
		d->config.ready_fd = parse_fd(arg, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int run(struct daemon *d)
{
	bool is_default = *d->settings.str[PMIO_SET_POOL] == '\0';
	char dir[PATH_MAX];
	int rc = is_default ? pmio_default_pool_make(dir, sizeof(dir))
			    : pmio_settings_pool_dir(&d->settings, dir, sizeof(dir));

	if (rc < 0) {
		pmio_err("pool %s: %s", d->settings.str[PMIO_SET_POOL], pmio_strerror(rc));
		return rc;
	}
	pmio_log_set_level((enum pmio_log_level)d->settings.num[PMIO_SET_LOG]);
	if (d->is_target) {
		d->target.settings = &d->settings;
		d->target.pool_dir = dir;
		d->target.log_file = d->config.log_file;
		d->target.stay = d->target.listen || d->target.endpoint_file;
		d->target.foreground = d->config.foreground;
		d->target.ready_fd = d->config.ready_fd;
		return remote_target_run(&d->target);
	}
	d->config.pool_dir = dir;
	d->config.make_dir = is_default;
	d->config.pool_size = d->settings.num[PMIO_SET_POOL_SIZE];
	d->config.size_is_default = d->settings.from[PMIO_SET_POOL_SIZE] == PMIO_FROM_DEFAULT;
	d->config.chunk_size = d->settings.num[PMIO_SET_CHUNK_SIZE];
	d->config.idle_timeout_s = (unsigned)d->settings.num[PMIO_SET_IDLE_TIMEOUT];
	d->config.verify = d->settings.num[PMIO_SET_VERIFY] != 0;
	d->config.recover_hold = d->settings.num[PMIO_SET_RECOVER] == PMIO_RECOVER_HOLD;
	d->config.drain_rate = d->settings.num[PMIO_SET_DRAIN_RATE];
	d->config.drain_threads = (unsigned)d->settings.num[PMIO_SET_DRAIN_THREADS];
	return pmio_agent_run(&d->config);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "pmiod -- the agent of a pool: allocates its frames and drains them to the "
		       "file system; or its target, which lets other nodes use it",
	};
	struct daemon d = { .config.ready_fd = -1 };
	int rc;

	argp_err_exit_status = EXIT_USAGE;
	if (pmio_odd_option(argc, argv)) {
		pmio_err("unknown option \"%s\"", pmio_odd_option(argc, argv));
		return EXIT_USAGE;
	}
	rc = pmio_settings_init(&d.settings);
	if (rc == -ENOMEM)
		return EXIT_FAILURE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &d) != 0)
		return EXIT_USAGE;
	rc = pmio_settings_fix_agent(&d.settings); /* a daemon leaves this folder */
	if (rc < 0)
		pmio_err("agent \"%s\": %s", d.settings.str[PMIO_SET_AGENT], pmio_strerror(rc));
	rc = run(&d);
	pmio_settings_fini(&d.settings);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
