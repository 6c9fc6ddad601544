/*
 * verify.c -- reads back what a drain wrote (setting `verify`)
 *
 * Bytes in frames may change while they are drained, so each piece is copied, and
 * its sum taken, before it is written.  When everything is durable the file system is
 * told to drop what it has cached of the file, as far as it supports that, and the
 * pieces are read and their sums compared.
 *
 * CRC32C: RFC 3720, 12.1 (the polynomial of iSCSI), by ISA-L.
 */
#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/verify.h"
#include "core/error.h"
#include "core/log.h"

#define PIECE (1u << 20) /* bytes */

struct summed_piece {
	uint64_t off;
	uint32_t len, sum;
};

struct verify {
	struct pmio_view *view;
	uint8_t *buf;	/* owned; PIECE bytes */
	struct summed_piece *pieces; /* owned */
	size_t nr, room;
};

struct verify *verify_new(struct pmio_view *view)
{
	struct verify *v = calloc(1, sizeof(*v));

	if (v)
		v->buf = malloc(PIECE);
	if (v && v->buf) {
		v->view = view;
		return v;
	}
	free(v);
	return NULL;
}

void verify_delete(struct verify **pv)
{
	struct verify *v = *pv;

	*pv = NULL;
	if (!v)
		return;
	free(v->buf);
	free(v->pieces);
	free(v);
}

static uint32_t crc32c(uint8_t *p, size_t len)
{
	return ~crc32_iscsi(p, (int)len, ~0u);
}

static int add_piece(struct verify *v, uint64_t off, size_t len)
{
	struct summed_piece *more;

	if (v->nr == v->room) {
		size_t room = v->room ? v->room * 2 : 64;

		more = realloc(v->pieces, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		v->pieces = more;
		v->room = room;
	}
	v->pieces[v->nr++] = (struct summed_piece){ off, (uint32_t)len, crc32c(v->buf, len) };
	return 0;
}

struct copy {
	struct verify *v;
	const uint8_t *from;
	size_t len;
};

static ssize_t copy_out(struct pmio_pm_guard *guard, void *arg)
{
	struct copy *c = arg;

	pmio_pm_guard_arm(guard, true);
	pmio_pm_read(c->v->view->pm, c->v->buf, c->from, c->len);
	return 0;
}

/* -EFAULT: the frame cannot be read: the error that pwrite(2) would return */
static int write_piece(struct verify *v, int fd, const uint8_t *from, size_t len, uint64_t off)
{
	struct copy c = { v, from, len };
	size_t done = 0;
	int rc;

	if (pmio_pm_guarded(v->view->pm, copy_out, &c) < 0)
		return -EFAULT;
	rc = add_piece(v, off, len);
	while (rc == 0 && done < len) {
		ssize_t n = pwrite(fd, v->buf + done, len - done, (off_t)(off + done));

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			rc = n < 0 ? -errno : -EIO;
	}
	return rc;
}

int verify_write(struct verify *v, int fd, const struct iovec *iov, int nr, uint64_t off)
{
	int rc = 0;

	for (int i = 0; i < nr && rc == 0; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left && rc == 0) {
			size_t n = left < PIECE ? left : PIECE;

			rc = write_piece(v, fd, p, n, off);
			p += n;
			off += n;
			left -= n;
		}
	}
	return rc;
}

static int check_piece(struct verify *v, int fd, const struct summed_piece *p, const char *path)
{
	size_t done = 0;
	ssize_t n = 1;

	while (done < p->len && n > 0) {
		n = pread(fd, v->buf + done, p->len - done, (off_t)(p->off + done));
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			done += (size_t)n;
	}
	if (n < 0) {
		int rc = -errno;

		pmio_err("agent: %s: cannot be read back: %s", path, pmio_strerror(rc));
		return rc;
	}
	if (done == p->len && crc32c(v->buf, p->len) == p->sum)
		return 0;
	pmio_err("agent: %s: bytes %llu to %llu, read back, differ from what was written", path,
		 (unsigned long long)p->off, (unsigned long long)(p->off + p->len - 1));
	return -EIO;
}

int verify_check(struct verify *v, int fd, const char *path, struct job *job)
{
	int rc = 0;

	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (size_t i = 0; i < v->nr && rc == 0; i++) {
		rc = check_piece(v, fd, &v->pieces[i], path);
		job_alive(job);
	}
	return rc;
}
