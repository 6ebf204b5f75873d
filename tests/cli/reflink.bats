#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify scan --mode=reflink: shared extents, where hard links are not wanted.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

teardown() {
	farm_down
}

BIG=usr/share/vu/big

reflinks() {
	farm_on "$1" 300
	vu_guests_make "$G" 3
	sync -f "$MNT"
	say_manifest "$G"/g? >"$STATE/before"
	find "$G" -type f -printf '%p %i %n\n' | sort >"$STATE/inodes-before"
	vx 0 scan --mode=reflink --json "$G"/g?
	((10#$(sum_of names_unified) + 10#$(sum_of saved_bytes) > 0)) || die "nothing is said to be shared"
	say_manifest "$G"/g? >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "seen from inside"
	find "$G" -type f -printf '%p %i %n\n' | sort >"$STATE/inodes-after"
	same_text "$STATE/inodes-before" "$STATE/inodes-after" "inodes and links"
	eq "$(n_flagged "$G")" 0 "immutable files"
	sync -f "$MNT"
	filefrag -v "$G/g2/$BIG" | grep -q shared || die "the extents of big are not shared: $(filefrag -v "$G/g2/$BIG")"
	# A guest may write as before.
	printf 'more\n' >>"$G/g2/$BIG"
	eq "$(tail -n 1 "$G/g1/$BIG")" 60000 "last line of another guest's copy"
}

@test "XFS: extents are shared, inodes are not" {
	reflinks xfs
}

@test "btrfs: extents are shared, inodes are not" {
	reflinks btrfs
}

@test "the result says plainly that it is the disk only" {
	farm_on xfs 300
	vu_guests_make "$G" 2
	vx 0 scan --mode=reflink "$G"/g?
	has "$OUT$ERR" '[Dd]isk only|not.*(memory|page cache)|page cache.*not'
}

@test "what is unified stays so, and others share its extents" {
	vu_fs_need xfs 300
	MNT=$VU_MNT G=$VU_MNT/guests
	vu_tmp
	STATE=$VU_DIR CONF=$VU_DIR/vunify.conf CAT=$VU_DIR/catalog.db
	conf </dev/null
	vu_guests_make "$G" 3
	vx 0 scan "$G"/g1 "$G"/g2
	vx 0 status --json
	n=$(jq .total.unified <<<"$OUT")
	vx 0 scan --mode=reflink --json "$G"/g?
	eq "$(sum_of 'total.skips.immutable.files')" null "files of the admin's own hand"
	sync -f "$MNT"
	is_object "$G/g1/$BIG"
	filefrag -v "$G/g3/$BIG" | grep -q shared || die "the extents of g3's big are not shared"
	vx 0 status --json
	eq "$(jq .total.unified <<<"$OUT")" "$n" unified
}

@test "btrfs: guests in subvolumes of their own share extents" {
	farm_on btrfs 300
	mkdir -p "$G"
	local i
	for i in 1 2 3; do btrfs -q subvolume create "$G/g$i"; done
	vu_guests_make "$G/template" 1
	for i in 1 2 3; do cp -a --reflink=never "$G/template/g1/." "$G/g$i"; done
	rm -r "$G/template"
	sync -f "$MNT"
	vx 12 scan "$G"/g?
	has "$ERR" 'subvolume'
	has "$ERR" '--mode=reflink'
	vx 0 scan --mode=reflink --json "$G"/g?
	((10#$(sum_of names_unified) > 0)) || die "nothing is said to be shared"
	sync -f "$MNT"
	filefrag -v "$G/g3/$BIG" | grep -q shared || die "the extents of g3's big are not shared"
	vx 0 why --config "$CONF" "$G/g3/$BIG"
	vx 0 scan --mode=reflink --json "$G"/g?
	eq "$(sum_of names_unified)" 0 "shared once more"
}
