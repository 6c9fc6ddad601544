# compare.sh -- sourced by the tests of clients: the same program on pmem: and on ROMIO
#
# Programs here take a file name (or the start of several) and exit as those in
# tests/mpi do: 0, or 77 after a line "skip: why", or anything else.

. "${top_srcdir:-.}/tests/env.sh"
need_mpi

here=$top_srcdir/tests/clients
bin=$top_builddir/tests/clients
# Open MPI 5's ROMIO loses hints, and 6 has none
REFERENCE=romio321
[ "$OPENMPI_ADAPTER" != library ] || REFERENCE=ompio

# on_pmem N NAME PROG ARG...; on_romio the same: PROG ARG... <file>, in folders of their own
on_pmem() {
	n=$1 file=$2
	shift 2
	mkdir -p "$PFS/pmem"
	quietly run "$n" "$@" "pmem:$PFS/pmem/$file"
}

# the same by the setting `paths`, for what does not leave the prefix alone
by_paths() {
	n=$1 file=$2
	shift 2
	mkdir -p "$PFS/pmem"
	(
		export PMIO_PATHS="$PFS/pmem/*"
		quietly run "$n" "$@" "$PFS/pmem/$file"
	) || return
	"$PMIO" ls | grep -q "$PFS/pmem/$file" || { echo "it was not written by pmio"; "$PMIO" ls; return 1; }
}

on_romio() {
	n=$1 file=$2
	shift 2
	mkdir -p "$PFS/plain"
	MPI_LIBRARY='' quietly run "$n" --mca io "${reference:-$REFERENCE}" "$@" "$PFS/plain/$file"
}

# bytes NAME...: files that both runs left
same_bytes() {
	for f; do
		[ -s "$PFS/plain/$f" ] || { echo "$PFS/plain/$f is empty or missing"; return 1; }
		same_file "$PFS/plain/$f" "$PFS/pmem/$f" || return
	done
}

# both N NAME PROG ARG...: three tests
both() {
	label=$(basename "$3" .py)
	[ "$label" != python3 ] || label=$(basename "$4" .py)
	check "$label on $1, pmem:" on_pmem "$@"
	check "$label on $1, plain" on_romio "$@"
	check "$label on $1: same bytes in $2" same_bytes "$2"
}

# sets PYTHON to one that has all the modules, or skips the whole test
need_python() {
	for PYTHON in ${PYTHON3:-} /usr/bin/python3 python3; do
		why=$("$PYTHON" -c "import $1" 2>&1) && return
	done
	skip_all "no python3 with $1 ($(echo "$why" | tail -n 1))"
}

need_program() {
	[ -x "$bin/$1" ] || skip_all "built without $2"
}
