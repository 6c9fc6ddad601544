/*
 * state.c -- process state that all files of lib/redirect use
 *
 * pthread_atfork() reports children of fork(), but not those of clone() or _Fork(), which have a copy of the memory, too,
 * or share it, as children of vfork() do.  A page that the kernel clears in copies distinguishes them.
 */
#include "redirect/redirect.h"

#include <sys/mman.h>
#include <unistd.h>

static pid_t own_pid;
static void (*in_copy)(void);

bool redirect_on;
_Thread_local int redirect_inside __attribute__((tls_model("initial-exec")));
static _Atomic uint32_t always = 1;
_Atomic uint32_t *redirect_original = &always;

void redirect_state_init(void)
{
	own_pid = (pid_t)RAW(getpid);
	redirect_inside = 0;
	atomic_store(redirect_original, 1);
}

void redirect_state_begin(void (*fn)(void))
{
	long page = sysconf(_SC_PAGESIZE), p = RAW(mmap, NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	in_copy = fn;
	if ((p > 0 || p < -4095) && RAW(madvise, p, page, MADV_WIPEONFORK) == 0)
		redirect_original = (_Atomic uint32_t *)p;
	redirect_state_init();
}

bool redirect_is_copy(void)
{
	if (atomic_load_explicit(redirect_original, memory_order_relaxed))
		return false;
	redirect_state_init();
	in_copy();
	return true;
}

bool redirect_ours(void)
{
	redirect_is_copy();
	return (pid_t)RAW(getpid) == own_pid;
}
