# power cuts at every point, on the recorder
check_PROGRAMS += tests/crash/test_crash_frame tests/crash/test_crash_world
TESTS += tests/crash/test_crash_frame tests/crash/test_crash_world

# what they test, compiled once more: each call that flushes or fences can be left out
check_LTLIBRARIES += libpmio_view_sites.la libpmio_world.la
libpmio_view_sites_la_SOURCES = $(libpmio_view_la_SOURCES) lib/pm/pm_record.c
libpmio_view_sites_la_CPPFLAGS = $(libpmio_view_la_CPPFLAGS) -DPMIO_PM_SITES
libpmio_view_sites_la_LIBADD = $(libpmio_view_la_LIBADD)

# agent, client and pool as well, whose calls go to a world of the tests' own
libpmio_world_la_SOURCES = $(agent_sources) lib/client/file.c lib/client/claim_cache.c lib/client/direct.c lib/client/remove_rename.c lib/client/io.c lib/client/read.c lib/client/write.c lib/pfs/file.c \
	lib/pool/pool.c lib/pool/pool_frames.c lib/pool/pack.c lib/pool/pool_dir.c lib/pool/pool_scan.c
libpmio_world_la_CPPFLAGS = $(libpmio_agent_la_CPPFLAGS) -I$(srcdir)/tests/crash -DPMIO_PM_SITES \
	-include $(srcdir)/tests/crash/calls.h
libpmio_world_la_LIBADD = libpmio_proto.la libpmio_view_sites.la $(ISAL_LIBS)

tests_crash_test_crash_frame_SOURCES = tests/crash/test_crash_frame.c \
	tests/crash/frame_sequences.c tests/crash/frame_steps.c tests/crash/frame_steps.h \
	tests/crash/mutants.c tests/crash/mutants.h
tests_crash_test_crash_frame_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_crash_test_crash_frame_LDADD = libpmio_view_sites.la $(CMOCKA_LIBS)

tests_crash_test_crash_world_SOURCES = tests/crash/test_crash_world.c \
	tests/crash/world.c tests/crash/world.h tests/crash/world_impl.h tests/crash/world_expected.c tests/crash/world_cut.c \
	tests/crash/calls.h \
	tests/crash/disk.c tests/crash/disk.h \
	tests/crash/catalog_model.c tests/crash/catalog_model.h \
	tests/crash/mutants.c tests/crash/mutants.h
tests_crash_test_crash_world_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_crash_test_crash_world_LDADD = libpmio_world.la $(CMOCKA_LIBS)

# are they able to fail?
TESTS += tests/crash/mutants.sh
EXTRA_DIST += tests/crash/mutants.sh tests/crash/mutants.txt

check-mutants: all tests/crash/test_crash_frame tests/crash/test_crash_world
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(srcdir)/tests/crash/mutants.sh --all
.PHONY: check-mutants
