#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# One writer at a time: exit 11.

setup_file() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	farm_template 2
}

setup() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	farm
}

teardown() {
	farm_down
}

teardown_file() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	vu_fs_clean
}

BIG=usr/share/vu/big

# Stops a scan in the middle, by a signal at a rename; the stopped one holds the lock.
hold() {
	command -v strace >/dev/null || skip "needs strace"
	strace -qq -f -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=SIGSTOP:when=5 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -j1 "$G"/g1 "$G"/g2 \
		>"$STATE/held" 2>&1 3>&- 4>&- &
	holder=$!
	FARM_PIDS="${FARM_PIDS:-} $holder"
	for _ in {1..200}; do
		held=$(pgrep -P "$holder" | head -n 1)
		[[ -z $held ]] || [[ $(ps -o stat= -p "$held") != [Tt]* ]] || ! in_pool "$G/g1/$BIG" || break
		[[ -z $held ]] || [[ $(ps -o stat= -p "$held") != [Tt]* ]] || break
		sleep 0.05
	done
	FARM_PIDS="$FARM_PIDS $held"
	[[ -n $held ]]
}

@test "scan and unmerge while a scan runs: exit 11, and who it is" {
	hold
	vx 11 scan "$G"/g1 "$G"/g2
	has "$ERR" "$held|lock"
	vx 11 unmerge "$G"/g1
	vx 11 recover "$G"/g1
}

@test "after the other was killed, the lock is free" {
	hold
	kill -KILL "$held"
	wait "$holder" || :
	vx 0 scan "$G"/g1 "$G"/g2
	same "$G/g1/$BIG" "$G/g2/$BIG"
}

@test "looking is possible while a scan runs" {
	vx 0 scan -n "$G"/g1 "$G"/g2
	hold
	vx 0 status
	vx 0 history
}
