#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify remerge: what came apart and is equal is unified again; the rest of the farm is not looked at.

load ../lib/farm
load ../lib/cow

D=usr/share/vu

# The guests, unified; directories are old enough to be clean from now on.
unified() {
	find "$G" -type d -exec touch -d @1600000000 {} +
	sleep 0.1
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
}

# apart PATH...: gives them private copies behind the catalog's back.
apart() {
	"$VUNIFY" --config "$CONF" --catalog "$STATE/other.db" unmerge -q "$@"
	rm -f "$STATE"/other.db*
}

# change FILE TEXT: as an editor does: a new file in its place.
change() {
	apart "$1"
	printf '%s\n' "$2" >"$1.new"
	mv "$1.new" "$1"
}

# rows TABLE: all of them
rows() {
	sqlite3 "$CAT" "SELECT * FROM $1" | md5sum
}

@test "what came apart is unified again where it is equal, and stays private where it differs" {
	unified
	apart "$G/g2/$D/f1" "$G/g2/$D/f2"
	change "$G/g3/$D/f3" mine
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	vx 0 remerge --json
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "seen from inside"
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
	same "$G/g1/$D/f2" "$G/g2/$D/f2"
	is_private "$G/g3/$D/f3"
	eq "$(events broken)" "g2	$D/f1
g2	$D/f2
g3	$D/f3" "what is told to have come apart"
	eq "$(events unify)" "g2	$D/f1
g2	$D/f2" "what is unified"
	eq "$(sum_of 'guests[0].broken, .guests[1].broken, .guests[1].again, .guests[2].broken, .guests[2].again' | paste -sd' ')" \
		"0 2 2 1 0" "broken and again, by guest"
	eq "$(sum_of 'total.broken_skips | tostring')" '"{\"unique\":1}"' "why the others stay private"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "an object that has lost its flag gets no further names, and that is told" {
	unified
	apart "$G/g2/$D/f1"
	chattr -i "$G/g1/$D/f1"
	vx 3 remerge
	has "$ERR" 'not what the pool and the catalog say: not used'
	is_private "$G/g2/$D/f1"
	vx 0 recover
	is_object "$G/g1/$D/f1"
	vx 0 remerge
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
}

@test "for people: how many came apart, and why some stay so" {
	unified
	apart "$G/g2/$D/f1"
	change "$G/g3/$D/f3" mine
	vx 0 remerge
	has "$OUT" '^1 file was unified, '
	has "$OUT" '^2 files had come apart since the last run, 1 of them is unified again$'
	has "$OUT" '^GUEST .* BROKEN AGAIN$'
	has "$OUT" '^g2 .* 1 +1$'
	has "$OUT" '^g3 .* 1 +0$'
	has "$OUT" '^unique +4 +1 '
}

@test "nothing changed: nothing is read or written but the row of the run" {
	unified
	vx 0 remerge
	find "$G" "$MNT/.vunify" -printf '%p %i %n %C@\n' | sort >"$STATE/a"
	for t in dir name uname inode content object attr meta guest guest_skip; do rows "$t"; done >"$STATE/rows-a"
	vx 0 remerge --json
	for t in dir name uname inode content object attr meta guest guest_skip; do rows "$t"; done >"$STATE/rows-b"
	find "$G" "$MNT/.vunify" -printf '%p %i %n %C@\n' | sort >"$STATE/b"
	same_text "$STATE/a" "$STATE/b" "inodes, links and ctimes"
	same_text "$STATE/rows-a" "$STATE/rows-b" "the catalog's tables"
	eq "$(sum_of 'names_unified + .read_bytes + .total.broken')" 0 "unified, read, broken"
	eq "$(sqlite3 "$CAT" "SELECT verb, outcome FROM run ORDER BY id DESC LIMIT 1")" "remerge|0" "the run"
}

# calls_of ARGS...: what vunify opens, and what it looks at
calls_of() {
	command -v strace >/dev/null || skip "needs strace"
	strace -qq -f -y -o "$STATE/trace" -e trace=open,openat,openat2,statx,getdents64 "$VUNIFY" --config "$CONF" \
		--catalog "$CAT" "$@" >"$STATE/out" 2>"$STATE/err"
}

# listed DIR: how often what lies below it was read with getdents64(2)
listed() {
	grep -c "getdents64([0-9]*<$1/" "$STATE/trace" || :
}

@test "nothing changed: no directory of a guest or of the pool is listed, and no object looked at" {
	unified
	calls_of remerge
	eq "$(listed "$G"; listed "$MNT/.vunify/objects")" $'0\n0' "directories"
	eq "$(grep -c 'statx([0-9]*<[^>]*/objects/..>' "$STATE/trace" || :)" 0 "objects looked at"
	apart "$G/g2/$D/f1"
	calls_of remerge -j1
	eq "$(grep -o "getdents64([0-9]*<$G/[^>]*>" "$STATE/trace" | sed 's/.*guests.//; s/>//' | sort -u)" "g2/$D" \
		"directories that were listed"
}

@test "nothing changed, in whatever order the guests are named" {
	unified
	vx 0 remerge g3 g1 g2
	eq "$(sed -n '/^g[0-9]/s/ .*//p' "$STATE/out" | paste -sd' ')" "g3 g1 g2" order
	few=$(tail -n +4 "$STATE/out")
	vx 0 remerge --full g3 g1 g2
	eq "$(tail -n +4 "$STATE/out")" "$few" "the tables"
}

@test "what a killed run left is put right though no guest has changed" {
	unified
	vx 0 remerge
	: >"$MNT/.vunify/stage/left"
	vx 3 remerge
	has "$ERR" left
	[[ ! -e $MNT/.vunify/stage/left ]] || die "it is still there"
}

# seen: does a run look at objects, so at the whole farm?
seen() {
	calls_of remerge
	(($(grep -c 'openat([0-9]*<[^>]*/objects>, "..",' "$STATE/trace") > 0))
}

# tests/unit/test-unchanged.c has all that can be done to a directory and a file.
@test "a change is seen: of a private file, of a directory, of the pool" {
	unified
	vx 0 remerge
	! seen || die "nothing has changed"
	echo more >>"$G/g2/usr/share/own-2"
	seen || die "a file that was written to"
	! seen || die "nothing has changed since"
	mv "$G/g3/usr/sbin" "$G/g3/usr/lib/"
	mkdir "$G/g3/usr/sbin"
	seen || die "a directory in the place of another"
	sleep 0.05
	seen || : # it was young
	! seen || die "nothing has changed since that"
	set -- "$MNT"/.vunify/objects/*/*
	chattr -i "$1"
	cp "$1" "$1-copy"
	seen || die "a file in the pool"
}

@test "nothing changed: -v and --json name the private files all the same" {
	unified
	vx 0 remerge -v
	has "$OUT" '^skip g2:/usr/share/own-2: unique$'
	vx 0 remerge --json
	eq "$(events skip | grep -c own-)" 3 "files of their own"
}

@test "nothing changed: the report is that of a scan of all files" {
	unified
	vx 0 remerge
	few=$(tail -n +4 "$STATE/out")
	vx 0 remerge --full
	eq "$(tail -n +4 "$STATE/out")" "$few" "the tables"
	has "$few" "total +[0-9]+ +$(n_flagged "$G") "
}

@test "-n changes nothing, may be asked twice, and has the list and the numbers of the run" {
	unified
	apart "$G/g2/$D/f1"
	change "$G/g3/$D/f3" mine
	find "$G" "$MNT/.vunify" -printf '%p %i %n %C@\n' | sort >"$STATE/a"
	vx 0 remerge -n
	vx 0 remerge -n --json
	find "$G" "$MNT/.vunify" -printf '%p %i %n %C@\n' | sort >"$STATE/b"
	same_text "$STATE/a" "$STATE/b"
	numbers='[.[] | select(.type == "summary")] | last |
		del(.dry_run, .seconds, .frozen, .frozen_ms_max, .memory_freed_now_bytes, .memory_freed_bytes)'
	dry=$(jq -sS "$numbers" <<<"$OUT") list=$(events unify; events broken; events skip)
	vx 0 remerge --json
	eq "$(jq -sS "$numbers" <<<"$OUT")" "$dry" numbers
	eq "$(events unify; events broken; events skip)" "$list" list
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
}

@test "only the guests that are named are touched, and the others' turn comes later" {
	unified
	apart "$G/g2/$D/f1" "$G/g3/$D/f2"
	vx 0 remerge --json g2
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
	is_private "$G/g3/$D/f2"
	vx 0 remerge --json "$G/g3"
	same "$G/g1/$D/f2" "$G/g3/$D/f2"
	eq "$(sum_of 'total.broken')" 1 broken
	# what the catalog knows of the guest that was named in neither is still there
	vx 0 remerge --json
	eq "$(sum_of 'total.unified_before, .total.broken, .read_bytes' | paste -sd' ')" "$(n_flagged "$G") 0 0" "all of them"
}

@test "guests that broke the same file are remerged one after the other, each by itself" {
	unified
	apart "$G/g2/$D/f1" "$G/g3/$D/f1"
	vx 0 remerge g2
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
	is_private "$G/g3/$D/f1"
	vx 0 remerge g3
	same "$G/g1/$D/f1" "$G/g3/$D/f1"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "I2: a name that cannot be looked at in another guest keeps files from joining its object" {
	unified
	apart "$G/g2/$D/f1"
	# g3 is a guest whose root is not where it was
	mv "$G/g3" "$MNT/away"
	vx 0 remerge --json g2
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
	apart "$G/g2/$D/f1" "$MNT/away/$D/f1"
	vx 0 remerge --json g2
	is_private "$G/g2/$D/f1"
	mv "$MNT/away" "$G/g3"
	vx 0 remerge
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
}

@test "a root that is no guest: exit 2; without a catalog: exit 10" {
	vx 10 remerge
	has "$ERR" 'vunify scan'
	vx 0 scan "$G/g1"
	vx 2 remerge "$G/g2"
	eq "$(vu guests --columns=guest --no-legend)" g1 guests
}

@test "a root that is gone is told, and the others are remerged" {
	unified
	apart "$G/g2/$D/f1"
	mv "$G/g3" "$MNT/elsewhere"
	vx 3 remerge
	has "$ERR" 'g3.*left out.*is not there'
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
	apart "$G/g2/$D/f1"
	vx 3 remerge g3 g2
	has "$ERR" 'g3.*left out'
	is_object "$G/g2/$D/f1"
	# and it is remerged when it is back
	mv "$MNT/elsewhere" "$G/g3"
	apart "$G/g3/$D/f1"
	vx 0 remerge
	same "$G/g1/$D/f1" "$G/g3/$D/f1"
}

@test "a file that a guest made joins the object that there is" {
	unified
	cp -p "$G/g1/$D/f1" "$G/g2/root/copy"
	cp -p "$G/g1/$D/f1" "$G/g2/$D/copy"
	rm -f "$G/g2/$D/none"
	vx 0 remerge --json
	# its guest has a name of that object already, and files of one guest are not merged
	is_private "$G/g2/$D/copy"
	printf 'new\n' >"$G/g2/$D/new"
	touch -d @1600000000 "$G/g2/$D/new"
	cp -p "$G/g2/$D/new" "$G/g3/$D/"
	vx 0 remerge --json
	same "$G/g2/$D/new" "$G/g3/$D/new"
	eq "$(sum_of total.broken)" 0 "what was never unified has not come apart"
	cp -p "$G/g2/$D/new" "$G/g1/$D/"
	vx 0 remerge
	same "$G/g1/$D/new" "$G/g3/$D/new"
}

@test "names of one inode in a directory that changed and in one that did not move together" {
	printf 'twins\n' >"$G/g2/usr/lib/one"
	touch -d @1600000000 "$G/g2/usr/lib/one"
	ln "$G/g2/usr/lib/one" "$G/g2/$D/two"
	unified
	is_private "$G/g2/$D/two"
	# g2's directories stay as they are
	cp -p "$G/g2/$D/two" "$G/g1/$D/other"
	vx 0 remerge
	same "$G/g2/usr/lib/one" "$G/g2/$D/two"
	same "$G/g1/$D/other" "$G/g2/$D/two"
	is_object "$G/g2/$D/two"
	# one of the two directories changes
	apart "$G/g2/$D/two" "$G/g2/usr/lib/one"
	ln -f "$G/g2/$D/two" "$G/g2/usr/lib/one"
	vx 0 remerge --json
	same "$G/g1/$D/other" "$G/g2/$D/two"
	same "$G/g2/usr/lib/one" "$G/g2/$D/two"
	eq "$(sum_of 'total.broken, .total.again' | paste -sd' ')" "2 2" "names that came apart, and again"
}

@test "a directory whose time lies in the future is never trusted" {
	unified
	touch -d '2099-01-01' "$G/g2/$D"
	vx 0 remerge
	vx 0 remerge
	dirty() {
		sqlite3 "$CAT" "SELECT flags & 2 FROM dir WHERE name = CAST('vu' AS BLOB) AND guest =
			(SELECT id FROM guest WHERE name = '$1')"
	}
	eq "$(dirty g1)" 0 "of one with a usual time"
	eq "$(dirty g2)" 2 "of that one"
}

@test "what was recorded as young as it was is looked at again" {
	unified
	vx 0 remerge
	# As if it had been listed within the tick in which it changed: its times say nothing.
	sqlite3 "$CAT" "UPDATE dir SET flags = flags | 2 WHERE name = CAST('vu' AS BLOB)"
	sqlite3 "$CAT" "DELETE FROM name WHERE name = CAST('late' AS BLOB)"
	vx 0 remerge --json
	eq "$(sum_of total.skips.\"mtime-differs\".files)" 3 "files that differ in their mtime"
}

@test "--full looks at everything" {
	unified
	vx 0 remerge
	# A row that is wrong is believed as long as its directory does not change.
	sqlite3 "$CAT" "DELETE FROM name WHERE name = CAST('late' AS BLOB)"
	vx 0 remerge --json
	eq "$(sum_of total.skips.\"mtime-differs\")" null "of a clean directory"
	vx 0 remerge --json --full
	eq "$(sum_of total.skips.\"mtime-differs\".files)" 3 "looked at"
}

# broken GUEST: as status has it
broken() {
	vu status --json "$1" | jq -r '.guests[0].broken'
}

@test "what vunify run broke is told, unified again where it is equal, and forgotten" {
	shells
	unified
	vx 0 run g1 -- sh -ec 'cd /usr/share/vu; cat f0 >x; cat x >f0; touch -r f1 f0; rm x; echo more >>f2'
	eq "$(broken g1)" 2 "after the run"
	vx 0 remerge -n
	eq "$(broken g1)" 2 "after -n"
	vx 0 remerge --json
	eq "$(events broken)" "g1	$D/f0
g1	$D/f2" "what came apart"
	same "$G/g1/$D/f0" "$G/g2/$D/f0"
	is_private "$G/g1/$D/f2"
	eq "$(broken g1)" 0 "after it"
	vx 0 remerge --json
	eq "$(sum_of total.broken)" 0 "told once"
}

@test "a file that was open for writing is unified by the next remerge, though nothing changed since" {
	unified
	apart "$G/g2/$D/f1"
	background python3 -c 'import sys
f = open(sys.argv[1], "r+")
print("open", flush=True)
sys.stdin.readline()' "$G/g2/$D/f1"
	vx 0 remerge --json
	is_private "$G/g2/$D/f1"
	eq "$(sum_of 'total.broken_skips["open-for-write"]')" 1 "why it stays private"
	kill "$BG_PID"
	wait "$BG_PID" || :
	vx 0 remerge
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
}

@test "rules that changed hold for files that did not" {
	unified
	vx 0 remerge
	conf <<<$'[policy]\nmtime = ignore\nmin_size = 1'
	vx 0 remerge
	same "$G/g1/$D/late" "$G/g2/$D/late"
}

@test "a package's new configuration file is told from others, though its directory did not change" {
	printf 'own\n' >"$G/g2/$D/own"
	unified
	vx 0 remerge
	mkdir -p "$G/g2/var/lib/dpkg/info"
	printf '/%s/own\n' "$D" >"$G/g2/var/lib/dpkg/info/vu.conffiles"
	vx 0 remerge
	has "$OUT" '^conffile +1 '
}

@test "while another run has the catalog: exit 11" {
	vx 0 scan -n "$G"/g1 "$G"/g2
	hold renameat2 5 scan -j1 "$G"/g1 "$G"/g2
	vx 11 remerge
	has "$ERR" "\b$HELD\b"
}

@test "a name that a guest made to be printed is printed escaped" {
	unified
	bad=$G/g2/$D/$'f\n<script>\e[1m'
	printf 'odd\n' >"$bad"
	touch -d @1600000000 "$bad"
	cp -p "$bad" "$G/g3/$D"
	vx 0 remerge
	same "$bad" "$G/g3/$D/${bad##*/}"
	apart "$bad"
	vx 0 remerge -v
	has "$OUT" '^broken g2:/usr/share/vu/f\\n<script>'
	hasnt "$OUT" $'\e'
}

@test "a full disk: exit 13, and nothing is lost" {
	unified
	for i in 1 2 3; do
		for g in g2 g3; do
			head -c 3000 /dev/urandom >"$G/g2/$D/new$i"
			touch -d @1600000000 "$G/g2/$D/new$i"
			cp -p "$G/g2/$D/new$i" "$G/g3/$D"
		done
	done
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	rc=0
	command -v strace >/dev/null || skip "needs strace"
	strace -qq -f -o /dev/null -e trace=linkat -e inject=linkat:error=ENOSPC \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" remerge >"$STATE/out" 2>"$STATE/err" || rc=$?
	eq "$rc" 13 "exit code"
	eq "$(wc -l <"$STATE/err")" 1 "lines of messages"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	vx 0 remerge
	same "$G/g2/$D/new1" "$G/g3/$D/new1"
}

@test "a catalog that is wrong about what an object holds keeps nobody from joining it" {
	unified
	apart "$G/g2/$D/f1"
	ino=$(stat -c %i "$G/g1/$D/f1")
	sqlite3 "$CAT" "UPDATE object SET content = (SELECT content FROM object WHERE ino <> $ino LIMIT 1)
		WHERE ino = $ino"
	vx 0 remerge
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}
