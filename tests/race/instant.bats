#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What a guest does at the very instant at which its file is exchanged. The window is too short to be
# hit by chance: vunify is stopped in it, behind a system call, the guest acts, and vunify goes on.
# All that the guest could do ends as it left it, and the other guest sees nothing of it.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

teardown() {
	farm_down
}

two_guests() {
	local i
	farm_on "$1" 64
	# As many calls each time: who runs on the host is looked at for freezing.
	conf <<<$'[policy]\nmin_size = 1\nmoment = lease\n[scan]\njobs = 1'
	mkdir -p "$G/g1/usr/a"
	for ((i = 0; i < 12; i++)); do
		seq "$i" 700 >"$G/g1/usr/a/f$i"
	done
	ln "$G/g1/usr/a/f5" "$G/g1/usr/second-name"
	find "$G/g1" -exec touch -h -d @1600000000.123456789 {} +
	cp -a "$G/g1" "$G/g2"
}

# Without the column of hard links: two names of an inode do not change in one instant.
seen_from() {
	say_manifest --no-dirtimes "$G/$1" | cut -f 1-10,12
}

# instant CALL K VERB: how many of CALL its thread has made before it exchanges the K-th name.
instant() {
	rm -f "$CAT"*
	strace -f -qq -o "$STATE/trace" -e "trace=$1,renameat2" \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" -q "$3" "$G"/g1 "$G"/g2 >"$STATE/out" 2>&1
	awk -v call="$1" -v k="$2" '
	$2 ~ "^" call "\\(" { n[$1]++ }
	/ renameat2\(.*"[tc]-.*RENAME_EXCHANGE/ && ++m == k { print n[$1] }' "$STATE/trace"
}

# act HOW: on each file of the acting guest that lets itself be changed. O_NONBLOCK: not to wait for a lease.
act() {
	python3 - "$1" "$G/$actor/usr" <<'PY'
import os, sys
how, top = sys.argv[1:]
done = 0
for d, _, names in os.walk(top):
    for name in names:
        path = os.path.join(d, name)
        try:
            if how == "rename":
                with open(path + "-new", "w") as f:
                    f.write("the guest's own, newer text of " + name)
                os.rename(path + "-new", path)
            elif how == "remove":
                os.unlink(path)
            elif how == "chmod":
                os.chmod(path, 0o600)
            else:
                flags = {"append": os.O_APPEND, "truncate": os.O_TRUNC}[how]
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | flags)
                os.write(fd, b"written by the guest")
                os.close(fd)
            done += 1
        except (PermissionError, BlockingIOError):
            if os.path.exists(path + "-new"):
                os.unlink(path + "-new")
sys.exit(0 if done else "the guest could do nothing at all")
PY
}

# Opens all files that let themselves be opened, and keeps them open; told to, writes to them, and says
# "kept" if each is what is at its path.
open_all() {
	background python3 -c '
import os, sys
fds = {}
for d, _, names in os.walk(sys.argv[1]):
    for path in (os.path.join(d, name) for name in names):
        try:
            fds[path] = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except (PermissionError, BlockingIOError):
            pass
print("ready", flush=True)
sys.stdin.readline()
lost = not fds
for path, fd in fds.items():
    os.write(fd, b"later")
    lost |= not os.path.samestat(os.fstat(fd), os.stat(path))
print("lost" if lost else "kept", flush=True)
sys.stdin.readline()' "$G/$actor/usr"
}

later_writes_are_kept() {
	local answer
	echo go >&"$BG_IN"
	read -r -t 60 answer <&"$BG_OUT"
	eq "$answer" kept "what was written later" || return
	end_processes
}

# in_the_window CALL K ACT: was it stopped there: with the K-th exchange as the very next call, or as
# the last one? Who opens the file to write to it makes that exchange be given up.
in_the_window() {
	awk -v call="$1" -v k="$2" -v how="$3" '
	/ renameat2\(.*"[tc]-.*RENAME_EXCHANGE/ { m++; if (stopped && !next_call) next_call = "exchange" }
	/ [a-z0-9_]+\(/ { if (stopped && !next_call) next_call = "another" }
	/ --- stopped by SIGSTOP/ { stopped = 1; before = m + 0; next_call = "" }
	END {
		opens = how == "append" || how == "truncate" || how == "open"
		if (call == "renameat2") exit before != k
		exit !(before == k - 1 && (opens || next_call == "exchange"))
	}' "$STATE/hold-trace"
}

# while_stopped VERB OTHER CALL ACT...: each act in turn, behind the last CALL before an exchange, which
# is another one each time. Where CALL is renameat2, it is behind the exchange.
while_stopped() {
	local verb=$1 other=$2 call=$3 how n k=1 rc actor=g2 bystander=g1
	# Of two guests, the first one's files become the objects, and it gets the copies of them.
	[[ $verb == scan ]] || actor=g1 bystander=g2
	shift 3
	for how in "$@"; do
		n=$(instant "$call" "$k" "$verb")
		[[ -n $n ]] || die "$verb exchanges no $k names" || return
		vx 0 "$other" "$G"/g?
		rm -f "$CAT"*
		seen_from $bystander >"$STATE/before"
		HOLD_TRACE=renameat2
		hold "$call" "$n" -q "$verb" "$G"/g1 "$G"/g2 || return
		if [[ $how == open ]]; then
			open_all || return
		else
			act "$how" || return
		fi
		seen_from $actor >"$STATE/left"
		rc=0
		go_on || rc=$?
		[[ $rc == [03] ]] || die "$how at $call $n of $verb: exit code $rc: $(<"$STATE/held")" || return
		[[ $how != open ]] || later_writes_are_kept || return
		in_the_window "$call" "$k" "$how" || die "$how at $call $n of $verb was not at exchange $k" || return
		seen_from $actor >"$STATE/after"
		seen_from $bystander >"$STATE/bystander"
		[[ $how == open ]] || same_text "$STATE/left" "$STATE/after" "$how at $call $n of $verb" || return
		same_text "$STATE/before" "$STATE/bystander" "$how at $call $n of $verb, the other guest" || return
		"$VU_TOP/tests/lib/pool-check" "$MNT" || return
		# As at the beginning.
		vx 0 unmerge "$G"/g?
		rm -rf "${G:?}/$actor"
		cp -a "$G/$bystander" "$G/$actor"
		[[ $verb == scan ]] || vx 0 scan "$G"/g?
		k=$((k + 2))
	done
}

# The temporary name of the object is there, which is to change places with the guest's file.
before_linking() {
	two_guests "$1"
	while_stopped scan unmerge linkat rename remove chmod append truncate open
}

behind_linking() {
	two_guests "$1"
	while_stopped scan unmerge renameat2 rename remove
}

# The flag is off, what is at the path was looked at last, and the copy is not there yet.
before_breaking() {
	two_guests "$1"
	vx 0 scan "$G"/g?
	while_stopped unmerge scan statx rename remove
}

@test "ext4: the guest acts just before its file is exchanged for an object" { before_linking ext4; }
@test "ext4: the guest acts just behind that" { behind_linking ext4; }
@test "ext4: the guest acts just before an object is exchanged for a copy" { before_breaking ext4; }
@test "XFS: the guest acts just before its file is exchanged for an object" { before_linking xfs; }
@test "XFS: the guest acts just behind that" { behind_linking xfs; }
@test "XFS: the guest acts just before an object is exchanged for a copy" { before_breaking xfs; }
@test "btrfs: the guest acts just before its file is exchanged for an object" { before_linking btrfs; }
@test "btrfs: the guest acts just behind that" { behind_linking btrfs; }
@test "btrfs: the guest acts just before an object is exchanged for a copy" { before_breaking btrfs; }
