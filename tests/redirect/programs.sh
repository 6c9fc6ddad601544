#!/bin/bash
# programs that know nothing of the pool, redirected: what they leave and say is what they leave and say without it
#
# Each is run in a plain folder, and redirected with drain=close and drain=hold in others.  With hold the file system has
# nothing of what was written until it is drained, or the program was not redirected; those that set times or modes
# ("settles") have their files drained before.
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/cases.sh" || exit 99
plan $((2 * ${#names[@]} + nr_missing))

same_words() {
	diff "$T/plain.out" "$1" && diff <(sed "s,$T/plain,DIR,g; s/line [0-9]*: //" "$T/plain.out.err") <(sed "s,$PFS,DIR,g; s/line [0-9]*: //" "$1.err")
}
same_files() { diff -r --no-dereference "$T/plain/$1" "$PFS/$1" && diff <(list "$T/plain/$1") <(list "$PFS/$1"); }

closed() {
	run_case "$T/closed.out" "$PFS/$1" redirected --drain close -- bash -c "${code[$1]}" && same_words "$T/closed.out" && same_files "$1"
}
held() {
	local left
	redirected -- rm -rf "${PFS:?}/$1" && run_case "$T/held.out" "$PFS/$1" redirected --drain hold -- bash -c "${code[$1]}" && same_words "$T/held.out" || return
	left=$(plain_bytes "$PFS/$1")
	[ "${kind[$1]}" != holds ] || [ "$left" = 0 ] || { echo "on the file system are $left bytes"; return 1; }
	redirected -- diff -r --no-dereference "$T/plain/$1" "$PFS/$1" && { drain_all || [ ! -s "$ERR" ]; } && same_files "$1"
}

mkdir "$T/plain"
only=" ${ONLY:-} "
for name in "${names[@]}"; do
	if [ -n "${ONLY:-}" ] && [ "${only/ $name /}" = "$only" ]; then
		skip "$name, drain=close" "not asked for" && skip "$name, drain=hold" "not asked for"
	else
		run_case "$T/plain.out" "$T/plain/$name" bash -c "${code[$name]}"
		check "$name, drain=close" closed "$name"
		check "$name, drain=hold" held "$name"
		redirected -- rm -rf "$T/plain/$name" "${PFS:?}/$name"
	fi
done
skip_missing
exit $tap_failed
