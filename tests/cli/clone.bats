#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify clone: a second guest, equal to the first, and sharing what that shares.

load ../lib/farm

BIG=usr/share/vu/big

unified() {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	find "$G" -type f -printf '%i %p\n' | sort >"$STATE/inodes"
}

others_are_as_before() {
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	find "$G"/g? -type f -printf '%i %p\n' | grep -v "$G/g4" | sort >"$STATE/inodes-after"
	same_text "$STATE/inodes" "$STATE/inodes-after"
	"$VU_TOP/tests/lib/pool-check" "$MNT" >/dev/null
}

# All of it: names, kinds, owners, modes, times (directories too), xattrs, sizes, contents, hard links.
equal() {
	(cd "$1" && say_manifest .) >"$STATE/one"
	(cd "$2" && say_manifest .) >"$STATE/two"
	same_text "$STATE/one" "$STATE/two"
	(cd "$1" && find . -printf '%p %y %m %U %G %T@ %s %l %D\n' | sed 's/ [0-9]*$//' | grep -v ' d .*' | sort) >"$STATE/one"
	(cd "$2" && find . -printf '%p %y %m %U %G %T@ %s %l %D\n' | sed 's/ [0-9]*$//' | grep -v ' d .*' | sort) >"$STATE/two"
	same_text "$STATE/one" "$STATE/two"
	(cd "$1" && find . -type d -printf '%p %m %U %G %T@\n' | sort) >"$STATE/one"
	(cd "$2" && find . -type d -printf '%p %m %U %G %T@\n' | sort) >"$STATE/two"
	same_text "$STATE/one" "$STATE/two"
}

nothing_new() {
	[[ ! -e $G/g4 ]] || die "there is a g4" || return
	[[ ! -e $MNT/.vunify/trees ]] || die "left in the pool: $(find "$MNT/.vunify/trees" | head)"
}

kill_at() {
	local call=$1 n=$2
	shift 2
	strace -qq -f -o /dev/null -e trace="$call" -e inject="$call":signal=SIGKILL:when="$n" \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" "$@" >"$STATE/out" 2>&1 </dev/null || :
}

# Whatever there may be in a guest.
odd_things() {
	local g=$1
	mkdir -p "$g/odd/dir" "$g/odd/acl" "$g/odd/"$'a\nb <script>'
	mkfifo -m 0620 "$g/odd/fifo"
	mknod -m 0604 "$g/odd/null" c 1 3
	mknod "$g/odd/block" b 7 200
	mknod "$g/odd/whiteout" c 0 0
	python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$g/odd/sock" 2>/dev/null ||
		(cd "$g/odd" && python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")')
	ln -s /nowhere "$g/odd/link"
	ln -s "$(printf 'x%.0s' {1..200})" "$g/odd/long"
	chown -h 7:8 "$g/odd/link"
	touch -h -d @1234567890.123456789 "$g/odd/link" "$g/odd/fifo" "$g/odd/null"
	ln "$g/odd/fifo" "$g/odd/dir/fifo-too"
	ln "$g/odd/link" "$g/odd/dir/link-too" 2>/dev/null || :
	truncate -s 1M "$g/odd/sparse"
	printf x | dd of="$g/odd/sparse" bs=1 seek=500000 conv=notrunc status=none
	printf one >"$g/odd/a"
	ln "$g/odd/a" "$g/odd/dir/a-too"
	cp /bin/true "$g/odd/capable"
	chown 5:6 "$g/odd/capable"
	setcap cap_net_raw+ep "$g/odd/capable"
	cp /bin/true "$g/odd/setuid"
	chmod 4711 "$g/odd/setuid"
	setfattr -n user.mine -v yours "$g/odd/dir"
	setfattr -n trusted.label -v secret "$g/odd/a"
	setfattr -h -n trusted.label -v secret "$g/odd/link"
	setfacl -m u:1234:rwx -d -m u:1234:rw "$g/odd/acl"
	: >"$g/odd/acl/inside"
	chattr +d "$g/odd/acl/inside"
	printf locked >"$g/odd/locked"
	printf more >"$g/odd/appended"
	ln "$g/odd/locked" "$g/odd/dir/locked-too"
	chmod 0 "$g/odd/"$'a\nb <script>'
	touch -d @1111111111.222222222 "$g/odd" "$g/odd/dir" "$g/odd/acl"
}

@test "clone makes a guest that is equal, and shares what is shared" {
	unified
	vx 0 clone g2 g4
	has "$OUT" '/g4 made: [1-9][0-9]* files shared'
	equal "$G/g2" "$G/g4"
	same "$G/g2/$BIG" "$G/g4/$BIG"
	is_object "$G/g4/$BIG"
	eq "$(find "$G/g4" -type f -links +1 | wc -l)" "$(find "$G/g2" -type f -links +1 | wc -l)" "files shared"
	others_are_as_before
}

@test "the clone is a guest: same domain, rules and trust, and the next scan unifies what was copied" {
	unified
	vx 0 guests set --rule 'exclude /opt' --trust=yes g2
	vx 0 clone g2 g4
	vx 0 guests --json
	eq "$(jq -c '.guests[] | select(.guest == "g4") | [.domain, .trust, .rules]' <<<"$OUT")" \
		"$(jq -c '.guests[] | select(.guest == "g2") | [.domain, .trust, .rules]' <<<"$OUT")" "domain, trust, rules"
	vx 0 scan --json
	eq "$(events unify | cut -f1 | sort -u | paste -sd' ')" "g2 g4" "guests with names that are unified now"
	eq "$(events unify | sed -n 's/^g2.//p')" "$(events unify | sed -n 's/^g4.//p')" "what is unified"
}

@test "clone keeps whatever there may be in a guest, and its flags" {
	odd_things "$G/g2"
	unified
	chattr +i "$G/g2/odd/locked"
	chattr +a "$G/g2/odd/appended" "$G/g2/odd/acl"
	vx 0 clone g2 g4
	chattr -i "$G/g2/odd/locked"
	chattr -a "$G/g2/odd/appended" "$G/g2/odd/acl"
	flagged "$G/g4/odd/locked" || die "the immutable flag is lost"
	[[ $(lsattr -d "$G/g4/odd/acl") == *a*\ * && $(lsattr "$G/g4/odd/appended") == *a*\ * ]] || die "append-only is lost"
	[[ $(lsattr "$G/g4/odd/acl/inside") == *d*\ * ]] || die "the flag d is lost"
	chattr -i "$G/g4/odd/locked"
	chattr -a "$G/g4/odd/appended" "$G/g4/odd/acl"
	equal "$G/g2" "$G/g4"
	same "$G/g4/odd/a" "$G/g4/odd/dir/a-too"
	same "$G/g4/odd/locked" "$G/g4/odd/dir/locked-too"
	same "$G/g4/odd/fifo" "$G/g4/odd/dir/fifo-too"
	differ "$G/g2/odd/a" "$G/g4/odd/a"
	has "$(getcap "$G/g4/odd/capable")" cap_net_raw
	has "$(getfattr -h -d -m- --absolute-names "$G/g4/odd/link")" 'trusted.label="secret"'
	eq "$(getfacl -c "$G/g2/odd/acl" 2>/dev/null)" "$(getfacl -c "$G/g4/odd/acl" 2>/dev/null)" ACL
	(($(stat -c %b "$G/g4/odd/sparse") < 100)) || die "the hole is filled"
	for f in null block whiteout; do
		eq "$(stat -c '%F %t %T' "$G/g4/odd/$f")" "$(stat -c '%F %t %T' "$G/g2/odd/$f")" "$f"
	done
}

@test "what must be unique is reset: machine-id emptied, host keys and seeds left out" {
	mkdir -p "$G/g2/etc/ssh" "$G/g2/var/lib/dbus" "$G/g2/var/lib/systemd"
	printf 'abc\n' | tee "$G/g2/etc/machine-id" "$G/g2/var/lib/dbus/machine-id" "$G/g2/etc/ssh/ssh_host_rsa_key" \
		"$G/g2/etc/ssh/ssh_host_rsa_key.pub" "$G/g2/etc/ssh/ssh_config" "$G/g2/var/lib/systemd/random-seed" \
		>"$G/g2/etc/hostname"
	chmod 0444 "$G/g2/etc/machine-id"
	touch -d @1500000000 "$G/g2/etc/ssh" "$G/g2/etc"
	unified
	vx 0 clone --json g2 g4
	eq "$(sum_of reset)" 5 "files reset"
	eq "$(stat -c '%s %a' "$G/g4/etc/machine-id")" '0 444' "size and mode of machine-id"
	eq "$(cd "$G/g4/etc/ssh" && ls)" ssh_config "what is in /etc/ssh"
	eq "$(stat -c %Y "$G/g4/etc/ssh")" 1500000000 "time of /etc/ssh"
	[[ ! -e $G/g4/var/lib/dbus/machine-id && ! -e $G/g4/var/lib/systemd/random-seed ]]
	eq "$(cat "$G/g4/etc/hostname")" abc hostname
	eq "$(cat "$G/g2/etc/machine-id")" abc "the other guest's"
}

@test "what is reset may be unified: it is the clone's own then" {
	conf <<<$'[clone]\ntruncate = /usr/share/vu/big\nremove = /usr/share/vu/f1'
	unified
	vx 0 clone g2 g4
	is_private "$G/g4/$BIG"
	eq "$(stat -c %s "$G/g4/$BIG")" 0 size
	[[ ! -e $G/g4/usr/share/vu/f1 ]]
	others_are_as_before
}

@test "the list of what is reset is the configuration's" {
	mkdir -p "$G/g2/opt"
	echo abc | tee "$G/g2/etc/machine-id" "$G/g2/etc/hostname" "$G/g2/opt/a.id" >"$G/g2/opt/b"
	conf <<<$'[clone]\ntruncate =\nremove = /etc/hostname\nremove = /opt/*.id'
	unified
	vx 0 clone g2 g4
	eq "$(cat "$G/g4/etc/machine-id")" abc machine-id
	[[ ! -e $G/g4/etc/hostname && ! -e $G/g4/opt/a.id && -e $G/g4/opt/b ]]
	conf <<<$'[clone]\nremove = hostname'
	vx 2 clone g2 g5
	has "$ERR" 'absolute path'
}

@test "an object in quarantine gets no further name: the clone has a copy of its own" {
	unified
	object=$(find "$MNT/.vunify/objects" -inum "$(stat -c %i "$G/g2/$BIG")" -printf '%f')
	mkdir -m 0700 "$MNT/.vunify/quarantine"
	ln -s "$(stat -c %i "$G/g2/$BIG")" "$MNT/.vunify/quarantine/$object"
	vx 0 clone g2 g4
	is_private "$G/g4/$BIG"
	cmp "$G/g2/$BIG" "$G/g4/$BIG"
	is_object "$G/g4/usr/share/vu/f1"
}

@test "a name is beside the guest's root, a path is where it says" {
	unified
	mkdir "$MNT/elsewhere"
	vx 0 clone "$G/g2" "$MNT/elsewhere/web"
	equal "$G/g2" "$MNT/elsewhere/web"
	vx 0 guests --json
	has "$(jq -r '.guests[].guest' <<<"$OUT")" '^web$'
	vx 0 clone web web2
	equal "$G/g2" "$MNT/elsewhere/web2"
}

@test "clone refuses a place that is taken, in a guest, or on another mount" {
	unified
	mkdir "$G/taken"
	vx 2 clone g2 taken
	vx 2 clone g2 g1
	ln -s nowhere "$G/dangling"
	vx 2 clone g2 dangling
	vx 12 clone g2 "$G/g1/inside"
	has "$ERR" 'in the root of a guest'
	vx 12 clone g2 "$STATE/away"
	has "$ERR" 'on another mount'
	vx 1 clone g2 "$MNT/nowhere/x"
	vx 1 clone g9 g4
	vx 2 clone g2 ..
	mkdir "$MNT/bound"
	mount --bind "$G" "$MNT/bound"
	vx 12 clone g2 "$MNT/bound/g4"
	umount "$MNT/bound"
	nothing_new
	others_are_as_before
}

@test "clone -n changes nothing and has the numbers of the run" {
	odd_things "$G/g2"
	unified
	find "$MNT" -printf '%p %i %n %C@\n' | sort >"$STATE/a"
	vx 0 clone -n --json g2 g4
	dry=$(jq -S 'select(.type == "summary") | del(.dry_run, .seconds, .guest)' <<<"$OUT")
	find "$MNT" -printf '%p %i %n %C@\n' | sort >"$STATE/b"
	same_text "$STATE/a" "$STATE/b"
	vx 0 clone --json g2 g4
	eq "$(jq -S 'select(.type == "summary") | del(.dry_run, .seconds, .guest)' <<<"$OUT" |
		sed -E 's/"(copied|others|copied_bytes)": [0-9]+/"\1": -/')" \
		"$(sed -E 's/"(copied|others|copied_bytes)": [0-9]+/"\1": -/' <<<"$dry")" summary
}

@test "a mount in the guest is not entered, and told" {
	unified
	mkdir "$G/g2/data" "$STATE/outside"
	: >"$STATE/outside/secret"
	mount --bind "$STATE/outside" "$G/g2/data"
	vx 0 clone --json g2 g4
	umount "$G/g2/data"
	eq "$(sum_of mounts)" 1 mounts
	eq "$(jq -r 'select(.type == "skip") | .path' <<<"$OUT")" data "what is told"
	eq "$(ls -A "$G/g4/data")" '' "what is in the copy"
}

@test "a guest that was never unified is cloned, and no pool is left" {
	vx 0 guests add "$G/g2"
	vx 0 clone g2 g4
	equal "$G/g2" "$G/g4"
	[[ ! -e $MNT/.vunify ]] || die "it left a pool"
}

@test "a file that changes all the time is told, and the rest is copied" {
	unified
	head -c 8000000 /dev/urandom >"$G/g2/var/busy"
	background python3 -c "
import os
fd = os.open('$G/g2/var/busy', os.O_WRONLY)
print('ready', flush=True)
while True:
    os.pwrite(fd, b'x' * 100, 100)"
	# that its writer waits for a processor while all of it is copied is nothing to rely on
	rc=0
	strace -qq -f -o /dev/null -e trace=copy_file_range \
		-e inject=copy_file_range:delay_exit=10000 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" clone g2 g4 >"$STATE/out" 2>"$STATE/err" || rc=$?
	end_processes
	ERR=$(<"$STATE/err")
	eq "$rc" 3 "exit code: $ERR"
	has "$ERR" 'var/busy.*changed each time'
	[[ -s $G/g4/var/busy ]]
	same "$G/g2/$BIG" "$G/g4/$BIG"
}

@test "a file that grows all the time keeps owner, mode and attributes in the copy" {
	head -c 100000 /dev/urandom >"$G/g2/var/grown"
	chown 7:8 "$G/g2/var/grown"
	chmod 0640 "$G/g2/var/grown"
	setfattr -n user.of -v log "$G/g2/var/grown"
	vx 0 guests add "$G/g2"
	background python3 -c "
import os, time
fd = os.open('$G/g2/var/grown', os.O_WRONLY | os.O_APPEND)
print('ready', flush=True)
while True:
    os.write(fd, b'a line\n')
    time.sleep(0.001)"
	rc=0
	strace --seccomp-bpf -qq -f -o /dev/null -P "$G/g2/var/grown" -e trace=copy_file_range \
		-e inject=copy_file_range:delay_exit=200000 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" clone g2 g4 >"$STATE/out" 2>"$STATE/err" || rc=$?
	end_processes
	eq "$rc" 3 "exit code: $(<"$STATE/err")"
	has "$(<"$STATE/err")" 'var/grown.*changed each time'
	eq "$(stat -c '%u:%g %a' "$G/g4/var/grown")" '7:8 640' 'owner and mode'
	eq "$(getfattr --only-values -n user.of "$G/g4/var/grown")" log 'attribute'
	cmp -n 100000 "$G/g2/var/grown" "$G/g4/var/grown"
}

@test "a file that a process of the guest holds a write lease on is left out, and told" {
	unified
	echo held >"$G/g2/usr/share/held"
	background python3 -c 'import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN) # keeps it in spite of who asks
f = open(sys.argv[1], "r+")
fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("ready", flush=True)
time.sleep(60)' "$G/g2/usr/share/held"
	vx 3 clone g2 g4
	has "$ERR" 'usr/share/held: left out: a process of the guest has a lease on it'
	[[ ! -e $G/g4/usr/share/held ]] || die "it is there"
	rm "$G/g2/usr/share/held"
	touch -r "$G/g2/usr/share" "$G/g4/usr/share"
	equal "$G/g2" "$G/g4"
}

@test "a guest that changes its directories all the time gets a clone without anything of the host" {
	unified
	: >"$STATE/secret"
	mkdir "$STATE/dir"
	: >"$STATE/dir/secret"
	cat >"$STATE/flip.py" <<-'EOF'
		import os, sys
		os.chdir(sys.argv[1])
		os.makedirs("flip/d/d", exist_ok=True)
		open("flip/d/d/own", "w").close()
		print("ready", flush=True)
		while True:
		    os.rename("flip", "flop")
		    os.symlink(sys.argv[2], "flip")
		    os.unlink("flip")
		    os.rename("flop", "flip")
	EOF
	background python3 "$STATE/flip.py" "$G/g2" "$STATE/dir"
	for i in 1 2 3; do
		VX_SECONDS=60
		timeout 60 "$VUNIFY" --config "$CONF" --catalog "$CAT" clone g2 "c$i" >"$STATE/out" 2>"$STATE/err" || [[ $? == 3 ]] ||
			die "$(cat "$STATE/err")"
		[[ -z $(find "$G/c$i" -name secret) ]] || die "something of the host was copied"
	done
	end_processes
}

@test "clone of a guest that runs, frozen or not" {
	unified
	cp "$(command -v busybox)" "$G/g2/bin/busybox" || skip "needs busybox-static"
	background chroot "$G/g2" /bin/busybox sh -c 'echo ready; read x'
	vx 12 clone g2 g4
	has "$ERR" CAP_LINUX_IMMUTABLE
	nothing_new
	vx 0 clone --trust-guests g2 g4
	equal "$G/g2" "$G/g4"
	end_processes
}

@test "clone of a tree of any depth, up to max_depth" {
	unified
	python3 - "$G/g2" <<-'EOF'
		import os, sys
		os.chdir(sys.argv[1])
		for i in range(1500):
		    os.mkdir("d")
		    os.chdir("d")
		open("deepest", "w").close()
	EOF
	vx 0 clone g2 g4
	eq "$(find "$G/g4" -name deepest -printf '%d\n')" 1501 "depth of the last file"
	conf <<<$'[limits]\nmax_depth = 1000'
	vx 12 clone g2 g5
	has "$ERR" 'deeper than max_depth'
	[[ ! -e $G/g5 && ! -e $MNT/.vunify/trees ]]
	conf <<<$'[limits]\nmax_files = 100'
	vx 12 clone g2 g5
	has "$ERR" 'more files than max_files'
	vx 0 remove -y g4
}

@test "killed while it clones: nothing has the name, and recover removes the rest" {
	command -v strace >/dev/null || skip "needs strace"
	odd_things "$G/g2"
	unified
	chattr +i "$G/g2/odd/locked"
	for at in 'mkdirat 3' 'linkat 1' 'linkat 60' 'fchown 5' 'ioctl 50' 'unlinkat 2' 'syncfs 1'; do
		# shellcheck disable=SC2086
		kill_at $at clone g2 g4
		[[ ! -e $G/g4 ]] || die "half a guest at $at"
		vx 0 recover --json
		(($(sum_of trees_removed) <= 1))
		nothing_new
		eq "$(n_objects)" "$("$VU_TOP/tests/lib/pool-check" "$MNT")" objects
	done
	kill_at linkat 30 clone g2 g4
	vx 0 clone g2 g4
	has "$OUT" 'recover: a guest that was not made to its end: removed'
	chattr -i "$G/g2/odd/locked" "$G/g4/odd/locked"
	equal "$G/g2" "$G/g4"
}

@test "a full disk: nothing of the clone is left, and nothing else is lost" {
	unified
	head -c 20M /dev/urandom >"$G/g2/var/large"
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	find "$G" -type f -printf '%i %p\n' | sort >"$STATE/inodes"
	head -c 100M /dev/zero >"$MNT/fill" 2>/dev/null || :
	vx 13 clone g2 g4
	has "$ERR" 'No space left'
	nothing_new
	rm -f "$MNT/fill"
	others_are_as_before
}
