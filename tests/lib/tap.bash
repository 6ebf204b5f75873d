# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# TAP from shell scripts.
#
#   tap_result NAME "$complaints"   ok when there are no complaints, else not ok, and shows them
#   tap_run NAME COMMAND...         ok when the command succeeds, else not ok, and shows its output
#   tap_skip NAME REASON
#   tap_done                        prints the plan; fails if anything failed. The last command.

tap_n=0 tap_failed=0

tap_result() {
	tap_n=$((tap_n + 1))
	if [[ -z $2 ]]; then
		printf 'ok %d %s\n' "$tap_n" "$1"
		return 0
	fi
	tap_failed=$((tap_failed + 1))
	printf 'not ok %d %s\n' "$tap_n" "$1"
	printf '%s\n' "$2" | head -n 40 | sed 's/^/# /'
}

tap_run() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then
		tap_result "$name" ''
	else
		tap_result "$name" "${out:-$* failed}"
	fi
}

tap_skip() {
	tap_n=$((tap_n + 1))
	printf 'ok %d %s # skip %s\n' "$tap_n" "$1" "$2"
}

tap_done() {
	printf '1..%d\n' "$tap_n"
	((tap_failed == 0))
}
