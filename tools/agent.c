/*
 * agent.c -- pmio agent start|stop|pause|resume|rate|status
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/log.h"
#include "core/system.h"
#include "pool/pool.h"
#include "remote/remote.h"
#include "tools.h"

#define KILL_LIMIT_MS 10000 /* for calls to file systems to return, and memory to be unmapped */

/* ---- start ------------------------------------------------------------------- */

static error_t parse_start(int key, char *arg, struct argp_state *state)
{
	bool *foreground = state->input;

	(void)arg;
	if (key != 'f')
		return ARGP_ERR_UNKNOWN;
	*foreground = true;
	return 0;
}

/* without --pool pmiod uses, or makes, the default pool */
static int become_agent(const struct tool *tool, const char *dir)
{
	const char *program = tool->settings.str[PMIO_SET_AGENT];
	bool is_default = *tool->settings.str[PMIO_SET_POOL] == '\0';

	fflush(stdout);
	execl(program, program, "--foreground", is_default ? NULL : "--pool", dir, (char *)NULL);
	return tool_failed(-errno, "%s", program);
}

static int start(struct tool *tool, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "foreground", 'f', NULL, 0, "Run the agent in the foreground", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_start,
		.doc = "start the pool's agent if none runs; returns when it is ready.  Programs start "
		       "it automatically",
	};
	char dir[PATH_MAX];
	bool foreground = false;
	struct pmio *pm;

	tool_parse(tool, &argp, &foreground, argc, argv);
	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	if (foreground)
		return become_agent(tool, dir);
	if (tool_start(tool, &pm) != TOOL_DONE)
		return TOOL_FAILED;
	pmio_disconnect(&pm);
	return TOOL_DONE;
}

/* ---- stop -------------------------------------------------------------------- */

static error_t parse_stop(int key, char *arg, struct argp_state *state)
{
	bool *force = state->input;

	(void)arg;
	if (key != 'f')
		return ARGP_ERR_UNKNOWN;
	*force = true;
	return 0;
}

/* the agent is stopped by a signal, or silent: kill it without a request; its data stay in the pool */
static int end_by_force(const struct tool *tool, const char *dir)
{
	int rc = pmio_pool_kill_owner(dir, KILL_LIMIT_MS);

	if (rc < 0)
		return tool_failed(rc, "the agent of pool %s", dir);
	if (!tool->quiet)
		pmio_warn("pool %s: its agent did not answer, and was killed; its data stay in the pool", dir);
	return TOOL_DONE;
}

/* also for an agent that does not accept connections yet, or any more */
static bool agent_is_stopped(const char *dir)
{
	struct pmio_pool_owner owner;

	return pmio_pool_check_dir(dir, false, NULL) == 0 && pmio_pool_owner(dir, &owner) == 0 && owner.locked &&
	       pmio_process_stopped((pid_t)owner.pid);
}

static int end_agent(const struct tool *tool, const char *dir, bool force)
{
	struct pmio *pm;
	int rc;

	if (force && agent_is_stopped(dir))
		return end_by_force(tool, dir);
	rc = pmio_attach(dir, &pm);
	if (rc == PMIO_EAGENT || rc == -ENOENT)
		return TOOL_DONE;
	if (rc == 0) {
		rc = pmio_shutdown(pm, force);
		pmio_disconnect(&pm);
	}
	if (rc == PMIO_ESTUCK && force)
		return end_by_force(tool, dir);
	return rc < 0 ? tool_failed(rc, "the agent of pool %s", dir) : TOOL_DONE;
}

static int stop(struct tool *tool, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "force", 'f', NULL, 0,
		  "Even if programs are connected, data wait (they stay in the pool) or it does not answer", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_stop,
		.doc = "stop the agent, and the pool's target for other nodes; files that are held stay in "
		       "the pool.  Does nothing if none runs",
	};
	char dir[PATH_MAX];
	bool force = false;
	int rc;

	tool_parse(tool, &argp, &force, argc, argv);
	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	/* first the target: if it has files open it would start another agent */
	rc = force ? remote_stop(dir, true) : 0;
	if (rc < 0)
		return tool_failed(rc, "the target of pool %s", dir);
	if (end_agent(tool, dir, force) != TOOL_DONE)
		return TOOL_FAILED;
	rc = remote_stop(dir, force);
	return rc < 0 ? tool_failed(rc, "the target of pool %s", dir) : TOOL_DONE;
}

/* ---- status ------------------------------------------------------------------- */

static void show_none(const struct tool *tool, const char *dir)
{
	struct json_object *o;

	if (tool->json) {
		o = json_object_new_object();
		tool_add_string(o, "pool", dir);
		tool_add_bool(o, "running", false);
		tool_print_json(o);
	} else if (!tool->quiet) {
		printf("pool ");
		tool_print_path(dir);
		puts(": no agent runs");
	}
}

static void show_running(const struct tool *tool, const char *dir, const struct pmio_pool_stat *st)
{
	struct json_object *o;

	if (tool->json) {
		o = json_object_new_object();
		tool_add_string(o, "pool", dir);
		tool_add_bool(o, "running", true);
		tool_add(o, "pid", st->agent_pid);
		tool_add(o, "uptime_s", st->uptime_s);
		tool_add(o, "clients", st->nr_clients);
		tool_add(o, "handles", st->nr_handles);
		tool_add(o, "dirty", st->dirty_bytes);
		tool_add(o, "idle_timeout_s", st->idle_timeout_s);
		tool_add_bool(o, "paused", st->paused);
		tool_add(o, "drain_rate_limit", st->drain_rate_limit);
		tool_print_json(o);
	} else if (!tool->quiet) {
		printf("pool ");
		tool_print_path(dir);
		printf(": agent %u, up %llu s, %u clients, %u open handles, dirty %s, ", st->agent_pid,
		       (unsigned long long)st->uptime_s, st->nr_clients, st->nr_handles,
		       TOOL_SIZE(st->dirty_bytes));
		if (st->paused)
			printf("drains are paused, ");
		if (st->drain_rate_limit)
			printf("drains at most %s/s, ", TOOL_SIZE(st->drain_rate_limit));
		if (st->idle_timeout_s)
			printf("exits after %llu s without work\n",
			       (unsigned long long)st->idle_timeout_s);
		else
			puts("does not exit when idle");
	}
}

static int status(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.doc = "show the pool's agent; exit status 1 if none runs",
	};
	struct pmio_pool_stat st;
	char dir[PATH_MAX];
	struct pmio *pm;
	int rc;

	tool_parse(tool, &argp, NULL, argc, argv);
	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	rc = pmio_attach(dir, &pm);
	if (rc == PMIO_EAGENT || rc == -ENOENT) {
		show_none(tool, dir);
		return TOOL_FAILED;
	}
	if (rc == 0) {
		rc = pmio_stat_sums(pm, &st);
		pmio_disconnect(&pm);
	}
	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	show_running(tool, dir, &st);
	return TOOL_DONE;
}

/* ---- pause, resume, rate ---------------------------------------------------------- */

/* connect to a running agent only: it forgets these requests when it exits */
static int reach(const struct tool *tool, struct pmio **pm)
{
	char dir[PATH_MAX];
	int rc;

	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	rc = pmio_attach(dir, pm);
	if (rc == PMIO_EAGENT)
		pmio_err("pool %s: no agent runs", dir);
	return rc < 0 ? tool_failed(rc, "pool %s", dir) : TOOL_DONE;
}

static int set_paused(struct tool *tool, const struct argp *argp, bool paused, int argc, char **argv)
{
	struct pmio *pm;
	int rc;

	tool_parse(tool, argp, NULL, argc, argv);
	if (reach(tool, &pm) != TOOL_DONE)
		return TOOL_FAILED;
	rc = pmio_pause_drains(pm, paused);
	pmio_disconnect(&pm);
	return rc < 0 ? tool_failed(rc, "pause") : TOOL_DONE;
}

static int pause_drains(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.doc = "pause drains: nothing is written to the file system until `pmio agent resume`, or "
		       "until the agent exits",
	};

	return set_paused(tool, &argp, true, argc, argv);
}

static int resume_drains(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = { .doc = "continue drains after a pause" };

	return set_paused(tool, &argp, false, argc, argv);
}

static error_t parse_rate(int key, char *arg, struct argp_state *state)
{
	struct tool *tool = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			argp_error(state, "only one SIZE may be given");
		tool_set(tool, state, PMIO_SET_DRAIN_RATE, arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "missing SIZE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int set_rate(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_rate,
		.args_doc = "SIZE",
		.doc = "limit the total rate of drains, in bytes per second (0: no limit), until the agent "
		       "exits; the setting drain_rate is for agents that are started later",
	};
	struct pmio *pm;
	int rc;

	tool_parse(tool, &argp, tool, argc, argv);
	if (reach(tool, &pm) != TOOL_DONE)
		return TOOL_FAILED;
	rc = pmio_set_drain_rate(pm, tool->settings.num[PMIO_SET_DRAIN_RATE]);
	pmio_disconnect(&pm);
	return rc < 0 ? tool_failed(rc, "rate") : TOOL_DONE;
}

int tool_agent(struct tool *tool, int argc, char **argv)
{
	static const struct tool_command commands[] = {
		{ "start", start, "start the agent" },
		{ "stop", stop, "stop the agent" },
		{ "pause", pause_drains, "pause drains" },
		{ "resume", resume_drains, "continue drains" },
		{ "rate", set_rate, "limit the rate of drains" },
		{ "status", status, "show whether the agent runs" },
		{ NULL, NULL, NULL },
	};

	return tool_dispatch(tool, "the pool's agent, pmiod", commands, argc, argv);
}
