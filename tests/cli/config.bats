#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The configuration file and global options.

load ../lib/farm

bad() {
	local want=$1
	cat >"$CONF"
	vx 2 scan -n "$G"/g1 "$G"/g2
	has "$ERR" "$CONF|vunify.conf"
	has "$ERR" "$want"
	eq "$OUT" "" stdout
	[[ ! -e $CAT ]] || die "a catalog was made"
}

@test "a bad value: file, line, key and what is allowed" {
	bad 'min_size' <<<$'[policy]\n# a comment\nmin_size = lots\n'
	has "$ERR" '(:| line )3'
	has "$ERR" 'K'
}

@test "a bad choice names the choices" {
	bad 'mtime' <<<$'[policy]\nmtime = nearly'
	has "$ERR" 'exact'
	has "$ERR" 'ignore'
	has "$ERR" '(:| line )2'
}

@test "an unknown key is refused" {
	bad 'min_sise' <<<$'[policy]\nmin_sise = 1'
}

@test "an unknown section is refused" {
	bad 'polizei' <<<$'[polizei]\nmin_size = 1'
}

@test "a line above 200 bytes is refused, not cut" {
	bad '199|200' <<<$'[policy]\nexclude = /'"$(printf '%0300d' 0)"
	has "$ERR" '(:| line )2'
}

@test "a bad rule is refused" {
	bad 'exclude' <<<$'[policy]\nexclude = /a/../b'
	has "$ERR" '(:| line )2'
}

@test "drop-ins are read in the order of their names, and later ones win" {
	mkdir "$STATE/vunify.conf.d"
	echo $'[policy]\nmin_size = 1' >"$STATE/vunify.conf.d/20-small.conf"
	echo $'[policy]\nmin_size = 1G' >"$STATE/vunify.conf.d/10-large.conf"
	echo 'nonsense' >"$STATE/vunify.conf.d/30-not-read.txt"
	vx 0 scan -n --json "$G"/g1 "$G"/g2
	((10#$(sum_of names_unified) > 100))
}

@test "a bad drop-in is named, and nothing of any file applies" {
	mkdir "$STATE/vunify.conf.d"
	echo $'[policy]\nmtime = perhaps' >"$STATE/vunify.conf.d/10-bad.conf"
	vx 2 scan -n "$G"/g1 "$G"/g2
	has "$ERR" '10-bad.conf'
	has "$ERR" 'mtime'
}

@test "a configuration that is named and not there: exit 2" {
	rm "$CONF"
	vx 2 scan -n "$G"/g1 "$G"/g2
	has "$ERR" 'vunify.conf'
}

@test "the shipped configuration parses, and says what the defaults are" {
	cp "$VU_TOP/vunify.conf" "$CONF"
	"$VUNIFY" --config "$CONF" --catalog "$CAT" --lock-dir "$STATE/lock" scan -n --json \
		"$G"/g1 "$G"/g2 >"$STATE/a"
	: >"$CONF"
	"$VUNIFY" --config "$CONF" --catalog "$CAT.2" --lock-dir "$STATE/lock" scan -n --json \
		"$G"/g1 "$G"/g2 >"$STATE/b"
	sed 's/^#\([a-z_]* =\)/\1/' "$VU_TOP/vunify.conf" >"$CONF"
	"$VUNIFY" --config "$CONF" --catalog "$CAT.3" --lock-dir "$STATE/lock" scan -n --json \
		"$G"/g1 "$G"/g2 >"$STATE/c"
	for f in a b c; do
		jq -S 'select(.type == "summary") | del(.seconds)' "$STATE/$f" >"$STATE/$f.json"
	done
	same_text "$STATE/a.json" "$STATE/b.json" "commented out"
	same_text "$STATE/b.json" "$STATE/c.json" "in force"
}

@test "global options stand before or after the command" {
	vx 0 --json scan -n "$G"/g1 "$G"/g2
	jq -e . <<<"$OUT" >/dev/null
	vx 0 scan -n "$G"/g1 "$G"/g2 --json
	jq -e . <<<"$OUT" >/dev/null
}

@test "two catalogs do not know of each other" {
	vx 0 scan -n "$G/g1"
	CAT=$STATE/other.db
	vx 10 status
}

@test "unknown commands and options: exit 2 and a suggestion" {
	vx 2 scna
	has "$ERR" 'scan'
	vx 2 scan --tust-guests "$G/g1"
	has "$ERR" 'trust-guests'
	vx 2
	has "$ERR" 'help'
}

@test "--help of every command goes to stdout" {
	for c in scan unmerge recover guests status df why history mem; do
		vx 0 "$c" --help
		has "$OUT" "vunify $c"
		eq "$ERR" "" "stderr of $c --help"
	done
	vx 0 --help
	has "$OUT" 'unmerge'
	vx 0 --version
	has "$OUT" '[0-9]+\.[0-9]+'
}

@test "a full stdout is a failure, not a silence" {
	[[ -c /dev/full ]] || skip "there is no /dev/full"
	rc=0
	vu scan -n "$G"/g1 "$G"/g2 >/dev/full 2>"$STATE/err" || rc=$?
	((rc == 1 || rc == 13)) || die "exit code $rc"
}
