# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034 # the variables are for the caller
# What the checks of the guard have in common, inside of the machine that tests/real/lsm boots.

read -ra FS </disks
NIGHTLY=$(cat /nightly 2>/dev/null)
GUARD=''
GUARD_OPTIONS=() # of each vunify cowd --lsm
GUARD_BY=()      # a program that starts it

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
SLOWLY=(strace -D -qq -o /dev/null -e trace=ioctl -e inject=ioctl:delay_exit=5000)

# shellcheck disable=SC2120 # arguments come by way of allowed
start_guard() {
	local slowly=()
	[[ ${1:-} != slowly ]] || { slowly=("${SLOWLY[@]}") && shift; }
	"${GUARD_BY[@]}" "${slowly[@]}" vunify cowd --lsm "${GUARD_OPTIONS[@]}" "$@" >/tmp/guard.out 2>&1 &
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

# Ways of vm-attack in which no file is changed, whoever it belongs to.
NO_WAYS='^(ring-truncate|ring-fallocate|version-32) '

# each_way FILE [EXCEPT]: in no way can it be changed. Of a file that is nobody else's beside it, it can in each, or this
# proves nothing; but for some that such a mount does not have (EXCEPT).
each_way() {
	local file=$1 before free=$1.private none="$NO_WAYS|^(${2:-none}) | (ok|none)\$"
	before=$(state "$file")
	vm-attack -1 "$file" >/tmp/ways
	! grep ' ok$' /tmp/ways >/tmp/out || complaints+="$file: $(tr '\n' ' ' </tmp/out)"$'\n'
	[[ $(state "$file") == "$before" ]] || complaints+="it is another: $(state "$file")"$'\n'
	cp "$file" "$free"
	vm-attack -1 "$free" >/tmp/ways
	! grep -vE "$none" /tmp/ways >/tmp/out || complaints+="$free: $(tr '\n' ' ' </tmp/out)"$'\n'
	(($(grep -c ' ok$' /tmp/ways) > 15)) || complaints+="$free: $(tr '\n' ' ' </tmp/ways)"$'\n'
	rm -f "$free"
}

# overlays FS LOWER UPPER FILE GONE: overlayfs with two guests' roots, below and above. FILE is changed, GONE removed.
overlays() {
	local fs=$1 lower upper file=usr/share/$4 gone=usr/share/$5 dir=/m/$1/overlay complaints='' f
	grep -qw overlay /proc/filesystems || {
		tap_skip "$fs: overlayfs above and below" "this kernel was fetched without overlayfs, and no other is to be had"
		return
	}
	lower=$(guest "$fs" "$2") upper=$(guest "$fs" "$3") f=$dir/mnt/$file
	mkdir -p "$dir"/{up,work,work2,empty,mnt}
	manifest "$lower" >/tmp/before
	allowed "mount it above" mount -t overlay -o "lowerdir=$lower,upperdir=$dir/up,workdir=$dir/work" overlay "$dir/mnt"
	allowed "append to what is below" vm-write more "$f"
	[[ $(tail -n 1 "$f") == more ]] || complaints+="nothing was written"$'\n'
	allowed "chmod what is below" chmod 600 "$dir/mnt/$gone"
	allowed "remove what is below" rm "$dir/mnt/$gone"
	[[ ! -e $dir/mnt/$gone ]] || complaints+="nothing was removed"$'\n'
	allowed "unmount" umount "$dir/mnt"
	manifest "$lower" | diff /tmp/before - >/tmp/diff || complaints+="what is below: $(cat /tmp/diff)"$'\n'
	allowed "mount it below" mount -t overlay -o "lowerdir=$dir/empty,upperdir=$upper,workdir=$dir/work2" overlay "$dir/mnt"
	each_way "$f" by-handle
	allowed "remove what is above" rm "$dir/mnt/$gone"
	allowed "unmount" umount "$dir/mnt"
	[[ ! -e $upper/$gone ]] || complaints+="nothing was removed from what is above"$'\n'
	manifest "$lower" | diff /tmp/before - >/tmp/diff || complaints+="another guest: $(cat /tmp/diff)"$'\n'
	rm -rf "$dir"
	tap_result "$fs: overlayfs above a guest copies, and changes nothing by it; with a guest above, it is refused" "$complaints"
}
