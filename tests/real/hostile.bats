#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# A tree made by somebody who means harm. Nothing outside of it is opened, the memory stays small, it
# ends, and every file is accounted for. The scan runs once; the tests look at what it left.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

# It takes a few seconds; a machine that is busy with something else is not to fail this.
TOO_LONG=150

# Beyond the limit of depth. By day tests/zoo has 100,000 of each, without a tracer that looks at each open.
LEVELS=5000 NAMES=10000
[[ -z ${VU_NIGHTLY:-} ]] || LEVELS=20000 NAMES=50000

setup_file() {
	export HOSTILE_WHY='' HOSTILE_MNT='' HOSTILE_DIR=''
	[[ $(id -u) == 0 ]] || HOSTILE_WHY="needs root"
	[[ -n $HOSTILE_WHY ]] || vu_fs_make ext4 3000 strictatime || HOSTILE_WHY=$VU_FS_WHY
	[[ -z $HOSTILE_WHY ]] || return 0
	vu_tmp
	HOSTILE_MNT=$VU_MNT HOSTILE_DIR=$VU_DIR
	use
	cc_test "$VU_TOP/tests/lib/hostile-tree.c" "$STATE/hostile-tree"
	vu_guests_make "$G" 2
	mkdir "$MNT/outside"
	echo 'the canary' | tee "$MNT/outside/canary" >"$MNT/outside/linked"
	hostile "$G/g1"
	hostile "$G/g2"
	sync -f "$MNT"
	touch -a -d @1500000000 "$MNT/outside/canary" "$MNT/outside" "$MNT/outside/linked"
	conf <<<$'[policy]\nmin_size = 1'
	rc=0
	timeout "$TOO_LONG" /usr/bin/time -q -o "$STATE/time" -f '%M' \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -n --json "$G/g1" "$G/g2" \
		>"$STATE/dry" 2>"$STATE/dry-err" </dev/null 3>&- || rc=$?
	echo "$rc" >"$STATE/dry-rc"
	((rc != 124)) || return 0
	rc=0
	timeout "$TOO_LONG" strace -f --seccomp-bpf -qq -y -o "$STATE/trace" -e trace=open,openat,openat2,open_by_handle_at \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan --json "$G/g1" "$G/g2" \
		>"$STATE/run" 2>"$STATE/run-err" </dev/null 3>&- || rc=$?
	echo "$rc" >"$STATE/run-rc"
}

use() {
	STATE=$HOSTILE_DIR CONF=$HOSTILE_DIR/vunify.conf CAT=$HOSTILE_DIR/catalog.db
	MNT=$HOSTILE_MNT G=$HOSTILE_MNT/guests
}

hostile() {
	local h=$1/usr/h
	mkdir "$h" "$h/deep" "$h/many"
	mkfifo "$h/fifo"
	mknod "$h/char" c 1 3
	mknod "$h/tty" c 5 0
	mknod "$h/block" b 7 0
	(cd "$h" && "$STATE/hostile-tree" socket socket)
	ln -s /etc "$h/to-etc"
	ln -s "$MNT/outside" "$h/to-outside"
	ln -s ../../../../../../../../../../etc "$h/to-etc-relative"
	ln -s self "$h/self"
	"$STATE/hostile-tree" deep "$h/deep" "$LEVELS"
	"$STATE/hostile-tree" names "$h/many" "$NAMES"
	local n
	for n in $'new\nline' $'esc\e[2J' $'bytes-\xff\xfe' $'tab\t' '-rf' '*' "$(printf '%0255d' 0)"; do
		printf 'hostile name\n' >"$h/$n"
	done
	truncate -s 4T "$h/sparse"
	printf 'end' | dd of="$h/sparse" bs=1 seek=4398046511101 conv=notrunc status=none
	[[ $1 != */g1 ]] || ln "$MNT/outside/linked" "$h/linked"
	[[ $1 == */g1 ]] || cp -p "$MNT/outside/linked" "$h/linked"
	printf 'set-id\n' >"$h/setid" && chmod 6755 "$h/setid"
	# One guest's database is junk, with a line that does not end; the other's are traps.
	local dpkg=$1/var/lib/dpkg
	mkdir -p "$dpkg/info"
	if [[ $1 == */g1 ]]; then
		{
			printf 'Package: x\nConffiles:\n /etc/../../../etc/passwd 00\n /'
			head -c 3000000 /dev/zero | tr '\0' A
			printf '\n'
			head -c 3000000 /dev/urandom
		} >"$dpkg/status"
		mkfifo "$dpkg/info/trap.conffiles"
		ln -s /etc/passwd "$dpkg/info/link.conffiles"
	else
		ln -s "$MNT/outside/canary" "$dpkg/status"
		ln -s "$MNT/outside" "$dpkg/info/dir.conffiles"
		truncate -s 1T "$dpkg/info/huge.conffiles"
	fi
	find "$h" -maxdepth 1 ! -type l -exec touch -h -d @1600000000 {} +
}

setup() {
	[[ -z $HOSTILE_WHY ]] || skip "$HOSTILE_WHY"
	use
	H=$G/g1/usr/h
}

teardown() {
	end_processes
}

teardown_file() {
	if [[ -n $HOSTILE_MNT && -x $HOSTILE_DIR/hostile-tree ]]; then
		"$VUNIFY" --config "$HOSTILE_DIR/vunify.conf" --catalog "$HOSTILE_DIR/catalog.db" unmerge \
			"$HOSTILE_MNT"/guests/g? >/dev/null 2>&1 || :
		for g in "$HOSTILE_MNT"/guests/g?; do
			chattr -i "$g"/usr/h/deep 2>/dev/null || :
			"$HOSTILE_DIR/hostile-tree" undeep "$g/usr/h/deep" 2>/dev/null || :
		done
	fi
	vu_fs_clean
}

why() {
	VX_SECONDS=60 vx 0 why "$1"
	eq "$(wc -l <<<"$OUT")" 1 lines
	has "$OUT" "$2"
}

@test "it ends, with an exit code that says done" {
	[[ $(<"$STATE/dry-rc") == [03] ]] || die "scan -n: exit code $(<"$STATE/dry-rc"): $(tail -n 3 "$STATE/dry-err")"
	[[ $(<"$STATE/run-rc") == [03] ]] || die "scan: exit code $(<"$STATE/run-rc"): $(tail -n 3 "$STATE/run-err")"
}

@test "I11: the memory stays below 128 MiB" {
	[[ $VUNIFY != "${VU_SAN_VUNIFY:-}" ]] || skip "sanitizers need more"
	(($(tail -n 1 "$STATE/time") < 128 * 1024)) || die "$(tail -n 1 "$STATE/time") KiB"
}

@test "scan -n said what the scan then did" {
	list() { jq -c 'select(.type != "summary") | [.type, .guest, .path, .skip]' "$1" | sort; }
	list "$STATE/dry" >"$STATE/a"
	list "$STATE/run" >"$STATE/b"
	[[ -s $STATE/a ]]
	same_text "$STATE/a" "$STATE/b"
}

@test "I5: nothing outside of the guests is opened" {
	run "$VU_TOP/tests/lib/strace-opens" "$STATE/trace" "$G/g1" "$G/g2" "$MNT/.vunify" "$STATE" \
		"$(dirname "$VUNIFY")"
	[[ $status == 0 ]] || die "$output"
	eq "$(stat -c %X "$MNT/outside/canary")" 1500000000 "time of last access of the canary"
	eq "$(stat -c %X "$MNT/outside")" 1500000000 "time of last access of the canary's directory"
}

@test "I5: no FIFO, device or socket is opened" {
	! grep -E '"(fifo|char|tty|block|socket|trap\.conffiles)"' "$STATE/trace" | grep -v O_PATH ||
		die "see above"
	! grep -E '= [0-9]+</[^>]*/h/(fifo|char|tty|block|socket)>' "$STATE/trace" | grep -v O_PATH ||
		die "see above"
}

@test "everything that is harmless is unified all the same" {
	same "$G/g1/usr/share/vu/big" "$G/g2/usr/share/vu/big"
	for n in $'new\nline' $'esc\e[2J' $'bytes-\xff\xfe' '-rf' '*' "$(printf '%0255d' 0)"; do
		is_object "$H/$n"
	done
	same "$H/many/11-$(printf '%011d' 0 | tr 0 n)" "$G/g2/usr/h/many/11-$(printf '%011d' 0 | tr 0 n)"
}

@test "why tells for each" {
	why "$H/fifo" 'not-regular'
	why "$H/char" 'not-regular'
	why "$H/block" 'not-regular'
	why "$H/socket" 'not-regular'
	why "$H/to-etc" 'not-regular'
	why "$H/self" 'not-regular'
	why "$H/setid" 'set-id'
	why "$H/linked" 'links-outside'
	why "$H/sparse" 'private: limit'
	why "$H/"$'new\nline' 'unified'
	why "$H/"$'bytes-\xff\xfe' 'unified'
	why "$H/-rf" 'unified'
	# What a symbolic link leads to is no file of the guest.
	vu why "$H/to-etc/passwd" >"$STATE/out" 2>&1 || :
	has "$(<"$STATE/out")" 'to-etc|/etc/passwd'
	hasnt "$(<"$STATE/out")" 'unified|private'
}

@test "the depth has a limit, and what lies below it is counted or told" {
	local p=$H/deep
	p+=$(printf '/d%.0s' {1..1000})
	why "$p/file" 'unified'
	[[ $(jq -s '[.[] | select(.type == "summary")] | last | .total.skips.limit.files // 0' "$STATE/run") != 0 ]] ||
		grep -qE 'depth|levels|limit' "$STATE/run" "$STATE/run-err" ||
		die "nothing is said about what lies too deep"
}

@test "I5: a file that turns into a symbolic link and back leads nowhere" {
	mkdir "$H/swap"
	for g in g1 g2; do
		mkdir -p "$G/$g/usr/h/swap"
		echo 'swapped to and fro' >"$G/$g/usr/h/swap/file"
		cp -p "$G/$g/usr/h/swap/file" "$G/$g/usr/h/swap/target"
		touch -d @1600000000 "$G/$g"/usr/h/swap/*
	done
	background "$STATE/hostile-tree" swap "$H/swap" target "$MNT/outside/canary" file
	touch -a -d @1500000000 "$MNT/outside/canary"
	for _ in 1 2 3 4 5; do
		rc=0
		timeout "$TOO_LONG" strace -f --seccomp-bpf -qq -y -o "$STATE/trace2" -e trace=open,openat,openat2 \
			"$VUNIFY" --config "$CONF" --catalog "$CAT" scan "$G/g1" "$G/g2" \
			>"$STATE/out" 2>"$STATE/err" 3>&- || rc=$?
		[[ $rc == [03] ]] || die "exit code $rc: $(tail -n 3 "$STATE/err")"
		! grep -F "= " "$STATE/trace2" | grep -E "= [0-9]+<$MNT/outside" || die "the canary was opened"
	done
	eq "$(stat -c %X "$MNT/outside/canary")" 1500000000 "time of last access of the canary"
	eq "$(<"$MNT/outside/canary")" 'the canary' "the canary"
	eq "$(<"$G/g2/usr/h/swap/target")" 'swapped to and fro' "another guest's file"
}

@test "unmerge of it all gives private files" {
	vx 0 unmerge "$G/g1" "$G/g2"
	is_private "$G/g1/usr/share/vu/big"
	eq "$(n_objects)" 0 objects
	eq "$(find "$H" -maxdepth 1 -name 'bytes*' | wc -l)" 1 "files"
}
