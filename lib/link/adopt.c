/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking over. The lease is taken first and held until the inode is no more worked on, so nobody has
 * it open for writing from then on. Then its name in the pool, then the flag, then the question
 * whether the lease is still quiet and everything still as recorded. Who waits for the lease by then
 * passed the permission check before the flag was set, and is in the right: the inode is given back
 * (flag off, name away, lease away) and he goes on with his own private file.
 *
 * Killed before the flag: an object without a flag, which recovery compares with its key. Killed
 * after it: an object with the names of one guest, which is what it was to become.
 */
#include "link/adopt.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/beneath.h"
#include "fs/guard.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "link/ledger.h"

static int as_result(int err, int *ret_err)
{
	enum vu_skip skip = vu_target_skip_of(err);

	*ret_err = err;
	return skip ? (int)skip : err;
}

int vu_adopt_name(struct vu_ledger *ledger, const struct vu_pool *pool, struct vu_key *key, int fd,
		  uint64_t ino, unsigned *ret_entry)
{
	struct vu_object as = {.pool = pool, .fd = fd, .ino = ino};
	int r;

	do {
		r = vu_pool_generation_next(pool, key);
		if (r)
			break;
		as.key = *key;
		*ret_entry = vu_ledger_enter(ledger, VU_LEDGER_ADOPT, &as, 0);
		r = vu_pool_object_link(pool, key, fd);
		if (r)
			vu_ledger_leave(ledger, *ret_entry);
	} while (r == -EEXIST);
	return r;
}

/* After the flag is set: still what was recorded, but for the name in the pool? */
static int verify(const struct vu_linkrun *run, const struct vu_inode *n, int fd)
{
	uint32_t flags = 0;
	struct vu_stat st;
	int r = vu_iattr_get(fd, &flags);

	if (r)
		return r;
	if (!(flags & FS_IMMUTABLE_FL))
		return -EOPNOTSUPP;
	if (!vu_lease_quiet(fd))
		return -EAGAIN;
	r = vu_stat_fd(fd, &st);
	if (r)
		return r;
	if (st.version.ino != n->ino || st.n_links != n->n_links + 1U)
		return -ESTALE;
	r = vu_target_attr_holds(run, fd, n);
	return r > 0 ? 0 : r ? r : -ESTALE;
}

static int give_back(struct vu_linkrun *run, const struct vu_pool *pool, const struct vu_key *key,
		     int fd)
{
	int r = vu_iattr_set_immutable(fd, false);

	if (!r)
		r = vu_pool_object_unlink(pool, key);
	if (r)
		run->unsettled = true;
	return r;
}

static int adopt_claimed(struct vu_linkrun *run, const struct vu_pool *pool, uint32_t inode,
			 int *fd, struct vu_key *key, struct vu_object **ret, int *ret_err)
{
	const struct vu_inode *n = vu_tree_inode(run->env->tree, inode);
	struct vu_ledger *ledger = vu_moment_ledger(&run->moment);
	struct vu_stat st;
	unsigned entry;
	int r = vu_adopt_name(ledger, pool, key, *fd, n->ino, &entry);

	if (r)
		return as_result(r == -EPERM ? -ESTALE : r, ret_err);
	r = vu_iattr_set_immutable(*fd, true);
	if (!r)
		r = verify(run, n, *fd);
	if (!r)
		r = vu_stat_fd(*fd, &st);
	if (!r)
		r = vu_object_new_consume(pool, key, *fd, &st,
					  vu_attrs_at(run->env->tree->attrs, n->attr), ret);
	int e = r ? give_back(run, pool, key, *fd) : 0;

	vu_ledger_leave(ledger, entry);
	if (r)
		return e ? e : as_result(r, ret_err);
	*fd = -EBADF;
	return 0;
}

int vu_adopt_open(struct vu_linkrun *run, const struct vu_pool *pool, bool claim, uint32_t inode,
		  int *fd, struct vu_key *key, struct vu_object **ret, int *ret_err)
{
	uint64_t ino = vu_tree_inode(run->env->tree, inode)->ino;
	/* as soon as the pool has it, others can find it */
	int r = claim ? vu_object_claim(pool, ino) : 0;

	if (r)
		return r > 0 ? VU_SKIP_OPEN_FOR_WRITE : as_result(r, ret_err);
	r = adopt_claimed(run, pool, inode, fd, key, ret, ret_err);
	if (!r)
		(*ret)->claimed = claim;
	else if (claim)
		vu_object_unclaim(pool, ino);
	return r;
}

static int open_leased(struct vu_linkrun *run, struct vu_dirs *dirs, uint32_t inode, int *ret_fd)
{
	const struct vu_tree *t = run->env->tree;
	const struct vu_inode *n = vu_tree_inode(t, inode);
	struct vu_dirh *dir;
	struct vu_stat st;
	int r;

	if (vu_tree_count_names(t, n) != n->n_links)
		return -ESTALE;
	const struct vu_name *name = vu_tree_name(t, n->first_name);

	r = vu_dirs_get(dirs, name->dir, &dir);
	if (r)
		return r == -EXDEV ? -ESTALE : r;
	_cleanup_fd_ int fd = vu_regular_open(dir->fd, vu_tree_text(t, name->name), &st);

	vu_dirh_unref(dir);
	if (fd < 0)
		return fd;
	if (!vu_target_is_recorded(run, n, &st) ||
	    st.attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND))
		return -ESTALE;
	r = vu_lease_take(fd);
	if (r)
		return r > 0 ? -EAGAIN : r;
	r = vu_stat_fd(fd, &st);
	if (!r && !vu_target_is_recorded(run, n, &st))
		r = -ESTALE;
	if (!r)
		*ret_fd = vu_take_fd(fd);
	return r;
}

int vu_adopt_inode(struct vu_linkrun *run, struct vu_dirs *dirs, const struct vu_pool *pool,
		   bool claim, uint32_t inode, struct vu_key *key, struct vu_object **ret,
		   int *ret_err)
{
	_cleanup_fd_ int fd = -EBADF;
	int r = open_leased(run, dirs, inode, &fd);

	return r ? as_result(r, ret_err)
		 : vu_adopt_open(run, pool, claim, inode, &fd, key, ret, ret_err);
}

int vu_adopt_undo(struct vu_linkrun *run, struct vu_object *o, uint32_t inode)
{
	const struct vu_inode *n = vu_tree_inode(run->env->tree, inode);
	struct vu_stat st;
	int r = vu_moment_begin(&run->moment, o);

	/* it stays an object: who writes to it may be of another guest, whose file was put back */
	if (r == -ESTALE)
		return -EBUSY;
	if (r)
		return r;
	r = vu_stat_fd(o->fd, &st);
	if (!r && st.n_links > n->n_links + 1U)
		r = -EBUSY;
	if (!r)
		r = vu_pool_object_unlink(o->pool, &o->key);
	if (!r) {
		vu_moment_end_private(&run->moment, o);
		return 0;
	}
	int e = vu_moment_end(&run->moment, o, -EBADF);

	return e ? e : r;
}

/* ---- existing objects ---- */

/* Is it as its record says? A ctime that nobody else has set is enough; else all is compared. */
static int check_existing(const struct vu_linkrun *run, const struct vu_inode *n, int fd,
			  const struct vu_stat *st)
{
	const struct vu_attr *a = vu_attrs_at(run->env->tree->attrs, n->attr);

	if (!vu_guard_or_flag_holds(fd, st) || st->version.ino != n->ino ||
	    st->version.size != n->size || st->version.mtime_ns != n->mtime_ns ||
	    st->mode != a->mode || st->uid != a->uid || st->gid != a->gid)
		return 0;
	return vu_target_attr_holds(run, fd, n);
}

static void tell_suspect(struct vu_linkrun *run, const struct vu_key *key, const char *text)
{
	char name[VU_KEY_NAME_MAX];

	vu_key_name(key, name);
	vu_moment_emit(&run->moment,
		       &(struct vu_event){.kind = VU_EVENT_WARN, .object = name, .text = text});
}

static int open_existing(struct vu_linkrun *run, const struct vu_pool *pool, uint32_t inode,
			 const struct vu_key *key, struct vu_object **ret, int *ret_err)
{
	const struct vu_inode *n = vu_tree_inode(run->env->tree, inode);
	_cleanup_fd_ int fd = vu_pool_object_open(pool, key);
	struct vu_stat st;

	if (fd < 0)
		return as_result(fd, ret_err);
	int r = vu_guard_lease(fd);

	if (!r && vu_pool_object_slipped(pool, key))
		r = VU_LEASE_BUSY;
	if (r > 0)
		tell_suspect(run, key, "somebody has this object open for writing: not used");
	if (r)
		return r > 0 ? VU_SKIP_OPEN_FOR_WRITE : as_result(r, ret_err);
	r = vu_stat_fd(fd, &st);
	if (r)
		return as_result(r, ret_err);
	r = check_existing(run, n, fd, &st);
	if (!r) {
		tell_suspect(run, key,
			     "this object is not what the pool and the catalog say: not used "
			     "(run `vunify verify`)");
		return VU_SKIP_CHANGED;
	}
	if (r > 0)
		r = vu_object_new_consume(pool, key, fd, &st,
					  vu_attrs_at(run->env->tree->attrs, n->attr), ret);
	if (r)
		return as_result(r, ret_err);
	fd = -EBADF;
	return 0;
}

int vu_adopt_existing(struct vu_linkrun *run, const struct vu_pool *pool, bool claim,
		      uint32_t inode, const struct vu_key *key, struct vu_object **ret,
		      int *ret_err)
{
	uint64_t ino = vu_tree_inode(run->env->tree, inode)->ino;
	int r = claim ? vu_object_claim(pool, ino) : 0;

	if (r)
		return r > 0 ? VU_SKIP_OPEN_FOR_WRITE : as_result(r, ret_err);
	r = open_existing(run, pool, inode, key, ret, ret_err);
	if (!r)
		(*ret)->claimed = claim;
	else if (claim)
		vu_object_unclaim(pool, ino);
	return r;
}

/* ---- records ---- */

static void record_names(struct vu_linkrun *run, const struct vu_linkslot *slot)
{
	struct vu_tree *t = run->env->tree;
	const struct vu_inode *n = vu_tree_inode(t, slot->inode);
	char object[VU_KEY_NAME_MAX];

	vu_key_name(&slot->object->key, object);
	for (uint32_t i = n->first_name; i != VU_NONE; i = vu_tree_name(t, i)->next) {
		struct vu_name *name = vu_tree_name(t, i);
		_cleanup_free_ char *path = NULL;

		name->unified = 1;
		if (name->fate == VU_KEPT)
			name->fate = VU_CHANGED;
		if (run->env->sink && run->env->sink->fn)
			path = vu_tree_name_path(t, i);
		vu_moment_emit(&run->moment, &(struct vu_event){
						     .kind = VU_EVENT_UNIFY,
						     .guest = run->env->guests->v[n->guest].name,
						     .path = path,
						     .object = object,
						     .size = n->size,
					     });
	}
}

static int record_key(struct vu_tree *t, const struct vu_key *key, uint32_t *ret)
{
	pthread_mutex_lock(&t->lock);
	int r = vu_chunks_add(&t->objects, 1, ret);

	pthread_mutex_unlock(&t->lock);
	if (!r)
		*vu_tree_key(t, *ret) = *key;
	return r;
}

void vu_adopt_record(struct vu_linkrun *run, const struct vu_linkslot *slot)
{
	struct vu_tree *t = run->env->tree;
	struct vu_inode *n = vu_tree_inode(t, slot->inode);
	struct vu_stat st;
	int r = 0;

	if (slot->adopted) {
		r = record_key(t, &slot->object->key, &n->key);
		n->flags |= VU_INODE_OBJECT | VU_INODE_ADOPTED;
		n->fs = (uint8_t)slot->plan->fs;
		record_names(run, slot);
	}
	if (n->fate == VU_KEPT)
		n->fate = VU_CHANGED;
	if (!r)
		r = vu_stat_fd(slot->object->fd, &st);
	if (!r) {
		n->ctime_ns = st.version.ctime_ns;
		n->mtime_ns = st.version.mtime_ns;
		n->n_links = vu_tree_links(st.n_links);
	}
}
