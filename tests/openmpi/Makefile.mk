# the library for Open MPI, preloaded into the programs of tests/mpi
if HAVE_OPENMPI_LIBRARY
check_PROGRAMS += tests/openmpi/handles.mpi tests/openmpi/linked
endif
tests_openmpi_handles_mpi_SOURCES = tests/library/handles.c tests/mpi/util.h
tests_openmpi_handles_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_openmpi_handles_mpi_LDADD = $(OMPI_LIBS)
# to the library, before the MPI, and so not preloaded
tests_openmpi_linked_SOURCES = mpi-examples/hello_pmem.c
tests_openmpi_linked_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_openmpi_linked_DEPENDENCIES = libpmio-mpi-openmpi.la
tests_openmpi_linked_LDFLAGS = $(AM_LDFLAGS) -Wl,-rpath,$(abs_builddir)/.libs
tests_openmpi_linked_LDADD = .libs/libpmio-mpi-openmpi.so $(OMPI_LIBS)

TESTS += tests/openmpi/library.sh tests/openmpi/programs.sh
EXTRA_DIST += tests/openmpi/library.sh tests/openmpi/programs.sh tests/openmpi/scripts.sh tests/openmpi/together.sh

# what takes longer: all programs, on 1 to 4 ranks and compared with what Open MPI's own leave, and the scripts of tests/mpi
check-library:
	PMIO_TEST_LIMIT=3600 PMIO_TEST_PROGRAMS=all $(MAKE) $(AM_MAKEFLAGS) check \
		TESTS="tests/openmpi/library.sh tests/openmpi/programs.sh tests/openmpi/scripts.sh tests/openmpi/together.sh"
.PHONY: check-library
