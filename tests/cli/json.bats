#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# JSON output: parses, complete, and lossless for hostile names.

FARM_GUESTS=2
load ../lib/farm

hostile() {
	local g
	NL=$'new\nline' ESC=$'esc\e[31mred' BAD=$'not-utf8-\xff\xfe' RTL=$'rtl-\u202e-evil' UTF=$'grüße'
	for g in g1 g2; do
		mkdir "$G/$g/usr/h"
		for n in "$NL" "$ESC" "$BAD" "$RTL" "$UTF" 'quote"back\slash' ' '; do
			printf 'same\n' >"$G/$g/usr/h/$n"
			touch -d @1600000000 "$G/$g/usr/h/$n"
		done
	done
}

parses() {
	python3 -c 'import json, sys
for line in sys.stdin:
    json.loads(line)' <<<"$OUT" || die "not JSON: ${OUT:0:500}"
	[[ -n $OUT ]]
}

@test "--json of every command parses, with a schema number" {
	vx 0 scan --json "$G"/g1 "$G"/g2
	parses
	eq "$(jq -s 'last | .schema' <<<"$OUT")" 1 "schema of scan"
	for c in status df history guests; do
		vx 0 "$c" --json
		parses
		eq "$(jq .schema <<<"$OUT")" 1 "schema of $c"
	done
	vx 0 why --json "$G/g1/usr/share/vu/big"
	parses
	vx 0 recover --json
	parses
	vx 0 unmerge --json
	parses
}

@test "every name of a hostile tree comes back from scan --json as it was" {
	hostile
	vx 0 scan --json "$G"/g1 "$G"/g2
	parses
	vu scan --json --full "$G"/g1 "$G"/g2 >/dev/null
	printf '%s\n' "$OUT" | python3 -c '
import base64, json, os, sys
root = os.fsencode(sys.argv[1])
got = set()
for line in sys.stdin:
    e = json.loads(line)
    if e.get("type") in ("unify", "skip") and e.get("guest") == "g1":
        got.add(base64.b64decode(e["path_b64"]) if "path_b64" in e else e["path"].encode())
want = {b"usr/h/" + n for n in os.listdir(root + b"/usr/h")}
missing = want - {g.lstrip(b"/") for g in got}
sys.exit("missing: %r" % missing if missing else 0)' "$G/g1"
}

@test "hostile names are escaped in what people read" {
	hostile
	vx 0 scan -v "$G"/g1 "$G"/g2
	hasnt "$OUT" $'\e'
	has "$OUT" 'usr/h/new\\nline'
	has "$OUT" 'not-utf8-\\xff\\xfe'
	LC_ALL=C.UTF-8 vu scan -v --full "$G"/g1 "$G"/g2 >"$STATE/out"
	! grep -q $'\u202e' "$STATE/out" || die "a character that turns the reading direction got through"
}

@test "why of a hostile name" {
	hostile
	vx 0 scan "$G"/g1 "$G"/g2
	vx 0 why --json "$G/g1/usr/h/$BAD"
	parses
	eq "$(jq -r '.answers[0].path_b64' <<<"$OUT" | base64 -d)" "$G/g1/usr/h/$BAD" path
	eq "$(jq -r '.answers[0].state' <<<"$OUT")" unified state
	vx 0 why "$G/g1/usr/h/$NL"
	eq "$(wc -l <<<"$OUT")" 1 lines
}

@test "unmerge of a hostile name" {
	hostile
	vx 0 scan "$G"/g1 "$G"/g2
	is_object "$G/g1/usr/h/$BAD"
	vx 0 unmerge "$G/g1/usr/h/$BAD" "$G/g1/usr/h/$NL"
	is_private "$G/g1/usr/h/$BAD"
	is_private "$G/g1/usr/h/$NL"
	is_object "$G/g1/usr/h/$ESC"
}

@test "a root whose name is hostile is a guest like others" {
	mv "$G/g2" "$G/"$'g\xff\n2'
	vx 0 scan --json "$G/g1" "$G/"$'g\xff\n2'
	parses
	same "$G/g1/usr/share/vu/big" "$G/"$'g\xff\n2/usr/share/vu/big'
	vx 0 guests --json
	parses
	vx 0 status
	hasnt "$OUT" $'\xff'
}

@test "numbers are numbers, sizes are bytes" {
	vx 0 scan --json "$G"/g1 "$G"/g2
	jq -se 'last | [.names_unified, .saved_bytes, .read_bytes, .seconds, .total.bytes] | all(type == "number")' <<<"$OUT" >/dev/null
	vx 0 df --json
	jq -e '.total | [.size_bytes, .saved_bytes] | all(type == "number")' <<<"$OUT" >/dev/null
}
