# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034 # the variables are for the caller
# What the tests with the race program share. See race.c for what it does.
#
#   race_build           in setup_file: compiles it; sets RACE
#   race_farm TYPE KEY=VALUE...  guests on a fresh file system of that type in memory, their record, and
#                        a canary outside of them; sets MNT, G, STATE, BOARD
#   race_start KEY=VALUE...      lets their processes begin
#   race_loop SECONDS            scan and unmerge in turns meanwhile; sets LINKS, RUNS, PUT_RIGHT
#   race_end                     stops the processes; their report is in $STATE/report
#   said KEY                     of the report
#   race_right                   all is as recorded, at once and behind every further run

# shellcheck source=tests/lib/vunify.bash
. "${BATS_TEST_DIRNAME:?}/../lib/vunify.bash"

race_build() {
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY" || return
	vu_tmp
	export RACE=$VU_DIR/race
	cc_test "$BATS_TEST_DIRNAME"/race*.c "$RACE"
}

race_farm() {
	local type=$1
	shift
	[[ $(id -u) == 0 ]] || skip "needs root"
	unset VU_WORK
	vu_fs_init || return
	# Many small files are written anew all the time, and what was acknowledged is noted in a file that all have mapped: the
	# disk is not what is tested, and a busy one would be waited for.
	mkdir "$VU_WORK/ram" && mount -t tmpfs -o size=2g tmpfs "$VU_WORK/ram" || return
	VU_WORK=$VU_WORK/ram vu_fs_need "$type" 500
	MNT=$VU_MNT G=$VU_MNT/guests
	STATE=$VU_WORK/ram/state CONF=$VU_WORK/ram/state/vunify.conf CAT=$VU_WORK/ram/state/catalog.db
	BOARD=$STATE/board
	mkdir "$STATE" "$G" "$MNT/canary" || return
	conf <<<"${RACE_CONF:-}"
	"$RACE" make "$BOARD" top="$G" canary="$MNT/canary" "$@" || return
	say_manifest "$MNT/canary" >"$STATE/canary"
}

race_start() {
	mkfifo "$STATE/stdin" || return
	"$RACE" run "$BOARD" seconds=7200 "$@" >"$STATE/report" 2>"$STATE/race-err" \
		<>"$STATE/stdin" 3>&- 4>&- &
	RACER=$!
	FARM_PIDS="${FARM_PIDS:-} $RACER"
}

# It ends by itself when it finds something wrong.
race_over() {
	grep -qs '^acked ' "$STATE/report"
}

# vunify VERB, and what it said is kept.
race_vunify() {
	local rc=0 json=$STATE/json
	timeout -k 5 120 "$VUNIFY" --config "$CONF" --catalog "$CAT" "$@" --json >"$json" 2>"$STATE/err" \
		</dev/null || rc=$?
	PUT_RIGHT=$((PUT_RIGHT + $(grep -c 'put right' "$json")))
	RUNS=$((RUNS + 1))
	[[ $rc == [03] ]] || RACE_WHY="vunify $1: exit code $rc: $(grep -h '"damage"' "$json")
		$(tail -n 3 "$STATE/err" "$json")"
	[[ $rc == [03] ]]
}

# Some files of a guest, by their paths. Not looked for: find would go where guests lead it.
race_some_paths() {
	local root=$G/g$((RANDOM % 3 + 1)) i
	for ((i = 0; i < 3; i++)); do
		printf '%s\n' "$root/usr/race/p0/d$((RANDOM % 4))/f$((RANDOM % 60))"
	done
}

race_loop() {
	local end=$((SECONDS + $1)) paths
	LINKS=0 RUNS=0 PUT_RIGHT=0 RACE_WHY=''
	while ((SECONDS < end)) && ! race_enough; do
		! race_over || break
		race_vunify scan "$G"/g? || break
		LINKS=$((LINKS + $(tail -n 1 "$STATE/json" | jq .names_unified)))
		# Writers are to meet what is unified also where they seldom get to run.
		sleep 0.2
		mapfile -t paths < <(race_some_paths)
		timeout 60 "$VUNIFY" --config "$CONF" --catalog "$CAT" unmerge "${paths[@]}" \
			>/dev/null 2>&1 </dev/null || :
		race_vunify unmerge "$G"/g? || break
	done
	[[ -z $RACE_WHY ]]
}

# The long form ends when so much was done.
race_enough() {
	[[ -n ${VU_NIGHTLY:-} ]] || return
	((LINKS >= 100000)) || return
	(($("$RACE" stat "$BOARD" | awk '$1 == "acked" { print $2 }') >= 1000000))
}

race_end() {
	local rc=0
	# opened for reading too: that does not wait for a reader who may be gone
	exec {RACER_IN}<>"$STATE/stdin"
	echo stop >&"$RACER_IN"
	wait "$RACER" || rc=$?
	exec {RACER_IN}>&-
	return "$rc"
}

said() {
	awk -v key="$1" '$1 == key { print $2 }' "$STATE/report"
}

race_right() {
	"$RACE" check "$BOARD" || return
	vx 0 scan "$G"/g? || return
	"$RACE" check "$BOARD" || return
	"$VU_TOP/tests/lib/pool-check" "$MNT" || return
	vx 0 unmerge || return
	"$RACE" check "$BOARD" || return
	eq "$(n_objects)" 0 objects || return
	say_manifest "$MNT/canary" >"$STATE/canary-after"
	same_text "$STATE/canary" "$STATE/canary-after" "what is outside of all guests"
}
