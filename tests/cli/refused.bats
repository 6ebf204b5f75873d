#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify scan and its like: what is refused, and how that is said.

load ../lib/farm

BIG=usr/share/vu/big

untouched() {
	is_private "$G/g1/$BIG"
	eq "$(n_objects)" 0 objects
}

@test "a process in a guest that could lift the flag: exit 12 and the remedy" {
	process_in "$G/g2"
	vx 12 scan "$G"/g1 "$G"/g2
	has "$ERR" 'g2'
	has "$ERR" 'trust-guests'
	untouched
	vx 0 scan --trust-guests "$G"/g1 "$G"/g2
	same "$G/g1/$BIG" "$G/g2/$BIG"
}

@test "the same with trust = yes for the guest, and for its domain" {
	process_in "$G/g2"
	vx 0 guests add "$G/g1" --domain lab
	vx 0 guests add "$G/g2" --domain lab
	vx 12 scan
	conf <<<$'[policy]\nmin_size = 1\ntrust_domain = lab'
	vx 0 scan
	same "$G/g1/$BIG" "$G/g2/$BIG"
}

@test "a process without the capability does no harm" {
	command -v setpriv >/dev/null || skip "needs setpriv"
	# It does not leave its root either: see real/gate.bats.
	background unshare -m setpriv --bounding-set=-linux_immutable --inh-caps=-linux_immutable python3 -c '
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
os.chroot(sys.argv[1])
os.chdir("/")
assert libc.prctl(24, 18, 0, 0, 0) == 0                         # PR_CAPBSET_DROP, CAP_SYS_CHROOT
head, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(head, data) == 0
for i in range(3):
	data[i] &= ~(1 << 18)
assert libc.capset(head, data) == 0
print("ready", flush=True)
sys.stdin.readline()' "$G/g2"
	grep -q '^CapEff' "/proc/$BG_PID/status"
	vx 0 scan "$G"/g1 "$G"/g2
	same "$G/g1/$BIG" "$G/g2/$BIG"
}

@test "a process in a directory below a guest counts as well" {
	process_in "$G/g2/usr"
	vx 12 scan "$G"/g1 "$G"/g2
	untouched
}

@test "scan -n of a guest that is refused is refused too" {
	process_in "$G/g2"
	vx 12 scan -n "$G"/g1 "$G"/g2
}

@test "a root inside another root is refused" {
	rc=0
	vu scan "$G/g1" "$G/g1/usr" >"$STATE/out" 2>"$STATE/err" || rc=$?
	[[ $rc == 2 || $rc == 12 ]] || die "exit code $rc"
	has "$(<"$STATE/err")" 'g1'
	untouched
}

@test "one root named twice is one guest" {
	vx 0 scan --json "$G/g1" "$G/g1/" "$G/g1/usr/.."
	eq "$(jq -s '[.[] | select(.type == "summary")] | last | .guests | length' <<<"$OUT")" 1 guests
}

@test "a root that is not there is named, and nothing is done" {
	rc=0
	vu scan "$G/g1" "$G/not-there" >"$STATE/out" 2>"$STATE/err" || rc=$?
	[[ $rc == 1 || $rc == 2 ]] || die "exit code $rc"
	has "$(<"$STATE/err")" 'not-there'
	untouched
}

@test "a root that is a file, or a symbolic link to nowhere, is refused" {
	for root in "$G/g1/$BIG" "$G/g1/usr/share/vu/fifo"; do
		rc=0
		timeout 20 "$VUNIFY" --config "$CONF" --catalog "$CAT" scan "$root" 2>"$STATE/err" || rc=$?
		[[ $rc == 1 || $rc == 2 || $rc == 12 ]] || die "$root: exit code $rc"
	done
}

@test "without root: one message that says so" {
	command -v setpriv >/dev/null || skip "needs setpriv"
	cp "$VUNIFY" "$VU_WORK/vunify"
	chmod 0755 "$VU_WORK" "$VU_WORK/vunify" "$STATE"
	chmod 0644 "$CONF"
	rc=0
	# The directories above may be closed to others: so the program is given as a descriptor.
	setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$VU_WORK/vunify" --config "$CONF" --catalog "$CAT" scan "$G/g1" "$G/g2" \
		>"$STATE/out" 2>"$STATE/err" || rc=$?
	[[ $rc != 126 ]] || skip "others cannot reach $VU_WORK"
	[[ $rc == 1 || $rc == 12 ]] || die "exit code $rc: $(<"$STATE/err")"
	has "$(<"$STATE/err")" '[Rr]oot'
	untouched
}

@test "tmpfs is refused before anything is read" {
	command -v strace >/dev/null || skip "needs strace"
	mkdir "$VU_WORK/tmpfs"
	mount -t tmpfs -o size=32m none "$VU_WORK/tmpfs" || skip "cannot mount a tmpfs"
	cp -a "$G/g1" "$G/g2" "$VU_WORK/tmpfs"
	rc=0
	strace -f -qq -y -o "$STATE/trace" -e trace=open,openat,openat2,read,pread64 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan "$VU_WORK"/tmpfs/g1 "$VU_WORK"/tmpfs/g2 \
		>"$STATE/out" 2>"$STATE/err" || rc=$?
	eq "$rc" 12 "exit code ($(<"$STATE/err"))"
	has "$(<"$STATE/err")" 'tmpfs'
	! grep -E 'read|pread64' "$STATE/trace" | grep -q "$VU_WORK/tmpfs/g" ||
		die "$(grep -E 'read|pread64' "$STATE/trace" | grep "$VU_WORK/tmpfs/g" | head -n 3)"
}

@test "overlay is refused" {
	mkdir "$VU_WORK"/{upper,work,merged}
	mount -t overlay -o "lowerdir=$G,upperdir=$VU_WORK/upper,workdir=$VU_WORK/work" none \
		"$VU_WORK/merged" 2>"$STATE/log" || skip "cannot mount an overlay: $(tail -n 1 "$STATE/log")"
	vx 12 scan "$VU_WORK"/merged/g1 "$VU_WORK"/merged/g2
	has "$ERR" 'overlay'
	untouched
	umount "$VU_WORK/merged"
}

@test "a file system that is mounted read-only is refused" {
	mount -o remount,ro "$MNT"
	rc=0
	vu scan "$G"/g1 "$G"/g2 >"$STATE/out" 2>"$STATE/err" || rc=$?
	mount -o remount,rw "$MNT"
	[[ $rc == 12 || $rc == 1 ]] || die "exit code $rc"
	has "$(<"$STATE/err")" '[Rr]ead-only'
	untouched
}

@test "reflink mode on ext4 is refused" {
	vx 12 scan --mode=reflink "$G"/g1 "$G"/g2
	untouched
}

@test "a directory that stands where the pool should be, and is a symbolic link: not followed" {
	mkdir "$VU_WORK/elsewhere"
	ln -s "$VU_WORK/elsewhere" "$MNT/.vunify"
	rc=0
	vu scan "$G"/g1 "$G"/g2 >"$STATE/out" 2>"$STATE/err" || rc=$?
	((rc != 0 && rc != 3)) || die "exit code $rc"
	eq "$(ls -A "$VU_WORK/elsewhere")" "" "what was written through the link"
	is_private "$G/g1/$BIG"
}

@test "a pool that others may write to is refused or closed" {
	mkdir -m 0777 "$MNT/.vunify"
	rc=0
	vu scan "$G"/g1 "$G"/g2 >"$STATE/out" 2>"$STATE/err" || rc=$?
	((rc == 12)) || eq "$(stat -c %a "$MNT/.vunify")" 700 "mode of the pool after exit code $rc"
}

@test "a root inside a registered guest is refused, and not registered" {
	vx 0 scan "$G"/g1 "$G"/g2
	vx 12 scan "$G/g1/usr"
	vx 12 guests add "$G/g1/usr"
	vx 0 scan
}

@test "a mount point is refused, and not registered" {
	vx 0 scan "$G"/g1 "$G"/g2
	vx 12 scan "$MNT"
	vx 0 scan
}

@test "a refused file system is not registered, and stands in nobody's way" {
	mkdir "$VU_WORK/tmpfs"
	mount -t tmpfs none "$VU_WORK/tmpfs"
	mkdir "$VU_WORK/tmpfs/g0"
	vx 12 scan "$G"/g1 "$G"/g2 "$VU_WORK/tmpfs/g0"
	vx 10 unmerge
	vx 0 guests add "$VU_WORK/tmpfs/g0"
	vx 0 scan "$G"/g1 "$G"/g2
	vx 0 recover
	vx 0 why "$G/g1/usr/share/vu/big"
	has "$OUT" 'unified'
	vx 0 unmerge
	is_private "$G/g1/usr/share/vu/big"
}
