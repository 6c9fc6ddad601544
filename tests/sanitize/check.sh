#!/bin/sh
# check.sh BUILDDIR TEST... -- build BUILDDIR/sanitize/source with sanitizers, run the tests, show what was reported
#
# Each process that has something to report writes a file, so what a detached agent or
# a rank says is not lost.  One report is a failure, whether a test saw it or not.
set -u
top=$1
shift
reports=$top/sanitize/reports
: "${MAKE:=make}"

configured() { [ -f config.status ] && [ "$(cat options 2>/dev/null)" = "$options" ]; }

# as BUILDDIR is configured
options=$("$top/config.status" --config)
mkdir -p "$top/sanitize/build" && cd "$top/sanitize/build" || exit 1
if ! configured; then
	eval "'$top/sanitize/source/configure' $options --srcdir='$top/sanitize/source' --enable-sanitizers" || exit 1
	echo "$options" >options
fi
# without the fuzzers, which have sanitizers anyway
"$MAKE" all && "$MAKE" check TESTS= check_DATA= || exit 1

# The search for leaks needs ptrace, which a container or a debugger may take away.
leaks=1
ASAN_OPTIONS=detect_leaks=1 ./pmio --version >/dev/null 2>&1 || leaks=0
[ $leaks = 1 ] || echo "leaks are not looked for: it does not work here"

rm -rf "$reports"
mkdir -m 1777 "$reports" # tests/cli/users.sh has another user
# exitcode=0 is for leaks: a rank always has some of Open MPI's
ASAN_OPTIONS=log_path=$reports/asan:detect_leaks=$leaks:exitcode=0:abort_on_error=1 \
	UBSAN_OPTIONS=log_path=$reports/ubsan:print_stacktrace=1:abort_on_error=1 \
	"$MAKE" -k check check_DATA= TESTS="$*"
status=$?

# Open MPI leaves thousands of small pieces behind.  Of a process that has it, only leaks with a function of ours count.
# libfabric's provider `net` 1.17 leaves some of each endpoint; it has no frame pointers, so such a leak has frames of its
# alone.  Of other processes all but these count.
ours() {
	if ! grep -q 'LeakSanitizer: detected' "$1"; then
		cat "$1"
		return
	fi
	mpi=0
	! grep -Eq '/lib(mpi|open-pal|open-rte)\.so' "$1" || mpi=1
	awk -v RS= -v ORS='\n\n' -v mpi=$mpi '
	function others(   i, n, line) { # a frame that is neither the allocator nor libfabric
		n = split($0, line, "\n")
		for (i = 1; i <= n; i++)
			if (line[i] ~ /^ *#[0-9]/ && line[i] !~ /\/libsanitizer\// && line[i] !~ /\/libfabric\.so/) return 1
		return 0
	}
	/leak of/ && (mpi ? /\/sanitize\/source\// : others())' "$1"
}

for report in "$reports"/*; do
	[ -f "$report" ] || continue
	text=$(ours "$report")
	[ -n "$text" ] || continue
	printf '\n---- %s\n%s\n' "$report" "$text" | head -n 100
	status=1
done
exit $status
