# power cuts at every point, on the recorder
check_PROGRAMS += tests/crash/test_crash_frame
TESTS += tests/crash/test_crash_frame

# what they test, compiled once more: each call that flushes or fences can be left out
check_LTLIBRARIES += libpmio_view_sites.la
libpmio_view_sites_la_SOURCES = $(libpmio_view_la_SOURCES) lib/pm/pm_record.c
libpmio_view_sites_la_CPPFLAGS = $(libpmio_view_la_CPPFLAGS) -DPMIO_PM_SITES
libpmio_view_sites_la_LIBADD = $(libpmio_view_la_LIBADD)

tests_crash_test_crash_frame_SOURCES = tests/crash/test_crash_frame.c \
	tests/crash/mutants.c tests/crash/mutants.h
tests_crash_test_crash_frame_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_crash_test_crash_frame_LDADD = libpmio_view_sites.la $(CMOCKA_LIBS)

# are they able to fail?
TESTS += tests/crash/mutants.sh
EXTRA_DIST += tests/crash/mutants.sh tests/crash/mutants.txt

check-mutants: all tests/crash/test_crash_frame
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(srcdir)/tests/crash/mutants.sh
.PHONY: check-mutants
