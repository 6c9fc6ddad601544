/* calls_processes.c -- calls in children, threads and signal handlers */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

#define THREADS 4
#define ROUNDS 500

extern char **environ;

/* ---- processes -------------------------------------------------------------------------------------------- */

void test_fork(void)
{
	int fd = make("f", "");
	pid_t pid;

	must(write(fd, "parent ", 7) == 7);
	pid = fork();
	if (pid == 0) {
		must(write(fd, "child ", 6) == 6);
		exit(0);
	}
	must(wait_for(pid) == 0 && write(fd, "parent", 6) == 6 && close(fd) == 0);
	is("f", "parent child parent");
	/* many at once on one offset */
	fd = make("f2", "");
	for (int i = 0; i < 4; i++) {
		if (fork() == 0) {
			for (int n = 0; n < 100; n++)
				must(write(fd, "12345678\n", 9) == 9);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	must(lseek(fd, 0, SEEK_END) == 3600 && close(fd) == 0);
}

static int in_clone(void *arg)
{
	int fd = *(int *)arg, own = open("clone.own", O_RDWR | O_CREAT, 0644);
	char b[4];

	_exit(write(fd, "child ", 6) == 6 && write(own, "own", 3) == 3 && pread(own, b, 3, 0) == 3 && memcmp(b, "own", 3) == 0 && close(own) == 0 ? 0 : 1);
}

/* children of which no library is told */
void test_clone(void)
{
	const size_t size = 1u << 20;
	char *stack = malloc(size);
	int fd = make("clone", "");
	pid_t pid;

	must(stack && write(fd, "parent ", 7) == 7);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		in_clone(&fd);
	must(wait_for(pid) == 0 && write(fd, "parent ", 7) == 7);
	pid = clone(in_clone, stack + size, SIGCHLD, &fd);
	must(wait_for(pid) == 0 && write(fd, "parent ", 7) == 7);
	must(close(fd) == 0);
	is("clone", "parent child parent child parent ");
	free(stack);
}

static void run_with_output(int fd, char *const argv[])
{
	posix_spawn_file_actions_t a;
	pid_t pid;

	posix_spawn_file_actions_init(&a);
	posix_spawn_file_actions_adddup2(&a, fd, 1);
	must(posix_spawnp(&pid, argv[0], &a, NULL, argv, environ) == 0 && wait_for(pid) == 0);
	posix_spawn_file_actions_destroy(&a);
}

static void spawn_into(const char *name, char *word, int flags)
{
	posix_spawn_file_actions_t a;
	pid_t pid;

	posix_spawn_file_actions_init(&a);
	posix_spawn_file_actions_addopen(&a, 1, name, O_WRONLY | O_CREAT | flags, 0644);
	must(posix_spawnp(&pid, "echo", &a, NULL, (char *[]){ "echo", word, NULL }, environ) == 0 && wait_for(pid) == 0);
	posix_spawn_file_actions_destroy(&a);
}

void test_exec(void)
{
	int fd = make("e", "");
	pid_t pid;

	must(write(fd, "before ", 7) == 7);
	run_with_output(fd, (char *[]){ "echo", "spawned", NULL });
	pid = fork();
	if (pid == 0) {
		dup2(fd, 1);
		execlp("nonexistent-program", "x", NULL);
		must(write(1, "tried ", 6) == 6);
		execlp("echo", "echo", "executed", NULL);
		_exit(127);
	}
	must(wait_for(pid) == 0);
	pid = vfork();
	if (pid == 0) {
		dup2(fd, 1);
		execlp("echo", "echo", "vforked", NULL);
		_exit(127);
	}
	must(wait_for(pid) == 0);
	spawn_into("e3", "a longer line than the next", O_TRUNC);
	is("e3", "a longer line than the next\n");
	spawn_into("e3", "short", O_TRUNC);
	is("e3", "short\n");
	spawn_into("e3", "more", O_APPEND);
	is("e3", "short\nmore\n");
	must(write(fd, "after", 5) == 5 && close(fd) == 0);
	is("e", "before spawned\ntried executed\nvforked\nafter");
	must(system("echo by system >e2") == 0);
	is("e2", "by system\n");
}

/* what stdio holds back is written last of all */
void test_late(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		must(freopen("late", "w", stdout));
		printf("held back");
		exit(0);
	}
	must(wait_for(pid) == 0);
	is("late", "held back");
	fclose(fopen("late2", "w"));
	pid = fork();
	if (pid == 0) {
		must(freopen("late2", "a", stdout));
		printf("in a child");
		exit(0);
	}
	must(wait_for(pid) == 0);
	is("late2", "in a child");
}

static void *one_of_many(void *arg)
{
	long me = (long)arg;
	char name[16], buf[64], back[64];
	int shared = open("th", O_WRONLY | O_APPEND), fd;

	snprintf(name, sizeof(name), "th%ld", me);
	must(shared >= 0);
	for (int i = 0; i < ROUNDS; i++) {
		int n = snprintf(buf, sizeof(buf), "thread %ld round %04d\n", me, i);

		fd = open(name, O_RDWR | O_CREAT, 0644);
		must(fd >= 0 && pwrite(fd, buf, (size_t)n, i * 10) == n && pread(fd, back, (size_t)n, i * 10) == n && memcmp(buf, back, (size_t)n) == 0);
		must(close(fd) == 0 && write(shared, buf, (size_t)n) == n);
	}
	must(close(shared) == 0);
	return NULL;
}

void test_threads(void)
{
	pthread_t t[THREADS];
	struct stat st;

	must(close(make("th", "")) == 0);
	for (long i = 0; i < THREADS; i++)
		must(pthread_create(&t[i], NULL, one_of_many, (void *)i) == 0);
	for (int i = 0; i < THREADS; i++)
		must(pthread_join(t[i], NULL) == 0);
	must(stat("th", &st) == 0 && st.st_size == THREADS * ROUNDS * 20);
	must(unlink("th") == 0); /* its lines are in any order */
}

static void *read_for_ever(void *arg)
{
	char c;

	must(read(*(int *)arg, &c, 1) == 1);
	return NULL;
}

/* a thread that waits in a plain read can be cancelled */
/* of a thread or handler with the smallest stack there can be: no large variables */
static void use_files(const char *name)
{
	static const char text[2 << 20] = "text";
	static struct stat st;
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0644);

	must(fd >= 0 && write(fd, text, 4) == 4 && write(fd, text, sizeof(text)) == sizeof(text) && ftruncate(fd, 6) == 0 && fsync(fd) == 0 && close(fd) == 0);
	must(stat(name, &st) == 0 && st.st_size == 6 && truncate(name, 4) == 0 && rename(name, "moved") == 0 && rename("moved", name) == 0);
	must(chmod(name, 0600) == 0 && link(name, "linked") == 0 && unlink("linked") == 0);
}

static void *use_files_in_thread(void *name)
{
	use_files(name);
	return NULL;
}

static void use_files_in_handler(int sig)
{
	(void)sig;
	use_files("handler");
}

void test_small_stacks(void)
{
	struct sigaction sa = { .sa_handler = use_files_in_handler, .sa_flags = SA_ONSTACK };
	stack_t alternate = { .ss_size = (size_t)sysconf(_SC_SIGSTKSZ) };
	pthread_attr_t attr;
	pthread_t t;

	must(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, (size_t)sysconf(_SC_THREAD_STACK_MIN)) == 0);
	must(pthread_create(&t, &attr, use_files_in_thread, "thread") == 0 && pthread_join(t, NULL) == 0);
	alternate.ss_sp = malloc(alternate.ss_size);
	must(alternate.ss_sp && sigaltstack(&alternate, NULL) == 0 && sigaction(SIGUSR1, &sa, NULL) == 0 && raise(SIGUSR1) == 0);
	is("thread", "text");
	is("handler", "text");
}

/* from the ninth thread that allocates memory on the C library opens a file for it, here while it has the thread locked */
#define NR_ALLOCATING 20
static pthread_barrier_t all_have_allocated;

static void *ask_for_attributes(void *arg)
{
	pthread_attr_t attr;

	(void)arg;
	must(pthread_getattr_np(pthread_self(), &attr) == 0 && pthread_attr_destroy(&attr) == 0);
	pthread_barrier_wait(&all_have_allocated);
	return NULL;
}

void test_thread_attributes(void)
{
	pthread_t t[NR_ALLOCATING];

	must(pthread_barrier_init(&all_have_allocated, NULL, NR_ALLOCATING) == 0);
	for (int i = 0; i < NR_ALLOCATING; i++)
		must(pthread_create(&t[i], NULL, ask_for_attributes, NULL) == 0);
	for (int i = 0; i < NR_ALLOCATING; i++)
		must(pthread_join(t[i], NULL) == 0);
	make("attributes", "text");
	is("attributes", "text");
}

void test_cancel(void)
{
	int p[2];
	pthread_t t;
	void *result;

	must(pipe(p) == 0 && pthread_create(&t, NULL, read_for_ever, &p[0]) == 0);
	usleep(100000);
	must(pthread_cancel(t) == 0 && pthread_join(t, &result) == 0 && result == PTHREAD_CANCELED);
}

void test_signals(void)
{
	const struct itimerval every = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };
	int fd = make("sig", "");

	signal(SIGALRM, count);
	nr_signals = 0;
	must(setitimer(ITIMER_REAL, &every, NULL) == 0);
	for (int i = 0; i < 20000; i++)
		must(write(fd, "0123456789", 10) == 10);
	must(setitimer(ITIMER_REAL, &never, NULL) == 0);
	must(lseek(fd, 0, SEEK_CUR) == 200000 && close(fd) == 0 && nr_signals > 0);
}
