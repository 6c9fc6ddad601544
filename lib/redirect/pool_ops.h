/*
 * pool_ops.h -- the functions of libpmio-redirect-pool.so that libpmio-redirect.so calls
 *
 * libpmio-redirect.so is in every process of a redirected program, and is small; libpmio-redirect-pool.so contains
 * libpmio, and is loaded when the first file is redirected.
 *
 * Functions return 0 or a count, or a negative code of pmio.h; errors for which a program gets no errno have been
 * logged.
 */
#ifndef PMIO_REDIRECT_POOL_OPS_H
#define PMIO_REDIRECT_POOL_OPS_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#define REDIRECT_POOL_VERSION 4
#define REDIRECT_POOL_LIBRARY "libpmio-redirect-pool.so"
#define REDIRECT_POOL_SYMBOL "pmio_redirect_pool"

/* mode of the file PMIO_REDIRECT_CHECK when lines could not be written to it */
#define REDIRECT_CHECK_INCOMPLETE (S_IRUSR | S_IWUSR | S_ISVTX)

#define REDIRECT_CLOSE_SHARED 1u /* other processes may have it open without the agent's knowledge */
#define REDIRECT_CLOSE_WROTE 2u	 /* it was changed by this handle */
#define REDIRECT_CLOSE_LOADS 4u	 /* the loader may map it as a library */

struct pmio_file;

/* is it a shared library?  Decided by its first bytes */
static inline bool redirect_is_library(const Elf64_Ehdr *head)
{
	return memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 && head->e_type == ET_DYN;
}

struct redirect_size {
	uint64_t size;
	unsigned nr_handles; /* of all processes */
	bool pending;	     /* the file system does not have all of its data */
	int64_t written_ns;  /* real time of the last close after a write, if its data are pending; 0: not known */
	bool elsewhere;	     /* other nodes have it, or could not be asked */
};

/*
 * totals of the redirected calls of all processes of a `pmio run --report`: the contents of the file
 * PMIO_REDIRECT_TIMES; added to atomically
 */
struct redirect_times {
	uint64_t ns;		/* time in calls of the pool, a sum of all threads */
	uint64_t read, written; /* bytes */
};
_Static_assert(sizeof(struct redirect_times) == 24, "as in the file");

struct redirect_pool {
	int version;
	/* say: gets the log lines.  When it returns there may be no connection yet */
	int (*start)(void (*say)(const char *line));
	/*
	 * a table of the same calls that adds their totals to that file; if the file cannot be used that is logged, and
	 * nothing is added
	 */
	const struct redirect_pool *(*timed)(const struct redirect_pool *pool, const char *file);
	/* in a child: drop the parent's connection and files.  of_fork: made by fork(), so libpmio knows already */
	void (*forget)(bool of_fork);
	/* release what is kept for later files: this process ends, or becomes another program */
	void (*end)(void);
	/* open the descriptor's file.  access: O_RDONLY, O_WRONLY or O_RDWR; name: for messages */
	int (*open)(int fd, const char *name, int access, bool is_new, struct pmio_file **out);
	int (*close)(struct pmio_file *f, unsigned how); /* REDIRECT_CLOSE_* */
	/* are other nodes involved?  Then calls that are otherwise short may wait */
	bool (*is_elsewhere)(const struct pmio_file *f);
	/* without system calls; -EAGAIN if that is not possible, also for calls that would fail */
	ssize_t (*read_at_once)(struct pmio_file *f, const struct iovec *v, off_t off);
	ssize_t (*write_at_once)(struct pmio_file *f, const struct iovec *v, off_t off);
	ssize_t (*read)(struct pmio_file *f, const struct iovec *v, int nr, off_t off);
	ssize_t (*write)(struct pmio_file *f, const struct iovec *v, int nr, off_t off);
	/* at: set to the file's end before the call */
	ssize_t (*append)(struct pmio_file *f, const struct iovec *v, int nr, off_t *at);
	int (*size)(struct pmio_file *f, off_t *size);
	/* written_ns as look() returns it; 0 also for a file that other nodes have */
	int64_t (*written_ns)(struct pmio_file *f);
	int (*truncate)(struct pmio_file *f, off_t size);
	int (*allocate)(struct pmio_file *f, int mode, off_t off, off_t len); /* arguments as of fallocate() */
	int (*sync)(struct pmio_file *f);
	int (*drain)(struct pmio_file *f);
	/*
	 * pmio_map(), pmio_map_sync(), pmio_unmap() of a range that is unmapped already; -EOPNOTSUPP: parts of the file are
	 * on other nodes
	 */
	int (*map)(struct pmio_file *f, void *addr, size_t len, off_t off, bool writable);
	int (*map_sync)(struct pmio_file *f, off_t off, size_t len);
	int (*unmap)(struct pmio_file *f, bool writable);
	/* state of the descriptor's file; O_PATH suffices; -ENOENT: the pool does not know it */
	int (*look)(int fd, struct redirect_size *out);
	/* drain the pending data of the descriptor's file; they are on the file system when it returns */
	int (*settle)(int fd, const char *name);
	/* the same for all files whose names match */
	int (*settle_all)(bool (*matches)(const char *name));
	/* do other nodes have the file of this descriptor, or may they? */
	bool (*shared_by_nodes)(int fd);
	/* remove a name, and the data with it; -ENOENT: the pool does not know the file */
	int (*remove)(int fd, const char *path);
	/* the descriptor's file has lost its last name, and no process has it open: discard its data */
	void (*give_up)(int fd);
};

#endif
