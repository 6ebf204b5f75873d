#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify verify: what is not as it should be is found, told where it is, and not handed on.

load ../lib/farm
load ../lib/damage

BIG=usr/share/vu/big
F=usr/share/vu/f7
NAME=ab00000000000000000000000000000000000000000000000000000000000000-0

unified() {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
}

@test "verify of what is sound reads all objects, changes nothing and ends with 0" {
	unified
	find "$MNT" -printf '%p %i %n %m %s %T@ %C@\n' | sort >"$STATE/before"
	vx 0 verify --json
	eq "$(sum_of objects_verified)" "$(n_objects)" "objects verified"
	eq "$(sum_of bytes)" "$(find "$MNT/.vunify/objects" -type f -printf '%s\n' | awk '{ n += $1 } END { print n }')" bytes
	eq "$(sum_of complete) $(sum_of damaged) $(sum_of warnings)" "true 0 0" "complete, damaged, warnings"
	eq "$(sum_of names)" "$(find "$G" -type f -links +3 | wc -l)" "names in guests"
	eq "$(sum_of names_unrecorded) $(sum_of names_gone) $(sum_of unrecorded)" "0 0 0" "other than in the catalog"
	find "$MNT" -printf '%p %i %n %m %s %T@ %C@\n' | sort >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	vx 0 verify
	has "$OUT" "^$(n_objects) of $(n_objects) objects verified \(.* read in .* s\)"
	vx 0 history
	has "$OUT" verify
}

@test "what the disk has damaged is found, and told with each guest's path" {
	unified
	damage_disk "$G/g1/$F"
	vx 4 verify --json
	eq "$(sum_of damaged)" 1 damaged
	eq "$(events damage | grep -c "$F")" 3 "names told"
	has "$(events damage)" "^g2	$F$"
	has "$OUT" "$(basename "$(object_of "$G/g1/$F")")"
	vx 4 verify
	has "$ERR" "damage: g3:/$F: "
	has "$ERR" "its content is not what its name says"
}

@test "content and metadata that were changed in spite of the flag are found, and what differs is told" {
	local how what n=0
	unified
	while read -r what how; do
		# shellcheck disable=SC2086 # words
		in_spite_of_the_flag "$G/g1/usr/share/vu/f$((++n))" $how
		vx 4 verify --json
		eq "$(sum_of damaged)" "$n" "damaged, with $how"
		has "$OUT" "$what (is|are) not what its name says"
	done <<-'END'
		content rewrite
		size truncate -s 3
		size truncate -s 100
		mode chmod 0600
		owner chown 7:8
		time touch -d @1500000000
		attributes setfattr -n user.more -v 1
	END
	rm "$CAT" # which knows what they were
	vx 3 verify "$G/g1"
	has "$ERR" 'whether the object is sound cannot be told'
	vx 0 guests add "$G/g1"
	vx 4 verify --json
	eq "$(sum_of damaged)" "$n" "damaged, without what the catalog knew"
	has "$OUT" 'its content or its metadata are not'
}

@test "an object under another object's name is found" {
	unified
	[[ -d $MNT/.vunify/objects/ab ]] || mkdir -m 0700 "$MNT/.vunify/objects/ab"
	chattr -i "$G/g1/$F"
	mv "$(object_of "$G/g1/$F")" "$MNT/.vunify/objects/ab/$NAME"
	chattr +i "$G/g1/$F"
	vx 4 verify --json
	eq "$(sum_of damaged)" 1 damaged
	has "$OUT" "$NAME"
	has "$(events damage)" "^g3	$F$"
}

@test "an object that is not immutable is damage, and recover helps" {
	unified
	chattr -i "$G/g1/$F"
	vx 4 verify --json
	eq "$(sum_of not_immutable) $(sum_of damaged)" "1 0" "not immutable, damaged"
	has "$(events damage)" "^g2	$F$"
	vx 4 verify
	has "$ERR" 'run .vunify recover'
	vx 0 recover
	vx 0 verify
}

@test "what lies about in a pool is told" {
	unified
	[[ -d $MNT/.vunify/objects/ab ]] || mkdir -m 0700 "$MNT/.vunify/objects/ab"
	ln -s /etc/passwd "$MNT/.vunify/objects/ab/$NAME"
	touch "$MNT/.vunify/mine" "$MNT/.vunify/objects/ab12" "$(dirname "$(object_of "$G/g1/$F")")/<script>"
	vx 4 verify --json
	eq "$(sum_of strangers)" 4 strangers
	rm "$MNT/.vunify/objects/ab/$NAME"
	vx 0 scan
	vx 3 verify
	has "$ERR" '\.vunify/mine: nothing that vunify made'
	mkdir -m 0700 "$MNT/.vunify/stage/7"
	touch "$MNT/.vunify/stage/7/left"
	vx 3 verify
	has "$ERR" 'cut short.*recover'
}

@test "N subsets are all of it, and the same ones each time" {
	local k sum=0 found=0
	unified
	in_spite_of_the_flag "$G/g1/$F" rewrite
	# what the catalog would make suspect anyway
	sqlite3 "$CAT" 'DELETE FROM object'
	for k in 1 2 3; do
		vu verify --json --subset=$k/3 >"$STATE/out" 2>/dev/null || :
		OUT=$(<"$STATE/out")
		n=$(sum_of objects_verified)
		((n > 0 && n < $(n_objects)))
		sum=$((sum + n)) found=$((found + $(sum_of damaged)))
		vu verify --json --subset=$k/3 >"$STATE/out" 2>/dev/null || :
		OUT=$(<"$STATE/out")
		eq "$(sum_of objects_verified)" "$n" "objects of subset $k, again"
	done
	eq "$sum $found" "$(n_objects) 1" "objects, damaged"
	for k in 0/3 4/3 3 /3 1/ 1/3x -1/3; do
		vx 2 verify --subset="$k"
	done
	has "$ERR" 'K/N'
}

@test "an object whose metadata are not as recorded is read whatever part is asked for" {
	local k
	unified
	in_spite_of_the_flag "$G/g1/$F" chmod 0600
	for k in 1 2 3; do
		vx 4 verify --json --subset=$k/3
		eq "$(sum_of damaged)" 1 "damaged, subset $k"
	done
}

# Each read of an object takes 30 ms.
slowly() {
	local rc=0
	command -v strace >/dev/null || skip "needs strace"
	strace -qq -f -o /dev/null -e trace=preadv2 -e inject=preadv2:delay_enter=30000 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" "$@" >"$STATE/out" 2>"$STATE/err" || rc=$?
	OUT=$(<"$STATE/out") ERR=$(<"$STATE/err")
	return "$rc"
}

@test "verify stops when its time is over, and goes on there, until all is verified" {
	local runs=0 sum=0 all
	unified
	all=$(n_objects)
	slowly verify --json --max-duration=1s -q
	eq "$(sum_of complete)" false "complete"
	while ((runs++ < 20)); do
		sum=$((sum + $(sum_of objects_verified)))
		[[ $(sum_of complete) == false ]] || break
		slowly verify --json --max-duration=1s --resume
	done
	eq "$(sum_of complete)" true "complete at last"
	((sum >= all && sum <= all + 8 * runs)) || die "$sum objects verified of $all"
	vx 0 verify --json --resume
	eq "$(sum_of objects_verified)" "$all" "objects of the next round"
	for t in 0 1y x '' 1hh; do
		vx 2 verify --max-duration="$t"
	done
}

@test "stopped by a signal it goes on there, too" {
	local rc=0
	command -v strace >/dev/null || skip "needs strace"
	unified
	conf <<<$'[policy]\nmin_size = 1\n[scan]\njobs = 1' # signals come to the first thread
	strace -qq -f -o /dev/null -e trace=preadv2 -e inject=preadv2:signal=SIGINT:when=40 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" verify >"$STATE/out" 2>"$STATE/err" || rc=$?
	eq "$rc" 130 "exit code"
	vx 0 verify --json --resume
	((10#$(sum_of objects_verified) < $(n_objects))) || die "it began anew"
	((10#$(sum_of objects_verified) > $(n_objects) / 3)) || die "only $(sum_of objects_verified) objects"
	eq "$(sum_of complete)" true complete
}

@test "objects of a domain of which no guest is registered any more are no damage" {
	vx 0 guests add --domain=blue "$G/g1"
	vx 0 guests add --domain=blue "$G/g2"
	vx 0 guests add "$G/g3"
	vx 0 scan
	vx 0 guests remove g1
	vx 0 guests remove g2
	vx 0 verify --json
	eq "$(sum_of objects_verified) $(sum_of damaged)" "$(n_objects) 0" "verified, damaged"
	eq "$(sum_of objects_named_outside)" "$(n_objects)" "objects with names outside"
	rm "$CAT"
	vx 3 verify "$G/g3"
	has "$ERR" 'its domain is not known'
	hasnt "$ERR" damage
}

@test "names outside of the guests, objects without guests and other names than recorded are noted" {
	unified
	chattr -i "$G/g1/$F" "$G/g1/$BIG"
	ln "$G/g1/$F" "$MNT/besides"
	rm "$G"/g[123]/"$BIG"
	rm "$G/g1/$F"
	chattr +i "$MNT/besides" "$(find "$MNT/.vunify/objects" -links 1)"
	vx 0 verify --json
	eq "$(sum_of objects_named_outside) $(sum_of objects_unnamed) $(sum_of names_gone)" "1 1 4" "noted"
	vx 0 verify
	has "$OUT" '1 objects are in no guest: .vunify gc'
}

@test "a catalog that says what is not so of a sound object is told, and a new one helps" {
	unified
	sqlite3 "$CAT" "UPDATE object SET size = size + 1 WHERE ino = $(stat -c %i "$G/g1/$F")"
	vx 3 verify --json
	eq "$(sum_of misrecorded) $(sum_of damaged)" "1 0" "misrecorded, damaged"
	has "$OUT" 'rebuild-catalog'
}

@test "an object whose flag is off for a moment is no damage" {
	unified
	chattr -i "$G/g1/$F"
	background python3 -c '
import fcntl, os, struct, sys, time
claims, obj = sys.argv[1:]
fd = os.open(claims, os.O_RDWR)
ino = os.stat(obj).st_ino
# as link/claim.c does it: a lock on the byte of the inode number
fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, ino & 0x7fffffffffffffff, 1, 0))
print("ready", flush=True)
time.sleep(0.2)
os.system("chattr +i " + obj)
sys.stdin.readline()' "$MNT/.vunify/claims" "$G/g1/$F"
	vx 0 verify
}

@test "two commands at once: verify ends with 11 while a scan is at work, and a scan while it is" {
	unified
	hold preadv2 20 verify
	vx 11 scan
	vx 11 verify
	go_on
	[[ -f $STATE/held ]] && has "$(<"$STATE/held")" 'objects verified'
}

@test "what was not in memory before is not afterwards" {
	command -v fincore >/dev/null || skip "needs fincore"
	unified
	forget "$G/g1/$BIG"
	eq "$(fincore -n -o PAGES "$G/g1/$BIG" | tr -d ' ')" 0 "pages before"
	vx 0 verify
	eq "$(fincore -n -o PAGES "$G/g1/$BIG" | tr -d ' ')" 0 "pages afterwards"
}

@test "a file system that is read-only can be verified" {
	unified
	mount -o remount,ro "$MNT"
	vx 0 verify --json
	eq "$(sum_of objects_verified)" "$(n_objects)" "objects verified"
	mount -o remount,rw "$MNT"
}
