/* fake_program.c -- an MPI program that says with what it was run, and ends with status 7; also what pmio would preload */
#include <stdio.h>
#include <stdlib.h>

#ifdef NO_MPI
#define MPI_Init(argc, argv) 0
#else
int MPI_Init(int *argc, char ***argv);
#endif

static void show(const char *name)
{
	const char *value = getenv(name);

	printf("%s=%s\n", name, value ? value : "(none)");
}

int main(int argc, char **argv)
{
	(void)MPI_Init(&argc, &argv);
	for (int i = 0; i < argc; i++)
		printf("%d=%s\n", i, argv[i]);
	show("LD_PRELOAD");
	show("PMIO_POOL");
	show("PMIO_LOG");
	return 7;
}
