/* mount_dir.c -- reading directories */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mount_impl.h"

struct dir {
	DIR *stream;
	off_t at;		/* position of the stream */
	struct dirent *entry;	/* read, and did not fit into the last answer; NULL: none */
};

static struct dir *dir_of(const struct fuse_file_info *fi)
{
	return (struct dir *)(uintptr_t)fi->fh;
}

static int open_dir(struct mount_node *node, struct dir *d)
{
	int fd = open(MOUNT_PROC(node->fd), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	d->stream = fd < 0 ? NULL : fdopendir(fd);
	if (d->stream)
		return 0;
	if (fd >= 0)
		close(fd);
	return -errno;
}

void mount_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct dir *d = calloc(1, sizeof(*d));
	int rc = d ? open_dir(mount_node(m, ino), d) : -ENOMEM;

	if (rc < 0) {
		free(d);
		fuse_reply_err(req, mount_errno(rc));
		return;
	}
	fi->fh = (uintptr_t)d;
	if (fuse_reply_open(req, fi) == -ENOENT) {
		closedir(d->stream);
		free(d);
	}
}

static bool next_entry(struct dir *d)
{
	if (!d->entry)
		d->entry = readdir(d->stream);
	return d->entry;
}

/* bytes used; -errno if nothing could be read */
static ssize_t fill(fuse_req_t req, const struct mount_node *node, struct dir *d, char *buf, size_t size)
{
	size_t used = 0;

	for (;;) {
		struct stat st = { 0 };
		size_t len;

		errno = 0;
		if (!next_entry(d))
			return used || errno == 0 ? (ssize_t)used : -errno;
		st.st_ino = mount_shown_ino(node->device, d->entry->d_ino);
		st.st_mode = (mode_t)d->entry->d_type << 12;
		len = fuse_add_direntry(req, buf + used, size - used, d->entry->d_name, &st, d->entry->d_off);
		if (len > size - used)
			return (ssize_t)used;
		used += len;
		d->at = d->entry->d_off;
		d->entry = NULL;
	}
}

void mount_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct dir *d = dir_of(fi);
	char *buf = malloc(size);
	ssize_t n;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (off != d->at) {
		seekdir(d->stream, off);
		d->entry = NULL;
		d->at = off;
	}
	n = fill(req, mount_node(m, ino), d, buf, size);
	if (n < 0)
		fuse_reply_err(req, mount_errno((int)n));
	else
		fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

void mount_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct dir *d = dir_of(fi);

	(void)ino;
	closedir(d->stream);
	free(d);
	fuse_reply_err(req, 0);
}

void mount_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	int fd = dirfd(dir_of(fi)->stream);

	(void)ino;
	fuse_reply_err(req, (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0);
}
