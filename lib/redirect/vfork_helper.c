/*
 * vfork_helper.c -- work that a child of vfork must not do, as it shares its parent's memory: its own child, which has a copy,
 * does it
 */
#include "redirect/redirect.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_SIZE (512u << 10) /* libpmio needs more than such children have */

static int (*to_do)(void); /* of a process that does only this */

static void do_and_end(void)
{
	int rc = to_do();

	redirect_end_pool();
	RAW(exit_group, rc < 0 ? redirect_errno(rc) : rc);
}

int redirect_in_child(int (*fn)(void))
{
	int status = 0;
	pid_t pid;

	to_do = fn;
	pid = fork();
	if (pid == 0) {
		ucontext_t there;
		void *stack = (void *)RAW(mmap, NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		getcontext(&there);
		there.uc_stack.ss_sp = stack;
		there.uc_stack.ss_size = STACK_SIZE;
		there.uc_link = NULL;
		makecontext(&there, do_and_end, 0);
		setcontext(&there);
		RAW(exit_group, EIO);
	}
	if (pid < 0)
		return errno;
	while (RAW(wait4, pid, &status, 0, NULL) == -EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}
