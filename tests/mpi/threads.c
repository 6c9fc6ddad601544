/*
 * threads.c -- MPI_THREAD_MULTIPLE: threads on files of their own, opened, used and
 * closed at the same time; then threads on one shared handle at explicit offsets
 */
#include "util.h"
#include <pthread.h>

#define THREADS 4
#define ROUNDS 10
#define LEN 40009

static MPI_File common;
static MPI_Comm self[THREADS]; /* threads may not share one in collective calls, such as open */

static void *own_files(void *arg)
{
	int t = *(int *)arg;
	unsigned char *buf = xmalloc(LEN);
	char url[4096];

	snprintf(url, sizeof(url), "%s.%d.%d", base, me, t); /* name() is not for threads */
	for (unsigned i = 0; i < ROUNDS; i++) {
		MPI_File fh = open_file(self[t], url, RDWR_NEW);
		MPI_Request r;

		check_size(fh, i ? LEN + 100 * ((MPI_Offset)i - 1) : 0);
		pat_fill(buf, LEN, 100 * i, (unsigned)t + i);
		if (i % 2) {
			mpi(MPI_File_iwrite_at(fh, 100 * i, buf, LEN, MPI_BYTE, &r));
			mpi(MPI_Wait(&r, MPI_STATUS_IGNORE));
		} else {
			mpi(MPI_File_write_at(fh, 100 * i, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		}
		memset(buf, 0, LEN);
		mpi(MPI_File_read_at(fh, 100 * i, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf, LEN, 100 * i, (unsigned)t + i, "a thread's file");
		mpi(MPI_File_close(&fh));
	}
	free(buf);
	return NULL;
}

static void *one_handle(void *arg)
{
	int t = *(int *)arg;
	unsigned char *buf = xmalloc(LEN);

	for (unsigned i = 0; i < ROUNDS; i++) {
		MPI_Offset at = ((MPI_Offset)i * THREADS * np + me * THREADS + t) * LEN;

		pat_fill(buf, LEN, (uint64_t)at, 1);
		mpi(MPI_File_write_at(common, at, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		memset(buf, 0, LEN);
		mpi(MPI_File_read_at(common, at, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf, LEN, (uint64_t)at, 1, "a handle of all threads");
	}
	free(buf);
	return NULL;
}

static void run(void *(*fn)(void *))
{
	pthread_t thread[THREADS];
	int t[THREADS];

	for (int i = 0; i < THREADS; i++) {
		t[i] = i;
		check(!pthread_create(&thread[i], NULL, fn, &t[i]), "pthread_create fails");
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	barrier();
}

int main(int argc, char **argv)
{
	unsigned char *all;
	int provided;
	size_t len;

	MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
	test_begin(argc, argv);
	if (provided < MPI_THREAD_MULTIPLE)
		test_skip("this Open MPI has no MPI_THREAD_MULTIPLE");
	for (int i = 0; i < THREADS; i++)
		MPI_Comm_dup(MPI_COMM_SELF, &self[i]);
	run(own_files);
	for (int i = 0; i < THREADS; i++)
		MPI_Comm_free(&self[i]);
	common = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	run(one_handle);
	mpi(MPI_File_close(&common));
	if (me == 0) {
		all = slurp(base, &len);
		check_int((long long)len, (long long)ROUNDS * THREADS * np * LEN, "size after close");
		check_pat(all, len, 0, 1, "after close");
		free(all);
	}
	return test_end();
}
