#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The supervisor of `vunify run` killed, or with an error, at every system call by which it breaks a link; and the
# process that waits for it killed or traced. See break-calls.c.
#
# VU_CASES: how many of both kinds on each file system (80; VU_NIGHTLY: all); VU_SEED, VU_CASE, VU_LIKE: see there.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

setup_file() {
	[[ $(uname -m) == x86_64 ]] || return 0
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY" || return
	vu_tmp
	export DRIVER=$VU_DIR/break-calls
	cd "$BATS_TEST_DIRNAME" || return
	"${CC:-cc}" -std=gnu17 -O1 -Wall -Wextra -D_GNU_SOURCE -o "$DRIVER" break-calls.c break-files.c break-run.c \
		break-trace.c inject.c errnos.c -lseccomp
	cc_test -static break-guest.c "$VU_DIR/break-guest"
}

teardown() {
	farm_down
}

teardown_file() {
	vu_fs_clean
}

breaks_on() {
	local rc=0 cases=80 g kills lost failures spoilt missed
	[[ $(id -u) == 0 ]] || skip "needs root"
	[[ $(uname -m) == x86_64 ]] || skip "the tracer of system calls is for x86-64 only"
	unset VU_WORK
	vu_fs_init || return
	# In memory: what the disk does is of no interest, and there are many syncs.
	mkdir "$VU_WORK/ram"
	mount -t tmpfs -o size=500m tmpfs "$VU_WORK/ram" || skip "no tmpfs can be mounted"
	VU_WORK=$VU_WORK/ram vu_fs_need "$1" 64
	MNT=$VU_MNT G=$VU_MNT/guests
	STATE=$VU_WORK/state CONF=$VU_WORK/state/vunify.conf CAT=$VU_WORK/state/catalog.db
	mkdir -p "$STATE" "$G"/g{1,2}/{bin,usr,proc,dev,tmp,sys,run}
	cp "${DRIVER%/*}/break-guest" "$G/g1/bin/break-guest"
	conf </dev/null
	for g in "$G"/g?; do
		vx 0 guests add "$g"
	done
	[[ -z ${VU_NIGHTLY:-} ]] || cases=0
	timeout -k 5 "${VU_NIGHTLY:+5}500" "$DRIVER" "$MNT" "${VU_CASES:-$cases}" \
		"${VU_SEED:-1}" "$STATE/said" "$VUNIFY" --config "$CONF" --catalog "$CAT" \
		>"$STATE/log" 2>&1 3>&- 4>&- || rc=$?
	((rc <= 1)) || die "exit code $rc: $(head -c 4000 "$STATE/log"; tail -n 5 "$STATE/said")"
	read -r kills lost failures spoilt missed < <(tail -n 1 "$STATE/log")
	((rc == 0)) || head -c 20000 "$STATE/log"
	echo "# proof: kill -9 at system calls of a break, $1 | $kills | $lost" >&3
	echo "# proof: errors of system calls of a break, $1 | $failures | $spoilt" >&3
	eq "$lost $spoilt" "0 0" "cases that went wrong"
	((missed * 10 <= kills + failures)) || die "in $missed of $((kills + failures)) cases the call never came"
}

@test "I2 I3 I8 I15: ext4: a supervisor is killed, or a call of it fails, at each call of a break" { breaks_on ext4; }
@test "I2 I3 I8 I15: XFS: a supervisor is killed, or a call of it fails, at each call of a break" { breaks_on xfs; }
@test "I2 I3 I8 I15: btrfs: a supervisor is killed, or a call of it fails, at each call of a break" { breaks_on btrfs; }
