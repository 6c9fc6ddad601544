/* opening, closing, deleting, hints */
#include "ad_pmem.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "remote/remote.h"
#include "remote/wire.h"

#define BUSY_WAIT_MS 20000 /* for a file that others are about to open in another way */

_Thread_local bool ad_pmem_opening;
_Thread_local bool ad_pmem_plain_name;

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
	remote_disconnect_all();
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

/*
 * sync=auto: a program that knows nothing of pmem: may look at its file by other
 * means once it has synced it.  Who holds drains back holds this one back, too.
 */
static void choose_sync(struct pmio_settings *s)
{
	bool drain = ad_pmem_plain_name && s->num[PMIO_SET_DRAIN] != PMIO_DRAIN_HOLD;

	if (s->num[PMIO_SET_SYNC] == PMIO_SYNC_AUTO)
		pmio_settings_set(s, PMIO_SET_SYNC, drain ? "drain" : "pool", s->from[PMIO_SET_SYNC]);
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
		ad_pmem_exchange_free(ad->exchange);
		ad_pmem_together_free(ad->together);
		ad_pmem_view_fini(&ad->view);
		pmio_settings_fini(&ad->settings);
	}
	free(ad);
	fd->fs_ptr = NULL;
}

static void drop_hint(MPI_Info info, MPI_Info *copy, const char *key)
{
	if (*copy == info)
		PMPI_Info_dup(info, copy);
	PMPI_Info_delete(*copy, key);
}

/*
 * Hints that ROMIO ends the program over: numbers, which it takes as they come (a buffer of
 * -5 bytes), and a cb_config_list that names no host of the job, which is of no use here in
 * any case.  Returns info, or a copy without them, which the caller frees.
 */
static MPI_Info without_bad_hints(MPI_Info info)
{
	static const char *const sizes[] = { "cb_buffer_size", "ind_rd_buffer_size",
					     "ind_wr_buffer_size", "cb_nodes" };
	char value[MPI_MAX_INFO_VAL + 1];
	MPI_Info copy = info;
	int flag;

	if (info == MPI_INFO_NULL)
		return info;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		PMPI_Info_get(info, sizes[i], MPI_MAX_INFO_VAL, value, &flag);
		if (!flag || atoi(value) > 0)
			continue;
		pmio_warn("hint %s: \"%s\" is not a number above 0; ignored", sizes[i], value);
		drop_hint(info, &copy, sizes[i]);
	}
	PMPI_Info_get(info, "cb_config_list", MPI_MAX_INFO_VAL, value, &flag);
	if (flag)
		drop_hint(info, &copy, "cb_config_list");
	return copy;
}

/* ROMIO calls this first of all for a new file, and again for views and MPI_File_set_info */
void ad_pmem_set_info(struct adio_file *fd, MPI_Info info, int *error)
{
	struct ad_pmem *ad = fd->fs_ptr;
	MPI_Info good = without_bad_hints(info);
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
	choose_sync(&ad->settings);
	show_hints(&ad->settings, fd->info);
}

/* ---- open ---------------------------------------------------------------------------- */

/*
 * Ranks of one node open the file in their pool; that is all where there is one node, or where
 * nobody else has the file.  Else (lib/remote):
 *
 *   O1 rank 0 looks whether the file is in use on several nodes: then all join that use
 *   O2 if not it opens the file in its pool, and all others whose pool is the same do too.  If that
 *      are all, rank 0 makes an owner's file that lists this node (setting `owner`)
 *   O3 if some have other pools: one rank of each node has its target started; rank 0 gathers
 *      the list, makes the owner's file, and all open the file anew, by the list
 *
 * All ranks succeed, or all fail with one error.
 */

/* what rank 0 tells the others */
struct opened {
	int64_t rc;
	uint64_t dev, ino;
	uint8_t uuid[16];
	uint32_t nr_targets;	/* 0: it is in the pool of rank 0's node */
	uint32_t nr_memory, placement;
	uint8_t use[REMOTE_USE_ID];
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

void ad_pmem_say_failed(const char *what, const char *path, int rc)
{
	if (rc == PMIO_EOTHER) /* said, with who it is */
		return;
	switch (ad_pmem_error(rc)) {
	case MPI_ERR_NO_SUCH_FILE:
	case MPI_ERR_FILE_EXISTS:
	case MPI_ERR_ACCESS:
	case MPI_ERR_READ_ONLY:
		pmio_info("%s %s: %s", what, path, pmio_strerror(rc));
		break;
	default:
		pmio_err("%s %s: %s", what, path, pmio_strerror(rc));
	}
}

/* first: it may create the file */
static struct client_open how_to_open(const struct adio_file *fd, int access_mode, bool first)
{
	const struct ad_pmem *ad = fd->fs_ptr;
	struct client_open how = { .mode = 0666, .notice = first, .quiet = true, .no_wait = first };

	if (!first)
		access_mode &= ~(MPI_MODE_CREATE | MPI_MODE_EXCL);
	if (fd->perm != ADIO_DEFAULT_PERM)
		how.mode = (mode_t)fd->perm;
	how.flags = open_flags(&ad->settings, access_mode);
	return how;
}

static void take_identity(const struct ad_pmem *ad, struct pmio *pm, struct opened *o)
{
	const struct remote_use *use = remote_use_of(ad->file);

	client_identity(ad->file, &o->dev, &o->ino);
	pmio_pool_uuid(pm, o->uuid);
	if (!use)
		return;
	o->nr_targets = use->nr;
	o->nr_memory = use->nr_memory;
	o->placement = use->placement;
	memcpy(o->use, use->id, sizeof(o->use));
}

/* placement=remote, and nobody has it open */
static int open_at_memory(struct adio_file *fd, const struct client_open *how, struct remote_use *use)
{
	const struct ad_pmem *ad = fd->fs_ptr;
	int rc = remote_memory_begin(&ad->settings, fd->filename, how, use);

	if (rc < 0 && use->cards && rc != -EBUSY)
		ad_pmem_say_failed("open", fd->filename, rc);
	return rc == -EBUSY ? -EAGAIN : rc;
}

static int open_in_pool(struct adio_file *fd, const struct client_open *how)
{
	struct ad_pmem *ad = fd->fs_ptr;
	int rc = client_open(ad->pm, fd->filename, how, &ad->file);

	if (rc < 0 && rc != -EBUSY)
		ad_pmem_say_failed("open", fd->filename, rc);
	return rc == -EBUSY ? -EAGAIN : rc;
}

/* the open has failed after all: of a use that began with it nothing waits, whatever its marks say */
static void leave_failed(const struct ad_pmem *ad, const struct remote_use *use)
{
	remote_use_leave(&ad->settings, use, use->began ? REMOTE_KEEP_NOT : REMOTE_KEEP_WAITING);
}

/* -EAGAIN: others have it open, on several nodes or on one, in the way that this is not */
static int try_to_open(struct adio_file *fd, const struct client_open *how, bool first)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct remote_use use = { .nr = 0 };
	bool remote = first && remote_memory_wanted(&ad->settings);
	int rc = first ? remote_use_find(&ad->settings, fd->filename, &use) : -ENOENT;

	if (rc == -ENAMETOOLONG) /* that of an owner's file: if the file's own is too long, its open says so */
		rc = -ENOENT;
	if (rc == 0 && (how->flags & PMIO_OPEN_EXCL))
		rc = -EEXIST;
	if (rc == -ENOENT && remote)
		rc = open_at_memory(fd, how, &use);
	if (rc == 0)
		rc = remote_span_open(ad->pm, &ad->settings, fd->filename, how, &use, true, &ad->file);
	else if (rc == -ENOENT && !remote)
		rc = open_in_pool(fd, how);
	if (first && rc < 0 && use.joined)
		leave_failed(ad, &use);
	if (first)
		remote_use_fini(&use);
	return rc;
}

/*
 * This process alone, which may be the first.  Others may be on their way from having it open
 * on one node to having it open on several (O2, O3), or back: then again, a little later.
 */
static void open_here(struct adio_file *fd, int access_mode, bool first, struct opened *o)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct client_open how = how_to_open(fd, access_mode, first);
	unsigned wait_ms = 10;
	int rc;

	memset(o, 0, sizeof(*o));
	rc = ad_pmem_pool(&ad->settings, &ad->pm);
	if (rc == 0)
		rc = try_to_open(fd, &how, first);
	for (; rc == -EAGAIN && wait_ms <= BUSY_WAIT_MS / 2; wait_ms *= 2) {
		usleep(wait_ms * 1000);
		rc = try_to_open(fd, &how, first);
	}
	if (rc == -EAGAIN) { /* who has it in another pool has not said where others can join it */
		how.no_wait = false;
		rc = try_to_open(fd, &how, first);
	}
	if (rc == -EAGAIN) {
		rc = -EBUSY;
		ad_pmem_say_failed("open", fd->filename, rc);
	}
	if (rc == 0)
		take_identity(ad, ad->pm, o);
	o->rc = rc;
}

static int64_t worst_of(const struct adio_file *fd, int64_t rc)
{
	PMPI_Allreduce(MPI_IN_PLACE, &rc, 1, MPI_INT64_T, MPI_MIN, fd->comm);
	return rc;
}

/* ---- by a list of targets ---- */

/* rank 0's list becomes everybody's; collective */
static int share_use(const struct adio_file *fd, int rank, struct remote_use *use)
{
	int64_t rc = 0;

	if (rank != 0)
		use->cards = malloc(use->nr * sizeof(*use->cards));
	if (!use->cards)
		rc = -ENOMEM;
	rc = worst_of(fd, rc);
	if (rc == 0)
		PMPI_Bcast(use->cards, (int)(use->nr * sizeof(*use->cards)), MPI_BYTE, 0, fd->comm);
	return (int)rc;
}

/* collective; rank 0 has the file already if it joined a use that was there */
static int open_by_list(struct adio_file *fd, int rank, int access_mode, struct remote_use *use, bool joined)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct client_open how = how_to_open(fd, access_mode, false);
	uint64_t dev, ino = 0, root_ino;
	int rc = share_use(fd, rank, use);

	if (rc == 0 && !ad->file)
		rc = remote_span_open(ad->pm, &ad->settings, fd->filename, &how, use, joined && rank == 0, &ad->file);
	/* devices have other numbers on other nodes */
	if (rc == 0)
		client_identity(ad->file, &dev, &ino);
	root_ino = ino;
	rc = (int)worst_of(fd, rc);
	if (rc < 0)
		return rc;
	PMPI_Bcast(&root_ino, 1, MPI_UINT64_T, 0, fd->comm);
	if (root_ino != ino) {
		pmio_err("open %s: processes see different files under this name", fd->filename);
		rc = -ESTALE;
	}
	return (int)worst_of(fd, rc);
}

/* which ranks have a pool first; uuids[i] is rank i's */
static bool is_first_of_pool(const uint8_t (*uuids)[16], int rank)
{
	int i = 0;

	while (memcmp(uuids[i], uuids[rank], 16) != 0)
		i++;
	return i == rank;
}

/*
 * One rank of each pool has its target started, and rank 0 gets the cards: those of
 * the ranks in their order.  Collective.
 */
static int gather_cards(struct adio_file *fd, int rank, struct remote_use *use, struct remote_card *mine, bool *offers)
{
	struct ad_pmem *ad = fd->fs_ptr;
	int nr, *counts = NULL, *places = NULL, len = 0, total = 0;
	uint8_t own[16], (*uuids)[16];
	int64_t rc = 0;

	PMPI_Comm_size(fd->comm, &nr);
	uuids = malloc((size_t)nr * sizeof(*uuids));
	counts = calloc((size_t)nr * 2, sizeof(*counts));
	places = counts ? counts + nr : NULL;
	rc = worst_of(fd, uuids && counts ? 0 : -ENOMEM);
	if (rc == 0) {
		pmio_pool_uuid(ad->pm, own);
		PMPI_Allgather(own, 16, MPI_BYTE, uuids, 16, MPI_BYTE, fd->comm);
		*offers = is_first_of_pool((const uint8_t (*)[16])uuids, rank);
		if (*offers)
			rc = remote_offer(ad->pm, mine);
		rc = worst_of(fd, rc);
	}
	if (rc == 0) {
		/* rank 0 could see in uuids who they are, but with a look at each for each */
		len = *offers ? (int)sizeof(*mine) : 0;
		PMPI_Gather(&len, 1, MPI_INT, counts, 1, MPI_INT, 0, fd->comm);
		for (int i = 0; i < nr && rank == 0; i++) {
			places[i] = total;
			total += counts[i];
		}
		use->nr = (uint32_t)((size_t)total / sizeof(*mine));
		if (rank == 0)
			use->cards = malloc((size_t)total);
		rc = worst_of(fd, rank != 0 || use->cards ? 0 : -ENOMEM);
	}
	if (rc == 0)
		PMPI_Gatherv(mine, len, MPI_BYTE, use->cards, counts, places, MPI_BYTE, 0, fd->comm);
	free(uuids);
	free(counts);
	return (int)rc;
}

/* pieces on several nodes would be drained apart from each other; what is held stays together */
static enum pmio_placement choose_placement(const struct ad_pmem *ad, const struct remote_use *use)
{
	enum pmio_placement p = (enum pmio_placement)ad->settings.num[PMIO_SET_PLACEMENT];

	for (uint32_t i = 1; i < use->nr; i++) {
		if (use->cards[i].chunk_size != use->cards[0].chunk_size)
			return PMIO_PLACE_SINGLE; /* chunks would be cut differently */
	}
	if (ad->settings.num[PMIO_SET_DRAIN] != PMIO_DRAIN_CLOSE)
		return PMIO_PLACE_SINGLE;
	return p == PMIO_PLACE_AUTO ? PMIO_PLACE_LOCAL : p;
}

/* what is there only in case a pool is full must not keep the file from being opened */
static bool is_of_use(const struct ad_pmem *ad, const struct remote_card *memory, const struct remote_use *use)
{
	struct remote_stat_answer_msg st;
	int rc;

	if (memory->chunk_size != use->cards[0].chunk_size) {
		pmio_warn("memory node %s is not used: its chunks have another size", memory->host);
		return false;
	}
	rc = remote_stat(&ad->settings, memory, &st);
	if (rc < 0)
		pmio_warn("memory node %s is not used: %s", memory->host, pmio_strerror(rc));
	return rc == 0;
}

/* memory nodes of setting `targets`, behind the compute nodes; their chunks must be as large */
static int add_memory_nodes(const struct ad_pmem *ad, struct remote_use *use)
{
	struct remote_card *memory, *all;
	uint32_t nr;
	int rc = remote_targets_load(ad->settings.str[PMIO_SET_TARGETS], &memory, &nr);

	if (rc < 0)
		return rc;
	all = reallocarray(use->cards, use->nr + nr, sizeof(*all));
	if (all)
		use->cards = all;
	for (uint32_t i = 0; i < nr && all; i++) {
		if (is_of_use(ad, &memory[i], use)) {
			all[use->nr++] = memory[i];
			use->nr_memory++;
		}
	}
	free(memory);
	return all ? 0 : -ENOMEM;
}

static bool has_memory_nodes(const struct ad_pmem *ad)
{
	return *ad->settings.str[PMIO_SET_TARGETS] && ad->settings.num[PMIO_SET_PLACEMENT] == PMIO_PLACE_AUTO &&
	       ad->settings.num[PMIO_SET_DRAIN] == PMIO_DRAIN_CLOSE;
}

/* rank 0: the list is there, the use begins */
static int begin_use(struct adio_file *fd, struct remote_use *use, bool *found)
{
	struct ad_pmem *ad = fd->fs_ptr;
	int rc = 0;

	use->placement = choose_placement(ad, use);
	if (use->placement == PMIO_PLACE_SINGLE)
		use->nr = 1;
	else if (has_memory_nodes(ad))
		rc = add_memory_nodes(ad, use);
	if (rc < 0)
		return rc;
	/* it was opened for this node alone; it stays as it was */
	rc = pmio_close(&ad->file);
	return rc < 0 ? rc : remote_use_begin_or_join(&ad->settings, fd->filename, use, found);
}

/* O3; collective */
static int open_on_nodes(struct adio_file *fd, int rank, int access_mode)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct remote_use use = { .nr = 0 };
	struct remote_card mine = { .chunk_size = 0 };
	struct { int64_t rc; uint32_t nr, nr_memory, placement, found; uint8_t id[REMOTE_USE_ID]; } said = { .rc = 0 };
	bool offers = false, began, found = false;
	int rc = gather_cards(fd, rank, &use, &mine, &offers);

	if (rc == 0 && rank != 0)
		pmio_close(&ad->file);
	if (rc == 0 && rank == 0) {
		said.rc = begin_use(fd, &use, &found);
		said.found = found;
		said.nr = use.nr;
		said.nr_memory = use.nr_memory;
		said.placement = use.placement;
		memcpy(said.id, use.id, sizeof(said.id));
	}
	if (rc == 0) {
		PMPI_Bcast(&said, (int)sizeof(said), MPI_BYTE, 0, fd->comm);
		rc = (int)said.rc;
	}
	began = rc == 0;
	use.nr = said.nr;
	use.nr_memory = said.nr_memory;
	use.placement = (enum pmio_placement)said.placement;
	memcpy(use.id, said.id, sizeof(use.id));
	/* before anybody asks */
	if (rc == 0 && offers && !said.found && use.placement == PMIO_PLACE_LOCAL)
		rc = remote_use_serve(&ad->settings, &mine, &use);
	for (uint32_t i = use.nr - use.nr_memory; rank == 0 && i < use.nr && rc == 0 && !said.found; i++)
		rc = remote_use_serve(&ad->settings, &use.cards[i], &use);
	rc = rc == 0 || began ? (int)worst_of(fd, rc) : rc;
	if (rc == 0)
		rc = open_by_list(fd, rank, access_mode, &use, true);
	if (rc < 0 && began && rank == 0 && !ad->file)
		leave_failed(ad, &use);
	remote_use_fini(&use);
	return rc;
}

static void compare(const struct adio_file *fd, const struct opened *root, struct opened *mine)
{
	if (mine->rc == 0 && (root->dev != mine->dev || root->ino != mine->ino)) {
		pmio_err("open %s: processes see different files under this name", fd->filename);
		mine->rc = -ESTALE;
	}
}

/* O1: rank 0 has joined a use; the others come along.  Collective */
static int join_on_nodes(struct adio_file *fd, int rank, int access_mode, const struct opened *root)
{
	const struct ad_pmem *ad = fd->fs_ptr;
	struct remote_use use = { .nr = root->nr_targets, .nr_memory = root->nr_memory, .placement = (enum pmio_placement)root->placement };
	int rc = 0;

	memcpy(use.id, root->use, sizeof(use.id));
	if (rank == 0) {
		use.cards = malloc(use.nr * sizeof(*use.cards));
		if (use.cards)
			memcpy(use.cards, remote_use_of(ad->file)->cards, use.nr * sizeof(*use.cards));
	}
	rc = open_by_list(fd, rank, access_mode, &use, false);
	remote_use_fini(&use);
	return rc;
}

/* setting `owner` */
static bool is_to_be_marked(const struct pmio_settings *s)
{
	const char *local = getenv("OMPI_COMM_WORLD_LOCAL_SIZE"), *world = getenv("OMPI_COMM_WORLD_SIZE");
	const char *nodes = getenv("SLURM_STEP_NUM_NODES");

	if (s->num[PMIO_SET_OWNER] != PMIO_OWNER_AUTO)
		return s->num[PMIO_SET_OWNER] == PMIO_OWNER_ALWAYS;
	if (local && world)
		return strcmp(local, world) != 0;
	return nodes && strcmp(nodes, "1") != 0;
}

/* rank 0 has the file open in this node's pool, alone or as all ranks have: others are to find it there */
static void mark_here(struct adio_file *fd, int access_mode, struct opened *o)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct client_open how = how_to_open(fd, access_mode, false);
	struct remote_use use = { .nr = 1, .placement = PMIO_PLACE_SINGLE };
	struct pmio_file *marked = NULL;
	bool found = false;
	int rc;

	use.cards = calloc(1, sizeof(*use.cards));
	rc = use.cards ? remote_offer(ad->pm, use.cards) : -ENOMEM;
	if (rc == 0)
		rc = remote_use_begin_or_join(&ad->settings, fd->filename, &use, &found);
	if (rc == 0) {
		if (found) /* what is open here is in nobody's way */
			rc = pmio_close(&ad->file);
		if (rc == 0)
			rc = remote_span_open(ad->pm, &ad->settings, fd->filename, &how, &use, true, &marked);
		if (rc < 0)
			leave_failed(ad, &use);
	}
	if (rc == 0) {
		pmio_close(&ad->file);
		ad->file = marked;
		if (found)
			take_identity(ad, ad->pm, o);
	} else if (!found && (rc == -EACCES || rc == -EROFS || rc == -EDQUOT || rc == -ENOSPC || rc == -ENAMETOOLONG)) {
		rc = 0; /* who cannot make it there cannot keep others from the file either */
	}
	remote_use_fini(&use);
	o->rc = rc;
}

/* all ranks are on one node; collective */
static int mark_use(struct adio_file *fd, int rank, int access_mode, struct opened *root)
{
	struct ad_pmem *ad = fd->fs_ptr;
	const uint32_t before = root->nr_targets;

	if (rank == 0)
		mark_here(fd, access_mode, root);
	PMPI_Bcast(root, (int)sizeof(*root), MPI_BYTE, 0, fd->comm);
	if (root->rc < 0 || root->nr_targets == before)
		return (int)root->rc;
	if (rank != 0)
		pmio_close(&ad->file);
	return join_on_nodes(fd, rank, access_mode, root);
}

static int open_everywhere(struct adio_file *fd, int rank, int access_mode)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct opened root, mine = { .rc = 0 };
	int64_t said[2] = { 0, 0 }; /* the worst result; -1: some rank has another pool */
	int rc;

	if (rank == 0)
		open_here(fd, access_mode, true, &mine);
	root = mine;
	PMPI_Bcast(&root, (int)sizeof(root), MPI_BYTE, 0, fd->comm);
	if (root.rc == 0 && rank != 0) {
		mine.rc = ad_pmem_pool(&ad->settings, &ad->pm);
		if (mine.rc == 0)
			pmio_pool_uuid(ad->pm, mine.uuid);
		said[1] = mine.rc == 0 && memcmp(root.uuid, mine.uuid, sizeof(mine.uuid)) != 0 ? -1 : 0;
		if (mine.rc == 0 && !root.nr_targets && !said[1]) {
			open_here(fd, access_mode, false, &mine);
			compare(fd, &root, &mine);
		}
	}
	rc = (int)root.rc;
	if (rc == 0) {
		said[0] = mine.rc;
		PMPI_Allreduce(MPI_IN_PLACE, said, 2, MPI_INT64_T, MPI_MIN, fd->comm);
		rc = (int)said[0];
	}
	if (rc == 0 && root.nr_targets)
		rc = join_on_nodes(fd, rank, access_mode, &root);
	else if (rc == 0 && (said[1] || has_memory_nodes(ad)))
		rc = open_on_nodes(fd, rank, access_mode);
	else if (rc == 0 && is_to_be_marked(&ad->settings))
		rc = mark_use(fd, rank, access_mode, &root);
	if (rc < 0)
		pmio_close(&ad->file);
	return rc;
}

/* the hidden file of the shared file pointer is ROMIO's own: an ordinary file with locks */
static void open_as_ufs(struct adio_file *fd, int rank, int access_mode, int *error)
{
	const struct romio *romio = romio_load();

	free_state(fd);
	fd->ops = romio->ufs;
	romio->ufs->open_coll(fd, rank, access_mode, error);
}

/* 0, or -ENOMEM on all ranks; whether collective calls begin together is the same for all, too */
static int begin_open(struct adio_file *fd)
{
	struct ad_pmem *ad = fd->fs_ptr;
	int all[2] = { ad ? 0 : -ENOMEM, 0 }, nr;

	PMPI_Comm_size(fd->comm, &nr);
	if (ad && nr > 1) {
		ad->together = ad_pmem_together_new(fd->comm);
		all[0] = ad->together ? 0 : -ENOMEM;
		all[1] = ad->settings.num[PMIO_SET_COLLECTIVE_ORDER] == PMIO_ORDER_ON ? -1 : 0;
	}
	PMPI_Allreduce(MPI_IN_PLACE, all, 2, MPI_INT, MPI_MIN, fd->comm);
	if (ad && all[1] == 0) {
		ad_pmem_together_free(ad->together);
		ad->together = NULL;
	}
	return all[0];
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
	rc = begin_open(fd);
	fd->access_mode = access_mode;
	fd->fd_sys = -1;
	fd->blksize = 4096;
	if (rc == 0)
		rc = open_everywhere(fd, rank, access_mode);
	if (rc == 0)
		rc = ad_pmem_choose_exchange(fd);
	if (rc < 0) {
		if (ad)
			pmio_close(&ad->file);
		free_state(fd);
		*error = ad_pmem_error(rc);
		return;
	}
	fd->blksize = (long)ad->file->chunk_size;
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
			if (worst < 0)
				remote_span_keep(ad->file);
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
	uint8_t uuid[16];
	bool deleted;
	int rc = pmio_settings_copy(&s, ad_pmem_base_settings());

	if (rc < 0)
		return ad_pmem_error(rc);
	ad_pmem_take_hints(&s, info, true);
	rc = ad_pmem_pool(&s, &pm);
	if (rc == 0) {
		pmio_pool_uuid(pm, uuid);
		deleted = remote_use_forget(&s, path, uuid);
		rc = client_delete(pm, path, true);
		if (rc == -ENOENT && deleted)
			rc = 0;
		if (rc < 0)
			ad_pmem_say_failed("delete", path, rc);
	}
	pmio_settings_fini(&s);
	return ad_pmem_error(rc);
}
