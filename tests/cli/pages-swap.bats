#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify pages --swap: what is swapped out, counted where it lies; and zram devices.

load ../lib/farm
load ../lib/pages
load ../lib/swap

teardown() {
	swap_end
	farm_down
}

row() {
	jq --arg n "$1" '(.guests // .processes // .areas)[] | select(.name == $n) | .'"$2" <<<"$OUT"
}

# What was swapped out is counted, and nothing of it is swapped in by that.
count() {
	local in zero
	in=$(counter pswpin) zero=$(counter swpin_zero)
	vx 0 pages --swap --json "$@"
	eq "$(counter pswpin) $(counter swpin_zero)" "$in $zero" "pages swapped in, and zeros"
	jq -e '.total | .moved + .unread + .denied == 0' <<<"$OUT" >/dev/null || die "not all was read: $OUT"
}

numbers() {
	jq -c '.total | [.pages, .zero, .identical, .freed, .freed_inside]' <<<"$OUT"
}

device() {
	jq ".devices[0].$1" <<<"$OUT"
}

# need_file_system OPTIONS: instead of the usual one
need_file_system() {
	farm_down
	VU_FS_MKFS=$1 farm_on ext4 64
}

# near A B: within 3 %
near() {
	awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(b > 0 && d <= b * 0.03) }' ||
		die "$1 is not within 3 % of $2"
}

@test "zram: n copies, m pages of zeros and k unique ones, without swapping them in" {
	swap_begin
	zram 64
	swap_on "$ZRAM"
	process 1
	tell 1 fill 200 100 300 7
	push_out 1
	count --pid "${PID[1]}"
	# pages of zeros are not kept as it is
	eq "$(numbers)" '[600,100,300,199,199]' numbers
	jq -e '.swap and .swap_areas >= 1 and .contents_per_sample == 1' <<<"$OUT" >/dev/null || die "$OUT"
	count --pid "${PID[1]}"
	eq "$(numbers)" '[600,100,300,199,199]' "the same again"
	vx 0 pages --swap --pid "${PID[1]}"
	has "$OUT" 'Merging would free 796.0 KiB of 2.3 MiB that are swapped out'
	vx 0 pages --json --pid "${PID[1]}"
	eq "$(total swapped)" 600 "told as swapped out by the census of memory"
}

# A process that forked has the same memory as its child: it counts once.
@test "shared memory that is swapped out is counted, by guest, and its content not looked at" {
	swap_begin
	zram 64
	swap_on "$ZRAM"
	process 1 "$G/g1"
	process 2 "$G/g2"
	tell 1 shared 300
	tell 1 fork
	push_out 1
	tell 2 shared 40
	push_out 2
	count "$G/g1" "$G/g2" "$G/g3"
	eq "$(row g1 swapped_shared) $(row g2 swapped_shared) $(row g3 swapped_shared)" '300 40 0' "of guests"
	eq "$(total pages) $(total swapped_shared)" '0 340' "looked at, and not"
	vx 0 pages --swap "$G/g1"
	has "$OUT" 'Shared memory, which is not looked at: 1.2 MiB of it are swapped out.'
	vx 0 mem --json "$G/g1" "$G/g2" "$G/g3"
	of() { jq --arg n "$1" '.guests[] | select(.guest == $n) | .'"$2" <<<"$OUT"; }
	eq "$(of g1 swapped_bytes) $(of g1 swapped_shared_bytes)" "$((300 * 4096)) $((300 * 4096))" "mem: g1"
	eq "$(of g2 swapped_shared_bytes) $(of g3 swapped_shared_bytes)" "$((40 * 4096)) 0" "mem: g2, g3"
}

@test "guests: what is the same inside of one, and across them; a fork's pages are one" {
	swap_begin
	zram 64
	swap_on "$ZRAM"
	process 1 "$G/g1"
	process 2 "$G/g2"
	tell 1 fill 100 0 10 1
	push_out 1
	tell 1 fork
	tell 2 fill 50 0 20 2
	push_out 2
	count "$G/g1" "$G/g2" "$G/g3"
	eq "$(numbers)" '[180,0,150,149,148]' numbers
	eq "$(row g1 processes) $(row g1 swapped) $(row g1 pages)" '2 220 110' "g1: processes, entries, slots"
	eq "$(row g1 freed_inside) $(row g2 freed_inside) $(row g3 pages)" '99 49 0' "inside of guests"
	eq "$(jq '.freed_across' <<<"$OUT")" 1 across
	vx 0 pages --swap --by=program "$G/g1" "$G/g2"
	has "$OUT" '^page-pattern +3 '
}

@test "a swap file, with a name that /proc/swaps escapes" {
	need_file_system '-b 4096'
	swap_begin
	f="$MNT/swap file"
	dd if=/dev/zero of="$f" bs=1M count=16 status=none
	chmod 600 "$f"
	swap_on "$f"
	process 1
	tell 1 fill 200 0 300 7
	push_out 1
	sync -f "$MNT"
	count --pid "${PID[1]}"
	eq "$(numbers)" '[500,0,200,199,199]' numbers
	# and of all processes, of which some may not let themselves be read
	vx 0 pages --swap --json "$f" || vx 3 pages --swap --json "$f"
	eq "$(row "$f" pages) $(row "$f" freed)" '500 199' "pages of the area"
	# a slot that is of a page of zeros by now has the old content still
	tell 1 change
	tell 1 fill 0 400 0 7
	push_out 1
	count --pid "${PID[1]}"
	(($(jq .zero_unsure_max <<<"$OUT") >= 400)) || die "$OUT"
	vx 0 pages --swap --pid "${PID[1]}"
	has "$ERR" 'pages of zeros, which the kernel does not write'
	vx 0 pages --swap --swap-in --json --pid "${PID[1]}"
	eq "$(total zero)" 400 "pages of zeros, through the owner"
}

@test "a swap file on a file system whose blocks are smaller than a page is not read" {
	need_file_system '-b 1024'
	swap_begin
	dd if=/dev/zero of="$MNT/swap" bs=1M count=16 status=none
	chmod 600 "$MNT/swap"
	swap_on "$MNT/swap"
	vx 12 pages --swap --pid $$
	has "$ERR" 'smaller than a page.*--swap-in'
	process 1
	tell 1 fill 20 0 30 7
	push_out 1
	vx 0 pages --swap --swap-in --json --pid "${PID[1]}"
	eq "$(numbers)" '[50,0,20,19,19]' numbers
}

@test "pages in a slot are those that the owner has: a sample of 600" {
	swap_begin
	zram 64
	swap_on "$ZRAM"
	TMPDIR=$STATE CMOCKA_MESSAGE_OUTPUT=TAP "$VU_BUILD/tests/unit/test-swaps" >"$STATE/unit" 2>&1 ||
		die "$(<"$STATE/unit")"
	for name in slots_are_pages elsewhere_meanwhile; do
		grep -qE "^ok [0-9]+ - $name\$" "$STATE/unit" || die "$name: $(<"$STATE/unit")"
	done
}

@test "several areas; and where the kernel's numbers are not known, it is refused" {
	swap_begin
	zram 32
	first=$ZRAM
	swap_on "$first" 10
	zram 32
	swap_on "$ZRAM" 20
	process 1
	tell 1 fill 50 0 50 1
	push_out 1
	zram 32
	third=$ZRAM
	swap_on "$third" 30
	tell 1 fill 20 0 20 2
	push_out 1
	count --pid "${PID[1]}"
	eq "$(numbers)" '[140,0,70,69,69]' numbers
	swapoff "$first"
	vx 12 pages --swap --pid "${PID[1]}"
	has "$ERR" 'swapoff -a'
	vx 0 pages --swap --swap-in --json --pid "${PID[1]}"
	eq "$(numbers)" '[140,0,70,69,69]' "through the owner"
	swapoff "$third"
	# of one, it is clear
	push_out 1
	vx 0 pages --json --pid "${PID[1]}"
	swapped=$(total swapped)
	count --pid "${PID[1]}"
	eq "$(total pages)" "$swapped" pages
	((swapped >= 40)) || die "$swapped pages"
}

@test "zswap: the areas are not believed, --swap-in is, and pushes out again" {
	swap_begin
	zram 64
	swap_on "$ZRAM"
	zswap Y
	vx 12 pages --swap
	has "$ERR" 'zswap.*--swap-in|--swap-in.*zswap'
	process 1
	tell 1 fill 200 100 300 7
	push_out 1
	zswap N
	(($(awk '/^Zswapped/ { print $2 }' /proc/meminfo) > 0)) || skip "zswap took nothing"
	vx 12 pages --swap --pid "${PID[1]}"
	in=$(counter zswpin)
	vx 0 pages --swap --swap-in --json --pid "${PID[1]}"
	eq "$(numbers)" '[600,100,300,199,199]' numbers
	eq "$(jq .stayed_in_memory <<<"$OUT")" 0 "pages that stay in memory"
	(($(counter zswpin) - in >= 500)) || die "nothing was swapped in?"
	vx 0 pages --json --pid "${PID[1]}"
	eq "$(total swapped)" 600 "swapped out afterwards"
}

@test "zram devices: what merging would save is within 3 % of what the replay does" {
	swap_begin
	for algorithm in lzo-rle lz4; do
		zram 96 "$algorithm"
		swap_on "$ZRAM" 20
		process 1
		tell 1 text 6000 1
		push_out 1
		process 2
		tell 2 fill 1000 500 500 3
		push_out 2
		before=$(ls /sys/block)
		# the kernel may push out pages of others meanwhile, but not each time
		for _ in 1 2 3 4 5; do
			stat=$(<"/sys/block/${ZRAM#/dev/}/mm_stat")
			vx 0 pages --swap --replay --json "$ZRAM"
			[[ $(<"/sys/block/${ZRAM#/dev/}/mm_stat") != "$stat" ]] || break
		done
		eq "$(device algorithm)" "\"$algorithm\"" algorithm
		near "$(device saved_bytes)" "$(device replay_saved_bytes)"
		# half of a third, of text; what is filled with one word takes no memory as it is
		(($(device freed) >= 2000 && $(device filled) >= 1500)) || die "$OUT"
		(($(device replay_used_bytes) < $(device used_bytes))) || die "$OUT"
		eq "$(ls /sys/block)" "$before" "devices"
		eq "$(<"/sys/block/${ZRAM#/dev/}/mm_stat")" "$stat" "what the device has"
		vx 0 pages --swap "$ZRAM"
		has "$OUT" 'merging would save [0-9.]+ MiB of [0-9.]+ MiB compressed'
		end_processes
		swapoff "$ZRAM"
	done
}

@test "a zram device that is no swap" {
	swap_begin
	zram 64
	cat /usr/bin/* 2>/dev/null | head -c $((12 << 20)) >"$STATE/data" || :
	for seek in 0 12 30; do
		dd if="$STATE/data" of="$ZRAM" bs=1M seek=$seek conv=notrunc oflag=direct status=none
	done
	vx 0 pages --swap --replay --json "$ZRAM"
	near "$(device saved_bytes)" "$(device replay_saved_bytes)"
	saved=$(device saved_bytes) compressed=$(device compressed_bytes)
	((saved > compressed * 6 / 10)) || die "$saved of $compressed"
	vx 0 pages --swap --json --max-memory=1K "$ZRAM"
	near "$(device saved_bytes)" "$saved"
}

# new_device: one more than BEFORE
new_device() {
	[[ $(ls /sys/block) != "$BEFORE" ]]
}

no_new_device() {
	! new_device
}

@test "a replay that is killed leaves no device" {
	command -v strace >/dev/null || skip "needs strace"
	swap_begin
	zram 64
	head -c $((1 << 20)) /dev/urandom | dd of="$ZRAM" bs=1M oflag=direct status=none
	BEFORE=$(ls /sys/block)
	strace -qq -f -o /dev/null -e trace=fdatasync -e inject=fdatasync:delay_enter=60000000 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" pages --swap --replay "$ZRAM" >/dev/null 2>&1 3>&- 4>&- &
	tracer=$!
	wait_until new_device || die "there is no second device"
	front=$(pgrep -P "$tracer")
	guardian=$(pgrep -P "$front")
	kill -KILL "$front" "$guardian" "$(pgrep -P "$guardian" | head -n 1)" "$tracer"
	wait "$tracer" 2>/dev/null || :
	wait_until no_new_device || die "it is there still: $(ls /sys/block)"
}

@test "where nothing is swapped out there is nothing, and what makes no sense is refused" {
	swap_begin
	process 1
	vx 0 pages --swap --json --pid "${PID[1]}"
	eq "$(total pages)" 0 pages
	vx 2 pages --replay
	vx 2 pages --swap-in --pid "${PID[1]}"
	vx 2 pages --swap --replay --pid "${PID[1]}"
	: >"$STATE/file"
	vx 2 pages --swap "$STATE/file"
	zram 16
	echo 1 >"/sys/block/${ZRAM#/dev/}/reset"
	vx 2 pages --swap "$ZRAM"
	has "$ERR" 'no size'
	vx 2 pages --swap --swap-in "$ZRAM"
}
