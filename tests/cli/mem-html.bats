#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify mem --html: the page as it is written, and as a browser shows it.
# VU_SHOTS=DIR keeps the pictures that the browser made.

load ../lib/farm

BIG=usr/share/vu/big

need_pages() {
	"$VU_TOP/tests/lib/page-frames" "$G/g1/$BIG" >/dev/null 2>&1 ||
		skip "the kernel shows no page frame numbers here"
}

# reader GUEST FILE...: a process of it that has the files mapped and in memory
reader() {
	background python3 -c '
import mmap, os, sys
os.chroot(sys.argv[1])
os.chdir("/")
kept = []
for name in sys.argv[2:]:
    m = mmap.mmap(os.open(name, os.O_RDONLY), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
    sum(m[::4096])
    kept.append(m)
print("ready", flush=True)
sys.stdin.readline()' "$@"
}

# cells TITLE: of the table with that caption in $STATE/page.html, a line a row, tabs between
cells() {
	python3 - "$STATE/page.html" "$1" <<'PY'
import html.parser, sys
class Tables(html.parser.HTMLParser):
    rows, caption, inside = [], "", None
    def handle_starttag(self, tag, attrs):
        if tag in ("caption", "td", "th"):
            self.inside = tag
        if tag == "table":
            self.caption = ""
        elif tag == "tr" and self.caption.startswith(sys.argv[2]):
            self.rows.append([])
        if tag in ("td", "th") and self.caption.startswith(sys.argv[2]):
            self.rows[-1].append("")
    def handle_endtag(self, tag):
        if tag == self.inside:
            self.inside = None
    def handle_data(self, data):
        if self.inside == "caption":
            self.caption += data
        elif self.inside and self.caption.startswith(sys.argv[2]):
            self.rows[-1][-1] += data
t = Tables()
t.feed(open(sys.argv[1], encoding="utf-8").read())
for row in t.rows:
    print(*row, sep="\t")
PY
}

@test "who has which copy of a file, and how much of it, as the kernel has it" {
	need_pages
	vx 0 scan "$G"/g1 "$G"/g2
	cat "$G"/g?/"$BIG" >/dev/null
	one=$("$VU_TOP/tests/lib/page-frames" "$G/g1/$BIG")
	eq "$("$VU_TOP/tests/lib/page-frames" "$G/g2/$BIG")" "$one" "frames of one inode"
	[[ $("$VU_TOP/tests/lib/page-frames" "$G/g3/$BIG") != "$one" ]]
	n=$(wc -w <<<"$one")
	vx 0 mem --html "$STATE/page.html" --library "/$BIG" "$G"/g?
	eq "$(cells 'The numbers of the figure, in pages' | tail -n +2)" \
		"$(printf "g1\t$BIG\t%d\t%d\t0\t%d\t1\ng2\t$BIG\t%d\t%d\t0\t%d\t1\ng3\t$BIG\t%d\t%d\t%d\t0\t2" \
			"$n" "$n" "$n" "$n" "$n" "$n" "$n" "$n" "$n")" "by guest"
	eq "$(cells 'Who shares' | tail -n +2)" "$(printf "copy 1\t$n\tg1, g2\ncopy 2\t$n\tg3")" "by copy"
	has "$(<"$STATE/page.html")" ">$((2 * n)) physical pages .* stand for $((3 * n)) "
}

@test "what is not in memory is not read in, and shown as that" {
	need_pages
	dd if="$G/g2/$BIG" iflag=nocache count=0 status=none
	cat "$G/g1/$BIG" >/dev/null
	vx 0 mem --html "$STATE/page.html" --library "$BIG" "$G"/g1 "$G"/g2
	has "$(cells 'The numbers of the figure, in pages')" "^g2	$BIG	[0-9]+	0	0	0	–"
	eq "$("$VU_TOP/tests/lib/resident" "$G/g2/$BIG")" 0 "bytes of it in memory"
}

@test "before and now: what is shared counts for each guest before, and once now" {
	need_pages
	vx 0 scan "$G"/*
	reader "$G/g1" "/$BIG"
	reader "$G/g2" "/$BIG"
	vx 0 mem --json --html "$STATE/page.html"
	# what mem says in bytes adds up to what the page says
	python3 - "$STATE/out" "$STATE/page.html" >"$STATE/sums" 2>&1 <<'PY' || die "$(<"$STATE/sums")"
import json, re, sys
g = json.load(open(sys.argv[1]))["guests"]
page = open(sys.argv[2], encoding="utf-8").read()
def text(n):
    for u in ("K", "M", "G"):
        n /= 1024
        if n < 1023.95:
            return f"{n:.1f} {u}iB"
before = sum(x["file_own_bytes"] + x["file_shared_bytes"] + x["anon_bytes"] for x in g)
now = sum(x["file_fair_bytes"] + x["anon_fair_bytes"] for x in g)
assert before > now > 0, (before, now)
got = dict(re.findall(r"<dt>([^<]*)</dt><dd[^>]*>([^<]*)<", page))
assert got["With copies of their own"] == text(before), (got, before)
assert got["Now"] == text(now), (got, now)
assert got["Saved by sharing"].strip() == text(before - now), (got, before - now)
PY
	eq "$(cells 'The numbers of the figure' | head -n 5 | tail -n 1 | cut -f1,2)" "all	2" "last row"
}

@test "by default it is the libc of the guests, whatever they call it" {
	need_pages
	local libc=("$G"/g1/usr/lib/*/libc.so.6)
	[[ -f ${libc[0]} ]] || skip "this host's libc is not where Debian has it"
	rel=${libc[0]#"$G/g1/"}
	# an older one: its name is a link to the file beside it
	mv "$G/g2/$rel" "$G/g2/${rel%.so.6}-2.31.so"
	ln -s libc-2.31.so "$G/g2/$rel"
	# no way out of the directory is taken
	mv "$G/g3/$rel" "$G/g3/usr/libc.so.6"
	ln -s ../../libc.so.6 "$G/g3/$rel"
	vx 3 mem --html "$STATE/page.html" "$G"/g?
	has "$ERR" 'g3.*name the file itself'
	has "$(cells 'The numbers of the figure, in pages')" "^g1	$rel	[1-9]"
	has "$(cells 'The numbers of the figure, in pages')" "^g2	$rel	[1-9]"
	has "$(cells 'The numbers of the figure, in pages')" "^g3	Too many levels of symbolic links	–"
}

@test "a library that no guest has, or what is no file: told, and no page" {
	need_pages
	vx 1 mem --html "$STATE/page.html" --library usr/lib/none.so "$G"/g?
	has "$ERR" 'none.so.*no guest has such a file'
	[[ ! -e $STATE/page.html ]]
	# a FIFO is not opened
	VX_SECONDS=20 vx 1 mem --html "$STATE/page.html" --library usr/share/vu/fifo "$G"/g?
	[[ ! -e $STATE/page.html ]]
	vx 2 mem --library "$BIG" "$G"/g1
	vx 2 mem --html "$STATE/page.html" --prove "$G/g1/$BIG" "$G/g2/$BIG"
	vx 2 mem --html "$STATE/page.html" --estimate "$G"/g1
	vx 2 mem --html= "$G"/g1
	has "$ERR" 'want a path'
}

@test "the page is for its owner alone, and takes the place of the old one at once" {
	vx 0 mem --html "$STATE/page.html" "$G"/g1
	eq "$(stat -c %a "$STATE/page.html")" 600 mode
	echo old >"$STATE/page.html"
	exec 8<"$STATE/page.html"
	vx 0 mem --html "$STATE/page.html" "$G"/g1
	eq "$(cat <&8)" old "who has it open"
	exec 8<&-
	has "$(tail -n 1 "$STATE/page.html")" '</html>'
	eq "$(find "$STATE" -name '.page*')" "" "what is left over"
}

@test "without room, or killed, the old page stays" {
	mkdir "$STATE/pages"
	echo old >"$MNT/page.html"
	# as good as full: nothing of a page fits
	head -c 500M /dev/zero >"$MNT/fill" 2>/dev/null || :
	vx 13 mem --html "$MNT/page.html" "$G"/g1
	has "$ERR" 'cannot write the page.*No space'
	eq "$(<"$MNT/page.html")" old "the page"
	rm "$MNT/fill"
	eq "$(ls -A "$MNT")" $'guests\npage.html' "what is left over"
	vx 13 mem --html /dev/full "$G"/g1
	command -v strace >/dev/null || skip "killing it needs strace"
	echo old >"$STATE/page.html"
	html() {
		rc=0
		strace -qq -o "$STATE/trace" "$@" "$VUNIFY" --config "$CONF" --catalog "$CAT" \
			mem --html "$STATE/new.html" "$G"/g1 >/dev/null 2>&1 || rc=$?
	}
	html -e trace=write
	local n
	# the table is printed when all is done: the last but one is the page's
	n=$(grep -c '^write' "$STATE/trace")
	((n > 3)) || die "the page is not written piece by piece: $(<"$STATE/trace")"
	for kill in "write $((n - 1))" "fsync 1" "linkat 1" "renameat 1"; do
		echo old >"$STATE/new.html"
		html -e "inject=${kill% *}:signal=KILL:when=${kill#* }"
		eq "$rc $(<"$STATE/new.html")" "137 old" "exit code and page after a kill at $kill"
	done
}

@test "without the right to see frames the page says that" {
	# shellcheck disable=SC2016 # expanded there
	printf '#!/bin/sh\nexec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "%s" "$@"\n' \
		"$VUNIFY" >"$STATE/without"
	chmod +x "$STATE/without"
	VUNIFY=$STATE/without vx 3 mem --html "$STATE/page.html" "$G/g1"
	has "$(<"$STATE/page.html")" 'hides which physical pages'
	hasnt "$(<"$STATE/page.html")" 'Saved by sharing'
}

browser() {
	command -v chromium || command -v chromium-headless-shell
}

@test "in a browser: at three widths, light, dark and printed, whatever guests are called" {
	need_pages
	browser >/dev/null || skip "needs chromium"
	local evil=$'<script>alert(1)<script>\n' image='<img src=x onerror=alert(1)>' odd=$'\xff"\'&amp;'
	local long
	long=$(printf 'aguestwithaverylongname%.0s' {1..8})
	mv "$G/g1" "$G/$evil" && mv "$G/g2" "$G/$image" && mv "$G/g3" "$G/$odd"
	reader "$G/$evil" "/$BIG"
	reader "$G/$evil" "/$BIG"
	reader "$G/$image" "/$BIG"
	reader "$G/$odd" "/$BIG"
	vx 0 scan --trust-guests "$G/$evil" "$G/$image"
	cp -a "$G/$odd" "$G/$long"
	cat "$G/$long/$BIG" >/dev/null
	vx 0 mem --html "$STATE/page.html" --library "$BIG" "$G/$evil" "$G/$image" "$G/$odd" "$G/$long"
	mkdir "$STATE/shots"
	timeout 110 "$VU_TOP/tests/lib/browse" "$(browser)" "$STATE/page.html" "$STATE/shots" \
		>"$STATE/seen" 2>"$STATE/err" || die "$(<"$STATE/err")"
	[[ -z ${VU_SHOTS:-} ]] || cp "$STATE/page.html" "$STATE"/shots/* "$VU_SHOTS"
	jq -e '.page == 1 and .requests == [] and .console == []' "$STATE/seen" >/dev/null || die "$(<"$STATE/seen")"
	jq -e '.scripts == 0 and .handlers == 0 and .unnamed == 0 and .ids_twice == 0' "$STATE/seen" >/dev/null ||
		die "$(<"$STATE/seen")"
	jq -e '.looks | length == 6 and all(.scroll_width <= .width and .inner_width == .width and .cut == 0)' "$STATE/seen" \
		>/dev/null || die "$(jq -c .looks "$STATE/seen")"
	for width in 360 900 1600; do
		! cmp -s "$STATE/shots/$width-light.png" "$STATE/shots/$width-dark.png" ||
			die "$width: dark is as light"
	done
	for name in '<script>alert(1)<script>\n' "$image" '\xff"'"'"'&amp;' "$long"; do
		jq -e --arg n "$name" '.text | contains($n)' "$STATE/seen" >/dev/null || die "no $name in the text"
	done
	jq -e '.text | contains("restarted")' "$STATE/seen" >/dev/null || die "nothing about restarts"
}
