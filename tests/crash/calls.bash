# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# vunify disturbed at its system calls, see every-call.c. For a bats file for each file system.
#
#   every_call HOW TYPE WHAT     HOW: kill or fail; WHAT: for the line "# proof:"
#
# VU_CASES: how many are tried (1010, and whatever must be; VU_NIGHTLY: all kills, 30,000 errors); VU_SEED:
# which; VU_CASE=N: only that one; VU_LIKE=PATTERN: those whose text fits it, "scan: fail * at statx *".
#
# By day each place where vunify can be killed is tried on one of the three file systems, and each recovery
# is looked at on one of them.

# shellcheck source=tests/lib/vunify.bash
. "${BATS_TEST_DIRNAME:?}/../lib/vunify.bash"

ROOMS=${VU_ROOMS:-4} # more than processors: vunify waits now and then

setup_file() {
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY" || return
	vu_tmp
	export DRIVER=$VU_DIR/every-call
	cd "$BATS_TEST_DIRNAME" || return
	"${CC:-cc}" -std=gnu17 -O1 -Wall -Wextra -D_GNU_SOURCE -o "$DRIVER" \
		every-call.c tour.c judge.c cases.c inject.c errnos.c room.c room-catalog.c \
		-lseccomp -lsqlite3
}

teardown() {
	[[ -z ${OUTER:-} ]] || VU_WORK=$OUTER
	[[ -z ${OUTER:-} ]] || vu_fs_clean
}

teardown_file() {
	vu_fs_clean
}

# In memory: what the disk does is of no interest, and there are thousands of syncs.
make_rooms() {
	local i dir
	unset VU_WORK
	vu_fs_init || return
	OUTER=$VU_WORK rooms=()
	mkdir "$OUTER/ram"
	mount -t tmpfs -o size=2g tmpfs "$OUTER/ram" || skip "no tmpfs can be mounted"
	export VU_WORK=$OUTER/ram
	for ((i = 0; i < ROOMS; i++)); do
		vu_fs_make "$1" 48 || skip "$VU_FS_WHY"
		rmdir "$VU_MNT/lost+found" 2>/dev/null || :
		dir=${VU_MNT%/mnt}
		mkdir "$dir/state"
		rooms+=("$dir")
	done
}

every_call() {
	local how=$1 type=$2 what=$3 rc=0 least=1000 cases=1010 third=-1 n lost missed
	[[ $(id -u) == 0 ]] || skip "needs root"
	make_rooms "$type" || return
	case $type in
	ext4) third=0 ;;
	xfs) third=1 ;;
	*) third=2 ;;
	esac
	if [[ -n ${VU_NIGHTLY:-} ]]; then
		cases=0 third=-1 # all; of errors there are 200,000 on each file system
		[[ $how == kill ]] || cases=30000
	fi
	[[ -z ${VU_CASES:-} ]] || cases=$VU_CASES least=$VU_CASES
	[[ -z ${VU_LIKE:-} ]] || least=1
	"$DRIVER" "$how" "$VUNIFY" "$cases" \
		"${VU_SEED:-1}" "$third" "${rooms[@]}" >"$OUTER/log" 2>&1 3>&- 4>&- || rc=$?
	read -r n lost missed < <(tail -n 1 "$OUTER/log") || :
	if ((rc)); then
		head -c 20000 "$OUTER/log"
		((rc == 1)) || return
	fi
	grep '^# seed' "$OUTER/log" >&3
	echo "# proof: $what, $type | $n | $lost" >&3
	eq "$lost" 0 "cases that lost something" || return
	((n >= least)) || die "only $n cases" || return
	((missed * 20 <= n)) || die "in $missed of $n cases the call never came"
}
