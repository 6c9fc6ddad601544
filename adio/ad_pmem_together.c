/*
 * ad_pmem_together.c -- ranks wait for each other at the start of collective calls
 *
 * What a collective call has written is then seen, and overwritten, by each later one: who
 * begins a call has ended all before.  MPI does not ask for it, but in ROMIO each call waits for
 * all ranks at its start, to hear who wants what; so programs count on it.  They also ask for the
 * size after a collective write, which is no collective call: it is answered when all ranks, which
 * have begun that write, have ended it.
 *
 * MPI_Allreduce takes longer than the 4 KiB do that a call may be about.  Ranks of one node
 * meet in a page of memory, once a file has seen a few calls: each counts its calls in a word
 * of its own; few ranks look at each other's, of many only rank 0 does, and says so in one more word.
 * There who asks for the size looks whether the others have ended; by MPI all wait for that at the end
 * of each write that may have made the file longer.
 */
#include "ad_pmem.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define CALLS_BY_MPI 2	/* a file that sees no more is not worth the memory */
#define FEW 4		/* ranks that look at each other's words */
#define NAME "pmio-together"
#define SPINS 200	/* looks before others may run */

/* numbers of calls, each in a cache line of its own */
struct meeting {
	uint64_t cookie[2];			/* that it is the one that rank 0 has made */
	_Alignas(64) _Atomic uint64_t begun;	/* by all ranks */
	struct {
		_Alignas(64) _Atomic uint64_t begun;
		_Alignas(64) _Atomic uint64_t ended;
	} ranks[];
};

struct together {
	MPI_Comm comm;		/* the handle's own */
	int rank, nr;
	unsigned calls;		/* by MPI */
	struct meeting *meeting; /* owned: a mapping; NULL: by MPI */
	uint64_t call;		/* in memory: the last one begun here */
	_Atomic uint64_t ended;	/* the last one that read or wrote; another thread may ask for the size */
};

struct together *ad_pmem_together_new(MPI_Comm comm)
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

void ad_pmem_together_free(struct together *t)
{
	if (t && t->meeting)
		munmap(t->meeting, meeting_size(t));
	free(t);
}

/* ---- making the memory -------------------------------------------------------------------- */

/* where the others find it: no name that a kill would leave */
struct place {
	int64_t pid, fd;	/* fd < 0: there is none */
	uint64_t cookie[2];
};

static struct meeting *map(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void make(struct together *t, struct place *at)
{
	at->pid = getpid();
	at->fd = memfd_create(NAME, MFD_CLOEXEC);
	if (at->fd >= 0 && ftruncate((int)at->fd, (off_t)meeting_size(t)) == 0 &&
	    getrandom(at->cookie, sizeof(at->cookie), 0) == sizeof(at->cookie))
		t->meeting = map((int)at->fd, meeting_size(t));
	if (t->meeting)
		memcpy(t->meeting->cookie, at->cookie, sizeof(at->cookie));
}

static void find(struct together *t, const struct place *at)
{
	static const char want[] = "/memfd:" NAME " ";
	char path[64], is[sizeof(want)] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/fd/%lld", (long long)at->pid, (long long)at->fd);
	/* in a container with numbers of its own it may be anything, and is not even opened */
	if (readlink(path, is, sizeof(is) - 1) < 0 || strcmp(is, want) != 0)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && lseek(fd, 0, SEEK_END) == (off_t)meeting_size(t))
		t->meeting = map(fd, meeting_size(t));
	if (fd >= 0)
		close(fd);
}

/* all have it, or none; collective */
static void meet(struct together *t)
{
	struct place at = { .fd = -1 };
	int good;

	if (t->rank == 0)
		make(t, &at);
	PMPI_Bcast(&at, (int)sizeof(at), MPI_BYTE, 0, t->comm);
	if (t->rank != 0 && at.fd >= 0)
		find(t, &at);
	good = t->meeting && memcmp(t->meeting->cookie, at.cookie, sizeof(at.cookie)) == 0;
	PMPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, t->comm);
	if (t->rank == 0 && at.fd >= 0)
		close((int)at.fd);
	if (!good && t->meeting) {
		munmap(t->meeting, meeting_size(t));
		t->meeting = NULL;
	}
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* the processor has other things to do */
static void relax(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

/* until it is as far as that; others may need MPI's progress in this process to get there */
static void wait_for(_Atomic uint64_t *count, uint64_t call)
{
	for (unsigned i = 0; atomic_load_explicit(count, memory_order_acquire) < call; i++) {
		if (i >= SPINS) {
			ad_pmem_progress();
			sched_yield();
		} else {
			relax();
		}
	}
}

static void wait_for_ranks(struct together *t, struct meeting *m)
{
	for (int i = 0; i < t->nr; i++)
		wait_for(&m->ranks[i].begun, t->call);
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
		wait_for(&m->begun, t->call);
	}
}

bool ad_pmem_together_by_mpi(const struct together *t)
{
	return !t->meeting;
}

bool ad_pmem_together_begin(struct together *t, bool one_node, bool grows)
{
	int any = grows;

	if (!t->meeting && t->calls <= CALLS_BY_MPI && t->calls++ == CALLS_BY_MPI && one_node)
		meet(t);
	if (t->meeting) {
		begin_in_memory(t, t->meeting);
		return true;
	}
	PMPI_Allreduce(MPI_IN_PLACE, &any, 1, MPI_INT, MPI_MAX, t->comm);
	return any != 0;
}

void ad_pmem_together_end(struct together *t)
{
	struct meeting *m = t->meeting;

	if (!m) {
		PMPI_Barrier(t->comm);
		return;
	}
	atomic_store_explicit(&m->ranks[t->rank].ended, t->call, memory_order_release);
	atomic_store_explicit(&t->ended, t->call, memory_order_release);
}

void ad_pmem_together_await_end(struct together *t)
{
	uint64_t call = atomic_load_explicit(&t->ended, memory_order_acquire);

	for (int i = 0; call && i < t->nr; i++)
		wait_for(&t->meeting->ranks[i].ended, call);
}
