# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Small guest trees for tests, made from the host's own /usr: more than a hundred files, fixed mtimes,
# equal on each call. Of usr/share/vu/f0, f1, ... there are VU_GUESTS_FILES (50): each costs each test its links.
#
#   vu_guests_make DIR N     make DIR/g1 .. DIR/gN, independent copies that share most files
#   vu_guest_file G          a file that all guests have in common (path inside a guest)
#
# All times have nanoseconds. What differs between them: etc/hostname, var/log/messages, usr/share/own-<i> (private data), and
# usr/share/vu/late (the same bytes, each with another mtime).
# Each guest also holds an inner hard link pair (usr/share/vu/twin-a, twin-b), an xattr (where the
# file system takes it), an empty file, a symbolic link and a FIFO.

VU_GUESTS_COMMON=usr/share/vu/big

vu_guest_file() {
	printf '%s\n' "$VU_GUESTS_COMMON"
}

vu_guests_make() {
	local dir=$1 n=$2 i first
	first=$dir/g1
	mkdir -p "$first"/{bin,etc,proc,sys,dev,run,tmp,root,home,var/log,var/lib/dpkg,usr/bin} \
		"$first"/usr/{sbin,lib,share/vu} || return 1
	(
		cd / || exit 1
		shopt -s nullglob
		set -- bin/true usr/lib/*/libc.so.6 usr/lib/*/libm.so.6 usr/bin/env usr/bin/sort
		set -- "$@" usr/share/common-licenses usr/share/zoneinfo/Europe usr/lib/tmpfiles.d
		for f in "$@"; do
			[[ -e $f ]] && printf '%s\0' "$f"
		done | tar -c --null -T - --sort=name --owner=0 --group=0 --mtime=@1600000000 \
			--hard-dereference --exclude='*/posix/*' --exclude='*/right/*' -f - 2>/dev/null
	) | tar -C "$first" -xpf - || return 1
	vu_guests_common "$first" || return 1
	for ((i = 2; i <= n; i++)); do
		cp -a --reflink=never "$first" "$dir/g$i" || return 1
	done
	for ((i = 1; i <= n; i++)); do
		vu_guests_differ "$dir/g$i" "$i" || return 1
	done
}

vu_guests_common() {
	local g=$1 i
	for ((i = 0; i < ${VU_GUESTS_FILES:-50}; i++)); do
		printf 'common file %d\n' "$i" >"$g/usr/share/vu/f$i" || return 1
	done
	seq 1 60000 >"$g/$VU_GUESTS_COMMON"
	printf 'two names\n' >"$g/usr/share/vu/twin-a"
	ln "$g/usr/share/vu/twin-a" "$g/usr/share/vu/twin-b"
	printf 'labelled\n' >"$g/usr/share/vu/xattr"
	setfattr -n user.vu -v label "$g/usr/share/vu/xattr" 2>/dev/null || :
	: >"$g/usr/share/vu/empty"
	ln -s big "$g/usr/share/vu/symlink"
	mkfifo "$g/usr/share/vu/fifo"
	printf 'setuid\n' >"$g/usr/bin/setuid"
	chmod 4755 "$g/usr/bin/setuid"
	printf 'root:x:0:0:root:/root:/bin/sh\n' >"$g/etc/passwd"
	printf 'ID=test\nVERSION_ID=1\n' >"$g/etc/os-release"
	find "$g" -depth -exec touch -h -d @1600000000.123456789 {} +
}

vu_guests_differ() {
	local g=$1 i=$2
	printf 'guest%d\n' "$i" >"$g/etc/hostname"
	printf 'log of guest %d\n' "$i" >"$g/var/log/messages"
	printf 'data of guest %d\n' "$i" >"$g/usr/share/own-$i"
	printf 'same bytes, another mtime\n' >"$g/usr/share/vu/late"
	touch -d "@$((1600000000 + i)).5" "$g/etc/hostname" "$g/var/log/messages" \
		"$g/usr/share/own-$i" "$g/usr/share/vu/late"
	touch -d @1600000000.123456789 "$g/etc" "$g/var/log" "$g/usr/share" "$g/usr/share/vu"
}
