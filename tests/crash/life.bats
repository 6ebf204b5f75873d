#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify clone and remove, disturbed at their system calls (life.c). At each change behind each other kind of change, and at
# VU_CASES (40) more calls; VU_NIGHTLY: at all of them, and on XFS and Btrfs too.

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

# disturbed HOW TYPE WHAT
disturbed() {
	local rc=0 cases=${VU_CASES:-40} n lost missed
	[[ $(id -u) == 0 ]] || skip "needs root"
	[[ -z ${VU_NIGHTLY:-} || -n ${VU_CASES:-} ]] || cases=0
	unset VU_WORK
	vu_fs_init || return
	OUTER=$VU_WORK
	mkdir "$OUTER/ram"
	mount -t tmpfs -o size=1g tmpfs "$OUTER/ram" || skip "no tmpfs can be mounted"
	export VU_WORK=$OUTER/ram
	vu_fs_make "$2" "${4:-48}" || skip "$VU_FS_WHY"
	rmdir "$VU_MNT/lost+found" 2>/dev/null || :
	mkdir "${VU_MNT%/mnt}/state"
	"$DRIVER" "$1" "$VUNIFY" "$cases" "${VU_SEED:-1}" "${VU_MNT%/mnt}" >"$OUTER/log" 2>&1 3>&- 4>&- || rc=$?
	read -r n lost missed < <(tail -n 1 "$OUTER/log") || :
	if ((rc)); then
		head -c 20000 "$OUTER/log"
		((rc == 1)) || return
	fi
	echo "# proof: $3, $2 | $n | $lost" >&3
	eq "$lost" 0 "cases that lost something" || return
	((n >= 100 || ${VU_CASES:-100} < 100)) || die "only $n cases" || return
	((missed * 20 <= n)) || die "in $missed of $n cases the call never came"
}

@test "I3 I4 I8: clone and remove killed at system calls" {
	disturbed kill ext4 "clone and remove: kill -9 at system calls"
}

@test "I3 I8 I10: clone and remove with errors of system calls" {
	disturbed fail ext4 "clone and remove: errors of system calls"
}

@test "I3 I4 I8: the same on XFS and Btrfs" {
	[[ -n ${VU_NIGHTLY:-} ]] || skip "only with VU_NIGHTLY"
	disturbed kill xfs "clone and remove: kill -9 at system calls" 320
	teardown
	disturbed kill btrfs "clone and remove: kill -9 at system calls" 128
}
