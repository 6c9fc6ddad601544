/*
 * hints.c -- hints FILE [KEY=VALUE...]: opens the file with these hints, writes to
 * it, prints what MPI_File_get_info says of pmio, opens it a second time
 */
#include "util.h"

static void show(MPI_File fh)
{
	char key[MPI_MAX_INFO_KEY + 1], value[MPI_MAX_INFO_VAL + 1];
	MPI_Info info;
	int nr, flag;

	mpi(MPI_File_get_info(fh, &info));
	MPI_Info_get_nkeys(info, &nr);
	for (int i = 0; i < nr; i++) {
		MPI_Info_get_nthkey(info, i, key);
		MPI_Info_get(info, key, MPI_MAX_INFO_VAL, value, &flag);
		printf("%s=%s\n", key, value);
	}
	fflush(stdout);
	MPI_Info_free(&info);
}

int main(int argc, char **argv)
{
	MPI_File fh;
	MPI_Info info;
	char c = 'x';

	test_init(&argc, &argv);
	MPI_Info_create(&info);
	for (int i = 2; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		check(value, "%s is not KEY=VALUE", argv[i]);
		*value++ = '\0';
		MPI_Info_set(info, argv[i], value);
	}
	for (int i = 0; i < 2; i++) {
		mpi(MPI_File_open(MPI_COMM_WORLD, base, RDWR_NEW, info, &fh));
		mpi(MPI_File_write_at_all(fh, me, &c, 1, MPI_BYTE, MPI_STATUS_IGNORE));
		if (me == 0 && i == 0)
			show(fh);
		mpi(MPI_File_close(&fh));
	}
	MPI_Info_free(&info);
	return test_end();
}
