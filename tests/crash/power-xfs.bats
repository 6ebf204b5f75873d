#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later

load power

@test "I3, I7: xfs: power cuts in scan, recover and unmerge" { cuts xfs main 60; }

@test "I3, I7: xfs: power cuts where nobody else syncs anything" { cuts xfs main 15 --quiet; }

@test "I3: xfs: power cuts when extents are shared" { cuts xfs reflink 12; }

@test "I3, I7: xfs: power cuts in an eviction" { cuts xfs evict 20 --op=2; }

@test "I9: xfs: power cuts with the catalog on the same disk" { cuts xfs main 12 --catalog-inside; }

@test "xfs: without its syncs, vunify loses something" { lie xfs main 30 --lie=all; }

@test "I3, I7: xfs: the file system shut down before some calls" { cuts xfs main 10 --shutdown; }

@test "xfs: without one of its syncs, vunify loses something" { each_lie xfs; }
