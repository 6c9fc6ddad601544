/* background.c -- work that nothing may wait for: threads of its own, and the removal of owner's files */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "target/target_impl.h"

#define STACK_SIZE (512u << 10) /* there may be many threads */

int target_start_thread(void *(*run)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	rc = -pthread_create(&thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	return rc;
}

/* ---- removing owner's files ---------------------------------------------------------- */

struct removal {
	uint8_t id[REMOTE_USE_ID];
	char *owner;		/* owned */
	bool keep;
};

static void *run_removal(void *arg)
{
	struct removal *r = arg;

	if (r->keep)
		remote_owner_keep(r->owner, r->id);
	else
		remote_owner_remove(r->owner, r->id, false);
	free(r->owner);
	free(r);
	return NULL;
}

void target_remove_owner(char *owner, const uint8_t id[REMOTE_USE_ID], bool keep)
{
	struct removal *r = malloc(sizeof(*r));

	if (!r) {
		free(owner);
		return;
	}
	memcpy(r->id, id, sizeof(r->id));
	r->owner = owner;
	r->keep = keep;
	if (target_start_thread(run_removal, r) < 0)
		run_removal(r);
}
