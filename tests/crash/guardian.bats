#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 of the worker, of its guardian, of the front, of two of them and of all, at random instants and
# at random calls of a moment, while guests write. See kill-processes.c.

load guardian

KILLS=84
[[ -z ${VU_NIGHTLY:-} ]] || KILLS=840

# killed TYPE WAY
killed() {
	local n lost limit=100
	drive "$1" "$KILLS" "$2"
	n=$(sum kills)
	lost=$(($(sum unflagged) + $(sum frozen) + $(sum lost) + $(sum leaked) + $(sum meta)))
	echo "# proof: kill -9 of worker, guardian and front, $1, $2 | $n | $lost" >&3
	eq "$lost" 0 "what was lost, or left open"
	((n >= KILLS && $(sum phases) * 5 >= n)) || die "too few kills: $(<"$STATE/log")"
	(($(sum refused) > 0 && $(sum writes) > 0)) || die "no race: $(<"$STATE/log")"
	# Others may have the processors, for longer than everything takes.
	awk '{ exit !($1 > 2 * '"$(nproc)"') }' /proc/loadavg && limit=1000
	(($(sum closed-max-ms) <= limit)) || die "closed after $(sum closed-max-ms) ms"
}

@test "I1 I2 I4 I8: ext4: killed while guests write: closed, and nothing lost" { killed ext4 lease; }
@test "I1 I2 I4 I8: XFS: killed while guests write: closed, and nothing lost" { killed xfs lease; }
@test "I1 I2 I4 I8: btrfs: killed while guests write: closed, and nothing lost" { killed btrfs lease; }
@test "I1 I2 I4 I6: ext4: killed while guests are frozen: none is left so" { killed ext4 freeze; }
@test "I1 I2 I4 I6: XFS: killed while guests are frozen: none is left so" { killed xfs freeze; }
@test "I1 I2 I4 I6: btrfs: killed while guests are frozen: none is left so" { killed btrfs freeze; }
