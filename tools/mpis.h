/*
 * mpis.h -- which MPIs there are, and by what pmio serves each
 */
#ifndef PMIO_TOOLS_MPIS_H
#define PMIO_TOOLS_MPIS_H

#include <stdbool.h>

/* a family of MPIs, whose programs run with one binary of ours */
struct mpi_family {
	const char *name;	 /* as in --mpi=NAME */
	const char *sonames[3];	 /* of its library, where no program says it; ends with NULL */
	const char *words[4];	 /* one of them is in what MPI_Get_library_version() says; ends with NULL */
	const char *library;	 /* comes before the MPI */
	const char *component;	 /* the MPI loads it by itself; NULL: it takes none */
};

/* families.c.  Ends with name NULL.  The first whose soname a program is linked to is the one that its calls go to */
extern const struct mpi_family mpi_families[];

/* NULL: there is none */
const struct mpi_family *mpi_family_named(const char *name);
/* which family says such a thing of itself; soname: that of its library */
const struct mpi_family *mpi_family_of(const char *soname, const char *version);

enum mpi_by { MPI_BY_NOTHING, MPI_BY_COMPONENT, MPI_BY_LIBRARY };

/* an MPI, and what serves it; all strings are allocated, or NULL */
struct mpi_use {
	const struct mpi_family *family; /* NULL: none, or none that is known */
	bool linked;	 /* a program was asked about, and is linked to it */
	char *file;	 /* its library */
	char *version;	 /* what it says of itself, in a line */
	char *component; /* of ours, which it has loaded: a component, or what a driver in it stands on */
	char *library;	 /* of ours, installed */
	bool loaded;	 /* the program has the library already: linked, or preloaded */
	enum mpi_by by;
	char *why;	 /* by nothing: the reason; else a remark, or NULL */
};

/*
 * mpi_of_program -- what a program needs
 *
 * path    an executable file
 * wanted  the family that it will load when it runs, where it is linked to none; NULL: not said
 *
 * Nothing of the program is run; its MPI is loaded by a process of its own and asked what it is.
 */
void mpi_of_program(const char *path, const struct mpi_family *wanted, struct mpi_use *out);
/* the same, for the MPI of that family that the loader finds */
void mpi_of_family(const struct mpi_family *family, struct mpi_use *out);
void mpi_use_free(struct mpi_use *use);

/* as a shell would find it; allocated, or NULL with errno set */
char *mpi_find_program(const char *name);

/* ---- ask.c: other processes ------------------------------------------------------------------ */

typedef void mpi_line_fn(void *arg, char *line);
struct mpi_command {
	const char *argv[3];	 /* a path and arguments; ends with NULL */
	const char *environment; /* "NAME=VALUE" beside what there is; NULL: nothing */
};
/* each line that a command prints, without its end; standard error is dropped.  Its exit status, or -errno */
int mpi_read_lines(const struct mpi_command *command, mpi_line_fn *line, void *arg);

/* a library of an MPI, by path or by soname: fills file, version, family and component; or why */
void mpi_ask(const char *name, struct mpi_use *out);

#endif
