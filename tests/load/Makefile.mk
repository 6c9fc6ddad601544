# many at one target: `make check-load`
check_PROGRAMS += tests/load/load
tests_load_load_SOURCES = tests/load/load.c
tests_load_load_CPPFLAGS = $(AM_CPPFLAGS) $(FABRIC_CFLAGS)
tests_load_load_LDADD = libpmio_remote.la
EXTRA_DIST += tests/load/load.sh

check-load: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS=tests/load/load.sh
.PHONY: check-load
