#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify status.

load ../lib/farm

total() {
	jq -r ".total.$1" <<<"$OUT"
}

@test "after scan -n everything is pending" {
	vx 0 scan -n --json "$G"/g1 "$G"/g2 "$G"/g3
	would=$(sum_of names_unified)
	vx 0 status --json
	eq "$(total unified)" 0 unified
	eq "$(total pending)" "$would" pending
	eq "$(total files)" "$(in_reach '%p\n' | wc -l)" files
}

@test "after a scan: what was unified is unified, nothing is pending" {
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	n=$(sum_of names_unified) private=$(sum_of total.private)
	vx 0 status --json
	eq "$(total unified)" "$n" unified
	eq "$(total private)" "$private" private
	eq "$(total pending)" 0 pending
	eq "$(total damaged)" 0 damaged
	eq "$(jq '.guests | length' <<<"$OUT")" 3 guests
	eq "$(jq '[.guests[].unified] | add' <<<"$OUT")" "$n" "sum of the guests"
	jq -e '.guests[] | .last_run | strptime("%Y-%m-%dT%H:%M:%SZ")' <<<"$OUT" >/dev/null
}

@test "after unmerge nothing is unified" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 unmerge
	vx 0 status --json
	eq "$(total unified)" 0 unified
	eq "$(total files)" "$(in_reach '%p\n' | wc -l)" files
}

@test "of one guest, by name or root" {
	vx 0 scan "$G"/g1 "$G"/g2
	vx 0 status --json g2
	eq "$(jq -r '[.guests[].guest] | join(" ")' <<<"$OUT")" g2 guests
	vx 0 status --json "$G/g1"
	eq "$(jq -r '[.guests[].guest] | join(" ")' <<<"$OUT")" g1 guests
	vx 2 status nobody
}

@test "a table for people; columns can be chosen" {
	vx 0 scan "$G"/g1 "$G"/g2
	vx 0 status
	has "$OUT" '^GUEST +FILES +UNIFIED'
	has "$OUT" '^total'
	vx 0 status --columns guest,unified --no-legend
	hasnt "$OUT" 'GUEST'
	has "$OUT" '^g1 +[0-9]+ *$'
	vx 2 status --columns guest,nonsense
	has "$ERR" 'nonsense'
}

@test "without a catalog: exit 10 and what to do" {
	vx 10 status
	has "$ERR" 'scan'
	[[ ! -e $CAT ]] || die "a catalog was made"
}

@test "a guest that is asked for twice is shown once" {
	vx 0 scan -n "$G"/g1 "$G"/g2
	vx 0 status --json g1 "$G/g1"
	eq "$(jq '.guests | length' <<<"$OUT")" 1 guests
}

@test "a scan that was stopped before it had seen all changes nothing" {
	command -v strace >/dev/null || skip "needs strace"
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 status --json
	before=$(jq -c '.guests[] | [.guest, .files, .unified]' <<<"$OUT")
	rc=0
	strace -qq -f -o /dev/null -e trace=getdents64 -e inject=getdents64:signal=SIGINT:when=3 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -j1 --full >/dev/null 2>&1 || rc=$?
	eq "$rc" 130 "exit code"
	vx 0 status --json
	eq "$(jq -c '.guests[] | [.guest, .files, .unified]' <<<"$OUT")" "$before" status
}

@test "damaged: an object that lost its flag, or is not what it was" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 status
	chattr -i "$G/g1/usr/share/vu/big"
	vx 4 status --json
	eq "$(jq -c '[.guests[].damaged]' <<<"$OUT")" '[1,1,1]' "damaged names"
	eq "$(total damaged)" 3 total
	has "$ERR" 'recover'
	vx 0 recover
	vx 0 status
	chattr -i "$G/g1/usr/share/vu/twin-a"
	chmod 0600 "$G/g1/usr/share/vu/twin-a"
	chattr +i "$G/g1/usr/share/vu/twin-a"
	vx 4 status --json g2
	eq "$(jq -c '[.guests[].damaged]' <<<"$OUT")" '[2]' "damaged names of g2"
}

@test "objects whose flag is off for a moment of a run are not damaged" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	chattr -i "$G/g1/usr/share/vu/big"
	exec 9<"$MNT/.vunify/lock"
	flock 9
	vx 0 status
	exec 9<&-
}
