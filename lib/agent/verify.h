/*
 * verify.h -- drained data are read back; in workers: each part of a drain has one if the file is to be verified
 */
#ifndef PMIO_AGENT_VERIFY_H
#define PMIO_AGENT_VERIFY_H

#include <stdint.h>
#include <sys/uio.h>

#include "daemon/workers.h"
#include "pool/pool.h"

struct verify;
struct pmio_view;

struct verify *verify_new(struct pmio_view *view);
void verify_delete(struct verify **v); /* takes a pointer to NULL */
/* write pieces of frames, consecutive in the file, from copies; 0 or -errno; -EFAULT: a frame cannot be read */
int verify_write(struct verify *v, int fd, const struct iovec *iov, int nr, uint64_t off);
/* read back what was written: 0, -EIO (it differs) or -errno; logged.  fd: open for reading too */
int verify_check(struct verify *v, int fd, const char *path, struct job *job);

#endif
