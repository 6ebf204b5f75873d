#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify run with real programs in a real guest: apt, dpkg, tar, sed, perl, containers. Three copies of one
# tree share all their files, those of dpkg too. The first guest works, and the same is done in a fourth
# copy, which shares nothing and is supervised by nobody: the two end alike, and the other guests stay as
# they were. The tests on ext4 follow each other on the same guests, in the order in which they stand
# here; XFS and btrfs have one test each, a shorter one.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

PACKAGES=${VU_TEST_CACHE:-/var/cache/vunify-tests}/packages
VX_SECONDS=500 # all packages, on a slow disk

setup_file() {
	export RUN_WHY='' RUN_MNT='' RUN_STATE=''
	[[ $(id -u) == 0 ]] || RUN_WHY="needs root"
	[[ -n $RUN_WHY ]] || need_tree
	[[ -n $RUN_WHY ]] || need_ext4
}

need_tree() {
	local rc=0
	"$VU_TOP/tests/lib/make-guests" -m -C 2>"$BATS_FILE_TMPDIR/why" || rc=$?
	((rc != 77)) || RUN_WHY=$(tail -n 1 "$BATS_FILE_TMPDIR/why")
	((rc == 0 || rc == 77)) || { cat "$BATS_FILE_TMPDIR/why" >&2 && return 1; }
}

need_ext4() {
	if ! vu_fs_make ext4 2000; then
		RUN_WHY=$VU_FS_WHY
		return 0
	fi
	vu_tmp
	RUN_MNT=$VU_MNT RUN_STATE=$VU_DIR
}

setup() {
	[[ -z $RUN_WHY ]] || skip "$RUN_WHY"
	# What belongs to the guests on ext4 stays until the end of the file.
	MNT=$RUN_MNT STATE=$RUN_STATE
	farm_paths
}

farm_paths() {
	G=$MNT/guests PLAIN=$MNT/plain/g01 CONF=$STATE/vunify.conf CAT=$STATE/catalog.db
}

teardown() {
	[[ ${STATE:-} == "$RUN_STATE" ]] || vu_fs_clean
}

teardown_file() {
	vu_fs_clean
	[[ ! -e $BATS_FILE_TMPDIR/proof ]] ||
		awk '{ n += $1; lost += $2 }
			END { print "# proof: other guests while real programs run in one, files | " n " | " lost }' \
			"$BATS_FILE_TMPDIR/proof" >&3
}

# Without package lists and packages, as an administrator leaves the tree that guests are copied from.
clean_tree() {
	local g=$1
	find "$g/var/lib/apt/lists" -type f ! -name lock -delete
	rm -f "$g"/var/cache/apt/*.bin "$g"/var/cache/apt/archives/*.deb
	# The network is the host's, so nothing is to be started there.
	printf '#!/bin/sh\nexit 101\n' >"$g/usr/sbin/policy-rc.d"
	chmod 755 "$g/usr/sbin/policy-rc.d"
	cat /etc/resolv.conf >"$g/etc/resolv.conf" 2>/dev/null || :
	touch -d @1700000000 "$g/usr/sbin/policy-rc.d" "$g/etc/resolv.conf"
}

# g01 .. g03, which share everything, and PLAIN, which is as they were.
make_guests() {
	local g
	"$VU_TOP/tests/lib/make-guests" -m -r -n 4 "$G"
	mkdir "${PLAIN%/*}"
	mv "$G/g04" "$PLAIN"
	mkdir "$STATE/steps"
	cp -a "$PLAIN/var/lib/apt/lists" "$STATE/lists"
	for g in "$G"/g0? "$PLAIN"; do
		clean_tree "$g"
	done
	conf <<<$'[policy]\nmin_size = 1\nexclude =\nunify_setid = yes'
	vx 0 scan --json "$G"/g0?
	((10#$(sum_of names_unified) > 10000)) || die "only $(sum_of names_unified) names"
	say_manifest "$G/g02" | sort >"$STATE/second"
	say_manifest "$G/g02" "$G/g03" >"$STATE/before"
	apart >"$STATE/apart-before"
	for g in bin/dash usr/bin/passwd var/lib/dpkg/status var/lib/dpkg/info/dpkg.list etc/passwd; do
		is_object "$G/g01/$g"
		same "$G/g01/$g" "$G/g02/$g"
	done
}

# Packages, and the lists that debootstrap has fetched, so that apt can work without a network.
bring_packages() {
	local g
	for g in "$G/g01" "$PLAIN"; do
		cp -a "$STATE/lists/." "$g/var/lib/apt/lists/"
		cp "$PACKAGES"/*.deb "$g/var/cache/apt/archives/"
	done
}

BEGIN='export DEBIAN_FRONTEND=noninteractive LC_ALL=C; umask 022; cd /'

# in_g1 SCRIPT: with copy-on-write.
in_g1() {
	vx 0 run g01 -- sh -ec "$BEGIN; $1"
}

# in_plain SCRIPT: without vunify.
in_plain() {
	"$VU_TOP/tests/lib/plain-run" "$PLAIN" sh -ec "$BEGIN; $1" >"$STATE/plain-out" 2>&1 </dev/null 3>&- ||
		die "in the plain tree: $(tail -n 5 "$STATE/plain-out")"
}

# step SCRIPT: in the first guest, and noted for the plain tree.
step() {
	in_g1 "$1"
	printf '%s\n' "$1" >"$STATE/steps/$(date +%s%N)"
}

others_same() {
	say_manifest "$G/g02" "$G/g03" >"$STATE/after"
	echo "$(wc -l <"$STATE/before") $(diff "$STATE/before" "$STATE/after" | grep -c '^<')" \
		>>"$BATS_FILE_TMPDIR/proof"
	same_text "$STATE/before" "$STATE/after" "the other guests"
	[[ -z $(ls -A "$MNT/.vunify/stage") ]] || die "in the stage: $(ls -A "$MNT/.vunify/stage")"
	vx 0 recover -n --json
	for what in reflagged names_removed names_restored damages; do
		eq "$(sum_of "$what")" 0 "recover: $what"
	done
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

# Files of the first guest that are to be seen alike in the second one, and are shared with nobody. (Two files
# of a guest that are alike may change places in the scan: each has an object, but not that of before.)
apart() {
	say_manifest "$G/g01" | sort | comm -12 - "$STATE/second" | awk -F'\t' '$2 == "f" { print $1 }' | sort |
		comm -23 - <(cd "$G/g01" && lsattr -R -a . 2>/dev/null | sed -n 's|^[^ /]*i[^ /]* \./||p' | sort)
}

scan_again() {
	local n
	apart >"$STATE/apart"
	n=$(comm -13 "$STATE/apart-before" "$STATE/apart" | wc -l)
	((n > $1)) || die "only $n files of the first guest were to be unified again"
	vx 0 scan --json
	((10#$(sum_of names_unified) >= n)) || die "$(sum_of names_unified) names, and $n were equal"
	apart >"$STATE/apart"
	eq "$(comm -13 "$STATE/apart-before" "$STATE/apart" | head)" "" "equal, and not unified again"
	echo "# $n files of the first guest were equal again, $(sum_of names_unified) names were unified" >&3
}

# What has no times in it: content, mode, owner, inner hard links, xattrs of a tree.
said() {
	say_manifest --no-mtimes "$1" |
		grep -vE '^(var/log|var/cache|var/lib/apt/lists|tmp|run|dev)/|^etc/ld.so.cache|^var/lib/logrotate/status'
}

plain_same() {
	local f
	# what apt has fetched is there already
	cp -a "$G/g01/var/lib/apt/lists/." "$PLAIN/var/lib/apt/lists/"
	cp -a "$G/g01/var/cache/apt/archives/." "$PLAIN/var/cache/apt/archives/"
	for f in "$STATE"/steps/*; do
		in_plain "$(<"$f")"
	done
	said "$PLAIN" >"$STATE/plain"
	said "$G/g01" >"$STATE/first"
	same_text "$STATE/plain" "$STATE/first" "the same without vunify (<)"
}

# Every way in which programs get at files that are there already.
EDITS='
tar -cf /root/doc.tar usr/share/doc etc/default
tar -xpf /root/doc.tar
tar -cf /root/bin.tar usr/bin/[l-p]* && tar --overwrite -xpf /root/bin.tar
rm /root/doc.tar /root/bin.tar
find usr/lib usr/share -name "*.pm" -type f | sort | head -n 60 | xargs sed -i "1s/^/# edited\n/"
find usr/share/common-licenses -type f -exec perl -pi -e "s/GNU/gnu/" {} +
find usr/share/doc -name copyright -type f -exec chmod 640 {} +
find usr/share/doc -name "changelog*" -type f -exec chown 8:9 {} +
find etc/pam.d -type f -exec touch -d @1600000000 {} +
chmod 700 usr/bin/perl && [ usr/bin/perl -ef usr/bin/perl5.[0-9]* ]
cp bin/ls usr/bin/tac
cp --remove-destination bin/ls usr/bin/nl
install -m 700 bin/ls usr/bin/expand
mv -f usr/bin/unexpand usr/bin/factor
ln -f usr/bin/stat usr/bin/stty
echo more >>usr/bin/stty && cmp usr/bin/stat usr/bin/stty
echo text | dd of=usr/bin/cksum bs=1 seek=100 conv=notrunc
truncate -s 100 usr/bin/base32
gzip -n9f usr/share/common-licenses/Artistic
rm -r usr/share/locale/d* usr/share/man/man1
mkdir -p usr/share/doc.new && cp -a usr/share/doc/dpkg usr/share/doc.new/ && rm -r usr/share/doc/dpkg
mv usr/share/doc.new/dpkg usr/share/doc/
rm -f etc/ld.so.cache && ldconfig && ldconfig -p | grep -q libc.so.6
'

@test "ext4: three guests share every file, those of dpkg too" {
	mkdir "$G"
	make_guests
	bring_packages
}

# Can the host reach what the guest's apt fetches?
mirror_answers() {
	local suite uri
	read -r _ uri suite _ <"$G/g01/etc/apt/sources.list"
	timeout 30 python3 -c 'import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=20).read()' "$uri/dists/$suite/InRelease" 2>"$STATE/err"
}

@test "ext4: apt-get update" {
	mirror_answers || skip "the mirror does not answer: $(tail -n 1 "$STATE/err")"
	in_g1 'apt-get -q -o APT::Update::Error-Mode=any update'
	: >"$STATE/network"
}

@test "ext4: apt-get reinstalls all packages, and dpkg has nothing to complain about" {
	local n
	n=$(grep -c ' upgrade ' "$G/g01/var/log/dpkg.log") || :
	step 'apt-get -qy --reinstall install $(dpkg-query -W -f "\${Package} ")'
	n=$(($(grep -c ' upgrade ' "$G/g01/var/log/dpkg.log") - n))
	((n > 60)) || die "only $n packages were installed again"
	in_g1 'dpkg --verify; dpkg --audit'
	eq "$OUT$ERR" "" "what dpkg finds"
}

@test "ext4: apt-get installs packages that bring others" {
	[[ -e $STATE/network ]] || skip "the mirror does not answer"
	step 'apt-get -qy --no-install-recommends install nginx-light logrotate'
	step 'nginx -t'
	in_g1 'dpkg --verify; dpkg --audit'
	eq "$OUT$ERR" "" "what dpkg finds"
}

@test "ext4: tar, sed -i, perl -pi, find -exec chmod, cp, mv, ldconfig, logrotate" {
	step "$EDITS"
	step 'if command -v logrotate >/dev/null; then logrotate -f /etc/logrotate.conf; fi'
	in_g1 'dpkg --verify perl-base || :'
	has "$OUT" '\.pm'
	step 'apt-get -qy --reinstall install perl-base'
	in_g1 'dpkg --verify perl-base'
	eq "$OUT$ERR" "" "what dpkg finds"
}

@test "ext4: the other guests are as they were, and a scan unifies again what is equal" {
	others_same
	scan_again 4000
	others_same
}

@test "ext4: the guest is as one that has done the same alone" {
	plain_same
}

# The host's package sources, with what keys they name.
host_sources() {
	local f
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		[[ ! -s $f ]] || install -D -m 644 "$f" "$1$f"
	done
	mkdir -p "$1/usr/share/keyrings" "$1/etc/apt/keyrings"
	cp -n /usr/share/keyrings/*.gpg "$1/usr/share/keyrings/" 2>/dev/null || :
	cp -n /etc/apt/keyrings/* "$1/etc/apt/keyrings/" 2>/dev/null || :
}

# What programmers and servers do, with files that are shared among what they change.
PROGRAMS='
export HOME=/root GIT_DIR=/root/git GIT_WORK_TREE=/usr/share/doc
git init -q && git config user.email a@b && git config user.name a && git add -A && git commit -qm all
find /usr/share/doc -name copyright -type f -exec sed -i s/the/The/ {} + && rm -r /usr/share/doc/[a-f]*
git checkout -qf . && [ -z "$(git status --porcelain)" ]
unset GIT_DIR GIT_WORK_TREE
mkdir /root/make && cd /root/make
for i in $(seq 200); do echo "int f$i(void) { return $i; }" >f$i.c; done
printf "lib.a: \$(patsubst %%.c,%%.o,\$(wildcard *.c))\n\tar rcs \$@ \$^\n" >Makefile && make -s -j2 && [ -s lib.a ]
mkdir -p /root/py/vu && echo "x = 1" >/root/py/vu/__init__.py
echo "from setuptools import setup; setup(name=\"vu\", version=\"1\", packages=[\"vu\"])" >/root/py/setup.py
pip install -q --break-system-packages --no-index --no-build-isolation --root-user-action=ignore /root/py
python3 -c "import vu" && python3 -m compileall -qf /usr/lib/python3/dist-packages
mkdir /root/js && cd /root/js && echo "{\"name\": \"vu\", \"version\": \"1.0.0\"}" >package.json
npm pack --silent --offline >/dev/null && npm install --silent --offline -g ./vu-1.0.0.tgz
pg=$(ls -d /usr/lib/postgresql/*/bin) data=/var/lib/postgresql/vu
runuser -u postgres -- $pg/initdb -D $data >/dev/null
runuser -u postgres -- $pg/pg_ctl -s -w -D $data -o "-c listen_addresses= -c unix_socket_directories=/tmp" start
runuser -u postgres -- psql -qh /tmp postgres -c "create table t as select generate_series(1, 100000) x" -c "select count(*) from t"
runuser -u postgres -- $pg/pg_ctl -s -w -D $data stop
'

@test "ext4: apt-get upgrade, nginx, postgresql, git, make, pip, npm" {
	[[ ${VU_NIGHTLY:-} == 1 ]] || skip "only with VU_NIGHTLY=1"
	[[ -e $STATE/network ]] || skip "the mirror does not answer"
	VX_SECONDS=1800
	host_sources "$G/g01"
	in_g1 'apt-get -q -o APT::Update::Error-Mode=any update; apt-get -qy upgrade'
	in_g1 'apt-get -qy --no-install-recommends install nginx postgresql git make gcc libc6-dev python3-pip python3-setuptools python3-wheel npm'
	in_g1 "$PROGRAMS"
	has "$OUT" 100000
	in_g1 'nginx -t; apt-get -qy purge npm git; dpkg --verify; dpkg --audit'
	others_same
	vx 0 scan
	others_same
}

short_form() {
	farm_on "$1" 1600
	farm_paths
	make_guests
	bring_packages
	step 'apt-get -qy --reinstall install base-files coreutils dpkg libc-bin passwd perl-base'
	in_g1 'dpkg --verify; dpkg --audit'
	eq "$OUT$ERR" "" "what dpkg finds"
	step "$EDITS"
	others_same
	plain_same
	scan_again 300
	others_same
}

# wrapped A B C D LAUNCHER...: a launcher with SCRIPT behind it changes files of usr/bin that are shared; it is
# tried first in the plain tree, which takes the place of GUEST.
wrapped() {
	local b=usr/bin/$1 c=usr/bin/$2 d=usr/bin/$3 e=usr/bin/$4 f script
	shift 4
	command -v "$1" >/dev/null || skip "needs $1"
	"${@//GUEST/$PLAIN}" /bin/sh -c true >"$STATE/launcher" 2>&1 </dev/null 3>&- ||
		skip "$1 cannot run here: $(tail -n 1 "$STATE/launcher")"
	for f in $b $c $d $e; do
		is_object "$G/g01/$f"
	done
	script="cd /; echo more >>$b; chmod 700 $c; rm $d; mv $e $e.moved; echo done >/root/done"
	rm -f "$G/g01/root/done"
	vx 0 run --wrap g01 -- "${@//GUEST/$G/g01}" /bin/sh -ec "$script"
	eq "$(cat "$G/g01/root/done")" "done" "the script"
	eq "$(tail -c 5 "$G/g01/$b")" more "$b"
	eq "$(stat -c %a "$G/g01/$c")" 700 "mode of $c"
	[[ ! -e $G/g01/$d && ! -e $G/g01/$e ]]
	cmp "$G/g01/$e.moved" "$G/g02/$e"
	others_same
}

@test "ext4: the same in systemd-nspawn" {
	wrapped wc sum pinky users systemd-nspawn -q --register=no --keep-unit --console=pipe -D GUEST
}

@test "ext4: the same in bubblewrap" {
	wrapped fold fmt ptx tsort bwrap --unshare-pid --bind GUEST / --dev /dev --proc /proc --
}

@test "ext4: the same in LXC" {
	mkdir "$STATE/lxc" "$STATE/lxc/top"
	printf 'lxc.net.0.type = none\nlxc.apparmor.profile = unconfined\nlxc.rootfs.mount = %s\n' \
		"$STATE/lxc/top" >"$STATE/lxc/config"
	wrapped comm csplit shuf split lxc-start -F -n "vu-$$" -P "$STATE/lxc" -f "$STATE/lxc/config" \
		-s lxc.rootfs.path=dir:GUEST --
	# It leaves empty ones.
	find /sys/fs/cgroup -maxdepth 2 -name lxc.pivot -exec rmdir {} + 2>/dev/null || :
}

# in_container SCRIPT: in the first guest, by runc, whose listener cowd has.
in_container() {
	local id=vunify-real-$$ rc=0 cowd
	mkdir -p "$STATE/bundle" "$STATE/lock"
	"$VUNIFY" --config "$CONF" --catalog "$CAT" cowd --socket "$STATE/lock/s" >"$STATE/cowd" 2>&1 </dev/null 3>&- &
	cowd=$!
	wait_until test -S "$STATE/lock/s"
	vu cowd profile --socket "$STATE/lock/s" --guest g01 >"$STATE/profile"
	jq -n --arg root "$G/g01" --arg script "$BEGIN; $1" --arg cg "/$id" --slurpfile seccomp "$STATE/profile" '{
		ociVersion: "1.0.2", root: {path: $root},
		process: {terminal: false, user: {uid: 0, gid: 0}, cwd: "/", args: ["/bin/sh", "-ec", $script],
			env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"], capabilities: (["CHOWN", "DAC_OVERRIDE",
			"FOWNER", "FSETID", "SETUID", "SETGID", "SETFCAP", "SYS_CHROOT", "KILL"] | map("CAP_" + .) |
			{bounding: ., permitted: ., effective: .})},
		mounts: [{destination: "/proc", type: "proc", source: "proc"},
			{destination: "/dev", type: "bind", source: "/dev", options: ["rbind"]}],
		linux: {cgroupsPath: $cg, seccomp: $seccomp[0],
			namespaces: [{type: "pid"}, {type: "mount"}, {type: "ipc"}]}}' >"$STATE/bundle/config.json"
	timeout -k 5 "$VX_SECONDS" runc --root "$STATE/runc" run -b "$STATE/bundle" "$id" >"$STATE/out" 2>&1 </dev/null 3>&- ||
		rc=$?
	runc --root "$STATE/runc" delete -f "$id" >/dev/null 2>&1 || :
	kill "$cowd"
	wait "$cowd" || die "cowd ended with $?: $(cat "$STATE/cowd")"
	eq "$rc" 0 "the container ($(tail -n 5 "$STATE/out"; cat "$STATE/cowd"))"
}

@test "ext4: apt and what programs do in a container of runc, by cowd" {
	command -v runc >/dev/null || skip "needs runc"
	local n
	cp "$PACKAGES"/*.deb "$G/g01/var/cache/apt/archives/"
	n=$(grep -c ' upgrade ' "$G/g01/var/log/dpkg.log") || :
	in_container "apt-get -qy --reinstall install base-files coreutils dpkg libc-bin passwd perl-base
		cd /; find usr/share/doc -name 'changelog*' -type f -exec touch -d @1500000000 {} +
		sed -i '1s/^/# edited\\n/' usr/bin/ldd; rm -r usr/share/locale/e*; mv usr/bin/nproc usr/bin/nproc.moved"
	((n < $(grep -c ' upgrade ' "$G/g01/var/log/dpkg.log"))) || die "nothing was installed again"
	has "$(head -n 1 "$G/g01/usr/bin/ldd")" '# edited'
	cmp "$G/g01/usr/bin/nproc.moved" "$G/g02/usr/bin/nproc"
	eq "$(cat "$STATE/cowd")" "" "cowd said"
	others_same
}

@test "XFS: packages, programs, and a scan again" {
	short_form xfs
}

@test "btrfs: packages, programs, and a scan again" {
	short_form btrfs
}
