/*
 * program.h -- what a program's file says of it, before it is run
 */
#ifndef PMIO_TOOLS_PROGRAM_H
#define PMIO_TOOLS_PROGRAM_H

#include <stdbool.h>

enum program_kind {
	PROGRAM_OTHER,   /* a script without a first line of its own, or nothing that can be run */
	PROGRAM_SCRIPT,  /* "#!" */
	PROGRAM_FOREIGN, /* for another loader: other machines, other C libraries */
	PROGRAM_STATIC,
	PROGRAM_DYNAMIC,
};

struct program {
	enum program_kind kind;
	char *interpreter; /* allocated; the script's, or the loader; NULL: none */
	bool has_mpi;	   /* MPI_Init is in the file itself */
	bool privileged;   /* it would run with other rights: the loader takes no library from the environment */
};

/* 0 or -errno; nothing of the file is run */
int program_look(const char *path, struct program *out);
void program_free(struct program *p);

/* the loader that this process was started by; NULL: it is linked statically */
const char *program_loader(void);

#endif
