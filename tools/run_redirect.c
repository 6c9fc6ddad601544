/*
 * run_redirect.c -- pmio run --paths: the files of any program in the pool
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/path.h"
#include "mpis.h"
#include "program.h"
#include "run.h"

#define LIBRARY "libpmio-redirect.so"
#define SCRIPTS_MAX 4

/* ---- the patterns ------------------------------------------------------------------------- */

/*
 * Files are known by the names that the kernel has for them: so a pattern is made absolute, and its folders, up to the
 * first with a wildcard, are without symbolic links.
 */
static char *resolve_one(const char *pattern)
{
	char absolute[PATH_MAX], *slash, *real, *out;
	size_t fixed;

	if (strncmp(pattern, "pmem:", 5) == 0)
		pattern += 5;
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

static char *resolve(const char *patterns)
{
	char *copy = strdup(patterns), *all = NULL, *saved;

	for (char *p = copy ? strtok_r(copy, ":", &saved) : NULL; p; p = strtok_r(NULL, ":", &saved)) {
		char *one = strcmp(p, "pmem") == 0 ? NULL : resolve_one(p), *more;

		if (!one)
			continue;
		if (asprintf(&more, "%s%s%s", all ? all : "", all ? ":" : "", one) < 0)
			more = NULL;
		free(one);
		free(all);
		all = more;
	}
	free(copy);
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
	case PROGRAM_FOREIGN:
		return "it is for another C library, or another machine";
	default:
		return NULL;
	}
}

/* of a script the interpreter counts */
static void warn_of(const char *path)
{
	char *current = strdup(path);

	for (int i = 0; i < SCRIPTS_MAX && current; i++) {
		struct program p;
		const char *why;
		char *next = NULL;

		if (program_look(current, &p) < 0)
			break;
		why = why_not(&p);
		if (why)
			pmio_warn("run: %s: %s, so its files cannot be redirected, and it sees the plain ones; `pmio mount` shows the "
				  "files in the pool to such programs", current, why);
		else if (p.kind == PROGRAM_SCRIPT && p.interpreter)
			next = strdup(p.interpreter);
		program_free(&p);
		free(current);
		current = next;
	}
	free(current);
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
	char *all = resolve(patterns);
	int rc;

	if (!all) {
		pmio_err("run: --paths=%s: there is no pattern in it", TOOL_PLAIN(patterns));
		return TOOL_RUN_FAILED;
	}
	pmio_info("run: files are redirected whose names match %s", all);
	rc = setenv("PMIO_REDIRECT_PATHS", all, 1);
	free(all);
	return rc == 0 ? TOOL_DONE : TOOL_RUN_FAILED;
}

static int make_check_file(struct run_paths *r)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(r->check_file, sizeof(r->check_file), "%s/pmio-run.XXXXXX", dir && *dir == '/' ? dir : "/tmp");
	fd = mkstemp(r->check_file);
	if (fd < 0) {
		pmio_err("run: --check: %s: %s", r->check_file, strerror(errno));
		*r->check_file = '\0';
		return TOOL_RUN_FAILED;
	}
	close(fd);
	return setenv("PMIO_REDIRECT_CHECK", r->check_file, 1) == 0 ? TOOL_DONE : TOOL_RUN_FAILED;
}

/* the agent is started here, outside of what watches or limits the program */
static int have_agent(const struct tool *tool, struct run_paths *r)
{
	struct pmio *pm;

	if (tool_start(tool, &pm) != TOOL_DONE)
		return TOOL_RUN_FAILED;
	if (r->report && pmio_stat_sums(pm, &r->before) == 0)
		r->pm = pm;
	else
		pmio_disconnect(&pm);
	return TOOL_DONE;
}

/* AddressSanitizer's library asks to be the first in a process; it need not be, as all that it wraps leads to ours */
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
	if (set_patterns(r->patterns) != TOOL_DONE || preload_library() != TOOL_DONE || allow_sanitizer() != TOOL_DONE || have_agent(tool, r) != TOOL_DONE)
		return TOOL_RUN_FAILED;
	warn_of(path);
	return r->check ? make_check_file(r) : TOOL_DONE;
}

/* ---- after -------------------------------------------------------------------------------------------- */

struct check_line {
	char what;
	char *pid, *program, *name, *why;
};

/* "+\tPID\tPROGRAM\tNAME\tWHY\n" */
static bool take_apart(char *line, struct check_line *out)
{
	char *p = line;

	out->what = *strsep(&p, "\t");
	out->pid = strsep(&p, "\t");
	out->program = strsep(&p, "\t");
	out->name = strsep(&p, "\t");
	out->why = strsep(&p, "\n");
	return out->why && out->name;
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
	while (f && getline(&line, &size, f) > 0) {
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
	fprintf(stderr, "check: %zu redirected, %zu went past the pool\n", redirected, past);
	for (size_t i = 0; i < nr; i++)
		free(lines[i]);
	free(lines);
	free(last);
}

/* counts begin again with another agent */
static uint64_t since(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}

static void tell_waiting(struct pmio *pm)
{
	struct pmio_file_stat *st = malloc(sizeof(*st));
	uint64_t nr = 0, bytes = 0, failed = 0;
	uint32_t cursor = 0;

	while (st && pmio_stat_next(pm, &cursor, st) == 0) {
		if (!tool_waits(st))
			continue;
		nr++;
		bytes += st->dirty_bytes;
		failed += st->error != 0;
	}
	free(st);
	if (nr)
		fprintf(stderr, "report: %llu files with %s wait in the pool%s: `pmio ls` lists them, `pmio drain` writes them to the file system\n",
			(unsigned long long)nr, TOOL_SIZE(bytes), failed ? ", some as their drain failed" : "");
	else
		fprintf(stderr, "report: all is on the file system\n");
}

static void tell_report(struct run_paths *r)
{
	struct pmio_pool_stat now;
	const struct pmio_counts_df *a = &r->before.counts, *b = &now.counts;
	uint64_t past_read, past_written;

	if (pmio_stat_sums(r->pm, &now) < 0)
		return;
	past_read = since(a->pfs_read, b->pfs_read);
	past_written = since(a->pfs_written, b->pfs_written);
	fprintf(stderr, "report: programs wrote %s to PMEM, and read %s from it\n", TOOL_SIZE(since(a->written, b->written) - past_written),
		TOOL_SIZE(since(a->read, b->read) - past_read));
	fprintf(stderr, "report: %s were written to the file system, and %s read from it\n",
		TOOL_SIZE(since(r->before.drained_bytes, now.drained_bytes) + past_written),
		TOOL_SIZE(since(r->before.filled_bytes, now.filled_bytes) + past_read));
	tell_waiting(r->pm);
}

void run_redirect_tell(struct run_paths *r)
{
	if (*r->check_file) {
		tell_check(r->check_file);
		unlink(r->check_file);
	}
	if (r->pm)
		tell_report(r);
	pmio_disconnect(&r->pm);
}
