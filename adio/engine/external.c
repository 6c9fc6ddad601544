/*
 * external.c -- data representation external32
 *
 * MPI packs and unpacks the basic types, runs of elements at a time: MPICH 4.0 aborts programs that have it
 * pack a type with several basic ones.  The view's types are used with their layout in memory, as in ROMIO.
 */
#include "engine.h"
#include "flat.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct packing {
	char *packed;
	MPI_Aint size, at;
	bool pack; /* otherwise unpack */
};

/* bytes in the file of one element of a basic type; 0: it cannot be packed (its parts are apart in memory) */
static MPI_Aint leaf_size(MPI_Datatype leaf)
{
	MPI_Aint size = 0;

	if (leaf == MPI_DATATYPE_NULL || PMPI_Pack_external_size(EXTERNAL_REP, 1, leaf, &size) != MPI_SUCCESS)
		return 0;
	return size;
}

/* size of one element of a type; 0 and *size, or -EOPNOTSUPP */
static int packed_size(const struct flat *fl, uint64_t *size)
{
	*size = 0;
	for (size_t i = 0; i < fl->nr; i++) {
		MPI_Aint external = leaf_size(fl->leaves[i]);
		int own;

		if (external == 0) {
			pmio_err("external32: pair types with a gap, such as MPI_SHORT_INT, are not supported");
			return -EOPNOTSUPP;
		}
		PMPI_Type_size(fl->leaves[i], &own);
		*size += fl->pieces[i].len / (uint64_t)own * (uint64_t)external;
	}
	return 0;
}

/* pack a run: bytes of memory, contiguous elements of a basic type */
static int pack_run(struct packing *p, char *mem, uint64_t bytes, MPI_Datatype leaf)
{
	int own, rc = MPI_SUCCESS;

	PMPI_Type_size(leaf, &own);
	while (bytes && rc == MPI_SUCCESS) {
		int n = bytes / (uint64_t)own > INT_MAX ? INT_MAX : (int)(bytes / (uint64_t)own);

		rc = p->pack ? PMPI_Pack_external(EXTERNAL_REP, mem, n, leaf, p->packed, p->size, &p->at)
			     : PMPI_Unpack_external(EXTERNAL_REP, p->packed, p->size, &p->at, mem, n, leaf);
		mem += (int64_t)n * own;
		bytes -= (uint64_t)n * (uint64_t)own;
	}
	return rc == MPI_SUCCESS ? 0 : -EINVAL;
}

static int pack(struct packing *p, char *mem, int64_t count, const struct flat *fl)
{
	int rc = 0;

	if (fl->dense && fl->size)
		return pack_run(p, mem, (uint64_t)count * fl->size, fl->leaves[0]);
	for (int64_t i = 0; i < count && rc == 0; i++) {
		for (size_t j = 0; j < fl->nr && rc == 0; j++)
			rc = pack_run(p, mem + i * fl->extent + fl->pieces[j].off, fl->pieces[j].len, fl->leaves[j]);
	}
	return rc;
}

/* unpack the bytes that were read into the program's memory; the rest of it stays unchanged */
static int unpack(struct packing *p, uint64_t done, char *mem, int64_t count, const struct flat *fl)
{
	struct packing whole = *p;
	int rc = 0;

	if ((uint64_t)p->size > done) {
		whole.packed = malloc((size_t)p->size);
		if (!whole.packed)
			return -ENOMEM;
		whole.pack = true;
		rc = pack(&whole, mem, count, fl);
		memcpy(whole.packed, p->packed, done);
	}
	whole.pack = false;
	whole.at = 0;
	if (rc == 0)
		rc = pack(&whole, mem, count, fl);
	if (whole.packed != p->packed)
		free(whole.packed);
	return rc;
}

/* allocate memory for count elements, and pack a write's data into it */
static int prepare(struct packing *p, char *mem, int64_t count, const struct flat *fl)
{
	uint64_t each, size;
	int rc = packed_size(fl, &each);

	if (rc < 0)
		return rc;
	if (__builtin_mul_overflow(each, (uint64_t)count, &size) || size > INT64_MAX)
		return -EFBIG;
	p->packed = malloc(size + 1);
	if (!p->packed)
		return -ENOMEM;
	p->size = (MPI_Aint)size;
	return p->pack ? pack(p, mem, count, fl) : 0;
}

int engine_transfer_external(struct pmio_mpi_file *f, engine_transfer_fn *by, const void *buf, int64_t count, MPI_Datatype type,
			     uint64_t pos, bool write, uint64_t *done)
{
	struct packing p = { .pack = write };
	struct flat *fl = flat_with_leaves(type);
	char *mem = (char *)(uintptr_t)buf; /* writes do not change it */
	int rc = fl ? prepare(&p, mem, count, fl) : -ENOMEM, rc_all;

	/* a collective call is made in any case, as other ranks wait for it */
	rc_all = by(f, p.packed, rc == 0 ? p.size : 0, MPI_BYTE, pos, write, done);
	if (rc == 0)
		rc = rc_all;
	if (rc == 0 && !write)
		rc = unpack(&p, *done, mem, count, fl);
	free(p.packed);
	flat_free(fl); /* NULL is allowed */
	return rc;
}
