# the commands, bad pools, agents and users; a program on the installed library
check_PROGRAMS += tests/cli/fileio
tests_cli_fileio_SOURCES = tests/cli/fileio.c
tests_cli_fileio_LDADD = libpmio.la

check_PROGRAMS += tests/cli/children tests/cli/older
tests_cli_children_SOURCES = tests/cli/children.c
tests_cli_children_LDADD = libpmio.la
tests_cli_older_SOURCES = tests/cli/older.c

cli_tests = tests/cli/commands.sh tests/cli/recover.sh tests/cli/byhand.sh tests/cli/recover_to.sh tests/cli/resize.sh tests/cli/completion.sh tests/cli/stat.sh tests/cli/throttle.sh tests/cli/stage.sh tests/cli/conf.sh tests/cli/pools.sh tests/cli/agents.sh \
	tests/cli/names.sh tests/cli/changed.sh tests/cli/pools2.sh tests/cli/caller.sh \
	tests/cli/crash.sh tests/cli/pfsfull.sh tests/cli/users.sh tests/cli/strangers.sh tests/cli/plain.sh tests/cli/units.sh tests/cli/source.sh \
	tests/cli/inherited.sh tests/cli/mpis.sh tests/cli/stopped.sh tests/cli/memory.sh tests/cli/crowded.sh
TESTS += $(cli_tests)
EXTRA_DIST += $(cli_tests) tests/cli/lib.sh

# MPIs that only say what they are, and programs linked to them, for mpis.sh; without sanitizers, which cannot be in a static program
fake_mpis = tests/cli/mpis/libmpi.so.40 tests/cli/mpis/libmpi.so.12 tests/cli/mpis/libmpich.so.12 tests/cli/mpis/libmpi_abi.so.1 \
	tests/cli/mpis/libmpi.so.99
tests/cli/mpis/libmpi.so.40: says = Open MPI v5.0.7, package: nobody
tests/cli/mpis/libmpi.so.12 tests/cli/mpis/libmpich.so.12 tests/cli/mpis/libmpi_abi.so.1: says = MPICH Version:\t9.8.7\nMPICH Release date:\ttoday
tests/cli/mpis/libmpi.so.99: says = LAM/MPI 7.1
fake_compile = $(AM_V_CC)$(MKDIR_P) tests/cli/mpis && $(CC) $(CFLAGS) $(CPPFLAGS) -Wall -Wextra
$(fake_mpis): $(srcdir)/tests/cli/fake_mpi.c
	$(fake_compile) -fPIC -shared -Wl,-soname,$(@F) '-DSAYS="$(says)"' -o $@ $< -ldl
# found by its runpath, which its own place comes into
fake_programs = tests/cli/mpis/with_40 tests/cli/mpis/with_12 tests/cli/mpis/with_99 tests/cli/mpis/with_abi
tests/cli/mpis/with_40: its_mpi = tests/cli/mpis/libmpi.so.40
tests/cli/mpis/with_12: its_mpi = tests/cli/mpis/libmpi.so.12
tests/cli/mpis/with_99: its_mpi = tests/cli/mpis/libmpi.so.99
tests/cli/mpis/with_abi: its_mpi = tests/cli/mpis/libmpi_abi.so.1
$(fake_programs): $(srcdir)/tests/cli/fake_program.c $(fake_mpis)
	$(fake_compile) -o $@ $< $(its_mpi) -Wl,-rpath,'$$ORIGIN'
tests/cli/mpis/foreign: $(srcdir)/tests/cli/fake_program.c $(srcdir)/tests/cli/fake_mpi.c
	$(fake_compile) '-DSAYS=""' -o $@ $(srcdir)/tests/cli/fake_program.c $(srcdir)/tests/cli/fake_mpi.c -Wl,--dynamic-linker=/no/such/loader -ldl
tests/cli/mpis/own: $(srcdir)/tests/cli/fake_program.c $(srcdir)/tests/cli/fake_mpi.c
	$(fake_compile) '-DSAYS=""' -o $@ $(srcdir)/tests/cli/fake_program.c $(srcdir)/tests/cli/fake_mpi.c -ldl
tests/cli/mpis/static tests/cli/mpis/static-pie: $(srcdir)/tests/cli/fake_program.c
	$(fake_compile) -$(@F) -DNO_MPI -o $@ $<
fake_others = tests/cli/mpis/foreign tests/cli/mpis/own tests/cli/mpis/static tests/cli/mpis/static-pie
check_SCRIPTS += $(fake_mpis) $(fake_programs) $(fake_others)
CLEANFILES += $(fake_mpis) $(fake_programs) $(fake_others)
EXTRA_DIST += tests/cli/fake_mpi.c tests/cli/fake_program.c
