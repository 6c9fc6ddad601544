#!/bin/bash
# tree.sh -- adio/romio/mpich-tree, on a tree that has no more of MPICH than the lines that it looks for; what is built of a real
# one is for make check-mpich-tree
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 8
trap 'rm -rf "$T"' EXIT

script=$top_srcdir/adio/romio/mpich-tree
tree=$T/mpich romio=$T/mpich/src/mpi/romio
# file LINES: a file of the tree's ROMIO, with other lines about
file() {
	mkdir -p "$(dirname "$romio/$1")"
	{ echo "first line"; cat; echo "last line"; } >"$romio/$1"
}
make_tree() {
	rm -rf "$tree" && mkdir -p "$tree/maint" && echo "m4_define([MPICH_VERSION_m4],[${1-4.0.2}])dnl" >"$tree/maint/version.m4"
	file configure.ac <<-'END'
		          [daos nfs ufs pvfs2 testfs xfs panfs lustre gpfs ime quobytefs])dnl
		if test -n "$file_system_ufs"; then
		    AC_DEFINE(ROMIO_UFS,1,[Define for ROMIO with UFS])
		fi
		AM_CONDITIONAL([BUILD_AD_BG],[false])
	END
	echo 'include $(top_srcdir)/adio/ad_panfs/Makefile.mk' | file adio/Makefile.mk
	echo '#define ADIO_QUOBYTEFS           171    /* Quobyte FS */' | file adio/include/adio.h
	echo '/* prototypes are in adio/ad_ufs/ad_ufs.h */' | file adio/include/adioi_fs_proto.h
	printf '%s\n' 'static struct ADIO_FSTypes fstypes[] = {' "    tmp = strchr(filename, ':');" | file adio/common/ad_fstype.c
	echo '    *shared_fp = 0;' | file adio/common/ad_get_sh_fp.c
	echo '    MPI_Comm dupcommself;' | file adio/common/ad_set_sh_fp.c
	echo '    ADIO_Set_view(adio_fh, disp, etype, filetype, info, &error_code);' | file mpi-io/set_view.c
	rm -rf "$T/before" && cp -R "$tree" "$T/before"
}
unchanged() { diff -r "$T/before" "$tree"; }
refused() {
	expect 1 "$script" "$tree" && one_line "$1" && unchanged
}

# lines are added, none is taken away, and each block is closed
added() {
	local f
	make_tree && expect 0 "$script" "$tree" && silent && says '^MPICH 4.0.2 has the driver of pmio .*--with-file-system=ufs\+pmem' || return 1
	for f in configure.ac adio/Makefile.mk adio/include/adio.h adio/include/adioi_fs_proto.h adio/common/ad_fstype.c adio/common/ad_get_sh_fp.c \
		adio/common/ad_set_sh_fp.c mpi-io/set_view.c; do
		grep -qi pmem "$romio/$f" && ! diff "$T/before/src/mpi/romio/$f" "$romio/$f" | grep '^<' || { echo "$f"; return 1; }
		case $f in
		*.c) [ "$(grep -c '^#ifdef ROMIO_PMEM' "$romio/$f")" = "$(grep -c '^#endif' "$romio/$f")" ] || { cat "$romio/$f"; return 1; } ;;
		esac
	done
	[ "$(grep -c '^ *if test' "$romio/configure.ac")" = "$(grep -c '^ *fi$' "$romio/configure.ac")" ]
}
check "the lines that ROMIO needs" added

# all that is named is there, and all of the engine is named
files() {
	local f d=$romio/adio/ad_pmem
	sed -n 's/^.* += adio\/ad_pmem\///p' "$d/Makefile.mk" | sort >"$T/named"
	(cd "$d" && find . -name '*.[ch]' -printf '%P\n' | sort) | diff "$T/named" - || return 1
	for f in "$top_srcdir"/adio/engine/*.[ch]; do cmp "$f" "$d/engine/${f##*/}" || return 1; done
	[ "$(grep -c 'engine/.*\.c' "$T/named")" -ge 10 ] && grep -qx tree.c "$T/named" && ! grep -q 'plugin\|romio321' "$T/named"
}
check "the driver's files" files

# quoted includes lead to copied files, but for ROMIO's own, and those for the other one
includes() {
	local d=$romio/adio/ad_pmem inc
	sed -n 's/^#include "\(.*\)"$/\1/p' "$d"/*.[ch] "$d"/engine/*.[ch] | sort -u >"$T/includes"
	while read -r inc; do
		[ -e "$d/$inc" ] || [ -e "$d/engine/$inc" ] || [ -e "$d/lib/$inc" ] || [ -e "$d/lib/include/$inc" ] || echo "$inc"
	done <"$T/includes" | sort >"$T/missing"
	printf '%s\n' adio.h mpioimpl.h plugin.h | diff - "$T/missing"
}
check "and what they include" includes

again() {
	cp -R "$tree" "$T/once" && expect 0 "$script" "$tree" && diff -r "$T/once" "$tree" &&
		sed -i '1s/pmio [^ ]*,/pmio 0.0.9,/' "$romio/adio/ad_pmem/Makefile.mk" && rm -rf "$T/before" && cp -R "$tree" "$T/before" &&
		refused 'has the driver of pmio 0\.0\.9; take a fresh tree'
}
check "once more: the same; of another version: refused" again

versions() {
	make_tree 4.0.3 && refused 'is MPICH 4\.0\.3; the driver is known to work in 4\.0\.2' && make_tree 40002 && refused 'is MPICH 40002' &&
		make_tree '' && refused 'a version that it does not say'
}
check "versions that are not known" versions

# a line that is not there is found before anything is written; one that is there twice, too
other_lines() {
	make_tree && sed -i 's/ADIO_Set_view(/ADIO_Set_other_view(/' "$romio/mpi-io/set_view.c" && rm -rf "$T/before" && cp -R "$tree" "$T/before" &&
		refused 'set_view.c: a line is not there' && make_tree && sed -i 'p' "$romio/adio/Makefile.mk" && rm -rf "$T/before" && cp -R "$tree" "$T/before" &&
		refused 'adio/Makefile.mk: a line is not there, or more than once'
}
check "lines that are not as expected" other_lines

no_tree() {
	expect 1 "$script" "$T/nix" && one_line 'nix: there is no such folder' && expect 1 "$script" "$top_srcdir/tests" && one_line 'no source tree of MPICH' &&
		expect 2 "$script" && expect 2 "$script" a b
}
check "no tree" no_tree

# the engine is linked to a library that has what it needs
driver_library() {
	local so objects
	so=$(echo "$top_builddir"/.libs/libpmio-driver-*.so)
	objects=$(echo "$top_builddir"/adio/engine/.libs/*.o)
	[ -r "${objects%% *}" ] || { echo "no MPI, so no engine, when this was configured"; return 77; }
	nm -D --defined-only "$so" | sed 's/.* //; s/@.*//' | sort -u >"$T/defined"
	# shellcheck disable=SC2086
	nm -u $objects | sed -n 's/^ *U \(\(pmio\|client\|remote\)_.*\)/\1/p' | sort -u >"$T/needed"
	[ "$(wc -l <"$T/needed")" -ge 20 ] && ! comm -23 "$T/needed" "$T/defined" | grep .
}
check "libpmio-driver has what the engine needs" driver_library

exit $tap_failed
