# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Guests that change unified files as their own, for the tests of vunify run and vunify cowd: loaded behind lib/farm.
#
#   shells [PROGRAM...]   the small guests get a shell, and are unified; skips where busybox or a PROGRAM is missing
#   others_same           all guests but the first are what they were then, and nothing is left in the stage
#   third_same            the third one is
#   $LOOP                 what a guest does for some seconds: writes, links, renames, removes
#   loop_done             it was done in the first guest, and the others are what they were
#   servers               the numbers of cowd's servers, and of theirs

D=usr/share/vu

shells() {
	local g f p
	for p in busybox "$@"; do
		command -v "$p" >/dev/null || skip "needs $p"
	done
	for g in "$G"/g?; do
		cp "$(command -v busybox)" "$g/bin/busybox"
		mkdir -p "$g/proc" "$g/dev" "$g/tmp"
		for f in sh cat rm mv ln chmod chown touch sed truncate sleep ls stat mkdir seq kill dd true; do
			ln -sf busybox "$g/bin/$f"
		done
	done
	vx 0 scan "$G"/g?
	say_manifest "$G"/g2 "$G"/g3 >"$STATE/before"
	say_manifest "$G"/g3 >"$STATE/before3"
}

third_same() {
	[[ -s $STATE/before3 ]] || die "nothing is known of before"
	say_manifest "$G"/g3 >"$STATE/after3"
	same_text "$STATE/before3" "$STATE/after3" g3
}

others_same() {
	[[ -s $STATE/before ]] || die "nothing is known of before"
	say_manifest "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "the other guests"
	[[ -z $(ls -A "$MNT/.vunify/stage") ]] || die "something is left in the stage"
}

# shellcheck disable=SC2016,SC2034 # it is the guest's shell; used by who loads this
LOOP='cd /usr/share/vu
	for i in $(seq 0 110); do
		echo more >>f$i; ln f$i l$i; echo over >x; mv x f$i; rm l$i; sleep 0.02
	done'

loop_done() {
	local i
	for i in 0 50 110; do
		eq "$(cat "$G/g1/$D/f$i")" over "f$i"
		[[ ! -e $G/g1/$D/l$i ]] || die "l$i is there still"
	done
	vx 0 recover
	others_same
}

servers() {
	local p
	for p in $(pgrep -x vunify); do
		! { tr '\0' ' ' <"/proc/$p/cmdline"; } 2>/dev/null | grep -qF -- "--catalog=$CAT cowd serve" || echo "$p"
	done
}

end_manager() {
	kill "$MANAGER"
	wait "$MANAGER" 2>/dev/null || :
}
