#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify recover --rebuild-catalog: a catalog that cannot be used any more.

load ../lib/farm

BIG=usr/share/vu/big

set_up_farm() {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 unmerge g3
	vx 0 guests set g3 --domain=other --rule='exclude usr/bin' --trust=yes
	vx 0 guests --json
	GUESTS=$(jq -c '[.guests[] | del(.id)]' <<<"$OUT")
}

guests_are() {
	vx 0 guests --json
	eq "$(jq -c '[.guests[] | del(.id)]' <<<"$OUT")" "$1" guests
}

overwrite() {
	# overwrite OFFSET BYTES, in the catalog
	printf "$2" | dd of="$CAT" bs=1 seek="$1" conv=notrunc status=none
}

# The page of a table's root, in 8 KiB pages.
page_of() {
	sqlite3 "$CAT" "SELECT rootpage FROM sqlite_schema WHERE name = '$1'"
}

@test "I9: a damaged catalog ends a scan with the command that rebuilds it" {
	set_up_farm
	overwrite 0 'no catalog at all'
	for verb in "scan" "status" "guests" "guests add $G/g1" "df" "history"; do
		# shellcheck disable=SC2086
		vx 4 $verb
		has "$ERR" 'not a database'
		has "$ERR" '; `vunify recover --rebuild-catalog`'
		eq "$(wc -l <<<"$ERR")" 1 "lines of $verb"
	done
}

@test "I9: rebuilding keeps the guests with what was set for them, and the old file" {
	set_up_farm
	cp "$CAT" "$STATE/before"
	# a page of names
	overwrite $((($(page_of inode) - 1) * 8192)) '\377\377\377\377\377\377\377\377'
	vx 4 scan
	cp "$CAT" "$STATE/damaged"
	vx 0 recover --rebuild-catalog -n
	has "$OUT" "recover $CAT: would be made anew with 3 guests"
	cmp "$CAT" "$STATE/damaged"
	vx 0 recover --rebuild-catalog
	has "$OUT" "made anew with 3 guests; .*the old one is $CAT.damaged-"
	aside=$(echo "$CAT".damaged-*)
	cmp "$aside" "$STATE/damaged"
	[[ ! -e $CAT.rebuild ]] || die "$CAT.rebuild is there"
	eq "$(stat -c %a "$CAT")" 600 "mode of the catalog"
	guests_are "$GUESTS"
	vx 0 scan
	same "$G/g1/$BIG" "$G/g2/$BIG"
	differ "$G/g1/$BIG" "$G/g3/$BIG"
	has "$OUT" '^0 files were unified'
	# and once more, with another name
	overwrite 0 'no catalog at all'
	vx 3 recover --rebuild-catalog
	eq "$(ls -d "$CAT".damaged-* | wc -l)" 2 "files set aside"
}

@test "I9: a guest whose row was changed is not believed, and told with what stood there" {
	set_up_farm
	for change in "domain = 'othes'" "trust = 0" "rules = ''" "path = '/x'" "ino = ino + 1"; do
		cp "$CAT" "$STATE/good"
		sqlite3 "$CAT" "UPDATE guest SET $change WHERE name = 'g3'"
		vx 4 scan
		has "$ERR" "guest's row does not fit its seal; .vunify recover --rebuild"
		vx 4 guests
		vx 3 recover --rebuild-catalog
		has "$ERR" 'warning: g3: not kept:'
		has "$OUT" 'made anew with 2 guests'
		vx 0 guests --no-legend --columns=guest
		eq "$OUT" $'g1\ng2' guests
		mv "$STATE/good" "$CAT"
	done
}

@test "I9: guests on another page than the damaged one are kept, and the lack is told" {
	for ((i = 0; i < 120; i++)); do
		mkdir "$G/many$i-$(printf '%0180d' "$i")"
		vx 0 guests add "$G/many$i-$(printf '%0180d' "$i")" --domain=d$i
	done
	leaf=$(sqlite3 "$CAT" "SELECT pageno FROM dbstat WHERE name = 'guest' AND pagetype = 'leaf'
		ORDER BY pageno LIMIT 1 OFFSET 1" 2>/dev/null) || skip "sqlite3 has no dbstat"
	overwrite $(((leaf - 1) * 8192)) '\0\377\377\377\377\377\377\377\377'
	vx 4 guests
	vx 3 recover --rebuild-catalog
	has "$ERR" 'there may be guests that the old catalog could not tell'
	vx 0 guests --no-legend --columns=guest,domain
	n=$(wc -l <<<"$OUT")
	((n > 60 && n < 120)) || die "$n guests of 120"
	# each with its own domain
	eq "$(sed -n 's/^many\([0-9]*\)-.*d\([0-9]*\)$/\1 \2/p' <<<"$OUT" | awk '$1 == $2' | wc -l)" "$n" \
		"guests with their domain"
}

@test "I13: unmerge and recover need no catalog, whatever is wrong with it" {
	command -v sqlite3 >/dev/null || skip "needs sqlite3"
	set_up_farm
	cp "$CAT" "$STATE/good"
	broken() {
		rm -rf "$CAT"*
		cp "$STATE/good" "$CAT"
		case $1 in
		text) overwrite 0 'no catalog at all' ;;
		short) truncate -s 5000 "$CAT" ;;
		future) overwrite 60 '\0\0\0\143' ;;
		row) sqlite3 "$CAT" "UPDATE guest SET domain = 'x'" ;;
		nulls) sqlite3 "$CAT" "UPDATE dir SET flags = -1; UPDATE inode SET size = -5" ;;
		tables) sqlite3 "$CAT" "DROP TABLE run" ;;
		directory) rm "$CAT" && mkdir "$CAT" ;;
		fifo) rm "$CAT" && mkfifo "$CAT" ;;
		dangling) rm "$CAT" && ln -s nowhere/at/all "$CAT" ;;
		loop) rm "$CAT" && ln -s "$CAT" "$CAT" ;;
		immutable) chattr +i "$CAT" 2>/dev/null || chmod 0400 "$CAT" ;;
		esac
	}
	for what in text short future row nulls tables directory fifo dangling loop immutable; do
		rm -rf "$CAT"*
		vx 0 scan "$G"/g1 "$G"/g2
		is_object "$G/g1/$BIG"
		chattr -i "$G/g1/$BIG"
		broken "$what"
		code=3
		# the damage lies where recover does not look
		[[ $what != nulls ]] || code=0
		# as good as not there
		[[ $what != dangling ]] || code=0
		vx $code recover "$G"/g1 "$G"/g2 || die "recover with $what"
		is_object "$G/g1/$BIG"
		[[ $what != nulls ]] || code=3
		VX_SECONDS=20 vx $code unmerge "$G"/g1 "$G"/g2 || die "unmerge with $what"
		[[ $code == 0 ]] || has "$ERR" "catalog $CAT (is left out|does not know of it): .*" || die "$what"
		is_private "$G/g1/$BIG"
		is_private "$G/g2/$BIG"
		chattr -i "$CAT" 2>/dev/null || :
	done
}

@test "what is no file is never set aside" {
	mkdir "$CAT"
	touch "$CAT/precious"
	vx 1 recover --rebuild-catalog
	has "$ERR" 'cannot rebuild the catalog: .*no regular file'
	[[ -e $CAT/precious ]]
	eq "$(ls -d "$CAT"* | wc -l)" 1 "names of $CAT"
	rm -r "$CAT"
	ln -s nowhere "$CAT"
	vx 1 recover --rebuild-catalog
	[[ -L $CAT ]]
}

@test "a catalog behind a symbolic link is rebuilt where it is" {
	set_up_farm
	mkdir "$STATE/elsewhere"
	mv "$CAT" "$STATE/elsewhere/cat"
	ln -s elsewhere/cat "$CAT"
	vx 0 recover --rebuild-catalog
	[[ -L $CAT ]]
	[[ -n $(echo "$STATE"/elsewhere/cat.damaged-*) ]]
	guests_are "$GUESTS"
}

@test "with no catalog at all, an empty one is made" {
	vx 0 recover --rebuild-catalog
	has "$OUT" 'made anew with 0 guests'
	vx 10 scan
}

# All but the index of the log, which whoever reads it makes.
catalog_files() {
	(cd "$STATE" && sha256sum "${CAT##*/}"* | grep -v -- '-shm$')
}

# fails_with CALL ERROR NUMBER: a rebuild in which that call fails. The old catalog is not changed.
fails_with() {
	local rc=0 files
	command -v strace >/dev/null || skip "needs strace"
	files=$(catalog_files)
	strace -qq -f -o /dev/null -e "trace=$1" -e "inject=$1:error=$2:when=$3" \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" recover --rebuild-catalog \
		>"$STATE/out" 2>"$STATE/err" || rc=$?
	ERR=$(<"$STATE/err")
	((rc == 1 || rc == 13)) || die "exit code $rc: $ERR" || return
	eq "$(catalog_files)" "$files" "the old catalog"
}

@test "I9: a rebuild that fails leaves the old catalog where and what it was" {
	set_up_farm
	overwrite $((($(page_of inode) - 1) * 8192)) '\377\377\377\377\377\377\377\377'
	cp "$CAT" "$STATE/damaged"
	# its log, what belongs to that, and the new catalog
	for n in 1 2 3; do
		fails_with rename ENOSPC $n
	done
	echo "what was committed last" >"$CAT-wal"
	fails_with rename ENOSPC 3
	rm -f "$CAT"-*
	vx 0 recover --rebuild-catalog
	cmp "$(echo "$CAT".damaged-*)" "$STATE/damaged"
	guests_are "$GUESTS"
}

@test "a catalog is rebuilt where a file can have one name only" {
	set_up_farm
	overwrite $((($(page_of inode) - 1) * 8192)) '\377\377\377\377\377\377\377\377'
	cp "$CAT" "$STATE/damaged"
	command -v strace >/dev/null || skip "needs strace"
	strace -qq -f -o /dev/null -e trace=link -e inject=link:error=EPERM \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" recover --rebuild-catalog >"$STATE/out" 2>&1
	cmp "$(echo "$CAT".damaged-*)" "$STATE/damaged"
	guests_are "$GUESTS"
}
