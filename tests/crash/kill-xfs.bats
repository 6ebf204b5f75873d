#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later

load kill

@test "XFS: kill -9 at 200 points of scan and unmerge" { killed xfs; }
