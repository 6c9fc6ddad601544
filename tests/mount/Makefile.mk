# pmio mount: programs that know nothing of the pool
mount_tests = tests/mount/files.sh tests/mount/names.sh tests/mount/programs.sh tests/mount/matrix.sh tests/mount/fsx.sh tests/mount/ends.sh tests/mount/faults.sh \
	tests/mount/refuses.sh tests/mount/nodes.sh tests/mount/mappings.sh
TESTS += $(mount_tests)
EXTRA_DIST += $(mount_tests) tests/mount/lib.sh

check_PROGRAMS += tests/mount/fsx tests/mount/copy tests/mount/mapped
tests_mount_fsx_SOURCES = tests/mount/fsx.c
tests_mount_fsx_LDADD = libpmio.la
tests_mount_mapped_SOURCES = tests/mount/mapped.c
# static, as some programs are: nothing can be preloaded into it
tests_mount_copy_SOURCES = tests/mount/copy.c
tests_mount_copy_CFLAGS = -std=gnu11 -Wall -Wextra
tests_mount_copy_LDFLAGS = -all-static
