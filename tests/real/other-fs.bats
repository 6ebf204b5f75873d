#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What holds for real guests on ext4 holds on XFS and on btrfs as well, with three guests.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

teardown() {
	farm_down
}

used() {
	sync -f "$MNT"
	df -B1 --output=used "$MNT" | tail -n 1
}

libcs() {
	find "$1"/*/usr/lib -xdev -type f -name libc.so.6 | sort
}

need_guests() {
	local rc=0
	"$VU_TOP/tests/lib/make-guests" -m -C 2>"$BATS_TEST_TMPDIR/why" || rc=$?
	((rc != 77)) || skip "$(tail -n 1 "$BATS_TEST_TMPDIR/why")"
	((rc == 0)) || die "$(<"$BATS_TEST_TMPDIR/why")"
}

other_fs() {
	local before after names
	need_guests
	farm_on "$1" 1600
	"$VU_TOP/tests/lib/make-guests" -m -n 3 "$G"
	say_manifest "$G"/* >"$STATE/before"
	"$VU_TOP/tests/lib/oracle" expect "$G"/* >"$STATE/expect"
	before=$(used)
	vx 0 scan --json "$G"/*
	names=$(sum_of names_unified)
	after=$(used)
	say_manifest "$G"/* >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "after the scan"
	"$VU_TOP/tests/lib/oracle" check "$STATE/expect"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
	vx 0 scan --json
	eq "$(sum_of names_unified)" 0 "names_unified of the second scan"
	mapfile -t paths < <(libcs "$G")
	eq "$(stat -c %i "${paths[@]}" | sort -u | wc -l)" 1 "inodes of libc"
	vx 0 df --json
	((10#$(jq .total.saved_bytes <<<"$OUT") > 100000000)) || die "df: $OUT"
	((before - after > 100000000)) || die "df(1): $before, then $after"
	vx 0 unmerge --json
	eq "$(sum_of names)" "$names" "names of unmerge"
	say_manifest "$G"/* >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "after unmerge"
	eq "$(n_objects)" 0 objects
}

@test "3 guests on XFS: there and back" {
	other_fs xfs
}

@test "3 guests on btrfs: there and back" {
	other_fs btrfs
}
