#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later

load power

@test "I3, I7: btrfs: power cuts in scan, recover and unmerge" { cuts btrfs main 60; }

@test "I3, I7: btrfs: power cuts where nobody else syncs anything" { cuts btrfs main 15 --quiet; }

@test "I3: btrfs: power cuts when extents are shared" { cuts btrfs reflink 12; }

@test "I3, I7: btrfs: power cuts in an eviction" { cuts btrfs evict 20 --op=2; }

@test "I9: btrfs: power cuts with the catalog on the same disk" { cuts btrfs main 12 --catalog-inside; }

@test "btrfs: without its syncs, vunify loses something" { lie btrfs main 30 --lie=all; }

@test "btrfs: without one of its syncs, vunify loses something" { each_lie btrfs; }
