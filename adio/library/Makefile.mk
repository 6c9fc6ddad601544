# libpmio-mpi: MPI_File_* over the engine, in front of an MPI that takes no drivers; one build for each family of MPIs.
# It is linked to no MPI: the program's is there when it is first used, also if that came later by dlopen.  So its
# functions are found at their first call (-z lazy), and a program without MPI can be run with it preloaded.
library_sources = $(engine_sources) adio/library/library.h adio/library/dispatch.c adio/library/files.c \
	adio/library/handles.c adio/library/program.c
# That holds for functions only: handles which are variables come by a header of our own (openmpi/mpi.h).
library_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,nodelete -Wl,-z,lazy \
	-export-symbols-regex '^(P?MPI_(File_|Register_datarep)|p?mpir?_register_datarep|P?MPI_REGISTER_DATAREP|pmio_mpi_library$$)'

if HAVE_MPICH
lib_LTLIBRARIES += libpmio-mpi-mpich.la
libpmio_mpi_mpich_la_SOURCES = $(library_sources) adio/library/fortran.c
libpmio_mpi_mpich_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/adio $(MPICH_CPPFLAGS) -DHAVE_LARGE_COUNTS \
	-DLIBRARY_ABI=false -DLIBRARY_FORTRAN -DLIBRARY_FILE='"libpmio-mpi-mpich.so"' -DLIBRARY_FOR='"MPICH and what is made of it"' \
	-DLIBRARY_VERSIONS='"MPICH","Intel(R) MPI","MVAPICH"'
libpmio_mpi_mpich_la_LIBADD = libpmio_remote.la -ldl
libpmio_mpi_mpich_la_LDFLAGS = $(library_LDFLAGS)
endif

if HAVE_OPENMPI_LIBRARY
lib_LTLIBRARIES += libpmio-mpi-openmpi.la
libpmio_mpi_openmpi_la_SOURCES = $(library_sources) adio/library/openmpi/mpi.h
libpmio_mpi_openmpi_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/adio/library/openmpi -I$(srcdir)/adio $(OMPI_CPPFLAGS) $(OMPI_LARGE_COUNTS) \
	-DLIBRARY_ABI=false -DLIBRARY_FILE='"libpmio-mpi-openmpi.so"' -DLIBRARY_FOR='"Open MPI 4.1, 5 and 6"' \
	-DLIBRARY_VERSIONS='"Open MPI v4.1.","Open MPI v5.","Open MPI v6."'
libpmio_mpi_openmpi_la_LIBADD = libpmio_remote.la -ldl
libpmio_mpi_openmpi_la_LDFLAGS = $(library_LDFLAGS)
endif

# programs of the MPI-5.0 ABI, whichever MPI they are run with
if HAVE_MPI_ABI
lib_LTLIBRARIES += libpmio-mpi-abi.la
libpmio_mpi_abi_la_SOURCES = $(library_sources)
libpmio_mpi_abi_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/adio $(MPI_ABI_CPPFLAGS) -DHAVE_LARGE_COUNTS \
	-DLIBRARY_ABI=true -DLIBRARY_FILE='"libpmio-mpi-abi.so"' -DLIBRARY_FOR='"programs of the MPI-5.0 ABI"' -DLIBRARY_VERSIONS='""'
libpmio_mpi_abi_la_LIBADD = libpmio_remote.la -ldl
libpmio_mpi_abi_la_LDFLAGS = $(library_LDFLAGS)
endif
