/*
 * redirect.h -- internals of libpmio-redirect.so: the files of any program, in the pool
 *
 * A program gets the kernel's own descriptor of the plain file, so that all operations on descriptors work without
 * help; operations on the data go to the pool.  The offset is the kernel's, too.  A table keeps what is known of each
 * descriptor; one that came from elsewhere (from another process, or from the time before exec) is recognised at its
 * first use.
 *
 * Functions of the C library are replaced in two ways: by symbols, which precede those of the C library because this
 * library is preloaded, and by a jump at the start of the C library's own functions, for its internal calls (libc_patch.c).
 * So nothing here may call the functions that are replaced; the calls of raw.h are used instead.
 *
 * redirect_inside counts how deep this thread is in libpmio, whose calls go to the kernel.
 *
 * A child of vfork() shares its parent's memory, but not its descriptors: it changes no table (redirect_ours()).
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
#define REDIRECT_IO_MAX 0x7ffff000 /* bytes of one call, the kernel's limit */

/* an open file description, as far as this process knows it */
struct redirect_file {
	_Atomic unsigned refs; /* of the table, and of calls under way; 0: it is free, but its memory is kept */
	struct redirect_file *next; /* in the list of all files; under the lock of files.c */
	struct pmio_file *file;
	uint64_t dev, ino;
	int access; /* O_RDONLY, O_WRONLY, O_RDWR */
	atomic_bool append, sync; /* O_APPEND, O_DSYNC */
	atomic_bool shared; /* other processes may have it open, too */
	atomic_bool wrote;
	bool elsewhere; /* other nodes are involved */
	atomic_bool loads; /* the data written are those of a library */
};

/* a function that takes the place of the C library's */
struct redirect_entry {
	const char *name;
	void *function;
	void *exported; /* where the C library's internal calls are to go */
};

#if defined(__x86_64__)
#define REDIRECT_JUMP "jmp "
#elif defined(__aarch64__)
#define REDIRECT_JUMP "b "
#endif

/*
 * The exported symbol is a jump to the function, one for all of its names.  UCX and Open MPI overwrite the beginning of
 * mmap and munmap, and use syscall() for the function that they have replaced: so the function itself stays intact.
 * Weak, so that calls from pmio's own files are not bound to it
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

/* for a new process: in_copy is called in a child that is a copy of it but was not made by fork() */
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
/* the path without the prefix pmem:; a file whose name has the prefix is redirected even if no pattern matches */
const char *redirect_plain_path(int dir, const char *path);
/* make the path absolute without resolving links; false: it has no absolute name, or a too long one */
bool redirect_absolute(int dir, const char *path, char out[PATH_MAX]);
/* does that absolute name match?  Exact if the path has no symbolic links, otherwise a guess */
bool redirect_may_match(int dir, const char *path);
/* the name of an open file, with links resolved; false: unknown */
bool redirect_fd_name(int fd, const struct stat *st, char out[PATH_MAX]);
/* the patterns for the environment of another program, to redirect the same files there; NULL: unchanged */
const char *redirect_patterns_changed(void);

/* ---- files.c: open files ----------------------------------------------------------------- */

/* in_child: is also called in a child of fork */
void redirect_files_init(void (*in_child)(void));
/* in a child that was not made by fork(): do what the handlers of fork() would have done */
void redirect_in_copy(void);
/* the descriptor's file, until redirect_put(); NULL: *rc is 0 for one that is not redirected, or an error */
struct redirect_file *redirect_get(int fd, const void *caller, int *rc);
/* after redirect_get() has returned NULL: was it opened with O_PATH, and the file's name matches? */
bool redirect_is_name(int fd);
/* take one more reference; false: the file has none any more, and is gone */
bool redirect_hold(struct redirect_file *f);
/* release a reference; returns the result of the close if this was the last one */
int redirect_put(struct redirect_file *f);
/* the file that a name resolved to last, and which has no name any more */
struct redirect_lost {
	uint64_t dev, ino;
	bool again; /* its pending data may have been discarded with its name: open the name again */
};
/* a descriptor was just opened with flags; -1 and errno if it should be redirected and cannot be: then it was closed */
int redirect_opened(int fd, int flags, bool is_new, bool truncate, const void *caller, struct redirect_lost *lost);
/* the descriptor is about to be closed or replaced; returns the result of the close */
int redirect_forget(int fd);
void redirect_duplicate(int from, int to);
/* move a descriptor of libpmio out of the program's range, and mark it as libpmio's own */
int redirect_own(int fd);
bool redirect_is_own(int fd);
/* libpmio closes this descriptor of its own */
void redirect_disown(int fd);
/* the highest descriptor that the table knows anything of */
int redirect_highest(void);
/* the size of this file; waits if other nodes have to be asked */
int redirect_size(struct redirect_file *f, off_t *size);
/* size and time, as in struct redirect_size, of a file that may be open here: 1; 0: it is not open; or an error */
int redirect_open_size(uint64_t dev, uint64_t ino, off_t *size, int64_t *written_ns);
/* the file's size; 0 if it is not known */
off_t redirect_size_of(struct redirect_file *f);
/* find an open file, and take a reference; NULL: it is not open here */
struct redirect_file *redirect_find(uint64_t dev, uint64_t ino);
/* a program has set the file's times: the close must not change them */
void redirect_times_set(uint64_t dev, uint64_t ino);
/* before this process executes another program, or ends: close the files, keep the descriptors */
void redirect_close_all(void);
/* after that: release what the pool's library keeps */
void redirect_end_pool(void);
/* other processes may have this process's files open from now on */
void redirect_share_all(void);
/* file: to which the totals of the pool's calls are added, or NULL.  To be called before the first of them */
void redirect_time_calls(const char *file);
/* the calls of the pool's library; NULL: it cannot be loaded */
const struct redirect_pool *redirect_pool(void);

/*
 * around calls of the pool that may take long: block signals, as a handler could need what this thread has locked, and
 * disable cancellation
 */
struct redirect_calm {
	uint64_t mask;
	int cancel_state;
};
void redirect_enter(struct redirect_calm *calm);
void redirect_leave(const struct redirect_calm *calm);

/* ---- stack_room.c: calls that need more stack than a thread or a signal handler may have --------- */

typedef long (*redirect_any_function)(long, long, long, long, long, long);
long redirect_with_room(redirect_any_function fn, long a, long b, long c, long d, long e, long f);

/* REDIRECT_ROOM(fn, args...): call fn with up to six arguments, of which none is a number with a fraction */
#define REDIRECT_ROOM(fn, ...) REDIRECT_ROOM_PICK(fn, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define REDIRECT_ROOM_PICK(fn, a, b, c, d, e, f, ...)                                                            \
	redirect_with_room((redirect_any_function)(void *)(fn), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* ---- fd_limit.c: descriptors above the program's limit ---------------------------------------- */

/* raise the soft limit to the hard one until redirect_lower(); false: the hard limit is not higher */
struct redirect_raised {
	uint64_t mask;
	int cancel_state;
	struct rlimit before;
};
extern bool redirect_was_raised; /* at any time */
bool redirect_raise(struct redirect_raised *r);
void redirect_lower(const struct redirect_raised *r);
/* in a child of fork */
void redirect_above_init(void);

/* a call that makes a descriptor for libpmio, or a temporary one, even if the program has reached its limit */
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

/* -1 and errno for a negative code */
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
struct open_how;
int redirect_open_how(int dir, const char *path, const struct open_how *how, size_t size, const void *caller);
int redirect_close(int fd);
ssize_t redirect_read(int fd, void *buf, size_t len);
ssize_t redirect_write(int fd, const void *buf, size_t len);
ssize_t redirect_pread(int fd, void *buf, size_t len, off_t off);
ssize_t redirect_pwrite(int fd, const void *buf, size_t len, off_t off);
off_t redirect_lseek(int fd, off_t off, int whence);
int redirect_fsync(int fd);
/* drain the pending data of a file to the file system; 0 or -errno.  follow: symbolic links */
int redirect_settle_fd(int fd);
int redirect_settle_at(int dir, const char *path, bool follow);
/* open with O_PATH a regular file whose name matches; name: set to that name; -1: it is no such file */
int redirect_path_fd(int dir, const char *path, bool follow, struct stat *st, char name[PATH_MAX]);
/* the same, also in a child of vfork */
int redirect_matching_fd(int dir, const char *path, bool follow, struct stat *st, char name[PATH_MAX]);

/* process.c */
void redirect_process_init(void);
/*
 * vfork_helper.c: call fn in a child of this process, which is itself a child of vfork; fn returns 0, an errno or -errno.  0
 * or an errno
 */
int redirect_in_child(int (*fn)(void));
/* aio.c: io_submit, io_getevents, io_destroy */
long redirect_aio_by_number(long nr, const long a[6], const void *caller);
/* map.c: a file was written to, and may have grown past what was mapped of it */
void redirect_grow_maps(uint64_t dev, uint64_t ino);
/* at the process's end, and in a child of fork */
void redirect_unmap_all(void);
void redirect_forget_maps(void);

/* ---- file_size_limit.c: RLIMIT_FSIZE; 0, or -EFBIG after the signal ------------------------------------- */

void redirect_limit_init(void);
bool redirect_limited(void);
/* *len: reduced to what the limit permits */
int redirect_limit_write(off_t off, size_t *len);
int redirect_limit_size(off_t size, off_t before);

/* ---- environ.c: the environment of other programs ------------------------------------------- */

struct redirect_environment {
	char *const *from;
	const char *patterns; /* changed ones, or NULL */
	bool bare;	      /* it was made empty: the variables that redirect a program are added */
	size_t size;	      /* bytes of the new environment */
};
void redirect_environ_init(void);
void redirect_environment(char *const envp[], struct redirect_environment *e);
void redirect_make_environment(const struct redirect_environment *e, char **out);

/* ---- messages.c: messages ------------------------------------------------------------------------ */

/* file: of --check, or NULL; output: writes lines that had to be queued */
void redirect_notes_init(const char *file, ssize_t (*output)(int fd, const void *buf, size_t len));
void redirect_say(const char *line);
void redirect_say_pending(void);
/* is standard error a regular file whose name matches? */
bool redirect_stderr_matches(void);
/* for pmio run --check: '+' redirected, '-' not redirected, and why */
void redirect_note(char what, const char *name, const char *why);
void redirect_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void redirect_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- libc_patch.c ------------------------------------------------------------------------------------ */

void redirect_patch(void);

/* ---- libc_writes.c ----------------------------------------------------------------------------------- */

/* abort_msg: the variable __abort_msg of the C library, or NULL */
void redirect_fatal_init(const void *abort_msg);

#endif
