/*
 * bench_drain.c -- a drain beside one process that writes the same bytes itself
 *
 *	bench_drain raw FILE MIB     pwrite of PIECE bytes each, then fdatasync
 *	bench_drain drain FILE MIB   the same bytes through the pool; only the drain counts
 *	bench_drain close FILE MIB   how long the last close takes; PMIO_DRAIN says how
 *	bench_drain blocks FILE MIB  no time: one block of each chunk, held
 *
 * Prints a number: MiB/s, or of close milliseconds.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pmio.h"

#define MIB ((size_t)1 << 20)
#define PIECE (32 * MIB)

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(long rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "bench_drain: %s failed\n", what);
	exit(1);
}

static void *make_bytes(void)
{
	uint8_t *buf = malloc(PIECE);

	if (!buf)
		must(-1, "malloc");
	for (size_t i = 0; i < PIECE; i++)
		buf[i] = (uint8_t)(i * 2654435761u >> 13); /* nothing that a disk could make smaller */
	return buf;
}

static size_t piece_at(size_t at, size_t len)
{
	return len - at < PIECE ? len - at : PIECE;
}

static void run_raw(const char *path, size_t len)
{
	void *buf = make_bytes();
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	double start;

	must(fd, "open");
	must(fsync(fd), "fsync");
	start = now();
	for (size_t at = 0; at < len; at += piece_at(at, len))
		must((long)pwrite(fd, buf, piece_at(at, len), (off_t)at) - (long)piece_at(at, len), "pwrite");
	must(fdatasync(fd), "fdatasync");
	printf("%.1f\n", (double)(len / MIB) / (now() - start));
	close(fd);
	free(buf);
}

static void fill(struct pmio_file *f, size_t len)
{
	void *buf = make_bytes();

	for (size_t at = 0; at < len; at += piece_at(at, len))
		must((long)pmio_pwrite(f, buf, piece_at(at, len), (off_t)at), "pmio_pwrite");
	free(buf);
}

static void run_drain(struct pmio_file *f, size_t len)
{
	double start;

	fill(f, len);
	start = now();
	must(pmio_drain(f), "pmio_drain");
	printf("%.1f\n", (double)(len / MIB) / (now() - start));
	must(pmio_close(&f), "pmio_close");
}

static void run_close(struct pmio_file *f, size_t len)
{
	double start;

	fill(f, len);
	start = now();
	must(pmio_close(&f), "pmio_close");
	printf("%.2f\n", (now() - start) * 1000);
}

static void run_blocks(struct pmio_file *f, size_t len)
{
	static uint8_t block[4096];

	memset(block, 7, sizeof(block));
	for (size_t at = 0; at < len; at += MIB)
		must((long)pmio_pwrite(f, block, sizeof(block), (off_t)at), "pmio_pwrite");
	must(pmio_close(&f), "pmio_close");
}

static void run_in_pool(const char *what, const char *path, size_t len)
{
	struct pmio_file *f;
	struct pmio *pm;

	must(pmio_connect(NULL, &pm), "pmio_connect");
	must(pmio_open(pm, path, O_RDWR | O_CREAT | O_TRUNC, 0600, &f), "pmio_open");
	if (strcmp(what, "drain") == 0)
		run_drain(f, len);
	else if (strcmp(what, "close") == 0)
		run_close(f, len);
	else
		run_blocks(f, len);
	pmio_disconnect(&pm);
}

int main(int argc, char **argv)
{
	size_t len = argc == 4 ? strtoull(argv[3], NULL, 10) * MIB : 0;

	if (len == 0) {
		fprintf(stderr, "usage: bench_drain raw|drain|close|blocks FILE MIB\n");
		return 2;
	}
	if (strcmp(argv[1], "raw") == 0)
		run_raw(argv[2], len);
	else
		run_in_pool(argv[1], argv[2], len);
	return 0;
}
