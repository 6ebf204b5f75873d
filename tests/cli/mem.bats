#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify mem: physical pages, of guests and (--prove) of files.

load ../lib/farm

BIG=usr/share/vu/big

teardown() {
	farm_down
	[[ -z ${GROUP:-} ]] || wait_until rmdir "$GROUP" 2>/dev/null
}

pages_shown() {
	python3 - <<'PY'
import mmap, os, sys
m = mmap.mmap(-1, 4096)
m[0] = 1
import ctypes
a = ctypes.addressof(ctypes.c_char.from_buffer(m))
with open("/proc/self/pagemap", "rb") as f:
    f.seek(a // 4096 * 8)
    e = int.from_bytes(f.read(8), "little")
sys.exit(0 if e & ((1 << 55) - 1) else 1)
PY
}

need_pages() {
	pages_shown || skip "the kernel shows no page frame numbers here"
}

@test "separate copies: exit 1" {
	need_pages
	cat "$G"/g?/"$BIG" >/dev/null
	vx 1 mem --prove "$G/g1/$BIG" "$G/g2/$BIG"
	has "$OUT" 'not shared'
}

@test "unified: exit 0" {
	need_pages
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 mem --prove "$G/g1/$BIG" "$G/g2/$BIG" "$G/g3/$BIG"
	has "$OUT" '^shared'
	vx 0 mem --prove --json "$G/g1/$BIG" "$G/g2/$BIG"
	jq -e '.same == true and .pages_compared == .pages_equal and .pages_compared > 0' <<<"$OUT" >/dev/null
}

@test "one file of three is another: exit 1" {
	need_pages
	vx 0 scan "$G"/g1 "$G"/g2
	cat "$G"/g?/"$BIG" >/dev/null
	vx 1 mem --prove "$G/g1/$BIG" "$G/g2/$BIG" "$G/g3/$BIG"
}

@test "a FIFO is not opened: exit 1, at once" {
	need_pages
	rc=0
	timeout 10 "$VUNIFY" mem --prove "$G/g1/$BIG" "$G/g1/usr/share/vu/fifo" >"$STATE/out" \
		2>"$STATE/err" || rc=$?
	eq "$rc" 1 "exit code"
	has "$(<"$STATE/err")" 'not a regular file'
}

@test "one path only, or columns of it: exit 2" {
	vx 2 mem --prove "$G/g1/$BIG"
	vx 2 mem --prove --columns guest "$G/g1/$BIG" "$G/g2/$BIG"
}

# reader GUEST [MORE]: a process of it that has BIG mapped and in memory, and does what MORE says besides
reader() {
	background python3 -c '
import ctypes, mmap, os, signal, sys
def fork():
    parent = os.getpid()
    if os.fork():
        return
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() == parent:
        signal.pause()
    os._exit(0)
os.chroot(sys.argv[1])
os.chdir("/")
m = mmap.mmap(os.open(sys.argv[2], os.O_RDONLY), 0, prot=mmap.PROT_READ)
sum(m[::4096])
exec(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()' "$1" "/$BIG" "${2:-}"
}

# of GUEST FIELD: of the last mem --json in $OUT
of() {
	jq --arg g "$1" '.guests[] | select(.guest == $g) | .'"$2" <<<"$OUT"
}

@test "processes are found by their root directory" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	reader "$G/g1"
	reader "$G/g1"
	reader "$G/g3"
	vx 0 mem --json
	eq "$(of g1 processes) $(of g2 processes) $(of g3 processes)" "2 0 1" processes
	eq "$(jq .total.processes <<<"$OUT")" 3 total
	eq "$(of g2 file_own_bytes)" 0 "pages of a guest without processes"
}

@test "what was the own memory of two guests is shared once it is unified" {
	need_pages
	local size=4194304 own g
	# large beside what else it has that is not the same each time: pages of its program
	head -c "$size" /dev/urandom >"$STATE/big"
	for g in 1 2; do
		cp "$STATE/big" "$G/g$g/$BIG"
		touch -d @1600000000 "$G/g$g/$BIG"
	done
	reader "$G/g1"
	reader "$G/g2"
	vx 0 mem --json "$G"/g1 "$G"/g2
	own=$(of g1 file_own_bytes)
	((own >= size)) || die "own: $own of $size"
	end_processes
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	reader "$G/g1"
	reader "$G/g2"
	vx 0 mem --json
	((own - $(of g1 file_own_bytes) > size / 2)) || die "own: $own, now $OUT"
	# one of the two is asked for: it shares with the other all the same
	vx 0 mem --json g1
	((own - $(of g1 file_own_bytes) > size / 2)) || die "own: $own, now $OUT"
	eq "$(of g2 processes)" "" "a guest that was not asked for"
}

@test "fair shares add up to the physical pages, however often they are mapped" {
	need_pages
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	reader "$G/g1"
	reader "$G/g1"
	reader "$G/g2"
	reader "$G/g3"
	vx 0 mem --json
	jq -e '([.guests[].file_fair_bytes] | add) as $sum | .total.file_fair_bytes as $all
		| $all > 0 and $sum - $all < 10 and $all - $sum < 10' <<<"$OUT" >/dev/null || die "$OUT"
	jq -e '([.guests[].anon_fair_bytes] | add) as $sum | .total.anon_bytes as $all
		| $all > 0 and $sum - $all < 10 and $all - $sum < 10' <<<"$OUT" >/dev/null || die "$OUT"
	jq -e '.total.rss_bytes > .total.file_fair_bytes + .total.anon_bytes' <<<"$OUT" >/dev/null
}

@test "anonymous memory that processes share since a fork is one; a terabyte of nothing is none" {
	need_pages
	reader "$G/g1" '
b = mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE)
for i in range(0, 32 << 20, 4096): b[i] = 1
void = mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | 0x4000) # MAP_NORESERVE
fork()'
	vx 0 mem --json "$G/g1"
	eq "$(of g1 processes)" 2 processes
	(($(of g1 anon_bytes) > 32 << 20 && $(of g1 anon_bytes) < 60 << 20)) || die "$OUT"
}

@test "processes that come and go meanwhile are no error" {
	background bash -c 'echo ready; while :; do chroot "$1" /bin/true; done' _ "$G/g1"
	for _ in {1..20}; do
		vx 0 mem --json "$G/g1" "$G/g2"
	done
}

@test "without the right to see frames it says so, and what it knows" {
	reader "$G/g1"
	# shellcheck disable=SC2016 # expanded there
	printf '#!/bin/sh\nexec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "%s" "$@"\n' \
		"$VUNIFY" >"$STATE/without"
	chmod +x "$STATE/without"
	VUNIFY=$STATE/without vx 3 mem --json "$G/g1"
	has "$ERR" 'hides page frame numbers'
	eq "$(of g1 processes)" 1 processes
	eq "$(of g1 file_own_bytes)" null "what is not known"
}

@test "a guest whose process cannot be read in time is unknown, the others are not" {
	need_pages
	command -v strace >/dev/null || skip "needs strace"
	reader "$G/g1"
	# looking for what is in a large mapping of its takes for ever: as if it had its memory map locked
	printf '#!/bin/sh\nexec strace -f -qq -o /dev/null -e trace=ioctl -e inject=ioctl:delay_enter=3000000:when=1 "%s" "$@"\n' \
		"$VUNIFY" >"$STATE/slow"
	chmod +x "$STATE/slow"
	VUNIFY=$STATE/slow vx 3 mem --json "$G/g1" "$G/g2"
	has "$ERR" 'g1.*holds its memory map locked'
	eq "$(of g1 processes) $(of g1 file_own_bytes) $(of g2 file_own_bytes)" "1 null 0" "what is known"
}

# memory_cgroup: makes one that has the memory, in GROUP, or skips
memory_cgroup() {
	local top
	for top in /sys/fs/cgroup/memory /sys/fs/cgroup; do
		[[ -f $top/memory.usage_in_bytes || -f $top/cgroup.controllers ]] || continue
		GROUP=$(mktemp -d "$top/vu-mem.XXXXXXXX") || continue
		[[ -f $GROUP/memory.stat ]] && return
		rmdir "$GROUP"
	done
	GROUP=''
	skip "no cgroup counts memory here"
}

@test "what its cgroup is charged; unknown where others are in it" {
	memory_cgroup
	reader "$G/g1" 'fork()'
	for pid in $BG_PID $(pgrep -P "$BG_PID"); do
		echo "$pid" >"$GROUP/cgroup.procs"
	done
	vx 0 mem --json "$G/g1" "$G/g2"
	[[ $(of g1 charged_bytes) =~ ^[0-9]+$ ]] || die "$OUT"
	eq "$(of g2 charged_bytes)" null "of a guest without processes"
	reader "$G/g2"
	echo "$BG_PID" >"$GROUP/cgroup.procs"
	vx 0 mem --json "$G/g1" "$G/g2"
	eq "$(of g1 charged_bytes) $(of g2 charged_bytes)" "null null" "of a cgroup of both"
}

@test "a guest named <script> with a newline is shown escaped" {
	local evil=$G/$'<script>\nx'
	mv "$G/g1" "$G/"$'<script>\n
x'
	reader "$G/"$'<script>\n
x'
	vx 0 mem "$G/"$'<script>\n
x'
	has "$OUT" '^<script>.*\\nx +1 '
	eq "$(wc -l <<<"$OUT")" 3 lines
}

@test "nothing is registered, or no such guest" {
	vx 10 mem
	vx 0 scan "$G"/g1 "$G"/g2
	vx 1 mem nobody
	has "$ERR" 'nobody'
}

# ---- --estimate ----

# copies NAME GUEST...: the same large file in these guests, on the disk only
copies() {
	local name=$1 first=$2 g
	shift
	[[ -f $G/g$first/$name ]] || head -c 2000000 /dev/urandom >"$G/g$first/$name"
	for g in "$@"; do
		[[ $g == "$first" ]] || cp -a "$G/g$first/$name" "$G/g$g/$name"
	done
	sync -f "$MNT"
	for g in "$@"; do
		dd if="$G/g$g/$name" iflag=nocache count=0 status=none
	done
}

# pages_of FILE: what of it is in memory, in bytes
resident() {
	"$VU_TOP/tests/lib/resident" "$@"
}

@test "--estimate: what nobody uses is freed at once, the rest when its users start anew" {
	copies usr/lib/blob 1 2 3
	for g in 1 2 3; do
		cat "$G/g$g/usr/lib/blob" >/dev/null
	done
	background python3 -c '
import mmap, os, sys
m = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, prot=mmap.PROT_READ)
print("ready", flush=True)
sys.stdin.readline()' "$G/g3/usr/lib/blob"
	local one=$(((2000000 + 4095) / 4096 * 4096))
	vx 0 mem --estimate --json "$G"/g1 "$G"/g2 "$G"/g3
	jq -e --argjson n "$one" '.groups[0] | .path == "usr/lib/blob" and .copies == 3 and
		.resident_bytes == 3 * $n and .freed_bytes == 2 * $n' <<<"$OUT" >/dev/null || die "$OUT"
	# the first one is kept, as no process of a guest has any mapped; the third is held by one of the host
	eq "$(jq '.groups[0].freed_now_bytes' <<<"$OUT")" "$one" "freed at once"
	eq "$(jq '[.guests[] | .freed_bytes] | add' <<<"$OUT")" "$(jq .total.freed_bytes <<<"$OUT")" "sum of the guests"
	has "$(vu mem --estimate "$G"/g1 "$G"/g2 "$G"/g3)" '^usr/lib/blob +3 '
}

@test "--estimate: what is open counts as used, and a copy that is not in memory frees nothing" {
	copies usr/lib/blob 1 2
	cat "$G/g2/usr/lib/blob" >/dev/null
	vx 0 mem --estimate --json "$G"/g1 "$G"/g2
	jq -e '.groups | map(select(.path == "usr/lib/blob")) | length == 0' <<<"$OUT" >/dev/null || die "$OUT"
	cat "$G/g1/usr/lib/blob" >/dev/null
	exec 8<"$G/g2/usr/lib/blob"
	vx 0 mem --estimate --json "$G"/g1 "$G"/g2
	exec 8<&-
	jq -e '.groups[] | select(.path == "usr/lib/blob") | .freed_now_bytes == 0 and .freed_bytes > 1990000' \
		<<<"$OUT" >/dev/null || die "$OUT"
}

@test "--estimate brings nothing into memory, changes no guest, and says the same again" {
	copies usr/lib/blob 1 2 3
	umount "$MNT"
	mount -o loop "$VU_WORK/img" "$MNT"
	cat "$G"/g1/usr/lib/blob "$G"/g2/usr/lib/blob >/dev/null
	say_manifest "$G"/* >"$STATE/before"
	local was now
	was=$(resident "$G")
	vx 0 mem --estimate --json "$G"/*
	now=$(resident "$G")
	# what the programs that ask have read of it themselves
	((now - was < 200000)) || die "$was bytes in memory, then $now"
	first=$OUT
	vx 0 mem --estimate --json
	# but for what the kernel has dropped meanwhile
	jq -e --argjson first "$(jq .total.freed_bytes <<<"$first")" \
		'.total.freed_bytes - $first | . < 200000 and . > -200000' <<<"$OUT" >/dev/null ||
		die "the second time: $(jq -c .total <<<"$OUT"), the first: $(jq -c .total <<<"$first")"
	say_manifest "$G"/* >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "guests"
	vx 2 mem --estimate --prove "$G"/*
}

# read_by_last: bytes that the last run has read of files
read_by_last() {
	sqlite3 "$CAT" 'SELECT read_bytes FROM run ORDER BY id DESC LIMIT 1'
}

@test "--estimate reads no file again, but what has changed or is in use" {
	copies usr/lib/blob 1 2
	copies usr/lib/other 1 2
	cat "$G"/g[12]/usr/lib/{blob,other} >/dev/null
	vx 0 mem --estimate --json "$G"/g1 "$G"/g2
	vx 0 mem --estimate --json "$G"/g1 "$G"/g2
	eq "$(read_by_last)" 0 "bytes read the second time"
	jq -e '.groups | length == 2 and all(.copies == 2 and .freed_bytes > 1900000)' <<<"$OUT" >/dev/null || die "$OUT"
	# written to, and as large as before
	printf x | dd of="$G/g2/usr/lib/other" conv=notrunc status=none
	vx 0 mem --estimate --json "$G"/g1 "$G"/g2
	jq -e '[.groups[].path] | index("usr/lib/blob") and (index("usr/lib/other") | not)' <<<"$OUT" >/dev/null || die "$OUT"
	(($(read_by_last) < 3000000)) || die "$(read_by_last) bytes read for one changed file"
	# whoever has a file open may write to it
	background python3 -c '
import os, sys
os.open(sys.argv[1], os.O_RDWR)
print("ready", flush=True)
sys.stdin.readline()' "$G/g2/usr/lib/blob"
	vx 0 mem --estimate --json "$G"/g1 "$G"/g2
	jq -e '[.groups[].path] | index("usr/lib/blob") | not' <<<"$OUT" >/dev/null || die "open for writing: $OUT"
	# an estimate decides nothing: a scan reads what it links, and `scan -n` says so
	vx 0 scan -n --json "$G"/g1 "$G"/g2
	(($(sum_of read_bytes) > 0)) || die "a scan that reads nothing"
}

@test "--estimate opens nothing but what was recorded: a FIFO that is mounted on a file" {
	copies usr/lib/blob 1 2
	cat "$G"/g[12]/usr/lib/blob >/dev/null
	vx 0 mem --estimate --json "$G"/g1 "$G"/g2
	# the directory is as it was
	mkfifo "$STATE/fifo"
	mount --bind "$STATE/fifo" "$G/g2/usr/lib/blob"
	background bash -c 'echo ready; echo >"$0"' "$STATE/fifo"
	vx 0 mem --estimate --json "$G"/g1 "$G"/g2
	umount "$G/g2/usr/lib/blob"
	jq -e '[.groups[].path] | index("usr/lib/blob") | not' <<<"$OUT" >/dev/null || die "$OUT"
	kill -0 "$BG_PID" || die "somebody has opened the FIFO for reading"
}

@test "scan -n says the totals of the estimate; with reflinks there is none" {
	copies usr/lib/blob 1 2
	cat "$G"/g1/usr/lib/blob "$G"/g2/usr/lib/blob >/dev/null
	vx 0 mem --estimate --json "$G"/g1 "$G"/g2
	all=$(jq .total.freed_bytes <<<"$OUT")
	vx 0 scan -n --json "$G"/g1 "$G"/g2
	eq "$(sum_of memory_freed_bytes)" "$all" "freed in the end"
	has "$(vu scan -n "$G"/g1 "$G"/g2)" 'of the memory .* at once and .* in the end'
	vx 0 scan --json "$G"/g1 "$G"/g2
	eq "$(sum_of memory_freed_bytes)" null "of a run that is done"
	vx 0 scan -n --json
	eq "$(sum_of memory_freed_bytes)" 0 "when all is unified"
}
