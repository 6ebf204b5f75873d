#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# contrib/quickstart with roots of the user's own.

setup_file() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	farm_template 2
}

setup() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	"$VU_TOP/contrib/deps" -n build quickstart >/dev/null || skip "packages are missing"
	farm
}

teardown() {
	farm_down
}

teardown_file() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	vu_fs_clean
}

@test "own roots are unified, and --clean says how to undo that" {
	"$VU_TOP/contrib/quickstart" -d "$VU_WORK/quick" "$G"/g1 "$G"/g2 >"$STATE/out" 2>&1 ||
		die "quickstart failed: $(tail -n 5 "$STATE/out")"
	is_object "$G/g1/usr/share/vu/big"
	out=$("$VU_TOP/contrib/quickstart" -d "$VU_WORK/quick" --clean)
	has "$out" "unified still.* unmerge $G/g1 $G/g2"
	[[ ! -e $VU_WORK/quick ]]
	vx 0 unmerge "$G"/g1 "$G"/g2
	is_private "$G/g1/usr/share/vu/big"
}
