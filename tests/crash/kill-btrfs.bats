#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later

load calls

@test "I3 I4 I8 I9: btrfs: killed at every system call of scan, remerge, unmerge, recover and guests" {
	every_call kill btrfs "kill -9 at system calls"
}
