/*
 * info.c -- hints: what get_info says of a pmem: file, what happens to hints that
 * are set at open, set_view and set_info, known or not
 */
#include "util.h"

static bool hint(MPI_File fh, const char *key, char value[MPI_MAX_INFO_VAL + 1])
{
	MPI_Info info;
	int flag;

	mpi(MPI_File_get_info(fh, &info));
	check(info != MPI_INFO_NULL, "MPI_File_get_info gives MPI_INFO_NULL");
	MPI_Info_get(info, key, MPI_MAX_INFO_VAL, value, &flag);
	MPI_Info_free(&info);
	return flag;
}

static void check_hint(MPI_File fh, const char *key, const char *want)
{
	char got[MPI_MAX_INFO_VAL + 1];

	check(hint(fh, key, got), "hint %s is not there", key);
	check(!strcmp(got, want), "hint %s is \"%s\", should be \"%s\"", key, got, want);
}

static void io(MPI_File fh, unsigned gen)
{
	unsigned char buf[1000];

	pat_fill(buf, sizeof(buf), 1000 * (uint64_t)me, gen);
	mpi(MPI_File_write_at_all(fh, 1000 * me, buf, sizeof(buf), MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	mpi(MPI_File_read_at_all(fh, 1000 * ((me + 1) % np), buf, sizeof(buf), MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf, sizeof(buf), 1000 * (uint64_t)((me + 1) % np), gen, "read");
	barrier();
}

/* with each of these the data must be the same */
static const char *hints[][2] = {
	{ "romio_cb_write", "enable" }, { "romio_cb_write", "disable" }, { "romio_cb_read", "enable" },
	{ "romio_ds_write", "enable" }, { "romio_ds_read", "enable" }, { "romio_no_indep_rw", "true" },
	{ "cb_nodes", "1" }, { "cb_buffer_size", "4096" }, { "ind_wr_buffer_size", "8192" },
	{ "striping_factor", "4" }, { "no_such_hint", "whatever" }, { "cb_buffer_size", "-5" },
	{ "romio_cb_write", "nonsense" }, { "romio_visibility_immediate", "false" },
};

static void each_hint(void)
{
	for (unsigned i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		MPI_Info info;
		MPI_File fh;

		if (!ours && hints[i][1][0] == '-')
			continue; /* "out of memory", and ROMIO ends the program */
		MPI_Info_create(&info);
		MPI_Info_set(info, hints[i][0], hints[i][1]);
		mpi(MPI_File_open(MPI_COMM_WORLD, base, RDWR_NEW, info, &fh));
		io(fh, i);
		if (ours)
			check_hint(fh, "romio_visibility_immediate", "true");
		mpi(MPI_File_set_info(fh, info));
		io(fh, 100 + i);
		mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", info));
		io(fh, 200 + i);
		if (ours)
			check_hint(fh, "romio_visibility_immediate", "true");
		mpi(MPI_File_close(&fh));
		MPI_Info_free(&info);
	}
}

/* those of ours are the file's, not the process's, and a new view does not change them */
static void ours_in_force(void)
{
	MPI_File a, b;
	MPI_Info info;

	MPI_Info_create(&info);
	MPI_Info_set(info, "pmem_drain", "hold");
	MPI_Info_set(info, "pmem_cache", "drop");
	mpi(MPI_File_open(MPI_COMM_WORLD, name(".held"), RDWR_NEW | MPI_MODE_DELETE_ON_CLOSE, info, &a));
	b = open_file(MPI_COMM_WORLD, name(".closed"), RDWR_NEW | MPI_MODE_DELETE_ON_CLOSE);
	for (int i = 0; i < 2; i++) {
		check_hint(a, "pmem_drain", "hold");
		check_hint(a, "pmem_cache", "drop");
		check_hint(b, "pmem_drain", "close");
		check_hint(b, "pmem_cache", "keep");
		check_hint(b, "pmem_fallback", "pfs");
		check_hint(b, "pmem_pool", getenv("PMIO_POOL"));
		mpi(MPI_File_set_view(a, 0, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
		mpi(MPI_File_set_view(b, 0, MPI_INT, MPI_INT, "native", info));
	}
	mpi(MPI_File_close(&a));
	mpi(MPI_File_close(&b));
	MPI_Info_free(&info);
}

int main(int argc, char **argv)
{
	char value[MPI_MAX_INFO_VAL + 1];
	MPI_Info info;
	MPI_File fh;

	test_init(&argc, &argv);
	MPI_Info_create(&info);
	MPI_Info_set(info, "cb_buffer_size", "1048576");
	mpi(MPI_File_open(MPI_COMM_WORLD, base, RDWR_NEW, info, &fh));
	MPI_Info_free(&info);
	check_hint(fh, "cb_buffer_size", "1048576");
	check(!hint(fh, "no_such_hint", value), "an unknown hint is there");
	if (ours)
		check_hint(fh, "romio_visibility_immediate", "true");
	mpi(MPI_File_close(&fh));
	each_hint();
	if (ours)
		ours_in_force();
	return test_end();
}
