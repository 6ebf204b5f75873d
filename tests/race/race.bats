#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Hostile guests, while vunify works. What was acknowledged to them holds, and nobody else's copy
# changes. See race.c for what they do.
#
# RACE_SECONDS: how long each time (10). With VU_NIGHTLY=1: until 1,000,000 operations were
# acknowledged and 100,000 links made.

# shellcheck source=tests/race/race.bash
. "$BATS_TEST_DIRNAME/race.bash"

setup_file() {
	race_build
}

teardown() {
	farm_down
	[[ -z ${GROUP:-} ]] || rmdir "$GROUP"/g? "$GROUP" 2>/dev/null || :
}

teardown_file() {
	vu_fs_clean
}

# held TYPE HOW: somebody has the file of g1 open while a scan runs.
held() {
	local f=usr/race/p0/d0/f0
	race_farm "$1" guests=3 quiet=1 workers=1 attackers=0 dirs=1 files=24
	say_manifest "$G/g2" "$G/g3" >"$STATE/before"
	background "$RACE" "hold-$2" "$G/g1/$f"
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

@test "I1: ext4: a file that is open for writing is skipped, and later writes are kept" { held ext4 open; }
@test "I1: ext4: a file that is open for appending" { held ext4 append; }
@test "I1: ext4: a file that is mapped shared-writable" { held ext4 mmap; }
@test "I1: XFS: a file that is open for writing is skipped, and later writes are kept" { held xfs open; }
@test "I1: XFS: a file that is open for appending" { held xfs append; }
@test "I1: XFS: a file that is mapped shared-writable" { held xfs mmap; }
@test "I1: btrfs: a file that is open for writing is skipped, and later writes are kept" { held btrfs open; }
@test "I1: btrfs: a file that is open for appending" { held btrfs append; }
@test "I1: btrfs: a file that is mapped shared-writable" { held btrfs mmap; }

# A change of metadata that lands in a moment is put right, and told: once, whoever made it.
few_undone() {
	(($(said undone) <= PUT_RIGHT * 3)) ||
		die "$(said undone) changes of metadata are gone, and vunify told of $PUT_RIGHT"
}

# short_waits MS: nobody waited longer to open a file. Where other processes do not get a processor when they
# want one, neither does vunify, several times while somebody waits for it. (With leases alone it waits
# even longer then, until who is on his way has landed: lib/link/cooling.c. That is only told.)
short_waits() {
	local limit=$(($1 * 1000 + 8 * $(said stall_us)))
	(($(said block_net_us) <= limit)) ||
		die "an open took $(said block_net_us) us, the limit here is $limit us"
}

# The guests' cgroups, of their own, in GROUP.
groups() {
	local top
	for top in /sys/fs/cgroup /sys/fs/cgroup/unified; do
		[[ -f $top/cgroup.controllers ]] && GROUP=$(mktemp -d "$top/vu-race.XXXXXXXX") && break
	done
	[[ -n ${GROUP:-} ]] || skip "no cgroup v2 is mounted"
	mkdir "$GROUP"/g{1..4}
}

# race_on TYPE [freeze]: everybody does everything in g1, g2 and g3, while scan and unmerge take turns. g4 only has
# what the others have.
race_on() {
	local seconds=${RACE_SECONDS:-10} how=${2:-lease} rc=0
	local RACE_CONF=$'[policy]\nmin_size = 1\nmoment = '$how
	[[ $how == lease ]] || groups
	[[ -z ${VU_NIGHTLY:-} ]] || seconds=7000
	race_farm "$1" guests=4 quiet=1 workers=2 attackers=1 dirs=4 files=60 contents=200
	race_start ${GROUP:+cgroup="$GROUP"}
	race_loop "$seconds" || rc=1
	race_end || rc=1
	cat "$STATE/report" >&2
	[[ $rc == 0 ]] || die "$RACE_WHY $(head -n 20 "$STATE/race-err")"
	race_right
	# With leases alone an xattr that was set in a moment is seen by the others until it is put right.
	if [[ $how == lease ]]; then
		few_undone
	else
		short_waits 300
		eq "$(said seen_xattr)" 0 "an xattr that another guest set was seen"
		eq "$(said undone)" 0 "changes of metadata that are gone"
		eq "$(cat "$GROUP"/g?/cgroup.freeze | sort -u)" 0 "what is left frozen"
	fi
	eq "$(said seen)" 0 "what another guest wrote was seen"
	# Both happened: or nothing was tested.
	(($(said acked) > 5000 && $(said refused) > 1000 && LINKS > 300)) || die "no race: $LINKS links"
	race_proofs "$1, $how"
}

race_proofs() {
	{
		echo "# proof: operations acknowledged to hostile guests, $1 | $(said acked) | $(said lost)"
		echo "# proof: links while guests attack, $1 | $LINKS | $(said leaked)"
		echo "# proof: opens for writing refused or let in, $1 | $(said opens) | $(said escapes)"
		echo "# $1: $RUNS runs, $(said undone) changes of metadata put right, longest open" \
			"$(said block_us) us ($(said block_net_us) us without waiting for a processor;" \
			"another process waited up to $(said stall_us) us for one)"
	} >&3
}

@test "I1 I2 I6: ext4: what guests were told holds, while scan and unmerge run in a loop" { race_on ext4; }
@test "I1 I2 I6: XFS: what guests were told holds, while scan and unmerge run in a loop" { race_on xfs; }
@test "I1 I2 I6: btrfs: what guests were told holds, while scan and unmerge run in a loop" { race_on btrfs; }
@test "I1 I2 I6: ext4: the same with guests that can be frozen, metadata too" { race_on ext4 freeze; }
@test "I1 I2 I6: XFS: the same with guests that can be frozen, metadata too" { race_on xfs freeze; }
@test "I1 I2 I6: btrfs: the same with guests that can be frozen, metadata too" { race_on btrfs freeze; }
