# the programs of tests/mpi once more, compiled for MPICH and run with the library preloaded; by name, as automake leaves out tests that make(1) would
# have to derive from another list
mpich_tests = \
	tests/mpich/atomic.mpi \
	tests/mpich/changed.mpi \
	tests/mpich/coll.mpi \
	tests/mpich/contig.mpi \
	tests/mpich/datarep.mpi \
	tests/mpich/errors.mpi \
	tests/mpich/exchange.mpi \
	tests/mpich/files.mpi \
	tests/mpich/fork.mpi \
	tests/mpich/info.mpi \
	tests/mpich/large.mpi \
	tests/mpich/links.mpi \
	tests/mpich/long.mpi \
	tests/mpich/many.mpi \
	tests/mpich/modes.mpi \
	tests/mpich/names.mpi \
	tests/mpich/nonblock.mpi \
	tests/mpich/order.mpi \
	tests/mpich/perm.mpi \
	tests/mpich/seek.mpi \
	tests/mpich/shared.mpi \
	tests/mpich/size.mpi \
	tests/mpich/split.mpi \
	tests/mpich/status.mpi \
	tests/mpich/sync.mpi \
	tests/mpich/threads.mpi \
	tests/mpich/views.mpi \
	tests/mpich/visible.mpi
# a rule of our own, as automake would need three lines for each; no-stringop-overflow: MPICH's MPI_STATUSES_IGNORE is no array
mpich_compile = $(AM_V_CC)$(MKDIR_P) tests/mpich && $(CC) $(DEFS) $(AM_CPPFLAGS) -I. $(MPICH_CPPFLAGS) $(CPPFLAGS) \
	$(AM_CFLAGS) $(CFLAGS) -Wno-stringop-overflow $(AM_LDFLAGS) $(LDFLAGS) -o $@ $< $(before_mpi) $(MPICH_LIBS) $(LIBS)

mpich_programs = tests/mpich/answers tests/mpich/closefail tests/mpich/copy tests/mpich/jobs tests/mpich/killed tests/mpich/left tests/mpich/locked tests/mpich/nospace tests/mpich/pending
$(mpich_programs): tests/mpich/%: $(srcdir)/tests/mpi/%.c $(srcdir)/tests/mpi/util.h
	$(mpich_compile)

$(mpich_tests): tests/mpich/%.mpi: $(srcdir)/tests/mpi/%.c $(srcdir)/tests/mpi/util.h
	$(mpich_compile)

tests/mpich/handles.mpi: $(srcdir)/tests/library/handles.c $(srcdir)/tests/mpi/util.h
	$(mpich_compile)

tests/mpich/requests: $(srcdir)/tests/mpich/requests.c $(srcdir)/tests/mpi/util.h
	$(mpich_compile)

fuzz_parts = $(addprefix $(srcdir)/tests/mpi/,fuzz_file.c fuzz_access.c fuzz_type.c fuzz_type_random.c)
tests/mpich/fuzz_run: $(srcdir)/tests/mpi/fuzz.c $(fuzz_parts) $(addprefix $(srcdir)/tests/mpi/,fuzz.h fuzz_type.h fuzz_type_impl.h util.h)
	$(mpich_compile) $(fuzz_parts)

# examples; linked: to the library, before the MPI, and so not preloaded
tests/mpich/hello_pmem: $(srcdir)/mpi-examples/hello_pmem.c
	$(mpich_compile)
tests/mpich/linked: before_mpi = -Wl,-rpath,$(abs_builddir)/.libs .libs/libpmio-mpi-mpich.so
tests/mpich/linked: $(srcdir)/mpi-examples/hello_pmem.c libpmio-mpi-mpich.la
	$(mpich_compile)
tests/mpich/hdf5_parallel: $(srcdir)/mpi-examples/hdf5_parallel.c
	$(AM_V_CC)$(MKDIR_P) tests/mpich && $(CC) $(HDF5_MPICH_CFLAGS) $(MPICH_CPPFLAGS) $(CFLAGS) -o $@ $< $(HDF5_MPICH_LIBS) $(MPICH_LIBS)

# what lets 4 ranks wait on two processors
tests/mpich/yield.so: $(srcdir)/tests/mpich/yield.c
	$(AM_V_CC)$(MKDIR_P) tests/mpich && $(CC) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) -fPIC -shared $(LDFLAGS) -o $@ $< -ldl

CLEANFILES += tests/mpich/yield.so tests/mpich/requests tests/mpich/hello_pmem tests/mpich/linked tests/mpich/hdf5_parallel $(mpich_tests) $(mpich_programs) tests/mpich/handles.mpi tests/mpich/fuzz_run
if HAVE_MPICH
check_SCRIPTS += $(mpich_tests) $(mpich_programs) tests/mpich/handles.mpi tests/mpich/fuzz_run
check_SCRIPTS += tests/mpich/hello_pmem tests/mpich/linked tests/mpich/yield.so tests/mpich/requests
TESTS += $(mpich_tests)
endif
if HAVE_HDF5_MPICH
check_SCRIPTS += tests/mpich/hdf5_parallel
endif
# fuzz.sh is for the hand: its model lays out types as Open MPI does, and MPICH gives some other extents
TESTS += tests/mpich/library.sh tests/mpich/together.sh tests/mpich/scripts.sh tests/mpich/tree.sh
EXTRA_DIST += tests/mpich/tree.sh tests/mpich/tree-build.sh tests/mpich/library.sh tests/mpich/together.sh tests/mpich/fuzz.sh tests/mpich/scripts.sh tests/mpich/requests.c tests/mpich/yield.c

# the driver in MPICH's own ROMIO: MPICH_SOURCE, a source tree of it; see tree-build.sh
check-mpich-tree: all
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(srcdir)/tests/mpich/tree-build.sh
.PHONY: check-mpich-tree
