/*
 * request.h -- requests that are not answered yet
 */
#ifndef PMIO_AGENT_REQUEST_H
#define PMIO_AGENT_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/workers.h"
#include "proto/proto.h"

struct agent;
struct conn;
struct file;

/* handles a request; fd came with it, -1: none; it is taken over */
typedef void request_fn(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);

/*
 * a request that is not answered yet: it is deferred, in a list, until it can be answered or dispatched again; or workers
 * take steps for it (request_step), and then it is the first member of a struct with what they need
 */
struct request {
	struct job job;		/* first; the step that is under way */
	void (*done)(struct agent *a, struct request *r); /* in the loop, after the step */
	struct file *file;	/* held during a step; NULL: none */
	uint64_t conn_id;	/* 0: no client waits for an answer */
	int fd;			/* owned: came with the request; -1: none */
	struct request *prev, *next;
	const union pmio_any_msg *msg; /* a copy, allocated with the request; NULL: the agent's own request */
};

/*
 * size: of the struct whose first member is the request; the rest of it is set to 0.  c and msg NULL: a request of the
 * agent itself.  Returns NULL if out of memory, after answering c
 */
void *request_new(struct agent *a, struct conn *c, const union pmio_any_msg *msg, size_t size);
/* answer, if the client is still connected, and free it */
void request_finish(struct agent *a, struct request *r, int status);
void request_free(struct agent *a, struct request *r); /* free it without an answer */
/* a new request, deferred; fd came with it, -1: none; it is taken over */
void request_defer(struct agent *a, struct request **list, struct conn *c, const union pmio_any_msg *msg, int fd);
/* finish all requests of a list, and empty it */
void requests_finish(struct agent *a, struct request **list, int status);
/* those that wait for one chunk: FILLs and STAGEs */
void requests_finish_fills(struct agent *a, struct request **list, uint64_t chunk, int status);
/* dispatch all of a list again */
void requests_retry(struct agent *a, struct request **list);

#endif
