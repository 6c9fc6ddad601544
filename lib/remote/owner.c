/*
 * owner.c -- the owner's file: who has pieces of a file, and how to reach them
 *
 * It lies next to the file on the PFS, ".pmio-owner." INODE, while several nodes have the file
 * open, readable for the user alone (it holds keys).  By the inode's number, so that all names
 * of the file in that folder have the same one:
 *
 *	[use]
 *	file = /pfs/out.h5	for people; so much of it as inih reads of a line
 *	born = 1764126711.183	when the file was made, where its file system knows: numbers are used again
 *	id = 5f...		16 bytes
 *	placement = local
 *	memory = 0		of the targets so many, the last ones, are memory nodes
 *	targets = 2
 *	[target]
 *	host = n1		as in card.c
 *	...
 *	waits = no		or yes: a close found that data could not be drained: they wait there
 *	[target]
 *	...
 *	[end]
 *
 * "no" and "yes" are as long, and overwritten in place: a file system that is full is a reason.  So is the first
 * target's card, by a process that has the file open when that target is started anew.
 * The file, its name and each mark are durable (fsync) before anybody relies on them.
 *
 * Who changes or removes it holds a lock on it (flock), so the file system must have locks that all
 * nodes see.  One that refuses them is of no use for this: then the open fails, and says why.
 *
 * Made by who opens first, with O_EXCL, so there is one use of a file at a time.  The first
 * target removes it after the last close, also when processes are killed; not when one of
 * them cannot be reached any more, as it may live: then it stays until that one is heard of
 * again, or somebody who knows that it is dead removes it by hand.  If that target
 * itself has died it is left over: nobody answers at its address, or knows this use.  Then
 * who comes next removes it, under a lock on the file, so that it is not a new one's.
 * Where the target's host does not answer at all nothing can be told, and the file stays.
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

#include "core/path.h"
#include "remote/remote_impl.h"
#include "remote/use.h"

#define PREFIX ".pmio-owner."
#define FIND_TRIES 100
#define LOCKED_TRIES 2000 /* for who holds the lock */
#define FIND_WAIT_US 20000 /* for a file that is being written */
#define TEXT_MAX (64u << 20)

static const char *const placements[] = {
	[PMIO_PLACE_AUTO] = "auto", [PMIO_PLACE_LOCAL] = "local", [PMIO_PLACE_STRIPED] = "striped",
	[PMIO_PLACE_REMOTE] = "remote", [PMIO_PLACE_SINGLE] = "single",
};
static const char *const answers[] = { "no ", "yes" };
#define ANSWER_LEN 3
#define NR_PLACEMENTS (sizeof(placements) / sizeof(placements[0]))

void remote_use_fini(struct remote_use *use)
{
	if (use->cards)
		explicit_bzero(use->cards, use->nr * sizeof(*use->cards));
	free(use->cards);
	memset(use, 0, sizeof(*use));
}

/* the file itself, links followed, and when it was made (0.0: not known); *owner: the name that goes with it */
static int owner_name(const char *path, char *owner, size_t size, char *born, size_t born_size)
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
	if (statx(AT_FDCWD, real, 0, STATX_INO | STATX_BTIME, &st) < 0)
		rc = -errno;
	else if (snprintf(owner, size, "%.*s/" PREFIX "%" PRIu64, (int)(slash - real), real,
			  (uint64_t)st.stx_ino) >= (int)size)
		rc = -ENAMETOOLONG;
	if (rc == 0 && !(st.stx_mask & STATX_BTIME))
		memset(&st.stx_btime, 0, sizeof(st.stx_btime));
	if (rc == 0)
		snprintf(born, born_size, "%lld.%09u", (long long)st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
	free(real);
	return rc;
}

/* ---- the lock ---------------------------------------------------------------------------- */

/* how: LOCK_EX, and LOCK_NB: -EAGAIN.  -ENOLCK: the file system has none (logged) */
static int lock(int fd, const char *owner, int how)
{
	while (flock(fd, how) < 0) {
		if (errno == EWOULDBLOCK)
			return -EAGAIN;
		if (errno == EINTR)
			continue;
		pmio_err("%s: flock: %s; files of several nodes need a file system with locks that all nodes see", owner,
			 strerror(errno));
		return -ENOLCK;
	}
	return 0;
}

/* its name is there after a crash of the file system's server, too */
static int sync_folder(const char *owner)
{
	char folder[PATH_MAX];
	int fd, rc;

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(owner, '/') - owner) + 1, owner);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* not all file systems can: they have it durable, or nobody can make it so */
	rc = fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
	close(fd);
	return rc;
}

/* ---- writing --------------------------------------------------------------------------- */

/* inih's lines have less than 200 characters, and end in mid-name if the name does so */
#define SHOWN_MAX 150
static void write_name(FILE *out, const char *path)
{
	fprintf(out, "file = ");
	for (int i = 0; path[i] && i < SHOWN_MAX; i++)
		putc(iscntrl((unsigned char)path[i]) ? '?' : path[i], out);
	putc('\n', out);
}

static int write_use(int fd, const char *path, const char *born, const struct remote_use *use)
{
	int rc, copy = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* fd keeps the lock */
	FILE *out = copy < 0 ? NULL : fdopen(copy, "w");

	if (!out) {
		rc = -errno;
		if (copy >= 0)
			close(copy);
		return rc;
	}
	fprintf(out, "[use]\n");
	write_name(out, path);
	fprintf(out, "born = %s\nid = ", born);
	for (int i = 0; i < REMOTE_USE_ID; i++)
		fprintf(out, "%02x", use->id[i]);
	fprintf(out, "\nplacement = %s\nmemory = %u\ntargets = %u\n", placements[use->placement],
		use->nr_memory, use->nr);
	for (uint32_t i = 0; i < use->nr; i++) {
		remote_card_write(out, &use->cards[i]);
		fprintf(out, "waits = %s\n", answers[use->cards[i].waits]);
	}
	fprintf(out, "[end]\n");
	rc = fflush(out) == 0 && fsync(fd) == 0 ? 0 : -errno;
	if (fclose(out) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

/* ---- reading ----------------------------------------------------------------------------- */

struct parser {
	struct remote_use *use;
	uint32_t at;	 /* cards begun */
	unsigned seen;	 /* of the card at hand */
	unsigned head;	 /* lines of [use] */
	bool bad;
	const char *born; /* as it should be */
	bool other;	  /* it was of a file that is no more */
	bool waits;	  /* data, somewhere */
};

static void take_head(struct parser *p, const char *name, const char *value)
{
	size_t len = 0;

	if (strcmp(name, "id") == 0 && remote_get_hex(value, p->use->id, REMOTE_USE_ID, &len)) {
		p->head |= len == REMOTE_USE_ID ? 1 : 0;
	} else if (strcmp(name, "born") == 0) {
		p->other = p->born && strcmp(value, p->born) != 0;
	} else if (strcmp(name, "placement") == 0) {
		for (size_t i = 1; i < NR_PLACEMENTS; i++) {
			if (strcmp(value, placements[i]) != 0)
				continue;
			p->use->placement = (enum pmio_placement)i;
			p->head |= 2;
		}
	} else if (strcmp(name, "memory") == 0) {
		p->use->nr_memory = (uint32_t)strtoul(value, NULL, 10);
	} else if (strcmp(name, "targets") == 0 && !p->use->cards) {
		unsigned long nr = strtoul(value, NULL, 10);

		if (nr >= 1 && nr <= REMOTE_TARGETS_MAX)
			p->use->cards = calloc(nr, sizeof(*p->use->cards));
		if (p->use->cards) {
			p->use->nr = (uint32_t)nr;
			p->head |= 4;
		}
	}
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
	if (strcmp(name, "host") == 0) { /* the first line of each */
		p->bad |= p->at && p->seen != REMOTE_CARD_WHOLE;
		p->seen = 0;
		p->at++;
	}
	if (p->at == 0 || p->at > p->use->nr)
		p->bad = true;
	else if (strcmp(name, "waits") == 0)
		p->waits |= p->use->cards[p->at - 1].waits = strcmp(value, "yes") == 0;
	else
		p->seen |= remote_card_take(&p->use->cards[p->at - 1], name, value);
	return 1;
}

/* -ESTALE: of another file; -EBUSY: data wait */
static int parse(const char *text, const char *born, struct remote_use *use)
{
	struct parser p = { .use = use, .born = born };

	memset(use, 0, sizeof(*use));
	if (!strstr(text, "\n[end]\n"))
		return -EAGAIN; /* it is being written, or its writer died */
	if (ini_parse_string(text, take, &p) == 0 && p.head == 7 && !p.bad && p.at == use->nr &&
	    use->nr_memory <= use->nr &&
	    p.seen == REMOTE_CARD_WHOLE)
		return p.other ? -ESTALE : p.waits ? -EBUSY : 0;
	remote_use_fini(use);
	return PMIO_EPROTO;
}

static int read_text(int fd, char **text)
{
	struct stat st;
	size_t done = 0;

	*text = NULL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return -EPERM;
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

/*
 * 0, -ENOENT, -EAGAIN (not whole), -ESTALE, -EBUSY (see parse()), -EACCES, -EPERM (another user's), ...
 * *fd is open after all but the last and -ENOENT.  born: NULL: of whatever file
 */
static int read_owner(const char *owner, const char *born, struct remote_use *use, int *fd)
{
	char *text;
	int rc;

	memset(use, 0, sizeof(*use));
	*fd = open(owner, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (*fd < 0)
		return -errno;
	rc = read_text(*fd, &text);
	if (rc == 0)
		rc = parse(text, born, use);
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

/* fd is what the name is of; else somebody was faster */
static void remove_this(const char *owner, int fd)
{
	struct stat a, b;

	if (lock(fd, owner, LOCK_EX) < 0)
		return; /* it may be another one's by now */
	if (fstat(fd, &a) == 0 && lstat(owner, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev &&
	    unlink(owner) < 0)
		pmio_err("%s: remove: %s", owner, strerror(errno));
}

void remote_owner_remove(const char *owner, const uint8_t id[REMOTE_USE_ID], bool waiting)
{
	struct remote_use use;
	int fd, rc = read_owner(owner, NULL, &use, &fd);

	if ((rc == 0 || (rc == -EBUSY && waiting)) && memcmp(use.id, id, REMOTE_USE_ID) == 0)
		remove_this(owner, fd);
	remote_use_fini(&use);
	if (fd >= 0)
		close(fd);
}

/* ---- data that wait ------------------------------------------------------------------------ */

/* where its answer is, in the text that use was read from; 0: nowhere */
static off_t answer_of(const char *text, uint32_t target)
{
	const char *at = text;

	for (uint32_t i = 0; i <= target && at; i++)
		at = strstr(i ? at + 1 : at, "\nwaits = ");
	return at ? at + sizeof("\nwaits = ") - 1 - text : 0;
}

static int put_answer(int fd, const char *text, struct remote_use *use, uint32_t target, bool waits)
{
	off_t at = answer_of(text, target);

	if (!at)
		return PMIO_EPROTO;
	use->cards[target].waits = waits;
	errno = EIO; /* a short write */
	return pwrite(fd, answers[waits], ANSWER_LEN, at) == ANSWER_LEN ? 0 : -errno;
}

/* marks are what keeps others from old bytes: they outlive the power */
static int sync_answers(int fd, int rc)
{
	return rc == 0 && fsync(fd) < 0 ? -errno : rc;
}

static bool any_waits(const struct remote_use *use)
{
	bool any = false;

	for (uint32_t i = 0; i < use->nr; i++)
		any |= use->cards[i].waits;
	return any;
}

/* as of the file that is locked now; 0, -EBUSY (data wait) or an error */
static int lock_owner_how(const char *owner, const char *born, int how, struct remote_use *use, int *fd, char **text)
{
	int rc;

	*text = NULL;
	memset(use, 0, sizeof(*use));
	*fd = open(owner, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (*fd < 0)
		return -errno;
	rc = lock(*fd, owner, how);
	if (rc == 0)
		rc = read_text(*fd, text);
	return rc == 0 ? parse(*text, born, use) : rc;
}

static int lock_owner(const char *owner, const char *born, struct remote_use *use, int *fd, char **text)
{
	return lock_owner_how(owner, born, LOCK_EX, use, fd, text);
}

static void unlock_owner(struct remote_use *use, int fd, char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	remote_use_fini(use);
	if (fd >= 0)
		close(fd);
}

/* targets first..end-1 */
static int wait_at(const char *path, const uint8_t id[REMOTE_USE_ID], uint32_t first, uint32_t end)
{
	char owner[PATH_MAX], born[32], *text = NULL;
	struct remote_use use = { .nr = 0 };
	int fd = -1, rc = owner_name(path, owner, sizeof(owner), born, sizeof(born));

	if (rc == 0)
		rc = lock_owner(owner, born, &use, &fd, &text);
	if (rc == 0 || rc == -EBUSY)
		rc = memcmp(use.id, id, REMOTE_USE_ID) == 0 ? 0 : -ENOENT;
	for (uint32_t i = first; i < end && i < use.nr && rc == 0; i++)
		rc = put_answer(fd, text, &use, i, true);
	rc = sync_answers(fd, rc);
	unlock_owner(&use, fd, text);
	return rc;
}

int remote_owner_wait(const char *path, const uint8_t id[REMOTE_USE_ID], uint32_t target)
{
	return wait_at(path, id, target, target + 1);
}

int remote_owner_wait_all(const char *path, const uint8_t id[REMOTE_USE_ID])
{
	return wait_at(path, id, 0, REMOTE_TARGETS_MAX);
}

void remote_owner_keep(const char *owner, const uint8_t id[REMOTE_USE_ID])
{
	struct remote_use use;
	char *text;
	int fd, rc = lock_owner(owner, NULL, &use, &fd, &text);

	/* whose close failed could not say where: anywhere */
	for (uint32_t i = 0; rc == 0 && i < use.nr && memcmp(use.id, id, REMOTE_USE_ID) == 0; i++)
		rc = put_answer(fd, text, &use, i, true);
	rc = sync_answers(fd, rc);
	if (rc < 0 && rc != -EBUSY)
		pmio_err("%s: %s", owner, pmio_strerror(rc));
	unlock_owner(&use, fd, text);
}

/* text that is whole, of whatever file; 1, or 0: of another use */
static int compare_id(int rc, const struct remote_use *use, const uint8_t id[REMOTE_USE_ID])
{
	if (rc < 0 && rc != -EBUSY)
		return rc;
	return memcmp(use->id, id, REMOTE_USE_ID) == 0;
}

static bool has_folder(const char *owner)
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(owner, '/') - owner) + 1, owner);
	return access(folder, F_OK) == 0;
}

int remote_owner_is_there(const char *owner, const uint8_t id[REMOTE_USE_ID])
{
	struct remote_use use;
	int fd, rc = compare_id(read_owner(owner, NULL, &use, &fd), &use, id);

	remote_use_fini(&use);
	if (fd >= 0)
		close(fd);
	/* where the folder is not there either, the file system may not be mounted */
	return rc == -ENOENT && has_folder(owner) ? 0 : rc;
}

/* in place, with one write: who reads meanwhile has no lock.  -ENOENT: they are not as long */
static int put_home(int fd, const char *text, const struct remote_card *home)
{
	const char *start = strstr(text, "\n[target]\n"), *end = strstr(text, "\nwaits = ");
	char *card = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&card, &len);
	int rc = -ENOENT;

	if (out) {
		remote_card_write(out, home);
		fclose(out);
	}
	if (!card)
		return -ENOMEM;
	if (start && end > start && (size_t)(end - start) == len) {
		errno = EIO; /* a short write */
		rc = pwrite(fd, card, len, start + 1 - text) == (ssize_t)len ? sync_answers(fd, 0) : -errno;
	}
	explicit_bzero(card, len);
	free(card);
	return rc;
}

int owner_locked(const char *owner, const uint8_t id[REMOTE_USE_ID], const struct remote_card *home,
		 int (*call)(void *arg), void *arg)
{
	struct remote_use use = { .nr = 0 };
	int fd = -1, rc = -EAGAIN;
	char *text = NULL;
	struct stat st;

	/* this thread itself may have it, in another call: it is not waited for without an end */
	for (int tries = 0; tries < FIND_TRIES && rc == -EAGAIN; tries++) {
		if (tries) {
			unlock_owner(&use, fd, text);
			usleep(FIND_WAIT_US);
		}
		rc = lock_owner_how(owner, NULL, LOCK_EX | LOCK_NB, &use, &fd, &text);
	}
	rc = compare_id(rc, &use, id);
	if (rc >= 0)
		rc = rc == 1 && fstat(fd, &st) == 0 && st.st_nlink ? put_home(fd, text, home) : -ENOENT;
	if (rc == 0)
		rc = call(arg);
	unlock_owner(&use, fd, text);
	return rc;
}

void remote_owner_drained(const char *path, const uint8_t uuid[16], int (*drain)(void *arg), void *arg)
{
	char owner[PATH_MAX], born[32], *text;
	struct remote_use use;
	bool drained;
	int fd, rc;

	if (owner_name(path, owner, sizeof(owner), born, sizeof(born)) < 0)
		return;
	rc = lock_owner(owner, born, &use, &fd, &text);
	if (rc == -EBUSY) {
		/* what was written before somebody put a mark here: the lock is held */
		drained = !drain || drain(arg) >= 0;
		rc = 0;
		for (uint32_t i = 0; i < use.nr && rc == 0 && drained; i++) {
			if (use.cards[i].waits && memcmp(use.cards[i].uuid, uuid, 16) == 0)
				rc = put_answer(fd, text, &use, i, false);
		}
		rc = sync_answers(fd, rc);
		if (rc < 0)
			pmio_err("%s: %s", owner, pmio_strerror(rc));
		else if (!any_waits(&use) && use.nr_memory < use.nr)
			remove_this(owner, fd);
	}
	unlock_owner(&use, fd, text);
}

int remote_owner_settle(const char *path, const uint8_t uuid[16],
			bool (*in_use)(void *arg, const uint8_t id[REMOTE_USE_ID]), void *arg)
{
	char owner[PATH_MAX], born[32], *text;
	struct remote_use use;
	int fd, rc;

	if (owner_name(path, owner, sizeof(owner), born, sizeof(born)) < 0)
		return 0;
	rc = lock_owner(owner, born, &use, &fd, &text);
	if (rc == -EBUSY)
		rc = memcmp(use.cards[0].uuid, uuid, 16) == 0 ? -EAGAIN : 0;
	else if (rc == 0 && memcmp(use.cards[0].uuid, uuid, 16) == 0 && in_use(arg, use.id))
		rc = -EAGAIN; /* who has it may go without a word to us, having written nothing */
	else if (rc == 0 && memcmp(use.cards[0].uuid, uuid, 16) == 0)
		remove_this(owner, fd);
	unlock_owner(&use, fd, text);
	return rc == -EAGAIN ? -EAGAIN : 0;
}

/* ---- joining ---------------------------------------------------------------------------------- */

/* what is not answered may have been done: both can be said twice */
static int say(struct node *n, const struct remote_use *use, enum remote_op op, const char *owner, enum remote_keep keep)
{
	union {
		struct remote_join_msg m;
		uint8_t bytes[sizeof(struct remote_join_msg) + PATH_MAX];
	} u;
	size_t len = sizeof(u.m), got;

	memset(&u.m, 0, sizeof(u.m));
	memcpy(u.m.use, use->id, sizeof(u.m.use));
	u.m.number = use->number;
	u.m.create = owner != NULL;
	u.m.keep = keep;
	if (owner) {
		strcpy(u.m.path, owner); /* not longer than PATH_MAX */
		len += strlen(owner) + 1;
	}
	return node_ask(n, &u.m, len, op, NULL, 0, &got);
}

/* begins: the use does, or goes on after its last close */
static int say_join(const struct pmio_settings *settings, struct remote_use *use, const char *owner, bool begins)
{
	static _Atomic uint64_t joins;
	struct node *n = node_get(settings, &use->cards[0]);
	int rc = n ? 0 : -ENOMEM;

	use->number = atomic_fetch_add(&joins, 1) + 1;
	if (rc == 0)
		rc = say(n, use, REMOTE_JOIN, begins ? owner : NULL, REMOTE_KEEP_WAITING);
	if (rc == 0)
		rc = node_joined(n, use->id, use->number, owner);
	use->joined = rc == 0;
	return rc;
}

int remote_use_begin(const struct pmio_settings *settings, const char *path, struct remote_use *use)
{
	char owner[PATH_MAX], born[32];
	int fd, rc = owner_name(path, owner, sizeof(owner), born, sizeof(born));

	if (rc == 0)
		rc = pmio_fabric_random(use->id, sizeof(use->id));
	if (rc < 0)
		return rc;
	fd = open(owner, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		rc = -errno;
		if (rc != -EEXIST)
			pmio_err("%s: who opens %s on several nodes must be able to make this: %s", owner, path,
				 pmio_strerror(rc));
		return rc;
	}
	/* until it has been joined nobody can tell it from one that is left over */
	rc = lock(fd, owner, LOCK_EX);
	if (rc < 0) { /* nobody else can change it either */
		unlink(owner);
		close(fd);
		return rc;
	}
	rc = write_use(fd, path, born, use);
	if (rc == 0)
		rc = sync_folder(owner);
	if (rc == 0)
		rc = say_join(settings, use, owner, true);
	use->began = rc == 0;
	if (rc < 0) {
		pmio_err("%s: %s", owner, pmio_strerror(rc));
		remove_this(owner, fd);
	}
	close(fd);
	return rc;
}

int remote_use_leave(const struct pmio_settings *settings, const struct remote_use *use, enum remote_keep keep)
{
	struct node *n = node_get(settings, &use->cards[0]);
	int rc = n ? say(n, use, REMOTE_LEAVE, NULL, keep) : -ENOMEM;

	if (n)
		node_left(n, use->number, rc >= 0 || rc == -ENOENT, keep);
	return rc;
}

int remote_use_serve(const struct pmio_settings *settings, const struct remote_card *mine,
		     const struct remote_use *use)
{
	struct remote_claim_msg m = { .create = 1 };
	struct remote_claim_answer_msg a;
	struct node *n = node_get(settings, mine);

	memcpy(m.use, use->id, sizeof(m.use));
	return n ? node_claim(n, &m, &a) : -ENOMEM;
}

/* 0: joined; -ENOENT: it is left over, or it has just gone; -EBUSY */
static int join(const struct pmio_settings *settings, const char *owner, struct remote_use *use)
{
	const struct remote_card *home = &use->cards[0];
	int rc = node_probe(home, (unsigned)settings->num[PMIO_SET_TIMEOUT] * 1000);

	if (rc == -ECONNREFUSED)
		return -ENOENT; /* the host is there, and the target is not */
	if (rc == 0)
		rc = say_join(settings, use, owner, false);
	if (rc == 0 || rc == -ENOENT)
		return rc;
	pmio_err("%s: the file is in use on node %s, which cannot be reached (%s); if its job is dead, remove "
		 "this file", owner, home->host, pmio_strerror(rc));
	return -EBUSY;
}

/* which nodes have data that wait */
static void say_kept(const char *owner, const struct remote_use *use)
{
	char hosts[512] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < use->nr && len < sizeof(hosts) - 70; i++) {
		if (use->cards[i].waits)
			len += (size_t)snprintf(hosts + len, sizeof(hosts) - len, "%s%s", len ? ", " : "",
						use->cards[i].host);
	}
	pmio_err("%s: data that could not be drained wait in the pool of %s: run `pmio drain FILE` there", owner,
		 hosts);
}

/*
 * Data wait at memory nodes, which may have begun to drain them.  Who has a piece does not depend on claims
 * there, so the use goes on, by its list.  Under the lock, as the file may be about to be removed.
 */
static int take_up(const struct pmio_settings *settings, const char *owner, const char *born,
		   struct remote_use *use)
{
	struct remote_use now;
	struct stat st;
	char *text;
	int fd, rc = lock_owner(owner, born, &now, &fd, &text);

	if (rc == -EBUSY && fstat(fd, &st) == 0 && st.st_nlink && memcmp(now.id, use->id, REMOTE_USE_ID) == 0)
		rc = say_join(settings, use, owner, true);
	else
		rc = -EAGAIN;
	unlock_owner(&now, fd, text);
	return rc;
}

/* nobody uses it now, and data wait */
static int find_waiting(const struct pmio_settings *settings, const char *owner, const char *born,
			struct remote_use *use)
{
	int rc = use->nr_memory == use->nr ? take_up(settings, owner, born, use) : -EBUSY;

	if (rc < 0 && rc != -EAGAIN) {
		say_kept(owner, use);
		rc = -EBUSY;
	}
	return rc;
}

/*
 * It looks left over.  Its writer holds the lock until he has joined, so under the lock it is not
 * somebody's who was slow.  0: it is in use after all, and joined; -ENOENT: removed; -EAGAIN, -EBUSY
 */
static int remove_left_over(const struct pmio_settings *settings, const char *owner, const char *born,
			    struct remote_use *use, int fd)
{
	char *text;
	int rc;

	rc = lock(fd, owner, LOCK_EX | LOCK_NB);
	if (rc < 0)
		return rc;
	remote_use_fini(use);
	rc = read_text(fd, &text);
	if (rc == 0)
		rc = parse(text, born, use);
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	if (rc == -EBUSY)
		return -EAGAIN; /* not any more */
	if (rc == 0)
		rc = join(settings, owner, use);
	use->joined = rc == 0;
	if (rc != -ENOENT && rc != -EAGAIN && rc != -ESTALE)
		return rc;
	pmio_info("%s: left over: removed", owner);
	remove_this(owner, fd);
	return -ENOENT;
}

/* once; -EAGAIN: look again a little later */
static int try_to_find(const struct pmio_settings *settings, const char *owner, const char *born,
		       struct remote_use *use, bool last)
{
	int fd, rc = read_owner(owner, born, use, &fd);
	bool left_over = rc == -ESTALE || (rc == -EAGAIN && last);

	if (rc == 0 || rc == -EBUSY) {
		bool waits = rc == -EBUSY;

		rc = join(settings, owner, use);
		if (rc == -ENOENT && waits)
			rc = find_waiting(settings, owner, born, use);
		use->joined = rc == 0;
		/* maybe its writer has not joined it yet */
		if (rc == -ENOENT && !last)
			rc = -EAGAIN;
		left_over = rc == -ENOENT;
	} else if (rc == -EPERM || rc == -EACCES || rc == PMIO_EPROTO) {
		pmio_err("%s: the file is in use on several nodes by somebody else: %s", owner, pmio_strerror(rc));
		rc = -EBUSY;
	}
	if (left_over)
		rc = remove_left_over(settings, owner, born, use, fd);
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		remote_use_fini(use);
	return rc;
}

int remote_use_find(const struct pmio_settings *settings, const char *path, struct remote_use *use)
{
	char owner[PATH_MAX], born[32];
	int rc = owner_name(path, owner, sizeof(owner), born, sizeof(born));

	memset(use, 0, sizeof(*use));
	if (rc < 0)
		return -ENOENT; /* the open says why */
	for (int tries = 0; tries < LOCKED_TRIES; tries++) {
		rc = try_to_find(settings, owner, born, use, tries >= FIND_TRIES);
		if (rc != -EAGAIN)
			return rc;
		usleep(FIND_WAIT_US);
	}
	pmio_err("%s: who opens the file on several nodes has not come to an end with it", owner);
	return -EBUSY;
}

bool remote_use_forget(const struct pmio_settings *settings, const char *path, const uint8_t own[16])
{
	char owner[PATH_MAX], born[32];
	struct remote_use use;
	bool deleted = false;
	int fd, rc = owner_name(path, owner, sizeof(owner), born, sizeof(born));

	if (rc < 0)
		return false;
	rc = read_owner(owner, born, &use, &fd);
	for (uint32_t i = 0; i < use.nr && rc == -EBUSY; i++) {
		if (memcmp(use.cards[i].uuid, own, 16) != 0)
			/* logs; the file goes all the same */
			deleted |= remote_delete(settings, &use.cards[i], path) == 0;
	}
	/* all has been drained, and it is about to go; or somebody has the file open, and removes it when he closes it */
	if (rc == 0 && use.nr_memory == use.nr && join(settings, owner, &use) == 0)
		remote_use_leave(settings, &use, REMOTE_KEEP_NOT);
	else if (rc == 0 && use.nr_memory == use.nr)
		rc = lock(fd, owner, LOCK_EX | LOCK_NB) < 0 ? 0 : -ESTALE;
	if (rc == -EBUSY || rc == -ESTALE)
		remove_this(owner, fd);
	remote_use_fini(&use);
	if (fd >= 0)
		close(fd);
	return deleted;
}
