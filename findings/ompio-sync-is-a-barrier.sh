#!/bin/bash
# Does MPI_File_sync wait for all ranks?  Open MPI 4.1.4 (ompio and its ROMIO) and MPICH 4.0.2, Debian 12
#
# expected  MPI-4.0, chapter 14: MPI_File_sync is collective, and the pattern sync-barrier-sync has a barrier of its own, so the sync need not wait; the
#           two I/O components of one MPI do the same
# seen      ompio waits in MPI_File_sync until all ranks have called it; romio321 of the same Open MPI, and MPICH, return while another rank has not
#           called it yet.  So a program with write, sync, and a read by another rank, without a barrier, works with Open MPI's default component, and may
#           read old data with --mca io romio321 or MPICH.  MPI_File_set_size waits in all three
#
# Rank 1 comes a second late, and sets a word in shared memory before its call; rank 0 looks at that word after its own call.
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
skip() { echo "$*"; exit 77; }
openmpi=4.1.4-3+b1 mpich=4.0.2-3+b1
have() { [ "$(dpkg-query -W -f '${Version}' "$1" 2>/dev/null)" = "$2" ]; }
{ have libopenmpi-dev $openmpi && have openmpi-bin $openmpi && have libmpich-dev $mpich && have mpich $mpich; } ||
	apt-get -q install -y --no-install-recommends libopenmpi-dev=$openmpi openmpi-bin=$openmpi libmpich-dev=$mpich mpich=$mpich >/dev/null 2>&1 ||
	skip "Open MPI $openmpi and MPICH $mpich cannot be had here"
cat >"$T/late.c" <<'END'
#include <mpi.h>
#include <stdio.h>
#include <unistd.h>

static volatile int *arrived;
static int rank;

/* before the call that is looked at */
static void come_late(int number)
{
	MPI_Barrier(MPI_COMM_WORLD);
	if (rank == 1) {
		sleep(1);
		*arrived = number;
	}
}

static void look(const char *what, int number)
{
	if (rank == 0)
		printf("%s:%s ", what, *arrived == number ? "waits" : "returns");
}

int main(int argc, char **argv)
{
	MPI_File f;
	MPI_Win win;
	MPI_Aint size;
	int unit;
	void *base;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Win_allocate_shared(rank == 0 ? sizeof(int) : 0, sizeof(int), MPI_INFO_NULL, MPI_COMM_WORLD, &base, &win);
	MPI_Win_shared_query(win, 0, &size, &unit, &base);
	arrived = base;
	if (rank == 0)
		*arrived = 0;
	MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &f);
	MPI_File_write_at(f, rank, "x", 1, MPI_BYTE, MPI_STATUS_IGNORE);
	come_late(1);
	MPI_File_sync(f);
	look("sync", 1);
	come_late(2);
	MPI_File_set_size(f, 100);
	look("set_size", 2);
	MPI_Barrier(MPI_COMM_WORLD);
	MPI_File_close(&f);
	MPI_Win_free(&win);
	MPI_Finalize();
	return 0;
}
END
mpicc.openmpi -o "$T/openmpi" "$T/late.c" && mpicc.mpich -o "$T/mpich" "$T/late.c" || skip "the program cannot be built"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
seen=$(
	for io in ompio romio321; do
		echo "$io $(timeout 60 mpirun.openmpi --oversubscribe --mca io $io -n 2 "$T/openmpi" "$T/file" 2>/dev/null)"
	done
	echo "mpich $(timeout 60 mpirun.mpich -n 2 "$T/mpich" "$T/file" 2>/dev/null)"
)
echo "$seen"
[ "$(echo "$seen" | sed 's/ *$//')" = "ompio sync:waits set_size:waits
romio321 sync:returns set_size:waits
mpich sync:returns set_size:waits" ]
