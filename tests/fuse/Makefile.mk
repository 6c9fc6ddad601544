# a file system that fails as it is told, and what becomes of drains on it
fuse_tests = tests/fuse/errors.sh tests/fuse/state.sh tests/fuse/async.sh tests/fuse/early.sh tests/fuse/syncs.sh tests/fuse/hang.sh tests/fuse/mpi.sh
TESTS += $(fuse_tests)
EXTRA_DIST += $(fuse_tests) tests/fuse/lib.sh
if HAVE_FUSE3
check_PROGRAMS += tests/fuse/faultfs
endif
tests_fuse_faultfs_SOURCES = tests/fuse/faultfs.c
tests_fuse_faultfs_CPPFLAGS = -D_GNU_SOURCE
tests_fuse_faultfs_CFLAGS = $(AM_CFLAGS) $(FUSE3_CFLAGS)
tests_fuse_faultfs_LDADD = $(FUSE3_LIBS)
