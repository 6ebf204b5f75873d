#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify why: what holds for a path.

load ../lib/farm

V=usr/share/vu

scanned() {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
}

# why PATH WANTED-REGEX: one line
why() {
	vx "${3:-0}" why "$G/$1"
	eq "$(wc -l <<<"$OUT")" 1 "lines"
	has "$OUT" "$2"
}

@test "unified: with whom" {
	scanned
	why "g1/$V/big" 'unified.*g2:/?usr/share/vu/big'
	has "$OUT" "g3:/?usr/share/vu/big"
	vx 0 why --json "$G/g1/$V/big"
	eq "$(jq -r '.answers[0].state' <<<"$OUT")" unified state
	eq "$(jq -r '.answers[0].guest' <<<"$OUT")" g1 guest
	has "$(jq -r '.answers[0].object' <<<"$OUT")" '^[0-9a-f]{64}-0$'
	eq "$(jq -r '.answers[0].partners | length' <<<"$OUT")" 2 partners
}

@test "pending: after scan -n" {
	vx 0 scan -n "$G"/g1 "$G"/g2 "$G"/g3
	why "g1/$V/big" 'private.*next scan would'
	vx 0 why --json "$G/g1/$V/big"
	eq "$(jq -r '.answers[0].state' <<<"$OUT")" pending state
}

@test "unique" {
	scanned
	why g1/usr/share/own-1 'unique'
}

@test "empty" {
	scanned
	why "g1/$V/empty" 'private: empty'
}

@test "not-regular: symbolic link, FIFO, directory" {
	scanned
	why "g1/$V/symlink" 'not-regular.*(symlink|symbolic link)'
	why "g1/$V/fifo" 'not-regular.*(fifo|FIFO)'
	why "g1/$V" 'not-regular.*directory'
}

@test "excluded: the rule" {
	scanned
	why g1/etc/passwd 'excluded: .*/etc'
	why g1/var/log/messages 'excluded: .*/var'
}

@test "excluded by a rule of the guest's own" {
	vx 0 guests add "$G/g1" --rule "exclude $V/f?"
	scanned
	why "g1/$V/f1" "excluded: .*f\\?"
	why "g1/$V/f11" 'unified.*g2:'
}

@test "conffile: dpkg" {
	printf 'Package: vu\nStatus: install ok installed\nConffiles:\n /usr/share/vu/f1 0123456789abcdef0123456789abcdef\nDescription: x\n' \
		>"$G/g1/var/lib/dpkg/status"
	scanned
	why "g1/$V/f1" 'conffile: dpkg'
	vx 0 why --json "$G/g1/$V/f1"
	eq "$(jq -r '.answers[0].value' <<<"$OUT")" dpkg value
}

@test "too-small and too-large: the sizes" {
	conf <<<$'[policy]\nmin_size = 1K\nmax_size = 100K'
	scanned
	why "g1/$V/f1" 'too-small: .*14'
	why "g1/$V/big" 'too-large: .*[0-9]'
}

@test "open-for-write" {
	background python3 -c '
import sys
f = open(sys.argv[1], "r+b")
print("ready", flush=True)
sys.stdin.readline()' "$G/g1/$V/big"
	scanned
	why "g1/$V/big" 'open-for-write'
}

@test "set-id: the mode" {
	scanned
	why g1/usr/bin/setuid 'set-id: .*4755'
}

@test "capability" {
	setcap cap_net_raw+ep "$G/g1/$V/f1"
	scanned
	why "g1/$V/f1" 'capability'
}

@test "links-outside: how many" {
	ln "$G/g1/$V/big" "$MNT/outside"
	scanned
	why "g1/$V/big" 'links-outside: .*[0-9]'
}

@test "immutable and append-only by the admin's hand" {
	chattr +i "$G/g1/$V/f1"
	chattr +a "$G/g1/$V/f2"
	scanned
	why "g1/$V/f1" 'private: immutable'
	why "g1/$V/f2" 'private: append-only'
}

@test "lock-file" {
	cp -a "$G/g1/$V/f1" "$G/g1/$V/x.lock"
	scanned
	why "g1/$V/x.lock" 'lock-file'
}

@test "mode-differs: both modes" {
	chmod 0600 "$G/g1/$V/big"
	scanned
	why "g1/$V/big" 'mode-differs: 0?600/0?644'
}

@test "owner-differs: both owners" {
	chown 100000:100000 "$G/g1/$V/big"
	scanned
	why "g1/$V/big" 'owner-differs: 100000/0'
	vx 0 unmerge
	chown 100000 "$G/g2/$V/f1" "$G/g3/$V/f1"
	chown 100001 "$G/g3/$V/f1"
	chgrp 100000 "$G/g1/$V/f2"
	vx 0 scan
	why "g1/$V/f1" 'owner-differs: 0/10000'
	why "g1/$V/f2" 'owner-differs: .*100000'
}

@test "xattr-differs: security.capability, where set-id files are unified" {
	setcap cap_net_raw+ep "$G/g1/$V/f1"
	conf <<<$'[policy]\nmin_size = 1\nunify_setid = yes'
	scanned
	why "g1/$V/f1" 'xattr-differs: security.capability'
}

@test "xattr-differs: the name of the attribute" {
	setfattr -n user.other -v x "$G/g1/$V/f1"
	scanned
	why "g1/$V/f1" 'xattr-differs: user.other'
}

@test "mtime-differs: both times" {
	scanned
	why "g1/$V/late" 'mtime-differs: .*[0-9]'
}

@test "mtime-differs: by one nanosecond" {
	touch -d @1600000000.123456788 "$G/g1/$V/big"
	scanned
	why "g1/$V/big" 'mtime-differs: 1600000000.123456788/1600000000.123456789'
}

@test "xattr-differs: the name, of however many" {
	long=user.$(printf 'n%.0s' {1..200})
	for i in {10..21}; do
		setfattr -n "user.k$i" -v 1 "$G/g1/$V/f1"
		setfattr -n "user.k$i" -v 1 "$G/g2/$V/f1"
		setfattr -n "user.k$i" -v 1 "$G/g3/$V/f1"
	done
	setfattr -n "${long}1" -v 1 "$G/g1/$V/f1"
	setfattr -n "${long}2" -v 1 "$G/g2/$V/f1"
	setfattr -n "${long}2" -v 1 "$G/g3/$V/f1"
	scanned
	why "g1/$V/f1" "xattr-differs: ${long}1"
}

@test "flags-differ: the letters of lsattr" {
	chattr +A "$G/g1/$V/f1" 2>/dev/null || skip "the file system has no such flag"
	scanned
	why "g1/$V/f1" 'flags-differ: A/-'
}

@test "same-guest" {
	for i in 1 2; do
		printf 'twice in one guest' >"$G/g1/$V/same-$i"
		touch -d @1600000000 "$G/g1/$V/same-$i"
	done
	# Of the same size, so that contents are looked at at all.
	printf 'twice in one GUEST' >"$G/g2/$V/same-1"
	scanned
	why "g1/$V/same-1" 'same-guest'
}

@test "other-domain" {
	vx 0 guests add "$G/g1" --domain one
	scanned
	why "g1/$V/big" 'other-domain'
}

@test "other-filesystem" {
	mkdir "$G/g1/usr/mount"
	mount -t tmpfs -o size=1m none "$G/g1/usr/mount" || skip "cannot mount a tmpfs"
	echo text >"$G/g1/usr/mount/file"
	scanned
	why g1/usr/mount/file 'other-filesystem'
	umount "$G/g1/usr/mount"
}

@test "outside of all guests, and not there" {
	scanned
	vx 0 why "$MNT"
	has "$OUT" 'in no registered guest'
	vx 1 why "$G/g1/not-there"
	has "$OUT$ERR" 'No such file'
}

@test "a relative path, and a path through a symbolic link's directory" {
	scanned
	cd "$G/g1/$V"
	vx 0 why big
	has "$OUT" 'unified'
	cd /
}

@test "several paths: one line each" {
	scanned
	vx 0 why "$G/g1/$V/big" "$G/g1/$V/empty" "$G/g1/etc/passwd"
	eq "$(wc -l <<<"$OUT")" 3 lines
}

@test "why changes nothing" {
	scanned
	find "$G" ! -type d -printf '%p %i %n %C@ %A@\n' | sort >"$STATE/a"
	vx 0 why "$G"/g1/$V/*
	find "$G" ! -type d -printf '%p %i %n %C@ %A@\n' | sort >"$STATE/b"
	same_text "$STATE/a" "$STATE/b"
}

@test "without a catalog: exit 10" {
	vx 10 why "$G/g1/$V/big"
}

@test "cross-device: equal files on another file system only" {
	mkdir "$VU_WORK/second"
	truncate -s 32M "$VU_WORK/second.img"
	mkfs.ext4 -q "$VU_WORK/second.img"
	mount -o loop "$VU_WORK/second.img" "$VU_WORK/second"
	mkdir -p "$VU_WORK/second/far/$V"
	printf 'here and there' | tee "$G/g1/$V/far" >"$VU_WORK/second/far/$V/far"
	touch -d @1600000000 "$G/g1/$V/far" "$VU_WORK/second/far/$V/far"
	vx 0 scan "$G"/g1 "$G"/g2 "$VU_WORK/second/far"
	why "g1/$V/far" 'private: cross-device'
}

@test "mtime-differs: from files that are unified under another path" {
	cp -a "$G/g1/$V/f5" "$G/g1/$V/elsewhere"
	rm "$G/g1/$V/f5"
	touch -d @1500000000 "$G/g1/$V/elsewhere"
	scanned
	why "g1/$V/elsewhere" 'mtime-differs: 1500000000.000000000/1600000000.123456789.*g2:'
}
