# configure, with MPIs that are not there
TESTS += tests/distro/configure.sh
EXTRA_DIST += tests/distro/configure.sh

# the README's two commands in a fresh root of another Debian (root, debootstrap, network): 13 with `make check`, in at most 20
# minutes, 14 with check-slurm too.  Other ones: DISTRO_TARGETS="check check-slurm" DISTRO_LIMIT=3600; the script says what else can be set.
# Nothing of this build is needed for it
EXTRA_DIST += tests/distro/debian.sh
distro_check = $(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS=tests/distro/debian.sh check_PROGRAMS= check_LTLIBRARIES= check_SCRIPTS= check_DATA=
check-debian13:
	DISTRO_SUITE=trixie PMIO_TEST_LIMIT=$${DISTRO_LIMIT:-1200} $(distro_check)
check-debian14:
	DISTRO_SUITE=forky DISTRO_TARGETS="$${DISTRO_TARGETS:-check check-slurm}" DISTRO_LIMIT=$${DISTRO_LIMIT:-3600} PMIO_TEST_LIMIT=$${DISTRO_LIMIT:-3600} $(distro_check)
.PHONY: check-debian13 check-debian14

# built for 64-bit Arm, and run in an emulator (root, network, gcc-aarch64-linux-gnu)
EXTRA_DIST += tests/distro/aarch64.sh
check-aarch64:
	PMIO_TEST_LIMIT=$${AARCH64_LIMIT:-3600} $(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS=tests/distro/aarch64.sh check_PROGRAMS= check_LTLIBRARIES= check_SCRIPTS= check_DATA=
.PHONY: check-aarch64
