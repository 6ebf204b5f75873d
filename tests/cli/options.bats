#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later

bats_require_minimum_version 1.5.0
# Wrong usage ends with 2 and says what is wrong; options stand anywhere.

setup() {
	V=${VUNIFY:-${VU_TOP:-$BATS_TEST_DIRNAME/../..}/build/vunify}
	cd "$BATS_TEST_TMPDIR" || return 1
}

# says STATUS TEXT ARGUMENT...
says() {
	local status_wanted=$1 text=$2
	shift 2
	run --separate-stderr "$V" "$@"
	[[ $status == "$status_wanted" && $stderr == "vunify: "*"$text"* && -z $output ]]
}

@test "no command" {
	says 2 "no command"
}

@test "an unknown command, with the nearest" {
	says 2 "did you mean 'scan'" scna
	says 2 "did you mean 'remove'" guests remvoe
}

@test "an unknown option, with the nearest" {
	says 2 "did you mean '--min-size'" scan --min-sze 3
	says 2 "'--frobnicate'" scan --frobnicate
	says 2 "'-x'" scan -x
}

@test "far-off names are not suggested" {
	run --separate-stderr "$V" qqqqqq
	[[ $status == 2 && $stderr != *"did you mean"* ]]
}

@test "bad values name the option and what is allowed" {
	says 2 "exact|ignore" scan --mtime=never
	says 2 "from 0 to 1024" scan --jobs 1025
	says 2 "from 0 to 1024" scan -jx
	says 2 "from 0 to 1024" scan --jobs=-1
	says 2 "size" scan --min-size 3Q
}

@test "a value that is missing, and one too many" {
	says 2 "wants a value" scan --jobs
	says 2 "takes no value" scan --full=yes
}

@test "too few and too many operands" {
	says 2 "too few" why
	says 2 "too few" mem --prove /etc/passwd
	says 2 "too many" guests add a b
	says 2 "too many" history a
}

@test "global options stand before or after the command" {
	says 10 "no catalog" --catalog ./none status
	says 10 "no catalog" status --catalog=./none
}

@test "after -- everything is an operand" {
	cp /etc/passwd ./--json
	run -0 "$V" mem --prove -- --json --json
	[[ $output == shared:* ]]
}

@test "columns: unknown ones are named with those there are" {
	: >cat.db
	says 2 "GUEST" --catalog ./cat.db df --columns nonsense
	says 2 "no columns" mem --prove --columns a /etc/passwd /etc/passwd
}

@test "a configuration that is not there, or wrong, ends with 2" {
	says 2 "none.conf" --config ./none.conf scan
	printf '[policy]\nmtime = never\n' >bad.conf
	says 2 "bad.conf:2" --config ./bad.conf scan
	[[ $stderr == *mtime*exact* ]]
}

@test "guests set wants something to set" {
	: >cat.db
	says 2 "nothing to set" --catalog ./cat.db guests set x
}

@test "messages escape what was typed" {
	says 2 '\x1b' $'\033[31m'
	says 2 '\xff' scan $'--\xff'
}

@test "a full disk for the result is a failure" {
	run --separate-stderr bash -c '"$1" --help >/dev/full' - "$V"
	[[ $status == 1 && $stderr == *"No space"* ]]
}

@test "an empty path for an option is told, and nothing is made" {
	for o in catalog config lock-dir; do
		says 2 "want a path" "--$o=" scan -n .
	done
}
