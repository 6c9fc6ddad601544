#include "daemon/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "core/log.h"

#define FDS_MAX 65536		/* if the system does not tell which descriptors are in use */
#define CPUS_MAX 8192		/* the most that Linux can be built for */
#define NOFILE_WANTED (1u << 20) /* the most that Linux allows unless told otherwise */
#define LOG_FILE_MAX (1 << 20)	/* bytes: a longer one is truncated at the start */
#define STACK_SIZE (2u << 20)	/* bytes, of a thread */

/* ---- log ----------------------------------------------------------------------- */

static int log_fd = -1;

static void log_to_file(enum pmio_log_level level, const char *line)
{
	struct timespec now;
	struct tm tm;
	char stamp[32];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	dprintf(log_fd, "%s.%03d %s[%d]: %s: %s\n", stamp, (int)(now.tv_nsec / 1000000),
		program_invocation_short_name, (int)getpid(), pmio_log_level_name(level), line);
}

void pmio_daemon_log(int fd)
{
	log_fd = fd;
	pmio_log_set_handler(fd >= 0 ? log_to_file : NULL);
}

int pmio_daemon_open_log(const char *who, const char *path, int dir_fd, const char *name, bool foreground)
{
	struct stat st;
	int fd;

	if (!path && foreground)
		return -1;
	fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600)
		  : openat(dir_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		pmio_err("%s: log file %s: %s", who, path ? path : name, strerror(errno));
	else if (!path && fstat(fd, &st) == 0 && st.st_size > LOG_FILE_MAX && ftruncate(fd, 0) < 0)
		pmio_warn("%s: log file: %s", who, strerror(errno));
	if (fd >= 0 && foreground)
		pmio_daemon_log(fd);
	return fd;
}

/* ---- events -------------------------------------------------------------------------- */

int pmio_daemon_watch(int epoll_fd, int fd, uint64_t id)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = id };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int pmio_daemon_signals(void)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes makes write() fail, and must not kill the daemon */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* ---- detaching ------------------------------------------------------------------- */

void pmio_daemon_ready(struct pmio_daemon *d, int rc)
{
	int32_t status = rc;

	if (d->ready_fd < 0)
		return;
	if (write(d->ready_fd, &status, sizeof(status)) < 0)
		pmio_err("ready: %s", strerror(errno));
	if (rc == 0)
		close(d->ready_fd);
	d->ready_fd = -1;
}

/* 0, or -1 if the kernel does not have the call, or a container's filter forbids it */
static int close_between(unsigned first, unsigned last)
{
	return first > last ? 0 : close_range(first, last, 0);
}

/* close the descriptors that are in use; false: there is no /proc */
static bool close_listed(int keep)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	if (!d)
		return false;
	while ((e = readdir(d)) != NULL) {
		int fd = atoi(e->d_name); /* 0 for "." and ".." */

		if (fd > 2 && fd != keep && fd != dirfd(d))
			close(fd);
	}
	closedir(d);
	return true;
}

/* no descriptor of the caller may stay open: mpirun waits for the ends of its pipes */
static void close_inherited(int keep)
{
	unsigned after = keep > 2 ? (unsigned)keep + 1 : 3;

	if (close_between(3, after - 2) == 0 && close_between(after, ~0U) == 0)
		return;
	if (close_listed(keep))
		return;
	for (int fd = 3; fd < FDS_MAX; fd++) {
		if (fd != keep)
			close(fd);
	}
}

/* ---- limits of the caller ------------------------------------------ */

/* a rank is bound to one or two processors; the kernel limits this mask to the cpuset */
static void use_all_processors(void)
{
	cpu_set_t *all = CPU_ALLOC(CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);

	if (!all)
		return;
	memset(all, 0xff, size);
	if (sched_setaffinity(0, size, all) < 0)
		pmio_dbg("sched_setaffinity: %s", strerror(errno));
	CPU_FREE(all);
	/* and memory from all NUMA nodes: MPOL_DEFAULT; the C library has no function for it */
	syscall(SYS_set_mempolicy, 0, NULL, 0);
}

/* an ordinary user cannot lower a nice value again, but may leave SCHED_IDLE or SCHED_BATCH */
static void be_ordinary(void)
{
	const struct sched_param param = { .sched_priority = 0 };

	if (sched_getscheduler(0) != SCHED_OTHER && sched_setscheduler(0, SCHED_OTHER, &param) < 0)
		pmio_dbg("sched_setscheduler: %s", strerror(errno));
	if (setpriority(PRIO_PROCESS, 0, 0) < 0)
		pmio_dbg("setpriority: %s", strerror(errno));
	syscall(SYS_ioprio_set, 1 /* a process */, 0, 0 /* derived from its nice value */);
}

/*
 * reset a raised OOM score, by which a job may have made itself the first to be killed when memory is short; keep a
 * negative one, which an administrator has set
 */
static void be_no_victim(void)
{
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0 && atoi(text) > 0 && pwrite(fd, "0", 1, 0) < 0)
		pmio_dbg("oom_score_adj: %s", strerror(errno));
	close(fd);
}

/* raise it to the hard limit, or beyond it if permitted; RLIM_INFINITY is too large for descriptors */
static void raise_limit(int which, rlim_t most)
{
	struct rlimit lim, wanted = { most, most };

	if (getrlimit((__rlimit_resource_t)which, &lim) < 0 || (lim.rlim_max >= most && lim.rlim_cur >= most))
		return;
	if (lim.rlim_max < most && setrlimit((__rlimit_resource_t)which, &wanted) == 0)
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit((__rlimit_resource_t)which, &lim);
}

/* RLIMIT_CORE, RLIMIT_NICE, ... stay: they were set on purpose, or do not matter here */
static void raise_limits(void)
{
	static const int unlimited[] = { RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_CPU, RLIMIT_RSS,
					 RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_LOCKS };
	pthread_attr_t attr;

	for (size_t i = 0; i < sizeof(unlimited) / sizeof(unlimited[0]); i++)
		raise_limit(unlimited[i], RLIM_INFINITY);
	raise_limit(RLIMIT_NOFILE, NOFILE_WANTED);
	/* the default stack size of threads was taken from the stack limit when the program started */
	if (pthread_getattr_default_np(&attr) == 0) {
		size_t size = 0;

		pthread_attr_getstacksize(&attr, &size);
		if (size < STACK_SIZE && pthread_attr_setstacksize(&attr, STACK_SIZE) == 0)
			pthread_setattr_default_np(&attr);
		pthread_attr_destroy(&attr);
	}
}

/* the caller's job may be suspended, and its terminal may stop it */
static void ignore_job_control(void)
{
	sigset_t none;

	signal(SIGTSTP, SIG_IGN);
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * The first rank of some job starts the daemon; its limits, processors and priority are not
 * meant for other jobs, which use the daemon later.
 */
static void leave_job(void)
{
	use_all_processors();
	be_ordinary();
	be_no_victim();
	raise_limits();
	ignore_job_control();
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close(null);
	if (chdir("/") < 0)
		pmio_warn("chdir: %s", strerror(errno));
}

void pmio_daemon_is_up(bool foreground, int fd)
{
	if (!foreground)
		leave_terminal();
	if (fd >= 0)
		pmio_daemon_log(fd);
}

int pmio_daemon_run(struct pmio_daemon *d, int (*serve)(struct pmio_daemon *d, void *arg), void *arg)
{
	int pipe_fd[2];
	int32_t status;
	ssize_t n;
	pid_t pid;

	close_inherited(d->ready_fd);
	if (d->foreground)
		return serve(d, arg);
	leave_job();
	/* a client has started this process detached, and waits only for its report */
	if (d->ready_fd >= 0 && getsid(0) == getpid())
		return serve(d, arg);

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		setsid();
		close(pipe_fd[0]);
		if (d->ready_fd >= 0)
			close(d->ready_fd);
		d->ready_fd = pipe_fd[1];
		return serve(d, arg);
	}
	close(pipe_fd[1]);
	do
		n = read(pipe_fd[0], &status, sizeof(status));
	while (n < 0 && errno == EINTR);
	close(pipe_fd[0]);
	if (n != sizeof(status))
		return PMIO_EAGENT; /* it was killed; the waiting process sees the end of the pipe */
	pmio_daemon_ready(d, status);
	return status;
}
