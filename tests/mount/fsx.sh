#!/bin/bash
# random operations on a file in a mount, through the pool and on a plain file, side by side; FSX_SEED repeats a run
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/mount/lib.sh" || exit 99
plan 10

FSX=$top_builddir/tests/mount/fsx
seed=${FSX_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
echo "# FSX_SEED=$seed"
rm -f "$T/first.log"
mappings=()

# SEED [VARIABLE=VALUE...]
random() {
	local seed=$1
	shift
	remount "$@" && env "$@" timeout -k 5 "${TEST_TIMEOUT:-600}" "$FSX" "$M/f$seed" "$PFS/f$seed" "$T/ref" "$seed" "${FSX_OPERATIONS:-3000}" "${mappings[@]}" &&
		cmp "$T/ref" "$M/f$seed" && expect 0 "$PMIO" drain --all && cmp "$T/ref" "$PFS/f$seed" && rm "$M/f$seed"
}
check "seed $seed, drain=close" random "$seed"
check "seed $((seed + 1)), drain=hold" random $((seed + 1)) PMIO_DRAIN=hold
check "seed $((seed + 2)), drain=async" random $((seed + 2)) PMIO_DRAIN=async

# while agents are killed
killing() {
	random "$seed" &
	kill_agents $! 15 0.2
}
check "seed $seed, drain=close, agents are killed" killing

mount_options=(--shared-mappings) mappings=(mappings)
check "seed $seed, drain=close, shared mappings" random "$seed"
check "seed $((seed + 1)), drain=hold, shared mappings" random $((seed + 1)) PMIO_DRAIN=hold
check "seed $seed, drain=close, shared mappings, agents are killed" killing
check "seed $seed, drain=close, shared mappings as with older kernels" random "$seed" PMIO_MOUNT_CACHED=1
check "seed $((seed + 1)), drain=hold, shared mappings as with older kernels" random $((seed + 1)) PMIO_DRAIN=hold PMIO_MOUNT_CACHED=1
check "unmount" unmount_m

exit $tap_failed
