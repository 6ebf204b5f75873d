#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Memory of real services: nginx, redis, python3, perl and bash in 8 chroot guests, started cold; before and after a scan,
# and a restart. The tests follow each other on the same guests, in the order in which they stand here.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
# shellcheck source=tests/lib/guest-services.bash
. "$BATS_TEST_DIRNAME/../lib/guest-services.bash"

N=8
LIBC=usr/lib/x86_64-linux-gnu/libc.so.6

setup_file() {
	export MEM_WHY='' MEM_IMG='' MEM_MNT='' MEM_STATE=''
	[[ $(id -u) == 0 ]] || MEM_WHY="needs root"
	[[ -n $MEM_WHY ]] || make_farm ext4
}

# Without what no service has open: copying it takes the longest.
make_farm() {
	local rc=0
	"$VU_TOP/tests/lib/make-guests" -C -s 2>"$BATS_FILE_TMPDIR/why" || rc=$?
	if ((rc == 77)); then
		MEM_WHY=$(tail -n 1 "$BATS_FILE_TMPDIR/why")
		return 0
	fi
	((rc == 0)) || { cat "$BATS_FILE_TMPDIR/why" >&2 && return 1; }
	if ! vu_fs_make "$1" 3000; then
		MEM_WHY=$VU_FS_WHY
		return 0
	fi
	guests_of_services "$VU_MNT/guests"
	vu_tmp
	MEM_IMG=$VU_IMG MEM_MNT=$VU_MNT MEM_STATE=$VU_DIR
}

guests_of_services() {
	local i
	"$VU_TOP/tests/lib/make-guests" -s -r -n 1 "$1"
	rm -rf --one-file-system "$1"/g01/usr/share/{doc,locale,man,info,zoneinfo} "$1"/g01/var/{lib/apt,cache}
	for ((i = 2; i <= N; i++)); do
		cp -a --reflink=never "$1/g01" "$1/g0$i"
	done
}

setup() {
	[[ -z $MEM_WHY ]] || skip "$MEM_WHY"
	# The guests are made once, so what belongs to them stays until the end of the file.
	STATE=$MEM_STATE MNT=$MEM_MNT CONF=$MEM_STATE/vunify.conf CAT=$MEM_STATE/catalog.db
	G=$MNT/guests
	conf </dev/null
	[[ ! -f $STATE/services ]] || . "$STATE/services"
}

teardown_file() {
	[[ ! -f ${MEM_STATE:-}/services ]] || . "$MEM_STATE/services"
	services_stop
	vu_fs_clean
}

# The tests are processes of their own: what was started is handed on by a file.
start() {
	sync -f "$MNT"
	umount "$MNT"
	mount -o loop "$MEM_IMG" "$MNT"
	# somebody else may have the mount in a namespace of his own: then nothing became cold by that
	"$VU_TOP/tests/lib/resident" --drop "$G" >/dev/null
	services_start "$G"/*
	declare -p SERVICES_PIDS SERVICES_GROUP >"$STATE/services"
	sed -i 's/^declare -- /declare -g /' "$STATE/services"
}

stop() {
	services_stop
	rm -f "$STATE/services"
}

# near A B PER-MILLE
near() {
	local d=$(($1 > $2 ? $1 - $2 : $2 - $1))
	((d * 1000 <= $2 * $3)) || die "$4: $1, and $2"
}

need_frames() {
	vx 0 mem --json "$G/g01" || skip "the kernel shows no page frames"
}

# What the kernel says is mapped of what the guests' cgroups are charged.
mapped_by_cgroup() {
	[[ -n $SERVICES_GROUP ]] || return 1
	awk '$1 == "total_mapped_file" || (FILENAME !~ /\/memory\/vu/ && $1 == "file_mapped") { n += $2 } END { print n }' \
		"$SERVICES_GROUP"/*/memory.stat
}

@test "8 guests with services: pages by frame are what the cgroups say; nothing is shared" {
	start
	need_frames
	"$VU_TOP/tests/lib/resident" "$G" >"$STATE/resident"
	vx 0 mem --json "$G"/*
	cp "$STATE/out" "$STATE/mem-before"
	eq "$(jq '.total.processes' <<<"$OUT")" 64 processes
	eq "$(jq '[.guests[].file_shared_bytes] | add' <<<"$OUT")" 0 "bytes of files that are shared"
	near "$(jq '.total.file_fair_bytes' <<<"$OUT")" "$(mapped_by_cgroup)" 10 "file pages, and what the cgroups say"
}

@test "8 guests with services: the scan frees at once what was predicted" {
	local was after held
	was=$(<"$STATE/resident")
	vx 0 mem --estimate --json "$G"/*
	cp "$STATE/out" "$STATE/estimate"
	vx 0 scan --trust-guests "$G"/*
	after=$("$VU_TOP/tests/lib/resident" "$G")
	vx 0 stale --json
	held=$(jq .total.held_bytes <<<"$OUT")
	# pages that nobody has mapped may go meanwhile, of files that stay
	near "$(jq .total.freed_now_bytes "$STATE/estimate")" "$((was - after - held))" 100 "freed at once"
}

@test "8 guests with services: what runs on holds the rest; all of it is the same" {
	vx 0 stale --json
	jq -e '.total | .changed == 0 and .removed == 0 and .unknown == 0 and .same > 300' <<<"$OUT" >/dev/null || die "$OUT"
	# the keeper is one guest's: nothing of it is replaced
	eq "$(jq '[.services[].guest] | unique | length' <<<"$OUT")" $((N - 1)) "guests with services to restart"
	jq -e '[.services[].freed_bytes] | . == (sort | reverse)' <<<"$OUT" >/dev/null || die "not sorted"
}

# What needrestart takes for outdated: by the last thing that it says of such a process.
outdated() {
	local tree=$G/g01
	PERL5LIB=$tree/usr/share/perl5:$tree/usr/lib/x86_64-linux-gnu/perl5/5.36 \
		PATH=$STATE/bin:$PATH perl "$tree/usr/sbin/needrestart" -c "$1" -l -v -r l -m a 2>&1 </dev/null |
		sed -n 's/.*#\([0-9]*\) \(is a child of\|is not a child\|part of user session\).*/\1/p' | sort -u
}

# of_guest PID...: those of them whose root is this guest's
of_guest() {
	local root=$1 pid
	shift
	for pid in "$@"; do
		[[ $(readlink "/proc/$pid/root") != "$root" ]] || printf '%s\n' "$pid"
	done
}

@test "8 guests with services: needrestart, with the snippet, reports what is outdated only" {
	[[ -x $G/g01/usr/sbin/needrestart ]] || skip "the guests have no needrestart"
	command -v perl >/dev/null || skip "needs perl"
	mkdir -p "$STATE/bin"
	# shellcheck disable=SC2016 # expanded there
	printf '#!/bin/sh\nexec "%s" --config "%s" --catalog "%s" "$@"\n' "$VUNIFY" "$CONF" "$CAT" >"$STATE/bin/vunify"
	chmod +x "$STATE/bin/vunify"
	# shellcheck disable=SC2016 # perl's
	printf '$nrconf{interpscan} = 0; $nrconf{hook_d} = "%s/g01/etc/needrestart/hook.d";\n' "$G" >"$STATE/plain.conf"
	{
		cat "$STATE/plain.conf"
		# the snippet sets a safe PATH of its own
		sed "s#local \$ENV{PATH} = '#&$STATE/bin:#" "$VU_TOP/contrib/needrestart/vunify.conf"
	} >"$STATE/with.conf"
	mapfile -t found < <(outdated "$STATE/plain.conf")
	mapfile -t found < <(of_guest "$G/g02" "${found[@]}")
	((${#found[@]} > 0)) || die "needrestart without the snippet reports nothing: this test proves nothing"
	mapfile -t found < <(outdated "$STATE/with.conf")
	mapfile -t found < <(of_guest "$G/g02" "${found[@]}")
	eq "${found[*]}" "" "processes of g02 with the snippet"
	# libssl is upgraded in g02: who has it is outdated, and nobody else
	vu unmerge "$G"/g02/usr/lib/x86_64-linux-gnu/libssl.so.3 >/dev/null
	printf x >>"$G/g02/usr/lib/x86_64-linux-gnu/libssl.so.3"
	vx 0 stale --json g02
	jq -e '[.services[] | select(.changed > 0) | .service] | index("nginx") and (index("bash") | not)' <<<"$OUT" >/dev/null ||
		die "$OUT"
	mapfile -t found < <(outdated "$STATE/with.conf")
	mapfile -t found < <(of_guest "$G/g02" "${found[@]}")
	for pid in "${found[@]}"; do
		cat "/proc/$pid/comm"
	done | sort -u >"$STATE/outdated"
	has "$(<"$STATE/outdated")" '^nginx$'
	hasnt "$(<"$STATE/outdated")" '^(bash|perl|sleep)$'
	truncate -s -1 "$G/g02/usr/lib/x86_64-linux-gnu/libssl.so.3"
	touch -r "$G/g01/usr/lib/x86_64-linux-gnu/libssl.so.3" "$G/g02/usr/lib/x86_64-linux-gnu/libssl.so.3"
	vx 0 scan --trust-guests
	same "$G/g01/usr/lib/x86_64-linux-gnu/libssl.so.3" "$G/g02/usr/lib/x86_64-linux-gnu/libssl.so.3"
}

@test "8 guests with services: after a restart the memory is as predicted, and shared" {
	local was after
	was=$(<"$STATE/resident")
	stop
	start
	after=$("$VU_TOP/tests/lib/resident" "$G")
	near "$(jq .total.freed_bytes "$STATE/estimate")" "$((was - after))" 20 "freed in the end"
	vx 0 stale --json
	eq "$(jq -c .services <<<"$OUT")" "[]" "services with replaced files"
	vx 0 mem --json
	eq "$(jq '.total.processes' <<<"$OUT")" 64 processes
	near "$(jq '.total.file_fair_bytes' <<<"$OUT")" "$(mapped_by_cgroup)" 10 "file pages, and what the cgroups say"
	was=$(jq .total.file_fair_bytes "$STATE/mem-before")
	(($(jq .total.file_fair_bytes <<<"$OUT") * 6 < was)) || die "file pages: $was before, now $OUT"
	# each has as much of it as before: what was eight times there is shared
	near "$(jq '.guests[0] | .file_own_bytes + .file_shared_bytes' <<<"$OUT")" \
		"$(jq '.guests[0].file_own_bytes' "$STATE/mem-before")" 20 "what one guest has mapped"
	mapfile -t paths < <(printf '%s\n' "$G"/*/"$LIBC")
	vx 0 mem --prove --json "${paths[@]}"
	jq -e '.same and .pages_equal > 100' <<<"$OUT" >/dev/null
	stop
}

# The same on another file system: from the copies to the restart.
other_fs() {
	[[ ${VU_NIGHTLY:-} == 1 ]] || skip "only in the nightly form"
	local was after
	# of a test that has failed
	stop
	vu_fs_need "$1" 3500
	MEM_IMG=$VU_IMG MNT=$VU_MNT G=$VU_MNT/guests
	guests_of_services "$G"
	rm -f "$CAT"*
	start
	was=$("$VU_TOP/tests/lib/resident" "$G")
	vx 0 mem --json "$G"/*
	near "$(jq '.total.file_fair_bytes' <<<"$OUT")" "$(mapped_by_cgroup)" 10 "file pages, and what the cgroups say"
	vx 0 mem --estimate --json "$G"/*
	cp "$STATE/out" "$STATE/estimate"
	vx 0 scan --trust-guests "$G"/*
	vx 0 stale --json
	jq -e '.total | .changed == 0 and .removed == 0 and .same > 300' <<<"$OUT" >/dev/null || die "$OUT"
	stop
	start
	after=$("$VU_TOP/tests/lib/resident" "$G")
	near "$(jq .total.freed_bytes "$STATE/estimate")" "$((was - after))" 20 "freed in the end"
	vx 0 mem --prove "$G"/*/"$LIBC"
	# copies that share extents only have pages of their own
	cp --reflink=always "$G/g01/$LIBC" "$MNT/reflinked"
	cat "$G/g01/$LIBC" "$MNT/reflinked" >/dev/null
	vx 1 mem --prove "$G/g01/$LIBC" "$MNT/reflinked"
	stop
}

@test "8 guests with services: the same on XFS; reflinked copies share nothing" {
	other_fs xfs
}

@test "8 guests with services: the same on btrfs; reflinked copies share nothing" {
	other_fs btrfs
}

@test "two overlays on a common lower share its pages" {
	mkdir -p "$MNT/over"/{u1,w1,m1,u2,w2,m2}
	mount -t overlay overlay -o "lowerdir=$G/g01,upperdir=$MNT/over/u1,workdir=$MNT/over/w1" "$MNT/over/m1" ||
		skip "no overlay can be mounted"
	mount -t overlay overlay -o "lowerdir=$G/g01,upperdir=$MNT/over/u2,workdir=$MNT/over/w2" "$MNT/over/m2"
	cat "$MNT/over/m1/$LIBC" >/dev/null
	vx 0 mem --prove "$MNT/over/m1/$LIBC" "$MNT/over/m2/$LIBC" "$G/g01/$LIBC"
	umount "$MNT/over/m1" "$MNT/over/m2"
}
