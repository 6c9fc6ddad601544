#!/bin/bash
# Open MPI 6.0.0rc2 (Debian forky, openmpi-bin 6.0.0~rc2-2), libmpi_abi.so.1: the contents of a subarray have the native value of its order
#
# expected  MPI-5.0, 5.1.13: MPI_Type_get_contents() gives back the arguments of the call that made the type; in the
#           standard ABI (20.4) MPI_ORDER_C and MPI_ORDER_FORTRAN are 12 and 15, and so it is with MPICH 5.0.2
# seen      of a type that MPI_Type_create_subarray() has made with MPI_ORDER_FORTRAN the order comes back as 1, which is that of Open MPI's own
#           mpi.h: a program of the ABI that compares it with MPI_ORDER_FORTRAN takes each subarray for another one
#
# Makes a root of Debian forky by debootstrap in a temporary folder (root, some minutes).
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
openmpi=6.0.0~rc2-2 mpich=5.0.2-2
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
		OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 sh -c 'mount -t proc proc /proc && mount -t tmpfs tmpfs /dev/shm && eval "$1"' sh "$1"
}
inside "apt-get -q update && apt-get -q install -y gcc libc6-dev libopenmpi-dev=$openmpi openmpi-bin=$openmpi libmpich12=$mpich" >"$T/log" 2>&1 ||
	skip "Open MPI $openmpi and MPICH $mpich cannot be had"
cat >"$T/forky/srv/order.c" <<'END'
#include <mpi.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	int whole[] = { 4, 6 }, part[] = { 2, 3 }, start[] = { 1, 2 }, numbers[8], nr[3], combiner;
	MPI_Datatype type, of[1];
	MPI_Aint addresses[1];

	MPI_Init(&argc, &argv);
	MPI_Type_create_subarray(2, whole, part, start, MPI_ORDER_FORTRAN, MPI_INT, &type);
	MPI_Type_get_envelope(type, &nr[0], &nr[1], &nr[2], &combiner);
	MPI_Type_get_contents(type, nr[0], nr[1], nr[2], numbers, addresses, of);
	printf("order %d\n", numbers[7]);
	MPI_Finalize();
	return 0;
}
END
lib=/usr/lib/x86_64-linux-gnu
inside "gcc -I$lib/openmpi/include/standard_abi /srv/order.c -o /srv/order $lib/libmpi_abi_openmpi.so.1.0.0" || skip "the program cannot be compiled"
order_of() { # WHICH: the library that both MPIs call libmpi_abi.so.1
	inside "mkdir /srv/$1 && ln -s $lib/libmpi_abi_$1.so.1.0.0 /srv/$1/libmpi_abi.so.1 && LD_LIBRARY_PATH=/srv/$1 timeout 60 /srv/order 2>/dev/null" | sed -n "s/^order //p"
}
seen="$(order_of openmpi) $(order_of mpich)"
echo "MPI_ORDER_FORTRAN (15) of a subarray, as Open MPI $openmpi and MPICH $mpich give it back: $seen"
[ "$seen" = "1 15" ] || { echo "that was: 1 15; it has changed"; exit 1; }
