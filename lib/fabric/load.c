/*
 * load.c -- libfabric, loaded when it is first needed
 *
 * Not linked: that would cost every program 0.2 s and more, and some of the
 * libraries that it brings along install signal handlers (libinfinipath: SIGSEGV,
 * SIGBUS, SIGILL, SIGABRT, SIGTERM), which are taken back here.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

const char *pmio_fabric_version(void)
{
	return fabric_lib() ? version : NULL;
}

uint64_t fabric_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
