#!/bin/bash
# libfabric 1.17.0 (Debian 12, libfabric1 1.17.0-3; libpsm2-2 11.2.185-2, libpsm-infinipath1 3.3+20.604758e7-6.2): loading the
# library takes 0.2 s, on machines without hardware for it, too
#
# expected  dlopen("libfabric.so.1"), or being linked to it, costs a program a few milliseconds: providers look for their devices when
#           fi_getinfo() is called
# seen      Debian's libfabric is linked to the libraries of two adapters, PSM (libinfinipath) and PSM2.  Each of them measures the
#           processor's clock in a constructor, for about 0.1 s in naps of 125 us (usleep), before dlopen() returns.  FI_PROVIDER, which keeps
#           providers from being used, has no influence on that.  So each process, or each rank, pays for it
#
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
version=1.17.0-3
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
cd "$T" || exit 77
[ "$(dpkg-query -W -f '${Version}' libfabric1 2>/dev/null)" = $version ] ||
	apt-get -q install -y --no-install-recommends libfabric1=$version >/dev/null 2>&1 ||
	{ echo "libfabric $version cannot be had here"; exit 77; }
cat >load.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static unsigned nr;
static long us;

/* in the place of the C library's, also for the libraries that are loaded */
int usleep(useconds_t n)
{
	struct timespec t = { 0, (long)n * 1000 };

	nr++;
	us += n;
	return nanosleep(&t, NULL);
}

int main(void)
{
	if (!dlopen("libfabric.so.1", RTLD_NOW))
		return 2;
	printf("%u\n", nr);
	fprintf(stderr, "%u naps of %ld us in all\n", nr, us);
	return 0;
}
END
cc -O2 -rdynamic -o load load.c -ldl || exit 77
for providers in "" tcp; do
	naps=$(FI_PROVIDER=$providers ./load) || exit 77
	echo "FI_PROVIDER='$providers': $naps naps"
	[ "$naps" -gt 50 ] || { echo "changed: it does not sleep any more"; exit 1; }
done
