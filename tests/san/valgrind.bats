#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# valgrind finds no wrong access, no use of what was never written, and nothing lost: in unit tests and
# in real runs. It sees what ASan does not: uninitialised memory, also in what goes to system calls. The
# nightly form runs every unit test that can be run so slowly. Nothing is suppressed.
#
# valgrind before 3.26 has no openat2(2); openat2-shim.c does it by openat there. cachestat(2) is
# unknown too: without it vunify takes mincore's way.

. "${BATS_TEST_DIRNAME}/../lib/vunify.bash"

VU_BUILD=${VU_BUILD:-$VU_TOP/build}

setup_file() {
	command -v valgrind >/dev/null || return 0
	export SHIM=$BATS_FILE_TMPDIR/openat2-shim.so
	gcc -std=gnu17 -D_GNU_SOURCE -O1 -Wall -Wextra -shared -fPIC -o "$SHIM" \
		"$BATS_TEST_DIRNAME/openat2-shim.c" -ldl || return
	farm_template 2
}

teardown_file() {
	vu_fs_clean
}

setup() {
	command -v valgrind >/dev/null || skip "needs valgrind"
	LOG=$BATS_TEST_TMPDIR/vg
	REAL_VUNIFY=$VU_BUILD/vunify
	# So that vu and vx run it.
	VUNIFY=$BATS_TEST_TMPDIR/vunify
	printf '#!/bin/bash\nexec %s "%s" "$@"\n' "$(checker)" "$REAL_VUNIFY" >"$VUNIFY"
	chmod +x "$VUNIFY"
}

teardown() {
	[[ -z ${STATE:-} ]] || farm_down
}

checker() {
	printf 'env LD_PRELOAD=%q valgrind -q --log-file=%q.%%p --error-exitcode=99' "$SHIM" "$LOG"
	printf ' --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite'
	printf ' --fair-sched=yes --child-silent-after-fork=yes'
}

# What begins with == is a report; what begins with -- is said about the machine.
no_reports() {
	local out
	out=$(cat "$LOG".* 2>/dev/null | grep '^==' | head -n 60)
	[[ -z $out ]] || die "$1: $out"
}

# Those that are quick even so; with VU_NIGHTLY all but those that measure time, or race for it, or need
# seccomp, which valgrind has not.
units() {
	if [[ -n ${VU_NIGHTLY:-} ]]; then
		sed -n "/^unit_tests = /,/^]/s/^  '\(.*\)',/test-\1/p" "$VU_TOP/tests/unit/meson.build" |
			grep -vxE 'test-(link-race|link-crash|walk|evict|evict-parked|evict-slips|filter|filter-i386|filter-live|profile)'
	else
		printf 'test-%s\n' base escape model choose mountinfo package content
	fi
}

proof() {
	echo "# proof: runs under valgrind | $1 | 0" >&3
}

@test "what was never written is reported (else the tests below could not fail)" {
	printf 'int main(int c, char **v) { (void)v; int a[4]; return a[c & 3] ? 3 : 4; }' \
		>"$BATS_TEST_TMPDIR/bad.c"
	gcc -O0 -w -o "$BATS_TEST_TMPDIR/bad" "$BATS_TEST_TMPDIR/bad.c"
	run bash -c "$(checker) $BATS_TEST_TMPDIR/bad"
	eq "$status" 99 "exit code"
	run no_reports bad
	eq "$status" 1 "reports"
}

@test "unit tests touch no memory that is not theirs" {
	local t n=0 why
	while read -r t; do
		CMOCKA_MESSAGE_OUTPUT=TAP bash -c "$(checker) $VU_BUILD/tests/unit/$t" \
			>"$BATS_TEST_TMPDIR/out" 2>&1 || why=$(grep -A5 '^not ok' "$BATS_TEST_TMPDIR/out")
		no_reports "$t"
		[[ -z ${why:-} ]] || die "$t: $why"
		n=$((n + 1))
	done < <(units)
	proof "$n"
}

@test "scan, dry run, status, why, recover and unmerge touch no memory that is not theirs" {
	farm
	VX_SECONDS=300
	vx 0 scan -j 2 "$G"/g*
	no_reports scan
	[[ $(n_objects) -gt 0 ]]
	echo changed >"$G/g1/usr/share/vu-new"
	cp "$G/g1/usr/share/vu-new" "$G/g2/usr/share/vu-new"
	vx 0 scan "$G"/g*
	vx 0 scan -n "$G"/g*
	vx 0 status
	vx 0 df
	vx 0 history --json
	vx 0 why "$G/g1/usr/share/vu-new"
	vx 0 recover
	vx 0 unmerge "$G"/g*
	no_reports "the runs behind it"
	eq "$(n_flagged "$G")" 0 "immutable files after unmerge"
	proof 9
}
