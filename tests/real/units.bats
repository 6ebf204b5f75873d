#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The units for systemd, run by systemd: a farm is unified within what they may do.

FARM_GUESTS=2
load ../lib/farm

# One farm as /srv, the program and all that is its own in /opt: the units see neither /root nor /var/tmp of the host.
there() {
	. "$VU_TOP/tests/lib/systemd.bash"
	mkdir "$STATE/lib"
	cp "$VUNIFY" "$STATE/vunify"
	CONF=$STATE/vunify.conf
	printf '[policy]\nmin_size = 1\n[paths]\nlock_dir = /opt/lock\ncatalog = /opt/catalog.db\n' >"$CONF"
	U=$STATE/units
	mkdir -p "$U"
	cat >"$U/end.service" <<-END
		[Unit]
		DefaultDependencies=no
		After=$*
		SuccessAction=exit-force
		[Service]
		Type=oneshot
		ExecStart=/bin/true
	END
	printf '[Unit]\nDefaultDependencies=no\nWants=end.service %s\n' "$*" >"$U/test.target"
}

# unit NAME FROM COMMAND...: a unit that is shipped, but for what it runs; lines of stdin go behind that
unit() {
	local name=$1 from=$2 c
	shift 2
	cp "${VUNIFY%/*}/contrib/systemd/$from.service" "$U/$name.service"
	mkdir "$U/$name.service.d"
	{
		printf '[Unit]\nDefaultDependencies=no\n[Service]\nRestart=no\n'
		printf 'StandardOutput=append:/opt/%s.out\nStandardError=inherit\nExecStart=\nExecStopPost=\n' "$name"
		for c; do
			printf 'ExecStart=%s\n' "$c"
		done
		# shellcheck disable=SC2016 # systemd's
		printf 'ExecStopPost=/bin/sh -c "echo $EXIT_STATUS $SERVICE_RESULT >/opt/%s.status"\n' "$name"
		cat
	} >"$U/$name.service.d/test.conf"
}

boot() {
	systemd_there "$U" test.target "mount --bind '$MNT' /srv && mount --bind '$STATE' /opt"
}

# ended NAME STATUS
ended() {
	eq "$(cat "$STATE/$1.status" 2>&1)" "$2" "$1 ($(tail -n 5 "$STATE/$1.out" 2>&1); $(tail -n 5 "$U/log"))"
}

V=usr/share/vu
RUN='/opt/vunify --config /opt/vunify.conf'

@test "guests are unified, the hooks of templates are run, what was cut short is put right: by the units that are shipped" {
	[[ -e ${VUNIFY%/*}/contrib/systemd/vunify-remerge.service ]] || skip "needs the units beside the program"
	vx 0 scan "$G/g1" "$G/g2"
	vx 0 unmerge g2
	chattr -i "$G/g1/$V/f0"
	there vunify-recover.service vunify-remerge.service vunify-template.service
	mkdir "$STATE/hooks"
	printf '#!/bin/sh\necho "hook $(id -u)" >/opt/hooked; echo new >/srv/guests/g1/usr/share/hooked\n' >"$STATE/hooks/10-x"
	chmod +x "$STATE/hooks/10-x"
	unit vunify-recover vunify-recover "$RUN recover /srv/guests/g1" </dev/null
	unit vunify-remerge vunify-remerge "$RUN scan /srv/guests/g1 /srv/guests/g2" "$RUN status" </dev/null
	unit vunify-template vunify-template "$RUN scan" "$RUN status" <<-END
		ExecStartPre=
		ExecStartPre=+/usr/bin/run-parts --exit-on-error /opt/hooks
		[Unit]
		After=vunify-remerge.service
	END
	boot
	has "$(cat "$STATE/vunify-recover.out")" '^1 objects made immutable again'
	ended vunify-remerge '0 success'
	ended vunify-template '0 success'
	same "$G/g1/$V/f0" "$G/g2/$V/f0"
	is_object "$G/g1/$V/f1"
	eq "$(cat "$STATE/hooked")" "hook 0" "the hook"
	[[ -e $G/g1/usr/share/hooked ]] || die "the hook could not write to the guest"
	is_object "$G/g1/$V/f0"
	hasnt "$(cat "$STATE"/*.out)" 'guardian|warning'
}

@test "what they may not, and what they must be able to" {
	[[ -e ${VUNIFY%/*}/contrib/systemd/vunify-verify.service ]] || skip "needs the units beside the program"
	there can.service
	cat >"$STATE/try" <<-'END'
		try() { if eval "$2" 2>/dev/null; then echo "can $1"; else echo "cannot $1"; fi; }
		try usr 'touch /usr/vu-test'
		try etc 'touch /etc/vu-test'
		try home 'ls /root/.[a-z]*'
		try mount 'mount -t tmpfs none /mnt'
		try namespace 'unshare -n true'
		try device 'head -c 1 /dev/loop0'
		try freeze 'mkdir /sys/fs/cgroup/vu && echo 0 >/sys/fs/cgroup/vu/cgroup.freeze && rmdir /sys/fs/cgroup/vu'
		try realtime 'chrt -f 1 true'
		try trusted 'setfattr -n trusted.vu -v 1 /srv/x && getfattr -n trusted.vu /srv/x'
		try flag 'chattr +i /srv/x && chattr -i /srv/x'
		try link 'ln /srv/x /srv/guests/g1/x'
	END
	: >"$MNT/x"
	unit can vunify-verify "/bin/sh /opt/try" </dev/null
	boot
	ended can '0 success'
	local out realtime='realtime '
	out=$(cat "$STATE/can.out")
	# the limit that allows it can only be raised by who has CAP_SYS_RESOURCE
	prlimit --rtprio=2:2 true 2>/dev/null || realtime=''
	eq "$(sed -n 's/^can //p' <<<"$out" | paste -sd' ')" "freeze ${realtime}trusted flag link" "what they can ($out)"
	eq "$(sed -n 's/^cannot //p' <<<"$out" | grep -v realtime | paste -sd' ')" 'usr etc home mount namespace device' "what they cannot ($out)"
}

@test "one mount for each path makes links fail, which is told; one mount for all does not" {
	[[ -e ${VUNIFY%/*}/contrib/systemd/vunify-remerge.service ]] || skip "needs the units beside the program"
	there apart.service common.service
	unit apart vunify-remerge "-/bin/ln /srv/guests/g1/$V/f0 /srv/guests/g2/usr/linked" "$RUN scan /srv/guests/g1 /srv/guests/g2" <<-END
		ProtectSystem=strict
		ReadWritePaths=/srv/guests/g1 /srv/guests/g2 /opt
	END
	unit common vunify-remerge "/bin/ln /srv/guests/g1/$V/f0 /srv/guests/g2/usr/linked" "$RUN scan /srv/guests/g1 /srv/guests/g2" <<-END
		ProtectSystem=strict
		ReadWritePaths=/srv /opt
		[Unit]
		After=apart.service
	END
	boot
	ended apart '12 exit-code'
	has "$(cat "$STATE/apart.out")" 'ln: .*: Invalid cross-device link'
	has "$(cat "$STATE/apart.out")" 'it is the mount point itself'
	ended common '0 success'
	same "$G/g1/$V/f1" "$G/g2/$V/f1"
}
