#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# I12, gate: which guests are refused because a process in them could lift the immutable flag, or reach
# the pool or the catalog. With real containers of systemd-nspawn, and with processes made by hand.

load ../lib/vunify

BIG=usr/share/vu/big
SYS_CHROOT=18 LINUX_IMMUTABLE=9

setup_file() {
	farm_template 2
	export GATE_DIR=$BATS_FILE_TMPDIR
	echo 0 >"$GATE_DIR/cases"
	cc_test "$VU_TOP/tests/lib/guest-proc.c" "$GATE_DIR/guest-proc"
	"${CC:-cc}" -static -O1 -D_GNU_SOURCE -o "$GATE_DIR/guest-proc-static" \
		"$VU_TOP/tests/lib/guest-proc.c" -pthread
}

setup() {
	farm
	ready_guests
}

ready_guests() {
	local g
	for g in g1 g2; do
		cp "$GATE_DIR/guest-proc-static" "$G/$g/bin/guest-proc"
		mkdir -p "$G/$g/mnt" "$G/$g/usr/lib"
		[[ -e $G/$g/usr/lib/os-release ]] || cp "$G/$g/etc/os-release" "$G/$g/usr/lib/os-release"
	done
	P=$GATE_DIR/guest-proc
}

teardown() {
	farm_down
}

teardown_file() {
	vu_fs_clean
	echo "# proof: capability gate, guests | $(<"$GATE_DIR/cases") | $(($(<"$GATE_DIR/cases") - $(cat "$GATE_DIR/held" 2>/dev/null | wc -l)))" >&3
}

begin() {
	echo $(($(<"$GATE_DIR/cases") + 1)) >"$GATE_DIR/cases"
}

held() {
	echo >>"$GATE_DIR/held"
}

# refused PATTERN: exit code 12, for g2, by that reason, with the remedy; and nothing is done.
refused() {
	begin
	vx 12 scan "$G/g1" "$G/g2"
	has "$ERR" 'refused for the guest: g2: '
	has "$ERR" "$1"
	has "$ERR" 'trust-guests'
	is_private "$G/g1/$BIG"
	eq "$(n_objects)" 0 objects
	held
}

accepted() {
	begin
	vx 0 scan "$G/g1" "$G/g2"
	same "$G/g1/$BIG" "$G/g2/$BIG"
	held
}

FLAG='could lift the immutable flag'
SHOWN='could reach .*: a mount shows it there'
BEYOND='could reach .*: it may leave its root directory'

# nspawn OPTION...: a container in g2 that has started, without waiting for its end.
nspawn() {
	command -v systemd-nspawn >/dev/null || skip "needs systemd-nspawn"
	# It wants to set up a cgroup of systemd's hierarchy, which a machine without systemd lacks.
	background systemd-nspawn -q --register=no --keep-unit --console=pipe -D "$G/g2" "$@" \
		/bin/guest-proc ready 2>"$STATE/nspawn" || skip "systemd-nspawn cannot run here: $(tail -n 1 "$STATE/nspawn")"
}

@test "I12: nspawn without a user namespace is refused" {
	nspawn
	refused "$FLAG"
}

@test "I12: nspawn with the capability dropped is accepted" {
	nspawn --drop-capability=CAP_LINUX_IMMUTABLE
	accepted
}

@test "I12: nspawn in a user namespace is accepted" {
	nspawn --private-users=524288:65536 --private-users-ownership=off
	accepted
}

@test "I12: nspawn in a user namespace that is the host's user is refused for what it could lift, or not at all" {
	nspawn --private-users=identity --private-users-ownership=off
	accepted
}

@test "I12: nspawn that is shown the file system is refused, read-only too" {
	nspawn --drop-capability=CAP_LINUX_IMMUTABLE --bind="$MNT:/mnt"
	refused "$SHOWN"
	end_processes
	nspawn --drop-capability=CAP_LINUX_IMMUTABLE --bind-ro="$MNT:/mnt"
	refused "$SHOWN"
}

@test "I12: nspawn that is shown another directory of the file system is accepted" {
	mkdir "$MNT/shared"
	nspawn --drop-capability=CAP_LINUX_IMMUTABLE --bind="$MNT/shared:/mnt"
	accepted
}

@test "I12: nspawn that is shown the catalog, or a directory above it, is refused" {
	nspawn --drop-capability=CAP_LINUX_IMMUTABLE --bind="$STATE:/mnt"
	refused "$SHOWN"
	has "$ERR" "reach $STATE:"
	end_processes
	nspawn --drop-capability=CAP_LINUX_IMMUTABLE --bind="$VU_WORK:/mnt"
	refused "$SHOWN"
}

@test "I12: nspawn that is shown a directory in the pool is refused" {
	vx 0 scan "$G/g1" "$G/g2"
	vx 0 unmerge "$G/g1/usr/share" "$G/g2/usr/share"
	nspawn --drop-capability=CAP_LINUX_IMMUTABLE --bind="$MNT/.vunify/objects:/mnt"
	begin
	vx 12 scan "$G/g1" "$G/g2"
	has "$ERR" "$SHOWN"
	held
}

@test "I12: nspawn in a user namespace that is shown the file system is accepted: it cannot enter the pool" {
	nspawn --private-users=524288:65536 --private-users-ownership=off --bind="$MNT:/mnt"
	accepted
	pid=$(pgrep -x guest-proc -P "$(pgrep -P "$BG_PID" | head -n 1)" | head -n 1)
	[[ -n $pid ]] || pid=$(pgrep -n -x guest-proc)
	! nsenter -t "$pid" -U -m -S 0 -G 0 /bin/guest-proc touch /mnt/.vunify/mine 2>"$STATE/err" || die "it could"
	has "$(<"$STATE/err")" 'Permission denied'
}

@test "I12: a process in a chroot is refused" {
	background "$P" chroot "$G/g2" ready
	refused "$FLAG"
}

@test "I12: a process in a chroot without the capability can leave it, and is refused" {
	background "$P" chroot "$G/g2" drop $LINUX_IMMUTABLE ready
	refused "$BEYOND"
	# It is no idle talk.
	mkdir -m 0700 "$MNT/.vunify"
	"$P" chroot "$G/g2" drop $LINUX_IMMUTABLE escape touch "$MNT/.vunify/mine"
	[[ -e $MNT/.vunify/mine ]]
}

@test "I12: a process in a chroot that can neither lift the flag nor leave is accepted" {
	background "$P" chroot "$G/g2" drop $LINUX_IMMUTABLE drop $SYS_CHROOT ready
	accepted
	! "$P" chroot "$G/g2" drop $LINUX_IMMUTABLE drop $SYS_CHROOT escape 2>"$STATE/err" || die "it left"
}

@test "I12: a process that is nobody, but could be root by a set-user-ID program, is refused" {
	background "$P" chroot "$G/g2" drop $LINUX_IMMUTABLE uid 65534 ready
	refused "$BEYOND"
}

@test "I12: a process in a mount namespace of its own is accepted without the capability" {
	background "$P" pivot "$G/g2" drop $LINUX_IMMUTABLE ready
	accepted
}

@test "I12: a process in a chroot of a mount namespace of its own is refused" {
	background "$P" mounts chroot "$G/g2" drop $LINUX_IMMUTABLE ready
	refused "$BEYOND"
	end_processes
	background "$P" mounts chroot "$G/g2" ready
	refused "$FLAG"
}

@test "I12: a process that is shown the file system, and hides that by a further chroot, is refused" {
	background "$P" mounts bind "$MNT" "$G/g2/mnt" pivot "$G/g2" drop $LINUX_IMMUTABLE ready
	refused "$SHOWN"
	end_processes
	background "$P" mounts bind "$MNT" "$G/g2/mnt" pivot "$G/g2" chroot /usr drop $LINUX_IMMUTABLE ready
	refused "$BEYOND"
	end_processes
	background "$P" pivot "$G/g2" drop $LINUX_IMMUTABLE chroot /usr ready
	accepted
}

@test "I12: a thread that alone is shown the file system is refused" {
	background "$P" pivot "$G/g2" drop $LINUX_IMMUTABLE ready
	accepted
	end_processes
	vx 0 unmerge
	background "$P" mounts chroot "$G/g2" drop $SYS_CHROOT drop $LINUX_IMMUTABLE \
		thread mounts bind / /mnt ready
	accepted # its own root is all that it can show itself
	end_processes
	vx 0 unmerge
	mount --bind "$MNT" "$G/g2/mnt"
	background "$P" chroot "$G/g2" drop $SYS_CHROOT drop $LINUX_IMMUTABLE thread mounts keep /mnt ready
	umount "$G/g2/mnt"
	refused "$SHOWN"
}

@test "I12: a user namespace of root itself does not help against leaving a chroot" {
	background "$P" user mounts chroot "$G/g2" ready
	refused "$BEYOND"
	mkdir -m 0700 "$MNT/.vunify"
	"$P" user mounts chroot "$G/g2" escape touch "$MNT/.vunify/mine"
}

@test "I12: a private user namespace does" {
	# The directories above may be closed to others.
	background "$P" cd "$G/g2" private mounts chroot . ready
	accepted
	! "$P" cd "$G/g2" private mounts chroot . escape touch "$MNT/.vunify/mine" 2>"$STATE/err" || die "it could"
	[[ ! -e $MNT/.vunify/mine ]]
}

@test "I12: a private user namespace to which an idmapped mount gives the pool is refused" {
	"$P" idmapped "$MNT" "$G/g2/mnt" || skip "no idmapped mounts here"
	background "$P" cd "$G/g2" private mounts chroot . ready
	refused "$SHOWN"
	mkdir -m 0700 "$MNT/.vunify"
	"$P" cd "$G/g2" private mounts chroot . touch /mnt/.vunify/mine
	[[ -e $MNT/.vunify/mine ]]
	umount "$G/g2/mnt"
}

@test "I12: unshare(1) with user and mount namespaces, and with a PID namespace" {
	background unshare -Urm "$P" chroot "$G/g2" ready
	refused "$BEYOND"
	end_processes
	background unshare -Urm "$P" pivot "$G/g2" ready
	accepted
	end_processes
	vx 0 unmerge
	background unshare -m "$P" chroot "$G/g2" ready
	refused "$FLAG"
	end_processes
	background unshare --pid --fork --kill-child "$P" chroot "$G/g2" ready
	refused "$FLAG"
	end_processes
	background unshare --pid --fork --kill-child "$P" pivot "$G/g2" drop $LINUX_IMMUTABLE ready
	accepted
}

@test "I12: --trust-guests and trust = yes open the gate for both reasons" {
	background "$P" chroot "$G/g2" drop $LINUX_IMMUTABLE ready
	refused "$BEYOND"
	vx 12 scan -n
	vx 0 scan --trust-guests
	same "$G/g1/$BIG" "$G/g2/$BIG"
	vx 0 unmerge
	vx 0 guests set g2 --trust yes
	accepted
	vx 0 unmerge
	vx 0 guests set g2 --trust no
	refused "$BEYOND"
	conf <<<$'[policy]\nmin_size = 1\ntrust_domain = ""'
	accepted
}

@test "I12: a guest whose root holds the catalog is refused, with processes or without" {
	mkdir -p "$G/g2/var/lib/vunify"
	begin
	vx 12 --catalog "$G/g2/var/lib/vunify/catalog.db" scan "$G/g1" "$G/g2"
	has "$ERR" 'g2: .*/var/lib/vunify lies in its root'
	is_private "$G/g1/$BIG"
	held
	vx 0 --catalog "$G/g2/var/lib/vunify/catalog.db" scan --trust-guests "$G/g1" "$G/g2"
}

@test "I12: a process of the host that works in a guest's tree is the admin's affair" {
	background bash -c 'cd "$0" && echo ready && read -r' "$G/g2"
	accepted
}

@test "I12: a guest with 20,000 mounts does not hold up the rest" {
	background "$P" pivot "$G/g2" many 20000 /mnt drop $LINUX_IMMUTABLE ready
	t0=$SECONDS
	accepted
	((SECONDS - t0 < 20)) || die "it took $((SECONDS - t0)) s"
}

@test "I12: on XFS and btrfs a mount that shows the file system is seen as well" {
	farm_down
	for type in xfs btrfs; do
		farm_on $type 300
		vu_guests_make "$G" 2
		ready_guests
		mount --bind "$MNT" "$G/g2/mnt"
		background "$P" chroot "$G/g2" drop $SYS_CHROOT drop $LINUX_IMMUTABLE ready
		refused "$SHOWN"
		umount "$G/g2/mnt"
		accepted
		farm_down
	done
}

# Subvolumes have numbers of their own, but one superblock.
@test "I12: on btrfs a mount of another subvolume is none of the pool" {
	farm_down
	farm_on btrfs 300
	vu_guests_make "$G" 2
	ready_guests
	btrfs -q subvolume create "$MNT/other" || skip "cannot make a subvolume"
	mount --bind "$MNT/other" "$G/g2/mnt"
	background "$P" chroot "$G/g2" drop $SYS_CHROOT drop $LINUX_IMMUTABLE ready
	accepted
	end_processes
	vx 0 unmerge
	umount "$G/g2/mnt"
	mount -o subvolid=5 "$(losetup -n -O NAME -j "$VU_IMG" | head -n 1)" "$G/g2/mnt"
	background "$P" chroot "$G/g2" drop $SYS_CHROOT drop $LINUX_IMMUTABLE ready
	refused "$SHOWN"
}

# hung_root HOW...: a file system at g2/mnt that a process of the guest has as its root directory, and
# that does not answer any more.
hung_root() {
	[[ -c /dev/fuse ]] || skip "needs /dev/fuse"
	cc_test "$VU_TOP/tests/lib/fuse-silent.c" "$STATE/fuse-silent"
	background "$STATE/fuse-silent" "$G/g2/mnt" || skip "cannot mount a FUSE file system"
	local in=$BG_IN out=$BG_OUT line
	exec {in}>&"$in" {out}<&"$out"
	background "$P" "$@" ready
	echo >&"$in"
	read -r -t 10 line <&"$out"
	eq "$line" silent "what the file system said"
	FUSE_IN=$in
}

@test "I12, I6: a process whose root is on a file system that hangs holds up nothing" {
	hung_root chroot "$G/g2/mnt"
	VX_SECONDS=20 refused "$FLAG"
	end_processes
	umount -l "$G/g2/mnt"
	accepted
}

@test "I12, I6: the same in a mount namespace of its own" {
	hung_root pivot "$G/g2" chroot /mnt
	VX_SECONDS=20 refused "$FLAG"
	end_processes
	umount -l "$G/g2/mnt"
	accepted
}
