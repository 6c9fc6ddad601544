#!/bin/bash
# nothing that redirected programs read and write goes past the pool: counted in the system calls that they make
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99
command -v strace >/dev/null || skip_all "no strace"
strace -f -o /dev/null true 2>/dev/null || skip_all "strace is not permitted here"
plan 12

calls=read,write,pread64,pwrite64,readv,writev,preadv,pwritev,preadv2,pwritev2,sendfile,splice,copy_file_range,ftruncate,truncate,fallocate,mmap
export REF=$T/ref
pattern "$REF" 300000 1
"$PMIO" agent start || fatal # outside of what is traced

# past CODE: how many calls on plain files below $PFS
past() {
	rm -f "$T"/trace.* && redirected -- bash -c 'rm -rf "$1"/*' sh "$PFS" || return
	(cd "$PFS" && expect 0 "$PMIO" run --paths "$PFS/*" --drain hold -- strace -ff -y -qq -e "trace=$calls" -o "$T/trace" bash -c "$1") || return
	cat "$T"/trace.* >"$T/all" && [ -s "$T/all" ] || return
	grep -E "[ (][0-9]+<$PFS/|^truncate\(" "$T/all" | grep -v ' = -1 ' >"$T/past" || true
}
none() {
	past "$1" && [ ! -s "$T/past" ] && return
	head -n 20 "$T/past"
	return 1
}
seen_without() {
	rm -f "$T"/trace*
	(cd "$PFS" && strace -ff -y -qq -e "trace=$calls" -o "$T/trace" bash -c 'echo x >a; cat a >b') && cat "$T"/trace.* | grep -q "^write([0-9]*<$PFS/a>"
}
check "what is looked for is seen without redirection" seen_without
check "bash, echo" none 'echo one >a; /bin/echo two >>a; read x <a; cat a; for i in 1 2 3; do echo $i; done >b'
check "sh" none 'sh -c "echo one >a; (echo two; /bin/echo three) >>a; cat a"'
check "cp, mv, cat, dd" none 'cp "$REF" a; mv a b; cat b b >c; dd if=c of=d bs=7001 status=none; cp --sparse=always d e; cmp d e'
check "sed, sort, awk, grep" none 'seq 5000 >a; sed -i s/1/2/ a; sort -r a >b; sort -o b -S 20k -T . b; awk "{ print > \"c\" }" a; grep -c 7 c; sed -n "w d" a; wc d; uniq b >e; tac e >f'
check "tar, gzip" none 'cp "$REF" a; tar cf t.tar a; tar czf t.tgz a; mkdir x; tar -C x -xf t.tar; tar -C x -xzf t.tgz; gzip -k a; zcat a.gz | md5sum; gunzip -kf a.gz'
check "md5sum, head, tail, split, tee, truncate, od, touch" none 'cp "$REF" a; md5sum a; head -n 2 a >b; tail -c 100 a >c; split -b 100000 a p; tee d <a >e; truncate -s 5000 d; od -c b >f; touch g; stat a; wc a'
check "Python" none 'python3 -c "
import os, shutil, json, tempfile
open(\"a\", \"w\").write(\"x\" * 100000); json.dump([1] * 1000, open(\"j\", \"w\")); json.load(open(\"j\")); shutil.copy(\"a\", \"b\"); print(len(open(\"b\").read()))
with open(\"c\", \"r+b\" if os.path.exists(\"c\") else \"w+b\", 0) as f: f.write(b\"1\"); os.pwrite(f.fileno(), b\"2\", 5); os.ftruncate(f.fileno(), 3); f.seek(0); f.read()
with tempfile.TemporaryDirectory(dir=\".\") as t: open(t + \"/x\", \"w\").write(\"y\")
import subprocess; subprocess.run([\"echo\", \"hi\"], stdout=open(\"s\", \"w\"))"'
check "SQLite" none 'python3 -c "
import sqlite3
db = sqlite3.connect(\"d\"); db.execute(\"create table t(a)\"); db.executemany(\"insert into t values(?)\", [(i,) for i in range(500)]); db.commit(); print(db.execute(\"select sum(a) from t\").fetchone()); db.close()"'
git_work() {
	command -v git >/dev/null || { echo "no git"; return 77; }
	none 'export HOME=$T; git init -q r 2>/dev/null; cd r; git config user.email a@b; git config user.name n; cp "$REF" a; git add a; git commit -qm one; echo more >>a; git commit -qam two; git log >/dev/null; git status >/dev/null'
}
check "git" git_work
compile() {
	command -v gcc >/dev/null || { echo "no gcc"; return 77; }
	none 'printf "int main(void) { return 0; }\n" >a.c; gcc -c a.c; gcc -E a.c >b'
}
check "gcc" compile
inherited() { none 'exec 3<>a; echo one >&3; /bin/echo two >&3; (echo three; /bin/echo four) >&3; seq 3 >&3; exec 3>&-; { cat; } <a; python3 -c "print(5)" >>a; xargs echo <a >b'; }
check "descriptors that children inherit" inherited
exit $tap_failed
