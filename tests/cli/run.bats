#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify run: a command in a guest finds unified files as files of its own, and the others notice nothing.

FARM_GUESTS=3
VU_GUESTS_FILES=120
load ../lib/farm
load ../lib/cow

# in_g1 CODE SCRIPT
in_g1() {
	vx "$1" run g1 -- sh -ec "$2"
}

# Every way in which a shell changes a file.
changes() {
	shells
	in_g1 0 '
		cd /usr/share/vu
		echo more >>f0
		echo new >f1
		chmod 600 f2
		chown 7:8 f3
		touch -d @1000000000 f4
		rm f5
		mv f6 f6.moved
		echo over >x && mv x f7
		ln f8 f8.link && rm f8
		sed -i s/common/own/ f9
		truncate -s 5 f10
		mv f11 f12
		cat f13 >x && cat x >f13 && touch -d @1500000000 f14 && touch -r f15 f13 && rm x
	'
	eq "$(cat "$G/g1/$D/f0")" "common file 0
more" f0
	eq "$(cat "$G/g1/$D/f1")" new f1
	eq "$(stat -c %a "$G/g1/$D/f2")" 600 f2
	eq "$(stat -c %u:%g "$G/g1/$D/f3")" 7:8 f3
	eq "$(stat -c %Y "$G/g1/$D/f4")" 1000000000 f4
	[[ ! -e $G/g1/$D/f5 && ! -e $G/g1/$D/f6 && ! -e $G/g1/$D/f8 && ! -e $G/g1/$D/f11 ]]
	eq "$(cat "$G/g1/$D/f6.moved" "$G/g1/$D/f7" "$G/g1/$D/f8.link" "$G/g1/$D/f9")" "common file 6
over
common file 8
own file 9" names
	eq "$(cat "$G/g1/$D/f10")" commo f10
	eq "$(cat "$G/g1/$D/f12" "$G/g1/$D/f13")" "common file 11
common file 13" f12
	is_object "$G/g1/$D/f15"
	others_same
	vx 0 scan "$G"/g?
	is_object "$G/g1/$D/f13"
}

on() {
	farm_down
	farm_on "$1" 400
	vu_guests_make "$G" 3
}

@test "I2 I15: ext4: every way in which a shell changes a file" { changes; }
@test "I2 I15: XFS: every way in which a shell changes a file" {
	on xfs
	changes
}
@test "I2 I15: btrfs: every way in which a shell changes a file" {
	on btrfs
	changes
}

@test "who asks whether he may write to a unified file hears yes, and nothing is copied for it" {
	shells
	local VX_SECONDS=20
	command -v script >/dev/null || skip "needs script"
	# busybox's rm and mv look, on a terminal, and ask about what they cannot write to
	vx 0 run --wrap g1 -- script -qec "chroot '$G/g1' /bin/busybox mv /usr/share/vu/f0 /usr/share/vu/f1; \
		chroot '$G/g1' /bin/busybox rm /usr/share/vu/f2" /dev/null
	hasnt "$OUT" "f1|f2"
	eq "$(cat "$G/g1/$D/f1")" "common file 0" f1
	[[ ! -e $G/g1/$D/f0 && ! -e $G/g1/$D/f2 ]]
	vx 0 run --wrap g1 -- bash -c "[[ -w '$G/g1/$D/f3' && ! -x '$G/g1/$D/f3' ]]"
	is_object "$G/g1/$D/f3"
	others_same
}

@test "two names of one file get their private copy together" {
	shells
	in_g1 0 'echo more >>/usr/share/vu/twin-a'
	same "$G/g1/$D/twin-a" "$G/g1/$D/twin-b"
	eq "$(cat "$G/g1/$D/twin-b")" "two names
more" twin-b
	others_same
}

@test "a name that the guest makes of a unified file shares what is written to the other" {
	shells
	in_g1 0 'cd /usr/share/vu; ln f1 f1.link; echo more >>f1; cat f1.link'
	has "$OUT" more
	same "$G/g1/$D/f1" "$G/g1/$D/f1.link"
	others_same
}

@test "two names stay together when the guest has renamed their directory" {
	shells
	in_g1 0 'cd /usr/share; mv vu vu2; echo more >>vu2/twin-a; mv vu2 vu'
	same "$G/g1/$D/twin-a" "$G/g1/$D/twin-b"
	has "$(cat "$G/g1/$D/twin-b")" more
	others_same
}

@test "two names that a scan finds meanwhile stay together" {
	local g pid
	shells
	for g in 1 2; do
		echo two >"$G/g$g/$D/new-a"
		touch -d @1600000000 "$G/g$g/$D/new-a"
		ln "$G/g$g/$D/new-a" "$G/g$g/$D/new-b"
	done
	mkfifo "$G/g1/tmp/go"
	vu run g1 -- sh -ec 'echo more >>/usr/share/vu/f0; read -t 30 x </tmp/go; echo more >>/usr/share/vu/new-a' 3>&- &
	pid=$!
	wait_until grep -q more "$G/g1/$D/f0"
	vx 0 scan --json "$G"/g?
	has "$OUT" several-names
	echo go >"$G/g1/tmp/go"
	wait "$pid"
	same "$G/g1/$D/new-a" "$G/g1/$D/new-b"
	has "$(cat "$G/g1/$D/new-b")" more
	vx 0 scan "$G"/g?
	is_private "$G/g2/$D/new-a"
}

@test "a scan at the moment in which commands begin does not refuse the guest" {
	local n
	shells
	for ((n = 0; n < 40; n++)); do
		vu run g1 -- true 3>&- 4>&-
	done &
	FARM_PIDS+=" $!"
	while kill -0 "$!" 2>/dev/null; do
		vx 0 scan "$G"/g? || [[ $ERR == *"another vunify"* ]] || return
	done
}

@test "a launcher that has not yet taken the host's mounts out of the guest is waited for" {
	shells
	strace -f -qq -o /dev/null -e trace=pivot_root -e inject=pivot_root:delay_exit=100000 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" run g1 -- true 3>&- 4>&- &
	FARM_PIDS+=" $!"
	while kill -0 "$!" 2>/dev/null; do
		vx 0 scan "$G"/g? || [[ $ERR == *"another vunify"* ]] || return
	done
	wait "$!"
}

# Reads of the catalog are slow: all but the first, which is there to be waited for. It is written behind that.
reads_while_written() {
	local trace=$STATE/trace
	rm -f "$trace"
	strace -f -D -qq -o "$trace" -P "$CAT" -e trace=pread64 -e inject=pread64:delay_enter=200000:when=2+ \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" run g2 -- true >"$STATE/said" 2>&1 3>&- 4>&- &
	wait_until grep -qs pread64 "$trace"
	echo "another $1" >"$G/g1/usr/another"
	vx 0 scan "$G"/g?
	wait "$!" || die "it failed: $(cat "$STATE/said")"
	eq "$(cat "$STATE/said")" '' said
	READS=$(grep -c pread64 "$trace")
}

@test "a supervisor that begins while a scan writes the catalog knows its guest" {
	local i
	command -v strace >/dev/null || skip "needs strace"
	shells
	# once it is read by four reads; the scan may be too slow to come in between
	for ((i = 0; i < 10 && ${READS:-0} <= 6; i++)); do
		reads_while_written "$i"
	done
	((READS > 6)) || die "no read was met by a write"
}

@test "the command's exit code is ours; 126, 127 and signals as of env(1)" {
	shells
	in_g1 0 'exit 0'
	in_g1 7 'exit 7'
	in_g1 143 'kill -TERM $$'
	vx 127 run g1 -- no-such-program
	has "$ERR" no-such-program
	: >"$G/g1/bin/plain"
	vx 126 run g1 -- /bin/plain
	vx 2 run g1
	vx 1 run no-such-guest -- true
}

@test "the command has a root, processes and a name of its own; with --chroot-only only the root" {
	shells
	in_g1 0 'ls /proc; cat /proc/sys/kernel/hostname'
	has "$OUT" g1
	hasnt "$OUT" "^$$\$"
	vx 0 run --chroot-only g1 -- sh -c 'ls /; ls /proc'
	has "$OUT" usr
	hasnt "$OUT" "^1\$"
	! grep -q "$MNT/guests" /proc/self/mountinfo || die "something is mounted in a guest still"
}

@test "--wrap: the launcher is outside, and what it starts in the guest is supervised" {
	shells
	vx 0 run --wrap g1 -- chroot "$G/g1" sh -c 'echo more >>/usr/share/vu/f0; rm /usr/share/vu/f1'
	has "$(cat "$G/g1/$D/f0")" more
	[[ ! -e $G/g1/$D/f1 ]]
	others_same
}

@test "I1 I15: scans go on meanwhile, and lose nothing" {
	shells
	vu run g1 -- sh -ec 'cd /usr/share/vu; for k in $(seq 1 20); do
		for i in $(seq 0 60); do echo $k >>f$i 2>/dev/null || echo $k >>f$i; done; done' \
		>"$STATE/run-out" 2>"$STATE/run-err" 3>&- &
	local pid=$! n=0
	while [[ -e /proc/$pid ]]; do
		vx 0 scan "$G"/g?
		n=$((n + 1))
	done
	wait "$pid" || die "the command failed: $(cat "$STATE/run-err")"
	((n > 0))
	for i in 0 30 60; do
		eq "$(tail -n +2 "$G/g1/$D/f$i")" "$(seq 1 20)" "f$i"
	done
	others_same
}

@test "two guests at once, and what they share stays apart" {
	local -a pids=()
	shells
	for g in 1 2; do
		vu run g$g -- sh -ec "cd /usr/share/vu; for i in \$(seq 0 100); do echo $g >>f\$i; rm -f late; done" \
			>"$STATE/out$g" 2>&1 3>&- &
		pids[g]=$!
	done
	for g in 1 2; do
		wait "${pids[g]}" || die "g$g: $(<"$STATE/out$g")"
	done
	for i in 0 50 100; do
		eq "$(cat "$G/g1/$D/f$i")" "common file $i
1" "f$i of g1"
		eq "$(cat "$G/g2/$D/f$i")" "common file $i
2" "f$i of g2"
		eq "$(cat "$G/g3/$D/f$i")" "common file $i" "f$i of g3"
	done
	[[ -z $(ls -A "$MNT/.vunify/stage") ]]
}

@test "a full disk: the guest that writes is told, and can remove what it shares" {
	shells
	dd if=/dev/zero of="$MNT/fill" bs=64k 2>/dev/null || :
	sync -f "$MNT"
	dd if=/dev/zero of="$MNT/fill" bs=1k oflag=append conv=notrunc 2>/dev/null || :
	in_g1 1 'cd /usr/share/vu; echo more >>big'
	has "$ERR" "No space left"
	in_g1 0 'rm /usr/share/vu/f0'
	[[ ! -e $G/g1/$D/f0 ]]
	is_object "$G/g1/$D/big"
	rm "$MNT/fill"
	in_g1 0 'echo more >>/usr/share/vu/big'
	others_same
}

# The front, the guardian and the worker of a vunify whose shell is this process.
three_of() {
	local front guardian
	front=$(pgrep -P "$1" -x vunify) && guardian=$(pgrep -P "$front") &&
		echo "$front $guardian $(pgrep -P "$guardian")"
}

@test "I2 I15: without the supervisor nothing hangs, and nothing is written to a shared file" {
	local pid three
	shells
	mkfifo "$G/g1/tmp/go"
	{ "$VUNIFY" --config "$CONF" --catalog "$CAT" run --chroot-only g1 -- sh -c '
		exec 9>/tmp/end
		echo ready >/tmp/ready; read x </tmp/go; echo more >>/usr/share/vu/f0; echo $? >&9' || :; } \
		>"$STATE/out" 2>&1 3>&- &
	pid=$!
	wait_until test -s "$G/g1/tmp/ready"
	three=$(three_of "$pid")
	# stopped at first: who sees another die passes SIGTERM on to the command
	# shellcheck disable=SC2086 # they are three numbers
	kill -STOP $three && kill -KILL $three
	wait "$pid" || :
	echo go >"$G/g1/tmp/go"
	wait_until test -s "$G/g1/tmp/end"
	[[ $(cat "$G/g1/tmp/end") != 0 ]] || die "it was written"
	eq "$(cat "$G/g1/$D/f0")" "common file 0" f0
	in_g1 0 'echo more >>/usr/share/vu/f0'
	others_same
}

@test "I1 I15: its worker is killed over and over: another one takes its place, and the command goes on" {
	local pid front guardian n=0
	shells
	{ "$VUNIFY" --config "$CONF" --catalog "$CAT" run g1 -- sh -ec '
		cd /usr/share/vu
		for i in $(seq 0 110); do
			echo more >>f$i; ln f$i l$i; echo over >x; mv x f$i; rm l$i; sleep 0.02
		done'; echo $? >"$STATE/code"; } >"$STATE/out" 2>&1 3>&- &
	pid=$!
	wait_until pgrep -P "$pid" -x vunify >/dev/null
	front=$(pgrep -P "$pid" -x vunify)
	wait_until pgrep -P "$front" >/dev/null
	guardian=$(pgrep -P "$front" | head -n 1)
	while [[ ! -e $STATE/code ]]; do
		sleep 0.2
		worker=$(pgrep -P "$guardian") || continue
		kill -KILL "$worker" 2>/dev/null && n=$((n + 1))
	done
	wait "$pid"
	eq "$(cat "$STATE/code")" 0 "the command's exit code ($(cat "$STATE/out"))"
	((n > 3)) || die "it was killed $n times only"
	for i in 0 50 110; do
		eq "$(cat "$G/g1/$D/f$i")" over "f$i"
		[[ ! -e $G/g1/$D/l$i ]] || die "l$i is there still"
	done
	vx 0 recover
	others_same
}

@test "I15: its worker is killed in a moment that cannot be put right: the command goes on" {
	local pid worker g
	command -v strace >/dev/null || skip "needs strace"
	shells
	for g in 1 2 3; do
		echo with attribute >"$G/g$g/usr/attr"
		touch -d @1600000000 "$G/g$g/usr/attr"
		setfattr -n user.x -v there "$G/g$g/usr/attr"
	done
	vx 0 scan "$G"/g?
	is_object "$G/g1/usr/attr"
	mkfifo "$G/g1/tmp/go"
	{ "$VUNIFY" --config "$CONF" --catalog "$CAT" run g1 -- sh -ec '
		echo ready >/tmp/ready; read x </tmp/go; echo more >>/usr/attr; echo more >>/usr/share/vu/f0' || echo "$?" >"$STATE/rc"; } \
		>"$STATE/out" 2>&1 3>&- &
	pid=$!
	wait_until test -s "$G/g1/tmp/ready"
	worker=$(three_of "$pid") && worker=${worker##* }
	strace -f -qq -o "$STATE/trace" -e trace=renameat2 -e inject=renameat2:delay_enter=3000000 -p "$worker" 3>&- 4>&- &
	wait_until grep -q 'TracerPid:[[:space:]]*[1-9]' "/proc/$worker/task"/*/status
	echo go >"$G/g1/tmp/go"
	# there is no other place that has it
	wait_until setfattr -x user.x "$G/g2/usr/attr" 2>/dev/null
	kill -KILL "$worker"
	wait "$pid"
	[[ ! -e $STATE/rc ]] || die "it ended with $(cat "$STATE/rc" "$STATE/out")"
	eq "$(cat "$G/g1/usr/attr")" "with attribute
more" attr
	eq "$(tail -n 1 "$G/g1/$D/f0")" more f0
	eq "$(cat "$G/g2/usr/attr")" "with attribute" "attr of g2"
	is_object "$G/g2/usr/attr"
}

@test "where any signal ends the wait for an answer nothing is carried out for who waits" {
	shells strace
	# as before Linux 5.19
	timeout 100 strace -f -qq -o /dev/null -e trace=seccomp -e inject=seccomp:error=EINVAL:when=2 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" run -v g1 -- rm "/$D/f0" 2>"$STATE/why" </dev/null
	has "$(cat "$STATE/why")" "1 files got a private copy"
	has "$(cat "$STATE/why")" " 0 names were changed without one"
	[[ ! -e $G/g1/$D/f0 ]]
	others_same
}

@test "unmerge meanwhile: the pool stays as long as somebody shares it" {
	shells
	mkfifo "$G/g1/tmp/go"
	vu run g1 -- sh -ec 'echo more >>/usr/share/vu/f0; read x </tmp/go; echo more >>/usr/share/vu/f1' 3>&- &
	local pid=$!
	wait_until grep -q more "$G/g1/$D/f0"
	vx 0 unmerge "$G"/g?
	[[ -d $MNT/.vunify/objects ]]
	is_private "$G/g1/$D/f2"
	echo go >"$G/g1/tmp/go"
	wait "$pid"
	has "$(cat "$G/g1/$D/f1")" more
	eq "$(cat "$G/g2/$D/f1")" "common file 1" f1
}

@test "moment = freeze: refused, for links are broken under leases" {
	conf <<-EOF
		[policy]
		moment = freeze
	EOF
	vx 12 run "$G/g1" -- true
	has "$ERR" "moment = freeze"
}

@test "max_cow_breaks: a guest that wants more copies than it may have waits for them, and nothing fails" {
	local t0
	shells
	conf <<-EOF
		[limits]
		max_cow_breaks = 20
	EOF
	t0=$(date +%s%N)
	in_g1 0 'cd /usr/share/vu; for i in $(seq 0 59); do echo more >>f$i; done'
	# 20 are saved up; the other 40 take 2 s
	(($(date +%s%N) - t0 > 1900000000)) || die "it did not wait"
	eq "$(tail -qn 1 "$G/g1/$D"/f{0,30,59})" "more
more
more" files
	others_same
}

@test "ext4: a copy takes no blocks that are kept for root, unless root is to have it" {
	farm_down
	VU_FS_MKFS='-m 20' farm_on ext4 200
	vu_guests_make "$G" 3
	chmod 666 "$G"/g?/$D/big
	shells
	local u=(setpriv --reuid 4711 --regid 4711 --clear-groups)
	mkdir -m 777 "$MNT/full"
	(cd "$MNT/full" && "${u[@]}" dd if=/dev/zero of=fill bs=1M 2>/dev/null) || :
	sync -f "$MNT"
	(cd "$MNT/full" && "${u[@]}" dd if=/dev/zero of=more bs=1k 2>/dev/null) || :
	vx 1 run --wrap g1 -- chroot --userspec=4711:4711 "$G/g1" /bin/sh -c 'echo more >>/usr/share/vu/big'
	has "$ERR" "No space left"
	is_object "$G/g1/$D/big"
	in_g1 0 'echo more >>/usr/share/vu/big'
	eq "$(tail -n 1 "$G/g1/$D/big")" more big
	others_same
}

# broken GUEST: as status has it
broken() {
	vu status --json "$1" | jq -r '.guests[0].broken'
}

@test "the catalog learns which files were broken, until a scan has looked at them" {
	shells
	eq "$(broken g1)" 0 before
	in_g1 0 'cd /usr/share/vu; echo more >>f0; chmod 600 f1; echo more >>twin-a; rm f2'
	eq "$(broken g1)" 4 "after a run"
	eq "$(sqlite3 "$CAT" "SELECT CAST(path AS TEXT) FROM broken ORDER BY path")" "$D/f0
$D/f1
$D/twin-a
$D/twin-b" paths
	in_g1 0 'cd /usr/share/vu; echo more >>f0; echo more >>f3'
	eq "$(broken g1)" 5 "after another"
	eq "$(broken g2)" 0 "the others"
	vx 0 scan -n "$G"/g?
	eq "$(broken g1)" 5 "after scan -n"
	vx 0 scan "$G"/g?
	eq "$(broken g1)" 0 "after a scan"
	# where it cannot be written, the guest does not notice
	mv "$CAT" "$CAT.away"
	in_g1 1 'true'
	vx 0 run "$G/g1" -- sh -c 'echo more >>/usr/share/vu/f4'
	[[ ! -e $CAT ]] || die "a catalog was made"
	mv "$CAT.away" "$CAT"
	vx 0 guests remove g1
	eq "$(sqlite3 "$CAT" "SELECT count(*) FROM broken")" 0 "of a guest that is gone"
}

@test "--no-descriptors: what goes by paths is looked at all the same" {
	shells
	vx 0 run --no-descriptors g1 -- sh -ec 'cd /usr/share/vu; echo more >>f0; chmod 600 f1; rm f2'
	eq "$(tail -n 1 "$G/g1/$D/f0")$(stat -c %a "$G/g1/$D/f1")" more600 files
	others_same
}

@test "a program of 32 bits, by its own system calls" {
	local flags=(-m32 -O1 -std=gnu17 -nostdlib -static -ffreestanding -fno-stack-protector -fno-pic -no-pie)
	shells
	"${CC:-cc}" "${flags[@]}" -o "$STATE/calls-32" "${BATS_TEST_DIRNAME:?}/../lib/calls-32.c" 2>"$STATE/why" ||
		skip "no compiler for i386: $(tail -n 1 "$STATE/why")"
	mkdir -p "$STATE/d" && touch "$STATE"/d/f{0..9}
	"$STATE/calls-32" "$STATE/d" || skip "this kernel runs no programs of 32 bits, or $STATE has no attributes"
	cp "$STATE/calls-32" "$G/g1/bin/calls-32"
	vx 0 run g1 -- /bin/calls-32 /usr/share/vu
	cd "$G/g1/$D"
	eq "$(cat f0 f1)" "common file 0
more
commo" "written to"
	eq "$(stat -c %a%u%g f2 f3 f4 f6 | tr '\n' ' ')" "60000 64478 64478 60000 " "modes and owners"
	eq "$(stat -c %Y f5)" 1000000000 f5
	eq "$(cat f7.link f9)" "common file 7
common file 8" "names"
	[[ ! -e f7 && ! -e f8 ]]
	others_same
}
