# all tests print TAP; programs without an extension are cmocka's, .mpi ones run below mpirun
TEST_EXTENSIONS = .sh .mpi
tap_driver = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
limit = $(SHELL) $(top_srcdir)/tests/limit.sh
LOG_DRIVER = $(tap_driver)
SH_LOG_DRIVER = $(tap_driver)
LOG_COMPILER = $(limit)
SH_LOG_COMPILER = $(limit) $(SHELL)
MPI_LOG_DRIVER = $(tap_driver)
MPI_LOG_COMPILER = $(limit) $(SHELL) $(top_srcdir)/tests/mpi/run.sh

# the shell tests change folder, so the two are absolute
AM_TESTS_ENVIRONMENT = \
	top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' \
	CMOCKA_MESSAGE_OUTPUT=TAP OMPI_PKGLIBDIR='$(OMPI_PKGLIBDIR)' MPIRUN='$(MPIRUN)' \
	OPENMPI_ADAPTER='$(OPENMPI_ADAPTER)' MPIRUN_OPENMPI='$(MPIRUN)' MPIRUN_MPICH='$(MPIRUN_MPICH)'; \
	export OPENMPI_ADAPTER top_srcdir top_builddir CMOCKA_MESSAGE_OUTPUT OMPI_PKGLIBDIR MPIRUN MPIRUN_OPENMPI MPIRUN_MPICH;

EXTRA_DIST += tests/env.sh tests/tap.sh tests/limit.sh

include $(srcdir)/tests/unit/Makefile.mk
include $(srcdir)/tests/crash/Makefile.mk
include $(srcdir)/tests/fuzz/Makefile.mk
# the longest scripts are there: they begin early, so that they do not run alone at the end
include $(srcdir)/tests/redirect/Makefile.mk
include $(srcdir)/tests/mount/Makefile.mk
include $(srcdir)/tests/cli/Makefile.mk
include $(srcdir)/tests/mpi/Makefile.mk
include $(srcdir)/tests/library/Makefile.mk
include $(srcdir)/tests/mpich/Makefile.mk
include $(srcdir)/tests/openmpi/Makefile.mk
include $(srcdir)/tests/abi/Makefile.mk
include $(srcdir)/tests/fuse/Makefile.mk
include $(srcdir)/tests/heap/Makefile.mk
include $(srcdir)/tests/kill/Makefile.mk
include $(srcdir)/tests/cluster/Makefile.mk
include $(srcdir)/tests/load/Makefile.mk
include $(srcdir)/tests/slurm/Makefile.mk
include $(srcdir)/tests/vm/Makefile.mk
include $(srcdir)/tests/distro/Makefile.mk
include $(srcdir)/tests/clients/Makefile.mk
include $(srcdir)/tests/sanitize/Makefile.mk
include $(srcdir)/tests/tsan/Makefile.mk
include $(srcdir)/tests/valgrind/Makefile.mk

# what takes too long for `make check`: 10,000 random programs on 1 to 4 ranks, part of them in a pool too small;
# 600 kills, a mesh of 12 processes for a minute, power cuts
LONG_COUNT = 1250
LONG_CUTS = 3000
LONG_KILLS = 300
LONG_VM_CUTS = 20
check-long: all tests/mpi/fuzz_run tests/kill/kills tests/crash/test_crash_world $(vm_programs)
	@rc=0; for ranks in 1 2 3 4; do for pool in 256MiB 8MiB; do \
		echo "== random programs on $$ranks ranks, a pool of $$pool"; \
		( $(AM_TESTS_ENVIRONMENT) TEST_TIMEOUT=3600 $(SHELL) $(srcdir)/tests/mpi/fuzz.sh \
			--seed $${ranks}00001 --count $(LONG_COUNT) --ranks $$ranks --pool $$pool ) || rc=1; \
	done; done; \
	echo "== processes killed"; \
	( $(AM_TESTS_ENVIRONMENT) TEST_TIMEOUT=3600 $(SHELL) $(srcdir)/tests/kill/kills.sh --kills $(LONG_KILLS) --seed 1001 ) || rc=1; \
	echo "== hosts"; \
	( $(AM_TESTS_ENVIRONMENT) MESH_SECONDS=60 $(SHELL) $(srcdir)/tests/cluster/fabric.sh ) || rc=1; \
	echo "== power cuts"; \
	tests/crash/test_crash_world --random 1 $(LONG_CUTS) || rc=1; \
	( $(AM_TESTS_ENVIRONMENT) VM_CUTS=$(LONG_VM_CUTS) VM_SEED=1001 $(SHELL) $(srcdir)/tests/vm/vm.sh ) || rc=1; \
	exit $$rc
.PHONY: check-long
