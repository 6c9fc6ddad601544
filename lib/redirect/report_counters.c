/*
 * report_counters.c -- the calls of the pool's library, with totals of their time and bytes for `pmio run --report`
 *
 * The totals of all processes are in one small file that all have mapped, so nothing is lost if a process is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "redirect/nodes_ops.h"
#include "redirect/pool_ops.h"

static const struct redirect_pool *inner;
static struct redirect_pool timed;
static struct redirect_times *times;

static void count_time(uint64_t since)
{
	__atomic_fetch_add(&times->ns, pmio_now_ns() - since, __ATOMIC_RELAXED);
}

static ssize_t count(uint64_t since, uint64_t *bytes, ssize_t n)
{
	count_time(since);
	if (n > 0)
		__atomic_fetch_add(bytes, (uint64_t)n, __ATOMIC_RELAXED);
	return n;
}

static int count_call(uint64_t since, int rc)
{
	count_time(since);
	return rc;
}

static ssize_t read_at_once(struct pmio_file *f, const struct iovec *v, off_t off)
{
	uint64_t since = pmio_now_ns();

	return count(since, &times->read, inner->read_at_once(f, v, off));
}

static ssize_t write_at_once(struct pmio_file *f, const struct iovec *v, off_t off)
{
	uint64_t since = pmio_now_ns();

	return count(since, &times->written, inner->write_at_once(f, v, off));
}

static ssize_t read_pieces(struct pmio_file *f, const struct iovec *v, int nr, off_t off)
{
	uint64_t since = pmio_now_ns();

	return count(since, &times->read, inner->read(f, v, nr, off));
}

static ssize_t write_pieces(struct pmio_file *f, const struct iovec *v, int nr, off_t off)
{
	uint64_t since = pmio_now_ns();

	return count(since, &times->written, inner->write(f, v, nr, off));
}

static ssize_t append(struct pmio_file *f, const struct iovec *v, int nr, off_t *at)
{
	uint64_t since = pmio_now_ns();

	return count(since, &times->written, inner->append(f, v, nr, at));
}

static int open_file(int fd, const char *name, int access, bool is_new, struct pmio_file **out)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->open(fd, name, access, is_new, out));
}

static int close_file(struct pmio_file *f, unsigned how)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->close(f, how));
}

static int truncate_file(struct pmio_file *f, off_t size)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->truncate(f, size));
}

static int allocate(struct pmio_file *f, int mode, off_t off, off_t len)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->allocate(f, mode, off, len));
}

static int sync_file(struct pmio_file *f)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->sync(f));
}

static int drain(struct pmio_file *f)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->drain(f));
}

static int map(struct pmio_file *f, void *addr, size_t len, off_t off, bool writable)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->map(f, addr, len, off, writable));
}

static int map_sync(struct pmio_file *f, off_t off, size_t len)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->map_sync(f, off, len));
}

static int unmap(struct pmio_file *f, bool writable)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->unmap(f, writable));
}

static int settle(int fd, const char *name)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->settle(fd, name));
}

static int settle_all(bool (*matches)(const char *name))
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->settle_all(matches));
}

static int remove_file(int fd, const char *path)
{
	uint64_t since = pmio_now_ns();

	return count_call(since, inner->remove(fd, path));
}

static struct redirect_times *map_times(const char *file)
{
	int fd = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *p = MAP_FAILED;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(*times))
		p = mmap(NULL, sizeof(*times), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

const struct redirect_pool *pool_timed(const struct redirect_pool *pool, const char *file)
{
	times = map_times(file);
	if (!times) {
		pmio_warn("%s: this process is not included in the report: %s", file, errno ? strerror(errno) : "wrong size of the file");
		return pool;
	}
	inner = pool;
	timed = *pool;
	timed.open = open_file;
	timed.close = close_file;
	timed.read_at_once = read_at_once;
	timed.write_at_once = write_at_once;
	timed.read = read_pieces;
	timed.write = write_pieces;
	timed.append = append;
	timed.truncate = truncate_file;
	timed.allocate = allocate;
	timed.sync = sync_file;
	timed.drain = drain;
	timed.map = map;
	timed.map_sync = map_sync;
	timed.unmap = unmap;
	timed.settle = settle;
	timed.settle_all = settle_all;
	timed.remove = remove_file;
	return &timed;
}
