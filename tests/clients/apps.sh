#!/bin/bash
# apps.sh -- programs and libraries that use names by POSIX as well, so by the setting `paths`: their
# files are those that they leave without pmio, and what they read back is what they wrote
. "${top_srcdir:-.}/tests/clients/compare.sh"

# build NAME LIBRARY PACKAGE SOURCE FLAGS...: sets $program, or says what is missing
build() {
	local name=$1 lib=$2 package=$3 source=$4 compiler=mpicc
	shift 4
	case $source in *.cc) compiler=mpicxx ;; esac
	program=$T/$name
	command -v $compiler >/dev/null || { echo "no $compiler"; return 77; }
	$compiler -o "$program" "$here/$source" "$@" >"$T/build" 2>&1 && return
	echo "no $lib (on Debian: $package)"
	return 77
}

# selected N FILE PROG ARG...: in a folder that `paths` selects, which pmio then knows; by_itself: in another
selected() {
	local n=$1 file=$2
	shift 2
	mkdir -p "$PFS/paths"
	(
		cd "$PFS/paths" && export PMIO_PATHS="$PFS/paths/*" && quietly run "$n" "$@" || exit
		"$PMIO" ls | grep -q "$PFS/paths/$file" || { echo "it was not written by pmio"; "$PMIO" ls; exit 1; }
		! ls -d pmem* 2>/dev/null
	)
}
by_itself() {
	local n=$1
	shift
	mkdir -p "$PFS/plain"
	(cd "$PFS/plain" && quietly run "$n" --mca io ^pmem "$@")
}
same() {
	local f
	for f; do
		[ -s "$PFS/plain/$f" ] && cmp "$PFS/plain/$f" "$PFS/paths/$f" || return
	done
}
# their bytes have times
same_h5() {
	command -v h5diff >/dev/null || { echo "no h5diff (on Debian: hdf5-tools)"; return 77; }
	h5diff "$@"
}

petsc() {
	selected 2 x.dat /usr/bin/python3 "$here/petsc_client.py" x.dat || return
	by_itself 2 /usr/bin/python3 "$here/petsc_client.py" x.dat && same x.dat && cmp "$PFS/plain/x.dat.info" "$PFS/paths/x.dat.info"
}
p4est() {
	build p4est p4est libp4est-dev p4est_client.c -lp4est -lsc || return
	selected 2 forest "$program" forest && by_itself 2 "$program" forest && same forest
}
med() {
	local h5=/usr/include/hdf5/openmpi
	build med MED libmedc-dev med_client.c -isystem $h5 -lmedC || return
	selected 2 m.med "$program" m.med && by_itself 2 "$program" m.med && same_h5 "$PFS/plain/m.med" "$PFS/paths/m.med"
}
epetraext() {
	local h5=/usr/include/hdf5/openmpi
	build epetraext "Trilinos' EpetraExt" "libtrilinos-epetraext-dev, libtrilinos-epetra-dev, libtrilinos-teuchos-dev" epetraext_client.cc -isystem /usr/include/trilinos -isystem $h5 \
		-ltrilinos_epetraext -ltrilinos_epetra -ltrilinos_teuchosparameterlist -ltrilinos_teuchoscore -lhdf5_openmpi || return
	selected 2 e.h5 "$program" e.h5 && by_itself 2 "$program" e.h5 && same_h5 "$PFS/plain/e.h5" "$PFS/paths/e.h5" || return
	on_pmem 2 e.h5 "$program" && same_h5 "$PFS/plain/e.h5" "$PFS/pmem/e.h5" # it leaves names to MPI-IO alone
}
lammps() {
	local lmp f
	lmp=$(command -v lmp) || { echo "no lmp (on Debian: lammps)"; return 77; }
	selected 2 l.10.mpiio "$lmp" -in "$here/lammps_client.in" -log none -screen none -var f l &&
		by_itself 2 "$lmp" -in "$here/lammps_client.in" -log none -screen none -var f l || return
	for f in dump 10 20 again; do same "l.$f.mpiio" || return; done
}

plan 5
check "PETSc: binary viewer, its side file, adding" petsc
check "p4est: save and load" p4est
check "MED: a file that is opened again to be changed" med
check "Trilinos EpetraExt: HDF5, by paths and by the prefix" epetraext
check "LAMMPS: dump and restart" lammps
exit $tap_failed
