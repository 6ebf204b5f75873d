#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What the catalog waits for its disk for: by its system calls. See tests/lib/strace-syncs.

load ../lib/farm

CALLS=mkdir,openat,write,pwrite64,ftruncate,fsync,fdatasync,unlink,rename,renameat2

# synced LEAST ARGUMENT...: everything of the catalog is on the disk when it has to be, and that is so
# many times at least.
synced() {
	local least=$1 n
	shift
	command -v strace >/dev/null || skip "needs strace"
	strace -f -y -qq -s 0 -o "$STATE/trace" -e "trace=$CALLS" \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" "$@" >"$STATE/out" 2>&1 ||
		(($? == 3)) || die "$(<"$STATE/out")"
	OUT=$("$VU_TOP/tests/lib/strace-syncs" "$STATE/trace" "$CAT") || die "$OUT"
	n=${OUT%% *}
	((n >= least)) || die "$OUT, wanted $least"
}

@test "I9: a new catalog: its directories and its name are on the disk before it is used" {
	CAT=$STATE/made/for/it/catalog.db
	synced 4 guests add "$G/g1"
	[[ -s $CAT ]] || die "there is no $CAT"
}

@test "I9: what a run commits is on the disk before pages of the catalog change, and they are before the log goes" {
	vx 0 scan "$G"/g1 "$G"/g2
	synced 2 scan "$G"/g1 "$G"/g2 "$G"/g3
}

@test "I9: a catalog that is made anew is on the disk before it takes the place of the old one" {
	vx 0 scan "$G"/g1 "$G"/g2
	printf 'no catalog at all' | dd of="$CAT" conv=notrunc status=none
	synced 2 recover --rebuild-catalog
	has "$(<"$STATE/out")" 'made anew'
}
