/*
 * pool_ops.h -- what libpmio-redirect.so calls of libpmio-redirect-pool.so
 *
 * The first is in every process of a redirected program, and small; the second is loaded when the first file is
 * redirected, and has libpmio in it.
 *
 * Functions return 0 or a count, or a negative code as pmio.h has them; what a program gets no errno for has been
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

/* mode of the file PMIO_REDIRECT_CHECK when lines found no room in it */
#define REDIRECT_CHECK_INCOMPLETE (S_IRUSR | S_IWUSR | S_ISVTX)

#define REDIRECT_CLOSE_SHARED 1u /* others may have it open without having told the agent */
#define REDIRECT_CLOSE_WROTE 2u	 /* it was changed by this handle */
#define REDIRECT_CLOSE_LOADS 4u	 /* the loader may map it as a library */

struct pmio_file;

/* by its first bytes */
static inline bool redirect_is_library(const Elf64_Ehdr *head)
{
	return memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 && head->e_type == ET_DYN;
}

struct redirect_size {
	uint64_t size;
	unsigned nr_handles; /* of all processes */
	bool pending;	     /* the file system has not all of it */
	int64_t written_ns;  /* real time of the last close after a write, if that is pending; 0: not known */
	bool elsewhere;	     /* other nodes have it; also if asking them has failed */
};

/* what redirected calls did, of all processes of a `pmio run --report`: the contents of the file PMIO_REDIRECT_TIMES; added to atomically */
struct redirect_times {
	uint64_t ns;		/* time in calls of the pool, a sum of all threads */
	uint64_t read, written; /* bytes */
};
_Static_assert(sizeof(struct redirect_times) == 24, "as in the file");

struct redirect_pool {
	int version;
	/* its log lines go there; by the time it returns there may be no connection yet */
	int (*start)(void (*say)(const char *line));
	/* the same calls, which are added up in that file; if it cannot be used they are not, which is logged */
	const struct redirect_pool *(*timed)(const struct redirect_pool *pool, const char *file);
	/* in a child: the parent's connection and files are not for it.  of_fork: fork() has told libpmio */
	void (*forget)(bool of_fork);
	/* what may be kept for later files is given back: this process ends, or becomes another program */
	void (*end)(void);
	/* the descriptor's file: access is O_RDONLY, O_WRONLY or O_RDWR; name: for messages */
	int (*open)(int fd, const char *name, int access, bool is_new, struct pmio_file **out);
	int (*close)(struct pmio_file *f, unsigned how); /* REDIRECT_CLOSE_* */
	/* are other nodes asked about it?  Then calls that are otherwise short may wait */
	bool (*is_elsewhere)(const struct pmio_file *f);
	/* without system calls, as far as that is possible; otherwise -EAGAIN, also for what would fail */
	ssize_t (*read_at_once)(struct pmio_file *f, const struct iovec *v, off_t off);
	ssize_t (*write_at_once)(struct pmio_file *f, const struct iovec *v, off_t off);
	ssize_t (*read)(struct pmio_file *f, const struct iovec *v, int nr, off_t off);
	ssize_t (*write)(struct pmio_file *f, const struct iovec *v, int nr, off_t off);
	/* at: where the end was */
	ssize_t (*append)(struct pmio_file *f, const struct iovec *v, int nr, off_t *at);
	int (*size)(struct pmio_file *f, off_t *size);
	/* written_ns as look() tells it; 0 also of a file that other nodes have */
	int64_t (*written_ns)(struct pmio_file *f);
	int (*truncate)(struct pmio_file *f, off_t size);
	int (*allocate)(struct pmio_file *f, int mode, off_t off, off_t len); /* as fallocate() has them */
	int (*sync)(struct pmio_file *f);
	int (*drain)(struct pmio_file *f);
	/* pmio_map(), pmio_map_sync(), pmio_unmap() of what is unmapped already; -EOPNOTSUPP: pieces of it are on other nodes */
	int (*map)(struct pmio_file *f, void *addr, size_t len, off_t off, bool writable);
	int (*map_sync)(struct pmio_file *f, off_t off, size_t len);
	int (*unmap)(struct pmio_file *f, bool writable);
	/* of a descriptor, O_PATH will do; -ENOENT: the pool knows nothing of it */
	int (*look)(int fd, struct redirect_size *out);
	/* what waits of the descriptor's file is on the file system when it returns */
	int (*settle)(int fd, const char *name);
	/* the same of all files whose names match */
	int (*settle_all)(bool (*matches)(const char *name));
	/* do other nodes have the file of this descriptor, or may they? */
	bool (*shared_by_nodes)(int fd);
	/* remove a name, and with it the data; -ENOENT: the pool knows nothing of the file */
	int (*remove)(int fd, const char *path);
	/* the descriptor's file has lost its last name, and nobody has it open: so its data go */
	void (*give_up)(int fd);
};

#endif
