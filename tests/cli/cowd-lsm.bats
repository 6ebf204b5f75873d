#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify cowd, as far as a kernel can be that lets nobody have the guard: tests/real/lsm has one that does.

FARM_GUESTS=2
load ../lib/farm

@test "cowd --lsm: takes no operands" {
	vx 2 cowd --lsm g1
}

@test "cowd --lsm: where the kernel cannot it says why, and all objects keep their flag" {
	vx 0 scan "$G"/g?
	local rc=0
	# One that can is not to be put under the guard by this test: a mount point that has no pool.
	vu cowd --lsm --pool "$STATE" >"$STATE/out" 2>"$STATE/err" || rc=$?
	[[ $rc != 10 && $rc != 11 ]] || skip "this kernel can"
	eq "$rc" 12 "exit code"
	has "$(<"$STATE/err")" 'cannot guard objects: .*(bpf|BPF|kernel)'
	eq "$(n_flagged "$MNT/.vunify/objects")" "$(n_objects)" "objects with their flag"
}
