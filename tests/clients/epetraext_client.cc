// epetraext_client.cc -- epetraext_client FILE: Trilinos writes a map and a vector by HDF5, and reads them
#include <mpi.h>
#include <cstdio>
#include <Epetra_Map.h>
#include <Epetra_MpiComm.h>
#include <Epetra_MultiVector.h>
#include <EpetraExt_HDF5.h>

static int work(const char *name)
{
	Epetra_MpiComm comm(MPI_COMM_WORLD);
	Epetra_Map map(1000, 0, comm);
	Epetra_MultiVector out(map, 2), *in = nullptr;
	EpetraExt::HDF5 file(comm);
	bool good = true;

	for (int v = 0; v < 2; v++)
		for (int i = 0; i < map.NumMyElements(); i++)
			out[v][i] = 10000 * v + map.GID(i);
	file.Create(name);
	file.Write("map", map);
	file.Write("vectors", out);
	file.Close();
	file.Open(name);
	good = file.IsContained("map");
	file.Read("vectors", map, in, false);
	for (int v = 0; v < 2; v++)
		for (int i = 0; i < map.NumMyElements(); i++)
			good = good && (*in)[v][i] == 10000 * v + map.GID(i);
	delete in;
	file.Close();
	if (!good)
		std::fprintf(stderr, "epetraext_client: what was read is not what was written\n");
	return !good;
}

int main(int argc, char **argv)
{
	MPI_Init(&argc, &argv);
	int rc = work(argv[1]);
	MPI_Finalize();
	return rc;
}
