#!/bin/bash
# pmio stat: what was read and written, and from where; --watch; --prometheus
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
# an agent that leaves, on a slow machine, takes its counters along
export PMIO_IDLE_TIMEOUT=600
plan 10

file() { echo "o['files'][0]['$1']"; }

writes() {
	expect 0 "$FILEIO" "$PFS/a" write 0 3000000 1 && expect 0 "$PMIO" stat --json && silent &&
		json "o['written'] == 3000000 and o['written_to_pfs'] == 0 and o['read'] == 0" &&
		json "o['hit_rate'] is None and o['drained'] == 3000000 and o['pfs_written'] == 3000000" &&
		json "o['drain_rate'] > 0 and o['files_draining'] == 0 and o['dirty'] == 0" &&
		json "3000000 <= o['resident'] <= 3 << 20" &&
		expect 0 "$PMIO" stat --json "$PFS/a" && json "$(file written) == 3000000 and $(file drained) == 3000000"
}
check "what was written and drained" writes

hits() {
	expect 0 "$FILEIO" -r "$PFS/a" verify 0 3000000 1 && expect 0 "$PMIO" stat --json &&
		json "o['read'] == 3000000 and o['read_missed'] == 0 and o['hit_rate'] == 1 and o['pfs_read'] == 0" &&
		expect 0 "$PMIO" stat && says '^  read +2.9 MiB, 100.0 % of that from PMEM$'
}
check "what is read again comes from PMEM" hits

misses() {
	head -c 2000000 "$PFS/a" >"$PFS/b" && expect 0 "$FILEIO" -r "$PFS/b" verify 0 2000000 1 &&
		expect 0 "$FILEIO" -r "$PFS/b" verify 0 2000000 1 && expect 0 "$PMIO" stat --json "$PFS/b" &&
		json "$(file read) == 4000000 and 0 < $(file read_missed) <= 2000000 and $(file filled) == 2000000" &&
		json "0.5 <= $(file hit_rate) < 1 and $(file drained) == 0" &&
		expect 0 "$PMIO" stat "$PFS/b" && says '^  filled +1.9 MiB$' &&
		expect 0 "$PMIO" stat --json && json "o['filled'] == 2000000 and o['pfs_read'] == 2000000"
}
check "what was not there is counted as missed, and as filled" misses

live() {
	background "$PFS/c" write 0 1000000 1 wait "$T/go"
	bg_says waiting && expect 0 "$PMIO" stat --json && json "o['written'] == 4000000 and o['handles'] == 1" &&
		kill -9 "$BG" && until_ok gone "$BG" &&
		expect 0 "$PMIO" stat --json && json "o['written'] == 4000000"
}
check "of programs that run, and of those that were killed" live

no_room() {
	expect 0 "$PMIO" pool create -q --size=8MiB "$T/small" || return 1
	PMIO_POOL=$T/small expect 0 "$FILEIO" "$PFS/d" write 0 20000000 1 verify 0 20000000 1 &&
		expect 0 "$PMIO" -p "$T/small" stat --json &&
		json "o['written'] == 20000000 and 10000000 < o['written_to_pfs'] < 20000000" &&
		json "o['read_from_pfs'] == o['written_to_pfs'] and o['pfs_written'] == 20000000" &&
		json "abs(o['hit_rate'] - (1 - o['read_from_pfs'] / 20e6)) < 1e-6" &&
		expect 0 "$PMIO" -p "$T/small" agent stop --force
}
check "what went to the file system, the pool being full" no_room

watch_lines() {
	expect 0 "$PMIO" stat --watch=0.05 --count=3 && silent && [ "$(wc -l <"$OUT")" = 4 ] &&
		says '^ +WRITTEN/s +READ/s +HITS' && says '^ +0 B +0 B +- +0 B +0 B +0 B' &&
		expect 0 "$PMIO" stat -w 0.05 --count 1 && [ "$(wc -l <"$OUT")" = 2 ]
}
check "stat --watch" watch_lines

watch_json() {
	timeout 60 "$PMIO" stat --json --watch=0.2 >"$T/watched" 2>&1 &
	local pid=$! rc
	until_ok test -s "$T/watched" && expect 0 "$FILEIO" "$PFS/e" write 0 5000000 1 &&
		until_ok grep -q '"written":9000000' "$T/watched"
	rc=$?
	kill $pid && wait $pid
	[ $rc = 0 ] && python3 - "$T/watched" <<-'END'
	import json, sys
	lines = [json.loads(l) for l in open(sys.argv[1]) if l.endswith("\n")]
	seen = sum(l["write_rate"] * l["interval_s"] for l in lines)
	sys.exit(0 if len(lines) > 1 and 4.99e6 < seen < 5.01e6 else "seen %s in %s" % (seen, lines))
	END
}
check "stat --watch --json: an object a line, with rates" watch_json

# the text exposition format, as its description has it
cat >"$T/exposition.py" <<'END'
import re, sys
text = open(sys.argv[1]).read()
name = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
label = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
sample = re.compile(r"(%s)(\{%s(?:,%s)*\})? (\S+)$" % (name, label, label))
types, helps, done, values, current = {}, set(), set(), {}, None
assert text.endswith("\n"), "no end of line"
for line in text[:-1].split("\n"):
    m = re.match(r"# (HELP|TYPE) (%s) (.+)$" % name, line)
    if m:
        if m.group(1) == "HELP":
            assert m.group(2) not in helps, line
            helps.add(m.group(2))
            current = None
        else:
            assert m.group(2) not in types and m.group(3) in ("counter", "gauge"), line
            types[m.group(2)] = m.group(3)
            current = m.group(2)
        continue
    m = sample.match(line)
    assert m, "not a sample: " + line
    assert m.group(1) == current and m.group(1) in helps, "out of its group: " + line
    assert (types[current] == "counter") == current.endswith("_total"), line
    key = (m.group(1), m.group(2))
    assert key not in values, "twice: " + line
    values[key] = float(m.group(3))
want = eval(sys.argv[2])
one = {n: v for (n, l), v in values.items()}
assert want(one, values), (one, values)
END
# exposition 'EXPRESSION of v (by name) and all (by name and labels)'
exposition() { python3 "$T/exposition.py" "$OUT" "lambda v, all: $1"; }

metrics() {
	expect 0 "$PMIO" stat --prometheus && silent &&
		exposition "v['pmio_up'] == 1 and v['pmio_written_bytes_total'] == 9000000" &&
		exposition "v['pmio_drained_bytes_total'] >= 8000000 and v['pmio_drain_seconds_total'] > 0" &&
		exposition "('pmio_pool_files', '{pool=\"$PMIO_POOL\",state=\"clean\"}') in all" &&
		expect 3 "$PMIO" stat --prometheus "$PFS/a" "$PFS/a" "$PFS/b" "$PFS/none" && one_line "$PFS/none" &&
		exposition "all['pmio_file_size_bytes', '{pool=\"$PMIO_POOL\",path=\"$PFS/b\"}'] == 2000000" &&
		{ ! command -v promtool >/dev/null || promtool check metrics <"$OUT"; }
}
check "stat --prometheus" metrics

odd_labels() {
	local odd="$T/p\"o\\ol"
	expect 0 "$PMIO" -p "$odd" stat --prometheus && exposition "v['pmio_up'] == 0 and len(all) == 1" &&
		expect 0 "$PMIO" pool create -q --size=8MiB "$odd" &&
		expect 0 "$PMIO" -p "$odd" stat --prometheus && exposition "v['pmio_up'] == 0 and len(all) == 1" &&
		expect 1 "$PMIO" -p "$odd" agent status &&
		PMIO_POOL=$odd expect 0 "$FILEIO" "$PFS/odd
name\"" write 0 100 1 &&
		expect 0 "$PMIO" -p "$odd" stat --prometheus "$PFS/odd
name\"" && exposition "v['pmio_up'] == 1 and v['pmio_file_size_bytes'] == 100" &&
		expect 0 "$PMIO" -p "$odd" agent stop
}
check "without an agent, and with names that must be quoted" odd_labels

usage() {
	local args
	while read -r args; do
		expect 2 "$PMIO" stat $args && grep -q -- "$(echo "$args" | sed 's/[= ].*//')" "$ERR" || return 1
	done <<-'END'
		--watch=0
		--watch=x
		--watch=1 /file
		--count=1
		--count=0 --watch
		--prometheus --json
		--prometheus --watch
	END
	expect 1 "$PMIO" -p "$T/none" stat --watch && one_line "$T/none" &&
		expect 0 "$PMIO" agent stop && expect 1 "$PMIO" stat --watch && one_line 'no agent runs'
}
check "mistakes" usage

exit $tap_failed
