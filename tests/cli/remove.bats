#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify remove: a guest goes, and no other notices.

load ../lib/farm

BIG=usr/share/vu/big

others() {
	say_manifest "$G"/g1 "$G"/g3
	find "$G/g1" "$G/g3" -type f -printf '%i %p\n' | sort
}

unified() {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	others >"$STATE/before"
}

others_are_as_before() {
	others >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	"$VU_TOP/tests/lib/pool-check" "$MNT" >/dev/null
}

# Nothing of g2 is left: no root, no row, no place in the pool.
is_gone() {
	[[ ! -e $G/g2 ]] || die "its root is there" || return
	[[ ! -e $MNT/.vunify/trees ]] || die "left in the pool: $(find "$MNT/.vunify/trees" | head)" || return
	vx 0 guests --json
	eq "$(jq -r '[.guests[].guest] | join(" ")' <<<"$OUT")" "g1 g3" guests
}

# As kill -9 of all of it leaves it: while it unlinks for the N-th time in a thread.
kill_at() {
	local call=$1 n=$2
	shift 2
	strace -qq -f -o /dev/null -e trace="$call" -e inject="$call":signal=SIGKILL:when="$n" \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" "$@" >"$STATE/out" 2>&1 </dev/null || :
}

@test "remove deletes a unified guest, and the others keep every file, inode and flag" {
	unified
	vx 0 remove -y g2
	has "$OUT" '^guest g2 removed: [1-9][0-9]* shared files'
	is_gone
	others_are_as_before
	is_object "$G/g1/$BIG"
	same "$G/g1/$BIG" "$G/g3/$BIG"
}

@test "remove takes the path of a root for the guest" {
	unified
	vx 0 remove -y "$G/g2"
	is_gone
}

@test "remove of a guest that was never unified" {
	vx 0 guests add "$G/g2"
	vx 0 remove -y g2
	[[ ! -e $G/g2 ]] || die "its root is there"
	[[ ! -e $MNT/.vunify ]] || die "it left a pool: $(find "$MNT/.vunify")"
}

@test "objects that nobody else has go with the last guest, and so does the pool" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	free=$(stat -f -c %f "$MNT")
	for g in g1 g2 g3; do
		vx 0 remove -y --json "$g"
	done
	(($(sum_of objects_removed) > 0)) || die "no object was removed: $OUT"
	[[ ! -e $MNT/.vunify ]] || die "left: $(find "$MNT/.vunify" | head)"
	(($(stat -f -c %f "$MNT") > free + 100)) || die "the space did not come back"
}

@test "remove -n changes nothing and has the numbers of the run" {
	unified
	find "$MNT" -printf '%p %i %n %C@\n' | sort >"$STATE/a"
	vx 0 remove -n --json g2
	dry=$(jq -S 'del(.dry_run, .seconds, .objects_removed)' <<<"$OUT")
	find "$MNT" -printf '%p %i %n %C@\n' | sort >"$STATE/b"
	same_text "$STATE/a" "$STATE/b"
	vx 0 remove -y --json g2
	eq "$(jq -S 'del(.dry_run, .seconds, .objects_removed)' <<<"$OUT")" "$dry" summary
}

@test "remove asks on a terminal, and takes no for an answer" {
	unified
	command -v script >/dev/null || skip "needs script"
	run script -qec "'$VUNIFY' --config '$CONF' --catalog '$CAT' remove g2" /dev/null <<<n
	eq "$status" 1 "exit code"
	has "$output" 'Remove all of it, for ever\?'
	has "$output" 'not confirmed'
	[[ -e $G/g2/$BIG ]] || die "it was removed"
	run script -qec "'$VUNIFY' --config '$CONF' --catalog '$CAT' remove g2" /dev/null <<<y
	eq "$status" 0 "exit code"
	is_gone
}

@test "remove without a terminal wants -y" {
	unified
	vx 2 remove g2
	has "$ERR" 'say -y'
	[[ -e $G/g2/$BIG ]] || die "it was removed"
}

@test "remove of what is no guest is refused" {
	unified
	vx 2 remove -y "$G"
	has "$ERR" 'not registered'
	vx 2 remove -y g9
	mkdir "$G/g4"
	vx 2 remove -y "$G/g4"
	[[ -d $G/g4 ]] || die "it was removed"
}

@test "remove refuses a guest in which a process runs, and removes nothing" {
	unified
	busybox --list >/dev/null 2>&1 || skip "needs a static busybox"
	cp "$(command -v busybox)" "$G/g2/bin/busybox"
	background chroot "$G/g2" /bin/busybox sh -c 'echo ready; read x'
	vx 12 remove -y g2
	has "$ERR" 'it runs: 1 process'
	[[ -e $G/g2/$BIG ]] || die "something was removed"
	end_processes
	vx 0 remove -y g2
	is_gone
}

@test "remove refuses a guest with a mount below it, and enters none" {
	unified
	mkdir -p "$G/g2/mnt" "$STATE/outside"
	: >"$STATE/outside/precious"
	mount --bind "$STATE/outside" "$G/g2/mnt"
	vx 12 remove -y g2
	has "$ERR" "mounted on .*/g2/mnt"
	umount "$G/g2/mnt"
	[[ -e $STATE/outside/precious && -e $G/g2/$BIG ]] || die "something was removed"
}

@test "remove stops before anything is removed where the admin has set a flag" {
	unified
	for what in i a; do
		for where in etc/mine.d etc/mine.d/file etc/mine.d/empty; do
			mkdir -p "$G/g2/etc/mine.d"
			echo x >"$G/g2/etc/mine.d/file"
			: >"$G/g2/etc/mine.d/empty"
			chattr "+$what" "$G/g2/$where"
			vx 12 remove -y g2
			chattr "-$what" "$G/g2/$where"
			has "$ERR" "/$where in it is immutable or append-only"
			[[ -e $G/g2/$BIG ]] || die "something was removed"
		done
	done
	vx 0 remove -y g2
	is_gone
}

@test "remove follows no symbolic link, and takes whatever else there may be in a guest" {
	unified
	: >"$STATE/precious"
	mkdir "$STATE/dir"
	: >"$STATE/dir/precious"
	ln -s "$STATE/precious" "$G/g2/link"
	ln -s "$STATE/dir" "$G/g2/dirlink"
	mkfifo "$G/g2/fifo"
	mknod "$G/g2/null" c 1 3
	mknod "$G/g2/white" c 0 0
	ln "$G/g1/etc/fstab" "$G/g2/outer" 2>/dev/null || ln "$G/g1/etc/passwd" "$G/g2/outer"
	mkdir "$G/g2/"$'a\nb <script>' "$G/g2/closed"
	: >"$G/g2/closed/x"
	chmod 0 "$G/g2/closed"
	vx 0 remove -y g2
	is_gone
	[[ -e $STATE/precious && -e $STATE/dir/precious ]] || die "a link was followed"
}

@test "remove of a tree of any depth" {
	unified
	python3 - "$G/g2" "${VU_NIGHTLY:+100000}" <<-'EOF'
		import os, sys
		os.chdir(sys.argv[1])
		for i in range(int(sys.argv[2] or 3000)):
		    os.mkdir("d")
		    os.chdir("d")
		    if i % 100 == 0:
		        open("f", "w").close()
	EOF
	vx 0 remove -y g2
	is_gone
	others_are_as_before
}

@test "killed while it removes: the others are whole, and the same again goes on" {
	command -v strace >/dev/null || skip "needs strace"
	unified
	for n in 1 2 40; do
		kill_at unlinkat "$n" remove -y g2
		vx 0 guests --json
		has "$(jq -r '.guests[].guest' <<<"$OUT")" '^g2$'
		others >"$STATE/after"
		same_text "$STATE/before" "$STATE/after"
	done
	[[ ! -e $G/g2 ]] || die "half a guest is in its place"
	vx 0 remove -y g2
	is_gone
	others_are_as_before
}

@test "killed while it removes: recover removes the rest, and then its row can go" {
	command -v strace >/dev/null || skip "needs strace"
	unified
	kill_at unlinkat 20 remove -y g2
	vx 0 recover -n --json "$G/g1"
	eq "$(sum_of trees_removed)" 1 "trees with -n"
	vx 0 recover --json "$G/g1"
	eq "$(sum_of trees_removed)" 1 trees
	vx 0 recover --json "$G/g1"
	eq "$(sum_of trees_removed)" 0 "trees the second time"
	others_are_as_before
	vx 0 remove -y g2
	is_gone
}

@test "killed before it has taken the root away: nothing has happened" {
	command -v strace >/dev/null || skip "needs strace"
	unified
	say_manifest "$G/g2" >"$STATE/g2"
	kill_at renameat2 1 remove -y g2
	if [[ -e $G/g2 ]]; then
		say_manifest "$G/g2" >"$STATE/g2-after"
		same_text "$STATE/g2" "$STATE/g2-after"
	fi
	vx 0 remove -y g2
	is_gone
	others_are_as_before
}

@test "a root whose file system is not there is not taken for gone" {
	unified
	umount "$MNT"
	vx 12 remove -y g2
	has "$ERR" 'mount that'
}
