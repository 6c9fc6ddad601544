/*
 * bench_memory.c -- how much memory a rank and the agent take, besides the pool's mapping
 *
 *	mpirun -n 1 bench_memory FILE POOL AGENT FILES CHUNKS SIZE
 *
 * FILES files are open at once (FILE with a number behind it), with one byte written to each; then one byte is written to
 * each of CHUNKS chunks of SIZE bytes of another.  AGENT is the agent's process, or 0: of the rank only.  Mappings of what lies
 * below POOL do not count, all other resident pages do.  Each result is one line, "name value unit"; bench/memory calls it.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *pool;
static long agent;

static void check(int rc, const char *what)
{
	if (rc == MPI_SUCCESS)
		return;
	fprintf(stderr, "bench_memory: %s failed\n", what);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

/* KiB of a process (0: this one) that are resident and not of the pool */
static double resident(long pid)
{
	char path[64], line[8192];
	int counts = 0;
	double sum = 0;
	long kib;
	FILE *f;

	snprintf(path, sizeof(path), pid ? "/proc/%ld/smaps" : "/proc/self/smaps", pid);
	f = fopen(path, "r");
	check(f ? MPI_SUCCESS : MPI_ERR_OTHER, path);
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			counts = strstr(line, pool) == NULL;
		else if (counts && sscanf(line, "Rss: %ld", &kib) == 1)
			sum += (double)kib;
	}
	fclose(f);
	return sum;
}

/* what has come since the last call, of the rank and of the agent */
struct usage {
	double rank, agent;
};

static struct usage growth(struct usage *was)
{
	struct usage is = { resident(0), agent ? resident(agent) : 0 }, d = { is.rank - was->rank, is.agent - was->agent };

	*was = is;
	return d;
}

static void report(const char *what, struct usage d, double each, const char *unit)
{
	printf("rank_%s %.1f %s\n", what, d.rank * each, unit);
	if (agent)
		printf("agent_%s %.1f %s\n", what, d.agent * each, unit);
}

static MPI_File open_file(const char *name, int nr)
{
	char path[4096];
	MPI_File f;

	snprintf(path, sizeof(path), "%s.%d", name, nr);
	check(MPI_File_open(MPI_COMM_SELF, path, MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &f), path);
	check(MPI_File_write_at(f, 0, "x", 1, MPI_BYTE, MPI_STATUS_IGNORE), "write_at");
	return f;
}

static void close_file(MPI_File f, const char *name, int nr)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.%d", name, nr);
	check(MPI_File_close(&f), "close");
	MPI_File_delete(path, MPI_INFO_NULL);
}

int main(int argc, char **argv)
{
	struct usage u = { 0, 0 };
	int files, chunks;
	MPI_File *f;
	long size;

	MPI_Init(&argc, &argv);
	if (argc != 7) {
		fprintf(stderr, "usage: bench_memory FILE POOL AGENT FILES CHUNKS SIZE\n");
		MPI_Abort(MPI_COMM_WORLD, 2);
	}
	pool = argv[2];
	agent = atol(argv[3]);
	files = atoi(argv[4]);
	chunks = atoi(argv[5]);
	size = atol(argv[6]);
	f = malloc(((size_t)files + 1) * sizeof(*f));
	check(f ? MPI_SUCCESS : MPI_ERR_NO_MEM, "malloc");

	growth(&u); /* the first touches what it needs itself */
	growth(&u);
	if (agent)
		printf("agent_at_start %.1f KiB\n", u.agent);
	f[0] = open_file(argv[1], 0);
	report("first_file", growth(&u), 1, "KiB");
	for (int i = 1; i <= files; i++)
		f[i] = open_file(argv[1], i);
	report("further_file", growth(&u), 1.0 / files, "KiB");
	for (int i = 1; i < chunks; i++)
		check(MPI_File_write_at(f[0], (MPI_Offset)i * size, "x", 1, MPI_BYTE, MPI_STATUS_IGNORE), "write_at");
	report("chunk", growth(&u), 1024.0 / chunks, "B");
	if (agent)
		printf("agent_at_end %.1f KiB\n", u.agent);
	for (int i = 0; i <= files; i++)
		close_file(f[i], argv[1], i);
	free(f);
	MPI_Finalize();
	return 0;
}
