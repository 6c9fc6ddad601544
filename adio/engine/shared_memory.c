/*
 * shared_memory.c -- memory that all ranks of a file share, if they are on one node
 *
 * Making such memory, and finding and mapping it in the others, takes some 100 us of an open that takes a millisecond.
 * So rank 0 allocates lines from an arena, which its process keeps, as the others keep their mapping of it, until MPI
 * ends.
 */
#include "engine.h"
#include "shared_memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define NAME "pmio-together"
#define LINE 64u
#define ARENA_LINES 1024u /* or more, if more are requested at once */

/* the first line of an arena */
struct head {
	uint64_t cookie[2]; /* identifies the arena */
};

struct arena {
	struct arena *next;
	uint8_t *base;	/* owned: a mapping */
	size_t lines;
	int fd;		/* -1: of another process */
	unsigned users;	/* pieces of it that this process uses */
	uint64_t cookie[2];
	bool taken[];	/* lines; of this process's own arena */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct arena *arenas; /* under lock; owned */

static void free_arena(struct arena *a)
{
	if (a && a->base)
		munmap(a->base, a->lines * LINE);
	if (a && a->fd >= 0)
		close(a->fd);
	free(a);
}

void engine_memory_stop(void)
{
	struct arena **p = &arenas, *a;

	pthread_mutex_lock(&lock);
	while ((a = *p)) {
		if (a->users) { /* by a file that a library closes even later in MPI_Finalize */
			p = &a->next;
			continue;
		}
		*p = a->next;
		free_arena(a);
	}
	pthread_mutex_unlock(&lock);
}

/* lock held */
static struct arena *add_arena(int fd, size_t lines, bool own)
{
	struct arena *a = calloc(1, sizeof(*a) + (own ? lines : 0) * sizeof(a->taken[0]));
	void *p = MAP_FAILED;

	if (a)
		p = mmap(NULL, lines * LINE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		free(a);
		return NULL;
	}
	a->base = p;
	a->lines = lines;
	a->fd = own ? fd : -1;
	a->next = arenas;
	arenas = a;
	return a;
}

/* lock held; NULL: not available.  It has no name, which would remain after a kill */
static struct arena *make_arena(size_t lines)
{
	int fd = memfd_create(NAME, MFD_CLOEXEC);
	uint64_t cookie[2];
	struct arena *a = NULL;

	if (fd >= 0 && ftruncate(fd, (off_t)(lines * LINE)) == 0 && getrandom(cookie, sizeof(cookie), 0) == sizeof(cookie))
		a = add_arena(fd, lines, true);
	if (!a) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	memcpy(a->cookie, cookie, sizeof(cookie));
	memcpy(((struct head *)a->base)->cookie, cookie, sizeof(cookie));
	a->taken[0] = true;
	return a;
}

/* the first of nr free lines in a row; 0: there are none */
static size_t free_lines(const struct arena *a, size_t nr)
{
	size_t run = 0;

	for (size_t i = 1; i < a->lines; i++) {
		run = a->taken[i] ? 0 : run + 1;
		if (run == nr)
			return i + 1 - nr;
	}
	return 0;
}

void *engine_memory_make(size_t size, struct memory_place *at)
{
	size_t nr = (size + LINE - 1) / LINE, first = 0;
	struct arena *a;

	at->fd = -1;
	pthread_mutex_lock(&lock);
	for (a = arenas; a; a = a->next) {
		first = a->fd >= 0 ? free_lines(a, nr) : 0;
		if (first)
			break;
	}
	if (!a) {
		a = make_arena(nr < ARENA_LINES ? ARENA_LINES : nr + 1);
		first = 1;
	}
	if (a) {
		memset(&a->taken[first], true, nr);
		a->users++;
		*at = (struct memory_place){ .pid = getpid(), .fd = a->fd, .lines = a->lines, .first = first };
		memcpy(at->cookie, a->cookie, sizeof(at->cookie));
	}
	pthread_mutex_unlock(&lock);
	return a ? memset(a->base + first * LINE, 0, nr * LINE) : NULL;
}

void engine_memory_free(void *memory, size_t size)
{
	const uint8_t *p = memory;
	struct arena *a;

	pthread_mutex_lock(&lock);
	for (a = arenas; a && memory; a = a->next) {
		if (p > a->base && p < a->base + a->lines * LINE)
			break;
	}
	if (a && memory) {
		a->users--;
		if (a->fd >= 0)
			memset(&a->taken[(size_t)(p - a->base) / LINE], false, (size + LINE - 1) / LINE);
	}
	pthread_mutex_unlock(&lock);
}

/* map another process's arena; lock held */
static struct arena *map_arena(const struct memory_place *at)
{
	static const char want[] = "/memfd:" NAME " ";
	char path[64], is[sizeof(want)] = "";
	struct arena *a = NULL;
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/fd/%lld", (long long)at->pid, (long long)at->fd);
	/* in a container with its own process ids it may be any file, so it is not even opened */
	if (readlink(path, is, sizeof(is) - 1) < 0 || strcmp(is, want) != 0)
		return NULL;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && lseek(fd, 0, SEEK_END) == (off_t)(at->lines * LINE))
		a = add_arena(fd, at->lines, false);
	if (fd >= 0)
		close(fd);
	if (!a)
		return NULL;
	memcpy(a->cookie, ((struct head *)a->base)->cookie, sizeof(a->cookie));
	if (memcmp(a->cookie, at->cookie, sizeof(a->cookie)) == 0)
		return a;
	arenas = a->next;
	free_arena(a);
	return NULL;
}

void *engine_memory_find(const struct memory_place *at)
{
	struct arena *a;

	if (at->fd < 0)
		return NULL;
	pthread_mutex_lock(&lock);
	for (a = arenas; a && memcmp(a->cookie, at->cookie, sizeof(a->cookie)) != 0; a = a->next)
		;
	if (!a)
		a = map_arena(at);
	if (a)
		a->users++;
	pthread_mutex_unlock(&lock);
	return a ? a->base + at->first * LINE : NULL;
}

void *engine_memory_new(MPI_Comm comm, size_t size, bool wanted)
{
	struct memory_place at = { .fd = -1 };
	void *memory = NULL;
	int rank, good;

	PMPI_Comm_rank(comm, &rank);
	if (rank == 0 && wanted)
		memory = engine_memory_make(size, &at);
	PMPI_Bcast(&at, (int)sizeof(at), MPI_BYTE, 0, comm);
	if (rank != 0 && wanted)
		memory = engine_memory_find(&at);
	good = memory != NULL;
	PMPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, comm);
	if (good)
		return memory;
	engine_memory_free(memory, size);
	return NULL;
}
