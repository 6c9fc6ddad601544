#!/bin/bash
# pools that cannot be used: each is refused with one line at the cause, nothing
# in them is changed, and their data are there when what was wrong is put right
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 21

as_other=
[ "$(id -u)" = 0 ] && as_other="setpriv --reuid=65534 --regid=65534 --clear-groups"

# a pool in which data wait, and no agent: $T/good, copied to $PMIO_POOL by each test
prepare() {
	expect 0 "$PMIO" pool create -q --size=16MiB && PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/data" write 0 500000 4 &&
		stop_agent && mv "$PMIO_POOL" "$T/good" && [ -s "$T/good/data" ]
}
check "a pool to be spoilt" prepare

fresh() { rm -rf "$PMIO_POOL" && cp -a --sparse=always "$T/good" "$PMIO_POOL"; }
# what stands on media
media="data catalog"
# shellcheck disable=SC2086
sums() { (cd "$PMIO_POOL" 2>/dev/null && cksum $media 2>/dev/null); }
data_are_there() {
	fresh && expect 0 "$PMIO" drain --all && expect 0 "$FILEIO" -p "$PFS/data" is 500000 verify 0 500000 4 &&
		stop_agent && : >"$PFS/data"
}
# refused CODE PATTERN: by a program and by commands, the media left as they were
refused() {
	local before
	before=$(sums)
	fails "$1" "$2" -c || return 1
	expect 1 "$PMIO" ls && one_line "$2" || return 1
	expect 1 "$PMIO" agent start && one_line "$2" || return 1
	expect 1 "$PMIO" pool check && grep -Eq "$2" "$ERR" || { cat "$ERR"; return 1; }
	[ "$before" = "$(sums)" ] || { echo "the pool was changed"; return 1; }
	no_agent
}

missing() {
	rm -rf "$PMIO_POOL"
	refused ENOENT "$PMIO_POOL" && [ ! -e "$PMIO_POOL" ]
}
check "missing" missing

not_a_directory() {
	rm -rf "$PMIO_POOL" && : >"$PMIO_POOL"
	refused ENOTDIR "$PMIO_POOL" && [ -f "$PMIO_POOL" ]
}
check "not a directory" not_a_directory

symbolic_link() {
	fresh && mv "$PMIO_POOL" "$T/elsewhere" && ln -s "$T/elsewhere" "$PMIO_POOL" && refused EPERM "$PMIO_POOL"
	local rc=$?
	rm -rf "$PMIO_POOL" "$T/elsewhere"
	return $rc
}
check "a symbolic link" symbolic_link

not_writable() {
	rm -rf "$T/ro" && mkdir -m 500 "$T/ro" && chmod 711 "$T" || return 1
	if [ -n "$as_other" ]; then
		chown 65534:65534 "$T/ro" && mkdir -m 755 "$T/bin" &&
			cp "$top_builddir/pmio" "$top_builddir/pmiod" "$T/bin" || return 1
		PMIO_AGENT=$T/bin/pmiod expect 1 $as_other "$T/bin/pmio" --pool="$T/ro" ls
	else
		expect 1 "$PMIO" --pool="$T/ro" ls
	fi
	local rc=$?
	[ $rc = 0 ] && one_line "$T/ro.*Permission denied" && [ -z "$(ls -A "$T/ro")" ]
}
check "not writable" not_writable

not_ours() {
	if [ -n "$as_other" ]; then
		fresh && chown -R 65534:65534 "$PMIO_POOL" && refused EPERM "$PMIO_POOL"
	else
		PMIO_POOL=/ fails EPERM '/' -c
	fi
}
check "another user's" not_ours

group_writable() {
	fresh && chmod 770 "$PMIO_POOL" && refused EPERM "$PMIO_POOL" && chmod 702 "$PMIO_POOL" &&
		refused EPERM "$PMIO_POOL"
}
check "writable by group or others" group_writable

foreign_files() {
	rm -rf "$PMIO_POOL" && mkdir -m 700 "$PMIO_POOL" && echo mine >"$PMIO_POOL/thesis.tex" &&
		refused 'ENOENT|PMIO_ENOTPOOL' "$PMIO_POOL" && [ "$(ls "$PMIO_POOL")" = thesis.tex ]
}
check "a directory with other files" foreign_files

other_version() {
	fresh && patch data 8 '\007' && refused PMIO_EVERSION "$PMIO_POOL.*version"
}
check "made by another version" other_version

truncated() {
	fresh && truncate -s -1M "$PMIO_POOL/data" && refused PMIO_EDAMAGED "$PMIO_POOL" &&
		fresh && truncate -s 1000 "$PMIO_POOL/data" && refused 'PMIO_EDAMAGED|PMIO_ENOTPOOL' "$PMIO_POOL" &&
		fresh && truncate -s 0 "$PMIO_POOL/data" && refused 'PMIO_EDAMAGED|PMIO_ENOTPOOL' "$PMIO_POOL"
}
check "truncated" truncated

superblock() {
	local at
	for at in 12 20 33 41 57 72 90 96; do # checksum, uuid, sizes, offsets, counts
		fresh && patch data $at '\252' && refused PMIO_EDAMAGED "$PMIO_POOL" || return 1
	done
	fresh && patch data 0 'XYZ' && refused PMIO_ENOTPOOL "$PMIO_POOL"
}
check "damaged superblock" superblock

catalog() {
	fresh && truncate -s 4096 "$PMIO_POOL/catalog" && refused 'PMIO_E(DAMAGED|NOTPOOL)' "$PMIO_POOL" &&
		fresh && patch catalog 0 'XYZXYZXYZ' && refused 'PMIO_E(DAMAGED|NOTPOOL)' "$PMIO_POOL" &&
		fresh && rm "$PMIO_POOL/catalog" && refused 'ENOENT|PMIO_E(DAMAGED|NOTPOOL)' "$PMIO_POOL" &&
		fresh && rm "$PMIO_POOL/data" && refused 'ENOENT|PMIO_E(DAMAGED|NOTPOOL)' "$PMIO_POOL"
}
check "damaged or missing catalog, missing data" catalog

two_pools() {
	fresh && expect 0 "$PMIO" pool create -q --size=16MiB "$T/second" &&
		cp "$T/second/catalog" "$PMIO_POOL/catalog" || return 1
	# the catalog must be opened to be known as another's, and libpmemobj then writes to its head
	media=data refused PMIO_EDAMAGED "$PMIO_POOL"
}
check "catalog and data of different pools" two_pools

destroy_damaged() {
	fresh && patch data 41 '\252' && expect 1 "$PMIO" pool destroy "$PMIO_POOL" && one_line '--force' &&
		[ -s "$PMIO_POOL/data" ] && expect 0 "$PMIO" pool destroy --force "$PMIO_POOL" && [ ! -e "$PMIO_POOL" ]
}
check "a damaged pool is destroyed only with --force" destroy_damaged

check "after all that the data are there" data_are_there

too_small() {
	expect 1 "$PMIO" pool create --size=8MiB --chunk-size=64MiB "$T/small" && one_line "$T/small" &&
		[ ! -e "$T/small" ] && expect 1 "$PMIO" pool create --size=64MiB --chunk-size=100KiB "$T/small" &&
		one_line "$T/small" && [ ! -e "$T/small" ]
}
check "smaller than one frame; a chunk size that is no power of two" too_small

full() {
	expect 1 "$PMIO" pool create --size=1000TiB "$T/huge" &&
		one_line "$T/huge.*(are too much|No space left|File too large)" && [ ! -e "$T/huge" ] || return 1
	rm -rf "$PMIO_POOL" && mkdir -m 700 "$PMIO_POOL" &&
		PMIO_POOL_SIZE=1000TiB fails 'ENOSPC|EFBIG' "$PMIO_POOL.*(are too much|No space left|File too large)" -c &&
		[ ! -e "$PMIO_POOL/data" ] && [ ! -e "$PMIO_POOL/catalog" ] &&
		PMIO_POOL_SIZE=16MiB expect 0 "$FILEIO" "$PFS/later" write 0 10 1 && stop_agent
}
check "no room when the pool is made; later there is" full

tiny_shm() {
	[ "$(id -u)" = 0 ] || { echo "needs root"; return 77; }
	mkdir "$T/tiny" && mount -t tmpfs -o size=20m tmpfs "$T/tiny" 2>/dev/null || { echo "no mount"; return 77; }
	mkdir -m 700 "$T/tiny/pool"
	PMIO_POOL=$T/tiny/pool PMIO_POOL_SIZE=64MiB fails ENOSPC "$T/tiny/pool.*No space" -c &&
		[ -z "$(ls "$T/tiny/pool" | grep -v agent.log)" ]
	local rc=$?
	umount "$T/tiny"
	return $rc
}
check "a full tmpfs when the pool is made" tiny_shm

parent_missing() {
	expect 1 "$PMIO" pool create --size=16MiB "$T/no/such" && one_line "$T/no/such.*No such file"
}
check "no parent directory" parent_missing

long_name() {
	local name
	name=$(printf '%0300d' 0)
	expect 1 "$PMIO" pool create --size=16MiB "$T/$name" && err_lines 1 'too long' &&
		PMIO_POOL=$T/$name fails ENAMETOOLONG 'too long' -c
}
check "a name that is too long" long_name

long_path() {
	local dir=$T/deep i
	for i in 1 2 3; do dir=$dir/$(printf '%0100d' 0); done
	mkdir -p "$dir" && mkdir -m 700 "$dir/pool" &&
		PMIO_POOL=$dir/pool expect 0 "$FILEIO" "$PFS/deep" write 0 1000 1 &&
		expect 0 "$FILEIO" -p "$PFS/deep" verify 0 1000 1 &&
		expect 0 "$PMIO" --pool="$dir/pool" agent stop
}
check "a pool whose path is longer than a socket's may be" long_path

exit $tap_failed
