#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Objects that a guest got open for writing. That hardly ever happens, so here it is made: the flag is
# off for as long as a process of the guest needs to open its name, and the note that a run makes when
# it detects that is put into the pool, as a killed run leaves it.

setup_file() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY" || return
	vu_tmp
	export RACE=$VU_DIR/race
	cc_test "$BATS_TEST_DIRNAME"/race*.c "$RACE"
}

setup() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	unset VU_WORK
}

teardown() {
	farm_down
}

teardown_file() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	vu_fs_clean
}

F=usr/share/vu/file

# use TYPE: four guests on that file system, unified; g4 has files of its own besides.
use() {
	local g i
	[[ $(id -u) == 0 ]] || skip "needs root"
	vu_fs_need "$1" 300
	MNT=$VU_MNT G=$VU_MNT/guests
	vu_tmp
	STATE=$VU_DIR CONF=$VU_DIR/vunify.conf CAT=$VU_DIR/catalog.db
	conf </dev/null
	mkdir -p "$G/g1/${F%/*}"
	for ((i = 0; i < 20; i++)); do seq "$i" 900 >"$G/g1/$F-$i"; done
	seq 2000 >"$G/g1/$F"
	ln "$G/g1/$F" "$G/g1/usr/also"
	touch -d @1600000000 "$G/g1/$F"* "$G/g1/usr/share/vu" "$G/g1/usr"
	for g in 2 3 4; do cp -a "$G/g1" "$G/g$g"; done
	seq 5 >"$G/g4/usr/own"
	vx 0 scan "$G"/g?
	is_object "$G/g1/$F"
	say_manifest "$G/g2" "$G/g3" "$G/g4" >"$STATE/before"
}

# slip PATH: a process opens it for writing; vunify has noted that.
slip() {
	local key
	chattr -i "$1"
	background "$RACE" hold-open "$1"
	chattr +i "$1"
	key=$(find "$MNT/.vunify/objects" -samefile "$1" -printf '%f\n')
	[[ -n $key ]] || die "no object: $1"
	[[ -d $MNT/.vunify/slipped ]] || mkdir -m 0700 "$MNT/.vunify/slipped"
	: >"$MNT/.vunify/slipped/$key"
}

go() {
	echo go >&"$BG_IN"
	read -r -t 10 written <&"$BG_OUT"
	eq "$written" written "the writer"
}

# evicted_by ARGS...: what was slipped into by g1 is g1's own after this run.
evicted_by() {
	slip "$G/g1/$F"
	vx 3 "$@" --json
	eq "$(sum_of objects_evicted)" 1 objects_evicted
	eq "$(sum_of damages)" 0 damages
	go
	has "$(cat "$G/g1/$F")" later
	is_private "$G/g1/$F"
	same "$G/g1/$F" "$G/g1/usr/also"
	is_object "$G/g2/$F"
	same "$G/g2/$F" "$G/g2/usr/also"
	same "$G/g2/$F" "$G/g3/$F"
	same "$G/g2/$F" "$G/g4/$F"
	say_manifest "$G/g2" "$G/g3" "$G/g4" >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "the other guests"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
	# The catalog is not misled: everything is known as it is, and undone as ever.
	vx 0 scan "$G"/g?
	is_private "$G/g1/$F"
	vx 0 unmerge
	eq "$(n_objects)" 0 objects
	has "$(cat "$G/g1/$F")" later
	say_manifest "$G/g2" "$G/g3" "$G/g4" >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "the other guests"
}

for_recover() {
	use "$1"
	evicted_by recover
}

# The run knows two guests only, and their directories are clean: the names are found all the same.
for_scan() {
	use "$1"
	evicted_by scan "$G/g2" "$G/g3"
}

for_recover_without_catalog() {
	use "$1"
	rm -f "$CAT"*
	evicted_by recover "$G"/g?
}

content_gone() {
	use "$1"
	slip "$G/g1/$F"
	go
	vx 4 recover --json
	eq "$(sum_of objects_evicted)" 0 objects_evicted
	eq "$(jq -r 'select(.type == "damage") | .guest' <<<"$OUT" | sort | tr '\n' ' ')" "g1 g2 g3 g4 " "guests told"
	same "$G/g1/$F" "$G/g2/$F"
	is_object "$G/g1/$F"
	exec {BG_IN}>&-
	vx 4 scan
	# The way out that is named.
	vx 4 unmerge "$G/g1/$F" "$G/g2/$F" "$G/g3/$F" "$G/g4/$F"
	differ "$G/g1/$F" "$G/g2/$F"
	vx 0 scan
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

nobody_known() {
	use "$1"
	mkdir "$MNT/elsewhere"
	chattr -i "$G/g1/$F"
	ln "$G/g1/$F" "$MNT/elsewhere/x"
	slip "$MNT/elsewhere/x"
	chattr -i "$G/g1/$F"
	rm "$MNT/elsewhere/x"
	chattr +i "$G/g1/$F"
	vx 4 recover --json
	eq "$(sum_of objects_evicted)" 1 objects_evicted
	go
	is_object "$G/g1/$F"
	same "$G/g1/$F" "$G/g2/$F"
	eq "$(head -c 5 "$MNT"/.vunify/rescued/*)" later "what is rescued"
	say_manifest "$G/g2" "$G/g3" "$G/g4" >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "the other guests"
}

dry_run() {
	use "$1"
	slip "$G/g1/$F"
	vx 3 recover -n
	has "$ERR" "would be moved"
	same "$G/g1/$F" "$G/g2/$F"
}

not_registered() {
	use "$1"
	vx 0 guests remove g4
	slip "$G/g1/$F"
	vx 4 recover
	has "$ERR" "no registered guest has"
	is_object "$G/g1/$F"
	differ "$G/g1/$F" "$G/g2/$F"
	same "$G/g1/$F" "$G/g4/$F"
	vx 3 recover "$G/g4"
	is_private "$G/g1/$F"
	same "$G/g2/$F" "$G/g4/$F"
}

@test "XFS: recover leaves the inode to the guest that opened it" { for_recover xfs; }
@test "btrfs: recover leaves the inode to the guest that opened it" { for_recover btrfs; }
@test "ext4: recover leaves the inode to the guest that opened it" { for_recover ext4; }
@test "XFS: scan of other guests does so" { for_scan xfs; }
@test "btrfs: scan of other guests does so" { for_scan btrfs; }
@test "XFS: recover does so without the catalog" { for_recover_without_catalog xfs; }
@test "XFS: the content cannot be had any more" { content_gone xfs; }
@test "btrfs: the content cannot be had any more" { content_gone btrfs; }
@test "XFS: whoever opened it cannot be told" { nobody_known xfs; }
@test "btrfs: whoever opened it cannot be told" { nobody_known btrfs; }
# No run has noted anything: it was killed while the flag was off, and the guest came then.
after_a_kill() {
	use "$1"
	chattr -i "$G/g1/$F"
	background "$RACE" hold-open "$G/g1/$F"
	vx 3 scan "$G/g3" --json
	eq "$(sum_of objects_evicted)" 1 objects_evicted
	go
	is_private "$G/g1/$F"
	same "$G/g1/$F" "$G/g1/usr/also"
	is_object "$G/g2/$F"
	say_manifest "$G/g2" "$G/g3" "$G/g4" >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "the other guests"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "XFS: a guest came while a killed run had left the flag off" { after_a_kill xfs; }
@test "btrfs: a guest came while a killed run had left the flag off" { after_a_kill btrfs; }
@test "XFS: recover -n only says so" { dry_run xfs; }
@test "XFS: a guest that is not registered has it too" { not_registered xfs; }
