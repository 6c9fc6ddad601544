#!/bin/bash
# another user who is in the way, and one who runs a program that has our rights: nothing is had by that
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
[ "$(id -u)" = 0 ] || skip_all "needs root, to be two users"
command -v setpriv >/dev/null || skip_all "no setpriv"
plan 13

# two that nobody is; the default pool of the first is looked for in /dev/shm itself
US=64321 THEM=64322
as_us="setpriv --reuid=$US --regid=$US --clear-groups"
as_them="setpriv --reuid=$THEM --regid=$THEM --clear-groups"
default=/dev/shm/pmio-$US
# shellcheck disable=SC2086
[ -z "$(ls -d $default $default.* 2>/dev/null)" ] || skip_all "$default is there"
trap 'kill -9 $bgs 2>/dev/null; "$T/ours" pmio agent stop --force >/dev/null 2>&1; rm -rf "$default" "$default".*; cleanup' EXIT

chmod 711 "$T"
mkdir -m 755 "$T/bin" && cp "$top_builddir/pmio" "$top_builddir/pmiod" "$T/bin" || fatal
mkdir -m 1777 "$T/shared" && mkdir -m 755 "$T/home" && mkdir -m 700 "$T/pool.us" &&
	chown "$US:$US" "$T/home" "$T/pool.us" && chmod 1777 "$PFS" || fatal
export PMIO_ADDRESS=127.0.0.1 PMIO_POOL_SIZE=32MiB PMIO_AGENT=$T/bin/pmiod
# ours PROGRAM argument...: with the default pool
cat >"$T/ours" <<END
#!/bin/sh
unset PMIO_POOL
program=\$1
shift
cd "$T/home" && exec $as_us "$T/bin/\$program" "\$@"
END
chmod 755 "$T/ours"

# ---- the default pool's name -----------------------------------------------------------------------

found() { "$T/ours" pmio conf --json >"$T/conf" && python3 -c 'import json, sys
print([s["value"] for s in json.load(open(sys.argv[1]))["settings"] if s["name"] == "pool"][0])' "$T/conf"; }

squatted() {
	local beside
	$as_them mkdir -m 755 "$default" && [ "$(found)" = "$default" ] &&
		expect 0 "$T/ours" pmio agent start && err_lines 2 "the name is used by user $THEM" || return
	beside=$(found)
	case $beside in "$default".????????????????) ;; *) echo "it is at $beside"; return 1 ;; esac
	[ "$(stat -c '%u %a' "$beside")" = "$US 700" ] && [ -s "$beside/data" ] &&
		expect 0 "$T/ours" pmio agent status && expect 0 "$T/ours" pmio agent start && silent
}
check "the default pool's name is another user's: it is beside that, and found again" squatted

goes_away() {
	local beside
	beside=$(found)
	rmdir "$default" && [ "$(found)" = "$beside" ] && expect 0 "$T/ours" pmio agent status &&
		expect 0 "$T/ours" pmio agent stop && expect 0 "$T/ours" pmio agent start && silent && [ "$(found)" = "$beside" ] && [ ! -e "$default" ]
}
check "it stays where it is when that name is free" goes_away

traps() {
	local beside
	beside=$(found)
	# names that look like it: none of them is ours alone
	$as_them mkdir -m 755 "$default.0000000000000000" && $as_them ln -s "$beside" "$default.0000000000000001" &&
		$as_us mkdir "$default.0000000000000002" && chmod 777 "$default.0000000000000002" &&
		$as_us touch "$default.0000000000000003" && [ "$(found)" = "$beside" ] && expect 0 "$T/ours" pmio agent stop &&
		expect 0 "$T/ours" pmio pool destroy "$beside"
}
check "names that only look like it are passed over" traps
rm -rf "$default" "$default".*

at_once() {
	local i pids='' p
	$as_them mkdir -m 755 "$default"
	for i in 1 2 3 4 5 6 7 8; do
		"$T/ours" pmio agent start >/dev/null 2>"$T/start.$i" &
		pids="$pids $!"
	done
	for p in $pids; do wait "$p" || { cat "$T"/start.*; return 1; }; done
	# shellcheck disable=SC2086
	[ "$(ls -d $default.* | wc -l)" = 1 ] || { ls -ld "$default"*; return 1; }
	expect 0 "$T/ours" pmio agent stop
}
check "several processes at once make one" at_once

named() {
	local said
	said="user $THEM|another user \($THEM\)"
	mkdir -m 755 "$T/theirs" && chown "$THEM" "$T/theirs" && export PMIO_POOL=$T/theirs
	expect 1 $as_us "$T/bin/pmio" agent start && one_line "$said" && expect 1 $as_us "$T/bin/pmio" pool check && one_line "$said"
	local rc=$?
	export PMIO_POOL=$T/pool
	return $rc
}
check "whose a pool is, is said" named

# ---- the agent's socket and log ----------------------------------------------------------------------

socket() {
	expect 0 "$PMIO" agent start && [ "$(stat -c '%a' "$PMIO_POOL/agent.sock")" = 600 ]
}
check "the agent's socket is its user's" socket

refused() {
	local python
	python=$(other_python $as_them) || return
	chmod 755 "$PMIO_POOL" && chmod 777 "$PMIO_POOL/agent.sock" &&
		$as_them "$python" - "$PMIO_POOL/agent.sock" <<-'END'
	import socket, sys
	for i in range(100):
	    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	    s.connect(sys.argv[1])
	    try:
	        s.recv(1)
	    except ConnectionError:
	        pass
	END
	local rc=$?
	chmod 700 "$PMIO_POOL"
	[ $rc = 0 ] && [ "$(grep -c "refused process .* of user $THEM" "$PMIO_POOL/agent.log")" = 1 ]
}
check "a process that is refused again and again does not fill its log" refused

log_link() {
	local log=$T/open/log what
	# without the sticky bit: with it the kernel may already do this
	mkdir -m 777 "$T/open" && echo kept >"$T/kept" && $as_them ln -s "$T/kept" "$log" || return
	"$PMIO" agent stop || return
	for what in '' --target; do
		timeout 20 "$T/bin/pmiod" $what --idle-timeout=1 --log-file="$log" >"$OUT" 2>"$ERR" </dev/null
		grep -q 'log file .*Too many levels' "$ERR" || { cat "$ERR"; return 1; }
	done
	[ "$(cat "$T/kept")" = kept ]
}
check "the log is not written to where another user's link leads" log_link

# ---- an endpoint descriptor in a folder of all ---------------------------------------------------------

card() {
	local trap=$T/trap log=$T/target.log pid
	# in place of the process that is to be the target: its number is known then
	cat >"$trap" <<-END
		#!/bin/sh
		: >"$T/shared/card.\$\$" && chmod 666 "$T/shared/card.\$\$" && chown $THEM "$T/shared/card.\$\$" &&
			exec $as_us "$T/bin/pmiod" --target --foreground --listen=:$((20000 + RANDOM % 10000)) --card="$T/shared/card"
	END
	chmod 755 "$trap"
	PMIO_POOL=$T/pool.us "$trap" >"$log" 2>&1 </dev/null &
	pid=$!
	bgs="$bgs $pid"
	until_ok test -s "$T/shared/card" || { cat "$log"; return 1; }
	cat "$log" && ls -l "$T/shared"
	[ -e "$T/shared/card.$pid" ] && [ ! -s "$T/shared/card.$pid" ] && [ "$(stat -c '%u %a' "$T/shared/card")" = "$US 600" ]
	local rc=$?
	kill "$pid" && until_ok gone "$pid"
	return $rc
}
check "the key of an endpoint descriptor does not go to a user who knew its file's temporary name" card

key_of() { sed -n 's/^key = //p' "$1"; }
exposed() {
	local before pid log=$T/target2.log
	before=$(key_of "$T/shared/card")
	[ -n "$before" ] && chmod 644 "$T/shared/card" || return
	PMIO_POOL=$T/pool.us $as_us "$T/bin/pmiod" --target --foreground --listen=:$((20000 + RANDOM % 10000)) --card="$T/shared/card" \
		>"$log" 2>&1 </dev/null &
	pid=$!
	bgs="$bgs $pid"
	until_ok grep -q 'created a new key' "$log" && until_ok eval '[ "$(stat -c %a "$T/shared/card")" = 600 ]' || { cat "$log"; return 1; }
	[ "$(key_of "$T/shared/card")" != "$before" ]
	local rc=$?
	kill "$pid" && until_ok gone "$pid"
	PMIO_POOL=$T/pool.us $as_us "$T/bin/pmio" agent stop
	return $rc
}
check "an endpoint descriptor that others could read does not keep its key" exposed

# says_no_munge SETTING: a target that is started with it does
says_no_munge() {
	local pid log=$T/target.$1.log
	PMIO_POOL=$T/pool.us PMIO_MUNGE=$1 $as_us "$T/bin/pmiod" --target --foreground --log=info --card="$T/pool.us/card" >"$log" 2>&1 </dev/null &
	pid=$!
	bgs="$bgs $pid"
	# by the signal it has said all that there is at the start
	until_ok grep -q 'target: serving' "$log" && kill "$pid" && until_ok gone "$pid" || { cat "$log"; return 1; }
	grep -q 'munge=auto, but MUNGE does not work here' "$log"
}
no_munge() {
	! munge -n >/dev/null 2>&1 || { echo "MUNGE runs here"; return 77; }
	says_no_munge auto && ! says_no_munge off
	local rc=$?
	PMIO_POOL=$T/pool.us $as_us "$T/bin/pmio" agent stop
	return $rc
}
check "a target with munge=auto says that MUNGE does not work" no_munge

# ---- a program with other rights than its caller's ---------------------------------------------------------

rights() {
	unsanitized || return
	local bin=$T/bin/pmio.us marker=$T/shared/marker
	cp "$T/bin/pmio" "$bin" && chown $US "$bin" && chmod 4755 "$bin" || return
	(unset PMIO_POOL; $as_them "$bin" conf) | grep -q "/dev/shm/pmio-$US" || { echo "setuid has no effect here"; return 77; }
	printf '#!/bin/sh\nid -u >%s\n' "$marker" >"$T/bin/evil" && chmod 755 "$T/bin/evil"
	mkdir -p "$T/shared/home/.config/pmio" && echo "agent = $T/bin/evil" >"$T/shared/home/.config/pmio/pmio.conf"
	echo "agent = $T/bin/evil" >"$T/shared/conf"
	(unset PMIO_POOL PMIO_CONF; PMIO_AGENT=$T/bin/evil timeout 60 $as_them "$bin" agent start) >"$OUT" 2>&1
	(unset PMIO_POOL PMIO_AGENT; PMIO_CONF=$T/shared/conf timeout 60 $as_them "$bin" agent start) >>"$OUT" 2>&1
	(unset PMIO_POOL PMIO_AGENT PMIO_CONF; HOME=$T/shared/home timeout 60 $as_them "$bin" agent start) >>"$OUT" 2>&1
	[ ! -e "$marker" ] || { echo "the caller's program ran as user $(cat "$marker")"; return 1; }
	PMIO_DRAIN=hold PMIO_CONF=$T/shared/conf HOME=$T/shared/home expect 0 $as_them "$bin" conf --json &&
		json "all(s['from'] == 'default' for s in o['settings'])"
}
check "a program with our rights takes nothing from its caller's environment" rights

# the program's threads share memory with what becomes the agent: they must stay who they are
borrowed() {
	unsanitized || return
	local pid lib
	lib=$(echo "$top_builddir"/.libs/libpmio.so.?)
	[ -e "$lib" ] && mkdir -m 700 "$T/pool.borrowed" && chown "$US:$US" "$T/pool.borrowed" || return
	python3 - "$lib" "$T/pool.borrowed" $US <<-'END' || return
	import ctypes, os, sys
	lib, pool, user = ctypes.CDLL(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
	os.setegid(user)
	os.seteuid(user)
	pm = ctypes.c_void_p()
	rc = lib.pmio_connect(pool, ctypes.byref(pm))
	if rc != 0 or os.getresuid() != (0, user, 0):
	    sys.exit("pmio_connect: %d, user ids %s" % (rc, os.getresuid()))
	END
	pid=$(PMIO_POOL=$T/pool.borrowed $as_us "$T/bin/pmio" agent status --json | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
	grep -E '^[UG]id:' "/proc/$pid/status"
	[ "$(awk '/^[UG]id:/ { print $2, $3, $4, $5 }' "/proc/$pid/status" | sort -u)" = "$US $US $US $US" ]
	local rc=$?
	PMIO_POOL=$T/pool.borrowed $as_us "$T/bin/pmio" agent stop
	return $rc
}
check "an agent has all ids of the user whose rights a program has borrowed" borrowed

exit $tap_failed
