#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify mem --prove: physical pages.

load ../lib/farm

BIG=usr/share/vu/big

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

@test "one path only, or no --prove: exit 2" {
	vx 2 mem --prove "$G/g1/$BIG"
	vx 2 mem "$G/g1/$BIG" "$G/g2/$BIG"
}
