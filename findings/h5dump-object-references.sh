#!/bin/bash
# HDF5 1.14.5's h5dump (Debian 13, hdf5-tools 1.14.5+repack-3): references to objects in attributes
#
# expected  h5dump shows the same for the same file each time; of a reference to a data set it shows where that is in the file, as 1.10.8 does
#           ("DATASET 239 /x" in each run)
# seen      for NetCDF-4's attribute DIMENSION_LIST it shows another number in each run, as an address in memory would be.  So dumps of files
#           cannot be compared as text: h5diff says that they are the same
#
# Makes a root of Debian 13 by debootstrap in a temporary folder (root, some minutes).
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
T=$(mktemp -d /var/tmp/finding.XXXXXX) || exit 77
trap 'rm -rf --one-file-system "$T"' EXIT
skip() { echo "$*"; exit 77; }
[ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null || skip "needs root and debootstrap"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 2>/dev/null | head -n 1)
root=$T/trixie
debootstrap --variant=minbase --include=netcdf-bin,hdf5-tools trixie "$root" "${mirror:-http://deb.debian.org/debian}" >"$T/log" 2>&1 ||
	skip "no root: $(tail -n 1 "$T/log")"
version=$(chroot "$root" dpkg-query -W -f '${Version}' hdf5-tools)
case $version in 1.14.5*) ;; *) skip "hdf5-tools $version, not 1.14.5" ;; esac
cat >"$root/srv/a.cdl" <<'END'
netcdf a { dimensions: x = 3; variables: float v(x); data: v = 1, 2, 3; }
END
chroot "$root" ncgen -k nc4 -o /srv/a.nc /srv/a.cdl || skip "ncgen failed"
reference() { chroot "$root" h5dump -d v /srv/a.nc | sed -n 's/.*(\(DATASET [0-9]* "\/x"\)).*/\1/p'; }
seen=$(for _ in 1 2 3 4; do reference; done | sort -u)
chroot "$root" h5diff /srv/a.nc /srv/a.nc && echo "hdf5-tools $version: $(echo "$seen" | wc -l) different references in 4 dumps of one file"
echo "$seen"
[ "$(echo "$seen" | wc -l)" -gt 1 ]
