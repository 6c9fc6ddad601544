#!/bin/bash
# programs that know nothing of the pool, in a mount: what they leave is what they leave without it
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/mount/lib.sh" || exit 99
plan 17

mkdir -p "$T/tree/sub/empty" "$T/plain"
for n in 1 2 3 4 5 6 7 8; do pattern "$T/tree/file$n" $((n * n * 20001)) $n; done
pattern "$T/tree/sub/ro" 5000 3 && chmod 444 "$T/tree/sub/ro" && : >"$T/tree/sub/nothing" && ln -s ../file3 "$T/tree/sub/link" &&
	ln "$T/tree/file4" "$T/tree/sub/file4" &&
	find "$T/tree" -type f -exec touch -d @1300000000 {} + && touch -d "2011-12-13 14:15:16" "$T/tree/file5"
list() { (cd "$1" && find . -printf '%P %y %s %m %n %l ' -type f -printf '%T@\n' -o -printf '%P %y %m %l\n' | sort); }
# after what waits has been drained
same() {
	expect 0 "$PMIO" drain --all && diff -r "$T/$1" "$M/$2" && diff -r "$T/$1" "$PFS/$2" &&
		diff <(list "$T/$1") <(list "$PFS/$2") && diff <(list "$M/$2") <(list "$PFS/$2")
}

archives() {
	tar -C "$T" -cf "$M/t.tar" tree && mkdir "$M/out" && tar -C "$M/out" -xpf "$M/t.tar" && same tree out/tree &&
		tar -C "$M/out" -cf - tree | tar -tf - >/dev/null && gzip -k "$M/t.tar" && zcat "$PFS/t.tar.gz" | cmp "$M/t.tar" - &&
		tar -C "$M/out" -df "$M/t.tar"
}
copies() {
	cp -a "$T/tree" "$M/copy" && same tree copy && cp -a "$M/copy" "$M/copy2" && same tree copy2 && rm -r "$M/copy2" &&
		[ ! -e "$PFS/copy2" ]
}

shell() {
	(cd "$M" && sh -c 'set -e
		for i in 1 2 3; do echo "line $i"; /bin/echo "by a child $i"; done >s.txt
		{ read a; read b; cat; } <s.txt >s2.txt
		sed -i s/line/LINE/ s.txt
		sort -r s.txt | tee s3.txt | awk "{ print \$NF }" >s4.txt
		grep -c child s.txt >>s4.txt
		exec 5<>s5.txt; echo five >&5; (echo six >&5); echo seven >&5; exec 5>&-') &&
		(cd "$PFS" && { expect 0 "$PMIO" drain --all && [ "$(wc -l <s.txt) $(wc -l <s2.txt) $(head -n 1 s.txt)" = '6 4 LINE 1' ] &&
			[ "$(tr '\n' ' ' <s4.txt)" = '3 2 1 3 2 1 3 ' ] && [ "$(tr '\n' ' ' <s5.txt)" = 'five six seven ' ]; })
}

python_work() {
	python 'import json, os, shutil, sys, tempfile, zipfile
d = sys.argv[1]
os.chdir(d)
with open("j", "w") as f: json.dump(list(range(50000)), f)
assert json.load(open("j"))[-1] == 49999
with zipfile.ZipFile("z.zip", "w", zipfile.ZIP_DEFLATED) as z:
    z.write("j")
    z.writestr("k", "text" * 1000)
with zipfile.ZipFile("z.zip", "a") as z: z.writestr("l", "more")
assert zipfile.ZipFile("z.zip").testzip() is None
with tempfile.TemporaryDirectory(dir=d) as t:
    shutil.copytree(sys.argv[2], t + "/c", symlinks=True)
with tempfile.TemporaryFile(dir=d) as t:
    t.write(b"nameless"); t.seek(0)
    assert t.read() == b"nameless"
with open("log", "a+b", 0) as f:
    for i in range(500): f.write(b"%d\n" % i)
    f.seek(0)
    assert len(f.readlines()) == 500
os.replace("log", "log.old")
with open("upd", "w+b") as f:
    for i in range(2000):
        f.seek(i * 7919 % 100000); f.write(bytes([i % 256]))
    f.truncate(50000)
assert os.path.getsize("upd") == 50000' "$1" "$T/tree"
}
python_same() {
	rm -rf "$T/plain/p" && mkdir "$T/plain/p" "$M/p" && python_work "$T/plain/p" && python_work "$M/p" &&
		rm -f "$M/p/z.zip" "$T/plain/p/z.zip" && expect 0 "$PMIO" drain --all && diff -r "$T/plain/p" "$PFS/p"
}

sqlite() {
	python 'import os, sqlite3, sys
path = sys.argv[1]
def work(n):
    db = sqlite3.connect(path, timeout=60)
    for i in range(20):
        with db: db.execute("insert into t values (?, ?)", (n, os.urandom(2000)))
    db.close()
db = sqlite3.connect(path)
db.execute("create table t (a, b)")
db.close()
pids = []
for n in range(2):
    pid = os.fork()
    if pid == 0:
        work(n)
        os._exit(0)
    pids.append(pid)
assert not any([os.waitpid(p, 0)[1] for p in pids])
db = sqlite3.connect(path)
assert db.execute("select count(*) from t").fetchone() == (40,) and db.execute("pragma integrity_check").fetchone() == ("ok",)
db.execute("delete from t where a = 0")
db.commit()
db.execute("vacuum")' "$M/db" && expect 0 "$PMIO" drain --all && python 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
assert db.execute("select count(*) from t").fetchone() == (20,) and db.execute("pragma integrity_check").fetchone() == ("ok",)' "$PFS/db"
}

with_git() {
	command -v git >/dev/null || { echo "no git"; return 77; }
	(mkdir "$M/repo" && cd "$M/repo" && export HOME="$T" GIT_CONFIG_NOSYSTEM=1 && git init -q . && git config user.email a@b &&
		git config user.name n && cp -a "$T/tree" . && rmdir tree/sub/empty && git add . && git commit -qm one && echo more >>tree/file1 && git commit -qam two &&
		git gc -q && git fsck --no-progress && git clone -q . "$M/clone" && [ -z "$(git status --porcelain)" ]) &&
		expect 0 "$PMIO" drain --all && diff -r "$M/repo/tree" "$PFS/clone/tree" && (cd "$PFS/clone" && git fsck --no-progress)
}

readers() { expect 0 python3 "$top_srcdir/tests/redirect/readers.py" "$M/readers" mount && says '^\[0, 0, 0\]$'; }

for drain in close hold; do
	[ $drain = close ] || { rm -rf "${M:?}"/* && remount PMIO_DRAIN=$drain || fatal; }
	check "drain=$drain: tar, gzip" archives
	check "drain=$drain: cp -a" copies
	check "drain=$drain: a shell and its children" shell
	check "drain=$drain: Python" python_same
	check "drain=$drain: SQLite, two that write" sqlite
	check "drain=$drain: git" with_git
	check "drain=$drain: a file is read while it is replaced" readers
done

# all is drained, or held; nothing is left open
check "unmount" unmount_m
nothing_open() { expect 0 "$PMIO" drain --all && expect 0 "$PMIO" ls --json && json 'all(f["handles"] == 0 and f["dirty"] == 0 for f in o["files"])'; }
check "nothing is open or waits" nothing_open

# they reach the pool in different ways
appends() {
	local w i pids=
	unsanitized && { has_mount || mount_m; } || return
	for w in 1 2; do
		for i in $(seq 60); do echo "mount $w $i" >>"$M/both"; done &
		pids="$pids $!"
	done
	PMIO_LIBDIR=$top_builddir/.libs expect 0 "$PMIO" run --paths "$PFS/both" -- bash -c 'for i in $(seq 60); do echo "redirected $i" >>"$0"; done' "$PFS/both" || return
	# shellcheck disable=SC2086
	wait $pids && expect 0 "$PMIO" drain --all && [ "$(wc -l <"$PFS/both") $(sort -u "$PFS/both" | tee "$T/both.log" | grep -cE '^(mount [12]|redirected) [0-9]+$')" = "180 180" ] || { cat -v "$T/both.log" | head -40; wc "$PFS/both"; return 1; }
}
check "appended to in a mount and by redirected programs" appends

exit $tap_failed
