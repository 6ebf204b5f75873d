# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# A systemd of the test's own: PID 1 of new PID, mount and cgroup namespaces, which knows no units but the given ones.
#
#   systemd_there UNITS UNIT [SETUP]   boots it with the directory UNITS as its unit path until it exits (SuccessAction=exit-force of
#                            some unit); SETUP is run before, in its mount namespace. Its log is in UNITS/log. Skips the bats test
#                            where that is not possible. UNITS is a place that it can read: not in /run

systemd_there() {
	local units=$1 unit=$2 top group rc=0
	command -v /usr/lib/systemd/systemd unshare >/dev/null || skip "needs systemd"
	top=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
	[[ -n $top ]] || skip "needs cgroups (v2)"
	group=$(mktemp -d "$top/vu-systemd.XXXXXXXX") || skip "cannot make a cgroup"
	mkdir -p "$units/generators"
	cat >"$units/boot" <<-END
		mount --make-rprivate / || exit 1
		${3:-:}
		mount -t proc proc /proc && mount -t tmpfs tmpfs /run && mkdir /run/lock || exit 1
		umount -R -l /sys/fs/cgroup || exit 1
		mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
		exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test SYSTEMD_UNIT_PATH='$units' \\
			SYSTEMD_GENERATOR_PATH='$units/generators' SYSTEMD_LOG_TARGET=console \\
			/usr/lib/systemd/systemd --system --unit='$unit' --show-status=no
	END
	# shellcheck disable=SC2016 # the inner shell's
	timeout -k 5 "${SYSTEMD_SECONDS:-100}" bash -c 'echo $$ >"$0/cgroup.procs" && exec unshare -m -p -f -C -i --kill-child bash "$1"' \
		"$group" "$units/boot" >"$units/log" 2>&1 </dev/null 3>&- 4>&- || rc=$?
	find "$group" -depth -type d -exec rmdir {} \;
	# of PrivateTmp=: it was killed before it could remove them
	find /tmp /var/tmp -maxdepth 1 -type d -name 'systemd-private-*-vunify-*' -newer "$units/boot" \
		-exec rm -rf --one-file-system {} +
	((rc != 124)) || die "systemd did not end: $(tail -n 20 "$units/log")"
}
