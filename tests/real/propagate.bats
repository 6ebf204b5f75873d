#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify propagate with real guests and real tools: strip and patchelf work on a template, and guests
# follow, one of them while a process of it runs. The tests follow each other on the same guests, in the order in
# which they stand here.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

BIN='ls cat cp mv date stat sort head tail tr wc env id uname mktemp find grep sed'
PATCHED='usr/bin/find usr/bin/sort usr/bin/grep'
STRIPPED='usr/bin/ls usr/bin/cat usr/bin/cp usr/bin/mv usr/bin/date usr/bin/stat usr/bin/head usr/bin/tail
	usr/bin/tr usr/bin/wc usr/bin/env usr/bin/id usr/bin/uname usr/bin/mktemp usr/bin/sed usr/bin/dash'

setup_file() {
	export PROP_WHY='' PROP_MNT='' PROP_STATE=''
	local tool
	[[ $(id -u) == 0 ]] || PROP_WHY="needs root"
	for tool in patchelf strip dpkg-deb; do
		command -v "$tool" >/dev/null || PROP_WHY="needs $tool"
	done
	[[ -n $PROP_WHY ]] || make_farm
}

make_farm() {
	local rc=0
	"$VU_TOP/tests/lib/make-guests" -m -C 2>"$BATS_FILE_TMPDIR/why" || rc=$?
	if ((rc == 77)); then
		PROP_WHY=$(tail -n 1 "$BATS_FILE_TMPDIR/why")
		return 0
	fi
	((rc == 0)) || { cat "$BATS_FILE_TMPDIR/why" >&2 && return 1; }
	if ! vu_fs_make ext4 1500; then
		PROP_WHY=$VU_FS_WHY
		return 0
	fi
	vu_tmp
	PROP_MNT=$VU_MNT PROP_STATE=$VU_DIR
	"$VU_TOP/tests/lib/make-guests" -m -r -n 3 "$VU_MNT/guests"
}

setup() {
	[[ -z $PROP_WHY ]] || skip "$PROP_WHY"
	# The guests are made once, so what belongs to them stays until the end of the file.
	STATE=$PROP_STATE MNT=$PROP_MNT CONF=$PROP_STATE/vunify.conf CAT=$PROP_STATE/catalog.db
	G=$MNT/guests
	conf </dev/null
}

teardown() {
	end_processes
}

teardown_file() {
	vu_fs_clean
}

# deb VERSION: a package with one program, which is the same in all versions
deb() {
	local d=$STATE/deb-$1
	mkdir -p "$d/DEBIAN" "$d/usr/bin"
	cp -p "$G/g01/usr/bin/seq" "$d/usr/bin/vu-tool"
	printf 'Package: vu-tool\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a tool\n' \
		"$1" >"$d/DEBIAN/control"
	SOURCE_DATE_EPOCH=1700000000 dpkg-deb --root-owner-group -b "$d" "$STATE/vu-tool-$1.deb" >/dev/null
}

# in_guest GUEST COMMAND...
in_guest() {
	local g=$1
	shift
	chroot "$G/$g" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@" </dev/null
}

@test "real guests: one is the template of three, which share their files" {
	deb 1
	deb 2
	for g in g01:1 g02:1 g03:2; do
		cp "$STATE/vu-tool-${g#*:}.deb" "$G/${g%:*}/var/tmp/x.deb"
		in_guest "${g%:*}" dpkg -i /var/tmp/x.deb >"$STATE/dpkg" 2>&1 || die "$(<"$STATE/dpkg")"
		rm "$G/${g%:*}/var/tmp/x.deb"
	done
	vx 0 scan --json "$G"/g0?
	((10#$(sum_of names_unified) > 5000)) || die "only $(sum_of names_unified) names"
	vx 0 template add g01
	same "$G/g01/usr/bin/ls" "$G/g03/usr/bin/ls"
	same "$G/g01/usr/bin/vu-tool" "$G/g03/usr/bin/vu-tool"
	say_manifest "$G/g02" | sort >"$STATE/g02-before"
	say_manifest "$G/g03" | sort >"$STATE/g03-before"
}

@test "real guests: strip and patchelf on the template; a guest that runs follows, and no other one" {
	# A shell of the guest, which has its libc and its dash mapped.
	background chroot "$G/g02" /bin/dash -c 'echo ready; read -r _; x=$(/usr/bin/ls /usr); echo "$x" >/var/tmp/said'
	local paths=()
	for f in $STRIPPED $PATCHED usr/bin/vu-tool; do
		paths+=("$G/g01/$f")
	done
	vx 0 unmerge "${paths[@]}"
	for f in $STRIPPED usr/bin/vu-tool; do
		strip -p --remove-section=.gnu_debuglink --remove-section=.note.gnu.build-id "$G/g01/$f"
	done
	for f in $PATCHED; do
		patchelf --set-rpath '$ORIGIN/../lib/vu' "$G/g01/$f"
	done
	cmp -s "$G/g01/usr/bin/ls" "$G/g02/usr/bin/ls" && die "strip has changed nothing"
	vx 0 propagate --trust-guests --json g02
	n=$(wc -w <<<"$STRIPPED $PATCHED usr/bin/vu-tool")
	eq "$(sum_of names)" "$n" "files that followed"
	for f in $STRIPPED $PATCHED usr/bin/vu-tool; do
		same "$G/g01/$f" "$G/g02/$f"
		is_object "$G/g02/$f"
	done
	has "$(patchelf --print-rpath "$G/g02/usr/bin/find")" 'lib/vu'
	say_manifest "$G/g03" | sort >"$STATE/g03-after"
	same_text "$STATE/g03-before" "$STATE/g03-after" "the guest that was not named"
	say_manifest "$G/g02" | sort | grep -v '^/\?var/tmp' >"$STATE/g02-after"
	eq "$(comm -13 "$STATE/g02-before" "$STATE/g02-after" | wc -l)" "$n" "lines that are other in the guest's manifest"
	# The process goes on with what it has mapped, and finds the new files.
	echo >&"$BG_IN"
	wait_until test -s "$G/g02/var/tmp/said"
	has "$(<"$G/g02/var/tmp/said")" '^bin$'
}

@test "real guests: programs work, and dpkg says of the guest's files what it says of the template's" {
	for p in $BIN vu-tool; do
		in_guest g02 "$p" --version >"$STATE/says" 2>&1 || die "$p: $(<"$STATE/says")"
	done
	for g in g01 g02; do
		in_guest "$g" dpkg --verify >"$STATE/verify-$g" 2>&1 || :
	done
	grep -q '^??5.*/bin/ls$' "$STATE/verify-g01" || die "dpkg finds nothing: $(<"$STATE/verify-g01")"
	same_text "$STATE/verify-g01" "$STATE/verify-g02" "dpkg --verify"
}

@test "real guests: the others follow later, but for a package of another version" {
	vx 0 propagate --json
	n=$(wc -w <<<"$STRIPPED $PATCHED")
	eq "$(sum_of names)" "$n" "files that followed"
	eq "$(jq -r 'select(.type == "left") | [.guest, .path, .why] | @tsv' <<<"$OUT")" $'g03\tusr/bin/vu-tool\tversion' "what is left"
	same "$G/g01/usr/bin/sort" "$G/g03/usr/bin/sort"
	differ "$G/g01/usr/bin/vu-tool" "$G/g03/usr/bin/vu-tool"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
	vx 0 scan --json
	eq "$(sum_of names_unified)" 0 "names that a scan unifies behind it"
}

@test "real guests: unmerge gives each guest its own" {
	vx 0 unmerge
	eq "$(n_objects)" 0 objects
	cmp "$G/g01/usr/bin/find" "$G/g02/usr/bin/find"
}
