#!/bin/bash
# the agent's coming and going
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 16

agent_log=$PMIO_POOL/agent.log
# agents that came to serve this pool so far; they must have been started with PMIO_LOG=info
nr_agents() { grep -c 'agent: serving' "$agent_log"; }

agent_missing() {
	PMIO_AGENT=/nonexistent fails PMIO_EAGENT '/nonexistent' "$PFS/x" &&
		PMIO_AGENT=/nonexistent expect 1 "$PMIO" ls && one_line '/nonexistent' && [ ! -e "$PFS/x" ]
}
check "the agent's program is missing" agent_missing

agent_dies() {
	PMIO_AGENT=/bin/false fails PMIO_EAGENT '/bin/false' "$PFS/x" && [ ! -e "$PFS/x" ]
}
check "the agent's program ends at once" agent_dies

pmiod_usage() {
	expect 0 "$top_builddir/pmiod" --help && says -- '--drain-threads' && ! grep -q ready-fd "$OUT" &&
		expect 0 "$top_builddir/pmiod" --version && says "^pmiod ${PMIO_VERSION:-[0-9]}" &&
		expect 2 "$top_builddir/pmiod" --drain-threads=0 && expect 2 "$top_builddir/pmiod" --log=loud &&
		expect 2 "$top_builddir/pmiod" --idle-timeout=x && expect 2 "$top_builddir/pmiod" --ready-fd=x &&
		expect 2 "$top_builddir/pmiod" extra
}
check "pmiod: help, version, mistakes" pmiod_usage

many_clients() {
	local i pids= bad=0 pid
	rm -f "$agent_log"
	for i in $(seq 24); do
		PMIO_LOG=info timeout 60 "$FILEIO" "$PFS/many.$i" write 0 100000 "$i" >"$T/many.$i" 2>&1 &
		pids="$pids $!"
	done
	for pid in $pids; do wait "$pid" || { echo "process $pid: $?"; bad=1; }; done
	[ $bad = 0 ] || { cat "$T"/many.*; return 1; }
	for i in $(seq 24); do
		expect 0 "$FILEIO" -p "$PFS/many.$i" is 100000 verify 0 100000 "$i" || return 1
	done
	[ "$(nr_agents)" = 1 ] || { cat "$agent_log"; return 1; }
}
check "many clients at once, and no agent: one is started" many_clients

foreground_busy() {
	expect 1 "$top_builddir/pmiod" --foreground --pool="$PMIO_POOL" && one_line "$PMIO_POOL" &&
		expect 0 "$PMIO" agent status
}
check "a second agent is refused" foreground_busy

two_agents_race() {
	local i status a b good bad
	stop_agent || return 1
	for i in 1 2 3 4 5; do
		"$top_builddir/pmiod" --foreground --pool="$PMIO_POOL" >/dev/null 2>"$T/race.a" & a=$!
		"$top_builddir/pmiod" --foreground --pool="$PMIO_POOL" >/dev/null 2>"$T/race.b" & b=$!
		until_ok expect 0 "$FILEIO" "$PFS/raced" write 0 1000 "$i" || return 1
		until_ok eval "gone $a || gone $b" || return 1
		good=$a bad=$b
		if gone $a; then good=$b bad=$a; fi
		wait $bad
		status=$?
		[ $status = 1 ] && [ "$(cat "$T/race.a" "$T/race.b" | wc -l)" = 1 ] && [ "$(agent_pid)" = $good ] ||
			{ echo "status $status"; cat "$T/race.a" "$T/race.b"; return 1; }
		expect 0 "$FILEIO" -p "$PFS/raced" verify 0 1000 "$i" && expect 0 "$PMIO" agent stop && wait $good ||
			return 1
	done
}
check "two agents race for one pool: one has it, the other says so" two_agents_race

stale_socket() {
	expect 0 "$FILEIO" "$PFS/stale" write 0 1000 1 && kill_agent && [ -S "$PMIO_POOL/agent.sock" ] &&
		expect 1 "$PMIO" agent status &&
		expect 0 "$FILEIO" "$PFS/stale" verify 0 1000 1 write 1000 1000 1 && silent &&
		expect 0 "$FILEIO" -p "$PFS/stale" is 2000 verify 0 2000 1
}
check "the socket of a dead agent" stale_socket

not_a_socket() {
	stop_agent && rm -f "$PMIO_POOL/agent.sock" && echo no >"$PMIO_POOL/agent.sock" &&
		expect 0 "$FILEIO" "$PFS/stale" verify 0 2000 1 && stop_agent
}
check "a file where the socket should be" not_a_socket

idle() {
	# the polling here is not work that keeps it
	PMIO_IDLE_TIMEOUT=1 expect 0 "$FILEIO" "$PFS/idle" write 0 1000 1 && expect 0 "$PMIO" agent status &&
		until_ok no_agent && [ ! -e "$PMIO_POOL/agent.sock" ] &&
		expect 0 "$PMIO" pool check && says ', 0 of them with'
}
check "leaves when idle" idle

not_idle_with_client() {
	PMIO_IDLE_TIMEOUT=1 background "$PFS/client" write 0 1000 1 wait "$T/go1" write 1000 1000 1
	bg_says waiting && local pid && pid=$(agent_pid) && sleep 2.5 && [ "$(agent_pid)" = "$pid" ] &&
		touch "$T/go1" && bg_ends && until_ok no_agent &&
		expect 0 "$FILEIO" -p "$PFS/client" is 2000 verify 0 2000 1
}
check "stays while a client is there" not_idle_with_client

not_idle_with_data() {
	PMIO_IDLE_TIMEOUT=1 PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/idle" write 0 1000 2 && sleep 2.5 &&
		expect 0 "$PMIO" agent status && expect 0 "$PMIO" drain --all && until_ok no_agent &&
		expect 0 "$FILEIO" -p "$PFS/idle" verify 0 1000 2
}
check "stays while data wait" not_idle_with_data

stop_refused() {
	background "$PFS/stop" write 0 1000 3 wait "$T/go2" write 1000 1000 3
	bg_says waiting && expect 1 "$PMIO" agent stop && one_line '(busy|programs are using it)' && expect 0 "$PMIO" agent status &&
		expect 0 "$PMIO" agent stop --force && until_ok no_agent && touch "$T/go2" && bg_ends &&
		expect 0 "$FILEIO" -p "$PFS/stop" is 2000 verify 0 2000 3
}
check "stop with a client: refused; with --force the client goes on with another agent" stop_refused

sigterm() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/term" write 0 100000 3 && kill "$(agent_pid)" && until_ok no_agent &&
		[ ! -e "$PMIO_POOL/agent.sock" ] && expect 0 "$PMIO" ls && says "^held .* $PFS/term\$" &&
		expect 0 "$PMIO" agent stop && expect 0 "$PMIO" drain --all &&
		expect 0 "$FILEIO" -p "$PFS/term" is 100000 verify 0 100000 3
}
check "SIGTERM and stop end it; what is held stays held" sigterm

drain_fails() {
	mkdir -p "$PFS/gone" "$PFS/far/away" && PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/gone/f" write 0 1000 3 &&
		kill_agent && mv "$PFS/gone" "$PFS/far/away" && expect 1 "$PMIO" drain "$PFS/gone/f" && one_line 'o such file' &&
		expect 0 "$PMIO" ls && says "^failed .*$PFS/gone/f \(No such file" &&
		expect 1 "$PMIO" agent stop && expect 0 "$PMIO" agent status &&
		mv "$PFS/far/away/gone" "$PFS/gone" && expect 0 "$PMIO" drain --all &&
		expect 0 "$FILEIO" -p "$PFS/gone/f" is 1000 verify 0 1000 3 && expect 0 "$PMIO" agent stop
}
check "a drain that fails keeps the data, and the agent" drain_fails

foreground() {
	"$PMIO" agent start --foreground 2>"$T/fg.err" &
	local pid=$!
	until_ok "$PMIO" agent status && [ "$(agent_pid)" = $pid ] && expect 0 "$PMIO" agent stop && wait $pid
}
check "agent start --foreground" foreground

log_file() {
	"$top_builddir/pmiod" --pool="$PMIO_POOL" --log-file="$T/own.log" --log=info --idle-timeout=0 &&
		expect 0 "$PMIO" agent status && says 'does not exit when idle' &&
		grep -q 'agent: serving' "$T/own.log" && expect 0 "$PMIO" agent stop
}
check "pmiod detaches, with a log file of one's own" log_file

exit $tap_failed
