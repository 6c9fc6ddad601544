#!/bin/bash
# MPICH 5.0.2 (Debian 14, mpich 5.0.2-2): error codes of file calls
#
# expected  a collective MPI_File_open() that fails, as of a file that is there with MPI_MODE_EXCL, returns an error of the same class on all
#           ranks; a call that fails returns its error code when the file's error handler has returned (MPI-4.1, 9.3)
# seen      MPI_File_open() returns rank 0's code on the other ranks, where it means nothing: MPI_Error_class() says "INTERNAL ERROR: invalid
#           error code" and MPI_ERR_OTHER.  With an error handler of the program, MPI_File_read_at() and MPI_File_iread_at() at -1 call it
#           and return MPI_SUCCESS.  Neither is so with 4.2.1 (Debian 13)
#
# Makes a root of Debian 14 by debootstrap in a temporary folder (root, some minutes).
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
mpich=5.0.2-2
T=$(mktemp -d /var/tmp/finding.XXXXXX) || exit 77
trap 'rm -rf --one-file-system "$T"' EXIT
skip() { echo "$*"; exit 77; }
[ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null || skip "needs root and debootstrap"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 2>/dev/null | head -n 1)
script=/usr/share/debootstrap/scripts/forky
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
mkdir "$T/forky"
debootstrap --variant=minbase forky "$T/forky" "${mirror:-http://deb.debian.org/debian}" "$script" >"$T/log" 2>&1 || skip "no root: $(tail -n 1 "$T/log")"
{ apt-config dump Acquire::http Acquire::https | grep -i proxy; echo 'Acquire::Check-Valid-Until "false"; APT::Install-Recommends "false";'; } >"$T/forky/etc/apt/apt.conf.d/90finding"
cat /etc/resolv.conf >"$T/forky/etc/resolv.conf"
cat /etc/hosts >"$T/forky/etc/hosts"
inside() {
	unshare --mount --pid --fork --kill-child chroot "$T/forky" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv DEBIAN_FRONTEND=noninteractive \
		sh -c 'mount -t proc proc /proc && mount -t tmpfs tmpfs /dev/shm && eval "$1"' sh "$1"
}
inside "apt-get -q update && apt-get -q install -y gcc libc6-dev mpich=$mpich libmpich-dev=$mpich" >"$T/log" 2>&1 || skip "MPICH $mpich cannot be had"
cat >"$T/forky/srv/codes.c" <<'END'
#include <mpi.h>
#include <stdio.h>

static int called;

static void handler(MPI_File *file, int *code, ...)
{
	(void)file, (void)code;
	called++;
}

int main(int argc, char **argv)
{
	MPI_Errhandler mine;
	MPI_Request request;
	MPI_File file;
	int rank, rc, class, byte = 0;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	rc = MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_CREATE | MPI_MODE_EXCL | MPI_MODE_RDWR, MPI_INFO_NULL, &file);
	if (rc == MPI_SUCCESS)
		MPI_File_close(&file);
	rc = MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_CREATE | MPI_MODE_EXCL | MPI_MODE_RDWR, MPI_INFO_NULL, &file);
	MPI_Error_class(rc, &class);
	printf("rank %d: exists %d\n", rank, class == MPI_ERR_FILE_EXISTS);
	MPI_File_open(MPI_COMM_SELF, argv[1], MPI_MODE_RDONLY, MPI_INFO_NULL, &file);
	MPI_File_create_errhandler(handler, &mine);
	MPI_File_set_errhandler(file, mine);
	rc = MPI_File_iread_at(file, -1, &byte, 1, MPI_BYTE, &request);
	printf("rank %d: nonblocking %d %d\n", rank, rc != MPI_SUCCESS, called);
	called = 0;
	rc = MPI_File_read_at(file, -1, &byte, 1, MPI_BYTE, MPI_STATUS_IGNORE);
	printf("rank %d: blocking %d %d\n", rank, rc != MPI_SUCCESS, called);
	MPI_File_close(&file);
	MPI_Finalize();
	return 0;
}
END
inside "mpicc.mpich /srv/codes.c -o /srv/codes" >"$T/log" 2>&1 || skip "the program cannot be compiled"
inside "cd /srv && timeout 60 mpiexec.mpich -n 2 ./codes /srv/file 2>&1" | grep '^rank' | sort | tee "$T/out"
diff - "$T/out" >/dev/null <<'END' || { echo "that was otherwise; it has changed"; exit 1; }
rank 0: blocking 0 1
rank 0: exists 1
rank 0: nonblocking 0 1
rank 1: blocking 0 1
rank 1: exists 0
rank 1: nonblocking 0 1
END
