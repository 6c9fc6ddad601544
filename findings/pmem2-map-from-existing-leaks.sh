#!/bin/bash
# libpmem2 1.12.1 (Debian 12, libpmem2 1.12.1-2): a map made by pmem2_map_from_existing() is not freed whole
#
# expected  pmem2_map_delete() gives back all that pmem2_map_from_existing() took (its manual page has no word of
#           anything else to free), as it does for a map made by pmem2_map_new()
# seen      some 150 bytes of the heap stay for each (176 with glibc 2.36); none for a map made by pmem2_map_new()
#
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
version=1.12.1-2
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
cd "$T" || exit 77
apt-get -q download "libpmem2=$version" "libpmem2-dev=$version" "libpmem1=$version" >/dev/null 2>&1 || { echo "no such packages here"; exit 77; }
for deb in *.deb; do dpkg -x "$deb" root || exit 77; done
lib=$(dirname "$(find root -name 'libpmem2.so.1' | head -n 1)")
cat >leak.c <<'END'
#include <fcntl.h>
#include <libpmem2.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS 1000

static void existing(int fd, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct pmem2_source *src;
	struct pmem2_map *map;

	if (at == MAP_FAILED || pmem2_source_from_fd(&src, fd) ||
	    pmem2_map_from_existing(&map, src, at, size, PMEM2_GRANULARITY_PAGE) || pmem2_map_delete(&map))
		exit(2);
	pmem2_source_delete(&src);
	munmap(at, size);
}

static void anew(int fd, size_t size)
{
	struct pmem2_config *cfg;
	struct pmem2_source *src;
	struct pmem2_map *map;

	(void)size;
	if (pmem2_source_from_fd(&src, fd) || pmem2_config_new(&cfg) ||
	    pmem2_config_set_required_store_granularity(cfg, PMEM2_GRANULARITY_PAGE) || pmem2_map_new(&map, cfg, src) ||
	    pmem2_map_delete(&map))
		exit(2);
	pmem2_config_delete(&cfg);
	pmem2_source_delete(&src);
}

static long left(void (*fn)(int fd, size_t size), int fd, size_t size)
{
	size_t before;

	fn(fd, size); /* what is made once */
	before = mallinfo2().uordblks;
	for (int i = 0; i < ROUNDS; i++)
		fn(fd, size);
	return (long)(mallinfo2().uordblks - before) / ROUNDS;
}

int main(void)
{
	size_t size = 2u << 20;
	int fd = open("file", O_RDWR | O_CREAT, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return 2;
	printf("%ld %ld\n", left(anew, fd, size), left(existing, fd, size));
	return 0;
}
END
gcc -I"$(dirname "$(find root -name libpmem2.h | head -n 1)")" leak.c -o leak -L"$lib" -l:libpmem2.so.1 || exit 77
seen=$(LD_LIBRARY_PATH=$lib ./leak) || { echo "it does not run"; exit 77; }
echo "libpmem2 $version: bytes left for each map: pmem2_map_new, pmem2_map_from_existing: $seen"
[ "${seen%% *}" = 0 ] && [ "${seen##* }" -ge 100 ] || { echo "that was 0 and 176: it has changed"; exit 1; }
