#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify verify --repair: what is damaged is replaced for all guests, or kept from further ones.

load ../lib/farm
load ../lib/damage

BIG=usr/share/vu/big
F=usr/share/vu/f7

# g1 and g2 share, g3 has private copies.
unified() {
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	vx 0 scan "$G"/g1 "$G"/g2
}

as_before() {
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "$@"
}

# The object was replaced for g1 and g2, from a file that OUT names so.
repaired() {
	eq "$(sum_of damaged) $(sum_of repaired) $(sum_of quarantined) $(sum_of damages)" "1 1 0 0" \
		"damaged, repaired, quarantined, damages"
	has "$OUT" "$1"
	as_before
	same "$G/g1/$F" "$G/g2/$F"
	is_object "$G/g1/$F"
	vx 0 verify
	has "$OUT" '1 files in .vunify/rescued'
	vx 0 recover
	vx 0 scan
}

@test "what the disk has damaged is replaced from a private copy of a guest" {
	vx 0 guests add "$G/g3"
	unified
	damage_disk "$G/g1/$F"
	vx 3 verify --repair --json
	repaired "with the content of g3:/$F"
	differ "$G/g1/$F" "$(echo "$MNT"/.vunify/rescued/*)"
}

@test "without the catalog, too" {
	unified
	damage_disk "$G/g1/$F"
	rm "$CAT"
	for g in 1 2 3; do
		vx 0 guests add "$G/g$g"
	done
	vx 3 verify --repair --json
	repaired "with the content of g3:/$F"
}

@test "a copy with other metadata serves, elsewhere in a guest, too" {
	unified
	rm "$G/g3/$F"
	cp "$G/g1/$F" "$G/g1/usr/own-copy"
	chmod 0711 "$G/g1/usr/own-copy"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	damage_disk "$G/g1/$F"
	vx 3 verify --repair --json
	repaired "with the content of g1:/usr/own-copy"
}

@test "an object of another time with the same content serves" {
	for g in g1 g2; do
		cp "$G/$g/$F" "$G/$g/usr/other-time"
		touch -d @1555555555 "$G/$g/usr/other-time"
	done
	unified
	damage_disk "$G/g1/$F"
	vx 3 verify --repair --json
	repaired "with the content of $(basename "$(object_of "$G/g1/usr/other-time")")"
}

@test "a file that the admin names serves, and so does a tree as guests have it" {
	unified
	cp "$G/g3/$F" "$STATE/backup"
	mkdir -p "$STATE/tree/usr/share/vu"
	cp "$G/g3/$BIG" "$STATE/tree/$BIG"
	damage_disk "$G/g1/$F"
	vx 3 verify --repair --json --from="$STATE/nothing" --from="$STATE/backup"
	repaired "with the content of $STATE/backup"
	damage_disk "$G/g2/$BIG"
	vx 3 verify --repair --json --from="$STATE/tree"
	has "$OUT" "with the content of $STATE/tree/$BIG"
	as_before
	vx 2 verify --from="$STATE/backup"
}

@test "a member of an archive that the admin names serves, whatever it is called there" {
	unified
	mkdir "$STATE/t"
	cp -a "$G/g3/$F" "$STATE/t/called otherwise"
	# more than is kept in memory; of another owner, time and mode
	head -c 3000000 /dev/urandom | tee "$G/g1/usr/large" "$G/g2/usr/large" >"$STATE/t/large"
	touch -d @1600000000 "$G"/g[12]/usr/large
	chmod 0600 "$STATE/t/large"
	cp -a "$G/g3/usr/share/vu/xattr" "$STATE/t"
	vx 0 scan "$G"/g1 "$G"/g2
	tar -C "$STATE/t" --xattrs --xattrs-include='*' --format=pax -cf - . | zstd -q >"$STATE/t.tar.zst"
	rm "$G/g3/$F" "$G/g3/usr/share/vu/xattr"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	damage_disk "$G/g1/$F"
	damage_disk "$G/g1/usr/large"
	damage_disk "$G/g1/usr/share/vu/xattr"
	vx 4 verify --repair -n --json
	eq "$(sum_of repaired) $(sum_of quarantined)" "0 3" "repaired, quarantined, without the archive"
	find "$MNT" -printf '%p %i %n %m %s %T@ %C@\n' | sort >"$STATE/there"
	vx 4 verify --repair -n --json --from="$STATE/t.tar.zst"
	eq "$(sum_of repaired) $(sum_of quarantined)" "3 0" "those that would be"
	find "$MNT" -printf '%p %i %n %m %s %T@ %C@\n' | sort >"$STATE/then"
	same_text "$STATE/there" "$STATE/then"
	vx 3 verify --repair --json --from="$STATE/t.tar.zst"
	eq "$(sum_of damaged) $(sum_of repaired) $(sum_of quarantined)" "3 3 0" "damaged, repaired, quarantined"
	has "$OUT" "with the content of $STATE/t.tar.zst: called otherwise"
	as_before
	is_object "$G/g1/usr/large"
	same "$G/g1/usr/large" "$G/g2/usr/large"
	vx 0 verify
}

@test "the layers of an image serve as archives do, also what a later one takes away" {
	unified
	mkdir "$STATE/t" "$STATE/u"
	cp -p "$G/g3/$F" "$STATE/t/it"
	touch "$STATE/u/.wh.it"
	tar -C "$STATE/t" -czf "$STATE/1" it
	tar -C "$STATE/u" -cf "$STATE/2" .wh.it
	"$VU_TOP/tests/lib/oci-layout" "$STATE/image" --tag=new "$STATE/1" "$STATE/2" >/dev/null
	rm "$G/g3/$F"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	damage_disk "$G/g1/$F"
	vx 4 verify --repair -n --from="oci:$STATE/none" --from="oci:$STATE/image:old"
	has "$ERR" "oci:$STATE/none: not read as an archive.*No such file"
	has "$ERR" "oci:$STATE/image:old: not read as an archive"
	vx 3 verify --repair --json --from="oci:$STATE/image:new"
	repaired "with the content of oci:$STATE/image:new: it"
	as_before
	vx 0 verify
}

@test "without the catalog the metadata of the member serve, when those of the object are lost too" {
	unified
	vx 0 export --compress=xz g1 -o "$STATE/x.tar.xz"
	rm "$G/g3/$F"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	chattr -i "$G/g1/$F"
	printf 'longer content than it had\n' >"$G/g1/$F"
	chown 7:8 "$G/g1/$F"
	rm "$CAT"
	for g in 1 2; do
		vx 0 guests add "$G/g$g"
	done
	vx 3 verify --repair --json --from="$STATE/x.tar.xz"
	repaired "with the content of $STATE/x.tar.xz: $F"
}

@test "an archive with nothing that fits, or that is broken, is told, and changes nothing" {
	unified
	vx 0 export g1 -o "$STATE/x"
	# what fits lies behind the end
	tar -C "$G/g1" -cf "$STATE/whole" "$BIG" "$F"
	head -c 2000 "$STATE/whole" >"$STATE/cut"
	rm "$G/g3/$F"
	mkdir "$STATE/t"
	printf 'common file X\n' >"$STATE/t/$(basename "$F")"
	ln -s /etc/passwd "$STATE/t/link"
	# absolute and upward names, a device: nothing of them is made
	tar -C "$STATE/t" -P --transform="s,f7,../../../../../$STATE/escaped," -cf "$STATE/odd.tar" . /dev/null
	damage_disk "$G/g1/$F"
	vx 4 verify --repair --json --from="$STATE/odd.tar" --from="$STATE/cut"
	eq "$(sum_of repaired) $(sum_of quarantined)" "0 1" "repaired, quarantined"
	has "$OUT" 'not to its end'
	[[ ! -e $STATE/escaped ]] || die "a member was written where its name says"
	vx 3 verify --repair --json --from="$STATE/cut" --from="$STATE/x"
	eq "$(sum_of repaired)" 1 repaired
	eq "$(cat "$G/g1/$F")" 'common file 7' "what g1 has"
}

@test "an archive above a limit is left, and what was found in it is used" {
	unified
	rm "$G/g3/$F"
	mkdir "$STATE/t"
	cp -a "$G/g1/$F" "$STATE/t/a"
	truncate -s 5G "$STATE/t/b"
	tar -C "$STATE/t" --sparse --format=pax --sort=name -cf "$STATE/t.tar" .
	printf '[limits]\nmax_import_bytes = 1G\n' >>"$CONF"
	damage_disk "$G/g1/$F"
	vx 3 verify --repair --json --from="$STATE/t.tar"
	eq "$(sum_of repaired)" 1 repaired
	has "$OUT" 'max_import_bytes'
}

@test "a tree that is named leads nowhere else" {
	unified
	mkdir -p "$STATE/tree/usr"
	ln -s "$G/g3/usr/share" "$STATE/tree/usr/share"
	damage_disk "$G/g1/$F"
	vx 4 verify --repair --json --from="$STATE/tree"
	eq "$(sum_of repaired) $(sum_of quarantined)" "0 1" "repaired, quarantined"
}

@test "metadata that were changed in spite of the flag are put right, with names and xattrs" {
	unified
	for how in "chmod 0600" "chown 7:8" "touch -d @1500000000"; do
		# shellcheck disable=SC2086 # words
		in_spite_of_the_flag "$G/g1/$F" $how
		vx 3 verify --repair --json
		eq "$(sum_of repaired)" 1 "repaired, with $how"
		as_before "$how"
		vx 0 scan # the catalog gets to know the new object
	done
	in_spite_of_the_flag "$G/g1/usr/share/vu/xattr" chmod 0600
	in_spite_of_the_flag "$G/g1/usr/share/vu/twin-a" rewrite
	vx 0 guests add "$G/g3"
	vx 3 verify --repair --json
	eq "$(sum_of repaired)" 2 repaired
	as_before
	same "$G/g1/usr/share/vu/twin-a" "$G/g1/usr/share/vu/twin-b"
}

@test "an object that lost its flag, and was written to by a guest, is replaced" {
	vx 0 guests add "$G/g3"
	unified
	chattr -i "$G/g1/$F"
	printf 'other content\n' >"$G/g1/$F"
	vx 3 verify --repair --json
	repaired "with the content of g3:/$F"
	eq "$(cat "$MNT"/.vunify/rescued/*)" 'other content' "what was written"
}

@test "an object that cannot be read is replaced" {
	command -v strace >/dev/null || skip "needs strace"
	vx 0 guests add "$G/g3"
	unified
	local rc=0
	strace -qq -f -o /dev/null -P "$(object_of "$G/g1/$F")" -e trace=preadv2,pread64,read,copy_file_range \
		-e inject=preadv2,pread64,read,copy_file_range:error=EIO \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" verify --repair --json >"$STATE/out" 2>"$STATE/err" || rc=$?
	OUT=$(<"$STATE/out")
	eq "$rc" 3 "exit code"
	has "$OUT" 'it cannot be read.*Input/output error'
	repaired "with the content of g3:/$F"
}

@test "what cannot be repaired is in quarantine: told with each path, and given to nobody" {
	unified
	rm "$G/g3/$F"
	damage_disk "$G/g1/$F"
	say_manifest "$G"/g1 "$G"/g2 >"$STATE/damaged"
	vx 4 verify --repair --json
	eq "$(sum_of damaged) $(sum_of repaired) $(sum_of quarantined)" "1 0 1" "damaged, repaired, quarantined"
	eq "$(events damage | grep -F "$F")" "g1	$F"$'\n'"g2	$F" "names told"
	say_manifest "$G"/g1 "$G"/g2 >"$STATE/now"
	same_text "$STATE/damaged" "$STATE/now"
	same "$G/g1/$F" "$G/g2/$F"
	is_object "$G/g1/$F"
	# sound copies come to share among themselves
	for g in g2 g3; do
		vx 0 unmerge "$G/g2/$F"
		rm -f "$G/$g/$F"
		printf 'common file 7\n' >"$G/$g/$F"
		chmod --reference="$G/g1/$F" "$G/$g/$F"
		touch -r "$G/g1/$F" "$G/$g/$F"
	done
	vx 4 scan "$G"/g1 "$G"/g2 "$G"/g3
	has "$ERR" 'an object is damaged'
	same "$G/g2/$F" "$G/g3/$F"
	differ "$G/g1/$F" "$G/g2/$F"
	eq "$(cat "$G/g2/$F")" 'common file 7' "what g2 has"
	# and then there is something to repair it from
	vx 3 verify --repair --json
	eq "$(sum_of repaired)" 1 repaired
	eq "$(cat "$G/g1/$F")" 'common file 7' "what g1 has"
	vx 0 scan
	vx 0 verify
	[[ -z $(ls "$MNT/.vunify/quarantine" 2>/dev/null) ]] || { vx 0 gc && [[ ! -e $MNT/.vunify/quarantine ]]; }
}

@test "an object in quarantine gets no further names, also if it looks sound" {
	unified
	mkdir -m 0700 "$MNT/.vunify/quarantine"
	ln -s "$(stat -c %i "$G/g1/$F")" "$MNT/.vunify/quarantine/$(basename "$(object_of "$G/g1/$F")")"
	vx 4 scan "$G"/g1 "$G"/g2 "$G"/g3
	differ "$G/g1/$F" "$G/g3/$F"
	same "$G/g1/$BIG" "$G/g3/$BIG"
	# a mark of another inode means nothing
	ln -sfn 12345 "$MNT/.vunify/quarantine/$(basename "$(object_of "$G/g1/$F")")"
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	same "$G/g1/$F" "$G/g3/$F"
}

@test "what is sound again is in quarantine no more" {
	unified
	rm "$G/g3/$F"
	in_spite_of_the_flag "$G/g1/$F" rewrite
	vx 4 verify --repair
	chattr -i "$G/g1/$F"
	when=$(stat -c %.9Y "$G/g1/$F")
	printf 'common file 7\n' >"$G/g1/$F"
	touch -d "@$when" "$G/g1/$F"
	chattr +i "$G/g1/$F"
	vx 0 verify --repair --json
	has "$OUT" 'its quarantine is over'
	eq "$(find "$MNT/.vunify/quarantine" -type l | wc -l)" 0 marks
}

@test "a copy in a guest of another domain does not serve" {
	vx 0 guests add --domain=blue "$G/g3"
	unified
	damage_disk "$G/g1/$F"
	vx 4 verify --repair --json
	eq "$(sum_of repaired) $(sum_of quarantined)" "0 1" "repaired, quarantined"
}

@test "names that no registered guest has stay at the damaged inode, until its guest is registered" {
	vx 0 guests add "$G/g3"
	unified
	chattr -i "$G/g1/$F"
	mkdir "$G/g4"
	ln "$G/g1/$F" "$G/g4/besides"
	chattr +i "$G/g1/$F"
	damage_disk "$G/g1/$F"
	vx 4 verify --repair --json
	has "$OUT" 'has names still'
	eq "$(events damage)" "	" "names told" # those of g1 and g2 were moved
	as_before
	same "$G/g1/$F" "$G/g2/$F"
	differ "$G/g1/$F" "$G/g4/besides"
	flagged "$G/g4/besides" || die "what is left is not immutable"
	vx 4 recover
	vx 0 guests add "$G/g4"
	vx 0 recover
	same "$G/g1/$F" "$G/g4/besides"
	vx 0 verify
}

@test "verify --repair -n says what it would do, and does nothing" {
	vx 0 guests add "$G/g3"
	unified
	rm "$G/g3/usr/share/vu/f8"
	damage_disk "$G/g1/$F"
	damage_disk "$G/g1/usr/share/vu/f8"
	find "$MNT" -printf '%p %i %n %m %s %T@ %C@\n' | sort >"$STATE/before"
	vx 4 verify --repair -n --json
	eq "$(sum_of damaged) $(sum_of repaired) $(sum_of quarantined)" "2 1 1" "damaged, repaired, quarantined"
	has "$OUT" "would be replaced by one with the content of g3:/$F"
	find "$MNT" -printf '%p %i %n %m %s %T@ %C@\n' | sort >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
}

@test "a guest reads on meanwhile, and the damaged inode is its until it closes it" {
	vx 0 guests add "$G/g3"
	unified
	exec 9<"$G/g2/$F"
	damage_disk "$G/g1/$F"
	vx 3 verify --repair
	eq "$(head -c 1 <&9)" X "what was open"
	exec 9<&-
	eq "$(cat "$G/g2/$F")" 'common file 7' "what is there now"
}
