#!/bin/bash
# the programs of tests/redirect/cases.sh in a mount: what they leave and say is what they leave and say without it
#
# ONLY: names of some, to look at
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/mount/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/cases.sh" || exit 99

# shared mappings that can be written to: those programs are run in a mount that has them, and in one as with older kernels
need_them=" java fio lmdb numpy zarr leveldb dbi rrdtool python_mmap python_mmap_shared python_sqlite_wal "
mapping=()
for name in "${names[@]}"; do
	[[ $need_them = *" $name "* ]] && mapping+=("$name")
done
plan $((${#names[@]} + ${#mapping[@]} + nr_missing + 2))

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
# one NAME WORD...
one() {
	if [ -n "${ONLY:-}" ] && [ "${only/ $1 /}" = "$only" ]; then
		skip "$*" "not asked for"
		return
	fi
	rm -rf "${T:?}/plain/$1" "${M:?}/$1"
	run_case "$T/plain.out" "$T/plain/$1" bash -c "${code[$1]}"
	check "$*" same "$1"
}

for name in "${names[@]}"; do
	[[ " ${mapping[*]} " = *" $name "* ]] || one "$name"
done
with_mappings() { unmount_m && mount_m --shared-mappings; }
check "a mount with shared mappings" with_mappings
for name in "${mapping[@]}"; do one "$name"; done
export PMIO_MOUNT_CACHED=1
check "a mount with shared mappings, as with older kernels" with_mappings
for name in "${mapping[@]}"; do one "$name" as with older kernels; done
skip_missing
exit $tap_failed
