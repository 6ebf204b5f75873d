#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify cowd: containers whose runtime hands their listener over find unified files as files of their own.

FARM_GUESTS=3
VU_GUESTS_FILES=120
load ../lib/farm
load ../lib/cow

cowd() {
	"$VUNIFY" --config "$CONF" --catalog "$CAT" cowd >>"$STATE/cowd-out" 2>>"$STATE/cowd-err" </dev/null 3>&- &
	COWD=$!
	FARM_PIDS="${FARM_PIDS:-} $COWD"
	wait_until test -S "$STATE/lock/cowd.sock"
}

# bundle NAME ROOT [GUEST-IN-PROFILE]: what a runtime is told; the command is "sh -ec", and what comes behind it.
bundle() {
	mkdir -p "$STATE/$1"
	vu cowd profile ${3:+--guest "$3"} >"$STATE/profile"
	jq -n --arg root "$2" --arg script "$4" --arg cg "/vunify-cowd-$$-$1" --slurpfile seccomp "$STATE/profile" '{
		ociVersion: "1.0.2", root: {path: $root},
		process: {terminal: false, user: {uid: 0, gid: 0}, cwd: "/", args: ["/bin/sh", "-ec", $script],
			env: ["PATH=/bin"], capabilities: (["CAP_FOWNER", "CAP_CHOWN", "CAP_DAC_OVERRIDE"] |
			{bounding: ., permitted: ., effective: .})},
		mounts: [{destination: "/proc", type: "proc", source: "proc"}],
		linux: {cgroupsPath: $cg, seccomp: $seccomp[0],
			namespaces: [{type: "pid"}, {type: "mount"}, {type: "ipc"}]}}' >"$STATE/$1/config.json"
}

# container NAME ROOT SCRIPT: what it says is in $STATE/NAME.log. Its cgroups go with it, whatever happens.
container() {
	local rc=0 id=vunify-cowd-$$-$1
	bundle "$1" "$2" "${GUEST:-$1}" "$3"
	timeout -k 1 60 runc --root "$STATE/runc" run -b "$STATE/$1" "$id" >"$STATE/$1.log" 2>&1 </dev/null 3>&- || rc=$?
	runc --root "$STATE/runc" delete -f "$id" >/dev/null 2>&1 || :
	return $rc
}

in_container() {
	local want=$1 rc=0
	shift
	container "$@" || rc=$?
	eq "$rc" "$want" "the container ($(cat "$STATE/$1.log" "$STATE/cowd-err"))"
}

@test "I2 I15: a container of runc changes unified files in every way, and the others notice nothing" {
	shells runc
	cowd
	in_container 0 g1 "$G/g1" '
		cd /usr/share/vu
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

@test "I2 I15: a container of crun, and another process in it" {
	shells crun
	cowd
	bundle g1 "$G/g1" g1 'echo more >>/usr/share/vu/f0; echo >/tmp/ready; while [ ! -e /tmp/stop ]; do sleep 0.05; done'
	# it takes nothing but cgroup v2 for granted, where a machine has both
	timeout -k 1 60 unshare -m sh -ec '
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		run() { crun --root "$1/crun" --cgroup-manager=disabled "$@"; }
		c="crun --root $1/crun --cgroup-manager=disabled"
		$c run -b "$1/g1" vunify-cowd-$$ & p=$!
		i=0
		while [ ! -e "$2/tmp/ready" ] && [ $i -lt 600 ]; do sleep 0.05; i=$((i + 1)); done
		$c exec vunify-cowd-$$ /bin/sh -ec "echo more >>/usr/share/vu/f1; rm /usr/share/vu/f2; touch /tmp/stop"
		wait $p' - "$STATE" "$G/g1" >"$STATE/log" 2>&1 </dev/null 3>&- || die "$(cat "$STATE/log" "$STATE/cowd-err")"
	eq "$(cat "$G/g1/$D/f0" "$G/g1/$D/f1")" "common file 0
more
common file 1
more" names
	[[ ! -e $G/g1/$D/f2 ]]
	others_same
}

@test "a container that is no guest: its calls go on, and nothing unified is changed by it" {
	shells runc
	cowd
	mkdir "$MNT/other"
	cp -a "$G/g3/." "$MNT/other"
	ln "$G/g3/$D/f0" "$MNT/other/$D/linked" 2>/dev/null || :
	in_container 1 g1 "$MNT/other" 'cd /usr/share/vu; echo more >>f1; mv f2 f3; chmod 600 f4
		if [ -e linked ]; then echo more >>linked; else exit 1; fi'
	has "$(cat "$STATE/cowd-err")" "it is no registered guest"
	eq "$(tail -n 1 "$MNT/other/$D/f1")" more f1
	eq "$(cat "$MNT/other/$D/f3")" "common file 2" f3
	others_same
}

@test "a container whose profile has another guest's name: its root is believed, and it is told" {
	shells runc
	cowd
	GUEST=g3 in_container 0 g1 "$G/g1" 'echo more >>/usr/share/vu/f0'
	has "$(cat "$STATE/cowd-err")" "its profile says 'g3'"
	eq "$(tail -n 1 "$G/g1/$D/f0")" more f0
	others_same
}

@test "a container whose root is registered later is served then" {
	shells runc
	mkdir "$MNT/other"
	cp -a "$G/g3/." "$MNT/other"
	chattr -i -R "$MNT/other" 2>/dev/null || :
	cowd
	container g1 "$MNT/other" 'echo x >>/tmp/mine; i=0
		until [ -e /tmp/go ]; do sleep 0.1; done; sleep 2.5; echo more >>/usr/share/vu/f0; echo more >>/usr/share/vu/f0' &
	local p=$!
	wait_until test -s "$MNT/other/tmp/mine"
	vx 0 scan --trust-guests "$MNT/other" "$G"/g?
	is_object "$MNT/other/$D/f0"
	say_manifest "$G"/g2 "$G"/g3 >"$STATE/before"
	: >"$MNT/other/tmp/go"
	wait "$p" || die "the container: $(cat "$STATE/g1.log" "$STATE/cowd-err")"
	eq "$(tail -n 1 "$MNT/other/$D/f0")" more f0
	others_same
}

@test "a guest that floods cowd with calls keeps no other from being served" {
	shells runc
	cowd
	container g2 "$G/g2" 'i=0; while [ $i -lt 8 ]; do
			(while [ ! -e /tmp/stop ]; do chmod 600 /bin/busybox; done) & i=$((i + 1)); done
		echo >/tmp/ready; wait' &
	local p=$! i
	wait_until test -s "$G/g2/tmp/ready"
	in_container 0 g1 "$G/g1" 'cd /usr/share/vu; for i in $(seq 0 99); do echo more >>f$i; done'
	: >"$G/g2/tmp/stop"
	wait "$p" || die "the container: $(cat "$STATE/g2.log" "$STATE/cowd-err")"
	for i in 0 50 99; do
		eq "$(tail -n 1 "$G/g1/$D/f$i")" more "f$i"
	done
	third_same
}


@test "I1 I15: its servers are killed over and over: others take their place, and the container goes on" {
	local n=0 p
	shells runc
	cowd
	container g1 "$G/g1" "$LOOP" &
	p=$!
	while [[ -e /proc/$p ]]; do
		sleep 0.1
		# shellcheck disable=SC2046 # numbers
		kill -KILL $(servers) 2>/dev/null && n=$((n + 1))
	done
	wait "$p" || die "the container: $(cat "$STATE/g1.log" "$STATE/cowd-err")"
	((n > 3)) || die "they were killed $n times only"
	loop_done
}

@test "I15: cowd is killed: who is served is served on, and another cowd takes new ones" {
	local p
	shells runc
	cowd
	container g1 "$G/g1" "$LOOP" &
	p=$!
	wait_until grep -qx over "$G/g1/$D/f5"
	kill -KILL "$COWD"
	wait "$COWD" 2>/dev/null || :
	cowd
	in_container 0 g2 "$G/g2" 'echo more >>/usr/share/vu/f0'
	wait "$p" || die "the container: $(cat "$STATE/g1.log" "$STATE/cowd-err")"
	eq "$(tail -n 1 "$G/g2/$D/f0")" more "f0 of g2"
	third_same
}

manager() {
	mkdir -p "$STATE/lock"
	"$VU_TOP/tests/lib/service-manager" "$STATE/lock/cowd.sock" "$VUNIFY" --config "$CONF" --catalog "$CAT" cowd \
		>"$STATE/manager" 2>>"$STATE/cowd-err" </dev/null 3>&- &
	MANAGER=$!
	FARM_PIDS="${FARM_PIDS:-} $MANAGER"
	wait_until grep -q ready "$STATE/manager"
}

@test "I15: the service manager starts cowd anew: the servers of the new one take over" {
	local p n=1 old
	shells runc
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
	wait "$p" || die "the container: $(cat "$STATE/g1.log" "$STATE/cowd-err")"
	((n > 3)) || die "it was started $n times only"
	loop_done
	for p in $old; do
		[[ ! -e /proc/$p ]] || die "$p is there still"
	done
	wait_until eval "grep stored '$STATE/manager' | tail -n 1 | grep -qx 'stored 0'"
	end_manager
}

@test "I15: a cowd of another version takes the listeners over, too" {
	local p
	shells runc
	manager
	container g1 "$G/g1" "$LOOP" &
	p=$!
	wait_until grep -qx over "$G/g1/$D/f5"
	kill -USR2 "$MANAGER"
	kill -HUP "$MANAGER"
	wait_until eval "((\$(grep -c ready '$STATE/manager') >= 2))"
	wait_until eval "((\$(servers | wc -l) > 3))"
	# shellcheck disable=SC2046 # numbers: the old ones
	kill -TERM $(servers | head -n 1)
	wait "$p" || die "the container: $(cat "$STATE/g1.log" "$STATE/cowd-err")"
	loop_done
	end_manager
}

@test "I1 I15: cowd and its servers are killed together: the service manager has what is needed, and no call is lost" {
	local p n=1
	shells runc
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
	wait "$p" || die "the container: $(cat "$STATE/g1.log" "$STATE/cowd-err")"
	((n > 3)) || die "they were killed $n times only"
	loop_done
	end_manager
}

@test "who says nothing, or nonsense, to cowd keeps nobody else away" {
	local p
	shells runc
	cowd
	python3 - "$STATE/lock/cowd.sock" <<-'EOF' &
		import socket, sys, time
		def connect():
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    return s
		mute = [connect() for _ in range(20)]
		for text in b"", b"nonsense\0", b'{"fds": ["seccompFd"]}', b"{" * 70000:
		    try:
		        connect().sendall(text)
		    except OSError:
		        pass
		time.sleep(2)
	EOF
	p=$!
	in_container 0 g1 "$G/g1" 'echo more >>/usr/share/vu/f0'
	wait $p
	has "$(cat "$STATE/cowd-err")" "is refused"
	eq "$(tail -n 1 "$G/g1/$D/f0")" more f0
	others_same
}

@test "a second cowd at the same place is refused, and a socket that others can reach is, too" {
	cowd
	vx 11 cowd
	has "$ERR" "another vunify cowd listens"
	mkdir -m 777 "$STATE/open"
	vx 12 cowd --socket "$STATE/open/s"
	has "$ERR" "others than root"
	[[ ! -e $STATE/open/s ]]
	: >"$STATE/file"
	vx 1 cowd --socket "$STATE/file"
	[[ -f $STATE/file ]]
	kill "$COWD"
	wait "$COWD" || die "it ended with $?"
	[[ ! -e $STATE/lock/cowd.sock ]]
}

@test "profiles say where cowd listens, and what to notify it of" {
	vx 0 cowd profile --guest web1
	eq "$(jq -r '.listenerPath, .listenerMetadata' <<<"$OUT")" "$STATE/lock/cowd.sock
web1" profile
	jq -e '[.syscalls[] | select(.action == "SCMP_ACT_NOTIFY").names[]] | index("openat") and index("rename")' <<<"$OUT" >/dev/null ||
		die "openat is not notified"
	has "$OUT" '"fchmod"'
	vx 0 cowd profile --no-descriptors
	hasnt "$OUT" '"fchmod"'
	vx 0 cowd profile --socket /elsewhere
	eq "$(jq -r .listenerPath <<<"$OUT")" /elsewhere
	vx 0 cowd profile --format lxc
	has "$OUT" "renameat2 notify"
	has "$OUT" "openat notify"
	vx 2 cowd profile --guest "$(printf '\377')"
	vx 2 cowd serve
	has "$ERR" "no listener was handed over"
}
