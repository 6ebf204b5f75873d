#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later

load calls

@test "I1 I3 I8 I10: btrfs: each call of scan, remerge, unmerge, recover and guests fails, with each error" {
	every_call fail btrfs "errors of system calls"
}
