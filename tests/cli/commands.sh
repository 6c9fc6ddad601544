#!/bin/bash
# the commands of pmio: what they print, their JSON, their exit statuses
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 25

version=$("$PMIO" --version)

help_of_each() {
	local c
	for c in "" pool "pool create" "pool list" "pool check" "pool destroy" ls stat stage-in stage-out drain rm \
		agent "agent start" "agent stop" "agent status" conf; do
		expect 0 "$PMIO" $c --help && silent && says "^Usage: pmio ${c:+$c }" &&
			says '--json' && says '--pool' || return 1
		expect 0 "$PMIO" $c --usage && says '^Usage: pmio' || return 1
		expect 0 "$PMIO" $c --version && says "^$version\$" || return 1
	done
	[ "${version#pmio [0-9]*.}" != "$version" ]
}
check "each command has --help, --usage, --version" help_of_each

wrong_usage() {
	local args
	while read -r args; do
		expect 2 "$PMIO" $args || return 1
		[ -s "$ERR" ] && [ ! -s "$OUT" ] || { echo "pmio $args said nothing"; return 1; }
	done <<-'END'

		frobnicate
		--frobnicate
		pool
		pool frobnicate
		pool create a b
		pool create --size
		pool check a b
		pool destroy
		pool destroy a b
		ls x
		ls --frobnicate
		stat --size=1
		drain
		drain --all x
		rm
		agent
		agent start x
		agent stop --all
		conf x
		ls --pool=
	END
}
check "mistakes on the command line end with 2" wrong_usage

wrong_sizes() {
	local size
	for size in "" 0 8 7.9MiB -1 +64MiB 0x4000000 nan inf 64QiB 64MiBx 1..5TiB 1,5TiB TiB \
		1.5.TiB 20000PiB 16EiB 99999999999999999999 1e400 "64 M B"; do
		expect 2 "$PMIO" pool create --size="$size" "$T/sized" || return 1
		grep -q "pool_size (command line): \"$size\" is not a size" "$ERR" ||
			{ echo "size $size"; cat "$ERR"; return 1; }
		[ ! -e "$T/sized" ] || return 1
	done
}
check "sizes that are none are refused" wrong_sizes

right_sizes() {
	local size bytes
	while read -r size bytes; do
		PMIO_POOL_SIZE=${size/_/ } expect 0 "$PMIO" conf --json &&
			json "[s for s in o['settings'] if s['name'] == 'pool_size'][0]['value'] == $bytes" ||
			return 1
	done <<-'END'
		67108864 67108864
		64MiB 67108864
		64_MiB 67108864
		64m 67108864
		64MB 64000000
		1.5TiB 1649267441664
		1.5T 1649267441664
		1.5TB 1500000000000
		0.5gib 536870912
		1PiB 1125899906842624
	END
}
check "sizes mean what they say" right_sizes

create() {
	expect 0 "$PMIO" pool create --size=64MiB --chunk-size=256KiB "$T/made" && silent &&
		says 'room for .* MiB in frames of 256.0 KiB' &&
		[ "$(stat -c %a "$T/made")" = 700 ] && [ -f "$T/made/data" ] && [ -f "$T/made/catalog" ]
}
check "pool create" create

create_again() {
	expect 1 "$PMIO" pool create --size=64MiB "$T/made" && one_line "$T/made"
}
check "pool create does not touch a pool that is there" create_again

create_json() {
	expect 0 "$PMIO" --json pool create --size=64MiB "$T/made2" && silent &&
		json "o['pool'] == '$T/made2' and o['chunk_size'] == 1 << 20 and 0 < o['size'] <= 64 << 20"
}
check "pool create --json" create_json

create_bar() {
	on_terminal "$PMIO" pool create --size=64MiB "$T/made3" && says 'pool create \[#+\] 100% +64.0 MiB of 64.0 MiB' &&
		says 'room for .* MiB in frames' && on_terminal "$PMIO" pool destroy "$T/made3" &&
		on_terminal "$PMIO" pool create -q --size=64MiB "$T/made3" && [ ! -s "$OUT" ] &&
		on_terminal "$PMIO" pool create --json --size=64MiB "$T/made4" && json "o['pool'] == '$T/made4'" &&
		expect 0 "$PMIO" pool destroy "$T/made3" && expect 0 "$PMIO" pool destroy "$T/made4"
}
check "pool create with a progress bar, on a terminal only" create_bar

check_pool() {
	expect 0 "$PMIO" pool check "$T/made" && silent && says ': 0 problems;.* granularity (byte|cache line|page)$' &&
		expect 0 "$PMIO" pool check --json "$T/made" &&
		json "o['problems'] == 0 and o['files'] == 0 and o['used_frames'] == 0 and o['frames'] > 100" &&
		json "o['granularity'] in ('byte', 'cache line', 'page')"
}
check "pool check" check_pool

list_pools() {
	expect 0 "$PMIO" pool list "$T/made" && silent && says "^idle +(byte|cache line|page) .*MiB.* $T/made\$" &&
		expect 3 "$PMIO" pool list --json "$T/made" "$T/none" &&
		json "[p['state'] for p in o['pools'] if p['pool'] == '$T/made'] == ['idle']" &&
		json "[p['state'] for p in o['pools'] if p['pool'] == '$T/none'] == ['missing']" &&
		json "[p['granularity'] for p in o['pools'] if p['pool'] == '$T/made'][0] in ('byte', 'cache line', 'page')" &&
		json "o['pools'][0]['pool'] == '$PMIO_POOL'" &&
		expect 1 "$PMIO" pool list "$T/none"
}
check "pool list" list_pools

destroy() {
	expect 0 "$PMIO" pool destroy "$T/made" && silent && [ ! -e "$T/made" ] &&
		expect 0 "$PMIO" pool destroy --json "$T/made2" && [ ! -e "$T/made2" ] &&
		expect 1 "$PMIO" pool destroy "$T/made" && one_line "$T/made"
}
check "pool destroy" destroy

no_agent_yet() {
	expect 1 "$PMIO" agent status && says 'no agent runs' && silent &&
		expect 1 "$PMIO" agent status --json && json "o['running'] is False" &&
		expect 0 "$PMIO" agent stop && silent
}
check "agent status and stop without an agent" no_agent_yet

start() {
	expect 0 "$PMIO" pool create --size=256MiB -q && [ ! -s "$OUT" ] && silent &&
		expect 0 "$PMIO" agent start && silent && expect 0 "$PMIO" agent start &&
		expect 0 "$PMIO" agent status && says 'agent [0-9]+, up [0-9]+ s' &&
		expect 0 "$PMIO" agent status --json &&
		json "o['running'] and o['pid'] > 1 and o['idle_timeout_s'] == $PMIO_IDLE_TIMEOUT and o['dirty'] == 0"
}
check "agent start, status" start

busy_pool() {
	expect 1 "$PMIO" pool check && one_line "$PMIO_POOL" &&
		expect 1 "$PMIO" pool destroy --force "$PMIO_POOL" && one_line "$PMIO_POOL" &&
		expect 0 "$PMIO" pool list && says "^running .* $PMIO_POOL\$" &&
		expect 0 "$PMIO" agent status
}
check "pool check and destroy refuse while an agent has the pool" busy_pool

held() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/held" write 0 3000000 1 && silent &&
		expect 0 "$PMIO" ls && silent && says "^held +2.9 MiB +.* 0  $PFS/held\$" &&
		expect 0 "$PMIO" ls --json &&
		json "o['files'][0]['path'] == '$PFS/held' and o['files'][0]['size'] == 3000000" &&
		json "o['files'][0]['pfs_size'] == 0 and o['files'][0]['state'] == 'held'" &&
		json "3000000 <= o['files'][0]['dirty'] <= 3000000 + 8192 and o['files'][0]['handles'] == 0"
}
check "ls shows a file that is held" held

stat_pool() {
	expect 0 "$PMIO" stat && silent && says '^dirty +2.9 MiB' && says '^granularity' &&
		expect 0 "$PMIO" stat --json &&
		json "o['pool'] == '$PMIO_POOL' and o['files'] == 1 and 3000000 <= o['dirty'] <= 3008192" &&
		json "o['size'] - o['free'] >= 3 * o['chunk_size'] and len(o['uuid']) == 36"
}
check "stat of the pool" stat_pool

stat_file() {
	cd "$PFS" && expect 0 "$PMIO" stat held && says "^path +$PFS/held\$" && cd / &&
		expect 3 "$PMIO" stat --json "$PFS/held" "$PFS/none" && one_line "$PFS/none" &&
		json "len(o['files']) == 1 and o['files'][0]['size'] == 3000000" &&
		expect 1 "$PMIO" stat "$PFS/none" && one_line "$PFS/none: not known"
}
check "stat of files" stat_file

drain_some() {
	expect 3 "$PMIO" drain "$PFS/held" "$PFS/none" && one_line "$PFS/none" &&
		says "^drained $PFS/held\$" &&
		expect 0 "$FILEIO" -p "$PFS/held" is 3000000 verify 0 3000000 1 &&
		expect 1 "$PMIO" drain "$PFS/none" && one_line "$PFS/none" &&
		expect 0 "$PMIO" ls --json && json "o['files'][0]['dirty'] == 0 and o['files'][0]['state'] == 'clean'"
}
check "drain of one of two" drain_some

drain_all() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/h1" write 0 100000 2 &&
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/h2" write 5000000 100000 3 &&
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/h3" truncate 12345 &&
		expect 0 "$PMIO" drain --all --json && silent &&
		[ "$(grep -c '"event":"file"' "$OUT")" = 3 ] && says '"event":"done".*"status":"done","files":3' &&
		expect 0 "$FILEIO" -p "$PFS/h1" is 100000 verify 0 100000 2 &&
		expect 0 "$FILEIO" -p "$PFS/h2" is 5100000 zero 0 5000000 verify 5000000 100000 3 &&
		expect 0 "$FILEIO" -p "$PFS/h3" is 12345 zero 0 12345 &&
		expect 0 "$PMIO" drain --all && [ ! -s "$OUT" ]
}
check "drain --all" drain_all

remove() {
	expect 3 "$PMIO" rm "$PFS/h1" "$PFS/none" && one_line "$PFS/none" && [ ! -e "$PFS/h1" ] &&
		expect 0 "$PMIO" rm --json "$PFS/h2" && json "o['files'][0]['removed']" &&
		[ ! -e "$PFS/h2" ] && expect 1 "$PMIO" rm "$PFS" && one_line "$PFS" && [ -d "$PFS" ] &&
		expect 0 "$PMIO" ls && ! grep -q "$PFS/h[12]" "$OUT"
}
check "rm" remove

destroy_dirty() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/held" write 1000 1000 9 &&
		expect 0 "$PMIO" agent stop --force && until_ok no_agent &&
		expect 1 "$PMIO" pool destroy "$PMIO_POOL" && one_line 'data of 1 files wait' &&
		expect 0 "$PMIO" drain --all &&
		expect 0 "$FILEIO" -p "$PFS/held" verify 0 1000 1 verify 1000 1000 9 verify 2000 2998000 1 &&
		expect 0 "$PMIO" agent stop && expect 0 "$PMIO" pool destroy "$PMIO_POOL"
}
check "pool destroy does not throw data away" destroy_dirty

destroy_dirty_forced() {
	expect 0 "$PMIO" pool create -q --size=64MiB "$PMIO_POOL" &&
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/held" write 0 1000 8 &&
		expect 0 "$PMIO" agent stop --force &&
		expect 0 "$PMIO" pool destroy --force "$PMIO_POOL" && silent && [ ! -e "$PMIO_POOL" ] &&
		expect 0 "$FILEIO" -p "$PFS/held" verify 0 1000 1
}
check "pool destroy --force does" destroy_dirty_forced

stop_with_held() {
	expect 0 "$PMIO" pool create -q --size=64MiB "$PMIO_POOL" &&
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/stopped" write 0 1000 8 &&
		expect 0 "$PMIO" agent stop && silent && expect 1 "$PMIO" agent status &&
		expect 0 "$PMIO" drain --all && expect 0 "$FILEIO" -p "$PFS/stopped" is 1000 verify 0 1000 8 &&
		expect 0 "$PMIO" agent stop
}
check "agent stop leaves nothing undone" stop_with_held

options_anywhere() {
	local other=$T/other
	expect 0 "$PMIO" --pool="$other" pool create --size=64MiB && [ -f "$other/data" ] &&
		expect 0 "$PMIO" pool check -p "$other" && says "$other" &&
		(cd "$T" && expect 0 "$PMIO" pool check other) && says "$other" &&
		expect 0 "$PMIO" -q pool check "$other" && [ ! -s "$OUT" ] && silent
}
check "common options stand before or after the command" options_anywhere

full_stdout() {
	"$PMIO" conf >/dev/full 2>"$ERR"
	[ $? = 1 ] && one_line 'standard output: No space'
}
check "output that cannot be written is an error" full_stdout

exit $tap_failed
