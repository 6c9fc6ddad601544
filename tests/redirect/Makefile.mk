# pmio run --paths: any program's files in the pool
redirect_tests = tests/redirect/programs.sh tests/redirect/calls.sh tests/redirect/run.sh tests/redirect/small.sh tests/redirect/ends.sh tests/redirect/bypass.sh tests/redirect/mpi.sh tests/redirect/workflow.sh tests/redirect/together.sh tests/redirect/nodes.sh tests/redirect/fsx.sh
TESTS += $(redirect_tests)
EXTRA_DIST += $(redirect_tests) tests/redirect/lib.sh tests/redirect/files.sh tests/redirect/two_pools.sh tests/redirect/cases.sh tests/redirect/readers.py

check_PROGRAMS += tests/redirect/calls tests/redirect/fsx tests/redirect/late
tests_redirect_late_SOURCES = tests/redirect/late.c
tests_redirect_fsx_SOURCES = tests/redirect/fsx.c
tests_redirect_calls_SOURCES = tests/redirect/calls.h tests/redirect/calls.c tests/redirect/calls_processes.c
tests_redirect_calls_CFLAGS = -std=gnu11 -Wall -Wextra
tests_redirect_calls_LDFLAGS = -Wl,--export-dynamic
