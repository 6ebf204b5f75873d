# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034 # the variables are for the caller
# What bats tests of the command line share: small guests on a file system of their own, and
# vunify with a catalog, a configuration and a lock of its own.
#
#   in setup_file:  farm_template N [MB]  guests G/g1 .. gN on ext4, made once
#   in setup:       farm                  a fresh copy of them, mounted; sets MNT, G, STATE, CONF
#   in teardown:    farm_down
#   in teardown_file: vu_fs_clean           (farm.bash does all of that)
#   farm_on TYPE MB [OPTIONS]  instead of farm: an empty G on a fresh file system of that type
#
#   conf <<<LINES            writes the configuration (sections and all); the lock is always ours
#   vu ARGS...               runs vunify with them
#   vx CODE ARGS...          the same, wants that exit code; leaves stdout in $OUT, stderr in $ERR;
#                            ends it after VX_SECONDS (120)
#   sum_of FIELD             of the last run's JSON summary in $OUT
#   same A B, differ A B     one inode, two inodes
#   is_object FILE           immutable and named in the pool;  is_private FILE
#   has TEXT WHAT, hasnt, eq GOT WANTED WHAT       assertions that say what they saw
#   say_manifest ROOT...     (see tests/lib/manifest)
#   in_reach FORMAT          find -printf of all guests' regular files that no default rule excludes
#   wait_until COMMAND...    until it succeeds; fails after WAIT_SECONDS (60)
#   background COMMAND...    a process that writes, or holds something, until farm_down
#   hold CALL N ARGS...      vunify, stopped in the middle: behind its N-th CALL of a thread;
#                            HOLD_TRACE: calls that are to be in $STATE/hold-trace besides;
#                            go_on lets it end, let_go kills it

VU_TOP=${VU_TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
VUNIFY=${VUNIFY:-$VU_TOP/build/vunify}
export VU_TOP VUNIFY
# shellcheck source=tests/lib/fs.bash
. "$VU_TOP/tests/lib/fs.bash"
# shellcheck source=tests/lib/guests.bash
. "$VU_TOP/tests/lib/guests.bash"

die() {
	printf '%s\n' "$*" >&2
	return 1
}

farm_template() {
	local n=$1 mb=${2:-64}
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY" || return
	[[ $(id -u) == 0 ]] || return 0
	export FARM_IMG='' FARM_DIR='' FARM_WHY=''
	if vu_fs_make ext4 "$mb"; then
		FARM_IMG=$VU_IMG
		rmdir "$VU_MNT/lost+found"
		vu_guests_make "$VU_MNT/guests" "$n" || return
		# Another test may have a mount namespace of its own, with this mount in it still.
		sync -f "$VU_MNT"
		umount "$VU_MNT"
		return
	fi
	# No loop devices: the directory's own file system, where that can hold the flag.
	FARM_WHY=$VU_FS_WHY
	vu_tmp || return
	: >"$VU_DIR/probe"
	if chattr +i "$VU_DIR/probe" 2>/dev/null; then
		chattr -i "$VU_DIR/probe"
		vu_guests_make "$VU_DIR/guests" "$n" || return
		FARM_DIR=$VU_DIR
	fi
}

farm() {
	[[ $(id -u) == 0 ]] || skip "needs root"
	unset VU_WORK
	vu_fs_init || return
	STATE=$VU_WORK/state CONF=$VU_WORK/state/vunify.conf CAT=$VU_WORK/state/catalog.db
	mkdir "$STATE" "$VU_WORK/mnt" || return
	MNT=$VU_WORK/mnt
	if [[ -n $FARM_IMG ]]; then
		cp --sparse=always "$FARM_IMG" "$VU_WORK/img" || return
		mount -o loop "$VU_WORK/img" "$MNT" || return
	elif [[ -n $FARM_DIR ]]; then
		cp -a "$FARM_DIR/guests" "$MNT/guests" || return
	else
		skip "$FARM_WHY, and the file system of $VU_WORK holds no immutable files"
	fi
	G=$MNT/guests
	conf </dev/null
}

farm_on() {
	[[ $(id -u) == 0 ]] || skip "needs root"
	unset VU_WORK
	vu_fs_need "$1" "$2" "${3:-}"
	MNT=$VU_MNT G=$VU_MNT/guests
	STATE=$VU_WORK/state CONF=$VU_WORK/state/vunify.conf CAT=$VU_WORK/state/catalog.db
	mkdir "$STATE" "$G" || return
	conf </dev/null
}

farm_down() {
	end_processes
	[[ -z ${STATE:-} ]] || vu_fs_clean
}

# Ends what the test has started, and waits for the end of it: what runs on would hold the mount.
end_processes() {
	local pid
	let_go
	for pid in ${FARM_PIDS:-}; do
		kill -KILL "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	FARM_PIDS=''
}

# All sizes are unified unless a test says otherwise, so that the farm can be small.
conf() {
	local lines
	lines=$(cat)
	{
		[[ $lines == *min_size* ]] || printf '[policy]\nmin_size = 1\n'
		[[ -z $lines ]] || printf '%s\n' "$lines"
		[[ $lines == *lock_dir* ]] || printf '[paths]\nlock_dir = %s\n' "$STATE/lock"
	} >"$CONF"
}

vu() {
	"$VUNIFY" --config "$CONF" --catalog "$CAT" "$@"
}

vx() {
	local want=$1 rc=0
	shift
	timeout -k 5 "${VX_SECONDS:-120}" "$VUNIFY" --config "$CONF" --catalog "$CAT" "$@" \
		>"$STATE/out" 2>"$STATE/err" </dev/null || rc=$?
	OUT=$(tr -d '\0' <"$STATE/out") ERR=$(tr -d '\0' <"$STATE/err")
	[[ $rc == "$want" ]] && return
	printf 'vunify %s: exit code %s, wanted %s\n' "$*" "$rc" "$want"
	printf -- '-- stdout --\n%s\n-- stderr --\n%s\n' "${OUT:0:2000}" "${ERR:0:2000}"
	return 1
}

# A run prints an object per event, and the summary last.
sum_of() {
	jq -s '[.[] | select(.type == "summary")] | last | .'"$1" <<<"$OUT"
}

# events KIND: "guest<TAB>path" of each, sorted.
events() {
	jq -r --arg k "$1" 'select(.type? == $k) | [.guest, .path] | @tsv' <<<"$OUT" | sort
}

same() {
	[[ $1 -ef $2 ]] || die "$1 and $2 are not one inode: $(stat -c '%i' "$1" "$2" 2>&1 | paste -sd' ')"
}

differ() {
	[[ -e $1 && -e $2 ]] || die "$1 or $2 is not there"
	[[ ! $1 -ef $2 ]] || die "$1 and $2 are one inode"
}

# A traced program cannot look for its own leaks.
strace() {
	ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" command strace "$@"
}

# Lines of lsattr begin with the flags.
flagged() {
	[[ $(lsattr -d -- "$1" 2>/dev/null | head -n 1 | cut -d" " -f1) == *i* ]]
}

# How many immutable files there are below a directory. (Names of directories have lines of their own.)
n_flagged() {
	lsattr -R -a "$1" 2>/dev/null | awk '$1 !~ /\// && $1 ~ /i/ { n++ } END { print n + 0 }'
}

in_pool() {
	[[ -d $MNT/.vunify && -n $(find "$MNT/.vunify" -xdev -inum "$(stat -c %i -- "$1")" -print -quit) ]]
}

is_object() {
	flagged "$1" || die "$1 is not immutable"
	in_pool "$1" || die "$1 is not in the pool"
}

is_private() {
	[[ -e $1 ]] || die "$1 is not there" || return
	! flagged "$1" || die "$1 is immutable" || return
	! in_pool "$1" || die "$1 is in the pool"
}

n_objects() {
	find "$MNT/.vunify" -xdev -type f -regextype posix-extended \
		-regex '.*/[0-9a-f]{64}-[0-9]+' 2>/dev/null | wc -l
}

has() {
	grep -qE -- "$2" <<<"$1" || die "wanted /$2/ in: ${1:0:1500}"
}

hasnt() {
	! grep -qE -- "$2" <<<"$1" || die "did not want /$2/ in: ${1:0:1500}"
}

eq() {
	[[ $1 == "$2" ]] || die "${3:-value}: got '${1:0:1500}', wanted '${2:0:1500}'"
}

# Regular files that no default rule of directories excludes, as find -printf FORMAT prints them.
in_reach() {
	local g
	for g in "$G"/g*; do
		(cd "$g" && find . \( -regex '\./\(etc\|var\|home\|root\|tmp\|run\|srv\|boot\|dev\|proc\|sys\)' \
			-prune \) -o -type f -printf "$1")
	done
}

say_manifest() {
	"$VU_TOP/tests/lib/manifest" "$@"
}

# eq for long texts
same_text() {
	local d
	d=$(diff "$1" "$2") || die "${3:-}: $(head -n 20 <<<"$d")"
}

# background COMMAND...: runs it until it prints a line (then it is ready); killed by farm_down.
# Its stdin is the descriptor $BG_IN; its pid is $BG_PID.
background() {
	local ready
	# bats waits for whoever holds its descriptors.
	coproc BG { exec "$@" 3>&- 4>&- 2>/dev/null; }
	FARM_PIDS="${FARM_PIDS:-} $BG_PID"
	BG_OUT=${BG[0]} BG_IN=${BG[1]}
	read -r -t 60 ready <&"$BG_OUT" || die "$* did not get ready"
}

wait_until() {
	local end=$((SECONDS + ${WAIT_SECONDS:-60}))
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.05
	done
}

# A process that is traced is in state t for a moment at every call. Stopped for good is one whose
# threads have all been told so by the kernel, as the trace says, with nothing left for strace to do.
has_stopped() {
	local tid
	# It holds the lock, and the lock says who that is.
	HELD=$(cat "$STATE"/lock/lock-* 2>/dev/null) && [[ -n $HELD && -d /proc/$HELD ]] || return
	for tid in /proc/"$HELD"/task/*; do
		grep -q "^${tid##*/} *--- stopped by SIGSTOP" "$STATE/hold-trace" 2>/dev/null || return
		[[ $(state_of "$tid") == [tT] ]] || return
	done
	[[ $(state_of "/proc/$HOLD_TRACER") == S ]]
}

# state_of /proc/PID
state_of() {
	sed 's/.*) \(.\).*/\1/' "$1/stat" 2>/dev/null
}

# Leaves the pid of vunify in HELD.
hold() {
	local call=$1 n=$2
	shift 2
	command -v strace >/dev/null || skip "needs strace"
	rm -f "$STATE/hold-trace"
	(
		export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
		exec strace -qq -f -o "$STATE/hold-trace" -e "trace=$call${HOLD_TRACE:+,$HOLD_TRACE}" \
			-e "inject=$call:signal=SIGSTOP:when=$n" \
			"$VUNIFY" --config "$CONF" --catalog "$CAT" "$@" >"$STATE/held" 2>&1 3>&- 4>&-
	) &
	HOLD_TRACER=$!
	wait_until has_stopped || die "vunify $* was not stopped by $call $n: $(<"$STATE/held")" || return
	# The worker, its guardian, and the front that strace has started.
	eq "$(parent_of "$(parent_of "$(parent_of "$HELD")")")" "$HOLD_TRACER" "ancestor of $HELD"
}

parent_of() {
	sed -n 's/^PPid:\t//p' "/proc/$1/status"
}

# Every now and then strace misses that its program goes on again.
has_ended() {
	[[ -d /proc/$HOLD_TRACER && $(state_of "/proc/$HOLD_TRACER") != Z ]] || return 0
	kill -CONT "$HELD" 2>/dev/null || :
	return 1
}

# Lets it go on to its end. Returns its exit code.
go_on() {
	local rc=0
	wait_until has_ended || die "vunify stays stopped: $(cat "/proc/$HELD/status" 2>&1)" || return 99
	wait "$HOLD_TRACER" || rc=$?
	HOLD_TRACER='' HELD=''
	return "$rc"
}

# Kills what hold has started, and waits for it. A process whose tracer is killed would run on.
let_go() {
	[[ -n ${HOLD_TRACER:-} ]] || return 0
	local front
	front=$(pgrep -P "$HOLD_TRACER" | paste -sd,)
	[[ -z $front ]] || pkill -KILL -P "$(pgrep -P "$front" | paste -sd,)" || :
	[[ -z $front ]] || pkill -KILL -P "$front" || :
	pkill -KILL -P "$HOLD_TRACER" || :
	wait "$HOLD_TRACER" 2>/dev/null || :
	HOLD_TRACER='' HELD=''
}

# A process whose root is the directory, as one of a guest is.
process_in() {
	background python3 -c '
import os, sys
os.chroot(sys.argv[1])
os.chdir("/")
print("ready", flush=True)
sys.stdin.readline()' "$1"
}

# cc_test SOURCE... PROGRAM
cc_test() {
	command -v "${CC:-cc}" >/dev/null || die "needs a C compiler" || return
	"${CC:-cc}" -std=gnu17 -O1 -Wall -Wextra -D_GNU_SOURCE -pthread -o "${*: -1}" "${@:1:$#-1}"
}
