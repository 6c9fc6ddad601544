#!/bin/bash
# debian.sh -- the README's two commands for a fresh clone, in a fresh root of that Debian; TAP
#
# debootstrap makes the root; the sources are copied into it as git has them, and scripts/quickstart and
# scripts/run-tests run there as root, in namespaces of their own, so that nothing stays behind.  Needs root, debootstrap and
# a mirror, and is skipped with the reason where one is missing.
#
# DISTRO_SUITE     which Debian (trixie)
# DISTRO_MIRROR    the mirror (that of this machine's apt, or deb.debian.org)
# DISTRO_TARGETS   what scripts/run-tests runs (check)
# DISTRO_PACKAGES  packages beside those of scripts/packages.txt (those for MPICH, and with check-slurm those for Slurm)
# DISTRO_DIR       where the root is made: 4 GB (/var/tmp)
# DISTRO_ROOT      a root that stays: it is made if it is not there, and used again if it is
# DISTRO_LIMIT     seconds for all of it (1200)
set -u
: "${DISTRO_SUITE:=trixie}" "${top_srcdir:=.}" "${DISTRO_TARGETS:=check}" "${DISTRO_DIR:=/var/tmp}" "${DISTRO_ROOT:=}" "${DISTRO_LIMIT:=1200}"
suite=$DISTRO_SUITE lists=mpich
case " $DISTRO_TARGETS " in *" check-slurm "*) lists="mpich slurm" ;; esac
top_srcdir=$(cd "$top_srcdir" && pwd)
: "${DISTRO_PACKAGES=$(for list in $lists; do sed 's/#.*//' "$top_srcdir/scripts/packages-$list.txt"; done | tr '\n' ' ')}"
PATH=$PATH:/usr/sbin:/sbin

. "$top_srcdir/tests/tap.sh" || exit 99
[ "$(id -u)" = 0 ] || skip_all "needs root"
for program in debootstrap unshare chroot apt-config; do
	command -v $program >/dev/null || skip_all "no $program"
done
unshare --mount --pid --fork --ipc true 2>/dev/null || skip_all "no namespaces here"

mirror=${DISTRO_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 2>/dev/null | head -n 1)}
mirror=${mirror:-http://deb.debian.org/debian}
mirror=${mirror%/}
work=$(mktemp -d "$DISTRO_DIR/pmio-distro.XXXXXX") || skip_all "no folder for a root in $DISTRO_DIR"
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 99' INT TERM
root=${DISTRO_ROOT:-$work/root} T=$work
[ "$(df -k --output=avail "$work" | tail -n 1)" -gt 4000000 ] || skip_all "less than 4 GB free in $DISTRO_DIR"
why=$(timeout 60 /usr/lib/apt/apt-helper download-file "$mirror/dists/$suite/Release" "$work/Release" 2>&1) ||
	skip_all "the mirror cannot be reached, or has no $suite: $(echo "$why" | tail -n 1)"

# step NAME COMMAND...: its last line is shown, and all the rest if it fails
step() {
	local name=$1 log=$work/log began=$SECONDS rc
	shift
	steps_begin
	("$@") >"$log" 2>&1 </dev/null
	rc=$?
	steps_end
	if [ $rc = 0 ]; then
		ok "$name ($((SECONDS - began)) s)"
		tail -n 4 "$log" | sed 's/^/#   /'
		return 0
	fi
	not_ok "$name"
	[ $rc != 124 ] || echo "# no time is left: DISTRO_LIMIT=$DISTRO_LIMIT s"
	tail -n 400 "$log" | sed 's/^/#   /'
	last_steps
	return 1
}

# limit COMMAND...: until a little before tests/limit.sh ends all of it, so that something is said
left() { echo $((DISTRO_LIMIT > SECONDS + 70 ? DISTRO_LIMIT - SECONDS - 60 : 10)); }
limit() { timeout -k 20 "$(left)" "$@"; }

make_root() {
	local script=
	[ ! -e "$root/srv/is-whole" ] || { echo "$root is there"; return 0; }
	# of a Debian that this debootstrap does not know yet
	[ -e "/usr/share/debootstrap/scripts/$suite" ] || script=/usr/share/debootstrap/scripts/sid
	mkdir -p "$root" || return
	# shellcheck disable=SC2086
	limit debootstrap --variant=minbase "$suite" "$root" "$mirror" $script || return
	{
		apt-config dump Acquire::http Acquire::https | grep -i proxy # as this machine reaches the mirror
		# a mirror may be a snapshot, of which testing's lists would have expired
		echo 'Acquire::Check-Valid-Until "false"; Acquire::Languages "none"; APT::Install-Recommends "false";'
	} >"$root/etc/apt/apt.conf.d/90pmio"
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/pmio" # it does not live long
	touch "$root/srv/is-whole"
}

# what git has, as a clone would, but with what is not committed yet; of a release, all
copy_sources() {
	rm -rf "$root/srv/pmio" && mkdir "$root/srv/pmio" && cd "$top_srcdir" || return
	if git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
		git -c safe.directory='*' ls-files -z | tar --null --files-from=- -c
	else
		tar -c --exclude=./build --exclude='./pmio-[0-9]*' .
	fi | tar -x -C "$root/srv/pmio" && [ -x "$root/srv/pmio/scripts/quickstart" ]
}

# inside COMMAND...: in the root, with devices, a /dev/shm and processes of its own
inside() {
	# shellcheck disable=SC2016,SC2046
	limit unshare --mount --propagation private --pid --fork --kill-child --ipc bash -c '
		root=$1
		shift
		mount --bind "$root" "$root" && cd "$root" || exit # a mount of its own, which becomes /
		root=$PWD
		mount -t proc proc "$root/proc" && mount --rbind /sys "$root/sys" && mount -t tmpfs -o mode=755 tmpfs "$root/dev" || exit
		for node in null zero full random urandom tty fuse; do
			[ ! -e /dev/$node ] || { : >"$root/dev/$node" && mount --bind /dev/$node "$root/dev/$node"; } || exit
		done
		mkdir "$root/dev/pts" "$root/dev/shm" && mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts" &&
			mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" || exit
		ln -s pts/ptmx "$root/dev/ptmx" && ln -s /proc/self/fd "$root/dev/fd" || exit
		cat /etc/resolv.conf >"$root/etc/resolv.conf"
		cat /etc/hosts >"$root/etc/hosts"
		mkdir -p .host && pivot_root . .host && cd / && umount -l .host && exec "$@"' bash "$root" \
		env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv TERM=dumb LC_ALL=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive $(env | grep -E '^(https?|no)_proxy=|^PMIO_TEST_AGAIN=') "$@"
}

# shellcheck disable=SC2086
fresh() {
	make_root && copy_sources || return
	[ -z "$DISTRO_PACKAGES" ] || { inside apt-get -q update && inside apt-get -q install -y $DISTRO_PACKAGES; }
}

quickstart() { inside sh -c 'cd /srv/pmio && scripts/quickstart'; }
run_tests() {
	inside sh -c 'cd /srv/pmio && RUN_LIMIT=$1 RUN_TARGETS=$2 scripts/run-tests --no-distcheck' sh \
		$(($(left) - 30)) "$DISTRO_TARGETS"
}

echo 1..3
step "a root of Debian $suite" fresh || { echo "Bail out! no root"; exit 1; }
step "scripts/quickstart" quickstart
step "scripts/run-tests, $DISTRO_TARGETS" run_tests
exit $tap_failed
