/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving a name. What is at the path when the names are exchanged cannot be known beforehand: a guest
 * may rename something over it at any instant. So the exchange comes first, and what came out is
 * looked at afterwards: unless it is the inode that was expected, unchanged and with a quiet lease,
 * it is exchanged back, and what comes out then is looked at again, until the object (or something
 * that the guest itself has replaced) comes out. Nothing is destroyed by an exchange.
 */
#include "link/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sabotage.h"
#include "fs/beneath.h"
#include "fs/exchange.h"
#include "fs/lease.h"
#include "link/swap.h"

void vu_tmp_name(uint64_t prefix, uint64_t n, char *name)
{
	snprintf(name, VU_TMP_MAX, "t-%016llx-%llx", (unsigned long long)prefix,
		 (unsigned long long)n);
}

enum vu_skip vu_target_skip_of(int err)
{
	switch (err) {
	case -ENOSPC:
	case -EDQUOT:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return VU_SKIP_NONE;
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -ESTALE:
		return VU_SKIP_CHANGED;
	case -EAGAIN:
	case -ETXTBSY:
		return VU_SKIP_OPEN_FOR_WRITE;
	case -EXDEV:
		return VU_SKIP_CROSS_DEVICE;
	case -EMLINK:
		return VU_SKIP_LINK_LIMIT;
	default:
		return VU_SKIP_UNREADABLE;
	}
}

/* As a result: the skip, or the errno that ends the run. */
static int skip_or_errno(int err, int *ret_err)
{
	enum vu_skip skip = vu_target_skip_of(err);

	*ret_err = err;
	return skip ? (int)skip : err;
}

bool vu_target_is_recorded(const struct vu_linkrun *run, const struct vu_inode *n,
			   const struct vu_stat *st)
{
	const struct vu_attr *a = vu_attrs_at(run->env->tree->attrs, n->attr);
	const struct vu_version *v = &st->version;

	return v->dev == run->env->guests->v[n->guest].dev && v->ino == n->ino &&
	       v->size == n->size && v->mtime_ns == n->mtime_ns && v->ctime_ns == n->ctime_ns &&
	       st->n_links == n->n_links && st->mode == a->mode && st->uid == a->uid &&
	       st->gid == a->gid;
}

/* Explained once for each guest: it does not get better with every file. */
static void tell_cross(struct vu_linkrun *run, uint16_t guest)
{
	pthread_mutex_lock(&run->told_lock);
	bool told = run->told_cross[guest];

	run->told_cross[guest] = 1;
	pthread_mutex_unlock(&run->told_lock);
	if (!told)
		vu_moment_emit(
			&run->moment,
			&(struct vu_event){
				.kind = VU_EVENT_WARN,
				.skip = VU_SKIP_CROSS_DEVICE,
				.err = -EXDEV,
				.guest = run->env->guests->v[guest].name,
				.text = "some of its files cannot become hard links: they are on another "
					"mount or subvolume, or have another project quota than the pool",
			});
}

void vu_target_skip(struct vu_linkrun *run, uint32_t inode, enum vu_skip why, int err)
{
	struct vu_inode *n = vu_tree_inode(run->env->tree, inode);
	_cleanup_free_ char *path = NULL;

	n->skip = (uint8_t)why;
	__atomic_fetch_add(&run->stats->failed, 1, __ATOMIC_RELAXED);
	if (run->env->progress)
		vu_progress_add(run->env->progress, vu_tree_count_names(run->env->tree, n), 0);
	if (why == VU_SKIP_CROSS_DEVICE)
		tell_cross(run, n->guest);
	/* the reasons are told from the tree by who made the plan; an errno is in no record */
	if (why != VU_SKIP_UNREADABLE)
		return;
	if (n->first_name != VU_NONE)
		path = vu_tree_name_path(run->env->tree, n->first_name);
	vu_moment_emit(&run->moment, &(struct vu_event){
					     .kind = VU_EVENT_SKIP,
					     .skip = why,
					     .err = err,
					     .guest = run->env->guests->v[n->guest].name,
					     .path = path,
					     .size = n->size,
				     });
}

int vu_target_attr_holds(const struct vu_linkrun *run, int fd, const struct vu_inode *n)
{
	struct vu_object as = {
		.fd = fd,
		.size = n->size,
		.mtime_ns = n->mtime_ns,
		.attr = *vu_attrs_at(run->env->tree->attrs, n->attr),
	};

	return vu_object_holds(&as, run->env->max_xattr_bytes);
}

/* ---- open ---- */

static int open_names(struct vu_target *t, struct vu_dirs *dirs)
{
	const struct vu_tree *tree = t->run->env->tree;
	uint32_t i = vu_tree_inode(tree, t->inode)->first_name;

	for (uint32_t k = 0; k < t->n; k++, i = vu_tree_name(tree, i)->next) {
		t->names[k].name = i;
		int r = vu_dirs_get(dirs, vu_tree_name(tree, i)->dir, &t->names[k].dir);

		if (r)
			return r == -EXDEV ? -ESTALE : r;
	}
	return 0;
}

static const char *name_text(const struct vu_target *t, uint32_t k)
{
	const struct vu_tree *tree = t->run->env->tree;

	return vu_tree_text(tree, vu_tree_name(tree, t->names[k].name)->name);
}

static int open_inode(struct vu_target *t)
{
	const struct vu_inode *n = vu_tree_inode(t->run->env->tree, t->inode);
	struct vu_stat st;

	t->fd = vu_regular_open(t->names[0].dir->fd, name_text(t, 0), &st);
	if (t->fd < 0)
		return t->fd;
	if (!vu_target_is_recorded(t->run, n, &st))
		return -ESTALE;
	int r = vu_lease_take(t->fd);

	if (r)
		return r > 0 ? -EAGAIN : r;
	/* again: now that nobody can have it open for writing, it stays so */
	r = vu_stat_fd(t->fd, &st);
	if (!r && !vu_target_is_recorded(t->run, n, &st))
		r = -ESTALE;
	t->ino = st.version.ino;
	t->blocks = st.blocks;
	return r;
}

VU_DEFINE_CLEANUP(struct vu_target *, vu_target_free)

int vu_target_open(struct vu_linkrun *run, struct vu_dirs *dirs, struct vu_linkslot *slot,
		   int stage, uint32_t inode, uint64_t tmp, struct vu_target **ret, int *ret_err)
{
	uint32_t n = vu_tree_count_names(run->env->tree, vu_tree_inode(run->env->tree, inode));
	vu_cleanup(vu_target_free_p) struct vu_target *t =
		calloc(1, sizeof(*t) + (n ? n : 1) * sizeof(t->names[0]));

	if (!t)
		return -ENOMEM;
	vu_progress_guest(run->env->progress, vu_tree_inode(run->env->tree, inode)->guest);
	t->run = run;
	t->slot = slot;
	t->stage = stage;
	t->fd = -EBADF;
	t->inode = inode;
	t->tmp = tmp;
	t->n = n;
	if (!n || n != vu_tree_inode(run->env->tree, inode)->n_links)
		return VU_SKIP_LINKS_OUTSIDE;
	int r = open_names(t, dirs);

	if (!r)
		r = open_inode(t);
	if (r)
		return skip_or_errno(r, ret_err);
	t->object = vu_object_ref(slot->object);
	*ret = vu_take_ptr(t);
	return 0;
}

struct vu_target *vu_target_free(struct vu_target *t)
{
	if (!t)
		return NULL;
	if (t->fd >= 0)
		close(t->fd);
	for (uint32_t k = 0; k < t->n; k++)
		vu_dirh_unref(t->names[k].dir);
	if (t->object)
		vu_object_unref(&t->run->moment, t->object);
	free(t);
	return NULL;
}

/* ---- move ---- */

static void tmp_of(const struct vu_target *t, uint32_t k, char *tmp)
{
	vu_tmp_name(t->run->prefix, t->tmp + k, tmp);
}

static void tell_rescued(struct vu_target *t, const char *tmp)
{
	_cleanup_free_ char *path = NULL;
	struct vu_event e = {
		.kind = VU_EVENT_WARN,
		.guest = t->run->env->guests->v[vu_tree_inode(t->run->env->tree, t->inode)->guest]
				 .name,
		.text = "a guest replaced, renamed or removed this file while it was put back: a "
			"version of it was moved to .vunify/rescued",
	};
	_cleanup_free_ char *rel = vu_tree_name_path(t->run->env->tree, t->names[0].name);

	if (vu_pool_rescue(t->object->pool, t->stage, tmp, &path))
		t->run->unsettled = true;
	e.path = rel;
	vu_moment_emit(&t->run->moment, &e);
}

/* Is at tmp the inode that was moved, with the content that the object has too? */
static bool is_spare(const struct vu_target *t, const char *tmp)
{
	const struct vu_inode *n = vu_tree_inode(t->run->env->tree, t->inode);
	struct vu_stat st;

	return !vu_stat_at(t->stage, tmp, &st) && st.version.ino == t->ino &&
	       vu_lease_quiet(t->fd) && !vu_stat_fd(t->fd, &st) && st.version.size == n->size &&
	       st.version.mtime_ns == n->mtime_ns;
}

/* The temporary name holds the newest state of path k, and the path the object. */
static int back_one(struct vu_target *t, uint32_t k)
{
	char tmp[VU_TMP_MAX];
	struct vu_stat st;

	tmp_of(t, k, tmp);
	int r = vu_stat_at(t->stage, tmp, &st);

	vu_touched_begin(&t->run->touched, t->names[k].dir);
	if (!r)
		r = vu_swap_back(t->stage, tmp, t->names[k].dir->fd, name_text(t, k),
				 st.version.ino, t->object->ino);
	vu_touched_end(&t->run->touched, t->names[k].dir);
	if (r < 0) {
		t->run->unsettled = true;
		return r;
	}
	t->names[k].moved = false;
	/*
	 * The guest removed the object's name there (then the newest state is to be gone), or renamed
	 * it (then this content is missing there).
	 */
	if (r == VU_SWAP_RESTLESS || (r == VU_SWAP_GONE && !is_spare(t, tmp))) {
		tell_rescued(t, tmp);
		return 0;
	}
	if (!unlinkat(t->stage, tmp, 0))
		return 0;
	t->run->unsettled = true;
	return -errno;
}

int vu_target_back(struct vu_target *t)
{
	int r = 0;

	for (uint32_t k = t->n; k-- > 0;) {
		int s = t->names[k].moved ? back_one(t, k) : 0;

		r = r ? r : s;
	}
	return r;
}

/* What came out of an exchange: the expected inode, as it was, with nobody about to write to it? */
static bool came_out_right(const struct vu_target *t, const struct vu_stat *st)
{
	const struct vu_inode *n = vu_tree_inode(t->run->env->tree, t->inode);
	const struct vu_attr *a = vu_attrs_at(t->run->env->tree->attrs, n->attr);

	if (vu_sabotaged(NO_RECHECK))
		return true;
	return st->version.ino == t->ino && st->version.size == n->size &&
	       st->version.mtime_ns == n->mtime_ns && st->mode == a->mode && st->uid == a->uid &&
	       st->gid == a->gid && st->n_links == n->n_links && vu_lease_quiet(t->fd);
}

static int move_one(struct vu_target *t, uint32_t k)
{
	char tmp[VU_TMP_MAX];
	struct vu_stat st;

	tmp_of(t, k, tmp);
	int r = vu_link_fd(t->object->fd, t->stage, tmp);

	if (r)
		return r;
	if (!vu_lease_quiet(t->fd))
		r = -EAGAIN;
	if (vu_sabotaged(NO_RECHECK))
		usleep(2000); /* so that it is easily met */
	vu_touched_begin(&t->run->touched, t->names[k].dir);
	if (!r)
		r = vu_exchange(t->stage, tmp, t->names[k].dir->fd, name_text(t, k));
	vu_touched_end(&t->run->touched, t->names[k].dir);
	if (r) {
		if (unlinkat(t->stage, tmp, 0))
			t->run->unsettled = true;
		return r;
	}
	t->names[k].moved = true;
	r = vu_stat_at(t->stage, tmp, &st);
	if (r) {
		t->run->unsettled = true;
		return r;
	}
	if (came_out_right(t, &st)) {
		t->ctime_ns = st.version.ctime_ns;
		return 0;
	}
	if (st.version.ino == t->ino)
		return vu_lease_quiet(t->fd) ? -ESTALE : -EAGAIN; /* put back with the others */
	r = back_one(t, k);
	return r ? r : -ESTALE;
}

int vu_target_move(struct vu_target *t)
{
	const struct vu_inode *n = vu_tree_inode(t->run->env->tree, t->inode);
	struct vu_linkrun *run = t->run;
	int r = 0, b;

	for (uint32_t k = 0; !r && k < t->n; k++)
		r = vu_touched_add(&run->touched, run->env->tree, t->names[k].dir);
	for (uint32_t k = 0; !r && k < t->n; k++)
		r = move_one(t, k);
	if (!r) {
		/* a changed xattr shows in nothing but the ctime, which the exchange has set anew */
		r = vu_sabotaged(NO_RECHECK) ? 1 : vu_target_attr_holds(run, t->fd, n);
		r = r > 0 ? 0 : r ? r : -ESTALE;
	}
	if (!r)
		return 0;
	b = vu_target_back(t);
	if (b && !vu_target_skip_of(b))
		return b;
	return skip_or_errno(r, &t->err);
}
