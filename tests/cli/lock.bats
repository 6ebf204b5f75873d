#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# One writer at a time: exit 11.

FARM_GUESTS=2
load ../lib/farm

BIG=usr/share/vu/big

@test "scan and unmerge while a scan runs: exit 11, and who it is" {
	hold renameat2 5 scan -j1 "$G"/g1 "$G"/g2
	for verb in scan unmerge recover; do
		vx 11 "$verb" "$G"/g1 "$G"/g2
		has "$ERR" "\b$HELD\b"
	done
	[[ -d /proc/$HELD ]] || die "the one that held the lock is gone"
}

@test "another catalog does not help: the pool is locked too" {
	hold renameat2 5 scan -j1 "$G"/g1 "$G"/g2
	CAT=$STATE/other.db
	vx 11 scan "$G"/g1 "$G"/g2
	vx 11 unmerge "$G"/g1 "$G"/g2
}

@test "after the other was killed, the lock is free" {
	hold renameat2 5 scan -j1 "$G"/g1 "$G"/g2
	let_go
	vx 0 scan "$G"/g1 "$G"/g2
	same "$G/g1/$BIG" "$G/g2/$BIG"
}

@test "looking is possible while a scan runs" {
	vx 0 scan -n "$G"/g1 "$G"/g2
	hold renameat2 5 scan -j1 "$G"/g1 "$G"/g2
	vx 0 status
	vx 0 history
}

# By another program: of vunify one works at a time.
@test "while somebody holds the catalog's lock: it is told that the catalog is locked" {
	vx 0 scan "$G"/g1
	python3 - "$CAT" <<-EOF 3>&- &
		import sqlite3, sys, time
		db = sqlite3.connect(sys.argv[1], isolation_level=None)
		db.execute("BEGIN IMMEDIATE")
		open("$STATE/locked", "w").close()
		time.sleep(120)
	EOF
	holder=$!
	until [[ -e $STATE/locked ]]; do sleep 0.1; done
	rc=0
	vx 1 scan "$G"/g1 "$G"/g2 || rc=$?
	kill "$holder"
	eq "$rc" 0
	has "$ERR" "cannot work with the catalog: $CAT: database is locked"
}
