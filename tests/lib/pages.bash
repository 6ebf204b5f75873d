# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2153 # used by who loads this
# Processes with memory of known content, for tests of what counts or merges it: loaded behind lib/farm. See
# page-pattern.c for what they can be told.

setup_file() {
	farm_template 3 || return
	cc_test "$VU_TOP/tests/lib/page-pattern.c" "$BATS_FILE_TMPDIR/page-pattern"
}

# process N [ROOT]: started by the command WITH, if that is set; its stdin and stdout are IN[N] and OUTS[N], its
# number is PID[N]
process() {
	background ${WITH[@]+"${WITH[@]}"} "$BATS_FILE_TMPDIR/page-pattern" "${@:2}" || return
	PID[$1]=$BG_PID
	local in out
	exec {in}>&"$BG_IN" {out}<&"$BG_OUT"
	IN[$1]=$in OUTS[$1]=$out
	# So what it has besides is there from now on, and of each content there are two.
	tell "$1" where
	tell "$1" fill 2 2 1 0
}

# tell N LINE: leaves what it says in SAID
tell() {
	local n=$1
	shift
	echo "$*" >&"${IN[$n]}"
	read -r -t 60 SAID <&"${OUTS[$n]}"
	[[ $SAID == *done ]] || die "$*: $SAID"
}

# total FIELD, of the last run's JSON
total() {
	jq ".total.$1" <<<"$OUT"
}

