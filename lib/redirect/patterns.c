/* patterns.c -- which files are redirected: by the name that the kernel has for them */
#include "redirect/redirect.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "core/fds.h"
#include "core/pattern.h"

#define PREFIX "pmem:"
#define DEVICES_MAX 16
#define PATTERNS_MAX 65536 /* bytes */

static char *patterns; /* separated by ':'; replaced under lock, old strings are not freed */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool changed; /* by names with pmem: */
struct devices {
	_Atomic uint64_t dev[DEVICES_MAX];
	_Atomic unsigned nr; /* may be greater than DEVICES_MAX */
};
static struct devices devices, others; /* devices that may have files that match, and devices that are known to have none */
static bool any_device;

/* ---- patterns --------------------------------------------------------------------------- */

bool redirect_matches(const char *name)
{
	return pmio_pattern_selects(__atomic_load_n(&patterns, __ATOMIC_ACQUIRE), name);
}

static bool has_device(struct devices *d, uint64_t dev)
{
	unsigned nr = atomic_load(&d->nr);

	for (unsigned i = 0; i < nr && i < DEVICES_MAX; i++) {
		if (atomic_load(&d->dev[i]) == dev)
			return true;
	}
	return false;
}

/* without a lock, as a signal handler may ask for attributes, too */
static void add_device(struct devices *d, uint64_t dev)
{
	unsigned i = has_device(d, dev) ? DEVICES_MAX : atomic_fetch_add(&d->nr, 1);

	if (i < DEVICES_MAX)
		atomic_store(&d->dev[i], dev);
	else if (!has_device(d, dev))
		any_device = true;
}

/* length of the name of the folder that contains all names that a pattern of n bytes matches */
static size_t folder_of(const char *p, size_t n)
{
	size_t fixed = strcspn(p, "*?[\\:");

	for (n = fixed < n ? fixed : n; n > 0 && p[n - 1] != '/'; n--)
		;
	return n ? n - 1 : 0;
}

/* is it such a folder, or below one? */
static bool is_below(const char *point)
{
	for (const char *p = __atomic_load_n(&patterns, __ATOMIC_ACQUIRE); *p;) {
		size_t n = strcspn(p, ":"), len = folder_of(p, n);

		if (strncmp(point, p, len) == 0 && (point[len] == '/' || point[len] == '\0'))
			return true;
		p += n + (p[n] == ':');
	}
	return strchr(point, '\\') != NULL; /* it has an escaped character, e.g. a blank */
}

/* "ID PARENT MAJOR:MINOR ROOT POINT ..." of mountinfo: is it that device?  *below: and mounted below such a folder? */
static bool is_mount_of(const char *line, uint64_t dev, bool *below)
{
	char point[PATH_MAX];
	unsigned major, minor;

	if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &major, &minor, point) != 3 || makedev(major, minor) != dev)
		return false;
	*below |= is_below(point);
	return true;
}

/*
 * For a device that is not that of a pattern's folder: it may be mounted below such a folder.  A device that is mounted
 * nowhere is a part of a file system (a subvolume of btrfs), which may be anywhere.
 */
static bool may_be_below(uint64_t dev)
{
	char text[2 * PATH_MAX];
	size_t len = 0;
	bool found = false, below = false;
	long fd = REDIRECT_ABOVE(RAW(openat, AT_FDCWD, "/proc/self/mountinfo", O_RDONLY | O_CLOEXEC, 0)), n;

	if (fd < 0)
		return true;
	while (!below && (n = RAW(read, fd, text + len, sizeof(text) - 1 - len)) > 0) {
		char *line = text, *end;

		len += (size_t)n;
		text[len] = '\0';
		for (; (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			found |= is_mount_of(line, dev, &below);
		}
		len -= (size_t)(line - text);
		memmove(text, line, len);
		if (len == sizeof(text) - 1) /* the line is too long to be read */
			below = true;
	}
	RAW(close, fd);
	return below || !found;
}

bool redirect_device_may(uint64_t dev)
{
	bool may;

	if (any_device || has_device(&devices, dev))
		return true;
	if (has_device(&others, dev))
		return false;
	may = may_be_below(dev);
	add_device(may ? &devices : &others, dev);
	return may;
}

/* add the device of the folder that contains all names of a pattern */
static void learn_device(const char *p, size_t n)
{
	char dir[PATH_MAX];
	struct stat st;

	if (n == 0 || n >= sizeof(dir))
		return;
	for (n = folder_of(p, n); n > 0; n = folder_of(dir, n)) {
		memcpy(dir, p, n);
		dir[n] = '\0';
		if (RAW(newfstatat, AT_FDCWD, dir, &st, 0) == 0) {
			add_device(&devices, st.st_dev);
			return;
		}
	}
	any_device = true;
}

int redirect_names_init(const char *text)
{
	patterns = strdup(text);
	if (!patterns)
		return -ENOMEM;
	for (const char *p = patterns; *p;) {
		size_t n = strcspn(p, ":");

		learn_device(p, n);
		p += n + (p[n] == ':');
	}
	return 0;
}

const char *redirect_patterns_changed(void)
{
	return changed ? patterns : NULL;
}

/* escape the characters that have a meaning for fnmatch() */
static void quote(const char *name, char *out)
{
	for (; *name; name++) {
		if (strchr("*?[\\", *name))
			*out++ = '\\';
		*out++ = *name;
	}
	*out = '\0';
}

static void add_name(const char *name)
{
	char quoted[2 * PATH_MAX];
	size_t n;
	char *all;

	quote(name, quoted);
	pthread_mutex_lock(&lock);
	n = strlen(patterns);
	if (!redirect_matches(name) && n < PATTERNS_MAX && !strchr(name, ':') && asprintf(&all, "%s%s%s", patterns, n ? ":" : "", quoted) >= 0) {
		__atomic_store_n(&patterns, all, __ATOMIC_RELEASE); /* other threads may still read the old string */
		any_device = true;
		changed = true;
	}
	pthread_mutex_unlock(&lock);
}

/* ---- names ------------------------------------------------------------------------------------ */

static bool read_link(const char *link, char out[PATH_MAX])
{
	long n = RAW(readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);

	if (n <= 0 || n >= PATH_MAX - 1)
		return false;
	out[n] = '\0';
	return *out == '/';
}

/* without "//", "." and ".." */
static void tidy(char *path)
{
	char *to = path;

	for (const char *p = path; *p;) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			while (to > path && *--to != '/')
				;
		} else if (n && !(n == 1 && *p == '.')) {
			*to++ = '/';
			memmove(to, p, n);
			to += n;
		}
		p += n;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
}

bool redirect_absolute(int dir, const char *path, char out[PATH_MAX])
{
	char link[PMIO_FD_NAME_LEN];
	size_t n = 0, len = strlen(path);

	if (*path != '/') {
		if (dir == AT_FDCWD)
			snprintf(link, sizeof(link), "/proc/self/cwd");
		else
			pmio_fd_name(link, dir);
		if (!read_link(link, out))
			return false;
		n = strlen(out);
		out[n++] = '/';
	}
	if (n + len >= PATH_MAX)
		return false;
	memcpy(out + n, path, len + 1);
	tidy(out);
	return true;
}

bool redirect_may_match(int dir, const char *path)
{
	char name[PATH_MAX];

	return redirect_absolute(dir, path, name) && redirect_matches(name);
}

/* false: the file's name really ends so */
static bool is_gone(const char *name, const struct stat *st)
{
	struct stat now;

	return st->st_nlink == 0 || RAW(newfstatat, AT_FDCWD, name, &now, AT_SYMLINK_NOFOLLOW) < 0 || now.st_ino != st->st_ino || now.st_dev != st->st_dev;
}

/* returns the name by which it was opened even if that was removed and the file has others */
bool redirect_fd_name(int fd, const struct stat *st, char out[PATH_MAX])
{
	static const char gone[] = " (deleted)";
	char link[PMIO_FD_NAME_LEN];
	size_t n;

	if (!read_link(pmio_fd_name(link, fd), out))
		return false;
	n = strlen(out);
	if (n > sizeof(gone) && strcmp(out + n - (sizeof(gone) - 1), gone) == 0 && is_gone(out, st))
		out[n - (sizeof(gone) - 1)] = '\0';
	return true;
}

/* noted as a file to be redirected */
static void note_prefixed(int dir, const char *path)
{
	char name[PATH_MAX], real[PATH_MAX];

	if (!redirect_absolute(dir, path, name))
		return;
	/*
	 * resolve links, as the kernel does; for a new file whose folder has a link in its name, only those of the folder
	 */
	redirect_inside++;
	if (realpath(name, real)) {
		add_name(real);
	} else {
		char *slash = strrchr(name, '/');

		*slash = '\0';
		if (realpath(*name ? name : "/", real) && strlen(real) + strlen(slash + 1) + 2 < PATH_MAX) {
			strcat(real, "/");
			strcat(real, slash + 1);
			tidy(real);
			add_name(real);
		}
	}
	redirect_inside--;
}

const char *redirect_plain_path(int dir, const char *path)
{
	if (!redirect_on || !path || strncmp(path, PREFIX, sizeof(PREFIX) - 1) != 0)
		return path;
	path += sizeof(PREFIX) - 1;
	if (!*path) /* programs that split a name at its slashes, as mkdir -p, begin with an empty part */
		return "/";
	if (!redirect_inside)
		REDIRECT_ROOM(note_prefixed, dir, path);
	return path;
}

int redirect_path_fd(int dir, const char *path, bool follow, struct stat *st, char name[PATH_MAX])
{
	return redirect_ours() ? redirect_matching_fd(dir, path, follow, st, name) : -1;
}

int redirect_matching_fd(int dir, const char *path, bool follow, struct stat *st, char name[PATH_MAX])
{
	long fd;

	if (!redirect_on || redirect_inside || !path)
		return -1;
	if (RAW(newfstatat, dir, path, st, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st->st_mode) || !redirect_device_may(st->st_dev))
		return -1;
	fd = REDIRECT_ABOVE(RAW(openat, dir, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW), 0));
	if (fd < 0)
		return -1;
	if (RAW(fstat, fd, st) == 0 && S_ISREG(st->st_mode) && redirect_fd_name((int)fd, st, name) && redirect_matches(name))
		return (int)fd;
	RAW(close, fd);
	return -1;
}
