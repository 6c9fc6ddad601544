/*
 * default_pool.c -- the place of the default pool: in /dev/shm, where every user may make files
 *
 * pmio-UID is a name that other users can guess, and a folder of that name made by another user cannot be
 * removed.  Then the pool is pmio-UID.RANDOM, which all processes of the user find again by listing
 * /dev/shm.  Of several that are made at the same time, the one with the lowest inode number is used: a
 * tmpfs counts inode numbers up, so a process that has made one sees all that may come before it.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/settings.h"

#define BELOW "/dev/shm"
#define TRIES 100

/* the conditions of lib/pool for a pool's directory */
static bool is_ours(const struct stat *st)
{
	return S_ISDIR(st->st_mode) && st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* find the one with a random name; false: there is none */
static bool find_again(char *dir, size_t size)
{
	char prefix[32], path[PATH_MAX];
	uint64_t lowest = UINT64_MAX;
	DIR *d = opendir(BELOW);
	struct dirent *e;
	struct stat st;

	snprintf(prefix, sizeof(prefix), "pmio-%u.", (unsigned)geteuid());
	while (d && (e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(path, sizeof(path), BELOW "/%s", e->d_name);
		if (lstat(path, &st) < 0 || !is_ours(&st) || st.st_ino >= lowest || strlen(path) >= size)
			continue;
		lowest = st.st_ino;
		strcpy(dir, path);
	}
	if (d)
		closedir(d);
	return lowest != UINT64_MAX;
}

/* 0: this name can be used: it is this user's directory, or does not exist yet; 1: it belongs to another user, *by */
static int look(char *dir, size_t size, uid_t *by)
{
	struct stat st;
	bool there;

	if (snprintf(dir, size, BELOW "/pmio-%u", (unsigned)geteuid()) >= (int)size)
		return -ENAMETOOLONG;
	there = lstat(dir, &st) == 0;
	*by = there ? st.st_uid : geteuid();
	/* this user's own directory is used; opening it reports what is wrong with it */
	if (*by == geteuid() && there)
		return 0;
	if (find_again(dir, size))
		return 0;
	return there ? 1 : 0;
}

int pmio_default_pool(char *dir, size_t size)
{
	uid_t by;
	int rc = look(dir, size, &by);

	return rc < 0 ? rc : 0;
}

static int make_random(char *dir, size_t size, uid_t by)
{
	char mine[PATH_MAX];
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EIO;
	snprintf(mine, sizeof(mine), BELOW "/pmio-%u.%016" PRIx64, (unsigned)geteuid(), number);
	if (mkdir(mine, 0700) < 0)
		return -errno;
	if (!find_again(dir, size))
		return -ENOENT;
	if (strcmp(dir, mine) != 0)
		rmdir(mine); /* another process was first */
	else
		pmio_warn("pool " BELOW "/pmio-%u: the name is used by user %u: using %s", (unsigned)geteuid(),
			  (unsigned)by, dir);
	return 0;
}

int pmio_default_pool_make(char *dir, size_t size)
{
	uid_t by;
	int rc;

	for (int tries = 0; tries < TRIES; tries++) {
		rc = look(dir, size, &by);
		if (rc == 1)
			return make_random(dir, size, by);
		if (rc < 0 || mkdir(dir, 0700) == 0)
			return rc;
		if (errno != EEXIST)
			return -errno;
		rc = look(dir, size, &by); /* the one that another process has made meanwhile */
		if (rc == 0)
			return 0;
	}
	return -EEXIST;
}
