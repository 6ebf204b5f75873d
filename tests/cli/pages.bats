#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify pages: counts of memory and of files whose pages are known.

load ../lib/farm
load ../lib/pages

declare -gA WAS

# row NAME FIELD
row() {
	jq --arg n "$1" '(.guests // .processes // .files)[] | select(.name == $n) | .'"$2" <<<"$OUT"
}

count() {
	vx 0 pages --json "$@"
	jq -e '.total | .moved + .unread + .denied == 0' <<<"$OUT" >/dev/null || die "not all was read: $OUT"
}

# Runs it, and says by how much FIELD of the total has grown since the last time.
grown() {
	local now
	now=$(total "$1")
	echo $((now - ${WAS[$1]:-0}))
}

remember() {
	local f
	for f in pages zero identical freed freed_inside huge merged; do
		WAS[$f]=$(total $f)
	done
}

# frames_of ADDRESS PID...: of 1,200 pages, asked without vunify.
frames_of() {
	python3 - "$@" <<'PY'
import sys
for pid in sys.argv[2:]:
    with open(f"/proc/{pid}/pagemap", "rb") as f:
        f.seek(int(sys.argv[1], 16) // 4096 * 8)
        print(f.read(1200 * 8).hex())
PY
}

@test "n copies, m pages of zeros and k unique ones: counted exactly" {
	process 1
	count --pid "${PID[1]}"
	remember
	tell 1 fill 200 100 300 7
	count --pid "${PID[1]}"
	eq "$(grown pages)" 600 pages
	eq "$(grown zero)" 100 "pages of zeros"
	eq "$(grown identical)" 300 "identical pages"
	eq "$(grown freed)" 300 "pages that merging would free"
	eq "$(grown freed_inside)" 300 "of these, inside"
	eq "$(jq '.programs[0].name' <<<"$OUT")" '"page-pattern"' program
}

@test "memory that two processes have since a fork is counted once" {
	process 1
	tell 1 fill 0 0 500 7
	count --pid "${PID[1]}"
	remember
	tell 1 fork
	child=$(pgrep -P "${PID[1]}")
	count --pid "${PID[1]}" --pid "$child"
	(($(grown pages) < 100)) || die "$(grown pages) pages more"
	(($(row "$child" pages) < 600)) || die "$(row "$child" pages) pages in the child"
	# when both have written, they are two, and equal
	tell 1 change
	count --pid "${PID[1]}" --pid "$child"
	(($(grown pages) >= 500 && $(grown freed) >= 500)) || die "$OUT"
}

@test "shared memory is not counted, and a terabyte with a page in it is a page" {
	process 1
	count --pid "${PID[1]}"
	remember
	tell 1 shared 1000
	tell 1 sparse
	VX_SECONDS=20 count --pid "${PID[1]}"
	eq "$(grown pages)" 1 pages
}

@test "pages in huge pages are told" {
	process 1
	count --pid "${PID[1]}"
	remember
	tell 1 huge 3
	[[ $SAID == 2097152* ]] || skip "no huge page was to be had"
	count --pid "${PID[1]}"
	eq "$(grown huge)" 512 "pages in huge pages"
	eq "$(grown identical)" 512 "identical pages"
}

@test "guests: what is the same inside of one, and across them" {
	process 1 "$G/g1"
	process 2 "$G/g2"
	process 3 "$G/g2"
	count "$G/g1" "$G/g2" "$G/g3"
	eq "$(row g1 processes) $(row g2 processes) $(row g3 processes)" '1 2 0' processes
	remember
	tell 1 fill 100 0 10 1
	tell 2 fill 50 0 20 2
	tell 3 fill 0 0 20 2 # as the other process of the guest
	count "$G/g1" "$G/g2" "$G/g3"
	eq "$(grown pages)" 200 pages
	# the copies are one content in both guests; 20 are twice in g2
	eq "$(grown freed)" $((150 + 20)) freed
	eq "$(grown freed_inside)" $((100 + 50 + 20)) "freed inside"
	eq "$(jq '[.guests[].freed] | add' <<<"$OUT")" "$(total freed)" "sum of the guests' parts"
	eq "$(jq '[.programs[].pages] | add' <<<"$OUT")" "$(total pages)" "pages of programs"
	vx 0 pages "$G/g1" "$G/g2"
	has "$OUT" '^g1 +1 '
	has "$OUT" 'Merging would free'
	vx 0 pages --by=program "$G/g1" "$G/g2"
	has "$OUT" '^page-pattern +3 '
}

@test "registered guests are taken without operands, and others by their roots" {
	vx 0 scan "$G"/g1 "$G"/g2
	process 1 "$G/g2"
	count
	eq "$(jq -c '[.guests[].name]' <<<"$OUT")" '["g1","g2"]' guests
	(($(row g2 pages) > 3)) || die "$OUT"
	count g1
	eq "$(total processes)" 0 processes
	count "$G/g3"
	vx 1 pages no-such-guest
}

@test "a census changes no frame: the same before and after" {
	process 1 "$G/g1"
	tell 1 fill 100 100 1000 1
	tell 1 fork
	tell 1 where
	both=("${SAID% done}" "${PID[1]}" "$(pgrep -P "${PID[1]}")")
	frames=$(frames_of "${both[@]}")
	eq "$(sort -u <<<"$frames" | wc -l)" 1 "frames that are not the same in both"
	((${#frames} > 30000)) || die "no frames are shown"
	count "$G/g1"
	remember
	for _ in 1 2 3; do
		count "$G/g1"
		eq "$(grown pages)" 0 "pages more"
	done
	eq "$(frames_of "${both[@]}")" "$frames" frames
}

@test "with less memory than it takes it samples, says so, and is near" {
	process 1
	tell 1 fill 5000 5000 60000 1
	process 2
	tell 2 fill 0 0 60000 1
	count --max-memory=1M --pid "${PID[1]}" --pid "${PID[2]}"
	(($(jq .contents_per_sample <<<"$OUT") > 1)) || die "no sample: $OUT"
	(($(total pages) >= 130000)) || die "$(total pages) pages"
	freed=$(total freed)
	((freed > 68000 && freed < 72000)) || die "$freed pages, 69900 are"
	vx 0 pages --max-memory=1M --pid "${PID[1]}" --pid "${PID[2]}"
	has "$OUT" 'stands for the others'
}

@test "a file with holes: pages, zeros, copies" {
	f=$STATE/pages
	python3 - "$f" <<'PY'
import os, sys
p = 4096
with open(sys.argv[1], "wb") as f:
    f.write(b"\1" * p * 20 + bytes(p * 10) + b"".join(i.to_bytes(4, "little") * (p // 4) for i in range(100, 130)))
    f.seek(1 << 30)
    f.write(b"\1" * p + b"tail")
PY
	cp --sparse=always "$f" "$f-2" # where zeros are written, there are holes
	count "$f"
	eq "$(total pages) $(total zero) $(total identical) $(total freed)" '62 10 31 29' counts
	eq "$(total holes)" $(((1 << 30) / 4096 - 60)) holes
	count "$f" "$f-2"
	eq "$(row "$f-2" pages) $(row "$f-2" zero)" '52 0' "pages of the other"
	eq "$(jq .freed_across <<<"$OUT")" $((30 + 1 + 1)) "to be freed across files"
}

@test "a device is read, and what is no file of pages is refused" {
	dd if=/dev/zero of="$STATE/disk" bs=4096 count=256 status=none
	printf 'x%.0s' {1..4096} | dd of="$STATE/disk" conv=notrunc bs=4096 seek=7 status=none
	loop=$(losetup --find --show "$STATE/disk")
	vx 0 pages --json "$loop"
	losetup -d "$loop"
	eq "$(total pages) $(total zero)" '256 255' pages
	vx 2 pages "$STATE/disk" "$G/g1"
	vx 2 pages /dev/null
	vx 2 pages --freeze "$STATE/disk"
	vx 2 pages --pid=0
	vx 2 pages --pid=nobody
	vx 2 pages --pid=4194399
}

@test "what a program is called is printed escaped" {
	background bash -c 'printf "<b>\n" >/proc/$$/comm; echo ready; read'
	vx 0 pages --by=program --pid "$BG_PID"
	hasnt "$OUT" "$(printf '\033')"
	background python3 -c '
import sys
open("/proc/self/comm", "w").write("\33[1m\n<script>")
print("ready", flush=True)
sys.stdin.readline()'
	vx 0 pages --by=program --pid "$BG_PID"
	has "$OUT" '\\x1b\[1m\\n<script>'
	vx 0 pages --json --pid "$BG_PID"
	jq -e '.programs[0].name | startswith("\u001b[1m")' <<<"$OUT" >/dev/null
}

# ---- freezing ----

# frozen_guest: one process in the first guest, in a cgroup $CG of its own
frozen_guest() {
	local top
	for top in /sys/fs/cgroup /sys/fs/cgroup/unified; do
		[[ $(stat -f -c %T "$top" 2>/dev/null) == cgroup2fs ]] && CG=$top/vunify-pages-$$-$BATS_TEST_NUMBER
	done
	mkdir "${CG:?no cgroup v2}" 2>/dev/null || skip "no cgroup v2 in which cgroups can be made"
	process 1 "$G/g1"
	tell 1 fill 10 10 2000 1
	echo "${PID[1]}" >"$CG/cgroup.procs"
}

teardown() {
	let_go
	if [[ -n ${CG:-} && -d $CG ]]; then
		echo 0 >"$CG/cgroup.freeze"
		kill -KILL "${PID[1]}" 2>/dev/null || :
		wait_until rmdir "$CG" 2>/dev/null
	fi
	farm_down
}

is_frozen() {
	[[ $(<"$CG/cgroup.freeze") == 1 ]]
}

runs() {
	! is_frozen
}

@test "--freeze: the guest stands still meanwhile, and goes on afterwards" {
	frozen_guest
	vx 0 pages --freeze --json "$G/g1"
	jq -e '.frozen and .total.pages > 2000 and .total.moved == 0' <<<"$OUT" >/dev/null || die "$OUT"
	runs || die "it is frozen still"
	tell 1 change
	hold pipe2 1 pages --freeze "$G/g1"
	is_frozen || die "it was not frozen"
	go_on || die "exit code $?"
	runs || die "it is frozen still"
	tell 1 change
}

@test "--freeze: killed in the middle, the guest goes on" {
	frozen_guest
	hold pipe2 1 pages --freeze "$G/g1"
	is_frozen || die "it was not frozen"
	kill -KILL "$HELD" # the worker
	wait_until runs || die "it is frozen still"
	let_go
	hold pipe2 1 pages --freeze "$G/g1"
	is_frozen || die "it was not frozen"
	kill -KILL "$(parent_of "$HELD")" "$HELD" # and the guardian
	wait_until runs || die "it is frozen still"
	tell 1 change
}

@test "--freeze: all of it killed, the next one lets the guest go on" {
	frozen_guest
	hold pipe2 1 pages --freeze "$G/g1"
	front=$(parent_of "$(parent_of "$HELD")")
	kill -STOP "$front" "$(parent_of "$HELD")"
	kill -KILL "$front" "$(parent_of "$HELD")" "$HELD"
	let_go
	is_frozen || die "it was not frozen"
	vx 3 recover "$G/g1"
	has "$ERR" 'they run again'
	runs || die "it is frozen still"
	tell 1 change
}

@test "--freeze: a guest without a cgroup of its own is refused, and what to do is said" {
	process 1 "$G/g1"
	vx 12 pages --freeze "$G/g1"
	has "$ERR" 'leave --freeze out'
	vx 2 pages --freeze --pid "${PID[1]}"
}
