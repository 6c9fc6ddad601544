/* opening, closing, deleting, hints */
#include "ad_pmem.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"

_Thread_local bool ad_pmem_opening;

/* ---- connections: one a pool and process, until MPI ends -------------------------- */

#define POOLS_MAX 64

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pmio *pools[POOLS_MAX]; /* under pools_lock */
static pid_t pools_pid;		      /* a forked child must not use its parent's */

int ad_pmem_pool(const struct pmio_settings *s, struct pmio **out)
{
	char dir[PATH_MAX];
	int i, rc = pmio_settings_pool_dir(s, dir, sizeof(dir));

	*out = NULL;
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&pools_lock);
	if (pools_pid != getpid())
		memset(pools, 0, sizeof(pools));
	pools_pid = getpid();
	for (i = 0; i < POOLS_MAX && pools[i]; i++) {
		if (strcmp(pmio_pool_path(pools[i]), dir) == 0)
			break;
	}
	if (i == POOLS_MAX)
		rc = -EMFILE;
	else if (!pools[i])
		rc = client_connect(s, NULL, false, false, &pools[i]);
	if (rc == 0)
		*out = pools[i];
	pthread_mutex_unlock(&pools_lock);
	return rc;
}

void ad_pmem_disconnect_all(void)
{
	pthread_mutex_lock(&pools_lock);
	for (int i = 0; i < POOLS_MAX && pools_pid == getpid(); i++)
		pmio_disconnect(&pools[i]);
	memset(pools, 0, sizeof(pools));
	pthread_mutex_unlock(&pools_lock);
}

/* ---- hints ------------------------------------------------------------------------- */

#define HINT_PREFIX "pmem_"

/* who opens thousands of files is told once in a process; each time when the list is full */
static bool first_time(const char *key, const char *value)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static char seen[32][MPI_MAX_INFO_KEY + MPI_MAX_INFO_VAL + 2]; /* under lock */
	const size_t nr = sizeof(seen) / sizeof(seen[0]);
	char hint[sizeof(seen[0])];
	size_t i = 0;
	bool first;

	snprintf(hint, sizeof(hint), "%s=%s", key, value);
	pthread_mutex_lock(&lock);
	while (i < nr && *seen[i] && strcmp(seen[i], hint) != 0)
		i++;
	first = i == nr || !*seen[i];
	if (i < nr)
		memcpy(seen[i], hint, sizeof(hint));
	pthread_mutex_unlock(&lock);
	return first;
}

static void take_hint(struct pmio_settings *s, const char *key, const char *value, bool aloud)
{
	enum pmio_setting which = pmio_setting_find(key + strlen(HINT_PREFIX));

	if (which == PMIO_NR_SETTINGS) {
		if (first_time(key, "") && aloud)
			pmio_warn("hint %s is not known (see pmio(7))", key);
	} else if (!pmio_setting_info(which)->hint) {
		if (first_time(key, "") && aloud)
			pmio_warn("hint %s: this cannot be set for one file; use --mca io_%s or the "
				  "environment (see pmio(7))", key, key);
	} else if (pmio_setting_valid(which, value) || (first_time(key, value) && aloud)) {
		pmio_settings_set(s, which, value, PMIO_FROM_HINT);
	}
}

void ad_pmem_take_hints(struct pmio_settings *s, MPI_Info info, bool aloud)
{
	char key[MPI_MAX_INFO_KEY + 1], value[MPI_MAX_INFO_VAL + 1];
	int nr = 0, flag;

	if (info == MPI_INFO_NULL || PMPI_Info_get_nkeys(info, &nr) != MPI_SUCCESS)
		return;
	for (int i = 0; i < nr; i++) {
		if (PMPI_Info_get_nthkey(info, i, key) != MPI_SUCCESS ||
		    strncmp(key, HINT_PREFIX, strlen(HINT_PREFIX)) != 0)
			continue;
		PMPI_Info_get(info, key, MPI_MAX_INFO_VAL, value, &flag);
		if (flag)
			take_hint(s, key, value, aloud);
	}
}

/* the settings in force, for MPI_File_get_info */
static void show_hints(const struct pmio_settings *s, MPI_Info info)
{
	char key[64], dir[PATH_MAX], *value;

	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		const struct pmio_setting_info *si = pmio_setting_info((enum pmio_setting)i);

		value = s->str[i];
		if (i == PMIO_SET_POOL && pmio_settings_pool_dir(s, dir, sizeof(dir)) == 0)
			value = dir; /* unset is a pool, too */
		/* MPI has no room for longer values */
		if (!si->hint || *value == '\0' || strlen(value) > MPI_MAX_INFO_VAL - 1)
			continue;
		snprintf(key, sizeof(key), HINT_PREFIX "%s", si->name);
		PMPI_Info_set(info, key, value);
	}
	/* a write that returned is seen by all: HDF5 1.14 asks for that by this name */
	PMPI_Info_set(info, "romio_visibility_immediate", "true");
}

static struct ad_pmem *new_state(void)
{
	struct ad_pmem *ad = calloc(1, sizeof(*ad));

	if (ad && pmio_settings_copy(&ad->settings, ad_pmem_base_settings()) < 0) {
		free(ad);
		ad = NULL;
	}
	return ad;
}

static void free_state(struct adio_file *fd)
{
	struct ad_pmem *ad = fd->fs_ptr;

	if (ad) {
		ad_pmem_view_fini(&ad->view);
		pmio_settings_fini(&ad->settings);
	}
	free(ad);
	fd->fs_ptr = NULL;
}

/*
 * Numbers that ROMIO takes as they come, and ends the program over: a buffer of
 * -5 bytes.  Returns info, or a copy without them, which the caller frees.
 */
static MPI_Info without_bad_numbers(MPI_Info info)
{
	static const char *const sizes[] = { "cb_buffer_size", "ind_rd_buffer_size",
					     "ind_wr_buffer_size", "cb_nodes" };
	char value[MPI_MAX_INFO_VAL + 1];
	MPI_Info copy = info;
	int flag;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && info != MPI_INFO_NULL; i++) {
		PMPI_Info_get(info, sizes[i], MPI_MAX_INFO_VAL, value, &flag);
		if (!flag || atoi(value) > 0)
			continue;
		pmio_warn("hint %s: \"%s\" is not a number above 0; ignored", sizes[i], value);
		if (copy == info)
			PMPI_Info_dup(info, &copy);
		PMPI_Info_delete(copy, sizes[i]);
	}
	return copy;
}

/* ROMIO calls this first of all for a new file, and again for views and MPI_File_set_info */
void ad_pmem_set_info(struct adio_file *fd, MPI_Info info, int *error)
{
	struct ad_pmem *ad = fd->fs_ptr;
	MPI_Info good = without_bad_numbers(info);
	int rank;

	romio_load()->set_info(fd, good, error);
	if (good != info)
		PMPI_Info_free(&good);
	if (!ad_pmem_opening)
		return; /* hints of ours are for opening */
	if (!ad)
		ad = fd->fs_ptr = new_state();
	if (!ad)
		return; /* the open that follows says so */
	PMPI_Comm_rank(fd->comm, &rank);
	ad_pmem_take_hints(&ad->settings, info, rank == 0);
	show_hints(&ad->settings, fd->info);
}

/* ---- open ---------------------------------------------------------------------------- */

/* what the ranks must agree on */
struct opened {
	int64_t rc;
	uint64_t dev, ino;
	uint8_t uuid[16];
};

static uint32_t open_flags(const struct pmio_settings *s, int access_mode)
{
	uint32_t flags = 0;

	if (access_mode & (MPI_MODE_RDONLY | MPI_MODE_RDWR))
		flags |= PMIO_OPEN_READ;
	if (access_mode & (MPI_MODE_WRONLY | MPI_MODE_RDWR))
		flags |= PMIO_OPEN_WRITE;
	if (access_mode & MPI_MODE_CREATE)
		flags |= PMIO_OPEN_CREATE;
	if ((access_mode & MPI_MODE_EXCL) && (access_mode & MPI_MODE_CREATE))
		flags |= PMIO_OPEN_EXCL;
	return flags | client_settings_flags(s);
}

/* this process alone; first: it may create the file */
static void open_here(struct adio_file *fd, int access_mode, bool first, struct opened *o)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct client_open how = { .mode = 0666, .notice = first };
	struct pmio *pm;
	int rc;

	memset(o, 0, sizeof(*o));
	if (!first)
		access_mode &= ~(MPI_MODE_CREATE | MPI_MODE_EXCL);
	if (fd->perm != ADIO_DEFAULT_PERM)
		how.mode = (mode_t)fd->perm;
	how.flags = open_flags(&ad->settings, access_mode);
	rc = ad_pmem_pool(&ad->settings, &pm);
	if (rc == 0)
		rc = client_open(pm, fd->filename, &how, &ad->file);
	if (rc == 0) {
		client_identity(ad->file, &o->dev, &o->ino);
		pmio_pool_uuid(pm, o->uuid);
	}
	o->rc = rc;
}

static void compare(const struct adio_file *fd, const struct opened *root, struct opened *mine)
{
	if (mine->rc == 0 && memcmp(root->uuid, mine->uuid, sizeof(mine->uuid)) != 0) {
		pmio_err("open %s: processes of this file use different pools; files that are shared "
			 "by several nodes are not supported yet", fd->filename);
		mine->rc = -EOPNOTSUPP;
	} else if (mine->rc == 0 && (root->dev != mine->dev || root->ino != mine->ino)) {
		pmio_err("open %s: processes see different files under this name", fd->filename);
		mine->rc = -ESTALE;
	}
}

/* one rank creates, then the others open: all succeed or all fail with one error */
static int open_everywhere(struct adio_file *fd, int rank, int access_mode)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct opened root, mine = { .rc = 0 };
	int64_t worst;

	if (rank == 0)
		open_here(fd, access_mode, true, &mine);
	root = mine;
	PMPI_Bcast(&root, (int)sizeof(root), MPI_BYTE, 0, fd->comm);
	if (root.rc == 0 && rank != 0) {
		open_here(fd, access_mode, false, &mine);
		compare(fd, &root, &mine);
	}
	if (root.rc == 0)
		PMPI_Allreduce(&mine.rc, &worst, 1, MPI_INT64_T, MPI_MIN, fd->comm);
	else
		worst = root.rc;
	if (worst < 0)
		pmio_close(&ad->file);
	return (int)worst;
}

/* the hidden file of the shared file pointer is ROMIO's own: an ordinary file with locks */
static void open_as_ufs(struct adio_file *fd, int rank, int access_mode, int *error)
{
	const struct romio *romio = romio_load();

	free_state(fd);
	fd->ops = romio->ufs;
	romio->ufs->open_coll(fd, rank, access_mode, error);
}

void ad_pmem_open_coll(struct adio_file *fd, int rank, int access_mode, int *error)
{
	struct ad_pmem *ad = fd->fs_ptr;
	off_t size = 0;
	int rc;

	if (!ad_pmem_opening) {
		open_as_ufs(fd, rank, access_mode, error);
		return;
	}
	rc = ad ? 0 : -ENOMEM;
	PMPI_Allreduce(MPI_IN_PLACE, &rc, 1, MPI_INT, MPI_MIN, fd->comm);
	fd->access_mode = access_mode;
	fd->fd_sys = -1;
	fd->blksize = 4096;
	if (rc == 0)
		rc = open_everywhere(fd, rank, access_mode);
	if (rc < 0) {
		free_state(fd);
		*error = ad_pmem_error(rc);
		return;
	}
	fd->blksize = (long)ad->file->pm->view->chunk_size;
	fd->is_open = 1;
	if ((access_mode & MPI_MODE_APPEND) && pmio_size(ad->file, &size) == 0)
		fd->fp_ind = size;
	*error = MPI_SUCCESS;
}

/* ROMIO itself only calls open_coll; this is for who opens with MPI_COMM_SELF in mind */
void ad_pmem_open(struct adio_file *fd, int *error)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct opened o = { .rc = -ENOMEM };

	if (ad)
		open_here(fd, fd->access_mode, true, &o);
	*error = ad_pmem_error((int)o.rc);
}

/* ---- close ------------------------------------------------------------------------------ */

static int close_here(struct adio_file *fd)
{
	struct ad_pmem *ad = fd->fs_ptr;

	return fd->access_mode & MPI_MODE_DELETE_ON_CLOSE ? pmio_close_discard(&ad->file)
							  : pmio_close(&ad->file);
}

/*
 * The agent drains when the last handle goes.  So rank 0 closes after all others:
 * its answer says whether the data are on the PFS, and all ranks return it.
 * A close that one rank calls alone (another could not open) does neither.
 */
void ad_pmem_close(struct adio_file *fd, int *error)
{
	struct ad_pmem *ad = fd->fs_ptr;
	int rank = 0, rc = 0, worst;

	if (!ad->complete) {
		rc = close_here(fd);
	} else {
		PMPI_Comm_rank(fd->comm, &rank);
		if (rank != 0)
			rc = close_here(fd);
		PMPI_Reduce(&rc, &worst, 1, MPI_INT, MPI_MIN, 0, fd->comm);
		if (rank == 0) {
			rc = close_here(fd);
			rc = worst < rc ? worst : rc;
		}
		PMPI_Bcast(&rc, 1, MPI_INT, 0, fd->comm);
	}
	free_state(fd);
	*error = ad_pmem_error(rc);
}

int ad_pmem_delete_path(const char *path, MPI_Info info)
{
	struct pmio_settings s;
	struct pmio *pm;
	int rc = pmio_settings_copy(&s, ad_pmem_base_settings());

	if (rc < 0)
		return ad_pmem_error(rc);
	ad_pmem_take_hints(&s, info, true);
	rc = ad_pmem_pool(&s, &pm);
	if (rc == 0)
		rc = pmio_delete(pm, path);
	pmio_settings_fini(&s);
	return ad_pmem_error(rc);
}
