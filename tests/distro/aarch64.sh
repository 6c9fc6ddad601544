#!/bin/bash
# aarch64.sh -- pmio for 64-bit Arm: built by a cross compiler, and run in an emulator of that processor; TAP
#
# Debian's packages for arm64 are unpacked, not installed, below a temporary directory, and so is the emulator of Debian 13:
# the one of Debian 12 does not know the instruction by which libpmem2 flushes the cache (DC CVAP).  The kernel runs programs
# by it while the test lasts (binfmt_misc).  An emulator is no machine of that kind: it shows neither its memory order nor its
# speed.  Needs root, the cross compiler (gcc-aarch64-linux-gnu) and a mirror.
#
# AARCH64_DIR    where all is made: 3 GB; it stays there if this is set (a new directory in /var/tmp)
# AARCH64_TESTS  unit tests that run, without "test_" (those without a fixed time limit of their own)
set -u
: "${top_srcdir:=.}" "${AARCH64_DIR:=}"
: "${AARCH64_TESTS:=abi append client fd frame growth map names pack pm pool_create pool_files pool_open proto relay settings system text threads view workers}"
top_srcdir=$(cd "$top_srcdir" && pwd)
work=${AARCH64_DIR:-$(mktemp -d /var/tmp/pmio-aarch64.XXXXXX)} || exit 99
mkdir -p "$work" && work=$(cd "$work" && pwd) || exit 99
T=$work/log root=$work/root build=$work/src/build emulator=$work/emulator/usr/bin/qemu-aarch64 format=pmio-aarch64
binfmt=/proc/sys/fs/binfmt_misc
mkdir -p "$T" && . "$top_srcdir/tests/tap.sh" || exit 99

# the mount of Open MPI's directory, below, is for this script alone
if [ -z "${AARCH64_INSIDE:-}" ]; then
	[ "$(id -u)" = 0 ] || skip_all "needs root"
	command -v aarch64-linux-gnu-gcc >/dev/null || skip_all "no cross compiler; on Debian: apt-get install gcc-aarch64-linux-gnu"
	unshare --mount true 2>/dev/null || skip_all "no namespaces here"
	AARCH64_INSIDE=1 AARCH64_DIR=$work unshare --mount --propagation private bash "$0"
	rc=$?
	[ -n "$AARCH64_DIR" ] || rm -rf --one-file-system "$work"
	exit $rc
fi

at_end() {
	[ ! -e $binfmt/$format ] || echo -1 >$binfmt/$format
	rm -rf "$T" "$work/pfs"
}
trap at_end EXIT
trap 'exit 99' INT TERM
[ -e $binfmt/register ] || mount -t binfmt_misc none $binfmt 2>/dev/null || skip_all "the kernel has no binfmt_misc"
mount -t tmpfs -o size=1g,mode=1777 pmio /dev/shm || fatal

# apt-get with lists of its own: APT_ARCH, APT_SUITE ("": this machine's), APT_STATE
own_apt() {
	local dir=$APT_STATE
	mkdir -p "$dir"/etc/apt/{apt.conf.d,preferences.d,sources.list.d} "$dir"/var/lib/apt/lists/partial "$dir"/var/lib/dpkg \
		"$dir"/var/cache/apt/archives/partial && : >"$dir/var/lib/dpkg/status" || return
	apt-config dump Acquire >"$dir/etc/apt/apt.conf.d/10machine"
	if [ -z "$APT_SUITE" ]; then
		cp -r /etc/apt/sources.list* "$dir/etc/apt/" 2>/dev/null
	else
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' | head -n 1) $APT_SUITE main" \
			>"$dir/etc/apt/sources.list"
	fi
	cat >"$dir/apt.conf" <<-END
		Dir "$dir";
		Dir::State::status "$dir/var/lib/dpkg/status";
		APT::Architecture "$APT_ARCH";
		APT::Architectures { "$APT_ARCH"; };
		APT::Install-Recommends "false";
	END
	APT_CONFIG=$dir/apt.conf apt-get -q "$@"
}
unpack() { # DIR PACKAGE...: into DIR
	local dir=$1 deb
	shift
	own_apt update && own_apt install -y --download-only "$@" && mkdir -p "$dir" || return
	for deb in "$APT_STATE"/var/cache/apt/archives/*.deb; do dpkg -x "$deb" "$dir" || return; done
}

get_emulator() {
	[ -x "$emulator" ] || APT_STATE=$work/apt-emulator APT_ARCH=amd64 APT_SUITE=trixie unpack "$work/emulator" qemu-user || return
	# the header of an ELF file for this processor, and the bits of it that count
	printf '%s' ":$format:M::"'\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:'\
'\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$emulator:OCF" >$binfmt/register
}
# what pmio needs without what only runs here: compilers, autotools, shells, Python
get_packages() {
	local mpi=$root/usr/lib/aarch64-linux-gnu/openmpi l
	if [ ! -e "$root/whole" ]; then
		# shellcheck disable=SC2046
		APT_STATE=$work/apt APT_ARCH=arm64 APT_SUITE='' unpack "$root" libc6-dev $(sed 's/#.*//' "$top_srcdir/scripts/packages.txt" | tr ' ' '\n' |
			grep -E '^(.*-dev|openmpi-bin|fuse3)$' | grep -v hdf5) || return
		for l in "$mpi"/lib/*.so; do ln -sf "openmpi/lib/${l##*/}" "$root/usr/lib/aarch64-linux-gnu/" || return; done
		mkdir "$work/bin" || return
		for l in ompi_info orterun; do ln -s "$root/usr/bin/$l" "$work/bin/$l" || return; done
		ln -s orterun "$work/bin/mpirun"
		touch "$root/whole"
	fi
	mkdir -p /usr/lib/aarch64-linux-gnu/openmpi && mount --bind "$mpi" /usr/lib/aarch64-linux-gnu/openmpi
}
copy_sources() (
	rm -rf "$work/src" && mkdir "$work/src" && cd "$top_srcdir" || return
	git -c safe.directory='*' ls-files -z 2>/dev/null | tar --null --files-from=- -c | tar -x -C "$work/src" || return
	cd "$work/src" && autoreconf -i && mkdir build
)
configure() (
	cd "$build" && CC="aarch64-linux-gnu-gcc --sysroot=$root" ../configure --host=aarch64-linux-gnu --with-mpi=openmpi \
		--with-ompi-components=system --enable-werror | tee "$T/configure" && grep -q 'component  *yes' "$T/configure"
)
build() { make -C "$build" -s -j2; }
build_tests() {
	local t programs="tests/redirect/calls mpi-examples/hello_pmem"
	for t in $AARCH64_TESTS; do programs="$programs tests/unit/test_$t"; done
	# shellcheck disable=SC2086
	make -C "$build" -s -j2 $programs
}
unit() (cd "$build" && CMOCKA_MESSAGE_OUTPUT=tap timeout 500 "tests/unit/test_$1")

new_pool() {
	export PMIO_POOL=/dev/shm/pool PMIO_AGENT=$build/pmiod PMIO_LIBDIR=$build/.libs LD_LIBRARY_PATH=$build/.libs PATH=$build:$PATH
	mkdir "$work/pfs" "$work/pfs/plain" "$work/pfs/pool" && pmio pool create --size=256MiB "$PMIO_POOL"
}
# a program's calls, stdio's among them, do with redirection what they do without; but for those that run programs of this machine
calls() {
	local d=$work/pfs t
	for t in $("$build/tests/redirect/calls" --list); do
		case $t in exec | events) continue ;; esac # the latter: the emulator has no asynchronous I/O
		mkdir "$d/plain/$t" "$d/pool/$t" && "$build/tests/redirect/calls" "$d/plain/$t" "$t" &&
			timeout 100 pmio run --paths="$d/pool/*" --drain="$1" -- "$build/tests/redirect/calls" "$d/pool/$t" "$t" ||
			{ echo "$t"; return 1; }
	done
	pmio drain --all && diff -r "$d/plain" "$d/pool" && rm -r "$d"/{plain,pool}/*
}
# stdio's bytes are in the pool, and not on the file system: its functions were patched
patched() {
	local f=$work/pfs/pool/stdio
	mkdir "$f" && pmio run --paths="$f/*" --drain=hold -- "$build/tests/redirect/calls" "$f" stdio || return
	[ "$(find "$f" -type f -size +0 | wc -l)" = 0 ] && [ "$(find "$f" -type f | wc -l)" -gt 0 ] && pmio drain --all &&
		[ "$(find "$f" -type f -size +0 | wc -l)" -gt 0 ]
}
mpi() {
	LD_LIBRARY_PATH=$build/.libs:$root/usr/lib/aarch64-linux-gnu/openmpi/lib OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
		OMPI_MCA_mca_base_component_path=$build/.libs:$root/usr/lib/aarch64-linux-gnu/openmpi/lib/openmpi3 \
		timeout 200 orterun --oversubscribe -n 2 "$build/mpi-examples/hello_pmem" "pmem:$work/pfs/hello" && [ -s "$work/pfs/hello" ]
}
agent_ends() { pmio agent stop; }

export PATH=$work/bin:$PATH QEMU_LD_PREFIX=$root PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_LIBDIR=$root/usr/lib/aarch64-linux-gnu/pkgconfig:$root/usr/share/pkgconfig
plan $((11 + $(echo "$AARCH64_TESTS" | wc -w)))
check "an emulator" get_emulator
check "packages for arm64" get_packages
[ $tap_failed = 0 ] || fatal
check "the sources" copy_sources
check "configure, with the ROMIO of Open MPI as expected" configure && [ $tap_failed = 0 ] || fatal
check "make, without warnings" build && [ $tap_failed = 0 ] || fatal
check "tests are built" build_tests && [ $tap_failed = 0 ] || fatal
for t in $AARCH64_TESTS; do check "unit tests: $t" unit "$t"; done
new_pool >/dev/null || fatal
check "redirected calls, drain=close" calls close
check "redirected calls, drain=hold" calls hold
check "what stdio writes goes to the pool" patched
check "two ranks of Open MPI" mpi
check "the agent ends" agent_ends
exit $tap_failed
