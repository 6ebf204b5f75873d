# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# kill -9 at 200 points on each file system, spread over a scan and an unmerge. After each, every path
# is what it was, and one more run ends where an undisturbed one does.
#
# The points are system calls that change something, or wait for it to be on disk: strace kills the
# program when it enters the N-th of a kind, so what is between two of them is no other state. Which
# there are is counted first. A file for each file system, for these take their time.

# shellcheck source=tests/lib/vunify.bash
. "${BATS_TEST_DIRNAME:?}/../lib/vunify.bash"

POINTS=${VU_POINTS:-100} # for scan, and as many for unmerge
CALLS=linkat,unlinkat,renameat,renameat2,mkdirat,fsync,fdatasync,syncfs,sync_file_range,ioctl,fcntl,fchmod,fchown,utimensat,fsetxattr,fremovexattr,copy_file_range,ftruncate,pwrite64,write,flock

setup_file() {
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY" || return
	vu_tmp
	export TEMPLATE=$VU_DIR
	small_farm "$TEMPLATE"
}

small_farm() {
	local g=$1/g1 i
	mkdir -p "$g"/usr/{a,b} "$g/etc"
	for ((i = 0; i < 12; i++)); do
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

teardown() {
	farm_down
}

teardown_file() {
	vu_fs_clean
}

manifest() {
	# Times of directories change when names in them are replaced, until the run puts them back.
	say_manifest --no-dirtimes "$G/g1" "$G/g2" "$G/g3"
}

# traced VERB STRACE-OPTION...
traced() {
	local verb=$1
	shift
	rm -f "$CAT"*
	# One worker: so that the N-th of a kind is the same in each run.
	strace -f -qq -o "$STATE/trace" -e "trace=$CALLS" "$@" "$VUNIFY" --config "$STATE/one.conf" \
		--catalog "$CAT" "$verb" -q "$G/g1" "$G/g2" "$G/g3" \
		>"$STATE/out" 2>"$STATE/err" </dev/null 3>&- 4>&-
}

# The points of a traced run: "CALL N", spread evenly over the calls that change something, in their
# order. strace counts per thread, so N is how many of the kind that thread had made.
traced_points() {
	awk -v want="$POINTS" '
	match($0, /^[0-9]+ +[a-z0-9_]+\(/) {
		split($0, w, / +/); call = w[2]; sub(/\(.*/, "", call)
		n[w[1], call]++
		if (call == "ioctl" && $0 !~ /FS_IOC_SETFLAGS|FS_IOC_FSSETXATTR|FICLONE|FIDEDUPE/) next
		if (call == "fcntl" && $0 !~ /F_SETLEASE/) next
		line[++total] = call " " n[w[1], call]
	}
	END {
		step = total / want
		for (i = 0; i < want && i < total; i++) print line[int(i * (step < 1 ? 1 : step)) + 1]
	}' "$STATE/trace"
}

# undisturbed VERB: how that ends, and what its points are.
undisturbed() {
	traced "$1" || die "$1: $(<"$STATE/err")" || return
	traced_points >"$STATE/$1-points"
	ended "$1-wanted" || return
	eq "$(wc -l <"$STATE/$1-points")" "$POINTS" "points of $1"
}

ended() {
	"$VU_TOP/tests/lib/oracle" links "$G"/g? >"$STATE/$1" &&
		"$VU_TOP/tests/lib/pool-check" "$MNT" >>"$STATE/$1"
}

# kill_at VERB CALL N: kills it there; then one more run of it ends as an undisturbed one.
kill_at() {
	local where="kill -9 at $2 $3 of $1"
	traced "$1" -e "inject=$2:signal=SIGKILL:when=$3" || :
	grep -q 'killed by SIGKILL' "$STATE/trace" || missed=$((missed + 1))
	# Each path is the old or the new file. That the names of one inode are together again is for
	# the run behind it to see to: two names cannot change in one instant.
	cut -f 1-10,12 "$STATE/manifest" >"$STATE/paths"
	manifest | cut -f 1-10,12 >"$STATE/now"
	same_text "$STATE/paths" "$STATE/now" "after $where" || return
	if ((i % 4 == 0)); then
		vx 0 recover -q "$G"/g? || return
		vx 0 recover --json "$G"/g? || return
		eq "$(sum_of 'reflagged')$(sum_of names_removed)$(sum_of names_restored)" 000 \
			"what the second recover found after $where" || return
	fi
	((i % 2)) || rm -f "$CAT"*
	vx 0 "$1" "$G"/g? || die "the run after $where" || return
	ended ended || die "after $where" || return
	same_text "$STATE/$1-wanted" "$STATE/ended" "links and objects after $where" || return
	manifest >"$STATE/now"
	same_text "$STATE/manifest" "$STATE/now" "after the run behind $where"
}

killed() {
	local point i missed=0
	command -v strace >/dev/null || skip "needs strace"
	farm_on "$1" 32
	conf <<<$'[scan]\njobs = 1'
	mv "$CONF" "$STATE/one.conf"
	conf </dev/null
	cp -a "$TEMPLATE"/g? "$G"
	manifest >"$STATE/manifest"
	undisturbed scan
	undisturbed unmerge
	for ((i = 1; i <= POINTS; i++)); do
		for verb in scan unmerge; do
			read -r -a point < <(sed -n "${i}p" "$STATE/$verb-points")
			kill_at "$verb" "${point[@]}" || return
		done
	done
	echo "$((2 * POINTS)) points, $missed of them came after the end" >&2
	((missed * 10 <= POINTS)) || die "$missed of $((2 * POINTS)) points were missed"
}
