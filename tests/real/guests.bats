#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Real guests: 12 of them on ext4. The tests follow each other on the same guests, in the order in which
# they stand here.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

setup_file() {
	export REAL_WHY='' REAL_MNT='' REAL_STATE=''
	[[ $(id -u) == 0 ]] || REAL_WHY="needs root"
	[[ -n $REAL_WHY ]] || make_farm
}

make_farm() {
	local rc=0
	"$VU_TOP/tests/lib/make-guests" -C 2>"$BATS_FILE_TMPDIR/why" || rc=$?
	if ((rc == 77)); then
		REAL_WHY=$(tail -n 1 "$BATS_FILE_TMPDIR/why")
		return 0
	fi
	((rc == 0)) || { cat "$BATS_FILE_TMPDIR/why" >&2 && return 1; }
	if ! vu_fs_make ext4 7000; then
		REAL_WHY=$VU_FS_WHY
		return 0
	fi
	"$VU_TOP/tests/lib/make-guests" -n 12 "$VU_MNT/guests"
	vu_tmp
	REAL_MNT=$VU_MNT REAL_STATE=$VU_DIR
	sync -f "$VU_MNT"
	used >"$REAL_STATE/used-before"
}

setup() {
	[[ -z $REAL_WHY ]] || skip "$REAL_WHY"
	# The guests are made once, so what belongs to them stays until the end of the file.
	STATE=$REAL_STATE MNT=$REAL_MNT CONF=$REAL_STATE/vunify.conf CAT=$REAL_STATE/catalog.db
	G=$MNT/guests
	conf </dev/null
}

teardown_file() {
	vu_fs_clean
}

used() {
	sync -f "${VU_MNT:-$MNT}"
	df -B1 --output=used "${VU_MNT:-$MNT}" | tail -n 1
}

libcs() {
	find "$1"/*/usr/lib -xdev -type f -name libc.so.6 | sort
}

show_pages() {
	local first
	first=$(libcs "$G" | head -n 1)
	rc=0
	vu mem --prove "$first" "$first" >/dev/null 2>"$STATE/err" || rc=$?
	[[ $rc == 0 ]] || ! grep -q 'page frame' "$STATE/err" || skip "the kernel shows no page frames"
}

@test "12 guests: before the scan, libc is in as many places of the memory" {
	say_manifest "$G"/* >"$STATE/before"
	[[ $(libcs "$G" | wc -l) == 12 ]]
	show_pages
	libcs "$G" | xargs cat >/dev/null
	mapfile -t paths < <(libcs "$G")
	vx 1 mem --prove "${paths[@]}"
	eq "$(for f in "${paths[@]}"; do "$VU_TOP/tests/lib/page-frames" "$f"; done | sort -u | wc -l)" \
		"${#paths[@]}" "lists of page frames before"
}

@test "I14: 12 guests: jdupes agrees on what is identical" {
	command -v jdupes >/dev/null || skip "needs jdupes"
	conf <<<$'[policy]\nmin_size = 1\nmtime = ignore\nexclude ='
	vu --catalog "$STATE/peer.db" scan -n --json "$G"/* >"$STATE/events"
	jdupes -r -H -q "$G"/* >"$STATE/sets"
	run "$VU_TOP/tests/lib/peer-compare" "$STATE/sets" "$STATE/events" "$G"/*
	rm -f "$STATE"/peer.db* "$STATE/events" "$STATE/sets"
	[[ $status == 0 ]] || die "$output"
}

@test "12 guests: the scan unifies what the manual says, and is not to be seen from inside" {
	"$VU_TOP/tests/lib/oracle" expect "$G"/* >"$STATE/expect"
	vx 0 scan --json "$G"/*
	sum_of names_unified >"$STATE/names"
	say_manifest "$G"/* >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "seen from inside"
	"$VU_TOP/tests/lib/oracle" check "$STATE/expect"
	((10#$(<"$STATE/names") > 20000)) || die "only $(<"$STATE/names") names"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "12 guests: a second scan does nothing, and says so" {
	vx 0 scan --json "$G"/*
	eq "$(sum_of names_unified)" 0 names_unified
	eq "$(sum_of total.unified_before)" "$(<"$STATE/names")" unified_before
	say_manifest "$G"/* >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "seen from inside"
}

@test "12 guests: libc is one physical page in all of them" {
	mapfile -t paths < <(libcs "$G")
	eq "$(stat -c %i "${paths[@]}" | sort -u | wc -l)" 1 inodes
	show_pages
	vx 0 mem --prove --json "${paths[@]}"
	jq -e '.same and .pages_equal > 100' <<<"$OUT" >/dev/null
	# And asked without vunify.
	eq "$(for f in "${paths[@]}"; do "$VU_TOP/tests/lib/page-frames" "$f"; done | sort -u | wc -l)" 1 \
		"different lists of page frames"
}

@test "12 guests: df agrees with df(1) within 1 %" {
	vx 0 df --json
	saved=$(jq .total.saved_bytes <<<"$OUT")
	real=$(($(<"$STATE/used-before") - $(used)))
	diff=$((saved > real ? saved - real : real - saved))
	((diff * 100 <= real)) || die "saved $saved, df(1) says $real"
}

@test "12 guests: status and why hold together" {
	vx 0 status --json
	eq "$(jq .total.unified <<<"$OUT")" "$(<"$STATE/names")" unified
	eq "$(jq .total.pending <<<"$OUT")" 0 pending
	vx 0 why "$(libcs "$G" | head -n 1)"
	has "$OUT" 'unified.*more'
}

@test "12 guests: a clone of one is equal but for what is reset, works, and goes without a trace" {
	local one
	one=$(find "$G" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | head -n 1)
	find "$G" -type f -printf '%i %p\n' | sort >"$STATE/inodes"
	used=$(used)
	vx 0 clone --json "$one" clone
	eq "$(sum_of names)" "$(n_flagged "$G/clone")" "unified files of it"
	(cd "$G/$one" && say_manifest .) >"$STATE/one"
	(cd "$G/clone" && say_manifest .) >"$STATE/two"
	eq "$(diff "$STATE/one" "$STATE/two" | grep '^[<>]' | cut -f1 | sort -u | tr -d '\n')" \
		'< etc/machine-id> etc/machine-id' "what differs"
	eq "$(stat -c %s "$G/clone/etc/machine-id")" 0 "size of machine-id"
	eq "$(chroot "$G/clone" dpkg-query -W | wc -l)" "$(chroot "$G/$one" dpkg-query -W | wc -l)" packages
	vx 0 remove -y clone
	find "$G" -type f -printf '%i %p\n' | sort >"$STATE/inodes-after"
	same_text "$STATE/inodes" "$STATE/inodes-after"
	"$VU_TOP/tests/lib/pool-check" "$MNT" >/dev/null
	(($(used) < used + 4000000)) || die "the space did not come back: $used, now $(used)"
}

@test "I13: 12 guests: unmerge gives everything back" {
	vx 0 unmerge --json
	eq "$(sum_of names)" "$(<"$STATE/names")" names
	say_manifest "$G"/* >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "seen from inside"
	eq "$(n_objects)" 0 objects
	eq "$(find "$G"/* -type f -links +1 -printf '%D %i\n' | sort | uniq -c | awk '$1 > 5' | wc -l)" 0 "inodes of many"
	mapfile -t paths < <(libcs "$G")
	eq "$(stat -c %i "${paths[@]}" | sort -u | wc -l)" 12 "inodes of libc"
}
