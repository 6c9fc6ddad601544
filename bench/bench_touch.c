/*
 * bench_touch.c -- gives a bench memory that is there
 *
 *	bench_touch MIB
 *
 * In a virtual machine a page that was free for some seconds may have been given back to the host (free page
 * reporting, as by virtio_balloon), and whoever touches it next waits for the host: measured at 0.5 GiB/s instead of 15.
 * That made first writes of whichever candidate had such pages three times slower than those of the next.  This program
 * touches MIB of memory in huge pages and ends; what starts within two seconds after it gets those pages.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	size_t size = argc == 2 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	volatile char *p;

	if (size == 0) {
		fprintf(stderr, "usage: bench_touch MIB\n");
		return 2;
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		perror("bench_touch");
		return 1;
	}
	madvise((void *)p, size, MADV_HUGEPAGE);
	for (size_t at = 0; at < size; at += 4096)
		p[at] = 1;
	return 0;
}
