# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034 # the variables are for the caller
# What the checks of the guard have in common, inside of the machine that tests/real/lsm boots.

read -ra FS </disks
NIGHTLY=$(cat /nightly 2>/dev/null)
GUARD=''
GUARD_OPTIONS=() # of each vunify cowd --lsm

guest() { printf '/m/%s/guests/%s' "$1" "$2"; }

# What a guest sees of a file. Of busybox, which starts several times as fast here.
state() {
	busybox sha256sum "$1" && busybox stat -c '%a %u %g %s %y' "$1" && getfattr --absolute-names -d -m - "$1"
}

flagged() {
	[[ $(lsattr -d -- "$1" | cut -d' ' -f1) == *i* ]]
}

flags_of() { # how many of the objects of all pools have their flag, of how many
	lsattr -R /m/*/.vunify/objects 2>/dev/null |
		awk '$2 ~ /-[0-9]+$/ { all++; n += $1 ~ /i/ } END { printf "%d of %d", n, all }'
}

marks() {
	bpftool -j map dump pinned /sys/fs/bpf/vunify/marks | grep -o '"formatted"' | wc -l
}

manifest() {
	(cd "$1" && find . -type f -exec busybox stat -c '%n %a %u %g %s %y' {} + -exec busybox sha256sum {} + | sort)
}

# Each call by which flags change, and those before it, take a while, so that whoever attacks comes in between.
SLOWLY=(strace -D -qq -o /dev/null -e trace=ioctl -e inject=ioctl:delay_exit=1000)

# shellcheck disable=SC2120 # arguments come by way of allowed
start_guard() {
	local slowly=()
	[[ ${1:-} != slowly ]] || { slowly=("${SLOWLY[@]}") && shift; }
	"${slowly[@]}" vunify cowd --lsm "${GUARD_OPTIONS[@]}" "$@" >/tmp/guard.out 2>&1 &
	GUARD=$!
	is_ready || {
		cat /tmp/guard.out
		GUARD=''
		return 1
	}
}

is_ready() {
	local i
	for ((i = 0; i < 900; i++)); do
		! grep -q '^guarding' /tmp/guard.out || return 0
		kill -0 "$GUARD" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

# kill_guard SECONDS: starts one, and kills it so long after it has begun to set marks.
kill_guard() {
	local i
	"${SLOWLY[@]}" vunify cowd --lsm "${GUARD_OPTIONS[@]}" >/tmp/guard.out 2>&1 &
	GUARD=$!
	for ((i = 0; i < 900; i++)); do
		((!$(marks 2>/dev/null))) || break
		sleep 0.1
	done
	sleep "$1"
	stop_guard KILL
	! grep -q '^guarding' /tmp/guard.out
}

stop_guard() { # stop_guard SIGNAL
	kill "-$1" "${GUARD:?}"
	wait "$GUARD" 2>/dev/null
	local rc=$?
	GUARD=''
	return "$rc"
}

# refused NAME FILE COMMAND...: it fails, and the file is what it was.
refused() {
	local name=$1 file=$2 before why=''
	shift 2
	before=$(state "$file")
	! "$@" >/tmp/out 2>&1 || why="$* succeeded"
	[[ $(state "$file") == "$before" ]] || why+=" the file is another: $(state "$file")"
	[[ -z $why ]] || complaints+="$name: $why"$'\n'
}

# allowed NAME COMMAND...
allowed() {
	local name=$1
	shift
	"$@" >/tmp/out 2>&1 || complaints+="$name: $* failed: $(cat /tmp/out)"$'\n'
}
