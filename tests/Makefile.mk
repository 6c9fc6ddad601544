# all tests print TAP; programs without an extension are cmocka's, .mpi ones run below mpirun
TEST_EXTENSIONS = .sh .mpi
tap_driver = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_DRIVER = $(tap_driver)
SH_LOG_DRIVER = $(tap_driver)
SH_LOG_COMPILER = $(SHELL)
MPI_LOG_DRIVER = $(tap_driver)
MPI_LOG_COMPILER = $(SHELL) $(top_srcdir)/tests/mpi/run.sh

# the shell tests change folder, so the two are absolute
AM_TESTS_ENVIRONMENT = \
	top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' \
	CMOCKA_MESSAGE_OUTPUT=TAP OMPI_PKGLIBDIR='$(OMPI_PKGLIBDIR)' MPIRUN='$(MPIRUN)'; \
	export top_srcdir top_builddir CMOCKA_MESSAGE_OUTPUT OMPI_PKGLIBDIR MPIRUN;

EXTRA_DIST += tests/env.sh

include $(srcdir)/tests/unit/Makefile.mk
include $(srcdir)/tests/crash/Makefile.mk
include $(srcdir)/tests/fuzz/Makefile.mk
include $(srcdir)/tests/cli/Makefile.mk
include $(srcdir)/tests/mpi/Makefile.mk
include $(srcdir)/tests/clients/Makefile.mk
