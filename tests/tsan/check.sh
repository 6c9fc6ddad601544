#!/bin/sh
# check.sh BUILDDIR TEST... -- build BUILDDIR/tsan/source with ThreadSanitizer, run the tests, show what was reported
#
# Each process that has something to report writes a file, so what a detached agent says
# is not lost.  One report is a failure, whether a test saw it or not.
set -u
top=$1
shift
reports=$top/tsan/reports
: "${MAKE:=make}"

configured() { [ -f config.status ] && [ "$(cat options 2>/dev/null)" = "$options" ]; }

# as BUILDDIR is configured
options=$("$top/config.status" --config)
mkdir -p "$top/tsan/build" && cd "$top/tsan/build" || exit 1
if ! configured; then
	eval "'$top/tsan/source/configure' $options --srcdir='$top/tsan/source' --enable-sanitizers=thread" || exit 1
	echo "$options" >options
fi
# its shadow memory has fixed places; some kernels put programs into them, but not without randomization
run=
printf 'int main(void) { return 0; }\n' >t.c && ${CC:-cc} -fsanitize=thread t.c -o t || exit 1
if ! ./t 2>/dev/null; then
	run="setarch -R"
	$run ./t || { echo "ThreadSanitizer does not work on this kernel"; exit 1; }
fi

"$MAKE" all && "$MAKE" check TESTS= check_DATA= || exit 1

rm -rf "$reports"
mkdir -m 1777 "$reports"
# exitcode=0: tests go on, and the reports are counted
TSAN_OPTIONS=log_path=$reports/tsan:suppressions=$top/tsan/source/tests/tsan/suppressions.txt:exitcode=0:history_size=5 \
	$run "$MAKE" -k check check_DATA= TESTS="$*"
status=$?

for report in "$reports"/*; do
	[ -s "$report" ] || continue
	printf '\n---- %s\n' "$report"
	head -n 200 "$report"
	status=1
done
exit $status
