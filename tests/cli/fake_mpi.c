/*
 * fake_mpi.c -- as much of an MPI as `pmio mpi-info` looks at: it says SAYS of itself, and with COMPONENT in the
 * environment loads that, as Open MPI does its components
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

int MPI_Init(int *argc, char ***argv);
int MPI_Get_library_version(char *version, int *len);
int MPI_T_init_thread(int required, int *provided);

int MPI_Init(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

int MPI_Get_library_version(char *version, int *len)
{
	strcpy(version, SAYS);
	*len = (int)strlen(version);
	return 0;
}

int MPI_T_init_thread(int required, int *provided)
{
	const char *component = getenv("COMPONENT");

	*provided = required;
	return component && !dlopen(component, RTLD_NOW);
}
