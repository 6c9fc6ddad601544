/* what is read of cgroups, of memory and of processes: from files made here, and of a process of ours */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fds.h"
#include "core/system.h"

#define MIB (1ULL << 20)

static char root[64];
static char cgroup[128], mountinfo[128], meminfo[128];
static struct pmio_system_files files;

static int remove_entry(const char *p, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(p);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/pmio-system.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	snprintf(cgroup, sizeof(cgroup), "%s/cgroup", root);
	snprintf(mountinfo, sizeof(mountinfo), "%s/mountinfo", root);
	snprintf(meminfo, sizeof(meminfo), "%s/meminfo", root);
	files = (struct pmio_system_files){ cgroup, mountinfo, NULL };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* a file below root, with its folders; %s in the text is root */
static void put(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
		*p = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	for (const char *at; (at = strstr(text, "%s")) != NULL; text = at + 2)
		fprintf(f, "%.*s%s", (int)(at - text), text, root);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static struct pmio_memory_room room;

static uint64_t room_mib(void)
{
	pmio_memory_room(&files, &room);
	return room.bytes == UINT64_MAX ? UINT64_MAX : room.bytes / MIB;
}

static void assert_what(const char *end)
{
	size_t len = strlen(room.what);

	assert_true(len >= strlen(end));
	assert_string_equal(room.what + len - strlen(end), end);
}

static const char v1_mounts[] =
	"22 1 0:20 / /proc rw - proc proc rw\n"
	"33 25 0:30 / %s/v1/cpu,cpuacct rw,nosuid shared:15 - cgroup cgroup rw,cpu,cpuacct\n"
	"34 25 0:31 / %s/v1/memory rw,nosuid shared:16 master:2 - cgroup cgroup rw,memory\n"
	"35 25 0:32 / %s/v1/freezer rw - cgroup cgroup rw,freezer\n";

/* a job of 400 MiB, of which 100 MiB are in use, 30 of them files' pages; its step has no limit */
static void put_v1(void)
{
	put("mountinfo", v1_mounts);
	put("cgroup", "7:freezer:/\n6:memory:/slurm/job_1/step_0\n5:cpu,cpuacct:/x\n0::/\n");
	put("v1/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("v1/memory/memory.usage_in_bytes", "9999999999\n");
	put("v1/memory/slurm/job_1/memory.limit_in_bytes", "419430400\n");
	put("v1/memory/slurm/job_1/memory.usage_in_bytes", "104857600\n");
	put("v1/memory/slurm/job_1/memory.stat", "cache 62914560\ninactive_file 0\nactive_file 0\n"
						 "total_cache 62914560\ntotal_inactive_file 20971520\n"
						 "total_active_file 10485760\n");
	put("v1/memory/slurm/job_1/step_0/memory.limit_in_bytes", "9223372036854771712\n");
	put("v1/memory/slurm/job_1/step_0/memory.usage_in_bytes", "104857600\n");
}

static void memory__version_1(void **state)
{
	(void)state;
	put_v1();
	assert_int_equal(room_mib(), 330);
	assert_int_equal(room.limit, 400 * MIB);
	assert_what("/v1/memory/slurm/job_1");
}

static void memory__version_1_used_up(void **state)
{
	(void)state;
	put_v1();
	put("v1/memory/slurm/job_1/memory.usage_in_bytes", "519430400\n");
	assert_int_equal(room_mib(), 0);
}

/* the step's own folder is not seen, as in a container without a namespace of cgroups */
static void memory__version_1_in_a_container(void **state)
{
	(void)state;
	put_v1();
	put("mountinfo", "34 25 0:31 /slurm/job_1 %s/v1/memory/slurm/job_1 ro - cgroup cgroup rw,memory\n");
	assert_int_equal(room_mib(), 330);
	put("mountinfo", "34 25 0:31 /elsewhere %s/v1/memory/slurm/job_1 ro - cgroup cgroup rw,memory\n");
	assert_int_equal(room_mib(), 330);
	put("cgroup", "6:memory:/../../other\n");
	assert_int_equal(room_mib(), 330);
}

static void put_v2(void)
{
	put("mountinfo", "30 25 0:26 / %s/my\\040cgroups rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
	put("cgroup", "0::/user.slice/a.scope\n");
	put("my cgroups/user.slice/memory.max", "1073741824\n");
	put("my cgroups/user.slice/memory.high", "max\n");
	put("my cgroups/user.slice/memory.current", "73741824\n");
	put("my cgroups/user.slice/a.scope/memory.max", "max\n");
	put("my cgroups/user.slice/a.scope/memory.high", "max\n");
	put("my cgroups/user.slice/a.scope/memory.current", "52428800\n");
	put("my cgroups/user.slice/a.scope/memory.stat", "anon 1\nfile 99\ninactive_file 10485760\nactive_file 0\n");
}

static void memory__version_2(void **state)
{
	(void)state;
	put_v2();
	assert_int_equal(room_mib(), 953);
	assert_what("/my cgroups/user.slice");
	put("my cgroups/user.slice/a.scope/memory.max", "104857600\n");
	assert_int_equal(room_mib(), 60);
	assert_what("/my cgroups/user.slice/a.scope");
	put("my cgroups/user.slice/a.scope/memory.high", "62914560\n");
	assert_int_equal(room_mib(), 20);
}

static void memory__machine(void **state)
{
	(void)state;
	put_v2();
	files.meminfo = meminfo;
	put("meminfo", "MemTotal:        8388608 kB\nMemFree:          100 kB\nMemAvailable:    204800 kB\n"
		       "SwapTotal:       1048576 kB\nSwapFree:         102400 kB\n");
	assert_int_equal(room_mib(), 300);
	assert_int_equal(room.limit, 9216 * MIB);
	assert_what("machine's memory");
}

static void memory__nothing_is_known(void **state)
{
	(void)state;
	assert_int_equal(room_mib(), UINT64_MAX);
	put("cgroup", "nonsense\n::\n6:memory\n6:memory:\n0::\n");
	put("mountinfo", "nonsense\n\n - \n1 2 3 - cgroup2\n1 2 3 / /x rw - cgroup\n");
	assert_int_equal(room_mib(), UINT64_MAX);
	put_v1();
	put("mountinfo", "22 1 0:20 / /proc rw - proc proc rw\n");
	assert_int_equal(room_mib(), UINT64_MAX);
	put("mountinfo", v1_mounts);
	put("v1/memory/slurm/job_1/memory.limit_in_bytes", "many\n");
	assert_int_equal(room_mib(), UINT64_MAX);
}

/* this machine's own files are read without complaint */
static void memory__of_this_machine(void **state)
{
	(void)state;
	pmio_memory_room(&pmio_system, &room);
	assert_true(room.bytes > 0);
	assert_true(room.bytes <= room.limit);
}

static void frozen__both_versions(void **state)
{
	(void)state;
	put_v1();
	put("cgroup", "7:freezer:/job\n6:memory:/\n0::/job\n");
	put("v1/freezer/job/freezer.state", "THAWED\n");
	assert_false(pmio_cgroup_is_frozen(&files));
	put("v1/freezer/job/freezer.state", "FROZEN\n");
	assert_true(pmio_cgroup_is_frozen(&files));
	put_v2();
	assert_false(pmio_cgroup_is_frozen(&files));
	put("my cgroups/user.slice/a.scope/cgroup.events", "populated 1\nfrozen 0\n");
	assert_false(pmio_cgroup_is_frozen(&files));
	put("my cgroups/user.slice/a.scope/cgroup.events", "populated 1\nfrozen 1\n");
	assert_true(pmio_cgroup_is_frozen(&files));
}

/* it has `path` open, if that is not NULL */
static pid_t make_child(const char *path)
{
	int fds[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (path && open(path, O_RDONLY) < 0)
			_exit(1);
		if (write(fds[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static void process__stopped_and_going_on(void **state)
{
	pid_t pid = make_child(NULL);
	int status;

	(void)state;
	assert_null(pmio_process_stopped(pid));
	kill(pid, SIGSTOP);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_int_equal(pmio_process_state(pid), 'T');
	assert_non_null(strstr(pmio_process_stopped(pid), "stopped by a signal"));
	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, WCONTINUED), pid);
	assert_null(pmio_process_stopped(pid));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(pmio_process_state(pid), '\0');
	assert_null(pmio_process_stopped(pid));
	assert_null(pmio_process_stopped(0));
}

static void process__killed_only_with_the_file(void **state)
{
	struct stat st, other;
	int status;
	pid_t pid;

	(void)state;
	put("lock", "x");
	put("other", "x");
	put("cgroup", "");
	assert_int_equal(chdir(root), 0);
	assert_int_equal(stat("lock", &st), 0);
	assert_int_equal(stat("other", &other), 0);
	pid = make_child("lock");
	assert_true(pmio_process_has_open(pid, st.st_dev, st.st_ino));
	assert_false(pmio_process_has_open(pid, other.st_dev, other.st_ino));
	assert_int_equal(pmio_process_kill(pid, other.st_dev, other.st_ino, 1000), -ESRCH);
	assert_int_equal(pmio_process_kill(getpid(), st.st_dev, st.st_ino, 1000), -ESRCH);
	assert_int_equal(pmio_process_kill(0, st.st_dev, st.st_ino, 1000), -ESRCH);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGSTOP);
	assert_int_equal(pmio_process_kill(pid, st.st_dev, st.st_ino, 60000), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(chdir("/"), 0);
}

static void fds__as_high_as_the_limit_allows(void **state)
{
	struct rlimit before, low;
	int fd, nr = 0, copies[64];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	fd = open(root, O_RDONLY);
	copies[0] = pmio_fd_copy_high(fd);
	assert_true(copies[0] >= 512 || before.rlim_cur < 1024);
	assert_int_equal(fcntl(copies[0], F_GETFD), FD_CLOEXEC);
	close(copies[0]);
	low = before;
	low.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (nr < 64 && (copies[nr] = pmio_fd_copy_high(fd)) >= 0)
		nr++;
	assert_true(nr > 16 && nr < 64); /* 16 are high; then the others, to the last */
	assert_int_equal(copies[nr], -EMFILE);
	assert_int_equal(copies[0], 48);
	assert_int_equal(copies[15], 63);
	assert_true(copies[16] > 2 && copies[16] < 48);
	assert_int_equal(pmio_fd_move_high(copies[16]), copies[16]);
	close(copies[3]);
	assert_int_equal(pmio_fd_move_high(copies[16]), copies[3]);
	assert_true(fcntl(copies[16], F_GETFD) < 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	while (nr-- > 0)
		close(copies[nr]);
	close(fd);
	assert_int_equal(pmio_fd_copy_high(fd), -EBADF);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(memory__version_1), T(memory__version_1_used_up), T(memory__version_1_in_a_container),
		T(memory__version_2), T(memory__machine), T(memory__nothing_is_known),
		T(memory__of_this_machine), T(frozen__both_versions), T(process__stopped_and_going_on),
		T(process__killed_only_with_the_file), T(fds__as_high_as_the_limit_allows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
