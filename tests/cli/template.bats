#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify template: guests whose versions are kept, and which others follow.

load ../lib/farm
load ../lib/template

BIG=usr/share/vu/big

# template JQ: of the first template that is listed
template() {
	vx 0 template list --json
	jq -r ".templates[0]$1" <<<"$OUT"
}

@test "a guest becomes a template, is listed, and is a guest like others again" {
	packaged 1
	vx 0 scan "$G"/g?
	vx 0 template list --json
	eq "$(jq '.templates | length' <<<"$OUT")" 0 templates
	vx 0 template add g2
	has "$OUT" 'g2'
	eq "$(template .template)" g2 template
	eq "$(template .followers)" 2 followers
	(($(template .files) > 100)) || die "only $(template .files) files are noted"
	eq "$(template .changed)" 0 changed
	vx 0 guests --json
	eq "$(jq -c '[.guests[].template]' <<<"$OUT")" '[false,true,false]' 'template of guests'
	vx 0 template remove g2
	vx 0 template list --no-legend
	eq "$OUT" '' 'list of templates'
}

@test "template without a word lists" {
	packaged 1
	vx 0 scan "$G"/g?
	vx 0 template add g1
	vx 0 template
	has "$OUT" '^TEMPLATE .*CHANGED'
	has "$OUT" '^g1 '
}

@test "what is no guest cannot be a template; what is none cannot be removed" {
	vx 10 template add "$G/g1"
	vx 0 scan "$G/g1" "$G/g2"
	vx 2 template add "$G/g3"
	has "$ERR" 'not registered'
	vx 2 template remove g1
	has "$ERR" 'the guest is none'
	vx 2 template remove nobody
	has "$ERR" 'not registered'
}

@test "of equal files the template's is kept" {
	packaged 1
	vx 0 guests add "$G/g1"
	vx 0 guests add "$G/g3"
	vx 0 template add g3
	ino=$(stat -c %i "$G/g3/$BIG")
	vx 0 scan "$G"/g?
	eq "$(stat -c %i "$G/g3/$BIG")" "$ino" "inode in the template"
	same "$G/g1/$BIG" "$G/g3/$BIG"
	same "$G/g2/$BIG" "$G/g3/$BIG"
}

@test "the template's file is kept also where another guest has it mapped" {
	packaged 1
	vx 0 guests add "$G/g2"
	vx 0 template add g2
	process_in "$G/g1"
	ino=$(stat -c %i "$G/g2/$BIG")
	vx 0 scan --trust-guests "$G"/g?
	eq "$(stat -c %i "$G/g2/$BIG")" "$ino" "inode in the template"
}

@test "a change of the template is seen by the next scan or remerge, and by template add" {
	packaged 1
	vx 0 scan "$G"/g?
	vx 0 template add g1
	rewrite "$G/g1/$BIG"
	vx 0 scan
	eq "$(template .changed)" 1 "changed files after the scan"
	rewrite "$G/g1/usr/share/vu/f1"
	rm "$G/g1/usr/share/own-1"
	vx 0 template add g1
	eq "$(template .changed)" 2 "changed files after template add"
	rewrite "$G/g1/usr/share/vu/f2"
	vx 0 remerge
	eq "$(template .changed)" 3 "changed files after remerge"
}

@test "scan -n notes nothing" {
	packaged 1
	vx 0 scan "$G"/g?
	vx 0 template add g1
	noted=$(template .noted)
	rewrite "$G/g1/$BIG"
	vx 0 scan -n
	eq "$(template .changed)" 0 "changed files"
	eq "$(template .noted)" "$noted" "time of the note"
}

@test "an upgrade in the template is no change" {
	packaged 1
	vx 0 scan "$G"/g?
	vx 0 template add g1
	packaged 2 "$G/g1"
	rewrite "$G/g1/$BIG"
	vx 0 scan
	eq "$(template .changed)" 0 "changed files"
}

@test "a template without dpkg cannot be followed, and that is told" {
	vx 0 scan "$G"/g?
	rm -rf "$G/g1/var/lib/dpkg"
	vx 3 template add g1
	has "$ERR" 'warning.*g1.*no database of dpkg'
	packaged 1 "$G/g2"
	ln -sf /etc/passwd "$G/g2/var/lib/dpkg/info/vu.list"
	vx 3 template add g2
	has "$ERR" 'package database is broken.*vu.list'
}

@test "a template's name in a hostile list is escaped" {
	packaged 1
	mv "$G/g1" "$G/$(printf 'x\n<script>')"
	vx 0 scan "$G"/x* "$G"/g2
	vx 0 template add "$G"/x*
	has "$OUT" 'x\\n<script>'
	eq "$(template .template | head -n 2 | tail -n 1)" '<script>' 'second line of its name'
}

@test "templates outlive a rebuilt catalog; what they had does not" {
	packaged 1
	vx 0 scan "$G"/g?
	vx 0 template add g2
	vx 0 recover --rebuild-catalog
	eq "$(template .template)" g2 template
	eq "$(template .files)" 0 "files that are noted"
	vx 0 scan
	(($(template .files) > 100)) || die "only $(template .files) files are noted"
}

@test "a template that is removed from the guests is forgotten as a whole" {
	packaged 1
	vx 0 scan "$G"/g?
	vx 0 template add g2
	vx 0 guests remove g2 --json
	eq "$(jq '.guests[0].template' <<<"$OUT")" true template
	vx 0 template list --json
	eq "$(jq '.templates | length' <<<"$OUT")" 0 templates
	eq "$(sqlite3 "$CAT" 'SELECT count(*) FROM template_file')" 0 "rows of what it had"
}

@test "gc forgets what no template had" {
	packaged 1
	vx 0 scan "$G"/g?
	vx 0 template add g2
	sqlite3 "$CAT" "UPDATE template_file SET guest = 77 WHERE CAST(path AS TEXT) = '$BIG'; INSERT INTO template_note VALUES (77, 1)"
	vx 0 gc
	eq "$(sqlite3 "$CAT" 'SELECT count(*) FROM template_file WHERE guest = 77')" 0 "rows of what it had"
	eq "$(sqlite3 "$CAT" 'SELECT count(*) FROM template_note')" 1 notes
	(($(template .files) > 100)) || die "only $(template .files) files are noted"
}
