#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later

load power

@test "I3, I7: ext4: power cuts in scan, recover and unmerge" { cuts ext4 main 60; }

@test "I3, I7: ext4: power cuts where nobody else syncs anything" { cuts ext4 main 15 --quiet; }

@test "I9: ext4: power cuts with the catalog on the same disk" { cuts ext4 main 12 --catalog-inside; }

@test "ext4: without its syncs, vunify loses something" { lie ext4 main 30 --lie=all; }

@test "I3, I7: ext4: the file system shut down before some calls" { cuts ext4 main 10 --shutdown; }

@test "ext4: without one of its syncs, vunify loses something" { each_lie ext4; }
