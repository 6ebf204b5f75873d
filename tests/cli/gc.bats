#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify gc: what nobody needs goes, and nothing else.

load ../lib/farm

F=usr/share/vu/f1

# g1 .. g3 have the given paths no more, as after upgrades under the guard: only the pool has these objects.
orphan() {
	local f
	for f; do
		chattr -i "$G/g1/$f"
		rm -f "$G"/g[123]/"$f"
	done
	find "$MNT/.vunify/objects" -links 1 -type f -exec chattr +i {} +
}

n_orphans() {
	find "$MNT/.vunify/objects" -links 1 -type f | wc -l
}

@test "gc removes the objects that no guest has, and counts what that frees" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	before=$(n_objects)
	orphan "$F" usr/share/vu/big
	eq "$(n_orphans)" 2 "objects without a guest"
	bytes=$(find "$MNT/.vunify/objects" -links 1 -type f -printf '%b\n' | awk '{ n += $1 } END { print n * 512 }')
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	vx 0 gc --json
	eq "$(sum_of objects_removed)" 2 removed
	eq "$(sum_of bytes_freed)" "$bytes" "bytes freed"
	eq "$(sum_of objects)" "$before" "objects looked at"
	eq "$(jq -s '[.[] | select(.type == "drop")] | length' <<<"$OUT")" 2 "objects told"
	eq "$(n_orphans) $(n_objects)" "0 $((before - 2))" "objects left"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
	vx 0 gc --json
	eq "$(sum_of objects_removed) $(sum_of rows_removed)" "0 0" "removed by the second"
}

@test "gc -n says the same, and removes nothing" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	orphan "$F" usr/share/vu/big
	vx 0 gc -n --json
	would=$(jq -s -c '.[-1] | [.objects, .objects_removed, .bytes_freed, .rows_removed]' <<<"$OUT")
	eq "$(n_orphans)" 2 "objects without a guest"
	vx 0 gc -n
	has "$OUT" '2 of [0-9]+ objects would be removed'
	vx 0 gc --json
	eq "$(jq -s -c '.[-1] | [.objects, .objects_removed, .bytes_freed, .rows_removed]' <<<"$OUT")" \
		"$would" "what was done"
}

@test "gc removes what the catalog says of objects and contents that are gone" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 gc
	rows=$(sqlite3 "$CAT" 'SELECT count(*) FROM object')
	contents=$(sqlite3 "$CAT" 'SELECT count(*) FROM content')
	orphan "$F"
	sqlite3 "$CAT" "INSERT INTO content (digest) VALUES (zeroblob(32))"
	vx 0 gc --json
	eq "$(sum_of rows_removed)" 3 "rows removed" # the object, its content, and the one made up
	eq "$(sqlite3 "$CAT" 'SELECT count(*) FROM object')" $((rows - 1)) "rows of objects"
	eq "$(sqlite3 "$CAT" 'SELECT count(*) FROM content')" $((contents - 1)) "rows of contents"
	vx 0 scan
	vx 0 status
}

@test "gc works without the catalog when roots are named" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	orphan "$F"
	rm "$CAT"
	vx 0 gc --json "$G/g1"
	eq "$(sum_of objects_removed)" 1 removed
	[[ ! -e $CAT ]] || die "it made a catalog"
	vx 10 gc
}

@test "a guest whose root is gone is told and kept, and forgotten when that is asked for" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 unmerge g3
	rm -r "$G/g3"
	vx 3 gc
	has "$ERR" 'g3: left out: its root .* is not there'
	vx 0 guests --columns=guest --no-legend
	has "$OUT" g3
	vx 3 gc -n --forget-guests
	has "$OUT" '1 guests would be forgotten'
	vx 0 gc --forget-guests --json
	eq "$(sum_of guests_forgotten)" 1 forgotten
	eq "$(events drop | cut -f 1)" g3 "guest told"
	vx 0 guests --columns=guest --no-legend
	eq "$(tr '\n' ' ' <<<"$OUT" | tr -s ' ')" 'g1 g2 ' guests
}

@test "a guest on a file system that is not mounted just now is never forgotten" {
	vx 0 scan "$G"/g1 "$G"/g2
	vx 0 unmerge
	umount "$MNT"
	vx 3 gc --forget-guests
	has "$ERR" 'g2: left out'
	mount -o loop "$VU_WORK/img" "$MNT"
	vx 0 guests --columns=guest --no-legend
	has "$OUT" g2
}

@test "two commands at once: gc ends with 11 while a scan is at work, and a scan while gc is" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	orphan "$F"
	hold statx 60 gc
	vx 11 scan
	vx 11 gc
	go_on
	eq "$(n_orphans)" 0 "objects without a guest"
}

@test "an object that a guest has open still goes, and the guest reads on" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	exec 9<"$G/g1/$F"
	orphan "$F"
	vx 0 gc --json
	eq "$(sum_of objects_removed)" 1 removed
	eq "$(cat <&9)" 'common file 1' "what the guest reads"
	exec 9<&-
}

@test "a pool without objects leaves no trace" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	chattr -R -i "$G" "$MNT/.vunify/objects" 2>/dev/null || :
	find "$G" -type f -links +1 -delete
	find "$MNT/.vunify/objects" -type f -exec chattr +i {} +
	vx 0 gc --json
	eq "$(sum_of objects_removed)" "$(sum_of objects)" "objects removed"
	[[ ! -e $MNT/.vunify ]] || die "there is a pool"
}

@test "gc first puts right what a killed run has left" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	chattr -i "$G/g1/usr/share/vu/big"
	vx 3 gc -n
	has "$ERR" 'cut short'
	vx 0 gc
	flagged "$G/g1/usr/share/vu/big" || die "the object has no flag"
}

@test "gc lifts the quarantine of objects that are gone, and of no others" {
	q=$MNT/.vunify/quarantine BIG=usr/share/vu/big
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	mkdir -m 0700 "$q"
	for f in "$F" "$BIG"; do
		kept=$(find "$MNT/.vunify/objects" -samefile "$G/g1/$f" -printf %f)
		ln -s "$(stat -c %i "$G/g1/$f")" "$q/$kept"
	done
	orphan "$F"
	vx 0 gc
	eq "$(ls "$q")" "$kept" "in quarantine"
	orphan "$BIG"
	vx 0 gc
	[[ ! -e $q ]] || die "left: $(ls "$q")"
}
