#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify export: a guest as an archive that plain tar restores.

load ../lib/farm

BIG=usr/share/vu/big

gnu_tar() {
	tar --numeric-owner --same-owner -p --xattrs --xattrs-include='*' --acls "$@" 2>"$STATE/tar.err"
}

# same_tree A B [MANIFEST ARGS...]
same_tree() {
	say_manifest "${@:3}" "$1" >"$STATE/a"
	say_manifest "${@:3}" "$2" >"$STATE/b"
	same_text "$STATE/a" "$STATE/b"
}

# What GNU tar makes of an archive: $G/restored
restored_from() {
	mkdir "$G/restored"
	gnu_tar -C "$G/restored" -xf "$1" || die "$(<"$STATE/tar.err")"
}

@test "a guest restored by GNU tar is what it was" {
	"$VU_TOP/tests/lib/rich-tree" "$G/rich"
	vx 0 export "$G/rich" -o "$STATE/x.tar"
	restored_from "$STATE/x.tar"
	same_tree "$G/rich" "$G/restored"
}

@test "files of two subvolumes are two files, though their inodes have the same numbers" {
	command -v btrfs >/dev/null || skip "needs btrfs"
	farm_down
	farm_on btrfs 300
	mkdir -p "$G/g1"
	btrfs -q subvolume create "$G/g1/a"
	echo one >"$G/g1/a/f"
	ln "$G/g1/a/f" "$G/g1/a/f.link"
	btrfs -q subvolume snapshot "$G/g1/a" "$G/g1/b"
	echo two >"$G/g1/b/f"
	touch -d @1600000000 "$G/g1/a/f" "$G/g1/b/f"
	vx 0 export "$G/g1" -o "$STATE/x.tar"
	restored_from "$STATE/x.tar"
	cd "$G/restored"
	eq "$(cat a/f a/f.link b/f b/f.link | tr '\n' ' ')" "one one two two " contents
	[[ a/f -ef a/f.link && b/f -ef b/f.link && ! a/f -ef b/f ]]
}

@test "a guest restored by bsdtar is what it was" {
	command -v bsdtar >/dev/null || skip "needs bsdtar"
	"$VU_TOP/tests/lib/rich-tree" "$G/rich"
	vx 0 export "$G/rich" -o "$STATE/x.tar"
	mkdir "$G/restored"
	# in C it complains of names that are not ASCII, but keeps their bytes; else it composes them
	LC_ALL=C bsdtar -C "$G/restored" --numeric-owner -pxf "$STATE/x.tar" 2>"$STATE/tar.err" || :
	hasnt "$(grep -v "can't be converted" "$STATE/tar.err" || :)" 'bsdtar: [^E]'
	# it does not give the root its time
	touch -r "$G/rich" "$G/restored"
	same_tree "$G/rich" "$G/restored"
}

@test "a unified guest is complete without its pool, and none of it immutable" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	is_object "$G/g1/$BIG"
	vx 0 export g1 -o "$STATE/x.tar"
	restored_from "$STATE/x.tar"
	same_tree "$G/g1" "$G/restored"
	eq "$(n_flagged "$G/restored")" 0 "immutable files"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "each compression can be read, and holes stay holes" {
	truncate -s 40M "$G/g1/usr/share/vu/hole"
	for how in none zstd xz gzip; do
		vx 0 export --compress="$how" "$G/g1" -o "$STATE/x.$how"
		gnu_tar -tf "$STATE/x.$how" >"$STATE/list.$how" || die "$how: $(<"$STATE/tar.err")"
		same_text "$STATE/list.none" "$STATE/list.$how" "$how"
	done
	(($(stat -c %s "$STATE/x.none") < (40 << 20))) || die "the hole was written out"
	restored_from "$STATE/x.none"
	eq "$(stat -c %b "$G/restored/usr/share/vu/hole")" 0 "blocks of the hole"
}

@test "without -o the archive goes to stdout, and nothing else" {
	vu export "$G/g1" >"$STATE/x.tar" 2>"$STATE/err" || die "$(<"$STATE/err")"
	eq "$(<"$STATE/err")" '' stderr
	restored_from "$STATE/x.tar"
	same_tree "$G/g1" "$G/restored"
}

@test "a FIFO or a device that -o names is written to, and stays what it is" {
	mkfifo "$STATE/fifo"
	timeout 20 cat "$STATE/fifo" >"$STATE/through" 3>&- &
	vx 0 export "$G/g1" -o "$STATE/fifo"
	wait $!
	[[ -p $STATE/fifo ]] || die "it is no FIFO any more"
	vx 0 export "$G/g1" -o "$STATE/x.tar"
	cmp "$STATE/through" "$STATE/x.tar"
	cp -a /dev/null "$STATE/null"
	vx 0 export "$G/g1" -o "$STATE/null"
	[[ -c $STATE/null ]] || die "it is no device any more"
	vx 1 export "$G/g1" -o "$STATE/"
}

@test "an archive for a terminal, or beside a report, is refused" {
	vx 2 export --json "$G/g1"
	has "$ERR" 'name a file by -o'
	command -v script >/dev/null || skip "needs script"
	rc=0
	script -qec "$VUNIFY --config $CONF --catalog $CAT export $G/g1" "$STATE/tty" >/dev/null </dev/null || rc=$?
	eq "$rc" 2 status
	has "$(<"$STATE/tty")" 'not for a terminal'
}

@test "the report says what there was, and sockets are left out and counted" {
	"$VU_TOP/tests/lib/rich-tree" "$G/rich" --socket
	vx 0 export --json "$G/rich" -o "$STATE/x.tar"
	eq "$(sum_of sockets)" 1 sockets
	eq "$(sum_of links)" 2 "further names"
	eq "$(sum_of files)" "$(find "$G/rich" -type f -printf '%i\n' | sort -u | wc -l)" files
	eq "$(sum_of dirs)" "$(find "$G/rich" -type d | wc -l)" directories
	hasnt "$(gnu_tar -tf "$STATE/x.tar")" socket
}

@test "what is mounted in a guest is not in the archive, but its place is" {
	mkdir "$G/g1/usr/mnt"
	mount -t tmpfs none "$G/g1/usr/mnt"
	echo secret >"$G/g1/usr/mnt/file"
	vx 0 export "$G/g1" -o "$STATE/x.tar"
	umount "$G/g1/usr/mnt"
	eq "$(gnu_tar -tf "$STATE/x.tar" | grep usr/mnt)" ./usr/mnt/ members
}

@test "a symbolic link to a file of the host is a link in the archive" {
	ln -s /etc/shadow "$G/g1/usr/lib/shadow"
	vx 0 export "$G/g1" -o "$STATE/x.tar"
	has "$(gnu_tar -tvf "$STATE/x.tar")" '^l.* ./usr/lib/shadow -> /etc/shadow$'
}

@test "a file that gets shorter while it is read has its announced size, and is told" {
	command -v strace >/dev/null || skip "needs strace"
	rc=0
	strace -qq -o /dev/null -P "$G/g1/$BIG" -e trace=preadv2 -e inject=preadv2:retval=0:when=1+ \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" export "$G/g1" -o "$STATE/x.tar" 2>"$STATE/err" || rc=$?
	eq "$rc" 3 status
	has "$(<"$STATE/err")" "g1:/$BIG: became shorter"
	restored_from "$STATE/x.tar"
	eq "$(stat -c %s "$G/restored/$BIG")" "$(stat -c %s "$G/g1/$BIG")" size
	same_tree "$G/g1/bin" "$G/restored/bin"
}

@test "a file that cannot be read is told, and the others are there" {
	command -v strace >/dev/null || skip "needs strace"
	rc=0
	strace -qq -o /dev/null -P "$G/g1/$BIG" -e trace=preadv2 -e inject=preadv2:error=EIO:when=1+ \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" export "$G/g1" -o "$STATE/x.tar" 2>"$STATE/err" || rc=$?
	eq "$rc" 3 status
	has "$(<"$STATE/err")" "g1:/$BIG: cannot be read.*Input/output error"
	restored_from "$STATE/x.tar"
	same_tree "$G/g1/bin" "$G/restored/bin"
}

@test "a file that grows while it is read is told, and the archive is whole" {
	background python3 -c "
import sys
f = open('$G/g1/usr/lib/growing', 'ab', buffering=0)
f.write(bytes(1 << 20))
print('ready', flush=True)
import time
while True:
    f.write(b'more')
    time.sleep(0.01)"
	command -v strace >/dev/null || skip "needs strace"
	rc=0
	# each reading of it takes half a second more, in which it grows
	strace -qq -o /dev/null -P "$G/g1/usr/lib/growing" -e trace=preadv2 -e inject=preadv2:delay_exit=500000:when=1..2 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" export "$G/g1" -o "$STATE/x.tar" 2>"$STATE/err" || rc=$?
	eq "$rc" 3 status
	has "$(<"$STATE/err")" 'usr/lib/growing: changed while it was read'
	restored_from "$STATE/x.tar"
}

@test "the archive takes the place of an older one only when it is complete" {
	command -v strace >/dev/null || skip "needs strace"
	echo old >"$STATE/x.tar"
	rc=0
	strace -qq -f -o /dev/null -e trace=write -e inject=write:error=ENOSPC:when=2+ \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" export --compress=none "$G/g1" -o "$STATE/x.tar" \
		2>"$STATE/err" || rc=$?
	eq "$rc" 13 status
	eq "$(<"$STATE/x.tar")" old "the older archive"
	for n in 1 2 20; do
		rc=0
		strace -qq -f -o /dev/null -e trace=write,fsync,linkat,renameat \
			-e inject=write,fsync,linkat,renameat:signal=KILL:when=$n \
			"$VUNIFY" --config "$CONF" --catalog "$CAT" export "$G/g1" -o "$STATE/x.tar" || rc=$?
		[[ $(<"$STATE/x.tar") == old ]] || gnu_tar -tf "$STATE/x.tar" >/dev/null ||
			die "killed at $n: neither the old one nor a whole one"
	done
	vx 0 export "$G/g1" -o "$STATE/x.tar"
	eq "$(stat -c %a "$STATE/x.tar")" 600 mode
	restored_from "$STATE/x.tar"
}

@test "a full disk is status 13, nothing is left, and the guest is as it was" {
	truncate -s 2M "$STATE/small.img"
	mkfs.ext4 -q -F "$STATE/small.img"
	mkdir "$STATE/small"
	mount -o loop "$STATE/small.img" "$STATE/small"
	rm -rf "$STATE/small/lost+found"
	vx 13 export --compress=none "$G/g1" -o "$STATE/small/x.tar"
	left=$(ls -A "$STATE/small")
	umount "$STATE/small"
	eq "$left" '' "what is left"
	has "$ERR" 'No space left'
}

@test "no such guest, no such directory" {
	vx 1 export "$G/none" -o "$STATE/x.tar"
	vx 1 export "$G/g1" -o "$STATE/none/x.tar"
	has "$ERR" 'cannot write the archive'
	[[ ! -e $STATE/x.tar ]]
}
