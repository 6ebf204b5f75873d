#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify scan -n: says what a run would do, and changes no guest.

load ../lib/farm

BIG=usr/share/vu/big

summary() {
	jq -S 'select(.type == "summary") | del(.dry_run, .seconds, .memory_freed_now_bytes, .memory_freed_bytes)' <<<"$OUT"
}

list() {
	jq -c 'select(.type != "summary") | [.type, .guest, .path, .skip, .object, .size]' <<<"$OUT" | sort
}

# find(1) itself reads the directories.
everything() {
	find "$G" \( -type d -printf '%p %i %n %C@ %T@ %m\n' \) -o -printf '%p %i %n %A@ %C@ %T@ %m\n' | sort
}

@test "-n leaves inodes, links, times and contents alone" {
	everything >"$STATE/before"
	vx 0 scan -n "$G"/g1 "$G"/g2 "$G"/g3
	has "$OUT" 'would be unified'
	everything >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	eq "$(n_flagged "$G")" 0 "immutable files"
	eq "$(n_objects)" 0 objects
}

@test "-n has the same list and the same numbers as the run" {
	vx 0 scan -n --json "$G"/g1 "$G"/g2 "$G"/g3
	summary >"$STATE/dry-summary"
	list >"$STATE/dry-list"
	rm -f "$CAT"*
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	summary >"$STATE/summary"
	list >"$STATE/list"
	((10#$(sum_of names_unified) > 300)) || die "only $(sum_of names_unified) names"
	same_text "$STATE/dry-list" "$STATE/list" "list of files"
	same_text "$STATE/dry-summary" "$STATE/summary" "summary"
}

@test "-n has the same numbers as the run that follows it with its catalog" {
	vx 0 scan -n --json "$G"/g1 "$G"/g2 "$G"/g3
	summary | jq 'del(.read_bytes, .hashed_bytes)' >"$STATE/dry-summary"
	list >"$STATE/dry-list"
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	summary | jq 'del(.read_bytes, .hashed_bytes)' >"$STATE/summary"
	list >"$STATE/list"
	same_text "$STATE/dry-list" "$STATE/list" "list of files"
	same_text "$STATE/dry-summary" "$STATE/summary" "summary"
}

@test "-n -v prints the lines of the run" {
	vx 0 scan -n -v "$G"/g1 "$G"/g2 "$G"/g3
	grep -E '^(unify|skip) ' <<<"$OUT" | sort >"$STATE/dry"
	rm -f "$CAT"*
	vx 0 scan -v "$G"/g1 "$G"/g2 "$G"/g3
	grep -E '^(unify|skip) ' <<<"$OUT" | sort >"$STATE/real"
	[[ -s $STATE/dry ]]
	same_text "$STATE/dry" "$STATE/real"
}

@test "-n after a run says that nothing is left to do" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 scan -n --json
	eq "$(sum_of names_unified)" 0 names_unified
	eq "$(events unify)" "" list
}

@test "-n counts a file that is open for writing as the run does" {
	background python3 -c '
import sys
f = open(sys.argv[1], "r+b")
print("ready", flush=True)
sys.stdin.readline()' "$G/g1/$BIG"
	vx 0 scan -n --json "$G"/g1 "$G"/g2 "$G"/g3
	dry=$(sum_of names_unified)
	vx 0 scan --json
	eq "$dry" "$(sum_of names_unified)" names_unified
}

@test "without -v and --json, -n prints nothing per file" {
	vx 0 scan -n "$G"/g1 "$G"/g2 "$G"/g3
	hasnt "$OUT" 'usr/share/vu'
}

@test "-n makes no system call that changes a guest or the pool" {
	command -v strace >/dev/null || skip "needs strace"
	vx 0 scan "$G"/g1 "$G"/g2
	strace -f -y -qq -o "$STATE/trace" -e 'trace=!read,pread64,mmap,munmap,statx,getdents64,futex' \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -n "$G"/g1 "$G"/g2 "$G"/g3
	[[ -s $STATE/trace ]]
	run "$VU_TOP/tests/lib/strace-mutations" "$STATE/trace" "$G" "$MNT/.vunify"
	[[ $status == 0 ]] || die "$output"
}

@test "the check of system calls notices a run that changes guests" {
	command -v strace >/dev/null || skip "needs strace"
	strace -f -y -qq -o "$STATE/trace" -e 'trace=!read,pread64,mmap,munmap,statx,getdents64,futex' \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan "$G"/g1 "$G"/g2 "$G"/g3
	run "$VU_TOP/tests/lib/strace-mutations" "$STATE/trace" "$G" "$MNT/.vunify"
	[[ $status == 1 ]]
}
