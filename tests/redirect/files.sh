# files.sh -- how the tests of redirected programs and of mounts look at files; sourced by their lib.sh

# the pattern of fileio, in a plain file: pattern FILE LEN SEED
pattern() {
	python3 -c 'import sys
n, seed = int(sys.argv[2]), int(sys.argv[3])
open(sys.argv[1], "wb").write(bytes((o * 131 + (o >> 8) * 17 + (o >> 20) * 5 + seed) & 255 for o in range(n)))' "$@"
}
size() { stat -c %s "$1"; }
# as pmio ls says it
state_of() { "$PMIO" ls | awk -v path="$1" '$NF == path { print $1 }'; }
