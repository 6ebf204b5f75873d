# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Objects damaged in the ways in which disks and people do it. Beside vunify.bash, for a farm that is mounted.
#
#   damage_disk FILE                  the disk under the file system loses a byte of it
#   in_spite_of_the_flag FILE COMMAND... [FILE]   somebody takes the flag off, and puts it on again
#   rewrite FILE                      other bytes, with size and time as they were
#   forget FILE                       nothing of it is in memory any more
#   object_of FILE                    its name in the pool

damage_disk() {
	local block
	[[ -n $FARM_IMG ]] || skip "$FARM_WHY"
	sync -f "$1"
	# FIBMAP: what the file system says, which may be in its journal only yet
	block=$(python3 -c '
import fcntl, struct, sys
with open(sys.argv[1]) as f:
    print(struct.unpack("i", fcntl.ioctl(f, 1, struct.pack("i", 0)))[0])' "$1")
	[[ $block =~ ^[1-9][0-9]*$ ]] || die "no block of $1: $block" || return
	printf X | dd of="$VU_WORK/img" bs=1 seek=$((block * $(stat -f -c %S "$1"))) conv=notrunc status=none
	sync "$VU_WORK/img"
	forget "$1"
	[[ $(head -c 1 "$1") == X ]] || die "the file is not damaged"
	forget "$1"
}

forget() {
	dd if="$1" iflag=nocache count=0 status=none
}

in_spite_of_the_flag() {
	local f=$1
	shift
	chattr -i "$f"
	"$@" "$f"
	chattr +i "$f"
}

rewrite() {
	local when
	when=$(stat -c %.9Y "$1")
	printf Y | dd of="$1" conv=notrunc status=none
	touch -d "@$when" "$1"
}

object_of() {
	find "$MNT/.vunify/objects" -inum "$(stat -c %i "$1")"
}
