#!/bin/bash
# Open MPI 4.1.4 (Debian 12, openmpi-bin 4.1.4-3+b1), ompio: MPI_MODE_SEQUENTIAL does not forbid explicit offsets
#
# expected  MPI-3.1, 13.2.1: in a file opened with MPI_MODE_SEQUENTIAL, routines with explicit offsets and individual
#           file pointers are erroneous; Open MPI's other component, romio321, and its own documentation of the class name
#           MPI_ERR_UNSUPPORTED_OPERATION for that
# seen      ompio: MPI_File_write_at() returns MPI_SUCCESS and writes at that offset; romio321: the error
#
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
[ "$(dpkg-query -W -f '${Version}' libopenmpi-dev 2>/dev/null)" = 4.1.4-3+b1 ] ||
	apt-get -q install -y --no-install-recommends libopenmpi-dev=4.1.4-3+b1 openmpi-bin=4.1.4-3+b1 >/dev/null 2>&1 ||
	{ echo "Open MPI 4.1.4-3+b1 cannot be had here"; exit 77; }
cat >"$T/seq.c" <<'END'
#include <mpi.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	MPI_File f;
	int rc, class;

	(void)argc;
	MPI_Init(&argc, &argv);
	rc = MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_CREATE | MPI_MODE_WRONLY | MPI_MODE_SEQUENTIAL, MPI_INFO_NULL, &f);
	if (rc)
		return 2;
	rc = MPI_File_write_at(f, 100, "x", 1, MPI_BYTE, MPI_STATUS_IGNORE);
	MPI_Error_class(rc, &class);
	printf("%s\n", class == MPI_SUCCESS ? "success" : class == MPI_ERR_UNSUPPORTED_OPERATION ? "unsupported" : "other");
	MPI_File_close(&f);
	MPI_Finalize();
	return 0;
}
END
mpicc "$T/seq.c" -o "$T/seq" || exit 77
run() {
	OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --mca io "$1" --mca hwloc_base_binding_policy none \
		-n 1 "$T/seq" "$T/$1" 2>/dev/null
}
seen="$(run ompio) $(stat -c %s "$T/ompio" 2>/dev/null) $(run romio321)"
echo "Open MPI 4.1.4: write_at on a sequential file: ompio, its size, romio321: $seen"
[ "$seen" = "success 101 unsupported" ] || { echo "that was: success 101 unsupported; it has changed"; exit 1; }
