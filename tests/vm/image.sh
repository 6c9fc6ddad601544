#!/bin/bash
# image.sh DIR KERNELDIR -- make what the virtual machine boots from: DIR/vmlinuz, DIR/initrd, DIR/root.img
#
# The kernel is Debian's cloud kernel: its package is fetched into KERNELDIR, unless it
# is there, and unpacked, not installed.  The root file system has programs and libraries
# of this machine, and what was built, as /pmio/build, with the tests' scripts in
# /pmio/src.  Needs no root.  77, and a line that says why: something is missing.
set -u
. "$top_srcdir/tests/tap.sh" || fatal
dir=$1 kernels=$2
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

missing() { echo "$*"; exit 77; }
for tool in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio ndctl:ndctl setquota:quota mkfs.xfs:xfsprogs mke2fs:e2fsprogs objcopy:binutils; do
	command -v "${tool%:*}" >/dev/null || missing "no ${tool%:*}: packages of scripts/packages-vm.txt are not installed"
done
# the program of busybox-static alone: busybox needs libraries, which the initrd has not
! ldd "$(command -v busybox)" >/dev/null 2>&1 || missing "busybox is not the one of busybox-static"

# ---- the kernel --------------------------------------------------------------------

fetch_kernel() {
	local package
	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	[ -n "$package" ] && cd "$kernels" && timeout 300 apt-get -q download "$package" 2>&1
}

mkdir -p "$dir" "$kernels" || fatal
deb() { find "$kernels" -name 'linux-image-*-cloud-amd64_*.deb' | sort -V | tail -n 1; }
[ -n "$(deb)" ] || why=$(fetch_kernel) || missing "the package linux-image-cloud-amd64 cannot be fetched: $(echo "${why:-no package list}" | tail -n 1)"
kernel=$dir/kernel
mkdir -p "$kernel" && dpkg-deb --fsys-tarfile "$(deb)" | tar -x -C "$kernel" --wildcards './boot/vmlinuz-*' './lib/modules/*' || fatal
mv "$kernel"/boot/vmlinuz-* "$dir/vmlinuz" || fatal

# ---- the initrd: modules, and a shell that goes on to the root file system ------------

initrd=$dir/initrd.d
mkdir -p "$initrd"/{bin,proc,sys,dev,root,modules} && cp "$(command -v busybox)" "$initrd/bin/busybox" || fatal

declare -A added=()
# a module after those that it needs; what the kernel has built in has no file
add_module() {
	local name=${1//-/_} file needs need
	[ -z "${added[$name]:-}" ] || return 0
	added[$name]=1
	file=$(find "$kernel/lib/modules" -name "$name.ko" -o -name "${name//_/-}.ko" | head -n 1)
	[ -n "$file" ] || return 0
	needs=$(objcopy -O binary --only-section=.modinfo "$file" /dev/stdout | tr '\0' '\n' | sed -n 's/^depends=//p')
	for need in ${needs//,/ }; do add_module "$need"; done
	cp "$file" "$initrd/modules/" && basename "$file" >>"$initrd/modules/order"
}
for module in virtio_pci virtio_blk libnvdimm nfit nd_btt nd_pmem dax_pmem ext4 crc32c_intel xfs quota_v2; do add_module $module; done

cp "$top_srcdir/tests/vm/init" "$initrd/init" && chmod 755 "$initrd/init" || fatal
(cd "$initrd" && find . | cpio -o -H newc --quiet | gzip -1) >"$dir/initrd" || fatal

# ---- the root file system -----------------------------------------------------------

root=$dir/root.d
mkdir -p "$root"/usr/{bin,sbin,lib,lib32,lib64,libx32} "$root"/{etc,dev,proc,sys,tmp,run,root,var/tmp,mnt/pmem,mnt/pfs,pmio/build,pmio/src/tests} || fatal
for d in bin sbin lib lib32 lib64 libx32; do ln -s usr/$d "$root/$d"; done

packages="bash dash coreutils diffutils findutils grep sed mawk hostname util-linux mount e2fsprogs ndctl quota xfsprogs libinih1
	openmpi-bin openmpi-common libopenmpi3 libpmix2 libc-bin base-files"
# Python for pmio-slurm
python=$(basename "$(readlink -f /usr/bin/python3)")
packages="$packages python3-minimal $python-minimal lib$python-minimal lib$python-stdlib"
for package in $packages; do
	dpkg -L "$package" 2>/dev/null
done | grep -vE '^/(\.|boot|usr/(include|share/(doc|man|locale|lintian|bash-completion|bug|info|common-licenses)))(/|$)|\.a$' |
	while IFS= read -r path; do
		if [ -L "$path" ] || [ ! -d "$path" ]; then echo "$path"; fi
	done >"$dir/files"
tar -c -C / --ignore-failed-read -T <(sed 's|^/||' "$dir/files") 2>/dev/null | tar -x -C "$root" --no-same-owner || fatal
cp -P "$(command -v mpirun)" "$(command -v awk)" "$root/usr/bin/" && cp -a /etc/alternatives "$root/etc/" && cp /etc/{passwd,group,nsswitch.conf,ld.so.cache} "$root/etc/" || fatal
echo '127.0.0.1 localhost pmio-vm' >"$root/etc/hosts"

# what was built; libtool's scripts in front of programs stay here
built() {
	local file=$1 real
	real=$(dirname "$file")/.libs/$(basename "$file")
	[ -e "$top_builddir/$real" ] || real=$file
	mkdir -p "$(dirname "$root/pmio/build/$file")" && cp "$top_builddir/$real" "$root/pmio/build/$file"
}
for file in $VM_PROGRAMS; do built "$file" || fatal; done
mkdir "$root/pmio/build/.libs" && cp -P "$top_builddir"/.libs/*.so* "$root/pmio/build/.libs/" || fatal
for d in . cli kill mpi vm; do
	mkdir -p "$root/pmio/src/tests/$d" && cp "$top_srcdir/tests/$d/"*.sh "$root/pmio/src/tests/$d/" || fatal
done
cp -r "$top_srcdir/slurm" "$root/pmio/src/" || fatal

# the libraries of all these
# shellcheck disable=SC2016
find "$root" -type f \( -perm -100 -o -name '*.so*' \) -exec sh -c 'head -c 4 "$1" | grep -q ELF && ldd "$1" 2>/dev/null' sh {} \; |
	sed -n 's/^.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | sort -u | while IFS= read -r lib; do
	case $lib in "$top_builddir"/*) continue ;; esac
	mkdir -p "$root/$(dirname "$lib")" && [ -e "$root$lib" ] || cp -L "$lib" "$root$lib" || fatal
done || fatal

find "$root/pmio/build" -type f -perm -100 -exec strip -g {} + 2>/dev/null
size=$(du -sm "$root" | cut -f 1)
mke2fs -q -t ext4 -O ^has_journal -d "$root" -L root "$dir/root.img" $((size * 5 / 4 + 32))M || fatal
rm -rf "$root" "$initrd" "$kernel"
