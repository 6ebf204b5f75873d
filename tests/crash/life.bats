#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify clone, remove, export and import, disturbed at their system calls (life.c). Clone and remove on ext4 at each change
# behind each other kind of change, and at VU_CASES (40) more calls; a few of all four are killed on XFS, and get errors on Btrfs
# (import on ext4 is in tests/cli/import.bats). VU_NIGHTLY: all of them at all, or VU_CASES, calls on all three.

# shellcheck source=tests/lib/vunify.bash
. "${BATS_TEST_DIRNAME:?}/../lib/vunify.bash"

setup_file() {
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY" || return
	vu_tmp
	export DRIVER=$VU_DIR/life
	cd "$BATS_TEST_DIRNAME" || return
	"${CC:-cc}" -std=gnu17 -O1 -Wall -Wextra -D_GNU_SOURCE -o "$DRIVER" \
		life.c inject.c errnos.c room.c -lseccomp -lsqlite3
}

teardown() {
	[[ -z ${OUTER:-} ]] || VU_WORK=$OUTER
	[[ -z ${OUTER:-} ]] || vu_fs_clean
}

teardown_file() {
	vu_fs_clean
}

# disturbed HOW TYPE MB CASES COMMAND...
disturbed() {
	local how=$1 type=$2 mb=$3 cases=$4 least=100 rc=0 n lost missed what
	shift 4
	[[ $(id -u) == 0 ]] || skip "needs root"
	[[ -z ${VU_NIGHTLY:-} ]] || cases=0
	cases=${VU_CASES:-$cases}
	((cases >= 0 && ${VU_CASES:-100} >= 100)) || least=1
	unset VU_WORK
	vu_fs_init || return
	OUTER=$VU_WORK
	mkdir "$OUTER/ram"
	mount -t tmpfs -o size=1g tmpfs "$OUTER/ram" || skip "no tmpfs can be mounted"
	export VU_WORK=$OUTER/ram
	vu_fs_make "$type" "$mb" || skip "$VU_FS_WHY"
	rmdir "$VU_MNT/lost+found" 2>/dev/null || :
	mkdir "${VU_MNT%/mnt}/state"
	"$DRIVER" "$how" "$VUNIFY" "$cases" "${VU_SEED:-1}" "${VU_MNT%/mnt}" "$@" >"$OUTER/log" 2>&1 3>&- 4>&- || rc=$?
	read -r n lost missed < <(tail -n 1 "$OUTER/log") || :
	if ((rc)); then
		head -c 20000 "$OUTER/log"
		((rc == 1)) || return
	fi
	what='kill -9 at'
	[[ $how == kill ]] || what='errors of'
	printf -v names '%s, ' "$@"
	echo "# proof: ${names%, }: $what system calls, $type | $n | $lost" >&3
	eq "$lost" 0 "cases that lost something" || return
	((n >= least)) || die "only $n cases" || return
	((missed * 20 <= n)) || die "in $missed of $n cases the call never came"
}

ALL=(clone remove import export)

nightly() {
	[[ -n ${VU_NIGHTLY:-} ]] || skip "only with VU_NIGHTLY=1"
}

@test "I3 I4 I8: clone and remove killed at system calls" {
	disturbed kill ext4 48 40 clone remove
}

@test "I3 I8 I10: clone and remove with errors of system calls" {
	disturbed fail ext4 48 40 clone remove
}

@test "I3 I4 I8: import and export killed at system calls" {
	nightly
	disturbed kill ext4 48 40 import export
}

@test "I3 I8 I10: import and export with errors of system calls" {
	nightly
	disturbed fail ext4 48 40 import export
}

@test "I3 I4 I8: clone, remove, import and export killed on XFS" {
	disturbed kill xfs 320 -8 "${ALL[@]}"
}

@test "I3 I4 I8: clone, remove, import and export killed on Btrfs" {
	nightly
	disturbed kill btrfs 128 -8 "${ALL[@]}"
}

@test "I3 I8 I10: clone, remove, import and export with errors on XFS" {
	nightly
	disturbed fail xfs 320 -8 "${ALL[@]}"
}

@test "I3 I8 I10: clone, remove, import and export with errors on Btrfs" {
	disturbed fail btrfs 128 -8 "${ALL[@]}"
}
