#!/bin/bash
# two users on one node: neither reaches the other's pool, each can have one
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
[ "$(id -u)" = 0 ] || skip_all "needs root, to be two users"
command -v setpriv >/dev/null || skip_all "no setpriv"
plan 7

other="setpriv --reuid=65534 --regid=65534 --clear-groups"
chmod 711 "$T"
# where the other user can run them; fileio's library stands beside it
mkdir -m 755 "$T/bin" && cp "$top_builddir/pmio" "$top_builddir/pmiod" "$T/bin" || fatal
cp "$top_builddir"/tests/cli/.libs/fileio "$top_builddir"/.libs/libpmio.so.* "$T/bin" ||
	cp "$top_builddir/tests/cli/fileio" "$T/bin" || fatal
export LD_LIBRARY_PATH=$T/bin${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
PMIO=$T/bin/pmio FILEIO=$T/bin/fileio PMIO_AGENT=$T/bin/pmiod
mkdir -m 777 "$T/shared" && mkdir -m 755 "$T/open"
log_of_both() { cat "$PMIO_POOL/agent.log" "$T/nobody/agent.log" 2>/dev/null; }

other_fails() { # CODE PATTERN args of fileio
	local code=$1 pattern=$2
	shift 2
	expect 1 $other "$FILEIO" "$@" && says "^$code\$" && one_line "$pattern"
}

closed_pool() {
	expect 0 "$FILEIO" "$T/shared/root" write 0 1000 1 && expect 0 "$PMIO" agent status &&
		other_fails EACCES "$PMIO_POOL.*Permission" -c || other_fails EPERM "$PMIO_POOL" -c
}
check "root's pool, closed" closed_pool

open_pool() {
	chmod 755 "$PMIO_POOL" && other_fails EPERM "$PMIO_POOL" -c && expect 1 $other "$PMIO" ls && one_line "$PMIO_POOL" &&
		expect 1 $other "$PMIO" pool check && one_line "$PMIO_POOL" &&
		expect 1 $other "$PMIO" pool destroy --force "$PMIO_POOL" && one_line "$PMIO_POOL" &&
		[ -s "$PMIO_POOL/data" ] && chmod 700 "$PMIO_POOL" && expect 0 "$PMIO" agent status
}
check "root's pool, open to readers" open_pool

socket_is_closed() {
	local python
	python=$(other_python $other) || return
	chmod 755 "$PMIO_POOL" && chmod 777 "$PMIO_POOL/agent.sock" &&
		$other "$python" - "$PMIO_POOL/agent.sock" <<-'END'
	import socket, sys
	s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	s.settimeout(10)
	try:
	    s.connect(sys.argv[1])
	    s.send(b"\0" * 32)
	    answer = s.recv(65536)
	except (ConnectionError, PermissionError, BrokenPipeError):
	    answer = b""
	sys.exit(len(answer) != 0)
	END
	local rc=$?
	chmod 700 "$PMIO_POOL"
	[ $rc = 0 ] && expect 0 "$FILEIO" "$T/shared/root" verify 0 1000 1
}
check "the agent does not talk to another user, whatever the permissions say" socket_is_closed

own_pool() {
	mkdir -m 700 "$T/nobody" && chown 65534:65534 "$T/nobody" &&
		PMIO_POOL=$T/nobody expect 0 $other "$FILEIO" "$T/shared/nobody" write 0 1000 2 &&
		[ "$(stat -c %u "$T/shared/nobody")" = 65534 ] &&
		expect 0 "$FILEIO" -p "$T/shared/nobody" is 1000 verify 0 1000 2
}
check "the other user has a pool too" own_pool

roots_way_out() {
	PMIO_POOL=$T/nobody fails EPERM "$T/nobody" -c && PMIO_POOL=$T/nobody expect 0 $other "$PMIO" agent status
}
check "root does not use it by mistake" roots_way_out

no_permission() {
	expect 0 "$FILEIO" "$T/open/roots" write 0 1000 3 && chmod 600 "$T/open/roots" && export PMIO_POOL=$T/nobody &&
		other_fails EACCES "$T/open/roots" "$T/open/roots" && other_fails EACCES "$T/open/new" "$T/open/new" &&
		chmod 644 "$T/open/roots" && expect 0 $other "$FILEIO" -r "$T/open/roots" is 1000 verify 0 1000 3 &&
		other_fails EACCES "$T/open/roots" "$T/open/roots"
	local rc=$?
	export PMIO_POOL=$T/pool
	return $rc
}
check "the file system's permissions hold" no_permission

other_stops() {
	PMIO_POOL=$T/nobody expect 0 $other "$PMIO" agent stop && expect 0 "$PMIO" agent status
}
check "each agent is its user's" other_stops

exit $tap_failed
