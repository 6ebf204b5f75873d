/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stage-left.h"

#include <sys/stat.h>
#include <unistd.h>

static int find_key(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct leaver *l = arg;

	if (ino == l->object_ino)
		l->key = *key;
	return ino == l->object_ino;
}

struct leaver leaver_of(struct farm *f, const char *rel)
{
	struct leaver l = {.f = f};

	populate(f, 3);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	l.object_ino = stat_of(f, G, rel).st_ino;
	assert_int_equal(vu_pool_list(f->pool, find_key, &l), 1);
	assert_int_equal(vu_journal_open(f->pool, 0, &l.journal), 0);
	close(vu_pool_stage_open(f->pool, 0));
	return l;
}

void path_of(const struct farm *f, const char *rel, char *path)
{
	snprintf(path, PATH_LEN, "%s/%s", f->fs->mnt, rel);
}

uint64_t ino_of(const struct farm *f, const char *rel)
{
	char path[PATH_LEN];
	struct stat st;

	path_of(f, rel, path);
	assert_int_equal(lstat(path, &st), 0);
	return st.st_ino;
}

bool is_there(const struct farm *f, const char *rel)
{
	char path[PATH_LEN];

	path_of(f, rel, path);
	return !access(path, F_OK);
}

void intend(struct leaver *l, enum vu_journal_kind kind, const char *tmp, const char *path,
	    uint64_t ino)
{
	const struct vu_guest *g = &l->f->guests.v[G];
	struct vu_intent in = {.kind = kind,
			       .tmp = tmp,
			       .key = l->key,
			       .object_ino = l->object_ino,
			       .ino = ino,
			       .root_ino = g->ino,
			       .root = g->path,
			       .path = path,
			       .domain = "",
			       .with_mtime = true};

	assert_int_equal(vu_journal_add(&l->journal, &in), 0);
}

void intend_link(struct leaver *l, const char *tmp, const char *path)
{
	char rel[300];

	snprintf(rel, sizeof(rel), ".vunify/stage/%s", tmp);
	intend(l, VU_JOURNAL_LINK, tmp, path, ino_of(l->f, rel));
}

void leave(struct leaver *l)
{
	assert_int_equal(vu_journal_flush(&l->journal), 0);
	vu_journal_close(l->f->pool, 0, &l->journal);
}

void put_equal(const struct farm *f, const char *rel, const char *like)
{
	assert_int_equal(sh("cd %s && cp -p --preserve=all g%d/%s %s", f->fs->mnt, G, like, rel),
			 0);
}

void put_other(const struct farm *f, const char *rel, const char *text)
{
	char path[PATH_LEN];

	path_of(f, rel, path);
	put_text(path, text);
}

void has_text_at(const struct farm *f, const char *rel, const char *text)
{
	char path[PATH_LEN];

	path_of(f, rel, path);
	char *is = get_text(path);

	assert_non_null(is);
	assert_string_equal(is, text);
	free(is);
}

bool rescued_has(const struct farm *f, const char *text)
{
	return !sh("grep -qx '%s' %s/.vunify/rescued/* 2>/dev/null", text, f->fs->mnt);
}

struct vu_recover_stats recover_both(struct farm *f)
{
	struct vu_recover_stats dry, s;

	assert_int_equal(sh("cd %s && find . -type f -printf '%%i %%p %%n\\n' | sort >%s/before",
			    f->fs->mnt, f->fs->dir),
			 0);
	dry = farm_recover(f, true);
	assert_int_equal(sh("cd %s && find . -type f -printf '%%i %%p %%n\\n' | sort | cmp - "
			    "%s/before",
			    f->fs->mnt, f->fs->dir),
			 0);
	s = farm_recover(f, false);
	assert_int_equal(dry.names_removed, s.names_removed);
	assert_int_equal(dry.names_restored, s.names_restored);
	assert_int_equal(dry.rescued, s.rescued);
	assert_int_equal(dry.left, s.left);
	assert_int_equal(s.names_removed + s.names_restored + s.rescued + s.left, 1);
	return s;
}

void is_settled(struct farm *f)
{
	stage_is_empty(f);
	farm_recover(f, false);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(seen.n[VU_EVENT_WARN] + seen.n[VU_EVENT_DAMAGE], 0);
}
