/*
 * datarep.c -- names of data representations, and user-defined ones (MPI_Register_datarep)
 *
 * The program's functions convert the basic elements of a call to their form in the file, and back.  Each call of them gets
 * the buffer and datatype of the program's call, and a contiguous array of elements in the file's form: all of them, or as
 * many whole ones as a read has found; a call with more elements than their argument can count is split at elements of the
 * datatype.
 *
 * A basic type must have the same size in the file as in memory: the offsets of a view are those of its types in memory, as
 * with external32.  Other representations are refused when a view with them is set, or a call is made with such a type.
 */
#include "engine.h"
#include "flat.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct datarep *all; /* under lock; never freed, as MPI has no call to unregister one */

const struct datarep *engine_datarep(const char *name)
{
	const struct datarep *r;

	pthread_mutex_lock(&lock);
	for (r = all; r && strcmp(r->name, name) != 0; r = r->next)
		;
	pthread_mutex_unlock(&lock);
	return r;
}

static bool is_name(const char *name, const char *small, const char *large)
{
	return strcmp(name, small) == 0 || strcmp(name, large) == 0;
}

bool engine_rep_is_external(const char *name)
{
	return is_name(name, EXTERNAL_REP, "EXTERNAL32");
}

bool engine_rep_is_predefined(const char *name)
{
	return is_name(name, NATIVE_REP, "NATIVE") || is_name(name, "internal", "INTERNAL") || engine_rep_is_external(name);
}

int engine_datarep_check(const struct datarep *how)
{
	if (*how->name == '\0' || !how->extent)
		return MPI_ERR_ARG;
	return engine_rep_is_predefined(how->name) || engine_datarep(how->name) ? MPI_ERR_DUP_DATAREP : MPI_SUCCESS;
}

int engine_datarep_add(const struct datarep *how)
{
	struct datarep *r = malloc(sizeof(*r));

	if (!r)
		return MPI_ERR_NO_MEM;
	*r = *how;
	pthread_mutex_lock(&lock);
	r->next = all;
	all = r;
	pthread_mutex_unlock(&lock);
	return MPI_SUCCESS;
}

/* 0; -EILSEQ: the program's function has failed; -EPROTONOSUPPORT: the type has another size in the file */
static int check_leaf(const struct datarep *r, MPI_Datatype leaf)
{
	MPI_Aint in_file = 0;
	int own;

	if (leaf == MPI_DATATYPE_NULL) {
		pmio_err("data representation %s: pair types with a gap, such as MPI_SHORT_INT, are not supported", r->name);
		return -EPROTONOSUPPORT;
	}
	if (r->extent(leaf, &in_file, r->extra) != MPI_SUCCESS)
		return -EILSEQ;
	PMPI_Type_size(leaf, &own);
	if (in_file == own)
		return 0;
	pmio_err("data representation %s: a basic type has %d bytes in memory and %lld in the file; only equal sizes are supported", r->name, own,
		 (long long)in_file);
	return -EPROTONOSUPPORT;
}

static int check_leaves(const struct datarep *r, const struct flat *fl)
{
	int rc = 0;

	for (size_t i = 0; i < fl->nr && rc == 0; i++) {
		if (i == 0 || fl->leaves[i] != fl->leaves[i - 1])
			rc = check_leaf(r, fl->leaves[i]);
	}
	return rc;
}

int engine_datarep_fits(const struct datarep *r, MPI_Datatype type)
{
	struct flat *fl = flat_with_leaves(type);
	int rc = fl ? check_leaves(r, fl) : -ENOMEM;

	flat_free(fl);
	return rc;
}

/* the number of whole basic elements in the first `bytes` bytes of an element of the type */
static uint64_t items_in(const struct flat *fl, uint64_t bytes)
{
	uint64_t items = 0;

	for (size_t i = 0; i < fl->nr && bytes; i++) {
		uint64_t n = bytes < fl->pieces[i].len ? bytes : fl->pieces[i].len;
		int own;

		PMPI_Type_size(fl->leaves[i], &own);
		items += n / (uint64_t)own;
		bytes -= n;
	}
	return items;
}

static int call_function(const struct datarep *r, bool write, void *buf, MPI_Datatype type, uint64_t n, char *packed, uint64_t at)
{
#ifdef HAVE_LARGE_COUNTS
	if (r->large)
		return (write ? r->write_large : r->read_large)(buf, type, (MPI_Count)n, packed, (MPI_Offset)at, r->extra);
#endif
	return (write ? r->write : r->read)(buf, type, (int)n, packed, (MPI_Offset)at, r->extra);
}

/* convert between the program's memory and packed: this many bytes of data, from the start of the buffer */
static int convert(const struct datarep *r, const struct flat *fl, void *buf, MPI_Datatype type, char *packed, uint64_t bytes, bool write)
{
	uint64_t each = items_in(fl, fl->size), left = bytes / fl->size * each + items_in(fl, bytes % fl->size), at = 0, most;
	int rc = MPI_SUCCESS;

	if (each == 0 || each > INT_MAX)
		return -EFBIG;
	most = (r->large ? (uint64_t)INT64_MAX / 2 : INT_MAX) / each * each;
	while (left && rc == MPI_SUCCESS) {
		uint64_t n = left < most ? left : most;

		rc = call_function(r, write, buf, type, n, packed, at);
		left -= n;
		at += n;
		packed += n / each * fl->size;
	}
	return rc == MPI_SUCCESS ? 0 : -EILSEQ;
}

int engine_transfer_user(struct pmio_mpi_file *f, engine_transfer_fn *by, const void *buf, int64_t count, MPI_Datatype type,
			 uint64_t pos, bool write, uint64_t *done)
{
	const struct datarep *r = f->rep;
	struct flat *fl = flat_with_leaves(type);
	void *mem = (void *)(uintptr_t)buf; /* writes do not change it */
	uint64_t bytes = 0;
	char *packed = NULL;
	int rc = fl ? check_leaves(r, fl) : -ENOMEM, rc_all;

	if (rc == 0 && (__builtin_mul_overflow(fl->size, (uint64_t)count, &bytes) || bytes > INT64_MAX))
		rc = -EFBIG;
	if (rc == 0 && !(packed = malloc(bytes + 1)))
		rc = -ENOMEM;
	if (rc == 0 && write && bytes)
		rc = convert(r, fl, mem, type, packed, bytes, true);
	/* a collective call is made in any case, as other ranks wait for it */
	rc_all = by(f, packed, rc == 0 ? (int64_t)bytes : 0, MPI_BYTE, pos, write, done);
	if (rc == 0)
		rc = rc_all;
	if (rc == 0 && !write && *done)
		rc = convert(r, fl, mem, type, packed, *done, false);
	free(packed);
	flat_free(fl); /* NULL is allowed */
	return rc;
}
