# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Power cuts: see power.c. There is a file for each file system, for these take their time: it names the
# tests, and is named after the file system; what each of them does is here.

# shellcheck source=tests/lib/vunify.bash
. "${BATS_TEST_DIRNAME:?}/../lib/vunify.bash"

FS=${BATS_TEST_FILENAME##*/power-}
FS=${FS%.bats}

setup_file() {
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY"
}

setup() {
	POWER=$VU_BUILD/tests/crash/power
	[[ $(id -u) == 0 ]] || skip "needs root"
	[[ -x $POWER ]] || skip "the tracer of system calls is for x86-64 only"
	[[ -c /dev/fuse ]] || skip "needs /dev/fuse"
	vu_tmp
}

teardown_file() {
	vu_fs_clean
}

# power LINE STATES OPTION...: all its output is in OUT.
power() {
	local line=$1 n=$2 rc=0 dir
	shift 2
	command -v "mkfs.$FS" >/dev/null || skip "no mkfs.$FS on this machine"
	dir=$(mktemp -d "$VU_DIR/power.XXXXXX")
	OUT=$("$POWER" "$@" "$FS" "$line" "$n" "$dir" "$VUNIFY" 2>&1) || rc=$?
	return "$rc"
}

# cuts LINE STATES OPTION...: nothing is lost. Nightly ten times as many, of other stories.
cuts() {
	local line=$1 n=$2 seed
	shift 2
	for ((seed = 1; seed <= ${VU_NIGHTLY:+10} + 0 || seed == 1; seed++)); do
		power "$line" "$n" --seed="$seed" "$@" || die "${OUT:0:6000}" || return
		grep '^# proof' <<<"$OUT" >&3
	done
}

# lie LINE STATES OPTION...: a program that does not wait for its disk loses something. Where only one
# sync is left out, not in every story.
lie() {
	local rc=0 seed
	for seed in 1 2 3 4 5; do
		rc=0
		power "$@" --seed="$seed" || rc=$?
		((rc == 0)) || break
	done
	eq "$rc" 1 "exit code: ${OUT:0:3000}"
	has "$OUT" '^# proof: .*\| [1-9][0-9]*$'
}

cuts_in_all() { cuts main 60; }

cuts_where_nobody_syncs() { cuts main 15 --quiet; }

cuts_with_shared_extents() { cuts reflink 12; }

cuts_in_an_eviction() { cuts evict 20 --op=2; }

cuts_with_the_catalog_inside() { cuts main 12 --catalog-inside; }

shutdowns() { cuts main 10 --shutdown; }

loses_without_its_syncs() { lie main 30 --lie=all; }

# The syncs of a scan before its first object and before its first link, and that of an unmerge before
# its first exchange. ext4 does without the first: to set the flag writes the pages of a file there (ext4_ioctl_setflags).
loses_without_one_sync() {
	[[ -n ${VU_NIGHTLY:-} ]] || skip "only with VU_NIGHTLY=1"
	[[ $FS == ext4 ]] || lie main 60 --op=0 --lie=0:0 || die "the first sync of scan" || return
	lie main 60 --op=0 --lie=0:1 || die "the second sync of scan" || return
	lie main 60 --op=4 --lie=4:0 || die "the sync of unmerge"
}
