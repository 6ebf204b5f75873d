#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify guests --discover: guests of container tools, at their own places. /var/lib and /etc are others in a mount
# namespace of the test's own: nothing of the host is touched.

FARM_GUESTS=1
load ../lib/farm

# there COMMAND...: in the namespace, with the test's file system as /var/lib
there() {
	unshare -m bash -c 'mount --make-rprivate / && mount --bind "$0" /etc && mount --bind "$1" /var/lib && shift && "$@"' \
		"$STATE/etc" "$MNT" "$@"
}

host() {
	command -v unshare >/dev/null || skip "needs unshare"
	mkdir -p "$STATE/etc"/{lxc,schroot/chroot.d}
	cp /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.cache "$STATE/etc/"
}

# root PATH: a small tree below the file system
root() {
	mkdir -p "$MNT/$1/usr/bin"
}

# discover CODE: the JSON into OUT
discover() {
	local rc=0
	OUT=$(there "$VUNIFY" --config "$CONF" --catalog "$CAT" guests --discover --json 2>"$STATE/err") || rc=$?
	eq "$rc" "$1" "exit code ($(<"$STATE/err"))"
}

# found TOOL NAME PATH UNIFY [WHY]
found() {
	jq -e --arg t "$1" --arg n "$2" --arg p "$3" --arg u "$4" --arg w "${5:-}" '.proposals | map(select(.tool == $t and
		.name == $n and .path == $p and .unify == $u and ((.why // "") | contains($w)) and ($w != "" or .why == null))) | length == 1' \
		<<<"$OUT" >/dev/null || die "no $* in $OUT"
}

n_found() {
	eq "$(jq '.proposals | length' <<<"$OUT")" "$1" "how many were found"
}

@test "nothing is there; JSON and text" {
	host
	discover 0
	n_found 0
	OUT=$(there "$VUNIFY" --config "$CONF" --catalog "$CAT" guests --discover)
	has "$OUT" '^No guests of LXC'
	[[ ! -e $CAT ]] || die "it made a catalog"
}

@test "each tool's directories" {
	host
	root lxc/web/rootfs
	root incus/storage-pools/default/containers/c1/rootfs
	root lxd/storage-pools/p/containers/old/rootfs
	root machines/m1
	: >"$MNT/machines/image.raw"
	root containers/storage/vfs/dir/0123abcd
	root docker/vfs/dir/4567
	root vservers/v1
	mkdir "$MNT/vservers/.defaults" "$MNT/vservers/empty"
	discover 0
	found lxc web /var/lib/lxc/web/rootfs yes
	found incus c1 /var/lib/incus/storage-pools/default/containers/c1/rootfs yes
	found lxd old /var/lib/lxd/storage-pools/p/containers/old/rootfs yes
	found machined m1 /var/lib/machines/m1 yes
	found podman 0123abcd /var/lib/containers/storage/vfs/dir/0123abcd yes
	found docker 4567 /var/lib/docker/vfs/dir/4567 yes
	found vserver v1 /var/lib/vservers/v1 yes
	found vserver empty /var/lib/vservers/empty no 'no root tree'
	n_found 8
	OUT=$(there "$VUNIFY" --config "$CONF" --catalog "$CAT" guests --discover)
	has "$OUT" '^  vunify guests add --name=web /var/lib/lxc/web/rootfs$'
	hasnt "$OUT" 'guests add.*empty'
}

@test "containers that lxc-create made, and another lxcpath" {
	command -v lxc-create >/dev/null || skip "needs lxc"
	command -v busybox >/dev/null || skip "needs busybox-static"
	host
	mkdir "$MNT/lxc" "$MNT/elsewhere"
	there lxc-create -n real -t busybox -f /dev/null >"$STATE/log" 2>&1 || die "$(<"$STATE/log")"
	discover 0
	found lxc real /var/lib/lxc/real/rootfs yes
	n_found 1
	echo 'lxc.lxcpath = /var/lib/elsewhere' >"$STATE/etc/lxc/lxc.conf"
	there lxc-create -n other -t busybox -f /dev/null >"$STATE/log" 2>&1 || die "$(<"$STATE/log")"
	discover 0
	found lxc other /var/lib/elsewhere/other/rootfs yes
	n_found 1
}

@test "LXC: where the configuration says that the root is; and what is no directory" {
	host
	root trees/a
	root trees/b
	root trees/old
	local c
	for c in a b old over lv bad; do
		mkdir -p "$MNT/lxc/$c/rootfs"
	done
	printf '# x\nlxc.rootfs.path=dir:/var/lib/trees/a\n' >"$MNT/lxc/a/config"
	printf 'lxc.rootfs.path = /nowhere\n  lxc.rootfs.path   =  /var/lib/trees/b  \r\n' >"$MNT/lxc/b/config"
	echo 'lxc.rootfs = /var/lib/trees/old' >"$MNT/lxc/old/config"
	echo 'lxc.rootfs.path = overlay:/var/lib/trees/a:/var/lib/lxc/over/delta' >"$MNT/lxc/over/config"
	echo 'lxc.rootfs.path = /dev/vg/lv' >"$MNT/lxc/lv/config"
	mkfifo "$MNT/lxc/bad/config"
	discover 3
	has "$(<"$STATE/err")" 'lxc/bad/config'
	found lxc a /var/lib/trees/a yes
	found lxc b /var/lib/trees/b yes
	found lxc old /var/lib/trees/old yes
	found lxc over /var/lib/trees/a:/var/lib/lxc/over/delta no overlay
	found lxc lv /dev/vg/lv no 'block device'
}

@test "schroot: schroot.conf and chroot.d" {
	host
	local c
	for c in sid plain two not; do
		root "chroots/$c"
	done
	printf '# [no]\n[sid]\ntype=directory\ndirectory=/var/lib/chroots/sid\nusers=x\n[lvm]\ntype=lvm-snapshot\ndevice=/dev/x\n' \
		>"$STATE/etc/schroot/schroot.conf"
	printf '[plain]\ndirectory = /var/lib/chroots/plain\n\n[two]\ndirectory=/var/lib/chroots/two\ntype=directory\n[gone]\ndirectory=/gone\n' \
		>"$STATE/etc/schroot/chroot.d/more"
	printf '[not]\ndirectory=/var/lib/chroots/not\n' >"$STATE/etc/schroot/chroot.d/more.dpkg-old"
	discover 0
	for c in sid plain two; do
		found schroot "$c" "/var/lib/chroots/$c" yes
	done
	found schroot gone /gone no 'No such file'
	n_found 4
}

@test "why a root cannot be unified, or not with all; and what is registered already" {
	host
	local m=machines
	for g in ok shifted tmp mnt running guest; do
		root "$m/$g"
	done
	chown 100000:100000 "$MNT/$m/shifted"
	ln -s /var/lib/$m/ok/usr "$MNT/$m/inside"
	mkdir "$MNT/$m/ok/usr/usr"
	vx 0 guests add --name=mine "$MNT/$m/guest"
	mkdir -p "$MNT/lxc/again"
	echo "lxc.rootfs.path = /var/lib/$m/ok" >"$MNT/lxc/again/config"
	cp "$(command -v busybox)" "$MNT/$m/running/usr/bin/busybox" || skip "needs busybox-static"
	OUT=$(there bash -c '
		cd /var/lib/machines && mount -t tmpfs none tmp && mkdir tmp/usr && mount --bind mnt mnt || exit 1
		chroot running /usr/bin/busybox sleep 100 &
		pid=$!
		while [[ $(readlink /proc/$pid/root) == / ]]; do sleep 0.02; done
		"$@"
		kill $pid' - "$VUNIFY" --config "$CONF" --catalog "$CAT" guests --discover --json 3>&- 4>&-)
	found lxc again /var/lib/$m/ok yes
	found machined shifted /var/lib/$m/shifted yes '100000'
	found machined tmp /var/lib/$m/tmp no tmpfs
	found machined mnt /var/lib/$m/mnt no 'mount point'
	found machined running /var/lib/$m/running trust CAP_LINUX_IMMUTABLE
	found machined mine /var/lib/$m/guest registered
	found machined inside /var/lib/$m/ok/usr no 'lie in each other'
	n_found 7
}

@test "a subvolume of its own can share on the disk only" {
	host
	vu_fs_need btrfs 128
	MNT=$VU_MNT
	mkdir -p "$MNT/machines"
	btrfs -q subvolume create "$MNT/machines/sub" >/dev/null
	root machines/sub
	root machines/dir
	discover 0
	found machined dir /var/lib/machines/dir yes
	found machined sub /var/lib/machines/sub disk subvolume
}
