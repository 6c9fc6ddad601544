/*
 * heap.c -- malloc() of an unmodified program in a file of persistent memory; preloaded by `pmio run --heap`
 *
 * PMIO_HEAP_DIR	the directory of the file, that of a pool
 * PMIO_HEAP_SIZE	bytes; a process cannot have more in it
 * PMIO_HEAP_FULL	what a request gets for which there is no room: "dram", memory of the system, with one line (default), or "fail"
 * PMIO_HEAP_FORK	what a child of fork() gets: "copy", a file of its own (default), or "refuse", the end with status 127
 *
 * Each process has a file without a name (O_TMPFILE), mapped shared, and memkind's allocator in it
 * (memkind_create_fixed).  The file is scratch space, which disappears with the process.  Memory that is allocated before
 * the constructor here, or by memkind itself, and all memory after the destructor, comes from the C library.
 *
 * A store into a page for which the file system has no room causes a SIGBUS.  So the file's blocks are reserved, by
 * fallocate(2), up to AHEAD bytes beyond the highest address that was given out, and a request beyond what could be
 * reserved fails.  memkind allocates from the start of a fixed range on; it touches no new page before this library does,
 * except its own structures, for which AHEAD suffices.  So calloc() and realloc() are not left to memkind.  Programs that
 * become daemons close all their descriptors; then the pages themselves are populated in advance (MADV_POPULATE_WRITE,
 * Linux 5.14).
 *
 * The mapping is shared, thus fork() does not copy it.  While the parent waits in fork(), the child copies the contents of
 * the file into one of its own, and maps that at the same place.  The handlers here are registered before memkind's: so
 * all its locks are held meanwhile, and memkind's structures in the copy are consistent.  Bytes that other threads of the
 * parent write into their memory meanwhile may be in the copy or not; after a fork with threads only calls that are safe
 * in signal handlers may be used in the child anyway (POSIX, fork).
 *
 * Threads: any.  Async-signal-safety: as malloc(), none.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memkind.h>

#include "heap/heap.h"

#define EXPORT __attribute__((visibility("default")))
#define LIBRARY "libmemkind.so.0"
#define HUGE_PAGE (2ul << 20)
#define AHEAD (8ul << 20)
#define STEP (4ul << 20)
#define BLOCK 4096
#define LOW_FD 512	      /* programs use, and close, low descriptors by their numbers */
#define NONSENSE (1ul << 46)  /* bytes: more than a process can have */
#define ALIGNMENT 16	      /* of malloc() on 64-bit machines */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t nr, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *p);

enum state { CLOSED, OPEN, LEAVING };

static struct {
	_Atomic(enum state) state;
	bool fails, refuses;		/* PMIO_HEAP_FULL=fail, PMIO_HEAP_FORK=refuse */
	const char *dir;
	int fd;				/* the program may have closed it: has_file() */
	dev_t dev;
	ino_t ino;
	uint8_t *base;
	size_t size;
	atomic_size_t reserved;		/* bytes from base */
	pthread_mutex_t lock;		/* of what raises it */
	atomic_flag said_full;
	memkind_t kind;
	int (*create_fixed)(void *addr, size_t size, memkind_t *kind);
	void *(*malloc)(memkind_t kind, size_t size);
	int (*posix_memalign)(memkind_t kind, void **p, size_t alignment, size_t size);
	void (*free)(memkind_t kind, void *p);
	size_t (*usable_size)(memkind_t kind, void *p);
} heap = { .fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .said_full = ATOMIC_FLAG_INIT };

/* of the calling thread; not in memory that the loader would have to allocate */
#define OF_THREAD static __thread __attribute__((tls_model("initial-exec")))
OF_THREAD unsigned inside;	/* memkind's own calls, and those that lead to it */
OF_THREAD int child_copies[2];	/* a pipe that ends when the child has its copy */
OF_THREAD struct late {
	struct late *next;
} *late;			/* freed while inside; the list is in their memory */

/* one line; without malloc() */
static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	char line[512] = "pmio: error: heap: ";
	size_t len = strlen(line);
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, args);
	va_end(args);
	len += n < 0 ? 0 : (size_t)n < sizeof(line) - len - 1 ? (size_t)n : sizeof(line) - len - 2;
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* there is no reader */
}

static bool is_ours(const void *p)
{
	return heap.base && (const uint8_t *)p >= heap.base && (const uint8_t *)p < heap.base + heap.size;
}

/* ---- the file --------------------------------------------------------------------------- */

static int new_file(void)
{
	int fd = open(heap.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), high;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)heap.size) < 0) {
		high = -errno;
		close(fd);
		return high;
	}
	high = fcntl(fd, F_DUPFD_CLOEXEC, LOW_FD);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

static bool has_file(void)
{
	struct stat st;

	return fstat(heap.fd, &st) == 0 && st.st_dev == heap.dev && st.st_ino == heap.ino;
}

static int take_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	heap.fd = fd;
	heap.dev = st.st_dev;
	heap.ino = st.st_ino;
	return 0;
}

static int reserve(int fd, size_t from, size_t to)
{
	int rc;

	do
		rc = fallocate(fd, 0, (off_t)from, (off_t)(to - from));
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static bool raise_reserved(size_t end)
{
	size_t to, from;
	int rc = 0;

	pthread_mutex_lock(&heap.lock);
	from = atomic_load(&heap.reserved);
	to = (end + AHEAD + STEP - 1) / STEP * STEP;
	if (to > heap.size)
		to = heap.size;
	if (to > from && has_file())
		rc = reserve(heap.fd, from, to);
	else if (to > from && madvise(heap.base + from, to - from, MADV_POPULATE_WRITE) < 0)
		rc = -errno;
	if (rc == 0 && to > from)
		atomic_store(&heap.reserved, to);
	pthread_mutex_unlock(&heap.lock);
	return rc == 0;
}

/* p: of memkind, and not written to yet; NULL: there is no room for it */
static void *have_room_for(void *p, size_t size)
{
	size_t end = (size_t)((uint8_t *)p - heap.base) + size;

	if (!p || end + AHEAD <= atomic_load_explicit(&heap.reserved, memory_order_acquire) ||
	    atomic_load(&heap.reserved) == heap.size || raise_reserved(end))
		return p;
	heap.free(heap.kind, p);
	return NULL;
}

/*
 * When libraries have been loaded, the first use of a variable of memkind's for each thread makes the loader free what it has allocated before,
 * by the free() here; that must not lead to memkind again, which would come to the same place
 */
static void free_later(void *p)
{
	struct late *l = p;

	l->next = late;
	late = l;
}

static void free_now(void *p)
{
	inside++;
	heap.free(heap.kind, p);
	inside--;
	while (late) {
		p = late;
		late = late->next;
		inside++;
		heap.free(heap.kind, p);
		inside--;
	}
}

/* ---- requests ------------------------------------------------------------------------------- */

static bool is_open(void)
{
	return atomic_load_explicit(&heap.state, memory_order_acquire) == OPEN && !inside;
}

/* there is no room: NULL, or memory of the system */
static void *not_here(size_t alignment, size_t size)
{
	int err = errno;

	if (heap.fails) {
		errno = ENOMEM;
		return NULL;
	}
	if (!atomic_flag_test_and_set(&heap.said_full))
		say("process %ld: its heap of %zu MiB in %s has no room for %zu bytes: what does not fit is allocated from DRAM",
		    (long)getpid(), heap.size >> 20, heap.dir, size);
	errno = err;
	return alignment > ALIGNMENT ? __libc_memalign(alignment, size) : __libc_malloc(size);
}

static void *take(size_t alignment, size_t size)
{
	int err = errno;
	void *p = NULL;

	if (!is_open())
		return alignment > ALIGNMENT ? __libc_memalign(alignment, size) : __libc_malloc(size);
	if (!size)
		size = 1;
	if (size > NONSENSE)
		return __libc_malloc(size); /* says ENOMEM */
	inside++;
	if (alignment <= ALIGNMENT)
		p = heap.malloc(heap.kind, size);
	else if (heap.posix_memalign(heap.kind, &p, alignment, size) != 0)
		p = NULL;
	p = have_room_for(p, size);
	inside--;
	errno = err;
	return p ? p : not_here(alignment, size);
}

EXPORT void *malloc(size_t size)
{
	return take(ALIGNMENT, size);
}

EXPORT void free(void *p)
{
	int err = errno;

	if (!is_ours(p)) {
		__libc_free(p);
		return;
	}
	if (atomic_load(&heap.state) != OPEN)
		return;
	if (inside)
		free_later(p);
	else
		free_now(p);
	errno = err;
}

EXPORT void *calloc(size_t nr, size_t size)
{
	size_t len;
	void *p;

	if (!is_open())
		return __libc_calloc(nr, size);
	if (__builtin_mul_overflow(nr, size, &len)) {
		errno = ENOMEM;
		return NULL;
	}
	p = take(ALIGNMENT, len);
	return p ? memset(p, 0, len) : NULL;
}

static size_t usable_size(void *p)
{
	static _Atomic(size_t (*)(void *)) of_system;
	size_t (*f)(void *);

	if (is_ours(p))
		return heap.usable_size(heap.kind, p);
	f = atomic_load(&of_system);
	if (!f) {
		*(void **)&f = dlsym(RTLD_NEXT, "malloc_usable_size");
		atomic_store(&of_system, f);
	}
	return f ? f(p) : 0;
}

EXPORT size_t malloc_usable_size(void *p)
{
	return p ? usable_size(p) : 0;
}

EXPORT void *realloc(void *p, size_t size)
{
	size_t has;
	void *new;

	if (!p)
		return malloc(size);
	if (!is_ours(p))
		return __libc_realloc(p, size);
	if (!size) {
		free(p);
		return NULL;
	}
	has = usable_size(p);
	if (size <= has && size >= has / 2)
		return p;
	new = take(ALIGNMENT, size);
	if (!new)
		return NULL;
	memcpy(new, p, has < size ? has : size);
	free(p);
	return new;
}

EXPORT void *reallocarray(void *p, size_t nr, size_t size)
{
	size_t len;

	if (__builtin_mul_overflow(nr, size, &len)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, len);
}

static bool is_alignment(size_t n)
{
	return n && (n & (n - 1)) == 0;
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
	int err = errno;
	void *p;

	if (!is_alignment(alignment) || alignment % sizeof(void *))
		return EINVAL;
	p = take(alignment, size);
	errno = err;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	if (is_alignment(alignment))
		return take(alignment, size);
	errno = EINVAL;
	return NULL;
}

EXPORT void *memalign(size_t alignment, size_t size)
{
	return aligned_alloc(alignment, size);
}

EXPORT void *valloc(size_t size)
{
	return take((size_t)sysconf(_SC_PAGESIZE), size);
}

EXPORT void *pvalloc(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (size > SIZE_MAX - page) {
		errno = ENOMEM;
		return NULL;
	}
	return take(page, (size + page - 1) / page * page);
}

/* ---- fork() ---------------------------------------------------------------------------------- */

static void before_fork(void)
{
	child_copies[0] = child_copies[1] = -1;
	if (atomic_load(&heap.state) != OPEN || heap.refuses)
		return;
	pthread_mutex_lock(&heap.lock);
	if (pipe2(child_copies, O_CLOEXEC) < 0)
		child_copies[0] = child_copies[1] = -1; /* the child sees it */
}

static void in_parent(void)
{
	int err = errno;
	char c;

	if (atomic_load(&heap.state) != OPEN || heap.refuses)
		return;
	if (child_copies[0] >= 0) {
		close(child_copies[1]);
		while (read(child_copies[0], &c, 1) < 0 && errno == EINTR)
			;
		close(child_copies[0]);
	}
	pthread_mutex_unlock(&heap.lock);
	errno = err;
}

static bool is_zero(off_t at, size_t len)
{
	return heap.base[at] == 0 && memcmp(heap.base + at, heap.base + at + 1, len - 1) == 0;
}

/* block: in pieces of that size, without those that are zeros; 0: all of it */
static int copy_range(int fd, off_t at, off_t end, size_t block)
{
	while (at < end) {
		size_t len = block ? block : (size_t)(end - at);
		ssize_t n = block && is_zero(at, len) ? (ssize_t)len : pwrite(fd, heap.base + at, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		at += n;
	}
	return 0;
}

/* the parts that the file has; those that are only reserved are holes */
static int copy_file(int fd)
{
	off_t at = 0, end;
	int rc = 0;

	if (!has_file())
		return copy_range(fd, 0, (off_t)atomic_load(&heap.reserved), BLOCK);
	while (rc == 0) {
		at = lseek(heap.fd, at, SEEK_DATA);
		if (at < 0)
			return errno == ENXIO ? 0 : -errno;
		end = lseek(heap.fd, at, SEEK_HOLE);
		if (end < 0)
			return -errno;
		rc = copy_range(fd, at, end, 0);
		at = end;
	}
	return rc;
}

static int replace_file(void)
{
	int fd = child_copies[0] < 0 ? -EMFILE : new_file(), rc = fd < 0 ? fd : copy_file(fd);
	bool had = has_file();

	if (rc == 0)
		rc = reserve(fd, 0, atomic_load(&heap.reserved));
	if (rc == 0 && mmap(heap.base, heap.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		rc = -errno;
	if (rc < 0)
		return rc;
	if (had)
		close(heap.fd);
	return take_file(fd);
}

static void in_child(void)
{
	int err = errno, rc;

	if (atomic_load(&heap.state) != OPEN)
		return;
	rc = heap.refuses ? -EPERM : replace_file();
	if (rc < 0) {
		say("cannot copy the heap of process %ld in %s for its child: %s", (long)getppid(), heap.dir,
		    heap.refuses ? "PMIO_HEAP_FORK=refuse" : strerrordesc_np(-rc));
		_exit(127);
	}
	close(child_copies[0]);
	close(child_copies[1]);
	pthread_mutex_init(&heap.lock, NULL);
	errno = err;
}

/* ---- begin and end ------------------------------------------------------------------------------ */

static void *symbol(void *library, const char *name, bool *all)
{
	void *p = dlsym(library, name);

	*all = *all && p;
	return p;
}

static bool load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	bool all = library != NULL;

	if (!library) {
		say("%s", dlerror());
		return false;
	}
	*(void **)&heap.create_fixed = symbol(library, "memkind_create_fixed", &all);
	*(void **)&heap.malloc = symbol(library, "memkind_malloc", &all);
	*(void **)&heap.posix_memalign = symbol(library, "memkind_posix_memalign", &all);
	*(void **)&heap.free = symbol(library, "memkind_free", &all);
	*(void **)&heap.usable_size = symbol(library, "memkind_malloc_usable_size", &all);
	if (!all)
		say("%s is too old: memkind 1.10 or later is needed", LIBRARY);
	return all;
}

/* at an address of huge pages; NULL: errno */
static uint8_t *map_file(void)
{
	uint8_t *room = mmap(NULL, heap.size + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *p;
	size_t skip;

	if (room == MAP_FAILED)
		return NULL;
	skip = -(uintptr_t)room & (HUGE_PAGE - 1);
	p = mmap(room + skip, heap.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, heap.fd, 0);
	if (p == MAP_FAILED) {
		munmap(room, heap.size + HUGE_PAGE);
		return NULL;
	}
	munmap(room, skip);
	munmap(p + heap.size, HUGE_PAGE - skip);
	return p;
}

static bool open_heap(void)
{
	uint8_t *base;
	int rc;

	rc = new_file();
	if (rc >= 0)
		rc = take_file(rc);
	if (rc < 0) {
		say("cannot create a file in %s: %s", heap.dir, strerrordesc_np(-rc));
		return false;
	}
	rc = reserve(heap.fd, 0, AHEAD + STEP);
	if (rc < 0) {
		say("%zu MiB in %s: %s", (AHEAD + STEP) >> 20, heap.dir, strerrordesc_np(-rc));
		return false;
	}
	atomic_store(&heap.reserved, AHEAD + STEP);
	base = map_file();
	if (!base) {
		say("mapping %zu MiB in %s: %s", heap.size >> 20, heap.dir, strerrordesc_np(errno));
		return false;
	}
	rc = heap.create_fixed(base, heap.size, &heap.kind);
	if (rc != 0) {
		say("memkind_create_fixed: error %d", rc);
		return false;
	}
	heap.base = base;
	return true;
}

static bool says(const char *name, const char *value)
{
	const char *s = secure_getenv(name);

	return s && strcmp(s, value) == 0;
}

__attribute__((constructor)) static void begin(void)
{
	const char *size = secure_getenv("PMIO_HEAP_SIZE");
	bool done;

	heap.dir = secure_getenv("PMIO_HEAP_DIR");
	if (!heap.dir || !size || atomic_load(&heap.state) != CLOSED)
		return;
	heap.dir = strdup(heap.dir);
	heap.size = strtoull(size, NULL, 10) / HUGE_PAGE * HUGE_PAGE;
	heap.fails = says("PMIO_HEAP_FULL", "fail");
	heap.refuses = says("PMIO_HEAP_FORK", "refuse");
	if (!heap.dir || heap.size < PMIO_HEAP_MIN) {
		say("PMIO_HEAP_SIZE=%s: at least %zu MiB", size, PMIO_HEAP_MIN >> 20);
		if (heap.fails)
			_exit(125);
		return;
	}
	inside++;
	done = pthread_atfork(before_fork, in_parent, in_child) == 0 && load() && open_heap();
	inside--;
	if (done)
		atomic_store_explicit(&heap.state, OPEN, memory_order_release);
	else if (heap.fails)
		_exit(125);
}

/* what is freed from now on need not be: threads may still use it, and memkind's own destructor may have run */
__attribute__((destructor)) static void end(void)
{
	enum state open = OPEN;

	atomic_compare_exchange_strong(&heap.state, &open, LEAVING);
}
