#!/bin/bash
# redirected programs that come at once, or right after each other: a database, programs that are run as soon as they are written, times
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99
plan 17

cat >"$T/database.py" <<'END'
import os, sqlite3, sys
path = sys.argv[1]
db = sqlite3.connect(path)
db.execute("pragma journal_mode=wal")
db.execute("create table t(a integer primary key, b text)")
db.commit()
db.close()
children = []
for w in range(4):
    pid = os.fork()
    if pid == 0:
        for i in range(40): # each with a connection of its own: the last one to close removes the log
            one = sqlite3.connect(path, timeout=60)
            one.execute("insert into t(b) values(?)", ("%d-%d" % (w, i),))
            one.commit()
            one.close()
        os._exit(0)
    children.append(pid)
assert all(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) == 0 for p in children)
db = sqlite3.connect(path)
print(db.execute("select count(distinct b) from t").fetchone()[0], db.execute("pragma integrity_check").fetchone()[0])
END
database() {
	PMIO_DRAIN=$1 expect 0 "$PMIO" run --paths "$PFS/*" -- python3 "$T/database.py" "$PFS/$1.db" && says '^160 ok$' && silent && drain_all &&
		expect 0 python3 -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("select count(*) from t").fetchone()[0])' "$PFS/$1.db" &&
		says '^160$'
}

cat >"$T/scripts.sh" <<'END'
for i in $(seq 20); do
	printf '#!/bin/sh\necho %d\n' "$i" >"$1/script.$i" && chmod 755 "$1/script.$i" && "$1/script.$i" || exit
done
exec python3 - "$1" <<'PYTHON'
import os, subprocess, sys
for i in range(20):
    name = "%s/other.%d" % (sys.argv[1], i)
    with open(name, "w") as f:
        f.write("#!/bin/sh\necho other %d\n" % i)
    os.chmod(name, 0o755)
    assert subprocess.run([name], capture_output=True, text=True, check=True).stdout == "other %d\n" % i
print("all")
PYTHON
END
scripts() {
	mkdir "$PFS/$1"
	PMIO_DRAIN=$1 expect 0 "$PMIO" run --paths "$PFS/*" -- bash "$T/scripts.sh" "$PFS/$1" && says '^20$' && says '^all$' && silent && drain_all
}

# as make compares them
cat >"$T/times.sh" <<'END'
cd "$1" && echo 1 >first && sleep 0.05 && echo 2 >second && [ second -nt first ] && sleep 0.05 && echo 3 >>first && [ first -nt second ] &&
	[ "$(find . -newer second)" = ./first ] && sleep 0.05 && sed -i s/2/4/ second && [ second -nt first ] && touch -d 2001-02-03 first &&
	[ "$(stat -c %y first | cut -d ' ' -f 1)" = 2001-02-03 ]
END
times() {
	mkdir "$PFS/times.$1"
	PMIO_DRAIN=$1 expect 0 "$PMIO" run --paths "$PFS/*" -- bash "$T/times.sh" "$PFS/times.$1" && silent && drain_all &&
		[ "$(stat -c %y "$PFS/times.$1/first" | cut -d ' ' -f 1)" = 2001-02-03 ]
}

# of a held file, before it is opened, while it is, by name and by descriptor, and after that; cpio warns if they differ
cat >"$T/open.py" <<'END'
import os, sys, time
name = sys.argv[1]
with open(name, "w") as f:
    f.write("held")
    f.flush()
    time.sleep(0.05)
before = os.stat(name).st_mtime_ns
with open(name) as f:
    here = [os.fstat(f.fileno()).st_mtime_ns, os.stat(name).st_mtime_ns]
    f.read()
    here += [os.fstat(f.fileno()).st_mtime_ns, os.stat(name).st_mtime_ns]
with open(name, "r+") as f:
    here.append(os.fstat(f.fileno()).st_mtime_ns)
assert set(here) == {before}, (before, here)
with open(name) as f:
    os.utime(name, (5, 5))
    here = [os.stat(name).st_mtime, os.fstat(f.fileno()).st_mtime, int(os.popen("stat -c %Y " + name).read())]
assert here == [5, 5, 5], here
with open(name, "a") as f:
    f.write("more")
assert os.stat(name).st_mtime_ns > before
END
times_open() { PMIO_DRAIN=hold expect 0 "$PMIO" run --paths "$PFS/*" -- python3 "$T/open.py" "$PFS/open" && silent && drain_all; }

# steps that overlap with the drains of the ones before
cat >"$T/lines.sh" <<'END'
for i in $(seq 40); do
	echo a >"$1.$i" && echo b >>"$1.$i" && echo c >>"$1.$i" && [ "$(tr -d '\n' <"$1.$i")" = abc ] || { echo "at $i"; exit 1; }
done
END
lines() {
	PMIO_DRAIN=$1 expect 0 "$PMIO" run --paths "$PFS/*" -- bash "$T/lines.sh" "$PFS/lines.$1" && silent && drain_all &&
		[ "$(cat "$PFS/lines.$1".* | wc -l)" = 120 ]
}

# while the agent looks after what has become of held files; none is reported as removed by others
cat >"$T/replaces.py" <<'END'
import os, sys, time
name, end = sys.argv[1], time.time() + 4
while time.time() < end:
    for i in range(50):
        with open(name + ".new", "w") as f:
            f.write("%d" % i)
        os.rename(name + ".new", name)
END
replaces() {
	PMIO_DRAIN=hold expect 0 "$PMIO" run --paths "$PFS/*" -- python3 "$T/replaces.py" "$PFS/replaced" && silent && drain_all && [ "$(cat "$PFS/replaced")" = 49 ]
}
readers() {
	PMIO_DRAIN=$1 expect 0 "$PMIO" run --paths "$PFS/*" -- python3 "$top_srcdir/tests/redirect/readers.py" "$PFS/readers.$1" && says '^\[0, 0, 0\]$' && silent && drain_all
}
check "a held file is replaced again and again" replaces
check "the time of a held file that is open" times_open

for drain in close hold async; do
	check "drain=$drain: writers of one database" database $drain
	check "drain=$drain: scripts that are run as soon as they are written" scripts $drain
	check "drain=$drain: times" times $drain
	check "drain=$drain: appended to at once" lines $drain
	check "drain=$drain: a file is read while it is replaced" readers $drain
done
exit $tap_failed
