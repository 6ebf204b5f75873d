#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What other programs that share files got wrong, one test for each, named after where it is told.

VU_GUESTS_FILES=120
load ../lib/farm

F=usr/share/vu

count() {
	echo >>"$BATS_FILE_TMPDIR/cases"
}

teardown() {
	[[ -z ${BATS_TEST_COMPLETED:-} || -n ${BATS_TEST_SKIPPED:-} ]] || echo >>"$BATS_FILE_TMPDIR/held"
	farm_down
}

teardown_file() {
	vu_fs_clean
	local n held
	n=$(cat "$BATS_FILE_TMPDIR/cases" 2>/dev/null | wc -l)
	held=$(cat "$BATS_FILE_TMPDIR/held" 2>/dev/null | wc -l)
	echo "# proof: what others got wrong | $n | $((n - held))" >&3
}

@test "I1, I14: a half-written file is merged (NixOS/nix#14599)" {
	count
	# Seen halfway, it is what the other guest has; then the rest comes.
	printf 'first half.' >"$G/g1/$F/half"
	touch -d @1600000000.5 "$G/g1/$F/half"
	# shellcheck disable=SC2016
	background python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o644)
os.write(fd, b"first half.")
os.utime(fd, ns=(1600000000500000000, 1600000000500000000))
print("ready", flush=True)
sys.stdin.readline()
os.write(fd, b"second half.")
print("written", flush=True)
sys.stdin.readline()' "$G/g2/$F/half"
	vx 0 scan "$G/g1" "$G/g2"
	differ "$G/g1/$F/half" "$G/g2/$F/half"
	vx 0 why "$G/g2/$F/half"
	has "$OUT" 'open-for-write'
	echo >&"$BG_IN"
	read -r -t 20 line <&"$BG_OUT"
	eq "$(<"$G/g2/$F/half")" 'first half.second half.' "what was written"
	eq "$(<"$G/g1/$F/half")" 'first half.' "the other guest's file"
}

@test "I1, I2: files are made, empty at first, while scans run (NixOS/nix#14599)" {
	count
	: >"$G/g1/$F/empty1"
	# shellcheck disable=SC2016
	background python3 -c '
import os, sys, time
os.chdir(sys.argv[1])
print("ready", flush=True)
i = 0
while True:
    fd = os.open("new%d" % i, os.O_WRONLY | os.O_CREAT, 0o644)
    os.utime(fd, ns=(1600000000123456789, 1600000000123456789))
    time.sleep(0.0005)
    os.write(fd, b"content of %d" % i)
    os.close(fd)
    i += 1' "$G/g2/$F"
	for _ in 1 2 3 4 5 6; do
		rc=0
		vu scan "$G/g1" "$G/g2" >"$STATE/out" 2>"$STATE/err" || rc=$?
		[[ $rc == [03] ]] || die "exit code $rc: $(<"$STATE/err")"
	done
	end_processes
	n=0
	for f in "$G/g2/$F"/new*; do
		[[ ! -s $f ]] || eq "$(<"$f")" "content of ${f##*/new}" "$f"
		((++n))
	done
	((n > 50)) || die "only $n files were made"
	[[ ! -s $G/g1/$F/empty1 && ! -s $G/g1/$F/empty && ! -s $G/g2/$F/empty ]]
}

@test "I14: a bad object of the pool spreads (NixOS/nix#3230)" {
	count
	vx 0 scan "$G/g1" "$G/g2"
	cp -p "$G/g3/$F/f7" "$STATE/good"
	object=$(find "$MNT/.vunify/objects" -inum "$(stat -c %i "$G/g1/$F/f7")")
	[[ -f $object ]]
	# A fault of the disk or of the file system: one byte, with size and time as they were.
	mtime=$(stat -c %y "$object")
	chattr -i "$object"
	printf X | dd of="$object" bs=1 conv=notrunc status=none
	touch -d "$mtime" "$object"
	chattr +i "$object"
	vx 4 scan -n "$G"/g1 "$G"/g2 "$G"/g3
	vx 4 scan "$G"/g1 "$G"/g2 "$G"/g3
	has "$ERR" 'damaged'
	cmp "$STATE/good" "$G/g3/$F/f7"
	same "$G/g1/$F/f8" "$G/g3/$F/f8"
	differ "$G/g3/$F/f7" "$object"
	# A guest that gets the good file again keeps it, too.
	vx 0 unmerge "$G/g2/$F/f7"
	rm "$G/g2/$F/f7"
	cp -p "$STATE/good" "$G/g2/$F/f7"
	vx 4 scan "$G"/g1 "$G"/g2 "$G"/g3
	cmp "$STATE/good" "$G/g2/$F/f7"
	cmp "$STATE/good" "$G/g3/$F/f7"
	same "$G/g2/$F/f7" "$G/g3/$F/f7"
}

@test "I1, I14: a file is swapped for one of the same size and mtime between scan and link (pkolaczk/fclones#84)" {
	count
	echo abcd >"$STATE/Z"
	for g in g1 g2 g3; do
		echo same >"$G/$g/$F/swapped"
		touch -d @1600000000.5 "$G/$g/$F/swapped"
	done
	touch -d @1600000000.5 "$STATE/Z"
	# What was remembered by a run that only looked:
	vx 0 scan -n "$G"/g1 "$G"/g2 "$G"/g3
	cp -a "$STATE/Z" "$G/g1/$F/swapped"
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	eq "$(<"$G/g1/$F/swapped") $(<"$G/g2/$F/swapped") $(<"$G/g3/$F/swapped")" "abcd same same" contents
	vx 0 unmerge
	# And in the midst of a run, behind the reading, before the first link: in place, and by rename.
	cp -a "$G/g2/$F/swapped" "$G/g1/$F/swapped"
	hold linkat 1 scan "$G"/g1 "$G"/g2 "$G"/g3
	for i in {0..40}; do
		head -c "$(stat -c %s "$G/g2/$F/f$i")" /dev/zero | tr '\0' Z >"$STATE/new"
		touch -r "$G/g2/$F/f$i" "$STATE/new"
		if ((i % 2)); then
			timeout 20 cp -a "$STATE/new" "$G/g2/$F/f$i" 2>/dev/null || continue
		else
			cp -a "$STATE/new" "$G/g2/$F/.new" && mv "$G/g2/$F/.new" "$G/g2/$F/f$i" 2>/dev/null || continue
		fi
		swapped="${swapped:-} $i"
	done
	rc=0
	go_on || rc=$?
	[[ $rc == [03] ]] || die "scan ended with $rc: $(<"$STATE/held")"
	n=0
	for i in ${swapped:-}; do
		eq "$(tr -d Z <"$G/g2/$F/f$i")" '' "f$i of the guest that swapped it"
		eq "$(<"$G/g1/$F/f$i")" "common file $i" "f$i of the other guest"
		((++n))
	done
	((n > 10)) || die "only $n were swapped"
}

@test "I8: collection runs against merging (NixOS/nix#15904)" {
	count
	vx 0 scan "$G/g1" "$G/g2"
	vx 0 unmerge "$G/g1/$F/f1" "$G/g2/$F/f1"
	hold linkat 1 scan "$G"/g1 "$G"/g2 "$G"/g3
	# Whoever would remove objects has to wait, with this catalog and with any other.
	vx 11 unmerge "$G/g1"
	vx 11 --catalog "$STATE/other.db" unmerge "$G/g1"
	vx 11 recover
	go_on
	# Merging and collecting as fast as they can, in turn and at once.
	for i in 1 2 3; do
		(for _ in 1 2 3 4; do vu scan "$G"/g1 "$G"/g2 "$G"/g3 || :; done >/dev/null 2>&1) &
		a=$!
		(for _ in 1 2 3 4; do vu unmerge "$G/g$i" || :; vu recover || :; done >/dev/null 2>&1) &
		wait "$a" "$!"
	done
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	same "$G/g1/$F/f1" "$G/g3/$F/f1"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
	for i in {0..119}; do eq "$(<"$G/g2/$F/f$i")" "common file $i" "f$i"; done
}

@test "I14: missing digests are equal (sahib/rmlint#672)" {
	count
	# Hard links of files of different sizes: nothing there has to be read, so nothing has a digest.
	for g in g1 g2; do
		printf one >"$G/$g/$F/one" && ln "$G/$g/$F/one" "$G/$g/$F/one-link"
		printf 'the second' >"$G/$g/$F/two" && ln "$G/$g/$F/two" "$G/$g/$F/two-link"
		printf '%s' "$g only, and of a size of its own: $(printf "%0${g#g}00d" 0)" >"$G/$g/$F/unique"
		touch -d @1600000000.5 "$G/$g/$F"/{one,two,unique}
	done
	vx 0 scan "$G/g1"
	vx 0 scan "$G/g2"
	eq "$(n_objects)" 0 objects
	# Now they meet, by what the catalog holds of them.
	vx 0 scan "$G/g1" "$G/g2"
	eq "$(<"$G/g1/$F/one-link") $(<"$G/g2/$F/two-link")" "one the second" contents
	same "$G/g1/$F/one" "$G/g2/$F/one-link"
	differ "$G/g1/$F/one" "$G/g1/$F/two"
	is_private "$G/g1/$F/unique"
	# Without any digest in the catalog, all the same.
	vx 0 unmerge
	sqlite3 "$CAT" "$(sqlite3 "$CAT" "SELECT 'UPDATE ' || m.name || ' SET ' || p.name || ' = NULL;'
		FROM sqlite_master m, pragma_table_info(m.name) p
		WHERE m.type = 'table' AND p.name LIKE '%digest%' AND p.\"notnull\" = 0")"
	vx 0 scan "$G"/g1 "$G"/g2
	differ "$G/g1/$F/one" "$G/g1/$F/two"
	eq "$(<"$G/g1/$F/f3") $(<"$G/g2/$F/f4")" "common file 3 common file 4" contents
}

@test "I2: lock files become one inode (ostreedev/ostree#1752)" {
	count
	for g in g1 g2; do
		mkdir -p "$G/$g/usr/etc/selinux"
		for f in semanage.LOCK semanage.trans.LOCK a.lock b.lck .pwd.lock c.pid lock LOCK lock-frontend __init__.py; do
			: >"$G/$g/usr/etc/selinux/$f"
		done
		echo 'not empty' >"$G/$g/usr/etc/selinux/held.lock"
		find "$G/$g/usr/etc" -exec touch -d @1600000000 {} +
	done
	vx 0 scan "$G/g1" "$G/g2"
	eq "$(find "$G"/g{1,2}/usr/etc -type f -printf '%i\n' | sort | uniq -d)" '' "inodes with two names"
	eq "$(find "$G"/g{1,2}/usr/etc -type f -links +1)" '' "files with two names"
	# Two locks of one guest, and the same one of two guests, are held at the same time.
	exec {a}>"$G/g1/usr/etc/selinux/semanage.LOCK" {b}>"$G/g1/usr/etc/selinux/semanage.trans.LOCK" \
		{c}>"$G/g2/usr/etc/selinux/semanage.LOCK" {d}>>"$G/g1/usr/etc/selinux/held.lock" \
		{e}>>"$G/g2/usr/etc/selinux/held.lock"
	for fd in "$a" "$b" "$c" "$d" "$e"; do flock -n -x "$fd" || die "descriptor $fd is locked"; done
	exec {a}>&- {b}>&- {c}>&- {d}>&- {e}>&-
}

@test "I11: a rescan is quadratic (markfasheh/duperemove#303)" {
	count
	rounds=30
	[[ ${VU_NIGHTLY:-} != 1 ]] || rounds=300
	vx 0 scan "$G/g1" "$G/g2"
	# A directory comes along at a time; what is read is what came along, however much is known.
	for ((i = 0; i < rounds; i++)); do
		for g in g1 g2; do
			mkdir "$G/$g/$F/round$i"
			for k in 1 2 3 4 5; do echo "file $k of round $i" >"$G/$g/$F/round$i/$k"; done
			touch -d @1600000000.5 "$G/$g/$F/round$i"/*
		done
		vx 0 scan --json "$G/g1" "$G/g2"
		read_bytes=$(sum_of read_bytes) names=$(sum_of names_unified)
		((read_bytes <= 2000)) || die "round $i: $read_bytes bytes were read"
		((names >= 10)) || die "round $i: $names names"
	done
	strace -f -qq -c -o "$STATE/calls" "$VUNIFY" --config "$CONF" --catalog "$CAT" scan "$G/g1" "$G/g2" >/dev/null
	calls=$(awk '$NF == "total" { print $4 }' "$STATE/calls")
	((calls > 100)) || die "calls are not counted: $(tail -n 2 "$STATE/calls")"
	((calls < 20000)) || die "an unchanged rescan takes $calls system calls"
}
