#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Guests in cgroups of their own change metadata, and write, while scan and unmerge take turns: nothing of
# it gets lost, for they are frozen while an object has no flag. Never for long.

load ../crash/guardian

VU_SECONDS=${VU_NIGHTLY:+600}
export VU_SECONDS=${VU_SECONDS:-5}

# frozen TYPE
frozen() {
	local n max right late limit=50
	drive "$1" 0 freeze
	n=$(sum writes)
	echo "# proof: changes of content and metadata by guests that are frozen, $1 | $n | $(($(sum lost) + $(sum leaked) + $(sum meta)))" >&3
	eq "$(sum meta)$(sum lost)$(sum leaked)" 000 "changes that are gone"
	((n > 500 && $(sum refused) > 50)) || die "no race: $(<"$STATE/log")"
	# What vunify itself says of it, run by run.
	OUT=$(grep '^{' "$STATE/vunify-said")
	max=$(jq -s '[.[] | select(.type == "summary") | .frozen_ms_max] | max' <<<"$OUT")
	# Who is to thaw may have to wait where others have the processors, and more than that.
	awk '{ exit !($1 > 2 * '"$(nproc)"') }' /proc/loadavg && limit=100
	((max > 0 && max <= limit)) || die "frozen for $max ms"
	(($(sum frozen-max-ms) <= limit)) || die "seen frozen for $(sum frozen-max-ms) ms"
	# A file system that keeps vunify waiting for longer than that: the guests were let go in the middle.
	late=$(jq -s '[.[] | select(.type == "summary") | .frozen_too_long] | add' <<<"$OUT")
	right=$(grep -c 'put right' "$STATE/vunify-said") || :
	((late > 0)) || eq "$right" 0 "changes that were put right"
	echo "frozen $(jq -s '[.[] | select(.type == "summary") | .frozen] | add' <<<"$OUT") times, at most $max ms, $late times too long" >&2
}

@test "I1 I6: ext4: metadata of frozen guests is neither lost nor leaked" { frozen ext4; }
@test "I1 I6: XFS: metadata of frozen guests is neither lost nor leaked" { frozen xfs; }
@test "I1 I6: btrfs: metadata of frozen guests is neither lost nor leaked" { frozen btrfs; }
