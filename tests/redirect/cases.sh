# cases.sh -- sourced after env.sh and a lib.sh with pattern(): programs that know nothing of the pool, for tests/redirect/programs.sh and
# tests/mount/matrix.sh
#
# Sets   names   of the cases; code, kind, need: of each, by its name

# what is in a folder
list() { (cd "$1" && find . -printf '%p %y %s %m %l\n' | sed 's/ d [0-9]* / d /' | sort); }

unset MAKEFLAGS MFLAGS MAKELEVEL # of the make that runs the tests

export T REF=$T/ref HOME=$T GIT_CONFIG_NOSYSTEM=1
pattern "$REF" 2300000 1
mkdir -p "$T/tree/sub/deep"
for n in 1 2 3 4 5; do pattern "$T/tree/f$n" $((n * n * 10001)) $n; done
seq 5000 | sed 's/.*/line & of many/' >"$T/tree/text" && : >"$T/tree/sub/nothing" && ln -s ../f3 "$T/tree/sub/link"
find "$T/tree" -type f -exec touch -d @1300000000 {} +
export TREE=$T/tree

names=()
declare -A code kind need
# case_of NAME KIND PROGRAM CODE: bash is given the code, in an empty folder; KIND: holds, settles; PROGRAM: without it skipped
case_of() {
	names+=("$1")
	kind[$1]=$2
	need[$1]=$3
	code[$1]=$4
}

case_of echo holds bash 'echo one >a; echo two >>a; printf "%s\n" three >>a; cat <a'
case_of builtins holds bash 'for i in 1 2 3; do echo $i; /bin/echo child $i; done >a; { read x; read y; echo "$x,$y"; cat; } <a; while read l; do echo "got $l"; done <a'
case_of descriptors holds bash 'exec 5<>a; echo five >&5; (echo six >&5); /bin/echo seven >&5; exec 5>&-; exec 3<a 4<a; read -u 3 x; cat <&4; cat <&3; exec 3<&- 4<&-'
case_of both_outputs holds bash '{ echo out; echo err >&2; /bin/echo out2; ls /nonexistent; } >a 2>&1; wc -l <a; { echo x; echo y >&2; } >b 2>>a; cat a b | grep -v ls:'
case_of heredoc holds bash 'cat <<E >a
$(seq 20000)
E
wc a; read -r -d "" v <<<"$(cat a)"; echo ${#v}'
case_of noclobber holds bash 'echo 1 >a; set -C; echo 2 >a; echo $?; echo 3 >|a; cat a; : >b; [ -s a ] && [ ! -s b ] && [ -f a ] && echo ok'
case_of dash holds dash 'dash -c "echo one >a; (echo two; /bin/echo three) >>a; cat a; read x <a; echo \$x; exec >b; echo in b; ls"; cat b'
case_of cat holds cat 'cat "$REF" >a; cat a a >b; cat <b | cmp - <(cat "$REF" "$REF")'
case_of cp holds cp 'cp "$REF" a; cp a b; cmp b "$REF"; cp -r "$TREE"/sub s; cp --reflink=auto a c; cp --sparse=always a d; cmp a c; cmp a d'
case_of cp_p settles cp 'cp -p "$TREE/text" a; stat -c "%Y %s" a; cp -a "$TREE" t; find t -type f -printf "%p %s %m %T@\n" | sort'
case_of mv holds mv 'echo a >a; mv a b; echo c >c; mv c b; cat b; mkdir d; mv b d; cat d/b; ls -R'
case_of mv_out settles mv 'echo a >a; d=$(mktemp -d "$T/mv.XXXXXX"); mv a "$d/x"; env -u LD_PRELOAD cat "$d/x"; mv "$d/x" y; cat y; rmdir "$d"'
case_of rm holds rm 'echo a >a; cp a b; rm a; ls; rm b; ls; cp -r "$TREE" t; rm -r t; ls; echo new >a; cat a'
case_of open_removed holds rm 'exec 3>a; echo one >&3; exec 4<a; rm a; echo two >&3; cat <&4; ls; exec 3>&- 4<&-; echo again >a; cat a'
case_of ln holds ln 'echo a >a; ln a b; echo more >>b; cat a; ln -s a c; echo by link >>c; cat b; rm a; cat b; stat -c %h b'
case_of sed_i settles sed 'cp "$TREE/text" a; sed -i s/line/LINE/ a; head -n 2 a; sed -n 7p a; sed w\ b a >/dev/null; cmp a b'
case_of sort holds sort 'sort -r "$TREE/text" >a; sort -n -k2 -o a a; head -n 3 a; sort -S 20k -T . "$TREE/text" | cmp - <(sort "$TREE/text"); sort -c a && echo sorted; sort -u a a | wc -l'
case_of awk holds awk 'awk "{ print \$2 > \"a\"; print > (\"b\" NR % 3) } END { close(\"a\"); while ((getline l < \"a\") > 0) s += l; print s }" "$TREE/text"; wc -l a b?'
case_of grep holds grep 'cp "$TREE/text" a; grep -c 77 a; grep -n "line 4999" a; grep -rl "line 12 " .; grep -q zzz a || echo none'
case_of text_tools holds cut 'cut -d" " -f2 "$TREE/text" >a; paste a a >b; tr 0-9 a-j <a >c; uniq a | wc -l; comm -12 <(sort a) <(sort a) | wc -l; join a a | tail -n 1; nl b | tail -n 1; tac a >d; rev d >e; fold -w 3 e | head -n 2; od -c a | head -n 2; expand b | wc -c; shuf --random-source=a a | wc -l; csplit -s -f x a 100 200; wc -c x*'
case_of tar settles tar 'tar -C "$T" -cf t.tar tree; tar tf t.tar | sort; mkdir x; tar -C x -xpf t.tar; diff -r "$TREE" x/tree && echo same; tar -C x -df t.tar && echo unchanged; find x -type f -printf "%p %T@\n" | sort; rm t.tar'
case_of tar_z settles tar 'tar -C "$T" -czf t.tgz tree; mkdir x; tar -C x -xzf t.tgz; diff -r "$TREE" x/tree && echo same; tar -C x -cf - tree | tar -tf - | wc -l; rm t.tgz'
case_of tar_r holds tar 'tar -C "$TREE" -cf t.tar text; tar -C "$TREE" -rf t.tar f1; tar tf t.tar; tar -C "$TREE" --update -f t.tar text f1; tar tf t.tar | wc -l; tar -xOf t.tar f1 | cmp - "$TREE/f1"'
case_of gzip settles gzip 'cp "$TREE/text" a; gzip -kn a; zcat a.gz | cmp - a; gzip -n a -c >b.gz; gunzip b.gz; cmp a b; gzip -t a.gz; zgrep -c 77 a.gz'
case_of xz settles xz 'cp "$TREE/text" a; xz -k a; xz -dc a.xz | cmp - a; xz -t a.xz; rm a; unxz a.xz; wc a'
case_of bzip2 settles bzip2 'cp "$TREE/text" a; bzip2 -k a; bzip2 -dc a.bz2 | cmp - a; rm a; bunzip2 a.bz2; wc a'
case_of zip settles zip 'cp "$TREE/text" a; zip -qX z.zip a; unzip -p z.zip a | cmp - a; echo b >b; zip -qX z.zip b; unzip -Z1 z.zip; rm z.zip'
case_of cpio settles cpio 'cp -r "$TREE" t; (cd t && find . -type f | sort | cpio -o --quiet >../c); mkdir x; cd x; cpio -id --quiet <../c; cd ..; diff <(cd t; find . -type f | sort | xargs cat | md5sum) <(cd x; find . -type f | sort | xargs cat | md5sum) && echo same; rm c'
case_of dd holds dd 'dd if="$REF" of=a bs=7001 status=none; cmp a "$REF"; dd if=a of=b bs=64k conv=sync status=none; dd if=/dev/zero of=a bs=1 seek=9 count=5 conv=notrunc status=none; dd if=a bs=1 skip=8 count=8 status=none | od -c; dd if="$REF" of=a bs=1000 count=3 oflag=append conv=notrunc status=none; stat -c %s a b; dd if=a of=c bs=1M conv=fsync status=none; cmp a c'
case_of truncate holds truncate 'cp "$REF" a; truncate -s 100001 a; stat -c %s a; truncate -s 3000000 a; tail -c 5 a | od -c; md5sum a; truncate -s +10 a; stat -c %s a; : >a; stat -c %s a; truncate -s 5 new; od -c new'
case_of head_tail holds head 'cp "$TREE/text" a; head -n 3 a; tail -n 3 a; head -c 100 a | md5sum; tail -c +100 a | md5sum; (head -n 2; tail -n 1) <a; wc -lwc a'
case_of split holds split 'split -b 500000 "$REF" p; cat p?? | cmp - "$REF"; split -n 3 p??a q 2>/dev/null; split -l 1000 "$TREE/text" l; wc -l l*; ls'
case_of tee holds tee 'tee a b <"$TREE/text" | md5sum; echo more | tee -a a >/dev/null; cmp a b | sed "s/byte.*//"; tail -n 1 a'
case_of sums holds md5sum 'cp "$REF" a; md5sum a; sha256sum a >s; sha256sum -c s; cksum a; sum a; b2sum a'
case_of ls holds ls 'cp "$REF" a; echo x >b; ls -1s --block-size=1 a >/dev/null; ls -l --time-style=+ | awk "{ print \$5, \$6 }"; stat -c "%s %F" a b; du -b a; [ a -nt /etc/passwd ] && echo newer; test -s b && echo not empty; wc -c a b'
case_of find holds find 'cp -r "$TREE" t; find t -size +20k | sort; find t -name "f*" -exec md5sum {} + | sort; find t -empty | sort; find t -type f -print0 | sort -z | xargs -0 cat | md5sum'
case_of touch settles touch 'echo a >a; touch -d @1300000000 a; stat -c %Y a; touch -r a b; stat -c %Y b; touch c; stat -c %s c; cat a; echo b >>a; cat a'
case_of chmod settles chmod 'echo a >a; chmod 600 a; stat -c %a a; chmod u-w a; cat a; chmod 644 a; echo b >>a; cat a; install -m 640 a b; stat -c "%a %s" b; cp -p a c'
case_of umask holds bash 'umask 077; echo a >a; stat -c %a a; umask 022; echo b >b; stat -c %a b'
case_of cmp_diff holds diff 'cp "$TREE/text" a; sed 100d a >b; diff a b; cmp a b; diff --label x --label y -u a b >p; wc -l <p; diff -q a b'
case_of patch settles patch 'cp "$TREE/text" a; sed "100s/line/LINE/" a >b; diff --label a --label a -u a b >p; patch -s a p; cmp a b; patch -sR a p; cmp a "$TREE/text"'
case_of xargs holds xargs 'seq 50 | xargs -P 4 -I{} sh -c "echo {} >f{}"; cat f* | sort -n | md5sum; seq 100 | xargs -P 4 -n 1 sh -c "echo line \$0 >>all"; sort -u all | wc -l; rm all'
case_of make settles make 'printf "all: c\nb: a\n\tcat a a >b\nc: b\n\twc -c <b >c\n" >Makefile; echo a >a; make -s; cat c; make | grep -c "Nothing to be done"; echo longer >a; touch -d "next hour" a; make -s 2>/dev/null; cat c'
case_of gcc settles gcc 'printf "#include <stdio.h>\nint main(void){puts(\"built\");return 0;}\n" >a.c; gcc -c a.c; gcc -o a a.o; ./a; ar rc l.a a.o; ar t l.a; gcc -o b l.a; ./b; strip b; ./b; rm -f *.o l.a a b'
case_of script settles bash 'printf "#!/bin/sh\necho script \$1\n" >s; chmod +x s; ./s one; sh s two; printf "#!/usr/bin/env python3\nprint(3)\n" >p; chmod 755 p; ./p; . ./s three'
case_of flock holds flock 'echo 0 >n; for i in 1 2 3 4 5 6 7 8; do flock lock sh -c "read x <n; echo \$((x + 1)) >n" & done; wait; cat n'
case_of git settles git 'mkdir r; cd r; git init -q . 2>/dev/null; git config user.email a@b; git config user.name n; cp -r "$TREE" .; git add .; git commit -qm one --date=@1300000000; echo more >>tree/text; git commit -qam two; git log --format=%s; git gc -q; git fsck --no-progress 2>&1; git status --porcelain; git clone -q . ../c; cd ../c; git log --format=%s; git diff HEAD~1 | grep -c "^+more"; git stash list; git checkout -q HEAD~1; git show --stat HEAD | tail -n 1; cd ..; diff <(cd r/tree; md5sum f? ) <(cd c/tree; md5sum f?) && echo same; rm -rf r/.git c/.git'
case_of rsync settles rsync 'rsync -a "$TREE"/ t/; diff -r "$TREE" t && echo same; find t -type f -printf "%p %T@\n" | sort; echo new >>t/text; rsync -a --checksum "$TREE"/ t/; diff -r "$TREE" t && echo same; rsync -a --inplace t/ u/; rsync -a --delete --exclude=f1 t/ u/; diff -r t u && echo same'
case_of sqlite holds sqlite3 'sqlite3 d "create table t(a,b); insert into t values(1,2),(3,4); select sum(a) from t;"; sqlite3 d "begin; delete from t where a=1; rollback; select count(*) from t; update t set b=9; vacuum; select * from t; pragma integrity_check"; sqlite3 d .dump; rm d'

case_of perl holds perl 'perl -e "open F, q(>a); print F qq(line \$_\n) for 1..2000; close F; open F, q(+<a); seek F, 100, 0; print F q(XX); close F; open F, q(>>a); print F q(end); close F; open F, q(a); @l = <F>; print scalar @l, -s q(a), qq(\n)"; perl -ne "print if /77/" a | wc -l; perl -pe "s/line/LINE/" a >b; perl -e "rename q(b), q(c); unlink q(a); print -e q(a) ? 1 : 0, -s q(c)"'
case_of perl_i settles perl 'seq 1000 >a; perl -pi -e "s/1/one/" a; wc a; perl -MFile::Copy -e "copy(q(a), q(b)); move(q(b), q(c))"; cmp a c; perl -e "truncate q(c), 10; utime 1300000000, 1300000000, q(c); print((stat q(c))[7, 9])"'
case_of openssl holds openssl 'openssl enc -aes-256-cbc -pbkdf2 -nosalt -pass pass:x -in "$REF" -out a; openssl enc -d -aes-256-cbc -pbkdf2 -nosalt -pass pass:x -in a -out b; cmp b "$REF"; openssl dgst -sha256 b; openssl base64 -in b -out c; wc c'
case_of netcdf settles ncgen 'printf "netcdf a { dimensions: x = 1000; variables: float v(x); data: v = %s; }" "$(seq -s, 1000)" >a.cdl; ncgen -o c.nc a.cdl; ncgen -k nc4 -o d.nc a.cdl; ncdump -h c.nc; ncdump d.nc | md5sum; ncdump c.nc | wc; nccopy -k classic d.nc e.nc; ncdump e.nc | wc; rm d.nc'
case_of hdf5_tools settles h5repack 'printf "netcdf a { dimensions: x = 5000; variables: float v(x); data: v = %s; }" "$(seq -s, 5000)" >a.cdl; ncgen -k nc4 -o a.h5 a.cdl; h5dump -d v a.h5 | sed "/ATTRIBUTE/,\$d" | md5sum; h5repack -f GZIP=1 a.h5 b.h5; h5diff a.h5 b.h5; h5ls b.h5; h5stat b.h5 | head -n 3; h5copy -i a.h5 -o c.h5 -s v -d w; h5ls c.h5; rm a.h5 b.h5 c.h5'
case_of fallocate holds fallocate 'fallocate -l 100000 a; stat -c %s a; fallocate -n -l 200000 a; stat -c %s a; seq 1000 >b; fallocate -p -o 0 -l 100 b; head -c 102 b | od -c | head -n 3; md5sum b'
case_of shred holds shred 'seq 1000 >a; shred -n 1 -u a; ls; d=$(mktemp -d x.XXXX); mktemp -p "$d" f.XXXX >/dev/null; ls "$d" | wc -l; rm -r "$d"'
case_of direct holds dd 'dd if="$REF" of=a bs=4096 count=100 oflag=direct status=none; dd if=a of=b bs=65536 iflag=direct status=none; cmp a b; dd if=a of=c bs=1k oflag=sync,append conv=notrunc status=none; dd if=/dev/zero of=d bs=1 count=0 seek=12345 status=none; stat -c %s a b c d'
case_of ed settles ed 'printf "one\ntwo\n" >a; printf "1s/one/ONE/\nw\nq\n" | ed -s a; cat a'
case_of hexdump holds xxd 'head -c 300 "$REF" >a; xxd a >b; xxd -r b >c; cmp a c; hexdump -C a | md5sum; cmp -l a c | wc -l'
case_of zstd settles zstd 'cp "$TREE/text" a; zstd -q a; zstd -dc a.zst | cmp - a; rm a; zstd -dq --rm a.zst; wc a'
case_of fatal settles gcc 'ulimit -c 0; printf "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n#include <sys/wait.h>\nint main(int c, char **v) { char *volatile p = malloc(9), b[8]; int s; fputs(\"start\\\\n\", stderr); if (fork() == 0) { if (c > 1) strcpy(b, v[1]); else free(p + 1); return b[0]; } wait(&s); return WTERMSIG(s); }\n" >a.c; gcc -w -O0 -fstack-protector-all -o a a.c; (echo before; ./a; echo $?; ./a longer_than_what_is_on_the_stack; echo $?) >l 2>&1; cat l; (echo more; ./a; echo $?) >>m 2>&1; cat m; rm a'
case_of gprof settles gprof 'printf "int f(int n) { return n ? f(n - 1) + 1 : 0; }\nint main(void) { return f(5); }\n" >a.c; gcc -w -O0 -pg -o a a.c; echo old >gmon.out; ./a; echo $?; gprof -b a | grep -c main; cp gmon.out b; gprof -s a gmon.out b; gprof -b a gmon.sum | grep -c main; rm a b gmon.out gmon.sum'
case_of cmake settles cmake 'printf "cmake_minimum_required(VERSION 3.10)\nproject(x C)\nadd_executable(x x.c)\n" >CMakeLists.txt; printf "int main(void){return 3;}\n" >x.c; cmake -S . -B b >/dev/null && cmake --build b >/dev/null; ./b/x; echo $?; rm -r b'
case_of node settles node 'node -e "
const fs = require(\"fs\"); fs.writeFileSync(\"a\", \"text\".repeat(50000)); fs.appendFileSync(\"a\", \"end\"); console.log(fs.statSync(\"a\").size, fs.readFileSync(\"a\", \"utf8\").slice(-5));
fs.copyFileSync(\"a\", \"b\"); fs.renameSync(\"b\", \"c\"); const fd = fs.openSync(\"c\", \"r+\"); fs.writeSync(fd, \"XX\", 3); fs.ftruncateSync(fd, 100); fs.closeSync(fd);
fs.createReadStream(\"a\").pipe(fs.createWriteStream(\"d\")).on(\"close\", () => { console.log(fs.statSync(\"d\").size); fs.promises.readFile(\"c\", \"utf8\").then(t => console.log(t)); fs.unlinkSync(\"a\"); });
require(\"child_process\").execSync(\"echo by a child >e\"); console.log(fs.readFileSync(\"e\", \"utf8\"));"'
case_of java settles java 'cat >A.java <<E
import java.io.*; import java.nio.*; import java.nio.channels.*; import java.nio.file.*;
class A { public static void main(String[] x) throws Exception {
 Path a = Path.of("a"), b = Path.of("b"); Files.writeString(a, "text".repeat(50000)); Files.copy(a, b); System.out.println(Files.size(b));
 try (RandomAccessFile f = new RandomAccessFile("b", "rw")) { f.seek(10); f.writeBytes("XXX"); f.setLength(1000);
  MappedByteBuffer m = f.getChannel().map(FileChannel.MapMode.READ_WRITE, 0, 1000); m.put(0, (byte)89); m.force(); System.out.println((char)f.read()); }
 try (FileChannel c = FileChannel.open(a); FileChannel d = FileChannel.open(Path.of("d"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) { System.out.println(c.transferTo(0, c.size(), d)); }
 Files.move(b, Path.of("c"), StandardCopyOption.REPLACE_EXISTING); System.out.println(Files.mismatch(a, Path.of("d"))); Files.delete(a);
 System.out.println(new String(Files.readAllBytes(Path.of("c"))).substring(0, 20)); } }
E
java -Xshare:off A.java 2>&1'
case_of vim settles vim 'seq 10 >a; vim -u NONE -es -c "%s/1/one/" -c "wq" a; cat a; vim -u NONE -es -c "normal Gotext" -c "w b" -c "q!" a; tail -n 1 b; ls -A'
case_of rustc settles rustc 'printf "fn main() { std::fs::write(\"out\", \"data\").unwrap(); std::fs::copy(\"out\", \"out2\").unwrap(); println!(\"{}\", std::fs::read_to_string(\"out2\").unwrap()); }" >a.rs; rustc -o a a.rs 2>&1 && ./a; rm -f a'
case_of clang settles clang 'printf "#include <stdio.h>\nint main(void) { FILE *f = fopen(\"o\", \"w\"); fputs(\"x\", f); return fclose(f); }\n" >a.c; clang -o a a.c && ./a && cat o; rm -f a'
case_of jq holds jq 'seq 1000 | jq -s "{a: .}" >a; jq ".a | add" a; jq -c ".a[:3]" a >b; cat b'
case_of tcl settles tclsh 'printf "set f [open a w]; puts \$f text; close \$f; set f [open a a+]; puts \$f more; seek \$f 0; puts [read \$f]; close \$f; file copy a b; file rename b c; puts [file size c]; file delete a; exec cat c >d" >t.tcl; tclsh t.tcl'
case_of lua holds lua5.1 'lua5.1 -e "f = io.open([[a]], [[w+]]); f:write(string.rep([[line\n]], 1000)); f:seek([[set]], 0); n = 0; for l in f:lines() do n = n + 1 end; print(n); f:close(); os.rename([[a]], [[b]]); print(io.open([[b]]):seek([[end]])); io.popen([[cat >c]], [[w]]):write([[piped]])"; cat c'
case_of ninja settles ninja 'printf "rule c\n  command = cat \$in >\$out\nbuild b: c a\nbuild d: c b b\n" >build.ninja; echo one >a; ninja -j2 | tail -n 1; cat d; ninja | tail -n 1; sleep 0.01; echo two >a; ninja | tail -n 1; cat d; rm -f .ninja_*'
case_of fio settles fio 'for e in psync pvsync2 libaio posixaio mmap; do fio --name=j --filename=f.$e --rw=randrw --bs=4k --size=2m --ioengine=$e --iodepth=4 --verify=crc32c --randseed=1 --output=/dev/null; echo $?; done; rm f.*'

# run by a child of vfork, and by a descriptor, as soon as it is written
case_of new_programs holds python3 'cp /bin/echo b; python3 -c "import subprocess; subprocess.run([\"./b\", \"hi\"])"; cp /bin/echo c; ./c two; cp /bin/echo d; env ./d three; cp /bin/echo e; printf "all:\n\t./e made\n" >Makefile; make -s; cp /bin/echo f; python3 -c "import os; os.execve(os.open(\"f\", os.O_RDONLY), [\"f\", \"by a descriptor\"], os.environ)"; rm ?'
case_of libraries settles gcc 'printf "int f(void) { return 7; }\n" >l.c; gcc -shared -fPIC -o l.so l.c; cp l.so m.so; python3 -c "import ctypes; print(ctypes.CDLL(\"./m.so\").f())"; cat m.so >n.so; python3 -c "import ctypes; print(ctypes.CDLL(\"./n.so\").f())"; printf "int f(void); int main(void) { return f(); }\n" >p.c; cp l.so libq.so; gcc -o p p.c -L. -lq -Wl,-rpath,.; cp p q; ./q; echo $?; rm *.so p q'
case_of clean_env holds env 'echo one >a; env -i PATH="$PATH" cat a; env -i PATH="$PATH" sh -c "echo two >>a; cat a >b"; cat b; python3 -c "import subprocess; subprocess.run([\"/bin/sh\", \"-c\", \"echo three >>a; cat a\"], env={})"'
case_of folders settles mv 'mkdir -p d/e; echo one >d/e/f; echo two >d/g; mv d h; cat h/e/f h/g; mkdir k; mv h k; cp -r k l; diff -r k l; mv -T l/h m; rm -r k; ls -R; out=$(mktemp -d "$T/o.XXXX"); mv m "$out/"; cat "$out/m/g" "$out/m/e/f"; env -u LD_PRELOAD cat "$out/m/g"; mv "$out/m" back; cat back/g; rmdir "$out"'
case_of lmdb holds mdb_load 'mkdir m; { printf "VERSION=3\nformat=print\ntype=btree\nmapsize=10485760\nmaxreaders=126\nHEADER=END\n"; for i in $(seq 300); do printf " key%04d\n value %d\n" $i $i; done; echo DATA=END; } >in; mdb_load -f in m; mdb_dump -p m | md5sum; mdb_stat m | grep Entries; mkdir c; mdb_copy -c m c; mdb_dump -p c | md5sum; rm -r m c'
case_of tail_f holds tail 'echo start >log; (sleep 0.5; for i in 1 2 3; do echo line $i >>log; sleep 0.2; done; echo END >>log) & timeout 20 tail -n +1 -f log | sed /END/q; wait'
case_of ruby holds ruby 'ruby -e "require %q(fileutils); require %q(tempfile); File.write(%q(a), %q(text) * 50000); File.open(%q(a), %q(r+)) { |f| f.seek(10); f.write(%q(XX)); f.truncate(1000) }; puts File.size(%q(a)); IO.copy_stream(%q(a), %q(b)); puts IO.binread(%q(b), 20, 5); FileUtils.cp_r(ENV[%q(TREE)], %q(t)); FileUtils.mv(%q(t/text), %q(c)); puts File.readlines(%q(c)).size; Tempfile.create(%q(x), %q(.)) { |t| t.puts 1; t.flush; puts t.size }; puts IO.popen([%q(wc), %q(-c), %q(c)]).read"'
case_of redis holds redis-server 's=$T/redis.sock; redis() { redis-server --port 0 --unixsocket $s --dir $PWD --save 60 1 --appendonly yes >/dev/null 2>&1 & until [ "$(redis-cli -s $s ping 2>/dev/null)" = PONG ]; do sleep 0.1; done; }; redis; for i in $(seq 50); do echo set k$i v$i; done | redis-cli -s $s >/dev/null; redis-cli -s $s save; redis-cli -s $s bgrewriteaof >/dev/null; while redis-cli -s $s info persistence | grep -q "^aof_rewrite_[a-z_]*:1"; do sleep 0.1; done; redis-cli -s $s shutdown save; wait; redis; redis-cli -s $s dbsize; redis-cli -s $s get k33; redis-cli -s $s shutdown nosave; wait; ls; rm -r *'
case_of mariadb settles mariadb-install-db 'mariadb-install-db --no-defaults --datadir=$PWD/d --user=root --auth-root-authentication-method=normal >/dev/null 2>&1; echo $?; s=$T/maria.sock; maria() { mariadbd --no-defaults --datadir=$PWD/d --socket=$s --skip-networking --user=root --innodb-buffer-pool-size=8M >/dev/null 2>&1 & until mariadb --no-defaults -S $s -uroot -e "select 1" >/dev/null 2>&1; do sleep 0.1; done; }; m="mariadb --no-defaults -N -S $s -uroot -e"; maria; $m "create database t; use t; create table a(i int primary key, s varchar(200)) engine=innodb; insert into a select seq, repeat(char(65 + seq % 26), 100) from seq_1_to_2000; create table b engine=aria as select * from a; alter table a add key(s); delete from a where i % 2; optimize table b; shutdown"; wait; maria; $m "select count(*), sum(i) from t.a; check table t.a, t.b; shutdown"; wait; rm -r d'

python_case() { case_of "python_$1" "$2" python3 "python3 -c '$3'"; }
python_case open holds 'import os
with open("a", "w") as f: f.write("text\n" * 1000); f.flush(); f.seek(5); f.write("TEXT"); print(f.tell())
with open("a", "rb+", 0) as f: print(f.read(12)); f.seek(0, 2); print(f.tell()); f.write(b"end"); print(f.truncate(20)); print(os.fstat(f.fileno()).st_size)
print(open("a").read(), os.path.getsize("a"))
with open("a", "a+") as f: f.write("appended"); f.seek(0); print(f.read())
with open("x", "x") as f: f.write("new")
try: open("x", "x")
except FileExistsError: print("exists")
fd = os.open("a", os.O_RDWR); print(os.pread(fd, 4, 2), os.pwrite(fd, b"zz", 1), os.lseek(fd, 0, 1), os.read(fd, 4)); os.lseek(fd, 100, 0); os.write(fd, b"far"); os.close(fd)
print(open("a", "rb").read())
print(os.preadv(os.open("a", os.O_RDONLY), [bytearray(3), bytearray(200)], 1), os.sendfile(os.open("b", os.O_WRONLY | os.O_CREAT), os.open("a", os.O_RDONLY), 0, 50))
os.copy_file_range(os.open("a", os.O_RDONLY), os.open("c", os.O_WRONLY | os.O_CREAT), 60); print(os.path.getsize("b"), os.path.getsize("c"))'
python_case json holds 'import json, csv, pickle, configparser
json.dump(list(range(5000)), open("j", "w")); print(sum(json.load(open("j"))))
csv.writer(open("c", "w")).writerows([[i, i * i] for i in range(100)]); print(sum(int(r[1]) for r in csv.reader(open("c"))))
pickle.dump({"a": [1] * 1000}, open("p", "wb")); print(len(pickle.load(open("p", "rb"))["a"]))
c = configparser.ConfigParser(); c["s"] = {"k": "v"}; c.write(open("i", "w")); c.read("i"); print(c["s"]["k"])'
python_case shutil settles 'import os, shutil, filecmp
t = os.environ["TREE"]
shutil.copyfile(t + "/text", "a"); shutil.copy2(t + "/text", "b"); shutil.copytree(t, "c", symlinks=True); print(int(os.stat("b").st_mtime), filecmp.cmp("a", t + "/text", False))
shutil.move("a", "d"); shutil.make_archive("z", "zip", "c"); shutil.unpack_archive("z.zip", "u"); print(sorted(os.listdir("u")), os.path.getsize("u/f5")); shutil.rmtree("u"); os.remove("z.zip"); os.replace("d", "b"); print(sorted(os.listdir(".")), os.path.getsize("b"))'
python_case tempfile holds 'import os, tempfile
with tempfile.TemporaryFile(dir=".") as t: t.write(b"nameless"); t.seek(0); print(t.read(), os.fstat(t.fileno()).st_size)
with tempfile.NamedTemporaryFile(dir=".") as t: t.write(b"named"); t.flush(); print(open(t.name).read())
with tempfile.TemporaryDirectory(dir=".") as d:
    for i in range(20): open(d + "/%d" % i, "w").write("x" * i)
    print(sum(os.path.getsize(d + "/%d" % i) for i in range(20)))
with tempfile.SpooledTemporaryFile(100, dir=".") as t: t.write(b"y" * 1000); t.seek(0); print(len(t.read()))
fd = os.open("gone", os.O_RDWR | os.O_CREAT); os.unlink("gone"); os.write(fd, b"still"); print(os.pread(fd, 10, 0), os.listdir("."))'
python_case subprocess holds 'import subprocess, sys
subprocess.run(["sh", "-c", "echo out; echo err >&2"], stdout=open("o", "w"), stderr=open("e", "w"), check=True)
print(open("o").read(), open("e").read())
print(subprocess.run(["wc", "-c"], stdin=open("o"), stdout=subprocess.PIPE).stdout)
with open("log", "w") as f:
    f.write("first\n"); f.flush()
    for i in range(3): subprocess.call(["echo", str(i)], stdout=f)
    subprocess.run("echo shell; cat o", shell=True, stdout=f); f.write("last\n")
print(open("log").read())
p = [subprocess.Popen([sys.executable, "-c", "import sys; sys.stdout.write(str(%d) + chr(10))" % i], stdout=open("app", "a")) for i in range(4)]
[x.wait() for x in p]; print(sorted(open("app").read().split())); import os; os.remove("app")'
python_case processes holds 'import multiprocessing as m, os, concurrent.futures as c
def work(i):
    with open("f%d" % i, "w") as f: f.write(str(i) * 1000)
    with open("all", "a") as f: f.write("%d\n" % i)
    return os.path.getsize("f%d" % i)
if __name__ == "__main__":
    with m.get_context("fork").Pool(3) as p: print(p.map(work, range(12)))
    with c.ThreadPoolExecutor(4) as p: print(list(p.map(work, range(12, 24))))
    print(sorted(map(int, open("all")))); os.remove("all")
    f = open("shared", "w+b", 0); f.write(b"parent")
    pid = os.fork()
    if pid == 0: f.write(b" child"); os._exit(0)
    os.waitpid(pid, 0); f.write(b" parent"); f.seek(0); print(f.read())'
python_case mmap settles 'import mmap, os
open("a", "wb").write(b"0123456789" * 1000)
with open("a", "rb") as f: m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); print(len(m), m[9990:], m.find(b"90")); m.close()
with open("a", "rb") as f: m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY); m[0:3] = b"abc"; print(m[:5]); m.close()
print(open("a", "rb").read(5))'
python_case mmap_shared holds 'import mmap, os
f = open("a", "w+b"); f.write(b"0123456789" * 1000); f.flush()
m = mmap.mmap(f.fileno(), 0); m[0:5] = b"abcde"; m[9995:] = b"vwxyz"; print(os.pread(f.fileno(), 10, 0), m.find(b"xyz")); m.flush(); m.close()
m = mmap.mmap(f.fileno(), 5000); m.resize(20000); m[19999:] = b"!"; m.close(); f.close()
print(os.path.getsize("a"), open("a", "rb").read()[-3:])
m = mmap.mmap(os.open("a", os.O_RDWR), 0); m[1:2] = b"Z"; pid = os.fork()
if pid == 0: m[2:3] = b"Y"; os._exit(0)
os.waitpid(pid, 0); print(m[:5])'
python_case sqlite_wal settles 'import sqlite3, os
path = "d"
db = sqlite3.connect(path); print(db.execute("pragma journal_mode=wal").fetchone()); db.execute("create table t(a, b)"); db.commit()
def work(n):
    db = sqlite3.connect(path, timeout=60)
    for i in range(20):
        with db: db.execute("insert into t values (?, ?)", (n, "x" * 2000))
    db.close()
pids = []
for n in range(3):
    pid = os.fork()
    if pid == 0: work(n); os._exit(0)
    pids.append(pid)
print([os.waitpid(p, 0)[1] for p in pids])
print(db.execute("select count(*) from t").fetchone(), db.execute("pragma integrity_check").fetchone()); db.close()
print(sorted(os.listdir("."))); os.remove("d")'
python_case zip settles 'import zipfile, tarfile, gzip, lzma, bz2, os
t = os.environ["TREE"]
with zipfile.ZipFile("z", "w", zipfile.ZIP_DEFLATED) as z: z.write(t + "/text", "text"); z.writestr(zipfile.ZipInfo("k"), "x" * 1000)
with zipfile.ZipFile("z", "a") as z: z.writestr(zipfile.ZipInfo("l"), "more")
print(zipfile.ZipFile("z").testzip(), zipfile.ZipFile("z").namelist())
with tarfile.open("t", "w:gz") as x: x.add(t + "/text", "text")
tarfile.open("t").extractall("x"); print(os.path.getsize("x/text"))
for o in (gzip, lzma, bz2):
    with o.open("c", "wb") as f: f.write(b"data" * 10000)
    print(len(o.open("c").read()))
os.remove("z"); os.remove("t"); os.remove("c")'
python_case sqlite holds 'import sqlite3, os
db = sqlite3.connect("d"); db.execute("create table t(a, b)")
with db: db.executemany("insert into t values(?, ?)", [(i, "x" * i) for i in range(500)])
db.close(); db = sqlite3.connect("d"); print(db.execute("select count(*), sum(length(b)) from t").fetchone(), db.execute("pragma integrity_check").fetchone())
db.execute("delete from t where a % 2"); db.commit(); db.execute("vacuum"); print(db.execute("select count(*) from t").fetchone()); db.close(); os.remove("d")'
python_case locks holds 'import fcntl, os, struct
f = open("a", "w+"); f.write("x" * 100); f.flush()
fcntl.lockf(f, fcntl.LOCK_EX); pid = os.fork()
if pid == 0:
    g = open("a", "r+")
    try: fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB); os._exit(1)
    except OSError: os._exit(0)
print(os.waitpid(pid, 0)[1]); fcntl.lockf(f, fcntl.LOCK_UN); fcntl.flock(f, fcntl.LOCK_EX); fcntl.flock(f, fcntl.LOCK_UN); fcntl.lockf(f, fcntl.LOCK_EX, 10, 5, 2); fcntl.lockf(f, fcntl.LOCK_UN); print("done")'

# ---- tried unseen; most are not installed where the tests run -----------------------------------------

case_of borg settles borg 'export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_RELOCATED_REPO_ACCESS_IS_OK=yes BORG_BASE_DIR=$PWD/base; borg init -e none r 2>/dev/null; borg create r::one "$TREE"; cp -r "$TREE" t; echo more >>t/text; borg create r::two t; borg list --short r; borg check r; mkdir x; cd x; borg extract ../r::two; diff -r t ../t && echo same; cd ..; borg delete r::one; borg compact r; borg extract --stdout r::two t/f1 | cmp - "$TREE/f1"; rm -rf r base'
case_of restic settles restic 'exec 2>/dev/null; export RESTIC_PASSWORD=x RESTIC_REPOSITORY=$PWD/r XDG_CACHE_HOME=$PWD/c; cp -r "$TREE" t; restic -q init; restic -q backup t; echo more >>t/text; restic -q backup t; restic -q check --read-data; restic -q restore latest --target x; diff -r t "x$PWD/t" && echo same || find x | sort; restic -q forget --keep-last 1 --prune; restic -q check; rm -rf r c x'
case_of rclone settles rclone 'exec 2>/dev/null; export RCLONE_CONFIG=$T/rclone.conf; touch $RCLONE_CONFIG; rclone -q copy --copy-links "$TREE" t; diff -r "$TREE"/sub/nothing t/sub/nothing; cmp t/f5 "$TREE/f5"; echo n >>t/text; rclone -q sync t u; rclone -q check t u; rclone md5sum u | sort; rclone cat u/text | tail -n 1; rclone -q moveto u/text u/text2; ls u; rclone -q purge t; ls'
case_of parallel holds parallel 'seq 200 | parallel -j4 "echo {} >f{}; cat f{} >>all"; sort -n all | md5sum; ls | wc -l; seq 5000 | parallel --pipe -N 1000 -k "wc -l; cat >/dev/null" >w; wc -l <w; parallel -k -j2 --joblog log echo {} ::: a b c >o; cat o; cut -f 7 log; rm log all f*'
case_of pigz settles pigz 'cp "$TREE/text" a; cp "$REF" b; pigz -kn a; pigz -dc a.gz | cmp - a; rm a; unpigz a.gz; wc a; pigz -n -9 -p 4 b; pigz -t b.gz; gunzip b.gz; cmp b "$REF"'
case_of lbzip2 settles lbzip2 'cp "$REF" a; lbzip2 -k a; lbzip2 -dc a.bz2 | cmp - a; rm a; lbzip2 -d a.bz2; cmp a "$REF"'
case_of lzop settles lzop 'cp "$REF" a; lzop a; lzop -dc a.lzo | cmp - a; brotli -k a; brotli -dc a.br | cmp - a; lzip -k a; lzip -dc a.lz | cmp - a; lz4 -q a b; lz4 -qdc b | cmp - a; rm a.lzo'
case_of 7z settles 7z 'cp -r "$TREE" t; 7z a -bd -mmt2 z.7z t >/dev/null; 7z t z.7z | grep -c Everything; 7z x -bd -ox z.7z >/dev/null; diff -r t x/t && echo same; echo new >n; 7z a z.7z n >/dev/null; 7z l -ba z.7z | wc -l; 7z d z.7z n >/dev/null; 7z a -tzip z.zip t >/dev/null; unzip -p z.zip t/f1 | cmp - t/f1; rm z.*'
case_of bedtools holds bedtools 'awk "BEGIN { srand(1); for (i = 0; i < 3000; i++) { s = int(rand() * 100000); print \"chr\" i % 5 \"\t\" s \"\t\" s + 50 \"\tn\" i } }" >a.bed; sort -k1,1 -k2,2n a.bed >b.bed; bedtools merge -i b.bed >m.bed; wc -l m.bed; bedtools intersect -a a.bed -b m.bed -c | md5sum; bedtools sort -i a.bed | cmp - b.bed; bedtools coverage -a m.bed -b b.bed >c; tail -n 1 c'
case_of samtools holds samtools 'python3 -c "
import random
r = random.Random(1); s = \"\".join(r.choice(\"ACGT\") for _ in range(30000))
open(\"ref.fa\", \"w\").write(\">c\n\" + \"\n\".join(s[i:i + 60] for i in range(0, 30000, 60)) + \"\n\")
with open(\"r.fq\", \"w\") as f:
    for i in range(1500):
        p = r.randrange(29900); t = list(s[p:p + 100]); t[50] = r.choice(\"ACGT\"); f.write(\"@r%d\n%s\n+\n%s\n\" % (i, \"\".join(t), \"I\" * 100))"
bwa index ref.fa 2>/dev/null; bwa mem -t 2 ref.fa r.fq 2>/dev/null | grep -v ^@PG >a.sam; samtools sort --no-PG -@ 2 -o a.bam a.sam 2>/dev/null; samtools index a.bam; samtools flagstat a.bam | head -n 1; samtools faidx ref.fa; samtools faidx ref.fa c:100-159; samtools view -c a.bam c:1000-2000; samtools depth a.bam | md5sum; bcftools mpileup --no-version -f ref.fa a.bam 2>/dev/null | bcftools call --no-version -mv -Ob -o v.bcf 2>/dev/null; bcftools index v.bcf; bcftools view -H v.bcf | wc -l; samtools view --no-PG -C -T ref.fa -o a.cram a.bam; samtools view -c a.cram; rm v.bcf* a.cram'
case_of nco settles ncks 'printf "netcdf a { dimensions: x = 4; t = UNLIMITED; variables: int v(t, x); double t(t); data: v = 1,2,3,4,5,6,7,8; t = 0, 1; }\n" >a.cdl; ncgen -o a.nc a.cdl; ncgen -4 -o a4.nc a.cdl; ncks -h -O -d t,1 a.nc b.nc; ncdump b.nc | grep -c 8; ncra -h -O a.nc m.nc; ncdump -v v m.nc | tail -n 3; ncrcat -h -O a.nc a.nc c.nc; ncdump -h c.nc | grep currently; ncap2 -h -O -s "w=v*2" a.nc d.nc; ncdump -v w d.nc | tail -n 4; ncatted -h -a u,v,c,c,m a.nc; ncdump -h a.nc | grep v:u; ncrename -h -v v,vv a.nc; ncks -h -O -4 -L 1 a4.nc e.nc; ncdump -v v e.nc | tail -n 3; rm ?.nc a4.nc'
case_of cdo holds cdo 'export CDO_HISTORY_INFO=false; cdo -s -O -f nc topo,r36x18 t.nc 2>/dev/null; cdo -s -O -f nc4 -addc,1 t.nc u.nc; cdo -s output -fldmean -sub u.nc t.nc; cdo -s -O -f nc -remapbil,r18x9 t.nc v.nc; cdo -s output -fldmax v.nc; cdo -s -O -f grb copy t.nc t.grb; cdo -s output -fldmin t.grb; rm *.nc *.grb'
case_of octave holds octave-cli 'octave-cli -qf --eval "x = magic(50); save -binary a.mat x; save -text a.txt x; save -v7 b.mat x; clear x; load a.mat; disp(sum(x(:))); clear x; load b.mat; disp(trace(x)); f = fopen(\"c\", \"w+\"); fwrite(f, 1:1000, \"double\"); fseek(f, 80); disp(fread(f, 1, \"double\")); fclose(f); csvwrite(\"d.csv\", x); disp(norm(csvread(\"d.csv\") - x)); diary e; disp(3); diary off" 2>&1; tail -n 2 e; rm a.mat a.txt b.mat'
case_of R settles Rscript 'Rscript --vanilla -e "x <- data.frame(a = 1:1000, b = (1:1000)^2); write.csv(x, \"a.csv\"); saveRDS(x, \"b.rds\"); save(x, file = \"c.rda\"); y <- readRDS(\"b.rds\"); identical(x, y); load(\"c.rda\"); sum(read.csv(\"a.csv\")[[\"b\"]]); f <- file(\"d\", \"w+\"); cat(\"one\n\", file = f); seek(f, 0, rw = \"read\"); readLines(f); close(f); z <- gzfile(\"e.gz\", \"w\"); writeLines(as.character(1:5000), z); close(z); length(readLines(\"e.gz\")); sink(\"s\"); print(1:3); sink(); file.size(\"s\"); unlink(\"d\"); file.append(\"a.csv\", \"s\"); file.copy(\"a.csv\", \"f\"); file.rename(\"f\", \"g\"); tail(readLines(\"g\"), 1)"'
case_of imagemagick settles convert 'convert -size 64x64 gradient:red-blue -strip a.ppm; convert a.ppm -strip b.bmp; convert a.ppm -resize 50% c.ppm; identify -format "%m %wx%h\n" a.ppm b.bmp c.ppm; compare -metric AE a.ppm b.bmp null: 2>&1; echo; mogrify -flip c.ppm; convert a.ppm -depth 8 rgb:d; stat -c %s d; convert a.ppm c.ppm -append e.miff; identify -format "%wx%h\n" e.miff; rm e.miff; stream -map rgb -storage-type char a.ppm f; cmp d f; convert a.ppm g.tiff; identify -format "%m\n" g.tiff; rm g.tiff'
case_of ffmpeg holds ffmpeg 'f="ffmpeg -nostdin -v error -y -fflags +bitexact -threads 1"; $f -f lavfi -i testsrc=d=1:s=64x64 -flags +bitexact -c:v mpeg4 a.mp4; $f -i a.mp4 -flags +bitexact b.avi; $f -i b.avi -f framemd5 -flags +bitexact c; tail -n 1 c; $f -f lavfi -i sine=d=1 -flags +bitexact d.wav; $f -i d.wav -c:a flac -flags +bitexact e.flac; ffprobe -v error -show_entries format=duration e.flac | sed -n 2p; $f -i a.mp4 -c copy -movflags +faststart -flags +bitexact g.mp4; ffprobe -v error -show_entries stream=nb_frames g.mp4 | sed -n 2p; $f -i a.mp4 -c copy -f segment -segment_time 0.4 h%d.nut; ls; rm h*'
case_of unison settles unison 'export UNISON=$PWD/u; mkdir u; cp -r "$TREE" a; mkdir b; unison -batch -silent "$PWD/a" "$PWD/b" >/dev/null 2>&1; diff -r a b && echo same; echo x >>a/text; echo y >b/new; rm b/f1; unison -batch -silent -times "$PWD/a" "$PWD/b" >/dev/null 2>&1; diff -r a b && echo same; ls a; rm -rf u'
case_of mercurial settles hg 'export HGUSER=n; hg init r; cd r; cp -r "$TREE" t; hg -q add; hg -q commit -d "0 0" -m one; echo more >>t/text; hg -q commit -d "0 0" -m two; hg log --template "{node|short} {desc}\n"; hg verify -q; hg -q clone . ../c; cd ../c; hg update -q 0; hg diff -r 0 -r 1 --git | grep -c ^+more; echo z >>t/f1; hg -q commit -d "0 0" -m three; hg -q pull ../r; hg merge -q 1 2>&1; hg log --template . ; echo; hg strip -q . 2>&1 | head -n 1; cd ..; rm -r r c'
case_of svn settles svn 'svnadmin create r; svn -q mkdir file://$PWD/r/trunk -m d; svn -q co file://$PWD/r/trunk w; cd w; cp -r "$TREE" t; svn -q add t; svn -q ci -m one; echo more >>t/text; svn -q ci -m two; svn -q up; svn log -q | grep -c ^r; svn diff -r 2:3 | grep -c ^+more; svn st; svn -q rm t/f1; svn -q revert t/f1; cmp t/f1 "$TREE/f1"; cd ..; svnadmin -q verify r; svnadmin -q dump r 2>/dev/null | grep -c ^Revision-number; rm -rf r w'
case_of fossil settles fossil 'export USER=n FOSSIL_HOME=$PWD; fossil init r >/dev/null; mkdir w; cd w; fossil open ../r >/dev/null; cp "$TREE/text" "$TREE/f1" .; fossil add . >/dev/null; fossil commit -m one --no-warnings >/dev/null; echo more >>text; fossil changes; fossil commit -m two --no-warnings >/dev/null 2>&1; fossil timeline -n 5 | grep -c "user: n"; fossil diff --from prev 2>/dev/null | grep -c ^+more; fossil close; cd ..; fossil test-integrity -R r >/dev/null 2>&1; fossil rebuild r >/dev/null 2>&1; echo $?; rm -rf r w .fossil'
case_of rcs settles ci 'cp "$TREE/text" a; ci -q -l -d"2001-01-01 00:00" -wn -t-x a; echo more >>a; ci -q -l -d"2001-01-02 00:00" -wn -mtwo a; rlog a | grep -c ^revision; rcsdiff -q -r1.1 -r1.2 a | tail -n 1; co -q -p1.1 a | cmp - "$TREE/text"'
case_of ccache settles ccache 'export CCACHE_DIR=$PWD/c; printf "int f(void) { return 3; }\n" >a.c; ccache gcc -c a.c -o a.o; rm a.o; ccache gcc -c a.c -o a.o; ccache -s | grep -c "Hits: *1"; nm a.o; ccache -C >/dev/null; rm -rf c a.o'
case_of cmake_ninja settles cmake 'command -v ninja >/dev/null || exit 0; printf "cmake_minimum_required(VERSION 3.10)\nproject(p C)\nadd_library(l SHARED l.c)\nadd_executable(m m.c)\ntarget_link_libraries(m l)\nenable_testing()\nadd_test(NAME t COMMAND m)\n" >CMakeLists.txt; echo "int f(void) { return 0; }" >l.c; echo "int f(void); int main(void) { return f(); }" >m.c; cmake -G Ninja -S . -B b >/dev/null; ninja -C b >/dev/null; b/m; echo $?; (cd b; ctest 2>&1 | grep -c "100% tests"); touch l.c; ninja -C b >/dev/null; ninja -C b | grep -c "no work"; rm -r b'
case_of gdb settles gdb 'printf "#include <stdio.h>\n#include <stdlib.h>\nint x = 42; int main(void) { x++; abort(); }\n" >a.c; gcc -g -O0 a.c -o a; gdb -q -batch -nx -ex "break abort" -ex run -ex "p x" -ex "generate-core-file c" ./a 2>&1 | grep "^.1 ="; gdb -q -batch -nx -ex "p x" ./a c 2>&1 | grep "^.1 ="; ls c; rm -f c a core*'
case_of php holds php 'php -r "file_put_contents(\"a\", str_repeat(\"line\n\", 1000)); file_put_contents(\"a\", \"more\", FILE_APPEND | LOCK_EX); echo strlen(file_get_contents(\"a\")), \"\n\"; \$f = fopen(\"b\", \"w+\"); fwrite(\$f, \"hello\"); rewind(\$f); echo fgets(\$f), \"\n\"; ftruncate(\$f, 2); fseek(\$f, 0, SEEK_END); echo ftell(\$f), \"\n\"; fclose(\$f); copy(\"a\", \"c\"); rename(\"c\", \"d\"); echo filesize(\"d\"), \"\n\"; unlink(\"d\"); \$z = gzopen(\"e.gz\", \"w\"); gzwrite(\$z, str_repeat(\"x\", 100000)); gzclose(\$z); readgzfile(\"e.gz\"); \$s = new SQLite3(\"q\"); \$s->exec(\"create table t(a)\"); for (\$i = 0; \$i < 100; \$i++) \$s->exec(\"insert into t values(\$i)\"); echo \"\n\", \$s->querySingle(\"select sum(a) from t\"), \"\n\";"; rm q'
case_of emacs settles emacs 'seq 10 >a; emacs -Q --batch --eval "(progn (find-file \"a\") (goto-char (point-max)) (insert \"text\n\") (save-buffer) (write-file \"b\") (set-visited-file-name \"c\") (do-auto-save) (save-buffer) (append-to-file \"x\" nil \"d\") (rename-file \"d\" \"e\") (copy-file \"e\" \"f\"))" 2>/dev/null; tail -n 1 a; cmp a b; ls -A; cat e f'
case_of busybox settles busybox 'exec 2>/dev/null; b=busybox; $b cp "$REF" a; $b cat a | $b md5sum; $b dd if=a of=b bs=7001 2>/dev/null; $b cmp a b; $b seq 1000 >s; $b sed -i s/1/one/ s; $b head -n 2 s; $b sort -r s >t; $b tail -n 1 t; $b gzip -k s; $b zcat s.gz | $b cmp - s; $b tar cf - a b | $b tar t; $b awk "{ n += length } END { print n > \"w\" }" s; $b cat w; $b wc -c a; $b truncate -s 5 t; $b stat -c %s t; $b mv t u; $b rm u; $b ls; $b sh -c "echo one >v; while read l; do echo got \$l; done <v"; $b cp -r "$TREE" tree; $b diff -r tree "$TREE"; $b split -b 1000000 a p; $b cat p* | $b cmp - a; $b sha256sum a; rm s.gz'
case_of toybox holds toybox 'b=toybox; $b cp "$REF" a; $b md5sum a; $b dd if=a of=b bs=7001 2>/dev/null; $b cmp a b; $b seq 1000 >s; $b sed -i s/1/one/ s; $b head -n 2 s; $b sort -r s >t; $b tail -n 1 t; $b truncate -s 5 t; $b mv t u; $b rm u; $b tac s | $b tail -n 1; $b xxd s | $b wc; $b tee c <s >/dev/null; $b cmp c s; $b patch -v 2>/dev/null; $b ls'
case_of images settles mksquashfs 'cp -r "$TREE" t; mksquashfs t a.sq -quiet -no-progress -all-time 0 -mkfs-time 0 2>/dev/null >/dev/null; unsquashfs -q -n -d x a.sq >/dev/null; diff -r t x && echo same; unsquashfs -l a.sq | wc -l; genisoimage -quiet -R -o b.iso t 2>/dev/null; isoinfo -i b.iso -R -f | wc -l; isoinfo -i b.iso -R -x /f1 | cmp - t/f1; truncate -s 8M e.img; mke2fs -q -F -t ext4 -d t e.img 2>/dev/null; e2fsck -fn e.img 2>/dev/null >/dev/null; echo $?; debugfs -R "cat /f2" e.img 2>/dev/null | cmp - t/f2; resize2fs e.img 12M >/dev/null 2>&1; e2fsck -fn e.img >/dev/null 2>&1; echo $?; stat -c %s e.img; dumpe2fs -h e.img 2>/dev/null | grep -c "Block count"; rm a.sq b.iso e.img'
case_of qemu_img settles qemu-img 'qemu-img create -q -f qcow2 a.qcow2 16M; qemu-img create -q -f raw r 4M; cp "$REF" r2; truncate -s 4M r2; qemu-img convert -f raw -O qcow2 r2 b.qcow2; qemu-img compare -q b.qcow2 r2 && echo same; qemu-img check -q b.qcow2; echo $?; qemu-img convert -O raw b.qcow2 c; cmp c r2; qemu-img create -q -f qcow2 -b b.qcow2 -F qcow2 d.qcow2; qemu-io -c "write -P 7 1M 64k" -c "read -P 7 1M 64k" d.qcow2 2>&1 | grep -c "65536/65536"; qemu-img commit -q d.qcow2; qemu-io -f qcow2 -c "read -P 7 1M 64k" b.qcow2 | grep -c 65536/65536; qemu-img resize -q a.qcow2 32M; qemu-img snapshot -c s b.qcow2; qemu-img convert -O vmdk b.qcow2 v; qemu-img convert -O vdi b.qcow2 w; qemu-img compare -q v w && echo same; rm *.qcow2 v w'
case_of logrotate settles logrotate 'seq 1000 >l; printf "%s/l { rotate 3\n size 1\n compress\n create 600\n}\n" "$PWD" >c; chmod 644 c; logrotate -s "$PWD/s" -f c 2>&1; echo new >>l; logrotate -s "$PWD/s" -f c 2>&1; ls; zcat l.2.gz | wc -l; zcat l.1.gz; printf "%s/l { rotate 2\n copytruncate\n size 1\n}\n" "$PWD" >c; echo again >l; exec 3>>l; echo three >&3; logrotate -s "$PWD/s" -f c 2>&1; echo four >&3; exec 3>&-; cat l; cat l.1; rm c s l.*.gz'
case_of numpy holds /usr/bin/python3 '/usr/bin/python3 -c "import numpy" 2>/dev/null || exit 0; /usr/bin/python3 -c "
import numpy as np
a = np.arange(100000.0).reshape(100, -1); np.save(\"a.npy\", a); b = np.load(\"a.npy\", mmap_mode=\"r+\"); b[3, 4] = -1; b.flush(); del b
print(np.load(\"a.npy\").sum()); m = np.memmap(\"m\", dtype=\"int32\", mode=\"w+\", shape=(1000, 10)); m[:] = 7; m.flush(); del m; print(np.fromfile(\"m\", \"int32\").sum()); a.tofile(\"t\"); print(np.fromfile(\"t\", offset=800, count=2)); np.savetxt(\"x\", a[:5]); print(np.loadtxt(\"x\").sum()); np.savez_compressed(\"z\", a=a); print(np.load(\"z.npz\")[\"a\"].sum()); print(np.load(\"a.npy\", mmap_mode=\"c\")[3, 4])"; rm z.npz'
case_of pandas holds /usr/bin/python3 '/usr/bin/python3 -c "import pandas" 2>/dev/null || exit 0; /usr/bin/python3 -W ignore -c "
import pandas as pd, numpy as np
d = pd.DataFrame({\"a\": range(2000), \"b\": np.arange(2000) ** 2.0, \"c\": [\"s%d\" % (i % 7) for i in range(2000)]})
d.to_csv(\"a.csv\"); print(pd.read_csv(\"a.csv\", index_col=0).equals(d)); d.to_pickle(\"b.pkl\"); print(pd.read_pickle(\"b.pkl\").equals(d)); d.to_json(\"c.json\"); print(pd.read_json(\"c.json\").shape); d.to_csv(\"d.csv.xz\"); print(len(pd.read_csv(\"d.csv.xz\")))
d.to_hdf(\"e.h5\", \"d\", mode=\"w\", format=\"table\"); print(len(pd.read_hdf(\"e.h5\", \"d\", where=\"index < 10\"))); d.to_csv(\"a.csv\", mode=\"a\", header=False); print(sum(1 for _ in open(\"a.csv\"))); import sqlite3; q = sqlite3.connect(\"q\"); d.to_sql(\"t\", q); print(pd.read_sql(\"select count(*) n, sum(b) s from t\", q)); q.close()"; rm -f e.h5 q'
case_of h5py holds /usr/bin/python3 '/usr/bin/python3 -c "import h5py" 2>/dev/null || exit 0; /usr/bin/python3 -c "
import h5py, numpy as np
with h5py.File(\"a\", \"w\", libver=\"latest\") as f:
    d = f.create_dataset(\"x\", (0, 100), maxshape=(None, 100), chunks=(10, 100), compression=\"gzip\")
    for i in range(20): d.resize((i + 1) * 5, 0); d[i * 5:] = i
    f[\"y\"] = np.arange(50000)
with h5py.File(\"a\", \"r+\") as f: f[\"y\"][7] = -1; del f[\"x\"]; f[\"g/z\"] = \"text\"
with h5py.File(\"a\", \"r\") as f: print(f[\"y\"][:].sum(), list(f), f[\"g/z\"][()])
with h5py.File(\"c\", \"w\", driver=\"core\") as f: f[\"q\"] = np.ones(1000)
print(h5py.File(\"c\")[\"q\"][:].sum())
with h5py.File(\"s\", \"w\", driver=\"stdio\") as f: f[\"q\"] = np.ones(1000)
w = h5py.File(\"w\", \"w\", libver=\"latest\"); d = w.create_dataset(\"d\", (0,), maxshape=(None,), chunks=(64,)); w.swmr_mode = True
r = h5py.File(\"w\", \"r\", libver=\"latest\", swmr=True); d.resize((100,)); d[:] = 3; d.flush(); r[\"d\"].refresh(); print(r[\"d\"][:].sum()); r.close(); w.close()"; rm -f a c s w'
case_of zarr holds /usr/bin/python3 '/usr/bin/python3 -c "import zarr" 2>/dev/null || exit 0; /usr/bin/python3 -W ignore -c "
import zarr, numpy as np
z = zarr.open(\"z\", mode=\"w\", shape=(200, 200), chunks=(50, 50), dtype=\"f8\"); z[:] = np.arange(40000).reshape(200, 200); z[3:77, 5] = -1; z.append(np.ones((10, 200))); print(zarr.open(\"z\", mode=\"r\")[:].sum(), z.shape)
zarr.save(\"y.zip\", np.arange(100)); print(zarr.load(\"y.zip\").sum()); s = zarr.SQLiteStore(\"q\"); g = zarr.group(s, overwrite=True); g[\"a\"] = np.ones(1000); s.close(); print(zarr.open_group(zarr.SQLiteStore(\"q\"))[\"a\"][:].sum()); s = zarr.LMDBStore(\"l\", map_size=1 << 24); g = zarr.group(s, overwrite=True); g[\"a\"] = np.ones(1000); s.close(); print(zarr.open_group(zarr.LMDBStore(\"l\", map_size=1 << 24))[\"a\"][:].sum())
import joblib; joblib.dump(np.arange(1000), \"j\"); print(joblib.load(\"j\", mmap_mode=\"r\").sum()); print(sum(joblib.Parallel(2)(joblib.delayed(len)([i] * i) for i in range(50))))"; rm -rf y.zip q l'
case_of leveldb settles /usr/bin/python3 '/usr/bin/python3 -c "import plyvel" 2>/dev/null || exit 0; /usr/bin/python3 -c "
import plyvel
d = plyvel.DB(\"d\", create_if_missing=True, write_buffer_size=65536)
for i in range(20000): d.put(b\"k%06d\" % (i * 7919 % 20000), b\"v%d\" % i * 5)
for i in range(0, 20000, 3): d.delete(b\"k%06d\" % i)
d.compact_range(); print(sum(len(v) for _, v in d)); d.close(); d = plyvel.DB(\"d\"); print(sum(1 for _ in d), d.get(b\"k000001\")); d.close(); plyvel.repair_db(\"d\"); d = plyvel.DB(\"d\"); print(sum(1 for _ in d))"; rm -r d'
case_of rocksdb settles sst_dump 'for i in $(seq 300); do echo "k$i ==> v$i"; done >in; ldb --db=d --create_if_missing load <in 2>/dev/null; ldb --db=d scan | wc -l; ldb --db=d put a b; ldb --db=d get a; ldb --db=d compact; ldb --db=d checkconsistency; ldb --db=d dump 2>/dev/null | tail -n 1; ldb --db=d batchput x 1 y 2; ldb --db=d get y; rm -rf d'
case_of rdiff_backup settles rdiff-backup 'cp -r "$TREE" t; rdiff-backup --api-version 200 --current-time 1000000 t b 2>/dev/null; echo more >>t/text; rm t/f1; rdiff-backup --current-time 2000000 t b; rdiff-backup -r 1000000 b x; diff -r "$TREE" x && echo same; rdiff-backup verify b 2>&1 | tail -n 1 | grep -c ERROR; diff -r --exclude=rdiff-backup-data t b && echo same; rm -rf b'
case_of dar settles dar 'cp -r "$TREE" t; dar -Q -q -c a -R . -g t; dar -Q -q -t a; echo $?; echo more >>t/text; dar -Q -q -c d -A a -R . -g t; mkdir x; dar -Q -q -x a -R x; dar -Q -q -w -x d -R x; diff -r t x/t && echo same; dar -Q -q -c s -s 100k -R . -g t; ls s.*.dar | wc -l; bsdtar -cf b.tar t; bsdtar -tf b.tar | wc -l; bsdtar -cf c.cpio --format newc t; bsdtar -xf c.cpio -C x; diff -r t x/t && echo same; rm *.dar b.tar c.cpio'
case_of dbi settles perl 'perl -MDBD::SQLite -e 1 2>/dev/null || exit 0; perl -MDBI -e "my \$d = DBI->connect(\"dbi:SQLite:dbname=q\", \"\", \"\", { RaiseError => 1 }); \$d->do(\"pragma journal_mode=wal\"); \$d->do(\"create table t(a, b)\"); my \$s = \$d->prepare(\"insert into t values(?, ?)\"); \$d->begin_work; \$s->execute(\$_, \"x\" x \$_) for 1 .. 500; \$d->commit; print \$d->selectrow_array(\"select sum(a), sum(length(b)) from t\"), qq(\n); \$d->do(\"delete from t where a > 100\"); \$d->do(\"vacuum\"); print \$d->selectrow_array(\"pragma integrity_check\"), qq(\n)"; rm -f q*'
case_of datamash holds datamash 'seq 1000 | awk "{ print \$1 % 7 \"\t\" \$1 }" >a; datamash -s -g 1 sum 2 <a >b; cat b; datamash -W transpose <b; datamash -s crosstab 1,2 <b >c; wc -l c'
case_of graphs settles dot 'printf "digraph { a -> b; b -> c; a -> c }\n" >a; dot -Tplain a >b; tail -n 1 b; dot -Tsvg -o c.svg a; grep -c "<path" c.svg; dot -Tps -o d.ps a; gs -q -dNOPAUSE -dBATCH -sDEVICE=ppmraw -r20 -sOutputFile=e.ppm d.ps; head -c 2 e.ppm; echo; gnuplot -e "set term svg; set output \"g.svg\"; plot sin(x)" 2>/dev/null; grep -c "</svg>" g.svg; printf ".TH X 1\n.SH NAME\nx\n" | groff -man -Tps >h.ps; head -n 1 h.ps; rm -f d.ps h.ps'
case_of sox holds sox 'sox -D -n -r 8000 a.wav synth 1 sine 400; sox -D a.wav b.au reverse; sox -D b.au c.wav reverse; cmp a.wav c.wav && echo same; soxi -s a.wav; sox -D a.wav a.wav d.wav; soxi -D d.wav; sox d.wav -n stat 2>&1 | grep -c Length'
case_of rrdtool settles rrdtool 'rrdtool create a --start 1000000000 --step 60 DS:x:GAUGE:120:U:U RRA:AVERAGE:0.5:1:100; for i in $(seq 50); do rrdtool update a $((1000000000 + i * 60)):$i; done; rrdtool fetch a AVERAGE -s 1000000060 -e 1000000180; rrdtool dump a >b; rrdtool restore b c; rrdtool lastupdate c; cmp a c && echo same; rrdtool tune a -h x:300; rrdtool info a | grep minimal; rm a c'
case_of ocamlc settles ocamlc 'printf "let () = let o = open_out \"o\" in output_string o \"text\\\\n\"; close_out o; print_endline (input_line (open_in \"o\"))\n" >a.ml; ocamlc -o a a.ml; ./a; ocamlopt -o b a.ml 2>/dev/null && ./b; cat o; rm -f a b a.cm* a.o'
case_of nasm settles nasm 'printf "global f\nsection .text\nf: mov eax, 5\nret\n" >f.asm; nasm -f elf64 f.asm; printf "#include <stdio.h>\nint f(void);\nint main(void) { printf(\"%%d\\\\n\", f()); }\n" >m.c; gcc -no-pie m.c f.o -o m; ./m; objdump -d f.o | grep -c ret; strip -o s m; ./s; ar rcs l.a f.o; ar t l.a; objcopy -O binary -j .text f.o t; xxd t; ld -r -o r.o f.o; size f.o | wc -l; rm m s r.o'
case_of tcc settles tcc 'printf "#include <stdio.h>\nint main(void) { puts(\"hi\"); return 0; }\n" >a.c; tcc -o a a.c; ./a; tcc -run a.c; tcc -c a.c; tcc a.o -o b; ./b; rm a b'
case_of xml holds xsltproc 'python3 -c "print(\"<r>\" + \"\".join(\"<i n=%r>t%d</i>\" % (str(i), i) for i in range(500)) + \"</r>\")" | tr "\47" "\"" >a.xml; xmllint --format -o b.xml a.xml; wc -l b.xml; xmllint --xpath "count(//i)" b.xml; echo; printf "<x:stylesheet version=\"1.0\" xmlns:x=\"http://www.w3.org/1999/XSL/Transform\"><x:output method=\"text\"/><x:template match=\"i\"><x:value-of select=\"@n\"/>,</x:template></x:stylesheet>" >s; xsltproc -o c s b.xml; wc -c c; xmllint --stream --noout b.xml; xmllint --c14n a.xml >d; md5sum d; python3 -c "
try: from lxml import etree
except ImportError: raise SystemExit
t = etree.parse(\"a.xml\"); t.getroot()[0].text = \"new\"; t.write(\"e\"); print(etree.parse(\"e\").getroot()[0].text)"'
case_of gpg settles gpg 'export GNUPGHOME=$(mktemp -d "$T/gpg.XXXXXX"); g="gpg -q --batch --yes --pinentry-mode loopback --passphrase x"; cp "$REF" a; $g -c -o b a 2>/dev/null; $g -d -o c b 2>/dev/null; cmp a c && echo same; $g --quick-gen-key n rsa1024 2>/dev/null; $g --detach-sign -o s a 2>/dev/null; gpg -q --verify s a 2>&1 | grep -c Good; $g --armor -e -r n --trust-model always -o e a 2>/dev/null; $g -d e 2>/dev/null | cmp - a; ssh-keygen -q -t ed25519 -N "" -f k -C c; ssh-keygen -y -f k | cmp - <(cut -d" " -f1,2,3 k.pub); gpgconf --kill all; rm -rf b s e k k.pub'
case_of git_more settles git 'git init -q r 2>/dev/null; cd r; git config user.email a@b; git config user.name n; export GIT_COMMITTER_DATE=@1300000000 GIT_AUTHOR_DATE=@1300000000; cp -r "$TREE" t; git add .; git commit -qm one; git worktree add -q ../w -b side 2>/dev/null; (cd ../w; echo s >>t/f1; git commit -qam side); echo m >>t/text; git commit -qam main; git merge -q -m merge side 2>&1; git log --format=%s | sort; git repack -qadf; git pack-refs --all; git gc -q --aggressive; git fsck --no-progress 2>&1; git bundle create -q ../b --all 2>/dev/null; git clone -q ../b ../c 2>/dev/null; cmp t/f1 ../c/t/f1 && echo same; git stash -q 2>&1; echo d >>t/text; git stash -q; git stash pop -q; git diff --stat | tail -n 1; git rebase -q HEAD~1 2>&1 | head -n 1; git archive -o ../a.tar HEAD; tar tf ../a.tar | wc -l; git worktree remove --force ../w; git reflog | wc -l; git bisect start -q HEAD HEAD~1 >/dev/null 2>&1; git bisect reset -q 2>/dev/null; git clean -fdxq; git checkout -q -f; git mv t u; git commit -qm moved; git log --follow --format=%s u/text | head -n 1; git notes add -m x; git tag -a v -m v; git describe; cd ..; rm -rf r c b a.tar w'
case_of rsync_more settles rsync 'cp "$REF" a; head -c 1000000 "$REF" >b; rsync --append a b; cmp a b; head -c 900000 "$REF" >b; rsync --append-verify a b; cmp a b; printf XX | dd of=b bs=1 seek=5000 conv=notrunc status=none; rsync --inplace --no-whole-file --checksum a b; cmp a b; rsync -S a s; cmp a s; mkdir d t; rsync --partial-dir=.p --temp-dir="$PWD/t" a d/; cmp a d/a; rsync -a --link-dest="$PWD/d" d/ e/; stat -c %h e/a; rsync -a --backup --suffix=~ "$TREE/text" a; cmp a~ "$REF" 2>&1; rsync -a --delay-updates --fuzzy "$TREE"/ f/; diff -r "$TREE" f && echo same; rsync -a --remove-source-files f/ g/; find f -type f | wc -l; rsync --write-batch=w b h; rsync --read-batch=w i; cmp h i; rm w w.sh'
case_of dd_more holds dd 'dd if="$REF" of=a bs=64k oflag=nonblock,noctty,nofollow status=none; cmp a "$REF"; dd if=a of=b iflag=fullblock,count_bytes,skip_bytes count=100000 skip=5 bs=4k status=none; stat -c %s b; dd if=a of=c ibs=513 obs=1000 conv=swab,noerror status=none; dd if=c of=d conv=swab ibs=1000 obs=513 status=none; cmp -n 2000000 a d; dd if=a of=e conv=sparse,fdatasync bs=4k status=none; cmp a e; dd if=a of=f oflag=dsync bs=1M status=none; dd if=/dev/zero of=f oflag=seek_bytes seek=10 conv=notrunc count=1 bs=7 status=none; dd if=f bs=1 count=20 status=none | od -c; dd if=a of=g conv=excl status=none; dd if=a of=g conv=excl status=none 2>&1 | grep -c exists; dd if=a of=new conv=nocreat status=none 2>&1 | grep -c "No such"; dd if=a iflag=direct,nocache bs=4096 count=1 status=none | md5sum; dd if=a of=a bs=1k count=1 seek=3000 conv=notrunc status=none; stat -c %s a; dd if="$TREE/text" of=u conv=ucase,block cbs=30 status=none; tail -c 30 u'
case_of inotify holds inotifywait 'inotifywait -m -e create,moved_to,delete --format "%e %f" . >"$T/events" 2>"$T/watch" & p=$!; within() { for i in $(seq 600); do "$@" && return; sleep 0.1; done; }; within grep -q established "$T/watch"; echo a >a; mv a b; rm b; within grep -q DELETE "$T/events"; kill $p; wait $p 2>/dev/null; sort "$T/events"; flock -n lk -c "flock -n lk true || echo busy"; (flock 9; echo in; ) 9>lk2; ls'
case_of mlr settles mlr 'exec 2>/dev/null; seq 1000 | awk "{ print \$1 % 7 \"\t\" \$1 }" >a; mlr --tsv --implicit-csv-header stats1 -a mean -f 2 -g 1 a >c; wc -l c; mlr --itsv --ojson --implicit-csv-header head -n 1 a; mlr -I --tsv --implicit-csv-header head -n 3 a; wc -l a; echo x >>a; tail -n 1 a; mlr --itsv --ojson --implicit-csv-header tail -n 1 a'
case_of removed_read holds rm 'seq 5 >a; exec 3<a; cat <&3; (cat a); rm a; exec 3<&-; ls'

# run_case OUT FOLDER cmd...: in that empty folder; what it says is in OUT and OUT.err
run_case() {
	local out=$1 dir=$2
	shift 2
	mkdir -p "$dir" && (cd "$dir" && "$@" >"$out" 2>"$out.err" </dev/null; echo "exit status $?" >>"$out")
}

# only those whose program is there; skip_missing says which are not, in one line
here=() missing=()
for name in "${names[@]}"; do
	if command -v "${need[$name]}" >/dev/null; then here+=("$name"); else missing+=("$name"); fi
done
names=("${here[@]}")
nr_missing=$((${#missing[@]} ? 1 : 0))
skip_missing() { [ $nr_missing = 0 ] || skip "programs that are not installed" "${missing[*]}"; }
