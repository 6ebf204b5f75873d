# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034 # the variables are for the caller
# A machine with a kernel of Debian's (tests/lib/kernel), under QEMU without KVM, for what this machine's
# kernel does not let one do. Nothing is mounted here, and no network is there.
#
#   vu_vm_need             can there be one here? Else the reason is in VU_VM_WHY
#   vu_vm_new              a directory for it, which vu_fs_clean removes; sets VU_VM
#   vu_vm_add PROGRAM...   programs of this machine, with their libraries, by path or name
#   vu_vm_file FILE PATH   a file, as PATH
#   vu_vm_disk TYPE MB     a disk with that file system: /m/TYPE in the machine
#   vu_vm_boot KERNEL SECONDS   runs /test in it (bash), whose output comes to stdout, lines with CR LF
#   vu_vm_back PATH        afterwards: that file of the machine, if VU_VM_BACK named it, on stdout
#
# The machine has /proc, /sys, /dev, a tmpfs on /tmp, cgroup2 and bpf where they belong, and busybox for
# what was not added.

VU_VM_MB=${VU_VM_MB:-640} VU_VM_CPUS=${VU_VM_CPUS:-1}
VU_VM_BACK='' # a path in the machine

vu_vm_need() {
	local tool
	VU_VM_WHY=''
	for tool in qemu-system-x86_64 busybox mkfs.ext4 mkfs.xfs mkfs.btrfs; do
		command -v "$tool" >/dev/null || VU_VM_WHY="needs $tool"
	done
	[[ -z $VU_VM_WHY ]]
}

vu_vm_new() {
	vu_tmp || return
	VU_VM=$VU_DIR VU_VM_DISKS=''
	mkdir -p "$VU_VM"/root/{bin,sbin,proc,sys,dev,tmp,m,etc,root,run,var/lib,var/log,lib64,usr/lib} || return
	ln -s bin "$VU_VM/root/usr/bin"
	rm "$VU_VM/root/usr/bin" && ln -s ../bin "$VU_VM/root/usr/bin"
	vu_vm_add busybox bash
	ln -s bash "$VU_VM/root/bin/sh"
}

# Libraries go where the loader looks for them.
vu_vm_add() {
	local p path lib
	for p in "$@"; do
		path=$(command -v "$p") || return
		cp -L "$path" "$VU_VM/root/bin/${p##*/}" || return
		while read -r lib; do
			[[ -e $VU_VM/root$lib ]] || {
				mkdir -p "$VU_VM/root${lib%/*}" && cp -L "$lib" "$VU_VM/root$lib"
			} || return
		done < <(ldd "$path" 2>/dev/null | grep -oE '/[^ ]+')
	done
}

vu_vm_file() {
	mkdir -p "$VU_VM/root${2%/*}" && cp "$1" "$VU_VM/root$2"
}

vu_vm_disk() {
	rm -f "$VU_VM/$1.img"
	truncate -s "$2M" "$VU_VM/$1.img" || return
	case $1 in
	ext4) mkfs.ext4 -q -F "$VU_VM/$1.img" ;;
	xfs) mkfs.xfs -q "$VU_VM/$1.img" ;;
	btrfs) mkfs.btrfs -q "$VU_VM/$1.img" ;;
	esac >/dev/null || return
	VU_VM_DISKS+=" $1"
}

# The first process: sets up what is said above, runs the test, and switches the machine off.
vu_vm_init() {
	cat <<-'EOF'
		#!/bin/busybox sh
		export PATH=/bin HOME=/root LC_ALL=C
		busybox mount -t proc proc /proc
		busybox mount -t sysfs sys /sys
		busybox mount -t devtmpfs dev /dev
		busybox ln -s /proc/self/fd /dev/fd
		busybox mount -t tmpfs tmp /tmp
		busybox mount -t tmpfs run /run
		busybox mount -t cgroup2 cg /sys/fs/cgroup
		busybox mount -t securityfs sec /sys/kernel/security
		busybox mount -t bpf bpf /sys/fs/bpf
		while read -r module; do busybox insmod "/modules/$module"; done </modules/order
		for a in $(busybox --list); do [ -e "/bin/$a" ] || busybox ln -s busybox "/bin/$a"; done
		n=a
		for type in $(cat /disks); do
			busybox mkdir -p "/m/$type"
			busybox mount -t "$type" "/dev/vd$n" "/m/$type" || echo "no disk for $type"
			n=$(echo "$n" | busybox tr a-y b-z)
		done
		echo "@@ begin"
		bash /test 2>&1
		echo "@@ end $?"
		[ ! -s /back ] || busybox tar -cf "/dev/vd$n" -C / "$(cat /back)"
		busybox sync
		busybox poweroff -f
	EOF
}

vu_vm_boot() {
	local kernel=$1 limit=$2 disks=() type args
	vu_vm_init >"$VU_VM/root/init" && chmod 755 "$VU_VM/root/init" || return
	rm -rf "$VU_VM/root/modules" && cp -r "$kernel/modules" "$VU_VM/root/modules" || return
	printf '%s\n' "$VU_VM_DISKS" >"$VU_VM/root/disks"
	printf '%s' "${VU_VM_BACK#/}" >"$VU_VM/root/back"
	rm -f "$VU_VM/back.img"
	(cd "$VU_VM/root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$VU_VM/initrd" || return
	for type in $VU_VM_DISKS; do
		disks+=(-drive "file=$VU_VM/$type.img,if=virtio,format=raw,cache=unsafe")
	done
	[[ -z $VU_VM_BACK ]] || {
		truncate -s 16M "$VU_VM/back.img" # as an archive: where the file ends it says itself
		disks+=(-drive "file=$VU_VM/back.img,if=virtio,format=raw,cache=unsafe")
	} || return
	# no_timer_check: where others have the processors, the timer of the machine is late, and the kernel would panic
	args="console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off no_timer_check"
	timeout -k 5 "$limit" qemu-system-x86_64 -accel tcg -cpu max -smp "$VU_VM_CPUS" -m "$VU_VM_MB" \
		-nodefaults -display none -monitor none -serial stdio -no-reboot \
		-kernel "$kernel/vmlinuz" -initrd "$VU_VM/initrd" -append "$args" "${disks[@]}" </dev/null
}

vu_vm_back() {
	tar -xOf "$VU_VM/back.img" "${1#/}" 2>/dev/null
}
