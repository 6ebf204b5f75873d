#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify doctor: what is as it should be, and what is not.

FARM_GUESTS=2
load ../lib/farm

# doctor CODE [GUEST...]
doctor() {
	vx "$1" doctor --json "${@:2}"
}

# finds RESULT CHECK ON TEXT: there is such a line. ON: a jq string or null.
finds() {
	jq -e --arg r "$1" --arg c "$2" --arg on "$3" --arg t "$4" '.findings | map(select(.result == $r and
		.check == $c and (.on // "") == $on and ((.finding + " " + (.remedy // "")) | contains($t)))) | length > 0' \
		<<<"$OUT" >/dev/null || die "no $1 $2 on $3 with '$4' in $OUT"
}

@test "a farm in which nothing is wrong" {
	mount -o remount,noatime "$MNT"
	vx 0 scan "$G"/g?
	doctor 0
	jq -e '.findings | map(select(.result == "FAIL")) == []' <<<"$OUT" >/dev/null || die "$OUT"
	finds OK kernel '' Linux
	finds OK guard '' ''
	finds OK mount "$MNT" noatime
	finds OK pool "$MNT" 'leases'
	finds OK leftovers "$MNT" none
	finds OK flags "$MNT" holds
	finds OK leases "$MNT" work
	finds OK links "$MNT" 'of 64,000'
	finds OK catalog "$CAT" whole
	finds OK objects '' immutable
	for g in g1 g2; do
		finds OK confinement $g 'no process'
		finds OK copy-on-write $g none
		finds OK mounts $g none
	done
	vx 0 doctor g1
	has "$OUT" "RESULT"
	hasnt "$OUT" g2
	vx 1 doctor no-such-guest
}

@test "without a catalog; with one that is damaged" {
	doctor 0
	finds WARN catalog "$CAT" 'scan'
	head -c 9000 /dev/urandom >"$CAT"
	doctor 12
	finds FAIL catalog "$CAT" rebuild
}

@test "a mount with atimes, one that is read-only, and a full disk" {
	vx 0 scan "$G"/g?
	mount -o remount,relatime "$MNT"
	doctor 0
	finds WARN mount "$MNT" 'mount it with noatime'
	dd if=/dev/zero of="$MNT/fill" bs=64k 2>/dev/null || :
	sync -f "$MNT"
	dd if=/dev/zero of="$MNT/fill" bs=1k oflag=append conv=notrunc 2>/dev/null || :
	sync -f "$MNT"
	doctor 0
	finds WARN space "$MNT" blocks
	rm "$MNT/fill"
	mount -o remount,ro "$MNT"
	doctor 12
	finds FAIL mount "$MNT" read-only
}

@test "objects without their flag, leftovers, and what was rescued" {
	vx 0 scan "$G"/g?
	chattr -i "$G/g1/usr/share/vu/f0"
	doctor 12
	finds FAIL objects '' 'vunify recover'
	finds WARN leftovers "$MNT" 'vunify recover'
	vx 0 recover
	doctor 0
	finds OK objects '' immutable
	mkdir -m 700 "$MNT/.vunify/rescued"
	echo lost >"$MNT/.vunify/rescued/x"
	doctor 0
	finds WARN rescued "$MNT" "$MNT/.vunify/rescued"
}

@test "a guest whose process could lift a flag, one whose root is gone, and one with other users" {
	vx 0 scan "$G"/g?
	cp "$(command -v busybox)" "$G/g1/bin/busybox" || skip "needs busybox-static"
	background chroot "$G/g1" /bin/busybox sh -c 'echo ready; read x'
	doctor 12
	finds FAIL confinement g1 CAP_LINUX_IMMUTABLE
	finds OK confinement g2 'no process'
	end_processes
	chown 100000:100000 "$G/g2"
	doctor 0
	finds WARN owners g1 'user 100000'
	mv "$G/g2" "$G/away"
	doctor 0
	jq -e '.findings | map(select(.result == "WARN" and (.finding | contains("g2")))) | length > 0' <<<"$OUT" >/dev/null ||
		die "nothing about the root that is gone: $OUT"
}

@test "who has copy-on-write, and by whom" {
	command -v busybox >/dev/null || skip "needs busybox-static"
	cp "$(command -v busybox)" "$G/g1/bin/busybox"
	vx 0 scan "$G"/g?
	background "$VUNIFY" --config "$CONF" --catalog "$CAT" run g1 -- /bin/busybox sh -c 'echo ready; read x'
	doctor 0
	finds OK copy-on-write g1 'by vunify run'
	finds OK copy-on-write g2 none
	pid=$BG_PID # which is gone as soon as the process is
	echo >&"$BG_IN"
	wait "$pid"
	doctor 0
	finds OK copy-on-write g1 none
}

@test "a file system is tried before there is a pool, and nothing is left of that" {
	vx 0 guests add "$G/g1"
	say_manifest "$MNT" >"$STATE/before"
	doctor 0
	finds OK flags "$MNT" holds
	finds OK leases "$MNT" work
	finds OK pool "$MNT" none
	finds WARN scan g1 'vunify scan'
	say_manifest "$MNT" >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "the file system"
}

# fails SYSCALL ERROR: doctor, in which these calls fail on the file without a name
fails() {
	local file
	strace -y -o "$STATE/trace" -e trace=fcntl "$VUNIFY" --config "$CONF" --catalog "$CAT" doctor --json >/dev/null
	file=$(sed -n 's/^fcntl([0-9]*<\(.*\)>[^>]*, F_SETLEASE, F_RDLCK) .*/\1/p' "$STATE/trace" | head -n 1)
	[[ $file == */#* ]] || die "no lease on a file without a name: '$file'" || return
	# it gets the same number again
	OUT=$(strace -o /dev/null -P "$file" -P "$file (deleted)" -e "inject=$1:error=$2" \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" doctor --json) && die "exit code 0"
	[[ $OUT ]]
}

@test "a flag and a lease that do not work" {
	command -v strace >/dev/null || skip "needs strace"
	vx 0 guests add "$G/g1"
	fails fcntl EINVAL
	finds FAIL leases "$MNT" leases-enable
	finds OK flags "$MNT" holds
	fails ioctl EPERM
	finds FAIL flags "$MNT" 'Operation not permitted'
	finds OK leases "$MNT" work
}

@test "an object with nearly as many links as it can have" {
	vx 0 scan "$G"/g?
	sqlite3 "$CAT" 'UPDATE object SET n_links = 63999 WHERE ino = (SELECT min(ino) FROM object)'
	doctor 0
	finds OK links "$MNT" '1 objects have nearly'
}

@test "pages of the catalog that are damaged where nobody has looked" {
	vx 0 scan "$G"/g?
	local page=$(($(sqlite3 "$CAT" "SELECT rootpage FROM sqlite_schema WHERE name = 'uname'") - 1))
	dd if=/dev/urandom of="$CAT" bs=4096 seek="$page" count=1 conv=notrunc 2>/dev/null
	doctor 12
	finds FAIL catalog "$CAT" 'recover --rebuild-catalog'
}

@test "mounts in a guest, and a root on which something is mounted now" {
	vx 0 scan "$G"/g?
	mount -t tmpfs none "$G/g1/tmp"
	mount --bind "$G/g2" "$G/g2"
	doctor 12
	finds OK mounts g1 '1 are in it'
	finds FAIL mounts g2 'mount point itself'
	umount "$G/g1/tmp" "$G/g2"
	doctor 0
}

@test "a project quota" {
	vu_fs_need xfs 300
	mkdir -p "$VU_MNT/guests/p/usr"
	xfs_io -c 'chproj 7' -c 'chattr +P' "$VU_MNT/guests/p"
	vx 0 guests add "$VU_MNT/guests/p"
	doctor 0
	finds WARN project p 'project id 7'
}
