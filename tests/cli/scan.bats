#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify scan: what is unified, and what is not.

load ../lib/farm

BIG=usr/share/vu/big

@test "scan unifies equal files and leaves everything else about them as it was" {
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "seen from inside"
	same "$G/g1/$BIG" "$G/g2/$BIG"
	same "$G/g1/$BIG" "$G/g3/$BIG"
	is_object "$G/g1/$BIG"
}

@test "scan unifies exactly what the manual says, and counts it" {
	"$VU_TOP/tests/lib/oracle" expect "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/expect"
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	"$VU_TOP/tests/lib/oracle" check "$STATE/expect"
	eq "$(sum_of names_unified)" "$("$VU_TOP/tests/lib/oracle" count "$STATE/expect")" names_unified
	eq "$(sum_of total.unified_now)" "$(sum_of names_unified)" "sum of the guests"
	eq "$(events unify | wc -l)" "$(sum_of names_unified)" "lines of the list"
	eq "$(sum_of objects_new)" "$(n_objects)" objects_new
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "the numbers of the summary add up" {
	inodes=$(in_reach '%i\n' | sort -u | wc -l)
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	eq "$(sum_of total.inodes)" "$inodes" inodes
	jq -se '[.[] | select(.type == "summary")] | last | [.guests[], .total] |
		all(.files == .unified_before + .unified_now + .private)' <<<"$OUT"
	jq -se '[.[] | select(.type == "summary")] | last | .total.files == ([.guests[].files] | add)
		and .total.skips.empty.files == ([.guests[].skips.empty.files] | add)' <<<"$OUT"
	eq "$(sum_of total.files)" "$(in_reach '%p\n' | wc -l)" names
}

@test "saved_bytes is what df(1) sees, within a few blocks" {
	sync -f "$MNT"
	before=$(df -B1 --output=used "$MNT" | tail -n 1)
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	sync -f "$MNT"
	after=$(df -B1 --output=used "$MNT" | tail -n 1)
	pool=$(find "$MNT/.vunify" -type d -printf '%b\n' | awk '{ s += $1 } END { print s * 512 }')
	saved=$(sum_of saved_bytes)
	real=$((before - after + pool))
	((saved > 0 && real - saved < saved / 50 + 65536 && saved - real < saved / 50 + 65536)) ||
		die "saved_bytes $saved, df says $real"
}

@test "a second scan does nothing, and says so" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	find "$G" "$MNT/.vunify" -printf '%p %i %n %C@\n' | sort >"$STATE/before"
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	find "$G" "$MNT/.vunify" -printf '%p %i %n %C@\n' | sort >"$STATE/after"
	eq "$(sum_of names_unified)" 0 names_unified
	eq "$(sum_of objects_new)" 0 objects_new
	eq "$(sum_of saved_bytes)" 0 saved_bytes
	((10#$(sum_of total.unified_before) > 300)) || die "unified_before: $(sum_of total.unified_before)"
	same_text "$STATE/before" "$STATE/after" "inodes, links and ctimes"
}

@test "a second scan that trusts nothing does nothing either" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 scan --json --full "$G"/g1 "$G"/g2 "$G"/g3
	eq "$(sum_of names_unified)" 0 names_unified
}

@test "a second scan without the catalog finds what is unified already" {
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	first=$(sum_of names_unified)
	rm -f "$CAT"*
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	eq "$(sum_of names_unified)" 0 names_unified
	eq "$(sum_of total.unified_before)" "$first" unified_before
}

@test "without roots the registered guests are scanned" {
	vx 0 scan -n "$G"/g1 "$G"/g2
	vx 0 scan --json
	same "$G/g1/$BIG" "$G/g2/$BIG"
	differ "$G/g1/$BIG" "$G/g3/$BIG"
}

@test "without roots and without guests: exit 10" {
	vx 10 scan
	has "$ERR" 'vunify'
	eq "$OUT" "" stdout
}

@test "a third guest joins the objects of the first two" {
	vx 0 scan "$G"/g1 "$G"/g2
	ino=$(stat -c %i "$G/g1/$BIG")
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	eq "$(stat -c %i "$G/g3/$BIG")" "$ino" "inode of the third"
	eq "$(stat -c %i "$G/g1/$BIG")" "$ino" "inode of the first"
}

@test "what a guest replaced is unified again when it is equal again" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 unmerge "$G/g2/$BIG"
	differ "$G/g1/$BIG" "$G/g2/$BIG"
	vx 0 scan --json
	same "$G/g1/$BIG" "$G/g2/$BIG"
	eq "$(sum_of names_unified)" 1 names_unified
}

@test "all names of an inode inside a guest stay names of one inode" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	same "$G/g1/usr/share/vu/twin-a" "$G/g1/usr/share/vu/twin-b"
	same "$G/g1/usr/share/vu/twin-a" "$G/g2/usr/share/vu/twin-b"
	is_object "$G/g1/usr/share/vu/twin-a"
}

@test "two inodes of one guest with equal content do not become one" {
	for g in g1 g2; do
		cp -a "$G/$g/$BIG" "$G/$g/usr/share/vu/big-copy"
	done
	vx 0 scan "$G"/g1 "$G"/g2
	differ "$G/g1/$BIG" "$G/g1/usr/share/vu/big-copy"
	is_object "$G/g1/usr/share/vu/big-copy"
	is_object "$G/g1/$BIG"
}

@test "extended attributes belong to the key" {
	setfattr -n user.vu -v other "$G/g2/usr/share/vu/xattr"
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	differ "$G/g1/usr/share/vu/xattr" "$G/g2/usr/share/vu/xattr"
	same "$G/g1/usr/share/vu/xattr" "$G/g3/usr/share/vu/xattr"
	eq "$(getfattr --only-values -n user.vu "$G/g2/usr/share/vu/xattr")" other xattr
}

@test "POSIX ACLs belong to the key" {
	setfacl -m u:1234:r "$G/g2/$BIG"
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	differ "$G/g1/$BIG" "$G/g2/$BIG"
	same "$G/g1/$BIG" "$G/g3/$BIG"
}

@test "mode and owner belong to the key" {
	chmod 0600 "$G/g2/$BIG"
	chown 7:8 "$G/g3/$BIG"
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	differ "$G/g1/$BIG" "$G/g2/$BIG"
	differ "$G/g1/$BIG" "$G/g3/$BIG"
	differ "$G/g2/$BIG" "$G/g3/$BIG"
}

@test "files of equal size and other content stay what they are" {
	printf 'aaaa' >"$G/g1/usr/share/vu/x"
	printf 'aaab' >"$G/g2/usr/share/vu/x"
	touch -d @1600000000 "$G"/g?/usr/share/vu/x
	vx 0 scan "$G"/g1 "$G"/g2
	differ "$G/g1/usr/share/vu/x" "$G/g2/usr/share/vu/x"
	eq "$(<"$G/g2/usr/share/vu/x")" aaab content
}

@test "mtime: exact is the default, ignore can be asked for" {
	vx 0 scan "$G"/g1 "$G"/g2
	differ "$G/g1/usr/share/vu/late" "$G/g2/usr/share/vu/late"
	vx 0 scan --mtime=ignore "$G"/g1 "$G"/g2
	same "$G/g1/usr/share/vu/late" "$G/g2/usr/share/vu/late"
}

@test "mtime = ignore in the configuration" {
	conf <<<$'[policy]\nmin_size = 1\nmtime = ignore'
	vx 0 scan "$G"/g1 "$G"/g2
	same "$G/g1/usr/share/vu/late" "$G/g2/usr/share/vu/late"
}

@test "the option --mtime wins over the configuration" {
	conf <<<$'[policy]\nmin_size = 1\nmtime = ignore'
	vx 0 scan --mtime=exact "$G"/g1 "$G"/g2
	differ "$G/g1/usr/share/vu/late" "$G/g2/usr/share/vu/late"
}

@test "mtime differs by a nanosecond: not the same" {
	touch -d @1600000000.123456790 "$G/g2/$BIG"
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	differ "$G/g1/$BIG" "$G/g2/$BIG"
	same "$G/g1/$BIG" "$G/g3/$BIG"
}

@test "min_size and max_size leave files private, and count them" {
	conf <<<$'[policy]\nmin_size = 1K\nmax_size = 100K'
	vx 0 scan --json "$G"/g1 "$G"/g2
	is_private "$G/g1/usr/share/vu/f1"
	is_private "$G/g1/$BIG"
	((10#$(sum_of 'total.skips["too-small"].files') >= 100)) || die "too-small is not counted"
	((10#$(sum_of 'total.skips["too-large"].files') >= 2)) || die "too-large is not counted"
	((10#$(sum_of names_unified) > 0)) || die "nothing between is unified"
}

@test "nothing below the excluded directories is unified" {
	for g in g1 g2; do
		for d in etc var home root tmp run srv boot dev; do
			mkdir -p "$G/$g/$d"
			cp -a "$G/$g/$BIG" "$G/$g/$d/big"
		done
	done
	vx 0 scan "$G"/g1 "$G"/g2
	for d in etc var home root tmp run srv boot dev; do
		is_private "$G/g1/$d/big"
	done
	same "$G/g1/$BIG" "$G/g2/$BIG"
}

@test "exclude and include rules of the configuration, first match wins" {
	for g in g1 g2; do
		mkdir -p "$G/$g/usr/share/vu/deep"
		cp -a "$G/$g/$BIG" "$G/$g/usr/share/vu/deep/keep.so"
		cp -a "$G/$g/$BIG" "$G/$g/usr/share/vu/deep/leave.so"
		cp -a "$G/$g/$BIG" "$G/$g/etc/shared"
	done
	conf <<<$'[policy]\nmin_size = 1\ninclude = /usr/share/vu/deep/keep.so\nexclude = deep/\ninclude = /etc/shared'
	vx 0 scan "$G"/g1 "$G"/g2
	is_object "$G/g1/usr/share/vu/deep/keep.so"
	is_private "$G/g1/usr/share/vu/deep/leave.so"
	is_object "$G/g1/etc/shared"
	is_private "$G/g1/etc/passwd"
}

@test "rules of one guest hold for that guest alone" {
	vx 0 scan -n "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 guests set g2 --rule "exclude /$BIG"
	vx 0 scan
	is_private "$G/g2/$BIG"
	same "$G/g1/$BIG" "$G/g3/$BIG"
}

@test "guests of different domains share nothing" {
	vx 0 guests add "$G/g1" --domain one
	vx 0 guests add "$G/g2" --domain two
	vx 0 guests add "$G/g3" --domain two
	vx 0 scan --json
	differ "$G/g1/$BIG" "$G/g2/$BIG"
	same "$G/g2/$BIG" "$G/g3/$BIG"
	((10#$(sum_of 'guests[0].skips["other-domain"].files') > 100)) || die "other-domain is not counted"
}

@test "a guest without a partner: nothing is unified" {
	vx 0 scan --json "$G/g1"
	eq "$(sum_of names_unified)" 0 names_unified
	eq "$(n_objects)" 0 objects
}

@test "set-id, sticky and files with capabilities stay private, and can be asked for" {
	for g in g1 g2; do
		cp -a "$G/$g/$BIG" "$G/$g/usr/bin/capable"
		setcap cap_net_raw+ep "$G/$g/usr/bin/capable"
		touch -d @1600000000 "$G/$g/usr/bin/capable"
	done
	vx 0 scan --json "$G"/g1 "$G"/g2
	is_private "$G/g1/usr/bin/setuid"
	is_private "$G/g1/usr/bin/capable"
	eq "$(sum_of 'total.skips["set-id"].files')" 2 set-id
	eq "$(sum_of 'total.skips.capability.files')" 2 capability
	conf <<<$'[policy]\nmin_size = 1\nunify_setid = yes'
	vx 0 scan "$G"/g1 "$G"/g2
	same "$G/g1/usr/bin/setuid" "$G/g2/usr/bin/setuid"
	same "$G/g1/usr/bin/capable" "$G/g2/usr/bin/capable"
	has "$(getcap "$G/g2/usr/bin/capable")" cap_net_raw
	eq "$(stat -c %a "$G/g2/usr/bin/setuid")" 4755 mode
}

@test "empty files, symbolic links and FIFOs stay what they are" {
	vx 0 scan "$G"/g1 "$G"/g2
	differ "$G/g1/usr/share/vu/empty" "$G/g2/usr/share/vu/empty"
	[ -L "$G/g1/usr/share/vu/symlink" ]
	[ -p "$G/g1/usr/share/vu/fifo" ]
	eq "$(readlink "$G/g1/usr/share/vu/symlink")" big target
}

@test "what the admin made immutable or append-only is left alone, flag and all" {
	chattr +i "$G/g1/$BIG"
	chattr +a "$G/g1/usr/share/vu/f1"
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	differ "$G/g1/$BIG" "$G/g2/$BIG"
	same "$G/g2/$BIG" "$G/g3/$BIG"
	flagged "$G/g1/$BIG"
	eq "$(sum_of 'total.skips.immutable.files')" 1 immutable
	eq "$(sum_of 'total.skips["append-only"].files')" 1 append-only
	vx 0 unmerge "$G"/g1 "$G"/g2 "$G"/g3
	flagged "$G/g1/$BIG"
}

@test "a file with a name outside of its guest stays private" {
	ln "$G/g1/$BIG" "$MNT/outside"
	ln "$G/g2/usr/share/vu/f1" "$G/g2/var/lib/inside-but-excluded"
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	is_private "$G/g1/$BIG"
	is_private "$G/g2/usr/share/vu/f1"
	same "$G/g2/$BIG" "$G/g3/$BIG"
	eq "$(sum_of 'total.skips["links-outside"].files')" 2 links-outside
}

@test "a file that is open for writing stays private, now and not for ever" {
	background python3 -c '
import sys
f = open(sys.argv[1], "r+b")
print("ready", flush=True)
sys.stdin.readline()' "$G/g1/$BIG"
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	is_private "$G/g1/$BIG"
	same "$G/g2/$BIG" "$G/g3/$BIG"
	eq "$(sum_of 'total.skips["open-for-write"].files')" 1 open-for-write
	kill "$BG_PID"
	wait "$BG_PID" || :
	vx 0 scan
	same "$G/g1/$BIG" "$G/g2/$BIG"
}

@test "lock files stay private" {
	for g in g1 g2; do
		cp -a "$G/$g/usr/share/vu/f1" "$G/$g/usr/share/vu/x.lock"
	done
	vx 0 scan --json "$G"/g1 "$G"/g2
	is_private "$G/g1/usr/share/vu/x.lock"
	eq "$(sum_of 'total.skips["lock-file"].files')" 2 lock-file
}

@test "configuration files of packages stay private" {
	for g in g1 g2; do
		printf 'Package: vu\nStatus: install ok installed\nConffiles:\n /usr/share/vu/f1 0123456789abcdef0123456789abcdef\nDescription: x\n' \
			>"$G/$g/var/lib/dpkg/status"
		mkdir -p "$G/$g/var/lib/dpkg/info"
		echo /usr/share/vu/f2 >"$G/$g/var/lib/dpkg/info/other.conffiles"
	done
	vx 0 scan --json "$G"/g1 "$G"/g2
	is_private "$G/g1/usr/share/vu/f1"
	is_private "$G/g1/usr/share/vu/f2"
	is_object "$G/g1/usr/share/vu/f3"
	eq "$(sum_of 'total.skips.conffile.files')" 4 conffile
}

@test "the number of threads changes nothing" {
	"$VU_TOP/tests/lib/oracle" expect "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/expect"
	vx 0 scan --jobs=1 --json "$G"/g1 "$G"/g2 "$G"/g3
	one=$(sum_of names_unified)
	"$VU_TOP/tests/lib/oracle" check "$STATE/expect"
	vx 0 unmerge "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 scan -j 8 --json "$G"/g1 "$G"/g2 "$G"/g3
	"$VU_TOP/tests/lib/oracle" check "$STATE/expect"
	eq "$(sum_of names_unified)" "$one" names_unified
}

@test "results go to stdout, nothing to stderr where there is nothing to say" {
	vx 0 scan "$G"/g1 "$G"/g2
	eq "$ERR" "" stderr
	has "$OUT" 'files were unified'
	has "$OUT" '^GUEST'
	hasnt "$OUT" $'\r'
	hasnt "$OUT" $'\033'
}

@test "-v names each file and each reason" {
	vx 0 scan -v "$G"/g1 "$G"/g2
	has "$OUT" "^unify g1:/$BIG "
	has "$OUT" '^skip g1:/usr/share/vu/empty: empty$'
	has "$OUT" '^skip g1:/usr/share/vu/late: mtime-differs'
	has "$OUT" '^skip g1:/usr/share/own-1: unique'
}

@test "an unreadable link limit ends one file, not the run (EMLINK)" {
	command -v strace >/dev/null || skip "needs strace"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	rc=0
	strace -qq -f -o "$STATE/trace" -e trace=linkat -e inject=linkat:error=EMLINK:when=9+5 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -j1 "$G"/g1 "$G"/g2 "$G"/g3 \
		>"$STATE/out" 2>"$STATE/err" || rc=$?
	[[ $rc == 0 || $rc == 3 ]] || die "exit code $rc: $(<"$STATE/err")"
	grep -q INJECTED "$STATE/trace" || skip "no link was refused: it makes links in another way"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

# stopped_by SIGNAL CODE
stopped_by() {
	command -v strace >/dev/null || skip "needs strace"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	"$VU_TOP/tests/lib/oracle" expect "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/expect"
	rc=0
	strace -qq -f -o "$STATE/trace" -e trace=renameat2 -e inject=renameat2:signal=$1:when=20 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -j1 "$G"/g1 "$G"/g2 "$G"/g3 \
		>"$STATE/out" 2>"$STATE/err" || rc=$?
	eq "$rc" "$2" "exit code ($(<"$STATE/err"))"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	"$VU_TOP/tests/lib/oracle" check "$STATE/expect"
}

@test "stopped by SIGINT: exit 130, everything consistent, the next run goes on" { stopped_by SIGINT 130; }
@test "stopped by SIGTERM: exit 143, everything consistent, the next run goes on" { stopped_by SIGTERM 143; }

@test "a file that became private again behind the catalog's back is unified by the next scan" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	same "$G/g1/$BIG" "$G/g2/$BIG"
	"$VUNIFY" --config "$CONF" --catalog "$STATE/other.db" unmerge "$G/g1/$BIG"
	is_private "$G/g1/$BIG"
	sleep 0.1
	vx 0 scan --json
	eq "$(sum_of names_unified)" 1 names_unified
	same "$G/g1/$BIG" "$G/g2/$BIG"
}

@test "a later scan gives the same reasons: what differs from an object is not unique" {
	for g in g2 g3; do cp -a "$G/g1/usr/share/vu/f1" "$G/$g/usr/share/vu/f1"; done
	touch -d @1600000099 "$G/g1/usr/share/vu/f1"
	setfattr -n user.other -v 1 "$G/g1/usr/share/vu/f2"
	vx 0 scan --json "$G"/g1 "$G"/g2 "$G"/g3
	before=$(sum_of total.skips)
	vx 0 scan --json --full
	same_text <(jq . <<<"$before") <(jq . <<<"$(sum_of total.skips)")
}

@test "what a stopped run did not reach is pending" {
	command -v strace >/dev/null || skip "needs strace"
	rc=0
	strace -qq -f -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=SIGINT:when=20 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -j1 "$G"/g1 "$G"/g2 \
		>"$STATE/out" 2>"$STATE/err" || rc=$?
	eq "$rc" 130 "exit code"
	has "$(<"$STATE/out")" '^pending .*stopped'
}

@test "guests that were scanned apart are unified when they are scanned together" {
	vx 0 scan "$G/g1"
	vx 0 scan "$G/g2"
	# Directories that changed within the last seconds are looked at anew in any case.
	find "$G" -type d -exec touch -d @1600000000 {} +
	sleep 3
	vx 0 scan "$G/g1"
	vx 0 scan "$G/g2"
	differ "$G/g1/usr/share/vu/big" "$G/g2/usr/share/vu/big"
	vx 0 scan --json "$G/g1" "$G/g2"
	same "$G/g1/usr/share/vu/big" "$G/g2/usr/share/vu/big"
	# And who is asked the same again reads nothing.
	vx 0 scan --json "$G/g2" "$G/g1"
	eq "$(sum_of read_bytes)" 0 read_bytes
}

# As after a scan that was killed: its objects are there, and the catalog is that of the run before.
@test "a file joins an equal object that the catalog does not know" {
	f=usr/share/vu/new
	for i in 1 2 3; do
		printf 'content %d' "$i" >"$G/g$i/$f"
		touch -d @1600000000 "$G/g$i/$f"
	done
	vx 0 scan "$G"/g?
	has "$("$VUNIFY" --config "$CONF" --catalog "$CAT" why "$G/g3/$f")" unique
	cp -p "$G/g3/$f" "$G/g1/$f"
	cp -p "$G/g3/$f" "$G/g2/$f"
	"$VUNIFY" --config "$CONF" --catalog "$STATE/other.db" scan -q "$G"/g1 "$G"/g2
	same "$G/g1/$f" "$G/g2/$f"
	vx 0 scan --json "$G"/g?
	same "$G/g1/$f" "$G/g3/$f"
	vx 0 scan --json "$G"/g?
	eq "$(sum_of read_bytes)" 0 read_bytes
}

# A directory that is renamed while it is walked is not seen either: see tests/race for that.
@test "I2: a name that the walk cannot see keeps its guest's other files from joining the object" {
	vx 0 scan "$G"/g?
	is_object "$G/g1/usr/share/vu/f1"
	mkdir "$G/g1/usr/other"
	cp -p "$G/g1/usr/share/vu/f1" "$G/g1/usr/other/f1"
	mount -t tmpfs tmpfs "$G/g1/usr/share/vu"
	rm -f "$CAT"*
	vx 0 scan "$G"/g?
	umount "$G/g1/usr/share/vu"
	differ "$G/g1/usr/share/vu/f1" "$G/g1/usr/other/f1"
	vx 0 scan "$G"/g?
	vx 0 unmerge "$G"/g?
	differ "$G/g1/usr/share/vu/f1" "$G/g1/usr/other/f1"
}

@test "what was changed about an object in spite of its flag is not handed on to further guests" {
	local f=usr/share/vu/big what
	for what in "chmod 0600" "chown 7" "touch -d @1500000000" "setfattr -n user.more -v 1"; do
		vx 0 scan "$G"/g1 "$G"/g2
		chattr -i "$G/g1/$f"
		$what "$G/g1/$f"
		chattr +i "$G/g1/$f"
		vx 0 unmerge "$G/g2/$f"
		cp -a --remove-destination "$G/g3/$f" "$G/g2/$f"
		rm "$CAT" # which would know better
		say_manifest "$G"/g2 "$G"/g3 >"$STATE/before"
		vx 4 scan "$G"/g1 "$G"/g2 "$G"/g3
		has "$ERR" 'an object is damaged.*verify'
		say_manifest "$G"/g2 "$G"/g3 >"$STATE/after"
		same_text "$STATE/before" "$STATE/after" "$what"
		differ "$G/g1/$f" "$G/g3/$f"
		vx 0 unmerge
		cp -a --remove-destination "$G/g3/$f" "$G/g1/$f"
	done
}

# Each name is a line of the journal, which lies on the file system that all share.
@test "I10 I11: paths of 200 KiB, a thousand files there, do not fill the disk, and the rest is unified" {
	farm_down
	farm_on ext4 64
	for g in 1 2; do
		mkdir -p "$G/g$g/usr"
		python3 -c '
import os, sys
os.chdir(sys.argv[1])
open("near", "w").write("near")
os.utime("near", (1600000000, 1600000000))
for i in range(400):
    os.mkdir("\n" * 255)
    os.chdir("\n" * 255)
for i in range(1000):
    with open("f%d" % i, "w") as f:
        f.write("text %d" % i)
    os.utime("f%d" % i, (1600000000, 1600000000))' "$G/g$g/usr"
	done
	vx 3 scan --json "$G/g1" "$G/g2"
	same "$G/g1/usr/near" "$G/g2/usr/near"
	has "$OUT" '"skip":"limit"'
	has "$OUT" "the path is longer than max_depth allows"
	vx 0 unmerge "$G/g1" "$G/g2"
}
