#!/bin/bash
# bash completion of pmio: what is offered is what the command has
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 7

. "$top_srcdir/tools/pmio.bash" || exit 99

# offered WORD...: as after these words and a tab; the last is what was begun; lines in $T/offered
offered() {
	COMP_WORDS=("$PMIO" "$@") COMP_CWORD=$# COMPREPLY=()
	_pmio "$PMIO" 2>"$T/said" || return 1
	[ ! -s "$T/said" ] || { cat "$T/said"; return 1; }
	printf '%s\n' "${COMPREPLY[@]}" | sort >"$T/offered"
}
# offers "LINES" WORD...: exactly these
offers() {
	local want=$1
	shift
	offered "$@" && diff <(printf '%s\n' $want | sort) "$T/offered"
}

commands() {
	local c
	offers "stage-in stage-out stat" st && offers "list" pool li && offers "start stop status" agent st &&
		offers "check create destroy list resize" pool '' || return 1
	offered '' || return 1
	while read -r c; do
		expect 0 "$PMIO" "$c" --help || return 1
	done <"$T/offered"
	[ "$(wc -l <"$T/offered")" -ge 10 ]
}
check "commands" commands

# each option that is offered is taken, and all that --help shows are offered
options() {
	local c
	for c in 'pool create' 'pool resize' 'pool list' 'pool check' 'pool destroy' ls stat stage-in stage-out drain recover rm \
		'agent start' 'agent stop' 'agent status' 'agent pause' 'agent resume' 'agent rate' conf mpi-info run mount unmount; do
		# shellcheck disable=SC2086
		offered $c -- || return 1
		grep -q '^--json$' "$T/offered" && grep -q '^--pool=$' "$T/offered" || { echo "$c"; return 1; }
		# shellcheck disable=SC2086
		"$PMIO" $c --help | grep -oE -- '--[a-z][a-z-]*=?' | sort -u | diff "$T/offered" - || return 1
	done
	offers "--size=" pool create --si && offers "--watch" stat --wat | sed 's/\[//' &&
		offers "--chunk-size=" --pool = "$PMIO_POOL" pool create --chu
}
check "options" options

pools() {
	expect 0 "$PMIO" pool create -q --size=16MiB && offered pool check '' && grep -qx "$PMIO_POOL" "$T/offered" &&
		offered --pool "${PMIO_POOL%ol}" && grep -qx "$PMIO_POOL" "$T/offered" &&
		offered ls --pool = "${PMIO_POOL%ol}" && grep -qx "$PMIO_POOL" "$T/offered" && offered ls --pool = &&
		grep -qx "$PMIO_POOL" "$T/offered"
}
check "pools" pools

no_files() {
	offers "" drain '' && no_agent
}
check "no agent is started to complete a name" no_files

files() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/with blank" write 0 1000 1 &&
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/plain" write 0 1000 2 &&
		offered drain '' && printf '%s\n' "$PFS/plain" "$PFS/with blank" | diff - "$T/offered" &&
		offers "$PFS/plain" stat "$PFS/p" && offers "$PFS/plain" --pool = "$PMIO_POOL" rm "$PFS/p" &&
		PMIO_POOL=$T/other offers "" rm "$PFS/p"
}
check "files that the pool knows" files

of_idle() {
	stop_agent && offers "$PFS/plain" recover "$PFS/p" && offers "" stat "$PFS/p" && no_agent
}
check "recover: also of a pool without an agent" of_idle

on_disk() {
	: >"$PFS/input1" && mkdir "$PFS/input2" && offered stage-in "$PFS/in" &&
		printf '%s\n' "$PFS/input1" "$PFS/input2" | diff - "$T/offered" && offered recover --to = "$PFS/input2" &&
		grep -qx "$PFS/input2" "$T/offered" && offers "" pool create --size = 1 && offers "$PFS/input2" mount "$PFS/in" &&
		offers "$PFS/input2" mount --source = "$PFS/in" && offers "$PFS/input2" unmount "$PFS/in"
}
check "files and directories" on_disk

exit $tap_failed
