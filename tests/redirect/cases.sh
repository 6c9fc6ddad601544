# cases.sh -- sourced after env.sh and a lib.sh with pattern(): programs that know nothing of the pool, for tests/redirect/programs.sh and
# tests/mount/matrix.sh
#
# Sets   names   of the cases; code, kind, need: of each, by its name

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
case_of redis holds redis-server 's=$T/redis.sock; redis() { redis-server --port 0 --unixsocket $s --dir $PWD --save 60 1 --appendonly yes >/dev/null 2>&1 & until [ "$(redis-cli -s $s ping 2>/dev/null)" = PONG ]; do sleep 0.1; done; }; redis; for i in $(seq 50); do echo set k$i v$i; done | redis-cli -s $s >/dev/null; redis-cli -s $s save; redis-cli -s $s bgrewriteaof >/dev/null; sleep 0.5; redis-cli -s $s shutdown save; wait; redis; redis-cli -s $s dbsize; redis-cli -s $s get k33; redis-cli -s $s shutdown nosave; wait; ls; rm -r *'
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

# run_case OUT FOLDER cmd...: in that empty folder; what it says is in OUT and OUT.err
run_case() {
	local out=$1 dir=$2
	shift 2
	mkdir -p "$dir" && (cd "$dir" && "$@" >"$out" 2>"$out.err" </dev/null; echo "exit status $?" >>"$out")
}
