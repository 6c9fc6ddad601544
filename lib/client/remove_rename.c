/*
 * remove_rename.c -- removing and replacing names; querying what the pool has of a file, open or not
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/admin.h"
#include "client/client.h"
#include "core/error.h"
#include "core/fds.h"
#include "core/path.h"
#include "pfs/pfs.h"

/* fd: of the file that has the name, O_PATH suffices; is_last: it has no other name */
static int announce(struct pmio *pm, const char *path, int fd, bool is_last)
{
	union pmio_any_msg msg, reply;
	int rc;

	pmio_proto_request(&msg, PMIO_OP_REMOVE, 0);
	msg.remove.is_last = is_last;
	rc = pmio_absolute(path, msg.remove.path, sizeof(msg.remove.path));
	return rc < 0 ? rc : client_pool_call(pm, &msg, fd, &reply);
}

/* tell the agent the result of a removal, rc: 0 or an error.  Returns rc, or the error of telling the agent */
static int report(struct pmio *pm, int rc)
{
	union pmio_any_msg msg, reply;
	int told;

	pmio_proto_request(&msg, PMIO_OP_REMOVED, 0);
	msg.removed.status = rc;
	told = client_pool_call(pm, &msg, -1, &reply);
	return rc < 0 ? rc : told;
}

/*
 * the agent is told first: the data are discarded with the last name, and it must not drain them into another file with
 * that name
 */
int client_remove_name(struct pmio *pm, const char *path, int fd)
{
	struct stat st;
	bool is_last = lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink <= 1;
	int rc = announce(pm, path, fd, is_last);

	if (rc < 0)
		return rc;
	rc = pmio_pfs_unlink(path, is_last);
	/* an agent that was started meanwhile, or another node, has removed it */
	if (rc == -ENOENT && is_last)
		rc = 0;
	return report(pm, rc);
}

int client_delete(struct pmio *pm, const char *path, bool quiet)
{
	int fd = open(path, O_PATH | O_CLOEXEC), rc = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		rc = -errno;
	if (rc == -ENOENT && lstat(path, &st) == 0) /* a dangling symbolic link */
		rc = pmio_pfs_unlink(path, false);
	else if (rc == 0)
		rc = S_ISDIR(st.st_mode) ? -EISDIR : client_remove_name(pm, path, fd);
	if (fd >= 0)
		close(fd);
	if (rc < 0 && !quiet)
		pmio_err("delete %s: %s", path, pmio_strerror(rc));
	return rc;
}

int pmio_delete(struct pmio *pm, const char *path)
{
	return client_delete(pm, path, false);
}

int pmio_stat_id(struct pmio *pm, int fd, struct pmio_id_stat *st)
{
	union pmio_any_msg msg, reply;
	const struct pmio_stat_id_reply_msg *r = &reply.stat_id_reply;
	struct pmio_pfs_id id;
	struct stat now;
	int rc = pmio_pfs_identify(fd, &now, &id);

	if (rc < 0)
		return rc;
	pmio_proto_request(&msg, PMIO_OP_STAT_ID, 0);
	msg.stat_id.dev = id.dev;
	msg.stat_id.ino = id.ino;
	msg.stat_id.birth_ns = id.birth_ns;
	rc = client_pool_call(pm, &msg, -1, &reply);
	if (rc < 0) {
		if (rc != -ENOENT)
			pmio_err("pool %s: query a file: %s", pm->dir, pmio_strerror(rc));
		return rc;
	}
	st->entry = (struct pmio_entry){ r->slot, r->generation };
	st->size = r->size;
	st->nr_handles = r->nr_handles;
	st->pending = r->pending != 0;
	st->written_ns = r->written_ns;
	return 0;
}

int pmio_stat_fd(struct pmio *pm, int fd, off_t *size)
{
	struct pmio_id_stat st;
	int rc = pmio_stat_id(pm, fd, &st);

	if (rc == 0 && !st.nr_handles && !st.pending)
		rc = -ENOENT; /* it is only cached, and other programs may have changed the PFS file since */
	if (rc == 0 && st.size > INT64_MAX)
		rc = PMIO_EDAMAGED;
	if (rc == 0)
		*size = (off_t)st.size;
	return rc;
}

int client_unlinked(struct pmio *pm, int fd, uint32_t most)
{
	struct pmio_id_stat known;
	char proc[PMIO_FD_NAME_LEN];
	struct stat st;
	int rc = fstat(fd, &st) < 0 ? -errno : 0;

	if (rc < 0 || st.st_nlink)
		return rc;
	rc = pmio_stat_id(pm, fd, &known);
	if (rc < 0 || known.nr_handles > most)
		return rc == -ENOENT ? 0 : rc; /* the pool has nothing of it */
	rc = announce(pm, pmio_fd_name(proc, fd), fd, true);
	return rc < 0 ? rc : report(pm, 0);
}

int pmio_unlinked(struct pmio *pm, int fd)
{
	return client_unlinked(pm, fd, UINT32_MAX);
}

/* the file that is about to be replaced; -1: there is none, or the pool has no data of it */
static int open_replaced(struct pmio *pm, const char *path, struct pmio_id_stat *known)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pmio_stat_id(pm, fd, known) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/*
 * The agent is told afterwards: if it was told before and crashed, the next agent would complete the removal, and the
 * name would not exist at all.  But before the data are discarded the new name is made durable: after a power cut the
 * replaced file must not exist without its data.
 */
int pmio_rename(struct pmio *pm, const char *from, const char *to)
{
	struct pmio_id_stat known;
	char target[PATH_MAX];
	int fd, rc = pmio_absolute(to, target, sizeof(target));

	if (rc == 0) {
		fd = open_replaced(pm, to, &known);
		rc = rename(from, to) < 0 ? -errno : 0;
		if (rc == 0 && fd >= 0 && (known.pending || known.nr_handles) && pmio_pfs_sync_name(target, -1) < 0)
			pmio_info("rename %s to %s: cannot fsync its directory", from, to);
		if (rc == 0 && fd >= 0)
			rc = pmio_unlinked(pm, fd);
		if (fd >= 0)
			close(fd);
	}
	if (rc < 0)
		pmio_err("rename %s to %s: %s", from, to, pmio_strerror(rc));
	return rc;
}
