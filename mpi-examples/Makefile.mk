# programs that a user would write (mpicc FILE.c does as well); tests/clients/examples.sh runs them
if HAVE_OPENMPI
noinst_PROGRAMS += mpi-examples/hello_pmem mpi-examples/heat2d mpi-examples/overlap_io
endif
mpi_examples_hello_pmem_SOURCES = mpi-examples/hello_pmem.c
mpi_examples_hello_pmem_CPPFLAGS = $(AM_CPPFLAGS) $(OMPI_CPPFLAGS)
mpi_examples_hello_pmem_LDADD = $(OMPI_LIBS)
mpi_examples_heat2d_SOURCES = mpi-examples/heat2d.c
mpi_examples_heat2d_CPPFLAGS = $(AM_CPPFLAGS) $(OMPI_CPPFLAGS)
mpi_examples_heat2d_LDADD = $(OMPI_LIBS)
mpi_examples_overlap_io_SOURCES = mpi-examples/overlap_io.c
mpi_examples_overlap_io_CPPFLAGS = $(AM_CPPFLAGS) $(OMPI_CPPFLAGS)
mpi_examples_overlap_io_LDADD = $(OMPI_LIBS)

if HAVE_HDF5
noinst_PROGRAMS += mpi-examples/hdf5_parallel
mpi_examples_hdf5_parallel_SOURCES = mpi-examples/hdf5_parallel.c
mpi_examples_hdf5_parallel_CPPFLAGS = $(AM_CPPFLAGS) $(HDF5_CFLAGS) $(OMPI_CPPFLAGS)
mpi_examples_hdf5_parallel_LDADD = $(HDF5_LIBS) $(OMPI_LIBS)
endif

# six steps, most of them no MPI programs; scripts/quickstart and tests/redirect/workflow.sh run it
EXTRA_DIST += mpi-examples/workflow/workflow.sh mpi-examples/workflow/analyse.py
