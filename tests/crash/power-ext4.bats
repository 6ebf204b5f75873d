#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later

load power

@test "I3, I7: ext4: power cuts in scan, recover and unmerge" { cuts_in_all; }

@test "I3, I7: ext4: power cuts where nobody else syncs anything" { cuts_where_nobody_syncs; }

@test "I9: ext4: power cuts with the catalog on the same disk" { cuts_with_the_catalog_inside; }

@test "ext4: without its syncs, vunify loses something" { loses_without_its_syncs; }

@test "I3, I7: ext4: the file system shut down before some calls" { shutdowns; }

@test "ext4: without one of its syncs, vunify loses something" { loses_without_one_sync; }
