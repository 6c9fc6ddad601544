# bench/warm.sh -- sourced by the benches: memory that is there before time is taken; see bench_touch.c for why
#
# A pool on a tmpfs is like PMEM only once its pages are there.  Pages that nobody has touched yet are zeroed by the kernel, and
# in a virtual machine fetched from the host, at the first write to each, which is a cost of the tmpfs and not of the candidate.

# ready_pool DIR [PMIO]: creates the pool and reads it once, which makes the kernel put zeroes to all of its pages
ready_pool() {
	"${2:-$PMIO}" pool create -q "$1" >/dev/null
	cat "$1"/* >/dev/null
}

# ready_memory [MIB]: as much free memory as a candidate will need; call it right before
ready_memory() { "$top_builddir/bench_touch" "${1:-640}"; }
