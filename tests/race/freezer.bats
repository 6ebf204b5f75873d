#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Guests in cgroups of their own change metadata, and write, while scan and unmerge take turns: nothing of
# it gets lost, for they are frozen while an object has no flag. Never for long.

load ../crash/guardian

VU_SECONDS=${VU_NIGHTLY:+600}
export VU_SECONDS=${VU_SECONDS:-5}

# frozen TYPE
frozen() {
	local n max right
	drive "$1" 0 freeze
	n=$(sum writes)
	echo "# proof: changes of content and metadata by guests that are frozen, $1 | $n | $(($(sum lost) + $(sum leaked) + $(sum meta)))" >&3
	eq "$(sum meta)$(sum lost)$(sum leaked)" 000 "changes that are gone"
	((n > 500 && $(sum refused) > 50)) || die "no race: $(<"$STATE/log")"
	# What vunify itself says of it, run by run.
	OUT=$(grep '^{' "$STATE/vunify-said")
	max=$(jq -s '[.[] | select(.type == "summary") | .frozen_ms_max] | max' <<<"$OUT")
	((max > 0 && max <= 50)) || die "frozen for $max ms"
	(($(sum frozen-max-ms) <= 50)) || die "seen frozen for $(sum frozen-max-ms) ms"
	right=$(grep -c 'put right' "$STATE/vunify-said") || :
	eq "$right" 0 "changes that were put right"
	echo "frozen $(jq -s '[.[] | select(.type == "summary") | .frozen] | add' <<<"$OUT") times, at most $max ms" >&2
}

@test "I1 I6: ext4: metadata of frozen guests is neither lost nor leaked" { frozen ext4; }
@test "I1 I6: XFS: metadata of frozen guests is neither lost nor leaked" { frozen xfs; }
@test "I1 I6: btrfs: metadata of frozen guests is neither lost nor leaked" { frozen btrfs; }
