/*
 * tools.h -- shared by the subcommands of `pmio`
 *
 * A subcommand is one file with a function of type tool_fn.  It parses its own
 * arguments with tool_parse(), which adds the common options, and returns an exit
 * status.  An error is one line on standard error: the library writes it where it
 * detects the cause, otherwise tool_failed() writes it.
 *
 * Threads: one, except where noted.
 */
#ifndef PMIO_TOOLS_H
#define PMIO_TOOLS_H

#include <argp.h>
#include <json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/admin.h"
#include "core/settings.h"
#include "core/text.h"
#include "pmio.h"

/* exit statuses; pmio(1) promises them */
enum tool_exit {
	TOOL_DONE = 0,
	TOOL_FAILED = 1,
	TOOL_USAGE = 2,
	TOOL_PARTLY = 3, /* partial success: some, but not all, of several requests */
	/* pmio run, like env(1), as all other statuses may be the program's */
	TOOL_RUN_FAILED = 125,
	TOOL_RUN_CANNOT = 126,
	TOOL_RUN_NOT_FOUND = 127,
};

struct tool {
	struct pmio_settings settings;
	bool bad_settings;	/* a value was refused (and logged) */
	bool json;
	bool quiet;
	unsigned verbose;
};

typedef int (*tool_fn)(struct tool *tool, int argc, char **argv);

struct tool_command {
	const char *name;
	tool_fn run;
	const char *help; /* one line */
};

/* a group of commands: parse the options before the command's name, then run it */
int tool_dispatch(struct tool *tool, const char *what, const struct tool_command *commands,
		  int argc, char **argv);

/*
 * tool_parse -- parse a command's arguments; ends the process on --help and on
 * usage errors (status TOOL_USAGE)
 */
void tool_parse(struct tool *tool, const struct argp *argp, void *input, int argc, char **argv);

/*
 * the same for a command whose arguments end with another command line: the argp parser meets its first word,
 * and takes the rest.  That command will inherit the environment, so it is changed only if an option requires
 * it
 */
void tool_parse_command(struct tool *tool, const struct argp *argp, void *input, int argc, char **argv);

/* set from an option's argument; an invalid value is a usage error */
void tool_set(struct tool *tool, struct argp_state *state, enum pmio_setting which,
	      const char *value);

/* collects a command's arguments in their order */
struct tool_args {
	char **v;
	size_t nr;
};
/* an argp parser whose input is a struct tool_args; any number of arguments */
error_t tool_parse_args(int key, char *arg, struct argp_state *state);

/* the pool in use, absolute; TOOL_FAILED and one line if there is none */
int tool_pool_dir(const struct tool *tool, char dir[PATH_MAX]);

/*
 * tool_connect -- connect to the pool's agent, starting one if there is a pool
 *
 * Unlike an MPI program, a command that queries files never makes the default pool.
 * Returns TOOL_DONE or, after one line, TOOL_FAILED.
 */
int tool_connect(const struct tool *tool, struct pmio **out);
/*
 * tool_drain_entry -- pmio_drain_entry(), and then a check that no data are pending any more
 *
 * Other processes can open the file again, if it was in use on several nodes.
 * path   allocated; its last known name; becomes its current one
 */
int tool_drain_entry(struct pmio *pm, const struct pmio_entry *e, char **path, unsigned how);

/* connect like a program: keeps the agent running, and makes the default pool if necessary */
int tool_start(const struct tool *tool, struct pmio **out);

/*
 * returns TOOL_FAILED; writes "WHAT: reason" if the library has not logged an error
 * in this thread since the last call.  Any thread.
 */
int tool_failed(int rc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* the exit status for these numbers */
int tool_exit_of(size_t nr_done, size_t nr_failed);

/* the same word for programs: "done", "failed", "partly" */
const char *tool_exit_word(int status);

/* count the library's error lines, and write them like the library */
void tool_log_init(void);

/* a line on a terminal's standard error that stays the last one; redraw it, or remove it */
void tool_status_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void tool_status_clear(void);

/* "1.5 GiB"; returns buf */
#define TOOL_SIZE_LEN 16
char *tool_size(char buf[TOOL_SIZE_LEN], uint64_t bytes);
/* with a buffer on the caller's stack */
#define TOOL_SIZE(bytes) tool_size((char[TOOL_SIZE_LEN]){ 0 }, (bytes))

#define TOOL_UUID_LEN 37
char *tool_uuid(char buf[TOOL_UUID_LEN], const uint8_t uuid[16]);

/* a path as one line: control characters become \x1b */
void tool_print_path(const char *path);
void tool_fprint_path(FILE *out, const char *path);
/* the beginning of an invalid argument, for a message, on the caller's stack */
#define TOOL_PLAIN(arg) pmio_plain((char[PMIO_PLAIN_SIZE(80)]){ 0 }, PMIO_PLAIN_SIZE(80), (arg))

/* print an object on standard output, and free it */
void tool_print_json(struct json_object *object);
/* the same as one line, flushed at once for programs that follow the events */
void tool_print_event(struct json_object *object);
void tool_add(struct json_object *object, const char *key, uint64_t value);
void tool_add_string(struct json_object *object, const char *key, const char *value);
void tool_add_bool(struct json_object *object, const char *key, bool value);

int tool_pool(struct tool *tool, int argc, char **argv);
int tool_ls(struct tool *tool, int argc, char **argv);
int tool_stat(struct tool *tool, int argc, char **argv);
int tool_drain(struct tool *tool, int argc, char **argv);
int tool_stage_in(struct tool *tool, int argc, char **argv);
int tool_stage_out(struct tool *tool, int argc, char **argv);
int tool_recover(struct tool *tool, int argc, char **argv);
int tool_rm(struct tool *tool, int argc, char **argv);
int tool_forget(struct tool *tool, int argc, char **argv);
int tool_agent(struct tool *tool, int argc, char **argv);
int tool_target(struct tool *tool, int argc, char **argv);
int tool_conf(struct tool *tool, int argc, char **argv);
int tool_mpi_info(struct tool *tool, int argc, char **argv);
int tool_run(struct tool *tool, int argc, char **argv);
int tool_mount(struct tool *tool, int argc, char **argv);
int tool_unmount(struct tool *tool, int argc, char **argv);

/* show.c */
/* is a part of it not on the file system?  For an empty or shortened file only the size is pending, no block */
bool tool_is_pending(const struct pmio_file_stat *st);
const char *tool_file_state(const struct pmio_file_stat *st);
/* print why it is not on the file system, and how much is left to do if a drain runs or has failed */
void tool_print_left(const struct pmio_file_stat *st);
struct json_object *tool_file_json(const struct pmio_file_stat *st);

#endif
