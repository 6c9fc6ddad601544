/*
 * rm.c -- pmio rm, pmio forget: remove files, on the file system and in the pool; or only
 * in the pool
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/path.h"
#include "pfs/pfs.h"
#include "proto/proto.h"
#include "remote/remote.h"
#include "tools.h"

/* the pool's files with a name */
struct found {
	struct pmio_file_stat is;    /* the file that has it now */
	struct pmio_file_stat other; /* another one that had it before, with pending data */
	bool exists;		     /* the file system has a file of that name */
	bool has_is, has_other;
};

static int find(struct pmio *pm, const char *arg, struct found *f)
{
	char path[PATH_MAX], *real;
	struct pmio_file_stat st;
	uint32_t cursor = 0;
	struct stat now;
	int rc = pmio_absolute(arg, path, sizeof(path));

	if (rc < 0)
		return rc;
	f->exists = stat(path, &now) == 0;
	f->has_is = f->has_other = false;
	real = realpath(path, NULL);
	while ((rc = pmio_stat_next(pm, &cursor, &st)) == 0) {
		bool named = strcmp(st.path, path) == 0 || (real && strcmp(st.path, real) == 0);

		if (f->exists && st.dev == now.st_dev && st.ino == now.st_ino && st.state != PMIO_STATE_GONE) {
			f->is = st;
			f->has_is = true;
		} else if (named && tool_is_pending(&st)) {
			f->other = st;
			f->has_other = true;
		}
	}
	free(real);
	return rc == -ENOENT ? 0 : rc;
}

/* ---- rm ------------------------------------------------------------------------- */

struct rm_args {
	struct tool_args paths;
	bool force;
};

static error_t parse_rm(int key, char *arg, struct argp_state *state)
{
	struct rm_args *args = state->input;

	switch (key) {
	case 'f':
		args->force = true;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "missing PATH");
		return 0;
	default:
		return key == ARGP_KEY_INIT ? 0 : tool_parse_args(key, arg, state);
	}
}

static bool is_agreed(const char *path)
{
	char answer[16];

	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return false;
	fputs("remove ", stderr);
	tool_fprint_path(stderr, path);
	fputs(" anyway? [y/N] ", stderr);
	return fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y');
}

/* the file that has the name now is not the one that the pool has under it */
static int check_meant(const struct found *f, const char *arg, bool force)
{
	if (!f->has_other || (f->has_is && tool_is_pending(&f->is)) || force)
		return 0;
	if (!f->exists) {
		pmio_err("%s: the file no longer exists; data of it wait in the pool: `pmio forget` discards them", arg);
		return -ENOENT;
	}
	pmio_err("%s: another file has this name now; data of the former file wait in the pool (state %s): --force removes "
		 "the file that is there now, `pmio forget` discards the data", arg, tool_file_state(&f->other));
	return is_agreed(arg) ? 0 : -EPERM;
}

static int remove_file(struct pmio *pm, const char *arg, bool force, uint64_t *waited)
{
	struct found *f = malloc(sizeof(*f));
	int rc = f ? find(pm, arg, f) : -ENOMEM;
	struct stat st;

	if (rc == 0)
		rc = check_meant(f, arg, force);
	if (rc == 0) {
		/* with another name, or while it is open, the file continues to exist */
		bool goes = f->has_is && f->is.nr_handles == 0 && lstat(arg, &st) == 0 && S_ISREG(st.st_mode) &&
			    st.st_nlink == 1;

		rc = pmio_delete(pm, arg);
		*waited = goes ? f->is.dirty_bytes : 0;
	}
	free(f);
	return rc;
}

static void add_result(struct json_object *files, const char *path, const char *what, int rc, uint64_t waited)
{
	struct json_object *o = json_object_new_object();

	tool_add_string(o, "path", path);
	tool_add_bool(o, what, rc == 0);
	if (rc < 0)
		tool_add_string(o, "error", pmio_strerror(rc));
	else
		tool_add(o, "given_up", waited);
	json_object_array_add(files, o);
}

static void say(const struct tool *tool, struct json_object *files, const char *path, const char *what, int rc,
		uint64_t waited)
{
	if (files) {
		add_result(files, path, what, rc, waited);
	} else if (rc == 0 && !tool->quiet) {
		printf("%s ", what);
		tool_print_path(path);
		if (waited)
			printf(" (%s that waited in the pool are given up)", TOOL_SIZE(waited));
		putchar('\n');
	}
}

struct sum {
	size_t nr_done, nr_failed;
};

/* what: "removed", "forgotten"; one: the operation on one argument */
static void each_path(const struct tool *tool, struct pmio *pm, const struct tool_args *paths, const char *what,
		      int (*one)(struct pmio *pm, const char *arg, bool force, uint64_t *waited), bool force,
		      struct json_object *files, struct sum *sum)
{
	for (size_t i = 0; i < paths->nr; i++) {
		uint64_t waited = 0;
		int rc = one(pm, paths->v[i], force, &waited);

		if (rc < 0)
			tool_failed(rc, "%s", paths->v[i]);
		sum->nr_done += rc == 0;
		sum->nr_failed += rc < 0;
		say(tool, files, paths->v[i], what, rc, waited);
	}
}

static void print_results(struct pmio *pm, struct json_object *files)
{
	struct json_object *o;

	if (!files)
		return;
	o = json_object_new_object();
	tool_add_string(o, "pool", pmio_pool_path(pm));
	json_object_object_add(o, "files", files);
	tool_print_json(o);
}

int tool_rm(struct tool *tool, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "force", 'f', NULL, 0, "Even if another file has this name now than the one in the pool", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_rm,
		.args_doc = "PATH...",
		.doc = "remove files, and their data in the pool",
	};
	struct json_object *files = NULL;
	struct rm_args args = { .force = false };
	struct sum sum = { 0, 0 };
	struct pmio *pm;

	tool_parse(tool, &argp, &args, argc, argv);
	if (tool_connect(tool, &pm) != TOOL_DONE)
		return TOOL_FAILED;
	if (tool->json)
		files = json_object_new_array();
	each_path(tool, pm, &args.paths, "removed", remove_file, args.force, files, &sum);
	print_results(pm, files);
	pmio_disconnect(&pm);
	return tool_exit_of(sum.nr_done, sum.nr_failed);
}

/* ---- forget ------------------------------------------------------------------------ */

struct forget_args {
	struct tool_args paths;
	bool gone;
};

static error_t parse_forget(int key, char *arg, struct argp_state *state)
{
	struct forget_args *args = state->input;

	switch (key) {
	case 'g':
		args->gone = true;
		return 0;
	case ARGP_KEY_END:
		if (args->gone == (args->paths.nr > 0))
			argp_error(state, "give either paths or --gone");
		return 0;
	default:
		return key == ARGP_KEY_INIT ? 0 : tool_parse_args(key, arg, state);
	}
}

static int forget(struct pmio *pm, const struct pmio_file_stat *st)
{
	uint8_t uuid[16];
	int rc = pmio_forget_entry(pm, &st->entry, st->path);

	if (rc == -EBUSY)
		pmio_err("forget %s: it is open", st->path);
	if (rc < 0)
		return rc == -ESRCH ? 0 : rc;
	pmio_pool_uuid(pm, uuid);
	remote_layout_file_drained(st->path, uuid, NULL, NULL);
	return 0;
}

/* the file itself, if it has pending data; otherwise the file that had its name before */
static int forget_named(struct pmio *pm, const char *arg, bool force, uint64_t *waited)
{
	struct found *f = malloc(sizeof(*f));
	const struct pmio_file_stat *st = NULL;
	int rc = f ? find(pm, arg, f) : -ENOMEM;

	(void)force; /* not needed here */
	if (rc == 0 && f->has_is && (tool_is_pending(&f->is) || !f->has_other))
		st = &f->is;
	else if (rc == 0 && f->has_other)
		st = &f->other;
	if (rc == 0 && !st && pmio_pfs_clear_mark(arg) == 0) { /* of a pool that no longer exists, or is elsewhere */
		free(f);
		return 0;
	}
	if (rc == 0 && !st) {
		pmio_err("%s: not in the pool", arg);
		rc = -ENOENT;
	}
	if (rc == 0) {
		*waited = st->dirty_bytes;
		rc = forget(pm, st);
	}
	free(f);
	return rc;
}

static void forget_gone(const struct tool *tool, struct pmio *pm, struct json_object *files, struct sum *sum)
{
	struct pmio_file_stat *st = malloc(sizeof(*st));
	uint32_t cursor = 0;
	int rc = st ? 0 : tool_failed(-ENOMEM, "forget");

	sum->nr_failed += !st;
	while (st && pmio_stat_next(pm, &cursor, st) == 0) {
		if (st->state != PMIO_STATE_GONE)
			continue;
		rc = forget(pm, st);
		sum->nr_done += rc == 0;
		sum->nr_failed += rc < 0;
		say(tool, files, st->path, "forgotten", rc, st->dirty_bytes);
	}
	free(st);
}

int tool_forget(struct tool *tool, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "gone", 'g', NULL, 0, "All files that were removed on the file system while data of them were held", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_forget,
		.args_doc = "PATH...\n--gone",
		.doc = "discard the pool's data of files, even if not drained; files on the file system are not touched",
	};
	struct json_object *files = NULL;
	struct forget_args args = { .gone = false };
	struct sum sum = { 0, 0 };
	struct pmio *pm;

	tool_parse(tool, &argp, &args, argc, argv);
	if (tool_connect(tool, &pm) != TOOL_DONE)
		return TOOL_FAILED;
	if (tool->json)
		files = json_object_new_array();
	if (args.gone)
		forget_gone(tool, pm, files, &sum);
	each_path(tool, pm, &args.paths, "forgotten", forget_named, false, files, &sum);
	print_results(pm, files);
	pmio_disconnect(&pm);
	return tool_exit_of(sum.nr_done, sum.nr_failed);
}
