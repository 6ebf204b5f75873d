/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The template is walked under its rules, so that what is never unified is never noted either. A path
 * that belongs to no package (guest/owning.h) is left out. Of the rest little has to be read:
 *
 *   - a private file whose inode, mtime and ctime are those of the note is what it was;
 *   - the name of an object tells its content: it is what it was if the key of what was noted, with the
 *     object's own attributes, is the object's;
 *   - what the catalog knows the content of by a scan is believed: nothing is linked because of a note,
 *     for what is at the path then is read again, in the guest and in the template.
 *
 * A file that cannot be read now (it is open for writing, say) stays noted as it was. One that is gone is
 * forgotten with its past.
 *
 * The packages of a path that packages list are these. A file that only lies below their directory was
 * generated, perhaps by a package that has nothing there; so all packages of the template count for it:
 * where any of these has changed, what comes out is no post-processing, and its past is forgotten.
 */
#include "ops/template-note.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "db/catalog-template.h"
#include "guest/owning.h"
#include "match/follow.h"
#include "ops/farm.h"
#include "ops/run.h"
#include "scan/content.h"

/* A path of the template that is to be noted. */
struct item {
	char *path; /* owned */
	struct vu_digest packages;
	uint32_t inode; /* number in the tree */
	const struct vu_template_file *old;
	bool as_before; /* old->v[0] holds */
};

struct note {
	struct vu_session *s;
	size_t guest;	       /* in s */
	struct vu_session one; /* s with this guest alone; borrowed */
	struct vu_farm farm;
	struct vu_hash *hash;
	struct vu_owning *owning;
	struct vu_digest all; /* packages */
	struct vu_template_files old, new;
	struct item *items; /* owned */
	size_t n_items, cap_items;
	bool news;
};

/* ---- what there is ---- */

static void tell(const struct note *n, const char *text)
{
	vu_emit(&n->s->counting, &(struct vu_event){
					 .kind = VU_EVENT_WARN,
					 .guest = n->s->guests.v[n->guest].name,
					 .text = text,
				 });
}

/* Returns 0; 1 when nothing can be said of the template, which was told; or a negative errno. */
static int read_packages(struct note *n)
{
	_cleanup_free_ char *why = NULL, *text = NULL;
	int r = vu_owning_read(n->s->root_fds[n->guest], n->s->ops->config->max_package_db_bytes,
			       &n->owning, &why);

	if (r < 0)
		return r;
	if (r > 0) {
		if (asprintf(&text,
			     "this template cannot be followed: its package database is broken: %s",
			     why ? why : "?") < 0)
			text = NULL;
		tell(n, text);
		return 1;
	}
	if (!vu_owning_count(n->owning)) {
		tell(n,
		     "this template cannot be followed: it has no database of dpkg, which would tell "
		     "post-processing from an upgrade");
		return 1;
	}
	return vu_owning_all(n->owning, n->hash, &n->all);
}

/* A guest's session as if it had only this one. */
static void make_view(struct note *n)
{
	n->one = *n->s;
	n->one.guests = (struct vu_guests){.v = &n->s->guests.v[n->guest], .n = 1};
	n->one.root_fds = &n->s->root_fds[n->guest];
	n->one.guest_fs = &n->s->guest_fs[n->guest];
}

static bool may_be_unified(const struct vu_inode *i)
{
	return !i->skip || vu_skip_is_momentary(i->skip) || vu_skip_is_relative(i->skip);
}

/* What the walk does not ask of the names of objects. */
static bool is_excluded(const struct note *n, const char *path)
{
	const char *slash = strrchr(path, '/');

	return vu_exclude_match(n->farm.exclude[0], path, false, NULL) != VU_EXCLUDE_NO ||
	       vu_exclude_lock_file(slash ? slash + 1 : path) ||
	       (n->farm.package[0] && vu_package_is_conffile(n->farm.package[0], path));
}

static int packages_of(const struct note *n, const char *path, struct vu_digest *ret)
{
	int r = vu_owning_ask(n->owning, n->hash, path, ret);

	if (r != VU_OWNED_BELOW)
		return r;
	vu_hash_begin(n->hash);
	vu_hash_add(n->hash, ret->b, sizeof(ret->b));
	vu_hash_add(n->hash, n->all.b, sizeof(n->all.b));
	int e = vu_hash_end(n->hash, ret->b);

	return e ? e : r;
}

/* Is the object's content the one that was noted? Its key says so. */
static bool is_object_of(const struct note *n, const struct vu_inode *o,
			 const struct vu_template_version *v)
{
	const struct vu_tree *t = n->farm.tree;
	const struct vu_key *key = vu_tree_key(t, o->key);
	struct vu_key k;

	for (int with_mtime = 0; o->size == v->size && with_mtime < 2; with_mtime++)
		if (!vu_key_make(n->hash, n->one.guests.v[0].domain, &v->content, o->size,
				 vu_attrs_at(t->attrs, o->attr), with_mtime, o->mtime_ns, &k) &&
		    !memcmp(&k.hash, &key->hash, sizeof(k.hash)))
			return true;
	return false;
}

static bool is_as_before(const struct note *n, const struct vu_inode *i,
			 const struct vu_template_file *old)
{
	if (!old)
		return false;
	if (i->flags & VU_INODE_OBJECT)
		return is_object_of(n, i, &old->v[0]);
	return old->stamp.ino == i->ino && old->stamp.mtime_ns == i->mtime_ns &&
	       old->stamp.ctime_ns == i->ctime_ns && old->v[0].size == i->size;
}

static int add_item(struct note *n, char *path_consume, uint32_t inode)
{
	_cleanup_free_ char *path = path_consume;
	struct item it = {.inode = inode};
	int r = path ? packages_of(n, path, &it.packages) : -ENOMEM;

	if (r <= 0)
		return r;
	if (n->n_items == n->cap_items) {
		size_t cap = VU_MAX(n->cap_items * 2, (size_t)1024);
		struct item *v = reallocarray(n->items, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		n->items = v;
		n->cap_items = cap;
	}
	it.old = vu_template_files_find(&n->old, path);
	it.as_before = is_as_before(n, vu_tree_inode(n->farm.tree, inode), it.old);
	it.path = vu_take_ptr(path);
	n->items[n->n_items++] = it;
	return 0;
}

static int collect(struct note *n)
{
	const struct vu_tree *t = n->farm.tree;
	int r = 0;

	for (uint32_t i = 0; !r && i < t->names.n; i++) {
		const struct vu_name *name = vu_tree_name(t, i);

		if (name->fate != VU_UNSEEN && name->fate != VU_GONE &&
		    may_be_unified(vu_tree_inode(t, name->inode)))
			r = add_item(n, vu_tree_name_path(t, i), name->inode);
	}
	for (uint32_t i = 0; !r && i < t->unified.n; i++) {
		const struct vu_unified_name *name = vu_tree_unified(t, i);
		char *path = vu_tree_unified_path(t, name);
		uint32_t object = VU_NONE;

		if (path &&
		    (is_excluded(n, path) ||
		     !vu_inomap_get(&n->farm.objects[n->one.guest_fs[0]], name->ino, &object) ||
		     vu_tree_inode(t, object)->attr == VU_NONE))
			free(path);
		else
			r = add_item(n, path, object);
	}
	return r;
}

/* ---- what has to be read ---- */

static int open_object(void *arg, uint32_t inode)
{
	struct note *n = arg;
	const struct vu_inode *o = vu_tree_inode(n->farm.tree, inode);

	return vu_pool_object_open(n->s->fs[o->fs].pool, vu_tree_key(n->farm.tree, o->key));
}

static bool is_to_read(const struct note *n, const struct item *it)
{
	const struct vu_inode *i = vu_tree_inode(n->farm.tree, it->inode);

	return !it->as_before && (i->attr == VU_NONE || vu_group_must_read(n->farm.tree, i));
}

/* Each inode alone: nothing is known of who may be equal. */
static int read_some(struct note *n, struct vu_groups *groups)
{
	_cleanup_free_ bool *asked = calloc((size_t)n->farm.tree->inodes.n + 1, sizeof(*asked));
	struct vu_content_env env = {
		.walk = &n->farm.walk,
		.max_xattr_bytes = n->s->ops->config->max_xattr_bytes,
		.open_object = open_object,
		.open_object_arg = n,
	};
	struct vu_content_stats stats;

	groups->member = calloc(n->n_items + 1, sizeof(*groups->member));
	groups->start = calloc(n->n_items + 2, sizeof(*groups->start));
	if (!asked || !groups->member || !groups->start)
		return -ENOMEM;
	/* an object has another ctime than the catalog says after each moment: it is looked at anew */
	for (size_t i = 0; i < n->n_items; i++) {
		struct vu_inode *p = vu_tree_inode(n->farm.tree, n->items[i].inode);

		if (is_to_read(n, &n->items[i]) && p->flags & VU_INODE_OBJECT)
			p->attr = VU_NONE;
	}
	int r = vu_farm_know_objects(&n->farm);

	for (size_t i = 0; !r && i < n->n_items; i++) {
		uint32_t inode = n->items[i].inode;
		const struct vu_inode *p = vu_tree_inode(n->farm.tree, inode);

		if (p->attr == VU_NONE || asked[inode] || !is_to_read(n, &n->items[i]))
			continue;
		asked[inode] = true;
		groups->member[groups->n++] = inode;
		groups->start[groups->n] = groups->n;
		groups->n_files++;
		groups->bytes += p->size;
	}
	return !r && groups->n ? vu_content_run(&env, n->farm.tree, groups, &stats) : r;
}

/* ---- the note ---- */

/* By what a private file is known again; not one that may have changed again within the same tick. */
static struct vu_template_stamp stamp_of(const struct vu_inode *i)
{
	if (i->flags & VU_INODE_OBJECT || i->ctime_ns + VU_WALK_GRANULARITY_NS > vu_clock_real_ns())
		return (struct vu_template_stamp){0};
	return (struct vu_template_stamp){i->ino, i->mtime_ns, i->ctime_ns};
}

/* What the item is now. False: it could not be read. */
static bool version_of(const struct note *n, const struct item *it, struct vu_template_version *ret)
{
	const struct vu_tree *t = n->farm.tree;
	const struct vu_inode *i = vu_tree_inode(t, it->inode);

	if (it->as_before) {
		*ret = it->old->v[0];
		ret->packages = it->packages;
		return true;
	}
	if (i->attr == VU_NONE || i->content == VU_NONE || !vu_attrs_at(t->attrs, i->attr)->full)
		return false;
	*ret = (struct vu_template_version){
		.content = vu_tree_content(t, i->content)->digest,
		.packages = it->packages,
		.attr = *vu_attrs_at(t->attrs, i->attr),
		.size = i->size,
	};
	return true;
}

static int note_item(struct note *n, const struct item *it)
{
	struct vu_template_version v;
	struct vu_template_stamp none = {0},
				 stamp = stamp_of(vu_tree_inode(n->farm.tree, it->inode));
	bool known = version_of(n, it, &v);

	if (!known && !it->old)
		return 0;
	struct vu_template_file *f = vu_template_files_add(&n->new, it->path);
	int r = f ? 0 : -ENOMEM;

	for (unsigned k = 0; !r && it->old && k < it->old->n; k++)
		r = vu_template_file_push(f, &it->old->v[k]);
	if (!r && known)
		r = vu_follow_note(f, &v);
	if (r < 0)
		return r;
	f->stamp = known ? stamp : none;
	n->news = n->news || r || !it->old ||
		  memcmp(&f->stamp, &it->old->stamp, sizeof(f->stamp)) != 0;
	return 0;
}

static int look(struct note *n)
{
	struct vu_groups groups = {0};
	int r = vu_farm_open(&n->farm, &n->one, VU_FARM_RULES | VU_FARM_CATALOG | VU_FARM_FULL);

	if (!r)
		r = vu_farm_walk(&n->farm);
	if (!r)
		r = vu_farm_know_objects(&n->farm);
	if (!r)
		r = collect(n);
	if (!r)
		r = read_some(n, &groups);
	for (size_t i = 0; !r && i < n->n_items; i++)
		r = note_item(n, &n->items[i]);
	vu_groups_done(&groups);
	vu_template_files_sort(&n->new);
	n->news = n->news || n->new.n != n->old.n;
	return r;
}

static int save(struct note *n)
{
	uint32_t id = n->s->guests.v[n->guest].id;
	int r = n->news ? vu_catalog_template_save(n->s->catalog, id, &n->new, vu_clock_real_ns())
			: vu_catalog_template_seen(n->s->catalog, id, vu_clock_real_ns());

	return r ? vu_session_catalog_failed(n->s, r) : 0;
}

static void done(struct note *n)
{
	for (size_t i = 0; i < n->n_items; i++)
		free(n->items[i].path);
	free(n->items);
	vu_template_files_done(&n->old);
	vu_template_files_done(&n->new);
	vu_owning_free(n->owning);
	vu_hash_free(n->hash);
	vu_farm_close(&n->farm);
}

VU_DEFINE_CLEANUP_DONE(struct note, done)

int vu_template_note(struct vu_session *s, size_t guest, bool dry_run,
		     struct vu_template_files *ret, bool *ret_first)
{
	vu_cleanup(done_p) struct note n = {.s = s, .guest = guest, .hash = vu_hash_new()};
	struct vu_template_note known;
	int r = n.hash ? 0 : -ENOMEM;

	make_view(&n);
	if (!r) {
		r = vu_catalog_template_note(s->catalog, s->guests.v[guest].id, &known);
		if (!r)
			r = vu_catalog_template_load(s->catalog, s->guests.v[guest].id, &n.old);
		if (r)
			return vu_session_catalog_failed(s, r);
	}
	if (!r)
		r = read_packages(&n);
	if (r) /* told: its note stays as it was, and leads nobody anywhere now */
		return VU_MIN(r, 0);
	r = look(&n);
	if (!r && !dry_run)
		r = save(&n);
	if (r)
		return r;
	if (ret_first)
		*ret_first = !known.noted_ns;
	if (ret) {
		*ret = n.new;
		n.new = (struct vu_template_files){0};
	}
	return 0;
}

bool *vu_template_changed(const struct vu_session *s, const struct vu_tree *t)
{
	bool *v = calloc(s->guests.n + 1, sizeof(*v));

	for (uint32_t i = 0; v && i < t->dirs.n; i++) {
		const struct vu_dir *d = vu_tree_dir(t, i);

		if (s->guests.v[d->guest].template && d->fate != VU_KEPT)
			v[d->guest] = true;
	}
	for (uint32_t i = 0; v && i < t->inodes.n; i++) {
		const struct vu_inode *n = vu_tree_inode(t, i);

		if (!(n->flags & VU_INODE_OBJECT) && s->guests.v[n->guest].template &&
		    n->fate != VU_KEPT)
			v[n->guest] = true;
	}
	return v;
}

int vu_template_note_those(struct vu_session *s, const bool *those)
{
	int r = those ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < s->guests.n; i++)
		if (those[i])
			r = vu_template_note(s, i, false, NULL, NULL);
	return r;
}
