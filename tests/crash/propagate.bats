#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify propagate killed, or with an error, at its system calls: each path is the old file or the new one,
# names of one inode are of one kind behind a recovery, and the next run ends what was begun. A template goes
# to and fro between two versions of its files, and two guests follow: one shares what the template had, the
# other one has private copies.
#
# By day it is killed on XFS, and gets errors on Btrfs; the other way round with VU_NIGHTLY.
#
# VU_CASES: how many are tried of each kind (20 on ext4, 3 on XFS and Btrfs; with VU_NIGHTLY all, on these but for
# openat and fcntl, which are 2,200 of 2,400); VU_SEED: which; VU_LIKE=REGEX: only of those "CALL N" that fit it.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

FILES=(usr/bin/tool usr/share/vu/one usr/share/vu/twin-a usr/share/vu/twin-b)

# Calls that change something, or that a change rests on.
CALLS=(linkat unlinkat renameat2 ioctl fcntl syncfs fsync fdatasync ftruncate pwrite64 write openat mkdirat utimensat)

setup() {
	[[ $(id -u) == 0 ]] || skip "needs root"
	command -v strace >/dev/null || skip "needs strace"
}

teardown() {
	vu_fs_clean
}

make_guest() {
	local g=$1
	mkdir -p "$g/usr/bin" "$g/usr/share/vu" "$g/var/lib/dpkg/info"
	printf 'Package: vu\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n' >"$g/var/lib/dpkg/status"
	printf '/.\n/usr\n' >"$g/var/lib/dpkg/info/vu.list"
	printf '/%s\n' "${FILES[@]}" >>"$g/var/lib/dpkg/info/vu.list"
	put A "$g"
}

# put VERSION GUEST: its files in that version, each a new one
put() {
	local f
	for f in "${FILES[@]}"; do
		rm -f "$2/$f"
		[[ $f == *twin-b ]] || cp -p "$STATE/$1/$f" "$2/$f" || return
	done
	ln "$2/usr/share/vu/twin-a" "$2/usr/share/vu/twin-b"
}

make_all() {
	local v f n=1000
	for v in A B; do
		mkdir -p "$STATE/$v/usr/bin" "$STATE/$v/usr/share/vu"
		for f in "${FILES[@]}"; do
			seq 1 $((n += 500)) >"$STATE/$v/$f"
			[[ $f != *tool ]] || chmod 755 "$STATE/$v/$f"
		done
		cp "$STATE/$v/usr/share/vu/twin-a" "$STATE/$v/usr/share/vu/twin-b"
		find "$STATE/$v" -type f -exec touch -d "@1600000000.$n" {} +
	done
	for v in g1 g2 g3; do make_guest "$G/$v"; done
	vx 0 scan "$G"/g?
	vx 0 template add g1
	AT=A
}

# The template has the other version, and g3 has private copies.
change() {
	TO=$([[ $AT == A ]] && echo B || echo A)
	vx 0 unmerge g1 g3 && put "$TO" "$G/g1"
}

# whole GUEST: each of its files is the old one or the new one; FOLLOWED counts the new ones
whole() {
	local f
	for f in "${FILES[@]}"; do
		if cmp -s "$G/$1/$f" "$STATE/$TO/$f"; then
			FOLLOWED=$((FOLLOWED + 1))
		else
			cmp "$G/$1/$f" "$STATE/$AT/$f" || return
		fi
	done
}

check_whole() {
	FOLLOWED=0
	whole g2 && whole g3 || return
	cmp "$G/g1/$BIN" "$STATE/$TO/$BIN"
}

BIN=usr/bin/tool

# The two names are one file, old or new. (A private inode that the run has put in no place yet is one, too.)
check_twins() {
	local g
	for g in g2 g3; do
		same "$G/$g/usr/share/vu/twin-a" "$G/$g/usr/share/vu/twin-b" || return
	done
}

# One more run ends it; $1: a recovery comes first. (Of an object that a failed run has left without a guest recovery
# disposes.)
check_end() {
	local f g
	if ((${1:-0})); then
		vx 0 recover && check_twins && check_whole || return
	fi
	vx 0 propagate --json || return
	[[ ${RC:-0} == 0 ]] || vx 0 recover || return
	for g in g2 g3; do
		for f in "${FILES[@]}"; do
			same "$G/g1/$f" "$G/$g/$f" && cmp "$G/$g/$f" "$STATE/$TO/$f" || return
		done
		same "$G/$g/usr/share/vu/twin-a" "$G/$g/usr/share/vu/twin-b" || return
	done
	"$VU_TOP/tests/lib/pool-check" "$MNT" >/dev/null || return
	eq "$(n_objects)" 3 objects || return
	AT=$TO
}

# disturbed INJECTION...: propagate under strace; its exit code in RC
disturbed() {
	RC=0
	(
		export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
		exec timeout -k 5 60 strace -qq -f -o "$STATE/trace" "$@" \
			"$VUNIFY" --config "$CONF" --catalog "$CAT" propagate --json >"$STATE/out" 2>"$STATE/err" 3>&- 4>&- </dev/null
	) || RC=$?
	OUT=$(tr -d '\0' <"$STATE/out") ERR=$(tr -d '\0' <"$STATE/err")
}

# begin TYPE MB: three guests on a file system of that type, in memory: there is a sync for each batch
begin() {
	[[ ! -w /dev/shm ]] || local -x VU_FS_IMAGES=/dev/shm
	farm_on "$1" "$2"
	make_all
}

# Prints "CALL N" for each call that a run makes: N by process, as strace counts.
enumerate() {
	local IFS=,
	change
	disturbed -e "trace=${CALLS[*]}"
	eq "$RC" 0 "exit code of the run that is traced" || return
	awk '$2 ~ /^[a-z]/ { sub(/\(.*/, "", $2); n = ++seen[$1, $2]; if (n > most[$2]) most[$2] = n }
		END { for (c in most) for (i = 1; i <= most[c]; i++) print c, i }' "$STATE/trace" | sort >"$STATE/calls"
	unset IFS
	check_whole && check_end
}

# Prints those that are tried: of each call one, and then some; where they are few, of those that move names.
chosen() {
	local n=${VU_CASES:-$LEAST} of=. but='^$'
	((LEAST > 3)) || of='^(linkat|unlinkat|renameat2) '
	if [[ -n ${VU_NIGHTLY:-} && -z ${VU_CASES:-} ]]; then
		n=100000
		((LEAST > 3)) || of=. but='^(openat|fcntl) '
	fi
	grep -E "$of" "$STATE/calls" | grep -Ev "$but" | grep -E "${VU_LIKE:-.}" |
		awk -v seed="${VU_SEED:-1}" 'BEGIN { srand(seed) } { print rand(), $0 }' | sort -n |
		awk -v n="$n" '!seen[$2]++ { print $2, $3; n--; next } { rest[++m] = $2 " " $3 }
			END { for (i = 1; i <= n && i <= m; i++) print rest[i] }'
}

# killed TYPE MB CASES
killed() {
	begin "$1" "$2"
	LEAST=$3
	enumerate
	cases=0
	while read -r call n; do
		change || die "behind case $cases" || return
		disturbed -e "trace=$call" -e "inject=$call:signal=KILL:when=$n"
		cases=$((cases + 1))
		check_whole || die "killed at $call $n (exit code $RC): $ERR" || return
		check_end $((cases % 2)) || die "the run after it was killed at $call $n" || return
	done < <(chosen)
	((cases >= LEAST)) || [[ -n ${VU_LIKE:-} ]] || die "only $cases cases"
	echo "# proof: propagate, killed at system calls, $1 | $cases | 0" >&3
}

# failing TYPE MB CASES
failing() {
	begin "$1" "$2"
	LEAST=$3
	enumerate
	cases=0
	while read -r call n; do
		for error in ENOSPC EIO; do
			[[ $error == EIO || $call == @(linkat|renameat2|openat|mkdirat|syncfs|fsync|fdatasync|pwrite64|write|ftruncate) ]] || continue
			# A descriptor that is opened for the loader, or /proc, is no matter of disks.
			[[ $call != openat || $n -gt 12 ]] || continue
			change || die "behind case $cases" || return
			disturbed -e "trace=$call" -e "inject=$call:error=$error:when=$n"
			cases=$((cases + 1))
			what="$call $n with $error (exit code $RC)"
			# 12: what the file system can do is tried out at first, and it failed there
			[[ $RC == @(0|1|3|4|10|13) || ($RC == 12 && $ERR == *'cannot unify on the file system'*) ]] ||
				die "$what: $ERR" || return
			check_whole || die "$what: $ERR" || return
			((RC == 0 || ${#ERR} + $(grep -c '"warn"\|"damage"' <<<"$OUT"))) || die "$what: nothing is told" || return
			((RC || FOLLOWED == 8 || $(grep -c '"left"' <<<"$OUT"))) || die "$what: not all was done, and nothing is told" || return
			[[ $RC != 13 ]] || has "$ERR" 'free some space' || return
			check_end $((cases % 2)) || die "the run after $what" || return
		done
	done < <(chosen)
	((cases >= LEAST)) || [[ -n ${VU_LIKE:-} ]] || die "only $cases cases"
	echo "# proof: propagate, errors of system calls, $1 | $cases | 0" >&3
}

nightly() {
	[[ -n ${VU_NIGHTLY:-} ]] || skip "only with VU_NIGHTLY=1"
}

@test "I1 I3 I4 I8: propagate: killed at its system calls" {
	killed ext4 32 20
}

@test "I1 I3 I8 I10: propagate: calls fail with ENOSPC and EIO, and that is told" {
	failing ext4 32 14
}

@test "I1 I3 I4 I8: propagate: killed on XFS" {
	killed xfs 320 3
}

@test "I1 I3 I4 I8: propagate: killed on Btrfs" {
	nightly
	killed btrfs 128 3
}

@test "I1 I3 I8 I10: propagate: calls fail on XFS" {
	nightly
	failing xfs 320 3
}

@test "I1 I3 I8 I10: propagate: calls fail on Btrfs" {
	failing btrfs 128 3
}
