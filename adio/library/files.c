/* files.c -- calls on pmio files: decoded, carried out by the engine, results encoded for the program's MPI */
#include "engine/engine.h"
#include "engine/yielding_collectives.h"
#include "library.h"

#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHADOW "/dev/null"

/* the MPI's own function of that name */
#define MPI_OWN(name) ((__typeof__(&MPI_File_##name))(void (*)(void))library_next(true, LIBRARY_##name))

/* ---- functions that the engine needs from an adapter ------------------------------------------------- */

/*
 * the parameters of Open MPI's component also work here: mpirun puts "--mca io_pmem_drain hold" into the environment of
 * the ranks
 */
void adapter_add_settings(struct pmio_settings *s)
{
	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		enum pmio_setting setting = (enum pmio_setting)i;
		const char *value;
		char name[64];

		snprintf(name, sizeof(name), "OMPI_MCA_io_pmem_%s", pmio_setting_info(setting)->name);
		value = secure_getenv(name);
		if (value && *value)
			pmio_settings_set(s, setting, value, PMIO_FROM_MCA);
	}
}

/* no lock is held around calls */
void adapter_leave(void)
{
}

void adapter_enter(void)
{
}

void adapter_progress(MPI_Comm comm)
{
	int found;

	PMPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm, &found, MPI_STATUS_IGNORE);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static int open_for_us_alone(MPI_Info info, MPI_File *shadow);

/* is the handler of MPI_FILE_NULL, which new files inherit, MPI_ERRORS_RETURN? */
static bool is_handler_quiet(void)
{
	MPI_Errhandler handler;
	bool quiet;

	if (PMPI_File_get_errhandler(MPI_FILE_NULL, &handler) != MPI_SUCCESS)
		return true;
	quiet = handler == MPI_ERRORS_RETURN;
	PMPI_Errhandler_free(&handler);
	return quiet;
}

/* Open MPI does not call it for MPI_FILE_NULL, so a file with the same handler is opened */
static void call_default_handler(int rc)
{
	MPI_File file;

	if (!library_is_openmpi) {
		PMPI_File_call_errhandler(MPI_FILE_NULL, rc);
	} else if (!is_handler_quiet() && open_for_us_alone(MPI_INFO_NULL, &file) == MPI_SUCCESS) {
		PMPI_File_call_errhandler(file, rc);
		MPI_OWN(close)(&file);
	}
}

/* the result for the program: by the error handler of its file, or that of MPI_FILE_NULL if there is no file */
static int answer(const struct shadow_handle *h, int rc)
{
	if (rc == MPI_SUCCESS)
		return rc;
	if (h)
		PMPI_File_call_errhandler((MPI_File)h->shadow, rc);
	else
		call_default_handler(rc);
	return rc;
}

int library_after_close(enum library_call call)
{
	pmio_err("%s: this file handle is already closed", library_names[call]);
	return answer(NULL, MPI_ERR_FILE);
}

/* ---- open, close, delete ------------------------------------------------------------------------ */

static MPI_Comm asking; /* with MPI_ERRORS_RETURN, for calls that may fail; exists from get_ready() until MPI ends */

static void free_asking(void)
{
	PMPI_Comm_free(&asking);
}

/* standard MPI cannot tell whether a type is committed, but it has calls that refuse uncommitted ones */
static int check_committed(MPI_Datatype type)
{
	MPI_Request request;
	char nothing = 0;

	if (type == MPI_DATATYPE_NULL)
		return MPI_ERR_ARG;
	/* never started */
	if (PMPI_Send_init(&nothing, 1, type, MPI_PROC_NULL, 0, asking, &request) != MPI_SUCCESS)
		return MPI_ERR_TYPE;
	PMPI_Request_free(&request);
	return MPI_SUCCESS;
}

static void get_ready(void)
{
	if (!engine_start_until_finalize(free_asking))
		return;
	PMPI_Comm_dup(MPI_COMM_SELF, &asking);
	PMPI_Comm_set_errhandler(asking, MPI_ERRORS_RETURN);
}

bool library_has_mpi(void)
{
	int initialized = 0, finalized = 0;

	PMPI_Initialized(&initialized);
	PMPI_Finalized(&finalized);
	return initialized && !finalized;
}

bool library_wants(const char *name)
{
	if (!engine_path(name))
		return false;
	if (library_has_mpi())
		return true;
	pmio_err("%s: MPI is not initialised", name);
	return false; /* the MPI reports the error */
}

void library_look_at_name(word comm, word name)
{
	int initialized = 0;

	PMPI_Initialized(&initialized);
	if (initialized)
		engine_look_at_name((MPI_Comm)comm, (const char *)name);
}

static int check_comm(MPI_Comm comm)
{
	int inter;

	if (comm == MPI_COMM_NULL)
		return MPI_ERR_COMM;
	PMPI_Comm_test_inter(comm, &inter);
	return inter ? MPI_ERR_COMM : MPI_SUCCESS;
}

/* programs that this one executes do not need the shadow, but some MPIs let them inherit it */
static int open_for_us_alone(MPI_Info info, MPI_File *shadow)
{
	int fd = open(SHADOW, O_RDONLY | O_CLOEXEC), rc;
	struct stat was, is;

	if (fd >= 0) {
		fstat(fd, &was);
		close(fd);
	}
	rc = MPI_OWN(open)(MPI_COMM_SELF, SHADOW, MPI_MODE_RDWR, info, shadow);
	/*
	 * the shadow most likely got the same number; if not, the number belongs to another thread, and at most to an
	 * open of the same file
	 */
	if (rc == MPI_SUCCESS && fd >= 0 && fstat(fd, &is) == 0 && is.st_rdev == was.st_rdev && S_ISCHR(is.st_mode))
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	return rc;
}

/* with the program's hints, so that the MPI's own ROMIO shows what it makes of them */
static int open_shadow(MPI_Info info, MPI_File *shadow)
{
	MPI_Info good = engine_good_hints(info);
	int rc = open_for_us_alone(good, shadow);

	if (good != info)
		PMPI_Info_free(&good);
	return rc;
}

/*
 * comm belongs to the file; collective; h NULL: this rank is out of memory.  The shadow is opened last: a failed open has
 * none, so that the MPI does no more for it than for a failed open of its own.
 */
static int open_on(MPI_Comm comm, const char *name, int amode, MPI_Info info, struct shadow_handle *h)
{
	const char *path = engine_path(name);
	MPI_File shadow = MPI_FILE_NULL;
	struct pmio_mpi_file *file;
	int rc = call_open(comm, path, path == name, amode, info, &file), mine;

	if (rc != MPI_SUCCESS)
		return rc;
	mine = h ? open_shadow(info, &shadow) : MPI_ERR_NO_MEM;
	if (h && mine != MPI_SUCCESS)
		pmio_err("%s: the MPI cannot open %s, which is needed to create the file's handle", name, SHADOW);
	engine_allreduce(&mine, &rc, 1, MPI_INT, MPI_MAX, comm);
	if (rc == MPI_SUCCESS) {
		h->shadow = (word)shadow;
		h->file = file;
		return MPI_SUCCESS;
	}
	if (shadow != MPI_FILE_NULL)
		MPI_OWN(close)(&shadow);
	call_close(file);
	return rc;
}

static int is_component(struct dl_phdr_info *object, size_t size, void *found)
{
	const char *slash = strrchr(object->dlpi_name, '/');

	(void)size;
	*(bool *)found |= slash && strcmp(slash, "/mca_io_pmem.so") == 0;
	return *(bool *)found;
}

/* once per job.  Open MPI loads its components at the first open, at the latest that of the shadow */
static void look_for_component(void)
{
	static atomic_flag looked = ATOMIC_FLAG_INIT;
	bool found = false;
	int rank;

	if (atomic_flag_test_and_set(&looked))
		return;
	PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
	dl_iterate_phdr(is_component, &found);
	if (found && rank == 0)
		pmio_warn("the component mca_io_pmem.so and %s are both loaded: the library is used", LIBRARY_FILE);
}

static int open_file(MPI_Comm comm, const char *name, int amode, MPI_Info info, MPI_File *file)
{
	struct shadow_handle *h;
	MPI_Comm dup;
	int rc = check_comm(comm);

	*file = MPI_FILE_NULL;
	if (rc == MPI_SUCCESS)
		rc = PMPI_Comm_dup(comm, &dup);
	if (rc != MPI_SUCCESS)
		return rc;
	get_ready();
	h = calloc(1, sizeof(*h));
	rc = open_on(dup, name, amode, info, h);
	look_for_component();
	if (rc != MPI_SUCCESS) {
		free(h);
		PMPI_Comm_free(&dup);
		return rc;
	}
	library_add(h);
	*file = (MPI_File)h->shadow;
	return MPI_SUCCESS;
}

int library_open(word comm, word name, word amode, word info, word *file)
{
	return answer(NULL, open_file((MPI_Comm)comm, (const char *)name, (int)amode, (MPI_Info)info, (MPI_File *)file));
}

int library_close(struct shadow_handle *h, word *file)
{
	MPI_Comm comm = h->file->comm;
	int rc = call_close(h->file);

	answer(h, rc);
	library_remove(h);
	MPI_OWN(close)((MPI_File *)file);
	PMPI_Comm_free(&comm);
	free(h);
	return rc;
}

int library_delete(word name, word info)
{
	get_ready();
	return answer(NULL, engine_error(engine_delete(engine_path((const char *)name), (MPI_Info)info)));
}

/* ---- data representations ------------------------------------------------------------------------------ */

int library_register_datarep(bool large, bool fortran, word name, word read, word write, word extent, word extra)
{
	struct datarep r = { .large = large, .extra = (void *)extra };
	int rc;

	if (strlen((const char *)name) >= sizeof(r.name))
		return answer(NULL, MPI_ERR_ARG);
	strcpy(r.name, (const char *)name);
	r.read = (MPI_Datarep_conversion_function *)read; /* or the one with MPI_Count, which has the same place */
	r.write = (MPI_Datarep_conversion_function *)write;
	r.extent = (MPI_Datarep_extent_function *)extent;
	rc = engine_datarep_check(&r);
	if (rc == MPI_SUCCESS && fortran && !library_call_fortran(&r))
		rc = MPI_ERR_NO_MEM;
	return answer(NULL, rc == MPI_SUCCESS ? engine_datarep_add(&r) : rc);
}

/* ---- reading and writing ---------------------------------------------------------------------------- */

static int transfer(struct shadow_handle *h, const struct io_call *c, MPI_Status *status)
{
	uint64_t done;
	int rc = call_transfer(h->file, c, &done);

	engine_set_status(status, done);
	return answer(h, rc);
}

static int transfer_nonblocking(struct shadow_handle *h, const struct io_call *c, MPI_Request *request)
{
	return answer(h, call_start(h->file, c, request));
}

static int begin(struct shadow_handle *h, const struct io_call *c)
{
	return answer(h, call_begin(h->file, c));
}

#define CALL(p, at, all_, write_) \
	&(struct io_call){ .pointer = POINTER_##p, .all = all_, .write = write_, .offset = at, .buf = buf, .count = count, .type = type }
#define AT(name, count_t, p, all, write) \
	static int do_##name(struct shadow_handle *h, MPI_Offset at, void *buf, count_t count, MPI_Datatype type, MPI_Status *status) \
	{ \
		return transfer(h, CALL(p, at, all, write), status); \
	}
#define IAT(name, count_t, p, all, write) \
	static int do_##name(struct shadow_handle *h, MPI_Offset at, void *buf, count_t count, MPI_Datatype type, MPI_Request *request) \
	{ \
		return transfer_nonblocking(h, CALL(p, at, all, write), request); \
	}
#define HERE(name, count_t, p, all, write) \
	static int do_##name(struct shadow_handle *h, void *buf, count_t count, MPI_Datatype type, MPI_Status *status) \
	{ \
		return transfer(h, CALL(p, 0, all, write), status); \
	}
#define IHERE(name, count_t, p, all, write) \
	static int do_##name(struct shadow_handle *h, void *buf, count_t count, MPI_Datatype type, MPI_Request *request) \
	{ \
		return transfer_nonblocking(h, CALL(p, 0, all, write), request); \
	}
#define BEGIN_AT(name, count_t, p, all, write) \
	static int do_##name(struct shadow_handle *h, MPI_Offset at, void *buf, count_t count, MPI_Datatype type) \
	{ \
		return begin(h, CALL(p, at, all, write)); \
	}
#define BEGIN_HERE(name, count_t, p, all, write) \
	static int do_##name(struct shadow_handle *h, void *buf, count_t count, MPI_Datatype type) \
	{ \
		return begin(h, CALL(p, 0, all, write)); \
	}
#define END(name, p, write) \
	static int do_##name(struct shadow_handle *h, const void *buf, MPI_Status *status) \
	{ \
		(void)buf; \
		return answer(h, call_end(h->file, POINTER_##p, write, status)); \
	}

#define X(name, form, p, all, write) form(name, int, p, all, write)
LIBRARY_TRANSFERS(X)
#undef X
LIBRARY_ENDS(END)
#ifdef HAVE_LARGE_COUNTS
#define X(name, form, p, all, write) form(name##_c, MPI_Count, p, all, write)
LIBRARY_TRANSFERS(X)
#undef X
#endif

/* ---- other calls --------------------------------------------------------------------------------------- */

static int do_set_size(struct shadow_handle *h, MPI_Offset size)
{
	return answer(h, call_set_size(h->file, size));
}

static int do_preallocate(struct shadow_handle *h, MPI_Offset size)
{
	return answer(h, call_preallocate(h->file, size));
}

static int do_get_size(struct shadow_handle *h, MPI_Offset *size)
{
	return answer(h, call_size(h->file, size));
}

static int do_get_group(struct shadow_handle *h, MPI_Group *group)
{
	return answer(h, PMPI_Comm_group(h->file->comm, group));
}

static int do_get_amode(struct shadow_handle *h, int *amode)
{
	*amode = h->file->amode;
	return MPI_SUCCESS;
}

/* pmio's hints only matter for an open; the MPI's handle keeps the others */
static int give_hints(struct shadow_handle *h, MPI_Info info)
{
	MPI_Info good = engine_good_hints(info);
	int rc = good == MPI_INFO_NULL ? MPI_SUCCESS : MPI_OWN(set_info)((MPI_File)h->shadow, good);

	if (good != info)
		PMPI_Info_free(&good);
	return rc;
}

static int do_set_info(struct shadow_handle *h, MPI_Info info)
{
	PMPI_Barrier(h->file->comm);
	return give_hints(h, info);
}

static int do_get_info(struct shadow_handle *h, MPI_Info *info)
{
	int rc = MPI_OWN(get_info)((MPI_File)h->shadow, info);

	if (rc == MPI_SUCCESS) {
		engine_show_hints(&h->file->settings, *info);
		PMPI_Info_set(*info, "romio_filesystem_type", "PMEM: pmio, files in persistent memory");
	}
	return rc;
}

/*
 * MPICH's error codes are more specific than their class.  rc: why the view was refused; if that is its displacement,
 * return the MPI's own code for it, also if it is MPI_DISPLACEMENT_CURRENT, which is -1 in the MPI-5.0 ABI.  Uses types
 * that are always valid, as ROMIO ends the program for some others.
 */
static int own_code(struct shadow_handle *h, int rc, MPI_Offset disp)
{
	MPI_File shadow = (MPI_File)h->shadow;
	MPI_Errhandler handler;
	int own, class;

	if (library_is_openmpi || disp >= 0 || PMPI_File_get_errhandler(shadow, &handler) != MPI_SUCCESS)
		return rc;
	PMPI_File_set_errhandler(shadow, MPI_ERRORS_RETURN);
	own = MPI_OWN(set_view)(shadow, disp, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL);
	PMPI_File_set_errhandler(shadow, handler);
	PMPI_Errhandler_free(&handler);
	return PMPI_Error_class(own, &class) == MPI_SUCCESS && class == rc ? own : rc;
}

static int do_set_view(struct shadow_handle *h, MPI_Offset disp, MPI_Datatype etype, MPI_Datatype filetype, const char *rep, MPI_Info info)
{
	int bad = check_committed(etype), rc;

	if (bad == MPI_SUCCESS)
		bad = check_committed(filetype);
	rc = call_set_view(h->file, disp, etype, filetype, rep, bad);
	return rc == MPI_SUCCESS ? give_hints(h, info) : answer(h, own_code(h, rc, disp));
}

static int do_get_view(struct shadow_handle *h, MPI_Offset *disp, MPI_Datatype *etype, MPI_Datatype *filetype, char *rep)
{
	return answer(h, call_get_view(h->file, disp, etype, filetype, rep));
}

static int do_seek(struct shadow_handle *h, MPI_Offset offset, int whence)
{
	return answer(h, call_seek(h->file, offset, whence));
}

static int do_get_position(struct shadow_handle *h, MPI_Offset *offset)
{
	return answer(h, call_position(h->file, offset));
}

static int do_get_byte_offset(struct shadow_handle *h, MPI_Offset offset, MPI_Offset *place)
{
	return answer(h, engine_byte_offset(h->file, offset, place));
}

static int do_seek_shared(struct shadow_handle *h, MPI_Offset offset, int whence)
{
	return answer(h, call_seek_shared(h->file, offset, whence));
}

static int do_get_position_shared(struct shadow_handle *h, MPI_Offset *offset)
{
	return answer(h, call_position_shared(h->file, offset));
}

static int do_get_type_extent(struct shadow_handle *h, MPI_Datatype type, MPI_Aint *extent)
{
	MPI_Aint lb;

	if (type == MPI_DATATYPE_NULL)
		return answer(h, MPI_ERR_TYPE);
	return answer(h, PMPI_Type_get_extent(type, &lb, extent));
}

#ifdef HAVE_LARGE_COUNTS
static int do_get_type_extent_c(struct shadow_handle *h, MPI_Datatype type, MPI_Count *extent)
{
	MPI_Aint small = 0;
	int rc = do_get_type_extent(h, type, &small);

	*extent = small;
	return rc;
}
#endif

static int do_set_atomicity(struct shadow_handle *h, int flag)
{
	return answer(h, engine_set_atomicity(h->file, flag));
}

static int do_get_atomicity(struct shadow_handle *h, int *flag)
{
	*flag = h->file->atomic;
	return MPI_SUCCESS;
}

static int do_sync(struct shadow_handle *h)
{
	return answer(h, call_sync(h->file));
}

/*
 * Called with words: a narrower argument is in the low part of its register, as if it had been
 * passed with its own type (true for each of the 64-bit calling conventions of Linux).
 */
library_fn *const library_calls[LIBRARY_NR_CALLS] = {
#define X(name, ...) [LIBRARY_##name] = (library_fn *)(void (*)(void))do_##name,
	LIBRARY_TRANSFERS(X) LIBRARY_ENDS(X) LIBRARY_OTHERS(X)
#undef X
#ifdef HAVE_LARGE_COUNTS
#define X(name, ...) [LIBRARY_##name##_c] = (library_fn *)(void (*)(void))do_##name##_c,
	LIBRARY_TRANSFERS(X) LIBRARY_OTHERS_C(X)
#undef X
#endif
};
