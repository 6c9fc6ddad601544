/* state.c -- what all ask for */
#include "redirect/redirect.h"

#include <unistd.h>

static pid_t own_pid;

bool redirect_on;
_Thread_local int redirect_inside __attribute__((tls_model("initial-exec")));

void redirect_state_init(void)
{
	own_pid = (pid_t)RAW(getpid);
	redirect_inside = 0;
}

bool redirect_ours(void)
{
	return (pid_t)RAW(getpid) == own_pid;
}
