/*
 * redirect.h -- the insides of libpmio-redirect.so: the files of any program, in the pool
 *
 * A program gets the kernel's own descriptor of the plain file, so that whatever is done to descriptors works by
 * itself; what is done to the data goes to the pool.  The offset is the kernel's, too.  A table has what is known of
 * each descriptor; one that came from elsewhere (another process, or the time before exec) is recognised at its
 * first use.
 *
 * Functions of the C library are taken twice: by symbols, which come before those of the C library as this library
 * is preloaded, and by a jump at the start of the C library's own functions, for its calls of itself (libc_patch.c).  So
 * nothing here may call them for what is taken; raw.h has what is called instead.
 *
 * redirect_inside counts how deep this thread is in libpmio, whose calls are for the kernel.
 *
 * A child of vfork() shares our memory, but not our descriptors: it changes no table (redirect_ours()).
 */
#ifndef PMIO_REDIRECT_REDIRECT_H
#define PMIO_REDIRECT_REDIRECT_H

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "redirect/pool_ops.h"
#include "redirect/raw.h"

#define REDIRECT_FDS 65536 /* descriptors from here on cannot be of redirected files */
#define REDIRECT_IO_MAX 0x7ffff000 /* bytes of one call, as the kernel has it */

/* an open file description, as far as this process knows it */
struct redirect_file {
	_Atomic unsigned refs; /* of the table, and of calls under way; 0: it is free.  Its memory stays */
	struct redirect_file *next; /* all of them; under the lock of files.c */
	struct pmio_file *file;
	uint64_t dev, ino;
	int access; /* O_RDONLY, O_WRONLY, O_RDWR */
	atomic_bool append, sync; /* O_APPEND, O_DSYNC */
	atomic_bool shared; /* other processes may have it, too */
	atomic_bool wrote;
	bool elsewhere; /* other nodes are asked about it */
	atomic_bool loads; /* what was written is a library */
};

/* a function that takes the place of the C library's */
struct redirect_entry {
	const char *name;
	void *function;
	void *exported; /* where the C library's own calls go */
};

#if defined(__x86_64__)
#define REDIRECT_JUMP "jmp "
#elif defined(__aarch64__)
#define REDIRECT_JUMP "b "
#endif

/*
 * What is exported is a jump to the function, one for all names of it.  UCX and Open MPI overwrite the beginning of what is
 * called mmap and munmap, and come by syscall() for the function that they have replaced: then that is still there.
 * Weak, so that they are not taken for what pmio's own files call
 */
#define REDIRECT(name, function)                                                                                 \
	__asm__(".ifndef exported_" #function "\n.pushsection .text\n.balign 32, 0xcc\n"                            \
		".type exported_" #function ", %function\nexported_" #function ": " REDIRECT_JUMP #function "\n"     \
		".balign 32, 0xcc\n.size exported_" #function ", 32\n.popsection\n.endif\n"                          \
		".weak " #name "\n.type " #name ", %function\n.set " #name ", exported_" #function "\n"              \
		".size " #name ", 32");                                                                            \
	extern char exported_name_##name[] __asm__("exported_" #function) __attribute__((visibility("hidden")));   \
	REDIRECT_OF(name, function, exported_name_##name)
#define REDIRECT_ENTRY(name, function) REDIRECT_OF(name, function, function)
#define REDIRECT_OF(name, function, exported)                                                                    \
	static const struct redirect_entry entry_##name __attribute__((section("redirect_entries"), used, aligned(8))) = { \
		#name, (void *)(function), (void *)(exported) }

/* ---- state.c ------------------------------------------------------------------------------ */

extern bool redirect_on;
extern _Thread_local int redirect_inside __attribute__((tls_model("initial-exec")));

/* of a new process: in_copy is called in a child that is a copy of it, and was not made by fork() */
void redirect_state_begin(void (*in_copy)(void));
/* in a child of fork */
void redirect_state_init(void);
/* 0 in such a child until it is noticed; redirect_is_copy() does that */
extern _Atomic uint32_t *redirect_original;
bool redirect_is_copy(void);
/* false: a child of vfork */
bool redirect_ours(void);

/* ---- patterns.c: which files ---------------------------------------------------------------- */

int redirect_names_init(const char *patterns);
bool redirect_matches(const char *name);
/* may a file on that device have a name that matches? */
bool redirect_device_may(uint64_t dev);
/* without pmem:, if it has that; then the file is redirected whatever the patterns say */
const char *redirect_plain_path(int dir, const char *path);
/* an absolute name by the letters alone; false: it has none that fits */
bool redirect_absolute(int dir, const char *path, char out[PATH_MAX]);
/* does it match so?  Without symbolic links it is what is decided by, otherwise a guess */
bool redirect_may_match(int dir, const char *path);
/* the name of an open file, without links; false: unknown */
bool redirect_fd_name(int fd, const struct stat *st, char out[PATH_MAX]);
/* what the environment of another program must have for the same files; NULL: what there is already */
const char *redirect_patterns_changed(void);

/* ---- files.c: what is open --------------------------------------------------------------- */

/* in_child: also to be called in a child of fork */
void redirect_files_init(void (*in_child)(void));
/* what fork() has called is not called here */
void redirect_in_copy(void);
/* the descriptor's file, until redirect_put(); NULL: *rc is 0 for one that is not redirected, or an error */
struct redirect_file *redirect_get(int fd, const void *caller, int *rc);
/* one more reference, of a file that somebody has; false: it is gone */
bool redirect_hold(struct redirect_file *f);
/* the close's result, if this reference was the last */
int redirect_put(struct redirect_file *f);
/* the file that a name led to last, which has no name any more */
struct redirect_lost {
	uint64_t dev, ino;
	bool again; /* what waited of it may be gone with its name: that is to be opened once more */
};
/* a descriptor was just opened by flags; -1 and errno if it should be redirected and cannot be: it is closed then */
int redirect_opened(int fd, int flags, bool is_new, bool truncate, const void *caller, struct redirect_lost *lost);
/* the descriptor goes, or is another one; the result of the close */
int redirect_forget(int fd);
void redirect_duplicate(int from, int to);
/* libpmio's own descriptor: out of the program's way */
int redirect_own(int fd);
bool redirect_is_own(int fd);
/* libpmio closes it */
void redirect_disown(int fd);
/* of all descriptors that the table knows anything of */
int redirect_highest(void);
/* of this file; it may wait if other nodes are asked */
int redirect_size(struct redirect_file *f, off_t *size);
/* the size and time of a file that may be open here, as struct redirect_size has them: 1; 0: it is not; or an error */
int redirect_open_size(uint64_t dev, uint64_t ino, off_t *size, int64_t *written_ns);
/* 0 if that is not known */
off_t redirect_size_of(struct redirect_file *f);
/* of an open file, with a reference; NULL: it is not open here */
struct redirect_file *redirect_find(uint64_t dev, uint64_t ino);
/* a program has set the file's times: they stay at its close */
void redirect_times_set(uint64_t dev, uint64_t ino);
/* before another program takes the place of this one, or this process ends: files are closed, descriptors stay */
void redirect_close_all(void);
/* and after that, what the pool's library keeps */
void redirect_end_pool(void);
/* other processes may have our files from now on */
void redirect_share_all(void);
/* file: where the pool's calls are added up, or NULL; before the first of them */
void redirect_time_calls(const char *file);
/* the pool's calls; NULL: it cannot be loaded */
const struct redirect_pool *redirect_pool(void);

/*
 * around calls of the pool that may take long: no signal handler, which could need what this thread has locked, and
 * no cancellation
 */
struct redirect_calm {
	uint64_t mask;
	int cancel_state;
};
void redirect_enter(struct redirect_calm *calm);
void redirect_leave(const struct redirect_calm *calm);

/* ---- fd_limit.c: descriptors above the program's limit ---------------------------------------- */

/* the program's limit is as high as the hard one until redirect_lower(); false: there is no higher one */
struct redirect_raised {
	uint64_t mask;
	int cancel_state;
	struct rlimit before;
};
extern bool redirect_was_raised; /* ever */
bool redirect_raise(struct redirect_raised *r);
void redirect_lower(const struct redirect_raised *r);
/* in a child of fork */
void redirect_above_init(void);

/* a call that makes a descriptor for libpmio, or for a moment, also when the program has none left */
#define REDIRECT_ABOVE(call)                                                                                     \
	({                                                                                                         \
		struct redirect_raised raised_;                                                                    \
		long fd_ = (call);                                                                                 \
                                                                                                                   \
		if (fd_ == -EMFILE && redirect_raise(&raised_)) {                                                  \
			fd_ = (call);                                                                              \
			redirect_lower(&raised_);                                                                  \
		}                                                                                                  \
		fd_;                                                                                               \
	})

static inline int redirect_errno(long rc)
{
	return rc <= -4096 ? EIO : (int)-rc;
}

/* sets errno for a negative code */
static inline long redirect_result(long rc)
{
	if (rc >= 0)
		return rc;
	errno = redirect_errno(rc);
	return -1;
}

#define REDIRECT_CALLER __builtin_return_address(0)

/* ---- across files: by their own names where one of them calls another ------------------------ */

int redirect_open_at(int dir, const char *path, int flags, mode_t mode, const void *caller);
int redirect_close(int fd);
ssize_t redirect_read(int fd, void *buf, size_t len);
ssize_t redirect_write(int fd, const void *buf, size_t len);
ssize_t redirect_pread(int fd, void *buf, size_t len, off_t off);
ssize_t redirect_pwrite(int fd, const void *buf, size_t len, off_t off);
off_t redirect_lseek(int fd, off_t off, int whence);
int redirect_fsync(int fd);
/* have what waits of a file on the file system; 0 or -errno.  follow: symbolic links */
int redirect_settle_fd(int fd);
int redirect_settle_at(int dir, const char *path, bool follow);
/* O_PATH, of a regular file whose name matches, with that; -1: it is no such file */
int redirect_path_fd(int dir, const char *path, bool follow, struct stat *st, char name[PATH_MAX]);
/* the same, also in a child of vfork */
int redirect_matching_fd(int dir, const char *path, bool follow, struct stat *st, char name[PATH_MAX]);

/* process.c */
void redirect_process_init(void);
/* vfork_helper.c: for a child of vfork, in one of its own; fn returns 0, an errno or -errno.  0 or an errno */
int redirect_in_child(int (*fn)(void));
/* aio.c: io_submit, io_getevents, io_destroy */
long redirect_aio_by_number(long nr, const long a[6], const void *caller);
/* map.c: a file was written to, which may have become longer than what was mapped of it */
void redirect_grow_maps(uint64_t dev, uint64_t ino);
/* at the process's end, and in a child of fork */
void redirect_unmap_all(void);
void redirect_forget_maps(void);

/* ---- file_size_limit.c: RLIMIT_FSIZE; 0, or -EFBIG after the signal ------------------------------------- */

void redirect_limit_init(void);
bool redirect_limited(void);
/* *len: as much as there may be */
int redirect_limit_write(off_t off, size_t *len);
int redirect_limit_size(off_t size, off_t before);

/* ---- environ.c: the environment of other programs ------------------------------------------- */

struct redirect_environment {
	char *const *from;
	const char *patterns; /* changed ones, or NULL */
	bool bare;	      /* it was made empty: what makes a program redirected is added */
	size_t size;	      /* bytes of what is made of it */
};
void redirect_environ_init(void);
void redirect_environment(char *const envp[], struct redirect_environment *e);
void redirect_make_environment(const struct redirect_environment *e, char **out);

/* ---- messages.c: what is told -------------------------------------------------------------------- */

/* file: of --check, or NULL; output: where lines go that had to wait */
void redirect_notes_init(const char *file, ssize_t (*output)(int fd, const void *buf, size_t len));
void redirect_say(const char *line);
void redirect_say_pending(void);
/* for pmio run --check: '+' redirected, '-' went past, and why */
void redirect_note(char what, const char *name, const char *why);
void redirect_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void redirect_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- libc_patch.c ------------------------------------------------------------------------------------ */

void redirect_patch(void);

#endif
