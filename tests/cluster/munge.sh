#!/bin/bash
# munge.sh -- lib/fabric with MUNGE: who is not the target's user gets nothing, though he knows the key
. "${top_srcdir:-.}/tests/env.sh" || exit 99
PATH=$PATH:/usr/sbin:/sbin
for program in munged mungekey setpriv; do
	command -v $program >/dev/null || skip_all "no $program"
done

D=$T/munge # what the daemon insists on: others can get at its socket, and at nothing else
SOCKET=$D/run/socket
OTHER=54321 # a user id that nobody has
daemon= target=
end_all() {
	# shellcheck disable=SC2086
	[ -z "$target$daemon" ] || kill $target $daemon
	wait
	cleanup
}
trap end_all EXIT
chmod 711 "$T"
mkdir -m 711 "$D"
mkdir -m 755 "$D/run"
mkdir -m 700 "$D/etc"
# another user has to get at it
cp "$top_builddir/tests/cluster/credential" "$D/credential"
CREDENTIAL=$D/credential

start_daemon() {
	mungekey --create --keyfile="$D/etc/key" --bits=1024 || return
	munged --foreground --socket="$SOCKET" --key-file="$D/etc/key" --pid-file="$D/run/pid" \
		--seed-file="$D/etc/seed" --log-file="$D/etc/log" >"$D/etc/out" 2>&1 &
	daemon=$!
	until_ok test -e "$SOCKET" || { cat "$D/etc/out" "$D/etc/log"; return 1; }
}

stop_daemon() {
	kill "$daemon" && wait "$daemon"
	daemon=
	[ ! -e "$SOCKET" ]
}

stop_target() {
	[ -z "$target" ] || kill "$target"
	wait "$target" 2>/dev/null
	target=
}

start_target() { # POLICY
	stop_target
	rm -f "$D/target"
	"$CREDENTIAL" target "$1" "$SOCKET" "$D/target" 2>"$D/etc/said" &
	target=$!
	until_ok test -e "$D/target" || { cat "$D/etc/said"; return 1; }
}

# is WANTED KIND POLICY-OR-HOW [SOCKET] [PREFIX...]: what a port, or a forged one, is told
is() {
	local wanted=$1 kind=$2 how=$3 socket=${4:-$SOCKET} got
	shift $(($# < 4 ? $# : 4))
	got=$("$@" timeout -k 5 60 "$CREDENTIAL" "$kind" "$how" "$socket" "$D/target" 2>"$D/etc/port")
	[ "$got" = "$wanted" ] && return
	echo "$kind $how: $got, not $wanted"
	cat "$D/etc/port" "$D/etc/said"
	return 1
}

said() { # TIMES TEXT: the target, in its log
	[ "$(grep -c "$2" "$D/etc/said")" = "$1" ] || { cat "$D/etc/said"; return 1; }
}

required() {
	start_target require && is ok port require && is ok port auto && is ok forge good
}

missing() {
	start_target require && is EACCES port off && is EPERM forge none && said 1 "no credential" &&
		is EACCES port auto "$D/none" && grep -q "does not accept this process" "$D/etc/port" && is ok port require
}

bad_ones() {
	local how
	for how in replayed other cut; do
		start_target require && is EPERM forge $how && is EPERM forge $how && said 1 "refused" || return
	done
	is EACCES forge stripped && is ok port require
}

in_between() { # auto: only a bad one is worse than none
	start_target auto && is ok port auto && is ok port require && is ok port off && is ok forge none &&
		is ok forge cut && is EPERM forge replayed && is EPERM forge other && is EACCES forge stripped
}

port_insists() {
	start_target off && is ok port auto && is EACCES port require && grep -q "munge is required" "$D/etc/port"
}

# his credentials are for himself only; or for all, but then they tell whose they are
another_user() {
	local as="setpriv --reuid=$OTHER --regid=$OTHER --clear-groups" policy
	[ "$(id -u)" = 0 ] || { echo "needs root, to be another user"; return 77; }
	for policy in require auto; do
		# shellcheck disable=SC2086
		start_target $policy && is EACCES port require "$SOCKET" $as && is EACCES port auto "$SOCKET" $as &&
			said 1 "munge: " && is EPERM forge open "$SOCKET" $as && said 1 "munge: " &&
			is ok port require || return
	done
	# shellcheck disable=SC2086
	start_target require && is EPERM forge open "$SOCKET" $as && said 1 "another user's" || return
	# shellcheck disable=SC2086
	start_target off && is ok port auto "$SOCKET" $as # that knows the key is all that is asked
}

without_daemon() {
	stop_target
	stop_daemon
	rm -f "$D/target"
	timeout -k 5 60 "$CREDENTIAL" target require "$SOCKET" "$D/target" 2>"$D/etc/said" && return 1
	said 1 "munge is required, and does not work here" || return
	start_target auto && is ok port auto && is ok port off && ! is ok port require >/dev/null &&
		grep -q "munge is required, and does not work here" "$D/etc/port"
}

daemon_comes_back() { # another one, with another key: who is there goes on by that
	start_target require && is ok port require && stop_daemon && is EPERM forge none &&
		rm "$D/etc/key" && start_daemon && is ok port require
}

plan 9
check "a daemon of our own" start_daemon
check "require: a port with a credential" required
check "require: one without" missing
check "require: replayed, of another handshake, broken" bad_ones
check "auto: with and without" in_between
check "a port that requires it of a target that does not" port_insists
check "another user who knows the key" another_user
check "the daemon is started anew" daemon_comes_back
check "no daemon" without_daemon
exit $tap_failed
