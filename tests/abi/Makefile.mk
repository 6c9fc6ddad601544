# programs of the MPI-5.0 ABI, with each MPI that has one; names as in tests/mpi and mpi-examples
abi_tests = tests/abi/atomic.mpi tests/abi/coll.mpi tests/abi/contig.mpi tests/abi/datarep.mpi tests/abi/errors.mpi tests/abi/files.mpi \
	tests/abi/info.mpi tests/abi/modes.mpi tests/abi/nonblock.mpi tests/abi/order.mpi tests/abi/seek.mpi tests/abi/shared.mpi \
	tests/abi/split.mpi tests/abi/status.mpi tests/abi/threads.mpi tests/abi/views.mpi
abi_mpi = $(if $(MPI_ABI_MPICH),$(MPI_ABI_MPICH),$(MPI_ABI_OPENMPI))
# both MPIs have the same soname; one's own libraries are not needed to link
abi_compile = $(AM_V_CC)$(MKDIR_P) tests/abi && $(CC) $(DEFS) $(AM_CPPFLAGS) -I. $(MPI_ABI_CPPFLAGS) $(CPPFLAGS) \
	$(AM_CFLAGS) $(CFLAGS) $(AM_LDFLAGS) $(LDFLAGS) -Wl,--allow-shlib-undefined -o $@ $< $(before_mpi) $(abi_mpi) $(LIBS)

$(abi_tests): tests/abi/%.mpi: $(srcdir)/tests/mpi/%.c $(srcdir)/tests/mpi/util.h
	$(abi_compile)
tests/abi/handles.mpi: $(srcdir)/tests/library/handles.c $(srcdir)/tests/mpi/util.h
	$(abi_compile)
tests/abi/hello_pmem: $(srcdir)/mpi-examples/hello_pmem.c
	$(abi_compile)
tests/abi/linked: before_mpi = -Wl,-rpath,$(abs_builddir)/.libs .libs/libpmio-mpi-abi.so
tests/abi/linked: $(srcdir)/mpi-examples/hello_pmem.c libpmio-mpi-abi.la
	$(abi_compile)

abi_programs = $(abi_tests) tests/abi/handles.mpi tests/abi/hello_pmem tests/abi/linked
CLEANFILES += $(abi_programs)
if HAVE_MPI_ABI_PROGRAMS
check_SCRIPTS += $(abi_programs)
endif
abi_scripts = tests/abi/library-openmpi.sh tests/abi/library-mpich.sh tests/abi/programs-openmpi.sh tests/abi/programs-mpich.sh
TESTS += $(abi_scripts)
EXTRA_DIST += $(abi_scripts)
