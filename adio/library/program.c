/*
 * program.c -- the MPI of the program that this library is loaded into: which one it is, whether it can be served,
 * and its functions
 *
 * No mpi.h here: it may be of another family than the one that the library was compiled for.
 */
#include "config.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "engine/launcher.h"
#include "library.h"

#define EXPORT __attribute__((visibility("default")))

static library_fn *next_calls[2][LIBRARY_NR_CALLS]; /* [1]: the names with PMPI_ */
static bool usable;
static const char *before; /* a library of pmio in front of this one that serves the program; NULL: none */
static const char *serving; /* this one, or the first of those behind it that serve the program; NULL: none */
static void *mpi; /* the MPI, if it is not in the global scope; NULL: it is */
bool library_is_openmpi;
static pthread_once_t once = PTHREAD_ONCE_INIT;

const char *const library_names[LIBRARY_NR_CALLS] = {
#define X(name, ...) "MPI_File_" #name,
	X(open) X(close) X(delete) LIBRARY_TRANSFERS(X) LIBRARY_ENDS(X) LIBRARY_OTHERS(X)
#undef X
#ifdef HAVE_LARGE_COUNTS
#define X(name, ...) "MPI_File_" #name "_c",
	LIBRARY_TRANSFERS(X) LIBRARY_OTHERS_C(X)
#undef X
#endif
};

void *library_symbol(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	return !p && mpi ? dlsym(mpi, name) : p;
}

void *library_function(const char *name)
{
	void *p = library_symbol(name);

	if (p)
		return p;
	pmio_err("%s: this program's MPI has no such function", name);
	abort();
}

void *library_variable(const char *name)
{
	void *p = dlsym(RTLD_DEFAULT, name);

	p = !p && mpi ? dlsym(mpi, name) : p;
	if (p)
		return p;
	pmio_err("%s: this program's MPI has no such variable", name);
	abort();
}

/* a program may load its MPI later, into a local scope (Python): then make that global, to use it from here */
static void find_mpi(void)
{
	static const char *const sonames[] = { "libmpi_abi.so.1", "libmpi.so.40", "libmpich.so.12", "libmpi.so.12", NULL };

	for (const char *const *s = sonames; *s && !dlsym(RTLD_NEXT, "MPI_Init") && !mpi; s++)
		mpi = dlopen(*s, RTLD_LAZY | RTLD_NOLOAD | RTLD_GLOBAL);
}

/* does the program use the MPI-5.0 ABI?  An MPI has a separate library for that, with other types of handles */
static bool is_abi(void *symbol)
{
	const char *slash;
	Dl_info info;

	if (!symbol || !dladdr(symbol, &info))
		return false;
	slash = strrchr(info.dli_fname, '/');
	return strncmp(slash ? slash + 1 : info.dli_fname, "libmpi_abi", strlen("libmpi_abi")) == 0;
}

static bool is_family(const char *version)
{
	static const char *const words[] = { LIBRARY_VERSIONS, NULL };

	for (const char *const *w = words; *w; w++) {
		if (strstr(version, *w))
			return true;
	}
	return false;
}

/* of the libraries of pmio behind this one, the first that serves this program; NULL: none */
static const char *next_library(const char *so_far)
{
	void *p = dlsym(RTLD_NEXT, "pmio_mpi_library");
	const char *(*ask)(const char *);

	memcpy(&ask, &p, sizeof(ask));
	return ask ? ask(so_far) : NULL;
}

/* has the MPI that call?  Not one of pmio's libraries before it, which may have been built for an MPI with other calls */
static bool mpi_has(void *mpi_function, const char *name)
{
	void *object = NULL;
	Dl_info info;
	bool has;

	if (dladdr(mpi_function, &info))
		object = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
	has = (object ? dlsym(object, name) : library_symbol(name)) != NULL;
	if (object)
		dlclose(object);
	return has;
}

/*
 * has the MPI all calls that are passed on?  Calls unknown here act on the shadow, and a call that the MPI does not
 * have would end the program
 */
static bool has_our_calls(void *mpi_function)
{
#ifdef HAVE_LARGE_COUNTS
	return mpi_has(mpi_function, "MPI_File_read_at_c");
#else
	return !mpi_has(mpi_function, "MPI_File_read_at_c");
#endif
}

/* can this program be served?  why: the reason if not, for the log */
static bool check_mpi(char *why, size_t size)
{
	static char version[16384]; /* no MPI needs more */
	int (*ask)(char *, int *), len = 0;
	void *p = library_symbol("PMPI_Get_library_version");
	bool abi = is_abi(p);

	memcpy(&ask, &p, sizeof(ask));
	if (ask)
		ask(version, &len);
	version[strcspn(version, "\n,")] = '\0';
	for (char *tab = version; (tab = strchr(tab, '\t')) != NULL; tab++) /* MPICH's */
		*tab = ' ';
	library_is_openmpi = strncmp(version, "Open MPI", strlen("Open MPI")) == 0;
	if (abi != LIBRARY_ABI || !is_family(version))
		snprintf(why, size, "is for %s, but this program's MPI is \"%.200s\"%s", LIBRARY_FOR, *version ? version : "unknown",
			 abi ? " (MPI-5.0 ABI)" : "");
	else if (!has_our_calls(p))
		snprintf(why, size, "was built for another version of this program's MPI, \"%.200s\": only one of them has calls "
			 "with large counts", version);
	else
		return true;
	return false;
}

static bool check_program(void)
{
	char why[512];
	bool fits = check_mpi(why, sizeof(why));
	const char *next = next_library(fits ? LIBRARY_FILE : before);

	serving = fits ? LIBRARY_FILE : next;
	if (!engine_is_first_process())
		return fits;
	if (fits && next)
		pmio_warn("%s and %s are both loaded, for the same MPI: the first one is used", LIBRARY_FILE, next);
	if (!fits && !next && !before)
		pmio_err("%s %s: the library is inactive, and names that begin with \"pmem:\" are not handled", LIBRARY_FILE, why);
	return fits;
}

static void start(void)
{
	find_mpi();
	usable = check_program();
	for (int i = 0; i < LIBRARY_NR_CALLS; i++) {
		char name[64];
		void *p = library_symbol(library_names[i]), *q;

		snprintf(name, sizeof(name), "P%s", library_names[i]);
		q = library_symbol(name);
		p = p ? p : q;
		q = q ? q : p; /* the ABI's library of MPICH 5 has no PMPI_File_close */
		memcpy(&next_calls[0][i], &p, sizeof(p));
		memcpy(&next_calls[1][i], &q, sizeof(q));
	}
}

bool library_serves(void)
{
	pthread_once(&once, start);
	return usable;
}

library_fn *library_next(bool profiled, enum library_call call)
{
	return next_calls[profiled][call];
}

/*
 * for the one in front of this: the name of the library, this one or one behind it, that serves the program, or NULL;
 * so_far: one in front that does, or NULL.  The program's first call comes to the first of them, so all are asked in turn
 */
EXPORT const char *pmio_mpi_library(const char *so_far);
const char *pmio_mpi_library(const char *so_far)
{
	if (so_far)
		before = so_far;
	library_serves();
	return serving;
}
