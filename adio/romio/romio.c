/* finding ROMIO in Open MPI; refusing to work if it is not the known one */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "ad_pmem.h"
#include "romio321_abi_check.h"

#define ROMIO_SO "mca_io_romio321.so"

static struct romio romio;
static bool usable;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/*
 * Open MPI loads each component with RTLD_LOCAL: by its name dlopen() returns the copy
 * that is loaded already; if the user excluded romio321 (--mca io pmem,ompio), the
 * dynamic linker loads it from Open MPI's folder.
 */
static void *open_so(void)
{
	void *so = dlopen(ROMIO_SO, RTLD_NOW | RTLD_NOLOAD);

	if (!so)
		so = dlopen(PMIO_OMPI_PKGLIBDIR "/" ROMIO_SO, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		pmio_err("Open MPI's ROMIO cannot be loaded, so names that begin with \"pmem:\" cannot be "
			 "used: %s", dlerror());
	return so;
}

/* the address of a symbol into *(void **)out; functions and data alike */
static bool find(void *out, const char *symbol)
{
	void *p = dlsym(romio.so, symbol);

	if (!p) {
		romio_refuse(symbol);
		return false;
	}
	memcpy(out, &p, sizeof(p));
	return true;
}

static bool find_all(void)
{
	return find(&romio.ufs, "ADIO_UFS_operations") && find(&romio.open, "ADIO_Open") &&
	       find(&romio.strdup, "ADIOI_Strdup") && find(&romio.init, "MPIR_MPIOInit") &&
	       find(&romio.completed_request, "MPIO_Completed_request_create") &&
	       find(&romio.set_info, "ADIOI_GEN_SetInfo") &&
	       find(&romio.seek_individual, "ADIOI_GEN_SeekIndividual") &&
	       find(&romio.io_done, "ADIOI_FAKE_IODone") &&
	       find(&romio.io_complete, "ADIOI_FAKE_IOComplete") &&
	       find(&romio.component, "mca_io_romio321_component") &&
	       find(&romio.module, "mca_io_romio321_module") &&
	       find(&romio.mutex, "mca_io_romio321_mutex");
}

static void load(void)
{
	char why[256];

	romio.so = open_so();
	if (!romio.so || !find_all())
		return;
	if (pmio_romio_check_table(romio.so, romio.ufs, why, sizeof(why)) < 0)
		romio_refuse(why);
	else
		usable = true;
}

const struct romio *romio_load(void)
{
	pthread_once(&once, load);
	return usable ? &romio : NULL;
}

void romio_refuse(const char *why)
{
	usable = false;
	pmio_err("the ROMIO of this Open MPI is not the one that pmio was built for (Open MPI %s): %s; "
		 "names that begin with \"pmem:\" cannot be used", PMIO_OMPI_VERSION, why);
}
