/* names_settings.c -- which files belong to pmio, and the settings that are common to all */
#include "engine.h"
#include "flat.h"
#include "launcher.h"
#include "shared_memory.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/path.h"

#define PREFIX "pmem:"

static struct pmio_settings base;
static bool have, started; /* under lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void read_settings(void)
{
	if (have)
		pmio_settings_fini(&base);
	pmio_settings_init(&base); /* invalid values have been logged; the rest is valid */
	adapter_add_settings(&base);
	have = true;
}

/* to get `paths`: without messages, as the file may not belong to pmio */
static void load_settings(void)
{
	pthread_mutex_lock(&lock);
	if (!have) {
		pmio_log_set_level(PMIO_LOG_NONE);
		read_settings();
		pmio_log_set_level((enum pmio_log_level)base.num[PMIO_SET_LOG]);
	}
	pthread_mutex_unlock(&lock);
}

const char *engine_path(const char *name)
{
	char absolute[PATH_MAX];

	if (strncmp(name, PREFIX, strlen(PREFIX)) == 0)
		return name + strlen(PREFIX);
	load_settings();
	if (*base.str[PMIO_SET_PATHS] == '\0' || pmio_absolute(name, absolute, sizeof(absolute)) < 0)
		return NULL;
	return pmio_settings_path_selected(&base, absolute) ? name : NULL;
}

/* free everything for which MPI is not needed */
static void free_all(void)
{
	engine_left_close();
	pthread_mutex_lock(&lock);
	if (have) {
		engine_disconnect_all();
		engine_memory_stop();
		pmio_settings_fini(&base);
	}
	have = started = false;
	pthread_mutex_unlock(&lock);
}

void engine_stop(void)
{
	free_all();
	engine_requests_stop();
}

static bool until_finalize;
static void (*at_end)(void);

static int copy_nothing(MPI_Comm comm, int key, void *extra, void *value, void *copy, int *flag)
{
	(void)comm;
	(void)key;
	(void)extra;
	(void)value;
	(void)copy;
	*flag = 0;
	return MPI_SUCCESS;
}

/*
 * MPI_Finalize first deletes the attributes of MPI_COMM_SELF, then it waits for all ranks: so no transfer is under way
 * any more when the first rank closes the file, after which its pieces at other nodes would be lost
 */
static int at_finalize(MPI_Comm comm, int key, void *value, void *extra)
{
	bool left = engine_left_wait();

	(void)comm;
	(void)key;
	(void)value;
	(void)extra;
	if (!until_finalize)
		return MPI_SUCCESS;
	if (left) {
		engine_requests_stop();
		atexit(free_all);
		return MPI_SUCCESS;
	}
	engine_stop();
	flat_fini();
	if (at_end)
		at_end();
	return MPI_SUCCESS;
}

/*
 * A program started by another MPI's launcher runs as that many programs of one rank each, and ends with success.  With
 * the MPI-5.0 ABI, finding the other MPI's library under the common name is enough for that.
 */
static void check_launcher(void)
{
	static const char *const sizes[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", NULL };
	const char *launched = engine_environment(sizes);
	int nr;

	PMPI_Comm_size(MPI_COMM_WORLD, &nr);
	if (nr == 1 && launched && atoi(launched) > 1 && engine_is_first_process())
		pmio_warn("%s processes were started together, but MPI_COMM_WORLD has one rank in each of them: the launcher probably "
			  "belongs to another MPI (see `pmio mpi-info`)", launched);
}

bool engine_start(void)
{
	bool first;
	int key;

	load_settings();
	pthread_mutex_lock(&lock);
	first = !started;
	if (first)
		read_settings(); /* with messages now */
	started = true;
	pthread_mutex_unlock(&lock);
	if (first)
		check_launcher();
	if (first && PMPI_Comm_create_keyval(copy_nothing, at_finalize, &key, NULL) == MPI_SUCCESS) {
		PMPI_Comm_set_attr(MPI_COMM_SELF, key, NULL);
		PMPI_Comm_free_keyval(&key); /* the key exists as long as it is in use */
	}
	return first;
}

bool engine_start_until_finalize(void (*also)(void))
{
	if (!engine_start())
		return false;
	at_end = also;
	until_finalize = true;
	return true;
}

const struct pmio_settings *engine_settings(void)
{
	return &base;
}
