/*
 * layout_file.c -- the layout file: the targets that have pieces of a file, and how to reach them
 *
 * It is next to the file on the PFS, named ".pmio-owner." INODE, while several nodes have the file open, and readable for
 * the user only, as it contains keys.  The name has the inode number so that all names of the file in that folder lead to
 * the same layout file:
 *
 *	[use]			the layout session
 *	file = /pfs/out.h5	for people; cut to the length of a line that inih reads
 *	born = 1764126711.183	the file's birth time, if its file system knows it, as inode numbers are reused
 *	id = 5f...		16 bytes
 *	placement = local
 *	memory = 0		this number of targets, the last ones, are memory nodes
 *	targets = 2
 *	[target]
 *	host = n1		as in descriptor_file.c
 *	...
 *	waits = no		or yes, the dirty mark: this target has data that could not be drained at a close
 *	[target]
 *	...
 *	[end]
 *
 * "no " and "yes" have the same length, and are overwritten in place, because a full file system may be the reason.  So is
 * the first target's endpoint descriptor, by a process that has the file open when that target is restarted.  The file, its
 * name and each mark are durable (fsync) before anything relies on them.
 *
 * A process that changes or removes it holds a lock on it (flock), so the file system must have locks that all nodes see.
 * If it refuses them, the open fails, and reports why.  No process waits for a lock on another user's file, and none waits
 * without a limit.
 *
 * In a folder where other users may make files (/tmp), one of them may make a file of that name, to keep this user out.  If
 * that user may not write the data file, it cannot have changed anything: its file is a forgery, or it only reads; then this
 * user takes the second name, ".pmio-owner." INODE "." UID.  A file of the second name may still exist when the other one
 * has been removed, so both are looked for.
 *
 * The process that opens first makes it with O_EXCL, so there is one layout session of a file at a time.  The first target,
 * the file's metadata server, removes it after the last close, also when processes are killed; not when one of them cannot
 * be reached any more, as it may be alive: then it stays until that process can be reached again, or a user who knows that
 * it has ended removes the file by hand.  If that target itself has died the file is a leftover: no process answers at its
 * address, or the one there does not know this layout session.  Then the next process that opens the file removes it,
 * under a lock on it, so that it does not remove a new one.  If the target's host does not answer at all, the target may
 * be alive, and the file stays.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/path.h"
#include "core/system.h"
#include "pfs/pfs.h"
#include "remote/layout_file.h"
#include "remote/remote_impl.h"

#define PREFIX PMIO_PFS_LAYOUT
#define LOCK_POLL_MS 20
#define TEXT_MAX (64u << 20)

static const char *const placements[] = {
	[PMIO_PLACE_AUTO] = "auto", [PMIO_PLACE_LOCAL] = "local", [PMIO_PLACE_STRIPED] = "striped",
	[PMIO_PLACE_REMOTE] = "remote", [PMIO_PLACE_SINGLE] = "single",
};
static const char *const marks[] = { "no ", "yes" };
#define MARK_LEN 3
#define NR_PLACEMENTS (sizeof(placements) / sizeof(placements[0]))

void remote_layout_fini(struct remote_layout *layout)
{
	if (layout->endpoints)
		explicit_bzero(layout->endpoints, layout->nr * sizeof(*layout->endpoints));
	free(layout->endpoints);
	memset(layout, 0, sizeof(*layout));
}

/* ---- its name ---------------------------------------------------------------------------- */

bool layout_file_owner(const char *name, uid_t *uid)
{
	struct stat st;

	if (lstat(name, &st) < 0)
		return false;
	*uid = st.st_uid;
	return true;
}

/* another user has made a layout file: may that user write the data file?  Access lists show in the group bits */
static bool is_genuine(uid_t by, const struct statx *file)
{
	return by == 0 || by == file->stx_uid || (file->stx_mode & (S_IWGRP | S_IWOTH));
}

static void swap_names(struct layout_names *m)
{
	char name[PATH_MAX];

	strcpy(name, m->name);
	strcpy(m->name, m->other);
	strcpy(m->other, name);
}

/* *forger: out: the user whose file is ignored */
static bool choose_name(struct layout_names *m, const struct statx *file, uid_t *forger)
{
	uid_t by = geteuid(), second;
	bool there = layout_file_owner(m->name, &by), forged = there && by != geteuid() && !is_genuine(by, file);

	if (snprintf(m->other, sizeof(m->other), "%s.%u", m->name, (unsigned)geteuid()) >= (int)sizeof(m->other))
		*m->other = '\0';
	if ((there && by == geteuid()) || !*m->other)
		return false;
	if (forged || (layout_file_owner(m->other, &second) && second == geteuid()))
		swap_names(m);
	*forger = by;
	return forged;
}

int layout_file_find(const char *path, struct layout_names *m, uid_t *forger)
{
	char absolute[PATH_MAX], *real, *slash;
	struct statx st;
	int rc = pmio_absolute(path, absolute, sizeof(absolute));

	if (rc < 0)
		return rc;
	real = realpath(absolute, NULL);
	if (!real)
		return -errno;
	slash = strrchr(real, '/');
	if (statx(AT_FDCWD, real, 0, STATX_INO | STATX_UID | STATX_MODE | STATX_BTIME, &st) < 0)
		rc = -errno;
	else if (snprintf(m->name, sizeof(m->name), "%.*s/" PREFIX "%" PRIu64, (int)(slash - real), real,
			  (uint64_t)st.stx_ino) >= (int)sizeof(m->name))
		rc = -ENAMETOOLONG;
	free(real);
	if (rc < 0)
		return rc;
	if (!(st.stx_mask & STATX_BTIME))
		memset(&st.stx_btime, 0, sizeof(st.stx_btime));
	snprintf(m->born, sizeof(m->born), "%lld.%09u", (long long)st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
	return choose_name(m, &st, forger);
}

int layout_file_names(const char *path, struct layout_names *m)
{
	uid_t forger;
	int rc = layout_file_find(path, m, &forger);

	return rc < 0 ? rc : 0;
}

bool layout_file_has_rival(const struct layout_names *m)
{
	uid_t uid;

	return *m->other && layout_file_owner(m->other, &uid) && uid == geteuid();
}

/* ---- the lock ---------------------------------------------------------------------------- */

unsigned layout_file_lock_ms = LAYOUT_LOCKED_TRIES * (LAYOUT_FIND_WAIT_US / 1000); /* tests use less */

static int say_locked(int fd, const char *layout_file)
{
	pid_t pid = pmio_lock_holder(fd);

	if (pid)
		pmio_err("%s: process %d has held its lock for too long", layout_file, (int)pid);
	else
		pmio_err("%s: a process of user %u on another node has held its lock for too long", layout_file, (unsigned)geteuid());
	return -ETIMEDOUT;
}

int layout_file_lock(int fd, const char *layout_file, int how)
{
	struct pmio_backoff b = PMIO_BACKOFF(LOCK_POLL_MS, LOCK_POLL_MS, layout_file_lock_ms);

	while (flock(fd, how | LOCK_NB) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK) {
			pmio_err("%s: flock: %s; a file that several nodes use needs a file system whose locks work across nodes",
				 layout_file, strerror(errno));
			return -ENOLCK;
		}
		if (how & LOCK_NB)
			return -EAGAIN;
		if (!pmio_backoff_sleep(&b))
			return say_locked(fd, layout_file);
	}
	return 0;
}

/* 0; -EPERM: another user who may open it, or has made it, could hold a lock on it without a limit */
static int check_ours(int fd, struct stat *st)
{
	if (fstat(fd, st) < 0)
		return -errno;
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() && !(st->st_mode & 077) ? 0 : -EPERM;
}

static void say_others(const char *layout_file)
{
	uid_t uid;

	if (layout_file_owner(layout_file, &uid) && uid != geteuid())
		pmio_warn("%s belongs to user %u and is left unchanged", layout_file, (unsigned)uid);
}

/* ---- writing --------------------------------------------------------------------------- */

/* inih reads less than 200 characters of a line; a longer name is cut */
#define SHOWN_MAX 150
static void write_name(FILE *out, const char *path)
{
	fprintf(out, "file = ");
	for (int i = 0; path[i] && i < SHOWN_MAX; i++)
		putc(iscntrl((unsigned char)path[i]) ? '?' : path[i], out);
	putc('\n', out);
}

void layout_file_write(FILE *out, const char *path, const char *born, const struct remote_layout *layout)
{
	fprintf(out, "[use]\n");
	write_name(out, path);
	fprintf(out, "born = %s\n", born);
	remote_put_hex(out, "id", layout->id, REMOTE_LAYOUT_ID);
	fprintf(out, "placement = %s\nmemory = %u\ntargets = %u\n", placements[layout->placement],
		layout->nr_memory, layout->nr);
	for (uint32_t i = 0; i < layout->nr; i++) {
		remote_endpoint_write(out, &layout->endpoints[i]);
		fprintf(out, "waits = %s\n", marks[layout->endpoints[i].dirty]);
	}
	fprintf(out, "[end]\n");
}

int layout_file_write_new(int fd, const char *path, const char *born, const struct remote_layout *layout)
{
	int rc, copy = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* fd keeps the lock */
	FILE *out = copy < 0 ? NULL : fdopen(copy, "w");

	if (!out) {
		rc = -errno;
		if (copy >= 0)
			close(copy);
		return rc;
	}
	layout_file_write(out, path, born, layout);
	rc = fflush(out) == 0 && fsync(fd) == 0 ? 0 : -errno;
	if (fclose(out) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

/* ---- reading ----------------------------------------------------------------------------- */

struct parser {
	struct remote_layout *layout; /* layout->nr: endpoint descriptors that have begun */
	uint32_t nr;	 /* number of targets according to the text; 0: not known yet */
	uint32_t room;	 /* for endpoint descriptors */
	unsigned seen;	 /* bits of the current descriptor's lines */
	unsigned head;	 /* lines of [use] */
	bool bad;
	const char *born; /* the expected value */
	bool other;	  /* the text belongs to a file that no longer exists */
	bool dirty;	  /* some target has a dirty mark */
};

static void take_head(struct parser *p, const char *name, const char *value)
{
	size_t len = 0;
	uint64_t number;

	if (strcmp(name, "id") == 0 && remote_get_hex(value, p->layout->id, REMOTE_LAYOUT_ID, &len)) {
		p->head |= len == REMOTE_LAYOUT_ID ? 1 : 0;
	} else if (strcmp(name, "born") == 0) {
		p->other = p->born && strcmp(value, p->born) != 0;
	} else if (strcmp(name, "placement") == 0) {
		for (size_t i = 1; i < NR_PLACEMENTS; i++) {
			if (strcmp(value, placements[i]) != 0)
				continue;
			p->layout->placement = (enum pmio_placement)i;
			p->head |= 2;
		}
	} else if (strcmp(name, "memory") == 0) {
		p->bad |= !remote_get_number(value, 10, REMOTE_TARGETS_MAX, &number);
		p->layout->nr_memory = p->bad ? 0 : (uint32_t)number;
	} else if (strcmp(name, "targets") == 0 && !p->nr) {
		p->bad |= !remote_get_number(value, 10, REMOTE_TARGETS_MAX, &number) || number == 0;
		p->nr = p->bad ? 0 : (uint32_t)number;
		p->head |= 4;
	}
}

/* memory is allocated as descriptors come, not by the number that the text announces */
static void begin_endpoint(struct parser *p)
{
	struct remote_layout *layout = p->layout;

	p->bad |= layout->nr == p->nr || (layout->nr && p->seen != REMOTE_ENDPOINT_WHOLE);
	p->seen = 0;
	if (!p->bad && layout->nr == p->room) {
		uint32_t room = p->room ? 2 * p->room : 4;
		struct remote_endpoint *endpoints = calloc(room, sizeof(*endpoints));

		p->bad |= !endpoints;
		if (endpoints && layout->nr) {
			memcpy(endpoints, layout->endpoints, layout->nr * sizeof(*endpoints));
			explicit_bzero(layout->endpoints, layout->nr * sizeof(*endpoints));
		}
		if (endpoints) {
			free(layout->endpoints);
			layout->endpoints = endpoints;
			p->room = room;
		}
	}
	if (!p->bad)
		layout->nr++;
}

static int take(void *user, const char *section, const char *name, const char *value)
{
	struct parser *p = user;

	if (strcmp(section, "use") == 0) {
		take_head(p, name, value);
		return 1;
	}
	if (strcmp(section, "target") != 0)
		return 1;
	if (strcmp(name, "host") == 0) /* the first line of each endpoint descriptor */
		begin_endpoint(p);
	p->bad |= p->layout->nr == 0;
	if (p->bad)
		return 1;
	if (strcmp(name, "waits") == 0)
		p->dirty |= p->layout->endpoints[p->layout->nr - 1].dirty = strcmp(value, "yes") == 0;
	else
		p->seen |= remote_endpoint_take(&p->layout->endpoints[p->layout->nr - 1], name, value);
	return 1;
}

int layout_file_parse(const char *text, const char *born, struct remote_layout *layout)
{
	struct parser p = { .layout = layout, .born = born };

	memset(layout, 0, sizeof(*layout));
	if (!strstr(text, "\n[end]\n"))
		return -EAGAIN; /* the text is being written, or its writer died */
	if (ini_parse_string(text, take, &p) == 0 && p.head == 7 && !p.bad && p.nr == layout->nr &&
	    layout->nr_memory <= layout->nr && p.seen == REMOTE_ENDPOINT_WHOLE)
		return p.other ? -ESTALE : p.dirty ? -EBUSY : 0;
	remote_layout_fini(layout);
	return PMIO_EPROTO;
}

int layout_file_read_text(int fd, char **text)
{
	struct stat st;
	size_t done = 0;

	int rc = check_ours(fd, &st);

	*text = NULL;
	if (rc < 0)
		return rc;
	if (st.st_size > TEXT_MAX)
		return PMIO_EPROTO;
	*text = malloc((size_t)st.st_size + 1);
	if (!*text)
		return -ENOMEM;
	while (done < (size_t)st.st_size) {
		ssize_t n = pread(fd, *text + done, (size_t)st.st_size - done, (off_t)done);

		if (n < 0 && errno != EINTR)
			break;
		if (n == 0)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	(*text)[done] = '\0';
	return 0;
}

int layout_file_read(const char *layout_file, const char *born, struct remote_layout *layout, int *fd)
{
	char *text;
	int rc;

	memset(layout, 0, sizeof(*layout));
	*fd = open(layout_file, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (*fd < 0)
		return -errno;
	rc = layout_file_read_text(*fd, &text);
	if (rc == 0)
		rc = layout_file_parse(text, born, layout);
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	if (rc < 0 && rc != -EAGAIN && rc != -ESTALE && rc != -EBUSY) {
		close(*fd);
		*fd = -1;
	}
	return rc;
}

/* ---- removing ------------------------------------------------------------------------------- */

void layout_file_remove_this(const char *layout_file, int fd)
{
	struct stat a, b;

	if (layout_file_lock(fd, layout_file, LOCK_EX) < 0)
		return; /* the name may belong to another file by now */
	if (fstat(fd, &a) == 0 && lstat(layout_file, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev &&
	    unlink(layout_file) < 0)
		pmio_err("%s: remove: %s", layout_file, strerror(errno));
}

void remote_layout_file_remove(const char *layout_file, const uint8_t id[REMOTE_LAYOUT_ID], bool dirty)
{
	struct remote_layout layout;
	int fd, rc = layout_file_read(layout_file, NULL, &layout, &fd);

	if ((rc == 0 || (rc == -EBUSY && dirty)) && memcmp(layout.id, id, REMOTE_LAYOUT_ID) == 0)
		layout_file_remove_this(layout_file, fd);
	remote_layout_fini(&layout);
	if (fd >= 0)
		close(fd);
}

/* ---- dirty marks --------------------------------------------------------------------------- */

off_t layout_file_mark_of(const char *text, uint32_t target)
{
	const char *at = text;

	for (uint32_t i = 0; i <= target && at; i++)
		at = strstr(i ? at + 1 : at, "\nwaits = ");
	return at ? at + sizeof("\nwaits = ") - 1 - text : 0;
}

static int put_mark(int fd, const char *text, struct remote_layout *layout, uint32_t target, bool dirty)
{
	off_t at = layout_file_mark_of(text, target);

	if (!at || (strncmp(text + at, marks[0], MARK_LEN) != 0 && strncmp(text + at, marks[1], MARK_LEN) != 0))
		return PMIO_EPROTO;
	layout->endpoints[target].dirty = dirty;
	errno = EIO; /* a short write */
	return pwrite(fd, marks[dirty], MARK_LEN, at) == MARK_LEN ? 0 : -errno;
}

/* marks keep other processes from reading old bytes, so they must survive a power cut */
static int sync_marks(int fd, int rc)
{
	return rc == 0 && fsync(fd) < 0 ? -errno : rc;
}

static bool any_dirty(const struct remote_layout *layout)
{
	bool any = false;

	for (uint32_t i = 0; i < layout->nr; i++)
		any |= layout->endpoints[i].dirty;
	return any;
}

/* lock it, and read the text of the file that is locked then; 0, -EBUSY (it has a dirty mark) or an error */
static int lock_text_how(const char *layout_file, const char *born, int how, struct remote_layout *layout, int *fd, char **text)
{
	struct stat st;
	int rc;

	*text = NULL;
	memset(layout, 0, sizeof(*layout));
	*fd = open(layout_file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (*fd < 0)
		return -errno;
	rc = check_ours(*fd, &st);
	if (rc == 0)
		rc = layout_file_lock(*fd, layout_file, how);
	if (rc == 0)
		rc = layout_file_read_text(*fd, text);
	return rc == 0 ? layout_file_parse(*text, born, layout) : rc;
}

int layout_file_lock_text(const char *layout_file, const char *born, struct remote_layout *layout, int *fd, char **text)
{
	return lock_text_how(layout_file, born, LOCK_EX, layout, fd, text);
}

void layout_file_unlock(struct remote_layout *layout, int fd, char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	remote_layout_fini(layout);
	if (fd >= 0)
		close(fd);
}

/* sets the marks of targets first..end-1 */
static int mark_targets(const char *path, const uint8_t id[REMOTE_LAYOUT_ID], uint32_t first, uint32_t end)
{
	struct remote_layout layout = { .nr = 0 };
	char *text = NULL;
	struct layout_names m;
	int fd = -1, rc = layout_file_names(path, &m);

	if (rc == 0)
		rc = layout_file_lock_text(m.name, m.born, &layout, &fd, &text);
	if (rc == -EPERM || rc == -EACCES)
		say_others(m.name);
	if (rc == 0 || rc == -EBUSY)
		rc = memcmp(layout.id, id, REMOTE_LAYOUT_ID) == 0 ? 0 : -ENOENT;
	for (uint32_t i = first; i < end && i < layout.nr && rc == 0; i++)
		rc = put_mark(fd, text, &layout, i, true);
	rc = sync_marks(fd, rc);
	layout_file_unlock(&layout, fd, text);
	return rc;
}

int remote_layout_file_mark(const char *path, const uint8_t id[REMOTE_LAYOUT_ID], uint32_t target)
{
	return mark_targets(path, id, target, target + 1);
}

int remote_layout_file_mark_all(const char *path, const uint8_t id[REMOTE_LAYOUT_ID])
{
	return mark_targets(path, id, 0, REMOTE_TARGETS_MAX);
}

void remote_layout_file_keep(const char *layout_file, const uint8_t id[REMOTE_LAYOUT_ID])
{
	struct remote_layout layout;
	char *text;
	int fd, rc = layout_file_lock_text(layout_file, NULL, &layout, &fd, &text);

	/* a process whose close failed could not tell at which target: assume any */
	for (uint32_t i = 0; rc == 0 && i < layout.nr && memcmp(layout.id, id, REMOTE_LAYOUT_ID) == 0; i++)
		rc = put_mark(fd, text, &layout, i, true);
	rc = sync_marks(fd, rc);
	if (rc < 0 && rc != -EBUSY)
		pmio_err("%s: %s", layout_file, pmio_strerror(rc));
	layout_file_unlock(&layout, fd, text);
}

/* for a complete text, of any file: 1: it belongs to this layout session; 0: to another one */
static int compare_id(int rc, const struct remote_layout *layout, const uint8_t id[REMOTE_LAYOUT_ID])
{
	if (rc < 0 && rc != -EBUSY)
		return rc;
	return memcmp(layout->id, id, REMOTE_LAYOUT_ID) == 0;
}

static bool has_folder(const char *layout_file)
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(layout_file, '/') - layout_file) + 1, layout_file);
	return access(folder, F_OK) == 0;
}

int remote_layout_file_is_there(const char *layout_file, const uint8_t id[REMOTE_LAYOUT_ID])
{
	struct remote_layout layout;
	int fd, rc = compare_id(layout_file_read(layout_file, NULL, &layout, &fd), &layout, id);

	remote_layout_fini(&layout);
	if (fd >= 0)
		close(fd);
	/* if the folder does not exist either, the file system may not be mounted */
	return rc == -ENOENT && has_folder(layout_file) ? 0 : rc;
}

/*
 * overwrite the first descriptor in place, by one write, as readers have no lock.  -ENOENT: the descriptors' lengths
 * differ
 */
static int put_mds(int fd, const char *text, const struct remote_endpoint *mds)
{
	const char *start = strstr(text, "\n[target]\n"), *end = strstr(text, "\nwaits = ");
	char *endpoint = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&endpoint, &len);
	int rc = -ENOENT;

	if (out) {
		remote_endpoint_write(out, mds);
		fclose(out);
	}
	if (!endpoint)
		return -ENOMEM;
	if (start && end > start && (size_t)(end - start) == len) {
		errno = EIO; /* a short write */
		rc = pwrite(fd, endpoint, len, start + 1 - text) == (ssize_t)len ? sync_marks(fd, 0) : -errno;
	}
	explicit_bzero(endpoint, len);
	free(endpoint);
	return rc;
}

int layout_file_locked(const char *layout_file, const uint8_t id[REMOTE_LAYOUT_ID], const struct remote_endpoint *mds,
		 int (*call)(void *arg), void *arg)
{
	struct remote_layout layout = { .nr = 0 };
	int fd = -1, rc = -EAGAIN;
	char *text = NULL;
	struct stat st;

	/* this thread itself may have the lock, in another call: wait only for a limited time */
	for (int tries = 0; tries < LAYOUT_FIND_TRIES && rc == -EAGAIN; tries++) {
		if (tries) {
			layout_file_unlock(&layout, fd, text);
			pmio_sleep_us(LAYOUT_FIND_WAIT_US);
		}
		rc = lock_text_how(layout_file, NULL, LOCK_EX | LOCK_NB, &layout, &fd, &text);
	}
	rc = compare_id(rc, &layout, id);
	if (rc >= 0)
		rc = rc == 1 && fstat(fd, &st) == 0 && st.st_nlink ? put_mds(fd, text, mds) : -ENOENT;
	if (rc == 0)
		rc = call(arg);
	layout_file_unlock(&layout, fd, text);
	return rc;
}

void remote_layout_file_drained(const char *path, const uint8_t uuid[16], int (*drain)(void *arg), void *arg)
{
	struct remote_layout layout;
	struct layout_names m;
	char *text;
	bool drained;
	int fd, rc;

	if (layout_file_names(path, &m) < 0)
		return;
	rc = layout_file_lock_text(m.name, m.born, &layout, &fd, &text);
	if (rc == -EPERM || rc == -EACCES)
		say_others(m.name);
	if (rc == -EBUSY) {
		/* drain what was written before another process set a mark here: the lock is held */
		drained = !drain || drain(arg) >= 0;
		rc = 0;
		for (uint32_t i = 0; i < layout.nr && rc == 0 && drained; i++) {
			if (layout.endpoints[i].dirty && memcmp(layout.endpoints[i].uuid, uuid, 16) == 0)
				rc = put_mark(fd, text, &layout, i, false);
		}
		rc = sync_marks(fd, rc);
		if (rc < 0)
			pmio_err("%s: %s", m.name, pmio_strerror(rc));
		else if (!any_dirty(&layout) && layout.nr_memory < layout.nr)
			layout_file_remove_this(m.name, fd);
	}
	layout_file_unlock(&layout, fd, text);
}

int remote_layout_file_settle(const char *path, const uint8_t uuid[16],
			      bool (*is_active)(void *arg, const uint8_t id[REMOTE_LAYOUT_ID]), void *arg)
{
	struct remote_layout layout;
	struct layout_names m;
	char *text;
	int fd, rc;

	if (layout_file_names(path, &m) < 0)
		return 0;
	rc = layout_file_lock_text(m.name, m.born, &layout, &fd, &text);
	if (rc == -EBUSY)
		rc = memcmp(layout.endpoints[0].uuid, uuid, 16) == 0 ? -EAGAIN : 0;
	else if (rc == 0 && memcmp(layout.endpoints[0].uuid, uuid, 16) == 0 && is_active(arg, layout.id))
		rc = -EAGAIN; /* a process that uses the file may leave without a notice if it has written nothing */
	else if (rc == 0 && memcmp(layout.endpoints[0].uuid, uuid, 16) == 0)
		layout_file_remove_this(m.name, fd);
	layout_file_unlock(&layout, fd, text);
	return rc == -EAGAIN || rc == -ETIMEDOUT ? -EAGAIN : 0;
}
