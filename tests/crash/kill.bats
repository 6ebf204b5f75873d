#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 at 200 points, spread over a scan and an unmerge. After each, every path is what it was, and
# one more run ends where an undisturbed one does.
#
# The points are system calls that change something, or wait for it to be on disk: strace kills the
# program when it enters the N-th of a kind. How many of each kind there are is counted first.

POINTS=100 # for scan, and as many for unmerge
CALLS=linkat,unlinkat,renameat,renameat2,mkdirat,fsync,fdatasync,syncfs,sync_file_range,ioctl,fcntl,fchmod,fchown,utimensat,fsetxattr,copy_file_range,pwrite64,write,openat,openat2,flock,close

setup_file() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	export CRASH_WHY='' CRASH_IMG=''
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY" || return
	[[ $(id -u) == 0 ]] || CRASH_WHY="needs root"
	command -v strace >/dev/null || CRASH_WHY="needs strace"
	[[ -n $CRASH_WHY ]] || vu_fs_make ext4 24 || CRASH_WHY=$VU_FS_WHY
	[[ -z $CRASH_WHY ]] || return 0
	rmdir "$VU_MNT/lost+found"
	small_farm "$VU_MNT/guests"
	umount "$VU_MNT"
	CRASH_IMG=$VU_IMG
}

small_farm() {
	local g=$1/g1 i
	mkdir -p "$g"/usr/{a,b} "$g/etc"
	for ((i = 0; i < 30; i++)); do
		seq "$i" 700 >"$g/usr/a/f$i"
		echo "$i" >"$g/usr/b/f$i"
	done
	ln "$g/usr/a/f1" "$g/usr/b/second-name"
	setfattr -n user.vu -v x "$g/usr/a/f2"
	chown 7:8 "$g/usr/a/f3"
	chmod 0640 "$g/usr/a/f4"
	find "$g" -exec touch -h -d @1600000000.123456789 {} +
	cp -a "$g" "$1/g2"
	cp -a "$g" "$1/g3"
	for i in 1 2 3; do
		echo "$i" >"$1/g$i/usr/own"
	done
}

setup() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	[[ -z $CRASH_WHY ]] || skip "$CRASH_WHY"
	FARM_IMG=$CRASH_IMG
	farm
}

teardown() {
	farm_down
}

teardown_file() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	vu_fs_clean
}

manifest() {
	# Times of directories change when names in them are replaced, until the run puts them back.
	say_manifest --no-dirtimes "$G/g1" "$G/g2" "$G/g3"
}

traced() {
	strace -f -qq -o "$STATE/trace" -e "trace=$CALLS" "$@" \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" "$verb" -q "${extra[@]}" \
		"$G/g1" "$G/g2" "$G/g3" >"$STATE/out" 2>"$STATE/err" </dev/null 3>&- 4>&-
}

# The points of a traced run: "CALL N", spread evenly over all calls in their order. strace counts per
# thread, so N is how many of the kind that thread had made.
traced_points() {
	awk -v want="$POINTS" '
	match($0, /^[0-9]+ +[a-z0-9_]+\(/) {
		split($0, w, / +/); call = w[2]; sub(/\(.*/, "", call)
		n[w[1], call]++
		line[++total] = call " " n[w[1], call]
	}
	END {
		step = total / want
		for (i = 0; i < want && i < total; i++) print line[int(i * (step < 1 ? 1 : step)) + 1]
	}' "$STATE/trace"
}

wait_for_others() {
	# Whoever cleans up behind a killed run ends by itself.
	for _ in {1..100}; do
		! pgrep -f -- "--catalog $CAT" >/dev/null || { sleep 0.05 && continue; }
		return 0
	done
	die "a process of the killed run stays: $(pgrep -af -- "--catalog $CAT")"
}

# crash VERB: kills it at each point; afterwards the farm is as an undisturbed VERB leaves it.
crash() {
	local verb=$1 other=$2 call n rc i=0
	manifest >"$STATE/manifest"
	# How an undisturbed run ends, and what its points are.
	rm -f "$CAT"*
	traced || die "$verb: $(<"$STATE/err")"
	traced_points >"$STATE/points"
	"$VU_TOP/tests/lib/oracle" links "$G"/g? >"$STATE/links"
	"$VU_TOP/tests/lib/pool-check" "$MNT" >"$STATE/objects"
	undo
	while read -r call n; do
		i=$((i + 1))
		rm -f "$CAT"*
		rc=0
		traced -e "inject=$call:signal=SIGKILL:when=$n" || rc=$?
		wait_for_others
		grep -q 'killed by SIGKILL' "$STATE/trace" || missed=$((missed + 1))
		# Each path is the old or the new file. That the names of one inode are together again is
		# for the run behind it to see to: two names cannot change in one instant.
		cut -f 1-10,12 "$STATE/manifest" >"$STATE/paths"
		manifest | cut -f 1-10,12 >"$STATE/now"
		same_text "$STATE/paths" "$STATE/now" "after kill -9 at $call $n of $verb" || return
		if ((i % 4 == 0)); then
			vx 0 recover -q "$G"/g? || return
			vx 0 recover --json "$G"/g? || return
			eq "$(sum_of 'reflagged')$(sum_of names_removed)$(sum_of names_restored)" 000 \
				"what the second recover found, after $call $n of $verb" || return
		fi
		((i % 2)) || rm -f "$CAT"*
		vx 0 "$verb" "$G"/g? || return
		"$VU_TOP/tests/lib/oracle" links "$G"/g? >"$STATE/links-now"
		same_text "$STATE/links" "$STATE/links-now" "links after $call $n of $verb" || return
		"$VU_TOP/tests/lib/pool-check" "$MNT" >"$STATE/objects-now" || die "after $call $n of $verb" || return
		same_text "$STATE/objects" "$STATE/objects-now" "objects after $call $n of $verb" || return
		manifest >"$STATE/now"
		same_text "$STATE/manifest" "$STATE/now" "after the run behind $call $n of $verb" || return
		undo
	done <"$STATE/points"
	echo "$i points, $missed of them came after the end" >&2
	((i >= POINTS * 9 / 10 && missed * 4 <= i)) || die "only $i points, $missed missed"
}

undo() {
	vx 0 "$other" "$G"/g?
}

@test "kill -9 at 100 points of a scan" {
	extra=(-j1) missed=0
	crash scan unmerge
}

@test "kill -9 at 100 points of an unmerge" {
	extra=() missed=0
	vx 0 scan "$G"/g?
	crash unmerge scan
}
