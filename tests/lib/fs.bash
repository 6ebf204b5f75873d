# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034 # the variables are for the caller
# File systems for tests: loop images, made and cleaned up. For bats and for TAP scripts.
#
#   vu_fs_make TYPE SIZE_MB [MOUNT-OPTION,...]
#                            make and mount a fresh ext4, xfs or btrfs; sets VU_MNT (and VU_IMG).
#                            Fails, with the reason in VU_FS_WHY, if the machine cannot.
#   vu_fs_need TYPE SIZE_MB [OPTIONS]  the same, but skips the bats test when it cannot
#   vu_fs_clean              unmount and remove all that this process and its subshells made
#   vu_rm_tree DIR...        remove trees that may hold immutable files, never across mounts
#   vu_tmp                   make a fresh directory below TMPDIR, removed by vu_fs_clean; sets VU_DIR
#
# With VU_FS_IMAGES=DIR the image is made there and has no name any more when it is mounted: for a DIR in
# memory, where nothing must be left behind. VU_FS_MKFS: further options of mkfs.
#
# Everything lives in one directory, VU_WORK, named in the environment so that tests/run can clean
# up after a test that was killed.

vu_fs_init() {
	[[ -n ${VU_WORK:-} && -d $VU_WORK ]] && return 0
	VU_WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/vu-test.XXXXXXXX") || return 1
	export VU_WORK
}

vu_tmp() {
	vu_fs_init || return 1
	VU_DIR=$(mktemp -d "$VU_WORK/dir.XXXXXX")
}

vu_fs_make() {
	local type=$1 mb=$2 opts=${3:-} n
	VU_FS_WHY='' VU_MNT='' VU_IMG=''
	if [[ $(id -u) != 0 ]]; then
		VU_FS_WHY="mounting a loop image needs root"
		return 1
	fi
	if ! command -v "mkfs.$type" >/dev/null; then
		VU_FS_WHY="no mkfs.$type on this machine"
		return 1
	fi
	# What mkfs refuses to go below.
	case $type in
	xfs) ((mb >= 300)) || mb=300 ;;
	btrfs) ((mb >= 128)) || mb=128 ;;
	esac
	vu_fs_init || return 1
	n=$(mktemp -d "$VU_WORK/fs.XXXXXX") || return 1
	mkdir "$n/mnt" || return 1
	VU_IMG=$n/img
	[[ -z ${VU_FS_IMAGES:-} ]] || VU_IMG=$(mktemp -u "$VU_FS_IMAGES/vu-image.XXXXXXXX") || return 1
	truncate -s "${mb}M" "$VU_IMG" || return 1
	case $type in
	ext4) set -- -q -F -E lazy_itable_init=1,nodiscard ;;
	xfs) set -- -q -f ;;
	btrfs) set -- -q -f ;;
	*)
		VU_FS_WHY="fs.bash knows no file system $type"
		return 1
		;;
	esac
	# shellcheck disable=SC2086 # words
	if ! "mkfs.$type" "$@" ${VU_FS_MKFS:-} "$VU_IMG" >"$n/log" 2>&1; then
		VU_FS_WHY="mkfs.$type failed: $(tail -n 1 "$n/log")"
	elif ! mount -t "$type" -o "loop${opts:+,$opts}" "$VU_IMG" "$n/mnt" 2>"$n/log"; then
		VU_FS_WHY="cannot mount a loop image with $type: $(tail -n 1 "$n/log")"
	else
		VU_MNT=$n/mnt
	fi
	[[ -z ${VU_FS_IMAGES:-} ]] || rm -f "$VU_IMG"
	[[ -n $VU_MNT ]]
}

vu_fs_need() {
	vu_fs_make "$@" || skip "$VU_FS_WHY"
}

# Clears the immutable and append-only flags first. Stays on the tree's file systems.
vu_rm_tree() {
	local d
	for d in "$@"; do
		[[ -e $d || -L $d ]] || continue
		rm -rf --one-file-system -- "$d" 2>/dev/null && continue
		chattr -R -f -i -a -- "$d" >/dev/null 2>&1 || :
		rm -rf --one-file-system -- "$d" || return 1
	done
}

# Mounts below a directory, deepest first.
vu_fs_mounts() {
	local dir m
	dir=$(readlink -f -- "$1") || return 0
	while read -r _ _ _ _ m _; do
		printf -v m '%b' "$m"
		[[ $m == "$dir"/* ]] && printf '%s\n' "$m"
	done </proc/self/mountinfo | sort -r
}

vu_fs_clean_dir() {
	local work=$1 m dev back i
	[[ -n $work && -d $work ]] || return 0
	while IFS= read -r m; do
		for i in 1 2 3 4 5; do
			umount -- "$m" 2>/dev/null && break
			# Somebody may just be leaving; whoever stays loses the mount at the end.
			((i < 5)) && sleep 0.2 && continue
			umount -l -- "$m" 2>/dev/null || :
		done
	done < <(vu_fs_mounts "$work")
	while read -r dev back; do
		[[ $back == "$work"/* ]] && losetup -d "$dev" 2>/dev/null
	done < <(losetup -n -l -O NAME,BACK-FILE 2>/dev/null)
	vu_rm_tree "$work"
}

vu_fs_clean() {
	[[ -n ${VU_WORK:-} ]] || return 0
	cd / || :
	vu_fs_clean_dir "$VU_WORK"
	unset VU_WORK VU_MNT VU_IMG VU_DIR
}
