/*
 * threads.c -- MPI_THREAD_MULTIPLE: threads on files of their own, opened, used and
 * closed at the same time; then threads on one shared handle at explicit offsets, also in atomic mode;
 * then threads in collective calls, each on a file of its own that all ranks have open
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

static MPI_File every[THREADS];

#define WHOLE (1 << 20) /* long enough that copies do overlap in time */

/* atomic mode: what one thread writes another one, of this rank or of others, does not find in part */
static void *whole(void *arg)
{
	int t = *(int *)arg, bad = 0;
	unsigned char *buf = xmalloc(WHOLE);

	for (unsigned i = 0; i < ROUNDS; i++) {
		memset(buf, 1 + me * THREADS + t, WHOLE);
		if (t % 2)
			mpi(MPI_File_write_at(common, 0, buf, WHOLE, MPI_BYTE, MPI_STATUS_IGNORE));
		else
			mpi(MPI_File_read_at(common, 0, buf, WHOLE, MPI_BYTE, MPI_STATUS_IGNORE));
		bad += !!memcmp(buf, buf + 1, WHOLE - 1);
	}
	check(bad == 0, "thread %d has read parts of two writes, %d times", t, bad);
	free(buf);
	return NULL;
}

/* blocks of the ranks in turn, through a view */
static void *collectives(void *arg)
{
	const MPI_Offset piece = 37, per_call = piece * 100;
	int t = *(int *)arg;
	unsigned char *buf = xmalloc((size_t)per_call), *want = xmalloc((size_t)per_call);

	for (unsigned i = 0; i < ROUNDS; i++) {
		for (MPI_Offset p = 0; p < 100; p++)
			pat_fill(want + p * piece, (size_t)piece, (uint64_t)(((i * 100 + p) * np + me) * piece), (unsigned)t);
		mpi(MPI_File_write_at_all(every[t], i * per_call, want, (int)per_call, MPI_BYTE, MPI_STATUS_IGNORE));
		memset(buf, 0, (size_t)per_call);
		mpi(MPI_File_read_at_all(every[t], i * per_call, buf, (int)per_call, MPI_BYTE, MPI_STATUS_IGNORE));
		check(!memcmp(buf, want, (size_t)per_call), "thread %d reads in round %u what it has not written", t, i);
	}
	free(buf);
	free(want);
	return NULL;
}

/* ROMIO itself waits for all ranks in these, so threads must not call them side by side */
static void open_every(MPI_Comm *comm)
{
	MPI_Datatype vector, view;

	MPI_Type_contiguous(37, MPI_BYTE, &vector);
	MPI_Type_create_resized(vector, 0, 37 * (MPI_Aint)np, &view);
	MPI_Type_commit(&view);
	for (int t = 0; t < THREADS; t++) {
		char url[4096];

		snprintf(url, sizeof(url), "%s.all.%d", base, t);
		MPI_Comm_dup(MPI_COMM_WORLD, &comm[t]);
		every[t] = open_file(comm[t], url, RDWR_NEW);
		mpi(MPI_File_set_view(every[t], me * 37, MPI_BYTE, view, "native", MPI_INFO_NULL));
	}
	MPI_Type_free(&vector);
	MPI_Type_free(&view);
}

static void close_every(MPI_Comm *comm)
{
	for (int t = 0; t < THREADS; t++) {
		char url[4096];
		unsigned char *all;
		size_t len;

		snprintf(url, sizeof(url), "%s.all.%d", base, t);
		mpi(MPI_File_close(&every[t]));
		MPI_Comm_free(&comm[t]);
		if (me != 0)
			continue;
		all = slurp(url, &len);
		check_int((long long)len, (long long)ROUNDS * 100 * 37 * np, "size after close");
		check_pat(all, len, 0, (unsigned)t, "after close");
		free(all);
	}
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
	if (ours) { /* ROMIO's locks are of processes */
		common = open_file(MPI_COMM_WORLD, name(".whole"), RDWR_NEW | MPI_MODE_DELETE_ON_CLOSE);
		mpi(MPI_File_set_atomicity(common, 1));
		run(whole);
		mpi(MPI_File_close(&common));
	}
	open_every(self);
	run(collectives);
	close_every(self);
	return test_end();
}
