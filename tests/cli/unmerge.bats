#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify unmerge: everything back.

load ../lib/farm

BIG=usr/share/vu/big

unified() {
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	vx 0 scan "$@" "$G"/g1 "$G"/g2 "$G"/g3
}

as_before() {
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
}

all_private() {
	eq "$(n_flagged "$G")" 0 "immutable files"
	eq "$(n_objects)" 0 objects
	differ "$G/g1/$BIG" "$G/g2/$BIG"
}

@test "unmerge of all guests gives private copies, with everything as it was" {
	unified
	vx 0 unmerge "$G"/g1 "$G"/g2 "$G"/g3
	as_before
	all_private
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "unmerge of the same is done when done again" {
	unified
	vx 0 unmerge
	vx 0 unmerge --json
	eq "$(sum_of names)" 0 names
	all_private
}

@test "unmerge without operands takes the registered guests, and counts" {
	unified --json
	names=$(sum_of names_unified)
	vx 0 unmerge --json
	eq "$(sum_of names)" "$names" names
	((10#$(sum_of inodes) <= 10#$names)) || die "more inodes than names"
	as_before
	all_private
}

@test "unmerge of one guest by its name leaves the others" {
	unified
	vx 0 unmerge g2
	is_private "$G/g2/$BIG"
	same "$G/g1/$BIG" "$G/g3/$BIG"
	is_object "$G/g1/$BIG"
	as_before
}

@test "unmerge of a path makes that path private, and no other" {
	unified
	vx 0 unmerge "$G/g2/$BIG"
	is_private "$G/g2/$BIG"
	is_object "$G/g2/usr/share/vu/f1"
	same "$G/g1/$BIG" "$G/g3/$BIG"
	printf 'more\n' >>"$G/g2/$BIG"
	eq "$(tail -n 1 "$G/g1/$BIG")" 60000 "last line of another guest's copy"
}

@test "unmerge of a directory inside a guest takes what is below it" {
	unified
	vx 0 unmerge "$G/g2/usr/share/vu"
	is_private "$G/g2/$BIG"
	is_private "$G/g2/usr/share/vu/f7"
	[[ $(find "$G/g2" -links +3 -type f | wc -l) -gt 0 ]]
}

@test "unmerge keeps inner hard links, xattrs and ACLs" {
	setfacl -m u:1234:r "$G"/g?/usr/share/vu/f1
	unified
	is_object "$G/g1/usr/share/vu/f1"
	vx 0 unmerge
	same "$G/g1/usr/share/vu/twin-a" "$G/g1/usr/share/vu/twin-b"
	has "$(getfacl -p "$G/g2/usr/share/vu/f1")" 'user:1234:r'
	as_before
}

@test "unmerge keeps set-id bits, capabilities and owners" {
	for g in g1 g2 g3; do
		cp -a "$G/$g/$BIG" "$G/$g/usr/bin/capable"
		chown 7:8 "$G/$g/usr/bin/setuid" "$G/$g/usr/bin/capable"
		chmod 6755 "$G/$g/usr/bin/setuid"
		setcap cap_net_raw+ep "$G/$g/usr/bin/capable"
		touch -d @1600000000.987654321 "$G/$g/usr/bin/capable"
	done
	conf <<<$'[policy]\nmin_size = 1\nunify_setid = yes'
	unified
	is_object "$G/g2/usr/bin/capable"
	is_object "$G/g2/usr/bin/setuid"
	vx 0 unmerge
	all_private
	as_before
	has "$(getcap "$G/g2/usr/bin/capable")" cap_net_raw
	eq "$(stat -c '%a %u %g' "$G/g2/usr/bin/setuid")" '6755 7 8' "mode and owner"
}

@test "unmerge gives a copy the time of last access of the object" {
	touch -a -d @1500000000.111222333 "$G"/g?/usr/share/vu/f1
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	atime=$(stat -c %.9X "$G/g1/usr/share/vu/f1")
	eq "$atime" 1500000000.111222333 "atime behind the scan"
	vx 0 unmerge
	for g in g1 g2 g3; do
		eq "$(stat -c %.9X "$G/$g/usr/share/vu/f1")" "$atime" "atime in $g"
	done
}

@test "unmerge of one of two names takes the other with it" {
	unified
	vx 0 unmerge "$G/g1/usr/share/vu/twin-a"
	same "$G/g1/usr/share/vu/twin-a" "$G/g1/usr/share/vu/twin-b"
	is_private "$G/g1/usr/share/vu/twin-b"
	as_before
}

@test "unmerge -n changes nothing and has the numbers of the run" {
	unified
	find "$G" "$MNT/.vunify" -printf '%p %i %n %C@\n' | sort >"$STATE/a"
	vx 0 unmerge -n --json
	dry=$(jq -S 'select(.type == "summary") | del(.dry_run, .seconds)' <<<"$OUT")
	list=$(events break)
	find "$G" "$MNT/.vunify" -printf '%p %i %n %C@\n' | sort >"$STATE/b"
	same_text "$STATE/a" "$STATE/b"
	vx 0 unmerge --json
	eq "$(jq -S 'select(.type == "summary") | del(.dry_run, .seconds)' <<<"$OUT")" "$dry" summary
	eq "$(events break)" "$list" list
}

@test "unmerge needs no catalog" {
	unified
	rm -f "$CAT"*
	vx 0 unmerge "$G"/g1 "$G"/g2 "$G"/g3
	as_before
	all_private
}

@test "unmerge works with a broken catalog" {
	unified
	head -c 20000 /dev/urandom >"$CAT"
	rm -f "$CAT"-*
	rc=0
	vu unmerge "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/out" 2>"$STATE/err" || rc=$?
	[[ $rc == 0 || $rc == 3 ]] || die "exit code $rc: $(<"$STATE/err")"
	as_before
	all_private
}

@test "unmerge says beforehand that the disk would be full, and does nothing: exit 13" {
	unified
	# What is free after this is less than one guest.
	free=$(df -B1 --output=avail "$MNT" | tail -n 1)
	head -c $((free - 1000000)) /dev/zero >"$MNT/ballast"
	sync -f "$MNT"
	find "$G" "$MNT/.vunify" -type f -printf '%p %i %n %C@\n' | sort >"$STATE/a"
	vx 13 unmerge
	has "$ERR" 'MiB are needed, .* are free'
	find "$G" "$MNT/.vunify" -type f -printf '%p %i %n %C@\n' | sort >"$STATE/b"
	same_text "$STATE/a" "$STATE/b" "inodes, links and ctimes"
	rm "$MNT/ballast"
	vx 0 unmerge
	as_before
}

@test "scan after unmerge unifies the same again" {
	unified --json
	names=$(sum_of names_unified)
	vx 0 unmerge
	vx 0 scan --json
	eq "$(sum_of names_unified)" "$names" names_unified
	as_before
}

@test "a path that is in no guest: exit 2 and its name" {
	unified
	rc=0
	vu unmerge "$G/not-there" >"$STATE/out" 2>"$STATE/err" || rc=$?
	[[ $rc == 1 || $rc == 2 ]] || die "exit code $rc"
	has "$(<"$STATE/err")" 'not-there'
	same "$G/g1/$BIG" "$G/g2/$BIG"
}

@test "an object's name in a place that is excluded now is found too" {
	unified
	conf <<<$'[policy]\nmin_size = 1\nexclude = /usr/share'
	vx 0 unmerge
	as_before
	all_private
}

@test "nothing named and no catalog: not set up" {
	vx 0 scan "$G"/g1 "$G"/g2
	rm -f "$CAT"*
	vx 10 unmerge
	has "$ERR" 'no guest is registered'
}

@test "a guest that is named is unmerged as a whole, also beside a path inside of it" {
	unified
	vx 0 unmerge g1 "$G/g1/usr/share/vu"
	eq "$(n_flagged "$G/g1")" 0 "immutable files"
}

@test "a path that is not there is an error, and changes nothing" {
	unified
	vx 1 unmerge "$G/g1/usr/share/no-such-file" g2
	has "$ERR" 'no-such-file'
	is_object "$G/g2/$BIG"
	vx 1 unmerge no-such-guest
	has "$ERR" 'no-such-guest'
}

@test "a path may be relative" {
	unified
	cd "$G/g1"
	vx 0 unmerge usr
	is_private "$G/g1/$BIG"
	is_object "$G/g2/$BIG"
}

@test "a file is unmerged without the catalog too" {
	unified
	rm -f "$CAT"*
	vx 0 unmerge "$G/g1/$BIG"
	is_private "$G/g1/$BIG"
	is_object "$G/g1/usr/share/vu/f1"
	vx 0 unmerge "$G/g1" "$G/g2" "$G/g3"
	as_before
}

@test "objects that are given back to their last guest count as removed" {
	unified --json
	n=$(sum_of objects_new)
	vx 0 unmerge -n --json
	eq "$(sum_of objects_removed)" "$n" "objects that would be removed"
	vx 0 unmerge --json
	eq "$(sum_of objects_removed)" "$n" "removed objects"
}

@test "a damaged catalog is told, and in nobody's way" {
	unified
	rm -f "$CAT"*
	echo 'no database' >"$CAT"
	vx 3 unmerge "$G"/g1 "$G"/g2 "$G"/g3
	has "$ERR" "warning.*$CAT"
	as_before
	all_private
	vx 1 unmerge g1
	has "$ERR" 'catalog'
}

@test "a symbolic link in a guest is no path to be unmerged" {
	unified
	ln -s usr/share "$G/g1/share"
	vx 2 unmerge "$G/g1/share"
	has "$ERR" 'symbolic link'
	is_object "$G/g1/$BIG"
}

@test "I13: a limit that is lower now than at the scan keeps nothing unified" {
	for g in g1 g2; do
		setfattr -n user.large -v "$(printf '%0500d' 0)" "$G/$g/usr/share/vu/f7"
		touch -d @1600000000.123456789 "$G/$g/usr/share/vu/f7"
	done
	vx 0 scan "$G/g1" "$G/g2"
	is_object "$G/g1/usr/share/vu/f7"
	conf <<<$'[policy]\nmin_size = 1\n[limits]\nmax_xattr_bytes = 100'
	vx 0 unmerge
	is_private "$G/g1/usr/share/vu/f7"
	eq "$(n_objects)" 0 objects
}

@test "I5: a path that a guest's symbolic link leads out of it is refused, and nothing there is opened" {
	vx 0 scan "$G"/g?
	mkdir "$MNT/outside"
	echo secret >"$MNT/outside/f"
	ln -s "$MNT/outside" "$G/g1/usr/way-out"
	strace -f -o "$STATE/trace" -e trace=open,openat,openat2 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" unmerge "$G/g1/usr/way-out/f" >"$STATE/out" 2>&1 || rc=$?
	eq "${rc:-0}" 2 "exit code"
	has "$(cat "$STATE/out")" "leads out of it"
	hasnt "$(cat "$STATE/trace")" '/outside'
	# One that stays inside is followed.
	ln -s share "$G/g1/usr/inside"
	vx 0 unmerge "$G/g1/usr/inside/vu/f1"
	is_private "$G/g1/usr/share/vu/f1"
}
