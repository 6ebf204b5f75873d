#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify import oci:DIR: layers, whiteouts, platforms, and layouts that mean harm.

load ../lib/farm

LAYOUT() {
	"$VU_TOP/tests/lib/oci-layout" "$STATE/oci" "$@" >"$STATE/digest"
}

# layer NAME: a tar of $STATE/NAME
layer() {
	tar -C "$STATE/$1" --numeric-owner --format=pax -cf "$STATE/$1.tar" .
}

nothing_of() {
	[[ ! -e $G/$1 && ! -e $MNT/.vunify/trees ]] || die "something of $1 is left"
}

same_tree() {
	say_manifest "${@:3}" "$1" >"$STATE/a"
	say_manifest "${@:3}" "$2" >"$STATE/b"
	same_text "$STATE/a" "$STATE/b"
}

three_layers() {
	mkdir -p "$STATE"/{l1,l2,l3}/{usr/bin,etc,srv/opaque,srv/gone/deep}
	rm -r "$STATE"/{l2,l3}/srv/gone
	echo lower >"$STATE/l1/usr/bin/tool"
	echo stays >"$STATE/l1/etc/stays"
	echo goes >"$STATE/l1/etc/goes"
	echo old >"$STATE/l1/srv/opaque/old"
	mkdir "$STATE/l1/srv/opaque/sub"
	echo old >"$STATE/l1/srv/opaque/sub/old"
	echo deep >"$STATE/l1/srv/gone/deep/file"
	ln -s usr/bin "$STATE/l1/bin"
	echo upper >"$STATE/l2/usr/bin/tool"
	touch "$STATE/l2/etc/.wh.goes" "$STATE/l2/srv/.wh.gone" "$STATE/l2/srv/opaque/.wh..wh..opq"
	mkdir "$STATE/l2/srv/opaque/sub"
	echo new >"$STATE/l2/srv/opaque/new"
	echo new >"$STATE/l2/srv/opaque/sub/new"
	mkdir -p "$STATE/l3/srv/gone"
	echo back >"$STATE/l3/srv/gone/again"
	rmdir "$STATE/l3/usr/bin"
	for l in l1 l2 l3; do layer "$l"; done
}

@test "layers lie on each other, with whiteouts and opaque directories" {
	three_layers
	gzip -k "$STATE/l2.tar"
	LAYOUT "$STATE/l1.tar" "$STATE/l2.tar.gz" "$STATE/l3.tar"
	vx 0 import --json "oci:$STATE/oci" "$G/img"
	eq "$(sum_of layers)" 3 layers
	eq "$(cd "$G/img" && find . -type f -printf '%P=' -exec cat {} \; | sort)" "etc/stays=stays
srv/gone/again=back
srv/opaque/new=new
srv/opaque/sub/new=new
usr/bin/tool=upper" files
	[[ -L $G/img/bin ]]
}

@test "where a whiteout stands in its layer does not matter" {
	three_layers
	# the whiteouts last, and once first
	(cd "$STATE/l2" && tar --numeric-owner -cf ../last.tar ./srv/opaque/new ./srv/opaque/sub ./usr ./etc/.wh.goes ./srv/.wh.gone ./srv/opaque/.wh..wh..opq)
	(cd "$STATE/l2" && tar --numeric-owner -cf ../first.tar ./srv/opaque/.wh..wh..opq ./srv/.wh.gone ./etc/.wh.goes ./usr ./srv/opaque/sub ./srv/opaque/new)
	for l in last first; do
		rm -rf "$STATE/oci"
		LAYOUT "$STATE/l1.tar" "$STATE/$l.tar"
		vx 0 import "oci:$STATE/oci" "$G/$l"
	done
	same_tree "$G/last" "$G/first" --no-dirtimes
	eq "$(find "$G/last" -type f -printf '%P\n' | sort | paste -sd' ')" \
		"etc/stays srv/opaque/new srv/opaque/sub/new usr/bin/tool" files
}

@test "what a layer brings by way of a link of a lower one comes to its place" {
	three_layers
	mkdir -p "$STATE/l4/bin"
	echo merged >"$STATE/l4/bin/merged"
	tar -C "$STATE/l4" -cf "$STATE/l4.tar" bin/merged
	LAYOUT "$STATE/l1.tar" "$STATE/l4.tar"
	vx 0 import "oci:$STATE/oci" "$G/img"
	[[ -L $G/img/bin && -f $G/img/usr/bin/merged ]]
}

@test "layers of what the pool has are linked" {
	vx 0 scan "$G/g1" "$G/g2"
	vx 0 export --compress=gzip g1 -o "$STATE/g1.tar.gz"
	mkdir -p "$STATE/up/usr/share/vu"
	echo changed >"$STATE/up/usr/share/vu/f1"
	touch "$STATE/up/usr/share/vu/.wh.f2"
	layer up
	LAYOUT "$STATE/g1.tar.gz" "$STATE/up.tar"
	vx 0 import --setid "oci:$STATE/oci" "$G/img"
	same "$G/g1/usr/share/vu/big" "$G/img/usr/share/vu/big"
	is_private "$G/img/usr/share/vu/f1"
	eq "$(<"$G/img/usr/share/vu/f1")" changed "what the upper layer has"
	[[ ! -e $G/img/usr/share/vu/f2 && -e $G/g1/usr/share/vu/f2 ]]
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "the image is chosen by its tag and by the platform of this host" {
	mkdir -p "$STATE"/{mine,other}
	echo mine >"$STATE/mine/who"
	echo other >"$STATE/other/who"
	layer mine
	layer other
	case $(uname -m) in x86_64) here=amd64 ;; aarch64) here=arm64 ;; *) skip "needs x86_64 or aarch64" ;; esac
	LAYOUT --tag=one --platform=linux/$here "$STATE/mine.tar"
	LAYOUT --tag=one --platform=linux/s390x "$STATE/other.tar"
	LAYOUT --tag=two --nested --platform=linux/$here "$STATE/other.tar"
	vx 0 import "oci:$STATE/oci:one" "$G/one"
	eq "$(<"$G/one/who")" mine
	vx 0 import "oci:$STATE/oci:two" "$G/two"
	eq "$(<"$G/two/who")" other
	vx 12 import "oci:$STATE/oci" "$G/none"
	has "$ERR" "more than one image.*there is: one \(linux/$here\), one \(linux/s390x\), two"
	vx 12 import "oci:$STATE/oci:three" "$G/none"
	has "$ERR" 'no image called three'
	nothing_of none
}

@test "an image for other platforms only is refused, and what there is is said" {
	mkdir "$STATE/l"
	layer l
	LAYOUT --tag=x --nested --platform=linux/s390x "$STATE/l.tar"
	vx 12 import "oci:$STATE/oci:x" "$G/img"
	has "$ERR" 'no image for linux/.*there is: .*linux/s390x'
}

@test "a layer that is not what its digest says is damage, and nothing of it is left" {
	mkdir "$STATE/l"
	echo content >"$STATE/l/file"
	layer l
	LAYOUT "$STATE/l.tar"
	blob=$STATE/oci/blobs/sha256/$(sha256sum <"$STATE/l.tar" | cut -d' ' -f1)
	# another content of the same size; one byte more; one less; no archive at all
	sed 's/content/CONTENT/' "$STATE/l.tar" >"$blob"
	vx 4 import "oci:$STATE/oci" "$G/img"
	has "$ERR" 'not what its digest says'
	(cat "$STATE/l.tar" && echo) >"$blob"
	vx 4 import "oci:$STATE/oci" "$G/img"
	head -c 2000 "$STATE/l.tar" >"$blob"
	vx 4 import "oci:$STATE/oci" "$G/img"
	has "$ERR" 'not what its digest says'
	echo noise >"$blob"
	vx 4 import "oci:$STATE/oci" "$G/img"
	has "$ERR" 'not what its digest says'
	rm "$blob"
	vx 4 import "oci:$STATE/oci" "$G/img"
	has "$ERR" 'a layer of it is not there'
	nothing_of img
}

@test "layouts that mean harm are refused" {
	mkdir "$STATE/l"
	echo content >"$STATE/l/file"
	layer l
	LAYOUT --tag=t "$STATE/l.tar"
	cp -a "$STATE/oci" "$STATE/good"
	blob=blobs/sha256/$(sha256sum <"$STATE/l.tar" | cut -d' ' -f1)
	manifest=blobs/sha256/$(sed 's/sha256://' "$STATE/digest")
	# wrong SAYS STATUS: the layout as it is now is refused, and then is the good one again
	wrong() {
		vx "${2:-12}" import "oci:$STATE/oci" "$G/img"
		has "$ERR" "$1"
		nothing_of img
		rm -rf "$STATE/oci"
		cp -a "$STATE/good" "$STATE/oci"
	}
	cd "$STATE/oci"
	index=$(<index.json)
	put() { printf '%s' "$1" >"$STATE/oci/index.json"; }
	rm index.json && wrong 'no index.json'
	ln -sf /etc/shadow "$STATE/oci/index.json" && wrong 'no regular file'
	rm "$STATE/oci/index.json" && mkfifo "$STATE/oci/index.json" && wrong 'no regular file'
	put 'no json' && wrong 'is no JSON'
	put "$(printf '[%.0s' {1..5000})" && wrong 'is no JSON'
	put '{"schemaVersion": 1, "manifests": []}' && wrong 'schemaVersion'
	put '{"schemaVersion": 2, "schemaVersion": 2}' && wrong 'is no JSON'
	put '{"schemaVersion": 2}' && wrong 'no list of images'
	put '{"schemaVersion": 2, "manifests": []}' && wrong 'none at all'
	put "${index/sha256:/sha512:}" && wrong 'no sha256 digest'
	put "$(sed -E 's#sha256:[0-9a-f]{64}#sha256:../../../../../../../../../../../../../../../../../../../../../etc/shadow#' <<<"$index")"
	wrong 'no sha256 digest'
	put "$(sed -E 's/"size": [0-9]+/"size": -1/' <<<"$index")" && wrong 'how large'
	put "$(sed -E 's/"size": [0-9]+/"size": 7/' <<<"$index")" && wrong 'not what its digest says'
	head -c 5M /dev/zero | tr '\0' ' ' >"$STATE/oci/index.json" && wrong 'larger than 4 MiB'
	echo x >>"$STATE/oci/$manifest" && wrong 'not what its digest says'
	rm "$STATE/oci/$manifest" && wrong 'is not there'
	ln -sf /etc/shadow "$STATE/oci/$manifest" && wrong 'no regular file'
	ln -sf /etc/shadow "$STATE/oci/$blob" && wrong '' 1
	rm -r "$STATE/oci/blobs" && ln -s "$STATE/good/blobs" "$STATE/oci/blobs" && wrong 'no regular file'
	rm -rf "$STATE/oci" && LAYOUT --type=application/x-evil "$STATE/l.tar" && wrong 'type that is not known'
}

@test "whiteouts cannot take away what lies outside, nor the tree itself" {
	mkdir -p "$STATE/outside" "$STATE/l"
	echo victim >"$STATE/outside/victim"
	ln -s "$STATE/outside" "$STATE/l/link"
	layer l
	python3 - "$STATE" <<'E2'
import sys, tarfile
for i, names in enumerate(([".wh.."], [".wh..."], [".wh."], ["link/.wh.victim"], ["link/.wh..wh..opq"], ["a/../.wh.x"])):
    with tarfile.open("%s/w%d.tar" % (sys.argv[1], i), "w") as t:
        for n in names:
            t.addfile(tarfile.TarInfo(n))
E2
	for i in 0 1 2 3 4 5; do
		rm -rf "$STATE/oci"
		LAYOUT "$STATE/l.tar" "$STATE/w$i.tar"
		if ((i == 3 || i == 4)); then
			vx 0 import "oci:$STATE/oci" "$G/img$i"
		else
			vx 12 import "oci:$STATE/oci" "$G/img$i"
		fi
	done
	eq "$(<"$STATE/outside/victim")" victim "what lies outside"
	[[ ! -e $MNT/.vunify/trees ]]
}

@test "an image by umoci and skopeo is what they unpack" {
	command -v umoci >/dev/null && command -v skopeo >/dev/null || skip "needs umoci and skopeo"
	cd "$STATE"
	umoci init --layout u
	umoci new --image u:base
	umoci unpack --image u:base bundle
	cp -a "$G/g1/." bundle/rootfs/
	rm -f bundle/rootfs/usr/bin/setuid
	umoci repack --image u:one bundle
	rm -rf bundle
	umoci unpack --image u:one bundle
	rm -r bundle/rootfs/usr/share/vu/f1*
	mkdir bundle/rootfs/srv
	echo second >bundle/rootfs/srv/second
	umoci repack --image u:two bundle
	rm -rf bundle
	umoci unpack --image u:two bundle
	skopeo copy --quiet --insecure-policy oci:u:two oci:s:copied
	vx 0 import "oci:u:two" "$G/umoci"
	vx 0 import "oci:s:copied" "$G/skopeo"
	same_tree "$STATE/bundle/rootfs" "$G/umoci" --no-dirtimes
	same_tree "$G/umoci" "$G/skopeo"
}
