/*
 * mpis.c -- the MPIs that pmio has adapters for, and which of them a program uses
 *
 * The loader decides which libraries a program gets: by rpath, runpath, LD_LIBRARY_PATH, its cache, and the dependencies of
 * the libraries.  So this system's loader is asked, which only maps the files (LD_TRACE_LOADED_OBJECTS, as ldd does); a
 * program that names another loader is not run with that one to find out.
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/text.h"
#include "mpis.h"
#include "program.h"

/* from this version of Open MPI on, its mpirun hides added components from the ranks */
#define HIDES_COMPONENTS 5

void mpi_use_free(struct mpi_use *use)
{
	free(use->file);
	free(use->version);
	free(use->component);
	free(use->library);
	free(use->why);
	memset(use, 0, sizeof(*use));
}

static void say_why(struct mpi_use *use, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say_why(struct mpi_use *use, const char *fmt, ...)
{
	va_list ap;

	free(use->why);
	va_start(ap, fmt);
	if (vasprintf(&use->why, fmt, ap) < 0)
		use->why = NULL;
	va_end(ap);
}

/* ---- the part of pmio that serves an MPI ------------------------------------------------------------------------ */

const char *mpi_library_dir(void)
{
	const char *dir = secure_getenv("PMIO_LIBDIR");

	return dir && *dir ? dir : PMIO_LIBDIR;
}

static void find_library(struct mpi_use *use)
{
	char *path;

	if (asprintf(&path, "%s/%s", mpi_library_dir(), use->family->library) < 0)
		return;
	use->library = access(path, R_OK) == 0 ? path : NULL;
	if (!use->library)
		free(path);
}

static bool hides_components(const struct mpi_use *use)
{
	const char *v = use->version ? strstr(use->version, " v") : NULL;

	return use->family->component && v && atoi(v + 2) >= HIDES_COMPONENTS;
}

static const char *shut_out(void)
{
	const char *list = secure_getenv("OMPI_MCA_io");

	return list && *list && pmio_leaves_out(list, "pmem") ? list : NULL;
}

static void say_missing(struct mpi_use *use)
{
	const char *list = use->family->component ? shut_out() : NULL;

	if (list)
		say_why(use, "OMPI_MCA_io=%s excludes %s, and %s is not in %s", list, use->family->component, use->family->library, mpi_library_dir());
	else if (use->family->component)
		say_why(use, "it has no component %s where it looks%s, and %s is not in %s", use->family->component,
			hides_components(use) ? " (mpirun of Open MPI 5 and later hides those that were added to it)" : "",
			use->family->library, mpi_library_dir());
	else
		say_why(use, "%s is not in %s", use->family->library, mpi_library_dir());
}

/* a library that the program already has is considered first */
static void choose(struct mpi_use *use)
{
	if (use->why)
		return;
	if (!use->family) {
		say_why(use, "pmio has no adapter for this MPI");
		return;
	}
	find_library(use);
	if (use->loaded || (use->library && (!use->component || hides_components(use))))
		use->by = MPI_BY_LIBRARY;
	else if (use->component)
		use->by = MPI_BY_COMPONENT;
	else
		say_missing(use);
	if (use->by == MPI_BY_COMPONENT && hides_components(use))
		say_why(use, "its mpirun hides components from the ranks; use mpirun --mca mca_base_component_path DIR");
}

static void ask_family(const struct mpi_family *family, struct mpi_use *out)
{
	for (const char *const *s = family->sonames; *s && !out->version; s++) {
		free(out->why);
		out->why = NULL;
		mpi_ask(*s, out);
	}
	if (!out->version)
		say_why(out, "no such MPI is installed (%s)", family->sonames[0]);
	else if (out->family != family)
		say_why(out, "%s belongs to another MPI", family->sonames[0]);
}

void mpi_of_family(const struct mpi_family *family, struct mpi_use *out)
{
	memset(out, 0, sizeof(*out));
	ask_family(family, out);
	choose(out);
}

/* ---- what a program is linked to ----------------------------------------------------------------- */

struct linked {
	unsigned rank;	   /* of the MPI's library below, in the order of the families; smaller is better */
	char *name, *file; /* allocated; file NULL: not found */
	const struct mpi_family *ours; /* the family of a pmio library that is loaded */
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static unsigned rank_of(const char *soname)
{
	unsigned rank = 0;

	for (const struct mpi_family *f = mpi_families; f->name; f++, rank++) {
		for (const char *const *s = f->sonames; *s; s++) {
			if (strcmp(*s, soname) == 0)
				return rank;
		}
	}
	return rank;
}

static void take_mpi(struct linked *l, const char *name, const char *file)
{
	unsigned rank = rank_of(name);

	if (l->name && rank >= l->rank)
		return;
	free(l->name);
	free(l->file);
	l->rank = rank;
	l->name = strdup(name);
	l->file = file ? strdup(file) : NULL;
}

/* "	NAME => FILE (0x...)", "	NAME => not found", or "	FILE (0x...)" for a preloaded library */
static void take_line(void *arg, char *line)
{
	struct linked *l = arg;
	char *name = line + strspn(line, " \t"), *arrow = strstr(name, " => "), *file = arrow ? arrow + 4 : name, *end = strstr(file, " (0x");
	const char *base;

	if (arrow)
		*arrow = '\0';
	if (end)
		*end = '\0';
	base = base_name(name);
	for (const struct mpi_family *f = mpi_families; f->name; f++) {
		if (end && strcmp(base, f->library) == 0)
			l->ours = f;
	}
	if (strncmp(base, "libmpi", 6) == 0)
		take_mpi(l, base, end ? file : NULL);
}

static void list_libraries(const char *path, struct linked *out)
{
	/* the loader takes $ORIGIN from this path, while the kernel resolves all links */
	char *real = realpath(path, NULL);
	/* --list would stop at a missing library */
	const struct mpi_command loader = { { program_loader(), real, NULL }, "LD_TRACE_LOADED_OBJECTS=1" };

	memset(out, 0, sizeof(*out));
	if (real)
		(void)mpi_read_lines(&loader, take_line, out);
	free(real);
}

static void check_loaded(const struct linked *l, struct mpi_use *out)
{
	if (!l->ours || !out->family)
		return;
	out->loaded = l->ours == out->family;
	if (!out->loaded)
		say_why(out, "%s, which is for %s, is already linked to it or preloaded, and is inactive there; no second library is added",
			l->ours->library, l->ours->name);
}

static void of_linked(const char *path, const struct program *p, const struct linked *l, const struct mpi_family *wanted, struct mpi_use *out)
{
	if (!l->name && p->has_mpi) /* with another MPI beside it, these are the program's own wrappers */
		say_why(out, "%s contains its MPI: no library can be loaded before that; link it to the MPI's shared library", path);
	else if (!l->name && !wanted)
		say_why(out, "%s is linked to no MPI; if it loads one at run time, give --mpi=FAMILY", path);
	else if (!l->name)
		ask_family(wanted, out);
	else if (!l->file)
		say_why(out, "%s is linked to %s, which is not found", path, l->name);
	else
		mpi_ask(l->file, out);
	out->linked = l->name && out->version;
	if (!out->why && out->linked && wanted && out->family != wanted)
		say_why(out, "%s is linked to %s, not to an MPI of the family %s", path, out->version, wanted->name);
	if (!out->why)
		check_loaded(l, out);
}

/* can a library be preloaded into it?  false: why is set */
static bool is_reachable(const char *path, const struct program *p, struct mpi_use *out)
{
	if (p->kind == PROGRAM_STATIC)
		say_why(out, "%s is linked statically: no library can be loaded before its MPI; link it to the MPI's shared library", path);
	else if (p->kind == PROGRAM_FOREIGN)
		say_why(out, "%s uses the loader %s, not this system's", path, p->interpreter);
	else if (p->privileged)
		say_why(out, "%s runs with the rights of another user or group: nothing can be preloaded into it", path);
	else
		return true;
	return false;
}

static void of_script(const char *path, const struct program *p, const struct mpi_family *wanted, struct mpi_use *out)
{
	if (wanted)
		ask_family(wanted, out);
	else if (p->interpreter)
		say_why(out, "%s is a script (%s); give the MPI that its programs use: --mpi=FAMILY", path, p->interpreter);
	else
		say_why(out, "%s is not an executable; if it is a script, give the MPI that its programs use: --mpi=FAMILY", path);
}

static void of_binary(const char *path, const struct program *p, const struct mpi_family *wanted, struct mpi_use *out)
{
	struct linked l;

	list_libraries(path, &l);
	of_linked(path, p, &l, wanted, out);
	free(l.name);
	free(l.file);
}

void mpi_of_program(const char *path, const struct mpi_family *wanted, struct mpi_use *out)
{
	struct program p;
	int rc = program_look(path, &p);

	memset(out, 0, sizeof(*out));
	if (rc < 0)
		say_why(out, "%s: %s", path, strerror(-rc));
	else if (is_reachable(path, &p, out)) {
		if (p.kind == PROGRAM_DYNAMIC)
			of_binary(path, &p, wanted, out);
		else
			of_script(path, &p, wanted, out);
		choose(out);
	}
	program_free(&p);
}

/* ---- programs by name -------------------------------------------------------------------------------- */

static bool is_executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	if (S_ISREG(st.st_mode))
		return access(path, X_OK) == 0;
	errno = S_ISDIR(st.st_mode) ? EISDIR : EACCES;
	return false;
}

/* an empty entry in the list is the working folder */
static char *find_in_path(const char *path, const char *name)
{
	for (const char *dir = path;; dir++) {
		size_t n = strcspn(dir, ":");
		char *full;

		if (asprintf(&full, "%.*s%s/%s", (int)n, dir, n ? "" : ".", name) < 0)
			return NULL;
		if (is_executable(full))
			return full;
		free(full);
		dir += n;
		if (!*dir)
			break;
	}
	errno = ENOENT;
	return NULL;
}

char *mpi_find_program(const char *name)
{
	const char *path = getenv("PATH");

	if (!strchr(name, '/'))
		return find_in_path(path ? path : "/usr/bin:/bin", name);
	return is_executable(name) ? strdup(name) : NULL;
}
