/* find.c -- finding a file that was renamed, or is below a folder that was renamed */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "pfs/pfs.h"

#define LOOKS_MAX 100000 /* entries of folders: a search must end */

struct search {
	const struct pmio_pfs_id *id;
	int flags;
	int fd;			/* found; or -1 */
	int rc;			/* of opening the file that has the right number */
	char *name;		/* PATH_MAX bytes */
	char *mounts;		/* owned: text of mountinfo; NULL: not available */
	unsigned looks;
};

static char *read_mounts(void)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *text = NULL;
	size_t size = 0;

	if (f && getdelim(&text, &size, '\0', f) <= 0) {
		free(text);
		text = NULL;
	}
	if (f)
		fclose(f);
	return text;
}

/* a file system mounted there may hang, or be mounted by the access (automount); it does not have the file */
static bool is_mount_point(const struct search *s, const char *path)
{
	char word[PATH_MAX + 2];

	if (!s->mounts || strchr(path, ' '))
		return false;
	snprintf(word, sizeof(word), " %s ", path);
	return strstr(s->mounts, word) != NULL;
}

/* only the file itself is opened: opening other files may wait, or have effects */
static bool try_name(struct search *s, const char *path)
{
	struct pmio_pfs_id id;
	struct stat st;
	int fd;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_ino != s->id->ino || st.st_dev != s->id->dev)
		return false;
	s->rc = pmio_pfs_open(path, s->flags == O_RDWR ? O_WRONLY : s->flags, 0, &fd, NULL);
	if (s->rc < 0)
		return false;
	if (pmio_pfs_identify(fd, &st, &id) < 0 || !pmio_pfs_same(&id, s->id)) {
		s->rc = PMIO_EGONE; /* another file has its number by now */
		close(fd);
		return false;
	}
	s->fd = fd;
	snprintf(s->name, PATH_MAX, "%s", path);
	return true;
}

/* dir/ENTRY/rest for all entries; rest "": the entry itself, if its number is right */
static bool try_entries(struct search *s, const char *dir, const char *rest)
{
	DIR *d = opendir(*dir ? dir : "/");
	char path[PATH_MAX];
	struct dirent *e;
	bool found = false;

	while (d && !found && s->looks < LOOKS_MAX && (e = readdir(d)) != NULL) {
		s->looks++;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (*rest == '\0' && e->d_ino != s->id->ino)
			continue;
		if (*rest && e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= (int)sizeof(path) ||
		    (*rest && is_mount_point(s, path)))
			continue;
		if (strlen(path) + strlen(rest) < sizeof(path) && s->rc == -ENOENT)
			found = try_name(s, strcat(path, rest));
	}
	if (d)
		closedir(d);
	return found;
}

/* from the file's own folder upwards: first the file, then one folder after the other may have another name */
static bool try_all(struct search *s, const char *path)
{
	char dir[PATH_MAX];
	const char *rest = strchr(path, '\0');
	struct stat st;

	while (rest > path) {
		const char *slash = rest - 1;

		while (slash > path && *slash != '/')
			slash--;
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
		/* a rename cannot leave the file system, and an access to folders above may mount other file systems */
		if (stat(*dir ? dir : "/", &st) == 0 && st.st_dev != s->id->dev)
			return false;
		if (try_entries(s, dir, rest))
			return true;
		rest = slash;
	}
	return false;
}

int pmio_pfs_find(const char *path, const struct pmio_pfs_id *id, int flags, int *fd, char *name)
{
	struct search s = { .id = id, .flags = flags, .fd = -1, .rc = -ENOENT, .name = name };

	s.mounts = read_mounts();
	if (!try_name(&s, path) && s.rc == -ENOENT)
		try_all(&s, path);
	free(s.mounts);
	*fd = s.fd;
	return s.fd >= 0 ? 0 : s.rc;
}
