/*
 * file_impl.h -- a file in another node's pool: file_handle.c < transfer.c < file.c
 */
#ifndef PMIO_REMOTE_FILE_IMPL_H
#define PMIO_REMOTE_FILE_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "remote/remote_impl.h"

#define FILE_SESSIONS_MAX 2 /* number of sessions in which a request is tried */

struct remote_file {
	struct pmio_file f;	/* first */
	struct node *target;	/* has the file */
	uint8_t layout[REMOTE_LAYOUT_ID]; /* if the file is relayed: its layout session */
	pthread_mutex_t lock;	/* of all below */
	struct node *relay;	/* calls go to this node's own target; NULL: to `target` directly */
	uint64_t epoch;		/* of the target's descriptor, as the relay knows it */
	uint64_t handle, generation; /* the handle at that node; generation 0: not opened in any session */
	uint64_t dev, ino;
};

/* where a file's calls go: a session that has been entered, and the file's handle in it */
struct file_at {
	struct node *node;
	uint64_t handle;
};

static inline struct remote_file *file_of(struct pmio_file *f)
{
	return (struct remote_file *)f;
}

/* ---- file_handle.c ---- */

/* the first open; 0 or an error, -EIO if the session was lost */
int file_open_at(struct remote_file *r, const struct client_open *how);
/* enter a session, with the file's handle in it; after 0, node_leave(at->node) */
int file_enter(struct remote_file *r, struct file_at *at);
/* call run() in a session, and again if that is lost and a new one can be made, in at most that many sessions */
int file_in_sessions(struct remote_file *r, int most, int (*run)(const struct file_at *at, void *arg), void *arg);

/* ---- transfer.c: see struct client_ops ---- */

ssize_t transfer_readx(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size);
ssize_t transfer_writex(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised);
void *transfer_begin(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size, bool write);
ssize_t transfer_finish(void *op, bool *raised);

#endif
