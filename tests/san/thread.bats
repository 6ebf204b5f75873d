#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Threads: no data race and no deadlock that ThreadSanitizer sees, in the unit tests and in real runs of
# many jobs. Its build is build-tsan; the nightly form runs all unit tests and those of race with it.
# Nothing is suppressed. What it cannot see: SQLite and libcrypto are not instrumented, and threads
# of vunify never share a connection or a digest.

. "${BATS_TEST_DIRNAME}/../lib/vunify.bash"

TSAN_BUILD=$VU_TOP/build-tsan

setup_file() {
	export VU_TSAN_WHY='' LOG
	local targets=(vunify)
	[[ ! -f $TSAN_BUILD/build.ninja ]] && rm -rf "$TSAN_BUILD" &&
		CC=gcc meson setup "$TSAN_BUILD" "$VU_TOP" -Dtests=enabled -Dman=disabled \
			-Dbuildtype=debug -Doptimization=1 -Db_sanitize=thread -Db_lundef=false >&2
	mapfile -t -O 1 targets < <(units)
	ninja -C "$TSAN_BUILD" "${targets[@]/#test-/tests/unit/test-}" >&2 || return
	VUNIFY=$TSAN_BUILD/vunify farm_template 12 128
}

teardown_file() {
	vu_fs_clean
}

setup() {
	LOG=$BATS_TEST_TMPDIR/tsan
	# Reports go to files of their own: the exit code stays vunify's, and no child's report is lost.
	export TSAN_OPTIONS="log_path=$LOG:exitcode=0:second_deadlock_stack=1:history_size=4"
	VUNIFY=$TSAN_BUILD/vunify
}

teardown() {
	[[ -z ${STATE:-} ]] || farm_down
}

# Those whose subject has threads; with VU_NIGHTLY all.
units() {
	if [[ -n ${VU_NIGHTLY:-} ]]; then
		sed -n "/^unit_tests = /,/^]/s/^  '\(.*\)',/test-\1/p" "$VU_TOP/tests/unit/meson.build"
	else
		printf 'test-%s\n' base content group link-crash
	fi
}

no_reports() {
	local f
	for f in "$LOG".*; do
		[[ ! -s $f ]] || die "$1: $(head -n 60 "$f")" || return
	done
}

# proof CASES
proof() {
	echo "# proof: runs of many threads under ThreadSanitizer | $1 | 0" >&3
}

@test "a race is reported (else the tests below could not fail)" {
	cat >"$BATS_TEST_TMPDIR/race.c" <<'END'
#include <pthread.h>
static int shared;
static void *add(void *arg) { for (int i = 0; i < 1000; i++) shared++; return arg; }
int main(void)
{
	pthread_t t;
	pthread_create(&t, 0, add, 0);
	add(0);
	return pthread_join(t, 0);
}
END
	gcc -g -O1 -fsanitize=thread -o "$BATS_TEST_TMPDIR/race" "$BATS_TEST_TMPDIR/race.c"
	"$BATS_TEST_TMPDIR/race"
	run no_reports race
	eq "$status" 1 "reports"
}

@test "threads of the unit tests do not race" {
	local t n=0
	while read -r t; do
		VU_KILLS=5 CMOCKA_MESSAGE_OUTPUT=TAP "$TSAN_BUILD/tests/unit/$t" >"$BATS_TEST_TMPDIR/out" 2>&1 ||
			die "$t: $(tail -n 20 "$BATS_TEST_TMPDIR/out")"
		no_reports "$t"
		n=$((n + 1))
	done < <(units)
	proof "$n"
}

@test "12 guests, 8 jobs: scan, dry run, rescan, recover and unmerge do not race" {
	farm
	vx 0 scan -j 8 "$G"/g*
	no_reports "scan"
	[[ $(n_objects) -gt 0 ]]
	for g in "$G"/g*; do
		echo "changed in $g" >"$g/usr/share/vu-new"
	done
	vx 0 scan -n -j 8 "$G"/g*
	no_reports "scan -n"
	vx 0 scan -j 8 "$G"/g*
	no_reports "scan again"
	vx 0 recover
	vx 0 unmerge "$G/g1"
	vx 0 unmerge "$G"/g*
	no_reports "unmerge"
	eq "$(n_flagged "$G")" 0 "immutable files after unmerge"
	proof 6
}

@test "a run that is stopped in its middle does not race" {
	local i
	farm
	for i in 1 2 3; do
		"$VUNIFY" --config "$CONF" --catalog "$CAT" scan -j 8 "$G"/g* >/dev/null 2>&1 3>&- &
		sleep "0.$((i * 4))"
		kill -TERM $! 2>/dev/null || :
		wait $! || :
		no_reports "scan, stopped"
	done
	vx 0 scan -j 8 "$G"/g*
	no_reports "scan after it"
	proof 4
}

@test "guests that write meanwhile do not make it race" {
	[[ -n ${VU_NIGHTLY:-} ]] || skip "only with VU_NIGHTLY"
	local f
	for f in "$VU_TOP"/tests/race/*.bats; do
		VUNIFY=$TSAN_BUILD/vunify bats --tap "$f" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- ||
			die "${f##*/}: $(tail -n 30 "$BATS_TEST_TMPDIR/out")"
		no_reports "$f"
	done
	proof 1
}
