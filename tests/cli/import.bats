#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify import: a guest from an archive, linked where the pool has it.

load ../lib/farm
load ../lib/sabotage

BIG=usr/share/vu/big

# Room for what comes out of a bomb before it is known for one.
setup_file() {
	farm_template 3 160
}

same_tree() {
	say_manifest "$1" >"$STATE/a"
	say_manifest "$2" >"$STATE/b"
	same_text "$STATE/a" "$STATE/b"
}

# Nothing of an import: no root, nothing in the pool, no guest.
nothing_of() {
	[[ ! -e $G/$1 ]] || die "$1 is there"
	[[ ! -e $MNT/.vunify/trees ]] || die "left in the pool: $(find "$MNT/.vunify/trees" | head)"
	hasnt "$(vu guests --no-legend 2>/dev/null || :)" "(^|/)$1 "
}

exported() {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 export g1 -o "$STATE/g1.tar"
}

@test "what the pool has is linked, and the rest is written, as it was" {
	exported
	echo own >"$G/g1/usr/share/own"
	vx 0 export g1 -o "$STATE/g1.tar"
	vx 0 import --setid --json "$STATE/g1.tar" new --in "$G"
	same_tree "$G/g1" "$G/new"
	same "$G/g1/$BIG" "$G/new/$BIG"
	is_object "$G/new/$BIG"
	is_private "$G/new/usr/share/own"
	(($(sum_of names_unified) > 100)) || die "few were linked: $OUT"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "a scan finds nothing to do for what was linked" {
	exported
	vx 0 import --setid --json "$STATE/g1.tar" new --in "$G"
	n=$(sum_of names_unified)
	vx 0 scan --json new
	eq "$(jq -rs 'last | .total.unified_before' <<<"$OUT")" "$n" "names found unified"
	eq "$(sum_of names_unified)" 0 "names unified then"
}

@test "all that a tree has comes through export and import" {
	"$VU_TOP/tests/lib/rich-tree" "$G/rich"
	vx 0 export "$G/rich" -o "$STATE/x.tar"
	vx 0 import --setid --devices "$STATE/x.tar" "$G/again"
	same_tree "$G/rich" "$G/again"
	eq "$(stat -c %b "$G/again/usr/lib/hole")" 0 "blocks of a hole"
}

@test "so does what GNU tar and bsdtar have written" {
	"$VU_TOP/tests/lib/rich-tree" "$G/rich"
	tar --numeric-owner --xattrs --xattrs-include='*' --acls --sparse --format=pax -C "$G/rich" -cf "$STATE/gnu.tar" .
	# it writes fractions of seconds as decimals, the same
	vx 0 import --setid --devices "$STATE/gnu.tar" gnu --in "$G"
	same_tree "$G/rich" "$G/gnu"
	command -v bsdtar >/dev/null || skip "needs bsdtar"
	bsdtar --numeric-owner --format=pax -C "$G/rich" --no-fflags -cf "$STATE/bsd.tar" .
	vx 0 import --setid --devices "$STATE/bsd.tar" bsd --in "$G"
	same_tree "$G/rich" "$G/bsd"
}

@test "each compression is read, from a file and from a pipe" {
	for how in zstd xz gzip none; do
		vx 0 export --compress="$how" "$G/g1" -o "$STATE/x"
		vx 0 import --setid "$STATE/x" "$G/$how"
		same_tree "$G/g1" "$G/$how"
	done
	zstd -dcq <"$STATE/x" 2>/dev/null | true
	tar -C "$G/g1" --numeric-owner --xattrs --xattrs-include='*' --format=pax -cf - . | bzip2 -1 >"$STATE/x.bz2"
	vu import --setid - "$G/piped" <"$STATE/x.bz2" >/dev/null || die "from a pipe"
	same_tree "$G/g1" "$G/piped"
}

@test "-n says what a run does, and leaves nothing" {
	exported
	vx 0 import -n --setid --json "$STATE/g1.tar" new --in "$G"
	dry=$(jq -cs 'last | [.names_unified, .files_written, .bytes_written, .saved_bytes, .dirs]' <<<"$OUT")
	nothing_of new
	vx 0 import --setid --json "$STATE/g1.tar" new --in "$G"
	eq "$(jq -cs 'last | [.names_unified, .files_written, .bytes_written, .saved_bytes, .dirs]' <<<"$OUT")" "$dry" "numbers of the run"
}

@test "the new guest is registered, in the domain that was asked for" {
	exported
	vx 0 import --setid --domain=other --json "$STATE/g1.tar" new --in "$G"
	eq "$(sum_of names_unified)" 0 "names shared with another domain"
	eq "$(vu guests --json | jq -r '.guests[] | select(.guest == "new") | .domain + " " + .path')" "other $G/new" guest
}

@test "a name alone does not say where, and a place that is taken stays what it is" {
	vx 0 export "$G/g1" -o "$STATE/x"
	vx 2 import "$STATE/x" new
	has "$ERR" 'name the directory by --in DIR'
	vx 2 import "$STATE/x" a/b --in "$G"
	mkdir "$G/taken"
	vx 2 import --setid "$STATE/x" taken --in "$G"
	has "$ERR" 'there is something already'
	rmdir "$G/taken"
	vx 12 import --setid "$STATE/x" "$G/none/../g1/inner" || vx 1 import --setid "$STATE/x" "$G/none/../g1/inner"
	vx 0 scan "$G/g1" "$G/g2"
	vx 12 import --setid "$STATE/x" inner --in "$G/g1/usr"
	has "$ERR" 'in the root of a guest'
	vx 2 import --setid "$STATE/x" g2 --in "$MNT"
	has "$ERR" 'another guest has this name'
}

@test "rules, lock files and configuration files of packages keep files private" {
	for g in g1 g2; do
		mkdir -p "$G/$g"/usr/share/app "$G/$g"/var/lib/dpkg/info
		echo conf >"$G/$g/usr/share/app/app.conf"
		echo held >"$G/$g/usr/share/app/app.lock"
		echo plain >"$G/$g/usr/share/app/app.data"
		touch -d @1600000000 "$G/$g"/usr/share/app/*
	done
	vx 0 scan "$G/g1" "$G/g2"
	is_object "$G/g1/usr/share/app/app.conf"
	vx 0 export g1 -o "$STATE/x"
	mkdir -p "$STATE/add/var/lib/dpkg/info"
	echo /usr/share/app/app.conf >"$STATE/add/var/lib/dpkg/info/app.conffiles"
	zstd -dq "$STATE/x" -o "$STATE/x.tar" 2>/dev/null || vx 0 export --compress=none g1 -o "$STATE/x.tar"
	tar -C "$STATE/add" -rf "$STATE/x.tar" ./var/lib/dpkg/info/app.conffiles
	vx 0 import --setid "$STATE/x.tar" new --in "$G"
	is_private "$G/new/usr/share/app/app.conf"
	eq "$(<"$G/new/usr/share/app/app.conf")" conf content
	eq "$(stat -c '%Y %a %u' "$G/new/usr/share/app/app.conf")" "1600000000 644 0" metadata
	is_private "$G/new/usr/share/app/app.lock"
	is_object "$G/new/usr/share/app/app.data"
	is_private "$G/new/etc/passwd"
}

@test "a hard link with one name where nothing is unified stays one private file" {
	for g in g1 g2; do
		echo both >"$G/$g/usr/share/both"
		touch -d @1600000000 "$G/$g/usr/share/both"
	done
	vx 0 scan "$G/g1" "$G/g2"
	is_object "$G/g1/usr/share/both"
	vx 0 export --compress=none g1 -o "$STATE/x.tar"
	mkdir -p "$STATE/add/usr/share" "$STATE/add/etc"
	cp -p "$G/g1/usr/share/both" "$STATE/add/usr/share/both"
	ln "$STATE/add/usr/share/both" "$STATE/add/etc/both"
	tar -C "$STATE/add" --format=pax -rf "$STATE/x.tar" ./usr/share/both ./etc/both
	vx 0 import --setid "$STATE/x.tar" new --in "$G"
	same "$G/new/usr/share/both" "$G/new/etc/both"
	is_private "$G/new/etc/both"
	eq "$(<"$G/new/etc/both")" both content
}

@test "two equal files of a guest stay two" {
	for g in g1 g2; do
		seq 500 >"$G/$g/usr/share/one"
		touch -d @1600000000 "$G/$g/usr/share/one"
	done
	vx 0 scan "$G/g1" "$G/g2"
	cp -a --remove-destination "$G/g1/usr/share/one" "$G/g1/usr/share/other"
	vx 0 export g1 -o "$STATE/x"
	vx 0 import --setid "$STATE/x" new --in "$G"
	differ "$G/new/usr/share/one" "$G/new/usr/share/other"
	# whichever the archive has first
	n=0
	for f in one other; do
		! flagged "$G/new/usr/share/$f" || n=$((n + 1))
	done
	eq "$n" 1 "how many are linked"
	eq "$(<"$G/new/usr/share/other")" "$(seq 500)" content
}

@test "nothing is linked to a damaged object, and that is told" {
	exported
	chattr -i "$G/g1/$BIG"
	printf 'damage' | dd of="$G/g1/$BIG" conv=notrunc status=none
	touch -d "@$(stat -c %.9Y "$G/g2/usr/share/vu/f1")" "$G/g1/$BIG"
	chattr +i "$G/g1/$BIG"
	vx 4 import --setid "$STATE/g1.tar" new --in "$G"
	has "$ERR" 'an object is damaged'
	is_private "$G/new/$BIG"
	eq "$(head -n 1 "$G/new/$BIG")" 1 "its first line"
}

@test "an object that is open for writing is not linked, but copied" {
	exported
	object=$G/g1/$BIG
	chattr -i "$object"
	background python3 -c "
import sys
f = open('$object', 'r+b')
print('ready', flush=True)
sys.stdin.readline()"
	chattr +i "$object"
	vu import --setid "$STATE/g1.tar" new --in "$G" >/dev/null 2>"$STATE/err" || :
	[[ -e $G/new ]] || die "$(<"$STATE/err")"
	is_private "$G/new/$BIG"
	eq "$(sha256sum <"$G/new/$BIG")" "$(sha256sum <"$object")" content
}

@test "archives that mean harm are refused, and touch nothing outside" {
	mkdir "$STATE/bad" "$STATE/outside"
	echo victim >"$STATE/outside/victim"
	"$VU_TOP/tests/lib/bad-archives" "$STATE/bad" "$STATE/outside"
	ls -li --time-style=full-iso "$STATE/outside" >"$STATE/before"
	n=0
	while IFS=$'\t' read -r name want opts says; do
		[[ $opts != - ]] || opts=''
		rc=0
		# shellcheck disable=SC2086 # options are words
		vu import $opts "$STATE/bad/$name" evil --in "$G" >"$STATE/o" 2>"$STATE/e" || rc=$?
		eq "$rc" "$want" "$name: status ($(head -c 300 "$STATE/e"))"
		[[ $says == - ]] || has "$(<"$STATE/e")" "$says"
		if ((want == 0 || want == 3)); then
			[[ -d $G/evil ]] || die "$name: is not there"
			vu guests remove evil >/dev/null
			rm -rf "$G/evil"
		fi
		nothing_of evil
		n=$((n + 1))
	done <"$STATE/bad/list"
	ls -li --time-style=full-iso "$STATE/outside" >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	((n > 80)) || die "only $n archives"
}

@test "what follows a symbolic link, and what is later in the archive, comes to its place" {
	mkdir "$STATE/bad" "$STATE/outside"
	echo victim >"$STATE/outside/victim"
	"$VU_TOP/tests/lib/bad-archives" "$STATE/bad" "$STATE/outside"
	for t in inside:usr/bin/tool inside-absolute:usr/bin/tool to-top:in-root odd-but-good:a/b/c/d file-then-dir:d/a \
		link-then-dir:d/victim; do
		vx 0 import "$STATE/bad/${t%%:*}" "$G/${t%%:*}"
		[[ -f $G/${t%%:*}/${t#*:} && ! -L $G/${t%%:*}/${t#*:} ]] || die "$t is not there"
	done
	for t in link-then-file:f:evil link-hard-then-file:b:evil twice:a:3333 dir-then-file:d:x; do
		IFS=: read -r name file content <<<"$t"
		vx 0 import "$STATE/bad/$name" "$G/$name"
		[[ ! -L $G/$name/$file ]] || die "$name: $file is a link"
		eq "$(<"$G/$name/$file")" "$content" "$name: $file"
	done
	vx 0 import "$STATE/bad/whiteout-plain" "$G/plain"
	[[ -e $G/plain/a && -e $G/plain/.wh.a ]]
	eq "$(<"$STATE/outside/victim")" victim "what they were after"
}

# Something of each kind, as DIR/BEFORE-KIND; the pool knows one.
each_kind() {
	local to=$1/$2
	mkdir -p "$1/to"
	echo "a small file of $2" >"$to-file"
	: >"$to-empty"
	head -c 1100000 /dev/urandom >"$to-large" # more than is gathered in memory
	cp -a "$G/g1/usr/share/vu/known-$2" "$to-known"
	ln -s "to/$2" "$to-symlink"
	mkfifo "$to-fifo"
	echo "$2" >"$1/to/$2"
	ln "$1/to/$2" "$to-hard"
	# deeper than is removed in place
	mkdir -p "$to-dir/$(printf 'd/%.0s' {1..120})"
	echo leaf >"$to-dir/d/leaf"
}

@test "a later member takes the place of an earlier one, of whatever kind it is" {
	for k in was file known dir; do # two equal files of a guest would stay two
		echo "known $k" | tee "$G/g1/usr/share/vu/known-$k" >"$G/g2/usr/share/vu/known-$k"
		touch -d @1600000000 "$G"/g[12]/usr/share/vu/known-"$k"
	done
	vx 0 scan "$G"/g1 "$G"/g2
	mkdir "$STATE"/{first,second}
	for kind in file known dir; do
		each_kind "$STATE" was
		each_kind "$STATE/second" "$kind"
		for k in file empty large known symlink fifo hard dir; do
			cp -a "$STATE/was-$kind" "$STATE/first/$kind-$k"
		done
		rm -rf "$STATE"/was-*
	done
	for t in first second; do
		tar --numeric-owner --format=pax -C "$STATE/$t" -rf "$STATE/x.tar" .
	done
	vx 0 import "$STATE/x.tar" new --in "$G"
	same_tree "$STATE/second" "$G/new"
	for kind in file known dir; do
		is_object "$G/new/$kind-known"
	done
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "holes of a file stay holes, whether it is known or not" {
	for f in "$G"/{g1,g2}/usr/known-hole; do
		truncate -s 300000 "$f"
		echo end >>"$f"
		touch -d @1600000000 "$f"
	done
	vx 0 scan "$G"/g1 "$G"/g2
	is_object "$G/g1/usr/known-hole"
	mkdir "$STATE/t"
	cp -a --sparse=always "$G/g1/usr/known-hole" "$STATE/t"
	printf begin >"$STATE/t/own-hole"
	truncate -s 200000 "$STATE/t/own-hole"
	printf middle >>"$STATE/t/own-hole"
	truncate -s 400000 "$STATE/t/own-hole"
	tar --numeric-owner --format=pax --sparse -C "$STATE/t" -cf "$STATE/x.tar" .
	vx 0 import "$STATE/x.tar" new --in "$G"
	same_tree "$STATE/t" "$G/new"
	same "$G/g1/usr/known-hole" "$G/new/known-hole"
	eq "$(stat -c %b "$G/new/own-hole")" 16 "blocks of one that is not known"
}

@test "an import changes nothing outside of the pool and its one new name" {
	command -v strace >/dev/null || skip "needs strace"
	exported
	strace -f -y -qq -o "$STATE/trace" "$VUNIFY" --config "$CONF" --catalog "$CAT" import --setid "$STATE/g1.tar" \
		new --in "$G" >/dev/null
	eq "$("$VU_TOP/tests/lib/strace-mutations" "$STATE/trace" "$G" | grep -c renameat2)" 1 "renames to where guests are"
	hasnt "$("$VU_TOP/tests/lib/strace-mutations" "$STATE/trace" "$G" "$STATE/outside" /etc | grep -v renameat2 | grep -v "$MNT/.vunify" || :)" '[a-z]'
}

@test "the process that takes an archive apart has nothing that could do harm" {
	exported
	command -v strace >/dev/null || skip "needs strace"
	# stopped while it reads: read(2) of its input is delayed
	mkfifo "$STATE/slow"
	(vu import --setid - new --in "$G" <"$STATE/slow" >/dev/null 2>&1 || :) &
	exec 7>"$STATE/slow"
	head -c 600 "$STATE/g1.tar" >&7
	reader=''
	find_reader() {
		reader=$(pgrep -u nobody -x vunify | head -n 1)
		[[ -n $reader ]]
	}
	wait_until find_reader
	status=$(<"/proc/$reader/status")
	fds=$(find "/proc/$reader/fd" -mindepth 1 -printf '%f %l\n')
	exec 7>&-
	wait
	has "$status" $'Uid:\t65534\t65534\t65534\t65534'
	has "$status" $'CapEff:\t0000000000000000'
	has "$status" $'CapPrm:\t0000000000000000'
	has "$status" $'NoNewPrivs:\t1'
	has "$status" $'Seccomp:\t2'
	eq "$(wc -l <<<"$fds")" 2 "descriptors: $fds"
}

@test "the process that takes an archive apart lies about digests: nothing is linked that is not equal" {
	local good=$VUNIFY rc=0
	command -v ninja >/dev/null || skip "needs ninja"
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	# of a plain archive all digests are its
	vx 0 export --compress=none g1 -o "$STATE/g1.tar"
	say_manifest "$G"/g? >"$STATE/before"
	sabotaged LIE
	vx 4 import --setid "$STATE/g1.tar" new --in "$G" || rc=1
	VUNIFY=$good
	((rc == 0)) || return
	has "$ERR" "the process that reads it has failed"
	nothing_of new
	say_manifest "$G"/g? >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "limits of the configuration hold" {
	vx 0 export "$G/g1" -o "$STATE/x"
	conf <<<$'[limits]\nmax_files = 10'
	vx 12 import --setid "$STATE/x" new --in "$G"
	has "$ERR" 'max_files'
	conf <<<$'[limits]\nmax_depth = 2'
	vx 12 import --setid "$STATE/x" new --in "$G"
	has "$ERR" 'max_depth'
	conf <<<$'[limits]\nmax_import_bytes = 10K'
	vx 12 import --setid "$STATE/x" new --in "$G"
	has "$ERR" 'max_import_bytes'
	conf <<<$'[limits]\nmax_xattr_bytes = 3'
	vx 12 import --setid "$STATE/x" new --in "$G"
	has "$ERR" 'max_xattr_bytes'
	nothing_of new
}

@test "a full disk is status 13, and nothing is left" {
	vx 0 export "$G/g1" -o "$STATE/x"
	truncate -s 5M "$STATE/small.img"
	mkfs.ext4 -q -F "$STATE/small.img"
	mkdir "$STATE/small"
	mount -o loop "$STATE/small.img" "$STATE/small"
	rmdir "$STATE/small/lost+found"
	vu import --setid "$STATE/x" new --in "$STATE/small" >/dev/null 2>"$STATE/err" && rc=0 || rc=$?
	left=$(find "$STATE/small" -mindepth 1 -not -path '*/.vunify/*' -not -name .vunify; find "$STATE/small/.vunify" -name trees)
	umount "$STATE/small"
	eq "$rc" 13 "status ($(<"$STATE/err"))"
	eq "$left" '' left
}

@test "space for one directory of two leaves none behind" {
	command -v strace >/dev/null || skip "needs strace"
	exported
	# where the place of the tree is made: the directory for places was
	strace -f -qq -o /dev/null -P "$MNT/.vunify/trees" -e trace=mkdirat -e inject=mkdirat:error=ENOSPC:when=1 \
		"$VUNIFY" --config "$CONF" --catalog "$CAT" import --setid "$STATE/g1.tar" new --in "$G" >/dev/null 2>"$STATE/err" &&
		rc=0 || rc=$?
	eq "$rc" 13 "status ($(<"$STATE/err"))"
	nothing_of new
}

@test "a file system that can have no pool is refused before anything is read" {
	vx 0 export "$G/g1" -o "$STATE/x"
	mkdir "$STATE/tmpfs"
	mount -t tmpfs none "$STATE/tmpfs"
	vu import --setid "$STATE/x" new --in "$STATE/tmpfs" >/dev/null 2>"$STATE/err" && rc=0 || rc=$?
	umount "$STATE/tmpfs"
	eq "$rc" 12 status
	has "$(<"$STATE/err")" 'cannot hold what unifying needs'
}

@test "killed at any time nothing of it is left behind the next run, and the others are what they were" {
	command -v strace >/dev/null || skip "needs strace"
	exported
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/before"
	calls=mkdirat,mknodat,unlinkat,linkat,fsetxattr,fchmod,renameat2,syncfs,ioctl,utimensat,openat2
	strace -f -qq -o "$STATE/trace" -e "trace=$calls" "$VUNIFY" --config "$CONF" --catalog "$CAT" import --setid \
		"$STATE/g1.tar" whole --in "$G" >/dev/null
	total=$(wc -l <"$STATE/trace")
	step=$((total / 6))
	[[ ${VU_NIGHTLY:-} != 1 ]] || step=1
	for ((n = 1; n < total; n += step)); do
		strace -f -qq -o /dev/null -e "trace=$calls" -e "inject=$calls:signal=KILL:when=$n" \
			"$VUNIFY" --config "$CONF" --catalog "$CAT" import --setid "$STATE/g1.tar" new --in "$G" \
			>/dev/null 2>"$STATE/err" || :
		if [[ -e $G/new ]]; then
			same_tree "$G/g1" "$G/new"
			vu scan "$G/new" >/dev/null 2>&1 || die "killed at $n: cannot be scanned"
			vu unmerge "$G/new" >/dev/null 2>&1
			vu guests remove new >/dev/null
			rm -rf "$G/new"
		fi
		vu recover "$G/g1" >/dev/null 2>"$STATE/err" || die "killed at $n: $(<"$STATE/err")"
		nothing_of new
		"$VU_TOP/tests/lib/pool-check" "$MNT" >/dev/null || die "killed at $n: the pool"
	done
	say_manifest "$G"/g1 "$G"/g2 "$G"/g3 >"$STATE/after"
	same_text "$STATE/before" "$STATE/after"
}

@test "whatever call fails nothing is left, or the guest is whole" {
	command -v strace >/dev/null || skip "needs strace"
	exported
	for call in mkdirat mknodat unlinkat linkat fchmod renameat2 syncfs fsync pwrite64 read fchown openat2 pipe2; do
		for error in EIO ENOSPC; do
			[[ ${VU_NIGHTLY:-} == 1 || $call$error == *[lnrs]*EIO || $call == pwrite64 ]] || continue
			for n in 1 3 30; do
				rc=0
				strace -f -qq -o "$STATE/trace" -e "trace=$call" -e "inject=$call:error=$error:when=$n" \
					"$VUNIFY" --config "$CONF" --catalog "$CAT" import --setid "$STATE/g1.tar" new --in "$G" \
					>/dev/null 2>"$STATE/err" || rc=$?
				[[ $(<"$STATE/err") != *[Aa]ssert* ]] || die "$call $error $n: $(<"$STATE/err")"
				if [[ -e $G/new ]]; then
					same_tree "$G/g1" "$G/new"
					vu unmerge "$G/new" >/dev/null 2>&1
					vu guests remove new >/dev/null 2>&1 || :
					rm -rf "$G/new"
				elif ((rc == 0)); then
					die "$call $error $n: nothing was made, and it said nothing"
				fi
				[[ ${VU_NIGHTLY:-} == 1 ]] || break
			done
		done
	done
	vu recover "$G/g1" >/dev/null 2>&1
	nothing_of new
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "the next import removes what a killed one left" {
	exported
	hold mkdirat 20 import --setid "$STATE/g1.tar" new --in "$G"
	let_go
	vx 0 import --setid "$STATE/g1.tar" new --in "$G"
	[[ ! -e $MNT/.vunify/trees ]]
	same_tree "$G/g1" "$G/new"
}

@test "a scan beside it waits its turn: status 11" {
	exported
	hold mkdirat 20 import --setid "$STATE/g1.tar" new --in "$G"
	vx 11 scan "$G/g1"
	go_on
	same_tree "$G/g1" "$G/new"
}

@test "no such file, a directory, and no archive" {
	vx 1 import "$STATE/none" "$G/new"
	vx 2 import "$G/g1" "$G/new"
	has "$ERR" 'oci:DIR'
	echo text >"$STATE/text"
	vx 4 import "$STATE/text" "$G/new"
	nothing_of new
}

@test "what stands for a file of the pool can be replaced, linked and taken away like any" {
	vx 0 scan "$G"/g1 "$G"/g2 "$G"/g3
	vx 0 export --compress=none g1 -o "$STATE/g1.tar"
	python3 - "$STATE" "$BIG" <<'E2'
import copy, io, sys, tarfile
top, big = sys.argv[1:]
with tarfile.open(top + "/g1.tar") as t:
    m = t.getmember("./" + big)
    data = t.extractfile(m).read()


def known(name):
    k = copy.copy(m)
    k.name = name
    return k, data


def other(name, kind, target=""):
    o = tarfile.TarInfo(name)
    o.type, o.linkname, o.mode = kind, target, 0o755
    return o, b""


def plain(name):
    o = tarfile.TarInfo(name)
    o.size = 5
    return o, b"plain"


for name, members in {
    "twice": (known("usr/a"), known("usr/a")),
    "by-plain": (known("usr/a"), plain("usr/a")),
    "by-link": (known("usr/a"), other("usr/a", tarfile.SYMTYPE, "b")),
    "by-dir": (known("usr/a"), other("usr/a", tarfile.DIRTYPE), known("usr/a/b")),
    "dir-gone": (known("usr/d/a"), plain("usr/d"), other("usr/d", tarfile.DIRTYPE)),
    "linked": (known("usr/a"), other("usr/b", tarfile.LNKTYPE, "usr/a"), plain("usr/a")),
    "link-over": (known("usr/a"), plain("usr/b"), other("usr/a", tarfile.LNKTYPE, "usr/b")),
    "below": (known("usr/a"), plain("usr/a/b")),
    "below-deep": (known("usr/a"), plain("usr/a/b/c")),
}.items():
    with tarfile.open("%s/%s.tar" % (top, name), "w", format=tarfile.PAX_FORMAT) as t:
        for info, content in members:
            t.addfile(info, io.BytesIO(content))
E2
	for n in twice by-plain by-link by-dir dir-gone linked link-over; do
		vx 0 import "$STATE/$n.tar" "$G/$n"
	done
	for n in below below-deep; do
		vx 12 import "$STATE/$n.tar" "$G/$n"
		has "$ERR" 'no directory'
		nothing_of "$n"
	done
	for f in by-plain/usr/a linked/usr/a link-over/usr/a; do
		eq "$(<"$G/$f")" plain "$f"
	done
	same "$G/link-over/usr/a" "$G/link-over/usr/b"
	eq "$(readlink "$G/by-link/usr/a")" b "the symbolic link"
	eq "$(find "$G/dir-gone/usr/d" | wc -l)" 1 "names in the new directory"
	same "$G/linked/usr/b" "$G/g1/$BIG"
	# the object is another file's of the archive, as far as is known: so these are written
	cmp "$G/by-dir/usr/a/b" "$G/g1/$BIG"
	cmp "$G/twice/usr/a" "$G/g1/$BIG"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}
