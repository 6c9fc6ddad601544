/*
 * handles.c -- which handles belong to pmio files
 *
 * Each call looks that up, also calls on other files, so a thread caches its last result: as long as no
 * handle was added or removed it takes no lock.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <utlist.h>

#include "library.h"

#define NR_BUCKETS 256
#define NR_CLOSED 64 /* handles remembered after their close; the MPI may give the same to another file */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shadow_handle *buckets[NR_BUCKETS]; /* under lock; lists of the handles themselves, as adding one must not fail for want of memory */
static word closed[NR_CLOSED];		   /* likewise; 0: none */
static unsigned next_closed;		   /* likewise */
static _Atomic uint64_t changes = 1;
struct shadow_handle library_closed;

static struct shadow_handle **bucket(word shadow)
{
	return &buckets[((uint64_t)shadow >> 4) * 0x9e3779b97f4a7c15ull >> 56];
}

static struct shadow_handle *look_up(word shadow)
{
	struct shadow_handle *h;

	LL_SEARCH_SCALAR(*bucket(shadow), h, shadow, shadow);
	for (unsigned i = 0; shadow && !h && i < NR_CLOSED; i++) {
		if (closed[i] == shadow)
			h = &library_closed;
	}
	return h;
}

struct shadow_handle *library_find(word shadow)
{
	static _Thread_local struct {
		uint64_t changes;
		word shadow;
		struct shadow_handle *h;
	} last;
	uint64_t now = atomic_load_explicit(&changes, memory_order_acquire);

	if (last.changes == now && last.shadow == shadow)
		return last.h;
	pthread_mutex_lock(&lock);
	last.changes = atomic_load_explicit(&changes, memory_order_relaxed);
	last.shadow = shadow;
	last.h = look_up(shadow);
	pthread_mutex_unlock(&lock);
	return last.h;
}

/* lock held */
static void reopened(word shadow)
{
	for (unsigned i = 0; i < NR_CLOSED; i++) {
		if (closed[i] == shadow)
			closed[i] = 0;
	}
	atomic_fetch_add_explicit(&changes, 1, memory_order_release);
}

void library_add(struct shadow_handle *h)
{
	pthread_mutex_lock(&lock);
	LL_PREPEND(*bucket(h->shadow), h);
	reopened(h->shadow);
	pthread_mutex_unlock(&lock);
}

void library_remove(struct shadow_handle *h)
{
	pthread_mutex_lock(&lock);
	LL_DELETE(*bucket(h->shadow), h);
	closed[next_closed++ % NR_CLOSED] = h->shadow;
	atomic_fetch_add_explicit(&changes, 1, memory_order_release);
	pthread_mutex_unlock(&lock);
}

void library_not_ours(word handle)
{
	pthread_mutex_lock(&lock);
	reopened(handle);
	pthread_mutex_unlock(&lock);
}
