#!/bin/bash
# calls.sh -- what a program's calls answer is what they answer for a plain file, and what is in the files, too
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99

mapfile -t tests < <("$CALLS" --list)
plan $((2 * ${#tests[@]}))

plain_first() { mkdir -p "$T/plain/$1" && "$CALLS" "$T/plain/$1" "$1"; }
list() { (cd "$1" && find . -printf '%p %y %s %m\n' | sed 's/ d [0-9]* / d /' | sort); }
same() { diff -r "$T/plain/$1" "$PFS/$1" && diff <(list "$T/plain/$1") <(list "$PFS/$1"); }
closed() {
	plain_first "$1" && mkdir "$PFS/$1" && redirected --drain close -- "$CALLS" "$PFS/$1" "$1" && same "$1"
}
held() {
	redirected -- rm -rf "${PFS:?}/$1" && mkdir "$PFS/$1" && redirected --drain hold -- "$CALLS" "$PFS/$1" "$1" &&
		redirected -- diff -r "$T/plain/$1" "$PFS/$1" && { drain_all || [ ! -s "$ERR" ]; } && same "$1"
}
for t in "${tests[@]}"; do
	check "$t, drain=close" closed "$t"
	check "$t, drain=hold" held "$t"
	redirected -- rm -rf "${PFS:?}/$t"
done
exit $tap_failed
