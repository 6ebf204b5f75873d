# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Power cuts on one file system: see power.c. A file for each file system, for these take their time.

# shellcheck source=tests/lib/vunify.bash
. "${BATS_TEST_DIRNAME:?}/../lib/vunify.bash"

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

# power FS LINE STATES OPTION...: all its output is in OUT.
power() {
	local fs=$1 line=$2 n=$3 rc=0 dir
	shift 3
	command -v "mkfs.$fs" >/dev/null || skip "no mkfs.$fs on this machine"
	dir=$(mktemp -d "$VU_DIR/power.XXXXXX")
	OUT=$("$POWER" "$@" "$fs" "$line" "$n" "$dir" "$VUNIFY" 2>&1) || rc=$?
	return "$rc"
}

# cuts FS LINE STATES OPTION...: nothing is lost. Nightly ten times as many, of other stories.
cuts() {
	local fs=$1 line=$2 n=$3 seed
	shift 3
	for ((seed = 1; seed <= ${VU_NIGHTLY:+10} + 0 || seed == 1; seed++)); do
		power "$fs" "$line" "$n" --seed="$seed" "$@" || die "${OUT:0:6000}" || return
		grep '^# proof' <<<"$OUT" >&3
	done
}

# lie FS LINE STATES OPTION...: a program that does not wait for its disk loses something. Where only
# one sync is left out, not in every story.
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

# each_lie FS: the syncs of a scan before its first object and before its first link, and that of an
# unmerge before its first exchange.
each_lie() {
	[[ -n ${VU_NIGHTLY:-} ]] || skip "only with VU_NIGHTLY=1"
	lie "$1" main 60 --op=0 --lie=0:0 || die "the first sync of scan" || return
	lie "$1" main 60 --op=0 --lie=0:1 || die "the second sync of scan" || return
	lie "$1" main 60 --op=4 --lie=4:0 || die "the sync of unmerge"
}
