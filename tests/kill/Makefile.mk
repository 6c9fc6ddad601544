# processes that are killed at random moments
check_PROGRAMS += tests/kill/kills
tests_kill_kills_SOURCES = tests/kill/kills.c tests/kill/work.c tests/kill/work.h
tests_kill_kills_LDADD = libpmio.la

kill_tests = tests/kill/kills.sh tests/kill/mpi.sh
TESTS += $(kill_tests)
EXTRA_DIST += $(kill_tests)
