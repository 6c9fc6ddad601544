/*
 * med_client.c -- med_client FILE: MED makes a file with a mesh, opens it again to add a second one,
 * then to read both.  MED looks by POSIX whether the file is there, and makes it anew if it seems not to be
 */
#include <med.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 100

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "med_client: %s\n", what);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

static void add_mesh(med_idt file, const char *name, double from)
{
	char axes[2 * MED_SNAME_SIZE + 1], units[2 * MED_SNAME_SIZE + 1];
	double at[2 * NODES];

	memset(axes, ' ', sizeof(axes) - 1);
	memset(units, ' ', sizeof(units) - 1);
	axes[sizeof(axes) - 1] = units[sizeof(units) - 1] = '\0';
	axes[0] = 'x';
	axes[MED_SNAME_SIZE] = 'y';
	for (int i = 0; i < 2 * NODES; i++)
		at[i] = from + i;
	check(MEDmeshCr(file, name, 2, 2, MED_UNSTRUCTURED_MESH, "a mesh", "", MED_SORT_DTIT, MED_CARTESIAN, axes, units) >= 0,
	      "MEDmeshCr");
	check(MEDmeshNodeCoordinateWr(file, name, MED_NO_DT, MED_NO_IT, 0, MED_FULL_INTERLACE, NODES, at) >= 0,
	      "MEDmeshNodeCoordinateWr");
}

static med_idt open_file(const char *name, med_access_mode mode, const char *what)
{
	med_idt file = MEDparFileOpen(name, mode, MPI_COMM_WORLD, MPI_INFO_NULL);

	check(file >= 0, what);
	return file;
}

int main(int argc, char **argv)
{
	double at[2 * NODES];
	med_idt file;

	MPI_Init(&argc, &argv);
	check(argc == 2, "usage: med_client FILE");
	file = open_file(argv[1], MED_ACC_CREAT, "the file cannot be made");
	add_mesh(file, "first", 1000);
	check(MEDfileClose(file) >= 0, "MEDfileClose");
	file = open_file(argv[1], MED_ACC_RDWR, "the file cannot be opened to be changed");
	check(MEDnMesh(file) == 1, "the mesh is not there when the file is opened to be changed");
	add_mesh(file, "second", 2000);
	check(MEDfileClose(file) >= 0, "MEDfileClose");
	file = open_file(argv[1], MED_ACC_RDONLY, "the file cannot be opened to be read");
	check(MEDnMesh(file) == 2, "there are not two meshes");
	check(MEDmeshNodeCoordinateRd(file, "first", MED_NO_DT, MED_NO_IT, MED_FULL_INTERLACE, at) >= 0 && at[7] == 1007,
	      "the first mesh");
	check(MEDmeshNodeCoordinateRd(file, "second", MED_NO_DT, MED_NO_IT, MED_FULL_INTERLACE, at) >= 0 && at[7] == 2007,
	      "the second mesh");
	check(MEDfileClose(file) >= 0, "MEDfileClose");
	MPI_Finalize();
	return 0;
}
