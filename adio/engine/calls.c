/*
 * calls.c -- MPI-IO calls as a whole: arguments, file pointers, split and ordered calls, views
 *
 * For adapters without ROMIO between the program and the engine.
 */
#include "engine.h"
#include "deferred.h"
#include "view.h"
#include "yielding_collectives.h"

#include <errno.h>
#include <string.h>

/* ---- open and close --------------------------------------------------------------------- */

static int take_defaults(struct pmio_mpi_file *f, int amode)
{
	off_t size = 0;

	f->complete = true;
	if ((amode & MPI_MODE_APPEND) && pmio_size(f->file, &size) < 0)
		size = 0;
	f->pos = (uint64_t)size;
	engine_shared_new(f, f->pos);
	return engine_error(engine_view_init(&f->view, 0, MPI_BYTE, MPI_BYTE));
}

int call_open(MPI_Comm comm, const char *path, bool plain, int amode, MPI_Info info, struct pmio_mpi_file **out)
{
	struct pmio_mpi_file *f = engine_new(comm, path, plain, info);
	int rc, nr;

	*out = NULL;
	PMPI_Comm_size(comm, &nr);
	if (f)
		f->shares = nr > 1;
	rc = engine_agree_and_open(comm, path, f, amode);
	if (rc == MPI_SUCCESS)
		rc = take_defaults(f, amode); /* named types take no memory: so no error on a single rank */
	if (rc != MPI_SUCCESS) {
		engine_free(f);
		return rc;
	}
	engine_look_for_strays(comm, false);
	*out = f;
	return MPI_SUCCESS;
}

int call_close(struct pmio_mpi_file *f)
{
	int rc;

	engine_look_for_strays(f->comm, true);
	rc = engine_error(engine_close(f));
	engine_free(f);
	return rc;
}

/* ---- reading and writing ------------------------------------------------------------------ */

/* an MPI error class */
static int check(const struct pmio_mpi_file *f, const struct io_call *c)
{
	MPI_Count size;

	if (c->count < 0)
		return MPI_ERR_COUNT;
	if (c->type == MPI_DATATYPE_NULL)
		return MPI_ERR_TYPE;
	if (c->pointer == POINTER_NONE && c->offset < 0)
		return MPI_ERR_ARG;
	if (c->write && (f->amode & MPI_MODE_RDONLY))
		return MPI_ERR_READ_ONLY;
	if (!c->write && (f->amode & MPI_MODE_WRONLY))
		return MPI_ERR_ACCESS;
	if ((f->amode & MPI_MODE_SEQUENTIAL) && c->pointer != POINTER_SHARED)
		return MPI_ERR_UNSUPPORTED_OPERATION;
	if (PMPI_Type_size_x(c->type, &size) != MPI_SUCCESS)
		return MPI_ERR_TYPE;
	if (f->view.etype_size > 1 && (c->count % f->view.etype_size) * (size % f->view.etype_size) % f->view.etype_size != 0)
		return MPI_ERR_IO; /* not a multiple of the elementary type */
	return MPI_SUCCESS;
}

/* the distance by which a pointer moves */
static uint64_t bytes_of(const struct io_call *c)
{
	MPI_Count size;

	PMPI_Type_size_x(c->type, &size);
	return (uint64_t)c->count * (uint64_t)size;
}

/* the last rank has moved the shared pointer for all */
struct turns_msg {
	uint64_t start;		/* where the pointer was */
	int64_t rc;
};
_Static_assert(sizeof(struct turns_msg) == 16, "as it is sent");

/* in the order of the ranks: the last one knows when all have come, and how much all of them transfer */
static int take_turns(struct pmio_mpi_file *f, uint64_t bytes, uint64_t *pos)
{
	struct turns_msg last = { 0, 0 };
	uint64_t up_to = 0;
	int rank, nr;

	PMPI_Comm_rank(f->comm, &rank);
	PMPI_Comm_size(f->comm, &nr);
	PMPI_Scan(&bytes, &up_to, 1, MPI_UINT64_T, MPI_SUM, f->comm);
	if (rank == nr - 1)
		last.rc = engine_shared_add(f, up_to, &last.start);
	PMPI_Bcast(&last, (int)sizeof(last), MPI_BYTE, nr - 1, f->comm);
	*pos = last.start + up_to - bytes;
	return (int)last.rc;
}

static int transfer(struct pmio_mpi_file *f, const struct io_call *c, uint64_t pos, uint64_t *done)
{
	engine_transfer_fn *by = c->all ? engine_transfer_all : engine_transfer;

	if (f->rep && (c->write ? f->rep->write : f->rep->read))
		return engine_transfer_user(f, by, c->buf, c->count, c->type, pos, c->write, done);
	if (f->external)
		return engine_transfer_external(f, by, c->buf, c->count, c->type, pos, c->write, done);
	return by(f, c->buf, c->count, c->type, pos, c->write, done);
}

/*
 * With the individual pointer.  Independent calls of two threads are serialized; a collective one,
 * which waits for other ranks, does not lock the pointer meanwhile.
 */
static int transfer_own(struct pmio_mpi_file *f, const struct io_call *c, uint64_t *done)
{
	uint64_t pos;
	int rc;

	pthread_mutex_lock(&f->pos_lock);
	pos = f->pos;
	if (c->all)
		pthread_mutex_unlock(&f->pos_lock);
	rc = transfer(f, c, pos, done);
	if (c->all)
		pthread_mutex_lock(&f->pos_lock);
	if (rc == 0)
		f->pos = pos + *done;
	pthread_mutex_unlock(&f->pos_lock);
	return rc;
}

static int transfer_shared(struct pmio_mpi_file *f, const struct io_call *c, uint64_t *done)
{
	uint64_t pos;
	int rc = c->all ? take_turns(f, bytes_of(c), &pos) : engine_shared_add(f, bytes_of(c), &pos);

	return rc < 0 ? rc : transfer(f, c, pos, done);
}

int call_transfer(struct pmio_mpi_file *f, const struct io_call *c, uint64_t *done)
{
	int rc = check(f, c);

	*done = 0;
	if (rc != MPI_SUCCESS)
		return rc;
	if (c->pointer == POINTER_OWN)
		rc = transfer_own(f, c, done);
	else if (c->pointer == POINTER_NONE)
		rc = transfer(f, c, engine_position(f, c->offset), done);
	else
		rc = transfer_shared(f, c, done);
	return engine_error(rc);
}

/* with the individual pointer, which moves at once, whether the transfer has ended (0) or is under way */
static int start_own(struct pmio_mpi_file *f, const struct io_call *c, uint64_t *done, MPI_Request *request)
{
	int rc;

	pthread_mutex_lock(&f->pos_lock);
	rc = engine_transfer_start(f, c->buf, c->count, c->type, f->pos, c->write, true, done, request);
	if (rc == 0 || rc == -EINPROGRESS)
		f->pos += *done;
	pthread_mutex_unlock(&f->pos_lock);
	return rc;
}

static int start(struct pmio_mpi_file *f, const struct io_call *c, uint64_t *done, MPI_Request *request)
{
	uint64_t pos = 0;
	int rc = 0;

	if (c->pointer == POINTER_OWN)
		return start_own(f, c, done, request);
	if (c->pointer == POINTER_NONE)
		pos = engine_position(f, c->offset);
	else
		rc = engine_shared_add(f, bytes_of(c), &pos);
	return rc < 0 ? rc : engine_transfer_start(f, c->buf, c->count, c->type, pos, c->write, false, done, request);
}

int call_start(struct pmio_mpi_file *f, const struct io_call *c, MPI_Request *request)
{
	int rc = check(f, c);
	uint64_t done = 0;

	*request = MPI_REQUEST_NULL;
	if (rc == MPI_SUCCESS && (f->rep || f->external)) {
		rc = call_transfer(f, c, &done); /* conversion calls MPI, or the program's functions */
	} else if (rc == MPI_SUCCESS) {
		rc = start(f, c, &done, request);
		if (rc == -EINPROGRESS)
			return MPI_SUCCESS;
		rc = engine_error(rc);
	}
	return rc == MPI_SUCCESS ? engine_request_completed(done, request) : rc;
}

int call_begin(struct pmio_mpi_file *f, const struct io_call *c)
{
	int rc;

	if (f->split)
		return MPI_ERR_IO; /* only one at a time */
	rc = call_transfer(f, c, &f->split_done);
	if (rc == MPI_SUCCESS)
		f->split = SPLIT(c->pointer, c->write);
	return rc;
}

int call_end(struct pmio_mpi_file *f, enum call_pointer pointer, bool write, MPI_Status *status)
{
	if (f->split != SPLIT(pointer, write))
		return MPI_ERR_IO;
	f->split = 0;
	engine_set_status(status, f->split_done);
	return MPI_SUCCESS;
}

/* ---- pointers -------------------------------------------------------------------------------- */

/* the target of a seek, in bytes of the view's data */
static int target(struct pmio_mpi_file *f, MPI_Offset offset, int whence, uint64_t now, uint64_t *pos)
{
	int64_t bytes, start = 0, esize = f->view.etype_size;
	off_t size;
	int rc;

	if (whence == MPI_SEEK_CUR) {
		start = (int64_t)now;
	} else if (whence == MPI_SEEK_END) {
		rc = engine_error(engine_size(f, &size));
		if (rc != MPI_SUCCESS)
			return rc;
		start = ((int64_t)engine_view_bytes(&f->view, size) + esize - 1) / esize * esize;
	} else if (whence != MPI_SEEK_SET) {
		return MPI_ERR_ARG;
	}
	if (__builtin_mul_overflow(offset, esize, &bytes) || __builtin_add_overflow(start, bytes, &bytes) || bytes < 0)
		return MPI_ERR_ARG;
	*pos = (uint64_t)bytes;
	return MPI_SUCCESS;
}

int call_seek(struct pmio_mpi_file *f, MPI_Offset offset, int whence)
{
	int rc;

	if (f->amode & MPI_MODE_SEQUENTIAL)
		return MPI_ERR_UNSUPPORTED_OPERATION;
	pthread_mutex_lock(&f->pos_lock);
	rc = target(f, offset, whence, f->pos, &f->pos);
	pthread_mutex_unlock(&f->pos_lock);
	return rc;
}

int call_position(struct pmio_mpi_file *f, MPI_Offset *offset)
{
	if (f->amode & MPI_MODE_SEQUENTIAL)
		return MPI_ERR_UNSUPPORTED_OPERATION;
	pthread_mutex_lock(&f->pos_lock);
	*offset = (MPI_Offset)f->pos / f->view.etype_size;
	pthread_mutex_unlock(&f->pos_lock);
	return MPI_SUCCESS;
}

/* do all ranks pass the same values?  Collective */
static bool all_say(const struct pmio_mpi_file *f, MPI_Offset a, MPI_Offset b)
{
	MPI_Offset mine[4] = { a, -a, b, -b }, max[4];

	PMPI_Allreduce(mine, max, 4, MPI_OFFSET, MPI_MAX, f->comm);
	return max[0] == -max[1] && max[2] == -max[3];
}

int call_seek_shared(struct pmio_mpi_file *f, MPI_Offset offset, int whence)
{
	uint64_t pos = 0, was;
	int rc;

	if (f->amode & MPI_MODE_SEQUENTIAL)
		return MPI_ERR_UNSUPPORTED_OPERATION;
	if (!all_say(f, offset, whence))
		return MPI_ERR_NOT_SAME;
	rc = engine_error(engine_shared_add(f, 0, &was));
	if (rc == MPI_SUCCESS)
		rc = target(f, offset, whence, was, &pos);
	PMPI_Allreduce(MPI_IN_PLACE, &rc, 1, MPI_INT, MPI_MAX, f->comm); /* also: all ranks have read the old position */
	return rc == MPI_SUCCESS ? engine_error(engine_shared_set(f, pos, &was)) : rc;
}

int call_position_shared(struct pmio_mpi_file *f, MPI_Offset *offset)
{
	uint64_t was;
	int rc;

	if (f->amode & MPI_MODE_SEQUENTIAL)
		return MPI_ERR_UNSUPPORTED_OPERATION;
	rc = engine_error(engine_shared_add(f, 0, &was));
	*offset = (MPI_Offset)was / f->view.etype_size;
	return rc;
}

/* ---- views --------------------------------------------------------------------------------------- */

/* an MPI error class; own: NULL: not one of the program's */
static int check_rep(const char *rep, MPI_Datatype etype, MPI_Datatype filetype, const struct datarep **own)
{
	int rc;

	*own = NULL;
	if (engine_rep_is_predefined(rep))
		return MPI_SUCCESS;
	*own = engine_datarep(rep);
	if (!*own)
		return MPI_ERR_UNSUPPORTED_DATAREP;
	rc = engine_datarep_fits(*own, etype);
	return engine_error(rc < 0 ? rc : engine_datarep_fits(*own, filetype));
}

int call_set_view(struct pmio_mpi_file *f, MPI_Offset disp, MPI_Datatype etype, MPI_Datatype filetype, const char *rep, int bad)
{
	int mine = bad == MPI_SUCCESS ? engine_check_view(f->amode, disp, etype, filetype) : bad, rc;
	const struct datarep *own = NULL;
	struct view next;
	uint64_t shared;

	engine_view_clear(&next);
	if (mine == MPI_SUCCESS)
		mine = check_rep(rep, etype, filetype, &own);
	if (mine == MPI_SUCCESS)
		mine = engine_error(engine_view_init(&next, disp, etype, filetype));
	PMPI_Allreduce(&mine, &rc, 1, MPI_INT, MPI_MAX, f->comm);
	if (rc != MPI_SUCCESS) {
		engine_view_fini(&next);
		return rc;
	}
	rc = engine_error(engine_shared_set(f, 0, &shared));
	/* in sequential mode: the byte that the shared pointer was at, in the old view */
	if (rc == MPI_SUCCESS && disp == MPI_DISPLACEMENT_CURRENT && engine_view_place(&f->view, shared, &next.disp) < 0)
		rc = MPI_ERR_ARG;
	if (rc != MPI_SUCCESS) {
		engine_view_fini(&next);
		return rc;
	}
	pthread_mutex_lock(&f->pos_lock);
	f->pos = 0;
	f->external = engine_rep_is_external(rep);
	f->rep = own;
	engine_view_fini(&f->view);
	f->view = next;
	pthread_mutex_unlock(&f->pos_lock);
	return engine_error(engine_choose_exchange(f));
}

int call_get_view(struct pmio_mpi_file *f, MPI_Offset *disp, MPI_Datatype *etype, MPI_Datatype *filetype, char *rep)
{
	*disp = f->view.disp;
	strcpy(rep, f->rep ? f->rep->name : f->external ? EXTERNAL_REP : NATIVE_REP);
	return engine_error(engine_view_types(&f->view, etype, filetype));
}

/* ---- the file's size --------------------------------------------------------------------------------- */

/* an MPI error class; collective, except for an invalid mode, which all ranks see */
static int check_size(const struct pmio_mpi_file *f, MPI_Offset size)
{
	if (f->amode & MPI_MODE_RDONLY)
		return MPI_ERR_READ_ONLY;
	if (!all_say(f, size, 0))
		return MPI_ERR_NOT_SAME;
	return size < 0 ? MPI_ERR_ARG : MPI_SUCCESS;
}

int call_set_size(struct pmio_mpi_file *f, MPI_Offset size)
{
	int rc;

	engine_later_wait(f);
	rc = check_size(f, size); /* all ranks have arrived, so no write is in progress */
	return rc == MPI_SUCCESS ? engine_error(engine_resize(f, size)) : rc;
}

int call_preallocate(struct pmio_mpi_file *f, MPI_Offset size)
{
	int rank, rc = check_size(f, size);

	if (rc != MPI_SUCCESS)
		return rc;
	PMPI_Comm_rank(f->comm, &rank);
	if (rank == 0)
		rc = engine_preallocate(f, size);
	engine_bcast(&rc, 1, MPI_INT, 0, f->comm);
	return engine_error(rc);
}

int call_size(struct pmio_mpi_file *f, MPI_Offset *size)
{
	off_t now;
	int rc = engine_error(engine_size(f, &now));

	*size = now;
	return rc;
}

/* for a file opened for reading it is only a barrier */
int call_sync(struct pmio_mpi_file *f)
{
	if (f->amode & MPI_MODE_RDONLY) {
		PMPI_Barrier(f->comm);
		return MPI_SUCCESS;
	}
	engine_meet(f);
	return engine_error(engine_flush(f));
}
