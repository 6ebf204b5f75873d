#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Guests that write while vunify works. What was acknowledged to them holds, and nobody else's copy
# changes. See race.c for what they do.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

setup_file() {
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY" || return
	vu_tmp
	export RACE=$VU_DIR/race
	cc_test "$BATS_TEST_DIRNAME/race.c" "$RACE"
}

teardown() {
	farm_down
}

teardown_file() {
	vu_fs_clean
}

MODES=(write append truncate rename chmod mmap hold)
FILES=24

# use TYPE: three guests on that file system, with files to race for.
use() {
	local m i
	farm_on "$1" 400
	mkdir -p "$G/g1/usr/race"
	for m in "${MODES[@]}"; do
		for ((i = 0; i < FILES; i++)); do
			{ echo "$m $i" && seq 1 700; } >"$G/g1/usr/race/$m-$i"
		done
	done
	touch -d @1600000000 "$G"/g1/usr/race/*
	cp -a "$G/g1" "$G/g2"
	cp -a "$G/g1" "$G/g3"
}

# held HOW: somebody has the file of g1 open while a scan runs.
held() {
	local f=usr/race/write-0
	say_manifest "$G/g2" "$G/g3" >"$STATE/before"
	background "$RACE" "hold-$1" "$G/g1/$f"
	vx 0 scan --json "$G"/g?
	is_private "$G/g1/$f"
	is_object "$G/g2/$f"
	same "$G/g2/$f" "$G/g3/$f"
	eq "$(sum_of 'total.skips["open-for-write"].files')" 1 open-for-write
	echo go >&"$BG_IN"
	read -r -t 60 written <&"$BG_OUT"
	eq "$written" written "the writer"
	vx 0 scan "$G"/g?
	is_private "$G/g1/$f"
	has "$(cat "$G/g1/$f")" later
	say_manifest "$G/g2" "$G/g3" >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "the other guests"
}

hold_all() {
	use "$1"
	held "$2"
}

@test "ext4: a file that is open for writing is skipped, and later writes are kept" { hold_all ext4 open; }
@test "ext4: a file that is open for appending" { hold_all ext4 append; }
@test "ext4: a file that is mapped shared-writable" { hold_all ext4 mmap; }
@test "XFS: a file that is open for writing is skipped, and later writes are kept" { hold_all xfs open; }
@test "XFS: a file that is open for appending" { hold_all xfs append; }
@test "XFS: a file that is mapped shared-writable" { hold_all xfs mmap; }
@test "btrfs: a file that is open for writing is skipped, and later writes are kept" { hold_all btrfs open; }
@test "btrfs: a file that is open for appending" { hold_all btrfs append; }
@test "btrfs: a file that is mapped shared-writable" { hold_all btrfs mmap; }

# race_on TYPE: everybody writes in g1, while scan and unmerge take turns, for RACE_SECONDS and for
# six runs at least, however slow the machine is.
race_on() {
	local rc runs=0 racer start=$SECONDS
	use "$1"
	say_manifest "$G/g2" "$G/g3" >"$STATE/before"
	mkfifo "$STATE/stdin"
	"$RACE" run "$G/g1/usr/race" "$FILES" 300 "${MODES[@]}" >"$STATE/race" 2>"$STATE/race-err" \
		<>"$STATE/stdin" 3>&- 4>&- &
	racer=$!
	FARM_PIDS="${FARM_PIDS:-} $racer"
	while ((SECONDS - start < ${RACE_SECONDS:-12} || runs < 6)); do
		((SECONDS - start < 120)) || die "only $runs runs in 120 s" || return
		for verb in scan unmerge; do
			rc=0
			vu "$verb" "$G/g1" "$G/g2" "$G/g3" >"$STATE/out" 2>"$STATE/err" </dev/null || rc=$?
			[[ $rc == [03] ]] || die "$verb: exit code $rc: $(tail -n 5 "$STATE/err")" || return
			cat "$STATE/out" "$STATE/err" >>"$STATE/said"
			runs=$((runs + 1))
			# Writers are to meet what is unified also where they seldom get to run.
			[[ $verb == unmerge ]] || sleep 0.3
		done
	done
	rc=0
	echo stop >"$STATE/stdin"
	wait "$racer" || rc=$?
	cat "$STATE/race" >&2
	echo "$runs runs of vunify" >&2
	[[ $rc == 0 ]] || die "$(head -n 20 "$STATE/race-err")"
	eq "$(grep -c ' 0$' "$STATE/race")" "${#MODES[@]}" "modes without anything wrong"
	undone=$(awk '$1 != "ready" { n += $4 } END { print n }' "$STATE/race")
	((undone <= $(grep -c 'put right' "$STATE/said"))) || die "$undone changes of modes are gone, and vunify told of fewer"
	# Both happened: or nothing was tested.
	awk '$1 != "ready" { ops += $2; refused += $3 } END { exit !(ops > 1000 && refused > 0) }' "$STATE/race" ||
		die "no race: $(<"$STATE/race")"
	vx 0 scan "$G"/g?
	say_manifest "$G/g2" "$G/g3" >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "the other guests"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
	eq "$(find "$G" -name '.*' ! -name . ! -name '.*-new' | wc -l)" 0 "leftover names"
	vx 0 unmerge
	eq "$(n_objects)" 0 objects
}

@test "ext4: what writers were told holds, while scan and unmerge run in a loop" { race_on ext4; }
@test "XFS: what writers were told holds, while scan and unmerge run in a loop" { race_on xfs; }
@test "btrfs: what writers were told holds, while scan and unmerge run in a loop" { race_on btrfs; }
