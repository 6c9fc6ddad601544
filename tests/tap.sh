# tap.sh -- sourced by the shell tests, by most through env.sh: TAP, with the step that failed
#
# T   a folder, for logs
# shellcheck disable=SC2153

tap_n=0
tap_failed=0
plan() { echo "1..$1"; }
ok() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $*"; }
not_ok() { tap_n=$((tap_n + 1)); tap_failed=1; echo "not ok $tap_n - $*"; }
skip() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $1 # SKIP $2"; }
skip_all() { echo "1..0 # SKIP $*"; exit 0; }
# each command is written down before it runs, so that a failed test can show its last steps
note_step() { [ ! -d "$T" ] || printf '%s %s: %s\n' "${1##*/}" "$2" "${3%%$'\n'*}" >>"$T/steps"; }
steps_begin() {
	rm -f "$T/steps"
	set -o functrace
	trap 'note_step "$BASH_SOURCE" "$LINENO" "$BASH_COMMAND"' DEBUG
}
steps_end() {
	trap - DEBUG
	set +o functrace
}
# those of the test before steps_end, whose caller keeps the exit status first: rc=$?
last_steps() {
	[ -s "$T/steps" ] || return 0
	echo "# its last steps:"
	tac "$T/steps" | sed '1,/: rc=\$?$/d; /^tap\.sh /d' | head -n 12 | tac | sed 's/^/#   /'
}
# check NAME cmd...: one test that passes when cmd does; its output and its last steps are shown if not,
# and what the command CHECK_SHOWS prints
check() {
	local name=$1 log=$T/check.log rc began=$SECONDS
	shift
	steps_begin
	"$@" >"$log" 2>&1
	rc=$?
	steps_end
	# some scripts once took minutes longer than usual: which of their checks it was
	[ $((SECONDS - began)) -lt 60 ] || echo "# the next one took $((SECONDS - began)) s"
	if [ $rc = 0 ]; then
		ok "$name"
	elif [ $rc = 77 ]; then
		skip "$name" "$(tail -n 1 "$log")"
	else
		not_ok "$name"
		echo "# exit status $rc: $*"
		sed 's/^/#   /' "$log"
		last_steps
		[ -z "${CHECK_SHOWS:-}" ] || $CHECK_SHOWS 2>&1 | sed 's/^/#   /'
	fi
}
# COMMAND || fatal: what all checks need is not there; names the line of the script, and ends it
fatal() {
	local line=${BASH_LINENO[0]}
	echo "Bail out! ${BASH_SOURCE[1]##*/} $line: $(sed -n "${line}s/^[[:space:]]*//p" "${BASH_SOURCE[1]}")"
	exit 99
}
# until_ok cmd...: poll, with a limit; what it printed the last time is shown if it never succeeds
until_ok() {
	local end=$((SECONDS + 240))
	until "$@" >"$T/until" 2>&1; do
		[ $SECONDS -lt $end ] || { echo "in vain waited for: $*"; cat "$T/until"; return 1; }
		sleep 0.1
	done
}
