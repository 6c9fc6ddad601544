#include "disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pfs/pfs.h"

#define FILES 16
#define NAMES 4
#define FDS 256
#define FIRST_FD (1 << 20)
#define SYNCING 31 /* a thread of the recorder that flushes nothing: its fences do nothing */

enum kind { MAKE, WRITE, CUT, UNLINK, DATASYNC, SYNC, SYNC_DIR };

struct event {
	enum kind kind;
	size_t at;	/* operations that pm had recorded before */
	int file, name;
	uint64_t off;	/* CUT: size */
	size_t len;
	uint8_t *data;	/* owned */
	uint64_t time;
};

struct file {
	uint8_t *data;	/* owned */
	uint64_t size;
	uint64_t mtime, ctime, birth;
};

/* what one sees, or what is there after a cut */
struct state {
	struct file file[FILES];
	int nr_files;
	char path[NAMES][64];
	int of[NAMES];	/* which file has this name; -1: none */
	int nr_names;
};

struct fd {
	bool used, is_dir;
	int file;
};

struct disk {
	struct pmio_pm *pm;
	struct state start, now;
	struct event *events;
	size_t nr_events, room;
	uint64_t clock;
	bool frozen;
	unsigned thread;
	struct fd fd[FDS];
};

static struct disk *disk; /* in use */
static void (*hook)(const char *call);
static bool tells_births;

/* ---- states ---------------------------------------------------------------------- */

static int find_name(const struct state *s, const char *path)
{
	for (int i = 0; i < s->nr_names; i++)
		if (strcmp(s->path[i], path) == 0)
			return i;
	return -1;
}

static int add_name(struct state *s, const char *path)
{
	int i = find_name(s, path);

	if (i >= 0)
		return i;
	assert(s->nr_names < NAMES && strlen(path) < sizeof(s->path[0]));
	strcpy(s->path[s->nr_names], path);
	s->of[s->nr_names] = -1;
	return s->nr_names++;
}

static void resize(struct file *f, uint64_t size)
{
	f->data = realloc(f->data, size ? size : 1);
	assert(f->data);
	if (size > f->size)
		memset(f->data + f->size, 0, size - f->size);
	f->size = size;
}

static void copy_state(struct state *to, const struct state *from)
{
	*to = *from;
	for (int i = 0; i < from->nr_files; i++) {
		const struct file *f = &from->file[i];

		to->file[i].data = malloc(f->size ? f->size : 1);
		assert(to->file[i].data);
		if (f->size)
			memcpy(to->file[i].data, f->data, f->size);
	}
}

static void free_state(struct state *s)
{
	for (int i = 0; i < s->nr_files; i++)
		free(s->file[i].data);
}

/* the change, and what goes with it: the file's times, or the name */
static void apply(struct state *s, const struct event *e, bool change, bool times)
{
	struct file *f = &s->file[e->file];

	if (e->kind == MAKE) {
		s->nr_files = e->file + 1;
		resize(f, 0);
		f->birth = e->time;
		if (change)
			s->of[e->name] = e->file;
	} else if (e->kind == WRITE && change) {
		if (e->off + e->len > f->size)
			resize(f, e->off + e->len);
		memcpy(f->data + e->off, e->data, e->len);
	} else if (e->kind == CUT && change) {
		resize(f, e->off);
	} else if (e->kind == UNLINK && change) {
		s->of[e->name] = -1;
	}
	if (times)
		f->ctime = e->time;
	if (times && e->kind != UNLINK)
		f->mtime = e->time;
}

/* ---- what happens ---------------------------------------------------------------- */

static void happen(struct event e)
{
	if (disk->frozen) {
		free(e.data);
		return;
	}
	if (disk->nr_events == disk->room) {
		disk->room = disk->room ? 2 * disk->room : 64;
		disk->events = realloc(disk->events, disk->room * sizeof(e));
		assert(disk->events);
	}
	e.at = pmio_pm_record_count(disk->pm);
	e.time = ++disk->clock;
	pmio_pm_record_mark(disk->pm);
	if (e.kind < DATASYNC)
		apply(&disk->now, &e, true, true);
	disk->events[disk->nr_events++] = e;
}

static void before(const char *call)
{
	struct disk *d = disk;

	if (hook && !d->frozen)
		hook(call);
	assert(disk == d);
}

/* false: this sync is the one that is left out */
static bool is_there(void)
{
	size_t count = pmio_pm_record_count(disk->pm);

	if (disk->frozen)
		return false;
	pmio_pm_record_thread(disk->pm, SYNCING);
	(pmio_pm_fence)(disk->pm);
	pmio_pm_record_thread(disk->pm, disk->thread);
	return pmio_pm_record_count(disk->pm) > count;
}

void disk_thread(struct disk *d, unsigned thread)
{
	d->thread = thread;
	pmio_pm_record_thread(d->pm, thread);
}

/* ---- life ---------------------------------------------------------------------------- */

struct disk *disk_new(struct pmio_pm *pm)
{
	struct disk *d = calloc(1, sizeof(*d));

	assert(d);
	d->pm = pm;
	return d;
}

static void forget_events(struct disk *d)
{
	for (size_t i = 0; i < d->nr_events; i++)
		free(d->events[i].data);
	d->nr_events = 0;
}

void disk_delete(struct disk **pd)
{
	struct disk *d = *pd;

	*pd = NULL;
	if (!d)
		return;
	forget_events(d);
	free(d->events);
	free_state(&d->start);
	free_state(&d->now);
	free(d);
}

void disk_use(struct disk *d)
{
	disk = d;
}

void disk_tell_births(bool tell)
{
	tells_births = tell;
}

void disk_set_hook(void (*fn)(const char *call))
{
	hook = fn;
}

void disk_reset(struct disk *d)
{
	forget_events(d);
	free_state(&d->start);
	copy_state(&d->start, &d->now);
}

/* inodes' numbers are used again */
static int unused_file(struct state *s)
{
	for (int i = 0; i < s->nr_files; i++) {
		bool named = false;

		for (int n = 0; n < s->nr_names; n++)
			named |= s->of[n] == i;
		if (!named)
			return i;
	}
	return s->nr_files++;
}

void disk_put(struct disk *d, const char *path, size_t len, uint8_t value)
{
	struct state *s = &d->now;
	int name = add_name(s, path);
	struct file *f;

	if (s->of[name] < 0)
		s->of[name] = unused_file(s);
	assert(s->nr_files <= FILES);
	f = &s->file[s->of[name]];
	resize(f, len);
	memset(f->data, value, len);
	f->mtime = f->ctime = f->birth = ++d->clock;
	disk_reset(d);
}

void disk_freeze(struct disk *d, bool frozen)
{
	d->frozen = frozen;
}

/* ---- power cuts -------------------------------------------------------------------------- */

/* after event i, and before the cut: was it made durable? */
static bool synced_later(const struct disk *d, size_t i, size_t cut, bool times)
{
	const struct event *e = &d->events[i], *s;

	for (size_t j = i + 1; j < d->nr_events && d->events[j].at < cut; j++) {
		s = &d->events[j];
		if (!times && (e->kind == MAKE || e->kind == UNLINK)) {
			if (s->kind == SYNC_DIR)
				return true;
		} else if (s->file == e->file && (s->kind == SYNC || (s->kind == DATASYNC && !times))) {
			return true;
		}
	}
	return false;
}

static void replay(const struct disk *d, size_t cut, struct state *s, bool (*survives)(void *arg), void *arg)
{
	for (size_t i = 0; i < d->nr_events && d->events[i].at < cut; i++) {
		const struct event *e = &d->events[i];
		bool change, times;

		if (e->kind >= DATASYNC)
			continue;
		change = synced_later(d, i, cut, false) || survives(arg);
		times = synced_later(d, i, cut, true) || survives(arg);
		apply(s, e, change, times);
	}
}

static void cut_state(const struct disk *d, size_t cut, struct state *s, bool (*survives)(void *arg),
		      void *arg)
{
	copy_state(s, &d->start);
	for (int i = s->nr_names; i < d->now.nr_names; i++)
		add_name(s, d->now.path[i]);
	replay(d, cut, s, survives, arg);
}

static bool count_one(void *arg)
{
	++*(unsigned *)arg;
	return true;
}

unsigned disk_choices(const struct disk *d, size_t cut)
{
	struct state s;
	unsigned nr = 0;

	cut_state(d, cut, &s, count_one, &nr);
	free_state(&s);
	return nr;
}

struct disk *disk_cut(const struct disk *d, size_t cut, bool (*survives)(void *arg), void *arg,
		      struct pmio_pm *pm)
{
	struct disk *after = disk_new(pm);

	cut_state(d, cut, &after->now, survives, arg);
	after->clock = d->clock + 1000;
	disk_reset(after);
	return after;
}

/* ---- looking --------------------------------------------------------------------------------- */

static struct timespec time_of(uint64_t t)
{
	return (struct timespec){ 1000000000 + (time_t)t, 5 };
}

static void fill_stat(const struct state *s, int file, struct stat *st)
{
	const struct file *f = &s->file[file];

	memset(st, 0, sizeof(*st));
	st->st_dev = DISK_DEV;
	st->st_ino = (ino_t)file + 100;
	st->st_mode = S_IFREG | 0644;
	for (int i = 0; i < s->nr_names; i++)
		st->st_nlink += s->of[i] == file;
	st->st_size = (off_t)f->size;
	st->st_mtim = time_of(f->mtime);
	st->st_ctim = time_of(f->ctime);
}

const uint8_t *disk_look(const struct disk *d, const char *path, struct stat *st)
{
	int name = find_name(&d->now, path);

	if (name < 0 || d->now.of[name] < 0)
		return NULL;
	fill_stat(&d->now, d->now.of[name], st);
	return d->now.file[d->now.of[name]].data;
}

/* ---- the calls ------------------------------------------------------------------------------- */

static bool is_ours(const char *path)
{
	return strncmp(path, DISK_DIR, strlen(DISK_DIR)) == 0;
}

static struct fd *get_fd(int fd)
{
	if (fd < FIRST_FD)
		return NULL;
	assert(fd < FIRST_FD + FDS && disk->fd[fd - FIRST_FD].used);
	return &disk->fd[fd - FIRST_FD];
}

static int new_fd(struct fd fd)
{
	for (int i = 0; i < FDS; i++) {
		if (disk->fd[i].used)
			continue;
		disk->fd[i] = fd;
		disk->fd[i].used = true;
		return FIRST_FD + i;
	}
	errno = EMFILE;
	return -1;
}

static int make(const char *path)
{
	int name = add_name(&disk->now, path), file = disk->now.nr_files;

	assert(file < FILES);
	before("open");
	happen((struct event){ .kind = MAKE, .file = file, .name = name });
	return file;
}

int disk_open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;
	int name;

	if (!is_ours(path)) {
		va_start(args, flags);
		mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
		va_end(args);
		return open(path, flags, mode);
	}
	if (strcmp(path, DISK_DIR) == 0)
		return new_fd((struct fd){ .is_dir = true, .file = -1 });
	name = find_name(&disk->now, path);
	if (name >= 0 && disk->now.of[name] >= 0) {
		if ((flags & O_CREAT) && (flags & O_EXCL)) {
			errno = EEXIST;
			return -1;
		}
		return new_fd((struct fd){ .file = disk->now.of[name] });
	}
	if (flags & O_CREAT)
		return new_fd((struct fd){ .file = make(path) });
	errno = ENOENT;
	return -1;
}

int disk_close(int fd)
{
	if (fd < FIRST_FD)
		return close(fd);
	if (fd < FIRST_FD + FDS) /* else the world's */
		get_fd(fd)->used = false;
	return 0;
}

int disk_dup(int fd)
{
	struct fd *f = get_fd(fd);

	return f ? new_fd(*f) : dup(fd);
}

bool disk_has_fd(int fd)
{
	return get_fd(fd);
}

int disk_fcntl(int fd, int how, ...)
{
	if (how == F_DUPFD_CLOEXEC)
		return disk_dup(fd);
	errno = EINVAL;
	return -1;
}

int disk_stat(const char *path, struct stat *st)
{
	int name;

	if (!is_ours(path))
		return stat(path, st);
	name = find_name(&disk->now, path);
	if (name < 0 || disk->now.of[name] < 0) {
		errno = ENOENT;
		return -1;
	}
	fill_stat(&disk->now, disk->now.of[name], st);
	return 0;
}

int disk_lstat(const char *path, struct stat *st)
{
	return is_ours(path) ? disk_stat(path, st) : lstat(path, st);
}

int disk_fstat(int fd, struct stat *st)
{
	struct fd *f = get_fd(fd);

	if (!f)
		return fstat(fd, st);
	fill_stat(&disk->now, f->file, st);
	return 0;
}

ssize_t disk_pread(int fd, void *buf, size_t len, off_t off)
{
	const struct fd *f = get_fd(fd);
	const struct file *file;

	if (!f)
		return pread(fd, buf, len, off);
	file = &disk->now.file[f->file];
	if ((uint64_t)off >= file->size)
		return 0;
	if (len > file->size - (uint64_t)off)
		len = file->size - (uint64_t)off;
	memcpy(buf, file->data + off, len);
	return (ssize_t)len;
}

ssize_t disk_pm_pread(struct pmio_pm *pm, void *dst, int fd, size_t len, off_t off)
{
	uint8_t *buf = malloc(len);
	ssize_t n;

	assert(buf);
	n = disk_pread(fd, buf, len, off);
	if (n > 0)
		(pmio_pm_copy)(pm, dst, buf, (size_t)n);
	free(buf);
	return n;
}

/* what a cut leaves of a write: each of some pieces, or not */
static void write_pieces(int file, const uint8_t *buf, size_t len, uint64_t off)
{
	size_t most = (len / DISK_PIECES + DISK_SECTOR) & ~(size_t)(DISK_SECTOR - 1);

	while (len) {
		size_t n = most - off % DISK_SECTOR;
		struct event e = { .kind = WRITE, .file = file, .off = off };

		e.len = n < len ? n : len;
		e.data = malloc(e.len);
		assert(e.data);
		memcpy(e.data, buf, e.len);
		happen(e);
		buf += e.len;
		off += e.len;
		len -= e.len;
	}
}

ssize_t disk_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	struct fd *f = get_fd(fd);

	if (!f)
		return pwrite(fd, buf, len, off);
	before("pwrite");
	write_pieces(f->file, buf, len, (uint64_t)off);
	return (ssize_t)len;
}

ssize_t disk_pwritev(int fd, const struct iovec *iov, int nr, off_t off)
{
	struct fd *f = get_fd(fd);
	ssize_t sum = 0;

	if (!f)
		return pwritev(fd, iov, nr, off);
	before("pwritev");
	for (int i = 0; i < nr; i++) {
		write_pieces(f->file, iov[i].iov_base, iov[i].iov_len, (uint64_t)off + (uint64_t)sum);
		sum += (ssize_t)iov[i].iov_len;
	}
	return sum;
}

int disk_ftruncate(int fd, off_t size)
{
	struct fd *f = get_fd(fd);

	if (!f)
		return ftruncate(fd, size);
	before("ftruncate");
	happen((struct event){ .kind = CUT, .file = f->file, .off = (uint64_t)size });
	return 0;
}

int disk_fdatasync(int fd)
{
	struct fd *f = get_fd(fd);

	if (!f)
		return fdatasync(fd);
	before("fdatasync");
	if (is_there())
		happen((struct event){ .kind = DATASYNC, .file = f->file });
	return 0;
}

int disk_fsync(int fd)
{
	struct fd *f = get_fd(fd);

	if (!f)
		return fsync(fd);
	before("fsync");
	if (is_there())
		happen((struct event){ .kind = f->is_dir ? SYNC_DIR : SYNC, .file = f->file });
	return 0;
}

int disk_unlink(const char *path)
{
	int name;

	if (!is_ours(path))
		return unlink(path);
	name = find_name(&disk->now, path);
	if (name < 0 || disk->now.of[name] < 0) {
		errno = ENOENT;
		return -1;
	}
	before("unlink");
	happen((struct event){ .kind = UNLINK, .file = disk->now.of[name], .name = name });
	return 0;
}

char *disk_realpath(const char *path, char *buf)
{
	assert(!buf);
	return is_ours(path) ? strdup(path) : realpath(path, buf);
}

/* ---- in place of lib/pfs/identity.c, find.c and exclusion.c ------------------------------------------------ */

int pmio_pfs_identify(int fd, struct stat *st, struct pmio_pfs_id *id)
{
	const struct fd *f = get_fd(fd);

	assert(f);
	fill_stat(&disk->now, f->file, st);
	*id = (struct pmio_pfs_id){ st->st_dev, st->st_ino,
				    tells_births ? (int64_t)disk->now.file[f->file].birth : 0 };
	return 0;
}

int pmio_pfs_identify_cached(int fd, struct stat *st, struct pmio_pfs_id *id)
{
	return tells_births ? pmio_pfs_identify(fd, st, id) : -EAGAIN;
}

bool pmio_pfs_same(const struct pmio_pfs_id *a, const struct pmio_pfs_id *b)
{
	return a->dev == b->dev && a->ino == b->ino &&
	       (a->birth_ns == b->birth_ns || !a->birth_ns || !b->birth_ns);
}

int pmio_pfs_access(int fd)
{
	return get_fd(fd) ? O_RDWR : -EBADF;
}

int pmio_pfs_rights(int fd)
{
	return get_fd(fd) ? O_RDWR : -EBADF;
}

int pmio_pfs_name(int fd, char *name)
{
	const struct fd *f = get_fd(fd);

	for (int i = 0; f && i < disk->now.nr_names; i++) {
		if (disk->now.of[i] == f->file) {
			strcpy(name, disk->now.path[i]);
			return 0;
		}
	}
	return -ENOENT;
}

bool pmio_pfs_is_nameless(int fd, const struct stat *st)
{
	(void)fd;
	return st->st_nlink == 0;
}

/* nobody renames files here */
int pmio_pfs_find(const char *path, const struct pmio_pfs_id *id, int flags, int *fd, char *name)
{
	(void)path, (void)id, (void)flags, (void)name;
	*fd = -1;
	return -ENOENT;
}

int pmio_pfs_take(int fd, const uint8_t uuid[16], enum pmio_pfs_use use)
{
	(void)fd, (void)uuid, (void)use;
	return 0;
}

void pmio_pfs_holder(int fd, char *who, size_t size)
{
	(void)fd;
	snprintf(who, size, "nobody");
}

int pmio_pfs_mark(int fd, const uint8_t uuid[16], const char *dir)
{
	(void)fd, (void)uuid, (void)dir;
	return -EOPNOTSUPP;
}

void pmio_pfs_unmark(int fd, const uint8_t uuid[16])
{
	(void)fd, (void)uuid;
}

int pmio_pfs_check_mark(int fd, const uint8_t uuid[16], const char *path)
{
	(void)fd, (void)uuid, (void)path;
	return 0;
}
