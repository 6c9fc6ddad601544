/* open.c -- opening, closing, deleting */
#include "engine.h"
#include "collective_order.h"
#include "deferred.h"
#include "shared_memory.h"
#include "view.h"
#include "yielding_collectives.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/error.h"
#include "remote/remote.h"
#include "remote/wire.h"

#define BUSY_WAIT_MS 20000 /* for a file that other processes are opening in another way */

/*
 * sync=auto: a program that does not know pmem: may access its file by other means
 * after a sync.  With drain=hold that drain is held back, too.
 */
static void choose_sync(struct pmio_settings *s, bool plain)
{
	bool drain = plain && s->num[PMIO_SET_DRAIN] != PMIO_DRAIN_HOLD;

	if (s->num[PMIO_SET_SYNC] == PMIO_SYNC_AUTO)
		pmio_settings_set(s, PMIO_SET_SYNC, drain ? "drain" : "pool", s->from[PMIO_SET_SYNC]);
}

struct pmio_mpi_file *engine_new(MPI_Comm comm, const char *path, bool plain, MPI_Info hints)
{
	struct pmio_mpi_file *f = calloc(1, sizeof(*f));
	int rank;

	if (!f)
		return NULL;
	f->comm = comm;
	f->perm = -1;
	f->shared_window = MPI_WIN_NULL;
	pthread_mutex_init(&f->atomic_lock, NULL);
	pthread_mutex_init(&f->pos_lock, NULL);
	pthread_mutex_init(&f->later_lock, NULL);
	f->path = strdup(path);
	engine_view_clear(&f->view);
	if (!f->path || pmio_settings_copy(&f->settings, engine_settings()) < 0) {
		free(f->path);
		free(f);
		return NULL;
	}
	PMPI_Comm_rank(comm, &rank);
	engine_take_hints(&f->settings, hints, rank == 0);
	choose_sync(&f->settings, plain);
	return f;
}

void engine_free(struct pmio_mpi_file *f)
{
	if (f) {
		engine_shared_free(f);
		engine_exchange_free(f->exchange);
		engine_together_free(f->together);
		engine_view_fini(&f->view);
		pmio_settings_fini(&f->settings);
		free(f->path);
	}
	free(f);
}

/* ---- open ---------------------------------------------------------------------------- */

/*
 * Ranks of one node open the file in their pool; that is all if there is one node, or if no other
 * process has the file.  Otherwise (lib/remote):
 *
 *   O1 rank 0 checks whether the file is in use on several nodes: if so, all join that layout session
 *   O2 if not, it opens the file in its pool, and all others with the same pool do too.  If these
 *      are all ranks, rank 0 makes a layout file that lists this node (setting `owner`)
 *   O3 if some have other pools: one rank of each node has its target started; rank 0 gathers the
 *      list, makes the layout file, and all open the file again, by the list
 *
 * All ranks succeed, or all fail with one error.
 */

/* rank 0's message to the others */
struct open_result_msg {
	int64_t rc;
	uint64_t dev, ino;
	uint8_t uuid[16];
	uint32_t nr_targets;	/* 0: it is in the pool of rank 0's node */
	uint32_t nr_memory, placement;
	uint8_t layout[REMOTE_LAYOUT_ID];
	uint32_t pad;
	struct memory_place shared; /* of the shared pointer */
};

/* rank 0 has begun a layout session, or joined it */
struct layout_result_msg {
	int64_t rc;
	uint32_t nr, nr_memory, placement;
	uint32_t joined;	/* others had begun it */
	uint8_t id[REMOTE_LAYOUT_ID];
};
_Static_assert(sizeof(struct open_result_msg) == 120 && sizeof(struct layout_result_msg) == 40, "as they are sent");

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

/* first: this open may create the file */
static struct client_open how_to_open(const struct pmio_mpi_file *f, int access_mode, bool first)
{
	struct client_open how = { .mode = 0666, .notice = first, .quiet = true, .no_wait = first };

	if (!first)
		access_mode &= ~(MPI_MODE_CREATE | MPI_MODE_EXCL);
	if (f->perm != -1)
		how.mode = (mode_t)f->perm;
	how.flags = open_flags(&f->settings, access_mode);
	return how;
}

static void take_identity(const struct pmio_mpi_file *f, struct pmio *pm, struct open_result_msg *o)
{
	const struct remote_layout *layout = remote_layout_of(f->file);

	client_identity(f->file, &o->dev, &o->ino);
	pmio_pool_uuid(pm, o->uuid);
	if (!layout)
		return;
	o->nr_targets = layout->nr;
	o->nr_memory = layout->nr_memory;
	o->placement = layout->placement;
	memcpy(o->layout, layout->id, sizeof(o->layout));
}

/* placement=remote, and no process has it open */
static int open_at_memory(struct pmio_mpi_file *f, const struct client_open *how, struct remote_layout *layout)
{
	int rc = remote_memory_begin(&f->settings, f->path, how, layout);

	if (rc < 0 && layout->endpoints && rc != -EBUSY)
		engine_say_failed("open", f->path, rc);
	return rc == -EBUSY ? -EAGAIN : rc;
}

static int open_in_pool(struct pmio_mpi_file *f, const struct client_open *how)
{
	int rc = client_open(f->pm, f->path, how, &f->file);

	if (rc < 0 && rc != -EBUSY)
		engine_say_failed("open", f->path, rc);
	return rc == -EBUSY ? -EAGAIN : rc;
}

/* the open has failed: a layout session that began with it has left no dirty data, whatever its marks show */
static void leave_failed(const struct pmio_mpi_file *f, const struct remote_layout *layout)
{
	remote_layout_leave(&f->settings, layout, layout->began ? REMOTE_KEEP_NOT : REMOTE_KEEP_IF_DIRTY);
}

/*
 * -EAGAIN: other processes have it open in another way: on several nodes instead of one, or on one instead of several
 */
static int try_to_open(struct pmio_mpi_file *f, const struct client_open *how, bool first)
{
	struct remote_layout layout = { .nr = 0 };
	bool remote = first && client_wants_memory_nodes(&f->settings);
	int rc = first ? remote_layout_find(&f->settings, f->path, &layout) : -ENOENT;

	if (rc == -ENAMETOOLONG) /* that of the layout file; if the file's own name is too long, its open reports it */
		rc = -ENOENT;
	if (rc == 0 && (how->flags & PMIO_OPEN_EXCL))
		rc = -EEXIST;
	if (rc == -ENOENT && remote)
		rc = open_at_memory(f, how, &layout);
	if (rc == 0)
		rc = remote_striped_open(f->pm, &f->settings, f->path, how, &layout, true, &f->file);
	else if (rc == -ENOENT && !remote)
		rc = open_in_pool(f, how);
	if (first && rc < 0 && layout.joined)
		leave_failed(f, &layout);
	if (first)
		remote_layout_fini(&layout);
	return rc;
}

/*
 * For this process only, which may be the first.  Other processes may be changing from one node
 * to several (O2, O3), or back: then it is tried again.
 */
static void open_here(struct pmio_mpi_file *f, int access_mode, bool first, struct open_result_msg *o)
{
	struct client_open how = how_to_open(f, access_mode, first);
	struct pmio_backoff b = PMIO_BACKOFF(10, BUSY_WAIT_MS, BUSY_WAIT_MS);
	int rc;

	memset(o, 0, sizeof(*o));
	o->shared.fd = -1;
	rc = engine_pool(&f->settings, &f->pm);
	if (rc == 0)
		rc = try_to_open(f, &how, first);
	while (rc == -EAGAIN && pmio_backoff_sleep(&b))
		rc = try_to_open(f, &how, first);
	if (rc == -EAGAIN) { /* it is open in another pool, and there is still no layout file through which to join */
		how.no_wait = false;
		rc = try_to_open(f, &how, first);
	}
	if (rc == -EAGAIN) {
		rc = -EBUSY;
		engine_say_failed("open", f->path, rc);
	}
	if (rc == 0)
		take_identity(f, f->pm, o);
	o->rc = rc;
}

static int64_t worst_of(const struct pmio_mpi_file *f, int64_t rc)
{
	engine_allreduce(MPI_IN_PLACE, &rc, 1, MPI_INT64_T, MPI_MIN, f->comm);
	return rc;
}

/* ---- by a list of targets ---- */

/* all ranks get rank 0's list; collective */
static int share_layout(const struct pmio_mpi_file *f, int rank, struct remote_layout *layout)
{
	int64_t rc = 0;

	if (rank != 0)
		layout->endpoints = malloc(layout->nr * sizeof(*layout->endpoints));
	if (!layout->endpoints)
		rc = -ENOMEM;
	rc = worst_of(f, rc);
	if (rc == 0)
		engine_bcast(layout->endpoints, (int)(layout->nr * sizeof(*layout->endpoints)), MPI_BYTE, 0, f->comm);
	return (int)rc;
}

/* collective; all ranks have the list; rank 0 has the file open already if it has joined an existing layout session */
static int open_by_list(struct pmio_mpi_file *f, int rank, int access_mode, struct remote_layout *layout, bool joined)
{
	struct client_open how = how_to_open(f, access_mode, false);
	uint64_t dev, ino = 0, root_ino;
	int rc = 0;

	if (!f->file)
		rc = remote_striped_open(f->pm, &f->settings, f->path, &how, layout, joined && rank == 0, &f->file);
	/* device numbers differ between nodes */
	if (rc == 0)
		client_identity(f->file, &dev, &ino);
	root_ino = ino;
	rc = (int)worst_of(f, rc);
	if (rc < 0)
		return rc;
	engine_bcast(&root_ino, 1, MPI_UINT64_T, 0, f->comm);
	if (root_ino != ino) {
		pmio_err("open %s: the ranks see different files under this path", f->path);
		rc = -ESTALE;
	}
	rc = (int)worst_of(f, rc);
	f->on_nodes = rc == 0;
	return rc;
}

/* is the rank the first one with its pool?  uuids[i] is rank i's */
static bool is_first_of_pool(const uint8_t (*uuids)[16], int rank)
{
	int i = 0;

	while (memcmp(uuids[i], uuids[rank], 16) != 0)
		i++;
	return i == rank;
}

/* the pools of all ranks, in their order; owned by the caller, also after an error.  Collective */
static int gather_pools(struct pmio_mpi_file *f, uint8_t (**uuids)[16], int *nr)
{
	uint8_t own[16];
	int64_t rc;

	PMPI_Comm_size(f->comm, nr);
	*uuids = malloc((size_t)*nr * sizeof(**uuids));
	rc = worst_of(f, *uuids ? 0 : -ENOMEM);
	if (rc == 0) {
		pmio_pool_uuid(f->pm, own);
		PMPI_Allgather(own, sizeof(own), MPI_BYTE, *uuids, sizeof(own), MPI_BYTE, f->comm);
	}
	return (int)rc;
}

/* do several ranks have this one's pool?  Then their calls go through its node's target */
static bool has_neighbours(const uint8_t (*uuids)[16], int nr, int rank)
{
	int here = 0;

	for (int i = 0; i < nr && here < 2; i++)
		here += memcmp(uuids[i], uuids[rank], sizeof(uuids[i])) == 0;
	return here > 1;
}

/*
 * One rank of each pool has its target started, and rank 0 gets the endpoint descriptors, in the order
 * of the ranks.  Collective.
 */
static int gather_endpoints(struct pmio_mpi_file *f, int rank, struct remote_layout *layout, struct remote_endpoint *mine, bool *advertises,
			    bool *neighbours)
{
	int nr, *counts = NULL, *places = NULL, len = 0, total = 0;
	uint8_t (*uuids)[16];
	int64_t rc = gather_pools(f, &uuids, &nr);

	if (rc == 0) {
		counts = calloc((size_t)nr * 2, sizeof(*counts));
		places = counts ? counts + nr : NULL;
		rc = worst_of(f, counts ? 0 : -ENOMEM);
	}
	if (rc == 0) {
		*advertises = is_first_of_pool((const uint8_t (*)[16])uuids, rank);
		*neighbours = has_neighbours((const uint8_t (*)[16])uuids, nr, rank);
		if (*advertises)
			rc = remote_advertise(f->pm, mine);
		rc = worst_of(f, rc);
	}
	if (rc == 0) {
		/* rank 0 could find these ranks from uuids, but only by comparing each with each */
		len = *advertises ? (int)sizeof(*mine) : 0;
		PMPI_Gather(&len, 1, MPI_INT, counts, 1, MPI_INT, 0, f->comm);
		for (int i = 0; i < nr && rank == 0; i++) {
			places[i] = total;
			total += counts[i];
		}
		layout->nr = (uint32_t)((size_t)total / sizeof(*mine));
		if (rank == 0)
			layout->endpoints = malloc((size_t)total);
		rc = worst_of(f, rank != 0 || layout->endpoints ? 0 : -ENOMEM);
	}
	if (rc == 0)
		PMPI_Gatherv(mine, len, MPI_BYTE, layout->endpoints, counts, places, MPI_BYTE, 0, f->comm);
	free(uuids);
	free(counts);
	return (int)rc;
}

/* rank 0: the list is complete, begin the layout session */
static int begin_layout(struct pmio_mpi_file *f, struct remote_layout *layout, bool *found)
{
	int rc = remote_layout_complete(&f->settings, layout);

	if (rc < 0)
		return rc;
	/* it was open as a file of this node alone */
	rc = pmio_close(&f->file);
	return rc < 0 ? rc : remote_layout_begin_or_join(&f->settings, f->path, layout, found);
}

/* this node's target, and its share of the memory nodes, answer claims from now on */
static int serve_claims(const struct pmio_mpi_file *f, const struct remote_layout *layout, const struct remote_endpoint *mine)
{
	const uint32_t nr_nodes = layout->nr - layout->nr_memory;
	uint32_t own = 0;
	int rc = remote_placement_has_claims(layout) ? remote_layout_serve(&f->settings, mine, layout) : 0;

	while (own < nr_nodes && memcmp(layout->endpoints[own].uuid, mine->uuid, sizeof(mine->uuid)) != 0)
		own++;
	if (rc == 0 && own < nr_nodes && layout->nr_memory)
		rc = remote_layout_serve_all(&f->settings, layout, nr_nodes + own, nr_nodes);
	return rc;
}

/* O3; collective */
static int open_on_nodes(struct pmio_mpi_file *f, int rank, int access_mode)
{
	struct remote_layout layout = { .nr = 0 };
	struct remote_endpoint mine = { .chunk_size = 0 };
	struct layout_result_msg root = { .rc = 0 };
	bool advertises = false, neighbours = false, began, found = false;
	int rc = gather_endpoints(f, rank, &layout, &mine, &advertises, &neighbours);

	if (rc == 0 && rank != 0)
		pmio_close(&f->file);
	if (rc == 0 && rank == 0) {
		root.rc = begin_layout(f, &layout, &found);
		root.joined = found;
		root.nr = layout.nr;
		root.nr_memory = layout.nr_memory;
		root.placement = layout.placement;
		memcpy(root.id, layout.id, sizeof(root.id));
	}
	if (rc == 0) {
		engine_bcast(&root, (int)sizeof(root), MPI_BYTE, 0, f->comm);
		rc = (int)root.rc;
	}
	began = rc == 0;
	layout.nr = root.nr;
	layout.nr_memory = root.nr_memory;
	layout.relays = neighbours;
	layout.placement = (enum pmio_placement)root.placement;
	memcpy(layout.id, root.id, sizeof(layout.id));
	if (rc == 0)
		rc = share_layout(f, rank, &layout);
	/* before any rank asks for claims */
	if (rc == 0 && advertises && !root.joined)
		rc = serve_claims(f, &layout, &mine);
	rc = rc == 0 || began ? (int)worst_of(f, rc) : rc;
	if (rc == 0)
		rc = open_by_list(f, rank, access_mode, &layout, true);
	if (rc < 0 && began && rank == 0 && !f->file)
		leave_failed(f, &layout);
	remote_layout_fini(&layout);
	return rc;
}

static void compare(const struct pmio_mpi_file *f, const struct open_result_msg *root, struct open_result_msg *mine)
{
	if (mine->rc == 0 && (root->dev != mine->dev || root->ino != mine->ino)) {
		pmio_err("open %s: the ranks see different files under this path", f->path);
		mine->rc = -ESTALE;
	}
}

/* O1: rank 0 has joined a layout session; the others join it, too.  Collective */
static int join_on_nodes(struct pmio_mpi_file *f, int rank, int access_mode, const struct open_result_msg *root)
{
	struct remote_layout layout = { .nr = root->nr_targets, .nr_memory = root->nr_memory, .placement = (enum pmio_placement)root->placement };
	uint8_t (*uuids)[16];
	int nr, rc = gather_pools(f, &uuids, &nr);

	if (rc == 0)
		layout.relays = has_neighbours((const uint8_t (*)[16])uuids, nr, rank);
	free(uuids);
	memcpy(layout.id, root->layout, sizeof(layout.id));
	if (rank == 0) {
		layout.endpoints = malloc(layout.nr * sizeof(*layout.endpoints));
		if (layout.endpoints)
			memcpy(layout.endpoints, remote_layout_of(f->file)->endpoints, layout.nr * sizeof(*layout.endpoints));
	}
	if (rc == 0)
		rc = share_layout(f, rank, &layout);
	if (rc == 0)
		rc = open_by_list(f, rank, access_mode, &layout, false);
	remote_layout_fini(&layout);
	return rc;
}

/* rank 0 has the file open in this node's pool, alone or with all ranks: let other jobs find it there */
static void mark_here(struct pmio_mpi_file *f, int access_mode, struct open_result_msg *o)
{
	struct client_open how = how_to_open(f, access_mode, false);
	bool found;
	int rc = remote_share(f->pm, &f->settings, f->path, &how, false, &f->file, &found);

	if (rc == 0 && found)
		take_identity(f, f->pm, o);
	o->rc = rc;
}

/* all ranks are on one node; collective */
static int mark_use(struct pmio_mpi_file *f, int rank, int access_mode, struct open_result_msg *root)
{
	const uint32_t before = root->nr_targets;

	if (rank == 0)
		mark_here(f, access_mode, root);
	engine_bcast(root, (int)sizeof(*root), MPI_BYTE, 0, f->comm);
	if (root->rc < 0 || root->nr_targets == before)
		return (int)root->rc;
	if (rank != 0)
		pmio_close(&f->file);
	return join_on_nodes(f, rank, access_mode, root);
}

static int open_everywhere(struct pmio_mpi_file *f, int rank, int access_mode)
{
	struct open_result_msg root, mine = { .rc = 0 };
	int64_t worst[3] = { 0, 0, 0 }; /* result; -1: some rank has another pool; -1: some rank does not find the shared word */
	int rc;

	if (rank == 0)
		open_here(f, access_mode, true, &mine);
	if (rank == 0 && mine.rc == 0 && f->shares)
		engine_shared_make(f, &mine.shared);
	root = mine;
	engine_bcast(&root, (int)sizeof(root), MPI_BYTE, 0, f->comm);
	if (root.rc == 0 && rank != 0) {
		mine.rc = engine_pool(&f->settings, &f->pm);
		if (mine.rc == 0)
			pmio_pool_uuid(f->pm, mine.uuid);
		worst[1] = mine.rc == 0 && memcmp(root.uuid, mine.uuid, sizeof(mine.uuid)) != 0 ? -1 : 0;
		if (mine.rc == 0 && !root.nr_targets && !worst[1]) {
			open_here(f, access_mode, false, &mine);
			compare(f, &root, &mine);
		}
		worst[2] = f->shares && !engine_shared_find(f, &root.shared) ? -1 : 0;
	}
	rc = (int)root.rc;
	if (rc == 0) {
		worst[0] = mine.rc;
		engine_allreduce(MPI_IN_PLACE, worst, 3, MPI_INT64_T, MPI_MIN, f->comm);
		rc = (int)worst[0];
		if (worst[2])
			engine_shared_free(f);
	}
	if (rc == 0 && root.nr_targets)
		rc = join_on_nodes(f, rank, access_mode, &root);
	else if (rc == 0 && (worst[1] || client_spills(&f->settings)))
		rc = open_on_nodes(f, rank, access_mode);
	else if (rc == 0 && client_wants_mark(&f->settings))
		rc = mark_use(f, rank, access_mode, &root);
	if (rc < 0)
		pmio_close(&f->file);
	return rc;
}

/*
 * 0, or -ENOMEM on all ranks; whether collective calls begin together is also the same on all.  amode: from
 * engine_say_amode(), then the result of all ranks; NULL: they have agreed
 */
static int begin_open(MPI_Comm comm, struct pmio_mpi_file *f, int *amode)
{
	int all[2 + AMODE_SAYS] = { !f, 0 }, nr; /* is a rank out of memory?  does a rank want the order? */

	PMPI_Comm_size(comm, &nr);
	if (f && nr > 1) {
		f->together = engine_together_new(comm);
		all[0] = !f->together;
		all[1] = f->settings.num[PMIO_SET_COLLECTIVE_ORDER] == PMIO_ORDER_ON;
	}
	if (amode)
		memcpy(&all[2], amode, AMODE_SAYS * sizeof(*amode));
	engine_allreduce(MPI_IN_PLACE, all, amode ? 2 + AMODE_SAYS : 2, MPI_INT, MPI_MAX, comm);
	if (amode)
		memcpy(amode, &all[2], AMODE_SAYS * sizeof(*amode));
	if (f && !all[1]) {
		engine_together_free(f->together);
		f->together = NULL;
	}
	return all[0] ? -ENOMEM : 0;
}

static int open_begun(struct pmio_mpi_file *f, int amode)
{
	int rank, rc;

	f->amode = amode;
	PMPI_Comm_rank(f->comm, &rank);
	rc = open_everywhere(f, rank, amode);
	if (rc == 0)
		rc = engine_choose_exchange(f);
	if (rc < 0)
		pmio_close(&f->file);
	else
		engine_left_add(f);
	return rc;
}

int engine_open(MPI_Comm comm, struct pmio_mpi_file *f, int amode)
{
	int rc = begin_open(comm, f, NULL);

	return rc < 0 ? rc : open_begun(f, amode);
}

int engine_agree_and_open(MPI_Comm comm, const char *path, struct pmio_mpi_file *f, int amode)
{
	int votes[AMODE_SAYS], rc, bad;

	engine_say_amode(amode, votes);
	rc = begin_open(comm, f, votes);
	bad = engine_hear_amode(comm, path, amode, votes);
	if (bad != MPI_SUCCESS)
		return bad;
	return engine_error(rc < 0 ? rc : open_begun(f, amode));
}

int engine_open_alone(struct pmio_mpi_file *f, int amode)
{
	struct open_result_msg o;

	f->amode = amode;
	open_here(f, amode, true, &o);
	if (o.rc == 0)
		engine_left_add(f);
	return (int)o.rc;
}

/* ---- close ------------------------------------------------------------------------------ */

static int close_here(struct pmio_mpi_file *f)
{
	engine_later_end(f);
	return f->amode & MPI_MODE_DELETE_ON_CLOSE ? pmio_close_discard(&f->file) : pmio_close(&f->file);
}

/*
 * If a file of several nodes has been deleted, the last close on a node frees the pieces in its pool: so no rank closes
 * before all have ended their transfers
 */
static void end_transfers(struct pmio_mpi_file *f)
{
	if (!f->on_nodes)
		return;
	engine_later_wait(f);
	engine_barrier(f->comm);
}

/*
 * Rank 0 closes after all others: its answer tells whether the data are on the PFS.  If
 * a rank closes by itself (another one could not open), it neither waits nor shares the
 * result.
 */
int engine_close(struct pmio_mpi_file *f)
{
	int rank = 0, rc = 0, worst;

	engine_left_remove(f);
	if (!f->complete)
		return close_here(f);
	end_transfers(f);
	PMPI_Comm_rank(f->comm, &rank);
	if (rank != 0)
		rc = close_here(f);
	engine_reduce(&rc, &worst, 1, MPI_INT, MPI_MIN, 0, f->comm);
	if (rank == 0) {
		if (worst < 0)
			remote_striped_keep(f->file);
		engine_shared_close(f);
		rc = close_here(f);
		rc = worst < rc ? worst : rc;
	}
	engine_bcast(&rc, 1, MPI_INT, 0, f->comm);
	return rc;
}

int engine_delete(const char *path, MPI_Info info)
{
	struct pmio_settings s;
	struct pmio *pm;
	uint8_t uuid[16];
	bool deleted;
	int rc = pmio_settings_copy(&s, engine_settings());

	if (rc < 0)
		return rc;
	engine_take_hints(&s, info, true);
	rc = engine_pool(&s, &pm);
	if (rc == 0) {
		pmio_pool_uuid(pm, uuid);
		deleted = remote_layout_forget(&s, path, uuid);
		rc = client_delete(pm, path, true);
		if (rc == -ENOENT && deleted)
			rc = 0;
		if (rc < 0)
			engine_say_failed("delete", path, rc);
	}
	pmio_settings_fini(&s);
	return rc;
}
