#!/bin/bash
# pmio mpi-info, pmio run --mpi: which MPI a program has, by what it is served, and what it is then run with
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 17

fakes=$top_builddir/tests/cli/mpis
[ -x "$fakes/static" ] || skip_all "the programs of this test are not built"

# where the libraries of ours are: what is preloaded does not matter here, so each is a copy of some library
export PMIO_LIBDIR=$T/lib
mkdir "$T/lib" "$T/none" "$T/bin"
have() {
	local family
	rm -f "$T/lib"/*
	for family in "$@"; do cp "$fakes/libmpi.so.99" "$T/lib/libpmio-mpi-$family.so" || return 1; done
}
cp "$fakes/libmpi.so.99" "$T/mca_io_pmem.so"
unset LD_PRELOAD LD_LIBRARY_PATH

info() { expect "$1" "$PMIO" mpi-info --json "$2" && silent; }

families() {
	have abi mpich || return 1
	LD_LIBRARY_PATH=$fakes expect 0 "$PMIO" mpi-info --json && silent && json "[m['family'] for m in o['mpis']] == ['abi', 'mpich', 'openmpi']" &&
		json "[m['by'] for m in o['mpis']] == ['library', 'library', 'nothing']" &&
		json "[m['mpi'] for m in o['mpis']] == ['MPICH 9.8.7', 'MPICH 9.8.7', 'Open MPI v5.0.7']" &&
		json "o['mpis'][1]['file'] == '$fakes/libmpich.so.12' and 'hides' in o['mpis'][2]['why']" &&
		LD_LIBRARY_PATH=$fakes expect 0 "$PMIO" mpi-info && says '^mpich +MPICH 9\.8\.7, found in' && says '^openmpi +Open MPI v5\.0\.7' &&
		says 'served by the library libpmio-mpi-mpich.so: pmio run --mpi' && says 'not served: it has no component mca_io_pmem.so'
}
check "all MPIs that the loader finds" families

# the families' names and libraries are those that --help and the manual have
named() {
	local family
	LD_LIBRARY_PATH=$fakes "$PMIO" mpi-info --json >"$OUT"
	expect 0 "$PMIO" run --help || return 1
	tr -s ' \n' ' ' <"$OUT" >"$T/help"
	for family in abi mpich openmpi; do
		grep -q "^\.It Li $family" "$top_srcdir/doc/man/pmio-run.1" && grep -q "[ :(]$family[,) ]" "$T/help" || { echo "$family"; return 1; }
	done
}
check "--help and the manual name them" named

linked() {
	have abi mpich openmpi || return 1
	info 0 "$fakes/with_12" && json "o['family'] == 'mpich' and o['by'] == 'library' and o['preload'] and o['file'] == '$fakes/libmpi.so.12'" &&
		json "o['library'] == '$T/lib/libpmio-mpi-mpich.so' and o['program'] == '$fakes/with_12'" &&
		info 0 "$fakes/with_abi" && json "o['family'] == 'abi' and o['mpi'] == 'MPICH 9.8.7' and o['library'].endswith('-abi.so')" &&
		info 0 "$fakes/with_40" && json "o['family'] == 'openmpi' and o['mpi'] == 'Open MPI v5.0.7'" &&
		info 1 "$fakes/with_99" && json "'family' not in o and o['mpi'] == 'LAM/MPI 7.1' and o['why'] == 'pmio has no adapter for this MPI'" &&
		expect 0 "$PMIO" mpi-info "$fakes/with_12" && says "^program +MPICH 9.8.7, linked to $fakes/libmpi.so.12"
}
check "the MPI that a program is linked to" linked

# the loader's rules: LD_LIBRARY_PATH is stronger than a runpath, links are followed for \$ORIGIN, and a library may not be there
as_loaded() {
	mkdir "$T/moved" "$T/old" && cp "$fakes/with_12" "$T/moved/program" && cp "$fakes/libmpi.so.40" "$T/old/libmpi.so.12" &&
		ln -s "$fakes/with_12" "$T/moved/link" || return 1
	# this machine may have an MPI of that name
	if ldd "$T/moved/program" | grep -q 'libmpi\.so\.12 => not found'; then
		info 1 "$T/moved/program" && json "o['why'].endswith('is linked to libmpi.so.12, which is not found')" || return
	fi
	LD_LIBRARY_PATH=$T/old info 0 "$T/moved/program" && json "o['family'] == 'openmpi'" &&
		LD_LIBRARY_PATH=$T/old info 0 "$fakes/with_12" && json "o['family'] == 'openmpi'" &&
		info 0 "$T/moved/link" && json "o['family'] == 'mpich'"
}
check "libraries are those that the loader takes" as_loaded

component() {
	unsanitized || return
	have mpich && COMPONENT=$T/mca_io_pmem.so info 0 "$fakes/with_40" &&
		json "o['by'] == 'component' and o['component'] == '$T/mca_io_pmem.so' and not o['preload'] and 'hides' in o['why']" &&
		have openmpi && COMPONENT=$T/mca_io_pmem.so info 0 "$fakes/with_40" && json "o['by'] == 'library' and o['preload']" &&
		cp "$fakes/libmpi.so.99" "$T/libpmio-driver-9.so" && have mpich && LD_PRELOAD=$T/libpmio-driver-9.so info 0 "$fakes/with_12" &&
		json "o['by'] == 'component' and o['component'] == '$T/libpmio-driver-9.so' and not o['preload'] and 'why' not in o" &&
		have && OMPI_MCA_io=ompio info 1 "$fakes/with_40" && json "o['why'].startswith('OMPI_MCA_io=ompio excludes')" &&
		OMPI_MCA_io=pmem,ompio info 1 "$fakes/with_40" && json "o['why'].startswith('it has no component')"
}
check "a component that the MPI loads, a driver in it, or neither" component

unreachable() {
	have abi mpich openmpi && printf '#!/bin/sh\ntouch %s/was-run\n' "$T" >"$T/bin/script" && echo "text" >"$T/bin/text" && chmod +x "$T/bin"/* || return 1
	info 1 "$fakes/static" && json "'linked statically' in o['why']" && info 1 "$fakes/static-pie" && json "'linked statically' in o['why']" &&
		info 1 "$fakes/own" && json "'contains its MPI' in o['why']" && info 1 "$fakes/foreign" && json "'/no/such/loader' in o['why']" &&
		info 1 /bin/true && json "'is linked to no MPI' in o['why']" && PATH=$T/bin:$PATH info 1 script && json "'is a script (/bin/sh)' in o['why']" &&
		info 1 "$T/bin/text" && json "'is not an executable' in o['why']" && [ ! -e "$T/was-run" ]
}
check "programs that cannot be served, and why" unreachable

# neither the program nor a loader that it brings along is run
not_run() {
	local size
	have mpich && cp "$fakes/with_12" "$T/bin/part" || return 1
	size=$(stat -c %s "$T/bin/part")
	for n in 0 1 4 63 64 200 1000 $((size / 2)) $((size - 1)); do
		head -c "$n" "$fakes/with_12" >"$T/bin/part"
		"$PMIO" mpi-info --json "$T/bin/part" >"$OUT" 2>"$ERR"
		[ $? -le 1 ] && json "o['by'] == 'nothing' or o['family'] == 'mpich'" || { echo "$n bytes"; return 1; }
	done
}
check "programs that are cut off" not_run

others_rights() {
	have mpich && cp "$fakes/with_12" "$T/bin/rights" && cp "$fakes/libmpi.so.12" "$T/bin/" || return 1
	[ "$(id -u)" = 0 ] || { echo "not root"; return 77; }
	chown 12345 "$T/bin/rights" && chmod u+s "$T/bin/rights" && info 1 "$T/bin/rights" && json "'rights of another user' in o['why']"
}
check "programs with the rights of others" others_rights

bad_usage() {
	expect 1 "$PMIO" mpi-info "$T/nix" && one_line "$T/nix: No such file" && expect 1 "$PMIO" mpi-info "$T" && one_line "$T: Is a directory" &&
		expect 2 "$PMIO" mpi-info a b && one_line 'only one PROGRAM' && expect 2 "$PMIO" run --mpi && expect 2 "$PMIO" run -- /bin/true &&
		expect 2 "$PMIO" run --mpi=lam -- /bin/true && grep -q 'mpi=lam: unknown MPI family' "$ERR"
}
check "mistakes on the command line" bad_usage

# what the program says of itself
ran() {
	printf '%s\n' "$@" | diff - "$OUT"
}
preloaded() {
	have abi mpich openmpi && expect 7 "$PMIO" run --mpi -- "$fakes/with_12" --mpi -- a 'b c' && silent &&
		ran "0=$fakes/with_12" 1=--mpi 2=-- 3=a '4=b c' "LD_PRELOAD=$T/lib/libpmio-mpi-mpich.so" "PMIO_POOL=$PMIO_POOL" 'PMIO_LOG=(none)' &&
		PATH=$fakes:$PATH expect 7 "$PMIO" run --mpi with_40 -x && silent &&
		ran 0=with_40 1=-x "LD_PRELOAD=$T/lib/libpmio-mpi-openmpi.so" "PMIO_POOL=$PMIO_POOL" 'PMIO_LOG=(none)' &&
		expect 7 "$PMIO" run -v --pool="$T/other" --mpi=abi "$fakes/with_abi" && grep -q 'abi.so is preloaded' "$ERR" &&
		ran "0=$fakes/with_abi" "LD_PRELOAD=$T/lib/libpmio-mpi-abi.so" "PMIO_POOL=$T/other" PMIO_LOG=info
}
check "a program is run with what it needs" preloaded

kept() {
	unsanitized || return
	have mpich && cp "$fakes/libmpi.so.99" "$T/some.so" &&
		LD_PRELOAD=$T/some.so expect 7 "$PMIO" run --mpi -- "$fakes/with_12" && says "^LD_PRELOAD=$T/some.so:$T/lib/libpmio-mpi-mpich.so$" &&
		LD_PRELOAD=$T/lib/libpmio-mpi-mpich.so expect 7 "$PMIO" run --mpi -- "$fakes/with_12" && says "^LD_PRELOAD=$T/lib/libpmio-mpi-mpich.so$"
}
check "what is preloaded already stays, and nothing comes twice" kept

# only the PATH that is asked for: nothing of the environment changes where nothing is needed
unchanged() {
	have mpich && COMPONENT=$T/mca_io_pmem.so expect 7 "$PMIO" run --mpi -- "$fakes/with_40" && says '^LD_PRELOAD=\(none\)$' || return 1
	COMPONENT=$T/mca_io_pmem.so LD_LIBRARY_PATH=$fakes expect 0 "$PMIO" run --mpi=openmpi -- env && grep -v '^_=' "$OUT" | sort >"$T/with"
	COMPONENT=$T/mca_io_pmem.so LD_LIBRARY_PATH=$fakes env | grep -v '^_=' | sort | diff - "$T/with"
}
check "with a component nothing changes" unchanged

# says FAMILY for what is linked to none
chosen() {
	have mpich openmpi && printf '#!/bin/sh\necho "$LD_PRELOAD $*"\n' >"$T/bin/script" && chmod +x "$T/bin/script" || return 1
	LD_LIBRARY_PATH=$fakes expect 0 "$PMIO" run --mpi=mpich "$T/bin/script" 1 2 && says "^$T/lib/libpmio-mpi-mpich.so 1 2$" &&
		LD_LIBRARY_PATH=$fakes expect 0 "$PMIO" run --mpi=openmpi -- python3 -c 'import os; print(os.environ["LD_PRELOAD"])' &&
		says "^$T/lib/libpmio-mpi-openmpi.so$"
}
check "scripts and programs that load their MPI: by its family" chosen

# refused STATUS PATTERN ARGUMENT...: with one line, and the program does not run
refused() {
	local status=$1 pattern=$2
	shift 2
	expect "$status" "$PMIO" run "$@" && one_line "$pattern" && [ ! -s "$OUT" ]
}
abi_is_there() { PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep -q 'libmpi_abi\.so\.1 '; }
impossible() {
	unsanitized || return
	have abi && refused 125 'MPICH 9.8.7: libpmio-mpi-mpich.so is not in' --mpi -- "$fakes/with_12" &&
		refused 125 'LAM/MPI 7.1: pmio has no adapter' --mpi "$fakes/with_99" &&
		refused 125 'linked statically' --mpi=mpich "$fakes/static" && refused 125 'contains its MPI' --mpi=mpich "$fakes/own" &&
		refused 125 'give --mpi=FAMILY' --mpi -- /bin/true && { abi_is_there || refused 125 'no such MPI is installed' --mpi=abi /bin/true; } &&
		refused 125 'is linked to MPICH 9.8.7, not to an MPI of the family openmpi' --mpi=openmpi "$fakes/with_12" &&
		LD_PRELOAD=$T/lib/libpmio-mpi-abi.so refused 125 'libpmio-mpi-abi.so, which is for abi, is already linked to it or preloaded' --mpi "$fakes/with_12" &&
		refused 127 "$T/nix: No such file" --mpi "$T/nix" && refused 127 'nix: No such file' --mpi nix && refused 126 'Permission denied' --mpi "$T/some.txt" &&
		PMIO_DRAIN=later refused 125 'later' --mpi "$fakes/with_abi"
}
echo text >"$T/some.txt"
check "what cannot be: one line and a status of its own" impossible

odd_folder() {
	export PMIO_LIBDIR="$T/with blank"
	mkdir "$PMIO_LIBDIR" && cp "$fakes/libmpi.so.99" "$PMIO_LIBDIR/libpmio-mpi-mpich.so" && refused 125 'a space or a colon' --mpi "$fakes/with_12"
}
check "a library that cannot be preloaded" odd_folder
export PMIO_LIBDIR=$top_builddir/.libs

# the real ones
hello() {
	local name=$1
	shift
	"$@" "pmem:$PFS/$name" >"$OUT" 2>&1 && [ -s "$PFS/$name" ] && [ ! -e pmem: ] && return 0
	cat "$OUT"
	return 1
}
real_openmpi() (
	! why=$(no_mpi) || { echo "$why"; exit 77; }
	prog=$top_builddir/mpi-examples/hello_pmem
	cd "$T" && info 0 "$prog" && json "o['by'] == '$OPENMPI_ADAPTER' and o['family'] == 'openmpi'" &&
		hello openmpi timeout -k 5 120 "$MPIRUN" -n 4 "$PMIO" run --mpi -- "$prog" && run 4 "$prog" "$PFS/openmpi.plain" && cmp "$PFS/openmpi" "$PFS/openmpi.plain"
)
check "Open MPI" real_openmpi

real_mpich() (
	unsanitized || exit
	prog=$top_builddir/tests/mpich/hello_pmem mpirun=${MPIRUN_MPICH:-mpiexec.mpich}
	[ -x "$prog" ] || { echo "no MPICH when this was configured"; exit 77; }
	cd "$T" && info 0 "$prog" && json "o['by'] == 'library' and o['family'] == 'mpich'" &&
		hello mpich timeout -k 5 120 "$mpirun" -n 4 "$PMIO" run --mpi -- "$prog" && timeout 120 "$mpirun" -n 4 "$prog" "$PFS/mpich.plain" &&
		cmp "$PFS/mpich" "$PFS/mpich.plain"
)
check "MPICH" real_mpich

exit $tap_failed
