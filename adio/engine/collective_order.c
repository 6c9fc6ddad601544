/*
 * collective_order.c -- ranks wait for each other at the start of collective calls
 *
 * Each later collective call then sees the data of earlier ones, or overwrites them: a rank that begins
 * a call has ended all earlier ones.  MPI does not require this, but in ROMIO each call waits for all
 * ranks at its start, to exchange their requests; so programs rely on it.  They also query the size
 * after a collective write, and a query is not collective: it is answered when all ranks, which have
 * begun that write, have ended it.
 *
 * MPI_Allreduce takes longer than the transfer of the 4 KiB that a call may have.  After a few calls on
 * a file, ranks of one node synchronize in a page of memory: each counts its calls in a word of its own.
 * A few ranks read each other's words; if there are many, only rank 0 reads all, and announces the result
 * in another word.  There a rank that queries the size checks whether the others have ended; with MPI all
 * ranks wait for that at the end of each write that may have made the file longer.
 */
#include "engine.h"
#include "collective_order.h"
#include "shared_memory.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CALLS_BY_MPI 2	/* a file with only this many calls is not worth the memory */
#define FEW 4	 /* up to this many ranks read each other's words */
#define SPINS 200  /* polls before the processor is yielded */

/* numbers of calls, each in a cache line of its own */
struct meeting {
	_Alignas(64) _Atomic uint64_t begun;	/* begun by all ranks */
	struct {
		_Alignas(64) _Atomic uint64_t begun;
		_Alignas(64) _Atomic uint64_t ended;
	} ranks[];
};

struct together {
	MPI_Comm comm;		/* the handle's own */
	int rank, nr;
	unsigned calls;		/* by MPI */
	bool has_met;		/* see engine_together_has_met() */
	struct meeting *meeting; /* owned; NULL: by MPI */
	uint64_t call;		/* in memory: the last call begun by this rank */
	_Atomic uint64_t ended;	/* the last one that read or wrote; another thread may query the size */
};

struct together *engine_together_new(MPI_Comm comm)
{
	struct together *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->comm = comm;
	PMPI_Comm_rank(comm, &t->rank);
	PMPI_Comm_size(comm, &t->nr);
	return t;
}

static size_t meeting_size(const struct together *t)
{
	return sizeof(struct meeting) + (size_t)t->nr * sizeof(t->meeting->ranks[0]);
}

void engine_together_free(struct together *t)
{
	if (t && t->meeting)
		engine_memory_free(t->meeting, meeting_size(t));
	free(t);
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* pause the processor */
static void relax(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

/* wait until *count has reached call; other ranks may need MPI progress in this process to reach it */
static void wait_for(MPI_Comm comm, _Atomic uint64_t *count, uint64_t call)
{
	for (unsigned i = 0; atomic_load_explicit(count, memory_order_acquire) < call; i++) {
		if (i >= SPINS) {
			adapter_progress(comm);
			sched_yield();
		} else {
			relax();
		}
	}
}

static void wait_for_ranks(struct together *t, struct meeting *m)
{
	for (int i = 0; i < t->nr; i++)
		wait_for(t->comm, &m->ranks[i].begun, t->call);
}

static void begin_in_memory(struct together *t, struct meeting *m)
{
	t->call++;
	atomic_store_explicit(&m->ranks[t->rank].begun, t->call, memory_order_release);
	if (t->nr <= FEW) {
		wait_for_ranks(t, m);
	} else if (t->rank == 0) {
		wait_for_ranks(t, m);
		atomic_store_explicit(&m->begun, t->call, memory_order_release);
	} else {
		wait_for(t->comm, &m->begun, t->call);
	}
}

bool engine_together_by_mpi(const struct together *t)
{
	return !t->meeting;
}

static bool begin(struct together *t, bool one_node, bool grows)
{
	int any = grows;

	/* ranks may differ in their view of the file: with `owner` only rank 0 has it as a file of several nodes */
	if (!t->meeting && t->calls <= CALLS_BY_MPI && t->calls++ == CALLS_BY_MPI)
		t->meeting = engine_memory_new(t->comm, meeting_size(t), one_node);
	if (t->meeting) {
		begin_in_memory(t, t->meeting);
		return true;
	}
	PMPI_Allreduce(MPI_IN_PLACE, &any, 1, MPI_INT, MPI_MAX, t->comm);
	return any != 0;
}

bool engine_together_begin(struct together *t, bool one_node, bool grows)
{
	t->has_met = false;
	return begin(t, one_node, grows);
}

void engine_together_meet(struct together *t, bool one_node)
{
	t->has_met = true;
	begin(t, one_node, false);
}

bool engine_together_has_met(const struct together *t)
{
	return t->has_met;
}

void engine_together_end(struct together *t)
{
	struct meeting *m = t->meeting;

	if (!m) {
		PMPI_Barrier(t->comm);
		return;
	}
	atomic_store_explicit(&m->ranks[t->rank].ended, t->call, memory_order_release);
	atomic_store_explicit(&t->ended, t->call, memory_order_release);
}

void engine_together_await_end(struct together *t)
{
	uint64_t call = atomic_load_explicit(&t->ended, memory_order_acquire);

	for (int i = 0; call && i < t->nr; i++)
		wait_for(t->comm, &t->meeting->ranks[i].ended, call);
}
