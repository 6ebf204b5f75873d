#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify cowd: containers of LXC, whose monitor passes their calls on, find unified files as files of their own.

FARM_GUESTS=3
load ../lib/farm
load ../lib/cow

ours() {
	find /sys/fs/cgroup -mindepth 1 -maxdepth 3 -depth -name "lxc.*.vunify-cowd-$$-*" "$@" 2>/dev/null
}

# Also containers of a test that has failed, by their cgroups; and the one that LXC leaves for good.
teardown() {
	# shellcheck disable=SC2046 # numbers
	kill -KILL $(ours -exec cat {}/cgroup.procs \; | sort -un) 2>/dev/null || :
	end_processes
	WAIT_SECONDS=10 wait_until eval 'ours -exec rmdir {} + || :; [[ -z $(ours) ]]' || :
	[[ -n ${HAD_PIVOT:-} ]] ||
		find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -name lxc.pivot -exec rmdir {} + 2>/dev/null || :
	farm_down
}

shell() {
	HAD_PIVOT=$(find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -name lxc.pivot -print -quit)
	shells lxc-execute lxc-start
}

cowd() {
	"$VUNIFY" --config "$CONF" --catalog "$CAT" cowd >>"$STATE/cowd-out" 2>>"$STATE/cowd-err" </dev/null 3>&- &
	COWD=$!
	FARM_PIDS="${FARM_PIDS:-} $COWD"
	wait_until test -S "$STATE/lock/cowd-lxc.sock"
}

# configure NAME ROOT: what LXC is told.
configure() {
	local dir=$STATE/lxc/vunify-cowd-$$-$1
	mkdir -p "$dir"
	vu cowd profile --format lxc >"$dir/seccomp"
	cat >"$dir/config" <<-EOF
		lxc.rootfs.path = dir:$2
		lxc.uts.name = $1
		lxc.apparmor.profile = unconfined
		lxc.net.0.type = empty
		lxc.cap.drop = linux_immutable
		lxc.mount.auto = proc:mixed
		lxc.environment = PATH=/bin
		lxc.seccomp.profile = $dir/seccomp
		lxc.seccomp.notify.proxy = unix:$STATE/lock/cowd-lxc.sock
	EOF
}

# lxc_run COMMAND NAME ARGS...: with what LXC leaves in /run in a file system that goes with it.
lxc_run() {
	local rc=0 command=$1 name=$2
	shift 2
	# shellcheck disable=SC2016 # for that shell
	timeout -k 1 "${LXC_SECONDS:-60}" unshare -m sh -ec 'mount -t tmpfs tmpfs /run; exec "$@"' - \
		"$command" -P "$STATE/lxc" -n "vunify-cowd-$$-$name" -o "$STATE/$name.lxc" "$@" \
		>"$STATE/$name.log" 2>&1 </dev/null 3>&- || rc=$?
	return $rc
}

# container NAME ROOT SCRIPT: what it says is in $STATE/NAME.log.
container() {
	configure "$1" "$2"
	lxc_run lxc-execute "$1" -- /bin/sh -ec "$3"
}

said() {
	cat "$STATE/$1.log" "$STATE/$1.lxc" "$STATE/cowd-err"
}

in_container() {
	local want=$1 rc=0
	shift
	container "$@" || rc=$?
	eq "$rc" "$want" "the container ($(said "$1"))"
}

CHANGES='cd /usr/share/vu
	echo more >>f0
	echo new >f1
	chmod 600 f2
	chown 7:8 f3
	touch -d @1000000000 f4
	rm f5
	mv f6 f6.moved
	echo over >x && mv x f7
	sed -i s/common/own/ f9
	truncate -s 5 f10
	echo more >>twin-a'

changed() {
	eq "$(cat "$G/g1/$D/f0" "$G/g1/$D/f1" "$G/g1/$D/f6.moved" "$G/g1/$D/f7" "$G/g1/$D/f9")" "common file 0
more
new
common file 6
over
own file 9" names
	eq "$(stat -c %a%u:%g%Y "$G/g1/$D/f2" | head -c 3)$(stat -c %u:%g "$G/g1/$D/f3")" 6007:8 metadata
	eq "$(stat -c %Y "$G/g1/$D/f4")" 1000000000 f4
	[[ ! -e $G/g1/$D/f5 && ! -e $G/g1/$D/f6 ]]
	eq "$(cat "$G/g1/$D/f10")" commo f10
	same "$G/g1/$D/twin-a" "$G/g1/$D/twin-b"
	others_same
	eq "$(cat "$STATE/cowd-err")" "" "cowd said"
}

@test "I2 I15: a container of lxc-execute changes unified files in every way, and the others notice nothing" {
	shell
	cowd
	in_container 0 g1 "$G/g1" "$CHANGES"
	changed
}

@test "I2 I15: a container of lxc-start, and another process in it by lxc-attach" {
	local p
	shell
	cowd
	configure g1 "$G/g1"
	lxc_run lxc-start g1 -F -- /bin/sh -ec "$CHANGES
		mkdir /tmp/ready
		until [ -e /tmp/stop ]; do sleep 0.05; done" &
	p=$!
	wait_until test -d "$G/g1/tmp/ready" || die "$(said g1)"
	# shellcheck disable=SC2016 # for that shell
	timeout -k 1 60 unshare -m sh -ec 'mount -t tmpfs tmpfs /run; exec "$@"' - \
		lxc-attach -P "$STATE/lxc" -n "vunify-cowd-$$-g1" -- /bin/sh -ec \
		'echo more >>/usr/share/vu/f20; rm /usr/share/vu/f21; chmod 600 /usr/share/vu/f22; echo >/tmp/stop' \
		>"$STATE/log" 2>&1 </dev/null 3>&- || die "lxc-attach: $(cat "$STATE/log" "$STATE/cowd-err")"
	wait $p || die "$(said g1)"
	eq "$(tail -n 1 "$G/g1/$D/f20")$(stat -c %a "$G/g1/$D/f22")" more600 attached
	[[ ! -e $G/g1/$D/f21 ]]
	changed
}

@test "an open whose flags are those that LXC's own init has is refused, and nothing is written" {
	shell
	cowd
	# mkdosfs opens with O_RDWR alone
	in_container 0 g1 "$G/g1" 'cd /usr/share/vu; if busybox mkdosfs f0; then exit 9; fi; echo more >>f1'
	has "$(cat "$STATE/g1.log")" "f0.*not permitted"
	same "$G/g1/$D/f0" "$G/g2/$D/f0"
	eq "$(tail -n 1 "$G/g1/$D/f1")" more f1
	others_same
}

@test "a container of LXC that is no guest: its calls go on, and nothing unified is changed by it" {
	shell
	cowd
	mkdir "$MNT/other"
	cp -a "$G/g3/." "$MNT/other"
	in_container 0 g1 "$MNT/other" 'cd /usr/share/vu; echo more >>f1; mv f2 f3; chmod 600 f4'
	has "$(cat "$STATE/cowd-err")" "it is no registered guest"
	eq "$(tail -n 1 "$MNT/other/$D/f1")" more f1
	eq "$(cat "$MNT/other/$D/f3")" "common file 2" f3
	others_same
}


@test "I1 I15: a server of LXC's is killed over and over: others take its place, and the container goes on" {
	local n=0 p
	shell
	cowd
	container g1 "$G/g1" "$LOOP" &
	p=$!
	while [[ -e /proc/$p ]]; do
		sleep 0.3
		# shellcheck disable=SC2046 # numbers
		kill -KILL $(servers) 2>/dev/null && n=$((n + 1))
	done
	wait "$p" || die "the container: $(said g1)"
	((n > 3)) || die "they were killed $n times only"
	loop_done
}

@test "I1 I15: a server of LXC's is killed while the container does nothing but calls: none fails, and none waits for long" {
	local n=0 p
	shell
	cowd
	container g1 "$G/g1" 'until [ -e /tmp/stop ]; do : >>/tmp/x; done' &
	p=$!
	wait_until test -e "$G/g1/tmp/x" || die "$(said g1)"
	while ((n < 15)) && [[ -e /proc/$p ]]; do
		sleep 0.1
		# shellcheck disable=SC2046 # numbers
		kill -KILL $(servers) 2>/dev/null && n=$((n + 1))
	done
	: >"$G/g1/tmp/stop"
	wait "$p" || die "the container: $(said g1)"
	# LXC says when it has to answer by itself
	eq "$(cat "$STATE/g1.lxc")" "" "LXC said"
	others_same
}

@test "I15: cowd is killed: LXC's container that is served is served on, and another cowd takes new ones" {
	local p
	shell
	cowd
	container g1 "$G/g1" "$LOOP" &
	p=$!
	wait_until grep -qx over "$G/g1/$D/f5"
	kill -KILL "$COWD"
	wait "$COWD" 2>/dev/null || :
	rm "$STATE/lock/cowd-lxc.sock"
	cowd
	in_container 0 g2 "$G/g2" 'echo more >>/usr/share/vu/f0'
	wait "$p" || die "the container: $(said g1)"
	eq "$(tail -n 1 "$G/g2/$D/f0")" more "f0 of g2"
	third_same
}

@test "I15: cowd and its servers are killed: LXC fails calls meanwhile, and connects to the next cowd by itself" {
	local p
	shell
	cowd
	container g1 "$G/g1" 'cd /usr/share/vu
		echo more >>f0
		mkdir /tmp/ready
		until [ -d /tmp/killed ]; do sleep 0.05; done
		if echo more >>f1; then exit 9; fi
		if rm f2; then exit 10; fi
		mkdir /tmp/refused
		until [ -d /tmp/again ]; do sleep 0.05; done
		echo more >>f1
		rm f2' &
	p=$!
	wait_until test -d "$G/g1/tmp/ready" || die "$(said g1)"
	# shellcheck disable=SC2046 # numbers
	kill -KILL "$COWD" $(servers)
	wait "$COWD" 2>/dev/null || :
	mkdir "$G/g1/tmp/killed"
	wait_until test -d "$G/g1/tmp/refused" || die "$(said g1)"
	same "$G/g1/$D/f1" "$G/g2/$D/f1"
	rm "$STATE/lock/cowd-lxc.sock"
	cowd
	mkdir "$G/g1/tmp/again"
	wait "$p" || die "the container: $(said g1)"
	has "$(cat "$STATE/g1.log")" "not implemented"
	eq "$(tail -n 1 "$G/g1/$D/f0" "$G/g1/$D/f1" | grep -c more)" 2 "both files"
	[[ ! -e $G/g1/$D/f2 ]]
	others_same
}

manager() {
	mkdir -p "$STATE/lock"
	"$VU_TOP/tests/lib/service-manager" --lxc "$STATE/lock/cowd-lxc.sock" "$STATE/lock/cowd.sock" \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" cowd >"$STATE/manager" 2>>"$STATE/cowd-err" </dev/null 3>&- &
	MANAGER=$!
	FARM_PIDS="${FARM_PIDS:-} $MANAGER"
	wait_until grep -q ready "$STATE/manager"
}

@test "I15: the service manager starts cowd anew: the servers of the new one take over LXC's container" {
	local p n=1 old
	shell
	manager
	container g1 "$G/g1" "$LOOP" &
	p=$!
	wait_until grep -qx over "$G/g1/$D/f5"
	old=$(servers)
	while [[ -e /proc/$p ]]; do
		kill -HUP "$MANAGER"
		n=$((n + 1))
		wait_until eval "((\$(grep -c ready '$STATE/manager') >= n))"
		sleep 0.5
	done
	wait "$p" || die "the container: $(said g1)"
	((n > 3)) || die "it was started $n times only"
	loop_done
	for p in $old; do
		[[ ! -e /proc/$p ]] || die "$p is there still"
	done
	wait_until eval "grep stored '$STATE/manager' | tail -n 1 | grep -qx 'stored 0'"
	end_manager
}

@test "I1 I15: cowd and its servers are killed together: the service manager has LXC's connection, and no call is lost" {
	local p n=1
	shell
	manager
	container g1 "$G/g1" "$LOOP" &
	p=$!
	wait_until grep -qx over "$G/g1/$D/f5"
	while [[ -e /proc/$p ]]; do
		kill -USR1 "$MANAGER"
		n=$((n + 1))
		wait_until eval "((\$(grep -c ready '$STATE/manager') >= n))"
		sleep 0.5
	done
	wait "$p" || die "the container: $(said g1)"
	((n > 3)) || die "they were killed $n times only"
	loop_done
	end_manager
}

@test "who speaks otherwise than LXC is not served, and keeps nobody else away" {
	local p
	shell
	cowd
	python3 - "$STATE/lock/cowd-lxc.sock" >"$STATE/nonsense" <<-'EOF' &
		import socket, sys, time
		def connect():
		    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		    s.connect(sys.argv[1])
		    s.settimeout(30)
		    return s
		mute = [connect() for _ in range(3)]
		for text in b"x", bytes(136), b"\1" * 9000:
		    s = connect()
		    s.send(text)
		    print("end" if not s.recv(100) else "answer", flush=True)
		time.sleep(1)
	EOF
	p=$!
	in_container 0 g1 "$G/g1" 'echo more >>/usr/share/vu/f0'
	wait $p
	eq "$(cat "$STATE/nonsense")" "end
end
end" "those who speak otherwise"
	eq "$(tail -n 1 "$G/g1/$D/f0")" more f0
	others_same
}
