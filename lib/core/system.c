#include "core/backoff.h"
#include "core/system.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include <uuid.h>

#define LINE_SIZE (2 * PATH_MAX + 1024)
#define KILL_POLL_MS 10
#define NO_LIMIT (1ULL << 62) /* bytes: version 1 represents "none" by a number near 2^63 */

const struct pmio_system_files pmio_system = { "/proc/self/cgroup", "/proc/self/mountinfo",
					       "/proc/meminfo" };

/* ---- finding a cgroup ------------------------------------------------------------- */

/* a process's cgroup for one controller */
struct cgroup {
	char dir[2 * PATH_MAX];
	size_t top; /* length of the mount point in dir: nothing above it is visible */
};

/* is `name` in a comma-separated list? */
static bool has_word(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; (p = strstr(p, name)) != NULL; p += len) {
		if ((p == list || p[-1] == ',') && (p[len] == '\0' || p[len] == ','))
			return true;
	}
	return false;
}

/* the lines of FILE one after the other; long lines are cut.  false at the end */
static bool next_line(FILE *f, char *line)
{
	if (!f || !fgets(line, LINE_SIZE, f))
		return false;
	line[strcspn(line, "\n")] = '\0';
	return true;
}

/* "4:memory:/slurm/job_1"; version 2: "0::/user.slice".  controller NULL: version 2 */
static bool own_path(const char *file, const char *controller, char path[PATH_MAX])
{
	FILE *f = fopen(file, "re");
	char line[LINE_SIZE];
	bool found = false;

	while (!found && next_line(f, line)) {
		char *list = strchr(line, ':'), *at = list ? strchr(list + 1, ':') : NULL;

		if (!at || at[1] != '/')
			continue;
		*at++ = '\0';
		found = controller ? has_word(list + 1, controller) : list[1] == '\0';
		if (found)
			snprintf(path, PATH_MAX, "%.*s", PATH_MAX - 1, at);
	}
	if (f)
		fclose(f);
	return found;
}

/* mountinfo writes spaces and the like as \040 */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && isdigit((unsigned char)s[1]) && isdigit((unsigned char)s[2]) &&
		    isdigit((unsigned char)s[3])) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

struct mount_entry {
	char *root, *point, *type, *options; /* in the line */
};

/* "36 35 98:0 ROOT POINT rw,noatime [master:1 ...] - TYPE SOURCE OPTIONS" */
static bool parse_mount(char *line, struct mount_entry *m)
{
	char *rest, *tail = strstr(line, " - "), *save = NULL;

	if (!tail)
		return false;
	*tail = '\0';
	rest = tail + 3;
	for (int i = 0; i < 3; i++) {
		if (!strtok_r(i ? NULL : line, " ", &save))
			return false;
	}
	m->root = strtok_r(NULL, " ", &save);
	m->point = strtok_r(NULL, " ", &save);
	m->type = strtok_r(rest, " ", &save);
	if (!m->root || !m->point || !m->type || !strtok_r(NULL, " ", &save))
		return false;
	m->options = strtok_r(NULL, " ", &save);
	unescape(m->root);
	unescape(m->point);
	return true;
}

/*
 * A container sees its own part of the hierarchy: its mount's root is then the cgroup's path,
 * or a part of it.  A cgroup that is not visible, or has no folder, counts as the mount
 * point.
 */
static void place(struct cgroup *g, const struct mount_entry *m, const char *path)
{
	size_t len = strlen(m->root);
	struct stat st;

	if (strcmp(m->root, "/") != 0 && strncmp(path, m->root, len) == 0 &&
	    (path[len] == '/' || path[len] == '\0'))
		path += len;
	g->top = (size_t)snprintf(g->dir, PATH_MAX, "%.*s", PATH_MAX - 1, m->point);
	if (strncmp(path, "/..", 3) == 0 || strcmp(path, "/") == 0)
		return;
	snprintf(g->dir + g->top, PATH_MAX, "%s", path);
	if (stat(g->dir, &st) < 0)
		g->dir[g->top] = '\0';
}

static bool find_cgroup(const struct pmio_system_files *files, const char *controller, struct cgroup *g)
{
	char path[PATH_MAX], line[LINE_SIZE];
	bool found = false;
	struct mount_entry m;
	FILE *f;

	if (!own_path(files->cgroup, controller, path))
		return false;
	f = fopen(files->mountinfo, "re");
	while (!found && next_line(f, line)) {
		if (!parse_mount(line, &m))
			continue;
		found = controller ? strcmp(m.type, "cgroup") == 0 && m.options && has_word(m.options, controller)
				   : strcmp(m.type, "cgroup2") == 0;
		if (found)
			place(g, &m, path);
	}
	if (f)
		fclose(f);
	return found;
}

/* go to the parent; false: that was the last */
static bool go_up(struct cgroup *g)
{
	char *slash;

	if (strlen(g->dir) <= g->top)
		return false;
	slash = strrchr(g->dir + g->top, '/');
	*(slash ? slash : g->dir + g->top) = '\0';
	return true;
}

static FILE *open_in(const struct cgroup *g, const char *name)
{
	char path[2 * PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", g->dir, name);
	return fopen(path, "re");
}

/* the number in a file that has only one; false: it is "max", or there is no file */
static bool read_number(const struct cgroup *g, const char *name, uint64_t *value)
{
	FILE *f = open_in(g, name);
	char line[LINE_SIZE], *end;
	bool ok = next_line(f, line);

	if (f)
		fclose(f);
	if (!ok || !isdigit((unsigned char)*line))
		return false;
	*value = strtoull(line, &end, 10);
	return *end == '\0';
}

/* the sum of the numbers of two names, in a file with lines "NAME[:] NUMBER ..." */
static uint64_t sum_fields(FILE *f, const char *a, const char *b)
{
	char line[LINE_SIZE];
	uint64_t sum = 0;

	while (next_line(f, line)) {
		char *value = strchr(line, ' ');

		if (!value)
			continue;
		*value++ = '\0';
		if (strcmp(line, a) == 0 || strcmp(line, b) == 0)
			sum += strtoull(value, NULL, 10);
	}
	if (f)
		fclose(f);
	return sum;
}

/* ---- memory ------------------------------------------------------------------------- */

static void take_less(struct pmio_memory_room *room, uint64_t bytes, uint64_t limit, const char *kind,
		      const char *name)
{
	if (bytes >= room->bytes)
		return;
	room->bytes = bytes;
	room->limit = limit;
	snprintf(room->what, sizeof(room->what), "%s%.*s", kind, PATH_MAX - 1, name);
}

static void look_at_limit(struct pmio_memory_room *room, const struct cgroup *g, const char *limit_file,
			  const char *used_file, const char *a, const char *b)
{
	uint64_t limit, used, files;

	if (!read_number(g, limit_file, &limit) || limit >= NO_LIMIT || !read_number(g, used_file, &used))
		return;
	files = sum_fields(open_in(g, "memory.stat"), a, b);
	used -= files < used ? files : used;
	take_less(room, used < limit ? limit - used : 0, limit, "the memory cgroup ", g->dir);
}

void pmio_memory_room(const struct pmio_system_files *files, struct pmio_memory_room *room)
{
	struct cgroup g;
	FILE *f;

	*room = (struct pmio_memory_room){ .bytes = UINT64_MAX };
	if (find_cgroup(files, "memory", &g)) {
		do
			look_at_limit(room, &g, "memory.limit_in_bytes", "memory.usage_in_bytes",
				      "total_inactive_file", "total_active_file");
		while (go_up(&g));
	}
	if (find_cgroup(files, NULL, &g)) {
		do {
			look_at_limit(room, &g, "memory.max", "memory.current", "inactive_file", "active_file");
			/* exceeding it kills no process, but slows all of them down */
			look_at_limit(room, &g, "memory.high", "memory.current", "inactive_file", "active_file");
		} while (go_up(&g));
	}
	if (!files->meminfo)
		return;
	f = fopen(files->meminfo, "re");
	if (f) /* it is in KiB */
		take_less(room, sum_fields(f, "MemAvailable:", "SwapFree:") << 10,
			  sum_fields(fopen(files->meminfo, "re"), "MemTotal:", "SwapTotal:") << 10,
			  "the machine's memory", "");
}

/* ---- the machine ---------------------------------------------------------------------- */

bool pmio_boot_id(uint8_t id[16])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	char text[64] = "";
	bool read = f && fgets(text, sizeof(text), f);
	uuid_t found;

	if (f)
		fclose(f);
	text[strcspn(text, "\n")] = '\0';
	if (!read || uuid_parse(text, found) < 0)
		return false;
	memcpy(id, found, 16);
	return true;
}

/* ---- processes ------------------------------------------------------------------------ */

char pmio_process_state(pid_t pid)
{
	char path[64], text[512], *end;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return '\0';
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	end = strrchr(text, ')'); /* the name before it may contain any characters */
	return end && end[1] == ' ' ? end[2] : '\0';
}

bool pmio_cgroup_is_frozen(const struct pmio_system_files *files)
{
	char line[LINE_SIZE];
	struct cgroup g;
	bool frozen = false;
	FILE *f;

	if (find_cgroup(files, "freezer", &g)) {
		f = open_in(&g, "freezer.state");
		frozen = next_line(f, line) && strcmp(line, "FROZEN") == 0;
		if (f)
			fclose(f);
	}
	if (!frozen && find_cgroup(files, NULL, &g))
		frozen = sum_fields(open_in(&g, "cgroup.events"), "frozen", "") != 0;
	return frozen;
}

const char *pmio_process_stopped(pid_t pid)
{
	char cgroup[64];
	struct pmio_system_files files = pmio_system;

	switch (pid > 0 ? pmio_process_state(pid) : '\0') {
	case '\0':
		return NULL;
	case 'T':
		return "stopped by a signal (state T; `kill -CONT` continues it)";
	case 't':
		return "stopped by a debugger (state t)";
	default:
		break;
	}
	snprintf(cgroup, sizeof(cgroup), "/proc/%d/cgroup", (int)pid);
	files.cgroup = cgroup;
	return pmio_cgroup_is_frozen(&files) ? "frozen with its cgroup (it continues when that is thawed)" : NULL;
}

pid_t pmio_lock_holder(int fd)
{
	FILE *f = fopen("/proc/locks", "re");
	char line[LINE_SIZE];
	struct stat st;
	pid_t holder = 0;

	if (fstat(fd, &st) < 0)
		memset(&st, 0, sizeof(st));
	while (holder == 0 && next_line(f, line)) {
		unsigned major_nr, minor_nr;
		unsigned long ino;
		int pid;

		/* "12: FLOCK  ADVISORY  WRITE 1234 00:1a:5678 0 EOF"; a waiting process has "->" after the number */
		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid, &major_nr, &minor_nr, &ino) == 4 &&
		    makedev(major_nr, minor_nr) == st.st_dev && ino == st.st_ino)
			holder = pid;
	}
	if (f)
		fclose(f);
	return holder;
}

bool pmio_process_has_open(pid_t pid, dev_t dev, ino_t ino)
{
	char path[320];
	struct dirent *e;
	struct stat st;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, e->d_name);
		found = isdigit((unsigned char)*e->d_name) && stat(path, &st) == 0 && st.st_dev == dev &&
			st.st_ino == ino;
	}
	if (d)
		closedir(d);
	return found;
}

/* have all its threads ended?  pidfd -1: judged by the files that it still has open */
static bool has_ended(pid_t pid, int pidfd, dev_t dev, ino_t ino)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (pidfd >= 0)
		return poll(&p, 1, 0) > 0;
	return kill(pid, 0) < 0 || (pmio_process_state(pid) == 'Z' && !pmio_process_has_open(pid, dev, ino));
}

int pmio_process_kill(pid_t pid, dev_t dev, ino_t ino, int limit_ms)
{
	struct pmio_backoff b = PMIO_BACKOFF(KILL_POLL_MS, KILL_POLL_MS, limit_ms);
	int pidfd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	int rc = -ESRCH;

	/* checks after that cannot concern a later process with the same number */
	if (pid > 1 && pid != getpid() && pmio_process_has_open(pid, dev, ino)) {
		if (pidfd >= 0)
			rc = syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
		else
			rc = kill(pid, SIGKILL) < 0 ? -errno : 0;
	}
	while (rc == 0 && !has_ended(pid, pidfd, dev, ino)) {
		if (!pmio_backoff_sleep(&b))
			rc = -EBUSY;
	}
	if (pidfd >= 0)
		close(pidfd);
	return rc;
}
