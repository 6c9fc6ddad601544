/*
 * mpis.h -- the installed MPIs, and how pmio serves each
 */
#ifndef PMIO_TOOLS_MPIS_H
#define PMIO_TOOLS_MPIS_H

#include <stdbool.h>

/* a family of MPIs, for whose programs one binary of pmio works */
struct mpi_family {
	const char *name;	 /* as in --mpi=NAME */
	const char *sonames[3];	 /* of its library, if no program tells it; ends with NULL */
	const char *words[4];	 /* MPI_Get_library_version()'s text has one of them; ends with NULL */
	const char *library;	 /* to be preloaded before the MPI */
	const char *component;	 /* the MPI loads it by itself; NULL: it has no loadable components */
};

/* families.c.  Ends with name NULL.  A program's calls go to the first whose soname it is linked to */
extern const struct mpi_family mpi_families[];

/* NULL: there is none */
const struct mpi_family *mpi_family_named(const char *name);
/* the family with such a version text; soname: that of its library */
const struct mpi_family *mpi_family_of(const char *soname, const char *version);

enum mpi_by { MPI_BY_NOTHING, MPI_BY_COMPONENT, MPI_BY_LIBRARY };

/* an MPI, and the part of pmio that serves it; all strings are allocated, or NULL */
struct mpi_use {
	const struct mpi_family *family; /* NULL: none, or an unknown one */
	bool linked;	 /* the query was about a program, which is linked to it */
	char *file;	 /* its library */
	char *version;	 /* its version text, in one line */
	char *component; /* of pmio, loaded by the MPI: a component, or the library that a built-in driver uses */
	char *library;	 /* of pmio, installed */
	bool loaded;	 /* the program has the library already: linked, or preloaded */
	enum mpi_by by;
	char *why;	 /* the reason if pmio cannot serve it; otherwise a remark, or NULL */
};

/*
 * mpi_of_program -- the MPI that a program needs
 *
 * path    an executable file
 * wanted  the family that it will load when it runs, if it is linked to none; NULL: not given
 *
 * The program is not run; its MPI is loaded by a separate process and asked for its version.
 */
void mpi_of_program(const char *path, const struct mpi_family *wanted, struct mpi_use *out);
/* the same, for the MPI of that family that the loader finds */
void mpi_of_family(const struct mpi_family *family, struct mpi_use *out);
void mpi_use_free(struct mpi_use *use);

/* search for it like a shell; allocated, or NULL with errno set */
char *mpi_find_program(const char *name);
/* where libraries that are to be preloaded are installed ($PMIO_LIBDIR for tests) */
const char *mpi_library_dir(void);

/* ---- mpi_query.c: other processes ------------------------------------------------------------------ */

typedef void mpi_line_fn(void *arg, char *line);
struct mpi_command {
	const char *argv[3];	 /* a path and arguments; ends with NULL */
	const char *environment; /* "NAME=VALUE", an addition to the environment; NULL: nothing */
};
/*
 * calls line() for each line that a command prints, without its newline; standard error is dropped.  Returns its exit
 * status, or -errno
 */
int mpi_read_lines(const struct mpi_command *command, mpi_line_fn *line, void *arg);

/* look at an MPI's library, by path or by soname: fills file, version, family and component; or why */
void mpi_ask(const char *name, struct mpi_use *out);

#endif
