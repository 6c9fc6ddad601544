#!/bin/bash
# what is installed, and how the sources hang together
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 7

header=$top_srcdir/lib/include/pmio.h

alone_c() {
	printf '#include "%s"\nint x;\n' "$header" >"$T/a.c" &&
		${CC:-cc} -std=c99 -Wall -Wextra -pedantic -Werror -c "$T/a.c" -o "$T/a.o" &&
		${CC:-cc} -std=c11 -Wall -Wextra -pedantic -Werror -c "$T/a.c" -o "$T/a.o"
}
check "pmio.h compiles alone in C" alone_c

alone_cxx() {
	command -v "${CXX:-c++}" >/dev/null || { echo "no C++ compiler"; return 77; }
	printf '#include "%s"\nint main() { return pmio_version() == nullptr; }\n' "$header" >"$T/a.cc" &&
		${CXX:-c++} -std=c++11 -Wall -Wextra -pedantic -Werror -c "$T/a.cc" -o "$T/a.o" &&
		[ "$(nm -u "$T/a.o" | grep -c ' pmio_version$')" = 1 ]
}
check "and in C++, with C names" alone_cxx

exports() {
	local lib=$top_builddir/.libs/libpmio.so
	nm -D --defined-only "$lib" | awk '$2 ~ /[A-Z]/ && $2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$T/is" &&
		sed -n 's/^[[:space:]]*\(pmio_[a-z_]*\);$/\1/p' "$top_srcdir/lib/client/libpmio.map" | sort >"$T/map" &&
		sed -n 's/^[a-z].*[ *]\(pmio_[a-z_]*\)(.*$/\1/p' "$header" | sort >"$T/header" &&
		[ -s "$T/is" ] && diff "$T/map" "$T/is" && diff "$T/header" "$T/map"
}
check "libpmio.so exports what pmio.h declares, and nothing else" exports

# the program's other threads may be reading it
environment() {
	local lib
	[ -e "$top_builddir/.libs/libpmio.so" ] || return
	for lib in libpmio.so mca_io_pmem.so mca_hook_pmem.so libpmio-mpi-mpich.so libpmio-mpi-openmpi.so libpmio-mpi-abi.so libpmio-driver.so \
		libpmio-redirect.so libpmio-redirect-pool.so libpmio-redirect-nodes.so; do
		[ -e "$top_builddir/.libs/$lib" ] || continue # of an MPI that is not there
		nm -D --undefined-only "$top_builddir/.libs/$lib" >"$T/needs" || return 1
		! grep -Ew 'setenv|unsetenv|putenv|clearenv' "$T/needs" || return 1
	done
}
check "what is loaded into programs does not change their environment" environment

directions() {
	python3 - "$top_srcdir" <<-'END'
	import os, re, sys
	# a folder may include those of lower rank, and itself
	rank = {"core": 0, "heap": 0, "daemon": 1, "pm": 1, "pool": 2, "proto": 3, "pfs": 3, "fabric": 4, "client": 5, "agent": 5, "remote": 6,
	        "redirect": 7, "target": 7, "engine": 7, "romio": 8, "openmpi": 9, "library": 9}
	adio = ("engine", "romio", "openmpi", "library")
	bad = seen = 0
	def look(path, mine, own):
	    global bad, seen
	    for n, line in enumerate(open(path), 1):
	        m = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
	        if not m:
	            continue
	        seen += 1
	        name = m.group(1)
	        to = name.split("/")[0] if "/" in name else None
	        if to in rank and to != own and rank[to] >= mine:
	            print("%s:%d: %s may not include %s" % (path, n, own, name))
	            bad = 1
	        if name == "mpi.h" and own not in adio:
	            print("%s:%d: only adio may include %s" % (path, n, name))
	            bad = 1
	        if re.match(r"ompi_config\.h$|ompi/|opal/", name) and own != "openmpi":
	            print("%s:%d: only adio/openmpi may include %s" % (path, n, name))
	            bad = 1
	        if own == "library" and name in ("mpi.h", "engine/engine.h") and not path.endswith(("/files.c", "/fortran.c")):
	            print("%s:%d: what hands calls on must not know an MPI" % (path, n))
	            bad = 1
	        if name.startswith("..") or (to in ("adio", "tools") and to != own):
	            print("%s:%d: %s" % (path, n, name))
	            bad = 1
	def walk(folder, mine, own):
	    for d, _, files in os.walk(folder):
	        for f in files:
	            if f.endswith((".c", ".h")):
	                look(os.path.join(d, f), mine, own)
	top = sys.argv[1]
	for d in os.listdir(top + "/lib"):
	    if d == "include":
	        walk(top + "/lib/include", 0, "include")
	    elif os.path.isdir(top + "/lib/" + d):
	        walk(top + "/lib/" + d, rank[d], d)
	for d in adio:
	    walk(top + "/adio/" + d, rank[d], d)
	walk(top + "/tools", 8, "tools")
	if seen < 50:
	    print("only %d includes seen" % seen)
	    bad = 1
	sys.exit(bad)
	END
}
check "includes go one way" directions

# a file calls those below it, and is called by those above it.  What an adapter has for the engine (adapter_*), and a ROMIO for
# the driver in it (romio_*), are calls back by name
circles() {
	python3 - "$top_srcdir" "$top_builddir" <<-'END'
	import glob, os, re, subprocess, sys
	top, build = sys.argv[1:]
	back = re.compile("adapter_|romio_")
	home, needs = {}, {}
	def names(kind, obj):
	    out = subprocess.run(["nm", "-P", kind, obj], stdout=subprocess.PIPE, universal_newlines=True, check=True).stdout
	    return {l.split()[0] for l in out.splitlines() if l and not back.match(l) and l.split()[1] in "TDBRCUV"}
	# objects of a library have its name before theirs
	sources = {os.path.relpath(f, top) for d in ("lib", "adio", "tools") for f in glob.glob("%s/%s/**/*.c" % (top, d), recursive=True)}
	for obj in [o for d in ("lib", "adio", "tools") for o in glob.glob("%s/%s/**/*.o" % (build, d), recursive=True)] + \
	        glob.glob(build + "/lib/*/.libs/*.o") + glob.glob(build + "/adio/*/.libs/*.o"):
	    folder = os.path.relpath(os.path.dirname(obj), build).replace("/.libs", "")
	    src = folder + "/" + re.sub(r".*_la-|pmio-|pmiod-", "", os.path.basename(obj))[:-2] + ".c"
	    if src not in sources:
	        continue
	    for n in names("--defined-only", obj):
	        home[n] = src
	    needs.setdefault(src, set()).update(names("--undefined-only", obj))
	calls = {s: {home[n] for n in ns if n in home} - {s} for s, ns in needs.items()}
	def reached(s):
	    seen, todo = set(), [s]
	    while todo:
	        for t in calls.get(todo.pop(), ()):
	            if t not in seen:
	                seen.add(t)
	                todo.append(t)
	    return seen
	if len(calls) < 60:
	    sys.exit("only %d objects seen" % len(calls))
	reach = {s: reached(s) for s in calls}
	circle = {s for s in calls if s in reach[s]}
	for s in sorted(circle):
	    print("%s is called by what it calls: %s" % (s, " ".join(sorted(t for t in calls[s] if s in reach.get(t, ())))))
	sys.exit(bool(circle))
	END
}
check "no file is called by what it calls" circles

# the man page shows the calls as the header declares them
synopsis() {
	local name bad=0
	while read -r name; do
		grep -Eq "^\.F[no] \"?$name\"?( |\$)" "$top_srcdir/doc/man/pmio.h.3" || { echo "pmio.h(3) lacks $name"; bad=1; }
	done <"$T/header"
	while read -r name; do
		grep -q "^\.It Dv $name\$" "$top_srcdir/doc/man/pmio.h.3" || { echo "pmio.h(3) lacks $name"; bad=1; }
	done < <(sed -n 's/^#define \(PMIO_E[A-Z]*\) .*/\1/p' "$header")
	[ -s "$T/header" ] && return $bad
}
check "pmio.h(3) has every call and code" synopsis

exit $tap_failed
