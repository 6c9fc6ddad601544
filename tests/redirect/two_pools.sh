# two_pools.sh -- sourced after a lib.sh: files of several nodes, without several nodes
#
# Sets   HERE, THERE, MEMORY   the pool of this process, that of another node, that of a memory node

export PMIO_ADDRESS=127.0.0.1 PMIO_TIMEOUT=5
HERE=$PMIO_POOL THERE=$T/there MEMORY=$T/memory
mkdir -m 700 "$THERE" "$MEMORY"
stop_others() {
	local p
	for p in "$THERE" "$MEMORY"; do "$PMIO" agent stop --force --pool="$p" >/dev/null 2>&1; done
}
# what was printed, with ' ' for each end of a line
printed() { [ "$(tr '\n' ' ' <"$OUT")" = "$1" ] || { cat "$OUT" "$ERR"; return 1; }; }
no_owner() { [ -z "$(find "$PFS" -name '.pmio-owner.*' | tee /dev/stderr)" ]; }
in_pool() { "$PMIO" ls --pool="$1" | grep -q "$2\$"; }
# what has a file open ($holder, by hold_open) goes on; let_go [WHAT]: what it prints then
let_go() {
	touch "$T/go"
	wait $holder && [ ! -s "$T/holder.err" ] && [ "$(cat "$T/holder.out")" = "${1-"$(cat "$T/holder.out")"}" ] && return
	cat "$T/holder.out" "$T/holder.err"
	return 1
}
