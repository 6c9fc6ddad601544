/*
 * map.c -- mapping a file's frames at an address of the caller's choice
 *
 * They are mapped a second time from the pool's `data`, through a descriptor with a lock, which exists as long as the
 * mapping, in any process: see lib/agent/mappings.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/client.h"
#include "core/error.h"
#include "core/fds.h"

/* a number that is probably unique among the file's handles */
static uint32_t next_lock(void)
{
	static _Atomic uint32_t count;

	return ((uint32_t)getpid() * 2654435761u + atomic_fetch_add(&count, 1) * 40503u) % PMIO_MAP_LOCKS;
}

/*
 * the lock is not released explicitly: it ends with the last descriptor and mapping, also in other processes.  f->lock
 * held
 */
static int open_data(struct pmio_file *f, bool writable, int *fd)
{
	struct flock fl = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1 };

	if (!f->nr_maps[0] && !f->nr_maps[1] && f->map_fd[0] < 0 && f->map_fd[1] < 0)
		f->map_lock = next_lock();
	if (f->map_fd[writable] < 0) {
		int new = openat(f->pm->dir_fd, PMIO_LOCK_FILE, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);

		if (new < 0)
			return -errno;
		f->map_fd[writable] = pmio_fd_move_high(new);
	}
	*fd = f->map_fd[writable];
	fl.l_start = PMIO_MAP_LOCK(f->slot, f->map_lock); /* another agent may give the file another slot */
	return fcntl(*fd, F_OFD_SETLK, &fl) < 0 ? -errno : 0;
}

static int tell(struct pmio_file *f, uint64_t first, uint64_t nr, uint32_t how)
{
	union pmio_any_msg msg, reply;

	pmio_proto_request(&msg, PMIO_OP_MAP, 0);
	msg.map.first = first;
	msg.map.nr = nr;
	msg.map.how = how;
	msg.map.lock = f->map_lock;
	return client_file_call(f, &msg, &reply, NULL);
}

struct map_request {
	struct pmio_file *f;
	uint8_t *addr;
	uint64_t off, end; /* in the file; end: of the last page */
	bool writable;
};

/* map what lies in consecutive frames from off on; returns its bytes or an error */
static int64_t map_run(const struct map_request *r, uint64_t off, int fd)
{
	struct pmio_view *v = r->f->pm->view;
	uint64_t chunk = off >> v->chunk_shift, start = off & (v->chunk_size - 1), len = 0, last = (r->end - 1) >> v->chunk_shift;
	int64_t frame = -1, next;
	int rc;

	do {
		rc = client_make_resident(r->f, chunk, last - chunk + 1, r->writable, &next);
		if (rc < 0)
			return rc;
		if (frame >= 0 && next != frame + (int64_t)(len + start) / (int64_t)v->chunk_size)
			break;
		if (frame < 0)
			frame = next;
		len += v->chunk_size - (len ? 0 : start);
	} while (++chunk <= last);
	if (len > r->end - off)
		len = r->end - off;
	if (mmap(r->addr + (off - r->off), len, PROT_READ | (r->writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, fd,
		 (off_t)(v->super->frames_off + ((uint64_t)frame << v->chunk_shift) + start)) == MAP_FAILED)
		return -errno;
	return (int64_t)len;
}

static int map_all(const struct map_request *r)
{
	struct pmio_file *f = r->f;
	unsigned shift = f->pm->view->chunk_shift;
	uint64_t first = r->off >> shift, last = (r->end - 1) >> shift;
	int64_t frame, n;
	int fd = -1, rc;

	pthread_mutex_lock(&f->lock);
	rc = open_data(f, r->writable, &fd);
	pthread_mutex_unlock(&f->lock);
	/* first all blocks are valid, then they are dirty, then they can be stored to */
	for (uint64_t chunk = first; chunk <= last && rc == 0; chunk++)
		rc = client_make_resident(f, chunk, last - chunk + 1, r->writable, &frame);
	if (rc == 0)
		rc = tell(f, first, last - first + 1, r->writable ? PMIO_MAP_WRITE : PMIO_MAP_READ);
	for (uint64_t off = r->off; off < r->end && rc == 0; off += (uint64_t)n) {
		n = map_run(r, off, fd);
		rc = n < 0 ? (int)n : 0;
	}
	return rc;
}

/* pm->lock keeps a thread that opens the file again from missing the flag */
static void set_flag(struct pmio_file *f, bool on)
{
	pthread_mutex_lock(&f->pm->lock);
	f->flags = on ? f->flags | PMIO_OPEN_MAPPED : f->flags & ~PMIO_OPEN_MAPPED;
	pthread_mutex_unlock(&f->pm->lock);
}

/* the last mapping of this handle is gone, or was not made */
static int end(struct pmio_file *f)
{
	int rc;

	for (int i = 0; i < 2; i++) {
		if (f->map_fd[i] >= 0)
			close(f->map_fd[i]);
		f->map_fd[i] = -1;
	}
	rc = tell(f, 0, 0, 0);
	set_flag(f, false);
	return rc;
}

static int check(const struct map_request *r, size_t len, off_t *size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct pmio_file *f = r->f;
	int rc;

	if (f->ops)
		return -EOPNOTSUPP;
	if (!(f->flags & PMIO_OPEN_READ) || (r->writable && !(f->flags & PMIO_OPEN_WRITE)))
		return -EACCES;
	rc = pmio_size(f, size);
	if (rc < 0)
		return rc;
	if (!len || ((uintptr_t)r->addr | r->off) & (page - 1) || len > (uint64_t)INT64_MAX - r->off ||
	    r->off + len > (((uint64_t)*size + page - 1) & ~(page - 1)))
		return -EINVAL;
	return f->pm->view->chunk_size & (page - 1) ? -EOPNOTSUPP : 0;
}

int pmio_map(struct pmio_file *f, void *addr, size_t len, off_t off, int writable)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), epoch;
	struct map_request r = { f, addr, (uint64_t)off, ((uint64_t)off + len + page - 1) & ~(page - 1), writable != 0 };
	bool done = false;
	off_t size;
	int rc = check(&r, len, &size);

	for (int tries = 0; tries < CLIENT_AGENTS_MAX && rc == 0 && !done; tries++) {
		rc = client_begin_try(f, &epoch);
		if (rc == 0)
			rc = f->broken;
		if (rc == 0) {
			set_flag(f, true);
			rc = map_all(&r);
		}
		done = client_is_agent(f, epoch);
		if (rc < 0 && !done && !f->broken)
			rc = 0; /* once more, with the next agent */
	}
	if (rc == 0 && !done)
		rc = PMIO_EAGENT;
	if (rc == 0)
		f->nr_maps[r.writable]++;
	else if (!f->ops && !f->nr_maps[0] && !f->nr_maps[1] && (f->flags & PMIO_OPEN_MAPPED))
		end(f);
	if (rc < 0 && rc != -ENODATA) /* not an error of the call: see pmio.h */
		pmio_err("map %s: %s", f->path, pmio_strerror(rc));
	return rc;
}

int pmio_unmap(struct pmio_file *f, void *addr, size_t len, int writable)
{
	int rc;

	if (f->ops || !f->nr_maps[writable != 0])
		return -EINVAL;
	if (len && munmap(addr, len) < 0)
		return -errno;
	f->nr_maps[writable != 0]--;
	rc = f->nr_maps[0] || f->nr_maps[1] ? 0 : end(f);
	if (rc < 0)
		pmio_err("unmap %s: %s", f->path, pmio_strerror(rc));
	return rc;
}

int pmio_map_sync(struct pmio_file *f, off_t off, size_t len)
{
	struct pmio_view *v;
	int64_t frame;
	int rc = 0;

	if (f->ops)
		return -EOPNOTSUPP;
	if (off < 0 || len > (uint64_t)INT64_MAX - (uint64_t)off)
		return -EINVAL;
	v = f->pm->view;
	for (uint64_t at = (uint64_t)off, end = at + len; at < end && rc == 0;) {
		uint64_t start = at & (v->chunk_size - 1), n = v->chunk_size - start < end - at ? v->chunk_size - start : end - at;

		rc = client_make_resident(f, at >> v->chunk_shift, 1, false, &frame);
		if (rc == 0)
			pmio_pm_flush(v->pm, pmio_view_frame(v, (uint64_t)frame) + start, n);
		at += n;
	}
	if (rc < 0)
		return rc;
	pmio_pm_fence(v->pm);
	return pmio_sync(f);
}
