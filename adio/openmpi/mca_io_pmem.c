/*
 * mca_io_pmem.c -- the Open MPI component "io/pmem"
 *
 * Open MPI asks each io component about each file.  This one answers only for names
 * that begin with "pmem:" (or that the setting `paths` selects), with a copy of
 * romio321's table of calls in which the open of a file is replaced; the open puts the
 * handle where romio321 keeps its own, so most other calls are ROMIO's, working
 * on a file with pmio's driver.  Those with explicit offsets or the shared file pointer
 * are the engine's.
 */
#include "config.h"

#undef PACKAGE_BUGREPORT
#undef PACKAGE_NAME
#undef PACKAGE_STRING
#undef PACKAGE_TARNAME
#undef PACKAGE_URL
#undef PACKAGE_VERSION
#undef HAVE_CONFIG_H

#include "ompi_config.h"

#include <errno.h>
#include <pthread.h>
#include <sys/auxv.h>

#include "ompi/communicator/communicator.h"
#include "ompi/datatype/ompi_datatype.h"
#include "ompi/errhandler/errhandler.h"
#include "ompi/file/file.h"
#include "ompi/info/info.h"
#include "ompi/mca/io/io.h"
#include "opal/mca/base/base.h"
#include "opal/runtime/opal_progress.h"

#include "engine/yielding_collectives.h"
#include "romio/ad_pmem.h"
#include "romio/romio321_abi_check.h"

#define PRIORITY 100 /* the highest: no other component can handle these names */

/* the data of an open file; romio321 has the same */
struct file_data {
	struct adio_file *fd;
};

static mca_io_base_module_2_0_0_t module;
static char *mca_values[PMIO_NR_SETTINGS];

/* ---- settings ---------------------------------------------------------------------- */

static int register_params(void)
{
	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		const struct pmio_setting_info *si = pmio_setting_info((enum pmio_setting)i);
		extern mca_io_base_component_2_0_0_t mca_io_pmem_component;

		mca_values[i] = NULL;
		(void)mca_base_component_var_register(&mca_io_pmem_component.io_version, si->name, si->help,
						      MCA_BASE_VAR_TYPE_STRING, NULL, 0, 0, OPAL_INFO_LVL_3,
						      MCA_BASE_VAR_SCOPE_READONLY, &mca_values[i]);
	}
	return OMPI_SUCCESS;
}

void adapter_add_settings(struct pmio_settings *s)
{
	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		/* of a program that runs with other rights they may come from its user's environment */
		if (mca_values[i] && *mca_values[i] && !getauxval(AT_SECURE))
			pmio_settings_set(s, (enum pmio_setting)i, mca_values[i], PMIO_FROM_MCA);
	}
}

/* ---- the component ------------------------------------------------------------------- */

static int open_component(void)
{
	return OMPI_SUCCESS;
}

static int close_component(void)
{
	engine_stop();
	return OMPI_SUCCESS;
}

static int init_query(bool enable_progress_threads, bool enable_mpi_threads)
{
	(void)enable_progress_threads;
	(void)enable_mpi_threads;
	return OMPI_SUCCESS;
}

static void make_module(const struct romio *romio);

/* at the first pmio name: settings, and ROMIO; false: it cannot be used */
static bool get_ready(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	const struct romio *romio = romio_load();

	pthread_mutex_lock(&lock); /* no thread gets the table before it is made */
	if (engine_start() && romio)
		make_module(romio);
	pthread_mutex_unlock(&lock);
	return romio != NULL;
}

/* at the first open; two threads at once would make, and at the end free, ROMIO's MPI_Op twice */
static int init_romio(const struct romio *romio)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int error = MPI_SUCCESS;

	pthread_mutex_lock(&lock);
	romio->init(&error);
	pthread_mutex_unlock(&lock);
	return error;
}

static int open_file(struct ompi_communicator_t *comm, const char *filename, int amode,
		     struct opal_info_t *info, struct ompi_file_t *fh);
static void publish_info(struct adio_file *fd, struct ompi_file_t *fh);

static const mca_io_base_module_2_0_0_t *romio_module(void)
{
	return romio_load()->module;
}

static struct adio_file *handle_of(struct ompi_file_t *fh)
{
	return ((struct file_data *)fh->f_io_selected_data)->fd;
}

static struct pmio_mpi_file *state_of(struct ompi_file_t *fh)
{
	return ad_pmem_file(handle_of(fh));
}

/*
 * Atomic mode: with its own flag set, ROMIO's nonblocking calls count the bytes
 * requested and not those read, so the flag is kept where only pmio sees it.
 */
static int set_atomicity(struct ompi_file_t *fh, int flag)
{
	return engine_set_atomicity(state_of(fh), flag);
}

static int get_atomicity(struct ompi_file_t *fh, int *flag)
{
	*flag = state_of(fh)->atomic;
	return MPI_SUCCESS;
}

static void wait_for_all(struct ompi_file_t *fh)
{
	PMPI_Barrier(handle_of(fh)->comm);
}

/* ---- calls that are the engine's alone ---------------------------------------------------- */

/*
 * ROMIO takes a lock of its own, the same for all files, around each call, so threads with files of their own took turns;
 * and it keeps shared file pointers in a hidden file.  So calls with explicit offsets, which leave ROMIO's state alone, and
 * those with the shared pointer, go to the engine.
 */
static _Thread_local bool has_no_lock; /* of ROMIO's */

static int transfer(struct ompi_file_t *fh, const struct io_call *c, ompi_status_public_t *status)
{
	uint64_t done;
	int rc;

	has_no_lock = true;
	rc = call_transfer(state_of(fh), c, &done);
	has_no_lock = false;
	if (rc == MPI_SUCCESS)
		engine_set_status(status, done);
	return rc;
}

static int start(struct ompi_file_t *fh, const struct io_call *c, ompi_request_t **request)
{
	int rc;

	has_no_lock = true;
	rc = call_start(state_of(fh), c, request);
	has_no_lock = false;
	return rc;
}

static int begin(struct ompi_file_t *fh, const struct io_call *c)
{
	int rc;

	has_no_lock = true;
	rc = call_begin(state_of(fh), c);
	has_no_lock = false;
	return rc;
}

#define CALL(from, is_all, writes, at) \
	(struct io_call){ .pointer = POINTER_##from, .all = is_all, .write = writes, .offset = at, \
			  .buf = (void *)(uintptr_t)buf, .count = count, .type = type }

static int read_at(struct ompi_file_t *fh, MPI_Offset offset, void *buf, int count, struct ompi_datatype_t *type,
		   ompi_status_public_t *status)
{
	return transfer(fh, &CALL(NONE, false, false, offset), status);
}

static int write_at(struct ompi_file_t *fh, MPI_Offset offset, const void *buf, int count, struct ompi_datatype_t *type,
		    ompi_status_public_t *status)
{
	return transfer(fh, &CALL(NONE, false, true, offset), status);
}

static int iread_at(struct ompi_file_t *fh, MPI_Offset offset, void *buf, int count, struct ompi_datatype_t *type,
		    ompi_request_t **request)
{
	return start(fh, &CALL(NONE, false, false, offset), request);
}

static int iwrite_at(struct ompi_file_t *fh, MPI_Offset offset, const void *buf, int count, struct ompi_datatype_t *type,
		     ompi_request_t **request)
{
	return start(fh, &CALL(NONE, false, true, offset), request);
}

static int read_shared(struct ompi_file_t *fh, void *buf, int count, struct ompi_datatype_t *type, ompi_status_public_t *status)
{
	return transfer(fh, &CALL(SHARED, false, false, 0), status);
}

static int write_shared(struct ompi_file_t *fh, const void *buf, int count, struct ompi_datatype_t *type, ompi_status_public_t *status)
{
	return transfer(fh, &CALL(SHARED, false, true, 0), status);
}

static int iread_shared(struct ompi_file_t *fh, void *buf, int count, struct ompi_datatype_t *type, ompi_request_t **request)
{
	return start(fh, &CALL(SHARED, false, false, 0), request);
}

static int iwrite_shared(struct ompi_file_t *fh, const void *buf, int count, struct ompi_datatype_t *type, ompi_request_t **request)
{
	return start(fh, &CALL(SHARED, false, true, 0), request);
}

static int read_ordered(struct ompi_file_t *fh, void *buf, int count, struct ompi_datatype_t *type, ompi_status_public_t *status)
{
	return transfer(fh, &CALL(SHARED, true, false, 0), status);
}

static int write_ordered(struct ompi_file_t *fh, const void *buf, int count, struct ompi_datatype_t *type, ompi_status_public_t *status)
{
	return transfer(fh, &CALL(SHARED, true, true, 0), status);
}

static int read_ordered_begin(struct ompi_file_t *fh, void *buf, int count, struct ompi_datatype_t *type)
{
	return begin(fh, &CALL(SHARED, true, false, 0));
}

static int write_ordered_begin(struct ompi_file_t *fh, const void *buf, int count, struct ompi_datatype_t *type)
{
	return begin(fh, &CALL(SHARED, true, true, 0));
}

static int read_ordered_end(struct ompi_file_t *fh, void *buf, ompi_status_public_t *status)
{
	(void)buf;
	return call_end(state_of(fh), POINTER_SHARED, false, status);
}

static int write_ordered_end(struct ompi_file_t *fh, const void *buf, ompi_status_public_t *status)
{
	(void)buf;
	return call_end(state_of(fh), POINTER_SHARED, true, status);
}

static int seek_shared(struct ompi_file_t *fh, MPI_Offset offset, int whence)
{
	int rc;

	has_no_lock = true;
	rc = call_seek_shared(state_of(fh), offset, whence);
	has_no_lock = false;
	return rc;
}

static int get_position_shared(struct ompi_file_t *fh, MPI_Offset *offset)
{
	return call_position_shared(state_of(fh), offset);
}

/* ---- close ------------------------------------------------------------------------------------ */

/*
 * Open MPI 4.1 closes a file in a destructor and returns MPI_SUCCESS whatever the
 * result.  So that a failed drain is not only a line on standard error, the file's
 * error handler is called: MPI_ERRORS_ARE_FATAL and handlers of the program learn of
 * it.  (romio321 removes the handler from the file before it closes.)
 */
static int close_handle(struct ompi_file_t *fh)
{
	ompi_errhandler_t *handler = fh->error_handler;
	int rc;

	if (!handle_of(fh))
		return MPI_SUCCESS; /* its open failed, and has reported that */
	engine_look_for_strays(fh->f_comm, true);
	OBJ_RETAIN(handler);
	rc = romio_module()->io_module_file_close(fh);
	if (rc != MPI_SUCCESS)
		ompi_errhandler_invoke(handler, fh, OMPI_ERRHANDLER_TYPE_FILE, rc, "MPI_File_close");
	OBJ_RELEASE(handler);
	return rc;
}

/* after this Open MPI does not use the file any more: free what file_query() made */
static int close_file(struct ompi_file_t *fh)
{
	int rc = close_handle(fh);

	free(fh->f_io_selected_data);
	fh->f_io_selected_data = NULL;
	return rc;
}

/* ---- views ---------------------------------------------------------------------------- */

/* ROMIO's checks of the types, which ROMIO itself does not see */
static int check_view(int amode, MPI_Offset disp, MPI_Datatype etype, MPI_Datatype filetype)
{
	int rc = engine_check_view(amode, disp, etype, filetype);

	if (etype == MPI_DATATYPE_NULL || filetype == MPI_DATATYPE_NULL)
		return rc;
	return opal_datatype_is_committed(&etype->super) && opal_datatype_is_committed(&filetype->super) ? rc : MPI_ERR_TYPE;
}

/* ROMIO has set a view of bytes: make it the program's */
static int change_view(struct adio_file *fd, MPI_Offset disp, const char *datarep, struct view *next)
{
	struct pmio_mpi_file *f = ad_pmem_file(fd);
	uint64_t shared;
	int rc = engine_error(engine_shared_set(f, 0, &shared));

	/* in sequential mode: the byte that the shared pointer was at, in the old view */
	if (rc == MPI_SUCCESS && disp == MPI_DISPLACEMENT_CURRENT && engine_view_place(&f->view, shared, &next->disp) < 0)
		rc = MPI_ERR_ARG;
	if (rc != MPI_SUCCESS)
		return rc;
	fd->etype_size = next->etype_size;
	fd->disp = 0;
	fd->fp_ind = 0;
	f->external = engine_rep_is_external(datarep); /* in other calls ROMIO converts */
	engine_view_fini(&f->view);
	f->view = *next;
	return MPI_SUCCESS;
}

/* a view of bytes; ROMIO must not look for the shared pointer, which it has not */
static int set_romio_view(struct ompi_file_t *fh, MPI_Offset disp, const char *datarep, struct opal_info_t *info)
{
	struct adio_file *fd = handle_of(fh);
	const int amode = fd->access_mode;
	int rc;

	fd->access_mode &= ~MPI_MODE_SEQUENTIAL;
	rc = romio_module()->io_module_file_set_view(fh, disp == MPI_DISPLACEMENT_CURRENT ? 0 : disp, MPI_BYTE, MPI_BYTE, datarep, info);
	fd->access_mode = amode;
	return rc;
}

/*
 * Collective, and ROMIO waits for all: if one rank's view is invalid, all must learn of
 * it.  A view comes with hints, which replace the result of MPI_File_get_info.
 */
static int set_view(struct ompi_file_t *fh, MPI_Offset disp, struct ompi_datatype_t *etype,
		    struct ompi_datatype_t *filetype, const char *datarep, struct opal_info_t *info)
{
	struct adio_file *fd = handle_of(fh);
	int mine = check_view(fd->access_mode, disp, etype, filetype), rc;
	struct view next;
	int rc_exchange;

	engine_view_clear(&next);
	if (mine == MPI_SUCCESS)
		mine = engine_error(engine_view_init(&next, disp, etype, filetype));
	engine_allreduce(&mine, &rc, 1, MPI_INT, MPI_MAX, fd->comm);
	if (rc == MPI_SUCCESS)
		rc = set_romio_view(fh, disp, datarep, info);
	if (rc != MPI_SUCCESS) {
		engine_view_fini(&next);
		return rc;
	}
	rc = change_view(fd, disp, datarep, &next);
	if (rc == MPI_SUCCESS)
		publish_info(fd, fh);
	else
		engine_view_fini(&next);
	rc_exchange = engine_error(engine_choose_exchange(ad_pmem_file(fd)));
	return rc == MPI_SUCCESS ? rc_exchange : rc;
}

static int get_view(struct ompi_file_t *fh, MPI_Offset *disp, struct ompi_datatype_t **etype,
		    struct ompi_datatype_t **filetype, char *datarep)
{
	const struct view *v = &state_of(fh)->view;
	MPI_Datatype e, f; /* bytes, for ROMIO */
	int rc = romio_module()->io_module_file_get_view(fh, disp, &e, &f, datarep);

	*disp = v->disp;
	return rc == MPI_SUCCESS ? engine_error(engine_view_types(v, etype, filetype)) : rc;
}

static int get_byte_offset(struct ompi_file_t *fh, MPI_Offset offset, MPI_Offset *place)
{
	return engine_byte_offset(state_of(fh), offset, place);
}

/* ROMIO's seek: the end that it uses is that of the view */
static int seek(struct ompi_file_t *fh, MPI_Offset offset, int whence)
{
	int rc;

	ad_pmem_size_in_view = true;
	rc = romio_module()->io_module_file_seek(fh, offset, whence);
	ad_pmem_size_in_view = false;
	return rc;
}

/* ---- collective calls whose result depends on what was written by those before ---------- */

/* ROMIO refuses it for a file opened for reading; here it is only a barrier */
static int sync_file(struct ompi_file_t *fh)
{
	if (handle_of(fh)->access_mode & MPI_MODE_RDONLY) {
		wait_for_all(fh);
		return MPI_SUCCESS;
	}
	engine_meet(state_of(fh));
	return romio_module()->io_module_file_sync(fh);
}

/* in these two rank 0 changes the file: it must not while others still write */
static int set_size(struct ompi_file_t *fh, MPI_Offset size)
{
	engine_meet(state_of(fh));
	return romio_module()->io_module_file_set_size(fh, size);
}

static int preallocate(struct ompi_file_t *fh, MPI_Offset size)
{
	if (handle_of(fh)->access_mode & MPI_MODE_RDONLY) /* ROMIO lets rank 0 try, and only that rank gets the error */
		return MPI_ERR_READ_ONLY;
	engine_meet(state_of(fh));
	return romio_module()->io_module_file_preallocate(fh, size);
}

void adapter_leave(void)
{
	if (!has_no_lock)
		OPAL_THREAD_UNLOCK((opal_mutex_t *)romio_load()->mutex);
}

void adapter_enter(void)
{
	if (!has_no_lock)
		OPAL_THREAD_LOCK((opal_mutex_t *)romio_load()->mutex);
}

void adapter_progress(MPI_Comm comm)
{
	(void)comm;
	opal_progress();
}

/* once, under get_ready()'s lock */
static void make_module(const struct romio *romio)
{
	/* romio321 initializes its mutex when it is opened, which does not happen if the user excluded it */
	if (!((opal_object_t *)romio->mutex)->obj_class)
		OBJ_CONSTRUCT((opal_mutex_t *)romio->mutex, opal_mutex_t);
	memcpy(&module, romio->module, sizeof(module));
	module.io_module_file_open = open_file;
	module.io_module_file_close = close_file;
	module.io_module_file_set_view = set_view;
	module.io_module_file_get_view = get_view;
	module.io_module_file_get_byte_offset = get_byte_offset;
	module.io_module_file_seek = seek;
	module.io_module_file_sync = sync_file;
	module.io_module_file_set_size = set_size;
	module.io_module_file_preallocate = preallocate;
	module.io_module_file_set_atomicity = set_atomicity;
	module.io_module_file_get_atomicity = get_atomicity;
	module.io_module_file_read_at = read_at;
	module.io_module_file_write_at = write_at;
	module.io_module_file_iread_at = iread_at;
	module.io_module_file_iwrite_at = iwrite_at;
	module.io_module_file_read_shared = read_shared;
	module.io_module_file_write_shared = write_shared;
	module.io_module_file_iread_shared = iread_shared;
	module.io_module_file_iwrite_shared = iwrite_shared;
	module.io_module_file_read_ordered = read_ordered;
	module.io_module_file_write_ordered = write_ordered;
	module.io_module_file_read_ordered_begin = read_ordered_begin;
	module.io_module_file_read_ordered_end = read_ordered_end;
	module.io_module_file_write_ordered_begin = write_ordered_begin;
	module.io_module_file_write_ordered_end = write_ordered_end;
	module.io_module_file_seek_shared = seek_shared;
	module.io_module_file_get_position_shared = get_position_shared;
}

static const struct mca_io_base_module_2_0_0_t *
file_query(struct ompi_file_t *file, struct mca_io_base_file_t **private_data, int *priority)
{
	struct file_data *data;

	*private_data = NULL;
	if (!engine_path(file->f_filename)) {
		engine_look_at_name(file->f_comm, file->f_filename);
		return NULL;
	}
	if (!get_ready())
		return NULL;
	data = calloc(1, sizeof(*data));
	if (!data)
		return NULL;
	*private_data = (struct mca_io_base_file_t *)data;
	*priority = PRIORITY;
	return &module;
}

static int file_unquery(struct ompi_file_t *file, struct mca_io_base_file_t *private_data)
{
	(void)file;
	free(private_data);
	return OMPI_SUCCESS;
}

/* ROMIO needs an MPI_Info; Open MPI passes its base class; NULL: out of memory */
static ompi_info_t *to_mpi_info(struct opal_info_t *info)
{
	ompi_info_t *copy = OBJ_NEW(ompi_info_t);
	opal_info_t *core;

	if (!copy)
		return NULL;
	core = &copy->super;
	opal_info_dup(info, &core);
	return copy;
}

static int delete_query(const char *filename, struct opal_info_t *info,
			struct mca_io_base_delete_t **private_data, bool *usable, int *priority)
{
	(void)info;
	*private_data = NULL;
	*usable = engine_path(filename) && get_ready();
	*priority = PRIORITY;
	return OMPI_SUCCESS;
}

static int delete_select(const char *filename, struct opal_info_t *info,
			 struct mca_io_base_delete_t *private_data)
{
	ompi_info_t *mpi_info = to_mpi_info(info);
	int rc;

	(void)private_data;
	if (!mpi_info)
		return MPI_ERR_NO_MEM;
	rc = engine_error(engine_delete(engine_path(filename), mpi_info));
	ompi_info_free(&mpi_info);
	return rc;
}

/* user-defined data representations are left to ROMIO: Open MPI asks romio321 itself about them */
static int register_datarep(const char *name, MPI_Datarep_conversion_function *read_fn,
			    MPI_Datarep_conversion_function *write_fn,
			    MPI_Datarep_extent_function *extent_fn, void *state)
{
	(void)name;
	(void)read_fn;
	(void)write_fn;
	(void)extent_fn;
	(void)state;
	return OMPI_SUCCESS;
}

OMPI_MODULE_DECLSPEC extern mca_io_base_component_2_0_0_t mca_io_pmem_component;

mca_io_base_component_2_0_0_t mca_io_pmem_component = {
	.io_version = {
		MCA_IO_BASE_VERSION_2_0_0,
		.mca_component_name = "pmem",
		MCA_BASE_MAKE_VERSION(component, OMPI_MAJOR_VERSION, OMPI_MINOR_VERSION,
				      OMPI_RELEASE_VERSION),
		.mca_open_component = open_component,
		.mca_close_component = close_component,
		.mca_register_component_params = register_params,
	},
	.io_data = {
		MCA_BASE_METADATA_PARAM_CHECKPOINT
	},
	.io_init_query = init_query,
	.io_file_query = file_query,
	.io_file_unquery = file_unquery,
	.io_delete_query = delete_query,
	.io_delete_select = delete_select,
	.io_register_datarep = register_datarep,
};

/* ---- opening ---------------------------------------------------------------------------- */

static int check_opened(struct adio_file *fd, MPI_Comm comm, const char *path)
{
	static bool checked;
	char why[256];

	if (checked)
		return MPI_SUCCESS;
	if (pmio_romio_check_file(fd, comm, ad_pmem_ops(), path, why, sizeof(why)) < 0) {
		romio_refuse(why);
		return MPI_ERR_INTERN;
	}
	checked = true;
	return MPI_SUCCESS;
}

/* Open MPI's MPI_File_get_info returns its own copy, not ROMIO's */
static void publish_info(struct adio_file *fd, struct ompi_file_t *fh)
{
	char key[MPI_MAX_INFO_KEY + 1], value[MPI_MAX_INFO_VAL + 1], asked[MPI_MAX_INFO_KEY + 16];
	int nr = 0, flag;

	PMPI_Info_get_nkeys(fd->info, &nr);
	for (int i = 0; i < nr && fh->super.s_info; i++) {
		PMPI_Info_get_nthkey(fd->info, i, key);
		if (strncmp(key, "pmem_", 5) != 0 && strncmp(key, "romio_visibility", 16) != 0 &&
		    strcmp(key, "romio_filesystem_type") != 0)
			continue;
		PMPI_Info_get(fd->info, key, MPI_MAX_INFO_VAL, value, &flag);
		if (!flag)
			continue;
		opal_info_set(fh->super.s_info, key, value);
		/* the program's own value, which MPI_File_get_info would show instead */
		snprintf(asked, sizeof(asked), OPAL_INFO_SAVE_PREFIX "%s", key);
		opal_info_delete(fh->super.s_info, asked);
	}
}

/* plain: path is the name as the program gave it */
static int open_on(const struct romio *romio, MPI_Comm comm, MPI_Comm dup, const char *path, bool plain,
		   int amode, MPI_Info info, struct adio_file **out)
{
	static pthread_mutex_t alone = PTHREAD_MUTEX_INITIALIZER;
	int error = MPI_SUCCESS, nr;
	struct pmio_mpi_file *f;

	/*
	 * ROMIO parses cb_config_list with static variables.  With one rank a lock can
	 * serialize threads; with more, ranks that open two files in different orders
	 * would deadlock.
	 */
	PMPI_Comm_size(dup, &nr);
	if (nr == 1)
		pthread_mutex_lock(&alone);
	ad_pmem_opening = true;
	ad_pmem_plain_name = plain;
	*out = romio->open(comm, dup, path, ADIO_UFS_TYPE, ad_pmem_ops(), amode, 0, MPI_BYTE, MPI_BYTE,
			   info, ADIO_DEFAULT_PERM, &error);
	ad_pmem_opening = ad_pmem_plain_name = false;
	if (nr == 1)
		pthread_mutex_unlock(&alone);
	if (error == MPI_SUCCESS)
		error = check_opened(*out, dup, path);
	if (error != MPI_SUCCESS)
		return error;
	f = ad_pmem_file(*out);
	/* ROMIO's close wants the name of a hidden file for the shared pointer, and frees it */
	(*out)->shared_fp_fname = romio->strdup("");
	f->complete = true;
	(void)engine_view_init(&f->view, 0, MPI_BYTE, MPI_BYTE); /* named types take no memory */
	engine_shared_new(f, (uint64_t)(*out)->fp_ind); /* with MPI_MODE_APPEND at the file's end, too */
	return MPI_SUCCESS;
}

static int open_file(struct ompi_communicator_t *comm, const char *filename, int amode,
		     struct opal_info_t *info, struct ompi_file_t *fh)
{
	struct file_data *data = (struct file_data *)fh->f_io_selected_data;
	const struct romio *romio = romio_load();
	const char *path = engine_path(filename);
	MPI_Comm dup = MPI_COMM_NULL;
	ompi_info_t *mpi_info;
	int error;

	error = PMPI_Comm_dup(comm, &dup);
	if (error != MPI_SUCCESS)
		return error;
	error = init_romio(romio);
	if (error == MPI_SUCCESS)
		error = engine_agree_amode(dup, path, amode);
	mpi_info = error == MPI_SUCCESS ? to_mpi_info(info) : NULL;
	if (error == MPI_SUCCESS)
		error = mpi_info ? open_on(romio, comm, dup, path, path == filename, amode, mpi_info,
					    &data->fd)
				 : MPI_ERR_NO_MEM;
	if (mpi_info)
		ompi_info_free(&mpi_info);
	if (error != MPI_SUCCESS) {
		data->fd = NULL; /* ROMIO has freed it */
		PMPI_Comm_free(&dup);
		return error;
	}
	publish_info(data->fd, fh);
	engine_look_for_strays(comm, false);
	return OMPI_SUCCESS;
}
