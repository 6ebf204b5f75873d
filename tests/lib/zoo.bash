# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The keeper of tests/zoo: a table of beasts, each of which is put into two guests that also hold a
# harmless file, and what has to be true of every one. A file of tests/zoo is such a table:
#
#   . "$(dirname "$0")/../lib/zoo.bash"
#   beast NAME TYPE[,TYPE...] 'what it is'       a line of the table: a fixture, on these file systems
#   NAME() { ... }                               makes it in the current directory, usr/h of a guest;
#                                                $1 is the number of the guest
#   NAME_check() { ... }                         what a user would notice besides (may be missing)
#   NAME_after() { ... }                         takes it away, where rm cannot (may be missing)
#   zoo_main TYPE:SIZE_MB[:MOUNT-OPTIONS[:MKFS-OPTIONS]]...
#
# With each the keeper runs scan -n, scan (traced, with at most 512 descriptors), its checks, and
# unmerge, and wants: they end, with 0 or 3; the harmless file is unified; scan -n said what scan did;
# nothing but regular files and directories is opened, and nothing outside; less than 512 descriptors
# and 128 MiB; both guests look from inside as before, after scan and after unmerge; no object is left.
#
# A NAME_run() takes the place of all that. Besides what vunify.bash has:
#
#   put FILE TEXT        a file with a fixed mtime;  stamp FILE... gives them that
#   says FILE PATTERN    vunify why of usr/h/FILE in guest 1 says so (in one line)
#   lacks WHY            ends the beast: the machine has not what it needs
#   long                 is this the long form (VU_NIGHTLY=1)?
#   QUIET=1              set by the beast: nobody but vunify may walk through the guests

# shellcheck source=tests/lib/vunify.bash
. "$(dirname "${BASH_SOURCE[0]}")/vunify.bash"

ZOO_NAMES=() ZOO_TYPES=() ZOO_TITLES=()
ZOO_SECONDS=120

beast() {
	ZOO_NAMES+=("$1") ZOO_TYPES+=("$2") ZOO_TITLES+=("$3")
}

long() {
	[[ ${VU_NIGHTLY:-} == 1 ]]
}

stamp() {
	touch -h -d @1600000000.123456789 -- "$@"
}

put() {
	printf '%s' "$2" >"$1" || return
	stamp "$1"
}

lacks() {
	echo "$*" >"$ZOO_WORK/lacks"
	exit 77
}

says() {
	VX_SECONDS=60 vx 0 why "$G/g1/usr/h/$1"
	has "$OUT" "$2"
}

# What the events of a run say, without what differs by nature.
zoo_list() {
	jq -c 'select(.type != "summary") | [.type, .guest, .path, .path_b64, .skip]' "$1" | sort
}

zoo_manifest() {
	[[ ${QUIET:-0} == 1 ]] || "$VU_TOP/tests/lib/manifest" "$G/g1" "$G/g2"
}

zoo_ended() {
	[[ $1 == [03] ]] || die "$2 ended with $1: $(tail -n 3 "$STATE/$2-err")"
}

# What was opened, by the trace.
zoo_opens() {
	"$VU_TOP/tests/lib/strace-opens" "$STATE/trace" "$G/g1" "$G/g2" "$MNT/.vunify" "$STATE" \
		"$(dirname "$VUNIFY")" || die "something outside was opened: see above" || return
	[[ ${QUIET:-0} == 1 ]] ||
		find "$G/g1" "$G/g2" -xdev ! -type f ! -type d ! -type l -print >"$STATE/special"
	[[ ! -s $STATE/special ]] || ! grep -vF O_PATH "$STATE/trace" | grep -F '= ' |
		grep -F -f <(sed 's/.*/<&>/; p; s/>$/</' "$STATE/special") ||
		die "what is no regular file was opened" || return
	local most
	most=$(awk 'match($0, /= [0-9]+</) {
		n = substr($0, RSTART + 2, RLENGTH - 3) + 0
		if (n > m) m = n
	} END { print m + 1 }' "$STATE/trace")
	((most < 512)) || die "$most descriptors were open at a time"
}

zoo_battery() {
	local rc=0 kib
	zoo_manifest >"$STATE/before" || return
	(
		ulimit -n 512
		exec timeout -k 5 "$ZOO_SECONDS" /usr/bin/time -q -o "$STATE/time" -f '%M' "$VUNIFY" \
			--config "$CONF" --catalog "$CAT" scan -n --json "$G/g1" "$G/g2" \
			>"$STATE/dry" 2>"$STATE/dry-err" </dev/null
	) || rc=$?
	zoo_ended $rc dry || return
	kib=$(tail -n 1 "$STATE/time")
	[[ $VUNIFY == "${VU_SAN_VUNIFY:-}" ]] || ((kib < 128 * 1024)) || die "$kib KiB of memory" || return
	rc=0
	(
		ulimit -n 512
		export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
		exec timeout -k 5 "$ZOO_SECONDS" strace -f --seccomp-bpf -qq -y -o "$STATE/trace" \
			-e trace=open,openat,openat2,open_by_handle_at "$VUNIFY" --config "$CONF" \
			--catalog "$CAT" scan --json "$G/g1" "$G/g2" >"$STATE/run" 2>"$STATE/run-err" </dev/null
	) || rc=$?
	zoo_ended $rc run || return
	zoo_opens || return
	zoo_list "$STATE/dry" >"$STATE/a" && zoo_list "$STATE/run" >"$STATE/b" || return
	same_text "$STATE/a" "$STATE/b" "scan -n and scan differ" || return
	same "$G/g1/usr/share/ok" "$G/g2/usr/share/ok" && is_object "$G/g1/usr/share/ok" || return
	zoo_manifest >"$STATE/after" || return
	same_text "$STATE/before" "$STATE/after" "the guests look otherwise after scan"
}

zoo_undo() {
	VX_SECONDS=$ZOO_SECONDS vx 0 unmerge "$G/g1" "$G/g2" || return
	eq "$(n_objects)" 0 "objects after unmerge" || return
	is_private "$G/g1/usr/share/ok" || return
	[[ ${ZOO_CHANGED:-0} == 1 ]] && return
	zoo_manifest >"$STATE/after" || return
	same_text "$STATE/before" "$STATE/after" "the guests look otherwise after unmerge"
}

zoo_guests() {
	local g
	for g in 1 2; do
		mkdir -p "$G/g$g"/usr/{share,h} || return
		put "$G/g$g/usr/share/ok" 'this is harmless' || return
		(cd "$G/g$g/usr/h" && "$1" $g) || return
		stamp "$G/g$g/usr/h" || return
	done
}

# In a subshell of its own, with set -e where it is no condition.
zoo_one() {
	local name=$1
	STATE=$ZOO_WORK/state-$name CONF=$STATE/vunify.conf CAT=$STATE/catalog.db G=$MNT/$name
	mkdir "$STATE" "$G" && conf </dev/null || return
	trap 'end_processes' EXIT
	if declare -F "${name}_run" >/dev/null; then
		"${name}_run"
		return
	fi
	zoo_guests "$name" || return
	zoo_battery || return
	if declare -F "${name}_check" >/dev/null; then
		(
			set -e
			"${name}_check"
		) || return
	fi
	zoo_undo
}

zoo_for() {
	[[ ,${ZOO_TYPES[$1]}, == *,$2,* ]] && [[ -z ${ZOO_ONLY:-} || ${ZOO_NAMES[$1]} =~ $ZOO_ONLY ]]
}

# The i-th beast, on a file system that is mounted.
zoo_show() {
	local i=$1 type=$2 rc=0 t0=$SECONDS m
	rm -f "$ZOO_WORK/lacks"
	(zoo_one "${ZOO_NAMES[i]}") >"$ZOO_WORK/log" 2>&1 </dev/null || rc=$?
	((++ZOO_N))
	if [[ -s $ZOO_WORK/lacks ]]; then
		((++ZOO_SKIPPED))
		echo "ok $ZOO_N $type: ${ZOO_TITLES[i]} # SKIP $(<"$ZOO_WORK/lacks")"
	elif ((rc == 0)); then
		echo "ok $ZOO_N $type: ${ZOO_TITLES[i]}"
	else
		((++ZOO_LOST))
		echo "not ok $ZOO_N $type: ${ZOO_TITLES[i]} (${ZOO_NAMES[i]})"
		sed 's/^/# /' "$ZOO_WORK/log" | tail -n 40
	fi
	((SECONDS - t0 < ${ZOO_SLOW:-30})) || echo "# ${ZOO_NAMES[i]} took $((SECONDS - t0)) s"
	G=$MNT/${ZOO_NAMES[i]} STATE=$ZOO_WORK/state-${ZOO_NAMES[i]}
	# What a failure left unified nobody could remove.
	((rc == 0)) || CONF=$STATE/vunify.conf CAT=$STATE/catalog.db vu unmerge "$G/g1" "$G/g2" >/dev/null 2>&1
	! declare -F "${ZOO_NAMES[i]}_after" >/dev/null || "${ZOO_NAMES[i]}_after" >/dev/null 2>&1
	while IFS= read -r m; do
		umount -l -- "$m"
	done < <(vu_fs_mounts "$G")
	vu_rm_tree "$G" "$MNT/.vunify" "$STATE" || echo "# ${ZOO_NAMES[i]} cannot be removed"
}

# zoo_main TYPE:SIZE_MB[:MOUNT-OPTIONS[:MKFS-OPTIONS]]...
zoo_main() {
	local spec type mb opts mkfs i n=0
	ZOO_N=0 ZOO_SKIPPED=0 ZOO_LOST=0
	if [[ $(id -u) != 0 ]]; then
		echo "1..0 # SKIP needs root"
		exit
	fi
	trap 'vu_fs_clean' EXIT
	# In memory it is several times as fast. The long form is too large for that.
	if ! long && [[ -w /dev/shm ]] && (($(df -B1M --output=avail /dev/shm | tail -n 1) > 4000)); then
		export VU_FS_IMAGES=/dev/shm
	fi
	for spec in "$@"; do
		for i in "${!ZOO_NAMES[@]}"; do
			! zoo_for "$i" "${spec%%:*}" || ((++n))
		done
	done
	echo "1..$n"
	for spec in "$@"; do
		IFS=: read -r type mb opts mkfs <<<"$spec"
		VU_FS_MKFS=$mkfs vu_fs_make "$type" "$mb" "$opts" || ZOO_WHY=$VU_FS_WHY
		MNT=$VU_MNT
		vu_tmp
		ZOO_WORK=$VU_DIR
		for i in "${!ZOO_NAMES[@]}"; do
			zoo_for "$i" "$type" || continue
			if [[ -z $MNT ]]; then
				((++ZOO_N, ++ZOO_SKIPPED))
				echo "ok $ZOO_N $type: ${ZOO_TITLES[i]} # SKIP $ZOO_WHY"
				continue
			fi
			zoo_show "$i" "$type"
		done
	done
	echo "# proof: zoo fixtures | $((ZOO_N - ZOO_SKIPPED)) | $ZOO_LOST"
	((ZOO_LOST == 0))
}
