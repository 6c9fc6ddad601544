/*
 * nfs_mount.c -- an NFS client through FUSE, where the kernel has none; for bench/fio/run and bench/network-fs
 *
 *	nfs_mount nfs://HOST/EXPORT?version=3&... MOUNTPOINT
 *
 * It stays in the foreground.  One thread: a context of libnfs must not be used by two.  The kernel caches what it read,
 * as it does for its own NFS client, and sends writes at once.  Files have the server's inode numbers, and a name is looked up
 * at each open, so that several hosts see the same file under it.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <nfsc/libnfs.h>

static struct nfs_context *nfs;

static struct nfsfh *handle_of(struct fuse_file_info *fi)
{
	return (struct nfsfh *)(uintptr_t)fi->fh;
}

static int op_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	struct nfs_stat_64 s;
	int rc = fi ? nfs_fstat64(nfs, handle_of(fi), &s) : nfs_lstat64(nfs, path, &s);

	if (rc < 0)
		return rc;
	memset(st, 0, sizeof(*st));
	st->st_ino = s.nfs_ino;
	st->st_mode = (mode_t)s.nfs_mode;
	st->st_nlink = s.nfs_nlink;
	st->st_uid = (uid_t)s.nfs_uid;
	st->st_gid = (gid_t)s.nfs_gid;
	st->st_size = (off_t)s.nfs_size;
	st->st_blocks = (blkcnt_t)s.nfs_blocks;
	st->st_mtim.tv_sec = (time_t)s.nfs_mtime;
	st->st_mtim.tv_nsec = (long)s.nfs_mtime_nsec;
	return 0;
}

static int op_open(const char *path, struct fuse_file_info *fi)
{
	struct nfsfh *h;
	int rc = nfs_open(nfs, path, fi->flags & (O_ACCMODE | O_TRUNC), &h);

	if (rc == 0)
		fi->fh = (uintptr_t)h;
	return rc;
}

static int op_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	struct nfsfh *h;
	int rc = nfs_open2(nfs, path, O_RDWR | O_CREAT, mode & 0777, &h);

	if (rc == 0)
		fi->fh = (uintptr_t)h;
	return rc;
}

static int op_read(const char *path, char *buf, size_t len, off_t off, struct fuse_file_info *fi)
{
	(void)path;
	return nfs_pread(nfs, handle_of(fi), (uint64_t)off, len, buf);
}

static int op_write(const char *path, const char *buf, size_t len, off_t off, struct fuse_file_info *fi)
{
	(void)path;
	return nfs_pwrite(nfs, handle_of(fi), (uint64_t)off, len, buf);
}

static int op_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void)path;
	(void)data_only;
	return nfs_fsync(nfs, handle_of(fi));
}

static int op_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return nfs_close(nfs, handle_of(fi));
}

static int op_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	return fi ? nfs_ftruncate(nfs, handle_of(fi), (uint64_t)size) : nfs_truncate(nfs, path, (uint64_t)size);
}

static int op_unlink(const char *path)
{
	return nfs_unlink(nfs, path);
}

static int op_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *fi,
		      enum fuse_readdir_flags flags)
{
	struct nfsdirent *e;
	struct nfsdir *d;
	int rc = nfs_opendir(nfs, path, &d);

	(void)off;
	(void)fi;
	(void)flags;
	if (rc < 0)
		return rc;
	while ((e = nfs_readdir(nfs, d)) != NULL) {
		if (fill(buf, e->name, NULL, 0, 0))
			break;
	}
	nfs_closedir(nfs, d);
	return 0;
}

static void *op_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	(void)conn;
	config->use_ino = 1;
	config->entry_timeout = 0;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = op_init,
	.getattr = op_getattr, .open = op_open, .create = op_create, .read = op_read, .write = op_write, .fsync = op_fsync,
	.release = op_release, .truncate = op_truncate, .unlink = op_unlink, .readdir = op_readdir,
};

int main(int argc, char **argv)
{
	char *fuse_argv[] = { argv[0], "-f", "-s", argc > 2 ? argv[2] : NULL, NULL };
	struct nfs_url *url;

	if (argc != 3) {
		fprintf(stderr, "usage: nfs_mount URL MOUNTPOINT\n");
		return 2;
	}
	nfs = nfs_init_context();
	url = nfs ? nfs_parse_url_dir(nfs, argv[1]) : NULL;
	if (!url || nfs_mount(nfs, url->server, url->path) < 0) {
		fprintf(stderr, "nfs_mount: %s: %s\n", argv[1], nfs ? nfs_get_error(nfs) : "no memory");
		return 1;
	}
	return fuse_main(4, fuse_argv, &operations, NULL);
}
