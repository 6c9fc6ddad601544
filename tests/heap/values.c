/*
 * values.c -- what malloc() gave keeps its values: values HOW [MIB]
 *
 *	basic	all calls of malloc()'s family: alignment, zeros, what realloc() keeps, errors
 *	fork	parent and child write over what they share, at the same time, in many rounds
 *	threads	threads allocate, pass on, and free, while one of them forks
 *	closed	as fork, after all descriptors from 3 on were closed, as daemons do
 *	spawn	posix_spawn() and vfork(), which share memory with the child
 *	fill	MIB MiB in pieces of 1 MiB, all written to; prints how many there were
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR 20000
#define ROUNDS 10
#define NR_THREADS 4
#define MIB (1ul << 20)

extern char **environ;

static void check(bool is, const char *what)
{
	if (is)
		return;
	fprintf(stderr, "values: %s\n", what);
	exit(1);
}

static void *have(void *p, const char *what)
{
	check(p != NULL, what);
	return p;
}

static int status_of(pid_t pid)
{
	int status;

	check(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static bool is_all(const unsigned char *p, unsigned char c, size_t len)
{
	return len == 0 || (p[0] == c && memcmp(p, p + 1, len - 1) == 0);
}

static void basic(void)
{
	volatile size_t most = SIZE_MAX; /* compilers complain otherwise */
	unsigned char *p;
	void *q = NULL;

	for (size_t n = 1; n < 9 * MIB; n = n * 3 + 1) {
		p = have(malloc(n), "malloc");
		check((uintptr_t)p % 16 == 0 && malloc_usable_size(p) >= n, "malloc: alignment or size");
		memset(p, 7, n);
		p = have(realloc(p, 3 * n), "realloc");
		check(is_all(p, 7, n), "realloc: longer");
		memset(p, 8, 3 * n);
		p = have(realloc(p, n / 2 + 1), "realloc");
		check(is_all(p, 8, n / 2 + 1), "realloc: shorter");
		free(p);
		p = have(calloc(n, 2), "calloc"); /* of what was just freed */
		check(is_all(p, 0, 2 * n), "calloc: zeros");
		free(p);
		for (size_t a = 8; a <= 2 * MIB; a *= 4) {
			check(posix_memalign(&q, a, n) == 0 && (uintptr_t)q % a == 0, "posix_memalign");
			memset(q, 9, n);
			free(q);
			p = have(aligned_alloc(a, n), "aligned_alloc");
			check((uintptr_t)p % a == 0, "aligned_alloc: alignment");
			free(p);
		}
	}
	check(posix_memalign(&q, 24, 10) == EINVAL && posix_memalign(&q, 4, 10) == EINVAL, "posix_memalign: bad alignment");
	errno = 0;
	check(!calloc(most / 2, 3) && errno == ENOMEM, "calloc: too much");
	check(!reallocarray(NULL, most / 2, 3) && !malloc(most / 2), "too much");
	p = have(malloc(0), "malloc(0)");
	free(p);
	p = have(valloc(10), "valloc");
	check((uintptr_t)p % (uintptr_t)sysconf(_SC_PAGESIZE) == 0, "valloc: alignment");
	free(p);
	free(NULL);
}

static unsigned *values[NR];

static void set_values(unsigned base)
{
	for (unsigned i = 0; i < NR; i++)
		*values[i] = base + i;
}

static void check_values(unsigned base, const char *what)
{
	for (unsigned i = 0; i < NR; i++)
		check(*values[i] == base + i, what);
}

/* frees and allocates as well: the one's must not be the other's */
static void child(unsigned round)
{
	check_values(round, "the child does not have what its parent had");
	for (unsigned i = 0; i < NR; i += 2) {
		free(values[i]);
		values[i] = have(malloc(8 + i % 100), "malloc in a child");
	}
	for (int k = 0; k < 20; k++)
		set_values(1000000 * (round + 1));
	check_values(1000000 * (round + 1), "the parent wrote to its child's memory");
	exit(0);
}

static void forks(void)
{
	pid_t pid;

	for (unsigned i = 0; i < NR; i++)
		values[i] = have(malloc(8 + i % 100), "malloc");
	for (unsigned round = 0; round < ROUNDS; round++) {
		set_values(round);
		pid = fork();
		check(pid >= 0, "fork");
		if (pid == 0)
			child(round);
		for (int k = 0; k < 20; k++)
			set_values(500000 + round);
		check_values(500000 + round, "the child wrote to its parent's memory");
		check(status_of(pid) == 0, "a child failed");
		check_values(500000 + round, "the child wrote to its parent's memory");
	}
}

/* and another file has the number then */
static void closed(void)
{
	FILE *f;

	check(close_range(3, ~0u, 0) == 0, "close_range");
	for (int i = 3; i < 600; i++)
		check(dup(0) >= 0, "dup");
	for (int i = 0; i < 100; i++)
		memset(have(malloc(MIB), "malloc"), i, MIB);
	forks();
	check(close_range(3, ~0u, 0) == 0, "close_range");
	forks();
	f = have(fopen("/dev/null", "r"), "fopen");
	fclose(f);
}

static void *passed[NR_THREADS][64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, seed = me;
	unsigned char *p, *other;

	for (int k = 0; k < 20000; k++) {
		size_t n = 1 + (size_t)rand_r(&seed) % (k % 100 == 0 ? 200000 : 500);
		unsigned to = (unsigned)rand_r(&seed) % NR_THREADS, slot = (unsigned)rand_r(&seed) % 64;

		p = have(malloc(sizeof(n) + n), "malloc in a thread");
		memcpy(p, &n, sizeof(n));
		memset(p + sizeof(n), (int)(n & 255), n);
		pthread_mutex_lock(&lock);
		other = passed[to][slot];
		passed[to][slot] = p;
		pthread_mutex_unlock(&lock);
		if (!other)
			continue;
		memcpy(&n, other, sizeof(n));
		check(is_all(other + sizeof(n), (unsigned char)(n & 255), n), "a thread's bytes");
		free(other);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t t[NR_THREADS];
	pid_t pid;

	for (unsigned i = 0; i < NR_THREADS; i++)
		check(pthread_create(&t[i], NULL, work, (void *)(uintptr_t)i) == 0, "pthread_create");
	for (int k = 0; k < 30; k++) {
		char *p = have(strdup("of the thread that forks"), "strdup");

		pid = fork();
		if (pid == 0) {
			char *q = malloc(1000); /* glibc's promises that this works */

			_exit(q && strcmp(p, "of the thread that forks") == 0 ? 0 : 3);
		}
		check(pid > 0 && status_of(pid) == 0, "a child of a process with threads failed");
		free(p);
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(t[i], NULL);
}

static void spawn(void)
{
	char *argv[] = { "true", NULL }, *p = have(strdup("kept"), "strdup");
	pid_t pid;

	for (int k = 0; k < 20; k++) {
		check(posix_spawnp(&pid, "true", NULL, NULL, argv, environ) == 0 && status_of(pid) == 0, "posix_spawnp");
		pid = vfork();
		if (pid == 0) {
			execvp("true", argv);
			_exit(127);
		}
		check(pid > 0 && status_of(pid) == 0, "vfork");
		check(system("true") == 0 && strcmp(p, "kept") == 0, "system");
	}
	free(p);
}

static void fill(size_t nr)
{
	size_t got = 0;
	unsigned char *p;

	for (; got < nr && (p = malloc(MIB)) != NULL; got++)
		memset(p, 1, MIB);
	printf("%zu\n", got);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";

	if (strcmp(how, "basic") == 0)
		basic();
	else if (strcmp(how, "fork") == 0)
		forks();
	else if (strcmp(how, "closed") == 0)
		closed();
	else if (strcmp(how, "threads") == 0)
		threads();
	else if (strcmp(how, "spawn") == 0)
		spawn();
	else if (strcmp(how, "fill") == 0 && argc > 2)
		fill((size_t)atoi(argv[2]));
	else
		return 2;
	return 0;
}
