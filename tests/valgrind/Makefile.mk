# unit tests, commands, agent and ranks under valgrind: `make check-valgrind`
valgrind_tests = tests/valgrind/units.sh tests/valgrind/agent.sh tests/valgrind/mpi.sh
EXTRA_DIST += $(valgrind_tests) tests/valgrind/lib.sh tests/valgrind.supp

check-valgrind: all
	$(MAKE) $(AM_MAKEFLAGS) check check_DATA= TESTS='$(valgrind_tests)'
.PHONY: check-valgrind
