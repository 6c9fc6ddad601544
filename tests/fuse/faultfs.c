/*
 * faultfs.c -- faultfs BACKING MOUNTPOINT CONTROL: a file system that fails as told
 *
 * Passes everything through to the folder BACKING, except for what the file
 * CONTROL says at that moment; it may be missing.  Replace it with mv(1), so that
 * it is never half.  Each line is a rule, the first that fits holds:
 *
 *	OP FAULT [after=BYTES] [name=PART]
 *
 *	OP     getattr, open, read, write, fsync, fsyncdir, close, truncate,
 *	       unlink, or any
 *	FAULT  an errno name (ENOSPC, EIO, EDQUOT, ESTALE, ...);
 *	       hang: until the rule is gone;
 *	       slow=MS: then do it;
 *	       lose: say that it was written, and do not;
 *	       corrupt: write with one bit turned
 *	after  write: so many bytes are taken since CONTROL was replaced, then the fault
 *	name   only files whose path contains PART
 *
 * It stays in the foreground, and ends when it is unmounted.
 */
#define FUSE_USE_VERSION 312

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char backing[PATH_MAX], control[PATH_MAX];

/* ---- faults -------------------------------------------------------------------- */

enum fault_kind { NONE, FAIL, HANG, SLOW, LOSE, CORRUPT };

struct fault {
	enum fault_kind kind;
	int error;		/* FAIL: errno */
	unsigned ms;		/* SLOW */
	bool after;
	unsigned long long left; /* with after: bytes that may still be written */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stat control_seen;		/* under lock */
static unsigned long long written;		/* under lock; since then */

static int errno_of(const char *name)
{
	for (int e = 1; e < 200; e++) {
		const char *known = strerrorname_np(e);

		if (known && strcmp(known, name) == 0)
			return e;
	}
	return 0;
}

/* a word that says what happens; false: it is not one */
static bool parse_kind(const char *word, struct fault *f)
{
	if (strcmp(word, "hang") == 0) {
		f->kind = HANG;
	} else if (strcmp(word, "lose") == 0) {
		f->kind = LOSE;
	} else if (strcmp(word, "corrupt") == 0) {
		f->kind = CORRUPT;
	} else if (sscanf(word, "slow=%u", &f->ms) == 1) {
		f->kind = SLOW;
	} else {
		f->error = errno_of(word);
		f->kind = f->error ? FAIL : NONE;
	}
	return f->kind != NONE;
}

/* does this line say something of the operation? */
static bool parse_rule(char *line, const char *op, const char *path, struct fault *f)
{
	char *save, *word = strtok_r(line, " \t\n", &save);

	memset(f, 0, sizeof(*f));
	if (!word || (strcmp(word, op) != 0 && strcmp(word, "any") != 0))
		return false;
	word = strtok_r(NULL, " \t\n", &save);
	if (!word || !parse_kind(word, f)) {
		fprintf(stderr, "faultfs: %s: no such fault: %s\n", op, word ? word : "");
		return false;
	}
	while ((word = strtok_r(NULL, " \t\n", &save)) != NULL) {
		if (strncmp(word, "name=", 5) == 0 && (!path || !strstr(path, word + 5)))
			return false;
		if (sscanf(word, "after=%llu", &f->left) == 1)
			f->after = true;
	}
	return true;
}

/* lock held */
static void note_replaced(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	if (st.st_ino != control_seen.st_ino || st.st_mtim.tv_sec != control_seen.st_mtim.tv_sec ||
	    st.st_mtim.tv_nsec != control_seen.st_mtim.tv_nsec)
		written = 0;
	control_seen = st;
}

static struct fault find_fault(const char *op, const char *path)
{
	struct fault f = { .kind = NONE };
	FILE *in = fopen(control, "re");
	char line[512];

	if (!in)
		return f;
	pthread_mutex_lock(&lock);
	note_replaced(fileno(in));
	while (fgets(line, sizeof(line), in)) {
		if (parse_rule(line, op, path, &f))
			break;
		f.kind = NONE;
	}
	if (f.after)
		f.left = f.left > written ? f.left - written : 0;
	pthread_mutex_unlock(&lock);
	fclose(in);
	return f;
}

static void sleep_ms(unsigned ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

/* waits where it hangs or is slow; what else is to happen */
static struct fault await_fault(const char *op, const char *path)
{
	struct fault f = find_fault(op, path);

	while (f.kind == HANG && !(f.after && f.left)) {
		sleep_ms(10);
		f = find_fault(op, path);
	}
	if (f.kind == SLOW)
		sleep_ms(f.ms);
	return f;
}

/* for operations without bytes: 0, or the error as FUSE wants it */
static int check(const char *op, const char *path)
{
	struct fault f = await_fault(op, path);

	return f.kind == FAIL ? -f.error : 0;
}

/* ---- the file system ---------------------------------------------------------------- */

static const char *real(const char *path, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s%s", backing, path);
	return buf;
}
#define REAL(path) real(path, (char[PATH_MAX]){ 0 })

static int result(int rc)
{
	return rc < 0 ? -errno : rc;
}

static int fs_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	int rc = check("getattr", path);

	if (rc < 0)
		return rc;
	return result(fi ? fstat((int)fi->fh, st) : lstat(REAL(path), st));
}

static int open_as(const char *path, struct fuse_file_info *fi, int flags, mode_t mode)
{
	int fd, rc = check("open", path);

	if (rc < 0)
		return rc;
	/* the folder behind may be on a file system that cannot do that */
	fd = open(REAL(path), (flags & ~(O_DIRECT | O_APPEND)) | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	return 0;
}

static int fs_open(const char *path, struct fuse_file_info *fi)
{
	return open_as(path, fi, fi->flags, 0);
}

static int fs_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return open_as(path, fi, fi->flags | O_CREAT, mode);
}

static int fs_read(const char *path, char *buf, size_t len, off_t off, struct fuse_file_info *fi)
{
	int rc = check("read", path);

	return rc < 0 ? rc : result((int)pread((int)fi->fh, buf, len, off));
}

static int write_corrupt(int fd, const char *buf, size_t len, off_t off)
{
	char *copy = malloc(len);
	int rc;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, buf, len);
	copy[len / 2] ^= 0x10;
	rc = result((int)pwrite(fd, copy, len, off));
	free(copy);
	return rc;
}

static int fs_write(const char *path, const char *buf, size_t len, off_t off, struct fuse_file_info *fi)
{
	struct fault f = await_fault("write", path);
	int rc;

	if (f.after && f.left >= len)
		f.kind = NONE;
	if (f.kind == FAIL) {
		if (!f.after || f.left == 0)
			return -f.error;
		len = f.left;
	}
	if (f.kind == LOSE)
		rc = (int)len;
	else if (f.kind == CORRUPT)
		rc = write_corrupt((int)fi->fh, buf, len, off);
	else
		rc = result((int)pwrite((int)fi->fh, buf, len, off));
	if (rc > 0) {
		pthread_mutex_lock(&lock);
		written += (unsigned long long)rc;
		pthread_mutex_unlock(&lock);
	}
	return rc;
}

static int fs_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	int rc = check("fsync", path);

	if (rc < 0)
		return rc;
	return result(datasync ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static int fs_fsyncdir(const char *path, int datasync, struct fuse_file_info *fi)
{
	(void)datasync, (void)fi;
	return check("fsyncdir", path);
}

static int fs_flush(const char *path, struct fuse_file_info *fi)
{
	(void)fi;
	return check("close", path);
}

static int fs_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return result(close((int)fi->fh));
}

static int fs_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	int rc = check("truncate", path);

	if (rc < 0)
		return rc;
	return result(fi ? ftruncate((int)fi->fh, size) : truncate(REAL(path), size));
}

static int fs_unlink(const char *path)
{
	int rc = check("unlink", path);

	return rc < 0 ? rc : result(unlink(REAL(path)));
}

static int fs_mkdir(const char *path, mode_t mode)
{
	return result(mkdir(REAL(path), mode));
}

static int fs_rmdir(const char *path)
{
	return result(rmdir(REAL(path)));
}

static int fs_rename(const char *from, const char *to, unsigned flags)
{
	return flags ? -EINVAL : result(rename(REAL(from), REAL(to)));
}

static int fs_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	(void)fi;
	return result(chmod(REAL(path), mode));
}

static int fs_utimens(const char *path, const struct timespec ts[2], struct fuse_file_info *fi)
{
	(void)fi;
	return result(utimensat(AT_FDCWD, REAL(path), ts, AT_SYMLINK_NOFOLLOW));
}

static int fs_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	DIR *d = opendir(REAL(path));
	struct dirent *e;

	(void)off;
	(void)fi;
	(void)flags;
	if (!d)
		return -errno;
	while ((e = readdir(d)) != NULL) {
		if (fill(buf, e->d_name, NULL, 0, 0))
			break;
	}
	closedir(d);
	return 0;
}

static void *fs_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	cfg->use_ino = 1;
	cfg->hard_remove = 1;
	/* every call comes here, and may fail */
	cfg->entry_timeout = cfg->attr_timeout = cfg->negative_timeout = 0;
	/* those that hang must not keep others out */
	conn->max_background = 1000;
	conn->congestion_threshold = 1000;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = fs_init,	 .getattr = fs_getattr,	  .open = fs_open,
	.create = fs_create,	 .read = fs_read,	  .write = fs_write,
	.fsync = fs_fsync,	 .flush = fs_flush,	  .release = fs_release,
	.truncate = fs_truncate, .unlink = fs_unlink,	  .mkdir = fs_mkdir,
	.rmdir = fs_rmdir,	 .rename = fs_rename,	  .chmod = fs_chmod,
	.utimens = fs_utimens,	 .readdir = fs_readdir,	  .fsyncdir = fs_fsyncdir,
};

static int serve(struct fuse *fuse, const char *mountpoint)
{
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	int rc = -ENOMEM;

	if (cfg && fuse_mount(fuse, mountpoint) == 0) {
		fuse_loop_cfg_set_max_threads(cfg, 1000); /* each call that hangs takes one */
		fuse_loop_cfg_set_idle_threads(cfg, 10);
		rc = fuse_loop_mt(fuse, cfg);
		fuse_unmount(fuse);
	}
	fuse_loop_cfg_destroy(cfg);
	return rc;
}

int main(int argc, char **argv)
{
	char *options[] = { "faultfs", "-o", "fsname=faultfs", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, options);
	struct fuse *fuse;
	int rc;

	if (argc != 4 || !realpath(argv[1], backing)) {
		fprintf(stderr, "usage: faultfs BACKING MOUNTPOINT CONTROL\n");
		return 2;
	}
	snprintf(control, sizeof(control), "%s", argv[3]);
	umask(0);
	fuse = fuse_new(&args, &operations, sizeof(operations), NULL);
	if (!fuse)
		return 1;
	rc = serve(fuse, argv[2]);
	fuse_destroy(fuse);
	fuse_opt_free_args(&args);
	return rc != 0;
}
