# real clients: what they leave on pmem: is what they leave on ROMIO
client_tests = tests/clients/examples.sh tests/clients/hdf5.sh tests/clients/h5py.sh \
	tests/clients/mpi4py.sh tests/clients/pnetcdf.sh tests/clients/netcdf4.sh tests/clients/apps.sh
TESTS += $(client_tests)
EXTRA_DIST += $(client_tests) tests/clients/compare.sh \
	tests/clients/h5py_client.py tests/clients/mpi4py_client.py
# built by the test itself, where the libraries are
EXTRA_DIST += tests/clients/petsc_client.py tests/clients/lammps_client.in tests/clients/p4est_client.c \
	tests/clients/med_client.c tests/clients/epetraext_client.cc

if HAVE_HDF5
check_PROGRAMS += tests/clients/hdf5_client
tests_clients_hdf5_client_SOURCES = tests/clients/hdf5_client.c tests/mpi/util.h
tests_clients_hdf5_client_CPPFLAGS = $(AM_CPPFLAGS) $(HDF5_CFLAGS) $(OMPI_CPPFLAGS)
tests_clients_hdf5_client_LDADD = $(HDF5_LIBS) $(OMPI_LIBS)
endif

if HAVE_PNETCDF
check_PROGRAMS += tests/clients/pnetcdf_client
tests_clients_pnetcdf_client_SOURCES = tests/clients/pnetcdf_client.c tests/mpi/util.h
tests_clients_pnetcdf_client_CPPFLAGS = $(AM_CPPFLAGS) $(PNETCDF_CFLAGS) $(OMPI_CPPFLAGS)
tests_clients_pnetcdf_client_LDADD = $(PNETCDF_LIBS) $(OMPI_LIBS)
endif

# configure.ac says why its headers need a word of their own
if HAVE_NETCDF
check_PROGRAMS += tests/clients/netcdf4_client
tests_clients_netcdf4_client_SOURCES = tests/clients/netcdf4_client.c tests/mpi/util.h
tests_clients_netcdf4_client_CPPFLAGS = $(AM_CPPFLAGS) -I$(NETCDF_PREFIX)/include $(NETCDF_CFLAGS) $(OMPI_CPPFLAGS)
tests_clients_netcdf4_client_LDADD = $(NETCDF_LIBS) $(OMPI_LIBS)
endif
