/* the check of ROMIO's ABI: the real table passes, and every wrong one does not */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "romio321_abi_check.h"

static void *so;
static const struct adio_ops *real;
static char why[256];

static int load(void **state)
{
	int on;

	(void)state;
	MPI_Initialized(&on); /* so that libmpi, which ROMIO needs, is loaded */
	so = dlopen(OMPI_PKGLIBDIR "/mca_io_romio321.so", RTLD_LAZY);
	real = so ? dlsym(so, "ADIO_UFS_operations") : NULL;
	return real ? 0 : -1;
}

static void table__the_real_one(void **state)
{
	(void)state;
	assert_int_equal(pmio_romio_check_table(so, real, why, sizeof(why)), 0);
}

static void table__none(void **state)
{
	(void)state;
	assert_int_equal(pmio_romio_check_table(so, NULL, why, sizeof(why)), -1);
}

/* each checked entry, replaced by another function: found, and the message names it */
static void table__each_entry_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < PMIO_ROMIO_NR_ENTRIES; i++) {
		struct adio_ops ops = *real;
		void *other = dlsym(so, "ADIOI_Shfp_fname");

		memcpy((char *)&ops + pmio_romio_entries[i].offset, &other, sizeof(other));
		assert_int_equal(pmio_romio_check_table(so, &ops, why, sizeof(why)), -1);
		assert_non_null(strstr(why, pmio_romio_entries[i].symbol));
	}
}

/* a ROMIO with one entry more or less in front of the name */
static void table__shifted(void **state)
{
	void *words[sizeof(struct adio_ops) / sizeof(void *) + 1] = { 0 };

	(void)state;
	memcpy(words, real, sizeof(*real));
	assert_int_equal(pmio_romio_check_table(so, words + 1, why, sizeof(why)), -1);
	memcpy(words + 1, real, sizeof(*real));
	assert_int_equal(pmio_romio_check_table(so, words, why, sizeof(why)), -1);
}

static void table__other_name(void **state)
{
	struct adio_ops ops = *real;

	(void)state;
	ops.fsname = "XFS: another driver";
	assert_int_equal(pmio_romio_check_table(so, &ops, why, sizeof(why)), -1);
	ops.fsname = NULL;
	assert_int_equal(pmio_romio_check_table(so, &ops, why, sizeof(why)), -1);
}

static void fill_file(struct adio_file *fd, char *name)
{
	memset(fd, 0, sizeof(*fd));
	fd->cookie = ADIO_COOKIE;
	fd->ops = real;
	fd->comm = MPI_COMM_SELF;
	fd->file_system = ADIO_UFS_TYPE;
	fd->filename = name;
	fd->etype = fd->filetype = MPI_BYTE;
	fd->etype_size = 1;
	fd->perm = ADIO_DEFAULT_PERM;
	fd->fortran_handle = -1;
	fd->io_buf_window = fd->io_buf_put_amounts_window = MPI_WIN_NULL;
}

static int check_file(const struct adio_file *fd)
{
	return pmio_romio_check_file(fd, MPI_COMM_SELF, real, "/a", why, sizeof(why));
}

static void file__each_field_wrong(void **state)
{
	struct adio_file fd;
	char name[] = "/a", other[] = "/b";

	(void)state;
	fill_file(&fd, name);
	assert_int_equal(check_file(&fd), 0);
#define WRONG(field, value)                         \
	do {                                        \
		fill_file(&fd, name);               \
		fd.field = value;                   \
		assert_int_equal(check_file(&fd), -1); \
	} while (0)
	WRONG(cookie, 1);
	WRONG(ops, NULL);
	WRONG(comm, MPI_COMM_WORLD);
	WRONG(file_system, 150);
	WRONG(filename, other);
	WRONG(filename, NULL);
	WRONG(filetype, MPI_INT);
	WRONG(etype_size, 4);
	WRONG(perm, 0);
	WRONG(fortran_handle, 0);
	WRONG(atomicity, 1);
	WRONG(io_buf_put_amounts_window, (MPI_Win)(void *)&fd);
#undef WRONG
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table__the_real_one),
		cmocka_unit_test(table__none),
		cmocka_unit_test(table__each_entry_wrong),
		cmocka_unit_test(table__shifted),
		cmocka_unit_test(table__other_name),
		cmocka_unit_test(file__each_field_wrong),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
