/*
 * run_redirect.c -- pmio run --paths: the files of any program in the pool
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/path.h"
#include "core/pattern.h"
#include "mpis.h"
#include "program.h"
#include "redirect/pool_ops.h"
#include "run.h"

#define LIBRARY "libpmio-redirect.so"
#define SCRIPTS_MAX 4

/* ---- the patterns ------------------------------------------------------------------------- */

/*
 * Files are identified by the names that the kernel has for them: so a pattern is made absolute, and symbolic links in its
 * folders, up to the first with a wildcard, are resolved.
 */
static char *resolve_one(const char *pattern)
{
	char from_home[PATH_MAX], absolute[PATH_MAX], *slash, *real, *out;
	const char *home = getenv("HOME");
	size_t fixed;

	if (strncmp(pattern, "pmem:", 5) == 0)
		pattern += 5;
	if (strncmp(pattern, "~/", 2) == 0 && home) { /* patterns are quoted, so the shell leaves it */
		if ((size_t)snprintf(from_home, sizeof(from_home), "%s%s", home, pattern + 1) >= sizeof(from_home))
			return NULL;
		pattern = from_home;
	}
	if (pmio_absolute(pattern, absolute, sizeof(absolute)) < 0)
		return NULL;
	fixed = strcspn(absolute, "*?[\\");
	for (slash = absolute + fixed; *slash != '/'; slash--)
		;
	*slash = '\0';
	real = realpath(slash == absolute ? "/" : absolute, NULL);
	if (asprintf(&out, "%s/%s", real ? (strcmp(real, "/") == 0 ? "" : real) : absolute, slash + 1) < 0)
		out = NULL;
	free(real);
	return out;
}

static bool is_in(const char *all, const char *one)
{
	size_t len = strlen(one);

	for (const char *p = all; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
		if (strncmp(p, one, len) == 0 && (p[len] == ':' || p[len] == '\0'))
			return true;
	}
	return false;
}

/*
 * before: the patterns of a pmio run around this one, or NULL; its files stay redirected, as they may have pending data
 */
static char *resolve(const char *patterns, const char *before)
{
	char *copy = strdup(patterns), *all = NULL, *saved;
	bool found = false;

	if (before && *before)
		all = strdup(before);
	for (char *p = copy ? strtok_r(copy, ":", &saved) : NULL; p; p = strtok_r(NULL, ":", &saved)) {
		char *one = strcmp(p, "pmem") == 0 ? NULL : resolve_one(p), *more;

		found |= one != NULL;
		if (!one || is_in(all, one)) {
			free(one);
			continue;
		}
		if (asprintf(&more, "%s%s%s", all ? all : "", all ? ":" : "", one) < 0)
			more = NULL;
		free(one);
		free(all);
		all = more;
	}
	free(copy);
	if (!found) {
		free(all);
		all = NULL;
	}
	return all;
}

/* ---- the program ------------------------------------------------------------------------------- */

static const char *why_not(const struct program *p)
{
	if (p->privileged)
		return "it runs with the rights of another user or group";
	switch (p->kind) {
	case PROGRAM_STATIC:
		return "it is linked statically";
	case PROGRAM_LOADER:
		return NULL;
	case PROGRAM_FOREIGN:
		return "it is for another C library, or another machine";
	default:
		return p->is_go ? "it is a Go program, and makes system calls of its own" : NULL;
	}
}

/* ---- before ----------------------------------------------------------------------------------------- */

static int preload_library(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", mpi_library_dir(), LIBRARY);
	if (access(path, R_OK) < 0) {
		pmio_err("run: %s: %s", path, strerror(errno));
		return TOOL_RUN_FAILED;
	}
	return run_preload(path);
}

static int set_patterns(const char *patterns)
{
	char *all = resolve(patterns, getenv("PMIO_REDIRECT_PATHS"));
	int rc;

	if (!all) {
		pmio_err("run: --paths=%s: it contains no pattern", TOOL_PLAIN(patterns));
		return TOOL_RUN_FAILED;
	}
	pmio_info("run: redirecting files whose names match %s", all);
	rc = setenv("PMIO_REDIRECT_PATHS", all, 1);
	free(all);
	return rc == 0 ? TOOL_DONE : TOOL_RUN_FAILED;
}

/* a file that processes of the program use, which know it by that variable; size: bytes, zeros */
static int make_file(char file[PATH_MAX], const char *variable, off_t size)
{
	const char *dir = getenv("TMPDIR");
	int fd, rc;

	snprintf(file, PATH_MAX, "%s/pmio-run.XXXXXX", dir && *dir == '/' ? dir : "/tmp");
	fd = mkstemp(file);
	if (fd < 0) {
		pmio_err("run: %s: %s", file, strerror(errno));
		*file = '\0';
		return TOOL_RUN_FAILED;
	}
	rc = posix_fallocate(fd, 0, size ? size : 1); /* if there was no room for it later, a store would end a process */
	if (rc == 0 && ftruncate(fd, size) < 0)
		rc = errno;
	close(fd);
	if (rc == 0 && setenv(variable, file, 1) < 0)
		rc = errno;
	if (rc) {
		pmio_err("run: %s: %s", file, strerror(rc));
		unlink(file);
		*file = '\0';
	}
	return rc == 0 ? TOOL_DONE : TOOL_RUN_FAILED;
}

static int make_files(struct run_paths *r)
{
	int status = TOOL_DONE;

	if (r->report)
		status = make_file(r->times_file, "PMIO_REDIRECT_TIMES", sizeof(struct redirect_times));
	if (r->check && status == TOOL_DONE)
		status = make_file(r->check_file, "PMIO_REDIRECT_CHECK", 0);
	if (status != TOOL_DONE && *r->times_file)
		unlink(r->times_file);
	return status;
}

static bool is_selected(const char *name)
{
	return pmio_pattern_selects(getenv("PMIO_REDIRECT_PATHS"), name);
}

/* drain the program, as the kernel reads it */
static void settle_program(struct pmio *pm, const char *path)
{
	char name[PATH_MAX];
	struct pmio_id_stat st;
	int fd;

	if (!realpath(path, name) || !is_selected(name))
		return;
	fd = open(name, O_PATH | O_CLOEXEC);
	if (fd >= 0 && pmio_stat_id(pm, fd, &st) == 0 && (st.pending || st.nr_handles))
		pmio_drain_entry(pm, &st.entry, name, 0); /* errors have been logged */
	if (fd >= 0)
		close(fd);
}

/* for a script the interpreter is decisive.  true: the program will use the plain files */
static bool prepare(struct pmio *pm, const char *path)
{
	char *current = strdup(path);
	bool is_past = false;

	for (int i = 0; i <= SCRIPTS_MAX && current; i++) {
		struct program p;
		const char *why;
		char *next = NULL;

		settle_program(pm, current);
		if (program_look(current, &p) < 0)
			break;
		why = why_not(&p);
		is_past |= why || p.kind == PROGRAM_LOADER; /* the loader reads the program itself */
		if (why)
			pmio_warn("run: %s: %s, so it uses the plain files; for such programs there is `pmio mount`", current, why);
		else if (p.kind == PROGRAM_SCRIPT && p.interpreter)
			next = strdup(p.interpreter);
		program_free(&p);
		free(current);
		current = next;
	}
	free(current);
	return is_past;
}

/*
 * start the agent here, outside of anything that traces or limits the program; drain pending data for a program that is
 * not redirected
 */
static int have_agent(const struct tool *tool, const char *path, struct run_paths *r)
{
	struct pmio *pm;

	if (tool_start(tool, &pm) != TOOL_DONE)
		return TOOL_RUN_FAILED;
	if (prepare(pm, path))
		pmio_settle_matching(pm, is_selected); /* what cannot be drained has been logged */
	if (r->report && pmio_stat_sums(pm, &r->before) == 0)
		r->pm = pm;
	else
		pmio_disconnect(&pm);
	return TOOL_DONE;
}

/*
 * AddressSanitizer's library checks that it is the first in a process; it need not be, as all functions that it wraps
 * call ours
 */
static int allow_sanitizer(void)
{
	const char *before = getenv("ASAN_OPTIONS");
	char *all;
	int rc;

	if (asprintf(&all, "%s%sverify_asan_link_order=0", before ? before : "", before && *before ? ":" : "") < 0)
		return TOOL_RUN_FAILED;
	rc = setenv("ASAN_OPTIONS", all, 1);
	free(all);
	return rc == 0 ? TOOL_DONE : TOOL_RUN_FAILED;
}

int run_redirect(const struct tool *tool, const char *path, struct run_paths *r)
{
	if (set_patterns(r->patterns) != TOOL_DONE || preload_library() != TOOL_DONE || allow_sanitizer() != TOOL_DONE || have_agent(tool, path, r) != TOOL_DONE)
		return TOOL_RUN_FAILED;
	return make_files(r);
}

/* ---- after -------------------------------------------------------------------------------------------- */

struct check_line {
	char what;
	char *pid, *program, *name, *why;
};

/* "+\tPID\tPROGRAM\tWHY\tNAME", and a zero byte */
static bool take_apart(char *line, struct check_line *out)
{
	char *p = line;

	out->what = *strsep(&p, "\t");
	out->pid = strsep(&p, "\t");
	out->program = strsep(&p, "\t");
	out->why = strsep(&p, "\t");
	out->name = p;
	return out->name;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **read_lines(const char *file, size_t *nr)
{
	FILE *f = fopen(file, "re");
	char **lines = NULL, *line = NULL;
	size_t size = 0, room = 0;

	*nr = 0;
	while (f && getdelim(&line, &size, '\0', f) > 0) {
		if (*nr == room) {
			char **more = reallocarray(lines, room = room ? 2 * room : 64, sizeof(*lines));

			if (!more)
				break;
			lines = more;
		}
		lines[*nr] = strdup(line);
		if (!lines[(*nr)++])
			break;
	}
	free(line);
	if (f)
		fclose(f);
	return lines;
}

/* each process's files once */
static void tell_check(const char *file)
{
	size_t nr, redirected = 0, past = 0;
	char **lines = read_lines(file, &nr);
	char *last = NULL;
	struct stat st;

	qsort(lines, nr, sizeof(*lines), by_text);
	for (size_t i = 0; i < nr && lines[i]; i++) {
		struct check_line l;

		if (last && strcmp(last, lines[i]) == 0)
			continue;
		free(last);
		last = strdup(lines[i]);
		if (!take_apart(lines[i], &l))
			continue;
		redirected += l.what == '+';
		past += l.what == '-';
		fprintf(stderr, "check: %-10s %8s %-16s ", l.what == '+' ? "redirected" : "past", l.pid, l.program);
		tool_fprint_path(stderr, l.name);
		fprintf(stderr, "%s%s\n", *l.why ? ": " : "", l.why);
	}
	if (stat(file, &st) == 0 && (st.st_mode & S_ISVTX))
		fprintf(stderr, "check: the list is incomplete: no space, or a limit on the size of files\n");
	fprintf(stderr, "check: %zu redirected, %zu bypassed the pool\n", redirected, past);
	for (size_t i = 0; i < nr; i++)
		free(lines[i]);
	free(lines);
	free(last);
}

void run_redirect_tell(struct run_paths *r)
{
	if (*r->check_file) {
		tell_check(r->check_file);
		unlink(r->check_file);
	}
	if (r->pm)
		run_report_tell(r->pm, &r->before, r->times_file);
	if (*r->times_file)
		unlink(r->times_file);
	pmio_disconnect(&r->pm);
}
