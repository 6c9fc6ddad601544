/*
 * allocate.c -- fallocate() of a file in the pool
 *
 * No space is reserved: data for which the pool has no room go to the file system.  Zeros are written where the call
 * requires them, and the file is extended.
 */
#include <errno.h>
#include <stdbool.h>

#include <linux/falloc.h>

#include "client/client.h"

/* keep_size: not beyond the end */
static int write_zeros(struct pmio_file *f, off_t off, off_t end, bool keep_size)
{
	static const uint8_t zeros[64 << 10];
	off_t size;
	ssize_t n = pmio_size(f, &size);

	if (n == 0 && keep_size && end > size)
		end = size;
	for (; n >= 0 && off < end; off += n)
		n = pmio_pwrite(f, zeros, end - off < (off_t)sizeof(zeros) ? (size_t)(end - off) : sizeof(zeros), off);
	return n < 0 ? (int)n : 0;
}

static int extend(struct pmio_file *f, off_t end)
{
	uint64_t to = (uint64_t)end;
	off_t size;
	int rc = client_grow(f, &to, 0);

	if (rc != -EOPNOTSUPP)
		return rc;
	rc = pmio_size(f, &size);
	return rc < 0 || end <= size ? rc : pmio_truncate(f, end);
}

int client_allocate(struct pmio_file *f, int mode, off_t off, off_t len)
{
	off_t end;

	if (!(f->flags & PMIO_OPEN_WRITE))
		return -EBADF;
	if (off < 0 || len <= 0)
		return -EINVAL;
	if (__builtin_add_overflow(off, len, &end))
		return -EFBIG;
	switch (mode) {
	case 0:
		return extend(f, end);
	case FALLOC_FL_KEEP_SIZE:
		return 0;
	case FALLOC_FL_ZERO_RANGE:
		return write_zeros(f, off, end, false);
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
		return write_zeros(f, off, end, true);
	default:
		return -EOPNOTSUPP;
	}
}
