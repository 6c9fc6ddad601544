/*
 * families.c -- the families of MPIs that pmio has adapters for
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include "mpis.h"

const struct mpi_family mpi_families[] = {
	{ "abi", { "libmpi_abi.so.1" }, { "MPICH", "Open MPI" }, "libpmio-mpi-abi.so", NULL },
	{ "mpich", { "libmpich.so.12", "libmpi.so.12" }, { "MPICH", "Intel(R) MPI", "MVAPICH" }, "libpmio-mpi-mpich.so", NULL },
	{ "openmpi", { "libmpi.so.40" }, { "Open MPI" }, "libpmio-mpi-openmpi.so", "mca_io_pmem.so" },
	{ NULL, { NULL }, { NULL }, NULL, NULL },
};

const struct mpi_family *mpi_family_named(const char *name)
{
	for (const struct mpi_family *f = mpi_families; f->name; f++) {
		if (strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

static bool is_listed(const char *const *list, const char *word)
{
	for (; *list; list++) {
		if (strcmp(*list, word) == 0)
			return true;
	}
	return false;
}

static bool has_word(const char *const *list, const char *text)
{
	for (; *list; list++) {
		if (strstr(text, *list))
			return true;
	}
	return false;
}

/*
 * two families have a library of the standard ABI, with their own version texts; only its name distinguishes it from
 * their other library
 */
const struct mpi_family *mpi_family_of(const char *soname, const char *version)
{
	const struct mpi_family *by_words = NULL;

	for (const struct mpi_family *f = mpi_families; f->name; f++) {
		bool named = is_listed(f->sonames, soname), says = has_word(f->words, version);

		if (named && says)
			return f;
		if (says)
			by_words = f; /* Intel's and Cray's libraries have other names */
	}
	return by_words;
}
