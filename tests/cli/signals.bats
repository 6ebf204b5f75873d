#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# A run is three processes: the front, which people see, its guardian, and the worker.

load ../lib/farm

# The worker is stopped in the middle of a scan; FRONT and GUARDIAN are the others.
hold_all() {
	hold renameat2 5 scan -j1 "$G"/g1 "$G"/g2
	GUARDIAN=$(parent_of "$HELD") FRONT=$(parent_of "$(parent_of "$HELD")")
}

# ends CODE: it goes on, and ends with that code, which it says once, with everything consistent.
ends() {
	local rc=0
	go_on || rc=$?
	eq "$rc" "$1" "exit code"
	eq "$(grep -c '^vunify: ' "$STATE/held")" 1 "messages: $(<"$STATE/held")"
	has "$(<"$STATE/held")" "$2"
	vx 0 scan "$G"/g1 "$G"/g2
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "SIGTERM to the process that was started stops the run at a safe point: 143" {
	hold_all
	kill -TERM "$FRONT"
	ends 143 'stopped at a safe point'
}

@test "SIGINT to all of them, as a terminal sends it: 130" {
	hold_all
	kill -INT "$FRONT" "$GUARDIAN" "$HELD"
	ends 130 'stopped at a safe point'
}

@test "SIGTERM to the worker alone, whose number the lock names" {
	hold_all
	kill -TERM "$HELD"
	ends 143 'stopped at a safe point'
}

@test "the guardian is killed: the worker stops at a safe point" {
	hold_all
	kill -KILL "$GUARDIAN"
	ends 143 'stopped at a safe point'
}

@test "I4 I10: the worker is killed: exit 1, said once, objects have their flag" {
	hold_all
	kill -KILL "$HELD"
	local rc=0
	wait "$HOLD_TRACER" || rc=$?
	HOLD_TRACER='' HELD=''
	eq "$rc" 1 "exit code"
	eq "$(grep -c '^vunify: ' "$STATE/held")" 1 "messages: $(<"$STATE/held")"
	has "$(<"$STATE/held")" "scan: its worker was killed: Killed; 1 moments .*run 'vunify recover'"
	eq "$(find "$MNT/.vunify/objects" -type f | wc -l)" "$(n_flagged "$MNT/.vunify/objects")" "immutable objects"
	vx 0 scan "$G"/g1 "$G"/g2
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "a dry run has no guardian" {
	hold statx 5 scan -n "$G"/g1 "$G"/g2 || [[ -n $HELD ]]
	eq "$(parent_of "$HELD")" "$HOLD_TRACER" parent
	let_go
}

# Or it keeps the worker's last thread from a processor, and waits for it without sleeping: for 0.95 s.
@test "the guardian is no real-time process any more when it reaps the worker" {
	command -v strace >/dev/null || skip "needs strace"
	strace -qq -f -o "$STATE/trace" -e trace=sched_setscheduler,wait4 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan "$G"/g1 "$G"/g2 >/dev/null
	awk '/sched_setscheduler\(/ { real_time[$1] = /SCHED_FIFO/; n += /SCHED_FIFO/ }
		/wait4\(/ && real_time[$1] { print; bad = 1 }
		END { exit bad || !n }' "$STATE/trace"
}
