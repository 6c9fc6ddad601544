/*
 * shared.c -- shared file pointers
 *
 * One word that all ranks access: a single rank has its own; ranks of one node have it in shared memory; ranks of several
 * nodes at the file's metadata server, which only adds and so answers at once.  A rank adds the length of its transfer to
 * the word, and gets the bytes from the old value on.
 *
 * If ranks of one node cannot find each other's memory (each in a container), rank 0 has the word, in an MPI
 * window: then they may have to wait until rank 0 is in some call of MPI.
 */
#include "engine.h"
#include "shared_memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/random.h>

#include "remote/remote.h"

struct shared_pointer {
	_Atomic uint64_t pos;
};

void engine_shared_make(struct pmio_mpi_file *f, struct memory_place *at)
{
	f->shared = engine_memory_make(sizeof(*f->shared), at);
}

bool engine_shared_find(struct pmio_mpi_file *f, const struct memory_place *at)
{
	f->shared = engine_memory_find(at);
	return f->shared;
}

/* rank 0's word; collective */
static void make_window(struct pmio_mpi_file *f, int rank)
{
	uint64_t *word;

	PMPI_Win_allocate(rank == 0 ? sizeof(*word) : 0, 1, MPI_INFO_NULL, f->comm, &word, &f->shared_window);
	if (rank == 0) {
		PMPI_Win_lock(MPI_LOCK_EXCLUSIVE, 0, 0, f->shared_window);
		*word = 0;
		PMPI_Win_unlock(0, f->shared_window);
	}
	PMPI_Barrier(f->comm);
}

/* choose a random number for it; 0 on all ranks: not available.  Collective */
static void choose_number(struct pmio_mpi_file *f, int rank)
{
	if (rank == 0 && getrandom(&f->mds_pointer, sizeof(f->mds_pointer), 0) != sizeof(f->mds_pointer))
		f->mds_pointer = 0;
	PMPI_Bcast(&f->mds_pointer, 1, MPI_UINT64_T, 0, f->comm);
}

void engine_shared_new(struct pmio_mpi_file *f, uint64_t start)
{
	int nr, rank;

	PMPI_Comm_size(f->comm, &nr);
	PMPI_Comm_rank(f->comm, &rank);
	f->shared_start = start; /* not stored in the word: another rank may have added to it already */
	if (nr == 1 || f->shared)
		return;
	if (f->on_nodes)
		choose_number(f, rank);
	if (!f->mds_pointer)
		make_window(f, rank);
}

void engine_shared_close(struct pmio_mpi_file *f)
{
	uint64_t was;

	if (f->mds_pointer) /* if it fails, the word is freed with the layout session */
		remote_striped_pointer(f->file, f->mds_pointer, REMOTE_POINTER_END, 0, &was);
}

void engine_shared_free(struct pmio_mpi_file *f)
{
	engine_memory_free(f->shared, sizeof(*f->shared));
	if (f->shared_window != MPI_WIN_NULL)
		PMPI_Win_free(&f->shared_window);
	f->shared = NULL;
}

static uint64_t by_window(struct pmio_mpi_file *f, uint64_t n, bool add)
{
	uint64_t was;

	PMPI_Win_lock(MPI_LOCK_SHARED, 0, 0, f->shared_window);
	PMPI_Fetch_and_op(&n, &was, MPI_UINT64_T, 0, 0, add ? MPI_SUM : MPI_REPLACE, f->shared_window);
	PMPI_Win_unlock(0, f->shared_window);
	return was;
}

static int change(struct pmio_mpi_file *f, uint64_t n, bool add, uint64_t *was)
{
	_Atomic uint64_t *word = f->shared ? &f->shared->pos : &f->shared_own;
	int rc = 0;

	*was = 0;
	if (f->mds_pointer)
		rc = remote_striped_pointer(f->file, f->mds_pointer, add ? REMOTE_POINTER_ADD : REMOTE_POINTER_SET, n, was);
	else if (f->shared_window != MPI_WIN_NULL)
		*was = by_window(f, n, add);
	else
		*was = add ? atomic_fetch_add(word, n) : atomic_exchange(word, n);
	*was += f->shared_start;
	return rc;
}

int engine_shared_add(struct pmio_mpi_file *f, uint64_t bytes, uint64_t *was)
{
	return change(f, bytes, true, was);
}

/* rank 0 has set the pointer */
struct pointer_msg {
	uint64_t was;
	int64_t rc;
};
_Static_assert(sizeof(struct pointer_msg) == 16, "as it is sent");

int engine_shared_set(struct pmio_mpi_file *f, uint64_t pos, uint64_t *was)
{
	struct pointer_msg root = { 0, 0 };
	int rank;

	PMPI_Comm_rank(f->comm, &rank);
	if (rank == 0)
		root.rc = change(f, pos, false, &root.was);
	PMPI_Bcast(&root, (int)sizeof(root), MPI_BYTE, 0, f->comm); /* no rank continues before it is set */
	if (root.rc == 0)
		f->shared_start = 0;
	*was = root.was;
	return (int)root.rc;
}
