/* pools.c -- connections: one per pool and process, until MPI_Finalize */
#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "remote/remote.h"

#define POOLS_MAX 64

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pmio *pools[POOLS_MAX]; /* under pools_lock */
static pid_t pools_pid;		      /* a forked child must not use its parent's */

int engine_pool(const struct pmio_settings *s, struct pmio **out)
{
	char dir[PATH_MAX];
	int i, rc = pmio_settings_pool_dir(s, dir, sizeof(dir));

	*out = NULL;
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&pools_lock);
	if (pools_pid != getpid())
		memset(pools, 0, sizeof(pools));
	pools_pid = getpid();
	for (i = 0; i < POOLS_MAX && pools[i]; i++) {
		if (strcmp(pmio_pool_path(pools[i]), dir) == 0)
			break;
	}
	if (i == POOLS_MAX)
		rc = -EMFILE;
	else if (!pools[i])
		rc = client_connect(s, NULL, false, false, &pools[i]);
	if (rc == 0)
		*out = pools[i];
	pthread_mutex_unlock(&pools_lock);
	return rc;
}

void engine_disconnect_all(void)
{
	pthread_mutex_lock(&pools_lock);
	remote_disconnect_all();
	for (int i = 0; i < POOLS_MAX && pools_pid == getpid(); i++)
		pmio_disconnect(&pools[i]);
	memset(pools, 0, sizeof(pools));
	pthread_mutex_unlock(&pools_lock);
}
