/*
 * files.c -- the open files, and their descriptors
 *
 * An entry of the table is one word: nothing known, plain, libpmio's own, a name (O_PATH), or the file.  A file stays as
 * long as an entry or a call under way refers to it; its memory is never freed, so that a call that finds it in the
 * table may read its count.
 */
#include "redirect/redirect.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/fds.h"

#define UNKNOWN ((uintptr_t)0)
#define PLAIN ((uintptr_t)1)
#define OWN ((uintptr_t)2)
#define NAME ((uintptr_t)3) /* gives no access to the data, but the file's name matches */
#define IS_FILE(v) ((v) > NAME)

static _Atomic uintptr_t table[REDIRECT_FDS];
static _Atomic int highest = -1; /* the highest entry that was set at any time */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the lists */
static pthread_mutex_t recognising = PTHREAD_MUTEX_INITIALIZER;
static struct redirect_file *files, *unused;
static int first_own = REDIRECT_FDS;

/* ---- without signals and cancellation ------------------------------------------------- */

void redirect_enter(struct redirect_calm *calm)
{
	/* signals of faults cannot be blocked */
	uint64_t all = ~0ULL & ~(1ULL << (SIGSEGV - 1) | 1ULL << (SIGBUS - 1) | 1ULL << (SIGILL - 1) | 1ULL << (SIGFPE - 1));

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &calm->cancel_state);
	RAW(rt_sigprocmask, SIG_BLOCK, &all, &calm->mask, sizeof(all));
	redirect_inside++;
}

void redirect_leave(const struct redirect_calm *calm)
{
	redirect_inside--;
	RAW(rt_sigprocmask, SIG_SETMASK, &calm->mask, 0, sizeof(calm->mask));
	pthread_setcancelstate(calm->cancel_state, NULL);
	redirect_say_pending();
}

/* ---- the pool's library ------------------------------------------------------------------ */

static void close_elsewhere(void);

/*
 * Before the destructors of libraries, after which libpmio may no longer work: write what stdio has buffered, and close
 * files on other nodes, as the library for the network may no longer work then, either.
 */
static void flush_early(void)
{
	if (!redirect_ours())
		return;
	fflush(NULL);
	close_elsewhere();
}

static char times_file[PATH_MAX]; /* of pmio run --report; empty: none */

void redirect_time_calls(const char *file)
{
	if (file && strlen(file) < sizeof(times_file))
		strcpy(times_file, file);
}

static const struct redirect_pool *load(void)
{
	char path[PATH_MAX];
	const struct redirect_pool *p;
	struct redirect_raised raised;
	Dl_info info;
	void *lib;
	char *slash;

	if (!dladdr(&first_own, &info) || snprintf(path, sizeof(path), "%s", info.dli_fname) >= (int)sizeof(path) || !(slash = strrchr(path, '/')) ||
	    slash + sizeof(REDIRECT_POOL_LIBRARY) >= path + sizeof(path)) {
		redirect_error("cannot determine the directory of this library");
		return NULL;
	}
	strcpy(slash + 1, REDIRECT_POOL_LIBRARY);
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!lib && redirect_raise(&raised)) { /* the loader opens files, too */
		lib = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
		redirect_lower(&raised);
	}
	p = lib ? dlsym(lib, REDIRECT_POOL_SYMBOL) : NULL;
	if (!p || p->version != REDIRECT_POOL_VERSION) {
		redirect_error("%s: %s", path, p ? "it is of another version of pmio" : dlerror());
		return NULL;
	}
	atexit(flush_early);
	if (p->start(redirect_say) < 0)
		return NULL;
	return *times_file ? p->timed(p, times_file) : p;
}

static const struct redirect_pool *pool;
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

const struct redirect_pool *redirect_pool(void)
{
	const struct redirect_pool *p = __atomic_load_n(&pool, __ATOMIC_ACQUIRE);
	struct redirect_calm calm;

	if (p)
		return p;
	redirect_enter(&calm);
	pthread_mutex_lock(&loading);
	p = pool;
	if (!p) {
		p = load();
		__atomic_store_n(&pool, p, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&loading);
	redirect_leave(&calm);
	return p;
}

/* ---- libpmio's own descriptors -------------------------------------------------------------- */

static void set(int fd, uintptr_t v)
{
	int h = atomic_load(&highest);

	while (fd > h && !atomic_compare_exchange_weak(&highest, &h, fd))
		;
	atomic_store_explicit(&table[fd], v, memory_order_release);
}

static void find_first_own(void)
{
	struct rlimit limit = { 1024, 1024 };

	RAW(prlimit64, 0, RLIMIT_NOFILE, 0, &limit);
	if (limit.rlim_cur >= 8192)
		first_own = 4096;
	else if (limit.rlim_max > limit.rlim_cur) /* all numbers up to its limit are the program's */
		first_own = (int)limit.rlim_cur;
	else
		first_own = limit.rlim_cur > 1024 ? 1024 : (int)(limit.rlim_cur / 4 * 3);
}

int redirect_highest(void)
{
	return atomic_load(&highest);
}

/* above the program's limit, if there is no other free number */
static long move_up(int fd)
{
	struct redirect_raised raised;
	long to = RAW(fcntl, fd, F_DUPFD_CLOEXEC, first_own);

	if (to < 0 && redirect_raise(&raised)) {
		to = RAW(fcntl, fd, F_DUPFD_CLOEXEC, first_own);
		redirect_lower(&raised);
	}
	return to;
}

int redirect_own(int fd)
{
	long to;

	if (fd < 0)
		return fd;
	to = fd >= first_own ? fd : move_up(fd);
	if (to >= REDIRECT_FDS) {
		RAW(close, to);
		to = -EMFILE;
	}
	if (to < 0) /* a low number is better than a failure */
		to = fd;
	else if (to != fd)
		RAW(close, fd);
	if (to < REDIRECT_FDS)
		set((int)to, OWN);
	return (int)to;
}

bool redirect_is_own(int fd)
{
	return fd >= 0 && fd < REDIRECT_FDS && atomic_load_explicit(&table[fd], memory_order_relaxed) == OWN;
}

void redirect_disown(int fd)
{
	if (redirect_is_own(fd))
		set(fd, UNKNOWN);
}

/* ---- files -------------------------------------------------------------------------------------- */

static struct redirect_file *new_file(void)
{
	struct redirect_file *f;

	pthread_mutex_lock(&lock);
	f = unused;
	if (f)
		unused = f->next;
	pthread_mutex_unlock(&lock);
	if (!f) {
		redirect_inside++;
		f = calloc(1, sizeof(*f));
		redirect_inside--;
	}
	return f;
}

static void list(struct redirect_file *f)
{
	pthread_mutex_lock(&lock);
	f->next = files;
	files = f;
	pthread_mutex_unlock(&lock);
}

static void unlist(struct redirect_file *f)
{
	pthread_mutex_lock(&lock);
	for (struct redirect_file **p = &files; *p; p = &(*p)->next) {
		if (*p == f) {
			*p = f->next;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
}

static void keep_for_later(struct redirect_file *f)
{
	pthread_mutex_lock(&lock);
	f->next = unused;
	unused = f;
	pthread_mutex_unlock(&lock);
}

bool redirect_hold(struct redirect_file *f)
{
	unsigned n = atomic_load_explicit(&f->refs, memory_order_relaxed);

	while (n) {
		if (atomic_compare_exchange_weak_explicit(&f->refs, &n, n + 1, memory_order_acquire, memory_order_relaxed))
			return true;
	}
	return false;
}

static int close_file(struct redirect_file *f)
{
	struct redirect_calm calm;
	int rc;

	unlist(f);
	redirect_enter(&calm);
	rc = redirect_pool()->close(f->file, (atomic_load(&f->shared) ? REDIRECT_CLOSE_SHARED : 0) |
						     (atomic_load(&f->wrote) ? REDIRECT_CLOSE_WROTE : 0) | (atomic_load(&f->loads) ? REDIRECT_CLOSE_LOADS : 0));
	redirect_leave(&calm);
	keep_for_later(f);
	return rc;
}

int redirect_put(struct redirect_file *f)
{
	return atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1 ? (int)REDIRECT_ROOM(close_file, f) : 0;
}

static int open_file(int fd, const struct stat *st, const char *name, int flags, bool is_new, bool shared, struct redirect_file **out)
{
	const struct redirect_pool *p = redirect_pool();
	struct redirect_calm calm;
	struct redirect_file *f;
	int rc;

	if (!p)
		return -EIO;
	f = new_file();
	if (!f)
		return -ENOMEM;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->access = flags & O_ACCMODE;
	atomic_store(&f->append, (flags & O_APPEND) != 0);
	atomic_store(&f->sync, (flags & O_DSYNC) != 0);
	atomic_store(&f->shared, shared);
	atomic_store(&f->wrote, false);
	atomic_store(&f->loads, false);
	redirect_enter(&calm);
	rc = p->open(fd, name, f->access, is_new, &f->file);
	redirect_leave(&calm);
	if (rc < 0) {
		keep_for_later(f);
		return rc;
	}
	f->elsewhere = p->is_elsewhere(f->file);
	atomic_store(&f->refs, 1);
	list(f);
	redirect_note('+', name, "");
	*out = f;
	return 0;
}

/* ---- whose call is it? --------------------------------------------------------------------------- */

/* an adapter for an MPI in this process uses the pool by itself, and accesses its files by their plain descriptors */
static bool is_pmio(const void *caller)
{
	const char *name;
	Dl_info info;

	if (!dladdr(caller, &info) || !info.dli_fname)
		return false;
	name = strrchr(info.dli_fname, '/');
	name = name ? name + 1 : info.dli_fname;
	return strncmp(name, "libpmio", 7) == 0 || strncmp(name, "mca_io_pmem", 11) == 0 || strncmp(name, "mca_hook_pmem", 13) == 0;
}

/* ---- the table -------------------------------------------------------------------------------------- */

/*
 * for a descriptor that this process has not opened.  What its entry becomes: a file, with a reference for the table;
 * 0: it cannot be opened
 */
static uintptr_t recognise(int fd, const void *caller)
{
	struct redirect_file *f;
	char name[PATH_MAX];
	struct stat st;
	long flags;

	if (RAW(fstat, fd, &st) < 0)
		return PLAIN;
	if (!S_ISREG(st.st_mode) || !redirect_fd_name(fd, &st, name) || !redirect_matches(name) || is_pmio(caller))
		return PLAIN;
	flags = RAW(fcntl, fd, F_GETFL, 0);
	if (flags < 0)
		return PLAIN;
	if (flags & O_PATH)
		return NAME;
	return open_file(fd, &st, name, (int)flags, false, true, &f) < 0 ? 0 : (uintptr_t)f;
}

static struct redirect_file *get_unknown(int fd, const void *caller, int *rc)
{
	struct redirect_file *f = NULL;
	struct redirect_calm calm;
	uintptr_t v;

	redirect_enter(&calm); /* messages are deferred, too: standard error itself may not be recognised yet */
	pthread_mutex_lock(&recognising);
	v = atomic_load(&table[fd]);
	if (IS_FILE(v) && redirect_hold((struct redirect_file *)v)) {
		f = (struct redirect_file *)v;
	} else if (v == UNKNOWN) {
		v = recognise(fd, caller);
		f = IS_FILE(v) ? (struct redirect_file *)v : NULL;
		/* in a child of vfork the entries are its parent's */
		if (v && redirect_ours()) {
			if (f)
				atomic_fetch_add(&f->refs, 1);
			set(fd, v);
		}
		*rc = v ? 0 : -EIO;
	}
	pthread_mutex_unlock(&recognising);
	redirect_leave(&calm);
	return f;
}

struct redirect_file *redirect_get(int fd, const void *caller, int *rc)
{
	uintptr_t v;

	*rc = 0;
	if (!redirect_on || fd < 0 || fd >= REDIRECT_FDS)
		return NULL;
	if (!atomic_load_explicit(redirect_original, memory_order_relaxed))
		redirect_is_copy();
	for (;;) {
		v = atomic_load_explicit(&table[fd], memory_order_acquire);
		if (v == PLAIN || v == OWN || v == NAME)
			return NULL;
		if (redirect_inside) { /* a signal handler that has interrupted libpmio must not wait for it */
			*rc = IS_FILE(v) ? -EIO : 0;
			return NULL;
		}
		if (v == UNKNOWN)
			return (struct redirect_file *)REDIRECT_ROOM(get_unknown, fd, caller, rc);
		if (!redirect_hold((struct redirect_file *)v))
			continue;
		if (atomic_load_explicit(&table[fd], memory_order_acquire) == v)
			return (struct redirect_file *)v;
		redirect_put((struct redirect_file *)v);
	}
}

bool redirect_is_name(int fd)
{
	return redirect_on && fd >= 0 && fd < REDIRECT_FDS && atomic_load_explicit(&table[fd], memory_order_acquire) == NAME;
}

int redirect_forget(int fd)
{
	uintptr_t v;

	if (!redirect_on || redirect_inside || fd < 0 || fd >= REDIRECT_FDS)
		return 0;
	v = atomic_load_explicit(&table[fd], memory_order_acquire);
	if (v == UNKNOWN || v == OWN || !redirect_ours())
		return 0;
	v = atomic_exchange(&table[fd], UNKNOWN);
	return IS_FILE(v) ? redirect_put((struct redirect_file *)v) : 0;
}

void redirect_duplicate(int from, int to)
{
	uintptr_t v;

	if (!redirect_on || redirect_inside || from >= REDIRECT_FDS || to >= REDIRECT_FDS || !redirect_ours())
		return;
	redirect_forget(to);
	v = atomic_load(&table[from]);
	if (v == PLAIN || v == NAME)
		set(to, v);
	else if (IS_FILE(v) && redirect_hold((struct redirect_file *)v))
		set(to, v);
}

/* ---- opened here ---------------------------------------------------------------------------------- */

static int truncate_at_open(struct redirect_file *f, int fd, const char *name)
{
	const struct redirect_pool *p = redirect_pool();
	struct pmio_file *other = NULL;
	struct redirect_calm calm;
	int rc;

	redirect_enter(&calm);
	if (f->access != O_RDONLY) {
		rc = p->truncate(f->file, 0);
		atomic_store(&f->wrote, true);
	} else { /* Linux permits it */
		rc = p->open(fd, name, O_WRONLY, false, &other);
		if (rc == 0)
			rc = p->truncate(other, 0);
		if (other)
			p->close(other, REDIRECT_CLOSE_WROTE);
	}
	redirect_leave(&calm);
	return rc;
}

/*
 * The name may have been removed or given to another file before the pool knew that this file is open: then its pending
 * data were discarded with the name.  If the second open leads to the same file, it is one that has no name
 * (/proc/self/fd), and is not too late.
 */
static bool is_too_late(int fd, struct redirect_lost *lost)
{
	struct stat st;

	if (RAW(fstat, fd, &st) < 0 || st.st_nlink || (lost->ino == st.st_ino && lost->dev == st.st_dev))
		return false;
	*lost = (struct redirect_lost){ st.st_dev, st.st_ino, true };
	return true;
}

static int open_redirected(int fd, const struct stat *st, const char *name, int flags, bool is_new, bool truncate, struct redirect_lost *lost)
{
	struct redirect_file *f;
	int rc = open_file(fd, st, name, flags, is_new, false, &f);

	if (rc == 0 && !truncate && !is_new && is_too_late(fd, lost)) {
		redirect_put(f);
		rc = -ESTALE;
	}
	if (rc == 0 && truncate) {
		rc = truncate_at_open(f, fd, name);
		if (rc < 0)
			redirect_put(f);
	}
	if (rc < 0) {
		RAW(close, fd);
		errno = redirect_errno(rc);
		return -1;
	}
	set(fd, (uintptr_t)f);
	return fd;
}

/* Linux also shortens files that are opened for reading only */
static long truncate_plain(int fd)
{
	char name[PMIO_FD_NAME_LEN];
	long rc = RAW(ftruncate, fd, 0);

	if (rc != -EINVAL)
		return rc;
	return RAW(truncate, pmio_fd_name(name, fd), 0);
}

static int stay_plain(int fd, bool truncate)
{
	long rc = truncate ? truncate_plain(fd) : 0;

	if (rc < 0) {
		RAW(close, fd);
		errno = (int)-rc;
		return -1;
	}
	if (fd < REDIRECT_FDS)
		set(fd, PLAIN);
	return fd;
}

int redirect_opened(int fd, int flags, bool is_new, bool truncate, const void *caller, struct redirect_lost *lost)
{
	char name[PATH_MAX];
	struct stat st;

	redirect_forget(fd);
	if (RAW(fstat, fd, &st) < 0 || !S_ISREG(st.st_mode))
		return stay_plain(fd, false);
	if (!redirect_fd_name(fd, &st, name) || !redirect_matches(name) || is_pmio(caller))
		return stay_plain(fd, truncate);
	if (fd >= REDIRECT_FDS) {
		redirect_error("%s: descriptor %d is too high for a redirected file", name, fd);
		RAW(close, fd);
		errno = EMFILE;
		return -1;
	}
	return open_redirected(fd, &st, name, flags, is_new && st.st_size == 0, truncate && !is_new, lost);
}

/* ---- all files ---------------------------------------------------------------------------------------- */

struct redirect_file *redirect_find(uint64_t dev, uint64_t ino)
{
	struct redirect_file *f;

	if (redirect_inside)
		return NULL;
	pthread_mutex_lock(&lock);
	for (f = files; f; f = f->next) {
		if (f->ino == ino && f->dev == dev && redirect_hold(f))
			break;
	}
	pthread_mutex_unlock(&lock);
	return f;
}

int redirect_size(struct redirect_file *f, off_t *size)
{
	struct redirect_calm calm;
	int rc;

	if (f->elsewhere)
		redirect_enter(&calm);
	else
		redirect_inside++;
	rc = redirect_pool()->size(f->file, size);
	if (f->elsewhere)
		redirect_leave(&calm);
	else
		redirect_inside--;
	return rc;
}

int redirect_open_size(uint64_t dev, uint64_t ino, off_t *size, int64_t *written_ns)
{
	struct redirect_file *f = __atomic_load_n(&files, __ATOMIC_RELAXED) ? redirect_find(dev, ino) : NULL;
	struct redirect_calm calm;
	bool elsewhere;
	int rc;

	if (!f)
		return 0;
	rc = redirect_size(f, size);
	elsewhere = f->elsewhere;
	if (rc == 0 && !elsewhere) {
		redirect_enter(&calm);
		*written_ns = redirect_pool()->written_ns(f->file);
		redirect_leave(&calm);
	}
	redirect_put(f);
	return rc == 0 ? 1 : elsewhere ? rc : 0;
}

off_t redirect_size_of(struct redirect_file *f)
{
	off_t size = 0;

	return redirect_size(f, &size) < 0 ? 0 : size;
}

void redirect_times_set(uint64_t dev, uint64_t ino)
{
	pthread_mutex_lock(&lock);
	for (struct redirect_file *f = files; f; f = f->next) {
		if (f->ino == ino && f->dev == dev)
			atomic_store(&f->wrote, false);
	}
	pthread_mutex_unlock(&lock);
}

void redirect_share_all(void)
{
	pthread_mutex_lock(&lock);
	for (struct redirect_file *f = files; f; f = f->next)
		atomic_store(&f->shared, true);
	pthread_mutex_unlock(&lock);
}

void redirect_close_all(void)
{
	if (!redirect_on || redirect_inside || !redirect_ours() || !__atomic_load_n(&files, __ATOMIC_RELAXED))
		return;
	for (int fd = 0; fd <= atomic_load(&highest); fd++) {
		if (IS_FILE(atomic_load_explicit(&table[fd], memory_order_relaxed)))
			redirect_forget(fd);
	}
}

void redirect_end_pool(void)
{
	struct redirect_calm calm;

	if (!redirect_on || redirect_inside || !redirect_ours() || !__atomic_load_n(&pool, __ATOMIC_RELAXED))
		return;
	redirect_enter(&calm);
	pool->end();
	redirect_leave(&calm);
}

/* if such a descriptor is used after this, it is recognised again */
static void close_elsewhere(void)
{
	if (!redirect_on || redirect_inside)
		return;
	for (int fd = 0; fd <= atomic_load(&highest); fd++) {
		uintptr_t v = atomic_load_explicit(&table[fd], memory_order_relaxed);

		if (IS_FILE(v) && ((struct redirect_file *)v)->elsewhere)
			redirect_forget(fd);
	}
	redirect_end_pool();
}

/* ---- fork ------------------------------------------------------------------------------------------------ */

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
	for (struct redirect_file *f = files; f; f = f->next)
		atomic_store(&f->shared, true);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

/* files that the parent has open are recognised when they are used; the child makes a connection of its own */
static void (*also_in_child)(void);

static void begin_child(bool of_fork)
{
	redirect_state_init();
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	recognising = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	redirect_above_init();
	for (int fd = 0; fd <= atomic_load(&highest); fd++) {
		uintptr_t v = atomic_load_explicit(&table[fd], memory_order_relaxed);

		if (v == OWN)
			RAW(close, fd);
		if (v == OWN || IS_FILE(v))
			atomic_store_explicit(&table[fd], UNKNOWN, memory_order_relaxed);
	}
	loading = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	files = NULL;
	also_in_child();
	if (pool) {
		redirect_inside++;
		pool->forget(of_fork);
		redirect_inside--;
	}
}

static void in_child(void)
{
	begin_child(true);
}

void redirect_in_copy(void)
{
	begin_child(false);
}

void redirect_files_init(void (*fn)(void))
{
	also_in_child = fn;
	find_first_own();
	pthread_atfork(before_fork, after_fork, in_child);
}
