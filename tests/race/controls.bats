#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Positive controls: with one safeguard taken out, the race finds that writes get lost or end in another
# guest's file. A race that finds nothing there would prove nothing elsewhere.

# shellcheck source=tests/race/race.bash
. "$BATS_TEST_DIRNAME/race.bash"
# shellcheck source=tests/lib/sabotage.bash
. "$BATS_TEST_DIRNAME/../lib/sabotage.bash"

setup_file() {
	race_build
	export GOOD=$VUNIFY
}

teardown() {
	farm_down
}

teardown_file() {
	vu_fs_clean
}

# must_fail TYPE KIND KEY=VALUE...: within CONTROL_SECONDS (120). Ends as soon as something is found, which takes
# some seconds, and half a minute where others have the processors.
must_fail() {
	local type=$1 kind=$2 rc=0 found
	shift 2
	race_farm "$type" patience=0 "$@"
	sabotaged "$kind"
	race_start
	race_loop "${CONTROL_SECONDS:-120}" || rc=1
	race_end || rc=1
	found=$(($(said lost) + $(said leaked) + $(said seen)))
	((rc)) || found=$(($(said undone) > PUT_RIGHT * 3))
	cat "$STATE/report" >&2
	((found)) || die "nothing was lost with $kind: $RACE_WHY $(head -n 5 "$STATE/race-err")"
	echo "# proof: sabotages that the race finds | 1 | 0" >&3
	VUNIFY=$GOOD
}

@test "the race fails without leases" {
	must_fail ext4 NO_LEASE guests=3 quiet=1 workers=1 attackers=2 modes=write,hold,attack
}

@test "the race fails when who waits is not interrupted" {
	must_fail xfs NO_INTERRUPT guests=3 quiet=1 workers=1 attackers=2 modes=write,attack
}

@test "the race fails when names are renamed over each other" {
	must_fail ext4 RENAME guests=3 quiet=1 workers=3 attackers=0 modes=rename
}

@test "the race fails when what came out of an exchange is not looked at" {
	must_fail ext4 NO_RECHECK guests=3 quiet=1 workers=3 attackers=0 modes=rename,unlink
}

@test "a build without sabotage holds nothing of it" {
	[[ $("$VUNIFY" --version) != *sabotage* ]]
	! nm "$VUNIFY" | grep -q rename_both || die "there is code of it"
	# The debugger's information names the header.
	vu_tmp
	objcopy --strip-all "$VUNIFY" "$VU_DIR/stripped"
	! grep -qai sabotage "$VU_DIR/stripped" || die "there is something of it"
}

@test "a release cannot be sabotaged, and what is sabotaged says so and is not installed" {
	vu_tmp
	run meson setup --buildtype=release -Dsabotage=no-lease "$VU_DIR/release" "$VU_TOP"
	((status != 0)) && has "$output" "cannot be in a release build"
	run meson setup -Dsabotage=no-lease -Dtests=disabled -Dman=disabled "$VU_DIR/debug" "$VU_TOP"
	((status == 0))
	has "$(jq -r '.[].command' "$VU_DIR/debug/compile_commands.json")" 'VU_VERSION=.*\(sabotaged: no-lease\)'
	has "$(cat "$VU_DIR"/debug/meson-private/install.dat | strings)" "cannot be installed"
}
