#!/bin/bash
# MPICH 4.2.1 (Debian 13, mpich 4.3.0+really4.2.1-1), Hydra: mpiexec ends with 0 after an error handler has ended all ranks
#
# expected  when MPI_ERRORS_ARE_FATAL, or MPI_Abort() on a communicator that is not MPI_COMM_WORLD, ends the ranks of a job, mpiexec's exit
#           status is not 0, as after MPI_Abort(MPI_COMM_WORLD, code), whose code it returns, and as with MPICH 4.0.2 (Debian 12)
# seen      where all ranks do it at about the same time, as after a collective call that failed, it is 0 in a good third of the jobs, though each
#           rank has said "Abort(36)": `mpiexec ... && next` goes on
#
# Makes a root of Debian 13 by debootstrap in a temporary folder (root, some minutes).
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
mpich=4.3.0+really4.2.1-1 times=40
T=$(mktemp -d /var/tmp/finding.XXXXXX) || exit 77
trap 'rm -rf --one-file-system "$T"' EXIT
skip() { echo "$*"; exit 77; }
[ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null || skip "needs root and debootstrap"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 2>/dev/null | head -n 1)
script=/usr/share/debootstrap/scripts/trixie
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
mkdir "$T/trixie"
debootstrap --variant=minbase trixie "$T/trixie" "${mirror:-http://deb.debian.org/debian}" "$script" >"$T/log" 2>&1 || skip "no root: $(tail -n 1 "$T/log")"
{ apt-config dump Acquire::http Acquire::https | grep -i proxy; echo 'Acquire::Check-Valid-Until "false"; APT::Install-Recommends "false";'; } >"$T/trixie/etc/apt/apt.conf.d/90finding"
cat /etc/resolv.conf >"$T/trixie/etc/resolv.conf"
cat /etc/hosts >"$T/trixie/etc/hosts"
inside() {
	unshare --mount --pid --fork --kill-child chroot "$T/trixie" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv DEBIAN_FRONTEND=noninteractive \
		sh -c 'mount -t proc proc /proc && mount -t tmpfs tmpfs /dev/shm && eval "$1"' sh "$1"
}
inside "apt-get -q update && apt-get -q install -y gcc libc6-dev mpich=$mpich libmpich-dev=$mpich" >"$T/log" 2>&1 || skip "MPICH $mpich cannot be had"
cat >"$T/trixie/srv/fatal.c" <<'END'
#include <mpi.h>

int main(int argc, char **argv)
{
	MPI_Init(&argc, &argv);
	MPI_Barrier(MPI_COMM_WORLD);
	if (argc > 1)
		MPI_Abort(MPI_COMM_WORLD, 36);
	MPI_Comm_call_errhandler(MPI_COMM_WORLD, MPI_ERR_NO_SPACE); /* MPI_ERRORS_ARE_FATAL is the default */
	return 0;
}
END
inside "mpicc.mpich /srv/fatal.c -o /srv/fatal" >"$T/log" 2>&1 || skip "the program cannot be compiled"
# of so many jobs those that end with 0, though all ranks have said that they abort
zeros() {
	inside "for i in \$(seq $times); do timeout 60 mpiexec.mpich -n 2 /srv/fatal $1 >/srv/out 2>&1; echo \$? \$(grep -c ^Abort /srv/out); done" | grep -c '^0 2$'
}
fatal=$(zeros "") abort=$(zeros abort)
echo "exit status 0 of $times jobs: $fatal after an error handler, $abort after MPI_Abort(MPI_COMM_WORLD)"
[ "$fatal" -gt 0 ] && [ "$abort" = 0 ] || { echo "that was: some, and none; it has changed"; exit 1; }
