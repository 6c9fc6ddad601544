/*
 * request.c -- the MPI requests of nonblocking calls
 *
 * A transfer that takes only loads and stores is done at once, and its request is complete when it is returned.  One that
 * has to wait for another node, a memory node or the file system becomes a deferred transfer (deferred.c), with a generalized
 * request.  MPI lets another thread complete that only in programs with MPI_THREAD_MULTIPLE; in all others a thread of the
 * program must do it when it is in MPI anyway:
 *
 * MPICH    its extended generalized requests have a function that MPI_Wait and MPI_Test call (MPIX_Grequest_start; R. Latham,
 *	    W. Gropp, R. Ross, R. Thakur: Extending the MPI-2 Generalized Request Interface, EuroPVM/MPI 2007)
 * Open MPI has such requests for its own ROMIO only, but calls registered functions whenever it makes progress
 *	    (opal_progress_register)
 *
 * If an MPI has neither, calls wait as blocking ones do.  No header of these MPIs is needed: the functions are looked up
 * by their names.
 */
#include "engine.h"
#include "deferred.h"
#include "view.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static void fill_status(MPI_Status *status, uint64_t bytes, int error)
{
	engine_set_status(status, bytes);
	status->MPI_SOURCE = MPI_UNDEFINED;
	status->MPI_TAG = MPI_UNDEFINED;
	status->MPI_ERROR = error;
}

static int cancel(void *state, int complete)
{
	(void)state;
	(void)complete;
	return MPI_SUCCESS;
}

/* ---- requests that are complete from the start ------------------------------------------------------------ */

static int query_bytes(void *state, MPI_Status *status)
{
	fill_status(status, (uint64_t)(uintptr_t)state, MPI_SUCCESS);
	return MPI_SUCCESS;
}

static int free_nothing(void *state)
{
	(void)state;
	return MPI_SUCCESS;
}

int engine_request_completed(uint64_t done, MPI_Request *request)
{
	int rc = PMPI_Grequest_start(query_bytes, free_nothing, cancel, (void *)(uintptr_t)done, request);

	return rc == MPI_SUCCESS ? PMPI_Grequest_complete(*request) : rc;
}

/* ---- requests of deferred transfers ------------------------------------------------------------------------------------------- */

static int query_deferred(void *state, MPI_Status *status)
{
	const struct deferred *j = state;
	int rc = engine_error(j->rc);

	fill_status(status, j->bytes, rc);
	return rc;
}

static void release(struct deferred *j)
{
	if (atomic_fetch_sub(&j->users, 1) != 1)
		return;
	engine_transfer_free(j->transfer);
	free(j);
}

/* with the request; in MPICH 4.0.2 also before it is complete: findings/mpich-grequest-free-early.sh */
static int free_deferred(void *state)
{
	release(state);
	return MPI_SUCCESS;
}

/* MPICH's MPI_Testall polls a completed request again, and ends the program if it is completed twice (4.0.2) */
static int complete_once(struct deferred *j)
{
	return atomic_exchange(&j->completed, true) ? MPI_SUCCESS : PMPI_Grequest_complete(j->request);
}

/* called by MPICH in MPI_Wait, MPI_Test and the like until the request is complete */
static int poll_deferred(void *state, MPI_Status *status)
{
	struct deferred *j = state;

	(void)status;
	if (!atomic_load_explicit(&j->done, memory_order_acquire)) {
		sched_yield(); /* to the thread that transfers the data */
		return MPI_SUCCESS;
	}
	return complete_once(j);
}

/* the same by MPI_Wait, which does not poll other requests meanwhile: none of pmio's transfers needs that */
static int wait_for_deferred(int nr, void **states, double timeout, MPI_Status *status)
{
	(void)timeout;
	(void)status;
	for (int i = 0; i < nr; i++) {
		struct deferred *j = states[i];

		while (!atomic_load_explicit(&j->done, memory_order_acquire))
			sched_yield();
		complete_once(j);
	}
	return MPI_SUCCESS;
}

/* ---- Open MPI: deferred transfers whose requests are to be completed ------------------------------------------------------------ */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct deferred *started; /* under lock, linked by `more` */
static _Atomic unsigned nr_done; /* of them */

/* one of them that is done, no longer in the list; NULL: there is none */
static struct deferred *take_done(void)
{
	struct deferred **p, *j = NULL;

	pthread_mutex_lock(&lock);
	for (p = &started; *p && !atomic_load_explicit(&(*p)->done, memory_order_acquire); p = &(*p)->more)
		;
	if (*p) {
		j = *p;
		*p = j->more;
		atomic_fetch_sub(&nr_done, 1);
	}
	pthread_mutex_unlock(&lock);
	return j;
}

/* called by Open MPI whenever it makes progress, also late in MPI_Finalize; the number of requests completed */
static int make_progress(void)
{
	struct deferred *j;
	int nr = 0, ended = 0;

	if (atomic_load_explicit(&nr_done, memory_order_relaxed))
		PMPI_Finalized(&ended);
	while (!ended && atomic_load_explicit(&nr_done, memory_order_relaxed) && (j = take_done())) {
		PMPI_Grequest_complete(j->request);
		nr++;
	}
	return nr;
}

/* ---- how requests are completed ---------------------------------------------------------------------------------- */

typedef int start_fn(MPI_Grequest_query_function *, MPI_Grequest_free_function *, MPI_Grequest_cancel_function *,
		     int (*poll)(void *, MPI_Status *), int (*wait)(int, void **, double, MPI_Status *), void *state, MPI_Request *);
typedef int register_fn(int (*progress)(void));

static enum { UNKNOWN, BY_POLL, BY_PROGRESS, BY_THREAD, NOT } way; /* under way_lock until it is known */
static pthread_mutex_t way_lock = PTHREAD_MUTEX_INITIALIZER;
static start_fn *start_polled;
static register_fn *unregister;

static void find_way(void)
{
	void *start = dlsym(RTLD_DEFAULT, "MPIX_Grequest_start"), *add = dlsym(RTLD_DEFAULT, "opal_progress_register"),
	     *remove = dlsym(RTLD_DEFAULT, "opal_progress_unregister");
	int level = MPI_THREAD_SINGLE;

	PMPI_Query_thread(&level);
	way = NOT;
	if (start) {
		memcpy(&start_polled, &start, sizeof(start_polled));
		way = BY_POLL;
	} else if (add && remove) {
		register_fn *fn;

		memcpy(&fn, &add, sizeof(fn));
		memcpy(&unregister, &remove, sizeof(unregister));
		if (fn(make_progress) == 0)
			way = BY_PROGRESS;
	}
	if (way == NOT && level == MPI_THREAD_MULTIPLE)
		way = BY_THREAD;
}

bool engine_requests_wait(void)
{
	pthread_mutex_lock(&way_lock);
	if (way == UNKNOWN)
		find_way();
	pthread_mutex_unlock(&way_lock);
	return way != NOT;
}

void engine_requests_stop(void)
{
	pthread_mutex_lock(&way_lock);
	if (way == BY_PROGRESS)
		unregister(make_progress);
	way = UNKNOWN;
	pthread_mutex_unlock(&way_lock);
}

/* before it is given to the thread */
static int start_request(struct deferred *j)
{
	int rc;

	if (way == BY_POLL)
		return start_polled(query_deferred, free_deferred, cancel, poll_deferred, wait_for_deferred, j, &j->request);
	rc = PMPI_Grequest_start(query_deferred, free_deferred, cancel, j, &j->request);
	if (rc != MPI_SUCCESS || way == BY_THREAD)
		return rc;
	pthread_mutex_lock(&lock);
	j->more = started;
	started = j;
	pthread_mutex_unlock(&lock);
	return MPI_SUCCESS;
}

static void is_over(struct deferred *j)
{
	atomic_store_explicit(&j->done, true, memory_order_release);
	if (way == BY_THREAD)
		PMPI_Grequest_complete(j->request);
	else if (way == BY_PROGRESS)
		atomic_fetch_add(&nr_done, 1);
	release(j);
}

/* -EINPROGRESS: it has been given to the thread; -ENOMEM */
static int defer(struct pmio_mpi_file *f, struct io_transfer *t, MPI_Request *request)
{
	struct deferred *j = calloc(1, sizeof(*j));

	if (!j || !engine_later_ready(f)) {
		free(j);
		return -ENOMEM;
	}
	j->transfer = t;
	j->over = is_over;
	j->users = 2;
	if (start_request(j) != MPI_SUCCESS) {
		free(j);
		return -ENOMEM;
	}
	*request = j->request; /* it may have ended as soon as the thread has it */
	engine_later_add(f, j);
	return -EINPROGRESS;
}

/* a read moves the file pointer by what it will find, up to the end of the file */
static int readable(struct pmio_mpi_file *f, uint64_t pos, uint64_t *bytes)
{
	uint64_t there;
	off_t size;
	int rc = engine_size(f, &size);

	if (rc < 0)
		return rc;
	there = engine_view_bytes(&f->view, size);
	there = there < pos ? 0 : there - pos;
	*bytes = there < *bytes ? there : *bytes;
	return 0;
}

int engine_transfer_start(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos, bool write, bool pointer,
			  uint64_t *done, MPI_Request *request)
{
	bool far = f->file->ops;
	struct io_transfer *t;
	uint64_t bytes;
	int rc;

	if (f->atomic || (write && !far) || !engine_requests_wait())
		return engine_transfer(f, buf, count, type, pos, write, done);
	*done = 0;
	t = engine_transfer_prepare(f, buf, count, type, pos, write, &bytes, &rc);
	if (!t)
		return rc;
	rc = -EAGAIN;
	if (!far)
		rc = engine_transfer_at_once(t, done);
	if (rc == -EAGAIN) {
		rc = pointer && !write ? readable(f, pos, &bytes) : 0;
		*done = bytes;
		if (rc == 0)
			rc = defer(f, t, request);
		if (rc == -EINPROGRESS)
			return rc;
		if (rc == -ENOMEM) /* as if it were a blocking call */
			rc = engine_transfer_run(t, done);
	}
	engine_transfer_free(t);
	return rc;
}
