/*
 * pm_emulate.c -- tmpfs as PMEM, for libpmemobj, which maps it by itself
 *
 * libpmemobj can be told only through the environment.  So this is done in agents and
 * commands, where no other thread reads the environment meanwhile, and not in the
 * library: it is linked only with code that uses libpmemobj.
 */
#include "pm/pm.h"

#include <pthread.h>
#include <stdlib.h>

/* libpmemobj reads them once per process, when it maps its first pool */
static const struct {
	const char *name, *value;
} emulation[] = {
	{"PMEM2_FORCE_GRANULARITY", "CACHE_LINE"},
	{"PMEM_IS_PMEM_FORCE", "1"},
};

#define NR_EMULATION (sizeof(emulation) / sizeof(emulation[0]))

/* held from _begin to _end: no other thread may map while these variables are set */
static pthread_mutex_t emulation_lock = PTHREAD_MUTEX_INITIALIZER;

unsigned pmio_pm_emulate_begin(int fd)
{
	unsigned set = 0;

	pthread_mutex_lock(&emulation_lock);
	if (!pmio_pm_fd_is_tmpfs(fd))
		return 0;
	for (size_t i = 0; i < NR_EMULATION; i++)
		if (!getenv(emulation[i].name) &&
		    setenv(emulation[i].name, emulation[i].value, 1) == 0)
			set |= 1u << i;
	return set;
}

void pmio_pm_emulate_end(unsigned set)
{
	for (size_t i = 0; i < NR_EMULATION; i++)
		if (set & (1u << i))
			unsetenv(emulation[i].name);
	pthread_mutex_unlock(&emulation_lock);
}
