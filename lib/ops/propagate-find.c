/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All guests are walked whole, without rules: no name of an object may be missed, since all that a guest
 * has of it move together. Of the names only those are looked at that stand at a path which has changed in
 * a template. The size, and what the catalog knows of the content, sort out most of them without
 * reading; what is left is read, in the guest and in the template, whatever is known of it.
 */
#include "ops/propagate-find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "guest/owning.h"
#include "ops/propagate-judge.h"
#include "scan/content.h"

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)
VU_DEFINE_CLEANUP(struct vu_owning *, vu_owning_free)

static const struct vu_guest *guest_at(const struct vu_finds *f, size_t i)
{
	return &f->session->guests.v[i];
}

/* ---- what has changed in templates ---- */

static int grow(void **v, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return 0;
	size_t more = VU_MAX(*cap * 2, (size_t)256);
	void *p = reallocarray(*v, more, size);

	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = more;
	return 0;
}

/* Of a template; one whose database is broken was told when it was noted. */
static int add_changes(struct vu_finds *f, size_t template, struct vu_hash *hash)
{
	vu_cleanup(vu_owning_free_p) struct vu_owning *owning = NULL;
	const struct vu_template_files *files = &f->templates[template];
	_cleanup_free_ char *why = NULL;
	int r = vu_owning_read(f->session->root_fds[template],
			       f->session->ops->config->max_package_db_bytes, &owning, &why);

	if (r)
		return VU_MIN(r, 0);
	for (size_t i = 0; i < files->n; i++) {
		if (!vu_follow_has_changed(&files->v[i]))
			continue;
		r = grow((void **)&f->changes, f->n_changes, &f->cap_changes, sizeof(*f->changes));
		if (r)
			return r;
		struct vu_change *c = &f->changes[f->n_changes++];

		*c = (struct vu_change){
			.file = &files->v[i], .template = (uint16_t) template, .inode = VU_NONE};
		r = vu_owning_ask(owning, hash, c->file->path, &c->packages);
		if (r < 0)
			return r;
		c->is_owned = r > 0;
	}
	return 0;
}

static int by_change(const void *a, const void *b)
{
	const struct vu_change *x = a, *y = b;
	int r = strcmp(x->file->path, y->file->path);

	return r ? r : (x->template > y->template) - (x->template <y->template);
}

static int find_changes(struct vu_finds *f, struct vu_hash *hash)
{
	int r = 0;

	for (size_t i = 0; !r && i < f->session->guests.n; i++)
		if (f->templates[i].n)
			r = add_changes(f, i, hash);
	if (!r && f->n_changes)
		qsort(f->changes, f->n_changes, sizeof(*f->changes), by_change);
	return r;
}

/* The first change whose path is not before this one. */
static size_t first_change(const struct vu_finds *f, const char *path)
{
	size_t lo = 0, hi = f->n_changes;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(f->changes[mid].file->path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- where guests have these paths ---- */

/* Is anything in this directory, or below it, among the changes? */
static bool is_on_the_way(const struct vu_finds *f, const char *dir)
{
	_cleanup_free_ char *prefix = NULL;

	if (!*dir)
		return f->n_changes;
	if (asprintf(&prefix, "%s/", dir) < 0) {
		prefix = NULL;
		return true;
	}
	size_t i = first_change(f, prefix);

	return i < f->n_changes && !strncmp(f->changes[i].file->path, prefix, strlen(prefix));
}

/* A name of a guest: the template's own, or one that may follow. */
static int add_name(struct vu_finds *f, uint16_t guest, const char *path, uint32_t inode)
{
	int r = 0;

	for (size_t i = first_change(f, path);
	     !r && i < f->n_changes && !strcmp(f->changes[i].file->path, path); i++) {
		struct vu_change *c = &f->changes[i];

		if (c->template == guest)
			c->inode = inode;
		if (guest_at(f, guest)->template ||
		    strcmp(guest_at(f, guest)->domain, guest_at(f, c->template)->domain) != 0)
			continue;
		r = grow((void **)&f->v, f->n, &f->cap, sizeof(*f->v));
		if (r)
			return r;
		f->v[f->n] = (struct vu_find){.path = strdup(path),
					      .change = (uint32_t)i,
					      .inode = inode,
					      .guest = guest};
		if (!f->v[f->n].path)
			return -ENOMEM;
		f->n++;
	}
	return r;
}

static int add_path(struct vu_finds *f, uint16_t guest, char *path_consume, uint32_t inode)
{
	_cleanup_free_ char *path = path_consume;

	return path ? add_name(f, guest, path, inode) : -ENOMEM;
}

/* A bool for each directory of the tree: need its names be looked at? */
static bool *find_dirs(const struct vu_finds *f)
{
	const struct vu_tree *t = f->farm.tree;
	bool *v = calloc((size_t)t->dirs.n + 1, sizeof(*v));

	for (uint32_t i = 0; v && i < t->dirs.n; i++) {
		const struct vu_dir *d = vu_tree_dir(t, i);
		_cleanup_free_ char *path = NULL;

		/* parents stand before their children */
		if (d->fate == VU_GONE || d->fate == VU_UNSEEN ||
		    (d->parent != VU_NONE && !v[d->parent]))
			continue;
		path = vu_tree_dir_path(t, i);
		v[i] = !path || is_on_the_way(f, path);
	}
	return v;
}

static int find_names(struct vu_finds *f)
{
	const struct vu_tree *t = f->farm.tree;
	_cleanup_free_ bool *dirs = find_dirs(f);
	int r = dirs ? 0 : -ENOMEM;

	for (uint32_t i = 0; !r && i < t->names.n; i++) {
		const struct vu_name *name = vu_tree_name(t, i);

		if (dirs[name->dir] && name->fate != VU_GONE && name->fate != VU_UNSEEN)
			r = add_path(f, vu_tree_dir(t, name->dir)->guest, vu_tree_name_path(t, i),
				     name->inode);
	}
	for (uint32_t i = 0; !r && i < t->unified.n; i++) {
		const struct vu_unified_name *name = vu_tree_unified(t, i);
		uint16_t guest = vu_tree_dir(t, name->dir)->guest;
		uint32_t object;

		if (dirs[name->dir] && vu_inomap_get(&f->farm.objects[f->session->guest_fs[guest]],
						     name->ino, &object))
			r = add_path(f, guest, vu_tree_unified_path(t, name), object);
	}
	return r;
}

static int by_find(const void *a, const void *b)
{
	const struct vu_find *x = a, *y = b;

	if (x->guest != y->guest)
		return x->guest < y->guest ? -1 : 1;
	int r = strcmp(x->path, y->path);

	return r ? r : (x->change > y->change) - (x->change < y->change);
}

/* ---- content ---- */

/* What can be said without reading. False: it is to be read. */
static bool is_clear(const struct vu_finds *f, struct vu_find *find)
{
	const struct vu_template_file *file = f->changes[find->change].file;
	const struct vu_inode *n = vu_tree_inode(f->farm.tree, find->inode);
	const struct vu_digest *known = NULL;
	bool possible = false;

	if (n->content != VU_NONE)
		known = &vu_tree_content(f->farm.tree, n->content)->digest;
	if (known && !memcmp(known, &file->v[0].content, sizeof(*known))) {
		find->why = VU_FOLLOW_SAME;
		return true;
	}
	for (unsigned i = 0; i < file->n; i++)
		possible = possible ||
			   (n->size == file->v[i].size &&
			    (!known || !memcmp(known, &file->v[i].content, sizeof(*known))));
	if (!possible)
		find->why = VU_FOLLOW_DIFFERS;
	return !possible;
}

static void ask(struct vu_finds *f, bool *asked, uint32_t inode)
{
	struct vu_inode *n = vu_tree_inode(f->farm.tree, inode);

	asked[inode] = true;
	/* what is linked was read in this run */
	n->content = VU_NONE;
	/* an object has another ctime than the catalog says after each moment: it is looked at anew */
	if (n->flags & VU_INODE_OBJECT)
		n->attr = VU_NONE;
}

static int open_object(void *arg, uint32_t inode)
{
	struct vu_finds *f = arg;
	const struct vu_inode *o = vu_tree_inode(f->farm.tree, inode);

	return vu_pool_object_open(f->session->fs[o->fs].pool, vu_tree_key(f->farm.tree, o->key));
}

/* Each inode alone: nothing is known of who may be equal. */
static int read_asked(struct vu_finds *f, const bool *asked)
{
	const struct vu_tree *t = f->farm.tree;
	struct vu_content_env env = {
		.walk = &f->farm.walk,
		.max_xattr_bytes = f->session->ops->config->max_xattr_bytes,
		.open_object = open_object,
		.open_object_arg = f,
	};
	struct vu_content_stats stats = {0};
	struct vu_groups groups = {0};
	size_t most = f->n + f->n_changes + 1;
	int r = vu_farm_know_objects(&f->farm);

	groups.member = calloc(most, sizeof(*groups.member));
	groups.start = calloc(most + 1, sizeof(*groups.start));
	if (!groups.member || !groups.start)
		r = -ENOMEM;
	for (uint32_t i = 0; !r && i < t->inodes.n; i++) {
		const struct vu_inode *n = vu_tree_inode(t, i);

		if (!asked[i] || n->attr == VU_NONE)
			continue;
		groups.member[groups.n++] = i;
		groups.start[groups.n] = groups.n;
		groups.n_files++;
		groups.bytes += n->size;
	}
	if (!r && groups.n)
		r = vu_content_run(&env, f->farm.tree, &groups, &stats);
	vu_groups_done(&groups);
	f->read_bytes = stats.bytes;
	return r;
}

static int read_content(struct vu_finds *f)
{
	_cleanup_free_ bool *asked = calloc((size_t)f->farm.tree->inodes.n + 1, sizeof(*asked));

	if (!asked)
		return -ENOMEM;
	for (size_t i = 0; i < f->n; i++)
		f->v[i].is_asked = !is_clear(f, &f->v[i]);
	for (size_t i = 0; i < f->n; i++) {
		struct vu_find *find = &f->v[i];
		const struct vu_inode *n = vu_tree_inode(f->farm.tree, find->inode);

		if (!find->is_asked)
			continue;
		if (n->skip && !vu_skip_is_momentary(n->skip) && !vu_skip_is_relative(n->skip)) {
			find->why = VU_FOLLOW_SKIP;
			find->skip = n->skip;
			find->is_asked = false;
			continue;
		}
		f->changes[find->change].is_wanted = true;
		ask(f, asked, find->inode);
	}
	for (size_t i = 0; i < f->n_changes; i++)
		if (f->changes[i].is_wanted && f->changes[i].inode != VU_NONE)
			ask(f, asked, f->changes[i].inode);
	return read_asked(f, asked);
}

/* ---- the whole ---- */

int vu_finds_make(struct vu_finds *f, struct vu_session *s,
		  const struct vu_template_files *templates)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *hash = vu_hash_new();

	*f = (struct vu_finds){.session = s, .templates = templates};
	int r = hash ? find_changes(f, hash) : -ENOMEM;

	if (r || !f->n_changes)
		return r;
	r = vu_farm_open(&f->farm, s, VU_FARM_CATALOG | VU_FARM_FULL);
	if (!r)
		r = vu_farm_walk(&f->farm);
	if (!r)
		r = vu_farm_know_objects(&f->farm);
	if (!r)
		r = find_names(f);
	if (!r && f->n)
		qsort(f->v, f->n, sizeof(*f->v), by_find);
	if (!r)
		r = read_content(f);
	if (!r)
		r = vu_finds_judge(f, hash);
	return r;
}

struct vu_find *vu_finds_at(const struct vu_finds *f, size_t guest, const char *path)
{
	struct vu_find key = {.guest = (uint16_t)guest, .path = (char *)(uintptr_t)path};
	size_t lo = 0, hi = f->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (by_find(&f->v[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < f->n && f->v[lo].guest == guest && !strcmp(f->v[lo].path, path); lo++)
		if (!f->v[lo].is_doubt)
			return &f->v[lo];
	return NULL;
}

void vu_finds_done(struct vu_finds *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i].path);
	free(f->v);
	free(f->changes);
	vu_farm_close(&f->farm);
	*f = (struct vu_finds){0};
}
