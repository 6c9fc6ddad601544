/*
 * map.c -- files in memory
 *
 * A shared mapping is of the pool's frames.  It keeps the file open, as the program may close its descriptor, and is
 * known by its pieces, as a program may end it piece by piece.  A private one is of a copy; of a large file, it is of the
 * plain one after a drain: others' later writes need not show in it.  Of a file whose pieces are on other nodes there
 * are only copies.
 *
 * What is beyond the file's end, up to the end of the mapping, is a mapping of an empty file, so that an access is
 * SIGBUS, as it should be.  When the file has grown it becomes one of frames: after this process has made it grow, or at
 * the access.
 */
#include "redirect/redirect.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/signals.h"

#define COPY_MAX (64u << 20) /* bytes */
#define HUGE ((size_t)2 << 20)

struct mapping {
	struct redirect_file *f; /* with a reference */
	bool writable;
	int prot;
	unsigned nr_pieces;
	unsigned nr_maps; /* calls of the pool's map() */
};

struct mapped_piece {
	struct mapped_piece *next;
	struct mapping *mapping;
	char *addr;
	size_t len;
	off_t off; /* in the file */
	bool writable;
	bool is_tail; /* beyond the file's end */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all pieces */
static struct mapped_piece *pieces;
static unsigned nr_tails; /* that were ever made */

static size_t page_size(void)
{
	static size_t size;

	if (!size)
		size = (size_t)sysconf(_SC_PAGESIZE);
	return size;
}

static size_t round_up(size_t n)
{
	return (n + page_size() - 1) & ~(page_size() - 1);
}

static bool is_error(long p)
{
	return p < 0 && p > -4096;
}

static void *fail(long rc)
{
	redirect_result(rc);
	return MAP_FAILED;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* without handlers and recursion; lock held */
static struct mapped_piece *new_piece(struct mapping *m, char *addr, size_t len, off_t off, bool is_tail)
{
	struct mapped_piece *p;

	redirect_inside++;
	p = malloc(sizeof(*p));
	redirect_inside--;
	if (!p)
		return NULL;
	*p = (struct mapped_piece){ pieces, m, addr, len, off, m->writable, is_tail };
	pieces = p;
	m->nr_pieces++;
	return p;
}

static int end_mapping(struct mapping *m)
{
	struct redirect_calm calm;
	int rc = 0, closed;

	redirect_enter(&calm);
	for (unsigned i = 0; i < m->nr_maps && rc == 0; i++)
		rc = redirect_pool()->unmap(m->f->file, m->writable);
	redirect_leave(&calm);
	if (m->writable)
		atomic_store(&m->f->wrote, true);
	closed = redirect_put(m->f);
	free(m);
	return rc < 0 ? rc : closed;
}

/* take a part out of a piece; lock held.  false: the piece is gone, with *ended its mapping if that was the last one */
static bool cut(struct mapped_piece **at, char *from, char *to, struct mapping **ended)
{
	struct mapped_piece *p = *at;
	char *end = p->addr + p->len;

	*ended = NULL;
	if (to <= p->addr || from >= end)
		return true;
	if (from > p->addr && to < end && !new_piece(p->mapping, to, (size_t)(end - to), p->off + (to - p->addr), p->is_tail))
		return true; /* it stays whole, and so longer than it is: no harm but a handle that stays open */
	if (from > p->addr) {
		p->len = (size_t)(from - p->addr);
		return true;
	}
	if (to < end) {
		p->off += to - p->addr;
		p->addr = to;
		p->len = (size_t)(end - to);
		return true;
	}
	*at = p->next;
	if (--p->mapping->nr_pieces == 0)
		*ended = p->mapping;
	free(p);
	return false;
}

/* these addresses are something else now */
static int forget_range(void *addr, size_t len)
{
	char *from = addr, *to = from + round_up(len);
	int rc = 0;

	if (!__atomic_load_n(&pieces, __ATOMIC_RELAXED) || redirect_inside || !redirect_ours())
		return 0;
	pthread_mutex_lock(&lock);
	for (struct mapped_piece **at = &pieces; *at;) {
		struct mapping *ended;

		if (cut(at, from, to, &ended))
			at = &(*at)->next;
		if (!ended)
			continue;
		pthread_mutex_unlock(&lock);
		rc = end_mapping(ended);
		pthread_mutex_lock(&lock);
		at = &pieces; /* others may have changed it */
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

/* ---- private mappings ---------------------------------------------------------------------------- */

/* fill a file without a name from the pool: as long as what there is of the part */
static int fill_copy(struct redirect_file *f, int fd, size_t len, off_t off)
{
	struct redirect_calm calm;
	struct iovec v;
	off_t size;
	ssize_t n = redirect_size(f, &size);
	long p;

	if (n < 0 || size <= off)
		return (int)n;
	if (len > (size_t)(size - off))
		len = (size_t)(size - off);
	n = RAW(ftruncate, fd, len);
	if (n < 0)
		return (int)n;
	p = RAW(mmap, NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (is_error(p))
		return (int)p;
	v = (struct iovec){ (void *)p, len };
	redirect_enter(&calm);
	n = redirect_pool()->read(f->file, &v, 1, off);
	redirect_leave(&calm);
	RAW(munmap, p, len);
	return n < 0 ? (int)n : 0;
}

/* of a file, so that pages which the program gives back (MADV_DONTNEED) are as they were */
static void *map_copy(struct redirect_file *f, void *addr, size_t len, int prot, int flags, off_t off)
{
	long fd = REDIRECT_ABOVE(RAW(memfd_create, "pmio", MFD_CLOEXEC)), base;
	int rc;

	if (fd < 0)
		return fail(fd);
	rc = fill_copy(f, (int)fd, len, off);
	base = rc < 0 ? rc : RAW(mmap, addr, len, prot, flags, fd, 0);
	RAW(close, fd);
	if (is_error(base))
		return fail(base);
	if (flags & MAP_FIXED)
		forget_range((void *)base, len);
	return (void *)base;
}

static void *map_plain(int fd, void *addr, size_t len, int prot, int flags, off_t off)
{
	int rc = redirect_settle_fd(fd);

	return rc < 0 ? fail(rc) : (void *)raw_result(RAW(mmap, addr, len, prot, flags, fd, off));
}

/* ---- shared mappings ----------------------------------------------------------------------------- */

/* a place, with the file's offset at an address where large pages can be; or an error */
static long find_place(void *addr, size_t len, int flags, off_t off)
{
	const int kept = MAP_FIXED | MAP_FIXED_NOREPLACE
#ifdef MAP_32BIT
			 | MAP_32BIT
#endif
		;
	int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (flags & kept);
	long base;
	size_t before;

	if (addr || (flags & kept) || len < HUGE)
		return RAW(mmap, addr, len, PROT_NONE, how, -1, 0);
	base = RAW(mmap, NULL, len + HUGE, PROT_NONE, how, -1, 0);
	if (is_error(base))
		return base;
	before = ((size_t)off - (size_t)base) & (HUGE - 1);
	if (before)
		RAW(munmap, base, before);
	if (HUGE - before)
		RAW(munmap, base + (long)(before + round_up(len)), HUGE - before);
	return base + (long)before;
}

/* of a part that only the pool knows to be there, the file system learns first */
static int map_frames(struct redirect_file *f, char *base, size_t len, off_t off, bool writable)
{
	const struct redirect_pool *pool = redirect_pool();
	struct redirect_calm calm;
	int rc;

	redirect_enter(&calm);
	rc = pool->map(f->file, base, len, off, writable);
	if (rc == -ENODATA) {
		rc = pool->drain(f->file);
		if (rc == 0)
			rc = pool->map(f->file, base, len, off, writable);
	}
	redirect_leave(&calm);
	return rc;
}

/* the file's part of a mapping, or more of it */
static int map_part(struct redirect_file *f, char *base, size_t len, int prot, off_t off, bool writable)
{
	int rc = map_frames(f, base, len, off, writable);

	if (rc == 0 && prot != (writable ? PROT_READ | PROT_WRITE : PROT_READ))
		rc = (int)RAW(mprotect, base, len, prot);
	return rc;
}

/* addresses where every access is SIGBUS */
static int map_nothing(char *base, size_t len, int prot)
{
	long fd = REDIRECT_ABOVE(RAW(memfd_create, "pmio", MFD_CLOEXEC)), p;

	if (fd < 0)
		return (int)fd;
	p = RAW(mmap, base, len, prot, MAP_SHARED | MAP_FIXED, fd, 0);
	RAW(close, fd);
	return is_error(p) ? (int)p : 0;
}

/* there: bytes of the file; len: of the mapping.  f has a reference for it */
static int keep_mapping(struct redirect_file *f, char *base, size_t there, size_t len, int prot, off_t off)
{
	bool writable = prot & PROT_WRITE, kept = true;
	struct mapping *m;

	redirect_inside++;
	m = calloc(1, sizeof(*m));
	redirect_inside--;
	if (!m)
		return -ENOMEM;
	*m = (struct mapping){ .f = f, .writable = writable, .prot = prot, .nr_maps = there ? 1 : 0 };
	pthread_mutex_lock(&lock);
	if (there)
		kept = new_piece(m, base, there, off, false);
	if (kept && there < len && (new_piece(m, base + there, len - there, off + (off_t)there, true) || !there))
		__atomic_store_n(&nr_tails, nr_tails + 1, __ATOMIC_RELAXED);
	kept = m->nr_pieces;
	pthread_mutex_unlock(&lock);
	if (!kept)
		free(m);
	return kept ? 0 : -ENOMEM;
}

static void await_growth(void);

static int map_shared_at(struct redirect_file *f, char *base, size_t len, int prot, off_t off)
{
	size_t there = 0;
	off_t size = 0;
	int rc;

	len = round_up(len);
	rc = redirect_size(f, &size);
	if (rc < 0)
		return rc;
	if (off < size)
		there = round_up((size_t)(size - off));
	if (there > len)
		there = len;
	if (there)
		rc = map_part(f, base, there, prot, off, prot & PROT_WRITE);
	if (rc == 0 && there < len) {
		rc = map_nothing(base + there, len - there, prot);
		await_growth();
	}
	if (rc == 0 && redirect_hold(f)) {
		rc = keep_mapping(f, base, there, len, prot, off);
		if (rc < 0)
			redirect_put(f);
	}
	return rc;
}

/* ---- files that grow ------------------------------------------------------------------------------- */

/* lock held: nobody else may change the piece meanwhile.  false: the file does not go so far */
static bool extend(struct mapped_piece *p)
{
	struct redirect_file *f = p->mapping->f;
	off_t size = redirect_size_of(f);
	size_t more;

	if (size <= p->off)
		return false;
	more = round_up((size_t)(size - p->off));
	if (more > p->len)
		more = p->len;
	if (map_part(f, p->addr, more, p->mapping->prot, p->off, p->writable) < 0)
		return false;
	p->mapping->nr_maps++;
	if (more == p->len) {
		p->is_tail = false;
	} else if (new_piece(p->mapping, p->addr, more, p->off, false)) {
		p->addr += more;
		p->len -= more;
		p->off += (off_t)more;
	}
	return true;
}

void redirect_grow_maps(uint64_t dev, uint64_t ino)
{
	if (!__atomic_load_n(&nr_tails, __ATOMIC_RELAXED) || redirect_inside || !redirect_ours())
		return;
	pthread_mutex_lock(&lock);
	for (struct mapped_piece *p = pieces; p; p = p->next) {
		if (p->is_tail && p->mapping->f->ino == ino && p->mapping->f->dev == dev)
			extend(p);
	}
	pthread_mutex_unlock(&lock);
}

/* another process has made it grow? */
static bool has_grown(const char *addr)
{
	bool has = false;

	if (redirect_inside || !redirect_ours())
		return false;
	pthread_mutex_lock(&lock);
	for (struct mapped_piece *p = pieces; p && !has; p = p->next) {
		if (addr < p->addr || addr >= p->addr + p->len)
			continue;
		has = !p->is_tail; /* another thread was faster */
		if (p->is_tail && extend(p))
			has = addr < p->addr || !p->is_tail;
	}
	pthread_mutex_unlock(&lock);
	return has;
}

static struct sigaction before;

static void caught(int sig, siginfo_t *info, void *context)
{
	if (info->si_code > 0 && has_grown(info->si_addr))
		return;
	pmio_signal_pass_on(&before, sig, info, context);
}

/* on the thread's own stack: libpmio needs more than others have.  A program's later handler takes its place */
static void await_growth(void)
{
	struct sigaction ours = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER }, now;

	pthread_mutex_lock(&lock);
	if (sigaction(SIGBUS, NULL, &now) == 0 && now.sa_sigaction != caught) {
		before = now;
		sigaction(SIGBUS, &ours, NULL);
	}
	pthread_mutex_unlock(&lock);
}

/* of other nodes' files once in a process: programs may try it for each */
static void say_refused(int fd, bool elsewhere, int rc)
{
	static bool warned;
	char name[PATH_MAX] = "a file";
	struct stat st;

	if (RAW(fstat, fd, &st) == 0)
		redirect_fd_name(fd, &st, name);
	redirect_note('-', name, "it could not be mapped");
	if (elsewhere && __atomic_exchange_n(&warned, true, __ATOMIC_RELAXED))
		return;
	redirect_error("mmap %s: %s", name, elsewhere ? "parts of it are on other nodes, so it cannot be mapped shared; reads and writes work"
				    : rc == -ENOSPC ? "the pool has no room for the whole mapping" : "the pool cannot map it");
}

static void *map_shared(struct redirect_file *f, int fd, void *addr, size_t len, int prot, int flags, off_t off)
{
	long base = find_place(addr, len, flags, off);
	int rc;

	if (is_error(base))
		return fail(base);
	if (flags & MAP_FIXED)
		forget_range((void *)base, len);
	rc = map_shared_at(f, (char *)base, len, prot, off);
	if (rc == 0)
		return (void *)base;
	RAW(munmap, base, len);
	say_refused(fd, f->elsewhere && rc == -EOPNOTSUPP, rc);
	return fail(rc == -ENOSPC ? -ENOMEM : rc == -EOPNOTSUPP ? -ENODEV : rc);
}

/* ---- the calls -------------------------------------------------------------------------------------- */

static void *map_file(struct redirect_file *f, int fd, void *addr, size_t len, int prot, int flags, off_t off)
{
	bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;

	if (f->access == O_WRONLY || (shared && (prot & PROT_WRITE) && f->access != O_RDWR))
		return fail(-EACCES);
	if (len == 0 || off < 0 || off % (off_t)page_size())
		return fail(-EINVAL);
	if (shared)
		return map_shared(f, fd, addr, len, prot, flags, off);
	return len <= COPY_MAX || f->elsewhere ? map_copy(f, addr, len, prot, flags, off) : map_plain(fd, addr, len, prot, flags, off);
}

void *redirect_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
void *redirect_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	struct redirect_file *f;
	int err = 0;
	long p;
	void *base;

	f = flags & MAP_ANONYMOUS ? NULL : redirect_get(fd, REDIRECT_CALLER, &err);
	if (err < 0)
		return fail(err);
	if (!f) {
		p = RAW(mmap, addr, len, prot, flags, fd, off);
		if ((flags & MAP_FIXED) && !is_error(p))
			forget_range(addr, len);
		return (void *)raw_result(p);
	}
	base = map_file(f, fd, addr, len, prot, flags, off);
	redirect_put(f);
	return base;
}
REDIRECT(mmap, redirect_mmap);
REDIRECT(mmap64, redirect_mmap);

int redirect_munmap(void *addr, size_t len);
int redirect_munmap(void *addr, size_t len)
{
	long rc = RAW(munmap, addr, len);
	int ended = rc == 0 ? forget_range(addr, len) : 0;

	if (ended < 0)
		redirect_error("munmap: not all mapped data could be drained: they stay in the pool");
	return (int)raw_result(rc);
}
REDIRECT(munmap, redirect_munmap);

/* the first piece between the two addresses; its file gets a reference */
static bool find_piece(const char *from, const char *to, struct mapped_piece *out)
{
	struct mapped_piece *first = NULL;

	if (!__atomic_load_n(&pieces, __ATOMIC_RELAXED) || redirect_inside || !redirect_ours())
		return false;
	pthread_mutex_lock(&lock);
	for (struct mapped_piece *p = pieces; p; p = p->next) {
		if (p->addr < to && p->addr + p->len > from && (!first || p->addr < first->addr))
			first = p;
	}
	if (first && !redirect_hold(first->mapping->f))
		first = NULL;
	if (first)
		*out = *first;
	pthread_mutex_unlock(&lock);
	return first;
}

static int sync_piece(const struct mapped_piece *p, const char *from, const char *to, int flags)
{
	struct redirect_file *f = p->mapping->f;
	const char *start = from > p->addr ? from : p->addr, *end = to < p->addr + p->len ? to : p->addr + p->len;
	struct redirect_calm calm;
	int rc = 0;

	redirect_enter(&calm);
	if (!p->is_tail)
		rc = redirect_pool()->map_sync(f->file, p->off + (start - p->addr), (size_t)(end - start));
	if (rc == 0 && (flags & MS_SYNC))
		rc = redirect_pool()->sync(f->file);
	redirect_leave(&calm);
	redirect_put(f);
	return rc;
}

static long first_error(long first, long rc)
{
	return first < 0 ? first : rc;
}

/* what the range has of files of the pool, and by the kernel what lies between; as there, an error does not end it */
int redirect_msync(void *addr, size_t len, int flags);
int redirect_msync(void *addr, size_t len, int flags)
{
	const char *at = addr, *end = at + len;
	long rc = RAW(msync, addr, 0, flags); /* what is wrong with the arguments, if anything */
	struct mapped_piece p;

	if (rc != 0 || !find_piece(at, end, &p))
		return (int)raw_result(RAW(msync, addr, len, flags));
	do {
		if (p.addr > at)
			rc = first_error(rc, RAW(msync, at, p.addr - at, flags));
		rc = first_error(rc, sync_piece(&p, at, end, flags));
		at = p.addr + p.len;
	} while (at < end && find_piece(at, end, &p));
	if (at < end)
		rc = first_error(rc, RAW(msync, at, end - at, flags));
	return (int)redirect_result(rc);
}
REDIRECT(msync, redirect_msync);

/* a new mapping of the same part, or more of the file; prot as it was made */
static void *map_again(const struct mapped_piece *p, struct redirect_file *f, size_t len, int flags, void *to)
{
	int prot = p->writable ? PROT_READ | PROT_WRITE : PROT_READ;
	long base = find_place(flags & MREMAP_FIXED ? to : NULL, len, flags & MREMAP_FIXED ? MAP_FIXED : 0, p->off);
	int rc;

	if (is_error(base))
		return fail(base);
	rc = map_shared_at(f, (char *)base, len, prot, p->off);
	if (rc == 0)
		return (void *)base;
	RAW(munmap, base, len);
	return fail(rc);
}

void *redirect_mremap(void *addr, size_t len, size_t new_len, int flags, ...);
void *redirect_mremap(void *addr, size_t len, size_t new_len, int flags, ...)
{
	struct redirect_file *f;
	struct mapped_piece p;
	va_list ap;
	void *to, *base;

	va_start(ap, flags);
	to = va_arg(ap, void *);
	va_end(ap);
	if (!find_piece(addr, (char *)addr + 1, &p))
		return (void *)raw_result(RAW(mremap, addr, len, new_len, flags, to));
	f = p.mapping->f; /* the mapping may end here */
	if (new_len <= len && !(flags & MREMAP_FIXED)) {
		if (round_up(new_len) < round_up(len))
			redirect_munmap((char *)addr + round_up(new_len), round_up(len) - round_up(new_len));
		base = addr;
	} else if (len == 0 || !(flags & MREMAP_MAYMOVE) || (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) || addr != p.addr) {
		base = fail(-ENOMEM);
	} else {
		base = map_again(&p, f, new_len, flags, to);
		if (base != MAP_FAILED)
			redirect_munmap(addr, len);
	}
	redirect_put(f);
	return base;
}
REDIRECT(mremap, redirect_mremap);

/* ---- ends ------------------------------------------------------------------------------------------------ */

/* other threads may still use the addresses: nothing else may be there, but what they store is for nobody */
void redirect_unmap_all(void)
{
	while (__atomic_load_n(&pieces, __ATOMIC_RELAXED)) {
		struct mapped_piece p;

		pthread_mutex_lock(&lock);
		if (pieces)
			p = *pieces;
		else
			p.len = 0;
		pthread_mutex_unlock(&lock);
		if (p.len == 0)
			break;
		RAW(mmap, p.addr, p.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
		forget_range(p.addr, p.len);
	}
}

/* a child's mappings are its parent's, and stay; the agent knows which process has one last */
void redirect_forget_maps(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	pieces = NULL;
}
