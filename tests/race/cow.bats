#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Hostile guests under `vunify run`: two that share everything, 8 processes in each, a supervisor for each. Meanwhile
# the supervisors' workers are killed over and over, and scans unify again what has become private. What was
# acknowledged to a process is where it was made, and nobody waits for ever. See race.c for what they do.
#
# RACE_SECONDS: how long each time (12). With VU_NIGHTLY=1: until 1,000,000 operations were acknowledged.

# shellcheck source=tests/race/race.bash
. "$BATS_TEST_DIRNAME/race.bash"

setup_file() {
	race_build
	cc_test -static "$BATS_TEST_DIRNAME"/race*.c "$RACE"
}

teardown() {
	[[ -z ${BOARD:-} || ! -e ${BOARD:-} ]] || end_guests 10 || :
	farm_down
}

teardown_file() {
	vu_fs_clean
}

guests_make() {
	# hang: several workers in a row may be killed before one of them has answered
	race_farm "$1" supervised=1 hang=30 guests=3 quiet=1 workers=7 attackers=1 dirs=2 files=30 contents=200 \
		modes=${RACE_MODES:-supervised}
	for g in "$G"/g?; do
		mkdir -p "$g"/{bin,proc,dev,tmp,sys,run}
		cp -p "$RACE" "$g/bin/race"
	done
	vx 0 scan "$G"/g?
	say_manifest "$G/g3" >"$STATE/quiet"
}

# The record is their stdin: it is not in the guest.
guests_start() {
	local g
	race_start
	wait_until grep -qs ready "$STATE/report"
	FRONTS=()
	for g in 0 1; do
		"$VUNIFY" --config "$CONF" --catalog "$CAT" --verbose run "g$((g + 1))" -- /bin/race guest - "$g" \
			<>"$BOARD" >"$STATE/said$g" 2>&1 3>&- 4>&- &
		FRONTS+=($!)
	done
}

# worker_of FRONT: its guardian is its oldest child, and has no other.
worker_of() {
	local guardian
	guardian=$(pgrep -o -P "$1") && pgrep -P "$guardian"
}

# Kills the workers one after the other. In the long form more is done in between.
kill_workers() {
	local worker n=0
	trap 'echo "$n" >"$STATE/killed"; exit 0' TERM
	while :; do
		sleep "${VU_NIGHTLY:+$((RANDOM % 3))}.$((RANDOM % 8 + 1))"
		worker=$(worker_of "${FRONTS[RANDOM % 2]}") || continue
		kill -KILL "$worker" 2>/dev/null && n=$((n + 1))
	done
}

is_alive() {
	[[ -d /proc/$1 && $(state_of "/proc/$1") != Z ]]
}

# end_guests SECONDS: the processes end by themselves, for that long.
end_guests() {
	local pid end=$((SECONDS + $1)) rc=0
	"$RACE" stop "$BOARD"
	for pid in "${FRONTS[@]}"; do
		while is_alive "$pid" && ((SECONDS < end)); do
			sleep 0.05
		done
		! is_alive "$pid" || kill -TERM "$pid"
		wait "$pid" || {
			rc=$?
			RACE_WHY+=" vunify run: exit code $rc"
		}
	done
	FRONTS=()
	return "$rc"
}

say_why() {
	{
		echo "$RACE_WHY"
		grep -E '^(lost|leaked|seen|escapes|hangs) [1-9]' "$STATE/report" || :
		head -n 20 "$STATE/race-err"
		grep -hv '^$' "$STATE"/said? | tail -n 20
	} >&2
}

# race_cow TYPE
race_cow() {
	local seconds=${RACE_SECONDS:-12} rc=0 killer n
	[[ -z ${VU_NIGHTLY:-} ]] || seconds=3000
	guests_make "$1"
	guests_start
	kill_workers &
	killer=$!
	FARM_PIDS+=" $killer"
	scan_on "$seconds" || rc=1
	kill -TERM "$killer"
	wait "$killer" || :
	end_guests 60 || rc=1
	race_end || rc=1
	n=$(cat "$STATE/killed")
	# the reason comes first: of a long output the end may not be shown
	((rc == 0)) || say_why
	cat "$STATE/report" >&2
	((rc == 0)) || die "$1: not right"
	race_right
	say_manifest "$G/g3" >"$STATE/quiet-after"
	same_text "$STATE/quiet" "$STATE/quiet-after" "the guest that does nothing"
	eq "$(said seen)" 0 "what another guest wrote was seen"
	((n >= 5 && LINKS > 300)) || die "no race: $n workers were killed, $LINKS links made"
	echo "# $1: $(said acked) operations, $(said refused) refused, $(said late) late, $n workers killed, $RUNS runs," \
		"longest operation $(said longest_us) us, of another process' waiting $(said stall_us) us" >&3
	echo "# proof: operations acknowledged to hostile guests under vunify run, $1 | $(said acked) | $(said lost)" >&3
}

scan_on() {
	local end=$((SECONDS + $1))
	LINKS=0 RUNS=0 PUT_RIGHT=0 RACE_WHY=''
	while ((SECONDS < end)) && ! acked_enough; do
		! race_over || break
		if ! race_vunify scan "$G"/g?; then
			# a supervisor that has just taken the place of another one puts right what that left
			grep -q 'another vunify' "$STATE/err" || break
			RACE_WHY=''
			continue
		fi
		LINKS=$((LINKS + $(tail -n 1 "$STATE/json" | jq .names_unified)))
		sleep 0.1
	done
	[[ -z $RACE_WHY ]]
}

acked_enough() {
	[[ -n ${VU_NIGHTLY:-} ]] || return
	(($("$RACE" stat "$BOARD" | awk '$1 == "acked" { print $2 }') >= 1000000))
}

@test "I1 I2 I15: ext4: hostile guests under vunify run, whose workers are killed, while scans run" { race_cow ext4; }
@test "I1 I2 I15: XFS: hostile guests under vunify run, whose workers are killed, while scans run" { race_cow xfs; }
@test "I1 I2 I15: btrfs: hostile guests under vunify run, whose workers are killed, while scans run" { race_cow btrfs; }
