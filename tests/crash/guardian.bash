# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What tests of the guardian and of the freezer share: small guests in memory, and the driver.
#
#   drive TYPE KILLS WAY        runs kill-processes there; WAY: lease, or freeze (guests in cgroups of their
#                               own). Leaves what it prints in $STATE/log, "NAME N" a line in $STATE/sums,
#                               and what vunify said in $STATE/vunify-said.
#   sum NAME                    of the last drive

# shellcheck source=tests/lib/vunify.bash
. "${BATS_TEST_DIRNAME:?}/../lib/vunify.bash"

setup_file() {
	[[ -x $VUNIFY ]] || die "there is no vunify at $VUNIFY" || return
	vu_tmp
	export DRIVER=$VU_DIR/kill-processes
	cc_test "$VU_TOP"/tests/crash/kill-*.c "$DRIVER"
}

teardown() {
	local pid g
	if [[ -n ${CGROUP:-} ]]; then
		for g in "$CGROUP"/g?; do
			echo 0 >"$g/cgroup.freeze"
			while read -r pid; do
				kill -KILL "$pid" 2>/dev/null || :
			done <"$g/cgroup.procs"
			for _ in 1 2 3 4 5 6 7 8 9; do
				rmdir "$g" 2>/dev/null && break
				sleep 0.1
			done
		done
		rmdir "$CGROUP"
	fi
	[[ -z ${OUTER:-} ]] || VU_WORK=$OUTER
	[[ -z ${OUTER:-} ]] || vu_fs_clean
}

teardown_file() {
	vu_fs_clean
}

# Cgroups of its own for each guest, where cgroup v2 is mounted.
make_cgroups() {
	local top
	for top in /sys/fs/cgroup /sys/fs/cgroup/unified; do
		[[ $(stat -f -c %T "$top" 2>/dev/null) == cgroup2fs ]] || continue
		CGROUP=$(mktemp -d "$top/vu-test.XXXXXXXX" 2>/dev/null) || continue
		mkdir "$CGROUP"/g1 "$CGROUP"/g2 "$CGROUP"/g3 || return
		[[ -e $CGROUP/g1/cgroup.freeze ]] && return
		rmdir "$CGROUP"/g? "$CGROUP"
	done
	unset CGROUP
	skip "no cgroup v2 in which cgroups can be made"
}

drive() {
	local type=$1 kills=$2 way=$3 rc=0
	[[ $(id -u) == 0 ]] || skip "needs root"
	unset VU_WORK
	vu_fs_init || return
	OUTER=$VU_WORK
	mkdir "$OUTER/ram"
	mount -t tmpfs -o size=400m tmpfs "$OUTER/ram" || skip "no tmpfs can be mounted"
	# In memory: what the disk does is of no interest, and there are many syncs.
	TMPDIR=$OUTER/ram farm_on "$type" 64
	[[ $way == lease ]] || make_cgroups
	rmdir "$G"
	conf <<-EOF
		[policy]
		min_size = 1
		moment = $way
		trust_domain = ""
		[scan]
		jobs = 2
	EOF
	cd "$STATE" || return
	timeout -k 5 "${VU_NIGHTLY:+3}600" "$DRIVER" "$MNT" "$kills" "${VU_SEED:-$RANDOM}" "${CGROUP:--}" \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" --json >"$STATE/log" 2>"$STATE/wrong" 3>&- 4>&- ||
		rc=$?
	cd / || return
	tail -n 1 "$STATE/log" | xargs -n 2 >"$STATE/sums"
	cat "$STATE/log" >&2
	((rc == 0)) || die "exit code $rc: $(head -n 20 "$STATE/wrong"; tail -n 5 "$STATE/vunify-said")"
}

sum() {
	awk -v name="$1" '$1 == name { print $2 }' "$STATE/sums"
}
