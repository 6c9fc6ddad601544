/*
 * mca_hook_pmem.c -- the Open MPI component "hook/pmem": detects a common mistake
 *
 * With --mca io ompio (or romio321) a user excludes pmio's io component, and Open MPI
 * does not even load it: a name "pmem:/path" is then passed to the file system as it
 * is, and fails, or becomes a file in a folder called "pmem:".  Components of the
 * framework "hook" are loaded nevertheless.  This one checks, at the end of MPI_Init,
 * whether that has happened to a program that seems to want pmio, and if so reports it,
 * once per job.  It does nothing else, and nothing in any other job.
 */
#include "config.h"

#undef PACKAGE_BUGREPORT
#undef PACKAGE_NAME
#undef PACKAGE_STRING
#undef PACKAGE_TARNAME
#undef PACKAGE_URL
#undef PACKAGE_VERSION

#include "ompi_config.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ompi/constants.h"
#include "ompi/mca/hook/hook.h"

#include "core/log.h"
#include "core/text.h"

extern char **environ;

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* is there an argument that begins with the prefix, or has it after a '='? */
static bool in_arguments(void)
{
	char buf[65536];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	for (const char *arg = buf; arg < buf + n; arg += strlen(arg) + 1) {
		if (has_prefix(arg, "pmem:") || strstr(arg, "=pmem:"))
			return true;
	}
	return false;
}

static bool in_environment(void)
{
	for (char **e = environ; *e; e++) {
		const char *value = strchr(*e, '=');

		if (has_prefix(*e, "OMPI_MCA_io_pmem_") || has_prefix(*e, "PMIO_POOL=") ||
		    (value && has_prefix(value, "=pmem:")))
			return true;
	}
	return false;
}

static void after_init(int argc, char **argv, int requested, int *provided)
{
	const char *list = secure_getenv("OMPI_MCA_io"), *rank = secure_getenv("OMPI_COMM_WORLD_RANK");

	(void)argc;
	(void)argv;
	(void)requested;
	(void)provided;
	if (!list || !*list || !pmio_leaves_out(list, "pmem") || (rank && strcmp(rank, "0") != 0))
		return;
	if (dlsym(RTLD_DEFAULT, "pmio_mpi_library"))
		return; /* preloaded, or linked: the exclusion does not matter */
	if (in_arguments() || in_environment())
		pmio_warn("\"--mca io %s\" excludes pmio: names that begin with \"pmem:\" will fail or be "
			  "used literally; use --mca io pmem,ompio", list);
}

static int open_close(void)
{
	return OMPI_SUCCESS;
}

OMPI_MODULE_DECLSPEC extern const ompi_hook_base_component_1_0_0_t mca_hook_pmem_component;

const ompi_hook_base_component_1_0_0_t mca_hook_pmem_component = {
	.hookm_version = {
		OMPI_HOOK_BASE_VERSION_1_0_0,
		.mca_component_name = "pmem",
		MCA_BASE_MAKE_VERSION(component, OMPI_MAJOR_VERSION, OMPI_MINOR_VERSION,
				      OMPI_RELEASE_VERSION),
		.mca_open_component = open_close,
		.mca_close_component = open_close,
	},
	.hookm_data = {
		MCA_BASE_METADATA_PARAM_CHECKPOINT
	},
	.hookm_mpi_init_bottom = after_init,
};
