#!/bin/bash
# names with control characters: in no output is there any but the end of a line
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 7

export PMIO_LOG=info PMIO_ADDRESS=127.0.0.1 PMIO_IDLE_TIMEOUT=300
# an escape, a newline that begins a line as the log's, DEL, and one of the characters above ASCII's, in UTF-8 and alone
ODD=$'odd\x1b]0;title\x07\nT pmiod[1]: error: \x7f\xc2\x9b\x9bname'
D="$PFS/$ODD"
mkdir "$D" || fatal

# clean FILE...: no control characters but newline and tab
clean() {
	python3 - "$@" <<-'END'
	import sys, unicodedata
	rc = 0
	for name in sys.argv[1:]:
	    text = open(name, encoding="utf-8", errors="surrogateescape", newline="").read()
	    for line in text.split("\n"):
	        if any(unicodedata.category(c) == "Cc" and c != "\t" or "\udc80" <= c < "\udca0" for c in line):
	            print("%s: %r" % (name, line))
	            rc = 1
	        if line.startswith("T pmiod"):
	            print("%s: a line of its own: %r" % (name, line))
	            rc = 1
	sys.exit(rc)
	END
}
both() { clean "$OUT" "$ERR"; }
# tried STATUS cmd...: what it says is clean
tried() { expect "$@" && both; }

files() {
	tried 0 "$FILEIO" "$D/f" write 0 1000 1 && tried 0 "$PMIO" ls && says '\\x1b\]0;title\\x07\\x0aT pmiod.*\\x7f\\xc2\\x9b\\x9bname/f' &&
		tried 0 "$PMIO" stat "$D/f" && tried 0 "$PMIO" drain "$D/f" && tried 0 "$PMIO" stage-in "$D/f" &&
		tried 0 "$PMIO" stage-out "$D/f" && PMIO_DRAIN=hold tried 0 "$FILEIO" "$D/f" write 0 1000 2 && tried 0 "$PMIO" forget "$D/f"
}
check "commands with files" files

for_programs() {
	tried 0 "$FILEIO" "$D/f" write 0 1000 1 && tried 0 "$PMIO" ls --json && json 'o["files"][0]["path"].endswith("\x7f\x9b\udc9bname/f")' &&
		tried 0 "$PMIO" stage-in --json "$D/f"
}
check "JSON has the names as they are, escaped" for_programs

bad() {
	tried 1 "$PMIO" stat "$D/none" && tried 1 "$PMIO" drain "$D/none" && tried 1 "$PMIO" stage-in "$D/none" && tried 1 "$PMIO" rm "$D/none" &&
		tried 1 "$PMIO" pool check "$D" && tried 1 "$FILEIO" "$D" write 0 1 1 &&
		tried 2 "$PMIO" "$ODD" && tried 2 "$PMIO" "--$ODD" && tried 2 "$PMIO" ls "--$ODD=1" && tried 2 "$PMIO" stat --watch="$ODD" &&
		tried 2 "$PMIO" stat --count="$ODD" && tried 2 "$PMIO" stage-in --jobs="$ODD" x && tried 2 "$top_builddir/pmiod" "--$ODD" &&
		tried 2 "$top_builddir/pmiod" --ready-fd="$ODD" && PMIO_DRAIN="$ODD" tried 1 "$PMIO" conf
}
check "errors, and options that are none" bad

pool() {
	export PMIO_POOL="$T/$ODD"
	mkdir -m 700 "$PMIO_POOL" && tried 0 "$PMIO" agent start && tried 0 "$PMIO" pool list && tried 0 "$PMIO" conf && tried 0 "$PMIO" stat &&
		tried 0 "$PMIO" stat --prometheus && says 'pool=".*\\\\x1b\]0;title\\\\x07\\\\x0aT' && tried 0 "$PMIO" stat --json && tried 0 "$PMIO" agent status &&
		tried 0 "$PMIO" agent stop && clean "$PMIO_POOL/agent.log" && tried 0 "$PMIO" pool check && tried 0 "$PMIO" recover &&
		tried 0 "$PMIO" pool destroy --force "$PMIO_POOL"
	local rc=$?
	export PMIO_POOL=$T/pool
	return $rc
}
check "a pool of such a name" pool

cards() {
	mkdir -m 700 "$T/cards" && cat >"$T/cards/odd" <<-END && chmod 600 "$T/cards/odd" || return
		[target]
		host = $(printf 'h\033[31m\302\233')
		provider = $(printf 'tcp\033[31m')
		epoch = 1
		address = 02000001
		key = $(printf '%064d' 0)
		pool = $(printf '%032d' 0)
		chunk_size = 1048576
		lifeline = 1
	END
	export PMIO_TARGETS=$T/cards/odd PMIO_TIMEOUT=1
	tried 0 "$PMIO" target list && says 'h\\x1b\[31m\\xc2\\x9b' && tried 0 "$PMIO" target list --json && tried 1 "$PMIO" target stat
	local rc=$?
	unset PMIO_TARGETS PMIO_TIMEOUT
	return $rc
}
check "endpoint descriptors" cards

target_log() {
	local pid
	"$top_builddir/pmiod" --target --foreground --card="$D/card" --log-file="$T/target.log" >"$OUT" 2>"$ERR" </dev/null &
	pid=$!
	bgs="$bgs $pid"
	until_ok test -s "$D/card" && kill "$pid" && until_ok gone "$pid" && wait "$pid" && ! [ -e "$PMIO_POOL/target" ] && both && clean "$T/target.log" || return
	# and one that cannot start
	tried 1 "$top_builddir/pmiod" --target --foreground --card="$D/no/card" && tried 1 "$top_builddir/pmiod" --foreground --pool="$D/no"
}
check "a target's log; told to end, it does so in good order" target_log

agent_log() {
	stop_agent && grep -q . "$PMIO_POOL/agent.log" && clean "$PMIO_POOL/agent.log"
}
check "the agent's log" agent_log

exit $tap_failed
