#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify guests: the registry.

load ../lib/farm

names() {
	vx 0 guests --json
	jq -r '.guests[].guest' <<<"$OUT" | paste -sd' '
}

field() {
	jq -r --arg g "$1" '.guests[] | select(.guest == $g) | .'"$2" <<<"$OUT"
}

@test "scan registers its roots under the names of their directories" {
	vx 0 scan -n "$G"/g1 "$G"/g2
	eq "$(names)" 'g1 g2' names
	vx 0 guests
	has "$OUT" '^g1 +.*/guests/g1'
	vx 0 guests list
	has "$OUT" '^g2 '
}

@test "add and remove" {
	vx 0 guests add "$G/g1"
	vx 0 guests add "$G/g2" --name second
	eq "$(names)" 'g1 second' names
	vx 0 guests remove g1
	eq "$(names)" 'second' names
	vx 0 guests remove "$G/g2"
	vx 2 guests remove g1
	has "$ERR" 'g1'
}

@test "add of what is known, of a name in use, of no directory: exit 2" {
	vx 0 guests add "$G/g1"
	vx 2 guests add "$G/g1"
	vx 2 guests add "$G/g1/" --name other
	vx 2 guests add "$G/g2" --name g1
	rc=0
	vu guests add "$G/nowhere" 2>"$STATE/err" || rc=$?
	[[ $rc == 1 || $rc == 2 ]] || die "exit code $rc"
	eq "$(names)" 'g1' names
}

@test "bad names are refused" {
	for name in '' . .. a/b; do
		vx 2 guests add "$G/g1" --name "$name"
	done
	vx 2 guests add "$G/g1" --name "$(printf '%0300d' 0)"
}

@test "two roots with the same directory name get two names" {
	mkdir "$MNT/other"
	cp -a "$G/g1" "$MNT/other/g1"
	vx 0 scan -n "$G/g1" "$MNT/other/g1"
	vx 0 guests --json
	eq "$(jq '.guests | length' <<<"$OUT")" 2 guests
	eq "$(jq -r '[.guests[].guest] | unique | length' <<<"$OUT")" 2 names
}

@test "a guest is its root's inode: it may be moved, and keeps its name" {
	vx 0 scan "$G"/g1 "$G"/g2
	mv "$G/g2" "$MNT/moved"
	vx 0 scan --json "$G/g1" "$MNT/moved"
	vx 0 guests --json
	eq "$(jq '.guests | length' <<<"$OUT")" 2 guests
	has "$(field g2 path)" '/moved$'
}

@test "set changes name, domain, rules and trust" {
	vx 0 guests add "$G/g1"
	vx 0 guests set g1 --name web --domain dmz --rule 'exclude /opt' --rule 'include /etc/x' --trust yes
	vx 0 guests --json
	eq "$(field web domain)" dmz domain
	eq "$(field web trust)" true trust
	has "$(field web rules)" 'exclude /opt.*include /etc/x'
	vx 0 guests set web --no-rules --domain '' --trust no
	vx 0 guests --json
	eq "$(field web rules)" '' rules
	eq "$(field web domain)" '' domain
	eq "$(field web trust)" false trust
}

@test "set of nothing, of a bad rule, of an unknown guest: exit 2" {
	vx 0 guests add "$G/g1"
	vx 2 guests set g1
	vx 2 guests set g1 --rule 'forbid /x'
	vx 2 guests set g1 --rule 'exclude /a/../b'
	vx 2 guests set nobody --domain x
}

@test "GUEST is a name or a root's path" {
	vx 0 guests add "$G/g1"
	vx 0 guests add "$G/g2"
	vx 0 guests set "$G/g2" --domain x
	vx 0 scan --json g1 "$G/g2"
	eq "$(jq -s 'last | .guests | length' <<<"$OUT")" 2 guests
}

@test "removing a guest leaves its files unified" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 guests remove g1
	is_object "$G/g1/usr/share/vu/big"
	same "$G/g1/usr/share/vu/big" "$G/g2/usr/share/vu/big"
	vx 0 unmerge "$G/g1"
	is_private "$G/g1/usr/share/vu/big"
}

@test "a registered guest that is gone is a warning, not the end" {
	vx 0 scan -n "$G"/g1 "$G"/g2 "$G"/g3
	rm -rf "$G/g3"
	vx 3 scan
	has "$ERR" 'g3'
	same "$G/g1/usr/share/vu/big" "$G/g2/usr/share/vu/big"
}

@test "no guests: exit 10" {
	vx 10 guests
}

@test "XFS: a guest is the same when its device has another number" {
	vu_fs_need xfs 300
	mkdir -p "$VU_MNT/g1/usr"
	vx 0 guests add "$VU_MNT/g1" --domain dmz
	umount "$VU_MNT"
	# the lowest free number is the one that the image had
	truncate -s 1M "$VU_WORK/filler"
	losetup -f "$VU_WORK/filler"
	mount -o loop "$VU_IMG" "$VU_MNT"
	vx 0 scan -n "$VU_MNT/g1"
	eq "$(names)" g1 names
	vx 0 guests --json
	eq "$(field g1 domain)" dmz domain
}

@test "another file system in a guest's place, with the same inode: a warning, and no new guest" {
	[[ -n $FARM_IMG ]] || skip "$FARM_WHY"
	vx 0 guests add "$G/g1" --domain dmz
	umount "$MNT"
	cp --sparse=always "$VU_WORK/img" "$VU_WORK/other"
	e2fsck -fp "$VU_WORK/other" >/dev/null || (($? == 1))
	tune2fs -U random "$VU_WORK/other" >/dev/null
	mount -o loop "$VU_WORK/other" "$MNT"
	vx 3 scan -n
	has "$ERR" 'g1'
	eq "$(names)" g1 names
}

@test "two file systems with one UUID: refused, since their guests cannot be told apart" {
	[[ -n $FARM_IMG ]] || skip "$FARM_WHY"
	mkdir "$VU_WORK/copy-mnt"
	cp --sparse=always "$VU_WORK/img" "$VU_WORK/copy"
	mount -o loop "$VU_WORK/copy" "$VU_WORK/copy-mnt"
	vx 12 scan "$G/g1" "$VU_WORK/copy-mnt/guests/g1"
	has "$ERR" 'UUID'
	is_private "$G/g1/usr/share/vu/big"
}

@test "a guest with unified files keeps its domain until it is unmerged" {
	vx 0 scan "$G"/g1 "$G"/g2
	vx 12 guests set g1 --domain other
	has "$ERR" 'unmerge'
	vx 0 guests set g1 --domain '' --trust yes
	vx 0 unmerge g1
	vx 0 guests set g1 --domain other
}
