#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later

load power

@test "I3, I7: xfs: power cuts in scan, recover and unmerge" { cuts_in_all; }

@test "I3, I7: xfs: power cuts where nobody else syncs anything" { cuts_where_nobody_syncs; }

@test "I3: xfs: power cuts when extents are shared" { cuts_with_shared_extents; }

@test "I3, I7: xfs: power cuts in an eviction" { cuts_in_an_eviction; }

@test "I9: xfs: power cuts with the catalog on the same disk" { cuts_with_the_catalog_inside; }

@test "xfs: without its syncs, vunify loses something" { loses_without_its_syncs; }

@test "I3, I7: xfs: the file system shut down before some calls" { shutdowns; }

@test "xfs: without one of its syncs, vunify loses something" { loses_without_one_sync; }
