/* process.c -- exec, and the end of processes */
#include "redirect/redirect.h"

#include <alloca.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/fnv.h"

#define SCRIPTS_MAX 4 /* of scripts, the kernel's limit */

/* ---- what cannot be redirected ---------------------------------------------------------------- */

/* the linker of Go adds a note of its own */
static bool is_of_go(int fd, const Elf64_Phdr *ph)
{
	char notes[512];
	long n = RAW(pread64, fd, notes, ph->p_filesz < sizeof(notes) ? ph->p_filesz : sizeof(notes), ph->p_offset);
	size_t at = 0;

	while (n > 0 && at + sizeof(Elf64_Nhdr) + 4 <= (size_t)n) {
		Elf64_Nhdr note;

		memcpy(&note, notes + at, sizeof(note));
		at += sizeof(note);
		if (note.n_namesz == 4 && memcmp(notes + at, "Go\0", 4) == 0)
			return true;
		at += (((size_t)note.n_namesz + 3) & ~(size_t)3) + (((size_t)note.n_descsz + 3) & ~(size_t)3);
	}
	return false;
}

/* the loader has one, as programs are linked to it; a static program has none */
static bool has_soname(int fd, const Elf64_Phdr *ph)
{
	Elf64_Dyn all[32];
	long n = RAW(pread64, fd, all, ph->p_filesz < sizeof(all) ? ph->p_filesz : sizeof(all), ph->p_offset);

	for (long i = 0; i < n / (long)sizeof(*all) && all[i].d_tag != DT_NULL; i++) {
		if (all[i].d_tag == DT_SONAME)
			return true;
	}
	return false;
}

/*
 * the loader run as a program: the program that it loads is redirected, but it reads that program and its libraries
 * without redirection
 */
static const char the_loader[] = "it is the loader";

static const char *look_at_elf(int fd, const Elf64_Ehdr *e)
{
	bool has_loader = false, is_loader = false, is_go = false;

	if (e->e_ident[EI_CLASS] != ELFCLASS64)
		return "it is a program for 32 bits";
	for (unsigned i = 0; i < e->e_phnum && i < 64; i++) {
		Elf64_Phdr ph;

		if (RAW(pread64, fd, &ph, sizeof(ph), e->e_phoff + i * sizeof(ph)) != sizeof(ph))
			return NULL;
		has_loader |= ph.p_type == PT_INTERP;
		is_loader |= ph.p_type == PT_DYNAMIC && has_soname(fd, &ph);
		is_go |= ph.p_type == PT_NOTE && is_of_go(fd, &ph);
	}
	if (!has_loader)
		return is_loader ? the_loader : "it is linked statically";
	return is_go ? "it is a Go program, and makes system calls of its own" : NULL;
}

static const char *look_at_rights(int fd)
{
	struct stat st;

	if (RAW(fstat, fd, &st) < 0)
		return NULL;
	if (((st.st_mode & S_ISUID) && st.st_uid != (uid_t)RAW(getuid)) || ((st.st_mode & S_ISGID) && st.st_gid != (gid_t)RAW(getgid)))
		return "it runs with the rights of another user or group";
	return NULL;
}

/*
 * the reason why a program cannot be redirected; NULL: it can, or that is not known.  next: the interpreter of a
 * script, or empty
 */
static const char *look_at_program(int dir, const char *path, char next[256])
{
	union {
		Elf64_Ehdr elf;
		char text[256];
	} head = { .text = "" };
	long fd = REDIRECT_ABOVE(RAW(openat, dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0)), n;
	const char *why = NULL;

	*next = '\0';
	if (fd < 0)
		return NULL;
	n = RAW(read, fd, head.text, sizeof(head.text) - 1);
	if (n > 2 && memcmp(head.text, "#!", 2) == 0) {
		char *p = head.text + 2 + strspn(head.text + 2, " \t");

		p[strcspn(p, " \t\r\n")] = '\0';
		memcpy(next, p, strlen(p) + 1);
	} else if (n >= (long)sizeof(head.elf) && memcmp(head.text, ELFMAG, SELFMAG) == 0) {
		why = look_at_rights((int)fd);
		if (!why)
			why = look_at_elf((int)fd, &head.elf);
	}
	RAW(close, fd);
	return why;
}

/*
 * programs about which a warning was given: hashes of their names, 0: none; shared with children, as it is they that
 * call exec
 */
#define WARNED_MAX 256
static _Atomic uint64_t *warned;

void redirect_process_init(void)
{
	long p = RAW(mmap, NULL, WARNED_MAX * sizeof(*warned), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	warned = p < 0 && p > -4096 ? NULL : (_Atomic uint64_t *)p;
}

static bool is_first(const char *name)
{
	uint64_t h = 1ULL << 32 | pmio_fnv(PMIO_FNV_INIT, name); /* not 0 */

	for (int i = 0; warned && i < WARNED_MAX; i++) {
		uint64_t there = 0;

		if (atomic_compare_exchange_strong(&warned[i], &there, h))
			return true;
		if (there == h)
			return false;
	}
	return true;
}

/* a child of vfork has no connection of its own, so a child of its own does it */
static struct {
	int dir;
	const char *path;
} program;

static int settle_there(void)
{
	return redirect_settle_at(program.dir, program.path, true);
}

static void settle_program(int dir, const char *path)
{
	char name[PATH_MAX];
	struct stat st;
	int fd;

	if (redirect_ours()) {
		redirect_settle_at(dir, path, true);
		return;
	}
	fd = redirect_matching_fd(dir, path, true, &st, name);
	if (fd < 0)
		return;
	RAW(close, fd);
	program.dir = dir;
	program.path = path;
	redirect_in_child(settle_there);
}

/* true: it will use the plain files.  Drains the program and the interpreters of a script, as the kernel reads them */
static bool prepare(int dir, const char *path)
{
	char next[256], current[PATH_MAX];
	const char *why = NULL;

	snprintf(current, sizeof(current), "%s", path);
	for (int i = 0; i <= SCRIPTS_MAX && !why; i++) {
		settle_program(dir, current);
		why = look_at_program(dir, current, next);
		if (why || !*next)
			break;
		snprintf(current, sizeof(current), "%s", next);
		dir = AT_FDCWD;
	}
	if (!why || why == the_loader)
		return why;
	redirect_note('-', current, why);
	if (is_first(current))
		redirect_warning("%s: %s, so it uses the plain files; for such programs there is `pmio mount`", current, why);
	return true;
}

static int settle_all(void)
{
	const struct redirect_pool *pool = redirect_pool();
	struct redirect_calm calm;
	int rc = -EIO;

	if (pool) {
		redirect_enter(&calm);
		rc = pool->settle_all(redirect_matches);
		redirect_leave(&calm);
	}
	return rc;
}

/* ---- exec --------------------------------------------------------------------------------------------- */

/* the agent closes a drained file shortly after it has answered; until then the kernel refuses to execute it */
static long exec_when_closed(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct pmio_backoff b = PMIO_BACKOFF_EXEC;
	uint64_t us;
	long rc;

	while ((rc = RAW(execveat, dir, path, argv, envp, flags)) == -ETXTBSY && (us = pmio_backoff_next_us(&b)) > 0) {
		struct timespec ts = { 0, (long)us * 1000 };

		RAW(nanosleep, &ts, NULL);
	}
	return rc;
}

/*
 * The next program inherits the descriptors, and recognises them; this process closes their files before.  If exec
 * fails they are recognised here again.
 */
static int exec_program(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct redirect_environment e;
	bool is_past = false;
	char **env;

	if (!redirect_on || (path && !(flags & AT_EMPTY_PATH) && RAW(faccessat, dir, path, X_OK) < 0 && !redirect_inside)) /* a search of PATH tries many */
		return (int)raw_result(RAW(execveat, dir, path, argv, envp, flags));
	if (!redirect_inside) {
		redirect_share_all();
		if (path && *path)
			is_past = prepare(dir, path);
		else if (redirect_ours())
			redirect_settle_fd(dir);
		redirect_close_all();
		/* data that cannot be drained have been logged: an error of exec would not help the program */
		if (is_past && redirect_ours())
			settle_all();
		else if (is_past)
			redirect_in_child(settle_all);
		redirect_end_pool();
	}
	redirect_environment(envp, &e);
	env = alloca(e.size);
	redirect_make_environment(&e, env);
	if (redirect_inside)
		return (int)raw_result(RAW(execveat, dir, path, argv, env, flags));
	return (int)raw_result(exec_when_closed(dir, path, argv, env, flags));
}

int redirect_execve(const char *path, char *const argv[], char *const envp[]);
int redirect_execve(const char *path, char *const argv[], char *const envp[])
{
	return exec_program(AT_FDCWD, path, argv, envp, 0);
}
REDIRECT(execve, redirect_execve);

int redirect_execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags);
int redirect_execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	return exec_program(dir, path, argv, envp, flags);
}
REDIRECT(execveat, redirect_execveat);

int redirect_fexecve(int fd, char *const argv[], char *const envp[]);
int redirect_fexecve(int fd, char *const argv[], char *const envp[])
{
	return exec_program(fd, "", argv, envp, AT_EMPTY_PATH);
}
REDIRECT(fexecve, redirect_fexecve);

/* ---- exit ---------------------------------------------------------------------------------------------- */

/* exit() calls this last, after stdio's buffers were written */
void redirect_exit(int status);
void redirect_exit(int status)
{
	if (redirect_on && !redirect_inside && redirect_ours())
		redirect_unmap_all();
	redirect_close_all();
	redirect_end_pool();
	for (;;)
		RAW(exit_group, status);
}
REDIRECT(_exit, redirect_exit);
REDIRECT(_Exit, redirect_exit);
