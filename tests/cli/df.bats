#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify df: what is saved.

load ../lib/farm

of_total() {
	jq -r ".total.$1" <<<"$OUT"
}

used() {
	sync -f "$MNT"
	df -B1 --output=used "$MNT" | tail -n 1
}

@test "the total agrees with df(1) within 1 %" {
	[[ -n $FARM_IMG ]] || skip "$FARM_WHY"
	before=$(used)
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	after=$(used)
	vx 0 df --json
	# What the pool itself takes is part of what df(1) sees, and with guests as small as these it
	# would hide an error.
	pool=$(find "$MNT/.vunify" ! -name '*-[0-9]*' -printf '%b\n' | awk '{ s += $1 } END { print s * 512 }')
	saved=$(of_total saved_bytes) real=$((before - after + pool))
	diff=$((saved > real ? saved - real : real - saved))
	((saved > 0 && diff <= saved / 100)) || die "saved $saved, df(1) says $real"
}

@test "size, shared and unique add up to what du(1) counts" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 df --json
	du=$(find "$G"/g? -printf '%i %b\n' | sort -u | awk '{ s += $2 } END { print s * 512 }')
	ours=$(($(of_total shared_bytes) + $(of_total unique_bytes)))
	diff=$((du > ours ? du - ours : ours - du))
	((diff <= du / 100)) || die "shared + unique $ours, du(1) $du"
	eq "$(of_total saved_bytes)" "$(($(of_total size_bytes) - ours))" "size - shared - unique"
}

@test "of a guest: shared + unique = size, and its size is as if it were alone" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 df --json
	jq -e 'all(.guests[]; .size_bytes == .shared_bytes + .unique_bytes)' <<<"$OUT" >/dev/null
	du=$(find "$G/g2" -printf '%i %b\n' | sort -u | awk '{ s += $2 } END { print s * 512 }')
	size=$(jq -r '.guests[] | select(.guest == "g2") | .size_bytes' <<<"$OUT")
	diff=$((du > size ? du - size : size - du))
	((diff <= du / 100)) || die "g2: $size, du(1) $du"
	eq "$(jq '[.guests[].size_bytes] | add' <<<"$OUT")" "$(of_total size_bytes)" "sum of the guests"
}

@test "a guest that is asked for alone shares what it shares" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 df --json
	g2=$(jq -c '.guests[] | select(.guest == "g2")' <<<"$OUT")
	vx 0 df --json g2 "$G/g2"
	eq "$(jq -c '.guests[]' <<<"$OUT")" "$g2" g2
	eq "$(of_total saved_bytes)" "$(jq .saved_bytes <<<"$g2")" "its part of what is saved"
	vx 2 df g4
	has "$ERR" 'g4'
}

@test "before a scan has linked anything, nothing is saved" {
	vx 0 scan -n "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 df --json
	eq "$(of_total saved_bytes)" 0 saved
	eq "$(of_total shared_bytes)" 0 shared
}

@test "after unmerge nothing is saved" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 unmerge
	vx 0 df --json
	eq "$(of_total saved_bytes)" 0 saved
}

@test "a table for people in powers of 1024" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 df
	has "$OUT" '^GUEST +SIZE +SHARED +UNIQUE +SAVED'
	has "$OUT" '^g1 .*[KM]iB'
	has "$OUT" '^total .*[KM]iB'
}

@test "df looks, and changes nothing" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	find "$G" "$MNT/.vunify" ! -type d -printf '%p %i %n %C@ %A@\n' | sort >"$STATE/a"
	vx 0 df
	vx 0 status
	vx 0 history
	find "$G" "$MNT/.vunify" ! -type d -printf '%p %i %n %C@ %A@\n' | sort >"$STATE/b"
	same_text "$STATE/a" "$STATE/b"
}

@test "without a catalog: exit 10" {
	vx 10 df
}
