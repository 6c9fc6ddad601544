/*
 * options.c -- the command line: groups of commands, common options
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "tools.h"

static const struct argp_option common_options[] = {
	{ "pool", 'p', "DIR", 0, "The pool's directory", 0 },
	{ "json", 'j', NULL, 0, "Print JSON; sizes are in bytes", 0 },
	{ "quiet", 'q', NULL, 0, "Print errors only", 0 },
	{ "verbose", 'v', NULL, 0, "Report what is done; twice: in detail", 0 },
	{ 0 },
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct tool *tool = state->input;

	switch (key) {
	case 'p':
		if (*arg == '\0')
			argp_error(state, "--pool: no directory given");
		tool_set(tool, state, PMIO_SET_POOL, arg);
		return 0;
	case 'j':
		tool->json = true;
		return 0;
	case 'q':
		tool->quiet = true;
		return 0;
	case 'v':
		tool->verbose++;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp common_argp = { .options = common_options, .parser = parse_common };

struct inputs {
	void *command;
	struct tool *tool;
};

static error_t hand_out_inputs(int key, char *arg, struct argp_state *state)
{
	struct inputs *in = state->input;

	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = in->command;
	state->child_inputs[1] = in->tool;
	return 0;
}

static void parse(struct tool *tool, const struct argp *argp, void *input, int argc, char **argv,
		  unsigned flags)
{
	struct inputs in = { input, tool };
	const struct argp_child children[] = {
		{ argp, 0, NULL, 0 },
		{ &common_argp, 0, "Options of all commands:", 1 },
		{ 0 },
	};
	const struct argp all = { .parser = hand_out_inputs, .children = children };

	if (argp_parse(&all, argc, argv, flags, NULL, &in) != 0)
		exit(TOOL_USAGE);
}

/*
 * through the environment, so that the library, an agent that it starts, or a program that this process executes, use
 * the same level
 */
static void apply_log_level(const struct tool *tool, bool to_environment)
{
	enum pmio_log_level level;
	const char *name = tool->settings.str[PMIO_SET_LOG];

	if (tool->verbose)
		name = tool->verbose > 1 ? "debug" : "info";
	else if (tool->quiet && strcmp(name, "none") != 0)
		name = "error";
	if (to_environment)
		setenv("PMIO_LOG", name, 1);
	if (pmio_log_parse_level(name, &level) == 0)
		pmio_log_set_level(level);
}

void tool_parse(struct tool *tool, const struct argp *argp, void *input, int argc, char **argv)
{
	parse(tool, argp, input, argc, argv, 0);
	apply_log_level(tool, true);
}

void tool_parse_command(struct tool *tool, const struct argp *argp, void *input, int argc, char **argv)
{
	parse(tool, argp, input, argc, argv, ARGP_IN_ORDER);
	apply_log_level(tool, tool->verbose || tool->quiet);
}

void tool_set(struct tool *tool, struct argp_state *state, enum pmio_setting which,
	      const char *value)
{
	int rc = pmio_settings_set(&tool->settings, which, value, PMIO_FROM_COMMAND_LINE);

	if (rc == -EINVAL) { /* it was logged, with the valid range */
		argp_state_help(state, stderr, ARGP_HELP_SEE);
		exit(TOOL_USAGE);
	}
	if (rc < 0)
		exit(tool_failed(rc, "%s", pmio_setting_info(which)->name));
}

error_t tool_parse_args(int key, char *arg, struct argp_state *state)
{
	struct tool_args *args = state->input;

	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	/* argp has moved the options to the front: the arguments are contiguous */
	if (args->nr++ == 0)
		args->v = &state->argv[state->next - 1];
	(void)arg;
	return 0;
}

/* ---- groups ---------------------------------------------------------------- */

struct command_group {
	const struct tool_command *commands;
	const struct tool_command *chosen;
	int first; /* index of the command's name in argv */
};

static error_t parse_group(int key, char *arg, struct argp_state *state)
{
	struct command_group *group = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		for (const struct tool_command *c = group->commands; c->name; c++) {
			if (strcmp(c->name, arg) == 0)
				group->chosen = c;
		}
		if (!group->chosen)
			argp_error(state, "unknown command \"%s\"", TOOL_PLAIN(arg));
		group->first = state->next - 1;
		state->next = state->argc; /* the rest belongs to the command */
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "missing command");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* for --help: the group's description, then its commands; NULL: out of memory */
static char *describe(const char *what, const struct tool_command *commands)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fprintf(f, "%s\vCommands (each has --help):\n", what);
	for (const struct tool_command *c = commands; c->name; c++)
		fprintf(f, "  %-10s %s\n", c->name, c->help);
	return fclose(f) == 0 ? text : NULL;
}

int tool_dispatch(struct tool *tool, const char *what, const struct tool_command *commands,
		  int argc, char **argv)
{
	struct command_group group = { .commands = commands };
	char *doc = describe(what, commands), *name;
	const struct argp argp = { .parser = parse_group, .args_doc = "COMMAND [ARGUMENT...]",
				   .doc = doc };
	int status;

	parse(tool, &argp, &group, argc, argv, ARGP_IN_ORDER);
	free(doc);

	/* for "Usage: pmio pool create ..." */
	if (asprintf(&name, "%s %s", argv[0], group.chosen->name) < 0)
		return tool_failed(-ENOMEM, "%s", group.chosen->name);
	argv[group.first] = name;
	status = group.chosen->run(tool, argc - group.first, argv + group.first);
	free(name);
	return status;
}
