/*
 * load.c -- libfabric, loaded when it is first needed
 *
 * It is not linked: that would cost every program 0.2 s and more, and some of the
 * libraries that it loads install signal handlers (libinfinipath: SIGSEGV, SIGBUS,
 * SIGILL, SIGABRT, SIGTERM), which are removed again here.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "fabric/fabric_impl.h"

#define LIBRARY "libfabric.so.1"

static const int touched[] = { SIGILL, SIGABRT, SIGBUS, SIGSEGV, SIGTERM };

#define NR_TOUCHED (sizeof(touched) / sizeof(touched[0]))

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct fabric_lib lib;
static bool loaded;
static char version[32];

static bool find_symbols(void *handle)
{
	lib.getinfo = (__typeof__(lib.getinfo))dlsym(handle, "fi_getinfo");
	lib.freeinfo = (__typeof__(lib.freeinfo))dlsym(handle, "fi_freeinfo");
	lib.dupinfo = (__typeof__(lib.dupinfo))dlsym(handle, "fi_dupinfo");
	lib.fabric = (__typeof__(lib.fabric))dlsym(handle, "fi_fabric");
	lib.strerror = (__typeof__(lib.strerror))dlsym(handle, "fi_strerror");
	lib.version = (__typeof__(lib.version))dlsym(handle, "fi_version");
	lib.open = (__typeof__(lib.open))dlsym(handle, "fi_open"); /* not in all versions */
	return lib.getinfo && lib.freeinfo && lib.dupinfo && lib.fabric && lib.strerror && lib.version;
}

/* the first fi_getinfo() loads the providers' libraries */
static void load_providers(void)
{
	struct fi_info *info = NULL;

	if (lib.getinfo(FI_VERSION(1, 9), NULL, NULL, 0, NULL, &info) == 0)
		lib.freeinfo(info);
}

static void load(void)
{
	struct sigaction before[NR_TOUCHED];
	void *handle;

	for (size_t i = 0; i < NR_TOUCHED; i++)
		sigaction(touched[i], NULL, &before[i]);
	handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		pmio_err("cannot load %s: %s", LIBRARY, dlerror());
	else if (!find_symbols(handle))
		pmio_err("%s: %s", LIBRARY, dlerror());
	else
		loaded = true;
	if (loaded) {
		load_providers();
		snprintf(version, sizeof(version), "libfabric %u.%u", FI_MAJOR(lib.version()),
			 FI_MINOR(lib.version()));
	}
	for (size_t i = 0; i < NR_TOUCHED; i++)
		sigaction(touched[i], &before[i], NULL);
}

const struct fabric_lib *fabric_lib(void)
{
	pthread_once(&once, load);
	return loaded ? &lib : NULL;
}

/* ---- refused accesses, which it reports in its log only ------------------------------------------- */

static atomic_uint_fast64_t nr_refused;

static int wants_line(const struct fi_provider *prov, enum fi_log_level level, enum fi_log_subsys subsys, uint64_t flags)
{
	(void)prov;
	(void)flags;
	return level == FI_LOG_WARN && subsys == FI_LOG_MR;
}

static int wants_sparse_line(const struct fi_provider *prov, enum fi_log_level level, enum fi_log_subsys subsys,
			     uint64_t flags, uint64_t *showtime)
{
	(void)prov;
	(void)level;
	(void)subsys;
	(void)flags;
	(void)showtime;
	return 0;
}

/* called in a libfabric call, with its locks held.  A refused access gets two lines */
static void take_line(const struct fi_provider *prov, enum fi_log_level level, enum fi_log_subsys subsys, const char *func,
		      int line, const char *msg)
{
	(void)line;
	if (wants_line(prov, level, subsys, 0) && strstr(func, "verify") && !strstr(msg, "access: requested"))
		atomic_fetch_add(&nr_refused, 1);
}

static void listen_to_log(void)
{
	static struct fi_ops_log ops = {
		.size = sizeof(ops), .enabled = wants_line, .ready = wants_sparse_line, .log = take_line,
	};
	static struct fid_logging log = { .fid.fclass = FI_CLASS_LOG, .ops = &ops }; /* as long as the library is loaded */
	struct fid *its;

	if (!lib.open || getenv("FI_LOG_LEVEL"))
		return;
	if (lib.open(FI_VERSION(1, 13), "logging", NULL, 0, 0, &its, NULL) != 0) {
		pmio_dbg("fabric: refused accesses are not counted: another library handles libfabric's log");
		return;
	}
	if (fi_import_fid(its, &log.fid, 0) != 0)
		pmio_dbg("fabric: refused accesses are not counted");
	fi_close(its);
}

void fabric_count_refused(void)
{
	static pthread_once_t listening = PTHREAD_ONCE_INIT;

	if (fabric_lib())
		pthread_once(&listening, listen_to_log);
}

uint64_t fabric_refused(void)
{
	return atomic_load(&nr_refused);
}

const char *pmio_fabric_version(void)
{
	return fabric_lib() ? version : NULL;
}

uint64_t fabric_now_ms(void)
{
	return pmio_now_ms();
}
