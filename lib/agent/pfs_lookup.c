/* pfs_lookup.c -- opening files on the parallel file system by name, in workers */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/file.h"
#include "agent/pfs_lookup.h"
#include "core/error.h"

struct pfs_look *pfs_look_new(const struct file *f)
{
	struct pfs_look *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	snprintf(l->path, sizeof(l->path), "%s", f->path);
	l->id = files_id(f);
	l->rc = -ENOENT;
	return l;
}

/* open it under its known name; the device may have another number after a new mount, about which the loop decides */
static int open_known_name(struct pfs_look *l, int flags, int *fd)
{
	struct pmio_pfs_id id;
	struct stat st;

	if (stat(l->path, &st) < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (!S_ISREG(st.st_mode) || st.st_ino != l->id.ino)
		return -ENOENT;
	l->rc = pmio_pfs_open(l->path, flags, 0, fd, NULL);
	if (l->rc < 0)
		return l->rc;
	id = l->id;
	if (pmio_pfs_identify(*fd, &st, &id) == 0) {
		bool same_dev = id.dev == l->id.dev;

		id.dev = l->id.dev;
		if (pmio_pfs_same(&id, &l->id))
			return 0;
		if (same_dev) { /* another file has its inode number */
			close(*fd);
			return PMIO_EGONE;
		}
	}
	close(*fd);
	return -ENOENT;
}

static int open_somewhere(struct pfs_look *l, int flags, int *fd)
{
	char found[PATH_MAX];
	int rc = open_known_name(l, flags, fd);

	if (rc != -ENOENT)
		return rc;
	rc = pmio_pfs_find(l->path, &l->id, flags, fd, found);
	if (rc == 0)
		memcpy(l->path, found, sizeof(l->path));
	return rc;
}

void pfs_look_run(struct pfs_look *l)
{
	bool writes = true;
	int fd;

	l->rc = open_somewhere(l, O_WRONLY, &fd);
	if (l->rc == -EACCES || l->rc == -EROFS) {
		writes = false;
		l->rc = open_somewhere(l, O_RDONLY, &fd);
	}
	if (l->rc == PMIO_EGONE) {
		l->nameless = true;
		l->rc = -ENOENT;
	}
	if (l->rc < 0)
		return;
	if (pfs_fd_is_reserved(fd) || fstat(fd, &l->st) < 0) {
		l->rc = pfs_fd_is_reserved(fd) ? -EMFILE : -errno;
		close(fd);
		return;
	}
	l->nameless = pmio_pfs_is_nameless(fd, &l->st);
	l->pfs = pfs_wrap(fd);
	if (!l->pfs) {
		l->rc = -ENOMEM;
		return;
	}
	l->pfs->reads = pmio_pfs_access(fd) != O_WRONLY;
	l->pfs->writes = writes;
}

int pfs_look_hold(struct pfs_look *l, struct pfs_fd *held, int *fd)
{
	if (!held && l) {
		pfs_look_run(l);
		held = l->pfs;
	}
	*fd = held ? held->fd : -1;
	return held ? 0 : l ? l->rc : -EBADF;
}

void pfs_look_delete(struct agent *a, struct pfs_look **pl)
{
	struct pfs_look *l = *pl;

	*pl = NULL;
	if (l)
		pfs_put(a, &l->pfs);
	free(l);
}
