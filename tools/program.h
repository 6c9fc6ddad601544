/*
 * program.h -- properties of a program from its file, without running it
 */
#ifndef PMIO_TOOLS_PROGRAM_H
#define PMIO_TOOLS_PROGRAM_H

#include <stdbool.h>

enum program_kind {
	PROGRAM_OTHER,   /* a script without a "#!" line, or not executable at all */
	PROGRAM_SCRIPT,  /* "#!" */
	PROGRAM_FOREIGN, /* for another loader: of other machines or C libraries */
	PROGRAM_STATIC,
	PROGRAM_LOADER,  /* this system's: it loads the program that its arguments name */
	PROGRAM_DYNAMIC,
};

struct program {
	enum program_kind kind;
	char *interpreter; /* allocated; the script's, or the loader; NULL: none */
	bool has_mpi;	   /* MPI_Init is in the file itself */
	bool is_go;	   /* made by the linker of Go: it makes system calls of its own */
	bool privileged;   /* it would run with other rights: the loader ignores libraries in the environment */
};

/* 0 or -errno; the file is not run */
int program_look(const char *path, struct program *out);
void program_free(struct program *p);

/* the loader that started this process; NULL: it is linked statically */
const char *program_loader(void);

#endif
