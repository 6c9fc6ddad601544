#!/bin/bash
# coreutils 9.7 and zlib (Debian 13, coreutils 9.7-3, zlib 1.3.1): a library that is preloaded into cksum(1)
#
# expected  crc32() in a library that is linked to zlib is zlib's, whatever program it is in
# seen      in cksum it is a function of cksum's own, which has other arguments: the program exports that name, and the dynamic loader takes the
#           program's first.  Not so in true(1), nor in cksum of Debian 12 (coreutils 9.1).  Nothing is called here: where the name leads is shown
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
debootstrap --variant=minbase --include=gcc,libc6-dev,zlib1g-dev trixie "$root" "${mirror:-http://deb.debian.org/debian}" >"$T/log" 2>&1 ||
	skip "no root: $(tail -n 1 "$T/log")"
version=$(chroot "$root" dpkg-query -W -f '${Version}' coreutils)
[ "$version" = 9.7-3 ] || skip "coreutils $version, not 9.7-3"
cat >"$root/srv/says.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

__attribute__((constructor)) static void say(void)
{
	Dl_info info = { 0 };

	dladdr((void *)crc32, &info);
	fprintf(stderr, "%s\n", info.dli_fname && strstr(info.dli_fname, "/libz.so") ? "zlib's" : "another");
}
END
chroot "$root" gcc -shared -fPIC -o /srv/says.so /srv/says.c -lz || skip "does not compile"
of() { chroot "$root" env LD_PRELOAD=/srv/says.so "$@" 2>&1 >/dev/null </dev/null; }
echo "coreutils $version: crc32() is $(of true) in true, $(of cksum) in cksum"
[ "$(of true)" = "zlib's" ] && [ "$(of cksum)" = another ]
