#!/bin/bash
# the programs of tests/redirect/cases.sh in a mount: what they leave and say is what they leave and say without it
#
# ONLY: names of some, to look at
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/mount/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/cases.sh" || exit 99
plan $((${#names[@]} + nr_missing))

# what a mount does not have (doc/limits.md)
lacks=" java fio lmdb numpy zarr leveldb dbi rrdtool python_mmap python_mmap_shared python_sqlite_wal "

same_words() {
	diff "$T/plain.out" "$T/mount.out" && diff <(sed "s,$T/plain,DIR,g; s/line [0-9]*: //" "$T/plain.out.err") <(sed "s,$M,DIR,g; s/line [0-9]*: //" "$T/mount.out.err")
}
same_files() { diff -r --no-dereference "$T/plain/$1" "$2/$1" && diff <(list "$T/plain/$1") <(list "$2/$1"); }
same() {
	run_case "$T/mount.out" "$M/$1" timeout -k 5 "${TEST_TIMEOUT:-600}" bash -c "${code[$1]}" && same_words && same_files "$1" "$M" &&
		expect 0 "$PMIO" drain --all && same_files "$1" "$PFS"
}

mkdir "$T/plain"
only=" ${ONLY:-} "
for name in "${names[@]}"; do
	if [ -n "${ONLY:-}" ] && [ "${only/ $name /}" = "$only" ]; then
		skip "$name" "not asked for"
	elif [ "${lacks/ $name /}" != "$lacks" ]; then
		skip "$name" "a mount has no shared mappings that can be written to"
	else
		run_case "$T/plain.out" "$T/plain/$name" bash -c "${code[$name]}"
		check "$name" same "$name"
	fi
done
skip_missing
exit $tap_failed
