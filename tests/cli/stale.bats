#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify stale: what processes still have in memory of files that were replaced.

load ../lib/farm

BIG=usr/share/vu/big

teardown() {
	farm_down
	[[ -z ${GROUP:-} ]] || wait_until rmdir_all "$GROUP" 2>/dev/null
}

rmdir_all() {
	find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
	[[ ! -d $1 ]]
}

# reader GUEST FILE... -- [CGROUP]: a process of it that has the files mapped and in memory, in a cgroup
reader() {
	background python3 -c '
import mmap, os, sys
at = sys.argv.index("--")
if at + 1 < len(sys.argv):
    with open(sys.argv[at + 1] + "/cgroup.procs", "w") as f:
        f.write(str(os.getpid()))
os.chroot(sys.argv[1])
os.chdir("/")
kept = []
for name in sys.argv[2:at]:
    m = mmap.mmap(os.open(name, os.O_RDONLY), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
    sum(m[::4096])
    kept.append(m)
print("ready", flush=True)
sys.stdin.readline()' "$@"
}

# of GUEST FIELD: of its service in the last stale --json in $OUT
of() {
	jq --arg g "$1" '.services[] | select(.guest == $g) | .'"$2" <<<"$OUT"
}

groups() {
	local top
	for top in /sys/fs/cgroup /sys/fs/cgroup/unified; do
		[[ -f $top/cgroup.controllers ]] && GROUP=$(mktemp -d "$top/vu-stale.XXXXXXXX") && return
	done
	GROUP=''
	skip "no cgroup v2 is mounted"
}

@test "before the scan nothing is stale; after it, what runs on holds the old inode" {
	local size
	size=$(stat -c %s "$G/g2/$BIG")
	# of equal files the one that most have mapped stays
	reader "$G/g1" "/$BIG" --
	reader "$G/g1" "/$BIG" --
	reader "$G/g2" "/$BIG" --
	vx 0 stale --json "$G"/*
	eq "$(jq -c '.services' <<<"$OUT")" "[]" "services"
	vx 0 scan --trust-guests "$G"/*
	same "$G/g1/$BIG" "$G/g2/$BIG"
	vx 0 stale --json
	eq "$(jq -c '[.services[] | .guest]' <<<"$OUT")" '["g2"]' "guests with a service"
	eq "$(of g2 service) $(of g2 processes) $(of g2 same) $(of g2 changed)" '"python3" 1 1 0' service
	eq "$(of g2 held_bytes) $(of g2 freed_bytes)" "$(((size + 4095) / 4096 * 4096)) $(of g2 held_bytes)" bytes
	vx 0 stale --files --json
	eq "$(jq -c '.files[] | [.guest, .content, .path]' <<<"$OUT")" "[\"g2\",\"same\",\"$BIG\"]" file
	end_processes
	vx 0 stale --json
	eq "$(jq -c '.services' <<<"$OUT")" "[]" "services once it has ended"
}

@test "what is changed since is told apart from what is only unified" {
	reader "$G/g1" "/$BIG" /usr/bin/env -- # keeps its inodes
	reader "$G/g2" "/$BIG" /usr/bin/env --
	vx 0 scan --trust-guests "$G"/g1 "$G"/g2
	same "$G/g1/$BIG" "$G/g2/$BIG"
	vx 0 unmerge "$G/g2/$BIG"
	# broken, and the same still
	vx 0 stale --json g2
	eq "$(of g2 same) $(of g2 changed)" "2 0" "after unmerge"
	printf x >>"$G/g2/$BIG"
	vx 0 stale --json g2
	eq "$(of g2 same) $(of g2 changed)" "1 1" "after a write"
	vx 0 unmerge "$G/g2/usr/bin/env"
	rm "$G/g2/usr/bin/env"
	vx 0 stale --json g2
	eq "$(of g2 same) $(of g2 changed)" "0 2" "after it was removed"
}

@test "an upgrade without vunify: changed, the same again, removed" {
	reader "$G/g1" /usr/bin/env /usr/bin/sort "/$BIG" --
	for f in usr/bin/env usr/bin/sort "$BIG"; do
		cp -a "$G/g1/$f" "$G/g1/$f.new"
	done
	printf x >>"$G/g1/usr/bin/env.new"
	mv "$G/g1/usr/bin/env.new" "$G/g1/usr/bin/env"
	mv "$G/g1/usr/bin/sort.new" "$G/g1/usr/bin/sort"
	rm "$G/g1/$BIG"
	vx 0 stale --json "$G/g1"
	eq "$(of g1 changed) $(of g1 same) $(of g1 removed)" "1 1 1" "changed, same, removed"
	# one byte of it is another
	cp -a "$G/g1/usr/bin/sort" "$G/g1/sort"
	printf x | dd of="$G/g1/sort" bs=1 seek=5000 conv=notrunc status=none
	mv "$G/g1/sort" "$G/g1/usr/bin/sort"
	vx 0 stale --json "$G/g1"
	eq "$(of g1 changed) $(of g1 same) $(of g1 removed)" "2 0 1" "changed, same, removed"
}

@test "what two services hold is freed by neither alone" {
	groups
	mkdir "$GROUP/a.service" "$GROUP/b.service"
	reader "$G/g1" "/$BIG" /usr/bin/env -- "$GROUP/a.service"
	reader "$G/g1" "/$BIG" -- "$GROUP/b.service"
	for f in "$BIG" usr/bin/env; do
		cp -a "$G/g1/$f" "$G/g1/new"
		printf x >>"$G/g1/new"
		mv "$G/g1/new" "$G/g1/$f"
	done
	vx 0 stale --json "$G/g1"
	a=$(jq '.services[] | select(.service == "a.service")' <<<"$OUT")
	b=$(jq '.services[] | select(.service == "b.service")' <<<"$OUT")
	jq -e '.changed == 2 and .freed_bytes > 0 and .freed_bytes < .held_bytes' <<<"$a" >/dev/null || die "$a"
	jq -e '.changed == 1 and .freed_bytes == 0 and .held_bytes > 0' <<<"$b" >/dev/null || die "$b"
	# those that bring most stand first, and all together bring each file once
	eq "$(jq -c '[.services[] | .service]' <<<"$OUT")" '["a.service","b.service"]' order
	eq "$(jq .total.freed_bytes <<<"$OUT")" "$(jq .held_bytes <<<"$a")" "freed by all"
	vx 0 stale --restart-list "$G/g1"
	eq "$OUT" $'a.service\nb.service' "units of the host"
}

@test "--restart-list: units of a guest's own systemd come with the guest; nothing else is listed" {
	groups
	mkdir -p "$GROUP/g1.service/init.scope" "$GROUP/g1.service/system.slice/x.service" \
		"$GROUP/g1.service/session-1.scope"
	reader "$G/g1" "/$BIG" -- "$GROUP/g1.service/init.scope"
	reader "$G/g1" "/$BIG" -- "$GROUP/g1.service/system.slice/x.service"
	reader "$G/g1" "/$BIG" -- "$GROUP/g1.service/session-1.scope"
	rm "$G/g1/$BIG"
	vx 0 stale --restart-list "$G/g1"
	eq "$OUT" $'g1\tx.service' list
	has "$ERR" '2 programs are no services'
	vx 2 stale --restart-list --json "$G/g1"
}

@test "a guest's names with newlines do not become lines of the list, nor of the table" {
	groups
	mkdir -p "$GROUP/g1/x y.service"
	reader "$G/g1" "/$BIG" -- "$GROUP/g1/x y.service"
	mkdir "$G/g1/usr/"$'a\n\tevil.service'
	mv "$G/g1/$BIG" "$G/g1/usr/"$'a\n\tevil.service/f (deleted)'
	reader "$G/g1" $'/usr/a\n\tevil.service/f (deleted)' -- "$GROUP/g1/x y.service"
	# the file is there: its name only looks as if it was not
	vx 0 stale --json "$G/g1"
	eq "$(jq -c .services <<<"$OUT")" "[]" services
	rm "$G/g1/usr/"$'a\n\tevil.service/f (deleted)'
	vx 0 stale --restart-list "$G/g1"
	eq "$OUT" "" list
	vx 0 stale --files "$G/g1"
	eq "$(wc -l <<<"$OUT")" 2 "lines: $OUT"
}

@test "a process with half a million mappings is looked at in bounded time" {
	[[ $(</proc/sys/vm/max_map_count) -ge 65000 ]] || skip "max_map_count is small"
	background python3 -c '
import mmap, os, sys
os.chroot(sys.argv[1])
fd = os.open(sys.argv[2], os.O_RDONLY)
kept = []
try:
    for i in range(60000): kept.append(mmap.mmap(fd, 4096, prot=(mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_EXEC)[i % 2]))
except OSError: pass
print("ready", flush=True)
sys.stdin.readline()' "$G/g1" "/$BIG"
	rm "$G/g1/$BIG"
	VX_SECONDS=30 vx 0 stale --json "$G/g1"
	eq "$(of g1 removed)" 1 "removed"
}

@test "without the right to see what is mapped it says so" {
	reader "$G/g1" "/$BIG" --
	rm "$G/g1/$BIG"
	# shellcheck disable=SC2016 # expanded there
	printf '#!/bin/sh\nexec setpriv --bounding-set=-sys_admin,-checkpoint_restore --inh-caps=-sys_admin,-checkpoint_restore "%s" "$@"\n' \
		"$VUNIFY" >"$STATE/without"
	chmod +x "$STATE/without"
	VUNIFY=$STATE/without vx 3 stale --json "$G/g1"
	has "$ERR" 'does not show what is mapped'
	eq "$(jq -c .services <<<"$OUT")" "[]" services
}
