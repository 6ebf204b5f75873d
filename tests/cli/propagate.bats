#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify propagate: guests follow a template's post-processing, and nothing else.

load ../lib/farm
load ../lib/template
load ../lib/cow

BIG=usr/share/vu/big
ONE=usr/share/vu/f1

# g1 is the template of three guests that share everything.
followed() {
	packaged 1
	vx 0 scan "$G"/g?
	vx 0 template add g1
}

# left WORD: how many were left for this reason in the last run (--json)
left() {
	jq -s '[.[] | select(.type == "summary")] | last | .left["'"$1"'"] // 0' <<<"$OUT"
}

# as_template PATH GUEST...: names of the template's object, which is no other than it was
as_template() {
	local path=$1 g
	shift
	for g in "$@"; do
		same "$G/g1/$path" "$G/$g/$path"
		is_object "$G/$g/$path"
	done
}

nothing_done() {
	eq "$(sum_of names)" 0 "files that followed"
}

@test "what was changed in the template is in all guests, as names of one object" {
	followed
	rewrite "$G/g1/$BIG"
	rewrite "$G/g1/$TOOL"
	ino=$(stat -c %i "$G/g1/$BIG")
	say_manifest "$G"/g2 | grep -vE "(usr/share/vu/big|usr/bin/tool)	" >"$STATE/before"
	vx 0 propagate --json
	eq "$(sum_of names)" 4 "files that followed"
	as_template "$BIG" g2 g3
	as_template "$TOOL" g2 g3
	eq "$(stat -c %i "$G/g1/$BIG")" "$ino" "inode in the template"
	eq "$(tail -n 1 "$G/g2/$BIG")" rewritten "last line in a guest"
	eq "$(stat -c %.9Y "$G/g3/$BIG")" 1650000000.500000000 "mtime in a guest"
	say_manifest "$G"/g2 | grep -vE "(usr/share/vu/big|usr/bin/tool)	" >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
	vx 0 status
}

@test "done again there is nothing to do; the old objects are gone" {
	followed
	n=$(n_objects)
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	eq "$(sum_of objects_new)" 1 "new objects"
	eq "$(sum_of objects_removed)" 1 "removed objects"
	eq "$(n_objects)" "$n" objects
	vx 0 propagate --json
	nothing_done
	eq "$(sum_of total.same)" 2 "files that are the same"
	vx 0 scan --json
	eq "$(sum_of names_unified)" 0 names_unified
}

@test "propagate -n shows the list of the run, and changes nothing" {
	followed
	rewrite "$G/g1/$BIG"
	rewrite "$G/g1/$ONE"
	find "$G" "$MNT/.vunify" -printf '%p %i %n %C@\n' | sort >"$STATE/a"
	vx 0 propagate -n
	has "$OUT" '^propagate g2:/usr/share/vu/big'
	has "$OUT" '^4 files .* would be as in the template now'
	vx 0 propagate -n --json
	list=$(events propagate)
	find "$G" "$MNT/.vunify" -printf '%p %i %n %C@\n' | sort >"$STATE/b"
	same_text "$STATE/a" "$STATE/b"
	vx 0 propagate --json
	eq "$(events propagate)" "$list" list
	eq "$(wc -l <<<"$list")" 4 "files in the list"
	eq "$(jq -rs 'map(select(.type == "propagate") | .template) | unique | .[]' <<<"$OUT")" g1 template
}

@test "private files follow like shared ones" {
	packaged 1
	vx 0 scan "$G/g1"
	for g in g2 g3; do vx 0 guests add "$G/$g"; done
	vx 0 template add g1
	is_private "$G/g2/$BIG"
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	eq "$(sum_of names)" 2 "files that followed"
	as_template "$BIG" g2 g3
	is_private "$G/g2/$ONE"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "only the guests that are named follow" {
	followed
	rewrite "$G/g1/$BIG"
	vx 0 propagate g3
	as_template "$BIG" g3
	differ "$G/g1/$BIG" "$G/g2/$BIG"
	vx 0 propagate "$G/g2"
	as_template "$BIG" g2
}

@test "another version of the package in the guest: left, and told" {
	followed
	packaged 2 "$G/g2"
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	eq "$(sum_of names)" 1 "files that followed"
	eq "$(left version)" 1 "left because of the version"
	differ "$G/g1/$BIG" "$G/g2/$BIG"
	as_template "$BIG" g3
	vx 0 propagate
	has "$OUT" 'version +1 '
	vx 0 propagate -v
	has "$OUT" '^left g2:/usr/share/vu/big: version'
}

@test "an upgrade of the template is no post-processing: nothing follows" {
	followed
	packaged 2 "$G/g1"
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	nothing_done
	packaged 2 "$G/g2"
	vx 0 propagate --json
	nothing_done
	# what is done to the new version does
	rewrite "$G/g1/$BIG" again
	cp -p "$G/g1/$BIG" "$STATE/new"
	vx 0 propagate --json
	nothing_done
	eq "$(left differs)" 2 "files that differ"
}

@test "a file that is neither the old nor the new one is left" {
	followed
	rewrite "$G/g2/$BIG" 'of my own'
	rewrite "$G/g1/$BIG"
	cp -p "$G/g2/$BIG" "$STATE/mine"
	vx 0 propagate --json
	eq "$(left differs)" 1 "files that differ"
	cmp "$G/g2/$BIG" "$STATE/mine"
	as_template "$BIG" g3
}

@test "mode, owner and xattrs that are not the template's old ones: left" {
	followed
	vx 0 unmerge "$G/g2/$BIG" "$G/g3/$BIG"
	chmod 600 "$G/g2/$BIG"
	setfattr -n user.mine -v 1 "$G/g3/$BIG"
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	nothing_done
	eq "$(left attributes)" 2 "left because of attributes"
	eq "$(tail -n 1 "$G/g2/$BIG")" 60000 "last line"
}

@test "a guest that is private with another mtime follows, too" {
	followed
	vx 0 unmerge "$G/g2/$BIG"
	touch "$G/g2/$BIG"
	rewrite "$G/g1/$BIG"
	vx 0 propagate
	as_template "$BIG" g2 g3
}

@test "what is excluded in a guest, or a configuration file, is left" {
	followed
	rewrite "$G/g1/$BIG"
	rewrite "$G/g1/$ONE"
	vx 0 guests set g2 --rule 'exclude /usr/share/vu/big'
	mkdir -p "$G/g3/var/lib/dpkg/info"
	echo "/$ONE" >"$G/g3/var/lib/dpkg/info/vu.conffiles"
	vx 0 propagate --json
	eq "$(sum_of names)" 2 "files that followed"
	eq "$(left excluded)" 2 "left because of rules"
	as_template "$BIG" g3
	as_template "$ONE" g2
	differ "$G/g1/$BIG" "$G/g2/$BIG"
	differ "$G/g1/$ONE" "$G/g3/$ONE"
}

@test "what is excluded in the template leads nobody" {
	followed
	mkdir "$G/g1/etc/x"
	vx 0 guests set g1 --rule 'exclude /usr/share'
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	nothing_done
}

@test "A, B, C, with scans between: all that came before leads to the last" {
	followed
	rewrite "$G/g1/$BIG" B
	vx 0 propagate g2
	vx 0 scan
	rewrite "$G/g1/$BIG" C
	vx 0 scan
	rewrite "$G/g1/$BIG" D
	vx 0 scan
	vx 0 propagate --json
	eq "$(sum_of names)" 2 "files that followed"
	as_template "$BIG" g2 g3
	eq "$(tail -n 1 "$G/g2/$BIG")" D "last line"
}

@test "a guest that comes later, or is restored, follows" {
	followed
	cp -a "$G/g3/$BIG" "$STATE/old"
	rewrite "$G/g1/$BIG"
	vx 0 propagate
	vx 0 unmerge "$G/g3/$BIG"
	rm "$G/g3/$BIG"
	cp -a "$STATE/old" "$G/g3/$BIG"
	vx 0 scan
	differ "$G/g1/$BIG" "$G/g3/$BIG"
	vx 0 propagate --json
	eq "$(sum_of names)" 1 "files that followed"
	as_template "$BIG" g3
}

@test "a template that goes back is followed back" {
	followed
	cp -a "$G/g1/$BIG" "$STATE/old"
	rewrite "$G/g1/$BIG"
	vx 0 propagate
	vx 0 unmerge "$G/g1/$BIG"
	rm "$G/g1/$BIG"
	cp -a "$STATE/old" "$G/g1/$BIG"
	vx 0 propagate
	as_template "$BIG" g2 g3
	eq "$(tail -n 1 "$G/g2/$BIG")" 60000 "last line"
}

@test "two paths of the template that change places are left: a guest's two files would be one for a moment" {
	followed
	f2=usr/share/vu/f2
	cp -a "$G/g1/$ONE" "$STATE/f1"
	cp -a "$G/g1/$f2" "$STATE/f2"
	vx 0 unmerge g1
	rm "$G/g1/$ONE" "$G/g1/$f2"
	cp -a "$STATE/f2" "$G/g1/$ONE"
	cp -a "$STATE/f1" "$G/g1/$f2"
	vx 0 scan
	vx 0 propagate --json
	nothing_done
	eq "$(left same-guest)" 4 "left because of other files of the guest"
	cmp "$G/g2/$ONE" "$STATE/f1"
	cmp "$G/g3/$f2" "$STATE/f2"
}

@test "names of one inode follow together, and stay one" {
	followed
	rewrite "$G/g1/usr/share/vu/twin-a"
	rm -f "$G/g1/usr/share/vu/twin-b"
	ln "$G/g1/usr/share/vu/twin-a" "$G/g1/usr/share/vu/twin-b"
	vx 0 propagate --json
	eq "$(sum_of names)" 4 "files that followed"
	for g in g2 g3; do
		same "$G/$g/usr/share/vu/twin-a" "$G/$g/usr/share/vu/twin-b"
		same "$G/g1/usr/share/vu/twin-a" "$G/$g/usr/share/vu/twin-a"
	done
	eq "$(tail -n 1 "$G/g2/usr/share/vu/twin-b")" rewritten "last line"
}

@test "where the template has split a hard link, guests are left: their names would come apart" {
	followed
	rewrite "$G/g1/usr/share/vu/twin-a"
	vx 0 propagate --json
	nothing_done
	eq "$(left links)" 2 "left because of links"
	same "$G/g2/usr/share/vu/twin-a" "$G/g2/usr/share/vu/twin-b"
}

@test "a hard link of the guest's own in an excluded place keeps the file as it is" {
	packaged 1
	vx 0 scan "$G"/g1
	vx 0 guests add "$G/g2"
	vx 0 guests add "$G/g3"
	vx 0 template add g1
	ln "$G/g2/$BIG" "$G/g2/home/mine"
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	eq "$(left links)" 1 "left because of links"
	same "$G/g2/$BIG" "$G/g2/home/mine"
	is_private "$G/g2/$BIG"
	as_template "$BIG" g3
}

@test "a file of no package follows where all packages of its directory are the same" {
	for g in "$G"/g?; do
		mkdir "$g/usr/share/vu/__pycache__"
		seq 1 999 >"$g/usr/share/vu/__pycache__/x.pyc"
		touch -d @1600000000.5 "$g/usr/share/vu/__pycache__/x.pyc"
		mkdir -p "$g/usr/local/lib"
		cp -p "$g/usr/share/vu/__pycache__/x.pyc" "$g/usr/local/lib/x"
	done
	followed
	rewrite "$G/g1/usr/share/vu/__pycache__/x.pyc"
	rewrite "$G/g1/usr/local/lib/x"
	packaged 2 "$G/g3"
	vx 0 propagate --json
	eq "$(events propagate)" $'g2\tusr/share/vu/__pycache__/x.pyc' "what followed"
	eq "$(left version)" 1 "left because of the version"
}

@test "a file of no package does not follow what came out of an upgrade elsewhere" {
	for g in "$G"/g?; do
		mkdir "$g/usr/share/vu/__pycache__"
		seq 1 999 >"$g/usr/share/vu/__pycache__/x.pyc"
		touch -d @1600000000.5 "$g/usr/share/vu/__pycache__/x.pyc"
	done
	followed
	sed -i 's/^Version: 1$/Version: 1.1/;t' "$G/g1/var/lib/dpkg/status"
	sed -i '0,/Version: 1.1/s//Version: 1/' "$G/g1/var/lib/dpkg/status"
	rewrite "$G/g1/usr/share/vu/__pycache__/x.pyc"
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	eq "$(events propagate)" $'g2\tusr/share/vu/big\ng3\tusr/share/vu/big' "what followed"
}

@test "a file of the guest that is open for writing is left" {
	packaged 1
	vx 0 scan "$G"/g1
	vx 0 guests add "$G/g2"
	vx 0 template add g1
	rewrite "$G/g1/$BIG"
	background sh -c 'exec 9>>"$1"; echo ready; read -r _' sh "$G/g2/$BIG"
	vx 0 propagate --json
	nothing_done
	eq "$(left open-for-write)" 1 "left because it is open"
	is_private "$G/g2/$BIG"
}

@test "a template's file that is open for writing leads nobody now" {
	followed
	rewrite "$G/g1/$BIG"
	vx 0 propagate -n
	background sh -c 'exec 9>>"$1"; echo ready; read -r _' sh "$G/g1/$BIG"
	vx 0 propagate --json
	nothing_done
	end_processes
	vx 0 propagate
	as_template "$BIG" g2 g3
}

@test "a process that has the old file mapped goes on with it" {
	followed
	background python3 -c '
import mmap, sys
f = open(sys.argv[1], "rb")
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
print("ready", flush=True)
sys.stdin.readline()
sys.exit(0 if m[-6:] == b"60000\n" else 1)' "$G/g2/$BIG"
	rewrite "$G/g1/$BIG"
	vx 0 propagate
	as_template "$BIG" g2
	# BG_PID is gone as soon as the process is
	pid=$BG_PID FARM_PIDS=''
	echo >&"$BG_IN"
	wait "$pid"
}

@test "what the template does to its files under vunify run is followed" {
	packaged 1
	shells
	vx 0 template add g1
	vx 0 run g1 -- sh -c 'cd /usr/share/vu; echo more >>big; sed -i s/common/own/ f1; cat f2 >x; echo x >>x; mv x f2'
	vx 0 propagate --json
	eq "$(sum_of names)" 6 "files that followed"
	as_template "$BIG" g2 g3
	as_template "$ONE" g2 g3
	as_template usr/share/vu/f2 g2 g3
}

@test "beside a guest under vunify run names of one inode are left for the next run, others follow" {
	local pid
	packaged 1
	shells
	vx 0 template add g1
	rewrite "$G/g1/$BIG"
	rewrite "$G/g1/usr/share/vu/twin-a"
	rm -f "$G/g1/usr/share/vu/twin-b"
	ln "$G/g1/usr/share/vu/twin-a" "$G/g1/usr/share/vu/twin-b"
	# What the template has is shared by then: a private file with two names is not, meanwhile.
	vx 0 propagate g3
	mkfifo "$G/g2/tmp/go"
	vu run g2 -- sh -ec 'echo more >>/usr/share/vu/f0; read -t 30 x </tmp/go; echo more >>/usr/share/vu/big; echo more >>/usr/share/vu/twin-a' 3>&- &
	pid=$!
	wait_until grep -q more "$G/g2/usr/share/vu/f0"
	vx 0 propagate --trust-guests --json g2
	eq "$(events propagate)" $'g2\tusr/share/vu/big' "what followed"
	eq "$(left several-names)" 2 "left because of their names"
	echo go >"$G/g2/tmp/go"
	wait "$pid"
	same "$G/g2/usr/share/vu/twin-a" "$G/g2/usr/share/vu/twin-b"
	eq "$(tail -n 2 "$G/g2/$BIG" | paste -sd' ')" "rewritten more" "last lines"
	eq "$(tail -n 1 "$G/g1/$BIG")" rewritten "last line in the template"
	eq "$(tail -n 1 "$G/g3/$BIG")" rewritten "last line in another guest"
}

@test "other domains do not follow, and templates never do" {
	packaged 1
	for g in g1 g2; do vx 0 guests add "$G/$g"; done
	vx 0 guests add "$G/g3" --domain other
	vx 0 scan
	vx 0 template add g1
	rewrite "$G/g1/$BIG"
	vx 0 propagate
	as_template "$BIG" g2
	differ "$G/g1/$BIG" "$G/g3/$BIG"
	vx 2 propagate g3
	has "$ERR" 'no such template in its domain'
	vx 2 propagate g1
	has "$ERR" 'is a template itself'
}

@test "two templates: what only one has is followed, what they do not agree on is left" {
	followed
	vx 0 unmerge "$G/g2/$TOOL"
	rm "$G/g2/$TOOL"
	vx 0 scan
	vx 0 template add g2
	rewrite "$G/g1/$TOOL"
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	eq "$(events propagate)" $'g3\tusr/bin/tool' "what followed"
	eq "$(left templates)" 1 "left because of templates"
	vx 0 propagate --template g1 --json
	eq "$(events propagate)" $'g3\tusr/share/vu/big' "what followed one of them"
	# The other one follows by its admin's hand, and they agree.
	vx 0 unmerge "$G/g2/$BIG"
	rm "$G/g2/$BIG"
	cp -a "$G/g1/$BIG" "$G/g2/$BIG"
	vx 0 propagate --json
	nothing_done
	eq "$(left templates)" 0 "left because of templates"
}

@test "without a template there is nothing to propagate; what is none is refused" {
	packaged 1
	vx 10 propagate
	vx 0 scan "$G"/g?
	vx 10 propagate
	has "$ERR" 'no guest is a template'
	vx 0 template add g1
	vx 2 propagate --template g2
	has "$ERR" 'it is no template'
	vx 2 propagate nobody
	has "$ERR" 'not registered'
}

@test "without what the template had nothing is propagated, and that is told" {
	followed
	rewrite "$G/g1/$BIG"
	vx 0 recover --rebuild-catalog
	vx 3 propagate --json
	nothing_done
	has "$(jq -r 'select(.type == "warn") | .text' <<<"$OUT")" 'was not known what this template had'
	rewrite "$G/g1/$BIG" again
	vx 0 propagate --json
	eq "$(left differs)" 2 "files that differ"
	# what changes from then on is followed
	rewrite "$G/g1/$ONE"
	vx 0 propagate
	as_template "$ONE" g2 g3
}

@test "a guest's broken package database keeps it as it is, and is told" {
	followed
	rewrite "$G/g1/$BIG"
	printf 'not/absolute\n' >>"$G/g2/var/lib/dpkg/info/vu.list"
	vx 3 propagate --json
	eq "$(events propagate)" $'g3\tusr/share/vu/big' "what followed"
	has "$(jq -r 'select(.type == "warn") | .text' <<<"$OUT")" 'package database is broken.*vu.list'
	eq "$(left version)" 1 "left because of the version"
}

@test "nothing is propagated because the catalog says so: what is at the path is read" {
	followed
	vx 0 unmerge g2
	# Of the same size, owner and time, and with a row that says that it is what the template had.
	sed '1s/^./x/' "$G/g2/$BIG" >"$STATE/other"
	cat "$STATE/other" >"$G/g2/$BIG"
	touch -d @1600000000.123456789 "$G/g2/$BIG"
	vx 0 scan
	content=$(sqlite3 "$CAT" "SELECT object.content FROM object JOIN uname USING (ino) WHERE CAST(uname.name AS TEXT) = 'big' LIMIT 1")
	sqlite3 "$CAT" "UPDATE inode SET content = $content WHERE ino = $(stat -c %i "$G/g2/$BIG")"
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	eq "$(events propagate)" $'g3\tusr/share/vu/big' "what followed"
	eq "$(left differs)" 1 "files that differ"
	cmp "$G/g2/$BIG" "$STATE/other"
}

@test "a guest on another file system is left, and told" {
	followed
	vu_fs_make ext4 24 || skip "$VU_FS_WHY"
	cp -a "$G/g3" "$VU_MNT/far"
	vx 0 guests add "$VU_MNT/far"
	rewrite "$G/g1/$BIG"
	vx 0 propagate --json
	as_template "$BIG" g2 g3
	eq "$(left cross-device)" 1 "left because of the file system"
	eq "$(tail -n 1 "$VU_MNT/far/$BIG")" 60000 "last line"
}

@test "a link that a guest plants at the path is left alone" {
	followed
	rewrite "$G/g1/$BIG"
	vx 0 unmerge "$G/g2/$BIG"
	rm "$G/g2/$BIG"
	echo secret >"$MNT/secret"
	ln -s "$MNT/secret" "$G/g2/$BIG"
	mv "$G/g3/usr/share/vu" "$G/g3/usr/share/real"
	ln -s real "$G/g3/usr/share/vu"
	vx 0 propagate --json
	nothing_done
	[[ -L $G/g2/$BIG ]]
	eq "$(<"$MNT/secret")" secret "what the link leads to"
}

@test "mode = reflink has no objects: refused" {
	followed
	conf <<<$'[policy]\nmin_size = 1\nmode = reflink'
	vx 12 propagate
	has "$ERR" 'mode = link'
}

@test "a guest that could lift the flag is refused unless it is trusted" {
	followed
	rewrite "$G/g1/$BIG"
	process_in "$G/g2"
	vx 12 propagate
	is_object "$G/g2/$BIG"
	vx 0 propagate --trust-guests
	as_template "$BIG" g2 g3
}

@test "the history has the run" {
	followed
	rewrite "$G/g1/$BIG"
	vx 0 propagate
	vx 0 history --json
	eq "$(jq -r '.runs | map(select(.command == "propagate" or .verb == "propagate")) | length' <<<"$OUT")" 1 runs
}
