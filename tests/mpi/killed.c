/*
 * killed.c -- killed FILE: every rank writes 8 blocks of 100,000 bytes, then rank 1
 * dies by SIGKILL in the middle of its next write; killed.sh looks what is left
 */
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 100000
#define LARGE (16 << 20)

static void *kill_soon(void *arg)
{
	usleep(1000);
	kill(getpid(), SIGKILL);
	return arg;
}

int main(int argc, char **argv)
{
	static char buf[BLOCK];
	int rank, nr;
	MPI_File f;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &nr);
	if (argc != 2 || MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_CREATE | MPI_MODE_RDWR,
				       MPI_INFO_NULL, &f) != MPI_SUCCESS)
		MPI_Abort(MPI_COMM_WORLD, 2);
	memset(buf, 'a' + rank, sizeof(buf));
	for (int i = 0; i < 8; i++) {
		if (MPI_File_write_at(f, (MPI_Offset)(i * nr + rank) * BLOCK, buf, BLOCK, MPI_BYTE,
				      MPI_STATUS_IGNORE) != MPI_SUCCESS)
			MPI_Abort(MPI_COMM_WORLD, 3);
	}
	MPI_Barrier(MPI_COMM_WORLD); /* all that killed.sh expects has returned */
	if (rank == 1) {
		char *large = calloc(1, LARGE);
		pthread_t t;

		pthread_create(&t, NULL, kill_soon, NULL);
		for (MPI_Offset off = 64 << 20;; off += LARGE / 2)
			MPI_File_write_at(f, off, large, LARGE, MPI_BYTE, MPI_STATUS_IGNORE);
	}
	MPI_File_close(&f); /* never returns: mpirun ends the job */
	MPI_Finalize();
	return 0;
}
