#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify recover: after a crash.

load ../lib/farm

BIG=usr/share/vu/big

@test "recover with nothing to do says so" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 recover --json
	eq "$(sum_of reflagged)" 0 reflagged
	eq "$(sum_of names_removed)" 0 names_removed
	eq "$(sum_of names_restored)" 0 names_restored
	eq "$(sum_of objects)" "$(n_objects)" objects
	eq "$(sum_of pools)" 1 pools
}

@test "recover gives objects their flag again" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	chattr -i "$G/g1/$BIG" "$G/g1/usr/share/vu/f1"
	vx 0 recover -n --json
	eq "$(sum_of reflagged)" 2 "reflagged with -n"
	! flagged "$G/g1/$BIG" || die "-n set the flag"
	vx 0 recover --json
	eq "$(sum_of reflagged)" 2 reflagged
	is_object "$G/g1/$BIG"
	vx 0 recover --json
	eq "$(sum_of reflagged)" 0 "reflagged the second time"
}

@test "recover needs no catalog" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	chattr -i "$G/g1/$BIG"
	rm -f "$CAT"*
	vx 0 recover "$G"/g1 "$G"/g2 "$G"/g3
	is_object "$G/g1/$BIG"
}

@test "scan recovers by itself" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	chattr -i "$G/g1/$BIG"
	vx 0 scan
	is_object "$G/g1/$BIG"
}

@test "an object that was changed while it had no flag is damage, and said so" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	chattr -i "$G/g1/$BIG"
	chmod 0600 "$G/g1/$BIG"
	vx 4 recover
	has "$OUT$ERR" 'changed while it had no'
	vx 4 recover --json
	eq "$(sum_of damages)" 1 damages
	eq "$(jq -r 'select(.type == "damage") | .object' <<<"$OUT" | wc -l)" 1 "objects named"
	vx 4 scan
}

@test "killed in the middle of a scan: recover leaves nothing behind" {
	command -v strace >/dev/null || skip "needs strace"
	# What a killed run had no time for is to put back the mtimes of directories.
	say_manifest --no-dirtimes "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	for n in 7 40 90; do
		strace -qq -f -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=SIGKILL:when=$n \
			"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -j1 "$G"/g1 "$G"/g2 "$G"/g3 \
			>"$STATE/out" 2>&1 || :
		vx 0 recover "$G"/g1 "$G"/g2 "$G"/g3
		"$VU_TOP/tests/lib/pool-check" "$MNT"
		say_manifest --no-dirtimes "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
		same_text "$STATE/before" "$STATE/after"
		vx 0 recover --json "$G"/g1 "$G"/g2 "$G"/g3
		eq "$(jq -s 'last | .reflagged + .names_removed + .names_restored' <<<"$OUT")" 0 "left for the second"
	done
}

# What a killed run left of a guest that nobody finds any more. Of the files that it replaced one is another by now.
left_of_g2() {
	command -v strace >/dev/null || skip "needs strace"
	strace -qq -f -o /dev/null -e trace=unlinkat -e inject=unlinkat:signal=SIGKILL:when=8 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -j1 "$G"/g1 "$G"/g2 >"$STATE/out" 2>&1 || :
	LEFT=''
	local file
	for file in "$MNT"/.vunify/stage/0/t-*; do
		[[ $(stat -c %h "$file") != 1 ]] || LEFT=$file
	done
	[[ -n $LEFT ]]
	mv "$G/g2" "$MNT/elsewhere"
}

pool_is_clean() {
	eq "$(find "$MNT/.vunify/stage" -type f | wc -l)" 0 'in the stage'
	eq "$(stat -c %s "$MNT/.vunify/journal")" 0 'the journal'
}

@test "I8: a killed run does not need a guest that is gone since" {
	left_of_g2
	vx 3 recover
	has "$ERR" 'g2.*left out'
	pool_is_clean
	vx 0 scan "$G"/g1 "$G"/g3
}

@test "I8: a file of a guest that is not found waits for it, until it is registered no more" {
	left_of_g2
	echo newer >>"$LEFT"
	vx 3 recover
	has "$ERR" 'guest that is not known is left in the stage'
	vx 1 scan "$G"/g1 "$G"/g3
	vx 0 guests remove g2
	vx 3 recover
	has "$ERR" 'moved to .vunify/rescued'
	grep -qx newer "$MNT"/.vunify/rescued/*
	pool_is_clean
	vx 0 scan "$G"/g1 "$G"/g3
}

@test "what was put right is told without a size that nobody asked for" {
	vx 0 scan "$G"/g1 "$G"/g2
	chattr -i "$G/g1/$BIG"
	vx 0 recover
	has "$OUT" '^recover: the object got its immutable flag again'
	command -v strace >/dev/null || skip "needs strace"
	vx 0 unmerge
	strace -qq -f -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=SIGKILL:when=20 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -j1 >/dev/null 2>&1 || :
	vx 0 recover
	has "$OUT" '^recover .*: a replaced file: removed'
	hasnt "$OUT" '\(0 B\)'
}

# A writer has an object only when he slipped in during a moment: here the flag is off for him.
@test "I3: a guest's names of one file stay so where their object has a writer, and what waits for him is told" {
	command -v strace >/dev/null || skip "needs strace"
	a=$G/g2/usr/share/vu/twin-a b=$G/g2/usr/share/vu/twin-b
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	same "$a" "$b"
	# Between the exchanges of the two names.
	for n in 1 2 3 4 5; do
		strace -qq -f -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=SIGKILL:when=$n \
			"$VUNIFY" --config "$CONF" --catalog "$CAT" unmerge "$a" >/dev/null 2>&1 || :
		[[ $a -ef $b ]] || break
		vx 0 scan
	done
	differ "$a" "$b"
	chattr -i "$G/g1/usr/share/vu/twin-a"
	exec 7>>"$G/g1/usr/share/vu/twin-a"
	chattr +i "$G/g1/usr/share/vu/twin-a"
	vx 3 recover
	has "$ERR" 'kept in the stage: the object is open for writing'
	vx 1 unmerge "$G/g1/$BIG"
	has "$ERR" 'an earlier run left cannot be put right yet; see the warnings'
	exec 7>&-
	vx 0 recover
	has "$OUT" 'follows the other names of its file'
	same "$a" "$b"
	vx 0 unmerge "$G/g1/$BIG"
}
