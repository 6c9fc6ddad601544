/* calls.h -- what the files of the program calls share */
#ifndef PMIO_TESTS_REDIRECT_CALLS_H
#define PMIO_TESTS_REDIRECT_CALLS_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define must(x)                                                                                                  \
	do {                                                                                                       \
		if (!(x)) {                                                                                        \
			printf("%s:%d: %s: %s\n", __func__, __LINE__, #x, strerror(errno));                        \
			exit(EXIT_FAILURE);                                                                        \
		}                                                                                                  \
	} while (0)
#define must_fail(x, code) must((x) == -1 && errno == (code))

/* a new file of that text, at its beginning */
int make(const char *name, const char *text);
/* the file has that text */
void is(const char *name, const char *text);
/* a child's exit status, as a shell shows it */
int wait_for(pid_t pid);
/* a handler, and how often it was called */
extern volatile sig_atomic_t nr_signals;
void count(int sig);

/* ---- calls_processes.c ----------------------------------------------------------------------- */

void test_fork(void);
void test_clone(void);
void test_exec(void);
void test_late(void);
void test_threads(void);
void test_small_stacks(void);
void test_thread_attributes(void);
void test_cancel(void);
void test_signals(void);

#endif
