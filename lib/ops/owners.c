/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalog holds the unified names of a directory that has not changed since. Rows may be missing
 * all the same: of a damaged file, or one that met the WAL of another time. A missing row would let a
 * guest's second file have the object that its first is a name of. So the links of an object are
 * counted: the inode says how many there are, and who is in the catalog too few is looked for on disk.
 *
 * There are as many rows as unified names, and of nearly all of them nobody asks: those of an object are kept
 * if its content is that of a file that was read in this run, or is not known. Were the catalog wrong about a
 * content, another object could be asked for: then all rows are read once more, and all are kept.
 */
#include "ops/owners.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "db/catalog-find.h"
#include "db/catalog-tree.h"
#include "fs/beneath.h"
#include "fs/stat.h"

void vu_owners_done(struct vu_owners *o)
{
	for (size_t i = 0; o->objects && i < o->session->guests.n; i++)
		vu_inomap_done(&o->objects[i]);
	for (size_t i = 0; o->names && i < o->session->n_fs; i++)
		vu_inomap_done(&o->names[i]);
	for (size_t i = 0; o->doubts && i < o->session->n_fs; i++)
		vu_inomap_done(&o->doubts[i]);
	for (size_t i = 0; o->wanted && i < o->session->n_fs; i++)
		vu_inomap_done(&o->wanted[i]);
	for (size_t i = 0; o->listed && i < o->session->guests.n; i++)
		vu_inomap_done(&o->listed[i]);
	vu_inomap_done(&o->outdated);
	free(o->listed);
	free(o->doubts);
	free(o->wanted);
	free(o->objects);
	free(o->names);
	*o = (struct vu_owners){0};
}

/* Is this object looked for, as one that the guest may have? */
static bool is_wanted(const struct vu_owners *o, uint32_t guest, uint64_t ino)
{
	return o->all || vu_inomap_get(&o->wanted[o->session->guest_fs[guest]], ino, NULL);
}

static uint64_t dir_key(uint16_t guest, uint32_t row)
{
	return (uint64_t)guest << 32 | row;
}

static int one_more(struct vu_inomap *names, uint64_t ino)
{
	uint32_t n = 0;

	vu_inomap_get(names, ino, &n);
	return vu_inomap_set(names, ino, n + 1);
}

/* What the catalog's rows of a directory are worth; those that are neither are right. */
enum worth {
	OUTDATED = 1,
	UNPROVEN, /* nobody has looked there in this run */
};

static int note(void *arg, uint16_t guest, uint32_t dir, uint64_t ino)
{
	struct vu_owners *o = arg;
	uint32_t worth = 0;

	if (!is_wanted(o, guest, ino))
		return 0;
	(void)vu_inomap_get(&o->outdated, dir_key(guest, dir), &worth);
	if (worth == OUTDATED)
		return 0;
	int r = vu_inomap_set(&o->objects[guest], ino, 1);

	/* it may have the name still, and then is not to get another; but it does not explain a link */
	if (r || worth == UNPROVEN)
		return r;
	return one_more(&o->names[o->session->guest_fs[guest]], ino);
}

/*
 * Is what the catalog holds of this directory's names outdated: was it read now, or is it gone? What was
 * not met below an excluded directory is there still.
 */
static bool is_outdated(const struct vu_tree *t, const struct vu_dir *d)
{
	if (d->flags & VU_DIR_LISTED)
		return true;
	while (d->fate == VU_UNSEEN && d->parent != VU_NONE)
		d = vu_tree_dir(t, d->parent);
	return d->fate == VU_GONE;
}

/* Was it met, and could not be looked into? It may be another one by now, that one being elsewhere. */
static bool is_unproven(const struct vu_tree *t, const struct vu_dir *d)
{
	while (d->fate == VU_UNSEEN && d->parent != VU_NONE)
		d = vu_tree_dir(t, d->parent);
	return d->flags & (VU_DIR_FAILED | VU_DIR_OTHER_FS);
}

static int know_outdated(struct vu_owners *o)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < o->tree->dirs.n; i++) {
		const struct vu_dir *d = vu_tree_dir(o->tree, i);

		if (!d->row)
			continue;
		if (is_outdated(o->tree, d))
			r = vu_inomap_set(&o->outdated, dir_key(d->guest, d->row), OUTDATED);
		else if (is_unproven(o->tree, d) ||
			 vu_inomap_get(&o->listed[d->guest], d->ino, NULL))
			r = vu_inomap_set(&o->outdated, dir_key(d->guest, d->row), UNPROVEN);
	}
	return r;
}

/*
 * The directories that were read, by inode: one that is renamed while the guest is walked may be met under
 * both names, and its names are no more for that.
 */
static int know_listed(struct vu_owners *o)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < o->tree->dirs.n; i++) {
		const struct vu_dir *d = vu_tree_dir(o->tree, i);

		if (d->flags & VU_DIR_LISTED && !vu_inomap_get(&o->listed[d->guest], d->ino, NULL))
			r = vu_inomap_set(&o->listed[d->guest], d->ino, i);
	}
	return r;
}

static int note_listed(struct vu_owners *o, const struct vu_unified_name *u)
{
	const struct vu_dir *d = vu_tree_dir(o->tree, u->dir);
	uint32_t first = u->dir;

	if (!is_wanted(o, d->guest, u->ino))
		return 0;
	(void)vu_inomap_get(&o->listed[d->guest], d->ino, &first);
	int r = vu_inomap_set(&o->objects[d->guest], u->ino, 1);

	return r || first != u->dir ? r
				    : one_more(&o->names[o->session->guest_fs[d->guest]], u->ino);
}

static int from_catalog(struct vu_owners *o)
{
	struct vu_session *s = o->session;
	int r = know_outdated(o);

	if (!r)
		r = vu_catalog_load_unified(s->catalog, &s->guests, note, o);
	vu_inomap_done(&o->outdated);
	return r == VU_CATALOG_DAMAGED ? vu_session_catalog_failed(s, r) : r;
}

/* Are there any? Returns a negative errno, 0 or 1. */
static int know_wanted(struct vu_owners *o)
{
	const struct vu_tree *t = o->tree;
	_cleanup_free_ bool *read = calloc((size_t)t->contents.n + 1, sizeof(*read));
	int r = read ? 0 : -ENOMEM, any = 0;

	for (uint32_t i = 0; !r && i < t->inodes.n; i++) {
		const struct vu_inode *n = vu_tree_inode(t, i);

		if (n->flags & (VU_INODE_READ | VU_INODE_BELIEVED) &&
		    !(n->flags & VU_INODE_OBJECT) && n->content != VU_NONE)
			read[n->content] = true;
	}
	for (uint32_t i = 0; !r && i < t->inodes.n; i++) {
		const struct vu_inode *n = vu_tree_inode(t, i);

		if (!(n->flags & VU_INODE_OBJECT) || n->fate == VU_GONE ||
		    (n->content != VU_NONE && !read[n->content]))
			continue;
		r = vu_inomap_set(&o->wanted[n->fs], n->ino, i);
		any = 1;
	}
	return r ? r : any;
}

static int know_names(struct vu_owners *o)
{
	int r = o->session->catalog ? from_catalog(o) : 0;

	for (uint32_t i = 0; !r && i < o->tree->unified.n; i++)
		r = note_listed(o, vu_tree_unified(o->tree, i));
	return r;
}

int vu_owners_know(struct vu_owners *o, struct vu_session *s, struct vu_tree *t)
{
	*o = (struct vu_owners){.session = s, .tree = t};
	o->objects = calloc(s->guests.n + 1, sizeof(*o->objects));
	o->names = calloc(s->n_fs + 1, sizeof(*o->names));
	o->wanted = calloc(s->n_fs + 1, sizeof(*o->wanted));
	o->doubts = calloc(s->n_fs + 1, sizeof(*o->doubts));
	o->listed = calloc(s->guests.n + 1, sizeof(*o->listed));
	if (!o->objects || !o->names || !o->wanted || !o->doubts || !o->listed)
		return -ENOMEM;
	int r = know_listed(o), any = r ? r : know_wanted(o);

	return any > 0 ? know_names(o) : any;
}

static int know_all(struct vu_owners *o)
{
	for (size_t i = 0; i < o->session->guests.n; i++)
		vu_inomap_done(&o->objects[i]);
	for (size_t i = 0; i < o->session->n_fs; i++)
		vu_inomap_done(&o->names[i]);
	o->all = true;
	return know_names(o);
}

bool vu_owners_has(struct vu_owners *o, uint32_t guest, uint64_t ino)
{
	if (!o->error && !is_wanted(o, guest, ino))
		o->error = know_all(o);
	return o->error || vu_inomap_get(&o->objects[guest], ino, NULL) ||
	       vu_inomap_get(&o->doubts[o->session->guest_fs[guest]], ino, NULL);
}

/* ---- the proof ---- */

/* Has the object another number of names in guests than is known? One that cannot be had gets none. */
static int is_in_doubt(const struct vu_owners *o, const struct vu_inode *object, bool *ret)
{
	struct vu_stat st;
	uint32_t known = 0;
	_cleanup_fd_ int fd = vu_pool_object_open_stat(o->session->fs[object->fs].pool,
						       vu_tree_key(o->tree, object->key), &st);
	int r = fd < 0 ? fd : 0;

	vu_inomap_get(&o->names[object->fs], object->ino, &known);
	*ret = !r && st.n_links != known + 1;
	return vu_is_want(r) ? r : 0;
}

/* Objects in doubt, by file system and inode. */
static int find_doubts(const struct vu_owners *o, const struct vu_plan *plan,
		       struct vu_inomap *doubts, size_t *ret_n)
{
	int r = 0;

	*ret_n = 0;
	for (uint32_t i = 0; !r && i < plan->n_objects; i++) {
		const struct vu_plan_object *p = &plan->objects[i];
		const struct vu_inode *object = vu_tree_inode(o->tree, p->keeper);
		bool doubt = false;

		if (p->keeper_is_object && p->n)
			r = is_in_doubt(o, object, &doubt);
		if (!r && doubt) {
			r = vu_inomap_set(&doubts[object->fs], object->ino, 1);
			++*ret_n;
		}
	}
	return r;
}

struct counting {
	struct vu_owners *o;
	struct vu_inomap *doubts;
	const struct vu_guests *others;
};

static int count_other(void *arg, uint16_t guest, uint32_t dir, uint64_t ino)
{
	struct counting *c = arg;
	const struct vu_session *s = c->o->session;
	int r = 0;

	(void)dir;
	for (size_t i = 0; !r && i < s->n_fs; i++)
		if (vu_inomap_get(&c->doubts[i], ino, NULL) &&
		    !strcmp(s->fs[i].mount.fs_id, c->others->v[guest].fs_id))
			r = one_more(&c->o->names[i], ino);
	return r;
}

static bool in_run(const struct vu_session *s, uint32_t id)
{
	for (size_t i = 0; i < s->guests.n; i++)
		if (s->guests.v[i].id == id)
			return true;
	return false;
}

/* Registered guests that are no part of the run: they have names too. To be freed in any case. */
static int know_others(struct vu_owners *o, struct vu_guests *ret)
{
	int r = vu_session_known_guests(o->session, ret);

	for (size_t i = 0; !r && i < ret->n;) {
		if (!in_run(o->session, ret->v[i].id)) {
			i++;
			continue;
		}
		vu_guest_done(&ret->v[i]);
		ret->v[i] = ret->v[--ret->n];
	}
	return r;
}

static int count_others(struct vu_owners *o, struct vu_inomap *doubts,
			const struct vu_guests *others)
{
	struct counting c = {.o = o, .doubts = doubts, .others = others};
	int r = others->n ? vu_catalog_load_unified(o->session->catalog, others, count_other, &c)
			  : 0;

	return r == VU_CATALOG_DAMAGED ? vu_session_catalog_failed(o->session, r) : r;
}

/* ---- names in other guests that are there no more ---- */

struct checking {
	struct vu_owners *o;
	const struct vu_inomap *doubts; /* of the guest's file system */
	struct vu_inomap *names;	/* of that, too */
	int root;			/* owned; of the guest */
	uint64_t dev;
};

static bool is_doubted(void *arg, uint64_t ino)
{
	const struct checking *c = arg;

	return vu_inomap_get(c->doubts, ino, NULL);
}

/* What cannot be looked at may be there. */
static int uncount_gone(void *arg, uint64_t ino, const char *path)
{
	struct checking *c = arg;
	struct vu_stat st = {0};
	uint32_t n = 0;
	_cleanup_fd_ int fd = vu_beneath_open(c->root, path, O_PATH | O_NOFOLLOW);
	int r = fd < 0 ? fd : vu_stat_fd(fd, &st);

	if (vu_is_want(r))
		return r;
	bool gone = r ? r == -ENOENT || r == -ENOTDIR || r == -ELOOP
		      : st.version.ino != ino || st.version.dev != c->dev;

	if (!gone || !vu_inomap_get(c->names, ino, &n) || !n)
		return 0;
	return vu_inomap_set(c->names, ino, n - 1);
}

/* Its root, if that still stands where it was on this file system; else a negative errno. */
static int open_other(const struct vu_guest *g, uint64_t dev)
{
	struct vu_stat st = {0};
	_cleanup_fd_ int fd = open(g->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : vu_stat_fd(fd, &st);

	if (!r && (st.version.ino != g->ino || st.version.dev != dev))
		r = -ESTALE;
	return r ? r : vu_take_fd(fd);
}

/*
 * A guest that is no part of the run may have broken or removed a name since: its row would keep everybody from
 * joining the object that there is. So what is still in doubt is looked at where the rows say that it is.
 */
static int check_others(struct vu_owners *o, const struct vu_inomap *doubts,
			const struct vu_guests *others)
{
	struct vu_session *s = o->session;
	int r = 0;

	for (size_t i = 0; !r && i < others->n * s->n_fs; i++) {
		const struct vu_guest *g = &others->v[i / s->n_fs];
		size_t fs = i % s->n_fs;
		struct checking c = {.o = o,
				     .doubts = &doubts[fs],
				     .names = &o->names[fs],
				     .dev = s->fs[fs].mount.dev};

		if (strcmp(s->fs[fs].mount.fs_id, g->fs_id) != 0)
			continue;
		_cleanup_fd_ int root = open_other(g, c.dev);

		if (root < 0 && vu_is_want(root))
			return root;
		if (root < 0)
			continue;
		c.root = root;
		r = vu_catalog_find_names(s->catalog, g->id, is_doubted, uncount_gone, &c);
	}
	return r == VU_CATALOG_DAMAGED ? vu_session_catalog_failed(s, r) : r;
}

/* ---- the whole ---- */

static struct vu_inomap *doubts_free(struct vu_inomap *doubts, size_t n)
{
	for (size_t i = 0; doubts && i < n; i++)
		vu_inomap_done(&doubts[i]);
	free(doubts);
	return NULL;
}

VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)

int vu_owners_prove(struct vu_owners *o, const struct vu_plan *plan)
{
	size_t n_fs = o->session->n_fs, n = 0;
	vu_cleanup(vu_guests_done_p) struct vu_guests others = {0};

	if (o->error)
		return o->error;
	struct vu_inomap *doubts = calloc(n_fs + 1, sizeof(*doubts)),
			 *left = calloc(n_fs + 1, sizeof(*left));
	int r = doubts && left ? find_doubts(o, plan, doubts, &n) : -ENOMEM;

	if (!r && n)
		r = know_others(o, &others);
	if (!r && n)
		r = count_others(o, doubts, &others);
	if (!r && n)
		r = find_doubts(o, plan, left, &n);
	if (!r && n)
		r = check_others(o, left, &others);
	if (!r && n)
		r = find_doubts(o, plan, o->doubts, &n);
	doubts_free(doubts, n_fs);
	doubts_free(left, n_fs);
	return r ? r : n ? VU_OWNERS_UNKNOWN : 0;
}
