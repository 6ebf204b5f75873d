/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/damage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "db/catalog-tree.h"
#include "fs/guard.h"
#include "fs/stat.h"

struct looking {
	struct vu_session *s;
	size_t fs;
	const struct vu_tree *t;    /* objects as the catalog has them */
	struct vu_inomap recorded;  /* ino -> inode number in t */
	struct vu_inomap unflagged; /* not immutable: damage, unless a run is at work */
	struct vu_damage *d;
};

static int add(struct vu_damage *d, size_t fs, uint64_t ino)
{
	if (vu_damage_has(d, fs, ino))
		return 0;
	d->objects++;
	return vu_inomap_set(&d->by_fs[fs], ino, 1);
}

/* Does the catalog say otherwise? It need not know the object: then it says nothing. */
static bool differs(const struct looking *l, const struct vu_key *key, const struct vu_stat *st)
{
	uint32_t i;

	if (!vu_inomap_get(&l->recorded, st->version.ino, &i))
		return false;
	const struct vu_inode *n = vu_tree_inode(l->t, i);
	const struct vu_key *k = vu_tree_key(l->t, n->key);
	const struct vu_attr *a = vu_attrs_at(l->t->attrs, n->attr);

	if (k->generation != key->generation || memcmp(&k->hash, &key->hash, sizeof(k->hash)) != 0)
		return false;
	return st->version.size != n->size || st->version.mtime_ns != n->mtime_ns ||
	       st->mode != a->mode || st->uid != a->uid || st->gid != a->gid;
}

/* Returns 0 and ret_st; 1 for an object that is gone, or no file any more; or a negative errno. */
static int stat_object(const struct looking *l, const struct vu_key *key, struct vu_stat *ret_st,
		       bool *ret_gone)
{
	_cleanup_fd_ int fd = vu_pool_object_open(l->s->fs[l->fs].pool, key);

	*ret_gone = fd == -ENOENT; /* a run has removed it since */
	if (vu_is_want(fd))
		return fd;
	if (fd < 0 || vu_stat_fd(fd, ret_st))
		return 1;
	if (vu_guard_or_flag_holds(fd, ret_st)) /* as good as the flag */
		ret_st->attributes |= STATX_ATTR_IMMUTABLE;
	return 0;
}

static int look(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct looking *l = arg;
	struct vu_stat st;
	bool gone;
	int r = stat_object(l, key, &st, &gone);

	if (r < 0 || gone)
		return r < 0 ? r : 0;
	if (r || differs(l, key, &st))
		return add(l->d, l->fs, ino);
	return st.attributes & STATX_ATTR_IMMUTABLE ? 0 : vu_inomap_set(&l->unflagged, ino, 1);
}

/* Objects lose their flag for moments while a run is at work. */
static bool run_at_work(const struct vu_pool *pool)
{
	_cleanup_fd_ int fd = openat(vu_pool_fd(pool), "lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
}

/* Looked at once more: the run may have ended since. */
static int look_again(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct looking *l = arg;
	struct vu_stat st;
	bool gone;

	if (!vu_inomap_get(&l->unflagged, ino, NULL))
		return 0;
	int r = stat_object(l, key, &st, &gone);

	if (r < 0 || gone)
		return r < 0 ? r : 0;
	return r || !(st.attributes & STATX_ATTR_IMMUTABLE) ? add(l->d, l->fs, ino) : 0;
}

static int look_at_pool(struct vu_session *s, size_t fs, struct vu_tree *t, struct vu_damage *d)
{
	const struct vu_pool *pool = s->fs[fs].pool;
	struct looking l = {.s = s, .fs = fs, .t = t, .d = d};
	int r = vu_catalog_load_objects(s->catalog, s->fs[fs].mount.fs_id, (uint16_t)fs, t,
					&l.recorded);

	if (r)
		r = vu_session_catalog_failed(s, r);
	if (!r)
		r = vu_pool_list(pool, look, &l);
	if (!r && l.unflagged.n && !run_at_work(pool))
		r = vu_pool_list(pool, look_again, &l);
	vu_inomap_done(&l.recorded);
	vu_inomap_done(&l.unflagged);
	return r;
}

VU_DEFINE_CLEANUP(struct vu_tree *, vu_tree_free)
VU_DEFINE_CLEANUP_DONE(struct vu_damage, vu_damage_done)

int vu_damage_find(struct vu_session *s, struct vu_damage *ret)
{
	vu_cleanup(vu_damage_done_p) struct vu_damage d = {.n_fs = s->n_fs};
	vu_cleanup(vu_tree_free_p) struct vu_tree *t = vu_tree_new();
	const struct vu_guests none = {0};

	d.by_fs = calloc(s->n_fs + 1, sizeof(*d.by_fs));
	if (!t || !d.by_fs)
		return -ENOMEM;
	/* attributes and contents, which the objects' rows speak of */
	int r = vu_catalog_load_tree(s->catalog, &none, t);

	if (r)
		return vu_session_catalog_failed(s, r);
	for (size_t i = 0; !r && i < s->n_fs; i++)
		if (s->fs[i].pool)
			r = look_at_pool(s, i, t, &d);
	if (r)
		return r;
	*ret = d;
	d = (struct vu_damage){0};
	return 0;
}

bool vu_damage_has(const struct vu_damage *d, size_t fs, uint64_t ino)
{
	return vu_inomap_get(&d->by_fs[fs], ino, NULL);
}

void vu_damage_done(struct vu_damage *d)
{
	for (size_t i = 0; d->by_fs && i < d->n_fs; i++)
		vu_inomap_done(&d->by_fs[i]);
	free(d->by_fs);
	*d = (struct vu_damage){0};
}
