# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2153 # used by who loads this
# Swap of a test's own: zram devices and files, which go before what the host has. Loaded behind lib/pages. All of it is
# given up again by a process that waits for the end of the test, however that comes.
#
#   swap_begin               first; skips where there is none to be had
#   zram MIB [ALGORITHM]     makes a zram device, ZRAM is its node
#   swap_on PATH [PRIORITY]
#   zswap Y|N
#   swap_end                 in teardown, before farm_down

swap_begin() {
	[[ -e /proc/swaps ]] || skip "the kernel has no swap"
	[[ $(cat /sys/module/zswap/parameters/enabled 2>/dev/null) != Y ]] || skip "the host uses zswap"
	# Pages that are new on another processor's list would get slots, but not be written.
	WITH=(taskset -c "$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')")
	exec {SWAP_LOCK}>/run/lock/vunify-test-swap
	flock -n "$SWAP_LOCK" || skip "another test swaps"
	mkfifo "$STATE/swap-held"
	: >"$STATE/swap-made"
	# shellcheck disable=SC2016
	setsid bash -c '
		exec {made}<"$2"
		: >"$1-is"
		read -r _ <"$1" || :
		[[ ! -w /sys/module/zswap/parameters/enabled ]] || echo N >/sys/module/zswap/parameters/enabled
		while read -r what name <&$made; do
			for _ in {1..200}; do
				if [[ $what == swap ]]; then
					swapoff "$name"
					grep -qF "${name// /\\040} " /proc/swaps || break
				else
					[[ -e /sys/block/zram$name ]] || break
					echo "$name" >/sys/class/zram-control/hot_remove && break
				fi
				sleep 0.05
			done
		done' - "$STATE/swap-held" "$STATE/swap-made" >/dev/null 2>&1 3>&- 4>&- {SWAP_LOCK}>&- &
	SWAP_KEEPER=$!
	wait_until test -e "$STATE/swap-held-is"
	exec {SWAP_HELD}>"$STATE/swap-held"
}

# made KIND NAME: what was made last is given up first
made() {
	{
		echo "$1 $2"
		cat "$STATE/swap-made"
	} >"$STATE/swap-new"
	cat "$STATE/swap-new" >"$STATE/swap-made"
}

zram() {
	local n
	[[ -r /sys/class/zram-control/hot_add ]] || skip "the kernel makes no zram devices"
	n=$(</sys/class/zram-control/hot_add)
	made zram "$n"
	ZRAM=/dev/zram$n
	grep -qw -- "${2:-lzo-rle}" "/sys/block/zram$n/comp_algorithm" || skip "zram has no ${2:-lzo-rle}"
	echo "${2:-lzo-rle}" >"/sys/block/zram$n/comp_algorithm"
	echo "$1M" >"/sys/block/zram$n/disksize"
	[[ -b $ZRAM ]] || skip "/dev has no node of a new zram device"
}

swap_on() {
	mkswap "$1" >/dev/null 2>&1
	made swap "$1"
	swapon -p "${2:-32000}" "$1" || skip "no swap on $1"
}

zswap() {
	[[ -w /sys/module/zswap/parameters/enabled ]] || skip "the kernel has no zswap"
	echo "$1" >/sys/module/zswap/parameters/enabled
}

swap_end() {
	[[ -n ${SWAP_HELD:-} ]] || return 0
	end_processes # they have it open, too
	exec {SWAP_HELD}>&-
	wait "$SWAP_KEEPER"
	exec {SWAP_LOCK}>&-
}

# push_out N: what process N filled last
push_out() {
	tell "$1" out
	eq "${SAID% done}" 0 "pages that stay in memory"
}

counter() {
	awk -v n="$1" '$1 == n { print $2 }' /proc/vmstat
}
