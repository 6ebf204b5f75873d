#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify history: past runs.

FARM_GUESTS=2
load ../lib/farm

run_field() {
	jq -r ".runs[$1].$2" <<<"$OUT"
}

@test "every run is there, the newest first" {
	vx 0 scan -n "$G"/g1 "$G"/g2
	vx 0 scan --json "$G"/g1 "$G"/g2
	names=$(sum_of names_unified)
	vx 0 unmerge
	vx 0 history --json
	eq "$(jq '.runs | length' <<<"$OUT")" 3 runs
	eq "$(jq -r '[.runs[].command] | join(" ")' <<<"$OUT")" 'unmerge scan scan' commands
	eq "$(jq -r '[.runs[].dry_run] | map(tostring) | join(" ")' <<<"$OUT")" 'false false true' dry_run
	eq "$(run_field 1 names)" "$names" names
	eq "$(run_field 1 guests)" 2 guests
	eq "$(run_field 1 result)" 'done' result
	jq -e '[.runs[].run] | . == (sort | reverse)' <<<"$OUT" >/dev/null
}

@test "--limit shows the newest only" {
	for _ in 1 2 3; do vx 0 scan -n "$G"/g1 "$G"/g2; done
	vx 0 history --json --limit 2
	eq "$(jq '.runs | length' <<<"$OUT")" 2 runs
	vx 0 history --json --limit 0
	eq "$(jq '.runs | length' <<<"$OUT")" 3 runs
}

@test "a killed run is told as unfinished" {
	command -v strace >/dev/null || skip "needs strace"
	strace -qq -f -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=SIGKILL:when=20 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -j1 "$G"/g1 "$G"/g2 >/dev/null 2>&1 || :
	vx 0 history --json
	eq "$(run_field 0 result)" unfinished result
}

@test "a table for people" {
	vx 0 scan "$G"/g1 "$G"/g2
	vx 0 history
	has "$OUT" '^ *RUN +COMMAND +STARTED'
	has "$OUT" 'scan +[0-9]{4}-[0-9]{2}-[0-9]{2} '
}

@test "without a catalog: exit 10" {
	vx 10 history
}

@test "a dry run is told as such, and SIGHUP as a stop" {
	vx 0 scan -n "$G"/g1 "$G"/g2
	vx 0 history
	has "$OUT" 'DRY-RUN'
	has "$OUT" '^ *1 +scan .* yes$'
	sqlite3 "$CAT" 'UPDATE run SET outcome = 129'
	vx 0 history --json
	eq "$(run_field 0 result)" stopped result
}
